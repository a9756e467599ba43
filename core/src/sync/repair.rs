//! Repair: what the cursor can't say is found by comparing heads, and filled in both directions.
//!
//! A head says nothing of what is below it: a hub, or a membership that began in the middle of a
//! strand, may leave a gap. So what a device says it has is only what it has from the beginning.

use std::collections::BTreeSet;
use std::time::Duration;

use kolonne_model::control::{self, Control, KeyMade};
use kolonne_model::hub::{Fetch, FetchAnswer, Heads, Hub, HubError};
use kolonne_model::ids::{
    Head, HubEpoch, OpId, RingId, SeatId, StoreId, Strand, StrandHead, ThreadId, head_sum,
};
use rusqlite::{Connection, Row, params};

use super::{MAX_ROUNDS, PULL_BYTES, Sync, blocking, pull_roster};
use crate::error::Error;
use crate::folding::kind;
use crate::folding::unfolded::Rest;
use crate::kolonne::Inner;
use crate::{keys, oplog, outbox};

/// An op `o` whose predecessor isn't here.
const IS_CUT_OFF: &str = "o.seq > 1 AND NOT EXISTS (SELECT 1 FROM ops p WHERE p.id = o.previous)";

impl Sync<'_> {
    /// Fills a thread from its heads, whatever the cursor says.
    pub(super) async fn fill(&mut self, thread: ThreadId) -> Result<(), Error> {
        for _ in 0..MAX_ROUNDS {
            self.inner.check_flight()?;
            let have = self
                .inner
                .store
                .read(|db| self.inner.whole_heads_of(db, &thread))?;
            let asked = Fetch {
                thread,
                have,
                limit_bytes: PULL_BYTES,
            };
            let answer: FetchAnswer = match self.hub.fetch(asked).await {
                // Not a member (any more): nothing more comes.
                Err(HubError::NotThere) => return Ok(()),
                answer => answer?,
            };
            let more = answer.more;
            let taken = blocking(self.inner, move |inner| {
                let rest = Rest::after(more, !answer.blobs.is_empty());
                let taken = inner.take_page(&answer.page, &answer.parts, rest)?;
                inner.blobs_at_hub(&answer.blobs)?;
                Ok(taken)
            })
            .await?;
            self.note(&taken);
            if !more || taken.ops == 0 {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Compares the sum of heads, the roster's too; where it differs, the roster, then the heads, and
    /// heals in both directions.
    pub(super) async fn compare(
        &mut self,
        epoch: &HubEpoch,
        hub_sum: [u8; 16],
    ) -> Result<(), Error> {
        let (now, epoch) = (self.shared.now(), *epoch);
        let (mut unlike, mut lacking) = blocking(self.inner, move |inner| {
            let mut lacking = inner.store.read(|db| cut_off(db))?;
            lacking.extend(inner.incomplete_threads(now)?);
            Ok((inner.heads_unlike(&epoch, hub_sum)?, lacking))
        })
        .await?;
        let mut requeued = 0;
        if unlike.is_some() {
            // Who knows a later roster op, or another, hands it over; and heads of someone whose
            // admission never came can't be understood.
            pull_roster(self.inner, &self.hub).await?;
            let again = move |inner: &Inner| inner.heads_unlike(&epoch, hub_sum);
            unlike = blocking(self.inner, again).await?;
        }
        if let Some(own) = unlike {
            let heads = Heads {
                threads: Vec::new(),
            };
            let answer = self.hub.heads(heads).await?;
            let theirs: BTreeSet<StrandHead> = answer.heads.into_iter().collect();
            let found = blocking(self.inner, move |inner| inner.differences(&own, &theirs)).await?;
            if found.put_back {
                return self.begin_again().await;
            }
            lacking.extend(found.lacking);
            requeued = found.requeued;
        }
        for thread in lacking {
            self.fill(thread).await?;
        }
        if requeued > 0 {
            self.push().await?;
        }
        Ok(())
    }
}

/// What the heads of two sides differ in.
struct Differences {
    /// Threads in which the hub has more.
    lacking: BTreeSet<ThreadId>,
    /// How many ops it lacks; they go again.
    requeued: usize,
    /// It lacks what it signed for: an older copy was put back.
    put_back: bool,
}

/// An op of which something is missing that the hub may have.
struct Incomplete {
    strand: Strand,
    seq: u32,
    previous: OpId,
}

impl Inner {
    /// Threads in which something is missing that heads say nothing of, and that weren't asked for it
    /// a moment ago: the hub may lack it too.
    fn incomplete_threads(&self, now: Duration) -> Result<Vec<ThreadId>, Error> {
        let mut found = Vec::new();
        self.store.read(|db| {
            let mut statement = db.prepare_cached(
                "SELECT thread FROM view_threads WHERE held > 0
                 UNION SELECT thread FROM view_entries e WHERE kind = ?1
                    AND NOT EXISTS (SELECT 1 FROM erasures x WHERE x.op = e.id)",
            )?;
            let threads = statement.query_map([kind::STUB], |row| row.get::<_, Vec<u8>>(0))?;
            for thread in threads {
                let thread = crate::kolonne::thread_id(&thread?)?;
                if !self.fills.waits(&thread, now) && !self.incomplete(db, &thread)?.is_empty() {
                    self.fills.begin(thread, u32::MAX, now);
                    found.push(thread);
                }
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// Ops whose payload was left out, and keys of which something for this device was.
    fn incomplete(&self, db: &Connection, thread: &ThreadId) -> Result<Vec<Incomplete>, Error> {
        let roster = self.roster(db)?;
        let mut rings = roster.rings_of_device(&self.device);
        let people = keys::own_seats(db)?;
        rings.extend(
            people
                .iter()
                .filter_map(|seat| roster.seat(seat)?.cert.person),
        );
        let mut statement = db.prepare_cached(
            "SELECT o.id FROM ops o WHERE o.thread = ?1
                AND NOT EXISTS (SELECT 1 FROM erasures e WHERE e.op = o.id)
                AND (o.class = 2 OR NOT EXISTS (SELECT 1 FROM payloads p WHERE p.op = o.id))",
        )?;
        let ids = statement.query_map([thread.0.as_slice()], |row| row.get::<_, Vec<u8>>(0))?;
        let mut found = Vec::new();
        for id in ids {
            let id = crate::kolonne::op_id(&id?)?;
            let Some(op) = oplog::get(db, &id)? else {
                continue;
            };
            let is_incomplete = match op.op().payload.as_deref().map(control::read) {
                None => true,
                Some(Ok(Control::KeyMade(made))) => lacks_a_part(db, thread, &made, &rings)?,
                Some(Ok(Control::WrappedAgain(again))) => {
                    rings.contains(&again.ring) && oplog::part(db, &again.file)?.is_none()
                }
                Some(_) => false,
            };
            if is_incomplete {
                found.push(Incomplete {
                    strand: op.strand(),
                    seq: op.context().seq,
                    previous: op.context().previous,
                });
            }
        }
        Ok(found)
    }

    /// The last ops of a thread's strands that are here whole from the beginning.
    fn whole_heads_of(&self, db: &Connection, thread: &ThreadId) -> Result<Vec<StrandHead>, Error> {
        let mut heads = whole_heads_of(db, thread)?;
        for lacking in self.incomplete(db, thread)? {
            let before = StrandHead {
                strand: lacking.strand,
                head: Head {
                    seq: lacking.seq.saturating_sub(1),
                    id: lacking.previous,
                },
            };
            let known = heads.len();
            heads.retain(|head| head.strand != lacking.strand || head.head.seq < lacking.seq);
            if heads.len() < known && lacking.seq > 1 {
                heads.push(before);
            }
        }
        Ok(heads)
    }

    fn differences(
        &self,
        own: &BTreeSet<StrandHead>,
        theirs: &BTreeSet<StrandHead>,
    ) -> Result<Differences, Error> {
        self.store.write(|tx| {
            let told: BTreeSet<ThreadId> = theirs.iter().map(|head| head.strand.thread).collect();
            let mut put_back = false;
            let mut lacking = BTreeSet::new();
            for head in theirs.difference(own) {
                if oplog::get(tx, &head.head.id)?.is_none() {
                    lacking.insert(head.strand.thread);
                }
            }
            let mut requeued = 0;
            for head in own.difference(theirs) {
                if !told.contains(&head.strand.thread) {
                    // The hub shows nothing of it: perhaps this device was taken out and hasn't heard.
                    lacking.insert(head.strand.thread);
                }
                let theirs = theirs
                    .iter()
                    .filter(|other| other.strand == head.strand)
                    .map(|other| other.head.seq)
                    .min()
                    .unwrap_or(0);
                if theirs < head.head.seq {
                    put_back |= told.contains(&head.strand.thread)
                        && outbox::is_receipted_beyond(tx, &head.strand, theirs)?;
                    requeued += outbox::requeue_beyond(tx, &head.strand, theirs)?;
                }
            }
            Ok(Differences {
                lacking,
                requeued,
                put_back,
            })
        })
    }

    /// The heads here, unless the hub's sum is of the same: then it has confirmed the roster too.
    fn heads_unlike(
        &self,
        epoch: &HubEpoch,
        hub_sum: [u8; 16],
    ) -> Result<Option<BTreeSet<StrandHead>>, Error> {
        let (own, newest) = self
            .store
            .read(|db| Ok((self.own_heads(db)?, self.chain(db)?.newest_head())))?;
        if head_sum(own.iter().chain(&newest)) != hub_sum {
            return Ok(Some(own));
        }
        if let Some(newest) = newest {
            self.confirm_chain(epoch, newest.head.seq)?;
        }
        Ok(None)
    }

    /// Heads of every branch in the threads this device is in.
    fn own_heads(&self, db: &Connection) -> Result<BTreeSet<StrandHead>, Error> {
        let rings = self.roster(db)?.rings_of_device(&self.device);
        let mut mine: BTreeSet<Vec<u8>> = BTreeSet::new();
        for ring in rings {
            let mut statement =
                db.prepare_cached("SELECT thread FROM view_members WHERE ring = ?1")?;
            let threads = statement.query_map([ring.0.as_slice()], |row| row.get(0))?;
            for thread in threads {
                mine.insert(thread?);
            }
        }
        let mut statement = db.prepare_cached(
            "SELECT o.thread, o.seat, o.store, o.seq, o.id FROM ops o WHERE o.class <> 3
                    AND NOT EXISTS (SELECT 1 FROM ops n WHERE n.previous = o.id)",
        )?;
        let heads = statement.query_map([], head)?;
        let heads: Vec<StrandHead> = heads.collect::<Result<_, _>>()?;
        Ok(heads
            .into_iter()
            .filter(|head| mine.contains(head.strand.thread.0.as_slice()))
            .collect())
    }
}

/// Whether a key, or an earlier one that it seals, can't be opened here because a part of it is missing.
fn lacks_a_part(
    db: &Connection,
    thread: &ThreadId,
    made: &KeyMade,
    rings: &[RingId],
) -> Result<bool, Error> {
    if keys::history(db, thread, &made.key())?.is_none() {
        for entry in made
            .rings
            .iter()
            .filter(|entry| rings.contains(&entry.ring))
        {
            let file = made.files.get(usize::from(entry.file));
            if let Some(file) = file
                && oplog::part(db, file)?.is_none()
            {
                return Ok(true);
            }
        }
        return Ok(false);
    }
    for seal in &made.seals {
        if keys::history(db, thread, &seal.earlier)?.is_none()
            && oplog::part(db, &seal.sealed)?.is_none()
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Threads with an op whose predecessor isn't here.
fn cut_off(db: &Connection) -> Result<BTreeSet<ThreadId>, Error> {
    let sql = format!("SELECT DISTINCT o.thread FROM ops o WHERE o.class <> 3 AND {IS_CUT_OFF}");
    let mut statement = db.prepare_cached(&sql)?;
    let threads = statement.query_map([], |row| row.get::<_, Vec<u8>>(0))?;
    threads
        .map(|thread| crate::kolonne::thread_id(&thread?))
        .collect()
}

/// The last ops of a thread's strands that are here from the beginning. Of a forked strand with a
/// gap it may name less than there is: what comes twice does no harm.
fn whole_heads_of(db: &Connection, thread: &ThreadId) -> Result<Vec<StrandHead>, Error> {
    let sql = format!(
        "WITH cut AS (SELECT o.seat, o.store, min(o.seq) AS seq FROM ops o
            WHERE o.thread = ?1 AND {IS_CUT_OFF} GROUP BY 1, 2)
         SELECT o.thread, o.seat, o.store, o.seq, o.id FROM ops o
            LEFT JOIN cut ON cut.seat = o.seat AND cut.store = o.store
         WHERE o.thread = ?1 AND (cut.seq IS NULL OR o.seq < cut.seq)
            AND NOT EXISTS (SELECT 1 FROM ops n WHERE n.previous = o.id)"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let heads = statement.query_map(params![thread.0.as_slice()], head)?;
    Ok(heads.collect::<Result<_, _>>()?)
}

fn head(row: &Row<'_>) -> rusqlite::Result<StrandHead> {
    let bytes = |at: usize| row.get::<_, Vec<u8>>(at);
    let bad = |_| rusqlite::Error::InvalidQuery;
    Ok(StrandHead {
        strand: Strand {
            thread: ThreadId::try_from(bytes(0)?.as_slice()).map_err(bad)?,
            seat: SeatId::try_from(bytes(1)?.as_slice()).map_err(bad)?,
            store: StoreId::try_from(bytes(2)?.as_slice()).map_err(bad)?,
        },
        head: Head {
            seq: row.get(3)?,
            id: OpId::try_from(bytes(4)?.as_slice()).map_err(bad)?,
        },
    })
}
