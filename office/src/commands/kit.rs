//! Handing out a recovery kit: shown, printed, and asked for again, since it is kept nowhere.
//!
//! It goes to the screen, to the printer's program and to stdout, and into no file, argument or
//! log of ours.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use kolonne_core::Error;
use kolonne_core::crypt::{kit, random};
use serde_json::json;
use zeroize::Zeroizing;

use super::Context;
use super::recover::{self, read_kit};
use crate::cli::{KitArgs, Place};
use crate::failure::{Failure, Outcome, needs_hub};
use crate::kit_mark::{HandedOut, is_unconfirmed, note};
use crate::kit_page::KitPage;
use crate::output::{Output, is_whole};

/// Programs that print what they get on stdin, twice.
const PRINTERS: [(&str, &[&str]); 2] = [
    ("lp", &["-n", "2", "-t", "Notfallbogen"]),
    ("lpr", &["-#", "2", "-T", "Notfallbogen"]),
];
/// Groups asked for.
const ASKED: usize = 2;
/// Whether a kit made now could be handed out; asked before it is made.
pub fn check(context: &Context, args: &KitArgs) -> Outcome {
    let out = context.output;
    let on_screen = args.kit_pdf.is_some() && std::io::stdout().is_terminal();
    if on_screen || (args.kit_pdf.is_some() && out.is_json()) {
        return Err(Failure::new("kit_pdf_nowhere"));
    }
    if !out.is_json() && !args.yes && !std::io::stdin().is_terminal() {
        return Err(Failure::new("kit_unconfirmed"));
    }
    Ok(())
}

/// Warns as long as nobody confirmed that they have the kit.
pub fn warn(out: Output, dir: &Path) {
    if is_unconfirmed(dir) {
        out.line(out.of(
            "ACHTUNG: Dass jemand den Notfallbogen hat, wurde nie bestätigt. Liegt er auf Papier vor, prüfe ihn mit „kolonne kit check“. Hat ihn niemand, gründe den Betrieb neu, solange hier wenig liegt: in einem anderen Ordner, an einem neuen Hub oder einem, der zwei Betriebe nimmt („kolonne hub --companies 2“). Ohne Bogen ist alles verloren, wenn die Computer des Büros es sind.",
            "WARNING: That anyone has the recovery kit was never confirmed. If it is on paper, check it with “kolonne kit check”. If nobody has it, found the company anew while little lies here: in another folder, at a new hub or one that takes two companies (“kolonne hub --companies 2”). Without a kit everything is lost once the office's computers are.",
        ));
    }
}

/// `kolonne kit check`
pub fn check_paper(context: &Context, place: &Place) -> Outcome {
    let out = context.output;
    let kolonne = context.open(place)?;
    out.hint(out.of("Tippe den Notfallbogen ab:", "Type the recovery kit:"));
    let typed = read_kit()?;
    recover::check(out, &typed)?;
    kolonne.check_kit(&typed)?;
    note(&Context::dir(place)?, HandedOut::Confirmed);
    out.json(&json!({ "kit": "good" }));
    out.line(out.of(
        "Das ist der Notfallbogen, der gilt.",
        "This is the recovery kit that counts.",
    ));
    Ok(())
}

/// `kolonne kit join`
pub async fn join(context: &Context, place: &Place) -> Outcome {
    let out = context.output;
    let kolonne = context.open(place)?;
    out.hint(out.of("Tippe den Notfallbogen ab:", "Type the recovery kit:"));
    let typed = read_kit()?;
    let (newest, after) = first_kit(&typed);
    recover::check(out, newest)?;
    if let Some(previous) = after {
        recover::check(out, previous)?;
    }
    let mut joined = kolonne.rejoin(newest, after).await;
    let wants_more = joined
        .as_ref()
        .is_err_and(|error| error.code() == "invalid.kit.previous_wanted");
    if wants_more && after.is_none() && std::io::stdin().is_terminal() {
        out.hint(out.of(
            "Der Hub kennt nur den Bogen davor. Tippe auch den ab:",
            "The hub knows only the kit before it. Type that one too:",
        ));
        let previous = read_kit()?;
        recover::check(out, &previous)?;
        joined = kolonne.rejoin(newest, Some(&previous)).await;
    }
    joined.map_err(|error| match error {
        Error::NotFound { kind: "company" } => Failure::new("not_found.kit_company"),
        other => needs_hub(other),
    })?;
    context.hand_over(&kolonne).await;
    out.json(&json!({ "joined": true }));
    out.line(out.of(
        "Dieser Computer gehört wieder dazu. Was hier ohne den Hub geschrieben wurde, wartet auf das Büro: „kolonne quarantine list“.",
        "This computer belongs again. What was written here without the hub waits for the office: “kolonne quarantine list”.",
    ));
    Ok(())
}

/// The first of two kits that came together, and what is after it.
fn first_kit(typed: &str) -> (&str, Option<&str>) {
    let mut signs = typed.char_indices().filter(|(_, c)| c.is_alphanumeric());
    match signs.nth(recover::KIT_CHARS) {
        Some((at, _)) => {
            let (first, after) = typed.split_at(at);
            (first, Some(after))
        }
        None => (typed, None),
    }
}

/// Shows it, prints it, and asks until it is safe.
pub async fn hand_out(context: &Context, args: &KitArgs, page: KitPage<'_>) -> Outcome<HandedOut> {
    let out = context.output;
    // With the page on stdout, people are spoken to beside it.
    let say = |text: &str| {
        if args.kit_pdf.is_some() {
            out.hint(text);
        } else {
            out.line(text);
        }
    };
    say(out.of(
        "Notfallbogen. Er öffnet alles wieder, wenn alle Computer des Büros verloren sind.\nEr wird nur jetzt gezeigt und nirgends aufbewahrt: drucke oder schreibe ihn zweimal\nund lege ihn an zwei sichere Orte, nicht auf einen Computer.\n",
        "Recovery kit. It opens everything again when all computers of the office are lost.\nIt is shown only now and kept nowhere: print or write it twice and put it in two safe\nplaces, not on a computer.\n",
    ));
    // On a screen as on paper, where the groups have numbers; what a script keeps is the kit alone.
    let by_eye = args.kit_pdf.is_some() || std::io::stdout().is_terminal();
    let shown = || {
        if by_eye {
            say(&numbered(page.kit));
        } else {
            say(page.kit);
        }
        say("");
    };
    shown();
    if args.kit_pdf.is_some() {
        let pdf = page.pdf().ok_or_else(|| Failure::new("kit_unshown"))?;
        let mut stdout = std::io::stdout();
        let written = stdout.write_all(&pdf).and_then(|()| stdout.flush());
        written.map_err(|_| Failure::new("kit_unshown"))?;
    }
    if args.print {
        say(if page.pdf().is_some_and(|pdf| printed(&pdf)) {
            out.of(
                "Zwei Bögen gehen an den Drucker.",
                "Two pages are on their way to the printer.",
            )
        } else {
            out.of(
                "Es ließ sich nichts drucken. Schreibe die Gruppen zweimal ab.",
                "Nothing could be printed. Write the groups down twice.",
            )
        });
    }
    if !is_whole() {
        return Err(Failure::new("kit_unshown"));
    }
    if args.yes || out.is_json() {
        return Ok(HandedOut::Confirmed);
    }
    let question = out.of(
        "Hast du ihn zweimal gedruckt oder aufgeschrieben?",
        "Have you printed or written it twice?",
    );
    loop {
        while out.ask(question).await == Some(false) {
            shown();
        }
        Output::clear();
        match has_it(context, page.kit).await? {
            Some(false) => {
                out.hint(out.of(
                    "Das steht dort nicht. Hier ist er noch einmal; vergleiche jede Gruppe.\n",
                    "That isn't what it says. Here it is once more; compare every group.\n",
                ));
                shown();
            }
            Some(true) => return Ok(HandedOut::Confirmed),
            // Nobody is there any more.
            None => return Ok(HandedOut::Shown),
        }
    }
}

/// The kit with its groups' numbers above them.
fn numbered(kit: &str) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(kit.len() * 3));
    let mut number = 0;
    for line in kit.lines() {
        for group in line.split('-') {
            number += 1;
            let width = group.len() + 1;
            let above = format!("{number:<width$}");
            text.push_str(&above);
        }
        text.push('\n');
        text.push_str(line);
        text.push('\n');
    }
    text
}

/// Asks for two groups as they stand on the paper.
async fn has_it(context: &Context, kit: &str) -> Outcome<Option<bool>> {
    let out = context.output;
    out.hint(out.of(
        "Hast du ihn wirklich? Lies zwei Gruppen von deinem Bogen ab.",
        "Do you really have it? Read two groups from your page.",
    ));
    for number in asked_groups()? {
        let question = format!("{} {number}:", out.of("Gruppe", "Group"));
        match out.ask_line(&question).await {
            Some(typed) if kit::is_group(kit, number, &typed) => {}
            Some(_) => return Ok(Some(false)),
            None => return Ok(None),
        }
    }
    Ok(Some(true))
}

/// Two different groups, so that nobody learns which ones are enough.
fn asked_groups() -> Outcome<[usize; ASKED]> {
    let [a, b] = random::bytes::<2>()
        .map_err(|_| Failure::new("internal"))?
        .map(usize::from);
    let first = a % kit::GROUPS;
    let other = (first + 1 + b % (kit::GROUPS - 1)) % kit::GROUPS;
    Ok([first + 1, other + 1])
}

/// Hands the page to the first printer's program that takes it, through a pipe.
fn printed(pdf: &[u8]) -> bool {
    PRINTERS.iter().any(|(program, args)| {
        let child = Command::new(program)
            .args(*args)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut child) = child else { return false };
        let given = child.stdin.take().map(|mut pipe| pipe.write_all(pdf));
        let ended = child.wait();
        matches!(given, Some(Ok(()))) && ended.is_ok_and(|status| status.success())
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn groups_are_numbered_above() {
        let shown = numbered("AAAAA-BBBBB\nCCCCC");
        assert_eq!(*shown, "1     2     \nAAAAA-BBBBB\n3     \nCCCCC\n");
    }

    #[test]
    fn two_different_groups_are_asked_for() {
        for _ in 0..500 {
            let [a, b] = asked_groups().unwrap();
            assert_ne!(a, b);
            assert!((1..=kit::GROUPS).contains(&a) && (1..=kit::GROUPS).contains(&b));
        }
    }
}
