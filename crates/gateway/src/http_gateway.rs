//! A gateway with a recipe: how a request looks, and how its success is recognized.

mod receipts;
mod request;
mod signing;
mod xml;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use reqwest::{Request, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::Value;

pub use self::receipts::{HttpReceipts, RecipeCallbacks};
use self::request::Filling;
pub use self::signing::Signing;
use super::client::GatewayResponse;
use super::provider::{
    AccountQuestion, CodeClass, Provider, Question, classify_status, code_in, not_tried, usable_id,
};
use super::settings::{Pointer, Texts};
use super::{
    Accepted, AccountPart, ErrorClass, GatewayError, GatewaySettingsError, OutgoingMessage, Verdict,
};
use crate::clock::Clock;
use crate::domain::{Channel, Code, GatewayName, PhoneNumber};

/// The most characters of a provider's text that are shown.
const LONGEST_SHOWN: usize = 64;

/// The request of a recipe. In URL, header values and body values these are replaced: `{to}` (`+14155552671`),
/// `{to_digits}` (without `+`), `{text}`, `{code}`, `{channel}`, `{validity_seconds}`, `{validity_minutes}`, `{locale}`,
/// `{attempt}`, `{callback}`, the settings of the recipe, and `{basic}`, which is `base64(username:password)`. A brace
/// itself is written twice: `{{` or `}}`.
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
    /// A signature of each request.
    pub sign: Option<Signing>,
    /// What `{channel}` is for channels that the provider calls otherwise.
    pub channel_words: BTreeMap<String, String>,
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

    pub(super) fn setting(&self, member: &str) -> String {
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
    /// The class of each code: bad-number, not-reachable, opted-out, fraud, refused, retry, busy, configuration, account,
    /// unknown or down; or next-day. A code may be `http-` and a status, or a beginning and `*`. Of `a.b#Throttled` and
    /// `a:Throttled` only `Throttled` counts.
    pub classes: BTreeMap<String, CodeClass>,
    /// What a listed code says, in place of the words for its class.
    pub words: BTreeMap<String, String>,
    /// The class of a code that is not listed. Without it the HTTP status decides.
    pub other: Option<CodeClass>,
    /// The class of a value at `success.json` that is in no list and no number. Without it refused, as a number is.
    pub other_value: Option<CodeClass>,
    /// HTTP statuses that decide whatever the answer says.
    pub by_status: Vec<u16>,
}

impl HttpErrors {
    /// A code that is listed and no number. Another text could be a phone number or a code.
    fn word<'a>(&self, code: &'a str) -> Option<&'a str> {
        let word = bare(code);
        let is_plain = code_in(word).is_none() && !word.contains(char::is_control);
        (is_plain && self.classes.contains_key(word)).then_some(word)
    }

    /// The listed code that stands for this one: itself, or the longest beginning with a `*` behind it.
    fn listed(&self, code: &str) -> Option<&str> {
        let code = bare(code);
        let stands_for = |known: &&String| match known.strip_suffix('*') {
            Some(beginning) => code.starts_with(beginning),
            None => code == *known,
        };
        self.classes.keys().filter(stands_for).max_by_key(|known| known.len()).map(String::as_str)
    }

    fn class_of(&self, code: &str) -> Option<CodeClass> {
        self.classes.get(self.listed(code)?).copied()
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

impl HttpCheck {
    fn verdict_of(&self, text: &str) -> Option<Verdict> {
        self.verdicts.iter().find(|(_, texts)| texts.has(text)).map(|(verdict, _)| *verdict)
    }
}

/// A request about the account.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct HttpAccount {
    /// What is asked for, with credentials as placeholders.
    pub url: String,
    /// JSON pointer to a value that is shown, such as the balance.
    pub show: Option<Pointer>,
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
    /// A text that the answer contains.
    pub contains: Option<String>,
    /// JSON pointer to the provider's id of the message.
    pub message_id: Option<Pointer>,
    /// Values at `json` that mean that the number does not exist.
    pub bad_number: Texts,
    /// Values at `json` that mean that the same request may succeed later.
    pub retry: Texts,
}

impl HttpSuccess {
    fn takes_status(&self, status: StatusCode) -> bool {
        if self.statuses.is_empty() { status.is_success() } else { self.statuses.contains(&status.as_u16()) }
    }

    fn class_of(&self, value: &str) -> Option<CodeClass> {
        let retry = || self.retry.has(value).then_some(CodeClass::Retry);
        if self.bad_number.has(value) { Some(CodeClass::BadNumber) } else { retry() }
    }
}

fn contains(body: &[u8], text: &str) -> bool {
    text.is_empty() || body.windows(text.len()).any(|part| part == text.as_bytes())
}

impl HttpGatewaySettings {
    /// The names of the secrets that are given.
    fn secrets(&self) -> impl Iterator<Item = &str> {
        let is_given =
            |name: &str| self.values.get(name).is_some_and(|value| !value.expose_secret().is_empty());
        let secrets = self.owner.credentials.iter().filter(|(_, is_secret)| **is_secret);
        secrets.map(|(name, _)| name.as_str()).filter(move |name| is_given(name))
    }

    fn wrong<T>(&self, member: &str, problem: impl Into<String>) -> Result<T, GatewaySettingsError> {
        Err(GatewaySettingsError::new(self.owner.gateway, self.owner.setting(member), problem))
    }
}

pub struct HttpGateway {
    settings: HttpGatewaySettings,
    clock: Arc<dyn Clock>,
    /// Ids made for messages of providers that give none.
    own_ids: AtomicU64,
}

impl HttpGateway {
    /// Of a description that was tried.
    pub(super) fn new(settings: &HttpGatewaySettings, clock: Arc<dyn Clock>) -> Self {
        Self { settings: settings.clone(), clock, own_ids: AtomicU64::new(1) }
    }

    fn gateway(&self) -> GatewayName {
        self.settings.owner.gateway
    }

    /// Unique within a run, and almost certainly between runs.
    fn own_id(&self) -> String {
        let serial = self.own_ids.fetch_add(1, Ordering::Relaxed);
        format!("{}-{:x}-{serial}", self.gateway(), self.clock.now().as_millis())
    }

    /// The answer, if it is JSON or, from a provider that gets XML, XML whose root is the one that is looked for.
    fn answer(&self, response: &GatewayResponse) -> Option<Value> {
        let HttpGatewaySettings { xml, success, .. } = &self.settings;
        if xml.0.is_empty() {
            return response.json();
        }
        let text = std::str::from_utf8(response.body.as_deref()?).ok()?;
        let root = success.json.as_ref().and_then(|pointer| pointer.as_str().split('/').nth(1));
        xml::read(text).filter(|answer| root.is_none_or(|root| answer.get(root).is_some()))
    }

    /// A success without what belongs to it. One that cannot be read at all does not come from the provider, or comes from a
    /// provider in trouble.
    fn not_understood(&self, response: &GatewayResponse) -> GatewayError {
        let class = if self.answer(response).is_some() { CodeClass::Unknown } else { CodeClass::Down };
        let (_, words) = classify_status(response, &self.settings.owner.setting("url"));
        class.error(self.gateway(), None, words)
    }

    /// The words for an error: what its code says, else what its class says, and what to check.
    fn words(&self, class: CodeClass, told: Option<&str>) -> String {
        let HttpGatewaySettings { errors, owner, .. } = &self.settings;
        let word =
            told.and_then(|code| errors.word(code)).map(|word| format!(" ({word})")).unwrap_or_default();
        if let Some(own) = told.and_then(|code| errors.words.get(errors.listed(code)?)) {
            return format!("{own}{word}");
        }
        let secrets: Vec<String> = self.settings.secrets().map(|secret| owner.variable(secret)).collect();
        let advice = match class {
            CodeClass::Account if !secrets.is_empty() => format!("; check {}", secrets.join(" and ")),
            _ => String::new(),
        };
        format!("{}{word}{advice}", class.words())
    }

    /// A parameter that is not valid is as likely the code as the number, and nothing was compared.
    fn classify_check(&self, check: &HttpCheck, response: &GatewayResponse) -> Result<Verdict, GatewayError> {
        let answer = self.answer(response);
        let at = |pointer: &Pointer| pointer.text_in(answer.as_ref()?);
        if response.status == StatusCode::OK {
            let verdict = check.verdict.iter().find_map(|pointer| check.verdict_of(&at(pointer)?));
            return verdict.ok_or_else(|| self.not_understood(response));
        }
        let code = self.settings.errors.json.iter().find_map(at);
        let body = response.body.as_deref().unwrap_or_default();
        let is_not_live = code.is_some_and(|code| check.not_live_codes.contains(&code))
            || check.not_live_text.as_ref().is_some_and(|text| contains(body, text));
        if is_not_live && !response.status.is_success() {
            return Ok(Verdict::NotLive);
        }
        Err(match self.classify(response) {
            Err(error) if error.class == ErrorClass::BadNumber => {
                let detail = format!("answered HTTP {}: a value is not valid", response.status.as_u16());
                CodeClass::Refused.error(self.gateway(), error.code, detail)
            }
            Err(error) => error,
            Ok(_) => self.not_understood(response),
        })
    }

    fn classify_account(
        &self,
        account: &HttpAccount,
        response: &GatewayResponse,
    ) -> Result<String, GatewayError> {
        const RIGHT: &str = "the credentials are right";
        let answer = self.answer(response);
        let at = |pointer: &Pointer| pointer.text_in(answer.as_ref()?);
        let code = self.settings.errors.json.iter().find_map(at);
        let is_right = match code {
            Some(code) if account.right.contains(&code) => return Ok(RIGHT.to_owned()),
            _ => response.status.is_success() && account.right.is_empty(),
        };
        match (&account.show, account.show.as_ref().and_then(at)) {
            (Some(_), Some(value)) if is_right => {
                let plain = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
                let value: String = value.chars().map(plain).take(LONGEST_SHOWN).collect();
                Ok(format!("{RIGHT}; {value}"))
            }
            (None, _) if is_right => Ok(RIGHT.to_owned()),
            _ => {
                self.classify(response)?;
                Err(not_tried(self.gateway(), "gave an answer about the account that is not known"))
            }
        }
    }
}

impl Provider for HttpGateway {
    fn described(&self, code: u32) -> Option<(ErrorClass, &'static str)> {
        let class = self.settings.errors.class_of(&code.to_string())?;
        Some((class.class(), class.words()))
    }

    fn request(&self, message: &OutgoingMessage) -> Result<Request, GatewayError> {
        let request = Filling::of(&self.settings, message).message(self.clock.wall());
        request.map_err(|error| {
            not_tried(self.gateway(), format!("cannot be asked: {} {}", error.setting, error.problem))
        })
    }

    /// The rules for values of the answer come first, whatever the status: many providers put their errors into a 200,
    /// and some into a 500.
    fn classify(&self, response: &GatewayResponse) -> Result<Accepted, GatewayError> {
        let HttpGatewaySettings { success, errors, owner, .. } = &self.settings;
        let status = response.status.as_u16();
        let answer = self.answer(response).filter(|_| !errors.by_status.contains(&status));
        let at = |pointer: &Pointer| pointer.text_in(answer.as_ref()?);
        let value = success.json.as_ref().and_then(at);
        let is_good = success.json.is_none() || value.as_ref().is_some_and(|value| success.equals.has(value));
        // A value that is there and does not mean success. Some lists count whatever the status is.
        let bad = value.as_deref().filter(|_| !is_good);
        let bad_in_2xx = bad.filter(|_| response.status.is_success());
        let code = errors.json.iter().find_map(at);
        let told = code.as_deref().or(bad_in_2xx);
        let unlisted = match (&code, bad_in_2xx) {
            (Some(_), _) => errors.other,
            (None, Some(value)) => errors.other_value.filter(|_| code_in(value).is_none()),
            (None, None) => None,
        };
        let class = bad.and_then(|value| success.class_of(value));
        let class = class.or_else(|| errors.class_of(told?)).or(unlisted);
        let class = class.or_else(|| errors.class_of(&format!("http-{status}")));
        let failed = |class: CodeClass, words: &str| {
            let detail = format!("answered HTTP {status}: {words}");
            Err(class.error(owner.gateway, told.and_then(code_in), detail).with_wait_of(response))
        };
        if let Some(class) = class {
            return failed(class, &self.words(class, told));
        }
        // A body that was not read whole counts as one only where nothing is looked for in it.
        let body = response.body.as_deref().unwrap_or_default();
        let has_text = success.contains.as_ref().is_none_or(|text| contains(body, text));
        if success.takes_status(response.status) && is_good && has_text {
            let given = success.message_id.as_ref().and_then(at).and_then(|id| usable_id(&id));
            let own = || self.settings.check.is_none().then(|| self.own_id());
            let message_id = given.or_else(own).ok_or_else(|| self.not_understood(response))?;
            return Ok(Accepted { message_id });
        }
        if bad_in_2xx.is_some() {
            return failed(CodeClass::Refused, "the value at success.json is not one that means success");
        }
        // Text may be a proxy's; what is no XML at all does not come from a provider that speaks it.
        if !self.settings.xml.0.is_empty() && answer.is_none() && response.status.is_success() {
            return Err(self.not_understood(response));
        }
        let (class, words) = classify_status(response, &owner.setting("url"));
        // This answer does not distinguish a limit of the account from that of one number, which any caller can reach.
        let class = if class == CodeClass::Busy { CodeClass::Retry } else { class };
        Err(class.error(owner.gateway, told.and_then(code_in), words).with_wait_of(response))
    }

    fn account_questions(&self) -> Vec<AccountQuestion<'_>> {
        let account = self.settings.account.iter();
        let question = |account| {
            let request = Filling::empty(&self.settings).account(account).ok()?;
            let read = Box::new(move |response: &_| self.classify_account(account, response));
            Some((AccountPart::Credentials, Question { request, read }))
        };
        account.filter_map(question).collect()
    }

    fn check(&self, to: PhoneNumber, channel: Channel, code: &Code) -> Option<Question<'_, Verdict>> {
        let check = self.settings.check.as_ref()?;
        let json = check.json.get(channel.as_str())?;
        let mut filling = Filling::to(&self.settings, to, channel, code);
        let request = filling.check(check, json, self.clock.wall()).ok()?;
        Some(Question { request, read: Box::new(move |response| self.classify_check(check, response)) })
    }
}

#[cfg(test)]
mod tests;
