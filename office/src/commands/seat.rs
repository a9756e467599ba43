//! `kolonne seat`: PINs of this device's people, and seats that wait for the office.
//!
//! A PIN comes from the terminal, unseen, or from the environment for scripts; never from an
//! argument, which other programs could read.

use std::io::IsTerminal;

use console::Term;
use kolonne_core::records::{LockedSeat, OpenedBy, SeatRecord};
use kolonne_core::{Error, Kolonne};
use kolonne_model::roster::change::Role;
use serde_json::json;
use zeroize::Zeroizing;

use super::{Context, pick};
use crate::cli::SeatCommand;
use crate::failure::{Failure, Outcome, needs_hub};
use crate::lang::Language;
use crate::output::{Output, clean_line, counted, time};

const PIN: &str = "KOLONNE_PIN";
const NEW_PIN: &str = "KOLONNE_NEW_PIN";

/// A PIN while it is in hand.
pub type Pin = Zeroizing<String>;

/// `kolonne seat`
pub async fn run(context: &Context, command: SeatCommand) -> Outcome {
    let out = context.output;
    match command {
        SeatCommand::List { place } => {
            let seats = context.open(&place)?.me()?.seats;
            out.json(&json!({ "seats": seats }));
            for seat in &seats {
                out.line(&said_of(out, seat));
            }
        }
        SeatCommand::Pin { acting, remove } => {
            let (kolonne, _, seat) = context.seated(&acting)?;
            let old = if seat.has_pin {
                Some(pin_of(out, &seat)?)
            } else {
                None
            };
            let new = if remove {
                None
            } else {
                Some(new_pin(out, &seat.name)?)
            };
            let old = old.as_ref().map(|pin| pin.as_str());
            let new = new.as_ref().map(|pin| pin.as_str());
            kolonne.set_pin(&seat.seat, old, new)?;
            context.hand_over(&kolonne).await;
            out.json(&json!({ "seat": seat.seat, "has_pin": new.is_some() }));
            out.line(match new {
                Some(_) => out.of("Die PIN gilt ab jetzt.", "The PIN holds from now on."),
                None => out.of(
                    "Diese Anmeldung hat keine PIN mehr.",
                    "This seat has no PIN any more.",
                ),
            });
        }
        SeatCommand::Forgot { acting } => {
            let (kolonne, _, seat) = context.seated(&acting)?;
            let new = new_pin(out, &seat.name)?;
            kolonne.want_new_seat(&seat.seat, &new)?;
            context.hand_over(&kolonne).await;
            out.json(
                &json!({ "seat": seat.seat, "new_wanted": true, "opened_by": seat.opened_by }),
            );
            if seat.opened_by == OpenedBy::Kit {
                out.line(out.of(
                    "Außer dir darf im Büro niemand zustimmen. Die alte PIN gilt weiter. Fällt sie dir nicht ein, richte mit dem Notfallbogen einen Computer neu ein („kolonne recover“).",
                    "Nobody in the office but you may agree. The old PIN still holds. If you can't recall it, set a computer up anew with the recovery kit (“kolonne recover”).",
                ));
                return Ok(());
            }
            out.line(out.of(
                "Das Büro ist gefragt; ruf dort an. Sobald es zustimmt, gilt die neue PIN. Was du geschrieben hast, bleibt; was für dich versiegelt war, muss dir jemand neu versiegeln.",
                "The office is asked; call there. As soon as it agrees, the new PIN holds. What you wrote stays; what was sealed for you has to be sealed for you again.",
            ));
        }
        SeatCommand::Unlock { acting, person } => {
            let (kolonne, _, by) = context.act(&acting)?;
            needs_office(&by)?;
            // The phone may have told of it just now; without a network, what is known here decides.
            drop(context.try_sync(&kolonne).await);
            let seat = waiting(&kolonne, &person, |seat| seat.locked_ms.is_some())?;
            kolonne.unlock_seat(&by.seat, &seat.seat)?;
            context.hand_over(&kolonne).await;
            out.json(&json!({ "seat": seat.seat }));
            out.line(out.of(
                "Entsperrt. Beim nächsten Kontakt hat die Anmeldung wieder fünf Versuche.",
                "Unlocked. At the next contact the seat has five tries again.",
            ));
        }
        SeatCommand::Renew {
            acting,
            person,
            yes,
        } => {
            let (kolonne, _, by) = context.act(&acting)?;
            needs_office(&by)?;
            drop(context.try_sync(&kolonne).await);
            let seat = waiting(&kolonne, &person, |seat| seat.new_wanted)?;
            show_renewal(out, &seat);
            if !yes {
                let question = out.of(
                    "Mit der Person gesprochen, und sie erneuern?",
                    "Spoken with the person, and renew it?",
                );
                let name = clean_line(&seat.name);
                match out.ask(&format!("{name}: {question}")).await {
                    Some(true) => {}
                    Some(false) => return Err(Failure::new("renew_denied")),
                    None => return Err(Failure::new("renew_unasked")),
                }
            }
            let asked = seat.wanted.unwrap_or(seat.seat);
            let renewed = kolonne.renew_seat(&by.seat, &seat.seat, &asked).await;
            renewed.map_err(needs_hub)?;
            out.json(&json!({ "seat": seat.seat }));
            out.line(out.of(
                "Erneuert. Beim nächsten Kontakt gilt dort die neue PIN; was schon geschrieben ist, bleibt. Was für diese Person versiegelt war, muss ihr jemand neu versiegeln („kolonne sealed again“).",
                "Renewed. At the next contact the new PIN holds there; what is written stays. What was sealed for this person has to be sealed for them again (“kolonne sealed again”).",
            ));
        }
        SeatCommand::AutoLock { acting, minutes } => {
            let Some(minutes) = minutes else {
                let said = context.open(&acting.place)?.phones_auto_lock_min()?;
                out.json(&json!({ "minutes": said }));
                out.line(&auto_lock_said(out, said));
                return Ok(());
            };
            let (kolonne, _, by) = context.act(&acting)?;
            kolonne.set_auto_lock(&by.seat, minutes)?;
            context.hand_over(&kolonne).await;
            out.json(&json!({ "minutes": minutes }));
            out.line(&auto_lock_said(out, Some(minutes)));
            out.line(out.of(
                "Gilt ab dem nächsten Kontakt.",
                "Holds from the next contact on.",
            ));
        }
    }
    Ok(())
}

/// Who waits is told to the office alone: others have no right, whoever waits.
fn needs_office(by: &SeatRecord) -> Outcome {
    if by.role >= Role::Office {
        Ok(())
    } else {
        Err(Failure::new("locked.right"))
    }
}

/// What the office should know before a seat is another one's.
fn show_renewal(out: Output, seat: &LockedSeat) {
    if let Some(ms) = seat.used_ms {
        let (name, at) = (clean_line(&seat.name), time(ms, out.language));
        out.hint(&match out.language {
            Language::De => format!(
                "{name} hat seit der Bitte noch geschrieben, zuletzt {at}. Wer die PIN hat, braucht keine neue: Ruf an, ob {name} das selbst war."
            ),
            Language::En => format!(
                "{name} has written since the request, last {at}. Whoever has the PIN needs no new one: call and ask whether that was {name}."
            ),
        });
    }
    out.hint(out.of(
        "Wer diese Anmeldung bekommt, bekommt auch die direkten Verläufe der Person, sobald ein Gerät ihrer Gegenüber im Netz ist.",
        "Whoever gets this seat also gets the person's direct threads, as soon as a device of whom they write with is connected.",
    ));
}

fn auto_lock_said(out: Output, minutes: Option<u32>) -> String {
    match minutes {
        None => out
            .of(
                "Nichts eingestellt: Handys, die sich mehrere teilen, sperren nach 5 Minuten ohne Benutzung, die anderen nie.",
                "Nothing is set: phones that several share lock after 5 minutes without use, the others never.",
            )
            .to_owned(),
        Some(0) => out
            .of("Handys sperren sich nie von selbst.", "Phones never lock by themselves.")
            .to_owned(),
        Some(n) => {
            let minutes = counted(n.into(), out.of("Minute", "minute"), out.of("Minuten", "minutes"));
            match out.language {
                Language::De => format!("Handys sperren nach {minutes} ohne Benutzung."),
                Language::En => format!("Phones lock after {minutes} without use."),
            }
        }
    }
}

/// Lets a seat in; who mistypes hears how many tries are left.
pub fn unlock(out: Output, kolonne: &Kolonne, seat: &SeatRecord, pin: &str) -> Outcome {
    let Err(error) = kolonne.unlock(&seat.seat, pin) else {
        if seat.new_wanted {
            out.hint(out.of(
                "Jemand hat an diesem Handy eine neue PIN für dich erbeten. Deine PIN gilt weiter, die Bitte ist zurückgenommen. Warst du es nicht, sprich mit dem Büro; es sieht das auch.",
                "Somebody asked at this phone for a new PIN for you. Your PIN still holds, the request is withdrawn. If it wasn't you, speak with the office; it sees this too.",
            ));
        }
        return Ok(());
    };
    if seat.opened_by == OpenedBy::Kit && matches!(error, Error::Locked { code: "locked_out" }) {
        return Err(Failure::new("locked.locked_out_alone").about(clean_line(&seat.name)));
    }
    let name = clean_line(&seat.name);
    let left = kolonne.me()?.seats;
    let left = left.iter().find(|record| record.seat == seat.seat);
    let about = match (&error, left) {
        (Error::Locked { code: "wrong_pin" }, Some(seat)) => {
            let tries = counted(
                seat.tries_left.into(),
                out.of("Versuch", "try"),
                out.of("Versuche", "tries"),
            );
            match out.language {
                Language::De => format!("{name} (noch {tries})"),
                Language::En => format!("{name} ({tries} left)"),
            }
        }
        _ => name,
    };
    let failure = match error {
        Error::Locked { code: "wrong_pin" } if seat.opened_by == OpenedBy::Kit => {
            Failure::new("locked.wrong_pin_alone")
        }
        error => error.into(),
    };
    Err(failure.about(about))
}

/// A PIN that a script gives.
pub fn given_pin() -> Option<Pin> {
    of_environment(PIN)
}

/// A seat's PIN, from whoever sits here or from the environment.
pub fn pin_of(out: Output, seat: &SeatRecord) -> Outcome<Pin> {
    if let Some(pin) = of_environment(PIN) {
        return Ok(pin);
    }
    let name = clean_line(&seat.name);
    hidden(&match out.language {
        Language::De => format!("PIN von {name}: "),
        Language::En => format!("PIN of {name}: "),
    })
}

/// Says that somebody's PIN is awaited on this device. Who waits is theirs to know: whoever else
/// holds the phone doesn't hear who writes with whom.
pub fn show_awaited(out: Output, seats: &[SeatRecord]) {
    for seat in seats.iter().filter(|seat| seat.awaited > 0) {
        let name = clean_line(&seat.name);
        out.line(&match out.language {
            Language::De => format!(
                "Auf die PIN von {name} wird gewartet. Dann gehen direkte Verläufe auf einem neuen Gerät wieder auf (kolonne sync --as \"{name}\")."
            ),
            Language::En => format!(
                "The PIN of {name} is awaited. Then direct threads open again on a new device (kolonne sync --as \"{name}\")."
            ),
        });
    }
}

/// Says that direct threads wait for the PIN of who looks.
pub fn show_hidden(out: Output, seat: &SeatRecord) {
    if seat.locked && seat.direct_hidden > 0 {
        let n = counted(
            seat.direct_hidden.into(),
            out.of("direkter Verlauf", "direct thread"),
            out.of("direkte Verläufe", "direct threads"),
        );
        out.hint(&match out.language {
            Language::De => format!("Erst mit deiner PIN zu sehen: {n} (KOLONNE_PIN)."),
            Language::En => format!("Shown with your PIN only: {n} (KOLONNE_PIN)."),
        });
    }
}

/// Whether a PIN can come from anywhere.
pub fn can_be_asked() -> bool {
    std::env::var_os(NEW_PIN).is_some() || std::io::stdin().is_terminal()
}

/// Sets the first PIN of a seat; asks again until it is a good one.
pub fn first_pin(out: Output, kolonne: &Kolonne, seat: &SeatRecord) -> Outcome {
    loop {
        let pin = new_pin(out, &seat.name)?;
        let again = match kolonne.set_pin(&seat.seat, None, Some(&pin)) {
            Ok(()) => return Ok(()),
            Err(error @ Error::Invalid { field: "pin", .. }) => Failure::from(error),
            Err(error) => return Err(error.into()),
        };
        if of_environment(NEW_PIN).is_some() {
            return Err(again);
        }
        out.failure(&again);
    }
}

/// A PIN that someone chooses, twice the same.
fn new_pin(out: Output, name: &str) -> Outcome<Pin> {
    if let Some(pin) = of_environment(NEW_PIN) {
        return Ok(pin);
    }
    let name = clean_line(name);
    loop {
        let pin = hidden(&match out.language {
            Language::De => format!("Neue PIN für {name} (4 bis 8 Ziffern): "),
            Language::En => format!("New PIN for {name} (4 to 8 digits): "),
        })?;
        if let Err(error) = Kolonne::check_new_pin(&pin) {
            out.failure(&error.into());
            continue;
        }
        let again = hidden(out.of("Noch einmal: ", "Once more: "))?;
        if *pin == *again {
            return Ok(pin);
        }
        out.hint(out.of("Das war nicht zweimal dasselbe.", "Those weren't the same."));
    }
}

fn of_environment(name: &str) -> Option<Pin> {
    std::env::var(name).ok().map(Zeroizing::new)
}

/// Reads a line that isn't shown.
fn hidden(question: &str) -> Outcome<Pin> {
    let unasked = || Failure::new("pin_unasked");
    if !std::io::stdin().is_terminal() {
        return Err(unasked());
    }
    let term = Term::stderr();
    term.write_str(question).map_err(|_| unasked())?;
    let line = term.read_secure_line().map_err(|_| unasked())?;
    Ok(Zeroizing::new(line.trim().to_owned()))
}

/// A seat that waits for the office, by its person.
fn waiting(
    kolonne: &Kolonne,
    person: &str,
    fits: impl Fn(&LockedSeat) -> bool,
) -> Outcome<LockedSeat> {
    let devices = kolonne.devices()?.into_iter();
    let seats = devices.flat_map(|device| device.locked_seats).filter(fits);
    pick::locked_seat(&seats.collect::<Vec<_>>(), person).cloned()
}

/// What keeps somebody from writing here, as a line says it; none: nothing, or only their PIN.
pub fn trouble_said(out: Output, seat: &SeatRecord) -> Option<String> {
    let locked = seat.locked && (!seat.has_pin || seat.tries_left == 0);
    (locked || seat.new_wanted).then(|| said_of(out, seat))
}

fn said_of(out: Output, seat: &SeatRecord) -> String {
    let how = match (seat.has_pin, seat.tries_left) {
        (false, _) if seat.locked => out.of(
            "noch ohne PIN und darum gesperrt (kolonne seat pin)",
            "no PIN yet and so locked (kolonne seat pin)",
        ),
        (false, _) => out.of("ohne PIN", "no PIN"),
        (true, 0) if seat.opened_by == OpenedBy::Kit => out.of(
            "gesperrt; außer dir darf das niemand öffnen, es braucht den Notfallbogen (kolonne recover)",
            "locked; nobody but you may open it, it takes the recovery kit (kolonne recover)",
        ),
        (true, 0) => out.of(
            "gesperrt, das Büro kann öffnen",
            "locked, the office can open it",
        ),
        (true, _) => out.of("mit PIN", "with a PIN"),
    };
    let wanted = if seat.new_wanted {
        out.of(", neue Anmeldung erbeten", ", new seat asked for")
    } else {
        ""
    };
    format!("{}: {how}{wanted}", clean_line(&seat.name))
}

/// Who has no PIN on a phone that several people share, as a line says it; none: everyone has.
pub fn without_pin_said(out: Output, names: &[String]) -> Option<String> {
    (!names.is_empty()).then(|| {
        let names = clean_line(&names.join(", "));
        format!("{}: {names}", out.of("noch ohne PIN", "no PIN yet"))
    })
}

/// What waits for the office on a device, as a line says it.
pub fn waiting_said(out: Output, seat: &LockedSeat) -> String {
    let name = clean_line(&seat.name);
    let mut said = Vec::new();
    if let Some(ms) = seat.locked_ms {
        let since = time(ms, out.language);
        said.push(match out.language {
            Language::De => format!("gesperrt seit {since} (kolonne seat unlock)"),
            Language::En => format!("locked since {since} (kolonne seat unlock)"),
        });
    }
    if seat.new_wanted {
        let wanted = out.of(
            "PIN vergessen (kolonne seat renew)",
            "PIN forgotten (kolonne seat renew)",
        );
        said.push(wanted.to_owned());
    }
    if let Some(ms) = seat.withdrawn_ms {
        let at = time(ms, out.language);
        said.push(match out.language {
            Language::De => format!(
                "jemand bat um eine neue PIN; mit der richtigen zurückgenommen {at}. Frag, wer das war"
            ),
            Language::En => format!(
                "somebody asked for a new PIN; withdrawn with the right one {at}. Ask who it was"
            ),
        });
    }
    format!("{name}: {}", said.join(", "))
}
