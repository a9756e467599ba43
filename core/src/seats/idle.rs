//! Seats that lock by themselves: after the company's time without use, and what ended at once. It knows
//! no PIN and opens nothing.

use std::collections::BTreeSet;

use kolonne_model::body::{Say, Set, field};
use kolonne_model::ids::SeatId;
use kolonne_model::roster::change::{DeviceKind, Role};
use rusqlite::{Connection, OptionalExtension};

use super::{people_on, rows};
use crate::capture::job::needs_role;
use crate::capture::{self, field_names};
use crate::error::Error;
use crate::folding;
use crate::folding::company_thread;
use crate::kolonne::{Inner, Kolonne};

/// Minutes without use after which seats on a shared phone lock, unless the company says otherwise.
const AUTO_LOCK_MIN: u32 = 5;
/// Longest such time: a day.
const MAX_AUTO_LOCK_MIN: u32 = 24 * 60;

impl Kolonne {
    /// Locks the seats that weren't used for the company's time. Called by whoever keeps a clock
    /// going; a seat whose time is over writes nothing meanwhile either.
    pub fn lock_idle(&self) -> Result<(), Error> {
        self.inner.lock_idle()
    }

    /// After how many minutes without use seats of this device lock; 0: never.
    pub fn auto_lock_min(&self) -> Result<u32, Error> {
        let inner = &self.inner;
        inner.store.read(|db| inner.auto_lock_min(db))
    }

    /// After how many minutes without use the company says that seats on its phones lock; 0: never;
    /// none: it said nothing, and phones that several people share lock after five.
    pub fn phones_auto_lock_min(&self) -> Result<Option<u32>, Error> {
        self.inner.store.read(|db| said_auto_lock_min(db))
    }

    /// Says after how many minutes without use the seats on the company's phones lock; 0: never.
    /// The office.
    ///
    /// # Errors
    /// `Locked` (`right`); `Invalid` (`minutes`, `too_large`).
    pub fn set_auto_lock(&self, seat: &SeatId, minutes: u32) -> Result<(), Error> {
        if minutes > MAX_AUTO_LOCK_MIN {
            return Err(Error::Invalid {
                field: "minutes",
                code: "too_large",
            });
        }
        let inner = &self.inner;
        let thread = inner.store.read(|db| company_thread(db))?;
        inner.write_in(&thread, |tx, moment| {
            let author = inner.author(tx, seat)?;
            needs_role(moment, seat, Role::Office)?;
            let view = folding::refold(tx, moment.roster, &inner.device, &thread)?;
            let set = Set {
                field: field::AUTO_LOCK,
                subject: None,
                value: Some(minutes.to_string()),
                names: field_names(&view, field::AUTO_LOCK, &[]),
            };
            capture::say(tx, moment, &author, &thread, Say::Set(set)).map(drop)
        })
    }
}

impl Inner {
    /// Locks what wasn't used for the company's time, and wipes what ended.
    pub(crate) fn lock_idle(&self) -> Result<(), Error> {
        let open = self.seats.ids();
        if open.is_empty() {
            return Ok(());
        }
        let (idle_ms, ended) = self.store.read(|db| {
            let mut ended = BTreeSet::new();
            for seat in open {
                if rows::get(db, &seat)?.is_none_or(|row| row.share.is_none()) {
                    ended.insert(seat);
                }
            }
            Ok((self.idle_ms(db)?, ended))
        })?;
        let now_ms = self.now_ms();
        self.close_seats(|id, used_ms| ended.contains(id) || is_idle(used_ms, now_ms, idle_ms));
        Ok(())
    }

    pub(super) fn idle_ms(&self, db: &Connection) -> Result<u64, Error> {
        Ok(u64::from(self.auto_lock_min(db)?).saturating_mul(60_000))
    }

    fn auto_lock_min(&self, db: &Connection) -> Result<u32, Error> {
        let roster = self.roster(db)?;
        let device = roster.device(&self.device);
        if device.is_none_or(|device| device.cert.kind == DeviceKind::Office) {
            return Ok(0);
        }
        let minutes = said_auto_lock_min(db)?;
        let shared = people_on(&roster, &self.device).len() > 1;
        let unsaid = if shared { AUTO_LOCK_MIN } else { 0 };
        Ok(minutes.unwrap_or(unsaid).min(MAX_AUTO_LOCK_MIN))
    }
}

fn said_auto_lock_min(db: &Connection) -> Result<Option<u32>, Error> {
    let said: Option<String> = db
        .prepare_cached("SELECT value FROM view_policies WHERE field = ?1")?
        .query_row([field::AUTO_LOCK], |row| row.get(0))
        .optional()?;
    Ok(said.and_then(|minutes| minutes.parse().ok()))
}

/// A clock that was set back makes nobody wait longer than the whole time.
pub(super) const fn is_idle(used_ms: u64, now_ms: u64, idle_ms: u64) -> bool {
    idle_ms > 0 && (now_ms < used_ms || now_ms - used_ms >= idle_ms)
}
