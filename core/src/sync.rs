//! Sync: pushes what waits, pulls what is new, repairs what differs, carries blobs.
//!
//! Text goes before media: between two slices of a blob the outbox is looked at again. No database
//! transaction is open while the network is awaited, every request can be repeated, and nothing a
//! hub says but a signature changes what a screen promises.

mod blobs;
mod branches;
mod due;
mod leave;
pub(crate) mod lineage;
mod repair;
mod roster;
mod running;
mod seeding;
mod seen;
mod taking;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use kolonne_model::hub::{Cursor, Hub, HubError, Pull, PullAnswer};
use kolonne_model::ids::{Head, HubEpoch, PublicKey, ThreadId};
use rusqlite::{Connection, Transaction, params};

use crate::enrolment::pack;
use crate::error::Error;
use crate::inbox::Taken;
use crate::kolonne::{Inner, Kolonne, lock, outbox_of};
use crate::records::{Changed, HubState, Outbox};
use crate::store::{get_meta, set_meta};
use crate::transport::{HttpDoor, HttpHub, LoginIdentity};
use crate::{folding, keys, new_hub, outbox, place, seats};

pub(crate) use roster::give_roster;
pub use running::SyncTask;
pub(crate) use seeding::Seeding;
use seeding::Standing;

pub(crate) use branches::{alarm_since_ms, confirm_next, pull_roster, whole_roster};

/// Bytes asked for at a time.
const PULL_BYTES: u32 = 256 * 1024;
/// Rounds of one kind before the others get their turn: a hub can't keep a device busy for ever.
const MAX_ROUNDS: usize = 10_000;
/// What one sync may cost.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// Stop after this.
    pub deadline: Option<Instant>,
    /// Stop after about this many bytes of blobs.
    pub blob_bytes: Option<u64>,
}

impl Budget {
    /// Until nothing is left.
    #[must_use]
    pub const fn unlimited() -> Self {
        Self {
            deadline: None,
            blob_bytes: None,
        }
    }

    /// At most this long.
    #[must_use]
    pub fn within(time: Duration) -> Self {
        Self {
            deadline: Instant::now().checked_add(time),
            blob_bytes: None,
        }
    }

    fn is_spent(&self, report: &SyncReport) -> bool {
        let bytes = report
            .uploaded_bytes
            .saturating_add(report.downloaded_bytes);
        self.deadline
            .is_some_and(|deadline| Instant::now() >= deadline)
            || self.blob_bytes.is_some_and(|limit| bytes >= limit)
    }
}

/// What one sync did and what is left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SyncReport {
    /// Ops that got a receipt.
    pub pushed_ops: u64,
    /// Ops that were new here.
    pub pulled_ops: u64,
    /// Bytes of blobs sent.
    pub uploaded_bytes: u64,
    /// Bytes of blobs received.
    pub downloaded_bytes: u64,
    /// Segments refused: forged, changed, or of another company.
    pub refused: u64,
    /// Still on its way out.
    pub left: Outbox,
}

/// Runs blocking work off the async threads.
pub(crate) async fn blocking<T: Send + 'static>(
    inner: &Arc<Inner>,
    work: impl FnOnce(&Inner) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let inner = Arc::clone(inner);
    tokio::task::spawn_blocking(move || work(&inner))
        .await
        .map_err(|_| Error::internal("task"))?
}

impl Kolonne {
    /// Syncs once, within a budget. Safe to cancel or kill at any point.
    ///
    /// # Errors
    /// `Offline` if the hub isn't reached: everything stays *gesichert* and goes on by itself.
    pub async fn sync_once(&self, budget: Budget) -> Result<SyncReport, Error> {
        let inner = &self.inner;
        let _one = inner.syncing.lock().await;
        blocking(inner, Inner::destroy_erased).await?;
        if inner.in_flight() {
            return Err(Error::Offline { retry_after_ms: 0 });
        }
        blocking(inner, |inner| {
            inner.lock_idle()?;
            inner.tell_locks_soon();
            Ok(())
        })
        .await?;
        let result = Box::pin(meet(inner, budget)).await;
        if result.is_ok() {
            // What came just now is known from now on.
            blocking(inner, Inner::destroy_erased).await?;
        }
        match &result {
            Ok((_, state)) => inner.set_hub_state(*state),
            Err(Error::Offline { retry_after_ms: 0 }) => inner.set_hub_state(HubState::Unreachable),
            Err(Error::Offline { .. }) => inner.set_hub_state(HubState::NotNow),
            Err(Error::Foreign) => inner.set_hub_state(HubState::Foreign),
            Err(_) => {}
        }
        inner.tell(Changed::Me);
        result.map(|(report, _)| report)
    }
}

/// Syncs with the hub that answers: the company's own, or one in its place.
async fn meet(inner: &Arc<Inner>, budget: Budget) -> Result<(SyncReport, HubState), Error> {
    let mut told = false;
    // Certified while it was given things: then it is the company's own.
    for _ in 0..2 {
        match Sync::new(inner, budget)?.run().await {
            Err(Error::Invalid {
                field: "hub_key",
                code: "uncertified",
            }) => {}
            Err(Error::Internal { code: "hub_login" }) => {
                if told {
                    // It has heard all that is known here: an undo took this device out.
                    return Err(Error::AuthExpired);
                }
                // A restored hub that hasn't heard of this device yet.
                roster::hand_over_roster(inner, &*inner.hub()?).await?;
                told = true;
                continue;
            }
            result => return Ok((result?, HubState::Reachable)),
        }
        match Seeding::begin(inner, budget).await? {
            None => *lock(&inner.hub) = None,
            Some(seeding) => {
                if let (report, Standing::Uncertified) = seeding.run().await? {
                    return Ok((report, HubState::Uncertified));
                }
            }
        }
    }
    Err(Error::Offline { retry_after_ms: 0 })
}

impl Inner {
    /// The hub for an act that waits for it.
    pub(crate) fn online(&self) -> Result<Arc<HttpHub>, Error> {
        if self.in_flight() {
            return Err(Error::Offline { retry_after_ms: 0 });
        }
        self.hub()
    }

    /// The hub, as this device.
    pub(crate) fn hub(&self) -> Result<Arc<HttpHub>, Error> {
        let mut cached = lock(&self.hub);
        if let Some(hub) = &*cached {
            return Ok(Arc::clone(hub));
        }
        let (url, identity) = self.store.read(|db| {
            let url = get_meta(db, "hub_url")?.filter(|url| !url.is_empty());
            let url = url.ok_or(Error::NotFound { kind: "hub" })?;
            let url = String::from_utf8(url).map_err(|_| Error::Corrupt)?;
            Ok((url, self.login_identity(db, self.hub_key(db)?)?))
        })?;
        let door = HttpDoor::new(&url, &self.config.trust).map_err(|_| Error::Invalid {
            field: "hub_url",
            code: "malformed",
        })?;
        let hub = Arc::new(HttpHub::new(door, identity));
        *cached = Some(Arc::clone(&hub));
        Ok(hub)
    }

    /// This device, logging in at a hub of this key.
    pub(crate) fn login_identity(
        &self,
        db: &Connection,
        hub_key: PublicKey,
    ) -> Result<LoginIdentity, Error> {
        Ok(LoginIdentity {
            company: self.company,
            device: self.device,
            hub_key,
            signing: ed25519_dalek::SigningKey::from_bytes(&keys::device(db)?.signing.seed()),
        })
    }

    /// The hub's key: as the roster certifies it; before that, as a person compared it.
    pub(crate) fn hub_key(&self, db: &Connection) -> Result<PublicKey, Error> {
        if let Some(key) = self.roster(db)?.hub_key() {
            return Ok(*key);
        }
        let key = get_meta(db, "hub_key")?.ok_or(Error::NotFound { kind: "hub" })?;
        PublicKey::try_from(key.as_slice()).map_err(|_| Error::Corrupt)
    }

    /// Drops the way to a hub that isn't the certified one any more.
    pub(crate) fn forget_other_hub(&self) -> Result<(), Error> {
        let certified = self.store.read(|db| self.hub_key(db))?;
        let mut cached = lock(&self.hub);
        if cached
            .as_ref()
            .is_some_and(|hub| *hub.hub_key() != certified)
        {
            *cached = None;
            drop(cached);
            self.hub_seq.store(0, Ordering::Release);
            self.tell_all_threads()?;
        }
        Ok(())
    }

    /// How far everything has come may have changed.
    pub(crate) fn tell_all_threads(&self) -> Result<(), Error> {
        let threads = self.store.read(|db| {
            let roster = self.roster(db)?;
            folding::all_threads(db, &roster)
        })?;
        for thread in threads {
            self.tell(Changed::Thread(thread));
        }
        self.tell(Changed::Threads);
        self.tell(Changed::Me);
        Ok(())
    }

    /// Ops are about to leave; if there are new ones, this place's counter rises before.
    fn note_leaving(&self) -> Result<(), Error> {
        let newest: i64 = self.store.read(|db| {
            let sql = "SELECT coalesce(max(arrival), 0) FROM outbox_ops";
            Ok(db.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
        })?;
        if newest > self.leaving.load(Ordering::Acquire) {
            place::rise(&self.config.dir, &self.store)?;
            self.leaving.fetch_max(newest, Ordering::AcqRel);
        }
        Ok(())
    }
}

/// One sync.
pub(crate) struct Sync<'a> {
    pub inner: &'a Arc<Inner>,
    pub hub: Arc<HttpHub>,
    pub budget: Budget,
    pub report: SyncReport,
}

impl<'a> Sync<'a> {
    fn new(inner: &'a Arc<Inner>, budget: Budget) -> Result<Self, Error> {
        Ok(Self {
            inner,
            hub: inner.hub()?,
            budget,
            report: SyncReport::default(),
        })
    }

    async fn run(mut self) -> Result<SyncReport, Error> {
        blocking(self.inner, |inner| {
            let now_ms = inner.now_ms();
            inner.store.write(|tx| outbox::try_refused(tx, now_ms))
        })
        .await?;
        self.push().await?;
        self.pull().await?;
        self.push().await?;
        blocking(self.inner, Inner::drop_ended).await?;
        if self.inner.has_ended()? {
            return self.leave().await;
        }
        self.end_expired().await?;
        self.renew_rings().await?;
        if blocking(self.inner, Inner::mend_keys).await? {
            self.push().await?;
        }
        self.tell_seen().await?;
        self.carry_blobs().await?;
        if self.report.uploaded_bytes > 0 {
            // The cursor passes what was just signed for: a hub put back to before it is noticed.
            self.pull().await?;
        }
        self.tell_seen().await?;
        self.report.left = outbox_of(self.inner)?;
        Ok(self.report)
    }

    /// Leaves at once when the flight switch is thrown.
    pub fn check_flight(&self) -> Result<(), Error> {
        if self.inner.in_flight() {
            Err(Error::Offline { retry_after_ms: 0 })
        } else {
            Ok(())
        }
    }

    /// Pushes ops until none waits or no more can be done now.
    pub async fn push(&mut self) -> Result<(), Error> {
        let mut stuck_rounds = 0;
        for _ in 0..MAX_ROUNDS {
            self.check_flight()?;
            let plan = blocking(self.inner, |inner| {
                inner.store.read(|db| {
                    let epoch = cursor(db)?.map_or(HubEpoch::ZERO, |cursor| cursor.epoch);
                    outbox::plan_push(db, &epoch)
                })
            })
            .await?;
            let Some(plan) = plan else { return Ok(()) };
            blocking(self.inner, Inner::note_leaving).await?;
            let answer = self.hub.push(plan.push.clone()).await?;
            let threads: BTreeSet<ThreadId> = plan
                .segments
                .iter()
                .flatten()
                .map(|op| op.context().thread)
                .collect();
            let left = blocking(self.inner, move |inner| {
                inner.store.write(|tx| {
                    let key = inner.hub_key(tx)?;
                    outbox::take_push_answer(tx, &key, &inner.company, &plan, &answer)
                })
            })
            .await?;
            self.report.pushed_ops += left as u64;
            for thread in threads {
                self.inner.tell(Changed::Thread(thread));
            }
            self.inner.tell(Changed::Me);
            // Full values and lost predecessors take a second and third round; not more.
            stuck_rounds = if left == 0 { stuck_rounds + 1 } else { 0 };
            if stuck_rounds > 3 {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn pull(&mut self) -> Result<(), Error> {
        for _ in 0..MAX_ROUNDS {
            self.check_flight()?;
            let cursor = self.inner.store.read(|db| cursor(db))?;
            let answer = match self
                .hub
                .pull(Pull {
                    cursor,
                    limit_bytes: PULL_BYTES,
                })
                .await
            {
                Err(HubError::OtherEpoch) => {
                    self.begin_again().await?;
                    continue;
                }
                answer => answer?,
            };
            let more = answer.more;
            let (sum, newest) = (answer.sum, answer.newest);
            let fill = answer.fill.clone();
            let cursor = answer.cursor;
            let taken = blocking(self.inner, move |inner| inner.take_pull(&answer)).await?;
            let put_back = self
                .inner
                .store
                .read(|db| lineage::is_put_back(db, &cursor))?;
            self.note(&taken);
            if taken.roster_refused.is_some() {
                // Perhaps only because one before it never came.
                pull_roster(self.inner, &self.hub).await?;
            }
            for thread in fill {
                self.fill(thread).await?;
            }
            if let Some(newest) = newest
                && !self.inner.is_newest(&newest)?
            {
                pull_roster(self.inner, &self.hub).await?;
            }
            if !more && put_back {
                self.begin_again().await?;
                continue;
            }
            if !more {
                self.inner.forget_promises()?;
                self.compare(sum).await?;
                return blocking(self.inner, Inner::roster_confirmed).await;
            }
        }
        Ok(())
    }

    fn note(&mut self, taken: &Taken) {
        self.report.pulled_ops += taken.ops as u64;
        self.report.refused += taken.refused as u64;
        if let Some(refusal) = taken.roster_refused {
            tracing::warn!(
                ?refusal,
                "the hub showed a roster that is not this company's"
            );
        }
    }

    /// The hub is in another life: nothing it said before holds. Read from the beginning; what it
    /// lacks goes again, blobs too.
    async fn begin_again(&mut self) -> Result<(), Error> {
        blocking(self.inner, |inner| inner.store.write(lineage::begin_again)).await?;
        // Who knows more of the roster says so before anything else.
        pull_roster(self.inner, &self.hub).await?;
        self.push().await
    }
}

impl Inner {
    /// The log is whole: the admission pack has done its work.
    fn forget_promises(&self) -> Result<(), Error> {
        if self.store.read(|db| pack::is_here(db))? {
            self.store.write(pack::forget)?;
            self.tell(Changed::Threads);
        }
        Ok(())
    }

    /// Whether the roster's chain ends here as it does at the hub.
    fn is_newest(&self, newest: &Head) -> Result<bool, Error> {
        let chain = self.store.read(|db| self.chain(db))?;
        let here = u32::try_from(chain.links().len()).map_err(|_| Error::Corrupt)?;
        let last = chain.links().last().map(|link| link.id);
        Ok((here, last) == (newest.seq, Some(newest.id)))
    }

    /// Removes the secrets of people whose seats here ended. Only once all of the roster is here: a
    /// later op may have undone what an earlier one ended.
    fn drop_ended(&self) -> Result<(), Error> {
        let ended = self.store.read(|db| {
            let chain = self.chain(db)?;
            let mut seats = keys::own_seats(db)?.into_iter();
            Ok(seats.any(|seat| chain.ends_of(&seat).next().is_some()))
        })?;
        if ended {
            self.store
                .write(|tx| seats::drop_ended(tx, &*self.chain(tx)?))?;
        }
        Ok(())
    }

    fn take_pull(&self, answer: &PullAnswer) -> Result<Taken, Error> {
        let taken = self.take_page(&answer.page, &answer.parts)?;
        self.blobs_at_hub(&answer.blobs)?;
        let now_ms = self.now_ms();
        let is_newest = match &answer.newest {
            Some(newest) => self.is_newest(newest)?,
            None => false,
        };
        let back = self.store.write(|tx| {
            set_meta(tx, "cursor", &kolonne_model::cbor::encode(&answer.cursor))?;
            set_meta(tx, "last_contact_ms", &now_ms.to_be_bytes())?;
            let links = self.chain(tx)?.links().len();
            if is_newest {
                branches::confirm(tx, &answer.cursor.epoch, links)?;
            }
            let offset_ms = i128::from(now_ms) - i128::from(answer.time_ms);
            let offset_s = i64::try_from(offset_ms / 1000).unwrap_or(i64::MAX);
            set_meta(tx, "hub_offset_s", &offset_s.to_be_bytes())?;
            new_hub::forget(tx)
        })?;
        if back {
            self.tell_all_threads()?;
        }
        self.hub_seq.store(answer.cursor.hub_seq, Ordering::Release);
        Ok(taken)
    }
}

impl Inner {
    /// Everything the hub has for this device is here, the roster too.
    fn roster_confirmed(&self) -> Result<(), Error> {
        let now_ms = self.now_ms().to_be_bytes();
        self.store
            .write(|tx| set_meta(tx, "roster_confirmed_ms", &now_ms))
    }
}

fn cursor(db: &Connection) -> Result<Option<Cursor>, Error> {
    let bytes = get_meta(db, "cursor")?;
    Ok(bytes.and_then(|bytes| kolonne_model::cbor::decode(&bytes).ok()))
}

/// Marks a blob as held by the hub.
pub(crate) fn mark_at_hub(tx: &Transaction<'_>, blob: &[u8]) -> Result<(), Error> {
    tx.prepare_cached("UPDATE blobs SET at_hub = 1, retry_at_ms = 0 WHERE blob = ?1")?
        .execute(params![blob])?;
    Ok(())
}
