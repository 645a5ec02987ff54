//! `templates` of config.json, read and checked.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::members::Members;
use super::read::{name_problem, setting};
use super::rules;
use super::settings::TemplateSetting;
use super::template::{BUILT_IN_TEMPLATES, Place, places};
use crate::config::kind::{Text, quoted, shown_json};
use crate::config::report::Report;
use crate::config::values::LocaleTag;
use crate::domain::{Channel, Locale};
use crate::template::Templates;

/// Templates in one file.
const MOST: usize = 1_000;

/// A template's name for people, in characters.
const NAME_LONGEST: usize = 64;

const MEMBERS: [&str; 4] = ["friendly-name", "channels", "translations", "default-locale"];

/// The templates. What is wrong is noted.
pub fn templates(
    templates: Map<String, Value>,
    origin: &str,
    checks: &Templates,
    report: &mut Report,
) -> Vec<TemplateSetting> {
    if templates.len() > MOST {
        let problem = format!("it has {} templates, and may have {MOST}", templates.len());
        report.problem("templates", problem, origin.to_owned());
    }
    let mut read = Vec::new();
    for (name, value) in templates {
        let path = format!("templates.{name}");
        let problem = if BUILT_IN_TEMPLATES.iter().any(|(built_in, ..)| *built_in == name) {
            "a template of this name is built in; choose another".to_owned()
        } else if let Some(problem) = name_problem(&name) {
            problem
        } else if let Value::Object(members) = value {
            read.extend(template(name, Members::new(&path, members, &MEMBERS, origin, report), checks));
            continue;
        } else {
            format!("it must be an object, and is {}", shown_json(&value))
        };
        report.problem(path, problem, origin.to_owned());
    }
    read
}

fn template(name: String, mut members: Members<'_>, checks: &Templates) -> Option<TemplateSetting> {
    let m = &mut members;
    let given = m.has("friendly-name");
    let friendly_name = match setting::<Text>(m, "friendly-name") {
        Some(text) => match rules::note(&text, NAME_LONGEST) {
            Ok(text) => Some(text),
            Err(why) => {
                m.wrong("friendly-name", Some(quoted(&text)), &format!("it {why}"));
                None
            }
        },
        None => (!given).then(|| name.clone()),
    };
    let channels = channels(m);
    let translations = translations(m, checks)?;
    let default_locale = default_locale(m, &translations);
    Some(TemplateSetting {
        name,
        friendly_name: friendly_name?,
        channels: channels?,
        translations: translations.into_iter().map(|(tag, text)| (tag.0, text)).collect(),
        default_locale: default_locale?,
    })
}

/// Text messages, where nothing is said.
fn channels(members: &mut Members<'_>) -> Option<Vec<Channel>> {
    if !members.has("channels") {
        return Some(vec![Channel::Sms]);
    }
    let texts = members.texts("channels")?;
    let mut channels: Option<Vec<Channel>> = texts.iter().map(|text| Channel::parse(text)).collect();
    if let Some(channels) = &mut channels {
        channels.sort_unstable_by_key(|channel| channel.as_str());
        channels.dedup();
    }
    let channels = channels.filter(|channels| !channels.is_empty());
    if channels.is_none() {
        members.wrong("channels", None, "it must be one or more of \"sms\", \"call\" and \"whatsapp\"");
    }
    channels
}

/// At least one; `None` after an error.
fn translations(members: &mut Members<'_>, checks: &Templates) -> Option<BTreeMap<Tag, String>> {
    let texts = match members.take("translations") {
        Some(Value::Object(texts)) if !texts.is_empty() => texts,
        Some(_) | None => {
            let problem = "it must be an object with a text for each language, such as {\"en\": \"{code} opens \
                           {friendly_name}\"}";
            members.wrong("translations", None, problem);
            return None;
        }
    };
    let mut read = BTreeMap::new();
    let mut right = true;
    for (tag, text) in texts {
        let name = format!("translations.{tag}");
        let problem = match (Locale::parse(&tag), text.as_str()) {
            (None, _) => "a language is a tag such as \"de\", \"pt-BR\" or \"zh-Hant\" (BCP 47)".to_owned(),
            (_, None) => "it must be a text".to_owned(),
            (Some(locale), Some(text)) => match check(text, checks) {
                Ok(()) if read.insert(Tag(locale), text.to_owned()).is_some() => {
                    "there is another text for the same language".to_owned()
                }
                Ok(()) => continue,
                Err(why) => why,
            },
        };
        right = false;
        members.wrong(&name, text.as_str().map(quoted), &problem);
    }
    right.then_some(read)
}

/// Whether a text can be sent, with the shortest values in it: longer ones are for each request to answer for.
fn check(text: &str, checks: &Templates) -> Result<(), String> {
    let filled: String = places(text)
        .into_iter()
        .map(|place| match place {
            Place::Text(text) => text,
            Place::Code => "{code}",
            Place::FriendlyName | Place::Own(_) => "x",
        })
        .collect();
    checks.check_custom(&filled)
}

fn default_locale(members: &mut Members<'_>, texts: &BTreeMap<Tag, String>) -> Option<Locale> {
    let given = members.has("default-locale");
    match setting::<LocaleTag>(members, "default-locale") {
        Some(locale) if texts.contains_key(&Tag(locale)) => return Some(locale),
        Some(_) => members.wrong("default-locale", None, "it must be one of the languages of translations"),
        None if given => {}
        None if texts.len() == 1 => return texts.keys().next().map(|tag| tag.0),
        None => members.wrong("default-locale", None, "it is missing, and there are several languages"),
    }
    None
}

/// A language, ordered by its tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tag(Locale);

impl Ord for Tag {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.to_string().cmp(&other.0.to_string())
    }
}

impl PartialOrd for Tag {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
