//! Enrolment: the code on the office's screen, the commitment, the nonces, the four words.
//!
//! The commitment comes before the keys, so that a hub in the middle can't search for keys whose
//! words match. The one-time secret is never sent; from it come the mailbox and a MAC key per
//! direction. Randomness and signing keys are arguments.

use ed25519_dalek::{Signer, SigningKey};
use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::cbor::{self, CborError};
use crate::hash::{h, label};
use crate::ids::{
    CompanyId, Hash32, PublicKey, RingId, RosterDigest, RosterPosition, SeatId, Signature,
};
use crate::op::signed_by;
use crate::roster::change::{DeviceKind, Recipient, Role};
use crate::words::WORDS;

/// A code is good for this long after it was shown.
pub const LASTS_MS: u64 = 10 * 60 * 1000;
/// Tries before a code is spent.
pub const TRIES: u32 = 5;
/// The version of this exchange.
pub const VERSION: u8 = 1;

/// The one-time secret in the code; never sent.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct OneTimeSecret([u8; 16]);

impl core::fmt::Debug for OneTimeSecret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("OneTimeSecret(…)")
    }
}

impl OneTimeSecret {
    /// A secret from random bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The secret bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The mailbox at the hub.
    #[must_use]
    pub fn mailbox(&self) -> Hash32 {
        Hash32(h(label::MAILBOX, &[&self.0]))
    }

    fn mac(&self, direction: &str, message: &[u8]) -> Hash32 {
        let key = zeroize::Zeroizing::new(h(direction, &[&self.0]));
        Hash32(*blake3::keyed_hash(&key, message).as_bytes())
    }
}

/// What the code holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    /// Where the hub is.
    pub hub_url: String,
    /// The hub's signing key.
    pub hub_key: PublicKey,
    /// The company.
    pub company: CompanyId,
    /// The roster's newest position when the code was made.
    pub roster: RosterPosition,
    /// The state's digest there.
    pub roster_digest: RosterDigest,
    /// Hash of the root key.
    pub root_key_hash: Hash32,
    /// The one-time secret.
    pub secret: OneTimeSecret,
    /// When it ends, ms.
    pub expires_ms: u64,
}

#[derive(Encode, Decode)]
struct CodeForm {
    #[n(0)]
    version: u8,
    #[n(1)]
    hub_url: String,
    #[n(2)]
    hub_key: PublicKey,
    #[n(3)]
    company: CompanyId,
    #[n(4)]
    roster: RosterPosition,
    #[n(5)]
    roster_digest: RosterDigest,
    #[n(6)]
    root_key_hash: Hash32,
    #[n(7)]
    expires_ms: u64,
    #[cbor(n(8), with = "minicbor::bytes")]
    secret: [u8; 16],
}

impl Code {
    /// The hash of a root key as a code holds it.
    #[must_use]
    pub fn root_key_hash(key: &PublicKey) -> Hash32 {
        Hash32(h(label::ROOT_KEY, &[&key.0]))
    }

    fn form(&self, secret: [u8; 16]) -> CodeForm {
        CodeForm {
            version: VERSION,
            hub_url: self.hub_url.clone(),
            hub_key: self.hub_key,
            company: self.company,
            roster: self.roster,
            roster_digest: self.roster_digest,
            root_key_hash: self.root_key_hash,
            expires_ms: self.expires_ms,
            secret,
        }
    }

    /// The code's bytes, as shown in the QR.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        cbor::encode(&self.form(self.secret.0))
    }

    /// Reads a scanned code.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CborError> {
        if bytes.len() > 1024 {
            return Err(CborError::Malformed);
        }
        let form: CodeForm = cbor::decode(bytes)?;
        if form.version != VERSION {
            return Err(CborError::Malformed);
        }
        Ok(Self {
            hub_url: form.hub_url,
            hub_key: form.hub_key,
            company: form.company,
            roster: form.roster,
            roster_digest: form.roster_digest,
            root_key_hash: form.root_key_hash,
            secret: OneTimeSecret(form.secret),
            expires_ms: form.expires_ms,
        })
    }

    /// The code without its secret: what the transcript covers.
    fn public(&self) -> Vec<u8> {
        cbor::encode(&self.form([0; 16]))
    }
}

/// Mailbox slots, one per step.
pub mod slot {
    /// Phone → office: [`super::Commitment`].
    pub const COMMITMENT: u8 = 1;
    /// Office → phone: [`super::Answer`].
    pub const ANSWER: u8 = 2;
    /// Phone → office: [`super::Opening`].
    pub const OPENING: u8 = 3;
    /// Office → phone: [`super::Admission`], or [`super::Denial`].
    pub const ADMISSION: u8 = 4;
}

/// The phone's keys: of the device and of the seats it asks for.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct PhoneKeys {
    /// The device seat's signing key.
    #[n(0)]
    pub device_key: PublicKey,
    /// What ring secrets are wrapped to.
    #[n(1)]
    pub recipient: Recipient,
    /// For the people's seats, in the order granted: signing key, and what the person's ring is
    /// wrapped to.
    #[n(2)]
    pub seat_keys: Vec<(PublicKey, Recipient)>,
}

/// What the office grants: role and crew, and for whom.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Grant {
    /// Where the device stands.
    #[n(0)]
    pub kind: DeviceKind,
    /// Its crew ring, if the ring is there already.
    #[n(1)]
    pub crew: Option<RingId>,
    /// For each seat: the person's ring, if there already, and the role.
    #[n(2)]
    pub seats: Vec<(Option<RingId>, Role)>,
}

/// Step 1, phone → office.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Commitment {
    /// Hash of keys and nonce.
    #[n(0)]
    pub commitment: Hash32,
}

/// Step 2, office → phone.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Answer {
    /// The office's nonce.
    #[n(0)]
    pub nonce: Hash32,
    /// What it grants.
    #[n(1)]
    pub grant: Grant,
    /// The certified seat that signs.
    #[n(2)]
    pub seat: SeatId,
    /// Over the code, the commitment, the nonce and the grant.
    #[n(3)]
    pub signature: Signature,
}

/// Step 3, phone → office.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Opening {
    /// The phone's nonce.
    #[n(0)]
    pub nonce: Hash32,
    /// Its keys.
    #[n(1)]
    pub keys: PhoneKeys,
}

/// Step 4, office → phone: it is admitted; what it needs to start.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Admission {
    /// The roster position of its admission.
    #[n(0)]
    pub roster: RosterPosition,
    /// The state's digest there.
    #[n(1)]
    pub roster_digest: RosterDigest,
    /// The admission pack: an age file to the device of a deflated [`crate::pack::Pack`]; empty if
    /// there is none.
    #[n(2)]
    pub pack: ByteVec,
}

/// Instead of step 4: the office said no, or took the code back. Only spares the phone the wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Denial {
    /// Always true; more reasons may follow.
    #[n(0)]
    pub denied: bool,
}

/// Who a message is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// The phone that scanned the code.
    Phone,
    /// The office that showed it.
    Office,
}

/// Why a step isn't accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EnrolError {
    /// Not sealed with the code's secret, or malformed.
    #[error("message is not of this enrolment")]
    Mac,
    /// The keys aren't those committed to.
    #[error("keys are not those committed to")]
    Commitment,
    /// Not signed by the seat it names.
    #[error("office's signature is wrong")]
    Signature,
    /// The code's time is over.
    #[error("code has expired")]
    Expired,
}

/// Puts the code's MAC before a message.
#[must_use]
pub fn seal_message<T: Encode<()>>(
    secret: &OneTimeSecret,
    from: From,
    slot: u8,
    message: &T,
) -> Vec<u8> {
    let body = cbor::encode(message);
    let mac = mac_of(secret, from, slot, &body);
    [mac.0.as_slice(), &body].concat()
}

/// Checks the MAC and reads the message.
pub fn open_message<'b, T: Decode<'b, ()>>(
    secret: &OneTimeSecret,
    from: From,
    slot: u8,
    message: &'b [u8],
) -> Result<T, EnrolError> {
    let (mac, body) = message.split_first_chunk::<32>().ok_or(EnrolError::Mac)?;
    // blake3's Hash compares in constant time.
    let expected = blake3::Hash::from_bytes(mac_of(secret, from, slot, body).0);
    if expected != blake3::Hash::from_bytes(*mac) {
        return Err(EnrolError::Mac);
    }
    cbor::decode(body).map_err(|_| EnrolError::Mac)
}

fn mac_of(secret: &OneTimeSecret, from: From, slot: u8, body: &[u8]) -> Hash32 {
    let direction = match from {
        From::Phone => label::MAC_TO_OFFICE,
        From::Office => label::MAC_TO_PHONE,
    };
    secret.mac(direction, &[&[slot], body].concat())
}

/// The phone's commitment to its nonce and keys.
#[must_use]
pub fn commit(nonce: &Hash32, keys: &PhoneKeys) -> Commitment {
    let keys = cbor::encode(keys);
    Commitment {
        commitment: Hash32(h(label::COMMITMENT, &[&nonce.0, &keys])),
    }
}

fn answer_message(code: &Code, commitment: &Commitment, nonce: &Hash32, grant: &Grant) -> Vec<u8> {
    let transcript = cbor::encode(&(ByteVec::from(code.public()), commitment, nonce, grant));
    [label::ENROL_SIGNATURE.as_bytes(), &transcript].concat()
}

impl Answer {
    /// The office's answer, signed by one of its seats.
    #[must_use]
    pub fn new(
        code: &Code,
        commitment: &Commitment,
        nonce: Hash32,
        grant: Grant,
        key: &SigningKey,
    ) -> Self {
        let signature = Signature(
            key.sign(&answer_message(code, commitment, &nonce, &grant))
                .to_bytes(),
        );
        let seat = SeatId::of_key(&PublicKey(key.verifying_key().to_bytes()));
        Self {
            nonce,
            grant,
            seat,
            signature,
        }
    }

    /// Whether the seat it names signed it. That the seat is certified with the right to admit is
    /// checked against the roster, once the phone has it.
    pub fn check(
        &self,
        code: &Code,
        commitment: &Commitment,
        key: &PublicKey,
    ) -> Result<(), EnrolError> {
        let message = answer_message(code, commitment, &self.nonce, &self.grant);
        let is = SeatId::of_key(key) == self.seat && signed_by(key, &message, &self.signature);
        if is {
            Ok(())
        } else {
            Err(EnrolError::Signature)
        }
    }
}

/// Everything both sides saw; its words are compared by two people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transcript<'a> {
    /// The code.
    pub code: &'a Code,
    /// Step 1.
    pub commitment: &'a Commitment,
    /// Step 2.
    pub answer: &'a Answer,
    /// Step 3.
    pub opening: &'a Opening,
}

impl Transcript<'_> {
    /// Checks the opening against the commitment; the four words' numbers.
    pub fn word_numbers(&self) -> Result<[u8; 4], EnrolError> {
        if commit(&self.opening.nonce, &self.opening.keys) != *self.commitment {
            return Err(EnrolError::Commitment);
        }
        let transcript = cbor::encode(&(
            VERSION,
            ByteVec::from(self.code.public()),
            self.commitment,
            self.opening.nonce,
            self.answer.nonce,
            &self.opening.keys,
            &self.answer.grant,
        ));
        let [a, b, c, d, ..] = h(label::ENROL_WORDS, &[&transcript]);
        Ok([a, b, c, d])
    }

    /// The four words, each German and English.
    pub fn words(&self) -> Result<[(&'static str, &'static str); 4], EnrolError> {
        let word = |n: u8| WORDS.get(usize::from(n)).copied().unwrap_or_default();
        Ok(self.word_numbers()?.map(word))
    }
}
