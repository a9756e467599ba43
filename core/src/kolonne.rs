//! The engine as its callers see it: one device of one company.
//!
//! Reading and writing are plain calls on the local disk and never wait for the network; only
//! `sync`, `founding` and `enrolment` do. Blocking calls belong on a thread that may block.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use kolonne_model::ids::{BlobId, CompanyId, DeviceId, OpId, PublicKey, SeatId, ThreadId};
use kolonne_model::roster::Roster;
use rusqlite::{Connection, Transaction};
use tokio::sync::{broadcast, watch};

use crate::blobs::{self, BlobStore, STALE_AFTER};
use crate::crypt::pin::PinCost;
use crate::crypt::{at_rest, random};
use crate::error::Error;
use crate::keys;
use crate::oplog::{self, Moment};
use crate::outbox::NOT_ERASED;
use crate::records::{Changed, HubState, Outbox, Status};
use crate::seats::{self, OpenSeats};
use crate::store::{Store, get_meta, set_meta};
use crate::sync::{Network, Signals, Waits};
use crate::transport::{Carrier, Trust};
use crate::{place, wipe};

/// Without the company's roster for this long, a device warns; it goes on working.
const ROSTER_STALE_AFTER_MS: u64 = 72 * 3600 * 1000;

/// Ms since 1970.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Where a device's things are and how it tells the time.
#[derive(Clone)]
pub struct Config {
    /// The device's folder.
    pub dir: PathBuf,
    /// The wall clock: shown, never judged by.
    pub clock: Clock,
    /// Whose certificates are good for the hub.
    pub trust: Trust,
    /// What a guess of a PIN costs here, from the next one that is set or opened on.
    pub pin_cost: PinCost,
    /// Who carries requests to the hub; none: HTTP, to where the hub is.
    pub carrier: Option<Arc<dyn Carrier>>,
}

impl Config {
    /// A folder, the system's clock and certificates, and the dearest PINs a phone can bear.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        let clock = || {
            let since = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        };
        Self {
            dir: dir.into(),
            clock: Arc::new(clock),
            trust: Trust::System,
            pin_cost: PinCost::default(),
            carrier: None,
        }
    }
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Config")
    }
}

/// Whether the network may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flight {
    /// No network at all.
    On,
    /// Network as there is.
    Off,
}

/// One device of one company.
#[derive(Clone)]
pub struct Kolonne {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub config: Config,
    pub store: Store,
    pub blobs: BlobStore,
    pub company: CompanyId,
    pub device: DeviceId,
    roster: Mutex<Arc<Roster>>,
    /// The thread that somebody looked at last: a new phone fills it before the others.
    pub looked_at: Mutex<Option<ThreadId>>,
    pub changed: broadcast::Sender<Changed>,
    hub_state: Mutex<HubState>,
    flight: AtomicBool,
    /// Engines look when it changes.
    pub signals: watch::Sender<Signals>,
    pub network: Mutex<Network>,
    pub carrier: Mutex<Option<Arc<dyn Carrier>>>,
    /// The key of the hub that was spoken to last.
    pub spoken_to: Mutex<Option<PublicKey>>,
    /// Held by whoever exchanges ops or changes the roster.
    pub syncing: tokio::sync::Mutex<()>,
    /// Held by whoever sends blobs.
    pub uploading: tokio::sync::Mutex<()>,
    /// Held by whoever fetches blobs.
    pub downloading: tokio::sync::Mutex<()>,
    pub waits: Waits<BlobId>,
    /// Blobs that the hub was asked to show, or signed for a moment ago.
    pub claims: Waits<BlobId>,
    /// Threads that were asked for what is missing in them.
    pub fills: Waits<ThreadId>,
    /// When this was opened: what engines count their time from.
    pub opened: Instant,
    pub hub_seq: AtomicU64,
    pub seats: OpenSeats,
    /// The newest op that had left or was about to when the place's counter last rose.
    pub leaving: AtomicI64,
}

impl std::fmt::Debug for Kolonne {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Kolonne({:?})", self.inner.device)
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens a device's database, making it and its key at first.
pub(crate) fn open_store(dir: &Path) -> Result<Store, Error> {
    at_rest::private_folder(dir)?;
    let (key, database) = (dir.join("device.key"), dir.join("kolonne.db"));
    let has_rows = fs::metadata(&database).is_ok_and(|meta| meta.len() > 0);
    if has_rows && !key.exists() {
        // A new key would open nothing, and stand in the way of the lost one.
        return Err(Error::Corrupt);
    }
    if !has_rows && key.exists() && dir.join("blobs").exists() {
        // Its rows are gone, its files are here: nothing new begins on top of them.
        return Err(Error::Corrupt);
    }
    let store = Store::open(&database, &*at_rest::device_key(&key)?)?;
    if store.read(|db| get_meta(db, "store"))?.is_none() {
        store.write(|tx| set_meta(tx, "store", &random::bytes::<8>()?))?;
    }
    Ok(store)
}

impl Kolonne {
    /// Opens an enrolled device.
    ///
    /// # Errors
    /// `NotFound` if this folder holds no enrolled device; `UpgradeRequired` if a newer app wrote
    /// it; `Corrupt` if it is damaged or its key is another; `AuthExpired` if the office ended the
    /// device and it is wiped.
    pub fn open(config: Config) -> Result<Self, Error> {
        if wipe::has_mark(&config.dir) {
            // A wipe that was cut off goes on.
            wipe::wipe(&config.dir)?;
            return Err(Error::AuthExpired);
        }
        let dir = &config.dir;
        // A folder that may not be looked into isn't an empty one.
        if !dir.join("kolonne.db").try_exists()? && !dir.join("blobs").try_exists()? {
            return Err(Error::NotFound { kind: "company" });
        }
        let store = open_store(&config.dir)?;
        store.read(|db| crate::recovery::check_whole(db))?;
        Self::with_store(config, store)
    }

    pub(crate) fn with_store(config: Config, store: Store) -> Result<Self, Error> {
        let (company, device) = store.read(|db| {
            let company = get_meta(db, "company")?.ok_or(Error::NotFound { kind: "company" })?;
            let company = CompanyId::try_from(company.as_slice()).map_err(|_| Error::Corrupt)?;
            Ok((company, keys::device(db)?.device()))
        })?;
        let blobs = BlobStore::open(&config.dir.join("blobs"))?;
        if place::come_in(&config.dir, &store)? {
            tracing::info!("the database was put back or copied; writing goes on in a new store");
        }
        let (changed, _) = broadcast::channel(256);
        let inner = Inner {
            store,
            blobs,
            company,
            device,
            roster: Mutex::new(Arc::new(Roster::new(company))),
            looked_at: Mutex::new(None),
            changed,
            hub_state: Mutex::new(HubState::Unknown),
            flight: AtomicBool::new(false),
            signals: watch::Sender::new(Signals::default()),
            network: Mutex::default(),
            carrier: Mutex::new(None),
            spoken_to: Mutex::new(None),
            syncing: tokio::sync::Mutex::new(()),
            uploading: tokio::sync::Mutex::new(()),
            downloading: tokio::sync::Mutex::new(()),
            waits: Waits::default(),
            claims: Waits::default(),
            fills: Waits::default(),
            opened: Instant::now(),
            hub_seq: AtomicU64::new(0),
            seats: OpenSeats::default(),
            leaving: AtomicI64::new(0),
            config,
        };
        let kolonne = Self {
            inner: Arc::new(inner),
        };
        kolonne.inner.store.read(|db| kolonne.inner.roster(db))?;
        kolonne.fold_anew_after_upgrade()?;
        match kolonne.inner.tidy() {
            // Reading needs no room: what is here is shown, and tidied another time.
            Ok(()) | Err(Error::StorageFull { .. }) => Ok(kolonne),
            Err(error) => Err(error),
        }
    }

    /// Views of an older schema lack what the newer one shows.
    fn fold_anew_after_upgrade(&self) -> Result<(), Error> {
        let newest = crate::store::newest_schema().to_be_bytes();
        let known = self.inner.store.read(|db| get_meta(db, "views_schema"))?;
        if known.as_deref() == Some(newest.as_slice()) {
            return Ok(());
        }
        self.inner.store.write(|tx| {
            let roster = self.inner.roster(tx)?;
            seats::drop_kept_secrets(tx, &roster)?;
            crate::folding::rebuild(tx, &roster, &self.inner.device)?;
            set_meta(tx, "views_schema", &newest)
        })
    }

    /// The folder of this device.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.inner.config.dir
    }

    /// What changes from now on; on overflow a screen asks for everything again.
    pub fn subscribe(&self) -> broadcast::Receiver<Changed> {
        self.inner.changed.subscribe()
    }

    /// How this device stands.
    pub fn status(&self) -> Result<Status, Error> {
        let now_ms = self.inner.now_ms();
        let alarms = self.alarms()?;
        self.inner.store.read(|db| {
            let time = |key| -> Result<Option<u64>, Error> {
                let bytes = get_meta(db, key)?.and_then(|bytes| bytes.try_into().ok());
                Ok(bytes.map(u64::from_be_bytes))
            };
            let roster_confirmed_ms = time("roster_confirmed_ms")?;
            Ok(Status {
                hub: self.inner.hub_state(),
                last_contact_ms: time("last_contact_ms")?,
                roster_confirmed_ms,
                roster_stale: roster_confirmed_ms
                    .is_some_and(|at| now_ms.saturating_sub(at) > ROSTER_STALE_AFTER_MS),
                new_hub: crate::new_hub::record(db)?,
                outbox: outbox(db)?,
                alarms,
            })
        })
    }

    /// Turns the network on or off for this device.
    pub fn set_flight(&self, flight: Flight) {
        self.inner
            .flight
            .store(flight == Flight::On, Ordering::Release);
        self.inner.tell(Changed::Me);
        self.inner.nudge();
    }

    /// Whether the network is off.
    #[must_use]
    pub fn flight(&self) -> Flight {
        if self.inner.in_flight() {
            Flight::On
        } else {
            Flight::Off
        }
    }

    /// Tries the hub now, also with what waits for its next try.
    pub fn nudge(&self) {
        // Nothing is lost if this can't be written now: the waits run out by themselves.
        drop(self.inner.store.write(crate::outbox::unwedge));
        self.inner.waits.end_all();
        self.inner.fills.end_all();
        self.inner.nudge();
    }

    /// Drops every view and folds all threads again; what is shown stays the same.
    pub fn rebuild_views(&self) -> Result<(), Error> {
        self.inner.store.write(|tx| {
            let roster = self.inner.roster(tx)?;
            crate::folding::rebuild(tx, &roster, &self.inner.device)
        })
    }
}

impl Inner {
    pub fn now_ms(&self) -> u64 {
        (self.config.clock)()
    }

    pub fn in_flight(&self) -> bool {
        self.flight.load(Ordering::Acquire)
    }

    pub fn hub_state(&self) -> HubState {
        if self.in_flight() {
            HubState::Flight
        } else {
            *lock(&self.hub_state)
        }
    }

    pub fn set_hub_state(&self, state: HubState) {
        let before = std::mem::replace(&mut *lock(&self.hub_state), state);
        if before != state {
            self.tell(Changed::Me);
        }
    }

    /// Destroys what is due, and once a day removes files that nothing names: a capture that was
    /// killed between its file and its op leaves one. Fresh ones may be another process's; ones
    /// from before a database that was put back may be named by ops that are yet to come again.
    fn tidy(&self) -> Result<(), Error> {
        self.fold_rest()?;
        self.destroy_erased()?;
        let now_ms = blobs::disk_now_ms();
        let day_ms = u64::try_from(STALE_AFTER.as_millis()).unwrap_or(u64::MAX);
        let number = |bytes: Option<&[u8]>| {
            let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
            bytes.map(u64::from_be_bytes)
        };
        let (store, since) = self.store.read(|db| {
            let store = oplog::store_id(db)?;
            let since = get_meta(db, "swept")?.unwrap_or_default();
            Ok((store.0, since))
        })?;
        let own = since.strip_prefix(store.as_slice());
        let from_ms = number(own.and_then(|times| times.get(..8))).unwrap_or(now_ms);
        let last_ms = number(own.and_then(|times| times.get(8..16)));
        if last_ms.is_some_and(|ms| now_ms.abs_diff(ms) < day_ms) {
            return Ok(());
        }
        for blob in self.blobs.untouched(STALE_AFTER, from_ms)? {
            if !self.store.read(|db| blobs::is_named(db, &blob))? {
                self.blobs.remove(&blob)?;
            }
        }
        let swept = [store, from_ms.to_be_bytes(), now_ms.to_be_bytes()].concat();
        self.store.write(|tx| set_meta(tx, "swept", &swept))
    }

    /// Nobody listening is fine.
    pub fn tell(&self, changed: Changed) {
        drop(self.changed.send(changed));
    }

    /// The roster by which everything is judged: the chain, or, while nobody has merged another
    /// branch, what both have in common with the removals of both.
    pub fn roster(&self, db: &Connection) -> Result<Arc<Roster>, Error> {
        let chain = self.chain(db)?;
        self.beside_other(db, &chain)
            .map(|both| both.map_or(chain, Arc::new))
    }

    /// A chain beside the other branch that this device knows, if there is one.
    pub fn beside_other(&self, db: &Connection, chain: &Roster) -> Result<Option<Roster>, Error> {
        let head = oplog::other_roster_head(db)?;
        let Some(head) = head.filter(|head| !chain.has(head)) else {
            return Ok(None);
        };
        let mut other = Roster::new(self.company);
        for op in oplog::branch_ops(db, &head, 1)? {
            other.append(&op);
        }
        let mut both = chain.beside(&other);
        add_cut_lists(db, &mut both)?;
        Ok(Some(both))
    }

    /// The roster's chain as the log has it; another process may have lengthened it, or gone over to
    /// another branch.
    pub fn chain(&self, db: &Connection) -> Result<Arc<Roster>, Error> {
        let mut cached = lock(&self.roster);
        let last = cached.links().last().map(|link| link.id);
        let head = oplog::roster_head(db)?;
        if head.is_some() && head == last {
            return Ok(Arc::clone(&cached));
        }
        let thread = self.company.roster_thread();
        let have = u32::try_from(cached.links().len()).map_err(|_| Error::Corrupt)?;
        let mut newer = oplog::roster_ops(db, &thread, have.saturating_add(1))?;
        let follows = newer.first().map(|op| op.context().previous) == last;
        if head.is_some() && last.is_some() && !follows {
            *cached = Arc::new(Roster::new(self.company));
            newer = oplog::roster_ops(db, &thread, 1)?;
        }
        if !newer.is_empty() {
            let roster = Arc::make_mut(&mut cached);
            for op in &newer {
                roster.append(op);
            }
            add_cut_lists(db, roster)?;
        }
        Ok(Arc::clone(&cached))
    }

    /// Takes over a roster that grew in a transaction that committed.
    pub fn keep_roster(&self, roster: Roster) {
        let mut cached = lock(&self.roster);
        if roster.head().0 >= cached.head().0 {
            *cached = Arc::new(roster);
        }
    }

    /// Writes in a thread: one transaction from the op to the views, then tells the screens.
    pub fn write_in<T>(
        &self,
        thread: &ThreadId,
        work: impl FnOnce(&Transaction<'_>, &Moment<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let value = self.store.write(|tx| {
            let roster = self.roster(tx)?;
            let moment = Moment {
                roster: &roster,
                now_ms: self.now_ms(),
            };
            let value = work(tx, &moment)?;
            crate::folding::refold(tx, &roster, &self.device, thread)?;
            Ok(value)
        })?;
        self.tell(Changed::Thread(*thread));
        self.tell(Changed::Threads);
        self.tell(Changed::Me);
        self.nudge();
        Ok(value)
    }
}

fn add_cut_lists(db: &Connection, roster: &mut Roster) -> Result<(), Error> {
    let mut statement = db.prepare_cached(
        "SELECT p.bytes FROM parts p JOIN ops ON ops.id = p.op WHERE ops.class = 3",
    )?;
    let parts = statement.query_map([], |row| row.get::<_, Vec<u8>>(0))?;
    for part in parts {
        roster.add_part(&part?);
    }
    Ok(())
}

pub(crate) fn outbox(db: &Connection) -> Result<Outbox, Error> {
    let count = |sql: &str| -> Result<u64, Error> {
        let n: i64 = db.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
        Ok(n.cast_unsigned())
    };
    Ok(Outbox {
        ops: count(
            "SELECT count(*) FROM outbox_ops o JOIN view_entries e ON e.id = o.op
             WHERE o.wedged IS NULL AND e.kind < 10",
        )?,
        photos: count(
            "SELECT count(DISTINCT b.entry) FROM outbox_blobs o JOIN blobs b ON b.blob = o.blob
             WHERE b.part IN (1, 3)
               AND NOT EXISTS (SELECT 1 FROM erasures e WHERE e.op = b.entry)",
        )?,
        originals: count(&format!(
            "SELECT count(*) FROM outbox_blobs o WHERE lane = 5 AND {NOT_ERASED}"
        ))?,
        voices: count(&format!(
            "SELECT count(*) FROM outbox_blobs o WHERE lane = 3 AND {NOT_ERASED}"
        ))?,
        files: count(&format!(
            "SELECT count(*) FROM outbox_blobs o JOIN blobs b ON b.blob = o.blob
             WHERE b.part IN (4, 6) AND {NOT_ERASED}"
        ))?,
        bytes: count(&format!(
            "SELECT coalesce(sum(bytes - done_bytes), 0) FROM outbox_blobs o WHERE {NOT_ERASED}"
        ))?,
        stuck: count(&format!(
            "SELECT (SELECT count(*) FROM outbox_ops WHERE wedged IS NOT NULL)
                  + (SELECT count(*) FROM outbox_blobs o WHERE wedged IS NOT NULL AND {NOT_ERASED})"
        ))?,
    })
}

pub(crate) fn outbox_of(inner: &Inner) -> Result<Outbox, Error> {
    inner.store.read(|db| outbox(db))
}

/// Whether any op still waits for its receipt, whatever it says.
pub(crate) fn ops_wait(inner: &Inner) -> Result<bool, Error> {
    inner.store.read(|db| {
        let sql = "SELECT EXISTS (SELECT 1 FROM outbox_ops WHERE wedged IS NULL)";
        Ok(db.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
    })
}

/// A draft that was already written, by its 16 bytes.
pub(crate) fn drafted(db: &Connection, draft: Option<&[u8; 16]>) -> Result<Option<Vec<u8>>, Error> {
    use rusqlite::OptionalExtension;
    let Some(draft) = draft else { return Ok(None) };
    Ok(db
        .prepare_cached("SELECT id FROM drafts WHERE draft = ?1")?
        .query_row([draft.as_slice()], |row| row.get(0))
        .optional()?)
}

pub(crate) fn keep_draft(
    tx: &Transaction<'_>,
    draft: Option<&[u8; 16]>,
    id: &[u8],
) -> Result<(), Error> {
    if let Some(draft) = draft {
        tx.prepare_cached("INSERT INTO drafts (draft, id) VALUES (?1, ?2)")?
            .execute(rusqlite::params![draft.as_slice(), id])?;
    }
    Ok(())
}

pub(crate) fn op_id(bytes: &[u8]) -> Result<OpId, Error> {
    OpId::try_from(bytes).map_err(|_| Error::Corrupt)
}

pub(crate) fn thread_id(bytes: &[u8]) -> Result<ThreadId, Error> {
    ThreadId::try_from(bytes).map_err(|_| Error::Corrupt)
}

pub(crate) fn seat_id(bytes: &[u8]) -> Result<SeatId, Error> {
    SeatId::try_from(bytes).map_err(|_| Error::Corrupt)
}
