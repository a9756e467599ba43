//! Enrolment: a code on the office's screen, four words on both, and a person who presses
//! *Aufnehmen*.
//!
//! The phone's keys never leave it, the code's secret is never sent, and the phone believes no
//! roster but one that extends the code's and contains its own admission.

mod admission;
mod office;
pub(crate) mod pack;
mod phone;

use kolonne_model::enrol::{Code, OneTimeSecret};
use kolonne_model::hub::{Door, HubError, Mail, MailAt};
use kolonne_model::ids::RingId;
use kolonne_model::roster::change::{DeviceKind, Role};
use std::time::Duration;

use crate::error::Error;

pub use office::{Invitation, InviteState};
pub use phone::Enrolment;

/// Most people on one device; a phone commits to this many seats before it knows how many it gets.
pub const MAX_SEATS: usize = 4;
/// Before the code in its text.
const PREFIX: &str = "KOLONNE1:";
/// Longest text looked at; a code of 1024 bytes has 1645 characters.
const MAX_TEXT_CHARS: usize = 4096;
/// Bytes at the end of a text that find a typing error.
const CHECK_BYTES: usize = 4;
/// How often a message is put again when the hub isn't reached.
const PUT_TRIES: u32 = 5;
const PUT_PAUSE: Duration = Duration::from_millis(500);

/// The four words that two people compare, each German and English.
pub type Words = [(&'static str, &'static str); 4];

/// A person to write on the device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeatGrant {
    /// Who it is, by ring; none: someone new.
    pub person: Option<RingId>,
    /// The name of someone new.
    pub name: String,
    /// What they may do.
    pub role: Role,
}

/// A device to invite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewInvite {
    /// Where it stands.
    pub kind: DeviceKind,
    /// What it is called.
    pub device_name: String,
    /// Its crew, if there already; none for an office device.
    pub crew: Option<RingId>,
    /// A new crew; a foreman's own phone: his name.
    pub crew_name: Option<String>,
    /// Who writes on it, 1 to [`MAX_SEATS`].
    pub seats: Vec<SeatGrant>,
}

const fn bad_code(code: &'static str) -> Error {
    Error::Invalid {
        field: "code",
        code,
    }
}

fn check_of(bytes: &[u8]) -> [u8; CHECK_BYTES] {
    let [a, b, c, d, ..] = *blake3::hash(bytes).as_bytes();
    [a, b, c, d]
}

/// A code as text, for a QR and for typing: upper case, so that the QR stays small.
fn to_text(code: &Code) -> String {
    let mut bytes = code.to_bytes();
    bytes.extend(check_of(&bytes));
    format!("{PREFIX}{}", data_encoding::BASE32_NOPAD.encode(&bytes))
}

/// The code in a text, whatever its case and spaces.
fn from_text(text: &str) -> Result<Code, Error> {
    let malformed = || bad_code("malformed");
    if text.len() > MAX_TEXT_CHARS {
        return Err(malformed());
    }
    let text: String = text
        .chars()
        .filter(|char| !char.is_whitespace())
        .map(|char| char.to_ascii_uppercase())
        .collect();
    let digits = text.strip_prefix(PREFIX).ok_or_else(malformed)?;
    let bytes = data_encoding::BASE32_NOPAD
        .decode(digits.as_bytes())
        .map_err(|_| malformed())?;
    let (code, check) = bytes
        .split_last_chunk::<CHECK_BYTES>()
        .ok_or_else(malformed)?;
    if *check != check_of(code) {
        return Err(malformed());
    }
    Code::from_bytes(code).map_err(|_| malformed())
}

/// A message of the mailbox; none: not there yet.
async fn read_mail(
    door: &impl Door,
    secret: &OneTimeSecret,
    slot: u8,
) -> Result<Option<Vec<u8>>, HubError> {
    let mailbox = secret.mailbox();
    match door.mail(MailAt { mailbox, slot }).await {
        Ok(message) => Ok(Some(message)),
        Err(HubError::NotThere) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Leaves a message; the same one again is fine.
///
/// # Errors
/// `Invalid` with `spent` if another message is there: someone else used the code.
async fn put_mail(
    door: &impl Door,
    secret: &OneTimeSecret,
    slot: u8,
    message: &[u8],
) -> Result<(), Error> {
    let mut tries = 0;
    loop {
        let mail = Mail {
            mailbox: secret.mailbox(),
            slot,
            message: message.to_vec().into(),
        };
        tries += 1;
        match door.put_mail(mail).await {
            Ok(()) => return Ok(()),
            Err(HubError::NotAllowed) => return Err(bad_code("spent")),
            // It may have arrived all the same, and a new one would find the slot taken.
            Err(HubError::Unreachable | HubError::NotNow { .. }) if tries < PUT_TRIES => {
                tokio::time::sleep(PUT_PAUSE).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use kolonne_model::ids::{CompanyId, Hash32, PublicKey, RosterDigest, RosterPosition};
    use proptest::prelude::*;

    fn code(hub_url: String, secret: [u8; 16], expires_ms: u64) -> Code {
        Code {
            hub_url,
            hub_key: PublicKey([1; 32]),
            company: CompanyId([2; 16]),
            roster: RosterPosition(7),
            roster_digest: RosterDigest([3; 32]),
            root_key_hash: Hash32([4; 32]),
            secret: OneTimeSecret::from_bytes(secret),
            expires_ms,
        }
    }

    proptest! {
        #[test]
        fn a_code_comes_back_from_its_text_however_it_is_typed(
            url in "[a-z:/.]{0,80}",
            secret: [u8; 16],
            expires_ms: u64,
            gap in 1_usize..20,
        ) {
            let code = code(url, secret, expires_ms);
            let text = to_text(&code);
            let spaced: String = text
                .to_lowercase()
                .chars()
                .enumerate()
                .flat_map(|(at, char)| [Some(char), (at % gap == 0).then_some('\n')])
                .flatten()
                .collect();
            prop_assert_eq!(from_text(&spaced).unwrap(), code.clone());
            prop_assert_eq!(from_text(&text).unwrap(), code);
        }

        #[test]
        fn a_wrong_character_is_noticed(at: prop::sample::Index, char in "[A-Z2-7]") {
            let code = code("https://hub.example".into(), [9; 16], 1);
            let text = to_text(&code);
            let at = at.index(text.len());
            let mut typed = text.clone();
            typed.replace_range(at..=at, &char);
            prop_assert!(typed == text || from_text(&typed).is_err());
        }

        #[test]
        fn no_text_panics(text: String) {
            prop_assert!(from_text(&text).is_err());
            let prefixed = [PREFIX, &text].concat();
            prop_assert!(from_text(&prefixed).is_err());
        }
    }
}
