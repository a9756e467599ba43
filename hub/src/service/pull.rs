//! What a device may have: the roster, the threads its rings are members of, its own key files.
//!
//! A cursor names a place in the company's sequence and, in its mark, up to where the device's
//! visibility was looked at; what became visible later is named to be filled.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use kolonne_model::hub::{
    Cursor, Fetch, FetchAnswer, Heads, HeadsAnswer, HubError, Part, Pull, PullAnswer, PullStart,
};
use kolonne_model::ids::{CompanyId, DeviceId, Head, OpId, Strand, StrandHead, ThreadId};
use kolonne_model::op::Class;
use kolonne_model::page::MAX_PAGE_BYTES;

use super::routing::{Access, View, cut_lists_of, erases};
use super::{HubService, answer, trouble};
use crate::storage::{Item, LogEntry, StoredOp, ThreadOp};

/// Most bytes of ops and parts in an answer, whatever is asked for.
pub(super) const MAX_ANSWER_BYTES: u64 = 512 * 1024;
/// Entries of the sequence looked at for one answer.
const SCAN: u32 = 4096;
const SCANS: usize = 8;
/// Blobs named in one answer.
const MAX_BLOBS: usize = 16 * 1024;
/// Heads in one answer, within the size of a message.
const MAX_HEADS: usize = 16 * 1024;

/// A cursor's mark: how far beyond (or before) its place visibility was looked at, and the first bytes of
/// what lies at its place, so that a database that was put back is noticed.
struct Mark {
    seen_through: u64,
    check: [u8; 4],
}

impl Mark {
    fn of(cursor: &Cursor) -> Self {
        let [a, b, c, d, check @ ..] = cursor.mark;
        let ahead = i32::from_be_bytes([a, b, c, d]);
        Self {
            seen_through: cursor.hub_seq.saturating_add_signed(ahead.into()),
            check,
        }
    }

    fn bytes(&self, hub_seq: u64) -> [u8; 8] {
        let ahead = self
            .seen_through
            .cast_signed()
            .saturating_sub(hub_seq.cast_signed());
        let ahead = i32::try_from(ahead).unwrap_or(if ahead < 0 { i32::MIN } else { i32::MAX });
        let mut mark = [0; 8];
        for (to, from) in mark
            .iter_mut()
            .zip(ahead.to_be_bytes().iter().chain(&self.check))
        {
            *to = *from;
        }
        mark
    }
}

fn check_of(entry: &LogEntry) -> [u8; 4] {
    let hash = match &entry.item {
        Item::Op { id, .. } => &id.0,
        Item::Part { hash, .. } => &hash.0,
        Item::Blob(blob) => &blob.0,
    };
    hash.first_chunk().copied().unwrap_or_default()
}

impl HubService {
    pub(crate) fn pull(
        &self,
        company: CompanyId,
        device: &DeviceId,
        pull: &Pull,
    ) -> Result<PullAnswer, HubError> {
        let (view, access) = self.enter(company, device)?;
        let (from, mark) = match (&pull.cursor, pull.start) {
            (None, Some(PullStart::End)) => self.end(&company, view.through)?,
            (cursor, _) => self.read_cursor(&company, cursor.as_ref(), view.through)?,
        };
        let limit = u64::from(pull.limit_bytes).clamp(1, MAX_ANSWER_BYTES);
        let (mut entries, mut last) = self.gather(&company, &view, &access, from, limit)?;
        let (page, parts) = loop {
            let (page, parts) = self.answer(&company, &view, &access, &entries)?;
            if page.len() <= MAX_PAGE_BYTES || entries.len() <= 1 {
                break (page, parts);
            }
            // Links made it too large: fewer entries.
            entries.truncate(entries.len() / 2);
            last = entries.last().copied();
        };
        let hub_seq = last.map_or(from, |entry| entry.hub_seq);
        let check = last.map_or(mark.check, |entry| check_of(&entry));
        let row = self
            .storage
            .company(&company)
            .map_err(trouble)?
            .ok_or(HubError::NotThere)?;
        let more = row.hub_seq > hub_seq;
        let mut seen_through = mark.seen_through;
        let (mut fill, mut sum) = (Vec::new(), [0; 16]);
        if !more {
            for thread in self.storage.threads(&company, 0).map_err(trouble)? {
                let Some(since) = view.sees(&access, &thread.thread) else {
                    continue;
                };
                add_sum(&mut sum, thread.sum);
                if since > mark.seen_through && thread.first_seq <= hub_seq {
                    fill.push(thread.thread);
                }
            }
            if let Some(newest) = newest_link(&view, &access) {
                add_sum(&mut sum, newest.sum());
            }
            seen_through = view.through.max(mark.seen_through);
        }
        let blobs = entries.iter().filter_map(|entry| match entry.item {
            Item::Blob(blob) => Some(blob),
            _ => None,
        });
        Ok(PullAnswer {
            page: page.into(),
            parts,
            blobs: blobs.collect(),
            fill,
            cursor: Cursor {
                epoch: self.storage.epoch_of(&company).map_err(trouble)?,
                hub_seq,
                mark: Mark {
                    seen_through,
                    check,
                }
                .bytes(hub_seq),
            },
            more,
            sum,
            time_ms: self.now_ms(),
        })
    }

    /// The end of what is visible; nothing was looked at before it.
    fn end(&self, company: &CompanyId, through: u64) -> Result<(u64, Mark), HubError> {
        let check = match through.checked_sub(1) {
            None => [0; 4],
            Some(before) => {
                let entry = self.storage.log(company, before, 1).map_err(trouble)?;
                entry.first().map(check_of).ok_or(HubError::NotThere)?
            }
        };
        let seen_through = 0;
        Ok((
            through,
            Mark {
                seen_through,
                check,
            },
        ))
    }

    /// Where to read on from, unless the cursor is of another life.
    fn read_cursor(
        &self,
        company: &CompanyId,
        cursor: Option<&Cursor>,
        through: u64,
    ) -> Result<(u64, Mark), HubError> {
        let Some(cursor) = cursor else {
            return Ok((
                0,
                Mark {
                    seen_through: through,
                    check: [0; 4],
                },
            ));
        };
        let mark = Mark::of(cursor);
        let check = match cursor.hub_seq.checked_sub(1) {
            None => Some([0; 4]),
            Some(before) => {
                let entry = self.storage.log(company, before, 1).map_err(trouble)?;
                entry.first().map(check_of)
            }
        };
        let epoch = self.storage.epoch_of(company).map_err(trouble)?;
        if cursor.epoch != epoch || check != Some(mark.check) {
            return Err(HubError::OtherEpoch);
        }
        Ok((cursor.hub_seq, mark))
    }

    /// The entries a device may have beyond a place, and the last one looked at.
    fn gather(
        &self,
        company: &CompanyId,
        view: &View,
        access: &Access,
        from: u64,
        limit_bytes: u64,
    ) -> Result<(Vec<LogEntry>, Option<LogEntry>), HubError> {
        let roster = company.roster_thread();
        let (mut entries, mut last, mut bytes) = (Vec::new(), None::<LogEntry>, 0u64);
        for _ in 0..SCANS {
            let after = last.map_or(from, |entry| entry.hub_seq);
            let scan = self.storage.log(company, after, SCAN).map_err(trouble)?;
            let is_end = scan.is_empty();
            for entry in scan {
                // What came after the view was taken is for the next answer.
                if entry.hub_seq > view.through || bytes >= limit_bytes {
                    return Ok((entries, last));
                }
                last = Some(entry);
                let tells = match entry.item {
                    Item::Op { id, .. } => view.tells_of_erasure(access, &entry.thread, &id),
                    _ => false,
                };
                if tells
                    || entry.thread == roster
                    || view.may_have(access, &entry.thread, entry.hub_seq)
                {
                    bytes = bytes.saturating_add(entry.bytes);
                    entries.push(entry);
                }
            }
            if is_end {
                break;
            }
        }
        Ok((entries, last))
    }

    /// The page and parts of entries, as far as the device may have them.
    fn answer(
        &self,
        company: &CompanyId,
        view: &View,
        access: &Access,
        entries: &[LogEntry],
    ) -> Result<(Vec<u8>, Vec<Part>), HubError> {
        let (mut ops, mut parts) = (Vec::new(), Vec::new());
        let mut may_have = HashMap::new();
        for entry in entries {
            match entry.item {
                Item::Op { id, .. } => ops.extend(self.op_for(company, view, access, &id)?),
                Item::Part { op, hash } => {
                    if let Entry::Vacant(unknown) = may_have.entry(op) {
                        let stored = self.storage.op(company, &op).map_err(trouble)?;
                        let allowed = stored
                            .filter(|op| !view.is_erased(&entry.thread, &op.id))
                            .map(|op| view.parts_for(access, &op));
                        unknown.insert(allowed.unwrap_or_default());
                    }
                    if may_have
                        .get(&op)
                        .is_some_and(|allowed| allowed.contains(&hash))
                    {
                        let bytes = self.storage.part(company, &op, &hash).map_err(trouble)?;
                        parts.extend(bytes.map(|bytes| Part {
                            op,
                            bytes: bytes.into(),
                        }));
                    }
                }
                Item::Blob(_) => {}
            }
        }
        let page = answer::page(&*self.storage, company, ops).map_err(trouble)?;
        Ok((page, parts))
    }

    fn op_for(
        &self,
        company: &CompanyId,
        view: &View,
        access: &Access,
        id: &OpId,
    ) -> Result<Option<StoredOp>, HubError> {
        let op = self.storage.op(company, id).map_err(trouble)?;
        let Some(mut op) = op else { return Ok(None) };
        let thread = op.op.form.context.thread;
        let tells = view.tells_of_erasure(access, &thread, id);
        // What lies before an erase is proof only.
        if view.is_erased(&thread, id) || (tells && !erases(&op.op)) {
            op.op.payload = None;
        }
        Ok(Some(op).filter(|op| tells || is_for(access, op)))
    }

    pub(crate) fn fetch(
        &self,
        company: CompanyId,
        device: &DeviceId,
        fetch: &Fetch,
    ) -> Result<FetchAnswer, HubError> {
        let (view, access) = self.enter(company, device)?;
        let last = match view.sees(&access, &fetch.thread) {
            Some(_) => u64::MAX,
            None => view
                .had_until(&access, &fetch.thread)
                .ok_or(HubError::NotThere)?,
        };
        let limit = u64::from(fetch.limit_bytes).clamp(1, MAX_ANSWER_BYTES);
        let mut wanted = self.beyond(&company, fetch)?;
        wanted.retain(|op| op.hub_seq <= last);
        let mut count = 0;
        let mut bytes = 0u64;
        let mut parts_of = Vec::new();
        for op in &wanted {
            if bytes >= limit {
                break;
            }
            count += 1;
            bytes = bytes.saturating_add(op.bytes);
            let stored = self.op_for(&company, &view, &access, &op.at.head.id)?;
            let Some(stored) = stored else { continue };
            let mut parts = Vec::new();
            if stored.op.form.context.class.class == Class::Control {
                let allowed = view.parts_for(&access, &stored);
                let all = if allowed.is_empty() {
                    Vec::new()
                } else {
                    self.storage.parts(&company, &stored.id).map_err(trouble)?
                };
                for (_, part) in all.into_iter().filter(|(hash, _)| allowed.contains(hash)) {
                    bytes = bytes.saturating_add(part.len() as u64);
                    parts.push(Part {
                        op: stored.id,
                        bytes: part.into(),
                    });
                }
            }
            parts_of.push((stored, parts));
        }
        let (page, mut parts, count) = loop {
            let ops = parts_of.iter().map(|(op, _)| op.clone()).collect();
            let page = answer::page(&*self.storage, &company, ops).map_err(trouble)?;
            if page.len() <= MAX_PAGE_BYTES || parts_of.len() <= 1 {
                let parts: Vec<Part> = parts_of.into_iter().flat_map(|(_, parts)| parts).collect();
                break (page, parts, count);
            }
            parts_of.truncate(parts_of.len() / 2);
            count = parts_of.len();
        };
        let more = count < wanted.len();
        let mut blobs = Vec::new();
        if !more && last == u64::MAX {
            // Who comes after an end judges what the ended one had said here by the same cuts.
            parts.extend(self.cut_lists(&company, &view, &access, &fetch.thread)?);
            blobs = self
                .storage
                .blobs(&company, &fetch.thread)
                .map_err(trouble)?;
            blobs.truncate(MAX_BLOBS);
        }
        Ok(FetchAnswer {
            page: page.into(),
            parts,
            more,
            blobs,
        })
    }

    fn cut_lists(
        &self,
        company: &CompanyId,
        view: &View,
        access: &Access,
        thread: &ThreadId,
    ) -> Result<Vec<Part>, HubError> {
        let mut lists = Vec::new();
        for op in view.cuts_of(thread) {
            let Some(stored) = self.storage.op(company, op).map_err(trouble)? else {
                continue;
            };
            let of_thread = cut_lists_of(&stored, thread);
            let allowed = view.parts_for(access, &stored);
            for (hash, bytes) in self.storage.parts(company, op).map_err(trouble)? {
                if allowed.contains(&hash) && of_thread.contains(&hash) {
                    lists.push(Part {
                        op: *op,
                        bytes: bytes.into(),
                    });
                }
            }
        }
        Ok(lists)
    }

    /// The ops of a thread that the heads of a device don't include, in the order they came.
    fn beyond(&self, company: &CompanyId, fetch: &Fetch) -> Result<Vec<ThreadOp>, HubError> {
        let ops = self
            .storage
            .thread_ops(company, &fetch.thread)
            .map_err(trouble)?;
        let previous: HashMap<OpId, OpId> =
            ops.iter().map(|op| (op.at.head.id, op.previous)).collect();
        let mut newest: HashMap<Strand, u32> = HashMap::new();
        for op in &ops {
            let seq = newest.entry(op.at.strand).or_default();
            *seq = op.at.head.seq.max(*seq);
        }
        let mut has = HashSet::new();
        let mut ahead = HashSet::new();
        for StrandHead {
            strand,
            head: Head { seq, id },
        } in &fetch.have
        {
            if !previous.contains_key(id) && newest.get(strand).is_some_and(|newest| seq > newest) {
                ahead.insert(*strand); // the device has more of it than the hub
            }
            let mut at = *id;
            while let Some(before) = previous.get(&at)
                && has.insert(at)
            {
                at = *before;
            }
        }
        let is_wanted =
            |op: &ThreadOp| !has.contains(&op.at.head.id) && !ahead.contains(&op.at.strand);
        Ok(ops.into_iter().filter(is_wanted).collect())
    }

    pub(crate) fn heads(
        &self,
        company: CompanyId,
        device: &DeviceId,
        heads: &Heads,
    ) -> Result<HeadsAnswer, HubError> {
        let (view, access) = self.enter(company, device)?;
        let threads: Vec<_> = if heads.threads.is_empty() {
            view.seen(&access).collect()
        } else {
            let asked = heads.threads.iter().copied();
            asked
                .filter(|thread| view.sees(&access, thread).is_some())
                .collect()
        };
        let mut answer = HeadsAnswer {
            heads: Vec::new(),
            roster: None,
        };
        for thread in threads {
            answer
                .heads
                .extend(self.storage.heads(&company, &thread).map_err(trouble)?);
            if answer.heads.len() > MAX_HEADS {
                return Err(HubError::TooLarge);
            }
        }
        answer.roster = newest_link(&view, &access);
        Ok(answer)
    }
}

/// The roster's newest op, for who has all of it.
pub(super) fn newest_link(view: &View, access: &Access) -> Option<StrandHead> {
    let has_all = matches!(access, Access::Root | Access::Rings(_));
    view.roster.newest_head().filter(|_| has_all)
}

fn add_sum(to: &mut [u8; 16], sum: [u8; 16]) {
    for (to, from) in to.iter_mut().zip(sum) {
        *to ^= from;
    }
}

/// Whether an op whose thread the device sees is for it: one that ended has the roster up to and
/// with its end (and by [`View::tells_of_erasure`] what is erased).
pub(super) fn is_for(access: &Access, op: &StoredOp) -> bool {
    let context = &op.op.form.context;
    match access {
        Access::Unknown => false,
        Access::Root => context.class.class == Class::Roster,
        Access::Ended { through, .. } => {
            context.class.class == Class::Roster && context.seq <= *through
        }
        Access::Rings(_) => true,
    }
}
