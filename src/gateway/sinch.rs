//! Sinch Verification: `POST {verification_url}`, and `PUT {verification_url}/number/{number}` to check.
//!
//! Source: <https://developers.sinch.com/docs/verification/api-reference/verification/>. Sinch makes the code, words
//! the message and holds the code. A message's `text` and `code` stay unused.

use std::sync::Arc;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Request, StatusCode};
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use super::ErrorClass::{self, Ambiguous, BadNumber, Configuration, Refused, Retry};
use super::client::GatewayResponse;
use super::provider::{
    Classification, CodeTable, HttpProvider, Provider, classify_status, code_in, get, id_in, known_code,
    not_tried, request, words_for_status,
};
use super::settings::{base_url, basic_auth, below};
use super::{Accepted, AccountPart, GatewayError, GatewaySettingsError, OutgoingMessage, Verdict};
use crate::clock::Clock;
use crate::domain::{Channel, Code, GatewayName, PhoneNumber};
use crate::setting::As;
use crate::setting::values::{BaseUrl, Identifier, Password};

pub type Sinch = HttpProvider<SinchApi>;

/// Each is a variable.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
pub struct SinchSettings {
    /// The application's key.
    #[serde(rename = "SINCH_APP_ID", with = "As::<Identifier>")]
    pub app_id: String,
    /// The application's secret.
    #[serde(rename = "SINCH_APP_SECRET", with = "As::<Password>")]
    pub app_secret: SecretString,
    /// Where verifications are posted.
    #[serde(rename = "SINCH_VERIFICATION_URL", default = "default_url", with = "As::<BaseUrl>")]
    pub verification_url: Arc<str>,
}

fn default_url() -> Arc<str> {
    "https://verification.api.sinch.com/verification/v1/verifications".into()
}

pub struct SinchApi {
    url: Url,
    headers: HeaderMap,
}

impl Sinch {
    pub fn new(settings: &SinchSettings, clock: Arc<dyn Clock>) -> Result<Self, GatewaySettingsError> {
        let SinchSettings { app_id, app_secret, verification_url } = settings;
        let url = base_url(SinchApi::NAME, SinchApi::URL_SETTING, verification_url)?;
        let authorization =
            basic_auth(SinchApi::NAME, "SINCH_APP_ID and SINCH_APP_SECRET", app_id, app_secret)?;
        let headers = HeaderMap::from_iter([
            (AUTHORIZATION, authorization),
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (ACCEPT, HeaderValue::from_static("application/json")),
        ]);
        Self::of(SinchApi { url: url.clone(), headers }, &url, clock)
    }
}

impl Provider for SinchApi {
    const NAME: GatewayName = GatewayName::Sinch;
    const URL_SETTING: &'static str = "sms.sinch.verification_url (SINCH_VERIFICATION_URL)";
    const HOLDS_CODES: bool = true;

    fn channels(&self) -> &[Channel] {
        &[Channel::Sms, Channel::Call]
    }

    fn request(&self, message: &OutgoingMessage) -> Result<Request, GatewayError> {
        let method = method_of(message.channel);
        let identity = json!({ "type": "number", "endpoint": message.to.e164() });
        let body = json!({ "identity": identity, "method": method }).to_string();
        Ok(request(Method::POST, self.url.clone(), &self.headers, body))
    }

    fn classify(&self, response: &GatewayResponse) -> Result<Accepted, GatewayError> {
        if !response.status.is_success() {
            return Err(refusal(response, |known| known));
        }
        let started: Option<Started> = response.json();
        match started.and_then(|s| id_in(&s.id)) {
            Some(message_id) => Ok(Accepted { message_id }),
            None => Err(not_understood(response)),
        }
    }

    /// A verification that does not exist: Sinch looks for it once it has accepted the credentials.
    fn account_requests(&self) -> Vec<(AccountPart, Request)> {
        let url = below(&self.url, "id/00000000-0000-0000-0000-000000000000");
        url.map(|url| (AccountPart::Credentials, get(url, &self.headers))).into_iter().collect()
    }

    fn classify_account(&self, _: AccountPart, response: &GatewayResponse) -> Result<String, GatewayError> {
        if response.status == StatusCode::NOT_FOUND && code_of(response) == Some(NOT_FOUND) {
            return Ok("the credentials are right".to_owned());
        }
        Err(refusal(response, |known| known))
    }

    fn check_request(&self, to: PhoneNumber, channel: Channel, code: &Code) -> Result<Request, GatewayError> {
        let method = method_of(channel);
        let url = below(&self.url, &format!("number/{}", to.e164())).ok_or_else(|| {
            let detail = "cannot be asked: the number does not fit into the URL; check";
            not_tried(Self::NAME, format!("{detail} {}", Self::URL_SETTING))
        })?;
        let body = json!({ "method": method, method: { "code": code.expose() } }).to_string();
        Ok(request(Method::PUT, url, &self.headers, body))
    }

    /// A verification that was denied, replaced, could not be delivered or has expired has no code that could be
    /// right. One that is still pending has looked at the code without being convinced.
    fn classify_check(&self, response: &GatewayResponse) -> Result<Verdict, GatewayError> {
        if response.status == StatusCode::OK {
            let reported: Option<Reported> = response.json();
            let Some(reported) = reported else { return Err(not_understood(response)) };
            return match (reported.status.as_str(), reported.reason.as_deref()) {
                ("SUCCESSFUL", _) => Ok(Verdict::Approved),
                ("FAIL", Some("Expired")) | ("DENIED" | "ABORTED" | "ERROR", _) => Ok(Verdict::NotLive),
                ("FAIL" | "PENDING", _) => Ok(Verdict::Wrong),
                _ => Err(not_understood(response)),
            };
        }
        let says_not_live = !response.status.is_success()
            && response.body.as_deref().is_some_and(|body| contains(body, NO_LIVE_VERIFICATION));
        if says_not_live || code_of(response) == Some(NOT_FOUND) && response.status == StatusCode::NOT_FOUND {
            return Ok(Verdict::NotLive);
        }
        // Here a parameter that is not valid is as likely the code, and nothing was compared.
        Err(refusal(response, |known| match known.class {
            ErrorClass::BadNumber => Classification::of_this_message(ErrorClass::Refused),
            _ => known,
        }))
    }
}

/// Sinch's name for a channel that it serves, which is also the name of the object that carries the code.
const fn method_of(channel: Channel) -> &'static str {
    match channel {
        Channel::Call => "callout",
        Channel::Sms | Channel::WhatsApp => "sms",
    }
}

/// Sinch's message for a number that has no verification to check.
const NO_LIVE_VERIFICATION: &[u8] = b"Invalid identity or code";

#[derive(Deserialize)]
struct Started {
    id: Value,
}

#[derive(Deserialize)]
struct Reported {
    status: String,
    reason: Option<String>,
}

/// Sinch writes the code as a number; its documents also show a text.
#[derive(Deserialize)]
struct ErrorAnswer {
    #[serde(rename = "errorCode")]
    code: Value,
}

/// `adapted` says what a parameter that is not valid means for what was asked.
fn refusal(response: &GatewayResponse, adapted: impl Fn(Classification) -> Classification) -> GatewayError {
    let code = code_of(response);
    let status = response.status.as_u16();
    let Some((known, words)) = code.and_then(|code| classification(code, status)) else {
        let words = words_for_status(response, SinchApi::URL_SETTING);
        return classify_status(response).error(SinchApi::NAME, code, words);
    };
    let classification = adapted(known);
    let words = if classification == known { words } else { "a value is not valid" };
    let detail = format!("answered HTTP {status}: {words}");
    classification.with_wait_of(response).error(SinchApi::NAME, code, detail)
}

/// A success without what belongs to it. One that is not even JSON does not come from Sinch, or comes from a Sinch in
/// trouble.
fn not_understood(response: &GatewayResponse) -> GatewayError {
    let classification = match response.json::<Value>() {
        Some(_) => Classification::of_this_message(ErrorClass::Ambiguous),
        None => Classification::of_the_gateway(ErrorClass::Ambiguous),
    };
    classification.error(SinchApi::NAME, None, words_for_status(response, SinchApi::URL_SETTING))
}

fn code_of(response: &GatewayResponse) -> Option<u32> {
    code_in(&response.json::<ErrorAnswer>()?.code)
}

fn contains(body: &[u8], text: &[u8]) -> bool {
    body.windows(text.len()).any(|window| window == text)
}

/// For a check: no verification of this number was ever started.
const NOT_FOUND: u32 = 40_400;

const SOON: ErrorClass = Retry { after: None };

/// Classification of Sinch's error codes. Source:
/// <https://developers.sinch.com/docs/verification/api-reference/errors>. The words are ours; Sinch's own message can
/// contain the number.
///
/// Of what we post only the number differs from message to message. Therefore a parameter that is not valid is the
/// number. The limit per number (42901) is not about the gateway: any caller can reach it.
#[rustfmt::skip]
const CODES: &CodeTable = &[
    (40_001, Classification::of_this_message(BadNumber), "the number is not valid"),
    (40_003, Classification::of_this_message(Refused), "the request cannot be carried out"),
    (40_100, Classification::of_the_gateway(Configuration), "the credentials were not accepted; check SINCH_APP_ID and SINCH_APP_SECRET"),
    (40_101, Classification::of_the_gateway(Configuration), "the application asks for signed requests; permit Basic authentication in the Sinch dashboard"),
    (40_102, Classification::of_the_gateway(Configuration), "the application asks for signed requests; permit Basic authentication in the Sinch dashboard"),
    (40_104, Classification::of_the_gateway(Configuration), "the credentials were not accepted; check SINCH_APP_ID and SINCH_APP_SECRET"),
    (40_107, Classification::of_the_gateway(Configuration), "the credentials were not accepted; check SINCH_APP_ID and SINCH_APP_SECRET"),
    (40_200, Classification::of_the_gateway(Configuration), "the account has no credit"),
    (40_300, Classification::of_this_message(Configuration), "this number or destination is not permitted; see the Sinch dashboard"),
    (40_303, Classification::of_this_message(Configuration), "the application's settings or its callback do not permit this; see the Sinch dashboard"),
    (NOT_FOUND, Classification::of_the_gateway(Configuration), "there is nothing at this address; check SINCH_VERIFICATION_URL"),
    (40_900, Classification::of_this_message(Refused), "a reference that was used before"),
    (42_200, Classification::of_the_gateway(Configuration), "the application has no name; give it one in the Sinch dashboard"),
    (42_201, Classification::of_this_message(Refused), "there is no route to this number"),
    (42_900, Classification::of_the_gateway(SOON), "too many requests"),
    (42_901, Classification::of_this_message(SOON), "too many verifications of this number"),
    (50_000, Classification::of_the_gateway(Ambiguous), "an internal error"),
    (50_300, Classification::of_the_gateway(Ambiguous), "the service is unavailable"),
    (50_301, Classification::of_the_gateway(Configuration), "the account is set up wrongly at Sinch; ask its support"),
];

/// `None` for a code that does not begin with the HTTP status it came with, and so is not Sinch's.
fn classification(code: u32, http_status: u16) -> Option<(Classification, &'static str)> {
    if code / 100 == u32::from(http_status) { known_code(CODES, code) } else { None }
}

#[cfg(test)]
mod tests;
