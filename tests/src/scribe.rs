//! Somebody of a crew who writes much and fast: a device without an engine, certified by the kit,
//! so that a bench has a hundred thousand real ops in seconds. It signs, seals and sends as the
//! protocol says; nothing here is for a product. And an office that says what no app understands.

use std::collections::BTreeMap;

use ed25519_dalek::SigningKey;
use kolonne_core::crypt::{self, Identity, RootSeed};
use kolonne_core::transport::{HttpDoor, HttpHub, LoginIdentity, Trust};
use kolonne_model::body::{BlobRef, Body, Document, Say, Set, Text, field};
use kolonne_model::control::{self, Control, Opened, ThreadKind};
use kolonne_model::hub::{AppendRoster, Fetch, Hub, NewUpload, Push, RosterFrom, Upload};
use kolonne_model::ids::{
    CompanyId, DeviceId, Hash32, KeyId, OpId, RingId, RosterDigest, StoreId, ThreadId,
};
use kolonne_model::key::{HistorySecret, ThreadKey};
use kolonne_model::op::{Class, ClassByte, Context, Op, SUITE_1, Unknown, extension_hash};
use kolonne_model::page::{self, NoBases};
use kolonne_model::roster::Roster;
use kolonne_model::roster::change::{Change, DeviceKind, Role, RoleChange, RosterBody};
use kolonne_model::{cbor, payload};

use crate::World;
use crate::bare::{self, TIME_MS, public, seat};

/// Bytes of a push's page at most.
const PAGE_BYTES: usize = 900_000;
const STORE: StoreId = StoreId([7; 8]);

/// Where a thread stands for the writer.
struct Place {
    key: (KeyId, ThreadKey),
    lamport: u64,
    last: Option<(u32, OpId)>,
}

/// The writer.
pub struct Scribe {
    /// The hub, as its device.
    pub hub: HttpHub,
    company: CompanyId,
    person: SigningKey,
    roster: Roster,
    kit: Identity,
    places: BTreeMap<ThreadId, Place>,
    /// What others said in the threads it looked into.
    heard: BTreeMap<OpId, Say>,
}

fn login(url: &str, company: CompanyId, hub: &World, signing: &SigningKey) -> HttpHub {
    let identity = LoginIdentity {
        company,
        device: DeviceId::of_key(&public(signing)),
        hub_key: hub.hub.as_ref().unwrap().key,
        signing: signing.clone(),
    };
    HttpHub::new(HttpDoor::new(url, &Trust::System).unwrap(), identity)
}

async fn roster_at(hub: &HttpHub, company: CompanyId) -> Roster {
    let mut roster = Roster::new(company);
    let answer = hub.roster(RosterFrom { seq: 1 }).await.unwrap();
    assert!(!answer.more);
    for raw in page::read(&answer.page).unwrap() {
        let segment = raw.resolve(&company, &NoBases).unwrap();
        let op = roster.verify(segment).unwrap();
        roster.append(&op);
    }
    roster
}

/// The kit in hand: what the root says at the hub.
struct Kit {
    url: String,
    company: CompanyId,
    key: SigningKey,
    hub: HttpHub,
    roster: Roster,
}

impl Kit {
    async fn of(world: &World) -> Self {
        let root = RootSeed::from_kit_text(&world.kit).unwrap();
        let key = SigningKey::from_bytes(&root.signing_secret().seed());
        let company = CompanyId::of_root(&public(&key));
        // Not over the world's wire, which counts.
        let url = format!("http://{}", world.hub.as_ref().unwrap().address);
        let hub = login(&url, company, world, &key);
        let roster = roster_at(&hub, company).await;
        Self {
            url,
            company,
            key,
            hub,
            roster,
        }
    }

    /// A device that the kit lets in.
    async fn admit(&mut self, number: u64, kind: DeviceKind, crew: Option<RingId>) -> bare::Device {
        let (device, changes) = bare::device(number, kind, crew);
        self.say(changes).await;
        device
    }

    async fn say(&mut self, changes: Vec<Change>) {
        let lamport = self.roster.links().len() as u64 + 1;
        let drafted = self
            .roster
            .draft(&public(&self.key), lamport, TIME_MS, changes);
        let (context, body) = drafted.unwrap();
        let op = Op::new(context, payload::clear(&[7; 12], &body));
        let key = self.key.clone();
        self.append(&key, op).await;
    }

    async fn append(&mut self, author: &SigningKey, op: Op) {
        let page = bare::segment(author, &[op]);
        self.roster
            .append(&bare::verified(&self.roster, &page).unwrap());
        let append = AppendRoster {
            page: page.into(),
            parts: vec![],
        };
        self.hub.append_roster(append).await.unwrap();
    }
}

/// What no program says in one op: the root's changes, as they are.
pub async fn change_the_roster(world: &World, changes: Vec<Change>) {
    Kit::of(world).await.say(changes).await;
}

/// An office that was captured says in the roster what no app understands; `unknown`: whether apps
/// must. Which place that has.
pub async fn stop_the_roster(world: &World, unknown: Unknown) -> u32 {
    let mut kit = Kit::of(world).await;
    let office = kit.admit(1 << 41, DeviceKind::Office, None).await;
    let (roster, roster_digest) = kit.roster.head();
    let links = kit.roster.links();
    let seq = u32::try_from(links.len()).unwrap() + 1;
    let context = Context {
        suite: SUITE_1,
        class: ClassByte {
            class: Class::Roster,
            unknown,
        },
        company: kit.company,
        thread: kit.company.roster_thread(),
        seat: seat(&office.person),
        store: StoreId([0; 8]),
        seq,
        previous: links.last().unwrap().id,
        roster,
        roster_digest,
        key: KeyId::ZERO,
        lamport: u64::from(seq),
        time_ms: TIME_MS,
        extension_hash: Hash32::ZERO,
    };
    let body = cbor::encode(&RosterBody {
        digest_after: RosterDigest([9; 32]),
        changes: vec![Change::Unknown(900)],
    });
    let op = Op::new(context, payload::clear(&[7; 12], &body));
    kit.hub = login(&kit.url, kit.company, world, &office.key);
    kit.append(&office.person, op).await;
    seq
}

/// A thief with the founder's keys opens another thread of the company's own kind, as if it had been
/// first.
pub async fn open_another_company_thread(world: &World) {
    let db = world.büro.database();
    let key_in = |sql: &str| {
        let seed: Vec<u8> = db.query_row(sql, [], |row| row.get(0)).unwrap();
        SigningKey::from_bytes(seed.as_slice().try_into().unwrap())
    };
    let founder = key_in("SELECT signing FROM own_seats ORDER BY place DESC LIMIT 1");
    let device = key_in("SELECT value FROM meta WHERE key = 'device_signing'");
    let kit = Kit::of(world).await;
    let (roster, roster_digest) = kit.roster.head();
    let body = cbor::encode(&Control::Opened(Opened {
        kind: ThreadKind::Company,
        parent: None,
        owner: world.ring("Sabine Brandt"),
        random: [7; 16],
    }));
    let seat = seat(&founder);
    let context = Context {
        suite: SUITE_1,
        class: ClassByte::plain(Class::Control),
        company: kit.company,
        thread: Opened::thread(&body, &kit.company, &seat),
        seat,
        store: STORE,
        seq: 1,
        previous: OpId::ZERO,
        roster,
        roster_digest,
        key: KeyId::ZERO,
        lamport: 1,
        time_ms: 1,
        extension_hash: Hash32::ZERO,
    };
    let op = Op::new(context, payload::clear(&[7; 12], &body));
    let push = Push {
        page: bare::segment(&founder, &[op]).into(),
        parts: vec![],
    };
    let hub = login(&kit.url, kit.company, world, &device);
    assert_eq!(hub.push(push).await.unwrap().outcomes, []);
}

impl Scribe {
    /// Joins a crew of a world.
    pub async fn join(world: &World, crew: RingId) -> Self {
        Self::join_as(world, crew, Role::Crew).await
    }

    /// Joins a crew with a role.
    pub async fn join_as(world: &World, crew: RingId, role: Role) -> Self {
        let mut kit = Kit::of(world).await;
        let device = kit.admit(1 << 40, DeviceKind::Phone, Some(crew)).await;
        if role != Role::Crew {
            let seat = seat(&device.person);
            kit.say(vec![Change::Role(RoleChange { seat, role })]).await;
        }
        let root = RootSeed::from_kit_text(&world.kit).unwrap();
        Self {
            hub: login(&kit.url, kit.company, world, &device.key),
            company: kit.company,
            person: device.person,
            roster: kit.roster,
            kit: root.encryption_identity().unwrap(),
            places: BTreeMap::new(),
            heard: BTreeMap::new(),
        }
    }

    /// Reads a thread's newest key and how far it has come.
    async fn look(&mut self, thread: ThreadId) {
        let fetch = Fetch {
            thread,
            have: vec![],
            limit_bytes: 1 << 20,
        };
        let answer = self.hub.fetch(fetch).await.unwrap();
        let (mut key, mut lamport, mut data) = (None, 0, Vec::new());
        for raw in page::read(&answer.page).unwrap() {
            for op in raw.resolve(&self.company, &NoBases).unwrap().ops {
                lamport = lamport.max(op.context().lamport);
                let said = op.payload.as_deref().map(control::read);
                if op.context().class.class != Class::Control {
                    data.push(op);
                    continue;
                }
                let Some(Ok(Control::KeyMade(made))) = said else {
                    continue;
                };
                let parts = answer.parts.iter();
                let opened = parts
                    .filter(|part| part.op == op.form.id())
                    .find_map(|part| {
                        crypt::open(&part.bytes, std::slice::from_ref(&self.kit), 32).ok()
                    });
                let secret: [u8; 32] = opened.unwrap().as_slice().try_into().unwrap();
                key = Some((made.key(), HistorySecret::from_bytes(secret).thread_key()));
            }
        }
        let key: (KeyId, ThreadKey) = key.expect("the thread has a key");
        for op in data {
            let payload = op.payload.as_deref().unwrap_or_default();
            if let Ok(body) = payload::open(&key.1, op.context(), payload) {
                let said = Body::read(&body).unwrap().say;
                self.heard.insert(op.form.id(), said);
            }
        }
        let place = Place {
            key,
            lamport,
            last: None,
        };
        self.places.insert(thread, place);
    }

    /// What is said, as ops, chained and sealed.
    fn ops(&mut self, thread: ThreadId, says: impl Iterator<Item = Say>) -> Vec<Op> {
        self.ops_with(thread, says, None)
    }

    fn ops_with(
        &mut self,
        thread: ThreadId,
        says: impl Iterator<Item = Say>,
        extension: Option<&[u8]>,
    ) -> Vec<Op> {
        let place = self.places.get_mut(&thread).unwrap();
        let (roster, roster_digest) = self.roster.head();
        let mut ops = Vec::new();
        for say in says {
            place.lamport += 1;
            let (seq, previous) = place.last.map_or((0, OpId::ZERO), |last| last);
            let context = Context {
                suite: SUITE_1,
                class: ClassByte::plain(Class::Data),
                company: self.company,
                thread,
                seat: seat(&self.person),
                store: STORE,
                seq: seq + 1,
                previous,
                roster,
                roster_digest,
                key: place.key.0,
                lamport: place.lamport,
                time_ms: TIME_MS + place.lamport.min(1 << 20) * 60_000,
                extension_hash: extension.map_or(Hash32::ZERO, extension_hash),
            };
            let body = Body {
                offset_s: Some(0),
                say,
            };
            let salt = *blake3::hash(&previous.0).as_bytes().first_chunk().unwrap();
            let sealed = payload::seal(&place.key.1, &context, &salt, &body.to_bytes()).unwrap();
            let mut op = Op::new(context, sealed);
            op.extension = extension.map(<[u8]>::to_vec);
            place.last = Some((seq + 1, op.form.id()));
            ops.push(op);
        }
        ops
    }

    /// The next text in a thread claims to come after all that can be.
    pub async fn jump(&mut self, thread: ThreadId, lamport: u64) {
        self.look(thread).await;
        self.places.get_mut(&thread).unwrap().lamport = lamport;
    }

    /// Writes texts into a thread: its page, in segments as a device sends them.
    pub async fn write(&mut self, thread: ThreadId, texts: &[String]) -> Vec<u8> {
        if !self.places.contains_key(&thread) {
            self.look(thread).await;
        }
        let says = texts.iter().map(|text| {
            Say::Text(Text {
                text: text.clone(),
                reply_to: None,
            })
        });
        let ops = self.ops(thread, says);
        let segments = ops.chunks(page::MAX_SEGMENT_OPS);
        segments
            .flat_map(|ops| bare::segment(&self.person, ops))
            .collect()
    }

    /// Writes texts, each with an extension of so many bytes, that the last one's signature proves: a page
    /// with the first alone and links up to there, and a page with the others.
    pub async fn write_far(
        &mut self,
        thread: ThreadId,
        texts: &[String],
        extension_bytes: usize,
    ) -> [Vec<u8>; 2] {
        self.look(thread).await;
        let says = texts.iter().map(|text| {
            Say::Text(Text {
                text: text.clone(),
                reply_to: None,
            })
        });
        let ops = self.ops_with(thread, says, Some(&vec![7; extension_bytes]));
        let others = bare::segment(&self.person, &ops[1..]);
        let links = ops.len() - 1;
        [bare::segment_with_links(&self.person, &ops, links), others]
    }

    /// Calls a job something, as it is.
    pub async fn title(&mut self, thread: ThreadId, title: &str) {
        self.look(thread).await;
        let set = Set {
            field: field::TITLE,
            subject: None,
            value: Some(title.to_owned()),
            names: Vec::new(),
        };
        let ops = self.ops(thread, std::iter::once(Say::Set(set)));
        self.push(vec![bare::segment(&self.person, &ops)]).await;
    }

    /// Says what somebody else said, pictures and all, as its own; which op that is.
    pub async fn repeat(&mut self, thread: ThreadId, of: &OpId) -> OpId {
        self.look(thread).await;
        let said = self.heard.get(of).expect("it was said here").clone();
        let ops = self.ops(thread, std::iter::once(said));
        self.push(vec![bare::segment(&self.person, &ops)]).await;
        ops[0].form.id()
    }

    /// Writes a document, but names another identity than what opens it.
    pub async fn document_that_opens_for_nobody(&mut self, thread: ThreadId, file: &[u8]) -> OpId {
        self.look(thread).await;
        let mut sealed = Vec::new();
        let blob = crypt::seal_blob(file, &mut sealed).unwrap();
        let new = NewUpload {
            blob: blob.id,
            sealed_bytes: blob.sealed_bytes,
            thread,
        };
        let Upload::Open { name, .. } = self.hub.create_upload(new).await.unwrap() else {
            panic!("a new upload is open");
        };
        self.hub.append_upload(&name, 0, sealed).await.unwrap();
        let document = Document {
            file: BlobRef {
                blob: blob.id,
                sealed_bytes: blob.sealed_bytes,
                identity: *Identity::generate().unwrap().as_bytes(),
                plain_hash: blob.plain.blake3,
                plain_bytes: blob.plain.bytes,
            },
            name: "Statik.bin".to_owned(),
            media_type: "application/octet-stream".to_owned(),
            caption: None,
            reply_to: None,
        };
        let ops = self.ops(thread, std::iter::once(Say::Document(Box::new(document))));
        self.push(vec![bare::segment(&self.person, &ops)]).await;
        ops[0].form.id()
    }

    /// Hands pages over.
    pub async fn push(&self, pages: Vec<Vec<u8>>) {
        let mut full = Vec::new();
        for page in pages.into_iter().chain([Vec::new()]) {
            let is_last = page.is_empty();
            if !full.is_empty() && (is_last || full.len() + page.len() > PAGE_BYTES) {
                let push = Push {
                    page: std::mem::take(&mut full).into(),
                    parts: vec![],
                };
                let answer = self.hub.push(push).await.unwrap();
                assert_eq!(answer.outcomes, []);
            }
            full.extend(page);
        }
    }

    /// The roster as the hub has it now.
    pub async fn roster(&self) -> Roster {
        roster_at(&self.hub, self.company).await
    }

    /// The company it writes in.
    pub const fn company(&self) -> CompanyId {
        self.company
    }

    /// The person's key.
    pub fn key(&self) -> &SigningKey {
        &self.person
    }
}
