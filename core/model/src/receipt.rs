//! What the hub signs: op receipts, blob receipts and possession answers.
//!
//! A screen's promise changes by such a signature only. Nothing here decides which hub key is the
//! company's: the roster does.

use ed25519_dalek::{Signer, SigningKey};
use minicbor::{Decode, Encode};

use crate::hash::{h, label};
use crate::ids::{BlobId, CompanyId, Hash32, HubEpoch, PublicKey, Signature, StrandHead};
use crate::op::signed_by;

/// The hub holds a strand through a head.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct OpReceipt {
    /// The strand and how far.
    #[n(0)]
    pub through: StrandHead,
    /// The hub's life.
    #[n(1)]
    pub epoch: HubEpoch,
    /// The company's sequence at the hub, of this head.
    #[n(2)]
    pub hub_seq: u64,
    /// The hub's clock in ms.
    #[n(3)]
    pub time_ms: u64,
    /// The hub's signature.
    #[n(4)]
    pub signature: Signature,
    /// The hub's short name for the strand within (company, epoch); not signed, since a wrong one
    /// can but fail a signature later.
    #[n(5)]
    pub handle: u64,
}

/// The hub holds a whole blob.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct BlobReceipt {
    /// The ciphertext's hash.
    #[n(0)]
    pub blob: BlobId,
    /// Its length in bytes.
    #[n(1)]
    pub sealed_bytes: u64,
    /// The hub's life.
    #[n(2)]
    pub epoch: HubEpoch,
    /// The hub sequence its completion took.
    #[n(3)]
    pub hub_seq: u64,
    /// The hub's clock in ms.
    #[n(4)]
    pub time_ms: u64,
    /// The hub's signature.
    #[n(5)]
    pub signature: Signature,
}

/// A slice of a blob that a possession challenge names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Slice {
    /// First byte.
    #[n(0)]
    pub from: u64,
    /// How many bytes; at most [`MAX_SLICE_BYTES`].
    #[n(1)]
    pub bytes: u32,
}

/// Largest slice of a possession challenge.
pub const MAX_SLICE_BYTES: u32 = 64 * 1024;
/// Most slices of a possession challenge.
pub const MAX_SLICES: usize = 16;

/// The hub shows that it still holds a blob, by hashing slices it couldn't foresee.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Possession {
    /// The blob.
    #[n(0)]
    pub blob: BlobId,
    /// The asker's nonce.
    #[n(1)]
    pub nonce: Hash32,
    /// Hash over the named slices.
    #[n(2)]
    pub slices_hash: Hash32,
    /// The hub's signature.
    #[n(3)]
    pub signature: Signature,
}

/// The hash a possession answer must have; slices as the challenge names them, in order.
#[must_use]
pub fn slices_hash(nonce: &Hash32, slices: &[(Slice, Vec<u8>)]) -> Hash32 {
    let mut parts: Vec<Vec<u8>> = vec![nonce.0.to_vec()];
    for (slice, bytes) in slices {
        parts.push(slice.from.to_be_bytes().to_vec());
        parts.push(slice.bytes.to_be_bytes().to_vec());
        parts.push(bytes.clone());
    }
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    Hash32(h(label::POSSESSION_SLICES, &parts))
}

fn sign(key: &SigningKey, message: &[u8]) -> Signature {
    Signature(key.sign(message).to_bytes())
}

impl OpReceipt {
    fn message(&self, company: &CompanyId) -> Vec<u8> {
        let StrandHead { strand, head } = &self.through;
        [
            label::OP_RECEIPT.as_bytes(),
            &company.0,
            &strand.thread.0,
            &strand.seat.0,
            &strand.store.0,
            &head.seq.to_be_bytes(),
            &head.id.0,
            &self.epoch.0,
            &self.hub_seq.to_be_bytes(),
            &self.time_ms.to_be_bytes(),
        ]
        .concat()
    }

    /// A signed receipt.
    #[must_use]
    pub fn new(
        key: &SigningKey,
        company: &CompanyId,
        through: StrandHead,
        (epoch, hub_seq): (HubEpoch, u64),
        time_ms: u64,
        handle: u64,
    ) -> Self {
        let mut receipt = Self {
            through,
            epoch,
            hub_seq,
            time_ms,
            signature: Signature::ZERO,
            handle,
        };
        receipt.signature = sign(key, &receipt.message(company));
        receipt
    }

    /// Whether it is this hub key's receipt for this company.
    #[must_use]
    pub fn is_good(&self, key: &PublicKey, company: &CompanyId) -> bool {
        signed_by(key, &self.message(company), &self.signature)
    }
}

impl BlobReceipt {
    fn message(&self, company: &CompanyId) -> Vec<u8> {
        [
            label::BLOB_RECEIPT.as_bytes(),
            &company.0,
            &self.blob.0,
            &self.sealed_bytes.to_be_bytes(),
            &self.epoch.0,
            &self.hub_seq.to_be_bytes(),
            &self.time_ms.to_be_bytes(),
        ]
        .concat()
    }

    /// A signed receipt.
    #[must_use]
    pub fn new(
        key: &SigningKey,
        company: &CompanyId,
        (blob, sealed_bytes): (BlobId, u64),
        (epoch, hub_seq): (HubEpoch, u64),
        time_ms: u64,
    ) -> Self {
        let mut receipt = Self {
            blob,
            sealed_bytes,
            epoch,
            hub_seq,
            time_ms,
            signature: Signature::ZERO,
        };
        receipt.signature = sign(key, &receipt.message(company));
        receipt
    }

    /// Whether it is this hub key's receipt for this company.
    #[must_use]
    pub fn is_good(&self, key: &PublicKey, company: &CompanyId) -> bool {
        signed_by(key, &self.message(company), &self.signature)
    }
}

impl Possession {
    fn message(&self, company: &CompanyId) -> Vec<u8> {
        [
            label::POSSESSION.as_bytes(),
            &company.0,
            &self.blob.0,
            &self.nonce.0,
            &self.slices_hash.0,
        ]
        .concat()
    }

    /// A signed answer.
    #[must_use]
    pub fn new(
        key: &SigningKey,
        company: &CompanyId,
        blob: BlobId,
        nonce: Hash32,
        slices_hash: Hash32,
    ) -> Self {
        let mut answer = Self {
            blob,
            nonce,
            slices_hash,
            signature: Signature::ZERO,
        };
        answer.signature = sign(key, &answer.message(company));
        answer
    }

    /// Whether it is this hub key's answer for this company.
    #[must_use]
    pub fn is_good(&self, key: &PublicKey, company: &CompanyId) -> bool {
        signed_by(key, &self.message(company), &self.signature)
    }
}
