//! Sealed attachments: what the op says of one, and what only the named people learn.
//!
//! The file is a blob to its own fresh identity, as every blob; that identity, the file's name,
//! type and hash are in an *envelope*, an age file to the rings of the named people. The model
//! opens no envelope: it says what is in one, and how a file is padded so that its size tells
//! little.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use zeroize::Zeroizing;

use crate::cbor;
use crate::ids::{BlobId, Hash32, OpId, RingId, SeatId, ThreadId};

/// Most rings of one envelope, recovery among them: recipients of one age file.
pub const MAX_RINGS: usize = 64;
/// Bytes in an envelope, whatever is said: an item, then zeros.
pub const INSIDE_BYTES: usize = 512;
/// Longest envelope: 64 stanzas, the grease of age, and what is in it.
pub const MAX_ENVELOPE_BYTES: usize = 16 * 1024;
/// Smaller files are filled up to this.
pub const MIN_PADDED_BYTES: u64 = 16 * 1024;
/// Longest name of a file inside, in bytes.
pub const MAX_NAME_BYTES: usize = 255;

/// A ring that an envelope is sealed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct SealedRing {
    /// The ring: a person's, or recovery.
    #[n(0)]
    pub ring: RingId,
    /// Its generation.
    #[n(1)]
    pub generation: u32,
}

/// A sealed attachment, as everyone in the thread sees it: that there is one, and for whom.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Sealed {
    /// BLAKE3 of the ciphertext.
    #[n(0)]
    pub blob: BlobId,
    /// Length of the ciphertext, which is padded.
    #[n(1)]
    pub sealed_bytes: u64,
    /// The people named one by one.
    #[n(2)]
    pub people: Vec<RingId>,
    /// Whether it is for the office: its people at the op's roster position.
    #[n(3)]
    pub office: bool,
    /// Everyone it is sealed for, recovery among them; sorted.
    #[n(4)]
    pub rings: Vec<SealedRing>,
    /// [`Inside`], an age file to `rings`.
    #[n(5)]
    pub envelope: ByteVec,
    /// The entry it answers.
    #[n(6)]
    pub reply_to: Option<OpId>,
}

impl Sealed {
    /// Whether it is in its one form: rings sorted, each once, within the limits.
    #[must_use]
    pub fn is_in_form(&self) -> bool {
        let sorted = self
            .rings
            .windows(2)
            .all(|pair| matches!(pair, [a, b] if a.ring < b.ring));
        sorted
            && (1..=MAX_RINGS).contains(&self.rings.len())
            && self.people.len() <= MAX_RINGS
            && self.envelope.len() <= MAX_ENVELOPE_BYTES
    }

    /// The generation of a ring that it is sealed for.
    #[must_use]
    pub fn generation_of(&self, ring: &RingId) -> Option<u32> {
        let found = self.rings.iter().find(|sealed| sealed.ring == *ring);
        found.map(|sealed| sealed.generation)
    }
}

/// What is in an envelope.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Inside {
    /// The age X25519 identity of the blob.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub identity: [u8; 32],
    /// The file's name.
    #[n(1)]
    pub name: String,
    /// Media type by content.
    #[n(2)]
    pub media_type: String,
    /// BLAKE3 of the file, without its padding.
    #[n(3)]
    pub plain_hash: Hash32,
    /// The file's length, without its padding.
    #[n(4)]
    pub plain_bytes: u64,
    /// The op's thread and seat: an envelope in anybody else's op isn't theirs.
    #[n(5)]
    pub thread: ThreadId,
    /// Who sealed it.
    #[n(6)]
    pub seat: SeatId,
}

impl std::fmt::Debug for Inside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Inside")
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        use zeroize::Zeroize;
        self.identity.zeroize();
        self.name.zeroize();
        self.media_type.zeroize();
    }
}

impl Inside {
    /// The item and zeros; none if it doesn't fit.
    #[must_use]
    pub fn to_padded(&self) -> Option<Zeroizing<Vec<u8>>> {
        let item = Zeroizing::new(cbor::encode(self));
        let mut padded = Zeroizing::new(vec![0; INSIDE_BYTES]);
        padded.get_mut(..item.len())?.copy_from_slice(&item);
        Some(padded)
    }

    /// Reads an opened envelope; none if it isn't in its one form.
    #[must_use]
    pub fn from_padded(padded: &[u8]) -> Option<Self> {
        let (item, zeros) = padded.split_at_checked(cbor::item_end(padded).ok()?)?;
        if padded.len() != INSIDE_BYTES || zeros.iter().any(|byte| *byte != 0) {
            return None;
        }
        cbor::decode(item).ok()
    }
}

/// The size class of a file: Padmé (Nikitin et al., "Reducing Metadata Leakage from Encrypted
/// Files and Communication with PURBs", PETS 2019), and no less than [`MIN_PADDED_BYTES`]. It adds
/// at most 12 %, less the larger the file, and tells of a length of n bits but log n bits.
#[must_use]
pub const fn padded_bytes(plain_bytes: u64) -> u64 {
    if plain_bytes <= MIN_PADDED_BYTES {
        return MIN_PADDED_BYTES;
    }
    let exponent = plain_bytes.ilog2();
    let kept_bits = exponent.ilog2() + 1;
    let mask = (1_u64 << (exponent - kept_bits)) - 1;
    match plain_bytes.checked_add(mask) {
        Some(sum) => sum & !mask,
        None => u64::MAX,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use proptest::prelude::*;

    fn inside(name: String) -> Inside {
        Inside {
            identity: [1; 32],
            name,
            media_type: "application/octet-stream".to_owned(),
            plain_hash: Hash32([2; 32]),
            plain_bytes: u64::MAX,
            thread: ThreadId([3; 16]),
            seat: SeatId([4; 16]),
        }
    }

    #[test]
    fn every_name_fits_and_looks_alike_from_outside() {
        for bytes in [1, 20, MAX_NAME_BYTES] {
            let inside = inside("n".repeat(bytes));
            let padded = inside.to_padded().unwrap();
            assert_eq!(padded.len(), INSIDE_BYTES);
            assert!(Inside::from_padded(&padded) == Some(inside));
        }
        assert!(inside("n".repeat(INSIDE_BYTES)).to_padded().is_none());
        let mut padded = inside("n".to_owned()).to_padded().unwrap();
        assert!(Inside::from_padded(&padded[..INSIDE_BYTES - 1]).is_none());
        padded[INSIDE_BYTES - 1] = 1;
        assert!(Inside::from_padded(&padded).is_none());
    }

    proptest! {
        #[test]
        fn padding_adds_little_and_only_rises(bytes in 0_u64..1 << 40) {
            let padded = padded_bytes(bytes);
            prop_assert!(padded >= bytes && padded >= MIN_PADDED_BYTES);
            prop_assert!(padded == MIN_PADDED_BYTES || (padded - bytes) * 100 <= bytes * 12);
            prop_assert!(padded_bytes(bytes + 1) >= padded);
            prop_assert_eq!(padded_bytes(padded), padded);
        }
    }
}
