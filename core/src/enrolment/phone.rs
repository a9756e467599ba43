//! The phone's side: scans the code, shows the words, and believes only a roster that extends the
//! code's and admits its own keys as they were granted.
//!
//! Nothing is written to the disk before all of that is proven.

use std::sync::Arc;
use std::time::Duration;

use ed25519_dalek::SigningKey;
use kolonne_model::enrol::{
    Admission, Answer, Code, Commitment, Denial, EnrolError, From, LASTS_MS, Opening, PhoneKeys,
    Transcript, commit, open_message, seal_message, slot,
};
use kolonne_model::hub::HubError;
use kolonne_model::ids::{DeviceId, Hash32};
use kolonne_model::pack::Pack;
use kolonne_model::roster::change::{DeviceKind, Role, SeatKind};
use kolonne_model::roster::{Named, Roster};
use kolonne_model::strand::VerifiedOp;
use tokio::time::{Instant, sleep, timeout_at};

use super::{MAX_SEATS, Words, bad_code, from_text, pack, put_mail, read_mail};
use crate::crypt::random;
use crate::error::Error;
use crate::folder::{Before, free_store, keep_membership};
use crate::keys::{self, DeviceKeys, SeatKeys};
use crate::kolonne::{Config, Kolonne};
use crate::oplog;
use crate::seats::PINS_WAIVED;
use crate::store::set_meta;
use crate::sync::{Budget, whole_roster};
use crate::transport::{HttpCarrier, HttpDoor, Line};
use crate::transport::{door, hello};

/// Between two looks into the mailbox: at first, and later, when a person takes their time.
const POLL: Duration = Duration::from_millis(250);
const SLOW_POLL: Duration = Duration::from_secs(1);
const QUICK_POLLS: u32 = 40;
/// Longest wait that a hub can ask for.
const MAX_WAIT_MS: u64 = 5_000;

/// A device on its way in.
pub struct Enrolment {
    config: Config,
    door: HttpDoor,
    code: Code,
    device: DeviceKeys,
    seats: Vec<SeatKeys>,
    nonce: Hash32,
    keys: PhoneKeys,
    commitment: Commitment,
    answer: Option<Answer>,
    until: Instant,
    pins: Pins,
}

/// Whether a phone that several people share lets anyone write before they have a PIN.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pins {
    Needed,
    Waived,
}

impl std::fmt::Debug for Enrolment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Enrolment({:?})", self.device.device())
    }
}

impl Kolonne {
    /// Begins an enrolment with what was scanned or typed.
    ///
    /// # Errors
    /// `Invalid` for the `code`: `malformed`, `other_hub` (another hub answers there), `expired`,
    /// `spent` (someone else used it); for a folder (`dir`, `taken`) that holds a company;
    /// `Offline`.
    pub async fn enrol(config: Config, code_text: &str) -> Result<Enrolment, Error> {
        let code = from_text(code_text)?;
        let door = door(&code.hub_url, &config.trust).map_err(|error| match error {
            Error::Invalid {
                field: "hub_url", ..
            } => bad_code("malformed"),
            other => other,
        })?;
        // Looked at now, made when the office has said yes: a refusal leaves nothing behind.
        let before = Before::of(&config.dir);
        drop(free_store(&config.dir)?);
        before.restore();
        let hello = hello(&door).await?;
        if hello.key != code.hub_key {
            return Err(bad_code("other_hub"));
        }
        if hello.time_ms >= code.expires_ms {
            return Err(bad_code("expired"));
        }
        let device = DeviceKeys::generate()?;
        let seats: Vec<SeatKeys> = (0..MAX_SEATS)
            .map(|_| SeatKeys::generate())
            .collect::<Result<_, _>>()?;
        let seat_keys = seats.iter().map(|seat| {
            let recipient = keys::public_recipient(&seat.identity)?;
            Ok((seat.signing.public(), recipient))
        });
        let keys = PhoneKeys {
            device_key: device.signing.public(),
            recipient: keys::public_recipient(&device.identity)?,
            seat_keys: seat_keys.collect::<Result<_, Error>>()?,
        };
        let nonce = Hash32(random::bytes()?);
        let commitment = commit(&nonce, &keys);
        let message = seal_message(&code.secret, From::Phone, slot::COMMITMENT, &commitment);
        put_mail(&door, &code.secret, slot::COMMITMENT, &message).await?;
        Ok(Enrolment {
            config,
            door,
            code,
            device,
            seats,
            nonce,
            keys,
            commitment,
            answer: None,
            until: Instant::now() + Duration::from_millis(LASTS_MS),
            pins: Pins::Needed,
        })
    }
}

fn forged<E>(_: E) -> Error {
    bad_code("forged")
}

impl Enrolment {
    /// Leaves seats open that have no PIN although several people share the phone: for scripts and
    /// tests, where nobody picks it up.
    #[must_use]
    pub fn without_pins(mut self) -> Self {
        self.pins = Pins::Waived;
        self
    }

    /// Waits for the office's answer; the words to compare with its screen.
    ///
    /// # Errors
    /// `Invalid` for the `code`: `expired` after ten minutes, `spent`, `forged`; `Offline`.
    pub async fn words(&mut self) -> Result<Words, Error> {
        let secret = &self.code.secret;
        if self.answer.is_none() {
            let message = self.wait_for(slot::ANSWER).await?;
            let answer: Answer =
                open_message(secret, From::Office, slot::ANSWER, &message).map_err(forged)?;
            if !(1..=MAX_SEATS).contains(&answer.grant.seats.len()) {
                return Err(bad_code("forged"));
            }
            self.answer = Some(answer);
        }
        let answer = self.answer.as_ref().ok_or(Error::internal("answer"))?;
        let opening = Opening {
            nonce: self.nonce,
            keys: self.keys.clone(),
        };
        let message = seal_message(secret, From::Phone, slot::OPENING, &opening);
        put_mail(&self.door, secret, slot::OPENING, &message).await?;
        let transcript = Transcript {
            code: &self.code,
            commitment: &self.commitment,
            answer,
            opening: &opening,
        };
        transcript.words().map_err(forged)
    }

    /// Waits until someone in the office admits this device, proves the roster and keeps it. The list of
    /// jobs shows at once; what is in them comes with the first sync, which is the caller's to begin.
    ///
    /// # Errors
    /// `Invalid` for the `code`: `words` before [`Enrolment::words`], `expired`, `forged` if the
    /// roster isn't the code's company's or doesn't grant what the office's answer said; `Offline`.
    pub async fn admitted(self) -> Result<Kolonne, Error> {
        let answer = self.answer.clone().ok_or(bad_code("words"))?;
        let secret = &self.code.secret;
        let mut promised = None;
        let (roster, ops) = match self.wait_for(slot::ADMISSION).await {
            Ok(message) => {
                let opened = open_message(secret, From::Office, slot::ADMISSION, &message);
                let admission: Admission = opened.map_err(|_| self.denied_or_forged(&message))?;
                promised = pack::open(&admission.pack, &self.device.identity);
                let (roster, ops) = self.fetch_roster().await?;
                if !matches!(
                    roster.named(admission.roster, &admission.roster_digest),
                    Named::Known(_)
                ) {
                    return Err(bad_code("forged"));
                }
                (roster, ops)
            }
            // The office can have gone between admitting and saying so; the roster is what counts.
            Err(Error::Invalid { .. }) => {
                self.whole_roster().await.map_err(|_| bad_code("expired"))?
            }
            Err(error) => return Err(error),
        };
        self.check(&roster, &answer)?;
        let shows_its_list = promised.is_some();
        let kolonne = self.keep(&roster, &ops, &answer, promised)?;
        if !shows_its_list {
            // It is enrolled whether or not the network holds for the first sync.
            if let Err(error) = kolonne.sync_once(Budget::unlimited()).await {
                tracing::warn!(code = error.code(), "first sync");
            }
        }
        Ok(kolonne)
    }

    fn denied_or_forged(&self, message: &[u8]) -> Error {
        let secret = &self.code.secret;
        match open_message::<Denial>(secret, From::Office, slot::ADMISSION, message) {
            Ok(_) => bad_code("denied"),
            Err(_) => bad_code("forged"),
        }
    }

    /// Waits for a message, through dead spots, until the code's time is over.
    async fn wait_for(&self, slot: u8) -> Result<Vec<u8>, Error> {
        for polls in 0_u32.. {
            let look = read_mail(&self.door, &self.code.secret, slot);
            let looked = timeout_at(self.until, look).await;
            let mut pause = if polls < QUICK_POLLS { POLL } else { SLOW_POLL };
            match looked {
                Ok(Ok(Some(message))) => return Ok(message),
                Ok(Ok(None) | Err(HubError::Unreachable | HubError::NotTheHub)) => {}
                Ok(Err(HubError::NotNow { retry_after_ms })) => {
                    pause = pause.max(Duration::from_millis(retry_after_ms.min(MAX_WAIT_MS)));
                }
                Ok(Err(error)) => return Err(error.into()),
                Err(_) => break,
            }
            if Instant::now() + pause >= self.until {
                break;
            }
            sleep(pause).await;
        }
        Err(bad_code("expired"))
    }

    /// The roster, through dead spots: this device is admitted and would have to be invited again.
    async fn fetch_roster(&self) -> Result<(Roster, Vec<VerifiedOp>), Error> {
        loop {
            match self.whole_roster().await {
                Err(Error::Offline { .. } | Error::Foreign)
                    if Instant::now() + SLOW_POLL < self.until =>
                {
                    sleep(SLOW_POLL).await;
                }
                other => return other,
            }
        }
    }

    /// The roster from its founding on, every link proven.
    async fn whole_roster(&self) -> Result<(Roster, Vec<VerifiedOp>), Error> {
        let company = self.code.company;
        let signing = SigningKey::from_bytes(&self.device.signing.seed());
        let carrier = HttpCarrier::new(self.door.clone(), company, self.device.device(), signing);
        let hub = Line::new(Arc::new(carrier), self.code.hub_key);
        let (roster, ops, _) = whole_roster(&hub, Some(company)).await?;
        Ok((roster, ops))
    }

    /// Whether this roster extends the code's and admits this device as the office's answer said.
    fn check(&self, roster: &Roster, answer: &Answer) -> Result<(), Error> {
        let is_right = self.extends_the_code(roster)
            && self.is_answered_by_the_office(roster, answer).is_ok()
            && self.is_admitted(roster, answer);
        if roster.needs_newer_app() {
            return Err(Error::UpgradeRequired);
        }
        if is_right {
            Ok(())
        } else {
            Err(bad_code("forged"))
        }
    }

    fn extends_the_code(&self, roster: &Roster) -> bool {
        let root = roster.root_key().map(Code::root_key_hash);
        root == Some(self.code.root_key_hash)
            && matches!(
                roster.named(self.code.roster, &self.code.roster_digest),
                Named::Known(_)
            )
            && roster.hub_key() == Some(&self.code.hub_key)
    }

    fn is_answered_by_the_office(
        &self,
        roster: &Roster,
        answer: &Answer,
    ) -> Result<(), EnrolError> {
        let position = self.code.roster;
        let needed = match answer.grant.kind {
            DeviceKind::Phone => Role::Office,
            DeviceKind::Office => Role::Admin,
        };
        let seat = roster.seat(&answer.seat).ok_or(EnrolError::Signature)?;
        let ended = roster.ends_of(&answer.seat).any(|end| end.at <= position);
        if ended
            || seat.cert.kind != SeatKind::Person
            || roster.role_at(&answer.seat, position) < Some(needed)
        {
            return Err(EnrolError::Signature);
        }
        answer.check(&self.code, &self.commitment, &seat.cert.key)
    }

    fn is_admitted(&self, roster: &Roster, answer: &Answer) -> bool {
        let id: DeviceId = self.device.device();
        let grant = &answer.grant;
        let Some(device) = roster.device(&id) else {
            return false;
        };
        let crew = device.crews.last().and_then(|(_, crew)| *crew);
        let right_crew = match (grant.kind, grant.crew) {
            (DeviceKind::Office, _) => crew.is_none(),
            (DeviceKind::Phone, Some(granted)) => crew == Some(granted),
            // A new crew is newer than the code.
            (DeviceKind::Phone, None) => crew
                .and_then(|crew| roster.ring(&crew))
                .is_some_and(|ring| ring.since > self.code.roster),
        };
        let seats = grant.seats.iter().zip(&self.keys.seat_keys);
        let right_seats = || {
            seats.into_iter().all(|((person, role), (key, recipient))| {
                let seat = kolonne_model::ids::SeatId::of_key(key);
                let (position, _) = roster.head();
                roster.seat(&seat).is_some_and(|record| {
                    record.cert.kind == SeatKind::Person
                        && record.cert.device == id
                        && record.cert.recipient.as_ref() == Some(recipient)
                        && (person.is_none() || record.cert.person == *person)
                        && roster.role_at(&seat, position) == Some(*role)
                        && roster.ends_of(&seat).next().is_none()
                })
            })
        };
        device.cert.kind == grant.kind
            && device.cert.recipient == self.keys.recipient
            && !roster.device_has_ended(&id)
            && right_crew
            && right_seats()
    }

    /// Writes everything in one transaction: before it this folder holds nothing, after it an
    /// enrolled device.
    fn keep(
        self,
        roster: &Roster,
        ops: &[VerifiedOp],
        answer: &Answer,
        mut promised: Option<Pack>,
    ) -> Result<Kolonne, Error> {
        let store = free_store(&self.config.dir)?;
        let code = &self.code;
        store.write(|tx| {
            keep_membership(
                tx,
                &code.company,
                &code.hub_url,
                &code.hub_key,
                &self.device,
            )?;
            set_meta(tx, "last_contact_ms", &(self.config.clock)().to_be_bytes())?;
            if self.pins == Pins::Waived {
                set_meta(tx, PINS_WAIVED, &[1])?;
            }
            for (place, seat) in (0..).zip(&self.seats).take(answer.grant.seats.len()) {
                keys::keep_seat(tx, place, seat)?;
            }
            for op in ops {
                oplog::keep(tx, op, None)?;
            }
            keys::open_rings(tx, roster)?;
            // An admission whose keys don't open would show an empty app for ever.
            for ring in roster.rings_of_device(&self.device.device()) {
                let newest = roster.newest_generation(&ring).map_or(0, |(n, _)| n);
                let mut secret = keys::fitting_secret(tx, roster, &ring, newest)?;
                for seat in &self.seats {
                    secret = match secret {
                        Some(secret) => Some(secret),
                        None => keys::person_secret(roster, &seat.author(), &ring, newest)?,
                    };
                }
                if secret.is_none() {
                    return Err(bad_code("forged"));
                }
            }
            promised
                .as_mut()
                .map_or(Ok(()), |pack| pack::keep(tx, &code.company, pack))
        })?;
        Kolonne::with_store(self.config, store)
    }
}
