//! Pushes that wait while one transaction commits go into the next one together: a commit costs a
//! sync of the disk, however much is in it.
//!
//! There is no thread for it: one of those that push leads, takes all that wait, and hands the lead
//! on. Who pushes alone is as fast as without. Nobody gets an answer before the commit that holds
//! what it brought, and one push that fails takes no other with it.

use std::collections::VecDeque;
use std::collections::btree_map::{BTreeMap, Entry};
use std::sync::mpsc::{self, Sender};
use std::sync::{Condvar, Mutex, PoisonError};

use kolonne_model::ids::CompanyId;
use kolonne_model::strand::VerifiedSegment;
use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::lock;
use crate::storage::append::Append;
use crate::storage::{Keep, Kept, StorageError, Stored};

/// Pushes that wait at most; more wait for a place.
const MAX_WAITING: usize = 1024;
/// Ops in a group after which it takes no further push.
const MAX_GROUP_OPS: usize = 2048;

/// What one request brings.
pub(super) struct Pushed {
    pub(super) company: CompanyId,
    pub(super) segments: Vec<VerifiedSegment>,
    pub(super) keep: Keep,
}

impl Pushed {
    fn ops(&self) -> usize {
        self.segments.iter().map(|segment| segment.ops.len()).sum()
    }
}

enum Told {
    /// It stands first now: it commits the next group, its own push in it.
    Lead,
    Kept(Stored<Vec<Kept>>),
}

struct Waiting {
    push: Pushed,
    tell: Sender<Told>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    is_led: bool,
}

#[derive(Default)]
pub(super) struct Groups {
    queue: Mutex<Queue>,
    has_room: Condvar,
}

impl Groups {
    /// Keeps a push, in a transaction with others if others wait.
    pub(super) fn append(&self, writer: &Mutex<Connection>, push: Pushed) -> Stored<Vec<Kept>> {
        let (tell, told) = mpsc::channel();
        if self.enter(Waiting { push, tell }) {
            self.lead(writer);
        }
        loop {
            match told.recv() {
                Ok(Told::Lead) => self.lead(writer),
                Ok(Told::Kept(kept)) => return kept,
                Err(_) => return Err(StorageError::NotCommitted),
            }
        }
    }

    /// Waits in line; whether there is nobody else to lead.
    fn enter(&self, waiting: Waiting) -> bool {
        let is_full = |queue: &mut Queue| queue.waiting.len() >= MAX_WAITING;
        let mut queue = self
            .has_room
            .wait_while(lock(&self.queue), is_full)
            .unwrap_or_else(PoisonError::into_inner);
        queue.waiting.push_back(waiting);
        !std::mem::replace(&mut queue.is_led, true)
    }

    fn lead(&self, writer: &Mutex<Connection>) {
        // Also if this panics: the others go on.
        let next = HandOn(self);
        let mut db = lock(writer);
        let group = self.take();
        let kept = commit(&mut db, &group);
        drop(db);
        drop(next);
        for (waiting, kept) in group.into_iter().zip(kept) {
            // Who doesn't listen any more has lost its connection only.
            drop(waiting.tell.send(Told::Kept(kept)));
        }
    }

    /// The first that wait: one at least, with others as long as they are no big ones.
    fn take(&self) -> Vec<Waiting> {
        let mut queue = lock(&self.queue);
        let mut ops = 0;
        let count = queue.waiting.iter().take_while(|waiting| {
            let fits = ops < MAX_GROUP_OPS;
            ops += waiting.push.ops();
            fits
        });
        let count = count.count();
        let group = queue.waiting.drain(..count).collect();
        self.has_room.notify_all();
        group
    }
}

struct HandOn<'a>(&'a Groups);

impl Drop for HandOn<'_> {
    fn drop(&mut self) {
        let mut queue = lock(&self.0.queue);
        while let Some(first) = queue.waiting.front() {
            if first.tell.send(Told::Lead).is_ok() {
                return;
            }
            queue.waiting.pop_front();
        }
        queue.is_led = false;
    }
}

/// Commits a group. If it can't be, then each of it alone: one that fails is the only one to fail.
fn commit(db: &mut Connection, group: &[Waiting]) -> Vec<Stored<Vec<Kept>>> {
    let tx = match db.transaction_with_behavior(TransactionBehavior::Immediate) {
        Ok(tx) => tx,
        Err(error) => {
            tracing::error!(%error, "no transaction");
            return group
                .iter()
                .map(|_| Err(StorageError::NotCommitted))
                .collect();
        }
    };
    match keep_all(tx, group) {
        Ok(kept) => kept.into_iter().map(Ok).collect(),
        Err(error) if group.len() == 1 => vec![Err(error)],
        Err(error) => {
            tracing::warn!(%error, "a group failed: each of it alone");
            let alone = group.chunks(1);
            alone.flat_map(|one| commit(db, one)).collect()
        }
    }
}

fn keep_all(tx: Transaction<'_>, group: &[Waiting]) -> Stored<Vec<Vec<Kept>>> {
    let mut companies: BTreeMap<CompanyId, Append<'_>> = BTreeMap::new();
    let mut all = Vec::with_capacity(group.len());
    for Waiting { push, .. } in group {
        let append = match companies.entry(push.company) {
            Entry::Occupied(begun) => begun.into_mut(),
            Entry::Vacant(new) => new.insert(Append::begin(&tx, &push.company, push.keep)?),
        };
        append.keep = push.keep;
        let kept = push.segments.iter().map(|one| append.segment(one));
        all.push(kept.collect::<Stored<_>>()?);
    }
    for append in companies.into_values() {
        append.finish()?;
    }
    tx.commit()?;
    Ok(all)
}

#[cfg(test)]
mod tests;
