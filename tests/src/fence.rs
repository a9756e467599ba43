//! Searches files for words that must not be there, in every dress a leak might wear.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use data_encoding::{BASE64, HEXLOWER, HEXUPPER};

/// Bytes of a pattern by which it is found first.
const START: usize = 8;

/// Words and all the ways they may be written.
pub struct Fence {
    patterns: HashMap<[u8; START], Vec<(usize, Vec<u8>)>>,
    /// Whether any pattern begins with these two bytes.
    first: Vec<bool>,
    words: Vec<String>,
}

/// A word found, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// The word.
    pub word: String,
    /// The file.
    pub place: String,
    /// At which byte.
    pub at: usize,
}

/// A word in UTF-8 and both orders of UTF-16, raw, in hex and in base64 at each alignment.
fn dresses(word: &str) -> HashSet<Vec<u8>> {
    let utf16 = |bytes: fn(u16) -> [u8; 2]| word.encode_utf16().flat_map(bytes).collect();
    let raws: [Vec<u8>; 3] = [
        word.as_bytes().to_vec(),
        utf16(u16::to_le_bytes),
        utf16(u16::to_be_bytes),
    ];
    let mut out = HashSet::new();
    for raw in raws {
        out.insert(HEXLOWER.encode(&raw).into_bytes());
        out.insert(HEXUPPER.encode(&raw).into_bytes());
        for before in 0..3 {
            // Only characters that no neighbour has a part in.
            let encoded = BASE64.encode(&[&vec![0; before], raw.as_slice()].concat());
            let from = (before * 8).div_ceil(6);
            let to = (before + raw.len()) * 8 / 6;
            out.insert(encoded.as_bytes()[from..to].to_vec());
        }
        out.insert(raw);
    }
    out
}

impl Fence {
    /// Words of at least eight bytes.
    pub fn new(words: &[String]) -> Self {
        let mut patterns: HashMap<[u8; START], Vec<(usize, Vec<u8>)>> = HashMap::new();
        let mut first = vec![false; 1 << 16];
        for (number, word) in words.iter().enumerate() {
            for dress in dresses(word) {
                first[usize::from(u16::from_be_bytes([dress[0], dress[1]]))] = true;
                let start = *dress.first_chunk().expect("a word is long enough");
                patterns.entry(start).or_default().push((number, dress));
            }
        }
        Self {
            patterns,
            first,
            words: words.to_vec(),
        }
    }

    /// Words in these bytes.
    pub fn search(&self, place: &str, bytes: &[u8]) -> Vec<Hit> {
        let mut hits = Vec::new();
        for (at, start) in bytes.windows(START).enumerate() {
            if !self.first[usize::from(u16::from_be_bytes([start[0], start[1]]))] {
                continue;
            }
            for (number, dress) in self.patterns.get(start).into_iter().flatten() {
                if bytes[at..].starts_with(dress) {
                    hits.push(Hit {
                        word: self.words[*number].clone(),
                        place: place.to_owned(),
                        at,
                    });
                }
            }
        }
        hits
    }

    /// Words in the names and bytes of all files below a folder; also how many files and bytes.
    pub fn search_folder(&self, folder: &Path) -> (Vec<Hit>, usize, usize) {
        let (mut hits, mut searched) = (Vec::new(), 0);
        let files = files_below(folder);
        for path in &files {
            let place = path.to_string_lossy();
            let bytes = std::fs::read(path).unwrap();
            searched += bytes.len();
            hits.extend(self.search(&place, place.as_bytes()));
            hits.extend(self.search(&place, &bytes));
        }
        (hits, files.len(), searched)
    }
}

/// All files below a folder.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_planted_word_is_found_in_every_dress_and_place() {
        let fence = Fence::new(&["Ziegelbruch".to_owned(), "Wendehammer".to_owned()]);
        for dress in dresses("Ziegelbruch") {
            let planted = [b"xyz".as_slice(), &dress, b"abc"].concat();
            let hits = fence.search("here", &planted);
            assert!(
                hits.iter().any(|hit| hit.word == "Ziegelbruch"),
                "{planted:?}"
            );
        }
        // Base64 of a longer text, wherever the word stands in it.
        for before in 0..7 {
            let text = format!("{}Ziegelbruch und mehr", "-".repeat(before));
            let hits = fence.search("here", BASE64.encode(text.as_bytes()).as_bytes());
            assert_eq!(hits.len(), 1, "{before}");
        }
        assert_eq!(
            fence.search("here", b"Ziegel und Bruch, Wende und Hammer"),
            []
        );
    }
}
