//! What drives an [`Engine`] in an app: it owns the sockets and the timer, carries what the engine
//! asks for, and brings back what comes of it. It decides nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::Instant;

use futures_util::StreamExt;
use futures_util::future::{AbortHandle, Abortable};
use futures_util::stream::FuturesUnordered;
use tokio::sync::Notify;

use super::engine::{Action, Engine, Event};
use super::{AskId, Budget, Signals, SyncReport};
use crate::crypt::random::Randomness;
use crate::error::Error;
use crate::kolonne::{Inner, Kolonne};
use kolonne_model::hub::HubError;

/// The running sync of a device. Dropping it ends it.
#[derive(Debug)]
pub struct SyncTask {
    task: tokio::task::JoinHandle<()>,
}

impl SyncTask {
    /// Ends it; what was begun is resumed next time.
    pub async fn stop(mut self) {
        self.task.abort();
        drop((&mut self.task).await);
    }
}

impl Drop for SyncTask {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Kolonne {
    /// Keeps this device in sync on the current runtime until the task is dropped.
    #[must_use]
    pub fn start_sync(&self) -> SyncTask {
        let kolonne = self.clone();
        SyncTask {
            task: tokio::spawn(async move {
                let poked = Arc::new(Poked::default());
                let engine = kolonne.engine(Waker::from(Arc::clone(&poked)));
                if let Err(error) = drive(&kolonne.inner, engine, &poked).await {
                    tracing::error!(code = error.code(), "sync ended");
                }
            }),
        }
    }

    /// Syncs once, within a budget. Safe to cancel or kill at any point.
    ///
    /// # Errors
    /// `Offline` if the hub isn't reached: everything stays *gesichert* and goes on by itself.
    pub async fn sync_once(&self, budget: Budget) -> Result<SyncReport, Error> {
        self.inner.check_flight()?;
        // Said at once, rather than as a hub that isn't reached.
        self.inner.carrier()?;
        let poked = Arc::new(Poked::default());
        let engine = self.engine_once(Waker::from(Arc::clone(&poked)), budget);
        drive(&self.inner, engine, &poked).await
    }
}

/// Wakes the driver when something in this process was let go of.
#[derive(Default)]
struct Poked(Notify);

impl Wake for Poked {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

/// Drives an engine until it is done.
async fn drive(inner: &Arc<Inner>, mut engine: Engine, poked: &Poked) -> Result<SyncReport, Error> {
    let mut changes = inner.signals.subscribe();
    let mut known = *changes.borrow_and_update();
    let mut open: HashMap<AskId, AbortHandle> = HashMap::new();
    let mut answers = FuturesUnordered::new();
    let mut until = None;
    // A background slot that syncs once was asked for though the app sleeps.
    let mut event = if known.is_suspended && engine.goes_on() {
        Event::Suspended
    } else {
        Event::Time
    };
    loop {
        let now = inner.opened.elapsed();
        let stepped = tokio::task::spawn_blocking(move || {
            let actions = engine.step(event, now, &Randomness::system());
            (engine, actions)
        });
        let actions;
        (engine, actions) = stepped.await.map_err(|_| Error::internal("task"))?;
        for action in actions {
            match action {
                Action::Ask { id, to, request } => {
                    let carrier = inner.carrier();
                    let (handle, registration) = AbortHandle::new_pair();
                    open.insert(id, handle);
                    let carry = async move {
                        let answer = match carrier {
                            Ok(carrier) => carrier.carry(to, request).await,
                            // Where the hub is isn't known (yet).
                            Err(_) => Err(HubError::Unreachable),
                        };
                        (id, answer)
                    };
                    answers.push(Abortable::new(carry, registration));
                }
                Action::Cancel(id) => {
                    if let Some(handle) = open.remove(&id) {
                        handle.abort();
                    }
                }
                Action::Until(time) => until = time,
                Action::Done(result) => return result,
            }
        }
        event = loop {
            tokio::select! {
                Some(answer) = answers.next(), if !answers.is_empty() => {
                    if let Ok((id, answer)) = answer {
                        open.remove(&id);
                        break Event::Answer(id, answer);
                    }
                }
                () = sleep_until(until.and_then(|until| inner.opened.checked_add(until))) => break Event::Time,
                Ok(()) = changes.changed() => {
                    let now = *changes.borrow_and_update();
                    let before = std::mem::replace(&mut known, now);
                    break what_changed(before, now);
                }
                () = poked.0.notified() => break Event::Time,
            }
        };
    }
}

const fn what_changed(before: Signals, now: Signals) -> Event {
    match (before.is_suspended, now.is_suspended) {
        (false, true) => Event::Suspended,
        (true, false) => Event::Resumed,
        _ if before.networks != now.networks => Event::NetworkChanged,
        _ => Event::Nudged,
    }
}

async fn sleep_until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}
