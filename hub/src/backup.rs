//! An online copy of an embedded hub: its database as of one moment, its blobs, its key.
//!
//! The database comes first: every blob that it names was whole before it, and blobs never change.
//! It reads only what is on the disk, so the hub may run or not; nothing of the hub is changed.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use zeroize::Zeroizing;

use crate::storage::blobs::sync_dir;

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// No hub in that folder.
    #[error("no hub in this folder")]
    NoHub,
    /// Another hub's copy lies there.
    #[error("another hub's copy lies there")]
    Taken,
    /// The database.
    #[error("database: {0}")]
    Database(#[from] rusqlite::Error),
    /// A file.
    #[error("file: {0}")]
    Io(#[from] io::Error),
}

/// What was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Copied {
    /// Blobs in the copy.
    pub files: u64,
    /// Of these, ones that weren't there before.
    pub new_files: u64,
}

/// Copies the hub in `data` to `to`, over an earlier copy of the same hub.
pub fn backup(data: &Path, to: &Path) -> Result<Copied, BackupError> {
    let (key_file, database) = (data.join("hub.key"), data.join("hub.db"));
    let key = match fs::read(&key_file).map(Zeroizing::new) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(BackupError::NoHub),
        key => key?,
    };
    if !database.exists() {
        return Err(BackupError::NoHub);
    }
    make_dir(to)?;
    match fs::read(to.join("hub.key")).map(Zeroizing::new) {
        Ok(there) if there == key => {}
        Ok(_) => return Err(BackupError::Taken),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            // A database without its key would be a hub that can't start.
            if to.join("hub.db").exists() {
                return Err(BackupError::Taken);
            }
        }
        Err(error) => return Err(error.into()),
    }
    let fresh = to.join("hub.db.new");
    remove(&fresh)?;
    // Made beforehand, so that the copy is its owner's alone from its first byte.
    private().open(&fresh)?;
    let from = Connection::open_with_flags(&database, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let path = fresh.to_string_lossy().into_owned();
    from.execute("VACUUM INTO ?1", [path])?;
    drop(from);
    File::open(&fresh)?.sync_all()?;
    let mut key_copy = private().truncate(true).open(to.join("hub.key"))?;
    key_copy.write_all(&key)?;
    key_copy.sync_all()?;
    let mut copied = Copied::default();
    let blobs = to.join("blobs");
    make_dir(&blobs)?;
    copy_below(&data.join("blobs"), &blobs, &mut copied)?;
    // The old copy holds until the new one is whole; a log of the old one would spoil the new.
    for beside in ["hub.db-wal", "hub.db-shm"] {
        remove(&to.join(beside))?;
    }
    fs::rename(&fresh, to.join("hub.db"))?;
    sync_dir(to)?;
    Ok(copied)
}

/// Links what is on the same disk, else copies; names are hashes, so what is there is right.
fn copy_below(from: &Path, to: &Path, copied: &mut Copied) -> Result<(), BackupError> {
    let entries = match fs::read_dir(from) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let (path, there) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            make_dir(&there)?;
            copy_below(&path, &there, copied)?;
            continue;
        }
        copied.files = copied.files.saturating_add(1);
        if there.exists() {
            continue;
        }
        if fs::hard_link(&path, &there).is_err() {
            let half = there.with_extension("new");
            match fs::copy(&path, &half) {
                // Erased since it was listed.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                done => done?,
            };
            File::open(&half)?.sync_all()?;
            fs::rename(&half, &there)?;
        }
        copied.new_files = copied.new_files.saturating_add(1);
    }
    Ok(sync_dir(to)?)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn make_dir(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}
