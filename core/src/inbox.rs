//! The inbox: what came from the hub, proven, kept and folded.
//!
//! Nothing is believed but signatures: roster ops prove themselves against the roster, other ops
//! against the certificates in it. What can't be proven yet waits in a table that is bounded, fair to
//! each seat; what falls out of it is asked for again, as its head is missed.

use std::collections::BTreeSet;

use kolonne_model::control::{self, Control};
use kolonne_model::hub::{MAX_PART_BYTES, Part};
use kolonne_model::ids::{SeatId, ThreadId};
use kolonne_model::op::Class;
use kolonne_model::page::{self, NoBases, ReceivedSegment};
use kolonne_model::roster::{Roster, RosterRefusal, cuts_named, part_hash};
use kolonne_model::strand;
use rusqlite::{OptionalExtension, Transaction, params};

use crate::error::Error;
use crate::{oplog, outbox};

/// Most segments that wait for a certificate.
const MAX_WAITING: i64 = 256;
/// Most bytes of them.
const MAX_WAITING_BYTES: i64 = 4 << 20;

/// What an answer of the hub changed here.
#[derive(Debug, Default)]
pub struct Taken {
    /// New ops.
    pub ops: usize,
    /// Threads with something new.
    pub threads: BTreeSet<ThreadId>,
    /// Those of them with something that says who may read or write what, or with which key.
    pub ruled: BTreeSet<ThreadId>,
    /// The roster grew.
    pub roster_grew: bool,
    /// Segments refused for good: forged, changed, or of another company.
    pub refused: usize,
    /// The hub showed a roster that isn't this company's next link.
    pub roster_refused: Option<RosterRefusal>,
}

/// Takes a page and its parts. `roster` grows with the roster ops in it.
pub fn take(
    tx: &Transaction<'_>,
    roster: &mut Roster,
    page: &[u8],
    parts: &[Part],
    now_ms: u64,
) -> Result<Taken, Error> {
    let mut taken = Taken::default();
    let Ok(segments) = page::read(page) else {
        taken.refused += 1;
        return Ok(taken);
    };
    for raw in segments {
        match raw.clone().resolve(&roster.company(), &NoBases) {
            Ok(segment) => take_segment(tx, roster, segment, now_ms, &mut taken)?,
            Err(_) => taken.refused += 1,
        }
    }
    for part in parts {
        take_part(tx, roster, part, &mut taken)?;
    }
    if taken.roster_grew {
        retry_waiting(tx, roster, now_ms, &mut taken)?;
    }
    Ok(taken)
}

/// Keeps a part that an op here names; anything else would only fill the disk.
fn take_part(
    tx: &Transaction<'_>,
    roster: &mut Roster,
    part: &Part,
    taken: &mut Taken,
) -> Result<(), Error> {
    if part.bytes.len() > MAX_PART_BYTES {
        return Ok(());
    }
    let Some(op) = oplog::get(tx, &part.op)? else {
        return Ok(());
    };
    let hash = part_hash(&part.bytes);
    let payload = op.op().payload.as_deref();
    let named = match op.context().class.class {
        Class::Roster => cuts_named(payload).iter().any(|cut| cut.list == hash),
        Class::Control => match payload.map(control::read) {
            Some(Ok(Control::KeyMade(made))) => made.all_parts().contains(&hash),
            Some(Ok(Control::WrappedAgain(again))) => again.file == hash,
            _ => false,
        },
        Class::Data => false,
    };
    if named && op.context().class.class == Class::Roster {
        oplog::keep_part(tx, &part.op, &part.bytes)?;
        roster.add_part(&part.bytes);
        taken.roster_grew = true;
    } else if named {
        oplog::keep_part(tx, &part.op, &part.bytes)?;
        taken.threads.insert(op.context().thread);
        taken.ruled.insert(op.context().thread);
    }
    Ok(())
}

fn take_segment(
    tx: &Transaction<'_>,
    roster: &mut Roster,
    segment: ReceivedSegment,
    now_ms: u64,
    taken: &mut Taken,
) -> Result<(), Error> {
    if segment.strand.thread == roster.company().roster_thread() {
        return take_roster_op(tx, roster, segment, taken);
    }
    let seat = segment.strand.seat;
    let Some(cert) = roster.certificate(&seat) else {
        return wait(tx, &segment);
    };
    match strand::verify(segment, &cert.key, cert.suite) {
        Ok(verified) => {
            let is_own = is_own(tx, &seat)?;
            if let Some(proof) = verified.links.last() {
                oplog::keep_signature(tx, proof)?;
            }
            for op in &verified.ops {
                if oplog::keep(tx, op, Some(now_ms))? {
                    taken.ops += 1;
                    taken.threads.insert(op.context().thread);
                    if op.context().class.class == Class::Control {
                        taken.ruled.insert(op.context().thread);
                    }
                    if is_own {
                        // The database was put back: the hub signs again for what it has of ours.
                        outbox::put_op(tx, op)?;
                    }
                }
            }
        }
        Err(_) => taken.refused += 1,
    }
    Ok(())
}

/// Whether a person here wrote it.
fn is_own(tx: &Transaction<'_>, seat: &SeatId) -> Result<bool, Error> {
    let sql = "SELECT EXISTS (SELECT 1 FROM own_seats WHERE seat = ?1)";
    Ok(tx
        .prepare_cached(sql)?
        .query_row([seat.0.as_slice()], |row| row.get(0))?)
}

fn take_roster_op(
    tx: &Transaction<'_>,
    roster: &mut Roster,
    segment: ReceivedSegment,
    taken: &mut Taken,
) -> Result<(), Error> {
    let known = segment
        .ops
        .first()
        .is_some_and(|op| roster.has(&op.form.id()));
    if known {
        return Ok(());
    }
    match roster.verify(segment) {
        Ok(op) => {
            oplog::keep_link(tx, &op)?;
            roster.append(&op);
            taken.ops += 1;
            taken.roster_grew = true;
        }
        Err(refusal) => {
            taken.refused += 1;
            taken.roster_refused = Some(refusal);
        }
    }
    Ok(())
}

fn wait(tx: &Transaction<'_>, segment: &ReceivedSegment) -> Result<(), Error> {
    let mut bytes = Vec::new();
    page::write_segment(
        &mut bytes,
        &page::SegmentToSend {
            name: page::StrandName::Full(segment.strand),
            receivers_base: None,
            ops: &segment.ops,
            links: segment.links,
            signature: &segment.signature,
        },
    );
    tx.execute(
        "INSERT INTO waiting (seat, page) SELECT ?1, ?2
            WHERE NOT EXISTS (SELECT 1 FROM waiting WHERE seat = ?1 AND page = ?2)",
        params![segment.strand.seat.0.as_slice(), bytes],
    )?;
    make_room(tx)
}

/// Drops what is over the bounds: the oldest of the seat that takes most of what is short, so that
/// one seat's flood drives out its own.
fn make_room(tx: &Transaction<'_>) -> Result<(), Error> {
    loop {
        let sql = "SELECT count(*), coalesce(sum(length(page)), 0) FROM waiting";
        let (rows, bytes): (i64, i64) = tx
            .prepare_cached(sql)?
            .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let most = if bytes > MAX_WAITING_BYTES {
            "sum(length(page))"
        } else if rows > MAX_WAITING {
            "count(*)"
        } else {
            return Ok(());
        };
        let sql = format!(
            "DELETE FROM waiting WHERE id = (SELECT min(id) FROM waiting
                GROUP BY seat ORDER BY {most} DESC, min(id) LIMIT 1)"
        );
        tx.prepare_cached(&sql)?.execute([])?;
    }
}

/// Takes what waited for certificates that are here now; one after the other, the rest stays unread.
fn retry_waiting(
    tx: &Transaction<'_>,
    roster: &mut Roster,
    now_ms: u64,
    taken: &mut Taken,
) -> Result<(), Error> {
    let seats: Vec<Vec<u8>> = tx
        .prepare("SELECT DISTINCT seat FROM waiting")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for seat in seats {
        let id = SeatId::try_from(seat.as_slice()).map_err(|_| Error::Corrupt)?;
        if roster.certificate(&id).is_none() {
            continue;
        }
        while let Some(page) = first_waiting(tx, &seat)? {
            for raw in page::read(&page).unwrap_or_default() {
                if let Ok(segment) = raw.resolve(&roster.company(), &NoBases) {
                    take_segment(tx, roster, segment, now_ms, taken)?;
                }
            }
        }
    }
    Ok(())
}

/// Takes the oldest segment of a seat out of the table.
fn first_waiting(tx: &Transaction<'_>, seat: &[u8]) -> Result<Option<Vec<u8>>, Error> {
    let sql = "DELETE FROM waiting WHERE id = (SELECT min(id) FROM waiting WHERE seat = ?1)
         RETURNING page";
    Ok(tx
        .prepare_cached(sql)?
        .query_row([seat], |row| row.get(0))
        .optional()?)
}
