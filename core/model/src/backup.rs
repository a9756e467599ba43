//! What a backup of a device holds, inside its age file: a mark, then items one after the other,
//! each its kind and length before its bytes.
//!
//! Only what proves itself is in it: roster, ops, their parts, blobs as ciphertext. No key of a
//! device or a seat may ever be. An item of an unknown kind is passed over; a backup without its
//! end is none.

use minicbor::{Decode, Encode};

use crate::ids::{CompanyId, DeviceId};

/// The first bytes.
pub const MARK: &[u8; 18] = b"kolonne backup v1\n";
/// Bytes before those of an item.
pub const ITEM_HEAD_BYTES: usize = 9;

/// Whose backup it is; the first item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Head {
    /// The company.
    #[n(0)]
    pub company: CompanyId,
    /// The device that made it.
    #[n(1)]
    pub device: DeviceId,
    /// When, by its clock, ms.
    #[n(2)]
    pub time_ms: u64,
}

/// What it held; the last item, so that a backup that breaks off is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(map)]
pub struct End {
    /// Ops, the roster's too.
    #[n(0)]
    pub ops: u64,
    /// Parts.
    #[n(1)]
    pub parts: u64,
    /// Blobs.
    #[n(2)]
    pub blobs: u64,
}

/// What an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemKind {
    /// [`Head`].
    Head,
    /// A page of ops with full values; the roster's come first, in order.
    Page,
    /// An op's id (32 bytes), then a part of it.
    Part,
    /// A blob's name (32 bytes), then its ciphertext.
    Blob,
    /// [`End`].
    End,
    /// Of a newer app.
    Unknown(u8),
}

/// Kind and length of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ItemHead {
    /// What it is.
    pub kind: ItemKind,
    /// How many bytes follow.
    pub bytes: u64,
}

impl ItemHead {
    /// As it is written: kind 1 ‖ length 8.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; ITEM_HEAD_BYTES] {
        let kind = match self.kind {
            ItemKind::Head => 1,
            ItemKind::Page => 2,
            ItemKind::Part => 3,
            ItemKind::Blob => 4,
            ItemKind::End => 5,
            ItemKind::Unknown(kind) => kind,
        };
        let mut head = [kind; ITEM_HEAD_BYTES];
        for (to, from) in head.iter_mut().skip(1).zip(self.bytes.to_be_bytes()) {
            *to = from;
        }
        head
    }

    /// As it is read.
    #[must_use]
    pub const fn from_bytes(bytes: &[u8; ITEM_HEAD_BYTES]) -> Self {
        let [kind, length @ ..] = bytes;
        Self {
            kind: match *kind {
                1 => ItemKind::Head,
                2 => ItemKind::Page,
                3 => ItemKind::Part,
                4 => ItemKind::Blob,
                5 => ItemKind::End,
                other => ItemKind::Unknown(other),
            },
            bytes: u64::from_be_bytes(*length),
        }
    }
}
