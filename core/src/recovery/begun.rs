//! What a recovery keeps before the hub hears of it, so that the same kit goes on where it was broken
//! off: nothing that was certified is ever left without its keys.
//!
//! The kit itself is never kept here.

use std::path::Path;

use rusqlite::{Connection, Transaction};

use crate::error::Error;
use crate::folder::free_store;
use crate::keys::{self, DeviceKeys, SeatKeys};
use crate::kolonne::open_store;
use crate::seats::keys_in_clear;
use crate::store::{Store, get_meta, set_meta};

/// There as long as nobody sits at a device that the kit let in.
const RECOVERING: &str = "recovering";

/// Whether a folder holds a recovery that was broken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// The device is let in; the person isn't.
    Yes,
    /// Nothing of a company is there.
    No,
}

/// The store of a folder that holds no company, or a recovery that was broken off.
///
/// # Errors
/// `Invalid` (`dir`, `taken`).
pub fn store(dir: &Path) -> Result<(Store, Begun), Error> {
    if !crate::wipe::has_mark(dir) {
        let store = open_store(dir)?;
        if store.read(|db| get_meta(db, RECOVERING))?.is_some() {
            return Ok((store, Begun::Yes));
        }
    }
    Ok((free_store(dir)?, Begun::No))
}

/// Refuses a folder whose recovery was broken off.
///
/// # Errors
/// `NotFound` (`company`).
pub fn check_whole(db: &Connection) -> Result<(), Error> {
    match get_meta(db, RECOVERING)? {
        Some(_) => Err(Error::NotFound { kind: "company" }),
        None => Ok(()),
    }
}

/// The device's keys: those of an earlier try, or new ones.
pub fn device_keys(tx: &Transaction<'_>) -> Result<DeviceKeys, Error> {
    match keys::device(tx) {
        Err(Error::NotFound { .. }) => {
            let device = DeviceKeys::generate()?;
            keys::keep_device(tx, &device)?;
            Ok(device)
        }
        kept => kept,
    }
}

/// The person's keys: those of an earlier try, or new ones.
pub fn seat_keys(tx: &Transaction<'_>) -> Result<SeatKeys, Error> {
    if let Some(seat) = keys::own_seats(tx)?.first()
        && let Some(kept) = keys_in_clear(tx, seat)?
    {
        return Ok(kept);
    }
    let seat = SeatKeys::generate()?;
    keys::keep_seat(tx, 0, &seat)?;
    Ok(seat)
}

/// The device is let in, the person isn't yet.
pub fn mark(tx: &Transaction<'_>) -> Result<(), Error> {
    set_meta(tx, RECOVERING, &[1])
}

/// Somebody sits here.
pub fn done(tx: &Transaction<'_>) -> Result<(), Error> {
    tx.execute("DELETE FROM meta WHERE key = ?1", [RECOVERING])?;
    Ok(())
}
