//! Every hash and derivation of Kolonne, each under its own label.
//!
//! A label is used for one purpose and one layout of parts, so that no value made for one purpose
//! passes for another. Parts are concatenated: at most the last may have a variable length.

use std::sync::LazyLock;

use blake3::hazmat::{ContextKey, HasherExt, hash_derive_key_context};
use zeroize::Zeroizing;

/// Labels, one per purpose ("kolonne … v1"), as BLAKE3 derive-key contexts.
pub mod label {
    /// Company id from the first root key.
    pub const COMPANY: &str = "kolonne company id v1";
    /// Seat id from the seat's signing key.
    pub const SEAT: &str = "kolonne seat id v1";
    /// Device id from the device seat's signing key.
    pub const DEVICE: &str = "kolonne device id v1";
    /// Ring id from the ring's first recipient.
    pub const RING: &str = "kolonne ring id v1";
    /// Thread id from company, opener's seat and opened body.
    pub const THREAD: &str = "kolonne thread id v1";
    /// The roster's thread id from the company.
    pub const ROSTER_THREAD: &str = "kolonne roster thread v1";
    /// Op id from the signed form.
    pub const OP_ID: &str = "kolonne op id v1";
    /// Prefix of the message an op's signature covers.
    pub const OP_SIGNATURE: &str = "kolonne op signature v1";
    /// Payload hash in the signed form.
    pub const PAYLOAD: &str = "kolonne payload v1";
    /// Extension hash in the signed form.
    pub const EXTENSION: &str = "kolonne extension v1";
    /// A part (wrap file, history seal, cut list) that a payload names by hash.
    pub const PART: &str = "kolonne part v1";
    /// Roster state digest.
    pub const ROSTER_STATE: &str = "kolonne roster state v1";
    /// Thread key K from its history secret H.
    pub const THREAD_KEY: &str = "kolonne thread key v1";
    /// Full hash of a thread key; its first 16 bytes are the key id.
    pub const KEY_HASH: &str = "kolonne thread key hash v1";
    /// Key that seals earlier history secrets, from H.
    pub const HISTORY_SEAL: &str = "kolonne history seal v1";
    /// Entry key, keyed with the thread key.
    pub const ENTRY_KEY: &str = "kolonne entry key v1";
    /// Op receipt signature.
    pub const OP_RECEIPT: &str = "kolonne op receipt v1";
    /// Blob receipt signature.
    pub const BLOB_RECEIPT: &str = "kolonne blob receipt v1";
    /// Possession answer signature.
    pub const POSSESSION: &str = "kolonne possession v1";
    /// Named slices of a possession answer.
    pub const POSSESSION_SLICES: &str = "kolonne possession slices v1";
    /// Device login signature.
    pub const LOGIN: &str = "kolonne login v1";
    /// One head in a reader's 16-byte sum.
    pub const HEAD_SUM: &str = "kolonne head sum v1";
    /// Enrolment mailbox id from the one-time secret.
    pub const MAILBOX: &str = "kolonne mailbox v1";
    /// Enrolment MAC key, phone to office.
    pub const MAC_TO_OFFICE: &str = "kolonne enrol mac phone to office v1";
    /// Enrolment MAC key, office to phone.
    pub const MAC_TO_PHONE: &str = "kolonne enrol mac office to phone v1";
    /// The phone's commitment to its keys and nonce.
    pub const COMMITMENT: &str = "kolonne enrol commitment v1";
    /// The office's signature over commitment and its nonce.
    pub const ENROL_SIGNATURE: &str = "kolonne enrol office v1";
    /// The four words.
    pub const ENROL_WORDS: &str = "kolonne enrol words v1";
    /// An admin's signature under a new recovery kit.
    pub const ROOT_ROTATION: &str = "kolonne root rotation v1";
    /// Root key hash in the enrolment code.
    pub const ROOT_KEY: &str = "kolonne root key v1";
}

/// `H(label; parts)`: BLAKE3 in derive-key mode over the concatenated parts.
#[must_use]
pub fn h(label: &str, parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(label);
    for part in parts {
        hasher.update(part);
    }
    *hasher.finalize().as_bytes()
}

/// [`h`] for what is hashed with every op: its label is hashed once.
#[derive(Debug)]
pub struct Often(LazyLock<ContextKey>);

/// Of signed forms.
pub static OP_ID: Often = Often(LazyLock::new(|| hash_derive_key_context(label::OP_ID)));
/// Of payloads.
pub static PAYLOAD: Often = Often(LazyLock::new(|| hash_derive_key_context(label::PAYLOAD)));

impl Often {
    /// `H(label; bytes)`.
    #[must_use]
    pub fn h(&self, bytes: &[u8]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_from_context_key(&self.0);
        *hasher.update(bytes).finalize().as_bytes()
    }
}

/// The first 16 bytes of [`h`].
#[must_use]
pub fn h16(label: &str, parts: &[&[u8]]) -> [u8; 16] {
    first16(&h(label, parts))
}

/// A secret derived from a secret under a label.
#[must_use]
pub fn derive(label: &str, secret: &[u8; 32]) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(h(label, &[secret]))
}

/// The first 16 bytes of a hash.
#[must_use]
pub fn first16(hash: &[u8; 32]) -> [u8; 16] {
    let mut out = [0; 16];
    for (to, from) in out.iter_mut().zip(hash) {
        *to = *from;
    }
    out
}
