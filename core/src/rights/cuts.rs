//! Where a hard end cuts: the last op of each strand of the seats that end, in every thread.
//!
//! In the threads that this device is in, what is here decides: it was just told everything, and a
//! head that it wasn't shown may be one that a thief signed for the hub, far ahead, so that later
//! words fall below it. In others (direct threads) a head counts with its author's signature. What
//! is cut too short waits in quarantine for the office.

use std::collections::{BTreeMap, BTreeSet};

use kolonne_model::hub::{Hub, LastOps};
use kolonne_model::ids::{Head, OpId, RingId, SeatId, StoreId, Strand, StrandHead, ThreadId};
use kolonne_model::page::{self, NoBases};
use kolonne_model::roster::change::{CutOfThread, cut_list};
use kolonne_model::roster::{Roster, part_hash};
use kolonne_model::strand;
use rusqlite::Connection;

use crate::error::Error;
use crate::oplog;
use crate::transport::Line;

/// Answers asked for at most: a thousand heads each.
const MAX_ANSWERS: usize = 1000;

/// How far seats have come at the hub, in all threads: those that their signatures prove.
pub async fn heads_at_hub(
    hub: &Line,
    roster: &Roster,
    seats: &BTreeSet<SeatId>,
) -> Result<Vec<StrandHead>, Error> {
    let mut heads = Vec::new();
    let mut skip = 0_u32;
    for _ in 0..MAX_ANSWERS {
        let asked = LastOps {
            seats: seats.iter().copied().collect(),
            skip,
        };
        let answer = hub.last_ops(asked).await?;
        heads.extend(proven(roster, seats, &answer.page));
        skip = skip.saturating_add(answer.heads);
        if !answer.more || answer.heads == 0 {
            break;
        }
    }
    Ok(heads)
}

fn proven(roster: &Roster, seats: &BTreeSet<SeatId>, page: &[u8]) -> Vec<StrandHead> {
    let segments = page::read(page).unwrap_or_default();
    segments
        .into_iter()
        .filter_map(|raw| {
            let segment = raw.resolve(&roster.company(), &NoBases).ok()?;
            let seat = segment.strand.seat;
            let cert = &roster.seat(&seat).filter(|_| seats.contains(&seat))?.cert;
            let verified = strand::verify(segment, &cert.key, cert.suite).ok()?;
            let last = verified.ops.last()?;
            Some(StrandHead {
                strand: last.strand(),
                head: last.head(),
            })
        })
        .collect()
}

/// Those in threads that this device isn't in.
pub fn elsewhere(
    db: &Connection,
    own_rings: &[RingId],
    heads: Vec<StrandHead>,
) -> Result<Vec<StrandHead>, Error> {
    let mut statement = db.prepare_cached("SELECT ring FROM view_members WHERE thread = ?1")?;
    let mut elsewhere = Vec::new();
    for head in heads {
        let rings = statement.query_map([head.strand.thread.0.as_slice()], |row| {
            row.get::<_, Vec<u8>>(0)
        })?;
        let rings = rings.collect::<Result<Vec<_>, _>>()?;
        if !own_rings
            .iter()
            .any(|own| rings.iter().any(|ring| own.0 == ring.as_slice()))
        {
            elsewhere.push(head);
        }
    }
    Ok(elsewhere)
}

/// The cut lists of seats by thread, as an end names them and as the parts they are.
pub fn lists(
    db: &Connection,
    seats: &BTreeSet<SeatId>,
    hub_heads: &[StrandHead],
) -> Result<(Vec<CutOfThread>, Vec<Vec<u8>>), Error> {
    let mut by_thread: BTreeMap<ThreadId, BTreeSet<StrandHead>> = BTreeMap::new();
    let mut add = |head: StrandHead| {
        by_thread
            .entry(head.strand.thread)
            .or_default()
            .insert(head);
    };
    for seat in seats {
        for head in heads_here(db, seat)? {
            add(head);
        }
    }
    for head in hub_heads {
        // What is here has its newest op in the list already.
        if oplog::get(db, &head.head.id)?.is_none() {
            add(*head);
        }
    }
    let mut cuts = Vec::new();
    let mut parts = Vec::new();
    for (thread, heads) in by_thread {
        let part = cut_list(&heads.into_iter().collect::<Vec<_>>());
        cuts.push(CutOfThread {
            thread,
            list: part_hash(&part),
        });
        parts.push(part);
    }
    Ok((cuts, parts))
}

/// The newest op of each branch of a seat's strands in this log, as far as it is here without a gap. What
/// lies beyond one may be a thief's, who writes below it ever after.
fn heads_here(db: &Connection, seat: &SeatId) -> Result<Vec<StrandHead>, Error> {
    let mut statement = db.prepare_cached(
        "SELECT thread, store, seq, id, previous FROM ops WHERE seat = ?1 AND class <> 3
         ORDER BY thread, store, seq",
    )?;
    let ops = statement.query_map([seat.0.as_slice()], |row| {
        let bytes = |at: usize| row.get::<_, Vec<u8>>(at);
        Ok((
            bytes(0)?,
            bytes(1)?,
            row.get::<_, u32>(2)?,
            bytes(3)?,
            bytes(4)?,
        ))
    })?;
    let corrupt = |_| Error::Corrupt;
    let mut heads: BTreeMap<OpId, StrandHead> = BTreeMap::new();
    let mut whole: BTreeSet<OpId> = BTreeSet::new();
    for op in ops {
        let (thread, store, seq, id, previous) = op?;
        let id = OpId::try_from(id.as_slice()).map_err(corrupt)?;
        let previous = OpId::try_from(previous.as_slice()).map_err(corrupt)?;
        if seq != 1 && !whole.contains(&previous) {
            continue;
        }
        whole.insert(id);
        heads.remove(&previous);
        let strand = Strand {
            thread: ThreadId::try_from(thread.as_slice()).map_err(corrupt)?,
            seat: *seat,
            store: StoreId::try_from(store.as_slice()).map_err(corrupt)?,
        };
        let head = Head { seq, id };
        heads.insert(id, StrandHead { strand, head });
    }
    Ok(heads.into_values().collect())
}
