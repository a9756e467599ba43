//! Files on their way to the hub: in which order they go, how far they are, and what the hub said of
//! them. A row leaves as an op's does, by a receipt only; no file is read or sent here.

use kolonne_model::cbor;
use kolonne_model::ids::{BlobId, OpId, ThreadId};
use kolonne_model::receipt::BlobReceipt;
use rusqlite::{Connection, Transaction, params};

use crate::error::Error;
use crate::sync::lineage;

/// Of a blob `o`: it isn't erased.
pub const NOT_ERASED: &str = "NOT EXISTS (SELECT 1 FROM blobs b JOIN erasures e ON e.op = b.entry
    WHERE b.blob = o.blob)";
/// The same of a blob. It may be too large only for what is left of a quota.
pub const BLOB_WAITS: &str = "(wedged IS NULL OR wedged = 'too_large')";

/// What goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Thumbs.
    Thumbs = 2,
    /// Voice notes.
    Voice = 3,
    /// Pictures and documents.
    Pictures = 4,
    /// Originals.
    Originals = 5,
}

/// The [`Lane`] of a blob `b`, by its part.
pub const LANE_OF_PART: &str = "CASE b.part WHEN 1 THEN 2 WHEN 2 THEN 3 WHEN 5 THEN 5 ELSE 4 END";

/// Puts a blob on its way.
pub fn put_blob(
    tx: &Transaction<'_>,
    blob: &BlobId,
    thread: &ThreadId,
    lane: Lane,
    bytes: u64,
) -> Result<(), Error> {
    tx.prepare_cached(
        "INSERT OR IGNORE INTO outbox_blobs (blob, thread, lane, queued, bytes)
         VALUES (?1, ?2, ?3, (SELECT coalesce(max(queued), 0) + 1 FROM outbox_blobs), ?4)",
    )?
    .execute(params![
        blob.0.as_slice(),
        thread.0.as_slice(),
        lane as i64,
        bytes.cast_signed()
    ])?;
    Ok(())
}

/// A blob of one's own came back from the hub, to a database that was put back: the hub is asked to
/// sign for it again. It has it, so that costs no upload.
pub fn ask_receipt(tx: &Transaction<'_>, blob: &BlobId) -> Result<(), Error> {
    let sql = format!(
        "INSERT OR IGNORE INTO outbox_blobs (blob, thread, lane, queued, bytes)
         SELECT b.blob, b.thread, {LANE_OF_PART},
                (SELECT coalesce(max(queued), 0) + 1 FROM outbox_blobs), b.bytes
         FROM blobs b JOIN view_entries e ON e.id = b.entry JOIN own_seats s ON s.seat = e.seat
         WHERE b.blob = ?1 AND NOT EXISTS (SELECT 1 FROM blob_receipts r WHERE r.blob = b.blob)"
    );
    tx.prepare_cached(&sql)?.execute([blob.0.as_slice()])?;
    Ok(())
}

/// The hub lacks a blob that it signed for: nothing that it said of it holds, and it goes again if it
/// is here.
pub fn send_again(tx: &Transaction<'_>, blob: &BlobId) -> Result<(), Error> {
    let blob = [blob.0.as_slice()];
    tx.execute("DELETE FROM blob_receipts WHERE blob = ?1", blob)?;
    tx.execute("UPDATE blobs SET at_hub = 0 WHERE blob = ?1", blob)?;
    let sql = format!(
        "INSERT OR IGNORE INTO outbox_blobs (blob, thread, lane, queued, bytes)
         SELECT b.blob, b.thread, {LANE_OF_PART},
                (SELECT coalesce(max(queued), 0) + 1 FROM outbox_blobs), b.bytes
         FROM blobs b WHERE b.blob = ?1 AND b.here = 1"
    );
    tx.prepare_cached(&sql)?.execute(blob)?;
    Ok(())
}

/// The hub has shown that it holds a blob.
pub fn blob_proven(tx: &Transaction<'_>, blob: &BlobId) -> Result<(), Error> {
    tx.execute(
        "UPDATE blob_receipts SET proven = 1 WHERE blob = ?1",
        [blob.0.as_slice()],
    )?;
    Ok(())
}

/// Forgets a blob that was destroyed.
pub fn forget_blob(tx: &Transaction<'_>, blob: &BlobId) -> Result<(), Error> {
    for table in ["outbox_blobs", "blobs", "blob_receipts"] {
        tx.execute(
            &format!("DELETE FROM {table} WHERE blob = ?1"),
            [blob.0.as_slice()],
        )?;
    }
    Ok(())
}

/// A blob on its way.
#[derive(Debug, Clone)]
pub struct BlobOut {
    /// The blob.
    pub blob: BlobId,
    /// Whose members may have it.
    pub thread: ThreadId,
    /// Its length.
    pub bytes: u64,
    /// The upload that was begun.
    pub upload: Option<String>,
    /// How often it was tried.
    pub attempts: u32,
    /// Its [`Lane`], as the store has it: smaller goes first.
    pub lane: u8,
}

/// The next blobs to send: by lane up to the last one, then oldest first; those that wait for another
/// try are passed.
pub fn next_blobs(
    db: &Connection,
    last: Lane,
    at_most: usize,
    waits: impl Fn(&BlobId) -> bool,
) -> Result<Vec<BlobOut>, Error> {
    let mut statement = db.prepare_cached(&format!(
        "SELECT {BLOB_OUT} FROM outbox_blobs o
         WHERE lane <= ?1 AND {BLOB_WAITS} AND {NOT_ERASED} ORDER BY lane, queued"
    ))?;
    let mut rows = statement.query([last as i64])?;
    let mut next = Vec::new();
    while next.len() < at_most
        && let Some(row) = rows.next()?
    {
        let out = read_blob_out(row)?;
        if !waits(&out.blob) {
            next.push(out);
        }
    }
    Ok(next)
}

/// A blob on its way out, if it is.
pub fn blob_out(db: &Connection, blob: &BlobId) -> Result<Option<BlobOut>, Error> {
    let sql = format!("SELECT {BLOB_OUT} FROM outbox_blobs WHERE blob = ?1");
    let mut statement = db.prepare_cached(&sql)?;
    let mut rows = statement.query([blob.0.as_slice()])?;
    rows.next()?.map(read_blob_out).transpose()
}

const BLOB_OUT: &str = "blob, thread, bytes, upload, attempts, lane";

fn read_blob_out(row: &rusqlite::Row<'_>) -> Result<BlobOut, Error> {
    let (blob, thread): (Vec<u8>, Vec<u8>) = (row.get(0)?, row.get(1)?);
    Ok(BlobOut {
        blob: BlobId::try_from(blob.as_slice()).map_err(|_| Error::Corrupt)?,
        thread: ThreadId::try_from(thread.as_slice()).map_err(|_| Error::Corrupt)?,
        bytes: row.get::<_, i64>(2)?.cast_unsigned(),
        upload: row.get(3)?,
        attempts: row.get(4)?,
        lane: row.get(5)?,
    })
}

/// A try begins: counted before it starts, so that a crash counts too.
pub fn blob_tried(tx: &Transaction<'_>, blob: &BlobId) -> Result<(), Error> {
    tx.execute(
        "UPDATE outbox_blobs SET attempts = attempts + 1 WHERE blob = ?1",
        [blob.0.as_slice()],
    )?;
    Ok(())
}

/// How far an upload has come.
pub fn blob_progress(
    tx: &Transaction<'_>,
    blob: &BlobId,
    upload: Option<&str>,
    done_bytes: u64,
) -> Result<(), Error> {
    tx.execute(
        "UPDATE outbox_blobs SET upload = ?2, done_bytes = ?3, wedged = NULL,
                attempts = CASE WHEN ?3 > done_bytes THEN 0 ELSE attempts END
         WHERE blob = ?1",
        params![blob.0.as_slice(), upload, done_bytes.cast_signed()],
    )?;
    Ok(())
}

/// A blob can't be sent, or not now: it stays, explained.
pub fn wedge_blob(tx: &Transaction<'_>, blob: &BlobId, why: &str) -> Result<(), Error> {
    tx.execute(
        "UPDATE outbox_blobs SET wedged = ?2 WHERE blob = ?1",
        params![blob.0.as_slice(), why],
    )?;
    Ok(())
}

/// Keeps a good receipt; the blob leaves the outbox. `known_seq` is how far this device knew the hub's
/// sequence when it asked: a receipt from beyond is believed for good when the hub tells of the blob
/// at that place ([`lineage::untold`]).
pub fn take_blob_receipt(
    tx: &Transaction<'_>,
    receipt: &BlobReceipt,
    known_seq: u64,
) -> Result<(), Error> {
    lineage::receipted(tx, &receipt.epoch, receipt.hub_seq)?;
    tx.execute(
        "INSERT OR REPLACE INTO blob_receipts (blob, epoch, receipt, hub_seq, told)
         VALUES (?1, ?2, ?3, ?4,
            ?5 OR EXISTS (SELECT 1 FROM blobs WHERE blob = ?1 AND at_hub = 1))",
        params![
            receipt.blob.0.as_slice(),
            receipt.epoch.0.as_slice(),
            cbor::encode(receipt),
            receipt.hub_seq.cast_signed(),
            receipt.hub_seq <= known_seq,
        ],
    )?;
    tx.execute(
        "DELETE FROM outbox_blobs WHERE blob = ?1",
        [receipt.blob.0.as_slice()],
    )?;
    tx.execute(
        "UPDATE blobs SET at_hub = 1 WHERE blob = ?1",
        [receipt.blob.0.as_slice()],
    )?;
    Ok(())
}

/// The blobs that an entry names.
pub fn blobs_of(db: &Connection, entry: &OpId) -> Result<Vec<BlobId>, Error> {
    let mut statement = db.prepare_cached("SELECT blob FROM blobs WHERE entry = ?1")?;
    let blobs = statement.query_map([entry.0.as_slice()], |row| row.get::<_, Vec<u8>>(0))?;
    blobs
        .map(|blob| BlobId::try_from(blob?.as_slice()).map_err(|_| Error::Corrupt))
        .collect()
}
