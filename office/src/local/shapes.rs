//! The page's shapes (`api.ts`) where they say more than the core's records, and what it asks.
//!
//! Ids in requests are parsed here; what doesn't parse never reaches the core.

use data_encoding::HEXLOWER_PERMISSIVE;
use kolonne_core::capture::SealFor;
use kolonne_core::records::{Crew, EndedPerson, Person};
use kolonne_core::records::{
    DeviceRecord, Entry, EntryPage, SeatRecord, Status, Thread, ThreadRow, role_word,
};
use kolonne_model::ids::{DeviceId, OpId, RingId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::problem::{Answer, Problem};

/// How the page looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Surface {
    /// Wide, for an office's PC.
    Office,
    /// Narrow, as on a phone.
    Phone,
}

#[derive(Serialize)]
pub struct SeatShape {
    #[serde(flatten)]
    pub record: SeatRecord,
    pub active: bool,
}

#[derive(Serialize)]
pub struct DeviceName {
    pub id: DeviceId,
    pub name: String,
}

#[derive(Serialize)]
pub struct Rights {
    pub jobs: bool,
    pub members: bool,
    pub devices: bool,
}

#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "a size names its unit")]
pub struct SizeLimits {
    pub text_bytes: usize,
    /// Of a photo or a voice note.
    pub media_bytes: usize,
    pub file_bytes: usize,
    pub sealed_bytes: usize,
}

#[derive(Serialize)]
pub struct MeShape {
    pub surface: Surface,
    pub company: String,
    pub device: DeviceName,
    pub seats: Vec<SeatShape>,
    pub language: Option<&'static str>,
    pub flight_mode: Option<bool>,
    pub rights: Rights,
    pub limits: SizeLimits,
    pub auto_lock_min: u32,
    /// Nobody has shown yet that they have the recovery kit on paper.
    pub kit_unconfirmed: bool,
    pub status: Status,
}

#[derive(Serialize)]
pub struct ThreadPage {
    pub threads: Vec<ThreadRow>,
    pub next_cursor: Option<String>,
    pub unread_total: u64,
}

#[derive(Serialize)]
pub struct EntriesShape {
    pub entries: Vec<Value>,
    pub before: Option<OpId>,
    pub unread_from: Option<OpId>,
    pub held: u64,
    pub quarantined: u64,
}

impl EntriesShape {
    pub fn of(page: &EntryPage) -> Answer<Self> {
        Ok(Self {
            entries: page.entries.iter().map(entry).collect::<Answer<_>>()?,
            before: page.before,
            unread_from: page.unread_from,
            held: page.held,
            quarantined: page.quarantined,
        })
    }
}

/// An entry, with the reason it is stuck in whole sentences.
fn entry(entry: &Entry) -> Answer<Value> {
    let internal = || Problem::from(kolonne_core::Error::Internal { code: "json" });
    let mut shape = serde_json::to_value(entry).map_err(|_| internal())?;
    let fields = shape.as_object_mut().ok_or_else(internal)?;
    let stuck = entry.stuck.as_deref().map(Problem::of_stuck);
    fields.insert(
        "stuck".into(),
        serde_json::to_value(stuck).map_err(|_| internal())?,
    );
    fields.entry("waiting").or_insert(Value::Null);
    Ok(shape)
}

#[derive(Serialize)]
pub struct PeopleShape {
    pub people: Vec<Person>,
    pub crews: Vec<Crew>,
    pub ended: Vec<EndedPerson>,
}

#[derive(Serialize)]
pub struct DeviceShape {
    #[serde(flatten)]
    pub record: DeviceRecord,
    pub app_version: Option<String>,
    /// Entries and changes of it that are kept back, as far as somebody here may see them.
    pub kept_back: u32,
}

#[derive(Serialize)]
pub struct DevicesShape {
    pub devices: Vec<DeviceShape>,
}

#[derive(Serialize)]
pub struct Created {
    pub id: String,
}

/// Nothing to say.
#[derive(Serialize)]
pub struct Done {}

/// A thread, as the core has it.
pub type ThreadShape = Thread;

// What the page asks

#[derive(Deserialize)]
pub struct SeatAsk {
    pub seat: String,
}

#[derive(Deserialize)]
pub struct FlightAsk {
    pub on: bool,
}

#[derive(Deserialize)]
pub struct MemberRef {
    pub id: String,
}

#[derive(Deserialize)]
pub struct NewJobAsk {
    pub title: String,
    pub customer: String,
    pub address: String,
    pub members: Vec<MemberRef>,
    pub draft_id: String,
}

#[derive(Deserialize)]
pub struct ThreadChangeAsk {
    pub title: Option<String>,
    pub status: Option<String>,
    pub customer: Option<String>,
    pub address: Option<String>,
}

#[derive(Deserialize)]
pub struct MemberChangeAsk {
    pub add: Vec<MemberRef>,
    pub remove: Vec<MemberRef>,
}

#[derive(Deserialize)]
pub struct NewTextAsk {
    pub seat: String,
    pub text: String,
    pub reply_to: Option<String>,
    pub draft_id: String,
}

#[derive(Deserialize)]
pub struct WordsAsk {
    pub text: String,
}

#[derive(Deserialize)]
pub struct RetractAsk {
    pub reason: String,
}

#[derive(Deserialize)]
pub struct ReadAsk {
    pub up_to: String,
}

#[derive(Deserialize)]
pub struct FileAsk {
    pub seat: String,
    pub kind: String,
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub caption: String,
    pub reply_to: Option<String>,
    pub draft_id: String,
}

#[derive(Deserialize)]
pub struct SealAsk {
    pub seat: String,
    #[serde(rename = "for")]
    pub sealed_for: String,
    pub name: String,
    pub reply_to: Option<String>,
    pub draft_id: String,
}

#[derive(Deserialize)]
pub struct SealAgainAsk {
    #[serde(rename = "for")]
    pub sealed_for: String,
    pub draft_id: String,
}

#[derive(Deserialize)]
pub struct InvitePerson {
    pub person: Option<String>,
    pub name: String,
}

#[derive(Deserialize)]
pub struct NewInviteAsk {
    pub kind: String,
    pub name: String,
    pub role: String,
    pub crew: Option<String>,
    pub crew_name: Option<String>,
    pub people: Vec<InvitePerson>,
}

/// A draft's 16 bytes.
pub fn draft(hex: &str) -> Answer<[u8; 16]> {
    let bytes = HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok();
    bytes
        .and_then(|b| b.try_into().ok())
        .ok_or_else(|| Problem::invalid("draft_id"))
}

/// Rings of members.
pub fn rings(members: &[MemberRef]) -> Answer<Vec<RingId>> {
    let ring = |member: &MemberRef| member.id.parse().map_err(|_| Problem::invalid("members"));
    members.iter().map(ring).collect()
}

/// For whom something is sealed: ids of people and the word `office`, with commas between them.
pub fn seal_for(list: &str) -> Answer<SealFor> {
    let mut to = SealFor::default();
    for word in list.split(',').filter(|word| !word.is_empty()) {
        if word == "office" {
            to.office = true;
        } else {
            let person = word.parse().map_err(|_| Problem::invalid("for"))?;
            to.people.push(person);
        }
    }
    Ok(to)
}

/// The entry that is answered.
pub fn reply(id: Option<&str>) -> Answer<Option<OpId>> {
    let id = id.filter(|id| !id.is_empty());
    id.map(str::parse)
        .transpose()
        .map_err(|_| Problem::invalid("reply_to"))
}

/// A role by its word.
pub fn role(word: &str) -> Answer<kolonne_model::roster::change::Role> {
    use kolonne_model::roster::change::Role;
    [Role::Crew, Role::Foreman, Role::Office, Role::Admin]
        .into_iter()
        .find(|role| role_word(*role) == word)
        .ok_or_else(|| Problem::invalid("role"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn drafts_are_sixteen_bytes() {
        assert_eq!(draft(&"0a".repeat(16)).unwrap(), [10; 16]);
        for bad in ["", "0a", &"zz".repeat(16), &"0a".repeat(17)] {
            assert!(draft(bad).is_err());
        }
    }

    #[test]
    fn an_empty_reply_is_none_and_a_wrong_one_is_refused() {
        assert_eq!(reply(Some("")).unwrap(), None);
        assert!(reply(Some("xyz")).is_err());
    }
}
