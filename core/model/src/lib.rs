//! The rules two devices must share to show the same thing: ids, ops, strands, roster, keys,
//! judgement, fold, and the words spoken with the hub.
//!
//! Everything here is pure. Time, randomness and storage come in as arguments; nothing here may
//! read a clock, draw a random number, open a file or a socket. `docs/protocol.md` says what the
//! bytes mean.

pub mod backup;
pub mod body;
pub mod cbor;
mod chain;
pub mod control;
pub mod enrol;
pub mod erasure;
pub mod fold;
pub mod hash;
pub mod hub;
pub mod ids;
pub mod judge;
pub mod key;
pub mod op;
pub mod pack;
pub mod page;
pub mod payload;
pub mod receipt;
pub mod roster;
pub mod sealed;
pub mod strand;
mod verdict;
pub mod words;
pub mod x25519;
