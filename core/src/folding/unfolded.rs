//! Threads whose ops lie in the log and whose views don't show them yet, because more comes at once:
//! folding a long thread anew with every page would cost more than all the pages.
//!
//! What is noted here is in the transaction that keeps the ops, and goes in the one that folds the
//! thread: whatever happens between, it is folded when the pull ends, before the next exchange, or
//! when the device is opened.

use std::collections::BTreeSet;

use kolonne_model::ids::ThreadId;
use rusqlite::{Connection, Transaction};

use crate::error::Error;
use crate::inbox::Taken;
use crate::kolonne::thread_id;

/// Whether more ops follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// This is all, or it may be long until the next.
    IsHere,
    /// More of the same comes at once.
    Comes,
}

impl Rest {
    /// What follows an answer of the hub. What it says of blobs is written beside the entries that
    /// name them, so those are to be folded first.
    pub const fn after(more: bool, tells_of_blobs: bool) -> Self {
        if more && !tells_of_blobs {
            Self::Comes
        } else {
            Self::IsHere
        }
    }
}

/// Which threads to fold now; notes the others. While more comes, folding takes in no more ops than
/// came just now, small threads first; what rules a thread holds at once.
pub fn due(tx: &Transaction<'_>, taken: &Taken, rest: Rest) -> Result<BTreeSet<ThreadId>, Error> {
    let mut open = all(tx)?;
    open.extend(&taken.threads);
    if rest == Rest::IsHere {
        return Ok(open);
    }
    let mut due = taken.ruled.clone();
    let mut sizes = Vec::new();
    for thread in open.difference(&due) {
        let ops: i64 = tx
            .prepare_cached("SELECT count(*) FROM ops WHERE thread = ?1")?
            .query_row([thread.0.as_slice()], |row| row.get(0))?;
        sizes.push((ops.cast_unsigned(), *thread));
    }
    sizes.sort_unstable();
    let mut room = taken.ops as u64;
    for (ops, thread) in sizes {
        if let Some(left) = room.checked_sub(ops) {
            room = left;
            due.insert(thread);
        } else {
            tx.prepare_cached("INSERT OR IGNORE INTO unfolded (thread) VALUES (?1)")?
                .execute([thread.0.as_slice()])?;
        }
    }
    Ok(due)
}

/// All of them.
pub fn all(db: &Connection) -> Result<BTreeSet<ThreadId>, Error> {
    let mut statement = db.prepare_cached("SELECT thread FROM unfolded")?;
    let threads = statement.query_map([], |row| row.get::<_, Vec<u8>>(0))?;
    threads.map(|thread| thread_id(&thread?)).collect()
}

/// Its views show all of it.
pub fn is_folded(tx: &Transaction<'_>, thread: &ThreadId) -> Result<(), Error> {
    tx.prepare_cached("DELETE FROM unfolded WHERE thread = ?1")?
        .execute([thread.0.as_slice()])?;
    Ok(())
}
