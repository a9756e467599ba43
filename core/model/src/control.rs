//! Control bodies: what the hub may read because it must route. Ids, members, wrapped keys; never
//! a name, a text or a reason in words.
//!
//! A body is `[kind, {fields}]`; a kind this app doesn't know stays in the log and is passed on.

use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

use crate::cbor::{self, CborError};
use crate::hash::{h16, label};
use crate::ids::{
    BlobId, CompanyId, Hash32, Head, KeyId, OpId, OpName, RingId, SeatId, StoreId, ThreadId,
};
use crate::key;

/// What a thread is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum ThreadKind {
    /// Names, labels, policies of the whole company.
    #[n(1)]
    Company,
    /// A building site or order.
    #[n(2)]
    Job,
    /// A crew among itself and with the office.
    #[n(3)]
    Crew,
    /// A few people, without the office.
    #[n(4)]
    Direct,
    /// With a customer.
    #[n(5)]
    Guest,
}

/// A thread begins. Its id is the hash of this body, so it can't be made twice.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Opened {
    /// What it is for.
    #[n(0)]
    pub kind: ThreadKind,
    /// The main thread of a side thread.
    #[n(1)]
    pub parent: Option<ThreadId>,
    /// A member from the start.
    #[n(2)]
    pub owner: RingId,
    /// 16 random bytes.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub random: [u8; 16],
}

impl Opened {
    /// The id of the thread that this body opens, by its opener.
    #[must_use]
    pub fn thread(body: &[u8], company: &CompanyId, opener: &SeatId) -> ThreadId {
        ThreadId(h16(label::THREAD, &[&company.0, &opener.0, body]))
    }
}

/// The last op of a strand of this thread that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct StrandCut {
    /// Whose strand.
    #[n(0)]
    pub seat: SeatId,
    /// From which store.
    #[n(1)]
    pub store: StoreId,
    /// How far.
    #[n(2)]
    pub head: Head,
}

/// Ops of a strand, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Span {
    /// Whose strand.
    #[n(0)]
    pub seat: SeatId,
    /// From which store.
    #[n(1)]
    pub store: StoreId,
    /// First seq.
    #[n(2)]
    pub from: u32,
    /// Last seq.
    #[n(3)]
    pub to: u32,
}

/// In or out.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum MemberChange {
    /// A member; after an out, what was written meanwhile counts but for these spans.
    #[n(1)]
    In {
        /// What stays out.
        #[n(0)]
        stays_out: Vec<Span>,
    },
    /// No member beyond this cut; unlisted strands end at 0.
    #[n(2)]
    Out {
        /// The last op that counts, by strand.
        #[n(0)]
        cut: Vec<StrandCut>,
    },
}

/// A write to the membership field of a ring.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct MemberWrite {
    /// Which ring.
    #[n(0)]
    pub ring: RingId,
    /// In or out.
    #[n(1)]
    pub change: MemberChange,
    /// The writes it replaces.
    #[n(2)]
    pub names: Vec<OpName>,
}

/// Members change.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Members {
    /// Each ring at most once.
    #[n(0)]
    pub writes: Vec<MemberWrite>,
}

/// A ring that a key is for, and the file it opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct KeyRing {
    /// The ring.
    #[n(0)]
    pub ring: RingId,
    /// Its generation.
    #[n(1)]
    pub generation: u32,
    /// Index into the key's files.
    #[n(2)]
    pub file: u16,
}

/// An earlier history secret, sealed under this key's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct KeySeal {
    /// The earlier key.
    #[n(0)]
    pub earlier: KeyId,
    /// Hash of the sealed secret (a part).
    #[n(1)]
    pub sealed: Hash32,
}

/// A thread key, for the rings it names.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct KeyMade {
    /// The key's full hash.
    #[n(0)]
    pub hash: Hash32,
    /// For whom, sorted by ring.
    #[n(1)]
    pub rings: Vec<KeyRing>,
    /// Hashes of the age files (parts), each to at most 64 recipients.
    #[n(2)]
    pub files: Vec<Hash32>,
    /// Earlier secrets (parts).
    #[n(3)]
    pub seals: Vec<KeySeal>,
}

impl KeyMade {
    /// The key's name.
    #[must_use]
    pub fn key(&self) -> KeyId {
        key::id_of(&self.hash)
    }

    /// The hashes of the parts that someone with these rings needs: their files, and all seals.
    #[must_use]
    pub fn parts_for(&self, rings: &[RingId]) -> Vec<Hash32> {
        let files = self
            .rings
            .iter()
            .filter(|entry| rings.contains(&entry.ring))
            .filter_map(|entry| self.files.get(usize::from(entry.file)).copied());
        let mut parts: Vec<Hash32> = files
            .chain(self.seals.iter().map(|seal| seal.sealed))
            .collect();
        parts.sort_unstable();
        parts.dedup();
        parts
    }

    /// The hashes of all parts.
    #[must_use]
    pub fn all_parts(&self) -> Vec<Hash32> {
        self.files
            .iter()
            .copied()
            .chain(self.seals.iter().map(|seal| seal.sealed))
            .collect()
    }
}

/// What is wrong with a wrap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Wrong {
    /// The file doesn't open for the ring it is said to be for.
    #[n(1)]
    DoesNotOpen,
    /// It opens to another key than the op names.
    #[n(2)]
    AnotherKey,
}

/// A wrap is wrong: nobody sends under this key until it is made good.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Complaint {
    /// The key op.
    #[n(0)]
    pub key_op: OpId,
    /// Whose wrap.
    #[n(1)]
    pub ring: RingId,
    /// What is wrong.
    #[n(2)]
    pub wrong: Wrong,
}

/// The office lets quarantined ops of a seat count, as far as it says.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Admit {
    /// How far, by strand.
    #[n(0)]
    pub through: Vec<StrandCut>,
}

/// Why payloads were erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum EraseReason {
    /// Someone's personal data.
    #[n(1)]
    PersonalData,
    /// Sent by mistake.
    #[n(2)]
    Mistake,
    /// Its time of keeping is over.
    #[n(3)]
    Expired,
}

/// Payloads go; their signed forms stay.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Erase {
    /// Data or key ops of this thread.
    #[n(0)]
    pub ops: Vec<OpId>,
    /// Why.
    #[n(1)]
    pub reason: EraseReason,
    /// The blobs that go with them: the hub can't read which are whose.
    #[n(2)]
    pub blobs: Option<Vec<BlobId>>,
    /// Days until they are destroyed, as the author knew the company's policy: for the hub, which
    /// can't read it.
    #[n(3)]
    pub days: Option<u16>,
}

/// A wrap that was complained of is made good: the key's secret in a file of its own for that ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct WrappedAgain {
    /// The key op.
    #[n(0)]
    pub key_op: OpId,
    /// For which ring.
    #[n(1)]
    pub ring: RingId,
    /// For which of its generations.
    #[n(2)]
    pub generation: u32,
    /// Hash of the age file (a part).
    #[n(3)]
    pub file: Hash32,
}

/// A control body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Control {
    /// A thread begins.
    Opened(Opened),
    /// Members change.
    Members(Members),
    /// A thread key.
    KeyMade(KeyMade),
    /// A wrap is wrong.
    Complaint(Complaint),
    /// Quarantined ops count.
    Admit(Admit),
    /// Payloads go.
    Erase(Erase),
    /// A wrong wrap is made good.
    WrappedAgain(WrappedAgain),
    /// Of a newer app.
    Unknown(u16),
}

impl<C> Encode<C> for Control {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        c: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.array(2)?;
        match self {
            Self::Opened(x) => e.u16(1)?.encode_with(x, c)?,
            Self::Members(x) => e.u16(2)?.encode_with(x, c)?,
            Self::KeyMade(x) => e.u16(3)?.encode_with(x, c)?,
            Self::Complaint(x) => e.u16(4)?.encode_with(x, c)?,
            Self::Admit(x) => e.u16(5)?.encode_with(x, c)?,
            Self::Erase(x) => e.u16(6)?.encode_with(x, c)?,
            Self::WrappedAgain(x) => e.u16(7)?.encode_with(x, c)?,
            Self::Unknown(kind) => e.u16(*kind)?.map(0)?,
        };
        Ok(())
    }
}

impl<'b, C> Decode<'b, C> for Control {
    fn decode(d: &mut Decoder<'b>, c: &mut C) -> Result<Self, decode::Error> {
        if d.array()? != Some(2) {
            return Err(decode::Error::message("control body is not a pair"));
        }
        Ok(match d.u16()? {
            1 => Self::Opened(d.decode_with(c)?),
            2 => Self::Members(d.decode_with(c)?),
            3 => Self::KeyMade(d.decode_with(c)?),
            4 => Self::Complaint(d.decode_with(c)?),
            5 => Self::Admit(d.decode_with(c)?),
            6 => Self::Erase(d.decode_with(c)?),
            7 => Self::WrappedAgain(d.decode_with(c)?),
            kind => {
                d.skip()?;
                Self::Unknown(kind)
            }
        })
    }
}

/// Reads a control payload.
pub fn read(payload: &[u8]) -> Result<Control, CborError> {
    let body = crate::payload::clear_body(payload).map_err(|_| CborError::Malformed)?;
    cbor::decode(body)
}
