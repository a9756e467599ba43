//! Whether this device may be given away: whether anything is on it alone.
//!
//! Yes is said only by receipts of the hub's current life and by what office devices have seen;
//! no clock decides, and no hub's word without a signature.

use kolonne_model::cbor;
use kolonne_model::hub::Cursor;
use rusqlite::Connection;

use super::Desk;
use crate::error::Error;
use crate::folding::kind_code;
use crate::kolonne::{Kolonne, outbox};
use crate::outbox::NOT_ERASED;
use crate::records::{HandBack, HandBackStanding, Lack, LackKind};
use crate::store::get_meta;
use crate::sync::lineage;
use kolonne_model::control::ThreadKind;

impl Kolonne {
    /// Whether this device may be given away.
    pub fn hand_back(&self) -> Result<HandBack, Error> {
        let last_contact_ms = self.status()?.last_contact_ms;
        self.at_desk(|desk| {
            let waits = outbox(desk.db)?;
            let without_receipt = own_without_receipt(desk)?;
            let lacks = [
                (LackKind::Entries, without_receipt.n.max(waits.ops)),
                (LackKind::Photos, waits.photos),
                (LackKind::Voices, waits.voices),
                (LackKind::Files, waits.files),
                (LackKind::Originals, waits.originals),
                (LackKind::Others, others(desk.db)?),
                (LackKind::Stuck, waits.stuck),
                (LackKind::Contact, u64::from(!has_answered(desk.db)?)),
                (LackKind::NewHub, u64::from(desk.hub_is_new)),
            ];
            let lacks = lacks.map(|(what, n)| Lack { what, n });
            let lacks: Vec<Lack> = lacks.into_iter().filter(|lack| lack.n > 0).collect();
            let unseen = unseen(desk)?;
            Ok(HandBack {
                standing: match (lacks.is_empty(), unseen.n) {
                    (true, 0) => HandBackStanding::AtOffice,
                    (true, _) => HandBackStanding::AtHub,
                    (false, _) => HandBackStanding::NotYet,
                },
                since_ms: if lacks.is_empty() {
                    unseen.since_ms
                } else {
                    oldest(without_receipt.since_ms, waits_since(desk.db)?)
                },
                lacks,
                bytes: waits.bytes,
                unseen: unseen.n,
                last_contact_ms,
            })
        })
    }
}

/// Entries of this device's people whose words or files the hub hasn't signed for, whatever the
/// outbox says.
fn own_without_receipt(desk: &Desk<'_>) -> Result<Own, Error> {
    count_own(
        desk,
        "NOT EXISTS (SELECT 1 FROM receipts r WHERE r.thread = e.thread AND r.seat = e.seat
            AND r.store = e.store AND r.seq >= e.seq)
         OR EXISTS (SELECT 1 FROM outbox_ops o WHERE o.op = e.id)
         OR e.retracted = 0
            AND NOT EXISTS (SELECT 1 FROM erasures x WHERE x.op = e.id)
            AND EXISTS (SELECT 1 FROM blobs b WHERE b.entry = e.id
                AND NOT EXISTS (SELECT 1 FROM blob_receipts r WHERE r.blob = b.blob)
                AND NOT EXISTS (SELECT 1 FROM outbox_blobs o WHERE o.blob = b.blob))",
    )
}

/// Entries of this device's people that no office device has seen whole. In direct threads nobody
/// of the office sees anything.
fn unseen(desk: &Desk<'_>) -> Result<Own, Error> {
    if desk.is_office {
        return Ok(Own::default());
    }
    let direct = kind_code(ThreadKind::Direct);
    count_own(
        desk,
        &format!(
            "NOT EXISTS (SELECT 1 FROM view_threads t WHERE t.thread = e.thread AND t.kind = {direct})
             AND (e.seen = 0 OR e.retracted = 0
                AND NOT EXISTS (SELECT 1 FROM erasures x WHERE x.op = e.id)
                AND EXISTS (SELECT 1 FROM blobs b WHERE b.entry = e.id
                    AND NOT EXISTS (SELECT 1 FROM view_seen_blobs s WHERE s.blob = b.blob)))"
        ),
    )
}

/// Entries of this device's people, and the oldest of them.
#[derive(Default)]
struct Own {
    n: u64,
    since_ms: Option<u64>,
}

fn oldest(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    [one, other].into_iter().flatten().min()
}

fn count_own(desk: &Desk<'_>, lacking: &str) -> Result<Own, Error> {
    let sql = format!(
        "SELECT count(*), min(e.time_ms) FROM view_entries e WHERE e.seat = ?1 AND ({lacking})"
    );
    let mut statement = desk.db.prepare_cached(&sql)?;
    let mut all = Own::default();
    for (seat, record) in desk.roster.seats() {
        if record.cert.device == desk.device {
            let (n, since_ms): (i64, Option<i64>) =
                statement.query_row([seat.0.as_slice()], |row| Ok((row.get(0)?, row.get(1)?)))?;
            all.n = all.n.saturating_add(n.cast_unsigned());
            all.since_ms = oldest(all.since_ms, since_ms.map(i64::cast_unsigned));
        }
    }
    Ok(all)
}

/// The oldest entry of which words or a file are in the outbox, whoever wrote it.
fn waits_since(db: &Connection) -> Result<Option<u64>, Error> {
    let sql = format!(
        "SELECT min(time_ms) FROM (
            SELECT e.time_ms FROM outbox_ops o JOIN view_entries e ON e.id = o.op
            UNION ALL
            SELECT e.time_ms FROM outbox_blobs o JOIN blobs b ON b.blob = o.blob
            JOIN view_entries e ON e.id = b.entry WHERE {NOT_ERASED})"
    );
    let since_ms: Option<i64> = db.prepare_cached(&sql)?.query_row([], |row| row.get(0))?;
    Ok(since_ms.map(i64::cast_unsigned))
}

/// What waits and is no entry of this device's people.
fn others(db: &Connection) -> Result<u64, Error> {
    let sql = "SELECT count(*) FROM outbox_ops o WHERE o.wedged IS NULL
         AND NOT EXISTS (SELECT 1 FROM view_entries e WHERE e.id = o.op AND e.kind < 10)";
    let n: i64 = db.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
    Ok(n.cast_unsigned())
}

/// Whether the hub told everything up to the newest thing that it signed for.
fn has_answered(db: &Connection) -> Result<bool, Error> {
    let cursor: Option<Cursor> =
        get_meta(db, "cursor")?.and_then(|bytes| cbor::decode(&bytes).ok());
    match cursor {
        Some(cursor) => Ok(!lineage::is_put_back(db, &cursor)?),
        None => Ok(false),
    }
}
