//! The demo's start page: three doors, how far the week is, and what to try. It runs no script and
//! answers only under this computer's own names, since the doors' tokens stand in it.

use std::fmt::Write;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::story::Progress;
use crate::local::{PageSession, favicon, page_headers};

const STYLE: &str = include_str!("start.css");
const FRAME: &str = include_str!("start.html");
const CSP: &str = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'";

/// A door to a device's page.
pub struct Door {
    /// What is written on it.
    pub name: &'static str,
    /// Who is behind it.
    pub about: &'static str,
    /// Where it leads.
    pub url: String,
}

/// What the start page knows.
pub struct Start {
    session: PageSession,
    doors: OnceLock<Vec<Door>>,
    failed: RwLock<Option<&'static str>>,
    progress: Arc<Progress>,
}

impl Start {
    /// Before anything is there.
    pub fn new(session: PageSession, progress: Arc<Progress>) -> Arc<Self> {
        Arc::new(Self {
            session,
            doors: OnceLock::new(),
            failed: RwLock::new(None),
            progress,
        })
    }

    /// Shows the doors.
    pub fn open(&self, doors: Vec<Door>) {
        // Opened once; a second time would be the same doors.
        let _ = self.doors.set(doors);
    }

    /// Says why the week isn't complete.
    pub fn fail(&self, said: &'static str) {
        *self.failed.write().unwrap_or_else(PoisonError::into_inner) = Some(said);
    }

    fn html(&self) -> String {
        let (mut doors, mut status) = (String::new(), String::new());
        let done = self.progress.done.load(Ordering::Relaxed);
        let all = self.progress.all.load(Ordering::Relaxed);
        let mut waits = true;
        match self.doors.get() {
            None => status.push_str("Der Betrieb wird gegründet, die Handys werden aufgenommen …"),
            Some(open) => {
                for Door { name, about, url } in open {
                    // Writing to a String cannot fail.
                    let _ = write!(
                        doors,
                        "<a class=\"door\" href=\"{url}\" target=\"_blank\" rel=\"noopener\">\
                         <strong>{name}</strong><span>{about}</span></a>"
                    );
                }
                if all == 0 || done < all {
                    let _ = write!(status, "Die Woche läuft ein: {done} von {all} Einträgen.");
                } else {
                    status.push_str("Die ganze Woche ist da.");
                    waits = false;
                }
            }
        }
        if let Some(said) = *self.failed.read().unwrap_or_else(PoisonError::into_inner) {
            said.clone_into(&mut status);
            waits = false;
        }
        let refresh = if waits {
            "<meta http-equiv=\"refresh\" content=\"1\">"
        } else {
            ""
        };
        FRAME
            .replace("{refresh}", refresh)
            .replace("{doors}", &doors)
            .replace("{status}", &status)
    }
}

async fn guard(State(start): State<Arc<Start>>, request: Request, next: Next) -> Response {
    if start.session.check_origin(request.headers()).is_err() {
        return StatusCode::FORBIDDEN.into_response();
    }
    next.run(request).await
}

async fn index(State(start): State<Arc<Start>>) -> Response {
    let mut response = (page_headers("text/html; charset=utf-8"), start.html()).into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(CSP),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn style() -> Response {
    (page_headers("text/css; charset=utf-8"), STYLE).into_response()
}

/// The start page's routes.
pub fn router(start: Arc<Start>) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/start.css", get(style))
        .route("/favicon.svg", get(favicon))
        .layer(from_fn_with_state(Arc::clone(&start), guard))
        .with_state(start)
}
