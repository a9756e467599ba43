//! The engine of Kolonne, the same on every phone, every PC and in every test.
//!
//! The modules follow the way of the data: a capture becomes ops and blobs, ops go through the log
//! and the outbox over the transport to the hub, come back through the inbox into the log, and
//! are folded into the views that screens read. Nothing here draws, prints or knows a shell.

pub mod kolonne;
pub mod records;

mod backup;
mod blocking;
pub mod capture;
mod complaints;
pub mod enrolment;
mod erasure;
mod export;
mod folder;
mod folding;
mod founding;
mod inbox;
mod line;
mod new_hub;
mod oplog;
mod outbox;
mod place;
mod quarantine;
mod recovery;
mod rights;
mod rings;
mod root;
mod roster_op;
mod sealed;
mod seats;
pub mod transport;
mod views;

pub mod blobs;
pub mod crypt;
mod error;
mod keys;
pub mod media;
pub mod points;
mod store;
mod stuck;
mod sync;
mod wipe;

pub use backup::{BackupProgress, BackupRecord};
pub use blocking::on_this_thread;
pub use crypt::pin::PinCost;
pub use enrolment::{Enrolment, Invitation, InviteState, NewInvite, SeatGrant};
pub use erasure::Erased;
pub use error::{Error, ErrorCode};
pub use export::{Exported, ExportedFile};
pub use founding::{Founded, NewCompany};
pub use kolonne::{Clock, Config, Flight, Kolonne};
pub use recovery::NewOffice;
pub use root::Undo;
pub use sync::{
    Action, AskId, Budget, Engine, Event, Network, PreparedTransfer, SyncReport, SyncTask,
    TransferTaken,
};
