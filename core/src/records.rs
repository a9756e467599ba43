//! What screens get: plain records in the shape they show. The page, the command line and the
//! facade pass them on as they are. Here: this device and how it stands; `threads` jobs and entries,
//! `company` people, devices and rights, `standing` what hangs fast and whether a device may go.
//!
//! Built from views only. Ids are hex in JSON; times are ms since 1970; sizes are bytes.

mod company;
mod standing;
mod threads;

use kolonne_model::ids::{CompanyId, DeviceId, PublicKey, RingId, SeatId, ThreadId};
use kolonne_model::roster::change::{DeviceKind, Role};
use serde::{Serialize, Serializer};

pub(crate) use company::reason_of_code;
pub use company::{
    Backlog, CarriedEvent, Crew, DeviceRecord, EndedDevice, EndedPerson, ErasureRecord, KeptBack,
    KeptBackWhy, KeyComplaint, LetInBy, LockedSeat, Person, RoleStep, RosterEvent, RosterStanding,
    RosterWhat, WipedDevice,
};
pub use standing::{HandBack, HandBackStanding, Lack, LackKind, Stuck};
pub use threads::{
    Author, ChangeKeptBack, ClockWord, DocumentRecord, Entry, EntryKind, EntryPage, LastLine,
    Media, Member, MemberKind, Notice, Opened, Part, PendingPart, PhotoRecord, Quote,
    RetractedRecord, SealedPerson, SealedRecord, State, Thread, ThreadRow, VoiceRecord,
};

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

fn device_kind<S: Serializer>(kind: &DeviceKind, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(match kind {
        DeviceKind::Phone => "phone",
        DeviceKind::Office => "office",
    })
}

/// Who opens a seat whose PIN is lost, or puts another in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OpenedBy {
    /// Somebody else of the office; of an admin's seat another admin.
    Office,
    /// Nobody else may: it takes the recovery kit.
    Kit,
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
    /// Whether a PIN is before it. Without one it is open, but for a phone that several people
    /// share: there it is locked until it has one.
    pub has_pin: bool,
    /// Whether the PIN is asked for, or for its first one, before anything is written.
    pub locked: bool,
    /// Wrong PINs until it locks; 0: the office has to open it.
    pub tries_left: u32,
    /// A new seat in its place was asked for, since the PIN is forgotten.
    pub new_wanted: bool,
    /// Who opens it when its PIN is lost.
    pub opened_by: OpenedBy,
    /// Direct threads that aren't shown until the PIN is in.
    pub direct_hidden: u32,
    /// How many people have a new phone that reads a direct thread again once this seat's PIN is in
    /// and there is a network.
    pub awaited: u32,
    /// Who, by name; nobody on a phone that several people share, where others would read it.
    pub awaited_by: Vec<String>,
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
    /// The last try failed: there is no way to it.
    Unreachable,
    /// It takes nothing just now: too many ask, or its disk is full.
    NotNow,
    /// Something else than a hub of this company answers at its address.
    Foreign,
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
    /// Voice notes without a receipt.
    pub voices: u64,
    /// Documents and sealed attachments without a receipt.
    pub files: u64,
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
    /// Two branches of the roster wait for a person of the office here to type their PIN.
    MergeNeedsPin,
    /// A device's data runs twice, or was put back from a copy. Told to the office.
    RanTwice,
}

/// A sign that somebody has to look at something: at different rosters on different devices, at a
/// copied device. What was captured and what was read before isn't touched by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Alarm {
    /// What it is about.
    pub kind: AlarmKind,
    /// Since when, ms.
    pub since_ms: u64,
    /// Whose device, by the name of who wrote on it; or who is to type their PIN.
    pub person: Option<String>,
    /// Which device, where that is the point.
    pub device: Option<String>,
    /// By this the office puts it away once it was looked into; none: it stands until it is settled.
    pub id: Option<String>,
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
