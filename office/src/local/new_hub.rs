//! Routes of a new hub in the place of a lost one: whether one answers, its certification, and
//! where the hub is.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::Page;
use super::api::Asked;
use super::problem::{Answer, Problem};
use super::shapes::Done;
use crate::key_text;

#[derive(Serialize)]
pub struct HubShape {
    hub_url: String,
    new_hub: Option<NewHubShape>,
}

#[derive(Serialize)]
struct NewHubShape {
    /// As `kolonne hub` prints it.
    key_groups: String,
    since_ms: u64,
}

#[derive(Deserialize)]
pub struct CertifyAsk {
    /// The key as a person read it off the hub: in groups, or as the page showed it and a person
    /// said that it is the same.
    key: String,
}

#[derive(Deserialize)]
pub struct AddressAsk {
    hub_url: String,
}

/// `GET /api/hub`
pub async fn hub(State(page): State<Arc<Page>>) -> Answer<Json<HubShape>> {
    page.run(|page| {
        let new_hub = page.kolonne.status()?.new_hub;
        Ok(HubShape {
            hub_url: page.kolonne.me()?.hub_url,
            new_hub: new_hub.map(|new| NewHubShape {
                key_groups: key_text::groups(&new.key),
                since_ms: new.since_ms,
            }),
        })
    })
    .await
    .map(Json)
}

/// `POST /api/hub/certify`
pub async fn certify(
    State(page): State<Arc<Page>>,
    Asked(ask): Asked<CertifyAsk>,
) -> Answer<Json<Done>> {
    let key = key_text::parse(&ask.key).ok_or_else(|| Problem::invalid("hub_key"))?;
    let certified = page.kolonne.certify_hub(&page.seat()?, &key).await;
    certified.map_err(Problem::needs_hub)?;
    Ok(Json(Done {}))
}

/// `POST /api/hub/address`
pub async fn address(
    State(page): State<Arc<Page>>,
    Asked(ask): Asked<AddressAsk>,
) -> Answer<Json<Done>> {
    page.run(move |page| Ok(page.kolonne.set_hub_address(&ask.hub_url)?))
        .await?;
    Ok(Json(Done {}))
}
