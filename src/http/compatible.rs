//! The routes for clients of older servers: `docs/reference/otp-api.md`. The Redis version's `/api/send-otp` and
//! `/api/verify-otp`, and the tutorial's `/send-code` and `/verify-code`.
//!
//! A body is one JSON object in UTF-8. Unknown fields are ignored, whatever they hold. A field that is given twice makes the
//! body ambiguous, which is a bad body: a proxy in front could have read the other one.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use tracing::{debug, info};
use utoipa::{PartialSchema, ToSchema};

use super::answer::Answer;
use super::answers::{api_check, api_send, tutorial_check, tutorial_send};
use super::deps::Verify;
use super::problem::{BadBody, Problem};
use super::service::Call;
use super::v2::params::Param;
use crate::domain::{Channel, Code, Locale, PhoneNumber, Region, ServiceId};
use crate::numbers::{CheckOutcome, CheckRequest, Refusal, Reply, SendOutcome, SendRequest};
use crate::template::{AppHash, MessageStyle, Wording};

/// The body of `POST /api/send-otp`. Go programs that marshal a struct without tags spell its fields with capitals, and the
/// Redis version, which reads names in any case, understood them.
#[derive(Deserialize, ToSchema)]
pub struct SendOtp<'a> {
    /// The number, in E.164 form.
    #[serde(borrow, rename = "phoneNumber", alias = "PhoneNumber", alias = "phonenumber")]
    #[schema(value_type = String, min_length = 1, max_length = 40, example = "+14155552671")]
    phone_number: Cow<'a, str>,
    /// How the code goes there: sms, call or whatsapp.
    #[serde(alias = "Channel")]
    #[schema(pattern = "^(sms|call|whatsapp)$", example = "sms")]
    channel: Option<String>,
    /// The language of the message.
    #[serde(alias = "Locale")]
    #[schema(pattern = "^([A-Za-z]{2,3}([-_][A-Za-z]{4})?([-_]([A-Za-z]{2}|[0-9]{3}))?)$", example = "de")]
    locale: Option<String>,
    /// The hash of the Android app.
    #[serde(rename = "appHash", alias = "AppHash", alias = "apphash")]
    #[schema(pattern = "^[A-Za-z0-9+/]{11}$", example = "FA+9qCX9VSu")]
    app_hash: Option<String>,
}

/// The body of `POST /send-code`.
#[derive(Deserialize, ToSchema)]
pub struct SendCode<'a> {
    /// The number, in E.164 form.
    #[serde(borrow, rename = "phoneNumber")]
    #[schema(value_type = String, min_length = 1, max_length = 40, example = "+14155552671")]
    phone_number: Cow<'a, str>,
    /// How the code goes there: sms, call or whatsapp.
    #[schema(pattern = "^(sms|call|whatsapp)$", example = "sms")]
    channel: Option<String>,
    /// The language of the message.
    #[schema(pattern = "^([A-Za-z]{2,3}([-_][A-Za-z]{4})?([-_]([A-Za-z]{2}|[0-9]{3}))?)$", example = "de")]
    locale: Option<String>,
    /// The hash of the Android app.
    #[serde(rename = "appHash")]
    #[schema(pattern = "^[A-Za-z0-9+/]{11}$", example = "FA+9qCX9VSu")]
    app_hash: Option<String>,
}

/// The body of `POST /api/verify-otp`.
#[derive(Deserialize, ToSchema)]
pub struct VerifyOtp<'a> {
    #[serde(borrow, alias = "User")]
    #[schema(inline, value_type = User<'static>)]
    user: JsonObject<User<'a>>,
    /// What was submitted.
    #[serde(borrow, alias = "Code")]
    #[schema(value_type = String, pattern = r"^[\s\S]+$", example = "123456")]
    code: Cow<'a, str>,
}

/// Whose code it is.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({ "phoneNumber": "+14155552671" }))]
struct User<'a> {
    #[serde(borrow, rename = "phoneNumber", alias = "PhoneNumber", alias = "phonenumber")]
    #[schema(value_type = String)]
    phone_number: Cow<'a, str>,
}

/// The body of `POST /verify-code`.
#[derive(Deserialize, ToSchema)]
pub struct VerifyCode<'a> {
    /// The number, in E.164 form.
    #[serde(borrow, rename = "phoneNumber")]
    #[schema(value_type = String, min_length = 1, max_length = 40, example = "+14155552671")]
    phone_number: Cow<'a, str>,
    /// What was submitted.
    #[serde(borrow, rename = "smsCode")]
    #[schema(value_type = String, pattern = r"^[\s\S]+$", example = "123456")]
    sms_code: Cow<'a, str>,
}

pub fn describe<T: PartialSchema>() -> Vec<Param> {
    Param::of_object(T::schema())
}

/// `POST /api/send-otp`: sends a code and waits until the provider has taken it.
pub async fn send_otp<V: Verify>(call: &Call<'_, V>, body: &[u8]) -> Result<Answer, Problem> {
    let request = read_send_otp(body, call.deps.default_region, &call.deps.channels)?;
    let number = request.number;
    let reply = call.send(request).await?;
    Ok(api_send(call.deps.answers, &reply, number))
}

/// Reads the body of `POST /api/send-otp`. `channels` are those that may be asked for.
#[doc(hidden)]
pub fn read_send_otp(
    body: &[u8],
    region: Option<Region>,
    channels: &[Channel],
) -> Result<SendRequest, Problem> {
    let SendOtp { phone_number, channel, locale, app_hash } = read(body)?;
    let number = number(&phone_number, region)?;
    let (channel, style) = wishes((channel, locale, app_hash), channels, Wording::Api)?;
    Ok(SendRequest { service: ServiceId::DEFAULT, number, options: None, channel, style, verification: None })
}

/// `POST /send-code`: sends a code with the tutorial's life, length and text.
pub async fn send_code<V: Verify>(call: &Call<'_, V>, body: &[u8]) -> Result<Answer, Problem> {
    let SendCode { phone_number, channel, locale, app_hash } = read(body)?;
    let number = number(&phone_number, call.deps.default_region)?;
    let (channel, style) = wishes((channel, locale, app_hash), &call.deps.channels, Wording::Tutorial)?;
    let options = Some(call.deps.tutorial_code);
    let request =
        SendRequest { service: ServiceId::DEFAULT, number, options, channel, style, verification: None };
    let reply = call.send(request).await?;
    Ok(tutorial_send(&reply))
}

/// `POST /api/verify-otp`: checks a code.
pub async fn verify_otp<V: Verify>(call: &Call<'_, V>, body: &[u8]) -> Result<Answer, Problem> {
    let request = read_verify_otp(body, call.deps.default_region)?;
    let number = request.number;
    let reply = call.check(request).await?;
    Ok(api_check(call.deps.answers, &reply, number, call.deps.lockout))
}

/// Reads the body of `POST /api/verify-otp`.
#[doc(hidden)]
pub fn read_verify_otp(body: &[u8], region: Option<Region>) -> Result<CheckRequest, Problem> {
    let VerifyOtp { user: JsonObject(user), code } = read(body)?;
    check_request(&user.phone_number, region, &code)
}

/// `POST /verify-code`: checks a code.
pub async fn verify_code<V: Verify>(call: &Call<'_, V>, body: &[u8]) -> Result<Answer, Problem> {
    let VerifyCode { phone_number, sms_code } = read(body)?;
    let request = check_request(&phone_number, call.deps.default_region, &sms_code)?;
    let reply = call.check(request).await?;
    Ok(tutorial_check(&reply))
}

/// An empty code is a bad body; a text that cannot be a code is a wrong code.
fn check_request(phone_number: &str, region: Option<Region>, code: &str) -> Result<CheckRequest, Problem> {
    let number = number(phone_number, region)?;
    if code.is_empty() {
        return Err(Problem::BadBody(BadBody::EmptyCode));
    }
    let code = Code::parse(code);
    Ok(CheckRequest { service: ServiceId::DEFAULT, number, code, named: None, is_test: false })
}

/// Reads what a send may ask for beside the number: channel, locale and hash of an app. An unknown one is a bad body: the
/// caller would not notice that the message differs from what was asked for.
fn wishes(
    (channel, locale, app_hash): (Option<String>, Option<String>, Option<String>),
    served: &[Channel],
    wording: Wording,
) -> Result<(Option<Channel>, MessageStyle), Problem> {
    fn known<T>(
        text: Option<String>,
        parse: impl Fn(&str) -> Option<T>,
        otherwise: BadBody,
    ) -> Result<Option<T>, Problem> {
        text.map(|text| parse(&text).ok_or(Problem::BadBody(otherwise))).transpose()
    }

    let channel = known(channel, Channel::parse, BadBody::Channel)?;
    if let Some(channel) = channel.filter(|channel| !served.contains(channel)) {
        return Err(Problem::BadBody(BadBody::ChannelNotServed(channel.as_str())));
    }
    let locale = known(locale, Locale::parse, BadBody::Locale)?;
    let app_hash = known(app_hash, AppHash::parse, BadBody::AppHash)?;
    Ok((channel, MessageStyle { wording, locale, app_hash, send_digits: None }))
}

fn number(text: &str, default_region: Option<Region>) -> Result<PhoneNumber, Problem> {
    PhoneNumber::parse(text, default_region).map_err(|error| Problem::BadBody(BadBody::Number(error)))
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Problem> {
    // Checked for the whole body: the parser does not look into the strings that it ignores.
    let text = std::str::from_utf8(body).map_err(|_| Problem::BadBody(BadBody::NotUtf8))?;
    let JsonObject(fields) = serde_json::from_str(text).map_err(|error| Problem::BadBody(error.into()))?;
    Ok(fields)
}

/// A JSON object that holds a `T`. Serde's derived structs take an array of the fields' values as well, which is no
/// spelling of the contract.
struct JsonObject<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for JsonObject<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = JsonObject<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(JsonObject)
            }
        }

        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

impl<V: Verify> Call<'_, V> {
    /// Sends, and logs the outcome.
    pub async fn send(&self, request: SendRequest) -> Result<Reply<SendOutcome>, Problem> {
        let number = request.number;
        let reply = self.deps.verifier.send(request).await;
        log_send(self.request_id, number, reply.as_ref().map(|reply| &reply.outcome));
        reply.map_err(Problem::Refused)
    }

    /// Checks, and logs the outcome.
    pub async fn check(&self, request: CheckRequest) -> Result<Reply<CheckOutcome>, Problem> {
        let number = request.number;
        let reply = self.deps.verifier.check(request).await;
        log_check(self.request_id, number, reply.as_ref().map(|reply| reply.outcome));
        reply.map_err(Problem::Refused)
    }
}

/// Logs a failed send at info level: the request id that a user reports leads to the number, and the number to the line
/// about the gateway, which is written by a task that knows no request.
fn log_send(request_id: &str, number: PhoneNumber, outcome: Result<&SendOutcome, &Refusal>) {
    match outcome {
        Ok(SendOutcome::Sent { postponed: true, .. }) => {
            debug!(request_id, %number, outcome = "postponed", "no gateway took the message yet; it is tried again");
        }
        Ok(SendOutcome::Sent { message_id, .. }) => {
            debug!(request_id, %number, outcome = "sent", message_id, "the provider accepted the message");
        }
        Ok(SendOutcome::Locked { .. }) => {
            debug!(request_id, %number, outcome = "locked", "the code was not sent");
        }
        Ok(SendOutcome::Limited(_)) => {
            debug!(request_id, %number, outcome = "limited", "the code was not sent");
        }
        Ok(SendOutcome::NumberRefused) => {
            info!(request_id, %number, outcome = "number-refused", "the code was not sent");
        }
        Ok(SendOutcome::GatewayFailed) => {
            info!(request_id, %number, outcome = "gateway-failed", "the code was not sent, as far as is known");
        }
        Err(refusal) => debug!(request_id, %number, outcome = %refusal, "the code was not sent"),
    }
}

/// Logs a new lockout at info level: many of them are a sign of guessing.
fn log_check(request_id: &str, number: PhoneNumber, outcome: Result<CheckOutcome, &Refusal>) {
    match outcome {
        Ok(CheckOutcome::Approved) => debug!(request_id, %number, outcome = "approved", "code checked"),
        Ok(CheckOutcome::Wrong { attempts_left, live }) => {
            debug!(request_id, %number, outcome = "wrong", attempts_left, live, "code checked");
        }
        Ok(CheckOutcome::LockedNow { live, .. }) => {
            info!(request_id, %number, outcome = "locked-now", live, "locked out after too many wrong codes");
        }
        Ok(CheckOutcome::Locked { .. }) => {
            debug!(request_id, %number, outcome = "locked", "code not looked at");
        }
        Ok(CheckOutcome::NoChecksLeft { .. } | CheckOutcome::NotFound) => {
            debug!(request_id, %number, outcome = "limited", "code not looked at");
        }
        Ok(CheckOutcome::GatewayFailed) => {
            info!(request_id, %number, outcome = "gateway-failed", "the provider did not check the code");
        }
        Err(refusal) => debug!(request_id, %number, outcome = %refusal, "code not looked at"),
    }
}
