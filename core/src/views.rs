//! What screens read: records built from the views, the roster and the states of blobs.
//!
//! Nothing here writes or folds. How far an entry has come is said from receipts and `seen` marks
//! alone.

mod alarms;
mod backlog;
mod entries;
mod hand_back;
mod history;
mod lacking;
mod people;
mod promised;
mod threads;

pub(crate) use entries::{part_of, standing_body};
pub(crate) use people::{own_rings, people};
pub(crate) use threads::may_see;

use std::collections::{BTreeSet, HashMap};

use kolonne_model::ids::{DeviceId, OpId, RingId, SeatId, ThreadId};
use kolonne_model::roster::Roster;
use kolonne_model::roster::change::{DeviceKind, Role};
use rusqlite::{Connection, OptionalExtension, Row};

use crate::error::Error;
use crate::folding::kind;
use crate::keys;
use crate::kolonne::{Kolonne, op_id, seat_id, thread_id};
use crate::new_hub;
use crate::records::{Author, ClockWord, EntryKind, Me, SeatRecord};
use crate::store::get_meta;

/// A clock further off than this is doubted.
const CLOCK_DOUBT_S: i64 = 120;
/// Characters of a quoted entry.
const SNIPPET_CHARS: usize = 120;
/// Between a document's caption and its name in the searched words.
const NAME_MARK: char = '\u{1f}';

/// Everything a query needs to know beside the tables.
pub(crate) struct Desk<'a> {
    pub db: &'a Connection,
    pub roster: &'a Roster,
    device: DeviceId,
    is_office: bool,
    /// Receipts are of a hub that doesn't answer any more.
    hub_is_new: bool,
    names: HashMap<Vec<u8>, String>,
    /// Seats of this device whose PIN isn't in.
    locked: BTreeSet<SeatId>,
}

impl Desk<'_> {
    /// Whether a seat of this device waits for its PIN.
    pub fn is_locked(&self, seat: &SeatId) -> bool {
        self.locked.contains(seat)
    }

    pub fn name(&self, subject: &[u8]) -> String {
        self.names
            .get(subject)
            .filter(|name| !name.is_empty())
            .cloned()
            .unwrap_or_else(|| {
                // Nothing better is known yet: the id's end tells two unknowns apart.
                let end = subject
                    .get(subject.len().saturating_sub(2)..)
                    .unwrap_or_default();
                format!("…{}", data_encoding::HEXLOWER.encode(end))
            })
    }

    fn seat_person(&self, seat: &SeatId) -> Option<RingId> {
        // Whose certificate was undone still has the name that it gave.
        self.roster.certificate(seat).and_then(|cert| cert.person)
    }

    pub(crate) fn seat_name(&self, seat: &SeatId) -> String {
        match self.seat_person(seat) {
            Some(person) => self.name(&person.0),
            None => self
                .roster
                .certificate(seat)
                .map_or_else(|| self.name(&seat.0), |cert| self.name(&cert.device.0)),
        }
    }

    fn device_of(&self, seat: &SeatId) -> Option<DeviceId> {
        self.roster.seat(seat).map(|seat| seat.cert.device)
    }

    fn author(&self, seat: &SeatId) -> Author {
        let (position, _) = self.roster.head();
        Author {
            person: self.seat_person(seat).unwrap_or(RingId(seat.0)),
            name: self.seat_name(seat),
            role: self.roster.role_at(seat, position).unwrap_or(Role::Crew),
        }
    }
}

/// An entry's row in the view.
struct EntryRow {
    id: OpId,
    thread: ThreadId,
    seat: SeatId,
    store: Vec<u8>,
    seq: u32,
    time_ms: u64,
    offset_s: Option<i64>,
    kind: i64,
    words: Option<String>,
    edited: bool,
    retracted: bool,
    reason: Option<String>,
    reply_to: Option<Vec<u8>>,
    seen: bool,
    kept_back: Option<i64>,
    change: Option<Vec<u8>>,
    change_why: Option<i64>,
}

const ENTRY_COLUMNS: &str = "e.id, e.thread, e.seat, e.store, e.seq, e.time_ms,
    e.offset_s, e.kind, e.words, e.edited, e.retracted, e.reason, e.reply_to, e.seen, e.kept_back,
    e.change, e.change_why";

/// What a person may see: what is kept back is its author's alone.
const IS_SHOWN: &str = "(e.kept_back IS NULL OR e.person = ?2)";

fn entry_row(row: &Row<'_>) -> rusqlite::Result<EntryRow> {
    let bytes = |at: usize| row.get::<_, Vec<u8>>(at);
    let bad = |_| rusqlite::Error::InvalidQuery;
    Ok(EntryRow {
        id: op_id(&bytes(0)?).map_err(bad)?,
        thread: thread_id(&bytes(1)?).map_err(bad)?,
        seat: seat_id(&bytes(2)?).map_err(bad)?,
        store: bytes(3)?,
        seq: row.get(4)?,
        time_ms: row.get::<_, i64>(5)?.cast_unsigned(),
        offset_s: row.get(6)?,
        kind: row.get(7)?,
        words: row.get(8)?,
        edited: row.get(9)?,
        retracted: row.get(10)?,
        reason: row.get(11)?,
        reply_to: row.get(12)?,
        seen: row.get(13)?,
        kept_back: row.get(14)?,
        change: row.get(15)?,
        change_why: row.get(16)?,
    })
}

/// What is behind `view_entries.kind`.
pub(crate) const fn entry_kind(code: i64) -> EntryKind {
    match code {
        kind::TEXT => EntryKind::Text,
        kind::PHOTO => EntryKind::Photo,
        kind::VOICE => EntryKind::Voice,
        kind::DOCUMENT => EntryKind::Document,
        kind::SEALED => EntryKind::Sealed,
        kind::NOTICE => EntryKind::Notice,
        kind::STUB => EntryKind::Stub,
        _ => EntryKind::Unknown,
    }
}

impl EntryRow {
    fn kind(&self) -> EntryKind {
        entry_kind(self.kind)
    }

    /// The author's clock set right by what it was off at its last contact with the hub.
    fn shown_time_ms(&self) -> u64 {
        let offset_ms = self.offset_s.unwrap_or(0).saturating_mul(1000);
        self.time_ms
            .saturating_add_signed(offset_ms.saturating_neg())
    }

    fn clock(&self) -> ClockWord {
        match self.offset_s {
            Some(offset) if offset.abs() <= CLOCK_DOUBT_S => ClockWord::Ok,
            // What tells of members has no word on its clock; its order is what counts.
            None if self.kind == kind::NOTICE => ClockWord::Ok,
            _ => ClockWord::Doubt,
        }
    }

    /// Caption or text; of a document, its caption, else its name.
    fn line(&self) -> String {
        let words = self.words.as_deref().unwrap_or_default();
        match words.split_once(NAME_MARK) {
            Some(("", name)) => name.to_owned(),
            Some((caption, _)) => caption.to_owned(),
            None => words.to_owned(),
        }
    }
}

impl Kolonne {
    pub(crate) fn at_desk<T>(
        &self,
        work: impl FnOnce(&Desk<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let inner = &self.inner;
        inner.store.read(|db| {
            let roster = inner.roster(db)?;
            let mut names = HashMap::new();
            let mut statement = db.prepare_cached(
                // What the ops say comes last and stands.
                "SELECT subject, name FROM promised_names
                 UNION ALL SELECT subject, name FROM view_names",
            )?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            for row in rows {
                let (subject, name): (Vec<u8>, String) = row?;
                names.insert(subject, name);
            }
            let is_office = roster
                .device(&inner.device)
                .is_some_and(|device| device.cert.kind == DeviceKind::Office);
            let mut locked = BTreeSet::new();
            for seat in keys::own_seats(db)? {
                if inner.lock_state(db, &seat)?.locked {
                    locked.insert(seat);
                }
            }
            work(&Desk {
                db,
                roster: &roster,
                device: inner.device,
                is_office,
                hub_is_new: new_hub::record(db)?.is_some(),
                names,
                locked,
            })
        })
    }

    /// This device.
    pub fn me(&self) -> Result<Me, Error> {
        self.at_desk(|desk| {
            let (position, _) = desk.roster.head();
            let mut seats = Vec::new();
            for seat in keys::own_seats(desk.db)? {
                if desk.roster.ends_of(&seat).next().is_some() {
                    continue;
                }
                if let Some(person) = desk.seat_person(&seat) {
                    let lock = self.inner.lock_state(desk.db, &seat)?;
                    let mut awaited_by = lacking::awaited_by(desk, &seat)?;
                    let awaited = u32::try_from(awaited_by.len()).unwrap_or(u32::MAX);
                    if self.inner.is_shared_phone(desk.db)? {
                        awaited_by.clear();
                    }
                    seats.push(SeatRecord {
                        seat,
                        person,
                        name: desk.name(&person.0),
                        role: desk.roster.role_at(&seat, position).unwrap_or(Role::Crew),
                        has_pin: lock.has_pin,
                        locked: lock.locked,
                        tries_left: lock.tries_left,
                        new_wanted: people::wants_new_seat(desk, &seat)?,
                        opened_by: people::opened_by(desk, &seat, &person),
                        direct_hidden: lacking::direct_hidden(desk, &seat)?,
                        awaited,
                        awaited_by,
                    });
                }
            }
            let kind = if desk.is_office {
                DeviceKind::Office
            } else {
                DeviceKind::Phone
            };
            let url = get_meta(desk.db, "hub_url")?.unwrap_or_default();
            Ok(Me {
                company_id: desk.roster.company(),
                company: desk.names.get(&Vec::new()).cloned().unwrap_or_default(),
                device: desk.device,
                device_name: desk.name(&desk.device.0),
                kind,
                seats,
                hub_url: String::from_utf8(url).map_err(|_| Error::Corrupt)?,
            })
        })
    }
}

fn row_of(desk: &Desk<'_>, entry: &OpId) -> Result<Option<EntryRow>, Error> {
    let sql = format!("SELECT {ENTRY_COLUMNS} FROM view_entries e WHERE e.id = ?1");
    Ok(desk
        .db
        .prepare_cached(&sql)?
        .query_row([entry.0.as_slice()], entry_row)
        .optional()?)
}

fn snippet(text: &str) -> String {
    let mut snippet: String = text.chars().take(SNIPPET_CHARS).collect();
    if snippet.len() < text.len() {
        snippet.push('…');
    }
    snippet
}
