//! An error as the page gets it: a stable code, a status, whole sentences in both languages.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use kolonne_core::Error;
use serde::Serialize;

use super::session::Refusal;
use crate::texts::{Text, text};

/// What the page says when something didn't work.
#[derive(Debug, Clone, Serialize)]
pub struct Problem {
    #[serde(skip)]
    status: StatusCode,
    code: &'static str,
    message_de: &'static str,
    message_en: &'static str,
    field: Option<&'static str>,
    /// Of a seat's PIN, where that is what was wrong.
    tries_left: Option<u32>,
    /// Of a recovery kit: the first group that has a typo.
    wrong_group: Option<usize>,
}

/// What a route answers.
pub type Answer<T> = Result<T, Problem>;

impl Problem {
    /// By the page's code and the message's.
    fn new(status: StatusCode, code: &'static str, said: &Text) -> Self {
        Self {
            status,
            code,
            message_de: said.de,
            message_en: said.en,
            field: None,
            tries_left: None,
            wrong_group: None,
        }
    }

    /// With how many wrong PINs are left.
    pub fn with_tries_left(self, tries_left: u32) -> Self {
        Self {
            tries_left: Some(tries_left),
            ..self
        }
    }

    /// With the group that has a typo.
    pub fn with_group(self, number: usize) -> Self {
        Self {
            wrong_group: Some(number),
            ..self
        }
    }

    /// Something that isn't here.
    pub fn not_found(what: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not_found",
            text(&format!("not_found.{what}")),
        )
    }

    /// A field that can't be used.
    pub fn invalid(field: &'static str) -> Self {
        let said = text(&format!("invalid.{field}"));
        Self {
            field: Some(field),
            ..Self::new(StatusCode::BAD_REQUEST, "invalid", said)
        }
    }

    /// A file or request over its limit.
    pub fn too_big() -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_big",
            text("invalid.file.too_large"),
        )
    }

    /// Admitting before the phone has answered.
    pub fn words_early() -> Self {
        let said = text("words_early");
        Self {
            field: Some("words"),
            ..Self::new(StatusCode::BAD_REQUEST, "invalid", said)
        }
    }

    /// What only works with the hub.
    pub fn needs_hub(error: Error) -> Self {
        match error {
            Error::Offline { retry_after_ms: 0 } => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "offline",
                text("offline_now"),
            ),
            other => other.into(),
        }
    }

    /// Why an entry is stuck, by the core's code.
    pub fn of_stuck(code: &str) -> Self {
        Self::new(StatusCode::OK, "stuck", text(&format!("stuck.{code}")))
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal {
            Refusal::Token => StatusCode::UNAUTHORIZED,
            Refusal::Origin => StatusCode::FORBIDDEN,
        };
        Self::new(status, refusal.code(), text(refusal.code()))
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let (status, code) = match &error {
            Error::Offline { .. } | Error::Foreign => (StatusCode::SERVICE_UNAVAILABLE, "offline"),
            Error::Busy | Error::Cancelled => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            Error::AuthExpired
            | Error::Locked {
                code: "right" | "author" | "member" | "member_direct" | "office_computer",
            } => (StatusCode::FORBIDDEN, "not_allowed"),
            Error::Locked { code: "pin_again" } => (StatusCode::LOCKED, "pin_again"),
            Error::Locked { .. } => (StatusCode::LOCKED, "locked"),
            Error::StorageFull { .. } => (StatusCode::INSUFFICIENT_STORAGE, "storage_full"),
            Error::Invalid {
                field: "file",
                code: "empty" | "media_empty",
            } => (StatusCode::BAD_REQUEST, "empty_file"),
            Error::Invalid {
                field: "file",
                code: "too_large" | "media_too_large",
            } => (StatusCode::PAYLOAD_TOO_LARGE, "too_big"),
            Error::Invalid { field: "file", .. } => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "bad_file")
            }
            Error::Invalid { .. } => (StatusCode::BAD_REQUEST, "invalid"),
            Error::NotFound { kind: "media" } => (StatusCode::NOT_FOUND, "not_here"),
            Error::NotFound { .. } => (StatusCode::NOT_FOUND, "not_found"),
            Error::UpgradeRequired | Error::RosterStopped { .. } => {
                (StatusCode::UPGRADE_REQUIRED, "upgrade")
            }
            Error::Corrupt | Error::Internal { .. } => {
                (StatusCode::INTERNAL_SERVER_ERROR, "internal")
            }
        };
        let field = match &error {
            Error::Invalid { field, .. } => Some(*field),
            _ => None,
        };
        Self {
            field,
            ..Self::new(status, code, text(&error.code()))
        }
    }
}

impl From<tokio::task::JoinError> for Problem {
    fn from(_: tokio::task::JoinError) -> Self {
        Error::Internal { code: "task" }.into()
    }
}

#[derive(Serialize)]
struct Wrapped {
    error: Problem,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.status, Json(Wrapped { error: self })).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_statuses_are_those_of_the_page() {
        let cases = [
            (
                Error::Invalid {
                    field: "file",
                    code: "media_empty",
                },
                "empty_file",
                400,
            ),
            (
                Error::Invalid {
                    field: "file",
                    code: "media_unsupported",
                },
                "bad_file",
                415,
            ),
            (
                Error::Invalid {
                    field: "file",
                    code: "too_large",
                },
                "too_big",
                413,
            ),
            (
                Error::Invalid {
                    field: "title",
                    code: "empty",
                },
                "invalid",
                400,
            ),
            (Error::NotFound { kind: "media" }, "not_here", 404),
            (Error::NotFound { kind: "thread" }, "not_found", 404),
            (Error::Locked { code: "right" }, "not_allowed", 403),
            (Error::Locked { code: "pin" }, "locked", 423),
            (Error::Locked { code: "pin_again" }, "pin_again", 423),
            (Error::StorageFull { needed_bytes: 0 }, "storage_full", 507),
            (Error::Offline { retry_after_ms: 0 }, "offline", 503),
            (Error::UpgradeRequired, "upgrade", 426),
            (Error::Internal { code: "x" }, "internal", 500),
        ];
        for (error, code, status) in cases {
            let problem = Problem::from(error);
            assert_eq!((problem.code, problem.status.as_u16()), (code, status));
        }
    }
}
