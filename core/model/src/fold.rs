//! The fold: from a thread's ops to what is shown. Pure, independent of arrival, idempotent.
//!
//! It is computed anew from the whole set, so rebuilding and folding as ops come can't differ.
//! It never reads a clock and never stores a verdict.

mod kept;
mod locks;
mod shown;

use std::collections::{BTreeMap, BTreeSet};

use crate::body::{Body, Retract, Say, SeenHead, Set, Wiped, field};
use crate::control;
use crate::ids::{OpId, OpName, SeatId};
use crate::judge::{
    AuthorRights, CountedOp, Held, Ignored, Judge, Judgement, Order, Quarantine, ThreadControl,
    ThreadOps,
};
use crate::op::{Class, Unknown};
use crate::roster::Roster;
use crate::roster::change::{Role, SeatKind};
use crate::strand::VerifiedOp;

use kept::Kept;
pub use locks::{LockedOut, SeatLock, Wanted};
pub use shown::{Entry, Field, FieldKey, MembersTold, Retracted, Shown, ThreadView, Words};

/// What this device has of a data op's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content<'a> {
    /// The opened body.
    Open(&'a [u8]),
    /// Its thread key isn't here.
    NoKey,
    /// The key is here and the payload doesn't open under it, or isn't in its form: the author's
    /// fault, and the same for everyone with the key.
    DoesNotOpen,
    /// The payload isn't here.
    Absent,
}

/// Opens the content of data ops for the fold.
pub trait Contents {
    /// What is here of this op's content.
    fn content(&self, op: &VerifiedOp) -> Content<'_>;
}

/// Folds a thread.
#[must_use]
pub fn fold(ops: &ThreadOps<'_>, roster: &Roster, contents: &impl Contents) -> ThreadView {
    let judge = Judge::new(ops, roster);
    let mut folding = Folding {
        judge: &judge,
        roster,
        said: BTreeMap::new(),
        writes: Vec::new(),
        kept: Kept::default(),
    };
    let mut view = ThreadView::default();
    for op in ops
        .iter()
        .filter(|op| op.context().class.class == Class::Data)
    {
        let judgement = folding.take(op, contents, &mut view);
        view.judgements.insert(op.id(), judgement);
    }
    folding.finish(&mut view);
    view.entries
        .extend(members_told(ops, roster, judge.control()));
    view.entries.sort_by_key(Entry::screen_order);
    view.seen_ops = ops.through(view.seen_heads.values().flatten().map(|seen| seen.head.id));
    let not_here = |seen: &&SeenHead| ops.get(&seen.head.id).is_none();
    let seen = view.seen_heads.values().flatten();
    view.lacking = seen.filter(not_here).copied().collect();
    view.judgements.extend(judge.control().judgements.clone());
    view.control = judge.into_control();
    view
}

struct Folding<'a, 'j> {
    judge: &'j Judge<'a>,
    roster: &'j Roster,
    said: BTreeMap<OpId, (AuthorRights, Entry)>,
    writes: Vec<(Order, AuthorRights, Write)>,
    kept: Kept,
}

enum Write {
    Set(Set),
    Retract(Retract),
}

impl<'a> Folding<'a, '_> {
    fn take(
        &mut self,
        op: &'a VerifiedOp,
        contents: &impl Contents,
        view: &mut ThreadView,
    ) -> Judgement {
        let counted = match self.judge.data_op(op) {
            Ok(counted) => counted,
            Err(judgement) => {
                if matches!(judgement, Judgement::Quarantined(_))
                    && !self.judge.control().erased.contains(&op.id())
                    && let Content::Open(bytes) = contents.content(op)
                    && let Ok(body) = Body::read(bytes)
                {
                    match body.say {
                        Say::Wiped(wiped) => {
                            self.note_wiped(op, wiped, view);
                        }
                        _ => self.kept.note(op, self.roster, body),
                    }
                }
                return judgement;
            }
        };
        let author = self.judge.author(&counted);
        let fine = Judgement::Counted(counted.timeliness());
        if self.judge.control().erased.contains(&op.id()) {
            self.entry(&counted, &author, Shown::Erased, None);
            return fine;
        }
        let bytes = match contents.content(op) {
            Content::Open(bytes) => bytes,
            Content::NoKey => return Judgement::Held(Held::Key),
            Content::DoesNotOpen => return Judgement::Ignored(Ignored::Malformed),
            Content::Absent => {
                self.entry(&counted, &author, Shown::Withheld, None);
                return fine;
            }
        };
        let Ok(Body { offset_s, say }) = Body::read(bytes) else {
            return Judgement::Ignored(Ignored::Malformed);
        };
        match say {
            Say::Unknown(_) => {
                self.entry(&counted, &author, Shown::NewerApp, offset_s);
                match op.context().class.unknown {
                    Unknown::MayBePassedOver => Judgement::Ignored(Ignored::UnknownKind),
                    Unknown::MustBeUnderstood => Judgement::Held(Held::NewerApp),
                }
            }
            Say::Seen(seen) => {
                let device = self.roster.seat(&author.seat).map(|seat| seat.cert.device);
                let (Some(SeatKind::Device), true, Some(device)) =
                    (author.kind, author.office, device)
                else {
                    return Judgement::Quarantined(Quarantine::Right);
                };
                view.seen_heads
                    .entry(device)
                    .or_default()
                    .extend(seen.heads);
                for blob in seen.blobs {
                    view.seen_blobs.entry(blob).or_default().insert(device);
                }
                fine
            }
            Say::Wiped(wiped) => {
                if self.note_wiped(op, wiped, view) {
                    fine
                } else {
                    Judgement::Quarantined(Quarantine::Right)
                }
            }
            Say::Locked(told) => {
                if !self.is_of_own_device(&counted, &told.seat) {
                    return Judgement::Quarantined(Quarantine::Right);
                }
                let lock = view.seat_locks.entry(told.seat).or_default();
                lock.note(counted.order(), op.context().time_ms, *told);
                fine
            }
            Say::Unlocked(answer) => {
                if author.kind != Some(SeatKind::Person) || author.role < Some(Role::Office) {
                    return Judgement::Quarantined(Quarantine::Right);
                }
                let lock = view.seat_locks.entry(answer.seat).or_default();
                let answers = lock.answers.entry(answer.locked).or_default();
                answers.insert(answer.share.to_vec());
                fine
            }
            // A device seat has no person: it writes no content.
            _ if author.kind == Some(SeatKind::Device) => Judgement::Quarantined(Quarantine::Right),
            Say::Read(read) => {
                let Some(person) = author.person else {
                    return Judgement::Quarantined(Quarantine::Right);
                };
                let marks = view.read.entry(person).or_default();
                for mark in read.marks {
                    let seq = marks.entry((mark.seat, mark.store)).or_default();
                    *seq = mark.seq.max(*seq);
                }
                fine
            }
            Say::Set(set) => {
                if !may_set(&author, &set) {
                    return Judgement::Quarantined(Quarantine::Right);
                }
                // A later change of a job's head is told in the thread; its first value is not.
                let told = matches!(set.field, field::TITLE..=field::CUSTOMER);
                if told && !set.names.is_empty() {
                    let shown = Shown::Said(Say::Set(set.clone()));
                    self.entry(&counted, &author, shown, offset_s);
                }
                self.writes.push((counted.order(), author, Write::Set(set)));
                fine
            }
            Say::Retract(retract) => {
                self.writes
                    .push((counted.order(), author, Write::Retract(retract)));
                fine
            }
            say => {
                self.entry(&counted, &author, Shown::Said(say), offset_s);
                fine
            }
        }
    }

    /// Whether a device speaks of a person's seat that it had when it wrote.
    fn is_of_own_device(&self, counted: &CountedOp<'_>, seat: &SeatId) -> bool {
        let context = counted.op().context();
        let device = self.roster.seat(&context.seat);
        let Some(device) = device.filter(|seat| seat.cert.kind == SeatKind::Device) else {
            return false;
        };
        self.roster.seat(seat).is_some_and(|of| {
            of.cert.kind == SeatKind::Person
                && of.cert.device == device.cert.device
                && of.since <= context.roster
        })
    }

    /// A device's word about itself; of several the greatest time.
    fn note_wiped(&self, op: &VerifiedOp, wiped: Wiped, view: &mut ThreadView) -> bool {
        let seat = self.roster.seat(&op.context().seat);
        let Some(seat) = seat.filter(|seat| seat.cert.kind == SeatKind::Device) else {
            return false;
        };
        let said = (op.context().time_ms, wiped);
        let known = view.wiped.entry(seat.cert.device).or_insert(said);
        if known.0 < said.0 {
            *known = said;
        }
        true
    }

    fn entry(
        &mut self,
        counted: &CountedOp<'_>,
        author: &AuthorRights,
        shown: Shown,
        offset_s: Option<i64>,
    ) {
        // A device seat writes no content; what is unread of it is no entry.
        if author.kind == Some(SeatKind::Device) {
            return;
        }
        let op = counted.op();
        let words = match &shown {
            Shown::Said(say) => say.words().map(|text| Words::first(text.to_owned())),
            _ => None,
        };
        let entry = Entry {
            id: op.id(),
            order: counted.order(),
            shown_lamport: op.context().lamport,
            person: author.person,
            time_ms: op.context().time_ms,
            offset_s,
            timeliness: counted.timeliness(),
            shown,
            words,
            retracted: None,
        };
        self.said.insert(op.id(), (*author, entry));
    }

    fn finish(mut self, view: &mut ThreadView) {
        self.writes.sort_by_key(|(order, _, _)| *order);
        let mut sets: BTreeMap<FieldKey, Vec<(Order, Set)>> = BTreeMap::new();
        for (order, author, write) in self.writes {
            match write {
                Write::Set(set) => {
                    let subject = set.subject.as_ref().map(|s| s.to_vec()).unwrap_or_default();
                    if may_edit(&self.said, &author, set.field, &subject) {
                        sets.entry((set.field, subject))
                            .or_default()
                            .push((order, set));
                    } else {
                        let verdict = Judgement::Quarantined(Quarantine::Right);
                        view.judgements.insert(order.id, verdict);
                    }
                }
                Write::Retract(retract) => {
                    let Some((of, entry)) = self.said.get_mut(&retract.target) else {
                        continue;
                    };
                    if same_person(of, &author) || author.role >= Some(Role::Office) {
                        entry.retracted.get_or_insert(Retracted {
                            by: author.seat,
                            reason: retract.reason,
                        });
                    } else {
                        let verdict = Judgement::Quarantined(Quarantine::Right);
                        view.judgements.insert(order.id, verdict);
                    }
                }
            }
        }
        for ((code, subject), writes) in sets {
            let Some(value) = resolve(writes) else {
                continue;
            };
            if code != field::ENTRY_TEXT {
                view.fields.insert((code, subject), value);
                continue;
            }
            let entry = OpId::try_from(subject.as_slice())
                .ok()
                .and_then(|id| self.said.get_mut(&id));
            // Words stand only under what is here: never in place of what was erased or withheld.
            if let Some((_, entry)) = entry
                && matches!(entry.shown, Shown::Said(_))
            {
                entry.words = Some(Words {
                    text: value.value.unwrap_or_default(),
                    edited_by: Some(value.by),
                    writes: value.writes,
                });
            }
        }
        let mut entries: BTreeMap<OpId, Entry> = self
            .said
            .into_iter()
            .map(|(id, (_, entry))| (id, entry))
            .collect();
        keep_replies_behind(&mut entries);
        (view.kept_back, view.kept_back_changes) = self.kept.finish(&entries);
        view.entries = entries.into_values().collect();
    }
}

/// Who was taken out or came back, and by whom: counted control ops, told in the thread.
fn members_told<'a>(
    ops: &'a ThreadOps<'_>,
    roster: &'a Roster,
    control: &'a ThreadControl,
) -> impl Iterator<Item = Entry> + 'a {
    control.judgements.iter().filter_map(|(id, judgement)| {
        let Judgement::Counted(timeliness) = *judgement else {
            return None;
        };
        let op = ops.get(id)?;
        let body = control::read(op.op().payload.as_deref()?).ok()?;
        Some(Entry {
            id: *id,
            order: Order::of(op),
            shown_lamport: op.context().lamport,
            person: roster
                .seat(&op.context().seat)
                .and_then(|seat| seat.cert.person),
            time_ms: op.context().time_ms,
            offset_s: None,
            timeliness,
            shown: Shown::Members(MembersTold::of(&body)?),
            words: None,
            retracted: None,
        })
    })
}

/// Names and policies of the company are the office's; a job's head is a foreman's too.
fn may_set(author: &AuthorRights, set: &Set) -> bool {
    match set.field {
        field::NAME | field::AUTO_LOCK => author.role >= Some(Role::Office),
        // Who may erase must not be who says how soon it can't be taken back.
        field::ERASE_DAYS => author.role >= Some(Role::Admin),
        field::TITLE | field::STATUS | field::ADDRESS | field::CUSTOMER => {
            author.role >= Some(Role::Foreman)
        }
        _ => true,
    }
}

/// The words of a text are its author's; what is sealed has none; captions of other entries are
/// anyone's in the thread.
fn may_edit(
    said: &BTreeMap<OpId, (AuthorRights, Entry)>,
    author: &AuthorRights,
    code: u16,
    subject: &[u8],
) -> bool {
    if code != field::ENTRY_TEXT {
        return true;
    }
    let target = OpId::try_from(subject).ok().and_then(|id| said.get(&id));
    match target {
        Some((
            of,
            Entry {
                shown: Shown::Said(Say::Text(_)),
                ..
            },
        )) => same_person(of, author),
        Some((
            _,
            Entry {
                shown: Shown::Said(Say::Sealed(_)),
                ..
            },
        )) => false,
        _ => true,
    }
}

fn same_person(a: &AuthorRights, b: &AuthorRights) -> bool {
    a.seat == b.seat || (a.person.is_some() && a.person == b.person)
}

/// The greatest in order among the writes that none of the others names.
fn resolve(writes: Vec<(Order, Set)>) -> Option<Field> {
    let named: BTreeSet<OpName> = writes
        .iter()
        .flat_map(|(_, set)| set.names.iter().copied())
        .collect();
    let unnamed: Vec<(Order, Set)> = writes
        .into_iter()
        .filter(|(order, _)| !named.contains(&order.id.short()))
        .collect();
    let names = unnamed.iter().map(|(order, _)| order.id.short()).collect();
    let (by, set) = unnamed.into_iter().max_by_key(|(order, _)| *order)?;
    Some(Field {
        value: set.value,
        by,
        writes: names,
    })
}

/// A reply never sorts before what it answers, whatever its author's clock said.
fn keep_replies_behind(entries: &mut BTreeMap<OpId, Entry>) {
    let parents: BTreeMap<OpId, OpId> = entries
        .values()
        .filter_map(|entry| match &entry.shown {
            Shown::Said(say) => Some((entry.id, say.reply_to()?)),
            _ => None,
        })
        .filter(|(_, parent)| entries.contains_key(parent))
        .collect();
    let mut settled: BTreeSet<OpId> = BTreeSet::new();
    for start in parents.keys() {
        // Walk up to something settled, then settle downwards. Ids are hashes, so there is no
        // circle; the length is bounded all the same.
        let mut path = vec![*start];
        while let Some(parent) = path.last().and_then(|id| parents.get(id)) {
            if settled.contains(parent) || path.len() > entries.len() {
                break;
            }
            path.push(*parent);
        }
        for id in path.into_iter().rev() {
            let behind = parents
                .get(&id)
                .and_then(|p| entries.get(p))
                .map(|p| p.shown_lamport);
            if let (Some(behind), Some(entry)) = (behind, entries.get_mut(&id)) {
                entry.shown_lamport = entry.shown_lamport.max(behind.saturating_add(1));
            }
            settled.insert(id);
        }
    }
}

/// How far each branch is here without a gap, but for those of `except`: what a cut names. Beyond a gap may
/// be an op that was made up to lie far ahead, so that whatever is written below it later would count.
#[must_use]
pub fn heads(ops: &ThreadOps<'_>, except: &SeatId) -> Vec<SeenHead> {
    let heads = ops.heads_where(|op| op.context().seat != *except);
    heads.into_iter().map(seen_head).collect()
}

/// What this device may say it has `seen` of a thread: how far it has each branch without a gap,
/// with every payload that wasn't erased, and nothing that waits for a key or anything else; but
/// for `except` (its own device seat, whose strand `seen` never covers).
#[must_use]
pub fn seen_heads(ops: &ThreadOps<'_>, view: &ThreadView, except: &SeatId) -> Vec<SeenHead> {
    let has = |op: &VerifiedOp| {
        let judged = view.judgements.get(&op.id());
        let waits = matches!(judged, None | Some(Judgement::Held(_)));
        let here = op.op().payload.is_some() || view.control.erased.contains(&op.id());
        op.context().seat != *except && here && !waits
    };
    ops.heads_where(has).into_iter().map(seen_head).collect()
}

const fn seen_head(op: &VerifiedOp) -> SeenHead {
    let context = op.context();
    SeenHead {
        seat: context.seat,
        store: context.store,
        head: op.head(),
    }
}
