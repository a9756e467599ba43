//! Takes the position out of a picture and leaves every other byte where it is: what is sealed is
//! kept as captured, but where somebody stood with his sick note is nobody's business.
//!
//! Works in place on JPEG, WebP and HEIC, so that nothing is decoded or recoded.

use std::io::Cursor;
use std::ops::Range;

use exif::Reader;

use super::{MediaError, MediaType, exif as metadata, guard, probe};

/// The tag of IFD 0 that leads to the position.
const GPS_TAG: u16 = 0x8825;
/// IFDs of one picture that are looked at; cameras write two.
const MAX_IFDS: usize = 8;
const ENTRY_BYTES: usize = 12;
/// Bytes of a value by its type (TIFF 6.0 §2).
const TYPE_BYTES: [usize; 13] = [0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8];
/// Before the names that XMP has for a position.
const XMP_NAME: &[u8] = b"exif:GPS";
/// Longest value of one that is blanked.
const MAX_XMP_BYTES: usize = 200;

/// Removes the position from a picture; anything else is left as it is.
pub fn remove(bytes: &mut [u8]) {
    if !matches!(
        probe(bytes),
        MediaType::Jpeg | MediaType::WebP | MediaType::Heic
    ) {
        return;
    }
    if let Some(place) = tiff_in(bytes) {
        if let Some(tiff) = bytes.get_mut(place.clone()) {
            wipe(tiff);
        }
        // A block that can't be edited goes as a whole.
        if metadata::read(bytes).position.is_some()
            && let Some(tiff) = bytes.get_mut(place)
        {
            tiff.fill(0);
        }
    }
    blank_xmp(bytes);
}

/// Where the EXIF block lies.
fn tiff_in(bytes: &[u8]) -> Option<Range<usize>> {
    let exif = guard(|| {
        Reader::new()
            .continue_on_error(true)
            .read_from_container(&mut Cursor::new(bytes))
            .or_else(|error| error.distill_partial_result(|_| {}))
            .map_err(|_| MediaError::Corrupt("exif"))
    })
    .ok()?;
    let tiff = exif.buf();
    let start = find(bytes, tiff)?;
    Some(start..start.checked_add(tiff.len())?)
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    if wanted.is_empty() {
        return None;
    }
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

/// Reads numbers of a TIFF in its byte order.
struct Order {
    little: bool,
}

impl Order {
    fn u16(&self, tiff: &[u8], at: usize) -> Option<u16> {
        let bytes: [u8; 2] = tiff.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if self.little {
            u16::from_le_bytes(bytes)
        } else {
            u16::from_be_bytes(bytes)
        })
    }

    fn offset(&self, tiff: &[u8], at: usize) -> Option<usize> {
        let bytes: [u8; 4] = tiff.get(at..at.checked_add(4)?)?.try_into().ok()?;
        let value = if self.little {
            u32::from_le_bytes(bytes)
        } else {
            u32::from_be_bytes(bytes)
        };
        usize::try_from(value).ok()
    }
}

fn wipe(tiff: &mut [u8]) {
    let order = Order {
        little: tiff.starts_with(b"II"),
    };
    let mut at = order.offset(tiff, 4);
    for _ in 0..MAX_IFDS {
        let Some(ifd) = at.filter(|at| *at != 0) else {
            return;
        };
        at = walk(tiff, &order, ifd);
    }
}

/// Wipes what an IFD says of a position; where the next IFD is.
fn walk(tiff: &mut [u8], order: &Order, ifd: usize) -> Option<usize> {
    let count = usize::from(order.u16(tiff, ifd)?);
    let entries = ifd.checked_add(2)?;
    for number in 0..count {
        let entry = entries.checked_add(number.checked_mul(ENTRY_BYTES)?)?;
        if order.u16(tiff, entry)? == GPS_TAG {
            let gps = order.offset(tiff, entry.checked_add(8)?)?;
            wipe_gps(tiff, order, gps);
        }
    }
    order.offset(tiff, entries.checked_add(count.checked_mul(ENTRY_BYTES)?)?)
}

fn wipe_gps(tiff: &mut [u8], order: &Order, ifd: usize) -> Option<()> {
    let count = usize::from(order.u16(tiff, ifd)?);
    for number in 0..count {
        let entry = ifd
            .checked_add(2)?
            .checked_add(number.checked_mul(ENTRY_BYTES)?)?;
        let kind = usize::from(order.u16(tiff, entry.checked_add(2)?)?);
        let values = order.offset(tiff, entry.checked_add(4)?)?;
        let bytes = TYPE_BYTES.get(kind)?.checked_mul(values)?;
        if bytes > 4 {
            let at = order.offset(tiff, entry.checked_add(8)?)?;
            tiff.get_mut(at..at.checked_add(bytes)?)?.fill(0);
        }
        tiff.get_mut(entry..entry.checked_add(ENTRY_BYTES)?)?
            .fill(0);
    }
    // An IFD of no entries.
    tiff.get_mut(ifd..ifd.checked_add(2)?)?.fill(0);
    Some(())
}

/// Blanks the values of a position in XMP, as attributes and as elements.
fn blank_xmp(bytes: &mut [u8]) {
    let mut from = 0;
    while let Some(found) = bytes.get(from..).and_then(|rest| find(rest, XMP_NAME)) {
        from = from.saturating_add(found).saturating_add(XMP_NAME.len());
        let rest = bytes.get_mut(from..).unwrap_or_default();
        let name = rest
            .iter()
            .take_while(|b| b.is_ascii_alphanumeric())
            .count();
        let (value, end) = match rest.get(name..) {
            Some([b'=', quote @ (b'"' | b'\''), ..]) => (name.saturating_add(2), *quote),
            Some([b'>', ..]) => (name.saturating_add(1), b'<'),
            _ => continue,
        };
        rest.iter_mut()
            .skip(value)
            .take(MAX_XMP_BYTES)
            .take_while(|byte| **byte != end)
            .for_each(|byte| *byte = b' ');
    }
}
