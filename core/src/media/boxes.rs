//! The boxes of ISO base media files (ISO/IEC 14496-12), read in place. It allocates nothing and never
//! believes a length or a count that the bytes don't back.

/// The four letters and the body of each well-formed box in `data`; ends at the first that is not.
pub(super) fn children(data: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    let mut rest = data;
    std::iter::from_fn(move || {
        let short = be32(rest, 0)?;
        let kind: [u8; 4] = rest.get(4..8)?.try_into().ok()?;
        let (header, len) = match short {
            0 => (8, rest.len()),
            1 => (16, usize::try_from(be64(rest, 8)?).ok()?),
            len => (8, usize::try_from(len).ok()?),
        };
        let body = rest.get(header..len)?;
        rest = rest.get(len..)?;
        Some((kind, body))
    })
}

/// The body of the first box at `path`, one name a level.
pub(super) fn find<'a>(data: &'a [u8], path: &[&[u8; 4]]) -> Option<&'a [u8]> {
    path.iter().try_fold(data, |data, name| {
        children(data)
            .find(|(kind, _)| kind == *name)
            .map(|(_, body)| body)
    })
}

/// The bodies of all tracks, with the four letters of each one's handler.
pub(super) fn tracks(bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    let movie = find(bytes, &[b"moov"]).unwrap_or_default();
    children(movie)
        .filter(|(kind, _)| kind == b"trak")
        .filter_map(|(_, track)| {
            let handler = find(track, &[b"mdia", b"hdlr"])?.get(8..12)?;
            Some((handler.try_into().ok()?, track))
        })
}

/// Whether there is a track of sound, and one of pictures.
pub(super) fn track_handlers(bytes: &[u8]) -> (bool, bool) {
    tracks(bytes).fold((false, false), |(sound, pictures), (handler, _)| {
        (
            sound || &handler == b"soun",
            pictures || &handler == b"vide",
        )
    })
}

/// Big-endian `u32` at `offset`.
pub(super) fn be32(data: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_be_bytes(
        data.get(offset..offset.checked_add(4)?)?.try_into().ok()?,
    ))
}

/// Big-endian `u64` at `offset`.
pub(super) fn be64(data: &[u8], offset: usize) -> Option<u64> {
    Some(u64::from_be_bytes(
        data.get(offset..offset.checked_add(8)?)?.try_into().ok()?,
    ))
}
