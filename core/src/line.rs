//! What fits one line of a screen: names, titles, addresses. What a person here types is checked
//! and made plain; what came from elsewhere is made plain before it is shown.
//!
//! Nothing that steers a terminal, turns the reading direction around or can't be seen gets through,
//! so that two who look alike are told apart by what can be seen.

use crate::error::Error;

/// Longest line in bytes.
pub const MAX_LINE_BYTES: usize = 300;

/// A line in its plain form: without what can't be seen, trimmed, one space for any gap.
pub(crate) fn plain(text: &str) -> String {
    let seen: String = text.chars().filter(|c| !is_unseen(*c)).collect();
    let words = seen.split(|c: char| c.is_whitespace() || c.is_control());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

/// A line that was typed here; may be empty.
pub(crate) fn checked(field: &'static str, text: &str) -> Result<String, Error> {
    let line = plain(text);
    if line.len() > MAX_LINE_BYTES {
        return Err(Error::Invalid {
            field,
            code: "too_large",
        });
    }
    Ok(line)
}

/// A line that must say something.
pub(crate) fn checked_name(field: &'static str, text: &str) -> Result<String, Error> {
    let name = checked(field, text)?;
    if name.is_empty() {
        return Err(Error::Invalid {
            field,
            code: "empty",
        });
    }
    Ok(name)
}

/// A line that came from elsewhere, as it is shown: an app that checks nothing may have made it.
pub(crate) fn shown(text: &str) -> String {
    let mut line = plain(text);
    line.truncate(line.floor_char_boundary(MAX_LINE_BYTES));
    line
}

/// Marks of direction, joiners, fillers and tags: they change what others look like, or nothing.
const fn is_unseen(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_what_can_be_seen_of_it() {
        for (typed, line) in [
            ("  Anna \t Weber\n", "Anna Weber"),
            ("An\u{200b}na\u{ad} Weber\u{feff}", "Anna Weber"),
            ("\u{202e}rebeW annA\u{202c}", "rebeW annA"),
            ("Anna\u{1b}[2J\u{9b}31m Weber", "Anna [2J 31m Weber"),
            ("Mehmet Yılmaz · 2. Stock", "Mehmet Yılmaz · 2. Stock"),
            ("\u{2028}\u{3164}\u{200d}", ""),
        ] {
            assert_eq!(plain(typed), line, "{typed:?}");
            assert_eq!(plain(line), line);
        }
        assert!(checked("name", &"ä".repeat(151)).is_err());
        assert_eq!(shown(&"ä".repeat(151)), "ä".repeat(150));
        assert!(checked_name("name", " \u{200b} ").is_err());
    }
}
