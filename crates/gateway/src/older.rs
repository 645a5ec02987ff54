//! The variables of the gateways that older servers had: names for the settings of a recipe.

use schemars::JsonSchema;
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::Url;

use super::given;
use super::{HttpGatewaySettings, Recipe};
use crate::domain::GatewayName;

/// Sinch Verification. Each is a variable.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
pub struct SinchSettings {
    /// The application's key.
    #[serde(rename = "SINCH_APP_ID", deserialize_with = "identifier", serialize_with = "hidden")]
    #[schemars(extend("writeOnly" = true))]
    pub app_id: String,
    /// The application's secret.
    #[serde(rename = "SINCH_APP_SECRET", deserialize_with = "password", serialize_with = "hidden")]
    #[schemars(with = "String", extend("writeOnly" = true))]
    pub app_secret: SecretString,
    /// Where verifications are posted.
    #[serde(rename = "SINCH_VERIFICATION_URL", default = "sinch_url", deserialize_with = "base_url")]
    #[schemars(extend("format" = "uri"))]
    pub verification_url: String,
}

fn sinch_url() -> String {
    "https://verification.api.sinch.com/verification/v1/verifications".to_owned()
}

impl SinchSettings {
    /// The recipe with these settings.
    pub fn filled_in(&self) -> HttpGatewaySettings {
        let values = [
            ("app_id", self.app_id.as_str()),
            ("app_secret", self.app_secret.expose_secret()),
            ("url", &self.verification_url),
        ];
        filled_in(GatewayName::Sinch, "sinch", &values, "sms.sinch.verification_url (SINCH_VERIFICATION_URL)")
    }
}

/// Mada. Each is a variable.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
pub struct MadaSettings {
    /// The account's name.
    #[serde(rename = "MADA_USERNAME", deserialize_with = "login", serialize_with = "hidden")]
    #[schemars(extend("writeOnly" = true))]
    pub username: String,
    /// Its password.
    #[serde(rename = "MADA_PASSWORD", deserialize_with = "password", serialize_with = "hidden")]
    #[schemars(with = "String", extend("writeOnly" = true))]
    pub password: SecretString,
    /// Where messages are posted: a whole URL, or host, port and path, to which `http://` is added.
    #[serde(rename = "MADA_URL", deserialize_with = "plain_url")]
    #[schemars(extend("format" = "uri-reference"))]
    pub url: String,
    /// Whom messages come from.
    // The longest address of a short message (3GPP TS 23.040, 9.1.2.5) has 20 digits.
    #[serde(rename = "MADA_SOURCE_NAME", deserialize_with = "source_name")]
    #[schemars(length(min = 1, max = 20), extend("type" = ["string", "number"]))]
    pub source_name: String,
}

impl MadaSettings {
    /// The recipe with these settings.
    pub fn filled_in(&self) -> HttpGatewaySettings {
        let values = [
            ("username", self.username.as_str()),
            ("password", self.password.expose_secret()),
            ("url", &with_scheme(&self.url)),
            ("source_name", &self.source_name),
        ];
        filled_in(GatewayName::Mada, "mada", &values, "sms.mada.url (MADA_URL)")
    }
}

/// The recipe with values; errors name the setting of the URL as older servers do.
fn filled_in(gateway: GatewayName, recipe: &str, values: &[(&str, &str)], url: &str) -> HttpGatewaySettings {
    // An empty value would count as one that may be empty.
    let given = values.iter().filter(|(name, value)| *name == "url" || !value.is_empty());
    let values = given.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let variables = format!("{gateway}_").to_ascii_uppercase();
    let mut settings =
        Recipe::named(recipe).cloned().unwrap_or_default().filled_in(gateway, &variables, values);
    settings.owner.path = format!("sms.{recipe}");
    settings.owner.url = Some(url.to_owned());
    settings
}

const NOT_SHOWN: &str = "(set, not shown)";

fn hidden<T, S: Serializer>(_: &T, to: S) -> Result<S::Ok, S::Error> {
    NOT_SHOWN.serialize(to)
}

/// A text that `is_accepted`, else the end of a sentence that does not repeat it.
fn checked<'de, D: Deserializer<'de>>(
    from: D,
    accepted: &str,
    is_accepted: impl FnOnce(&str) -> bool,
) -> Result<String, D::Error> {
    let text = given::text(from)?;
    if is_accepted(&text) { Ok(text) } else { Err(D::Error::custom(format_args!("must be {accepted}"))) }
}

fn is_line(text: &str, longest: usize) -> bool {
    !text.trim().is_empty() && text.chars().count() <= longest && !text.chars().any(char::is_control)
}

fn identifier<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let accepted = "an id of at most 256 printable ASCII characters without spaces and colons";
    let is_id = |text: &str| text.trim().bytes().all(|b| b.is_ascii_graphic() && b != b':');
    Ok(checked(from, accepted, |text| is_line(text, 256) && is_id(text))?.trim().to_owned())
}

fn login<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let accepted = "a name of 1 to 256 characters without colons and line breaks";
    Ok(checked(from, accepted, |text| is_line(text, 256) && !text.contains(':'))?.trim().to_owned())
}

fn password<'de, D: Deserializer<'de>>(from: D) -> Result<SecretString, D::Error> {
    let accepted = "a secret of 1 to 256 characters without line breaks";
    checked(from, accepted, |text| is_line(text, 256)).map(Into::into)
}

fn source_name<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let accepted = "a sender of 1 to 20 characters, such as a name";
    Ok(checked(from, accepted, |text| is_line(text.trim(), 20))?.trim().to_owned())
}

const URL: &str = "a URL that begins with http:// or https://, without a user name, a query or a fragment";

fn is_base_url(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| {
        let is_plain = url.username().is_empty() && url.password().is_none();
        let ends = url.query().is_none() && url.fragment().is_none();
        matches!(url.scheme(), "http" | "https") && is_plain && ends
    })
}

fn base_url<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(checked(from, URL, |text| is_base_url(text.trim()))?.trim().trim_end_matches('/').to_owned())
}

fn plain_url<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let accepted =
        format!("host, port and path such as \"sms.example.com:8080/soap\" (http:// is added), or {URL}");
    Ok(checked(from, &accepted, |text| is_base_url(&with_scheme(text.trim())))?.trim().to_owned())
}

/// Without a scheme `http` is meant.
fn with_scheme(url: &str) -> String {
    if url.contains("://") { url.to_owned() } else { format!("http://{url}") }
}

#[cfg(test)]
mod mada_tests;
#[cfg(test)]
mod tests;
