//! The JSON routes. Each parses what was asked, calls the core where blocking is fine, and answers
//! in the page's shapes.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{FromRequest, Path, Query, Request, State};
use kolonne_core::Flight;
use kolonne_core::capture::{About, JobChange, MAX_SEALED_BYTES, MAX_TEXT_BYTES, NewJob};
use kolonne_core::media::Limits;
use kolonne_model::ids::{OpId, ThreadId};
use kolonne_model::roster::change::Role;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::MAX_DOCUMENT_BYTES;
use super::problem::{Answer, Problem};
use super::shapes::{
    Created, DeviceName, DeviceShape, DevicesShape, Done, EntriesShape, FlightAsk, MeShape,
    MemberChangeAsk, NewJobAsk, NewTextAsk, PeopleShape, ReadAsk, RetractAsk, Rights, SealAgainAsk,
    SeatShape, SizeLimits, Surface, ThreadChangeAsk, ThreadPage, ThreadShape, WordsAsk, draft,
    reply, rings, seal_for,
};
use super::{FlightSwitch, Page};
use crate::kit_mark::is_unconfirmed;

/// Largest JSON body in bytes; a text of 16 kB can be three times as long escaped.
const MAX_JSON_BYTES: usize = 64 * 1024;
/// Threads in one answer.
const PAGE_ROWS: usize = 50;
/// Entries in one answer, asked and at most.
const ENTRIES: u32 = 60;
const MAX_ENTRIES: u32 = 500;

type AtPage = State<Arc<Page>>;

/// A JSON body within its limit, whatever its Content-Type says.
pub struct Asked<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let body: Body = request.into_body();
        let bytes = axum::body::to_bytes(body, MAX_JSON_BYTES)
            .await
            .map_err(|_| Problem::too_big())?;
        serde_json::from_slice(&bytes)
            .map(Self)
            .map_err(|_| Problem::invalid("body"))
    }
}

impl Page {
    /// Runs a call of the core where blocking is fine.
    pub(super) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        call: impl FnOnce(&Self) -> Answer<T> + Send + 'static,
    ) -> Answer<T> {
        let page = Arc::clone(self);
        tokio::task::spawn_blocking(move || call(&page)).await?
    }

    pub(super) fn me(&self) -> Answer<MeShape> {
        let me = self.kolonne.me()?;
        let mut active = self.seat().ok();
        if !me.seats.iter().any(|seat| Some(seat.seat) == active) {
            // Whoever was seated here has ended: the next one sits down.
            active = me.seats.first().map(|seat| seat.seat);
            self.sit(active);
        }
        let role = me
            .seats
            .iter()
            .find(|seat| Some(seat.seat) == active)
            .map(|seat| seat.role);
        let seats = me.seats.into_iter().map(|record| SeatShape {
            active: Some(record.seat) == active,
            record,
        });
        Ok(MeShape {
            surface: self.surface,
            company: me.company,
            device: DeviceName {
                id: me.device,
                name: me.device_name,
            },
            seats: seats.collect(),
            language: None,
            flight_mode: match self.flight {
                FlightSwitch::Present => Some(self.kolonne.flight() == Flight::On),
                FlightSwitch::Absent => None,
            },
            rights: Rights {
                jobs: role >= Some(Role::Foreman),
                members: role >= Some(Role::Foreman),
                devices: role >= Some(Role::Office) && self.surface == Surface::Office,
            },
            limits: SizeLimits {
                text_bytes: MAX_TEXT_BYTES,
                media_bytes: Limits::default().input_bytes,
                file_bytes: MAX_DOCUMENT_BYTES,
                sealed_bytes: MAX_SEALED_BYTES,
            },
            kit_unconfirmed: is_unconfirmed(self.kolonne.dir()),
            auto_lock_min: self.kolonne.auto_lock_min()?,
            status: self.kolonne.status()?,
        })
    }
}

pub(super) fn thread_id(id: &str) -> Answer<ThreadId> {
    id.parse().map_err(|_| Problem::not_found("thread"))
}

pub(super) fn entry_id(id: &str) -> Answer<OpId> {
    id.parse().map_err(|_| Problem::not_found("entry"))
}

pub async fn me(State(page): AtPage) -> Answer<Json<MeShape>> {
    page.run(Page::me).await.map(Json)
}

pub async fn flight(State(page): AtPage, Asked(ask): Asked<FlightAsk>) -> Answer<Json<MeShape>> {
    if page.flight == FlightSwitch::Absent {
        return Err(Problem::not_found("page"));
    }
    page.kolonne
        .set_flight(if ask.on { Flight::On } else { Flight::Off });
    page.kolonne.nudge();
    page.run(Page::me).await.map(Json)
}

pub async fn sync(State(page): AtPage) -> Json<Done> {
    page.kolonne.nudge();
    Json(Done {})
}

#[derive(Deserialize)]
pub struct ThreadsAsk {
    #[serde(default)]
    query: String,
    #[serde(default)]
    cursor: String,
}

pub async fn threads(
    State(page): AtPage,
    Query(ask): Query<ThreadsAsk>,
) -> Answer<Json<ThreadPage>> {
    let from: usize = if ask.cursor.is_empty() {
        0
    } else {
        ask.cursor.parse().map_err(|_| Problem::invalid("cursor"))?
    };
    page.run(move |page| {
        let seat = page.seat()?;
        let query = ask.query.trim();
        let found = page.kolonne.threads(&seat, query)?;
        let unread_total = if query.is_empty() {
            found.iter().map(|row| row.unread).sum()
        } else {
            page.kolonne
                .threads(&seat, "")?
                .iter()
                .map(|row| row.unread)
                .sum()
        };
        let next = from.saturating_add(PAGE_ROWS);
        let next_cursor = (found.len() > next).then(|| next.to_string());
        let threads = found.into_iter().skip(from).take(PAGE_ROWS).collect();
        Ok(ThreadPage {
            threads,
            next_cursor,
            unread_total,
        })
    })
    .await
    .map(Json)
}

pub async fn open_job(State(page): AtPage, Asked(ask): Asked<NewJobAsk>) -> Answer<Json<Created>> {
    let job = NewJob {
        members: rings(&ask.members)?,
        draft: Some(draft(&ask.draft_id)?),
        title: ask.title,
        customer: ask.customer,
        address: ask.address,
        status: String::new(),
    };
    page.run(move |page| Ok(page.kolonne.open_job(&page.seat()?, &job)?))
        .await
        .map(|id| Json(Created { id: id.to_string() }))
}

pub async fn thread(State(page): AtPage, Path(id): Path<String>) -> Answer<Json<ThreadShape>> {
    let id = thread_id(&id)?;
    page.run(move |page| Ok(page.kolonne.thread(&page.seat()?, &id)?))
        .await
        .map(Json)
}

pub async fn set_job(
    State(page): AtPage,
    Path(id): Path<String>,
    Asked(ask): Asked<ThreadChangeAsk>,
) -> Answer<Json<Done>> {
    let id = thread_id(&id)?;
    let change = JobChange {
        title: ask.title,
        status: ask.status,
        customer: ask.customer,
        address: ask.address,
    };
    page.run(move |page| Ok(page.kolonne.set_job(&page.seat()?, &id, &change)?))
        .await?;
    Ok(Json(Done {}))
}

pub async fn members(
    State(page): AtPage,
    Path(id): Path<String>,
    Asked(ask): Asked<MemberChangeAsk>,
) -> Answer<Json<Done>> {
    let id = thread_id(&id)?;
    let (add, remove) = (rings(&ask.add)?, rings(&ask.remove)?);
    page.run(move |page| {
        Ok(page
            .kolonne
            .change_members(&page.seat()?, &id, &add, &remove)?)
    })
    .await?;
    Ok(Json(Done {}))
}

#[derive(Deserialize)]
pub struct EntriesAsk {
    before: Option<String>,
    limit: Option<u32>,
}

pub async fn entries(
    State(page): AtPage,
    Path(id): Path<String>,
    Query(ask): Query<EntriesAsk>,
) -> Answer<Json<EntriesShape>> {
    let id = thread_id(&id)?;
    let before = ask
        .before
        .as_deref()
        .filter(|b| !b.is_empty())
        .map(entry_id)
        .transpose()?;
    let limit = ask.limit.unwrap_or(ENTRIES).clamp(1, MAX_ENTRIES);
    page.run(move |page| {
        EntriesShape::of(&page.kolonne.entries(&page.seat()?, &id, before, limit)?)
    })
    .await
    .map(Json)
}

pub async fn say(
    State(page): AtPage,
    Path(id): Path<String>,
    Asked(ask): Asked<NewTextAsk>,
) -> Answer<Json<Created>> {
    let id = thread_id(&id)?;
    let about = About {
        reply_to: reply(ask.reply_to.as_deref())?,
        caption: None,
        draft: Some(draft(&ask.draft_id)?),
    };
    page.run(move |page| {
        let seat = page.writer(&ask.seat)?;
        Ok(page.kolonne.send_text(&seat, &id, &ask.text, &about)?)
    })
    .await
    .map(|id| Json(Created { id: id.to_string() }))
}

pub async fn caption(
    State(page): AtPage,
    Path(id): Path<String>,
    Asked(ask): Asked<WordsAsk>,
) -> Answer<Json<Done>> {
    let id = entry_id(&id)?;
    page.run(move |page| Ok(page.kolonne.caption(&page.seat()?, &id, &ask.text)?))
        .await?;
    Ok(Json(Done {}))
}

pub async fn seal_again(
    State(page): AtPage,
    Path(id): Path<String>,
    Asked(ask): Asked<SealAgainAsk>,
) -> Answer<Json<Created>> {
    let id = entry_id(&id)?;
    let (to, draft) = (seal_for(&ask.sealed_for)?, draft(&ask.draft_id)?);
    page.run(move |page| {
        let seat = page.seat()?;
        Ok(page.kolonne.seal_again(&seat, &id, &to, Some(draft))?)
    })
    .await
    .map(|id| Json(Created { id: id.to_string() }))
}

pub async fn retract(
    State(page): AtPage,
    Path(id): Path<String>,
    Asked(ask): Asked<RetractAsk>,
) -> Answer<Json<Done>> {
    let id = entry_id(&id)?;
    page.run(move |page| {
        let reason = Some(ask.reason.as_str()).filter(|reason| !reason.trim().is_empty());
        Ok(page.kolonne.retract(&page.seat()?, &id, reason)?)
    })
    .await?;
    Ok(Json(Done {}))
}

pub async fn read(
    State(page): AtPage,
    Path(id): Path<String>,
    Asked(ask): Asked<ReadAsk>,
) -> Answer<Json<Done>> {
    let (id, up_to) = (thread_id(&id)?, entry_id(&ask.up_to)?);
    page.run(move |page| Ok(page.kolonne.mark_read(&page.seat()?, &id, &up_to)?))
        .await?;
    Ok(Json(Done {}))
}

pub async fn people(State(page): AtPage) -> Answer<Json<PeopleShape>> {
    page.run(|page| {
        let (people, crews) = page.kolonne.people()?;
        let ended = page.kolonne.ended_people()?;
        Ok(PeopleShape {
            people,
            crews,
            ended,
        })
    })
    .await
    .map(Json)
}

pub async fn devices(State(page): AtPage) -> Answer<Json<DevicesShape>> {
    page.run(|page| {
        let devices = page.kolonne.devices()?;
        let kept = page.kolonne.kept_back()?;
        let devices = devices.into_iter();
        let devices = devices
            .map(|record| DeviceShape {
                kept_back: kept
                    .iter()
                    .filter(|kept| kept.device_id == Some(record.id))
                    .map(|kept| kept.entries.saturating_add(kept.changes))
                    .sum(),
                record,
                app_version: None,
            })
            .collect();
        Ok(DevicesShape { devices })
    })
    .await
    .map(Json)
}
