//! Rights that change: ending a device, a person or a seat, moving a device, another role. Each is
//! one roster op of an office person, and takes the rings that it shuts someone out of along.
//!
//! What an end cuts off is named by heads that this device or their authors' signatures prove,
//! never by the hub's word. Nothing here judges: every device does, by the roster.

pub(crate) mod cuts;

use std::collections::BTreeSet;
use std::sync::Arc;

use kolonne_model::ids::{DeviceId, Hash32, OpId, RingId, SeatId, StrandHead};
use kolonne_model::roster::Roster;
use kolonne_model::roster::change::{
    Change, CutBatch, DeviceKind, EndMode, Move, RingKind, Role, RoleChange, Subject,
};
use rusqlite::Connection;

use crate::crypt::SigningSecret;
use crate::error::Error;
use crate::kolonne::{Inner, Kolonne};
use crate::rings::{self, Leaving, seats_of};
use crate::roster_op::roster_op;
use crate::seats;
use crate::sync::{Drafted, append, blocking};
use crate::transport::Line;

/// Cuts that an end lists itself; a person's may be said for several devices too.
const CUTS_IN_END: usize = 200;
/// Cuts in one batch: with their hashes they fit a payload.
const CUTS_IN_BATCH: usize = 1000;

/// Cuts that went ahead of an end: their batches, and the ops that carried them.
#[derive(Debug, Clone, Default)]
pub(crate) struct SentCuts {
    pub hashes: Vec<Hash32>,
    pub ops: Vec<OpId>,
}

impl Kolonne {
    /// Ends rights: of a device with all its seats, a person with all theirs, or one seat. With a
    /// person end the devices that nobody else writes on. Soft: what was written before it was
    /// known still counts; hard (loss, theft, quarrel): only what is at the hub now.
    ///
    /// # Errors
    /// `Locked` (`right`); `Invalid` (`subject`: `own`, `ended`); `NotFound`; `Offline`: nothing
    /// has ended yet.
    pub async fn end(&self, seat: &SeatId, subject: Subject, mode: EndMode) -> Result<(), Error> {
        let inner = &self.inner;
        let author = inner.store.read(|db| inner.author(db, seat))?;
        let hub = self.catch_up().await?;
        let (seats, hub_heads) = {
            let roster = inner.store.read(|db| inner.roster(db))?;
            let subjects = subjects_with(&roster, subject)?;
            check_end(inner, &roster, seat, &subjects)?;
            let seats = seats_of(&roster, &subjects);
            let heads = match mode {
                EndMode::Hard => {
                    let heads = cuts::heads_at_hub(&hub, &roster, &seats).await?;
                    let rings = roster.rings_of_device(&inner.device);
                    inner.store.read(|db| cuts::elsewhere(db, &rings, heads))?
                }
                EndMode::Soft => Vec::new(),
            };
            (seats, Arc::new(heads))
        };
        let batches = match mode {
            EndMode::Hard => {
                let sent = self.send_cuts(&hub, &author.secret, &seats, &hub_heads);
                sent.await?.map(|sent| sent.hashes)
            }
            EndMode::Soft => None,
        };
        let clock = Arc::clone(&inner.config.clock);
        self.change_roster(&hub, move |db, roster| {
            let subjects = subjects_with(roster, subject)?;
            let (listed, parts) = match (mode, &batches) {
                (EndMode::Hard, None) => cuts::lists(db, &seats, &hub_heads)?,
                _ => (Vec::new(), Vec::new()),
            };
            let cuts = (listed.as_slice(), batches.as_deref());
            let changes = rings::ends(db, roster, &author, &subjects, mode, cuts)?;
            Ok(Drafted {
                op: roster_op(roster, &author.secret, clock(), changes)?,
                parts,
                with: (),
            })
        })
        .await
        .map(drop)
    }

    /// Sends the cuts ahead if they don't fit beside the end, else nothing.
    pub(crate) async fn send_cuts(
        &self,
        hub: &Line,
        secret: &SigningSecret,
        seats: &BTreeSet<SeatId>,
        hub_heads: &[StrandHead],
    ) -> Result<Option<SentCuts>, Error> {
        let (listed, parts) = self
            .inner
            .store
            .read(|db| cuts::lists(db, seats, hub_heads))?;
        if listed.len() <= CUTS_IN_END {
            return Ok(None);
        }
        let mut sent = SentCuts::default();
        let batches = listed
            .chunks(CUTS_IN_BATCH)
            .zip(parts.chunks(CUTS_IN_BATCH));
        for (cuts, parts) in batches {
            let batch = CutBatch {
                cuts: cuts.to_vec(),
            };
            sent.hashes.push(batch.hash());
            let (secret, parts) = (secret.clone(), parts.to_vec());
            let clock = Arc::clone(&self.inner.config.clock);
            let op = self
                .change_roster(hub, move |_, roster| {
                    let changes = vec![Change::Cuts(batch.clone())];
                    Ok(Drafted {
                        op: roster_op(roster, &secret, clock(), changes)?,
                        parts: parts.clone(),
                        with: (),
                    })
                })
                .await?;
            sent.ops.push(op);
        }
        Ok(Some(sent))
    }

    /// Moves a device to another crew. What its people wrote for the old one still counts.
    ///
    /// # Errors
    /// As [`Kolonne::end`].
    pub async fn move_device(
        &self,
        seat: &SeatId,
        device: &DeviceId,
        crew: &RingId,
    ) -> Result<(), Error> {
        let author = self.inner.store.read(|db| self.inner.author(db, seat))?;
        let hub = self.catch_up().await?;
        let clock = Arc::clone(&self.inner.config.clock);
        let (device, crew) = (*device, *crew);
        self.change_roster(&hub, move |db, roster| {
            let moved = roster
                .device(&device)
                .filter(|moved| moved.cert.kind == DeviceKind::Phone)
                .filter(|_| !roster.device_has_ended(&device))
                .ok_or(Error::NotFound { kind: "device" })?;
            let before = moved.crews.last().and_then(|(_, crew)| *crew);
            if before == Some(crew) {
                return Err(invalid("crew", "same"));
            }
            let holder = (device.0, moved.cert.recipient.clone());
            let mut changes = rings::wraps_for(db, roster, &crew, &holder)?;
            changes.push(Change::Move(Move {
                device,
                crew: Some(crew),
            }));
            if let Some(before) = before {
                let leaving = Leaving {
                    ended: &[],
                    moved: Some(device),
                };
                let next =
                    rings::next_generation(db, roster, &before, leaving, &[], Some(&author))?;
                changes.push(Change::Ring(next));
            }
            Ok(Drafted {
                op: roster_op(roster, &author.secret, clock(), changes)?,
                parts: Vec::new(),
                with: (),
            })
        })
        .await
        .map(drop)
    }

    /// Gives a person another role, on all their seats.
    ///
    /// # Errors
    /// As [`Kolonne::end`].
    pub async fn set_role(&self, seat: &SeatId, person: &RingId, role: Role) -> Result<(), Error> {
        let author = self.inner.store.read(|db| self.inner.author(db, seat))?;
        let hub = self.catch_up().await?;
        let clock = Arc::clone(&self.inner.config.clock);
        let person = *person;
        self.change_roster(&hub, move |_, roster| {
            let own = roster.seat(&author.seat).and_then(|seat| seat.cert.person);
            if own == Some(person) {
                return Err(invalid("role", "own"));
            }
            let (position, _) = roster.head();
            let seats: Vec<SeatId> = seats_of(roster, &[Subject::Person(person)])
                .into_iter()
                .filter(|id| roster.role_at(id, position) != Some(role))
                .collect();
            if seats.is_empty() {
                return Err(invalid("role", "same"));
            }
            let changes = seats
                .into_iter()
                .map(|seat| Change::Role(RoleChange { seat, role }))
                .collect();
            Ok(Drafted {
                op: roster_op(roster, &author.secret, clock(), changes)?,
                parts: Vec::new(),
                with: (),
            })
        })
        .await
        .map(drop)
    }

    pub(crate) async fn change_roster(
        &self,
        hub: &Line,
        draft: impl Fn(&Connection, &Roster) -> Result<Drafted<()>, Error> + Clone + Send + 'static,
    ) -> Result<OpId, Error> {
        let drafted = append(&self.inner, hub, &mut Vec::new(), draft).await?;
        let op = drafted.op.id();
        blocking(&self.inner, move |inner| inner.keep_change(&drafted)).await?;
        Ok(op)
    }
}

impl Inner {
    /// Keeps a roster op that the hub took, and judges everything anew by it.
    pub(crate) fn keep_change<T>(&self, drafted: &Drafted<T>) -> Result<(), Error> {
        let roster = self.store.write(|tx| {
            let before = self.roster(tx)?;
            let mut chain = (*self.chain(tx)?).clone();
            drafted.keep(tx, &mut chain)?;
            let both = self.beside_other(tx, &chain)?;
            let roster = both.as_ref().unwrap_or(&chain);
            seats::drop_ended(tx, &chain)?;
            self.judge_by(tx, &before, roster)?;
            Ok(chain)
        })?;
        self.went_on(roster)?;
        self.tell_all();
        self.nudge();
        Ok(())
    }
}

const fn invalid(field: &'static str, code: &'static str) -> Error {
    Error::Invalid { field, code }
}

/// A subject, and with a person the devices that only they write on.
fn subjects_with(roster: &Roster, subject: Subject) -> Result<Vec<Subject>, Error> {
    let known = match &subject {
        Subject::Seat(id) => roster.seat(id).is_some(),
        Subject::Device(id) => roster.device(id).is_some(),
        Subject::Person(id) => roster
            .ring(id)
            .is_some_and(|ring| ring.kind == RingKind::Person),
    };
    if !known {
        return Err(Error::NotFound {
            kind: match subject {
                Subject::Seat(_) => "seat",
                Subject::Device(_) => "device",
                Subject::Person(_) => "person",
            },
        });
    }
    let mut subjects = vec![subject];
    if let Subject::Person(person) = subject {
        let writers = |device: &DeviceId| -> BTreeSet<RingId> {
            roster
                .seats()
                .filter(|(id, seat)| {
                    seat.cert.device == *device && roster.ends_of(id).next().is_none()
                })
                .filter_map(|(_, seat)| seat.cert.person)
                .collect()
        };
        let alone = roster
            .devices()
            .filter(|(id, _)| !roster.device_has_ended(id))
            .filter(|(id, _)| writers(id) == BTreeSet::from([person]))
            .map(|(id, _)| Subject::Device(*id));
        subjects.extend(alone);
    }
    Ok(subjects)
}

fn check_end(
    inner: &Inner,
    roster: &Roster,
    author: &SeatId,
    subjects: &[Subject],
) -> Result<(), Error> {
    if roster.role_now(author) < Some(Role::Office) {
        return Err(Error::Locked { code: "right" });
    }
    let seats = seats_of(roster, subjects);
    if seats.contains(author) || subjects.contains(&Subject::Device(inner.device)) {
        return Err(invalid("subject", "own"));
    }
    if seats.iter().all(|id| roster.ends_of(id).next().is_some()) {
        return Err(invalid("subject", "ended"));
    }
    Ok(())
}
