//! What a device and the office tell each other about locks: shares for safe keeping, seats that
//! five wrong PINs locked, shares given back, and the new seat of someone who forgot their PIN.
//!
//! A share leaves a device only sealed to who may give it back. For phones that is the office ring;
//! for an office device the other ones and the kit, since it opens the office ring itself.

use kolonne_model::body::{Say, SeatLocked, SeatUnlocked, WantedSeat};
use kolonne_model::cbor;
use kolonne_model::ids::{OpId, SeatId};
use kolonne_model::op::SUITE_1;
use kolonne_model::roster::change::{
    Change, DeviceKind, End, EndMode, Recipient as PublicRecipient, RingKind, Role, SeatCert,
    SeatKind, Subject,
};
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::{Inner, Kolonne, bad_pin, rows};
use crate::capture;
use crate::capture::job::needs_role;
use crate::crypt::pin::{self, Share};
use crate::crypt::{self, Identity};
use crate::error::Error;
use crate::folding::company_thread;
use crate::keys::{self, SeatKeys, secret32};
use crate::kolonne::op_id;
use crate::oplog::Moment;
use crate::rings::{self, Leaving};
use crate::roster_op::{roster_op, the_newest};
use crate::sync::Drafted;

/// Recipients of a share at most: one age file.
const MAX_KEEPERS: usize = 64;
const SHARE_BYTES: usize = 32;

/// A seat that is locked, as the office has it.
struct LockedSeat {
    locked: OpId,
    answer_to: PublicRecipient,
    locked_ms: u64,
    share: Option<Vec<u8>>,
}

impl Kolonne {
    /// Gives a seat that five wrong PINs locked its tries back. The office; without a network too.
    ///
    /// # Errors
    /// `Locked` (`right`); `NotFound`: `locked_seat` if it isn't locked, `share` if this device
    /// can't open what it deposited (then the seat is renewed).
    pub fn unlock_seat(&self, by: &SeatId, seat: &SeatId) -> Result<(), Error> {
        let inner = &self.inner;
        let thread = inner.store.read(|db| company_thread(db))?;
        inner.write_in(&thread, |tx, moment| {
            let author = inner.author(tx, by)?;
            needs_role(moment, by, Role::Office)?;
            let found = locked_seat(tx, seat)?.ok_or(Error::NotFound {
                kind: "locked_seat",
            })?;
            let share = found.share.and_then(|file| {
                let identities = keepers_identities(tx, moment).ok()?;
                crypt::open(&file, &identities, SHARE_BYTES).ok()
            });
            let share = share.ok_or(Error::NotFound { kind: "share" })?;
            let back = crypt::seal(&share, &[keys::recipient(&found.answer_to)?])?;
            let answer = SeatUnlocked {
                seat: *seat,
                locked: found.locked,
                share: back.into(),
            };
            let say = Say::Unlocked(Box::new(answer));
            capture::say(tx, moment, &author, &thread, say).map(drop)
        })
    }

    /// A PIN is forgotten: makes the keys of a new seat under a new PIN, and asks the office to put
    /// it in place of the old one. Until it does, the old one is what it was.
    ///
    /// # Errors
    /// `Invalid` (`pin`) as in [`Kolonne::set_pin`], (`seat`: `wanted`) while another request waits
    /// and the old PIN isn't in; `NotFound`; `AuthExpired` for a seat that has ended.
    pub fn want_new_seat(&self, seat: &SeatId, pin: &str) -> Result<(), Error> {
        pin::check_new(pin).map_err(bad_pin)?;
        let inner = &self.inner;
        let keys = SeatKeys::generate()?;
        let locked = inner.lock_up(&keys, pin)?;
        let wanted = WantedSeat {
            key: keys.signing.public(),
            recipient: keys::public_recipient(&keys.identity)?,
        };
        let thread = inner.store.read(|db| company_thread(db))?;
        inner.write_in(&thread, |tx, moment| {
            if moment.roster.ends_of(seat).next().is_some() {
                return Err(Error::AuthExpired);
            }
            // Nobody replaces a colleague's request; who has the old PIN in may.
            if waits(tx, moment.roster, seat)? && !inner.seats.ids().contains(seat) {
                return Err(Error::Invalid {
                    field: "seat",
                    code: "wanted",
                });
            }
            drop_unadmitted(tx, moment.roster, seat)?;
            let place: Option<u32> = tx
                .query_row(
                    "SELECT place FROM own_seats WHERE seat = ?1",
                    [seat.0.as_slice()],
                    |row| row.get(0),
                )
                .optional()?;
            let place = place.ok_or(Error::NotFound { kind: "seat" })?;
            keys::keep_seat(tx, place, &keys)?;
            locked.put(tx, &keys.seat())?;
            tx.execute(
                "INSERT INTO wanted_seats (seat, instead_of) VALUES (?1, ?2)",
                params![keys.seat().0.as_slice(), seat.0.as_slice()],
            )?;
            let author = keys::device_author(tx)?;
            let told = SeatLocked {
                seat: *seat,
                share: None,
                answer_to: None,
                wanted: Some(wanted),
            };
            let say = Say::Locked(Box::new(told));
            capture::say(tx, moment, &author, &thread, say).map(drop)
        })
    }

    /// Puts the new seat that a device asked for in place of one whose PIN is forgotten: the old one
    /// ends softly, the new one has its person and role. The office, of whom somebody looked at the
    /// request for `asked`: a later one in its place isn't what they agreed to.
    ///
    /// # Errors
    /// As [`Kolonne::end`]; `NotFound` (`wanted_seat`) if its device asked for none; `Invalid` (`seat`,
    /// `wanted_again`) if it asked for another one since.
    pub async fn renew_seat(
        &self,
        by: &SeatId,
        seat: &SeatId,
        asked: &SeatId,
    ) -> Result<(), Error> {
        let inner = &self.inner;
        let author = inner.store.read(|db| inner.author(db, by))?;
        let hub = self.catch_up().await?;
        let (of, asked, clock) = (*seat, *asked, std::sync::Arc::clone(&inner.config.clock));
        self.change_roster(&hub, move |db, roster| {
            let old = roster.seat(&of).ok_or(Error::NotFound { kind: "seat" })?;
            let (position, _) = roster.head();
            let role = roster.role_at(&of, position);
            let wanted = wanted_seat(db, &of)?
                .filter(|_| roster.ends_of(&of).next().is_none())
                .filter(|wanted| roster.seat(&SeatId::of_key(&wanted.key)).is_none());
            let (Some(wanted), Some(role), Some(person)) = (wanted, role, old.cert.person) else {
                return Err(Error::NotFound {
                    kind: "wanted_seat",
                });
            };
            if SeatId::of_key(&wanted.key) != asked {
                return Err(Error::Invalid {
                    field: "seat",
                    code: "wanted_again",
                });
            }
            let ended = Subject::Seat(of);
            let leaving = Leaving {
                ended: &[ended],
                moved: None,
            };
            let coming = (SeatId::of_key(&wanted.key).0, wanted.recipient.clone());
            let by = Some(&author);
            let next = rings::next_generation(db, roster, &person, leaving, &[coming], by)?;
            let changes = vec![
                Change::End(End {
                    subject: ended,
                    mode: EndMode::Soft,
                    cuts: Vec::new(),
                    more: None,
                }),
                Change::Ring(next),
                Change::Seat(SeatCert {
                    key: wanted.key,
                    kind: SeatKind::Person,
                    suite: SUITE_1,
                    device: old.cert.device,
                    person: Some(person),
                    role,
                    scope: old.cert.scope,
                    not_after_ms: old.cert.not_after_ms,
                    recipient: Some(wanted.recipient),
                }),
            ];
            Ok(Drafted {
                op: roster_op(roster, &author.secret, clock(), changes)?,
                parts: Vec::new(),
                with: (),
            })
        })
        .await
        .map(drop)
    }
}

impl Inner {
    /// A lock share, sealed to those who may give it back.
    pub(super) fn deposit(&self, share: &Share) -> Result<Vec<u8>, Error> {
        let roster = self.store.read(|db| self.roster(db))?;
        let is_office = roster
            .device(&self.device)
            .is_some_and(|device| device.cert.kind == DeviceKind::Office);
        let mut keepers: Vec<&PublicRecipient> = Vec::new();
        if is_office {
            keepers.push(the_newest(&roster, RingKind::Recovery)?.1);
            let others = roster.devices().filter(|(id, device)| {
                **id != self.device
                    && device.cert.kind == DeviceKind::Office
                    && !roster.device_has_ended(id)
            });
            keepers.extend(others.map(|(_, device)| &device.cert.recipient));
        } else {
            keepers.push(the_newest(&roster, RingKind::Office)?.1);
        }
        let recipients = keepers
            .into_iter()
            .take(MAX_KEEPERS)
            .map(keys::recipient)
            .collect::<Result<Vec<_>, _>>()?;
        Ok(crypt::seal(share.as_slice(), &recipients)?)
    }

    /// Withdraws the request for a new seat, which somebody without the PIN may have made, if it can:
    /// else the next right PIN does.
    pub(super) fn withdraw_soon(&self, seat: &SeatId, keys: &SeatKeys) {
        if let Err(error) = self.withdraw(seat, keys) {
            tracing::debug!(code = error.code(), "a request is withdrawn later");
        }
    }

    /// The new seat's keys stay: the office may have put it in place already.
    fn withdraw(&self, seat: &SeatId, keys: &SeatKeys) -> Result<(), Error> {
        let waits = self.store.read(|db| {
            let roster = self.roster(db)?;
            waits(db, &roster, seat)
        })?;
        if !waits {
            return Ok(());
        }
        let thread = self.store.read(|db| company_thread(db))?;
        let itself = WantedSeat {
            key: keys.signing.public(),
            recipient: keys::public_recipient(&keys.identity)?,
        };
        self.write_in(&thread, |tx, moment| {
            let author = keys::device_author(tx)?;
            let told = SeatLocked {
                seat: *seat,
                share: None,
                answer_to: None,
                wanted: Some(itself),
            };
            let say = Say::Locked(Box::new(told));
            capture::say(tx, moment, &author, &thread, say).map(drop)
        })
    }

    /// Tells of locks, if it can: what can't be told now is told with a later sync.
    pub(crate) fn tell_locks_soon(&self) {
        if let Err(error) = self.tell_locks() {
            tracing::debug!(code = error.code(), "locks are told later");
        }
    }

    /// Tells, as the device seat, of locks that weren't told yet: of new shares, and of seats that
    /// five wrong PINs locked.
    fn tell_locks(&self) -> Result<(), Error> {
        // A seat that the office hasn't admitted yet has nothing to say.
        let is_something = self.store.read(|db| {
            let roster = self.roster(db)?;
            let untold = rows::untold(db)?;
            Ok(untold.iter().any(|told| roster.seat(&told.seat).is_some()))
        })?;
        if !is_something {
            return Ok(());
        }
        let thread = self.store.read(|db| company_thread(db))?;
        self.write_in(&thread, |tx, moment| {
            let author = keys::device_author(tx)?;
            for untold in rows::untold(tx)? {
                if moment.roster.seat(&untold.seat).is_none() {
                    continue;
                }
                let back = untold.back.as_ref();
                let told = SeatLocked {
                    seat: untold.seat,
                    share: untold.deposit.map(Into::into),
                    answer_to: back.map(keys::public_recipient).transpose()?,
                    wanted: None,
                };
                capture::say(tx, moment, &author, &thread, Say::Locked(Box::new(told)))?;
                rows::told(tx, &untold.seat)?;
            }
            Ok(())
        })
    }
}

/// Takes the shares that the office gave back. Whether there was one.
pub(crate) fn take_shares(tx: &Transaction<'_>) -> Result<bool, Error> {
    let mut any = false;
    for (seat, back) in rows::locked_out(tx)? {
        let mut statement = tx.prepare_cached(
            "SELECT a.share FROM view_seat_answers a JOIN view_seat_locks l
                 ON l.seat = a.seat AND l.locked = a.locked
             WHERE a.seat = ?1",
        )?;
        let files = statement.query_map([seat.0.as_slice()], |row| row.get::<_, Vec<u8>>(0))?;
        for file in files {
            let Ok(share) = crypt::open(&file?, std::slice::from_ref(&back), SHARE_BYTES) else {
                continue;
            };
            any |= rows::give_back(tx, &seat, &secret32(share.to_vec())?)?;
        }
    }
    Ok(any)
}

/// What can open a deposited share here: this device, and the office's ring.
fn keepers_identities(tx: &Transaction<'_>, moment: &Moment<'_>) -> Result<Vec<Identity>, Error> {
    let mut identities = vec![keys::device(tx)?.identity];
    let (office, _) = the_newest(moment.roster, RingKind::Office)?;
    let newest = moment
        .roster
        .newest_generation(&office)
        .map_or(0, |(n, _)| n);
    for generation in 1..=newest {
        identities.extend(keys::ring_secrets(tx, &office, generation)?);
    }
    Ok(identities)
}

/// Keys that were made for a seat before and that nobody admitted.
fn drop_unadmitted(
    tx: &Transaction<'_>,
    roster: &kolonne_model::roster::Roster,
    instead_of: &SeatId,
) -> Result<(), Error> {
    let earlier: Vec<Vec<u8>> = tx
        .prepare_cached("SELECT seat FROM wanted_seats WHERE instead_of = ?1")?
        .query_map([instead_of.0.as_slice()], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for seat in earlier {
        let seat = crate::kolonne::seat_id(&seat)?;
        if roster.seat(&seat).is_none() {
            rows::remove(tx, &seat)?;
            tx.execute("DELETE FROM own_seats WHERE seat = ?1", [seat.0.as_slice()])?;
            tx.execute(
                "DELETE FROM wanted_seats WHERE seat = ?1",
                [seat.0.as_slice()],
            )?;
        }
    }
    Ok(())
}

/// Whether a seat was asked for in place of this one that isn't there yet.
pub(crate) fn waits(
    db: &Connection,
    roster: &kolonne_model::roster::Roster,
    seat: &SeatId,
) -> Result<bool, Error> {
    Ok(waits_for(db, roster, seat)?.is_some())
}

/// The seat that was asked for in place of this one, while it isn't there yet.
pub(crate) fn waits_for(
    db: &Connection,
    roster: &kolonne_model::roster::Roster,
    seat: &SeatId,
) -> Result<Option<SeatId>, Error> {
    let wanted = wanted_seat(db, seat)?.map(|wanted| SeatId::of_key(&wanted.key));
    Ok(wanted.filter(|wanted| roster.seat(wanted).is_none()))
}

fn locked_seat(db: &Connection, seat: &SeatId) -> Result<Option<LockedSeat>, Error> {
    let row = db
        .prepare_cached(
            "SELECT l.locked, l.answer_to, l.locked_ms, l.share FROM view_seat_locks l
             WHERE l.seat = ?1 AND l.locked IS NOT NULL AND NOT EXISTS
                (SELECT 1 FROM view_seat_answers a WHERE a.seat = l.seat AND a.locked = l.locked)",
        )?
        .query_row([seat.0.as_slice()], |row| {
            Ok((
                row.get::<_, Vec<u8>>(0)?,
                row.get::<_, Vec<u8>>(1)?,
                row.get::<_, i64>(2)?,
                row.get(3)?,
            ))
        })
        .optional()?;
    row.map(|(locked, answer_to, locked_ms, share)| {
        Ok(LockedSeat {
            locked: op_id(&locked)?,
            answer_to: cbor::decode(&answer_to).map_err(|_| Error::Corrupt)?,
            locked_ms: locked_ms.cast_unsigned(),
            share,
        })
    })
    .transpose()
}

/// Since when the office hasn't answered a seat's five wrong PINs, by its device's clock.
pub(crate) fn locked_since_ms(db: &Connection, seat: &SeatId) -> Result<Option<u64>, Error> {
    Ok(locked_seat(db, seat)?.map(|locked| locked.locked_ms))
}

/// Whether a seat's device said that a PIN is before it.
pub(crate) fn has_told_pin(db: &Connection, seat: &SeatId) -> Result<bool, Error> {
    let sql = "SELECT EXISTS
        (SELECT 1 FROM view_seat_locks WHERE seat = ?1 AND share IS NOT NULL)";
    let mut statement = db.prepare_cached(sql)?;
    Ok(statement.query_row([seat.0.as_slice()], |row| row.get(0))?)
}

/// The seat that a device asked for in place of one whose PIN is forgotten.
fn wanted_seat(db: &Connection, seat: &SeatId) -> Result<Option<WantedSeat>, Error> {
    let wanted: Option<Option<Vec<u8>>> = db
        .prepare_cached("SELECT wanted FROM view_seat_locks WHERE seat = ?1")?
        .query_row([seat.0.as_slice()], |row| row.get(0))
        .optional()?;
    let read = |bytes: Vec<u8>| cbor::decode(&bytes).map_err(|_| Error::Corrupt);
    wanted.flatten().map(read).transpose()
}

/// Whether a new seat was asked for and the right PIN withdrew that: the seat wants itself.
pub(crate) fn is_withdrawn(db: &Connection, seat: &SeatId) -> Result<bool, Error> {
    let wanted = wanted_seat(db, seat)?;
    Ok(wanted.is_some_and(|wanted| SeatId::of_key(&wanted.key) == *seat))
}

/// When a new seat was asked for, or that was withdrawn, by its device's clock.
pub(crate) fn wanted_since_ms(db: &Connection, seat: &SeatId) -> Result<Option<u64>, Error> {
    let wanted_ms: Option<Option<i64>> = db
        .prepare_cached("SELECT wanted_ms FROM view_seat_locks WHERE seat = ?1")?
        .query_row([seat.0.as_slice()], |row| row.get(0))
        .optional()?;
    Ok(wanted_ms.flatten().map(i64::cast_unsigned))
}
