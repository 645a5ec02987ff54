//! Twilio Programmable Messaging: `POST /2010-04-01/Accounts/{Sid}/Messages.json`.
//!
//! Source: <https://www.twilio.com/docs/messaging/api/message-resource>. Twilio has no parameter
//! that makes a repeated call harmless, so whatever leaves open whether the message was taken is
//! [`ErrorClass::Ambiguous`].

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use base64::Engine as _;
use form_urlencoded::Serializer;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Method, Request, Url};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::http_client::{Answer, HttpClient, NoAnswer, is_this_machine};
use super::twilio_codes::{CREDENTIALS, SUSPENDED, class_of, words_for};
use super::{Accepted, BoxFuture, ErrorClass, Gateway, GatewayError, OutgoingMessage};
use crate::domain::{Channel, GatewayCredential};

/// What is needed to send through Twilio Messages.
#[derive(Debug, Clone)]
pub struct TwilioSettings {
    /// `AC` and 32 hex digits.
    pub account_sid: String,
    /// The account's auth token.
    pub auth_token: GatewayCredential,
    /// Who the message comes from.
    pub sender: TwilioSender,
    /// Scheme and authority, without a trailing slash; `https://api.twilio.com` unless a test or a
    /// private gateway stands in.
    pub base_url: String,
}

/// Who a message comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TwilioSender {
    /// A number, short code or alphanumeric sender: Twilio's `From`.
    Number(String),
    /// A messaging service, `MG...`: Twilio's `MessagingServiceSid`.
    MessagingService(String),
}

/// Why Twilio cannot be used with the settings given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TwilioSettingsError {
    /// The account SID cannot be part of a URL.
    #[error("the account SID must be letters and digits, such as AC followed by 32 hex digits")]
    AccountSid,
    /// The auth token is empty or not ASCII.
    #[error("the auth token must be visible ASCII characters, as the Twilio console shows it")]
    AuthToken,
    /// The sender is empty.
    #[error("the sender is empty: give a phone number or a messaging service")]
    Sender,
    /// The base URL is not one.
    #[error("the base URL {0:?} must be http:// or https:// with a host and nothing after a path")]
    BaseUrl(String),
    /// The HTTP client could not be built.
    #[error("{0}")]
    Client(String),
}

/// Twilio's bounds for `ValidityPeriod` are 1 and 36,000 s; below 6 s even a message that leaves
/// at once would often be dropped by Twilio's own queue.
const VALIDITY_SECONDS: (u64, u64) = (6, 36_000);

/// The gateway.
pub struct TwilioMessages {
    client: HttpClient,
    url: Url,
    headers: HeaderMap,
    /// The sender as the first pair of a form.
    sender_pair: String,
    standing: AccountStanding,
}

impl TwilioMessages {
    /// The gateway's name in settings and logs.
    pub const NAME: &'static str = "TwilioMessages";

    /// Prepares everything that is the same for every message. Sends nothing.
    pub fn new(settings: TwilioSettings) -> Result<Self, TwilioSettingsError> {
        let TwilioSettings { account_sid, auth_token, sender, base_url } = settings;
        let url = messages_url(&account_sid, base_url)?;
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, authorization(&account_sid, &auth_token)?);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let sender_pair = sender_pair(&sender)?;
        let client =
            HttpClient::for_target(&url).map_err(|error| TwilioSettingsError::Client(error.to_string()))?;
        if url.scheme() == "http" && !is_this_machine(&url) {
            tracing::warn!(
                gateway = Self::NAME,
                host = url.host_str(),
                "the base URL is not https: codes and credentials cross the network unprotected"
            );
        }
        Ok(Self { client, url, headers, sender_pair, standing: AccountStanding::default() })
    }

    async fn hand_over(&self, message: &OutgoingMessage) -> Result<Accepted, GatewayError> {
        if message.channel != Channel::Sms {
            return Err(failure(
                ErrorClass::Configuration,
                None,
                format!(
                    "was asked for the channel {}, and sends text messages only",
                    message.channel.as_str()
                ),
            ));
        }
        let mut request = Request::new(Method::POST, self.url.clone());
        self.headers.clone_into(request.headers_mut());
        *request.body_mut() = Some(self.form(message).into());
        match self.client.send(request).await {
            Ok(answer) => judge(&answer),
            // Without a connection the same call may work on the next try.
            Err(NoAnswer::NotConnected(why)) => {
                Err(failure(ErrorClass::Retry { after: None }, None, format!("was not reached: {why}")))
            }
            Err(NoAnswer::Broken(why)) => {
                Err(failure(ErrorClass::Ambiguous, None, format!("did not answer: {why}")))
            }
        }
    }

    fn form(&self, message: &OutgoingMessage) -> String {
        let (shortest, longest) = VALIDITY_SECONDS;
        let validity = message.valid_for.as_secs().clamp(shortest, longest);
        // Room for the text with half of its characters escaped, and for the other fields.
        let mut form = String::with_capacity(self.sender_pair.len() + 2 * message.text.len() + 80);
        form.push_str(&self.sender_pair);
        Serializer::new(form)
            .append_pair("To", &message.to.e164())
            .append_pair("ValidityPeriod", &validity.to_string())
            .append_pair("Body", &message.text)
            .finish()
    }
}

impl Gateway for TwilioMessages {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn send<'a>(&'a self, message: &'a OutgoingMessage) -> BoxFuture<'a, Result<Accepted, GatewayError>> {
        Box::pin(async move {
            let result = self.hand_over(message).await;
            self.standing.learn_from(&result);
            result
        })
    }

    fn readiness(&self) -> Result<(), String> {
        self.standing.readiness()
    }
}

impl fmt::Debug for TwilioMessages {
    /// The URL names the account; the credentials are in the headers, which are left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TwilioMessages").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

/// What the last telling answer said about the account: sends of all numbers fail until an
/// operator mends it, and the first one that works proves that it is mended.
#[derive(Default)]
struct AccountStanding(AtomicU8);

impl AccountStanding {
    const GOOD: u8 = 0;
    const CREDENTIALS_REJECTED: u8 = 1;
    const SUSPENDED: u8 = 2;

    fn learn_from(&self, result: &Result<Accepted, GatewayError>) {
        let standing = match result {
            Ok(_) => Self::GOOD,
            Err(GatewayError { code: Some(CREDENTIALS), .. }) => Self::CREDENTIALS_REJECTED,
            Err(GatewayError { code: Some(SUSPENDED), .. }) => Self::SUSPENDED,
            Err(_) => return,
        };
        // Nearly always unchanged: a plain read keeps the cache line shared between the cores.
        if self.0.load(Ordering::Relaxed) != standing {
            self.0.store(standing, Ordering::Relaxed);
        }
    }

    fn readiness(&self) -> Result<(), String> {
        let code = match self.0.load(Ordering::Relaxed) {
            Self::CREDENTIALS_REJECTED => CREDENTIALS,
            Self::SUSPENDED => SUSPENDED,
            _ => return Ok(()),
        };
        let words = words_for(code).unwrap_or_default();
        Err(format!("{} refused the last message: {words} (code {code})", TwilioMessages::NAME))
    }
}

#[derive(Deserialize)]
struct MessageCreated {
    sid: String,
}

/// The message in an error answer stays unread, for it can repeat the number.
#[derive(Deserialize)]
struct ErrorAnswer {
    code: u32,
}

/// Longest message id taken over from an answer. Twilio's have 34 characters; servers with the
/// same API use others, such as UUIDs.
const SID_MAX: usize = 64;

fn judge(answer: &Answer) -> Result<Accepted, GatewayError> {
    let status = answer.status.as_u16();
    if answer.status.is_success() {
        let created: Option<MessageCreated> = read_json(answer);
        let sid = created.map(|c| c.sid).filter(|sid| {
            (1..=SID_MAX).contains(&sid.len())
                && sid.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        });
        return match sid {
            Some(message_id) => Ok(Accepted { message_id }),
            None => Err(failure(
                ErrorClass::Ambiguous,
                None,
                format!("answered HTTP {status} without a readable message id"),
            )),
        };
    }
    let code = read_json(answer).map(|error: ErrorAnswer| error.code);
    let class = match class_of(code, status) {
        ErrorClass::Retry { after } => ErrorClass::Retry { after: retry_after(&answer.headers).or(after) },
        class => class,
    };
    let words = match code.and_then(words_for) {
        Some(words) => words,
        None if answer.status.is_redirection() => "a redirect, which is not followed; check TWILIO_BASE_URL",
        None => "no reason that is known",
    };
    Err(failure(class, code, format!("answered HTTP {status}: {words}")))
}

fn read_json<'a, T: Deserialize<'a>>(answer: &'a Answer) -> Option<T> {
    serde_json::from_slice(answer.body.as_deref()?).ok()
}

/// `Retry-After` (RFC 9110, 10.2.3): seconds, or a date, which is compared with the answer's own
/// `Date`, so that it does not matter how far the two machines' clocks are apart.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = httpdate::parse_http_date(text).ok()?;
    let answered = httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()?;
    Some(until.duration_since(answered).unwrap_or_default())
}

fn failure(class: ErrorClass, code: Option<u32>, detail: String) -> GatewayError {
    GatewayError { gateway: TwilioMessages::NAME, class, code, detail }
}

fn messages_url(account_sid: &str, base_url: String) -> Result<Url, TwilioSettingsError> {
    if account_sid.is_empty() || !account_sid.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(TwilioSettingsError::AccountSid);
    }
    let usable = |base: &Url| {
        matches!(base.scheme(), "http" | "https")
            && base.has_host()
            && base.username().is_empty()
            && base.password().is_none()
            && base.query().is_none()
            && base.fragment().is_none()
    };
    let Some(base) = Url::parse(&base_url).ok().filter(usable) else {
        return Err(TwilioSettingsError::BaseUrl(base_url));
    };
    let base = base.as_str().trim_end_matches('/');
    Url::parse(&format!("{base}/2010-04-01/Accounts/{account_sid}/Messages.json"))
        .map_err(|_| TwilioSettingsError::BaseUrl(base_url))
}

fn sender_pair(sender: &TwilioSender) -> Result<String, TwilioSettingsError> {
    let (field, value) = match sender {
        TwilioSender::Number(number) => ("From", number),
        TwilioSender::MessagingService(sid) => ("MessagingServiceSid", sid),
    };
    if value.trim().is_empty() {
        return Err(TwilioSettingsError::Sender);
    }
    Ok(Serializer::new(String::new()).append_pair(field, value).finish())
}

fn authorization(account_sid: &str, token: &GatewayCredential) -> Result<HeaderValue, TwilioSettingsError> {
    let token = token.expose();
    if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(TwilioSettingsError::AuthToken);
    }
    let pair = Zeroizing::new(format!("{account_sid}:{token}"));
    let encoded = Zeroizing::new(base64::engine::general_purpose::STANDARD.encode(pair.as_bytes()));
    let header = Zeroizing::new(format!("Basic {}", *encoded));
    let mut value = HeaderValue::from_str(&header).map_err(|_| TwilioSettingsError::AuthToken)?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests;
