//! Capture: what people write, say and photograph becomes ops and blobs on this disk.
//!
//! A call returns when everything is durable: blobs are synced before the one transaction that
//! names them. Nothing here waits for the network, and no rule of judgement is decided here: a
//! right is asked for only so that a person isn't surprised later.

mod direct;
pub(crate) mod job;
mod media;
mod sealed;

use kolonne_model::body::{Read, ReadMark, Retract, Say, Set, Text, field};
use kolonne_model::control::ThreadKind;
use kolonne_model::fold::{Shown, ThreadView};
use kolonne_model::ids::{OpId, OpName, SeatId, ThreadId};
use kolonne_model::judge::ThreadControl;
use kolonne_model::judge::{ThreadOps, control_state};
use kolonne_model::roster::change::Role;
use kolonne_model::strand::VerifiedOp;
use rusqlite::{Connection, Transaction, params};

use crate::error::Error;
use crate::kolonne::{Inner, Kolonne, drafted, keep_draft, op_id, thread_id};
use crate::oplog::{self, Author, Moment, Saying};
use crate::{folding, keys};

pub use job::{JobChange, NewJob};
pub use sealed::{MAX_SEALED_BYTES, SealFor};

/// Longest text, caption or reason in bytes.
pub const MAX_TEXT_BYTES: usize = 16 * 1024;

/// What goes with an entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// The entry it answers.
    pub reply_to: Option<OpId>,
    /// Its first caption.
    pub caption: Option<String>,
    /// Made by the screen: the same one again answers the same and writes nothing.
    pub draft: Option<[u8; 16]>,
}

impl About {
    fn caption(&self) -> Result<Option<String>, Error> {
        let caption = self
            .caption
            .as_deref()
            .map(str::trim)
            .filter(|text| !text.is_empty());
        caption
            .map(|text| checked("caption", text, MAX_TEXT_BYTES))
            .transpose()
    }
}

/// Trimmed and within a limit; may be empty.
fn checked(name: &'static str, text: &str, limit_bytes: usize) -> Result<String, Error> {
    let text = text.trim();
    if text.len() > limit_bytes {
        return Err(Error::Invalid {
            field: name,
            code: "too_large",
        });
    }
    Ok(text.to_owned())
}

/// A thread's control ops as they stand in the log.
pub(crate) fn control(
    db: &Connection,
    moment: &Moment<'_>,
    thread: &ThreadId,
) -> Result<ThreadControl, Error> {
    let ops = oplog::control_of_thread(db, thread)?;
    let control = control_state(&ThreadOps::new(*thread, &ops), moment.roster);
    if control.opening.is_none() {
        return Err(Error::NotFound { kind: "thread" });
    }
    Ok(control)
}

/// Who isn't in a thread (any more) writes nothing there.
fn check_member(
    moment: &Moment<'_>,
    author: &Author,
    control: &ThreadControl,
) -> Result<(), Error> {
    let (position, _) = moment.roster.head();
    let speaks_for = moment.roster.speaks_for(&author.seat, position);
    if control.has_member(&speaks_for) {
        Ok(())
    } else if control.kind() == Some(ThreadKind::Direct) {
        Err(Error::Locked {
            code: "member_direct",
        })
    } else {
        Err(Error::Locked { code: "member" })
    }
}

/// Why something is taken back or thrown away.
pub(crate) fn checked_reason(reason: &str) -> Result<String, Error> {
    let reason = checked("reason", reason, MAX_TEXT_BYTES)?;
    if reason.is_empty() {
        return Err(Error::Invalid {
            field: "reason",
            code: "empty",
        });
    }
    Ok(reason)
}

/// Only one's own entries are taken back; by the office anyone's.
pub(crate) fn check_may_retract(
    db: &Connection,
    moment: &Moment<'_>,
    seat: &SeatId,
    entry: &OpId,
) -> Result<(), Error> {
    let of = oplog::get(db, entry)?.ok_or(Error::NotFound { kind: "entry" })?;
    let (position, _) = moment.roster.head();
    let person = |s: &SeatId| moment.roster.seat(s).and_then(|s| s.cert.person);
    let own = person(&of.context().seat) == person(seat);
    if own || moment.roster.role_at(seat, position) >= Some(Role::Office) {
        Ok(())
    } else {
        Err(Error::Locked { code: "right" })
    }
}

/// Seals and appends what someone says in a thread; makes the thread's key first if need be.
pub(crate) fn say(
    tx: &Transaction<'_>,
    moment: &Moment<'_>,
    author: &Author,
    thread: &ThreadId,
    say: Say,
) -> Result<VerifiedOp, Error> {
    let control = control(tx, moment, thread)?;
    check_member(moment, author, &control)?;
    keys::open_thread_keys(tx, moment.roster, thread, &control)?;
    let (key, key_id) = keys::key_to_send(tx, moment, author, thread, &control)?;
    oplog::append(tx, moment, author, thread, &Saying::Data(&key, key_id, say))
}

impl Inner {
    /// Says something as a person of this device.
    pub(crate) fn say_as(
        &self,
        seat: &SeatId,
        thread: &ThreadId,
        draft: Option<&[u8; 16]>,
        what: impl FnOnce(&Transaction<'_>) -> Result<Say, Error>,
    ) -> Result<OpId, Error> {
        if let Some(id) = self.store.read(|db| drafted(db, draft))? {
            return op_id(&id);
        }
        self.write_in(thread, |tx, moment| {
            if let Some(id) = drafted(tx, draft)? {
                return op_id(&id);
            }
            let author = self.author(tx, seat)?;
            let said = what(tx)?;
            if let Some(parent) = said.reply_to() {
                in_thread(tx, &parent, thread)?;
            }
            let op = say(tx, moment, &author, thread, said)?;
            keep_draft(tx, draft, &op.id().0)?;
            Ok(op.id())
        })
    }

    fn view(
        &self,
        tx: &Transaction<'_>,
        moment: &Moment<'_>,
        thread: &ThreadId,
    ) -> Result<ThreadView, Error> {
        folding::refold(tx, moment.roster, &self.device, thread)
    }
}

fn in_thread(tx: &Transaction<'_>, entry: &OpId, thread: &ThreadId) -> Result<(), Error> {
    if thread_of(tx, entry)? == *thread {
        Ok(())
    } else {
        Err(Error::NotFound { kind: "entry" })
    }
}

pub(crate) fn thread_of(db: &rusqlite::Connection, entry: &OpId) -> Result<ThreadId, Error> {
    use rusqlite::OptionalExtension;
    let thread: Vec<u8> = db
        .prepare_cached("SELECT thread FROM view_entries WHERE id = ?1")?
        .query_row([entry.0.as_slice()], |row| row.get(0))
        .optional()?
        .ok_or(Error::NotFound { kind: "entry" })?;
    thread_id(&thread)
}

impl Kolonne {
    /// Writes a text.
    pub fn send_text(
        &self,
        seat: &SeatId,
        thread: &ThreadId,
        text: &str,
        about: &About,
    ) -> Result<OpId, Error> {
        let text = checked("text", text, MAX_TEXT_BYTES)?;
        if text.is_empty() {
            return Err(Error::Invalid {
                field: "text",
                code: "empty",
            });
        }
        self.inner.say_as(seat, thread, about.draft.as_ref(), |_| {
            Ok(Say::Text(Text {
                text,
                reply_to: about.reply_to,
            }))
        })
    }

    /// Captions an entry, or edits the words of an own text. Empty removes a caption.
    pub fn caption(&self, seat: &SeatId, entry: &OpId, text: &str) -> Result<(), Error> {
        let text = checked("caption", text, MAX_TEXT_BYTES)?;
        let thread = self.inner.store.read(|db| thread_of(db, entry))?;
        self.inner.write_in(&thread, |tx, moment| {
            let author = self.inner.author(tx, seat)?;
            let view = self.inner.view(tx, moment, &thread)?;
            let target = view
                .entries
                .iter()
                .find(|e| e.id == *entry)
                .ok_or(Error::NotFound { kind: "entry" })?;
            let person = moment.roster.seat(seat).and_then(|s| s.cert.person);
            match &target.shown {
                Shown::Said(Say::Text(_)) if target.person != person => {
                    return Err(Error::Locked { code: "author" });
                }
                Shown::Said(Say::Text(_)) if text.is_empty() => {
                    return Err(Error::Invalid {
                        field: "text",
                        code: "empty",
                    });
                }
                Shown::Said(Say::Sealed(_)) => {
                    return Err(Error::Invalid {
                        field: "caption",
                        code: "sealed",
                    });
                }
                Shown::Said(Say::Set(_))
                | Shown::Members(_)
                | Shown::NewerApp
                | Shown::Erased
                | Shown::Withheld => {
                    return Err(Error::NotFound { kind: "entry" });
                }
                Shown::Said(_) => {}
            }
            let set = Set {
                field: field::ENTRY_TEXT,
                subject: Some(entry.0.to_vec().into()),
                value: (!text.is_empty()).then_some(text),
                names: target
                    .words
                    .as_ref()
                    .map(|w| w.writes.clone())
                    .unwrap_or_default(),
            };
            say(tx, moment, &author, &thread, Say::Set(set)).map(drop)
        })
    }

    /// Takes an entry back; a stub stays. Own entries; the office anyone's.
    pub fn retract(&self, seat: &SeatId, entry: &OpId, reason: Option<&str>) -> Result<(), Error> {
        let reason = reason
            .map(|text| checked("reason", text, MAX_TEXT_BYTES))
            .transpose()?;
        let thread = self.inner.store.read(|db| thread_of(db, entry))?;
        self.inner.write_in(&thread, |tx, moment| {
            let author = self.inner.author(tx, seat)?;
            check_may_retract(tx, moment, seat, entry)?;
            let retract = Retract {
                target: *entry,
                reason: reason.filter(|text| !text.is_empty()),
            };
            say(tx, moment, &author, &thread, Say::Retract(retract)).map(drop)
        })
    }

    /// Marks a thread as read through an entry, as it stands on the screen. Who isn't in it any more
    /// may read on what is here, and tells nobody.
    pub fn mark_read(&self, seat: &SeatId, thread: &ThreadId, up_to: &OpId) -> Result<(), Error> {
        let marks = self
            .inner
            .store
            .read(|db| unread_marks(db, seat, thread, up_to, self))?;
        if marks.is_empty() {
            return Ok(());
        }
        let said = self
            .inner
            .say_as(seat, thread, None, |_| Ok(Say::Read(Read { marks })));
        match said {
            Ok(_)
            | Err(Error::Locked {
                code: "member" | "member_direct",
            }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Strands that moved on since the person's last mark, among what is shown up to an entry.
fn unread_marks(
    db: &rusqlite::Connection,
    seat: &SeatId,
    thread: &ThreadId,
    up_to: &OpId,
    kolonne: &Kolonne,
) -> Result<Vec<ReadMark>, Error> {
    let roster = kolonne.inner.roster(db)?;
    let person = roster
        .seat(seat)
        .and_then(|seat| seat.cert.person)
        .ok_or(Error::NotFound { kind: "seat" })?;
    let mut statement = db.prepare_cached(
        "SELECT e.seat, e.store, max(e.seq) FROM view_entries e
         JOIN view_entries last ON last.id = ?2
         LEFT JOIN view_read r ON r.thread = e.thread AND r.person = ?3
            AND r.seat = e.seat AND r.store = e.store
         WHERE e.thread = ?1 AND e.person IS NOT ?3 AND e.kept_back IS NULL
            AND e.shown_lamport <= last.shown_lamport
            AND e.seq > coalesce(r.seq, 0)
         GROUP BY e.seat, e.store",
    )?;
    let rows = statement.query_map(
        params![thread.0.as_slice(), up_to.0.as_slice(), person.0.as_slice()],
        |row| {
            Ok((
                row.get::<_, Vec<u8>>(0)?,
                row.get::<_, Vec<u8>>(1)?,
                row.get::<_, u32>(2)?,
            ))
        },
    )?;
    rows.map(|row| {
        let (seat, store, seq) = row?;
        Ok(ReadMark {
            seat: crate::kolonne::seat_id(&seat)?,
            store: store.as_slice().try_into().map_err(|_| Error::Corrupt)?,
            seq,
        })
    })
    .collect()
}

/// The names a write to a field has to give.
pub(crate) fn field_names(view: &ThreadView, code: u16, subject: &[u8]) -> Vec<OpName> {
    view.fields
        .get(&(code, subject.to_vec()))
        .map(|field| field.writes.clone())
        .unwrap_or_default()
}
