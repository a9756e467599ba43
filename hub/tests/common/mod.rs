//! A company for tests: made with the model alone, as devices make it.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ed25519_dalek::SigningKey;
use kolonne_hub::{Env, HubService, Quotas};
use kolonne_model::cbor;
use kolonne_model::control::{Control, Opened, ThreadKind};
use kolonne_model::hub::{AppendRoster, Founding, Pull, PullAnswer, Push};
use kolonne_model::ids::*;
use kolonne_model::op::{Class, ClassByte, Context, Op, SUITE_1, extension_hash, sign};
use kolonne_model::page::{self, NoBases, SegmentToSend, StrandName, write_segment};
use kolonne_model::payload;
use kolonne_model::roster::Roster;
use kolonne_model::roster::change::*;
use kolonne_model::strand::VerifiedOp;

/// A clock that tests move, and random bytes that repeat.
pub fn env() -> (Env, Arc<AtomicU64>) {
    let clock = Arc::new(AtomicU64::new(1_800_000_000_000));
    let counter = AtomicU64::new(1);
    let now = clock.clone();
    let env = Env::new(
        move || now.load(Ordering::Relaxed),
        move |bytes| {
            for chunk in bytes.chunks_mut(32) {
                let n = counter.fetch_add(1, Ordering::Relaxed);
                let block = *blake3::hash(&n.to_be_bytes()).as_bytes();
                chunk.copy_from_slice(&block[..chunk.len()]);
            }
        },
    );
    (env, clock)
}

pub fn open(data: &Path) -> Arc<HubService> {
    HubService::open(data, env().0, Quotas::default()).unwrap()
}

pub fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

pub fn public(key: &SigningKey) -> PublicKey {
    PublicKey(key.verifying_key().to_bytes())
}

/// A device with one person.
pub struct Device {
    pub key: SigningKey,
    pub person: SigningKey,
    pub id: DeviceId,
    pub seat: SeatId,
}

/// A company: office (device 1), crew phone (device 2), another crew's phone (device 3).
pub struct Company {
    pub id: CompanyId,
    pub root: SigningKey,
    pub roster: Roster,
    pub roster_pages: Vec<Vec<u8>>,
    pub office: Device,
    pub phone: Device,
    pub other: Device,
    pub crew: RingId,
    pub other_crew: RingId,
    clock: Cell<u64>,
}

fn ring(seed: u8, kind: RingKind) -> (RingId, Change) {
    let recipient = Recipient::x25519([seed; 32]);
    let ring = recipient.ring();
    let generation = RingGeneration {
        ring,
        kind,
        generation: 1,
        recipient,
        wraps: Vec::new(),
        previous_sealed: None,
    };
    (ring, Change::Ring(generation))
}

fn device(seed: u8, kind: DeviceKind, crew: Option<RingId>) -> (Device, Vec<Change>) {
    let (key, person) = (key(seed), key(seed + 1));
    let id = DeviceId::of_key(&public(&key));
    let (person_ring, ring_change) = ring(seed + 1, RingKind::Person);
    let role = if kind == DeviceKind::Office {
        Role::Admin
    } else {
        Role::Foreman
    };
    let seat = |key: &SigningKey, kind, person| {
        Change::Seat(SeatCert {
            key: public(key),
            kind,
            suite: SUITE_1,
            device: id,
            person,
            role,
            scope: Scope::All,
            not_after_ms: None,
            recipient: None,
        })
    };
    let cert = DeviceCert {
        key: public(&key),
        recipient: Recipient::x25519([seed; 32]),
        kind,
        crew,
    };
    let changes = vec![
        ring_change,
        Change::Device(cert),
        seat(&key, SeatKind::Device, None),
        seat(&person, SeatKind::Person, Some(person_ring)),
    ];
    let seat = SeatId::of_key(&public(&person));
    (
        Device {
            key,
            person,
            id,
            seat,
        },
        changes,
    )
}

impl Company {
    /// Founded, with its roster of three ops; `seed` tells companies apart.
    pub fn new(seed: u8) -> Self {
        let root = key(seed);
        let id = CompanyId::of_root(&public(&root));
        let (_, recovery) = ring(seed, RingKind::Recovery);
        let (_, office_ring) = ring(seed + 1, RingKind::Office);
        let (crew, crew_change) = ring(seed + 2, RingKind::Crew);
        let (other_crew, other_change) = ring(seed + 3, RingKind::Crew);
        let (office, office_changes) = device(seed + 10, DeviceKind::Office, None);
        let (phone, phone_changes) = device(seed + 12, DeviceKind::Phone, Some(crew));
        let (other, other_changes) = device(seed + 14, DeviceKind::Phone, Some(other_crew));
        let mut this = Self {
            id,
            root,
            roster: Roster::new(id),
            roster_pages: Vec::new(),
            office,
            phone,
            other,
            crew,
            other_crew,
            clock: Cell::new(1),
        };
        let found = Change::Found(Found {
            root_key: public(&this.root),
        });
        let mut first = vec![found, recovery, office_ring, crew_change, other_change];
        first.extend(office_changes);
        this.change(&this.root.clone(), first);
        this.change(&this.office.person.clone(), phone_changes);
        this.change(&this.office.person.clone(), other_changes);
        this
    }

    pub fn tick(&self) -> u64 {
        self.clock.set(self.clock.get() + 1);
        self.clock.get()
    }

    /// A roster op, not appended anywhere: page and op.
    pub fn draft(&self, author: &SigningKey, changes: Vec<Change>) -> (Vec<u8>, VerifiedOp) {
        let lamport = self.tick();
        let (context, body) = self
            .roster
            .draft(&public(author), lamport, 1_800_000_000_000, changes)
            .unwrap();
        let op = Op::new(context, payload::clear(&[7; 12], &body));
        let page = segment(author, &[op]);
        let raw = page::read(&page).unwrap().pop().unwrap();
        let op = self
            .roster
            .verify(raw.resolve(&self.id, &NoBases).unwrap())
            .unwrap();
        (page, op)
    }

    /// Appends a roster op here; the hub gets it by [`Company::settle`].
    pub fn change(&mut self, author: &SigningKey, changes: Vec<Change>) -> Vec<u8> {
        let (page, op) = self.draft(author, changes);
        assert_eq!(
            self.roster.append(&op),
            kolonne_model::roster::Effect::Applied
        );
        self.roster_pages.push(page.clone());
        page
    }

    pub fn founding(&self) -> Founding {
        Founding {
            company: self.id,
            page: self.roster_pages[0].clone().into(),
        }
    }

    /// Founds at a hub and appends the rest of the roster.
    pub fn settle(&self, hub: &Arc<HubService>) {
        use kolonne_model::hub::{Door, Hub};
        now(hub.door().found(self.founding())).unwrap();
        let office = hub.connect(self.id, self.office.id);
        for page in &self.roster_pages[1..] {
            now(office.append_roster(AppendRoster {
                page: page.clone().into(),
                parts: vec![],
            }))
            .unwrap();
        }
    }

    /// The first op of a new thread's strand: it opens the thread for the author's crew.
    pub fn open_thread(&self, author: &SigningKey, owner: RingId, kind: ThreadKind) -> Op {
        let [lamport, ..] = self.tick().to_le_bytes();
        let opened = Opened {
            kind,
            parent: None,
            owner,
            random: [lamport; 16],
        };
        let body = cbor::encode(&Control::Opened(opened));
        let thread = Opened::thread(&body, &self.id, &SeatId::of_key(&public(author)));
        let context = self.context(author, thread, Class::Control, None);
        Op::new(context, payload::clear(&[3; 12], &body))
    }

    pub fn context(
        &self,
        author: &SigningKey,
        thread: ThreadId,
        class: Class,
        before: Option<&Op>,
    ) -> Context {
        let (roster, roster_digest) = self.roster.head();
        Context {
            suite: SUITE_1,
            class: ClassByte::plain(class),
            company: self.id,
            thread,
            seat: SeatId::of_key(&public(author)),
            store: StoreId([1; 8]),
            seq: before.map_or(1, |op| op.context().seq + 1),
            previous: before.map_or(OpId::ZERO, |op| op.form.id()),
            roster,
            roster_digest,
            key: if class == Class::Data {
                KeyId([9; 16])
            } else {
                KeyId::ZERO
            },
            lamport: self.tick(),
            time_ms: 1_800_000_000_000,
            extension_hash: Hash32::ZERO,
        }
    }

    /// A data op after another; the hub can't tell its payload from a sealed one.
    pub fn data(
        &self,
        author: &SigningKey,
        thread: ThreadId,
        before: Option<&Op>,
        text: &str,
    ) -> Op {
        let context = self.context(author, thread, Class::Data, before);
        let sealed = payload::seal(
            &kolonne_model::key::ThreadKey::from_bytes([5; 32]),
            &context,
            &[1; 12],
            &cbor::encode(&text),
        );
        Op::new(context, sealed.unwrap())
    }

    pub fn control(&self, author: &SigningKey, before: &Op, control: &Control) -> Op {
        let context = self.context(
            author,
            before.context().thread,
            Class::Control,
            Some(before),
        );
        Op::new(context, payload::clear(&[4; 12], &cbor::encode(control)))
    }
}

pub fn with_extension(mut op: Op, extension: Vec<u8>) -> Op {
    op.form.context.extension_hash = extension_hash(&extension);
    op.extension = Some(extension);
    op
}

/// A page of one segment with full values, signed at its end.
pub fn segment(author: &SigningKey, ops: &[Op]) -> Vec<u8> {
    segment_with_links(author, ops, 0)
}

pub fn segment_with_links(author: &SigningKey, ops: &[Op], links: usize) -> Vec<u8> {
    let mut page = Vec::new();
    let signature = sign(author, &ops.last().unwrap().form.id());
    write_segment(
        &mut page,
        &SegmentToSend {
            name: StrandName::Full(ops[0].context().strand()),
            receivers_base: None,
            ops,
            links,
            signature: &signature,
        },
    );
    page
}

pub fn push(page: Vec<u8>) -> Push {
    Push {
        page: page.into(),
        parts: vec![],
    }
}

pub const FROM_START: Pull = Pull {
    cursor: None,
    limit_bytes: 1 << 20,
    start: None,
};

/// The proven ops of an answer's page, links left out, in its order.
pub fn read(company: &Company, page: &[u8]) -> Vec<Op> {
    let mut ops = Vec::new();
    for raw in page::read(page).unwrap() {
        let segment = raw.resolve(&company.id, &NoBases).unwrap();
        let (counted, seat) = (segment.ops.len() - segment.links, segment.strand.seat);
        let key = if seat == SeatId::of_key(&public(&company.root)) {
            public(&company.root)
        } else {
            company.roster.seat(&seat).unwrap().cert.key
        };
        let proven = kolonne_model::strand::verify(segment, &key, SUITE_1).unwrap();
        assert_eq!(proven.ops.len(), counted);
        ops.extend(proven.ops.into_iter().map(VerifiedOp::into_op));
    }
    ops
}

/// An answer's ops that aren't the roster's.
pub fn entries(company: &Company, answer: &PullAnswer) -> Vec<Op> {
    let ops = read(company, &answer.page);
    ops.into_iter()
        .filter(|op| op.context().class.class != Class::Roster)
        .collect()
}

/// A future that never waits, done.
pub fn now<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        std::task::Poll::Ready(out) => out,
        std::task::Poll::Pending => panic!("would wait"),
    }
}
