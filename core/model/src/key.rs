//! Thread keys: the history secret H, the thread key K = KDF(H), and how a newer H opens the
//! earlier ones.
//!
//! A key is named by what it is, so two people who rotate at once do no harm. Nothing here draws
//! randomness or prints a secret.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::hash::{derive, first16, h, label};
use crate::ids::{CompanyId, Hash32, KeyId, ThreadId};

/// K: seals and opens entries. Guests get only this.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct ThreadKey([u8; 32]);

/// H: own people get this; it yields K and opens earlier secrets.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct HistorySecret([u8; 32]);

impl core::fmt::Debug for ThreadKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("ThreadKey(…)")
    }
}

impl core::fmt::Debug for HistorySecret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("HistorySecret(…)")
    }
}

impl ThreadKey {
    /// A key from its bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The secret bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The full hash that the key op commits to.
    #[must_use]
    pub fn hash(&self, company: &CompanyId, thread: &ThreadId) -> Hash32 {
        Hash32(h(label::KEY_HASH, &[&company.0, &thread.0, &self.0]))
    }

    /// The key's name in the context of every op sealed under it.
    #[must_use]
    pub fn id(&self, company: &CompanyId, thread: &ThreadId) -> KeyId {
        id_of(&self.hash(company, thread))
    }
}

/// The key id of a key's full hash.
#[must_use]
pub fn id_of(hash: &Hash32) -> KeyId {
    KeyId(first16(&hash.0))
}

/// Bytes of a sealed earlier secret: H and a tag.
pub const HISTORY_SEAL_BYTES: usize = 48;

impl HistorySecret {
    /// A secret from its bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The secret bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// K = KDF(H).
    #[must_use]
    pub fn thread_key(&self) -> ThreadKey {
        ThreadKey(*derive(label::THREAD_KEY, &self.0))
    }

    fn cipher(&self, earlier: &KeyId) -> ChaCha20Poly1305 {
        // One key per (H, earlier key), so the zero nonce is used once.
        let key = Zeroizing::new(h(label::HISTORY_SEAL, &[&self.0, &earlier.0]));
        ChaCha20Poly1305::new(Key::from_slice(&*key))
    }

    /// Seals an earlier secret, named by its key id, under this one.
    #[must_use]
    pub fn seal_earlier(&self, earlier: &KeyId, secret: &Self) -> Vec<u8> {
        self.cipher(earlier)
            .encrypt(
                Nonce::from_slice(&[0; 12]),
                Payload {
                    msg: &secret.0,
                    aad: &earlier.0,
                },
            )
            .unwrap_or_default()
    }

    /// Opens an earlier secret; `None` unless it opens and is the secret of `earlier`.
    #[must_use]
    pub fn open_earlier(
        &self,
        company: &CompanyId,
        thread: &ThreadId,
        earlier: &KeyId,
        sealed: &[u8],
    ) -> Option<Self> {
        let opened = Zeroizing::new(
            self.cipher(earlier)
                .decrypt(
                    Nonce::from_slice(&[0; 12]),
                    Payload {
                        msg: sealed,
                        aad: &earlier.0,
                    },
                )
                .ok()?,
        );
        let secret = Self(opened.as_slice().try_into().ok()?);
        (secret.thread_key().id(company, thread) == *earlier).then_some(secret)
    }
}
