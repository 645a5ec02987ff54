//! Classifies Twilio's answers by its error codes, otherwise by HTTP's rules.
//!
//! Source: Twilio's Error and Warning Dictionary, <https://www.twilio.com/docs/api/errors>. The words are ours;
//! Twilio's own message is never read, for it can contain the number.

use std::time::Duration;

use reqwest::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::BASE_URL;
use crate::domain::GatewayName;
use crate::ErrorClass::{
    self, Ambiguous, BadNumber, Configuration, Fraud, NotReachableHere, OptedOut, Refused, Retry,
};
use crate::client::GatewayResponse;
use crate::provider::{
    Classification, CodeTable, classify_status, code_in, known_code, words_for_status,
};
use crate::{Accepted, GatewayError};

pub(super) const CREDENTIALS: u32 = 20_003;

pub(super) const SUSPENDED: u32 = 30_002;

/// Whether a code of an error that every message meets is about the account. Others, such as that of a sender that is
/// not there, can be one gateway's alone: they open its circuit and leave the server ready. An unknown code comes with
/// 401 or 402, or with a redirect.
pub(super) fn refuses_account(code: u32) -> bool {
    [CREDENTIALS, SUSPENDED].contains(&code) || known_code(CODES, code).is_none()
}

/// The resource does not exist: to Verify, a verification that is used up, expired or was never started.
pub(super) const NOT_FOUND: u32 = 20_404;

pub(super) const CHECKS_USED_UP: u32 = 60_202;

/// Too many requests: Twilio says that these were never processed.
const TOO_MANY_REQUESTS: u32 = 20_429;

/// A resource that Twilio created: a message, a call or a verification.
#[derive(Deserialize)]
struct Created {
    sid: String,
    status: Option<String>,
    #[serde(default)]
    error_code: Value,
}

/// The message in an error answer stays unread, for it can repeat the number.
#[derive(Deserialize)]
struct ErrorAnswer {
    code: u32,
}

/// Longest id taken over from an answer. Twilio's have 34 characters; servers with the same API use others, such as
/// UUIDs.
const SID_MAX: usize = 64;

/// Whether a text can be an id: of a bounded length, and a harmless segment of a path.
pub(super) fn is_id(text: &str) -> bool {
    (1..=SID_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        && text.bytes().any(|b| b.is_ascii_alphanumeric())
}

/// The id of the created resource. If `has_failed` accepts its status, nothing arrives although Twilio answers with a
/// success.
pub(super) fn created(
    gateway: GatewayName,
    response: &GatewayResponse,
    has_failed: fn(&str) -> bool,
) -> Result<Accepted, GatewayError> {
    if !response.status.is_success() {
        return Err(refused(gateway, response));
    }
    let Some(Created { sid, status, error_code }) = response.json().filter(|made: &Created| is_id(&made.sid))
    else {
        return Err(unreadable(gateway, response, "id"));
    };
    if status.is_some_and(|status| has_failed(&status)) {
        return Err(failed_at_once(gateway, code_in(&error_code), response));
    }
    Ok(Accepted { message_id: sid })
}

/// The error of a message that Twilio took and gave up at once, with the class of its error code.
fn failed_at_once(gateway: GatewayName, code: Option<u32>, response: &GatewayResponse) -> GatewayError {
    let unknown = (Classification::of_this_message(Refused), "unknown reason");
    let (classification, words) = code.and_then(|code| known_code(CODES, code)).unwrap_or(unknown);
    let detail = format!("answered HTTP {} for a message that has failed: {words}", response.status.as_u16());
    classification.with_wait_of(response).error(gateway, code, detail)
}

/// The account, as `GET /2010-04-01/Accounts/{Sid}.json` shows it.
#[derive(Deserialize)]
struct AccountAnswer {
    status: String,
    #[serde(rename = "type")]
    sort: Option<String>,
}

/// The numbers that fit, as `IncomingPhoneNumbers.json` lists them.
#[derive(Deserialize)]
struct Numbers {
    incoming_phone_numbers: Vec<OwnNumber>,
}

#[derive(Deserialize)]
struct OwnNumber {
    capabilities: Capabilities,
}

#[derive(Deserialize)]
struct Capabilities {
    #[serde(default)]
    sms: bool,
    #[serde(default)]
    voice: bool,
}

/// Whether the account may send.
pub(super) fn account_state(
    gateway: GatewayName,
    response: &GatewayResponse,
) -> Result<String, GatewayError> {
    let account: AccountAnswer = read(gateway, response, "account")?;
    match account.status.as_str() {
        "active" if account.sort.as_deref() == Some("Trial") => {
            Ok("the credentials are right; a trial account, which sends to verified numbers only".to_owned())
        }
        "active" => Ok("the credentials are right, and the account is active".to_owned()),
        "suspended" | "closed" => {
            let detail = format!("says that the account is {}; see the Twilio console", account.status);
            Err(misconfigured(gateway, None, detail))
        }
        _ => {
            let detail = "says that the account is not active; see the Twilio console".to_owned();
            Err(misconfigured(gateway, None, detail))
        }
    }
}

/// Whether the sender is a number of the account, with voice for calls and text messages otherwise.
pub(super) fn number_state(
    gateway: GatewayName,
    setting: &str,
    response: &GatewayResponse,
) -> Result<String, GatewayError> {
    let numbers: Numbers = read(gateway, response, "list of numbers")?;
    let calls = gateway == GatewayName::TwilioVoice;
    let own = numbers.incoming_phone_numbers.first();
    match own.map(|own| if calls { own.capabilities.voice } else { own.capabilities.sms }) {
        // Twilio also calls from numbers that the account has only verified, and lists those elsewhere.
        None if calls => {
            Ok("the sender is none of the account's numbers: it must be a verified caller id".to_owned())
        }
        None => {
            let detail = format!("does not list the sender among the account's numbers; check {setting}");
            Err(misconfigured(gateway, None, detail))
        }
        Some(false) => {
            let what = if calls { "call" } else { "send text messages" };
            let detail = format!("says that the sender cannot {what}; check {setting}");
            Err(misconfigured(gateway, None, detail))
        }
        Some(true) => Ok("the sender is a number of the account".to_owned()),
    }
}

/// Whether a service exists in the account: a messaging service, or one of Verify.
pub(super) fn service_state(
    gateway: GatewayName,
    setting: &str,
    response: &GatewayResponse,
) -> Result<String, GatewayError> {
    if response.status == StatusCode::NOT_FOUND {
        let detail = format!("has no such service in the account; check {setting}");
        return Err(misconfigured(gateway, error_code(response), detail));
    }
    created(gateway, response, |_| false).map(|_| "the service exists in the account".to_owned())
}

/// Reads the body of a success; `what` names it in an error.
fn read<T: DeserializeOwned>(
    gateway: GatewayName,
    response: &GatewayResponse,
    what: &str,
) -> Result<T, GatewayError> {
    if !response.status.is_success() {
        return Err(refused(gateway, response));
    }
    response.json().ok_or_else(|| unreadable(gateway, response, what))
}

fn misconfigured(gateway: GatewayName, code: Option<u32>, detail: String) -> GatewayError {
    Classification::of_the_gateway(Configuration).error(gateway, code, detail)
}

/// A success that does not say what it should: it is unknown what was done, and something else than Twilio may be in
/// its place.
pub(super) fn unreadable(gateway: GatewayName, response: &GatewayResponse, what: &str) -> GatewayError {
    let detail = format!("answered HTTP {} without a readable {what}", response.status.as_u16());
    Classification::of_the_gateway(Ambiguous).error(gateway, None, detail)
}

pub(super) fn refused(gateway: GatewayName, response: &GatewayResponse) -> GatewayError {
    let code = error_code(response);
    let (classification, words) = classify_code(code, response);
    let detail = match words {
        Some(words) => format!("answered HTTP {}: {words}", response.status.as_u16()),
        None => words_for_status(response, BASE_URL),
    };
    classification.error(gateway, code, detail)
}

pub(super) fn error_code(response: &GatewayResponse) -> Option<u32> {
    response.json().map(|error: ErrorAnswer| error.code)
}

/// The classification of an answer that is not a success, and what its code says in words of ours, if that is known.
///
/// A status of 500 and above leaves open how far the request came, whatever the body says, except for
/// 20429 ("too many requests"), which was never processed. Otherwise a code from the table decides, then the status.
fn classify_code(code: Option<u32>, response: &GatewayResponse) -> (Classification, Option<&'static str>) {
    let known = code.and_then(|code| known_code(CODES, code));
    let may_be_processed = response.status.as_u16() >= 500 && code != Some(TOO_MANY_REQUESTS);
    let classification = match known {
        Some((classification, _)) if !may_be_processed => classification.with_wait_of(response),
        _ => classify_status(response),
    };
    (classification, known.map(|(_, words)| words))
}

/// The class of a code that comes in a report about a message that was taken: it has surely not arrived. A code that
/// is not in the table says no more than that.
pub(super) fn class_of_report(code: u32) -> ErrorClass {
    known_code(CODES, code).map_or(ErrorClass::Refused, |(classification, _)| classification.class)
}

/// The class and the description of an error code.
pub fn describe_code(code: u32) -> Option<(ErrorClass, &'static str)> {
    known_code(CODES, code).map(|(classification, words)| (classification.class, words))
}

/// Surely not sent, and may work soon.
const SOON: ErrorClass = Retry { after: None };

/// The daily cap counts a rolling 24 hours; it is certain to have room after as long. Delivery asks earlier, because
/// room comes before.
const NEXT_DAY: ErrorClass = Retry { after: Some(Duration::from_secs(24 * 60 * 60)) };

/// The class of each error code, and its scope: one message or the account.
///
/// In doubt an error concerns its message only, or a caller could put a gateway out of service for all others. So
/// does what concerns one channel, for a gateway may serve others. Some further decisions are ours:
///
/// * 20404 concerns one message: a service that is not there meets all, but a language that Verify does not speak is
///   answered with it too, and the number's owner may choose that.
/// * 21202 is fraud: no person's own phone has a premium number, and calls to such are what fraudsters earn with.
/// * 21212, 21606 concern one message: whether a sender is valid can depend on the country.
/// * 30022, 30023, 30027 concern one message: the limits are those of a single carrier.
/// * 60200 ("invalid parameter") is a bad number, for no other parameter can be wrong that Verify does not have a
///   code of its own for.
/// * 60203 is refused and not to be tried again: the limit ends when the verification is checked or after ten
///   minutes, which no budget of a send and hardly a code's life outlasts. Another gateway or channel is not bound by
///   it.
#[rustfmt::skip]
const CODES: &CodeTable = &[
    (10_001, Classification::of_the_gateway(Configuration), "the account is not active; see the Twilio console"),
    (10_004, Classification::of_the_gateway(SOON), "too many calls at the same time"),
    (10_005, Classification::of_the_gateway(Configuration), "calls are switched off for the account; see the Twilio console"),
    (13_223, Classification::of_this_message(BadNumber), "the recipient is not a phone number"),
    (13_224, Classification::of_this_message(NotReachableHere), "the number cannot be called"),
    (13_225, Classification::of_this_message(Fraud), "calls to this number are blocked by the fraud protection"),
    (13_227, Classification::of_this_message(Configuration), "the country is not permitted; enable it under Geo Permissions"),
    (14_107, Classification::of_this_message(SOON), "too many messages between these two numbers"),
    (CREDENTIALS, Classification::of_the_gateway(Configuration), "the credentials were not accepted; check TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN"),
    (20_005, Classification::of_the_gateway(Configuration), "the account is not active; see the Twilio console"),
    (20_008, Classification::of_the_gateway(Configuration), "test credentials cannot be used for this; use the account's own"),
    (NOT_FOUND, Classification::of_this_message(Configuration), "there is no such resource; check TWILIO_ACCOUNT_SID and TWILIO_SERVICES_ID"),
    (TOO_MANY_REQUESTS, Classification::of_the_gateway(SOON), "too many requests"),
    (20_500, Classification::of_the_gateway(Ambiguous), "an internal error"),
    (20_503, Classification::of_the_gateway(Ambiguous), "the service is unavailable"),
    (21_202, Classification::of_this_message(Fraud), "the number is a premium number"),
    (21_203, Classification::of_this_message(Configuration), "calls to other countries are not enabled; see the Twilio console"),
    (21_205, Classification::of_the_gateway(Configuration), "a callback's address is not valid; check public-url"),
    (21_210, Classification::of_the_gateway(Configuration), "the number that calls is not the account's; check TWILIO_VOICE_NUMBER"),
    (21_211, Classification::of_this_message(BadNumber), "the recipient is not a phone number"),
    (21_212, Classification::of_this_message(Configuration), "the sender number is not valid; check TWILIO_PHONE_NUMBER"),
    (21_213, Classification::of_the_gateway(Configuration), "the number that calls is missing; set TWILIO_VOICE_NUMBER"),
    (21_214, Classification::of_this_message(NotReachableHere), "the number cannot be called"),
    (21_215, Classification::of_this_message(Configuration), "the country is not permitted; enable it under Geo Permissions"),
    (21_216, Classification::of_this_message(Fraud), "calls to this number are blocked"),
    (21_217, Classification::of_this_message(BadNumber), "the recipient is not a phone number"),
    (21_219, Classification::of_this_message(Configuration), "the account is a trial and this recipient is not one of its verified numbers; upgrade it or verify the number"),
    (21_401, Classification::of_this_message(BadNumber), "the recipient is not a phone number"),
    (21_408, Classification::of_this_message(Configuration), "the country is not permitted; enable it under Messaging Geo Permissions"),
    (21_421, Classification::of_this_message(BadNumber), "the recipient is not a phone number"),
    (21_601, Classification::of_the_gateway(Configuration), "the sender is not one of the account's numbers; check TWILIO_PHONE_NUMBER"),
    (21_603, Classification::of_the_gateway(Configuration), "a sender is missing; set TWILIO_PHONE_NUMBER or TWILIO_MESSAGING_SERVICE_SID"),
    (21_606, Classification::of_this_message(Configuration), "the sender cannot send such messages; check TWILIO_PHONE_NUMBER"),
    (21_608, Classification::of_this_message(Configuration), "the account is a trial and this recipient is not one of its verified numbers; upgrade it or verify the number"),
    (21_609, Classification::of_the_gateway(Configuration), "the callback's address is not valid; check public-url"),
    (21_610, Classification::of_this_message(OptedOut), "the recipient has sent STOP to this sender"),
    (21_611, Classification::of_the_gateway(SOON), "the sender's queue is full"),
    (21_612, Classification::of_this_message(NotReachableHere), "the recipient cannot be reached from this sender"),
    (21_614, Classification::of_this_message(NotReachableHere), "the recipient is not a mobile number"),
    (21_635, Classification::of_this_message(NotReachableHere), "the recipient is a landline"),
    (21_655, Classification::of_this_message(Configuration), "the template is not valid; check whatsapp-content-sid"),
    (21_656, Classification::of_this_message(Configuration), "the template does not take the code as its first variable; check whatsapp-content-sid"),
    (21_661, Classification::of_the_gateway(Configuration), "the sender cannot send messages; check TWILIO_PHONE_NUMBER"),
    (21_701, Classification::of_the_gateway(Configuration), "the messaging service does not exist; check TWILIO_MESSAGING_SERVICE_SID"),
    (21_703, Classification::of_the_gateway(Configuration), "the messaging service has no sender"),
    (21_704, Classification::of_the_gateway(Configuration), "the messaging service has no sender"),
    (21_705, Classification::of_the_gateway(Configuration), "the messaging service is not valid; check TWILIO_MESSAGING_SERVICE_SID"),
    (25_109, Classification::of_the_gateway(SOON), "too many requests"),
    (30_001, Classification::of_the_gateway(SOON), "the queue is full"),
    (SUSPENDED, Classification::of_the_gateway(Configuration), "the account is suspended; see the Twilio console"),
    (30_003, Classification::of_this_message(Refused), "the handset is unreachable"),
    (30_004, Classification::of_this_message(Refused), "the message is blocked"),
    (30_005, Classification::of_this_message(BadNumber), "the recipient is unknown"),
    (30_006, Classification::of_this_message(NotReachableHere), "the recipient is a landline or its carrier is unreachable"),
    (30_007, Classification::of_this_message(Refused), "the message is filtered"),
    (30_008, Classification::of_this_message(Refused), "an unknown error"),
    (30_018, Classification::of_this_message(Configuration), "the destination country asks for a registered sender"),
    (30_022, Classification::of_this_message(SOON), "the sender's rate limit is reached"),
    (30_023, Classification::of_this_message(SOON), "the sender's daily cap is reached"),
    (30_024, Classification::of_this_message(Configuration), "the sender is not provisioned for this destination"),
    (30_027, Classification::of_this_message(SOON), "the carrier's daily cap is reached"),
    (30_034, Classification::of_this_message(Configuration), "the sender is not registered for A2P 10DLC"),
    (30_035, Classification::of_this_message(Configuration), "the sender's A2P 10DLC registration is not finished"),
    (30_450, Classification::of_this_message(Fraud), "the SMS pumping protection blocked it"),
    (60_200, Classification::of_this_message(BadNumber), "the number was not accepted"),
    (CHECKS_USED_UP, Classification::of_this_message(Refused), "too many wrong codes for this verification"),
    (60_203, Classification::of_this_message(Refused), "too many codes were sent to this number within ten minutes"),
    (60_204, Classification::of_this_message(Configuration), "the Verify service does not support this"),
    (60_205, Classification::of_this_message(NotReachableHere), "the recipient is a landline"),
    (60_212, Classification::of_this_message(SOON), "another code is being sent to this number"),
    (60_217, Classification::of_the_gateway(Configuration), "the Verify service is not set up; see the Twilio console"),
    (60_220, Classification::of_this_message(Configuration), "messages to China have to be approved; see the Twilio console"),
    (60_223, Classification::of_this_message(Configuration), "the channel is switched off in the Verify service"),
    (60_238, Classification::of_this_message(Configuration), "Twilio blocks verifications for this country or account; see the Twilio console"),
    (60_410, Classification::of_this_message(Fraud), "the fraud protection blocked the number's prefix"),
    (60_412, Classification::of_this_message(Fraud), "the fraud protection blocked the number"),
    (60_436, Classification::of_this_message(BadNumber), "the recipient is not a phone number"),
    (60_605, Classification::of_this_message(Configuration), "the country is not permitted; enable it under Verify Geo Permissions"),
    (63_001, Classification::of_this_message(Configuration), "the WhatsApp sender could not be authenticated; see the Twilio console"),
    (63_003, Classification::of_this_message(NotReachableHere), "the recipient has no such WhatsApp address"),
    (63_007, Classification::of_this_message(Configuration), "there is no such WhatsApp sender; check TWILIO_WHATSAPP_NUMBER"),
    (63_013, Classification::of_this_message(Refused), "the message breaks a rule of WhatsApp's"),
    (63_015, Classification::of_this_message(Configuration), "the WhatsApp sandbox reaches only people who have joined it"),
    (63_016, Classification::of_this_message(Configuration), "outside the WhatsApp window only an approved template can be sent"),
    (63_018, Classification::of_this_message(SOON), "the WhatsApp sender's rate limit is reached"),
    (63_024, Classification::of_this_message(NotReachableHere), "the recipient has no such WhatsApp address"),
    (63_027, Classification::of_this_message(Configuration), "the template does not exist in this language; check whatsapp-content-sid"),
    (63_028, Classification::of_this_message(Configuration), "the template takes another number of variables; check whatsapp-content-sid"),
    (63_032, Classification::of_this_message(Refused), "WhatsApp does not deliver to this recipient just now"),
    (63_038, Classification::of_the_gateway(NEXT_DAY), "the account's daily cap is reached"),
    (63_049, Classification::of_this_message(Refused), "WhatsApp chose not to deliver it"),
];

#[cfg(test)]
mod tests;
