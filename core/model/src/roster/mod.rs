//! The roster: one signed chain of people, roles, devices, seats and rings.
//!
//! No member list, key or role is ever taken from elsewhere. An op without the right stays in the
//! chain and changes nothing, so that a bad op can't block the good ones after it. Nothing here
//! takes the hub's word for anything.

pub mod change;
pub mod state;

use std::collections::BTreeMap;

use crate::cbor;
use crate::hash::{h, label};
use crate::ids::{
    CompanyId, DeviceId, Hash32, OpId, PublicKey, RingId, RosterDigest, RosterPosition, SeatId,
    StoreId, StrandHead, ThreadId,
};
use crate::op::{Class, ClassByte, Context, SUITE_1, Unknown};
use crate::page::ReceivedSegment;
use crate::payload;
use crate::strand::{self, Refusal, VerifiedOp};
use change::{Change, DeviceKind, RingKind, Role, RosterBody, SeatKind};
use state::{Author, Device, Ended, PreviousSecret, Ring, Seat, State, Void, WrapRecord};

/// Why a roster op isn't taken at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RosterRefusal {
    /// Not the next link: its place, thread, company or predecessor is another. A hub that shows
    /// two links on one predecessor lies.
    #[error("not the next link of this roster")]
    NotNext,
    /// The founding doesn't prove the company's id.
    #[error("founding does not prove the company")]
    Founding,
    /// Its author has no certificate in this chain: invented.
    #[error("author is not certified by this roster")]
    Author,
    /// Form or signature.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// What an appended op did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Its changes hold.
    Applied,
    /// It stays in the chain and changes nothing.
    Void(Void),
}

/// A link of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// The op.
    pub id: OpId,
    /// Its position.
    pub position: RosterPosition,
    /// The digest of the state after it.
    pub digest: RosterDigest,
    /// What it did.
    pub effect: Effect,
}

/// How an op's named position stands to this roster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// Known, digest and all.
    Known,
    /// Beyond what is here: held.
    NotHereYet,
    /// A position that this chain never had.
    Foreign,
}

/// The chain as far as it is known, and the state it leads to.
#[derive(Debug, Clone)]
pub struct Roster {
    company: CompanyId,
    links: Vec<Link>,
    state: State,
    cut_lists: BTreeMap<Hash32, Vec<StrandHead>>,
    newer_app_from: Option<RosterPosition>,
}

impl Roster {
    /// An empty roster of a company whose id is known.
    #[must_use]
    pub fn new(company: CompanyId) -> Self {
        Self {
            company,
            links: Vec::new(),
            state: State::default(),
            cut_lists: BTreeMap::new(),
            newer_app_from: None,
        }
    }

    /// Proves the next op's form, chain and author.
    pub fn verify(&self, segment: ReceivedSegment) -> Result<VerifiedOp, RosterRefusal> {
        let [op] = segment.ops.as_slice() else {
            return Err(RosterRefusal::NotNext);
        };
        let context = op.context();
        let next = u32::try_from(self.links.len()).map_or(0, |n| n + 1);
        let before = self.links.last().map_or(OpId::ZERO, |link| link.id);
        if context.company != self.company
            || context.thread != self.company.roster_thread()
            || context.class.class != Class::Roster
            || context.seq != next
            || context.previous != before
        {
            return Err(RosterRefusal::NotNext);
        }
        let key = match self.state.root_key {
            None => self.founding_key(op)?,
            Some(root) if SeatId::of_key(&root) == context.seat => root,
            Some(_) => {
                self.state
                    .seats
                    .get(&context.seat)
                    .ok_or(RosterRefusal::Author)?
                    .cert
                    .key
            }
        };
        if SeatId::of_key(&key) != context.seat {
            return Err(RosterRefusal::Author);
        }
        strand::verify(segment, &key, SUITE_1)?
            .ops
            .pop()
            .ok_or(RosterRefusal::NotNext)
    }

    fn founding_key(&self, op: &crate::op::Op) -> Result<PublicKey, RosterRefusal> {
        let body = read_body(op.payload.as_deref()).ok_or(RosterRefusal::Founding)?;
        match body.changes.first() {
            Some(Change::Found(found)) if CompanyId::of_root(&found.root_key) == self.company => {
                Ok(found.root_key)
            }
            _ => Err(RosterRefusal::Founding),
        }
    }

    /// Appends the next op; must come from [`Roster::verify`] or the own log, in order.
    pub fn append(&mut self, op: &VerifiedOp) -> Effect {
        let context = op.context();
        let position = self.position_of_next(&context.seat);
        let mut digest = self.head().1;
        let effect = match self.try_apply(op, position) {
            Ok((state, stated)) => {
                self.state = state;
                digest = stated;
                Effect::Applied
            }
            Err(void) => {
                if void == Void::Newer {
                    self.newer_app_from.get_or_insert(position);
                }
                Effect::Void(void)
            }
        };
        self.links.push(Link {
            id: op.id(),
            position,
            digest,
            effect,
        });
        effect
    }

    /// The state after an op, and the digest it states.
    fn try_apply(
        &self,
        op: &VerifiedOp,
        position: RosterPosition,
    ) -> Result<(State, RosterDigest), Void> {
        let context = op.context();
        if self.newer_app_from.is_some() {
            return Err(Void::Newer);
        }
        let (before, digest) = self.head();
        if (context.roster, context.roster_digest) != (before, digest) {
            return Err(Void::Position);
        }
        let body = read_body(op.op().payload.as_deref()).ok_or(Void::Malformed)?;
        let author = self.author(&context.seat);
        let state = self
            .state
            .after(&self.company, author, position, &body.changes)?;
        let newer = body.changes.iter().any(|c| matches!(c, Change::Unknown(_)));
        if newer && context.class.unknown == Unknown::MustBeUnderstood {
            return Err(Void::Newer);
        }
        if !state.passed_over && state.digest() != body.digest_after {
            return Err(Void::Digest);
        }
        Ok((state, body.digest_after))
    }

    fn author(&self, seat: &SeatId) -> Author {
        match &self.state.root_key {
            None => Author::Root,
            Some(root) if SeatId::of_key(root) == *seat => Author::Root,
            Some(_) if self.ends_of(seat).next().is_some() => Author::Nobody,
            Some(_) => match self.state.seats.get(seat) {
                Some(record) if record.cert.kind == SeatKind::Person => record
                    .roles
                    .last()
                    .map_or(Author::Nobody, |(_, role)| Author::Seat(*role)),
                _ => Author::Nobody,
            },
        }
    }

    fn position_of_next(&self, author: &SeatId) -> RosterPosition {
        let number = u32::try_from(self.links.len()).map_or(u32::MAX, |n| n.saturating_add(1));
        let is_root = self
            .state
            .root_key
            .is_some_and(|root| SeatId::of_key(&root) == *author);
        let term = self.head().0.term().saturating_add(u8::from(is_root));
        RosterPosition::new(term, number.min(RosterPosition::MAX_NUMBER)).unwrap_or_default()
    }

    /// The context and body of the next roster op by `author`, ready to be signed; the body's
    /// digest is computed here so that every app states the same.
    pub fn draft(
        &self,
        author: &PublicKey,
        lamport: u64,
        time_ms: u64,
        changes: Vec<Change>,
    ) -> Result<(Context, Vec<u8>), Void> {
        // A digest that this app can't compute it can't state either.
        if self.newer_app_from.is_some() || self.state.passed_over {
            return Err(Void::Newer);
        }
        let seat = SeatId::of_key(author);
        let (roster, roster_digest) = self.head();
        let position = self.position_of_next(&seat);
        let state = self
            .state
            .after(&self.company, self.author(&seat), position, &changes)?;
        let context = Context {
            suite: SUITE_1,
            class: ClassByte::plain(Class::Roster),
            company: self.company,
            thread: self.company.roster_thread(),
            seat,
            store: StoreId::ZERO,
            seq: u32::try_from(self.links.len()).map_or(u32::MAX, |n| n.saturating_add(1)),
            previous: self.links.last().map_or(OpId::ZERO, |link| link.id),
            roster,
            roster_digest,
            key: crate::ids::KeyId::ZERO,
            lamport,
            time_ms,
            extension_hash: Hash32::ZERO,
        };
        let body = RosterBody {
            digest_after: state.digest(),
            changes,
        };
        Ok((context, cbor::encode(&body)))
    }

    /// Takes a cut list that came beside a roster op; kept only if some end names its hash.
    pub fn add_part(&mut self, part: &[u8]) {
        let hash = part_hash(part);
        let named = self
            .state
            .ended
            .iter()
            .any(|end| end.cuts.values().any(|h| *h == hash));
        if let (true, Ok(heads)) = (named, change::read_cut_list(part)) {
            self.cut_lists.insert(hash, heads);
        }
    }

    /// The company.
    #[must_use]
    pub const fn company(&self) -> CompanyId {
        self.company
    }

    /// The newest position and its digest; zero before the founding.
    #[must_use]
    pub fn head(&self) -> (RosterPosition, RosterDigest) {
        self.links
            .last()
            .map_or((RosterPosition(0), RosterDigest::ZERO), |link| {
                (link.position, link.digest)
            })
    }

    /// The links, oldest first.
    #[must_use]
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// Whether an op must be understood that this app doesn't know.
    #[must_use]
    pub const fn needs_newer_app(&self) -> bool {
        self.newer_app_from.is_some()
    }

    /// The first position whose op must be understood and isn't: from here on all waits.
    #[must_use]
    pub const fn newer_app_from(&self) -> Option<RosterPosition> {
        self.newer_app_from
    }

    /// How a position that an op names stands to this chain.
    #[must_use]
    pub fn named(&self, position: RosterPosition, digest: &RosterDigest) -> Named {
        let (newest, _) = self.head();
        // Positions rise along the chain.
        let at = self
            .links
            .binary_search_by_key(&position, |link| link.position);
        match at.ok().and_then(|at| self.links.get(at)) {
            Some(link) if link.digest == *digest => Named::Known,
            None if position.number() > newest.number() || position.term() > newest.term() => {
                Named::NotHereYet
            }
            _ => Named::Foreign,
        }
    }

    /// The hub's certified signing key.
    #[must_use]
    pub const fn hub_key(&self) -> Option<&PublicKey> {
        self.state.hub_key.as_ref()
    }

    /// The root's signing key.
    #[must_use]
    pub const fn root_key(&self) -> Option<&PublicKey> {
        self.state.root_key.as_ref()
    }

    /// A seat.
    #[must_use]
    pub fn seat(&self, seat: &SeatId) -> Option<&Seat> {
        self.state.seats.get(seat)
    }

    /// A device.
    #[must_use]
    pub fn device(&self, device: &DeviceId) -> Option<&Device> {
        self.state.devices.get(device)
    }

    /// A ring.
    #[must_use]
    pub fn ring(&self, ring: &RingId) -> Option<&Ring> {
        self.state.rings.get(ring)
    }

    /// All seats.
    pub fn seats(&self) -> impl Iterator<Item = (&SeatId, &Seat)> {
        self.state.seats.iter()
    }

    /// All devices.
    pub fn devices(&self) -> impl Iterator<Item = (&DeviceId, &Device)> {
        self.state.devices.iter()
    }

    /// All rings.
    pub fn rings(&self) -> impl Iterator<Item = (&RingId, &Ring)> {
        self.state.rings.iter()
    }

    /// The one ring of a kind of which there is one (office, recovery).
    #[must_use]
    pub fn the_ring(&self, kind: RingKind) -> Option<RingId> {
        self.state
            .rings
            .iter()
            .find(|(_, ring)| ring.kind == kind)
            .map(|(id, _)| *id)
    }

    /// The newest generation of a ring and its recipient.
    #[must_use]
    pub fn newest_generation(&self, ring: &RingId) -> Option<(u32, &change::Recipient)> {
        let ring = self.state.rings.get(ring)?;
        Some((
            u32::try_from(ring.generations.len()).ok()?,
            ring.generations.last()?,
        ))
    }

    /// Wrapped ring secrets.
    #[must_use]
    pub fn wraps(&self) -> &[WrapRecord] {
        &self.state.wraps
    }

    /// Sealed secrets of earlier ring generations.
    #[must_use]
    pub fn previous_secrets(&self) -> &[PreviousSecret] {
        &self.state.previous_secrets
    }

    /// What ended a seat's rights.
    pub fn ends_of(&self, seat: &SeatId) -> impl Iterator<Item = &Ended> {
        let cert = self.state.seats.get(seat).map(|record| &record.cert);
        let seat = *seat;
        self.state
            .ended
            .iter()
            .filter(move |end| cert.is_some_and(|cert| state::covers(&end.subject, &seat, cert)))
    }

    /// The cut list of a hard end for a thread. `None`: not here yet. An unlisted thread ends at
    /// zero everywhere: an empty list.
    #[must_use]
    pub fn cut(&self, end: &Ended, thread: &ThreadId) -> Option<&[StrandHead]> {
        match end.cuts.get(thread) {
            None => Some(&[]),
            Some(hash) => self.cut_lists.get(hash).map(Vec::as_slice),
        }
    }

    /// A seat's role as of a position; `None` if it wasn't certified there.
    #[must_use]
    pub fn role_at(&self, seat: &SeatId, at: RosterPosition) -> Option<Role> {
        at_position(&self.state.seats.get(seat)?.roles, at).copied()
    }

    /// The rings a seat speaks for as of a position.
    #[must_use]
    pub fn speaks_for(&self, seat: &SeatId, at: RosterPosition) -> Vec<RingId> {
        let Some((record, role)) = self.state.seats.get(seat).zip(self.role_at(seat, at)) else {
            return Vec::new();
        };
        let device = self.state.devices.get(&record.cert.device);
        let crew = device.and_then(|d| at_position(&d.crews, at).copied().flatten());
        let office_device = device.is_some_and(|d| d.cert.kind == DeviceKind::Office);
        let office = match record.cert.kind {
            SeatKind::Person => role >= Role::Office,
            SeatKind::Device => office_device,
            SeatKind::Guest | SeatKind::Import => false,
        };
        let office = if office {
            self.the_ring(RingKind::Office)
        } else {
            None
        };
        record
            .cert
            .person
            .into_iter()
            .chain(crew)
            .chain(office)
            .collect()
    }

    /// The rings whose ops a device may receive, as of now: its crew's, its people's, the
    /// office's. None for a device that has ended.
    #[must_use]
    pub fn rings_of_device(&self, device: &DeviceId) -> Vec<RingId> {
        let Some(record) = self.state.devices.get(device) else {
            return Vec::new();
        };
        if self.device_has_ended(device) {
            return Vec::new();
        }
        let crew = record.crews.last().and_then(|(_, crew)| *crew);
        let office = (record.cert.kind == DeviceKind::Office)
            .then(|| self.the_ring(RingKind::Office))
            .flatten();
        let people = self
            .state
            .seats
            .iter()
            .filter(|(id, seat)| seat.cert.device == *device && self.ends_of(id).next().is_none())
            .filter_map(|(_, seat)| seat.cert.person);
        let mut rings: Vec<RingId> = people.chain(crew).chain(office).collect();
        rings.sort_unstable();
        rings.dedup();
        rings
    }

    /// What ended a device's rights first.
    #[must_use]
    pub fn end_of_device(&self, device: &DeviceId) -> Option<&Ended> {
        self.state
            .ended
            .iter()
            .find(|end| matches!(end.subject, change::Subject::Device(id) if id == *device))
    }

    /// Whether a device's rights have ended.
    #[must_use]
    pub fn device_has_ended(&self, device: &DeviceId) -> bool {
        self.end_of_device(device).is_some()
    }
}

fn at_position<T>(history: &[(RosterPosition, T)], at: RosterPosition) -> Option<&T> {
    history
        .iter()
        .rev()
        .find(|(since, _)| *since <= at)
        .map(|(_, value)| value)
}

/// Reads the clear body of a roster payload.
#[must_use]
pub fn read_body(payload: Option<&[u8]>) -> Option<RosterBody> {
    cbor::decode(payload::clear_body(payload?).ok()?).ok()
}

/// The hash that names a part (wrap file, history seal, cut list).
#[must_use]
pub fn part_hash(part: &[u8]) -> Hash32 {
    Hash32(h(label::PART, &[part]))
}
