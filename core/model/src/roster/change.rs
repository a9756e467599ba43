//! What a roster op says: the changes in its clear body, and their one encoding.
//!
//! A body is `[state digest after, [change…]]`, a change `[kind, {fields}]`. Unknown kinds and
//! fields survive in the op's bytes; here they are only recognised.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

use crate::cbor::{self, CborError};
use crate::hash::{h, h16, label};
use crate::ids::{
    CompanyId, DeviceId, Hash32, OpId, PublicKey, RingId, RosterDigest, RosterPosition, SeatId,
    Signature, StrandHead, ThreadId,
};
use crate::x25519;

/// A public encryption key with type and length, so that hybrid recipients fit later.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Recipient {
    /// 1 = age X25519, 32 bytes.
    #[n(0)]
    pub kind: u8,
    /// The key.
    #[n(1)]
    pub key: ByteVec,
}

impl Recipient {
    /// The type of an age X25519 recipient.
    pub const X25519: u8 = 1;

    /// An age X25519 recipient.
    #[must_use]
    pub fn x25519(key: [u8; 32]) -> Self {
        Self {
            kind: Self::X25519,
            key: key.to_vec().into(),
        }
    }

    /// Whether something can be sealed to it.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        let key = self.key.as_slice().try_into();
        self.kind == Self::X25519 && key.is_ok_and(|key| x25519::usable(key).is_some())
    }

    /// The ring whose first recipient this is.
    #[must_use]
    pub fn ring(&self) -> RingId {
        RingId(h16(label::RING, &[&[self.kind], &self.key]))
    }
}

macro_rules! coded {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $code:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
        #[cbor(index_only)]
        pub enum $name { $($(#[$vdoc])* #[n($code)] $variant),* }
    };
}

coded!(
    /// What a person may do; each includes the ones before it.
    Role {
        /// Works in a crew.
        Crew = 1,
        /// Leads; may open jobs and change members of threads they opened.
        Foreman = 2,
        /// Admits, moves, opens, changes members, unlocks, ends, erases.
        Office = 3,
        /// Also certifies office people and devices, and the hub.
        Admin = 4,
    }
);
coded!(
    /// Who opens a ring.
    RingKind {
        /// The devices of a crew, or a foreman's.
        Crew = 1,
        /// A person's seats.
        Person = 2,
        /// The office's devices.
        Office = 3,
        /// The recovery kit.
        Recovery = 4,
    }
);
coded!(
    /// Where a device stands.
    DeviceKind {
        /// A crew's or foreman's phone or tablet.
        Phone = 1,
        /// A PC or tablet of the office; opens the office ring.
        Office = 2,
    }
);
coded!(
    /// What a seat certificate is for.
    SeatKind {
        /// A person on a device.
        Person = 1,
        /// The device itself: `seen`, keys, blob states; no content.
        Device = 2,
        /// A customer in a side thread.
        Guest = 3,
        /// An importer of old material.
        Import = 4,
    }
);
coded!(
    /// Where a seat's rights hold.
    Scope {
        /// Everywhere its rings are members.
        All = 1,
        /// Only in threads that certify it.
        Threads = 2,
    }
);
coded!(
    /// How a right ends.
    EndMode {
        /// Ops that name an earlier position still count, marked late.
        Soft = 1,
        /// Ops beyond the cut count without that right.
        Hard = 2,
    }
);

/// A ring's secret for one device or ring, as an age file.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Wrap {
    /// Device, seat or ring id.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub to: [u8; 16],
    /// The age file.
    #[n(1)]
    pub file: ByteVec,
}

/// The company begins.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Found {
    /// The root's signing key; its hash is the company id.
    #[n(0)]
    pub root_key: PublicKey,
}

/// A ring, or a new generation of one.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct RingGeneration {
    /// The ring: hash of its first recipient.
    #[n(0)]
    pub ring: RingId,
    /// Who opens it.
    #[n(1)]
    pub kind: RingKind,
    /// From 1, dense.
    #[n(2)]
    pub generation: u32,
    /// Its public key.
    #[n(3)]
    pub recipient: Recipient,
    /// Its secret, for each who opens it.
    #[n(4)]
    pub wraps: Vec<Wrap>,
    /// The secret of the generation before, sealed to this one.
    #[n(5)]
    pub previous_sealed: Option<ByteVec>,
}

/// More wraps of a ring's newest generation: a new device opens it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct RingWraps {
    /// The ring.
    #[n(0)]
    pub ring: RingId,
    /// Which generation.
    #[n(1)]
    pub generation: u32,
    /// The wraps.
    #[n(2)]
    pub wraps: Vec<Wrap>,
}

/// A device.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct DeviceCert {
    /// The key of its device seat and of its login; its hash is the device id.
    #[n(0)]
    pub key: PublicKey,
    /// What ring secrets are wrapped to.
    #[n(1)]
    pub recipient: Recipient,
    /// Where it stands.
    #[n(2)]
    pub kind: DeviceKind,
    /// The crew ring it opens.
    #[n(3)]
    pub crew: Option<RingId>,
}

/// A device goes to another crew.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Move {
    /// The device.
    #[n(0)]
    pub device: DeviceId,
    /// Its crew ring from now on.
    #[n(1)]
    pub crew: Option<RingId>,
}

/// A seat's certificate.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SeatCert {
    /// Its signing key; its hash is the seat id.
    #[n(0)]
    pub key: PublicKey,
    /// What it is for.
    #[n(1)]
    pub kind: SeatKind,
    /// The suite its ops have.
    #[n(2)]
    pub suite: u8,
    /// The device it is on.
    #[n(3)]
    pub device: DeviceId,
    /// The person (by ring); none for a device seat.
    #[n(4)]
    pub person: Option<RingId>,
    /// What it may do.
    #[n(5)]
    pub role: Role,
    /// Where.
    #[n(6)]
    pub scope: Scope,
    /// When the office should end it, ms; an act, never a reader's clock.
    #[n(7)]
    pub not_after_ms: Option<u64>,
    /// What the person's ring is wrapped to, behind the PIN; none for a device seat.
    #[n(8)]
    pub recipient: Option<Recipient>,
}

/// A seat gets another role.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct RoleChange {
    /// The seat.
    #[n(0)]
    pub seat: SeatId,
    /// Its role from now on.
    #[n(1)]
    pub role: Role,
}

/// Whose rights end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Subject {
    /// One seat.
    #[n(1)]
    Seat(#[n(0)] SeatId),
    /// A device and all seats on it.
    #[n(2)]
    Device(#[n(0)] DeviceId),
    /// A person (by ring) and all their seats.
    #[n(3)]
    Person(#[n(0)] RingId),
}

/// Where the cut list of a thread is: a part of the op, named by its hash.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct CutOfThread {
    /// The thread.
    #[n(0)]
    pub thread: ThreadId,
    /// Hash of the list ([`cut_list`]).
    #[n(1)]
    pub list: Hash32,
}

/// Rights end.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct End {
    /// Whose.
    #[n(0)]
    pub subject: Subject,
    /// How.
    #[n(1)]
    pub mode: EndMode,
    /// For a hard end: the last counted op of each strand, by thread; unlisted strands end at 0.
    #[n(2)]
    pub cuts: Vec<CutOfThread>,
    // 3 was once *below known*, which nobody wrote: it stays free.
    /// More cuts, in batches that came before it ([`CutBatch`]), by their hashes.
    #[n(4)]
    pub more: Option<Vec<Hash32>>,
}

/// Cuts of an end to come that names this batch: they don't all fit one op. By itself it does
/// nothing.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct CutBatch {
    /// The cuts, by thread.
    #[n(0)]
    pub cuts: Vec<CutOfThread>,
}

impl CutBatch {
    /// What an end names it by.
    #[must_use]
    pub fn hash(&self) -> Hash32 {
        Hash32(h(label::PART, &[&cbor::encode(self)]))
    }
}

/// The hub's signing key.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct HubKey {
    /// The key, compared by a person with what the hub prints.
    #[n(0)]
    pub key: PublicKey,
}

/// Roster ops off the chain that holds are taken up again: those that a root op undid, or those of
/// another branch, which come along.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Adopt {
    /// Whose changes hold again. Ends of a branch that comes along hold whether listed or not.
    #[n(0)]
    pub ops: Vec<OpId>,
    /// A merge: a page with ops of the other branch, from the fork or from the merge before on.
    #[n(1)]
    pub branch: Option<ByteVec>,
}

/// Another recovery kit, signed by the one before as author and by an admin's seat in the office.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct RootKey {
    /// The new root's signing key.
    #[n(0)]
    pub key: PublicKey,
    /// The recovery ring's next generation.
    #[n(1)]
    pub recipient: Recipient,
    /// The secret of the generation before, sealed to this one.
    #[n(2)]
    pub previous_sealed: ByteVec,
    /// Who agrees.
    #[n(3)]
    pub seat: SeatId,
    /// Their signature over [`RootKey::message`].
    #[n(4)]
    pub signature: Signature,
    /// The new root's signature over the same: whoever finds a company by a kit knows that it is
    /// this kit's.
    #[n(5)]
    pub proof: Signature,
}

impl RootKey {
    /// What the admin signs: this kit, for this company, at the position that the op names.
    #[must_use]
    pub fn message(
        company: &CompanyId,
        (position, digest): (RosterPosition, RosterDigest),
        key: &PublicKey,
        recipient: &Recipient,
    ) -> Vec<u8> {
        [
            label::ROOT_ROTATION.as_bytes(),
            &company.0,
            &position.0.to_be_bytes(),
            &digest.0,
            &key.0,
            &[recipient.kind],
            &recipient.key,
        ]
        .concat()
    }
}

/// One change of the roster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The company begins.
    Found(Found),
    /// A ring, or a new generation.
    Ring(RingGeneration),
    /// More wraps.
    Wraps(RingWraps),
    /// A device.
    Device(DeviceCert),
    /// A device changes crews.
    Move(Move),
    /// A seat.
    Seat(SeatCert),
    /// Another role.
    Role(RoleChange),
    /// Rights end.
    End(End),
    /// The hub's key.
    HubKey(HubKey),
    /// Ops taken up again.
    Adopt(Adopt),
    /// Another recovery kit.
    RootKey(RootKey),
    /// Cuts of an end to come.
    Cuts(CutBatch),
    /// Of a newer app.
    Unknown(u16),
}

impl<C> Encode<C> for Change {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        c: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.array(2)?;
        match self {
            Self::Found(x) => e.u16(1)?.encode_with(x, c)?,
            Self::Ring(x) => e.u16(2)?.encode_with(x, c)?,
            Self::Wraps(x) => e.u16(3)?.encode_with(x, c)?,
            Self::Device(x) => e.u16(4)?.encode_with(x, c)?,
            Self::Move(x) => e.u16(5)?.encode_with(x, c)?,
            Self::Seat(x) => e.u16(6)?.encode_with(x, c)?,
            Self::Role(x) => e.u16(7)?.encode_with(x, c)?,
            Self::End(x) => e.u16(8)?.encode_with(x, c)?,
            Self::HubKey(x) => e.u16(9)?.encode_with(x, c)?,
            Self::Adopt(x) => e.u16(10)?.encode_with(x, c)?,
            Self::RootKey(x) => e.u16(11)?.encode_with(x, c)?,
            Self::Cuts(x) => e.u16(12)?.encode_with(x, c)?,
            Self::Unknown(kind) => e.u16(*kind)?.map(0)?,
        };
        Ok(())
    }
}

impl<'b, C> Decode<'b, C> for Change {
    fn decode(d: &mut Decoder<'b>, c: &mut C) -> Result<Self, decode::Error> {
        if d.array()? != Some(2) {
            return Err(decode::Error::message("change is not a pair").at(d.position()));
        }
        Ok(match d.u16()? {
            1 => Self::Found(d.decode_with(c)?),
            2 => Self::Ring(d.decode_with(c)?),
            3 => Self::Wraps(d.decode_with(c)?),
            4 => Self::Device(d.decode_with(c)?),
            5 => Self::Move(d.decode_with(c)?),
            6 => Self::Seat(d.decode_with(c)?),
            7 => Self::Role(d.decode_with(c)?),
            8 => Self::End(d.decode_with(c)?),
            9 => Self::HubKey(d.decode_with(c)?),
            10 => Self::Adopt(d.decode_with(c)?),
            11 => Self::RootKey(d.decode_with(c)?),
            12 => Self::Cuts(d.decode_with(c)?),
            kind => {
                d.skip()?;
                Self::Unknown(kind)
            }
        })
    }
}

/// The clear body of a roster op.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct RosterBody {
    /// The digest of the state after these changes.
    #[n(0)]
    pub digest_after: RosterDigest,
    /// What changes, applied in order, all or none.
    #[n(1)]
    pub changes: Vec<Change>,
}

/// Encodes the last counted heads of a thread's strands, as a part.
#[must_use]
pub fn cut_list(heads: &[StrandHead]) -> Vec<u8> {
    cbor::encode(&heads.to_vec())
}

/// Reads a cut list.
pub fn read_cut_list(part: &[u8]) -> Result<Vec<StrandHead>, CborError> {
    cbor::decode(part)
}
