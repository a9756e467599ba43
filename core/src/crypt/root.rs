//! The company's root: one 32-byte seed, from which its signing and encryption keys are derived.
//!
//! It is made at founding, printed as the recovery kit, and must be left on no computer.

use std::fmt;

use zeroize::Zeroizing;

use super::{CryptError, Identity, KitError, SigningSecret, kit, random};

/// BLAKE3 derive-key contexts of the two keys.
const SIGNING: &str = "kolonne root signing v1";
const ENCRYPTION: &str = "kolonne root encryption v1";

/// The root's seed; wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct RootSeed(Zeroizing<[u8; 32]>);

impl RootSeed {
    /// A fresh root, for founding and rotation.
    pub fn generate() -> Result<Self, CryptError> {
        random::secret().map(Self)
    }

    /// The root with these bytes.
    pub fn from_bytes(seed: [u8; 32]) -> Self {
        Self(Zeroizing::new(seed))
    }

    /// The key that signs root ops.
    pub fn signing_secret(&self) -> SigningSecret {
        SigningSecret::from_seed(&self.derive(SIGNING))
    }

    /// The recovery ring's identity: opens everything again.
    pub fn encryption_identity(&self) -> Result<Identity, CryptError> {
        Identity::from_bytes(&self.derive(ENCRYPTION))
    }

    /// The text for the recovery kit: four lines of groups with a check character each.
    pub fn to_kit_text(&self) -> Zeroizing<String> {
        kit::to_text(&self.0)
    }

    /// The root from what someone typed or scanned from the kit.
    pub fn from_kit_text(text: &str) -> Result<Self, KitError> {
        kit::from_text(text).map(Self)
    }

    fn derive(&self, context: &str) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(blake3::derive_key(context, self.0.as_slice()))
    }
}

impl fmt::Debug for RootSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RootSeed")
    }
}
