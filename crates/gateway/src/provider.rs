//! The common part of all HTTP providers: a message becomes a request, its answer is classified, and the
//! answers tell whether the account with the provider is in order.
//!
//! HTTP's own rules classify answers of providers that say no more, and of proxies in front of them.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use reqwest::Request;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use serde::Deserialize;

use super::client::{GatewayResponse, HttpClient, NoResponse};
use super::said::Masks;
use super::{Accepted, AccountFinding, ErrorClass, Gateway, GatewayError, OutgoingMessage, Verdict};
use crate::clock::Clock;
use crate::domain::{Channel, Code, GatewayName, PhoneNumber, Timestamp};
use crate::template::parts_of;

/// A provider's API: builds requests and classifies responses.
pub trait Provider: Send + Sync + 'static {
    /// The request that hands a message over, on a channel that the provider serves. An error is about this message
    /// only.
    fn request(&self, message: &OutgoingMessage) -> Result<Request, GatewayError>;

    /// The id of the accepted message, or why there is none.
    fn classify(&self, response: &GatewayResponse) -> Result<Accepted, GatewayError>;

    /// A request that costs nothing and shows whether the credentials are right, if the provider has one.
    fn account_question(&self) -> Option<Question<'_, ()>>;

    /// The parts as which the provider sends a text.
    fn parts(&self, text: &str) -> usize {
        parts_of(text)
    }

    /// The class of an error code, and what it says.
    fn described(&self, _: u32) -> Option<(ErrorClass, &'static str)> {
        None
    }

    /// The request that asks about a code, of a provider that holds the codes.
    fn check(&self, _: PhoneNumber, _: Channel, _: &Code) -> Option<Question<'_, Verdict>> {
        None
    }
}

/// A request, and what its answer says.
pub struct Question<'a, T> {
    pub request: Request,
    pub read: Reader<'a, T>,
}

type Reader<'a, T> = Box<dyn FnOnce(&GatewayResponse) -> Result<T, GatewayError> + Send + 'a>;

pub struct HttpProvider {
    pub(super) name: GatewayName,
    pub(super) channels: Vec<Channel>,
    /// Whether the provider makes and holds the codes, so that only it can check them.
    pub(super) holds_codes: bool,
    /// Whether an error with this code, of the class `Configuration` and about the whole gateway, refuses the account.
    /// Without a code it does.
    pub(super) refuses_account: fn(u32) -> bool,
    pub(super) provider: Box<dyn Provider>,
    /// The credentials, which no answer may carry into a log or a record.
    pub(super) masks: Masks,
    pub(super) client: HttpClient,
    pub(super) clock: Arc<dyn Clock>,
    /// The last refusal of the account, and its time: sends of all numbers fail until an operator acts, and the first
    /// success proves that it works again.
    pub(super) refusal: Mutex<Option<(Timestamp, String)>>,
}

/// Lifetime of an account refusal. Afterwards the server reports itself ready again, because behind a load balancer
/// only a ready server gets the send that can prove that the account works again.
const REFUSAL_COUNTS_FOR: Duration = Duration::from_secs(60);

impl HttpProvider {
    fn require_channel(&self, channel: Channel) -> Result<(), GatewayError> {
        if self.channels.contains(&channel) {
            return Ok(());
        }
        let detail = format!("was asked for the channel {}, which it does not serve", channel.as_str());
        Err(GatewayError::not_tried(self.name, detail))
    }

    /// Sends a request once, classifies the answer, and derives the account's health from it.
    async fn exchange<T>(
        &self,
        request: Request,
        code: Option<&Code>,
        classify: impl FnOnce(&GatewayResponse) -> Result<T, GatewayError>,
    ) -> Result<T, GatewayError> {
        let outcome = match self.client.send(request).await {
            Ok(response) => classify(&response).map_err(|error| {
                let said = response.body.as_deref().and_then(|body| self.masks.said_in(body, code));
                GatewayError { said, ..error }
            }),
            Err(no_response) => Err(without_response(self.name, no_response)),
        };
        match &outcome {
            Ok(_) => *self.refusal.lock() = None,
            Err(error)
                if error.whole_gateway
                    && error.class == ErrorClass::Configuration
                    && error.code.is_none_or(self.refuses_account) =>
            {
                *self.refusal.lock() = Some((self.clock.now(), error.to_string()));
            }
            Err(_) => {}
        }
        outcome
    }
}

impl Gateway for HttpProvider {
    fn name(&self) -> GatewayName {
        self.name
    }

    fn channels(&self) -> &[Channel] {
        &self.channels
    }

    fn send<'a>(&'a self, message: &'a OutgoingMessage) -> BoxFuture<'a, Result<Accepted, GatewayError>> {
        Box::pin(async move {
            self.require_channel(message.channel)?;
            let request = self.provider.request(message)?;
            self.exchange(request, Some(&message.code), |response| self.provider.classify(response)).await
        })
    }

    fn parts(&self, text: &str) -> usize {
        self.provider.parts(text)
    }

    fn described(&self, code: u32) -> Option<(ErrorClass, &'static str)> {
        self.provider.described(code)
    }

    fn holds_codes(&self) -> bool {
        self.holds_codes
    }

    fn check<'a>(
        &'a self,
        to: PhoneNumber,
        channel: Channel,
        code: &'a Code,
    ) -> BoxFuture<'a, Result<Verdict, GatewayError>> {
        Box::pin(async move {
            self.require_channel(channel)?;
            let question = self.provider.check(to, channel, code);
            let Question { request, read } = question
                .ok_or_else(|| GatewayError::not_tried(self.name, "cannot be asked about this code"))?;
            self.exchange(request, Some(code), read).await
        })
    }

    fn examine_account(&self) -> BoxFuture<'_, Option<AccountFinding>> {
        Box::pin(async move {
            let Question { request, read } = self.provider.account_question()?;
            let mut date = None;
            let asked = request.url().origin().ascii_serialization();
            let classify = |response: &GatewayResponse| {
                date = date_in(&response.headers);
                read(response)
            };
            let state = self.exchange(request, None, classify).await;
            Some(AccountFinding { asked, state, date })
        })
    }

    fn readiness(&self) -> Result<(), String> {
        match &*self.refusal.lock() {
            Some((at, reason)) if self.clock.now() < at.plus(REFUSAL_COUNTS_FOR) => Err(reason.clone()),
            _ => Ok(()),
        }
    }
}

/// The class of a provider's error code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CodeClass {
    BadNumber,
    NotReachable,
    OptedOut,
    Fraud,
    Refused,
    /// The same message may succeed later.
    Retry,
    /// Any message may succeed later.
    Busy,
    /// Any message may succeed a day later.
    NextDay,
    /// An operator must act for messages such as this.
    Configuration,
    /// An operator must act for messages to this country.
    Country,
    /// An operator must act for any message.
    Account,
    /// It is not known whether this message was sent.
    Unknown,
    /// It is not known whether this message was sent, and any other one would meet the same.
    Down,
}

impl CodeClass {
    pub(super) const fn class(self) -> ErrorClass {
        self.meaning().0
    }

    pub(super) const fn words(self) -> &'static str {
        self.meaning().2
    }

    /// Its class, whether any other message would have fared the same, and what it says.
    const fn meaning(self) -> (ErrorClass, bool, &'static str) {
        const OPEN: &str = "it is not known whether the message is sent";
        match self {
            Self::BadNumber => (ErrorClass::BadNumber, false, "the number is not valid"),
            Self::NotReachable => {
                (ErrorClass::NotReachableHere, false, "the number cannot be reached in this way")
            }
            Self::OptedOut => (ErrorClass::OptedOut, false, "the recipient wants no messages"),
            Self::Fraud => (ErrorClass::Fraud, false, "the provider suspects fraud"),
            Self::Refused => (ErrorClass::Refused, false, "the message was refused"),
            Self::Retry => (ErrorClass::Retry, false, "it cannot be sent now"),
            Self::Busy => (ErrorClass::Retry, true, "too many messages, or no service now"),
            Self::NextDay => (ErrorClass::Retry, true, "the account may send no more today"),
            Self::Configuration => {
                let words = "the account, the sender or a template does not permit this";
                (ErrorClass::Configuration, false, words)
            }
            Self::Country => (ErrorClass::Configuration, false, "the account may not send to the country"),
            Self::Account => {
                let words = "the credentials were not accepted, or the account may not send";
                (ErrorClass::Configuration, true, words)
            }
            Self::Unknown => (ErrorClass::Ambiguous, false, OPEN),
            Self::Down => (ErrorClass::Ambiguous, true, OPEN),
        }
    }

    pub(super) fn error(self, gateway: GatewayName, code: Option<u32>, detail: String) -> GatewayError {
        let (class, whole_gateway, _) = self.meaning();
        let wait = (self == Self::NextDay).then_some(Duration::from_secs(24 * 60 * 60));
        let whole_country = self == Self::Country;
        GatewayError { gateway, class, wait, code, detail, said: None, whole_gateway, whole_country }
    }
}

impl GatewayError {
    /// A request that was not made. It says nothing about other messages.
    pub(super) fn not_tried(gateway: GatewayName, detail: impl Into<String>) -> Self {
        CodeClass::Configuration.error(gateway, None, detail.into())
    }

    /// The same, with the wait that the provider asks for, if it is about waiting.
    pub(super) fn with_wait_of(self, response: &GatewayResponse) -> Self {
        let asked = retry_after(&response.headers).filter(|_| self.class == ErrorClass::Retry);
        Self { wait: asked.or(self.wait), ..self }
    }
}

/// An error code has at most six digits. A number with more may be a phone number, which no log line and no record of
/// an attempt must contain.
pub(super) fn code_in(text: &str) -> Option<u32> {
    text.parse().ok().filter(|code| *code <= 999_999)
}

/// Classifies a status other than the API's success:
///
/// * 401, 402, 403: credentials, credit or permissions. A 403 is often about one country, so that a caller could
///   cause it;
/// * 429: not processed, may be tried again;
/// * 301, 307, 308: the URL is wrong, for they mean "repeat this elsewhere". Other redirects may follow a request
///   that was carried out, and tell nothing;
/// * 408: sent by servers that never read the request and by proxies that did;
/// * every other 4xx: this message was refused;
/// * 5xx, and a success that is not understood: it is unknown how far it came.
pub(super) fn classify_status(response: &GatewayResponse, url_setting: &str) -> (CodeClass, String) {
    let status = response.status.as_u16();
    let said = |words: &str| format!("answered HTTP {status}{words}");
    match status {
        401 | 403 => {
            let class = if status == 401 { CodeClass::Account } else { CodeClass::Configuration };
            (class, said(": the credentials were not accepted, or do not permit this"))
        }
        402 => (CodeClass::Account, said(": the account has no credit")),
        429 => (CodeClass::Busy, said(": too many requests")),
        300..=399 => {
            let class = if matches!(status, 301 | 307 | 308) { CodeClass::Account } else { CodeClass::Down };
            (class, said(&format!(": a redirect, which is not followed; check {url_setting}")))
        }
        // The server or the network is in trouble.
        200..=299 if response.body.is_none() => {
            (CodeClass::Down, said(" with a body that broke off or is too long"))
        }
        200..=299 => (CodeClass::Unknown, said(" and nothing that is known as success")),
        400..=407 | 409..=499 => (CodeClass::Refused, said(" with an unknown reason")),
        _ => (CodeClass::Down, said(" with an unknown reason")),
    }
}

/// There was no answer. Without a connection the same call may work on the next try.
pub(super) fn without_response(gateway: GatewayName, no_response: NoResponse) -> GatewayError {
    let (class, detail) = match no_response {
        NoResponse::OutOfReach | NoResponse::Unsendable => {
            (CodeClass::Configuration, "cannot be asked: the message does not fit into its URL".to_owned())
        }
        NoResponse::NotConnected(why) => (CodeClass::Busy, format!("was not reached: {why}")),
        NoResponse::Broken(why) => (CodeClass::Down, format!("did not answer: {why}")),
    };
    class.error(gateway, None, detail)
}

/// `Retry-After` (RFC 9110, 10.2.3): seconds, or a date, which is compared with the answer's own `Date`, so that it
/// does not matter how far the two machines' clocks are apart.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = httpdate::parse_http_date(text).ok()?;
    Some(until.duration_since(date_in(headers)?).unwrap_or_default())
}

/// The server's own time.
fn date_in(headers: &HeaderMap) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()
}

/// Longest id taken over from an answer: twice a UUID leaves room, and records stay small.
const ID_MAX: usize = 72;

pub(super) fn usable_id(id: &str) -> Option<String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.:=+/@".contains(&b);
    ((1..=ID_MAX).contains(&id.len()) && id.bytes().all(plain)).then(|| id.to_owned())
}

#[cfg(test)]
mod tests;
