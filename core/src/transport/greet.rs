//! To a hub's door, by its address as a person gave it, and who is behind it.

use kolonne_model::hub::{Door, Hello};

use super::{BadDoor, HttpDoor, Trust};
use crate::error::Error;

/// A hub's door.
pub(crate) fn door(hub_url: &str, trust: &Trust) -> Result<HttpDoor, Error> {
    HttpDoor::new(hub_url, trust).map_err(|error| match error {
        BadDoor::Address => Error::Invalid {
            field: "hub_url",
            code: "malformed",
        },
        BadDoor::Certificate => Error::Invalid {
            field: "trust",
            code: "corrupt",
        },
        BadDoor::Tls => Error::internal("tls"),
    })
}

/// Who the hub is, if this app speaks with it.
pub(crate) async fn hello(door: &impl Door) -> Result<Hello, Error> {
    let hello = door.hello().await?;
    if hello.version == 1 {
        Ok(hello)
    } else {
        Err(Error::UpgradeRequired)
    }
}
