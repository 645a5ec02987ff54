//! The routes for clients of older servers: `docs/reference/otp-api.md`. The Redis version's `/api/send-otp` and
//! `/api/verify-otp`, and the tutorial's `/send-code` and `/verify-code`.
//!
//! A body is one JSON object in UTF-8. Unknown fields are ignored, whatever they hold. A field that is given twice
//! makes the body ambiguous, which is a bad body: a proxy in front could have read the other one.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use axum::response::Response;
use hyper::StatusCode;
use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, Unexpected, Visitor};
use serde::ser::{SerializeMap as _, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tracing::{debug, info};
use zeroize::Zeroizing;

use super::call::{Call, Origin};
use super::error::{BadBody, Error};
use super::group::Group;
use super::openapi::{Content, Doc, Routes, properties};
use super::response::{self, Envelope, ErrorFormat, Message, NotServed, ResponseExt as _};
use super::values;
use crate::config::AnswerSet;
use crate::domain::{
    Channel, Code, CodeLength, Locale, PhoneNumber, Region, ServiceId, Timestamp, minutes_up, seconds_up,
};
use crate::limits::guard::{ClientNet, ClientSignals, Exemption, GuardRefusal, Rule};
use crate::template::{AppHash, MessageStyle, Wording};
use crate::verification::numbers::{
    Check, CheckOutcome, Failure, NumberKey, Outgoing, Refusal, Reply, SendOptions, SendOutcome,
};

/// The body of `POST /api/send-otp` and of `POST /send-code`. Go programs that marshal a struct without tags spell its
/// fields with capitals, and the Redis version, which reads names in any case, understood them. It did not know the
/// options: a value that cannot be understood is ignored.
#[derive(Deserialize, JsonSchema)]
struct SendBody<'a> {
    /// The number, in E.164 form.
    #[serde(borrow, rename = "phoneNumber", alias = "PhoneNumber", alias = "phonenumber")]
    #[schemars(with = "values::Text<40>", example = &NUMBER)]
    phone_number: Cow<'a, str>,
    /// The channel that delivers the code.
    #[serde(default, alias = "Channel", deserialize_with = "string_or_none")]
    #[schemars(with = "Value", example = &"sms")]
    channel: Option<String>,
    /// The language of the message.
    #[serde(default, alias = "Locale", deserialize_with = "string_or_none")]
    #[schemars(with = "Value", example = &"de")]
    locale: Option<String>,
    /// The hash of the Android app.
    #[serde(rename = "appHash", alias = "AppHash", alias = "apphash")]
    #[serde(default, deserialize_with = "string_or_none")]
    #[schemars(with = "Value", example = &"FA+9qCX9VSu")]
    app_hash: Option<String>,
}

/// The body of `POST /api/verify-otp`.
#[derive(Deserialize, JsonSchema)]
struct VerifyOtp<'a> {
    #[serde(borrow, alias = "User")]
    #[schemars(with = "User<'a>", example = json!({ "phoneNumber": NUMBER }))]
    user: JsonObject<User<'a>>,
    /// The submitted code.
    #[serde(borrow, alias = "Code")]
    #[schemars(with = "AnyCode", example = &"123456")]
    code: Cow<'a, str>,
}

// A longer text does not fit into a body.
type AnyCode = values::Text<16_384>;

#[derive(Deserialize, JsonSchema)]
struct User<'a> {
    /// The number, in E.164 form.
    #[serde(borrow, rename = "phoneNumber", alias = "PhoneNumber", alias = "phonenumber")]
    #[schemars(with = "values::Text<40>", example = &NUMBER, extend("minLength" = 1))]
    phone_number: Cow<'a, str>,
}

/// The body of `POST /verify-code`.
#[derive(Deserialize, JsonSchema)]
struct VerifyCode<'a> {
    /// The number, in E.164 form.
    #[serde(borrow, rename = "phoneNumber")]
    #[schemars(with = "values::Text<40>", example = &NUMBER)]
    phone_number: Cow<'a, str>,
    /// The submitted code.
    #[serde(rename = "smsCode", deserialize_with = "text_or_number")]
    #[schemars(with = "AnyCode", example = &"123456")]
    sms_code: SmsCode,
}

/// A code as a client of the tutorial sends it: its server compared with `==`, to which 123456 and "123456" are equal.
struct SmsCode {
    text: Zeroizing<String>,
    is_number: bool,
}

const NUMBER: &str = "+14155552671";

/// `POST /api/send-otp`: sends a code and waits until the provider has taken it.
async fn send_otp(call: Call) -> Result<Response, Error> {
    let (reply, number) = send(&call, Wording::Api, None).await?;
    Ok(api_send(call.app.settings.answers, &reply, number))
}

/// Life and length of the tutorial's codes: 600 s, six digits.
const TUTORIAL_CODE: SendOptions = SendOptions::DEFAULT;

/// `POST /send-code`: sends a code with the tutorial's life, length and text.
async fn send_code(call: Call) -> Result<Response, Error> {
    let (reply, number) = send(&call, Wording::Tutorial, Some(TUTORIAL_CODE)).await?;
    Ok(tutorial_send(&reply, number))
}

/// Sends a code as the body asks for it. Returns the number as it is spelled, too.
async fn send(
    call: &Call,
    wording: Wording,
    options: Option<SendOptions>,
) -> Result<(Reply<SendOutcome>, PhoneNumber), Error> {
    let body: SendBody<'_> = read(&call.body)?;
    // The older servers did not know the options. One that cannot be understood may be a client's own, and is ignored.
    let channel = body.channel.as_deref().and_then(Channel::parse);
    if let Some(channel) = channel.filter(|channel| !call.app.channels.contains(channel)) {
        return Err(Error::body(BadBody::ChannelNotServed(channel.as_str())));
    }
    let locale = body.locale.as_deref().and_then(Locale::parse);
    let app_hash = body.app_hash.as_deref().and_then(AppHash::parse);
    let style = MessageStyle { wording, locale, app_hash, send_digits: None, sender_name: None };
    let (number, spelled) = number(&body.phone_number, call.app.settings.storage.default_region)?;
    let reply = call.send(Outgoing { channel, style, options, ..plain_send(number) }).await?;
    Ok((reply, spelled))
}

/// A send as `POST /api/send-otp` asks for it without options.
pub fn plain_send(number: PhoneNumber) -> Outgoing {
    Outgoing::new(NumberKey::new(ServiceId::DEFAULT, number))
}

/// `POST /api/verify-otp`: checks a code.
async fn verify_otp(call: Call) -> Result<Response, Error> {
    let VerifyOtp { user: JsonObject(user), code } = read(&call.body)?;
    let (request, number) = check_request(&call, &user.phone_number, &code, None)?;
    let reply = call.check(request).await?;
    Ok(api_check(call.app.settings.answers, &reply, number, call.app.settings.policy.lockout_time()))
}

const CODE_IS_NUMBER: &str = "smsCode must be a text, such as \"012345\": a number loses its leading zeros";

/// `POST /verify-code`: checks a code.
async fn verify_code(call: Call) -> Result<Response, Error> {
    let VerifyCode { phone_number, sms_code: SmsCode { text: code, is_number } } = read(&call.body)?;
    if is_number && code.len() < usize::from(TUTORIAL_CODE.length.get()) {
        let answer = response::message(StatusCode::BAD_REQUEST, CODE_IS_NUMBER);
        return Ok(answer.because(NotServed::Invalid).explained(CODE_IS_NUMBER));
    }
    let (request, _) = check_request(&call, &phone_number, &code, Some(TUTORIAL_CODE.length))?;
    let reply = call.check(request).await?;
    Ok(tutorial_check(&reply))
}

/// An empty code is a bad body; a text that holds no code is wrong, and does not count.
fn check_request(
    call: &Call,
    phone_number: &str,
    code: &str,
    length: Option<CodeLength>,
) -> Result<(Check, PhoneNumber), Error> {
    let (number, spelled) = number(phone_number, call.app.settings.storage.default_region)?;
    if code.is_empty() {
        return Err(Error::body(BadBody::EmptyCode));
    }
    let key = NumberKey::new(ServiceId::DEFAULT, number);
    Ok((Check::new(key, call.submitted(code, length)), spelled))
}

/// A string; `None` for any other value.
fn string_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => Some(text),
        _ => None,
    })
}

/// A text, or a whole number that is written as one.
fn text_or_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SmsCode, D::Error> {
    let (text, is_number) = match Value::deserialize(deserializer)? {
        Value::String(text) => (text, false),
        Value::Number(number) if number.is_u64() => (number.to_string(), true),
        _ => return Err(de::Error::invalid_type(Unexpected::Other("another type"), &"a string")),
    };
    Ok(SmsCode { text: Zeroizing::new(text), is_number })
}

/// The number, and as it is spelled.
fn number(text: &str, region: Option<Region>) -> Result<(PhoneNumber, PhoneNumber), Error> {
    PhoneNumber::parse_with_spelling(text, region).map_err(|error| Error::body(BadBody::Number(error)))
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Error> {
    // Checked for the whole body: the parser does not look into the strings that it ignores.
    let text = std::str::from_utf8(body).map_err(|_| Error::body(BadBody::NotUtf8))?;
    let JsonObject(fields) = serde_json::from_str(text).map_err(|error| Error::body(error.into()))?;
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

impl Origin {
    /// A code of the default service in a text that a person typed or pasted. The tutorial's codes have a length of their
    /// own.
    pub fn submitted(&self, text: &str, length: Option<CodeLength>) -> Option<Code> {
        let default = self.app.running().ok().map(|running| running.registry.default_service());
        let settings = default.map(|service| (service.settings.code_length, service.settings.custom_code));
        let (of_service, may_have_letters) = settings.unwrap_or((CodeLength::SIX, false));
        Code::submitted(text, length.unwrap_or(of_service), may_have_letters)
    }

    pub async fn send(&self, mut outgoing: Outgoing) -> Result<Reply<SendOutcome>, Error> {
        let number = outgoing.key.number;
        let exemption = if self.is_trusted { Exemption::Allowances } else { Exemption::None };
        outgoing.client =
            ClientSignals { network: self.client.map(ClientNet::from), exemption, ..outgoing.client };
        outgoing.request_id = Some(self.traced_id());
        let reply = match self.app.running() {
            Ok(running) => running.verifying.send_for_default_service(Box::new(outgoing)).await,
            Err(starting) => Err(starting),
        };
        let is_out_of_service = |reply: &Reply<SendOutcome>| {
            matches!(reply.reason, Some(Failure::OutOfService { .. })) && !reply.may_have_been_sent
        };
        if reply.as_ref().is_ok_and(is_out_of_service) {
            self.log_out_of_service();
            debug!(request_id = self.request_id(), %number, outcome = "out-of-service", "code not sent");
        } else {
            log_send(self.request_id(), number, reply.as_ref().map(|reply| &reply.outcome));
        }
        reply.map_err(Error::from)
    }

    pub async fn check(&self, mut check: Check) -> Result<Reply<CheckOutcome>, Error> {
        let number = check.key.number;
        check.request_id = Some(self.traced_id());
        let reply = match self.app.running() {
            Ok(running) => running.verifying.check_for_default_service(check).await,
            Err(starting) => Err(starting),
        };
        log_check(self.request_id(), number, reply.as_ref().map(|reply| reply.outcome));
        reply.map_err(Error::from)
    }
}

/// Logs a failed send at info level. The lines of the gateway, which has the provider's id, and of the guard have the same
/// request id.
fn log_send(request_id: &str, number: PhoneNumber, outcome: Result<&SendOutcome, &Refusal>) {
    const NOT_SENT: &str = "code not sent";
    let (outcome, words) = match outcome {
        Ok(SendOutcome::Sent { postponed: true, .. }) => {
            ("postponed", "code not sent yet, retried in the background")
        }
        Ok(SendOutcome::Sent { .. }) => ("sent", "code sent"),
        Ok(SendOutcome::NumberRefused) => ("number-refused", NOT_SENT),
        Ok(SendOutcome::GatewayFailed) => ("gateway-failed", "code not sent, as far as is known"),
        Ok(SendOutcome::Locked { .. }) => ("locked", NOT_SENT),
        Ok(SendOutcome::Limited(_)) => ("limited", NOT_SENT),
        Ok(SendOutcome::GuardRefused(_)) => ("refused-by-guard", NOT_SENT),
        Err(refusal) => (refusal.name(), NOT_SENT),
    };
    if matches!(outcome, "number-refused" | "gateway-failed") {
        return info!(request_id, %number, outcome, "{words}");
    }
    debug!(request_id, %number, outcome, "{words}");
}

/// Logs a new lockout at info level: many of them are a sign of guessing.
fn log_check(request_id: &str, number: PhoneNumber, outcome: Result<CheckOutcome, &Refusal>) {
    const NOT_CHECKED: &str = "code not checked";
    let (outcome, words) = match outcome {
        Ok(CheckOutcome::Approved) => ("approved", "code checked"),
        Ok(CheckOutcome::Wrong { .. }) => ("wrong", "code checked"),
        Ok(CheckOutcome::LockedNow { live, .. }) => {
            let outcome = "locked-now";
            return info!(request_id, %number, outcome, live, "number locked out after too many wrong codes");
        }
        Ok(CheckOutcome::GatewayFailed) => {
            let outcome = "gateway-failed";
            return info!(request_id, %number, outcome, "code not checked by the provider");
        }
        Ok(CheckOutcome::Locked { .. }) => ("locked", NOT_CHECKED),
        Ok(CheckOutcome::NoChecksLeft { .. } | CheckOutcome::NotFound) => ("limited", NOT_CHECKED),
        Err(refusal) => (refusal.name(), NOT_CHECKED),
    };
    debug!(request_id, %number, outcome, "{words}");
}

/// The answer of the compatible routes when a verification that `/v2` began for the same number has no message or no
/// check left. They have no words for such limits.
fn limited(form: ErrorFormat) -> Response {
    Error::from(Refusal::NumberBusy).answer(form)
}

/// The answer of `/api/send-otp`: as the Redis version's README documents it, or byte for byte as its code answers.
/// Spelling and spacing are meant to be like this.
fn api_send(set: AnswerSet, reply: &Reply<SendOutcome>, number: PhoneNumber) -> Response {
    match reply.outcome {
        SendOutcome::Sent { attempts_left, message_id: _, postponed: _ } => {
            let message = match set {
                AnswerSet::Documented => "OTP send successfully.",
                AnswerSet::AsBuilt => "Successfully send OTP message",
            };
            api(StatusCode::OK, message, &Data(number, &[(TRIALS, attempts_left.into())]))
        }
        SendOutcome::Locked { until } => api_lock(set, number, until.since(reply.at)),
        SendOutcome::Limited(_) => limited(ErrorFormat::Envelope),
        SendOutcome::NumberRefused | SendOutcome::GuardRefused(GuardRefusal { rule: Rule::Landline, .. }) => {
            let why = number_refused(reply, number);
            response::plain(StatusCode::BAD_REQUEST, "Invalid request body").explained(&why)
        }
        SendOutcome::GuardRefused(refusal) => guard_refused(refusal, reply.at, number),
        SendOutcome::GatewayFailed => retry_at_probe(gateway_failed(), reply),
    }
}

/// The answer of `/api/verify-otp`. `lockout` is the length of a new one.
fn api_check(
    set: AnswerSet,
    reply: &Reply<CheckOutcome>,
    number: PhoneNumber,
    lockout: Duration,
) -> Response {
    const AS_BUILT: StatusCode = StatusCode::INTERNAL_SERVER_ERROR;
    match (reply.outcome, set) {
        (CheckOutcome::Approved, _) => {
            let message = match set {
                AnswerSet::Documented => "OTP verified successfully.",
                AnswerSet::AsBuilt => "Successfully verified user",
            };
            response::envelope(StatusCode::OK, 200, message, Some(number.e164()))
        }
        (CheckOutcome::Wrong { attempts_left, live: _ }, AnswerSet::Documented) => {
            let data = Data(number, &[(TRIALS, attempts_left.into())]);
            api(StatusCode::UNAUTHORIZED, "Incorrect OTP/ OTP Expired", &data)
        }
        (CheckOutcome::Wrong { attempts_left, live }, AnswerSet::AsBuilt) => {
            let message = if live { "Incorrect OTP, Try Again" } else { "OTP Expired, Try Again" };
            response::envelope(AS_BUILT, 401, message, Some(Data(number, &[(TRIALS, attempts_left.into())])))
        }
        (CheckOutcome::LockedNow { until: _, live }, AnswerSet::AsBuilt) => {
            let minutes = minutes_up(lockout);
            let beginning = if live {
                "Incorrect OTP and Max Limit Reached"
            } else {
                "OTP Expired and Max Limit Reached,"
            };
            let message = format!("{beginning} Try after {minutes} min");
            response::envelope(AS_BUILT, 403, &message, Some(Data(number, &[(TTL, minutes)])))
        }
        (CheckOutcome::LockedNow { until, live: _ } | CheckOutcome::Locked { until }, _) => {
            api_lock(set, number, until.since(reply.at))
        }
        (CheckOutcome::NoChecksLeft { .. } | CheckOutcome::NotFound, _) => limited(ErrorFormat::Envelope),
        (CheckOutcome::GatewayFailed, _) => gateway_failed(),
    }
}

/// Adds the time of the next probe, if the circuit of every gateway is open.
fn retry_at_probe(answer: Response, reply: &Reply<SendOutcome>) -> Response {
    match reply.reason {
        Some(Failure::OutOfService { until }) => answer.retry_after(seconds_up(until.since(reply.at))),
        _ => answer,
    }
}

fn gateway_failed() -> Response {
    response::plain(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error occurred.")
}

/// The answer of a number that is locked out. As documented, both fields are the minutes until it may ask again: the
/// contract says so, whatever the second one's name suggests. As built, Redis rounds a time to live to the second, and the
/// Go code rounds the seconds down to minutes.
fn api_lock(set: AnswerSet, number: PhoneNumber, remaining: Duration) -> Response {
    if set == AnswerSet::Documented {
        let minutes = minutes_up(remaining);
        let data = Data(number, &[(TTL, minutes), (LOCKOUT_DURATION, minutes)]);
        return api(StatusCode::FORBIDDEN, "User locked out due to exceeding maximum attempts.", &data);
    }
    let minutes = u64::try_from((remaining.as_millis() + 500) / 60_000).unwrap_or(u64::MAX);
    let message = format!("User is prohibted to make any OTP request, Try after {minutes} minutes");
    let ttl = [(TTL, minutes)];
    api(StatusCode::FORBIDDEN, &message, &Data(number, if minutes > 0 { &ttl } else { &[] }))
}

/// A response of the `/api/*` routes whose code is its status.
fn api(status: StatusCode, message: &str, data: &Data<'_>) -> Response {
    response::envelope(status, status.as_u16(), message, Some(data))
}

/// The pumping guard refuses the message. A client that knows only lockouts shows the minutes of `data`.
fn guard_refused(refusal: GuardRefusal, now: Timestamp, number: PhoneNumber) -> Response {
    let minutes = minutes_up(refusal.until.map_or(NEVER, |until| until.since(now)));
    let lockout = [(TTL, minutes), (LOCKOUT_DURATION, minutes)];
    let data = (refusal.rule != Rule::Budget).then_some(Data(number, &lockout));
    refused_by_guard(refusal, now, |status, message| {
        response::envelope(status, status.as_u16(), message, data)
    })
}

/// The wait that a client is told for a number or country that gets no messages.
const NEVER: Duration = Duration::from_secs(24 * 60 * 60);

/// The pumping guard refuses the message. Its reason is for the operator.
fn refused_by_guard(
    GuardRefusal { rule, until }: GuardRefusal,
    now: Timestamp,
    form: impl FnOnce(StatusCode, &str) -> Response,
) -> Response {
    if rule == Rule::Budget {
        return form(StatusCode::TOO_MANY_REQUESTS, BUDGET_SPENT)
            .retry_after(seconds_up(until.unwrap_or(now).since(now)))
            .because(NotServed::RateLimited);
    }
    let why = match rule {
        Rule::CountryList => "the server sends no message to this country".to_owned(),
        rule => format!("the pumping guard refuses the message by its rule {}", rule.as_str()),
    };
    let cause = if rule == Rule::CountryList { NotServed::Country } else { NotServed::Blocked };
    form(StatusCode::FORBIDDEN, NOT_PERMITTED).because(cause).explained(&why)
}

/// The sentence of a 429 because of a budget, on every route.
const BUDGET_SPENT: &str =
    "The operator's budget of messages for this hour or day is spent. Try again when it has ended.";

const NOT_PERMITTED: &str = "Sending a code to this phone number is not permitted.";

fn number_refused(reply: &Reply<SendOutcome>, number: PhoneNumber) -> String {
    let is_by_guard = matches!(reply.outcome, SendOutcome::GuardRefused(_));
    let is_landline = is_by_guard || reply.reason == Some(Failure::NotReachable);
    match number.landline_hint().filter(|_| is_landline) {
        Some(hint) => hint.to_owned(),
        None if is_by_guard => "the number is a landline, and landlines get no text messages".to_owned(),
        None => {
            let reason = reply.reason.filter(|reason| reason.is_about_the_number());
            reason.map_or_else(|| "the provider refuses this number".to_owned(), |reason| reason.to_string())
        }
    }
}

/// `/send-code`.
pub fn tutorial_send(reply: &Reply<SendOutcome>, number: PhoneNumber) -> Response {
    match &reply.outcome {
        SendOutcome::Sent { attempts_left: _, message_id, postponed: _ } => {
            response::message(StatusCode::OK, &format!("Message sent with id: {message_id}"))
        }
        SendOutcome::Locked { until } => tutorial_lock(until.since(reply.at)),
        SendOutcome::Limited(_) => limited(ErrorFormat::Message),
        SendOutcome::NumberRefused | SendOutcome::GuardRefused(GuardRefusal { rule: Rule::Landline, .. }) => {
            response::message(
                StatusCode::BAD_REQUEST,
                "The phone number does not exist or cannot receive messages.",
            )
            .explained(&number_refused(reply, number))
        }
        SendOutcome::GuardRefused(refusal) => refused_by_guard(*refusal, reply.at, response::message),
        SendOutcome::GatewayFailed => {
            let words =
                "The message may not have been sent: the provider refused it or did not answer in time.";
            retry_at_probe(response::message(StatusCode::BAD_GATEWAY, words), reply)
        }
    }
}

/// `/verify-code`.
pub fn tutorial_check(reply: &Reply<CheckOutcome>) -> Response {
    match reply.outcome {
        CheckOutcome::Approved => response::message(StatusCode::OK, "This is a valid match!"),
        CheckOutcome::Wrong { attempts_left: _, live: _ } => {
            response::message(StatusCode::BAD_REQUEST, "The phone number and the SMS code doesn't match.")
                .explained("the code is wrong, or has expired")
        }
        CheckOutcome::LockedNow { until, live: _ } | CheckOutcome::Locked { until } => {
            tutorial_lock(until.since(reply.at))
        }
        CheckOutcome::NoChecksLeft { .. } | CheckOutcome::NotFound => limited(ErrorFormat::Message),
        CheckOutcome::GatewayFailed => response::message(
            StatusCode::BAD_GATEWAY,
            "The code could not be checked: the provider that holds it did not answer in time.",
        ),
    }
}

fn tutorial_lock(remaining: Duration) -> Response {
    let minutes = minutes_up(remaining);
    let unit = if minutes == 1 { "minute" } else { "minutes" };
    let message =
        format!("This phone number is locked out after too many wrong codes. Try again in {minutes} {unit}.");
    response::message(StatusCode::FORBIDDEN, &message)
}

/// Wrong codes still allowed.
const TRIALS: &str = "trials";

/// Minutes until the number may ask again.
const TTL: &str = "ttl";
const LOCKOUT_DURATION: &str = "lockout_duration";

/// The member `data`: the number, and what else is told of it. The names are the contract's.
struct Data<'a>(PhoneNumber, &'a [(&'static str, u64)]);

impl Serialize for Data<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut data = to.serialize_map(None)?;
        data.serialize_entry("user", &BTreeMap::from([("phoneNumber", self.0.e164())]))?;
        for (name, value) in self.1 {
            data.serialize_entry(name, value)?;
        }
        data.end()
    }
}

const ANSWERS: &str = "docs/reference/errors.md lists every response.";

const SENT: &str = "The provider accepted the message.";
const RIGHT: &str = "The code is right.";

#[rustfmt::skip] // A table.
pub fn redis_version() -> Routes {
    Routes::new("Clients of the Redis version", "Codes of the service `default`, whose rules are the top-level settings.", Group::compatible(ErrorFormat::Envelope))
        .post("/api/send-otp", send_otp, Doc::new("SendOtp", "Send a code", SENT, Content::json::<Envelope>())
                .reads(properties::<SendBody<'static>>).about(ANSWERS))
        .post("/api/verify-otp", verify_otp, Doc::new("VerifyOtp", "Check a code", RIGHT, Content::json::<Envelope>())
                .reads(properties::<VerifyOtp<'static>>).about(ANSWERS))
}

#[rustfmt::skip] // A table.
pub fn tutorial() -> Routes {
    Routes::new("Clients of the tutorial", "The same with the tutorial's answers.", Group::compatible(ErrorFormat::Message))
        .post("/send-code", send_code, Doc::new("SendCode", "Send a code", SENT, Content::json::<Message>())
                .reads(properties::<SendBody<'static>>).about(ANSWERS))
        .post("/verify-code", verify_code, Doc::new("VerifyCode", "Check a code", RIGHT, Content::json::<Message>())
                .reads(properties::<VerifyCode<'static>>).about(ANSWERS))
}

#[cfg(test)]
mod tests {
    use hyper::header::RETRY_AFTER;

    use super::*;

    const BAD_BODY: &str = r#"{"code":400,"message":"Invalid request body"}"#;
    const FAILED: &str = r#"{"code":500,"message":"Internal server error occurred."}"#;
    const USER: &str = r#""user":{"phoneNumber":"+14155552671"}"#;
    const SENT: SendOutcome =
        SendOutcome::Sent { attempts_left: 5, message_id: String::new(), postponed: false };
    /// A type of number that never gets a message.
    const PREMIUM: SendOutcome =
        SendOutcome::GuardRefused(GuardRefusal { rule: Rule::NumberType, until: None });
    const HALF_AN_HOUR: u64 = 30 * 60_000;

    fn until(remaining_ms: u64) -> Timestamp {
        Timestamp::EPOCH.plus(Duration::from_millis(remaining_ms))
    }

    fn number() -> PhoneNumber {
        PhoneNumber::parse("+14155552671", None).expect("a number")
    }

    fn send(set: AnswerSet, outcome: SendOutcome) -> Response {
        api_send(set, &Reply::new(outcome, Timestamp::EPOCH, None), number())
    }

    /// With a lockout of half an hour.
    fn check(set: AnswerSet, outcome: CheckOutcome) -> Response {
        let lockout = Duration::from_millis(HALF_AN_HOUR);
        api_check(set, &Reply::new(outcome, Timestamp::EPOCH, None), number(), lockout)
    }

    fn answered(code: u16, message: &str, data: &str) -> String {
        format!(r#"{{"code":{code},"message":"{message}","data":{data}}}"#)
    }

    #[track_caller]
    fn is(answer: Response, status: u16, body: &str) {
        let found = answer.status().as_u16();
        assert_eq!(
            (found, &*response::whole(answer.into_body()).expect("no stream")),
            (status, body.as_bytes())
        );
    }

    /// `docs/reference/otp-api.md` has each row.
    #[test]
    fn a_send_and_a_check_are_answered_as_documented() {
        use AnswerSet::{AsBuilt, Documented};
        use CheckOutcome::{Approved, Locked, LockedNow, Wrong};
        let sent = |message: &str| answered(200, message, &format!(r#"{{{USER},"trials":5}}"#));
        let verified = |message: &str| answered(200, message, r#""+14155552671""#);
        let wrong = |message: &str| answered(401, message, &format!(r#"{{{USER},"trials":4}}"#));
        let locked_for = |minutes: u16| format!(r#"{{{USER},"ttl":{minutes},"lockout_duration":{minutes}}}"#);
        let locked = |minutes| {
            answered(403, "User locked out due to exceeding maximum attempts.", &locked_for(minutes))
        };
        // The texts of the last trial name the configured lockout.
        let last = |message: &str| {
            answered(403, &format!("{message} Try after 30 min"), &format!(r#"{{{USER},"ttl":30}}"#))
        };
        let (long, short) = (until(HALF_AN_HOUR), until(59_000));
        let no_match = "Incorrect OTP/ OTP Expired";
        for (answer, status, body) in [
            (send(Documented, SENT), 200, sent("OTP send successfully.")),
            (send(Documented, SendOutcome::Locked { until: long }), 403, locked(30)),
            (send(Documented, SendOutcome::Locked { until: until(1) }), 403, locked(1)),
            (send(Documented, PREMIUM), 403, answered(403, NOT_PERMITTED, &locked_for(1_440))),
            (send(Documented, SendOutcome::NumberRefused), 400, BAD_BODY.to_owned()),
            (send(Documented, SendOutcome::GatewayFailed), 500, FAILED.to_owned()),
            (check(Documented, Approved), 200, verified("OTP verified successfully.")),
            (check(Documented, Wrong { attempts_left: 4, live: true }), 401, wrong(no_match)),
            (check(Documented, Wrong { attempts_left: 4, live: false }), 401, wrong(no_match)),
            (check(Documented, LockedNow { until: long, live: true }), 403, locked(30)),
            (check(Documented, LockedNow { until: long, live: false }), 403, locked(30)),
            (check(Documented, Locked { until: long }), 403, locked(30)),
            (send(AsBuilt, SENT), 200, sent("Successfully send OTP message")),
            (send(AsBuilt, SendOutcome::GatewayFailed), 500, FAILED.to_owned()),
            (send(AsBuilt, SendOutcome::NumberRefused), 400, BAD_BODY.to_owned()),
            (check(AsBuilt, Approved), 200, verified("Successfully verified user")),
            (check(AsBuilt, Wrong { attempts_left: 4, live: true }), 500, wrong("Incorrect OTP, Try Again")),
            (check(AsBuilt, Wrong { attempts_left: 4, live: false }), 500, wrong("OTP Expired, Try Again")),
            (
                check(AsBuilt, LockedNow { until: short, live: true }),
                500,
                last("Incorrect OTP and Max Limit Reached"),
            ),
            (
                check(AsBuilt, LockedNow { until: short, live: false }),
                500,
                last("OTP Expired and Max Limit Reached,"),
            ),
        ] {
            is(answer, status, &body);
        }
    }

    #[test]
    fn a_refusal_by_the_guard_names_its_rule_in_a_header_on_the_older_routes() {
        let tutorial = tutorial_send(&Reply::new(PREMIUM, Timestamp::EPOCH, None), number());
        for answer in [send(AnswerSet::Documented, PREMIUM), tutorial] {
            let reason = answer.headers()["x-onceward-reason"].to_str().expect("text");
            assert!(reason.ends_with("by its rule number_type"), "{reason}");
        }
    }

    /// Minutes are rounded down from the second that Redis rounds to, and left out when they are 0.
    #[test]
    fn as_built_the_minutes_of_a_lockout_are_redis_minutes_on_either_route() {
        let cases =
            [(29 * 60_000, 29), (1_799_499, 29), (59_000, 0), (59_500, 1), (1_799_500, 30), (1_800_000, 30)];
        for (remaining_ms, minutes) in cases {
            let until = until(remaining_ms);
            let ttl = if minutes == 0 { String::new() } else { format!(r#","ttl":{minutes}"#) };
            let message = format!("User is prohibted to make any OTP request, Try after {minutes} minutes");
            let body = answered(403, &message, &format!("{{{USER}{ttl}}}"));
            is(send(AnswerSet::AsBuilt, SendOutcome::Locked { until }), 403, &body);
            is(check(AnswerSet::AsBuilt, CheckOutcome::Locked { until }), 403, &body);
        }
    }

    #[test]
    fn the_tutorial_answers_with_a_message_that_says_what_happened() {
        let send = |outcome| tutorial_send(&Reply::new(outcome, Timestamp::EPOCH, None), number());
        let check = |outcome| tutorial_check(&Reply::new(outcome, Timestamp::EPOCH, None));
        for (answer, status, words) in [
            (send(SendOutcome::Locked { until: until(HALF_AN_HOUR) }), 403, "Try again in 30 minutes."),
            (check(CheckOutcome::LockedNow { until: until(HALF_AN_HOUR), live: true }), 403, "30 minutes."),
            (check(CheckOutcome::Locked { until: until(59_000) }), 403, "Try again in 1 minute."),
            (send(PREMIUM), 403, NOT_PERMITTED),
            (send(SendOutcome::GatewayFailed), 502, "the provider refused it"),
            (send(SendOutcome::NumberRefused), 400, "The phone number does not exist"),
        ] {
            assert_eq!(answer.status().as_u16(), status, "{words}");
            let body = response::whole(answer.into_body()).expect("no stream");
            let body = std::str::from_utf8(&body).expect("text");
            assert!(body.starts_with(r#"{"message":""#) && body.contains(words), "{body}");
        }
    }

    #[test]
    fn a_refusal_is_503_and_a_busy_number_429_both_with_retry_after() {
        use Refusal::{NumberBusy, Overloaded, SendsOverloaded, Stopping, StoreUnavailable};
        for refusal in [Overloaded, SendsOverloaded, StoreUnavailable, Stopping, NumberBusy] {
            let status = if refusal == NumberBusy { 429 } else { 503 };
            for (format, beginning) in [
                (ErrorFormat::Envelope, format!(r#"{{"code":{status},"message":""#)),
                (ErrorFormat::Message, r#"{"message":""#.to_owned()),
            ] {
                let answer = Error::from(refusal).answer(format);
                assert_eq!(answer.status().as_u16(), status);
                assert_eq!(answer.headers()[RETRY_AFTER], "1");
                let body = response::whole(answer.into_body()).expect("no stream");
                assert!(body.starts_with(beginning.as_bytes()), "{refusal:?}");
            }
        }
    }
}
