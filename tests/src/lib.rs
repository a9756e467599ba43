//! What crosses crates: the world of devices that stories, crash and fence tests share.
//!
//! A real hub on loopback, a founded company, devices enrolled by the real protocol, and a wire
//! between them that counts, lies and looks. Nothing here reaches into the engine: what a device
//! shows comes through its public calls, what lies on a disk is read as a stranger would read it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::missing_panics_doc,
    reason = "a test that can't go on should stop loudly"
)]

pub mod bare;
pub mod device;
pub mod fence;
pub mod files;
pub mod fuzz;
pub mod line;
pub mod log;
pub mod power;
pub mod scribe;
pub mod sim;
pub mod whole;
pub mod wire;
pub mod world;

pub use device::Device;
pub use world::{JobId, World};
