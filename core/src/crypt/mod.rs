//! Keys and sealing: ring identities, blobs, the root and its recovery kit, the device key.
//!
//! Nothing here knows threads, ops or the store, and nothing here may log, print or put into an
//! error what it seals. Secrets are wiped when dropped.

pub mod age_file;
pub mod at_rest;
pub mod blob;
pub mod kit;
pub mod pin;
pub mod random;
pub mod root;
pub mod signing;

mod header;

pub use age_file::{Identity, Recipient, open, seal};
pub use blob::{
    BlobIdentity, BlobProof, BlobReader, HashingReader, SealedBlob, open_blob, seal_blob, verify,
};
pub use kit::KitError;
pub use root::RootSeed;
pub use signing::SigningSecret;

#[cfg(test)]
pub(crate) mod tests;

use std::io;

/// Why sealing or opening failed. Says nothing of the content.
#[derive(Debug, thiserror::Error)]
pub enum CryptError {
    /// The operating system gave no random bytes.
    #[error("no randomness from the operating system")]
    Randomness,
    /// None, or more than [`age_file::MAX_RECIPIENTS`].
    #[error("{count} recipients; 1 to 64 are allowed")]
    Recipients {
        /// How many were given.
        count: usize,
    },
    /// Key bytes of an unknown type, a wrong length, or a weak public key.
    #[error("not a usable key")]
    Key,
    /// Larger than the caller's limit.
    #[error("larger than allowed")]
    TooLarge,
    /// Not a binary age v1 file, or its header breaks the format.
    #[error("not an age file")]
    NotAge,
    /// An armored age file; only binary ones travel.
    #[error("an armored age file")]
    Armored,
    /// A passphrase file: opening it costs whoever opens it, so it is refused unread.
    #[error("a passphrase file")]
    Passphrase,
    /// More recipient stanzas than a sealed file may have.
    #[error("too many recipients in the file")]
    TooManyStanzas,
    /// Intact so far, but none of the identities opens it.
    #[error("not sealed to this identity")]
    NoMatch,
    /// Changed or cut off since it was sealed.
    #[error("damaged or cut off")]
    Damaged,
    /// Reading or writing failed.
    #[error("reading or writing failed")]
    Io(#[from] io::Error),
}

impl From<age::DecryptError> for CryptError {
    fn from(error: age::DecryptError) -> Self {
        use age::DecryptError as E;
        match error {
            E::InvalidMac => Self::Damaged,
            E::NoMatchingKeys | E::DecryptionFailed => Self::NoMatch,
            E::Io(error) => Self::from_stream(error),
            E::ExcessiveWork { .. } => Self::Passphrase,
            _ => Self::NotAge,
        }
    }
}

impl CryptError {
    /// age reports a failed tag as `InvalidData` and a missing end as `UnexpectedEof`.
    fn from_stream(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => Self::Damaged,
            _ => Self::Io(error),
        }
    }
}
