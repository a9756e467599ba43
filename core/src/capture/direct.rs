//! Direct threads: a few people among themselves, without the office.
//!
//! Their members are people, not crews: on a shared phone only whose seat is active sees one. Opening
//! is a foreman's and above, as it brings members in; writing in one is anybody's who is in it.

use std::collections::BTreeSet;

use kolonne_model::control::ThreadKind;
use kolonne_model::ids::{RingId, SeatId, ThreadId};
use kolonne_model::roster::change::{RingKind, Role};
use rusqlite::{Connection, params};

use super::job::{add_members, needs_role, open_thread};
use crate::error::Error;
use crate::folding::{self, kind_code};
use crate::kolonne::{Kolonne, thread_id};
use crate::oplog::Moment;
use crate::records::Changed;

impl Kolonne {
    /// Opens the direct thread with these people, or finds the one that is there; without network
    /// too. Foremen and the office.
    ///
    /// # Errors
    /// `Invalid` (`people`: `empty`, `own`), `NotFound` (`person`), `Locked` (`right`).
    pub fn open_direct(&self, seat: &SeatId, people: &[RingId]) -> Result<ThreadId, Error> {
        let invalid = |code| Error::Invalid {
            field: "people",
            code,
        };
        let inner = &self.inner;
        let thread = inner.store.write(|tx| {
            let roster = inner.roster(tx)?;
            let moment = Moment {
                roster: &roster,
                now_ms: inner.now_ms(),
            };
            let own = roster
                .seat(seat)
                .and_then(|record| record.cert.person)
                .ok_or(Error::NotFound { kind: "seat" })?;
            let people: BTreeSet<RingId> = people.iter().copied().collect();
            if people.is_empty() {
                return Err(invalid("empty"));
            }
            if people.contains(&own) {
                return Err(invalid("own"));
            }
            for person in &people {
                let known = roster.ring(person).map(|ring| ring.kind) == Some(RingKind::Person);
                let speaks = roster.seats().any(|(id, record)| {
                    record.cert.person == Some(*person) && roster.ends_of(id).next().is_none()
                });
                if !known || !speaks {
                    return Err(Error::NotFound { kind: "person" });
                }
            }
            let mut members = people.clone();
            members.insert(own);
            if let Some(there) = direct_with(tx, &moment, &members)? {
                return Ok(there);
            }
            needs_role(&moment, seat, Role::Foreman)?;
            let author = inner.author(tx, seat)?;
            let thread = open_thread(tx, &moment, &author, ThreadKind::Direct, own)?;
            let people: Vec<RingId> = people.into_iter().collect();
            add_members(tx, &moment, &author, &thread, &people)?;
            folding::refold(tx, &roster, &inner.device, &thread)?;
            Ok(thread)
        })?;
        inner.tell(Changed::Threads);
        inner.tell(Changed::Me);
        inner.nudge();
        Ok(thread)
    }
}

/// The direct thread of exactly these people; of several the oldest.
fn direct_with(
    db: &Connection,
    moment: &Moment<'_>,
    people: &BTreeSet<RingId>,
) -> Result<Option<ThreadId>, Error> {
    let mut statement = db.prepare_cached(
        "SELECT t.thread, m.ring FROM view_threads t JOIN view_members m ON m.thread = t.thread
         WHERE t.kind = ?1 ORDER BY t.opened_ms, t.thread",
    )?;
    let rows = statement.query_map(params![kind_code(ThreadKind::Direct)], |row| {
        Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?))
    })?;
    let mut threads: Vec<(Vec<u8>, BTreeSet<RingId>)> = Vec::new();
    for row in rows {
        let (thread, ring) = row?;
        let ring = RingId::try_from(ring.as_slice()).map_err(|_| Error::Corrupt)?;
        if threads.last().is_none_or(|(last, _)| *last != thread) {
            threads.push((thread, BTreeSet::new()));
        }
        let is_person = moment.roster.ring(&ring).map(|r| r.kind) == Some(RingKind::Person);
        if let (true, Some((_, members))) = (is_person, threads.last_mut()) {
            members.insert(ring);
        }
    }
    let found = threads.into_iter().find(|(_, members)| members == people);
    found.map(|(thread, _)| thread_id(&thread)).transpose()
}
