//! What screens read: records built from the views, the roster and the states of blobs.
//!
//! Nothing here writes or folds. How far an entry has come is said from receipts and `seen` marks
//! alone.

use std::collections::{BTreeMap, HashMap};

use kolonne_model::body::{Body, Say, field};
use kolonne_model::control::ThreadKind;
use kolonne_model::ids::{DeviceId, OpId, RingId, SeatId, ThreadId};
use kolonne_model::roster::Roster;
use kolonne_model::roster::change::{DeviceKind, RingKind, Role, SeatKind};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::blobs::BlobStore;
use crate::capture::thread_of;
use crate::crypt::{BlobIdentity, open_blob};
use crate::error::Error;
use crate::folding::{self, kind, part};
use crate::keys;
use crate::kolonne::{Kolonne, op_id, seat_id, thread_id};
use crate::records::{
    Author, Backlog, ClockWord, Crew, DeviceRecord, DocumentRecord, Entry, EntryKind, EntryPage,
    LastLine, Me, Media, Member, MemberKind, Notice, Part, PendingPart, Person, PhotoRecord, Quote,
    RetractedRecord, SeatRecord, State, Thread, ThreadRow, VoiceRecord,
};
use crate::store::get_meta;

/// A clock further off than this is doubted.
const CLOCK_DOUBT_S: i64 = 120;
/// Characters of a quoted entry.
const SNIPPET_CHARS: usize = 120;
/// Between a document's caption and its name in the searched words.
const NAME_MARK: char = '\u{1f}';

/// Everything a query needs to know beside the tables.
struct Desk<'a> {
    db: &'a Connection,
    roster: &'a Roster,
    device: DeviceId,
    is_office: bool,
    names: HashMap<Vec<u8>, String>,
}

impl Desk<'_> {
    fn name(&self, subject: &[u8]) -> String {
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
        self.roster.seat(seat).and_then(|seat| seat.cert.person)
    }

    fn seat_name(&self, seat: &SeatId) -> String {
        match self.seat_person(seat) {
            Some(person) => self.name(&person.0),
            None => self
                .roster
                .seat(seat)
                .map_or_else(|| self.name(&seat.0), |seat| self.name(&seat.cert.device.0)),
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
}

const ENTRY_COLUMNS: &str = "e.id, e.thread, e.seat, e.store, e.seq, e.time_ms,
    e.offset_s, e.kind, e.words, e.edited, e.retracted, e.reason, e.reply_to, e.seen";

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
    })
}

impl EntryRow {
    fn kind(&self) -> EntryKind {
        match self.kind {
            kind::TEXT => EntryKind::Text,
            kind::PHOTO => EntryKind::Photo,
            kind::VOICE => EntryKind::Voice,
            kind::DOCUMENT => EntryKind::Document,
            kind::NOTICE => EntryKind::Notice,
            kind::STUB => EntryKind::Stub,
            _ => EntryKind::Unknown,
        }
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
    fn at_desk<T>(&self, work: impl FnOnce(&Desk<'_>) -> Result<T, Error>) -> Result<T, Error> {
        let inner = &self.inner;
        inner.store.read(|db| {
            let roster = inner.roster(db)?;
            let mut names = HashMap::new();
            let mut statement = db.prepare_cached("SELECT subject, name FROM view_names")?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            for row in rows {
                let (subject, name): (Vec<u8>, String) = row?;
                names.insert(subject, name);
            }
            let is_office = roster
                .device(&inner.device)
                .is_some_and(|device| device.cert.kind == DeviceKind::Office);
            work(&Desk {
                db,
                roster: &roster,
                device: inner.device,
                is_office,
                names,
            })
        })
    }

    /// This device.
    pub fn me(&self) -> Result<Me, Error> {
        self.at_desk(|desk| {
            let (position, _) = desk.roster.head();
            let mut seats = Vec::new();
            for seat in keys::own_seats(desk.db)? {
                if let Some(person) = desk.seat_person(&seat) {
                    seats.push(SeatRecord {
                        seat,
                        person,
                        name: desk.name(&person.0),
                        role: desk.roster.role_at(&seat, position).unwrap_or(Role::Crew),
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

    /// Threads, newest last line first; with a query, those in which it is found.
    pub fn threads(&self, seat: &SeatId, query: &str) -> Result<Vec<ThreadRow>, Error> {
        self.at_desk(|desk| {
            let query = query.trim();
            let mut statement = desk.db.prepare_cached(
                "SELECT thread FROM view_threads WHERE kind <> 1 OR last_entry IS NOT NULL
                 ORDER BY last_time_ms DESC, thread",
            )?;
            let threads = statement.query_map([], |row| row.get::<_, Vec<u8>>(0))?;
            let hits = if query.is_empty() {
                None
            } else {
                Some(search(desk, query)?)
            };
            let mut rows = Vec::new();
            for thread in threads {
                let thread = thread_id(&thread?)?;
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

    /// One thread.
    pub fn thread(&self, seat: &SeatId, thread: &ThreadId) -> Result<Thread, Error> {
        self.at_desk(|desk| {
            let row = thread_row(desk, seat, thread)?;
            let (opened_by, opened_ms): (Vec<u8>, i64) = desk.db.query_row(
                "SELECT opened_by, opened_ms FROM view_threads WHERE thread = ?1",
                [thread.0.as_slice()],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )?;
            let mut statement = desk
                .db
                .prepare_cached("SELECT ring FROM view_members WHERE thread = ?1")?;
            let rings =
                statement.query_map([thread.0.as_slice()], |row| row.get::<_, Vec<u8>>(0))?;
            let mut members = Vec::new();
            for ring in rings {
                let id = RingId::try_from(ring?.as_slice()).map_err(|_| Error::Corrupt)?;
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
            Ok(Thread {
                row,
                members,
                opened_by: desk.seat_name(&seat_id(&opened_by)?),
                opened_ms: opened_ms.cast_unsigned(),
            })
        })
    }

    /// A piece of a thread: the newest entries, or those before one.
    pub fn entries(
        &self,
        seat: &SeatId,
        thread: &ThreadId,
        before: Option<OpId>,
        limit: u32,
    ) -> Result<EntryPage, Error> {
        self.at_desk(|desk| {
            let before = before.unwrap_or(OpId::ZERO);
            let limit = limit.clamp(1, 500);
            let sql = format!(
                "SELECT {ENTRY_COLUMNS} FROM view_entries e
                 LEFT JOIN view_entries b ON b.id = ?2
                 WHERE e.thread = ?1 AND (b.id IS NULL OR
                    (e.shown_lamport, e.seat, e.store, e.seq, e.id)
                        < (b.shown_lamport, b.seat, b.store, b.seq, b.id))
                 ORDER BY e.shown_lamport DESC, e.seat DESC, e.store DESC, e.seq DESC, e.id DESC
                 LIMIT ?3"
            );
            let mut statement = desk.db.prepare_cached(&sql)?;
            let rows: Vec<EntryRow> = statement
                .query_map(
                    params![thread.0.as_slice(), before.0.as_slice(), limit + 1],
                    entry_row,
                )?
                .collect::<Result<_, _>>()?;
            let more = rows.len() > limit as usize;
            let mut entries = rows
                .iter()
                .take(limit as usize)
                .map(|row| entry(desk, seat, row))
                .collect::<Result<Vec<_>, _>>()?;
            entries.reverse();
            let (held, quarantined) = desk
                .db
                .query_row(
                    "SELECT held, quarantined FROM view_threads WHERE thread = ?1",
                    [thread.0.as_slice()],
                    |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)),
                )
                .optional()?
                .ok_or(Error::NotFound { kind: "thread" })?;
            Ok(EntryPage {
                before: entries.first().filter(|_| more).map(|entry| entry.id),
                unread_from: first_unread(desk, seat, thread)?,
                entries,
                held: held.cast_unsigned(),
                quarantined: quarantined.cast_unsigned(),
            })
        })
    }

    /// The thread an entry is in.
    pub fn entry_thread(&self, entry: &OpId) -> Result<ThreadId, Error> {
        self.inner.store.read(|db| thread_of(db, entry))
    }

    /// A part of an entry, decrypted.
    ///
    /// # Errors
    /// `NotFound{kind: "media"}` if it isn't on this device (yet), was erased or taken back.
    pub fn media(&self, entry: &OpId, wanted: Part) -> Result<Media, Error> {
        let missing = || Error::NotFound { kind: "media" };
        let body = self.inner.store.read(|db| {
            let gone: Option<bool> = db
                .prepare_cached("SELECT retracted FROM view_entries WHERE id = ?1 AND kind < 10")?
                .query_row([entry.0.as_slice()], |row| row.get(0))
                .optional()?;
            match gone {
                None => Err(Error::NotFound { kind: "entry" }),
                Some(true) => Err(missing()),
                Some(false) => folding::body(db, entry)?.ok_or_else(missing),
            }
        })?;
        let jpeg = || "image/jpeg".to_owned();
        let (blob, media_type, name) = match (&body.say, wanted) {
            (Say::Photo(photo), Part::Thumb) => (&photo.thumb, jpeg(), None),
            (Say::Photo(photo), Part::Picture) => (&photo.picture, jpeg(), None),
            (Say::Photo(photo), Part::Original) => {
                (&photo.original, photo.media_type.clone(), None)
            }
            (Say::Voice(voice), Part::Voice) => (&voice.sound, voice.media_type.clone(), None),
            (Say::Document(document), Part::Document) => (
                &document.file,
                document.media_type.clone(),
                Some(document.name.clone()),
            ),
            _ => return Err(missing()),
        };
        let bytes = open_media(&self.inner.blobs, blob)?;
        Ok(Media {
            bytes,
            media_type,
            name,
        })
    }

    /// People and crews.
    pub fn people(&self) -> Result<(Vec<Person>, Vec<Crew>), Error> {
        self.at_desk(|desk| Ok(people(desk)))
    }

    /// Devices, with what is still on them as far as this one knows.
    pub fn devices(&self) -> Result<Vec<DeviceRecord>, Error> {
        self.at_desk(|desk| {
            let backlog = backlog(desk, None)?;
            let mut records = Vec::new();
            for (id, device) in desk.roster.devices() {
                if desk.roster.device_has_ended(id) {
                    continue;
                }
                let seats: Vec<(&SeatId, RingId)> = desk
                    .roster
                    .seats()
                    .filter(|(_, seat)| seat.cert.device == *id)
                    .filter_map(|(seat, record)| Some((seat, record.cert.person?)))
                    .collect();
                let mut last = None;
                for (seat, _) in &seats {
                    let newest: Option<i64> = desk.db.query_row(
                        "SELECT max(time_ms) FROM view_entries WHERE seat = ?1",
                        [seat.0.as_slice()],
                        |row| row.get(0),
                    )?;
                    last = last.max(newest.map(i64::cast_unsigned));
                }
                let crew = device.crews.last().and_then(|(_, crew)| *crew);
                records.push(DeviceRecord {
                    id: *id,
                    name: desk.name(&id.0),
                    kind: device.cert.kind,
                    this_device: *id == desk.device,
                    people: seats
                        .iter()
                        .map(|(_, person)| desk.name(&person.0))
                        .collect(),
                    crew: crew.map(|crew| desk.name(&crew.0)),
                    last_contact_ms: last,
                    backlog: backlog.iter().find(|b| b.device == *id).cloned(),
                });
            }
            records.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(records)
        })
    }
}

fn open_media(blobs: &BlobStore, blob: &kolonne_model::body::BlobRef) -> Result<Vec<u8>, Error> {
    let file = blobs.open_blob(&blob.blob)?;
    let mut bytes = Vec::new();
    let plain = open_blob(
        std::io::BufReader::new(file),
        &BlobIdentity::from_bytes(blob.identity),
        &mut bytes,
        blob.plain_bytes,
    )?;
    if plain.blake3 == blob.plain_hash {
        Ok(bytes)
    } else {
        Err(Error::Corrupt)
    }
}

fn people(desk: &Desk<'_>) -> (Vec<Person>, Vec<Crew>) {
    let (position, _) = desk.roster.head();
    let mut people: BTreeMap<RingId, Person> = BTreeMap::new();
    for (id, seat) in desk.roster.seats() {
        let (SeatKind::Person, Some(person)) = (seat.cert.kind, seat.cert.person) else {
            continue;
        };
        if desk.roster.ends_of(id).next().is_some() {
            continue;
        }
        let role = desk.roster.role_at(id, position).unwrap_or(Role::Crew);
        let crew = desk
            .roster
            .device(&seat.cert.device)
            .and_then(|device| device.crews.last().and_then(|(_, crew)| *crew));
        let record = people.entry(person).or_insert_with(|| Person {
            id: person,
            name: desk.name(&person.0),
            role,
            crew: None,
        });
        record.role = record.role.max(role);
        record.crew = record.crew.or(crew);
    }
    let mut crews: Vec<Crew> = desk
        .roster
        .rings()
        .filter(|(_, ring)| ring.kind == RingKind::Crew)
        .map(|(id, _)| Crew {
            id: *id,
            name: desk.name(&id.0),
            people: people
                .values()
                .filter(|p| p.crew == Some(*id))
                .map(|p| p.id)
                .collect(),
        })
        .collect();
    crews.sort_by(|a, b| a.name.cmp(&b.name));
    let mut people: Vec<Person> = people.into_values().collect();
    people.sort_by(|a, b| a.name.cmp(&b.name));
    (people, crews)
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
                kind: match row.get::<_, i64>(0)? {
                    1 => ThreadKind::Company,
                    3 => ThreadKind::Crew,
                    4 => ThreadKind::Direct,
                    5 => ThreadKind::Guest,
                    _ => ThreadKind::Job,
                },
                title: row.get::<_, Option<String>>(1)?.unwrap_or_default(),
                status: row.get(2)?,
                customer: row.get(3)?,
                address: row.get(4)?,
                unread: 0,
                last: None,
                backlog: Vec::new(),
                held: row.get::<_, i64>(6)?.cast_unsigned(),
                quarantined: row.get::<_, i64>(7)?.cast_unsigned(),
                hit: None,
            })
            .map(|record| (record, row.get::<_, Option<Vec<u8>>>(5)))
        })
        .optional()?;
    let (mut record, last) = row.ok_or(Error::NotFound { kind: "thread" })?;
    if record.kind == ThreadKind::Company && record.title.is_empty() {
        record.title = desk.names.get(&Vec::new()).cloned().unwrap_or_default();
    }
    if let Some(last) = last? {
        record.last = row_of(desk, &op_id(&last)?)?.map(|row| LastLine {
            author: desk.seat_name(&row.seat),
            own: desk.device_of(&row.seat) == Some(desk.device),
            kind: row.kind(),
            text: row.line(),
            time_ms: row.shown_time_ms(),
            clock: row.clock(),
        });
    }
    record.unread = unread(desk, seat, thread)?;
    record.backlog = backlog(desk, Some(thread))?;
    Ok(record)
}

fn row_of(desk: &Desk<'_>, entry: &OpId) -> Result<Option<EntryRow>, Error> {
    let sql = format!("SELECT {ENTRY_COLUMNS} FROM view_entries e WHERE e.id = ?1");
    Ok(desk
        .db
        .prepare_cached(&sql)?
        .query_row([entry.0.as_slice()], entry_row)
        .optional()?)
}

const UNREAD: &str = "FROM view_entries e
    LEFT JOIN view_read r ON r.thread = e.thread AND r.person = ?2
        AND r.seat = e.seat AND r.store = e.store
    WHERE e.thread = ?1 AND e.person IS NOT ?2 AND e.kind < 10 AND e.retracted = 0
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

fn first_unread(desk: &Desk<'_>, seat: &SeatId, thread: &ThreadId) -> Result<Option<OpId>, Error> {
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

/// What is named by entries of other devices and is neither here nor at the hub, by device.
fn backlog(desk: &Desk<'_>, thread: Option<&ThreadId>) -> Result<Vec<Backlog>, Error> {
    if !desk.is_office {
        return Ok(Vec::new());
    }
    let mut statement = desk.db.prepare_cached(
        "SELECT e.seat, e.id, b.part, b.bytes, e.time_ms FROM blobs b
         JOIN view_entries e ON e.id = b.entry
         WHERE b.here = 0 AND b.at_hub = 0 AND e.retracted = 0 AND (?1 IS NULL OR b.thread = ?1)
         ORDER BY e.id",
    )?;
    let rows = statement.query_map([thread.map(|thread| thread.0.to_vec())], |row| {
        Ok((
            row.get::<_, Vec<u8>>(0)?,
            row.get::<_, Vec<u8>>(1)?,
            row.get::<_, i64>(2)?,
            row.get::<_, i64>(3)?.cast_unsigned(),
            row.get::<_, i64>(4)?.cast_unsigned(),
        ))
    })?;
    let mut found: BTreeMap<DeviceId, (Backlog, Vec<u8>, bool)> = BTreeMap::new();
    for row in rows {
        let (seat, entry, number, bytes, time_ms) = row?;
        let Some(device) = desk
            .device_of(&seat_id(&seat)?)
            .filter(|id| *id != desk.device)
        else {
            continue;
        };
        let (record, last, photo) = found.entry(device).or_insert_with(|| {
            let record = Backlog {
                device,
                device_name: desk.name(&device.0),
                entries: 0,
                photos: 0,
                originals: 0,
                bytes: 0,
                since_ms: time_ms,
            };
            (record, Vec::new(), false)
        });
        if *last != entry {
            record.entries += 1;
            *last = entry;
            *photo = false;
        }
        if matches!(number, part::THUMB | part::PICTURE) && !*photo {
            record.photos += 1;
            *photo = true;
        }
        record.originals += u64::from(number == part::ORIGINAL);
        record.bytes += bytes;
        record.since_ms = record.since_ms.min(time_ms);
    }
    Ok(found.into_values().map(|(record, _, _)| record).collect())
}

/// Each word of a query as a prefix, quoted so that nothing in it is syntax.
fn fts_query(query: &str) -> String {
    let words = query.split_whitespace().take(8);
    words
        .map(|word| format!("\"{}\"*", word.replace('"', "\"\"")))
        .collect::<Vec<_>>()
        .join(" ")
}

fn search(desk: &Desk<'_>, query: &str) -> Result<HashMap<ThreadId, String>, Error> {
    let mut statement = desk.db.prepare_cached(
        "SELECT e.thread, e.words FROM view_search s JOIN view_entries e ON e.place = s.rowid
         WHERE view_search MATCH ?1 ORDER BY e.time_ms DESC LIMIT 1000",
    )?;
    let rows = statement.query_map([fts_query(query)], |row| {
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

fn snippet(text: &str) -> String {
    let mut snippet: String = text.chars().take(SNIPPET_CHARS).collect();
    if snippet.len() < text.len() {
        snippet.push('…');
    }
    snippet
}

/// A blob of an entry and how far it is.
struct BlobRow {
    part: i64,
    bytes: u64,
    here: bool,
    at_hub: bool,
    seen: bool,
    done_bytes: u64,
    wedged: Option<String>,
}

fn blobs_of(desk: &Desk<'_>, entry: &OpId) -> Result<Vec<BlobRow>, Error> {
    let mut statement = desk.db.prepare_cached(
        "SELECT b.part, b.bytes, b.here, b.at_hub, s.blob IS NOT NULL,
                coalesce(o.done_bytes, 0), o.wedged
         FROM blobs b LEFT JOIN view_seen_blobs s ON s.blob = b.blob
         LEFT JOIN outbox_blobs o ON o.blob = b.blob
         WHERE b.entry = ?1 ORDER BY b.part",
    )?;
    let rows = statement.query_map([entry.0.as_slice()], |row| {
        Ok(BlobRow {
            part: row.get(0)?,
            bytes: row.get::<_, i64>(1)?.cast_unsigned(),
            here: row.get(2)?,
            at_hub: row.get(3)?,
            seen: row.get(4)?,
            done_bytes: row.get::<_, i64>(5)?.cast_unsigned(),
            wedged: row.get(6)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn part_of(number: i64) -> Part {
    match number {
        part::THUMB => Part::Thumb,
        part::VOICE => Part::Voice,
        part::PICTURE => Part::Picture,
        part::DOCUMENT => Part::Document,
        _ => Part::Original,
    }
}

fn entry(desk: &Desk<'_>, seat: &SeatId, row: &EntryRow) -> Result<Entry, Error> {
    let body = if row.retracted {
        None
    } else {
        folding::body(desk.db, &row.id)?
    };
    let blobs = blobs_of(desk, &row.id)?;
    let (state, stuck) = state(desk, row, &blobs)?;
    let kind = row.kind();
    let words = row.words.as_deref().map(|words| {
        words
            .split_once(NAME_MARK)
            .map_or(words, |(caption, _)| caption)
            .to_owned()
    });
    let words = words.filter(|words| !words.is_empty());
    let (text, caption) = match kind {
        EntryKind::Text => (words, None),
        _ => (None, words),
    };
    let here = |number: i64| blobs.iter().any(|blob| blob.part == number && blob.here);
    let (photo, voice, document, notice) = parts(body.as_ref(), here);
    let person = desk.seat_person(&row.seat);
    Ok(Entry {
        id: row.id,
        author: desk.author(&row.seat),
        own: person.is_some() && person == desk.seat_person(seat),
        kind,
        text,
        caption,
        reply_to: quote(desk, row.reply_to.as_deref())?,
        edited: row.edited,
        retracted: row.retracted.then(|| RetractedRecord {
            reason: row.reason.clone(),
        }),
        time_ms: row.shown_time_ms(),
        clock: row.clock(),
        state,
        stuck,
        pending: if row.retracted {
            Vec::new()
        } else {
            pending(desk, row, &blobs)
        },
        photo,
        voice,
        document,
        notice,
    })
}

type Parts = (
    Option<PhotoRecord>,
    Option<VoiceRecord>,
    Option<DocumentRecord>,
    Option<Notice>,
);

fn parts(body: Option<&Body>, here: impl Fn(i64) -> bool) -> Parts {
    match body.map(|body| &body.say) {
        Some(Say::Photo(photo)) => {
            let record = PhotoRecord {
                width: photo.width,
                height: photo.height,
                preview: Some(data_encoding::BASE64.encode(&photo.preview)),
                thumb: here(part::THUMB),
                picture: here(part::PICTURE),
                original: here(part::ORIGINAL),
                taken_ms: None,
                camera: photo.camera.clone(),
            };
            (Some(record), None, None, None)
        }
        Some(Say::Voice(voice)) => {
            let record = VoiceRecord {
                duration_ms: voice.duration_ms,
                waveform: voice.waveform.to_vec(),
                media_type: voice.media_type.clone(),
                here: here(part::VOICE),
            };
            (None, Some(record), None, None)
        }
        Some(Say::Document(document)) => {
            let record = DocumentRecord {
                name: document.name.clone(),
                media_type: document.media_type.clone(),
                bytes: document.file.plain_bytes,
                here: here(part::DOCUMENT),
            };
            (None, None, Some(record), None)
        }
        Some(Say::Set(set)) => {
            let code = match set.field {
                field::TITLE => "title",
                field::STATUS => "status",
                field::ADDRESS => "address",
                field::CUSTOMER => "customer",
                _ => "other",
            };
            (
                None,
                None,
                None,
                Some(Notice {
                    code: code.to_owned(),
                    value: set.value.clone(),
                }),
            )
        }
        _ => (None, None, None, None),
    }
}

fn quote(desk: &Desk<'_>, parent: Option<&[u8]>) -> Result<Option<Quote>, Error> {
    let Some(parent) = parent else {
        return Ok(None);
    };
    let id = op_id(parent)?;
    Ok(row_of(desk, &id)?.map(|row| Quote {
        id,
        author: desk.seat_name(&row.seat),
        kind: row.kind(),
        snippet: snippet(&row.line()),
    }))
}

/// How far an entry has come, its original apart; and why it is stuck.
fn state(
    desk: &Desk<'_>,
    row: &EntryRow,
    blobs: &[BlobRow],
) -> Result<(State, Option<String>), Error> {
    let wedged: Option<String> = desk
        .db
        .prepare_cached("SELECT wedged FROM outbox_ops WHERE op = ?1")?
        .query_row([row.id.0.as_slice()], |row| row.get::<_, Option<String>>(0))
        .optional()?
        .flatten();
    if let Some(why) = wedged.or_else(|| blobs.iter().find_map(|blob| blob.wedged.clone())) {
        return Ok((State::Stuck, Some(why)));
    }
    let mut carried = blobs.iter().filter(|blob| blob.part != part::ORIGINAL);
    let from_here = desk.device_of(&row.seat) == Some(desk.device);
    let strand = params![
        row.thread.0.as_slice(),
        row.seat.0.as_slice(),
        row.store,
        row.seq
    ];
    let known = |table: &str| -> Result<bool, Error> {
        let sql = format!(
            "SELECT EXISTS (SELECT 1 FROM {table}
                WHERE thread = ?1 AND seat = ?2 AND store = ?3 AND seq >= ?4)"
        );
        Ok(desk
            .db
            .prepare_cached(&sql)?
            .query_row(strand, |row| row.get(0))?)
    };
    // What this office device itself holds is at the office.
    let at_office = if desk.is_office && !from_here {
        carried.clone().all(|blob| blob.here)
    } else {
        row.seen && carried.clone().all(|blob| blob.seen)
    };
    if at_office {
        return Ok((State::Office, None));
    }
    let at_hub = !from_here || known("receipts")?;
    let state = if at_hub && carried.all(|blob| blob.at_hub) {
        State::Sent
    } else {
        State::Saved
    };
    Ok((state, None))
}

fn pending(desk: &Desk<'_>, row: &EntryRow, blobs: &[BlobRow]) -> Vec<PendingPart> {
    let device = desk.device_of(&row.seat);
    let from_here = device == Some(desk.device);
    blobs
        .iter()
        .filter(|blob| match (from_here, desk.is_office) {
            (true, true) => !blob.at_hub,
            (true, false) => !blob.seen,
            (false, true) => !blob.here,
            (false, false) => false,
        })
        .map(|blob| PendingPart {
            part: part_of(blob.part),
            device_name: if from_here {
                None
            } else {
                device.map(|id| desk.name(&id.0))
            },
            bytes: blob.bytes,
            done_bytes: if blob.at_hub {
                blob.bytes
            } else {
                blob.done_bytes
            },
        })
        .collect()
}
