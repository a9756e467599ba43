//! A thread's control ops as they were judged: how it was opened, who its members are, its keys,
//! complaints and erasures, and which key to send under. It decides nothing: the judge fills it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Judgement, Order};
use crate::control::{Complaint, KeyMade, Opened, Span, StrandCut, ThreadKind, WrappedAgain};
use crate::erasure::Erasures;
use crate::ids::{OpId, OpName, RingId, RosterDigest, RosterPosition, SeatId};
use crate::roster::Roster;

/// A ring's standing in a thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Membership {
    /// A member, but for these spans.
    In {
        /// What stays out.
        stays_out: Vec<Span>,
    },
    /// No member beyond these cuts.
    Out {
        /// The last op that counts, by strand; of several outs each holds.
        cuts: Vec<Vec<StrandCut>>,
    },
}

/// How a thread was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// The op.
    pub op: OpId,
    /// Who opened it.
    pub opener: SeatId,
    /// What it says.
    pub opened: Opened,
}

/// A key op and how it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThreadKeyOp {
    /// Its place in the order.
    pub order: Order,
    /// Who made it.
    pub maker: SeatId,
    /// The roster that its list of rings is of.
    pub roster: (RosterPosition, RosterDigest),
    /// Its judgement: a quarantined key still reads, it just isn't sent under.
    pub judgement: Judgement,
    /// What it says; none when erased.
    pub key: Option<KeyMade>,
}

/// A counted complaint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComplaintMade {
    /// Its place in the order.
    pub order: Order,
    /// What it says.
    pub complaint: Complaint,
    /// Whether nobody has wrapped again since.
    pub is_open: bool,
}

/// A counted wrap in place of a wrong one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrapMade {
    /// Its place in the order.
    pub order: Order,
    /// What it says.
    pub again: WrappedAgain,
}

/// A thread's control ops, judged: members, keys, erasures.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ThreadControl {
    /// How it was opened.
    pub opening: Option<Opening>,
    /// Every ring that is or was a member.
    pub members: BTreeMap<RingId, Membership>,
    /// The counted writes that no other names, by ring: what a next write has to name.
    pub member_writes: BTreeMap<RingId, Vec<OpName>>,
    /// Key ops in order, quarantined ones too.
    pub keys: Vec<ThreadKeyOp>,
    /// Counted complaints, in order.
    pub complaints: Vec<ComplaintMade>,
    /// Counted wraps in place of wrong ones, in order.
    pub wrapped_again: Vec<WrapMade>,
    /// Ops whose payloads are erased.
    pub erased: BTreeSet<OpId>,
    /// The same, with what may become of them.
    pub erasures: Erasures,
    /// What became of each control op.
    pub judgements: BTreeMap<OpId, Judgement>,
    /// A control op that must be understood, of who may change members: no key or member is written
    /// until the app is newer.
    pub needs_newer_app: bool,
}

impl ThreadControl {
    /// The thread's kind.
    #[must_use]
    pub fn kind(&self) -> Option<ThreadKind> {
        self.opening.as_ref().map(|opening| opening.opened.kind)
    }

    /// The rings that are members now.
    pub fn member_rings(&self) -> impl Iterator<Item = RingId> {
        self.members
            .iter()
            .filter(|(_, m)| matches!(m, Membership::In { .. }))
            .map(|(ring, _)| *ring)
    }

    /// Whether one of these rings is a member now.
    #[must_use]
    pub fn has_member(&self, rings: &[RingId]) -> bool {
        self.member_rings().any(|ring| rings.contains(&ring))
    }

    /// The key op to send under: the newest that counts, has no open complaint, is for exactly
    /// the members at their newest generations, and isn't older than one for anyone else: a newer
    /// key opens the older ones, so whoever left could read on. None: make one first.
    #[must_use]
    pub fn key_to_send(&self, roster: &Roster) -> Option<&ThreadKeyOp> {
        let wanted: BTreeSet<(RingId, u32)> = self
            .member_rings()
            .filter_map(|ring| Some((ring, roster.newest_generation(&ring)?.0)))
            .collect();
        let counted = |op: &&ThreadKeyOp| matches!(op.judgement, Judgement::Counted(_));
        for op in self.keys.iter().rev().filter(counted) {
            let has: BTreeSet<(RingId, u32)> = op
                .key
                .as_ref()?
                .rings
                .iter()
                .map(|entry| (entry.ring, entry.generation))
                .collect();
            // Nor one older than a key made by a roster that doesn't hold: its generations may be
            // others under the same numbers.
            let (position, digest) = &op.roster;
            if !has.is_subset(&wanted) || !roster.stands(*position, digest) {
                return None;
            }
            if has == wanted && !self.is_complained_of(&op.order.id) {
                return Some(op);
            }
        }
        None
    }

    /// Whether a complaint about a key op is open.
    #[must_use]
    pub fn is_complained_of(&self, key_op: &OpId) -> bool {
        self.complaints
            .iter()
            .any(|made| made.is_open && made.complaint.key_op == *key_op)
    }

    /// The later wraps of a key op's secret for a ring, newest first.
    pub fn wraps_again_of(
        &self,
        key_op: &OpId,
        ring: &RingId,
    ) -> impl Iterator<Item = &WrappedAgain> {
        let (key_op, ring) = (*key_op, *ring);
        let made = self.wrapped_again.iter().rev().map(|made| &made.again);
        made.filter(move |again| again.key_op == key_op && again.ring == ring)
    }
}
