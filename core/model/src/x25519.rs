//! Which X25519 public keys are usable: those that give each sender a secret of its own.
//!
//! A key of small order gives everyone the same one, and age refuses to seal to it; in a roster it
//! would stop every thread key that is made for its ring. Nothing here computes with secrets.

/// The points of small order in their one spelling: 0, 1, p − 1, and the two of order 8
/// (<https://cr.yp.to/ecdh.html#validate>).
pub const LOW_ORDER: [[u8; 32]; 5] = {
    let mut one = [0; 32];
    one[0] = 1;
    let mut minus_one = [0xff; 32];
    minus_one[0] = 0xec;
    minus_one[31] = 0x7f;
    [
        [0; 32],
        one,
        minus_one,
        [
            0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f,
            0xc4, 0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16,
            0x5f, 0x49, 0xb8, 0x00,
        ],
        [
            0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83,
            0xef, 0x5b, 0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd,
            0xd0, 0x9f, 0x11, 0x57,
        ],
    ]
};

/// The key in its one spelling (bit 255 clear, below p = 2²⁵⁵ − 19, little endian); none if it is
/// of small order.
#[must_use]
pub fn usable(key: [u8; 32]) -> Option<[u8; 32]> {
    let mut key = key;
    let [low, middle @ .., high] = &mut key;
    *high &= 0x7f;
    if *high == 0x7f && *low >= 0xed && middle.iter().all(|byte| *byte == 0xff) {
        *low -= 0xed;
        middle.fill(0);
        *high = 0;
    }
    (!LOW_ORDER.contains(&key)).then_some(key)
}
