//! What is erased: when it is due, and destroying it.
//!
//! A row of the company's sequence never goes, so that a cursor that stands on it still holds; what
//! it leads to is emptied.

use kolonne_model::ids::{BlobId, CompanyId, OpId, ThreadId};
use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::rows::{all, company_of, id, number, one, run};
use super::{DueErasure, ErasedThing, Stored, ToDestroy};

const DAY_MS: u64 = 24 * 3600 * 1000;
/// Things destroyed in one transaction.
const BATCH: u32 = 500;

const fn kind_and_target(thing: &ErasedThing) -> (i64, [u8; 32]) {
    match thing {
        ErasedThing::Op(op) => (1, op.0),
        ErasedThing::Blob(blob) => (2, blob.0),
    }
}

/// Remembers what may be destroyed in a thread, in place of what was remembered; each is due some
/// days after the first erase that names it came.
pub(super) fn note(
    writer: &mut Connection,
    company: &CompanyId,
    thread: &ThreadId,
    things: &[ToDestroy],
) -> Stored<()> {
    let Some(company) = company_of(writer, company)? else {
        return Ok(());
    };
    let known: Vec<(i64, [u8; 32])> = all(
        writer,
        "SELECT kind, target FROM erasures WHERE c = ?1 AND thread = ?2",
        params![company.row, thread.0],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    if known.is_empty() && things.is_empty() {
        return Ok(());
    }
    let tx = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for (kind, target) in known {
        if !things
            .iter()
            .any(|thing| kind_and_target(&thing.thing) == (kind, target))
        {
            run(
                &tx,
                "DELETE FROM erasures WHERE c = ?1 AND thread = ?2 AND kind = ?3 AND target = ?4",
                params![company.row, thread.0, kind, target],
            )?;
        }
    }
    for thing in things {
        let (kind, target) = kind_and_target(&thing.thing);
        let delay_ms = u64::from(thing.days).saturating_mul(DAY_MS);
        run(
            &tx,
            "INSERT INTO erasures (c, thread, kind, target, due_ms)
             SELECT o.c, ?2, ?3, ?4, o.received_ms + ?6 FROM ops o WHERE o.c = ?1 AND o.id = ?5
             ON CONFLICT DO UPDATE SET due_ms = excluded.due_ms",
            params![
                company.row,
                thread.0,
                kind,
                target,
                thing.erase.0,
                delay_ms.cast_signed()
            ],
        )?;
    }
    Ok(tx.commit()?)
}

/// What is due now.
pub(super) fn due(connection: &Connection, now_ms: u64) -> Stored<Vec<DueErasure>> {
    all(
        connection,
        "SELECT c.id, e.thread, e.kind, e.target FROM erasures e JOIN companies c USING (c)
         WHERE e.done = 0 AND e.due_ms <= ?1 LIMIT ?2",
        params![now_ms.cast_signed(), BATCH],
        |row| {
            let thing = if row.get::<_, i64>(2)? == 1 {
                ErasedThing::Op(OpId(row.get(3)?))
            } else {
                ErasedThing::Blob(BlobId(row.get(3)?))
            };
            Ok(DueErasure {
                company: id(row, 0)?,
                thread: id(row, 1)?,
                thing,
            })
        },
    )
}

/// Destroys payloads and parts, and lets go of blobs. The files of blobs that no thread has any more
/// are the caller's to remove, before [`done`].
pub(super) fn destroy(writer: &mut Connection, due: &[DueErasure]) -> Stored<Vec<DueErasure>> {
    let tx = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut files = Vec::new();
    for erasure in due {
        let Some(company) = company_of(&tx, &erasure.company)? else {
            continue;
        };
        match &erasure.thing {
            ErasedThing::Op(op) => destroy_op(&tx, company.row, op)?,
            ErasedThing::Blob(blob) => {
                run(
                    &tx,
                    "UPDATE blobs SET gone = 1 WHERE c = ?1 AND blob = ?2 AND thread = ?3",
                    params![company.row, blob.0, erasure.thread.0],
                )?;
                let kept = one(
                    &tx,
                    "SELECT 1 FROM blobs WHERE c = ?1 AND blob = ?2 AND gone = 0",
                    params![company.row, blob.0],
                    |_| Ok(()),
                )?;
                if kept.is_none() {
                    files.push(*erasure);
                }
            }
        }
    }
    tx.commit()?;
    Ok(files)
}

fn destroy_op(tx: &Transaction<'_>, c: i64, op: &OpId) -> Stored<()> {
    let Some(row): Option<i64> = one(
        tx,
        "SELECT n FROM ops WHERE c = ?1 AND id = ?2",
        params![c, op.0],
        |row| row.get(0),
    )?
    else {
        return Ok(());
    };
    let bytes = one(
        tx,
        "SELECT coalesce((SELECT length(bytes) FROM payloads WHERE op = ?1), 0)
              + coalesce((SELECT sum(length(bytes)) FROM parts WHERE op = ?1), 0)",
        [row],
        |row| number(row, 0),
    )?;
    run(tx, "DELETE FROM payloads WHERE op = ?1", [row])?;
    run(tx, "UPDATE parts SET bytes = x'' WHERE op = ?1", [row])?;
    less(tx, c, bytes.unwrap_or_default())
}

fn less(tx: &Transaction<'_>, c: i64, bytes: u64) -> Stored<()> {
    run(
        tx,
        "UPDATE companies SET bytes = max(bytes - ?2, 0) WHERE c = ?1",
        params![c, bytes.cast_signed()],
    )?;
    Ok(())
}

/// Remembers that these are destroyed, files and all, and empties the write-ahead log.
pub(super) fn done(writer: &mut Connection, due: &[DueErasure]) -> Stored<()> {
    let tx = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for erasure in due {
        let Some(company) = company_of(&tx, &erasure.company)? else {
            continue;
        };
        let (kind, target) = kind_and_target(&erasure.thing);
        run(
            &tx,
            "UPDATE erasures SET done = 1 WHERE c = ?1 AND thread = ?2 AND kind = ?3 AND target = ?4",
            params![company.row, erasure.thread.0, kind, target],
        )?;
        if let ErasedThing::Blob(blob) = &erasure.thing {
            let bytes = one(
                &tx,
                "SELECT sealed_bytes FROM blobs WHERE c = ?1 AND blob = ?2
                 AND NOT EXISTS (SELECT 1 FROM blobs WHERE c = ?1 AND blob = ?2 AND gone = 0) LIMIT 1",
                params![company.row, blob.0],
                |row| number(row, 0),
            )?;
            less(&tx, company.row, bytes.unwrap_or_default())?;
        }
    }
    tx.commit()?;
    writer.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(())
}
