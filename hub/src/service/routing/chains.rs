//! What ops name and what a thread's control chains say, as far as routing needs it.
//!
//! It reads clear payloads only, and decides nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use kolonne_model::control::{self, Control, MemberChange};
use kolonne_model::erasure::Erasures;
use kolonne_model::ids::{CompanyId, Hash32, OpId, RingId, ThreadId};
use kolonne_model::judge::{Membership, ThreadControl};
use kolonne_model::op::{Class, Op};
use kolonne_model::roster;

use crate::storage::{Storage, Stored, StoredOp};

pub(super) enum Named {
    Nothing,
    Key(control::KeyMade),
    Wrap(control::WrappedAgain),
    Cuts(Vec<(ThreadId, Hash32)>),
}

pub(super) fn named_parts(op: &Op) -> Named {
    let Some(payload) = op.payload.as_deref() else {
        return Named::Nothing;
    };
    match op.form.context.class.class {
        Class::Control => match control::read(payload) {
            Ok(Control::KeyMade(key)) => Named::Key(key),
            Ok(Control::WrappedAgain(again)) => Named::Wrap(again),
            _ => Named::Nothing,
        },
        Class::Roster => {
            let cuts = roster::cuts_named(Some(payload)).into_iter();
            Named::Cuts(cuts.map(|cut| (cut.thread, cut.list)).collect())
        }
        Class::Data => Named::Nothing,
    }
}

/// The hashes of the cut lists that a roster op names for a thread.
#[must_use]
pub fn cut_lists_of(op: &StoredOp, thread: &ThreadId) -> BTreeSet<Hash32> {
    match named_parts(&op.op) {
        Named::Cuts(cuts) => cuts
            .into_iter()
            .filter(|(of, _)| of == thread)
            .map(|(_, list)| list)
            .collect(),
        _ => BTreeSet::new(),
    }
}

/// Whether an op erases something.
#[must_use]
pub fn erases(op: &Op) -> bool {
    let is_control = op.form.context.class.class == Class::Control;
    let control = op.payload.as_deref().map(control::read);
    is_control && matches!(control, Some(Ok(Control::Erase(_))))
}

/// The hashes of all parts that an op names.
#[must_use]
pub fn all_parts(op: &Op) -> BTreeSet<Hash32> {
    match named_parts(op) {
        Named::Nothing => BTreeSet::new(),
        Named::Key(key) => key.all_parts().into_iter().collect(),
        Named::Wrap(again) => BTreeSet::from([again.file]),
        Named::Cuts(cuts) => cuts.into_iter().map(|(_, list)| list).collect(),
    }
}

/// Adds the data ops that are to be erased, since only what is here is judged; the answer is
/// whether some aren't.
pub(super) fn add_erased(
    storage: &dyn Storage,
    company: &CompanyId,
    chains: &mut Vec<StoredOp>,
) -> Stored<bool> {
    let mut named = BTreeSet::new();
    for op in chains.iter() {
        let control = op.op.payload.as_deref().map(control::read);
        if let Some(Ok(Control::Erase(erase))) = control {
            named.extend(erase.ops);
        }
    }
    let mut awaits = false;
    for id in named {
        if chains.iter().any(|op| op.id == id) {
            continue;
        }
        match storage.op(company, &id)?.filter(|op| op.hub_seq.is_some()) {
            Some(mut op) => {
                op.op.payload = None;
                chains.push(op);
            }
            None => awaits = true,
        }
    }
    Ok(awaits)
}

/// The erases that count, and all that lies before them in their strands.
pub(super) fn erasing(erasures: &Erasures, chains: &[StoredOp]) -> BTreeSet<OpId> {
    let of_ops = erasures.ops.values().flat_map(|erasure| &erasure.by);
    let of_blobs = erasures.blobs.values().flat_map(|erasure| &erasure.by);
    let previous: HashMap<OpId, OpId> = chains
        .iter()
        .map(|op| (op.id, op.op.form.context.previous))
        .collect();
    let mut erasing = BTreeSet::new();
    for erase in of_ops.chain(of_blobs) {
        let mut at = *erase;
        while let Some(before) = previous.get(&at)
            && erasing.insert(at)
        {
            at = *before;
        }
    }
    erasing
}

/// The rings that were taken out of a thread, each with the sequence of the first op that did it
/// and still holds.
pub(super) fn taken_out(state: &ThreadControl, chains: &[StoredOp]) -> BTreeMap<RingId, u64> {
    let is_out = |(_, member): &(&RingId, &Membership)| matches!(member, Membership::Out { .. });
    let mut taken_out = BTreeMap::new();
    for (ring, _) in state.members.iter().filter(is_out) {
        let writes = state.member_writes.get(ring);
        let outs = chains.iter().filter(|op| {
            let control = op.op.payload.as_deref().map(control::read);
            let Some(Ok(Control::Members(members))) = control else {
                return false;
            };
            writes.is_some_and(|writes| writes.contains(&op.id.short()))
                && members.writes.iter().any(|write| {
                    write.ring == *ring && matches!(write.change, MemberChange::Out { .. })
                })
        });
        if let Some(first) = outs.filter_map(|op| op.hub_seq).min() {
            taken_out.insert(*ring, first);
        }
    }
    taken_out
}

pub(super) fn last_member_change(chains: &[StoredOp]) -> u64 {
    chains
        .iter()
        .filter(|op| op.op.form.context.class.class == Class::Control)
        .filter(|op| {
            let control = op.op.payload.as_deref().map(control::read);
            !matches!(
                control,
                Some(Ok(Control::KeyMade(_)
                    | Control::Complaint(_)
                    | Control::WrappedAgain(_)
                    | Control::Erase(_)))
            )
        })
        .filter_map(|op| op.hub_seq)
        .max()
        .unwrap_or_default()
}
