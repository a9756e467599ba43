//! The admission pack: what a new phone shows before its first pull. Threads with their titles,
//! last lines and newest keys.
//!
//! It is the office's word, shown only until the ops are here, which prove themselves. A key needs
//! no proof: it is named by what it is, and a false one opens nothing.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use zeroize::Zeroize;

use crate::cbor::{self, CborError};
use crate::control::ThreadKind;
use crate::ids::ThreadId;

/// Longest pack as it travels, an age file: twenty seconds of a slow network.
pub const MAX_PACK_BYTES: usize = 25_000;
/// Longest pack unpacked.
pub const MAX_UNPACKED_BYTES: usize = 512 * 1024;

/// A pack, before it is compressed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(map)]
pub struct Pack {
    /// Names of the company (no subject), the device, its crew and its people.
    #[n(0)]
    pub names: Vec<PackName>,
    /// Threads, the newest last line first.
    #[n(1)]
    pub threads: Vec<PackThread>,
}

/// A name.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct PackName {
    /// Of whom, by id.
    #[n(0)]
    pub subject: ByteVec,
    /// The name.
    #[n(1)]
    pub name: String,
}

/// A thread.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct PackThread {
    /// Which.
    #[n(0)]
    pub thread: ThreadId,
    /// What for.
    #[n(1)]
    pub kind: ThreadKind,
    /// Its title.
    #[n(2)]
    pub title: String,
    /// When something was said last, ms.
    #[n(3)]
    pub last_time_ms: u64,
    /// The history secret of its newest key.
    #[n(4)]
    pub key: Option<ByteVec>,
    /// Its last line.
    #[n(5)]
    pub last: Option<PackLine>,
    /// Its customer.
    #[n(6)]
    pub customer: Option<String>,
}

impl Drop for PackThread {
    fn drop(&mut self) {
        if let Some(key) = &mut self.key {
            key.zeroize();
        }
    }
}

impl std::fmt::Debug for PackThread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PackThread({:?})", self.thread)
    }
}

/// A last line.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct PackLine {
    /// Who.
    #[n(0)]
    pub author: String,
    /// What: the kind of the data op.
    #[n(1)]
    pub kind: u16,
    /// Its words.
    #[n(2)]
    pub text: String,
}

impl Pack {
    /// The pack's one encoding.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// Reads an unpacked pack.
    pub fn read(bytes: &[u8]) -> Result<Self, CborError> {
        cbor::decode(bytes)
    }
}
