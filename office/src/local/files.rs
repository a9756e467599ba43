//! Files in and media out. A file is counted while it is read and refused at its limit; media go
//! out as what they were checked to be, never as something a browser would run.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use kolonne_core::Error;
use kolonne_core::capture::{About, MAX_SEALED_BYTES};
use kolonne_core::media::Limits;
use kolonne_core::records::{Media, Opened, Part};
use zeroize::Zeroizing;

use super::MAX_DOCUMENT_BYTES;
use super::Page;
use super::api::{entry_id, thread_id};
use super::problem::{Answer, Problem};
use super::shapes::{Created, FileAsk, SealAsk, draft, reply, seal_for};

/// So much of a refused file is still read, so that the browser hears why.
const MAX_DRAINED_BYTES: usize = 512 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Photo,
    Voice,
    /// Also a video: it is kept and handed on as a file.
    Document,
}

impl Kind {
    fn of(word: &str) -> Answer<Self> {
        match word {
            "photo" => Ok(Self::Photo),
            "voice" => Ok(Self::Voice),
            "document" | "video" => Ok(Self::Document),
            _ => Err(Problem::invalid("kind")),
        }
    }

    fn limit_bytes(self) -> usize {
        match self {
            Self::Photo | Self::Voice => Limits::default().input_bytes,
            Self::Document => MAX_DOCUMENT_BYTES,
        }
    }
}

/// `POST /api/threads/{id}/files`
pub async fn send(
    State(page): State<Arc<Page>>,
    Path(id): Path<String>,
    Query(ask): Query<FileAsk>,
    request: Request,
) -> Answer<Json<Created>> {
    let thread = thread_id(&id)?;
    let kind = Kind::of(&ask.kind)?;
    let about = About {
        reply_to: reply(ask.reply_to.as_deref())?,
        caption: Some(ask.caption).filter(|caption| !caption.trim().is_empty()),
        draft: Some(draft(&ask.draft_id)?),
    };
    let room = page.uploads.acquire().await;
    let room = room.map_err(|_| Problem::from(Error::Busy))?;
    let (parts, body) = request.into_parts();
    let bytes = read(&parts.headers, body, kind.limit_bytes()).await?;
    let saving = page.run(move |page| {
        let (seat, kolonne) = (page.writer(&ask.seat)?, &page.kolonne);
        Ok(match kind {
            Kind::Photo => kolonne.send_photo(&seat, &thread, &bytes, &about)?,
            Kind::Voice => kolonne.send_voice(&seat, &thread, &bytes, &about)?,
            Kind::Document => kolonne.send_document(&seat, &thread, &ask.name, &bytes, &about)?,
        })
    });
    let id = saving.await?;
    drop(room);
    Ok(Json(Created { id: id.to_string() }))
}

/// `POST /api/threads/{id}/sealed`
pub async fn seal(
    State(page): State<Arc<Page>>,
    Path(id): Path<String>,
    Query(ask): Query<SealAsk>,
    request: Request,
) -> Answer<Json<Created>> {
    let thread = thread_id(&id)?;
    let to = seal_for(&ask.sealed_for)?;
    let about = About {
        reply_to: reply(ask.reply_to.as_deref())?,
        caption: None,
        draft: Some(draft(&ask.draft_id)?),
    };
    let room = page.uploads.acquire().await;
    let room = room.map_err(|_| Problem::from(Error::Busy))?;
    let (parts, body) = request.into_parts();
    let bytes = Zeroizing::new(read(&parts.headers, body, MAX_SEALED_BYTES).await?);
    let saving = page.run(move |page| {
        let (seat, file) = (
            page.writer(&ask.seat)?,
            (ask.name.as_str(), bytes.as_slice()),
        );
        Ok(page.kolonne.seal(&seat, &thread, &to, file, &about)?)
    });
    let id = saving.await?;
    drop(room);
    Ok(Json(Created { id: id.to_string() }))
}

async fn read(headers: &HeaderMap, body: Body, limit_bytes: usize) -> Answer<Vec<u8>> {
    let declared = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    let mut bytes = Vec::new();
    let mut too_big = declared.is_some_and(|declared| declared > limit_bytes);
    let mut drained = 0usize;
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        // Broken off: nothing was taken, the page sends it again.
        let chunk = chunk.map_err(|_| Problem::from(Error::Cancelled))?;
        if !too_big && bytes.len() + chunk.len() > limit_bytes {
            too_big = true;
            bytes = Vec::new();
        }
        if too_big {
            drained += chunk.len();
            if drained > MAX_DRAINED_BYTES {
                break;
            }
        } else {
            bytes.extend_from_slice(&chunk);
        }
    }
    if too_big {
        Err(Problem::too_big())
    } else {
        Ok(bytes)
    }
}

/// `GET /media/{entry}/{part}`
pub async fn media(
    State(page): State<Arc<Page>>,
    Path((entry, part)): Path<(String, String)>,
) -> Answer<Response> {
    let entry = entry_id(&entry)?;
    if part == "sealed" {
        let opened = page.run(move |page| Ok(page.kolonne.open_sealed(&page.seat()?, &entry)?));
        return Ok(opened_answer(opened.await?));
    }
    let part = match part.as_str() {
        "thumb" => Part::Thumb,
        "picture" => Part::Picture,
        "original" => Part::Original,
        "voice" => Part::Voice,
        "document" => Part::Document,
        _ => return Err(Problem::not_found("page")),
    };
    let media = page
        .run(move |page| {
            let thread = page.kolonne.entry_thread(&entry)?;
            page.kolonne.may_see(&page.seat()?, &thread)?;
            Ok(page.kolonne.media(&entry, part)?)
        })
        .await?;
    Ok(answer(part, media))
}

/// A picture or sound as such, anything else as a file; named either way, since nothing else names
/// it.
fn opened_answer(mut opened: Opened) -> Response {
    let media = Media {
        bytes: std::mem::take(&mut *opened.bytes),
        media_type: opened.media_type,
        name: None,
    };
    let part = match media.media_type.split('/').next() {
        Some("image") => Part::Picture,
        Some("audio") => Part::Voice,
        _ => Part::Document,
    };
    let shown = part != Part::Document;
    let mut response = answer(part, media);
    let way = if shown { "inline" } else { "attachment" };
    let named = disposition(way, &opened.name);
    response
        .headers_mut()
        .insert(header::CONTENT_DISPOSITION, named);
    response
}

fn answer(part: Part, media: Media) -> Response {
    let media_type = match part {
        Part::Document => None,
        Part::Voice => Some(media.media_type).filter(|t| t.starts_with("audio/")),
        // SVG runs scripts; the core never makes one.
        _ => Some(media.media_type).filter(|t| t.starts_with("image/") && !t.contains("svg")),
    };
    let attached = media_type.is_none();
    let media_type = media_type
        .and_then(|t| HeaderValue::try_from(t).ok())
        .unwrap_or(HeaderValue::from_static("application/octet-stream"));
    let mut response = media.bytes.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, media_type);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if attached {
        let name = media.name.unwrap_or_default();
        headers.insert(
            header::CONTENT_DISPOSITION,
            disposition("attachment", &name),
        );
    }
    response
}

/// A file to be kept elsewhere, whatever it is: no browser shows it in the page's place.
pub fn handed_out(media: Media, name: &str) -> Response {
    let mut response = answer(Part::Document, media);
    let named = disposition("attachment", name);
    response
        .headers_mut()
        .insert(header::CONTENT_DISPOSITION, named);
    response
}

/// `attachment` or `inline`, with the name percent-encoded: nothing in it can end the header or the quotes.
fn disposition(way: &'static str, name: &str) -> HeaderValue {
    let mut value = String::from(way);
    if !name.is_empty() {
        value.push_str("; filename*=UTF-8''");
        for byte in name.bytes() {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_') {
                value.push(char::from(byte));
            } else {
                value.push('%');
                value.push_str(&data_encoding::HEXUPPER.encode(&[byte]));
            }
        }
    }
    HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static(way))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test]
    async fn files_are_counted_while_they_are_read() {
        let none = HeaderMap::new();
        assert_eq!(read(&none, Body::from("abc"), 3).await.unwrap(), b"abc");
        assert!(read(&none, Body::from("abcd"), 3).await.is_err());
        let mut declared = HeaderMap::new();
        declared.insert(header::CONTENT_LENGTH, HeaderValue::from_static("4"));
        assert!(read(&declared, Body::from("abcd"), 3).await.is_err());
        assert!(read(&none, Body::empty(), 3).await.unwrap().is_empty());
    }

    #[test]
    fn documents_are_attachments_whatever_they_claim() {
        let media = Media {
            bytes: b"<script>".to_vec(),
            media_type: "text/html".into(),
            name: Some("a\"\r\nb ü.html".into()),
        };
        let response = answer(Part::Document, media.clone());
        assert_eq!(
            response.headers()[header::CONTENT_TYPE],
            "application/octet-stream"
        );
        assert_eq!(
            response.headers()[header::CONTENT_DISPOSITION],
            "attachment; filename*=UTF-8''a%22%0D%0Ab%20%C3%BC.html"
        );
        let svg = Media {
            media_type: "image/svg+xml".into(),
            ..media
        };
        let response = answer(Part::Picture, svg);
        assert_eq!(
            response.headers()[header::CONTENT_TYPE],
            "application/octet-stream"
        );
    }
}
