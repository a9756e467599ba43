//! The loop that keeps a device in sync until it is dropped: when it calls the hub, and how long it
//! waits after a failure.

use std::sync::atomic::Ordering;
use std::time::Duration;

use kolonne_model::hub::Hub;

use super::Budget;
use crate::kolonne::{Inner, Kolonne, ops_wait};
use crate::records::HubState;

/// The loop looks at the hub at least this often.
const IDLE: Duration = Duration::from_secs(30);
/// Longest wait between tries.
const MAX_BACKOFF: Duration = Duration::from_secs(30);

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
            task: tokio::spawn(async move { kolonne.sync_loop().await }),
        }
    }

    async fn sync_loop(&self) {
        let inner = &self.inner;
        let mut backoff = Duration::from_millis(500);
        loop {
            if inner.in_flight() {
                inner.nudged.notified().await;
                continue;
            }
            match self.sync_once(Budget::unlimited()).await {
                Ok(_) => {
                    backoff = Duration::from_millis(500);
                    if inner.hub_state() == HubState::Uncertified {
                        // Ops wait for a person now; only new ones are a reason to call again.
                        sleep_or_nudge(inner, IDLE).await;
                    } else if ops_wait(inner).unwrap_or(true) {
                        sleep_or_nudge(inner, Duration::from_secs(2)).await;
                    } else {
                        self.wait_for_news().await;
                    }
                }
                Err(error) => {
                    tracing::debug!(code = error.code(), "sync");
                    sleep_or_nudge(inner, backoff).await;
                    backoff = (backoff * 2).min(MAX_BACKOFF);
                }
            }
        }
    }

    async fn wait_for_news(&self) {
        let inner = &self.inner;
        let after = inner.hub_seq.load(Ordering::Acquire);
        let Ok(hub) = inner.hub() else {
            return sleep_or_nudge(inner, IDLE).await;
        };
        tokio::select! {
            () = sleep_or_nudge(inner, IDLE) => {}
            woken = hub.wake(after) => if woken.is_err() {
                sleep_or_nudge(inner, Duration::from_secs(1)).await;
            }
        }
    }
}

async fn sleep_or_nudge(inner: &Inner, time: Duration) {
    tokio::select! {
        () = tokio::time::sleep(time) => {}
        () = inner.nudged.notified() => {}
    }
}
