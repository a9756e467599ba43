//! A company made by the model alone, as devices make it: keys from numbers, a roster, pens that
//! write ops. For what needs many devices or strange ops; nothing here has a disk or a network.

use ed25519_dalek::SigningKey;
use kolonne_model::cbor;
use kolonne_model::control::{Control, Opened, ThreadKind};
use kolonne_model::hash::{h, label};
use kolonne_model::hub::Founding;
use kolonne_model::ids::{
    CompanyId, DeviceId, Hash32, KeyId, OpId, PublicKey, RingId, SeatId, StoreId, ThreadId,
};
use kolonne_model::op::{self, Class, ClassByte, Context, Op, SUITE_1};
use kolonne_model::page::{self, NoBases, SegmentToSend, StrandName};
use kolonne_model::payload;
use kolonne_model::roster::Roster;
use kolonne_model::roster::change::{
    Change, DeviceCert, DeviceKind, Found, Recipient, RingGeneration, RingKind, Role, Scope,
    SeatCert, SeatKind,
};
use kolonne_model::strand::VerifiedOp;

/// What every device's clock says.
pub const TIME_MS: u64 = 1_800_000_000_000;

/// A device with one person.
#[derive(Clone)]
pub struct Device {
    /// Its own key.
    pub key: SigningKey,
    /// Its person's key.
    pub person: SigningKey,
    /// Its id.
    pub id: DeviceId,
}

/// A company: a root, an office (device 0), phones of one crew.
#[derive(Clone)]
pub struct Bare {
    /// Its id.
    pub id: CompanyId,
    /// Its root.
    pub root: SigningKey,
    /// Its roster.
    pub roster: Roster,
    /// Each roster op as a page, in order.
    pub pages: Vec<Vec<u8>>,
    /// The office, then the phones.
    pub devices: Vec<Device>,
    /// The phones' crew.
    pub crew: RingId,
}

/// A key from a number.
pub fn key(number: u64) -> SigningKey {
    SigningKey::from_bytes(&h(label::PART, &[b"key", &number.to_be_bytes()]))
}

/// Its public half.
pub fn public(key: &SigningKey) -> PublicKey {
    PublicKey(key.verifying_key().to_bytes())
}

/// The seat of a key.
pub fn seat(key: &SigningKey) -> SeatId {
    SeatId::of_key(&public(key))
}

/// A recipient from a number.
pub fn recipient(number: u64) -> Recipient {
    Recipient::x25519(h(label::PART, &[b"recipient", &number.to_be_bytes()]))
}

/// A new ring.
pub fn ring(number: u64, kind: RingKind) -> (RingId, Change) {
    let recipient = recipient(number);
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

/// A new device and the changes that certify it; `number` and the one after it are its keys.
pub fn device(number: u64, kind: DeviceKind, crew: Option<RingId>) -> (Device, Vec<Change>) {
    let (own, person) = (key(number), key(number + 1));
    let id = DeviceId::of_key(&public(&own));
    let (person_ring, ring_change) = ring(number + 1, RingKind::Person);
    let role = match kind {
        DeviceKind::Office => Role::Admin,
        DeviceKind::Phone => Role::Foreman,
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
        key: public(&own),
        recipient: recipient(number),
        kind,
        crew,
    };
    let changes = vec![
        ring_change,
        Change::Device(cert),
        seat(&own, SeatKind::Device, None),
        seat(&person, SeatKind::Person, Some(person_ring)),
    ];
    let device = Device {
        key: own,
        person,
        id,
    };
    (device, changes)
}

impl Bare {
    /// Founded, with an office and this many phones; `number` tells companies apart.
    pub fn new(number: u64, phones: u64) -> Self {
        let first = number << 32;
        let root = key(first);
        let id = CompanyId::of_root(&public(&root));
        let (_, recovery) = ring(first, RingKind::Recovery);
        let (_, office_ring) = ring(first + 1, RingKind::Office);
        let (crew, crew_change) = ring(first + 2, RingKind::Crew);
        let (office, mut changes) = device(first + 10, DeviceKind::Office, None);
        let found = Change::Found(Found {
            root_key: public(&root),
        });
        changes.splice(0..0, [found, recovery, office_ring, crew_change]);
        let admin = office.person.clone();
        let mut this = Self {
            id,
            root: root.clone(),
            roster: Roster::new(id),
            pages: Vec::new(),
            devices: vec![office],
            crew,
        };
        this.change(&root, changes);
        for phone in 0..phones {
            let (phone, changes) =
                device(first + 20 + 2 * phone, DeviceKind::Phone, Some(this.crew));
            this.change(&admin, changes);
            this.devices.push(phone);
        }
        this
    }

    /// Drafts, signs and appends a roster op.
    pub fn change(&mut self, author: &SigningKey, changes: Vec<Change>) {
        let lamport = self.pages.len() as u64 + 1;
        let (context, body) = self
            .roster
            .draft(&public(author), lamport, TIME_MS, changes)
            .unwrap();
        let op = Op::new(context, payload::clear(&[7; 12], &body));
        let page = segment(author, std::slice::from_ref(&op));
        self.roster.append(&verified(&self.roster, &page).unwrap());
        self.pages.push(page);
    }

    /// What founds it at a hub; the roster's other pages follow.
    pub fn founding(&self) -> Founding {
        Founding {
            company: self.id,
            page: self.pages[0].clone().into(),
        }
    }

    /// A context after another op of its strand.
    pub fn context(
        &self,
        author: &SigningKey,
        (thread, store): (ThreadId, StoreId),
        class: Class,
        before: Option<&Op>,
    ) -> Context {
        let (roster, roster_digest) = self.roster.head();
        Context {
            suite: SUITE_1,
            class: ClassByte::plain(class),
            company: self.id,
            thread,
            seat: seat(author),
            store,
            seq: before.map_or(1, |op| op.context().seq + 1),
            previous: before.map_or(OpId::ZERO, |op| op.form.id()),
            roster,
            roster_digest,
            key: match class {
                Class::Data => KeyId([9; 16]),
                Class::Control | Class::Roster => KeyId::ZERO,
            },
            lamport: before.map_or(0, |op| op.context().lamport) + 1,
            time_ms: TIME_MS,
            extension_hash: Hash32::ZERO,
        }
    }

    /// The op that opens a job for an owner.
    pub fn open_job(&self, author: &SigningKey, owner: RingId, number: u8) -> Op {
        let opened = Control::Opened(Opened {
            kind: ThreadKind::Job,
            parent: None,
            owner,
            random: [number; 16],
        });
        let body = cbor::encode(&opened);
        let thread = Opened::thread(&body, &self.id, &seat(author));
        let context = self.context(author, (thread, StoreId([1; 8])), Class::Control, None);
        Op::new(context, payload::clear(&[3; 12], &body))
    }

    /// A data op after another. The hub can't tell its payload from a sealed one.
    pub fn data(&self, author: &SigningKey, before: &Op, sealed: Vec<u8>) -> Op {
        let at = (before.context().thread, before.context().store);
        Op::new(self.context(author, at, Class::Data, Some(before)), sealed)
    }
}

/// The next op of a roster, from its page.
pub fn verified(roster: &Roster, page: &[u8]) -> Option<VerifiedOp> {
    let raw = page::read(page).ok()?.pop()?;
    let segment = raw.resolve(&roster.company(), &NoBases).ok()?;
    roster.verify(segment).ok()
}

/// A page of one segment with full values, signed at its end.
pub fn segment(author: &SigningKey, ops: &[Op]) -> Vec<u8> {
    segment_with_links(author, ops, 0)
}

/// The same; the last `links` of its ops only prove those before them.
pub fn segment_with_links(author: &SigningKey, ops: &[Op], links: usize) -> Vec<u8> {
    let mut page = Vec::new();
    let last = ops.last().unwrap();
    page::write_segment(
        &mut page,
        &SegmentToSend {
            name: StrandName::Full(last.context().strand()),
            receivers_base: None,
            ops,
            links,
            signature: &op::sign(author, &last.form.id()),
        },
    );
    page
}
