//! `kolonne demo`: hub, office and two phones in one program, each with its own folder and page,
//! filled with a week of work. It uses the same ways in as everyone; nothing is faked but the
//! clock, the pictures and the voices.

mod company;
#[allow(dead_code, reason = "the week tells more than the program plays")]
pub mod content;
mod past;
mod place;
mod start;
mod story;

use std::io::Write;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use kolonne_core::{Kolonne, SyncTask};
use kolonne_hub::{Hub, HubConfig, Tls};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::company::{Company, PINS, Standing};
use self::content::week::{Week, week};
use self::place::{Memory, Place};
use self::start::{Door, Start};
use self::story::Progress;
use crate::cli::DemoArgs;
use crate::commands::{Context, data_dir, open_browser, stopped};
use crate::failure::{Failure, Outcome};
use crate::lang::Language;
use crate::local::{self, FlightSwitch, Page, PageSession, Surface};

/// Ports tried for the start page before the system picks one.
const PORTS_TRIED: u16 = 20;
/// Where a hub's port is looked for: below the ports that systems hand out by themselves.
const HUB_PORTS: std::ops::Range<u16> = 21_000..31_000;

/// Runs until Ctrl-C.
pub async fn run(context: &Context, args: DemoArgs) -> Outcome {
    let out = context.output;
    let dir = args
        .dir
        .clone()
        .or_else(|| data_dir().map(|dir| dir.join("kolonne-demo")));
    let dir = dir.ok_or_else(|| Failure::new("usage").about("--dir"))?;
    let place = Place::take(dir)?;
    let stop = CancellationToken::new();
    let progress = Arc::new(Progress::default());

    // The start page first: it answers while the rest is being set up.
    let listener = listen(args.port).await?;
    let session = PageSession::new(listener.local_addr()?.port())?;
    let url = format!("http://{}/", listener.local_addr()?);
    let start = Start::new(session, Arc::clone(&progress), context.asked);
    let serving_start = tokio::spawn(local::serve_router(
        listener,
        start::router(Arc::clone(&start)),
        stop.clone(),
    ));
    out.line(&url);

    let shown = tokio::select! {
        shown = set_up(context, &args, &place, &stop) => shown?,
        () = stopped() => {
            stop.cancel();
            return Err(Failure::new("cancelled"));
        }
    };
    let Shown {
        company,
        mut memory,
        week,
        doors,
        pages,
        syncs,
        hub,
    } = shown;
    out.json(&json!({
        "url": url,
        "pages": doors.iter().map(|d| json!({ "name": d.name(Language::De), "url": d.url })).collect::<Vec<_>>(),
    }));
    out.hint(&format!(
        "{}: {}",
        out.of("Ordner", "Folder"),
        place.dir().display()
    ));
    for door in &doors {
        out.line(&format!("  {:<20} {}", door.name(out.language), door.url));
    }
    let pins = PINS.map(|(who, pin)| format!("{} {pin}", who.name()));
    out.hint(&format!(
        "{}: {}",
        out.of(
            "PINs auf dem Handy der Kolonne 3",
            "PINs on the phone of Kolonne 3"
        ),
        pins.join(", ")
    ));
    out.hint(out.of(
        "Ctrl-C beendet alles; beim nächsten Mal geht es hier weiter (--reset: von vorn).",
        "Ctrl-C ends everything; the next time it goes on here (--reset: anew).",
    ));
    start.open(doors);
    if !args.no_open && std::io::IsTerminal::is_terminal(&std::io::stdout()) {
        open_browser(&url);
    }

    let mut end = std::pin::pin!(stopped());
    if memory.filled {
        progress.all.store(1, Ordering::Relaxed);
        progress.done.store(1, Ordering::Relaxed);
    } else {
        let whole = company.whole().ok_or_else(|| Failure::new("demo_gone"))?;
        let filling = fill(&whole, week, memory.began_ms, &progress, &stop);
        let mut filling = std::pin::pin!(filling);
        let filled = tokio::select! {
            filled = &mut filling => filled,
            () = &mut end => {
                stop.cancel();
                // The step under way is finished, so that nothing is half done.
                filling.await
            }
        };
        match filled {
            Ok(()) => {
                memory.filled = true;
                place.keep(&memory)?;
                out.hint(out.of("Die ganze Woche ist da.", "The whole week is there."));
            }
            Err(_) if stop.is_cancelled() => {}
            Err(failure) => {
                start.fail(failure.text());
                out.failure(&failure);
            }
        }
    }
    if !stop.is_cancelled() {
        end.await;
    }
    out.hint(out.of("Wird beendet …", "Ending …"));
    stop.cancel();
    for sync in syncs {
        sync.stop().await;
    }
    tracing::debug!("devices stopped");
    for page in pages {
        page.await??;
    }
    serving_start.await??;
    tracing::debug!("pages stopped");
    hub.await??;
    tracing::debug!("hub stopped");
    Ok(())
}

/// Everything that runs behind the start page.
struct Shown {
    company: Standing,
    memory: Memory,
    week: Week,
    doors: Vec<Door>,
    pages: Vec<Serving>,
    syncs: Vec<SyncTask>,
    hub: JoinHandle<std::io::Result<()>>,
}

/// Starts the hub, founds and enrols or opens the devices, and opens their pages.
async fn set_up(
    context: &Context,
    args: &DemoArgs,
    place: &Place,
    stop: &CancellationToken,
) -> Outcome<Shown> {
    let (mut memory, hub) = match place.memory().filter(|_| !args.reset) {
        Some(memory) => {
            let hub = hub(place, memory.hub_port).await?;
            (memory, hub)
        }
        None => begin(place).await?,
    };
    let (key, hub_url) = (hub.key(), format!("http://{}", hub.address()));
    let stop_hub = stop.clone();
    let hub = tokio::spawn(hub.serve(async move { stop_hub.cancelled().await }));

    let week = week(i64::try_from(memory.began_ms).unwrap_or_default());
    let [_, office, anna, crew] = place.folders();
    let dirs = [office, anna, crew];
    let company = if memory.ready {
        Standing::open(&context.trust, dirs)?
    } else {
        let company = Company::found(&context.trust, dirs, &hub_url, key, &week).await?;
        Standing::from(company)
    };
    memory.ready = true;
    place.keep(&memory)?;
    let syncs = company.devices().map(Kolonne::start_sync).collect();
    let language = context.output.language;
    let doors = doors(&company, args.port, language, stop).await?;
    let (doors, pages) = doors.into_iter().unzip();
    Ok(Shown {
        company,
        memory,
        week,
        doors,
        pages,
        syncs,
        hub,
    })
}

async fn fill(
    company: &Company,
    week: Week,
    began_ms: u64,
    progress: &Arc<Progress>,
    stop: &CancellationToken,
) -> Outcome {
    let (company, progress, stop) = (company.clone(), Arc::clone(progress), stop.clone());
    let runtime = Handle::current();
    tokio::task::spawn_blocking(move || {
        company.let_in()?;
        story::play(&company, week, began_ms, progress, stop, runtime)?;
        company.set_pins()
    })
    .await?
}

/// A hub on a free port, in a folder of nothing.
async fn begin(place: &Place) -> Outcome<(Memory, Hub)> {
    let now_ms = past::now_ms();
    let span = u64::from(HUB_PORTS.end - HUB_PORTS.start);
    let first = u16::try_from(now_ms % span).unwrap_or_default();
    for offset in 0..100 {
        let port = HUB_PORTS.start + (first + offset) % (HUB_PORTS.end - HUB_PORTS.start);
        let memory = place.begin(port, now_ms)?;
        match hub(place, port).await {
            Ok(hub) => return Ok((memory, hub)),
            Err(failure) if failure.code == "port_taken" => {}
            Err(failure) => return Err(failure),
        }
    }
    Err(Failure::new("port_taken"))
}

async fn hub(place: &Place, port: u16) -> Outcome<Hub> {
    let [data, ..] = place.folders();
    let config = HubConfig::new(data, (Ipv4Addr::LOCALHOST, port).into(), Tls::None);
    Ok(tokio::task::spawn_blocking(move || Hub::open(config)).await??)
}

/// The start page's place: the port asked for, or the next free one.
async fn listen(port: u16) -> Outcome<TcpListener> {
    let wanted = (0..PORTS_TRIED).filter_map(|offset| port.checked_add(offset));
    for port in wanted.chain([0]) {
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
            return Ok(listener);
        }
    }
    Err(Failure::new("port_taken"))
}

type Serving = JoinHandle<Outcome>;

async fn doors(
    company: &Standing,
    port: u16,
    language: Language,
    stop: &CancellationToken,
) -> Outcome<Vec<(Door, Serving)>> {
    let all = [
        (
            Some(&company.office),
            Surface::Office,
            ["Büro", "Office"],
            ["Sabine Brandt", "Sabine Brandt"],
        ),
        (
            company.anna.as_ref(),
            Surface::Phone,
            ["Handy Anna Keller", "Phone of Anna Keller"],
            [
                "Vorarbeiterin, eigenes Handy",
                "foreman, with a phone of her own",
            ],
        ),
        (
            company.crew.as_ref(),
            Surface::Phone,
            ["Handy Kolonne 3", "Phone of Kolonne 3"],
            [
                "Mehmet Yılmaz (PIN 3805) und Jonas Petersen (PIN 6142)",
                "Mehmet Yılmaz (PIN 3805) and Jonas Petersen (PIN 6142)",
            ],
        ),
    ];
    let mut doors = Vec::new();
    let mut near = port;
    for (device, surface, name, about) in all {
        let Some(device) = device else {
            let gone = language.of(
                "ist gesperrt und leer; --reset beginnt von vorn.",
                "is shut out and empty; --reset begins anew.",
            );
            drop(writeln!(
                std::io::stderr(),
                "{} {gone}",
                language.of(name[0], name[1])
            ));
            continue;
        };
        near = near.saturating_add(1);
        let listener = listen(near).await?;
        let flight = match surface {
            Surface::Office => FlightSwitch::Absent,
            Surface::Phone => FlightSwitch::Present,
        };
        let page = Page::new(device.clone(), surface, flight, &listener, stop.clone())?;
        let door = Door {
            name,
            about,
            url: page.url(),
        };
        doors.push((
            door,
            tokio::spawn(local::serve(listener, page, stop.clone())),
        ));
    }
    Ok(doors)
}
