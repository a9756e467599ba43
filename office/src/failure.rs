//! What stops a command: a stable code that the table of texts knows, and what the person had
//! typed. It never holds content of the company.

use kolonne_core::Error;

use crate::texts::{Text, text};

/// Why a command stopped.
#[derive(Debug, thiserror::Error)]
#[error("{code}")]
pub struct Failure {
    /// Its code in the table of texts.
    pub code: String,
    /// What it is about, as the person typed it: a file, a name.
    pub about: Option<String>,
    /// More, for who runs a hub: the system's own words.
    pub detail: Option<String>,
}

/// What a command answers.
pub type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// By its code.
    pub fn new(code: &str) -> Self {
        Self {
            code: code.to_owned(),
            about: None,
            detail: None,
        }
    }

    /// Names what it is about.
    pub fn about(mut self, about: impl Into<String>) -> Self {
        self.about = Some(about.into());
        self
    }

    /// What to say.
    pub fn text(&self) -> &'static Text {
        text(&self.code)
    }

    /// The exit code, as `--help` lists them.
    pub fn exit_code(&self) -> u8 {
        match self.code.split('.').next().unwrap_or_default() {
            "usage" | "who" | "person_unsure" | "pin_unasked" | "hub_key_unasked"
            | "words_unasked" | "end_unasked" | "erase_unasked" | "undo_unasked"
            | "discard_unasked" | "renew_unasked" | "kit_unasked" | "kit_unconfirmed"
            | "kit_pdf_nowhere" | "not_loopback" => 2,
            "invalid" | "not_found" | "file_missing" | "file_unreadable" | "ambiguous"
            | "hub_key_unread" | "hub_key_denied" | "words_denied" | "end_denied"
            | "renew_denied" | "erase_denied" | "discard_denied" | "undo_denied"
            | "invite_expired" | "founded_already" | "trust_unread" | "demo_foreign"
            | "demo_gone" | "backup_taken" | "backup_nothing" => 3,
            "offline" | "offline_now" | "foreign" => 4,
            "locked" | "auth_expired" => 5,
            "storage_full" | "busy" | "corrupt" | "upgrade_required" | "roster_stopped"
            | "port_taken" | "hub_start" | "hub_in_use" | "output_lost" | "kit_unshown"
            | "hub_plain" | "demo_in_use" => 6,
            "cancelled" => 130,
            _ => 1,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let failure = Self::new(&error.code());
        match error {
            Error::RosterStopped { since } => failure.about(since.to_string()),
            _ => failure,
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Error::from(error).into()
    }
}

impl From<tokio::task::JoinError> for Failure {
    fn from(_: tokio::task::JoinError) -> Self {
        Self::new("internal.task")
    }
}

impl From<kolonne_hub::OpenError> for Failure {
    fn from(error: kolonne_hub::OpenError) -> Self {
        use kolonne_hub::OpenError as Open;
        match error {
            Open::InUse => Self::new("hub_in_use"),
            Open::PlainNotOnLoopback => Self::new("hub_plain"),
            Open::Io(e) if e.kind() == std::io::ErrorKind::AddrInUse => Self::new("port_taken"),
            Open::Io(e) if e.kind() == std::io::ErrorKind::StorageFull => Self::new("storage_full"),
            other => Self {
                detail: Some(other.to_string()),
                ..Self::new("hub_start")
            },
        }
    }
}

impl From<kolonne_hub::BackupError> for Failure {
    fn from(error: kolonne_hub::BackupError) -> Self {
        use kolonne_hub::BackupError as Backup;
        match error {
            Backup::NoHub => Self::new("backup_nothing"),
            Backup::Taken => Self::new("backup_taken"),
            Backup::Io(error) => error.into(),
            other @ Backup::Database(_) => Self {
                detail: Some(other.to_string()),
                ..Self::new("hub_start")
            },
        }
    }
}

/// What needs the hub says so, instead of promising to go on by itself.
pub fn needs_hub(error: Error) -> Failure {
    match error {
        Error::Offline { retry_after_ms: 0 } => Failure::new("offline_now"),
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_tell_families_apart() {
        let codes = [
            (
                Error::Invalid {
                    field: "file",
                    code: "media_empty",
                },
                3,
            ),
            (Error::NotFound { kind: "thread" }, 3),
            (Error::Offline { retry_after_ms: 0 }, 4),
            (Error::Locked { code: "right" }, 5),
            (Error::StorageFull { needed_bytes: 1 }, 6),
            (Error::Internal { code: "store" }, 1),
        ];
        for (error, exit) in codes {
            assert_eq!(Failure::from(error).exit_code(), exit);
        }
        assert_eq!(Failure::new("who").exit_code(), 2);
    }

    #[test]
    fn codes_of_the_program_have_texts_of_their_own() {
        for code in [
            "usage",
            "who",
            "ambiguous",
            "file_missing",
            "demo_in_use",
            "offline_now",
        ] {
            assert_eq!(Failure::new(code).text().code, code);
        }
    }
}
