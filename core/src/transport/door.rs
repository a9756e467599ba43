//! One exchange with the hub: a request, its time limits, an answer read up to a cap, an error
//! without content. Retries and logins are not made here.

use std::error::Error;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use kolonne_model::cbor;
use kolonne_model::hub::{
    Door, Founding, Hello, HubError, MAX_MAIL_BYTES, MAX_MESSAGE_BYTES, Mail, MailAt, RefusalCode,
};
use minicbor::{Decode, Encode};
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Body, Client, Method, Response, StatusCode, redirect};
use tokio::time::{Instant, timeout_at};
use url::{Host, Url};

use super::tls::{self, Trust};

const CONNECT: Duration = Duration::from_secs(10);
/// Shorter than a hub keeps an idle connection, so that no request meets one that just closed.
const KEEP_IDLE: Duration = Duration::from_secs(15);
/// After this long without an answer to what was sent, a connection is dead: phones change
/// networks without a word. Longer than the comment of a wake stream, so that one costs no ping.
const PING_AFTER: Duration = Duration::from_secs(30);
const PING_PATIENCE: Duration = Duration::from_secs(10);
/// The slowest link worth waiting for: half of what a field link at its edge has.
const SLOWEST_BYTES_PER_S: u64 = 512;
/// About what a system takes from us before any of it is on the link.
const SOCKET_BUFFER_BYTES: u64 = 256 * 1024;
const CHUNK_BYTES: usize = 16 * 1024;
/// Largest body that is sent a second time without asking.
const MAX_AGAIN_BYTES: usize = 16 * 1024;
const MAX_RETRY_AFTER_MS: u64 = 3_600_000;
const DEFAULT_RETRY_AFTER_MS: u64 = 5_000;
const MAX_ADDRESS_BYTES: usize = 2048;

/// Why there is no door to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadDoor {
    /// Not an `https` address, nor `http` to this very machine.
    #[error("not an address of a hub")]
    Address,
    /// Not a certificate in PEM.
    #[error("not a certificate")]
    Certificate,
    /// No TLS on this system.
    #[error("no TLS here")]
    Tls,
}

/// Counts the bytes of bodies, both ways; headers and TLS aren't counted.
#[derive(Debug, Default)]
pub struct TrafficMeter {
    sent_bytes: AtomicU64,
    received_bytes: AtomicU64,
}

impl TrafficMeter {
    /// Bytes handed to the connection.
    pub fn sent_bytes(&self) -> u64 {
        self.sent_bytes.load(Ordering::Relaxed)
    }

    /// Bytes that came back.
    pub fn received_bytes(&self) -> u64 {
        self.received_bytes.load(Ordering::Relaxed)
    }
}

/// How long to wait, apart from what bytes under way need.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    pub message: Duration,
    pub idle: Duration,
}

impl Patience {
    const USUAL: Self = Self {
        message: Duration::from_secs(30),
        idle: Duration::from_mins(1),
    };
}

/// What limits the time of an exchange.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pace {
    /// The whole of it, plus what its bytes need on the slowest link.
    Message,
    /// Only the time in which nothing moves.
    Idle,
}

/// A request, to be sent once or twice.
pub(super) struct Ask {
    pub method: Method,
    pub path: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
    pub pace: Pace,
}

impl Ask {
    pub fn bare(method: Method, path: impl Into<String>) -> Self {
        let (path, headers) = (path.into(), Vec::new());
        Self {
            method,
            path,
            headers,
            body: Bytes::new(),
            pace: Pace::Message,
        }
    }

    pub fn message(path: &str, message: &impl Encode<()>) -> Result<Self, HubError> {
        let body = Bytes::from(cbor::encode(message));
        if body.len() > MAX_MESSAGE_BYTES {
            return Err(HubError::TooLarge);
        }
        let headers = vec![("content-type", "application/cbor".to_owned())];
        Ok(Self {
            headers,
            body,
            ..Self::bare(Method::POST, path)
        })
    }
}

/// What bytes under way need on the slowest link.
pub(super) fn time_for(bytes: u64) -> Duration {
    Duration::from_millis(bytes.saturating_mul(1000) / SLOWEST_BYTES_PER_S)
}

/// The time limit of one exchange, moved on by its bytes.
struct Clock {
    pace: Pace,
    patience: Patience,
    start: Instant,
    meter: Arc<TrafficMeter>,
    moved: Mutex<Moved>,
}

#[derive(Clone, Copy)]
struct Moved {
    last: Instant,
    sent_bytes: u64,
    received_bytes: u64,
}

impl Clock {
    fn new(pace: Pace, patience: Patience, meter: Arc<TrafficMeter>) -> Self {
        let start = Instant::now();
        let moved = Mutex::new(Moved {
            last: start,
            sent_bytes: 0,
            received_bytes: 0,
        });
        Self {
            pace,
            patience,
            start,
            meter,
            moved,
        }
    }

    fn count(&self, sent: usize, received: usize) {
        let [sent, received] = [sent, received].map(|n| u64::try_from(n).unwrap_or(u64::MAX));
        self.meter.sent_bytes.fetch_add(sent, Ordering::Relaxed);
        self.meter
            .received_bytes
            .fetch_add(received, Ordering::Relaxed);
        let mut moved = self.moved.lock().unwrap_or_else(PoisonError::into_inner);
        moved.last = Instant::now();
        moved.sent_bytes = moved.sent_bytes.saturating_add(sent);
        moved.received_bytes = moved.received_bytes.saturating_add(received);
    }

    fn deadline(&self) -> Instant {
        let moved = *self.moved.lock().unwrap_or_else(PoisonError::into_inner);
        match self.pace {
            Pace::Message => {
                let bytes = moved.sent_bytes.saturating_add(moved.received_bytes);
                self.start + self.patience.message + time_for(bytes)
            }
            // Once bytes come back, nothing of ours is under way any more.
            Pace::Idle if moved.received_bytes > 0 => moved.last + self.patience.idle,
            Pace::Idle => {
                let under_way = moved.sent_bytes.min(SOCKET_BUFFER_BYTES);
                moved.last + self.patience.idle + time_for(under_way)
            }
        }
    }

    async fn limit<T>(&self, work: impl Future<Output = reqwest::Result<T>>) -> Result<T, Failed> {
        let mut work = pin!(work);
        loop {
            let deadline = self.deadline();
            match timeout_at(deadline, &mut work).await {
                Ok(done) => return done.map_err(|error| Failed::of(&error)),
                Err(_) if self.deadline() <= deadline => return Err(Failed::NoAnswer),
                Err(_) => {}
            }
        }
    }
}

/// Why an exchange came to nothing.
enum Failed {
    /// The connection ended under it: another one may carry it at once.
    BrokeOff,
    /// In its time.
    NoAnswer,
    Other(HubError),
}

impl Failed {
    fn of(error: &reqwest::Error) -> Self {
        match without_content(error) {
            HubError::Unreachable
                if error.is_request() && !error.is_connect() && !error.is_timeout() =>
            {
                Self::BrokeOff
            }
            other => Self::Other(other),
        }
    }
}

impl From<Failed> for HubError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::BrokeOff | Failed::NoAnswer => Self::Unreachable,
            Failed::Other(error) => error,
        }
    }
}

/// A good answer of the hub, its body still to be read.
pub(super) struct Answer {
    response: Response,
    clock: Arc<Clock>,
}

impl Answer {
    pub fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    pub fn number(&self, name: &str) -> Option<u64> {
        number(self.response.headers(), name)
    }

    /// The next bytes of the body; none at its end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, HubError> {
        let bytes = self.clock.limit(self.response.chunk()).await?;
        self.clock.count(0, bytes.as_ref().map_or(0, Bytes::len));
        Ok(bytes)
    }

    /// The whole body, whatever length it declares; beyond the cap it isn't the hub's.
    pub async fn whole(mut self, cap_bytes: usize) -> Result<Vec<u8>, HubError> {
        let mut body = Vec::new();
        while let Some(bytes) = self.next().await? {
            if body.len() + bytes.len() > cap_bytes {
                return Err(HubError::NotTheHub);
            }
            body.extend_from_slice(&bytes);
        }
        Ok(body)
    }

    pub async fn decode<T: for<'b> Decode<'b, ()>>(self) -> Result<T, HubError> {
        let body = self.whole(MAX_MESSAGE_BYTES).await?;
        cbor::decode(&body).map_err(|_| HubError::NotTheHub)
    }

    /// For answers that say all by their status: read, so that the connection can be used again.
    pub async fn empty(self) -> Result<(), HubError> {
        self.whole(MAX_MESSAGE_BYTES).await.map(drop)
    }
}

/// A hub's address, before a login. Cheap to clone; clones share connections and the meter.
#[derive(Clone)]
pub struct HttpDoor {
    client: Client,
    base: Url,
    patience: Patience,
    meter: Arc<TrafficMeter>,
}

impl HttpDoor {
    /// A door at `https://…`, or at `http://…` on this machine. A path is kept as a prefix.
    /// Nothing is sent yet.
    ///
    /// # Errors
    /// [`BadDoor`], when the address or the certificate isn't one.
    pub fn new(base_url: &str, trust: &Trust) -> Result<Self, BadDoor> {
        Self::with_patience(base_url, trust, Patience::USUAL)
    }

    pub(super) fn with_patience(
        base_url: &str,
        trust: &Trust,
        patience: Patience,
    ) -> Result<Self, BadDoor> {
        if base_url.len() > MAX_ADDRESS_BYTES {
            return Err(BadDoor::Address);
        }
        let mut base = Url::parse(base_url.trim()).map_err(|_| BadDoor::Address)?;
        let here = match base.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(ip)) => IpAddr::V4(ip).is_loopback(),
            Some(Host::Ipv6(ip)) => IpAddr::V6(ip).is_loopback(),
            None => return Err(BadDoor::Address),
        };
        // Without TLS anyone on the way could take the login's token.
        let tls = match base.scheme() {
            "https" => tls::client_config(trust)?,
            "http" if here => tls::without_tls()?,
            _ => return Err(BadDoor::Address),
        };
        let extra = base.query().is_some() || base.fragment().is_some();
        if extra || !base.username().is_empty() || base.password().is_some() {
            return Err(BadDoor::Address);
        }
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        let builder = Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(redirect::Policy::none())
            .referer(false)
            .connect_timeout(CONNECT)
            .pool_idle_timeout(KEEP_IDLE)
            .http2_adaptive_window(true)
            .http2_keep_alive_interval(PING_AFTER)
            .http2_keep_alive_timeout(PING_PATIENCE);
        #[cfg(any(target_os = "android", target_os = "linux"))]
        let builder = builder.tcp_user_timeout(PING_AFTER + PING_PATIENCE);
        let builder = if here { builder.no_proxy() } else { builder };
        let client = builder.build().map_err(|_| BadDoor::Tls)?;
        Ok(Self {
            client,
            base,
            patience,
            meter: Arc::default(),
        })
    }

    /// The whole address of a path at this hub.
    pub(super) fn address(&self, path: &str) -> Result<String, HubError> {
        let url = self.base.join(path);
        url.map(String::from)
            .map_err(|_| HubError::Refused(RefusalCode::Form))
    }

    /// What went through this door and its clones.
    pub fn meter(&self) -> Arc<TrafficMeter> {
        Arc::clone(&self.meter)
    }

    /// Sends a request; anything but a good answer of the hub is an error. Once more over a new
    /// connection if the one it went out on turns out to have ended: networks drop idle ones
    /// without a word, and every request can be repeated. Large ones aren't: part of them may have
    /// come, and who knows how much sends the rest.
    pub(super) async fn send(
        &self,
        ask: &Ask,
        bearer: Option<&HeaderValue>,
    ) -> Result<Answer, HubError> {
        let answer = match self.send_once(ask, bearer).await {
            Err(Failed::BrokeOff) if ask.body.len() <= MAX_AGAIN_BYTES => {
                self.send_once(ask, bearer).await?
            }
            answer => answer?,
        };
        if answer.header("kolonne-hub") != Some("1") {
            return Err(HubError::NotTheHub);
        }
        if answer.response.status().is_success() {
            Ok(answer)
        } else {
            Err(refusal(answer).await)
        }
    }

    async fn send_once(&self, ask: &Ask, bearer: Option<&HeaderValue>) -> Result<Answer, Failed> {
        let form = HubError::Refused(RefusalCode::Form);
        let url = self.base.join(&ask.path);
        let url = url.map_err(|_| Failed::Other(form))?;
        let mut request = self.client.request(ask.method.clone(), url);
        for (name, value) in &ask.headers {
            request = request.header(*name, value);
        }
        if let Some(bearer) = bearer {
            request = request.header(AUTHORIZATION, bearer);
        }
        let clock = Arc::new(Clock::new(ask.pace, self.patience, self.meter()));
        if !ask.body.is_empty() {
            request = request
                .header(CONTENT_LENGTH, ask.body.len())
                .body(in_chunks(ask.body.clone(), Arc::clone(&clock)));
        }
        let response = clock.limit(request.send()).await?;
        clock.count(0, 0);
        Ok(Answer { response, clock })
    }

    pub(super) async fn exchange<T: for<'b> Decode<'b, ()>>(
        &self,
        path: &str,
        message: &impl Encode<()>,
    ) -> Result<T, HubError> {
        self.send(&Ask::message(path, message)?, None)
            .await?
            .decode()
            .await
    }
}

/// The body in pieces, so that the clock sees them go.
fn in_chunks(body: Bytes, clock: Arc<Clock>) -> Body {
    let starts = (0..body.len()).step_by(CHUNK_BYTES);
    Body::wrap_stream(stream::iter(starts.map(move |start| {
        let chunk = body.slice(start..body.len().min(start + CHUNK_BYTES));
        clock.count(chunk.len(), 0);
        Ok::<_, std::convert::Infallible>(chunk)
    })))
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    let digits = headers.get(name)?.to_str().ok()?;
    digits
        .bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| digits.parse().ok())?
}

async fn refusal(answer: Answer) -> HubError {
    let headers = answer.response.headers();
    match answer.response.status() {
        StatusCode::BAD_REQUEST => {
            HubError::Refused(answer.decode().await.unwrap_or(RefusalCode::Form))
        }
        StatusCode::UNAUTHORIZED => HubError::LoginNeeded,
        StatusCode::FORBIDDEN => HubError::NotAllowed,
        StatusCode::NOT_FOUND => HubError::NotThere,
        StatusCode::CONFLICT => number(headers, "upload-offset")
            .map_or(HubError::RosterMoved, |offset_bytes| {
                HubError::OtherOffset { offset_bytes }
            }),
        StatusCode::GONE => HubError::OtherEpoch,
        StatusCode::PAYLOAD_TOO_LARGE => HubError::TooLarge,
        status if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() => {
            let seconds = || number(headers, RETRY_AFTER.as_str()).map(|s| s.saturating_mul(1000));
            let asked = number(headers, "retry-after-ms").or_else(seconds);
            let retry_after_ms = asked
                .unwrap_or(DEFAULT_RETRY_AFTER_MS)
                .min(MAX_RETRY_AFTER_MS);
            HubError::NotNow { retry_after_ms }
        }
        status if status.is_client_error() => HubError::Refused(RefusalCode::Form),
        _ => HubError::NotTheHub,
    }
}

/// A certificate of someone else, or no TLS at all, is no hub's; all else is a bad connection.
fn without_content(error: &reqwest::Error) -> HubError {
    let mut next = error.source();
    while let Some(mut cause) = next {
        // An I/O error doesn't name what it wraps as its source.
        while let Some(inner) = cause
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
        {
            cause = inner;
        }
        match cause.downcast_ref() {
            Some(
                rustls::Error::InvalidCertificate(_)
                | rustls::Error::InvalidMessage(_)
                | rustls::Error::NoCertificatesPresented,
            ) => return HubError::NotTheHub,
            _ => next = cause.source(),
        }
    }
    HubError::Unreachable
}

impl Door for HttpDoor {
    async fn hello(&self) -> Result<Hello, HubError> {
        self.send(&Ask::bare(Method::GET, "v1/hello"), None)
            .await?
            .decode()
            .await
    }

    async fn found(&self, founding: Founding) -> Result<(), HubError> {
        self.send(&Ask::message("v1/found", &founding)?, None)
            .await?
            .empty()
            .await
    }

    async fn put_mail(&self, mail: Mail) -> Result<(), HubError> {
        if mail.message.len() > MAX_MAIL_BYTES {
            return Err(HubError::TooLarge);
        }
        self.send(&Ask::message("v1/mail/put", &mail)?, None)
            .await?
            .empty()
            .await
    }

    async fn mail(&self, at: MailAt) -> Result<Vec<u8>, HubError> {
        self.send(&Ask::message("v1/mail/get", &at)?, None)
            .await?
            .whole(MAX_MAIL_BYTES)
            .await
    }
}
