//! Everything that happens by chance in a simulation comes from one seed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kolonne_core::crypt::random::Randomness;

/// A stream of numbers from a seed (`SplitMix64`, Steele, Lea & Flood 2014).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chance(u64);

impl Chance {
    /// The stream of a seed, for one purpose.
    pub fn new(seed: u64, purpose: &str) -> Self {
        let hash = blake3::hash(&[&seed.to_be_bytes(), purpose.as_bytes()].concat());
        Self(u64::from_be_bytes(*hash.as_bytes().first_chunk().unwrap()))
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One of so many.
    pub fn below(&mut self, n: usize) -> usize {
        (self.draw() % n.max(1) as u64) as usize
    }

    /// Whether something happens that happens so often in a thousand.
    pub fn permille(&mut self, often: u32) -> bool {
        self.draw() % 1000 < u64::from(often)
    }

    /// One of these.
    pub fn of<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        let at = self.below(all.len());
        all.get(at)
    }
}

/// Random bytes of a seed, for keys and ids.
pub fn randomness(seed: u64, purpose: &str) -> Randomness {
    let key = *blake3::hash(&[&seed.to_be_bytes(), purpose.as_bytes()].concat()).as_bytes();
    let drawn = Arc::new(AtomicU64::new(0));
    Randomness::given(move |bytes| {
        let n = drawn.fetch_add(1, Ordering::Relaxed);
        let mut hasher = blake3::Hasher::new_keyed(&key);
        hasher.update(&n.to_be_bytes());
        hasher.finalize_xof().fill(bytes);
    })
}
