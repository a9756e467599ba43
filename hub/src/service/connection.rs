//! The model's two traits on the hub itself: how tests and a hub in the same program talk to it,
//! without sockets. Calls run where they are awaited; only `wake` ever waits.

use std::sync::Arc;

use kolonne_model::hub::{
    AppendRoster, Challenge, Door, Fetch, FetchAnswer, Founding, Heads, HeadsAnswer, Hello, Hub,
    HubError, LastOps, LastOpsAnswer, Login, LoginNonce, LoginStart, Mail, MailAt, NewUpload, Pull,
    PullAnswer, Push, PushAnswer, RosterAnswer, RosterFrom, Token, Upload,
};
use kolonne_model::ids::{BlobId, CompanyId, DeviceId, Hash32};
use kolonne_model::receipt::Possession;

use super::HubService;

/// What comes before a login.
#[derive(Debug, Clone)]
pub struct DoorOf {
    service: Arc<HubService>,
}

impl DoorOf {
    pub(super) const fn new(service: Arc<HubService>) -> Self {
        Self { service }
    }

    /// A nonce to sign.
    pub fn login_start(&self, start: &LoginStart) -> LoginNonce {
        self.service.login_start(start)
    }

    /// A token for a signed nonce.
    pub fn login(&self, login: &Login) -> Result<Token, HubError> {
        self.service.login(login)
    }

    /// The connection that a token opens.
    pub fn connect(&self, token: &Hash32) -> Result<Connection, HubError> {
        let (company, device) = self.service.session(token)?;
        Ok(self.service.connect(company, device))
    }
}

impl Door for DoorOf {
    async fn hello(&self) -> Result<Hello, HubError> {
        Ok(self.service.hello())
    }

    async fn found(&self, founding: Founding) -> Result<(), HubError> {
        self.service.found(&founding)
    }

    async fn put_mail(&self, mail: Mail) -> Result<(), HubError> {
        self.service.put_mail(mail)
    }

    async fn mail(&self, at: MailAt) -> Result<Vec<u8>, HubError> {
        self.service.mail(&at)
    }
}

/// One device of one company at the hub.
#[derive(Debug, Clone)]
pub struct Connection {
    service: Arc<HubService>,
    company: CompanyId,
    device: DeviceId,
}

impl Connection {
    pub(super) const fn new(
        service: Arc<HubService>,
        company: CompanyId,
        device: DeviceId,
    ) -> Self {
        Self {
            service,
            company,
            device,
        }
    }

    /// Cancels an upload.
    pub fn cancel_upload(&self, name: &str) -> Result<(), HubError> {
        self.service.cancel_upload(self.company, &self.device, name)
    }
}

impl Hub for Connection {
    async fn push(&self, push: Push) -> Result<PushAnswer, HubError> {
        self.service.push(self.company, &self.device, &push)
    }

    async fn pull(&self, pull: Pull) -> Result<PullAnswer, HubError> {
        self.service.pull(self.company, &self.device, &pull)
    }

    async fn fetch(&self, fetch: Fetch) -> Result<FetchAnswer, HubError> {
        self.service.fetch(self.company, &self.device, &fetch)
    }

    async fn heads(&self, heads: Heads) -> Result<HeadsAnswer, HubError> {
        self.service.heads(self.company, &self.device, &heads)
    }

    async fn last_ops(&self, asked: LastOps) -> Result<LastOpsAnswer, HubError> {
        self.service.last_ops(self.company, &self.device, &asked)
    }

    async fn append_roster(&self, append: AppendRoster) -> Result<(), HubError> {
        self.service
            .append_roster(self.company, &self.device, &append)
    }

    async fn roster(&self, from: RosterFrom) -> Result<RosterAnswer, HubError> {
        self.service.roster(self.company, &self.device, &from)
    }

    async fn open_mailbox(&self, mailbox: Hash32) -> Result<(), HubError> {
        self.service
            .open_mailbox(self.company, &self.device, mailbox)
    }

    async fn create_upload(&self, new: NewUpload) -> Result<Upload, HubError> {
        self.service.create_upload(self.company, &self.device, &new)
    }

    async fn upload(&self, name: &str) -> Result<Upload, HubError> {
        Ok(self.service.upload(self.company, &self.device, name)?.0)
    }

    async fn append_upload(
        &self,
        name: &str,
        offset_bytes: u64,
        bytes: Vec<u8>,
    ) -> Result<Upload, HubError> {
        self.service
            .append_upload(self.company, &self.device, name, offset_bytes, &bytes)
    }

    async fn download(
        &self,
        blob: BlobId,
        offset_bytes: u64,
        max_bytes: u32,
    ) -> Result<Vec<u8>, HubError> {
        self.service
            .download(self.company, &self.device, &blob, offset_bytes, max_bytes)
    }

    async fn prove(&self, challenge: Challenge) -> Result<Possession, HubError> {
        self.service
            .prove_blob(self.company, &self.device, &challenge)
    }

    async fn wake(&self, after_hub_seq: u64) -> Result<u64, HubError> {
        let (mut receiver, now) = self.service.watch(self.company, &self.device)?;
        if now > after_hub_seq {
            return Ok(now);
        }
        receiver
            .wait_for(|seq| *seq > after_hub_seq)
            .await
            .map(|seq| *seq)
            .map_err(|_| HubError::Unreachable)
    }
}
