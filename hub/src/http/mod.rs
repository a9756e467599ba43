//! The hub over HTTP: bodies are CBOR in its one form, errors are a status.
//!
//! Who asks is settled before a body is read; sizes are capped before memory is taken. Logs name
//! routes and statuses, never ids or bodies.

mod blobs;
mod draft;
pub mod limits;
mod serve;
mod turns;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{MatchedPath, Query, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, head, post};
use axum::{Extension, Router};
use bytes::Bytes;
use futures_util::stream;
use http_body_util::BodyExt;
use kolonne_model::cbor;
use kolonne_model::hub::{HubError, MAX_MAIL_BYTES, MAX_MESSAGE_BYTES, RefusalCode};
use kolonne_model::ids::{CompanyId, DeviceId, Hash32};
use minicbor::{Decode, Encode};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::service::HubService;
use limits::{Buckets, Budget, Limits, counted};
pub use serve::{Hub, HubConfig, OpenError, Tls};
use turns::Turns;

/// A client that sends nothing for so long is gone.
const BODY_IDLE: Duration = Duration::from_mins(1);
const KEEP_ALIVE: Duration = Duration::from_secs(25);
const SMALL_BYTES: usize = 4096;
const MARK: HeaderName = HeaderName::from_static("kolonne-hub");
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");

/// Where a request comes from.
#[derive(Debug, Clone, Copy)]
struct Peer(IpAddr);

/// Which device asks.
#[derive(Debug, Clone, Copy)]
struct Caller {
    company: CompanyId,
    device: DeviceId,
}

#[derive(Clone)]
struct App(Arc<Inner>);

struct Inner {
    service: Arc<HubService>,
    addresses: Buckets<IpAddr>,
    strangers: Buckets<IpAddr>,
    devices: Buckets<(CompanyId, DeviceId)>,
    budget: Budget,
    stop: CancellationToken,
    turns: Arc<Turns>,
}

/// An error as an answer.
struct Failed(HubError);

impl From<HubError> for Failed {
    fn from(error: HubError) -> Self {
        Self(error)
    }
}

type Answer = Result<Response, Failed>;

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let status = match &self.0 {
            HubError::Refused(_) => StatusCode::BAD_REQUEST,
            HubError::LoginNeeded => StatusCode::UNAUTHORIZED,
            HubError::NotAllowed => StatusCode::FORBIDDEN,
            HubError::NotThere => StatusCode::NOT_FOUND,
            HubError::RosterMoved | HubError::OtherOffset { .. } => StatusCode::CONFLICT,
            HubError::OtherEpoch => StatusCode::GONE,
            HubError::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            HubError::NotNow { .. }
            | HubError::Unreachable
            | HubError::NotTheHub
            | HubError::OtherKey => StatusCode::SERVICE_UNAVAILABLE,
        };
        let mut response = match &self.0 {
            HubError::Refused(code) => (status, message(code)).into_response(),
            _ => status.into_response(),
        };
        let headers = response.headers_mut();
        match self.0 {
            HubError::OtherOffset { offset_bytes } => {
                headers.insert(UPLOAD_OFFSET, offset_bytes.into());
            }
            HubError::NotNow { retry_after_ms } => {
                headers.insert(RETRY_AFTER_MS, retry_after_ms.into());
                headers.insert(header::RETRY_AFTER, retry_after_ms.div_ceil(1000).into());
            }
            _ => {}
        }
        response
    }
}

const FORM: Failed = Failed(HubError::Refused(RefusalCode::Form));

fn message<T: Encode<()>>(value: &T) -> Response {
    let cbor = HeaderValue::from_static("application/cbor");
    ([(header::CONTENT_TYPE, cbor)], cbor::encode(value)).into_response()
}

impl App {
    /// Runs a call of the service where blocking is fine.
    async fn run<T: Send + 'static>(
        &self,
        call: impl FnOnce(&HubService) -> Result<T, HubError> + Send + 'static,
    ) -> Result<T, Failed> {
        let service = self.0.service.clone();
        tokio::task::spawn_blocking(move || call(&service))
            .await
            .unwrap_or(Err(HubError::NotNow {
                retry_after_ms: 1000,
            }))
            .map_err(Failed)
    }

    /// Reads a whole body within its limit and the budget.
    async fn body(&self, headers: &HeaderMap, body: Body, max: usize) -> Result<Vec<u8>, Failed> {
        let declared = number(headers, &header::CONTENT_LENGTH)?;
        let declared = declared.map(|n| usize::try_from(n).unwrap_or(usize::MAX));
        if declared.is_some_and(|n| n > max) {
            return Err(HubError::TooLarge.into());
        }
        let _room = self.0.budget.room(declared.unwrap_or(max))?;
        let mut body = body;
        let mut bytes = Vec::with_capacity(declared.unwrap_or_default());
        while let Some(chunk) = next_chunk(&mut body).await? {
            if bytes.len() + chunk.len() > max {
                return Err(HubError::TooLarge.into());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    /// Reads a message, lets the service answer it.
    async fn answer<M, A>(
        &self,
        request: Request,
        max: usize,
        call: impl FnOnce(&HubService, M) -> Result<A, HubError> + Send + 'static,
    ) -> Answer
    where
        M: for<'b> Decode<'b, ()> + Send + 'static,
        A: Encode<()> + Send + 'static,
    {
        let (parts, body) = request.into_parts();
        let bytes = self.body(&parts.headers, body, max).await?;
        let answer = self
            .run(move |service| {
                let asked =
                    cbor::decode(&bytes).map_err(|_| HubError::Refused(RefusalCode::Form))?;
                drop(bytes);
                call(service, asked)
            })
            .await?;
        Ok(message(&answer))
    }
}

/// The next bytes of a body; an error when it breaks off or falls silent.
async fn next_chunk(body: &mut Body) -> Result<Option<Bytes>, Failed> {
    loop {
        let frame = tokio::time::timeout(BODY_IDLE, body.frame()).await;
        match frame.map_err(|_| HubError::Unreachable)? {
            None => return Ok(None),
            Some(Err(_)) => return Err(HubError::Unreachable.into()),
            Some(Ok(frame)) => {
                if let Ok(bytes) = frame.into_data()
                    && !bytes.is_empty()
                {
                    return Ok(Some(bytes));
                }
            }
        }
    }
}

/// A header that is a number; another value is no message of ours.
fn number(headers: &HeaderMap, name: &HeaderName) -> Result<Option<u64>, Failed> {
    let Some(value) = headers.get(name) else {
        return Ok(None);
    };
    value
        .to_str()
        .ok()
        .and_then(|v| v.parse().ok())
        .map(Some)
        .ok_or(FORM)
}

fn router(service: Arc<HubService>, limits: &Limits, stop: CancellationToken) -> Router {
    let app = App(Arc::new(Inner {
        service,
        addresses: Buckets::new(limits.address),
        strangers: Buckets::new(limits.stranger),
        devices: Buckets::new(limits.device),
        budget: Budget::new(limits.body_bytes),
        stop,
        turns: Arc::default(),
    }));
    let strangers = Router::new()
        .route("/v1/hello", get(hello))
        .route("/v1/found", post(found))
        .route("/v1/login/start", post(login_start))
        .route("/v1/login", post(login))
        .route("/v1/mail/put", post(mail_put))
        .route("/v1/mail/get", post(mail_get))
        .layer(from_fn_with_state(app.clone(), limit_strangers));
    let devices = Router::new()
        .route("/v1/push", post(push))
        .route("/v1/pull", post(pull))
        .route("/v1/fetch", post(fetch))
        .route("/v1/heads", post(heads))
        .route("/v1/last-ops", post(last_ops))
        .route("/v1/roster", post(roster))
        .route("/v1/roster/append", post(append_roster))
        .route("/v1/mail/open", post(mail_open))
        .route("/v1/wake", get(wake))
        .route("/v1/blobs", post(blobs::create))
        .route("/v1/blobs/prove", post(blobs::prove))
        .route("/v1/blobs/{blob}", get(blobs::download))
        .route(
            "/v1/uploads/{name}",
            head(blobs::offset)
                .patch(blobs::append)
                .delete(blobs::cancel),
        )
        .layer(from_fn_with_state(app.clone(), log_in));
    Router::new()
        .merge(strangers)
        .merge(devices)
        .route("/healthz", get(healthz))
        .fallback(any(|| async { Failed(HubError::NotThere) }))
        .layer(from_fn_with_state(app.clone(), accompany))
        .with_state(app)
}

/// Around every request: the address's limit, the hub's mark on the answer, a line in the log.
async fn accompany(
    State(app): State<App>,
    peer: Extension<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let begun = Instant::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let now_ms = app.0.service.now_ms();
    let mut response = match app.0.addresses.take(counted(peer.0.0), now_ms) {
        Ok(()) => next.run(request).await,
        Err(error) => Failed(error).into_response(),
    };
    response
        .headers_mut()
        .insert(MARK, HeaderValue::from_static("1"));
    tracing::debug!(
        %method,
        route = route.as_ref().map_or("-", MatchedPath::as_str),
        status = response.status().as_u16(),
        took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        "request"
    );
    response
}

async fn limit_strangers(
    State(app): State<App>,
    peer: Extension<Peer>,
    request: Request,
    next: Next,
) -> Answer {
    // A greeting costs nothing; phones look for captive portals with it.
    if request.method() != Method::GET {
        app.0
            .strangers
            .take(counted(peer.0.0), app.0.service.now_ms())?;
    }
    Ok(next.run(request).await)
}

async fn log_in(State(app): State<App>, mut request: Request, next: Next) -> Answer {
    let token: Hash32 = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer ")?.parse().ok())
        .ok_or(HubError::LoginNeeded)?;
    let (company, device) = app.run(move |service| service.session(&token)).await?;
    app.0
        .devices
        .take((company, device), app.0.service.now_ms())?;
    request.extensions_mut().insert(Caller { company, device });
    Ok(next.run(request).await)
}

async fn healthz(State(app): State<App>) -> Response {
    let healthy = app
        .run(|service| Ok(service.is_healthy()))
        .await
        .unwrap_or(false);
    let status = if healthy {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (
        status,
        if healthy {
            "ok\n"
        } else {
            "storage does not answer or is full\n"
        },
    )
        .into_response()
}

async fn hello(State(app): State<App>) -> Response {
    message(&app.0.service.hello())
}

async fn found(State(app): State<App>, request: Request) -> Answer {
    app.answer(request, MAX_MESSAGE_BYTES, |hub, founding| {
        hub.found(&founding)
    })
    .await?;
    Ok(StatusCode::OK.into_response())
}

async fn login_start(State(app): State<App>, request: Request) -> Answer {
    app.answer(request, SMALL_BYTES, |hub, start| {
        Ok(hub.login_start(&start))
    })
    .await
}

async fn login(State(app): State<App>, request: Request) -> Answer {
    app.answer(request, SMALL_BYTES, |hub, login| hub.login(&login))
        .await
}

async fn mail_put(State(app): State<App>, request: Request) -> Answer {
    app.answer(request, MAX_MAIL_BYTES + SMALL_BYTES, HubService::put_mail)
        .await?;
    Ok(StatusCode::OK.into_response())
}

async fn mail_get(State(app): State<App>, request: Request) -> Answer {
    let (parts, body) = request.into_parts();
    let bytes = app.body(&parts.headers, body, SMALL_BYTES).await?;
    let at = cbor::decode(&bytes).map_err(|_| FORM)?;
    let mail = app.run(move |hub| hub.mail(&at)).await?;
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], mail).into_response())
}

async fn mail_open(State(app): State<App>, who: Extension<Caller>, request: Request) -> Answer {
    let Caller { company, device } = who.0;
    app.answer(
        request,
        SMALL_BYTES,
        move |hub, at: kolonne_model::hub::MailAt| hub.open_mailbox(company, &device, at.mailbox),
    )
    .await?;
    Ok(StatusCode::OK.into_response())
}

macro_rules! calls {
    ($($name:ident),*) => {$(
        async fn $name(State(app): State<App>, who: Extension<Caller>, request: Request) -> Answer {
            let Caller { company, device } = who.0;
            app.answer(request, MAX_MESSAGE_BYTES, move |hub, asked| {
                hub.$name(company, &device, &asked)
            })
            .await
        }
    )*};
}
calls!(push, pull, fetch, heads, last_ops, roster);

async fn append_roster(State(app): State<App>, who: Extension<Caller>, request: Request) -> Answer {
    let Caller { company, device } = who.0;
    app.answer(request, MAX_MESSAGE_BYTES, move |hub, append| {
        hub.append_roster(company, &device, &append)
    })
    .await?;
    Ok(StatusCode::OK.into_response())
}

#[derive(Deserialize)]
struct After {
    after: u64,
}

/// Events with the company's sequence; no data travels on it.
async fn wake(
    State(app): State<App>,
    who: Extension<Caller>,
    Query(After { after }): Query<After>,
) -> Answer {
    let Caller { company, device } = who.0;
    let (receiver, now) = app.run(move |hub| hub.watch(company, &device)).await?;
    let stop = app.0.stop.clone();
    let first = (now > after).then_some(now);
    let told = first.unwrap_or(after);
    let first = stream::iter(first.map(|seq| Ok(event(seq))));
    let rest = stream::unfold(
        (receiver, told, stop),
        async |(mut receiver, told, stop)| {
            let next = tokio::select! {
                () = stop.cancelled() => None,
                changed = receiver.wait_for(|seq| *seq > told) => changed.ok().map(|seq| Some(*seq)),
                () = tokio::time::sleep(KEEP_ALIVE) => Some(None),
            };
            let bytes = next?.map_or(Bytes::from_static(b":\n\n"), event);
            Some((Ok(bytes), (receiver, next?.unwrap_or(told), stop)))
        },
    );
    let events: Body = Body::from_stream(futures_util::StreamExt::chain::<
        stream::BoxStream<'static, Result<Bytes, std::convert::Infallible>>,
    >(first, Box::pin(rest)));
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, events).into_response())
}

fn event(seq: u64) -> Bytes {
    Bytes::from(format!("data: {seq}\n\n"))
}
