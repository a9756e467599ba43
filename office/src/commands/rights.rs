//! `kolonne device`, `person`, `quarantine`: whose rights end, who moves, what is let in.
//!
//! Ending asks first: a device that has ended empties itself and can't be taken back.

use kolonne_core::Kolonne;
use kolonne_core::records::{DeviceRecord, KeptBack, KeptBackWhy, LetInBy, role_word};
use kolonne_model::roster::change::{EndMode, Role, Subject};
use serde_json::json;

use super::seat::{waiting_said, without_pin_said};
use super::{Context, pick, standing};
use crate::cli::{DeviceCommand, EndArgs, EndWord, PersonCommand, PersonRole, QuarantineCommand};
use crate::failure::{Failure, Outcome, needs_hub};
use crate::output::{Output, Thing, clean_line, counts_of, now_ms, role_said, time};

/// `kolonne device`
pub async fn device(context: &Context, command: DeviceCommand) -> Outcome {
    let out = context.output;
    match command {
        DeviceCommand::List { place } => {
            let kolonne = context.open(&place)?;
            let devices = kolonne.devices()?;
            out.json(&json!({ "devices": devices }));
            for device in &devices {
                out.line(&said_of(out, device));
                for seat in &device.locked_seats {
                    out.line(&format!("  {}", waiting_said(out, seat)));
                }
                if let Some(said) = without_pin_said(out, &device.without_pin) {
                    out.line(&format!("  {said}"));
                }
            }
            Ok(())
        }
        DeviceCommand::HandBack { place } => standing::hand_back(context, &place),
        DeviceCommand::End {
            acting,
            device,
            end,
        } => {
            let (kolonne, _, seat) = context.act(&acting)?;
            let device = pick::device(&kolonne, &device)?;
            confirm(out, &device.name, &end).await?;
            let subject = Subject::Device(device.id);
            let ended = kolonne.end(&seat.seat, subject, mode(&end)).await;
            ended.map_err(needs_hub)?;
            out.json(&json!({ "id": device.id }));
            out.line(out.of(
                "Gesperrt. Beim nächsten Kontakt gibt das Gerät ab, was es noch hat, und leert sich dann.",
                "Shut out. At its next contact the device hands over what it still has, then empties itself.",
            ));
            Ok(())
        }
        DeviceCommand::Move {
            acting,
            device,
            crew,
        } => {
            let (kolonne, _, seat) = context.act(&acting)?;
            let device = pick::device(&kolonne, &device)?;
            let crew = pick::crew(&kolonne, &crew)?;
            let moved = kolonne.move_device(&seat.seat, &device.id, &crew).await;
            moved.map_err(needs_hub)?;
            out.json(&json!({ "id": device.id }));
            out.line(out.of("Umgezogen.", "Moved."));
            Ok(())
        }
    }
}

/// `kolonne person`
pub async fn person(context: &Context, command: PersonCommand) -> Outcome {
    let out = context.output;
    match command {
        PersonCommand::List { place } => {
            let kolonne = context.open(&place)?;
            let ((people, _), ended) = (kolonne.people()?, kolonne.ended_people()?);
            out.json(&json!({ "people": people, "ended": ended }));
            for person in &people {
                let without = if person.seats == 0 {
                    out.of(", ohne Gerät", ", without a device")
                } else {
                    ""
                };
                let (id, name) = (pick::short(&person.id), clean_line(&person.name));
                let role = role_said(person.role, out.language);
                out.line(&format!("{id}  {name} ({role}{without})"));
            }
            for person in &ended {
                let (id, name) = (pick::short(&person.id), clean_line(&person.name));
                out.line(&format!("{id}  {name}: {}", out.of("gesperrt", "shut out")));
            }
            Ok(())
        }
        PersonCommand::End {
            acting,
            person,
            end,
        } => {
            let (kolonne, _, seat) = context.act(&acting)?;
            let person = pick::person(&kolonne, &person)?;
            confirm(out, &person.name, &end).await?;
            let subject = Subject::Person(person.id);
            let ended = kolonne.end(&seat.seat, subject, mode(&end)).await;
            ended.map_err(needs_hub)?;
            out.json(&json!({ "id": person.id }));
            out.line(out.of("Der Zugang ist beendet.", "The access has ended."));
            Ok(())
        }
        PersonCommand::Role {
            acting,
            person,
            role,
        } => {
            let (kolonne, _, seat) = context.act(&acting)?;
            let person = pick::person(&kolonne, &person)?;
            let role = match role {
                PersonRole::Crew => Role::Crew,
                PersonRole::Foreman => Role::Foreman,
                PersonRole::Office => Role::Office,
                PersonRole::Admin => Role::Admin,
            };
            let given = kolonne.set_role(&seat.seat, &person.id, role).await;
            given.map_err(needs_hub)?;
            out.json(&json!({ "id": person.id, "role": role_word(role) }));
            out.line(&format!(
                "{}: {}",
                clean_line(&person.name),
                role_said(role, out.language)
            ));
            Ok(())
        }
    }
}

/// `kolonne quarantine`
pub async fn quarantine(context: &Context, command: QuarantineCommand) -> Outcome {
    let out = context.output;
    match command {
        QuarantineCommand::List { acting } => {
            // Whoever is named has their PIN in: direct threads show with it.
            let kolonne = if acting.who.is_some() {
                context.act(&acting)?.0
            } else {
                context.open(&acting.place)?
            };
            let mut kept = kolonne.kept_back()?;
            kept.retain(|kept| kept.entries > 0 || kept.changes > 0);
            out.json(&json!({ "kept_back": kept }));
            for kept in &kept {
                out.line(&kept_line(&kolonne, out, kept)?);
            }
            if kept.is_empty() {
                out.hint(out.of("Nichts ist zurückgehalten.", "Nothing is kept back."));
            }
            Ok(())
        }
        QuarantineCommand::Admit {
            acting,
            job,
            person,
        } => {
            let (kolonne, _, seat) = context.act(&acting)?;
            let row = pick::job(&kolonne, &seat.seat, &job)?;
            let wanted = person.trim().to_lowercase();
            let fits = |kept: &KeptBack| {
                let name = kept.person.as_deref().unwrap_or_default().to_lowercase();
                kept.thread == row.id
                    && kept.let_in_by != LetInBy::Nobody
                    && !wanted.is_empty()
                    && name.contains(&wanted)
            };
            let mut of: Vec<_> = kolonne.kept_back()?.into_iter().filter(fits).collect();
            of.sort_by_key(|kept| kept.seat);
            of.dedup_by_key(|kept| kept.seat);
            if of.is_empty() {
                return Err(Failure::new("not_found.kept_back").about(person));
            }
            for kept in &of {
                kolonne.admit(&seat.seat, &row.id, &kept.seat)?;
            }
            context.hand_over(&kolonne).await;
            out.json(&json!({ "id": row.id }));
            out.line(out.of("Zugelassen.", "Let in."));
            Ok(())
        }
    }
}

const fn mode(end: &EndArgs) -> EndMode {
    match end.how {
        EndWord::Peace => EndMode::Soft,
        EndWord::Now => EndMode::Hard,
    }
}

async fn confirm(out: Output, name: &str, end: &EndArgs) -> Outcome {
    if end.yes {
        return Ok(());
    }
    let question = out.of(
        "Den Zugang wirklich beenden? Das lässt sich nicht zurücknehmen.",
        "Really end this access? It can't be taken back.",
    );
    match out.ask(&format!("{}: {question}", clean_line(name))).await {
        Some(true) => Ok(()),
        Some(false) => Err(Failure::new("end_denied")),
        None => Err(Failure::new("end_unasked")),
    }
}

fn said_of(out: Output, device: &DeviceRecord) -> String {
    let mut said = format!("{}  {}", pick::short(&device.id), clean_line(&device.name));
    if !device.people.is_empty() {
        said = format!("{said} ({})", clean_line(&device.people.join(", ")));
    }
    if let Some(crew) = &device.crew {
        said = format!("{said} · {}", clean_line(crew));
    }
    if let Some(gone) = gone_said(out, device) {
        return format!("{said}: {gone}");
    }
    match &device.backlog {
        Some(backlog) => {
            let missing = standing::backlog_said(out, backlog, now_ms());
            match device.last_contact_ms {
                Some(ms) if !device.this_device => {
                    let heard = out.of("zuletzt gehört", "last heard of");
                    format!("{said}: {missing}; {heard} {}", time(ms, out.language))
                }
                _ => format!("{said}: {missing}"),
            }
        }
        None if device.this_device => said,
        None => match device.last_contact_ms {
            Some(ms) => {
                let as_of = out.of("alles im Büro, Stand", "all at the office as of");
                format!("{said}: {as_of} {}", time(ms, out.language))
            }
            None => said,
        },
    }
}

/// How far a device that ended has got, or that it emptied itself though its end was undone.
pub fn gone_said(out: Output, device: &DeviceRecord) -> Option<String> {
    let said = match (&device.ended, &device.wiped) {
        (None, None) => return None,
        (Some(_), None) => out.of("gesperrt, noch nicht geleert", "shut out, not emptied yet"),
        (Some(_), Some(_)) => out.of("gesperrt, geleert", "shut out, emptied"),
        (None, Some(_)) => out.of("nicht gesperrt, geleert", "not shut out, emptied"),
    };
    let Some(wiped) = device.wiped else {
        return Some(said.to_owned());
    };
    let mut said = format!("{said} {}", time(wiped.time_ms, out.language));
    if wiped.lost > 0 {
        let never = out.of("nie angekommen", "never arrived");
        said = format!("{said}, {never}: {}", wiped.lost);
    }
    if device.last_contact_ms > Some(wiped.time_ms) {
        said.push_str(out.of(
            "; danach kam noch etwas von ihm: jemand hat eine Kopie seines Ordners",
            "; something came from it afterwards: somebody has a copy of its folder",
        ));
    }
    Some(said)
}

fn kept_line(kolonne: &Kolonne, out: Output, kept: &KeptBack) -> Outcome<String> {
    let why = match kept.why {
        KeptBackWhy::ForeignRoster => out.of(
            "nennt einen Stand, den es nie gab",
            "names a state that never was",
        ),
        KeptBackWhy::NotCertified => out.of("war noch nicht aufgenommen", "wasn't admitted yet"),
        KeptBackWhy::Ended | KeptBackWhy::Cut => {
            out.of("nach dem Sperren gekommen", "came after the end")
        }
        KeptBackWhy::NotMember => out.of("war nicht dabei", "wasn't a member"),
        KeptBackWhy::Right => out.of("durfte das nicht", "had no right to"),
    };
    let seat = kolonne.me()?.seats.first().map(|seat| seat.seat);
    let title = seat
        .and_then(|seat| kolonne.thread(&seat, &kept.thread).ok())
        .map(|thread| thread.row.title);
    let mut kinds = counts_of(
        out,
        &[
            (kept.texts.into(), Thing::Text),
            (kept.photos.into(), Thing::Photo),
            (kept.voices.into(), Thing::Voice),
            (kept.files.into(), Thing::File),
            (kept.changes.into(), Thing::Change),
        ],
    );
    if !kinds.is_empty() {
        kinds = format!(" ({kinds})");
    }
    let times = if kept.first_ms == kept.last_ms {
        time(kept.last_ms, out.language)
    } else {
        let from = time(kept.first_ms, out.language);
        format!("{from} – {}", time(kept.last_ms, out.language))
    };
    Ok(format!(
        "{} · {} ({}): {} {}{kinds} · {times} · {}",
        clean_line(title.as_deref().unwrap_or("?")),
        clean_line(kept.person.as_deref().unwrap_or("?")),
        clean_line(kept.device.as_deref().unwrap_or("?")),
        kept.entries.saturating_add(kept.changes),
        out.of("zurückgehalten", "kept back"),
        why,
    ))
}
