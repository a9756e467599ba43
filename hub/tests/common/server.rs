//! The hub on a real socket, for tests.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs
)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::common::*;
use kolonne_hub::{Addresses, Hub, HubConfig, Tls};
use kolonne_model::cbor;
use kolonne_model::control::ThreadKind;
use kolonne_model::hub::*;
use kolonne_model::ids::*;
use kolonne_model::op::Op;
use minicbor::Encode;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use tokio::sync::oneshot;

/// A hub that serves, and a client for it.
pub struct Server {
    pub base: String,
    pub key: PublicKey,
    pub clock: Arc<AtomicU64>,
    pub client: Client,
    stop: oneshot::Sender<()>,
    done: tokio::task::JoinHandle<std::io::Result<()>>,
}

pub fn client() -> reqwest::ClientBuilder {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy()
}

pub fn start(data: &Path, tls: Tls) -> Server {
    start_counting(data, tls, Addresses::Peer)
}

pub fn start_behind_proxy(data: &Path) -> Server {
    start_counting(data, Tls::None, Addresses::Forwarded)
}

fn start_counting(data: &Path, tls: Tls, addresses: Addresses) -> Server {
    let (env, clock) = env();
    let scheme = if tls == Tls::None { "http" } else { "https" };
    let mut config = HubConfig::new(data.into(), "127.0.0.1:0".parse().unwrap(), tls);
    config.limits.addresses = addresses;
    let hub = Hub::open_with(config, env).unwrap();
    let base = format!("{scheme}://localhost:{}", hub.address().port());
    let key = hub.key();
    let (stop, stopped) = oneshot::channel::<()>();
    let done = tokio::spawn(hub.serve(async {
        let _ = stopped.await;
    }));
    // The hub listens on IPv4; "localhost" may be ::1 first.
    let address = format!("127.0.0.1:{}", base.rsplit(':').next().unwrap())
        .parse()
        .unwrap();
    let mut builder = client().resolve("localhost", address);
    if scheme == "https" {
        let pem = include_bytes!("../fixtures/test-only.crt");
        builder = builder.tls_certs_only([reqwest::Certificate::from_pem(pem).unwrap()]);
    }
    Server {
        base,
        key,
        clock,
        client: builder.build().unwrap(),
        stop,
        done,
    }
}

impl Server {
    pub fn request(&self, method: Method, path: &str, token: Option<&Hash32>) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.base));
        match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    pub async fn post<M: Encode<()>>(
        &self,
        path: &str,
        token: Option<&Hash32>,
        message: &M,
    ) -> Response {
        let request = self.request(Method::POST, path, token);
        request.body(cbor::encode(message)).send().await.unwrap()
    }

    pub async fn nonce(&self, company: CompanyId, device: DeviceId) -> Hash32 {
        let start = LoginStart { company, device };
        let answer = self.post("/v1/login/start", None, &start).await;
        cbor::decode::<LoginNonce>(&answer.bytes().await.unwrap())
            .unwrap()
            .nonce
    }

    pub async fn login(&self, company: &Company, device: &Device) -> Hash32 {
        let nonce = self.nonce(company.id, device.id).await;
        let answer = self
            .post("/v1/login", None, &self.signed(company, device, nonce))
            .await;
        assert_eq!(answer.status(), StatusCode::OK);
        cbor::decode::<Token>(&answer.bytes().await.unwrap())
            .unwrap()
            .token
    }

    pub fn signed(&self, company: &Company, device: &Device, nonce: Hash32) -> Login {
        use ed25519_dalek::Signer;
        let message = login_message(&self.key, &company.id, &device.id, &nonce);
        let signature = Signature(device.key.sign(&message).to_bytes());
        Login {
            company: company.id,
            device: device.id,
            nonce,
            signature,
        }
    }

    pub async fn settle(&self, company: &Company) {
        let answer = self.post("/v1/found", None, &company.founding()).await;
        assert_eq!(answer.status(), StatusCode::OK);
        let office = self.login(company, &company.office).await;
        for page in &company.roster_pages[1..] {
            let append = AppendRoster {
                page: page.clone().into(),
                parts: vec![],
            };
            let answer = self.post("/v1/roster/append", Some(&office), &append).await;
            assert_eq!(answer.status(), StatusCode::OK);
        }
    }

    pub async fn stop(self) {
        drop(self.client);
        self.stop.send(()).unwrap();
        self.done.await.unwrap().unwrap();
    }
}

pub async fn decoded<T: for<'b> minicbor::Decode<'b, ()>>(answer: Response) -> T {
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["kolonne-hub"], "1");
    cbor::decode(&answer.bytes().await.unwrap()).unwrap()
}

pub fn job(company: &Company) -> Vec<Op> {
    let author = &company.phone.person;
    let opened = company.open_thread(author, company.crew, ThreadKind::Job);
    let text = company.data(author, opened.context().thread, Some(&opened), "eins");
    vec![opened, text]
}
