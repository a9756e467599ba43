//! The admission pack: the office makes it, the new device shows it until its first pull is whole.
//!
//! Nothing in it is believed beyond that, but which of several company threads is the own one; and nobody gets a thread in it that they aren't a member
//! of. An admission never fails for want of a pack.

use std::collections::BTreeSet;

use kolonne_model::control::ThreadKind;
use kolonne_model::ids::{CompanyId, DeviceId, RingId, SeatId, ThreadId};
use kolonne_model::key::HistorySecret;
use kolonne_model::pack::{
    MAX_PACK_BYTES, MAX_UNPACKED_BYTES, Pack, PackLine, PackName, PackThread,
};
use kolonne_model::roster::change::Recipient;
use miniz_oxide::deflate::compress_to_vec;
use miniz_oxide::inflate::decompress_to_vec_with_limit;
use rusqlite::{Connection, Transaction, params};
use zeroize::Zeroizing;

use crate::crypt::{self, Identity};
use crate::error::Error;
use crate::folding::NAMED_COMPANY_THREAD;
use crate::folding::{is_companys_thread, kind_code};
use crate::kolonne::{Kolonne, thread_id};
use crate::oplog::Moment;
use crate::records::{EntryKind, ThreadRow};
use crate::store::set_meta;
use crate::{capture, keys, line};

/// Most threads of a pack.
const MAX_THREADS: usize = 200;
/// Characters of a last line.
const LINE_CHARS: usize = 80;
/// How hard deflate tries.
const LEVEL: u8 = 9;

/// Makes the pack of a device that was just admitted: the newest threads that fit.
pub fn make(
    kolonne: &Kolonne,
    seat: &SeatId,
    device: &DeviceId,
    recipient: &Recipient,
) -> Result<Vec<u8>, Error> {
    let inner = &kolonne.inner;
    let rings = inner
        .store
        .read(|db| Ok(inner.roster(db)?.rings_of_device(device)))?;
    let rows = kolonne.threads(seat, "")?;
    let mut pack = inner.store.read(|db| {
        let roster = inner.roster(db)?;
        let moment = Moment {
            roster: &roster,
            now_ms: inner.now_ms(),
        };
        let mut threads = Vec::new();
        for row in rows {
            // A direct thread is for some of the people on a phone only.
            let for_all = row.kind != ThreadKind::Direct;
            let names_hold = row.kind != ThreadKind::Company || is_companys_thread(db, &row.id)?;
            let listed = for_all && names_hold && threads.len() < MAX_THREADS;
            if listed && is_member(db, &row.id, &rings)? {
                threads.push(thread(db, &moment, row)?);
            }
        }
        Ok(Pack {
            names: names(db, device, &rings)?,
            threads,
        })
    })?;
    loop {
        let sealed = seal(&pack, recipient)?;
        if sealed.len() <= MAX_PACK_BYTES {
            return Ok(sealed);
        }
        let fewer = pack.threads.len() / 4 * 3;
        if fewer == pack.threads.len() {
            return Ok(Vec::new());
        }
        pack.threads.truncate(fewer);
    }
}

fn is_member(db: &Connection, thread: &ThreadId, rings: &[RingId]) -> Result<bool, Error> {
    let mut statement = db.prepare_cached("SELECT ring FROM view_members WHERE thread = ?1")?;
    let members = statement.query_map([thread.0.as_slice()], |row| row.get::<_, Vec<u8>>(0))?;
    let members: BTreeSet<Vec<u8>> = members.collect::<Result<_, _>>()?;
    Ok(rings.iter().any(|ring| members.contains(ring.0.as_slice())))
}

fn thread(db: &Connection, moment: &Moment<'_>, row: ThreadRow) -> Result<PackThread, Error> {
    let control = capture::control(db, moment, &row.id)?;
    let mut key = None;
    for made in control.keys.iter().rev().filter_map(|op| op.key.as_ref()) {
        if let Some(secret) = keys::history(db, &row.id, &made.key())? {
            key = Some(secret.as_bytes().to_vec().into());
            break;
        }
    }
    Ok(PackThread {
        thread: row.id,
        kind: row.kind,
        title: row.title,
        last_time_ms: row.last.as_ref().map_or(0, |last| last.time_ms),
        key,
        last: row.last.map(|last| PackLine {
            author: last.author,
            kind: line_kind(last.kind),
            text: last.text.chars().take(LINE_CHARS).collect(),
        }),
        customer: row.customer,
    })
}

/// The kind of a line, as `view_entries.kind` has it; all of these are what people say.
const fn line_kind(kind: EntryKind) -> u16 {
    match kind {
        EntryKind::Photo => 2,
        EntryKind::Voice => 3,
        EntryKind::Document | EntryKind::Video => 4,
        EntryKind::Sealed => 5,
        EntryKind::Text | EntryKind::Notice | EntryKind::Stub | EntryKind::Unknown => 1,
    }
}

fn names(db: &Connection, device: &DeviceId, rings: &[RingId]) -> Result<Vec<PackName>, Error> {
    let rings = rings.iter().map(|ring| ring.0.to_vec());
    let subjects = [Vec::new(), device.0.to_vec()].into_iter().chain(rings);
    let mut names = Vec::new();
    let mut statement = db.prepare_cached("SELECT name FROM view_names WHERE subject = ?1")?;
    for subject in subjects {
        let found = statement.query_map([&subject], |row| row.get(0))?;
        for name in found {
            names.push(PackName {
                subject: subject.clone().into(),
                name: name?,
            });
        }
    }
    Ok(names)
}

fn seal(pack: &Pack, recipient: &Recipient) -> Result<Vec<u8>, Error> {
    let plain = Zeroizing::new(pack.to_bytes());
    let packed = Zeroizing::new(compress_to_vec(&plain, LEVEL));
    Ok(crypt::seal(&packed, &[keys::recipient(recipient)?])?)
}

/// Opens a pack; none if there is none, or it isn't one for this device.
pub fn open(file: &[u8], device: &Identity) -> Option<Pack> {
    if file.len() > MAX_PACK_BYTES {
        return None;
    }
    let packed = crypt::open(file, std::slice::from_ref(device), MAX_PACK_BYTES).ok()?;
    let plain = decompress_to_vec_with_limit(&packed, MAX_UNPACKED_BYTES).ok()?;
    Pack::read(&Zeroizing::new(plain)).ok()
}

/// Keeps a pack until the first pull is whole.
pub fn keep(tx: &Transaction<'_>, company: &CompanyId, pack: &mut Pack) -> Result<(), Error> {
    for name in &pack.names {
        tx.prepare_cached("INSERT OR REPLACE INTO promised_names (subject, name) VALUES (?1, ?2)")?
            .execute(params![name.subject.as_slice(), line::shown(&name.name)])?;
    }
    let for_all = |thread: &&mut PackThread| thread.kind != ThreadKind::Direct;
    for thread in pack.threads.iter_mut().filter(for_all).take(MAX_THREADS) {
        if thread.kind == ThreadKind::Company {
            set_meta(tx, NAMED_COMPANY_THREAD, &thread.thread.0)?;
        }
        let last = thread.last.as_ref();
        tx.prepare_cached(
            "INSERT OR REPLACE INTO promised_threads
                (thread, kind, title, customer, last_time_ms, last_author, last_kind, last_text)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            thread.thread.0.as_slice(),
            kind_code(thread.kind),
            line::shown(&thread.title),
            thread.customer.as_deref().map(line::shown),
            thread.last_time_ms.cast_signed(),
            last.map(|last| line::shown(&last.author)),
            last.map(|last| last.kind),
            last.map(|last| &last.text),
        ])?;
        let key = thread.key.take();
        if let Some(key) = key.map(|key| Zeroizing::new(Vec::from(key)))
            && let Ok(secret) = <[u8; 32]>::try_from(key.as_slice())
        {
            let secret = HistorySecret::from_bytes(secret);
            keys::keep_named_key(tx, company, &thread.thread, &secret)?;
        }
    }
    Ok(())
}

/// The first pull was whole: from here on the ops alone say what there is.
pub fn forget(tx: &Transaction<'_>) -> Result<(), Error> {
    tx.execute("DELETE FROM promised_threads", [])?;
    tx.execute("DELETE FROM promised_names", [])?;
    Ok(())
}

/// The promised threads, that with the newest line last.
pub fn newest_last(db: &Connection) -> Result<Vec<ThreadId>, Error> {
    let sql = "SELECT thread FROM promised_threads ORDER BY last_time_ms, thread";
    let mut statement = db.prepare_cached(sql)?;
    let threads = statement.query_map([], |row| row.get::<_, Vec<u8>>(0))?;
    threads.map(|thread| thread_id(&thread?)).collect()
}

/// Whether anything is still only promised.
pub fn is_here(db: &Connection) -> Result<bool, Error> {
    let sql = "SELECT EXISTS (SELECT 1 FROM promised_threads)
        OR EXISTS (SELECT 1 FROM promised_names)";
    Ok(db.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
}
