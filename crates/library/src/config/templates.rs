//! Templates: texts of messages that services and requests choose by id, and the places in them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use smart_default::SmartDefault;

use super::sources::Config;
use super::values::template_sid;
use crate::domain::{Channel, Locale, Sid, SidKind, Timestamp, note};
use crate::template::Templates;
use crate::template::{PieceKind, pieces};

const NAME_LONGEST: usize = 64;

/// The templates that are always there: name, friendly name, text.
const BUILT_IN: [(&str, &str, &str); 2] = [
    ("onceward-plain", "Plain", "Your {friendly_name} verification code is: {code}"),
    (
        "onceward-minutes",
        "With its time",
        "{code} is your {friendly_name} code. It works once, within {minutes} minutes.",
    ),
];

const TEXTS: &str =
    "it must be an object with a text for each language, such as {\"en\": \"{code} opens {friendly_name}\"}";

/// A text for some channels, in one or more languages.
#[derive(SmartDefault, Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case")]
#[schemars(deny_unknown_fields)]
pub struct Template {
    /// Its name in config.json, from which its id is made.
    #[serde(skip)]
    pub name: String,
    /// `HJ`.
    #[serde(skip)]
    #[default(Sid::new(SidKind::Template, [0; 16]))]
    pub sid: Sid,
    /// The name shown to people, by default the template's.
    pub friendly_name: String,
    /// Channels that it is for: sms, call, whatsapp, telegram.
    #[serde(deserialize_with = "channels")]
    #[default(vec![Channel::Sms])]
    pub channels: Vec<Channel>,
    /// Its text in each language, with `{code}`, `{friendly_name}` and {{places}} of its own.
    #[schemars(with = "BTreeMap<String, String>", extend("default" = {}))]
    pub translations: BTreeMap<Locale, String>,
    /// Language where no other fits. Needed where there are several.
    pub default_locale: Option<Locale>,
    #[serde(skip)]
    pub created: Timestamp,
}

/// In their usual order, each once.
fn channels<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Channel>, D::Error> {
    let given = Vec::<Channel>::deserialize(from)?;
    if given.is_empty() {
        return Err(D::Error::custom(format_args!("must be one or more of {}", Channel::names(", "))));
    }
    Ok(Channel::ALL.into_iter().filter(|channel| given.contains(channel)).collect())
}

impl Template {
    pub fn built_in() -> impl Iterator<Item = Self> {
        BUILT_IN.into_iter().map(|(name, friendly_name, text)| {
            let template = Self {
                friendly_name: friendly_name.to_owned(),
                channels: Channel::ALL.to_vec(),
                translations: [(Locale::ENGLISH, text.to_owned())].into(),
                ..Self::default()
            };
            template.named(name)
        })
    }

    /// The same under a name.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        Self { name: name.to_owned(), sid: template_sid(name), ..self }
    }

    /// The language where no other fits.
    pub fn default_locale(&self) -> Option<Locale> {
        self.default_locale.or_else(|| self.translations.keys().next().copied())
    }

    /// Whether it has a text under this tag.
    pub fn has(&self, locale: Locale) -> bool {
        self.translations.contains_key(&locale)
    }
}

/// Checks the templates, their texts with those of messages, and gives each its name.
pub(super) fn check(
    templates: BTreeMap<String, Template>,
    checks: &Templates,
    c: &mut Config,
) -> Vec<Template> {
    let why = "a template of this name is built in; choose another";
    let is_built_in = |name: &str| Template::built_in().any(|template| template.name == name);
    let mut checked = Vec::new();
    for (name, mut template) in c.named("templates", templates, why, is_built_in) {
        let mut wrong = |member: &str, problem: &str| c.wrong(&format!("templates.{name}.{member}"), problem);
        if template.friendly_name.is_empty() {
            template.friendly_name.clone_from(&name);
        }
        if let Err(why) = note(&template.friendly_name, NAME_LONGEST) {
            wrong("friendly-name", &format!("it {why}"));
        }
        for (locale, text) in &template.translations {
            if let Err(why) = checks.check_custom(&shortest(text, "x")) {
                wrong(&format!("translations.{locale}"), &why);
            }
        }
        match template.default_locale {
            _ if template.translations.is_empty() => wrong("translations", TEXTS),
            Some(language) if !template.has(language) => {
                wrong("default-locale", "it must be one of the languages of translations");
            }
            None if template.translations.len() > 1 => {
                wrong("default-locale", "it is missing, and there are several languages");
            }
            _ => {}
        }
        checked.push(template.named(&name));
    }
    checked
}

/// The text with the shortest values in its own places: for longer ones each request is checked.
pub fn shortest(text: &str, friendly_name: &str) -> String {
    filled(text, friendly_name, |_| Some("x")).unwrap_or_default()
}

/// The text with everything in its places but the code and those of every text, such as `{minutes}`: in `{friendly_name}`
/// the name, in `{{name}}` what `value` has for it. Both have one or two braces.
///
/// # Errors
/// The first place without a value.
pub fn filled<'t>(
    text: &'t str,
    friendly_name: &str,
    value: impl Fn(&str) -> Option<&'t str>,
) -> Result<String, &'t str> {
    let mut filled = String::with_capacity(text.len() + 64);
    for (raw, kind) in pieces(text) {
        filled.push_str(match kind {
            PieceKind::Single("code") | PieceKind::Double("code") => "{code}",
            PieceKind::Single("friendly_name") | PieceKind::Double("friendly_name") => friendly_name,
            PieceKind::Double(own) => value(own).ok_or(own)?,
            _ => raw,
        });
    }
    Ok(filled)
}
