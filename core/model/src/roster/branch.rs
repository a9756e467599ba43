//! What is off the chain that holds: ops that a root op undid, and branches that a merge op carries.
//!
//! A roster never forgets what it was shown: positions off the chain stay known and are judged where
//! they left it. Which changes are taken up again follows from the op alone, so everyone finds the
//! same state.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::change::{Adopt, Change, Role, RootKey};
use super::state::{Author, State, Void, covers};
use super::{Effect, Link, Roster};
use crate::ids::{OpId, RosterDigest, RosterPosition, SeatId};
use crate::op::signed_by;
use crate::page::{self, NoBases};

/// What a link did to the state it stands on.
#[derive(Debug, Clone)]
pub(super) struct Step {
    /// How many links it stands on; fewer than are before it: it undid the ones between.
    pub base: usize,
    /// Its changes, each with where it holds from.
    pub applied: Vec<(RosterPosition, Change)>,
}

impl Step {
    pub fn rotates_root(&self) -> bool {
        self.applied
            .iter()
            .any(|(_, change)| matches!(change, Change::RootKey(_)))
    }
}

/// Another branch that a merge op carried.
#[derive(Debug, Clone)]
pub(super) struct Branch {
    /// How many links both have.
    pub fork: usize,
    /// Who merged it.
    pub by: SeatId,
    /// Its chain, from the founding on.
    pub roster: Arc<Roster>,
}

/// What an op leads to.
pub(super) struct Next {
    pub state: State,
    pub position: RosterPosition,
    pub digest: RosterDigest,
    pub step: Step,
    pub branches: Vec<Branch>,
}

impl Next {
    fn apply(&mut self, roster: &Roster, at: RosterPosition, change: &Change) -> Result<(), Void> {
        self.state.apply(&roster.company, at, change)?;
        self.step.applied.push((at, change.clone()));
        Ok(())
    }

    /// A change off the chain holds again, if it doesn't contradict. Who was certified is so from
    /// where the chain was left, so that what they wrote since counts; what takes a right away, or
    /// moves it, doesn't reach back to who couldn't know.
    fn adopt(&mut self, roster: &Roster, left_at: RosterPosition, change: &Change) {
        let at = match change {
            Change::Ring(_) | Change::Wraps(_) | Change::Device(_) | Change::Seat(_) => left_at,
            _ => self.position,
        };
        // One that contradicts is left out; everyone leaves out the same.
        let _ = self.apply(roster, at, change);
    }
}

impl Roster {
    /// How many links an op stands on that names this position: all, or for the root those through
    /// an earlier one, but not before the latest recovery kit.
    pub(super) fn base(
        &self,
        author: Author,
        named: (RosterPosition, RosterDigest),
    ) -> Result<usize, Void> {
        if named == self.head() {
            return Ok(self.links.len());
        }
        let at = self.place(named).ok_or(Void::Position)?;
        let kit = self.steps.iter().rposition(|step| step.rotates_root());
        let stays = at >= kit.unwrap_or(0) && self.links.get(at).is_some_and(Link::holds);
        if author == Author::Root && stays {
            Ok(at + 1)
        } else {
            Err(Void::Position)
        }
    }

    /// The link at a position.
    pub(super) fn place(
        &self,
        (position, digest): (RosterPosition, RosterDigest),
    ) -> Option<usize> {
        // Positions rise along the chain.
        let at = self
            .links
            .binary_search_by_key(&position, |link| link.position)
            .ok()?;
        (self.links.get(at)?.digest == digest).then_some(at)
    }

    /// The roster as it was after its first `count` links.
    #[must_use]
    pub fn through(&self, count: usize) -> Self {
        let (mut path, mut newer_app_from) = (Vec::new(), None);
        let mut rest = count.min(self.links.len());
        while let Some(at) = rest.checked_sub(1)
            && let (Some(step), Some(link)) = (self.steps.get(at), self.links.get(at))
        {
            if link.effect == Effect::Void(Void::Newer) {
                newer_app_from = Some(link.position);
            }
            path.push(step);
            rest = step.base.min(rest - 1);
        }
        let mut state = State::default();
        for (at, change) in path.iter().rev().flat_map(|step| &step.applied) {
            // It held when it was appended, and so it does now.
            let _ = state.apply(&self.company, *at, change);
        }
        Self {
            company: self.company,
            links: self.links.iter().take(count).copied().collect(),
            steps: self.steps.iter().take(count).cloned().collect(),
            state,
            cut_lists: self.cut_lists.clone(),
            newer_app_from,
            elsewhere: self.elsewhere.clone(),
            branches: self.branches.clone(),
            lapsed: self.lapsed.clone(),
        }
    }

    /// What changes lead to, made by an author on the first `base` links.
    pub(super) fn next(
        &self,
        author: Author,
        seat: &SeatId,
        base: usize,
        changes: &[Change],
    ) -> Result<Next, Void> {
        // What neither changes nor undoes anything would only make the chain longer.
        let does_nothing = changes.is_empty() && base == self.links.len();
        if author == Author::Nobody || does_nothing {
            return Err(Void::Right);
        }
        let before = if base == self.links.len() {
            Cow::Borrowed(&self.state)
        } else {
            Cow::Owned(self.through(base).state)
        };
        let named = self.after(base);
        let merges = |change: &Change| matches!(change, Change::Adopt(a) if a.branch.is_some());
        let opens_term = changes.iter().any(merges) || self.is_root(seat);
        let mut next = Next {
            state: before.clone().into_owned(),
            position: self.next_position(opens_term),
            digest: RosterDigest::ZERO,
            step: Step {
                base,
                applied: Vec::new(),
            },
            branches: Vec::new(),
        };
        for change in changes {
            if !next.state.allows(author, change) {
                return Err(Void::Right);
            }
            match change {
                Change::Adopt(adopt) => self.adopt(&mut next, &before, (author, seat), adopt)?,
                Change::RootKey(root) if !self.is_cosigned(&before, named, root) => {
                    return Err(Void::Right);
                }
                change => next.apply(self, next.position, change)?,
            }
        }
        Ok(next)
    }

    /// An admin agrees who was one before this op: none that it makes.
    fn is_cosigned(
        &self,
        before: &State,
        named: (RosterPosition, RosterDigest),
        root: &RootKey,
    ) -> bool {
        let message = RootKey::message(&self.company, named, &root.key, &root.recipient);
        signed_by(&root.key, &message, &root.proof)
            && before
                .cosigner(&root.seat)
                .is_some_and(|key| signed_by(key, &message, &root.signature))
    }

    fn adopt(
        &self,
        next: &mut Next,
        before: &State,
        (author, seat): (Author, &SeatId),
        adopt: &Adopt,
    ) -> Result<(), Void> {
        let listed: BTreeSet<OpId> = adopt.ops.iter().copied().collect();
        if author == Author::Root {
            let base = next.step.base;
            let left_at = self.after(base).0;
            for (at, (link, step)) in self.links.iter().zip(&self.steps).enumerate() {
                let undone = at >= base || !link.holds();
                if undone && listed.contains(&link.id) {
                    for (_, change) in &step.applied {
                        next.adopt(self, link.judged_at.min(left_at), change);
                    }
                }
            }
        }
        let Some(page) = &adopt.branch else {
            return Ok(());
        };
        let (side, fork, carried) = self.read_branch(page)?;
        // Neither branch may have removed who merges them.
        if author != Author::Root && side.state.ends_of(seat).next().is_some() {
            return Err(Void::Right);
        }
        let fork_at = self.after(fork).0;
        for (link, step) in side.links.iter().zip(&side.steps).skip(carried) {
            // Whom this branch had removed gets nobody in through the other, nor does whom they would
            // have let in, nor who may no longer do by this branch what they did there; removals all
            // hold.
            let removed = before.ends_of(&link.author).next().is_some();
            for (_, change) in &step.applied {
                let ends = matches!(change, Change::End(_) | Change::Cuts(_));
                let today = next.state.author(&link.author);
                let may = !removed && next.state.allows(today, change);
                if ends || (may && listed.contains(&link.id)) {
                    next.adopt(self, fork_at, change);
                }
            }
        }
        next.branches.push(Branch {
            fork,
            by: *seat,
            roster: Arc::new(side),
        });
        Ok(())
    }

    /// Another branch, as far as a merge op carries it: proven like any roster. How many links it
    /// shares with this chain, and from which of its links on it is new.
    fn read_branch(&self, page: &[u8]) -> Result<(Self, usize, usize), Void> {
        let mut branch: Option<(Self, usize, usize)> = None;
        for raw in page::read(page).map_err(|_| Void::Malformed)? {
            let segment = raw.resolve(&self.company, &NoBases);
            let segment = segment.map_err(|_| Void::Malformed)?;
            if branch.is_none() {
                let first = segment.ops.first().ok_or(Void::Malformed)?;
                branch = self.other_branch(&first.context().previous, &first.form.id());
            }
            let (roster, _, _) = branch.as_mut().ok_or(Void::Contradiction)?;
            let op = roster.verify(segment).map_err(|_| Void::Contradiction)?;
            if roster.is_root(&op.context().seat) {
                return Err(Void::Right); // only the root says what the root said
            }
            roster.append(&op);
        }
        branch.ok_or(Void::Malformed)
    }

    /// The branch that goes on with op `next` after op `before`, which isn't this chain.
    fn other_branch(&self, before: &OpId, next: &OpId) -> Option<(Self, usize, usize)> {
        if let Some(at) = self.links.iter().position(|link| link.id == *before) {
            let fork = at + 1;
            let is_own = self.links.get(fork).is_some_and(|link| link.id == *next);
            return (!is_own).then(|| (self.through(fork), fork, fork));
        }
        self.branches.iter().find_map(|branch| {
            let known = branch.roster.links.last()?.id == *before;
            known.then(|| {
                (
                    (*branch.roster).clone(),
                    branch.fork,
                    branch.roster.links.len(),
                )
            })
        })
    }

    /// Takes over what an op led to.
    pub(super) fn take(&mut self, next: Next) {
        let before = std::mem::replace(&mut self.state, next.state);
        let left_at = self.after(next.step.base).0;
        for link in self.links.iter_mut().skip(next.step.base) {
            link.judged_at = link.judged_at.min(left_at);
        }
        if next.step.base < self.links.len() {
            self.note_lapsed(&before);
        }
        // It stands on what is all understood.
        self.newer_app_from = None;
        for branch in next.branches {
            self.note_branch(&branch.roster, branch.fork);
            self.branches
                .retain(|known| !branch.roster.begins_with(&known.roster));
            self.branches.push(branch);
        }
        self.steps.push(Arc::new(next.step));
    }

    fn begins_with(&self, other: &Self) -> bool {
        let last = other.links.last();
        last.is_some() && self.links.get(other.links.len() - 1).map(|l| l.id) == last.map(|l| l.id)
    }

    /// Remembers who was certified in another state only: what they signed is kept back, not held.
    fn note_lapsed(&mut self, other: &State) {
        for (id, seat) in &other.seats {
            if !self.state.seats.contains_key(id) {
                self.lapsed.insert(*id, seat.cert.clone());
            }
        }
    }

    fn note_branch(&mut self, other: &Self, fork: usize) {
        for link in other.links.iter().skip(fork) {
            self.elsewhere.insert((link.position, link.digest), fork);
        }
        self.note_lapsed(&other.state);
    }

    /// The position and digest after the first `count` links.
    pub(super) fn after(&self, count: usize) -> (RosterPosition, RosterDigest) {
        let last = count.checked_sub(1).and_then(|at| self.links.get(at));
        last.map_or((RosterPosition(0), RosterDigest::ZERO), |link| {
            (link.position, link.digest)
        })
    }

    /// How many links two branches share.
    #[must_use]
    pub fn shared_with(&self, other: &Self) -> usize {
        let pairs = self.links.iter().zip(&other.links);
        pairs.take_while(|(a, b)| a.id == b.id).count()
    }

    /// Whether somebody whom another branch ended, or gave a lesser role, did more here than end others
    /// and than they may by that branch, beyond what both share. Their merge would let that in: only a
    /// person decides it.
    #[must_use]
    pub fn was_changed_by_ended_of(&self, other: &Self) -> bool {
        let beyond = self.links.iter().zip(&self.steps);
        beyond
            .skip(self.shared_with(other))
            .filter(|(link, _)| link.holds())
            .flat_map(|(link, step)| step.applied.iter().map(|(_, change)| (link.author, change)))
            .filter(|(_, change)| !matches!(change, Change::End(_) | Change::Cuts(_)))
            .any(|(author, change)| {
                let lowered = || {
                    other.state.seats.contains_key(&author)
                        && !other.state.allows(other.state.author(&author), change)
                };
                other.has_ended(author, self) || lowered()
            })
    }

    /// Whether all of another branch came along here, by merges of somebody who may by that branch
    /// too: whom it ended, or whoever they let in, can't say so. It is here to be gone over to.
    #[must_use]
    pub fn took_in(&self, other: &Self) -> bool {
        let contested = self.was_changed_by_ended_of(other);
        let mut beyond = other.links.iter().skip(self.shared_with(other));
        let merged = |link: &Link| {
            self.branches.iter().any(|branch| {
                let has = branch.roster.links.iter().any(|of| of.id == link.id);
                has && match branch.roster.state.author(&branch.by) {
                    Author::Root => true,
                    Author::Seat(role) => role >= Role::Office,
                    Author::Nobody => false,
                }
            })
        };
        self.head().0 > other.head().0
            && beyond.all(|link| merged(link) || !contested && self.has(&link.id))
    }

    /// Whether the root that another branch knows spoke here beyond what both share, in a later term
    /// than any there. A later term alone says nothing: merges open terms too, and whom the other
    /// branch ended, or the root whose kit it replaced, makes as many as they like at a hub that
    /// was put back. Two branches of which each has the root's word in one term stay beside each other
    /// until the root speaks again: neither word can be carried, and nobody else takes one back.
    #[must_use]
    pub fn overrules(&self, other: &Self) -> bool {
        let root = other.root_key().map(SeatId::of_key);
        let mut beyond = self.links.iter().skip(self.shared_with(other));
        self.head().0.term() > other.head().0.term()
            && beyond.any(|link| Some(link.author) == root && link.effect == Effect::Applied)
            && !self.was_changed_by_ended_of(other)
    }

    /// Whether an end here covers a seat, by its certificate on another branch.
    fn has_ended(&self, seat: SeatId, certified_by: &Self) -> bool {
        let cert = certified_by.certificate(&seat);
        let covered = |cert| {
            let mut ended = self.state.ended.iter();
            ended.any(|end| covers(&end.subject, &seat, cert))
        };
        cert.is_some_and(covered)
    }

    /// What holds while two branches stand side by side: what they share, with the removals of
    /// both and the additions of neither.
    #[must_use]
    pub fn beside(&self, other: &Self) -> Self {
        let fork = self.shared_with(other);
        let mut both = self.through(fork);
        for side in [self, other] {
            for (at, change) in side.steps.iter().skip(fork).flat_map(|step| &step.applied) {
                if matches!(change, Change::End(_) | Change::Cuts(_)) {
                    let _ = both.state.apply(&self.company, *at, change);
                }
            }
            both.note_branch(side, fork);
            both.cut_lists.extend(side.cut_lists.clone());
        }
        both
    }
}
