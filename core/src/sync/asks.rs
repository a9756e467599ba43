//! The engine's own carrier: what is asked becomes an action for the driver, and waits for the event
//! that answers it. Who stops waiting takes the request back.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use kolonne_model::hub::HubError;
use kolonne_model::ids::PublicKey;

use crate::kolonne::lock;
use crate::transport::{Carried, Carrier, Reply, Request};

/// A request of one engine, in the order in which they were made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AskId(pub u64);

/// A request that the driver is to carry.
#[derive(Debug)]
pub(super) struct Asked {
    pub id: AskId,
    pub to: PublicKey,
    pub request: Request,
}

/// What an engine asks, and what came back.
#[derive(Clone, Default)]
pub(super) struct Asks(Arc<Mutex<Open>>);

#[derive(Default)]
struct Open {
    last: u64,
    new: Vec<Asked>,
    dropped: Vec<AskId>,
    waiting: BTreeMap<AskId, Waiting>,
}

enum Waiting {
    Open(Option<Waker>),
    Answered(Result<Reply, HubError>),
}

impl Asks {
    /// An answer came; one that nobody waits for any more is passed over.
    pub fn answer(&self, id: AskId, answer: Result<Reply, HubError>) {
        let mut open = lock(&self.0);
        if let Some(waiting) = open.waiting.get_mut(&id)
            && let Waiting::Open(waker) = waiting
        {
            let waker = waker.take();
            *waiting = Waiting::Answered(answer);
            drop(open);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    /// What is new: requests to carry, and those that nobody waits for any more.
    pub fn take_new(&self) -> (Vec<Asked>, Vec<AskId>) {
        let mut open = lock(&self.0);
        let new = std::mem::take(&mut open.new);
        let dropped: Vec<AskId> = std::mem::take(&mut open.dropped);
        // Asked and dropped in one step: nobody hears of it.
        let new: Vec<Asked> = new
            .into_iter()
            .filter(|asked| open.waiting.contains_key(&asked.id))
            .collect();
        (new, dropped)
    }
}

impl Carrier for Asks {
    fn carry(&self, to: PublicKey, request: Request) -> Carried<'_> {
        let mut open = lock(&self.0);
        open.last += 1;
        let id = AskId(open.last);
        open.new.push(Asked { id, to, request });
        open.waiting.insert(id, Waiting::Open(None));
        drop(open);
        Box::pin(Wait {
            asks: self.clone(),
            id,
        })
    }
}

struct Wait {
    asks: Asks,
    id: AskId,
}

impl Future for Wait {
    type Output = Result<Reply, HubError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut open = lock(&self.asks.0);
        match open.waiting.remove(&self.id) {
            Some(Waiting::Answered(answer)) => Poll::Ready(answer),
            Some(Waiting::Open(_)) => {
                let waker = Some(context.waker().clone());
                open.waiting.insert(self.id, Waiting::Open(waker));
                Poll::Pending
            }
            None => Poll::Ready(Err(HubError::Unreachable)),
        }
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let mut open = lock(&self.asks.0);
        if let Some(Waiting::Open(_)) = open.waiting.remove(&self.id) {
            open.dropped.push(self.id);
        }
    }
}
