//! Opening the data folder and the socket, accepting connections, draining at the end.
//!
//! Plain HTTP goes to loopback only, unless the operator says otherwise in so many words.

use std::fs::{File, OpenOptions, TryLockError};
use std::future::Future;
use std::io::Write;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use ed25519_dalek::SigningKey;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use kolonne_model::ids::PublicKey;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use zeroize::Zeroizing;

use super::limits::{Addresses, Limits};
use super::{Peer, router};
use crate::env::{Env, NoRandomness};
use crate::service::{HubService, Quotas};
use crate::storage::StorageError;
use crate::storage::blobs::{Folder, sync_dir};
use crate::storage::sqlite::Sqlite;

const HEADER_TIMEOUT: Duration = Duration::from_secs(20);
const TLS_TIMEOUT: Duration = Duration::from_secs(20);
/// How long requests under way may finish at the end.
const DRAIN: Duration = Duration::from_secs(10);
const TIDY_EVERY: Duration = Duration::from_mins(10);

/// How the hub speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tls {
    /// Plain HTTP, on loopback only: something in front of it speaks TLS.
    None,
    /// Plain HTTP on any address: everyone on the way sees ids, times and tokens.
    InsecurePlain,
    /// TLS with this certificate chain and key.
    Pem {
        /// The chain, PEM.
        cert: PathBuf,
        /// The key, PEM.
        key: PathBuf,
    },
}

/// What a hub needs to know.
#[derive(Debug, Clone)]
pub struct HubConfig {
    /// Its folder.
    pub data: PathBuf,
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// How it speaks.
    pub tls: Tls,
    /// How much it takes.
    pub quotas: Quotas,
    /// What floods run into.
    pub limits: Limits,
}

impl HubConfig {
    /// A hub with the usual limits.
    #[must_use]
    pub fn new(data: PathBuf, listen: SocketAddr, tls: Tls) -> Self {
        Self {
            data,
            listen,
            tls,
            quotas: Quotas::default(),
            limits: Limits::default(),
        }
    }
}

/// Why a hub doesn't start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its rows or files.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Its folder or socket.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// Another hub runs on this folder.
    #[error("another hub runs on this folder")]
    InUse,
    /// The key file isn't 32 bytes.
    #[error("hub.key is damaged: restore it from a backup, since devices know the hub by it")]
    KeyDamaged,
    /// There are companies, but the key file is gone.
    #[error("hub.key is missing: restore it from a backup, since devices know the hub by it")]
    KeyMissing,
    /// Plain HTTP on an address that others reach.
    #[error("plain HTTP is for loopback only: give a certificate and key")]
    PlainNotOnLoopback,
    /// The certificate or key.
    #[error("certificate or key not usable: {0}")]
    Certificate(String),
    /// No randomness.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
}

/// A hub that has its folder and its socket.
pub struct Hub {
    service: Arc<HubService>,
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
    limits: Limits,
    _lock: File,
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl HubService {
    /// The embedded hub of a folder: `SQLite` and files. One process at a time: the caller holds
    /// [`Hub`]'s lock or is a test.
    pub fn open(data: &Path, env: Env, quotas: Quotas) -> Result<Arc<Self>, OpenError> {
        make_private_dir(data)?;
        let key = load_or_make_key(&data.join("hub.key"), &env)?;
        let storage = Sqlite::open(&data.join("hub.db"), env.random())?;
        let blobs = Folder::open(data)?;
        Ok(Self::new(
            Arc::new(storage),
            Arc::new(blobs),
            key,
            env,
            quotas,
        ))
    }
}

fn make_private_dir(data: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(data)
}

fn load_or_make_key(path: &Path, env: &Env) -> Result<SigningKey, OpenError> {
    match std::fs::read(path).map(Zeroizing::new) {
        Ok(bytes) => {
            let secret = <&[u8; 32]>::try_from(bytes.as_slice());
            Ok(SigningKey::from_bytes(
                secret.map_err(|_| OpenError::KeyDamaged)?,
            ))
        }
        // A new key would make this another hub, which no device speaks to.
        Err(e)
            if e.kind() == std::io::ErrorKind::NotFound
                && path.with_file_name("hub.db").exists() =>
        {
            Err(OpenError::KeyMissing)
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let secret = Zeroizing::new(env.random::<32>());
            let fresh = path.with_extension("new");
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            let mut file = options.open(&fresh)?;
            file.write_all(&*secret)?;
            file.sync_all()?;
            std::fs::rename(&fresh, path)?;
            path.parent().map_or(Ok(()), sync_dir)?;
            Ok(SigningKey::from_bytes(&secret))
        }
        Err(e) => Err(e.into()),
    }
}

fn load_tls(tls: &Tls, listen: &SocketAddr) -> Result<Option<TlsAcceptor>, OpenError> {
    let (cert, key) = match tls {
        Tls::None if listen.ip().is_loopback() => return Ok(None),
        Tls::None => return Err(OpenError::PlainNotOnLoopback),
        Tls::InsecurePlain => return Ok(None),
        Tls::Pem { cert, key } => (cert, key),
    };
    let bad = |e: &dyn std::fmt::Display| OpenError::Certificate(e.to_string());
    let chain: Vec<_> = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect)
        .map_err(|e| bad(&e))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|e| bad(&e))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|e| bad(&e))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}

impl Hub {
    /// Opens the folder (making key and epoch at the first start) and the socket.
    pub fn open(config: HubConfig) -> Result<Self, OpenError> {
        Self::open_with(config, Env::system()?)
    }

    /// As [`Hub::open`], with time and randomness of the caller's.
    pub fn open_with(config: HubConfig, env: Env) -> Result<Self, OpenError> {
        let tls = load_tls(&config.tls, &config.listen)?;
        make_private_dir(&config.data)?;
        let lock = OpenOptions::new()
            .create(true)
            .append(true)
            .open(config.data.join("hub.lock"))?;
        lock.try_lock().map_err(|e| match e {
            TryLockError::WouldBlock => OpenError::InUse,
            TryLockError::Error(e) => OpenError::Io(e),
        })?;
        let service = HubService::open(&config.data, env, config.quotas)?;
        let listener = TcpListener::bind(config.listen)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok(Self {
            service,
            listener,
            address,
            tls,
            limits: config.limits,
            _lock: lock,
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its public key, which the founder compares.
    #[must_use]
    pub fn key(&self) -> PublicKey {
        self.service.key()
    }

    /// What it does, without sockets.
    #[must_use]
    pub fn service(&self) -> Arc<HubService> {
        self.service.clone()
    }

    /// Serves until `shutdown` is done, then lets requests under way finish.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send) -> std::io::Result<()> {
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        let stop = CancellationToken::new();
        let router = router(self.service.clone(), &self.limits, stop.clone());
        let room = Arc::new(Semaphore::new(self.limits.connections));
        let graceful = GracefulShutdown::new();
        let mut tidy = tokio::time::interval(TIDY_EVERY);
        let mut shutdown = std::pin::pin!(shutdown);
        tracing::info!(address = %self.address, "hub listens");
        loop {
            let accepted = tokio::select! {
                () = &mut shutdown => break,
                _ = tidy.tick() => {
                    let service = self.service.clone();
                    tokio::task::spawn_blocking(move || service.tidy());
                    continue;
                }
                accepted = listener.accept() => accepted,
            };
            let (socket, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of sockets, mostly: others must close first.
                    tracing::warn!(%error, "cannot accept");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let Ok(permit) = room.clone().try_acquire_owned() else {
                continue;
            };
            let _ = socket.set_nodelay(true);
            let (router, tls, watcher) = (router.clone(), self.tls.clone(), graceful.watcher());
            let from = (peer.ip(), self.limits.addresses);
            tokio::spawn(async move {
                let _permit = permit;
                match tls {
                    None => talk(socket, from, router, watcher).await,
                    Some(tls) => {
                        let shaken = tokio::time::timeout(TLS_TIMEOUT, tls.accept(socket)).await;
                        if let Ok(Ok(socket)) = shaken {
                            talk(socket, from, router, watcher).await;
                        }
                    }
                }
            });
        }
        drop(listener);
        stop.cancel();
        if tokio::time::timeout(DRAIN, graceful.shutdown())
            .await
            .is_err()
        {
            tracing::warn!("some requests did not finish in time");
        }
        tracing::info!("hub stopped");
        Ok(())
    }
}

async fn talk<S>(
    socket: S,
    (peer, addresses): (IpAddr, Addresses),
    router: Router,
    watcher: hyper_util::server::graceful::Watcher,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        let peer = Peer(addresses.of(peer, request.headers()));
        request.extensions_mut().insert(peer);
        router.clone().oneshot(request)
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(64 * 1024);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_mins(1))
        .max_concurrent_streams(32)
        .max_header_list_size(16 * 1024);
    let connection = builder
        .serve_connection(TokioIo::new(socket), service)
        .into_owned();
    // A broken connection is the field's daily bread: nothing to report.
    let _ = watcher.watch(connection).await;
}
