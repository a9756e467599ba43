//! The list of threads: heads, last lines, unread counts, backlogs, search.

use std::collections::HashMap;

use kolonne_model::control::ThreadKind;
use kolonne_model::ids::{OpId, RingId, SeatId, ThreadId};
use kolonne_model::roster::change::RingKind;
use rusqlite::{OptionalExtension, params};

use super::backlog::missing_blobs;
use super::{Desk, IS_SHOWN, NAME_MARK, lacking, promised, row_of, snippet};
use crate::error::Error;
use crate::folding::{kind_code, thread_kind};
use crate::kolonne::{Kolonne, op_id, seat_id, thread_id};
use crate::records::{LastLine, Member, MemberKind, Thread, ThreadRow};

impl Kolonne {
    /// Threads, newest last line first; with a query, those in which it is found.
    pub fn threads(&self, seat: &SeatId, query: &str) -> Result<Vec<ThreadRow>, Error> {
        self.at_desk(|desk| {
            let query = query.trim();
            let mut statement = desk.db.prepare_cached(
                "SELECT thread, sort_ms FROM view_threads
                     WHERE kind <> 1 OR last_entry IS NOT NULL
                 UNION ALL SELECT thread, last_time_ms FROM promised_threads
                     WHERE thread NOT IN (SELECT thread FROM view_threads)
                 ORDER BY sort_ms DESC, thread",
            )?;
            let threads = statement.query_map([], |row| row.get::<_, Vec<u8>>(0))?;
            let hits = if query.is_empty() {
                None
            } else {
                Some(search(desk, seat, query)?)
            };
            let mut rows = Vec::new();
            for thread in threads {
                let thread = thread_id(&thread?)?;
                if may_see(desk, seat, &thread).is_err() {
                    continue;
                }
                let mut row = thread_row(desk, seat, &thread)?;
                if let Some(hits) = &hits {
                    row.hit = hits.get(&thread).cloned();
                    if row.hit.is_none() && !head_matches(&row, query) {
                        continue;
                    }
                }
                rows.push(row);
            }
            Ok(rows)
        })
    }

    /// Whether a person of this device may see a thread: a direct one only if they are in it.
    ///
    /// # Errors
    /// `NotFound` (`thread`) if not.
    pub fn may_see(&self, seat: &SeatId, thread: &ThreadId) -> Result<(), Error> {
        self.at_desk(|desk| may_see(desk, seat, thread))
    }

    /// One thread.
    pub fn thread(&self, seat: &SeatId, thread: &ThreadId) -> Result<Thread, Error> {
        self.at_desk(|desk| {
            may_see(desk, seat, thread)?;
            let row = thread_row(desk, seat, thread)?;
            let opened: Option<(Vec<u8>, i64)> = desk
                .db
                .query_row(
                    "SELECT opened_by, opened_ms FROM view_threads WHERE thread = ?1",
                    [thread.0.as_slice()],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )
                .optional()?;
            let Some((opened_by, opened_ms)) = opened else {
                // Promised: who opened it and who is in it, its ops will say.
                return Ok(Thread {
                    row,
                    members: Vec::new(),
                    opened_by: String::new(),
                    opened_ms: 0,
                    key_comes_from: Vec::new(),
                });
            };
            let mut statement = desk
                .db
                .prepare_cached("SELECT ring FROM view_members WHERE thread = ?1")?;
            let rings =
                statement.query_map([thread.0.as_slice()], |row| row.get::<_, Vec<u8>>(0))?;
            let own_rings = desk.own_rings();
            let mut members: Vec<Member> = Vec::new();
            for ring in rings {
                let id = RingId::try_from(ring?.as_slice()).map_err(|_| Error::Corrupt)?;
                let id = own_rings.get(&id).copied().unwrap_or(id);
                if members.iter().any(|member| member.id == id) {
                    continue;
                }
                let kind = match desk.roster.ring(&id).map(|ring| ring.kind) {
                    Some(RingKind::Crew) => MemberKind::Crew,
                    Some(RingKind::Person) => MemberKind::Person,
                    Some(RingKind::Office) => MemberKind::Office,
                    Some(RingKind::Recovery) | None => continue,
                };
                members.push(Member {
                    kind,
                    id,
                    name: desk.name(&id.0),
                });
            }
            members.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
            let key_comes_from = lacking::key_comes_from(desk, seat, &row)?;
            Ok(Thread {
                row,
                members,
                key_comes_from,
                opened_by: desk.seat_name(&seat_id(&opened_by)?),
                opened_ms: opened_ms.cast_unsigned(),
            })
        })
    }
}

/// A direct thread is there for its people alone, on a phone that others write on too, and while
/// their PIN is in. One that
/// this seat was taken out of before anything of it could be read isn't there at all.
pub(crate) fn may_see(desk: &Desk<'_>, seat: &SeatId, thread: &ThreadId) -> Result<(), Error> {
    let person = desk
        .seat_person(seat)
        .filter(|_| !desk.is_locked(seat))
        .unwrap_or(RingId::ZERO);
    let row: Option<(bool, bool)> = desk
        .db
        .prepare_cached(
            "SELECT kind <> ?2 OR EXISTS (SELECT 1 FROM view_members m
                WHERE m.thread = t.thread AND m.ring = ?3),
                title IS NOT NULL OR last_entry IS NOT NULL
             FROM view_threads t WHERE t.thread = ?1",
        )?
        .query_row(
            params![
                thread.0.as_slice(),
                kind_code(ThreadKind::Direct),
                person.0.as_slice()
            ],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    let may = match row {
        Some((may, has_words)) => may && (has_words || is_member(desk, seat, thread)?),
        // What is only promised is never a direct thread.
        None => promised::row(desk, thread)?.is_some(),
    };
    if may {
        Ok(())
    } else {
        Err(Error::NotFound { kind: "thread" })
    }
}

/// The other people of a direct thread, by name.
pub(super) fn others(
    desk: &Desk<'_>,
    seat: &SeatId,
    thread: &ThreadId,
) -> Result<Vec<String>, Error> {
    let own = desk.seat_person(seat);
    let mut statement = desk
        .db
        .prepare_cached("SELECT ring FROM view_members WHERE thread = ?1")?;
    let rings = statement.query_map([thread.0.as_slice()], |row| row.get::<_, Vec<u8>>(0))?;
    let mut names = Vec::new();
    for ring in rings {
        let ring = RingId::try_from(ring?.as_slice()).map_err(|_| Error::Corrupt)?;
        let is_person = desk.roster.ring(&ring).map(|ring| ring.kind) == Some(RingKind::Person);
        if is_person && own != Some(ring) {
            names.push(desk.name(&ring.0));
        }
    }
    names.sort();
    Ok(names)
}

fn thread_row(desk: &Desk<'_>, seat: &SeatId, thread: &ThreadId) -> Result<ThreadRow, Error> {
    let row = desk
        .db
        .prepare_cached(
            "SELECT kind, title, status, customer, address, last_entry, held, quarantined
             FROM view_threads WHERE thread = ?1",
        )?
        .query_row([thread.0.as_slice()], |row| {
            Ok(ThreadRow {
                id: *thread,
                kind: thread_kind(row.get(0)?),
                title: row.get::<_, Option<String>>(1)?.unwrap_or_default(),
                status: row.get(2)?,
                customer: row.get(3)?,
                address: row.get(4)?,
                unread: 0,
                last: None,
                backlog: Vec::new(),
                held: row.get::<_, i64>(6)?.cast_unsigned(),
                quarantined: row.get::<_, i64>(7)?.cast_unsigned(),
                member: true,
                hit: None,
            })
            .map(|record| (record, row.get::<_, Option<Vec<u8>>>(5)))
        })
        .optional()?;
    let Some((mut record, last)) = row else {
        return promised::row(desk, thread)?.ok_or(Error::NotFound { kind: "thread" });
    };
    if record.kind == ThreadKind::Company && record.title.is_empty() {
        record.title = desk.names.get(&Vec::new()).cloned().unwrap_or_default();
    }
    if record.kind == ThreadKind::Direct {
        record.title = others(desk, seat, thread)?.join(", ");
    }
    if let Some(last) = last? {
        record.last = row_of(desk, &op_id(&last)?)?.map(|row| LastLine {
            author: desk.seat_name(&row.seat),
            own: desk.seat_person(&row.seat).is_some()
                && desk.seat_person(&row.seat) == desk.seat_person(seat),
            kind: row.kind(),
            text: row.line(),
            time_ms: row.shown_time_ms(),
            clock: row.clock(),
        });
    }
    promised::fill(desk, &mut record)?;
    record.member = is_member(desk, seat, thread)?;
    if !record.member {
        // Nothing more comes.
        record.held = 0;
    }
    record.unread = unread(desk, seat, thread)?;
    record.backlog = missing_blobs(desk, Some(thread))?.into_values().collect();
    Ok(record)
}

/// Whether a seat speaks for a member of a thread.
pub(super) fn is_member(desk: &Desk<'_>, seat: &SeatId, thread: &ThreadId) -> Result<bool, Error> {
    let (position, _) = desk.roster.head();
    let mut statement = desk.db.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM view_members WHERE thread = ?1 AND ring = ?2)",
    )?;
    for ring in desk.roster.speaks_for(seat, position) {
        let params = params![thread.0.as_slice(), ring.0.as_slice()];
        if statement.query_row(params, |row| row.get(0))? {
            return Ok(true);
        }
    }
    Ok(false)
}

const UNREAD: &str = "FROM view_entries e
    LEFT JOIN view_read r ON r.thread = e.thread AND r.person = ?2
        AND r.seat = e.seat AND r.store = e.store
    WHERE e.thread = ?1 AND e.person IS NOT ?2 AND e.kind < 10 AND e.retracted = 0
        AND e.kept_back IS NULL
        AND e.seq > coalesce(r.seq, 0)";

fn unread(desk: &Desk<'_>, seat: &SeatId, thread: &ThreadId) -> Result<u64, Error> {
    let person = desk.seat_person(seat).unwrap_or(RingId::ZERO);
    let count: i64 = desk
        .db
        .prepare_cached(&format!("SELECT count(*) {UNREAD}"))?
        .query_row(params![thread.0.as_slice(), person.0.as_slice()], |row| {
            row.get(0)
        })?;
    Ok(count.cast_unsigned())
}

pub(super) fn first_unread(
    desk: &Desk<'_>,
    seat: &SeatId,
    thread: &ThreadId,
) -> Result<Option<OpId>, Error> {
    let person = desk.seat_person(seat).unwrap_or(RingId::ZERO);
    let sql = format!(
        "SELECT e.id {UNREAD} ORDER BY e.shown_lamport, e.seat, e.store, e.seq, e.id LIMIT 1"
    );
    let id: Option<Vec<u8>> = desk
        .db
        .prepare_cached(&sql)?
        .query_row(params![thread.0.as_slice(), person.0.as_slice()], |row| {
            row.get(0)
        })
        .optional()?;
    id.map(|id| op_id(&id)).transpose()
}

/// Each word of a query as a prefix, quoted so that nothing in it is syntax.
fn fts_query(query: &str) -> String {
    let words = query.split_whitespace().take(8);
    words
        .map(|word| format!("\"{}\"*", word.replace('"', "\"\"")))
        .collect::<Vec<_>>()
        .join(" ")
}

fn search(desk: &Desk<'_>, seat: &SeatId, query: &str) -> Result<HashMap<ThreadId, String>, Error> {
    let reader = desk.seat_person(seat).unwrap_or(RingId::ZERO);
    let mut statement = desk.db.prepare_cached(&format!(
        "SELECT e.thread, e.words FROM view_search s JOIN view_entries e ON e.place = s.rowid
         WHERE view_search MATCH ?1 AND {IS_SHOWN} ORDER BY e.time_ms DESC LIMIT 1000"
    ))?;
    let rows = statement.query_map(params![fts_query(query), reader.0.as_slice()], |row| {
        Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Option<String>>(1)?))
    })?;
    let mut hits = HashMap::new();
    for row in rows {
        let (thread, words) = row?;
        let words = words.unwrap_or_default().replace(NAME_MARK, " ");
        hits.entry(thread_id(&thread)?)
            .or_insert_with(|| snippet(words.trim()));
    }
    Ok(hits)
}

fn head_matches(row: &ThreadRow, query: &str) -> bool {
    let head = [
        Some(&row.title),
        row.customer.as_ref(),
        row.address.as_ref(),
    ];
    let head = head
        .into_iter()
        .flatten()
        .map(|text| text.to_lowercase())
        .collect::<Vec<_>>();
    query
        .to_lowercase()
        .split_whitespace()
        .all(|word| head.iter().any(|text| text.contains(word)))
}
