//! The hub of a simulation: the real service on real files, without sockets, on the simulation's
//! clock. It can be restarted, put back to an older copy, lost, or told what to lie (`liar`).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ed25519_dalek::{Signer, SigningKey};
use futures_util::FutureExt;
use kolonne_core::transport::{Reply, Request, ask};
use kolonne_hub::{Connection, Env, HubService, Quotas};
use kolonne_model::hub::{HubError, Login, LoginStart, login_message};
use kolonne_model::ids::{CompanyId, DeviceId, PublicKey, Signature};

use super::chance::Chance;
use super::liar::{Asker, Liar};
use super::template::Enrolled;
use crate::files::copy_folder;

/// A hub, running or not.
pub struct SimHub {
    dir: PathBuf,
    now_ms: Arc<AtomicU64>,
    seed: u64,
    opened: u64,
    service: Option<Arc<HubService>>,
    sessions: BTreeMap<DeviceId, Connection>,
    copies: Vec<PathBuf>,
    /// What it says that isn't so.
    pub liar: Liar,
}

impl SimHub {
    /// The hub of a folder.
    pub fn new(dir: PathBuf, now_ms: Arc<AtomicU64>, seed: u64) -> Self {
        let mut hub = Self {
            dir,
            now_ms,
            seed,
            opened: 0,
            service: None,
            sessions: BTreeMap::new(),
            copies: Vec::new(),
            liar: Liar::new(SigningKey::from_bytes(&[0; 32]), Chance::new(seed, "liar")),
        };
        hub.start();
        hub
    }

    fn start(&mut self) {
        self.opened += 1;
        let now_ms = Arc::clone(&self.now_ms);
        let key = *blake3::hash(&[self.seed.to_be_bytes(), self.opened.to_be_bytes()].concat())
            .as_bytes();
        let drawn = AtomicU64::new(0);
        let env = Env::new(
            move || now_ms.load(Ordering::Relaxed),
            move |bytes| {
                let n = drawn.fetch_add(1, Ordering::Relaxed);
                let mut hasher = blake3::Hasher::new_keyed(&key);
                hasher.update(&n.to_be_bytes());
                hasher.finalize_xof().fill(bytes);
            },
        );
        let service = HubService::open(&self.dir, env, Quotas::default()).unwrap();
        self.service = Some(service);
        let key: [u8; 32] = std::fs::read(self.dir.join("hub.key"))
            .unwrap()
            .try_into()
            .unwrap();
        self.liar.takes_key(SigningKey::from_bytes(&key));
    }

    /// Its key.
    pub fn key(&self) -> PublicKey {
        self.service().key()
    }

    fn service(&self) -> &Arc<HubService> {
        self.service.as_ref().unwrap()
    }

    fn stop(&mut self) {
        self.sessions.clear();
        self.service = None;
    }

    /// It is restarted.
    pub fn restart(&mut self) {
        self.stop();
        self.start();
    }

    /// A copy of it is made, as an admin would.
    pub fn copy(&mut self) {
        self.stop();
        let to = self
            .dir
            .with_extension(format!("copy-{}", self.copies.len()));
        copy_folder(&self.dir, &to);
        self.copies.push(to);
        self.start();
    }

    /// An older copy is put back. Whether there was one.
    pub fn put_back(&mut self, which: usize) -> bool {
        let Some(from) = self.copies.get(which % self.copies.len().max(1)).cloned() else {
            return false;
        };
        self.stop();
        std::fs::remove_dir_all(&self.dir).unwrap();
        copy_folder(&from, &self.dir);
        self.start();
        true
    }

    /// It is lost, and an empty one stands in its place.
    pub fn lose(&mut self) {
        self.stop();
        std::fs::remove_dir_all(&self.dir).unwrap();
        self.copies.clear();
        self.start();
    }

    /// Answers a request of a device; none: it waits for news.
    pub fn serve(
        &mut self,
        company: CompanyId,
        device: &Enrolled,
        to: PublicKey,
        request: &Request,
    ) -> Option<Result<Reply, HubError>> {
        let before_login = matches!(
            request,
            Request::Hello | Request::Found(_) | Request::PutMail(_) | Request::Mail(_)
        );
        let connection = match self.session(company, device, to, before_login) {
            Ok(connection) => connection,
            Err(error) => return Some(Err(error)),
        };
        let asker = Asker {
            company,
            device: device.id,
            truth: &connection,
            now_ms: self.now_ms.load(Ordering::Relaxed),
        };
        if let Some(answer) = self.liar.instead(&asker, request) {
            return Some(answer);
        }
        if let Request::Wake { after_hub_seq } = request {
            return self.news(company, device, *after_hub_seq).transpose();
        }
        let door = self.service().door();
        let answer = ask(&door, &connection, request.clone()).now_or_never();
        let answer = answer.expect("the service answers at once");
        Some(self.liar.twist(&asker, request, answer))
    }

    /// What it has beyond this sequence, if anything.
    pub fn news(
        &self,
        company: CompanyId,
        device: &Enrolled,
        after_hub_seq: u64,
    ) -> Result<Option<Reply>, HubError> {
        let connection = self.service().connect(company, device.id);
        let asked = kolonne_model::hub::Hub::wake(&connection, after_hub_seq);
        let news = asked.now_or_never().transpose()?;
        Ok(news.map(Reply::HubSeq))
    }

    fn session(
        &mut self,
        company: CompanyId,
        device: &Enrolled,
        to: PublicKey,
        before_login: bool,
    ) -> Result<Connection, HubError> {
        let service = Arc::clone(self.service());
        if before_login {
            return Ok(service.connect(company, device.id));
        }
        if to != service.key() {
            return Err(HubError::OtherKey);
        }
        if let Some(session) = self.sessions.get(&device.id) {
            return Ok(session.clone());
        }
        let door = service.door();
        let start = LoginStart {
            company,
            device: device.id,
        };
        let nonce = door.login_start(&start).nonce;
        let message = login_message(&to, &company, &device.id, &nonce);
        let signature = Signature(device.signing.sign(&message).to_bytes());
        let token = door.login(&Login {
            company,
            device: device.id,
            nonce,
            signature,
        })?;
        let session = door.connect(&token.token)?;
        self.sessions.insert(device.id, session.clone());
        Ok(session)
    }
}
