//! `kolonne enrol`: this folder becomes a device of the company, once the office admits it.

use kolonne_core::Kolonne;
use serde_json::json;

use super::invite::show_words;
use super::{Context, seat, stopped};
use crate::cli::EnrolArgs;
use crate::failure::{Failure, Outcome, needs_hub};

/// Longest code taken from stdin in bytes.
const MAX_CODE_BYTES: u64 = 4096;

/// Whether the people of the new device are asked for a PIN each.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pins {
    Asked,
    None,
}

/// Enrols this device.
pub async fn run(context: &Context, args: EnrolArgs) -> Outcome {
    let dir = Context::dir(&args.place)?;
    let config = context.config(dir.clone());
    if Kolonne::open(config.clone()).is_ok() {
        return Err(Failure::new("founded_already").about(dir.display().to_string()));
    }
    let pins = if args.no_pin { Pins::None } else { Pins::Asked };
    if pins == Pins::Asked && !seat::can_be_asked() {
        return Err(Failure::new("pin_unasked"));
    }
    let code = match args.code.as_str() {
        "-" => {
            let mut code = String::new();
            let mut stdin = std::io::Read::take(std::io::stdin(), MAX_CODE_BYTES);
            let read = std::io::Read::read_to_string(&mut stdin, &mut code);
            read.map_err(|_| Failure::new("invalid.code"))?;
            code
        }
        code => code.to_owned(),
    };
    tokio::select! {
        done = admit(context, config, code.trim(), pins) => done,
        () = stopped() => Err(Failure::new("cancelled")),
    }
}

async fn admit(context: &Context, config: kolonne_core::Config, code: &str, pins: Pins) -> Outcome {
    let out = context.output;
    let mut enrolment = Kolonne::enrol(config, code).await.map_err(needs_hub)?;
    if pins == Pins::None {
        enrolment = enrolment.without_pins();
    }
    let words = enrolment.words().await.map_err(needs_hub)?;
    show_words(context, &words);
    out.hint(out.of(
        "Vergleiche die vier Wörter mit denen im Büro. Dort drückt jemand „Aufnehmen“.",
        "Compare the four words with those in the office. Someone there admits this device.",
    ));
    let kolonne = enrolment.admitted().await.map_err(needs_hub)?;
    if pins == Pins::Asked {
        for seat in &kolonne.me()?.seats {
            seat::first_pin(out, &kolonne, seat)?;
        }
    }
    let me = kolonne.me()?;
    out.json(&json!({
        "state": "admitted",
        "company": me.company,
        "company_id": me.company_id,
        "device": me.device,
        "seats": me.seats,
    }));
    let names: Vec<&str> = me.seats.iter().map(|seat| seat.name.as_str()).collect();
    out.line(&format!(
        "{} {}: {} ({})",
        out.of("Aufgenommen bei", "Admitted to"),
        me.company,
        me.device_name,
        names.join(", "),
    ));
    context.hand_over(&kolonne).await;
    Ok(())
}
