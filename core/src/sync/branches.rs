//! The roster at the hub: pulled, handed over where the hub knows less, and made one again where the
//! hub goes on from another branch.
//!
//! Two branches come about when a hub is put back and someone appends before those come who know
//! more. Whoever may, merges them. A hub that confirmed one branch and shows another within one life
//! lies: then nothing new is taken from either until a person decides, and everyone is told.

use std::collections::BTreeMap;
use std::sync::Arc;

use kolonne_model::hub::{AppendRoster, Hub, HubError, MAX_PART_BYTES, Part, RosterFrom};
use kolonne_model::ids::{CompanyId, DeviceId, Hash32, Head, HubEpoch, OpId, RingId, SeatId};
use kolonne_model::page::{self, NoBases};
use kolonne_model::roster::change::{
    Adopt, Change, DeviceKind, End, EndMode, Role, SeatKind, Subject,
};
use kolonne_model::roster::{Effect, Roster, cuts_named, part_hash};
use kolonne_model::strand::VerifiedOp;
use rusqlite::{Connection, Transaction};

use super::{MAX_ROUNDS, blocking, give_roster};
use crate::error::Error;
use crate::folding::unfolded::Rest;
use crate::kolonne::{Inner, Kolonne};
use crate::oplog::{self, Author};
use crate::records::Changed;
use crate::roster_op::{page_of, roster_op};
use crate::store::{get_meta, set_meta};
use crate::transport::Line;
use crate::{keys, rings};

/// Answers of a hub taken for one roster: 256 ops each.
const MAX_ANSWERS: usize = 1000;
/// Bytes of another branch in one merge op.
const BRANCH_BYTES: usize = 50 * 1024;
/// In which life of the hub how much of the chain was confirmed: 8 bytes and 4.
const CONFIRMED: &str = "roster_life";
/// Since when this device knows of a lying hub: 8 bytes.
const ALARM: &str = "roster_alarm";

/// Which branches are merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Merging {
    /// What an honest restore left behind.
    OfRestores,
    /// Also what a lying hub showed: a person wants it.
    OfAll,
}

/// How the hub's chain stands to the one here.
enum Meeting {
    Same,
    /// The hub lacks what is here from this place on.
    Behind(u32),
    Other,
}

/// Where the hub goes on from.
struct Theirs {
    roster: Roster,
    ops: Vec<VerifiedOp>,
    parts: Vec<Part>,
}

impl Kolonne {
    /// Merges two branches of the roster that a lying hub showed, after a person looked at both. The
    /// removals of both hold, and what each added.
    ///
    /// # Errors
    /// `Locked` (`right`) if no seat here may; `Offline`.
    pub async fn merge_roster(&self) -> Result<(), Error> {
        let hub = self.inner.online()?;
        let _one = self.inner.syncing.lock().await;
        pull(&self.inner, &hub, Merging::OfAll).await?;
        let open = self.inner.store.read(|db| {
            let chain = self.inner.chain(db)?;
            Ok(self.inner.beside_other(db, &chain)?.is_some())
        })?;
        if open {
            return Err(Error::Locked { code: "right" });
        }
        Ok(())
    }
}

/// Asks for the roster beyond what is here and appends it; hands over what the hub lacks; merges.
pub(crate) async fn pull_roster(inner: &Arc<Inner>, hub: &Line) -> Result<(), Error> {
    pull(inner, hub, Merging::OfRestores).await
}

async fn pull(inner: &Arc<Inner>, hub: &Line, merging: Merging) -> Result<(), Error> {
    for _ in 0..MAX_ROUNDS {
        let have = inner.store.read(|db| Ok(inner.chain(db)?.links().len()))?;
        let seq = u32::try_from(have).map_or(u32::MAX, |n| n.saturating_add(1));
        let answer = hub.roster(RosterFrom { seq }).await?;
        let (more, newest, epoch) = (answer.more, answer.newest, answer.epoch);
        let taken = blocking(inner, move |inner| {
            inner.take_page(&answer.page, &answer.parts, Rest::IsHere)
        });
        let grew = taken.await?.roster_grew;
        if grew && more {
            continue;
        }
        let Some(newest) = newest else { return Ok(()) };
        match blocking(inner, move |inner| inner.meet(&newest, epoch)).await? {
            Meeting::Same => return Ok(()),
            Meeting::Behind(from) => {
                hand_over(inner, hub, from).await?;
                return Ok(());
            }
            // Someone appended meanwhile.
            Meeting::Other if grew => {}
            Meeting::Other => {
                if !Box::pin(settle(inner, hub, merging)).await? {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

/// Gives the hub the chain from a place on, with its cut lists: it proves itself.
async fn hand_over(inner: &Arc<Inner>, hub: &Line, from: u32) -> Result<(), Error> {
    let thread = inner.company.roster_thread();
    let ops = inner
        .store
        .read(|db| oplog::roster_ops(db, &thread, from))?;
    give_roster(hub, inner.company, &ops).await?;
    for op in ops {
        let parts = inner.store.read(|db| cut_lists(db, &op))?;
        if parts.is_empty() {
            continue;
        }
        let again = AppendRoster {
            page: page_of(&op).into(),
            parts,
        };
        match hub.append_roster(again).await {
            // It goes on from another branch: that is looked at next.
            Ok(()) | Err(HubError::RosterMoved | HubError::NotAllowed) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn cut_lists(db: &Connection, op: &VerifiedOp) -> Result<Vec<Part>, Error> {
    let mut parts = Vec::new();
    for cut in cuts_named(op.op().payload.as_deref()) {
        let bytes = oplog::part(db, &cut.list)?;
        parts.extend(bytes.map(|bytes| Part {
            op: op.id(),
            bytes: bytes.into(),
        }));
    }
    Ok(parts)
}

/// The whole roster that a hub serves, proven from its founding on, and of what comes beside it what
/// its ops name. `company` is none for a kit that replaced another: it proves itself by what the chain
/// says of its root.
pub(crate) async fn whole_roster(
    hub: &Line,
    mut company: Option<CompanyId>,
) -> Result<(Roster, Vec<VerifiedOp>, Vec<Part>), HubError> {
    let mut roster: Option<Roster> = company.map(Roster::new);
    let (mut ops, mut parts) = (Vec::<VerifiedOp>::new(), Vec::new());
    // Whose each part is that some op names, until it came.
    let mut named: BTreeMap<Hash32, Option<OpId>> = BTreeMap::new();
    for _ in 0..MAX_ANSWERS {
        let next = u32::try_from(ops.len()).map_err(|_| HubError::TooLarge)?;
        let asked = RosterFrom {
            seq: next.saturating_add(1),
        };
        let answer = hub.roster(asked).await?;
        let before = ops.len();
        for raw in page::read(&answer.page).unwrap_or_default() {
            if company.is_none() {
                let founding = raw.clone().resolve(&CompanyId::ZERO, &NoBases).ok();
                let first = founding.and_then(|segment| segment.ops.into_iter().next());
                company = first.and_then(|op| kolonne_model::roster::founds(op.payload.as_deref()));
                roster = company.map(Roster::new);
            }
            let (Some(company), Some(roster)) = (&company, &mut roster) else {
                return Err(HubError::NotThere);
            };
            let segment = raw.resolve(company, &NoBases);
            let verified = segment.ok().and_then(|segment| roster.verify(segment).ok());
            let Some(op) = verified else { break };
            roster.append(&op);
            for cut in cuts_named(op.op().payload.as_deref()) {
                named.entry(cut.list).or_insert(Some(op.id()));
            }
            ops.push(op);
        }
        for Part { bytes, .. } in answer.parts {
            if bytes.len() > MAX_PART_BYTES {
                continue;
            }
            let of = named.get_mut(&part_hash(&bytes)).and_then(Option::take);
            if let (Some(op), Some(roster)) = (of, &mut roster) {
                roster.add_part(&bytes);
                parts.push(Part { op, bytes });
            }
        }
        if !answer.more || ops.len() == before {
            break;
        }
    }
    Ok((roster.ok_or(HubError::NotThere)?, ops, parts))
}

/// Looks at the branch that the hub goes on from. Whether to look again.
async fn settle(inner: &Arc<Inner>, hub: &Line, merging: Merging) -> Result<bool, Error> {
    let (roster, ops, parts) = whole_roster(hub, Some(inner.company)).await?;
    let theirs = Theirs { roster, ops, parts };
    let mine = inner.store.read(|db| inner.chain(db))?;
    let fork = mine.shared_with(&theirs.roster);
    if fork == 0 || fork == theirs.roster.links().len() || fork == mine.links().len() {
        return Ok(false);
    }
    if theirs.roster.took_in(&mine) {
        return go_over(inner, theirs).await.map(|()| true);
    }
    // A hub that was put back learns it by this, and begins another life.
    let from = u32::try_from(fork).map_or(u32::MAX, |n| n.saturating_add(1));
    hand_over(inner, hub, from).await?;
    let asked = RosterFrom { seq: u32::MAX };
    let epoch = hub.roster(asked).await?.epoch;
    let confirmed = inner.store.read(|db| confirmed(db))?;
    let lies = confirmed.is_some_and(|(life, place)| Some(life) == epoch && place >= from);
    // Whom this branch ended lets nobody in by the hub's, unless a person wants it.
    let contested = theirs.roster.was_changed_by_ended_of(&mine);
    let alarming = lies || contested;
    if !alarming || merging == Merging::OfAll {
        let author = inner
            .store
            .read(|db| merger(inner, db, &mine, &theirs.roster))?;
        // A merge can't carry the root's word: with the kit the root says it again on the hub's. No root,
        // replaced or not, has a certificate.
        let mut beyond = mine.links().iter().skip(fork);
        let by_root = beyond.any(|link| mine.certificate(&link.author).is_none());
        if let Some(author) = author.filter(|_| !by_root) {
            return merge(inner, hub, &author, &mine, theirs, epoch).await;
        }
    }
    if theirs.roster.overrules(&mine) {
        return go_over(inner, theirs).await.map(|()| true);
    }
    blocking(inner, move |inner| inner.stand_beside(&theirs, alarming)).await?;
    Ok(false)
}

/// Who here may merge: a person of the office, removed in neither branch.
fn merger(
    inner: &Inner,
    db: &Connection,
    mine: &Roster,
    theirs: &Roster,
) -> Result<Option<Author>, Error> {
    let may = |roster: &Roster, seat: &SeatId| roster.role_now(seat) >= Some(Role::Office);
    for seat in keys::own_seats(db)? {
        if may(mine, &seat) && may(theirs, &seat) {
            // A seat that is locked now merges another time.
            return Ok(inner.author(db, &seat).ok());
        }
    }
    Ok(None)
}

/// Carries this branch onto the hub's, in as many ops as it takes.
async fn merge(
    inner: &Arc<Inner>,
    hub: &Line,
    author: &Author,
    mine: &Arc<Roster>,
    mut theirs: Theirs,
    epoch: Option<HubEpoch>,
) -> Result<bool, Error> {
    let fork = mine.shared_with(&theirs.roster);
    let from = u32::try_from(fork).map_or(u32::MAX, |n| n.saturating_add(1));
    let thread = inner.company.roster_thread();
    let ops = inner
        .store
        .read(|db| oplog::roster_ops(db, &thread, from))?;
    let mut left: Vec<VerifiedOp> = ops
        .into_iter()
        .filter(|op| !theirs.roster.has(&op.id()))
        .collect();
    while !left.is_empty() {
        let (mut page, mut carried) = (Vec::new(), Vec::new());
        while let Some(op) = left.first() {
            let one = page_of(op);
            if !page.is_empty() && page.len() + one.len() > BRANCH_BYTES {
                break;
            }
            page.extend(one);
            carried.push(left.remove(0));
        }
        let mut changes = vec![Change::Adopt(Adopt {
            ops: carried.iter().map(VerifiedOp::id).collect(),
            branch: Some(page.into()),
        })];
        let now_ms = inner.now_ms();
        let merged = roster_op(&theirs.roster, &author.secret, now_ms, changes.clone())?;
        let mut after = theirs.roster.clone();
        after.append(&merged);
        changes.extend(
            inner
                .store
                .read(|db| follows(db, mine, &theirs.roster, &after, author))?,
        );
        let op = roster_op(&theirs.roster, &author.secret, now_ms, changes)?;
        let mut parts = Vec::new();
        for one in &carried {
            parts.extend(inner.store.read(|db| cut_lists(db, one))?);
        }
        for part in &mut parts {
            part.op = op.id();
        }
        let request = AppendRoster {
            page: page_of(&op).into(),
            parts: parts.clone(),
        };
        match hub.append_roster(request).await {
            Ok(()) => {}
            Err(HubError::RosterMoved) => return Ok(true),
            Err(error) => return Err(error.into()),
        }
        if theirs.roster.append(&op) != Effect::Applied {
            return Err(Error::internal("roster"));
        }
        theirs.ops.push(op);
        theirs.parts.extend(parts);
    }
    go_over(inner, theirs).await?;
    if let Some(epoch) = epoch {
        blocking(inner, move |inner| {
            let links = inner.store.read(|db| Ok(inner.chain(db)?.links().len()))?;
            inner.store.write(|tx| confirm(tx, &epoch, links))
        })
        .await?;
    }
    Ok(true)
}

/// What a merge does besides: it ends the devices that one branch gave to whom the other ended, and
/// renews their rings, and those of which both branches made a generation under one number: who had
/// been shut out by one may hold the other's.
fn follows(
    db: &Connection,
    mine: &Roster,
    theirs: &Roster,
    after: &Roster,
    author: &Author,
) -> Result<Vec<Change>, Error> {
    let shared = mine.through(mine.shared_with(theirs));
    let newest =
        |roster: &Roster, ring: &RingId| roster.newest_generation(ring).map_or(0, |(n, _)| n);
    let both_made = |ring: &RingId| {
        let before = newest(&shared, ring);
        before > 0 && newest(mine, ring) > before && newest(theirs, ring) > before
    };
    let deserted = deserted(mine, theirs, after, &author.seat);
    let opened = rings::rings_of(after, &deserted);
    let leaving = rings::Leaving {
        ended: &deserted,
        moved: None,
    };
    let mut changes: Vec<Change> = deserted
        .iter()
        .map(|subject| {
            Change::End(End {
                subject: *subject,
                mode: EndMode::Soft,
                cuts: Vec::new(),
                more: None,
            })
        })
        .collect();
    for (ring, _) in after.rings() {
        if both_made(ring) || opened.contains(ring) {
            let next = rings::next_generation(db, after, ring, leaving, &[], Some(author))?;
            changes.push(Change::Ring(next));
        }
    }
    Ok(changes)
}

/// Devices on which someone wrote by one branch and nobody does by both: their people ended. The
/// office's are left to who may end them.
fn deserted(mine: &Roster, theirs: &Roster, after: &Roster, author: &SeatId) -> Vec<Subject> {
    let is_manned = |roster: &Roster, device: &DeviceId| {
        roster.seats().any(|(id, seat)| {
            seat.cert.device == *device
                && seat.cert.kind == SeatKind::Person
                && roster.ends_of(id).next().is_none()
        })
    };
    let is_admin = after.role_now(author) >= Some(Role::Admin);
    after
        .devices()
        .filter(|(_, device)| device.cert.kind == DeviceKind::Phone || is_admin)
        .filter(|(id, _)| !after.device_has_ended(id) && !is_manned(after, id))
        .filter(|(id, _)| is_manned(mine, id) || is_manned(theirs, id))
        .map(|(id, _)| Subject::Device(*id))
        .collect()
}

async fn go_over(inner: &Arc<Inner>, theirs: Theirs) -> Result<(), Error> {
    blocking(inner, move |inner| inner.go_over(&theirs)).await
}

impl Inner {
    fn meet(&self, newest: &Head, epoch: Option<HubEpoch>) -> Result<Meeting, Error> {
        let chain = self.store.read(|db| self.chain(db))?;
        let at = usize::try_from(newest.seq).map_err(|_| Error::Corrupt)?;
        let link = at.checked_sub(1).and_then(|at| chain.links().get(at));
        if link.is_none_or(|link| link.id != newest.id) {
            return Ok(Meeting::Other);
        }
        if at < chain.links().len() {
            return Ok(Meeting::Behind(newest.seq.saturating_add(1)));
        }
        if let Some(epoch) = epoch {
            self.confirm_chain(&epoch, newest.seq)?;
        }
        Ok(Meeting::Same)
    }

    /// The hub confirmed the chain through a place, in this life.
    pub(super) fn confirm_chain(&self, epoch: &HubEpoch, place: u32) -> Result<(), Error> {
        let known = self.store.read(|db| confirmed(db))?;
        if known == Some((*epoch, place)) {
            return Ok(());
        }
        let links = usize::try_from(place).map_err(|_| Error::Corrupt)?;
        self.store.write(|tx| confirm(tx, epoch, links))
    }

    /// Goes on from the hub's branch, which took all in that is here, or which the root overrules it by.
    fn go_over(&self, theirs: &Theirs) -> Result<(), Error> {
        self.store.write(|tx| {
            let before = self.roster(tx)?;
            keep_branch(tx, theirs)?;
            let head = theirs.roster.links().last().ok_or(Error::Corrupt)?.id;
            oplog::set_roster_heads(tx, &head, None)?;
            tx.execute("DELETE FROM meta WHERE key = ?1", [ALARM])?;
            self.judge_by(tx, &before, &theirs.roster).map(drop)
        })?;
        self.went_on(theirs.roster.clone())?;
        self.tell_all();
        Ok(())
    }

    /// Remembers the hub's branch beside this one: removals of both hold, additions of neither.
    fn stand_beside(&self, theirs: &Theirs, alarming: bool) -> Result<(), Error> {
        let chain = self.store.read(|db| self.chain(db))?;
        let head = theirs.roster.links().last().ok_or(Error::Corrupt)?.id;
        let own = chain.links().last().ok_or(Error::Corrupt)?.id;
        let known = self.store.read(|db| {
            let alarmed = get_meta(db, ALARM)?.is_some();
            Ok(oplog::other_roster_head(db)? == Some(head) && alarmed == alarming)
        })?;
        if known {
            return Ok(());
        }
        self.store.write(|tx| {
            let before = self.roster(tx)?;
            keep_branch(tx, theirs)?;
            oplog::set_roster_heads(tx, &own, Some(&head))?;
            if alarming {
                set_meta(tx, ALARM, &self.now_ms().to_be_bytes())?;
            }
            let both = self.beside_other(tx, &chain)?.ok_or(Error::Corrupt)?;
            self.judge_by(tx, &before, &both).map(drop)
        })?;
        tracing::warn!(
            alarming,
            "the hub goes on from another branch of the roster"
        );
        self.tell_all();
        Ok(())
    }

    /// Tells that everything may look different.
    pub(crate) fn tell_all(&self) {
        for changed in [
            Changed::People,
            Changed::Devices,
            Changed::Threads,
            Changed::Me,
        ] {
            self.tell(changed);
        }
    }
}

fn keep_branch(tx: &Transaction<'_>, theirs: &Theirs) -> Result<(), Error> {
    for op in &theirs.ops {
        oplog::keep(tx, op, None)?;
    }
    for part in &theirs.parts {
        oplog::keep_part(tx, &part.op, &part.bytes)?;
    }
    Ok(())
}

/// In which life of the hub the chain was confirmed last, and how far.
fn confirmed(db: &Connection) -> Result<Option<(HubEpoch, u32)>, Error> {
    let bytes = get_meta(db, CONFIRMED)?;
    Ok(bytes.and_then(|bytes| {
        let (epoch, place) = bytes.split_first_chunk::<8>()?;
        let place: [u8; 4] = place.try_into().ok()?;
        Some((HubEpoch(*epoch), u32::from_be_bytes(place)))
    }))
}

/// The hub confirmed the chain through a place, in this life.
fn confirm(tx: &Transaction<'_>, epoch: &HubEpoch, links: usize) -> Result<(), Error> {
    let place = u32::try_from(links).map_err(|_| Error::Corrupt)?;
    set_meta(
        tx,
        CONFIRMED,
        &[&epoch.0[..], &place.to_be_bytes()].concat(),
    )
}

/// The hub took the next op, in the life that it was asked in before.
pub(crate) fn confirm_next(tx: &Transaction<'_>, links: usize) -> Result<(), Error> {
    match confirmed(tx)? {
        Some((epoch, _)) => confirm(tx, &epoch, links),
        None => Ok(()),
    }
}

/// Since when a lie of the hub about the roster is known here.
pub(crate) fn alarm_since_ms(db: &Connection) -> Result<Option<u64>, Error> {
    let bytes = get_meta(db, ALARM)?;
    Ok(bytes
        .and_then(|bytes| bytes.try_into().ok())
        .map(u64::from_be_bytes))
}
