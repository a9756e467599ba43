//! The office's side: shows the code, answers the phone, and admits it by one roster op.
//!
//! Nothing is admitted before two people compared the words; which rings a device opens is decided
//! here, and no secret leaves but wrapped for the keys that the words stand for.

use std::sync::Arc;

use ed25519_dalek::SigningKey;
use kolonne_model::body::field;
use kolonne_model::enrol::{
    Admission, Answer, Code, Commitment, From, Grant, LASTS_MS, OneTimeSecret, Opening, PhoneKeys,
    TRIES, Transcript, open_message, seal_message, slot,
};
use kolonne_model::hub::{AppendRoster, Hub, HubError};
use kolonne_model::ids::{Hash32, RingId, RosterDigest, RosterPosition, SeatId};
use kolonne_model::op::SUITE_1;
use kolonne_model::roster::change::{
    Change, DeviceCert, DeviceKind, Recipient, RingGeneration, RingKind, RingWraps, Role, Scope,
    SeatCert, SeatKind,
};
use kolonne_model::roster::{Effect, Link, Roster};
use kolonne_model::strand::VerifiedOp;
use rusqlite::Connection;

use super::{MAX_SEATS, NewInvite, SeatGrant, Words, bad_code, put_mail, read_mail, to_text};
use crate::capture::job;
use crate::crypt::{Identity, Recipient as SealTo, random};
use crate::error::Error;
use crate::founding::{
    checked_name, company_thread, device_seat, hello, new_ring, page_of, roster_op, the_newest,
};
use crate::kolonne::{Inner, Kolonne};
use crate::oplog::{self, Moment};
use crate::records::Changed;
use crate::sync::{Budget, blocking, pull_roster};
use crate::transport::HttpHub;
use crate::{folding, keys};

/// How often an admission is drafted anew because the roster moved on.
const DRAFTS: usize = 5;

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
    code: Code,
    expires_ms: u64,
    tries: u32,
    stage: Stage,
    /// Every admission that was sent, since one may arrive though no answer came back.
    plans: Vec<Arc<Plan>>,
}

impl std::fmt::Debug for Invitation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Invitation(until {} ms)", self.expires_ms)
    }
}

/// An admission: its roster op, and what belongs into the company's thread with it.
struct Plan {
    op: VerifiedOp,
    crew: Option<RingId>,
    /// A new crew with people who share its phone: it gets a thread of its own.
    crew_thread: Option<String>,
    names: Vec<(Vec<u8>, String)>,
}

impl Kolonne {
    /// Invites a device. The office; for office devices and office people its admins.
    ///
    /// # Errors
    /// `Locked` (`right`) without the right; `Invalid` for what doesn't fit together; `NotFound`
    /// for an unknown crew or person; `Offline`.
    pub async fn invite(&self, seat: &SeatId, mut new: NewInvite) -> Result<Invitation, Error> {
        let inner = &self.inner;
        let hub = online(inner)?;
        pull_roster(inner, &hub).await?;
        let roster = inner.store.read(|db| {
            keys::author(db, seat)?;
            inner.roster(db)
        })?;
        check_right(&roster, seat, &new)?;
        check_invite(&roster, &mut new)?;
        let (position, roster_digest) = roster.head();
        let root_key = roster.root_key().ok_or(Error::Corrupt)?;
        // By the hub's clock, which the phone asks too: neither device's own has to be right.
        let hello = hello(hub.door()).await?;
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
            code,
            expires_ms: inner.now_ms().saturating_add(LASTS_MS),
            tries: 0,
            stage: Stage::Waiting,
            plans: Vec::new(),
        })
    }
}

fn online(inner: &Inner) -> Result<Arc<HttpHub>, Error> {
    if inner.in_flight() {
        return Err(Error::Offline { retry_after_ms: 0 });
    }
    inner.hub()
}

fn check_right(roster: &Roster, seat: &SeatId, new: &NewInvite) -> Result<(), Error> {
    let (position, _) = roster.head();
    let office =
        new.kind == DeviceKind::Office || new.seats.iter().any(|grant| grant.role >= Role::Office);
    let needed = if office { Role::Admin } else { Role::Office };
    let has = roster.role_at(seat, position) >= Some(needed);
    if has && roster.ends_of(seat).next().is_none() {
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
    Ok(())
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
        let hub = online(&self.kolonne.inner)?;
        let door = hub.door();
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
        let author = self
            .kolonne
            .inner
            .store
            .read(|db| keys::author(db, &self.seat))?;
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
        let hub = online(&inner)?;
        let plan = self.append(&hub, &phone).await?;
        let seat = self.seat;
        let (roster, roster_digest) =
            blocking(&inner, move |inner| take_in(inner, &plan, &seat)).await?;
        // The phone waits for its admission, not for what else this device has to hand over.
        if let Err(error) = self.kolonne.sync_once(Budget::unlimited()).await {
            tracing::warn!(code = error.code(), "sync after an admission");
        }
        let admission = Admission {
            roster,
            roster_digest,
            pack: Vec::new().into(),
        };
        let secret = &self.code.secret;
        let message = seal_message(secret, From::Office, slot::ADMISSION, &admission);
        put_mail(hub.door(), secret, slot::ADMISSION, &message).await?;
        self.stage = Stage::Admitted;
        Ok(())
    }

    /// Gets the admission into the roster, drafted anew as often as someone else was faster.
    async fn append(&mut self, hub: &HttpHub, phone: &PhoneKeys) -> Result<Arc<Plan>, Error> {
        let inner = Arc::clone(&self.kolonne.inner);
        for _ in 0..DRAFTS {
            pull_roster(&inner, hub).await?;
            let roster = inner.store.read(|db| inner.roster(db))?;
            let arrived = |plan: &&Arc<Plan>| link(&roster, plan).is_some();
            if let Some(plan) = self.plans.iter().find(arrived) {
                return Ok(Arc::clone(plan));
            }
            if self.is_over() {
                self.stage = Stage::Expired;
                return Err(bad_code("expired"));
            }
            let (seat, new, phone) = (self.seat, self.new.clone(), phone.clone());
            let plan = blocking(&inner, move |inner| {
                inner
                    .store
                    .read(|db| draft(db, &roster, &seat, &new, &phone, inner.now_ms()))
            })
            .await?;
            let plan = Arc::new(plan);
            self.plans.push(Arc::clone(&plan));
            let append = AppendRoster {
                page: page_of(&plan.op).into(),
                parts: Vec::new(),
            };
            match hub.append_roster(append).await {
                Ok(()) => return Ok(plan),
                Err(HubError::RosterMoved) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::Busy)
    }
}

fn link<'a>(roster: &'a Roster, plan: &Plan) -> Option<&'a Link> {
    roster
        .links()
        .iter()
        .rev()
        .find(|link| link.id == plan.op.id())
}

/// Whether all of a phone's keys can be certified: a key twice, or one that nothing can be sealed
/// to, would make the admission void.
fn are_usable(phone: &PhoneKeys, seats: &[SeatGrant]) -> bool {
    let mut keys: Vec<_> = phone.seat_keys.iter().map(|(key, _)| *key).collect();
    keys.push(phone.device_key);
    let count = keys.len();
    keys.sort_unstable();
    keys.dedup();
    let recipients = phone.seat_keys.iter().map(|(_, recipient)| recipient);
    keys.len() == count
        && (seats.len()..=MAX_SEATS).contains(&phone.seat_keys.len())
        && recipients
            .chain([&phone.recipient])
            .all(|recipient| SealTo::from_parts(recipient.kind, &recipient.key).is_ok())
}

/// The admission as this roster allows it.
fn draft(
    db: &Connection,
    roster: &Roster,
    seat: &SeatId,
    new: &NewInvite,
    phone: &PhoneKeys,
    now_ms: u64,
) -> Result<Plan, Error> {
    let author = keys::author(db, seat)?;
    check_right(roster, seat, new)?;
    let device = kolonne_model::ids::DeviceId::of_key(&phone.device_key);
    let (office, office_recipient) = the_newest(roster, RingKind::Office)?;
    let mut changes = Vec::new();
    let mut names = vec![(device.0.to_vec(), new.device_name.clone())];
    let mut crew = None;
    match (new.kind, new.crew, &new.crew_name) {
        (DeviceKind::Office, _, _) => {
            changes.extend(wraps_for(db, roster, &office, device.0, &phone.recipient)?);
        }
        (DeviceKind::Phone, Some(ring), _) => {
            changes.extend(wraps_for(db, roster, &ring, device.0, &phone.recipient)?);
            crew = Some(ring);
        }
        (DeviceKind::Phone, None, name) => {
            let identity = Identity::generate()?;
            let secret = identity.as_bytes();
            let wraps = vec![
                keys::wrap(secret, device.0, &phone.recipient)?,
                keys::wrap(secret, office.0, office_recipient)?,
            ];
            let recipient = keys::public_recipient(&identity)?;
            names.push((
                recipient.ring().0.to_vec(),
                name.clone().unwrap_or_default(),
            ));
            crew = Some(recipient.ring());
            changes.push(new_ring(RingKind::Crew, recipient, wraps));
        }
    }
    changes.push(Change::Device(DeviceCert {
        key: phone.device_key,
        recipient: phone.recipient.clone(),
        kind: new.kind,
        crew,
    }));
    let role = match new.kind {
        DeviceKind::Phone => Role::Crew,
        DeviceKind::Office => Role::Office,
    };
    changes.push(device_seat(&phone.device_key, role));
    for (grant, (key, recipient)) in new.seats.iter().zip(&phone.seat_keys) {
        let ring = person_ring(roster, grant, &SeatId::of_key(key), recipient)?;
        if grant.person.is_none() {
            names.push((ring.ring.0.to_vec(), grant.name.clone()));
        }
        let person = Some(ring.ring);
        changes.push(Change::Ring(ring));
        changes.push(Change::Seat(SeatCert {
            key: *key,
            kind: SeatKind::Person,
            suite: SUITE_1,
            device,
            person,
            role: grant.role,
            scope: Scope::All,
            not_after_ms: None,
            recipient: Some(recipient.clone()),
        }));
    }
    Ok(Plan {
        op: roster_op(roster, &author.secret, now_ms, changes)?,
        crew,
        crew_thread: new.crew_name.clone().filter(|_| {
            let shares = |grant: &SeatGrant| grant.role == Role::Crew;
            new.crew.is_none() && new.seats.iter().any(shares)
        }),
        names,
    })
}

/// A new device opens a ring: wraps of every generation that is here.
fn wraps_for(
    db: &Connection,
    roster: &Roster,
    ring: &RingId,
    to: [u8; 16],
    recipient: &Recipient,
) -> Result<Vec<Change>, Error> {
    let (newest, _) = roster
        .newest_generation(ring)
        .ok_or(Error::NotFound { kind: "crew" })?;
    if keys::ring_secret(db, ring, newest)?.is_none() {
        return Err(Error::Locked { code: "right" });
    }
    let mut changes = Vec::new();
    for generation in 1..=newest {
        if let Some(identity) = keys::ring_secret(db, ring, generation)? {
            changes.push(Change::Wraps(RingWraps {
                ring: *ring,
                generation,
                wraps: vec![keys::wrap(identity.as_bytes(), to, recipient)?],
            }));
        }
    }
    Ok(changes)
}

/// A person's ring, opened by this seat too: the first generation, or the next one for all seats
/// the person has. Its secret stays with them; the office keeps none.
fn person_ring(
    roster: &Roster,
    grant: &SeatGrant,
    seat: &SeatId,
    seat_recipient: &Recipient,
) -> Result<RingGeneration, Error> {
    let identity = Identity::generate()?;
    let secret = identity.as_bytes();
    let recipient = keys::public_recipient(&identity)?;
    let (recovery, recovery_recipient) = the_newest(roster, RingKind::Recovery)?;
    let mut wraps = vec![
        keys::wrap(secret, seat.0, seat_recipient)?,
        keys::wrap(secret, recovery.0, recovery_recipient)?,
    ];
    let mut generation = 1;
    if let Some(person) = &grant.person {
        let (newest, _) = roster
            .newest_generation(person)
            .ok_or(Error::NotFound { kind: "person" })?;
        generation = newest.checked_add(1).ok_or(Error::Corrupt)?;
        for (id, other) in roster.seats() {
            if other.cert.person == Some(*person)
                && roster.ends_of(id).next().is_none()
                && let Some(theirs) = &other.cert.recipient
            {
                wraps.push(keys::wrap(secret, id.0, theirs)?);
            }
        }
    }
    Ok(RingGeneration {
        ring: grant.person.unwrap_or_else(|| recipient.ring()),
        kind: RingKind::Person,
        generation,
        recipient,
        wraps,
        previous_sealed: None,
    })
}

/// Keeps an admission that the hub took, with its names and its crew's way into the company's
/// thread; the answer is where in the roster it stands. Twice is as once.
fn take_in(
    inner: &Inner,
    plan: &Plan,
    seat: &SeatId,
) -> Result<(RosterPosition, RosterDigest), Error> {
    let (roster, at) = inner.store.write(|tx| {
        let mut roster = (*inner.roster(tx)?).clone();
        if link(&roster, plan).is_none() {
            oplog::keep(tx, &plan.op)?;
            roster.append(&plan.op);
        }
        let at = match link(&roster, plan) {
            Some(link) if link.effect == Effect::Applied => (link.position, link.digest),
            _ => return Err(Error::internal("admission")),
        };
        keys::open_rings(tx, &roster)?;
        let author = keys::author(tx, seat)?;
        let moment = Moment {
            roster: &roster,
            now_ms: inner.now_ms(),
        };
        let thread = company_thread(tx)?;
        let crew: Vec<RingId> = plan.crew.into_iter().collect();
        job::add_members(tx, &moment, &author, &thread, &crew)?;
        let view = folding::refold(tx, &roster, &inner.device, &thread)?;
        for (subject, name) in &plan.names {
            let now = view.fields.get(&(field::NAME, subject.clone()));
            if now.and_then(|f| f.value.as_ref()) != Some(name) {
                job::set_name(tx, &moment, &view, &author, &thread, subject, name)?;
            }
        }
        if let (Some(crew), Some(title)) = (plan.crew, &plan.crew_thread) {
            job::open_crew_thread(tx, &moment, &author, crew, title)?;
        }
        for thread in folding::all_threads(tx, &roster)? {
            folding::refold(tx, &roster, &inner.device, &thread)?;
        }
        Ok((roster, at))
    })?;
    inner.keep_roster(roster);
    for changed in [
        Changed::People,
        Changed::Devices,
        Changed::Threads,
        Changed::Me,
    ] {
        inner.tell(changed);
    }
    inner.nudged.notify_one();
    Ok(at)
}
