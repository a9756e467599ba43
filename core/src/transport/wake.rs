//! Reads the wake stream (`text/event-stream`, WHATWG HTML §9.2.6): sequence numbers and comments,
//! nothing else. It must never hold more than one line.

use kolonne_model::hub::HubError;

/// Longest line taken in bytes.
const MAX_LINE_BYTES: usize = 4096;

/// An event stream as far as it was read.
#[derive(Debug, Default)]
pub(super) struct Events {
    line: Vec<u8>,
    data: Option<u64>,
}

impl Events {
    /// Takes bytes wherever they were cut; gives the highest sequence of the events that ended.
    pub fn take(&mut self, bytes: &[u8]) -> Result<Option<u64>, HubError> {
        let mut newest = None;
        for byte in bytes {
            if *byte != b'\n' {
                if self.line.len() == MAX_LINE_BYTES {
                    return Err(HubError::NotTheHub);
                }
                self.line.push(*byte);
                continue;
            }
            let line = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
            if line.is_empty() {
                newest = newest.max(self.data.take());
            } else if let Some(value) = line.strip_prefix(b"data:") {
                let value = str::from_utf8(value.trim_ascii()).map_err(|_| HubError::NotTheHub)?;
                self.data = Some(value.parse().map_err(|_| HubError::NotTheHub)?);
            }
            self.line.clear();
        }
        Ok(newest)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn events_are_found_wherever_the_stream_is_cut() {
        let stream = b":\n\ndata: 41\n\n:\r\nevent: x\r\ndata:42\r\n\r\ndata: 99\n";
        for first in 0..stream.len() {
            for second in first..stream.len() {
                let mut events = Events::default();
                let cuts = [&stream[..first], &stream[first..second], &stream[second..]];
                let newest = cuts
                    .iter()
                    .filter_map(|cut| events.take(cut).unwrap())
                    .max();
                // The last event hasn't ended.
                assert_eq!(newest, Some(42), "{first} {second}");
            }
        }
    }

    #[test]
    fn what_is_no_sequence_is_not_the_hub() {
        for bad in [
            &b"data: -1\n"[..],
            b"data: 18446744073709551616\n",
            b"data: \xff\n",
            &[b'x'; 5000],
        ] {
            assert_eq!(Events::default().take(bad), Err(HubError::NotTheHub));
        }
        // Hours of comments hold nothing.
        let mut events = Events::default();
        assert_eq!(events.take(&b":\n".repeat(9000)), Ok(None));
        assert!(events.line.is_empty());
    }
}
