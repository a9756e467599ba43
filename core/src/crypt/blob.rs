//! Blobs: a photo, a voice note or any file as a standard age file to a fresh identity of its own.
//!
//! Everything streams with constant memory. A blob is named by the BLAKE3 of its ciphertext; its
//! identity travels in an encrypted op and must never lie beside it.

use std::fmt;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kolonne_model::ids::{BlobId, Hash32};
use zeroize::Zeroizing;

use super::{CryptError, Identity, age_file, header, random};

/// Read and hashed at a time: BLAKE3 and age both like 64 kB.
const BUFFER_BYTES: usize = 64 * 1024;

/// The secret that opens one blob.
#[derive(Clone, PartialEq, Eq)]
pub struct BlobIdentity(Zeroizing<[u8; 32]>);

impl BlobIdentity {
    /// From the bytes in the op.
    pub fn from_bytes(secret: [u8; 32]) -> Self {
        Self(Zeroizing::new(secret))
    }

    /// The bytes for the op.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// As an age identity, to hand one blob out without its thread.
    pub fn identity(&self) -> Result<Identity, CryptError> {
        Identity::from_bytes(&self.0)
    }
}

impl fmt::Debug for BlobIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BlobIdentity")
    }
}

/// What an op says of a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedBlob {
    /// BLAKE3 of the ciphertext: its name.
    pub id: BlobId,
    /// Length of the ciphertext.
    pub sealed_bytes: u64,
    /// What opens it.
    pub identity: BlobIdentity,
    /// The plaintext in it.
    pub plain: Plain,
}

/// Hash and length of a plaintext.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plain {
    /// BLAKE3 of the plaintext.
    pub blake3: Hash32,
    /// Its length.
    pub bytes: u64,
}

/// Seals all of `reader` into `writer` under a fresh identity.
///
/// The writer is flushed, not synced.
pub fn seal_blob(reader: impl Read, writer: impl Write) -> Result<SealedBlob, CryptError> {
    let secret = BlobIdentity(random::secret()?);
    let mut sealed = Hashing::new(writer);
    let mut plain = Hashing::new(reader);
    let mut age = age_file::encrypt_to(&[secret.identity()?.recipient()], &mut sealed)?;
    copy(&mut plain, &mut age, u64::MAX)?;
    age.finish()?;
    sealed.flush()?;
    Ok(SealedBlob {
        id: BlobId(sealed.hash()),
        sealed_bytes: sealed.bytes,
        identity: secret,
        plain: Plain {
            blake3: Hash32(plain.hash()),
            bytes: plain.bytes,
        },
    })
}

/// Opens a blob into `writer`, at most `limit_bytes` of plaintext.
///
/// Each 64 kB is written only after it has proved itself, but an error may come after some were
/// written: throw the output away then.
pub fn open_blob(
    reader: impl Read,
    identity: &BlobIdentity,
    writer: impl Write,
    limit_bytes: u64,
) -> Result<Plain, CryptError> {
    let mut reader = BufReader::with_capacity(BUFFER_BYTES, reader);
    let header = header::read(&mut reader)?;
    let mut age = age_file::decrypt(header.as_slice().chain(reader), &[identity.identity()?])?;
    let mut plain = Hashing::new(writer);
    copy(&mut age, &mut plain, limit_bytes).map_err(|error| match error {
        CryptError::Io(error) => CryptError::from_stream(error),
        error => error,
    })?;
    plain.flush()?;
    Ok(Plain {
        blake3: Hash32(plain.hash()),
        bytes: plain.bytes,
    })
}

/// Copies all, or fails as soon as it is more than the limit.
pub(crate) fn copy(
    reader: &mut impl Read,
    writer: &mut impl Write,
    limit_bytes: u64,
) -> Result<(), CryptError> {
    let mut buffer = Zeroizing::new(vec![0; BUFFER_BYTES]);
    let mut left = limit_bytes;
    loop {
        let count = match reader.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        left = u64::try_from(count)
            .ok()
            .and_then(|count| left.checked_sub(count))
            .ok_or(CryptError::TooLarge)?;
        writer.write_all(buffer.get(..count).unwrap_or_default())?;
    }
}

/// Proves a blob while it arrives, as far as whole chunks of it are there.
///
/// What has proved itself is from whoever knew its identity, so that a hub's false bytes are found
/// where they begin. It says nothing of the blob's name: [`verify`] does, at the end.
pub struct BlobProof<R> {
    age: age::stream::StreamReader<BufReader<Upto<R>>>,
    upto: Arc<AtomicU64>,
    proven_bytes: u64,
    sealed_bytes: u64,
}

/// A file that ends where the chunk that isn't whole begins.
struct Upto<R> {
    reader: R,
    at: u64,
    end: Arc<AtomicU64>,
}

impl<R: Read> Read for Upto<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.end.load(Ordering::Relaxed).saturating_sub(self.at);
        let count = (&mut self.reader).take(left).read(buffer)?;
        self.at = self
            .at
            .saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        Ok(count)
    }
}

impl<R: Read + Seek> BlobProof<R> {
    /// As much of a blob as its header is judged by, whatever its author wrote into that.
    pub const BEGINS_AT_BYTES: u64 = header::MAX_HEADER_BYTES + age_file::NONCE_BYTES;

    /// Judges the beginning of a blob of this length, of which as much is there as
    /// [`Self::BEGINS_AT_BYTES`] says, or all.
    pub fn begin(
        mut reader: R,
        identity: &BlobIdentity,
        sealed_bytes: u64,
    ) -> Result<Self, CryptError> {
        reader.rewind()?;
        let header = header::read(&mut BufReader::new(&mut reader))?;
        let start_bytes = u64::try_from(header.len())
            .map_err(|_| CryptError::TooLarge)?
            .saturating_add(age_file::NONCE_BYTES);
        reader.rewind()?;
        let upto = Arc::new(AtomicU64::new(start_bytes));
        let reader = Upto {
            reader,
            at: 0,
            end: Arc::clone(&upto),
        };
        let reader = BufReader::with_capacity(BUFFER_BYTES, reader);
        Ok(Self {
            age: age_file::decrypt(reader, &[identity.identity()?])?,
            upto,
            proven_bytes: start_bytes,
            sealed_bytes,
        })
    }

    /// Goes on through what is there now.
    ///
    /// # Errors
    /// [`CryptError::Damaged`] where false bytes follow [`Self::proven_bytes`].
    pub fn go_on(&mut self, held_bytes: u64) -> Result<(), CryptError> {
        const SEALED_CHUNK_BYTES: u64 = age_file::CHUNK_BYTES + age_file::TAG_BYTES;
        let nothing = &mut io::sink();
        let is_all = held_bytes >= self.sealed_bytes;
        while is_all || self.proven_bytes.saturating_add(SEALED_CHUNK_BYTES) <= held_bytes {
            let end = self.proven_bytes.saturating_add(SEALED_CHUNK_BYTES);
            self.upto.store(end.min(held_bytes), Ordering::Relaxed);
            let chunk = &mut (&mut self.age).take(age_file::CHUNK_BYTES);
            let read = io::copy(chunk, nothing).map_err(CryptError::from_stream)?;
            self.proven_bytes = end.min(held_bytes);
            if read == 0 {
                // Its end has proved itself.
                break;
            }
        }
        Ok(())
    }

    /// How much of the file has proved itself, from its beginning.
    pub fn proven_bytes(&self) -> u64 {
        self.proven_bytes
    }
}

/// Random access to a blob, for players that jump.
///
/// What is read has proved itself under the blob's identity, and so has the length; the blob's
/// name has not been checked.
pub struct BlobReader<R> {
    age: age::stream::StreamReader<BufReader<R>>,
    plain_bytes: u64,
}

impl<R: Read + Seek> BlobReader<R> {
    /// Opens a blob that starts at the reader's beginning.
    pub fn open(reader: R, identity: &BlobIdentity) -> Result<Self, CryptError> {
        let mut reader = BufReader::with_capacity(BUFFER_BYTES, reader);
        reader.rewind()?;
        header::read(&mut reader)?;
        reader.rewind()?;
        let mut age = age_file::decrypt(reader, &[identity.identity()?])?;
        let plain_bytes = age
            .seek(SeekFrom::End(0))
            .map_err(CryptError::from_stream)?;
        Ok(Self { age, plain_bytes })
    }

    /// Length of the plaintext.
    pub fn plain_bytes(&self) -> u64 {
        self.plain_bytes
    }

    /// Fills `buffer` from this offset as far as the plaintext goes; returns how much.
    pub fn read_at(&mut self, offset_bytes: u64, buffer: &mut [u8]) -> Result<usize, CryptError> {
        // age's reader must not be asked for positions behind the end: it subtracts.
        let left = self.plain_bytes.saturating_sub(offset_bytes);
        let count = buffer
            .len()
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        let Some(part) = buffer.get_mut(..count).filter(|part| !part.is_empty()) else {
            return Ok(0);
        };
        self.age
            .seek(SeekFrom::Start(offset_bytes))
            .and_then(|_| self.age.read_exact(part))
            .map_err(CryptError::from_stream)?;
        Ok(count)
    }
}

/// Hashes and counts what passes through.
pub struct Hashing<T> {
    inner: T,
    hasher: blake3::Hasher,
    bytes: u64,
}

/// A reader that hashes what it reads.
pub type HashingReader<R> = Hashing<R>;

impl<T> Hashing<T> {
    /// Around a reader or writer, from its current place.
    pub fn new(inner: T) -> Self {
        Self {
            inner,
            hasher: blake3::Hasher::new(),
            bytes: 0,
        }
    }

    /// BLAKE3 of what has passed so far.
    pub fn hash(&self) -> [u8; 32] {
        *self.hasher.finalize().as_bytes()
    }

    /// How much has passed so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    fn pass(&mut self, part: &[u8]) {
        self.hasher.update(part);
        self.bytes = self
            .bytes
            .saturating_add(u64::try_from(part.len()).unwrap_or(u64::MAX));
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.pass(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(part)?;
        self.pass(part.get(..count).unwrap_or_default());
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Reads to the end and compares with the blob's name; returns the length.
pub fn verify(reader: impl Read, id: &BlobId) -> Result<u64, CryptError> {
    let mut reader = Hashing::new(reader);
    copy(&mut reader, &mut io::sink(), u64::MAX)?;
    if reader.hash() == id.0 {
        Ok(reader.bytes)
    } else {
        Err(CryptError::Damaged)
    }
}
