//! Ring identities, and small things (wrapped keys, packs) sealed to them as binary age files.
//!
//! Files from the network are refused by their header before any key is tried. Only X25519 today;
//! recipients carry a type, so that hybrid ones fit later.

use std::fmt;
use std::io::{self, Read, Write};

use age::secrecy::ExposeSecret;
use age::{Decryptor, Encryptor};
use bech32::{Bech32, Hrp};
use kolonne_model::x25519;
use zeroize::Zeroizing;

use super::{CryptError, header, random};

/// Most recipients of one file; more of them means more files.
pub const MAX_RECIPIENTS: usize = 64;

/// Bytes of plaintext per encrypted chunk, and of the tag each chunk gains.
pub(super) const CHUNK_BYTES: u64 = 64 * 1024;
pub(super) const TAG_BYTES: u64 = 16;
/// Between the header and the first chunk.
pub(super) const NONCE_BYTES: u64 = 16;

/// A ring's public key: what things are sealed to.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Recipient([u8; 32]);

impl Recipient {
    /// Type byte of an X25519 key of 32 bytes.
    pub const X25519: u8 = 1;

    /// A recipient from its type byte and key bytes.
    ///
    /// # Errors
    /// [`CryptError::Key`] for an unknown type, a wrong length, or one of the points that give
    /// every sender the same secret (age panics on those).
    pub fn from_parts(kind: u8, key: &[u8]) -> Result<Self, CryptError> {
        let key: [u8; 32] = key.try_into().map_err(|_| CryptError::Key)?;
        let usable = (kind == Self::X25519)
            .then(|| x25519::usable(key))
            .flatten();
        usable.map(Self).ok_or(CryptError::Key)
    }

    /// The type byte.
    pub fn kind(&self) -> u8 {
        Self::X25519
    }

    /// The key bytes, without the type.
    pub fn key(&self) -> &[u8] {
        &self.0
    }

    /// As the stock `age` program takes it: `age1…`.
    pub fn to_age_text(&self) -> Result<String, CryptError> {
        bech32::encode_lower::<Bech32>(Hrp::parse_unchecked("age"), &self.0)
            .map_err(|_| CryptError::Key)
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_age_text().unwrap_or_default())
    }
}

/// A ring's secret: opens what was sealed to its [`Recipient`].
#[derive(Clone)]
pub struct Identity {
    secret: Zeroizing<[u8; 32]>,
    // Wipes itself on drop (x25519-dalek).
    age: age::x25519::Identity,
    recipient: Recipient,
}

impl Identity {
    /// A fresh identity.
    pub fn generate() -> Result<Self, CryptError> {
        let secret = random::secret()?;
        Self::from_bytes(&secret)
    }

    /// The identity with this secret: the same bytes give the same identity.
    pub fn from_bytes(secret: &[u8; 32]) -> Result<Self, CryptError> {
        let text = age_text(secret)?;
        let age: age::x25519::Identity = text.parse().map_err(|_| CryptError::Key)?;
        let public = age.to_public().to_string();
        let (_, key) = bech32::decode(&public).map_err(|_| CryptError::Key)?;
        Ok(Self {
            secret: Zeroizing::new(*secret),
            recipient: Recipient::from_parts(Recipient::X25519, &key)?,
            age,
        })
    }

    /// The secret, to be stored encrypted.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.secret
    }

    /// The public half.
    pub fn recipient(&self) -> Recipient {
        self.recipient
    }

    /// As the stock `age` program takes it: `AGE-SECRET-KEY-1…`.
    pub fn to_age_text(&self) -> Zeroizing<String> {
        Zeroizing::new(self.age.to_string().expose_secret().to_owned())
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity of {:?}", self.recipient)
    }
}

fn age_text(secret: &[u8; 32]) -> Result<Zeroizing<String>, CryptError> {
    bech32::encode_upper::<Bech32>(Hrp::parse_unchecked("AGE-SECRET-KEY-"), secret)
        .map(Zeroizing::new)
        .map_err(|_| CryptError::Key)
}

/// Seals a small thing to 1..=64 recipients as a binary age file.
pub fn seal(plaintext: &[u8], recipients: &[Recipient]) -> Result<Vec<u8>, CryptError> {
    let mut out = Vec::new();
    let mut writer = encrypt_to(recipients, &mut out)?;
    writer.write_all(plaintext)?;
    writer.finish()?;
    Ok(out)
}

/// Opens what [`seal`] made, with any of the identities.
///
/// The length of the file and its header are judged before any key is tried.
pub fn open(
    mut file: &[u8],
    identities: &[Identity],
    max_plaintext_bytes: usize,
) -> Result<Zeroizing<Vec<u8>>, CryptError> {
    let max = u64::try_from(max_plaintext_bytes).map_err(|_| CryptError::TooLarge)?;
    let payload_max = sealed_payload_bytes(max).ok_or(CryptError::TooLarge)?;
    let longer_than = |file: &[u8], max| u64::try_from(file.len()).is_ok_and(|len| len > max);
    if longer_than(file, payload_max.saturating_add(header::MAX_HEADER_BYTES)) {
        return Err(CryptError::TooLarge);
    }
    let header = header::read(&mut file)?;
    if longer_than(file, payload_max) {
        return Err(CryptError::TooLarge);
    }
    // Reserved once, so that no partial copy stays behind unwiped when it grows.
    let mut out = Zeroizing::new(Vec::with_capacity(file.len()));
    decrypt(header.as_slice().chain(file), identities)?
        .read_to_end(&mut out)
        .map_err(CryptError::from_stream)?;
    if out.len() > max_plaintext_bytes {
        return Err(CryptError::TooLarge);
    }
    Ok(out)
}

/// Bytes of nonce and chunks for this much plaintext; none on overflow.
fn sealed_payload_bytes(plain_bytes: u64) -> Option<u64> {
    let chunks = plain_bytes.div_ceil(CHUNK_BYTES).max(1);
    plain_bytes
        .checked_add(chunks.checked_mul(TAG_BYTES)?)?
        .checked_add(NONCE_BYTES)
}

/// What [`open_stream`] gives.
pub(crate) type Opened<R> =
    age::stream::StreamReader<io::Chain<io::Cursor<Vec<u8>>, io::BufReader<R>>>;

/// A large age file, read piece by piece after its header was judged. What has changed in it or is
/// cut off is an `InvalidData` or `UnexpectedEof` of the stream.
pub(crate) fn open_stream<R: Read>(
    reader: R,
    identities: &[Identity],
) -> Result<Opened<R>, CryptError> {
    let mut reader = io::BufReader::new(reader);
    let header = header::read(&mut reader)?;
    decrypt(io::Cursor::new(header).chain(reader), identities)
}

/// An age writer to these recipients; `finish` must be called.
pub(crate) fn encrypt_to<W: Write>(
    recipients: &[Recipient],
    writer: W,
) -> Result<age::stream::StreamWriter<W>, CryptError> {
    let count = recipients.len();
    if !(1..=MAX_RECIPIENTS).contains(&count) {
        return Err(CryptError::Recipients { count });
    }
    let mut keys = Vec::with_capacity(count);
    for recipient in recipients {
        let text = recipient.to_age_text()?;
        keys.push(
            text.parse::<age::x25519::Recipient>()
                .map_err(|_| CryptError::Key)?,
        );
    }
    Encryptor::with_recipients(keys.iter().map(|key| key as &dyn age::Recipient))
        .map_err(|_| CryptError::Key)?
        .wrap_output(writer)
        .map_err(CryptError::Io)
}

/// An age reader over a file whose header has been judged. Buffered: unbuffered, 200 stanzas
/// take age a quarter of a second.
pub(super) fn decrypt<R: io::BufRead>(
    reader: R,
    identities: &[Identity],
) -> Result<age::stream::StreamReader<R>, CryptError> {
    let identities = identities
        .iter()
        .map(|identity| &identity.age as &dyn age::Identity);
    Ok(Decryptor::new_buffered(reader)?.decrypt(identities)?)
}
