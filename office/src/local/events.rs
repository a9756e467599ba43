//! Tells the page what changed, at most four times a second, as keys and never as content. On
//! overflow it says `everything`.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::extract::State;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures_util::{Stream, stream};
use kolonne_core::records::Changed;
use serde::Serialize;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, timeout_at};

use super::Page;

/// Shortest time between two events.
const PACE: Duration = Duration::from_millis(250);
const ALIVE: Duration = Duration::from_secs(15);
/// So many keys are better said as `everything`.
const MAX_KEYS: usize = 64;

#[derive(Serialize)]
struct ChangedJson<'a> {
    keys: &'a BTreeSet<String>,
    version: u64,
}

/// The key of a change.
fn key(changed: Changed) -> String {
    match changed {
        Changed::Me => "me".to_owned(),
        Changed::Threads => "threads".to_owned(),
        Changed::Thread(id) => format!("thread:{id}"),
        Changed::People => "people".to_owned(),
        Changed::Devices => "devices".to_owned(),
    }
}

struct Watch {
    page: Arc<Page>,
    core: Receiver<Changed>,
    own: Receiver<String>,
    next_at: Option<Instant>,
}

impl Watch {
    /// The next key; none: the program ends.
    async fn key(&mut self) -> Option<String> {
        let lagged = |error| match error {
            RecvError::Lagged(_) => Some("everything".to_owned()),
            RecvError::Closed => None,
        };
        tokio::select! {
            () = self.page.stop.cancelled() => None,
            changed = self.core.recv() => changed.map_or_else(lagged, |changed| Some(key(changed))),
            changed = self.own.recv() => changed.map_or_else(lagged, Some),
        }
    }

    /// The next event: what changed until it may be sent.
    async fn event(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        let mut keys = BTreeSet::new();
        match self.next_at {
            None => {
                keys.insert("everything".to_owned());
            }
            Some(next_at) => {
                keys.insert(self.key().await?);
                while let Ok(key) = timeout_at(next_at, self.key()).await {
                    keys.insert(key?);
                }
            }
        }
        if keys.len() > MAX_KEYS || keys.contains("everything") {
            keys = BTreeSet::from(["everything".to_owned()]);
        }
        self.next_at = Some(Instant::now() + PACE);
        let version = self.page.version.fetch_add(1, Ordering::Relaxed);
        let data = ChangedJson {
            keys: &keys,
            version,
        };
        let event = Event::default().event("changed").json_data(data).ok()?;
        Some((Ok(event), self))
    }
}

/// `GET /api/events`
pub async fn events(
    State(page): State<Arc<Page>>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let watch = Watch {
        core: page.kolonne.subscribe(),
        own: page.own_changes.subscribe(),
        next_at: None,
        page,
    };
    Sse::new(stream::unfold(watch, Watch::event))
        .keep_alive(KeepAlive::new().interval(ALIVE).text("alive"))
}
