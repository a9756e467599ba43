//! The encrypted database of one device: one writer, readers beside it, transactions that can't
//! await.
//!
//! A newer database is refused untouched, a signed form is never changed or deleted (a trigger
//! says so), and nothing here knows what a row means: `oplog`, `outbox`, `folding` and `views` do.

mod schema;

use std::fs::OpenOptions;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use crate::crypt::at_rest::private;
use crate::error::Error;
use crate::points::{Point, pass};

const READERS: usize = 2;
/// Ids are random, so each op lands on another page of their indexes: one that isn't in memory any more
/// is read and decrypted first. Taken only as far as it is needed.
const WRITER_CACHE_KIB: i64 = 16 * 1024;
/// How long a read waits for the one connection there is on a full disk.
const PATIENCE: Duration = Duration::from_secs(10);

/// The database.
pub struct Store {
    writer: Mutex<Slot>,
    /// None on a full disk: then the writer reads.
    readers: Vec<Mutex<Slot>>,
    first: Mutex<Option<First>>,
}

/// What has to be written before, and with, the first thing that is.
type First = Box<dyn Fn(&Transaction<'_>) -> Result<(), Error> + Send>;

/// A connection, until the store is closed.
type Slot = Option<Connection>;

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store")
    }
}

impl Store {
    /// Opens or makes the database under a 32-byte key. On a disk so full that the log's index has no
    /// room beside it, it is this process's alone until it is closed, and can be read.
    pub fn open(path: &Path, key: &[u8; 32]) -> Result<Self, Error> {
        // The database's own files beside it (WAL, index) take their mode from it.
        private(OpenOptions::new().append(true).create(true)).open(path)?;
        match Self::open_as(path, key, READERS) {
            Err(Error::StorageFull { .. }) => Self::open_as(path, key, 0),
            opened => opened,
        }
    }

    fn open_as(path: &Path, key: &[u8; 32], readers: usize) -> Result<Self, Error> {
        let mut writer = connect(path, key, OpenFlags::default())?;
        if readers == 0 {
            // The index is in memory then.
            writer.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        }
        schema::check(&writer)?;
        writer.pragma_update(None, "journal_mode", "WAL")?;
        writer.pragma_update(None, "synchronous", "FULL")?;
        writer.pragma_update(None, "fullfsync", true)?;
        writer.pragma_update(None, "checkpoint_fullfsync", true)?;
        writer.pragma_update(None, "secure_delete", true)?;
        writer.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
        schema::migrate(&mut writer)?;
        let reader = || -> Result<Mutex<Slot>, Error> {
            let reader = connect(
                path,
                key,
                OpenFlags::default() & !OpenFlags::SQLITE_OPEN_CREATE,
            )?;
            reader.pragma_update(None, "query_only", true)?;
            Ok(Mutex::new(Some(reader)))
        };
        Ok(Self {
            writer: Mutex::new(Some(writer)),
            readers: (0..readers).map(|_| reader()).collect::<Result<_, _>>()?,
            first: Mutex::new(None),
        })
    }

    /// Does this in the next transaction that writes, before what it is for: neither without the other.
    pub fn write_first(
        &self,
        first: impl Fn(&Transaction<'_>) -> Result<(), Error> + Send + 'static,
    ) {
        *lock(&self.first) = Some(Box::new(first));
    }

    /// Runs `work` in one transaction; it commits if `work` succeeds, and it can't await.
    pub fn write<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut writer = lock(&self.writer);
        let tx = open(&mut writer)?.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut first = lock(&self.first);
        if let Some(first) = &*first {
            first(&tx)?;
        }
        let value = work(&tx)?;
        pass(Point::Committing)?;
        tx.commit()?;
        *first = None;
        // It is written, whatever a test makes of this point.
        let _ = pass(Point::Committed);
        Ok(value)
    }

    /// Empties the write-ahead log, so that what was destroyed lies nowhere any more. Readers at work
    /// may delay it to the next time.
    pub fn truncate_log(&self) -> Result<(), Error> {
        let mut writer = lock(&self.writer);
        open(&mut writer)?.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(())
    }

    /// Runs `work` on one snapshot of the database.
    pub fn read<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let free = self
            .readers
            .iter()
            .find_map(|reader| reader.try_lock().ok());
        let mut reader = match (free, self.readers.first()) {
            (Some(reader), _) => reader,
            (None, Some(reader)) => lock(reader),
            (None, None) => self.writer_to_read()?,
        };
        let tx = open(&mut reader)?.transaction()?;
        work(&tx)
    }

    fn writer_to_read(&self) -> Result<MutexGuard<'_, Slot>, Error> {
        let since = Instant::now();
        loop {
            match self.writer.try_lock() {
                Ok(writer) => return Ok(writer),
                Err(TryLockError::Poisoned(writer)) => return Ok(writer.into_inner()),
                Err(TryLockError::WouldBlock) if since.elapsed() > PATIENCE => {
                    return Err(Error::Busy);
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(2)),
            }
        }
    }

    /// Closes the store for good if `done` says so; nothing is written in between. Whether it is
    /// closed: all else answers `AuthExpired` from then on.
    pub fn close_if(
        &self,
        done: impl FnOnce(&Transaction<'_>) -> Result<bool, Error>,
    ) -> Result<bool, Error> {
        let mut writer = lock(&self.writer);
        let tx = open(&mut writer)?.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let done = done(&tx)?;
        drop(tx);
        if done {
            *writer = None;
            for reader in &self.readers {
                *lock(reader) = None;
            }
        }
        Ok(done)
    }
}

/// A panic while a lock was held rolled its transaction back; the connection is still good.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open(slot: &mut Slot) -> Result<&mut Connection, Error> {
    slot.as_mut().ok_or(Error::AuthExpired)
}

fn connect(path: &Path, key: &[u8; 32], flags: OpenFlags) -> Result<Connection, Error> {
    let connection = Connection::open_with_flags(path, flags)?;
    let hex = zeroize::Zeroizing::new(data_encoding::HEXLOWER.encode(key));
    let pragma = zeroize::Zeroizing::new(format!("PRAGMA key = \"x'{}'\"", &*hex));
    // What fails is told by the error; SQLCipher would also print it into the person's terminal.
    connection.execute_batch("PRAGMA cipher_log_level = NONE")?;
    connection.execute_batch(&pragma)?;
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// The number of the schema that this app writes.
pub const fn newest_schema() -> u64 {
    schema::NEWEST as u64
}

/// A value that stands alone.
pub fn get_meta(db: &Connection, key: &str) -> Result<Option<Vec<u8>>, Error> {
    use rusqlite::OptionalExtension;
    Ok(db
        .prepare_cached("SELECT value FROM meta WHERE key = ?1")?
        .query_row([key], |row| row.get(0))
        .optional()?)
}

/// Writes a value that stands alone.
pub fn set_meta(tx: &Transaction<'_>, key: &str, value: &[u8]) -> Result<(), Error> {
    tx.prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)")?
        .execute(rusqlite::params![key, value])?;
    Ok(())
}

#[cfg(test)]
mod tests;
