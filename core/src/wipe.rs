//! Removing a device's keys and files for good: the key first, since without it the rest is noise.
//!
//! A mark is written before anything goes, so that a wipe that was cut off goes on at the next
//! opening. Flash may keep old blocks; what lies in them is ciphertext whose key was overwritten in
//! place as far as the disk allows, and on phones lived in the Keystore.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use crate::crypt::at_rest::{private, sync_folder};
use crate::crypt::random;
use crate::error::Error;

/// Says that this folder's device has ended and is, or is being, wiped.
const MARK: &str = "ended";
const KEY: &str = "device.key";
const FILES: [&str; 4] = [
    "kolonne.db-wal",
    "kolonne.db-shm",
    "kolonne.db",
    crate::place::FILE,
];

/// Whether a folder's device was wiped, or its wipe began.
pub fn has_mark(dir: &Path) -> bool {
    dir.join(MARK).exists()
}

/// Wipes; what is gone already is fine.
pub fn wipe(dir: &Path) -> Result<(), Error> {
    private(OpenOptions::new().write(true).create(true).truncate(true))
        .open(dir.join(MARK))?
        .sync_all()?;
    sync_folder(dir)?;
    overwrite(&dir.join(KEY))?;
    remove(fs::remove_file(dir.join(KEY)))?;
    sync_folder(dir)?;
    for name in FILES {
        remove(fs::remove_file(dir.join(name)))?;
    }
    remove(fs::remove_dir_all(dir.join("blobs")))?;
    Ok(sync_folder(dir)?)
}

/// Makes a wiped folder ready for a new device.
pub fn clear_mark(dir: &Path) -> Result<(), Error> {
    wipe(dir)?;
    remove(fs::remove_file(dir.join(MARK)))?;
    Ok(sync_folder(dir)?)
}

fn overwrite(key: &Path) -> Result<(), Error> {
    match OpenOptions::new().write(true).open(key) {
        Ok(mut file) => {
            file.write_all(&random::bytes::<32>()?)?;
            Ok(file.sync_all()?)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn remove(result: io::Result<()>) -> Result<(), Error> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}
