//! Rows of blobs and of uploads on their way; the bytes lie elsewhere.
//!
//! A blob takes its sequences in the transaction that forgets its upload.

use kolonne_model::ids::{BlobId, CompanyId, DeviceId, ThreadId};
use rusqlite::{Connection, Row, TransactionBehavior, params};

use super::{Sqlite, lock};
use crate::storage::append::Append;
use crate::storage::rows::{all, id, number, one, run};
use crate::storage::{BlobRow, BlobRows, Keep, StorageError, Stored, UploadRow};

/// A blob's kind in the log.
const BLOB: i64 = 5;

impl BlobRows for Sqlite {
    fn blob(&self, company: &CompanyId, blob: &BlobId) -> Stored<Option<BlobRow>> {
        self.within(company, |connection, c| blob_row(connection, c, blob))
    }

    fn blobs(&self, company: &CompanyId, thread: &ThreadId) -> Stored<Vec<BlobId>> {
        self.within(company, |connection, c| {
            all(
                connection,
                "SELECT blob FROM blobs WHERE c = ?1 AND thread = ?2 AND gone = 0 ORDER BY n",
                params![c, thread.0],
                |row| id(row, 0),
            )
        })
    }

    fn complete_blob(&self, upload: &UploadRow, time_ms: u64) -> Stored<BlobRow> {
        let mut writer = lock(&self.writer);
        let keep = Keep {
            received_ms: time_ms,
            quota_bytes: u64::MAX,
        };
        let tx = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut append = Append::begin(&tx, &upload.company, keep)?;
        let was_here = blob_row(&tx, append.c, &upload.blob)?.is_some();
        // One that had been erased begins anew.
        run(
            &tx,
            "UPDATE blobs SET gone = 0 WHERE c = ?1 AND blob = ?2 AND thread = ?3 AND gone = 1",
            params![append.c, upload.blob.0, upload.thread.0],
        )?;
        let is_new = run(
            &tx,
            "INSERT OR IGNORE INTO blobs (c, blob, thread, device, sealed_bytes, hub_seq, time_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                append.c,
                upload.blob.0,
                upload.thread.0,
                upload.device.0,
                upload.sealed_bytes.cast_signed(),
                (append.seq + 1).cast_signed(),
                time_ms.cast_signed(),
            ],
        )?;
        if is_new > 0 {
            let row = tx.last_insert_rowid();
            append.take_seq(BLOB, &upload.thread, row, 40)?;
            if !was_here {
                append.bytes = append.bytes.saturating_add(upload.sealed_bytes);
            }
        }
        run(&tx, "DELETE FROM uploads WHERE name = ?1", [&upload.name])?;
        let row = blob_row(&tx, append.c, &upload.blob)?.ok_or(StorageError::Damaged)?;
        append.finish()?;
        tx.commit()?;
        Ok(row)
    }

    fn device_blob_bytes(
        &self,
        company: &CompanyId,
        device: &DeviceId,
        since_ms: u64,
    ) -> Stored<u64> {
        self.within(company, |connection, c| {
            let bytes = one(
                connection,
                "SELECT coalesce(sum(sealed_bytes), 0) FROM blobs
                 WHERE c = ?1 AND device = ?2 AND time_ms >= ?3",
                params![c, device.0, since_ms.cast_signed()],
                |row| number(row, 0),
            )?;
            Ok(bytes.unwrap_or_default())
        })
    }

    fn put_upload(&self, new: &UploadRow) -> Stored<()> {
        run(
            &lock(&self.writer),
            "INSERT INTO uploads (name, company, device, blob, thread, sealed_bytes, begun_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                new.name,
                new.company.0,
                new.device.0,
                new.blob.0,
                new.thread.0,
                new.sealed_bytes.cast_signed(),
                new.begun_ms.cast_signed()
            ],
        )?;
        Ok(())
    }

    fn upload(&self, name: &str) -> Stored<Option<UploadRow>> {
        self.read(|connection| {
            one(
                connection,
                "SELECT * FROM uploads WHERE name = ?1",
                [name],
                upload,
            )
        })
    }

    fn uploads(&self, company: &CompanyId, device: &DeviceId) -> Stored<Vec<UploadRow>> {
        self.read(|connection| {
            all(
                connection,
                "SELECT * FROM uploads WHERE company = ?1 AND device = ?2",
                [&company.0, &device.0],
                upload,
            )
        })
    }

    fn stale_uploads(&self, before_ms: u64) -> Stored<Vec<UploadRow>> {
        self.read(|connection| {
            all(
                connection,
                "SELECT * FROM uploads WHERE begun_ms < ?1",
                [before_ms.cast_signed()],
                upload,
            )
        })
    }

    fn drop_upload(&self, name: &str) -> Stored<()> {
        run(
            &lock(&self.writer),
            "DELETE FROM uploads WHERE name = ?1",
            [name],
        )?;
        Ok(())
    }
}

fn upload(row: &Row<'_>) -> rusqlite::Result<UploadRow> {
    Ok(UploadRow {
        name: row.get(0)?,
        company: id(row, 1)?,
        device: id(row, 2)?,
        blob: id(row, 3)?,
        thread: id(row, 4)?,
        sealed_bytes: number(row, 5)?,
        begun_ms: number(row, 6)?,
    })
}

fn blob_row(connection: &Connection, c: i64, blob: &BlobId) -> Stored<Option<BlobRow>> {
    let rows = all(
        connection,
        "SELECT sealed_bytes, hub_seq, time_ms, thread FROM blobs
         WHERE c = ?1 AND blob = ?2 AND gone = 0 ORDER BY n",
        params![c, blob.0],
        |row| {
            Ok((
                number(row, 0)?,
                number(row, 1)?,
                number(row, 2)?,
                id(row, 3)?,
            ))
        },
    )?;
    let Some((sealed_bytes, hub_seq, time_ms, _)) = rows.first().copied() else {
        return Ok(None);
    };
    let threads = rows.iter().map(|(_, _, _, thread)| *thread).collect();
    Ok(Some(BlobRow {
        sealed_bytes,
        hub_seq,
        time_ms,
        threads,
    }))
}
