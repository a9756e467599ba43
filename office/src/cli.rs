//! The command line as clap reads it. What each command does is in `commands`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::lang::Language;

const EXIT_CODES: &str = "\
Exit codes:
  0    done; what was sent is saved on this device, with or without a connection
  1    the program failed in a way nobody foresaw
  2    called wrongly, or a person has to decide and nobody is there to ask
  3    refused: a file, a name, a code or a job that can't be used
  4    this needs the hub now, and it isn't reached
  5    not allowed: a right is missing, or the device's access has ended
  6    this computer: storage full or damaged, address taken, newer program needed
  130  stopped by Ctrl-C

Folder: --dir, else KOLONNE_DIR, else kolonne in your data folder.
Jobs and people are named by a part of their name that fits only one, or by their id.
PIN: asked for at the terminal, else KOLONNE_PIN; a new one, else KOLONNE_NEW_PIN.";

/// Kolonne, the job messenger of a craft company: works without a network, readable by nobody else.
#[derive(Debug, Parser)]
#[command(name = "kolonne", version, after_help = EXIT_CODES, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Speak German or English (else as the system does).
    #[arg(long, global = true, value_enum)]
    pub lang: Option<Language>,
    /// Print data as JSON, one line per answer.
    #[arg(long, global = true)]
    pub json: bool,
    /// Trust this certificate (PEM) too when talking to the hub.
    #[arg(long, global = true, value_name = "FILE", env = "KOLONNE_TRUST")]
    pub trust: Option<PathBuf>,
}

/// Where a device's data is.
#[derive(Debug, Clone, Args)]
pub struct Place {
    /// Folder of this device.
    #[arg(long, value_name = "DIR", env = "KOLONNE_DIR")]
    pub dir: Option<PathBuf>,
}

/// Where a device's data is, and who acts.
#[derive(Debug, Clone, Args)]
pub struct Acting {
    #[command(flatten)]
    pub place: Place,
    /// Who does it, by name or seat, where several people write on a device.
    #[arg(long = "as", value_name = "NAME")]
    pub who: Option<String>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the hub: it keeps and routes what it can't read.
    Hub(HubArgs),
    /// Copy a hub's data into a folder, while it runs too.
    HubBackup(HubBackupArgs),
    /// Make a new hub the company's own: the lost one's place, its key compared.
    HubCertify(HubCertifyArgs),
    /// Say where the hub is from now on, on this device.
    HubAddress(HubAddressArgs),
    /// Found a company at a hub; this device becomes its first office.
    Found(FoundArgs),
    /// Make this computer the office again, with the recovery kit.
    Recover(RecoverArgs),
    /// Write everything on this device into one file that only the recovery kit opens.
    Backup(BackupArgs),
    /// Show who did what to people, devices and rights.
    Roster {
        /// Where.
        #[command(flatten)]
        place: Place,
    },
    /// Make one of two rosters that a lying hub showed, after looking into it.
    Merge {
        /// Where.
        #[command(flatten)]
        place: Place,
    },
    /// Undo what a captured computer of the office did, with the recovery kit.
    Undo(UndoArgs),
    /// Put a new recovery kit in the place of a stolen one.
    #[command(subcommand)]
    Kit(KitCommand),
    /// Admit a phone or PC: show a code, compare four words.
    Invite(InviteArgs),
    /// Make this a device of the company with a code from the office.
    Enrol(EnrolArgs),
    /// List, end and move devices.
    #[command(subcommand)]
    Device(DeviceCommand),
    /// PINs: set and forget them here, unlock and renew seats in the office.
    #[command(subcommand)]
    Seat(SeatCommand),
    /// List people, end their rights, give them another role.
    #[command(subcommand)]
    Person(PersonCommand),
    /// List what is kept back, and let it in.
    #[command(subcommand)]
    Quarantine(QuarantineCommand),
    /// Erase entries for good, with a trace; list and confirm what is erased.
    #[command(subcommand)]
    Erase(EraseCommand),
    /// Open a thread among a few people, without the office; then send and read as in a job. Foremen
    /// and the office open one, everyone in it writes.
    Direct(DirectArgs),
    /// List, open, show and change jobs (Aufträge).
    #[command(subcommand)]
    Job(JobCommand),
    /// Send a text, photos, voice notes or files into a job.
    Send(SendArgs),
    /// Open what is sealed for you, or seal it again for others.
    #[command(subcommand)]
    Sealed(SealedCommand),
    /// Write an entry's files as age files, with the key that opens them and nothing else.
    Export(ExportArgs),
    /// Print a job's thread (Verlauf).
    Thread(ThreadArgs),
    /// Mark a thread as read.
    Read(ReadArgs),
    /// Exchange with the hub what is new.
    Sync(SyncArgs),
    /// Open the office's page on this computer.
    Office(OfficeArgs),
    /// Show this device, its people and what is still on its way.
    Status(Acting),
    /// Version, licence and how pictures are computed here.
    About,
    /// Show it all: hub, office and two phones with a week of work.
    Demo(DemoArgs),
}

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
    },
    /// In the office: after how many minutes without use seats on the company's phones lock.
    AutoLock {
        #[command(flatten)]
        acting: Acting,
        /// 0: never.
        minutes: u32,
    },
}

/// `kolonne person`
#[derive(Debug, Subcommand)]
pub enum PersonCommand {
    /// List people.
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
    /// List what is kept back, and why.
    List {
        #[command(flatten)]
        place: Place,
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

/// Why something is erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReasonWord {
    /// Somebody's personal data.
    Personal,
    /// Sent by mistake.
    Mistake,
    /// Its time of keeping is over.
    Expired,
}

/// `kolonne erase`
#[derive(Debug, Subcommand)]
pub enum EraseCommand {
    /// Erase entries of a job: nobody sees them any more, and after the company's delay every device
    /// destroys them.
    Entry {
        #[command(flatten)]
        acting: Acting,
        /// The job: part of its title, or its id.
        #[arg(long)]
        job: String,
        /// Why.
        #[arg(long, value_enum)]
        reason: ReasonWord,
        /// The entries, by id or some of their words.
        #[arg(required = true, value_name = "ENTRY")]
        entries: Vec<String>,
        /// Don't ask again.
        #[arg(long)]
        yes: bool,
    },
    /// List what is erased and not destroyed here yet.
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Erase, as a second person, what somebody alone has erased too much of.
    Confirm {
        #[command(flatten)]
        acting: Acting,
        /// The job: part of its title, or its id.
        #[arg(long)]
        job: String,
        /// Don't ask again.
        #[arg(long)]
        yes: bool,
    },
    /// Show or set after how many days what is erased is destroyed.
    Delay {
        #[command(flatten)]
        acting: Acting,
        /// From 1 to 365.
        days: Option<u16>,
    },
}

/// `kolonne direct`
#[derive(Debug, Args)]
pub struct DirectArgs {
    #[command(flatten)]
    pub acting: Acting,
    /// With whom: people by part of their names, or by their ids.
    #[arg(required = true, value_name = "NAME")]
    pub people: Vec<String>,
}

/// `kolonne job`
#[derive(Debug, Subcommand)]
pub enum JobCommand {
    /// List jobs, the newest last line first.
    List {
        #[command(flatten)]
        acting: Acting,
        /// Only those with these words.
        #[arg(default_value = "")]
        query: String,
    },
    /// Open a job.
    Open {
        #[command(flatten)]
        acting: Acting,
        /// What the crew calls it.
        #[arg(long)]
        title: String,
        /// For whom.
        #[arg(long, default_value = "")]
        customer: String,
        /// Where.
        #[arg(long, default_value = "")]
        address: String,
        /// inquiry, quote, order, done, billed, paid, or a word of your own.
        #[arg(long, default_value = "")]
        status: String,
        /// A crew or person who belongs to it (several times). The office always does.
        #[arg(long = "member", value_name = "NAME")]
        members: Vec<String>,
    },
    /// Show a job's head and members.
    Show {
        #[command(flatten)]
        acting: Acting,
        /// Part of its title, or its id.
        job: String,
    },
    /// Change a job's head.
    Set {
        #[command(flatten)]
        acting: Acting,
        /// Part of its title, or its id.
        job: String,
        #[command(flatten)]
        head: HeadArgs,
    },
    /// Add or remove crews and people.
    Members {
        #[command(flatten)]
        acting: Acting,
        /// Part of its title, or its id.
        job: String,
        /// Who comes in (several times).
        #[arg(long, value_name = "NAME")]
        add: Vec<String>,
        /// Who goes out (several times).
        #[arg(long, value_name = "NAME")]
        remove: Vec<String>,
    },
}

/// What `job set` changes.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub struct HeadArgs {
    /// Its title.
    #[arg(long)]
    pub title: Option<String>,
    /// Its status.
    #[arg(long)]
    pub status: Option<String>,
    /// For whom.
    #[arg(long)]
    pub customer: Option<String>,
    /// Where.
    #[arg(long)]
    pub address: Option<String>,
}

/// `kolonne send`
#[derive(Debug, Args)]
pub struct SendArgs {
    #[command(flatten)]
    pub acting: Acting,
    /// The job: part of its title, or its id.
    #[arg(long, required_unless_present = "to", conflicts_with = "to")]
    pub job: Option<String>,
    /// Straight to people, without the office (several times).
    #[arg(long, value_name = "NAME")]
    pub to: Vec<String>,
    /// The words; - reads them from stdin.
    pub text: Option<String>,
    /// A photo (several times for several).
    #[arg(long, value_name = "FILE")]
    pub photo: Vec<PathBuf>,
    /// A voice note (several times for several).
    #[arg(long, value_name = "FILE")]
    pub voice: Vec<PathBuf>,
    /// Any file (several times for several).
    #[arg(long, value_name = "FILE")]
    pub file: Vec<PathBuf>,
    /// Seal the files for this person; `office` for the office (several times). Nobody else opens
    /// them, you neither.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["text", "caption"])]
    pub sealed_for: Vec<String>,
    /// Words under the first of them.
    #[arg(long)]
    pub caption: Option<String>,
    /// The entry that is answered, by its id or some of its words.
    #[arg(long, value_name = "ENTRY")]
    pub reply_to: Option<String>,
    /// Only save; hand it over with the next sync.
    #[arg(long)]
    pub later: bool,
}

/// An entry, wherever it is.
#[derive(Debug, Args)]
pub struct EntryArgs {
    #[command(flatten)]
    pub acting: Acting,
    /// The job: part of its title, or its id (else all are looked through).
    #[arg(long)]
    pub job: Option<String>,
    /// The entry, by its id or the beginning of it.
    pub entry: String,
}

/// `kolonne sealed`
#[derive(Debug, Subcommand)]
pub enum SealedCommand {
    /// Open a sealed attachment that is for you.
    Open {
        #[command(flatten)]
        entry: EntryArgs,
        /// Where it goes, readable; - prints it. A file that is there is never written over.
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
    },
    /// Seal one that is for you again: for others, or for someone with a new phone.
    Again {
        #[command(flatten)]
        entry: EntryArgs,
        /// For whom; `office` for the office (several times).
        #[arg(long = "for", value_name = "NAME", required = true)]
        people: Vec<String>,
    },
}

/// `kolonne export`
#[derive(Debug, Args)]
pub struct ExportArgs {
    #[command(flatten)]
    pub entry: EntryArgs,
    /// The folder. Files that are there are never written over.
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
}

/// `kolonne thread`
#[derive(Debug, Args)]
pub struct ThreadArgs {
    #[command(flatten)]
    pub acting: Acting,
    /// The job: part of its title, or its id.
    #[arg(long)]
    pub job: String,
    /// How many entries, the newest.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=500))]
    pub limit: u32,
    /// Those before this entry.
    #[arg(long, value_name = "ENTRY")]
    pub before: Option<String>,
    /// Write pictures, voice notes and files that are here into this folder.
    #[arg(long, value_name = "DIR")]
    pub save: Option<PathBuf>,
}

/// `kolonne read`
#[derive(Debug, Args)]
pub struct ReadArgs {
    #[command(flatten)]
    pub acting: Acting,
    /// The job: part of its title, or its id.
    #[arg(long)]
    pub job: String,
    /// Up to this entry; else to the newest.
    #[arg(long, value_name = "ENTRY")]
    pub up_to: Option<String>,
}

/// `kolonne sync`
#[derive(Debug, Args)]
pub struct SyncArgs {
    #[command(flatten)]
    pub place: Place,
    /// Go on until Ctrl-C.
    #[arg(long)]
    pub watch: bool,
}

/// `kolonne office`
#[derive(Debug, Args)]
pub struct OfficeArgs {
    #[command(flatten)]
    pub acting: Acting,
    /// Where the page is, on this computer; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// Open it in the browser.
    #[arg(long)]
    pub open: bool,
}

/// `kolonne demo`
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Its folder (else kolonne-demo in your data folder).
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Port of the start page; the next free one if it is taken.
    #[arg(long, default_value_t = 4711)]
    pub port: u16,
    /// Throw the demo's folder away and begin anew.
    #[arg(long)]
    pub reset: bool,
    /// Don't open the browser.
    #[arg(long)]
    pub no_open: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn clap_agrees_with_the_definitions() {
        Cli::command().debug_assert();
    }
}
