//! Ed25519 signing secrets of seats, devices and the root.
//!
//! Verifying belongs to the model, which does it the same way everywhere; this only signs.

use std::fmt;

use ed25519_dalek::{Signer, SigningKey};
use kolonne_model::ids::{PublicKey, Signature};
use zeroize::Zeroizing;

use super::{CryptError, random};

/// A signing secret; wiped when dropped.
#[derive(Clone)]
pub struct SigningSecret(SigningKey);

impl SigningSecret {
    /// A fresh secret.
    pub fn generate() -> Result<Self, CryptError> {
        Ok(Self::from_seed(&*random::secret()?))
    }

    /// The secret with this seed: the same seed gives the same keys.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The seed, to be stored encrypted.
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    /// Signs a message that already begins with its label.
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature(self.0.sign(message).to_bytes())
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningSecret of {:?}", self.public())
    }
}
