//! Routes of where things are: what hangs fast with its ways out, whether this device may be given
//! away, and alarms that the office looked into. Nothing is thrown away without a person's reason.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use kolonne_core::records::{HandBack, Media, Stuck};
use kolonne_model::ids::Hash32;
use serde::{Deserialize, Serialize};

use super::Page;
use super::api::Asked;
use super::files::handed_out;
use super::problem::{Answer, Problem};
use super::shapes::{Done, RetractAsk};

#[derive(Serialize)]
pub struct StuckShape {
    #[serde(flatten)]
    record: Stuck,
    /// Why, in whole sentences.
    said: Problem,
}

#[derive(Serialize)]
pub struct StuckList {
    stuck: Vec<StuckShape>,
}

#[derive(Deserialize)]
pub struct AlarmAsk {
    id: String,
}

fn stuck_id(id: &str) -> Answer<Hash32> {
    id.parse().map_err(|_| Problem::not_found("stuck"))
}

/// `GET /api/stuck`
pub async fn stuck(State(page): State<Arc<Page>>) -> Answer<Json<StuckList>> {
    page.run(|page| {
        let stuck = page.kolonne.stuck(&page.seat()?)?.into_iter();
        let stuck = stuck.map(|record| StuckShape {
            said: Problem::of_stuck(&record.why),
            record,
        });
        Ok(StuckList {
            stuck: stuck.collect(),
        })
    })
    .await
    .map(Json)
}

/// `POST /api/stuck/{id}/retry`
pub async fn retry(State(page): State<Arc<Page>>, Path(id): Path<String>) -> Answer<Json<Done>> {
    let id = stuck_id(&id)?;
    page.run(move |page| Ok(page.kolonne.retry_stuck(&id)?))
        .await?;
    page.tell("me");
    Ok(Json(Done {}))
}

/// `GET /api/stuck/{id}/file`
pub async fn file(State(page): State<Arc<Page>>, Path(id): Path<String>) -> Answer<Response> {
    let id = stuck_id(&id)?;
    let media = page
        .run(move |page| Ok(page.kolonne.stuck_file(&page.seat()?, &id)?))
        .await?;
    let name = name_of(&id, &media);
    Ok(handed_out(media, &name))
}

/// Its own name, or one that tells it from others.
fn name_of(id: &Hash32, media: &Media) -> String {
    if let Some(name) = &media.name {
        return name.clone();
    }
    let short: String = id.to_string().chars().take(8).collect();
    let end = match media.media_type.as_str() {
        "text/plain" => "txt",
        "image/jpeg" => "jpg",
        "image/png" => "png",
        "image/webp" => "webp",
        "image/heic" => "heic",
        "audio/mp4" => "m4a",
        "audio/ogg" => "ogg",
        "audio/webm" => "webm",
        "audio/wav" | "audio/x-wav" => "wav",
        _ => "bin",
    };
    format!("kolonne-{short}.{end}")
}

/// `POST /api/stuck/{id}/discard`
pub async fn discard(
    State(page): State<Arc<Page>>,
    Path(id): Path<String>,
    Asked(ask): Asked<RetractAsk>,
) -> Answer<Json<Done>> {
    let id = stuck_id(&id)?;
    page.run(move |page| {
        Ok(page
            .kolonne
            .discard_stuck(&page.seat()?, &id, &ask.reason)?)
    })
    .await?;
    page.tell("me");
    Ok(Json(Done {}))
}

/// `GET /api/hand-back`
pub async fn hand_back(State(page): State<Arc<Page>>) -> Answer<Json<HandBack>> {
    page.run(|page| Ok(page.kolonne.hand_back()?))
        .await
        .map(Json)
}

/// `POST /api/alarms/put-away`
pub async fn put_away(
    State(page): State<Arc<Page>>,
    Asked(ask): Asked<AlarmAsk>,
) -> Answer<Json<Done>> {
    page.run(move |page| Ok(page.kolonne.put_away_alarm(&page.seat()?, &ask.id)?))
        .await?;
    Ok(Json(Done {}))
}
