//! What is known of a seat's lock: shares in safe keeping, five wrong PINs, the office's answers.
//!
//! Which of two words is newer is said by the log's order alone.

use std::collections::{BTreeMap, BTreeSet};

use crate::body::{SeatLocked, WantedSeat};
use crate::ids::OpId;
use crate::judge::Order;
use crate::roster::change::Recipient;

/// Five wrong PINs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedOut {
    /// The op that told of it.
    pub at: Order,
    /// By the device's clock, ms.
    pub time_ms: u64,
    /// Whom the share comes back to.
    pub answer_to: Recipient,
}

/// What a device asked for in place of a seat whose PIN is forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The op that asked.
    pub at: Order,
    /// By the device's clock, ms.
    pub time_ms: u64,
    /// The keys of the new seat; the seat's own: it is wanted itself, so the request is withdrawn.
    pub keys: WantedSeat,
}

/// The lock of a seat, as its device told and the office answered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SeatLock {
    /// The share of the newest PIN, as an age file for the office.
    pub share: Option<(Order, Vec<u8>)>,
    /// The last time it was locked.
    pub locked: Option<LockedOut>,
    /// What the office answered, by the op that told of the lock; one that opens is enough.
    pub answers: BTreeMap<OpId, BTreeSet<Vec<u8>>>,
    /// The seat that is to replace it.
    pub wanted: Option<Wanted>,
}

impl SeatLock {
    /// The lock that the office hasn't opened.
    #[must_use]
    pub fn is_locked(&self) -> Option<&LockedOut> {
        let locked = self.locked.as_ref();
        locked.filter(|locked| !self.answers.contains_key(&locked.at.id))
    }

    /// The newest of each in the log's order.
    pub(super) fn note(&mut self, at: Order, time_ms: u64, told: SeatLocked) {
        if let Some(share) = told.share
            && self.share.as_ref().is_none_or(|(before, _)| *before < at)
        {
            self.share = Some((at, share.to_vec()));
        }
        if let Some(answer_to) = told.answer_to
            && self.locked.as_ref().is_none_or(|before| before.at < at)
        {
            self.locked = Some(LockedOut {
                at,
                time_ms,
                answer_to,
            });
        }
        if let Some(keys) = told.wanted
            && self.wanted.as_ref().is_none_or(|before| before.at < at)
        {
            self.wanted = Some(Wanted { at, time_ms, keys });
        }
    }
}
