//! The way to the hub over HTTP: [`HttpDoor`] before a login, [`HttpHub`] after it; [`Line`] is
//! what the engine holds, whoever carries.
//!
//! Whatever comes back is a stranger's until a signature in it says otherwise, so it is capped
//! while it is read. Nothing here follows a redirect, signs a login for another hub's key, or lets
//! an address, a token or content into an error.

mod carrier;
mod door;
mod greet;
mod hub;
mod tls;
mod wake;

#[cfg(test)]
mod tests;

pub use carrier::{Carried, Carrier, HttpCarrier, HttpRequest, Line, Reply, Request, Rest, ask};
pub use door::{BadDoor, HttpDoor, TrafficMeter};
pub(crate) use greet::{door, hello};
pub use hub::{HttpHub, LoginIdentity};
pub use tls::Trust;
