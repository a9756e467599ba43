//! Routes of what is needed once all else is lost: the kit compared with a page, and a backup of
//! this device as one file that only the kit opens.
//!
//! The file is made in the device's folder, handed to the browser, and removed; what a kit says is
//! kept nowhere.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use kolonne_core::Error;
use kolonne_core::crypt::kit::KitError;
use kolonne_core::crypt::root::RootSeed;
use kolonne_core::{BackupProgress, BackupRecord};
use kolonne_model::roster::change::Role;
use serde::{Deserialize, Serialize};
use tokio_util::io::ReaderStream;
use zeroize::Zeroizing;

use super::Page;
use super::api::Asked;
use super::problem::{Answer, Problem};
use super::shapes::Done;
use crate::kit_mark::{self, HandedOut};

type AtPage = State<Arc<Page>>;

/// The file in the device's folder, and what the core calls it until it is whole.
const FILE: &str = "page-backup.age";
const PARTIAL: &str = "page-backup.age.partial";
/// The page hears of progress so many times.
const STEPS: u64 = 50;

/// How far the backup is.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Making {
    /// None was asked for, or it was fetched.
    #[default]
    None,
    /// Being written and read back.
    Writing { done_bytes: u64, total_bytes: u64 },
    /// To be fetched.
    Ready {
        bytes: u64,
        files: u64,
        /// Files that couldn't be read here and aren't in it.
        damaged: u64,
    },
    /// It couldn't be made.
    Failed { problem: Problem },
}

/// The one backup of this page.
#[derive(Default)]
pub struct Backup(Mutex<Making>);

impl Backup {
    fn now(&self) -> Making {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn becomes(&self, making: Making) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = making;
    }

    /// Whether nobody is writing, so that the caller may.
    fn begin(&self) -> bool {
        let mut making = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*making, Making::Writing { .. }) {
            return false;
        }
        *making = Making::Writing {
            done_bytes: 0,
            total_bytes: 0,
        };
        true
    }
}

/// Removes what an earlier start, or a backup that was fetched, left.
pub fn tidy(dir: &Path) {
    for name in [FILE, PARTIAL] {
        let _ = std::fs::remove_file(dir.join(name));
    }
}

#[derive(Deserialize)]
pub struct KitAsk {
    kit: String,
}

impl Page {
    /// Who looks after the company, with their PIN in.
    fn needs_admin(&self) -> Answer<()> {
        let seat = self.seat()?;
        self.kolonne.used(&seat)?;
        let seats = self.kolonne.me()?.seats;
        let role = seats.iter().find(|known| known.seat == seat);
        if role.is_some_and(|seat| seat.role == Role::Admin) {
            Ok(())
        } else {
            Err(Error::Locked { code: "right" }.into())
        }
    }

    fn backup_file(&self) -> PathBuf {
        self.kolonne.dir().join(FILE)
    }

    fn write_backup(self: &Arc<Self>) {
        tidy(self.kolonne.dir());
        let (mut step, page) = (0, Arc::clone(self));
        let mut told = move |BackupProgress {
                                 done_bytes,
                                 total_bytes,
                             }| {
            let now = done_bytes
                .saturating_mul(STEPS)
                .checked_div(total_bytes)
                .unwrap_or_default();
            if now > step {
                step = now;
                page.backup.becomes(Making::Writing {
                    done_bytes,
                    total_bytes,
                });
                page.tell("backup");
            }
        };
        let made = self.kolonne.backup(&self.backup_file(), &mut told);
        self.backup.becomes(match made {
            Ok(BackupRecord {
                bytes,
                blobs,
                damaged,
                ..
            }) => Making::Ready {
                bytes,
                files: blobs,
                damaged,
            },
            Err(error) => Making::Failed {
                problem: error.into(),
            },
        });
        self.tell("backup");
    }
}

/// `POST /api/kit/check`
pub async fn check_kit(State(page): AtPage, Asked(ask): Asked<KitAsk>) -> Answer<Json<Done>> {
    let kit = Zeroizing::new(ask.kit);
    page.run(move |page| {
        if let Err(KitError::Group { number }) = RootSeed::from_kit_text(&kit) {
            return Err(Problem::invalid("kit").with_group(number));
        }
        page.kolonne.check_kit(&kit)?;
        kit_mark::note(page.kolonne.dir(), HandedOut::Confirmed);
        Ok(())
    })
    .await?;
    page.tell("me");
    Ok(Json(Done {}))
}

/// `POST /api/backup`
pub async fn begin(State(page): AtPage) -> Answer<Json<Making>> {
    page.run(Page::needs_admin).await?;
    if page.backup.begin() {
        let page = Arc::clone(&page);
        tokio::task::spawn_blocking(move || page.write_backup());
    }
    Ok(Json(page.backup.now()))
}

/// `GET /api/backup`
pub async fn state(State(page): AtPage) -> Json<Making> {
    Json(page.backup.now())
}

/// `GET /api/backup/file`: once; it stays here no longer than it takes to hand it out.
pub async fn file(State(page): AtPage) -> Answer<Response> {
    page.run(Page::needs_admin).await?;
    let Making::Ready { bytes, .. } = page.backup.now() else {
        return Err(Problem::not_found("page"));
    };
    let file = tokio::fs::File::open(page.backup_file()).await;
    let file = file.map_err(|error| Problem::from(Error::from(error)))?;
    // Its name goes now, its bytes with the last reader.
    tidy(page.kolonne.dir());
    page.backup.becomes(Making::None);
    page.tell("backup");
    let mut response = Body::from_stream(ReaderStream::new(file)).into_response();
    let headers = response.headers_mut();
    let octets = HeaderValue::from_static("application/octet-stream");
    headers.insert(header::CONTENT_TYPE, octets);
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes));
    headers.insert(
        header::CONTENT_DISPOSITION,
        HeaderValue::from_static("attachment"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
