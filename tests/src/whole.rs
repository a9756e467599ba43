//! What must hold of a device's folder after any death, as its own database and files say, and of
//! what it had called *gesichert*.

use std::collections::{BTreeMap, HashSet};

use kolonne_core::records::Entry;
use kolonne_model::ids::{BlobId, OpId, ThreadId};
use rusqlite::Connection;

use crate::Device;

type SeatAndStore = (Vec<u8>, Vec<u8>);

/// Whether a job in the device's folder, and its database, are whole: how many blobs lie there that nothing names, or
/// what is wrong.
///
/// # Errors
/// What is wrong.
pub fn check(device: &Device, db: &Connection, job: &ThreadId) -> Result<usize, String> {
    let said: String = db
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .map_err(|error| error.to_string())?;
    if said != "ok" {
        return Err(format!("the database is damaged: {said}"));
    }
    dense_and_chained(db, job)?;
    // Every own op is on its way out: none lost between log and outbox.
    let waiting: i64 = db
        .query_row(
            "SELECT count(*) FROM ops o JOIN own_seats s ON s.seat = o.seat
             WHERE o.thread = ?1 AND NOT EXISTS (SELECT 1 FROM outbox_ops x WHERE x.op = o.id)",
            [job.0.as_slice()],
            |row| row.get(0),
        )
        .unwrap();
    if waiting != 0 {
        return Err(format!("{waiting} ops would never be sent"));
    }
    named_blobs_are_here(device, db)
}

fn dense_and_chained(db: &Connection, job: &ThreadId) -> Result<(), String> {
    let mut statement = db
        .prepare(
            "SELECT seat, store, seq, id, previous FROM ops WHERE thread = ?1 ORDER BY 1, 2, 3",
        )
        .unwrap();
    let mut heads: BTreeMap<SeatAndStore, (u32, Vec<u8>)> = BTreeMap::new();
    let rows = statement
        .query_map([job.0.as_slice()], |row| {
            let strand: SeatAndStore = (row.get(0)?, row.get(1)?);
            let (id, previous): (Vec<u8>, Vec<u8>) = (row.get(3)?, row.get(4)?);
            Ok((strand, row.get::<_, u32>(2)?, id, previous))
        })
        .unwrap();
    for row in rows {
        let (strand, seq, id, previous) = row.unwrap();
        let head = heads.entry(strand).or_insert((0, vec![0; 32]));
        if (seq, &previous) != (head.0 + 1, &head.1) {
            return Err(format!("a gap or a fork at {seq}"));
        }
        *head = (seq, id);
    }
    Ok(())
}

/// Blobs that ops name are there and are what they are called.
fn named_blobs_are_here(device: &Device, db: &Connection) -> Result<usize, String> {
    let files: HashSet<BlobId> = device.blob_files().into_iter().collect();
    let mut statement = db
        .prepare(
            "SELECT b.blob, b.here, o.blob IS NOT NULL FROM blobs b
             LEFT JOIN outbox_blobs o ON o.blob = b.blob",
        )
        .unwrap();
    let rows = statement
        .query_map([], |row| {
            let blob: Vec<u8> = row.get(0)?;
            Ok((blob, row.get::<_, bool>(1)?, row.get::<_, bool>(2)?))
        })
        .unwrap();
    let mut named = HashSet::new();
    for row in rows {
        let (blob, here, waits) = row.unwrap();
        let blob = BlobId::try_from(blob.as_slice()).unwrap();
        if !(here && waits && files.contains(&blob)) {
            return Err(format!("blob {blob}: here {here}, waits {waits}"));
        }
        let name = blob.to_string();
        let bytes = std::fs::read(device.dir.join("blobs").join(&name[..2]).join(&name)).unwrap();
        if blake3::hash(&bytes).as_bytes() != &blob.0 {
            return Err(format!("blob {blob} has other bytes"));
        }
        named.insert(blob);
    }
    Ok(files.difference(&named).count())
}

/// What is missing or twice of what a sender acknowledged.
pub fn faults(entries: &[Entry], kept: &BTreeMap<u64, OpId>) -> Vec<String> {
    let mut shown: BTreeMap<&str, Vec<OpId>> = BTreeMap::new();
    for entry in entries {
        if let Some(words) = entry.text.as_ref().or(entry.caption.as_ref()) {
            shown.entry(words).or_default().push(entry.id);
        }
    }
    let mut faults: Vec<String> = shown
        .iter()
        .filter(|(_, ids)| ids.len() > 1)
        .map(|(words, _)| format!("{words} twice"))
        .collect();
    for (number, id) in kept {
        let words = format!("Nr. {number}");
        if !shown.get(&*words).is_some_and(|ids| ids.contains(id)) {
            faults.push(format!("{words} missing"));
        }
    }
    faults
}
