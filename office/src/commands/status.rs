//! `kolonne status`: this device, its people, the company's people and devices, what waits.

use serde_json::json;

use super::Context;
use super::sync::show_outbox;
use crate::cli::Acting;
use crate::failure::Outcome;
use crate::output::{clean_line, role_said, time};

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
    let contact = status.last_contact_ms.map_or_else(
        || out.of("noch nie", "never").to_owned(),
        |ms| time(ms, out.language),
    );
    out.line(&format!(
        "Hub: {} ({} {contact})",
        me.hub_url,
        out.of("zuletzt erreicht", "last reached")
    ));
    super::new_hub::show(out, status.new_hub.as_ref());
    for seat in &me.seats {
        let id: String = seat.seat.to_string().chars().take(8).collect();
        out.line(&format!(
            "{}: {} ({}, {id})",
            out.of("Hier schreibt", "Writes here"),
            clean_line(&seat.name),
            role_said(seat.role, out.language),
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
            role_said(person.role, out.language),
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
    if status.roster_stale {
        out.hint(out.of(
            "Seit über drei Tagen kein Abgleich mit dem Betrieb: Wer gesperrt wurde oder neu ist, weiß dieses Gerät noch nicht. Schreiben geht weiter und ist gesichert. Geh bei Gelegenheit ins Netz.",
            "No contact with the company for more than three days: this device doesn't know yet who was shut out or is new. Writing goes on and is saved. Connect when you can.",
        ));
    }
    let erasures = kolonne.erasures()?;
    let waiting = erasures.iter().filter(|erasure| erasure.needs_second);
    let waiting = waiting.count();
    if waiting > 0 {
        out.hint(&format!(
            "{waiting} {}",
            out.of(
                "gelöschte Einträge warten auf eine zweite Person im Büro (erase list).",
                "erased entries wait for a second office person (erase list).",
            )
        ));
    }
    for complaint in kolonne.key_complaints()?.iter().filter(|c| c.is_open) {
        out.hint(&format!(
            "{} {} ({} {})",
            out.of(
                "Ein Schlüssel öffnet sich nicht für",
                "A key doesn't open for"
            ),
            clean_line(&complaint.for_whom),
            out.of("gemacht von", "made by"),
            clean_line(complaint.maker.as_deref().unwrap_or("?")),
        ));
    }
    Ok(())
}
