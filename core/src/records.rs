//! What screens get: plain records in the shape they show. The page, the command line and the
//! facade pass them on as they are.
//!
//! Built from views only. Ids are hex in JSON; times are ms since 1970; sizes are bytes.

use kolonne_model::control::{EraseReason, ThreadKind};
use kolonne_model::ids::{CompanyId, DeviceId, OpId, PublicKey, RingId, SeatId, ThreadId};
use kolonne_model::roster::change::{DeviceKind, Role};
use serde::{Serialize, Serializer};
use zeroize::Zeroizing;

fn role<S: Serializer>(role: &Role, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(role_word(*role))
}

/// A role as a word in JSON.
#[must_use]
pub const fn role_word(role: Role) -> &'static str {
    match role {
        Role::Crew => "crew",
        Role::Foreman => "foreman",
        Role::Office => "office",
        Role::Admin => "admin",
    }
}

fn thread_kind<S: Serializer>(kind: &ThreadKind, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(match kind {
        ThreadKind::Company => "company",
        ThreadKind::Job => "job",
        ThreadKind::Crew => "crew",
        ThreadKind::Direct => "direct",
        ThreadKind::Guest => "guest",
    })
}

fn device_kind<S: Serializer>(kind: &DeviceKind, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(match kind {
        DeviceKind::Phone => "phone",
        DeviceKind::Office => "office",
    })
}

/// A person's place on this device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SeatRecord {
    /// The seat.
    pub seat: SeatId,
    /// The person, by ring.
    pub person: RingId,
    /// Their name.
    pub name: String,
    /// Their role.
    #[serde(serialize_with = "role")]
    pub role: Role,
    /// Whether a PIN is before it; without one it is always open.
    pub has_pin: bool,
    /// Whether the PIN is asked for before anything is written.
    pub locked: bool,
    /// Wrong PINs until it locks; 0: the office has to open it.
    pub tries_left: u32,
    /// A new seat in its place was asked for, since the PIN is forgotten.
    pub new_wanted: bool,
}

/// This device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Me {
    /// The company's id.
    pub company_id: CompanyId,
    /// Its name.
    pub company: String,
    /// This device's id.
    pub device: DeviceId,
    /// Its name.
    pub device_name: String,
    /// Where it stands.
    #[serde(serialize_with = "device_kind")]
    pub kind: DeviceKind,
    /// The people who write on it.
    pub seats: Vec<SeatRecord>,
    /// The hub's address.
    pub hub_url: String,
}

/// Whether the hub was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HubState {
    /// Not tried since the start.
    Unknown,
    /// The last try worked.
    Reachable,
    /// The last try failed.
    Unreachable,
    /// A hub answered whose key the office hasn't certified: it gets a copy, its word counts for
    /// nothing, and everything stays *on this phone*.
    Uncertified,
    /// Switched off (flight mode).
    Flight,
}

/// A hub that the office hasn't certified, as this device met it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct NewHub {
    /// The key it shows.
    pub key: PublicKey,
    /// Since when it answers in the place of the company's hub, by this device's clock.
    pub since_ms: u64,
}

/// What is still on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Outbox {
    /// Entries whose words have no receipt; what nobody wrote by hand (keys, marks) isn't counted.
    pub ops: u64,
    /// Photos of which the thumb or picture has no receipt.
    pub photos: u64,
    /// Originals without a receipt.
    pub originals: u64,
    /// Bytes of blobs without a receipt.
    pub bytes: u64,
    /// Refused for good: needs a person.
    pub stuck: u64,
}

/// How this device stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The hub.
    pub hub: HubState,
    /// When the hub last answered.
    pub last_contact_ms: Option<u64>,
    /// The hub that answers instead, if the company's own doesn't.
    pub new_hub: Option<NewHub>,
    /// When everything the hub had was here last, the roster too.
    pub roster_confirmed_ms: Option<u64>,
    /// That is more than 72 hours ago: who was shut out or is new, this device may not know.
    pub roster_stale: bool,
    /// On its way out.
    pub outbox: Outbox,
    /// What must not be.
    pub alarms: Vec<Alarm>,
}

/// What an alarm is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AlarmKind {
    /// The hub showed this device two rosters, one after the other, without having been put back.
    TwoRosters,
    /// A colleague's device knows another roster than this one.
    ForeignRoster,
}

/// A sign that the hub shows different rosters to different devices. What was captured and what was
/// read before isn't touched by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Alarm {
    /// What it is about.
    pub kind: AlarmKind,
    /// Since when, ms.
    pub since_ms: u64,
    /// Whose device, by the name of who wrote on it.
    pub person: Option<String>,
}

/// How a roster op stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RosterStanding {
    /// It holds.
    Holds,
    /// A recovery kit undid it.
    Undone,
    /// It never did anything: its author hadn't the right.
    Void,
}

/// One thing that a roster op did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RosterWhat {
    /// `founded`, `device`, `person`, `moved`, `role`, `ended`, `hub`, `merged`, `undone`, `kit`,
    /// `newer`.
    pub code: &'static str,
    /// To whom, by name.
    pub subject: Option<String>,
}

/// A roster op as an office person reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RosterEvent {
    /// Its place in the chain, from 1.
    pub place: u32,
    /// When, by its author's clock.
    pub time_ms: u64,
    /// Who; none: a recovery kit.
    pub by: Option<String>,
    /// Whether it holds.
    pub standing: RosterStanding,
    /// What it did; empty: new keys only.
    pub what: Vec<RosterWhat>,
}

/// What is still on one other device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Backlog {
    /// The device.
    pub device: DeviceId,
    /// Its name.
    pub device_name: String,
    /// Entries with something missing here.
    pub entries: u64,
    /// Photos whose thumb or picture is missing.
    pub photos: u64,
    /// Originals that are missing.
    pub originals: u64,
    /// Bytes missing.
    pub bytes: u64,
    /// Since when, by the author's clock.
    pub since_ms: u64,
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

fn reason<S: Serializer>(reason: &EraseReason, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(match reason {
        EraseReason::PersonalData => "personal_data",
        EraseReason::Mistake => "mistake",
        EraseReason::Expired => "expired",
    })
}

pub(crate) const fn reason_of_code(code: i64) -> Option<EraseReason> {
    Some(match code {
        1 => EraseReason::PersonalData,
        2 => EraseReason::Mistake,
        3 => EraseReason::Expired,
        _ => return None,
    })
}

/// How something erased stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErasureRecord {
    /// The entry.
    pub entry: OpId,
    /// Its thread.
    pub thread: ThreadId,
    /// Why.
    #[serde(serialize_with = "reason")]
    pub reason: EraseReason,
    /// Who erased it.
    pub by: Vec<String>,
    /// When first, by their clock.
    pub time_ms: u64,
    /// A second office person has to erase it too before it is destroyed.
    pub needs_second: bool,
    /// It is destroyed on this device.
    pub destroyed: bool,
    /// When this device destroys it.
    pub gone_ms: Option<u64>,
}

/// A key that someone made wrongly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyComplaint {
    /// The complaint.
    pub id: OpId,
    /// The thread.
    pub thread: ThreadId,
    /// Who made the key; none: not known yet.
    pub maker: Option<String>,
    /// The crew, person or office that it doesn't open for.
    pub for_whom: String,
    /// Whose device complained.
    pub by: String,
    /// When, by its clock.
    pub time_ms: u64,
    /// Nobody has made it good yet.
    pub is_open: bool,
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

/// A person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Person {
    /// By ring.
    pub id: RingId,
    /// Name.
    pub name: String,
    /// Role.
    #[serde(serialize_with = "role")]
    pub role: Role,
    /// The crew whose phone they are on.
    pub crew: Option<RingId>,
    /// The ring of the phones that are theirs alone, if they have one: what they are in a thread by.
    pub own_ring: Option<RingId>,
    /// Seats that still speak; 0: waits for a new device.
    pub seats: u32,
}

/// A crew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Crew {
    /// By ring.
    pub id: RingId,
    /// Name.
    pub name: String,
    /// Its people.
    pub people: Vec<RingId>,
}

/// A device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeviceRecord {
    /// The device.
    pub id: DeviceId,
    /// Name.
    pub name: String,
    /// Where it stands.
    #[serde(serialize_with = "device_kind")]
    pub kind: DeviceKind,
    /// Whether it is this one.
    pub this_device: bool,
    /// Who writes on it.
    pub people: Vec<String>,
    /// Its crew's name.
    pub crew: Option<String>,
    /// The newest thing this device knows of it, by its author's clock.
    pub last_contact_ms: Option<u64>,
    /// What is still on it.
    pub backlog: Option<Backlog>,
    /// Its rights ended.
    pub ended: Option<EndedDevice>,
    /// Seats on it that wait for the office.
    pub locked_seats: Vec<LockedSeat>,
}

/// A seat that waits for the office.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LockedSeat {
    /// The seat.
    pub seat: SeatId,
    /// Whose it is.
    pub name: String,
    /// Since when five wrong PINs locked it, by its device's clock; none: they didn't.
    pub locked_ms: Option<u64>,
    /// The PIN is forgotten: a new seat was asked for.
    pub new_wanted: bool,
}

/// How a device ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct EndedDevice {
    /// Shut out at once (loss, theft, quarrel), not given back.
    pub at_once: bool,
    /// What it says of having removed its keys and files; none: it wasn't heard of since.
    pub wiped: Option<WipedDevice>,
}

/// The last word of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct WipedDevice {
    /// When, by its clock.
    pub time_ms: u64,
    /// Ops and files that the hub had refused for good and that went with it.
    pub lost: u32,
}

/// Why something is kept back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeptBackWhy {
    /// It names a roster that this company never had.
    ForeignRoster,
    /// Its seat wasn't admitted yet when it was written.
    NotCertified,
    /// Its author's rights had ended, and he knew it.
    Ended,
    /// It came after its author was shut out.
    Cut,
    /// Its author is no member of the thread.
    NotMember,
    /// Its author may not do this; no admission helps.
    Right,
}

impl KeptBackWhy {
    pub(crate) const fn from_code(code: i64) -> Option<Self> {
        Some(match code {
            1 => Self::ForeignRoster,
            2 => Self::NotCertified,
            3 => Self::Ended,
            4 => Self::Cut,
            5 => Self::NotMember,
            6 => Self::Right,
            _ => return None,
        })
    }
}

/// What is kept back of a seat in a thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeptBack {
    /// The thread.
    pub thread: ThreadId,
    /// Whose.
    pub seat: SeatId,
    /// The person's name; none: a device's own.
    pub person: Option<String>,
    /// The device's name.
    pub device: Option<String>,
    /// Why.
    pub why: KeptBackWhy,
    /// Texts, photos and the like; what can't be read yet among them.
    pub entries: u32,
    /// Of these: texts,
    pub texts: u32,
    /// photos,
    pub photos: u32,
    /// voice notes,
    pub voices: u32,
    /// documents and sealed attachments.
    pub files: u32,
    /// All ops, marks and keys too.
    pub ops: u32,
    /// Written from
    pub first_ms: u64,
    /// to, by the author's clock.
    pub last_ms: u64,
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

/// Which views changed; screens ask again for what they show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Changed {
    /// Name, seats, hub state, outbox.
    Me,
    /// The list of threads.
    Threads,
    /// One thread.
    Thread(ThreadId),
    /// Names and people.
    People,
    /// Devices.
    Devices,
}
