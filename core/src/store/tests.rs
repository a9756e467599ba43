//! What a database refuses, and what it looks like to others on the disk.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::fs;

use tempfile::TempDir;

use super::*;

const KEY: [u8; 32] = [7; 32];

fn code(result: Result<Store, Error>) -> String {
    result.map(|_| ()).unwrap_err().code()
}

/// A database with one value in it, closed.
fn written(folder: &TempDir) -> std::path::PathBuf {
    let path = folder.path().join("kolonne.db");
    let store = Store::open(&path, &KEY).unwrap();
    store.write(|tx| set_meta(tx, "a", b"b")).unwrap();
    path
}

#[test]
fn a_newer_database_is_refused_untouched() {
    let folder = TempDir::new().unwrap();
    let path = written(&folder);
    let newer = connect(&path, &KEY, OpenFlags::default()).unwrap();
    newer.pragma_update(None, "user_version", 1_000).unwrap();
    drop(newer);
    let before = fs::read(&path).unwrap();
    assert_eq!(code(Store::open(&path, &KEY)), "upgrade_required");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_damaged_database_is_refused_untouched() {
    let folder = TempDir::new().unwrap();
    let path = written(&folder);
    assert_eq!(code(Store::open(&path, &[8; 32])), "corrupt");
    let mut bytes = fs::read(&path).unwrap();
    bytes[100] ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert_eq!(code(Store::open(&path, &KEY)), "corrupt");
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn what_failed_leaves_nothing_behind() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(&written(&folder), &KEY).unwrap();
    let failed = store.write(|tx| -> Result<(), Error> {
        set_meta(tx, "a", b"c")?;
        Err(Error::Cancelled)
    });
    assert_eq!(failed.unwrap_err().code(), "cancelled");
    let value = store.read(|db| get_meta(db, "a")).unwrap();
    assert_eq!(value.as_deref(), Some(b"b".as_slice()));
    // Readers can't write, and nobody changes or removes what was signed.
    let reading = store.read(|db| set_meta(db, "a", b"c"));
    assert!(reading.is_err());
    for sql in ["DELETE FROM ops", "UPDATE ops SET seq = 2"] {
        let done = store.write(|tx| {
            tx.execute(
                "INSERT INTO ops (id, thread, seat, store, seq, class, lamport, previous, form)
                 VALUES (x'01', x'', x'', x'', 1, 1, 1, x'', x'')",
                [],
            )?;
            Ok(tx.execute(sql, [])?)
        });
        assert!(done.is_err(), "{sql}");
    }
}

#[cfg(unix)]
#[test]
fn only_the_owner_reads() {
    use std::os::unix::fs::PermissionsExt;
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("kolonne.db");
    let store = Store::open(&path, &KEY).unwrap();
    store.write(|tx| set_meta(tx, "a", b"b")).unwrap();
    let files: Vec<_> = fs::read_dir(folder.path()).unwrap().flatten().collect();
    assert_eq!(files.len(), 3, "the database, its WAL and its index");
    for file in files {
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", file.path().display());
    }
}
