//! The command line as clap reads it: the program itself here, `company` hub, founding, devices,
//! people and rights, `work` jobs and what is in them. What each command does is in `commands`.

mod company;
mod work;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::lang::Language;

pub use company::{
    BackupArgs, DeviceCommand, EndArgs, EndWord, EnrolArgs, FoundArgs, HubAddressArgs, HubArgs,
    HubBackupArgs, HubCertifyArgs, InviteArgs, KitArgs, KitCommand, PersonCommand, PersonRole,
    QuarantineCommand, RecoverArgs, RoleWord, SeatCommand, UndoArgs,
};
pub use work::{
    DirectArgs, EraseCommand, ExportArgs, JobCommand, ReadArgs, ReasonWord, SealedCommand,
    SendArgs, StuckCommand, ThreadArgs,
};

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
        /// Who.
        #[command(flatten)]
        acting: Acting,
    },
    /// Put an alarm away on this computer, after looking into it.
    PutAway {
        /// Who.
        #[command(flatten)]
        acting: Acting,
        /// The person or device that it is about.
        about: String,
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
    /// List what hangs fast on this device: try it again, hand it out, discard a file.
    #[command(subcommand)]
    Stuck(StuckCommand),
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

/// `kolonne sync`
#[derive(Debug, Args)]
pub struct SyncArgs {
    #[command(flatten)]
    pub acting: Acting,
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
