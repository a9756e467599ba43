//! `kolonne status`: this device, its people, the company's people and devices, what waits.

use kolonne_core::records::{HubState, role_word};
use serde_json::json;

use super::Context;
use super::sync::show_outbox;
use crate::cli::Acting;
use crate::failure::Outcome;
use crate::output::{clean_line, time};

/// Shows.
pub fn run(context: &Context, acting: &Acting) -> Outcome {
    let out = context.output;
    let kolonne = context.open(&acting.place)?;
    let me = kolonne.me()?;
    let status = kolonne.status()?;
    let (people, crews) = kolonne.people()?;
    let devices = kolonne.devices()?;
    out.json(&json!({
        "me": me, "status": status, "people": people, "crews": crews, "devices": devices,
    }));
    out.line(&format!(
        "{} · {}",
        clean_line(&me.company),
        clean_line(&me.device_name)
    ));
    let hub = match status.hub {
        HubState::Reachable => out.of("erreichbar", "reachable"),
        HubState::Unreachable => out.of("nicht erreichbar", "not reachable"),
        HubState::Unknown => out.of("noch nicht versucht", "not tried yet"),
        HubState::Flight => out.of("Flugmodus", "flight mode"),
    };
    let contact = status.last_contact_ms.map_or_else(
        || out.of("noch nie", "never").to_owned(),
        |ms| time(ms, out.language),
    );
    out.line(&format!(
        "Hub: {} ({hub}; {} {contact})",
        me.hub_url,
        out.of("zuletzt", "last")
    ));
    for seat in &me.seats {
        let id: String = seat.seat.to_string().chars().take(8).collect();
        out.line(&format!(
            "{}: {} ({}, {id})",
            out.of("Hier schreibt", "Writes here"),
            clean_line(&seat.name),
            role_word(seat.role),
        ));
    }
    for crew in &crews {
        out.line(&format!(
            "{}: {}",
            out.of("Kolonne", "Crew"),
            clean_line(&crew.name)
        ));
    }
    for person in &people {
        out.line(&format!(
            "{}: {} ({})",
            out.of("Mitarbeiter", "Person"),
            clean_line(&person.name),
            role_word(person.role),
        ));
    }
    for device in &devices {
        out.line(&format!(
            "{}: {} ({})",
            out.of("Gerät", "Device"),
            clean_line(&device.name),
            clean_line(&device.people.join(", ")),
        ));
    }
    show_outbox(out, &status.outbox);
    Ok(())
}
