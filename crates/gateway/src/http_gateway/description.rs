//! What a recipe says of a provider: the request, how its success is recognized, what errors mean, and receipts.

use std::collections::BTreeMap;

use reqwest::header::HeaderName;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;

use super::signing::{AwsKey, HmacOf};
use crate::domain::{Channel, GatewayName};
use crate::provider::{CodeClass, code_in};
use crate::recipe::{Pointer, Texts, basic_credentials};
use crate::said::Masks;
use crate::template::Alphabet;
use crate::{GatewaySettingsError, Verdict};

/// Something of a description, or the first problem with it.
pub(super) type Read<T> = Result<T, GatewaySettingsError>;

/// The request of a recipe. In URL, header values and body values these are replaced: `{to}` (`+14155552671`),
/// `{to_digits}` (without `+`), `{text}`, `{code}`, `{channel}`, `{validity_seconds}`, `{validity_minutes}`, `{locale}`,
/// `{alphabet}`, `{attempt}`, `{callback}`, the settings of the recipe, and `{basic}`, which is `base64(username:password)`. A brace
/// itself is written twice: `{{` or `}}`. `{validity_seconds:30..3600}` is the nearest number that a provider takes.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub struct HttpGatewaySettings {
    /// Without it POST with a body, else GET.
    pub method: Option<HttpMethod>,
    /// Where messages go; required. The host has no placeholders of the message.
    // What is put in behind the host is percent-encoded.
    pub url: String,
    /// Headers, with placeholders.
    // What is put in must be visible ASCII; therefore `{text}` cannot be. A `Content-Type` replaces the body's own.
    pub headers: BTreeMap<String, String>,
    /// A JSON body, with placeholders in every text of it, though not in the names of members. Not with `form`.
    pub json: Option<Value>,
    /// An XML body, with placeholders; a list is joined. The answer is XML too: to JSON pointers an element is a member of
    /// the one around it. Not with `json`.
    pub xml: Texts,
    /// Fields of a form, with placeholders. Not with `json`.
    pub form: Option<BTreeMap<String, String>>,
    /// The conditions of an accepted message, which must all hold.
    pub success: HttpSuccess,
    /// Channels that the gateway serves. Without it sms.
    pub channels: Vec<Channel>,
    /// The two credentials that `{basic}` is made of. Without it `username` and `password`.
    pub basic: Option<[String; 2]>,
    /// The signature of AWS for each request.
    pub aws: Option<AwsKey>,
    /// What `{channel}` is for channels that the provider calls otherwise.
    pub channel_words: BTreeMap<String, String>,
    /// What `{alphabet}` is for a text within GSM 03.38 (`gsm7`), and for another one (`ucs2`). With `ucs2` alone every text
    /// is sent, and counted, as UCS-2.
    pub alphabet: BTreeMap<Alphabet, String>,
    /// The fewest and the most digits of a code that the provider takes.
    pub code_digits: Option<[usize; 2]>,
    /// How the provider checks codes that it makes itself. Then a message needs neither `{text}` nor `{code}`.
    pub check: Option<HttpCheck>,
    /// The meaning of error codes.
    pub errors: HttpErrors,
    /// How the provider reports what became of a message.
    pub receipts: Option<HttpReceipts>,
    /// A request that costs nothing and shows whether the account is in order, with the headers of a message.
    pub account: Option<HttpAccount>,
    #[serde(skip)]
    pub owner: Owner,
    /// The credentials and other settings, by name.
    #[serde(skip)]
    pub values: BTreeMap<String, SecretString>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum HttpMethod {
    Get,
    Post,
    Put,
}

/// Which gateway a description is of, and how errors and logs name its settings.
#[derive(Clone)]
pub struct Owner {
    pub gateway: GatewayName,
    /// The key of the configuration.
    pub path: String,
    /// The beginning of the variables of credentials.
    pub variables: String,
    /// The names of the settings, and whether each is secret. Messages about the account name those.
    pub credentials: BTreeMap<String, bool>,
    /// The setting of the URL, if it is not one below `path`.
    pub url: Option<String>,
}

impl Default for Owner {
    fn default() -> Self {
        Self {
            gateway: GatewayName::Http,
            path: "gateways.Http".to_owned(),
            variables: "ONCEWARD_GATEWAYS_HTTP_".to_owned(),
            credentials: BTreeMap::new(),
            url: None,
        }
    }
}

impl Owner {
    /// The variable of a credential.
    pub fn variable(&self, credential: &str) -> String {
        format!("{}{}", self.variables, credential.replace('-', "_")).to_ascii_uppercase()
    }

    pub(crate) fn setting(&self, member: &str) -> String {
        match &self.url {
            Some(setting) if member == "url" => setting.clone(),
            _ if member.is_empty() => self.path.clone(),
            _ => format!("{}.{member}", self.path),
        }
    }
}

/// Error codes in answers and receipts, and their meaning.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct HttpErrors {
    /// JSON pointers to the code of an error. The first one that leads to a value counts.
    pub json: Vec<Pointer>,
    /// The class of each code: bad-number, not-reachable, opted-out, fraud, refused, retry, busy, configuration, country,
    /// account, unknown or down; or next-day. A code may be `http-` and a status. Of `a.b#Throttled` and `a:Throttled` only
    /// `Throttled` counts. Of a code that is not listed the HTTP status decides.
    pub classes: BTreeMap<String, CodeClass>,
}

impl HttpErrors {
    /// A code that is listed and no number. Another text could be a phone number or a code.
    pub(super) fn word<'a>(&self, code: &'a str) -> Option<&'a str> {
        let word = bare(code);
        let is_plain = code_in(word).is_none() && !word.contains(char::is_control);
        (is_plain && self.classes.contains_key(word)).then_some(word)
    }

    pub(super) fn class_of(&self, code: &str) -> Option<CodeClass> {
        self.classes.get(bare(code)).copied()
    }
}

impl HttpReceipts {
    pub(super) fn class_of(&self, code: &str, errors: &HttpErrors) -> Option<CodeClass> {
        if self.classes.is_empty() { errors.class_of(code) } else { self.classes.get(bare(code)).copied() }
    }
}

/// A code without the names of what it belongs to, as AWS and XML put them in front.
fn bare(code: &str) -> &str {
    code.rsplit(['#', ':']).next().unwrap_or(code)
}

/// How a provider checks a code that it made and holds.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct HttpCheck {
    /// Where a code is put, with `{to}` and `{code}`.
    pub url: String,
    /// The JSON body for each channel.
    pub json: BTreeMap<String, Value>,
    /// JSON pointers to the verdict in an answer with HTTP 200. The first one with a known value counts.
    pub verdict: Vec<Pointer>,
    /// Its values by what they mean: approved, wrong, or not-live without a code to compare with.
    pub verdicts: BTreeMap<Verdict, Texts>,
    /// Error codes that say that there is no code to compare with.
    pub not_live_codes: Vec<String>,
    /// A text of an error that says so.
    pub not_live_text: Option<String>,
}

/// How a provider reports what became of a message. A form counts as an object of texts, and so does the query of a report
/// without a body. In each pointer a part `*` stands for all members of an array; of one value the first counts.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct HttpReceipts {
    /// The provider's signature. Without it the key in the address of `{callback}` proves that a report is the provider's.
    pub signature: Option<HmacOf>,
    /// JSON pointer to a list of reports, or with `*` for all members of an array to each of them. Without it the body is
    /// one report.
    pub items: Option<Pointer>,
    /// JSON pointer to the attempt, which the request has as `{attempt}`. Without it the address names the attempt.
    pub attempt: Option<Pointer>,
    /// JSON pointer to the provider's id of the message.
    pub message_id: Pointer,
    /// JSON pointer to what became of the message.
    pub state: Pointer,
    /// Its values by what they mean: queued, sending, sent, answered, failed, delivered or read. Others are ignored.
    pub states: BTreeMap<String, Texts>,
    /// JSON pointers to the code of an error.
    pub code: Vec<Pointer>,
    /// The classes of these codes. Without it those of `errors`.
    pub classes: BTreeMap<String, CodeClass>,
    /// JSON pointers to what the provider says of a failure.
    pub words: Vec<Pointer>,
    /// A credential as a placeholder. The provider sends it in `hub.verify_token` by GET when it verifies the address, and
    /// expects the text of `hub.challenge`.
    pub verify_token: Option<String>,
}

/// A request about the account.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct HttpAccount {
    /// What is asked for, with credentials as placeholders.
    pub url: String,
    /// Error codes that only accepted credentials get.
    pub right: Vec<String>,
}

impl std::fmt::Debug for HttpGatewaySettings {
    /// Shows no values of URL, headers and body: a key may be written there.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpGatewaySettings").field("gateway", &self.owner.gateway).finish_non_exhaustive()
    }
}

/// The conditions of success. Every given condition must hold. A number or a truth value at the end of a
/// pointer is compared as JSON writes it: `0`, `true`.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct HttpSuccess {
    /// HTTP statuses that mean success. Without it any 2xx.
    pub statuses: Vec<u16>,
    /// JSON pointer (RFC 6901) to a value in the answer.
    pub json: Option<Pointer>,
    /// Values at `json` that mean success.
    pub equals: Texts,
    /// A text that the answer begins with, behind white space.
    pub begins: Option<String>,
    /// A text that the answer contains.
    pub contains: Option<String>,
    /// JSON pointer to the provider's id of the message.
    pub message_id: Option<Pointer>,
}

impl HttpGatewaySettings {
    /// The names of the secrets that are given.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &str> {
        let is_given =
            |name: &str| self.values.get(name).is_some_and(|value| !value.expose_secret().is_empty());
        let secrets = self.owner.credentials.iter().filter(|(_, is_secret)| **is_secret);
        secrets.map(|(name, _)| name.as_str()).filter(move |name| is_given(name))
    }

    /// Masks of the secrets and of what is sent in their place.
    pub(crate) fn masks(&self) -> Masks {
        let value = |name: &str| self.values.get(name).map_or("", ExposeSecret::expose_secret);
        let basic = self.basic.as_ref().map_or(["username", "password"], |[user, password]| [user, password]);
        let basic = basic_credentials(value(basic[0]), value(basic[1]));
        Masks::new(self.secrets().map(value).chain([basic.as_str()]))
    }

    pub(super) fn wrong<T>(&self, member: &str, problem: impl Into<String>) -> Read<T> {
        Err(GatewaySettingsError::new(self.owner.gateway, self.owner.setting(member), problem))
    }

    /// The value of a setting, for a placeholder. One that is not configured is an error, which names the variable to set.
    pub(super) fn credential(&self, name: &str, placeholder: &str, setting: &str) -> Read<&str> {
        if let Some(value) = self.values.get(name) {
            return Ok(value.expose_secret());
        }
        let variable = self.owner.variable(name);
        self.wrong(setting, format!("uses {{{placeholder}}}, which has no value: set {variable}"))
    }

    /// A credential as a placeholder, such as `{token}`, which may be empty.
    pub(super) fn credential_of(&self, text: &str, setting: &str) -> Read<&str> {
        let name = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
        match name.filter(|name| self.owner.credentials.contains_key(*name)) {
            Some(name) => self.credential(name, name, setting),
            None => self.wrong(setting, "must be one credential, such as {token}"),
        }
    }

    /// The same, and not empty.
    pub(super) fn key(&self, text: &str, setting: &str) -> Read<&str> {
        match self.credential_of(text, setting)? {
            "" => {
                let variable = self.owner.variable(text.trim_matches(['{', '}']));
                self.wrong(setting, format!("must not be empty: set {variable}"))
            }
            key => Ok(key),
        }
    }

    /// The name of a header that may be written.
    pub(super) fn header(&self, written: &str, setting: &str) -> Read<HeaderName> {
        let name = HeaderName::from_bytes(written.as_bytes());
        name.or_else(|_| self.wrong(setting, "has a name that cannot be a header's (RFC 9110, 5.1)"))
    }

    /// The header and the key of an HMAC. `member` is the place of the description.
    pub(super) fn hmac(&self, hmac: &HmacOf, member: &str) -> Read<(HeaderName, &str)> {
        if let Some(name) = &hmac.timestamp {
            self.header(name, &format!("{member}.timestamp"))?;
        }
        if hmac.over.matches("{body}").count() != 1
            || hmac.over.contains("{timestamp}") != hmac.timestamp.is_some()
        {
            let words = "must have {body} once, and {timestamp} if \"timestamp\" names its header";
            return self.wrong(&format!("{member}.over"), words);
        }
        let header = self.header(&hmac.header, &format!("{member}.header"))?;
        Ok((header, self.key(&hmac.key, &format!("{member}.key"))?))
    }
}
