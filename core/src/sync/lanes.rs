//! What the tracks of one engine share, and when a blob is tried again. Waiting is by the time that
//! passes, never by the wall clock, which people set and batteries lose.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{Budget, SyncReport};
use crate::kolonne::lock;

/// Longest wait between two tries of one blob.
const MAX_WAIT: Duration = Duration::from_mins(10);

/// What waits for its next try (blobs, and threads of which something is missing), and until when. A
/// device that starts tries all at once: how often each blob was tried is in the store.
#[derive(Debug)]
pub(crate) struct Waits<T>(Mutex<BTreeMap<T, Duration>>);

impl<T> Default for Waits<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Ord> Waits<T> {
    /// A try begins, after so many others: should it come to nothing, it waits.
    pub fn begin(&self, what: T, attempts: u32, now: Duration) {
        let wait = Duration::from_secs(2u64 << attempts.min(10)).min(MAX_WAIT);
        lock(&self.0).insert(what, now.saturating_add(wait));
    }

    /// It moved, or may: nothing to wait for.
    pub fn end(&self, what: &T) {
        lock(&self.0).remove(what);
    }

    /// Everything is tried now.
    pub fn end_all(&self) {
        lock(&self.0).clear();
    }

    /// Whether it waits.
    pub fn waits(&self, what: &T, now: Duration) -> bool {
        lock(&self.0).get(what).is_some_and(|until| *until > now)
    }

    /// When the next one is due.
    pub fn next(&self, now: Duration) -> Option<Duration> {
        let waits = lock(&self.0);
        waits.values().filter(|until| **until > now).min().copied()
    }
}

/// What the tracks of one engine share.
#[derive(Clone, Default)]
pub(crate) struct Shared(Arc<Inside>);

#[derive(Default)]
struct Inside {
    now_ms: AtomicU64,
    report: Mutex<SyncReport>,
    budget: Option<Budget>,
}

impl Shared {
    pub fn new(budget: Budget) -> Self {
        Self(Arc::new(Inside {
            budget: Some(budget),
            ..Inside::default()
        }))
    }

    /// The time of this step, since a beginning that only its driver knows.
    pub fn now(&self) -> Duration {
        Duration::from_millis(self.0.now_ms.load(Ordering::Acquire))
    }

    pub fn set_now(&self, now: Duration) {
        let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        self.0.now_ms.store(now_ms, Ordering::Release);
    }

    /// Adds to what this engine did.
    pub fn count(&self, add: impl FnOnce(&mut SyncReport)) {
        add(&mut lock(&self.0.report));
    }

    pub fn report(&self) -> SyncReport {
        *lock(&self.0.report)
    }

    /// Whether no further slice of a blob fits the budget.
    pub fn is_spent(&self) -> bool {
        let budget = self.0.budget.as_ref();
        budget.is_some_and(|budget| budget.is_spent(&self.report()))
    }
}

/// A slice of an upload: what a field link of 64 kbit/s takes in two seconds, more once one went
/// through fast.
const FIRST_SLICE_BYTES: usize = 16 * 1024;
const MAX_SLICE_BYTES: usize = 1 << 20;

/// How large the next slice of a blob is: about a second's.
#[derive(Debug, Clone, Copy)]
pub(super) struct SlicePace(usize);

impl Default for SlicePace {
    fn default() -> Self {
        Self(FIRST_SLICE_BYTES)
    }
}

impl SlicePace {
    pub const fn slice_bytes(self) -> usize {
        self.0
    }

    /// A slice went through in this time.
    pub fn took(&mut self, time: Duration) {
        self.0 = match time.as_millis() {
            0..300 => (self.0 * 2).min(MAX_SLICE_BYTES),
            300..1500 => self.0,
            _ => (self.0 / 2).max(FIRST_SLICE_BYTES),
        };
    }

    /// A slice was cut off: the next one is small again.
    pub fn broke_off(&mut self) {
        *self = Self::default();
    }
}
