//! What is erased, as the views show it: content goes from them at once, and who erased it why stays.

use std::collections::BTreeSet;

use kolonne_model::body::Body;
use kolonne_model::control::EraseReason;
use kolonne_model::erasure::{Erasure, Erasures, Standing};
use kolonne_model::ids::{BlobId, OpId, RingId, ThreadId};
use kolonne_model::judge::ThreadOps;
use kolonne_model::roster::Roster;
use rusqlite::{Connection, Transaction, params};

use crate::erasure;
use crate::error::Error;
use crate::kolonne::op_id;

/// A reason in `view_erasures.reason`.
const fn reason_code(reason: EraseReason) -> i64 {
    match reason {
        EraseReason::PersonalData => 1,
        EraseReason::Mistake => 2,
        EraseReason::Expired => 3,
    }
}

/// Takes the opened content of what is erased out of the views.
pub fn hide(tx: &Transaction<'_>, thread: &ThreadId, erasures: &Erasures) -> Result<(), Error> {
    let sql = "DELETE FROM view_bodies WHERE thread = ?1 AND op = ?2";
    let mut statement = tx.prepare_cached(sql)?;
    for op in erasures.ops.keys() {
        statement.execute([thread.0.as_slice(), op.0.as_slice()])?;
    }
    Ok(())
}

/// Writes what is erased in a thread, and tells the log what may go from it.
pub fn write(
    tx: &Transaction<'_>,
    roster: &Roster,
    thread: &ThreadId,
    erasures: &Erasures,
    set: &ThreadOps<'_>,
) -> Result<(), Error> {
    erasure::note(tx, thread, erasures)?;
    tx.prepare_cached("DELETE FROM view_erasures WHERE thread = ?1")?
        .execute([thread.0.as_slice()])?;
    for (op, erasure) in &erasures.ops {
        tx.prepare_cached(
            "INSERT INTO view_erasures (op, thread, reason, needs_second, people, time_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            op.0.as_slice(),
            thread.0.as_slice(),
            reason_code(erasure.reason),
            erasure.standing == Standing::NeedsSecond,
            people(roster, erasure, set),
            first_time_ms(erasure, set).cast_signed(),
        ])?;
    }
    Ok(())
}

/// The people who erased an op, by ring, one after the other.
fn people(roster: &Roster, erasure: &Erasure, set: &ThreadOps<'_>) -> Vec<u8> {
    let rings: BTreeSet<RingId> = erasure
        .by
        .iter()
        .filter_map(|op| roster.seat(&set.get(op)?.context().seat)?.cert.person)
        .collect();
    rings.iter().flat_map(|ring| ring.0).collect()
}

fn first_time_ms(erasure: &Erasure, set: &ThreadOps<'_>) -> u64 {
    let first = erasure.by.first().and_then(|op| set.get(op));
    first.map_or(0, |op| op.context().time_ms)
}

/// Blobs that entries other than these name: whoever repeats another's blob in an entry of their
/// own doesn't take it away with that entry.
pub fn blobs_named_beside(
    db: &Connection,
    these: impl Fn(&OpId) -> bool,
) -> Result<BTreeSet<BlobId>, Error> {
    let mut named = BTreeSet::new();
    let mut statement = db.prepare_cached(
        "SELECT b.op, b.body FROM view_bodies b JOIN view_entries e ON e.id = b.op AND e.thread = b.thread
         WHERE b.body IS NOT NULL AND e.retracted = 0",
    )?;
    let rows = statement.query_map([], |row| {
        Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?))
    })?;
    for row in rows {
        let (op, body) = row?;
        if these(&op_id(&op)?) {
            continue;
        }
        if let Ok(body) = Body::read(&body) {
            named.extend(body.say.blobs().into_iter().map(|(blob, _)| blob));
        }
    }
    Ok(named)
}
