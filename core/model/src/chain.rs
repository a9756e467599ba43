//! The ops of one thread as a set, and what their chains alone decide: gaps, branches, lamports.
//!
//! The same set gives the same answer, whatever came first or twice. Nothing here knows a roster
//! or looks into a payload.

use std::collections::{BTreeMap, BTreeSet};

use crate::control::StrandCut;
use crate::ids::{Head, OpId, RosterPosition, SeatId, StoreId, ThreadId};
use crate::op::{Context, MAX_LAMPORT_STEP, SUITE_1};
use crate::strand::VerifiedOp;
use crate::verdict::{Held, Ignored, Judgement};

/// The ops of one thread, as a set, with what their chains alone decide.
pub struct ThreadOps<'a> {
    thread: ThreadId,
    ops: BTreeMap<OpId, &'a VerifiedOp>,
    places: BTreeMap<OpId, Place>,
}

/// Where an op stands among those that follow one another without a gap.
struct Place {
    judgement: Option<Judgement>,
    /// The first op below it without a gap, and its seq.
    root: OpId,
    root_seq: u32,
    /// Its span in a walk over the branches: what follows it lies within.
    enter: usize,
    leave: usize,
}

impl<'a> ThreadOps<'a> {
    /// The set of a thread's ops; ops of other threads and doubles don't matter. Of two copies of
    /// an op the one with its payload is taken.
    pub fn new(thread: ThreadId, ops: impl IntoIterator<Item = &'a VerifiedOp>) -> Self {
        let mut set: BTreeMap<OpId, &VerifiedOp> = BTreeMap::new();
        for op in ops.into_iter().filter(|op| op.context().thread == thread) {
            let kept = set.entry(op.id()).or_insert(op);
            if kept.op().payload.is_none() {
                *kept = op;
            }
        }
        let places = places(&set);
        Self {
            thread,
            ops: set,
            places,
        }
    }

    /// The thread.
    #[must_use]
    pub const fn thread(&self) -> ThreadId {
        self.thread
    }

    /// All ops, by id.
    pub fn iter(&self) -> impl Iterator<Item = &'a VerifiedOp> {
        self.ops.values().copied()
    }

    /// An op.
    #[must_use]
    pub fn get(&self, id: &OpId) -> Option<&'a VerifiedOp> {
        self.ops.get(id).copied()
    }

    /// What the chain decides about an op. `None`: nothing.
    pub(crate) fn chain_says(&self, id: &OpId) -> Option<Judgement> {
        self.places.get(id)?.judgement
    }

    /// Whether `head` includes an op: it is that op, or before it on its branch. What lies below
    /// a gap, or below a head that isn't here, may be on its branch and is taken to be.
    fn reaches(&self, head: &Head, op: &VerifiedOp) -> bool {
        let seq = op.context().seq;
        if head.id == op.id() {
            return true;
        }
        if head.seq <= seq {
            return false;
        }
        let (Some(at), Some(place), Some(here)) = (
            self.ops.get(&head.id),
            self.places.get(&head.id),
            self.places.get(&op.id()),
        ) else {
            return true;
        };
        if at.strand() != op.strand() {
            return false;
        }
        if place.root == here.root {
            return (here.enter..here.leave).contains(&place.enter);
        }
        seq.checked_add(1).is_some_and(|next| place.root_seq > next)
    }

    /// The ops that `has` and all before them on their branch, and that none such follows.
    pub(crate) fn heads_where(&self, has: impl Fn(&VerifiedOp) -> bool) -> Vec<&'a VerifiedOp> {
        let mut by_seq: Vec<&VerifiedOp> = self.iter().collect();
        by_seq.sort_by_key(|op| op.context().seq);
        let mut whole: BTreeSet<OpId> = BTreeSet::new();
        let mut followed: BTreeSet<OpId> = BTreeSet::new();
        for op in &by_seq {
            let first = op.context().seq == 1;
            if (first
                || self
                    .before(op)
                    .is_some_and(|before| whole.contains(&before.id())))
                && has(op)
            {
                whole.insert(op.id());
                followed.insert(op.context().previous);
            }
        }
        by_seq
            .into_iter()
            .filter(|op| whole.contains(&op.id()) && !followed.contains(&op.id()))
            .collect()
    }

    /// These ops and what is before them on their branches, as far as it is here.
    pub(crate) fn through(&self, heads: impl Iterator<Item = OpId>) -> BTreeSet<OpId> {
        let mut through = BTreeSet::new();
        for head in heads {
            let mut at = self.get(&head);
            while let Some(op) = at {
                if !through.insert(op.id()) {
                    break;
                }
                at = self.before(op);
            }
        }
        through
    }

    /// The op before it on its branch.
    fn before(&self, op: &VerifiedOp) -> Option<&'a VerifiedOp> {
        self.get(&op.context().previous)
            .filter(|before| follows(before, op.context()))
    }

    /// What says that the data of a seat's device ran twice or was put back from a copy: two ops in one
    /// place of a strand, of which the later by its clock, or the first of a store that was written in
    /// beside another. One device goes on in a new store only after all that it wrote in the old one.
    #[must_use]
    pub fn ran_twice(&self) -> BTreeMap<OpId, &'a VerifiedOp> {
        struct Strand<'a> {
            first: &'a VerifiedOp,
            last_lamport: u64,
        }
        let by_lamport = |op: &VerifiedOp| (op.context().lamport, op.context().time_ms, op.id());
        let by_clock = |op: &VerifiedOp| (op.context().time_ms, op.id());
        let mut places: BTreeMap<(SeatId, StoreId, u32), &VerifiedOp> = BTreeMap::new();
        let mut strands: BTreeMap<(SeatId, StoreId), Strand<'a>> = BTreeMap::new();
        let mut signs = BTreeMap::new();
        for op in self.iter() {
            if self.chain_says(&op.id()).is_some() {
                continue;
            }
            let Context {
                seat,
                store,
                seq,
                lamport,
                ..
            } = *op.context();
            let earliest = places.entry((seat, store, seq)).or_insert(op);
            if earliest.id() != op.id() {
                let later = if by_clock(op) < by_clock(earliest) {
                    std::mem::replace(earliest, op)
                } else {
                    op
                };
                signs.insert(later.id(), later);
            }
            let strand = strands.entry((seat, store)).or_insert(Strand {
                first: op,
                last_lamport: lamport,
            });
            if by_lamport(op) < by_lamport(strand.first) {
                strand.first = op;
            }
            strand.last_lamport = strand.last_lamport.max(lamport);
        }
        let mut by_seat: BTreeMap<SeatId, Vec<Strand<'_>>> = BTreeMap::new();
        for ((seat, _), strand) in strands {
            by_seat.entry(seat).or_default().push(strand);
        }
        for mut strands in by_seat.into_values() {
            strands.sort_by_key(|strand| by_lamport(strand.first));
            let mut reached = 0;
            for Strand {
                first,
                last_lamport,
            } in strands
            {
                if first.context().lamport <= reached {
                    signs.insert(first.id(), first);
                }
                reached = last_lamport.max(reached);
            }
        }
        signs
    }

    /// Whether one of these cuts includes an op.
    pub(crate) fn within(&self, cuts: &[StrandCut], op: &VerifiedOp) -> bool {
        let context = op.context();
        cuts.iter().any(|cut| {
            cut.seat == context.seat && cut.store == context.store && self.reaches(&cut.head, op)
        })
    }
}

/// What form within the strand decides: held behind a gap, or ignored; and who follows whom.
fn places(ops: &BTreeMap<OpId, &VerifiedOp>) -> BTreeMap<OpId, Place> {
    /// What the ops before it on its branch hand on.
    #[derive(Clone, Copy)]
    struct Before {
        held: bool,
        lamport: u64,
        highest: RosterPosition,
    }
    let mut by_seq: Vec<&VerifiedOp> = ops.values().copied().collect();
    by_seq.sort_by_key(|op| op.context().seq);
    let mut done: BTreeMap<OpId, Before> = BTreeMap::new();
    let mut places: BTreeMap<OpId, Place> = BTreeMap::new();
    let mut followers: BTreeMap<OpId, Vec<OpId>> = BTreeMap::new();
    for op in by_seq {
        let context = op.context();
        let follows = ops
            .get(&context.previous)
            .filter(|before| follows(before, context));
        let inherited = follows.and_then(|before| {
            let place = places.get(&before.id())?;
            Some((*done.get(&before.id())?, place.root, place.root_seq))
        });
        let (before, root, root_seq) = inherited.unwrap_or_else(|| {
            let start = Before {
                held: context.seq != 1,
                lamport: 0,
                highest: RosterPosition(0),
            };
            (start, op.id(), context.seq)
        });
        if inherited.is_some() {
            followers.entry(context.previous).or_default().push(op.id());
        }
        let step = context.lamport.checked_sub(before.lamport);
        let rises = matches!(step, Some(1..=MAX_LAMPORT_STEP));
        let judgement = if before.held {
            Some(Judgement::Held(Held::Predecessor))
        } else if context.suite != SUITE_1 {
            Some(Judgement::Held(Held::NewerApp))
        } else if !rises {
            Some(Judgement::Ignored(Ignored::Lamport))
        } else if context.roster < before.highest {
            Some(Judgement::Ignored(Ignored::RosterFell))
        } else {
            None
        };
        let handed_on = Before {
            held: before.held,
            // An ignored lamport is no step to a higher one.
            lamport: if rises {
                context.lamport
            } else {
                before.lamport
            },
            highest: before.highest.max(context.roster),
        };
        done.insert(op.id(), handed_on);
        places.insert(
            op.id(),
            Place {
                judgement,
                root,
                root_seq,
                enter: 0,
                leave: 0,
            },
        );
    }
    number_branches(&mut places, &followers);
    places
}

/// Numbers the ops so that whether one follows another is two comparisons, however long the
/// strand.
fn number_branches(places: &mut BTreeMap<OpId, Place>, followers: &BTreeMap<OpId, Vec<OpId>>) {
    let roots: Vec<OpId> = places
        .iter()
        .filter(|(id, place)| place.root == **id)
        .map(|(id, _)| *id)
        .collect();
    let mut next = 0usize;
    let mut stack: Vec<(OpId, bool)> = roots.into_iter().map(|id| (id, false)).collect();
    while let Some((id, done)) = stack.pop() {
        let Some(place) = places.get_mut(&id) else {
            continue;
        };
        if done {
            place.leave = next;
            continue;
        }
        place.enter = next;
        next += 1;
        stack.push((id, true));
        stack.extend(
            followers
                .get(&id)
                .into_iter()
                .flatten()
                .map(|id| (*id, false)),
        );
    }
}

fn follows(before: &VerifiedOp, context: &Context) -> bool {
    before.strand() == context.strand() && before.context().seq.checked_add(1) == Some(context.seq)
}
