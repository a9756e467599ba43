//! The people's seats of this device: who has a PIN, who is in, and whose key signs now.
//!
//! Keys behind a PIN are in memory only while their seat is open, and are wiped when it locks.
//! Whatever needs no person (sync, `seen`, keys of threads, files on their way) is the device
//! seat's and goes on meanwhile. A key leaves this module only as the author of what is written
//! next.

mod idle;
mod rows;
mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use kolonne_model::ids::{DeviceId, RingId, SeatId, ThreadId};
use kolonne_model::judge::{ThreadOps, control_state};
use kolonne_model::roster::Roster;
use kolonne_model::roster::change::{DeviceKind, RingKind, SeatKind};
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use crate::crypt::pin::{self, BadPin, Lock, Share};
use crate::crypt::{Identity, SigningSecret, random};
use crate::error::Error;
use crate::folding;
use crate::keys::{self, SeatKeys, secret32};
use crate::kolonne::{Inner, Kolonne, lock};
use crate::oplog::{self, Author};
use crate::records::Changed;
use crate::seats::idle::is_idle;
use crate::seats::rows::{Begun, TRIES};
use crate::store::get_meta;

pub(crate) use told::{
    has_told_pin, is_withdrawn, locked_since_ms, take_shares, waits, waits_for, wanted_since_ms,
};

const LOCKED: Error = Error::Locked { code: "pin" };
const WRONG_PIN: Error = Error::Locked { code: "wrong_pin" };
const LOCKED_OUT: Error = Error::Locked { code: "locked_out" };
const PIN_UNSET: Error = Error::Locked { code: "pin_unset" };
const PIN_AGAIN: Error = Error::Locked { code: "pin_again" };
/// How long a PIN that was typed opens what is sealed: long enough to look and to hand out, too
/// short for who finds the phone lying open. Two minutes.
const OPENS_SEALED_MS: u64 = 120_000;
/// Said at enrolment: seats of this phone are open without PINs although several people share it.
pub(crate) const PINS_WAIVED: &str = "pins_waived";

/// The keys of seats that were opened with their PIN.
#[derive(Default)]
pub(crate) struct OpenSeats(Mutex<BTreeMap<SeatId, OpenSeat>>);

struct OpenSeat {
    keys: SeatKeys,
    /// When its PIN was typed, which no use renews.
    pin_ms: u64,
    used_ms: u64,
}

impl OpenSeats {
    fn open(&self, keys: SeatKeys, now_ms: u64) {
        let seat = OpenSeat {
            keys,
            pin_ms: now_ms,
            used_ms: now_ms,
        };
        lock(&self.0).insert(seat.keys.seat(), seat);
    }

    /// Wipes the keys of seats that shall close. Whether there were any.
    fn close(&self, shall: impl Fn(&SeatId, u64) -> bool) -> bool {
        let mut open = lock(&self.0);
        let before = open.len();
        open.retain(|id, seat| !shall(id, seat.used_ms));
        open.len() < before
    }

    fn use_now(&self, seat: &SeatId, now_ms: u64) {
        if let Some(seat) = lock(&self.0).get_mut(seat) {
            seat.used_ms = now_ms;
        }
    }

    fn ids(&self) -> BTreeSet<SeatId> {
        lock(&self.0).keys().copied().collect()
    }
}

/// How a seat stands behind its PIN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LockState {
    pub has_pin: bool,
    pub locked: bool,
    pub tries_left: u32,
}

impl Kolonne {
    /// Lets a person in with their PIN; a seat without one is always open, but for a phone that
    /// several people share: there it needs one first. The try is counted before it is made, and the
    /// fifth wrong one locks the seat until the office opens it. Whoever has the PIN needs no new
    /// seat: a request for one is withdrawn.
    ///
    /// # Errors
    /// `Locked`: `wrong_pin`, `locked_out`, `pin_unset`; `Invalid` (`pin`, `malformed`) for what can be no PIN
    /// and counts as no try; `NotFound` (`seat`); `AuthExpired` if the seat has ended.
    pub fn unlock(&self, seat: &SeatId, pin: &str) -> Result<(), Error> {
        let inner = &self.inner;
        let (keys, has_pin) = inner.keys_with(seat, Some(pin))?;
        if has_pin {
            inner.withdraw_soon(seat, &keys);
            inner.seats.open(keys, inner.now_ms());
            inner.read_as_people()?;
            inner.tell(Changed::Me);
            return Ok(());
        }
        if inner.store.read(|db| inner.needs_pins(db))? {
            return Err(PIN_UNSET);
        }
        Ok(())
    }

    /// Locks a seat. What was begun by it still ends as its person's.
    pub fn lock(&self, seat: &SeatId) {
        self.inner.close_seats(|id, _| id == seat);
    }

    /// Locks every seat that has a PIN.
    pub fn lock_all(&self) {
        self.inner.close_seats(|_, _| true);
    }

    /// Somebody sits before the screen: the time until it locks begins anew.
    pub fn used(&self, seat: &SeatId) -> Result<(), Error> {
        let inner = &self.inner;
        inner.store.read(|db| inner.author(db, seat)).map(drop)
    }

    /// Whether somebody may choose this PIN, so that it needn't be typed twice first.
    ///
    /// # Errors
    /// `Invalid` (`pin`): `malformed`, `easy`.
    pub fn check_new_pin(pin: &str) -> Result<(), Error> {
        pin::check_new(pin).map_err(bad_pin)
    }

    /// Gives a seat a PIN, another one, or none. Who has one says it first, which counts as a try.
    ///
    /// # Errors
    /// As [`Kolonne::unlock`]; `Locked` (`pin`) without the old one; `Invalid` (`pin`): `malformed`,
    /// `easy`, `required` (a phone that several people share keeps its PINs).
    pub fn set_pin(
        &self,
        seat: &SeatId,
        old: Option<&str>,
        new: Option<&str>,
    ) -> Result<(), Error> {
        let inner = &self.inner;
        match new {
            Some(pin) => pin::check_new(pin).map_err(bad_pin)?,
            None if inner.store.read(|db| inner.is_shared_phone(db))? => {
                return Err(invalid_pin("required"));
            }
            None => {}
        }
        let (keys, _) = inner.keys_with(seat, old)?;
        inner.keep_pin(seat, &keys, new)?;
        inner.seats.close(|id, _| id == seat);
        if new.is_some() {
            inner.seats.open(keys, inner.now_ms());
            // The first PIN of a shared phone's seat is what opens it.
            inner.read_as_people()?;
        }
        inner.tell_locks_soon();
        inner.tell(Changed::Me);
        Ok(())
    }
}

/// A seat's keys behind a new PIN, not on the disk yet.
struct LockedUp {
    lock: Lock,
    share: Share,
    deposit: Vec<u8>,
}

impl LockedUp {
    /// Nothing in clear stays beside it.
    fn put(&self, tx: &Transaction<'_>, seat: &SeatId) -> Result<(), Error> {
        rows::put(tx, seat, &self.lock, &self.share, &self.deposit)?;
        write_clear(tx, seat, &[], &[])
    }
}

impl Inner {
    /// A person's seat of this device as an author. What was begun with it ends as theirs.
    ///
    /// # Errors
    /// `Locked` while the seat is: `pin`, `locked_out` after five wrong ones, or `pin_unset`;
    /// `NotFound` (`seat`); `AuthExpired` if the seat has ended.
    pub(crate) fn author(&self, db: &Connection, seat: &SeatId) -> Result<Author, Error> {
        let author = self.reader(db, seat);
        match &author {
            Ok(_) => self.seats.use_now(seat, self.now_ms()),
            Err(_) => self.close_seats(|id, _| id == seat),
        }
        author
    }

    /// The same for who only looks, which is no use of the seat.
    pub(crate) fn reader(&self, db: &Connection, seat: &SeatId) -> Result<Author, Error> {
        if let Some(keys) = keys_in_clear(db, seat)? {
            return if self.needs_pins(db)? {
                Err(PIN_UNSET)
            } else {
                Ok(keys.author())
            };
        }
        let row = rows::get(db, seat)?.ok_or(Error::AuthExpired)?;
        if row.share.is_none() {
            return Err(LOCKED_OUT);
        }
        let (now_ms, idle_ms) = (self.now_ms(), self.idle_ms(db)?);
        let open = lock(&self.seats.0);
        let open = open.get(seat);
        let open = open.filter(|open| !is_idle(open.used_ms, now_ms, idle_ms));
        open.map(|open| open.keys.author()).ok_or(LOCKED)
    }

    /// Refuses what is sealed at a seat whose PIN was typed too long ago. A seat without a PIN has
    /// nothing to ask for.
    ///
    /// # Errors
    /// `Locked`: `pin_again`, and as [`Inner::author`].
    pub(crate) fn needs_fresh_pin(&self, db: &Connection, seat: &SeatId) -> Result<(), Error> {
        self.author(db, seat)?;
        let now_ms = self.now_ms();
        let open = lock(&self.seats.0);
        match open.get(seat) {
            Some(open) if is_idle(open.pin_ms, now_ms, OPENS_SEALED_MS) => Err(PIN_AGAIN),
            _ => Ok(()),
        }
    }

    /// What opens a generation of a person's ring, by whichever of their seats here is open; nothing:
    /// nobody here has it. Nothing of it is on the disk.
    ///
    /// # Errors
    /// `Locked` (`pin`) if the person is here and their seats are locked.
    pub(crate) fn ring_of_person(
        &self,
        db: &Connection,
        roster: &Roster,
        ring: &RingId,
        generation: u32,
    ) -> Result<Vec<Identity>, Error> {
        let mut locked = None;
        for seat in keys::own_seats(db)? {
            if roster.seat(&seat).and_then(|seat| seat.cert.person) != Some(*ring) {
                continue;
            }
            match self.reader(db, &seat) {
                Ok(author) => {
                    let secrets = keys::person_secrets(roster, &author, ring, generation)?;
                    if !secrets.is_empty() {
                        return Ok(secrets);
                    }
                }
                Err(error @ Error::Locked { .. }) => locked = Some(error),
                Err(Error::AuthExpired) => {}
                Err(error) => return Err(error),
            }
        }
        locked.map_or(Ok(Vec::new()), Err)
    }

    /// What opens a generation of a ring: this device's secrets, or that of its people whose seat is
    /// open.
    pub(crate) fn secrets_here(
        &self,
        db: &Connection,
        roster: &Roster,
        ring: &RingId,
        generation: u32,
    ) -> Result<Vec<Identity>, Error> {
        let mut secrets = keys::ring_secrets(db, ring, generation)?;
        match self.ring_of_person(db, roster, ring, generation) {
            Err(Error::Locked { .. }) => {}
            persons => secrets.extend(persons?),
        }
        Ok(secrets)
    }

    /// Opens what only people's rings open, as far as their seats are open: keys of threads that
    /// arrived while they were locked too.
    pub(crate) fn read_as_people(&self) -> Result<(), Error> {
        let threads = self.store.write(|tx| {
            let roster = self.roster(tx)?;
            let threads = folding::all_threads(tx, &roster)?;
            self.open_as_people(tx, &roster, threads)
        })?;
        for thread in threads {
            self.tell(Changed::Thread(thread));
            self.tell(Changed::Threads);
        }
        Ok(())
    }

    /// The same in some threads, which were folded. Those in which it opened something.
    pub(crate) fn open_as_people(
        &self,
        tx: &Transaction<'_>,
        roster: &Roster,
        threads: impl IntoIterator<Item = ThreadId>,
    ) -> Result<BTreeSet<ThreadId>, Error> {
        let seats = keys::own_seats(tx)?;
        let person = |seat: &SeatId| roster.seat(seat).and_then(|seat| seat.cert.person);
        let people: BTreeSet<RingId> = seats.iter().filter_map(person).collect();
        let secrets = |ring: &RingId, generation| self.secrets_here(tx, roster, ring, generation);
        let mut opened = BTreeSet::new();
        for thread in threads {
            if members_of(tx, &thread)?.is_disjoint(&people) {
                continue;
            }
            let ops = oplog::of_thread(tx, &thread)?;
            let control = control_state(&ThreadOps::new(thread, &ops), roster);
            if keys::open_thread_keys_by(tx, roster, &thread, &control, &secrets)? {
                folding::refold(tx, roster, &self.device, &thread)?;
                opened.insert(thread);
            }
        }
        Ok(opened)
    }

    /// How a seat of this device stands.
    pub(crate) fn lock_state(&self, db: &Connection, seat: &SeatId) -> Result<LockState, Error> {
        let Some(row) = rows::get(db, seat)? else {
            return Ok(LockState {
                has_pin: false,
                locked: self.needs_pins(db)?,
                tries_left: 0,
            });
        };
        Ok(LockState {
            has_pin: true,
            locked: self.reader(db, seat).is_err(),
            tries_left: match row.share {
                Some(_) => TRIES.saturating_sub(row.tries),
                None => 0,
            },
        })
    }

    fn close_seats(&self, shall: impl Fn(&SeatId, u64) -> bool) {
        if self.seats.close(shall) {
            self.tell(Changed::Me);
        }
    }

    /// Whether a seat of this device that has no PIN stays shut until it has one: an enrolment that
    /// was cut off before the PINs leaves no phone on which anyone writes as anyone.
    fn needs_pins(&self, db: &Connection) -> Result<bool, Error> {
        Ok(self.is_shared_phone(db)? && get_meta(db, PINS_WAIVED)?.is_none())
    }

    /// A phone that several people write on.
    pub(crate) fn is_shared_phone(&self, db: &Connection) -> Result<bool, Error> {
        let roster = self.roster(db)?;
        let is_phone = roster
            .device(&self.device)
            .is_some_and(|device| device.cert.kind == DeviceKind::Phone);
        Ok(is_phone && people_on(&roster, &self.device).len() > 1)
    }

    /// A seat's keys, by its PIN if it has one, and whether it has.
    fn keys_with(&self, seat: &SeatId, pin: Option<&str>) -> Result<(SeatKeys, bool), Error> {
        if let Some(keys) = self.store.read(|db| keys_in_clear(db, seat))? {
            return Ok((keys, false));
        }
        let pin = pin.ok_or(LOCKED)?;
        pin::check_form(pin).map_err(bad_pin)?;
        let begun = self.store.write(|tx| rows::begin_try(tx, seat))?;
        self.tell(Changed::Me);
        let (row, share) = match begun {
            None => return Err(Error::AuthExpired),
            Some(Begun::Try(row, share)) => (row, share),
            Some(Begun::LockedOut) => {
                // The last try may have been cut off before it was called wrong.
                self.lock_out(seat)?;
                return Err(LOCKED_OUT);
            }
        };
        let Some(opened) = row.lock.open(pin, &share, seat)? else {
            if row.tries < TRIES {
                return Err(WRONG_PIN);
            }
            self.lock_out(seat)?;
            return Err(LOCKED_OUT);
        };
        let (signing, identity) = opened.split_at(32);
        let half = |half: &[u8]| secret32(half.to_vec());
        let keys = SeatKeys {
            signing: SigningSecret::from_seed(&*half(signing)?),
            identity: Identity::from_bytes(&*half(identity)?)?,
        };
        let dearer = if row.lock.cost == self.config.pin_cost {
            None
        } else {
            Some(Lock::close(
                self.config.pin_cost,
                pin,
                &share,
                seat,
                &opened,
            )?)
        };
        self.store.write(|tx| {
            rows::right(tx, seat, &row.lock)?;
            match &dearer {
                Some(lock) => rows::replace(tx, seat, &row.lock, lock),
                None => Ok(()),
            }
        })?;
        Ok((keys, true))
    }

    /// Puts a seat's keys behind a PIN, or in clear into the database.
    fn keep_pin(&self, seat: &SeatId, keys: &SeatKeys, pin: Option<&str>) -> Result<(), Error> {
        let locked = pin.map(|pin| self.lock_up(keys, pin)).transpose()?;
        self.store.write(|tx| {
            if let Some(locked) = &locked {
                return locked.put(tx, seat);
            }
            rows::remove(tx, seat)?;
            let signing = keys.signing.seed();
            write_clear(tx, seat, signing.as_slice(), keys.identity.as_bytes())
        })?;
        self.store.truncate_log()
    }

    fn lock_up(&self, keys: &SeatKeys, pin: &str) -> Result<LockedUp, Error> {
        let share: Share = random::secret()?;
        let joined = rows::joined(&keys.signing.seed(), keys.identity.as_bytes());
        Ok(LockedUp {
            lock: Lock::close(self.config.pin_cost, pin, &share, &keys.seat(), &joined)?,
            deposit: self.deposit(&share)?,
            share,
        })
    }

    /// Five wrong PINs: the share goes for good, so that nobody goes on guessing, whatever they
    /// have; then the office is told.
    fn lock_out(&self, seat: &SeatId) -> Result<(), Error> {
        let back = Identity::generate()?;
        self.store.write(|tx| rows::lock_out(tx, seat, &back))?;
        self.store.truncate_log()?;
        self.seats.close(|id, _| id == seat);
        self.tell_locks_soon();
        self.tell(Changed::Me);
        Ok(())
    }
}

/// A seat's keys, if no PIN is before them; none: behind a PIN, or ended.
pub(crate) fn keys_in_clear(db: &Connection, seat: &SeatId) -> Result<Option<SeatKeys>, Error> {
    let (signing, identity): (Vec<u8>, Vec<u8>) = db
        .prepare_cached("SELECT signing, identity FROM own_seats WHERE seat = ?1")?
        .query_row([seat.0.as_slice()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?
        .ok_or(Error::NotFound { kind: "seat" })?;
    if signing.is_empty() {
        return Ok(None);
    }
    Ok(Some(SeatKeys {
        signing: SigningSecret::from_seed(&*secret32(signing)?),
        identity: Identity::from_bytes(&*secret32(identity)?)?,
    }))
}

fn write_clear(
    tx: &Transaction<'_>,
    seat: &SeatId,
    signing: &[u8],
    identity: &[u8],
) -> Result<(), Error> {
    tx.execute(
        "UPDATE own_seats SET signing = ?2, identity = ?3 WHERE seat = ?1",
        params![seat.0.as_slice(), signing, identity],
    )?;
    Ok(())
}

/// Removes the keys of people whose seats here ended; what they signed still goes out.
pub(crate) fn drop_ended(tx: &Transaction<'_>, roster: &Roster) -> Result<(), Error> {
    for seat in keys::own_seats(tx)? {
        if roster.ends_of(&seat).next().is_some() {
            rows::remove(tx, &seat)?;
            write_clear(tx, &seat, &[], &[])?;
        }
    }
    Ok(())
}

/// Ring secrets of people that an earlier version kept on the disk.
pub(crate) fn drop_kept_secrets(tx: &Transaction<'_>, roster: &Roster) -> Result<(), Error> {
    for (ring, _) in roster
        .rings()
        .filter(|(_, ring)| ring.kind == RingKind::Person)
    {
        tx.execute(
            "DELETE FROM ring_secrets WHERE ring = ?1",
            [ring.0.as_slice()],
        )?;
    }
    Ok(())
}

/// The people who write on a device now.
fn people_on(roster: &Roster, device: &DeviceId) -> BTreeSet<RingId> {
    roster
        .seats()
        .filter(|(id, seat)| {
            seat.cert.kind == SeatKind::Person
                && seat.cert.device == *device
                && roster.ends_of(id).next().is_none()
        })
        .filter_map(|(_, seat)| seat.cert.person)
        .collect()
}

fn members_of(tx: &Transaction<'_>, thread: &ThreadId) -> Result<BTreeSet<RingId>, Error> {
    let mut statement = tx.prepare_cached("SELECT ring FROM view_members WHERE thread = ?1")?;
    let rings = statement.query_map([thread.0.as_slice()], |row| row.get::<_, Vec<u8>>(0))?;
    rings
        .map(|ring| RingId::try_from(ring?.as_slice()).map_err(|_| Error::Corrupt))
        .collect()
}

const fn invalid_pin(code: &'static str) -> Error {
    Error::Invalid { field: "pin", code }
}

const fn bad_pin(bad: BadPin) -> Error {
    invalid_pin(match bad {
        BadPin::Form => "malformed",
        BadPin::Easy => "easy",
    })
}
