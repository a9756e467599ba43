//! The page itself, built before and embedded. It needs no token, says nothing of the company, and
//! may run nothing but its own script.

use axum::extract::Path;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rust_embed::RustEmbed;

use super::problem::Problem;

#[derive(RustEmbed)]
#[folder = "page/dist"]
#[allow_missing = true]
struct Dist;

/// What the page may do: run and look like itself, show what it fetched, talk to its program.
pub const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self' blob: data:; media-src blob:; connect-src 'self'; font-src 'none'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The headers of every static file.
pub fn headers(media_type: &'static str) -> [(HeaderName, &'static str); 6] {
    [
        (header::CONTENT_TYPE, media_type),
        (header::CONTENT_SECURITY_POLICY, CSP),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (header::CACHE_CONTROL, "no-cache"),
    ]
}

fn file(name: &str) -> Response {
    // Only names that were embedded at build time exist; a path cannot climb anywhere.
    let Some(file) = Dist::get(name) else {
        return Problem::not_found("page").into_response();
    };
    let media_type = match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    };
    (StatusCode::OK, headers(media_type), file.data.into_owned()).into_response()
}

/// `/` and `/index.html`
pub async fn index() -> Response {
    file("index.html")
}

/// `/favicon.svg`
pub async fn favicon() -> Response {
    file("favicon.svg")
}

/// `/assets/{name}`
pub async fn asset(Path(name): Path<String>) -> Response {
    file(&format!("assets/{name}"))
}
