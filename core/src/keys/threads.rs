//! The keys of threads: opening what is wrapped for the rings of this device, and through it the
//! earlier ones; making the key that a thread is sent under.
//!
//! No key is taken but by its name, which is what it is, and none is sent under that isn't open here.

use std::collections::BTreeSet;

use kolonne_model::control::{Control, KeyMade, KeyRing, KeySeal, ThreadKind};
use kolonne_model::ids::{CompanyId, Hash32, KeyId, OpId, RingId, ThreadId};
use kolonne_model::judge::ThreadControl;
use kolonne_model::key::{HistorySecret, ThreadKey};
use kolonne_model::roster::change::Recipient as PublicRecipient;
use kolonne_model::roster::{Roster, part_hash};
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::{recipient, ring_secrets, secret32, try_open};
use crate::crypt::{self, Identity, Recipient, random};
use crate::error::Error;
use crate::oplog::{self, Author, Moment, Saying};

/// What opens a generation of a ring: one secret, or those of two that have one number.
pub type RingSecrets<'a> = dyn Fn(&RingId, u32) -> Result<Vec<Identity>, Error> + 'a;

/// Most recipients of one age file.
const RECIPIENTS_PER_FILE: usize = 64;

fn keep_thread_key(
    tx: &Transaction<'_>,
    thread: &ThreadId,
    key: &KeyId,
    history: &HistorySecret,
) -> Result<(), Error> {
    tx.prepare_cached(
        "INSERT OR IGNORE INTO thread_keys (thread, key, history) VALUES (?1, ?2, ?3)",
    )?
    .execute(params![
        thread.0.as_slice(),
        key.0.as_slice(),
        history.as_bytes().as_slice()
    ])?;
    Ok(())
}

/// A thread key's history secret, if it is here.
pub fn history(
    db: &Connection,
    thread: &ThreadId,
    key: &KeyId,
) -> Result<Option<HistorySecret>, Error> {
    let secret: Option<Vec<u8>> = db
        .prepare_cached("SELECT history FROM thread_keys WHERE thread = ?1 AND key = ?2")?
        .query_row(params![thread.0.as_slice(), key.0.as_slice()], |row| {
            row.get(0)
        })
        .optional()?;
    secret
        .map(|secret| Ok(HistorySecret::from_bytes(*secret32(secret)?)))
        .transpose()
}

/// Keeps a thread key that somebody told. It is named by what it is: a false one is the key of no op.
pub fn keep_named_key(
    tx: &Transaction<'_>,
    company: &CompanyId,
    thread: &ThreadId,
    history: &HistorySecret,
) -> Result<(), Error> {
    let id = history.thread_key().id(company, thread);
    keep_thread_key(tx, thread, &id, history)
}

/// Opens every key of a thread that this device can open, newest first, and through it the
/// earlier ones. Whether there was a new one.
pub fn open_thread_keys(
    tx: &Transaction<'_>,
    roster: &Roster,
    thread: &ThreadId,
    control: &ThreadControl,
) -> Result<bool, Error> {
    let secrets = |ring: &RingId, generation| ring_secrets(tx, ring, generation);
    open_thread_keys_by(tx, roster, thread, control, &secrets)
}

/// The same, by whatever opens a ring's generation.
pub fn open_thread_keys_by(
    tx: &Transaction<'_>,
    roster: &Roster,
    thread: &ThreadId,
    control: &ThreadControl,
    ring_secrets: &RingSecrets<'_>,
) -> Result<bool, Error> {
    let mut any = false;
    let mut found = true;
    while found {
        found = false;
        for (op, made) in control
            .keys
            .iter()
            .rev()
            .filter_map(|op| Some((op, op.key.as_ref()?)))
        {
            let secret = match history(tx, thread, &made.key())? {
                Some(secret) => secret,
                None => match open_key(
                    tx,
                    roster,
                    thread,
                    control,
                    (&op.order.id, made),
                    ring_secrets,
                )? {
                    Some(secret) => {
                        keep_thread_key(tx, thread, &made.key(), &secret)?;
                        found = true;
                        secret
                    }
                    None => continue,
                },
            };
            for seal in &made.seals {
                if history(tx, thread, &seal.earlier)?.is_some() {
                    continue;
                }
                let Some(sealed) = oplog::part(tx, &seal.sealed)? else {
                    continue;
                };
                if let Some(earlier) =
                    secret.open_earlier(&roster.company(), thread, &seal.earlier, &sealed)
                {
                    keep_thread_key(tx, thread, &seal.earlier, &earlier)?;
                    found = true;
                }
            }
        }
        any |= found;
    }
    Ok(any)
}

/// The files that may hold a key's secret for one of its rings, each with the ring's generation; the
/// newest wrap first.
pub(crate) fn files_for(
    control: &ThreadControl,
    key_op: &OpId,
    made: &KeyMade,
    entry: &KeyRing,
) -> Vec<(u32, Hash32)> {
    let again = control
        .wraps_again_of(key_op, &entry.ring)
        .map(|again| (again.generation, again.file));
    let first = made.files.get(usize::from(entry.file));
    again
        .chain(first.map(|file| (entry.generation, *file)))
        .collect()
}

fn open_key(
    tx: &Transaction<'_>,
    roster: &Roster,
    thread: &ThreadId,
    control: &ThreadControl,
    (key_op, made): (&OpId, &KeyMade),
    ring_secrets: &RingSecrets<'_>,
) -> Result<Option<HistorySecret>, Error> {
    for entry in &made.rings {
        for (generation, hash) in files_for(control, key_op, made, entry) {
            let identities = ring_secrets(&entry.ring, generation)?;
            if identities.is_empty() {
                continue;
            }
            let Some(file) = oplog::part(tx, &hash)? else {
                continue;
            };
            for identity in &identities {
                let Some(secret) = try_open(&file, &[identity]) else {
                    continue;
                };
                let secret = HistorySecret::from_bytes(*secret);
                if secret.thread_key().hash(&roster.company(), thread) == made.hash {
                    return Ok(Some(secret));
                }
            }
        }
    }
    Ok(None)
}

/// The key to send under now; makes one first if there is none.
pub fn key_to_send(
    tx: &Transaction<'_>,
    moment: &Moment<'_>,
    author: &Author,
    thread: &ThreadId,
    control: &ThreadControl,
) -> Result<(ThreadKey, KeyId), Error> {
    if control.needs_newer_app {
        return Err(Error::UpgradeRequired);
    }
    if let Some(made) = control
        .key_to_send(moment.roster)
        .and_then(|op| op.key.as_ref())
    {
        // A key that isn't openable here yet doesn't stop anyone from writing: make another.
        if let Some(secret) = history(tx, thread, &made.key())? {
            return Ok((secret.thread_key(), made.key()));
        }
    }
    make_key(tx, moment, author, thread, control)
}

/// Makes a thread's next key; it opens every earlier one that is here.
pub(crate) fn make_key(
    tx: &Transaction<'_>,
    moment: &Moment<'_>,
    author: &Author,
    thread: &ThreadId,
    control: &ThreadControl,
) -> Result<(ThreadKey, KeyId), Error> {
    let company = moment.roster.company();
    if control.kind() == Some(ThreadKind::Guest) {
        return Err(Error::UpgradeRequired);
    }
    let secret = HistorySecret::from_bytes(*random::secret::<32>()?);
    let key = secret.thread_key();
    let mut rings: Vec<(RingId, u32, PublicRecipient)> = control
        .member_rings()
        .filter_map(|ring| {
            let (generation, public) = moment.roster.newest_generation(&ring)?;
            Some((ring, generation, public.clone()))
        })
        .collect();
    rings.sort_by_key(|(ring, _, _)| *ring);
    let mut parts: Vec<Vec<u8>> = Vec::new();
    let mut entries = Vec::new();
    for (index, chunk) in rings.chunks(RECIPIENTS_PER_FILE).enumerate() {
        let file = u16::try_from(index).map_err(|_| Error::internal("key_files"))?;
        let recipients: Vec<Recipient> = chunk
            .iter()
            .map(|(_, _, public)| recipient(public))
            .collect::<Result<_, _>>()?;
        parts.push(crypt::seal(secret.as_bytes(), &recipients)?);
        entries.extend(chunk.iter().map(|(ring, generation, _)| KeyRing {
            ring: *ring,
            generation: *generation,
            file,
        }));
    }
    let files: Vec<Hash32> = parts.iter().map(|part| part_hash(part)).collect();
    let mut seals = Vec::new();
    for earlier in keys_to_seal(tx, &company, thread, control)? {
        let Some(old) = history(tx, thread, &earlier)? else {
            continue;
        };
        let sealed = secret.seal_earlier(&earlier, &old);
        seals.push(KeySeal {
            earlier,
            sealed: part_hash(&sealed),
        });
        parts.push(sealed);
    }
    let made = KeyMade {
        hash: key.hash(&company, thread),
        rings: entries,
        files,
        seals,
    };
    let id = made.key();
    let op = oplog::append(
        tx,
        moment,
        author,
        thread,
        &Saying::Control(Control::KeyMade(made)),
    )?;
    for part in &parts {
        oplog::keep_part(tx, &op.id(), part)?;
    }
    keep_thread_key(tx, thread, &id, &secret)?;
    Ok((key, id))
}

/// Every earlier key that is here and isn't opened by one that will be sealed too.
fn keys_to_seal(
    tx: &Transaction<'_>,
    company: &CompanyId,
    thread: &ThreadId,
    control: &ThreadControl,
) -> Result<BTreeSet<KeyId>, Error> {
    let (mut to_seal, mut covered) = (BTreeSet::new(), BTreeSet::new());
    // The newest first, so that no two cover each other.
    for made in control.keys.iter().rev().filter_map(|op| op.key.as_ref()) {
        let id = made.key();
        if history(tx, thread, &id)?.is_some() && !covered.contains(&id) {
            to_seal.insert(id);
        }
        covered.extend(opened_by(tx, company, thread, made)?);
    }
    Ok(to_seal)
}

/// The earlier keys that a key does open, if it is here itself. What its maker lists proves nothing:
/// a seal counts once it gave the key that it is said to hold.
pub(crate) fn opened_by(
    db: &Connection,
    company: &CompanyId,
    thread: &ThreadId,
    made: &KeyMade,
) -> Result<Vec<KeyId>, Error> {
    let mut opened = Vec::new();
    let Some(secret) = history(db, thread, &made.key())? else {
        return Ok(opened);
    };
    for KeySeal { earlier, sealed } in &made.seals {
        let part = oplog::part(db, sealed)?;
        let opens = part.is_some_and(|part| {
            let found = secret.open_earlier(company, thread, earlier, &part);
            found.is_some()
        });
        if opens {
            opened.push(*earlier);
        }
    }
    Ok(opened)
}
