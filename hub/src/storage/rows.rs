//! Reading and running statements: small helpers over `rusqlite`.
//!
//! A value that isn't as it was written is an error, never a default.

use kolonne_model::ids::CompanyId;
use rusqlite::{Connection, OptionalExtension, Row};

use super::{Company, Stored};

pub(super) fn id<T: for<'a> TryFrom<&'a [u8]>>(
    row: &Row<'_>,
    column: usize,
) -> rusqlite::Result<T> {
    let damaged =
        || rusqlite::Error::InvalidColumnType(column, "id".into(), rusqlite::types::Type::Blob);
    T::try_from(row.get_ref(column)?.as_blob().map_err(|_| damaged())?).map_err(|_| damaged())
}

pub(super) fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(i64::cast_unsigned)
}

pub(super) fn small(row: &Row<'_>, column: usize) -> rusqlite::Result<u32> {
    row.get(column)
}

pub(super) fn all<T>(
    connection: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Stored<Vec<T>> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params, read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn one<T>(
    connection: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> Stored<Option<T>> {
    Ok(connection
        .prepare_cached(sql)?
        .query_row(params, read)
        .optional()?)
}

pub(super) fn run(
    connection: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
) -> Stored<usize> {
    Ok(connection.prepare_cached(sql)?.execute(params)?)
}

pub(super) fn company_of(connection: &Connection, company: &CompanyId) -> Stored<Option<Company>> {
    one(
        connection,
        "SELECT c, seq, roster, bytes FROM companies WHERE id = ?1",
        [&company.0],
        |row| {
            Ok(Company {
                row: row.get(0)?,
                hub_seq: number(row, 1)?,
                roster_len: small(row, 2)?,
                stored_bytes: number(row, 3)?,
            })
        },
    )
}
