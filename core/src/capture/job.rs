//! Jobs: opening one, its head, its members.

use kolonne_model::body::{Say, Set, field};
use kolonne_model::cbor;
use kolonne_model::control::{
    Control, MemberChange, MemberWrite, Members, Opened, StrandCut, ThreadKind,
};
use kolonne_model::ids::{OpId, RingId, SeatId, ThreadId};
use kolonne_model::judge::{Membership, ThreadOps, may_change_members};
use kolonne_model::op::Op;
use kolonne_model::payload;
use kolonne_model::roster::Roster;
use kolonne_model::roster::change::{RingKind, Role};
use rusqlite::{Connection, Transaction};

use super::{control, field_names, say};
use crate::crypt::random;
use crate::error::Error;
use crate::folding::kind_code;
use crate::keys;
use crate::kolonne::{Kolonne, drafted, keep_draft, thread_id};
use crate::line;
use crate::oplog::{self, Author, Moment, Saying};
use crate::records::Changed;
use crate::views::own_rings;

/// A job to open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewJob {
    /// What the crew calls it; required.
    pub title: String,
    /// For whom.
    pub customer: String,
    /// Where.
    pub address: String,
    /// Status code; empty: none.
    pub status: String,
    /// Crews and people, by ring; the office is always in.
    pub members: Vec<RingId>,
    /// Made by the screen.
    pub draft: Option<[u8; 16]>,
}

/// What changes of a job's head.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobChange {
    /// Its title.
    pub title: Option<String>,
    /// Its status code.
    pub status: Option<String>,
    /// For whom.
    pub customer: Option<String>,
    /// Where.
    pub address: Option<String>,
}

/// Writes a new thread's opening op as `author`; the id comes from the body.
pub(crate) fn open_thread(
    tx: &Transaction<'_>,
    moment: &Moment<'_>,
    author: &Author,
    kind: ThreadKind,
    owner: RingId,
) -> Result<ThreadId, Error> {
    let opened = Opened {
        kind,
        parent: None,
        owner,
        random: random::bytes()?,
    };
    let body = cbor::encode(&Control::Opened(opened));
    let thread = Opened::thread(&body, &moment.roster.company(), &author.seat);
    let (roster, roster_digest) = moment.roster.head();
    let context = kolonne_model::op::Context {
        suite: kolonne_model::op::SUITE_1,
        class: kolonne_model::op::ClassByte::plain(kolonne_model::op::Class::Control),
        company: moment.roster.company(),
        thread,
        seat: author.seat,
        store: oplog::store_id(tx)?,
        seq: 1,
        previous: OpId::ZERO,
        roster,
        roster_digest,
        key: kolonne_model::ids::KeyId::ZERO,
        lamport: 1,
        time_ms: moment.now_ms,
        extension_hash: kolonne_model::ids::Hash32::ZERO,
    };
    let op = Op::new(context, payload::clear(&random::bytes()?, &body));
    oplog::keep_new(tx, author, op)?;
    Ok(thread)
}

/// Opens the thread of a new crew among itself and with the office; once, however often asked.
pub(crate) fn open_crew_thread(
    tx: &Transaction<'_>,
    moment: &Moment<'_>,
    author: &Author,
    crew: RingId,
    title: &str,
) -> Result<(), Error> {
    let there: bool = tx.query_row(
        "SELECT EXISTS (SELECT 1 FROM view_threads t JOIN view_members m ON m.thread = t.thread
            WHERE t.kind = ?1 AND m.ring = ?2)",
        rusqlite::params![kind_code(ThreadKind::Crew), crew.0.as_slice()],
        |row| row.get(0),
    )?;
    if there {
        return Ok(());
    }
    let thread = open_thread(tx, moment, author, ThreadKind::Crew, crew)?;
    let set = Set {
        field: field::TITLE,
        subject: None,
        value: Some(title.to_owned()),
        names: Vec::new(),
    };
    set_field(tx, moment, author, &thread, set)
}

/// Adds rings to a thread, naming the writes that this one replaces.
pub(crate) fn add_members(
    tx: &Transaction<'_>,
    moment: &Moment<'_>,
    author: &Author,
    thread: &ThreadId,
    rings: &[RingId],
) -> Result<(), Error> {
    let control = control(tx, moment, thread)?;
    let writes: Vec<MemberWrite> = rings
        .iter()
        .filter(|ring| !matches!(control.members.get(ring), Some(Membership::In { .. })))
        .map(|ring| MemberWrite {
            ring: *ring,
            change: MemberChange::In {
                stays_out: Vec::new(),
            },
            names: control.member_writes.get(ring).cloned().unwrap_or_default(),
        })
        .collect();
    write_members(tx, moment, author, thread, writes)
}

/// The rings by which crews and people are in a thread: a person with phones of their own by these,
/// so that each of them reads at once.
fn meant(db: &Connection, roster: &Roster, rings: &[RingId]) -> Result<Vec<RingId>, Error> {
    let own_rings = own_rings(roster, |ring| {
        let mut statement = db
            .prepare_cached("SELECT name FROM view_names WHERE subject = ?1")
            .ok()?;
        let name = statement.query_row([ring.0.as_slice()], |row| row.get(0));
        name.ok()
    });
    let meant = rings.iter().map(|ring| {
        roster.ring(ring).ok_or(Error::NotFound { kind: "crew" })?;
        let own = own_rings.iter().find(|(_, person)| *person == ring);
        Ok(own.map_or(*ring, |(own, _)| *own))
    });
    meant.collect()
}

fn write_members(
    tx: &Transaction<'_>,
    moment: &Moment<'_>,
    author: &Author,
    thread: &ThreadId,
    writes: Vec<MemberWrite>,
) -> Result<(), Error> {
    if writes.is_empty() {
        return Ok(());
    }
    let members = Control::Members(Members { writes });
    oplog::append(tx, moment, author, thread, &Saying::Control(members)).map(drop)
}

/// Where a thread's strands end as this device knows them: the cut of an out. Of all seats, since
/// who speaks for another ring now may have spoken for the one that goes; it is asked of ops that
/// did.
fn cut_of(tx: &Transaction<'_>, thread: &ThreadId) -> Result<Vec<StrandCut>, Error> {
    let ops = oplog::of_thread(tx, thread)?;
    let set = ThreadOps::new(*thread, &ops);
    let heads = kolonne_model::fold::heads(&set, &SeatId::ZERO);
    Ok(heads
        .into_iter()
        .map(|head| StrandCut {
            seat: head.seat,
            store: head.store,
            head: head.head,
        })
        .collect())
}

fn set_field(
    tx: &Transaction<'_>,
    moment: &Moment<'_>,
    author: &Author,
    thread: &ThreadId,
    set: Set,
) -> Result<(), Error> {
    say(tx, moment, author, thread, Say::Set(set)).map(drop)
}

/// Names a person, crew or device in the company's thread; without subject, the company.
pub(crate) fn set_name(
    tx: &Transaction<'_>,
    moment: &Moment<'_>,
    inner_view: &kolonne_model::fold::ThreadView,
    author: &Author,
    thread: &ThreadId,
    subject: &[u8],
    name: &str,
) -> Result<(), Error> {
    let set = Set {
        field: field::NAME,
        subject: (!subject.is_empty()).then(|| subject.to_vec().into()),
        value: Some(line::checked("name", name)?),
        names: field_names(inner_view, field::NAME, subject),
    };
    set_field(tx, moment, author, thread, set)
}

/// Refuses who hasn't this role by the newest roster.
pub(crate) fn needs_role(moment: &Moment<'_>, seat: &SeatId, role: Role) -> Result<(), Error> {
    let (position, _) = moment.roster.head();
    if moment.roster.role_at(seat, position) >= Some(role) {
        Ok(())
    } else {
        Err(Error::Locked { code: "right" })
    }
}

/// The ring that owns what this seat opens: the office's, else its device's crew, else its
/// person's.
fn owner_ring(moment: &Moment<'_>, seat: &SeatId) -> Result<RingId, Error> {
    let (position, _) = moment.roster.head();
    let rings = moment.roster.speaks_for(seat, position);
    let of = |kind| {
        rings
            .iter()
            .find(|ring| moment.roster.ring(ring).is_some_and(|r| r.kind == kind))
            .copied()
    };
    of(RingKind::Office)
        .or_else(|| of(RingKind::Crew))
        .or_else(|| of(RingKind::Person))
        .ok_or(Error::NotFound { kind: "seat" })
}

impl Kolonne {
    /// Opens a job; without network too. Foremen and the office.
    pub fn open_job(&self, seat: &SeatId, job: &NewJob) -> Result<ThreadId, Error> {
        let title = line::checked_name("title", &job.title)?;
        let fields = [
            (field::TITLE, title),
            (field::CUSTOMER, line::checked("customer", &job.customer)?),
            (field::ADDRESS, line::checked("address", &job.address)?),
            (field::STATUS, line::checked("status", &job.status)?),
        ];
        let inner = &self.inner;
        let thread = inner.store.write(|tx| {
            if let Some(id) = drafted(tx, job.draft.as_ref())? {
                return thread_id(&id);
            }
            let roster = inner.roster(tx)?;
            let moment = Moment {
                roster: &roster,
                now_ms: inner.now_ms(),
            };
            needs_role(&moment, seat, Role::Foreman)?;
            let members = meant(tx, &roster, &job.members)?;
            let author = inner.author(tx, seat)?;
            let owner = owner_ring(&moment, seat)?;
            let thread = open_thread(tx, &moment, &author, ThreadKind::Job, owner)?;
            add_members(tx, &moment, &author, &thread, &members)?;
            for (code, value) in fields {
                if !value.is_empty() {
                    let set = Set {
                        field: code,
                        subject: None,
                        value: Some(value),
                        names: Vec::new(),
                    };
                    set_field(tx, &moment, &author, &thread, set)?;
                }
            }
            crate::folding::refold(tx, &roster, &inner.device, &thread)?;
            keep_draft(tx, job.draft.as_ref(), &thread.0)?;
            Ok(thread)
        })?;
        inner.tell(Changed::Threads);
        inner.tell(Changed::Me);
        inner.nudge();
        Ok(thread)
    }

    /// Changes a job's head. Foremen and the office.
    pub fn set_job(
        &self,
        seat: &SeatId,
        thread: &ThreadId,
        change: &JobChange,
    ) -> Result<(), Error> {
        if let Some(title) = &change.title {
            line::checked_name("title", title)?;
        }
        self.inner.write_in(thread, |tx, moment| {
            needs_role(moment, seat, Role::Foreman)?;
            let author = self.inner.author(tx, seat)?;
            let view = self.inner.view(tx, moment, thread)?;
            let changes = [
                (field::TITLE, "title", &change.title),
                (field::STATUS, "status", &change.status),
                (field::CUSTOMER, "customer", &change.customer),
                (field::ADDRESS, "address", &change.address),
            ];
            for (code, name, value) in changes {
                let Some(value) = value else { continue };
                let value = line::checked(name, value)?;
                let now = view.fields.get(&(code, Vec::new()));
                if now.and_then(|f| f.value.as_deref()).unwrap_or_default() == value {
                    continue;
                }
                let set = Set {
                    field: code,
                    subject: None,
                    value: (!value.is_empty()).then_some(value),
                    names: field_names(&view, code, &[]),
                };
                set_field(tx, moment, &author, thread, set)?;
            }
            Ok(())
        })
    }

    /// Adds and removes crews and people, by ring. Who goes keeps what he has read; what is
    /// written from now on is sealed under a new key.
    pub fn change_members(
        &self,
        seat: &SeatId,
        thread: &ThreadId,
        add: &[RingId],
        remove: &[RingId],
    ) -> Result<(), Error> {
        self.inner.write_in(thread, |tx, moment| {
            let author = self.inner.author(tx, seat)?;
            let state = control(tx, moment, thread)?;
            let (position, _) = moment.roster.head();
            let opening = state.opening.as_ref();
            if !opening.is_some_and(|o| may_change_members(moment.roster, seat, position, o)) {
                return Err(Error::Locked { code: "right" });
            }
            let add = &meant(tx, moment.roster, add)?;
            add_members(tx, moment, &author, thread, add)?;
            let mut writes = Vec::new();
            // Who goes goes with all that he is in it by.
            let mut going = meant(tx, moment.roster, remove)?;
            going.extend(remove);
            going.sort_unstable();
            going.dedup();
            for ring in &going {
                let kind = moment.roster.ring(ring).map(|r| r.kind);
                if matches!(kind, None | Some(RingKind::Office | RingKind::Recovery)) {
                    return Err(Error::Invalid {
                        field: "members",
                        code: "standing",
                    });
                }
                if matches!(state.members.get(ring), Some(Membership::In { .. })) {
                    writes.push(MemberWrite {
                        ring: *ring,
                        change: MemberChange::Out {
                            cut: cut_of(tx, thread)?,
                        },
                        names: state.member_writes.get(ring).cloned().unwrap_or_default(),
                    });
                }
            }
            write_members(tx, moment, &author, thread, writes)?;
            if add.is_empty() {
                return Ok(());
            }
            // Who comes reads what was said so far at once, not from the next word on.
            let state = control(tx, moment, thread)?;
            keys::open_thread_keys(tx, moment.roster, thread, &state)?;
            // After an absence an earlier key may fit again; but only a new one opens the ones between.
            let fitting = state.key_to_send(moment.roster).map(|key| key.order);
            if fitting.is_some() && fitting == state.keys.last().map(|key| key.order) {
                return Ok(());
            }
            keys::make_key(tx, moment, &author, thread, &state).map(drop)
        })
    }
}
