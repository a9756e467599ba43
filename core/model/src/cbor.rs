//! The strict subset of CBOR (RFC 8949 §4.2.1) that bodies and messages use: one encoding of
//! anything, so that a second one never decodes.
//!
//! Unknown kinds and fields survive because the bytes of an op are kept as they came; typed
//! decoding only reads them. Nothing here may allocate by a declared length.

use minicbor::data::Type;
use minicbor::{Decode, Decoder, Encode};

/// Deepest nesting of arrays and maps in anything Kolonne reads.
pub const MAX_DEPTH: usize = 16;
const NULL: u8 = 0xf6;

/// Why bytes are not the one encoding of what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CborError {
    /// Cut off, or a type that does not belong there.
    #[error("malformed CBOR")]
    Malformed,
    /// Decodable, but not in its one form: a longer integer, unsorted or repeated keys,
    /// indefinite lengths, tags, floats, a field that is null, bytes behind the item.
    #[error("CBOR not in its one form")]
    NotCanonical,
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("CBOR nested too deeply")]
    TooDeep,
}

/// Encodes. Writing into memory can't fail and no `Encode` of this crate has an error of its own.
#[must_use]
#[allow(clippy::expect_used, clippy::missing_panics_doc)]
pub fn encode<T: Encode<()>>(value: &T) -> Vec<u8> {
    minicbor::to_vec(value).expect("encoding into memory does not fail")
}

/// Checks the one form, then decodes; unknown fields of maps and arrays are passed over.
pub fn decode<'b, T: Decode<'b, ()>>(bytes: &'b [u8]) -> Result<T, CborError> {
    check(bytes)?;
    minicbor::decode(bytes).map_err(|_| CborError::Malformed)
}

/// Checks that `bytes` are exactly one item in its one form.
pub fn check(bytes: &[u8]) -> Result<(), CborError> {
    let end = item_end(bytes)?;
    if end == bytes.len() {
        Ok(())
    } else {
        Err(CborError::NotCanonical)
    }
}

/// Length of the first item of `bytes`, checked to be in its one form.
pub fn item_end(bytes: &[u8]) -> Result<usize, CborError> {
    let mut decoder = Decoder::new(bytes);
    walk(bytes, &mut decoder, 0)?;
    Ok(decoder.position())
}

fn walk(bytes: &[u8], d: &mut Decoder<'_>, depth: usize) -> Result<(), CborError> {
    use CborError::{Malformed, NotCanonical, TooDeep};
    if depth > MAX_DEPTH {
        return Err(TooDeep);
    }
    let start = d.position();
    let kind = d.datatype().map_err(|_| Malformed)?;
    // The head's argument must be in its shortest form (RFC 8949 §4.2.1).
    head_is_shortest(bytes, start)?;
    match kind {
        Type::Bool | Type::Null => d.skip().map_err(|_| Malformed),
        Type::U8
        | Type::U16
        | Type::U32
        | Type::U64
        | Type::I8
        | Type::I16
        | Type::I32
        | Type::I64
        | Type::Int => d.int().map(drop).map_err(|_| Malformed),
        Type::Bytes => d.bytes().map(drop).map_err(|_| Malformed),
        Type::String => d.str().map(drop).map_err(|_| Malformed),
        Type::Array => {
            let len = d.array().map_err(|_| Malformed)?.ok_or(NotCanonical)?;
            (0..len).try_for_each(|_| walk(bytes, d, depth + 1))
        }
        Type::Map => {
            let len = d.map().map_err(|_| Malformed)?.ok_or(NotCanonical)?;
            let mut last: Option<&[u8]> = None;
            for _ in 0..len {
                let from = d.position();
                walk(bytes, d, depth + 1)?;
                let key = bytes.get(from..d.position()).ok_or(Malformed)?;
                if last.is_some_and(|last| last >= key) {
                    return Err(NotCanonical);
                }
                last = Some(key);
                // A field that is none is left out: said, it would be a second encoding.
                if bytes.get(d.position()) == Some(&NULL) {
                    return Err(NotCanonical);
                }
                walk(bytes, d, depth + 1)?;
            }
            Ok(())
        }
        _ => Err(NotCanonical),
    }
}

fn head_is_shortest(bytes: &[u8], at: usize) -> Result<(), CborError> {
    use CborError::{Malformed, NotCanonical};
    let head = *bytes.get(at).ok_or(Malformed)?;
    let tail = |n: usize| bytes.get(at + 1..at + 1 + n).ok_or(Malformed);
    let be = |tail: &[u8]| tail.iter().fold(0u64, |n, b| n << 8 | u64::from(*b));
    let ok = match head & 0x1f {
        0..=23 => true,
        24 => be(tail(1)?) >= 24,
        25 => be(tail(2)?) > 0xff,
        26 => be(tail(4)?) > 0xffff,
        27 => be(tail(8)?) > 0xffff_ffff,
        _ => false,
    };
    if ok { Ok(()) } else { Err(NotCanonical) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_one_form_passes() {
        for good in [
            &[0x00][..],
            &[0x18, 24],
            &[0xa1, 0x00, 0x61, b'x'],
            &[0x82, 0xf6, 0xf5],
        ] {
            assert_eq!(check(good), Ok(()), "{good:02x?}");
        }
        for (bad, why) in [
            (&[0x18, 23][..], CborError::NotCanonical), // longer than needed
            (&[0x19, 0, 200], CborError::NotCanonical),
            (&[0x9f, 0xff], CborError::NotCanonical), // indefinite
            (&[0xa2, 1, 0, 0, 0], CborError::NotCanonical), // unsorted
            (&[0xa2, 1, 0, 1, 0], CborError::NotCanonical), // twice
            (&[0xa1, 0x00, 0xf6], CborError::NotCanonical), // a field that is none
            (&[0xc0, 0x00], CborError::NotCanonical), // tag
            (&[0xf9, 0, 0], CborError::NotCanonical), // float
            (&[0x00, 0x00], CborError::NotCanonical), // trailing
            (&[0x61], CborError::Malformed),
            (&[0x61, 0xff], CborError::Malformed), // not UTF-8
            (
                &[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
                CborError::Malformed,
            ),
            (&[], CborError::Malformed),
        ] {
            assert_eq!(check(bad), Err(why), "{bad:02x?}");
        }
        assert_eq!(check(&[0x81; 40]), Err(CborError::TooDeep));
    }
}
