//! What is erased, as the views show it: content goes from them at once, and who erased it why stays.

use std::collections::BTreeSet;

use kolonne_model::body::field;
use kolonne_model::control::EraseReason;
use kolonne_model::erasure::{Erasure, Erasures, Standing};
use kolonne_model::fold::ThreadView;
use kolonne_model::ids::{RingId, ThreadId};
use kolonne_model::judge::ThreadOps;
use kolonne_model::roster::Roster;
use rusqlite::{Transaction, params};

use crate::erasure;
use crate::error::Error;

/// A reason in `view_erasures.reason`.
const fn reason_code(reason: EraseReason) -> i64 {
    match reason {
        EraseReason::PersonalData => 1,
        EraseReason::Mistake => 2,
        EraseReason::Expired => 3,
    }
}

/// Takes the opened content of what is erased out of the views.
pub fn hide(tx: &Transaction<'_>, erasures: &Erasures) -> Result<(), Error> {
    let mut statement = tx.prepare_cached("DELETE FROM view_bodies WHERE op = ?1")?;
    for op in erasures.ops.keys() {
        statement.execute([op.0.as_slice()])?;
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

/// Forgets names that nobody gives any more, since what gave them is erased.
pub fn forget_names(tx: &Transaction<'_>, view: &ThreadView) -> Result<(), Error> {
    let known: Vec<Vec<u8>> = tx
        .prepare_cached("SELECT subject FROM view_names")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for subject in known {
        let key = (field::NAME, subject);
        if !view.fields.contains_key(&key) {
            tx.prepare_cached("DELETE FROM view_names WHERE subject = ?1")?
                .execute([key.1])?;
        }
    }
    Ok(())
}
