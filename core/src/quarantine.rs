//! What is kept back: counted and named for the office, shown to nobody, and let in by it in one
//! act per thread and seat; in a direct thread by its people, of each other, after an end.
//!
//! Kept back is never lost: its ops and blobs lie here and at the hub. An admission lends no
//! right; what its author was never allowed to do stays without effect.

use std::collections::BTreeSet;

use kolonne_model::control::{Admit, Control, StrandCut, ThreadKind};
use kolonne_model::fold::ThreadView;
use kolonne_model::ids::{OpId, SeatId, ThreadId};
use kolonne_model::judge::{Judgement, ThreadOps};
use kolonne_model::roster::Roster;
use kolonne_model::roster::change::Role;
use rusqlite::Transaction;

use crate::capture::job::needs_role;
use crate::error::Error;
use crate::folding::{self, thread_kind};
use crate::keys;
use crate::kolonne::{Kolonne, seat_id, thread_id};
use crate::oplog::{self, Moment, Saying};
use crate::records::{KeptBack, KeptBackWhy, LetInBy};
use crate::views::{Desk, may_see};

impl Kolonne {
    /// What is kept back, the newest first, in all threads that somebody here may see now: a direct
    /// one is nobody else's.
    pub fn kept_back(&self) -> Result<Vec<KeptBack>, Error> {
        self.at_desk(kept_back)
    }

    /// Lets in what is kept back of a seat in a thread. The office; in a direct thread its people.
    ///
    /// # Errors
    /// `Locked` (`right`, `member_direct`); `NotFound` (`kept_back`) if there is nothing that it could let in.
    pub fn admit(&self, seat: &SeatId, thread: &ThreadId, of: &SeatId) -> Result<(), Error> {
        self.inner.write_in(thread, |tx, moment| {
            let author = self.inner.author(tx, seat)?;
            let view = folding::refold(tx, moment.roster, &self.inner.device, thread)?;
            if view.control.kind() != Some(ThreadKind::Direct) {
                needs_role(moment, seat, Role::Office)?;
            } else if !is_in(&view, moment.roster, seat) {
                return Err(Error::Locked {
                    code: "member_direct",
                });
            }
            let through = admissible(tx, moment, &view, thread, of)?;
            if through.is_empty() {
                return Err(Error::NotFound { kind: "kept_back" });
            }
            let admit = Saying::Control(Control::Admit(Admit { through }));
            oplog::append(tx, moment, &author, thread, &admit).map(drop)
        })
    }
}

/// The newest kept back op of each branch of a seat, but for what no admission can help.
fn admissible(
    tx: &Transaction<'_>,
    moment: &Moment<'_>,
    view: &ThreadView,
    thread: &ThreadId,
    of: &SeatId,
) -> Result<Vec<StrandCut>, Error> {
    let kind = view.control.kind();
    // Who isn't in a direct thread isn't let in by words about his end.
    if kind == Some(ThreadKind::Direct) && !is_in(view, moment.roster, of) {
        return Ok(Vec::new());
    }
    let ops = oplog::of_thread(tx, thread)?;
    let set = ThreadOps::new(*thread, &ops);
    let kept: Vec<_> = view
        .judgements
        .iter()
        .filter(|(_, judgement)| match judgement {
            Judgement::Quarantined(why) => {
                let_in_by(KeptBackWhy::of(*why), kind) != LetInBy::Nobody
            }
            _ => false,
        })
        .filter_map(|(id, _)| set.get(id).filter(|op| op.context().seat == *of))
        .collect();
    let followed: BTreeSet<OpId> = kept.iter().map(|op| op.context().previous).collect();
    Ok(kept
        .into_iter()
        .filter(|op| !followed.contains(&op.id()))
        .map(|op| StrandCut {
            seat: op.context().seat,
            store: op.context().store,
            head: op.head(),
        })
        .collect())
}

fn is_in(view: &ThreadView, roster: &Roster, seat: &SeatId) -> bool {
    let (position, _) = roster.head();
    view.control.has_member(&roster.speaks_for(seat, position))
}

/// Who can let in what is kept back for this reason.
pub(crate) const fn let_in_by(why: KeptBackWhy, thread: Option<ThreadKind>) -> LetInBy {
    match (why, thread) {
        (KeptBackWhy::Ended | KeptBackWhy::Cut, Some(ThreadKind::Direct)) => LetInBy::Members,
        (KeptBackWhy::Right, _) | (_, Some(ThreadKind::Direct)) => LetInBy::Nobody,
        _ => LetInBy::Office,
    }
}

fn kept_back(desk: &Desk<'_>) -> Result<Vec<KeptBack>, Error> {
    let mut statement = desk.db.prepare_cached(
        "SELECT q.thread, q.seat, q.why, q.entries, q.ops, q.first_ms, q.last_ms,
                q.texts, q.photos, q.voices, q.files, t.kind, q.changes
         FROM view_quarantine q LEFT JOIN view_threads t ON t.thread = q.thread
         ORDER BY q.last_ms DESC, q.thread, q.seat, q.why",
    )?;
    let rows = statement.query_map([], |row| {
        Ok((
            (row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?),
            (row.get::<_, i64>(2)?, row.get(3)?, row.get(4)?),
            (row.get::<_, i64>(5)?, row.get::<_, i64>(6)?),
            [row.get(7)?, row.get(8)?, row.get(9)?, row.get(10)?],
            row.get::<_, Option<i64>>(11)?.map(thread_kind),
            row.get(12)?,
        ))
    })?;
    // A seat that ended or was renewed has no lock any more: it opens nobody's direct threads.
    let mut own = keys::own_seats(desk.db)?;
    own.retain(|seat| desk.roster.ends_of(seat).next().is_none());
    let mut kept = Vec::new();
    for row in rows {
        let ((thread, seat), (why, entries, ops), (first_ms, last_ms), kinds, kind, changes) = row?;
        let why = KeptBackWhy::from_code(why).ok_or(Error::Corrupt)?;
        let [texts, photos, voices, files] = kinds;
        let thread = thread_id(&thread)?;
        if !own.iter().any(|own| may_see(desk, own, &thread).is_ok()) {
            continue;
        }
        let seat = seat_id(&seat)?;
        let cert = desk.roster.certificate(&seat);
        kept.push(KeptBack {
            thread,
            seat,
            person: cert
                .and_then(|cert| cert.person)
                .map(|person| desk.name(&person.0)),
            device: cert.map(|cert| desk.name(&cert.device.0)),
            device_id: cert.map(|cert| cert.device),
            why,
            let_in_by: let_in_by(why, kind),
            entries,
            texts,
            photos,
            voices,
            files,
            changes,
            ops,
            first_ms: first_ms.cast_unsigned(),
            last_ms: last_ms.cast_unsigned(),
        });
    }
    Ok(kept)
}
