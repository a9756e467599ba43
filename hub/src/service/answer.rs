//! Stored ops as a page with full values: segments that end with a signature.
//!
//! An op stored without its own signature is proven by a later one of its strand: bare links up
//! to that one follow it. Nothing is left out silently but what can't be proven at all.

use std::collections::{HashMap, HashSet};

use kolonne_model::ids::{CompanyId, OpId};
use kolonne_model::op::{Class, Op};
use kolonne_model::page::{MAX_SEGMENT_OPS, SegmentToSend, StrandName, write_segment};

use crate::storage::{Storage, Stored, StoredOp};

/// Ops of a segment before it is closed, leaving room for links.
const SEGMENT_OPS: usize = 512;

/// Writes ops, in the order they came, as a page.
pub(super) fn page(
    storage: &dyn Storage,
    company: &CompanyId,
    ops: Vec<StoredOp>,
) -> Stored<Vec<u8>> {
    let mut page = Vec::new();
    let mut runs: Vec<Vec<StoredOp>> = Vec::new();
    let mut run_after: HashMap<OpId, usize> = HashMap::new();
    let mut done = HashSet::new();
    for op in ops {
        if !done.insert(op.id) {
            continue;
        }
        let context = &op.op.form.context;
        if context.class.class == Class::Roster {
            // One op each, first and in order: whoever reads it proves one after the other.
            emit(storage, company, &mut page, vec![op])?;
            continue;
        }
        let run = run_after
            .remove(&context.previous)
            .filter(|_| context.seq > 1);
        let id = op.id;
        let at = run.unwrap_or(runs.len());
        match runs.get_mut(at) {
            Some(run) => run.push(op),
            None => runs.push(vec![op]),
        }
        run_after.insert(id, at);
    }
    for run in runs {
        split(storage, company, &mut page, run)?;
    }
    Ok(page)
}

/// Cuts a run where signatures are.
fn split(
    storage: &dyn Storage,
    company: &CompanyId,
    page: &mut Vec<u8>,
    run: Vec<StoredOp>,
) -> Stored<()> {
    let mut segment: Vec<StoredOp> = Vec::new();
    let mut rest = run.into_iter();
    loop {
        let room = SEGMENT_OPS.saturating_sub(segment.len());
        segment.extend(rest.by_ref().take(room));
        if segment.is_empty() {
            return Ok(());
        }
        match segment.iter().rposition(|op| op.signature.is_some()) {
            Some(last) => {
                let unsigned = segment.split_off(last + 1);
                emit(
                    storage,
                    company,
                    page,
                    std::mem::replace(&mut segment, unsigned),
                )?;
            }
            None => emit(storage, company, page, std::mem::take(&mut segment))?,
        }
    }
}

fn emit(
    storage: &dyn Storage,
    company: &CompanyId,
    page: &mut Vec<u8>,
    segment: Vec<StoredOp>,
) -> Stored<()> {
    let Some(last) = segment.last() else {
        return Ok(());
    };
    let strand = last.op.form.context.strand();
    let mut signature = last.signature;
    let mut at = last.id;
    let mut links = Vec::new();
    while signature.is_none() {
        let next = storage.successor(company, &at)?;
        let Some(next) = next.filter(|_| segment.len() + links.len() < MAX_SEGMENT_OPS) else {
            break;
        };
        signature = next.signature;
        at = next.id;
        links.push(next.op);
    }
    let Some(signature) = signature else {
        if segment.len() > 1 {
            let mut head = segment;
            let tail = head.split_off(head.len() / 2);
            emit(storage, company, page, head)?;
            return emit(storage, company, page, tail);
        }
        tracing::error!("an op that nothing here proves");
        return Ok(());
    };
    let link_count = links.len();
    let ops: Vec<Op> = segment.into_iter().map(|op| op.op).chain(links).collect();
    write_segment(
        page,
        &SegmentToSend {
            name: StrandName::Full(strand),
            receivers_base: None,
            ops: &ops,
            links: link_count,
            signature: &signature,
        },
    );
    Ok(())
}
