//! Recipes: descriptions of gateways that come with the program, or that a user writes. `docs/guides/add-a-recipe.md` says how
//! to add one.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use url::Url;

use crate::HttpGatewaySettings;
use crate::domain::{Channel, GatewayName};
use crate::http_gateway::Owner;
use crate::template::{PieceKind, pieces};

/// The files in the folder `recipes`: the name of each, and its text. The build script lists them.
const FILES: &[(&str, &str)] = &include!(concat!(env!("OUT_DIR"), "/recipes.rs"));

/// A description of a provider's API, with the settings that its users give.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub struct Recipe {
    /// What it sends through.
    pub about: String,
    /// The documents that it follows.
    pub sources: Vec<String>,
    /// What could not be found in them, and what an account must be set to.
    pub notes: Vec<String>,
    /// What its users give: placeholders of these names are replaced.
    pub settings: BTreeMap<String, RecipeSetting>,
    #[serde(flatten)]
    pub gateway: HttpGatewaySettings,
}

/// A setting of a recipe.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct RecipeSetting {
    /// What it is, and where it is found.
    pub about: String,
    /// Its value if it is not given; other settings may be in it. Without it the setting is needed.
    pub default: Option<String>,
    /// Whether it is a credential.
    pub secret: bool,
}

/// The recipes of the program, by name.
static RECIPES: LazyLock<BTreeMap<&'static str, Recipe>> = LazyLock::new(|| {
    // A test reads every file.
    FILES.iter().filter_map(|(name, text)| Some((*name, serde_json::from_str(text).ok()?))).collect()
});

impl Recipe {
    /// The recipe of this name that comes with the program.
    pub fn named(name: &str) -> Option<&'static Self> {
        RECIPES.get(name)
    }

    /// The description with what a user gives. `variables` is the beginning of the variables of its settings. A setting that
    /// is not given has its default.
    pub fn filled_in(
        &self,
        gateway: GatewayName,
        variables: &str,
        mut values: BTreeMap<String, String>,
    ) -> HttpGatewaySettings {
        let given = values.clone();
        for (name, RecipeSetting { default, .. }) in &self.settings {
            if let (None, Some(default)) = (given.get(name), default) {
                let put_in = |(raw, kind): (&str, PieceKind<'_>)| match kind {
                    PieceKind::Single(other) if given.contains_key(other) => given[other].clone(),
                    _ => raw.to_owned(),
                };
                values.insert(name.clone(), pieces(default).map(put_in).collect());
            }
        }
        let owner = Owner {
            gateway,
            path: format!("gateways.{gateway}"),
            variables: variables.to_owned(),
            credentials: self.settings.iter().map(|(name, of)| (name.clone(), of.secret)).collect(),
            url: None,
        };
        let values = values.into_iter().map(|(name, value)| (name, SecretString::from(value))).collect();
        let channels = self.channels().to_vec();
        HttpGatewaySettings { channels, owner, values, ..self.gateway.clone() }
    }

    /// The channels that it serves unless its user says others.
    pub fn channels(&self) -> &[Channel] {
        if self.gateway.channels.is_empty() { &[Channel::Sms] } else { &self.gateway.channels }
    }

    /// Every recipe that comes with the program.
    pub fn all() -> impl Iterator<Item = (&'static str, &'static Self)> {
        RECIPES.iter().map(|(name, recipe)| (*name, recipe))
    }
}

// Addresses and credentials in settings, and the error about one that cannot be used; and how a recipe may be written: a
// number for a text, one value for a list of it.

/// A setting that cannot work. Names the setting and what is accepted, never the value: it may contain a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{gateway}: {setting} {problem}")]
pub struct GatewaySettingsError {
    pub gateway: GatewayName,
    /// The setting as it is written in the configuration, such as `sms.mada.url (MADA_URL)`.
    pub setting: String,
    /// The problem and the accepted values: the rest of a sentence.
    pub problem: String,
}

impl GatewaySettingsError {
    pub(super) fn new(gateway: GatewayName, setting: impl Into<String>, problem: impl Into<String>) -> Self {
        // Both may repeat names from the configuration, and are printed as one line.
        let line = |text: String| text.replace(char::is_control, "\u{fffd}");
        Self { gateway, setting: line(setting.into()), problem: line(problem.into()) }
    }
}

/// An address with scheme and host. The error does not repeat it: it may contain a password.
pub(super) fn provider_url(
    gateway: GatewayName,
    setting: &str,
    text: &str,
) -> Result<Url, GatewaySettingsError> {
    let error = |problem: &str| GatewaySettingsError::new(gateway, setting, problem);
    let url = Url::parse(text).map_err(|_| error("must be a URL such as https://sms.example.com/send"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(error("must begin with https:// or http:// and a host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(error("must not contain a user name or password: they have settings of their own"));
    }
    Ok(url)
}

/// `base64(user:password)`.
pub(super) fn basic_credentials(user: &str, password: &str) -> String {
    STANDARD.encode(format!("{user}:{password}"))
}

/// A text, or a number or a truth value as JSON writes it.
pub fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A list of texts or numbers, or one of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Texts(#[serde(deserialize_with = "texts")] pub Vec<String>);

impl Texts {
    pub(super) fn has(&self, text: &str) -> bool {
        self.0.iter().any(|known| known == text)
    }
}

/// A text is one item, whatever commas it has.
fn texts<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let items = match Value::deserialize(from)? {
        Value::Array(items) => items,
        one => vec![one],
    };
    let texts: Option<_> = items.iter().map(as_text).collect();
    texts.ok_or_else(|| D::Error::custom("must be a list of texts or numbers, or one of them"))
}

/// A JSON pointer (RFC 6901).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Pointer(String);

impl Pointer {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, number or truth value that it leads to, the first one behind a `*`.
    pub(super) fn text_in(&self, value: &Value) -> Option<String> {
        self.all_in(value).into_iter().find_map(as_text)
    }

    /// All values that it leads to: the part `*` names each member of an array.
    pub(super) fn all_in<'v>(&self, value: &'v Value) -> Vec<&'v Value> {
        let mut found = vec![value];
        for part in self.0.split('/').skip(1) {
            let below = |value: &'v Value| match value {
                Value::Array(items) if part == "*" => items.iter().collect(),
                _ => Vec::from_iter(value.pointer(&format!("/{part}"))),
            };
            found = found.into_iter().flat_map(below).collect();
        }
        found
    }
}

impl TryFrom<String> for Pointer {
    type Error = &'static str;

    /// RFC 6901, 3: empty, or parts that each begin with `/`, with `~` only as `~0` and `~1`.
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let escapes_are_right = text.split('~').skip(1).all(|behind| behind.starts_with(['0', '1']));
        if escapes_are_right && (text.is_empty() || text.starts_with('/')) {
            return Ok(Self(text));
        }
        Err("must be a JSON pointer (RFC 6901) such as /messages/0/status")
    }
}
