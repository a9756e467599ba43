//! Ring identities, and small things (wrapped keys, packs) sealed to them as binary age files.
//!
//! Files from the network are refused by their header before any key is tried. Only X25519 today;
//! recipients carry a type, so that hybrid ones fit later.

use std::fmt;
use std::io::{self, Read, Write};

use age::secrecy::ExposeSecret;
use age::{Decryptor, Encryptor, x25519};
use bech32::{Bech32, Hrp};
use zeroize::Zeroizing;

use super::{CryptError, header, random};

/// Most recipients of one file; more of them means more files.
pub const MAX_RECIPIENTS: usize = 64;

/// Bytes of plaintext per encrypted chunk, and of the tag each chunk gains.
const CHUNK_BYTES: u64 = 64 * 1024;
const TAG_BYTES: u64 = 16;
const NONCE_BYTES: u64 = 16;

/// A ring's public key: what things are sealed to.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Recipient([u8; 32]);

impl Recipient {
    /// Type byte of an X25519 key of 32 bytes.
    pub const X25519: u8 = 1;

    /// A recipient from its type byte and key bytes.
    ///
    /// # Errors
    /// [`CryptError::Key`] for an unknown type, a wrong length, a second spelling of a key, or
    /// one of the points that give every sender the same secret (age panics on those).
    pub fn from_parts(kind: u8, key: &[u8]) -> Result<Self, CryptError> {
        let key: [u8; 32] = key.try_into().map_err(|_| CryptError::Key)?;
        if kind != Self::X25519 || !is_canonical(&key) || LOW_ORDER.contains(&key) {
            return Err(CryptError::Key);
        }
        Ok(Self(key))
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

/// Below p = 2²⁵⁵ − 19, little endian.
fn is_canonical(key: &[u8; 32]) -> bool {
    let [low, middle @ .., high] = key;
    *high < 0x7f || (*high == 0x7f && (middle.iter().any(|b| *b != 0xff) || *low < 0xed))
}

/// The canonical points of small order: 0, 1, p − 1, and the two of order 8
/// (<https://cr.yp.to/ecdh.html#validate>).
pub(super) const LOW_ORDER: [[u8; 32]; 5] = {
    let mut one = [0; 32];
    one[0] = 1;
    let mut minus_one = [0xff; 32];
    minus_one[0] = 0xec;
    minus_one[31] = 0x7f;
    [
        [0; 32],
        one,
        minus_one,
        [
            0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f,
            0xc4, 0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16,
            0x5f, 0x49, 0xb8, 0x00,
        ],
        [
            0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83,
            0xef, 0x5b, 0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd,
            0xd0, 0x9f, 0x11, 0x57,
        ],
    ]
};

/// A ring's secret: opens what was sealed to its [`Recipient`].
#[derive(Clone)]
pub struct Identity {
    secret: Zeroizing<[u8; 32]>,
    // Wipes itself on drop (x25519-dalek).
    age: x25519::Identity,
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
        let age: x25519::Identity = text.parse().map_err(|_| CryptError::Key)?;
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
            text.parse::<x25519::Recipient>()
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
