//! Commands of the company itself: its hub, founding and recovering it, who and what belongs to it,
//! and what each may do.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{Acting, Place};

/// `kolonne hub`
#[derive(Debug, Args)]
pub struct HubArgs {
    /// Its folder.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Where it listens; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:4700")]
    pub listen: SocketAddr,
    /// Certificate chain (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Its key (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// How many companies may be founded here. Anyone who reaches the hub can found one.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub companies: u64,
    /// Behind a proxy on this computer that adds the caller's address to X-Forwarded-For: who asks
    /// too much is told by that.
    #[arg(long)]
    pub behind_proxy: bool,
}

/// `kolonne hub-backup`
#[derive(Debug, Args)]
pub struct HubBackupArgs {
    /// The hub's folder.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Where the copy goes: a folder of its own; again and again the same one.
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
}

/// `kolonne hub-certify`
#[derive(Debug, Args)]
pub struct HubCertifyArgs {
    #[command(flatten)]
    pub acting: Acting,
    /// Its key as `kolonne hub` prints it; else you are asked to compare it.
    #[arg(long, value_name = "KEY")]
    pub hub_key: Option<String>,
}

/// `kolonne hub-address`
#[derive(Debug, Args)]
pub struct HubAddressArgs {
    #[command(flatten)]
    pub place: Place,
    /// Address of the hub.
    pub url: String,
}

/// `kolonne found`
#[derive(Debug, Args)]
pub struct FoundArgs {
    #[command(flatten)]
    pub place: Place,
    /// Name of the company.
    #[arg(long)]
    pub company: String,
    /// Your name.
    #[arg(long)]
    pub name: String,
    /// Name of this computer, such as "Büro 1".
    #[arg(long)]
    pub device: String,
    /// Address of the hub.
    #[arg(long, value_name = "URL")]
    pub hub: String,
    /// Its key as `kolonne hub` prints it; else you are asked to compare it.
    #[arg(long, value_name = "KEY")]
    pub hub_key: Option<String>,
    #[command(flatten)]
    pub kit: KitArgs,
}

/// What becomes of a new recovery kit.
#[derive(Debug, Args)]
pub struct KitArgs {
    /// Print the recovery kit twice on this computer's printer.
    #[arg(long, conflicts_with = "kit_pdf")]
    pub print: bool,
    /// Write the recovery kit's page to stdout, for a printer's program. It goes into no file.
    #[arg(long, value_name = "-", value_parser = ["-"])]
    pub kit_pdf: Option<String>,
    /// Don't ask whether the recovery kit is safe: for scripts that keep it.
    #[arg(long)]
    pub yes: bool,
}

/// `kolonne recover`
#[derive(Debug, Args)]
pub struct RecoverArgs {
    #[command(flatten)]
    pub place: Place,
    /// Your name: as the company knows you, or a new one.
    #[arg(long)]
    pub name: String,
    /// Name of this computer, such as "Büro 1 neu".
    #[arg(long)]
    pub device: String,
    /// Address of the hub. With --from it may be a new and empty one, or be left out.
    #[arg(long, value_name = "URL", required_unless_present = "from")]
    pub hub: Option<String>,
    /// Key of a new hub as `kolonne hub` prints it; else you are asked to compare it.
    #[arg(long, value_name = "KEY", requires = "hub")]
    pub hub_key: Option<String>,
    /// A backup made with `kolonne backup`.
    #[arg(long, value_name = "FILE")]
    pub from: Option<PathBuf>,
    /// Undo what was done since this number of the roster, after showing it and asking.
    #[arg(long, value_name = "NUMBER")]
    pub undo_since: Option<u32>,
    /// With --undo-since: a device that did it, by name or id.
    #[arg(long, value_name = "DEVICE", requires = "undo_since")]
    pub captured: Vec<String>,
    /// With --undo-since: don't ask again.
    #[arg(long, requires = "undo_since")]
    pub yes: bool,
}

/// What is to be undone.
#[derive(Debug, Args)]
pub struct UndoArgs {
    #[command(flatten)]
    pub place: Place,
    /// Number of the first thing that goes, as `kolonne roster` shows it; all later ones go too.
    #[arg(long, value_name = "NUMBER")]
    pub since: u32,
    /// A device that did it, by name or id: it is shut out. May be given several times.
    #[arg(long, value_name = "DEVICE")]
    pub captured: Vec<String>,
    /// Don't ask again.
    #[arg(long)]
    pub yes: bool,
}

/// `kolonne kit`
#[derive(Debug, Subcommand)]
pub enum KitCommand {
    /// Compare a recovery kit on paper with the one that counts.
    Check {
        /// Where.
        #[command(flatten)]
        place: Place,
    },
    /// Bring this computer and the hub together where the kit spoke here without it (set up without the hub,
    /// or the hub was put back). The kit is typed; if it replaced another meanwhile, that one after it.
    Join {
        /// Where.
        #[command(flatten)]
        place: Place,
    },
    /// Replace the recovery kit: the old one is typed, a new one is shown once.
    Replace {
        /// Where and who.
        #[command(flatten)]
        acting: Acting,
        /// What becomes of it.
        #[command(flatten)]
        kit: KitArgs,
    },
}

/// `kolonne backup`
#[derive(Debug, Args)]
pub struct BackupArgs {
    #[command(flatten)]
    pub place: Place,
    /// The file to write; it must not be there yet.
    pub file: PathBuf,
}

/// Roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RoleWord {
    /// Works in a crew, on the crew's phone.
    Crew,
    /// Leads, with a phone of their own.
    Foreman,
    /// Another computer of the office.
    Office,
}

/// `kolonne invite`
#[derive(Debug, Args)]
pub struct InviteArgs {
    #[command(flatten)]
    pub acting: Acting,
    /// Name of the new device, such as "Handy Kolonne 3".
    #[arg(long, value_name = "NAME")]
    pub device_name: String,
    /// What its people are.
    #[arg(long, value_enum)]
    pub role: RoleWord,
    /// The crew that shares it; made if it isn't there.
    #[arg(long, value_name = "NAME", required_if_eq("role", "crew"))]
    pub crew: Option<String>,
    /// Who writes on it (several times for several people). Someone whose name the company knows is
    /// the same person; you are asked.
    #[arg(
        long = "person",
        value_name = "NAME",
        required_unless_present = "new_people"
    )]
    pub people: Vec<String>,
    /// Someone new who bears a name that the company knows already.
    #[arg(long = "new-person", value_name = "NAME")]
    pub new_people: Vec<String>,
    /// For so many days only: then the office ends their access by itself.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=3650))]
    pub days: Option<u64>,
    /// Admit whoever answers, without comparing the words: only for scripts and tests.
    #[arg(long)]
    pub admit_without_asking: bool,
}

/// `kolonne enrol`
#[derive(Debug, Args)]
pub struct EnrolArgs {
    #[command(flatten)]
    pub place: Place,
    /// The code that the office shows; - reads it from stdin.
    pub code: String,
    /// Set no PINs now: only for scripts and tests.
    #[arg(long)]
    pub no_pin: bool,
}

/// How rights end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EndWord {
    /// In peace: what was written before still counts, also if it arrives weeks later.
    Peace,
    /// At once (loss, theft, quarrel): only what has arrived counts; the rest is kept back for the
    /// office to decide.
    Now,
}

/// How to end, and whether to ask.
#[derive(Debug, Args)]
pub struct EndArgs {
    /// How.
    #[arg(long, value_enum)]
    pub how: EndWord,
    /// Don't ask again.
    #[arg(long)]
    pub yes: bool,
}

/// `kolonne device`
#[derive(Debug, Subcommand)]
pub enum DeviceCommand {
    /// List devices, what is still on them, and which have ended.
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Say whether this device may be given away, and what is on it alone if not.
    HandBack {
        #[command(flatten)]
        place: Place,
    },
    /// End a device with everyone on it. At its next contact it hands over what it has, then
    /// removes its keys and files.
    End {
        #[command(flatten)]
        acting: Acting,
        /// Part of its name, or its id.
        device: String,
        #[command(flatten)]
        end: EndArgs,
    },
    /// Move a phone to another crew.
    Move {
        #[command(flatten)]
        acting: Acting,
        /// Part of its name, or its id.
        device: String,
        /// The crew it goes to.
        #[arg(long, value_name = "NAME")]
        crew: String,
    },
}

/// `kolonne seat`
#[derive(Debug, Subcommand)]
pub enum SeatCommand {
    /// List who writes on this device, and who needs a PIN.
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Set or change your PIN.
    Pin {
        #[command(flatten)]
        acting: Acting,
        /// Take it away, where nobody shares this device.
        #[arg(long)]
        remove: bool,
    },
    /// Your PIN is forgotten: choose a new one, and ask the office for a new seat.
    Forgot {
        #[command(flatten)]
        acting: Acting,
    },
    /// In the office: give a seat that five wrong PINs locked its tries back.
    Unlock {
        #[command(flatten)]
        acting: Acting,
        /// Whose it is: part of the name, or the seat's id.
        person: String,
    },
    /// In the office: put a new seat in place of one whose PIN is forgotten. Speak with the person
    /// first.
    Renew {
        #[command(flatten)]
        acting: Acting,
        /// Whose it is: part of the name, or the seat's id.
        person: String,
        /// Don't ask again.
        #[arg(long)]
        yes: bool,
    },
    /// Show after how many minutes without use seats on the company's phones lock, or set it in the
    /// office.
    AutoLock {
        #[command(flatten)]
        acting: Acting,
        /// From 1 to 1440; 0: they never lock by themselves. Without it: as it is now.
        minutes: Option<u32>,
    },
}

/// `kolonne person`
#[derive(Debug, Subcommand)]
pub enum PersonCommand {
    /// List people, and those whose access ended.
    List {
        #[command(flatten)]
        place: Place,
    },
    /// End a person's rights everywhere, and the devices that nobody else writes on.
    End {
        #[command(flatten)]
        acting: Acting,
        /// Part of the name, or the id.
        person: String,
        #[command(flatten)]
        end: EndArgs,
    },
    /// Give a person another role.
    Role {
        #[command(flatten)]
        acting: Acting,
        /// Part of the name, or the id.
        person: String,
        /// The role.
        #[arg(value_enum)]
        role: PersonRole,
    },
}

/// What a person may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PersonRole {
    /// Works in a crew.
    Crew,
    /// Leads; opens jobs.
    Foreman,
    /// Works in the office.
    Office,
    /// Also admits office people and computers.
    Admin,
}

/// `kolonne quarantine`
#[derive(Debug, Subcommand)]
pub enum QuarantineCommand {
    /// List what is kept back, and why. Of direct threads with their person's PIN only.
    List {
        #[command(flatten)]
        acting: Acting,
    },
    /// Let in what is kept back of a person in a job.
    Admit {
        #[command(flatten)]
        acting: Acting,
        /// The job: part of its title, or its id.
        #[arg(long)]
        job: String,
        /// Part of the name.
        person: String,
    },
}
