//! The embedded face's tables, as a list of migrations: the index is `user_version`.
//!
//! A migration that was released is never changed; a file with more of them is refused.

use rusqlite::{Connection, TransactionBehavior};

use super::{StorageError, Stored};

const MIGRATIONS: &[&str] = &[
    "
CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE companies (
    c INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
    seq INTEGER NOT NULL DEFAULT 0,
    roster INTEGER NOT NULL DEFAULT 0,
    handles INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE strands (
    c INTEGER NOT NULL, handle INTEGER NOT NULL,
    thread BLOB NOT NULL, seat BLOB NOT NULL, store BLOB NOT NULL,
    forked INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (c, handle), UNIQUE (c, thread, seat, store)
) STRICT, WITHOUT ROWID;
CREATE INDEX strands_by_seat ON strands (c, seat);
-- hub_seq is null for bare forms: links that only prove what comes before them.
CREATE TABLE ops (
    n INTEGER PRIMARY KEY,
    c INTEGER NOT NULL, id BLOB NOT NULL CHECK (length(id) = 32),
    handle INTEGER NOT NULL, seq INTEGER NOT NULL, previous BLOB NOT NULL,
    class INTEGER NOT NULL, thread BLOB NOT NULL,
    form BLOB NOT NULL CHECK (length(form) = 230), extension BLOB,
    signature BLOB CHECK (length(signature) = 64),
    hub_seq INTEGER, received_ms INTEGER NOT NULL,
    UNIQUE (c, id)
) STRICT;
CREATE INDEX ops_by_place ON ops (c, handle, seq);
CREATE INDEX ops_by_previous ON ops (c, previous) WHERE seq > 1;
CREATE INDEX ops_by_thread ON ops (c, thread, hub_seq);
CREATE INDEX ops_control ON ops (c, thread) WHERE class = 2;
CREATE INDEX ops_roster ON ops (c, seq) WHERE class = 3;
CREATE TRIGGER forms_never_change BEFORE UPDATE ON ops
WHEN new.n IS NOT old.n OR new.c IS NOT old.c OR new.id IS NOT old.id
  OR new.handle IS NOT old.handle OR new.seq IS NOT old.seq OR new.previous IS NOT old.previous
  OR new.class IS NOT old.class OR new.thread IS NOT old.thread OR new.form IS NOT old.form
  OR new.extension IS NOT old.extension
  OR (old.signature IS NOT NULL AND new.signature IS NOT old.signature)
  OR (old.hub_seq IS NOT NULL AND new.hub_seq IS NOT old.hub_seq)
BEGIN SELECT RAISE(ABORT, 'signed forms never change'); END;
CREATE TRIGGER forms_never_go BEFORE DELETE ON ops
BEGIN SELECT RAISE(ABORT, 'signed forms never go'); END;
CREATE TABLE payloads (op INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
CREATE TABLE heads (
    c INTEGER NOT NULL, thread BLOB NOT NULL, op BLOB NOT NULL,
    handle INTEGER NOT NULL, seq INTEGER NOT NULL,
    PRIMARY KEY (c, thread, op)
) STRICT, WITHOUT ROWID;
CREATE TABLE threads (
    c INTEGER NOT NULL, thread BLOB NOT NULL,
    first_seq INTEGER NOT NULL, control_seq INTEGER NOT NULL, sum BLOB NOT NULL,
    PRIMARY KEY (c, thread)
) STRICT, WITHOUT ROWID;
CREATE TABLE parts (
    n INTEGER PRIMARY KEY, op INTEGER NOT NULL, hash BLOB NOT NULL, bytes BLOB NOT NULL,
    UNIQUE (op, hash)
) STRICT;
CREATE TABLE blobs (
    n INTEGER PRIMARY KEY,
    c INTEGER NOT NULL, blob BLOB NOT NULL CHECK (length(blob) = 32), thread BLOB NOT NULL,
    device BLOB NOT NULL, sealed_bytes INTEGER NOT NULL,
    hub_seq INTEGER NOT NULL, time_ms INTEGER NOT NULL,
    UNIQUE (c, blob, thread)
) STRICT;
CREATE INDEX blobs_by_thread ON blobs (c, thread);
CREATE INDEX blobs_by_device ON blobs (c, device, time_ms);
-- The company's sequence. kind: 1 data, 2 control, 3 roster op; 4 part; 5 blob. ref: its row.
CREATE TABLE log (
    c INTEGER NOT NULL, seq INTEGER NOT NULL, kind INTEGER NOT NULL, thread BLOB NOT NULL,
    ref INTEGER NOT NULL, bytes INTEGER NOT NULL,
    PRIMARY KEY (c, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE uploads (
    name TEXT PRIMARY KEY, company BLOB NOT NULL, device BLOB NOT NULL, blob BLOB NOT NULL,
    thread BLOB NOT NULL, sealed_bytes INTEGER NOT NULL, begun_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX uploads_by_device ON uploads (company, device);
CREATE TABLE sessions (
    token_hash BLOB PRIMARY KEY, company BLOB NOT NULL, device BLOB NOT NULL,
    until_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_by_device ON sessions (company, device, until_ms);
",
    "
-- What is erased and may be destroyed: ops (kind 1) and blobs (kind 2), each with the time for it.
CREATE TABLE erasures (
    c INTEGER NOT NULL, thread BLOB NOT NULL, kind INTEGER NOT NULL, target BLOB NOT NULL,
    due_ms INTEGER NOT NULL, done INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (c, thread, kind, target)
) STRICT, WITHOUT ROWID;
CREATE INDEX erasures_due ON erasures (due_ms) WHERE done = 0;
ALTER TABLE blobs ADD COLUMN gone INTEGER NOT NULL DEFAULT 0;
CREATE TRIGGER payloads_stay BEFORE DELETE ON payloads
WHEN NOT EXISTS (SELECT 1 FROM ops o JOIN erasures e
    ON e.c = o.c AND e.thread = o.thread AND e.kind = 1 AND e.target = o.id WHERE o.n = old.op)
BEGIN SELECT RAISE(ABORT, 'payloads go by an erasure only'); END;
",
    "
-- A company's own life, once it was put back; until then it is the hub's.
ALTER TABLE companies ADD COLUMN epoch BLOB;
-- Roster ops that devices knew and this database did not: each is a sign once.
CREATE TABLE signs_of_restore (c INTEGER NOT NULL, op BLOB NOT NULL, PRIMARY KEY (c, op))
STRICT, WITHOUT ROWID;
-- By which recovery kit a company is found: the id that a company founded by it would have.
CREATE TABLE roots (id BLOB PRIMARY KEY, company BLOB NOT NULL) STRICT, WITHOUT ROWID;
",
    "
-- Whose sign it was and when it was shown: one author makes everybody begin anew a few times a day.
ALTER TABLE signs_of_restore ADD COLUMN author BLOB;
ALTER TABLE signs_of_restore ADD COLUMN at_ms INTEGER NOT NULL DEFAULT 0;
",
    "
-- Asked with every push: whose control ops are new.
CREATE INDEX threads_by_control ON threads (c, control_seq);
",
];

/// Brings a database to the newest schema; a newer one stays untouched.
pub(super) fn migrate(connection: &mut Connection) -> Stored<()> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let done = usize::try_from(version).map_err(|_| StorageError::Damaged)?;
    if done > MIGRATIONS.len() {
        return Err(StorageError::Newer);
    }
    for (index, sql) in MIGRATIONS.iter().enumerate().skip(done) {
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        tx.execute_batch(sql)?;
        tx.pragma_update(
            None,
            "user_version",
            i64::try_from(index + 1).unwrap_or(i64::MAX),
        )?;
        tx.commit()?;
    }
    Ok(())
}
