//! Writing to one company's rows in a transaction: ops, heads, sequences.
//!
//! Signed forms are only ever added; a sequence is taken in the transaction that updates the
//! company's row, and nowhere else.

use kolonne_model::ids::{CompanyId, Head, OpId, Strand, StrandHead, ThreadId};
use kolonne_model::op::{Class, Context};
use kolonne_model::strand::{VerifiedOp, VerifiedSegment};
use rusqlite::{Transaction, params};

use super::rows::{company_of, id, one, run};
use super::{Keep, Kept, PartToKeep, StorageError, Stored};

/// A part's kind in the log.
pub(super) const PART: i64 = 4;
/// Bytes an op takes on the wire besides its payload, about.
const OP_OVERHEAD_BYTES: u64 = 120;

/// One company's rows in a transaction.
pub(super) struct Append<'a> {
    pub(super) tx: &'a Transaction<'a>,
    pub(super) c: i64,
    pub(super) seq: u64,
    pub(super) bytes: u64,
    pub(super) roster_len: u32,
    pub(super) keep: Keep,
}

pub(super) struct Known {
    n: i64,
    is_new: bool,
    pub(super) counted: Option<u64>,
    signed: bool,
    payload: bool,
}

impl<'a> Append<'a> {
    /// Takes up where the company stands.
    pub(super) fn begin(tx: &'a Transaction<'a>, company: &CompanyId, keep: Keep) -> Stored<Self> {
        run(
            tx,
            "INSERT OR IGNORE INTO companies (id) VALUES (?1)",
            [&company.0],
        )?;
        let row = company_of(tx, company)?.ok_or(StorageError::Damaged)?;
        Ok(Self {
            tx,
            c: row.row,
            seq: row.hub_seq,
            bytes: row.stored_bytes,
            roster_len: row.roster_len,
            keep,
        })
    }

    /// Writes down how far the company has come: the last thing before the commit.
    pub(super) fn finish(self) -> Stored<()> {
        run(
            self.tx,
            "UPDATE companies SET seq = ?2, bytes = ?3, roster = ?4 WHERE c = ?1",
            params![
                self.c,
                self.seq.cast_signed(),
                self.bytes.cast_signed(),
                self.roster_len
            ],
        )
        .map(drop)
    }

    pub(super) fn take_seq(
        &mut self,
        kind: i64,
        thread: &ThreadId,
        row: i64,
        bytes: u64,
    ) -> Stored<u64> {
        self.seq += 1;
        run(
            self.tx,
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

    /// Keeps parts whose ops are here and that are not here yet.
    pub(super) fn parts(&mut self, parts: &[PartToKeep<'_>]) -> Stored<()> {
        for part in parts {
            let op: Option<(i64, ThreadId)> = one(
                self.tx,
                "SELECT n, thread FROM ops WHERE c = ?1 AND id = ?2 AND hub_seq IS NOT NULL",
                params![self.c, part.op.0],
                |row| Ok((row.get(0)?, id(row, 1)?)),
            )?;
            let Some((op, thread)) = op else { continue };
            let is_new = run(
                self.tx,
                "INSERT OR IGNORE INTO parts (op, hash, bytes) VALUES (?1, ?2, ?3)",
                params![op, part.hash.0, part.bytes],
            )?;
            if is_new > 0 {
                let (row, bytes) = (self.tx.last_insert_rowid(), part.bytes.len() as u64);
                self.bytes = self.bytes.saturating_add(bytes);
                self.take_seq(PART, &thread, row, bytes)?;
            }
        }
        Ok(())
    }

    pub(super) fn handle(&self, strand: &Strand) -> Stored<(i64, bool)> {
        let find = || {
            one(
                self.tx,
                "SELECT handle, forked FROM strands WHERE c = ?1 AND thread = ?2 AND seat = ?3 AND store = ?4",
                params![self.c, strand.thread.0, strand.seat.0, strand.store.0],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
        };
        if let Some(found) = find()? {
            return Ok(found);
        }
        run(
            self.tx,
            "UPDATE companies SET handles = handles + 1 WHERE c = ?1",
            [self.c],
        )?;
        run(
            self.tx,
            "INSERT INTO strands (c, handle, thread, seat, store)
             SELECT c, handles, ?2, ?3, ?4 FROM companies WHERE c = ?1",
            params![self.c, strand.thread.0, strand.seat.0, strand.store.0],
        )?;
        find()?.ok_or(StorageError::Damaged)
    }

    pub(super) fn known(&self, op: &OpId) -> Stored<Option<Known>> {
        one(
            self.tx,
            "SELECT n, hub_seq, signature IS NOT NULL, EXISTS (SELECT 1 FROM payloads WHERE op = n)
             FROM ops WHERE c = ?1 AND id = ?2",
            params![self.c, op.0],
            |row| {
                Ok(Known {
                    n: row.get(0)?,
                    is_new: false,
                    counted: row.get::<_, Option<i64>>(1)?.map(i64::cast_unsigned),
                    signed: row.get(2)?,
                    payload: row.get(3)?,
                })
            },
        )
    }

    /// Writes the form, bare or with the sequence that it takes, or finds it.
    fn form(&self, op: &VerifiedOp, handle: i64, hub_seq: Option<u64>) -> Stored<Known> {
        if let Some(known) = self.known(&op.id())? {
            if let (false, Some(signature)) = (known.signed, op.signature()) {
                run(
                    self.tx,
                    "UPDATE ops SET signature = ?2 WHERE n = ?1",
                    params![known.n, signature.0],
                )?;
            }
            return Ok(known);
        }
        let context = op.context();
        run(
            self.tx,
            "INSERT INTO ops (c, id, handle, seq, previous, class, thread, form, extension, signature,
                hub_seq, received_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
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
                hub_seq.map(u64::cast_signed),
                self.keep.received_ms.cast_signed(),
            ],
        )?;
        Ok(Known {
            n: self.tx.last_insert_rowid(),
            is_new: true,
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
            self.tx,
            "INSERT INTO payloads (op, bytes) VALUES (?1, ?2)",
            params![n, payload],
        )?;
        self.bytes = bytes;
        Ok(true)
    }

    /// Keeps one op, whose predecessor is here; the answer is its sequence and whether its
    /// payload was kept.
    pub(super) fn op(&mut self, op: &VerifiedOp, handle: i64) -> Stored<(u64, bool)> {
        let context = op.context();
        let known = self.form(op, handle, Some(self.seq + 1))?;
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
        if !known.is_new {
            run(
                self.tx,
                "UPDATE ops SET hub_seq = ?2, received_ms = ?3 WHERE n = ?1",
                params![
                    known.n,
                    hub_seq.cast_signed(),
                    self.keep.received_ms.cast_signed()
                ],
            )?;
        }
        let forks = one(
            self.tx,
            "SELECT 1 FROM ops WHERE c = ?1 AND handle = ?2 AND seq = ?3 AND n <> ?4
                AND hub_seq IS NOT NULL",
            params![self.c, handle, context.seq, known.n],
            |_| Ok(()),
        )?;
        if forks.is_some() {
            run(
                self.tx,
                "UPDATE strands SET forked = 1 WHERE c = ?1 AND handle = ?2",
                params![self.c, handle],
            )?;
        }
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
            self.tx,
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
            self.tx,
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
            self.tx,
            "SELECT sum FROM threads WHERE c = ?1 AND thread = ?2",
            key,
            |row| row.get(0),
        )?;
        match sum {
            Some(sum) => run(
                self.tx,
                "UPDATE threads SET sum = ?3, control_seq = max(control_seq, ?4)
                 WHERE c = ?1 AND thread = ?2",
                params![self.c, context.thread.0, xor(sum, change), control_seq],
            )?,
            None => run(
                self.tx,
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

    pub(super) fn segment(&mut self, segment: &VerifiedSegment) -> Stored<Kept> {
        let Some(first) = segment.ops.first() else {
            return Ok(Kept::Gap);
        };
        let (handle, _) = self.handle(&first.strand())?;
        let context = first.context();
        let stands = context.seq == 1
            || one(
                self.tx,
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
            self.form(link, handle, None)?;
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
