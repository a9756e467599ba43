//! People, devices and rights, as the office looks after them: what is still on a phone, who did
//! what to the roster, what is kept back, erased or wrongly locked.
//!
//! Plain data: nothing here decides who may do what.

use kolonne_model::control::EraseReason;
use kolonne_model::ids::{DeviceId, OpId, RingId, SeatId, ThreadId};
use kolonne_model::judge::Quarantine;
use kolonne_model::roster::change::{DeviceKind, Role};
use serde::{Serialize, Serializer};

use super::{device_kind, role};

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
    /// Of `role`: what it was, as far as this chain says, and what it became.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roles: Option<RoleStep>,
    /// Of `ended`: shut out at once, not in peace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_once: Option<bool>,
}

/// From one role to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RoleStep {
    /// Before; none: not known, in a branch that a merge brought along.
    #[serde(serialize_with = "role_before")]
    pub before: Option<Role>,
    /// Since.
    #[serde(serialize_with = "role")]
    pub after: Role,
}

#[allow(clippy::ref_option, reason = "as serde calls it")]
fn role_before<S: Serializer>(before: &Option<Role>, s: S) -> Result<S::Ok, S::Error> {
    before.map(super::role_word).serialize(s)
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
    /// Of a merge: what it brought along from the other branch, oldest first.
    pub carried: Vec<CarriedEvent>,
}

/// What an op of another branch did that a merge brought along: it has no place in the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CarriedEvent {
    /// When, by its author's clock.
    pub time_ms: u64,
    /// Who.
    pub by: Option<String>,
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
    /// Voice notes that are missing.
    pub voices: u64,
    /// Documents and sealed attachments that are missing.
    pub files: u64,
    /// Places where its writing has a hole: what comes after is here, what was before isn't.
    pub gaps: u64,
    /// Bytes missing, of files; a hole's size is unknown.
    pub bytes: u64,
    /// Since when: the oldest of it, by the author's clock set right.
    pub since_ms: u64,
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

/// A person whose access ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EndedPerson {
    /// By ring.
    pub id: RingId,
    /// Name.
    pub name: String,
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
    /// What it says of having removed its keys and files; it may have ended, or its end was undone.
    pub wiped: Option<WipedDevice>,
    /// Seats on it that wait for the office.
    pub locked_seats: Vec<LockedSeat>,
    /// Of a phone that several people share: who has no PIN there, as far as it said.
    pub without_pin: Vec<String>,
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
    /// The seat that was asked for: [`crate::Kolonne::renew_seat`] puts this one in place.
    pub wanted: Option<SeatId>,
    /// When that was, by its device's clock.
    pub wanted_ms: Option<u64>,
    /// The newest entry that the old seat wrote since, by its device's clock: somebody has its PIN.
    pub used_ms: Option<u64>,
    /// A new seat was asked for at its device, and its right PIN withdrew that; when.
    pub withdrawn_ms: Option<u64>,
}

/// How a device ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct EndedDevice {
    /// Shut out at once (loss, theft, quarrel), not given back.
    pub at_once: bool,
}

/// The last word of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct WipedDevice {
    /// When, by its clock.
    pub time_ms: u64,
    /// Ops and files that no hub had taken and that went with it; erased ones among them, if it
    /// couldn't know.
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

/// Who can let in what is kept back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LetInBy {
    /// No admission helps.
    Nobody,
    /// The office.
    Office,
    /// The office, and the asking person isn't in the thread any more: no word of it comes here.
    OfficeUntold,
    /// Whoever is in the (direct) thread.
    Members,
}

impl KeptBackWhy {
    /// Its number in `view_quarantine.why`.
    pub(crate) const fn code(self) -> i64 {
        match self {
            Self::ForeignRoster => 1,
            Self::NotCertified => 2,
            Self::Ended => 3,
            Self::Cut => 4,
            Self::NotMember => 5,
            Self::Right => 6,
        }
    }

    pub(crate) const fn of(why: Quarantine) -> Self {
        match why {
            Quarantine::ForeignRoster => Self::ForeignRoster,
            Quarantine::NotCertified => Self::NotCertified,
            Quarantine::Ended => Self::Ended,
            Quarantine::Cut => Self::Cut,
            Quarantine::NotMember => Self::NotMember,
            Quarantine::Right => Self::Right,
        }
    }

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
    /// The device.
    pub device_id: Option<DeviceId>,
    /// Why.
    pub why: KeptBackWhy,
    /// Who can let it in.
    pub let_in_by: LetInBy,
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
    /// Changes of entries beside them: other words, taken back.
    pub changes: u32,
    /// All ops, marks and keys too.
    pub ops: u32,
    /// Written from
    pub first_ms: u64,
    /// to, by the author's clock.
    pub last_ms: u64,
}
