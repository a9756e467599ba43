//! Ids, positions and clocks as types of their own, so that none is taken for another.
//!
//! Ids of keyed things are hashes of their first public key and prove themselves; nothing here
//! invents an id.

use core::fmt;
use core::str::FromStr;

use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

use crate::hash::{h16, label};

/// An id that is not as many hex digits as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id in hex")]
pub struct BadId;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;
            /// All zeros: "none" where a format says so.
            pub const ZERO: Self = Self([0; $len]);

            /// The bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "("))?;
                self.0.iter().take(4).try_for_each(|b| write!(f, "{b:02x}"))?;
                f.write_str(")")
            }
        }

        impl FromStr for $name {
            type Err = BadId;
            fn from_str(s: &str) -> Result<Self, BadId> {
                let digits = s.as_bytes();
                if digits.len() != $len * 2 {
                    return Err(BadId);
                }
                let mut out = [0u8; $len];
                for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
                    for digit in pair {
                        let value = match digit {
                            b'0'..=b'9' => digit - b'0',
                            b'a'..=b'f' => digit - b'a' + 10,
                            _ => return Err(BadId),
                        };
                        *byte = *byte << 4 | value;
                    }
                }
                Ok(Self(out))
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = BadId;
            fn try_from(bytes: &[u8]) -> Result<Self, BadId> {
                bytes.try_into().map(Self).map_err(|_| BadId)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'_, str>>::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl<C> Encode<C> for $name {
            fn encode<W: encode::Write>(
                &self,
                e: &mut Encoder<W>,
                _: &mut C,
            ) -> Result<(), encode::Error<W::Error>> {
                e.bytes(&self.0)?.ok()
            }
        }

        impl<'b, C> Decode<'b, C> for $name {
            fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
                let at = d.position();
                Self::try_from(d.bytes()?)
                    .map_err(|_| decode::Error::message("id of another length").at(at))
            }
        }
    };
}

id!(
    /// The tenant: hash of its first root key, so that a roster proves itself.
    CompanyId, 16
);
id!(
    /// A message stream; the roster is one too.
    ThreadId, 16
);
id!(
    /// A person (or a device itself) on a device, by its signing key.
    SeatId, 16
);
id!(
    /// An enrolled phone, tablet or PC.
    DeviceId, 16
);
id!(
    /// An encryption identity: of a crew, a person, the office, or recovery.
    ///
    /// People and crews are named by their rings.
    RingId, 16
);
id!(
    /// A thread key, by what it is; zero = clear payload.
    KeyId, 16
);
id!(
    /// One database's life; drawn anew after a restore, clone or fork. Zero in the roster.
    StoreId, 8
);
id!(
    /// An op, by its signed form.
    OpId, 32
);
id!(
    /// A blob: plain BLAKE3 of its ciphertext.
    BlobId, 32
);
id!(
    /// The digest of a roster state.
    RosterDigest, 32
);
id!(
    /// A 32-byte hash with a label of its own.
    Hash32, 32
);
id!(
    /// An Ed25519 public key.
    PublicKey, 32
);
id!(
    /// An Ed25519 signature.
    Signature, 64
);
id!(
    /// The hub's life: 8 random bytes, new after a restore.
    HubEpoch, 8
);

impl CompanyId {
    /// The company that this root key founds.
    #[must_use]
    pub fn of_root(key: &PublicKey) -> Self {
        Self(h16(label::COMPANY, &[&key.0]))
    }

    /// The thread of the roster.
    #[must_use]
    pub fn roster_thread(&self) -> ThreadId {
        ThreadId(h16(label::ROSTER_THREAD, &[&self.0]))
    }
}

impl SeatId {
    /// The seat that signs with this key.
    #[must_use]
    pub fn of_key(key: &PublicKey) -> Self {
        Self(h16(label::SEAT, &[&key.0]))
    }
}

impl DeviceId {
    /// The device whose own seat signs with this key.
    #[must_use]
    pub fn of_key(key: &PublicKey) -> Self {
        Self(h16(label::DEVICE, &[&key.0]))
    }
}

impl OpId {
    /// The 16 bytes by which a later write names this op as replaced.
    #[must_use]
    pub fn short(&self) -> OpName {
        OpName(crate::hash::first16(&self.0))
    }
}

id!(
    /// The first 16 bytes of an op's id, as a later write names what it replaces.
    OpName, 16
);

/// A place in the roster: term (8 bits) ‖ number (24 bits). Zero: before the founding.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct RosterPosition(pub u32);

impl RosterPosition {
    /// The largest number in a term.
    pub const MAX_NUMBER: u32 = 0x00ff_ffff;

    /// Position from term and number; numbers beyond 24 bits are refused.
    #[must_use]
    pub const fn new(term: u8, number: u32) -> Option<Self> {
        if number > Self::MAX_NUMBER {
            None
        } else {
            Some(Self((term as u32) << 24 | number))
        }
    }

    /// The term: raised by root and merge ops.
    #[must_use]
    pub const fn term(self) -> u8 {
        self.0.to_be_bytes()[0]
    }

    /// The place in the chain, from 1.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0 & Self::MAX_NUMBER
    }
}

impl fmt::Debug for RosterPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.term(), self.number())
    }
}

impl fmt::Display for RosterPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.term(), self.number())
    }
}

impl<C> Encode<C> for RosterPosition {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.u32(self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for RosterPosition {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        d.u32().map(Self)
    }
}

/// A strand: the ops of one seat, from one store, in one thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Strand {
    /// The thread it belongs to.
    #[n(0)]
    pub thread: ThreadId,
    /// Who signs.
    #[n(1)]
    pub seat: SeatId,
    /// From which database.
    #[n(2)]
    pub store: StoreId,
}

/// A place in a strand that names its op: sequence numbers alone don't tell forks apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Head {
    /// From 1, dense.
    #[n(0)]
    pub seq: u32,
    /// The op there.
    #[n(1)]
    pub id: OpId,
}

/// A head with its strand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct StrandHead {
    /// Which strand.
    #[n(0)]
    pub strand: Strand,
    /// How far.
    #[n(1)]
    pub head: Head,
}

impl StrandHead {
    /// This head's share in the sum a reader compares with the hub.
    #[must_use]
    pub fn sum(&self) -> [u8; 16] {
        h16(
            label::HEAD_SUM,
            &[
                &self.strand.thread.0,
                &self.strand.seat.0,
                &self.strand.store.0,
                &self.head.seq.to_be_bytes(),
                &self.head.id.0,
            ],
        )
    }
}

/// XOR of the sums of many heads; the order doesn't matter.
#[must_use]
pub fn head_sum<'a>(heads: impl IntoIterator<Item = &'a StrandHead>) -> [u8; 16] {
    heads.into_iter().fold([0; 16], |mut sum, head| {
        for (to, from) in sum.iter_mut().zip(head.sum()) {
            *to ^= from;
        }
        sum
    })
}
