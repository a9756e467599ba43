//! `kolonne hub`: runs the hub and shows the key that the founder compares.

use kolonne_hub::{Addresses, Hub, HubConfig, Tls};
use serde_json::json;

use super::{Context, stopped};
use crate::cli::{HubArgs, HubBackupArgs};
use crate::failure::Outcome;
use crate::key_text;
use crate::lang::Language;

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
    if args.behind_proxy {
        config.limits.addresses = Addresses::Forwarded;
    }
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

/// `kolonne hub-backup`
pub async fn backup(context: &Context, args: HubBackupArgs) -> Outcome {
    let HubBackupArgs { data, to } = args;
    let shown = to.display().to_string();
    let made = tokio::task::spawn_blocking(move || kolonne_hub::backup(&data, &to)).await??;
    let out = context.output;
    out.json(&json!({ "to": shown, "files": made.files, "new_files": made.new_files }));
    out.line(&match out.language {
        Language::De => format!(
            "Gesichert in {shown}: {} Dateien, {} neu.",
            made.files, made.new_files
        ),
        Language::En => format!(
            "Copied to {shown}: {} files, {} of them new.",
            made.files, made.new_files
        ),
    });
    Ok(())
}
