//! Drives the fold: opens what can be opened, folds a thread anew, writes the rows that differ.
//!
//! Only this module writes views. Everything it writes can be dropped and rebuilt from the log.

mod company;
mod erasures;
mod key_marks;
mod locks;
mod quarantine;
pub mod signs;
pub mod unfolded;

use std::collections::btree_map::{BTreeMap, Entry};
use std::collections::{BTreeSet, HashMap};

use kolonne_model::body::{Body, Say, field};
use kolonne_model::control::ThreadKind;
use kolonne_model::fold::{self, Content, Contents, Shown, ThreadView, fold};
use kolonne_model::ids::{DeviceId, OpId, RingId, ThreadId};
use kolonne_model::judge::{Judgement, Order, ThreadOps, Timeliness, control_state};
use kolonne_model::op::Class;
use kolonne_model::payload::{self, PayloadError};
use kolonne_model::roster::Roster;
use kolonne_model::roster::change::DeviceKind;
use kolonne_model::strand::VerifiedOp;
use rusqlite::{Transaction, params};

use crate::error::Error;
use crate::records::KeptBackWhy;
use crate::{keys, line, oplog};

pub use company::is_companys_thread;
pub(crate) use company::{NAMED_COMPANY_THREAD, company_thread};
pub use erasures::blobs_named_beside;

/// What an entry is, in `view_entries.kind`.
pub mod kind {
    /// A text.
    pub const TEXT: i64 = 1;
    /// A photo.
    pub const PHOTO: i64 = 2;
    /// A voice note.
    pub const VOICE: i64 = 3;
    /// A document.
    pub const DOCUMENT: i64 = 4;
    /// A sealed attachment.
    pub const SEALED: i64 = 5;
    /// Below this: something a person said.
    pub const SAID_BELOW: i64 = 10;
    /// A job's head or members changed.
    pub const NOTICE: i64 = 10;
    /// Erased or withheld.
    pub const STUB: i64 = 11;
    /// Of a newer app.
    pub const UNKNOWN: i64 = 12;
}

/// A part's number in `blobs.part`; also the order in which they are wanted.
pub mod part {
    /// 320 px.
    pub const THUMB: i64 = 1;
    /// A voice note's sound.
    pub const VOICE: i64 = 2;
    /// 2048 px.
    pub const PICTURE: i64 = 3;
    /// A document's file.
    pub const DOCUMENT: i64 = 4;
    /// As captured.
    pub const ORIGINAL: i64 = 5;
    /// A sealed attachment.
    pub const SEALED: i64 = 6;
}

struct Bodies(HashMap<OpId, Option<Vec<u8>>>);

impl Contents for Bodies {
    fn content(&self, op: &VerifiedOp) -> Content<'_> {
        match self.0.get(&op.id()) {
            Some(Some(body)) => Content::Open(body),
            Some(None) => Content::DoesNotOpen,
            None if op.op().payload.is_none() => Content::Absent,
            None => Content::NoKey,
        }
    }
}

/// Folds a thread from its ops and brings its views up to date.
pub fn refold(
    tx: &Transaction<'_>,
    roster: &Roster,
    own_device: &DeviceId,
    thread: &ThreadId,
) -> Result<ThreadView, Error> {
    let ops = oplog::of_thread(tx, thread)?;
    let set = ThreadOps::new(*thread, &ops);
    let control = control_state(&set, roster);
    keys::open_thread_keys(tx, roster, thread, &control)?;
    erasures::hide(tx, thread, &control.erasures)?;
    let bodies = open_bodies(tx, thread, &ops, &control.erased)?;
    let view = fold(&set, roster, &bodies);
    let is_office = roster
        .device(own_device)
        .is_some_and(|d| d.cert.kind == DeviceKind::Office);
    write_entries(tx, thread, &view, &OwnKept::of(&view, roster, own_device))?;
    let people: Vec<RingId> = keys::own_seats(tx)?
        .iter()
        .filter_map(|seat| roster.seat(seat)?.cert.person)
        .collect();
    write_blobs(tx, thread, &view, is_office, &people)?;
    let kept_back = quarantine::write(tx, thread, &view, &set, &bodies)?;
    write_thread(tx, thread, &view, &ops, kept_back)?;
    erasures::write(tx, roster, thread, &view.control.erasures, &set)?;
    key_marks::write(tx, roster, thread, &view, &set)?;
    write_marks(tx, thread, &view)?;
    signs::write(tx, thread, &view, &set)?;
    if company::is_companys_thread(tx, thread)? {
        company::write(tx, &view)?;
        locks::write(tx, thread, &view)?;
    }
    unfolded::is_folded(tx, thread)?;
    Ok(view)
}

/// Every thread in the log but the roster.
pub fn all_threads(tx: &Transaction<'_>, roster: &Roster) -> Result<Vec<ThreadId>, Error> {
    let mut statement = tx.prepare_cached("SELECT DISTINCT thread FROM ops WHERE thread <> ?1")?;
    let own = roster.company().roster_thread();
    let threads = statement.query_map([own.0.as_slice()], |row| row.get::<_, Vec<u8>>(0))?;
    threads
        .map(|t| ThreadId::try_from(t?.as_slice()).map_err(|_| Error::Corrupt))
        .collect()
}

fn open_bodies(
    tx: &Transaction<'_>,
    thread: &ThreadId,
    ops: &[VerifiedOp],
    erased: &BTreeSet<OpId>,
) -> Result<Bodies, Error> {
    let mut bodies: HashMap<OpId, Option<Vec<u8>>> = HashMap::new();
    {
        let mut statement =
            tx.prepare_cached("SELECT op, body FROM view_bodies WHERE thread = ?1")?;
        let rows = statement.query_map([thread.0.as_slice()], |row| {
            Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Option<Vec<u8>>>(1)?))
        })?;
        for row in rows {
            let (id, body) = row?;
            bodies.insert(
                OpId::try_from(id.as_slice()).map_err(|_| Error::Corrupt)?,
                body,
            );
        }
    }
    let mut thread_keys = BTreeMap::new();
    for op in ops
        .iter()
        .filter(|op| op.context().class.class == Class::Data)
    {
        if bodies.contains_key(&op.id()) || erased.contains(&op.id()) {
            continue;
        }
        let Some(payload) = &op.op().payload else {
            continue;
        };
        let key_id = op.context().key;
        let key = match thread_keys.entry(key_id) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let secret = keys::history(tx, thread, &key_id)?;
                new.insert(secret.map(|secret| secret.thread_key()))
            }
        };
        let Some(key) = key else { continue };
        let body = match payload::open(key, op.context(), payload) {
            Ok(body) => Some(body.to_vec()),
            Err(PayloadError::Size | PayloadError::DoesNotOpen | PayloadError::Form) => None,
        };
        tx.prepare_cached("INSERT INTO view_bodies (thread, op, body) VALUES (?1, ?2, ?3)")?
            .execute(params![thread.0.as_slice(), op.id().0.as_slice(), body])?;
        bodies.insert(op.id(), body);
    }
    Ok(Bodies(bodies))
}

fn kind_of(entry: &fold::Entry) -> i64 {
    match &entry.shown {
        Shown::Said(Say::Text(_)) => kind::TEXT,
        Shown::Said(Say::Photo(_)) => kind::PHOTO,
        Shown::Said(Say::Voice(_)) => kind::VOICE,
        Shown::Said(Say::Document(_)) => kind::DOCUMENT,
        Shown::Said(Say::Sealed(_)) => kind::SEALED,
        Shown::Said(Say::Set(_)) | Shown::Members(_) => kind::NOTICE,
        Shown::Said(_) | Shown::NewerApp => kind::UNKNOWN,
        Shown::Erased | Shown::Withheld => kind::STUB,
    }
}

/// What this device's people wrote and nobody else sees yet, each with the reason.
struct OwnKept<'a> {
    entries: Vec<(&'a fold::Entry, Option<i64>)>,
    /// By the entry that counts: what its author changed about it.
    changes: BTreeMap<OpId, (OpId, Option<i64>)>,
}

impl<'a> OwnKept<'a> {
    fn of(view: &'a ThreadView, roster: &Roster, own: &DeviceId) -> Self {
        let is_own = |order: &Order| {
            let cert = roster.certificate(&order.seat);
            cert.is_some_and(|cert| cert.device == *own)
        };
        let why = |id: &OpId| match view.judgements.get(id) {
            Some(Judgement::Quarantined(why)) => Some(KeptBackWhy::of(*why).code()),
            _ => None,
        };
        let entries = view.kept_back.iter();
        let changes = view.kept_back_changes.iter();
        Self {
            entries: entries
                .filter(|entry| is_own(&entry.order))
                .map(|entry| (entry, why(&entry.id)))
                .collect(),
            changes: changes
                .filter(|(_, change)| is_own(change))
                .map(|(entry, change)| (*entry, (change.id, why(&change.id))))
                .collect(),
        }
    }
}

fn write_entries(
    tx: &Transaction<'_>,
    thread: &ThreadId,
    view: &ThreadView,
    own_kept: &OwnKept<'_>,
) -> Result<(), Error> {
    let mut old: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
    {
        let mut statement =
            tx.prepare_cached("SELECT id, row_hash FROM view_entries WHERE thread = ?1")?;
        let rows =
            statement.query_map([thread.0.as_slice()], |row| Ok((row.get(0)?, row.get(1)?)))?;
        for row in rows {
            let (id, hash) = row?;
            old.insert(id, hash);
        }
    }
    let counted = view.entries.iter().map(|entry| (entry, None));
    for (entry, kept_back) in counted.chain(own_kept.entries.iter().copied()) {
        let retracted = entry.retracted.as_ref();
        let words = match &entry.shown {
            Shown::Said(Say::Document(document)) if retracted.is_none() => {
                // The name is searched with the caption; the record reads it from the body.
                let caption = entry.words.as_ref().map_or("", |words| &words.text);
                Some(format!("{caption}\u{1f}{}", document.name))
            }
            _ if retracted.is_some() => None,
            _ => entry.words.as_ref().map(|words| words.text.clone()),
        };
        let edited = entry
            .words
            .as_ref()
            .is_some_and(|words| words.edited_by.is_some());
        let reply_to = match &entry.shown {
            Shown::Said(say) => say.reply_to(),
            _ => None,
        };
        let seen = view.at_office(&entry.order);
        let change = own_kept.changes.get(&entry.id);
        let row = format!("{:?}", (entry, &words, seen, kept_back, change));
        let hash = blake3::hash(row.as_bytes());
        let before = old.remove(entry.id.0.as_slice());
        if before.as_deref() == Some(hash.as_bytes().as_slice()) {
            continue;
        }
        // A known row is changed where it is: taking its words out of the search and putting them
        // in again costs more than all else, and mostly they are the same.
        tx.prepare_cached(
            "INSERT INTO view_entries (id, thread, shown_lamport, seat, store, seq, person,
                time_ms, offset_s, late, kind, words, edited, retracted, reason, reply_to, row_hash, seen,
                kept_back, change, change_why)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18,
                ?19, ?20, ?21)
             ON CONFLICT (id) DO UPDATE SET thread = excluded.thread,
                shown_lamport = excluded.shown_lamport, seat = excluded.seat,
                store = excluded.store, seq = excluded.seq, person = excluded.person,
                time_ms = excluded.time_ms, offset_s = excluded.offset_s, late = excluded.late,
                kind = excluded.kind, words = excluded.words, edited = excluded.edited,
                retracted = excluded.retracted, reason = excluded.reason,
                reply_to = excluded.reply_to, row_hash = excluded.row_hash, seen = excluded.seen,
                kept_back = excluded.kept_back, change = excluded.change,
                change_why = excluded.change_why",
        )?
        .execute(params![
            entry.id.0.as_slice(),
            thread.0.as_slice(),
            entry.shown_lamport.cast_signed(),
            entry.order.seat.0.as_slice(),
            entry.order.store.0.as_slice(),
            entry.order.seq,
            entry.person.map(|p| p.0.to_vec()),
            entry.time_ms.cast_signed(),
            entry.offset_s,
            entry.timeliness == Timeliness::Late,
            kind_of(entry),
            words,
            edited,
            retracted.is_some(),
            retracted.and_then(|r| r.reason.clone()),
            reply_to.map(|id| id.0.to_vec()),
            hash.as_bytes().as_slice(),
            seen,
            kept_back,
            change.map(|(op, _)| op.0.as_slice()),
            change.and_then(|(_, why)| *why),
        ])?;
    }
    for id in old.keys() {
        tx.prepare_cached("DELETE FROM view_entries WHERE id = ?1")?
            .execute([id])?;
    }
    Ok(())
}

fn write_blobs(
    tx: &Transaction<'_>,
    thread: &ThreadId,
    view: &ThreadView,
    is_office: bool,
    people: &[RingId],
) -> Result<(), Error> {
    for entry in view
        .entries
        .iter()
        .filter(|entry| entry.retracted.is_none())
    {
        let Shown::Said(say) = &entry.shown else {
            continue;
        };
        let parts: &[i64] = match say {
            Say::Photo(_) => &[part::THUMB, part::PICTURE, part::ORIGINAL],
            Say::Voice(_) => &[part::VOICE],
            Say::Document(_) => &[part::DOCUMENT],
            Say::Sealed(_) => &[part::SEALED],
            _ => &[],
        };
        for ((blob, sealed_bytes), number) in say.blobs().into_iter().zip(parts) {
            // The office keeps everything for the company; others what somebody here can open.
            let wanted = match say {
                _ if is_office => true,
                Say::Sealed(sealed) => people.iter().any(|p| sealed.generation_of(p).is_some()),
                _ => *number != part::ORIGINAL,
            };
            tx.prepare_cached(
                "INSERT INTO blobs (blob, thread, entry, part, bytes, here, wanted)
                 VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6)
                 ON CONFLICT DO UPDATE SET thread = excluded.thread, entry = excluded.entry,
                    part = excluded.part, wanted = max(wanted, excluded.wanted)
                 WHERE NOT EXISTS (SELECT 1 FROM view_entries e JOIN view_bodies b
                                   ON b.thread = e.thread AND b.op = e.id WHERE e.id = blobs.entry AND e.retracted = 0)",
            )?
            .execute(params![
                blob.0.as_slice(),
                thread.0.as_slice(),
                entry.id.0.as_slice(),
                number,
                sealed_bytes.cast_signed(),
                wanted,
            ])?;
        }
    }
    Ok(())
}

fn write_thread(
    tx: &Transaction<'_>,
    thread: &ThreadId,
    view: &ThreadView,
    ops: &[VerifiedOp],
    kept_back: u32,
) -> Result<(), Error> {
    let Some(opening) = &view.control.opening else {
        return Ok(());
    };
    let opened_ms = ops
        .iter()
        .find(|op| op.id() == opening.op)
        .map_or(0, |op| op.context().time_ms.cast_signed());
    let value = |code: u16| {
        view.fields
            .get(&(code, Vec::new()))
            .and_then(|field| field.value.as_deref())
            .map(line::shown)
    };
    let last = view
        .entries
        .iter()
        .rev()
        .find(|entry| kind_of(entry) < kind::SAID_BELOW && entry.retracted.is_none());
    let (waiting, _) = view.waiting_and_quarantined();
    let held = waiting.saturating_add(view.lacking.len());
    let said_ms = last.map_or(opened_ms.cast_unsigned(), fold::Entry::time_by_hub_ms);
    let newest = last.map_or(opening.op, |entry| entry.id);
    // No clock lifts a thread above those with words that came later.
    let sort_ms = oplog::came_ms(tx, &newest)?.map_or(said_ms, |came_ms| came_ms.min(said_ms));
    tx.prepare_cached(
        "INSERT OR REPLACE INTO view_threads (thread, kind, title, status, customer, address,
            opened_by, opened_ms, last_order, sort_ms, last_entry, held, quarantined)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
    )?
    .execute(params![
        thread.0.as_slice(),
        kind_code(opening.opened.kind),
        value(field::TITLE),
        value(field::STATUS),
        value(field::CUSTOMER),
        value(field::ADDRESS),
        opening.opener.0.as_slice(),
        opened_ms,
        last.map_or(0, |entry| entry.shown_lamport.cast_signed()),
        sort_ms.cast_signed(),
        last.map(|entry| entry.id.0.to_vec()),
        i64::try_from(held).unwrap_or(i64::MAX),
        kept_back,
    ])?;
    tx.prepare_cached("DELETE FROM view_members WHERE thread = ?1")?
        .execute([thread.0.as_slice()])?;
    for ring in view.control.member_rings() {
        tx.prepare_cached("INSERT INTO view_members (thread, ring) VALUES (?1, ?2)")?
            .execute(params![thread.0.as_slice(), ring.0.as_slice()])?;
    }
    Ok(())
}

/// The kind of thread behind a code.
pub const fn thread_kind(code: i64) -> ThreadKind {
    match code {
        1 => ThreadKind::Company,
        3 => ThreadKind::Crew,
        4 => ThreadKind::Direct,
        5 => ThreadKind::Guest,
        _ => ThreadKind::Job,
    }
}

/// A thread's kind in `view_threads.kind`.
pub const fn kind_code(kind: ThreadKind) -> i64 {
    match kind {
        ThreadKind::Company => 1,
        ThreadKind::Job => 2,
        ThreadKind::Crew => 3,
        ThreadKind::Direct => 4,
        ThreadKind::Guest => 5,
    }
}

fn write_marks(tx: &Transaction<'_>, thread: &ThreadId, view: &ThreadView) -> Result<(), Error> {
    // What doesn't count any more, since the roster changed, goes as in a rebuild.
    for table in ["read", "seen", "seen_blobs", "wiped"] {
        tx.prepare_cached(&format!("DELETE FROM view_{table} WHERE thread = ?1"))?
            .execute([thread.0.as_slice()])?;
    }
    for (person, marks) in &view.read {
        for ((seat, store), seq) in marks {
            tx.prepare_cached(
                "INSERT OR REPLACE INTO view_read (thread, person, seat, store, seq)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![
                thread.0.as_slice(),
                person.0.as_slice(),
                seat.0.as_slice(),
                store.0.as_slice(),
                seq
            ])?;
        }
    }
    for seen in view.seen_heads.values().flatten() {
        tx.prepare_cached(
            "INSERT INTO view_seen (thread, seat, store, seq) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET seq = max(seq, excluded.seq)",
        )?
        .execute(params![
            thread.0.as_slice(),
            seen.seat.0.as_slice(),
            seen.store.0.as_slice(),
            seen.head.seq
        ])?;
    }
    for (device, (time_ms, wiped)) in &view.wiped {
        tx.prepare_cached(
            "INSERT OR REPLACE INTO view_wiped (device, thread, time_ms, ops_lost, blobs_lost)
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            device.0.as_slice(),
            thread.0.as_slice(),
            time_ms.cast_signed(),
            wiped.ops_lost,
            wiped.blobs_lost
        ])?;
    }
    for (blob, devices) in &view.seen_blobs {
        tx.prepare_cached(
            "INSERT OR REPLACE INTO view_seen_blobs (blob, thread, devices) VALUES (?1, ?2, ?3)",
        )?
        .execute(params![
            blob.0.as_slice(),
            thread.0.as_slice(),
            i64::try_from(devices.len()).unwrap_or(i64::MAX)
        ])?;
    }
    Ok(())
}

/// Drops every view and folds all threads again.
pub fn rebuild(tx: &Transaction<'_>, roster: &Roster, own: &DeviceId) -> Result<(), Error> {
    for table in [
        "bodies",
        "threads",
        "members",
        "entries",
        "names",
        "read",
        "seen",
        "seen_blobs",
        "quarantine",
        "wiped",
        "erasures",
        "policies",
        "complaints",
        "mending",
        "seat_locks",
        "seat_answers",
        "signs",
    ] {
        tx.execute(&format!("DELETE FROM view_{table}"), [])?;
    }
    for thread in all_threads(tx, roster)? {
        refold(tx, roster, own, &thread)?;
    }
    Ok(())
}

/// What an op says, also where it is hidden from the views: for who decides about it.
pub fn hidden_body(tx: &Transaction<'_>, op: &VerifiedOp) -> Result<Option<Body>, Error> {
    let context = op.context();
    let (Class::Data, Some(payload)) = (context.class.class, &op.op().payload) else {
        return Ok(None);
    };
    let Some(secret) = keys::history(tx, &context.thread, &context.key)? else {
        return Ok(None);
    };
    let opened = payload::open(&secret.thread_key(), context, payload);
    Ok(opened.ok().and_then(|bytes| Body::read(&bytes).ok()))
}

/// The opened body of an entry.
pub fn body(db: &rusqlite::Connection, entry: &OpId) -> Result<Option<Body>, Error> {
    use rusqlite::OptionalExtension;
    let bytes: Option<Option<Vec<u8>>> = db
        .prepare_cached(
            "SELECT b.body FROM ops o JOIN view_bodies b ON b.thread = o.thread AND b.op = o.id
             WHERE o.id = ?1",
        )?
        .query_row([entry.0.as_slice()], |row| row.get(0))
        .optional()?;
    Ok(bytes.flatten().and_then(|bytes| Body::read(&bytes).ok()))
}
