//! The lock of a seat: its keys, sealed under a PIN and a lock share.
//!
//! Four digits alone are guessed within hours by who has the database and its key. So the key is
//! Argon2id of the PIN with a random share as its secret input: when the share is destroyed, no
//! guess can be tried any more. Nothing here keeps or logs a PIN.

use argon2::{Algorithm, Argon2, AssociatedData, Block, ParamsBuilder, Version};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use kolonne_model::hash::h;
use kolonne_model::ids::SeatId;
use zeroize::Zeroizing;

use super::{CryptError, random};

const SEAT_LOCK: &str = "kolonne seat lock v1";
const LOCK_SHARE: &str = "kolonne lock share v1";
/// Digits of a PIN.
const DIGITS: std::ops::RangeInclusive<usize> = 4..=8;

/// What one guess of a PIN costs. Kept with each lock, so that it can rise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PinCost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Default for PinCost {
    /// RFC 9106's second choice, in one lane: 64 MiB fit a phone with 2 GB beside a photo, and
    /// three passes stay below two seconds on its slow cores.
    fn default() -> Self {
        Self {
            memory_kib: 64 * 1024,
            passes: 3,
            lanes: 1,
        }
    }
}

/// Why a PIN isn't taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadPin {
    /// Not four to eight digits.
    Form,
    /// One of the first that anybody tries.
    Easy,
}

/// Checks the form of a PIN.
pub fn check_form(pin: &str) -> Result<(), BadPin> {
    if DIGITS.contains(&pin.len()) && pin.bytes().all(|byte| byte.is_ascii_digit()) {
        Ok(())
    } else {
        Err(BadPin::Form)
    }
}

/// Checks a PIN that someone chooses.
pub fn check_new(pin: &str) -> Result<(), BadPin> {
    check_form(pin)?;
    let digits = pin.as_bytes();
    let steps = |step: i16| {
        let pairs = digits.iter().zip(digits.iter().skip(1));
        // 890 goes on after 9.
        pairs.into_iter().all(|(a, b)| {
            let next = (i16::from(*a) - i16::from(b'0') + step).rem_euclid(10);
            next == i16::from(*b) - i16::from(b'0')
        })
    };
    let repeats = |period: usize| {
        digits
            .iter()
            .zip(digits.iter().skip(period))
            .all(|(a, b)| a == b)
    };
    if steps(1) || steps(-1) || repeats(1) || repeats(2) || pin == "2580" {
        return Err(BadPin::Easy);
    }
    Ok(())
}

/// What keeps a seat's keys closed, but for the PIN and the share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// What a guess costs.
    pub cost: PinCost,
    /// Drawn anew with each PIN.
    pub salt: [u8; 16],
    /// The keys.
    pub sealed: Vec<u8>,
}

/// The random half of a lock.
pub type Share = Zeroizing<[u8; 32]>;

impl Lock {
    /// Closes a seat's keys.
    pub fn close(
        cost: PinCost,
        pin: &str,
        share: &Share,
        seat: &SeatId,
        keys: &[u8; 64],
    ) -> Result<Self, CryptError> {
        let salt = random::bytes()?;
        let key = lock_key(&cost, pin, share, &salt)?;
        let payload = Payload {
            msg: keys,
            aad: &associated(&cost, seat),
        };
        // Salt and share are fresh, so the key seals this one thing.
        let sealed = ChaCha20Poly1305::new(&key)
            .encrypt(&Nonce::default(), payload)
            .map_err(|_| CryptError::TooLarge)?;
        Ok(Self { cost, salt, sealed })
    }

    /// The seat's keys; none: another PIN, or another share.
    pub fn open(
        &self,
        pin: &str,
        share: &Share,
        seat: &SeatId,
    ) -> Result<Option<Zeroizing<[u8; 64]>>, CryptError> {
        let key = lock_key(&self.cost, pin, share, &self.salt)?;
        let payload = Payload {
            msg: &self.sealed,
            aad: &associated(&self.cost, seat),
        };
        let opened = ChaCha20Poly1305::new(&key).decrypt(&Nonce::default(), payload);
        let opened = opened.ok().map(Zeroizing::new);
        let keys = opened.and_then(|keys| keys.as_slice().try_into().ok());
        Ok(keys.map(Zeroizing::new))
    }
}

/// By what a share that comes back is known; tells nothing of it.
pub fn share_hash(share: &Share) -> [u8; 32] {
    h(LOCK_SHARE, &[share.as_slice()])
}

fn associated(cost: &PinCost, seat: &SeatId) -> Vec<u8> {
    let mut out = SEAT_LOCK.as_bytes().to_vec();
    out.extend_from_slice(&seat.0);
    for number in [cost.memory_kib, cost.passes, cost.lanes] {
        out.extend_from_slice(&number.to_be_bytes());
    }
    out
}

fn lock_key(
    cost: &PinCost,
    pin: &str,
    share: &Share,
    salt: &[u8; 16],
) -> Result<Zeroizing<Key>, CryptError> {
    let unusable = |_| CryptError::Key;
    let params = ParamsBuilder::new()
        .m_cost(cost.memory_kib)
        .t_cost(cost.passes)
        .p_cost(cost.lanes)
        .data(AssociatedData::new(SEAT_LOCK.as_bytes()).map_err(unusable)?)
        .output_len(32)
        .build()
        .map_err(unusable)?;
    let blocks = params.block_count();
    let argon = Argon2::new_with_secret(
        share.as_slice(),
        Algorithm::Argon2id,
        Version::V0x13,
        params,
    )
    .map_err(unusable)?;
    let mut memory = Zeroizing::new(vec![Block::default(); blocks]);
    let mut key = Zeroizing::new(Key::default());
    argon
        .hash_password_into_with_memory(pin.as_bytes(), salt, &mut key, memory.as_mut_slice())
        .map_err(unusable)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const CHEAP: PinCost = PinCost {
        memory_kib: 8,
        passes: 1,
        lanes: 1,
    };

    #[test]
    fn pins_that_anybody_tries_first_are_refused() {
        for form in ["", "123", "123456789", "12a4", "１２３４", "12 4"] {
            assert_eq!(check_new(form), Err(BadPin::Form), "{form}");
        }
        for easy in [
            "0000", "99999999", "1234", "4321", "7890", "0987", "1212", "69696969", "2580",
        ] {
            assert_eq!(check_new(easy), Err(BadPin::Easy), "{easy}");
        }
        for good in ["2749", "1235", "80351746", "1123"] {
            assert_eq!(check_new(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn a_lock_opens_with_its_pin_and_its_share_only() {
        let (seat, share) = (SeatId([1; 16]), random::secret().unwrap());
        let lock = Lock::close(CHEAP, "2749", &share, &seat, &[7; 64]).unwrap();
        let open = |lock: &Lock, pin, share: &Share, seat| lock.open(pin, share, seat).unwrap();
        assert_eq!(*open(&lock, "2749", &share, &seat).unwrap(), [7; 64]);
        assert!(open(&lock, "2748", &share, &seat).is_none());
        assert!(open(&lock, "2749", &random::secret().unwrap(), &seat).is_none());
        assert!(open(&lock, "2749", &share, &SeatId([2; 16])).is_none());
        let cost = PinCost { passes: 2, ..CHEAP };
        assert!(open(&Lock { cost, ..lock }, "2749", &share, &seat).is_none());
    }
}
