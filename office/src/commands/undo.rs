//! `kolonne roster`, `undo`, `kit replace`: who did what to the roster, and what only the recovery
//! kit can do about it.
//!
//! What would go is shown in plain words before anyone is asked. A new kit is handed out before it
//! holds, so that none is ever in force that nobody has.

use kolonne_core::records::{DeviceRecord, RosterEvent, RosterStanding, RosterWhat};
use kolonne_core::{Error, Kolonne, Undo};
use serde_json::json;
use zeroize::Zeroizing;

use super::recover::{check, read_kit};
use super::{Context, kit, pick};
use crate::cli::{Acting, KitArgs, Place, UndoArgs};
use crate::failure::{Failure, Outcome, needs_hub};
use crate::kit_mark;
use crate::kit_page::KitPage;
use crate::output::{Output, clean_line, role_said, time};

/// `kolonne roster`
pub fn list(context: &Context, place: &Place) -> Outcome {
    let out = context.output;
    let events = context.open(place)?.roster_history()?;
    out.json(&json!({ "roster": events }));
    for event in &events {
        out.line(&said(out, event));
        for carried in &event.carried {
            out.line(&format!(
                "        {}",
                said_by(out, carried.time_ms, carried.by.as_deref(), &carried.what)
            ));
        }
    }
    Ok(())
}

/// `kolonne merge`
pub async fn merge(context: &Context, acting: &Acting) -> Outcome {
    let out = context.output;
    let (kolonne, _, _) = context.act(acting)?;
    let before = merges(&kolonne)?;
    kolonne.merge_roster().await.map_err(needs_hub)?;
    context.hand_over(&kolonne).await;
    let merged = merges(&kolonne)? > before;
    out.json(&json!({ "merged": merged, "alarms": kolonne.alarms()? }));
    out.line(if merged {
        out.of(
            "Es gilt ein Stand: wer irgendwo gesperrt wurde, ist gesperrt; wer aufgenommen wurde, ist aufgenommen.",
            "There is one roster: whoever was shut out in either is out; whoever was admitted is in.",
        )
    } else {
        out.of(
            "Es gibt nichts zu vereinen: dieses Gerät und der Hub kennen denselben Stand.",
            "There is nothing to merge: this device and the hub know the same roster.",
        )
    });
    Ok(())
}

fn ended(kolonne: &Kolonne) -> Outcome<Vec<DeviceRecord>> {
    let mut devices = kolonne.devices()?;
    devices.retain(|device| device.ended.is_some());
    Ok(devices)
}

fn merges(kolonne: &Kolonne) -> Outcome<usize> {
    let events = kolonne.roster_history()?;
    let what = events.iter().flat_map(|event| &event.what);
    Ok(what.filter(|what| what.code == "merged").count())
}

/// `kolonne undo`
pub async fn run(context: &Context, args: UndoArgs) -> Outcome {
    let out = context.output;
    let kolonne = context.open(&args.place)?;
    ask_for_kit(out);
    let kit = read_kit()?;
    check(out, &kit)?;
    undo(context, &kolonne, kit, args.since, &args.captured, args.yes).await
}

/// Shows what would go, asks, and undoes it.
pub async fn undo(
    context: &Context,
    kolonne: &Kolonne,
    kit: Zeroizing<String>,
    since: u32,
    captured: &[String],
    yes: bool,
) -> Outcome {
    let out = context.output;
    // One that was shut out already is named all the same: its end is among what goes.
    let captured = captured.iter().map(|name| pick::any_device(kolonne, name));
    let captured: Vec<_> = captured.collect::<Outcome<_>>()?;
    let ended_before = ended(kolonne)?;
    let events = kolonne.roster_history()?;
    let goes: Vec<&RosterEvent> = events
        .iter()
        .filter(|event| event.place >= since && event.standing == RosterStanding::Holds)
        .collect();
    out.hint(out.of(
        "Das wird rückgängig gemacht (nur die Aufnahme dieses Computers bleibt):",
        "This will be undone (only this computer's admission stays):",
    ));
    for event in &goes {
        out.hint(&said(out, event));
    }
    for device in &captured {
        out.hint(&format!(
            "{}: {}",
            out.of("Gesperrt wird", "Will be shut out"),
            clean_line(&device.name)
        ));
    }
    if !yes {
        let question = out.of("Wirklich rückgängig machen?", "Really undo it?");
        match out.ask(question).await {
            Some(true) => {}
            Some(false) => return Err(Failure::new("undo_denied")),
            None => return Err(Failure::new("undo_unasked")),
        }
    }
    let undo = Undo {
        kit,
        since,
        captured: captured.iter().map(|device| device.id).collect(),
    };
    kolonne.undo(undo).await.map_err(needs_hub)?;
    context.hand_over(kolonne).await;
    let ended_after = ended(kolonne)?;
    let back: Vec<&DeviceRecord> = ended_before
        .iter()
        .filter(|device| ended_after.iter().all(|ended| ended.id != device.id))
        .collect();
    let names: Vec<&str> = back.iter().map(|device| device.name.as_str()).collect();
    out.json(&json!({ "undone": goes, "back": names }));
    out.line(out.of(
        "Rückgängig gemacht. Wen der fremde Computer gesperrt hat, nimm mit „kolonne invite“ neu auf.",
        "Undone. Whom the captured computer shut out, admit anew with “kolonne invite”.",
    ));
    for device in back {
        let said = if device.wiped.is_some() {
            out.of(
                "hat sich schon geleert: nimm es mit „kolonne invite“ neu auf.",
                "has emptied itself already: admit it anew with “kolonne invite”.",
            )
        } else {
            out.of(
                "hat wieder Zugang: auch seine Sperre ist rückgängig gemacht. Soll es gesperrt bleiben, sperre es jetzt („kolonne device end“).",
                "has access again: its end was undone too. If it is to stay out, end it now (“kolonne device end”).",
            )
        };
        out.line(&format!("{} {said}", clean_line(&device.name)));
    }
    if goes
        .iter()
        .any(|event| event.what.iter().any(|what| what.code == "hub"))
    {
        out.line(out.of(
            "Auch die Bestätigung des Hubs ist rückgängig gemacht. Bestätige ihn mit „kolonne hub-certify“.",
            "The hub's confirmation was undone too. Confirm it with “kolonne hub-certify”.",
        ));
    }
    Ok(())
}

/// `kolonne kit replace`
pub async fn replace_kit(context: &Context, acting: &Acting, args: &KitArgs) -> Outcome {
    let out = context.output;
    let (kolonne, _, seat) = context.act(acting)?;
    kit::check(context, args)?;
    ask_for_kit(out);
    let old = read_kit()?;
    check(out, &old)?;
    // Before a page is printed that would open nothing.
    kolonne.check_replacing(&seat.seat, &old)?;
    let new = Kolonne::new_kit()?;
    let me = kolonne.me()?;
    let page = KitPage {
        kit: &new,
        company: &me.company,
        hub_url: &me.hub_url,
        made_ms: (context.config(Context::dir(&acting.place)?).clock)(),
    };
    out.json(&json!({ "recovery_kit": &*new }));
    let handed_out = kit::hand_out(context, args, page)
        .await
        .map_err(|failure| match failure.code.as_str() {
            "kit_unshown" => Failure::new("kit_unshown.replace"),
            _ => failure,
        })?;
    let replaced = kolonne.replace_kit(&seat.seat, &old, &new).await;
    // Without an answer nobody knows.
    let refused = replaced.as_ref().err();
    if refused.is_some_and(|error| !matches!(error, Error::Offline { .. })) {
        out.hint(out.of(
            "Der gezeigte Bogen gilt nicht. Vernichte ihn; der bisherige gilt weiter.",
            "The kit that was shown doesn't hold. Destroy it; the one before still holds.",
        ));
    }
    replaced.map_err(needs_hub)?;
    kit_mark::note(kolonne.dir(), handed_out);
    context.hand_over(&kolonne).await;
    out.hint(out.of(
        "Der neue Notfallbogen gilt. Sicherungen von früher öffnet nur der alte, und nur er. Schreibe jetzt eine neue mit „kolonne backup“; erst danach vernichte den alten Bogen und die alten Sicherungen.",
        "The new recovery kit holds. Earlier backups open with the old one, and with it only. Write a new one now with “kolonne backup”; only then destroy the old kit and the old backups.",
    ));
    Ok(())
}

fn ask_for_kit(out: Output) {
    out.hint(out.of(
        "Tippe den bisherigen Notfallbogen ab; Groß- und Kleinschreibung, Striche und Zeilen sind gleich:",
        "Type the recovery kit you have; case, dashes and lines don't matter:",
    ));
}

fn said(out: Output, event: &RosterEvent) -> String {
    let standing = match event.standing {
        RosterStanding::Holds => "",
        RosterStanding::Undone => out.of(" [rückgängig gemacht]", " [undone]"),
        RosterStanding::Void => out.of(" [ohne Wirkung]", " [without effect]"),
    };
    format!(
        "{:>4}  {}{standing}",
        event.place,
        said_by(out, event.time_ms, event.by.as_deref(), &event.what)
    )
}

fn said_by(out: Output, time_ms: u64, by: Option<&str>, what: &[RosterWhat]) -> String {
    let kit = || out.of("Notfallbogen", "recovery kit").to_owned();
    let by = by.map_or_else(kit, clean_line);
    let mut what: Vec<String> = what.iter().map(|what| what_said(out, what)).collect();
    if what.is_empty() {
        what.push(out.of("neue Schlüssel", "new keys").to_owned());
    }
    format!("{}  {by}: {}", time(time_ms, out.language), what.join("; "))
}

fn what_said(out: Output, what: &RosterWhat) -> String {
    let subject = what.subject.as_deref().map(clean_line).unwrap_or_default();
    match what.code {
        "founded" => out.of("Betrieb gegründet", "company founded").to_owned(),
        "device" => format!(
            "{} {subject}",
            out.of("Gerät aufgenommen:", "device admitted:")
        ),
        "person" => format!(
            "{} {subject}",
            out.of("Mitarbeiter aufgenommen:", "person admitted:")
        ),
        "moved" => format!("{} {subject}", out.of("umgezogen:", "moved:")),
        "role" => format!(
            "{} {subject}{}",
            out.of("andere Rolle:", "another role:"),
            roles_said(out, what)
        ),
        "renewed" => format!(
            "{} {subject}",
            out.of("neue Anmeldung für", "a new seat for")
        ),
        "ended" => {
            let how = match what.at_once {
                Some(true) => out.of(" (sofort)", " (now)"),
                Some(false) => out.of(" (in Frieden)", " (in peace)"),
                None => "",
            };
            let ended = out.of("Zugang beendet:", "access ended:");
            format!("{ended} {subject}{how}")
        }
        "hub" => out.of("Hub bestätigt", "hub confirmed").to_owned(),
        "merged" => out
            .of("zwei Stände vereint", "two branches merged")
            .to_owned(),
        "undone" => out
            .of("Früheres rückgängig gemacht", "earlier things undone")
            .to_owned(),
        "kit" => out.of("neuer Notfallbogen", "new recovery kit").to_owned(),
        _ => out
            .of(
                "etwas aus einer neueren Version",
                "something of a newer version",
            )
            .to_owned(),
    }
}

/// From which role to which.
fn roles_said(out: Output, what: &RosterWhat) -> String {
    let Some(step) = what.roles else {
        return String::new();
    };
    let after = role_said(step.after, out.language);
    match step.before {
        Some(before) => format!(" ({} → {after})", role_said(before, out.language)),
        None => format!(" ({after})"),
    }
}
