//! Rows in one `SQLite` file: the embedded face.
//!
//! One writer, a few readers, WAL with full sync. A company's row is updated in the transaction
//! that takes sequences of it, so the order of commits is the order of sequences.

mod blobs;
mod groups;
mod readers;
mod sessions;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use kolonne_model::ids::{
    CompanyId, Hash32, Head, HubEpoch, OpId, SeatId, Signature, Strand, StrandHead, ThreadId,
};
use kolonne_model::op::{Class, Context, Op, SIGNED_FORM_BYTES, SignedForm};
use kolonne_model::strand::{VerifiedOp, VerifiedSegment};
use rusqlite::{Connection, Row, TransactionBehavior, params};

use groups::{Groups, Pushed};
use readers::Readers;

use super::append::{Append, PART};
use super::rows::{all, company_of, id, number, one, run, small};
use super::{
    Company, DueErasure, Item, Keep, Kept, LogEntry, PartToKeep, RosterKept, SignOfRestore,
    Storage, StorageError, Stored, StoredOp, ThreadOp, ThreadRow, ToDestroy, erasures, schema,
};

const OP_COLUMNS: &str = "o.hub_seq, o.form, o.extension, o.signature";

/// The database.
pub struct Sqlite {
    path: PathBuf,
    writer: Mutex<Connection>,
    readers: Readers,
    groups: Groups,
    epoch: HubEpoch,
}

impl std::fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sqlite").finish_non_exhaustive()
    }
}

fn connect(path: &Path) -> Stored<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "secure_delete", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while holding it left no transaction behind: it rolled back on unwinding.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn stored_op(row: &Row<'_>) -> rusqlite::Result<StoredOp> {
    let damaged =
        || rusqlite::Error::InvalidColumnType(1, "form".into(), rusqlite::types::Type::Blob);
    let form: [u8; SIGNED_FORM_BYTES] = row.get(1)?;
    let form = SignedForm::from_bytes(&form).ok_or_else(damaged)?;
    let signature: Option<[u8; 64]> = row.get(3)?;
    Ok(StoredOp {
        hub_seq: row.get::<_, Option<i64>>(0)?.map(i64::cast_unsigned),
        id: form.id(),
        op: Op {
            form,
            extension: row.get(2)?,
            payload: row.get(4)?,
        },
        signature: signature.map(Signature),
    })
}

fn head(row: &Row<'_>) -> rusqlite::Result<StrandHead> {
    let strand = Strand {
        thread: id(row, 0)?,
        seat: id(row, 1)?,
        store: id(row, 2)?,
    };
    Ok(StrandHead {
        strand,
        head: Head {
            seq: small(row, 3)?,
            id: id(row, 4)?,
        },
    })
}

impl Sqlite {
    /// Opens or makes the database; a new one draws its epoch from `random`.
    pub fn open(path: &Path, random: [u8; 8]) -> Stored<Self> {
        // Its own files beside it take their mode from it.
        let mut options = std::fs::OpenOptions::new();
        options.append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(path)?;
        let mut writer = connect(path)?;
        schema::migrate(&mut writer)?;
        run(
            &writer,
            "INSERT OR IGNORE INTO meta (key, value) VALUES ('epoch', ?1)",
            [random],
        )?;
        let epoch = one(
            &writer,
            "SELECT value FROM meta WHERE key = 'epoch'",
            [],
            |row| id(row, 0),
        )?
        .ok_or(StorageError::Damaged)?;
        Ok(Self {
            path: path.into(),
            writer: Mutex::new(writer),
            readers: Readers::default(),
            groups: Groups::default(),
            epoch,
        })
    }

    fn read<T>(&self, with: impl FnOnce(&Connection) -> Stored<T>) -> Stored<T> {
        let open = || {
            let connection = connect(&self.path)?;
            connection.pragma_update(None, "query_only", true)?;
            Ok(connection)
        };
        self.readers.read(open, with)
    }

    /// Reads within a company; an unknown one has nothing.
    fn within<T: Default>(
        &self,
        company: &CompanyId,
        with: impl FnOnce(&Connection, i64) -> Stored<T>,
    ) -> Stored<T> {
        self.read(|connection| match company_of(connection, company)? {
            Some(company) => with(connection, company.row),
            None => Ok(T::default()),
        })
    }
}

impl Storage for Sqlite {
    fn epoch(&self) -> HubEpoch {
        self.epoch
    }

    fn company(&self, company: &CompanyId) -> Stored<Option<Company>> {
        self.read(|connection| company_of(connection, company))
    }

    fn companies(&self) -> Stored<u64> {
        self.read(|connection| {
            let count = one(connection, "SELECT count(*) FROM companies", [], |row| {
                number(row, 0)
            });
            Ok(count?.unwrap_or_default())
        })
    }

    fn try_room(&self) -> Stored<()> {
        let writer = lock(&self.writer);
        run(
            &writer,
            "INSERT OR REPLACE INTO meta (key, value) VALUES ('room', randomblob(8192))",
            [],
        )?;
        Ok(())
    }

    fn epoch_of(&self, company: &CompanyId) -> Stored<HubEpoch> {
        let own = self.read(|connection| {
            one(
                connection,
                "SELECT epoch FROM companies WHERE id = ?1 AND epoch IS NOT NULL",
                [&company.0],
                |row| id(row, 0),
            )
        })?;
        Ok(own.unwrap_or(self.epoch))
    }

    fn begin_epoch(
        &self,
        company: &CompanyId,
        sign: &SignOfRestore,
        (most, since_ms): (u32, u64),
        random: [u8; 8],
    ) -> Stored<bool> {
        let mut writer = lock(&self.writer);
        let tx = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let is_new = run(
            &tx,
            "INSERT OR IGNORE INTO signs_of_restore (c, op, author, at_ms)
             SELECT c, ?2, ?3, ?4 FROM companies k WHERE id = ?1
                AND (SELECT count(*) FROM signs_of_restore s
                     WHERE s.c = k.c AND s.author = ?3 AND s.at_ms BETWEEN ?5 AND ?4) < ?6",
            params![
                company.0,
                sign.op.0,
                sign.author.0,
                sign.at_ms.cast_signed(),
                since_ms.cast_signed(),
                most
            ],
        )?;
        if is_new > 0 {
            run(
                &tx,
                "UPDATE companies SET epoch = ?2 WHERE id = ?1",
                params![company.0, random],
            )?;
        }
        tx.commit()?;
        Ok(is_new > 0)
    }

    fn name_by_root(&self, root: &CompanyId, company: &CompanyId) -> Stored<()> {
        let writer = lock(&self.writer);
        run(
            &writer,
            "INSERT OR REPLACE INTO roots (id, company) VALUES (?1, ?2)",
            params![root.0, company.0],
        )
        .map(drop)
    }

    fn by_root(&self, root: &CompanyId) -> Stored<Option<CompanyId>> {
        self.read(|connection| {
            one(
                connection,
                "SELECT company FROM roots WHERE id = ?1",
                [&root.0],
                |row| id(row, 0),
            )
        })
    }

    fn append_roster(
        &self,
        company: &CompanyId,
        ops: &[VerifiedOp],
        parts: &[PartToKeep<'_>],
        keep: Keep,
    ) -> Stored<RosterKept> {
        let mut writer = lock(&self.writer);
        let tx = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut append = Append::begin(&tx, company, keep)?;
        for op in ops {
            if append
                .known(&op.id())?
                .is_some_and(|known| known.counted.is_some())
            {
                continue;
            }
            let context = op.context();
            let newest: Option<OpId> = one(
                &tx,
                "SELECT id FROM ops WHERE c = ?1 AND class = 3 AND seq = ?2",
                params![append.c, append.roster_len],
                |row| id(row, 0),
            )?;
            if context.seq != append.roster_len + 1
                || context.previous != newest.unwrap_or(OpId::ZERO)
            {
                return Ok(RosterKept::Moved);
            }
            let (handle, _) = append.handle(&op.strand())?;
            append.op(op, handle)?;
            append.roster_len = context.seq;
        }
        append.parts(parts)?;
        append.finish()?;
        tx.commit()?;
        Ok(RosterKept::Appended)
    }

    fn append(
        &self,
        company: &CompanyId,
        segments: Vec<VerifiedSegment>,
        keep: Keep,
    ) -> Stored<Vec<Kept>> {
        let push = Pushed {
            company: *company,
            segments,
            keep,
        };
        self.groups.append(&self.writer, push)
    }

    fn append_parts(&self, company: &CompanyId, parts: &[PartToKeep<'_>]) -> Stored<()> {
        let mut writer = lock(&self.writer);
        let keep = Keep {
            received_ms: 0,
            quota_bytes: u64::MAX,
        };
        let tx = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut append = Append::begin(&tx, company, keep)?;
        append.parts(parts)?;
        append.finish()?;
        Ok(tx.commit()?)
    }

    fn strand(&self, company: &CompanyId, handle: u64) -> Stored<Option<Strand>> {
        self.within(company, |connection, c| {
            one(
                connection,
                "SELECT thread, seat, store FROM strands WHERE c = ?1 AND handle = ?2",
                params![c, handle.cast_signed()],
                |row| {
                    Ok(Strand {
                        thread: id(row, 0)?,
                        seat: id(row, 1)?,
                        store: id(row, 2)?,
                    })
                },
            )
        })
    }

    fn op_at(
        &self,
        company: &CompanyId,
        strand: &Strand,
        seq: u32,
    ) -> Stored<Option<(OpId, Context)>> {
        self.within(company, |connection, c| {
            let op = one(
                connection,
                &format!(
                    "SELECT {OP_COLUMNS}, NULL FROM ops o JOIN strands s USING (c, handle)
                     WHERE s.c = ?1 AND s.thread = ?2 AND s.seat = ?3 AND s.store = ?4
                       AND o.seq = ?5 AND o.hub_seq IS NOT NULL ORDER BY o.hub_seq LIMIT 1"
                ),
                params![c, strand.thread.0, strand.seat.0, strand.store.0, seq],
                stored_op,
            )?;
            Ok(op.map(|op| (op.id, op.op.form.context)))
        })
    }

    fn op(&self, company: &CompanyId, op: &OpId) -> Stored<Option<StoredOp>> {
        self.within(company, |connection, c| {
            one(
                connection,
                &format!(
                    "SELECT {OP_COLUMNS}, p.bytes FROM ops o LEFT JOIN payloads p ON p.op = o.n
                     WHERE o.c = ?1 AND o.id = ?2"
                ),
                params![c, op.0],
                stored_op,
            )
        })
    }

    fn successor(&self, company: &CompanyId, op: &OpId) -> Stored<Option<StoredOp>> {
        self.within(company, |connection, c| {
            one(
                connection,
                &format!(
                    "SELECT {OP_COLUMNS}, NULL FROM ops o
                     WHERE o.c = ?1 AND o.previous = ?2 AND o.seq > 1 AND o.class <> 3
                     ORDER BY o.n LIMIT 1"
                ),
                params![c, op.0],
                stored_op,
            )
        })
    }

    fn roster_ops(&self, company: &CompanyId, from: u32, limit: u32) -> Stored<Vec<StoredOp>> {
        self.within(company, |connection, c| {
            all(
                connection,
                &format!(
                    "SELECT {OP_COLUMNS}, p.bytes FROM ops o LEFT JOIN payloads p ON p.op = o.n
                     WHERE o.c = ?1 AND o.class = 3 AND o.seq >= ?2 ORDER BY o.seq LIMIT ?3"
                ),
                params![c, from, limit],
                stored_op,
            )
        })
    }

    fn control_chains(&self, company: &CompanyId, thread: &ThreadId) -> Stored<Vec<StoredOp>> {
        self.within(company, |connection, c| {
            all(
                connection,
                &format!(
                    "SELECT {OP_COLUMNS}, CASE o.class WHEN 2 THEN p.bytes END
                     FROM (SELECT handle, max(seq) AS last FROM ops
                           WHERE c = ?1 AND thread = ?2 AND class = 2 GROUP BY handle) k
                     JOIN ops o ON o.c = ?1 AND o.handle = k.handle AND o.seq <= k.last
                     LEFT JOIN payloads p ON p.op = o.n
                     WHERE o.hub_seq IS NOT NULL ORDER BY o.hub_seq"
                ),
                params![c, thread.0],
                stored_op,
            )
        })
    }

    fn log(&self, company: &CompanyId, after: u64, limit: u32) -> Stored<Vec<LogEntry>> {
        self.within(company, |connection, c| {
            all(
                connection,
                "SELECT l.seq, l.thread, l.bytes, l.kind, coalesce(o.id, b.blob), p.hash
                 FROM log l
                 LEFT JOIN parts p ON l.kind = 4 AND p.n = l.ref
                 LEFT JOIN ops o ON o.n = CASE WHEN l.kind <= 3 THEN l.ref ELSE p.op END
                 LEFT JOIN blobs b ON l.kind = 5 AND b.n = l.ref
                 WHERE l.c = ?1 AND l.seq > ?2 ORDER BY l.seq LIMIT ?3",
                params![c, after.cast_signed(), limit],
                |row| {
                    let item = match row.get::<_, i64>(3)? {
                        1 => Item::Op {
                            id: id(row, 4)?,
                            class: Class::Data,
                        },
                        2 => Item::Op {
                            id: id(row, 4)?,
                            class: Class::Control,
                        },
                        3 => Item::Op {
                            id: id(row, 4)?,
                            class: Class::Roster,
                        },
                        PART => Item::Part {
                            op: id(row, 4)?,
                            hash: id(row, 5)?,
                        },
                        _ => Item::Blob(id(row, 4)?),
                    };
                    let (hub_seq, thread) = (number(row, 0)?, id(row, 1)?);
                    Ok(LogEntry {
                        hub_seq,
                        thread,
                        item,
                        bytes: number(row, 2)?,
                    })
                },
            )
        })
    }

    fn thread_ops(&self, company: &CompanyId, thread: &ThreadId) -> Stored<Vec<ThreadOp>> {
        self.within(company, |connection, c| {
            all(
                connection,
                "SELECT s.thread, s.seat, s.store, o.seq, o.id, o.previous, l.bytes, o.hub_seq
                 FROM ops o JOIN strands s USING (c, handle)
                 JOIN log l ON l.c = o.c AND l.seq = o.hub_seq
                 WHERE o.c = ?1 AND o.thread = ?2 AND o.hub_seq IS NOT NULL ORDER BY o.hub_seq",
                params![c, thread.0],
                |row| {
                    Ok(ThreadOp {
                        hub_seq: number(row, 7)?,
                        at: head(row)?,
                        previous: id(row, 5)?,
                        bytes: number(row, 6)?,
                    })
                },
            )
        })
    }

    fn threads(&self, company: &CompanyId, control_after: u64) -> Stored<Vec<ThreadRow>> {
        self.within(company, |connection, c| {
            all(
                connection,
                if control_after == 0 {
                    "SELECT thread, first_seq, control_seq, sum FROM threads
                     WHERE c = ?1 AND ?2 = 0"
                } else {
                    "SELECT thread, first_seq, control_seq, sum FROM threads
                     WHERE c = ?1 AND control_seq > ?2"
                },
                params![c, control_after.cast_signed()],
                |row| {
                    Ok(ThreadRow {
                        thread: id(row, 0)?,
                        first_seq: number(row, 1)?,
                        control_seq: number(row, 2)?,
                        sum: row.get(3)?,
                    })
                },
            )
        })
    }

    fn heads(&self, company: &CompanyId, thread: &ThreadId) -> Stored<Vec<StrandHead>> {
        self.within(company, |connection, c| {
            all(
                connection,
                "SELECT s.thread, s.seat, s.store, h.seq, h.op
                 FROM heads h JOIN strands s USING (c, handle) WHERE h.c = ?1 AND h.thread = ?2",
                params![c, thread.0],
                head,
            )
        })
    }

    fn parts(&self, company: &CompanyId, op: &OpId) -> Stored<Vec<(Hash32, Vec<u8>)>> {
        self.within(company, |connection, c| {
            all(
                connection,
                "SELECT p.hash, p.bytes FROM parts p JOIN ops o ON o.n = p.op
                 WHERE o.c = ?1 AND o.id = ?2 ORDER BY p.n",
                params![c, op.0],
                |row| Ok((id(row, 0)?, row.get(1)?)),
            )
        })
    }

    fn part(&self, company: &CompanyId, op: &OpId, hash: &Hash32) -> Stored<Option<Vec<u8>>> {
        self.within(company, |connection, c| {
            one(
                connection,
                "SELECT p.bytes FROM parts p JOIN ops o ON o.n = p.op
                 WHERE o.c = ?1 AND o.id = ?2 AND p.hash = ?3",
                params![c, op.0, hash.0],
                |row| row.get(0),
            )
        })
    }

    fn seat_load(&self, company: &CompanyId, seat: &SeatId, since_ms: u64) -> Stored<(u64, u64)> {
        self.within(company, |connection, c| {
            let load = one(
                connection,
                "SELECT count(*), coalesce(sum(length(p.bytes)), 0)
                 FROM strands s JOIN ops o USING (c, handle) LEFT JOIN payloads p ON p.op = o.n
                 WHERE s.c = ?1 AND s.seat = ?2 AND o.received_ms >= ?3",
                params![c, seat.0, since_ms.cast_signed()],
                |row| Ok((number(row, 0)?, number(row, 1)?)),
            )?;
            Ok(load.unwrap_or_default())
        })
    }

    fn note_erasures(
        &self,
        company: &CompanyId,
        thread: &ThreadId,
        things: &[ToDestroy],
    ) -> Stored<()> {
        erasures::note(&mut lock(&self.writer), company, thread, things)
    }

    fn due_erasures(&self, now_ms: u64) -> Stored<Vec<DueErasure>> {
        self.read(|connection| erasures::due(connection, now_ms))
    }

    fn destroy(&self, due: &[DueErasure]) -> Stored<Vec<DueErasure>> {
        erasures::destroy(&mut lock(&self.writer), due)
    }

    fn destroyed(&self, due: &[DueErasure]) -> Stored<()> {
        erasures::done(&mut lock(&self.writer), due)
    }
}
