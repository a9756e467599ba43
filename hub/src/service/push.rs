//! Ops on their way in: put together, proven, kept, receipted.
//!
//! Whatever order, however often: an op that lies here takes no second place. Rights don't
//! matter here but for how much a seat may bring after its end.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use kolonne_model::hub::{
    HubError, MAX_PART_BYTES, Part, Push, PushAnswer, RefusalCode, SegmentOutcome,
};
use kolonne_model::ids::{CompanyId, DeviceId, OpId, SeatId, Strand, StrandHead};
use kolonne_model::op::{Class, Context};
use kolonne_model::page::{
    self, Bases, NoBases, PageError, RawSegment, ReceivedSegment, ResolveError,
};
use kolonne_model::receipt::OpReceipt;
use kolonne_model::roster::part_hash;
use kolonne_model::strand::{self, Refusal, VerifiedOp, VerifiedSegment};

use super::routing::{View, all_parts};
use super::{HubService, trouble};
use crate::storage::{Keep, Kept, PartToKeep, Storage};

/// Extensions of a segment at most, so that its links always fit a page again.
const MAX_SEGMENT_EXTENSION_BYTES: usize = 256 * 1024;
const DAY_MS: u64 = 24 * 3600 * 1000;
const QUARANTINE_RETRY_MS: u64 = 3600 * 1000;

/// What a page may build on: the storage, and ops before it in the same page.
struct PageBases<'a> {
    storage: &'a dyn Storage,
    company: CompanyId,
    in_page: HashMap<(Strand, u32), (OpId, Context)>,
}

impl Bases for PageBases<'_> {
    fn strand(&self, handle: u64) -> Option<Strand> {
        self.storage.strand(&self.company, handle).ok().flatten()
    }

    fn op_at(&self, strand: &Strand, seq: u32) -> Option<(OpId, Context)> {
        self.in_page.get(&(*strand, seq)).copied().or_else(|| {
            self.storage
                .op_at(&self.company, strand, seq)
                .ok()
                .flatten()
        })
    }
}

/// Whether a segment said everything itself: else a failed signature may be a wrong base's.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Said {
    InFull,
    Abbreviated,
}

fn put_together(
    raw: RawSegment,
    bases: &PageBases<'_>,
) -> Result<(ReceivedSegment, Said), SegmentOutcome> {
    const FORM: SegmentOutcome = SegmentOutcome::Refused(RefusalCode::Form);
    match raw.clone().resolve(&bases.company, &NoBases) {
        Ok(segment) => return Ok((segment, Said::InFull)),
        Err(ResolveError::UnknownBase | ResolveError::UnknownHandle) => {}
        Err(_) => return Err(FORM),
    }
    raw.resolve(&bases.company, bases)
        .map(|segment| (segment, Said::Abbreviated))
        .map_err(|_| SegmentOutcome::NeedsFullValues)
}

impl HubService {
    pub(crate) fn push(
        &self,
        company: CompanyId,
        device: &DeviceId,
        push: &Push,
    ) -> Result<PushAnswer, HubError> {
        let (view, _) = self.enter(company, device)?;
        let raw = page::read(&push.page).map_err(|e| match e {
            PageError::TooLarge => HubError::TooLarge,
            _ => HubError::Refused(RefusalCode::Form),
        })?;
        let mut bases = PageBases {
            storage: &*self.storage,
            company,
            in_page: HashMap::new(),
        };
        let mut late = BTreeMap::new();
        let (mut places, mut segments, mut outcomes) = (Vec::new(), Vec::new(), Vec::new());
        for (place, raw) in (0u32..).zip(raw) {
            match self.prove(&view, &mut bases, &mut late, raw) {
                Ok(segment) => {
                    places.push(place);
                    segments.push(segment);
                }
                Err(outcome) => outcomes.push((place, outcome)),
            }
        }
        let keep = Keep {
            received_ms: self.now_ms(),
            quota_bytes: self.quotas.company_bytes,
        };
        let strands: Vec<_> = segments
            .iter()
            .map(|segment| segment.ops.first().map(VerifiedOp::strand))
            .collect();
        let kept = if segments.is_empty() {
            Vec::new()
        } else {
            self.storage
                .append(&company, segments, keep)
                .map_err(trouble)?
        };
        let epoch = self.storage.epoch_of(&company).map_err(trouble)?;
        let mut newest: BTreeMap<Strand, OpReceipt> = BTreeMap::new();
        let (mut forked, mut payloads_refused) = (BTreeMap::new(), Vec::new());
        for ((place, strand), kept) in places.iter().zip(strands).zip(kept) {
            let Some(strand) = strand else { continue };
            let (head, hub_seq, handle) = match kept {
                Kept::Gap => {
                    outcomes.push((*place, SegmentOutcome::Gap));
                    continue;
                }
                Kept::Through {
                    head,
                    hub_seq,
                    handle,
                    forked: is_forked,
                    payloads_dropped,
                } => {
                    payloads_refused.extend(payloads_dropped);
                    if is_forked {
                        forked.insert(strand, StrandHead { strand, head });
                    }
                    (head, hub_seq, handle)
                }
            };
            if newest
                .get(&strand)
                .is_none_or(|receipt| receipt.through.head.seq < head.seq)
            {
                let through = StrandHead { strand, head };
                let at = (epoch, hub_seq);
                let receipt =
                    OpReceipt::new(&self.key, &company, through, at, keep.received_ms, handle);
                newest.insert(strand, receipt);
            }
        }
        self.keep_parts(company, &push.parts)?;
        self.wake_up(company);
        outcomes.sort_unstable_by_key(|(place, _)| *place);
        Ok(PushAnswer {
            receipts: newest.into_values().collect(),
            outcomes,
            forked: forked.into_values().collect(),
            payloads_refused,
        })
    }

    fn prove(
        &self,
        view: &View,
        bases: &mut PageBases<'_>,
        late: &mut BTreeMap<SeatId, (u64, u64)>,
        raw: RawSegment,
    ) -> Result<VerifiedSegment, SegmentOutcome> {
        use SegmentOutcome::{NeedsFullValues, Refused};
        let (segment, said) = put_together(raw, bases)?;
        let extensions: usize = segment
            .ops
            .iter()
            .filter_map(|op| op.extension.as_ref())
            .map(Vec::len)
            .sum();
        let is_roster = segment.strand.thread == bases.company.roster_thread()
            || segment
                .ops
                .iter()
                .any(|op| op.context().class.class == Class::Roster);
        if is_roster || extensions > MAX_SEGMENT_EXTENSION_BYTES {
            return Err(Refused(RefusalCode::Form));
        }
        let seat = segment.strand.seat;
        let cert = view
            .roster
            .certificate(&seat)
            .ok_or(Refused(RefusalCode::Seat))?;
        let proven = strand::verify(segment, &cert.key, cert.suite).map_err(|refusal| {
            match (refusal, said) {
                (Refusal::Signature, Said::Abbreviated) => NeedsFullValues,
                (Refusal::Signature | Refusal::Chain, _) => Refused(RefusalCode::Signature),
                (Refusal::Suite | Refusal::Class, _) => Refused(RefusalCode::Form),
            }
        })?;
        // Who has no rights (any more) lies in quarantine.
        let is_out =
            view.roster.seat(&seat).is_none() || view.roster.ends_of(&seat).next().is_some();
        if is_out {
            self.count_late(bases.company, seat, late, &proven)?;
        }
        for op in &proven.ops {
            let context = op.context();
            bases
                .in_page
                .insert((op.strand(), context.seq), (op.id(), *context));
        }
        let ops = proven
            .ops
            .into_iter()
            .map(|op| without_erased(view, op))
            .collect();
        Ok(VerifiedSegment {
            ops,
            links: proven.links,
        })
    }

    /// Seats whose rights ended hand over their work, but no flood; a day later there is room.
    fn count_late(
        &self,
        company: CompanyId,
        seat: SeatId,
        late: &mut BTreeMap<SeatId, (u64, u64)>,
        segment: &VerifiedSegment,
    ) -> Result<(), SegmentOutcome> {
        let (ops, bytes) = match late.get(&seat) {
            Some(load) => *load,
            None => self
                .storage
                .seat_load(&company, &seat, self.now_ms().saturating_sub(DAY_MS))
                .map_err(|_| SegmentOutcome::NotNow)?,
        };
        let new_bytes: usize = segment
            .ops
            .iter()
            .filter_map(|op| op.op().payload.as_ref())
            .map(Vec::len)
            .sum();
        let load = (ops + segment.ops.len() as u64, bytes + new_bytes as u64);
        if load.0 > self.quotas.ended_seat_ops || load.1 > self.quotas.ended_bytes {
            return Err(SegmentOutcome::NotNow);
        }
        late.insert(seat, load);
        Ok(())
    }

    pub(super) fn keep_parts(&self, company: CompanyId, parts: &[Part]) -> Result<(), HubError> {
        let mut named = HashMap::new();
        let mut keep = Vec::new();
        for part in parts
            .iter()
            .filter(|part| part.bytes.len() <= MAX_PART_BYTES)
        {
            if let Entry::Vacant(unknown) = named.entry(part.op) {
                let op = self.storage.op(&company, &part.op).map_err(trouble)?;
                let names = op
                    .filter(|op| op.hub_seq.is_some())
                    .map(|op| all_parts(&op.op));
                unknown.insert(names.unwrap_or_default());
            }
            let hash = part_hash(&part.bytes);
            if named
                .get(&part.op)
                .is_some_and(|names| names.contains(&hash))
            {
                keep.push(PartToKeep {
                    op: part.op,
                    hash,
                    bytes: &part.bytes,
                });
            }
        }
        if keep.is_empty() {
            return Ok(());
        }
        let row = self.storage.company(&company).map_err(trouble)?;
        if row.is_some_and(|row| row.stored_bytes > self.quotas.company_bytes) {
            return Err(HubError::NotNow {
                retry_after_ms: QUARANTINE_RETRY_MS,
            });
        }
        self.storage.append_parts(&company, &keep).map_err(trouble)
    }
}

/// An erased payload that arrives late isn't kept.
fn without_erased(view: &View, op: VerifiedOp) -> VerifiedOp {
    if op.op().payload.is_none() || !view.is_erased(&op.context().thread, &op.id()) {
        return op;
    }
    let signature = op.signature().copied();
    let mut op = op.into_op();
    op.payload = None;
    VerifiedOp::from_own_log(op, signature)
}
