//! The op: its context, its signed form, its id and signature.
//!
//! The signed form is fixed in width and never sent; `page` has the short form that is. An op of
//! this module is only well-formed: `strand` proves it, `judge` counts it.

use ed25519_dalek::{Signature as DalekSignature, Signer, SigningKey, VerifyingKey};

use crate::hash::{self, h, label};
use crate::ids::{
    CompanyId, Hash32, KeyId, OpId, PublicKey, RosterDigest, RosterPosition, SeatId, Signature,
    StoreId, Strand, ThreadId,
};

/// The only suite so far: BLAKE3, Ed25519, ChaCha20-Poly1305.
pub const SUITE_1: u8 = 1;
/// Bytes of the context.
pub const CONTEXT_BYTES: usize = 194;
/// Bytes of the signed form.
pub const SIGNED_FORM_BYTES: usize = CONTEXT_BYTES + 36;
/// Largest body of a data op in bytes.
pub const MAX_BODY_BYTES: usize = 64 * 1024;
/// Largest payload of any op: a body, its salt and its tag.
pub const MAX_PAYLOAD_BYTES: usize = MAX_BODY_BYTES + 28;
/// Largest extension in bytes.
pub const MAX_EXTENSION_BYTES: usize = 1024;
/// A writer raises the lamport by at most this over the strand's previous op.
pub const MAX_LAMPORT_STEP: u64 = 1 << 32;

/// Who can read an op and what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Encrypted: everything a person would call content.
    Data,
    /// Clear: what the hub routes by.
    Control,
    /// Clear: the one chain of people, devices and rings.
    Roster,
}

/// Whether an app that doesn't know an op's kind may pass over it (bit 7 of the class byte).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unknown {
    /// It may.
    MayBePassedOver,
    /// It must wait for a newer app.
    MustBeUnderstood,
}

/// Class and bit 7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClassByte {
    /// What the op is for.
    pub class: Class,
    /// What an older app does with it.
    pub unknown: Unknown,
}

impl ClassByte {
    /// A class whose unknown kinds may be passed over.
    #[must_use]
    pub const fn plain(class: Class) -> Self {
        Self {
            class,
            unknown: Unknown::MayBePassedOver,
        }
    }

    /// The byte in the signed form.
    #[must_use]
    pub const fn to_byte(self) -> u8 {
        let class = match self.class {
            Class::Data => 1,
            Class::Control => 2,
            Class::Roster => 3,
        };
        match self.unknown {
            Unknown::MayBePassedOver => class,
            Unknown::MustBeUnderstood => class | 0x80,
        }
    }

    /// The class of a byte; `None` for bytes that are none.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        let class = match byte & 0x7f {
            1 => Class::Data,
            2 => Class::Control,
            3 => Class::Roster,
            _ => return None,
        };
        let unknown = if byte & 0x80 == 0 {
            Unknown::MayBePassedOver
        } else {
            Unknown::MustBeUnderstood
        };
        Some(Self { class, unknown })
    }
}

/// Everything about an op but its payload: 194 bytes in the signed form, and the associated data
/// of the payload's encryption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    /// Suite; equals that of the seat's certificate.
    pub suite: u8,
    /// Class and bit 7.
    pub class: ClassByte,
    /// The tenant.
    pub company: CompanyId,
    /// The thread.
    pub thread: ThreadId,
    /// Who signs.
    pub seat: SeatId,
    /// From which database.
    pub store: StoreId,
    /// Place in the strand, from 1.
    pub seq: u32,
    /// The strand's op before it; zero at seq 1.
    pub previous: OpId,
    /// The roster position its author knew.
    pub roster: RosterPosition,
    /// The state's digest there.
    pub roster_digest: RosterDigest,
    /// The thread key of the payload; zero: clear.
    pub key: KeyId,
    /// Logical time: exceeds all the author had seen.
    pub lamport: u64,
    /// The device's wall clock, ms since 1970; shown, never judged by.
    pub time_ms: u64,
    /// Hash of the extension; zero: none.
    pub extension_hash: Hash32,
}

impl Context {
    /// The strand it belongs to.
    #[must_use]
    pub const fn strand(&self) -> Strand {
        Strand {
            thread: self.thread,
            seat: self.seat,
            store: self.store,
        }
    }

    /// The fixed-width form, big-endian.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; CONTEXT_BYTES] {
        let mut out = Cursor::<CONTEXT_BYTES>::new();
        out.put(&[self.suite, self.class.to_byte()]);
        out.put(&self.company.0);
        out.put(&self.thread.0);
        out.put(&self.seat.0);
        out.put(&self.store.0);
        out.put(&self.seq.to_be_bytes());
        out.put(&self.previous.0);
        out.put(&self.roster.0.to_be_bytes());
        out.put(&self.roster_digest.0);
        out.put(&self.key.0);
        out.put(&self.lamport.to_be_bytes());
        out.put(&self.time_ms.to_be_bytes());
        out.put(&self.extension_hash.0);
        out.bytes
    }

    /// Reads the fixed-width form; `None` for an unknown class.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; CONTEXT_BYTES]) -> Option<Self> {
        let mut from = Reader(bytes);
        let [suite, class] = from.take()?;
        Some(Self {
            suite,
            class: ClassByte::from_byte(class)?,
            company: CompanyId(from.take()?),
            thread: ThreadId(from.take()?),
            seat: SeatId(from.take()?),
            store: StoreId(from.take()?),
            seq: u32::from_be_bytes(from.take()?),
            previous: OpId(from.take()?),
            roster: RosterPosition(u32::from_be_bytes(from.take()?)),
            roster_digest: RosterDigest(from.take()?),
            key: KeyId(from.take()?),
            lamport: u64::from_be_bytes(from.take()?),
            time_ms: u64::from_be_bytes(from.take()?),
            extension_hash: Hash32(from.take()?),
        })
    }
}

struct Cursor<const N: usize> {
    bytes: [u8; N],
    at: usize,
}

impl<const N: usize> Cursor<N> {
    const fn new() -> Self {
        Self {
            bytes: [0; N],
            at: 0,
        }
    }

    fn put(&mut self, part: &[u8]) {
        for (to, from) in self.bytes.iter_mut().skip(self.at).zip(part) {
            *to = *from;
        }
        self.at += part.len();
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.0.split_first_chunk()?;
        self.0 = tail;
        Some(*head)
    }
}

/// What is hashed and signed: context, payload length and payload hash. 230 bytes, never sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedForm {
    /// All but the payload.
    pub context: Context,
    /// Payload length in bytes.
    pub payload_bytes: u32,
    /// Payload hash.
    pub payload_hash: Hash32,
}

impl SignedForm {
    /// The fixed-width form.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; SIGNED_FORM_BYTES] {
        let mut out = Cursor::<SIGNED_FORM_BYTES>::new();
        out.put(&self.context.to_bytes());
        out.put(&self.payload_bytes.to_be_bytes());
        out.put(&self.payload_hash.0);
        out.bytes
    }

    /// Reads the fixed-width form; `None` for an unknown class.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; SIGNED_FORM_BYTES]) -> Option<Self> {
        let mut from = Reader(bytes);
        Some(Self {
            context: Context::from_bytes(&from.take()?)?,
            payload_bytes: u32::from_be_bytes(from.take()?),
            payload_hash: Hash32(from.take()?),
        })
    }

    /// The op's id.
    #[must_use]
    pub fn id(&self) -> OpId {
        OpId(hash::OP_ID.h(&self.to_bytes()))
    }
}

/// The hash under which a payload is named.
#[must_use]
pub fn payload_hash(payload: &[u8]) -> Hash32 {
    Hash32(hash::PAYLOAD.h(payload))
}

/// The hash under which an extension is named.
#[must_use]
pub fn extension_hash(extension: &[u8]) -> Hash32 {
    Hash32(h(label::EXTENSION, &[extension]))
}

/// An op as it is kept: signed form, extension, and the payload unless it is absent (erased,
/// refused, withheld, or a mere link).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Op {
    /// What is signed.
    pub form: SignedForm,
    /// Clear CBOR of a newer app, kept unread.
    pub extension: Option<Vec<u8>>,
    /// The payload whose hash the form has.
    pub payload: Option<Vec<u8>>,
}

impl Op {
    /// A new op around its payload.
    #[must_use]
    pub fn new(context: Context, payload: Vec<u8>) -> Self {
        let form = SignedForm {
            context,
            payload_bytes: u32::try_from(payload.len()).unwrap_or(u32::MAX),
            payload_hash: payload_hash(&payload),
        };
        Self {
            form,
            extension: None,
            payload: Some(payload),
        }
    }

    /// The context.
    #[must_use]
    pub const fn context(&self) -> &Context {
        &self.form.context
    }
}

fn signature_message(id: &OpId) -> Vec<u8> {
    [label::OP_SIGNATURE.as_bytes(), &id.0].concat()
}

/// Signs an op's id as its seat.
#[must_use]
pub fn sign(key: &SigningKey, id: &OpId) -> Signature {
    Signature(key.sign(&signature_message(id)).to_bytes())
}

/// Whether the signature over an op's id is this key's (`verify_strict`: no malleable forms, no
/// weak keys).
#[must_use]
pub fn signature_is_good(key: &PublicKey, id: &OpId, signature: &Signature) -> bool {
    signed_by(key, &signature_message(id), signature)
}

/// `verify_strict` of any labelled message.
#[must_use]
pub fn signed_by(key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
    VerifyingKey::from_bytes(&key.0).is_ok_and(|key| {
        key.verify_strict(message, &DalekSignature::from_bytes(&signature.0))
            .is_ok()
    })
}
