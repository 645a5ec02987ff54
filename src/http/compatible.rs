//! The routes for clients of older servers: `docs/reference/otp-api.md`. The Redis version's `/api/send-otp` and
//! `/api/verify-otp`, and the tutorial's `/send-code` and `/verify-code`.
//!
//! A body is one JSON object in UTF-8. Unknown fields are ignored, whatever they hold. A field that is given twice
//! makes the body ambiguous, which is a bad body: a proxy in front could have read the other one.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use axum::response::Response;
use hyper::StatusCode;
use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::ser::{SerializeMap as _, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tracing::{debug, info};
use zeroize::Zeroizing;

use super::call::{Call, Group, Origin};
use super::error::{Error, reason_of};
use super::openapi::{Doc, Routes, ok};
use super::request::without_mark;
use super::response::{self, Envelope, ErrorFormat, Message, NotServed, ResponseExt as _};
use crate::config::AnswerSet::{self, AsBuilt, Documented};
use crate::domain::{Channel, Code, Locale, PhoneNumber, ServiceId, Timestamp, minutes_up, seconds_up};
use crate::limits::guard::{ClientNet, ClientSignals, GuardRefusal, Rule};
use crate::template::{AppHash, MessageStyle, Wording};
use crate::verification::{
    Check, CheckOutcome, Failure, NumberKey, Outgoing, Refusal, Reply, SendOptions, SendOutcome, Sent,
};

/// The body of `POST /api/send-otp` and of `POST /send-code`. Go programs that marshal a struct without tags spell its
/// fields with capitals, and the Redis version, which reads names in any case, understood them. It did not know the
/// options: a value that cannot be understood may be a client's own, and is ignored.
#[derive(Deserialize, JsonSchema)]
struct SendBody<'a> {
    /// The number, in E.164 form.
    #[serde(borrow, rename = "phoneNumber", alias = "PhoneNumber", alias = "phonenumber")]
    phone_number: Cow<'a, str>,
    /// The channel that delivers the code.
    #[serde(default, alias = "Channel")]
    channel: Value,
    /// The language of the message.
    #[serde(default, alias = "Locale")]
    locale: Value,
    /// The hash of the Android app.
    #[serde(default, rename = "appHash", alias = "AppHash", alias = "apphash")]
    app_hash: Value,
}

/// The body of `POST /api/verify-otp`.
#[derive(Deserialize, JsonSchema)]
struct VerifyOtp<'a> {
    #[serde(borrow, alias = "User")]
    #[schemars(with = "User<'a>")]
    user: JsonObject<User<'a>>,
    /// The submitted code.
    #[serde(borrow, alias = "Code")]
    code: Cow<'a, str>,
}

#[derive(Deserialize, Serialize, JsonSchema)]
struct User<'a> {
    /// The number, in E.164 form.
    #[serde(borrow, rename = "phoneNumber", alias = "PhoneNumber", alias = "phonenumber")]
    phone_number: Cow<'a, str>,
}

/// The body of `POST /verify-code`.
#[derive(Deserialize, JsonSchema)]
struct VerifyCode<'a> {
    /// The number, in E.164 form.
    #[serde(borrow, rename = "phoneNumber")]
    phone_number: Cow<'a, str>,
    /// The submitted code.
    #[serde(rename = "smsCode")]
    #[schemars(with = "String")]
    sms_code: SmsCode,
}

/// A code as a client of the tutorial sends it: its server compared with `==`, to which 12345 and "012345" are equal.
#[derive(Deserialize)]
#[serde(untagged)]
enum SmsCode {
    Text(String),
    Number(u64),
}

/// Whose answers a client reads: the Redis version's, or the tutorial's if it is `None`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Older(pub Option<AnswerSet>);

impl Older {
    pub const TUTORIAL: Self = Self(None);
}

/// Life and length of the tutorial's codes: 600 s, six digits.
const TUTORIAL_CODE: SendOptions = SendOptions::DEFAULT;

/// `POST /api/send-otp`: sends a code and waits until the provider has taken it.
async fn send_otp(call: Call) -> Result<Response, Error> {
    send(&call, Older(Some(call.app.settings.answers)), Wording::Api, None).await
}

/// `POST /send-code`: sends a code with the tutorial's life, length and text.
async fn send_code(call: Call) -> Result<Response, Error> {
    send(&call, Older::TUTORIAL, Wording::Tutorial, Some(TUTORIAL_CODE)).await
}

async fn send(
    call: &Call,
    older: Older,
    wording: Wording,
    options: Option<SendOptions>,
) -> Result<Response, Error> {
    let body: SendBody<'_> = read(&call.body)?;
    let channel = body.channel.as_str().and_then(Channel::parse);
    if let Some(channel) = channel.filter(|channel| !call.app.channels.contains(channel)) {
        return Err(Error::body(format!("the channel {} is not served here", channel.as_str())));
    }
    let locale = body.locale.as_str().and_then(Locale::parse);
    let app_hash = body.app_hash.as_str().and_then(AppHash::parse);
    let style = MessageStyle { wording, locale, app_hash, ..MessageStyle::default() };
    let (number, spelled) = number(call, &body.phone_number)?;
    let reply = call.send(number, channel, style, options).await?;
    Ok(sent(older, &reply, spelled))
}

/// `POST /api/verify-otp`: checks a code.
async fn verify_otp(call: Call) -> Result<Response, Error> {
    let VerifyOtp { user: JsonObject(user), code } = read(&call.body)?;
    check(&call, Older(Some(call.app.settings.answers)), &user.phone_number, &code).await
}

/// `POST /verify-code`: checks a code.
async fn verify_code(call: Call) -> Result<Response, Error> {
    let VerifyCode { phone_number, sms_code } = read(&call.body)?;
    let code = Zeroizing::new(match sms_code {
        SmsCode::Text(text) => text,
        SmsCode::Number(number) => format!("{number:06}"),
    });
    check(&call, Older::TUTORIAL, &phone_number, &code).await
}

/// An empty code is a bad body; a text that holds no code is wrong, and does not count.
async fn check(call: &Call, older: Older, phone_number: &str, code: &str) -> Result<Response, Error> {
    let (number, spelled) = number(call, phone_number)?;
    if code.is_empty() {
        return Err(Error::body("the code is empty"));
    }
    let key = NumberKey::new(ServiceId::DEFAULT, number);
    let reply = call.check(Check::new(key, Code::submitted(code))).await?;
    Ok(checked(older, &reply, spelled, call.app.settings.policy.lockout_time()))
}

/// The number, and as it is spelled.
fn number(call: &Call, text: &str) -> Result<(PhoneNumber, PhoneNumber), Error> {
    let number = PhoneNumber::parse_with_spelling(text, call.app.settings.storage.default_region);
    number.map_err(|error| Error::body(format!("phoneNumber cannot be used: {error}")))
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Error> {
    // Checked for the whole body: the parser does not look into the strings that it ignores.
    let text = std::str::from_utf8(without_mark(body)).map_err(|_| Error::body("it is not UTF-8"))?;
    let JsonObject(fields) = serde_json::from_str(text).map_err(|error| Error::body(reason_of(&error)))?;
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
    pub async fn send(
        &self,
        number: PhoneNumber,
        channel: Option<Channel>,
        style: MessageStyle,
        options: Option<SendOptions>,
    ) -> Result<Reply<SendOutcome>, Error> {
        let (verifier, network) = (&self.app.running()?.verifier, self.client.map(ClientNet::from));
        let client = ClientSignals { network, is_exempt: self.is_exempt };
        let request_id = Some(self.id.clone());
        let message = verifier.message(ServiceId::DEFAULT, number, channel);
        let reply =
            verifier.send(Box::new(Outgoing { style, options, client, request_id, ..message })).await?;
        log_send(self.request_id(), number, &reply.outcome);
        Ok(reply)
    }

    pub async fn check(&self, mut check: Check) -> Result<Reply<CheckOutcome>, Error> {
        let number = check.key.number;
        check.request_id = Some(self.id.clone());
        let reply = self.app.running()?.verifier.check_code(check).await?;
        log_check(self.request_id(), number, reply.outcome);
        Ok(reply)
    }
}

/// Logs a failed send at info level. The lines of the gateway, which has the provider's id, and of the guard have the same
/// request id.
fn log_send(request_id: &str, number: PhoneNumber, sent: &SendOutcome) {
    match sent {
        Ok(Sent { is_postponed, .. }) => debug!(request_id, %number, postponed = is_postponed, "code sent"),
        Err(
            failure @ (Failure::Locked { .. }
            | Failure::Limited(_)
            | Failure::Guard(_)
            | Failure::OutOfService { .. }),
        ) => {
            debug!(request_id, %number, %failure, "code not sent");
        }
        Err(failure) => info!(request_id, %number, %failure, "code not sent, as far as is known"),
    }
}

/// Logs a new lockout at info level: many of them are a sign of guessing.
fn log_check(request_id: &str, number: PhoneNumber, checked: CheckOutcome) {
    let outcome: &str = checked.into();
    if let CheckOutcome::LockedNow { live, .. } = checked {
        info!(request_id, %number, outcome, live, "number locked out after too many wrong codes");
    } else {
        debug!(request_id, %number, outcome, "code checked");
    }
}

/// What an outcome is answered as documented, as built, and by the tutorial's routes. Spelling and spacing are meant to be
/// like this.
type Row = [(u16, &'static str); 3];

const APPROVED: Row = [
    (200, "OTP verified successfully."),
    (200, "Successfully verified user"),
    (200, "This is a valid match!"),
];
const NUMBER_REFUSED: Row = [
    (400, "Invalid request body"),
    (400, "Invalid request body"),
    (400, "The phone number does not exist or cannot receive messages."),
];
const NOT_SENT: Row = [
    FAILED,
    FAILED,
    (502, "The message may not have been sent: the provider refused it or did not answer in time."),
];
const NOT_CHECKED: Row = [
    FAILED,
    FAILED,
    (502, "The code could not be checked: the provider that holds it did not answer in time."),
];
const FAILED: (u16, &str) = (500, "Internal server error occurred.");

impl Older {
    /// As built, the code of the envelope is not always the status.
    fn say(self, status: u16, code: u16, message: &str, data: Option<impl Serialize>) -> Response {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        match self.0 {
            None => response::message(status, message),
            Some(_) => response::envelope(status, code, message, data),
        }
    }

    fn row(self, row: Row, data: Option<impl Serialize>) -> Response {
        let (status, message) = row[self.0.map_or(2, |set| set as usize)];
        self.say(status, status, message, data)
    }

    /// The answer when a verification that `/v2` began for the same number has no message or no check left. The older
    /// servers have no words for such limits.
    fn limited(self) -> Response {
        let form = if self == Self::TUTORIAL { ErrorFormat::Message } else { ErrorFormat::Envelope };
        Error::from(Refusal::NumberBusy).answer(form)
    }

    /// The answer of a number that is locked out. As documented, both fields are the minutes until it may ask again: the
    /// contract says so, whatever the second one's name suggests. As built, Redis rounds a time to live to the second, and
    /// the Go code rounds the seconds down to minutes.
    fn locked(self, number: PhoneNumber, remaining: Duration) -> Response {
        let minutes = minutes_up(remaining);
        match self.0 {
            Some(Documented) => {
                let message = "User locked out due to exceeding maximum attempts.";
                self.say(403, 403, message, Some(Data(number, &lockout(minutes))))
            }
            Some(AsBuilt) => {
                let minutes = u64::try_from((remaining.as_millis() + 500) / 60_000).unwrap_or(u64::MAX);
                let message =
                    format!("User is prohibted to make any OTP request, Try after {minutes} minutes");
                let ttl = [(TTL, minutes)];
                self.say(403, 403, &message, Some(Data(number, if minutes > 0 { &ttl } else { &[] })))
            }
            None => {
                let unit = if minutes == 1 { "minute" } else { "minutes" };
                let locked = "This phone number is locked out after too many wrong codes.";
                self.say(403, 403, &format!("{locked} Try again in {minutes} {unit}."), None::<()>)
            }
        }
    }

    /// The pumping guard refuses the message. Its reason is for the operator. A client that knows only lockouts shows the
    /// minutes of `data`.
    fn refused(
        self,
        GuardRefusal { rule, until }: GuardRefusal,
        now: Timestamp,
        number: PhoneNumber,
    ) -> Response {
        if rule == Rule::Budget {
            return self
                .say(429, 429, BUDGET_SPENT, None::<()>)
                .retry_after(seconds_up(until.unwrap_or(now).since(now)))
                .because(NotServed::RateLimited);
        }
        let (cause, why) = match rule {
            Rule::CountryList => {
                (NotServed::Country, "the server sends no message to this country".to_owned())
            }
            rule => {
                let why = format!("the pumping guard refuses the message by its rule {}", rule.as_str());
                (NotServed::Blocked, why)
            }
        };
        let minutes = minutes_up(until.map_or(NEVER, |until| until.since(now)));
        let answer = self.say(403, 403, NOT_PERMITTED, Some(Data(number, &lockout(minutes))));
        answer.because(cause).explained(&why)
    }
}

/// The wait that a client is told for a number or country that gets no messages.
const NEVER: Duration = Duration::from_secs(24 * 60 * 60);

/// The sentence of a 429 because of a budget, on every route.
const BUDGET_SPENT: &str =
    "The operator's budget of messages for this hour or day is spent. Try again when it has ended.";

const NOT_PERMITTED: &str = "Sending a code to this phone number is not permitted.";

/// The answer to a send.
pub fn sent(older: Older, reply: &Reply<SendOutcome>, number: PhoneNumber) -> Response {
    match &reply.outcome {
        Ok(Sent { attempts_left, message_id, .. }) => {
            let message = match older.0 {
                Some(Documented) => "OTP send successfully.",
                Some(AsBuilt) => "Successfully send OTP message",
                None => &format!("Message sent with id: {message_id}"),
            };
            older.say(200, 200, message, Some(Data(number, &[(TRIALS, (*attempts_left).into())])))
        }
        Err(Failure::Locked { until }) => older.locked(number, until.since(reply.at)),
        Err(Failure::Limited(_)) => older.limited(),
        Err(Failure::Guard(refusal)) if refusal.rule != Rule::Landline => {
            older.refused(*refusal, reply.at, number)
        }
        Err(failure) if matches!(failure, Failure::Guard(_)) || failure.is_about_the_number() => {
            older.row(NUMBER_REFUSED, None::<()>).explained(&number_refused(*failure))
        }
        // The circuit of every gateway is open: the time of the next probe.
        Err(Failure::OutOfService { until }) => {
            older.row(NOT_SENT, None::<()>).retry_after(seconds_up(until.since(reply.at)))
        }
        Err(_) => older.row(NOT_SENT, None::<()>),
    }
}

fn number_refused(failure: Failure) -> String {
    match failure {
        Failure::Guard(_) => "the number is a landline, and landlines get no text messages".to_owned(),
        _ => failure.to_string(),
    }
}

/// The answer to a check. `lockout` is the length of a new one.
pub fn checked(
    older: Older,
    reply: &Reply<CheckOutcome>,
    number: PhoneNumber,
    lockout: Duration,
) -> Response {
    match reply.outcome {
        CheckOutcome::Approved => older.row(APPROVED, Some(number.e164())),
        CheckOutcome::Wrong { attempts_left, live } => {
            let (status, code, message) = match older.0 {
                Some(Documented) => (401, 401, "Incorrect OTP/ OTP Expired"),
                Some(AsBuilt) if live => (500, 401, "Incorrect OTP, Try Again"),
                Some(AsBuilt) => (500, 401, "OTP Expired, Try Again"),
                None => (400, 400, "The phone number and the SMS code doesn't match."),
            };
            let data = Data(number, &[(TRIALS, attempts_left.into())]);
            let answer = older.say(status, code, message, Some(data));
            let is_explained = older == Older::TUTORIAL;
            if is_explained { answer.explained("the code is wrong, or has expired") } else { answer }
        }
        CheckOutcome::LockedNow { until: _, live } if older.0 == Some(AsBuilt) => {
            let minutes = minutes_up(lockout);
            let beginning = if live { "Incorrect OTP and" } else { "OTP Expired and" };
            let comma = if live { "" } else { "," };
            let message = format!("{beginning} Max Limit Reached{comma} Try after {minutes} min");
            older.say(500, 403, &message, Some(Data(number, &[(TTL, minutes)])))
        }
        CheckOutcome::LockedNow { until, live: _ } | CheckOutcome::Locked { until } => {
            older.locked(number, until.since(reply.at))
        }
        CheckOutcome::NoChecksLeft { .. } | CheckOutcome::NotFound => older.limited(),
        CheckOutcome::GatewayFailed => older.row(NOT_CHECKED, None::<()>),
    }
}

/// Wrong codes still allowed.
const TRIALS: &str = "trials";

/// Minutes until the number may ask again.
const TTL: &str = "ttl";

const fn lockout(minutes: u64) -> [(&'static str, u64); 2] {
    [(TTL, minutes), ("lockout_duration", minutes)]
}

/// The member `data`: the number, and what else is told of it. The names are the contract's.
struct Data<'a>(PhoneNumber, &'a [(&'static str, u64)]);

impl Serialize for Data<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut data = to.serialize_map(None)?;
        data.serialize_entry("user", &User { phone_number: self.0.e164().into() })?;
        for (name, value) in self.1 {
            data.serialize_entry(name, value)?;
        }
        data.end()
    }
}

const fn doc<P: Deserialize<'static> + JsonSchema, V: JsonSchema>(
    id: &'static str,
    summary: &'static str,
    success: &'static str,
) -> Doc {
    let about = "docs/reference/errors.md lists every response.";
    Doc { about, success, ..ok::<P, V>(id, summary) }
}

const SENT: &str = "The provider accepted the message.";
const RIGHT: &str = "The code is right.";

#[rustfmt::skip] // A table.
pub fn redis_version() -> Routes {
    Routes::new("Clients of the Redis version", "Codes of the service `default`, whose rules are the top-level settings.", Group::compatible(ErrorFormat::Envelope))
        .post("/api/send-otp", send_otp, doc::<SendBody<'static>, Envelope<'static>>("SendOtp", "Send a code", SENT))
        .post("/api/verify-otp", verify_otp, doc::<VerifyOtp<'static>, Envelope<'static>>("VerifyOtp", "Check a code", RIGHT))
}

#[rustfmt::skip] // A table.
pub fn tutorial() -> Routes {
    Routes::new("Clients of the tutorial", "The same with the tutorial's answers.", Group::compatible(ErrorFormat::Message))
        .post("/send-code", send_code, doc::<SendBody<'static>, Message<'static>>("SendCode", "Send a code", SENT))
        .post("/verify-code", verify_code, doc::<VerifyCode<'static>, Message<'static>>("VerifyCode", "Check a code", RIGHT))
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use futures_util::FutureExt as _;

    use super::*;

    /// Spelling and spacing are the older servers', and minutes as built are rounded down from the second that Redis rounds
    /// to. `docs/reference/errors.md` has each text.
    #[test]
    fn each_outcome_is_answered_byte_by_byte_as_the_older_servers_do() {
        for row in include_str!("compatible.tsv").lines().skip(1) {
            let [answers, outcome, status, body] = row.split('\t').collect::<Vec<_>>()[..] else {
                panic!("{row}")
            };
            let set = match answers {
                "documented" => Some(Documented),
                "as-built" => Some(AsBuilt),
                _ => None,
            };
            let answer = answer(Older(set), outcome);
            let reason =
                answer.headers().get("x-onceward-reason").map(|reason| reason.to_str().expect("text"));
            let is_of_guard = reason.is_some_and(|reason| reason.ends_with("by its rule number_type"));
            assert_eq!(is_of_guard, outcome.contains("premium"), "{row}: {reason:?}");
            assert_eq!(answer.status().as_str(), status, "{row}");
            let found = to_bytes(answer.into_body(), usize::MAX).now_or_never().expect("no stream");
            assert_eq!(found.expect("a body"), body, "{row}");
        }
    }

    /// The answer of a server whose lockouts last half an hour.
    fn answer(older: Older, outcome: &str) -> Response {
        use CheckOutcome::{Approved, Locked, LockedNow, Wrong};
        let (outcome, locked_for) = outcome.split_once(" for ").unwrap_or((outcome, "0"));
        let until = Timestamp::EPOCH.plus(Duration::from_millis(locked_for.parse().expect("a time")));
        let number = PhoneNumber::parse("+14155552671", None).expect("a number");
        let send = |outcome| sent(older, &Reply::new(outcome, Timestamp::EPOCH, None), number);
        let check = |outcome| {
            let reply = Reply::new(outcome, Timestamp::EPOCH, None);
            checked(older, &reply, number, Duration::from_secs(30 * 60))
        };
        let premium = GuardRefusal { rule: Rule::NumberType, until: None };
        match outcome {
            "send" => send(Ok(Sent { attempts_left: 5, message_id: "SM1".to_owned(), is_postponed: false })),
            "send, locked" => send(Err(Failure::Locked { until })),
            "send, premium number" => send(Err(Failure::Guard(premium))),
            "send, bad number" => send(Err(Failure::BadNumber)),
            "send, no gateway" => send(Err(Failure::Gateway)),
            "check" => check(Approved),
            "check, wrong" => check(Wrong { attempts_left: 4, live: true }),
            "check, expired" => check(Wrong { attempts_left: 4, live: false }),
            "check, last wrong" => check(LockedNow { until, live: true }),
            "check, last expired" => check(LockedNow { until, live: false }),
            "check, locked" => check(Locked { until }),
            other => panic!("{other}"),
        }
    }
}
