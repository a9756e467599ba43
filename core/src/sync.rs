//! Sync: pushes what waits, pulls what is new, repairs what differs, carries blobs.
//!
//! [`Engine`] decides, without sockets or timers: it steps from event to event, in an app as in a
//! simulation. [`driver`] carries what it asks for. Text goes before media: words and blobs are
//! tracks of their own. No database transaction is open while the network is awaited, every request
//! can be repeated, and nothing a hub says but a signature changes what a screen promises.

mod append;
mod asks;
mod behind_kit;
mod branches;
mod download;
mod driver;
mod due;
mod engine;
mod exchange;
mod lanes;
mod leave;
pub(crate) mod lineage;
mod network;
mod prepared;
mod proof;
mod repair;
mod roster;
mod seeding;
mod seen;
mod taking;
mod upload;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kolonne_model::hub::Cursor;
use kolonne_model::ids::PublicKey;
use rusqlite::{Connection, Transaction};

pub(crate) use crate::blocking::blocking;
use crate::error::Error;
use crate::kolonne::{Inner, lock};
use crate::records::{Changed, Outbox};
use crate::store::get_meta;
use crate::transport::{Carrier, HttpCarrier, HttpDoor, Line};
use crate::{folding, keys, place};

pub(crate) use append::{DRAFTS, Drafted, append};
pub use asks::AskId;
pub(crate) use branches::{alarm_since_ms, confirm_next, pull_roster, whole_roster};
pub use driver::SyncTask;
pub use engine::{Action, Engine, Event};
pub(crate) use exchange::Sync;
pub(crate) use lanes::{Shared, Waits};
pub use network::Network;
pub(crate) use network::Signals;
pub use prepared::{PreparedTransfer, TransferTaken};
pub(crate) use roster::give_roster;
pub(crate) use seeding::Seeding;

/// Bytes asked for at a time.
const PULL_BYTES: u32 = 256 * 1024;
/// Rounds of one kind before the others get their turn: a hub can't keep a device busy for ever.
const MAX_ROUNDS: usize = 10_000;

/// What one sync may cost.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// Stop after this time.
    pub time: Option<Duration>,
    /// Stop after about this many bytes of blobs.
    pub blob_bytes: Option<u64>,
}

impl Budget {
    /// Until nothing is left.
    #[must_use]
    pub const fn unlimited() -> Self {
        Self {
            time: None,
            blob_bytes: None,
        }
    }

    /// At most this long.
    #[must_use]
    pub const fn within(time: Duration) -> Self {
        Self {
            time: Some(time),
            blob_bytes: None,
        }
    }

    /// Whether no further slice of a blob fits.
    pub(crate) fn is_spent(&self, report: &SyncReport) -> bool {
        let bytes = report
            .uploaded_bytes
            .saturating_add(report.downloaded_bytes);
        self.blob_bytes.is_some_and(|limit| bytes >= limit)
    }
}

/// What one sync did and what is left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SyncReport {
    /// Ops that got a receipt.
    pub pushed_ops: u64,
    /// Ops that were new here.
    pub pulled_ops: u64,
    /// Bytes of blobs sent.
    pub uploaded_bytes: u64,
    /// Bytes of blobs received.
    pub downloaded_bytes: u64,
    /// Segments refused: forged, changed, or of another company.
    pub refused: u64,
    /// Still on its way out.
    pub left: Outbox,
}

impl Inner {
    /// Leaves at once when the flight switch is thrown.
    pub(crate) fn check_flight(&self) -> Result<(), Error> {
        if self.in_flight() {
            Err(Error::Offline { retry_after_ms: 0 })
        } else {
            Ok(())
        }
    }

    /// The hub for an act that waits for it.
    pub(crate) fn online(&self) -> Result<Line, Error> {
        self.check_flight()?;
        self.line_over(self.carrier()?)
    }

    /// The company's hub, over whoever carries.
    pub(crate) fn line_over(&self, carrier: Arc<dyn Carrier>) -> Result<Line, Error> {
        let key = self.store.read(|db| self.hub_key(db))?;
        *lock(&self.spoken_to) = Some(key);
        Ok(Line::new(carrier, key))
    }

    /// Who carries to where the hub is.
    pub(crate) fn carrier(&self) -> Result<Arc<dyn Carrier>, Error> {
        if let Some(given) = &self.config.carrier {
            return Ok(Arc::clone(given));
        }
        let mut cached = lock(&self.carrier);
        if let Some(carrier) = &*cached {
            return Ok(Arc::clone(carrier));
        }
        let (url, seed) = self.store.read(|db| {
            let url = get_meta(db, "hub_url")?.filter(|url| !url.is_empty());
            let url = url.ok_or(Error::NotFound { kind: "hub" })?;
            let url = String::from_utf8(url).map_err(|_| Error::Corrupt)?;
            Ok((url, keys::device(db)?.signing.seed()))
        })?;
        let door = HttpDoor::new(&url, &self.config.trust).map_err(|_| Error::Invalid {
            field: "hub_url",
            code: "malformed",
        })?;
        let signing = ed25519_dalek::SigningKey::from_bytes(&seed);
        let carrier: Arc<dyn Carrier> =
            Arc::new(HttpCarrier::new(door, self.company, self.device, signing));
        *cached = Some(Arc::clone(&carrier));
        Ok(carrier)
    }

    /// The hub's key: as the roster certifies it; before that, as a person compared it.
    pub(crate) fn hub_key(&self, db: &Connection) -> Result<PublicKey, Error> {
        if let Some(key) = self.roster(db)?.hub_key() {
            return Ok(*key);
        }
        let key = get_meta(db, "hub_key")?.ok_or(Error::NotFound { kind: "hub" })?;
        PublicKey::try_from(key.as_slice()).map_err(|_| Error::Corrupt)
    }

    /// What was said of a hub that isn't the certified one any more doesn't hold.
    pub(crate) fn forget_other_hub(&self) -> Result<(), Error> {
        let certified = self.store.read(|db| self.hub_key(db))?;
        let before = lock(&self.spoken_to).replace(certified);
        if before.is_some_and(|key| key != certified) {
            self.hub_seq.store(0, Ordering::Release);
            self.tell_all_threads()?;
        }
        Ok(())
    }

    /// How far everything has come may have changed.
    pub(crate) fn tell_all_threads(&self) -> Result<(), Error> {
        let threads = self.store.read(|db| {
            let roster = self.roster(db)?;
            folding::all_threads(db, &roster)
        })?;
        for thread in threads {
            self.tell(Changed::Thread(thread));
        }
        self.tell(Changed::Threads);
        self.tell(Changed::Me);
        Ok(())
    }

    /// Ops are about to leave; if there are new ones, this place's counter rises before.
    fn note_leaving(&self) -> Result<(), Error> {
        let newest: i64 = self.store.read(|db| {
            let sql = "SELECT coalesce(max(arrival), 0) FROM outbox_ops";
            Ok(db.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
        })?;
        if newest > self.leaving.load(Ordering::Acquire) {
            place::rise(&self.config.dir, &self.store)?;
            self.leaving.fetch_max(newest, Ordering::AcqRel);
        }
        Ok(())
    }
}

fn cursor(db: &Connection) -> Result<Option<Cursor>, Error> {
    let bytes = get_meta(db, "cursor")?;
    Ok(bytes.and_then(|bytes| kolonne_model::cbor::decode(&bytes).ok()))
}

/// Marks a blob as held by the hub.
pub(crate) fn mark_at_hub(tx: &Transaction<'_>, blob: &[u8]) -> Result<(), Error> {
    tx.prepare_cached("UPDATE blobs SET at_hub = 1 WHERE blob = ?1")?
        .execute([blob])?;
    tx.prepare_cached("UPDATE blob_receipts SET told = 1 WHERE blob = ?1")?
        .execute([blob])?;
    Ok(())
}
