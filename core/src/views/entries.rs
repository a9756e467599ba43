//! A thread's entries, how far each has come, and their media.

use kolonne_model::body::{BlobRef, Body, Say, field};
use kolonne_model::control::{self, ThreadKind};
use kolonne_model::fold::MembersTold;
use kolonne_model::ids::{OpId, RingId, SeatId, ThreadId};
use kolonne_model::sealed::Sealed;
use rusqlite::{Connection, OptionalExtension, params};

use super::threads::{first_unread, is_member, may_see};
use super::{
    Desk, ENTRY_COLUMNS, EntryRow, IS_SHOWN, NAME_MARK, entry_row, promised, row_of, snippet,
};
use crate::blobs::BlobStore;
use crate::capture::thread_of;
use crate::crypt::{BlobIdentity, open_blob};
use crate::erasure;
use crate::error::Error;
use crate::folding::{self, part};
use crate::kolonne::{Kolonne, lock, op_id};
use crate::line;
use crate::oplog;
use crate::quarantine;
use crate::records::{
    ChangeKeptBack, ClockWord, DocumentRecord, Entry, EntryKind, EntryPage, KeptBackWhy, LetInBy,
    Media, Notice, Part, PendingPart, PhotoRecord, Quote, RetractedRecord, SealedPerson,
    SealedRecord, State, VoiceRecord,
};

impl Kolonne {
    /// A piece of a thread: the newest entries, or those before one.
    pub fn entries(
        &self,
        seat: &SeatId,
        thread: &ThreadId,
        before: Option<OpId>,
        limit: u32,
    ) -> Result<EntryPage, Error> {
        *lock(&self.inner.looked_at) = Some(*thread);
        self.at_desk(|desk| {
            may_see(desk, seat, thread)?;
            let before = before.unwrap_or(OpId::ZERO);
            let reader = desk.seat_person(seat).unwrap_or(RingId::ZERO);
            let limit = limit.clamp(1, 500);
            let sql = format!(
                "SELECT {ENTRY_COLUMNS} FROM view_entries e
                 LEFT JOIN view_entries b ON b.id = ?3
                 WHERE e.thread = ?1 AND {IS_SHOWN} AND (b.id IS NULL OR
                    (e.shown_lamport, e.seat, e.store, e.seq, e.id)
                        < (b.shown_lamport, b.seat, b.store, b.seq, b.id))
                 ORDER BY e.shown_lamport DESC, e.seat DESC, e.store DESC, e.seq DESC, e.id DESC
                 LIMIT ?4"
            );
            let mut statement = desk.db.prepare_cached(&sql)?;
            let rows: Vec<EntryRow> = statement
                .query_map(
                    params![
                        thread.0.as_slice(),
                        reader.0.as_slice(),
                        before.0.as_slice(),
                        limit + 1
                    ],
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
                .map_or_else(
                    || {
                        Ok((
                            promised::row(desk, thread)?.map(|row| row.held.cast_signed()),
                            0,
                        ))
                    },
                    |(held, quarantined)| Ok::<_, Error>((Some(held), quarantined)),
                )?;
            let held = held.ok_or(Error::NotFound { kind: "thread" })?;
            // Who was taken out waits for nothing more.
            let held = if is_member(desk, seat, thread)? || rows.is_empty() {
                held
            } else {
                0
            };
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
        let body = self.inner.store.read(|db| standing_body(db, entry))?;
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
}

/// What an entry says that was neither erased nor taken back.
pub(crate) fn standing_body(db: &Connection, entry: &OpId) -> Result<Body, Error> {
    let missing = || Error::NotFound { kind: "media" };
    let gone: Option<bool> = db
        .prepare_cached("SELECT retracted FROM view_entries WHERE id = ?1 AND kind < 10")?
        .query_row([entry.0.as_slice()], |row| row.get(0))
        .optional()?;
    match gone {
        None => Err(Error::NotFound { kind: "entry" }),
        Some(true) => Err(missing()),
        Some(false) => folding::body(db, entry)?.ok_or_else(missing),
    }
}

/// Whether the hub holds a blob.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum HubHas {
    Not,
    /// It says so: worth asking for.
    ByItsWord,
    /// It signed so.
    ByReceipt,
}

/// A blob of an entry and how far it is.
struct BlobRow {
    part: i64,
    bytes: u64,
    here: bool,
    hub_has: HubHas,
    seen: bool,
    done_bytes: u64,
    wedged: Option<String>,
}

fn blobs_of(desk: &Desk<'_>, entry: &OpId) -> Result<Vec<BlobRow>, Error> {
    let mut statement = desk.db.prepare_cached(
        "SELECT b.part, b.bytes, b.here, b.at_hub, r.blob IS NOT NULL, s.blob IS NOT NULL,
                coalesce(o.done_bytes, 0), o.wedged
         FROM blobs b LEFT JOIN view_seen_blobs s ON s.blob = b.blob
         LEFT JOIN outbox_blobs o ON o.blob = b.blob
         LEFT JOIN blob_receipts r ON r.blob = b.blob
         WHERE b.entry = ?1 ORDER BY b.part",
    )?;
    let rows = statement.query_map([entry.0.as_slice()], |row| {
        Ok(BlobRow {
            part: row.get(0)?,
            bytes: row.get::<_, i64>(1)?.cast_unsigned(),
            here: row.get(2)?,
            hub_has: match (row.get(3)?, row.get::<_, bool>(4)? && !desk.hub_is_new) {
                (_, true) => HubHas::ByReceipt,
                (true, false) => HubHas::ByItsWord,
                (false, false) => HubHas::Not,
            },
            seen: row.get(5)?,
            done_bytes: row.get::<_, i64>(6)?.cast_unsigned(),
            wedged: row.get(7)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(crate) fn part_of(number: i64) -> Part {
    match number {
        part::THUMB => Part::Thumb,
        part::VOICE => Part::Voice,
        part::PICTURE => Part::Picture,
        part::DOCUMENT => Part::Document,
        part::SEALED => Part::Sealed,
        _ => Part::Original,
    }
}

fn entry(desk: &Desk<'_>, seat: &SeatId, row: &EntryRow) -> Result<Entry, Error> {
    let body = if row.retracted {
        None
    } else {
        folding::body(desk.db, &row.id)?
    };
    let kind = row.kind();
    let blobs = blobs_of(desk, &row.id)?;
    let erased = match kind {
        EntryKind::Stub => erasure::record(desk.db, |ring| desk.name(&ring.0), &row.id)?,
        _ => None,
    };
    // Files of what is taken back or erased are no longer fetched: its op says how far it came.
    let carried: &[BlobRow] = if row.retracted || kind == EntryKind::Stub {
        &[]
    } else {
        &blobs
    };
    let reach = Reach::of(desk, row)?;
    let (state, stuck) = state(desk, row, reach, carried)?;
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
    let parts = parts(body.as_ref(), here);
    let person = desk.seat_person(&row.seat);
    let reader = desk.seat_person(seat);
    let sealed = match body.as_ref().map(|body| &body.say) {
        Some(Say::Sealed(said)) => Some(sealed(desk, reader, said, here(part::SEALED))),
        _ => None,
    };
    Ok(Entry {
        id: row.id,
        author: desk.author(&row.seat),
        own: person.is_some() && person == reader,
        kind,
        text,
        caption,
        reply_to: quote(desk, reader, row.reply_to.as_deref())?,
        edited: row.edited,
        retracted: row.retracted.then(|| RetractedRecord {
            reason: row.reason.clone(),
        }),
        erased,
        time_ms: row.shown_time_ms(),
        // What it said of its own time is gone with it.
        clock: match kind {
            EntryKind::Stub => ClockWord::Ok,
            _ => row.clock(),
        },
        state,
        stuck,
        kept_back: row
            .kept_back
            .map(|why| let_in_by(desk, seat, &row.thread, why))
            .transpose()?,
        change_kept_back: if person.is_some() && person == reader {
            kept_back_change(desk, seat, row)?
        } else {
            None
        },
        pending: pending(desk, row, reach, carried),
        photo: parts.photo,
        voice: parts.voice,
        document: parts.document,
        sealed,
        notice: match parts.notice {
            None if kind == EntryKind::Notice => members_notice(desk, &row.id)?,
            notice => notice,
        },
    })
}

/// What its author changed about an entry after his right had gone.
fn kept_back_change(
    desk: &Desk<'_>,
    seat: &SeatId,
    row: &EntryRow,
) -> Result<Option<ChangeKeptBack>, Error> {
    let (Some(op), Some(why)) = (&row.change, row.change_why) else {
        return Ok(None);
    };
    let said = folding::body(desk.db, &op_id(op)?)?.map(|body| body.say);
    Ok(Some(ChangeKeptBack {
        text: match said {
            Some(Say::Set(set)) => set.value,
            _ => None,
        },
        let_in_by: let_in_by(desk, seat, &row.thread, why)?,
    }))
}

/// Who can let in what is kept back for a reason, as far as a seat will hear of it.
fn let_in_by(
    desk: &Desk<'_>,
    seat: &SeatId,
    thread: &ThreadId,
    why: i64,
) -> Result<LetInBy, Error> {
    let kind: Option<i64> = desk
        .db
        .prepare_cached("SELECT kind FROM view_threads WHERE thread = ?1")?
        .query_row([thread.0.as_slice()], |row| row.get(0))
        .optional()?;
    let why = KeptBackWhy::from_code(why).ok_or(Error::Corrupt)?;
    Ok(
        match quarantine::let_in_by(why, kind.map(folding::thread_kind)) {
            LetInBy::Office if !is_member(desk, seat, thread)? => LetInBy::OfficeUntold,
            by => by,
        },
    )
}

/// Who was taken out or came back, by names.
fn members_notice(desk: &Desk<'_>, entry: &OpId) -> Result<Option<Notice>, Error> {
    let Some(op) = oplog::get(desk.db, entry)? else {
        return Ok(None);
    };
    let body = op.op().payload.as_deref().map(control::read);
    let told = body.and_then(|body| MembersTold::of(&body.ok()?));
    Ok(told.map(|told| {
        let (code, rings) = match told {
            MembersTold::In(rings) => ("member_in", rings),
            MembersTold::Out(rings) => ("member_out", rings),
        };
        let names: Vec<String> = rings.iter().map(|ring| desk.name(&ring.0)).collect();
        Notice {
            code: code.to_owned(),
            value: Some(names.join(", ")),
        }
    }))
}

fn sealed(desk: &Desk<'_>, reader: Option<RingId>, said: &Sealed, here: bool) -> SealedRecord {
    let people = said.people.iter().map(|person| SealedPerson {
        id: *person,
        name: desk.name(&person.0),
    });
    SealedRecord {
        people: people.collect(),
        office: said.office,
        bytes: said.sealed_bytes,
        here,
        for_me: reader.is_some_and(|reader| said.generation_of(&reader).is_some()),
    }
}

#[derive(Default)]
struct Parts {
    photo: Option<PhotoRecord>,
    voice: Option<VoiceRecord>,
    document: Option<DocumentRecord>,
    notice: Option<Notice>,
}

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
            Parts {
                photo: Some(record),
                ..Parts::default()
            }
        }
        Some(Say::Voice(voice)) => {
            let record = VoiceRecord {
                duration_ms: voice.duration_ms,
                waveform: voice.waveform.to_vec(),
                media_type: voice.media_type.clone(),
                here: here(part::VOICE),
            };
            Parts {
                voice: Some(record),
                ..Parts::default()
            }
        }
        Some(Say::Document(document)) => {
            let record = DocumentRecord {
                name: document.name.clone(),
                media_type: document.media_type.clone(),
                bytes: document.file.plain_bytes,
                here: here(part::DOCUMENT),
            };
            Parts {
                document: Some(record),
                ..Parts::default()
            }
        }
        Some(Say::Set(set)) => {
            let code = match set.field {
                field::TITLE => "title",
                field::STATUS => "status",
                field::ADDRESS => "address",
                field::CUSTOMER => "customer",
                _ => "other",
            };
            Parts {
                notice: Some(Notice {
                    code: code.to_owned(),
                    value: set.value.as_deref().map(line::shown),
                }),
                ..Parts::default()
            }
        }
        _ => Parts::default(),
    }
}

fn quote(
    desk: &Desk<'_>,
    reader: Option<RingId>,
    parent: Option<&[u8]>,
) -> Result<Option<Quote>, Error> {
    let Some(parent) = parent else {
        return Ok(None);
    };
    let id = op_id(parent)?;
    let shown = |row: &EntryRow| {
        row.kept_back.is_none() || reader.is_some() && desk.seat_person(&row.seat) == reader
    };
    Ok(row_of(desk, &id)?.filter(shown).map(|row| Quote {
        id,
        author: desk.seat_name(&row.seat),
        kind: row.kind(),
        snippet: snippet(&row.line()),
    }))
}

/// How far an entry can come at all.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// To the office.
    Office,
    /// A direct thread is none of the office's, though its people may sit at one of its devices.
    Hub,
}

impl Reach {
    fn of(desk: &Desk<'_>, row: &EntryRow) -> Result<Self, Error> {
        let kind: Option<i64> = desk
            .db
            .prepare_cached("SELECT kind FROM view_threads WHERE thread = ?1")?
            .query_row([row.thread.0.as_slice()], |row| row.get(0))
            .optional()?;
        Ok(match kind.map(folding::thread_kind) {
            Some(ThreadKind::Direct) => Self::Hub,
            _ => Self::Office,
        })
    }
}

/// How far an entry has come, its original apart; and why it is stuck.
fn state(
    desk: &Desk<'_>,
    row: &EntryRow,
    reach: Reach,
    blobs: &[BlobRow],
) -> Result<(State, Option<String>), Error> {
    // On its way, perhaps once more, and why it is stuck.
    let waits: Option<Option<String>> = desk
        .db
        .prepare_cached("SELECT wedged FROM outbox_ops WHERE op = ?1")?
        .query_row([row.id.0.as_slice()], |row| row.get(0))
        .optional()?;
    let wedged = waits.clone().flatten();
    if let Some(why) = wedged.or_else(|| blobs.iter().find_map(|blob| blob.wedged.clone())) {
        return Ok((State::Stuck, Some(why)));
    }
    let mut carried = blobs.iter().filter(|blob| blob.part != part::ORIGINAL);
    let from_here = desk.device_of(&row.seat) == Some(desk.device);
    // What came from elsewhere came through the hub; of what is from here its signature tells.
    let at_hub = if from_here {
        waits.is_none()
            && !desk.hub_is_new
            && is_receipted(desk, row)?
            && carried
                .clone()
                .all(|blob| blob.hub_has == HubHas::ByReceipt)
    } else {
        carried
            .clone()
            .all(|blob| blob.hub_has >= HubHas::ByItsWord)
    };
    // What this office device itself holds is at the office; its own, once the hub has it too.
    let at_office = match reach {
        Reach::Hub => false,
        Reach::Office if desk.is_office => carried.all(|blob| blob.here) && (at_hub || !from_here),
        Reach::Office => row.seen && carried.all(|blob| blob.seen),
    };
    if at_office {
        return Ok((State::Office, None));
    }
    let state = if at_hub { State::Sent } else { State::Saved };
    Ok((state, None))
}

/// Whether the hub signed for an entry's op.
fn is_receipted(desk: &Desk<'_>, row: &EntryRow) -> Result<bool, Error> {
    let strand = params![
        row.thread.0.as_slice(),
        row.seat.0.as_slice(),
        row.store,
        row.seq
    ];
    Ok(desk
        .db
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM receipts
                WHERE thread = ?1 AND seat = ?2 AND store = ?3 AND seq >= ?4)",
        )?
        .query_row(strand, |row| row.get(0))?)
}

fn pending(desk: &Desk<'_>, row: &EntryRow, reach: Reach, blobs: &[BlobRow]) -> Vec<PendingPart> {
    let device = desk.device_of(&row.seat);
    let from_here = device == Some(desk.device);
    // Nobody but the hub takes over what the office has no part in, or has itself.
    let hub_suffices = desk.is_office || reach == Reach::Hub;
    blobs
        .iter()
        .filter(|blob| match (from_here, hub_suffices) {
            (true, true) => blob.hub_has < HubHas::ByReceipt,
            (true, false) => !blob.seen,
            (false, _) => desk.is_office && !blob.here,
        })
        .map(|blob| PendingPart {
            part: part_of(blob.part),
            device_name: if from_here {
                None
            } else {
                device.map(|id| desk.name(&id.0))
            },
            bytes: blob.bytes,
            done_bytes: if blob.hub_has == HubHas::ByReceipt {
                blob.bytes
            } else {
                blob.done_bytes
            },
        })
        .collect()
}

fn open_media(blobs: &BlobStore, blob: &BlobRef) -> Result<Vec<u8>, Error> {
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
