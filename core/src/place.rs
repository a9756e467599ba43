//! The marker of this place: notices, without a network, that the database was put back or copied.
//!
//! A small file beside the database, which belongs into no backup, and a row in it bear the same
//! random name and a counter that rises with every opening and before ops leave. The file also
//! knows which file it is. When they disagree, the next op goes into a new store, so that no place
//! of a strand is ever written twice. A whole disk put back is noticed by the hub's *forked* alone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use std::time::UNIX_EPOCH;

use rusqlite::Transaction;

use crate::crypt::at_rest::{private, sync_folder};
use crate::crypt::random;
use crate::error::Error;
use crate::oplog;
use crate::store::{Store, get_meta, set_meta};

/// The marker's file.
pub const FILE: &str = "place";
const META: &str = "place";
/// Name 16, counter 8, which file it is 16, checksum 8.
const BYTES: usize = 48;
const CHECKSUM: &str = "kolonne place v1";

/// The name of this place and how often it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    name: [u8; 16],
    counter: u64,
}

impl Mark {
    fn fresh() -> Result<Self, Error> {
        Ok(Self {
            name: random::bytes()?,
            counter: 0,
        })
    }

    fn in_database(tx: &Transaction<'_>) -> Result<Option<Self>, Error> {
        let Some(bytes) = get_meta(tx, META)? else {
            return Ok(None);
        };
        let (name, counter) = bytes.split_first_chunk().ok_or(Error::Corrupt)?;
        Ok(Some(Self {
            name: *name,
            counter: u64::from_be_bytes(counter.try_into().map_err(|_| Error::Corrupt)?),
        }))
    }

    fn keep(self, tx: &Transaction<'_>) -> Result<(), Error> {
        let bytes = [self.name.as_slice(), &self.counter.to_be_bytes()].concat();
        set_meta(tx, META, &bytes)
    }
}

/// What the file beside the database says.
#[derive(Clone, Copy)]
enum Beside {
    Nothing,
    /// Another file than it was, or not in its form.
    Foreign,
    Mark(Mark),
}

/// Comes in: whether the database was put back or copied since it was last here. Then its next op
/// goes into a new store. On a full disk that is found out with the next thing that is written:
/// reading needs no room.
pub fn come_in(dir: &Path, store: &Store) -> Result<bool, Error> {
    let beside = beside(dir)?;
    let moved = match store.write(|tx| arrive(tx, beside)) {
        Err(Error::StorageFull { .. }) => {
            store.write_first(move |tx| arrive(tx, beside).map(drop));
            return Ok(false);
        }
        moved => moved?,
    };
    match write_beside(dir, store) {
        // It stays behind the database, and is brought up to it before anything leaves.
        Ok(()) | Err(Error::StorageFull { .. }) => Ok(moved),
        Err(error) => Err(error),
    }
}

fn arrive(tx: &Transaction<'_>, beside: Beside) -> Result<bool, Error> {
    let here = Mark::in_database(tx)?;
    let (mark, moved) = match (here, beside) {
        (None, Beside::Nothing) => (Mark::fresh()?, false),
        // A crash can leave the file behind the database, never before it.
        (Some(here), Beside::Mark(mark))
            if mark.name == here.name && mark.counter <= here.counter =>
        {
            (here, false)
        }
        _ => (Mark::fresh()?, true),
    };
    let counter = mark.counter.saturating_add(1);
    Mark { counter, ..mark }.keep(tx)?;
    if moved {
        oplog::new_store(tx)?;
    }
    Ok(moved)
}

/// Ops are about to leave: a database from before this moment will be noticed.
pub fn rise(dir: &Path, store: &Store) -> Result<(), Error> {
    store.write(|tx| {
        let mark = Mark::in_database(tx)?.ok_or(Error::Corrupt)?;
        let counter = mark.counter.saturating_add(1);
        Mark { counter, ..mark }.keep(tx)
    })?;
    write_beside(dir, store)
}

/// Brings the file up to the database, one process at a time.
fn write_beside(dir: &Path, store: &Store) -> Result<(), Error> {
    store.write(|tx| {
        let mark = Mark::in_database(tx)?.ok_or(Error::Corrupt)?;
        let path = dir.join(FILE);
        let is_new = !path.exists();
        // Written in place: which file it is must stay the same.
        let mut file =
            private(OpenOptions::new().write(true).create(true).truncate(false)).open(&path)?;
        file.rewind()?;
        file.write_all(&to_bytes(mark, which(&file)?))?;
        file.sync_all()?;
        if is_new {
            sync_folder(dir)?;
        }
        Ok(())
    })
}

fn beside(dir: &Path) -> Result<Beside, Error> {
    let mut file = match File::open(dir.join(FILE)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Beside::Nothing),
        Err(error) => return Err(error.into()),
    };
    let mut bytes = [0; BYTES];
    let whole = file.read_exact(&mut bytes).is_ok();
    let mark = from_bytes(&bytes);
    Ok(match mark {
        Some((mark, file_then)) if whole && file_then == which(&file)? => Beside::Mark(mark),
        _ => Beside::Foreign,
    })
}

/// Which file this is: its number and its birth. A copy has others.
fn which(file: &File) -> Result<[u8; 16], Error> {
    let meta = file.metadata()?;
    let born = meta.created().ok();
    let born = born.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let born_ns = born.and_then(|since| u64::try_from(since.as_nanos()).ok());
    let mut out = [0; 16];
    let (number, birth) = out.split_at_mut(8);
    number.copy_from_slice(&number_of(&meta).to_be_bytes());
    birth.copy_from_slice(&born_ns.unwrap_or(0).to_be_bytes());
    Ok(out)
}

#[cfg(unix)]
fn number_of(meta: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(meta)
}

#[cfg(not(unix))]
const fn number_of(_: &fs::Metadata) -> u64 {
    0
}

fn to_bytes(mark: Mark, which: [u8; 16]) -> Vec<u8> {
    let mut out = mark.name.to_vec();
    out.extend_from_slice(&mark.counter.to_be_bytes());
    out.extend_from_slice(&which);
    let sum = kolonne_model::hash::h16(CHECKSUM, &[&out]);
    out.extend(sum.into_iter().take(8));
    out
}

fn from_bytes(bytes: &[u8; BYTES]) -> Option<(Mark, [u8; 16])> {
    let (name, rest) = bytes.split_first_chunk()?;
    let (counter, rest) = rest.split_first_chunk()?;
    let (which, _) = rest.split_first_chunk()?;
    let mark = Mark {
        name: *name,
        counter: u64::from_be_bytes(*counter),
    };
    (to_bytes(mark, *which) == bytes).then_some((mark, *which))
}
