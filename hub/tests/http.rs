//! The hub over real sockets: login, messages, uploads that break, ranges, wake-ups, TLS.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod common;
#[path = "common/server.rs"]
mod server;

use std::path::Path;
use std::sync::atomic::Ordering;

use common::*;
use ed25519_dalek::Signer;
use kolonne_hub::{Hub, HubConfig, OpenError, Tls};
use kolonne_model::cbor;
use kolonne_model::hub::*;
use kolonne_model::ids::*;
use reqwest::{Method, StatusCode};
use server::*;

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
    assert_eq!(
        head_sum(heads.heads.iter().chain(&heads.roster)),
        pulled.sum
    );
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
    // What the same device signed for another hub or company is worth nothing here.
    for (hub, of) in [(PublicKey([8; 32]), company.id), (server.key, second.id)] {
        let message = login_message(&hub, &of, &company.phone.id, &nonce);
        refused(Login {
            signature: Signature(company.phone.key.sign(&message).to_bytes()),
            ..good.clone()
        })
        .await;
    }
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
async fn behind_a_proxy_each_stranger_is_slowed_down_alone() {
    let dir = tempfile::tempdir().unwrap();
    let server = start_behind_proxy(dir.path());
    let start = LoginStart {
        company: CompanyId([1; 16]),
        device: DeviceId([1; 16]),
    };
    let asked = async |forwarded: &str| {
        let request = server.request(Method::POST, "/v1/login/start", None);
        let request = request.header("x-forwarded-for", forwarded);
        let answer = request.body(cbor::encode(&start)).send().await.unwrap();
        answer.status()
    };
    // What a caller wrote there himself stands before the proxy's word, and counts for nothing.
    let mut flood = 0;
    while asked(&format!("10.0.0.{}, 203.0.113.9", flood % 250)).await == StatusCode::OK {
        flood += 1;
        assert!(flood < 200);
    }
    assert_eq!(asked("198.51.100.7").await, StatusCode::OK);
    assert_eq!(asked("2001:db8::7").await, StatusCode::OK);
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
