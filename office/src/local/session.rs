//! Who may talk to the page's routes: the browser that was given this start's token, through a
//! name of this computer, from this page. Anything else learns nothing but that it is refused.

use axum::http::{HeaderMap, header};
use data_encoding::HEXLOWER;
use kolonne_core::crypt::random;
use subtle::ConstantTimeEq;

use crate::failure::Failure;

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No token, or another start's.
    Token,
    /// A foreign name of this computer (DNS rebinding) or a foreign page.
    Origin,
}

impl Refusal {
    /// Its code in the table of texts.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Origin => "origin",
        }
    }
}

/// The secret of one start, and where the page is.
pub struct Session {
    token: String,
    hosts: [String; 2],
}

impl Session {
    /// A fresh one for a port.
    pub fn new(port: u16) -> Result<Self, Failure> {
        let secret = random::secret::<32>().map_err(|_| Failure::new("internal.random"))?;
        Ok(Self {
            token: HEXLOWER.encode(secret.as_slice()),
            hosts: [format!("127.0.0.1:{port}"), format!("localhost:{port}")],
        })
    }

    /// The address to open, with the token where no server log has it.
    pub fn url(&self) -> String {
        let [host, _] = &self.hosts;
        format!("http://{host}/#t={}", self.token)
    }

    /// Whether a request comes through a name of this computer and from this page, if it says
    /// from where.
    pub fn check_origin(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let mut hosts = headers.get_all(header::HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else {
            return Err(Refusal::Origin);
        };
        if !self
            .hosts
            .iter()
            .any(|own| own.as_bytes() == host.as_bytes())
        {
            return Err(Refusal::Origin);
        }
        for origin in headers.get_all(header::ORIGIN) {
            let origin = origin
                .as_bytes()
                .strip_prefix(b"http://")
                .ok_or(Refusal::Origin)?;
            if origin != host.as_bytes() {
                return Err(Refusal::Origin);
            }
        }
        Ok(())
    }

    /// As [`Self::check_origin`], and with the token.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        self.check_origin(headers)?;
        // Browsers say where a request comes from; only the page itself has business here.
        if headers
            .get("sec-fetch-site")
            .is_some_and(|site| site != "same-origin")
        {
            return Err(Refusal::Origin);
        }
        let given = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.as_bytes().strip_prefix(b"Bearer "))
            .ok_or(Refusal::Token)?;
        if bool::from(given.ct_eq(self.token.as_bytes())) {
            Ok(())
        } else {
            Err(Refusal::Token)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn ask(session: &Session, more: &[(&str, &str)]) -> Result<(), Refusal> {
        let mut headers = HeaderMap::new();
        for (name, value) in more {
            headers.append(
                name.parse::<HeaderName>().unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        session.check(&headers)
    }

    #[test]
    fn only_the_token_of_this_start_opens() {
        let session = Session::new(4000).unwrap();
        let good = format!("Bearer {}", session.token);
        let host = ("host", "127.0.0.1:4000");
        assert_eq!(ask(&session, &[host, ("authorization", &good)]), Ok(()));
        assert_eq!(ask(&session, &[host]), Err(Refusal::Token));
        let other = format!("Bearer {}", Session::new(4000).unwrap().token);
        for bad in [
            other.as_str(),
            "Bearer ",
            "Bearer 0",
            &session.token,
            &good[..40],
        ] {
            assert_eq!(
                ask(&session, &[host, ("authorization", bad)]),
                Err(Refusal::Token)
            );
        }
        assert!(session.url().starts_with("http://127.0.0.1:4000/#t="));
        assert_eq!(session.token.len(), 64);
    }

    #[test]
    fn foreign_names_and_pages_are_refused_before_the_token_counts() {
        let session = Session::new(4000).unwrap();
        let good = ("authorization", &*format!("Bearer {}", session.token));
        let refused = [
            vec![good],
            vec![good, ("host", "evil.example:4000")],
            vec![good, ("host", "127.0.0.1")],
            vec![good, ("host", "127.0.0.1:4001")],
            vec![good, ("host", "127.0.0.1:4000"), ("host", "evil.example")],
            vec![
                good,
                ("host", "127.0.0.1:4000"),
                ("origin", "http://evil.example"),
            ],
            vec![good, ("host", "127.0.0.1:4000"), ("origin", "null")],
            vec![
                good,
                ("host", "127.0.0.1:4000"),
                ("origin", "http://localhost:4000"),
            ],
            vec![
                good,
                ("host", "127.0.0.1:4000"),
                ("origin", "https://127.0.0.1:4000"),
            ],
            vec![
                good,
                ("host", "127.0.0.1:4000"),
                ("sec-fetch-site", "same-site"),
            ],
        ];
        for headers in refused {
            assert_eq!(ask(&session, &headers), Err(Refusal::Origin), "{headers:?}");
        }
        let fine = [
            vec![
                good,
                ("host", "localhost:4000"),
                ("origin", "http://localhost:4000"),
            ],
            vec![
                good,
                ("host", "127.0.0.1:4000"),
                ("sec-fetch-site", "same-origin"),
            ],
        ];
        for headers in fine {
            assert_eq!(ask(&session, &headers), Ok(()), "{headers:?}");
        }
    }
}
