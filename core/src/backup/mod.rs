//! A backup of this device in one file, for the day on which hub and office are gone: an age file
//! that the recovery kit opens, and this device, to read it back.
//!
//! It holds what proves itself (roster, ops, parts, blobs as ciphertext) and no secret of a device
//! or a seat: who comes back with it is a new device. It streams with constant memory, gets its
//! name only when it is whole, on the disk and read back.

mod read;

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

use kolonne_model::backup::{End, Head, ITEM_HEAD_BYTES, ItemHead, ItemKind, MARK};
use kolonne_model::cbor;
use kolonne_model::hub::Part;
use kolonne_model::ids::{BlobId, HubEpoch, OpId};
use kolonne_model::roster::change::RingKind;
use rusqlite::Connection;

use crate::crypt::at_rest::{parent, private, sync_folder};
use crate::crypt::{Recipient, age_file};
use crate::error::Error;
use crate::keys;
use crate::kolonne::{Inner, Kolonne};
use crate::roster_op::{page_of, the_newest};
use crate::{oplog, outbox};

pub(crate) use read::Backup;

/// Ops of one page at most.
const PAGE_OPS: u32 = 400;
const COPY_BYTES: usize = 64 * 1024;

/// What a backup holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BackupRecord {
    /// Ops, the roster's too.
    pub ops: u64,
    /// Files: pictures in their sizes, voice notes, documents.
    pub blobs: u64,
    /// Files that are named here and couldn't be read: they are not in it.
    pub damaged: u64,
    /// Length of the file.
    pub bytes: u64,
}

/// How far a backup is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackupProgress {
    /// Bytes written and read back so far.
    pub done_bytes: u64,
    /// About how many there will be.
    pub total_bytes: u64,
}

pub(crate) const DAMAGED: Error = Error::Invalid {
    field: "backup",
    code: "damaged",
};

impl Kolonne {
    /// Writes a backup of this device. Blocks; `told` hears how far it is.
    ///
    /// # Errors
    /// `Invalid` (`backup`, `taken`) if the file is there already, (`damaged`) if what was written
    /// doesn't read back; `StorageFull`. Nothing half-written stays.
    pub fn backup(
        &self,
        path: &Path,
        told: &mut dyn FnMut(BackupProgress),
    ) -> Result<BackupRecord, Error> {
        let inner = &self.inner;
        if path.try_exists()? {
            return Err(Error::Invalid {
                field: "backup",
                code: "taken",
            });
        }
        let (kit, device, total_bytes) = inner.store.read(|db| {
            let roster = inner.roster(db)?;
            let (_, kit) = the_newest(&roster, RingKind::Recovery)?;
            Ok((keys::recipient(kit)?, keys::device(db)?, bytes_here(db)?))
        })?;
        let mut progress = Progress {
            told,
            done_bytes: 0,
            total_bytes: total_bytes.saturating_mul(2),
        };
        let temp = Temp::beside(path)?;
        let mut file =
            private(OpenOptions::new().read(true).write(true).create_new(true)).open(&temp.0)?;
        let recipients = [kit, device.identity.recipient()];
        let mut record = inner.write_backup(&file, &recipients, &mut progress)?;
        file.sync_all()?;
        file.rewind()?;
        record.bytes = file.metadata()?.len();
        let read = read::check(&file, &device.identity, &mut progress)?;
        if (read.ops, read.blobs) != (record.ops, record.blobs) {
            return Err(DAMAGED);
        }
        fs::rename(&temp.0, path)?;
        sync_folder(parent(path).unwrap_or(Path::new(".")))?;
        Ok(record)
    }
}

struct Progress<'a> {
    told: &'a mut dyn FnMut(BackupProgress),
    done_bytes: u64,
    total_bytes: u64,
}

impl Progress<'_> {
    fn more(&mut self, bytes: usize) {
        self.done_bytes = self.done_bytes.saturating_add(bytes as u64);
        self.total_bytes = self.total_bytes.max(self.done_bytes);
        (self.told)(BackupProgress {
            done_bytes: self.done_bytes,
            total_bytes: self.total_bytes,
        });
    }
}

/// A file that goes away unless it got its name.
struct Temp(PathBuf);

impl Temp {
    fn beside(path: &Path) -> Result<Self, Error> {
        let name = path.file_name().ok_or(Error::Invalid {
            field: "backup",
            code: "unwritable",
        })?;
        let mut temp = name.to_owned();
        temp.push(".partial");
        let temp = path.with_file_name(temp);
        // What a killed try left is worth nothing.
        match fs::remove_file(&temp) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(Self(temp)),
        }
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        // After the rename there is nothing to remove.
        let _ = fs::remove_file(&self.0);
    }
}

struct Items<'a, 'p, W: Write> {
    out: W,
    end: End,
    progress: &'a mut Progress<'p>,
}

impl<W: Write> Items<'_, '_, W> {
    fn item(&mut self, kind: ItemKind, parts: &[&[u8]]) -> Result<(), Error> {
        let bytes: usize = parts.iter().map(|part| part.len()).sum();
        let head = ItemHead {
            kind,
            bytes: bytes as u64,
        };
        self.out.write_all(&head.to_bytes())?;
        for part in parts {
            self.out.write_all(part)?;
        }
        self.progress.more(bytes + ITEM_HEAD_BYTES);
        Ok(())
    }

    fn page(&mut self, ops: u64, page: &[u8], parts: &[Part]) -> Result<(), Error> {
        self.item(ItemKind::Page, &[page])?;
        for part in parts {
            self.item(ItemKind::Part, &[&part.op.0, &part.bytes])?;
        }
        self.end.ops += ops;
        self.end.parts += parts.len() as u64;
        Ok(())
    }

    fn blob(&mut self, blob: &BlobId, mut file: File) -> Result<(), Error> {
        let bytes = file.metadata()?.len();
        let head = ItemHead {
            kind: ItemKind::Blob,
            bytes: bytes.saturating_add(blob.0.len() as u64),
        };
        self.out.write_all(&head.to_bytes())?;
        self.out.write_all(&blob.0)?;
        let mut left = bytes;
        let mut buffer = vec![0; COPY_BYTES];
        while left > 0 {
            let count = file.read(&mut buffer)?;
            let some = buffer.get(..count).unwrap_or_default();
            left = left.checked_sub(count as u64).ok_or(DAMAGED)?;
            if some.is_empty() {
                return Err(DAMAGED);
            }
            self.out.write_all(some)?;
            self.progress.more(count);
        }
        self.end.blobs += 1;
        Ok(())
    }
}

impl Inner {
    fn write_backup(
        &self,
        file: &File,
        recipients: &[Recipient],
        progress: &mut Progress<'_>,
    ) -> Result<BackupRecord, Error> {
        let sealed = age_file::encrypt_to(recipients, BufWriter::new(file))?;
        let mut items = Items {
            out: sealed,
            end: End::default(),
            progress,
        };
        items.out.write_all(MARK)?;
        let head = Head {
            company: self.company,
            device: self.device,
            time_ms: self.now_ms(),
        };
        items.item(ItemKind::Head, &[&cbor::encode(&head)])?;
        self.write_ops(&mut items)?;
        let damaged = self.write_blobs(&mut items)?;
        let end = items.end;
        items.item(ItemKind::End, &[&cbor::encode(&end)])?;
        items
            .out
            .finish()?
            .into_inner()
            .map_err(|error| Error::from(error.into_error()))?;
        Ok(BackupRecord {
            ops: end.ops,
            blobs: end.blobs,
            damaged,
            bytes: 0,
        })
    }

    fn write_ops(&self, items: &mut Items<'_, '_, impl Write>) -> Result<(), Error> {
        let roster_thread = self.company.roster_thread();
        let roster = self
            .store
            .read(|db| oplog::roster_ops(db, &roster_thread, 1))?;
        for op in &roster {
            let parts = self.store.read(|db| oplog::parts_beside(db, &op.id()))?;
            items.page(1, &page_of(op), &parts)?;
        }
        let mut after = 0;
        loop {
            let (plan, through) = self.store.read(|db| page_after(db, after))?;
            let Some((plan, ops)) = plan else {
                return Ok(());
            };
            items.page(ops, &plan.push.page, &plan.push.parts)?;
            after = through;
        }
    }

    /// How many couldn't be read.
    fn write_blobs(&self, items: &mut Items<'_, '_, impl Write>) -> Result<u64, Error> {
        let mut damaged = 0;
        for blob in self.blobs.ids()? {
            let blob = blob?;
            // Read twice: what isn't what its name says would spoil the whole.
            if self.blobs.check(&blob).is_err() {
                damaged += 1;
                continue;
            }
            items.blob(&blob, self.blobs.open_blob(&blob)?)?;
        }
        Ok(damaged)
    }
}

type Page = Option<(outbox::PushPlan, u64)>;

/// The next page of ops after this arrival, how many are in it, and up to which arrival it goes.
fn page_after(db: &Connection, after: i64) -> Result<(Page, i64), Error> {
    let mut statement = db.prepare_cached(
        "SELECT arrival, id FROM ops WHERE class <> 3 AND arrival > ?1 ORDER BY arrival LIMIT ?2",
    )?;
    let rows = statement.query_map((after, PAGE_OPS), |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?))
    })?;
    let (mut arrivals, mut ids) = (Vec::new(), Vec::new());
    for row in rows {
        let (arrival, id) = row?;
        arrivals.push(arrival);
        ids.push(OpId::try_from(id.as_slice()).map_err(|_| Error::Corrupt)?);
    }
    let Some((plan, count)) = outbox::plan(db, &ids, &HubEpoch::ZERO)? else {
        return Ok((None, after));
    };
    let through = count
        .checked_sub(1)
        .and_then(|last| arrivals.get(last).copied())
        .ok_or(Error::Corrupt)?;
    let ops = plan.segments.iter().map(Vec::len).sum::<usize>() as u64;
    Ok((Some((plan, ops)), through))
}

fn bytes_here(db: &Connection) -> Result<u64, Error> {
    let bytes: i64 = db.query_row(
        "SELECT (SELECT coalesce(sum(bytes), 0) FROM blobs WHERE here = 1)
              + (SELECT coalesce(sum(length(payload)), 0) FROM payloads)",
        [],
        |row| row.get(0),
    )?;
    Ok(bytes.cast_unsigned())
}
