//! The demo's start page: three doors, how far the week is, and what to try. It runs no script and
//! answers only under this computer's own names, since the doors' tokens stand in it.

use std::fmt::Write;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::story::Progress;
use crate::lang::Language;
use crate::local::{PageSession, favicon, page_headers};
use crate::texts::Text;

const STYLE: &str = include_str!("start.css");
const FRAME_DE: &str = include_str!("start.html");
const FRAME_EN: &str = include_str!("start.en.html");
const CSP: &str = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'";

/// A door to a device's page; its words in German and English.
pub struct Door {
    /// What is written on it.
    pub name: [&'static str; 2],
    /// Who is behind it.
    pub about: [&'static str; 2],
    /// Where it leads.
    pub url: String,
}

impl Door {
    /// Its name in a language.
    pub const fn name(&self, language: Language) -> &'static str {
        let [de, en] = self.name;
        language.of(de, en)
    }

    const fn about(&self, language: Language) -> &'static str {
        let [de, en] = self.about;
        language.of(de, en)
    }
}

/// What the start page knows.
pub struct Start {
    session: PageSession,
    doors: OnceLock<Vec<Door>>,
    failed: RwLock<Option<&'static Text>>,
    /// By `--lang`; else as the browser asks.
    language: Option<Language>,
    progress: Arc<Progress>,
}

impl Start {
    /// Before anything is there.
    pub fn new(
        session: PageSession,
        progress: Arc<Progress>,
        language: Option<Language>,
    ) -> Arc<Self> {
        Arc::new(Self {
            session,
            doors: OnceLock::new(),
            failed: RwLock::new(None),
            language,
            progress,
        })
    }

    /// Shows the doors.
    pub fn open(&self, doors: Vec<Door>) {
        // Opened once; a second time would be the same doors.
        let _ = self.doors.set(doors);
    }

    /// Says why the week isn't complete.
    pub fn fail(&self, said: &'static Text) {
        *self.failed.write().unwrap_or_else(PoisonError::into_inner) = Some(said);
    }

    fn html(&self, accepted: Option<&str>) -> String {
        let language = self.language.unwrap_or_else(|| first_of(accepted));
        let (mut doors, mut status) = (String::new(), String::new());
        let done = self.progress.done.load(Ordering::Relaxed);
        let all = self.progress.all.load(Ordering::Relaxed);
        let mut waits = true;
        match self.doors.get() {
            None => status.push_str(language.of(
                "Der Betrieb wird gegründet, die Handys werden aufgenommen …",
                "The company is being founded, the phones are being admitted …",
            )),
            Some(open) => {
                for door in open {
                    let (name, about) = (door.name(language), door.about(language));
                    let url = &door.url;
                    // Writing to a String cannot fail.
                    let _ = write!(
                        doors,
                        "<a class=\"door\" href=\"{url}\" target=\"_blank\" rel=\"noopener\">\
                         <strong>{name}</strong><span>{about}</span></a>"
                    );
                }
                if all == 0 || done < all {
                    let _ = match language {
                        Language::De => {
                            write!(status, "Die Woche läuft ein: {done} von {all} Einträgen.")
                        }
                        Language::En => {
                            write!(status, "The week is coming in: {done} of {all} entries.")
                        }
                    };
                } else {
                    status.push_str(
                        language.of("Die ganze Woche ist da.", "The whole week is there."),
                    );
                    waits = false;
                }
            }
        }
        if let Some(said) = *self.failed.read().unwrap_or_else(PoisonError::into_inner) {
            said.said(language).clone_into(&mut status);
            waits = false;
        }
        let refresh = if waits {
            "<meta http-equiv=\"refresh\" content=\"1\">"
        } else {
            ""
        };
        language
            .of(FRAME_DE, FRAME_EN)
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

/// The first of the two languages that a browser names; else German.
fn first_of(accepted: Option<&str>) -> Language {
    let named = accepted.unwrap_or_default().split(',');
    let mut known = named.filter_map(|language| match language.trim().get(..2)? {
        "de" => Some(Language::De),
        "en" => Some(Language::En),
        _ => None,
    });
    known.next().unwrap_or(Language::De)
}

async fn index(State(start): State<Arc<Start>>, headers: HeaderMap) -> Response {
    let accepted = headers.get(header::ACCEPT_LANGUAGE);
    let html = start.html(accepted.and_then(|value| value.to_str().ok()));
    let mut response = (page_headers("text/html; charset=utf-8"), html).into_response();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_browsers_first_language_counts() {
        assert_eq!(first_of(Some("en-GB,en;q=0.9,de;q=0.8")), Language::En);
        assert_eq!(first_of(Some("fr-FR,de;q=0.7,en;q=0.3")), Language::De);
        assert_eq!(first_of(Some("ü")), Language::De);
        assert_eq!(first_of(None), Language::De);
    }
}
