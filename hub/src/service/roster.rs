//! The roster at the hub: appended to by compare-and-swap, handed out in order, and how far seats
//! have come when their rights are to end.
//!
//! The hub refuses what isn't the next link, and what changes nothing because its author may not:
//! the chain is kept by everyone for ever, and no stranger makes it long. Whatever else a roster op
//! says, devices judge.

use std::collections::{BTreeSet, HashMap};

use kolonne_model::hub::{
    AppendRoster, HubError, LastOps, LastOpsAnswer, MAX_PART_BYTES, Part, RefusalCode,
    RosterAnswer, RosterFrom,
};
use kolonne_model::ids::{CompanyId, DeviceId, Hash32, OpId, SeatId};
use kolonne_model::page::{self, NoBases, ReceivedSegment};
use kolonne_model::roster::change::{DeviceKind, Role};
use kolonne_model::roster::state::Void;
use kolonne_model::roster::{Effect, Roster, RosterRefusal, part_hash};
use kolonne_model::strand::VerifiedOp;

use super::pull::{MAX_ANSWER_BYTES, is_for, newest_link};
use super::routing::{Access, all_parts};
use super::{HubService, answer, trouble};
use crate::storage::{Keep, PartToKeep, RosterKept, SignOfRestore};

/// Heads with their proofs in one answer.
const MAX_LAST_OPS: usize = 1000;
/// Signs of a restore taken from one author in a day. Each makes all devices send anew, so nobody
/// may cause that at will; an honest restore needs one, and its copy knows no signs after itself.
const MAX_SIGNS_PER_DAY: u32 = 4;
const DAY_MS: u64 = 24 * 3600 * 1000;

/// Who hands roster ops over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    /// Who wrote it: one, on the newest.
    Author,
    /// Whoever has them: what this hub lacks.
    WhoKnowsMore,
}

/// Whether an op lies in the chain for nothing: it changes nothing here, and no newer app can find more
/// in it, since who wrote it may not change the roster.
const fn is_for_nothing(effect: Effect, by: Writer) -> bool {
    match (effect, by) {
        (Effect::Applied, _) | (Effect::Void(Void::Newer | Void::Digest), Writer::Entitled) => {
            false
        }
        (Effect::Void(_), _) => true,
    }
}

/// Whether who wrote an op may change the roster at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writer {
    Entitled,
    Nobody,
}

fn writer(roster: &Roster, seat: &SeatId) -> Writer {
    let is_root = roster.root_key().map(SeatId::of_key) == Some(*seat);
    if is_root || roster.role_now(seat) >= Some(Role::Office) {
        Writer::Entitled
    } else {
        Writer::Nobody
    }
}

/// Whom this hub's own chain still hears: a seat that stands, or the root of today.
fn stands(roster: &Roster, seat: &SeatId) -> bool {
    let is_root = roster.root_key().map(SeatId::of_key) == Some(*seat);
    is_root || (roster.seat(seat).is_some() && roster.ends_of(seat).next().is_none())
}

/// Who may be told how far seats have come, to end them: a device of the office, or any on which an
/// office person writes.
fn may_end(roster: &Roster, access: &Access, device: &DeviceId) -> bool {
    let Access::Rings(rings) = access else {
        return false;
    };
    let kind = roster.device(device).map(|device| device.cert.kind);
    kind == Some(DeviceKind::Office)
        || roster.seats().any(|(id, seat)| {
            let is_served = |person| rings.contains_key(person);
            seat.cert.device == *device
                && seat.cert.person.as_ref().is_some_and(is_served)
                && roster.role_now(id) >= Some(Role::Office)
        })
}

/// An op that proves itself on an earlier link: a branch that this hub doesn't know.
fn other_branch(roster: &Roster, segment: &ReceivedSegment) -> Option<VerifiedOp> {
    let first = segment.ops.first()?;
    let links = roster.links();
    let fork = links
        .iter()
        .position(|link| link.id == first.context().previous)?
        + 1;
    if fork >= links.len() {
        return None;
    }
    let mut branch = roster.through(fork);
    let op = branch.verify(segment.clone()).ok()?;
    (branch.append(&op) == Effect::Applied).then_some(op)
}

impl HubService {
    /// Takes roster ops on the newest by compare-and-swap.
    pub(super) fn extend_roster(
        &self,
        company: CompanyId,
        page: &[u8],
        parts: &[Part],
        from: From,
    ) -> Result<(), HubError> {
        const FORM: HubError = HubError::Refused(RefusalCode::Form);
        let segments = page::read(page).map_err(|_| FORM)?;
        if segments.is_empty() || (from == From::Author && segments.len() > 1) {
            return Err(FORM);
        }
        let view = self.view(company)?;
        let mut roster = view.roster.clone();
        let (mut ops, mut sign, mut through) = (Vec::new(), None, 0);
        for segment in segments {
            let segment = segment.resolve(&company, &NoBases).map_err(|_| FORM)?;
            if let [op] = &*segment.ops
                && roster.has(&op.form.id())
            {
                continue;
            }
            if from == From::WhoKnowsMore
                && let Some(sign) = other_branch(&roster, &segment)
            {
                self.put_back(&view.roster, &sign)?;
                return Err(HubError::RosterMoved);
            }
            let op = roster.verify(segment).map_err(|refusal| match refusal {
                RosterRefusal::NotNext => HubError::RosterMoved,
                RosterRefusal::Founding => HubError::Refused(RefusalCode::Company),
                RosterRefusal::Author => HubError::Refused(RefusalCode::Seat),
                RosterRefusal::Refused(_) => HubError::Refused(RefusalCode::Signature),
            })?;
            let founds = roster.links().is_empty();
            let author = op.context().seat;
            let by = writer(&roster, &author);
            let effect = roster.append(&op);
            let for_nothing = is_for_nothing(effect, by);
            if effect != Effect::Applied && founds {
                return Err(HubError::Refused(RefusalCode::Company));
            }
            if for_nothing && from == From::Author {
                return Err(HubError::NotAllowed);
            }
            if effect == Effect::Applied && stands(&view.roster, &author) {
                sign.get_or_insert_with(|| op.clone());
            }
            ops.push(op);
            if !for_nothing {
                through = ops.len();
            }
        }
        // What lies under an op that holds is part of the chain; what nobody went on from is not.
        ops.truncate(through);
        if ops.is_empty() {
            return Ok(());
        }
        let keep = Keep {
            received_ms: self.now_ms(),
            quota_bytes: u64::MAX,
        };
        let names: HashMap<OpId, BTreeSet<Hash32>> =
            ops.iter().map(|op| (op.id(), all_parts(op.op()))).collect();
        let parts: Vec<PartToKeep<'_>> = parts
            .iter()
            .filter(|part| part.bytes.len() <= MAX_PART_BYTES)
            .filter_map(|part| {
                let hash = part_hash(&part.bytes);
                let named = names.get(&part.op)?.contains(&hash);
                named.then_some(PartToKeep {
                    op: part.op,
                    hash,
                    bytes: &part.bytes,
                })
            })
            .collect();
        match self
            .storage
            .append_roster(&company, &ops, &parts, keep)
            .map_err(trouble)?
        {
            RosterKept::Appended => {
                if let Some(root) = roster.root_key().map(CompanyId::of_root)
                    && root != company
                {
                    self.storage
                        .name_by_root(&root, &company)
                        .map_err(trouble)?;
                }
                // Who knows more than this hub shows that it was put back.
                if let Some(sign) = sign.filter(|_| from == From::WhoKnowsMore) {
                    self.put_back(&view.roster, &sign)?;
                }
                self.wake_up(company);
                Ok(())
            }
            RosterKept::Moved => Err(HubError::RosterMoved),
        }
    }

    /// What was promised since the copy that this hub goes on from may be lost: promises begin anew.
    /// Whom the hub's own chain doesn't hear (any more) is no sign of it.
    fn put_back(&self, chain: &Roster, sign: &VerifiedOp) -> Result<(), HubError> {
        let (company, author) = (chain.company(), sign.context().seat);
        if !stands(chain, &author) {
            return Ok(());
        }
        let now_ms = self.now_ms();
        let sign = SignOfRestore {
            op: sign.id(),
            author,
            at_ms: now_ms,
        };
        let most = (MAX_SIGNS_PER_DAY, now_ms.saturating_sub(DAY_MS));
        let begun = self
            .storage
            .begin_epoch(&company, &sign, most, self.env.random())
            .map_err(trouble)?;
        if begun {
            tracing::warn!(%company, "a device knows more of the roster: this hub was put back");
        }
        Ok(())
    }

    pub(crate) fn append_roster(
        &self,
        company: CompanyId,
        device: &DeviceId,
        append: &AppendRoster,
    ) -> Result<(), HubError> {
        if !matches!(
            self.enter(company, device)?.1,
            Access::Rings(_) | Access::Root
        ) {
            return Err(HubError::NotAllowed);
        }
        self.extend_roster(company, &append.page, &append.parts, From::Author)?;
        // An op that was here already may have come without them.
        self.keep_parts(company, &append.parts)?;
        self.wake_up(company);
        Ok(())
    }

    pub(crate) fn last_ops(
        &self,
        company: CompanyId,
        device: &DeviceId,
        asked: &LastOps,
    ) -> Result<LastOpsAnswer, HubError> {
        let (view, access) = self.enter(company, device)?;
        if !may_end(&view.roster, &access, device) {
            return Err(HubError::NotAllowed);
        }
        let skip = usize::try_from(asked.skip).map_err(|_| HubError::Refused(RefusalCode::Form))?;
        let mut heads = Vec::new();
        for thread in self.storage.threads(&company, 0).map_err(trouble)? {
            let all = self.storage.heads(&company, &thread.thread);
            let of = all.map_err(trouble)?.into_iter();
            heads.extend(of.filter(|head| asked.seats.contains(&head.strand.seat)));
        }
        let more = heads.len() > skip.saturating_add(MAX_LAST_OPS);
        let mut ops = Vec::new();
        for head in heads.iter().skip(skip).take(MAX_LAST_OPS) {
            let op = self.storage.op(&company, &head.head.id).map_err(trouble)?;
            ops.extend(op.map(|mut op| {
                op.op.payload = None;
                op
            }));
        }
        let heads = u32::try_from(ops.len()).map_err(|_| HubError::TooLarge)?;
        let page = answer::page(&*self.storage, &company, ops).map_err(trouble)?;
        Ok(LastOpsAnswer {
            page: page.into(),
            heads,
            more,
        })
    }

    pub(crate) fn roster(
        &self,
        company: CompanyId,
        device: &DeviceId,
        from: &RosterFrom,
    ) -> Result<RosterAnswer, HubError> {
        const BATCH: u32 = 256;
        let (view, access) = self.enter(company, device)?;
        let stored = self
            .storage
            .roster_ops(&company, from.seq.max(1), BATCH)
            .map_err(trouble)?;
        let mut more = stored.len() == usize::try_from(BATCH).unwrap_or(usize::MAX);
        let (mut ops, mut parts, mut bytes) = (Vec::new(), Vec::new(), 0u64);
        for op in stored {
            if !is_for(&access, &op) {
                more = false;
                break;
            }
            if bytes >= MAX_ANSWER_BYTES {
                more = true;
                break;
            }
            bytes = bytes.saturating_add(op.op.payload.as_ref().map_or(0, Vec::len) as u64);
            let allowed = view.parts_for(&access, &op);
            if !allowed.is_empty() {
                for (hash, part) in self.storage.parts(&company, &op.id).map_err(trouble)? {
                    let fits = bytes.saturating_add(part.len() as u64) <= 2 * MAX_ANSWER_BYTES;
                    if allowed.contains(&hash) && fits {
                        bytes = bytes.saturating_add(part.len() as u64);
                        parts.push(Part {
                            op: op.id,
                            bytes: part.into(),
                        });
                    }
                }
            }
            ops.push(op);
        }
        let page = answer::page(&*self.storage, &company, ops).map_err(trouble)?;
        Ok(RosterAnswer {
            page: page.into(),
            parts,
            more,
            newest: newest_link(&view, &access).map(|newest| newest.head),
            epoch: Some(self.storage.epoch_of(&company).map_err(trouble)?),
        })
    }
}
