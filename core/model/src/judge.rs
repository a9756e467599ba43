//! Judgement: what becomes of each verified op, computed from the set and never stored.
//!
//! The same set gives the same answer everywhere, in whatever order it came. Control ops are
//! judged first, by the roster alone, so that nothing goes in a circle: roster → control ops →
//! members → keys and data. Nothing here reads a clock.

mod findings;
mod thread;

pub use crate::verdict::{Held, Ignored, Judgement, Order, Quarantine, Timeliness};
pub use thread::{ComplaintMade, Membership, Opening, ThreadControl, ThreadKeyOp, WrapMade};

pub use crate::chain::ThreadOps;
use crate::control::{Control, Span, StrandCut, ThreadKind};
use crate::ids::{RingId, RosterPosition, SeatId};
use crate::op::Unknown;
use crate::roster::change::{EndMode, RingKind, Role, SeatKind};
use crate::roster::state::Ended;
use crate::roster::{Named, Roster};
use crate::strand::VerifiedOp;

/// An op that counts.
#[derive(Debug, Clone, Copy)]
pub struct CountedOp<'a> {
    op: &'a VerifiedOp,
    timeliness: Timeliness,
}

impl<'a> CountedOp<'a> {
    /// The op.
    #[must_use]
    pub const fn op(&self) -> &'a VerifiedOp {
        self.op
    }

    /// Whether it is marked late.
    #[must_use]
    pub const fn timeliness(&self) -> Timeliness {
        self.timeliness
    }

    /// Its place.
    #[must_use]
    pub const fn order(&self) -> Order {
        Order::of(self.op)
    }
}

/// Judges a thread; holds what it found so far.
pub struct Judge<'a> {
    ops: &'a ThreadOps<'a>,
    roster: &'a Roster,
    admitted: Vec<StrandCut>,
    /// In a direct thread, each with the position that its author named.
    admitted_by_members: Vec<(StrandCut, RosterPosition)>,
    control: ThreadControl,
}

/// A thread's control ops, judged. Pure: for devices and for the hub's routing alike.
#[must_use]
pub fn control_state(ops: &ThreadOps<'_>, roster: &Roster) -> ThreadControl {
    Judge::new(ops, roster).control
}

type Verdict = Result<Timeliness, Judgement>;

const fn quarantined(why: Quarantine) -> Judgement {
    Judgement::Quarantined(why)
}

impl<'a> Judge<'a> {
    /// Judges the control ops; data ops are then judged one by one.
    #[must_use]
    pub fn new(ops: &'a ThreadOps<'a>, roster: &'a Roster) -> Self {
        let mut judge = Self {
            ops,
            roster,
            admitted: Vec::new(),
            admitted_by_members: Vec::new(),
            control: ThreadControl::default(),
        };
        judge.judge_control();
        judge
    }

    /// The judged control ops.
    #[must_use]
    pub const fn control(&self) -> &ThreadControl {
        &self.control
    }

    /// The judged control ops, taken out.
    #[must_use]
    pub fn into_control(self) -> ThreadControl {
        self.control
    }

    /// Office and recovery are in every list that isn't direct; no write changes that.
    fn is_standing(&self, ring: &RingId) -> bool {
        let is = |kind| self.roster.the_ring(kind) == Some(*ring);
        is(RingKind::Recovery) || (!self.is_direct() && is(RingKind::Office))
    }

    fn is_direct(&self) -> bool {
        self.control.kind() == Some(ThreadKind::Direct)
    }

    /// What is the same for every class: chain, roster, seat, ends, admission.
    fn verdict_on_seat(&self, op: &VerifiedOp) -> Verdict {
        if let Some(judgement) = self.ops.chain_says(&op.id()) {
            return Err(judgement);
        }
        let context = op.context();
        if self
            .roster
            .newer_app_from()
            .is_some_and(|from| context.roster >= from)
        {
            return Err(Judgement::Held(Held::NewerApp));
        }
        let right = match self.roster.named(context.roster, &context.roster_digest) {
            Named::NotHereYet => return Err(Judgement::Held(Held::Roster)),
            Named::Foreign => Err(quarantined(Quarantine::ForeignRoster)),
            Named::Known(at) => self.verdict_on_ends(op, at),
        };
        self.unless_admitted(op, right)
    }

    fn held_or_malformed(&self, op: &VerifiedOp) -> Judgement {
        self.verdict_on_seat(op)
            .err()
            .unwrap_or(Judgement::Ignored(Ignored::Malformed))
    }

    fn verdict_on_ends(&self, op: &VerifiedOp, at: RosterPosition) -> Verdict {
        let context = op.context();
        let Some(seat) = self.roster.seat(&context.seat) else {
            return Err(match self.roster.certificate(&context.seat) {
                Some(_) => quarantined(Quarantine::NotCertified),
                None => Judgement::Held(Held::Certificate),
            });
        };
        if seat.since > at {
            return Err(quarantined(Quarantine::NotCertified));
        }
        let mut timeliness = Timeliness::Timely;
        for end in self.roster.ends_of(&context.seat) {
            let kept_back = match end.mode {
                EndMode::Soft => (at >= end.at).then_some(Quarantine::Ended),
                EndMode::Hard => (!self.is_before_cut(op, end)?).then_some(Quarantine::Cut),
            };
            match kept_back {
                Some(why) if !self.members_let_in(op, end) => return Err(quarantined(why)),
                None if end.mode == EndMode::Hard => {}
                _ => timeliness = Timeliness::Late,
            }
        }
        Ok(timeliness)
    }

    fn is_before_cut(&self, op: &VerifiedOp, end: &Ended) -> Result<bool, Judgement> {
        let thread = self.ops.thread();
        let heads = self.roster.cut(end, &thread);
        let heads = heads.ok_or(Judgement::Held(Held::CutList))?.iter();
        let cut: Vec<StrandCut> = heads
            .filter(|head| head.strand.thread == thread)
            .map(|head| StrandCut {
                seat: head.strand.seat,
                store: head.strand.store,
                head: head.head,
            })
            .collect();
        Ok(self.ops.within(&cut, op))
    }

    fn unless_admitted(&self, op: &VerifiedOp, verdict: Verdict) -> Verdict {
        match verdict {
            Err(Judgement::Quarantined(_)) if self.ops.within(&self.admitted, op) => {
                Ok(Timeliness::Late)
            }
            verdict => verdict,
        }
    }

    fn verdict_on_control(&self, op: &VerifiedOp, body: &Control) -> Verdict {
        if matches!(body, Control::Opened(_)) {
            let opens = self
                .control
                .opening
                .as_ref()
                .is_some_and(|o| o.op == op.id());
            return if opens {
                Ok(Timeliness::Timely)
            } else {
                Err(self.held_or_malformed(op))
            };
        }
        let timeliness = self.verdict_on_seat(op)?;
        if self.control.opening.is_none() {
            return Err(Judgement::Held(Held::Opening));
        }
        let member = || self.unless_admitted(op, self.verdict_on_member(op, timeliness));
        let (may, timeliness) = match body {
            Control::Opened(_) => (true, timeliness),
            Control::Members(_) => (self.may_change_members(op), timeliness),
            // A key for a list without its maker would let him read after he has gone.
            Control::KeyMade(key) => (
                key.rings
                    .iter()
                    .any(|entry| self.speaks_for(op, &entry.ring)),
                member()?,
            ),
            Control::Complaint(complaint) => (self.speaks_for(op, &complaint.ring), member()?),
            // Whoever has the key may; a wrong one is complained of again.
            Control::WrappedAgain(_) => (true, member()?),
            // Nobody of the office has to be in a direct thread: its people let in each other's.
            Control::Admit(_) if self.is_direct() => (self.is_person(op), member()?),
            Control::Admit(_) | Control::Erase(_) => (
                self.role(op) >= Some(Role::Office) && self.is_person(op),
                timeliness,
            ),
            Control::Unknown(_) => {
                member()?;
                return Err(match op.context().class.unknown {
                    Unknown::MayBePassedOver => Judgement::Ignored(Ignored::UnknownKind),
                    Unknown::MustBeUnderstood => Judgement::Held(Held::NewerApp),
                });
            }
        };
        // No admission lends a right: who has it can do the thing anew.
        if may {
            Ok(timeliness)
        } else {
            Err(quarantined(Quarantine::Right))
        }
    }

    fn may_change_members(&self, op: &VerifiedOp) -> bool {
        let (seat, at) = (&op.context().seat, self.position(op));
        let opening = self.control.opening.as_ref();
        opening.is_some_and(|opening| may_change_members(self.roster, seat, at, opening))
    }

    /// Where an op's rights are judged.
    fn position(&self, op: &VerifiedOp) -> RosterPosition {
        let context = op.context();
        match self.roster.named(context.roster, &context.roster_digest) {
            Named::Known(at) => at,
            Named::NotHereYet | Named::Foreign => context.roster,
        }
    }

    fn speaks_for(&self, op: &VerifiedOp, ring: &RingId) -> bool {
        self.rings_of(op).contains(ring)
    }

    fn rings_of(&self, op: &VerifiedOp) -> Vec<RingId> {
        self.roster
            .speaks_for(&op.context().seat, self.position(op))
    }

    fn role(&self, op: &VerifiedOp) -> Option<Role> {
        self.roster.role_at(&op.context().seat, self.position(op))
    }

    fn is_person(&self, op: &VerifiedOp) -> bool {
        self.seat_kind(op) == Some(SeatKind::Person)
    }

    fn seat_kind(&self, op: &VerifiedOp) -> Option<SeatKind> {
        self.roster
            .seat(&op.context().seat)
            .map(|seat| seat.cert.kind)
    }

    fn verdict_on_member(&self, op: &VerifiedOp, timeliness: Timeliness) -> Verdict {
        let context = op.context();
        let out_of = |spans: &[Span]| {
            spans.iter().any(|span| {
                span.seat == context.seat
                    && span.store == context.store
                    && (span.from..=span.to).contains(&context.seq)
            })
        };
        let mut late = None;
        for ring in self.rings_of(op) {
            match self.control.members.get(&ring) {
                Some(Membership::In { stays_out }) if !out_of(stays_out) => return Ok(timeliness),
                Some(Membership::Out { cuts })
                    if cuts.iter().all(|cut| self.ops.within(cut, op)) =>
                {
                    late = Some(Timeliness::Late);
                }
                _ => {}
            }
        }
        late.ok_or(quarantined(Quarantine::NotMember))
    }

    /// Judges a data op but for its content.
    pub fn data_op(&self, op: &'a VerifiedOp) -> Result<CountedOp<'a>, Judgement> {
        let timeliness = self.verdict_on_seat(op)?;
        if self.control.opening.is_none() {
            return Err(Judgement::Held(Held::Opening));
        }
        let timeliness = self.unless_admitted(op, self.verdict_on_member(op, timeliness))?;
        Ok(CountedOp { op, timeliness })
    }

    /// What a counted op's author may do, for rights that hang on content.
    #[must_use]
    pub fn author(&self, op: &CountedOp<'_>) -> AuthorRights {
        AuthorRights {
            seat: op.op.context().seat,
            person: self
                .roster
                .seat(&op.op.context().seat)
                .and_then(|seat| seat.cert.person),
            kind: self.seat_kind(op.op),
            role: self.role(op.op),
            office: self
                .roster
                .the_ring(RingKind::Office)
                .is_some_and(|ring| self.speaks_for(op.op, &ring)),
        }
    }
}

/// Whether a seat may say who is in a thread, as of a position of the roster: the office, but in a
/// direct thread; and who opened it, by whichever of their seats.
#[must_use]
pub fn may_change_members(
    roster: &Roster,
    seat: &SeatId,
    at: RosterPosition,
    opening: &Opening,
) -> bool {
    let role = roster.role_at(seat, at);
    let cert = |seat: &SeatId| roster.seat(seat).map(|record| &record.cert);
    let person = |seat: &SeatId| cert(seat).and_then(|cert| cert.person);
    let opener = person(&opening.opener);
    let opened_it = opener.is_some() && opener == person(seat);
    let office = role >= Some(Role::Office) && opening.opened.kind != ThreadKind::Direct;
    let is_person = cert(seat).is_some_and(|cert| cert.kind == SeatKind::Person);
    is_person && (office || (opened_it && role >= Some(Role::Foreman)))
}

/// Who a counted op's author is, as of the position it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthorRights {
    /// The seat.
    pub seat: SeatId,
    /// Its person, by ring.
    pub person: Option<RingId>,
    /// What the seat is for.
    pub kind: Option<SeatKind>,
    /// Its role.
    pub role: Option<Role>,
    /// Whether it speaks for the office.
    pub office: bool,
}

fn judgement(verdict: Verdict) -> Judgement {
    match verdict {
        Ok(timeliness) => Judgement::Counted(timeliness),
        Err(judgement) => judgement,
    }
}
