//! Time and randomness, handed in so that tests own them.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

type Random = dyn Fn(&mut [u8]) + Send + Sync;

/// Where the hub takes the time and random bytes from.
#[derive(Clone)]
pub struct Env {
    now_ms: Arc<dyn Fn() -> u64 + Send + Sync>,
    random: Arc<Random>,
}

impl std::fmt::Debug for Env {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Env")
    }
}

/// The operating system can't give random bytes: nothing secret can be made.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("no random bytes from the operating system")]
pub struct NoRandomness;

impl Env {
    /// An environment of the caller's.
    pub fn new(
        now_ms: impl Fn() -> u64 + Send + Sync + 'static,
        random: impl Fn(&mut [u8]) + Send + Sync + 'static,
    ) -> Self {
        Self {
            now_ms: Arc::new(now_ms),
            random: Arc::new(random),
        }
    }

    /// The machine's clock and random bytes.
    pub fn system() -> Result<Self, NoRandomness> {
        getrandom::fill(&mut [0; 32]).map_err(|_| NoRandomness)?;
        Ok(Self::new(
            || {
                let since = SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .unwrap_or_default();
                u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
            },
            // It gave bytes at the start; a machine that stops giving them must stop here, since
            // a guessable token is worse than none.
            |bytes| {
                if getrandom::fill(bytes).is_err() {
                    std::process::abort();
                }
            },
        ))
    }

    /// The wall clock, ms since 1970.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        (self.now_ms)()
    }

    /// Random bytes.
    #[must_use]
    pub fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        (self.random)(&mut bytes);
        bytes
    }
}
