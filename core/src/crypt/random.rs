//! The only place that asks the operating system for randomness.
//!
//! `age` draws its file keys, nonces and ephemeral keys itself while it encrypts; everything else
//! that is random comes through here and is handed on as an argument. A simulation draws from its
//! seed instead: it says so for its own thread, and only while it steps.

use std::cell::RefCell;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::CryptError;

/// Where random bytes come from.
#[derive(Clone)]
pub struct Randomness(Source);

type Fill = dyn Fn(&mut [u8]) + Send + Sync;

#[derive(Clone)]
enum Source {
    System,
    Given(Arc<Fill>),
}

impl Randomness {
    /// The operating system's.
    #[must_use]
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// The caller's, for simulations. Whoever can guess these bytes can read everything.
    #[must_use]
    pub fn given(fill: impl Fn(&mut [u8]) + Send + Sync + 'static) -> Self {
        Self(Source::Given(Arc::new(fill)))
    }

    /// Runs work on this thread that draws from here.
    pub fn during<T>(&self, work: impl FnOnce() -> T) -> T {
        struct Before(Option<Source>);
        impl Drop for Before {
            fn drop(&mut self) {
                if let Some(before) = self.0.take() {
                    SOURCE.set(before);
                }
            }
        }
        let _before = Before(Some(SOURCE.replace(self.0.clone())));
        work()
    }
}

impl std::fmt::Debug for Randomness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Randomness")
    }
}

thread_local! {
    static SOURCE: RefCell<Source> = const { RefCell::new(Source::System) };
}

fn fill(out: &mut [u8]) -> Result<(), CryptError> {
    SOURCE.with_borrow(|source| match source {
        Source::System => getrandom::fill(out).map_err(|_| CryptError::Randomness),
        Source::Given(fill) => {
            fill(out);
            Ok(())
        }
    })
}

/// Fresh random bytes for ids, nonces and file names.
pub fn bytes<const N: usize>() -> Result<[u8; N], CryptError> {
    let mut out = [0; N];
    fill(&mut out)?;
    Ok(out)
}

/// Fresh random bytes that are wiped when dropped.
pub fn secret<const N: usize>() -> Result<Zeroizing<[u8; N]>, CryptError> {
    let mut out = Zeroizing::new([0; N]);
    fill(out.as_mut_slice())?;
    Ok(out)
}
