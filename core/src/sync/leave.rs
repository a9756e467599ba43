//! A device whose rights ended leaves: its people's unsent work first, then a last word, then its
//! keys, then its files.
//!
//! It leaves on the signed roster op alone, never on a hub's word. What is still on its way stays
//! until it is handed over, and so does what the hub refused for now: for a week of hours in which
//! a hub was there and took nothing more. What nobody took goes with the device, and is counted in
//! the last word.

use kolonne_model::body::{Say, Wiped};
use kolonne_model::cbor;
use rusqlite::Transaction;

use super::upload::Upload;
use super::{Sync, blocking};
use crate::error::Error;
use crate::folding::company_thread;
use crate::kolonne::Inner;
use crate::oplog::Moment;
use crate::outbox::{BLOB_WAITS, NOT_ERASED, OP_WAITS};
use crate::records::Changed;
use crate::store::{get_meta, set_meta};
use crate::{capture, keys, wipe};

/// Tries at which a hub was there and took nothing more of what waits, until an ended device leaves
/// with it.
const MAX_TRIES: u32 = 7 * 24;
/// Tries are counted once an hour: neither a hub's haste nor a clock that jumps ends the waiting.
const TRY_MS: u64 = 3600 * 1000;
/// The least that was left to hand over, the tries since, and when the last one was counted.
const TRIES: &str = "leaving_tries";

impl Inner {
    /// Whether the roster has ended this device: its own chain. What another branch says, that stands
    /// beside it, takes rights but no keys nor files, which nobody brings back.
    pub fn has_ended(&self) -> Result<bool, Error> {
        self.store
            .read(|db| Ok(self.chain(db)?.device_has_ended(&self.device)))
    }
}

impl Sync<'_> {
    pub(super) async fn leave(mut self) -> Result<(), Error> {
        let not_now = match self.hand_over().await {
            Ok(()) => None,
            // A hub is there and takes nothing more just now.
            Err(Error::Offline {
                retry_after_ms: ms @ 1..,
            }) => Some(ms),
            Err(error) => return Err(error),
        };
        let stay = blocking(self.inner, |inner| {
            let now_ms = inner.now_ms();
            inner.store.write(|tx| stay(tx, now_ms))
        })
        .await?;
        if stay == Stay::Tries {
            return not_now.map_or(Ok(()), |retry_after_ms| {
                Err(Error::Offline { retry_after_ms })
            });
        }
        blocking(self.inner, Inner::last_word).await?;
        self.push().await?;
        let gone = blocking(self.inner, move |inner| {
            let gone = inner
                .store
                .close_if(|tx| Ok(stay == Stay::GivesUp || handed_over(tx)?))?;
            if gone {
                wipe::wipe(&inner.config.dir)?;
            }
            Ok(gone)
        })
        .await?;
        if gone {
            self.inner.tell(Changed::Me);
            return Err(Error::AuthExpired);
        }
        Ok(())
    }

    async fn hand_over(&mut self) -> Result<(), Error> {
        let upload = Upload {
            inner: self.inner,
            line: &self.hub,
            shared: &self.shared,
        };
        upload.run().await?;
        self.push().await
    }
}

/// Whether an ended device has anything to stay for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stay {
    /// Nothing waits.
    Nothing,
    /// Something may still be taken.
    Tries,
    /// Something waits that nobody took for too long.
    GivesUp,
}

/// Counts a try at which a hub was there.
fn stay(tx: &Transaction<'_>, now_ms: u64) -> Result<Stay, Error> {
    if handed_over(tx)? {
        return Ok(Stay::Nothing);
    }
    let left = "SELECT (SELECT count(*) FROM outbox_ops)
                     + (SELECT coalesce(sum(1 + bytes - done_bytes), 0) FROM outbox_blobs)";
    let left: i64 = tx.query_row(left, [], |row| row.get(0))?;
    let known = get_meta(tx, TRIES)?.and_then(|bytes| cbor::decode(&bytes).ok());
    let (least, mut tries, counted_ms): (i64, u32, u64) = known.unwrap_or((i64::MAX, 0, 0));
    if left < least {
        set_meta(tx, TRIES, &cbor::encode(&(left, 0u32, now_ms)))?;
        return Ok(Stay::Tries);
    }
    // A clock that was set back ends the hour.
    let waited_ms = now_ms.checked_sub(counted_ms);
    if waited_ms.is_none_or(|ms| ms >= TRY_MS) {
        tries = tries.saturating_add(1);
        set_meta(tx, TRIES, &cbor::encode(&(least, tries, now_ms)))?;
    }
    Ok(if tries < MAX_TRIES {
        Stay::Tries
    } else {
        Stay::GivesUp
    })
}

/// Whether nothing waits but what the hub refused for good, or what is erased and goes nowhere.
fn handed_over(tx: &Transaction<'_>) -> Result<bool, Error> {
    let sql = format!(
        "SELECT EXISTS (SELECT 1 FROM outbox_ops WHERE {OP_WAITS})
             OR EXISTS (SELECT 1 FROM outbox_blobs o WHERE {BLOB_WAITS} AND {NOT_ERASED})"
    );
    let waits: bool = tx.query_row(&sql, [], |row| row.get(0))?;
    Ok(!waits)
}

impl Inner {
    fn last_word(&self) -> Result<(), Error> {
        self.store.write(|tx| {
            if get_meta(tx, "last_word")?.is_some() {
                return Ok(());
            }
            let roster = self.roster(tx)?;
            let moment = Moment {
                roster: &roster,
                now_ms: self.now_ms(),
            };
            let lost = |rows: &str| -> Result<u32, Error> {
                let sql = format!("SELECT count(*) FROM {rows}");
                Ok(tx.query_row(&sql, [], |row| row.get(0))?)
            };
            let wiped = Wiped {
                ops_lost: lost("outbox_ops")?,
                blobs_lost: lost(&format!("outbox_blobs o WHERE {NOT_ERASED}"))?,
            };
            let author = keys::device_author(tx)?;
            let thread = company_thread(tx)?;
            capture::say(tx, &moment, &author, &thread, Say::Wiped(wiped))?;
            set_meta(tx, "last_word", &[1])
        })
    }
}
