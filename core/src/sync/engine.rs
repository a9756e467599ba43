//! The engine of sync, without sockets, timers or threads: from event to event it says what to ask of
//! the hub and when to come back. The same runs in the app and in the simulator, on the real store.
//!
//! Four tracks go on beside each other: *words* (ops, both ways), *up* and *down* (blobs), *news*
//! (what the hub announces). Words never wait for blobs. Whatever is cut off at any point is safe:
//! the store knows how far things came, and each request can be repeated.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use kolonne_model::hub::{Hub, HubError};
use kolonne_model::ids::PublicKey;

use super::asks::{AskId, Asked, Asks};
use super::download::Download;
use super::exchange::{Reach, exchange};
use super::lanes::Shared;
use super::upload::Upload;
use super::{Budget, SyncReport};
use crate::blocking::on_this_thread;
use crate::crypt::random::{self, Randomness};
use crate::error::Error;
use crate::kolonne::{Inner, Kolonne, ops_wait, outbox_of};
use crate::records::{Changed, HubState};
use crate::transport::{Reply, Request};

/// Without news an engine looks at the hub at least this often.
const IDLE: Duration = Duration::from_secs(30);
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// Longest wait between tries.
const MAX_WAIT: Duration = Duration::from_secs(30);
/// Longest wait that a hub can ask for.
const MAX_ASKED_WAIT: Duration = Duration::from_hours(1);

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// Time went by.
    Time,
    /// Something was written or asked for on this device.
    Nudged,
    /// What came of a request.
    Answer(AskId, Result<Reply, HubError>),
    /// The way to the network is another: what is under way on the old one is lost.
    NetworkChanged,
    /// The system will stop the app: let go of everything.
    Suspended,
    /// The app goes on.
    Resumed,
}

/// What the driver is to do.
#[derive(Debug)]
pub enum Action {
    /// Carry a request; what comes of it is an [`Event::Answer`].
    Ask {
        /// Its number.
        id: AskId,
        /// The key that the hub must have.
        to: PublicKey,
        /// What to ask.
        request: Request,
    },
    /// Nobody waits for this answer any more.
    Cancel(AskId),
    /// Come back with [`Event::Time`] at this time; the one said last counts. None: no need to.
    Until(Option<Duration>),
    /// Nothing more is to be done. Only from an engine that syncs once.
    Done(Result<SyncReport, Error>),
}

type Track<T> = Option<Pin<Box<dyn Future<Output = T> + Send>>>;

/// How often a track failed in a row, and when it starts next.
#[derive(Debug, Default)]
struct Turn {
    at: Option<Duration>,
    failures: u32,
}

impl Turn {
    fn is_due(&self, now: Duration) -> bool {
        self.at.is_some_and(|at| at <= now)
    }

    fn no_later_than(&mut self, at: Duration) {
        self.at = Some(self.at.map_or(at, |known| known.min(at)));
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Until it is dropped.
    Forever,
    /// Words, then blobs, then what follows from blobs.
    Once(Phase),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Words,
    Blobs,
    AfterBlobs,
}

/// The engine of one device.
pub struct Engine {
    inner: Arc<Inner>,
    asks: Asks,
    shared: Shared,
    waker: Waker,
    mode: Mode,
    /// What is left of the budget's time until the first step.
    time: Option<Duration>,
    until: Option<Duration>,
    awake: bool,
    /// The company's own hub took words since something last went wrong.
    linked: bool,
    words: Track<Result<HubState, Error>>,
    up: Track<Result<(), Error>>,
    down: Track<Result<(), Error>>,
    news: Track<Result<u64, HubError>>,
    reach: Reach,
    words_turn: Turn,
    up_turn: Turn,
    down_turn: Turn,
    news_turn: Turn,
    /// Bytes of blobs carried when words were last exchanged.
    carried_bytes: u64,
    failed: Option<Error>,
    done: bool,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Engine({:?})", self.inner.device)
    }
}

impl Kolonne {
    /// The engine that keeps this device in sync. `waker` is woken when a step would get further
    /// though no event came: something in this process was let go of.
    #[must_use]
    pub fn engine(&self, waker: Waker) -> Engine {
        Engine::new(&self.inner, waker, Mode::Forever, Budget::unlimited())
    }

    /// An engine that syncs once, within a budget, and says when it is done.
    #[must_use]
    pub fn engine_once(&self, waker: Waker, budget: Budget) -> Engine {
        Engine::new(&self.inner, waker, Mode::Once(Phase::Words), budget)
    }
}

impl Engine {
    fn new(inner: &Arc<Inner>, waker: Waker, mode: Mode, budget: Budget) -> Self {
        let begin = || Turn {
            at: Some(Duration::ZERO),
            failures: 0,
        };
        Self {
            inner: Arc::clone(inner),
            asks: Asks::default(),
            shared: Shared::new(budget),
            waker,
            mode,
            time: budget.time,
            until: None,
            awake: true,
            linked: false,
            words: None,
            up: None,
            down: None,
            news: None,
            reach: Reach::Whole,
            words_turn: begin(),
            up_turn: begin(),
            down_turn: begin(),
            news_turn: begin(),
            carried_bytes: 0,
            failed: None,
            done: false,
        }
    }

    /// Whether it goes on until it is dropped.
    pub(super) fn goes_on(&self) -> bool {
        self.mode == Mode::Forever
    }

    /// The way from an event to what follows. `now` never goes back, whatever the wall clock does; all
    /// engines of a device count from one beginning. It works on the store, so it belongs on a
    /// thread that may block.
    pub fn step(&mut self, event: Event, now: Duration, randomness: &Randomness) -> Vec<Action> {
        self.shared.set_now(now);
        randomness.during(|| on_this_thread(|| self.take(event, now)))
    }

    fn take(&mut self, event: Event, now: Duration) -> Vec<Action> {
        if self.done {
            return Vec::new();
        }
        if let Some(time) = self.time.take() {
            self.until = Some(now.saturating_add(time));
        }
        match event {
            Event::Time => {}
            Event::Answer(id, answer) => self.asks.answer(id, answer),
            Event::Nudged => {
                self.words_turn.no_later_than(now);
                self.up_turn.no_later_than(now);
                self.down_turn.no_later_than(now);
            }
            Event::NetworkChanged => {
                self.let_go();
                self.inner.waits.end_all();
                self.begin_again(now);
            }
            Event::Suspended => {
                self.let_go();
                self.awake = false;
            }
            Event::Resumed => {
                self.awake = true;
                self.begin_again(now);
            }
        }
        if self.inner.in_flight() {
            self.let_go();
            self.failed
                .get_or_insert(Error::Offline { retry_after_ms: 0 });
        } else if self.awake {
            while self.start(now) | self.poll(now) {}
        }
        self.actions(now)
    }

    fn let_go(&mut self) {
        (self.words, self.up, self.down, self.news) = (None, None, None, None);
        self.linked = false;
    }

    fn begin_again(&mut self, now: Duration) {
        self.reach = Reach::Whole;
        for turn in [
            &mut self.words_turn,
            &mut self.up_turn,
            &mut self.down_turn,
            &mut self.news_turn,
        ] {
            *turn = Turn {
                at: Some(now),
                failures: 0,
            };
        }
    }

    fn blobs_may_move(&self) -> bool {
        match self.mode {
            Mode::Forever => self.linked,
            Mode::Once(phase) => phase == Phase::Blobs && self.failed.is_none(),
        }
    }

    /// Starts the tracks whose turn it is.
    fn start(&mut self, now: Duration) -> bool {
        let words_next = match self.mode {
            Mode::Forever => true,
            Mode::Once(phase) => phase != Phase::Blobs && self.failed.is_none(),
        };
        let mut started = false;
        if words_next && self.words.is_none() && self.words_turn.is_due(now) {
            self.words_turn.at = None;
            self.words = Some(Box::pin(words(
                Arc::clone(&self.inner),
                self.asks.clone(),
                self.shared.clone(),
                self.reach,
            )));
            started = true;
        }
        if self.blobs_may_move() && self.up.is_none() && self.up_turn.is_due(now) {
            self.up_turn.at = None;
            self.up = Some(Box::pin(up(
                Arc::clone(&self.inner),
                self.asks.clone(),
                self.shared.clone(),
            )));
            started = true;
        }
        if self.blobs_may_move() && self.down.is_none() && self.down_turn.is_due(now) {
            self.down_turn.at = None;
            self.down = Some(Box::pin(down(
                Arc::clone(&self.inner),
                self.asks.clone(),
                self.shared.clone(),
            )));
            started = true;
        }
        let listens = self.mode == Mode::Forever && self.linked;
        if listens && self.news.is_none() && self.news_turn.is_due(now) {
            self.news_turn.at = None;
            self.news = Some(Box::pin(news(Arc::clone(&self.inner), self.asks.clone())));
            started = true;
        }
        started
    }

    /// Goes on with every track. Whether one ended.
    fn poll(&mut self, now: Duration) -> bool {
        let waker = self.waker.clone();
        let mut context = Context::from_waker(&waker);
        let mut ended = false;
        if let Some(result) = poll_track(&mut self.words, &mut context) {
            self.words_done(result, now);
            ended = true;
        }
        if let Some(result) = poll_track(&mut self.up, &mut context) {
            self.up_turn = self.blobs_done(result, self.up_turn.failures, now);
            ended = true;
        }
        if let Some(result) = poll_track(&mut self.down, &mut context) {
            self.down_turn = self.blobs_done(result, self.down_turn.failures, now);
            ended = true;
        }
        if let Some(result) = poll_track(&mut self.news, &mut context) {
            self.news_done(result.is_ok(), now);
            ended = true;
        }
        ended | self.next_phase(now)
    }

    fn words_done(&mut self, result: Result<HubState, Error>, now: Duration) {
        self.reach = Reach::Whole;
        self.inner.note_hub(&result);
        self.inner.tell(Changed::Me);
        match result {
            Ok(state) => {
                let stuck = state == HubState::Reachable && ops_wait(&self.inner).unwrap_or(true);
                // Ops that the hub doesn't take now are no reason to call all the time.
                self.words_turn.failures = if stuck {
                    self.words_turn.failures + 1
                } else {
                    0
                };
                let wait = if stuck {
                    wait_after(self.words_turn.failures.saturating_add(2))
                } else {
                    IDLE
                };
                self.words_turn.no_later_than(now.saturating_add(wait));
                if state == HubState::Reachable {
                    self.linked = true;
                    // What there was to hear of is here: listen for what comes after it.
                    if self.news.is_none() && self.news_turn.at.is_none() {
                        self.news_turn.at = Some(now);
                    }
                    self.up_turn.no_later_than(now);
                    self.down_turn.no_later_than(now);
                }
            }
            Err(error) => {
                tracing::debug!(code = error.code(), "sync");
                self.words_turn.failures += 1;
                let wait = wait_for(&error, self.words_turn.failures);
                self.words_turn.no_later_than(now.saturating_add(wait));
                if matches!(error, Error::Offline { retry_after_ms: 0 } | Error::Foreign) {
                    // What else is under way is on the same dead line.
                    self.let_go();
                    self.news_turn.at = None;
                }
                self.failed.get_or_insert(error);
            }
        }
    }

    fn blobs_done(&mut self, result: Result<(), Error>, failures: u32, now: Duration) -> Turn {
        let report = self.shared.report();
        let carried = report
            .uploaded_bytes
            .saturating_add(report.downloaded_bytes);
        if self.mode == Mode::Forever && carried > self.carried_bytes {
            self.carried_bytes = carried;
            if self.words.is_none() && !self.words_turn.is_due(now) {
                self.reach = Reach::AfterBlobs;
            }
            self.words_turn.no_later_than(now);
        }
        match result {
            Ok(()) => Turn {
                at: self.inner.waits.next(now),
                failures: 0,
            },
            Err(error) => {
                tracing::debug!(code = error.code(), "blobs");
                let wait = wait_for(&error, failures + 1);
                self.failed.get_or_insert(error);
                Turn {
                    at: Some(now.saturating_add(wait)),
                    failures: failures + 1,
                }
            }
        }
    }

    fn news_done(&mut self, is_good: bool, now: Duration) {
        if is_good {
            // Not again before words are through: a hub with news that takes nothing now would be asked
            // without a pause.
            self.news_turn.failures = 0;
            if self.words_turn.failures == 0 {
                self.words_turn.no_later_than(now);
            }
        } else {
            self.news_turn.failures += 1;
            self.news_turn.at = Some(now.saturating_add(wait_after(self.news_turn.failures)));
            // Perhaps nothing comes through any more: words find out.
            self.words_turn
                .no_later_than(now.saturating_add(Duration::from_secs(1)));
        }
    }

    /// An engine that syncs once goes on to what is next.
    fn next_phase(&mut self, now: Duration) -> bool {
        let Mode::Once(phase) = self.mode else {
            self.failed = None;
            return false;
        };
        let idle = self.words.is_none() && self.up.is_none() && self.down.is_none();
        if !idle || self.done || self.failed.is_some() {
            return false;
        }
        let next = match phase {
            Phase::Words if self.words_turn.is_due(now) => return false,
            Phase::Words if self.linked => Phase::Blobs,
            Phase::Blobs if self.up_turn.is_due(now) || self.down_turn.is_due(now) => return false,
            Phase::Blobs => {
                let report = self.shared.report();
                if report.uploaded_bytes == 0 && report.downloaded_bytes == 0 {
                    return false;
                }
                self.reach = Reach::AfterBlobs;
                self.words_turn.at = Some(now);
                Phase::AfterBlobs
            }
            // The hub is another one, and was given what it lacks; or all is done.
            Phase::Words | Phase::AfterBlobs => return false,
        };
        self.mode = Mode::Once(next);
        true
    }

    fn actions(&mut self, now: Duration) -> Vec<Action> {
        let finished = self.finish(now);
        let (new, dropped) = self.asks.take_new();
        let cancelled = dropped.into_iter().map(Action::Cancel);
        let asked = new
            .into_iter()
            .map(|Asked { id, to, request }| Action::Ask { id, to, request });
        let mut actions: Vec<Action> = cancelled.chain(asked).collect();
        match finished {
            Some(result) => actions.push(Action::Done(result)),
            None => actions.push(Action::Until(self.next_time())),
        }
        actions
    }

    fn next_time(&self) -> Option<Duration> {
        if !self.awake || self.inner.in_flight() {
            return None;
        }
        let words = self.words_turn.at.filter(|_| self.words.is_none());
        let blobs = self.blobs_may_move();
        let up = self.up_turn.at.filter(|_| blobs && self.up.is_none());
        let down = self.down_turn.at.filter(|_| blobs && self.down.is_none());
        let listens = self.linked && self.news.is_none();
        let news = self.news_turn.at.filter(|_| listens);
        [words, up, down, news, self.until]
            .into_iter()
            .flatten()
            .min()
    }

    fn finish(&mut self, now: Duration) -> Option<Result<SyncReport, Error>> {
        if self.mode == Mode::Forever {
            return None;
        }
        let out_of_time = self.until.is_some_and(|until| until <= now);
        let idle = self.words.is_none() && self.up.is_none() && self.down.is_none();
        if !idle && !out_of_time {
            return None;
        }
        self.let_go();
        self.done = true;
        if let Some(error) = self.failed.take().filter(|_| !out_of_time) {
            return Some(Err(error));
        }
        let mut report = self.shared.report();
        Some(outbox_of(&self.inner).map(|left| {
            report.left = left;
            report
        }))
    }
}

fn poll_track<T>(track: &mut Track<T>, context: &mut Context<'_>) -> Option<T> {
    match track.as_mut()?.as_mut().poll(context) {
        Poll::Ready(result) => {
            *track = None;
            Some(result)
        }
        Poll::Pending => None,
    }
}

/// The wait after so many failures in a row: twice as long each time, and a part of it at random,
/// so that the phones of a company don't all call at once when the hub is back.
fn wait_after(failures: u32) -> Duration {
    let whole = FIRST_WAIT
        .saturating_mul(1 << failures.saturating_sub(1).min(16))
        .min(MAX_WAIT);
    let [part] = random::bytes::<1>().unwrap_or([0]);
    whole.saturating_sub(whole * u32::from(part) / 1024)
}

fn wait_for(error: &Error, failures: u32) -> Duration {
    let asked = match error {
        Error::Offline { retry_after_ms } => Duration::from_millis(*retry_after_ms),
        _ => Duration::ZERO,
    };
    wait_after(failures).max(asked.min(MAX_ASKED_WAIT))
}

async fn words(
    inner: Arc<Inner>,
    asks: Asks,
    shared: Shared,
    reach: Reach,
) -> Result<HubState, Error> {
    let line = inner.line_over(Arc::new(asks))?;
    exchange(&inner, &line, &shared, reach).await
}

async fn up(inner: Arc<Inner>, asks: Asks, shared: Shared) -> Result<(), Error> {
    let _one = inner.uploading.lock().await;
    let upload = Upload {
        inner: &inner,
        line: &inner.line_over(Arc::new(asks))?,
        shared: &shared,
    };
    upload.run().await
}

async fn down(inner: Arc<Inner>, asks: Asks, shared: Shared) -> Result<(), Error> {
    let _one = inner.downloading.lock().await;
    let download = Download {
        inner: &inner,
        line: &inner.line_over(Arc::new(asks))?,
        shared: &shared,
    };
    download.run().await
}

async fn news(inner: Arc<Inner>, asks: Asks) -> Result<u64, HubError> {
    let line = inner.line_over(Arc::new(asks));
    let line = line.map_err(|_| HubError::Unreachable)?;
    let after = inner.hub_seq.load(std::sync::atomic::Ordering::Acquire);
    line.wake(after).await
}
