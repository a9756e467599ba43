//! The rows of locks: what is on the disk of a seat behind a PIN.
//!
//! The sealed keys, the share while it is there, and how many tries were begun. Never a key in
//! clear, and never a PIN.

use kolonne_model::ids::SeatId;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use zeroize::Zeroizing;

use crate::crypt::Identity;
use crate::crypt::pin::{Lock, PinCost, Share, share_hash};
use crate::error::Error;
use crate::keys::secret32;

/// Wrong PINs that lock a seat.
pub const TRIES: u32 = 5;

/// A seat's lock.
pub struct LockRow {
    /// What the PIN opens.
    pub lock: Lock,
    /// The share; none: the office has to give it back.
    pub share: Option<Share>,
    /// Tries begun since the last right PIN.
    pub tries: u32,
}

/// A try that was counted.
pub enum Begun {
    /// It may be made.
    Try(LockRow, Share),
    /// There is none left.
    LockedOut,
}

/// What a device has yet to tell of a lock.
pub struct Untold {
    /// The seat.
    pub seat: SeatId,
    /// The share for the office, sealed.
    pub deposit: Option<Vec<u8>>,
    /// Five wrong PINs: what the share comes back to.
    pub back: Option<Identity>,
}

/// A seat's lock; none: it has no PIN.
pub fn get(db: &Connection, seat: &SeatId) -> Result<Option<LockRow>, Error> {
    let row = db
        .prepare_cached(
            "SELECT memory_kib, passes, lanes, salt, sealed, share, tries FROM seat_locks
             WHERE seat = ?1",
        )?
        .query_row([seat.0.as_slice()], |row| {
            let cost = PinCost {
                memory_kib: row.get(0)?,
                passes: row.get(1)?,
                lanes: row.get(2)?,
            };
            Ok((
                cost,
                row.get::<_, Vec<u8>>(3)?,
                row.get(4)?,
                row.get::<_, Option<Vec<u8>>>(5)?,
                row.get(6)?,
            ))
        })
        .optional()?;
    let Some((cost, salt, sealed, share, tries)) = row else {
        return Ok(None);
    };
    let salt = salt.try_into().map_err(|_| Error::Corrupt)?;
    Ok(Some(LockRow {
        lock: Lock { cost, salt, sealed },
        share: share.map(secret32).transpose()?,
        tries,
    }))
}

/// Puts a seat behind a lock, in place of any other.
pub fn put(
    tx: &Transaction<'_>,
    seat: &SeatId,
    lock: &Lock,
    share: &Share,
    deposit: &[u8],
) -> Result<(), Error> {
    tx.execute(
        "INSERT OR REPLACE INTO seat_locks
            (seat, memory_kib, passes, lanes, salt, sealed, share, share_hash, deposit)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![
            seat.0.as_slice(),
            lock.cost.memory_kib,
            lock.cost.passes,
            lock.cost.lanes,
            lock.salt.as_slice(),
            lock.sealed,
            share.as_slice(),
            share_hash(share).as_slice(),
            deposit,
        ],
    )?;
    Ok(())
}

/// Takes a lock away, with all that is in it.
pub fn remove(tx: &Transaction<'_>, seat: &SeatId) -> Result<(), Error> {
    tx.execute(
        "DELETE FROM seat_locks WHERE seat = ?1",
        [seat.0.as_slice()],
    )?;
    Ok(())
}

/// Counts a try before it is made, so that none is free; none: there is no lock.
pub fn begin_try(tx: &Transaction<'_>, seat: &SeatId) -> Result<Option<Begun>, Error> {
    let Some(mut row) = get(tx, seat)? else {
        return Ok(None);
    };
    let Some(share) = row.share.clone().filter(|_| row.tries < TRIES) else {
        return Ok(Some(Begun::LockedOut));
    };
    row.tries = row.tries.saturating_add(1);
    tx.execute(
        "UPDATE seat_locks SET tries = ?2 WHERE seat = ?1",
        params![seat.0.as_slice(), row.tries],
    )?;
    Ok(Some(Begun::Try(row, share)))
}

/// The PIN was right: all tries are there again.
pub fn right(tx: &Transaction<'_>, seat: &SeatId, lock: &Lock) -> Result<(), Error> {
    tx.execute(
        "UPDATE seat_locks SET tries = 0 WHERE seat = ?1 AND salt = ?2",
        params![seat.0.as_slice(), lock.salt.as_slice()],
    )?;
    Ok(())
}

/// Costs rose: the same keys and share under a dearer lock.
pub fn replace(
    tx: &Transaction<'_>,
    seat: &SeatId,
    before: &Lock,
    after: &Lock,
) -> Result<(), Error> {
    tx.execute(
        "UPDATE seat_locks SET memory_kib = ?3, passes = ?4, lanes = ?5, salt = ?6, sealed = ?7
         WHERE seat = ?1 AND salt = ?2",
        params![
            seat.0.as_slice(),
            before.salt.as_slice(),
            after.cost.memory_kib,
            after.cost.passes,
            after.cost.lanes,
            after.salt.as_slice(),
            after.sealed,
        ],
    )?;
    Ok(())
}

/// Destroys the share; it comes back to a key that is made for that alone.
pub fn lock_out(tx: &Transaction<'_>, seat: &SeatId, back: &Identity) -> Result<(), Error> {
    tx.execute(
        "UPDATE seat_locks SET share = NULL, back = ?2, told = 0
         WHERE seat = ?1 AND share IS NOT NULL",
        params![seat.0.as_slice(), back.as_bytes().as_slice()],
    )?;
    Ok(())
}

/// Seats whose share is gone, each with what it comes back to.
pub fn locked_out(db: &Connection) -> Result<Vec<(SeatId, Identity)>, Error> {
    let mut statement = db.prepare_cached(
        "SELECT seat, back FROM seat_locks WHERE share IS NULL AND back IS NOT NULL",
    )?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.map(|row| {
        let (seat, back): (Vec<u8>, Vec<u8>) = row?;
        let seat = SeatId::try_from(seat.as_slice()).map_err(|_| Error::Corrupt)?;
        Ok((seat, Identity::from_bytes(&*secret32(back)?)?))
    })
    .collect()
}

/// The office gave the share back, if this is it: five tries again. The key it came to has done
/// its work and goes.
pub fn give_back(tx: &Transaction<'_>, seat: &SeatId, share: &Share) -> Result<bool, Error> {
    let taken = tx.execute(
        "UPDATE seat_locks SET share = ?2, tries = 0, back = NULL
         WHERE seat = ?1 AND share IS NULL AND share_hash = ?3",
        params![
            seat.0.as_slice(),
            share.as_slice(),
            share_hash(share).as_slice()
        ],
    )?;
    Ok(taken > 0)
}

/// What is to be told.
pub fn untold(db: &Connection) -> Result<Vec<Untold>, Error> {
    let mut statement = db.prepare_cached(
        "SELECT seat, deposit, CASE told WHEN 0 THEN back END FROM seat_locks
         WHERE deposit IS NOT NULL OR (back IS NOT NULL AND told = 0)",
    )?;
    let rows = statement.query_map([], |row| {
        let back: Option<Vec<u8>> = row.get(2)?;
        Ok((row.get::<_, Vec<u8>>(0)?, row.get(1)?, back))
    })?;
    rows.map(|row| {
        let (seat, deposit, back) = row?;
        let back =
            back.map(|back| -> Result<_, Error> { Ok(Identity::from_bytes(&*secret32(back)?)?) });
        Ok(Untold {
            seat: SeatId::try_from(seat.as_slice()).map_err(|_| Error::Corrupt)?,
            deposit,
            back: back.transpose()?,
        })
    })
    .collect()
}

/// It is told, in this transaction.
pub fn told(tx: &Transaction<'_>, seat: &SeatId) -> Result<(), Error> {
    tx.execute(
        "UPDATE seat_locks SET deposit = NULL, told = 1 WHERE seat = ?1",
        [seat.0.as_slice()],
    )?;
    Ok(())
}

/// A seat's signing seed and identity, as one.
pub fn joined(signing: &[u8; 32], identity: &[u8; 32]) -> Zeroizing<[u8; 64]> {
    let mut keys = Zeroizing::new([0; 64]);
    let (first, second) = keys.split_at_mut(32);
    first.copy_from_slice(signing);
    second.copy_from_slice(identity);
    keys
}
