//! Proving ops: a segment's chain and the signature of its last op under the seat's key.
//!
//! What comes out is *verified*: form, chain and author are proven, nothing is said about rights.
//! That is `judge`'s work, from the whole set. Nothing here looks at a roster or a clock.

use crate::ids::{Head, OpId, PublicKey, SeatId, Signature, Strand, ThreadId};
use crate::op::{Class, Context, MAX_PAYLOAD_BYTES, Op, signature_is_good};
use crate::page::ReceivedSegment;

/// Why a segment is refused for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The signature is not the seat's over this chain: forged, or a byte was changed anywhere.
    #[error("signature does not cover these ops")]
    Signature,
    /// Another suite than the seat's certificate says.
    #[error("suite is not the seat's")]
    Suite,
    /// Thread, or clear and sealed, don't fit the class, or the payload is too large.
    #[error("payload does not fit the class")]
    Class,
    /// The op before the first one is another than it says.
    #[error("chain is broken")]
    Chain,
}

/// An op whose form, chain and author are proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedOp {
    id: OpId,
    op: Op,
    signature: Option<Signature>,
}

impl VerifiedOp {
    /// An op from the own log, which holds nothing unverified and is never changed.
    #[must_use]
    pub fn from_own_log(op: Op, signature: Option<Signature>) -> Self {
        Self {
            id: op.form.id(),
            op,
            signature,
        }
    }

    /// Its id.
    #[must_use]
    pub const fn id(&self) -> OpId {
        self.id
    }

    /// Its context.
    #[must_use]
    pub const fn context(&self) -> &Context {
        &self.op.form.context
    }

    /// The op.
    #[must_use]
    pub const fn op(&self) -> &Op {
        &self.op
    }

    /// The op, taken out.
    #[must_use]
    pub fn into_op(self) -> Op {
        self.op
    }

    /// Its own signature, if this copy of the log has it; else a later op of the chain proves it.
    #[must_use]
    pub const fn signature(&self) -> Option<&Signature> {
        self.signature.as_ref()
    }

    /// Its strand.
    #[must_use]
    pub const fn strand(&self) -> Strand {
        self.op.form.context.strand()
    }

    /// Its place in the strand.
    #[must_use]
    pub const fn head(&self) -> Head {
        Head {
            seq: self.op.form.context.seq,
            id: self.id,
        }
    }
}

/// The proven part of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedSegment {
    /// Ops that are proven and carried to be kept.
    pub ops: Vec<VerifiedOp>,
    /// Ops that only carried the proof; never kept as ops, but they may be kept as bare forms.
    pub links: Vec<VerifiedOp>,
}

/// Proves a segment under the signing key and suite of its seat's certificate.
pub fn verify(
    segment: ReceivedSegment,
    key: &PublicKey,
    suite: u8,
) -> Result<VerifiedSegment, Refusal> {
    let ReceivedSegment {
        ops,
        links,
        signature,
        ..
    } = segment;
    let last = ops.ids().last().ok_or(Refusal::Chain)?;
    let seat = SeatId::of_key(key);
    if ops.iter().any(|op| op.context().seat != seat) || !signature_is_good(key, last, &signature) {
        return Err(Refusal::Signature);
    }
    let roster = ops.first().map(|op| op.context().company.roster_thread());
    for op in &ops {
        check_class(op, roster)?;
        if op.context().suite != suite {
            return Err(Refusal::Suite);
        }
    }
    let counted = ops.len().saturating_sub(links);
    let end = ops.len().saturating_sub(1);
    let mut verified: Vec<VerifiedOp> = ops
        .into_pairs()
        .enumerate()
        .map(|(at, (id, op))| VerifiedOp {
            id,
            op,
            signature: (at == end).then_some(signature),
        })
        .collect();
    let links = verified.split_off(counted);
    Ok(VerifiedSegment {
        ops: verified,
        links,
    })
}

fn check_class(op: &Op, roster: Option<ThreadId>) -> Result<(), Refusal> {
    let context = op.context();
    let clear = context.key.0 == [0; 16];
    let in_roster = Some(context.thread) == roster;
    let fits = match context.class.class {
        Class::Data => !clear && !in_roster && context.seq > 0,
        Class::Control => clear && !in_roster && context.seq > 0,
        Class::Roster => clear && in_roster && context.store.0 == [0; 8],
    };
    let size = usize::try_from(op.form.payload_bytes).is_ok_and(|n| n <= MAX_PAYLOAD_BYTES);
    let first = (context.seq == 1) == (context.previous == OpId::ZERO);
    if fits && size && first {
        Ok(())
    } else {
        Err(Refusal::Class)
    }
}
