//! Routes of what only few may see: erasing, wrong keys, direct threads.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use kolonne_core::Erased;
use kolonne_core::records::{ErasureRecord, KeyComplaint};
use kolonne_model::control::EraseReason;
use kolonne_model::ids::RingId;
use serde::{Deserialize, Serialize};

use super::Page;
use super::api::{Asked, entry_id, thread_id};
use super::problem::{Answer, Problem};
use super::shapes::Created;

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    PersonalData,
    Mistake,
    Expired,
}

#[derive(Deserialize)]
pub struct EraseAsk {
    entries: Vec<String>,
    reason: Reason,
}

#[derive(Serialize)]
pub struct ErasuresShape {
    erasures: Vec<ErasureRecord>,
}

#[derive(Serialize)]
pub struct ComplaintsShape {
    complaints: Vec<KeyComplaint>,
}

#[derive(Deserialize)]
pub struct DirectAsk {
    people: Vec<String>,
}

/// `POST /api/threads/{id}/erase`
pub async fn erase(
    State(page): State<Arc<Page>>,
    Path(id): Path<String>,
    Asked(ask): Asked<EraseAsk>,
) -> Answer<Json<Erased>> {
    let id = thread_id(&id)?;
    let entries = ask
        .entries
        .iter()
        .map(|entry| entry_id(entry))
        .collect::<Answer<Vec<_>>>()?;
    let reason = match ask.reason {
        Reason::PersonalData => EraseReason::PersonalData,
        Reason::Mistake => EraseReason::Mistake,
        Reason::Expired => EraseReason::Expired,
    };
    page.run(move |page| {
        for entry in &entries {
            if page.kolonne.entry_thread(entry)? != id {
                return Err(Problem::not_found("entry"));
            }
        }
        Ok(page.kolonne.erase(&page.seat()?, &entries, reason)?)
    })
    .await
    .map(Json)
}

/// `GET /api/erasures`
pub async fn erasures(State(page): State<Arc<Page>>) -> Answer<Json<ErasuresShape>> {
    page.run(|page| {
        let erasures = page.kolonne.erasures()?;
        Ok(ErasuresShape { erasures })
    })
    .await
    .map(Json)
}

/// `GET /api/key-complaints`
pub async fn key_complaints(State(page): State<Arc<Page>>) -> Answer<Json<ComplaintsShape>> {
    page.run(|page| {
        let complaints = page.kolonne.key_complaints()?;
        Ok(ComplaintsShape { complaints })
    })
    .await
    .map(Json)
}

/// `POST /api/direct`
pub async fn direct(
    State(page): State<Arc<Page>>,
    Asked(ask): Asked<DirectAsk>,
) -> Answer<Json<Created>> {
    let people = ask
        .people
        .iter()
        .map(|id| id.parse().map_err(|_| Problem::not_found("person")))
        .collect::<Answer<Vec<RingId>>>()?;
    page.run(move |page| Ok(page.kolonne.open_direct(&page.seat()?, &people)?))
        .await
        .map(|id| Json(Created { id: id.to_string() }))
}
