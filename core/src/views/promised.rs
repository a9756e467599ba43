//! What the admission pack promises of threads whose ops aren't here yet: heads and last lines.
//!
//! Shown as loading, replaced by what the ops say, and gone after the first whole pull.

use kolonne_model::ids::ThreadId;
use rusqlite::{OptionalExtension, params};

use super::{Desk, entry_kind};
use crate::error::Error;
use crate::folding::thread_kind;
use crate::records::{ClockWord, LastLine, ThreadRow};

/// A thread's row as promised.
pub(super) fn row(desk: &Desk<'_>, thread: &ThreadId) -> Result<Option<ThreadRow>, Error> {
    let row = desk
        .db
        .prepare_cached(
            "SELECT kind, title, customer, last_time_ms, last_author, last_kind, last_text
             FROM promised_threads WHERE thread = ?1",
        )?
        .query_row(params![thread.0.as_slice()], |row| {
            let time_ms = row.get::<_, i64>(3)?.cast_unsigned();
            let author: Option<String> = row.get(4)?;
            let kind = entry_kind(row.get::<_, Option<i64>>(5)?.unwrap_or_default());
            let text = row.get::<_, Option<String>>(6)?.unwrap_or_default();
            Ok(ThreadRow {
                id: *thread,
                kind: thread_kind(row.get(0)?),
                title: row.get(1)?,
                status: None,
                customer: row.get(2)?,
                address: None,
                unread: 0,
                last: author.map(|author| LastLine {
                    author,
                    own: false,
                    kind,
                    text,
                    time_ms,
                    clock: ClockWord::Ok,
                }),
                backlog: Vec::new(),
                // All of it is still on its way.
                held: 1,
                quarantined: 0,
                member: true,
                hit: None,
            })
        })
        .optional()?;
    Ok(row)
}

/// Fills what the ops that are here don't say yet.
pub(super) fn fill(desk: &Desk<'_>, record: &mut ThreadRow) -> Result<(), Error> {
    if !record.title.is_empty() && record.last.is_some() {
        return Ok(());
    }
    if let Some(promised) = row(desk, &record.id)? {
        if record.title.is_empty() {
            record.title = promised.title;
        }
        record.last = record.last.take().or(promised.last);
    }
    Ok(())
}
