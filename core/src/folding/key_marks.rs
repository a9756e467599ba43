//! What is wrong with a thread's keys, as `view_complaints` names it for the office, and whether this
//! device may have something to mend.

use kolonne_model::fold::ThreadView;
use kolonne_model::ids::ThreadId;
use kolonne_model::judge::ThreadOps;
use kolonne_model::roster::Roster;
use rusqlite::{Transaction, params};

use crate::complaints;
use crate::error::Error;

/// Writes the complaints of a thread, each with who made the key.
pub fn write(
    tx: &Transaction<'_>,
    roster: &Roster,
    thread: &ThreadId,
    view: &ThreadView,
    set: &ThreadOps<'_>,
) -> Result<(), Error> {
    tx.prepare_cached("DELETE FROM view_complaints WHERE thread = ?1")?
        .execute([thread.0.as_slice()])?;
    let mut to_mend = false;
    for made in &view.control.complaints {
        to_mend |= made.is_open;
        let key = view
            .control
            .keys
            .iter()
            .find(|key| key.order.id == made.complaint.key_op);
        let time_ms = set
            .get(&made.order.id)
            .map_or(0, |op| op.context().time_ms.cast_signed());
        tx.prepare_cached(
            "INSERT INTO view_complaints (op, thread, maker, ring, by, time_ms, open)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            made.order.id.0.as_slice(),
            thread.0.as_slice(),
            key.map(|key| key.maker.0.to_vec()),
            made.complaint.ring.0.as_slice(),
            made.order.seat.0.as_slice(),
            time_ms,
            made.is_open,
        ])?;
    }
    to_mend = to_mend || complaints::lacks_a_key_here(tx, thread, &view.control)?;
    to_mend = to_mend || complaints::someone_lacks_a_key(tx, roster, thread, &view.control)?;
    let sql = if to_mend {
        "INSERT OR IGNORE INTO view_mending (thread) VALUES (?1)"
    } else {
        "DELETE FROM view_mending WHERE thread = ?1"
    };
    tx.prepare_cached(sql)?.execute([thread.0.as_slice()])?;
    Ok(())
}
