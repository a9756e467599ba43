//! The hub over real sockets: login, messages, uploads that break, ranges, wake-ups, TLS.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::*;
use kolonne_hub::{Hub, HubConfig, OpenError, Tls};
use kolonne_model::cbor;
use kolonne_model::control::ThreadKind;
use kolonne_model::hub::*;
use kolonne_model::ids::*;
use kolonne_model::op::Op;
use kolonne_model::receipt::BlobReceipt;
use minicbor::Encode;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use tokio::io::AsyncWriteExt;
use tokio::sync::oneshot;

struct Server {
    base: String,
    key: PublicKey,
    clock: Arc<AtomicU64>,
    client: Client,
    stop: oneshot::Sender<()>,
    done: tokio::task::JoinHandle<std::io::Result<()>>,
}

fn client() -> reqwest::ClientBuilder {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy()
}

fn start(data: &Path, tls: Tls) -> Server {
    let (env, clock) = env();
    let scheme = if tls == Tls::None { "http" } else { "https" };
    let config = HubConfig::new(data.into(), "127.0.0.1:0".parse().unwrap(), tls);
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
        let pem = include_bytes!("fixtures/test-only.crt");
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
    fn request(&self, method: Method, path: &str, token: Option<&Hash32>) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.base));
        match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    async fn post<M: Encode<()>>(
        &self,
        path: &str,
        token: Option<&Hash32>,
        message: &M,
    ) -> Response {
        let request = self.request(Method::POST, path, token);
        request.body(cbor::encode(message)).send().await.unwrap()
    }

    async fn nonce(&self, company: CompanyId, device: DeviceId) -> Hash32 {
        let start = LoginStart { company, device };
        let answer = self.post("/v1/login/start", None, &start).await;
        cbor::decode::<LoginNonce>(&answer.bytes().await.unwrap())
            .unwrap()
            .nonce
    }

    async fn login(&self, company: &Company, device: &Device) -> Hash32 {
        let nonce = self.nonce(company.id, device.id).await;
        let answer = self
            .post("/v1/login", None, &self.signed(company, device, nonce))
            .await;
        assert_eq!(answer.status(), StatusCode::OK);
        cbor::decode::<Token>(&answer.bytes().await.unwrap())
            .unwrap()
            .token
    }

    fn signed(&self, company: &Company, device: &Device, nonce: Hash32) -> Login {
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

    async fn settle(&self, company: &Company) {
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

    async fn stop(self) {
        drop(self.client);
        self.stop.send(()).unwrap();
        self.done.await.unwrap().unwrap();
    }
}

async fn decoded<T: for<'b> minicbor::Decode<'b, ()>>(answer: Response) -> T {
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["kolonne-hub"], "1");
    cbor::decode(&answer.bytes().await.unwrap()).unwrap()
}

fn job(company: &Company) -> Vec<Op> {
    let author = &company.phone.person;
    let opened = company.open_thread(author, company.crew, ThreadKind::Job);
    let text = company.data(author, opened.context().thread, Some(&opened), "eins");
    vec![opened, text]
}

#[tokio::test]
async fn a_company_is_founded_and_its_devices_talk() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path(), Tls::None);
    let company = Company::new(20);
    let hello: Hello = decoded(
        server
            .request(Method::GET, "/v1/hello", None)
            .send()
            .await
            .unwrap(),
    )
    .await;
    assert_eq!(hello.key, server.key);
    server.settle(&company).await;
    let (phone, office) = (
        server.login(&company, &company.phone).await,
        server.login(&company, &company.office).await,
    );

    let mut wake = server
        .request(Method::GET, "/v1/wake?after=3", Some(&office))
        .send()
        .await
        .unwrap();
    let ops = job(&company);
    let page = segment(&company.phone.person, &ops);
    let answer: PushAnswer =
        decoded(server.post("/v1/push", Some(&phone), &push(page)).await).await;
    assert!(answer.receipts[0].is_good(&server.key, &company.id));
    let event = wake.chunk().await.unwrap().unwrap();
    assert!(event.starts_with(b"data: "), "{event:?}");

    let pulled: PullAnswer =
        decoded(server.post("/v1/pull", Some(&office), &FROM_START).await).await;
    assert_eq!(entries(&company, &pulled), ops);
    let fetch = Fetch {
        thread: ops[0].context().thread,
        have: vec![],
        limit_bytes: 1 << 20,
    };
    let fetched: FetchAnswer = decoded(server.post("/v1/fetch", Some(&office), &fetch).await).await;
    assert_eq!(read(&company, &fetched.page), ops);
    let heads: HeadsAnswer = decoded(
        server
            .post("/v1/heads", Some(&office), &Heads { threads: vec![] })
            .await,
    )
    .await;
    assert_eq!(head_sum(&heads.heads), pulled.sum);
    let roster: RosterAnswer = decoded(
        server
            .post("/v1/roster", Some(&office), &RosterFrom { seq: 1 })
            .await,
    )
    .await;
    assert_eq!(read(&company, &roster.page).len(), 3);

    // Malformed, too large, without a token, nowhere.
    let garbage = server
        .request(Method::POST, "/v1/pull", Some(&office))
        .body("x")
        .send()
        .await
        .unwrap();
    assert_eq!(garbage.status(), StatusCode::BAD_REQUEST);
    let code: RefusalCode = cbor::decode(&garbage.bytes().await.unwrap()).unwrap();
    assert_eq!(code, RefusalCode::Form);
    let large = vec![0; MAX_MESSAGE_BYTES + 1];
    let large = server
        .request(Method::POST, "/v1/login", None)
        .body(large[..5000].to_vec())
        .send()
        .await
        .unwrap();
    assert_eq!(large.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let anyone = server.post("/v1/pull", None, &FROM_START).await;
    assert_eq!(anyone.status(), StatusCode::UNAUTHORIZED);
    let nowhere = server
        .request(Method::GET, "/nowhere", None)
        .send()
        .await
        .unwrap();
    assert_eq!(
        (
            nowhere.status(),
            nowhere.headers()["kolonne-hub"].as_bytes()
        ),
        (StatusCode::NOT_FOUND, &b"1"[..])
    );
    let health = server
        .request(Method::GET, "/healthz", None)
        .send()
        .await
        .unwrap();
    assert_eq!(health.status(), StatusCode::OK);
    drop(wake);

    // A restart: the token still holds, everything is there.
    let key = server.key;
    server.stop().await;
    let server = start(dir.path(), Tls::None);
    assert_eq!(server.key, key);
    let again: PullAnswer =
        decoded(server.post("/v1/pull", Some(&office), &FROM_START).await).await;
    assert_eq!((again.page, again.sum), (pulled.page, pulled.sum));
    // Twelve hours later it doesn't.
    server.clock.fetch_add(12 * 3600 * 1000, Ordering::Relaxed);
    let late = server.post("/v1/pull", Some(&office), &FROM_START).await;
    assert_eq!(late.status(), StatusCode::UNAUTHORIZED);
    server.stop().await;
}

#[tokio::test]
async fn a_login_takes_the_devices_own_fresh_signature() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path(), Tls::None);
    let (company, second) = (Company::new(20), Company::new(90));
    server.settle(&company).await;
    server.settle(&second).await;
    let refused = async |login: Login| {
        let answer = server.post("/v1/login", None, &login).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
        let code: RefusalCode = cbor::decode(&answer.bytes().await.unwrap()).unwrap();
        assert_eq!(code, RefusalCode::Login);
    };
    let nonce = server.nonce(company.id, company.phone.id).await;
    let good = server.signed(&company, &company.phone, nonce);
    refused(Login {
        signature: Signature([1; 64]),
        ..good.clone()
    })
    .await;
    refused(Login {
        device: company.office.id,
        ..good.clone()
    })
    .await;
    let of_second = server.nonce(second.id, second.phone.id).await;
    refused(server.signed(&company, &company.phone, of_second)).await;
    refused(server.signed(&company, &company.phone, Hash32([0; 32]))).await;
    refused(server.signed(
        &company,
        &second.phone,
        server.nonce(company.id, second.phone.id).await,
    ))
    .await;
    assert_eq!(
        server.post("/v1/login", None, &good).await.status(),
        StatusCode::OK
    );
    refused(good).await;
    let nonce = server.nonce(company.id, company.phone.id).await;
    server.clock.fetch_add(61_000, Ordering::Relaxed);
    refused(server.signed(&company, &company.phone, nonce)).await;
    server.stop().await;
}

fn upload(
    server: &Server,
    token: &Hash32,
    blob: &BlobId,
    thread: &ThreadId,
    length: usize,
) -> RequestBuilder {
    server
        .request(Method::POST, "/v1/blobs", Some(token))
        .header("upload-draft-interop-version", "8")
        .header("upload-complete", "?0")
        .header("upload-length", length)
        .header("kolonne-blob", blob.to_string())
        .header("kolonne-thread", thread.to_string())
}

fn patch(server: &Server, token: &Hash32, at: &str, offset: usize, bytes: &[u8]) -> RequestBuilder {
    server
        .request(Method::PATCH, at, Some(token))
        .header("upload-draft-interop-version", "8")
        .header("content-type", "application/partial-upload")
        .header("upload-complete", "?1")
        .header("upload-offset", offset)
        .body(bytes.to_vec())
}

#[tokio::test]
async fn an_upload_goes_on_at_the_byte_where_the_connection_broke() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path(), Tls::None);
    let company = Company::new(20);
    server.settle(&company).await;
    let (phone, other) = (
        server.login(&company, &company.phone).await,
        server.login(&company, &company.other).await,
    );
    let ops = job(&company);
    let thread = ops[0].context().thread;
    server
        .post(
            "/v1/push",
            Some(&phone),
            &push(segment(&company.phone.person, &ops)),
        )
        .await;

    let bytes: Vec<u8> = (0..300_000u32).map(|n| n.to_le_bytes()[1]).collect();
    let blob = BlobId(*blake3::hash(&bytes).as_bytes());
    let created = upload(&server, &phone, &blob, &thread, bytes.len())
        .send()
        .await
        .unwrap();
    assert_eq!(created.status(), StatusCode::CREATED);
    let at = created.headers()["location"].to_str().unwrap().to_owned();

    // A connection that promises all and breaks after 70,001 bytes.
    let address = server.base.replace("http://localhost", "127.0.0.1");
    let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = format!(
        "PATCH {at} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {phone}\r\n\
         upload-draft-interop-version: 8\r\ncontent-type: application/partial-upload\r\n\
         upload-complete: ?1\r\nupload-offset: 0\r\ncontent-length: {}\r\n\r\n",
        bytes.len()
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(&bytes[..70_001]).await.unwrap();
    socket.shutdown().await.unwrap();
    drop(socket);
    let offset = loop {
        let answer = server
            .request(Method::HEAD, &at, Some(&phone))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        assert_eq!(answer.headers()["upload-length"], "300000");
        let offset: usize = answer.headers()["upload-offset"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        if offset == 70_001 {
            break offset;
        }
        tokio::task::yield_now().await;
    };
    let again = upload(&server, &phone, &blob, &thread, bytes.len())
        .send()
        .await
        .unwrap();
    assert_eq!(again.headers()["location"], at.as_str());
    let wrong = patch(&server, &phone, &at, 5, &bytes[5..])
        .send()
        .await
        .unwrap();
    assert_eq!(wrong.status(), StatusCode::CONFLICT);
    assert_eq!(wrong.headers()["upload-offset"], "70001");
    let stranger = patch(&server, &other, &at, offset, &bytes[offset..])
        .send()
        .await
        .unwrap();
    assert_eq!(stranger.status(), StatusCode::NOT_FOUND);

    let done = patch(&server, &phone, &at, offset, &bytes[offset..])
        .send()
        .await
        .unwrap();
    let receipt: BlobReceipt = decoded(done).await;
    assert!(receipt.is_good(&server.key, &company.id));
    assert_eq!((receipt.blob, receipt.sealed_bytes), (blob, 300_000));
    let held = upload(&server, &phone, &blob, &thread, bytes.len())
        .send()
        .await
        .unwrap();
    assert_eq!(decoded::<BlobReceipt>(held).await, receipt);

    let path = format!("/v1/blobs/{blob}");
    let whole = server
        .request(Method::GET, &path, Some(&phone))
        .send()
        .await
        .unwrap();
    assert_eq!(whole.bytes().await.unwrap(), bytes);
    let range = server
        .request(Method::GET, &path, Some(&phone))
        .header("range", "bytes=299990-");
    let range = range.send().await.unwrap();
    assert_eq!(range.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(
        range.headers()["content-range"],
        "bytes 299990-299999/300000"
    );
    assert_eq!(range.bytes().await.unwrap(), bytes[299_990..]);
    let beyond = server
        .request(Method::GET, &path, Some(&phone))
        .header("range", "bytes=300000-");
    assert_eq!(
        beyond.send().await.unwrap().status(),
        StatusCode::RANGE_NOT_SATISFIABLE
    );
    let hidden = server
        .request(Method::GET, &path, Some(&other))
        .send()
        .await
        .unwrap();
    assert_eq!(hidden.status(), StatusCode::NOT_FOUND);

    // Another hash: refused, and begun anew.
    let wrong = BlobId([7; 32]);
    let answer = upload(&server, &phone, &wrong, &thread, 3)
        .body("abc")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    let code: RefusalCode = cbor::decode(&answer.bytes().await.unwrap()).unwrap();
    assert_eq!(code, RefusalCode::Hash);
    let anew = upload(&server, &phone, &wrong, &thread, 3)
        .send()
        .await
        .unwrap();
    assert_eq!(anew.headers()["upload-offset"], "0");
    let at = anew.headers()["location"].to_str().unwrap().to_owned();
    let cancelled = server
        .request(Method::DELETE, &at, Some(&phone))
        .send()
        .await
        .unwrap();
    assert_eq!(cancelled.status(), StatusCode::NO_CONTENT);
    let gone = server
        .request(Method::HEAD, &at, Some(&phone))
        .send()
        .await
        .unwrap();
    assert_eq!(gone.status(), StatusCode::NOT_FOUND);
    server.stop().await;
}

#[tokio::test]
async fn strangers_are_slowed_down() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path(), Tls::None);
    let start = LoginStart {
        company: CompanyId([1; 16]),
        device: DeviceId([1; 16]),
    };
    let mut waits = None;
    for _ in 0..200 {
        let answer = server.post("/v1/login/start", None, &start).await;
        if answer.status() == StatusCode::SERVICE_UNAVAILABLE {
            waits = answer.headers().get("retry-after-ms").cloned();
            break;
        }
    }
    assert_eq!(waits.unwrap(), "250");
    server.clock.fetch_add(250, Ordering::Relaxed);
    let answer = server.post("/v1/login/start", None, &start).await;
    assert_eq!(answer.status(), StatusCode::OK);
    server.stop().await;
}

#[tokio::test]
async fn it_speaks_tls_and_plain_only_at_home() {
    let fixture = |name: &str| {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures")
            .join(name)
    };
    let tls = Tls::Pem {
        cert: fixture("test-only.crt"),
        key: fixture("test-only.key"),
    };
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path(), tls);
    let hello: Hello = decoded(
        server
            .request(Method::GET, "/v1/hello", None)
            .send()
            .await
            .unwrap(),
    )
    .await;
    assert_eq!(hello.key, server.key);
    let config = |tls| HubConfig::new(dir.path().into(), "0.0.0.0:0".parse().unwrap(), tls);
    assert!(matches!(
        Hub::open(config(Tls::None)),
        Err(OpenError::PlainNotOnLoopback)
    ));
    assert!(matches!(
        Hub::open(config(Tls::InsecurePlain)),
        Err(OpenError::InUse)
    ));
    server.stop().await;
    assert!(Hub::open(config(Tls::InsecurePlain)).is_ok());
}
