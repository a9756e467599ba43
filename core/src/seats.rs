//! The people's seats of this device: whose key signs now.
//!
//! A key leaves this module only as the author of what is written next; nothing here writes ops of
//! its own accord.

use kolonne_model::ids::SeatId;
use rusqlite::{Connection, OptionalExtension};

use crate::crypt::SigningSecret;
use crate::error::Error;
use crate::keys::secret32;
use crate::kolonne::Inner;
use crate::oplog::Author;

impl Inner {
    /// A person's seat of this device as an author. What was begun with it ends as theirs.
    ///
    /// # Errors
    /// `NotFound` (`seat`); `AuthExpired` if the seat has ended.
    #[expect(clippy::unused_self, reason = "which seats are open, the device knows")]
    pub(crate) fn author(&self, db: &Connection, seat: &SeatId) -> Result<Author, Error> {
        let signing: Vec<u8> = db
            .prepare_cached("SELECT signing FROM own_seats WHERE seat = ?1")?
            .query_row([seat.0.as_slice()], |row| row.get(0))
            .optional()?
            .ok_or(Error::NotFound { kind: "seat" })?;
        if signing.is_empty() {
            return Err(Error::AuthExpired);
        }
        Ok(Author {
            seat: *seat,
            secret: SigningSecret::from_seed(&*secret32(signing)?),
        })
    }
}
