//! A few connections that read. One costs as much to open as many reads, so they are kept; who finds
//! none waits for one, which is soon, since no read waits for anything.

use std::sync::{Condvar, Mutex, PoisonError};

use rusqlite::Connection;

use super::lock;
use crate::storage::Stored;

const MAX_READERS: usize = 8;

#[derive(Default)]
struct Pool {
    idle: Vec<Connection>,
    /// Open ones, idle or not.
    count: usize,
}

#[derive(Default)]
pub(super) struct Readers {
    pool: Mutex<Pool>,
    came_back: Condvar,
}

impl Readers {
    /// Reads with one that nobody else has.
    pub(super) fn read<T>(
        &self,
        open: impl FnOnce() -> Stored<Connection>,
        with: impl FnOnce(&Connection) -> Stored<T>,
    ) -> Stored<T> {
        let mut place = self.place();
        let connection = match place.connection.take() {
            Some(connection) => connection,
            None => open()?,
        };
        let read = with(&connection);
        place.connection = Some(connection);
        read
    }

    fn place(&self) -> Place<'_> {
        let is_full = |pool: &mut Pool| pool.idle.is_empty() && pool.count >= MAX_READERS;
        let mut pool = self
            .came_back
            .wait_while(lock(&self.pool), is_full)
            .unwrap_or_else(PoisonError::into_inner);
        let connection = pool.idle.pop();
        if connection.is_none() {
            pool.count += 1;
        }
        Place {
            from: self,
            connection,
        }
    }
}

/// Room for one connection, and it.
struct Place<'a> {
    from: &'a Readers,
    connection: Option<Connection>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut pool = lock(&self.from.pool);
        match self.connection.take() {
            Some(connection) => pool.idle.push(connection),
            None => pool.count -= 1,
        }
        drop(pool);
        self.from.came_back.notify_one();
    }
}
