//! The roster: one signed chain of people, roles, devices, seats and rings.
//!
//! No member list, key or role is ever taken from elsewhere. An op without the right stays in the
//! chain and changes nothing, so that a bad op can't block the good ones after it. Nothing here
//! takes the hub's word for anything.

mod branch;
pub mod change;
mod read;
pub mod state;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::cbor;
use crate::hash::{h, label};
use crate::ids::{
    CompanyId, Hash32, KeyId, OpId, PublicKey, RosterDigest, RosterPosition, SeatId, StoreId,
    StrandHead,
};
use crate::op::{Class, ClassByte, Context, SUITE_1, Unknown};
use crate::page::{self, NoBases, ReceivedSegment};
use crate::payload;
use crate::strand::{self, Refusal, VerifiedOp};
use branch::{Branch, Next, Step};
use change::{Change, CutOfThread, RosterBody, SeatCert};
use state::{State, Void};

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
    /// Who wrote it.
    pub author: SeatId,
    /// Where what names it is judged: there, or where the chain was left that a root op undid.
    pub judged_at: RosterPosition,
}

impl Link {
    /// Whether it wasn't undone.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.judged_at == self.position
    }
}

/// How an op's named position stands to this roster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// Known, digest and all; to be judged at this position of the chain that holds.
    Known(RosterPosition),
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
    /// What each link did.
    steps: Vec<Arc<Step>>,
    state: State,
    cut_lists: BTreeMap<Hash32, Vec<StrandHead>>,
    newer_app_from: Option<RosterPosition>,
    /// Positions of other branches, each with how many links it shares with this chain.
    elsewhere: BTreeMap<(RosterPosition, RosterDigest), usize>,
    branches: Vec<Branch>,
    /// Seats that were certified off this chain only.
    lapsed: BTreeMap<SeatId, SeatCert>,
}

impl Roster {
    /// An empty roster of a company whose id is known.
    #[must_use]
    pub fn new(company: CompanyId) -> Self {
        Self {
            company,
            links: Vec::new(),
            steps: Vec::new(),
            state: State::default(),
            cut_lists: BTreeMap::new(),
            newer_app_from: None,
            elsewhere: BTreeMap::new(),
            branches: Vec::new(),
            lapsed: BTreeMap::new(),
        }
    }

    /// Proves the next op's form, chain and author.
    pub fn verify(&self, segment: ReceivedSegment) -> Result<VerifiedOp, RosterRefusal> {
        let [op] = &*segment.ops else {
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
        let author = op.context().seat;
        let (position, digest, effect) = match self.try_apply(op) {
            Ok(next) => {
                let to = (next.position, next.digest);
                self.take(next);
                (to.0, to.1, Effect::Applied)
            }
            Err(void) => {
                let position = self.next_position(self.is_root(&author));
                if void == Void::Newer {
                    self.newer_app_from.get_or_insert(position);
                }
                let base = self.links.len();
                self.steps.push(Arc::new(Step {
                    base,
                    applied: Vec::new(),
                }));
                (position, self.head().1, Effect::Void(void))
            }
        };
        self.links.push(Link {
            id: op.id(),
            position,
            digest,
            effect,
            author,
            judged_at: position,
        });
        effect
    }

    /// What an op leads to.
    fn try_apply(&self, op: &VerifiedOp) -> Result<Next, Void> {
        let context = op.context();
        let author = self.state.author(&context.seat);
        let base = self.base(author, (context.roster, context.roster_digest));
        if self.waits_at(base) {
            return Err(Void::Newer);
        }
        let base = base?;
        let body = read_body(op.op().payload.as_deref()).ok_or(Void::Malformed)?;
        let mut next = self.next(author, &context.seat, base, &body.changes)?;
        let newer = body.changes.iter().any(|c| matches!(c, Change::Unknown(_)));
        if newer && context.class.unknown == Unknown::MustBeUnderstood {
            return Err(Void::Newer);
        }
        if !next.state.passed_over && next.state.digest() != body.digest_after {
            return Err(Void::Digest);
        }
        next.digest = body.digest_after;
        Ok(next)
    }

    /// Whether what stands on the first `base` links waits for a newer app. Not what the root says on
    /// links before all that must be understood: else a captured office stops everyone for good.
    fn waits_at(&self, base: Result<usize, Void>) -> bool {
        self.newer_app_from
            .is_some_and(|from| base.map_or(true, |base| self.after(base).0 >= from))
    }

    fn is_root(&self, seat: &SeatId) -> bool {
        let root = self.state.root_key.as_ref();
        root.is_some_and(|root| SeatId::of_key(root) == *seat)
    }

    /// The next op's position; what a root or a merge says opens a term.
    fn next_position(&self, opens_term: bool) -> RosterPosition {
        let number = u32::try_from(self.links.len()).map_or(u32::MAX, |n| n.saturating_add(1));
        let term = self.head().0.term().saturating_add(u8::from(opens_term));
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
        self.draft_on(self.head(), author, lamport, time_ms, changes)
    }

    /// As [`Roster::draft`], by the root, and on an earlier position: what followed is undone.
    pub fn draft_on(
        &self,
        (roster, roster_digest): (RosterPosition, RosterDigest),
        author: &PublicKey,
        lamport: u64,
        time_ms: u64,
        changes: Vec<Change>,
    ) -> Result<(Context, Vec<u8>), Void> {
        let seat = SeatId::of_key(author);
        let rights = self.state.author(&seat);
        let base = self.base(rights, (roster, roster_digest));
        // A digest that this app can't compute it can't state either.
        let on_head = base == Ok(self.links.len());
        if self.waits_at(base) || (on_head && self.state.passed_over) {
            return Err(Void::Newer);
        }
        let next = self.next(rights, &seat, base?, &changes)?;
        if next.state.passed_over {
            return Err(Void::Newer);
        }
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
            key: KeyId::ZERO,
            lamport,
            time_ms,
            extension_hash: Hash32::ZERO,
        };
        let body = RosterBody {
            digest_after: next.state.digest(),
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
        let batches = self.state.cut_batches.values().flatten();
        let named = named || batches.into_iter().any(|cut| cut.list == hash);
        if let (true, Ok(heads)) = (named, change::read_cut_list(part)) {
            self.cut_lists.insert(hash, heads);
        }
    }
}

/// Reads the clear body of a roster payload.
#[must_use]
pub fn read_body(payload: Option<&[u8]>) -> Option<RosterBody> {
    cbor::decode(payload::clear_body(payload?).ok()?).ok()
}

/// The company that a founding payload founds, if its op's author is that root.
#[must_use]
pub fn founds(payload: Option<&[u8]>) -> Option<CompanyId> {
    match read_body(payload)?.changes.first()? {
        Change::Found(found) => Some(CompanyId::of_root(&found.root_key)),
        _ => None,
    }
}

/// The cut lists that a roster payload names, those of a branch it carries too.
#[must_use]
pub fn cuts_named(payload: Option<&[u8]>) -> Vec<CutOfThread> {
    let mut cuts = Vec::new();
    for change in read_body(payload)
        .map(|body| body.changes)
        .unwrap_or_default()
    {
        match change {
            Change::End(end) => cuts.extend(end.cuts),
            Change::Cuts(batch) => cuts.extend(batch.cuts),
            Change::Adopt(adopt) => {
                let page = adopt.branch.as_ref().map(|page| page::read(page));
                for raw in page.and_then(Result::ok).unwrap_or_default() {
                    // Any company will do: only payloads are read.
                    let segment = raw.resolve(&CompanyId::ZERO, &NoBases);
                    for op in segment.map(|segment| segment.ops).unwrap_or_default() {
                        cuts.extend(cuts_named(op.payload.as_deref()));
                    }
                }
            }
            _ => {}
        }
    }
    cuts
}

/// The hash that names a part (wrap file, history seal, cut list).
#[must_use]
pub fn part_hash(part: &[u8]) -> Hash32 {
    Hash32(h(label::PART, &[part]))
}
