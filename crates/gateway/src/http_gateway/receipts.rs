//! What the provider of a gateway with a recipe reports to `/callbacks/gateways/{name}`.
//!
//! A report is used only if it is the provider's: it comes to an address that only the provider was told, whose `key` is a
//! digest of the attempt under the gateway's credentials, or the provider signs its body. Carrying one out twice does no
//! harm; therefore the time of a signature is not compared.

use std::collections::BTreeSet;

use reqwest::header::HeaderMap;
use secrecy::ExposeSecret;
use serde_json::Value;
use subtle::ConstantTimeEq as _;
use tracing::debug;
use url::form_urlencoded::parse;

use super::description::{HttpGatewaySettings, HttpReceipts, Read};
use super::signing::mac;
use super::structured;
use crate::domain::{AttemptId, GatewayName};
use crate::net::in_query;
use crate::provider::{CodeClass, code_in, usable_id};
use crate::recipe::Pointer;
use crate::said::{Masks, clean_text};
use crate::{Callback, CallbackError, ErrorClass, Receipt, ReceiptStatus};

/// The path of reports, without the name of the gateway.
const PATH: &str = "/callbacks/gateways/";

impl HttpReceipts {
    /// `used` has the placeholders of a message's request.
    pub(super) fn check(&self, settings: &HttpGatewaySettings, used: &BTreeSet<&str>) -> Read<()> {
        if let Some(name) = self.states.keys().find(|name| status_named(name).is_none()) {
            let known = ReceiptStatus::ALL.map(ReceiptStatus::as_str).join(", ");
            return settings.wrong("receipts.states", format!("has {name:?}, and there are {known}"));
        }
        if let Some(signature) = &self.signature {
            settings.hmac(signature, "receipts.signature")?;
        } else if settings.secrets().next().is_none() {
            let words = "needs a credential: without one any client could make the key of {callback}";
            return settings.wrong("receipts", words);
        }
        if let Some(token) = &self.verify_token {
            settings.credential_of(token, "receipts.verify_token")?;
        }
        if self.signature.is_some() != self.attempt.is_some() {
            return settings.wrong("receipts", "needs both a signature and attempt, or neither");
        }
        let needed = if self.signature.is_some() { "attempt" } else { "callback" };
        if used.contains(needed) {
            return Ok(());
        }
        let words = format!("needs {{{needed}}} in the request: without it no report leads to its message");
        settings.wrong("receipts", words)
    }
}

fn status_named(name: &str) -> Option<ReceiptStatus> {
    ReceiptStatus::ALL.into_iter().find(|status| status.as_str() == name)
}

/// The address at which the provider is to report an attempt; `None` without `receipts`.
pub(super) fn callback_address(settings: &HttpGatewaySettings, callback: &Callback) -> Option<String> {
    let Callback { public_url, attempt } = callback;
    settings.receipts.as_ref()?;
    let key = address_key(settings, *attempt);
    Some(format!("{public_url}{PATH}{}?attempt={attempt}&key={key}", settings.owner.gateway))
}

/// 32 hex digits of a digest of the attempt under everything that the gateway is configured with.
fn address_key(settings: &HttpGatewaySettings, attempt: AttemptId) -> String {
    let secrets: Vec<&str> = settings.values.values().map(ExposeSecret::expose_secret).collect();
    let subject = format!("receipt {} {attempt}", settings.owner.gateway);
    let mut key = base16ct::lower::encode_string(&mac(secrets.join("\n").as_bytes(), &[subject.as_bytes()]));
    key.truncate(32);
    key
}

/// The most reports that are read of one request: Meta's webhooks have up to 1,000
/// (<https://developers.facebook.com/docs/graph-api/webhooks/getting-started>).
const MOST_REPORTS: usize = 1_000;

/// A report that was not understood, or whose state the recipe does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct NotUnderstood {
    pub gateway: GatewayName,
    pub reason: String,
}

/// Reads the reports of the providers of gateways with a recipe.
pub struct RecipeCallbacks(Vec<(HttpGatewaySettings, Masks)>);

impl RecipeCallbacks {
    /// `None` if none of the gateways reports.
    pub fn new<'a>(gateways: impl Iterator<Item = &'a HttpGatewaySettings>) -> Option<Self> {
        let reporting = gateways.filter(|settings| settings.receipts.is_some());
        let reporting: Vec<_> = reporting.map(|settings| (settings.clone(), settings.masks())).collect();
        (!reporting.is_empty()).then_some(Self(reporting))
    }

    /// Checks that the report is the provider's, then reads it: perhaps several receipts, or none that matters here. What
    /// cannot be understood of it does not keep the others from being read.
    ///
    /// # Errors
    /// [`CallbackError::NotFromProvider`] also for a gateway that is not known.
    pub fn read(
        &self,
        path_and_query: &str,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Vec<Result<Receipt, NotUnderstood>>, CallbackError> {
        let (settings, masks, receipts) =
            self.addressed(path_and_query).ok_or(CallbackError::NotFromProvider)?;
        let gateway = settings.owner.gateway;
        let mut attempt = in_query(path_and_query, "attempt").and_then(|attempt| AttemptId::parse(&attempt));
        let (given, expected) = match &receipts.signature {
            Some(signature) => {
                let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
                let time = signature.timestamp.as_deref().map_or(Some(""), header);
                let key = settings.key(&signature.key, "").ok();
                // What is in the address was not signed.
                attempt = None;
                let given = header(&signature.header).map(str::to_owned);
                (given, time.zip(key).map(|(time, key)| signature.value(key, body, time)))
            }
            None => (in_query(path_and_query, "key"), attempt.map(|attempt| address_key(settings, attempt))),
        };
        let is_genuine = given.zip(expected).is_some_and(|(a, b)| a.as_bytes().ct_eq(b.as_bytes()).into());
        if !is_genuine {
            return Err(CallbackError::NotFromProvider);
        }
        let query = path_and_query.split_once('?').map_or("", |(_, query)| query);
        // A signature covers the body only.
        let body = if body.is_empty() && receipts.signature.is_none() { query.as_bytes() } else { body };
        let report: Value = structured(body).unwrap_or_else(|| {
            let text = clean_text(body);
            parse(text.as_bytes()).map(|(name, value)| (name.into_owned(), Value::from(value))).collect()
        });
        let not_understood = |reason: String| NotUnderstood { gateway, reason };
        let items = match &receipts.items {
            Some(items) => items.all_in(&report).into_iter().flat_map(members).collect(),
            None => members(&report),
        };
        let mut read = Vec::new();
        for item in items.iter().take(MOST_REPORTS) {
            match receipt(settings, masks, receipts, attempt, item) {
                Ok(receipt) => read.push(Ok(receipt)),
                Err(Ignored::Foreign) => debug!(%gateway, "receipt of another system's message ignored"),
                Err(Ignored::Because(reason)) => read.push(Err(not_understood(reason))),
            }
        }
        if items.is_empty() {
            read.push(Err(not_understood("it has no list of reports".to_owned())));
        } else if items.len() > MOST_REPORTS {
            let reason =
                format!("it has {} reports; those after the first {MOST_REPORTS} are lost", items.len());
            read.push(Err(not_understood(reason)));
        }
        Ok(read)
    }

    /// The `hub.challenge` to return when `hub.verify_token` is right
    /// (<https://developers.facebook.com/docs/graph-api/webhooks/getting-started>).
    pub fn challenge(&self, path_and_query: &str) -> Option<String> {
        let (settings, _, receipts) = self.addressed(path_and_query)?;
        let expected = settings.key(receipts.verify_token.as_ref()?, "").ok()?;
        let given = in_query(path_and_query, "hub.verify_token")?;
        let is_right = bool::from(given.as_bytes().ct_eq(expected.as_bytes()));
        (is_right && in_query(path_and_query, "hub.mode")? == "subscribe").then_some(())?;
        in_query(path_and_query, "hub.challenge")
    }

    /// The gateway that a path names.
    fn addressed(&self, path_and_query: &str) -> Option<(&HttpGatewaySettings, &Masks, &HttpReceipts)> {
        let path = path_and_query.split('?').next()?;
        let (_, name) = path.split_once(PATH)?;
        let (settings, masks) =
            self.0.iter().find(|(settings, _)| name == settings.owner.gateway.as_str())?;
        Some((settings, masks, settings.receipts.as_ref()?))
    }
}

/// The reports that a value is: a list has several.
fn members(value: &Value) -> Vec<&Value> {
    value.as_array().map_or_else(|| vec![value], |items| items.iter().collect())
}

/// Why a report is ignored.
enum Ignored {
    /// It names no attempt of this server: one account may serve several systems.
    Foreign,
    Because(String),
}

fn receipt(
    settings: &HttpGatewaySettings,
    masks: &Masks,
    receipts: &HttpReceipts,
    attempt: Option<AttemptId>,
    report: &Value,
) -> Result<Receipt, Ignored> {
    let at = |pointer: &Pointer| pointer.text_in(report);
    let because = |reason: &str| Ignored::Because(reason.to_owned());
    let state = at(&receipts.state).ok_or_else(|| because("it has no state"))?;
    let named = receipts.states.iter().find(|(_, texts)| texts.has(&state));
    let status = named.and_then(|(name, _)| status_named(name)).ok_or_else(|| {
        let state = masks.said(&state, None).unwrap_or_default();
        Ignored::Because(format!("the recipe does not know its state {state:?}"))
    })?;
    let message_id = at(&receipts.message_id).and_then(|id| usable_id(&id));
    let message_id = message_id.ok_or_else(|| because("it has no id of a message"))?;
    let named = receipts.attempt.as_ref().and_then(at);
    let attempt = named.and_then(|named| AttemptId::parse(&named)).or(attempt).ok_or(Ignored::Foreign)?;
    let failed = status == ReceiptStatus::Failed;
    let told = receipts.code.iter().find_map(at).filter(|_| failed);
    if let Some(word) = told.as_ref().and_then(|code| settings.errors.word(code)) {
        debug!(gateway = %settings.owner.gateway, %attempt, code = word, "message did not arrive");
    }
    let class = told.as_ref().and_then(|code| receipts.class_of(code, &settings.errors));
    let mut words: Vec<String> = receipts.words.iter().filter_map(at).collect();
    words.dedup();
    let said = failed.then(|| masks.said(&words.join(": "), None)).flatten();
    Ok(Receipt {
        attempt,
        gateway: Some(settings.owner.gateway),
        message_id,
        status,
        code: told.as_deref().and_then(code_in),
        class: failed.then_some(class.map_or(ErrorClass::Refused, CodeClass::class)),
        said,
    })
}
