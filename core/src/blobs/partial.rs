//! A blob that is being fetched: appended to in order, across interruptions, and checked whole.
//!
//! Bytes are not synced as they come; whatever a power cut does to them shows in the hash, which
//! is taken from the disk before the blob gets its name.

use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;

use kolonne_model::ids::BlobId;

use super::{BlobError, BlobStore, verify};
use crate::crypt::at_rest::private;

/// A begun download. Dropped, it stays for later; see [`PartialBlob::discard`].
#[derive(Debug)]
pub struct PartialBlob<'a> {
    store: &'a BlobStore,
    path: PathBuf,
    file: File,
    id: BlobId,
    held_bytes: u64,
    expected_bytes: u64,
}

impl<'a> PartialBlob<'a> {
    pub(super) fn open(
        store: &'a BlobStore,
        path: PathBuf,
        id: BlobId,
        expected_bytes: u64,
    ) -> Result<Self, BlobError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = private(&mut options).open(&path)?;
        let mut held_bytes = file.metadata()?.len();
        if held_bytes > expected_bytes {
            // Not a beginning of this blob.
            file.set_len(0)?;
            held_bytes = 0;
        }
        Ok(Self {
            store,
            path,
            file,
            id,
            held_bytes,
            expected_bytes,
        })
    }

    /// Bytes held: where to continue.
    pub fn held_bytes(&self) -> u64 {
        self.held_bytes
    }

    /// Appends what came from this offset on.
    ///
    /// # Errors
    /// [`BlobError::WrongOffset`] if it does not continue what is held, [`BlobError::TooLong`] if
    /// it goes beyond the announced length; neither changes anything.
    pub fn append(&mut self, offset_bytes: u64, part: &[u8]) -> Result<(), BlobError> {
        let held_bytes = self.held_bytes;
        if offset_bytes != held_bytes {
            return Err(BlobError::WrongOffset { held_bytes });
        }
        let end = u64::try_from(part.len())
            .ok()
            .and_then(|part| held_bytes.checked_add(part))
            .filter(|end| *end <= self.expected_bytes)
            .ok_or(BlobError::TooLong)?;
        // Always from the held end: after a failed write the file's own place is unknown.
        self.file.seek(SeekFrom::Start(held_bytes))?;
        if let Err(error) = self.file.write_all(part) {
            // Keep what was whole. If even that fails, the hash will tell.
            let _ = self.file.set_len(held_bytes);
            return Err(error.into());
        }
        self.held_bytes = end;
        Ok(())
    }

    /// What is held, to look at while more comes.
    pub fn reader(&self) -> Result<File, BlobError> {
        Ok(File::open(&self.path)?)
    }

    /// Keeps only so much of it: what follows was false.
    pub fn cut(&mut self, bytes: u64) -> Result<(), BlobError> {
        let keeps = bytes.min(self.held_bytes);
        self.file.set_len(keeps)?;
        self.held_bytes = keeps;
        Ok(())
    }

    /// Checks the whole and keeps it as a blob; on disk for good when this returns.
    ///
    /// # Errors
    /// [`BlobError::Incomplete`] leaves it for later. [`BlobError::WrongHash`] throws it away: no
    /// part of it can be trusted, and the next try begins anew.
    pub fn complete(mut self) -> Result<(), BlobError> {
        let held_bytes = self.held_bytes;
        if held_bytes != self.expected_bytes {
            return Err(BlobError::Incomplete { held_bytes });
        }
        self.file.rewind()?;
        match verify(&self.file, &self.id) {
            Ok(_) => self.store.adopt(&self.path, &self.file, &self.id),
            Err(BlobError::WrongHash) => {
                self.discard()?;
                Err(BlobError::WrongHash)
            }
            Err(error) => Err(error),
        }
    }

    /// Gives the download up.
    pub fn discard(self) -> Result<(), BlobError> {
        Ok(fs::remove_file(&self.path)?)
    }
}
