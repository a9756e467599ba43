//! A small company for tests: keys from numbers, a roster, five devices, and pens that write ops.
//!
//! Nothing here is random: the same numbers give the same bytes, so vectors can be made of them.

#![allow(
    dead_code,
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    clippy::type_complexity,
    clippy::unused_self
)]

pub mod world;

use std::collections::BTreeMap;

use ed25519_dalek::SigningKey;
use kolonne_model::body::{Body, Say, Text};
use kolonne_model::cbor;
use kolonne_model::control::{
    Control, KeyMade, KeyRing, MemberChange, MemberWrite, Members, Opened, Span, StrandCut,
    ThreadKind,
};
use kolonne_model::fold::{Content, Contents, ThreadView, fold};
use kolonne_model::hash::h;
use kolonne_model::ids::{
    CompanyId, DeviceId, Hash32, Head, KeyId, OpId, OpName, PublicKey, RingId, RosterDigest,
    RosterPosition, SeatId, Signature, StoreId, ThreadId,
};
use kolonne_model::judge::{Judgement, ThreadControl, ThreadOps, control_state};
use kolonne_model::key::{HistorySecret, ThreadKey};
use kolonne_model::op::{self, Class, ClassByte, Context, Op, SUITE_1, Unknown};
use kolonne_model::page::{self, Bases, SegmentToSend, StrandName};
use kolonne_model::payload;
use kolonne_model::roster::change::{
    Change, DeviceCert, DeviceKind, Found, HubKey, Recipient, RingGeneration, RingKind, Role,
    Scope, SeatCert, SeatKind,
};
use kolonne_model::roster::{Effect, Roster};
use kolonne_model::strand::VerifiedOp;

/// Bytes from a word and a number.
pub fn bytes<const N: usize>(word: &str, n: u64) -> [u8; N] {
    let mut out = [0; N];
    blake3::Hasher::new_derive_key("kolonne test bytes v1")
        .update(&n.to_be_bytes())
        .update(word.as_bytes())
        .finalize_xof()
        .fill(&mut out);
    out
}

pub fn signing(word: &str, n: u64) -> SigningKey {
    SigningKey::from_bytes(&bytes(word, n))
}

pub fn public(key: &SigningKey) -> PublicKey {
    PublicKey(key.verifying_key().to_bytes())
}

pub fn seat_id(key: &SigningKey) -> SeatId {
    SeatId::of_key(&public(key))
}

pub fn store(n: u64) -> StoreId {
    StoreId(bytes("store", n))
}

pub fn recipient(word: &str, n: u64) -> Recipient {
    Recipient::x25519(bytes(word, n))
}

/// A person's seat on a device.
#[derive(Clone)]
pub struct Person {
    pub key: SigningKey,
    pub ring: RingId,
}

impl Person {
    pub fn seat(&self) -> SeatId {
        seat_id(&self.key)
    }
}

/// A device and its own seat.
#[derive(Clone)]
pub struct Device {
    pub key: SigningKey,
    pub id: DeviceId,
}

impl Device {
    pub fn seat(&self) -> SeatId {
        seat_id(&self.key)
    }
}

/// Five devices: office PCs 0 and 1, a foreman's phone 2 (crew A), crew phones 3 (crew B, two
/// people) and 4 (crew C).
#[derive(Clone)]
pub struct Company {
    pub id: CompanyId,
    pub root: SigningKey,
    pub hub: SigningKey,
    pub roster: Roster,
    pub roster_ops: Vec<VerifiedOp>,
    pub office: RingId,
    pub recovery: RingId,
    pub crews: [RingId; 3],
    pub devices: Vec<Device>,
    /// 0 admin (device 0), 1 office (1), 2 foreman (2), 3 and 4 crew (3), 5 crew (4).
    pub people: Vec<Person>,
}

pub fn ring(kind: RingKind, first: Recipient) -> (RingId, Change) {
    let id = first.ring();
    let change = Change::Ring(RingGeneration {
        ring: id,
        kind,
        generation: 1,
        recipient: first,
        wraps: vec![],
        previous_sealed: None,
    });
    (id, change)
}

pub fn next_generation(roster: &Roster, id: RingId, n: u64) -> Change {
    let ring = roster.ring(&id).unwrap();
    Change::Ring(RingGeneration {
        ring: id,
        kind: ring.kind,
        generation: u32::try_from(ring.generations.len()).unwrap() + 1,
        recipient: recipient("generation", n),
        wraps: vec![],
        previous_sealed: None,
    })
}

pub fn device_cert(n: u64, kind: DeviceKind, crew: Option<RingId>) -> (Device, Vec<Change>) {
    let key = signing("device", n);
    let id = DeviceId::of_key(&public(&key));
    let changes = vec![
        Change::Device(DeviceCert {
            key: public(&key),
            recipient: recipient("device", n),
            kind,
            crew,
        }),
        Change::Seat(SeatCert {
            key: public(&key),
            kind: SeatKind::Device,
            suite: SUITE_1,
            device: id,
            person: None,
            role: Role::Crew,
            scope: Scope::All,
            not_after_ms: None,
            recipient: None,
        }),
    ];
    (Device { key, id }, changes)
}

pub fn seat_cert(n: u64, device: DeviceId, person: RingId, role: Role) -> (SigningKey, Change) {
    let key = signing("seat", n);
    let cert = SeatCert {
        key: public(&key),
        kind: SeatKind::Person,
        suite: SUITE_1,
        device,
        person: Some(person),
        role,
        scope: Scope::All,
        not_after_ms: None,
        recipient: Some(recipient("seat", n)),
    };
    (key, Change::Seat(cert))
}

impl Company {
    pub fn found() -> Self {
        Self::found_as(1)
    }

    pub fn found_as(n: u64) -> Self {
        let root = signing("root", n);
        let hub = signing("hub", n);
        let id = CompanyId::of_root(&public(&root));
        let (recovery, recovery_ring) = ring(RingKind::Recovery, recipient("recovery", n));
        let (office, office_ring) = ring(RingKind::Office, recipient("office", n));
        let person = |i: u64, device: &Device, role| {
            let (ring_id, ring) = ring(RingKind::Person, recipient("person", 100 * n + i));
            let (key, seat) = seat_cert(100 * n + i, device.id, ring_id, role);
            (Person { key, ring: ring_id }, vec![ring, seat])
        };
        let mut company = Self {
            id,
            root: root.clone(),
            hub: hub.clone(),
            roster: Roster::new(id),
            roster_ops: vec![],
            office,
            recovery,
            crews: [RingId::ZERO; 3],
            devices: vec![],
            people: vec![],
        };
        let (pc, mut changes) = device_cert(100 * n, DeviceKind::Office, None);
        let (chief, chief_changes) = person(0, &pc, Role::Admin);
        let mut founding = vec![
            Change::Found(Found {
                root_key: public(&root),
            }),
            Change::HubKey(HubKey { key: public(&hub) }),
            recovery_ring,
            office_ring,
        ];
        founding.append(&mut changes);
        founding.extend(chief_changes);
        assert_eq!(company.change(&root, founding), Effect::Applied);
        company.devices.push(pc);
        company.people.push(chief.clone());
        let mut crew_changes = vec![];
        for (i, word) in ["crew a", "crew b", "crew c"].into_iter().enumerate() {
            let (crew, change) = ring(RingKind::Crew, recipient(word, n));
            company.crews[i] = crew;
            crew_changes.push(change);
        }
        assert_eq!(company.change(&chief.key, crew_changes), Effect::Applied);
        let plan: [(DeviceKind, Option<usize>, &[(u64, Role)]); 4] = [
            (DeviceKind::Office, None, &[(1, Role::Office)]),
            (DeviceKind::Phone, Some(0), &[(2, Role::Foreman)]),
            (
                DeviceKind::Phone,
                Some(1),
                &[(3, Role::Crew), (4, Role::Crew)],
            ),
            (DeviceKind::Phone, Some(2), &[(5, Role::Crew)]),
        ];
        for (i, (kind, crew, seats)) in plan.into_iter().enumerate() {
            let number = 100 * n + 1 + i as u64;
            let (device, mut changes) =
                device_cert(number, kind, crew.map(|crew| company.crews[crew]));
            for (who, role) in seats {
                let (person, more) = person(*who, &device, *role);
                changes.extend(more);
                company.people.push(person);
            }
            company.devices.push(device);
            assert_eq!(company.change(&chief.key, changes), Effect::Applied);
        }
        company
    }

    /// Drafts, signs and appends.
    pub fn change(&mut self, by: &SigningKey, changes: Vec<Change>) -> Effect {
        let (context, body) = self.draft(by, changes);
        let op = self.sign_roster_op(by, context, &body);
        self.append(op)
    }

    pub fn draft(&self, by: &SigningKey, changes: Vec<Change>) -> (Context, Vec<u8>) {
        let at = self.roster.links().len() as u64;
        self.roster
            .draft(&public(by), at + 1, 1_700_000_000_000 + at * 1000, changes)
            .unwrap()
    }

    /// The next roster op's context by anyone, with the right or without.
    pub fn roster_context(&self, by: &SigningKey) -> Context {
        let at = self.roster.links().len() as u64;
        let (roster, roster_digest) = self.roster.head();
        Context {
            suite: SUITE_1,
            class: ClassByte::plain(Class::Roster),
            company: self.id,
            thread: self.id.roster_thread(),
            seat: seat_id(by),
            store: StoreId::ZERO,
            seq: u32::try_from(at).unwrap() + 1,
            previous: self
                .roster
                .links()
                .last()
                .map_or(OpId::ZERO, |link| link.id),
            roster,
            roster_digest,
            key: KeyId::ZERO,
            lamport: at + 1,
            time_ms: 1_700_000_000_000 + at * 1000,
            extension_hash: Hash32::ZERO,
        }
    }

    pub fn sign_roster_op(&self, by: &SigningKey, context: Context, body: &[u8]) -> VerifiedOp {
        let op = Op::new(
            context,
            payload::clear(&bytes("salt", context.lamport), body),
        );
        let signature = op::sign(by, &op.form.id());
        VerifiedOp::from_own_log(op, Some(signature))
    }

    /// Sends an op over the wire form into the roster, as a device gets it.
    pub fn append(&mut self, op: VerifiedOp) -> Effect {
        let page = page_of(&[&op]);
        let received = page::read(&page).unwrap().remove(0);
        let received = received.resolve(&self.id, &page::NoBases).unwrap();
        let verified = self.roster.verify(received).unwrap();
        assert_eq!(verified.id(), op.id());
        let effect = self.roster.append(&verified);
        self.roster_ops.push(op);
        effect
    }

    /// The roster through the first `n` ops.
    pub fn roster_at(&self, n: usize) -> Roster {
        let mut roster = Roster::new(self.id);
        for op in &self.roster_ops[..n] {
            roster.append(op);
        }
        roster
    }

    /// Opens a thread; its opener's pen and the op.
    pub fn open(
        &self,
        by: &SigningKey,
        kind: ThreadKind,
        owner: RingId,
        n: u64,
    ) -> (Pen, VerifiedOp) {
        let opened = Control::Opened(Opened {
            kind,
            parent: None,
            owner,
            random: bytes("opened", n),
        });
        let body = cbor::encode(&opened);
        let thread = Opened::thread(&body, &self.id, &seat_id(by));
        let mut pen = Pen::new(by, thread, store(n));
        let op = pen.control(self, &opened);
        (pen, op)
    }
}

/// Writes ops of one strand.
#[derive(Clone)]
pub struct Pen {
    pub key: SigningKey,
    pub thread: ThreadId,
    pub store: StoreId,
    pub seq: u32,
    pub previous: OpId,
    /// The highest lamport seen; the next op has one more.
    pub lamport: u64,
    /// The roster position to name; none: the company's newest.
    pub roster: Option<(RosterPosition, RosterDigest)>,
    pub unknown: Unknown,
}

impl Pen {
    pub fn new(key: &SigningKey, thread: ThreadId, store: StoreId) -> Self {
        Self {
            key: key.clone(),
            thread,
            store,
            seq: 0,
            previous: OpId::ZERO,
            lamport: 0,
            roster: None,
            unknown: Unknown::MayBePassedOver,
        }
    }

    pub fn context(&self, company: &Company, class: Class, key: KeyId) -> Context {
        let (roster, roster_digest) = self.roster.unwrap_or_else(|| company.roster.head());
        Context {
            suite: SUITE_1,
            class: ClassByte {
                class,
                unknown: self.unknown,
            },
            company: company.id,
            thread: self.thread,
            seat: seat_id(&self.key),
            store: self.store,
            seq: self.seq + 1,
            previous: self.previous,
            roster,
            roster_digest,
            key,
            lamport: self.lamport.wrapping_add(1),
            time_ms: 1_700_000_000_000u64.wrapping_add(self.lamport.wrapping_mul(1000)),
            extension_hash: Hash32::ZERO,
        }
    }

    pub fn finish(&mut self, op: Op) -> VerifiedOp {
        let id = op.form.id();
        let signature = op::sign(&self.key, &id);
        self.seq = op.context().seq;
        self.previous = id;
        self.lamport = op.context().lamport;
        VerifiedOp::from_own_log(op, Some(signature))
    }

    pub fn control(&mut self, company: &Company, control: &Control) -> VerifiedOp {
        self.control_bytes(company, &cbor::encode(control))
    }

    pub fn control_bytes(&mut self, company: &Company, body: &[u8]) -> VerifiedOp {
        let context = self.context(company, Class::Control, KeyId::ZERO);
        let salt = bytes("salt", context.lamport << 32 | u64::from(context.seq));
        self.finish(Op::new(context, payload::clear(&salt, body)))
    }

    pub fn data(&mut self, company: &Company, key: &ThreadKey, say: Say) -> VerifiedOp {
        let body = Body {
            offset_s: Some(0),
            say,
        };
        self.data_bytes(company, key, &body.to_bytes())
    }

    pub fn data_bytes(&mut self, company: &Company, key: &ThreadKey, body: &[u8]) -> VerifiedOp {
        let context = self.context(company, Class::Data, key.id(&company.id, &self.thread));
        let salt = bytes("salt", context.lamport << 32 | u64::from(context.seq));
        let sealed = payload::seal(key, &context, &salt, body).unwrap();
        self.finish(Op::new(context, sealed))
    }

    pub fn text(&mut self, company: &Company, key: &ThreadKey, text: &str) -> VerifiedOp {
        self.data(company, key, say_text(text, None))
    }

    pub fn head(&self) -> Head {
        Head {
            seq: self.seq,
            id: self.previous,
        }
    }
}

pub fn say_text(text: &str, reply_to: Option<OpId>) -> Say {
    Say::Text(Text {
        text: text.into(),
        reply_to,
    })
}

pub fn secret(n: u64) -> HistorySecret {
    HistorySecret::from_bytes(bytes("history", n))
}

/// A key op for exactly the members.
pub fn key_made(
    company: &Company,
    thread: &ThreadId,
    control: &ThreadControl,
    secret: &HistorySecret,
) -> Control {
    let mut rings: Vec<KeyRing> = control
        .member_rings()
        .filter_map(|ring| {
            let (generation, _) = company.roster.newest_generation(&ring)?;
            Some(KeyRing {
                ring,
                generation,
                file: 0,
            })
        })
        .collect();
    rings.sort_unstable();
    Control::KeyMade(KeyMade {
        hash: secret.thread_key().hash(&company.id, thread),
        rings,
        files: vec![Hash32(h("kolonne test file v1", &[secret.as_bytes()]))],
        seals: vec![],
    })
}

/// A page that carries each op as a segment of its own, in full values.
pub fn page_of(ops: &[&VerifiedOp]) -> Vec<u8> {
    let mut page = vec![];
    for op in ops {
        page::write_segment(
            &mut page,
            &SegmentToSend {
                name: StrandName::Full(op.strand()),
                receivers_base: None,
                ops: std::slice::from_ref(op.op()),
                links: 0,
                signature: op.signature().unwrap(),
            },
        );
    }
    page
}

/// A page with one segment of ops of one strand, in full values.
pub fn segment_page(ops: &[VerifiedOp], links: usize) -> Vec<u8> {
    let plain: Vec<Op> = ops.iter().map(|op| op.op().clone()).collect();
    let signature: Signature = *ops.last().unwrap().signature().unwrap();
    let mut page = vec![];
    page::write_segment(
        &mut page,
        &SegmentToSend {
            name: StrandName::Full(ops[0].strand()),
            receivers_base: None,
            ops: &plain,
            links,
            signature: &signature,
        },
    );
    page
}

/// What a receiver knows, from ops.
#[derive(Default, Clone)]
pub struct Known {
    pub handles: BTreeMap<u64, kolonne_model::ids::Strand>,
    pub ops: BTreeMap<(kolonne_model::ids::Strand, u32), (OpId, Context)>,
}

impl Known {
    pub fn of<'a>(ops: impl IntoIterator<Item = &'a VerifiedOp>) -> Self {
        let mut known = Self::default();
        for op in ops {
            known
                .ops
                .insert((op.strand(), op.context().seq), (op.id(), *op.context()));
        }
        known
    }
}

impl Bases for Known {
    fn strand(&self, handle: u64) -> Option<kolonne_model::ids::Strand> {
        self.handles.get(&handle).copied()
    }
    fn op_at(&self, strand: &kolonne_model::ids::Strand, seq: u32) -> Option<(OpId, Context)> {
        self.ops.get(&(*strand, seq)).copied()
    }
}

/// Opens contents with the keys it holds.
#[derive(Default, Clone)]
pub struct Keyring {
    pub keys: BTreeMap<KeyId, ThreadKey>,
    opened: BTreeMap<OpId, Option<Vec<u8>>>,
}

impl Keyring {
    pub fn hold(&mut self, company: &Company, thread: &ThreadId, secret: &HistorySecret) {
        let key = secret.thread_key();
        self.keys.insert(key.id(&company.id, thread), key);
    }

    /// Opens what these ops have, once.
    pub fn open<'a>(&mut self, ops: impl IntoIterator<Item = &'a VerifiedOp>) {
        for op in ops {
            let (Some(key), Some(payload)) = (self.keys.get(&op.context().key), &op.op().payload)
            else {
                continue;
            };
            self.opened.entry(op.id()).or_insert_with(|| {
                payload::open(key, op.context(), payload)
                    .ok()
                    .map(|bytes| bytes.to_vec())
            });
        }
    }
}

impl Contents for Keyring {
    fn content(&self, op: &VerifiedOp) -> Content<'_> {
        if op.op().payload.is_none() {
            return Content::Absent;
        }
        if !self.keys.contains_key(&op.context().key) {
            return Content::NoKey;
        }
        match self.opened.get(&op.id()) {
            Some(Some(bytes)) => Content::Open(bytes),
            _ => Content::DoesNotOpen,
        }
    }
}

/// `SplitMix64`: enough for tests, the same everywhere.
#[derive(Clone)]
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    #[allow(clippy::cast_possible_truncation)]
    pub fn below(&mut self, n: usize) -> usize {
        (self.roll() % n.max(1) as u64) as usize
    }

    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

/// A job thread that the foreman opened for crew A, with crew B as a member and a key.
#[derive(Clone)]
pub struct Job {
    pub company: Company,
    pub thread: ThreadId,
    pub ops: Vec<VerifiedOp>,
    pub keyring: Keyring,
    pub key: ThreadKey,
    pub foreman: Pen,
    pub chief: Pen,
}

impl Job {
    pub fn new() -> Self {
        let company = Company::found();
        let (owner, member) = (company.crews[0], company.crews[1]);
        Self::opened(company, ThreadKind::Job, owner, &[member])
    }

    /// A direct thread that the foreman opened with everyone but the last of the crews.
    pub fn direct() -> Self {
        let company = Company::found();
        let owner = company.people[2].ring;
        let members = [0, 1, 3, 4].map(|person| company.people[person].ring);
        Self::opened(company, ThreadKind::Direct, owner, &members)
    }

    fn opened(company: Company, kind: ThreadKind, owner: RingId, members: &[RingId]) -> Self {
        let foreman_key = company.people[2].key.clone();
        let (mut foreman, opened) = company.open(&foreman_key, kind, owner, 1);
        let thread = foreman.thread;
        let mut ops = vec![opened];
        for member in members {
            let joined = members_in(*member, vec![], vec![]);
            ops.push(foreman.control(&company, &joined));
        }
        let chief = Pen::new(&company.people[0].key, thread, store(100));
        let mut job = Self {
            thread,
            ops,
            keyring: Keyring::default(),
            key: secret(1).thread_key(),
            foreman,
            chief,
            company,
        };
        let made = key_made(&job.company, &thread, &job.control(), &secret(1));
        let made = job.foreman.control(&job.company, &made);
        job.ops.push(made);
        job.keyring.hold(&job.company, &thread, &secret(1));
        job
    }

    /// A pen of a person in this thread.
    pub fn pen(&self, person: usize, n: u64) -> Pen {
        let mut pen = Pen::new(&self.company.people[person].key, self.thread, store(n));
        pen.lamport = self
            .ops
            .iter()
            .map(|op| op.context().lamport)
            .max()
            .unwrap();
        pen
    }

    pub fn control(&self) -> ThreadControl {
        control_state(
            &ThreadOps::new(self.thread, &self.ops),
            &self.company.roster,
        )
    }

    pub fn fold(&self) -> ThreadView {
        self.fold_of(&self.ops)
    }

    pub fn fold_of<'a>(&self, ops: impl IntoIterator<Item = &'a VerifiedOp> + Clone) -> ThreadView {
        let mut keyring = self.keyring.clone();
        keyring.open(ops.clone());
        fold(
            &ThreadOps::new(self.thread, ops),
            &self.company.roster,
            &keyring,
        )
    }

    pub fn judged(&self, op: &VerifiedOp) -> Judgement {
        self.fold().judgements[&op.id()]
    }
}

pub fn members_in(ring: RingId, stays_out: Vec<Span>, names: Vec<OpName>) -> Control {
    Control::Members(Members {
        writes: vec![MemberWrite {
            ring,
            change: MemberChange::In { stays_out },
            names,
        }],
    })
}

pub fn members_out(ring: RingId, cut: Vec<StrandCut>, names: Vec<OpName>) -> Control {
    Control::Members(Members {
        writes: vec![MemberWrite {
            ring,
            change: MemberChange::Out { cut },
            names,
        }],
    })
}

pub fn cut_at(op: &VerifiedOp) -> StrandCut {
    StrandCut {
        seat: op.context().seat,
        store: op.context().store,
        head: op.head(),
    }
}

/// The op without its payload, as one gets it who came too late.
pub fn without_payload(op: &VerifiedOp) -> VerifiedOp {
    let mut bare = op.op().clone();
    bare.payload = None;
    VerifiedOp::from_own_log(bare, op.signature().copied())
}
