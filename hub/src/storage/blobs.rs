//! Blob bytes in a folder: partial uploads and whole blobs by company and id.
//!
//! A blob gets its name only after its bytes are proven and synced; names are ids, never content.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use kolonne_model::ids::{BlobId, CompanyId};

use super::{BlobStore, Finished, Stored};

/// What there must be room for.
const ROOM_BYTES: usize = 64 * 1024;

/// A folder of blobs.
#[derive(Debug)]
pub struct Folder {
    uploads: PathBuf,
    blobs: PathBuf,
}

impl Folder {
    /// Opens or makes the folders below `data`.
    pub fn open(data: &Path) -> Stored<Self> {
        let this = Self {
            uploads: data.join("uploads"),
            blobs: data.join("blobs"),
        };
        std::fs::create_dir_all(&this.uploads)?;
        std::fs::create_dir_all(&this.blobs)?;
        sync_dir(data)?;
        Ok(this)
    }

    fn partial(&self, name: &str) -> Stored<PathBuf> {
        // Names are the hub's own hex; anything else must not become a path.
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(std::io::Error::from(ErrorKind::InvalidInput).into());
        }
        Ok(self.uploads.join(name))
    }

    fn blob_dir(&self, company: &CompanyId, blob: &BlobId) -> PathBuf {
        let [first, ..] = blob.0;
        self.blobs
            .join(company.to_string())
            .join(format!("{first:02x}"))
    }
}

/// Makes a directory's entries durable.
pub(crate) fn sync_dir(dir: &Path) -> std::io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Makes a name in a blob's folder durable, up to the folder of all blobs: that a folder is there
/// doesn't say that it was synced, for who made it may have been killed.
fn sync_name(dir: &Path) -> std::io::Result<()> {
    dir.ancestors().take(3).try_for_each(sync_dir)
}

impl BlobStore for Folder {
    fn try_room(&self) -> Stored<()> {
        // No upload's name: it isn't hex.
        let path = self.uploads.join("room");
        let tried = std::fs::write(&path, vec![0; ROOM_BYTES]);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(e.into()),
            _ => Ok(tried?),
        }
    }

    fn partial_len(&self, name: &str) -> Stored<u64> {
        match std::fs::metadata(self.partial(name)?) {
            Ok(meta) => Ok(meta.len()),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(0),
            Err(e) => Err(e.into()),
        }
    }

    fn write(&self, name: &str, offset_bytes: u64, bytes: &[u8]) -> Stored<()> {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.partial(name)?)?;
        if file.metadata()?.len() != offset_bytes {
            return Err(std::io::Error::from(ErrorKind::InvalidInput).into());
        }
        if let Err(e) = file.write_all(bytes) {
            // A full disk: back to what was whole, so that the offset told is the offset kept.
            file.set_len(offset_bytes)?;
            return Err(e.into());
        }
        Ok(())
    }

    fn finish(&self, name: &str, company: &CompanyId, blob: &BlobId) -> Stored<Finished> {
        let partial = self.partial(name)?;
        let dir = self.blob_dir(company, blob);
        let target = dir.join(blob.to_string());
        if !partial.exists() && target.exists() {
            // Renamed before a crash, its row is still to come; nobody knows what the crash left unsynced.
            sync_name(&dir)?;
            return Ok(Finished::Durable);
        }
        // A blob of no bytes has no partial file yet.
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(&partial)?;
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let read = file.read(&mut buffer)?;
            let Some(bytes) = buffer.get(..read).filter(|b| !b.is_empty()) else {
                break;
            };
            hasher.update(bytes);
        }
        if *hasher.finalize().as_bytes() != blob.0 {
            std::fs::remove_file(&partial)?;
            return Ok(Finished::OtherHash);
        }
        file.sync_all()?;
        std::fs::create_dir_all(&dir)?;
        std::fs::rename(&partial, &target)?;
        sync_name(&dir)?;
        Ok(Finished::Durable)
    }

    fn remove_partial(&self, name: &str) -> Stored<()> {
        match std::fs::remove_file(self.partial(name)?) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(e.into()),
            _ => Ok(()),
        }
    }

    fn remove(&self, company: &CompanyId, blob: &BlobId) -> Stored<()> {
        let dir = self.blob_dir(company, blob);
        match std::fs::remove_file(dir.join(blob.to_string())) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(e.into()),
            // Also when it isn't there: who removed it may have been killed before that was synced.
            _ => {}
        }
        match sync_dir(&dir) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(e.into()),
            _ => Ok(()),
        }
    }

    fn read(
        &self,
        company: &CompanyId,
        blob: &BlobId,
        offset_bytes: u64,
        max: usize,
    ) -> Stored<Vec<u8>> {
        let path = self.blob_dir(company, blob).join(blob.to_string());
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(offset_bytes))?;
        let mut out = Vec::new();
        file.take(max as u64).read_to_end(&mut out)?;
        Ok(out)
    }
}
