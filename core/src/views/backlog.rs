//! What is still missing from each device, as an office device knows it: files that entries name and
//! holes in strands.
//!
//! Said from ops and from what the hub says it holds. What a device has told nobody of can't be
//! known here, and is never guessed.

use std::collections::BTreeMap;

use kolonne_model::ids::{DeviceId, SeatId, ThreadId};
use rusqlite::Row;

use super::Desk;
use crate::error::Error;
use crate::folding::part;
use crate::kolonne::{Kolonne, op_id, seat_id};
use crate::oplog;
use crate::records::Backlog;

impl Kolonne {
    /// What is missing here and at the hub, by the device it is still on. Empty but at the office;
    /// what is erased or taken back, and devices whose rights ended, don't count.
    pub fn backlog(&self) -> Result<Vec<Backlog>, Error> {
        self.at_desk(|desk| {
            let mut found = backlog(desk)?;
            found.retain(|record| !desk.roster.device_has_ended(&record.device));
            Ok(found)
        })
    }
}

/// Of every device, those that ended too.
pub(super) fn backlog(desk: &Desk<'_>) -> Result<Vec<Backlog>, Error> {
    let mut found = missing_blobs(desk, None)?;
    add_gaps(desk, &mut found)?;
    Ok(found.into_values().collect())
}

/// A blob that is neither here nor at the hub.
struct Missing {
    seat: SeatId,
    entry: Vec<u8>,
    part: i64,
    bytes: u64,
    time_ms: u64,
}

impl Missing {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let seat = seat_id(&row.get::<_, Vec<u8>>(0)?);
        Ok(Self {
            seat: seat.map_err(|_| rusqlite::Error::InvalidQuery)?,
            entry: row.get(1)?,
            part: row.get(2)?,
            bytes: row.get::<_, i64>(3)?.cast_unsigned(),
            time_ms: row.get::<_, i64>(4)?.cast_unsigned(),
        })
    }
}

/// What is named by entries of other devices and is neither here nor at the hub, by device.
pub(super) fn missing_blobs(
    desk: &Desk<'_>,
    thread: Option<&ThreadId>,
) -> Result<BTreeMap<DeviceId, Backlog>, Error> {
    let mut found: BTreeMap<DeviceId, Backlog> = BTreeMap::new();
    if !desk.is_office {
        return Ok(found);
    }
    let mut statement = desk.db.prepare_cached(
        "SELECT e.seat, e.id, b.part, b.bytes, e.time_ms - 1000 * coalesce(e.offset_s, 0)
         FROM blobs b JOIN view_entries e ON e.id = b.entry
         WHERE b.here = 0 AND b.at_hub = 0 AND e.retracted = 0 AND (?1 IS NULL OR b.thread = ?1)
            AND NOT EXISTS (SELECT 1 FROM erasures x WHERE x.op = e.id)
         ORDER BY e.id",
    )?;
    let rows = statement.query_map([thread.map(|thread| thread.0.to_vec())], Missing::read)?;
    let (mut last, mut has_picture) = (Vec::new(), false);
    for missing in rows {
        let missing = missing?;
        let Some(record) = record_of(desk, &mut found, &missing.seat, missing.time_ms) else {
            continue;
        };
        if last != missing.entry {
            record.entries += 1;
            has_picture = false;
            last = missing.entry;
        }
        match missing.part {
            // Thumb and picture are one photo to people.
            part::THUMB | part::PICTURE => {
                record.photos += u64::from(!has_picture);
                has_picture = true;
            }
            part::ORIGINAL => record.originals += 1,
            part::VOICE => record.voices += 1,
            _ => record.files += 1,
        }
        record.bytes = record.bytes.saturating_add(missing.bytes);
    }
    Ok(found)
}

/// Strands with a hole: an op is here and the one before it isn't, or another office device has
/// seen further than this one.
fn add_gaps(desk: &Desk<'_>, found: &mut BTreeMap<DeviceId, Backlog>) -> Result<(), Error> {
    if !desk.is_office {
        return Ok(());
    }
    // Where nothing waits, nothing is missing: only those threads are looked through.
    let mut statement = desk.db.prepare_cached(
        "SELECT o.seat, o.id FROM view_threads t JOIN ops o ON o.thread = t.thread
         WHERE t.held > 0 AND o.seq > 1
            AND NOT EXISTS (SELECT 1 FROM ops p WHERE p.id = o.previous)
         UNION ALL
         SELECT s.seat, NULL FROM view_threads t JOIN view_seen s ON s.thread = t.thread
         WHERE t.held > 0 AND s.seq > (SELECT coalesce(max(o.seq), 0) FROM ops o
            WHERE o.thread = s.thread AND o.seat = s.seat AND o.store = s.store)",
    )?;
    let rows = statement.query_map([], |row| {
        Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Option<Vec<u8>>>(1)?))
    })?;
    for row in rows {
        let (seat, after) = row?;
        let time_ms = match after {
            Some(id) => oplog::get(desk.db, &op_id(&id)?)?.map(|op| op.context().time_ms),
            None => None,
        };
        let time_ms = time_ms.unwrap_or(u64::MAX);
        if let Some(record) = record_of(desk, found, &seat_id(&seat)?, time_ms) {
            record.gaps += 1;
        }
    }
    Ok(())
}

/// The record of a seat's device, if that is another one, with this time in mind.
fn record_of<'a>(
    desk: &Desk<'_>,
    found: &'a mut BTreeMap<DeviceId, Backlog>,
    seat: &SeatId,
    time_ms: u64,
) -> Option<&'a mut Backlog> {
    let device = desk.device_of(seat).filter(|id| *id != desk.device)?;
    let record = found.entry(device).or_insert_with(|| Backlog {
        device,
        device_name: desk.name(&device.0),
        entries: 0,
        photos: 0,
        originals: 0,
        voices: 0,
        files: 0,
        gaps: 0,
        bytes: 0,
        since_ms: u64::MAX,
    });
    record.since_ms = record.since_ms.min(time_ms);
    Some(record)
}
