//! What hangs fast, and its ways out: trying again, handing it out (`export`), throwing a file away.
//!
//! A signed op is never thrown away: those after it in its strand would prove nothing any more. A
//! file goes only by a person's word and reason, together with its entry, which is taken back: the
//! thread shows that and why. Nothing here waits for the network.

use kolonne_model::body::{Retract, Say};
use kolonne_model::ids::{BlobId, Hash32, OpId, SeatId, ThreadId};
use rusqlite::{Connection, OptionalExtension, Row};

use crate::capture::{self, checked_reason};
use crate::error::Error;
use crate::folding::{self, kind};
use crate::kolonne::{Kolonne, op_id, thread_id};
use crate::outbox::{self, BLOB_WAITS, NOT_ERASED, OP_WAITS};
use crate::records::{Media, Part, Stuck};
use crate::views::{Desk, entry_kind, may_see, part_of, standing_body};

struct StuckRow {
    id: Vec<u8>,
    thread: Vec<u8>,
    why: String,
    tries_again: bool,
    entry: Option<Vec<u8>>,
    kind: Option<i64>,
    part: Option<i64>,
    since_ms: Option<u64>,
    bytes: u64,
}

impl StuckRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            thread: row.get(1)?,
            why: row.get(2)?,
            tries_again: row.get(3)?,
            entry: row.get(4)?,
            kind: row.get(5)?,
            part: row.get(6)?,
            since_ms: row.get::<_, Option<i64>>(7)?.map(i64::cast_unsigned),
            bytes: row.get::<_, i64>(8)?.cast_unsigned(),
        })
    }
}

impl Kolonne {
    /// What hangs fast on this device, the oldest first. Of what isn't this seat's to see nothing is
    /// said but that it is there.
    pub fn stuck(&self, seat: &SeatId) -> Result<Vec<Stuck>, Error> {
        self.at_desk(|desk| {
            let sql = format!(
                "SELECT o.op, o.thread, o.wedged, {OP_WAITS}, e.id, e.kind, NULL,
                    e.time_ms, 0
                 FROM outbox_ops o LEFT JOIN view_entries e ON e.id = o.op
                 WHERE o.wedged IS NOT NULL
                 UNION ALL
                 SELECT o.blob, o.thread, o.wedged, {BLOB_WAITS}, e.id, e.kind, b.part,
                    e.time_ms, o.bytes
                 FROM outbox_blobs o LEFT JOIN blobs b ON b.blob = o.blob
                 LEFT JOIN view_entries e ON e.id = b.entry
                 WHERE o.wedged IS NOT NULL AND {NOT_ERASED}
                 ORDER BY 8, 1"
            );
            let mut statement = desk.db.prepare_cached(&sql)?;
            let rows = statement.query_map([], StuckRow::read)?;
            rows.map(|row| stuck(desk, seat, row?)).collect()
        })
    }

    /// Tries again now what hangs fast.
    ///
    /// # Errors
    /// `NotFound` (`stuck`) if nothing of this name does.
    pub fn retry_stuck(&self, id: &Hash32) -> Result<(), Error> {
        let waits = self.inner.store.write(|tx| outbox::retry_one(tx, id))?;
        if !waits {
            return Err(Error::NotFound { kind: "stuck" });
        }
        self.inner.tell_all_threads()?;
        self.inner.waits.end_all();
        self.inner.nudge();
        Ok(())
    }

    /// What hangs fast as a file for its author: the largest part of its entry that is here, else its
    /// words; what is sealed for who is named.
    ///
    /// # Errors
    /// `NotFound` (`stuck`), (`media`) if nothing of it is here or to be read; as
    /// [`Kolonne::open_sealed`] for a sealed one.
    pub fn stuck_file(&self, seat: &SeatId, id: &Hash32) -> Result<Media, Error> {
        let mut stuck = self.stuck(seat)?.into_iter();
        let stuck = stuck.find(|stuck| stuck.id == *id);
        let stuck = stuck.ok_or(Error::NotFound { kind: "stuck" })?;
        let missing = Error::NotFound { kind: "media" };
        let Some(entry) = stuck.entry else {
            return Err(missing);
        };
        let parts: &[Part] = match self.inner.store.read(|db| standing_body(db, &entry))?.say {
            Say::Text(text) => {
                return Ok(Media {
                    bytes: text.text.into_bytes(),
                    media_type: "text/plain".to_owned(),
                    name: None,
                });
            }
            Say::Sealed(_) => {
                let mut opened = self.open_sealed(seat, &entry)?;
                return Ok(Media {
                    bytes: std::mem::take(&mut *opened.bytes),
                    media_type: opened.media_type.clone(),
                    name: Some(opened.name.clone()),
                });
            }
            Say::Photo(_) => &[Part::Original, Part::Picture, Part::Thumb],
            Say::Voice(_) => &[Part::Voice],
            Say::Document(_) => &[Part::Document],
            _ => &[],
        };
        for part in parts {
            match self.media(&entry, *part) {
                Err(Error::NotFound { kind: "media" }) => {}
                found => return found,
            }
        }
        Err(missing)
    }

    /// Throws away a file that hangs fast, with its entry: the entry is taken back with this reason,
    /// and its files are removed here and sent to nobody. There is no way back.
    ///
    /// # Errors
    /// `NotFound` (`stuck`); `Invalid` (`stuck`, `signed`) if it is an op: what is signed stays;
    /// `Invalid` (`reason`, `empty`); `Locked` as [`Kolonne::retract`] does.
    pub fn discard_stuck(&self, seat: &SeatId, id: &Hash32, reason: &str) -> Result<(), Error> {
        let reason = checked_reason(reason)?;
        let (entry, thread) = self.inner.store.read(|db| entry_of(db, id))?;
        let blobs = self.inner.write_in(&thread, |tx, moment| {
            let author = self.inner.author(tx, seat)?;
            capture::check_may_retract(tx, moment, seat, &entry)?;
            let retracted: bool = tx.query_row(
                "SELECT retracted FROM view_entries WHERE id = ?1",
                [entry.0.as_slice()],
                |row| row.get(0),
            )?;
            if !retracted {
                let retract = Retract {
                    target: entry,
                    reason: Some(reason),
                };
                capture::say(tx, moment, &author, &thread, Say::Retract(retract))?;
            }
            let beside = folding::blobs_named_beside(tx, |op| *op == entry)?;
            let mut blobs = outbox::blobs_of(tx, &entry)?;
            blobs.retain(|blob| !beside.contains(blob));
            for blob in &blobs {
                outbox::forget_blob(tx, blob)?;
            }
            Ok(blobs)
        })?;
        // Killed in between, they are nobody's files, which are swept away.
        for blob in &blobs {
            self.inner.blobs.remove(blob)?;
        }
        Ok(())
    }
}

fn stuck(desk: &Desk<'_>, seat: &SeatId, row: StuckRow) -> Result<Stuck, Error> {
    let thread = thread_id(&row.thread)?;
    let visible = may_see(desk, seat, &thread).is_ok();
    let said = row.kind.filter(|said| visible && *said < kind::SAID_BELOW);
    let entry = row.entry.filter(|_| said.is_some());
    let entry = entry.map(|entry| op_id(&entry)).transpose()?;
    let may_export = match &entry {
        Some(entry) if said == Some(kind::SEALED) => is_named(desk, seat, entry)?,
        entry => entry.is_some(),
    };
    Ok(Stuck {
        id: Hash32::try_from(row.id.as_slice()).map_err(|_| Error::Corrupt)?,
        kind: said.map(entry_kind),
        part: row.part.filter(|_| said.is_some()).map(part_of),
        title: visible
            .then(|| title(desk.db, &thread))
            .transpose()?
            .flatten(),
        thread: visible.then_some(thread),
        may_discard: entry.is_some() && row.part.is_some(),
        may_export,
        entry,
        why: row.why,
        tries_again: row.tries_again,
        since_ms: row.since_ms,
        bytes: row.bytes,
    })
}

/// Whether an attachment is sealed for a seat's person too.
fn is_named(desk: &Desk<'_>, seat: &SeatId, entry: &OpId) -> Result<bool, Error> {
    let person = desk.roster.seat(seat).and_then(|seat| seat.cert.person);
    let Say::Sealed(sealed) = standing_body(desk.db, entry)?.say else {
        return Ok(false);
    };
    Ok(person.is_some_and(|person| sealed.generation_of(&person).is_some()))
}

fn title(db: &Connection, thread: &ThreadId) -> Result<Option<String>, Error> {
    let title = db
        .prepare_cached("SELECT title FROM view_threads WHERE thread = ?1")?
        .query_row([thread.0.as_slice()], |row| row.get(0))
        .optional()?;
    Ok(title.flatten())
}

/// The entry of a stuck file, and its thread.
fn entry_of(db: &Connection, id: &Hash32) -> Result<(OpId, ThreadId), Error> {
    let is_op: bool = db
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM outbox_ops WHERE op = ?1 AND wedged IS NOT NULL)",
        )?
        .query_row([id.0.as_slice()], |row| row.get(0))?;
    if is_op {
        return Err(Error::Invalid {
            field: "stuck",
            code: "signed",
        });
    }
    let entry: Option<Vec<u8>> = db
        .prepare_cached(
            "SELECT b.entry FROM outbox_blobs o JOIN blobs b ON b.blob = o.blob
             WHERE o.blob = ?1 AND o.wedged IS NOT NULL",
        )?
        .query_row([BlobId(id.0).0.as_slice()], |row| row.get(0))
        .optional()?;
    let entry = op_id(&entry.ok_or(Error::NotFound { kind: "stuck" })?)?;
    Ok((entry, capture::thread_of(db, &entry)?))
}
