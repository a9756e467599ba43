//! The recovery kit's text: 32 bytes as 14 groups of four characters and a check character.
//!
//! Crockford's alphabet, so that case and look-alikes don't matter. A group's check character
//! finds every wrong character, every swap within the group, and a group at another's place, so
//! that a typo is located; three more bytes of checksum cover the whole. Never log any of it.

use zeroize::Zeroizing;

const ALPHABET: [u8; 32] = *b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const CHECKSUM: &str = "kolonne recovery kit v1";

/// Groups in a kit.
pub const GROUPS: usize = 14;
/// Characters in a group, the last of which checks it.
pub const GROUP_CHARS: usize = 5;
const GROUPS_PER_LINE: usize = 4;
const CHARS: usize = GROUPS * GROUP_CHARS;
/// What is in no alphabet; its group fails.
const FOREIGN: u8 = 32;

/// What is wrong with a typed recovery kit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KitError {
    /// This group, counted from 1, has a typo; earlier ones are right.
    #[error("group {number} has a typo")]
    Group {
        /// From 1 to 14.
        number: usize,
    },
    /// The groups so far are right, but it must be 70 characters.
    #[error("{chars} characters instead of 70")]
    Length {
        /// How many there are, without spaces and dashes.
        chars: usize,
    },
    /// Every group looks right, but together they are not a kit.
    #[error("the groups do not belong together")]
    Checksum,
}

/// The text, in lines of four groups.
pub(super) fn to_text(seed: &[u8; 32]) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(35));
    bytes.extend_from_slice(seed);
    bytes.extend_from_slice(&checksum(seed));
    let mut symbols = Zeroizing::new(Vec::with_capacity(56));
    for block in bytes.chunks(5) {
        let word = block
            .iter()
            .fold(0u64, |word, byte| word << 8 | u64::from(*byte));
        symbols.extend(
            (0..8)
                .rev()
                .map(|at| (word >> (at * 5)).to_le_bytes()[0] & 31),
        );
    }
    let mut text = Zeroizing::new(String::with_capacity(CHARS + GROUPS));
    for (number, group) in (1..).zip(symbols.chunks(GROUP_CHARS - 1)) {
        let separator = match number {
            1 => None,
            _ if number % GROUPS_PER_LINE == 1 => Some('\n'),
            _ => Some('-'),
        };
        let check = check(number, group);
        let chars = group
            .iter()
            .chain([&check])
            .filter_map(|symbol| ALPHABET.get(usize::from(*symbol)));
        text.extend(separator);
        text.extend(chars.map(|char| char::from(*char)));
    }
    text
}

/// The seed in a text, whatever its case, spaces and dashes.
pub(super) fn from_text(text: &str) -> Result<Zeroizing<[u8; 32]>, KitError> {
    let mut chars = 0;
    let mut typed = Zeroizing::new(Vec::with_capacity(CHARS));
    for char in text.chars().filter(|char| !is_separator(*char)) {
        chars += 1;
        if chars <= CHARS {
            typed.push(symbol(char));
        }
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(35));
    let mut data = Zeroizing::new(Vec::with_capacity(56));
    for (number, group) in (1..).zip(typed.chunks_exact(GROUP_CHARS)) {
        match group {
            [symbols @ .., last]
                if !group.contains(&FOREIGN) && *last == check(number, symbols) =>
            {
                data.extend_from_slice(symbols);
            }
            _ => return Err(KitError::Group { number }),
        }
    }
    if chars != CHARS {
        return Err(KitError::Length { chars });
    }
    for block in data.chunks(8) {
        let word = block
            .iter()
            .fold(0u64, |word, symbol| word << 5 | u64::from(*symbol));
        bytes.extend(word.to_be_bytes().into_iter().skip(3));
    }
    match bytes.split_first_chunk::<32>() {
        Some((seed, rest)) if rest == checksum(seed) => Ok(Zeroizing::new(*seed)),
        _ => Err(KitError::Checksum),
    }
}

/// A group of a kit's text, counted from 1.
pub fn group(kit: &str, number: usize) -> Option<&str> {
    kit.split(is_separator).nth(number.checked_sub(1)?)
}

/// Whether someone typed this group of a kit, whatever the case and look-alikes.
pub fn is_group(kit: &str, number: usize, typed: &str) -> bool {
    let symbols = |text: &str| {
        let symbols = text.chars().filter(|char| !is_separator(*char)).map(symbol);
        Zeroizing::new(symbols.collect::<Vec<u8>>())
    };
    group(kit, number).is_some_and(|group| {
        let typed = symbols(typed);
        !typed.contains(&FOREIGN) && typed == symbols(group)
    })
}

fn checksum(seed: &[u8; 32]) -> [u8; 3] {
    let [a, b, c, ..] = blake3::derive_key(CHECKSUM, seed);
    [a, b, c]
}

/// A weighted sum over GF(32), started with the group's number. The weights are different powers
/// of a generator, hence every swap of two different characters shows.
fn check(number: usize, symbols: &[u8]) -> u8 {
    let start = u8::try_from(number).unwrap_or(0);
    double(
        symbols
            .iter()
            .fold(start, |sum, symbol| double(sum) ^ symbol),
    )
}

/// Times x modulo x⁵ + x² + 1, which is primitive.
fn double(value: u8) -> u8 {
    let doubled = value << 1;
    if doubled & 32 == 0 {
        doubled
    } else {
        doubled ^ 0b10_0101
    }
}

fn symbol(char: char) -> u8 {
    let upper = match char.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        'U' => 'V',
        upper => upper,
    };
    (0..)
        .zip(ALPHABET)
        .find_map(|(symbol, char)| (char::from(char) == upper).then_some(symbol))
        .unwrap_or(FOREIGN)
}

fn is_separator(char: char) -> bool {
    char.is_whitespace()
        || matches!(
            char,
            '-' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '_' | '.' | '/'
        )
}
