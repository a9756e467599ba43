//! What is kept back, as `view_quarantine` counts it for the office.
//!
//! Shown to nobody: no content gets into these rows, only how much of what kind there is.

use std::collections::BTreeMap;

use kolonne_model::body::{Body, Say, field};
use kolonne_model::fold::{Content, Contents, ThreadView};
use kolonne_model::ids::{SeatId, ThreadId};
use kolonne_model::judge::{Judgement, ThreadOps};
use kolonne_model::op::Class;
use kolonne_model::strand::VerifiedOp;
use rusqlite::{Transaction, params};

use crate::error::Error;
use crate::records::KeptBackWhy;

/// Writes what is kept back, by seat and reason. How many entries and changes of entries that are.
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
        /// Texts, photos, voice notes, files.
        kinds: [u32; 4],
        /// Changes of entries: other words, taken back.
        changes: u32,
        ops: u32,
        times_ms: Option<(u64, u64)>,
    }
    let mut by_seat: BTreeMap<(SeatId, i64), KeptBack> = BTreeMap::new();
    for (id, judgement) in &view.judgements {
        let (Judgement::Quarantined(why), Some(op)) = (judgement, set.get(id)) else {
            continue;
        };
        let kept = by_seat
            .entry((op.context().seat, KeptBackWhy::of(*why).code()))
            .or_default();
        kept.ops = kept.ops.saturating_add(1);
        let say = said(op, contents);
        let may_be_entry = op.context().class.class == Class::Data
            && say
                .as_ref()
                .is_none_or(|say| say.is_entry() || matches!(say, Say::Unknown(_)));
        if may_be_entry {
            kept.entries = kept.entries.saturating_add(1);
        }
        let is_change = match &say {
            Some(Say::Set(set)) => set.field == field::ENTRY_TEXT,
            Some(Say::Retract(_)) => true,
            _ => false,
        };
        kept.changes = kept.changes.saturating_add(u32::from(is_change));
        let [texts, photos, voices, files] = &mut kept.kinds;
        let kind = match say {
            Some(Say::Text(_)) => Some(texts),
            Some(Say::Photo(_)) => Some(photos),
            Some(Say::Voice(_)) => Some(voices),
            Some(Say::Document(_) | Say::Sealed(_)) => Some(files),
            _ => None,
        };
        if let Some(count) = kind {
            *count = count.saturating_add(1);
        }
        let time_ms = op.context().time_ms;
        let (first, last) = kept.times_ms.unwrap_or((time_ms, time_ms));
        kept.times_ms = Some((first.min(time_ms), last.max(time_ms)));
    }
    tx.prepare_cached("DELETE FROM view_quarantine WHERE thread = ?1")?
        .execute([thread.0.as_slice()])?;
    let mut all: u32 = 0;
    for ((seat, why), kept) in by_seat {
        all = all
            .saturating_add(kept.entries)
            .saturating_add(kept.changes);
        let (first_ms, last_ms) = kept.times_ms.unwrap_or_default();
        let [texts, photos, voices, files] = kept.kinds;
        tx.prepare_cached(
            "INSERT INTO view_quarantine (thread, seat, why, entries, ops, first_ms, last_ms,
                texts, photos, voices, files, changes)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        )?
        .execute(params![
            thread.0.as_slice(),
            seat.0.as_slice(),
            why,
            kept.entries,
            kept.ops,
            first_ms.cast_signed(),
            last_ms.cast_signed(),
            texts,
            photos,
            voices,
            files,
            kept.changes
        ])?;
    }
    Ok(all)
}

/// What an op says, if it can be read here.
fn said(op: &VerifiedOp, contents: &impl Contents) -> Option<Say> {
    match contents.content(op) {
        Content::Open(bytes) => Body::read(bytes).ok().map(|body| body.say),
        _ => None,
    }
}
