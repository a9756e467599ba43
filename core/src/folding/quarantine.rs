//! What is kept back, as `view_quarantine` counts it for the office.
//!
//! Shown to nobody: no content gets into these rows.

use std::collections::BTreeMap;

use kolonne_model::body::{Body, Say};
use kolonne_model::fold::{Content, Contents, ThreadView};
use kolonne_model::ids::{SeatId, ThreadId};
use kolonne_model::judge::{Judgement, Quarantine, ThreadOps};
use kolonne_model::op::Class;
use kolonne_model::strand::VerifiedOp;
use rusqlite::{Transaction, params};

use crate::error::Error;

/// Why something is kept back, in `view_quarantine.why`.
const fn why_code(why: Quarantine) -> i64 {
    match why {
        Quarantine::ForeignRoster => 1,
        Quarantine::NotCertified => 2,
        Quarantine::Ended => 3,
        Quarantine::Cut => 4,
        Quarantine::NotMember => 5,
        Quarantine::Right => 6,
    }
}

/// Writes what is kept back, by seat and reason. How many entries that are.
pub fn write(
    tx: &Transaction<'_>,
    thread: &ThreadId,
    view: &ThreadView,
    set: &ThreadOps<'_>,
    contents: &impl Contents,
) -> Result<u32, Error> {
    #[derive(Default)]
    struct KeptBack {
        entries: u32,
        ops: u32,
        times_ms: Option<(u64, u64)>,
    }
    let mut by_seat: BTreeMap<(SeatId, i64), KeptBack> = BTreeMap::new();
    for (id, judgement) in &view.judgements {
        let (Judgement::Quarantined(why), Some(op)) = (judgement, set.get(id)) else {
            continue;
        };
        let kept = by_seat
            .entry((op.context().seat, why_code(*why)))
            .or_default();
        kept.ops = kept.ops.saturating_add(1);
        if may_be_entry(op, contents) {
            kept.entries = kept.entries.saturating_add(1);
        }
        let time_ms = op.context().time_ms;
        let (first, last) = kept.times_ms.unwrap_or((time_ms, time_ms));
        kept.times_ms = Some((first.min(time_ms), last.max(time_ms)));
    }
    tx.prepare_cached("DELETE FROM view_quarantine WHERE thread = ?1")?
        .execute([thread.0.as_slice()])?;
    let mut entries: u32 = 0;
    for ((seat, why), kept) in by_seat {
        entries = entries.saturating_add(kept.entries);
        let (first_ms, last_ms) = kept.times_ms.unwrap_or_default();
        tx.prepare_cached(
            "INSERT INTO view_quarantine (thread, seat, why, entries, ops, first_ms, last_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            thread.0.as_slice(),
            seat.0.as_slice(),
            why,
            kept.entries,
            kept.ops,
            first_ms.cast_signed(),
            last_ms.cast_signed()
        ])?;
    }
    Ok(entries)
}

/// Whether an op is something a person said, as far as can be told.
fn may_be_entry(op: &VerifiedOp, contents: &impl Contents) -> bool {
    let body = match contents.content(op) {
        Content::Open(bytes) => Body::read(bytes).ok(),
        _ => None,
    };
    op.context().class.class == Class::Data
        && body.is_none_or(|body| body.say.is_entry() || matches!(body.say, Say::Unknown(_)))
}
