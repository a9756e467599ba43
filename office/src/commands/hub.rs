//! `kolonne hub`: runs the hub and shows the key that the founder compares.

use kolonne_hub::{Hub, HubConfig, Tls};
use serde_json::json;

use super::{Context, stopped};
use crate::cli::HubArgs;
use crate::failure::Outcome;
use crate::key_text;

/// Runs until Ctrl-C.
pub async fn run(context: &Context, args: HubArgs) -> Outcome {
    let tls = match (args.tls_cert, args.tls_key) {
        (Some(cert), Some(key)) => Tls::Pem { cert, key },
        _ => Tls::None,
    };
    let scheme = if matches!(tls, Tls::None) {
        "http"
    } else {
        "https"
    };
    let mut config = HubConfig::new(args.data, args.listen, tls);
    config.quotas.companies = args.companies;
    let hub = tokio::task::spawn_blocking(move || Hub::open(config)).await??;
    let url = format!("{scheme}://{}", hub.address());
    let key = key_text::groups(&hub.key());
    let output = context.output;
    output.json(&json!({ "url": url, "key": hub.key(), "key_groups": key }));
    output.line(&format!(
        "{} {url}",
        output.of("Der Hub lauscht auf", "The hub listens on")
    ));
    output.line(&format!(
        "{}\n  {key}",
        output.of(
            "Sein Schlüssel, zum Vergleichen beim Gründen:",
            "Its key, to compare at the founding:",
        )
    ));
    output.hint(output.of("Ctrl-C beendet ihn.", "Ctrl-C ends it."));
    hub.serve(stopped()).await?;
    Ok(())
}
