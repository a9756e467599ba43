//! The tables, as a list of migrations: the index of the last one is the file's `user_version`.
//!
//! A step that has landed is never edited. Tables named `view_…` are written by the fold alone and
//! can be dropped and rebuilt; all others are the truth.

use rusqlite::{Connection, TransactionBehavior};

use crate::error::Error;

const MIGRATIONS: &[&str] = &[
    r"
CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;

-- Keys of this device. At rest they are covered by the database's key.
CREATE TABLE own_seats (
    seat BLOB PRIMARY KEY, place INTEGER NOT NULL, signing BLOB NOT NULL, identity BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE ring_secrets (
    ring BLOB NOT NULL, generation INTEGER NOT NULL, secret BLOB NOT NULL,
    PRIMARY KEY (ring, generation)
) STRICT, WITHOUT ROWID;
CREATE TABLE thread_keys (
    thread BLOB NOT NULL, key BLOB NOT NULL, history BLOB NOT NULL, PRIMARY KEY (thread, key)
) STRICT, WITHOUT ROWID;

-- The op log.
CREATE TABLE ops (
    arrival INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE,
    thread BLOB NOT NULL, seat BLOB NOT NULL, store BLOB NOT NULL, seq INTEGER NOT NULL,
    class INTEGER NOT NULL, lamport INTEGER NOT NULL, previous BLOB NOT NULL,
    form BLOB NOT NULL, extension BLOB
) STRICT;
CREATE INDEX ops_strand ON ops (thread, seat, store, seq);
CREATE INDEX ops_class ON ops (thread, class);
CREATE INDEX ops_previous ON ops (previous);
CREATE INDEX ops_lamport ON ops (thread, lamport);
CREATE TRIGGER ops_stay BEFORE DELETE ON ops BEGIN SELECT raise(ABORT, 'ops stay'); END;
CREATE TRIGGER ops_hold BEFORE UPDATE ON ops BEGIN SELECT raise(ABORT, 'ops stay'); END;
CREATE TABLE signatures (op BLOB PRIMARY KEY, signature BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE payloads (op BLOB PRIMARY KEY, payload BLOB NOT NULL) STRICT;
CREATE TABLE parts (hash BLOB PRIMARY KEY, op BLOB NOT NULL, bytes BLOB NOT NULL) STRICT;
-- What a person's screen made by itself, so that the same capture twice is one.
CREATE TABLE drafts (draft BLOB PRIMARY KEY, id BLOB NOT NULL) STRICT, WITHOUT ROWID;
-- Segments whose seat isn't certified here yet; bounded.
CREATE TABLE waiting (id INTEGER PRIMARY KEY, page BLOB NOT NULL) STRICT;

-- On the way out. A row leaves by a receipt only.
CREATE TABLE outbox_ops (
    arrival INTEGER PRIMARY KEY, op BLOB NOT NULL UNIQUE, thread BLOB NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0, wedged TEXT
) STRICT;
CREATE TABLE outbox_blobs (
    blob BLOB NOT NULL PRIMARY KEY, thread BLOB NOT NULL, lane INTEGER NOT NULL,
    queued INTEGER NOT NULL, bytes INTEGER NOT NULL, done_bytes INTEGER NOT NULL DEFAULT 0,
    upload TEXT, attempts INTEGER NOT NULL DEFAULT 0, retry_at_ms INTEGER NOT NULL DEFAULT 0,
    wedged TEXT
) STRICT, WITHOUT ROWID;
CREATE TABLE receipts (
    thread BLOB NOT NULL, seat BLOB NOT NULL, store BLOB NOT NULL, seq INTEGER NOT NULL,
    id BLOB NOT NULL, epoch BLOB NOT NULL, handle INTEGER NOT NULL, receipt BLOB NOT NULL,
    PRIMARY KEY (thread, seat, store)
) STRICT, WITHOUT ROWID;
CREATE TABLE blob_receipts (
    blob BLOB PRIMARY KEY, epoch BLOB NOT NULL, receipt BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Blobs that entries name, and whether they are here.
CREATE TABLE blobs (
    blob BLOB PRIMARY KEY, thread BLOB NOT NULL, entry BLOB NOT NULL, part INTEGER NOT NULL,
    bytes INTEGER NOT NULL, here INTEGER NOT NULL, at_hub INTEGER NOT NULL DEFAULT 0,
    wanted INTEGER NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0,
    retry_at_ms INTEGER NOT NULL DEFAULT 0, told_seen INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX blobs_entry ON blobs (entry);
CREATE INDEX blobs_missing ON blobs (part, entry) WHERE here = 0;

-- Views: written by the fold alone.
CREATE TABLE view_bodies (
    op BLOB PRIMARY KEY, thread BLOB NOT NULL, body BLOB
) STRICT, WITHOUT ROWID;
CREATE TABLE view_threads (
    thread BLOB PRIMARY KEY, kind INTEGER NOT NULL, title TEXT, status TEXT, customer TEXT,
    address TEXT, opened_by BLOB, opened_ms INTEGER NOT NULL, last_order INTEGER NOT NULL,
    last_time_ms INTEGER NOT NULL, last_entry BLOB, held INTEGER NOT NULL,
    quarantined INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE view_members (
    thread BLOB NOT NULL, ring BLOB NOT NULL, PRIMARY KEY (thread, ring)
) STRICT, WITHOUT ROWID;
CREATE TABLE view_entries (
    place INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, thread BLOB NOT NULL,
    shown_lamport INTEGER NOT NULL, seat BLOB NOT NULL, store BLOB NOT NULL,
    seq INTEGER NOT NULL, person BLOB, time_ms INTEGER NOT NULL, offset_s INTEGER,
    late INTEGER NOT NULL, kind INTEGER NOT NULL, words TEXT, edited INTEGER NOT NULL,
    retracted INTEGER NOT NULL, reason TEXT, reply_to BLOB, seen INTEGER NOT NULL,
    row_hash BLOB NOT NULL
) STRICT;
CREATE INDEX view_entries_order ON view_entries (thread, shown_lamport, seat, store, seq, id);
CREATE VIRTUAL TABLE view_search USING fts5 (
    words, content='view_entries', content_rowid='place', tokenize='unicode61 remove_diacritics 2'
);
INSERT INTO view_search (view_search, rank) VALUES ('secure-delete', 1);
CREATE TRIGGER view_entries_add AFTER INSERT ON view_entries BEGIN
    INSERT INTO view_search (rowid, words) VALUES (new.place, new.words);
END;
CREATE TRIGGER view_entries_drop AFTER DELETE ON view_entries BEGIN
    INSERT INTO view_search (view_search, rowid, words) VALUES ('delete', old.place, old.words);
END;
CREATE TABLE view_names (subject BLOB PRIMARY KEY, name TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE view_read (
    thread BLOB NOT NULL, person BLOB NOT NULL, seat BLOB NOT NULL, store BLOB NOT NULL,
    seq INTEGER NOT NULL, PRIMARY KEY (thread, person, seat, store)
) STRICT, WITHOUT ROWID;
CREATE TABLE view_seen (
    thread BLOB NOT NULL, seat BLOB NOT NULL, store BLOB NOT NULL, seq INTEGER NOT NULL,
    PRIMARY KEY (thread, seat, store)
) STRICT, WITHOUT ROWID;
CREATE TABLE view_seen_blobs (
    blob BLOB PRIMARY KEY, thread BLOB NOT NULL, devices INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
",
    r"
CREATE TABLE view_quarantine (
    thread BLOB NOT NULL, seat BLOB NOT NULL, why INTEGER NOT NULL, entries INTEGER NOT NULL,
    ops INTEGER NOT NULL, first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL,
    PRIMARY KEY (thread, seat, why)
) STRICT, WITHOUT ROWID;
CREATE TABLE view_wiped (
    device BLOB PRIMARY KEY, thread BLOB NOT NULL, time_ms INTEGER NOT NULL,
    ops_lost INTEGER NOT NULL, blobs_lost INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
",
    r"
-- What is erased, since when this device knows it by its clock, and whether it is
-- destroyed here. A payload goes by an erasure only, and doesn't come back.
CREATE TABLE erasures (
    op BLOB PRIMARY KEY, thread BLOB NOT NULL, may_go INTEGER NOT NULL, known_ms INTEGER,
    destroyed INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX erasures_thread ON erasures (thread);
CREATE INDEX erasures_due ON erasures (known_ms) WHERE may_go = 1 AND destroyed = 0;
CREATE TRIGGER payloads_stay BEFORE DELETE ON payloads
WHEN NOT EXISTS (SELECT 1 FROM erasures e WHERE e.op = old.op AND e.may_go = 1)
BEGIN SELECT raise(ABORT, 'payloads stay'); END;
CREATE TRIGGER payloads_hold BEFORE UPDATE ON payloads
BEGIN SELECT raise(ABORT, 'payloads stay'); END;
CREATE TRIGGER payloads_come_once BEFORE INSERT ON payloads
WHEN EXISTS (SELECT 1 FROM erasures e WHERE e.op = new.op AND e.destroyed = 1)
BEGIN SELECT raise(IGNORE); END;
CREATE TABLE view_erasures (
    op BLOB PRIMARY KEY, thread BLOB NOT NULL, reason INTEGER NOT NULL, needs_second INTEGER NOT NULL,
    people BLOB NOT NULL, time_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX view_erasures_thread ON view_erasures (thread);
CREATE TABLE view_policies (field INTEGER PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE view_complaints (
    op BLOB PRIMARY KEY, thread BLOB NOT NULL, maker BLOB, ring BLOB NOT NULL, by BLOB NOT NULL,
    time_ms INTEGER NOT NULL, open INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE view_mending (thread BLOB PRIMARY KEY) STRICT, WITHOUT ROWID;
",
    r"
-- The hub that answers in the place of the certified one, and what it was given. Its own word:
-- no state is shown by it.
CREATE TABLE new_hub (
    one INTEGER PRIMARY KEY CHECK (one = 1), key BLOB NOT NULL, epoch BLOB NOT NULL,
    since_ms INTEGER NOT NULL, cuts_through INTEGER NOT NULL DEFAULT 0,
    ops_through INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE new_hub_blobs (blob BLOB PRIMARY KEY) STRICT, WITHOUT ROWID;
",
    r"
-- What the admission pack promises, until the first whole pull.
CREATE TABLE promised_threads (
    thread BLOB PRIMARY KEY, kind INTEGER NOT NULL, title TEXT NOT NULL, customer TEXT,
    last_time_ms INTEGER NOT NULL, last_author TEXT, last_kind INTEGER, last_text TEXT
) STRICT, WITHOUT ROWID;
CREATE TABLE promised_names (subject BLOB PRIMARY KEY, name TEXT NOT NULL) STRICT, WITHOUT ROWID;
",
    r"
-- Seats behind a PIN: their keys are here, sealed, and not in own_seats. The share is destroyed by
-- five wrong PINs; then it comes back to a key made for that. A deposit is what is yet to be told.
CREATE TABLE seat_locks (
    seat BLOB PRIMARY KEY, memory_kib INTEGER NOT NULL, passes INTEGER NOT NULL,
    lanes INTEGER NOT NULL, salt BLOB NOT NULL, sealed BLOB NOT NULL, share BLOB,
    share_hash BLOB NOT NULL, tries INTEGER NOT NULL DEFAULT 0, deposit BLOB, back BLOB,
    told INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE TABLE wanted_seats (
    seat BLOB PRIMARY KEY, instead_of BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE view_seat_locks (
    seat BLOB PRIMARY KEY, thread BLOB NOT NULL, share BLOB, locked BLOB, answer_to BLOB,
    locked_ms INTEGER, wanted BLOB
) STRICT, WITHOUT ROWID;
CREATE TABLE view_seat_answers (
    seat BLOB NOT NULL, locked BLOB NOT NULL, share BLOB NOT NULL,
    PRIMARY KEY (seat, locked, share)
) STRICT, WITHOUT ROWID;
",
    r"
-- What kind of entries are kept back, as far as they can be read here.
ALTER TABLE view_quarantine ADD COLUMN texts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE view_quarantine ADD COLUMN photos INTEGER NOT NULL DEFAULT 0;
ALTER TABLE view_quarantine ADD COLUMN voices INTEGER NOT NULL DEFAULT 0;
ALTER TABLE view_quarantine ADD COLUMN files INTEGER NOT NULL DEFAULT 0;
",
    r"
-- Ops aren't tried one by one: nobody counts.
ALTER TABLE outbox_ops DROP COLUMN attempts;
",
    r"
-- Why an entry of this device is kept back: then it is its author's alone.
ALTER TABLE view_entries ADD COLUMN kept_back INTEGER;
-- Seats whose device's data ran twice or was put back from a copy.
CREATE TABLE view_ran_twice (
    thread BLOB NOT NULL, seat BLOB NOT NULL, since_ms INTEGER NOT NULL,
    PRIMARY KEY (thread, seat)
) STRICT, WITHOUT ROWID;
",
    r"
-- Rows of views change where they are; the search hears of it when the words are others.
CREATE TRIGGER view_entries_change AFTER UPDATE OF words ON view_entries
WHEN old.words IS NOT new.words BEGIN
    INSERT INTO view_search (view_search, rowid, words) VALUES ('delete', old.place, old.words);
    INSERT INTO view_search (rowid, words) VALUES (new.place, new.words);
END;
",
    r"
-- What its author changed about an entry that counts, on this device, and that is kept back; and why.
ALTER TABLE view_entries ADD COLUMN change BLOB;
ALTER TABLE view_entries ADD COLUMN change_why INTEGER;
",
    r"
-- When a new seat was asked for in place of one, or the request was withdrawn.
ALTER TABLE view_seat_locks ADD COLUMN wanted_ms INTEGER;
",
    r"
-- Waits between tries are by the time that passes, in memory.
ALTER TABLE outbox_blobs DROP COLUMN retry_at_ms;
ALTER TABLE blobs DROP COLUMN retry_at_ms;
-- Where in the hub's sequence a receipt stands, and whether the hub told of the blob there too.
ALTER TABLE blob_receipts ADD COLUMN hub_seq INTEGER NOT NULL DEFAULT 0;
ALTER TABLE blob_receipts ADD COLUMN told INTEGER NOT NULL DEFAULT 1;
",
    r"
-- Whether the hub has shown that it holds what it signed for.
ALTER TABLE blob_receipts ADD COLUMN proven INTEGER NOT NULL DEFAULT 0;
",
    r"
ALTER TABLE view_quarantine ADD COLUMN changes INTEGER NOT NULL DEFAULT 0;
",
    r"
-- Bodies lie by thread, as the fold reads them; all threads are folded anew after this.
DROP TABLE view_bodies;
CREATE TABLE view_bodies (
    thread BLOB NOT NULL, op BLOB NOT NULL, body BLOB, PRIMARY KEY (thread, op)
) STRICT, WITHOUT ROWID;
-- Threads of which some ops wait for the fold, since more of them was to come at once.
CREATE TABLE unfolded (thread BLOB PRIMARY KEY) STRICT, WITHOUT ROWID;
",
    r"
-- Segments whose seat isn't certified here yet, by seat; bounded. What waited is asked for again.
DROP TABLE waiting;
CREATE TABLE waiting (id INTEGER PRIMARY KEY, seat BLOB NOT NULL, page BLOB NOT NULL) STRICT;
CREATE INDEX waiting_seat ON waiting (seat);
",
    r"
-- Two generations of a ring may have one number, where two branches of the roster made it.
ALTER TABLE ring_secrets RENAME TO one_secret_each;
CREATE TABLE ring_secrets (
    ring BLOB NOT NULL, generation INTEGER NOT NULL, secret BLOB NOT NULL,
    PRIMARY KEY (ring, generation, secret)
) STRICT, WITHOUT ROWID;
INSERT INTO ring_secrets SELECT ring, generation, secret FROM one_secret_each;
DROP TABLE one_secret_each;
",
    r"
-- The year, by this device's clock, in which it knew of an op that gave rings new generations.
CREATE TABLE renewals (op BLOB PRIMARY KEY, year INTEGER NOT NULL) STRICT, WITHOUT ROWID;
",
    r"
-- The ops that alarms are about, and those that the office looked into on this device.
DROP TABLE view_ran_twice;
CREATE TABLE view_signs (
    op BLOB NOT NULL, kind INTEGER NOT NULL, thread BLOB NOT NULL, seat BLOB NOT NULL,
    time_ms INTEGER NOT NULL, PRIMARY KEY (op, kind)
) STRICT, WITHOUT ROWID;
CREATE INDEX view_signs_kind ON view_signs (kind);
CREATE INDEX view_signs_thread ON view_signs (thread);
CREATE TABLE put_away (op BLOB PRIMARY KEY) STRICT, WITHOUT ROWID;
DELETE FROM meta WHERE key = 'alarms_put_away';
",
    r"
-- When an op came, by this device's clock; and by that and its own time, whichever is earlier, a
-- thread is sorted.
ALTER TABLE ops ADD COLUMN came_ms INTEGER;
ALTER TABLE view_threads RENAME COLUMN last_time_ms TO sort_ms;
",
];

/// The schema's number: views written under another one are folded anew.
pub const NEWEST: usize = MIGRATIONS.len();

/// The steps that this file lacks; refuses a newer one.
fn missing(connection: &Connection) -> Result<&'static [&'static str], Error> {
    let version: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let done = usize::try_from(version).map_err(|_| Error::UpgradeRequired)?;
    MIGRATIONS.get(done..).ok_or(Error::UpgradeRequired)
}

/// Refuses a file of a newer app, before anything is written to it.
pub fn check(connection: &Connection) -> Result<(), Error> {
    missing(connection).map(|_| ())
}

/// Brings the file to the newest schema.
pub fn migrate(connection: &mut Connection) -> Result<(), Error> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let steps = missing(&tx)?;
    if steps.is_empty() {
        return Ok(());
    }
    for step in steps {
        tx.execute_batch(step)?;
    }
    let newest = u32::try_from(MIGRATIONS.len()).map_err(|_| Error::internal("schema"))?;
    tx.pragma_update(None, "user_version", newest)?;
    tx.commit()?;
    Ok(())
}
