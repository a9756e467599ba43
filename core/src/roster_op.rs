//! Roster ops as this device writes them: signed, and as a page; what several of them say alike.

use kolonne_model::hash::label;
use kolonne_model::ids::{PublicKey, RingId, RosterDigest, RosterPosition};
use kolonne_model::op::{MAX_PAYLOAD_BYTES, Op, SUITE_1};
use kolonne_model::page::{SegmentToSend, StrandName, write_segment};
use kolonne_model::payload;
use kolonne_model::roster::Roster;
use kolonne_model::roster::change::{
    Change, Recipient, RingGeneration, RingKind, Role, Scope, SeatCert, SeatKind, Wrap,
};
use kolonne_model::roster::state::Void;
use kolonne_model::strand::VerifiedOp;

use crate::crypt::{SigningSecret, random};
use crate::error::Error;

/// A ring's first generation.
pub(crate) fn new_ring(kind: RingKind, recipient: Recipient, wraps: Vec<Wrap>) -> Change {
    Change::Ring(RingGeneration {
        ring: recipient.ring(),
        kind,
        generation: 1,
        recipient,
        wraps,
        previous_sealed: None,
    })
}

/// The seat of a device itself.
pub(crate) fn device_seat(key: &PublicKey, role: Role) -> Change {
    Change::Seat(SeatCert {
        key: *key,
        kind: SeatKind::Device,
        suite: SUITE_1,
        device: kolonne_model::ids::DeviceId::of_key(key),
        person: None,
        role,
        scope: Scope::All,
        not_after_ms: None,
        recipient: None,
    })
}

/// The next roster op with these changes, signed.
pub(crate) fn roster_op(
    roster: &Roster,
    secret: &SigningSecret,
    now_ms: u64,
    changes: Vec<Change>,
) -> Result<VerifiedOp, Error> {
    roster_op_on(roster.head(), roster, secret, now_ms, changes)
}

/// The next roster op by the root, standing on an earlier position.
pub(crate) fn roster_op_on(
    named: (RosterPosition, RosterDigest),
    roster: &Roster,
    secret: &SigningSecret,
    now_ms: u64,
    changes: Vec<Change>,
) -> Result<VerifiedOp, Error> {
    let place = u64::try_from(roster.links().len()).map_err(|_| Error::internal("roster"))?;
    let lamport = place.saturating_add(1);
    let (context, body) = roster
        .draft_on(named, &secret.public(), lamport, now_ms, changes)
        .map_err(|void| match void {
            Void::Right => Error::Locked { code: "right" },
            Void::Newer => Error::UpgradeRequired,
            _ => Error::internal("roster"),
        })?;
    let payload = payload::clear(&random::bytes()?, &body);
    if payload.len() > MAX_PAYLOAD_BYTES {
        return Err(Error::internal("roster"));
    }
    let op = Op::new(context, payload);
    let message = [label::OP_SIGNATURE.as_bytes(), &op.form.id().0].concat();
    let signature = secret.sign(&message);
    Ok(VerifiedOp::from_own_log(op, Some(signature)))
}

/// A page with one signed op and full values.
pub(crate) fn page_of(op: &VerifiedOp) -> Vec<u8> {
    let mut page = Vec::new();
    if let Some(signature) = op.signature() {
        let segment = SegmentToSend {
            name: StrandName::Full(op.strand()),
            receivers_base: None,
            ops: std::slice::from_ref(op.op()),
            links: 0,
            signature,
        };
        write_segment(&mut page, &segment);
    }
    page
}

/// The newest generation of the one ring of a kind.
pub(crate) fn the_newest(roster: &Roster, kind: RingKind) -> Result<(RingId, &Recipient), Error> {
    let ring = roster.the_ring(kind).ok_or(Error::Corrupt)?;
    let (_, recipient) = roster.newest_generation(&ring).ok_or(Error::Corrupt)?;
    Ok((ring, recipient))
}
