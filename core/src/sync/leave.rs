//! A device whose rights ended leaves: its people's unsent work first, then a last word, then its
//! keys, then its files.
//!
//! It leaves on the signed roster op alone, never on a hub's word. What is still on its way stays
//! until it is handed over, and so does what the hub refused for now; only what it refused for good
//! goes with the device, and is counted in the last word.

use kolonne_model::body::{Say, Wiped};

use super::{Sync, SyncReport, blocking};
use crate::error::Error;
use crate::founding::company_thread;
use crate::kolonne::{Inner, outbox_of};
use crate::oplog::Moment;
use crate::outbox::{BLOB_WAITS, NOT_ERASED, OP_WAITS};
use crate::records::Changed;
use crate::{capture, keys, wipe};

impl Inner {
    /// Whether the roster has ended this device.
    pub fn has_ended(&self) -> Result<bool, Error> {
        self.store
            .read(|db| Ok(self.roster(db)?.device_has_ended(&self.device)))
    }
}

impl Sync<'_> {
    pub(super) async fn leave(mut self) -> Result<SyncReport, Error> {
        self.upload_blobs().await?;
        self.push().await?;
        self.report.left = outbox_of(self.inner)?;
        if !blocking(self.inner, |inner| inner.store.read(handed_over)).await? {
            return Ok(self.report);
        }
        blocking(self.inner, Inner::last_word).await?;
        self.push().await?;
        let gone = blocking(self.inner, |inner| {
            let gone = inner.store.close_if(handed_over)?;
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
        Ok(self.report)
    }
}

/// Whether nothing waits but what the hub refused for good, or what is erased and goes nowhere.
fn handed_over(tx: &rusqlite::Transaction<'_>) -> Result<bool, Error> {
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
            if crate::store::get_meta(tx, "last_word")?.is_some() {
                return Ok(());
            }
            let roster = self.roster(tx)?;
            let moment = Moment {
                roster: &roster,
                now_ms: self.now_ms(),
            };
            let lost = |table: &str| -> Result<u32, Error> {
                let sql = format!("SELECT count(*) FROM {table} WHERE wedged IS NOT NULL");
                Ok(tx.query_row(&sql, [], |row| row.get(0))?)
            };
            let wiped = Wiped {
                ops_lost: lost("outbox_ops")?,
                blobs_lost: lost("outbox_blobs")?,
            };
            let author = keys::device_author(tx)?;
            let thread = company_thread(tx)?;
            capture::say(tx, &moment, &author, &thread, Say::Wiped(wiped))?;
            crate::store::set_meta(tx, "last_word", &[1])
        })
    }
}
