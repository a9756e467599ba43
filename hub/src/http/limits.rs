//! Limits against floods: token buckets per address and per device, and a budget of memory for
//! bodies that are being read.
//!
//! Slow clients are normal here; only many requests are slowed down, never slow ones.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use axum::http::HeaderMap;
use kolonne_model::hub::HubError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::service::lock;

/// How much one caller may ask.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    /// At once.
    pub burst: u32,
    /// Again after that.
    pub per_second: u32,
}

/// Whose address counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Addresses {
    /// Whoever holds the connection.
    #[default]
    Peer,
    /// Whom a proxy on this computer names: the last address of `X-Forwarded-For`, which the proxy
    /// itself adds. Who comes from elsewhere names nobody.
    Forwarded,
}

impl Addresses {
    /// The address that a request from `peer` counts for.
    pub(super) fn of(self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        if self == Self::Peer || !peer.to_canonical().is_loopback() {
            return peer;
        }
        let last = headers.get_all("x-forwarded-for").iter().next_back();
        last.and_then(|value| value.to_str().ok()?.rsplit(',').next()?.trim().parse().ok())
            .unwrap_or(peer)
    }
}

/// What floods run into.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Whose address counts for the next two.
    pub addresses: Addresses,
    /// Connections at once.
    pub connections: usize,
    /// Requests of an address (an IPv6 /64 counts as one); many phones can share one.
    pub address: Rate,
    /// Requests of an address before a login: foundings, logins, enrolment messages.
    pub stranger: Rate,
    /// Requests of a device.
    pub device: Rate,
    /// Bytes of request bodies in memory at once.
    pub body_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            addresses: Addresses::default(),
            connections: 4096,
            address: Rate {
                burst: 4000,
                per_second: 400,
            },
            stranger: Rate {
                burst: 120,
                per_second: 4,
            },
            device: Rate {
                burst: 600,
                per_second: 60,
            },
            body_bytes: 128 << 20,
        }
    }
}

/// Callers remembered before the calm ones are forgotten.
const MAX_CALLERS: usize = 20_000;

/// Token buckets.
#[derive(Debug)]
pub(super) struct Buckets<K> {
    rate: Rate,
    // Thousandths of a token, and when they were counted, ms.
    callers: Mutex<HashMap<K, (u64, u64)>>,
}

impl<K: Eq + Hash> Buckets<K> {
    pub(super) fn new(rate: Rate) -> Self {
        Self {
            rate,
            callers: Mutex::default(),
        }
    }

    /// Takes a token, or says when there is one.
    pub(super) fn take(&self, caller: K, now_ms: u64) -> Result<(), HubError> {
        let full = u64::from(self.rate.burst) * 1000;
        let per_ms = u64::from(self.rate.per_second);
        let filled = |(tokens, at_ms): (u64, u64)| {
            let gained = now_ms.saturating_sub(at_ms).saturating_mul(per_ms);
            tokens.saturating_add(gained).min(full)
        };
        let mut callers = lock(&self.callers);
        if callers.len() >= MAX_CALLERS && !callers.contains_key(&caller) {
            callers.retain(|_, state| filled(*state) < full);
            if callers.len() >= MAX_CALLERS {
                return Err(HubError::NotNow {
                    retry_after_ms: 1000,
                });
            }
        }
        let state = callers.entry(caller).or_insert((full, now_ms));
        *state = (filled(*state), now_ms);
        let Some(left) = state.0.checked_sub(1000) else {
            let missing = 1000 - state.0;
            return Err(HubError::NotNow {
                retry_after_ms: missing.div_ceil(per_ms.max(1)),
            });
        };
        state.0 = left;
        Ok(())
    }
}

/// An address as it counts: a household's IPv6 /64 is one.
pub(super) fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & !u128::from(u64::MAX)).into()),
    }
}

/// Memory for bodies.
#[derive(Debug, Clone)]
pub(super) struct Budget(Arc<Semaphore>);

impl Budget {
    pub(super) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes / 1024)))
    }

    /// Room for a body, given back when the permit goes.
    pub(super) fn room(&self, bytes: usize) -> Result<OwnedSemaphorePermit, HubError> {
        let permits = u32::try_from(bytes.div_ceil(1024)).map_err(|_| HubError::TooLarge)?;
        self.0
            .clone()
            .try_acquire_many_owned(permits)
            .map_err(|_| HubError::NotNow {
                retry_after_ms: 1000,
            })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_bucket_empties_and_fills() {
        let buckets = Buckets::new(Rate {
            burst: 2,
            per_second: 1,
        });
        assert_eq!(buckets.take(1, 0), Ok(()));
        assert_eq!(buckets.take(1, 0), Ok(()));
        assert_eq!(
            buckets.take(1, 0),
            Err(HubError::NotNow {
                retry_after_ms: 1000
            })
        );
        assert_eq!(buckets.take(2, 0), Ok(()));
        assert_eq!(
            buckets.take(1, 400),
            Err(HubError::NotNow {
                retry_after_ms: 600
            })
        );
        assert_eq!(buckets.take(1, 1000), Ok(()));
    }

    #[test]
    fn a_household_counts_once() {
        let a = counted("2001:db8:1:2:3::4".parse().unwrap());
        assert_eq!(a, counted("2001:db8:1:2:ffff::1".parse().unwrap()));
        assert_eq!(
            counted("::ffff:10.0.0.1".parse().unwrap()),
            "10.0.0.1".parse::<IpAddr>().unwrap()
        );
    }
}
