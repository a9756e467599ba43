//! The one error of the engine, named by what the caller can do about it.
//!
//! Codes are stable. No field ever holds content: no text, no name, no path, no address.

use crate::blobs::BlobError;
use crate::crypt::CryptError;
use crate::media::MediaError;
use crate::points::DiskFull;
use kolonne_model::hub::{HubError, RefusalCode};

/// A stable code, for texts and tests.
pub type ErrorCode = &'static str;

/// What went wrong, by what the caller can do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The hub isn't reached, or takes nothing just now; it goes on by itself.
    #[error("offline")]
    Offline {
        /// When to try again, ms: the hub said so; 0: it isn't reached.
        retry_after_ms: u64,
    },
    /// Something else than the hub answers at its address; it goes on by itself.
    #[error("someone else answers")]
    Foreign,
    /// Something else holds the store; try again.
    #[error("busy")]
    Busy,
    /// The caller stopped it.
    #[error("cancelled")]
    Cancelled,
    /// The hub no longer takes this device.
    #[error("access has ended")]
    AuthExpired,
    /// Rights or a PIN are missing.
    #[error("locked: {code}")]
    Locked {
        /// `right`, `seat`, `pin`.
        code: ErrorCode,
    },
    /// The disk is full. What was *gesichert* before is safe.
    #[error("storage is full")]
    StorageFull {
        /// About how much is needed.
        needed_bytes: u64,
    },
    /// The caller's value can't be used.
    #[error("invalid {field}: {code}")]
    Invalid {
        /// Which value.
        field: &'static str,
        /// `empty`, `too_large`, `unsupported`, `corrupt`, `unknown`, `spent`, `other_hub`…
        code: ErrorCode,
    },
    /// No such thing here.
    #[error("not found: {kind}")]
    NotFound {
        /// `thread`, `entry`, `media`, `seat`, `person`, `crew`…
        kind: &'static str,
    },
    /// Written by a newer app.
    #[error("a newer app is needed")]
    UpgradeRequired,
    /// The roster says what only a newer app understands, so this one writes nothing behind it. The
    /// kit may undo it.
    #[error("the roster needs a newer app")]
    RosterStopped {
        /// The place in the roster from which on it is so.
        since: u32,
    },
    /// The store is damaged.
    #[error("store is damaged")]
    Corrupt,
    /// A bug, or the system failed in a way nobody foresaw.
    #[error("internal: {code}")]
    Internal {
        /// Where.
        code: ErrorCode,
    },
}

impl Error {
    /// The stable code: the variant's name, with what it says more closely.
    #[must_use]
    pub fn code(&self) -> String {
        match self {
            Self::Offline { retry_after_ms: 0 } => "offline".into(),
            Self::Offline { .. } => "offline.not_now".into(),
            Self::Foreign => "foreign".into(),
            Self::Busy => "busy".into(),
            Self::Cancelled => "cancelled".into(),
            Self::AuthExpired => "auth_expired".into(),
            Self::Locked { code } => format!("locked.{code}"),
            Self::StorageFull { .. } => "storage_full".into(),
            Self::Invalid { field, code } => format!("invalid.{field}.{code}"),
            Self::NotFound { kind } => format!("not_found.{kind}"),
            Self::UpgradeRequired => "upgrade_required".into(),
            Self::RosterStopped { .. } => "roster_stopped".into(),
            Self::Corrupt => "corrupt".into(),
            Self::Internal { code } => format!("internal.{code}"),
        }
    }

    /// Whether it passes by itself: trying again later is all there is to do.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::Offline { .. } | Self::Foreign | Self::Busy)
    }

    /// An internal error at a place.
    #[must_use]
    pub const fn internal(code: ErrorCode) -> Self {
        Self::Internal { code }
    }
}

const UNWRITABLE: Error = Error::Invalid {
    field: "dir",
    code: "unwritable",
};

/// The hub that answers has a key that no office device has certified yet.
pub(crate) const UNCERTIFIED: Error = Error::Invalid {
    field: "hub_key",
    code: "uncertified",
};

fn extended_code(error: &rusqlite::Error) -> Option<i32> {
    error.sqlite_error().map(|error| error.extended_code)
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode as Code;
        match error.sqlite_error_code() {
            Some(Code::DiskFull) => Self::StorageFull { needed_bytes: 0 },
            Some(Code::DatabaseBusy | Code::DatabaseLocked) => Self::Busy,
            Some(Code::DatabaseCorrupt | Code::NotADatabase) => Self::Corrupt,
            Some(Code::ReadOnly | Code::CannotOpen | Code::PermissionDenied) => UNWRITABLE,
            // The index beside the log couldn't grow: SQLite tells that in another way.
            _ if extended_code(&error) == Some(rusqlite::ffi::SQLITE_IOERR_SHMSIZE) => {
                Self::StorageFull { needed_bytes: 0 }
            }
            _ => {
                tracing::error!(code = ?error.sqlite_error_code(), "store failed");
                Self::internal("store")
            }
        }
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                Self::StorageFull { needed_bytes: 0 }
            }
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                UNWRITABLE
            }
            kind => {
                tracing::error!(?kind, "file system failed");
                Self::internal("files")
            }
        }
    }
}

impl From<HubError> for Error {
    fn from(error: HubError) -> Self {
        match error {
            HubError::Unreachable => Self::Offline { retry_after_ms: 0 },
            HubError::NotTheHub => Self::Foreign,
            HubError::OtherKey => UNCERTIFIED,
            HubError::NotNow { retry_after_ms } => Self::Offline { retry_after_ms },
            HubError::LoginNeeded | HubError::NotAllowed => Self::AuthExpired,
            HubError::RosterMoved => Self::Busy,
            HubError::NotThere => Self::NotFound { kind: "hub" },
            HubError::TooLarge => Self::Invalid {
                field: "size",
                code: "too_large",
            },
            HubError::Refused(RefusalCode::Login) => Self::internal("hub_login"),
            HubError::OtherEpoch | HubError::OtherOffset { .. } | HubError::Refused(_) => {
                Self::internal("hub_refused")
            }
        }
    }
}

impl From<DiskFull> for Error {
    fn from(_: DiskFull) -> Self {
        Self::StorageFull { needed_bytes: 0 }
    }
}

impl From<CryptError> for Error {
    fn from(error: CryptError) -> Self {
        match error {
            CryptError::Io(error) => error.into(),
            CryptError::Key => Self::Corrupt,
            _ => Self::internal("crypt"),
        }
    }
}

impl From<BlobError> for Error {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::StorageFull => Self::StorageFull { needed_bytes: 0 },
            BlobError::Missing => Self::NotFound { kind: "media" },
            BlobError::Crypt(error) => error.into(),
            BlobError::Io(error) => error.into(),
            _ => Self::internal("blobs"),
        }
    }
}

impl From<MediaError> for Error {
    fn from(error: MediaError) -> Self {
        match error {
            MediaError::Cancelled => Self::Cancelled,
            error => Self::Invalid {
                field: "file",
                code: error.code(),
            },
        }
    }
}
