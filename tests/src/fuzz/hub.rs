//! Devices and a hub: pages in any order, cut, changed, twice, on branches; read by another device
//! and handed to another hub.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use arbitrary::{Result, Unstructured};
use kolonne_hub::{Connection, Env, HubService, Quotas};
use kolonne_model::control::{
    Admit, Control, Erase, EraseReason, KeyMade, KeyRing, MemberChange, MemberWrite, Members,
    StrandCut,
};
use kolonne_model::hub::{
    Fetch, Heads, Hub, HubError, LastOps, Part, Pull, PullAnswer, Push, PushAnswer, RosterFrom,
};
use kolonne_model::ids::{Hash32, Head, OpId, RingId, SeatId, StoreId, ThreadId, head_sum};
use kolonne_model::op::{self, Class, Op};
use kolonne_model::page::{self, NoBases, SegmentToSend, StrandName};
use kolonne_model::roster::part_hash;
use kolonne_model::{cbor, payload, strand};
use tempfile::TempDir;

use crate::bare::{Bare, TIME_MS};
use crate::files::copy_folder;

/// Most steps of one run.
const STEPS: usize = 32;
/// A part that key ops name.
const WRAP: &[u8] = b"what only the ring opens";

/// In memory, where the system has such a folder.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        TempDir::new_in(memory).unwrap()
    } else {
        TempDir::new().unwrap()
    }
}

fn env() -> Env {
    let counter = AtomicU64::new(1);
    Env::new(
        || TIME_MS,
        move |bytes| {
            for chunk in bytes.chunks_mut(32) {
                let n = counter.fetch_add(1, Ordering::Relaxed);
                let block = *blake3::hash(&n.to_be_bytes()).as_bytes();
                chunk.copy_from_slice(&block[..chunk.len()]);
            }
        },
    )
}

fn open(data: &Path) -> Arc<HubService> {
    HubService::open(data, env(), Quotas::default()).unwrap()
}

/// A future that never waits, done.
fn now<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        std::task::Poll::Ready(out) => out,
        std::task::Poll::Pending => panic!("would wait"),
    }
}

/// The company, and the folder of a hub at which it was founded.
fn founded() -> &'static (Bare, PathBuf) {
    static FOUNDED: OnceLock<(Bare, PathBuf)> = OnceLock::new();
    FOUNDED.get_or_init(|| {
        use kolonne_model::hub::{AppendRoster, Door};
        let company = Bare::new(2, 2);
        let folder = folder().keep();
        let hub = open(&folder);
        now(hub.door().found(company.founding())).unwrap();
        let office = hub.connect(company.id, company.devices[0].id);
        for page in &company.pages[1..] {
            let append = AppendRoster {
                page: page.clone().into(),
                parts: vec![],
            };
            now(office.append_roster(append)).unwrap();
        }
        (company, folder)
    })
}

/// One strand as its author has it.
struct Pen {
    device: usize,
    ops: Vec<Op>,
}

struct Meeting {
    company: &'static Bare,
    hub: Arc<HubService>,
    _folder: TempDir,
    pens: Vec<Pen>,
    /// Everything that somebody signed.
    written: BTreeSet<OpId>,
    handles: BTreeMap<ThreadId, u64>,
    cursors: [Option<kolonne_model::hub::Cursor>; 3],
}

impl Meeting {
    fn new() -> Self {
        let (company, template) = founded();
        let folder = folder();
        copy_folder(template, folder.path());
        let hub = open(folder.path());
        let mut meeting = Self {
            company,
            hub,
            _folder: folder,
            pens: Vec::new(),
            written: BTreeSet::new(),
            handles: BTreeMap::new(),
            cursors: [None; 3],
        };
        // Each device opens a job for the crew.
        for device in 0..3 {
            let author = &company.devices[device].person;
            let opened = company.open_job(author, company.crew, device as u8);
            meeting.keep(device, vec![opened]);
        }
        // Everyone writes in the first one.
        for device in 1..3 {
            let author = &company.devices[device].person;
            let thread = meeting.pens[0].ops[0].context().thread;
            let at = (thread, StoreId([1; 8]));
            let context = company.context(author, at, Class::Data, None);
            meeting.keep(device, vec![Op::new(context, vec![1; 40])]);
        }
        meeting
    }

    fn keep(&mut self, device: usize, ops: Vec<Op>) {
        self.written.extend(ops.iter().map(|op| op.form.id()));
        self.pens.push(Pen { device, ops });
    }

    fn connection(&self, device: usize) -> Connection {
        let device = self.company.devices[device].id;
        self.hub.connect(self.company.id, device)
    }

    /// The next op of a strand, or of a branch of it.
    fn write(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let at = u.choose_index(self.pens.len())?;
        let pen = &self.pens[at];
        let author = self.company.devices[pen.device].person.clone();
        let branch = u.ratio(1, 8)?;
        let kept = if branch {
            u.int_in_range(1..=pen.ops.len())?
        } else {
            pen.ops.len()
        };
        let before = &pen.ops[kept - 1];
        let op = if u.ratio(2, 3)? {
            let length = u.int_in_range(0..=300)?;
            let sealed = vec![u.arbitrary()?; length];
            self.company.data(&author, before, sealed)
        } else {
            let body = self.control(u)?;
            let place = (before.context().thread, before.context().store);
            let context = self
                .company
                .context(&author, place, Class::Control, Some(before));
            Op::new(context, payload::clear(&[u.arbitrary()?; 12], &body))
        };
        self.written.insert(op.form.id());
        if branch {
            let mut ops = pen.ops[..kept].to_vec();
            ops.push(op);
            let device = pen.device;
            self.pens.push(Pen { device, ops });
        } else {
            self.pens[at].ops.push(op);
        }
        Ok(())
    }

    fn any_op(&self, u: &mut Unstructured<'_>) -> Result<&Op> {
        let pen = u.choose(&self.pens)?;
        u.choose(&pen.ops)
    }

    fn any_ring(&self, u: &mut Unstructured<'_>) -> Result<RingId> {
        let rings: Vec<RingId> = self.company.roster.rings().map(|(id, _)| *id).collect();
        Ok(*u.choose(&rings)?)
    }

    fn control(&self, u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
        let op = self.any_op(u)?;
        let cut = StrandCut {
            seat: op.context().seat,
            store: op.context().store,
            head: Head {
                seq: op.context().seq,
                id: op.form.id(),
            },
        };
        Ok(match u.int_in_range(0..=5)? {
            0 | 1 => {
                let change = if u.arbitrary()? {
                    MemberChange::In { stays_out: vec![] }
                } else {
                    MemberChange::Out { cut: vec![cut] }
                };
                cbor::encode(&Control::Members(Members {
                    writes: vec![MemberWrite {
                        ring: self.any_ring(u)?,
                        change,
                        names: vec![op.form.id().short()],
                    }],
                }))
            }
            2 => cbor::encode(&Control::KeyMade(KeyMade {
                hash: Hash32([u.arbitrary()?; 32]),
                rings: vec![KeyRing {
                    ring: self.any_ring(u)?,
                    generation: 1,
                    file: 0,
                }],
                files: vec![part_hash(WRAP)],
                seals: vec![],
            })),
            3 => cbor::encode(&Control::Erase(Erase {
                ops: vec![op.form.id()],
                reason: EraseReason::Mistake,
                blobs: None,
                days: Some(u.int_in_range(0..=3)?),
            })),
            4 => cbor::encode(&Control::Admit(Admit { through: vec![cut] })),
            _ => {
                let length = u.int_in_range(0..=60)?.min(u.len());
                u.bytes(length)?.to_vec()
            }
        })
    }

    /// A page of some strands, as their authors may send it.
    fn page(&self, u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
        let mut page = Vec::new();
        for _ in 0..u.int_in_range(1..=3)? {
            let pen = u.choose(&self.pens)?;
            let author = &self.company.devices[pen.device].person;
            let from = if u.ratio(3, 4)? {
                0
            } else {
                u.choose_index(pen.ops.len())?
            };
            let to = u.int_in_range(from + 1..=pen.ops.len())?;
            let mut ops = pen.ops[from..to].to_vec();
            for op in &mut ops {
                if u.ratio(1, 12)? {
                    op.payload = None;
                }
            }
            let strand = ops[0].context().strand();
            let name = match u.int_in_range(0..=3)? {
                0 => StrandName::Handle(self.handles.get(&strand.thread).copied().unwrap_or(1)),
                1 => StrandName::Handle(u.int_in_range(0..=9)?),
                _ => StrandName::Full(strand),
            };
            let builds = from > 0 && u.arbitrary()?;
            let base = builds.then(|| pen.ops[from - 1].context());
            page::write_segment(
                &mut page,
                &SegmentToSend {
                    name,
                    receivers_base: base,
                    ops: &ops,
                    links: u.int_in_range(0..=ops.len() - 1)?.min(3),
                    signature: &op::sign(author, &pen.ops[to - 1].form.id()),
                },
            );
        }
        for _ in 0..u.int_in_range(0..=4_u8)?.saturating_sub(2) {
            let at = u.choose_index(page.len())?;
            match u.int_in_range(0..=2)? {
                0 => page[at] ^= 1 << u.int_in_range(0..=7)?,
                1 => page.truncate(at.max(1)),
                _ => page.insert(at, u.arbitrary()?),
            }
        }
        Ok(page)
    }

    fn push(&mut self, device: usize, page: Vec<u8>, parts: Vec<Part>) {
        let pushed = now(self.connection(device).push(Push {
            page: page.into(),
            parts,
        }));
        let Ok(answer) = pushed else {
            return;
        };
        self.check(&answer);
        for receipt in answer.receipts {
            self.handles
                .insert(receipt.through.strand.thread, receipt.handle);
        }
    }

    /// The hub signs only what its authors signed.
    fn check(&self, answer: &PushAnswer) {
        for receipt in &answer.receipts {
            assert!(receipt.is_good(&self.hub.key(), &self.company.id));
            assert!(
                self.written.contains(&receipt.through.head.id),
                "nobody's op"
            );
        }
        for head in &answer.forked {
            assert!(self.written.contains(&head.head.id), "nobody's branch");
        }
    }

    /// The ops of an answer, proven again by who reads them.
    fn take(&self, page: &[u8]) -> Vec<Op> {
        let mut taken = Vec::new();
        for raw in page::read(page).unwrap() {
            let segment = raw.resolve(&self.company.id, &NoBases).unwrap();
            if segment.strand.thread == self.company.id.roster_thread() {
                continue;
            }
            let seat = segment.strand.seat;
            let key = self.company.roster.seat(&seat).unwrap().cert.key;
            let proven = strand::verify(segment, &key, 1).unwrap();
            taken.extend(proven.ops.into_iter().map(strand::VerifiedOp::into_op));
        }
        for op in &taken {
            assert!(self.written.contains(&op.form.id()), "nobody's op");
        }
        taken
    }

    fn step(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let device = u.int_in_range(0..=2_usize)?;
        match u.int_in_range(0..=11)? {
            0..=4 => self.write(u)?,
            5..=7 => {
                let page = self.page(u)?;
                let mut parts = Vec::new();
                if u.ratio(1, 3)? {
                    let op = self.any_op(u)?.form.id();
                    let bytes = WRAP.to_vec().into();
                    parts.push(Part { op, bytes });
                }
                self.push(device, page, parts);
            }
            8 => {
                let length = u.int_in_range(0..=400)?.min(u.len());
                let page = u.bytes(length)?.to_vec();
                self.push(device, page, vec![]);
            }
            9 => {
                let mut cursor = self.cursors[device];
                if u.ratio(1, 4)?
                    && let Some(cursor) = &mut cursor
                {
                    cursor.hub_seq = u.int_in_range(0..=60)?;
                }
                let limit_bytes = u.int_in_range(0..=3000)?;
                let pulled = now(self.connection(device).pull(Pull {
                    cursor,
                    limit_bytes,
                    start: None,
                }));
                if let Ok(answer) = pulled {
                    self.take(&answer.page);
                    self.cursors[device] = Some(answer.cursor);
                }
            }
            10 => {
                let thread = self.any_op(u)?.context().thread;
                let have = now(self.connection(device).heads(Heads { threads: vec![] }));
                let fetched = now(self.connection(device).fetch(Fetch {
                    thread,
                    have: if u.arbitrary()? {
                        have.unwrap().heads
                    } else {
                        vec![]
                    },
                    limit_bytes: u.int_in_range(0..=3000)?,
                }));
                match fetched {
                    Ok(answer) => drop(self.take(&answer.page)),
                    Err(error) => assert_eq!(error, HubError::NotThere),
                }
            }
            _ => {
                let seats = self.company.roster.seats();
                let seats: Vec<SeatId> = seats.map(|(id, _)| *id).collect();
                let skip = u.int_in_range(0..=3)?;
                if let Ok(answer) = now(self.connection(device).last_ops(LastOps { seats, skip })) {
                    self.take(&answer.page);
                }
                let seq = u.int_in_range(0..=9)?;
                now(self.connection(device).roster(RosterFrom { seq })).unwrap();
            }
        }
        Ok(())
    }

    /// Everything that a device may have.
    fn whole(&self, hub: &Arc<HubService>, device: usize) -> (Vec<u8>, PullAnswer) {
        let connection = hub.connect(self.company.id, self.company.devices[device].id);
        let (mut page, mut cursor) = (Vec::new(), None);
        loop {
            let limit_bytes = 1 << 20;
            let pull = Pull {
                cursor,
                limit_bytes,
                start: None,
            };
            let answer = now(connection.pull(pull)).unwrap();
            page.extend_from_slice(&answer.page);
            for thread in &answer.fill {
                let fetch = Fetch {
                    thread: *thread,
                    have: vec![],
                    limit_bytes,
                };
                page.extend_from_slice(&now(connection.fetch(fetch)).unwrap().page);
            }
            if !answer.more {
                return (page, answer);
            }
            cursor = Some(answer.cursor);
        }
    }
}

/// Devices meet at a hub as the bytes say.
pub fn meeting(bytes: &[u8]) {
    let mut u = Unstructured::new(bytes);
    let mut meeting = Meeting::new();
    for _ in 0..STEPS {
        if u.is_empty() || meeting.step(&mut u).is_err() {
            break;
        }
    }
    let other_folder = folder();
    copy_folder(&founded().1, other_folder.path());
    let other = open(other_folder.path());
    for device in 0..3 {
        let (page, answer) = meeting.whole(&meeting.hub, device);
        meeting.take(&page);
        let connection = meeting.connection(device);
        let heads = now(connection.heads(Heads { threads: vec![] })).unwrap();
        assert_eq!(
            answer.sum,
            head_sum(heads.heads.iter().chain(&heads.roster)),
            "the sum is of the heads"
        );
        // Handed over again it is nothing new, and each piece of it stands.
        let again = now(connection.push(Push {
            page: without_roster(meeting.company, &page).into(),
            parts: vec![],
        }))
        .unwrap();
        assert_eq!(again.outcomes, []);
        let same = now(connection.heads(Heads { threads: vec![] })).unwrap();
        assert_eq!(same.heads, heads.heads);
        // At another hub all of it proves itself.
        let there = other.connect(meeting.company.id, meeting.company.devices[device].id);
        let seeded = now(there.push(Push {
            page: without_roster(meeting.company, &page).into(),
            parts: vec![],
        }))
        .unwrap();
        assert_eq!(seeded.outcomes, []);
    }
    for device in 0..3 {
        let (_, here) = meeting.whole(&meeting.hub, device);
        let (_, there) = meeting.whole(&other, device);
        assert_eq!(here.sum, there.sum, "two hubs with the same ops");
    }
}

fn without_roster(company: &Bare, page: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for raw in page::read(page).unwrap() {
        let segment = raw.resolve(&company.id, &NoBases).unwrap();
        if segment.strand.thread != company.id.roster_thread() {
            page::write_segment(
                &mut out,
                &SegmentToSend {
                    name: StrandName::Full(segment.strand),
                    receivers_base: None,
                    ops: &segment.ops,
                    links: segment.links,
                    signature: &segment.signature,
                },
            );
        }
    }
    out
}
