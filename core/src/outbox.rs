//! The outbox: ops and blobs that the hub has no receipt for.
//!
//! A row leaves by a receipt only, or because what it carries was erased or thrown away by a person; a refusal makes it
//! *wedged*: it stays, explained. What was refused for something that passes (a full quota, a seat
//! that the hub doesn't know yet) is tried again by itself; the rest when the hub is another or
//! lacks what was before it.
//! Nothing here waits for the network: it builds what to send and takes in what came back.

mod blobs;

use std::collections::BTreeMap;

use kolonne_model::hub::{Part, Push, PushAnswer, SegmentOutcome};
use kolonne_model::ids::{
    CompanyId, Hash32, HubEpoch, OpId, PublicKey, SeatId, Strand, StrandHead,
};
use kolonne_model::op::{Class, Context};
use kolonne_model::page::{
    MAX_PAGE_BYTES, MAX_SEGMENT_OPS, SegmentToSend, StrandName, write_segment,
};
use kolonne_model::receipt::OpReceipt;
use kolonne_model::strand::VerifiedOp;
use kolonne_model::{cbor, control};
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use crate::error::Error;
use crate::keys;
use crate::oplog;
use crate::store::{get_meta, set_meta};
use crate::sync::lineage;

pub use blobs::{
    BLOB_WAITS, BlobOut, LANE_OF_PART, Lane, NOT_ERASED, ask_receipt, blob_out, blob_progress,
    blob_proven, blob_tried, blobs_of, forget_blob, next_blobs, put_blob, send_again,
    take_blob_receipt, wedge_blob,
};

/// About how large a pushed page is: a few seconds of a slow network.
const PAGE_BYTES: usize = 48 * 1024;
/// Ops of one segment.
const SEGMENT_OPS: usize = 100;
/// Rows looked at for one page.
const PAGE_ROWS: u32 = 400;

/// Of an op: it has to reach the hub yet, now or later.
pub const OP_WAITS: &str = "(wedged IS NULL OR wedged IN ('seat', 'payload'))";

/// Of an op `o`: what lies here proves it to others, by its own signature or one after it. What came
/// with bare links after it is proven to this device alone, and others hand it on.
pub const PROVABLE: &str = "EXISTS (SELECT 1 FROM ops n JOIN signatures s ON s.op = n.id
    WHERE n.thread = o.thread AND n.seat = o.seat AND n.store = o.store AND n.seq >= o.seq)";

/// Between two tries of ops that were refused for now.
const REFUSED_WAIT_MS: u64 = 10 * 60 * 1000;
/// When they were tried last.
const REFUSED_TRIED: &str = "refused_tried_ms";

/// Puts an op on its way.
pub fn put_op(tx: &Transaction<'_>, op: &VerifiedOp) -> Result<(), Error> {
    tx.prepare_cached(
        "INSERT OR IGNORE INTO outbox_ops (arrival, op, thread)
         SELECT arrival, id, thread FROM ops WHERE id = ?1",
    )?
    .execute([op.id().0.as_slice()])?;
    Ok(())
}

/// Puts an op on its way again whose payload the hub may lack; one without payload has nothing new.
pub fn put_again(tx: &Transaction<'_>, op: &OpId) -> Result<(), Error> {
    tx.execute(
        "INSERT INTO outbox_ops (arrival, op, thread)
         SELECT o.arrival, o.id, o.thread FROM ops o JOIN payloads p ON p.op = o.id WHERE o.id = ?1
         ON CONFLICT DO UPDATE SET wedged = NULL",
        [op.0.as_slice()],
    )?;
    Ok(())
}

/// What was refused is no longer: everything is tried again.
pub fn unwedge(tx: &Transaction<'_>) -> Result<(), Error> {
    for table in ["outbox_ops", "outbox_blobs"] {
        let sql = format!("UPDATE {table} SET wedged = NULL WHERE wedged IS NOT NULL");
        tx.execute(&sql, [])?;
    }
    Ok(())
}

/// Tries ops again that were refused for now, if their last try was a while ago.
pub fn try_refused(tx: &Transaction<'_>, now_ms: u64) -> Result<(), Error> {
    let tried = get_meta(tx, REFUSED_TRIED)?.and_then(|bytes| bytes.try_into().ok());
    // A clock that was set back ends the wait.
    let waits = tried.is_some_and(|tried| {
        let waited_ms = now_ms.checked_sub(u64::from_be_bytes(tried));
        waited_ms.is_some_and(|ms| ms < REFUSED_WAIT_MS)
    });
    if waits {
        return Ok(());
    }
    let sql =
        format!("UPDATE outbox_ops SET wedged = NULL WHERE wedged IS NOT NULL AND {OP_WAITS}");
    if tx.execute(&sql, [])? > 0 {
        set_meta(tx, REFUSED_TRIED, &now_ms.to_be_bytes())?;
    }
    Ok(())
}

/// A push, and what its segments are, to understand the answer.
pub struct PushPlan {
    /// What to send.
    pub push: Push,
    /// The ops of each segment, by place in the page.
    pub segments: Vec<Vec<VerifiedOp>>,
}

struct Known {
    seq: u32,
    handle: Option<u64>,
}

/// The next page of ops, oldest first; none when nothing waits.
pub fn plan_push(db: &Connection, epoch: &HubEpoch) -> Result<Option<PushPlan>, Error> {
    let mut statement = db.prepare_cached(
        "SELECT op FROM outbox_ops WHERE wedged IS NULL ORDER BY arrival LIMIT ?1",
    )?;
    let rows = statement.query_map([PAGE_ROWS], |row| row.get::<_, Vec<u8>>(0))?;
    let mut ids = Vec::new();
    for id in rows {
        ids.push(OpId::try_from(id?.as_slice()).map_err(|_| Error::Corrupt)?);
    }
    Ok(plan(db, &ids, epoch)?.map(|(plan, _)| plan))
}

/// A page of these ops from the first on, and how many of them are in it.
pub fn plan(
    db: &Connection,
    ids: &[OpId],
    epoch: &HubEpoch,
) -> Result<Option<(PushPlan, usize)>, Error> {
    let mut runs: Vec<Vec<VerifiedOp>> = Vec::new();
    let mut last_run: BTreeMap<Strand, usize> = BTreeMap::new();
    let mut parts = Vec::new();
    let (mut bytes, mut count) = (0, 0);
    for id in ids {
        let op = without_erased(db, oplog::get(db, id)?.ok_or(Error::Corrupt)?)?;
        let beside = parts_of(db, &op)?;
        bytes += 96 + op.op().payload.as_ref().map_or(0, Vec::len);
        bytes += beside.iter().map(|part| part.bytes.len()).sum::<usize>();
        if bytes > PAGE_BYTES && !runs.is_empty() {
            break;
        }
        parts.extend(beside);
        count += 1;
        let strand = op.strand();
        let run = last_run.get(&strand).and_then(|at| runs.get_mut(*at));
        match run {
            Some(run) if continues(run, &op) => run.push(op),
            _ => {
                last_run.insert(strand, runs.len());
                runs.push(vec![op]);
            }
        }
    }
    if runs.is_empty() {
        return Ok(None);
    }
    let mut page = Vec::new();
    let mut segments = Vec::new();
    for run in runs.into_iter().flat_map(cut_at_signature) {
        if write_run(db, &mut page, &run, epoch)? {
            segments.push(run);
        }
    }
    if page.len() > MAX_PAGE_BYTES && count > 1 {
        // Links made it too large: fewer ops.
        return plan(db, ids.get(..count / 2).unwrap_or_default(), epoch);
    }
    let push = Push {
        page: page.into(),
        parts,
    };
    Ok(Some((PushPlan { push, segments }, count)))
}

/// What is erased is sent to nobody: only its signed form goes.
fn without_erased(db: &Connection, op: VerifiedOp) -> Result<VerifiedOp, Error> {
    let erased: bool = db
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM erasures WHERE op = ?1)")?
        .query_row([op.id().0.as_slice()], |row| row.get(0))?;
    if !erased {
        return Ok(op);
    }
    let signature = op.signature().copied();
    let mut op = op.into_op();
    op.payload = None;
    Ok(VerifiedOp::from_own_log(op, signature))
}

fn continues(run: &[VerifiedOp], op: &VerifiedOp) -> bool {
    run.last().is_some_and(|last| {
        // What a later signature proves goes together: alone, each would need links up to it.
        let most = match last.signature() {
            Some(_) => SEGMENT_OPS,
            None => MAX_SEGMENT_OPS,
        };
        run.len() < most
            && op.context().previous == last.id()
            && op.context().suite == last.context().suite
    })
}

/// Cuts a run after its last signature: the next one is at most a segment's ops away from what nothing
/// in the run proves, but perhaps not from what stands before.
fn cut_at_signature(mut run: Vec<VerifiedOp>) -> impl Iterator<Item = Vec<VerifiedOp>> {
    let last = run.iter().rposition(|op| op.signature().is_some());
    let unsigned = last.map(|at| run.split_off(at + 1));
    [Some(run), unsigned]
        .into_iter()
        .flatten()
        .filter(|run| !run.is_empty())
}

/// Writes a run as one segment, with links up to the next signature if its last op has none here.
fn write_run(
    db: &Connection,
    page: &mut Vec<u8>,
    run: &[VerifiedOp],
    epoch: &HubEpoch,
) -> Result<bool, Error> {
    let Some(first) = run.first() else {
        return Ok(false);
    };
    let mut ops = run.to_vec();
    let mut links = 0;
    while let Some(last) = ops.last().filter(|op| op.signature().is_none()) {
        let room = ops.len() < MAX_SEGMENT_OPS;
        let Some(next) = follower(db, last)?.filter(|_| room) else {
            return Ok(false);
        };
        ops.push(next);
        links += 1;
    }
    let Some(signature) = ops.last().and_then(VerifiedOp::signature).copied() else {
        return Ok(false);
    };
    let strand = first.strand();
    let known = known_at_hub(db, &strand, epoch)?;
    let base: Option<Context> = match known {
        Some(Known {
            seq,
            handle: Some(_),
        }) if first.context().seq <= seq.saturating_add(1) => {
            oplog::get(db, &first.context().previous)?.map(|op| *op.context())
        }
        _ => None,
    };
    let name = known
        .and_then(|known| known.handle)
        .map_or(StrandName::Full(strand), StrandName::Handle);
    let ops: Vec<_> = ops.into_iter().map(VerifiedOp::into_op).collect();
    write_segment(
        page,
        &SegmentToSend {
            name,
            receivers_base: base.as_ref(),
            ops: &ops,
            links,
            signature: &signature,
        },
    );
    Ok(true)
}

fn follower(db: &Connection, op: &VerifiedOp) -> Result<Option<VerifiedOp>, Error> {
    let strand = op.strand();
    let mut statement = db.prepare_cached(
        "SELECT id FROM ops WHERE thread = ?1 AND seat = ?2 AND store = ?3 AND seq = ?4",
    )?;
    let ids = statement.query_map(
        params![
            strand.thread.0.as_slice(),
            strand.seat.0.as_slice(),
            strand.store.0.as_slice(),
            op.context().seq.saturating_add(1)
        ],
        |row| row.get::<_, Vec<u8>>(0),
    )?;
    for id in ids {
        let id = OpId::try_from(id?.as_slice()).map_err(|_| Error::Corrupt)?;
        if let Some(next) = oplog::get(db, &id)?.filter(|next| next.context().previous == op.id()) {
            return Ok(Some(next));
        }
    }
    Ok(None)
}

fn known_at_hub(
    db: &Connection,
    strand: &Strand,
    epoch: &HubEpoch,
) -> Result<Option<Known>, Error> {
    Ok(db
        .prepare_cached(
            "SELECT seq, handle FROM receipts
             WHERE thread = ?1 AND seat = ?2 AND store = ?3 AND epoch = ?4",
        )?
        .query_row(
            params![
                strand.thread.0.as_slice(),
                strand.seat.0.as_slice(),
                strand.store.0.as_slice(),
                epoch.0.as_slice()
            ],
            |row| {
                Ok(Known {
                    seq: row.get(0)?,
                    handle: u64::try_from(row.get::<_, i64>(1)?).ok(),
                })
            },
        )
        .optional()?)
}

fn parts_of(db: &Connection, op: &VerifiedOp) -> Result<Vec<Part>, Error> {
    if op.context().class.class != Class::Control {
        return Ok(Vec::new());
    }
    let body = op.op().payload.as_deref().map(control::read);
    let named = match body {
        Some(Ok(control::Control::KeyMade(made))) => made.all_parts(),
        Some(Ok(control::Control::WrappedAgain(again))) => vec![again.file],
        _ => return Ok(Vec::new()),
    };
    let mut parts = Vec::new();
    for hash in named {
        if let Some(bytes) = oplog::part(db, &hash)? {
            parts.push(Part {
                op: op.id(),
                bytes: bytes.into(),
            });
        }
    }
    Ok(parts)
}

/// Takes in the answer to a push.
pub fn take_push_answer(
    tx: &Transaction<'_>,
    hub_key: &PublicKey,
    company: &CompanyId,
    plan: &PushPlan,
    answer: &PushAnswer,
) -> Result<usize, Error> {
    let mut left = 0;
    for receipt in answer
        .receipts
        .iter()
        .filter(|receipt| receipt.is_good(hub_key, company))
    {
        left += take_op_receipt(tx, receipt)?;
    }
    for (place, outcome) in &answer.outcomes {
        let Some(run) = usize::try_from(*place)
            .ok()
            .and_then(|at| plan.segments.get(at))
        else {
            continue;
        };
        match outcome {
            SegmentOutcome::NeedsFullValues => forget_handle(tx, run)?,
            SegmentOutcome::Gap => requeue_before(tx, run)?,
            SegmentOutcome::Refused(code) => {
                for op in run {
                    tx.execute(
                        "UPDATE outbox_ops SET wedged = ?2 WHERE op = ?1",
                        params![op.id().0.as_slice(), format!("{code:?}").to_lowercase()],
                    )?;
                }
            }
            SegmentOutcome::NotNow => {}
        }
    }
    for id in &answer.payloads_refused {
        tx.execute(
            "INSERT INTO outbox_ops (arrival, op, thread, wedged)
             SELECT arrival, id, thread, 'payload' FROM ops WHERE id = ?1
             ON CONFLICT DO UPDATE SET wedged = 'payload'",
            [id.0.as_slice()],
        )?;
    }
    if is_own_fork(tx, &answer.forked)? {
        oplog::new_store(tx)?;
    }
    Ok(left)
}

fn is_own_fork(tx: &Transaction<'_>, forked: &[StrandHead]) -> Result<bool, Error> {
    let store = oplog::store_id(tx)?;
    let mut own: Vec<SeatId> = keys::own_seats(tx)?;
    own.push(keys::device_author(tx)?.seat);
    Ok(forked
        .iter()
        .any(|head| head.strand.store == store && own.contains(&head.strand.seat)))
}

/// Keeps a good receipt; the ops it covers leave. How many left.
fn take_op_receipt(tx: &Transaction<'_>, receipt: &OpReceipt) -> Result<usize, Error> {
    let StrandHead { strand, head } = &receipt.through;
    // A receipt speaks of the branch its head is on; of ops that aren't here it says nothing.
    let Some(op) = oplog::get(tx, &head.id)? else {
        return Ok(0);
    };
    if op.strand() != *strand || op.context().seq != head.seq {
        return Ok(0);
    }
    tx.prepare_cached(
        "INSERT INTO receipts (thread, seat, store, seq, id, epoch, handle, receipt)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (thread, seat, store) DO UPDATE SET
            seq = excluded.seq, id = excluded.id, epoch = excluded.epoch,
            handle = excluded.handle, receipt = excluded.receipt
         WHERE excluded.epoch <> receipts.epoch OR excluded.seq >= receipts.seq",
    )?
    .execute(params![
        strand.thread.0.as_slice(),
        strand.seat.0.as_slice(),
        strand.store.0.as_slice(),
        head.seq,
        head.id.0.as_slice(),
        receipt.epoch.0.as_slice(),
        i64::try_from(receipt.handle).unwrap_or(-1),
        cbor::encode(receipt)
    ])?;
    lineage::receipted(tx, &receipt.epoch, receipt.hub_seq)?;
    let mut left = 0;
    let mut at = Some(op);
    while let Some(op) = at {
        let gone = tx
            .prepare_cached(
                "DELETE FROM outbox_ops WHERE op = ?1 AND (wedged IS NULL OR wedged <> 'payload')",
            )?
            .execute([op.id().0.as_slice()])?;
        left += gone;
        let before = op.context().previous;
        // Below the first op that had already left, all had.
        at = if gone == 0 {
            None
        } else {
            oplog::get(tx, &before)?
        };
    }
    Ok(left)
}

fn forget_handle(tx: &Transaction<'_>, run: &[VerifiedOp]) -> Result<(), Error> {
    let Some(strand) = run.first().map(VerifiedOp::strand) else {
        return Ok(());
    };
    tx.execute(
        "UPDATE receipts SET handle = -1 WHERE thread = ?1 AND seat = ?2 AND store = ?3",
        params![
            strand.thread.0.as_slice(),
            strand.seat.0.as_slice(),
            strand.store.0.as_slice()
        ],
    )?;
    Ok(())
}

/// The hub lacks an op before this run: everything of the strand goes again.
fn requeue_before(tx: &Transaction<'_>, run: &[VerifiedOp]) -> Result<(), Error> {
    forget_handle(tx, run)?;
    let Some(first) = run.first() else {
        return Ok(());
    };
    let strand = first.strand();
    tx.execute(
        "INSERT INTO outbox_ops (arrival, op, thread)
         SELECT arrival, id, thread FROM ops
         WHERE thread = ?1 AND seat = ?2 AND store = ?3 AND seq < ?4
         ON CONFLICT DO UPDATE SET wedged = NULL",
        params![
            strand.thread.0.as_slice(),
            strand.seat.0.as_slice(),
            strand.store.0.as_slice(),
            first.context().seq
        ],
    )?;
    Ok(())
}

/// Whether the hub signed for more of a strand than this.
pub fn is_receipted_beyond(
    db: &Connection,
    strand: &Strand,
    beyond_seq: u32,
) -> Result<bool, Error> {
    let sql = "SELECT EXISTS (SELECT 1 FROM receipts
         WHERE thread = ?1 AND seat = ?2 AND store = ?3 AND seq > ?4)";
    let place = params![
        strand.thread.0.as_slice(),
        strand.seat.0.as_slice(),
        strand.store.0.as_slice(),
        beyond_seq
    ];
    Ok(db.prepare_cached(sql)?.query_row(place, |row| row.get(0))?)
}

/// Puts ops back that a head at the hub doesn't cover, other people's too: ops prove themselves.
pub fn requeue_beyond(
    tx: &Transaction<'_>,
    strand: &Strand,
    beyond_seq: u32,
) -> Result<usize, Error> {
    let sql = format!(
        "INSERT INTO outbox_ops (arrival, op, thread)
         SELECT arrival, id, thread FROM ops o
         WHERE thread = ?1 AND seat = ?2 AND store = ?3 AND seq > ?4 AND {PROVABLE}
         ON CONFLICT DO UPDATE SET wedged = NULL"
    );
    Ok(tx.execute(
        &sql,
        params![
            strand.thread.0.as_slice(),
            strand.seat.0.as_slice(),
            strand.store.0.as_slice(),
            beyond_seq
        ],
    )?)
}

/// Tries one thing again that is wedged, by the name of its op or blob. Whether it was.
pub fn retry_one(tx: &Transaction<'_>, id: &Hash32) -> Result<bool, Error> {
    let ops = tx.execute(
        "UPDATE outbox_ops SET wedged = NULL WHERE op = ?1 AND wedged IS NOT NULL",
        [id.0.as_slice()],
    )?;
    let blobs = tx.execute(
        "UPDATE outbox_blobs SET wedged = NULL WHERE blob = ?1 AND wedged IS NOT NULL",
        [id.0.as_slice()],
    )?;
    Ok(ops + blobs > 0)
}
