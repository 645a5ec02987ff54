//! What the provider of a described gateway reports to `/callbacks/gateways/{name}`.
//!
//! A report is used only if it is the provider's: it comes to an address that only the provider was told, whose `key` is a
//! digest of the attempt under the gateway's credentials, or the provider signs its body. Carrying one out twice does no
//! harm; therefore the time of a signature is not compared.

use std::collections::BTreeMap;

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::HeaderMap;
use schemars::JsonSchema;
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::Value;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use url::form_urlencoded::parse;

use super::signing::HmacOf;
use super::{HttpGatewaySettings, as_text, is_json_pointer};
use crate::domain::AttemptId;
use crate::gateway::provider::{code_in, id_in};
use crate::gateway::{Callback, CallbackError, ErrorClass, GatewaySettingsError, Receipt, ReceiptStatus};
use crate::setting::As;
use crate::setting::values::Texts;

/// The path of reports, without the name of the gateway.
const PATH: &str = "/callbacks/gateways/";

/// How a provider reports what became of a message. A form counts as an object of texts.
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
}

/// Values of a state.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Statuses(#[serde(with = "As::<Texts>")] Vec<String>);

impl HttpReceipts {
    pub(super) fn check(&self, of: &HttpGatewaySettings) -> Result<(), GatewaySettingsError> {
        let pointers =
            [&self.items, &self.attempt].into_iter().flatten().chain([&self.message_id, &self.state]);
        if !pointers.chain(&self.code).all(|pointer| is_json_pointer(pointer)) {
            return Err(of.owner.problem("receipts", "must have JSON pointers (RFC 6901) such as /data/id"));
        }
        if let Some(unknown) = self.states.keys().find(|name| status_named(name).is_none()) {
            let known = ReceiptStatus::ALL.map(ReceiptStatus::as_str).join(", ");
            return Err(of
                .owner
                .problem("receipts.states", format!("has {unknown:?}, and there are {known}")));
        }
        if self.signature.as_ref().is_some_and(|signature| key(of, &signature.key).is_none()) {
            return Err(of
                .owner
                .problem("receipts.signature.key", "must be one credential, such as {token}"));
        }
        if self.signature.is_none() && of.secrets().next().is_none() {
            return Err(of.owner.problem(
                "receipts",
                "needs a credential: without one any client could make the key of {callback}",
            ));
        }
        if self.signature.is_none() == self.attempt.is_some() {
            let words = "belongs to a signature: without one the address of {callback} proves the report and names the attempt";
            return Err(of.owner.problem("receipts.attempt", words));
        }
        Ok(())
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

/// The credential that a text such as `{token}` names.
fn key<'a>(settings: &'a HttpGatewaySettings, text: &str) -> Option<&'a [u8]> {
    let name = text.strip_prefix('{')?.strip_suffix('}')?;
    let value = settings.values.get(name)?.expose_secret().as_bytes();
    (!value.is_empty()).then_some(value)
}

/// The address at which the provider is to report an attempt; `None` if it reports elsewhere or not at all.
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

/// Reads the reports of described gateways.
pub struct RecipeCallbacks(Vec<HttpGatewaySettings>);

impl RecipeCallbacks {
    /// `None` if none of the gateways reports.
    pub fn new<'a>(described: impl Iterator<Item = &'a HttpGatewaySettings>) -> Option<Self> {
        let reporting: Vec<_> = described.filter(|settings| settings.receipts.is_some()).cloned().collect();
        (!reporting.is_empty()).then_some(Self(reporting))
    }

    /// Checks that the report is the provider's, then reads it: perhaps several receipts, or none that matters here.
    ///
    /// # Errors
    /// [`CallbackError::Unproven`] also for a gateway that is not known.
    pub fn read(
        &self,
        path_and_query: &str,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Vec<Receipt>, CallbackError> {
        let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
        let name = path.split_once(PATH).map(|(_, name)| name);
        let settings = self.0.iter().find(|settings| name == Some(settings.owner.gateway.as_str()));
        let settings = settings.ok_or(CallbackError::Unproven)?;
        let receipts = settings.receipts.as_ref().ok_or(CallbackError::Unproven)?;
        let in_query =
            |name: &str| parse(query.as_bytes()).find(|(found, _)| found == name).map(|(_, value)| value);
        let mut attempt = in_query("attempt").and_then(|attempt| AttemptId::parse(&attempt));
        let (given, expected) = match &receipts.signature {
            Some(signature) => {
                let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
                let time = signature.timestamp.as_deref().map_or(Some(""), header);
                let made = time.zip(key(settings, &signature.key));
                let made = made.and_then(|(time, key)| signature.value(key, body, time));
                // What is in the address was not signed.
                attempt = None;
                (header(&signature.header).map(str::to_owned), made)
            }
            None => (
                in_query("key").map(String::from),
                attempt.and_then(|attempt| address_key(settings, attempt)),
            ),
        };
        let is_genuine = given.zip(expected).is_some_and(|(a, b)| a.as_bytes().ct_eq(b.as_bytes()).into());
        if !is_genuine {
            return Err(CallbackError::Unproven);
        }
        let report: Value = match serde_json::from_slice(body) {
            Ok(json) => json,
            Err(_) => parse(body).map(|(name, value)| (name.into_owned(), Value::from(value))).collect(),
        };
        let items = match receipts.items.as_ref().map(|items| report.pointer(items)) {
            Some(Some(Value::Array(items))) => items.as_slice(),
            Some(_) => &[],
            None => std::slice::from_ref(&report),
        };
        let reports = items.iter().filter_map(|item| receipt(settings, receipts, attempt, item));
        Ok(reports.collect())
    }
}

/// One receipt. `None` for a state that means nothing here, and for a message that is not ours.
fn receipt(
    settings: &HttpGatewaySettings,
    receipts: &HttpReceipts,
    attempt: Option<AttemptId>,
    report: &Value,
) -> Option<Receipt> {
    let status = receipts.status_of(&as_text(report.pointer(&receipts.state)?)?)?;
    let message_id = id_in(report.pointer(&receipts.message_id)?)?;
    let named = receipts.attempt.as_ref().and_then(|attempt| report.pointer(attempt)?.as_str());
    let attempt = named.and_then(AttemptId::parse).or(attempt)?;
    let code = receipts.code.iter().find_map(|pointer| as_text(report.pointer(pointer)?));
    let failed = status == ReceiptStatus::Failed;
    let class = code.as_deref().and_then(|code| settings.errors.class_of(code));
    let class = class.map_or(ErrorClass::Refused, |class| class.meaning().0.class);
    let code =
        code.and_then(|code| code_in(&Value::from(code))).and_then(crate::gateway::provider::usable_code);
    Some(Receipt {
        attempt,
        message_id,
        status,
        code: code.filter(|_| failed),
        class: failed.then_some(class),
    })
}
