//! What a thread shows, as the fold found it: entries, fields, marks. The words only: `fold` says what
//! is in them.

use std::collections::{BTreeMap, BTreeSet};

use super::locks::SeatLock;
use crate::body::{Say, SeenHead, Wiped};
use crate::control::{Control, MemberChange};
use crate::ids::{BlobId, DeviceId, OpId, OpName, RingId, SeatId, StoreId};
use crate::judge::{Judgement, Order, ThreadControl, Timeliness};

/// What an entry shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// Its body.
    Said(Say),
    /// Crews or people were taken out of the thread, or came back into it.
    Members(MembersTold),
    /// A kind of a newer app: a stub.
    NewerApp,
    /// The office erased it.
    Erased,
    /// Its payload isn't here and nobody erased it: refilled from whoever has it.
    Withheld,
}

/// What the thread tells of a change of its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MembersTold {
    /// These came back.
    In(Vec<RingId>),
    /// These were taken out.
    Out(Vec<RingId>),
}

impl MembersTold {
    /// Of a control op's body; who joins for the first time is not told.
    #[must_use]
    pub fn of(body: &Control) -> Option<Self> {
        let Control::Members(members) = body else {
            return None;
        };
        let (mut came, mut went) = (Vec::new(), Vec::new());
        for write in &members.writes {
            match write.change {
                MemberChange::Out { .. } => went.push(write.ring),
                MemberChange::In { .. } if !write.names.is_empty() => came.push(write.ring),
                MemberChange::In { .. } => {}
            }
        }
        match (went.is_empty(), came.is_empty()) {
            (false, _) => Some(Self::Out(went)),
            (true, false) => Some(Self::In(came)),
            (true, true) => None,
        }
    }
}

/// An entry's words as last edited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// The words.
    pub text: String,
    /// The write they come from; none: the entry itself.
    pub edited_by: Option<Order>,
    /// The counted writes that no other names: what a next edit has to name.
    pub writes: Vec<OpName>,
}

impl Words {
    /// Words that nobody edited.
    pub(super) const fn first(text: String) -> Self {
        Self {
            text,
            edited_by: None,
            writes: Vec::new(),
        }
    }
}

/// An entry was taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retracted {
    /// By whom.
    pub by: SeatId,
    /// Why.
    pub reason: Option<String>,
}

/// One item of a thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The op.
    pub id: OpId,
    /// Its place in the log's order.
    pub order: Order,
    /// Its place on the screen: never before what it answers.
    pub shown_lamport: u64,
    /// The author's person, by ring.
    pub person: Option<RingId>,
    /// The author's clock, ms; shown, never judged by.
    pub time_ms: u64,
    /// That clock minus the hub's, in s; none: unknown.
    pub offset_s: Option<i64>,
    /// Marked late.
    pub timeliness: Timeliness,
    /// What it shows.
    pub shown: Shown,
    /// Its words.
    pub words: Option<Words>,
    /// Taken back.
    pub retracted: Option<Retracted>,
}

impl Entry {
    /// The author's time as the hub's clock would have it, ms, where the author knew the difference.
    #[must_use]
    pub fn time_by_hub_ms(&self) -> u64 {
        let offset_ms = self.offset_s.unwrap_or(0).saturating_mul(1000);
        self.time_ms
            .saturating_add_signed(offset_ms.saturating_neg())
    }

    /// The order on the screen.
    #[must_use]
    pub const fn screen_order(&self) -> (u64, SeatId, StoreId, u32, OpId) {
        (
            self.shown_lamport,
            self.order.seat,
            self.order.store,
            self.order.seq,
            self.order.id,
        )
    }
}

/// A field's value and what a next write has to name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// The value; none: cleared.
    pub value: Option<String>,
    /// The write it comes from.
    pub by: Order,
    /// The counted writes that no other names.
    pub writes: Vec<OpName>,
}

/// A field's code and its subject within the thread (empty: the thread itself).
pub type FieldKey = (u16, Vec<u8>);

/// Everything a thread shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ThreadView {
    /// Control ops, judged.
    pub control: ThreadControl,
    /// Entries as on the screen.
    pub entries: Vec<Entry>,
    /// Entries that are kept back, as their authors said them: for the device that wrote them, and
    /// shown to nobody else.
    pub kept_back: Vec<Entry>,
    /// By entry that counts: the newest edit or retraction of its author that is kept back.
    pub kept_back_changes: BTreeMap<OpId, Order>,
    /// Fields by code and subject.
    pub fields: BTreeMap<FieldKey, Field>,
    /// By person (ring): how far each strand was read.
    pub read: BTreeMap<RingId, BTreeMap<(SeatId, StoreId), u32>>,
    /// Heads that office devices have, by device.
    pub seen_heads: BTreeMap<DeviceId, BTreeSet<SeenHead>>,
    /// Ops that office devices have: their heads' branches, as far as they are here.
    pub seen_ops: BTreeSet<OpId>,
    /// Heads that office devices have and that aren't here: not come yet, or kept back by the hub.
    pub lacking: BTreeSet<SeenHead>,
    /// Blobs that office devices have.
    pub seen_blobs: BTreeMap<BlobId, BTreeSet<DeviceId>>,
    /// Devices that say they are wiped, each with the time by its own clock. The one thing that is
    /// taken from quarantine, where the last word of a device that ended always lies.
    pub wiped: BTreeMap<DeviceId, (u64, Wiped)>,
    /// Seats with a lock.
    pub seat_locks: BTreeMap<SeatId, SeatLock>,
    /// What became of every op.
    pub judgements: BTreeMap<OpId, Judgement>,
}

impl ThreadView {
    /// How many ops wait ("wird geladen"), and how many are kept back.
    #[must_use]
    pub fn waiting_and_quarantined(&self) -> (usize, usize) {
        let count = |is: fn(&Judgement) -> bool| self.judgements.values().filter(|j| is(j)).count();
        (
            count(|j| matches!(j, Judgement::Held(_))),
            count(|j| matches!(j, Judgement::Quarantined(_))),
        )
    }

    /// Whether an office device has `seen` an op: it or one after it on its own branch.
    #[must_use]
    pub fn at_office(&self, order: &Order) -> bool {
        self.seen_ops.contains(&order.id)
    }
}
