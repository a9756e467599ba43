//! The op log: reading ops back, and the one place that signs and appends them.
//!
//! Only `capture` (through [`append`]) and `inbox` (through [`keep`]) write here. A signed form is
//! never changed; a payload only leaves by an erasure.

use kolonne_model::body::{Body, Say};
use kolonne_model::control::Control;
use kolonne_model::hub::Part;
use kolonne_model::ids::{
    Hash32, KeyId, OpId, RosterDigest, RosterPosition, SeatId, Signature, StoreId, Strand, ThreadId,
};
use kolonne_model::key::ThreadKey;
use kolonne_model::op::{
    Class, ClassByte, Context, MAX_BODY_BYTES, MAX_LAMPORT_STEP, Op, SIGNED_FORM_BYTES, SUITE_1,
    SignedForm,
};
use kolonne_model::roster::Roster;
use kolonne_model::strand::VerifiedOp;
use kolonne_model::{cbor, payload};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use crate::crypt::{Identity, SigningSecret, random};
use crate::error::Error;
use crate::store::{get_meta, set_meta};

/// A seat of this device that writes now.
#[derive(Clone)]
pub struct Author {
    /// The seat.
    pub seat: SeatId,
    /// Its signing key.
    pub secret: SigningSecret,
    /// What is wrapped for it.
    pub identity: Identity,
}

/// What a new op says.
pub enum Saying<'a> {
    /// Sealed under a thread key.
    Data(&'a ThreadKey, KeyId, Say),
    /// Clear.
    Control(Control),
}

/// When and where an op is written.
pub struct Moment<'a> {
    /// The newest roster here.
    pub roster: &'a Roster,
    /// The device's clock.
    pub now_ms: u64,
}

const ROSTER_HEAD: &str = "roster_head";
const OTHER_ROSTER_HEAD: &str = "other_roster_head";
const COLUMNS: &str = "ops.form, ops.extension, s.signature, p.payload";
const JOINS: &str =
    "FROM ops LEFT JOIN signatures s ON s.op = ops.id LEFT JOIN payloads p ON p.op = ops.id";

fn read_op(row: &Row<'_>) -> rusqlite::Result<VerifiedOp> {
    let bad = |_| rusqlite::Error::InvalidQuery;
    let form: Vec<u8> = row.get(0)?;
    let form: [u8; SIGNED_FORM_BYTES] = form.try_into().map_err(bad)?;
    let form = SignedForm::from_bytes(&form).ok_or(rusqlite::Error::InvalidQuery)?;
    let signature: Option<Vec<u8>> = row.get(2)?;
    let signature = signature.and_then(|bytes| Signature::try_from(bytes.as_slice()).ok());
    let op = Op {
        form,
        extension: row.get(1)?,
        payload: row.get(3)?,
    };
    Ok(VerifiedOp::from_own_log(op, signature))
}

/// All ops of a thread.
pub fn of_thread(db: &Connection, thread: &ThreadId) -> Result<Vec<VerifiedOp>, Error> {
    let sql = format!("SELECT {COLUMNS} {JOINS} WHERE ops.thread = ?1");
    let mut statement = db.prepare_cached(&sql)?;
    let ops = statement.query_map([thread.0.as_slice()], read_op)?;
    Ok(ops.collect::<Result<_, _>>()?)
}

/// A thread's ops for judging its control ops: all of them, since an op counts only on the chain
/// before it, but no payloads of data.
pub fn control_of_thread(db: &Connection, thread: &ThreadId) -> Result<Vec<VerifiedOp>, Error> {
    let sql = format!("SELECT {COLUMNS} {JOINS} AND ops.class = 2 WHERE ops.thread = ?1");
    let mut statement = db.prepare_cached(&sql)?;
    let ops = statement.query_map([thread.0.as_slice()], read_op)?;
    Ok(ops.collect::<Result<_, _>>()?)
}

/// One op.
pub fn get(db: &Connection, id: &OpId) -> Result<Option<VerifiedOp>, Error> {
    let sql = format!("SELECT {COLUMNS} {JOINS} WHERE ops.id = ?1");
    Ok(db
        .prepare_cached(&sql)?
        .query_row([id.0.as_slice()], read_op)
        .optional()?)
}

/// When an op of a thread came, by this device's clock; unsaid of what an earlier version kept.
pub fn came_ms(db: &Connection, id: &OpId) -> Result<Option<u64>, Error> {
    let came: Option<Option<i64>> = db
        .prepare_cached("SELECT came_ms FROM ops WHERE id = ?1")?
        .query_row([id.0.as_slice()], |row| row.get(0))
        .optional()?;
    Ok(came.flatten().map(i64::cast_unsigned))
}

/// The last op of the roster's chain, where the log knows several branches.
pub fn roster_head(db: &Connection) -> Result<Option<OpId>, Error> {
    head_in(db, ROSTER_HEAD)
}

/// The last op of another branch of the roster, while nobody has merged it.
pub fn other_roster_head(db: &Connection) -> Result<Option<OpId>, Error> {
    head_in(db, OTHER_ROSTER_HEAD)
}

fn head_in(db: &Connection, key: &str) -> Result<Option<OpId>, Error> {
    let id = get_meta(db, key)?;
    id.map(|id| OpId::try_from(id.as_slice()).map_err(|_| Error::Corrupt))
        .transpose()
}

/// Says which branch of the roster is its chain from now on, and which other one there is.
pub fn set_roster_heads(
    tx: &Transaction<'_>,
    head: &OpId,
    other: Option<&OpId>,
) -> Result<(), Error> {
    set_meta(tx, ROSTER_HEAD, &head.0)?;
    if let Some(other) = other {
        return set_meta(tx, OTHER_ROSTER_HEAD, &other.0);
    }
    tx.execute("DELETE FROM meta WHERE key = ?1", [OTHER_ROSTER_HEAD])?;
    Ok(())
}

/// Keeps the next link of the roster's chain.
pub fn keep_link(tx: &Transaction<'_>, op: &VerifiedOp) -> Result<(), Error> {
    keep(tx, op, None)?;
    if roster_head(tx)?.is_some() {
        set_meta(tx, ROSTER_HEAD, &op.id().0)?;
    }
    Ok(())
}

/// The roster's chain as far as it is in the log, its links in order.
pub fn roster_ops(
    db: &Connection,
    thread: &ThreadId,
    from_seq: u32,
) -> Result<Vec<VerifiedOp>, Error> {
    if let Some(head) = roster_head(db)? {
        return branch_ops(db, &head, from_seq);
    }
    let sql = format!(
        "SELECT {COLUMNS} {JOINS} WHERE ops.thread = ?1 AND ops.seq >= ?2 ORDER BY ops.seq"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let ops = statement.query_map(params![thread.0.as_slice(), from_seq], read_op)?;
    Ok(ops.collect::<Result<_, _>>()?)
}

/// The links of a branch of the roster, back from its last one.
pub fn branch_ops(db: &Connection, head: &OpId, from_seq: u32) -> Result<Vec<VerifiedOp>, Error> {
    let sql = format!(
        "WITH RECURSIVE chain (id, previous, seq) AS (
            SELECT id, previous, seq FROM ops WHERE id = ?1 AND seq >= ?2
            UNION ALL SELECT o.id, o.previous, o.seq FROM chain c JOIN ops o ON o.id = c.previous
            WHERE c.seq > ?2 AND c.seq > 1)
         SELECT {COLUMNS} {JOINS} JOIN chain ON chain.id = ops.id ORDER BY chain.seq"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let ops = statement.query_map(params![head.0.as_slice(), from_seq], read_op)?;
    Ok(ops.collect::<Result<_, _>>()?)
}

/// Keeps a verified op; a known one gets only what it lacked. Whether anything is new. When it came is
/// said of ops of threads, by this device's clock.
pub fn keep(tx: &Transaction<'_>, op: &VerifiedOp, came_ms: Option<u64>) -> Result<bool, Error> {
    let context = op.context();
    let id = op.id();
    let mut new = tx
        .prepare_cached(
            "INSERT OR IGNORE INTO ops (id, thread, seat, store, seq, class, lamport, form, extension, previous,
                came_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?
        .execute(params![
            id.0.as_slice(),
            context.thread.0.as_slice(),
            context.seat.0.as_slice(),
            context.store.0.as_slice(),
            context.seq,
            context.class.to_byte() & 0x7f,
            context.lamport.cast_signed(),
            op.op().form.to_bytes().as_slice(),
            op.op().extension,
            context.previous.0.as_slice(),
            came_ms.map(u64::cast_signed),
        ])?;
    keep_signature(tx, op)?;
    if let Some(payload) = &op.op().payload {
        new += tx
            .prepare_cached("INSERT OR IGNORE INTO payloads (op, payload) VALUES (?1, ?2)")?
            .execute(params![id.0.as_slice(), payload])?;
    }
    Ok(new > 0)
}

/// Keeps its signature, also of a link whose op isn't here: it proves what comes before, and the op
/// may come later beside others that a later signature proves.
pub fn keep_signature(tx: &Transaction<'_>, op: &VerifiedOp) -> Result<(), Error> {
    if let Some(signature) = op.signature() {
        tx.prepare_cached("INSERT OR IGNORE INTO signatures (op, signature) VALUES (?1, ?2)")?
            .execute([op.id().0.as_slice(), signature.0.as_slice()])?;
    }
    Ok(())
}

struct Last {
    seq: u32,
    id: OpId,
    lamport: u64,
    roster: RosterPosition,
    roster_digest: RosterDigest,
}

fn last_of_strand(
    tx: &Transaction<'_>,
    thread: &ThreadId,
    seat: &SeatId,
    store: &StoreId,
) -> Result<Option<Last>, Error> {
    let sql = format!(
        "SELECT {COLUMNS} {JOINS} WHERE ops.thread = ?1 AND ops.seat = ?2 AND ops.store = ?3
         ORDER BY ops.seq DESC LIMIT 1"
    );
    let op = tx
        .prepare_cached(&sql)?
        .query_row(
            params![thread.0.as_slice(), seat.0.as_slice(), store.0.as_slice()],
            read_op,
        )
        .optional()?;
    Ok(op.map(|op| Last {
        seq: op.context().seq,
        id: op.id(),
        lamport: op.context().lamport,
        roster: op.context().roster,
        roster_digest: op.context().roster_digest,
    }))
}

/// The highest lamport seen in a thread; 0 in an empty one.
fn highest_lamport(db: &Connection, thread: &ThreadId) -> Result<u64, Error> {
    // SQLite's integers are signed: a lamport beyond them is negative here, nobody's honest one,
    // and not worth following. Nor is one that its strand can't have reached in so many steps: it is
    // ignored, and whoever followed would drag the thread's order after it for ever.
    let highest: Option<i64> = db
        .prepare_cached(
            "SELECT lamport FROM ops
             WHERE thread = ?1 AND lamport >= 0 AND lamport / ?2 <= seq
             ORDER BY lamport DESC LIMIT 1",
        )?
        .query_row(
            params![thread.0.as_slice(), MAX_LAMPORT_STEP.cast_signed()],
            |row| row.get(0),
        )
        .optional()?;
    Ok(highest.unwrap_or(0).cast_unsigned())
}

/// This database's life.
pub fn store_id(db: &Connection) -> Result<StoreId, Error> {
    let bytes = get_meta(db, "store")?.ok_or(Error::Corrupt)?;
    StoreId::try_from(bytes.as_slice()).map_err(|_| Error::Corrupt)
}

/// The next op goes into a new store: a database that was put back, copied or forked never writes
/// a place of a strand twice.
pub fn new_store(tx: &Transaction<'_>) -> Result<(), Error> {
    set_meta(tx, "store", &random::bytes::<8>()?)
}

/// Signs the next op of this seat's strand and appends it to the log and the outbox.
pub fn append(
    tx: &Transaction<'_>,
    moment: &Moment<'_>,
    author: &Author,
    thread: &ThreadId,
    saying: &Saying<'_>,
) -> Result<VerifiedOp, Error> {
    let store = store_id(tx)?;
    let last = last_of_strand(tx, thread, &author.seat, &store)?;
    let (mut roster, mut roster_digest) = moment.roster.head();
    let own_lamport = last.as_ref().map_or(0, |last| last.lamport);
    if let Some(last) = last.as_ref().filter(|last| last.roster > roster) {
        (roster, roster_digest) = (last.roster, last.roster_digest);
    }
    let class = match saying {
        Saying::Data(..) => Class::Data,
        Saying::Control(_) => Class::Control,
    };
    let context = Context {
        suite: SUITE_1,
        class: ClassByte::plain(class),
        company: moment.roster.company(),
        thread: *thread,
        seat: author.seat,
        store,
        seq: last
            .as_ref()
            .map_or(0, |last| last.seq)
            .checked_add(1)
            .ok_or(Error::Corrupt)?,
        previous: last.as_ref().map_or(OpId::ZERO, |last| last.id),
        roster,
        roster_digest,
        key: match saying {
            Saying::Data(_, key, _) => *key,
            Saying::Control(_) => KeyId::ZERO,
        },
        lamport: highest_lamport(tx, thread)?
            .max(own_lamport)
            .saturating_add(1)
            .min(own_lamport.saturating_add(MAX_LAMPORT_STEP)),
        time_ms: moment.now_ms,
        extension_hash: Hash32::ZERO,
    };
    let salt = random::bytes()?;
    let payload = match saying {
        Saying::Data(key, _, say) => {
            let body = Body {
                offset_s: hub_offset_s(tx)?,
                say: say.clone(),
            }
            .to_bytes();
            if body.len() > MAX_BODY_BYTES {
                return Err(Error::Invalid {
                    field: "text",
                    code: "too_large",
                });
            }
            payload::seal(key, &context, &salt, &body).map_err(|_| Error::Invalid {
                field: "text",
                code: "too_large",
            })?
        }
        Saying::Control(control) => payload::clear(&salt, &cbor::encode(control)),
    };
    keep_new(tx, author, Op::new(context, payload))
}

/// Signs a finished op, keeps it and puts it into the outbox.
pub fn keep_new(tx: &Transaction<'_>, author: &Author, op: Op) -> Result<VerifiedOp, Error> {
    let message = [
        kolonne_model::hash::label::OP_SIGNATURE.as_bytes(),
        &op.form.id().0,
    ]
    .concat();
    let signature = author.secret.sign(&message);
    let op = VerifiedOp::from_own_log(op, Some(signature));
    keep(tx, &op, Some(op.context().time_ms))?;
    if op.context().class.class != Class::Roster {
        crate::outbox::put_op(tx, &op)?;
    }
    Ok(op)
}

/// The device's clock minus the hub's at the last contact, in s; none: unknown.
pub fn hub_offset_s(db: &Connection) -> Result<Option<i64>, Error> {
    Ok(get_meta(db, "hub_offset_s")?
        .and_then(|bytes| bytes.try_into().ok())
        .map(i64::from_be_bytes))
}

/// Keeps a part that some op names.
pub fn keep_part(tx: &Transaction<'_>, op: &OpId, bytes: &[u8]) -> Result<Hash32, Error> {
    let hash = kolonne_model::roster::part_hash(bytes);
    tx.prepare_cached("INSERT OR IGNORE INTO parts (hash, op, bytes) VALUES (?1, ?2, ?3)")?
        .execute(params![hash.0.as_slice(), op.0.as_slice(), bytes])?;
    Ok(hash)
}

/// Destroys what an erased op said: its payload and its parts. Its signed form stays.
pub fn destroy(tx: &Transaction<'_>, op: &OpId) -> Result<(), Error> {
    for table in ["payloads", "parts"] {
        tx.execute(
            &format!("DELETE FROM {table} WHERE op = ?1"),
            [op.0.as_slice()],
        )?;
    }
    Ok(())
}

/// The parts here that came beside an op, as they travel.
pub fn parts_beside(db: &Connection, op: &OpId) -> Result<Vec<Part>, Error> {
    let mut statement = db.prepare_cached("SELECT bytes FROM parts WHERE op = ?1")?;
    let parts = statement.query_map([op.0.as_slice()], |row| row.get::<_, Vec<u8>>(0))?;
    parts
        .map(|bytes| {
            Ok(Part {
                op: *op,
                bytes: bytes?.into(),
            })
        })
        .collect()
}

/// Whether two ops here stand at one place of a strand.
pub fn is_forked(db: &Connection, strand: &Strand) -> Result<bool, Error> {
    let sql = "SELECT EXISTS (SELECT 1 FROM ops WHERE thread = ?1 AND seat = ?2 AND store = ?3
         GROUP BY seq HAVING count(*) > 1)";
    let place = params![
        strand.thread.0.as_slice(),
        strand.seat.0.as_slice(),
        strand.store.0.as_slice()
    ];
    Ok(db.prepare_cached(sql)?.query_row(place, |row| row.get(0))?)
}

/// A part.
pub fn part(db: &Connection, hash: &Hash32) -> Result<Option<Vec<u8>>, Error> {
    Ok(db
        .prepare_cached("SELECT bytes FROM parts WHERE hash = ?1")?
        .query_row([hash.0.as_slice()], |row| row.get(0))
        .optional()?)
}
