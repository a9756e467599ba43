//! Before and at the login: greeting, founding, the login's nonce and token, mailboxes.
//!
//! Strangers may call everything here, so memory is bounded and nothing tells who exists.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use kolonne_model::hub::{
    Founding, Hello, HubError, Login, LoginNonce, LoginStart, MAX_MAIL_BYTES, Mail, MailAt,
    RefusalCode, Token, login_message,
};
use kolonne_model::ids::{CompanyId, DeviceId, Hash32};
use kolonne_model::op::signed_by;
use kolonne_model::roster::change::Role;
use subtle::ConstantTimeEq;

use super::roster::From;
use super::routing::Access;
use super::{HubService, lock, trouble};
use crate::storage::Session;

/// How long a nonce can be signed.
const NONCE_LASTS_MS: u64 = 60_000;
/// How long a login holds.
const TOKEN_LASTS_MS: u64 = 12 * 3600 * 1000;
/// Used nonces remembered; only good signatures get in.
const MAX_USED_NONCES: usize = 100_000;
const NONCE_LABEL: &[u8] = b"kolonne hub nonce v1";

/// Nonces without memory: time ‖ random ‖ MAC over them, company and device. Only used ones are
/// remembered, until they run out.
pub(super) struct Logins {
    secret: [u8; 32],
    used: Mutex<HashMap<[u8; 32], u64>>,
}

impl Logins {
    pub(super) fn new(secret: [u8; 32]) -> Self {
        Self {
            secret,
            used: Mutex::default(),
        }
    }

    fn nonce(&self, start: &LoginStart, time: [u8; 8], random: [u8; 8]) -> Hash32 {
        let mut mac = blake3::Hasher::new_keyed(&self.secret);
        for part in [
            NONCE_LABEL,
            &start.company.0,
            &start.device.0,
            &time,
            &random,
        ] {
            mac.update(part);
        }
        let mut nonce = [0; 32];
        let mac = mac.finalize();
        for (to, from) in nonce
            .iter_mut()
            .zip(time.iter().chain(&random).chain(mac.as_bytes()))
        {
            *to = *from;
        }
        Hash32(nonce)
    }

    fn is_fresh(&self, start: &LoginStart, nonce: &Hash32, now_ms: u64) -> bool {
        let Some((time, rest)) = nonce.0.split_first_chunk::<8>() else {
            return false;
        };
        let Some((random, _)) = rest.split_first_chunk::<8>() else {
            return false;
        };
        let age_ms = now_ms.checked_sub(u64::from_be_bytes(*time));
        let expected = self.nonce(start, *time, *random);
        bool::from(expected.0.ct_eq(&nonce.0)) && age_ms.is_some_and(|age| age <= NONCE_LASTS_MS)
    }

    /// Whether this is its first use.
    fn use_up(&self, nonce: &Hash32, now_ms: u64) -> Result<bool, HubError> {
        let mut used = lock(&self.used);
        if used.len() >= MAX_USED_NONCES {
            used.retain(|_, until_ms| *until_ms >= now_ms);
            if used.len() >= MAX_USED_NONCES {
                return Err(HubError::NotNow {
                    retry_after_ms: NONCE_LASTS_MS,
                });
            }
        }
        Ok(used
            .insert(nonce.0, now_ms.saturating_add(NONCE_LASTS_MS))
            .is_none())
    }
}

fn token_hash(token: &Hash32) -> [u8; 32] {
    *blake3::hash(&token.0).as_bytes()
}

impl HubService {
    pub(crate) fn hello(&self) -> Hello {
        Hello {
            key: self.key(),
            epoch: self.storage.epoch(),
            version: 1,
            time_ms: self.now_ms(),
        }
    }

    /// Founds a company, or repeats (and continues) its roster: ops prove themselves.
    pub(crate) fn found(&self, founding: &Founding) -> Result<(), HubError> {
        let company = founding.company;
        let is_new = self.storage.company(&company).map_err(trouble)?.is_none();
        if is_new && self.storage.companies().map_err(trouble)? >= self.quotas.companies {
            tracing::warn!("no room for another company");
            return Err(HubError::NotAllowed);
        }
        self.extend_roster(company, &founding.page, &[], From::WhoKnowsMore)?;
        if is_new {
            tracing::info!(%company, "company founded");
        }
        Ok(())
    }

    pub(crate) fn login_start(&self, start: &LoginStart) -> LoginNonce {
        let time = self.now_ms().to_be_bytes();
        LoginNonce {
            nonce: self.logins.nonce(start, time, self.env.random()),
        }
    }

    /// Lets a device in: members, those whose rights ended (they may hand over their work), and the
    /// recovery kit.
    pub(crate) fn login(&self, login: &Login) -> Result<Token, HubError> {
        const WRONG: HubError = HubError::Refused(RefusalCode::Login);
        let now_ms = self.now_ms();
        let start = LoginStart {
            company: login.company,
            device: login.device,
        };
        if !self.logins.is_fresh(&start, &login.nonce, now_ms) {
            return Err(WRONG);
        }
        // A kit that replaced another names the company that it would have founded.
        let by_root = || self.storage.by_root(&login.company);
        let company = match self.storage.company(&login.company).map_err(trouble)? {
            Some(_) => login.company,
            None => by_root().map_err(trouble)?.ok_or(WRONG)?,
        };
        let view = self.view(company)?;
        let device = view.roster.device(&login.device);
        let root = view.roster.root_key();
        let root = root.filter(|key| DeviceId::of_key(key) == login.device);
        let key = device
            .map(|device| &device.cert.key)
            .or(root)
            .ok_or(WRONG)?;
        let message = login_message(&self.key(), &login.company, &login.device, &login.nonce);
        if !signed_by(key, &message, &login.signature)
            || !self.logins.use_up(&login.nonce, now_ms)?
        {
            return Err(WRONG);
        }
        let token = Hash32(self.env.random());
        let until_ms = now_ms.saturating_add(TOKEN_LASTS_MS);
        let session = Session {
            company,
            device: login.device,
            until_ms,
        };
        self.storage
            .put_session(&token_hash(&token), &session)
            .map_err(trouble)?;
        Ok(Token {
            token,
            lasts_ms: TOKEN_LASTS_MS,
            time_ms: now_ms,
        })
    }

    /// Whose token this is.
    pub(crate) fn session(&self, token: &Hash32) -> Result<(CompanyId, DeviceId), HubError> {
        let session = self.storage.session(&token_hash(token)).map_err(trouble)?;
        match session {
            Some(session) if session.until_ms > self.now_ms() => {
                Ok((session.company, session.device))
            }
            _ => Err(HubError::LoginNeeded),
        }
    }

    pub(crate) fn open_mailbox(
        &self,
        company: CompanyId,
        device: &DeviceId,
        mailbox: Hash32,
    ) -> Result<(), HubError> {
        let (view, access) = self.enter(company, device)?;
        // Who may invite nobody would only take the place of who may.
        let roster = &view.roster;
        let mut own = roster
            .seats()
            .filter(|(_, seat)| seat.cert.device == *device);
        let invites = own.any(|(id, _)| roster.role_now(id) >= Some(Role::Office));
        match access {
            Access::Rings(_) if invites => lock(&self.mail).open(mailbox, company, self.now_ms()),
            _ => Err(HubError::NotAllowed),
        }
    }

    pub(crate) fn put_mail(&self, mail: Mail) -> Result<(), HubError> {
        lock(&self.mail).put(mail, self.now_ms())
    }

    pub(crate) fn mail(&self, at: &MailAt) -> Result<Vec<u8>, HubError> {
        lock(&self.mail).get(at, self.now_ms())
    }
}

/// Mailboxes open at once, of all companies and of one.
const MAX_MAILBOXES: usize = 512;
const MAX_COMPANY_MAILBOXES: usize = 32;
const MAILBOX_LASTS_MS: u64 = 10 * 60 * 1000;
const MAX_SLOTS: u8 = 16;
const MAX_TRIES: u8 = 5;
/// Bytes of all messages that wait, of all companies.
const MAX_WAITING_BYTES: usize = 32 << 20;

#[derive(Debug)]
struct Mailbox {
    company: CompanyId,
    until_ms: u64,
    slots: BTreeMap<u8, Vec<u8>>,
    tries: BTreeMap<u8, u8>,
}

/// Enrolment messages on their way, in memory only: ten minutes, each slot once.
#[derive(Debug, Default)]
pub(super) struct Mailboxes(HashMap<Hash32, Mailbox>);

impl Mailboxes {
    pub(super) fn tidy(&mut self, now_ms: u64) {
        self.0.retain(|_, mailbox| mailbox.until_ms > now_ms);
    }

    fn open(&mut self, mailbox: Hash32, company: CompanyId, now_ms: u64) -> Result<(), HubError> {
        self.tidy(now_ms);
        if let Some(open) = self.0.get(&mailbox) {
            return if open.company == company {
                Ok(())
            } else {
                Err(HubError::NotAllowed)
            };
        }
        let of_company = self
            .0
            .values()
            .filter(|open| open.company == company)
            .count();
        if self.0.len() >= MAX_MAILBOXES || of_company >= MAX_COMPANY_MAILBOXES {
            return Err(HubError::NotNow {
                retry_after_ms: 60_000,
            });
        }
        let until_ms = now_ms.saturating_add(MAILBOX_LASTS_MS);
        let open = Mailbox {
            company,
            until_ms,
            slots: BTreeMap::new(),
            tries: BTreeMap::new(),
        };
        self.0.insert(mailbox, open);
        Ok(())
    }

    fn put(&mut self, mail: Mail, now_ms: u64) -> Result<(), HubError> {
        if mail.slot >= MAX_SLOTS {
            return Err(HubError::Refused(RefusalCode::Form));
        }
        if mail.message.len() > MAX_MAIL_BYTES {
            return Err(HubError::TooLarge);
        }
        self.tidy(now_ms);
        let waiting: usize = self
            .0
            .values()
            .flat_map(|open| open.slots.values())
            .map(Vec::len)
            .sum();
        // An unknown mailbox takes it as an empty one would: nobody learns which exist.
        let Some(open) = self.0.get_mut(&mail.mailbox) else {
            return Ok(());
        };
        match open.slots.get(&mail.slot) {
            None if waiting.saturating_add(mail.message.len()) > MAX_WAITING_BYTES => {
                Err(HubError::NotNow {
                    retry_after_ms: 60_000,
                })
            }
            None => {
                open.slots.insert(mail.slot, mail.message.into());
                Ok(())
            }
            Some(there) if *there == *mail.message => Ok(()),
            Some(_) => {
                let tries = open.tries.entry(mail.slot).or_default();
                *tries += 1;
                if *tries >= MAX_TRIES {
                    // Someone else knows the code: it is burnt.
                    self.0.remove(&mail.mailbox);
                }
                Err(HubError::NotAllowed)
            }
        }
    }

    fn get(&mut self, at: &MailAt, now_ms: u64) -> Result<Vec<u8>, HubError> {
        self.tidy(now_ms);
        let message = self
            .0
            .get(&at.mailbox)
            .and_then(|open| open.slots.get(&at.slot));
        message.cloned().ok_or(HubError::NotThere)
    }
}
