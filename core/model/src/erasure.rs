//! Erasures: what counted erase ops name, and which of it may be destroyed for good.
//!
//! Hidden is at once all that is named; that heals if an erase stops counting. Destroyed never comes
//! back, so one person alone gets no further than [`ALONE_AT_MOST`] in a thread. It is a count and
//! not a time: a clock can be set back, a count can't. Nothing here reads a clock or a payload.

use std::collections::{BTreeMap, BTreeSet};

use crate::control::{Erase, EraseReason};
use crate::ids::{BlobId, OpId, RingId};
use crate::judge::Order;

/// How many ops of a thread one person may have destroyed without a second one.
pub const ALONE_AT_MOST: usize = 100;
/// Blobs that an erase may name for each op that it erases; those beyond are passed over.
pub const BLOBS_PER_OP: usize = 8;
/// Days until what is erased is destroyed, unless the company says otherwise.
pub const USUAL_DAYS: u16 = 7;
/// Most days.
pub const MOST_DAYS: u16 = 365;

/// Days until something is destroyed, as far as it may be said: at least one, so that there is
/// time to notice.
#[must_use]
pub fn days_within_bounds(days: Option<u16>) -> u16 {
    days.unwrap_or(USUAL_DAYS).clamp(1, MOST_DAYS)
}

/// Whether something erased may also be destroyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// It stays hidden: one person alone has erased too much, and a second one has to.
    NeedsSecond,
    /// It may go after the company's delay.
    MayGo,
}

/// An erased op.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasure {
    /// Why, as the first in order says.
    pub reason: EraseReason,
    /// Whether it may be destroyed.
    pub standing: Standing,
    /// The counted erases that name it, in order.
    pub by: Vec<OpId>,
    /// The most days that one of them says.
    pub days: u16,
}

/// A blob that counted erases name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobErasure {
    /// Whether it may be destroyed: with all ops of an erase that names it.
    pub standing: Standing,
    /// The counted erases that name it, in order.
    pub by: Vec<OpId>,
    /// The most days that one of them says.
    pub days: u16,
}

/// What is erased in a thread.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Erasures {
    /// By op.
    pub ops: BTreeMap<OpId, Erasure>,
    /// By blob.
    pub blobs: BTreeMap<BlobId, BlobErasure>,
}

/// An erase that counts, and which of the ops it names it can erase.
pub(crate) struct CountedErase<'a> {
    pub order: Order,
    pub person: RingId,
    pub erase: &'a Erase,
    pub erasable: BTreeSet<OpId>,
}

impl Erasures {
    /// From the counted erases of a thread, in whatever order they are given.
    pub(crate) fn of(mut erases: Vec<CountedErase<'_>>) -> Self {
        erases.sort_by_key(|counted| counted.order);
        let mut persons: BTreeMap<OpId, BTreeSet<RingId>> = BTreeMap::new();
        for counted in &erases {
            for op in &counted.erasable {
                persons.entry(*op).or_default().insert(counted.person);
            }
        }
        let mut this = Self::default();
        let mut alone: BTreeMap<RingId, usize> = BTreeMap::new();
        for counted in &erases {
            let days = days_within_bounds(counted.erase.days);
            for op in &counted.erasable {
                let erasure = this.ops.entry(*op).or_insert_with(|| {
                    let second = persons.get(op).is_some_and(|persons| persons.len() > 1);
                    let standing = if second {
                        Standing::MayGo
                    } else {
                        let count = alone.entry(counted.person).or_default();
                        *count += 1;
                        if *count <= ALONE_AT_MOST {
                            Standing::MayGo
                        } else {
                            Standing::NeedsSecond
                        }
                    };
                    Erasure {
                        reason: counted.erase.reason,
                        standing,
                        by: Vec::new(),
                        days,
                    }
                });
                erasure.by.push(counted.order.id);
                erasure.days = erasure.days.max(days);
            }
        }
        for counted in &erases {
            this.note_blobs(counted);
        }
        this
    }

    fn note_blobs(&mut self, counted: &CountedErase<'_>) {
        let days = days_within_bounds(counted.erase.days);
        let standing = counted
            .erasable
            .iter()
            .filter_map(|op| self.ops.get(op))
            .map(|erasure| erasure.standing)
            .min();
        let Some(standing) = standing else { return };
        let most = counted.erasable.len().saturating_mul(BLOBS_PER_OP);
        for blob in counted.erase.blobs.iter().flatten().take(most) {
            let erasure = self.blobs.entry(*blob).or_insert(BlobErasure {
                standing,
                by: Vec::new(),
                days,
            });
            erasure.standing = erasure.standing.max(standing);
            erasure.by.push(counted.order.id);
            erasure.days = erasure.days.max(days);
        }
    }
}
