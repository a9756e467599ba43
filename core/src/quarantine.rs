//! What is kept back: counted and named for the office, shown to nobody, and let in by it in one
//! act per thread and seat.
//!
//! Kept back is never lost: its ops and blobs lie here and at the hub. An admission lends no
//! right; what its author was never allowed to do stays without effect.

use std::collections::BTreeSet;

use kolonne_model::control::{Admit, Control, StrandCut};
use kolonne_model::ids::{OpId, SeatId, ThreadId};
use kolonne_model::judge::{Judgement, Quarantine, ThreadOps};
use kolonne_model::roster::change::Role;
use rusqlite::Transaction;

use crate::capture::job::needs_role;
use crate::error::Error;
use crate::kolonne::{Kolonne, seat_id, thread_id};
use crate::oplog::{self, Moment, Saying};
use crate::records::{KeptBack, KeptBackWhy};
use crate::views::{Desk, may_see};
use crate::{folding, keys};

impl Kolonne {
    /// What is kept back, the newest first, in all threads that somebody here may see now: a direct
    /// one is nobody else's.
    pub fn kept_back(&self) -> Result<Vec<KeptBack>, Error> {
        self.at_desk(kept_back)
    }

    /// Lets in what is kept back of a seat in a thread. The office.
    ///
    /// # Errors
    /// `Locked` (`right`); `NotFound` (`kept_back`) if there is nothing that it could let in.
    pub fn admit(&self, seat: &SeatId, thread: &ThreadId, of: &SeatId) -> Result<(), Error> {
        self.inner.write_in(thread, |tx, moment| {
            let author = self.inner.author(tx, seat)?;
            needs_role(moment, seat, Role::Office)?;
            let through = self.admissible(tx, moment, thread, of)?;
            if through.is_empty() {
                return Err(Error::NotFound { kind: "kept_back" });
            }
            let admit = Saying::Control(Control::Admit(Admit { through }));
            oplog::append(tx, moment, &author, thread, &admit).map(drop)
        })
    }

    /// The newest kept back op of each branch of a seat, but for what no admission can help.
    fn admissible(
        &self,
        tx: &Transaction<'_>,
        moment: &Moment<'_>,
        thread: &ThreadId,
        of: &SeatId,
    ) -> Result<Vec<StrandCut>, Error> {
        let view = folding::refold(tx, moment.roster, &self.inner.device, thread)?;
        let ops = oplog::of_thread(tx, thread)?;
        let set = ThreadOps::new(*thread, &ops);
        let kept: Vec<_> = view
            .judgements
            .iter()
            .filter(|(_, judgement)| {
                matches!(judgement, Judgement::Quarantined(why) if *why != Quarantine::Right)
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
}

fn kept_back(desk: &Desk<'_>) -> Result<Vec<KeptBack>, Error> {
    let mut statement = desk.db.prepare_cached(
        "SELECT thread, seat, why, entries, ops, first_ms, last_ms, texts, photos, voices, files
         FROM view_quarantine
         ORDER BY last_ms DESC, thread, seat, why",
    )?;
    let rows = statement.query_map([], |row| {
        Ok((
            (row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?),
            (row.get::<_, i64>(2)?, row.get(3)?, row.get(4)?),
            (row.get::<_, i64>(5)?, row.get::<_, i64>(6)?),
            [row.get(7)?, row.get(8)?, row.get(9)?, row.get(10)?],
        ))
    })?;
    let own = keys::own_seats(desk.db)?;
    let mut kept = Vec::new();
    for row in rows {
        let ((thread, seat), (why, entries, ops), (first_ms, last_ms), kinds) = row?;
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
            why: KeptBackWhy::from_code(why).ok_or(Error::Corrupt)?,
            entries,
            texts,
            photos,
            voices,
            files,
            ops,
            first_ms: first_ms.cast_unsigned(),
            last_ms: last_ms.cast_unsigned(),
        });
    }
    Ok(kept)
}
