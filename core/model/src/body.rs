//! Data bodies: what people write. The hub never sees one.
//!
//! A body is `[kind, clock offset in s or null, {fields}]`. Unknown kinds and fields survive in
//! the op's bytes; a newer kind shows as a stub.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

use crate::cbor::{self, CborError};
use crate::ids::{BlobId, Hash32, Head, OpId, OpName, PublicKey, SeatId, StoreId};
use crate::roster::change::Recipient;
use crate::sealed::Sealed;

/// A blob and what opens it. Who erases the op erases this identity.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct BlobRef {
    /// BLAKE3 of the ciphertext.
    #[n(0)]
    pub blob: BlobId,
    /// Length of the ciphertext.
    #[n(1)]
    pub sealed_bytes: u64,
    /// The age X25519 identity it is sealed to, made for it alone.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub identity: [u8; 32],
    /// BLAKE3 of the plaintext; of an original: of the bytes as captured.
    #[n(3)]
    pub plain_hash: Hash32,
    /// Length of the plaintext.
    #[n(4)]
    pub plain_bytes: u64,
}

/// A text.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Text {
    /// The words.
    #[n(0)]
    pub text: String,
    /// The entry it answers.
    #[n(1)]
    pub reply_to: Option<OpId>,
}

/// A position, as the camera wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Position {
    /// Degrees north × 10⁷.
    #[n(0)]
    pub latitude_e7: i32,
    /// Degrees east × 10⁷.
    #[n(1)]
    pub longitude_e7: i32,
}

/// A photo, in tiers.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Photo {
    /// At most 300 bytes: what shows before anything is loaded.
    #[n(0)]
    pub preview: ByteVec,
    /// Upright width of the original in px.
    #[n(1)]
    pub width: u32,
    /// Upright height of the original in px.
    #[n(2)]
    pub height: u32,
    /// 320 px.
    #[n(3)]
    pub thumb: BlobRef,
    /// 2048 px.
    #[n(4)]
    pub picture: BlobRef,
    /// As captured.
    #[n(5)]
    pub original: BlobRef,
    /// Media type of the original.
    #[n(6)]
    pub media_type: String,
    /// Capture time as the camera wrote it, local, with offset if known.
    #[n(7)]
    pub taken: Option<String>,
    /// Camera.
    #[n(8)]
    pub camera: Option<String>,
    /// Where, if the company allows.
    #[n(9)]
    pub position: Option<Position>,
    /// First caption.
    #[n(10)]
    pub caption: Option<String>,
    /// The entry it answers.
    #[n(11)]
    pub reply_to: Option<OpId>,
}

/// A voice note.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Voice {
    /// The sound.
    #[n(0)]
    pub sound: BlobRef,
    /// Media type.
    #[n(1)]
    pub media_type: String,
    /// Length in ms.
    #[n(2)]
    pub duration_ms: u64,
    /// 64 bars, 0–255.
    #[n(3)]
    pub waveform: ByteVec,
    /// First caption.
    #[n(4)]
    pub caption: Option<String>,
    /// The entry it answers.
    #[n(5)]
    pub reply_to: Option<OpId>,
}

/// A document.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Document {
    /// The file.
    #[n(0)]
    pub file: BlobRef,
    /// Its name.
    #[n(1)]
    pub name: String,
    /// Media type by content.
    #[n(2)]
    pub media_type: String,
    /// First caption.
    #[n(3)]
    pub caption: Option<String>,
    /// The entry it answers.
    #[n(4)]
    pub reply_to: Option<OpId>,
}

/// Fields that are written by [`Set`]. Codes are stable.
pub mod field {
    /// A job's title.
    pub const TITLE: u16 = 1;
    /// A job's status.
    pub const STATUS: u16 = 2;
    /// A job's address.
    pub const ADDRESS: u16 = 3;
    /// A job's customer.
    pub const CUSTOMER: u16 = 4;
    /// Name of a person, crew or device (subject: its id); company name without subject.
    pub const NAME: u16 = 5;
    /// Text of a text entry, caption of another (subject: the entry).
    pub const ENTRY_TEXT: u16 = 6;
    /// A label.
    pub const LABEL: u16 = 7;
    /// Days until what is erased is destroyed; in the company's thread.
    pub const ERASE_DAYS: u16 = 8;
    /// After how many minutes without use seats on phones lock by themselves; 0: never.
    pub const AUTO_LOCK: u16 = 10;
}

/// A write to a field.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Set {
    /// Which ([`field`]).
    #[n(0)]
    pub field: u16,
    /// Of what, within the thread.
    #[n(1)]
    pub subject: Option<ByteVec>,
    /// The value; none clears it.
    #[n(2)]
    pub value: Option<String>,
    /// The writes it replaces.
    #[n(3)]
    pub names: Vec<OpName>,
}

/// An entry is taken back; a stub stays.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Retract {
    /// The entry.
    #[n(0)]
    pub target: OpId,
    /// Why, in the author's words.
    #[n(1)]
    pub reason: Option<String>,
}

/// How far a strand was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct ReadMark {
    /// Whose strand.
    #[n(0)]
    pub seat: SeatId,
    /// From which store.
    #[n(1)]
    pub store: StoreId,
    /// Through this seq.
    #[n(2)]
    pub seq: u32,
}

/// A person has read.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Read {
    /// By strand, since late ops of another strand may sort before what was read.
    #[n(0)]
    pub marks: Vec<ReadMark>,
}

/// A strand that an office device has verified, decrypted and on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct SeenHead {
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

/// An office device has it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Seen {
    /// All strands it knows but its own `seen` ones.
    #[n(0)]
    pub heads: Vec<SeenHead>,
    /// Blobs it holds whole and has opened, since its last `seen` here.
    #[n(1)]
    pub blobs: Vec<BlobId>,
}

/// A device whose rights ended says, as its last word, that it handed over its work and removes
/// its keys and files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Wiped {
    /// Ops that no hub took and that go with it.
    #[n(0)]
    pub ops_lost: u32,
    /// Blobs, the same.
    #[n(1)]
    pub blobs_lost: u32,
}

/// A device's word about the lock of one of its people's seats; a field that is none says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SeatLocked {
    /// The seat.
    #[n(0)]
    pub seat: SeatId,
    /// A PIN was set: the lock share that belongs to it, as an age file for the office.
    #[n(1)]
    pub share: Option<ByteVec>,
    /// Five wrong PINs: the share is gone there, and comes back to this key, made for it alone.
    #[n(2)]
    pub answer_to: Option<Recipient>,
    /// The PIN is forgotten: the keys of the seat that is to replace this one.
    #[n(3)]
    pub wanted: Option<WantedSeat>,
}

/// The keys of a seat that isn't certified yet.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct WantedSeat {
    /// Signs.
    #[n(0)]
    pub key: PublicKey,
    /// What the person's ring is wrapped to.
    #[n(1)]
    pub recipient: Recipient,
}

/// The office gives a locked seat its share back: five tries again.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SeatUnlocked {
    /// The seat.
    #[n(0)]
    pub seat: SeatId,
    /// The op that said it was locked.
    #[n(1)]
    pub locked: OpId,
    /// The share, as an age file to the key that op names.
    #[n(2)]
    pub share: ByteVec,
}

/// What a data body says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Say {
    /// A text.
    Text(Text),
    /// A photo.
    Photo(Box<Photo>),
    /// A voice note.
    Voice(Box<Voice>),
    /// A document.
    Document(Box<Document>),
    /// A sealed attachment.
    Sealed(Box<Sealed>),
    /// A field.
    Set(Set),
    /// A retraction.
    Retract(Retract),
    /// Read marks.
    Read(Read),
    /// An office device has it.
    Seen(Seen),
    /// A device is gone.
    Wiped(Wiped),
    /// A device tells of a seat's lock.
    Locked(Box<SeatLocked>),
    /// The office unlocks a seat.
    Unlocked(Box<SeatUnlocked>),
    /// Of a newer app.
    Unknown(u16),
}

/// A data body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// The device's clock minus the hub's at the last contact, in s; none: unknown.
    pub offset_s: Option<i64>,
    /// What it says.
    pub say: Say,
}

impl<C> Encode<C> for Body {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        c: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        let kind = match &self.say {
            Say::Text(_) => 1,
            Say::Photo(_) => 2,
            Say::Voice(_) => 3,
            Say::Document(_) => 4,
            Say::Sealed(_) => 5,
            Say::Set(_) => 16,
            Say::Retract(_) => 17,
            Say::Read(_) => 18,
            Say::Seen(_) => 19,
            Say::Wiped(_) => 20,
            Say::Locked(_) => 21,
            Say::Unlocked(_) => 22,
            Say::Unknown(kind) => *kind,
        };
        e.array(3)?.u16(kind)?;
        match self.offset_s {
            Some(offset) => e.i64(offset)?,
            None => e.null()?,
        };
        match &self.say {
            Say::Text(x) => e.encode_with(x, c)?,
            Say::Photo(x) => e.encode_with(&**x, c)?,
            Say::Voice(x) => e.encode_with(&**x, c)?,
            Say::Document(x) => e.encode_with(&**x, c)?,
            Say::Sealed(x) => e.encode_with(&**x, c)?,
            Say::Set(x) => e.encode_with(x, c)?,
            Say::Retract(x) => e.encode_with(x, c)?,
            Say::Read(x) => e.encode_with(x, c)?,
            Say::Seen(x) => e.encode_with(x, c)?,
            Say::Wiped(x) => e.encode_with(x, c)?,
            Say::Locked(x) => e.encode_with(&**x, c)?,
            Say::Unlocked(x) => e.encode_with(&**x, c)?,
            Say::Unknown(_) => e.map(0)?,
        };
        Ok(())
    }
}

impl<'b, C> Decode<'b, C> for Body {
    fn decode(d: &mut Decoder<'b>, c: &mut C) -> Result<Self, decode::Error> {
        if d.array()? != Some(3) {
            return Err(decode::Error::message("body is not a triple"));
        }
        let kind = d.u16()?;
        let offset_s = if d.datatype()? == minicbor::data::Type::Null {
            d.null()?;
            None
        } else {
            Some(d.i64()?)
        };
        let say = match kind {
            1 => Say::Text(d.decode_with(c)?),
            2 => Say::Photo(Box::new(d.decode_with(c)?)),
            3 => Say::Voice(Box::new(d.decode_with(c)?)),
            4 => Say::Document(Box::new(d.decode_with(c)?)),
            5 => {
                let sealed: Sealed = d.decode_with(c)?;
                if !sealed.is_in_form() {
                    return Err(decode::Error::message("sealed out of form"));
                }
                Say::Sealed(Box::new(sealed))
            }
            16 => Say::Set(d.decode_with(c)?),
            17 => Say::Retract(d.decode_with(c)?),
            18 => Say::Read(d.decode_with(c)?),
            19 => Say::Seen(d.decode_with(c)?),
            20 => Say::Wiped(d.decode_with(c)?),
            21 => Say::Locked(Box::new(d.decode_with(c)?)),
            22 => Say::Unlocked(Box::new(d.decode_with(c)?)),
            kind => {
                d.skip()?;
                Say::Unknown(kind)
            }
        };
        Ok(Self { offset_s, say })
    }
}

impl Body {
    /// Reads a body's bytes.
    pub fn read(bytes: &[u8]) -> Result<Self, CborError> {
        cbor::decode(bytes)
    }

    /// The body's one encoding.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        cbor::encode(self)
    }
}

impl Say {
    /// The files of an entry that its readers open, smallest first.
    #[must_use]
    pub fn files(&self) -> Vec<&BlobRef> {
        match self {
            Self::Photo(photo) => vec![&photo.thumb, &photo.picture, &photo.original],
            Self::Voice(voice) => vec![&voice.sound],
            Self::Document(document) => vec![&document.file],
            _ => Vec::new(),
        }
    }

    /// The blobs an entry needs, smallest first, each with the length of its ciphertext.
    #[must_use]
    pub fn blobs(&self) -> Vec<(BlobId, u64)> {
        match self {
            Self::Sealed(sealed) => vec![(sealed.blob, sealed.sealed_bytes)],
            say => {
                let files = say.files().into_iter();
                files.map(|file| (file.blob, file.sealed_bytes)).collect()
            }
        }
    }

    /// Whether it is an item of a thread, not a write about one.
    #[must_use]
    pub const fn is_entry(&self) -> bool {
        matches!(
            self,
            Self::Text(_) | Self::Photo(_) | Self::Voice(_) | Self::Document(_) | Self::Sealed(_)
        )
    }

    /// The entry that this one answers.
    #[must_use]
    pub fn reply_to(&self) -> Option<OpId> {
        match self {
            Self::Text(text) => text.reply_to,
            Self::Photo(photo) => photo.reply_to,
            Self::Voice(voice) => voice.reply_to,
            Self::Document(document) => document.reply_to,
            Self::Sealed(sealed) => sealed.reply_to,
            _ => None,
        }
    }

    /// The words an entry begins with: its text, or its first caption.
    #[must_use]
    pub fn words(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(&text.text),
            Self::Photo(photo) => photo.caption.as_deref(),
            Self::Voice(voice) => voice.caption.as_deref(),
            Self::Document(document) => document.caption.as_deref(),
            _ => None,
        }
    }
}
