//! What office devices do when a date has come: end seats whose time is over, and renew rings.
//!
//! Once a calendar year an office device gives the office's and the crews' rings new generations, so
//! that the next word in each thread is sealed under a new key, for who is there now.
//!
//! An act of an office person's open seat on an office device, never of a reader's clock. Two offices
//! at once do no harm: the second drafts anew and finds nothing due. What another dated ahead counts
//! from when it was here by this device's own calendar, so that no wrong clock puts a year off for all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kolonne_model::ids::{OpId, RingId, SeatId};
use kolonne_model::roster::change::{Change, DeviceKind, EndMode, RingKind, Role, Subject};
use kolonne_model::roster::{Effect, Roster, read_body};
use kolonne_model::strand::VerifiedOp;
use rusqlite::{Connection, OptionalExtension, params};

use super::{Sync, blocking};
use crate::error::Error;
use crate::kolonne::Inner;
use crate::oplog;
use crate::rings::ends;
use crate::rings::{self, Leaving};
use crate::roster_op::roster_op;
use crate::store::{get_meta, set_meta};
use crate::sync::{Drafted, append};

/// Rings in one roster op: with their wraps they fit a payload.
pub(super) const RINGS_PER_OP: usize = 12;
/// Where the year is kept that all is done for.
const DONE: &str = "rings_year";
/// Where it is kept through which link, in which year, it is noted when renewals came.
const NOTED: &str = "renewals_noted";
/// A clock that shows an earlier year has lost its time, and calls for nothing.
const EARLIEST_YEAR: u64 = 2026;
const DAY_MS: u64 = 24 * 3600 * 1000;

/// The calendar year (UTC) of a time.
fn year_of(time_ms: u64) -> u64 {
    // Days since 1 March of year 0, by eras of 400 years: leap days come last that way.
    let days = time_ms / DAY_MS + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let after_december = day_of_year >= 306;
    era * 400 + year + u64::from(after_december)
}

impl Sync<'_> {
    /// Renews what is of an earlier year, if this device may.
    pub(super) async fn renew_rings(&mut self) -> Result<(), Error> {
        blocking(self.inner, Inner::note_renewals).await?;
        let Some((year, seat)) = blocking(self.inner, Inner::to_renew).await? else {
            return Ok(());
        };
        loop {
            let clock = Arc::clone(&self.inner.config.clock);
            let inner = Arc::clone(self.inner);
            let drafted = append(self.inner, &self.hub, &mut Vec::new(), move |db, roster| {
                let due = due_rings(db, roster, year)?;
                if due.is_empty() {
                    return Err(Error::NotFound { kind: "due" });
                }
                let author = inner.reader(db, &seat)?;
                let changes = due
                    .iter()
                    .take(RINGS_PER_OP)
                    .map(|ring| {
                        let by = Some(&author);
                        rings::next_generation(db, roster, ring, Leaving::default(), &[], by)
                            .map(Change::Ring)
                    })
                    .collect::<Result<_, _>>()?;
                Ok(Drafted {
                    op: roster_op(roster, &author.secret, clock(), changes)?,
                    parts: Vec::new(),
                    with: (),
                })
            })
            .await;
            match drafted {
                Ok(drafted) => {
                    blocking(self.inner, move |inner| {
                        inner.keep_change(&drafted)?;
                        inner.note_renewals()
                    })
                    .await?;
                }
                Err(Error::NotFound { kind: "due" }) => {
                    return self
                        .inner
                        .store
                        .write(|tx| set_meta(tx, DONE, &year.to_be_bytes()));
                }
                // Another office is at it: the next sync looks again.
                Err(Error::Busy) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

impl Sync<'_> {
    /// Ends the seats whose time is over, softly: what they wrote before still counts.
    pub(super) async fn end_expired(&mut self) -> Result<(), Error> {
        let Some(seat) = blocking(self.inner, Inner::to_end).await? else {
            return Ok(());
        };
        let clock = Arc::clone(&self.inner.config.clock);
        let inner = Arc::clone(self.inner);
        let drafted = append(self.inner, &self.hub, &mut Vec::new(), move |db, roster| {
            let subjects = expired(roster, clock());
            if subjects.is_empty() {
                return Err(Error::NotFound { kind: "due" });
            }
            let author = inner.author(db, &seat)?;
            let changes = ends(db, roster, &author, &subjects, EndMode::Soft, (&[], None))?;
            Ok(Drafted {
                op: roster_op(roster, &author.secret, clock(), changes)?,
                parts: Vec::new(),
                with: (),
            })
        })
        .await;
        match drafted {
            Ok(drafted) => blocking(self.inner, move |inner| inner.keep_change(&drafted)).await,
            // Another office was faster.
            Err(Error::NotFound { kind: "due" } | Error::Busy) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Seats of people below the office whose time is over, a few at once.
fn expired(roster: &Roster, now_ms: u64) -> Vec<Subject> {
    roster
        .seats()
        .filter(|(id, seat)| {
            let over = seat.cert.not_after_ms.is_some_and(|until| until <= now_ms);
            over && seat.cert.role < Role::Office && roster.ends_of(id).next().is_none()
        })
        .map(|(id, _)| Subject::Seat(*id))
        .take(RINGS_PER_OP)
        .collect()
}

impl Inner {
    /// An open seat here that may end those whose time is over; none: there are none.
    fn to_end(&self) -> Result<Option<SeatId>, Error> {
        self.store.read(|db| {
            let roster = self.roster(db)?;
            if expired(&roster, self.now_ms()).is_empty() {
                return Ok(None);
            }
            self.office_seat(db, &roster)
        })
    }

    fn is_office(&self, roster: &Roster) -> bool {
        let device = roster.device(&self.device);
        device.is_some_and(|device| device.cert.kind == DeviceKind::Office)
    }

    /// An open seat of an office person, if this is an office's device.
    pub(super) fn office_seat(
        &self,
        db: &Connection,
        roster: &Roster,
    ) -> Result<Option<SeatId>, Error> {
        if !self.is_office(roster) || roster.needs_newer_app() {
            return Ok(None);
        }
        Ok(crate::keys::own_seats(db)?.into_iter().find(|seat| {
            roster.role_now(seat) >= Some(Role::Office) && self.reader(db, seat).is_ok()
        }))
    }

    /// Notes in which year renewals were here first; one that was noted in a year that isn't yet, when
    /// the clock was wrong, was here this year at the latest.
    fn note_renewals(&self) -> Result<(), Error> {
        let year = year_of(self.now_ms());
        let chain = self.store.read(|db| self.chain(db))?;
        let (Some(last), true) = (chain.links().last(), year >= EARLIEST_YEAR) else {
            return Ok(());
        };
        if !self.is_office(&chain) {
            return Ok(());
        }
        let noted = [&year.to_be_bytes()[..], &last.id.0].concat();
        if self.store.read(|db| get_meta(db, NOTED))?.as_ref() == Some(&noted) {
            return Ok(());
        }
        let thread = self.company.roster_thread();
        self.store.write(|tx| {
            for op in oplog::roster_ops(tx, &thread, 1)? {
                if made_rings(&op).next().is_some() {
                    tx.prepare_cached("INSERT OR IGNORE INTO renewals (op, year) VALUES (?1, ?2)")?
                        .execute(params![op.id().0.as_slice(), year.cast_signed()])?;
                }
            }
            tx.execute(
                "UPDATE renewals SET year = ?1 WHERE year > ?1",
                [year.cast_signed()],
            )?;
            set_meta(tx, NOTED, &noted)
        })
    }

    /// The year to renew for, and an open seat that may; none: nothing to do here now.
    fn to_renew(&self) -> Result<Option<(u64, SeatId)>, Error> {
        self.store.read(|db| {
            let year = year_of(self.now_ms());
            let done = get_meta(db, DONE)?.and_then(|bytes| bytes.try_into().ok());
            if done.map(u64::from_be_bytes) == Some(year) || year < EARLIEST_YEAR {
                return Ok(None);
            }
            let roster = self.roster(db)?;
            let seat = self.office_seat(db, &roster)?;
            Ok(seat.map(|seat| (year, seat)))
        })
    }
}

/// The office's ring and the crews' of which an op makes a generation.
fn made_rings(op: &VerifiedOp) -> impl Iterator<Item = RingId> {
    let body = read_body(op.op().payload.as_deref());
    let changes = body.map(|body| body.changes).unwrap_or_default();
    changes.into_iter().filter_map(|change| match change {
        Change::Ring(ring) if matches!(ring.kind, RingKind::Office | RingKind::Crew) => {
            Some(ring.ring)
        }
        _ => None,
    })
}

/// The year in which an op was here first.
fn year_here(db: &Connection, op: &OpId) -> Result<Option<u64>, Error> {
    let year: Option<i64> = db
        .prepare_cached("SELECT year FROM renewals WHERE op = ?1")?
        .query_row([op.0.as_slice()], |row| row.get(0))
        .optional()?;
    Ok(year.map(i64::cast_unsigned))
}

/// The office's ring and the crews' whose newest generation is of an earlier year, as its author's
/// clock said or this device's when it came, whichever is the earlier.
fn due_rings(db: &Connection, roster: &Roster, year: u64) -> Result<BTreeSet<RingId>, Error> {
    let mut made: BTreeMap<RingId, u64> = BTreeMap::new();
    let applied: BTreeSet<OpId> = roster
        .links()
        .iter()
        .filter(|link| link.effect == Effect::Applied)
        .map(|link| link.id)
        .collect();
    for op in oplog::roster_ops(db, &roster.company().roster_thread(), 1)? {
        if !applied.contains(&op.id()) {
            continue;
        }
        let here = year_here(db, &op.id())?.unwrap_or(year);
        for ring in made_rings(&op) {
            made.insert(ring, year_of(op.context().time_ms).min(here));
        }
    }
    let in_use: BTreeSet<RingId> = roster
        .devices()
        .filter(|(id, _)| !roster.device_has_ended(id))
        .filter_map(|(_, device)| device.crews.last().and_then(|(_, crew)| *crew))
        .chain(roster.the_ring(RingKind::Office))
        .collect();
    Ok(made
        .into_iter()
        .filter(|(ring, of)| *of < year && in_use.contains(ring))
        .map(|(ring, _)| ring)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn years_are_those_of_the_calendar() {
        for (time_ms, year) in [
            (0, 1970),
            (1_704_067_199_999, 2023),
            (1_704_067_200_000, 2024),
            (1_735_689_599_999, 2024),
            (1_735_689_600_000, 2025),
            (4_107_542_400_000, 2100),
            (951_782_400_000, 2000),
        ] {
            assert_eq!(year_of(time_ms), year, "{time_ms}");
        }
    }
}
