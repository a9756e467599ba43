//! The language people are spoken to in, from `--lang` or the environment. It never decides
//! anything but words.

use clap::ValueEnum;

/// German or English.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Language {
    /// German.
    De,
    /// English.
    En,
}

impl Language {
    /// What was asked for, else what the environment says, else English.
    pub fn choose(asked: Option<Self>) -> Self {
        asked.unwrap_or_else(|| {
            let words = ["LC_ALL", "LC_MESSAGES", "LANG"];
            Self::of_locale(
                words
                    .iter()
                    .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty())),
            )
        })
    }

    fn of_locale(locale: Option<String>) -> Self {
        match locale {
            Some(locale) if locale.starts_with("de") => Self::De,
            _ => Self::En,
        }
    }

    /// One of two.
    pub const fn of<'a>(self, de: &'a str, en: &'a str) -> &'a str {
        match self {
            Self::De => de,
            Self::En => en,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn german_locales_speak_german() {
        assert_eq!(
            Language::of_locale(Some("de_AT.UTF-8".into())),
            Language::De
        );
        assert_eq!(Language::of_locale(Some("C.UTF-8".into())), Language::En);
        assert_eq!(Language::of_locale(None), Language::En);
    }
}
