//! The hub after a login: one token shared by all requests, resumable uploads, downloads by range.
//!
//! It logs in when first needed and once more when the token is refused. It must never sign for a
//! hub that names another key than the expected one.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use ed25519_dalek::{Signer, SigningKey};
use kolonne_model::hub::{
    AppendRoster, Challenge, Door, Fetch, FetchAnswer, Heads, HeadsAnswer, Hub, HubError, LastOps,
    LastOpsAnswer, Login, LoginNonce, LoginStart, MailAt, NewUpload, Pull, PullAnswer, Push,
    PushAnswer, RefusalCode, RosterAnswer, RosterFrom, Token, Upload, login_message,
};
use kolonne_model::ids::{BlobId, CompanyId, DeviceId, Hash32, PublicKey, Signature};
use kolonne_model::receipt::Possession;
use minicbor::{Decode, Encode};
use reqwest::Method;
use reqwest::header::HeaderValue;
use tokio::time::Instant;

use super::door::{Answer, Ask, Pace};
use super::wake::Events;
use super::{HttpDoor, HttpRequest};

/// Largest piece of a download in bytes, however much is asked for.
const MAX_PIECE_BYTES: u32 = 8 << 20;
/// The longest a token is believed to hold.
const MAX_TOKEN_MS: u64 = 24 * 3_600_000;
/// A token is renewed this long before it runs out, so that no upload starts in vain.
const RENEW_BEFORE: Duration = Duration::from_secs(30);
/// Most lengths of open uploads kept; others are asked for again.
const MAX_KNOWN_UPLOADS: usize = 1024;
const INTEROP: (&str, &str) = ("upload-draft-interop-version", "8");

/// As whom to log in, and at which hub.
pub struct LoginIdentity {
    /// The company.
    pub company: CompanyId,
    /// The device.
    pub device: DeviceId,
    /// The hub's key: certified by the roster, or compared by a person at founding.
    pub hub_key: PublicKey,
    /// The key of the device's own seat.
    pub signing: SigningKey,
}

impl fmt::Debug for LoginIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            company,
            device,
            hub_key,
            signing: _,
        } = self;
        write!(f, "LoginIdentity({company:?}, {device:?}, {hub_key:?})")
    }
}

/// The hub as one device of one company. Shared by reference among all that talk to it.
pub struct HttpHub {
    door: HttpDoor,
    identity: LoginIdentity,
    session: tokio::sync::Mutex<Session>,
    login_tries: AtomicU64,
    lengths: Mutex<HashMap<String, u64>>,
}

/// What the last try to log in gave.
enum Session {
    None,
    Open { bearer: HeaderValue, until: Instant },
    Failed(HubError),
}

impl HttpHub {
    /// The hub behind a door. Nothing is sent yet.
    pub fn new(door: HttpDoor, identity: LoginIdentity) -> Self {
        Self {
            door,
            identity,
            session: tokio::sync::Mutex::new(Session::None),
            login_tries: AtomicU64::new(0),
            lengths: Mutex::default(),
        }
    }

    /// The door it stands behind.
    pub fn door(&self) -> &HttpDoor {
        &self.door
    }

    /// The key it must have.
    pub fn hub_key(&self) -> &PublicKey {
        &self.identity.hub_key
    }

    /// A token other than the refused one. Who waits while another logs in shares what comes of
    /// it, failure too: otherwise each would wait for the same dead connection in turn.
    async fn bearer(&self, refused: Option<&HeaderValue>) -> Result<HeaderValue, HubError> {
        let tries = self.login_tries.load(Ordering::Acquire);
        let mut session = self.session.lock().await;
        match &*session {
            Session::Open { bearer, until }
                if refused != Some(bearer) && Instant::now() < *until =>
            {
                return Ok(bearer.clone());
            }
            Session::Failed(error) if tries != self.login_tries.load(Ordering::Acquire) => {
                return Err(error.clone());
            }
            _ => {}
        }
        let result = self.log_in().await;
        self.login_tries.fetch_add(1, Ordering::Release);
        match result {
            Ok((bearer, until)) => {
                *session = Session::Open {
                    bearer: bearer.clone(),
                    until,
                };
                Ok(bearer)
            }
            Err(error) => {
                *session = Session::Failed(error.clone());
                Err(error)
            }
        }
    }

    async fn log_in(&self) -> Result<(HeaderValue, Instant), HubError> {
        let LoginIdentity {
            company,
            device,
            hub_key,
            signing,
        } = &self.identity;
        if self.door.hello().await?.key != *hub_key {
            return Err(HubError::OtherKey);
        }
        let (company, device) = (*company, *device);
        let start = LoginStart { company, device };
        let LoginNonce { nonce } = self.door.exchange("v1/login/start", &start).await?;
        let message = login_message(hub_key, &company, &device, &nonce);
        let signature = Signature(signing.sign(&message).to_bytes());
        let login = Login {
            company,
            device,
            nonce,
            signature,
        };
        let Token {
            token, lasts_ms, ..
        } = self.door.exchange("v1/login", &login).await?;
        let mut bearer =
            HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| HubError::NotTheHub)?;
        bearer.set_sensitive(true);
        let lasts = Duration::from_millis(lasts_ms.min(MAX_TOKEN_MS));
        Ok((
            bearer,
            Instant::now() + lasts.saturating_sub(RENEW_BEFORE).max(lasts / 2),
        ))
    }

    async fn send(&self, ask: &Ask) -> Result<Answer, HubError> {
        let bearer = self.bearer(None).await?;
        match self.door.send(ask, Some(&bearer)).await {
            Err(HubError::LoginNeeded) => {
                let bearer = self.bearer(Some(&bearer)).await?;
                self.door.send(ask, Some(&bearer)).await
            }
            other => other,
        }
    }

    async fn exchange<T: for<'b> Decode<'b, ()>>(
        &self,
        path: &str,
        message: &(impl Encode<()> + Sync),
    ) -> Result<T, HubError> {
        self.send(&Ask::message(path, message)?)
            .await?
            .decode()
            .await
    }

    /// The request that hands over the rest of an upload, for someone else to carry.
    pub(super) async fn rest_of(
        &self,
        name: &str,
        offset_bytes: u64,
    ) -> Result<HttpRequest, HubError> {
        let bearer = self.bearer(None).await?;
        let bearer = bearer.to_str().map_err(|_| HubError::NotTheHub)?;
        let path = upload_path(name)?;
        let headers = [
            ("authorization", bearer.to_owned()),
            (INTEROP.0, INTEROP.1.to_owned()),
            ("content-type", "application/partial-upload".to_owned()),
            ("upload-offset", offset_bytes.to_string()),
            ("upload-complete", End::Reached.header().to_owned()),
        ];
        Ok(HttpRequest {
            method: Method::PATCH.to_string(),
            url: self.door.address(&path)?,
            headers: headers.map(|(name, value)| (name.to_owned(), value)).into(),
        })
    }

    fn remember(&self, name: &str, length: Option<u64>) {
        let mut lengths = self.lengths.lock().unwrap_or_else(PoisonError::into_inner);
        match length {
            Some(length) => {
                if lengths.len() >= MAX_KNOWN_UPLOADS {
                    lengths.clear();
                }
                lengths.insert(name.to_owned(), length);
            }
            None => drop(lengths.remove(name)),
        }
    }

    fn length(&self, name: &str) -> Option<u64> {
        self.lengths
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .copied()
    }

    async fn patch(
        &self,
        name: &str,
        offset_bytes: u64,
        bytes: Bytes,
        end: End,
    ) -> Result<Upload, HubError> {
        let mut ask = Ask::bare(Method::PATCH, upload_path(name)?);
        ask.headers = vec![
            (INTEROP.0, INTEROP.1.to_owned()),
            ("content-type", "application/partial-upload".to_owned()),
            ("upload-offset", offset_bytes.to_string()),
            ("upload-complete", end.header().to_owned()),
        ];
        (ask.body, ask.pace) = (bytes, Pace::Idle);
        let end_bytes = offset_bytes.saturating_add(byte_count(&ask.body));
        let answer = self.send(&ask).await?;
        if answer.status() == 200 {
            self.remember(name, None);
            return answer.decode().await.map(Upload::Complete);
        }
        open(name, &answer, end_bytes)
    }
}

/// Whether an append brings the last byte.
#[derive(Clone, Copy)]
enum End {
    Reached,
    Ahead,
}

impl End {
    /// A boolean as a structured field (RFC 9651 §3.3.6).
    fn header(self) -> &'static str {
        match self {
            Self::Reached => "?1",
            Self::Ahead => "?0",
        }
    }
}

/// The hub names an upload; the name must not lead to anywhere else.
fn upload_path(name: &str) -> Result<String, HubError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if name.is_empty() || name.len() > 128 || !name.bytes().all(plain) {
        return Err(HubError::Refused(RefusalCode::Form));
    }
    Ok(format!("v1/uploads/{name}"))
}

fn byte_count(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// An upload that goes on; never from beyond what the hub can have.
fn open(name: &str, answer: &Answer, most_bytes: u64) -> Result<Upload, HubError> {
    match answer.number("upload-offset") {
        Some(offset_bytes) if offset_bytes <= most_bytes => Ok(Upload::Open {
            name: name.to_owned(),
            offset_bytes,
        }),
        _ => Err(HubError::NotTheHub),
    }
}

impl Hub for HttpHub {
    async fn push(&self, push: Push) -> Result<PushAnswer, HubError> {
        self.exchange("v1/push", &push).await
    }

    async fn pull(&self, pull: Pull) -> Result<PullAnswer, HubError> {
        self.exchange("v1/pull", &pull).await
    }

    async fn fetch(&self, fetch: Fetch) -> Result<FetchAnswer, HubError> {
        self.exchange("v1/fetch", &fetch).await
    }

    async fn heads(&self, heads: Heads) -> Result<HeadsAnswer, HubError> {
        self.exchange("v1/heads", &heads).await
    }

    async fn last_ops(&self, asked: LastOps) -> Result<LastOpsAnswer, HubError> {
        self.exchange("v1/last-ops", &asked).await
    }

    async fn append_roster(&self, append: AppendRoster) -> Result<(), HubError> {
        self.send(&Ask::message("v1/roster/append", &append)?)
            .await?
            .empty()
            .await
    }

    async fn roster(&self, from: RosterFrom) -> Result<RosterAnswer, HubError> {
        self.exchange("v1/roster", &from).await
    }

    async fn open_mailbox(&self, mailbox: Hash32) -> Result<(), HubError> {
        let at = MailAt { mailbox, slot: 0 };
        self.send(&Ask::message("v1/mail/open", &at)?)
            .await?
            .empty()
            .await
    }

    async fn create_upload(&self, new: NewUpload) -> Result<Upload, HubError> {
        let mut ask = Ask::bare(Method::POST, "v1/blobs");
        ask.headers = vec![
            (INTEROP.0, INTEROP.1.to_owned()),
            ("upload-complete", End::Ahead.header().to_owned()),
            ("upload-length", new.sealed_bytes.to_string()),
            ("kolonne-blob", new.blob.to_string()),
            ("kolonne-thread", new.thread.to_string()),
        ];
        let answer = self.send(&ask).await?;
        if answer.status() == 200 {
            return answer.decode().await.map(Upload::Complete);
        }
        let name = answer
            .header("location")
            .and_then(|at| at.rsplit('/').next());
        let name = name.ok_or(HubError::NotTheHub)?.to_owned();
        upload_path(&name).map_err(|_| HubError::NotTheHub)?;
        let upload = open(&name, &answer, new.sealed_bytes)?;
        self.remember(&name, Some(new.sealed_bytes));
        Ok(upload)
    }

    async fn upload(&self, name: &str) -> Result<Upload, HubError> {
        let mut ask = Ask::bare(Method::HEAD, upload_path(name)?);
        ask.headers = vec![(INTEROP.0, INTEROP.1.to_owned())];
        let answer = self.send(&ask).await.inspect_err(|error| {
            if *error == HubError::NotThere {
                self.remember(name, None);
            }
        })?;
        let length = answer.number("upload-length").or_else(|| self.length(name));
        let length = length.ok_or(HubError::NotTheHub)?;
        if answer.header("upload-complete") == Some(End::Reached.header()) {
            // A HEAD carries no receipt; the last append repeated without bytes does.
            return match self.patch(name, length, Bytes::new(), End::Reached).await? {
                Upload::Open { .. } => Err(HubError::NotTheHub),
                complete @ Upload::Complete(_) => Ok(complete),
            };
        }
        let upload = open(name, &answer, length)?;
        self.remember(name, Some(length));
        Ok(upload)
    }

    async fn append_upload(
        &self,
        name: &str,
        offset_bytes: u64,
        bytes: Vec<u8>,
    ) -> Result<Upload, HubError> {
        let length = match self.length(name) {
            Some(length) => length,
            None => match self.upload(name).await? {
                Upload::Open { .. } => self.length(name).ok_or(HubError::NotTheHub)?,
                complete @ Upload::Complete(_) => return Ok(complete),
            },
        };
        let end = match offset_bytes.saturating_add(byte_count(&bytes)) {
            end if end == length => End::Reached,
            end if end < length => End::Ahead,
            _ => return Err(HubError::TooLarge),
        };
        self.patch(name, offset_bytes, Bytes::from(bytes), end)
            .await
    }

    /// A piece may be shorter than asked for: a cut connection keeps what came.
    async fn download(
        &self,
        blob: BlobId,
        offset_bytes: u64,
        max_bytes: u32,
    ) -> Result<Vec<u8>, HubError> {
        let max_bytes = max_bytes.min(MAX_PIECE_BYTES);
        if max_bytes == 0 {
            return Ok(Vec::new());
        }
        let last = offset_bytes.saturating_add(u64::from(max_bytes) - 1);
        let mut ask = Ask::bare(Method::GET, format!("v1/blobs/{blob}"));
        ask.headers = vec![("range", format!("bytes={offset_bytes}-{last}"))];
        ask.pace = Pace::Idle;
        let mut answer = self.send(&ask).await?;
        let starts_here = match answer.status() {
            206 => {
                let range = answer.header("content-range").unwrap_or_default();
                range.starts_with(&format!("bytes {offset_bytes}-"))
            }
            // The range was ignored on the way: good for the beginning only.
            200 => offset_bytes == 0,
            _ => false,
        };
        if !starts_here {
            return Err(HubError::NotTheHub);
        }
        let cap = usize::try_from(max_bytes).unwrap_or(usize::MAX);
        let mut piece = Vec::new();
        while piece.len() < cap {
            match answer.next().await {
                Ok(Some(bytes)) => {
                    piece.extend_from_slice(bytes.get(..cap - piece.len()).unwrap_or(&bytes));
                }
                Err(error) if piece.is_empty() => return Err(error),
                Ok(None) | Err(_) => break,
            }
        }
        Ok(piece)
    }

    async fn prove(&self, challenge: Challenge) -> Result<Possession, HubError> {
        self.exchange("v1/blobs/prove", &challenge).await
    }

    async fn wake(&self, after_hub_seq: u64) -> Result<u64, HubError> {
        let mut ask = Ask::bare(Method::GET, format!("v1/wake?after={after_hub_seq}"));
        ask.headers = vec![("accept", "text/event-stream".to_owned())];
        ask.pace = Pace::Idle;
        let mut answer = self.send(&ask).await?;
        let kind = answer.header("content-type").unwrap_or_default();
        if !kind.starts_with("text/event-stream") {
            return Err(HubError::NotTheHub);
        }
        let mut events = Events::default();
        while let Some(bytes) = answer.next().await? {
            if let Some(hub_seq) = events.take(&bytes)?
                && hub_seq > after_hub_seq
            {
                return Ok(hub_seq);
            }
        }
        Err(HubError::Unreachable)
    }
}
