//! What a thread's control ops say, one kind after the other: who opened it, what was let in and
//! erased, who is in it, and its keys.
//!
//! Each step uses only what those before it found; whether an author may is asked of the judge.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    ComplaintMade, Held, Judge, Judgement, Membership, Opening, Order, ThreadControl, ThreadKeyOp,
    WrapMade, judgement,
};
use crate::control::{
    self, Control, Erase, KeyMade, MemberChange, MemberWrite, Opened, Span, StrandCut, ThreadKind,
};
use crate::erasure::{CountedErase, Erasures};
use crate::ids::{OpId, OpName, RingId};
use crate::op::Class;
use crate::payload;
use crate::roster::change::RingKind;
use crate::roster::state::Ended;
use crate::strand::VerifiedOp;

impl<'a> Judge<'a> {
    pub(super) fn judge_control(&mut self) {
        let bodies: BTreeMap<OpId, (&'a VerifiedOp, Option<Control>)> = self
            .ops
            .iter()
            .filter(|op| op.context().class.class == Class::Control)
            .map(|op| {
                let body = op.op().payload.as_deref().map(control::read);
                (op.id(), (op, body.and_then(Result::ok)))
            })
            .collect();
        self.control.opening = self.find_opening(&bodies);
        if self.is_direct() {
            // Its members let in, and what they let in is no change of members.
            self.find_members(&bodies);
            self.find_admitted_by_members(&bodies);
        } else {
            self.find_admitted(&bodies);
            self.find_members(&bodies);
        }
        self.find_erased(&bodies);
        for (id, (op, body)) in bodies {
            // An erased key looks the same where it lies and where it is gone.
            let erased = self.control.erased.contains(&id);
            let body = body.filter(|_| !erased);
            let verdict = match &body {
                None if erased => self.verdict_on_seat(op),
                Some(body) => self.verdict_on_control(op, body),
                None if op.op().payload.is_none() => self.verdict_on_seat(op),
                None => Err(self.held_or_malformed(op)),
            };
            let judgement = judgement(verdict);
            self.control.judgements.insert(id, judgement);
            match body {
                None if erased => self.note_key(op, judgement, None),
                Some(Control::KeyMade(key)) => self.note_key(op, judgement, Some(key)),
                Some(Control::Complaint(complaint)) if verdict.is_ok() => {
                    self.control.complaints.push(ComplaintMade {
                        order: Order::of(op),
                        complaint,
                        is_open: true,
                    });
                }
                Some(Control::WrappedAgain(again)) if verdict.is_ok() => {
                    let order = Order::of(op);
                    self.control.wrapped_again.push(WrapMade { order, again });
                }
                // What it may change is who reads along, and only they may who change members: else
                // any of them could stop a thread for good.
                Some(Control::Unknown(_)) if judgement == Judgement::Held(Held::NewerApp) => {
                    self.control.needs_newer_app |= self.may_change_members(op);
                }
                _ => {}
            }
        }
        self.control.keys.sort_by_key(|key| key.order);
        self.close_complaints();
    }

    /// A later wrap for the same ring answers a complaint; if that one is wrong too, a newer
    /// complaint says so.
    fn close_complaints(&mut self) {
        let ThreadControl {
            complaints,
            wrapped_again,
            ..
        } = &mut self.control;
        complaints.sort_by_key(|made| made.order);
        wrapped_again.sort_by_key(|made| made.order);
        for made in complaints {
            made.is_open = !wrapped_again.iter().any(|wrap| {
                wrap.order > made.order
                    && wrap.again.key_op == made.complaint.key_op
                    && wrap.again.ring == made.complaint.ring
            });
        }
    }

    fn note_key(&mut self, op: &VerifiedOp, judgement: Judgement, key: Option<KeyMade>) {
        self.control.keys.push(ThreadKeyOp {
            order: Order::of(op),
            maker: op.context().seat,
            roster: (op.context().roster, op.context().roster_digest),
            judgement,
            key,
        });
    }

    fn find_opening(
        &self,
        bodies: &BTreeMap<OpId, (&VerifiedOp, Option<Control>)>,
    ) -> Option<Opening> {
        bodies.iter().find_map(|(id, (op, body))| {
            let Some(Control::Opened(opened)) = body else {
                return None;
            };
            let context = op.context();
            let bytes = payload::clear_body(op.op().payload.as_deref()?).ok()?;
            // By form alone, whatever became of its author; but where names and policies hold is
            // nobody's to say who came later.
            let is_thread =
                Opened::thread(bytes, &context.company, &context.seat) == self.ops.thread();
            let may = opened.kind != ThreadKind::Company || self.roster.is_founders(&context.seat);
            (is_thread && may).then(|| Opening {
                op: *id,
                opener: context.seat,
                opened: opened.clone(),
            })
        })
    }

    /// Admissions only ever add, so this ends and doesn't depend on the order.
    fn find_admitted(&mut self, bodies: &BTreeMap<OpId, (&VerifiedOp, Option<Control>)>) {
        let mut taken: BTreeSet<OpId> = BTreeSet::new();
        loop {
            let before = taken.len();
            for (id, (op, body)) in bodies {
                let Some(body @ Control::Admit(admit)) = body else {
                    continue;
                };
                if !taken.contains(id) && self.verdict_on_control(op, body).is_ok() {
                    taken.insert(*id);
                    self.admitted.extend(admit.through.iter().copied());
                }
            }
            if taken.len() == before {
                return;
            }
        }
    }

    /// Only data is let in here, so no admission hangs on another.
    fn find_admitted_by_members(
        &mut self,
        bodies: &BTreeMap<OpId, (&VerifiedOp, Option<Control>)>,
    ) {
        for (op, body) in bodies.values() {
            let Some(body @ Control::Admit(admit)) = body else {
                continue;
            };
            if self.verdict_on_control(op, body).is_ok() {
                let known = self.position(op);
                let through = admit.through.iter().map(|cut| (*cut, known));
                self.admitted_by_members.extend(through);
            }
        }
    }

    /// Whether the other people of a direct thread let in what an end keeps back: they know of the
    /// end, so that nobody lets himself in beforehand.
    pub(super) fn members_let_in(&self, op: &VerifiedOp, end: &Ended) -> bool {
        let known = self.admitted_by_members.iter();
        let known: Vec<StrandCut> = known
            .filter(|(_, known)| *known >= end.at)
            .map(|(cut, _)| *cut)
            .collect();
        op.context().class.class == Class::Data && self.ops.within(&known, op)
    }

    fn find_erased(&mut self, bodies: &BTreeMap<OpId, (&'a VerifiedOp, Option<Control>)>) {
        let counted = bodies.values().filter_map(|(op, body)| {
            let Some(body @ Control::Erase(erase)) = body else {
                return None;
            };
            self.verdict_on_control(op, body).ok()?;
            Some(CountedErase {
                order: Order::of(op),
                person: self.roster.seat(&op.context().seat)?.cert.person?,
                erase,
                erasable: self.erasable(erase),
            })
        });
        let erasures = Erasures::of(counted.collect());
        self.control.erased = erasures.ops.keys().copied().collect();
        self.control.erasures = erasures;
    }

    /// The data and key ops among those that an erase names; members, admissions and erasures stay.
    fn erasable(&self, erase: &Erase) -> BTreeSet<OpId> {
        let named = erase.ops.iter().copied();
        named
            .filter(|id| {
                self.ops
                    .get(id)
                    .is_some_and(|op| match op.context().class.class {
                        Class::Data => true,
                        Class::Control => op
                            .op()
                            .payload
                            .as_deref()
                            .is_none_or(|p| matches!(control::read(p), Ok(Control::KeyMade(_)))),
                        Class::Roster => false,
                    })
            })
            .collect()
    }

    fn find_members(&mut self, bodies: &BTreeMap<OpId, (&VerifiedOp, Option<Control>)>) {
        let mut writes: BTreeMap<RingId, Vec<(OpName, MemberWrite)>> = BTreeMap::new();
        for (id, (op, body)) in bodies {
            let Some(body) = body else { continue };
            if let (Control::Members(members), Ok(_)) = (body, self.verdict_on_control(op, body)) {
                for write in &members.writes {
                    writes
                        .entry(write.ring)
                        .or_default()
                        .push((id.short(), write.clone()));
                }
            }
        }
        self.fold_members(writes);
    }

    fn fold_members(&mut self, writes: BTreeMap<RingId, Vec<(OpName, MemberWrite)>>) {
        let everyone_in = || Membership::In {
            stays_out: Vec::new(),
        };
        if let Some(opening) = &self.control.opening {
            let standing = if self.is_direct() {
                vec![self.roster.the_ring(RingKind::Recovery)]
            } else {
                vec![
                    self.roster.the_ring(RingKind::Recovery),
                    self.roster.the_ring(RingKind::Office),
                ]
            };
            let standing = standing.into_iter().flatten().chain([opening.opened.owner]);
            self.control.members = standing.map(|ring| (ring, everyone_in())).collect();
        }
        for (ring, writes) in writes {
            if self.is_standing(&ring) {
                continue;
            }
            let named: BTreeSet<OpName> = writes
                .iter()
                .flat_map(|(_, write)| write.names.iter().copied())
                .collect();
            let last: Vec<&(OpName, MemberWrite)> = writes
                .iter()
                .filter(|(name, _)| !named.contains(name))
                .collect();
            self.control
                .member_writes
                .insert(ring, last.iter().map(|(name, _)| *name).collect());
            let mut cuts: Vec<Vec<StrandCut>> = last
                .iter()
                .filter_map(|(_, write)| match &write.change {
                    MemberChange::Out { cut } => Some(cut.clone()),
                    MemberChange::In { .. } => None,
                })
                .collect();
            let membership = if cuts.is_empty() {
                let mut stays_out: Vec<Span> = last
                    .iter()
                    .flat_map(|(_, write)| match &write.change {
                        MemberChange::In { stays_out } => stays_out.clone(),
                        MemberChange::Out { .. } => Vec::new(),
                    })
                    .collect();
                stays_out.sort_unstable();
                stays_out.dedup();
                Membership::In { stays_out }
            } else {
                // An out beats any in that doesn't name it.
                cuts.sort_unstable();
                cuts.dedup();
                Membership::Out { cuts }
            };
            self.control.members.insert(ring, membership);
        }
    }
}
