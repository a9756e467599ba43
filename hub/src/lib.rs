//! The blind sync server of Kolonne.
//!
//! It keeps ciphertext and signed forms, routes by the clear control ops, and signs what it holds.
//! It reads no content, judges no rights, and puts no content into errors or logs.

mod backup;
mod env;
mod http;
pub mod service;
pub mod storage;

pub use backup::{BackupError, Copied, backup};
pub use env::{Env, NoRandomness};
pub use http::limits::{Addresses, Limits, Rate};
pub use http::{Hub, HubConfig, OpenError, Tls};
pub use service::{Connection, HubService, Quotas};
