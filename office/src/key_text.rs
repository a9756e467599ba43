//! A hub's key as people compare and type it: 11 groups of five letters and digits, of which the
//! last ones check the whole. A wrong or swapped group never reads as another key.

use data_encoding::{BASE32_NOPAD, HEXLOWER};
use kolonne_model::ids::PublicKey;

const CHECK: &str = "kolonne hub key text v1";
const GROUP_CHARS: usize = 5;
/// Key and two bytes that check it: 272 bits are 55 characters.
const BYTES: usize = 34;

/// The key in groups.
pub fn groups(key: &PublicKey) -> String {
    let mut bytes = key.0.to_vec();
    bytes.extend(check(&key.0));
    let text = BASE32_NOPAD.encode(&bytes);
    let groups: Vec<&str> = text
        .as_bytes()
        .chunks(GROUP_CHARS)
        .filter_map(|group| std::str::from_utf8(group).ok())
        .collect();
    groups.join("-")
}

/// A typed key: the groups in any case and spacing, or 64 hex digits.
pub fn parse(text: &str) -> Option<PublicKey> {
    let typed: String = text
        .chars()
        .filter(|c| !c.is_whitespace() && *c != '-')
        .map(|c| c.to_ascii_uppercase())
        .collect();
    if typed.len() == PublicKey::LEN * 2 {
        let bytes = HEXLOWER
            .decode(typed.to_ascii_lowercase().as_bytes())
            .ok()?;
        return PublicKey::try_from(bytes.as_slice()).ok();
    }
    let bytes = BASE32_NOPAD
        .decode(typed.as_bytes())
        .ok()
        .filter(|b| b.len() == BYTES)?;
    let (key, rest) = bytes.split_first_chunk::<32>()?;
    (rest == check(key)).then_some(PublicKey(*key))
}

fn check(key: &[u8; 32]) -> [u8; 2] {
    let [a, b, ..] = blake3::derive_key(CHECK, key);
    [a, b]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    const KEY: PublicKey = PublicKey([7; 32]);

    #[test]
    fn groups_are_eleven_and_read_back() {
        let text = groups(&KEY);
        assert_eq!(text.split('-').count(), 11);
        assert!(text.split('-').all(|group| group.len() == 5));
        assert_eq!(parse(&text), Some(KEY));
        assert_eq!(parse(&text.to_lowercase().replace('-', " ")), Some(KEY));
        assert_eq!(parse(&KEY.to_string()), Some(KEY));
    }

    #[test]
    fn typos_and_swapped_groups_are_noticed() {
        let text = groups(&PublicKey(std::array::from_fn(|at| {
            u8::try_from(at).unwrap()
        })));
        for at in 0..text.len() {
            let mut typed = text.clone().into_bytes();
            if typed[at] == b'-' {
                continue;
            }
            typed[at] = if typed[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(parse(std::str::from_utf8(&typed).unwrap()), None, "at {at}");
        }
        let mut swapped: Vec<&str> = text.split('-').collect();
        swapped.swap(2, 5);
        assert_eq!(parse(&swapped.join("-")), None);
        for bad in ["", "KOLONNE", "ÄÖÜ", &text[..50]] {
            assert_eq!(parse(bad), None);
        }
    }
}
