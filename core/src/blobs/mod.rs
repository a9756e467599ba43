//! Ciphertext on disk: files named by the BLAKE3 of their bytes.
//!
//! A blob is here only after its file and folder are synced, so that an op may name it. Nothing
//! is ever decrypted into this folder, and file names carry nothing but hashes.

mod partial;

pub use partial::PartialBlob;

use std::fs::{self, DirEntry, File, Metadata, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kolonne_model::ids::BlobId;
use rusqlite::Connection;

use crate::crypt::at_rest::{parent, private, private_folder, sync_folder};
use crate::crypt::{self, CryptError, HashingReader, SealedBlob, random};
use crate::error::Error;
use crate::points::{DiskFull, Point, pass};

/// Temporary files older than this are leftovers when a store is opened. Younger ones may belong
/// to a share extension, which is a process of its own.
pub const STALE_AFTER: Duration = Duration::from_hours(24);

/// A folder untouched for this long has reached the disk by itself (kernels write back within a
/// minute or so), so that opening a store of many folders stays quick.
const WRITTEN_BACK_AFTER: Duration = Duration::from_mins(10);

const TEMP: &str = "tmp";
const PARTIAL: &str = "partial";

/// Why a blob could not be kept or found.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// No blob of this name here.
    #[error("blob is not here")]
    Missing,
    /// The bytes are not those of the name.
    #[error("bytes do not match the blob's name")]
    WrongHash,
    /// An append that does not begin where the held bytes end.
    #[error("append at the wrong offset; {held_bytes} bytes are held")]
    WrongOffset {
        /// Where to continue.
        held_bytes: u64,
    },
    /// More bytes than the blob is said to have.
    #[error("longer than announced")]
    TooLong,
    /// Not all bytes are here yet.
    #[error("incomplete; {held_bytes} bytes are held")]
    Incomplete {
        /// Where to continue.
        held_bytes: u64,
    },
    /// No space left, or the quota is used up. Nothing half-written stays.
    #[error("storage is full")]
    StorageFull,
    /// Sealing failed.
    #[error(transparent)]
    Crypt(CryptError),
    /// The disk refused.
    #[error("reading or writing a blob failed")]
    Io(#[source] io::Error),
}

impl From<DiskFull> for BlobError {
    fn from(_: DiskFull) -> Self {
        Self::StorageFull
    }
}

impl From<io::Error> for BlobError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::StorageFull,
            _ => Self::Io(error),
        }
    }
}

impl From<CryptError> for BlobError {
    fn from(error: CryptError) -> Self {
        match error {
            CryptError::Io(error) => error.into(),
            error => Self::Crypt(error),
        }
    }
}

/// The blobs of one device, in a folder of its own.
///
/// `ab/abcd…` holds a blob (256 folders, so that each stays small), `tmp` what is being written,
/// `partial` what is being fetched.
#[derive(Debug)]
pub struct BlobStore {
    root: PathBuf,
    /// Folders whose entry in the root is synced; a folder that merely exists may be a killed
    /// process's and vanish with the power.
    durable: Mutex<[bool; 256]>,
}

impl BlobStore {
    /// Opens or makes the store, syncs what a killed process may have left unsynced, and removes
    /// stale temporary files.
    pub fn open(root: &Path) -> Result<Self, BlobError> {
        private_folder(root)?;
        for name in [TEMP, PARTIAL] {
            private_folder(&root.join(name))?;
        }
        let store = Self {
            root: root.to_owned(),
            durable: Mutex::new([false; 256]),
        };
        for shard in store.shards()? {
            if untouched_for(&fs::metadata(&shard)?)? < WRITTEN_BACK_AFTER {
                sync_folder(&shard)?;
            }
        }
        sync_folder(root)?;
        if let Some(parent) = parent(root) {
            sync_folder(parent)?;
        }
        store.sweep(STALE_AFTER)?;
        Ok(store)
    }

    /// Removes temporary files not touched for this long; returns how many.
    pub fn sweep(&self, untouched: Duration) -> Result<u64, BlobError> {
        let mut swept = 0;
        for entry in fs::read_dir(self.root.join(TEMP))? {
            let entry = entry?;
            let age = entry.metadata().and_then(|meta| untouched_for(&meta));
            if age.is_ok_and(|age| age >= untouched) && fs::remove_file(entry.path()).is_ok() {
                swept += 1;
            }
        }
        Ok(swept)
    }

    /// Keeps ciphertext under the hash of its bytes; on disk for good when this returns.
    pub fn put(&self, reader: impl Read) -> Result<BlobId, BlobError> {
        let (temp, mut file) = self.temp()?;
        let mut reader = HashingReader::new(reader);
        crypt::blob::copy(&mut reader, &mut file, u64::MAX)?;
        let id = BlobId(reader.hash());
        self.adopt(&temp.0, &file, &id)?;
        Ok(id)
    }

    /// Seals a plaintext straight into the store; on disk for good when this returns.
    pub fn seal_into(&self, plain: impl Read) -> Result<SealedBlob, BlobError> {
        let (temp, file) = self.temp()?;
        let mut writer = BufWriter::new(&file);
        let sealed = crypt::seal_blob(plain, &mut writer)?;
        writer.flush()?;
        drop(writer);
        self.adopt(&temp.0, &file, &sealed.id)?;
        Ok(sealed)
    }

    /// Takes over a file of the app's own (nobody else may write to it) if it is the blob of this
    /// name. A file that isn't stays where it is.
    pub fn import(&self, path: &Path, expected: &BlobId) -> Result<(), BlobError> {
        let file = private(OpenOptions::new().read(true).write(true)).open(path)?;
        verify(&file, expected)?;
        #[cfg(unix)]
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        match self.adopt(path, &file, expected) {
            Err(BlobError::Io(error)) if error.kind() == io::ErrorKind::CrossesDevices => {}
            result => return result,
        }
        let (temp, mut copy) = self.temp()?;
        let mut reader = HashingReader::new(File::open(path)?);
        crypt::blob::copy(&mut reader, &mut copy, u64::MAX)?;
        if reader.hash() != expected.0 {
            return Err(BlobError::WrongHash);
        }
        self.adopt(&temp.0, &copy, expected)?;
        fs::remove_file(path)?;
        Ok(())
    }

    /// Begins or continues a download of a blob of this length. One downloader at a time.
    pub fn partial(&self, id: &BlobId, expected_bytes: u64) -> Result<PartialBlob<'_>, BlobError> {
        PartialBlob::open(
            self,
            self.root.join(PARTIAL).join(id.to_string()),
            *id,
            expected_bytes,
        )
    }

    /// The downloads begun, with the bytes held of each.
    pub fn partials(&self) -> Result<Vec<(BlobId, u64)>, BlobError> {
        let mut found = Vec::new();
        for entry in fs::read_dir(self.root.join(PARTIAL))? {
            let entry = entry?;
            if let Some(id) = name_of(&entry) {
                found.push((id, entry.metadata()?.len()));
            }
        }
        Ok(found)
    }

    /// The ciphertext, from its beginning.
    pub fn open_blob(&self, id: &BlobId) -> Result<File, BlobError> {
        match File::open(self.path(id)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(BlobError::Missing),
            file => Ok(file?),
        }
    }

    /// The ciphertext's file, for a reader outside: it is never changed, and goes when the blob goes.
    pub fn file(&self, id: &BlobId) -> Result<PathBuf, BlobError> {
        let path = self.path(id);
        if path.try_exists()? {
            Ok(path)
        } else {
            Err(BlobError::Missing)
        }
    }

    /// Whether the blob is here.
    pub fn has(&self, id: &BlobId) -> Result<bool, BlobError> {
        Ok(self.path(id).try_exists()?)
    }

    /// Length of the ciphertext, if it is here.
    pub fn len_bytes(&self, id: &BlobId) -> Result<Option<u64>, BlobError> {
        match fs::metadata(self.path(id)) {
            Ok(meta) => Ok(Some(meta.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes a blob for good; one that isn't here is fine.
    pub fn remove(&self, id: &BlobId) -> Result<(), BlobError> {
        let path = self.path(id);
        match fs::remove_file(&path) {
            Ok(()) => Ok(sync_folder(parent(&path).unwrap_or(&self.root))?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes what was fetched of a blob so far.
    pub fn remove_partial(&self, id: &BlobId) -> Result<(), BlobError> {
        match fs::remove_file(self.root.join(PARTIAL).join(id.to_string())) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Reads a blob again and compares it with its name; returns its length.
    pub fn check(&self, id: &BlobId) -> Result<u64, BlobError> {
        verify(self.open_blob(id)?, id)
    }

    /// All blobs here, folder by folder; files with other names are passed over.
    pub fn ids(&self) -> Result<impl Iterator<Item = Result<BlobId, BlobError>>, BlobError> {
        Ok(self.shards()?.into_iter().flat_map(|shard| {
            let (entries, error) = match fs::read_dir(shard) {
                Ok(entries) => (Some(entries), None),
                Err(error) => (None, Some(Err(error.into()))),
            };
            let names = entries
                .into_iter()
                .flatten()
                .filter_map(|entry| match entry {
                    Ok(entry) => name_of(&entry).map(Ok),
                    Err(error) => Some(Err(error.into())),
                });
            error.into_iter().chain(names)
        }))
    }

    /// The blobs here that came at this time or later and weren't touched for so long.
    pub fn untouched(&self, at_least: Duration, from_ms: u64) -> Result<Vec<BlobId>, BlobError> {
        let from = UNIX_EPOCH + Duration::from_millis(from_ms);
        let mut found = Vec::new();
        for shard in self.shards()? {
            for entry in fs::read_dir(shard)? {
                let entry = entry?;
                let Ok(meta) = entry.metadata() else { continue };
                let age = untouched_for(&meta);
                if age.is_ok_and(|age| age >= at_least) && meta.modified()? >= from {
                    found.extend(name_of(&entry));
                }
            }
        }
        Ok(found)
    }

    /// Syncs a complete file and gives it its name. Also over a blob of that name: the bytes are
    /// the same, and if they were not, they are now.
    fn adopt(&self, path: &Path, file: &File, id: &BlobId) -> Result<(), BlobError> {
        pass(Point::FileWritten(path))?;
        file.sync_all()?;
        pass(Point::FileSynced(path))?;
        let to = self.path(id);
        let shard = parent(&to).unwrap_or(&self.root);
        self.ensure_shard(shard, id)?;
        fs::rename(path, &to)?;
        pass(Point::FileNamed {
            from: path,
            to: &to,
        })?;
        sync_folder(shard)?;
        pass(Point::FolderSynced(shard))?;
        Ok(())
    }

    fn ensure_shard(&self, shard: &Path, id: &BlobId) -> Result<(), BlobError> {
        let [first, ..] = id.0;
        let mut durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(durable) = durable
            .get_mut(usize::from(first))
            .filter(|durable| !**durable)
        {
            private_folder(shard)?;
            sync_folder(&self.root)?;
            *durable = true;
        }
        Ok(())
    }

    fn temp(&self) -> Result<(Temp, File), BlobError> {
        let name = u128::from_le_bytes(random::bytes()?);
        let path = self.root.join(TEMP).join(format!("{name:032x}"));
        let file = private(OpenOptions::new().write(true).create_new(true)).open(&path)?;
        Ok((Temp(path), file))
    }

    fn path(&self, id: &BlobId) -> PathBuf {
        let [first, ..] = id.0;
        self.root.join(format!("{first:02x}")).join(id.to_string())
    }

    fn shards(&self) -> Result<Vec<PathBuf>, BlobError> {
        let mut shards = Vec::new();
        for entry in fs::read_dir(&self.root)? {
            let entry = entry?;
            let name = entry.file_name();
            let hex = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
            if name.len() == 2 && name.as_encoded_bytes().iter().all(hex) {
                shards.push(entry.path());
            }
        }
        shards.sort();
        Ok(shards)
    }
}

/// Now, ms, by the clock that files are dated by.
pub(crate) fn disk_now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(now.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

/// Whether something in the database names a blob.
pub(crate) fn is_named(db: &Connection, id: &BlobId) -> Result<bool, Error> {
    let mut statement = db.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM blobs WHERE blob = ?1)
             OR EXISTS (SELECT 1 FROM outbox_blobs WHERE blob = ?1)",
    )?;
    Ok(statement.query_row([id.0.as_slice()], |row| row.get(0))?)
}

/// A temporary file that goes away unless it got its name.
struct Temp(PathBuf);

impl Drop for Temp {
    fn drop(&mut self) {
        // After a rename there is nothing to remove; after an error the sweep gets what this
        // could not.
        let _ = fs::remove_file(&self.0);
    }
}

fn verify(file: impl Read, id: &BlobId) -> Result<u64, BlobError> {
    crypt::verify(file, id).map_err(|error| match error {
        CryptError::Damaged => BlobError::WrongHash,
        error => error.into(),
    })
}

/// Since the last change; nothing if that lies in the future, as after a change of the clock.
fn untouched_for(meta: &Metadata) -> io::Result<Duration> {
    Ok(SystemTime::now()
        .duration_since(meta.modified()?)
        .unwrap_or_default())
}

fn name_of(entry: &DirEntry) -> Option<BlobId> {
    entry.file_name().to_str()?.parse().ok()
}

#[cfg(test)]
mod tests;
