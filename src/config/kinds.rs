//! The kinds of values that are not numbers: truth, choices, texts.

use schemars::{Schema, json_schema};
use tracing::Level;

use super::settings::{AnswerSet, LogFormat};
use super::value::Setting;
use crate::domain::Region;

/// Yes or no.
#[derive(Debug, Clone, Copy)]
pub struct Flag(pub bool);

impl Setting for Flag {
    fn read(text: &str) -> Option<Self> {
        match text.trim().to_ascii_lowercase().as_str() {
            "true" => Some(Self(true)),
            "false" => Some(Self(false)),
            _ => None,
        }
    }

    fn shown(&self) -> String {
        self.0.to_string()
    }

    fn accepted() -> String {
        "true or false".to_owned()
    }

    fn placeholder() -> Self {
        Self(false)
    }

    fn schema() -> Schema {
        json_schema!({ "anyOf": [
            { "type": "boolean" },
            { "type": "string", "pattern": "^\\s*([Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee])\\s*$" },
        ]})
    }
}

/// A value with a name, one of a few.
pub trait Named: Copy + PartialEq + 'static {
    /// The names, in lower case, and what they stand for.
    const NAMES: &'static [(&'static str, Self)];
    /// Any of them.
    const ANY: Self;
}

/// One of a few names, in any case.
#[derive(Debug)]
pub struct Choice<T>(pub T);

impl<T: Named> Setting for Choice<T> {
    fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        T::NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, value)| Self(*value))
    }

    fn shown(&self) -> String {
        T::NAMES
            .iter()
            .find(|(_, value)| *value == self.0)
            .map(|(name, _)| format!("{name:?}"))
            .unwrap_or_default()
    }

    fn accepted() -> String {
        let names: Vec<String> = T::NAMES.iter().map(|(name, _)| format!("{name:?}")).collect();
        format!("one of {}", names.join(", "))
    }

    fn placeholder() -> Self {
        Self(T::ANY)
    }

    fn schema() -> Schema {
        let names: Vec<&str> = T::NAMES.iter().map(|(name, _)| *name).collect();
        json_schema!({ "type": "string", "enum": names })
    }
}

impl Named for Level {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("error", Self::ERROR),
        ("warn", Self::WARN),
        ("info", Self::INFO),
        ("debug", Self::DEBUG),
        ("trace", Self::TRACE),
    ];
    const ANY: Self = Self::INFO;
}

impl Named for LogFormat {
    const NAMES: &'static [(&'static str, Self)] = &[("text", Self::Text), ("json", Self::Json)];
    const ANY: Self = Self::Text;
}

impl Named for AnswerSet {
    const NAMES: &'static [(&'static str, Self)] =
        &[("documented", Self::Documented), ("as-built", Self::AsBuilt)];
    const ANY: Self = Self::Documented;
}

/// Any text, as it is.
#[derive(Debug)]
pub struct Text(pub String);

impl Setting for Text {
    fn read(text: &str) -> Option<Self> {
        Some(Self(text.to_owned()))
    }

    fn shown(&self) -> String {
        format!("{:?}", self.0)
    }

    fn accepted() -> String {
        "a text".to_owned()
    }

    fn placeholder() -> Self {
        Self(String::new())
    }

    fn schema() -> Schema {
        json_schema!({ "type": ["string", "number", "boolean"] })
    }
}

/// The path of a file or directory. A relative one begins in the working directory.
#[derive(Debug)]
pub struct PathText(pub String);

impl Setting for PathText {
    fn read(text: &str) -> Option<Self> {
        let usable = !text.trim().is_empty() && !text.contains('\0');
        usable.then(|| Self(text.to_owned()))
    }

    fn shown(&self) -> String {
        format!("{:?}", self.0)
    }

    fn accepted() -> String {
        "a path".to_owned()
    }

    fn placeholder() -> Self {
        Self(".".to_owned())
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "minLength": 1 })
    }
}

/// The name that messages speak in. Empty where none is given.
#[derive(Debug)]
pub struct Brand(pub String);

impl Brand {
    const LONGEST: usize = 100;
}

impl Setting for Brand {
    fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        let unusable = text.chars().count() > Self::LONGEST
            || text.contains("_CODE_")
            || text.chars().any(|c| c.is_control() || matches!(c, '{' | '}'));
        (!unusable).then(|| Self(text.to_owned()))
    }

    fn shown(&self) -> String {
        format!("{:?}", self.0)
    }

    fn accepted() -> String {
        format!(
            "a name of at most {} characters without line breaks, braces or _CODE_ (it is put into messages)",
            Self::LONGEST
        )
    }

    fn placeholder() -> Self {
        Self("onceward".to_owned())
    }

    fn schema() -> Schema {
        json_schema!({ "type": ["string", "number"], "maxLength": Self::LONGEST })
    }
}

/// The region of numbers without `+`, or none.
#[derive(Debug)]
pub struct RegionChoice {
    /// The region; `None` when it is off.
    pub region: Option<Region>,
    name: String,
}

impl RegionChoice {
    const OFF: &'static str = "off";
}

impl Setting for RegionChoice {
    fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.eq_ignore_ascii_case(Self::OFF) {
            return Some(Self::placeholder());
        }
        Region::parse(text).map(|region| Self { region: Some(region), name: text.to_ascii_uppercase() })
    }

    fn shown(&self) -> String {
        format!("{:?}", self.name)
    }

    fn accepted() -> String {
        "the two letters of a country such as \"DE\" or \"US\" (ISO 3166-1), or \"off\"".to_owned()
    }

    fn placeholder() -> Self {
        Self { region: None, name: Self::OFF.to_owned() }
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": "^\\s*([A-Za-z]{2}|[Oo][Ff][Ff])\\s*$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_is_true_or_false_in_any_case_and_nothing_else() {
        assert!(Flag::read("true").is_some_and(|flag| flag.0));
        assert!(Flag::read(" TRUE ").is_some_and(|flag| flag.0));
        assert!(Flag::read("False").is_some_and(|flag| !flag.0));
        for text in ["", "yes", "1", "0", "on", "truee"] {
            assert!(Flag::read(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn a_brand_cannot_smuggle_a_placeholder_or_a_line_into_a_message() {
        assert_eq!(Brand::read("  Acme & Sons ").map(|brand| brand.0).as_deref(), Some("Acme & Sons"));
        for text in ["a{code}", "x}", "a\nb", "_CODE_", &"x".repeat(101)] {
            assert!(Brand::read(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn a_choice_lists_its_names_when_it_is_wrong() {
        assert!(Choice::<Level>::read("verbose").is_none());
        assert_eq!(Choice::<Level>::accepted(), "one of \"error\", \"warn\", \"info\", \"debug\", \"trace\"");
        assert!(Choice::<AnswerSet>::read("As-Built").is_some_and(|choice| choice.0 == AnswerSet::AsBuilt));
    }
}
