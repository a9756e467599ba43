//! The ops that something alarming is seen by, as `view_signs` keeps them.

use kolonne_model::fold::ThreadView;
use kolonne_model::ids::ThreadId;
use kolonne_model::judge::{Judgement, Quarantine, ThreadOps};
use kolonne_model::strand::VerifiedOp;
use rusqlite::{Transaction, params};

use crate::error::Error;

/// What an op is a sign of, in `view_signs.kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// Of a roster that this device doesn't have.
    ForeignRoster = 1,
    /// Of a device whose data ran twice.
    RanTwice = 2,
}

/// Writes them.
pub fn write(
    tx: &Transaction<'_>,
    thread: &ThreadId,
    view: &ThreadView,
    set: &ThreadOps<'_>,
) -> Result<(), Error> {
    tx.prepare_cached("DELETE FROM view_signs WHERE thread = ?1")?
        .execute([thread.0.as_slice()])?;
    let mut insert = tx.prepare_cached(
        "INSERT INTO view_signs (op, kind, thread, seat, time_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    let mut add = |op: &VerifiedOp, sign: Sign| {
        insert.execute(params![
            op.id().0.as_slice(),
            sign as i64,
            thread.0.as_slice(),
            op.context().seat.0.as_slice(),
            op.context().time_ms.cast_signed(),
        ])
    };
    let foreign = Judgement::Quarantined(Quarantine::ForeignRoster);
    for (id, judgement) in &view.judgements {
        if let (true, Some(op)) = (judgement == &foreign, set.get(id)) {
            add(op, Sign::ForeignRoster)?;
        }
    }
    for op in set.ran_twice().values() {
        add(op, Sign::RanTwice)?;
    }
    Ok(())
}
