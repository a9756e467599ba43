//! Admissions that the page has begun: one task each polls the hub, shows the words, and admits
//! when a person says so. At most a few at once; they end with the program.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use data_encoding::HEXLOWER;
use kolonne_core::crypt::random;
use kolonne_core::{Error, Invitation, InviteState, NewInvite, SeatGrant};
use kolonne_model::roster::change::DeviceKind;
use serde::Serialize;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::Page;
use super::api::Asked;
use super::problem::{Answer, Problem};
use super::shapes::{Done, NewInviteAsk, role};
use crate::output::{qr_rows, word_number};

const MAX_OPEN: usize = 8;
const POLL: Duration = Duration::from_millis(700);
const POLL_OFFLINE: Duration = Duration::from_secs(3);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Stage {
    Waiting,
    Words,
    Pending,
    Admitted,
    Expired,
    Refused,
}

/// An admission as the page shows it.
#[derive(Clone, Serialize)]
pub struct InviteShape {
    id: String,
    text: String,
    qr: Vec<String>,
    expires_ms: u64,
    state: Stage,
    words: Option<Vec<&'static str>>,
    words_en: Option<Vec<&'static str>>,
    word_numbers: Option<Vec<usize>>,
}

struct Open {
    shape: InviteShape,
    admit: Arc<Notify>,
    forgotten: CancellationToken,
}

/// The open admissions.
#[derive(Default)]
pub struct Invites(Mutex<HashMap<String, Open>>);

impl Invites {
    fn with<T>(&self, id: &str, look: impl FnOnce(&mut Open) -> T) -> Answer<T> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.get_mut(id)
            .map(look)
            .ok_or_else(|| Problem::not_found("invite"))
    }
}

/// `POST /api/invites`
pub async fn create(
    State(page): State<Arc<Page>>,
    Asked(ask): Asked<NewInviteAsk>,
) -> Answer<Json<InviteShape>> {
    let new = new_invite(ask)?;
    let seat = page.seat()?;
    let invitation = page
        .kolonne
        .invite(&seat, new)
        .await
        .map_err(Problem::needs_hub)?;
    let id =
        random::bytes::<16>().map_err(|_| Problem::from(Error::Internal { code: "random" }))?;
    let text = invitation.text();
    let shape = InviteShape {
        id: HEXLOWER.encode(&id),
        qr: qr_rows(&text),
        text,
        expires_ms: invitation.expires_ms(),
        state: Stage::Waiting,
        words: None,
        words_en: None,
        word_numbers: None,
    };
    let open = Open {
        shape: shape.clone(),
        admit: Arc::new(Notify::new()),
        forgotten: page.stop.child_token(),
    };
    let (admit, forgotten) = (Arc::clone(&open.admit), open.forgotten.clone());
    {
        let mut all = page
            .invites
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MAX_OPEN {
            all.retain(|_, open| {
                matches!(
                    open.shape.state,
                    Stage::Waiting | Stage::Words | Stage::Pending
                )
            });
        }
        if all.len() >= MAX_OPEN {
            return Err(Error::Busy.into());
        }
        all.insert(shape.id.clone(), open);
    }
    let (id, followed) = (shape.id.clone(), Arc::clone(&page));
    tokio::spawn(async move {
        let mut invitation = invitation;
        tokio::select! {
            () = follow(followed, id, &mut invitation, admit) => {}
            // Whoever waits on the other side is told.
            () = forgotten.cancelled() => invitation.deny().await,
        }
    });
    Ok(Json(shape))
}

/// Polls until the device is in or the code is spent.
async fn follow(page: Arc<Page>, id: String, invitation: &mut Invitation, admit: Arc<Notify>) {
    let show = |stage: Stage, words: Option<[(&'static str, &'static str); 4]>| {
        let changed = page.invites.with(&id, |open| {
            let was = open.shape.state;
            open.shape.state = stage;
            if let Some(words) = words {
                open.shape.words = Some(words.map(|word| word.0).to_vec());
                open.shape.words_en = Some(words.map(|word| word.1).to_vec());
                open.shape.word_numbers = Some(words.map(word_number).to_vec());
            }
            was != stage
        });
        if changed.unwrap_or(false) {
            page.tell(&format!("invite:{id}"));
        }
    };
    let mut wants_in = false;
    loop {
        let pause = match invitation.step().await {
            Ok(InviteState::Waiting) => POLL,
            Ok(InviteState::Words(words)) => {
                if wants_in {
                    match invitation.admit().await {
                        Ok(()) => {}
                        Err(error) => {
                            if !error.is_passing() {
                                return show(Stage::Refused, None);
                            }
                        }
                    }
                } else {
                    show(Stage::Words, Some(words));
                }
                POLL
            }
            Ok(InviteState::Admitted) => {
                show(Stage::Admitted, None);
                page.tell("devices");
                page.tell("people");
                page.kolonne.nudge();
                return;
            }
            Ok(InviteState::Expired) => return show(Stage::Expired, None),
            Err(error) if error.is_passing() => POLL_OFFLINE,
            Err(_) => return show(Stage::Refused, None),
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = admit.notified() => {
                wants_in = true;
                show(Stage::Pending, None);
            }
        }
    }
}

/// `GET /api/invites/{id}`
pub async fn show(
    State(page): State<Arc<Page>>,
    Path(id): Path<String>,
) -> Answer<Json<InviteShape>> {
    page.invites.with(&id, |open| Json(open.shape.clone()))
}

/// `POST /api/invites/{id}/admit`
pub async fn admit(
    State(page): State<Arc<Page>>,
    Path(id): Path<String>,
) -> Answer<Json<InviteShape>> {
    page.invites.with(&id, |open| match open.shape.state {
        Stage::Words => {
            open.shape.state = Stage::Pending;
            open.admit.notify_one();
            Ok(Json(open.shape.clone()))
        }
        Stage::Pending | Stage::Admitted => Ok(Json(open.shape.clone())),
        Stage::Waiting | Stage::Expired | Stage::Refused => Err(Problem::words_early()),
    })?
}

/// `DELETE /api/invites/{id}`
pub async fn forget(State(page): State<Arc<Page>>, Path(id): Path<String>) -> Json<Done> {
    let mut all = page
        .invites
        .0
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    if let Some(open) = all.remove(&id) {
        open.forgotten.cancel();
    }
    Json(Done {})
}

fn new_invite(ask: NewInviteAsk) -> Answer<NewInvite> {
    let role = role(&ask.role)?;
    let mut seats = Vec::new();
    for person in &ask.people {
        let known = person.person.as_deref().map(str::parse).transpose();
        seats.push(SeatGrant {
            person: known.map_err(|_| Problem::invalid("people"))?,
            name: person.name.clone(),
            role,
        });
    }
    if seats.is_empty() {
        return Err(Problem::invalid("people"));
    }
    let crew = ask.crew.as_deref().map(str::parse).transpose();
    let crew = crew.map_err(|_| Problem::invalid("crew"))?;
    let named = ask.crew_name.filter(|name| !name.trim().is_empty());
    let (kind, crew, crew_name) = match ask.kind.as_str() {
        "crew_phone" if crew.is_none() && named.is_none() => {
            return Err(Problem::invalid("crew_name"));
        }
        "crew_phone" => (DeviceKind::Phone, crew, named.filter(|_| crew.is_none())),
        // A foreman's own phone is a crew of one, under the foreman's name.
        "person_phone" => {
            let own = ask.people.first().map(|person| person.name.clone());
            (
                DeviceKind::Phone,
                crew,
                named.or(own).filter(|_| crew.is_none()),
            )
        }
        "office" => (DeviceKind::Office, None, None),
        _ => return Err(Problem::invalid("kind")),
    };
    Ok(NewInvite {
        kind,
        device_name: ask.name,
        crew,
        crew_name,
        seats,
    })
}
