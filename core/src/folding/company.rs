//! What the company's own thread says of everyone: names and policies.
//!
//! These views hold what counts now and nothing else: each fold of that thread writes them whole.

use kolonne_model::body::field;
use kolonne_model::fold::ThreadView;
use kolonne_model::ids::ThreadId;
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use crate::error::Error;
use crate::kolonne::thread_id;
use crate::line;
use crate::store::get_meta;

/// Which thread the admission pack named as the company's own.
pub(crate) const NAMED_COMPANY_THREAD: &str = "company_thread";

/// The company's own thread, where names are: of several the one that the admission pack named, or that
/// was here first. Any later one is by a founder's seat that somebody else has now, and dated as they
/// like.
pub(crate) fn company_thread(db: &Connection) -> Result<ThreadId, Error> {
    let named = get_meta(db, NAMED_COMPANY_THREAD)?;
    let thread: Vec<u8> = db
        .prepare_cached(
            "SELECT thread FROM view_threads v WHERE kind = 1
             ORDER BY thread IS NOT ?1, (SELECT min(o.arrival) FROM ops o WHERE o.thread = v.thread)
             LIMIT 1",
        )?
        .query_row([named], |row| row.get(0))
        .optional()?
        .ok_or(Error::NotFound { kind: "thread" })?;
    thread_id(&thread)
}

/// Whether a thread is the company's own; of several the one that was here first.
pub fn is_companys_thread(db: &Connection, thread: &ThreadId) -> Result<bool, Error> {
    match company_thread(db) {
        Ok(own) => Ok(own == *thread),
        Err(Error::NotFound { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Writes them.
pub fn write(tx: &Transaction<'_>, view: &ThreadView) -> Result<(), Error> {
    tx.execute("DELETE FROM view_names", [])?;
    tx.execute("DELETE FROM view_policies", [])?;
    for ((code, subject), field) in &view.fields {
        match (*code, &field.value) {
            (field::ERASE_DAYS | field::AUTO_LOCK, Some(value)) => tx
                .prepare_cached(
                    "INSERT OR REPLACE INTO view_policies (field, value) VALUES (?1, ?2)",
                )?
                .execute(params![code, value])?,
            (field::NAME, value) => tx
                .prepare_cached("INSERT INTO view_names (subject, name) VALUES (?1, ?2)")?
                .execute(params![
                    subject,
                    line::shown(value.as_deref().unwrap_or_default())
                ])?,
            _ => 0,
        };
    }
    Ok(())
}
