//! One connection at a time receives an upload. Who comes later, to append or to ask how far it
//! came, lets the one before write what has arrived and then has it end (the draft's
//! *Concurrency*): else a phone that reconnects is told an offset that is already passed.
//!
//! It knows names and turns, nothing of bytes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio_util::sync::CancellationToken;

use crate::service::lock;

/// The uploads being received now; as many as there are connections.
#[derive(Default)]
pub(super) struct Turns(Mutex<HashMap<String, Arc<Signs>>>);

#[derive(Default)]
struct Signs {
    give_way: CancellationToken,
    over: CancellationToken,
}

/// A turn; it ends when this is dropped.
pub(super) struct Turn {
    turns: Arc<Turns>,
    name: String,
    signs: Arc<Signs>,
}

impl Turns {
    /// Takes the next turn at an upload, once the one before is over.
    pub async fn take(turns: &Arc<Self>, name: &str) -> Turn {
        let turn = Turn {
            turns: Arc::clone(turns),
            name: name.to_owned(),
            signs: Arc::default(),
        };
        let before = lock(&turns.0).insert(turn.name.clone(), Arc::clone(&turn.signs));
        if let Some(before) = before {
            before.give_way.cancel();
            before.over.cancelled().await;
        }
        turn
    }
}

impl Turn {
    /// Somebody else waits for this turn to end.
    pub async fn give_way(&self) {
        self.signs.give_way.cancelled().await;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.signs.over.cancel();
        let mut turns = lock(&self.turns.0);
        if turns
            .get(&self.name)
            .is_some_and(|signs| Arc::ptr_eq(signs, &self.signs))
        {
            turns.remove(&self.name);
        }
    }
}
