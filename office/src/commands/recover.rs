//! `kolonne recover`: this computer becomes an office device by the recovery kit.
//!
//! The kit is typed or comes on stdin, never as an argument: those stand in a shell's history and
//! in every list of processes.

use std::io::{BufRead, IsTerminal};

use kolonne_core::crypt::{KitError, RootSeed};
use kolonne_core::{Error, Kolonne, NewOffice};
use serde_json::json;
use zeroize::Zeroizing;

use super::{Context, new_hub, undo};
use crate::cli::RecoverArgs;
use crate::failure::{Failure, Outcome, needs_hub};
use crate::key_text;
use crate::output::{Output, clean_line};

/// Characters of a kit, without what separates them.
pub(super) const KIT_CHARS: usize = 70;
/// Longest input looked at.
const MAX_LINES: usize = 64;

/// Recovers.
pub async fn run(context: &Context, args: RecoverArgs) -> Outcome {
    let out = context.output;
    let dir = Context::dir(&args.place)?;
    let config = context.config(dir.clone());
    if Kolonne::open(config.clone()).is_ok() {
        return Err(Failure::new("founded_already").about(dir.display().to_string()));
    }
    out.hint(out.of(
        "Tippe den Notfallbogen ab; Groß- und Kleinschreibung, Striche und Zeilen sind gleich:",
        "Type the recovery kit; case, dashes and lines don't matter:",
    ));
    let kit = read_kit()?;
    check(out, &kit)?;
    let compared = match &args.hub_key {
        Some(text) => Some(key_text::parse(text).ok_or_else(|| Failure::new("hub_key_unread"))?),
        None => None,
    };
    let new = |hub_key| NewOffice {
        kit: kit.clone(),
        hub_url: args.hub.clone(),
        hub_key,
        backup: args.from.clone(),
        undo_since: args.undo_since,
        person_name: args.name.clone(),
        device_name: args.device.clone(),
    };
    let told = || super::backup::teller(out);
    let mut kolonne = Kolonne::recover(config.clone(), new(compared), told()).await;
    if let (
        None,
        Some(url),
        Err(Error::Invalid {
            code: "other_hub", ..
        }),
    ) = (compared, &args.hub, &kolonne)
    {
        // The lost one's successor, or a stranger: a person looks.
        let key = Kolonne::hub_key(url, &context.trust).await;
        let key = new_hub::compared(out, key.map_err(needs_hub)?).await?;
        kolonne = Kolonne::recover(config, new(Some(key)), told()).await;
    }
    let kolonne = kolonne.map_err(|error| match error {
        Error::NotFound { kind: "company" } => Failure::new("not_found.kit_company"),
        Error::NotFound { kind: "backup" }
        | Error::Invalid {
            field: "backup", ..
        } => {
            let shown = args.from.as_ref().map(|file| file.display().to_string());
            Failure::from(error).about(shown.unwrap_or_default())
        }
        other => needs_hub(other),
    })?;
    if args.hub.is_some() {
        context.hand_over(&kolonne).await;
    }
    let me = kolonne.me()?;
    out.json(&json!({ "company": me.company, "device": me.device, "seat": me.seats.first() }));
    out.line(&format!(
        "{} {}.",
        out.of("Wieder da:", "Back again:"),
        clean_line(&me.company)
    ));
    if args.hub.is_none() {
        out.line(out.of(
            "Noch ohne Hub. Ist der alte verloren: starte einen neuen, nenne ihn mit „kolonne hub-address“ und bestätige ihn mit „kolonne hub-certify“. Gibt es ihn noch: nenne ihn ebenso, dann „kolonne kit join“.",
            "Without a hub so far. If the old one is lost: start a new one, name it with “kolonne hub-address” and confirm it with “kolonne hub-certify”. If it is still there: name it likewise, then “kolonne kit join”.",
        ));
    }
    if let Some(since) = args.undo_since {
        undo::undo(context, &kolonne, kit, since, &args.captured, args.yes).await?;
    }
    out.line(out.of(
        "Sperre nun, was verloren ist: „kolonne device list“, dann „kolonne device end“. Nimm bald einen zweiten Büro-Computer auf.",
        "Now shut out what is lost: “kolonne device list”, then “kolonne device end”. Admit a second office computer soon.",
    ));
    Ok(())
}

/// Lines until the kit is complete, empty or at its end. It doesn't stay on the screen it was typed on.
pub(super) fn read_kit() -> Outcome<Zeroizing<String>> {
    let mut kit = Zeroizing::new(String::new());
    let stdin = std::io::stdin();
    let by_hand = stdin.is_terminal();
    for line in stdin.lock().lines().take(MAX_LINES) {
        let line = Zeroizing::new(line?);
        if by_hand && line.trim().is_empty() {
            break;
        }
        kit.push_str(&line);
        kit.push('\n');
        let chars = kit.chars().filter(|c| c.is_alphanumeric()).count();
        if by_hand && chars >= KIT_CHARS {
            break;
        }
    }
    if by_hand {
        Output::clear();
    }
    if kit.trim().is_empty() {
        Err(Failure::new("kit_unasked"))
    } else {
        Ok(kit)
    }
}

/// Says which group is wrong before anyone is asked.
pub(super) fn check(out: Output, kit: &str) -> Outcome {
    let wrong = Failure::new("invalid.kit");
    match RootSeed::from_kit_text(kit) {
        Ok(_) => Ok(()),
        Err(KitError::Group { number }) => {
            Err(wrong.about(format!("{} {number}", out.of("Gruppe", "group"))))
        }
        Err(KitError::Length { chars }) => Err(wrong.about(format!(
            "{chars} {} {KIT_CHARS}",
            out.of("Zeichen statt", "characters instead of")
        ))),
        Err(KitError::Checksum) => Err(wrong),
    }
}
