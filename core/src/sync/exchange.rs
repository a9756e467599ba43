//! One exchange of ops with the hub: what waits goes, what is new comes, what differs is repaired,
//! what a date or a key calls for is written. Blobs are no part of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use kolonne_model::hub::{Hub, HubError, Pull, PullAnswer, PullStart};
use kolonne_model::ids::{HubEpoch, ThreadId};

use super::lanes::Shared;
use super::seeding::Standing;
use super::{MAX_ROUNDS, PULL_BYTES, Seeding, blocking, cursor, lineage, pull_roster, roster};
use crate::enrolment::pack;
use crate::error::Error;
use crate::folding::unfolded::Rest;
use crate::inbox::Taken;
use crate::kolonne::{Inner, Kolonne, lock};
use crate::records::{Changed, HubState};
use crate::store::set_meta;
use crate::transport::Line;
use crate::{keys, new_hub, outbox, seats};

/// How much of an exchange there is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// All of it.
    Whole,
    /// Only what follows when blobs came or went.
    AfterBlobs,
}

/// Exchanges ops with the hub that answers: the company's own, or one in its place.
pub(super) async fn exchange(
    inner: &Arc<Inner>,
    line: &Line,
    shared: &Shared,
    reach: Reach,
) -> Result<HubState, Error> {
    let _one = inner.syncing.lock().await;
    blocking(inner, |inner| {
        // The one before was perhaps cut off.
        inner.fold_rest()?;
        inner.destroy_erased()?;
        inner.lock_idle()?;
        inner.tell_locks_soon();
        Ok(())
    })
    .await?;
    let state = Box::pin(meet(inner, line, shared, reach)).await?;
    // What came just now is known from now on.
    blocking(inner, Inner::destroy_erased).await?;
    Ok(state)
}

impl Kolonne {
    /// Exchanges ops with the hub, now and without blobs: before a decision is built on them. The
    /// company's hub, which may be another than this device knew before.
    pub(crate) async fn catch_up(&self) -> Result<Line, Error> {
        let line = self.inner.online()?;
        let shared = Shared::default();
        let met = exchange(&self.inner, &line, &shared, Reach::Whole).await;
        self.inner.note_hub(&met);
        met?;
        self.inner.online()
    }
}

impl Inner {
    /// How the hub stands, by what came of an exchange.
    pub(super) fn note_hub(&self, met: &Result<HubState, Error>) {
        match met {
            Ok(state) => self.set_hub_state(*state),
            Err(Error::Offline { retry_after_ms: 0 }) => self.set_hub_state(HubState::Unreachable),
            Err(Error::Offline { .. }) => self.set_hub_state(HubState::NotNow),
            Err(Error::Foreign) => self.set_hub_state(HubState::Foreign),
            Err(_) => {}
        }
    }
}

async fn meet(
    inner: &Arc<Inner>,
    line: &Line,
    shared: &Shared,
    reach: Reach,
) -> Result<HubState, Error> {
    let mut line = line.clone();
    let mut told = false;
    // Certified while it was given things: then it is the company's own.
    for _ in 0..2 {
        let sync = Sync {
            inner,
            hub: line.clone(),
            shared: shared.clone(),
        };
        match sync.run(reach).await {
            Err(Error::Invalid {
                field: "hub_key",
                code: "uncertified",
            }) => {}
            Err(Error::Internal { code: "hub_login" }) => {
                if told {
                    // It has heard all that is known here: an undo took this device out, or it went on
                    // without a device that the kit made meanwhile.
                    return Err(if inner.was_made_by_kit()? {
                        Error::Locked { code: "kit" }
                    } else {
                        Error::AuthExpired
                    });
                }
                // A restored hub that hasn't heard of this device yet.
                roster::hand_over_roster(inner, &line).await?;
                told = true;
                continue;
            }
            result => return result.map(|()| HubState::Reachable),
        }
        if let Some(seeding) = Seeding::begin(inner, &line, shared.clone()).await?
            && seeding.run().await? == Standing::Uncertified
        {
            return Ok(HubState::Uncertified);
        }
        let certified = inner.store.read(|db| inner.hub_key(db))?;
        line = line.to(certified);
    }
    Err(Error::Offline { retry_after_ms: 0 })
}

/// One exchange.
pub(crate) struct Sync<'a> {
    pub(super) inner: &'a Arc<Inner>,
    pub(super) hub: Line,
    pub(super) shared: Shared,
}

impl Sync<'_> {
    async fn run(mut self, reach: Reach) -> Result<(), Error> {
        if reach == Reach::AfterBlobs {
            // The cursor passes what was just signed for: a hub put back to before it is noticed.
            self.pull().await?;
            return self.tell_seen().await;
        }
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
        self.follow_the_kit().await?;
        if blocking(self.inner, Inner::mend_keys).await? {
            self.push().await?;
        }
        self.tell_seen().await
    }

    /// Pushes ops until none waits or no more can be done now.
    pub async fn push(&mut self) -> Result<(), Error> {
        let mut stuck_rounds = 0;
        for _ in 0..MAX_ROUNDS {
            self.inner.check_flight()?;
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
            self.shared.count(|report| report.pushed_ops += left as u64);
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

    /// Takes all that is new; whatever ends it, what came is folded.
    async fn pull(&mut self) -> Result<(), Error> {
        let pulled = self.pull_all().await;
        blocking(self.inner, Inner::fold_rest).await?;
        pulled
    }

    async fn pull_all(&mut self) -> Result<(), Error> {
        for _ in 0..MAX_ROUNDS {
            self.inner.check_flight()?;
            let (cursor, is_new) = self
                .inner
                .store
                .read(|db| Ok((cursor(db)?, pack::is_here(db)?)))?;
            let asked = Pull {
                cursor,
                limit_bytes: PULL_BYTES,
                // A new phone shows its list already; it fills the threads in the order it likes.
                start: is_new.then_some(PullStart::End),
            };
            let answer = match self.hub.pull(asked).await {
                Err(HubError::OtherEpoch) => {
                    self.begin_again().await?;
                    continue;
                }
                answer => answer?,
            };
            let more = answer.more;
            let sum = answer.sum;
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
            self.fill_all(fill).await?;
            if !more && put_back {
                self.begin_again().await?;
                continue;
            }
            if !more {
                self.compare(&cursor.epoch, sum).await?;
                self.inner.forget_promises()?;
                return blocking(self.inner, Inner::roster_confirmed).await;
            }
        }
        Ok(())
    }

    /// Fills threads: the one that somebody looks at first, then those with the newest lines.
    async fn fill_all(&mut self, mut threads: Vec<ThreadId>) -> Result<(), Error> {
        if threads.len() > 1 {
            let newest = self.inner.store.read(|db| pack::newest_last(db))?;
            let place = |thread: &ThreadId| newest.iter().position(|known| known == thread);
            threads.sort_by_key(place);
        }
        while !threads.is_empty() {
            let looked_at = *lock(&self.inner.looked_at);
            let wanted = threads.iter().position(|thread| Some(*thread) == looked_at);
            let next = match wanted {
                Some(at) => Some(threads.remove(at)),
                None => threads.pop(),
            };
            if let Some(thread) = next {
                self.fill(thread).await?;
            }
        }
        Ok(())
    }

    pub(super) fn note(&self, taken: &Taken) {
        self.shared.count(|report| {
            report.pulled_ops += taken.ops as u64;
            report.refused += taken.refused as u64;
        });
        if let Some(refusal) = taken.roster_refused {
            tracing::warn!(
                ?refusal,
                "the hub showed a roster that is not this company's"
            );
        }
    }

    /// The hub is in another life: nothing it said before holds. Read from the beginning; what it
    /// lacks goes again, blobs too.
    pub(super) async fn begin_again(&mut self) -> Result<(), Error> {
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
        let rest = Rest::after(answer.more, !answer.blobs.is_empty());
        let taken = self.take_page(&answer.page, &answer.parts, rest)?;
        self.blobs_at_hub(&answer.blobs)?;
        let now_ms = self.now_ms();
        let back = self.store.write(|tx| {
            set_meta(tx, "cursor", &kolonne_model::cbor::encode(&answer.cursor))?;
            set_meta(tx, "last_contact_ms", &now_ms.to_be_bytes())?;
            let offset_ms = i128::from(now_ms) - i128::from(answer.time_ms);
            let offset_s = i64::try_from(offset_ms / 1000).unwrap_or(i64::MAX);
            set_meta(tx, "hub_offset_s", &offset_s.to_be_bytes())?;
            if !answer.more {
                lineage::untold(tx, &answer.cursor)?;
            }
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
