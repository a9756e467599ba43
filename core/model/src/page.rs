//! The wire form of ops: pages of segments, abbreviated against bases.
//!
//! It abbreviates only: a wrong handle, base or delta yields another id and fails the signature.
//! There is one encoding of anything. What comes out of here is *received*; only `strand` makes
//! it *verified*. The layout is in `docs/protocol.md`, "Pages".

use std::ops::Deref;

use crate::ids::{
    CompanyId, Hash32, KeyId, OpId, RosterDigest, RosterPosition, SeatId, Signature, StoreId,
    Strand, ThreadId,
};
use crate::op::{
    Class, ClassByte, Context, MAX_EXTENSION_BYTES, MAX_PAYLOAD_BYTES, Op, SUITE_1, SignedForm,
    extension_hash, payload_hash,
};

/// Largest page in bytes.
pub const MAX_PAGE_BYTES: usize = 1 << 20;
/// Most ops of a segment, links included: what a receiver buffers before a signature covers it.
pub const MAX_SEGMENT_OPS: usize = 1024;
/// Bytes of the extensions of one segment: whatever of it travels as links, it fits into a page.
pub const MAX_SEGMENT_EXTENSION_BYTES: usize = 256 * 1024;

/// Why a page is refused whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// Ends in the middle of something.
    #[error("page cut off")]
    CutOff,
    /// Larger than a page, a segment or a payload may be.
    #[error("page over a limit")]
    TooLarge,
    /// A second encoding of something that has a shorter one, or a reserved bit.
    #[error("page not in its one form")]
    NotCanonical,
    /// A class byte of no class, or a number beyond its width.
    #[error("page malformed")]
    Malformed,
}

/// Why a well-formed segment can't be put together here; the sender repeats it with full values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// No strand has this handle here.
    #[error("unknown strand handle")]
    UnknownHandle,
    /// The op the segment builds on isn't here.
    #[error("unknown base")]
    UnknownBase,
    /// "Changed" values that are as before: a second encoding.
    #[error("segment not in its one form")]
    NotCanonical,
    /// A payload longer than its class may have, or a seq beyond 32 bits.
    #[error("segment malformed")]
    Malformed,
}

/// What the receiver knows that a page may build on.
pub trait Bases {
    /// The strand that the hub gave this handle.
    fn strand(&self, handle: u64) -> Option<Strand>;
    /// The op at a place in a strand, as the receiver has it.
    fn op_at(&self, strand: &Strand, seq: u32) -> Option<(OpId, Context)>;
}

/// Knows nothing: every segment must state full values.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoBases;

impl Bases for NoBases {
    fn strand(&self, _: u64) -> Option<Strand> {
        None
    }
    fn op_at(&self, _: &Strand, _: u32) -> Option<(OpId, Context)> {
        None
    }
}

/// How a segment names its strand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StrandName {
    /// By the hub's handle.
    Handle(u64),
    /// In full.
    Full(Strand),
}

/// What a segment's first op is abbreviated against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// The receiver's op before it; at seq 1, nothing.
    Receivers,
    /// The stated id before it, and zeros.
    Stated(OpId),
}

/// A segment put together: ops with full forms, and the signature of the last.
///
/// Nothing here is proven yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedSegment {
    /// The strand.
    pub strand: Strand,
    /// The ops in order; the last `links` of them only carry the proof.
    pub ops: ChainedOps,
    /// How many ops at the end prove but don't count.
    pub links: usize,
    /// The signature of the last op.
    pub signature: Signature,
}

/// Ops, each of which names the id of the one before it: only [`RawSegment::resolve`] makes them, by
/// hashing each, and nothing changes them. So nobody has to hash them again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChainedOps {
    ops: Vec<Op>,
    ids: Vec<OpId>,
}

impl ChainedOps {
    /// The ops' ids.
    #[must_use]
    pub fn ids(&self) -> &[OpId] {
        &self.ids
    }

    /// The ops with their ids.
    pub fn into_pairs(self) -> impl ExactSizeIterator<Item = (OpId, Op)> {
        self.ids.into_iter().zip(self.ops)
    }
}

impl Deref for ChainedOps {
    type Target = [Op];

    fn deref(&self) -> &[Op] {
        &self.ops
    }
}

impl<'a> IntoIterator for &'a ChainedOps {
    type Item = &'a Op;
    type IntoIter = std::slice::Iter<'a, Op>;

    fn into_iter(self) -> Self::IntoIter {
        self.ops.iter()
    }
}

impl IntoIterator for ChainedOps {
    type Item = Op;
    type IntoIter = std::vec::IntoIter<Op>;

    fn into_iter(self) -> Self::IntoIter {
        self.ops.into_iter()
    }
}

/// A segment as it stands in a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawSegment {
    name: StrandName,
    suite: u8,
    first_seq: u32,
    base: Base,
    ops: Vec<RawOp>,
    links: usize,
    signature: Signature,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct RawOp {
    class: Option<ClassByte>,
    roster: Option<(RosterPosition, RosterDigest)>,
    key: Option<KeyId>,
    lamport_delta: u64,
    time_delta: u64,
    extension: Option<Vec<u8>>,
    payload: RawPayload,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum RawPayload {
    Here(Vec<u8>),
    Absent { bytes: u32, hash: Hash32 },
}

mod tag {
    pub const FULL: u8 = 1;
    pub const STATED: u8 = 2;
    pub const SUITE: u8 = 4;
    pub const COUNT: u8 = 8;
    pub const LINKS: u8 = 16;
    pub const ALL: u8 = 31;
}

mod flag {
    pub const CLASS: u8 = 1;
    pub const ROSTER: u8 = 2;
    pub const KEY: u8 = 4;
    pub const EXTENSION: u8 = 8;
    pub const ABSENT: u8 = 16;
    pub const ALL: u8 = 31;
}

/// What an op is abbreviated against.
#[derive(Clone, Copy)]
struct Before {
    class: ClassByte,
    roster: RosterPosition,
    roster_digest: RosterDigest,
    key: KeyId,
    lamport: u64,
    time_ms: u64,
}

impl Before {
    const NOTHING: Self = Self {
        class: ClassByte::plain(Class::Data),
        roster: RosterPosition(0),
        roster_digest: RosterDigest::ZERO,
        key: KeyId::ZERO,
        lamport: 0,
        time_ms: 0,
    };

    const fn of(context: &Context) -> Self {
        Self {
            class: context.class,
            roster: context.roster,
            roster_digest: context.roster_digest,
            key: context.key,
            lamport: context.lamport,
            time_ms: context.time_ms,
        }
    }
}

/// Which ops a segment carries and against what they are written.
#[derive(Debug, Clone, Copy)]
pub struct SegmentToSend<'a> {
    /// How to name the strand.
    pub name: StrandName,
    /// The op before the first one, if the receiver is known to have it; else the id is stated.
    pub receivers_base: Option<&'a Context>,
    /// The ops, dense and in order; at least one.
    pub ops: &'a [Op],
    /// How many at the end only carry the proof; their payloads are not sent.
    pub links: usize,
    /// The signature of the last op.
    pub signature: &'a Signature,
}

/// Appends a segment to a page.
pub fn write_segment(page: &mut Vec<u8>, segment: &SegmentToSend<'_>) {
    let Some(first) = segment.ops.first().map(Op::context) else {
        return;
    };
    let stated = first.seq > 1 && segment.receivers_base.is_none();
    let bit = |on: bool, bit: u8| if on { bit } else { 0 };
    page.push(
        bit(matches!(segment.name, StrandName::Full(_)), tag::FULL)
            | bit(stated, tag::STATED)
            | bit(first.suite != SUITE_1, tag::SUITE)
            | bit(segment.ops.len() != 1, tag::COUNT)
            | bit(segment.links != 0, tag::LINKS),
    );
    match segment.name {
        StrandName::Handle(handle) => varint(page, handle),
        StrandName::Full(strand) => {
            page.extend_from_slice(&strand.thread.0);
            page.extend_from_slice(&strand.seat.0);
            page.extend_from_slice(&strand.store.0);
        }
    }
    if first.suite != SUITE_1 {
        page.push(first.suite);
    }
    varint(page, first.seq.into());
    if segment.ops.len() != 1 {
        varint(page, segment.ops.len() as u64);
    }
    if segment.links != 0 {
        varint(page, segment.links as u64);
    }
    if stated {
        page.extend_from_slice(&first.previous.0);
    }
    let mut before = match segment.receivers_base {
        Some(base) if first.seq > 1 => Before::of(base),
        _ => Before::NOTHING,
    };
    let counted = segment.ops.len().saturating_sub(segment.links);
    for (at, op) in segment.ops.iter().enumerate() {
        write_op(page, &before, op, at >= counted);
        before = Before::of(op.context());
    }
    page.extend_from_slice(&segment.signature.0);
}

fn write_op(page: &mut Vec<u8>, before: &Before, op: &Op, link: bool) {
    let context = op.context();
    let payload = op.payload.as_ref().filter(|_| !link);
    let class = context.class != before.class;
    let roster = context.roster != before.roster || context.roster_digest != before.roster_digest;
    let key = context.key != before.key;
    let bit = |on: bool, bit: u8| if on { bit } else { 0 };
    page.push(
        bit(class, flag::CLASS)
            | bit(roster, flag::ROSTER)
            | bit(key, flag::KEY)
            | bit(op.extension.is_some(), flag::EXTENSION)
            | bit(payload.is_none(), flag::ABSENT),
    );
    if class {
        page.push(context.class.to_byte());
    }
    if roster {
        varint(page, context.roster.0.into());
        page.extend_from_slice(&context.roster_digest.0);
    }
    if key {
        page.extend_from_slice(&context.key.0);
    }
    varint(page, context.lamport.wrapping_sub(before.lamport));
    varint(page, zigzag(context.time_ms.wrapping_sub(before.time_ms)));
    if let Some(extension) = &op.extension {
        varint(page, extension.len() as u64);
        page.extend_from_slice(extension);
    }
    if let Some(payload) = payload {
        varint(page, payload.len() as u64);
        page.extend_from_slice(payload);
    } else {
        varint(page, op.form.payload_bytes.into());
        page.extend_from_slice(&op.form.payload_hash.0);
    }
}

/// Reads a page's segments. Form only: nothing is looked up, nothing is verified.
pub fn read(page: &[u8]) -> Result<Vec<RawSegment>, PageError> {
    if page.len() > MAX_PAGE_BYTES {
        return Err(PageError::TooLarge);
    }
    let mut from = Reader(page);
    let mut segments = Vec::new();
    while !from.0.is_empty() {
        segments.push(read_segment(&mut from)?);
    }
    Ok(segments)
}

fn read_segment(from: &mut Reader<'_>) -> Result<RawSegment, PageError> {
    let tag = from.byte()?;
    if tag & !tag::ALL != 0 {
        return Err(PageError::NotCanonical);
    }
    let name = if tag & tag::FULL == 0 {
        StrandName::Handle(from.varint()?)
    } else {
        StrandName::Full(Strand {
            thread: ThreadId(from.array()?),
            seat: SeatId(from.array()?),
            store: StoreId(from.array()?),
        })
    };
    let suite = if tag & tag::SUITE == 0 {
        SUITE_1
    } else {
        from.byte()?
    };
    if tag & tag::SUITE != 0 && suite == SUITE_1 {
        return Err(PageError::NotCanonical);
    }
    let first_seq = from.u32()?;
    if first_seq == 0 {
        return Err(PageError::Malformed);
    }
    let count = if tag & tag::COUNT == 0 {
        1
    } else {
        from.size(MAX_SEGMENT_OPS)?
    };
    let links = if tag & tag::LINKS == 0 {
        0
    } else {
        from.size(MAX_SEGMENT_OPS)?
    };
    if (tag & tag::COUNT != 0 && count == 1) || (tag & tag::LINKS != 0 && links == 0) {
        return Err(PageError::NotCanonical);
    }
    if count == 0 || links >= count {
        return Err(PageError::Malformed);
    }
    let base = if tag & tag::STATED == 0 {
        Base::Receivers
    } else if first_seq == 1 {
        return Err(PageError::NotCanonical);
    } else {
        Base::Stated(OpId(from.array()?))
    };
    let mut ops = Vec::new();
    let mut extension_bytes = 0;
    for at in 0..count {
        let op = read_op(from)?;
        extension_bytes += op.extension.as_ref().map_or(0, Vec::len);
        if extension_bytes > MAX_SEGMENT_EXTENSION_BYTES {
            return Err(PageError::TooLarge);
        }
        if at >= count - links && matches!(op.payload, RawPayload::Here(_)) {
            return Err(PageError::NotCanonical);
        }
        ops.push(op);
    }
    let signature = Signature(from.array()?);
    Ok(RawSegment {
        name,
        suite,
        first_seq,
        base,
        ops,
        links,
        signature,
    })
}

fn read_op(from: &mut Reader<'_>) -> Result<RawOp, PageError> {
    let flags = from.byte()?;
    if flags & !flag::ALL != 0 {
        return Err(PageError::NotCanonical);
    }
    let has = |bit: u8| flags & bit != 0;
    let class = has(flag::CLASS)
        .then(|| {
            from.byte()
                .and_then(|b| ClassByte::from_byte(b).ok_or(PageError::Malformed))
        })
        .transpose()?;
    let roster = if has(flag::ROSTER) {
        Some((RosterPosition(from.u32()?), RosterDigest(from.array()?)))
    } else {
        None
    };
    let key = if has(flag::KEY) {
        Some(KeyId(from.array()?))
    } else {
        None
    };
    let lamport_delta = from.varint()?;
    let time_delta = from.varint()?;
    let extension = if has(flag::EXTENSION) {
        let bytes = from.size(MAX_EXTENSION_BYTES)?;
        Some(from.slice(bytes)?.to_vec())
    } else {
        None
    };
    let payload = if has(flag::ABSENT) {
        RawPayload::Absent {
            bytes: from.u32()?,
            hash: Hash32(from.array()?),
        }
    } else {
        let bytes = from.size(MAX_PAYLOAD_BYTES)?;
        RawPayload::Here(from.slice(bytes)?.to_vec())
    };
    Ok(RawOp {
        class,
        roster,
        key,
        lamport_delta,
        time_delta,
        extension,
        payload,
    })
}

impl RawSegment {
    /// How the strand is named.
    #[must_use]
    pub const fn name(&self) -> StrandName {
        self.name
    }

    /// Puts the full forms together from what the receiver knows.
    pub fn resolve(
        self,
        company: &CompanyId,
        bases: &impl Bases,
    ) -> Result<ReceivedSegment, ResolveError> {
        let strand = match self.name {
            StrandName::Full(strand) => strand,
            StrandName::Handle(handle) => {
                bases.strand(handle).ok_or(ResolveError::UnknownHandle)?
            }
        };
        let (mut previous, mut before) = match self.base {
            Base::Stated(previous) => (previous, Before::NOTHING),
            Base::Receivers if self.first_seq == 1 => (OpId::ZERO, Before::NOTHING),
            Base::Receivers => {
                let (id, context) = bases
                    .op_at(&strand, self.first_seq - 1)
                    .ok_or(ResolveError::UnknownBase)?;
                (id, Before::of(&context))
            }
        };
        let mut seq = self.first_seq;
        let mut ops = Vec::with_capacity(self.ops.len());
        let mut ids = Vec::with_capacity(self.ops.len());
        for raw in self.ops {
            let op = raw.resolve(company, &strand, self.suite, seq, previous, &before)?;
            previous = op.form.id();
            before = Before::of(op.context());
            seq = seq.checked_add(1).ok_or(ResolveError::Malformed)?;
            ops.push(op);
            ids.push(previous);
        }
        Ok(ReceivedSegment {
            strand,
            ops: ChainedOps { ops, ids },
            links: self.links,
            signature: self.signature,
        })
    }
}

impl RawOp {
    fn resolve(
        self,
        company: &CompanyId,
        strand: &Strand,
        suite: u8,
        seq: u32,
        previous: OpId,
        before: &Before,
    ) -> Result<Op, ResolveError> {
        let as_before = |same: bool| {
            if same {
                Err(ResolveError::NotCanonical)
            } else {
                Ok(())
            }
        };
        if let Some(class) = self.class {
            as_before(class == before.class)?;
        }
        if let Some((position, digest)) = self.roster {
            as_before(position == before.roster && digest == before.roster_digest)?;
        }
        if let Some(key) = self.key {
            as_before(key == before.key)?;
        }
        let (roster, roster_digest) = self.roster.unwrap_or((before.roster, before.roster_digest));
        let context = Context {
            suite,
            class: self.class.unwrap_or(before.class),
            company: *company,
            thread: strand.thread,
            seat: strand.seat,
            store: strand.store,
            seq,
            previous,
            roster,
            roster_digest,
            key: self.key.unwrap_or(before.key),
            lamport: before.lamport.wrapping_add(self.lamport_delta),
            time_ms: before.time_ms.wrapping_add(unzigzag(self.time_delta)),
            extension_hash: self
                .extension
                .as_deref()
                .map_or(Hash32::ZERO, extension_hash),
        };
        let (payload_bytes, hash, payload) = match self.payload {
            RawPayload::Here(payload) => (
                u32::try_from(payload.len()).map_err(|_| ResolveError::Malformed)?,
                payload_hash(&payload),
                Some(payload),
            ),
            RawPayload::Absent { bytes, hash } => (bytes, hash, None),
        };
        let form = SignedForm {
            context,
            payload_bytes,
            payload_hash: hash,
        };
        Ok(Op {
            form,
            extension: self.extension,
            payload,
        })
    }
}

const fn zigzag(delta: u64) -> u64 {
    let delta = delta.cast_signed();
    ((delta << 1) ^ (delta >> 63)).cast_unsigned()
}

const fn unzigzag(value: u64) -> u64 {
    (value >> 1) ^ (value & 1).wrapping_neg()
}

/// LEB128, shortest form.
fn varint(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let [low, ..] = (value & 0x7f).to_le_bytes();
        value >>= 7;
        if value == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Result<u8, PageError> {
        let (byte, rest) = self.0.split_first().ok_or(PageError::CutOff)?;
        self.0 = rest;
        Ok(*byte)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], PageError> {
        let (array, rest) = self.0.split_first_chunk().ok_or(PageError::CutOff)?;
        self.0 = rest;
        Ok(*array)
    }

    fn slice(&mut self, bytes: usize) -> Result<&'a [u8], PageError> {
        let (slice, rest) = self.0.split_at_checked(bytes).ok_or(PageError::CutOff)?;
        self.0 = rest;
        Ok(slice)
    }

    fn varint(&mut self) -> Result<u64, PageError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(PageError::Malformed);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return if byte == 0 && shift > 0 {
                    Err(PageError::NotCanonical)
                } else {
                    Ok(value)
                };
            }
        }
        Err(PageError::Malformed)
    }

    fn u32(&mut self) -> Result<u32, PageError> {
        u32::try_from(self.varint()?).map_err(|_| PageError::Malformed)
    }

    fn size(&mut self, limit: usize) -> Result<usize, PageError> {
        usize::try_from(self.varint()?)
            .ok()
            .filter(|n| *n <= limit)
            .ok_or(PageError::TooLarge)
    }
}
