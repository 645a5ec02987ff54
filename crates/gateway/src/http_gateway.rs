//! A custom gateway, or one with a recipe: how a request looks, and how its success is recognized.

mod receipts;
mod request;
mod signing;
mod xml;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Request, StatusCode};
use schemars::JsonSchema;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use self::receipts::callback_address;
pub use self::receipts::{HttpReceipts, RecipeCallbacks};
use self::request::{Read, RequestTemplate, Requests, TemplateReader};
pub use self::signing::Signing;
use super::client::GatewayResponse;
use super::given::{self, as_text};
use super::provider::{
    CodeClass, HttpProvider, OwnIds, Provider, classify_status, code_in, id_in, not_tried, words_for_status,
};
use super::{
    Accepted, AccountPart, ErrorClass, GatewayError, GatewaySettingsError, OutgoingMessage, Verdict,
};
use crate::clock::Clock;
use crate::domain::{AttemptId, AttemptLogKey, Channel, Code, GatewayName, PhoneNumber, ServiceId};
use crate::template::Wording;

const NAME: GatewayName = GatewayName::Http;

/// The most characters of a provider's text that are shown.
const LONGEST_SHOWN: usize = 64;

/// A custom gateway, or one with a recipe. In URL, header values and body values these are replaced: `{to}`
/// (`+14155552671`), `{to_digits}` (without `+`), `{text}`, `{code}`, `{channel}`, `{validity_seconds}`,
/// `{validity_minutes}`, `{locale}`, `{attempt}`, `{callback}`, the credentials (`{username}`, `{password}`, `{token}`,
/// or those of the recipe), and `{basic}`, which is `base64(username:password)`. A brace itself is written twice: `{{`
/// or `}}`.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct HttpGatewaySettings {
    /// GET, POST or PUT. Without it POST with a body, else GET.
    #[serde(deserialize_with = "given::text")]
    #[schemars(schema_with = "given::text_schema", extend("enum" = ["GET", "POST", "PUT"]))]
    pub method: String,
    /// Where messages go; required. The host has no placeholders of the message.
    // What is put in behind the host is percent-encoded.
    #[serde(deserialize_with = "given::text")]
    #[schemars(schema_with = "given::text_schema", extend("pattern" = "^https?://", "writeOnly" = true))]
    pub url: String,
    /// Headers, with placeholders.
    // What is put in must be visible ASCII; therefore `{text}` cannot be. A `Content-Type` replaces the body's own.
    #[serde(deserialize_with = "fields")]
    #[schemars(with = "BTreeMap<String, Field>", extend("writeOnly" = true))]
    pub headers: Vec<(String, String)>,
    /// A JSON body, with placeholders in every text of it, though not in the names of members. Not with `form`.
    #[schemars(extend("writeOnly" = true))]
    pub json: Option<Value>,
    /// An XML body, with placeholders; a list is joined. The answer is XML too: to JSON pointers an element is a member of
    /// the one around it. Not with `json`.
    #[serde(deserialize_with = "xml_body")]
    #[schemars(schema_with = "given::texts_schema", extend("writeOnly" = true))]
    pub xml: Option<String>,
    /// Fields of a form, with placeholders. Not with `json`.
    #[serde(deserialize_with = "form")]
    #[schemars(with = "BTreeMap<String, Field>", extend("writeOnly" = true))]
    pub form: Option<Vec<(String, String)>>,
    /// The conditions of an accepted message, which must all hold.
    #[schemars(extend("x-accepted" = "an object such as {\"statuses\": [200]}"))]
    pub success: HttpSuccess,
    /// Channels that the gateway serves. Without it sms.
    #[serde(deserialize_with = "given::channels")]
    #[schemars(schema_with = "given::channels_schema")]
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

/// Which gateway a description is of, and how errors and logs name its settings.
#[derive(Clone)]
pub struct Owner {
    pub gateway: GatewayName,
    /// The key of the configuration.
    pub path: String,
    /// The beginning of the variables of credentials.
    pub variables: String,
    pub credentials: Vec<String>,
    /// Those of them that may be empty.
    pub optional: Vec<String>,
    /// Those of them that messages about the account name.
    pub secrets: Vec<String>,
    /// The setting of the URL, if it is not one below `path`.
    pub url: Option<String>,
}

impl Default for Owner {
    fn default() -> Self {
        Self {
            gateway: NAME,
            path: "http-gateway".to_owned(),
            variables: "HTTP_GATEWAY_".to_owned(),
            credentials: ["username", "password", "token"].map(str::to_owned).to_vec(),
            optional: Vec::new(),
            secrets: ["password", "token"].map(str::to_owned).to_vec(),
            url: None,
        }
    }
}

impl Owner {
    /// The variable of a credential.
    pub fn variable(&self, credential: &str) -> String {
        format!("{}{}", self.variables, credential.replace('-', "_")).to_ascii_uppercase()
    }

    fn setting(&self, member: &str) -> String {
        if let Some(setting) = self.url.as_ref().filter(|_| member == "url") {
            return setting.clone();
        }
        if member.is_empty() { self.path.clone() } else { format!("{}.{member}", self.path) }
    }

    fn problem(&self, member: &str, problem: impl Into<String>) -> GatewaySettingsError {
        GatewaySettingsError::new(self.gateway, self.setting(member), problem)
    }

    fn is_optional(&self, credential: &str) -> bool {
        self.optional.iter().any(|name| name == credential)
    }
}

/// Error codes in answers and receipts, and their meaning.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct HttpErrors {
    /// JSON pointers to the code of an error. The first one that leads to a value counts.
    pub json: Vec<String>,
    /// Whether a code of an answer counts only if it begins with the HTTP status.
    pub begin_with_status: bool,
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
    /// The code in an answer or a report.
    fn code_in(&self, answer: Option<&Value>) -> Option<String> {
        self.json.iter().find_map(|pointer| as_text(answer?.pointer(pointer)?))
    }

    /// A code that is listed and no number. Another text could be a phone number or a code.
    fn word<'a>(&self, code: &'a str) -> Option<&'a str> {
        let word = bare(code);
        let is_plain = code_in(&Value::from(word)).is_none() && !word.contains(char::is_control);
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
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct HttpCheck {
    /// Where a code is put, with `{to}` and `{code}`.
    pub url: String,
    /// The JSON body for each channel.
    pub json: BTreeMap<String, Value>,
    /// JSON pointers to the verdict in an answer with HTTP 200. The first one with a known value counts.
    pub verdict: Vec<String>,
    /// Values of a right code.
    pub approved: Vec<String>,
    /// Values of a wrong code.
    pub wrong: Vec<String>,
    /// Values that say that there is no code to compare with.
    pub not_live: Vec<String>,
    /// Error codes that say so.
    pub not_live_codes: Vec<String>,
    /// A text of an error that says so.
    pub not_live_text: Option<String>,
}

impl HttpCheck {
    fn verdict_of(&self, text: &str) -> Option<Verdict> {
        let all = [
            (&self.approved, Verdict::Approved),
            (&self.wrong, Verdict::Wrong),
            (&self.not_live, Verdict::NotLive),
        ];
        all.into_iter().find(|(texts, _)| texts.iter().any(|known| known == text)).map(|(_, verdict)| verdict)
    }

    fn says_not_live(&self, body: &[u8], code: Option<&str>) -> bool {
        let text = self.not_live_text.as_deref().unwrap_or_default().as_bytes();
        let is_said = !text.is_empty() && body.windows(text.len()).any(|part| part == text);
        is_said || self.not_live_codes.iter().any(|known| Some(known.as_str()) == code)
    }
}

/// A request about the account.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct HttpAccount {
    /// What is asked for, with credentials as placeholders.
    pub url: String,
    /// JSON pointer to a value that is shown, such as the balance.
    #[serde(default)]
    pub show: Option<String>,
    /// Error codes that only accepted credentials get.
    #[serde(default)]
    pub right: Vec<String>,
}

/// The value of a header or of a field.
#[derive(Deserialize, JsonSchema)]
struct Field(
    #[serde(deserialize_with = "given::text")]
    #[schemars(schema_with = "given::text_schema")]
    String,
);

fn fields<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<(String, String)>, D::Error> {
    let fields = BTreeMap::<String, Field>::deserialize(from)?;
    Ok(fields.into_iter().map(|(name, Field(value))| (name, value)).collect())
}

fn form<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<(String, String)>>, D::Error> {
    fields(from).map(Some)
}

fn xml_body<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(Some(given::texts(from)?.concat()))
}

impl Serialize for HttpGatewaySettings {
    /// Shows method and place only: a query or a body may hold credentials.
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let place = self.url.split(['?', '#']).next().unwrap_or_default();
        format!("{} {place}", self.method.to_ascii_uppercase()).trim().serialize(to)
    }
}

impl std::fmt::Debug for HttpGatewaySettings {
    /// Shows no values of URL, headers and body: a key may be written there.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpGatewaySettings")
            .field("method", &self.method)
            .field("success", &self.success)
            .field("channels", &self.channels)
            .finish_non_exhaustive()
    }
}

/// The conditions of success. Every given condition must hold. A number or a truth value at the end of a
/// pointer is compared as JSON writes it: `0`, `true`.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct HttpSuccess {
    /// HTTP statuses that mean success. Without it any 2xx.
    #[serde(deserialize_with = "given::statuses")]
    #[schemars(schema_with = "given::statuses_schema")]
    pub statuses: Vec<u16>,
    /// JSON pointer (RFC 6901) to a value in the answer.
    #[serde(deserialize_with = "given::optional_text")]
    #[schemars(schema_with = "given::text_schema")]
    pub json: Option<String>,
    /// Values at `json` that mean success.
    #[serde(deserialize_with = "given::texts")]
    #[schemars(schema_with = "given::texts_schema")]
    pub equals: Vec<String>,
    /// A text that the answer contains.
    #[serde(deserialize_with = "given::optional_text")]
    #[schemars(schema_with = "given::text_schema")]
    pub contains: Option<String>,
    /// JSON pointer to the provider's id of the message.
    #[serde(deserialize_with = "given::optional_text")]
    #[schemars(schema_with = "given::text_schema")]
    pub message_id: Option<String>,
    /// Values at `json` that mean that the number does not exist.
    #[serde(deserialize_with = "given::texts")]
    #[schemars(schema_with = "given::texts_schema")]
    pub bad_number: Vec<String>,
    /// Values at `json` that mean that the same request may succeed later.
    #[serde(deserialize_with = "given::texts")]
    #[schemars(schema_with = "given::texts_schema")]
    pub retry: Vec<String>,
}

impl HttpGatewaySettings {
    /// The names of the credentials that are given.
    fn secrets(&self) -> impl Iterator<Item = &str> {
        let given =
            |name: &&String| self.values.get(*name).is_some_and(|value| !value.expose_secret().is_empty());
        self.owner.secrets.iter().filter(given).map(String::as_str)
    }

    fn has_body(&self) -> bool {
        self.json.is_some() || self.form.is_some() || self.xml.is_some()
    }

    /// Puts in what is not given: the method, and the channel.
    pub fn complete(&mut self) {
        if self.method.is_empty() {
            self.method.push_str(if self.has_body() { "POST" } else { "GET" });
        }
        self.method = self.method.trim().to_ascii_uppercase();
        if self.channels.is_empty() {
            self.channels = vec![Channel::Sms];
        }
        self.success.contains.take_if(|text| text.is_empty());
    }

    /// The names of the credentials that the description uses.
    ///
    /// # Errors
    /// The first problem of the description.
    pub fn examine(&self) -> Result<Vec<&str>, GatewaySettingsError> {
        let mut reader = TemplateReader::of(self);
        reader.read()?;
        Ok(reader.used)
    }
}

pub type HttpGateway = HttpProvider<HttpGatewayApi>;

pub struct HttpGatewayApi {
    settings: HttpGatewaySettings,
    request: RequestTemplate,
    checks: Vec<(Channel, RequestTemplate)>,
    account: Option<Request>,
    own_ids: OwnIds,
    clock: Arc<dyn Clock>,
}

impl HttpGateway {
    /// The error names the part of the description that cannot work: a placeholder that does not exist
    /// or has no value, a URL, method, header or JSON pointer that is none.
    pub fn new(settings: &HttpGatewaySettings, clock: Arc<dyn Clock>) -> Result<Self, GatewaySettingsError> {
        let Requests { message: request, checks, account } = TemplateReader::of(settings).read()?;
        let address = request.address().clone();
        let own_ids = OwnIds::new(settings.owner.gateway, &*clock);
        let (settings, setting) = (settings.clone(), settings.owner.setting("url"));
        Self::of(
            HttpGatewayApi { settings, request, checks, account, own_ids, clock: Arc::clone(&clock) },
            (&setting, &address),
            clock,
        )
    }
}

impl Provider for HttpGatewayApi {
    fn name(&self) -> GatewayName {
        self.settings.owner.gateway
    }

    fn channels(&self) -> &[Channel] {
        &self.settings.channels
    }

    fn request(&self, message: &OutgoingMessage) -> Result<Request, GatewayError> {
        let callback =
            message.callback.as_ref().and_then(|callback| callback_address(&self.settings, callback));
        let filled = self.request.filled_in(message, &callback.unwrap_or_default(), &*self.clock);
        filled.ok_or_else(|| {
            let detail = format!(
                "cannot be asked: this message does not fit into the URL of {}",
                self.settings.owner.path
            );
            not_tried(self.name(), detail)
        })
    }

    /// The rules for values of the answer come first, whatever the status: many providers put their errors into a 200,
    /// and some into a 500.
    fn classify(&self, response: &GatewayResponse) -> Result<Accepted, GatewayError> {
        let HttpGatewaySettings { success: rule, errors, owner, .. } = &self.settings;
        let status = response.status.as_u16();
        let body = response.body.as_deref();
        let is_read = (rule.reads_answer() || !errors.json.is_empty()) && !errors.by_status.contains(&status);
        let answer = if is_read { self.answer(response) } else { None };
        let value = rule.json.as_ref().and_then(|pointer| as_text(answer.as_ref()?.pointer(pointer)?));
        let means_success =
            rule.json.is_none() || value.as_ref().is_some_and(|value| rule.equals.contains(value));
        // A value that is there and does not mean success. Some lists count whatever the status is.
        let failure = value.as_deref().filter(|_| !means_success);
        let failure_of_2xx = failure.filter(|_| response.status.is_success());
        let code = errors.code_in(answer.as_ref());
        let counts = |code: &&str| !errors.begin_with_status || code.starts_with(&status.to_string());
        let by_code = || {
            let code = code.as_deref().filter(counts)?;
            errors.class_of(code).or(errors.other)
        };
        let by_failure = || {
            let value = failure_of_2xx?;
            let other = || errors.other_value.filter(|_| code_in(&Value::from(value)).is_none());
            errors.class_of(value).or_else(other)
        };
        let by_status = format!("http-{status}");
        let class = failure.and_then(|value| rule.class_of(value)).or_else(by_code).or_else(by_failure);
        let class = class.or_else(|| errors.class_of(&by_status));
        let told = code.as_deref().or_else(|| failure_of_2xx.filter(|_| !errors.classes.is_empty()));
        let number = told.and_then(|code| code_in(&Value::from(code)));
        let failed = |class: CodeClass, words: &str| {
            let detail = format!("answered HTTP {status}: {words}");
            Err(class.error(owner.gateway, number, detail).with_wait_of(response))
        };
        if let Some(class) = class {
            let own = told.and_then(|code| errors.words.get(errors.listed(code)?));
            let said = told.and_then(|code| errors.word(code)).map(|word| format!(" ({word})"));
            let secrets: Vec<String> = self.settings.secrets().map(|secret| owner.variable(secret)).collect();
            let advice = match (own, secrets.as_slice()) {
                (None, [_, ..]) if class == CodeClass::Account => {
                    format!("; check {}", secrets.join(" and "))
                }
                _ => String::new(),
            };
            let words = own.map_or(class.words(), String::as_str);
            return failed(class, &format!("{words}{}{advice}", said.unwrap_or_default()));
        }
        // A body that was not read whole counts as one only where nothing is looked for in it.
        if rule.takes_status(status) && means_success && rule.takes_text(body.unwrap_or_default()) {
            let given =
                rule.message_id.as_ref().and_then(|pointer| id_in(answer.as_ref()?.pointer(pointer)?));
            let own = || self.settings.check.is_none().then(|| self.own_ids.next());
            return match given.or_else(own) {
                Some(message_id) => Ok(Accepted { message_id }),
                None => Err(self.not_understood(response)),
            };
        }
        if failure_of_2xx.is_some() {
            let words = "the value at success.json is not one that means success";
            return failed(CodeClass::Refused, words);
        }
        // Text may be a proxy's; what is no XML at all does not come from a provider that speaks it.
        if self.settings.xml.is_some() && answer.is_none() && response.status.is_success() {
            return Err(self.not_understood(response));
        }
        let class = match classify_status(response) {
            // This answer does not distinguish a limit of the account from that of one number, which any caller can
            // reach.
            CodeClass::Busy => CodeClass::Retry,
            other => other,
        };
        let words = words_for_status(response, &owner.setting("url"));
        Err(class.error(owner.gateway, number, words).with_wait_of(response))
    }

    fn holds_codes(&self) -> bool {
        self.settings.check.is_some()
    }

    fn check_request(&self, to: PhoneNumber, channel: Channel, code: &Code) -> Result<Request, GatewayError> {
        let message = OutgoingMessage {
            to,
            channel,
            text: String::new(),
            locale: None,
            wording: Wording::Api,
            code: code.clone(),
            send_digits: None,
            sender_name: None,
            valid_for: Duration::ZERO,
            attempt: AttemptId { key: AttemptLogKey::new(ServiceId::DEFAULT, 0, 0), attempt: 0 },
            callback: None,
        };
        let template = self.checks.iter().find(|(known, _)| *known == channel).map(|(_, template)| template);
        let filled = template.and_then(|template| template.filled_in(&message, "", &*self.clock));
        filled.ok_or_else(|| not_tried(self.name(), "cannot be asked about this code".to_owned()))
    }

    /// A parameter that is not valid is as likely the code as the number, and nothing was compared.
    fn classify_check(&self, response: &GatewayResponse) -> Result<Verdict, GatewayError> {
        let HttpGatewaySettings { check: Some(check), errors, owner, .. } = &self.settings else {
            return Err(not_tried(self.name(), "holds no codes".to_owned()));
        };
        let answer = self.answer(response);
        if response.status == StatusCode::OK {
            let value = |pointer: &String| check.verdict_of(&as_text(answer.as_ref()?.pointer(pointer)?)?);
            return check.verdict.iter().find_map(value).ok_or_else(|| self.not_understood(response));
        }
        let code = errors.code_in(answer.as_ref());
        let body = response.body.as_deref().unwrap_or_default();
        if !response.status.is_success() && check.says_not_live(body, code.as_deref()) {
            return Ok(Verdict::NotLive);
        }
        Err(match self.classify(response) {
            Err(error) if error.class == ErrorClass::BadNumber => {
                let detail = format!("answered HTTP {}: a value is not valid", response.status.as_u16());
                CodeClass::Refused.error(owner.gateway, error.code, detail)
            }
            Err(error) => error,
            Ok(_) => self.not_understood(response),
        })
    }

    fn account_requests(&self) -> Vec<(AccountPart, Request)> {
        let request = self.account.as_ref().and_then(Request::try_clone);
        request.map(|request| (AccountPart::Credentials, request)).into_iter().collect()
    }

    fn classify_account(&self, _: AccountPart, response: &GatewayResponse) -> Result<String, GatewayError> {
        let answer = self.answer(response);
        let account = self.settings.account.as_ref();
        let code = self.settings.errors.code_in(answer.as_ref());
        if account.zip(code).is_some_and(|(account, code)| account.right.contains(&code)) {
            return Ok("the credentials are right".to_owned());
        }
        let pointer = account.and_then(|account| account.show.as_deref());
        let shown = pointer.and_then(|pointer| as_text(answer.as_ref()?.pointer(pointer)?));
        let proves = response.status.is_success() && account.is_some_and(|account| account.right.is_empty());
        match (shown, pointer) {
            (Some(value), _) if proves => {
                let plain = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
                let value: String = value.chars().map(plain).take(LONGEST_SHOWN).collect();
                Ok(format!("the credentials are right; {value}"))
            }
            (None, None) if proves => Ok("the credentials are right".to_owned()),
            _ => Err(match self.classify(response) {
                Err(error) => error,
                Ok(_) => {
                    not_tried(self.name(), "gave an answer about the account that is not known".to_owned())
                }
            }),
        }
    }
}

impl HttpGatewayApi {
    /// The answer, if it is JSON or, from a provider that gets XML, XML whose root is the one that is looked for.
    fn answer(&self, response: &GatewayResponse) -> Option<Value> {
        let HttpGatewaySettings { xml: Some(_), success, .. } = &self.settings else {
            return response.json();
        };
        let text = std::str::from_utf8(response.body.as_deref()?).ok()?;
        let root = success.json.as_ref().and_then(|pointer| pointer.split('/').nth(1));
        xml::read(text).filter(|answer| root.is_none_or(|root| answer.get(root).is_some()))
    }

    /// A success without what belongs to it. One that cannot be read at all does not come from the provider, or comes from a
    /// provider in trouble.
    fn not_understood(&self, response: &GatewayResponse) -> GatewayError {
        let class = if self.answer(response).is_some() { CodeClass::Unknown } else { CodeClass::Down };
        let owner = &self.settings.owner;
        class.error(owner.gateway, None, words_for_status(response, &owner.setting("url")))
    }
}

impl HttpSuccess {
    fn check(&self, reader: &TemplateReader<'_>) -> Read<()> {
        let Self { statuses, json, contains, message_id: _, equals, bad_number, retry } = self;
        let wrong = |name: &str, words: &str| reader.wrong(&format!("success.{name}"), words);
        if statuses.iter().any(|status| !(200..=599).contains(status)) {
            return wrong("statuses", "must be HTTP statuses from 200 to 599");
        }
        if contains.as_ref().is_some_and(String::is_empty) {
            return wrong("contains", "must not be empty: every body contains that");
        }
        if json.is_some() && equals.is_empty() {
            return wrong("equals", "must list the values that mean success");
        }
        if json.is_none() && !equals.is_empty() {
            let words = "lists values at the place that \"json\" points to, and there is no \"json\"";
            return wrong("equals", words);
        }
        for (name, values, other) in [("bad_number", bad_number, retry), ("retry", retry, bad_number)] {
            if !values.is_empty() && json.is_none() {
                return wrong(name, "needs success.json, which says where in the answer its values are");
            }
            if values.iter().any(|value| equals.contains(value) || other.contains(value)) {
                return wrong(name, "has a value that another list of success has too");
            }
        }
        Ok(())
    }

    fn takes_status(&self, status: u16) -> bool {
        if self.statuses.is_empty() { (200..=299).contains(&status) } else { self.statuses.contains(&status) }
    }

    fn takes_text(&self, body: &[u8]) -> bool {
        self.contains.as_ref().is_none_or(|text| body.windows(text.len()).any(|part| part == text.as_bytes()))
    }

    fn class_of(&self, value: &str) -> Option<CodeClass> {
        let has = |values: &[String]| values.iter().any(|known| known == value);
        let retry = || has(&self.retry).then_some(CodeClass::Retry);
        if has(&self.bad_number) { Some(CodeClass::BadNumber) } else { retry() }
    }

    fn reads_answer(&self) -> bool {
        self.json.is_some() || self.message_id.is_some()
    }
}

/// RFC 6901, 3: empty, or parts that each begin with `/`, with `~` only as `~0` and `~1`.
fn is_json_pointer(pointer: &str) -> bool {
    let escapes_are_right = pointer.split('~').skip(1).all(|behind| behind.starts_with(['0', '1']));
    escapes_are_right && (pointer.is_empty() || pointer.starts_with('/'))
}

#[cfg(test)]
mod tests;
