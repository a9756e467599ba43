//! What the shell says of the network and of the app's life, and what may go over which network.

use crate::error::Error;
use crate::kolonne::{Inner, Kolonne, lock};
use crate::outbox::Lane;
use crate::records::Changed;

/// What kind of network there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Network {
    /// Bytes cost nothing: Wi-Fi, a cable.
    #[default]
    Free,
    /// The company's own mobile network: originals and films wait for Wi-Fi.
    Metered,
    /// Abroad: pictures and documents wait too.
    Roaming,
}

impl Network {
    /// The slowest lane that may go over it.
    pub(crate) const fn last_lane(self) -> Lane {
        match self {
            Self::Free => Lane::Originals,
            Self::Metered => Lane::Pictures,
            Self::Roaming => Lane::Voice,
        }
    }
}

/// What engines look at when it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Signals {
    /// How often something was written or asked for.
    pub nudges: u64,
    /// How often the network became another.
    pub networks: u64,
    /// The system will stop the app.
    pub is_suspended: bool,
}

impl Kolonne {
    /// The network is another, or of another kind. What is under way on the old one is begun again.
    pub fn network_changed(&self, network: Network) {
        *lock(&self.inner.network) = network;
        self.inner
            .signals
            .send_modify(|signals| signals.networks += 1);
        self.inner.tell(Changed::Me);
    }

    /// What kind of network there is, as far as the shell said.
    #[must_use]
    pub fn network(&self) -> Network {
        *lock(&self.inner.network)
    }

    /// The system will stop the app: sync lets go of everything at once. Reading and writing go on.
    ///
    /// # Errors
    /// `StorageFull`: nothing is lost, the log beside the database stays as long as it is.
    pub fn suspend(&self) -> Result<(), Error> {
        self.inner
            .signals
            .send_modify(|signals| signals.is_suspended = true);
        // So that the system finds no file of ours locked or half written.
        self.inner.store.truncate_log()
    }

    /// The app goes on.
    pub fn resume(&self) {
        self.inner
            .signals
            .send_modify(|signals| signals.is_suspended = false);
    }
}

impl Inner {
    /// Something was written or asked for: engines look.
    pub(crate) fn nudge(&self) {
        self.signals.send_modify(|signals| signals.nudges += 1);
    }
}
