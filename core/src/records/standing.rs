//! What hangs fast, and whether a device may be given away.
//!
//! Plain data: nothing here decides what is thrown away.

use kolonne_model::ids::{Hash32, OpId, ThreadId};
use serde::Serialize;

use super::{EntryKind, Part};

/// Something that the hub refused, or that can't be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stuck {
    /// The op's or the file's name.
    pub id: Hash32,
    /// What kind of entry it belongs to; none: nothing that a person wrote (a key, a mark), or an
    /// entry that isn't the asking person's to see.
    pub kind: Option<EntryKind>,
    /// Which file of it; none: its words.
    pub part: Option<Part>,
    /// The entry.
    pub entry: Option<OpId>,
    /// The thread, with its title.
    pub thread: Option<ThreadId>,
    /// Its title.
    pub title: Option<String>,
    /// Why (a code): `form`, `signature`, `company`, `seat`, `payload`, `too_large`, `missing`.
    pub why: String,
    /// Whether it is tried again by itself: what was in the way may pass.
    pub tries_again: bool,
    /// Whether a person may throw it away: files only, what is signed stays.
    pub may_discard: bool,
    /// Whether the asking person gets it as a file: what is sealed only if they are named.
    pub may_export: bool,
    /// When it was captured, by this device's clock; none: nothing that a person wrote.
    pub since_ms: Option<u64>,
    /// Size of a file.
    pub bytes: u64,
}

/// Whether a device may be given away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HandBackStanding {
    /// Yes: an office device has everything of it.
    AtOffice,
    /// Yes: the hub has signed for everything, the office hasn't seen all of it yet.
    AtHub,
    /// No: something is on this device alone, or may be.
    NotYet,
}

/// What is missing before a device may be given away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LackKind {
    /// Entries whose words have no receipt.
    Entries,
    /// Photos of which the thumb or picture has none.
    Photos,
    /// Voice notes.
    Voices,
    /// Documents and sealed attachments.
    Files,
    /// Originals.
    Originals,
    /// Keys, marks, and what others wrote that a restored hub lost.
    Others,
    /// Of all these, what hangs fast: it needs a person.
    Stuck,
    /// The hub hasn't answered since the last of it: nobody knows yet whether it was put back.
    Contact,
    /// A hub answers that the office hasn't certified: its word counts for nothing.
    NewHub,
}

/// One thing that is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Lack {
    /// What.
    pub what: LackKind,
    /// How many.
    pub n: u64,
}

/// Whether this device may be given away, and what is missing if not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HandBack {
    /// Whether.
    pub standing: HandBackStanding,
    /// What is missing; empty if it may go.
    pub lacks: Vec<Lack>,
    /// Bytes of files among it.
    pub bytes: u64,
    /// Entries of its people that no office device has seen whole, direct threads apart.
    pub unseen: u64,
    /// Since when: the oldest entry of what is missing, else of what the office hasn't seen.
    pub since_ms: Option<u64>,
    /// When the hub last answered.
    pub last_contact_ms: Option<u64>,
}
