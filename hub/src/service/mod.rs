//! What the hub does, without sockets: check, keep, sign, route.
//!
//! It refuses only bad form, chain, signature and roster predecessor; size and quota refuse a
//! payload, never a signed form. It never judges rights: the devices do. Calls block.

mod answer;
mod blobs;
mod connection;
mod door;
mod pull;
mod push;
mod roster;
pub mod routing;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ed25519_dalek::SigningKey;
use kolonne_model::hub::HubError;
use kolonne_model::ids::{CompanyId, DeviceId, PublicKey};
use tokio::sync::watch;

use crate::env::Env;
use crate::storage::{BlobStore, ErasedThing, Storage, StorageError};
pub use connection::{Connection, DoorOf};
use routing::{Access, View, Views};

/// How long an upload that nobody goes on with is kept.
pub(crate) const STALE_UPLOAD_MS: u64 = 30 * 24 * 3600 * 1000;

/// How much the hub takes.
#[derive(Debug, Clone)]
pub struct Quotas {
    /// Companies founded here at most.
    pub companies: u64,
    /// Bytes of a company at most; beyond it payloads of data ops and blobs are refused.
    pub company_bytes: u64,
    /// Bytes of a blob at most.
    pub blob_bytes: u64,
    /// Uploads a device has open at most.
    pub open_uploads: usize,
    /// Ops a day from a seat whose rights ended.
    pub ended_seat_ops: u64,
    /// Payload bytes a day from a seat whose rights ended; blob bytes from its device.
    pub ended_bytes: u64,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            companies: 1000,
            company_bytes: 1 << 40,
            blob_bytes: 2 << 30,
            open_uploads: 256,
            ended_seat_ops: 10_000,
            ended_bytes: 2 << 30,
        }
    }
}

/// The hub's state, shared by everyone who talks to it.
pub struct HubService {
    storage: Arc<dyn Storage>,
    blobs: Arc<dyn BlobStore>,
    key: SigningKey,
    env: Env,
    quotas: Quotas,
    views: Views,
    logins: door::Logins,
    mail: Mutex<door::Mailboxes>,
    wakes: Mutex<HashMap<CompanyId, watch::Sender<u64>>>,
    upload_locks: [Mutex<()>; 64],
}

impl std::fmt::Debug for HubService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HubService").finish_non_exhaustive()
    }
}

/// Companies whose wake-ups are kept before unused ones are dropped.
const MAX_IDLE_WAKES: usize = 1024;
/// How long a caller waits when the hub's own storage failed.
const TROUBLE_RETRY_MS: u64 = 5000;

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The hub's own trouble is the caller's "later": nothing is refused for good by it.
#[allow(clippy::needless_pass_by_value)] // stands in map_err
fn trouble(error: StorageError) -> HubError {
    tracing::error!(%error, "storage failed");
    HubError::NotNow {
        retry_after_ms: TROUBLE_RETRY_MS,
    }
}

impl HubService {
    /// A hub over a storage, signing with this key.
    pub fn new(
        storage: Arc<dyn Storage>,
        blobs: Arc<dyn BlobStore>,
        key: SigningKey,
        env: Env,
        quotas: Quotas,
    ) -> Arc<Self> {
        let logins = door::Logins::new(env.random());
        Arc::new(Self {
            storage,
            blobs,
            key,
            env,
            quotas,
            views: Views::default(),
            logins,
            mail: Mutex::default(),
            wakes: Mutex::default(),
            upload_locks: std::array::from_fn(|_| Mutex::default()),
        })
    }

    /// Its public key.
    #[must_use]
    pub fn key(&self) -> PublicKey {
        PublicKey(self.key.verifying_key().to_bytes())
    }

    /// What comes before a login.
    #[must_use]
    pub fn door(self: &Arc<Self>) -> DoorOf {
        DoorOf::new(self.clone())
    }

    /// A connection as a device that has logged in.
    #[must_use]
    pub fn connect(self: &Arc<Self>, company: CompanyId, device: DeviceId) -> Connection {
        Connection::new(self.clone(), company, device)
    }

    /// Whether the storage answers and takes something: a full disk reads well and is of no use.
    pub fn is_healthy(&self) -> bool {
        let takes = self.storage.try_room().and_then(|()| self.blobs.try_room());
        takes
            .inspect_err(|error| tracing::error!(%error, "storage takes nothing"))
            .is_ok()
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.env.now_ms()
    }

    fn view(&self, company: CompanyId) -> Result<View, HubError> {
        self.views.get(&*self.storage, company).map_err(trouble)
    }

    /// The company and what this device may have of it; a stranger is sent away.
    fn enter(&self, company: CompanyId, device: &DeviceId) -> Result<(View, Access), HubError> {
        let view = self.view(company)?;
        match view.access(device, self.now_ms()) {
            Access::Unknown => Err(HubError::NotAllowed),
            access => Ok((view, access)),
        }
    }

    fn subscribe(&self, company: CompanyId) -> watch::Receiver<u64> {
        let mut wakes = lock(&self.wakes);
        if wakes.len() >= MAX_IDLE_WAKES {
            wakes.retain(|_, sender| sender.receiver_count() > 0);
        }
        wakes
            .entry(company)
            .or_insert_with(|| watch::Sender::new(0))
            .subscribe()
    }

    /// Tells who waits that the company's sequence moved.
    fn wake_up(&self, company: CompanyId) {
        if let Ok(Some(row)) = self.storage.company(&company)
            && let Some(sender) = lock(&self.wakes).get(&company)
        {
            sender.send_if_modified(|seq| {
                let is_newer = row.hub_seq > *seq;
                *seq = row.hub_seq.max(*seq);
                is_newer
            });
        }
    }

    /// A receiver of a company's sequence, and where it stands.
    pub(crate) fn watch(
        &self,
        company: CompanyId,
        device: &DeviceId,
    ) -> Result<(watch::Receiver<u64>, u64), HubError> {
        self.enter(company, device)?;
        let receiver = self.subscribe(company);
        let row = self
            .storage
            .company(&company)
            .map_err(trouble)?
            .ok_or(HubError::NotThere)?;
        Ok((receiver, row.hub_seq))
    }

    /// Destroys what is erased and due.
    fn destroy_erased(&self, now_ms: u64) -> Result<(), StorageError> {
        loop {
            // What the company has said meanwhile may have taken an erase back.
            for erasure in self.storage.due_erasures(now_ms)? {
                self.views.get(&*self.storage, erasure.company)?;
            }
            let due = self.storage.due_erasures(now_ms)?;
            if due.is_empty() {
                return Ok(());
            }
            for erasure in self.storage.destroy(&due)? {
                if let ErasedThing::Blob(blob) = &erasure.thing {
                    self.blobs.remove(&erasure.company, blob)?;
                }
            }
            self.storage.destroyed(&due)?;
        }
    }

    /// Housekeeping, now and then: logins that ran out, uploads nobody came back to, what is erased.
    pub fn tidy(&self) {
        let now_ms = self.now_ms();
        let done = self.storage.drop_sessions(now_ms).and_then(|()| {
            for upload in self
                .storage
                .stale_uploads(now_ms.saturating_sub(STALE_UPLOAD_MS))?
            {
                self.blobs.remove_partial(&upload.name)?;
                self.storage.drop_upload(&upload.name)?;
            }
            self.destroy_erased(now_ms)
        });
        if let Err(error) = done {
            tracing::warn!(%error, "tidying failed");
        }
        lock(&self.mail).tidy(now_ms);
    }
}
