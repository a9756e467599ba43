//! Which life of the hub the receipts here are of, and what happens when another one begins.
//!
//! A restored hub lacks what it signed for, a new one lacks everything: then no receipt says
//! anything any more, all goes back on its way, and screens fall back to *on this phone*. Going
//! back needs no proof; going forward needs a new receipt.

use kolonne_model::hub::Cursor;
use kolonne_model::ids::{BlobId, HubEpoch};
use rusqlite::{Connection, Transaction, params};

use crate::error::Error;
use crate::outbox;
use crate::store::{get_meta, set_meta};

/// The newest sequence that a receipt named: epoch and number.
const RECEIPTED: &str = "receipted";

/// Nothing that a hub said before holds: everything here goes again, other people's ops and blobs
/// too.
pub fn begin_again(tx: &Transaction<'_>) -> Result<(), Error> {
    tx.execute("DELETE FROM meta WHERE key IN ('cursor', ?1)", [RECEIPTED])?;
    tx.execute("DELETE FROM receipts", [])?;
    tx.execute("DELETE FROM blob_receipts", [])?;
    tx.execute("UPDATE blobs SET at_hub = 0", [])?;
    outbox::unwedge(tx)?;
    let (provable, lane) = (outbox::PROVABLE, outbox::LANE_OF_PART);
    let sql = format!(
        "INSERT OR IGNORE INTO outbox_ops (arrival, op, thread)
         SELECT arrival, id, thread FROM ops o WHERE class <> 3 AND {provable}"
    );
    tx.execute(&sql, [])?;
    tx.execute("UPDATE outbox_blobs SET upload = NULL, done_bytes = 0", [])?;
    let sql = format!(
        "INSERT OR IGNORE INTO outbox_blobs (blob, thread, lane, queued, bytes)
         SELECT b.blob, b.thread, {lane},
                (SELECT coalesce(max(queued), 0) FROM outbox_blobs)
                + row_number() OVER (ORDER BY o.arrival, b.part), b.bytes
         FROM blobs b LEFT JOIN ops o ON o.id = b.entry WHERE b.here = 1"
    );
    tx.execute(&sql, [])?;
    Ok(())
}

/// A hub that was put back gives the numbers after its copy anew: it may have passed the place of a
/// receipt without the blob that it signed for there. What it didn't tell of at that place goes
/// again; if it has it, that costs no upload.
pub fn untold(tx: &Transaction<'_>, cursor: &Cursor) -> Result<(), Error> {
    let place = params![cursor.epoch.0.as_slice(), cursor.hub_seq.cast_signed()];
    let passed = "told = 0 AND epoch = ?1 AND hub_seq <= ?2";
    let blobs: Vec<Vec<u8>> = tx
        .prepare_cached(&format!("SELECT blob FROM blob_receipts WHERE {passed}"))?
        .query_map(place, |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for blob in blobs {
        let blob = BlobId::try_from(blob.as_slice()).map_err(|_| Error::Corrupt)?;
        outbox::send_again(tx, &blob)?;
    }
    Ok(())
}

/// Remembers how far a receipt says that the hub has come.
pub fn receipted(tx: &Transaction<'_>, epoch: &HubEpoch, hub_seq: u64) -> Result<(), Error> {
    if newest_receipted(tx)?.is_some_and(|(of, seq)| of == *epoch && seq >= hub_seq) {
        return Ok(());
    }
    let bytes = [epoch.0.as_slice(), &hub_seq.to_be_bytes()].concat();
    set_meta(tx, RECEIPTED, &bytes)
}

/// Whether a hub that told everything up to this cursor has less than it signed for.
pub fn is_put_back(tx: &Connection, cursor: &Cursor) -> Result<bool, Error> {
    Ok(newest_receipted(tx)?
        .is_some_and(|(epoch, seq)| epoch == cursor.epoch && cursor.hub_seq < seq))
}

fn newest_receipted(tx: &Connection) -> Result<Option<(HubEpoch, u64)>, Error> {
    let bytes = get_meta(tx, RECEIPTED)?.unwrap_or_default();
    Ok(bytes.split_first_chunk::<8>().and_then(|(epoch, seq)| {
        let seq = u64::from_be_bytes(seq.try_into().ok()?);
        Some((HubEpoch(*epoch), seq))
    }))
}
