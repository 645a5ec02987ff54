//! Languages of messages.

use std::fmt;

use icu_locale_core::LanguageIdentifier;
use icu_locale_core::subtags::{Language, Region, Script};

/// A language, perhaps in a script and of a region: `de`, `pt-BR`, `zh-Hant` (BCP 47).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Locale {
    language: Language,
    script: Option<Script>,
    region: Option<Region>,
}

impl Locale {
    /// Reads a tag in any case, with `-` or `_`. `None` when it is none, or names no language.
    pub fn parse(text: &str) -> Option<Self> {
        let id: LanguageIdentifier = text.replace('_', "-").parse().ok()?;
        let LanguageIdentifier { language, script, region, variants } = id;
        (!language.is_unknown() && variants.is_empty()).then_some(Self { language, script, region })
    }

    /// The language without script and region.
    #[must_use]
    pub const fn language(self) -> Self {
        Self { language: self.language, script: None, region: None }
    }
}

impl fmt::Display for Locale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.language.as_str())?;
        if let Some(script) = self.script {
            write!(f, "-{}", script.as_str())?;
        }
        if let Some(region) = self.region {
            write!(f, "-{}", region.as_str())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_has_one_spelling() {
        for (text, tag) in
            [("de", "de"), ("PT_br", "pt-BR"), ("zh-hant-TW", "zh-Hant-TW"), ("EN-us", "en-US")]
        {
            assert_eq!(
                Locale::parse(text).map(|locale| locale.to_string()).as_deref(),
                Some(tag),
                "{text:?}"
            );
        }
        for text in ["", "und", "english please", "d", "123", "de-1996", "+14155552671"] {
            assert_eq!(Locale::parse(text), None, "{text:?}");
        }
    }
}
