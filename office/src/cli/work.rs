//! Commands of the day's work: jobs and direct threads, what is sent into them, read, sealed, handed
//! out and erased.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{Acting, Place};

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
#[command(
    override_usage = "kolonne send --job <JOB> [TEXT] [--photo <FILE>]… [OPTIONS]\n       \
    kolonne send --to <NAME> [TEXT] [--photo <FILE>]… [OPTIONS]"
)]
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
    /// them, you neither. No words go with them: everyone in the thread would read these.
    #[arg(long, value_name = "NAME")]
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

/// `kolonne stuck`
#[derive(Debug, Subcommand)]
pub enum StuckCommand {
    /// List what hangs fast, and why.
    List {
        #[command(flatten)]
        acting: Acting,
    },
    /// Try it again now: one, or all.
    Retry {
        #[command(flatten)]
        acting: Acting,
        /// Its id, or the beginning of it.
        id: Option<String>,
    },
    /// Write the files of its entry as age files, with the key that opens them.
    Export {
        #[command(flatten)]
        acting: Acting,
        /// Its id, or the beginning of it.
        id: String,
        /// The folder. Files that are there are never written over.
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
    },
    /// Throw a file away: its entry is taken back, and the thread shows why. Words can't be.
    Discard {
        #[command(flatten)]
        acting: Acting,
        /// Its id, or the beginning of it.
        id: String,
        /// Why, in a few words.
        #[arg(long, value_name = "WORDS")]
        reason: String,
        /// Don't ask again.
        #[arg(long)]
        yes: bool,
    },
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
