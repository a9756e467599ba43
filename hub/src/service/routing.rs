//! Who may receive what: each company's folded roster and thread members, by the same rule as on
//! the devices (`kolonne_model::judge`).
//!
//! Everything here is a cache over the storage, brought up to the company's sequence before use,
//! so a second node that appended is seen too. It decides routing only; it judges nobody's ops.

mod chains;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use kolonne_model::erasure::{BlobErasure, Erasure, Erasures, Standing};
use kolonne_model::ids::{
    BlobId, CompanyId, DeviceId, Hash32, OpId, RingId, RosterPosition, SeatId, ThreadId,
};
use kolonne_model::judge::{Judgement, ThreadOps, control_state};
use kolonne_model::roster::change::{Change, DeviceKind, RingKind};
use kolonne_model::roster::{self, Effect, Roster};
use kolonne_model::strand::VerifiedOp;

use crate::storage::{Company, ErasedThing, Storage, Stored, StoredOp, ToDestroy};
use chains::{Named, add_erased, erasing, last_member_change, named_parts, taken_out};
pub use chains::{all_parts, cut_lists_of, erases};

/// Companies whose rosters stay in memory.
const MAX_COMPANIES: usize = 256;
/// Roster ops read at once.
const ROSTER_BATCH: u32 = 500;

/// A thread's members as the hub routes.
#[derive(Debug, Clone, Default)]
struct Route {
    /// Member rings, each with the hub sequence since when (never too early).
    members: BTreeMap<RingId, u64>,
    /// Rings that were taken out, each with the hub sequence of what took it out: the last that it
    /// may have.
    taken_out: BTreeMap<RingId, u64>,
    erasures: Erasures,
    /// The erases that count, and what lies before them in their strands.
    erasing: BTreeSet<OpId>,
    /// Something waits for the roster: look again when it grows.
    has_held: bool,
    /// Something to erase isn't here yet: look again when anything comes.
    awaits_erased: bool,
}

/// What a device may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Not admitted.
    Unknown,
    /// Its rights ended.
    Ended {
        /// It may have the roster up to this place.
        through: u32,
        /// It hears what is erased in these threads, so that it keeps and brings nothing of it.
        was_in: BTreeSet<ThreadId>,
    },
    /// The recovery kit: the roster, to read and to write; nothing else.
    Root,
    /// Its rings, each with the hub sequence since when it has them.
    Rings(BTreeMap<RingId, u64>),
}

/// A company, folded up to a sequence.
#[derive(Debug, Clone)]
pub struct View {
    /// Up to which hub sequence everything here is.
    pub through: u64,
    // Shared: most of what comes changes nothing of it, and whoever answers still holds it.
    folded: Arc<Folded>,
}

impl Deref for View {
    type Target = Folded;

    fn deref(&self) -> &Folded {
        &self.folded
    }
}

impl View {
    fn new(company: CompanyId) -> Self {
        Self {
            through: 0,
            folded: Arc::new(Folded::new(company)),
        }
    }

    fn refresh(&mut self, storage: &dyn Storage) -> Stored<()> {
        let company = self.roster.company();
        let Some(row) = storage.company(&company)? else {
            return Ok(());
        };
        if row.hub_seq == self.through {
            return Ok(());
        }
        if row.hub_seq < self.through {
            *self = Self::new(company); // the database was put back
        }
        let changed: BTreeSet<ThreadId> = storage
            .threads(&company, self.through)?
            .iter()
            .filter(|thread| thread.control_seq > 0)
            .map(|thread| thread.thread)
            .collect();
        if !changed.is_empty() || self.folded.waits_for(&row) {
            Arc::make_mut(&mut self.folded).refresh(storage, &row, changed)?;
        }
        self.through = row.hub_seq;
        Ok(())
    }
}

/// What routing follows from: a company's roster and its threads' control ops.
#[derive(Debug, Clone)]
pub struct Folded {
    /// Its roster.
    pub roster: Roster,
    roster_seqs: Vec<u64>,
    ended: BTreeMap<DeviceId, u32>,
    /// The place of the newest roster op that certifies a hub.
    hub_key_at: u32,
    /// Which roster ops name cut lists of a thread.
    cuts: BTreeMap<ThreadId, BTreeSet<OpId>>,
    /// Of these, whose lists didn't all come yet.
    lacks_cuts: BTreeSet<OpId>,
    threads: HashMap<ThreadId, Route>,
}

impl Folded {
    fn new(company: CompanyId) -> Self {
        Self {
            roster: Roster::new(company),
            roster_seqs: Vec::new(),
            ended: BTreeMap::new(),
            hub_key_at: 0,
            cuts: BTreeMap::new(),
            lacks_cuts: BTreeSet::new(),
            threads: HashMap::new(),
        }
    }

    /// Whether what comes may change something here, though no thread's control ops did.
    fn waits_for(&self, row: &Company) -> bool {
        usize::try_from(row.roster_len).is_ok_and(|len| len != self.roster_seqs.len())
            || !self.lacks_cuts.is_empty()
            || self.threads.values().any(|route| route.awaits_erased)
    }

    /// Folds what is new; `stale`: the threads whose control ops changed.
    fn refresh(
        &mut self,
        storage: &dyn Storage,
        row: &Company,
        mut stale: BTreeSet<ThreadId>,
    ) -> Stored<()> {
        let company = self.roster.company();
        let known_roster = self.roster_seqs.len();
        let mut moves_members = self.extend_roster(storage, row.roster_len)?;
        let got_cuts = self.add_cuts(storage)?;
        moves_members |= got_cuts;
        let grew = got_cuts || self.roster_seqs.len() > known_roster;
        let waiting = self.threads.iter().filter(|(_, route)| route.awaits_erased);
        stale.extend(waiting.map(|(thread, _)| *thread));
        if grew {
            let waiting = self
                .threads
                .iter()
                .filter(|(_, route)| moves_members || route.has_held);
            stale.extend(waiting.map(|(thread, _)| *thread));
        }
        for thread in stale {
            let mut chains = storage.control_chains(&company, &thread)?;
            let awaits_erased = add_erased(storage, &company, &mut chains)?;
            let before = self
                .threads
                .get(&thread)
                .map(|route| route.erasures.clone());
            self.fold(thread, &chains, row.hub_seq, awaits_erased);
            self.note_erasures(storage, &thread, before.as_ref())?;
        }
        Ok(())
    }

    /// Appends what is new; the answer is whether members of any thread may have changed by it.
    fn extend_roster(&mut self, storage: &dyn Storage, len: u32) -> Stored<bool> {
        let mut ends = false;
        while let Ok(have) = u32::try_from(self.roster_seqs.len())
            && have < len
        {
            let ops = storage.roster_ops(&self.roster.company(), have + 1, ROSTER_BATCH)?;
            if ops.is_empty() {
                break;
            }
            for op in &ops {
                ends |= self.append_roster(op);
            }
        }
        Ok(ends)
    }

    /// Reads the cut lists that came: what an ended seat did before its end counts here as it
    /// does on every device. Whether there was one.
    fn add_cuts(&mut self, storage: &dyn Storage) -> Stored<bool> {
        let mut any = false;
        for op in std::mem::take(&mut self.lacks_cuts) {
            let parts = storage.parts(&self.roster.company(), &op)?;
            let named = storage.op(&self.roster.company(), &op)?;
            let named = named.map_or(0, |op| all_parts(&op.op).len());
            for (_, part) in &parts {
                self.roster.add_part(part);
                any = true;
            }
            if parts.len() < named {
                self.lacks_cuts.insert(op);
            }
        }
        Ok(any)
    }

    /// The roster ops that name cut lists of a thread.
    pub fn cuts_of(&self, thread: &ThreadId) -> impl Iterator<Item = &OpId> {
        self.cuts.get(thread).into_iter().flatten()
    }

    fn append_roster(&mut self, op: &StoredOp) -> bool {
        let undoes = op.op.form.context.roster < self.roster.head().0;
        let effect = self.roster.append(&op.verified());
        self.roster_seqs.push(op.hub_seq.unwrap_or_default());
        let payload = op.op.payload.as_deref();
        let Some(body) = roster::read_body(payload) else {
            return true;
        };
        if effect == Effect::Applied {
            if body.changes.iter().any(|c| matches!(c, Change::HubKey(_))) {
                self.hub_key_at = op.op.form.context.seq;
            }
            for cut in roster::cuts_named(payload) {
                self.cuts.entry(cut.thread).or_default().insert(op.id);
                self.lacks_cuts.insert(op.id);
            }
        }
        let ends = undoes
            || body.changes.iter().any(|change| match change {
                Change::End(_) | Change::Adopt(_) | Change::Unknown(_) => true,
                // These are members of threads without being written there.
                Change::Ring(ring) => {
                    ring.generation == 1
                        && matches!(ring.kind, RingKind::Office | RingKind::Recovery)
                }
                _ => false,
            });
        if ends {
            let (roster, place) = (&self.roster, op.op.form.context.seq);
            self.ended
                .retain(|device, _| roster.device_has_ended(device));
            let ended = roster.devices().map(|(id, _)| *id);
            for device in ended.filter(|id| roster.device_has_ended(id)) {
                self.ended.entry(device).or_insert(place);
            }
        }
        ends
    }

    fn fold(&mut self, thread: ThreadId, chains: &[StoredOp], now_seq: u64, awaits_erased: bool) {
        let ops: Vec<VerifiedOp> = chains.iter().map(StoredOp::verified).collect();
        let state = control_state(&ThreadOps::new(thread, &ops), &self.roster);
        // Folded for the first time here: since the last op that can have changed members.
        let since = if self.threads.contains_key(&thread) {
            now_seq
        } else {
            last_member_change(chains)
        };
        let before = self.threads.remove(&thread).unwrap_or_default().members;
        let members = state
            .member_rings()
            .map(|ring| (ring, before.get(&ring).copied().unwrap_or(since)))
            .collect();
        let taken_out = taken_out(&state, chains);
        let erasing = erasing(&state.erasures, chains);
        let has_held = state
            .judgements
            .values()
            .any(|j| matches!(j, Judgement::Held(_)));
        self.threads.insert(
            thread,
            Route {
                members,
                taken_out,
                erasures: state.erasures,
                erasing,
                has_held,
                awaits_erased,
            },
        );
    }

    /// Tells the storage what may be destroyed.
    fn note_erasures(
        &self,
        storage: &dyn Storage,
        thread: &ThreadId,
        before: Option<&Erasures>,
    ) -> Stored<()> {
        let Some(Route { erasures, .. }) = self.threads.get(thread) else {
            return Ok(());
        };
        if before == Some(erasures) {
            return Ok(());
        }
        let ops = erasures.ops.iter().map(|(op, erasure)| {
            let Erasure {
                standing, by, days, ..
            } = erasure;
            (ErasedThing::Op(*op), *standing, by.first(), *days)
        });
        let blobs = erasures.blobs.iter().map(|(blob, erasure)| {
            let BlobErasure { standing, by, days } = erasure;
            (ErasedThing::Blob(*blob), *standing, by.first(), *days)
        });
        let may_go: Vec<ToDestroy> = ops
            .chain(blobs)
            .filter(|(_, standing, ..)| *standing == Standing::MayGo)
            .filter_map(|(thing, _, erase, days)| {
                let erase = *erase?;
                Some(ToDestroy { thing, erase, days })
            })
            .collect();
        storage.note_erasures(&self.roster.company(), thread, &may_go)
    }

    fn seq_of(&self, at: RosterPosition) -> u64 {
        let index = usize::try_from(at.number())
            .ok()
            .and_then(|n| n.checked_sub(1));
        index
            .and_then(|n| self.roster_seqs.get(n))
            .copied()
            .unwrap_or_default()
    }

    /// What a device may have, as of now.
    #[must_use]
    pub fn access(&self, device: &DeviceId, now_ms: u64) -> Access {
        let Some(record) = self.roster.device(device) else {
            let root = self.roster.root_key().map(DeviceId::of_key);
            return if root == Some(*device) {
                Access::Root
            } else {
                Access::Unknown
            };
        };
        if self.roster.device_has_ended(device) {
            // And up to where it learns which hub takes its last work: it leaves no other way.
            let ended = self.ended.get(device).copied().unwrap_or(1);
            return Access::Ended {
                through: ended.max(self.hub_key_at),
                was_in: self.was_in(device, ended),
            };
        }
        let since = |ring: &RingId| {
            let crew = record
                .crews
                .last()
                .filter(|(_, crew)| crew.as_ref() == Some(ring));
            let office = self.roster.the_ring(RingKind::Office).as_ref() == Some(ring)
                && record.cert.kind == DeviceKind::Office;
            let seats = self
                .roster
                .seats()
                .filter(|(_, seat)| {
                    seat.cert.device == *device && seat.cert.person.as_ref() == Some(ring)
                })
                .map(|(_, seat)| seat.since);
            let first = seats
                .chain(crew.map(|(at, _)| *at))
                .chain(office.then_some(record.since))
                .min()
                .unwrap_or_default();
            let ring_since = self
                .roster
                .ring(ring)
                .map(|ring| ring.since)
                .unwrap_or_default();
            self.seq_of(first.max(ring_since))
        };
        let stands = |seat: &SeatId| self.roster.ends_of(seat).next().is_none();
        // A person whose time is over on this device is served nothing more.
        let is_over = |ring: &RingId| {
            let mut seats = self.roster.seats().filter(|(id, seat)| {
                seat.cert.device == *device && seat.cert.person.as_ref() == Some(ring) && stands(id)
            });
            let over = |until: Option<u64>| until.is_some_and(|until| until <= now_ms);
            let first = seats
                .next()
                .is_some_and(|(_, seat)| over(seat.cert.not_after_ms));
            first && seats.all(|(_, seat)| over(seat.cert.not_after_ms))
        };
        let people: Vec<bool> = self
            .roster
            .seats()
            .filter(|(id, seat)| seat.cert.device == *device && stands(id))
            .filter_map(|(_, seat)| seat.cert.person)
            .map(|person| is_over(&person))
            .collect();
        // Nor is a device on which nobody is left.
        let nobody_left = !people.is_empty() && people.iter().all(|over| *over);
        Access::Rings(
            self.roster
                .rings_of_device(device)
                .iter()
                .filter(|ring| !nobody_left && !is_over(ring))
                .map(|ring| (*ring, since(ring)))
                .collect(),
        )
    }

    /// The threads with erasures that a device was in when a roster op ended it.
    fn was_in(&self, device: &DeviceId, end: u32) -> BTreeSet<ThreadId> {
        let index = usize::try_from(end).ok().and_then(|n| n.checked_sub(1));
        let until = index.and_then(|n| self.roster_seqs.get(n)).copied();
        let record = self.roster.device(device);
        let crew = record.and_then(|record| record.crews.last()?.1);
        let is_office = record.is_some_and(|record| record.cert.kind == DeviceKind::Office);
        let office = is_office.then(|| self.roster.the_ring(RingKind::Office));
        let seats = self.roster.seats();
        let people = seats
            .filter(|(_, seat)| seat.cert.device == *device)
            .filter_map(|(_, seat)| seat.cert.person);
        let rings: BTreeSet<RingId> = people.chain(crew).chain(office.flatten()).collect();
        let was_in = |route: &Route| {
            let since = rings.iter().filter_map(|ring| route.members.get(ring));
            let is_in = since.min().is_some_and(|since| until >= Some(*since));
            is_in || rings.iter().any(|ring| route.taken_out.contains_key(ring))
        };
        let erasing = self
            .threads
            .iter()
            .filter(|(_, route)| !route.erasing.is_empty() && was_in(route));
        erasing.map(|(thread, _)| *thread).collect()
    }

    /// Whether a device whose rights ended gets an op all the same: an erase where it was, or what
    /// lies before one in its strand, which is needed to prove it.
    #[must_use]
    pub fn tells_of_erasure(&self, access: &Access, thread: &ThreadId, op: &OpId) -> bool {
        let Access::Ended { was_in, .. } = access else {
            return false;
        };
        let route = self.threads.get(thread).filter(|_| was_in.contains(thread));
        route.is_some_and(|route| route.erasing.contains(op))
    }

    /// Since which sequence a device with this access sees a thread; none: not at all.
    #[must_use]
    pub fn sees(&self, access: &Access, thread: &ThreadId) -> Option<u64> {
        let Access::Rings(rings) = access else {
            return None;
        };
        let members = &self.threads.get(thread)?.members;
        rings
            .iter()
            .filter_map(|(ring, since)| Some((*members.get(ring)?).max(*since)))
            .min()
    }

    /// Whether a device with this access may have what took this sequence in a thread: all of it as
    /// a member; who was taken out, all up to and with the op that did it, so that they learn of it.
    #[must_use]
    pub fn may_have(&self, access: &Access, thread: &ThreadId, hub_seq: u64) -> bool {
        if self.sees(access, thread).is_some() {
            return true;
        }
        self.had_until(access, thread)
            .is_some_and(|last| hub_seq <= last)
    }

    /// Of a thread that a device with this access was taken out of: the last sequence it may have.
    #[must_use]
    pub fn had_until(&self, access: &Access, thread: &ThreadId) -> Option<u64> {
        let (Access::Rings(rings), Some(route)) = (access, self.threads.get(thread)) else {
            return None;
        };
        rings
            .iter()
            .filter_map(|(ring, since)| {
                // Who came to the ring later was never in the thread.
                let last = *route.taken_out.get(ring)?;
                (*since <= last).then_some(last)
            })
            .max()
    }

    /// The threads a device sees.
    pub fn seen<'a>(&'a self, access: &'a Access) -> impl Iterator<Item = ThreadId> + 'a {
        self.threads
            .keys()
            .filter(|thread| self.sees(access, thread).is_some())
            .copied()
    }

    /// Whether an op's payload was erased.
    #[must_use]
    pub fn is_erased(&self, thread: &ThreadId, op: &OpId) -> bool {
        self.threads
            .get(thread)
            .is_some_and(|route| route.erasures.ops.contains_key(op))
    }

    /// Whether a blob was erased in a thread.
    #[must_use]
    pub fn is_blob_erased(&self, thread: &ThreadId, blob: &BlobId) -> bool {
        self.threads
            .get(thread)
            .is_some_and(|route| route.erasures.blobs.contains_key(blob))
    }

    /// The hashes of those parts of an op that a device may have.
    #[must_use]
    pub fn parts_for(&self, access: &Access, op: &StoredOp) -> BTreeSet<Hash32> {
        let Access::Rings(rings) = access else {
            return BTreeSet::new();
        };
        let thread = &op.op.form.context.thread;
        let hub_seq = op.hub_seq.unwrap_or(u64::MAX);
        match named_parts(&op.op) {
            // Who was taken out keeps the keys he has, and gets none that he missed.
            Named::Key(key) if self.sees(access, thread).is_some() => {
                let rings: Vec<RingId> = rings.keys().copied().collect();
                key.parts_for(&rings).into_iter().collect()
            }
            Named::Wrap(again)
                if rings.contains_key(&again.ring) && self.sees(access, thread).is_some() =>
            {
                BTreeSet::from([again.file])
            }
            Named::Cuts(cuts) => cuts
                .into_iter()
                .filter(|(thread, _)| self.may_have(access, thread, hub_seq))
                .map(|(_, list)| list)
                .collect(),
            _ => BTreeSet::new(),
        }
    }
}

type Slot = Arc<Mutex<View>>;
/// A clock, and each company with when it was last used.
type Slots = (u64, HashMap<CompanyId, (u64, Slot)>);

/// The companies in memory.
#[derive(Debug, Default)]
pub struct Views {
    slots: Mutex<Slots>,
}

impl Views {
    /// A company's view, brought up to date.
    pub fn get(&self, storage: &dyn Storage, company: CompanyId) -> Stored<View> {
        if storage.company(&company)?.is_none() {
            return Ok(View::new(company));
        }
        let slot = self.slot(company);
        let mut view = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(e) = view.refresh(storage) {
            // Half brought up: begin anew next time.
            *view = View::new(company);
            return Err(e);
        }
        Ok(view.clone())
    }

    fn slot(&self, company: CompanyId) -> Slot {
        let mut guard = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let (clock, slots) = &mut *guard;
        *clock += 1;
        if !slots.contains_key(&company)
            && slots.len() >= MAX_COMPANIES
            && let Some(oldest) = slots
                .iter()
                .min_by_key(|(_, (used, _))| *used)
                .map(|(id, _)| *id)
        {
            slots.remove(&oldest);
        }
        let new = || (0, Arc::new(Mutex::new(View::new(company))));
        let (used, slot) = slots.entry(company).or_insert_with(new);
        *used = *clock;
        slot.clone()
    }
}
