//! Routes of the office's rights: ending devices and people, letting in what is kept back.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use kolonne_core::records::{KeptBack, RosterEvent};
use kolonne_model::ids::SeatId;
use kolonne_model::roster::change::{EndMode, Subject};
use serde::{Deserialize, Serialize};

use super::Page;
use super::api::{Asked, thread_id};
use super::problem::{Answer, Problem};
use super::shapes::{Done, SeatAsk, role};

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    Peace,
    Now,
}

#[derive(Deserialize)]
pub struct EndAsk {
    how: How,
}

#[derive(Deserialize)]
pub struct RoleAsk {
    role: String,
}

/// Oldest first, as `kolonne roster` numbers it.
#[derive(Serialize)]
pub struct HistoryShape {
    roster: Vec<RosterEvent>,
}

#[derive(Serialize)]
pub struct KeptBackShape {
    kept_back: Vec<KeptBack>,
}

/// `POST /api/devices/{id}/end`
pub async fn end_device(
    State(page): State<Arc<Page>>,
    Path(id): Path<String>,
    Asked(ask): Asked<EndAsk>,
) -> Answer<Json<Done>> {
    let id = id.parse().map_err(|_| Problem::not_found("device"))?;
    end(&page, Subject::Device(id), ask.how).await
}

/// `POST /api/people/{id}/end`
pub async fn end_person(
    State(page): State<Arc<Page>>,
    Path(id): Path<String>,
    Asked(ask): Asked<EndAsk>,
) -> Answer<Json<Done>> {
    let id = id.parse().map_err(|_| Problem::not_found("person"))?;
    end(&page, Subject::Person(id), ask.how).await
}

async fn end(page: &Page, subject: Subject, how: How) -> Answer<Json<Done>> {
    let mode = match how {
        How::Peace => EndMode::Soft,
        How::Now => EndMode::Hard,
    };
    let ended = page.kolonne.end(&page.seat()?, subject, mode).await;
    ended.map_err(Problem::needs_hub)?;
    Ok(Json(Done {}))
}

/// `POST /api/people/{id}/role`
pub async fn set_role(
    State(page): State<Arc<Page>>,
    Path(id): Path<String>,
    Asked(ask): Asked<RoleAsk>,
) -> Answer<Json<Done>> {
    let id = id.parse().map_err(|_| Problem::not_found("person"))?;
    let given = page
        .kolonne
        .set_role(&page.seat()?, &id, role(&ask.role)?)
        .await;
    given.map_err(Problem::needs_hub)?;
    page.tell("people");
    Ok(Json(Done {}))
}

/// `GET /api/roster`
pub async fn history(State(page): State<Arc<Page>>) -> Answer<Json<HistoryShape>> {
    page.run(|page| {
        let roster = page.kolonne.roster_history()?;
        Ok(HistoryShape { roster })
    })
    .await
    .map(Json)
}

/// `GET /api/threads/{id}/kept-back`
pub async fn kept_back(
    State(page): State<Arc<Page>>,
    Path(id): Path<String>,
) -> Answer<Json<KeptBackShape>> {
    let id = thread_id(&id)?;
    page.run(move |page| {
        let mut kept_back = page.kolonne.kept_back()?;
        kept_back.retain(|kept| kept.thread == id && (kept.entries > 0 || kept.changes > 0));
        Ok(KeptBackShape { kept_back })
    })
    .await
    .map(Json)
}

/// `POST /api/threads/{id}/admit`
pub async fn admit(
    State(page): State<Arc<Page>>,
    Path(id): Path<String>,
    Asked(ask): Asked<SeatAsk>,
) -> Answer<Json<Done>> {
    let id = thread_id(&id)?;
    let of: SeatId = ask.seat.parse().map_err(|_| Problem::not_found("seat"))?;
    page.run(move |page| Ok(page.kolonne.admit(&page.seat()?, &id, &of)?))
        .await?;
    Ok(Json(Done {}))
}
