//! Jobs and other threads, and what is in them.
//!
//! Plain data: nothing here decides who may see what.

use kolonne_model::control::ThreadKind;
use kolonne_model::ids::{OpId, RingId, ThreadId};
use kolonne_model::roster::change::Role;
use serde::{Serialize, Serializer};
use zeroize::Zeroizing;

use super::{Backlog, ErasureRecord, LetInBy, role};

fn thread_kind<S: Serializer>(kind: &ThreadKind, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(match kind {
        ThreadKind::Company => "company",
        ThreadKind::Job => "job",
        ThreadKind::Crew => "crew",
        ThreadKind::Direct => "direct",
        ThreadKind::Guest => "guest",
    })
}

/// Whether a time can be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ClockWord {
    /// Believed.
    Ok,
    /// The writer's clock was unknown or far off.
    Doubt,
}

/// The last line of a thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LastLine {
    /// Who.
    pub author: String,
    /// Written by the asking seat's person.
    pub own: bool,
    /// What.
    pub kind: EntryKind,
    /// Words of a text, caption, name of a document.
    pub text: String,
    /// When.
    pub time_ms: u64,
    /// Whether to believe it.
    pub clock: ClockWord,
}

/// A thread in the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ThreadRow {
    /// The thread.
    pub id: ThreadId,
    /// What for.
    #[serde(serialize_with = "thread_kind")]
    pub kind: ThreadKind,
    /// Its title.
    pub title: String,
    /// Status code.
    pub status: Option<String>,
    /// Customer.
    pub customer: Option<String>,
    /// Address.
    pub address: Option<String>,
    /// Unread by the asking person.
    pub unread: u64,
    /// Last line.
    pub last: Option<LastLine>,
    /// Still on other devices.
    pub backlog: Vec<Backlog>,
    /// Waiting ("wird geladen").
    pub held: u64,
    /// Entries kept back ("zurückgehalten").
    pub quarantined: u64,
    /// Whether the asking seat is in it. Who was taken out reads what was said until then, and
    /// writes nothing.
    pub member: bool,
    /// Words that matched a query.
    pub hit: Option<String>,
}

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberKind {
    /// A crew.
    Crew,
    /// A person.
    Person,
    /// The office.
    Office,
}

/// A member of a thread, by ring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Member {
    /// What.
    pub kind: MemberKind,
    /// The ring.
    pub id: RingId,
    /// Its name.
    pub name: String,
}

/// A thread, opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Thread {
    /// As in the list.
    #[serde(flatten)]
    pub row: ThreadRow,
    /// Who is in it (recovery left out).
    pub members: Vec<Member>,
    /// Who opened it.
    pub opened_by: String,
    /// When.
    pub opened_ms: u64,
    /// Of a direct thread whose earlier entries this device has no key for, as after a lost phone:
    /// whose phones bring it, by name, once their PIN is in and they have a network.
    pub key_comes_from: Vec<String>,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// A text.
    Text,
    /// A photo.
    Photo,
    /// A voice note.
    Voice,
    /// A document.
    Document,
    /// A video.
    Video,
    /// Sealed for named people.
    Sealed,
    /// A job's head changed.
    Notice,
    /// Erased or withheld.
    Stub,
    /// Of a newer app.
    Unknown,
}

/// Who wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Author {
    /// The person; of a device seat: the device.
    pub person: RingId,
    /// Name.
    pub name: String,
    /// Role.
    #[serde(serialize_with = "role")]
    pub role: Role,
}

/// How far an entry has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// On this device's disk ("gesichert").
    Saved,
    /// The hub has a receipt ("übertragen").
    Sent,
    /// An office device has it ("im Büro").
    Office,
    /// Refused for good ("hängt fest").
    Stuck,
}

/// A part of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// 320 px.
    Thumb,
    /// 2048 px.
    Picture,
    /// As captured.
    Original,
    /// A voice note's sound.
    Voice,
    /// A document's file.
    Document,
    /// A sealed attachment.
    Sealed,
}

/// A part that isn't at the office yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PendingPart {
    /// Which.
    pub part: Part,
    /// On which device; none: on this one.
    pub device_name: Option<String>,
    /// How large.
    pub bytes: u64,
    /// How much of it has gone.
    pub done_bytes: u64,
}

/// A photo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PhotoRecord {
    /// Upright width in px.
    pub width: u32,
    /// Upright height in px.
    pub height: u32,
    /// Base64 of the inline preview.
    pub preview: Option<String>,
    /// Whether the thumb is here.
    pub thumb: bool,
    /// Whether the picture is here.
    pub picture: bool,
    /// Whether the original is here.
    pub original: bool,
    /// Capture time, if its zone is known.
    pub taken_ms: Option<u64>,
    /// Camera.
    pub camera: Option<String>,
}

/// A voice note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VoiceRecord {
    /// Length.
    pub duration_ms: u64,
    /// 64 bars.
    pub waveform: Vec<u8>,
    /// Media type.
    #[serde(rename = "type")]
    pub media_type: String,
    /// Whether it is here.
    pub here: bool,
}

/// A document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DocumentRecord {
    /// Name.
    pub name: String,
    /// Media type.
    #[serde(rename = "type")]
    pub media_type: String,
    /// Size.
    pub bytes: u64,
    /// Whether it is here.
    pub here: bool,
}

/// A sealed attachment, as everyone in the thread sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SealedRecord {
    /// The people it was sealed for one by one.
    pub people: Vec<SealedPerson>,
    /// Whether it was sealed for the office.
    pub office: bool,
    /// Its size, rounded up: nobody but them knows it better.
    pub bytes: u64,
    /// Whether it is here.
    pub here: bool,
    /// Whether it was sealed for the asking seat's person.
    pub for_me: bool,
}

/// Someone who opens a sealed attachment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SealedPerson {
    /// By ring.
    pub id: RingId,
    /// Name.
    pub name: String,
}

/// What an entry answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Quote {
    /// The entry.
    pub id: OpId,
    /// Its author.
    pub author: String,
    /// What it is.
    pub kind: EntryKind,
    /// Its first words.
    pub snippet: String,
}

/// A change of a job's head or members, told in the thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// `opened`, `title`, `status`, `address`, `customer`, `member_in`, `member_out`.
    pub code: String,
    /// The new value, if there is one; of members: who.
    pub value: Option<String>,
}

/// Taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RetractedRecord {
    /// Why.
    pub reason: Option<String>,
}

/// What its author changed about an entry, and nobody else sees yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChangeKeptBack {
    /// The new words; none: taken back, or without words.
    pub text: Option<String>,
    /// Who can let it in.
    pub let_in_by: LetInBy,
}

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The op.
    pub id: OpId,
    /// Who.
    pub author: Author,
    /// Written by the asking seat's person.
    pub own: bool,
    /// What.
    pub kind: EntryKind,
    /// Words of a text.
    pub text: Option<String>,
    /// Caption of another.
    pub caption: Option<String>,
    /// What it answers.
    pub reply_to: Option<Quote>,
    /// Whether its words were edited.
    pub edited: bool,
    /// Taken back.
    pub retracted: Option<RetractedRecord>,
    /// Erased; a stub that isn't is withheld: its content isn't here yet.
    pub erased: Option<ErasureRecord>,
    /// When, by the author's clock.
    pub time_ms: u64,
    /// Whether to believe it.
    pub clock: ClockWord,
    /// How far it has come, its original apart.
    pub state: State,
    /// Why it is stuck (a code).
    pub stuck: Option<String>,
    /// Nobody but its author, on this device, sees it, until it is let in by these: he wrote it before
    /// he knew that his right had gone.
    pub kept_back: Option<LetInBy>,
    /// Its author changed it after his right had gone: shown to him, on this device; the entry is as
    /// it was before.
    pub change_kept_back: Option<ChangeKeptBack>,
    /// What isn't at the office yet.
    pub pending: Vec<PendingPart>,
    /// Its photo.
    pub photo: Option<PhotoRecord>,
    /// Its voice note.
    pub voice: Option<VoiceRecord>,
    /// Its document.
    pub document: Option<DocumentRecord>,
    /// Its sealed attachment.
    pub sealed: Option<SealedRecord>,
    /// A change of the job's head.
    pub notice: Option<Notice>,
}

/// A piece of a thread, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EntryPage {
    /// The entries.
    pub entries: Vec<Entry>,
    /// Ask for those before this one; none: the thread begins here.
    pub before: Option<OpId>,
    /// The first entry the asking person hasn't read.
    pub unread_from: Option<OpId>,
    /// Waiting.
    pub held: u64,
    /// Kept back.
    pub quarantined: u64,
}

/// Media of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// The bytes, decrypted.
    pub bytes: Vec<u8>,
    /// Media type.
    pub media_type: String,
    /// Name, of a document.
    pub name: Option<String>,
}

/// An opened sealed attachment; wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Opened {
    /// The bytes.
    pub bytes: Zeroizing<Vec<u8>>,
    /// Media type.
    pub media_type: String,
    /// Name.
    pub name: String,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Opened")
    }
}
