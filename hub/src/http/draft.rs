//! What the drafts of resumable uploads say differently, in one table, so that one handler serves
//! interop versions 3 to 8 (draft-ietf-httpbis-resumable-upload-01 to -09 and later; their
//! appendices *Changes* and *Draft Version Identification*).
//!
//! It reads and writes headers and knows nothing of uploads. No version gets a `104` from here:
//! the HTTP library sends no interim answers of ours, so a client creates first, then appends.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::Response;

use super::{FORM, Failed, UPLOAD_OFFSET, number};

const INTEROP: HeaderName = HeaderName::from_static("upload-draft-interop-version");
const UPLOAD_COMPLETE: HeaderName = HeaderName::from_static("upload-complete");
const UPLOAD_INCOMPLETE: HeaderName = HeaderName::from_static("upload-incomplete");
const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
const UPLOAD_LIMIT: HeaderName = HeaderName::from_static("upload-limit");
const PARTIAL: &str = "application/partial-upload";

/// What a request's body is of the whole upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// It runs to the last byte.
    Last,
    /// More follows.
    Part,
}

/// How a version says whether more follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Says {
    /// `Upload-Incomplete: ?1`: more follows.
    Incomplete,
    /// `Upload-Complete: ?0`: more follows.
    Complete,
}

/// The media type of what is appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Appends {
    /// Whatever the client likes.
    Anything,
    /// `application/partial-upload` only.
    Partial,
}

/// One interop version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dialect {
    interop: u8,
    says: Says,
    appends: Appends,
    /// The name of the limit of an upload's age in `Upload-Limit`, where there is that header.
    age: Option<&'static str>,
}

const DIALECTS: [Dialect; 6] = {
    use Appends::{Anything, Partial};
    const fn row(interop: u8, says: Says, appends: Appends, age: Option<&'static str>) -> Dialect {
        Dialect {
            interop,
            says,
            appends,
            age,
        }
    }
    [
        row(3, Says::Incomplete, Anything, None),         // -01
        row(4, Says::Complete, Anything, None),           // -02
        row(5, Says::Complete, Anything, None),           // -03
        row(6, Says::Complete, Partial, Some("expires")), // -04, -05
        row(7, Says::Complete, Partial, Some("max-age")), // -06 to -08
        row(8, Says::Complete, Partial, Some("max-age")), // -09 and later
    ]
};

impl Dialect {
    /// The version that a request speaks.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Failed> {
        let interop = number(headers, &INTEROP)?.ok_or(FORM)?;
        DIALECTS
            .into_iter()
            .find(|d| u64::from(d.interop) == interop)
            .ok_or(FORM)
    }

    /// What a request's body is; it must say so.
    pub(super) fn body(self, headers: &HeaderMap) -> Result<Body, Failed> {
        let (name, last) = match self.says {
            Says::Complete => (&UPLOAD_COMPLETE, "?1"),
            Says::Incomplete => (&UPLOAD_INCOMPLETE, "?0"),
        };
        match headers.get(name).map(HeaderValue::as_bytes) {
            Some(value) if value == last.as_bytes() => Ok(Body::Last),
            Some(b"?0" | b"?1") => Ok(Body::Part),
            _ => Err(FORM),
        }
    }

    /// The length of a whole upload, which must be known when it is created: as told, or by a
    /// body that is all of it. Versions before 6 have no `Upload-Length`; their clients may send
    /// it all the same.
    pub(super) fn length(self, headers: &HeaderMap) -> Result<u64, Failed> {
        let told = number(headers, &UPLOAD_LENGTH)?;
        let whole = match self.body(headers)? {
            Body::Last => number(headers, &header::CONTENT_LENGTH)?,
            Body::Part => None,
        };
        match (told, whole) {
            (Some(told), Some(whole)) if told != whole => Err(FORM),
            (told, whole) => told.or(whole).ok_or(FORM),
        }
    }

    /// Refuses what may not be appended.
    pub(super) fn check_append(self, headers: &HeaderMap) -> Result<(), Failed> {
        let partial = headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|v| v == PARTIAL);
        if self.appends == Appends::Anything || partial {
            Ok(())
        } else {
            Err(FORM)
        }
    }

    /// Says in an answer how the upload stands.
    pub(super) fn stamp(self, response: &mut Response, body: Body, offset_bytes: u64) {
        let headers = response.headers_mut();
        let (name, value) = match (self.says, body) {
            (Says::Complete, Body::Last) => (UPLOAD_COMPLETE, "?1"),
            (Says::Complete, Body::Part) => (UPLOAD_COMPLETE, "?0"),
            (Says::Incomplete, Body::Last) => (UPLOAD_INCOMPLETE, "?0"),
            (Says::Incomplete, Body::Part) => (UPLOAD_INCOMPLETE, "?1"),
        };
        headers.insert(INTEROP, u64::from(self.interop).into());
        headers.insert(name, HeaderValue::from_static(value));
        headers.insert(UPLOAD_OFFSET, offset_bytes.into());
    }

    /// Says how long a whole upload is, and what limits it.
    pub(super) fn stamp_limits(self, response: &mut Response, length: u64, age_s: u64) {
        let headers = response.headers_mut();
        headers.insert(UPLOAD_LENGTH, length.into());
        if let Some(age) = self.age
            && let Ok(limit) =
                HeaderValue::from_str(&format!("min-size=0, max-size={length}, {age}={age_s}"))
        {
            headers.insert(UPLOAD_LIMIT, limit);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    #[test]
    fn a_request_is_read_as_its_version_means_it() {
        let old = headers(&[
            ("upload-draft-interop-version", "3"),
            ("upload-incomplete", "?0"),
            ("content-length", "7"),
        ]);
        let dialect = Dialect::of(&old).ok().unwrap();
        assert_eq!(dialect.body(&old).ok(), Some(Body::Last));
        assert_eq!(dialect.length(&old).ok(), Some(7));
        assert!(dialect.check_append(&old).is_ok());

        // The same words in another version's meaning say nothing.
        let mixed = headers(&[
            ("upload-draft-interop-version", "8"),
            ("upload-incomplete", "?0"),
        ]);
        let dialect = Dialect::of(&mixed).ok().unwrap();
        assert!(dialect.body(&mixed).is_err());
        assert!(dialect.check_append(&mixed).is_err());

        let two = headers(&[
            ("upload-draft-interop-version", "6"),
            ("upload-complete", "?1"),
            ("upload-length", "8"),
            ("content-length", "7"),
        ]);
        assert!(Dialect::of(&two).ok().unwrap().length(&two).is_err());
        for unknown in ["2", "9", "", "x", "-3", "3.0"] {
            let unknown = headers(&[("upload-draft-interop-version", unknown)]);
            assert!(Dialect::of(&unknown).is_err());
        }
        assert!(Dialect::of(&HeaderMap::new()).is_err());
    }
}
