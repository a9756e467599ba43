//! The strict CBOR against a reader and a writer that share no line with it.

use kolonne_model::cbor::{self, MAX_DEPTH};

/// CBOR without tags, floats and indefinite lengths.
#[derive(Debug, Clone, PartialEq)]
enum Item {
    Number { major: u8, value: u64 },
    Bytes { major: u8, bytes: Vec<u8> },
    Array(Vec<Item>),
    Map(Vec<(Item, Item)>),
    Simple(u8),
}

/// Reads an item in whatever encoding; none for what isn't one.
fn read(from: &mut &[u8], depth: usize) -> Option<Item> {
    let (&head, rest) = from.split_first()?;
    *from = rest;
    let (major, short) = (head >> 5, head & 31);
    if major == 7 {
        return matches!(short, 20..=22).then_some(Item::Simple(head));
    }
    let value = match short {
        0..=23 => u64::from(short),
        24..=27 => {
            let (tail, rest) = from.split_at_checked(1 << (short - 24))?;
            *from = rest;
            tail.iter().fold(0, |n, byte| n << 8 | u64::from(*byte))
        }
        _ => return None,
    };
    let inner = |from: &mut &[u8]| (depth < MAX_DEPTH).then(|| read(from, depth + 1)).flatten();
    match major {
        0 | 1 => Some(Item::Number { major, value }),
        2 | 3 => {
            let (bytes, rest) = from.split_at_checked(usize::try_from(value).ok()?)?;
            *from = rest;
            if major == 3 {
                std::str::from_utf8(bytes).ok()?;
            }
            let bytes = bytes.to_vec();
            Some(Item::Bytes { major, bytes })
        }
        4 => (0..value)
            .map(|_| inner(from))
            .collect::<Option<_>>()
            .map(Item::Array),
        5 => (0..value)
            .map(|_| Some((inner(from)?, inner(from)?)))
            .collect::<Option<_>>()
            .map(Item::Map),
        _ => None,
    }
}

fn head(out: &mut Vec<u8>, major: u8, value: u64) {
    let major = major << 5;
    match value {
        0..=23 => out.push(major | value as u8),
        24..=0xff => out.extend([major | 0x18, value as u8]),
        0x100..=0xffff => {
            out.push(major | 0x19);
            out.extend((value as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            out.push(major | 0x1a);
            out.extend((value as u32).to_be_bytes());
        }
        _ => {
            out.push(major | 0x1b);
            out.extend(value.to_be_bytes());
        }
    }
}

/// Writes the one form; none for what has none: a key twice, a field that is null.
fn write(item: &Item) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    match item {
        Item::Simple(byte) => out.push(*byte),
        Item::Number { major, value } => head(&mut out, *major, *value),
        Item::Bytes { major, bytes } => {
            head(&mut out, *major, bytes.len() as u64);
            out.extend(bytes);
        }
        Item::Array(items) => {
            head(&mut out, 4, items.len() as u64);
            for item in items {
                out.extend(write(item)?);
            }
        }
        Item::Map(entries) => {
            head(&mut out, 5, entries.len() as u64);
            let mut written = Vec::new();
            for (key, value) in entries {
                if *value == Item::Simple(0xf6) {
                    return None;
                }
                written.push((write(key)?, write(value)?));
            }
            written.sort();
            if written.windows(2).any(|pair| pair[0].0 == pair[1].0) {
                return None;
            }
            for (key, value) in written {
                out.extend(key);
                out.extend(value);
            }
        }
    }
    Some(out)
}

/// What passes is exactly what another writer writes.
pub fn one_form(bytes: &[u8]) {
    let mut rest = bytes;
    let item = read(&mut rest, 0).filter(|_| rest.is_empty());
    let form = item.as_ref().and_then(write);
    let passes = cbor::check(bytes).is_ok();
    assert_eq!(
        passes,
        form.as_deref() == Some(bytes),
        "exactly the one form passes"
    );
    if let Some(form) = form {
        assert_eq!(cbor::check(&form), Ok(()), "the one form passes");
    }
    if let Ok(end) = cbor::item_end(bytes) {
        assert_eq!(
            cbor::check(&bytes[..end]),
            Ok(()),
            "an item is one by itself"
        );
    }
}
