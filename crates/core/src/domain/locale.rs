//! Languages of messages.

use std::fmt;

use icu_locale::subtags::{Language, Region as Area, Script, language};
use icu_locale::{LanguageIdentifier, LocaleCanonicalizer, LocaleExpander};
use oxilangtag::LanguageTag;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Region, text};
use crate::values;

/// CLDR's likely subtags of every country. The smaller set lacks countries whose language has little
/// data there, and would make them English.
const LIKELY: LocaleExpander = LocaleExpander::new_extended();

/// A language, perhaps in a script and of a region: `de`, `pt-BR`, `zh-Hant` (BCP 47).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Locale {
    language: Language,
    script: Option<Script>,
    region: Option<Area>,
}

impl Locale {
    /// `en`.
    pub const ENGLISH: Self = Self { language: language!("en"), script: None, region: None };

    /// Reads any well-formed tag of RFC 5646, in any case, with `-` or `_`, and what Java adds to it (`de_DE_#u-mu-celsius`).
    /// Texts differ by language, script and region only: the other subtags go, from the end on, as in a lookup of RFC 4647.
    /// Tags that were replaced (`iw`, which old Java sends for Hebrew) become the present ones, and one that names no
    /// language (`i-default`) is `und`. `None` when it is no tag.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.split("_#").next().unwrap_or_default();
        // POSIX adds a character set and a modifier: `de_DE.UTF-8@euro`.
        let (text, rest) = text.split_at(text.find(['.', '@']).unwrap_or(text.len()));
        if !rest.chars().all(|c| c.is_ascii_alphanumeric() || ".@-_".contains(c)) {
            return None;
        }
        let text = text.replace('_', "-");
        let tag = LanguageTag::parse(text.as_str()).ok()?;
        // Extended languages, as in zh-yue, come behind the language that has texts.
        let subtags = [Some(tag.primary_language()), tag.script(), tag.region()];
        let plain = subtags.into_iter().flatten().collect::<Vec<_>>().join("-");
        // Those that RFC 5646 keeps from before, such as en-GB-oed, are one subtag to the parser.
        let ends = plain.match_indices('-').map(|(at, _)| at).chain([plain.len()]).collect::<Vec<_>>();
        let ids = ends.into_iter().rev().filter_map(|end| plain[..end].parse::<LanguageIdentifier>().ok());
        let id = ids.into_iter().find(|id| id.variants.is_empty()).unwrap_or(LanguageIdentifier::UNKNOWN);
        let mut locale = id.into();
        LocaleCanonicalizer::new_common().canonicalize(&mut locale);
        Some(Self::of(&locale.id))
    }

    /// The country of the tag.
    pub fn country(self) -> Option<Region> {
        Region::parse(self.region?.as_str())
    }

    /// The language that most people of the region understand, by CLDR's likely subtags: one for each region, such as
    /// German for Switzerland and English for Canada. `None` for regions that are not countries, such as satellite
    /// networks.
    pub fn of_region(region: Region) -> Option<Self> {
        let code = region.to_string();
        let area = Area::try_from_str(&code).ok().filter(Area::is_alphabetic)?;
        let mut id = LanguageIdentifier::from((Language::UNKNOWN, None, Some(area)));
        LIKELY.maximize(&mut id);
        // CLDR leaves out the regions of its default, which is English.
        if id.language.is_unknown() {
            id.language = language!("en");
        }
        Some(Self::of(&id))
    }

    /// The country of most people who read this language in this script, by CLDR's likely subtags.
    pub fn likely_region(self) -> Option<Region> {
        let mut id = LanguageIdentifier::from((self.language, self.script, None));
        LIKELY.maximize(&mut id);
        Region::parse(id.region?.as_str())
    }

    /// The language without script and region.
    #[must_use]
    pub const fn language(self) -> Self {
        Self { language: self.language, script: None, region: None }
    }

    /// Returns `true` for English of any kind.
    pub fn is_english(self) -> bool {
        self.language == language!("en")
    }

    /// Under which tags to look for a text for this one, the best first: itself, then without the script
    /// (`zh-TW`), then with the script that the region implies (`zh-Hant`), then the language alone.
    pub fn lookup(self) -> impl Iterator<Item = Self> {
        let mut id = LanguageIdentifier::from((self.language, self.script, self.region));
        LIKELY.maximize(&mut id);
        let without_script = Self { script: None, ..self };
        let in_script = Self { script: id.script, region: None, ..self };
        // Norwegian has a tag in addition to those of its two written forms.
        let other = match self.language {
            l if l == language!("nb") || l == language!("nn") => Some(language!("no")),
            l if l == language!("no") => Some(language!("nb")),
            _ => None,
        };
        let other = other.map(|language| Self { language, script: None, region: None });
        [self, without_script, in_script, self.language()].into_iter().chain(other)
    }

    fn of(id: &LanguageIdentifier) -> Self {
        Self { language: id.language, script: id.script, region: id.region }
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

values! {
    Locale: "a language such as \"de\", \"pt-BR\" or \"zh-Hant\" (BCP 47)", Self::parse, {
        "type": "string",
        "pattern": "^[A-Za-z]{1,8}([-_#]+[A-Za-z0-9]{1,8})*([.@][A-Za-z0-9.@_-]*)?$",
    };
}

impl Serialize for Locale {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Locale {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        text(from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locale(tag: &str) -> Locale {
        Locale::parse(tag).expect("a tag")
    }

    #[test]
    fn a_tag_has_one_spelling() {
        for (text, tag) in
            [("de", "de"), ("PT_br", "pt-BR"), ("zh-hant-TW", "zh-Hant-TW"), ("iw", "he"), ("en-UK", "en-GB")]
        {
            assert_eq!(locale(text).to_string(), tag, "{text:?}");
        }
        for text in [
            "",
            "english please",
            "d",
            "123",
            "+14155552671",
            "de--DE",
            "de-",
            "de-DE-DE",
            "de-u",
            "C.UTF-8",
            "de_DE.UTF 8",
            "*",
        ] {
            assert_eq!(Locale::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn every_tag_of_rfc_5646_and_of_androids_preferences_is_a_language() {
        for line in include_str!("../../../../tests/facts/language-tags.tsv").lines() {
            if let Some((tag, read)) = line.split_once('\t').filter(|_| !line.starts_with('#')) {
                assert_eq!(Locale::parse(tag).map(|read| read.to_string()).as_deref(), Some(read), "{tag}");
            }
        }
    }

    #[test]
    fn a_country_has_its_usual_language_and_a_language_its_usual_country() {
        for (region, tag) in
            [("BR", "pt-Latn-BR"), ("CH", "de-Latn-CH"), ("GL", "kl-Latn-GL"), ("GB", "en-GB")]
        {
            let of_region = Region::parse(region).and_then(Locale::of_region);
            assert_eq!(of_region.map(|locale| locale.to_string()).as_deref(), Some(tag));
        }
        for (tag, region) in
            [("de", "DE"), ("ar", "EG"), ("zh-Hant", "TW"), ("es-419", "ES"), ("en-GB", "US")]
        {
            assert_eq!(locale(tag).likely_region(), Region::parse(region), "{tag}");
        }
    }

    #[test]
    fn a_text_is_looked_for_from_the_exact_tag_to_the_language() {
        let lookup = |tag| locale(tag).lookup().map(|l| l.to_string()).collect::<Vec<_>>().join(" ");
        assert_eq!(lookup("pt-Latn-BR"), "pt-Latn-BR pt-BR pt-Latn pt");
        assert_eq!(lookup("zh-TW"), "zh-TW zh-TW zh-Hant zh");
        assert_eq!(lookup("nb"), "nb nb nb-Latn nb no");
        assert_eq!(lookup("no"), "no no no-Latn no nb");
    }
}
