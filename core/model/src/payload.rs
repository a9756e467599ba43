//! Payloads: sealed bodies of data ops, clear bodies of control and roster ops.
//!
//! The key of an entry is bound to the whole context, so a ciphertext can't be moved to another
//! op. Salts come in as arguments: nothing here draws randomness.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use zeroize::Zeroizing;

use crate::cbor;
use crate::hash::label;
use crate::key::ThreadKey;
use crate::op::{Context, MAX_BODY_BYTES};

/// Random bytes at the head of every payload.
pub const SALT_BYTES: usize = 12;
/// Shorter bodies are filled up to this with zeros, so that "ja" and "nein" look alike.
pub const MIN_PLAINTEXT_BYTES: usize = 48;
const TAG_BYTES: usize = 16;

/// Why a payload doesn't open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// Longer than a body may be, or too short to be one.
    #[error("payload of a wrong size")]
    Size,
    /// Not sealed under this key for this context.
    #[error("payload does not open under its key")]
    DoesNotOpen,
    /// Opens, but isn't one CBOR item and zeros up to 48 bytes.
    #[error("payload is not one item in its one form")]
    Form,
}

/// The 32 bytes that open one entry and nothing else; it can be handed out.
#[must_use]
pub fn entry_key(
    key: &ThreadKey,
    context: &Context,
    salt: &[u8; SALT_BYTES],
) -> Zeroizing<[u8; 32]> {
    let mut hasher = blake3::Hasher::new_keyed(key.as_bytes());
    hasher.update(label::ENTRY_KEY.as_bytes());
    hasher.update(&context.to_bytes());
    hasher.update(salt);
    Zeroizing::new(*hasher.finalize().as_bytes())
}

/// Seals a data body (one CBOR item) under a thread key for this context.
pub fn seal(
    key: &ThreadKey,
    context: &Context,
    salt: &[u8; SALT_BYTES],
    body: &[u8],
) -> Result<Vec<u8>, PayloadError> {
    if body.len() > MAX_BODY_BYTES {
        return Err(PayloadError::Size);
    }
    let mut plaintext = Zeroizing::new(body.to_vec());
    if plaintext.len() < MIN_PLAINTEXT_BYTES {
        plaintext.resize(MIN_PLAINTEXT_BYTES, 0);
    }
    let key = entry_key(key, context, salt);
    let sealed = ChaCha20Poly1305::new(Key::from_slice(&*key))
        .encrypt(
            Nonce::from_slice(&[0; 12]),
            Payload {
                msg: &plaintext,
                aad: &context.to_bytes(),
            },
        )
        .map_err(|_| PayloadError::Size)?;
    Ok([salt.as_slice(), &sealed].concat())
}

/// Opens a sealed data payload under the thread key that its context names; the answer is the body,
/// without its padding. Another key isn't tried: a payload can be made that opens under two.
pub fn open(
    key: &ThreadKey,
    context: &Context,
    payload: &[u8],
) -> Result<Zeroizing<Vec<u8>>, PayloadError> {
    if key.id(&context.company, &context.thread) != context.key {
        return Err(PayloadError::DoesNotOpen);
    }
    let (salt, _) = payload
        .split_first_chunk::<SALT_BYTES>()
        .ok_or(PayloadError::Size)?;
    open_with_entry_key(&entry_key(key, context, salt), context, payload)
}

/// Opens a sealed data payload with its own entry key, as one who was handed only this entry.
pub fn open_with_entry_key(
    entry_key: &[u8; 32],
    context: &Context,
    payload: &[u8],
) -> Result<Zeroizing<Vec<u8>>, PayloadError> {
    let (_, sealed) = payload
        .split_first_chunk::<SALT_BYTES>()
        .ok_or(PayloadError::Size)?;
    if sealed.len() < MIN_PLAINTEXT_BYTES + TAG_BYTES || sealed.len() > MAX_BODY_BYTES + TAG_BYTES {
        return Err(PayloadError::Size);
    }
    let mut body = ChaCha20Poly1305::new(Key::from_slice(entry_key))
        .decrypt(
            Nonce::from_slice(&[0; 12]),
            Payload {
                msg: sealed,
                aad: &context.to_bytes(),
            },
        )
        .map(Zeroizing::new)
        .map_err(|_| PayloadError::DoesNotOpen)?;
    let end = cbor::item_end(&body).map_err(|_| PayloadError::Form)?;
    let padding = body.get(end..).unwrap_or_default();
    let padded_right = padding.is_empty() || body.len() == MIN_PLAINTEXT_BYTES;
    if !padded_right || padding.iter().any(|b| *b != 0) {
        return Err(PayloadError::Form);
    }
    body.truncate(end);
    Ok(body)
}

/// A clear payload: 12 random bytes, then the body.
#[must_use]
pub fn clear(salt: &[u8; SALT_BYTES], body: &[u8]) -> Vec<u8> {
    [salt.as_slice(), body].concat()
}

/// The body of a clear payload: one CBOR item and nothing behind it.
pub fn clear_body(payload: &[u8]) -> Result<&[u8], PayloadError> {
    let (_, body) = payload
        .split_first_chunk::<SALT_BYTES>()
        .ok_or(PayloadError::Size)?;
    cbor::check(body).map_err(|_| PayloadError::Form)?;
    Ok(body)
}
