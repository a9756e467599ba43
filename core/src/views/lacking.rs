//! Direct threads that wait for somebody's PIN: not shown until it is in, or unreadable on a new phone
//! until another member's phone, with its PIN in, has made the key that opens them. Nothing here says
//! what is in one.

use kolonne_model::control::ThreadKind;
use kolonne_model::ids::{RingId, SeatId, ThreadId};
use kolonne_model::judge::{ThreadControl, ThreadOps, control_state};
use kolonne_model::roster::change::RingKind;
use rusqlite::params;

use super::Desk;
use super::threads::others;
use crate::complaints::{lacks_a_key_here, who_lacks_a_key};
use crate::error::Error;
use crate::folding::kind_code;
use crate::kolonne::thread_id;
use crate::oplog;
use crate::records::ThreadRow;

/// How many direct threads of a seat's person its PIN hides.
pub(super) fn direct_hidden(desk: &Desk<'_>, seat: &SeatId) -> Result<u32, Error> {
    let Some(person) = desk.seat_person(seat).filter(|_| desk.is_locked(seat)) else {
        return Ok(0);
    };
    let count = desk
        .db
        .prepare_cached(
            "SELECT count(*) FROM view_threads t JOIN view_members m ON m.thread = t.thread
             WHERE t.kind = ?1 AND m.ring = ?2",
        )?
        .query_row(
            params![kind_code(ThreadKind::Direct), person.0.as_slice()],
            |row| row.get(0),
        )?;
    Ok(count)
}

/// Who gets at a direct thread again by what this device does once a seat's PIN is in.
pub(super) fn awaited_by(desk: &Desk<'_>, seat: &SeatId) -> Result<Vec<String>, Error> {
    let Some(person) = desk.seat_person(seat).filter(|_| desk.is_locked(seat)) else {
        return Ok(Vec::new());
    };
    let mut statement = desk.db.prepare_cached(
        "SELECT t.thread FROM view_mending t JOIN view_members m ON m.thread = t.thread
         JOIN view_threads v ON v.thread = t.thread WHERE v.kind = ?1 AND m.ring = ?2",
    )?;
    let threads = statement.query_map(
        params![kind_code(ThreadKind::Direct), person.0.as_slice()],
        |row| row.get::<_, Vec<u8>>(0),
    )?;
    let mut people: Vec<RingId> = Vec::new();
    for thread in threads {
        let thread = thread_id(&thread?)?;
        people.extend(who_lacks_a_key(
            desk.db,
            desk.roster,
            &thread,
            &control(desk, &thread)?,
        )?);
    }
    let is_person = |ring: &RingId| {
        desk.roster.ring(ring).map(|ring| ring.kind) == Some(RingKind::Person) && *ring != person
    };
    people.retain(is_person);
    let mut names: Vec<String> = people.iter().map(|ring| desk.name(&ring.0)).collect();
    names.sort();
    names.dedup();
    Ok(names)
}

/// Whose phones bring the key that this device lacks for a direct thread.
pub(super) fn key_comes_from(
    desk: &Desk<'_>,
    seat: &SeatId,
    row: &ThreadRow,
) -> Result<Vec<String>, Error> {
    let waits = row.kind == ThreadKind::Direct && row.held > 0;
    if waits && lacks_a_key_here(desk.db, &row.id, &control(desk, &row.id)?)? {
        others(desk, seat, &row.id)
    } else {
        Ok(Vec::new())
    }
}

fn control(desk: &Desk<'_>, thread: &ThreadId) -> Result<ThreadControl, Error> {
    let ops = oplog::control_of_thread(desk.db, thread)?;
    Ok(control_state(&ThreadOps::new(*thread, &ops), desk.roster))
}
