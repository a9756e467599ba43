//! Handing everything over to a hub that the roster doesn't certify: the company's own is gone, and
//! perhaps this one takes its place.
//!
//! The hub gets what proves itself, roster first, then what it routes by, then the rest, then
//! blobs. Nothing it says is kept but how much it was given: it signs no receipt that counts, and
//! no op but the roster's is taken from it. Logins are signed for the key that it shows, so they
//! are worth nothing at the company's own hub.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use kolonne_model::hub::{AppendRoster, Heads, Hello, Hub, HubError, NewUpload, Upload};
use kolonne_model::ids::{BlobId, OpId, PublicKey, SeatId, StoreId, Strand, ThreadId};
use kolonne_model::strand::VerifiedOp;
use rusqlite::{Connection, Row};

use super::lanes::{Shared, SlicePace};
use super::roster::hand_over_roster;
use super::upload::read_slice;
use super::{blocking, pull_roster};
use crate::error::Error;
use crate::kolonne::Inner;
use crate::new_hub;
use crate::oplog;
use crate::outbox::{self, BlobOut};
use crate::roster_op::page_of;
use crate::transport::Line;
use crate::transport::hello;

/// Threads whose heads are asked for at a time.
const THREADS_AT_ONCE: usize = 128;

/// Whether the hub is still a stranger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// The roster now certifies it.
    Certified,
    /// It doesn't.
    Uncertified,
}

/// One visit to a hub that the roster doesn't certify.
pub(crate) struct Seeding<'a> {
    inner: &'a Arc<Inner>,
    hub: Line,
    hello: Hello,
    shared: Shared,
}

impl<'a> Seeding<'a> {
    /// Looks who answers; none if it is the company's own hub.
    pub(crate) async fn begin(
        inner: &'a Arc<Inner>,
        line: &Line,
        shared: Shared,
    ) -> Result<Option<Self>, Error> {
        let hello = hello(line).await?;
        let noted = hello.clone();
        let certified = blocking(inner, move |inner| {
            let (certified, is_news) = inner.store.write(|tx| {
                let certified = inner.hub_key(tx)? == noted.key;
                let is_news = !certified && new_hub::note(tx, &noted, inner.now_ms())?;
                Ok((certified, is_news))
            })?;
            if is_news {
                inner.tell_all_threads()?;
            }
            Ok(certified)
        });
        if certified.await? {
            return Ok(None);
        }
        Ok(Some(Self {
            inner,
            hub: line.to(hello.key),
            hello,
            shared,
        }))
    }

    /// The key that it shows.
    pub(crate) fn key(&self) -> PublicKey {
        self.hello.key
    }

    /// The way to it, as this device.
    pub(crate) fn hub(&self) -> &Line {
        &self.hub
    }

    /// Hands over what it lacks, and reads whether it was certified meanwhile.
    pub(super) async fn run(mut self) -> Result<Standing, Error> {
        self.hand_over_roster().await?;
        let certified = self.inner.store.read(|db| self.inner.hub_key(db))?;
        if certified == self.hello.key {
            return Ok(Standing::Certified);
        }
        self.hand_over_ops().await?;
        self.hand_over_blobs().await?;
        Ok(Standing::Uncertified)
    }

    /// The hub takes a company by its roster, which proves itself; then it may have more of it.
    pub(crate) async fn hand_over_roster(&self) -> Result<(), Error> {
        let ops = hand_over_roster(self.inner, &self.hub).await?;
        self.hand_over_cuts(&ops).await?;
        pull_roster(self.inner, &self.hub).await
    }

    /// Cut lists travel beside the roster op that names them.
    async fn hand_over_cuts(&self, roster: &[VerifiedOp]) -> Result<(), Error> {
        let epoch = self.hello.epoch;
        let through = self
            .inner
            .store
            .read(|db| Ok(new_hub::given(db, &epoch)?.cuts_through))?;
        for op in roster.iter().filter(|op| op.context().seq > through) {
            let id = op.id();
            let parts = self.inner.store.read(|db| oplog::parts_beside(db, &id))?;
            if parts.is_empty() {
                continue;
            }
            let append = AppendRoster {
                page: page_of(op).into(),
                parts,
            };
            match self.hub.append_roster(append).await {
                // A device whose rights ended, or a hub on another branch: someone else will.
                Ok(()) | Err(HubError::NotAllowed | HubError::RosterMoved) => {}
                Err(error) => return Err(error.into()),
            }
            let seq = op.context().seq;
            self.inner
                .store
                .write(|tx| new_hub::cuts_given(tx, &epoch, seq))?;
        }
        Ok(())
    }

    /// Ops that came since the last visit: first those by which the hub routes, and what their
    /// chains need.
    async fn hand_over_ops(&mut self) -> Result<(), Error> {
        let epoch = self.hello.epoch;
        let (newest, waiting) = blocking(self.inner, move |inner| {
            inner.store.read(|db| {
                let through = new_hub::given(db, &epoch)?.ops_through;
                Ok((newest_arrival(db)?, beyond(db, through)?))
            })
        })
        .await?;
        if waiting.is_empty() {
            return Ok(());
        }
        let covered = self.covered(&waiting).await?;
        let waiting: Vec<OpId> = waiting
            .into_iter()
            .filter(|op| {
                covered
                    .get(&op.strand)
                    .is_none_or(|through| op.seq > *through)
            })
            .map(|op| op.id)
            .collect();
        let waiting: Arc<[OpId]> = waiting.into();
        let mut at = 0;
        while at < waiting.len() {
            self.inner.check_flight()?;
            let ops = Arc::clone(&waiting);
            let plan = blocking(self.inner, move |inner| {
                inner
                    .store
                    .read(|db| outbox::plan(db, ops.get(at..).unwrap_or_default(), &epoch))
            })
            .await?;
            let Some((plan, count)) = plan else { break };
            blocking(self.inner, Inner::note_leaving).await?;
            // What it doesn't take now goes with everything else once it is certified.
            self.hub.push(plan.push).await?;
            at += count;
        }
        blocking(self.inner, move |inner| {
            inner
                .store
                .write(|tx| new_hub::ops_given(tx, &epoch, newest))
        })
        .await
    }

    /// How far it has each strand, in the threads that it shows to this device: one upload does,
    /// however many devices come.
    async fn covered(&self, waiting: &[Waiting]) -> Result<HashMap<Strand, u32>, Error> {
        let threads: BTreeSet<ThreadId> = waiting.iter().map(|op| op.strand.thread).collect();
        let threads: Vec<ThreadId> = threads.into_iter().collect();
        let mut covered = HashMap::new();
        for some in threads.chunks(THREADS_AT_ONCE) {
            self.inner.check_flight()?;
            let asked = Heads {
                threads: some.to_vec(),
            };
            let answer = match self.hub.heads(asked).await {
                Err(HubError::NotAllowed | HubError::TooLarge) => return Ok(HashMap::new()),
                answer => answer?,
            };
            let known = blocking(self.inner, move |inner| {
                inner.store.read(|db| {
                    let mut known = Vec::new();
                    for head in answer.heads {
                        // Of a fork it may have one branch only, so both go.
                        if oplog::get(db, &head.head.id)?.is_some()
                            && !oplog::is_forked(db, &head.strand)?
                        {
                            known.push((head.strand, head.head.seq));
                        }
                    }
                    Ok(known)
                })
            });
            covered.extend(known.await?);
        }
        Ok(covered)
    }

    async fn hand_over_blobs(&mut self) -> Result<(), Error> {
        let blobs = blocking(self.inner, |inner| inner.store.read(|db| blobs_beyond(db)));
        let mut pace = SlicePace::default();
        for out in blobs.await? {
            self.inner.check_flight()?;
            if self.shared.is_spent() {
                return Ok(());
            }
            match self.hand_over_blob(&out, &mut pace).await {
                Ok(Carried::Whole) => {
                    let blob = out.blob;
                    blocking(self.inner, move |inner| {
                        inner.store.write(|tx| new_hub::blob_given(tx, &blob))
                    })
                    .await?;
                }
                Ok(Carried::Partly) => return Ok(()),
                // Too large for it, or damaged here: the others go on.
                Err(
                    Error::Invalid { .. }
                    | Error::NotFound { .. }
                    | Error::Internal { .. }
                    | Error::AuthExpired,
                ) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn hand_over_blob(
        &mut self,
        out: &BlobOut,
        pace: &mut SlicePace,
    ) -> Result<Carried, Error> {
        let new = NewUpload {
            blob: out.blob,
            sealed_bytes: out.bytes,
            thread: out.thread,
        };
        // Asked for again, an upload that was begun goes on where it stopped.
        let mut state = self.hub.create_upload(new).await?;
        loop {
            let (name, offset) = match state {
                Upload::Complete(_) => return Ok(Carried::Whole),
                Upload::Open { name, offset_bytes } => (name, offset_bytes),
            };
            self.inner.check_flight()?;
            if self.shared.is_spent() {
                return Ok(Carried::Partly);
            }
            let bytes = read_slice(self.inner, out.blob, offset, pace.slice_bytes()).await?;
            let (began, sent) = (self.shared.now(), bytes.len() as u64);
            state = match self.hub.append_upload(&name, offset, bytes).await {
                Err(HubError::OtherOffset { offset_bytes }) => Upload::Open { name, offset_bytes },
                state => {
                    self.shared.count(|report| report.uploaded_bytes += sent);
                    state?
                }
            };
            pace.took(self.shared.now().saturating_sub(began));
            // Text first: what was written meanwhile.
            Box::pin(self.hand_over_ops()).await?;
        }
    }
}

/// How much of a blob it has now.
enum Carried {
    Whole,
    Partly,
}

/// An op on its way to a new hub.
struct Waiting {
    id: OpId,
    strand: Strand,
    seq: u32,
}

fn newest_arrival(db: &Connection) -> Result<i64, Error> {
    let sql = "SELECT coalesce(max(arrival), 0) FROM ops";
    Ok(db.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
}

/// Ops that arrived after this one but the roster's: strands with something to route by come
/// first, up to it; all strand by strand, so that they pack well and leave no gap.
fn beyond(db: &Connection, through: i64) -> Result<Vec<Waiting>, Error> {
    let mut statement = db.prepare_cached(
        "WITH routing AS (SELECT thread, seat, store, max(seq) AS last FROM ops
            WHERE class = 2 AND arrival > ?1 GROUP BY 1, 2, 3)
         SELECT o.id, o.thread, o.seat, o.store, o.seq FROM ops o
            LEFT JOIN routing r ON r.thread = o.thread AND r.seat = o.seat AND r.store = o.store
         WHERE o.class <> 3 AND (o.arrival > ?1 OR o.seq <= r.last)
         ORDER BY o.seq > coalesce(r.last, 0), o.thread, o.seat, o.store, o.seq",
    )?;
    let waiting = statement.query_map([through], waiting)?;
    Ok(waiting.collect::<Result<_, _>>()?)
}

fn waiting(row: &Row<'_>) -> rusqlite::Result<Waiting> {
    let bytes = |at: usize| row.get::<_, Vec<u8>>(at);
    let bad = |_| rusqlite::Error::InvalidQuery;
    Ok(Waiting {
        id: OpId::try_from(bytes(0)?.as_slice()).map_err(bad)?,
        strand: Strand {
            thread: ThreadId::try_from(bytes(1)?.as_slice()).map_err(bad)?,
            seat: SeatId::try_from(bytes(2)?.as_slice()).map_err(bad)?,
            store: StoreId::try_from(bytes(3)?.as_slice()).map_err(bad)?,
        },
        seq: row.get(4)?,
    })
}

/// Blobs that are here and that the new hub doesn't have by its own word, small things first, of these
/// the oldest.
fn blobs_beyond(db: &Connection) -> Result<Vec<BlobOut>, Error> {
    let mut statement = db.prepare_cached(
        "SELECT b.blob, b.thread, b.bytes FROM blobs b LEFT JOIN ops o ON o.id = b.entry
         WHERE b.here = 1 AND NOT EXISTS (SELECT 1 FROM new_hub_blobs n WHERE n.blob = b.blob)
         ORDER BY b.part, o.arrival",
    )?;
    let blobs = statement.query_map([], |row| {
        let bad = |_| rusqlite::Error::InvalidQuery;
        Ok(BlobOut {
            blob: BlobId::try_from(row.get::<_, Vec<u8>>(0)?.as_slice()).map_err(bad)?,
            thread: ThreadId::try_from(row.get::<_, Vec<u8>>(1)?.as_slice()).map_err(bad)?,
            bytes: row.get::<_, i64>(2)?.cast_unsigned(),
            upload: None,
            attempts: 0,
            lane: 0,
        })
    })?;
    Ok(blobs.collect::<Result<_, _>>()?)
}
