//! What is kept back, as its author said it: for the device that it was written on, and for nobody
//! else. It counts for nothing, and no field and no other entry hears of it.

use std::collections::BTreeMap;

use super::{Entry, Shown, Words, Write};
use crate::body::{Body, Say, field};
use crate::ids::{OpId, RingId};
use crate::judge::{Order, Timeliness};
use crate::roster::Roster;
use crate::strand::VerifiedOp;

/// Entries kept back, and what their authors wrote about them that is kept back too.
#[derive(Default)]
pub(super) struct Kept {
    entries: BTreeMap<OpId, Entry>,
    writes: Vec<(Order, RingId, Write)>,
}

impl Kept {
    /// Notes what a kept back op says. A person's; a device's own seat has no entries.
    pub fn note(&mut self, op: &VerifiedOp, roster: &Roster, body: Body) {
        let cert = roster.certificate(&op.context().seat);
        let Some(person) = cert.and_then(|cert| cert.person) else {
            return;
        };
        let order = Order::of(op);
        match body.say {
            Say::Set(set) if set.field == field::ENTRY_TEXT => {
                self.writes.push((order, person, Write::Set(set)));
            }
            Say::Retract(retract) => {
                self.writes.push((order, person, Write::Retract(retract)));
            }
            say if say.is_entry() => {
                let words = say.words().map(|text| Words::first(text.to_owned()));
                let entry = Entry {
                    id: op.id(),
                    order,
                    shown_lamport: op.context().lamport,
                    person: Some(person),
                    time_ms: op.context().time_ms,
                    offset_s: body.offset_s,
                    timeliness: Timeliness::Late,
                    shown: Shown::Said(say),
                    words,
                    retracted: None,
                };
                self.entries.insert(op.id(), entry);
            }
            _ => {}
        }
    }

    /// The entries as on the screen, with what their authors changed about them; and what authors
    /// changed, the newest each, about entries that count (`said`).
    pub fn finish(mut self, said: &BTreeMap<OpId, Entry>) -> (Vec<Entry>, BTreeMap<OpId, Order>) {
        let mut changes = BTreeMap::new();
        self.writes.sort_by_key(|(order, ..)| *order);
        for (order, person, write) in self.writes {
            let target = match &write {
                Write::Set(set) => set
                    .subject
                    .as_ref()
                    .and_then(|subject| OpId::try_from(subject.as_slice()).ok()),
                Write::Retract(retract) => Some(retract.target),
            };
            let Some(target) = target else { continue };
            if said
                .get(&target)
                .is_some_and(|of| waits_for(of, &order, person))
            {
                changes.insert(target, order);
            }
            let entry = self.entries.get_mut(&target);
            let Some(entry) = entry.filter(|entry| entry.person == Some(person)) else {
                continue;
            };
            match write {
                Write::Set(set) => {
                    if let Some(text) = set.value {
                        entry.words = Some(Words {
                            edited_by: Some(order),
                            ..Words::first(text)
                        });
                    }
                }
                Write::Retract(retract) => {
                    entry.retracted.get_or_insert(super::Retracted {
                        by: order.seat,
                        reason: retract.reason,
                    });
                }
            }
        }
        let mut entries: Vec<Entry> = self.entries.into_values().collect();
        entries.sort_by_key(Entry::screen_order);
        (entries, changes)
    }
}

/// Whether an entry is its author's, and still as it was before he changed it.
fn waits_for(of: &Entry, change: &Order, author: RingId) -> bool {
    let edited_by = of.words.as_ref().and_then(|words| words.edited_by);
    of.person == Some(author)
        && of.retracted.is_none()
        && matches!(of.shown, Shown::Said(_))
        && edited_by < Some(*change)
}
