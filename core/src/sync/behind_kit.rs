//! What the kit began and couldn't end: next generations for rings that are older than its latest word.
//!
//! Whoever replaces a kit or undoes what a captured computer did gives rings new keys, in as many roster
//! ops as that takes. If that breaks off, an admin's open seat on an office device goes on with the next
//! sync, without the kit. Never does this module decide anything: the kit did.

use std::collections::BTreeSet;
use std::sync::Arc;

use kolonne_model::ids::{OpId, RingId, SeatId};
use kolonne_model::roster::change::{Change, RingKind, Role};
use kolonne_model::roster::{Effect, Roster, read_body};
use rusqlite::Connection;

use super::due::RINGS_PER_OP;
use super::{Sync, blocking};
use crate::error::Error;
use crate::kolonne::Inner;
use crate::oplog;
use crate::rings::{self, Leaving};
use crate::roster_op::roster_op;
use crate::store::{get_meta, set_meta};
use crate::sync::{Drafted, append};

/// The newest op up to which the chain was looked through, with nothing left to do.
const FOLLOWED: &str = "kit_followed";

impl Sync<'_> {
    /// Gives the rings behind the kit's latest word their next generations, if this device may.
    pub(super) async fn follow_the_kit(&mut self) -> Result<(), Error> {
        let Some((seat, at)) = blocking(self.inner, Inner::to_follow).await? else {
            return Ok(());
        };
        loop {
            let clock = Arc::clone(&self.inner.config.clock);
            let inner = Arc::clone(self.inner);
            let drafted = append(self.inner, &self.hub, &mut Vec::new(), move |db, roster| {
                let author = inner.author(db, &seat)?;
                let changes = behind(db, roster)?
                    .iter()
                    .take(RINGS_PER_OP)
                    .map(|ring| {
                        let by = Some(&author);
                        rings::next_generation(db, roster, ring, Leaving::default(), &[], by)
                            .map(Change::Ring)
                    })
                    .collect::<Result<Vec<_>, _>>()?;
                if changes.is_empty() {
                    return Err(Error::NotFound { kind: "due" });
                }
                Ok(Drafted {
                    op: roster_op(roster, &author.secret, clock(), changes)?,
                    parts: Vec::new(),
                    with: (),
                })
            })
            .await;
            match drafted {
                Ok(drafted) => {
                    blocking(self.inner, move |inner| inner.keep_change(&drafted)).await?;
                }
                Err(Error::NotFound { kind: "due" }) => {
                    return self.inner.store.write(|tx| set_meta(tx, FOLLOWED, &at.0));
                }
                // Another office, or the kit itself, is at it: the next sync looks again.
                Err(Error::Busy) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

impl Inner {
    /// An open seat of an admin on a device of the office, and the chain's newest op; none: nothing to do.
    fn to_follow(&self) -> Result<Option<(SeatId, OpId)>, Error> {
        self.store.read(|db| {
            let roster = self.roster(db)?;
            let Some(last) = roster.links().last() else {
                return Ok(None);
            };
            if get_meta(db, FOLLOWED)?.as_deref() == Some(&last.id.0) {
                return Ok(None);
            }
            let seat = self.office_seat(db, &roster)?;
            Ok(seat
                .filter(|seat| roster.role_now(seat) == Some(Role::Admin))
                .map(|seat| (seat, last.id)))
        })
    }
}

/// The rings whose newest generation is older than the op by which the kit was replaced or something
/// undone last.
fn behind(db: &Connection, roster: &Roster) -> Result<BTreeSet<RingId>, Error> {
    let counts: BTreeSet<OpId> = roster
        .links()
        .iter()
        .filter(|link| link.effect == Effect::Applied && link.holds())
        .map(|link| link.id)
        .collect();
    let all = || {
        let rings = roster.rings();
        rings.filter(|(_, ring)| ring.kind != RingKind::Recovery)
    };
    let mut behind = BTreeSet::new();
    for op in oplog::roster_ops(db, &roster.company().roster_thread(), 1)? {
        if !counts.contains(&op.id()) {
            continue;
        }
        let body = read_body(op.op().payload.as_deref());
        let changes = body.map(|body| body.changes).unwrap_or_default();
        let is_the_kits = |change: &Change| match change {
            Change::RootKey(_) => true,
            Change::Adopt(adopt) => adopt.branch.is_none(),
            _ => false,
        };
        if changes.iter().any(is_the_kits) {
            behind = all().map(|(id, _)| *id).collect();
        }
        for change in changes {
            if let Change::Ring(ring) = change {
                behind.remove(&ring.ring);
            }
        }
    }
    Ok(behind)
}
