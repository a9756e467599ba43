//! Blobs over real sockets: uploads that break, in every version of the draft, and by a client
//! that nobody here wrote.
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

use common::*;
use kolonne_hub::Tls;
use kolonne_model::cbor;
use kolonne_model::hub::*;
use kolonne_model::ids::*;
use kolonne_model::receipt::BlobReceipt;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use server::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const UPLOAD_COMPLETE: HeaderName = HeaderName::from_static("upload-complete");

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
    // Closed with something unread, it would take back what is still under way.
    let _ = socket.read_to_end(&mut Vec::new()).await;
    drop(socket);
    let offset = loop {
        let answer = server
            .request(Method::HEAD, &at, Some(&phone))
            .header("upload-draft-interop-version", "8")
            .send()
            .await
            .unwrap();
        if answer.status() == StatusCode::SERVICE_UNAVAILABLE {
            continue; // asked too often
        }
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
        .header("upload-draft-interop-version", "8")
        .send()
        .await
        .unwrap();
    assert_eq!(gone.status(), StatusCode::NOT_FOUND);
    server.stop().await;
}

/// Says what a body is, as a version of the draft says it.
fn says(request: RequestBuilder, interop: u8, last: bool) -> RequestBuilder {
    let request = request.header("upload-draft-interop-version", u16::from(interop));
    match (interop, last) {
        (3, true) => request.header("upload-incomplete", "?0"),
        (3, false) => request.header("upload-incomplete", "?1"),
        (_, true) => request.header("upload-complete", "?1"),
        (_, false) => request.header("upload-complete", "?0"),
    }
}

/// Whether an answer says that the upload is complete.
fn is_last(answer: &Response, interop: u8) -> bool {
    let headers = answer.headers();
    assert_eq!(
        headers["upload-draft-interop-version"],
        interop.to_string().as_str()
    );
    if interop == 3 {
        assert!(!headers.contains_key("upload-complete"));
        headers["upload-incomplete"] == "?0"
    } else {
        assert!(!headers.contains_key("upload-incomplete"));
        headers["upload-complete"] == "?1"
    }
}

#[tokio::test]
async fn every_version_of_the_draft_uploads() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path(), Tls::None);
    let (company, phone, thread) = settled(&server).await;
    for interop in 3..=8_u8 {
        // The careful way: created empty, then appended.
        let bytes = content(interop, 5000);
        let blob = BlobId(*blake3::hash(&bytes).as_bytes());
        let created = says(
            create(&server, &phone, &blob, &thread).header("upload-length", bytes.len()),
            interop,
            false,
        );
        let created = created.send().await.unwrap();
        assert_eq!(created.status(), StatusCode::CREATED, "version {interop}");
        assert!(!is_last(&created, interop));
        let limit = created
            .headers()
            .get("upload-limit")
            .map(|v| v.to_str().unwrap());
        match interop {
            ..6 => assert_eq!(limit, None),
            6 => assert_eq!(limit, Some("min-size=0, max-size=5000, expires=2592000")),
            _ => assert_eq!(limit, Some("min-size=0, max-size=5000, max-age=2592000")),
        }
        let at = created.headers()["location"].to_str().unwrap().to_owned();
        let append = |offset: usize, to: usize, last: bool| {
            let request = server
                .request(Method::PATCH, &at, Some(&phone))
                .header("upload-offset", offset)
                .header(
                    "content-type",
                    if interop < 6 {
                        "image/jpeg"
                    } else {
                        "application/partial-upload"
                    },
                )
                .body(bytes[offset..to].to_vec());
            says(request, interop, last).send()
        };
        let part = append(0, 2000, false).await.unwrap();
        assert_eq!(part.status(), StatusCode::NO_CONTENT, "version {interop}");
        assert!(!is_last(&part, interop));
        let head = server
            .request(Method::HEAD, &at, Some(&phone))
            .header("upload-draft-interop-version", u16::from(interop));
        let head = head.send().await.unwrap();
        assert!(!is_last(&head, interop));
        assert_eq!(head.headers()["upload-offset"], "2000");
        assert_eq!(head.headers()["upload-length"], "5000");
        // An answer that got lost: the same bytes again are refused, and told where it stands.
        let twice = append(0, 2000, false).await.unwrap();
        assert_eq!(twice.status(), StatusCode::CONFLICT);
        assert_eq!(twice.headers()["upload-offset"], "2000");
        // *The last* that isn't: the lengths contradict each other, what came is kept.
        let short = append(2000, 3000, true).await.unwrap();
        assert_eq!(short.status(), StatusCode::BAD_REQUEST);
        let done = append(3000, 5000, true).await.unwrap();
        assert!(is_last(&done, interop));
        let receipt: BlobReceipt = decoded(done).await;
        assert!(receipt.is_good(&server.key, &company.id));

        // All at once, without a word of its length.
        let bytes = content(interop, 3000);
        let blob = BlobId(*blake3::hash(&bytes).as_bytes());
        let whole = says(create(&server, &phone, &blob, &thread), interop, true);
        let whole = whole.body(bytes.clone()).send().await.unwrap();
        assert!(is_last(&whole, interop));
        assert_eq!(decoded::<BlobReceipt>(whole).await.blob, blob);

        // Unknown how long, in another version's words, or in no version: nothing is begun.
        let blob = BlobId([interop; 32]);
        let refused = [
            says(create(&server, &phone, &blob, &thread), interop, false),
            says(create(&server, &phone, &blob, &thread), interop, true).header("upload-length", 9),
            create(&server, &phone, &blob, &thread)
                .header("upload-length", 9)
                .header("upload-draft-interop-version", u16::from(interop))
                .header(
                    if interop == 3 {
                        "upload-complete"
                    } else {
                        "upload-incomplete"
                    },
                    "?0",
                ),
            says(create(&server, &phone, &blob, &thread), interop + 6, false)
                .header("upload-length", 9),
        ];
        for request in refused {
            let answer = request.body("abc").send().await.unwrap();
            assert_eq!(
                answer.status(),
                StatusCode::BAD_REQUEST,
                "version {interop}"
            );
        }
    }
    server.stop().await;
}

/// Bytes that no two uploads share.
fn content(seed: u8, length: usize) -> Vec<u8> {
    (0..length)
        .map(|i| u8::try_from((i * 7 + i / 251) % 256).unwrap() ^ seed)
        .collect()
}

fn create(server: &Server, token: &Hash32, blob: &BlobId, thread: &ThreadId) -> RequestBuilder {
    server
        .request(Method::POST, "/v1/blobs", Some(token))
        .header("kolonne-blob", blob.to_string())
        .header("kolonne-thread", thread.to_string())
}

/// A company with a job, and its phone's token.
async fn settled(server: &Server) -> (Company, Hash32, ThreadId) {
    let company = Company::new(20);
    server.settle(&company).await;
    let phone = server.login(&company, &company.phone).await;
    let ops = job(&company);
    let page = segment(&company.phone.person, &ops);
    let pushed = server.post("/v1/push", Some(&phone), &push(page)).await;
    assert_eq!(pushed.status(), StatusCode::OK);
    let thread = ops[0].context().thread;
    (company, phone, thread)
}

/// `tus-js-client` in its modes for the draft (interop versions 5 and 6), through a connection
/// that breaks again and again.
#[tokio::test]
#[ignore = "needs Node: `tests/run` runs it as a step of its own"]
async fn a_foreign_client_uploads_through_broken_connections() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path(), Tls::None);
    let (_, phone, thread) = settled(&server).await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/uploads/tus.mjs");
    for (seed, protocol) in [(1, "ietf-draft-03"), (2, "ietf-draft-05")] {
        for (seed, during) in [(seed, "careful"), (seed + 4, "at-once")] {
            let bytes = content(seed, 3_000_001);
            let blob = BlobId(*blake3::hash(&bytes).as_bytes());
            let file = dir.path().join("sealed");
            std::fs::write(&file, &bytes).unwrap();
            let ran = tokio::process::Command::new("node")
                .arg(&script)
                .args([protocol, during])
                .args([&server.base, &phone.to_string(), &blob.to_string()])
                .arg(thread.to_string())
                .arg(&file)
                .output()
                .await
                .unwrap();
            let said = String::from_utf8_lossy(&ran.stdout);
            print!("{protocol}, {during}: {said}");
            let error = String::from_utf8_lossy(&ran.stderr);
            assert!(ran.status.success(), "{protocol}, {during}: {said}{error}");
            let held = server.request(Method::GET, &format!("/v1/blobs/{blob}"), Some(&phone));
            assert_eq!(held.send().await.unwrap().bytes().await.unwrap(), bytes);
        }
    }
    server.stop().await;
}

/// Prints how long 100 MB take over loopback, as a phone sends them: megabyte by megabyte.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a figure, no test"]
async fn a_hundred_megabytes_over_loopback() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path(), Tls::None);
    let company = Company::new(20);
    server.settle(&company).await;
    let phone = server.login(&company, &company.phone).await;
    let ops = job(&company);
    let page = segment(&company.phone.person, &ops);
    server.post("/v1/push", Some(&phone), &push(page)).await;
    let bytes: Vec<u8> = (0..100_000_000u32).map(|n| n.to_le_bytes()[1]).collect();
    for slice_bytes in [1 << 20, bytes.len()] {
        let mut bytes = bytes.clone();
        bytes.extend(slice_bytes.to_le_bytes());
        let blob = BlobId(*blake3::hash(&bytes).as_bytes());
        let thread = ops[0].context().thread;
        let began = std::time::Instant::now();
        let created = upload(&server, &phone, &blob, &thread, bytes.len());
        let created = created.send().await.unwrap();
        let at = created.headers()["location"].to_str().unwrap().to_owned();
        let mut offset = 0;
        for slice in bytes.chunks(slice_bytes) {
            let is_last = offset + slice.len() == bytes.len();
            let complete = HeaderValue::from_static(if is_last { "?1" } else { "?0" });
            let complete = HeaderMap::from_iter([(UPLOAD_COMPLETE, complete)]);
            let sent = patch(&server, &phone, &at, offset, slice).headers(complete);
            assert!(sent.send().await.unwrap().status().is_success());
            offset += slice.len();
        }
        println!(
            "100 MB in slices of {slice_bytes} bytes: {:?}",
            began.elapsed()
        );
    }
    server.stop().await;
}
