//! `kolonne status`: this device, its people, the company's people and devices, what waits.

use kolonne_core::records::{Alarm, AlarmKind};
use kolonne_model::roster::change::Role;
use serde_json::json;

use super::rights::gone_said;
use super::seat::{show_awaited, trouble_said, without_pin_said};
use super::standing::backlog_said;
use super::sync::show_outbox;
use super::{Context, pick};
use crate::cli::Acting;
use crate::failure::Outcome;
use crate::output::{Output, clean_line, now_ms, role_said, time};

/// An alarm in three sentences: what happened, what is safe, what to do.
fn alarm_said(out: Output, alarm: &Alarm) -> String {
    let since = time(alarm.since_ms, out.language);
    let said = match alarm.kind {
        AlarmKind::TwoRosters => out.of(
            "Der Hub hat diesem Gerät zwei verschiedene Stände des Betriebs gezeigt. Was geschrieben ist, ist sicher, und niemand Neues liest mit. Frag, wer den Hub betreibt; dann vereint das Büro beide mit „kolonne merge“.",
            "The hub showed this device two different rosters of the company. What is written is safe, and nobody new reads along. Ask who runs the hub; then the office makes them one with “kolonne merge”.",
        ),
        AlarmKind::ForeignRoster => out.of(
            "Ein Gerät kennt einen anderen Stand des Betriebs als dieses. Was es schrieb, ist aufgehoben und wird nicht gezeigt. Frag, wer den Hub betreibt, und sieh im Büro nach.",
            "A device knows another roster of the company than this one. What it wrote is kept and isn't shown. Ask who runs the hub, and look in the office.",
        ),
        AlarmKind::MergeNeedsPin => out.of(
            "Der Hub kennt einen anderen Stand des Betriebs als dieser Computer. Was geschrieben ist, ist sicher, und wer gesperrt ist, bleibt es. Gib mit „kolonne merge“ deine PIN ein, dann werden beide vereint.",
            "The hub has another roster of the company than this computer. What is written is safe, and who was shut out stays out. Type your PIN with “kolonne merge”, and both become one.",
        ),
        AlarmKind::RanTwice => out.of(
            "Die Daten dieses Geräts laufen zweimal oder wurden aus einer Kopie zurückgespielt. Was geschrieben ist, ist da, von beiden. Hat sie niemand zurückgespielt, dann hat jemand eine Kopie: Sperre das Gerät und nimm es neu auf.",
            "This device's data runs twice or was put back from a copy. What was written is here, of both. If nobody put it back, somebody has a copy: shut the device out and admit it anew.",
        ),
    };
    let name = alarm.device.as_deref().or(alarm.person.as_deref());
    let name = name.map(|name| format!(" ({})", clean_line(name)));
    let since_when = match alarm.kind {
        AlarmKind::TwoRosters | AlarmKind::ForeignRoster => out.of("ALARM seit", "ALARM since"),
        AlarmKind::MergeNeedsPin | AlarmKind::RanTwice => out.of("Hinweis seit", "Notice since"),
    };
    format!("{since_when} {since}{}: {said}", name.unwrap_or_default())
}

/// `kolonne put-away`
pub fn put_away(context: &Context, acting: &Acting, about: &str) -> Outcome {
    let out = context.output;
    let (kolonne, _, seat) = context.act(acting)?;
    let alarms = kolonne.alarms()?;
    let alarm = pick::alarm(&alarms, about)?;
    if let Some(id) = &alarm.id {
        kolonne.put_away_alarm(&seat.seat, id)?;
    }
    out.json(&json!({ "put_away": alarm.id, "alarms": kolonne.alarms()? }));
    out.line(out.of(
        "Weggelegt, auf diesem Computer. Kommt etwas Neues dazu, steht es wieder da.",
        "Put away, on this computer. With new signs it is there again.",
    ));
    Ok(())
}

/// Shows.
pub fn run(context: &Context, acting: &Acting) -> Outcome {
    let out = context.output;
    let kolonne = context.open(&acting.place)?;
    let me = kolonne.me()?;
    let status = kolonne.status()?;
    let (people, crews) = kolonne.people()?;
    let devices = kolonne.devices()?;
    let missing = kolonne.backlog()?;
    out.json(&json!({
        "me": me, "status": status, "people": people, "crews": crews, "devices": devices,
        "backlog": missing,
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
    super::kit::warn(out, &Context::dir(&acting.place)?);
    for seat in &me.seats {
        let id: String = seat.seat.to_string().chars().take(8).collect();
        out.line(&format!(
            "{}: {} ({}, {id})",
            out.of("Hier schreibt", "Writes here"),
            clean_line(&seat.name),
            role_said(seat.role, out.language),
        ));
        if let Some(said) = trouble_said(out, seat) {
            out.line(&format!("  {said}"));
        }
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
        let ended = gone_said(out, device);
        let pins = without_pin_said(out, &device.without_pin);
        let people = clean_line(&device.people.join(", "));
        let named = format!("{} ({people})", clean_line(&device.name));
        let said: Vec<String> = [Some(named), ended, pins].into_iter().flatten().collect();
        out.line(&format!(
            "{}: {}",
            out.of("Gerät", "Device"),
            said.join(", ")
        ));
    }
    let is_office = me.seats.iter().any(|seat| seat.role >= Role::Office);
    for alarm in &status.alarms {
        out.line(&alarm_said(out, alarm));
        let name = alarm.device.as_ref().or(alarm.person.as_ref());
        if let (Some(name), true) = (name.filter(|_| alarm.id.is_some()), is_office) {
            let name = clean_line(name);
            out.line(&format!(
                "  {}: kolonne put-away \"{name}\"",
                out.of("Ist es geklärt", "Once it is settled")
            ));
        }
    }
    for backlog in &missing {
        let name = clean_line(&backlog.device_name);
        out.line(&format!("{name}: {}", backlog_said(out, backlog, now_ms())));
    }
    show_awaited(out, &me.seats);
    show_outbox(out, &status.outbox, status.new_hub.as_ref());
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
