//! The page's program: one device's core behind routes on 127.0.0.1.
//!
//! It maps records to what the page asks (`page/src/lib/API.md`) and adds no rule of its own. It
//! listens on this computer only, and no request without this start's token reaches the core.

mod api;
mod assets;
mod erasing;
mod events;
mod files;
mod invites;
mod new_hub;
mod problem;
mod rights;
mod safety;
mod seats;
mod session;
mod shapes;
mod standing;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use kolonne_core::Kolonne;
use kolonne_model::ids::SeatId;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, broadcast};
use tokio_util::sync::CancellationToken;

use self::problem::{Answer, Problem};
use self::session::Session;
use crate::failure::{Failure, Outcome};

pub use self::assets::{favicon, headers as page_headers};
pub use self::session::Session as PageSession;
pub use self::shapes::Surface;

/// Largest file in bytes, as the core takes it.
pub const MAX_DOCUMENT_BYTES: usize = 100_000_000;
/// How often seats that nobody uses are looked for.
const IDLE_LOOK: Duration = Duration::from_secs(15);
/// How long open requests may finish at the end.
const DRAIN: Duration = Duration::from_secs(3);
/// Files taken at once; the others wait before they are read.
const UPLOADS: usize = 2;

/// Whether the page has a switch for flight mode: only the demo's phones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlightSwitch {
    /// It has.
    Present,
    /// It hasn't.
    Absent,
}

/// One device's page.
pub struct Page {
    kolonne: Kolonne,
    surface: Surface,
    flight: FlightSwitch,
    session: Session,
    active: Mutex<Option<SeatId>>,
    invites: invites::Invites,
    own_changes: broadcast::Sender<String>,
    version: AtomicU64,
    uploads: Semaphore,
    backup: safety::Backup,
    stop: CancellationToken,
}

impl Page {
    /// A page for a device, with a fresh token, at the place where it listens.
    pub fn new(
        kolonne: Kolonne,
        surface: Surface,
        flight: FlightSwitch,
        listener: &TcpListener,
        stop: CancellationToken,
    ) -> Outcome<Arc<Self>> {
        let session = Session::new(listener.local_addr()?.port())?;
        safety::tidy(kolonne.dir());
        let first = kolonne.me()?.seats.first().map(|seat| seat.seat);
        let (own_changes, _) = broadcast::channel(64);
        Ok(Arc::new(Self {
            kolonne,
            surface,
            flight,
            session,
            active: Mutex::new(first),
            invites: invites::Invites::default(),
            own_changes,
            version: AtomicU64::new(1),
            uploads: Semaphore::new(UPLOADS),
            backup: safety::Backup::default(),
            stop,
        }))
    }

    /// The address to open.
    pub fn url(&self) -> String {
        self.session.url()
    }

    /// Lets one of the device's people write.
    pub fn take_seat(&self, seat: &SeatId) -> Result<(), Failure> {
        self.own_seat(seat)?;
        self.sit(Some(*seat));
        self.tell("everything");
        Ok(())
    }

    fn sit(&self, seat: Option<SeatId>) {
        *self.active.lock().unwrap_or_else(PoisonError::into_inner) = seat;
    }

    fn own_seat(&self, seat: &SeatId) -> Result<(), Failure> {
        let seats = self.kolonne.me()?.seats;
        if seats.iter().any(|known| known.seat == *seat) {
            Ok(())
        } else {
            Err(Failure::new("not_found.seat"))
        }
    }

    /// Who wrote, as the page showed it then: a switch meanwhile makes nobody else the author.
    fn writer(&self, seat: &str) -> Answer<SeatId> {
        let seat: SeatId = seat.parse().map_err(|_| Problem::not_found("seat"))?;
        self.own_seat(&seat)
            .map_err(|_| Problem::not_found("seat"))?;
        Ok(seat)
    }

    fn seat(&self) -> Answer<SeatId> {
        let active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        active.ok_or_else(|| Problem::not_found("seat"))
    }

    /// Nobody listening is fine.
    fn tell(&self, key: &str) {
        drop(self.own_changes.send(key.to_owned()));
    }
}

/// Every route, behind the checks.
pub fn router(page: Arc<Page>) -> Router {
    Router::new()
        .route("/", get(assets::index))
        .route("/index.html", get(assets::index))
        .route("/favicon.svg", get(assets::favicon))
        .route("/assets/{name}", get(assets::asset))
        .route("/api/me", get(api::me))
        .route("/api/devices/{id}/end", post(rights::end_device))
        .route("/api/people/{id}/end", post(rights::end_person))
        .route("/api/people/{id}/role", post(rights::set_role))
        .route("/api/roster", get(rights::history))
        .route("/api/threads/{id}/kept-back", get(rights::kept_back))
        .route("/api/threads/{id}/admit", post(rights::admit))
        .route("/api/hub", get(new_hub::hub))
        .route("/api/hub/certify", post(new_hub::certify))
        .route("/api/hub/address", post(new_hub::address))
        .route("/api/threads/{id}/erase", post(erasing::erase))
        .route("/api/erasures", get(erasing::erasures))
        .route("/api/key-complaints", get(erasing::key_complaints))
        .route("/api/direct", post(erasing::direct))
        .route("/api/seat", post(seats::sit))
        .route("/api/seat/pin", post(seats::set_pin))
        .route("/api/pin/check", post(seats::check_pin))
        .route("/api/seat/used", post(seats::used))
        .route("/api/seat/forgotten", post(seats::forgotten))
        .route("/api/lock", post(seats::lock))
        .route(
            "/api/auto-lock",
            get(seats::auto_lock).post(seats::set_auto_lock),
        )
        .route("/api/seats/{id}/unlock", post(seats::unlock))
        .route("/api/seats/{id}/renew", post(seats::renew))
        .route("/api/kit/check", post(safety::check_kit))
        .route("/api/backup", get(safety::state).post(safety::begin))
        .route("/api/backup/file", get(safety::file))
        .route("/api/flight", post(api::flight))
        .route("/api/sync", post(api::sync))
        .route("/api/events", get(events::events))
        .route("/api/threads", get(api::threads))
        .route("/api/jobs", post(api::open_job))
        .route("/api/threads/{id}", get(api::thread).patch(api::set_job))
        .route("/api/threads/{id}/members", post(api::members))
        .route(
            "/api/threads/{id}/entries",
            get(api::entries).post(api::say),
        )
        .route("/api/threads/{id}/files", post(files::send))
        .route("/api/threads/{id}/sealed", post(files::seal))
        .route("/api/threads/{id}/read", post(api::read))
        .route("/api/entries/{id}/caption", post(api::caption))
        .route("/api/entries/{id}/retract", post(api::retract))
        .route("/api/entries/{id}/seal-again", post(api::seal_again))
        .route("/media/{entry}/{part}", get(files::media))
        .route("/api/stuck", get(standing::stuck))
        .route("/api/stuck/{id}/retry", post(standing::retry))
        .route("/api/stuck/{id}/file", get(standing::file))
        .route("/api/stuck/{id}/discard", post(standing::discard))
        .route("/api/alarms/put-away", post(standing::put_away))
        .route("/api/hand-back", get(standing::hand_back))
        .route("/api/people", get(api::people))
        .route("/api/devices", get(api::devices))
        .route("/api/invites", post(invites::create))
        .route(
            "/api/invites/{id}",
            get(invites::show).delete(invites::forget),
        )
        .route("/api/invites/{id}/admit", post(invites::admit))
        .fallback(|| async { Problem::not_found("page") })
        .method_not_allowed_fallback(|| async { Problem::not_found("page") })
        .layer(from_fn_with_state(Arc::clone(&page), guard))
        .with_state(page)
}

/// Before every route: from here, from this page, and with the token.
async fn guard(State(page): State<Arc<Page>>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let is_page =
        matches!(path, "/" | "/index.html" | "/favicon.svg") || path.starts_with("/assets/");
    let checked = if is_page {
        page.session.check_origin(request.headers())
    } else {
        page.session.check(request.headers())
    };
    let mut response = match checked {
        Ok(()) => next.run(request).await,
        Err(refusal) => Problem::from(refusal).into_response(),
    };
    let headers = response.headers_mut();
    let fixed = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // Answers that aren't the page may do nothing at all, and are kept nowhere.
    if !headers.contains_key(header::CONTENT_SECURITY_POLICY) {
        let nothing =
            HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; sandbox");
        headers.insert(header::CONTENT_SECURITY_POLICY, nothing);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

/// Serves until `stop`, then lets open requests finish.
pub async fn serve(listener: TcpListener, page: Arc<Page>, stop: CancellationToken) -> Outcome {
    tokio::spawn(lock_idle(page.kolonne.clone(), stop.clone()));
    serve_router(listener, router(page), stop).await
}

/// Locks the seats that nobody uses, while the page is served.
async fn lock_idle(kolonne: Kolonne, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(IDLE_LOOK);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => return,
        }
        let kolonne = kolonne.clone();
        // What can't be read now is looked at with the next tick.
        drop(tokio::task::spawn_blocking(move || kolonne.lock_idle()).await);
    }
}

/// Serves any router until `stop`.
pub async fn serve_router(
    listener: TcpListener,
    router: Router,
    stop: CancellationToken,
) -> Outcome {
    let ended = stop.clone();
    let serving = axum::serve(listener, router)
        .with_graceful_shutdown(async move { ended.cancelled().await });
    tokio::select! {
        served = serving.into_future() => served?,
        () = async { stop.cancelled().await; tokio::time::sleep(DRAIN).await } => {}
    }
    Ok(())
}
