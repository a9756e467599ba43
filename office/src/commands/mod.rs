//! One module per command, and what they share: opening this device's folder, handing over what
//! waits, ending on Ctrl-C.

mod about;
mod backup;
mod direct;
mod enrol;
mod erase;
mod export;
mod found;
mod hub;
mod invite;
mod job;
mod kit;
mod new_hub;
mod office;
pub mod pick;
mod read;
mod recover;
mod rights;
mod sealed;
mod seat;
mod send;
mod standing;
mod status;
mod sync;
mod thread;
mod undo;

use std::path::{Path, PathBuf};
use std::time::Duration;

use kolonne_core::records::{Me, SeatRecord, ThreadRow};
use kolonne_core::transport::Trust;
use kolonne_core::{Budget, Config, Error, Kolonne, SyncReport};

use crate::cli::{Acting, Cli, Command, KitCommand, Place};
use crate::failure::{Failure, Outcome};
use crate::lang::Language;
use crate::output::{Output, clean_line};

/// Longest try to hand over after something was sent; what is left waits for the next one.
const HAND_OVER: Duration = Duration::from_mins(1);

/// What every command gets.
#[derive(Debug, Clone)]
pub struct Context {
    /// How to speak.
    pub output: Output,
    /// The language that was asked for by name.
    pub asked: Option<Language>,
    /// Whose certificates are good.
    pub trust: Trust,
}

/// Runs a command.
pub async fn run(cli: Cli, output: Output) -> Outcome {
    let context = Context {
        output,
        asked: cli.lang,
        trust: trust(cli.trust.as_deref())?,
    };
    match cli.command {
        Command::Hub(args) => hub::run(&context, args).await,
        Command::HubBackup(args) => hub::backup(&context, args).await,
        Command::HubCertify(args) => new_hub::certify(&context, args).await,
        Command::HubAddress(args) => new_hub::address(&context, &args),
        Command::Found(args) => found::run(&context, args).await,
        Command::Recover(args) => recover::run(&context, args).await,
        Command::Backup(args) => backup::run(&context, args).await,
        Command::Roster { place } => undo::list(&context, &place),
        Command::Merge { acting } => undo::merge(&context, &acting).await,
        Command::PutAway { acting, about } => status::put_away(&context, &acting, &about),
        Command::Undo(args) => undo::run(&context, args).await,
        Command::Kit(KitCommand::Check { place }) => kit::check_paper(&context, &place),
        Command::Kit(KitCommand::Join { place }) => kit::join(&context, &place).await,
        Command::Kit(KitCommand::Replace { acting, kit }) => {
            undo::replace_kit(&context, &acting, &kit).await
        }
        Command::Invite(args) => invite::run(&context, args).await,
        Command::Enrol(args) => enrol::run(&context, args).await,
        Command::Device(command) => rights::device(&context, command).await,
        Command::Seat(command) => seat::run(&context, command).await,
        Command::Person(command) => rights::person(&context, command).await,
        Command::Quarantine(command) => rights::quarantine(&context, command).await,
        Command::Erase(command) => erase::run(&context, command).await,
        Command::Direct(args) => direct::run(&context, args).await,
        Command::Job(command) => job::run(&context, command).await,
        Command::Send(args) => send::run(&context, args).await,
        Command::Sealed(command) => sealed::run(&context, command).await,
        Command::Export(args) => export::run(&context, &args),
        Command::Stuck(command) => standing::stuck(&context, command).await,
        Command::Thread(args) => thread::run(&context, &args),
        Command::Read(args) => read::run(&context, args).await,
        Command::Sync(args) => sync::run(&context, args).await,
        Command::Office(args) => office::run(&context, args).await,
        Command::Status(acting) => status::run(&context, &acting),
        Command::About => {
            about::run(&context);
            Ok(())
        }
        Command::Demo(args) => Box::pin(crate::demo::run(&context, args)).await,
    }
}

fn trust(path: Option<&Path>) -> Outcome<Trust> {
    let Some(path) = path else {
        return Ok(Trust::System);
    };
    let unread = || Failure::new("trust_unread").about(path.display().to_string());
    match std::fs::metadata(path) {
        Ok(meta) if meta.is_file() && meta.len() <= 64 * 1024 => {}
        _ => return Err(unread()),
    }
    Ok(Trust::SystemAnd {
        pem: std::fs::read(path).map_err(|_| unread())?,
    })
}

/// This user's folder for data of programs.
pub fn data_dir() -> Option<PathBuf> {
    let of = |name: &str| {
        std::env::var_os(name)
            .filter(|v| !v.is_empty())
            .map(PathBuf::from)
    };
    if cfg!(windows) {
        of("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        of("HOME").map(|home| home.join("Library/Application Support"))
    } else {
        of("XDG_DATA_HOME").or_else(|| of("HOME").map(|home| home.join(".local/share")))
    }
}

impl Context {
    /// The folder of a device.
    pub fn dir(place: &Place) -> Outcome<PathBuf> {
        let own = || data_dir().map(|dir| dir.join("kolonne"));
        place
            .dir
            .clone()
            .or_else(own)
            .ok_or_else(|| Failure::new("usage").about("--dir"))
    }

    /// How a device in this folder is set up.
    pub fn config(&self, dir: PathBuf) -> Config {
        Config {
            trust: self.trust.clone(),
            ..Config::new(dir)
        }
    }

    /// The device in this folder.
    pub fn open(&self, place: &Place) -> Outcome<Kolonne> {
        let dir = Self::dir(place)?;
        let shown = dir.display().to_string();
        Kolonne::open(self.config(dir)).map_err(|error| {
            let failure = match error {
                Error::StorageFull { .. } => Failure::new("storage_full.open"),
                error => error.into(),
            };
            failure.about(shown)
        })
    }

    /// The device in this folder, and whose seat is meant; nothing is opened by it.
    pub fn seated(&self, acting: &Acting) -> Outcome<(Kolonne, Me, SeatRecord)> {
        let kolonne = self.open(&acting.place)?;
        let me = kolonne.me()?;
        let seat = pick::seat(&me, acting.who.as_deref())?.clone();
        Ok((kolonne, me, seat))
    }

    /// The same, and who looks at it: no PIN is asked for. One that is given opens the seat, and with
    /// it what is for its person alone.
    pub fn look(&self, acting: &Acting) -> Outcome<(Kolonne, Me, SeatRecord)> {
        let (kolonne, me, mut seat) = self.seated(acting)?;
        if let Some(pin) = seat::given_pin() {
            if !seat.has_pin {
                // A PIN that is no PIN here would look as if it were right.
                let code = if seat.locked {
                    "locked.pin_unset"
                } else {
                    "locked.no_pin"
                };
                return Err(Failure::new(code).about(clean_line(&seat.name)));
            }
            if seat.locked {
                seat::unlock(self.output, &kolonne, &seat, &pin)?;
                seat.locked = false;
            }
        }
        Ok((kolonne, me, seat))
    }

    /// The same for a thread that is looked into. A direct one is hidden until its person's PIN is in:
    /// whoever sits here is asked for it.
    pub fn look_into(
        &self,
        acting: &Acting,
        wanted: &str,
    ) -> Outcome<(Kolonne, SeatRecord, ThreadRow)> {
        let (kolonne, _, seat) = self.look(acting)?;
        let hidden = |failure: &Failure| {
            failure.code == "not_found.thread" && seat.locked && seat.direct_hidden > 0
        };
        match pick::job(&kolonne, &seat.seat, wanted) {
            Err(failure) if hidden(&failure) => {
                if !seat.has_pin || !seat::can_be_asked() {
                    return Err(Failure::new("not_found.thread.hidden").about(wanted));
                }
                let pin = seat::pin_of(self.output, &seat)?;
                seat::unlock(self.output, &kolonne, &seat, &pin)?;
                let row = pick::job(&kolonne, &seat.seat, wanted)?;
                Ok((kolonne, seat, row))
            }
            row => Ok((kolonne, seat, row?)),
        }
    }

    /// The same, and whoever acts says their PIN, or sets the one that an enrolment cut off left out.
    pub fn act(&self, acting: &Acting) -> Outcome<(Kolonne, Me, SeatRecord)> {
        let (kolonne, me, seat) = self.look(acting)?;
        if seat.locked && !seat.has_pin {
            if !seat::can_be_asked() {
                return Err(Failure::new("locked.pin_unset").about(clean_line(&seat.name)));
            }
            self.output.hint(self.output.of(
                "Dieses Handy teilen sich mehrere. Lege zuerst deine PIN fest.",
                "Several people share this phone. Set your PIN first.",
            ));
            seat::first_pin(self.output, &kolonne, &seat)?;
        } else if seat.locked {
            let pin = seat::pin_of(self.output, &seat)?;
            seat::unlock(self.output, &kolonne, &seat, &pin)?;
        }
        Ok((kolonne, me, seat))
    }

    /// Syncs within the time that a person waits for a command.
    pub async fn try_sync(&self, kolonne: &Kolonne) -> Result<SyncReport, Error> {
        tokio::select! {
            tried = kolonne.sync_once(Budget::unlimited()) => tried,
            () = tokio::time::sleep(HAND_OVER) => Err(Error::Offline { retry_after_ms: 0 }),
            () = stopped() => Err(Error::Cancelled),
        }
    }

    /// Tries to hand over what was just written. It is saved already, so nothing here fails.
    pub async fn hand_over(&self, kolonne: &Kolonne) -> Option<SyncReport> {
        match self.try_sync(kolonne).await {
            Ok(report) => Some(report),
            Err(error) => {
                self.output.hint(match error {
                    Error::Foreign => self.output.of(
                        "Gesichert auf diesem Gerät. An der Adresse des Hubs antwortet ein anderer; „kolonne sync“ schickt es später.",
                        "Saved on this device. Someone else than your hub answers at its address; “kolonne sync” sends it later.",
                    ),
                    Error::Offline { retry_after_ms: 1.. } => self.output.of(
                        "Gesichert auf diesem Gerät. Der Hub nimmt gerade nichts mehr an; „kolonne sync“ schickt es später.",
                        "Saved on this device. The hub takes nothing more just now; “kolonne sync” sends it later.",
                    ),
                    Error::Offline { .. } => self.output.of(
                        "Gesichert auf diesem Gerät. Gerade keine Verbindung zum Betrieb; „kolonne sync“ schickt es später.",
                        "Saved on this device. No connection to the company right now; “kolonne sync” sends it later.",
                    ),
                    _ => self.output.of(
                        "Gesichert auf diesem Gerät. Übertragen ist es noch nicht; „kolonne sync“ holt das nach.",
                        "Saved on this device. It isn't handed over yet; “kolonne sync” makes up for it.",
                    ),
                });
                None
            }
        }
    }
}

/// Waits for Ctrl-C or the system's wish to end.
pub async fn stopped() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Opens an address in the browser, if there is one.
pub fn open_browser(url: &str) {
    let (program, args): (&str, &[&str]) = if cfg!(target_os = "macos") {
        ("open", &[])
    } else if cfg!(windows) {
        ("rundll32", &["url.dll,FileProtocolHandler"])
    } else {
        ("xdg-open", &[])
    };
    // A machine without a browser still has the address on the screen.
    let _ = std::process::Command::new(program)
        .args(args)
        .arg(url)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn();
}
