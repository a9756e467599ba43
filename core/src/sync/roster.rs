//! Giving a hub the roster that it lacks: a new one has none, a restored one an older one. It proves
//! itself, so nobody has to be logged in for it, and no word of the hub's counts here.

use std::sync::Arc;

use kolonne_model::hub::{Door, Founding, Heads, Hub, HubError, RefusalCode};
use kolonne_model::ids::CompanyId;
use kolonne_model::strand::VerifiedOp;

use super::blocking;
use crate::error::Error;
use crate::kolonne::Inner;
use crate::oplog;
use crate::roster_op::page_of;
use crate::transport::Line;

/// Bytes of one request with roster ops.
const PAGE_BYTES: usize = 256 * 1024;

/// Hands over what the hub lacks of the roster; gives the whole of it.
pub(super) async fn hand_over_roster(
    inner: &Arc<Inner>,
    hub: &Line,
) -> Result<Vec<VerifiedOp>, Error> {
    let company = inner.company;
    let ops = blocking(inner, move |inner| {
        inner
            .store
            .read(|db| oplog::roster_ops(db, &company.roster_thread(), 1))
    })
    .await?;
    let has = len_at(inner, hub).await?;
    give_roster(hub, company, ops.get(has..).unwrap_or_default()).await?;
    Ok(ops)
}

/// How many roster ops the hub has; none if it doesn't know this device (yet).
async fn len_at(inner: &Inner, hub: &Line) -> Result<usize, Error> {
    let heads = Heads {
        threads: vec![inner.company.roster_thread()],
    };
    match hub.heads(heads).await {
        Ok(answer) => Ok(answer
            .roster
            .and_then(|at| usize::try_from(at.head.seq).ok())
            .unwrap_or(0)),
        Err(HubError::Refused(RefusalCode::Login) | HubError::NotAllowed | HubError::NotThere) => {
            Ok(0)
        }
        Err(error) => Err(error.into()),
    }
}

/// Gives a hub roster ops in order; those that it has are passed over there.
///
/// # Errors
/// `Invalid` (`hub_url`, `full`) if it takes no further company; `Offline`.
pub(crate) async fn give_roster(
    door: &impl Door,
    company: CompanyId,
    ops: &[VerifiedOp],
) -> Result<(), Error> {
    let mut ops = ops.iter().peekable();
    while ops.peek().is_some() {
        let mut page = Vec::new();
        while let Some(op) = ops.next_if(|_| page.len() < PAGE_BYTES) {
            page.extend(page_of(op));
        }
        let founding = Founding {
            company,
            page: page.into(),
        };
        match door.found(founding).await {
            Ok(()) => {}
            Err(HubError::NotAllowed) => {
                return Err(Error::Invalid {
                    field: "hub_url",
                    code: "full",
                });
            }
            // It has another branch: what is the same of it serves as well.
            Err(HubError::RosterMoved) => {
                tracing::warn!("a hub has another branch of the roster");
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
