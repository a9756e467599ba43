//! The office's side: shows the code, answers the phone, and admits it by one roster op.
//!
//! Nothing is admitted before two people compared the words; which rings a device opens is decided
//! here, and no secret leaves but wrapped for the keys that the words stand for.

use std::sync::Arc;

use ed25519_dalek::SigningKey;
use kolonne_model::enrol::{
    Admission, Answer, Code, Commitment, Denial, From, Grant, LASTS_MS, OneTimeSecret, Opening,
    PhoneKeys, TRIES, Transcript, open_message, seal_message, slot,
};
use kolonne_model::hub::{Hub, HubError};
use kolonne_model::ids::{DeviceId, Hash32, RingId, SeatId};
use kolonne_model::roster::Roster;
use kolonne_model::roster::change::{DeviceKind, RingKind, Role};

use super::admission::{Admitting, are_usable, draft, take_in};
use super::{MAX_SEATS, NewInvite, Words, bad_code, pack, put_mail, read_mail, to_text};
use crate::crypt::random;
use crate::error::{Error, UNCERTIFIED};
use crate::kolonne::Kolonne;
use crate::line::checked_name;
use crate::oplog::Author;
use crate::sync::append;
use crate::sync::{Budget, blocking, pull_roster};
use crate::transport::Line;
use crate::transport::hello;
use crate::views::{Desk, people};

/// How an invitation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InviteState {
    /// No phone has come so far.
    Waiting,
    /// A phone has: compare these with what it shows, then [`Invitation::admit`].
    Words(Words),
    /// It is admitted.
    Admitted,
    /// Over: ten minutes, five tries, or used by someone else. Make a new one.
    Expired,
}

enum Stage {
    Waiting,
    /// The answer is signed and may be at the hub.
    Answering(Commitment, Answer),
    /// The answer is at the hub.
    Answered(Commitment, Answer),
    Words(PhoneKeys, Words),
    Admitted,
    Expired,
}

/// A code that one device can use, once.
pub struct Invitation {
    kolonne: Kolonne,
    seat: SeatId,
    new: NewInvite,
    until_ms: Option<u64>,
    code: Code,
    expires_ms: u64,
    tries: u32,
    stage: Stage,
    sent: Vec<Arc<Admitting>>,
    /// The last message, once there is one: repeated, it has to be the same.
    admission: Vec<u8>,
}

impl std::fmt::Debug for Invitation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Invitation(until {} ms)", self.expires_ms)
    }
}

impl Kolonne {
    /// Invites a device. The office; for office devices and office people its admins.
    ///
    /// # Errors
    /// `Locked` (`right`) without the right; `Invalid` for what doesn't fit together; `NotFound`
    /// for an unknown crew or person; `Offline`.
    pub async fn invite(&self, seat: &SeatId, mut new: NewInvite) -> Result<Invitation, Error> {
        let inner = &self.inner;
        let mut hub = inner.online()?;
        match pull_roster(inner, &hub).await {
            // Perhaps it is certified, and that isn't known here.
            Err(error) if error.code() == UNCERTIFIED.code() => {
                hub = self.catch_up().await?;
                pull_roster(inner, &hub).await?;
            }
            pulled => pulled?,
        }
        let roster = inner.store.read(|db| {
            inner.author(db, seat)?;
            inner.roster(db)
        })?;
        check_right(&roster, seat, &new)?;
        check_invite(&roster, &mut new)?;
        self.at_desk(|desk| check_names(desk, &mut new))?;
        let (position, roster_digest) = roster.head();
        let root_key = roster.root_key().ok_or(Error::Corrupt)?;
        // By the hub's clock, which the phone asks too: neither device's own has to be right.
        let hello = hello(&hub).await?;
        let (hub_url, hub_key) = inner.store.read(|db| {
            let url = crate::store::get_meta(db, "hub_url")?.ok_or(Error::Corrupt)?;
            let url = String::from_utf8(url).map_err(|_| Error::Corrupt)?;
            Ok((url, *roster.hub_key().ok_or(Error::Corrupt)?))
        })?;
        let code = Code {
            hub_url,
            hub_key,
            company: inner.company,
            roster: position,
            roster_digest,
            root_key_hash: Code::root_key_hash(root_key),
            secret: OneTimeSecret::from_bytes(*random::secret()?),
            expires_ms: hello.time_ms.saturating_add(LASTS_MS),
        };
        hub.open_mailbox(code.secret.mailbox()).await?;
        Ok(Invitation {
            kolonne: self.clone(),
            seat: *seat,
            new,
            until_ms: None,
            code,
            expires_ms: inner.now_ms().saturating_add(LASTS_MS),
            tries: 0,
            stage: Stage::Waiting,
            sent: Vec::new(),
            admission: Vec::new(),
        })
    }
}

pub(super) fn check_right(roster: &Roster, seat: &SeatId, new: &NewInvite) -> Result<(), Error> {
    let office =
        new.kind == DeviceKind::Office || new.seats.iter().any(|grant| grant.role >= Role::Office);
    let needed = if office { Role::Admin } else { Role::Office };
    if roster.role_now(seat) >= Some(needed) {
        Ok(())
    } else {
        Err(Error::Locked { code: "right" })
    }
}

/// Checks that an invitation fits together and trims its names.
fn check_invite(roster: &Roster, new: &mut NewInvite) -> Result<(), Error> {
    let invalid = |field, code| Err(Error::Invalid { field, code });
    new.device_name = checked_name("device_name", &new.device_name)?;
    if let Some(name) = &mut new.crew_name {
        *name = checked_name("crew_name", name)?;
    }
    match (new.kind, &new.crew, &new.crew_name) {
        (DeviceKind::Office, None, None) | (DeviceKind::Phone, None, Some(_)) => {}
        (DeviceKind::Phone, Some(crew), None) => is_a(roster, crew, RingKind::Crew)?,
        (DeviceKind::Phone, None, None) => return invalid("crew", "empty"),
        _ => return invalid("crew", "unsupported"),
    }
    if new.seats.is_empty() {
        return invalid("seats", "empty");
    }
    if new.seats.len() > MAX_SEATS {
        return invalid("seats", "too_large");
    }
    let mut people: Vec<RingId> = Vec::new();
    for grant in &mut new.seats {
        match grant.person {
            None => grant.name = checked_name("name", &grant.name)?,
            Some(person) if people.contains(&person) => return invalid("seats", "twice"),
            Some(person) => {
                is_a(roster, &person, RingKind::Person)?;
                people.push(person);
            }
        }
    }
    check_stay(roster, new)
}

/// Whose rights ended gets no device by a code that was shown before: it would have the crew's keys.
pub(super) fn check_stay(roster: &Roster, new: &NewInvite) -> Result<(), Error> {
    let mut people = new.seats.iter().filter_map(|grant| grant.person);
    if people.any(|person| roster.person_has_ended(&person)) {
        return Err(Error::Invalid {
            field: "subject",
            code: "ended",
        });
    }
    Ok(())
}

/// Checks an invitation against the names that there are: a device's stands for one device; a
/// crew's, however it is written, for the crew there is; a person's own ring is nobody else's; and
/// another role is given for itself, not by the way.
fn check_names(desk: &Desk<'_>, new: &mut NewInvite) -> Result<(), Error> {
    let invalid = |field, code| Err(Error::Invalid { field, code });
    let same = |a: &str, b: &str| a.trim().to_lowercase() == b.trim().to_lowercase();
    let live = |id: &&DeviceId| !desk.roster.device_has_ended(id);
    let mut devices = desk.roster.devices().map(|(id, _)| id).filter(live);
    if devices.any(|id| same(&desk.name(&id.0), &new.device_name)) {
        return invalid("device_name", "taken");
    }
    let (people, crews) = people(desk);
    for grant in &mut new.seats {
        let Some(person) = people.iter().find(|p| Some(p.id) == grant.person) else {
            continue;
        };
        if person.role == Role::Admin && grant.role == Role::Office {
            grant.role = Role::Admin;
        }
        if person.role != grant.role {
            return invalid("role", "differs");
        }
    }
    if let Some(name) = &new.crew_name {
        let crew = crews.iter().find(|crew| same(&crew.name, name));
        let own = match new.seats.as_slice() {
            [only] => people
                .iter()
                .find(|p| only.person == Some(p.id) && same(&p.name, name)),
            _ => None,
        };
        let known = crew
            .map(|crew| crew.id)
            .or(own.and_then(|own| own.own_ring));
        if let Some(known) = known {
            new.crew = Some(known);
            new.crew_name = None;
        }
    }
    let owner = people.iter().find(|p| {
        let named = new.crew_name.as_deref();
        (p.own_ring.is_some() && p.own_ring == new.crew) || named.is_some_and(|n| same(n, &p.name))
    });
    match (owner, new.seats.as_slice()) {
        (None, _) => Ok(()),
        // Of two of one name the other is a new one.
        (Some(owner), [only]) if only.person == Some(owner.id) => Ok(()),
        (Some(owner), [only]) if only.person.is_none() && same(&only.name, &owner.name) => {
            if new.crew_name.is_some() {
                return Ok(());
            }
            invalid("crew", "person")
        }
        (Some(_), _) => invalid("crew", "person"),
    }
}

fn is_a(roster: &Roster, ring: &RingId, kind: RingKind) -> Result<(), Error> {
    if roster.ring(ring).is_some_and(|ring| ring.kind == kind) {
        return Ok(());
    }
    Err(Error::NotFound {
        kind: if kind == RingKind::Crew {
            "crew"
        } else {
            "person"
        },
    })
}

impl Invitation {
    /// What the phone scans or someone types: `KOLONNE1:…`, upper case and digits.
    #[must_use]
    pub fn text(&self) -> String {
        to_text(&self.code)
    }

    /// When it ends, ms, by this device's clock.
    #[must_use]
    pub fn expires_ms(&self) -> u64 {
        self.expires_ms
    }

    /// The people admitted write until then only, ms: afterwards an office device ends their seats
    /// and the hub serves them nothing more.
    #[must_use]
    pub fn until(self, until_ms: u64) -> Self {
        Self {
            until_ms: Some(until_ms),
            ..self
        }
    }

    fn is_over(&self) -> bool {
        self.tries >= TRIES || self.kolonne.inner.now_ms() >= self.expires_ms
    }

    /// Looks into the mailbox once and goes on from there.
    pub async fn step(&mut self) -> Result<InviteState, Error> {
        if self.is_over() && !matches!(self.stage, Stage::Admitted) {
            self.stage = Stage::Expired;
        }
        if let Some(state) = self.settled() {
            return Ok(state);
        }
        let hub = self.kolonne.inner.online()?;
        let door = &hub;
        let secret = self.code.secret.clone();
        if matches!(self.stage, Stage::Waiting) {
            match read_mail(door, &secret, slot::COMMITMENT).await {
                Ok(Some(message)) => self.answer(&message)?,
                Ok(None) | Err(HubError::NotNow { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if let Stage::Answering(commitment, answer) = &self.stage {
            let message = seal_message(&secret, From::Office, slot::ANSWER, answer);
            let answered = Stage::Answered(commitment.clone(), answer.clone());
            match put_mail(door, &secret, slot::ANSWER, &message).await {
                Ok(()) => self.stage = answered,
                Err(Error::Invalid { .. }) => self.stage = Stage::Expired,
                Err(error) => return Err(error),
            }
        }
        if matches!(self.stage, Stage::Answered(..)) {
            match read_mail(door, &secret, slot::OPENING).await {
                Ok(Some(message)) => self.compare(&message),
                Ok(None) | Err(HubError::NotNow { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(self.settled().unwrap_or(InviteState::Waiting))
    }

    fn author(&self) -> Result<Author, Error> {
        let inner = &self.kolonne.inner;
        inner.store.read(|db| inner.author(db, &self.seat))
    }

    fn settled(&self) -> Option<InviteState> {
        match &self.stage {
            Stage::Waiting | Stage::Answering(..) | Stage::Answered(..) => None,
            Stage::Words(_, words) => Some(InviteState::Words(*words)),
            Stage::Admitted => Some(InviteState::Admitted),
            Stage::Expired => Some(InviteState::Expired),
        }
    }

    fn failed_try(&mut self) {
        self.tries = self.tries.saturating_add(1);
        if self.is_over() {
            self.stage = Stage::Expired;
        }
    }

    fn answer(&mut self, message: &[u8]) -> Result<(), Error> {
        let opened = open_message(&self.code.secret, From::Phone, slot::COMMITMENT, message);
        let Ok(commitment) = opened else {
            self.failed_try();
            return Ok(());
        };
        let author = self.author()?;
        let grant = Grant {
            kind: self.new.kind,
            crew: self.new.crew,
            seats: self.new.seats.iter().map(|s| (s.person, s.role)).collect(),
        };
        let key = SigningKey::from_bytes(&author.secret.seed());
        let nonce = Hash32(random::bytes()?);
        let answer = Answer::new(&self.code, &commitment, nonce, grant, &key);
        self.stage = Stage::Answering(commitment, answer);
        Ok(())
    }

    fn compare(&mut self, message: &[u8]) {
        let Stage::Answered(commitment, answer) = &self.stage else {
            return;
        };
        let opened =
            open_message::<Opening>(&self.code.secret, From::Phone, slot::OPENING, message);
        let words = opened.ok().and_then(|opening| {
            let transcript = Transcript {
                code: &self.code,
                commitment,
                answer,
                opening: &opening,
            };
            let words = transcript.words().ok()?;
            are_usable(&opening.keys, &self.new.seats).then_some((opening.keys, words))
        });
        match words {
            Some((keys, words)) => self.stage = Stage::Words(keys, words),
            None => self.failed_try(),
        }
    }

    /// Admits the phone, after two people compared the words. Can be repeated until it succeeds.
    ///
    /// # Errors
    /// `Invalid` (`code`, `words`) before there are words, (`code`, `expired`) after its time;
    /// `Busy` if the roster moves on faster than this can follow; `Offline`.
    pub async fn admit(&mut self) -> Result<(), Error> {
        let phone = match &self.stage {
            Stage::Words(phone, _) => phone.clone(),
            Stage::Admitted => return Ok(()),
            Stage::Expired => return Err(bad_code("expired")),
            _ => return Err(bad_code("words")),
        };
        let inner = Arc::clone(&self.kolonne.inner);
        let hub = inner.online()?;
        let author = self.author()?;
        let admitting = self.append(&hub, &author, &phone).await?;
        let (roster, roster_digest) =
            blocking(&inner, move |inner| take_in(inner, &admitting, &author)).await?;
        // The phone waits for its admission, not for what else this device has to hand over.
        if let Err(error) = self.kolonne.sync_once(Budget::unlimited()).await {
            tracing::warn!(code = error.code(), "sync after an admission");
        }
        if self.admission.is_empty() {
            let admission = Admission {
                roster,
                roster_digest,
                pack: self.pack(&phone).await.into(),
            };
            let secret = &self.code.secret;
            self.admission = seal_message(secret, From::Office, slot::ADMISSION, &admission);
        }
        put_mail(&hub, &self.code.secret, slot::ADMISSION, &self.admission).await?;
        self.stage = Stage::Admitted;
        Ok(())
    }

    /// What the phone shows before its first pull; nothing if that can't be made.
    async fn pack(&self, phone: &PhoneKeys) -> Vec<u8> {
        let (kolonne, seat) = (self.kolonne.clone(), self.seat);
        let device = kolonne_model::ids::DeviceId::of_key(&phone.device_key);
        let recipient = phone.recipient.clone();
        let made = blocking(&self.kolonne.inner, move |_| {
            pack::make(&kolonne, &seat, &device, &recipient)
        });
        made.await.unwrap_or_else(|error| {
            tracing::warn!(code = error.code(), "admission pack");
            Vec::new()
        })
    }

    /// Takes the code back, so that a phone doesn't wait for an admission that won't come. Whether
    /// it hears of it or not, it isn't admitted.
    pub async fn deny(&mut self) {
        if matches!(self.stage, Stage::Admitted | Stage::Expired) {
            return;
        }
        self.stage = Stage::Expired;
        let secret = &self.code.secret;
        let denial = Denial { denied: true };
        let message = seal_message(secret, From::Office, slot::ADMISSION, &denial);
        if let Ok(hub) = self.kolonne.inner.online() {
            drop(put_mail(&hub, secret, slot::ADMISSION, &message).await);
        }
    }

    /// Gets the admission into the roster.
    async fn append(
        &mut self,
        hub: &Line,
        author: &Author,
        phone: &PhoneKeys,
    ) -> Result<Arc<Admitting>, Error> {
        let inner = Arc::clone(&self.kolonne.inner);
        let (author, new, phone) = (author.clone(), self.new.clone(), phone.clone());
        let until_ms = self.until_ms;
        let (over, clock) = (self.tries >= TRIES, Arc::clone(&inner.config.clock));
        let expires_ms = self.expires_ms;
        // One that arrived in time is in; another isn't begun after it.
        let drafted = append(&inner, hub, &mut self.sent, move |db, roster| {
            if over || clock() >= expires_ms {
                return Err(bad_code("expired"));
            }
            draft(db, roster, &author, (&new, until_ms), &phone, clock())
        })
        .await;
        if drafted.is_err() && self.is_over() {
            self.stage = Stage::Expired;
        }
        drafted
    }
}
