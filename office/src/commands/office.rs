//! `kolonne office`: the page of this device on 127.0.0.1, with the exchange running behind it.

use std::net::{IpAddr, Ipv4Addr};

use kolonne_model::roster::change::DeviceKind;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{Context, open_browser, stopped};
use crate::cli::OfficeArgs;
use crate::failure::{Failure, Outcome};
use crate::local::{self, FlightSwitch, Page, Surface};

/// Serves until Ctrl-C.
pub async fn run(context: &Context, args: OfficeArgs) -> Outcome {
    let out = context.output;
    if args.listen.ip() != IpAddr::V4(Ipv4Addr::LOCALHOST) {
        return Err(Failure::new("not_loopback").about(args.listen.to_string()));
    }
    let kolonne = context.open(&args.acting.place)?;
    let me = kolonne.me()?;
    let seat = match args.acting.who.as_deref() {
        Some(wanted) => Some(super::pick::seat(&me, Some(wanted))?.seat),
        None => None,
    };
    let surface = match me.kind {
        DeviceKind::Office => Surface::Office,
        DeviceKind::Phone => Surface::Phone,
    };
    let listener = TcpListener::bind(args.listen)
        .await
        .map_err(|_| Failure::new("port_taken").about(args.listen.to_string()))?;
    let stop = CancellationToken::new();
    let page = Page::new(
        kolonne.clone(),
        surface,
        FlightSwitch::Absent,
        &listener,
        stop.clone(),
    )?;
    if let Some(seat) = seat {
        page.take_seat(&seat)?;
    }
    let url = page.url();
    let sync = kolonne.start_sync();
    out.json(&json!({ "url": url }));
    out.line(&url);
    out.hint(out.of(
        "Die Seite ist nur auf diesem Computer zu sehen. Ctrl-C beendet sie.",
        "The page can be seen on this computer only. Ctrl-C ends it.",
    ));
    if args.open {
        open_browser(&url);
    }
    let serving = tokio::spawn(local::serve(listener, page, stop.clone()));
    stopped().await;
    stop.cancel();
    serving.await??;
    sync.stop().await;
    Ok(())
}
