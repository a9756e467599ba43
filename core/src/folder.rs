//! A folder that a device is to live in: free, then one company's.

use std::path::{Path, PathBuf};

use kolonne_model::ids::{CompanyId, PublicKey};
use rusqlite::{Connection, Transaction};

use crate::error::Error;
use crate::keys::{self, DeviceKeys};
use crate::kolonne::open_store;
use crate::store::{Store, get_meta, set_meta};

/// Which company this is, through which hub, and as which device.
pub(crate) fn keep_membership(
    tx: &Transaction<'_>,
    company: &CompanyId,
    hub_url: &str,
    hub_key: &PublicKey,
    device: &DeviceKeys,
) -> Result<(), Error> {
    // Two foundings or enrolments into one folder at a time: the second one finds it taken.
    not_taken(tx)?;
    set_meta(tx, "company", &company.0)?;
    set_meta(tx, "hub_url", hub_url.as_bytes())?;
    set_meta(tx, "hub_key", &hub_key.0)?;
    keys::keep_device(tx, device)
}

fn not_taken(db: &Connection) -> Result<(), Error> {
    match get_meta(db, "company")? {
        None => Ok(()),
        Some(_) => Err(Error::Invalid {
            field: "dir",
            code: "taken",
        }),
    }
}

/// Whether a folder had a device's files before something was tried in it.
pub(crate) struct Before<'a> {
    dir: &'a Path,
    was_empty: bool,
}

impl<'a> Before<'a> {
    const FILES: [&'static str; 4] = [
        "device.key",
        "kolonne.db",
        "kolonne.db-wal",
        "kolonne.db-shm",
    ];

    pub fn of(dir: &'a Path) -> Self {
        let was_empty = Self::FILES.iter().all(|name| !dir.join(name).exists());
        Self { dir, was_empty }
    }

    /// Removes what was made since, if there was nothing.
    pub fn restore(self) {
        for name in Self::FILES.iter().filter(|_| self.was_empty) {
            // What can't be removed is in nobody's way: the next try takes it over.
            drop(std::fs::remove_file(self.dir.join(name)));
        }
    }
}

/// A folder for a company to come. Where none was before, none is left behind if it doesn't come.
pub(crate) struct NewFolder {
    made: Option<PathBuf>,
}

impl NewFolder {
    /// Before anything is written there.
    pub(crate) fn at(dir: &Path) -> Self {
        let made = (!dir.exists()).then(|| dir.to_owned());
        Self { made }
    }

    /// It holds a company now, or the keys of a device that the hub may know.
    pub(crate) fn stays(&mut self) {
        self.made = None;
    }
}

impl Drop for NewFolder {
    fn drop(&mut self) {
        if let Some(dir) = &self.made {
            // Left over it does no harm: it is free.
            drop(std::fs::remove_dir_all(dir));
        }
    }
}

/// The store of a folder that holds no company yet.
pub(crate) fn free_store(dir: &Path) -> Result<Store, Error> {
    if crate::wipe::has_mark(dir) {
        crate::wipe::clear_mark(dir)?;
    }
    let store = open_store(dir)?;
    store.read(|db| not_taken(db))?;
    Ok(store)
}
