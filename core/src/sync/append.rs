//! Getting a change into the roster: drafted on its newest op, handed to the hub, drafted anew as
//! often as someone else was faster.

use std::sync::Arc;

use kolonne_model::hub::{AppendRoster, Hub, HubError, Part};
use kolonne_model::roster::{Effect, Link, Roster};
use kolonne_model::strand::VerifiedOp;
use rusqlite::{Connection, Transaction};

use super::{blocking, confirm_next, pull_roster};
use crate::error::Error;
use crate::kolonne::Inner;
use crate::oplog;
use crate::roster_op::page_of;
use crate::transport::Line;

/// How often a change is drafted anew because the roster moved on.
pub(crate) const DRAFTS: usize = 5;

/// A roster op that may be at the hub though no answer came back, and what belongs with it.
pub(crate) struct Drafted<T> {
    pub op: VerifiedOp,
    pub parts: Vec<Vec<u8>>,
    pub with: T,
}

impl<T> Drafted<T> {
    /// Where it stands in the roster; none: not there.
    fn link<'a>(&self, roster: &'a Roster) -> Option<&'a Link> {
        let mut newest_first = roster.links().iter().rev();
        newest_first.find(|link| link.id == self.op.id())
    }

    fn request(&self) -> AppendRoster {
        let part = |bytes: &Vec<u8>| Part {
            op: self.op.id(),
            bytes: bytes.clone().into(),
        };
        AppendRoster {
            page: page_of(&self.op).into(),
            parts: self.parts.iter().map(part).collect(),
        }
    }

    /// Keeps it after the hub took it, and appends it to `roster`; twice is as once. Where it
    /// stands.
    pub fn keep(&self, tx: &Transaction<'_>, roster: &mut Roster) -> Result<Link, Error> {
        if self.link(roster).is_none() {
            oplog::keep_link(tx, &self.op)?;
            roster.append(&self.op);
            confirm_next(tx, roster.links().len())?;
        }
        for part in &self.parts {
            oplog::keep_part(tx, &self.op.id(), part)?;
            roster.add_part(part);
        }
        match self.link(roster) {
            Some(link) if link.effect == Effect::Applied => Ok(*link),
            _ => Err(Error::internal("roster")),
        }
    }
}

/// Gets a change into the roster at the hub. `sent` remembers every draft, since one may have
/// arrived though its answer was lost: then that one is the answer.
///
/// # Errors
/// `Busy` if the roster moves on faster than this can follow; `Offline`; what `draft` says.
pub(crate) async fn append<T: Send + Sync + 'static>(
    inner: &Arc<Inner>,
    hub: &Line,
    sent: &mut Vec<Arc<Drafted<T>>>,
    draft: impl Fn(&Connection, &Roster) -> Result<Drafted<T>, Error> + Clone + Send + 'static,
) -> Result<Arc<Drafted<T>>, Error> {
    for _ in 0..DRAFTS {
        pull_roster(inner, hub).await?;
        let roster = inner.store.read(|db| inner.chain(db))?;
        if let Some(there) = sent.iter().find(|drafted| drafted.link(&roster).is_some()) {
            return Ok(Arc::clone(there));
        }
        let draft = draft.clone();
        let drafted = blocking(inner, move |inner| {
            inner.store.read(|db| draft(db, &roster))
        });
        let drafted = Arc::new(drafted.await?);
        sent.push(Arc::clone(&drafted));
        match hub.append_roster(drafted.request()).await {
            Ok(()) => return Ok(drafted),
            Err(HubError::RosterMoved) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::Busy)
}
