//! Wrong wraps: a device that can't open what a key op has for its ring says so by itself, and
//! whoever holds the key wraps it again.
//!
//! A complaint needs the very bytes that the key op names by their hash, so a hub can provoke none.
//! A key is only ever wrapped again for a ring that its own op lists and that is still a member.

use std::collections::BTreeSet;

use kolonne_model::control::{Complaint, Control, KeyMade, ThreadKind, WrappedAgain, Wrong};
use kolonne_model::ids::{KeyId, OpId, RingId, ThreadId};
use kolonne_model::judge::{Judgement, ThreadControl, ThreadKeyOp};
use kolonne_model::roster::change::RingKind;
use kolonne_model::roster::{Roster, part_hash};
use rusqlite::{Connection, Transaction};

use crate::error::Error;
use crate::keys::RingSecrets;
use crate::kolonne::{Inner, Kolonne, op_id, seat_id, thread_id};
use crate::oplog::{self, Author, Moment, Saying};
use crate::records::{Changed, KeyComplaint};
use crate::{capture, crypt, folding, keys};

impl Inner {
    /// Complains of wraps that don't open here, and wraps again what others complained of. Whether
    /// anything was written.
    pub fn mend_keys(&self) -> Result<bool, Error> {
        let mut wrote = false;
        for thread in self.store.read(threads_to_mend)? {
            let mended = self.store.write(|tx| {
                let roster = self.roster(tx)?;
                let moment = Moment {
                    roster: &roster,
                    now_ms: self.now_ms(),
                };
                let mended = self.mend_keys_of(tx, &moment, &thread)?;
                if mended {
                    folding::refold(tx, &roster, &self.device, &thread)?;
                }
                Ok(mended)
            })?;
            if mended {
                self.tell(Changed::Thread(thread));
            }
            wrote |= mended;
        }
        Ok(wrote)
    }

    fn mend_keys_of(
        &self,
        tx: &Transaction<'_>,
        moment: &Moment<'_>,
        thread: &ThreadId,
    ) -> Result<bool, Error> {
        let control = capture::control(tx, moment, thread)?;
        if control.needs_newer_app {
            return Ok(false);
        }
        let mut wrote = false;
        let secrets =
            |ring: &RingId, generation| self.secrets_here(tx, moment.roster, ring, generation);
        for op in &control.keys {
            let (Some(made), Judgement::Counted(_)) = (&op.key, op.judgement) else {
                continue;
            };
            let key_op = op.order.id;
            if keys::history(tx, thread, &made.key())?.is_none() {
                for complaint in wrong_wraps(tx, &control, &key_op, made, &secrets)? {
                    wrote |= self.write_for(tx, moment, &[complaint.ring], |tx, author| {
                        let said = Saying::Control(Control::Complaint(complaint));
                        oplog::append(tx, moment, author, thread, &said).map(|_| true)
                    })?;
                }
            }
            let members: Vec<RingId> = control.member_rings().collect();
            let open = control
                .complaints
                .iter()
                .filter(|complained| complained.is_open && complained.complaint.key_op == key_op);
            for complained in open {
                let ring = complained.complaint.ring;
                if members.contains(&ring) {
                    wrote |= self.write_for(tx, moment, &members, |tx, author| {
                        wrap_again(tx, moment, author, thread, (&key_op, made), &ring)
                    })?;
                }
            }
        }
        if someone_lacks_a_key(tx, moment.roster, thread, &control)? {
            let direct = control.kind() == Some(ThreadKind::Direct);
            let office = moment.roster.the_ring(RingKind::Office);
            let makers: Vec<RingId> = control
                .member_rings()
                .filter(|ring| direct || Some(*ring) == office)
                .collect();
            wrote |= self.write_for(tx, moment, &makers, |tx, author| {
                keys::make_key(tx, moment, author, thread, &control).map(|_| true)
            })?;
        }
        Ok(wrote)
    }

    /// Writes as whoever on this device speaks for one of these rings: the device itself, else a
    /// person who is unlocked. Whether anything was written.
    fn write_for(
        &self,
        tx: &Transaction<'_>,
        moment: &Moment<'_>,
        rings: &[RingId],
        write: impl FnOnce(&Transaction<'_>, &Author) -> Result<bool, Error>,
    ) -> Result<bool, Error> {
        let Some(author) = self.speaker(tx, moment, rings)? else {
            return Ok(false);
        };
        write(tx, &author)
    }

    /// Who on this device speaks for one of these rings now: the device, else an unlocked person.
    pub fn speaker(
        &self,
        db: &Connection,
        moment: &Moment<'_>,
        rings: &[RingId],
    ) -> Result<Option<Author>, Error> {
        let (position, _) = moment.roster.head();
        let speaks = |seat| {
            let of = moment.roster.speaks_for(seat, position);
            of.iter().any(|ring| rings.contains(ring))
        };
        let device = keys::device_author(db)?;
        if speaks(&device.seat) {
            return Ok(Some(device));
        }
        let seats = keys::own_seats(db)?;
        Ok(seats
            .iter()
            .filter(|seat| speaks(seat) && moment.roster.ends_of(seat).next().is_none())
            .find_map(|seat| self.reader(db, seat).ok()))
    }
}

/// Whether a member doesn't get at a key that is here: someone who was added while another made it, or
/// in a direct thread who has a new phone. A new key opens all earlier ones for them.
pub fn someone_lacks_a_key(
    db: &Connection,
    roster: &Roster,
    thread: &ThreadId,
    control: &ThreadControl,
) -> Result<bool, Error> {
    // A guest's thread needs keys that this app can't make.
    if control.kind() == Some(ThreadKind::Guest) {
        return Ok(false);
    }
    Ok(!who_lacks_a_key(db, roster, thread, control)?.is_empty()
        || is_key_off_the_chain(db, roster, thread, control)?)
}

/// The members who don't get at a key that is here. The older generations of a person's ring went with
/// the lost phone in a direct thread; elsewhere the office or the ring itself opens them.
pub(crate) fn who_lacks_a_key(
    db: &Connection,
    roster: &Roster,
    thread: &ThreadId,
    control: &ThreadControl,
) -> Result<Vec<RingId>, Error> {
    let company = roster.company();
    let is_direct = control.kind() == Some(ThreadKind::Direct);
    let mut lacking = Vec::new();
    let mut here: BTreeSet<KeyId> = BTreeSet::new();
    let mut keys = Vec::new();
    for op in &control.keys {
        let Some(made) = &op.key else { continue };
        let counts = is_direct || matches!(op.judgement, Judgement::Counted(_));
        if counts && keys::history(db, thread, &made.key())?.is_some() {
            here.insert(made.key());
        }
        keys.push((made, keys::opened_by(db, &company, thread, made)?));
    }
    for ring in control.member_rings() {
        let Some((newest, _)) = roster.newest_generation(&ring) else {
            continue;
        };
        let mut opens: BTreeSet<KeyId> = BTreeSet::new();
        // Seals lead to earlier keys only, so the newest first finds all.
        for (made, opened) in keys.iter().rev() {
            let wrapped = made
                .rings
                .iter()
                .any(|entry| entry.ring == ring && (!is_direct || entry.generation == newest));
            if wrapped || opens.contains(&made.key()) {
                opens.insert(made.key());
                opens.extend(opened);
            }
        }
        if !here.is_subset(&opens) {
            lacking.push(ring);
        }
    }
    Ok(lacking)
}

/// Whether a key that counts isn't here, so that what was sent under it can't be read.
pub(crate) fn lacks_a_key_here(
    db: &Connection,
    thread: &ThreadId,
    control: &ThreadControl,
) -> Result<bool, Error> {
    for op in &control.keys {
        if let (Some(made), Judgement::Counted(_)) = (&op.key, op.judgement)
            && keys::history(db, thread, &made.key())?.is_none()
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a key that is here was made by a roster that doesn't hold (undone, or merged from another
/// branch) and the key to send under doesn't open it, or there is none: who is a member by the chain
/// that holds may lack it.
fn is_key_off_the_chain(
    db: &Connection,
    roster: &Roster,
    thread: &ThreadId,
    control: &ThreadControl,
) -> Result<bool, Error> {
    if control.kind() == Some(ThreadKind::Direct) {
        return Ok(false);
    }
    let newest = control.key_to_send(roster).and_then(|op| op.key.as_ref());
    let mut opened: BTreeSet<KeyId> = newest.map(KeyMade::key).into_iter().collect();
    let counted = |op: &&ThreadKeyOp| matches!(op.judgement, Judgement::Counted(_));
    for op in control.keys.iter().rev().filter(counted) {
        let Some(made) = &op.key else { continue };
        let (position, digest) = &op.roster;
        if opened.contains(&made.key()) {
            opened.extend(keys::opened_by(db, &roster.company(), thread, made)?);
        } else if !roster.stands(*position, digest)
            && keys::history(db, thread, &made.key())?.is_some()
        {
            return Ok(true);
        }
    }
    Ok(false)
}

fn threads_to_mend(db: &Transaction<'_>) -> Result<Vec<ThreadId>, Error> {
    let mut statement = db.prepare_cached("SELECT thread FROM view_mending")?;
    let threads = statement.query_map([], |row| row.get::<_, Vec<u8>>(0))?;
    threads.map(|thread| thread_id(&thread?)).collect()
}

/// The rings of this device for which a key op's newest wrap is here and wrong.
fn wrong_wraps(
    db: &Connection,
    control: &ThreadControl,
    key_op: &OpId,
    made: &KeyMade,
    secrets: &RingSecrets<'_>,
) -> Result<Vec<Complaint>, Error> {
    let mut wrong = Vec::new();
    for entry in &made.rings {
        let ring = entry.ring;
        let complained = control.complaints.iter().any(|made| {
            made.is_open && made.complaint.key_op == *key_op && made.complaint.ring == ring
        });
        let newest = keys::files_for(control, key_op, made, entry)
            .into_iter()
            .next();
        let Some((generation, hash)) = newest.filter(|_| !complained) else {
            continue;
        };
        let identities = secrets(&ring, generation)?;
        if identities.is_empty() {
            continue;
        }
        // What never came is the hub's to bring, not the maker's fault.
        let Some(file) = oplog::part(db, &hash)? else {
            continue;
        };
        let identities: Vec<_> = identities.iter().collect();
        let opens = keys::try_open(&file, &identities).is_some();
        wrong.push(Complaint {
            key_op: *key_op,
            ring,
            wrong: if opens {
                Wrong::AnotherKey
            } else {
                Wrong::DoesNotOpen
            },
        });
    }
    Ok(wrong)
}

/// Wraps a key again, if it is here. Whether it was.
fn wrap_again(
    tx: &Transaction<'_>,
    moment: &Moment<'_>,
    author: &Author,
    thread: &ThreadId,
    (key_op, made): (&OpId, &KeyMade),
    ring: &RingId,
) -> Result<bool, Error> {
    let Some(secret) = keys::history(tx, thread, &made.key())? else {
        return Ok(false);
    };
    let Some(entry) = made.rings.iter().find(|entry| entry.ring == *ring) else {
        return Ok(false);
    };
    let recipient = usize::try_from(entry.generation)
        .ok()
        .and_then(|n| moment.roster.ring(ring)?.generations.get(n.checked_sub(1)?));
    let Some(recipient) = recipient else {
        return Ok(false);
    };
    let file = crypt::seal(secret.as_bytes(), &[keys::recipient(recipient)?])?;
    let again = Control::WrappedAgain(WrappedAgain {
        key_op: *key_op,
        ring: *ring,
        generation: entry.generation,
        file: part_hash(&file),
    });
    let op = oplog::append(tx, moment, author, thread, &Saying::Control(again))?;
    oplog::keep_part(tx, &op.id(), &file)?;
    Ok(true)
}

impl Kolonne {
    /// Keys that someone made wrongly, newest first, with who made them: for the office.
    ///
    /// # Errors
    /// None but the disk's.
    pub fn key_complaints(&self) -> Result<Vec<KeyComplaint>, Error> {
        self.at_desk(|desk| {
            let mut statement = desk.db.prepare_cached(
                "SELECT op, thread, maker, ring, by, time_ms, open FROM view_complaints
                 ORDER BY time_ms DESC, op",
            )?;
            let rows = statement.query_map([], |row| {
                Ok((
                    row.get::<_, Vec<u8>>(0)?,
                    row.get::<_, Vec<u8>>(1)?,
                    row.get::<_, Option<Vec<u8>>>(2)?,
                    row.get::<_, Vec<u8>>(3)?,
                    row.get::<_, Vec<u8>>(4)?,
                    row.get::<_, i64>(5)?,
                    row.get::<_, bool>(6)?,
                ))
            })?;
            rows.map(|row| {
                let (id, thread, maker, ring, by, time_ms, is_open) = row?;
                Ok(KeyComplaint {
                    id: op_id(&id)?,
                    thread: thread_id(&thread)?,
                    maker: maker
                        .map(|maker| Ok::<_, Error>(desk.seat_name(&seat_id(&maker)?)))
                        .transpose()?,
                    for_whom: desk.name(&ring),
                    by: desk.seat_name(&seat_id(&by)?),
                    time_ms: time_ms.cast_unsigned(),
                    is_open,
                })
            })
            .collect()
        })
    }
}
