//! Templates: texts of messages that services and requests choose by id, and the places in them.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};
use smart_default::SmartDefault;

use super::context::{Part, is_scalar, members};
use super::kind::{As, Text, kinds, names, object_of, quoted};
use super::schema::{by_name, object, properties};
use super::values::{Channels, LocaleTag, note, template_sid};
use crate::domain::{Channel, Locale, Sid, SidKind, Timestamp};
use crate::template::placeholder::{PieceKind, pieces};
use crate::template::{LONGEST, Templates};

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
    "an object with a text for each language, such as {\"en\": \"{code} opens {friendly_name}\"}";

kinds! {
    /// Templates by their names, before they are read.
    TemplatesObject -> Map<String, Value> {
        accepted: "an object of templates by name, such as {\"login\": {\"translations\": {\"en\": \"{code} opens \
                   {friendly_name}\"}}}",
        schema: {
            let mut template = object::<Template>();
            template.insert("required".to_owned(), json!(["translations"]));
            by_name(template.as_value())
        },
        of: |value| object_of(value),
        shown: |templates| names(templates),
    }
}

/// A text for some channels, in one or more languages.
#[derive(Debug, Clone, PartialEq, SmartDefault, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Template {
    /// Its name in config.json, from which its id is made.
    #[serde(skip)]
    pub name: String,
    /// `HJ`.
    #[serde(skip, default = "Template::no_sid")]
    #[default(Self::no_sid())]
    pub sid: Sid,
    /// The name shown to people, by default the template's.
    #[serde(with = "As::<Text>")]
    pub friendly_name: String,
    /// Channels that it is for: sms, call, whatsapp.
    #[serde(with = "As::<Channels>")]
    #[default(vec![Channel::Sms])]
    pub channels: Vec<Channel>,
    /// Its text in each language, with `{code}`, `{friendly_name}` and {{places}} of its own.
    #[serde(deserialize_with = "translations")]
    #[schemars(schema_with = "translations_schema")]
    pub translations: Vec<Translation>,
    /// Language where no other fits. Needed where there are several.
    #[serde(with = "As::<Option<LocaleTag>>")]
    pub default_locale: Option<Locale>,
    #[serde(skip)]
    #[default(Timestamp::EPOCH)]
    pub created: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Translation {
    pub locale: Locale,
    pub text: String,
}

impl Template {
    pub fn built_in() -> impl Iterator<Item = Self> {
        BUILT_IN.into_iter().filter_map(|(name, friendly_name, text)| {
            let translation = Translation { locale: Locale::parse("en")?, text: text.to_owned() };
            let template = Self {
                friendly_name: friendly_name.to_owned(),
                channels: Channel::ALL.to_vec(),
                translations: vec![translation],
                ..Self::default()
            };
            Some(template.named(name))
        })
    }

    /// The same under a name.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        Self { name: name.to_owned(), sid: template_sid(name), ..self }
    }

    fn no_sid() -> Sid {
        Sid::new(SidKind::Template, [0; 16])
    }

    /// The language where no other fits.
    pub fn default_locale(&self) -> Option<Locale> {
        let only = || self.translations.first().map(|translation| translation.locale);
        self.default_locale.or_else(only)
    }

    /// Checks the texts with those of messages. A member's name, its text if it has one, and what is wrong.
    fn problems(&self, checks: &Templates) -> Vec<(String, Option<String>, String)> {
        let mut problems = Vec::new();
        if let Err(why) = note(&self.friendly_name, NAME_LONGEST) {
            problems.push((
                "friendly-name".to_owned(),
                Some(self.friendly_name.clone()),
                format!("it {why}"),
            ));
        }
        for Translation { locale, text } in &self.translations {
            if let Err(why) = checks.check_custom(&shortest(text)) {
                problems.push((format!("translations.{locale}"), Some(text.clone()), why));
            }
        }
        if self.translations.is_empty() {
            problems.push(("translations".to_owned(), None, format!("it must be {TEXTS}")));
        }
        let has = |language| self.translations.iter().any(|text| text.locale == language);
        let locale = match self.default_locale {
            Some(language) if !has(language) => "it must be one of the languages of translations",
            None if self.translations.len() > 1 => "it is missing, and there are several languages",
            _ => return problems,
        };
        problems.push(("default-locale".to_owned(), None, locale.to_owned()));
        problems
    }
}

/// Reads and checks the templates; their texts are checked with those of messages.
pub(super) fn read(templates: Map<String, Value>, checks: &Templates, part: &mut Part<'_>) -> Vec<Template> {
    let known = properties::<Template>();
    let why = "a template of this name is built in; choose another";
    let is_built_in = |name: &str| Template::built_in().any(|template| template.name == name);
    let named = part.named_objects("templates", templates, why, is_built_in);
    let mut read = |(name, mut members): (String, Map<String, Value>)| {
        let path = format!("templates.{name}");
        members.entry("friendly-name").or_insert_with(|| name.clone().into());
        let (template, is_complete) = part.read::<Template>(&path, members, &known, is_scalar)?;
        for (member, given, problem) in template.problems(checks) {
            // A missing member may be one that was wrong.
            if is_complete || !matches!(member.as_str(), "translations" | "default-locale") {
                part.wrong(format!("{path}.{member}"), given.as_deref().map(quoted), problem);
            }
        }
        Some(template.named(&name))
    };
    named.into_iter().filter_map(&mut read).collect()
}

/// The text with the shortest values in its places: for longer ones each request is checked.
fn shortest(text: &str) -> String {
    let filled = places(text).into_iter().map(|place| match place {
        Place::Text(text) => text,
        Place::Code => "{code}",
        Place::FriendlyName | Place::Own(_) => "x",
    });
    filled.collect()
}

fn translations<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Translation>, D::Error> {
    let mut translations: Vec<Translation> = Vec::new();
    for (Tag(locale), Written(text)) in members(from, TEXTS)? {
        if translations.iter().any(|other| other.locale == locale) {
            return Err(D::Error::custom(format_args!("has two texts for the language {locale}")));
        }
        translations.push(Translation { locale, text });
    }
    translations.sort_by_key(|translation| translation.locale.to_string());
    Ok(translations)
}

struct Tag(Locale);

impl<'de> Deserialize<'de> for Tag {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let tag = Locale::parse(&String::deserialize(from)?);
        let why = "has a name that is no language. Name it by a language such as \"de\", \"pt-BR\" or \"zh-Hant\" (BCP 47)";
        tag.map(Self).ok_or_else(|| D::Error::custom(why))
    }
}

struct Written(String);

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match Value::deserialize(from)? {
            Value::String(text) => Ok(Self(text)),
            _ => Err(D::Error::custom("must be a text")),
        }
    }
}

fn translations_schema(_: &mut SchemaGenerator) -> Schema {
    let text = json_schema!({ "type": "string", "maxLength": LONGEST });
    json_schema!({ "type": "object", "minProperties": 1, "additionalProperties": text })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'a> {
    /// As it is written. May have the places of every text, such as `{minutes}`.
    Text(&'a str),
    /// `{code}` or `{{code}}`.
    Code,
    /// `{friendly_name}` or `{{friendly_name}}`.
    FriendlyName,
    /// `{{name}}`: filled in by the request.
    Own(&'a str),
}

const CODE: &str = "code";
const FRIENDLY_NAME: &str = "friendly_name";

/// Splits a text. Anything that is not a placeholder stays part of the text around it.
pub fn places(text: &str) -> Vec<Place<'_>> {
    let mut places = Vec::new();
    let (mut from, mut at) = (0, 0);
    for piece in pieces(text) {
        let end = at + piece.raw.len();
        let place = match piece.kind {
            PieceKind::Single(CODE) | PieceKind::Double(CODE) => Some(Place::Code),
            PieceKind::Single(FRIENDLY_NAME) | PieceKind::Double(FRIENDLY_NAME) => Some(Place::FriendlyName),
            PieceKind::Double(own) => Some(Place::Own(own)),
            _ => None,
        };
        if let Some(place) = place {
            places.extend((from < at).then(|| Place::Text(&text[from..at])));
            places.push(place);
            from = end;
        }
        at = end;
    }
    places.extend((from < at).then(|| Place::Text(&text[from..at])));
    places
}
