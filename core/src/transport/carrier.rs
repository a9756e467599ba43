//! The hub as the engine speaks to it: every call is a value, a [`Request`], that somebody carries
//! and answers with a [`Reply`].
//!
//! Who carries is the driver's choice: HTTP on every device, a hub in the same process in the
//! simulator. Nothing here retries, judges or keeps anything.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use ed25519_dalek::SigningKey;
use kolonne_model::hub::{
    AppendRoster, Challenge, Door, Fetch, FetchAnswer, Founding, Heads, HeadsAnswer, Hello, Hub,
    HubError, LastOps, LastOpsAnswer, Mail, MailAt, NewUpload, Pull, PullAnswer, Push, PushAnswer,
    RosterAnswer, RosterFrom, Upload, UploadName,
};
use kolonne_model::ids::{BlobId, CompanyId, DeviceId, Hash32, PublicKey};
use kolonne_model::receipt::Possession;

use super::{HttpDoor, HttpHub, LoginIdentity};

/// What a device asks of a hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// [`Door::hello`].
    Hello,
    /// [`Door::found`].
    Found(Founding),
    /// [`Door::put_mail`].
    PutMail(Mail),
    /// [`Door::mail`].
    Mail(MailAt),
    /// [`Hub::push`].
    Push(Push),
    /// [`Hub::pull`].
    Pull(Pull),
    /// [`Hub::fetch`].
    Fetch(Fetch),
    /// [`Hub::heads`].
    Heads(Heads),
    /// [`Hub::last_ops`].
    LastOps(LastOps),
    /// [`Hub::append_roster`].
    AppendRoster(AppendRoster),
    /// [`Hub::roster`].
    Roster(RosterFrom),
    /// [`Hub::open_mailbox`].
    OpenMailbox(Hash32),
    /// [`Hub::create_upload`].
    CreateUpload(NewUpload),
    /// [`Hub::upload`].
    Upload(UploadName),
    /// [`Hub::append_upload`].
    AppendUpload {
        /// The upload.
        name: UploadName,
        /// Where the bytes belong.
        offset_bytes: u64,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// [`Hub::download`].
    Download {
        /// The blob.
        blob: BlobId,
        /// From where.
        offset_bytes: u64,
        /// How many at most.
        max_bytes: u32,
    },
    /// [`Hub::prove`].
    Prove(Challenge),
    /// [`Hub::wake`].
    Wake {
        /// Beyond this sequence.
        after_hub_seq: u64,
    },
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// It is done; there is nothing to say about it.
    Done,
    /// To [`Request::Hello`].
    Hello(Hello),
    /// To [`Request::Push`].
    Push(PushAnswer),
    /// To [`Request::Pull`].
    Pull(PullAnswer),
    /// To [`Request::Fetch`].
    Fetch(FetchAnswer),
    /// To [`Request::Heads`].
    Heads(HeadsAnswer),
    /// To [`Request::LastOps`].
    LastOps(LastOpsAnswer),
    /// To [`Request::Roster`].
    Roster(RosterAnswer),
    /// To what is asked of an upload.
    Upload(Upload),
    /// To [`Request::Mail`] and [`Request::Download`].
    Bytes(Vec<u8>),
    /// To [`Request::Prove`].
    Possession(Possession),
    /// To [`Request::Wake`].
    HubSeq(u64),
}

/// An answer on its way.
pub type Carried<'a> = Pin<Box<dyn Future<Output = Result<Reply, HubError>> + Send + 'a>>;

/// Who carries requests.
pub trait Carrier: Send + Sync {
    /// Carries a request to the hub of this key, and nobody else's.
    fn carry(&self, to: PublicKey, request: Request) -> Carried<'_>;

    /// The request by which somebody else hands over the rest of an upload. Only over HTTP.
    ///
    /// # Errors
    /// The hub's; `NotAllowed` where there is no HTTP.
    fn rest_of<'a>(&'a self, _to: PublicKey, _name: &'a str, _offset_bytes: u64) -> Rest<'a> {
        Box::pin(async { Err(HubError::NotAllowed) })
    }
}

/// A request on its way to be made.
pub type Rest<'a> = Pin<Box<dyn Future<Output = Result<HttpRequest, HubError>> + Send + 'a>>;

/// A request for someone else to carry: its body is a file.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpRequest {
    /// `PATCH`.
    pub method: String,
    /// Where to.
    pub url: String,
    /// Names and values, the login's token among them.
    pub headers: Vec<(String, String)>,
}

impl std::fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HttpRequest({})", self.method)
    }
}

/// Asks a hub: what a carrier does at its end.
///
/// # Errors
/// The hub's.
pub async fn ask(door: &impl Door, hub: &impl Hub, request: Request) -> Result<Reply, HubError> {
    Ok(match request {
        Request::Hello => Reply::Hello(door.hello().await?),
        Request::Found(founding) => done(door.found(founding).await?),
        Request::PutMail(mail) => done(door.put_mail(mail).await?),
        Request::Mail(at) => Reply::Bytes(door.mail(at).await?),
        Request::Push(push) => Reply::Push(hub.push(push).await?),
        Request::Pull(pull) => Reply::Pull(hub.pull(pull).await?),
        Request::Fetch(fetch) => Reply::Fetch(hub.fetch(fetch).await?),
        Request::Heads(heads) => Reply::Heads(hub.heads(heads).await?),
        Request::LastOps(asked) => Reply::LastOps(hub.last_ops(asked).await?),
        Request::AppendRoster(append) => done(hub.append_roster(append).await?),
        Request::Roster(from) => Reply::Roster(hub.roster(from).await?),
        Request::OpenMailbox(mailbox) => done(hub.open_mailbox(mailbox).await?),
        Request::CreateUpload(new) => Reply::Upload(hub.create_upload(new).await?),
        Request::Upload(name) => Reply::Upload(hub.upload(&name).await?),
        Request::AppendUpload {
            name,
            offset_bytes,
            bytes,
        } => Reply::Upload(hub.append_upload(&name, offset_bytes, bytes).await?),
        Request::Download {
            blob,
            offset_bytes,
            max_bytes,
        } => Reply::Bytes(hub.download(blob, offset_bytes, max_bytes).await?),
        Request::Prove(challenge) => Reply::Possession(hub.prove(challenge).await?),
        Request::Wake { after_hub_seq } => Reply::HubSeq(hub.wake(after_hub_seq).await?),
    })
}

const fn done((): ()) -> Reply {
    Reply::Done
}

/// A hub, by its key, over whoever carries.
#[derive(Clone)]
pub struct Line {
    carrier: Arc<dyn Carrier>,
    to: PublicKey,
}

impl Line {
    /// The line to the hub of this key.
    pub fn new(carrier: Arc<dyn Carrier>, to: PublicKey) -> Self {
        Self { carrier, to }
    }

    /// The key that the hub must have.
    pub fn hub_key(&self) -> &PublicKey {
        &self.to
    }

    /// The same way to a hub of another key.
    #[must_use]
    pub fn to(&self, to: PublicKey) -> Self {
        Self::new(Arc::clone(&self.carrier), to)
    }

    async fn ask(&self, request: Request) -> Result<Reply, HubError> {
        self.carrier.carry(self.to, request).await
    }
}

/// Takes the one reply that answers a request; another one isn't the hub's.
macro_rules! reply {
    ($asked:expr, $kind:ident) => {
        match $asked.await? {
            Reply::$kind(value) => Ok(value),
            _ => Err(HubError::NotTheHub),
        }
    };
}

impl Line {
    async fn tell(&self, request: Request) -> Result<(), HubError> {
        match self.ask(request).await? {
            Reply::Done => Ok(()),
            _ => Err(HubError::NotTheHub),
        }
    }
}

impl Door for Line {
    async fn hello(&self) -> Result<Hello, HubError> {
        reply!(self.ask(Request::Hello), Hello)
    }

    async fn found(&self, founding: Founding) -> Result<(), HubError> {
        self.tell(Request::Found(founding)).await
    }

    async fn put_mail(&self, mail: Mail) -> Result<(), HubError> {
        self.tell(Request::PutMail(mail)).await
    }

    async fn mail(&self, at: MailAt) -> Result<Vec<u8>, HubError> {
        reply!(self.ask(Request::Mail(at)), Bytes)
    }
}

impl Hub for Line {
    async fn push(&self, push: Push) -> Result<PushAnswer, HubError> {
        reply!(self.ask(Request::Push(push)), Push)
    }

    async fn pull(&self, pull: Pull) -> Result<PullAnswer, HubError> {
        reply!(self.ask(Request::Pull(pull)), Pull)
    }

    async fn fetch(&self, fetch: Fetch) -> Result<FetchAnswer, HubError> {
        reply!(self.ask(Request::Fetch(fetch)), Fetch)
    }

    async fn heads(&self, heads: Heads) -> Result<HeadsAnswer, HubError> {
        reply!(self.ask(Request::Heads(heads)), Heads)
    }

    async fn last_ops(&self, asked: LastOps) -> Result<LastOpsAnswer, HubError> {
        reply!(self.ask(Request::LastOps(asked)), LastOps)
    }

    async fn append_roster(&self, append: AppendRoster) -> Result<(), HubError> {
        self.tell(Request::AppendRoster(append)).await
    }

    async fn roster(&self, from: RosterFrom) -> Result<RosterAnswer, HubError> {
        reply!(self.ask(Request::Roster(from)), Roster)
    }

    async fn open_mailbox(&self, mailbox: Hash32) -> Result<(), HubError> {
        self.tell(Request::OpenMailbox(mailbox)).await
    }

    async fn create_upload(&self, new: NewUpload) -> Result<Upload, HubError> {
        reply!(self.ask(Request::CreateUpload(new)), Upload)
    }

    async fn upload(&self, name: &str) -> Result<Upload, HubError> {
        reply!(self.ask(Request::Upload(name.to_owned())), Upload)
    }

    async fn append_upload(
        &self,
        name: &str,
        offset_bytes: u64,
        bytes: Vec<u8>,
    ) -> Result<Upload, HubError> {
        let request = Request::AppendUpload {
            name: name.to_owned(),
            offset_bytes,
            bytes,
        };
        reply!(self.ask(request), Upload)
    }

    async fn download(
        &self,
        blob: BlobId,
        offset_bytes: u64,
        max_bytes: u32,
    ) -> Result<Vec<u8>, HubError> {
        let request = Request::Download {
            blob,
            offset_bytes,
            max_bytes,
        };
        reply!(self.ask(request), Bytes)
    }

    async fn prove(&self, challenge: Challenge) -> Result<Possession, HubError> {
        reply!(self.ask(Request::Prove(challenge)), Possession)
    }

    async fn wake(&self, after_hub_seq: u64) -> Result<u64, HubError> {
        reply!(self.ask(Request::Wake { after_hub_seq }), HubSeq)
    }
}

/// Carries over HTTP, logging in as one device wherever it is asked to.
pub struct HttpCarrier {
    door: HttpDoor,
    company: CompanyId,
    device: DeviceId,
    signing: SigningKey,
    /// The company's hub, and perhaps one that is to take its place; the one used last comes last.
    hubs: Mutex<Vec<Arc<HttpHub>>>,
}

/// Hubs to which a login is kept.
const MAX_HUBS: usize = 2;

impl HttpCarrier {
    /// The way through this door, for a device with the key of its own seat.
    pub fn new(door: HttpDoor, company: CompanyId, device: DeviceId, signing: SigningKey) -> Self {
        Self {
            door,
            company,
            device,
            signing,
            hubs: Mutex::default(),
        }
    }

    fn hub(&self, key: PublicKey) -> Arc<HttpHub> {
        let mut hubs = self.hubs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = hubs.iter().position(|hub| *hub.hub_key() == key) {
            let hub = hubs.remove(at);
            hubs.push(Arc::clone(&hub));
            return hub;
        }
        let identity = LoginIdentity {
            company: self.company,
            device: self.device,
            hub_key: key,
            signing: self.signing.clone(),
        };
        let hub = Arc::new(HttpHub::new(self.door.clone(), identity));
        if hubs.len() >= MAX_HUBS {
            hubs.remove(0);
        }
        hubs.push(Arc::clone(&hub));
        hub
    }
}

impl Carrier for HttpCarrier {
    fn carry(&self, to: PublicKey, request: Request) -> Carried<'_> {
        let hub = self.hub(to);
        Box::pin(async move { ask(&self.door, &*hub, request).await })
    }

    fn rest_of<'a>(&'a self, to: PublicKey, name: &'a str, offset_bytes: u64) -> Rest<'a> {
        let hub = self.hub(to);
        Box::pin(async move { hub.rest_of(name, offset_bytes).await })
    }
}
