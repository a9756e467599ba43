//! What the company's own thread says of everyone: names and policies.
//!
//! These views hold what counts now and nothing else: each fold of that thread writes them whole.

use kolonne_model::body::field;
use kolonne_model::fold::ThreadView;
use kolonne_model::ids::ThreadId;
use rusqlite::{Connection, Transaction, params};

use crate::error::Error;
use crate::founding::company_thread;
use crate::line;

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
