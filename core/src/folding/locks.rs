//! Locks of seats, as the company's thread says.
//!
//! Nothing here opens a share; it is a file for whoever may.

use kolonne_model::cbor;
use kolonne_model::fold::ThreadView;
use kolonne_model::ids::ThreadId;
use rusqlite::{Transaction, params};

use crate::error::Error;

/// Writes them, whole: an answer that doesn't count any more opens nothing.
pub fn write(tx: &Transaction<'_>, thread: &ThreadId, view: &ThreadView) -> Result<(), Error> {
    tx.execute("DELETE FROM view_seat_locks", [])?;
    tx.execute("DELETE FROM view_seat_answers", [])?;
    for (seat, lock) in &view.seat_locks {
        let locked = lock.locked.as_ref();
        tx.prepare_cached(
            "INSERT OR REPLACE INTO view_seat_locks
                (seat, thread, share, locked, answer_to, locked_ms, wanted, wanted_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            seat.0.as_slice(),
            thread.0.as_slice(),
            lock.share.as_ref().map(|(_, share)| share),
            locked.map(|locked| locked.at.id.0.to_vec()),
            locked.map(|locked| cbor::encode(&locked.answer_to)),
            locked.map(|locked| locked.time_ms.cast_signed()),
            lock.wanted
                .as_ref()
                .map(|wanted| cbor::encode(&wanted.keys)),
            lock.wanted
                .as_ref()
                .map(|wanted| wanted.time_ms.cast_signed()),
        ])?;
        for (locked, shares) in &lock.answers {
            for share in shares {
                tx.prepare_cached(
                    "INSERT OR IGNORE INTO view_seat_answers (seat, locked, share)
                     VALUES (?1, ?2, ?3)",
                )?
                .execute(params![
                    seat.0.as_slice(),
                    locked.0.as_slice(),
                    share
                ])?;
            }
        }
    }
    Ok(())
}
