//! Erasing: the office takes content away for good, with a trace.
//!
//! Hidden at once, on every device that hears of it; destroyed on each device's disk after the
//! company's delay by its own clock, and only what one person alone may have destroyed or a second
//! one confirmed. What is destroyed is refused from then on, whoever brings it. No signed form ever
//! goes, and nothing here runs while the network is awaited.

use std::collections::{BTreeMap, BTreeSet};

use kolonne_model::body::{Say, Set, field};
use kolonne_model::control::{Control, Erase, EraseReason};
use kolonne_model::erasure::{Erasures, Standing, days_within_bounds};
use kolonne_model::ids::{BlobId, OpId, RingId, SeatId, ThreadId};
use kolonne_model::roster::change::Role;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use serde::Serialize;

use crate::error::Error;
use crate::folding;
use crate::folding::company_thread;
use crate::kolonne::{Inner, Kolonne, op_id, thread_id};
use crate::oplog::{self, Moment, Saying};
use crate::records::{Changed, ErasureRecord, reason_of_code};
use crate::{capture, outbox};

/// Ops that one erase op names at most: with their blobs they fit a payload.
const OPS_PER_ERASE: usize = 200;
/// Blobs that one erase op names at most.
const BLOBS_PER_ERASE: usize = 1500;
const DAY_MS: u64 = 24 * 3600 * 1000;

/// What an erasure did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Erased {
    /// Entries that nobody sees any more.
    pub entries: u32,
    /// Of these, those that a second office person has to erase too before they are destroyed.
    pub need_second: u32,
    /// Days until they are destroyed.
    pub days: u16,
}

impl Kolonne {
    /// Erases entries, with what was later written to replace their words. They are hidden at once
    /// and destroyed after the company's delay; there is no way back. Erasing what another person
    /// erased confirms it. The office only.
    ///
    /// # Errors
    /// `Locked` (`right`), `NotFound` (`entry`).
    pub fn erase(
        &self,
        seat: &SeatId,
        entries: &[OpId],
        reason: EraseReason,
    ) -> Result<Erased, Error> {
        let by_thread = self.inner.store.read(|db| {
            let mut by_thread: BTreeMap<ThreadId, BTreeSet<OpId>> = BTreeMap::new();
            for entry in entries {
                let thread = capture::thread_of(db, entry)?;
                by_thread.entry(thread).or_default().insert(*entry);
            }
            Ok(by_thread)
        })?;
        let mut erased = Erased::default();
        for (thread, entries) in by_thread {
            self.inner.write_in(&thread, |tx, moment| {
                self.inner
                    .erase_in(tx, moment, seat, &thread, &entries, reason)?;
                let view = folding::refold(tx, moment.roster, &self.inner.device, &thread)?;
                erased.days = days(tx)?;
                for entry in &entries {
                    let erasure = view.control.erasures.ops.get(entry);
                    let erasure = erasure.ok_or(Error::Locked { code: "right" })?;
                    erased.entries = erased.entries.saturating_add(1);
                    if erasure.standing == Standing::NeedsSecond {
                        erased.need_second = erased.need_second.saturating_add(1);
                    }
                }
                Ok(())
            })?;
        }
        Ok(erased)
    }

    /// Days until what is erased is destroyed, as the company has it.
    pub fn erase_days(&self) -> Result<u16, Error> {
        self.inner.store.read(|db| days(db))
    }

    /// Says after how many days what is erased is destroyed, from 1 to 365. Admins only.
    ///
    /// # Errors
    /// `Invalid` (`days`), `Locked` (`right`).
    pub fn set_erase_days(&self, seat: &SeatId, days: u16) -> Result<(), Error> {
        if days != days_within_bounds(Some(days)) {
            return Err(Error::Invalid {
                field: "days",
                code: "range",
            });
        }
        let thread = self.inner.store.read(|db| company_thread(db))?;
        self.inner.write_in(&thread, |tx, moment| {
            capture::job::needs_role(moment, seat, Role::Admin)?;
            let author = self.inner.author(tx, seat)?;
            let view = folding::refold(tx, moment.roster, &self.inner.device, &thread)?;
            let set = Set {
                field: field::ERASE_DAYS,
                subject: None,
                value: Some(days.to_string()),
                names: capture::field_names(&view, field::ERASE_DAYS, &[]),
            };
            capture::say(tx, moment, &author, &thread, Say::Set(set)).map(drop)
        })
    }

    /// Everything erased that isn't destroyed on this device yet, newest first.
    pub fn erasures(&self) -> Result<Vec<ErasureRecord>, Error> {
        self.at_desk(|desk| {
            let mut statement = desk.db.prepare_cached(
                "SELECT v.op FROM view_erasures v JOIN erasures e ON e.op = v.op
                 JOIN view_entries n ON n.id = v.op
                 WHERE e.destroyed = 0 ORDER BY v.time_ms DESC, v.op",
            )?;
            let ops = statement.query_map([], |row| row.get::<_, Vec<u8>>(0))?;
            let mut records = Vec::new();
            for op in ops {
                records.extend(record(desk.db, |ring| desk.name(&ring.0), &op_id(&op?)?)?);
            }
            Ok(records)
        })
    }
}

/// How an erased op stands; none: it isn't erased.
pub(crate) fn record(
    db: &Connection,
    name: impl Fn(&RingId) -> String,
    op: &OpId,
) -> Result<Option<ErasureRecord>, Error> {
    let row = db
        .prepare_cached(
            "SELECT v.thread, v.reason, v.needs_second, v.people, v.time_ms, e.known_ms,
                    e.destroyed
             FROM view_erasures v JOIN erasures e ON e.op = v.op WHERE v.op = ?1",
        )?
        .query_row([op.0.as_slice()], |row| {
            Ok((
                (row.get::<_, Vec<u8>>(0)?, row.get::<_, i64>(1)?),
                (row.get::<_, bool>(2)?, row.get::<_, Vec<u8>>(3)?),
                (row.get::<_, i64>(4)?, row.get::<_, Option<i64>>(5)?),
                row.get::<_, bool>(6)?,
            ))
        })
        .optional()?;
    let Some(((thread, reason), (needs_second, people), (time_ms, known_ms), destroyed)) = row
    else {
        return Ok(None);
    };
    let by = people
        .chunks_exact(16)
        .filter_map(|ring| RingId::try_from(ring).ok())
        .map(|ring| name(&ring))
        .collect();
    let delay_ms = u64::from(days(db)?).saturating_mul(DAY_MS);
    let gone_ms = known_ms.map(|known| known.cast_unsigned().saturating_add(delay_ms));
    Ok(Some(ErasureRecord {
        entry: *op,
        thread: thread_id(&thread)?,
        reason: reason_of_code(reason).ok_or(Error::Corrupt)?,
        by,
        time_ms: time_ms.cast_unsigned(),
        needs_second,
        destroyed,
        gone_ms: gone_ms.filter(|_| !needs_second && !destroyed),
    }))
}

/// The company's delay in days.
fn days(db: &Connection) -> Result<u16, Error> {
    let value: Option<String> = db
        .prepare_cached("SELECT value FROM view_policies WHERE field = ?1")?
        .query_row([field::ERASE_DAYS], |row| row.get(0))
        .optional()?;
    Ok(days_within_bounds(
        value.and_then(|value| value.parse().ok()),
    ))
}

impl Inner {
    fn erase_in(
        &self,
        tx: &Transaction<'_>,
        moment: &Moment<'_>,
        seat: &SeatId,
        thread: &ThreadId,
        entries: &BTreeSet<OpId>,
        reason: EraseReason,
    ) -> Result<(), Error> {
        capture::job::needs_role(moment, seat, Role::Office)?;
        let author = self.author(tx, seat)?;
        let days = Some(days(tx)?);
        let named: Vec<_> = with_what_is_about(tx, thread, entries)?
            .into_iter()
            .collect();
        for chunk in named.chunks(OPS_PER_ERASE) {
            let blobs: Vec<BlobId> = chunk
                .iter()
                .flat_map(|(_, blobs)| blobs.iter().copied())
                .take(BLOBS_PER_ERASE)
                .collect();
            let erase = Control::Erase(Erase {
                ops: chunk.iter().map(|(op, _)| *op).collect(),
                reason,
                blobs: (!blobs.is_empty()).then_some(blobs),
                days,
            });
            oplog::append(tx, moment, &author, thread, &Saying::Control(erase))?;
        }
        Ok(())
    }

    /// Destroys what is due on this disk. Whether anything was.
    ///
    /// Files go first: what is cut off in between is done again.
    pub fn destroy_erased(&self) -> Result<bool, Error> {
        let now_ms = self.now_ms();
        let due = self.store.write(|tx| {
            tx.execute(
                "UPDATE erasures SET known_ms = ?1 WHERE known_ms IS NULL",
                [now_ms.cast_signed()],
            )?;
            let delay_ms = u64::from(days(tx)?).saturating_mul(DAY_MS);
            due(tx, now_ms.saturating_sub(delay_ms))
        })?;
        if due.is_empty() {
            return Ok(false);
        }
        for blob in due.values().flatten() {
            self.blobs.remove(blob)?;
            self.blobs.remove_partial(blob)?;
        }
        self.store.write(|tx| {
            for (op, blobs) in &due {
                oplog::destroy(tx, op)?;
                for blob in blobs {
                    outbox::forget_blob(tx, blob)?;
                }
                tx.execute(
                    "UPDATE erasures SET destroyed = 1 WHERE op = ?1",
                    [op.0.as_slice()],
                )?;
            }
            Ok(())
        })?;
        self.store.truncate_log()?;
        self.tell(Changed::Threads);
        Ok(true)
    }
}

fn due(db: &Connection, known_before_ms: u64) -> Result<BTreeMap<OpId, Vec<BlobId>>, Error> {
    let mut statement = db.prepare_cached(
        "SELECT e.op, b.blob FROM erasures e LEFT JOIN blobs b ON b.entry = e.op
         WHERE e.may_go = 1 AND e.destroyed = 0 AND e.known_ms <= ?1",
    )?;
    let rows = statement.query_map([known_before_ms.cast_signed()], |row| {
        Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Option<Vec<u8>>>(1)?))
    })?;
    let mut due: BTreeMap<OpId, Vec<BlobId>> = BTreeMap::new();
    for row in rows {
        let (op, blob) = row?;
        let blobs = due.entry(op_id(&op)?).or_default();
        if let Some(blob) = blob {
            blobs.push(BlobId::try_from(blob.as_slice()).map_err(|_| Error::Corrupt)?);
        }
    }
    if due.values().any(|blobs| !blobs.is_empty()) {
        let others = folding::blobs_named_beside(db, |op| due.contains_key(op))?;
        for blobs in due.values_mut() {
            blobs.retain(|blob| !others.contains(blob));
        }
    }
    Ok(due)
}

/// Entries and what was written to replace their words or take them back; and their blobs.
fn with_what_is_about(
    tx: &Transaction<'_>,
    thread: &ThreadId,
    entries: &BTreeSet<OpId>,
) -> Result<BTreeMap<OpId, Vec<BlobId>>, Error> {
    let mut ops: BTreeMap<OpId, Vec<BlobId>> =
        entries.iter().map(|entry| (*entry, Vec::new())).collect();
    for op in oplog::of_thread(tx, thread)? {
        let Some(body) = folding::hidden_body(tx, &op)? else {
            continue;
        };
        let about = match &body.say {
            Say::Set(set) if set.field == field::ENTRY_TEXT => set
                .subject
                .as_ref()
                .and_then(|subject| OpId::try_from(subject.as_slice()).ok()),
            Say::Retract(retract) => Some(retract.target),
            say => {
                if let Some(blobs) = ops.get_mut(&op.id()) {
                    *blobs = say.blobs().into_iter().map(|(blob, _)| blob).collect();
                }
                None
            }
        };
        if about.is_some_and(|about| entries.contains(&about)) {
            ops.entry(op.id()).or_default();
        }
    }
    let others = folding::blobs_named_beside(tx, |op| ops.contains_key(op))?;
    for blobs in ops.values_mut() {
        blobs.retain(|blob| !others.contains(blob));
    }
    Ok(ops)
}

/// Keeps in step what the log may let go of. What isn't erased any more goes to the hub again, in
/// case that refused it meanwhile.
pub(crate) fn note(
    tx: &Transaction<'_>,
    thread: &ThreadId,
    erasures: &Erasures,
) -> Result<(), Error> {
    let known: Vec<Vec<u8>> = tx
        .prepare_cached("SELECT op FROM erasures WHERE thread = ?1")?
        .query_map([thread.0.as_slice()], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for op in known {
        let op = op_id(&op)?;
        if !erasures.ops.contains_key(&op) {
            tx.execute("DELETE FROM erasures WHERE op = ?1", [op.0.as_slice()])?;
            outbox::put_again(tx, &op)?;
        }
    }
    for (op, erasure) in &erasures.ops {
        tx.prepare_cached(
            "INSERT INTO erasures (op, thread, may_go) VALUES (?1, ?2, ?3)
             ON CONFLICT (op) DO UPDATE SET may_go = excluded.may_go
             WHERE may_go <> excluded.may_go",
        )?
        .execute(params![
            op.0.as_slice(),
            thread.0.as_slice(),
            erasure.standing == Standing::MayGo
        ])?;
    }
    Ok(())
}
