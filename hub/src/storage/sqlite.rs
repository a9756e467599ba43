//! Rows in one `SQLite` file: the embedded face.
//!
//! One writer, a few readers, WAL with full sync. A company's row is updated in the transaction
//! that takes sequences of it, so the order of commits is the order of sequences.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use kolonne_model::ids::{
    BlobId, CompanyId, DeviceId, Hash32, Head, HubEpoch, OpId, SeatId, Signature, Strand,
    StrandHead, ThreadId,
};
use kolonne_model::op::{Class, Context, Op, SIGNED_FORM_BYTES, SignedForm};
use kolonne_model::strand::{VerifiedOp, VerifiedSegment};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};

use super::{
    BlobRow, Company, Item, Keep, Kept, LogEntry, PartToKeep, RosterKept, Session, Storage,
    StorageError, Stored, StoredOp, ThreadOp, ThreadRow, UploadRow, schema,
};

/// Bytes an op takes on the wire besides its payload, about.
const OP_OVERHEAD_BYTES: u64 = 120;
const MAX_READERS: usize = 4;
/// Logins kept per device.
const SESSIONS_PER_DEVICE: u32 = 8;
const PART: i64 = 4;
const BLOB: i64 = 5;
const OP_COLUMNS: &str = "o.hub_seq, o.form, o.extension, o.signature";

/// The database.
pub struct Sqlite {
    path: PathBuf,
    writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
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

fn id<T: for<'a> TryFrom<&'a [u8]>>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let damaged =
        || rusqlite::Error::InvalidColumnType(column, "id".into(), rusqlite::types::Type::Blob);
    T::try_from(row.get_ref(column)?.as_blob().map_err(|_| damaged())?).map_err(|_| damaged())
}

fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(i64::cast_unsigned)
}

fn small(row: &Row<'_>, column: usize) -> rusqlite::Result<u32> {
    row.get(column)
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

fn upload(row: &Row<'_>) -> rusqlite::Result<UploadRow> {
    Ok(UploadRow {
        name: row.get(0)?,
        company: id(row, 1)?,
        device: id(row, 2)?,
        blob: id(row, 3)?,
        thread: id(row, 4)?,
        sealed_bytes: number(row, 5)?,
        begun_ms: number(row, 6)?,
    })
}

fn all<T>(
    connection: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Stored<Vec<T>> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params, read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn one<T>(
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

fn run(connection: &Connection, sql: &str, params: impl rusqlite::Params) -> Stored<usize> {
    Ok(connection.prepare_cached(sql)?.execute(params)?)
}

fn company_of(connection: &Connection, company: &CompanyId) -> Stored<Option<Company>> {
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

/// A transaction on one company's rows.
struct Append<'a> {
    tx: Transaction<'a>,
    c: i64,
    seq: u64,
    bytes: u64,
    roster_len: u32,
    keep: Keep,
}

struct Known {
    n: i64,
    counted: Option<u64>,
    signed: bool,
    payload: bool,
}

impl<'a> Append<'a> {
    fn begin(writer: &'a mut Connection, company: &CompanyId, keep: Keep) -> Stored<Self> {
        let tx = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        run(
            &tx,
            "INSERT OR IGNORE INTO companies (id) VALUES (?1)",
            [&company.0],
        )?;
        let row = company_of(&tx, company)?.ok_or(StorageError::Damaged)?;
        Ok(Self {
            tx,
            c: row.row,
            seq: row.hub_seq,
            bytes: row.stored_bytes,
            roster_len: row.roster_len,
            keep,
        })
    }

    fn commit(self) -> Stored<()> {
        run(
            &self.tx,
            "UPDATE companies SET seq = ?2, bytes = ?3, roster = ?4 WHERE c = ?1",
            params![
                self.c,
                self.seq.cast_signed(),
                self.bytes.cast_signed(),
                self.roster_len
            ],
        )?;
        Ok(self.tx.commit()?)
    }

    fn take_seq(&mut self, kind: i64, thread: &ThreadId, row: i64, bytes: u64) -> Stored<u64> {
        self.seq += 1;
        run(
            &self.tx,
            "INSERT INTO log (c, seq, kind, thread, ref, bytes) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                self.c,
                self.seq.cast_signed(),
                kind,
                thread.0,
                row,
                bytes.cast_signed()
            ],
        )?;
        Ok(self.seq)
    }

    fn handle(&self, strand: &Strand) -> Stored<(i64, bool)> {
        let find = || {
            one(
                &self.tx,
                "SELECT handle, forked FROM strands WHERE c = ?1 AND thread = ?2 AND seat = ?3 AND store = ?4",
                params![self.c, strand.thread.0, strand.seat.0, strand.store.0],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
        };
        if let Some(found) = find()? {
            return Ok(found);
        }
        run(
            &self.tx,
            "UPDATE companies SET handles = handles + 1 WHERE c = ?1",
            [self.c],
        )?;
        run(
            &self.tx,
            "INSERT INTO strands (c, handle, thread, seat, store)
             SELECT c, handles, ?2, ?3, ?4 FROM companies WHERE c = ?1",
            params![self.c, strand.thread.0, strand.seat.0, strand.store.0],
        )?;
        find()?.ok_or(StorageError::Damaged)
    }

    fn known(&self, op: &OpId) -> Stored<Option<Known>> {
        one(
            &self.tx,
            "SELECT n, hub_seq, signature IS NOT NULL, EXISTS (SELECT 1 FROM payloads WHERE op = n)
             FROM ops WHERE c = ?1 AND id = ?2",
            params![self.c, op.0],
            |row| {
                Ok(Known {
                    n: row.get(0)?,
                    counted: row.get::<_, Option<i64>>(1)?.map(i64::cast_unsigned),
                    signed: row.get(2)?,
                    payload: row.get(3)?,
                })
            },
        )
    }

    /// Writes the bare form, or finds it.
    fn form(&self, op: &VerifiedOp, handle: i64) -> Stored<Known> {
        if let Some(known) = self.known(&op.id())? {
            if let (false, Some(signature)) = (known.signed, op.signature()) {
                run(
                    &self.tx,
                    "UPDATE ops SET signature = ?2 WHERE n = ?1",
                    params![known.n, signature.0],
                )?;
            }
            return Ok(known);
        }
        let context = op.context();
        run(
            &self.tx,
            "INSERT INTO ops (c, id, handle, seq, previous, class, thread, form, extension, signature, received_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            params![
                self.c,
                op.id().0,
                handle,
                context.seq,
                context.previous.0,
                class_number(context.class.class),
                context.thread.0,
                op.op().form.to_bytes(),
                op.op().extension,
                op.signature().map(|s| s.0),
                self.keep.received_ms.cast_signed(),
            ],
        )?;
        let n = self.tx.last_insert_rowid();
        Ok(Known {
            n,
            counted: None,
            signed: op.signature().is_some(),
            payload: false,
        })
    }

    /// Keeps the payload; `false`: over the quota.
    fn payload(&mut self, n: i64, op: &VerifiedOp) -> Stored<bool> {
        let Some(payload) = &op.op().payload else {
            return Ok(true);
        };
        let bytes = self.bytes.saturating_add(payload.len() as u64);
        if op.context().class.class == Class::Data && bytes > self.keep.quota_bytes {
            return Ok(false);
        }
        run(
            &self.tx,
            "INSERT INTO payloads (op, bytes) VALUES (?1, ?2)",
            params![n, payload],
        )?;
        self.bytes = bytes;
        Ok(true)
    }

    /// Keeps one op, whose predecessor is here; the answer is its sequence and whether its
    /// payload was kept.
    fn op(&mut self, op: &VerifiedOp, handle: i64) -> Stored<(u64, bool)> {
        let context = op.context();
        let known = self.form(op, handle)?;
        let kind = class_number(context.class.class);
        let bytes = op.op().payload.as_ref().map_or(0, Vec::len) as u64 + OP_OVERHEAD_BYTES;
        if let Some(hub_seq) = known.counted {
            let fills = !known.payload && op.op().payload.is_some();
            let kept = !fills || self.payload(known.n, op)?;
            if fills && kept {
                // Readers that have passed it get it again, now with its payload.
                let seq = self.take_seq(kind, &context.thread, known.n, bytes)?;
                self.touch_thread(context, seq, [0; 16])?;
            }
            return Ok((hub_seq, kept));
        }
        let kept = self.payload(known.n, op)?;
        let hub_seq = self.take_seq(kind, &context.thread, known.n, bytes)?;
        let forks = one(
            &self.tx,
            "SELECT 1 FROM ops WHERE c = ?1 AND handle = ?2 AND seq = ?3 AND hub_seq IS NOT NULL",
            params![self.c, handle, context.seq],
            |_| Ok(()),
        )?;
        if forks.is_some() {
            run(
                &self.tx,
                "UPDATE strands SET forked = 1 WHERE c = ?1 AND handle = ?2",
                params![self.c, handle],
            )?;
        }
        run(
            &self.tx,
            "UPDATE ops SET hub_seq = ?2, received_ms = ?3 WHERE n = ?1",
            params![
                known.n,
                hub_seq.cast_signed(),
                self.keep.received_ms.cast_signed()
            ],
        )?;
        if context.class.class != Class::Roster {
            let sum = self.move_head(op, handle)?;
            self.touch_thread(context, hub_seq, sum)?;
        }
        Ok((hub_seq, kept))
    }

    fn move_head(&self, op: &VerifiedOp, handle: i64) -> Stored<[u8; 16]> {
        let context = op.context();
        let mut sum = StrandHead {
            strand: op.strand(),
            head: op.head(),
        }
        .sum();
        let gone = run(
            &self.tx,
            "DELETE FROM heads WHERE c = ?1 AND thread = ?2 AND op = ?3",
            params![self.c, context.thread.0, context.previous.0],
        )?;
        if gone > 0 {
            let before = Head {
                seq: context.seq - 1,
                id: context.previous,
            };
            sum = xor(
                sum,
                StrandHead {
                    strand: op.strand(),
                    head: before,
                }
                .sum(),
            );
        }
        run(
            &self.tx,
            "INSERT INTO heads (c, thread, op, handle, seq) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![self.c, context.thread.0, op.id().0, handle, context.seq],
        )?;
        Ok(sum)
    }

    fn touch_thread(&self, context: &Context, seq: u64, change: [u8; 16]) -> Stored<()> {
        let is_control = context.class.class == Class::Control;
        let control_seq = if is_control { seq.cast_signed() } else { 0 };
        let key = params![self.c, context.thread.0];
        let sum: Option<[u8; 16]> = one(
            &self.tx,
            "SELECT sum FROM threads WHERE c = ?1 AND thread = ?2",
            key,
            |row| row.get(0),
        )?;
        match sum {
            Some(sum) => run(
                &self.tx,
                "UPDATE threads SET sum = ?3, control_seq = max(control_seq, ?4)
                 WHERE c = ?1 AND thread = ?2",
                params![self.c, context.thread.0, xor(sum, change), control_seq],
            )?,
            None => run(
                &self.tx,
                "INSERT INTO threads (c, thread, first_seq, control_seq, sum)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
                params![
                    self.c,
                    context.thread.0,
                    seq.cast_signed(),
                    control_seq,
                    change
                ],
            )?,
        };
        Ok(())
    }

    fn segment(&mut self, segment: &VerifiedSegment) -> Stored<Kept> {
        let Some(first) = segment.ops.first() else {
            return Ok(Kept::Gap);
        };
        let (handle, _) = self.handle(&first.strand())?;
        let context = first.context();
        let stands = context.seq == 1
            || one(
                &self.tx,
                "SELECT 1 FROM ops WHERE c = ?1 AND id = ?2 AND handle = ?3 AND seq = ?4
                 AND hub_seq IS NOT NULL",
                params![self.c, context.previous.0, handle, context.seq - 1],
                |_| Ok(()),
            )?
            .is_some();
        if !stands {
            return Ok(Kept::Gap);
        }
        let mut through = None;
        let mut payloads_dropped = Vec::new();
        for op in &segment.ops {
            let (hub_seq, kept) = self.op(op, handle)?;
            if !kept {
                payloads_dropped.push(op.id());
            }
            through = Some((op.head(), hub_seq));
        }
        for link in &segment.links {
            self.form(link, handle)?;
        }
        let (_, forked) = self.handle(&first.strand())?;
        let Some((head, hub_seq)) = through else {
            return Ok(Kept::Gap);
        };
        Ok(Kept::Through {
            head,
            hub_seq,
            handle: handle.cast_unsigned(),
            forked,
            payloads_dropped,
        })
    }
}

const fn class_number(class: Class) -> i64 {
    match class {
        Class::Data => 1,
        Class::Control => 2,
        Class::Roster => 3,
    }
}

fn xor(mut a: [u8; 16], b: [u8; 16]) -> [u8; 16] {
    for (to, from) in a.iter_mut().zip(b) {
        *to ^= from;
    }
    a
}

impl Sqlite {
    /// Opens or makes the database; a new one draws its epoch from `random`.
    pub fn open(path: &Path, random: [u8; 8]) -> Stored<Self> {
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
            readers: Mutex::default(),
            epoch,
        })
    }

    fn read<T>(&self, with: impl FnOnce(&Connection) -> Stored<T>) -> Stored<T> {
        let pooled = lock(&self.readers).pop();
        let connection = match pooled {
            Some(connection) => connection,
            None => {
                let connection = connect(&self.path)?;
                connection.pragma_update(None, "query_only", true)?;
                connection
            }
        };
        let out = with(&connection);
        let mut readers = lock(&self.readers);
        if readers.len() < MAX_READERS {
            readers.push(connection);
        }
        out
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

    fn append_roster(
        &self,
        company: &CompanyId,
        ops: &[VerifiedOp],
        keep: Keep,
    ) -> Stored<RosterKept> {
        let mut writer = lock(&self.writer);
        let mut append = Append::begin(&mut writer, company, keep)?;
        for op in ops {
            if append
                .known(&op.id())?
                .is_some_and(|known| known.counted.is_some())
            {
                continue;
            }
            let context = op.context();
            let newest: Option<OpId> = one(
                &append.tx,
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
        append.commit()?;
        Ok(RosterKept::Appended)
    }

    fn append(
        &self,
        company: &CompanyId,
        segments: &[VerifiedSegment],
        keep: Keep,
    ) -> Stored<Vec<Kept>> {
        let mut writer = lock(&self.writer);
        let mut append = Append::begin(&mut writer, company, keep)?;
        let kept = segments
            .iter()
            .map(|segment| append.segment(segment))
            .collect::<Stored<_>>()?;
        append.commit()?;
        Ok(kept)
    }

    fn append_parts(&self, company: &CompanyId, parts: &[PartToKeep<'_>]) -> Stored<()> {
        let mut writer = lock(&self.writer);
        let keep = Keep {
            received_ms: 0,
            quota_bytes: u64::MAX,
        };
        let mut append = Append::begin(&mut writer, company, keep)?;
        for part in parts {
            let op: Option<(i64, ThreadId)> = one(
                &append.tx,
                "SELECT n, thread FROM ops WHERE c = ?1 AND id = ?2 AND hub_seq IS NOT NULL",
                params![append.c, part.op.0],
                |row| Ok((row.get(0)?, id(row, 1)?)),
            )?;
            let Some((op, thread)) = op else { continue };
            let is_new = run(
                &append.tx,
                "INSERT OR IGNORE INTO parts (op, hash, bytes) VALUES (?1, ?2, ?3)",
                params![op, part.hash.0, part.bytes],
            )?;
            if is_new > 0 {
                let (row, bytes) = (append.tx.last_insert_rowid(), part.bytes.len() as u64);
                append.bytes = append.bytes.saturating_add(bytes);
                append.take_seq(PART, &thread, row, bytes)?;
            }
        }
        append.commit()
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
                "SELECT s.thread, s.seat, s.store, o.seq, o.id, o.previous, l.bytes
                 FROM ops o JOIN strands s USING (c, handle)
                 JOIN log l ON l.c = o.c AND l.seq = o.hub_seq
                 WHERE o.c = ?1 AND o.thread = ?2 AND o.hub_seq IS NOT NULL ORDER BY o.hub_seq",
                params![c, thread.0],
                |row| {
                    Ok(ThreadOp {
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
                "SELECT thread, first_seq, control_seq, sum FROM threads
                 WHERE c = ?1 AND (?2 = 0 OR control_seq > ?2)",
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

    fn blob(&self, company: &CompanyId, blob: &BlobId) -> Stored<Option<BlobRow>> {
        self.within(company, |connection, c| blob_row(connection, c, blob))
    }

    fn blobs(&self, company: &CompanyId, thread: &ThreadId) -> Stored<Vec<BlobId>> {
        self.within(company, |connection, c| {
            all(
                connection,
                "SELECT blob FROM blobs WHERE c = ?1 AND thread = ?2 ORDER BY n",
                params![c, thread.0],
                |row| id(row, 0),
            )
        })
    }

    fn complete_blob(&self, upload: &UploadRow, time_ms: u64) -> Stored<BlobRow> {
        let mut writer = lock(&self.writer);
        let keep = Keep {
            received_ms: time_ms,
            quota_bytes: u64::MAX,
        };
        let mut append = Append::begin(&mut writer, &upload.company, keep)?;
        let was_here = blob_row(&append.tx, append.c, &upload.blob)?.is_some();
        let is_new = run(
            &append.tx,
            "INSERT OR IGNORE INTO blobs (c, blob, thread, device, sealed_bytes, hub_seq, time_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                append.c,
                upload.blob.0,
                upload.thread.0,
                upload.device.0,
                upload.sealed_bytes.cast_signed(),
                (append.seq + 1).cast_signed(),
                time_ms.cast_signed(),
            ],
        )?;
        if is_new > 0 {
            let row = append.tx.last_insert_rowid();
            append.take_seq(BLOB, &upload.thread, row, 40)?;
            if !was_here {
                append.bytes = append.bytes.saturating_add(upload.sealed_bytes);
            }
        }
        run(
            &append.tx,
            "DELETE FROM uploads WHERE name = ?1",
            [&upload.name],
        )?;
        let row = blob_row(&append.tx, append.c, &upload.blob)?.ok_or(StorageError::Damaged)?;
        append.commit()?;
        Ok(row)
    }

    fn device_blob_bytes(
        &self,
        company: &CompanyId,
        device: &DeviceId,
        since_ms: u64,
    ) -> Stored<u64> {
        self.within(company, |connection, c| {
            let bytes = one(
                connection,
                "SELECT coalesce(sum(sealed_bytes), 0) FROM blobs
                 WHERE c = ?1 AND device = ?2 AND time_ms >= ?3",
                params![c, device.0, since_ms.cast_signed()],
                |row| number(row, 0),
            )?;
            Ok(bytes.unwrap_or_default())
        })
    }

    fn put_upload(&self, new: &UploadRow) -> Stored<()> {
        run(
            &lock(&self.writer),
            "INSERT INTO uploads (name, company, device, blob, thread, sealed_bytes, begun_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                new.name,
                new.company.0,
                new.device.0,
                new.blob.0,
                new.thread.0,
                new.sealed_bytes.cast_signed(),
                new.begun_ms.cast_signed()
            ],
        )?;
        Ok(())
    }

    fn upload(&self, name: &str) -> Stored<Option<UploadRow>> {
        self.read(|connection| {
            one(
                connection,
                "SELECT * FROM uploads WHERE name = ?1",
                [name],
                upload,
            )
        })
    }

    fn uploads(&self, company: &CompanyId, device: &DeviceId) -> Stored<Vec<UploadRow>> {
        self.read(|connection| {
            all(
                connection,
                "SELECT * FROM uploads WHERE company = ?1 AND device = ?2",
                [&company.0, &device.0],
                upload,
            )
        })
    }

    fn stale_uploads(&self, before_ms: u64) -> Stored<Vec<UploadRow>> {
        self.read(|connection| {
            all(
                connection,
                "SELECT * FROM uploads WHERE begun_ms < ?1",
                [before_ms.cast_signed()],
                upload,
            )
        })
    }

    fn drop_upload(&self, name: &str) -> Stored<()> {
        run(
            &lock(&self.writer),
            "DELETE FROM uploads WHERE name = ?1",
            [name],
        )?;
        Ok(())
    }

    fn put_session(&self, token_hash: &[u8; 32], session: &Session) -> Stored<()> {
        let mut writer = lock(&self.writer);
        let tx = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        run(
            &tx,
            "INSERT INTO sessions (token_hash, company, device, until_ms) VALUES (?1, ?2, ?3, ?4)",
            params![
                token_hash,
                session.company.0,
                session.device.0,
                session.until_ms.cast_signed()
            ],
        )?;
        run(
            &tx,
            "DELETE FROM sessions WHERE token_hash IN (
                SELECT token_hash FROM sessions WHERE company = ?1 AND device = ?2
                ORDER BY until_ms DESC LIMIT -1 OFFSET ?3)",
            params![session.company.0, session.device.0, SESSIONS_PER_DEVICE],
        )?;
        Ok(tx.commit()?)
    }

    fn session(&self, token_hash: &[u8; 32]) -> Stored<Option<Session>> {
        self.read(|connection| {
            one(
                connection,
                "SELECT company, device, until_ms FROM sessions WHERE token_hash = ?1",
                [token_hash],
                |row| {
                    let (company, device) = (id(row, 0)?, id(row, 1)?);
                    Ok(Session {
                        company,
                        device,
                        until_ms: number(row, 2)?,
                    })
                },
            )
        })
    }

    fn drop_sessions(&self, now_ms: u64) -> Stored<()> {
        run(
            &lock(&self.writer),
            "DELETE FROM sessions WHERE until_ms <= ?1",
            [now_ms.cast_signed()],
        )?;
        Ok(())
    }
}

fn blob_row(connection: &Connection, c: i64, blob: &BlobId) -> Stored<Option<BlobRow>> {
    let rows = all(
        connection,
        "SELECT sealed_bytes, hub_seq, time_ms, thread FROM blobs
         WHERE c = ?1 AND blob = ?2 ORDER BY n",
        params![c, blob.0],
        |row| {
            Ok((
                number(row, 0)?,
                number(row, 1)?,
                number(row, 2)?,
                id(row, 3)?,
            ))
        },
    )?;
    let Some((sealed_bytes, hub_seq, time_ms, _)) = rows.first().copied() else {
        return Ok(None);
    };
    let threads = rows.iter().map(|(_, _, _, thread)| *thread).collect();
    Ok(Some(BlobRow {
        sealed_bytes,
        hub_seq,
        time_ms,
        threads,
    }))
}
