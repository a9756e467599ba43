//! Against a server that says what a test wants it to say, over real sockets.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ed25519_dalek::{Signature as DalekSignature, SigningKey, Verifier};
use kolonne_model::cbor::{decode, encode};
use kolonne_model::hub::*;
use kolonne_model::ids::*;
use kolonne_model::receipt::BlobReceipt;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::door::{Patience, time_for};
use super::*;

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(100);

#[derive(Clone)]
struct Asked {
    head: String,
    body: Vec<u8>,
}

impl Asked {
    fn is(&self, start: &str) -> bool {
        self.head.starts_with(start)
    }

    fn has(&self, header: &str) -> bool {
        self.head.lines().any(|line| line == header)
    }
}

/// What to answer; empty: nothing, and the line is held. One that ends in a blank line of its own
/// is held too.
type Said = Vec<u8>;

fn say(status: u16, headers: &str, body: &[u8]) -> Said {
    let length = body.len();
    let head = format!("HTTP/1.1 {status} x\r\nkolonne-hub: 1\r\nconnection: close\r\n{headers}");
    let length = if status == 204 {
        String::new()
    } else {
        format!("content-length: {length}\r\n")
    };
    [head.as_bytes(), length.as_bytes(), b"\r\n", body].concat()
}

struct Server {
    url: String,
    patience: Patience,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    async fn new(script: impl Fn(usize, &Asked) -> Said + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, script) = (Arc::clone(&asked), Arc::new(script));
        tokio::spawn(async move {
            while let Ok((mut line, _)) = listener.accept().await {
                let (log, script) = (Arc::clone(&log), Arc::clone(&script));
                tokio::spawn(async move {
                    let mut bytes = Vec::new();
                    let end = loop {
                        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                            break at + 4;
                        }
                        if line.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                            return;
                        }
                    };
                    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
                    let length = head
                        .lines()
                        .find_map(|line| line.strip_prefix("content-length: "));
                    let length: usize = length.map_or(0, |digits| digits.parse().unwrap());
                    while bytes.len() < end + length {
                        assert!(line.read_buf(&mut bytes).await.unwrap() > 0);
                    }
                    let request = Asked {
                        head,
                        body: bytes[end..].to_vec(),
                    };
                    let said = {
                        let mut log = log.lock().unwrap();
                        log.push(request.clone());
                        script(log.len(), &request)
                    };
                    let _ = line.write_all(&said).await;
                    if said.is_empty() || said.ends_with(b"\n\n") {
                        let _ = line.read_u8().await;
                    }
                });
            }
        });
        let patience = Patience {
            message: LONG,
            idle: LONG,
        };
        Self {
            url,
            patience,
            asked,
        }
    }

    /// One that also answers logins, and gives the script the count of logins so far.
    async fn with_login(script: impl Fn(u8, &Asked) -> Said + Send + Sync + 'static) -> Self {
        let logins = Mutex::new(0);
        Self::new(move |_, asked| {
            let mut logins = logins.lock().unwrap();
            if asked.is("GET /v1/hello") {
                say(200, "", &encode(&hello(HUB_KEY)))
            } else if asked.is("POST /v1/login/start") {
                say(200, "", &encode(&LoginNonce { nonce: NONCE }))
            } else if asked.is("POST /v1/login ") {
                let login: Login = decode(&asked.body).unwrap();
                let message = login_message(&HUB_KEY, &login.company, &login.device, &NONCE);
                let signature = DalekSignature::from_bytes(&login.signature.0);
                device()
                    .verifying_key()
                    .verify(&message, &signature)
                    .unwrap();
                *logins += 1;
                let token = Token {
                    token: Hash32([*logins; 32]),
                    lasts_ms: 600_000,
                    time_ms: 1,
                };
                say(200, "", &encode(&token))
            } else {
                script(*logins, asked)
            }
        })
        .await
    }

    fn door(&self) -> HttpDoor {
        HttpDoor::with_patience(&self.url, &Trust::System, self.patience).unwrap()
    }

    fn hub(&self) -> HttpHub {
        let company = CompanyId([1; 16]);
        let device_id = DeviceId([2; 16]);
        let signing = device();
        let identity = LoginIdentity {
            company,
            device: device_id,
            hub_key: HUB_KEY,
            signing,
        };
        HttpHub::new(self.door(), identity)
    }

    fn count(&self, start: &str) -> usize {
        self.asked
            .lock()
            .unwrap()
            .iter()
            .filter(|asked| asked.is(start))
            .count()
    }

    fn last(&self) -> Asked {
        self.asked.lock().unwrap().last().unwrap().clone()
    }
}

const HUB_KEY: PublicKey = PublicKey([5; 32]);
const NONCE: Hash32 = Hash32([6; 32]);
const BLOB: BlobId = BlobId([7; 32]);

fn device() -> SigningKey {
    SigningKey::from_bytes(&[3; 32])
}

fn hello(key: PublicKey) -> Hello {
    Hello {
        key,
        epoch: HubEpoch([9; 8]),
        version: 1,
        time_ms: 1,
    }
}

fn heads_answer() -> Vec<u8> {
    encode(&HeadsAnswer {
        heads: vec![],
        roster: None,
    })
}

fn receipt() -> BlobReceipt {
    let key = SigningKey::from_bytes(&[4; 32]);
    BlobReceipt::new(
        &key,
        &CompanyId([1; 16]),
        (BLOB, 10),
        (HubEpoch([9; 8]), 5),
        1,
    )
}

async fn heads(hub: &HttpHub) -> Result<HeadsAnswer, HubError> {
    hub.heads(Heads { threads: vec![] }).await
}

#[tokio::test]
async fn only_the_hub_is_believed() {
    let portal = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n\r\n<html>Bitte anmelden</html>";
    let redirect = "HTTP/1.1 302 x\r\nkolonne-hub: 1\r\nlocation: /v1/elsewhere\r\n\r\n";
    let endless = [
        &b"HTTP/1.1 200 x\r\nkolonne-hub: 1\r\n\r\n"[..],
        &vec![0; 3 << 20],
    ]
    .concat();
    let declared = say(200, "", &vec![0; MAX_MESSAGE_BYTES + 1]);
    let other = say(200, "", b"no cbor");
    for (said, error) in [
        (portal.to_vec(), HubError::NotTheHub),
        (redirect.into(), HubError::NotTheHub),
        (endless, HubError::NotTheHub),
        (declared, HubError::NotTheHub),
        (other, HubError::NotTheHub),
        (
            say(200, "", &[0; 90])[..100].to_vec(),
            HubError::Unreachable,
        ), // cut
    ] {
        let server = Server::new(move |_, _| said.clone()).await;
        let door = server.door();
        assert_eq!(door.hello().await, Err(error));
        // Reading ends soon after the cap.
        assert!(door.meter().received_bytes() < 5 << 19);
        assert_eq!(server.count("GET /v1/elsewhere"), 0);
    }
    let mut silent = Server::new(|_, _| vec![]).await;
    silent.patience.message = SHORT;
    assert_eq!(silent.door().hello().await, Err(HubError::Unreachable));
    let nobody = HttpDoor::new("http://127.0.0.1:9", &Trust::System).unwrap();
    assert_eq!(nobody.hello().await, Err(HubError::Unreachable));
}

#[tokio::test]
async fn a_connection_that_ended_costs_one_more_try() {
    let cut_off = || b"H".to_vec();
    let server = Server::new(move |n, _| match n {
        1 => cut_off(),
        _ => say(200, "", &encode(&hello(HUB_KEY))),
    });
    let server = server.await;
    let door = HttpDoor::new(&server.url, &Trust::System).unwrap();
    assert_eq!(door.hello().await.unwrap().key, HUB_KEY);
    // Whoever always hangs up isn't asked for ever.
    let server = Server::new(move |_, _| cut_off()).await;
    let door = HttpDoor::new(&server.url, &Trust::System).unwrap();
    assert_eq!(door.hello().await.unwrap_err(), HubError::Unreachable);
    assert_eq!(server.asked.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn refusals_keep_their_meaning() {
    use HubError::*;
    let code = encode(&RefusalCode::Seat);
    let not_now = |retry_after_ms| NotNow { retry_after_ms };
    for (status, headers, body, error) in [
        (400, "", &code[..], Refused(RefusalCode::Seat)),
        (400, "", b"?", Refused(RefusalCode::Form)),
        (401, "", b"", LoginNeeded),
        (403, "", b"", NotAllowed),
        (404, "", b"", NotThere),
        (409, "", b"", RosterMoved),
        (
            409,
            "upload-offset: 7\r\n",
            b"",
            OtherOffset { offset_bytes: 7 },
        ),
        (410, "", b"", OtherEpoch),
        (413, "", b"", TooLarge),
        (415, "", b"", Refused(RefusalCode::Form)),
        (
            429,
            "retry-after-ms: 250\r\nretry-after: 1\r\n",
            b"",
            not_now(250),
        ),
        (503, "retry-after: 2\r\n", b"", not_now(2000)),
        (
            503,
            "retry-after-ms: 18446744073709551615\r\n",
            b"",
            not_now(3_600_000),
        ),
        (500, "retry-after: soon\r\n", b"", not_now(5000)),
    ] {
        let said = say(status, headers, body);
        let server = Server::new(move |_, _| said.clone()).await;
        let founding = Founding {
            company: CompanyId([1; 16]),
            page: vec![1].into(),
        };
        assert_eq!(
            server.door().found(founding).await,
            Err(error),
            "{status} {headers}"
        );
    }
}

#[tokio::test]
async fn one_login_serves_all_and_is_renewed_once() {
    let server = Server::with_login(|logins, asked| {
        // The first token has run out; the second holds.
        let fresh = asked.has(&format!("authorization: Bearer {}", Hash32([2; 32])));
        assert!(logins <= 2);
        if fresh {
            say(200, "", &heads_answer())
        } else {
            say(401, "", b"")
        }
    })
    .await;
    let hub = server.hub();
    let (a, b, c) = tokio::join!(heads(&hub), heads(&hub), heads(&hub));
    assert!(a.is_ok() && b.is_ok() && c.is_ok());
    assert_eq!(server.count("POST /v1/login "), 2);

    let closed = Server::with_login(|_, _| say(401, "", b"")).await;
    assert_eq!(heads(&closed.hub()).await, Err(HubError::LoginNeeded));
    assert_eq!(closed.count("POST /v1/login "), 2);
    assert_eq!(closed.count("POST /v1/heads"), 2);
}

#[tokio::test]
async fn nothing_is_signed_for_another_hub() {
    let server = Server::new(|_, _| say(200, "", &encode(&hello(PublicKey([8; 32]))))).await;
    let hub = server.hub();
    // Who waits shares the failure.
    let both = tokio::join!(heads(&hub), heads(&hub));
    assert_eq!(both, (Err(HubError::OtherKey), Err(HubError::OtherKey)));
    assert_eq!(server.count("GET /v1/hello"), 1);
    assert_eq!(server.count("POST"), 0);
    // A later request tries again.
    assert_eq!(heads(&hub).await, Err(HubError::OtherKey));
    assert_eq!(server.count("GET /v1/hello"), 2);
    assert!(!format!("{:?}", hub.door().hello().await).contains("127.0.0.1"));
}

#[tokio::test]
async fn an_upload_goes_on_to_its_receipt() {
    let server = Server::with_login(|_, asked| {
        assert!(asked.has("upload-draft-interop-version: 8"));
        if asked.is("POST /v1/blobs ") {
            assert!(asked.has("upload-complete: ?0") && asked.has("upload-length: 10"));
            assert!(asked.has(&format!("kolonne-blob: {BLOB}")));
            return say(
                201,
                "location: /v1/uploads/abc\r\nupload-offset: 0\r\n",
                b"",
            );
        }
        if asked.is("HEAD /v1/uploads/abc ") {
            return say(
                204,
                "upload-offset: 4\r\nupload-length: 10\r\nupload-complete: ?0\r\n",
                b"",
            );
        }
        if asked.is("HEAD /v1/uploads/done ") {
            return say(
                204,
                "upload-offset: 10\r\nupload-length: 10\r\nupload-complete: ?1\r\n",
                b"",
            );
        }
        assert!(asked.is("PATCH ") && asked.has("content-type: application/partial-upload"));
        if asked.has("upload-complete: ?1") {
            return say(200, "", &encode(&receipt()));
        }
        match &asked.body[..] {
            b"0123" if asked.has("upload-offset: 0") => say(204, "upload-offset: 4\r\n", b""),
            b"far" => say(204, "upload-offset: 9999\r\n", b""),
            _ => say(409, "upload-offset: 4\r\n", b""),
        }
    })
    .await;
    let hub = server.hub();
    let new = NewUpload {
        blob: BLOB,
        sealed_bytes: 10,
        thread: ThreadId([3; 16]),
    };
    let open = |offset_bytes| {
        Ok(Upload::Open {
            name: "abc".into(),
            offset_bytes,
        })
    };
    assert_eq!(hub.create_upload(new).await, open(0));
    assert_eq!(hub.append_upload("abc", 0, b"0123".to_vec()).await, open(4));
    let other = Err(HubError::OtherOffset { offset_bytes: 4 });
    assert_eq!(hub.append_upload("abc", 2, b"23".to_vec()).await, other);
    assert_eq!(
        hub.append_upload("abc", 0, b"far".to_vec()).await,
        Err(HubError::NotTheHub)
    );
    assert_eq!(
        hub.append_upload("abc", 4, vec![0; 7]).await,
        Err(HubError::TooLarge)
    );
    assert_eq!(hub.upload("abc").await, open(4));
    let complete = Ok(Upload::Complete(receipt()));
    let before = hub.door().meter().sent_bytes();
    // Another start of the program doesn't know the length.
    assert_eq!(
        server
            .hub()
            .append_upload("abc", 4, b"456789".to_vec())
            .await,
        complete
    );
    assert_eq!(
        hub.append_upload("abc", 4, b"456789".to_vec()).await,
        complete
    );
    assert_eq!(hub.door().meter().sent_bytes() - before, 6);
    assert_eq!(server.last().body, b"456789");
    assert_eq!(hub.upload("done").await, complete);
    let form = Err(HubError::Refused(RefusalCode::Form));
    assert_eq!(hub.upload("../login").await, form);
    assert_eq!(hub.append_upload("", 0, vec![]).await, form);
}

#[tokio::test]
async fn downloads_are_pieces() {
    let server = Server::with_login(|_, asked| {
        let part = |range| format!("content-range: bytes {range}/10\r\n");
        match asked
            .head
            .lines()
            .find_map(|line| line.strip_prefix("range: bytes="))
        {
            Some("2-5") => say(206, &part("2-5"), b"2345"),
            // Ignored on the way.
            Some("0-3" | "4-5") => say(200, "", b"0123456789"),
            Some("6-9") => {
                let whole = say(206, &part("6-9"), b"6789");
                whole[..whole.len() - 2].to_vec() // cut
            }
            _ => say(206, &part("0-1"), b"01"),
        }
    })
    .await;
    let hub = server.hub();
    assert_eq!(hub.download(BLOB, 2, 4).await.unwrap(), b"2345");
    assert_eq!(hub.download(BLOB, 0, 4).await.unwrap(), b"0123");
    assert_eq!(hub.download(BLOB, 4, 2).await, Err(HubError::NotTheHub));
    assert_eq!(hub.download(BLOB, 6, 4).await.unwrap(), b"67");
    assert_eq!(hub.download(BLOB, 8, 4).await, Err(HubError::NotTheHub));
}

#[tokio::test]
async fn wake_waits_for_more_than_is_known() {
    let head = "content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n";
    let mut server = Server::with_login(move |_, asked| {
        let start = format!("HTTP/1.1 200 x\r\nkolonne-hub: 1\r\n{head}\r\n");
        let rest = match asked.head.split(' ').nth(1).unwrap() {
            "/v1/wake?after=4" => {
                "4\r\n:\n\nd\r\n8\r\nata: 3\n\n\r\n8\r\ndata: 5\n\r\n1\r\n\n\r\n\n\n"
            }
            "/v1/wake?after=9" => "2\r\n:\n\n\n", // then silence
            _ => "6\r\ndata:x\r\n1\r\n\n\r\n",
        };
        (start + rest).into_bytes()
    })
    .await;
    let hub = server.hub();
    assert_eq!(hub.wake(4).await, Ok(5));
    assert_eq!(hub.wake(10).await, Err(HubError::NotTheHub));
    server.patience.idle = SHORT;
    assert_eq!(server.hub().wake(9).await, Err(HubError::Unreachable));
}

#[test]
fn only_addresses_of_hubs_are_doors() {
    let door = |url: &str| HttpDoor::new(url, &Trust::System).map(drop);
    for good in [
        "http://127.0.0.1:1",
        "http://[::1]:1/prefix",
        "http://localhost",
    ] {
        assert_eq!(door(good), Ok(()), "{good}");
    }
    for bad in [
        "",
        "hub",
        "ftp://localhost",
        "http://hub.example",
        "http://127.0.0.1.example",
        "http://u:p@localhost",
        "http://localhost/?a",
        "http://localhost/#a",
        "data:,x",
    ] {
        assert_eq!(door(bad), Err(BadDoor::Address), "{bad}");
    }
    let trust = Trust::SystemAnd {
        pem: b"nothing".to_vec(),
    };
    assert_eq!(
        HttpDoor::new("https://hub.example", &trust).map(drop),
        Err(BadDoor::Certificate)
    );
}

/// Self-signed by the key of [7; 32] for the name "box" as `openssl req -x509` does it.
const BOX: &[u8] = b"-----BEGIN CERTIFICATE-----
MIIBMDCB46ADAgECAhR8S40LrSAkc884b9GMo7ypY3fHAjAFBgMrZXAwDjEMMAoG
A1UEAwwDYm94MB4XDTI2MTEyMjIzMTAwNFoXDTM2MTExOTIzMTAwNFowDjEMMAoG
A1UEAwwDYm94MCowBQYDK2VwAyEA6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7q
aRRG0iyjUzBRMB0GA1UdDgQWBBRMXs5AI6A0HuKs/8xNFxVKhU8C5TAfBgNVHSME
GDAWgBRMXs5AI6A0HuKs/8xNFxVKhU8C5TAPBgNVHRMBAf8EBTADAQH/MAUGAytl
cANBAChVIVjBba/nQQW2VVp2DMprUoN7ZErwdeRNfJcrHlswTpd1t6C822OpUYrY
1ixdyPvED89ArKTAMTWHGFPx2g0=
-----END CERTIFICATE-----
";

/// Answers one greeting over TLS.
fn serve_box() -> String {
    let certificate = CertificateDer::from_pem_slice(BOX).unwrap();
    let key = [
        &b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20"[..],
        &[7; 32],
    ];
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.concat()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut line, _) = listener.accept().unwrap();
        let mut tls = rustls::ServerConnection::new(Arc::new(config)).unwrap();
        let mut stream = rustls::Stream::new(&mut tls, &mut line);
        if stream.read(&mut [0; 4096]).is_ok() {
            stream
                .write_all(&say(200, "", &encode(&hello(HUB_KEY))))
                .unwrap();
        }
    });
    url
}

#[tokio::test]
async fn a_firms_own_box_is_known_by_its_certificate() {
    let trust = Trust::SystemAnd { pem: BOX.to_vec() };
    let door = HttpDoor::new(&serve_box(), &trust).unwrap();
    assert_eq!(door.hello().await, Ok(hello(HUB_KEY)));
    // Nobody else vouches for it; a system without any authority has no door at all.
    if let Ok(door) = HttpDoor::new(&serve_box(), &Trust::System) {
        assert_eq!(door.hello().await, Err(HubError::NotTheHub));
    }
}

#[test]
fn a_field_link_of_one_kilobyte_a_second_is_waited_for() {
    for bytes in [1_000, 10_000, 100_000, MAX_MESSAGE_BYTES as u64] {
        let needed = Duration::from_millis(bytes);
        assert!(time_for(bytes) > needed, "{bytes} bytes");
    }
}
