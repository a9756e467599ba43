//! Where work runs that may take a while: files, the database, keys. Never on a thread that others
//! wait on, and nowhere else than where the caller is if the caller says that it may block.

use std::cell::Cell;
use std::sync::Arc;

use crate::error::Error;
use crate::kolonne::Inner;

thread_local! {
    static MAY_BLOCK: Cell<bool> = const { Cell::new(false) };
}

/// This thread may block while `work` runs: what it awaits of [`blocking`] runs right here, in order.
pub fn on_this_thread<T>(work: impl FnOnce() -> T) -> T {
    struct Before(bool);
    impl Drop for Before {
        fn drop(&mut self) {
            MAY_BLOCK.set(self.0);
        }
    }
    let _before = Before(MAY_BLOCK.replace(true));
    work()
}

/// Runs blocking work off the async threads.
pub(crate) async fn blocking<T: Send + 'static>(
    inner: &Arc<Inner>,
    work: impl FnOnce(&Inner) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    if MAY_BLOCK.get() {
        return work(inner);
    }
    let inner = Arc::clone(inner);
    tokio::task::spawn_blocking(move || work(&inner))
        .await
        .map_err(|_| Error::internal("task"))?
}
