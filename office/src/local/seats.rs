//! Routes of seats: who sits down with which PIN, and what waits for the office.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use kolonne_core::{Error, Kolonne};
use kolonne_model::ids::SeatId;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::Page;
use super::api::Asked;
use super::problem::{Answer, Problem};
use super::shapes::{Done, MeShape};

type AtPage = State<Arc<Page>>;

/// A PIN as the page sends it, wiped when it has served.
#[derive(Deserialize)]
#[serde(from = "String")]
struct Pin(Zeroizing<String>);

impl From<String> for Pin {
    fn from(pin: String) -> Self {
        Self(Zeroizing::new(pin))
    }
}

#[derive(Deserialize)]
pub struct SitAsk {
    seat: String,
    pin: Option<Pin>,
}

#[derive(Deserialize)]
pub struct PinAsk {
    seat: String,
    old: Option<Pin>,
    new: Option<Pin>,
}

#[derive(Deserialize)]
pub struct NewPinAsk {
    pin: Pin,
}

#[derive(Deserialize)]
pub struct ForgottenAsk {
    seat: String,
    pin: Pin,
}

#[derive(Deserialize)]
pub struct RenewAsk {
    /// The seat that was asked for, as the clerk saw it.
    wanted: String,
}

#[derive(Deserialize)]
pub struct UsedAsk {
    seat: String,
}

#[derive(Deserialize)]
pub struct AutoLockAsk {
    minutes: u32,
}

/// What the company says of its phones; none: nothing yet.
#[derive(Serialize)]
pub struct AutoLockShape {
    minutes: Option<u32>,
}

impl Page {
    /// What stopped a PIN, with the tries that are left.
    fn pin_problem(&self, seat: &SeatId, error: Error) -> Problem {
        let about_pin = matches!(error, Error::Locked { .. });
        let problem = Problem::from(error);
        let record = self.kolonne.me().ok();
        let record = record.and_then(|me| me.seats.into_iter().find(|known| known.seat == *seat));
        match record {
            Some(record) if about_pin => problem.with_tries_left(record.tries_left),
            _ => problem,
        }
    }

    /// Sits down: a locked seat takes its PIN, an open one none.
    fn sit_down(&self, seat: &SeatId, pin: Option<&str>) -> Answer<()> {
        let entered = match pin {
            Some(pin) => self.kolonne.unlock(seat, pin),
            None => self.kolonne.used(seat),
        };
        entered.map_err(|error| self.pin_problem(seat, error))?;
        // A colleague's new phone may wait for what this person alone can write.
        self.kolonne.nudge();
        // Whoever sat here before gets up: nobody writes as them by a tap on their name.
        for other in self.kolonne.me()?.seats {
            if other.has_pin && other.seat != *seat {
                self.kolonne.lock(&other.seat);
            }
        }
        self.take_seat(seat).map_err(|_| Problem::not_found("seat"))
    }
}

/// `POST /api/seat`
pub async fn sit(State(page): AtPage, Asked(ask): Asked<SitAsk>) -> Answer<Json<MeShape>> {
    page.run(move |page| {
        let seat = page.writer(&ask.seat)?;
        page.sit_down(&seat, ask.pin.as_ref().map(|pin| pin.0.as_str()))?;
        page.me()
    })
    .await
    .map(Json)
}

/// `POST /api/seat/pin`
pub async fn set_pin(State(page): AtPage, Asked(ask): Asked<PinAsk>) -> Answer<Json<MeShape>> {
    page.run(move |page| {
        let seat = page.writer(&ask.seat)?;
        let old = ask.old.as_ref().map(|pin| pin.0.as_str());
        let new = ask.new.as_ref().map(|pin| pin.0.as_str());
        let set = page.kolonne.set_pin(&seat, old, new);
        set.map_err(|error| page.pin_problem(&seat, error))?;
        page.kolonne.nudge();
        page.me()
    })
    .await
    .map(Json)
}

/// `POST /api/pin/check`
pub async fn check_pin(Asked(ask): Asked<NewPinAsk>) -> Answer<Json<Done>> {
    Kolonne::check_new_pin(&ask.pin.0)?;
    Ok(Json(Done {}))
}

/// `POST /api/seat/used`
pub async fn used(State(page): AtPage, Asked(ask): Asked<UsedAsk>) -> Answer<Json<Done>> {
    page.run(move |page| {
        let seat = page.writer(&ask.seat)?;
        let used = page.kolonne.used(&seat);
        used.map_err(|error| page.pin_problem(&seat, error))
    })
    .await?;
    Ok(Json(Done {}))
}

/// `POST /api/seat/forgotten`
pub async fn forgotten(
    State(page): AtPage,
    Asked(ask): Asked<ForgottenAsk>,
) -> Answer<Json<MeShape>> {
    page.run(move |page| {
        let seat = page.writer(&ask.seat)?;
        page.kolonne.want_new_seat(&seat, &ask.pin.0)?;
        page.me()
    })
    .await
    .map(Json)
}

/// `POST /api/lock`
pub async fn lock(State(page): AtPage) -> Answer<Json<MeShape>> {
    page.kolonne.lock_all();
    page.run(Page::me).await.map(Json)
}

/// `GET /api/auto-lock`
pub async fn auto_lock(State(page): AtPage) -> Answer<Json<AutoLockShape>> {
    page.run(|page| {
        let minutes = page.kolonne.phones_auto_lock_min()?;
        Ok(AutoLockShape { minutes })
    })
    .await
    .map(Json)
}

/// `POST /api/auto-lock`
pub async fn set_auto_lock(
    State(page): AtPage,
    Asked(ask): Asked<AutoLockAsk>,
) -> Answer<Json<Done>> {
    page.run(move |page| Ok(page.kolonne.set_auto_lock(&page.seat()?, ask.minutes)?))
        .await?;
    page.tell("devices");
    Ok(Json(Done {}))
}

/// `POST /api/seats/{id}/unlock`
pub async fn unlock(State(page): AtPage, Path(id): Path<String>) -> Answer<Json<Done>> {
    let seat: SeatId = id.parse().map_err(|_| Problem::not_found("seat"))?;
    page.run(move |page| Ok(page.kolonne.unlock_seat(&page.seat()?, &seat)?))
        .await?;
    page.tell("devices");
    Ok(Json(Done {}))
}

/// `POST /api/seats/{id}/renew`
pub async fn renew(
    State(page): AtPage,
    Path(id): Path<String>,
    Asked(ask): Asked<RenewAsk>,
) -> Answer<Json<Done>> {
    let not_found = |_| Problem::not_found("seat");
    let seat: SeatId = id.parse().map_err(not_found)?;
    let asked: SeatId = ask.wanted.parse().map_err(not_found)?;
    let renewed = page.kolonne.renew_seat(&page.seat()?, &seat, &asked).await;
    renewed.map_err(Problem::needs_hub)?;
    page.tell("devices");
    Ok(Json(Done {}))
}
