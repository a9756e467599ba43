//! Blobs over HTTP: resumable uploads (draft-ietf-httpbis-resumable-upload, interop versions 3 to
//! 8 as `draft` tells them apart) and ranged downloads.
//!
//! Bodies go to disk as they come, never into memory whole; what arrived before a connection
//! broke is kept.

use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use kolonne_model::hub::{HubError, NewUpload, Upload};
use kolonne_model::ids::BlobId;
use tokio::time::Instant;

use super::draft::{Body as Piece, Dialect};
use super::turns::{Turn, Turns};
use super::{
    Answer, App, Caller, FORM, Failed, SMALL_BYTES, UPLOAD_OFFSET, message, next_chunk, number,
};
use crate::service::STALE_UPLOAD_MS;

const BLOB: HeaderName = HeaderName::from_static("kolonne-blob");
const THREAD: HeaderName = HeaderName::from_static("kolonne-thread");
/// Bytes written to disk at once, if they come within [`GATHER`]: a row is looked up and a file
/// opened each time, and frames of HTTP/2 have 16 KiB.
const WRITE_BYTES: usize = 256 * 1024;
const GATHER: Duration = Duration::from_millis(50);
/// Bytes read from disk at once.
const PIECE_BYTES: u32 = 256 * 1024;

fn hex<T: std::str::FromStr>(headers: &HeaderMap, name: &HeaderName) -> Result<T, Failed> {
    headers
        .get(name)
        .and_then(|v| v.to_str().ok()?.parse().ok())
        .ok_or(FORM)
}

/// How an upload stands, as an answer.
fn stands(dialect: Dialect, status: StatusCode, upload: &Upload) -> Response {
    let (mut response, piece, offset_bytes) = match upload {
        Upload::Complete(receipt) => (message(receipt), Piece::Last, receipt.sealed_bytes),
        Upload::Open { offset_bytes, .. } => (status.into_response(), Piece::Part, *offset_bytes),
    };
    dialect.stamp(&mut response, piece, offset_bytes);
    response
}

pub(super) async fn create(
    State(app): State<App>,
    who: Extension<Caller>,
    request: Request,
) -> Answer {
    let Caller { company, device } = who.0;
    let (parts, body) = request.into_parts();
    let headers = &parts.headers;
    let dialect = Dialect::of(headers)?;
    let piece = dialect.body(headers)?;
    let length = dialect.length(headers)?;
    let new = NewUpload {
        blob: hex(headers, &BLOB)?,
        sealed_bytes: length,
        thread: hex(headers, &THREAD)?,
    };
    let upload = app
        .run(move |hub| hub.create_upload(company, &device, &new))
        .await?;
    let Upload::Open { name, offset_bytes } = upload else {
        return Ok(stands(dialect, StatusCode::OK, &upload));
    };
    let location = format!("/v1/uploads/{name}");
    // An upload that was begun goes on where it stands; this body begins at its first byte.
    let upload = if offset_bytes == 0 {
        receive(app, who.0, name, 0, piece, body).await?
    } else {
        Upload::Open { name, offset_bytes }
    };
    let mut response = stands(dialect, StatusCode::CREATED, &upload);
    dialect.stamp_limits(&mut response, length, STALE_UPLOAD_MS / 1000);
    if let (Upload::Open { .. }, Ok(location)) = (&upload, HeaderValue::from_str(&location)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// The next bytes of a body, as many as come together, and how it ended after them; none: it goes
/// on. A failure loses none that came before it.
async fn gather(body: &mut Body, turn: &Turn) -> (Vec<u8>, Option<Result<(), Failed>>) {
    let mut bytes = Vec::new();
    let mut until = None;
    loop {
        let soon = async {
            match until {
                Some(until) => tokio::time::sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        let chunk = tokio::select! {
            biased;
            chunk = next_chunk(body) => chunk,
            () = soon => return (bytes, None),
            () = turn.give_way() => return (bytes, Some(Err(Failed(HubError::Unreachable)))),
        };
        match chunk {
            Ok(None) => return (bytes, Some(Ok(()))),
            Err(error) => return (bytes, Some(Err(error))),
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
        }
        if bytes.len() >= WRITE_BYTES {
            return (bytes, None);
        }
        until.get_or_insert_with(|| Instant::now() + GATHER);
    }
}

/// Writes a body to an upload as it comes. In a task of its own: when the connection breaks, the
/// request goes away, but what had arrived must still reach the disk.
async fn receive(
    app: App,
    who: Caller,
    name: String,
    offset_bytes: u64,
    piece: Piece,
    mut body: Body,
) -> Result<Upload, Failed> {
    let Caller { company, device } = who;
    let received = tokio::spawn(async move {
        let turn = Turns::take(&app.0.turns, &name).await;
        let mut offset = offset_bytes;
        let mut upload = None;
        let upload = loop {
            let (bytes, end) = gather(&mut body, &turn).await;
            // No bytes at all: still checks that the offset is the upload's.
            if !bytes.is_empty() || (upload.is_none() && matches!(end, Some(Ok(())))) {
                let (name, at) = (name.clone(), offset);
                offset = offset.saturating_add(bytes.len() as u64);
                upload = Some(
                    app.run(move |hub| hub.append_upload(company, &device, &name, at, &bytes))
                        .await?,
                );
            }
            match (end, upload.take()) {
                (Some(Ok(())), Some(upload)) => break upload,
                (Some(Err(error)), _) => return Err(error),
                (_, before) => upload = before,
            }
        };
        match (piece, &upload) {
            // Its last byte was to come, and didn't: the lengths contradict each other.
            (Piece::Last, Upload::Open { .. }) => Err(FORM),
            _ => Ok(upload),
        }
    });
    received.await.unwrap_or(Err(Failed(HubError::Unreachable)))
}

pub(super) async fn offset(
    State(app): State<App>,
    who: Extension<Caller>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Answer {
    let dialect = Dialect::of(&headers)?;
    let Caller { company, device } = who.0;
    // Only whose upload it is takes the turn from another connection.
    let stands_at = |name: String| app.run(move |hub| hub.upload(company, &device, &name));
    stands_at(name.clone()).await?;
    let turn = Turns::take(&app.0.turns, &name).await;
    let (upload, length) = stands_at(name).await?;
    drop(turn);
    let mut response = stands(dialect, StatusCode::NO_CONTENT, &upload);
    dialect.stamp_limits(&mut response, length, STALE_UPLOAD_MS / 1000);
    *response.status_mut() = StatusCode::NO_CONTENT;
    *response.body_mut() = Body::empty();
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_TYPE);
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

pub(super) async fn append(
    State(app): State<App>,
    who: Extension<Caller>,
    Path(name): Path<String>,
    request: Request,
) -> Answer {
    let (parts, body) = request.into_parts();
    let dialect = Dialect::of(&parts.headers)?;
    dialect.check_append(&parts.headers)?;
    let piece = dialect.body(&parts.headers)?;
    let at = number(&parts.headers, &UPLOAD_OFFSET)?.ok_or(FORM)?;
    let Caller { company, device } = who.0;
    let own = name.clone();
    app.run(move |hub| hub.upload(company, &device, &own))
        .await?;
    let upload = receive(app, who.0, name, at, piece, body).await?;
    Ok(stands(dialect, StatusCode::NO_CONTENT, &upload))
}

pub(super) async fn cancel(
    State(app): State<App>,
    who: Extension<Caller>,
    Path(name): Path<String>,
) -> Answer {
    let Caller { company, device } = who.0;
    app.run(move |hub| hub.cancel_upload(company, &device, &name))
        .await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(super) async fn prove(
    State(app): State<App>,
    who: Extension<Caller>,
    request: Request,
) -> Answer {
    let Caller { company, device } = who.0;
    app.answer(request, SMALL_BYTES, move |hub, challenge| {
        hub.prove_blob(company, &device, &challenge)
    })
    .await
}

/// The one range a request asks for, as first byte and length; none: all of it.
fn range(headers: &HeaderMap, length: u64) -> Result<Option<(u64, u64)>, ()> {
    let Some(value) = headers.get(header::RANGE).and_then(|v| v.to_str().ok()) else {
        return Ok(None);
    };
    // Other units and several ranges may be ignored (RFC 9110 §14.2).
    let Some((from, to)) = value.strip_prefix("bytes=").and_then(|v| v.split_once('-')) else {
        return Ok(None);
    };
    let (first, last) = match (from.parse::<u64>(), to.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => (first, last),
        (Ok(first), Err(_)) if to.is_empty() => (first, u64::MAX),
        (Err(_), Ok(tail)) if from.is_empty() => (length.saturating_sub(tail), u64::MAX),
        _ => return Ok(None),
    };
    let end = last.saturating_add(1).min(length);
    if first >= end {
        Err(())
    } else {
        Ok(Some((first, end - first)))
    }
}

pub(super) async fn download(
    State(app): State<App>,
    who: Extension<Caller>,
    Path(blob): Path<String>,
    headers: HeaderMap,
) -> Answer {
    let Caller { company, device } = who.0;
    let blob: BlobId = blob.parse().map_err(|_| HubError::NotThere)?;
    let length = app
        .run(move |hub| hub.blob_len(company, &device, &blob))
        .await?;
    let (status, first, count) = match range(&headers, length) {
        Ok(None) => (StatusCode::OK, 0, length),
        Ok(Some((first, count))) => (StatusCode::PARTIAL_CONTENT, first, count),
        Err(()) => {
            let range = [(header::CONTENT_RANGE, format!("bytes */{length}"))];
            return Ok((StatusCode::RANGE_NOT_SATISFIABLE, range).into_response());
        }
    };
    let end = first + count;
    let pieces = stream::try_unfold((app, first), move |(app, at)| async move {
        if at >= end {
            return Ok(None);
        }
        let max = u32::try_from(end - at)
            .unwrap_or(PIECE_BYTES)
            .min(PIECE_BYTES);
        let piece = app
            .run(move |hub| hub.read_blob(&company, &blob, at, max))
            .await;
        match piece {
            Ok(piece) if !piece.is_empty() => {
                let next = at + piece.len() as u64;
                Ok(Some((piece, (app, next))))
            }
            _ => Err(std::io::Error::other("blob cannot be read")),
        }
    });
    let mut response = (status, Body::from_stream(pieces)).into_response();
    let out = response.headers_mut();
    out.insert(header::CONTENT_LENGTH, count.into());
    out.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    out.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    // A blob never changes: its name is its hash.
    out.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("private, immutable"),
    );
    if status == StatusCode::PARTIAL_CONTENT
        && let Ok(value) = HeaderValue::from_str(&format!("bytes {first}-{}/{length}", end - 1))
    {
        out.insert(header::CONTENT_RANGE, value);
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn ranges_are_read() {
        let of = |value: &str, length| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RANGE, value.parse().unwrap());
            range(&headers, length)
        };
        assert_eq!(of("bytes=0-0", 10), Ok(Some((0, 1))));
        assert_eq!(of("bytes=4-", 10), Ok(Some((4, 6))));
        assert_eq!(of("bytes=-3", 10), Ok(Some((7, 3))));
        assert_eq!(of("bytes=-30", 10), Ok(Some((0, 10))));
        assert_eq!(of("bytes=2-99", 10), Ok(Some((2, 8))));
        assert_eq!(of("bytes=10-", 10), Err(()));
        assert_eq!(of("bytes=5-4", 10), Ok(None));
        assert_eq!(of("bytes=18446744073709551615-", 10), Err(()));
        assert_eq!(of("lines=1-2", 10), Ok(None));
        assert_eq!(range(&HeaderMap::new(), 10), Ok(None));
    }
}
