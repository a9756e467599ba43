//! The clock of the demo's devices: the machine's, but what a thread writes inside [`at`] happened
//! then. Who clicks on a page meanwhile writes at the real time.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use kolonne_core::Clock;

thread_local! {
    static THEN_MS: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Now, in ms since 1970.
pub fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The demo's clock.
pub fn clock() -> Clock {
    Arc::new(|| THEN_MS.get().unwrap_or_else(now_ms))
}

/// Does something on this thread as if it were then.
pub fn at<T>(then_ms: u64, what: impl FnOnce() -> T) -> T {
    struct Back(Option<u64>);
    impl Drop for Back {
        fn drop(&mut self) {
            THEN_MS.set(self.0);
        }
    }
    let _back = Back(THEN_MS.replace(Some(then_ms)));
    what()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_thread_inside_is_in_the_past() {
        let clock = clock();
        let other = Arc::clone(&clock);
        let seen = at(5, || (clock(), std::thread::spawn(move || other()).join()));
        assert_eq!(seen.0, 5);
        assert!(matches!(seen.1, Ok(now) if now > 1_000_000));
        assert!(clock() > 1_000_000);
    }
}
