//! The common part of all HTTP providers: a message becomes a request, its answer is classified, and the
//! answers tell whether the account with the provider is in order.
//!
//! HTTP's own rules classify answers of providers that say no more, and of proxies in front of them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use reqwest::{Method, Request, StatusCode};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::client::{GatewayResponse, HttpClient, NoResponse};
use super::{
    Accepted, AccountFinding, AccountPart, BoxFuture, Checker, ErrorClass, Gateway, GatewayError,
    GatewaySettingsError, OutgoingMessage, Verdict,
};
use crate::clock::Clock;
use crate::domain::{Channel, Code, GatewayName, PhoneNumber, Timestamp};

/// A provider's API: builds requests and classifies responses.
pub trait Provider: Send + Sync + 'static {
    fn name(&self) -> GatewayName;

    /// Whether an error with this code, of the class `Configuration` and about the whole gateway, refuses the account.
    /// Without a code it does.
    fn refuses_account(_code: u32) -> bool {
        true
    }

    /// Whether the provider makes and holds the codes, so that only it can check them.
    fn holds_codes(&self) -> bool {
        false
    }

    fn channels(&self) -> &[Channel];

    /// The request that hands a message over, on a channel that the provider serves. An error is about this message
    /// only.
    fn request(&self, message: &OutgoingMessage) -> Result<Request, GatewayError>;

    /// The id of the accepted message, or why there is none.
    fn classify(&self, response: &GatewayResponse) -> Result<Accepted, GatewayError>;

    /// Requests that cost nothing and show whether a part of the account is in order. None if the provider has no such
    /// request.
    fn account_requests(&self) -> Vec<(AccountPart, Request)> {
        Vec::new()
    }

    /// The state of a part of the account in words, or why messages would fail.
    fn classify_account(&self, _: AccountPart, _: &GatewayResponse) -> Result<String, GatewayError> {
        Err(not_tried(self.name(), "has no request about its account".to_owned()))
    }

    /// The request that asks about a code; only of a provider that holds the codes, as the next.
    fn check_request(&self, _: PhoneNumber, _: Channel, _: &Code) -> Result<Request, GatewayError> {
        Err(not_tried(self.name(), "holds no codes".to_owned()))
    }

    fn classify_check(&self, _: &GatewayResponse) -> Result<Verdict, GatewayError> {
        Err(not_tried(self.name(), "holds no codes".to_owned()))
    }
}

pub struct HttpProvider<P> {
    pub(super) provider: P,
    client: HttpClient,
    account: AccountHealth,
}

impl<P: Provider> HttpProvider<P> {
    /// Sends nothing. An error names the setting of the target. The clock dates a refusal of the account, for readiness.
    pub(super) fn of(
        provider: P,
        (setting, target): (&str, &Url),
        clock: Arc<dyn Clock>,
    ) -> Result<Self, GatewaySettingsError> {
        let client = HttpClient::for_target(target).map_err(|error| {
            GatewaySettingsError::new(provider.name(), setting, format!("cannot be used: {error}"))
        })?;
        Ok(Self { provider, client, account: AccountHealth::new(clock, P::refuses_account) })
    }

    fn require_channel(&self, channel: Channel) -> Result<(), GatewayError> {
        if self.provider.channels().contains(&channel) {
            return Ok(());
        }
        let detail = format!("was asked for the channel {}, which it does not serve", channel.as_str());
        Err(not_tried(self.provider.name(), detail))
    }

    /// Sends a request once, classifies the answer, and derives the account's health from it.
    async fn exchange<T>(
        &self,
        request: Request,
        classify: impl FnOnce(&GatewayResponse) -> Result<T, GatewayError>,
    ) -> Result<T, GatewayError> {
        let outcome = match self.client.send(request).await {
            Ok(response) => classify(&response),
            Err(no_response) => Err(without_response(self.provider.name(), no_response)),
        };
        self.account.learn(outcome)
    }
}

impl<P: Provider> Gateway for HttpProvider<P> {
    fn name(&self) -> GatewayName {
        self.provider.name()
    }

    fn channels(&self) -> &[Channel] {
        self.provider.channels()
    }

    fn send<'a>(&'a self, message: &'a OutgoingMessage) -> BoxFuture<'a, Result<Accepted, GatewayError>> {
        Box::pin(async move {
            self.require_channel(message.channel)?;
            let request = self.provider.request(message)?;
            self.exchange(request, |response| self.provider.classify(response)).await
        })
    }

    fn checker(&self) -> Option<&dyn Checker> {
        self.provider.holds_codes().then_some(self as &dyn Checker)
    }

    fn examine_account(&self) -> BoxFuture<'_, Vec<AccountFinding>> {
        Box::pin(async move {
            let mut findings = Vec::new();
            for (part, request) in self.provider.account_requests() {
                let mut date = None;
                let asked = request.url().origin().ascii_serialization();
                let classify = |response: &GatewayResponse| {
                    date = response.headers.get(DATE).and_then(|date| date.to_str().ok()).map(str::to_owned);
                    self.provider.classify_account(part, response)
                };
                let state = self.exchange(request, classify).await;
                let date = date.and_then(|date| httpdate::parse_http_date(&date).ok());
                findings.push(AccountFinding { part, asked, state, date });
            }
            findings
        })
    }

    fn readiness(&self) -> Result<(), String> {
        self.account.readiness()
    }
}

impl<P: Provider> Checker for HttpProvider<P> {
    fn check<'a>(
        &'a self,
        to: PhoneNumber,
        channel: Channel,
        code: &'a Code,
    ) -> BoxFuture<'a, Result<Verdict, GatewayError>> {
        Box::pin(async move {
            self.require_channel(channel)?;
            let request = self.provider.check_request(to, channel, code)?;
            self.exchange(request, |response| self.provider.classify_check(response)).await
        })
    }
}

impl<P: Provider> fmt::Debug for HttpProvider<P> {
    /// Without the provider, whose address and headers may contain secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpProvider").field("name", &self.provider.name()).finish_non_exhaustive()
    }
}

/// A request that was not made. It says nothing about other messages.
pub(super) fn not_tried(gateway: GatewayName, detail: String) -> GatewayError {
    CodeClass::Configuration.error(gateway, None, detail)
}

/// A `GET` with headers that were prepared once.
pub(super) fn get(url: Url, headers: &HeaderMap) -> Request {
    let mut request = Request::new(Method::GET, url);
    request.headers_mut().clone_from(headers);
    request
}

/// A request with headers that were prepared once.
pub(super) fn request(
    method: Method,
    url: Url,
    headers: &HeaderMap,
    body: impl Into<reqwest::Body>,
) -> Request {
    let mut request = Request::new(method, url);
    request.headers_mut().clone_from(headers);
    *request.body_mut() = Some(body.into());
    request
}

/// Lifetime of an account refusal. Afterwards the server reports itself ready again, because behind a load balancer
/// only a ready server gets the send that can prove that the account works again.
const REFUSAL_COUNTS_FOR: Duration = Duration::from_secs(60);

/// The last answer that says something about the account: after a refusal, sends of all numbers fail until an operator
/// acts, and the first success proves that it works again.
struct AccountHealth {
    clock: Arc<dyn Clock>,
    refuses_account: fn(u32) -> bool,
    refusal: ArcSwapOption<(Timestamp, String)>,
}

impl AccountHealth {
    fn new(clock: Arc<dyn Clock>, refuses_account: fn(u32) -> bool) -> Self {
        Self { clock, refuses_account, refusal: ArcSwapOption::empty() }
    }

    fn learn<T>(&self, outcome: Result<T, GatewayError>) -> Result<T, GatewayError> {
        match &outcome {
            Ok(_) if self.refusal.load().is_some() => self.refusal.store(None),
            Err(error) if self.is_refusal(error) => {
                self.refusal.store(Some(Arc::new((self.clock.now(), error.to_string()))));
            }
            Ok(_) | Err(_) => {}
        }
        outcome
    }

    fn readiness(&self) -> Result<(), String> {
        match self.refusal.load().as_deref() {
            Some((at, reason)) if self.clock.now() < at.plus(REFUSAL_COUNTS_FOR) => Err(reason.clone()),
            _ => Ok(()),
        }
    }

    fn is_refusal(&self, error: &GatewayError) -> bool {
        let is_of_the_gateway = error.whole_gateway && error.class == ErrorClass::Configuration;
        is_of_the_gateway && error.code.is_none_or(self.refuses_account)
    }
}

crate::named! {
    /// The class of a provider's error code.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
    #[serde(rename_all = "kebab-case")]
    pub enum CodeClass {
        BadNumber = "bad-number",
        NotReachable = "not-reachable",
        OptedOut = "opted-out",
        Fraud = "fraud",
        Refused = "refused",
        /// The same message may succeed later.
        Retry = "retry",
        /// Any message may succeed later.
        Busy = "busy",
        /// Any message may succeed a day later.
        NextDay = "next-day",
        /// An operator must act for messages such as this.
        Configuration = "configuration",
        /// An operator must act for any message.
        Account = "account",
        /// It is not known whether this message was sent.
        Unknown = "unknown",
        /// It is not known whether this message was sent, and any other one would meet the same.
        Down = "down",
    }
}

impl CodeClass {
    pub(super) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.as_str() == name)
    }

    pub(super) const fn class(self) -> ErrorClass {
        match self {
            Self::BadNumber => ErrorClass::BadNumber,
            Self::NotReachable => ErrorClass::NotReachableHere,
            Self::OptedOut => ErrorClass::OptedOut,
            Self::Fraud => ErrorClass::Fraud,
            Self::Refused => ErrorClass::Refused,
            Self::Retry | Self::Busy => ErrorClass::Retry { after: None },
            Self::NextDay => ErrorClass::Retry { after: Some(Duration::from_secs(24 * 60 * 60)) },
            Self::Configuration | Self::Account => ErrorClass::Configuration,
            Self::Unknown | Self::Down => ErrorClass::Ambiguous,
        }
    }

    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::BadNumber => "the number is not valid",
            Self::NotReachable => "the number cannot be reached in this way",
            Self::OptedOut => "the recipient wants no messages",
            Self::Fraud => "the provider suspects fraud",
            Self::Refused => "the message was refused",
            Self::Retry => "it cannot be sent now",
            Self::Busy => "too many messages, or no service now",
            Self::NextDay => "the account may send no more today",
            Self::Configuration => "the account, the sender or a template does not permit this",
            Self::Account => "the credentials were not accepted, or the account may not send",
            Self::Unknown | Self::Down => "it is not known whether the message is sent",
        }
    }

    /// Only some classes say that any other message would have fared the same.
    pub(super) fn error(self, gateway: GatewayName, code: Option<u32>, detail: String) -> GatewayError {
        let whole_gateway = matches!(self, Self::Busy | Self::NextDay | Self::Account | Self::Down);
        let code = code.and_then(usable_code);
        GatewayError { gateway, class: self.class(), code, detail, whole_gateway }
    }
}

impl GatewayError {
    /// The same, with the wait that the provider asks for, if it is about waiting.
    pub(super) fn with_wait_of(self, response: &GatewayResponse) -> Self {
        match self.class {
            ErrorClass::Retry { after } => {
                let after = retry_after(&response.headers).or(after);
                Self { class: ErrorClass::Retry { after }, ..self }
            }
            _ => self,
        }
    }
}

/// The largest error code that is taken over from an answer: providers' codes have at most six digits. A number with
/// more may be a phone number, which no log line and no record of an attempt must contain.
const LARGEST_CODE: u32 = 999_999;

/// The code, if it can be one.
pub(super) fn usable_code(code: u32) -> Option<u32> {
    (code <= LARGEST_CODE).then_some(code)
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
pub(super) fn classify_status(response: &GatewayResponse) -> CodeClass {
    match response.status.as_u16() {
        401 | 402 | 301 | 307 | 308 => CodeClass::Account,
        403 => CodeClass::Configuration,
        429 => CodeClass::Busy,
        400..=499 if response.status != StatusCode::REQUEST_TIMEOUT => CodeClass::Refused,
        // The body broke off, or was longer than any answer: the server or the network is in trouble.
        200..=299 if response.body.is_some() => CodeClass::Unknown,
        _ => CodeClass::Down,
    }
}

pub(super) fn words_for_status(response: &GatewayResponse, url_setting: &str) -> String {
    let status = response.status.as_u16();
    match status {
        401 | 403 => {
            format!("answered HTTP {status}: the credentials were not accepted, or do not permit this")
        }
        402 => "answered HTTP 402: the account has no credit".to_owned(),
        429 => "answered HTTP 429: too many requests".to_owned(),
        300..=399 => {
            format!("answered HTTP {status}: a redirect, which is not followed; check {url_setting}")
        }
        200..=299 if response.body.is_none() => {
            format!("answered HTTP {status} with a body that broke off or is too long")
        }
        200..=299 => format!("answered HTTP {status} and nothing that is known as success"),
        _ => format!("answered HTTP {status} with an unknown reason"),
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
    let answered = httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()?;
    Some(until.duration_since(answered).unwrap_or_default())
}

/// Longest id taken over from an answer: twice a UUID leaves room, and records stay small.
const ID_MAX: usize = 72;

pub(super) fn usable_id(id: &str) -> Option<String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.:=+/@".contains(&b);
    ((1..=ID_MAX).contains(&id.len()) && id.bytes().all(plain)).then(|| id.to_owned())
}

pub(super) fn id_in(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => usable_id(text),
        Value::Number(number) if number.is_u64() => Some(number.to_string()),
        _ => None,
    }
}

/// An error code, which some providers write as a number and some as a text.
pub(super) fn code_in(value: &Value) -> Option<u32> {
    match value {
        Value::Number(number) => u32::try_from(number.as_u64()?).ok(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// Makes ids for providers that give none: unique within a run, and between runs as long as no two of them start in
/// the same millisecond.
pub(super) struct OwnIds {
    prefix: String,
    given: AtomicU64,
}

impl OwnIds {
    pub(super) fn new(gateway: GatewayName, clock: &dyn Clock) -> Self {
        let prefix = format!("{gateway}-{:x}", clock.now().as_millis());
        Self { prefix, given: AtomicU64::new(0) }
    }

    pub(super) fn next(&self) -> String {
        format!("{}-{}", self.prefix, self.given.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

#[cfg(test)]
mod tests;
