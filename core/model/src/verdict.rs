//! What can become of an op, in words: the order of everything, and why something waits, is kept
//! back, is passed over or counts. The words only: `judge` says which one holds.

use crate::ids::{OpId, SeatId, StoreId};
use crate::strand::VerifiedOp;

/// Where an op stands in the order of everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Order {
    /// Logical time.
    pub lamport: u64,
    /// Then by seat,
    pub seat: SeatId,
    /// store,
    pub store: StoreId,
    /// place,
    pub seq: u32,
    /// and id, which tells forks apart.
    pub id: OpId,
}

impl Order {
    /// An op's place.
    #[must_use]
    pub const fn of(op: &VerifiedOp) -> Self {
        let context = op.context();
        Self {
            lamport: context.lamport,
            seat: context.seat,
            store: context.store,
            seq: context.seq,
            id: op.id(),
        }
    }
}

/// What something still waits for ("wird geladen").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Held {
    /// An op before it in its strand.
    Predecessor,
    /// The roster up to the position it names.
    Roster,
    /// Its seat's certificate.
    Certificate,
    /// The op that opens the thread.
    Opening,
    /// The list of a cut.
    CutList,
    /// Its thread key.
    Key,
    /// A newer app.
    NewerApp,
}

/// Why something is kept back until the office admits it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Quarantine {
    /// It names a roster position this chain never had.
    ForeignRoster,
    /// Its seat wasn't certified at the position it names.
    NotCertified,
    /// Its seat's rights had ended.
    Ended,
    /// It lies beyond a cut.
    Cut,
    /// Its seat speaks for no member of the thread.
    NotMember,
    /// Its author has no right to do this.
    Right,
}

/// Why something is passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ignored {
    /// Its lamport doesn't exceed its predecessor's, or by too much.
    Lamport,
    /// Its roster position falls within its strand.
    RosterFell,
    /// A kind of a newer app.
    UnknownKind,
    /// Not readable, or sealed wrongly by its author.
    Malformed,
}

/// Whether a counted op came before its author's rights changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timeliness {
    /// In its time.
    Timely,
    /// Counted, and marked.
    Late,
}

/// What became of an op. (*Refused* ones never get here: `strand` and `roster` refuse them.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Judgement {
    /// Waits.
    Held(Held),
    /// Kept back.
    Quarantined(Quarantine),
    /// Passed over.
    Ignored(Ignored),
    /// Counts.
    Counted(Timeliness),
}
