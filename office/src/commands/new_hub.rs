//! `kolonne hub-certify`, `kolonne hub-address`: a new hub in the place of a lost one.
//!
//! The key is compared by a person with what the hub itself prints; what it says over the network
//! certifies nothing.

use kolonne_core::Kolonne;
use kolonne_core::records::NewHub;
use kolonne_model::ids::PublicKey;
use serde_json::json;

use super::Context;
use crate::cli::{HubAddressArgs, HubCertifyArgs};
use crate::failure::{Failure, Outcome, needs_hub};
use crate::key_text;
use crate::output::{Output, time};

/// Certifies the hub that answers.
pub async fn certify(context: &Context, args: HubCertifyArgs) -> Outcome {
    let out = context.output;
    let (kolonne, _, seat) = context.act(&args.acting)?;
    let key = match &args.hub_key {
        Some(text) => key_text::parse(text).ok_or_else(|| Failure::new("hub_key_unread"))?,
        None => compared(out, kolonne.new_hub_key().await.map_err(needs_hub)?).await?,
    };
    let certified = kolonne.certify_hub(&seat.seat, &key).await;
    certified.map_err(needs_hub)?;
    out.json(&json!({ "hub_key": key, "key_groups": key_text::groups(&key) }));
    out.line(out.of(
        "Das ist jetzt der Hub des Betriebs. Alle Geräte erfahren es beim nächsten Kontakt und geben ab, was ihm noch fehlt.",
        "This is the company's hub now. All devices learn it at their next contact and hand over what it still lacks.",
    ));
    context.hand_over(&kolonne).await;
    Ok(())
}

/// A key that a person compared with what the hub prints.
pub async fn compared(out: Output, key: PublicKey) -> Outcome<PublicKey> {
    let said = out.of(
        "Der Hub nennt diesen Schlüssel. Vergleiche ihn mit dem, was „kolonne hub“ zeigt:",
        "The hub names this key. Compare it with what “kolonne hub” shows:",
    );
    out.hint(&format!("{said}\n  {}", key_text::groups(&key)));
    match out.ask(out.of("Ist er gleich?", "Is it the same?")).await {
        Some(true) => Ok(key),
        Some(false) => Err(Failure::new("hub_key_denied")),
        None => Err(Failure::new("hub_key_unasked")),
    }
}

/// Keeps where the hub is.
pub fn address(context: &Context, args: &HubAddressArgs) -> Outcome {
    let out = context.output;
    let kolonne: Kolonne = context.open(&args.place)?;
    kolonne.set_hub_address(&args.url)?;
    out.json(&json!({ "hub_url": args.url.trim() }));
    out.line(out.of(
        "Dieses Gerät sucht den Hub jetzt dort.",
        "This device looks for the hub there now.",
    ));
    Ok(())
}

/// Says that a hub answers which the office hasn't certified.
pub fn show(out: Output, new_hub: Option<&NewHub>) {
    if let Some(new_hub) = new_hub {
        out.line(&format!(
            "{} {}: {}",
            out.of("Seit", "Since"),
            time(new_hub.since_ms, out.language),
            out.of(
                "Ein neuer Hub antwortet, den das Büro noch nicht bestätigt hat. Er bekommt eine Kopie von allem, aber nichts gilt als übertragen. Im Büro: „kolonne hub-certify“.",
                "A new hub answers that the office hasn't confirmed yet. It gets a copy of everything, but nothing counts as handed over. In the office: “kolonne hub-certify”.",
            )
        ));
    }
}
