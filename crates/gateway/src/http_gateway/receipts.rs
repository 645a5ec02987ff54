//! What the provider of a gateway with a recipe reports to `/callbacks/gateways/{name}`.
//!
//! A report is used only if it is the provider's: it comes to an address that only the provider was told, whose `key` is a
//! digest of the attempt under the gateway's credentials, or the provider signs its body. Carrying one out twice does no
//! harm; therefore the time of a signature is not compared.

use std::borrow::Cow;
use std::collections::BTreeMap;

use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::header::HeaderMap;
use schemars::JsonSchema;
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::Value;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use tracing::debug;
use url::form_urlencoded::parse;

use super::HttpGatewaySettings;
use super::request::{Read, TemplateReader};
use super::signing::HmacOf;
use crate::domain::AttemptId;
use crate::given::{self, as_text};
use crate::provider::{CodeClass, code_in, id_in, usable_code};
use crate::{Callback, CallbackError, ErrorClass, Receipt, ReceiptStatus};

/// The path of reports, without the name of the gateway.
const PATH: &str = "/callbacks/gateways/";

/// How a provider reports what became of a message. A form counts as an object of texts, and so does the query of a report
/// without a body.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct HttpReceipts {
    /// The provider's signature. Without it the key in the address of `{callback}` proves that a report is the provider's.
    pub signature: Option<HmacOf>,
    /// JSON pointer to a list of reports. Without it the body is one report.
    pub items: Option<String>,
    /// JSON pointer to the attempt, which the request has as `{attempt}`. Without it the address names the attempt.
    pub attempt: Option<String>,
    /// JSON pointer to the provider's id of the message.
    pub message_id: String,
    /// JSON pointer to what became of the message.
    pub state: String,
    /// Its values by what they mean: queued, sending, sent, answered, failed, delivered or read. Others are ignored.
    pub states: BTreeMap<String, Statuses>,
    /// JSON pointers to the code of an error, in the classes of `errors`.
    pub code: Vec<String>,
    /// A credential as a placeholder. The provider sends it in `hub.verify_token` by GET when it verifies the address, and
    /// expects the text of `hub.challenge`.
    pub verify_token: Option<String>,
}

/// Values of a state.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Statuses(
    #[serde(deserialize_with = "given::texts")]
    #[schemars(schema_with = "given::texts_schema")]
    Vec<String>,
);

impl HttpReceipts {
    /// Checks the receipts of a message that was read.
    pub(super) fn check(&self, reader: &mut TemplateReader<'_>) -> Read<()> {
        if let Some(name) = self.states.keys().find(|name| status_named(name).is_none()) {
            let known = ReceiptStatus::ALL.map(ReceiptStatus::as_str).join(", ");
            return reader.wrong("receipts.states", format!("has {name:?}, and there are {known}"));
        }
        if let Some(signature) = &self.signature {
            signature.check("receipts.signature", reader)?;
        } else if reader.settings.secrets().next().is_none() {
            let words = "needs a credential: without one any client could make the key of {callback}";
            return reader.wrong("receipts", words);
        }
        if let Some(token) = &self.verify_token {
            reader.credential_of(token, "receipts.verify_token")?;
        }
        let needed = |placeholder: &str| {
            format!("needs {{{placeholder}}} in the request: without it no report leads to its message")
        };
        match (&self.signature, &self.attempt) {
            (Some(_), None) => {
                let words = "is missing: with a signature it must say where a report repeats {attempt}";
                reader.wrong("receipts.attempt", words)
            }
            (None, Some(_)) => {
                let words = "belongs to a signature: without one the address of {callback} proves the report and names the \
                             attempt";
                reader.wrong("receipts.attempt", words)
            }
            (Some(_), _) if !reader.used.contains(&"attempt") => {
                reader.wrong("receipts.attempt", needed("attempt"))
            }
            (None, _) if !reader.used.contains(&"callback") => reader.wrong("receipts", needed("callback")),
            _ => Ok(()),
        }
    }

    fn status_of(&self, text: &str) -> Option<ReceiptStatus> {
        let (name, _) =
            self.states.iter().find(|(_, Statuses(texts))| texts.iter().any(|known| known == text))?;
        status_named(name)
    }
}

fn status_named(name: &str) -> Option<ReceiptStatus> {
    ReceiptStatus::ALL.into_iter().find(|status| status.as_str() == name)
}

/// The address at which the provider is to report an attempt; `None` without `receipts`.
pub(super) fn callback_address(settings: &HttpGatewaySettings, callback: &Callback) -> Option<String> {
    let Callback { public_url, attempt } = callback;
    settings.receipts.as_ref()?;
    let key = address_key(settings, *attempt)?;
    Some(format!("{public_url}{PATH}{}?attempt={attempt}&key={key}", settings.owner.gateway))
}

/// A digest of the attempt under everything that the gateway is configured with.
fn address_key(settings: &HttpGatewaySettings, attempt: AttemptId) -> Option<String> {
    let secrets: Vec<&str> = settings.values.values().map(ExposeSecret::expose_secret).collect();
    let mut mac = Hmac::<Sha256>::new_from_slice(secrets.join("\n").as_bytes()).ok()?;
    mac.update(format!("receipt {} {attempt}", settings.owner.gateway).as_bytes());
    mac.finalize().into_bytes().get(..16).map(base16ct::lower::encode_string)
}

/// Reads the reports of the providers of gateways with a recipe.
pub struct RecipeCallbacks(Vec<HttpGatewaySettings>);

impl RecipeCallbacks {
    /// `None` if none of the gateways reports.
    pub fn new<'a>(gateways: impl Iterator<Item = &'a HttpGatewaySettings>) -> Option<Self> {
        let reporting: Vec<_> = gateways.filter(|settings| settings.receipts.is_some()).cloned().collect();
        (!reporting.is_empty()).then_some(Self(reporting))
    }

    /// Checks that the report is the provider's, then reads it: perhaps several receipts, or none that matters here.
    ///
    /// # Errors
    /// [`CallbackError::NotFromProvider`] also for a gateway that is not known.
    pub fn read(
        &self,
        path_and_query: &str,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Vec<Receipt>, CallbackError> {
        let (settings, receipts, query) =
            self.addressed(path_and_query).ok_or(CallbackError::NotFromProvider)?;
        let mut attempt = member(query, "attempt").and_then(|attempt| AttemptId::parse(&attempt));
        let (given, expected) = match &receipts.signature {
            Some(signature) => {
                let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
                let time = signature.timestamp.as_deref().map_or(Some(""), header);
                let key = credential(settings, &signature.key);
                let made = time.zip(key.map(str::as_bytes));
                let made = made.and_then(|(time, key)| signature.value(key, body, time));
                // What is in the address was not signed.
                attempt = None;
                (header(&signature.header).map(str::to_owned), made)
            }
            None => (
                member(query, "key").map(String::from),
                attempt.and_then(|attempt| address_key(settings, attempt)),
            ),
        };
        let is_genuine = given.zip(expected).is_some_and(|(a, b)| a.as_bytes().ct_eq(b.as_bytes()).into());
        if !is_genuine {
            return Err(CallbackError::NotFromProvider);
        }
        // A signature covers the body only.
        let body = if body.is_empty() && receipts.signature.is_none() { query.as_bytes() } else { body };
        let report: Value = match serde_json::from_slice(body) {
            Ok(json) => json,
            Err(_) => parse(body).map(|(name, value)| (name.into_owned(), Value::from(value))).collect(),
        };
        let items = match receipts.items.as_ref().map(|items| report.pointer(items)) {
            Some(Some(Value::Array(items))) => items.as_slice(),
            Some(_) => {
                debug!(gateway = %settings.owner.gateway, reason = "it has no list of reports", "receipt ignored");
                &[]
            }
            None => std::slice::from_ref(&report),
        };
        let gateway = settings.owner.gateway;
        let ignored = |why: &&str| debug!(%gateway, reason = *why, "receipt ignored");
        let reports =
            items.iter().map(|item| receipt(settings, receipts, attempt, item).inspect_err(ignored));
        Ok(reports.flatten().collect())
    }

    /// The `hub.challenge` to return when `hub.verify_token` is right
    /// (<https://developers.facebook.com/docs/graph-api/webhooks/getting-started>).
    pub fn challenge(&self, path_and_query: &str) -> Option<String> {
        let (settings, receipts, query) = self.addressed(path_and_query)?;
        let expected = credential(settings, receipts.verify_token.as_ref()?)?;
        let given = member(query, "hub.verify_token")?;
        let is_right = !expected.is_empty() && bool::from(given.as_bytes().ct_eq(expected.as_bytes()));
        (is_right && member(query, "hub.mode")? == "subscribe").then_some(())?;
        member(query, "hub.challenge").map(Cow::into_owned)
    }

    /// The gateway that a path names, and the query.
    fn addressed<'q>(
        &self,
        path_and_query: &'q str,
    ) -> Option<(&HttpGatewaySettings, &HttpReceipts, &'q str)> {
        let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
        let (_, name) = path.split_once(PATH)?;
        let settings = self.0.iter().find(|settings| name == settings.owner.gateway.as_str())?;
        Some((settings, settings.receipts.as_ref()?, query))
    }
}

fn member<'q>(query: &'q str, name: &str) -> Option<Cow<'q, str>> {
    parse(query.as_bytes()).find(|(found, _)| found == name).map(|(_, value)| value)
}

fn credential<'s>(settings: &'s HttpGatewaySettings, placeholder: &str) -> Option<&'s str> {
    settings.values.get(placeholder.trim_matches(['{', '}'])).map(ExposeSecret::expose_secret)
}

/// One receipt, or why it is ignored: its state means nothing here, or its message is not ours.
fn receipt(
    settings: &HttpGatewaySettings,
    receipts: &HttpReceipts,
    attempt: Option<AttemptId>,
    report: &Value,
) -> Result<Receipt, &'static str> {
    let state = report.pointer(&receipts.state).and_then(as_text).ok_or("it has no state")?;
    let status = receipts.status_of(&state).ok_or("its state is not listed")?;
    let message_id =
        report.pointer(&receipts.message_id).and_then(id_in).ok_or("it has no id of a message")?;
    let named = receipts.attempt.as_ref().and_then(|attempt| report.pointer(attempt)?.as_str());
    let attempt = named.and_then(AttemptId::parse).or(attempt).ok_or("it names no attempt of this server")?;
    let code = receipts.code.iter().find_map(|pointer| as_text(report.pointer(pointer)?));
    let failed = status == ReceiptStatus::Failed;
    let class = code.as_deref().and_then(|code| settings.errors.class_of(code));
    let class = class.map_or(ErrorClass::Refused, CodeClass::class);
    if let Some(word) = code.as_deref().and_then(|code| settings.errors.word(code)).filter(|_| failed) {
        debug!(gateway = %settings.owner.gateway, %attempt, code = word, "message did not arrive");
    }
    let code = code.and_then(|code| code_in(&Value::from(code))).and_then(usable_code);
    Ok(Receipt {
        attempt,
        gateway: Some(settings.owner.gateway),
        message_id,
        status,
        code: code.filter(|_| failed),
        class: failed.then_some(class),
    })
}
