//! Twilio Programmable Messaging: `POST /2010-04-01/Accounts/{Sid}/Messages.json`.
//!
//! Source: <https://www.twilio.com/docs/messaging/api/message-resource>. Twilio has no parameter
//! that makes a repeated call harmless, so whatever leaves open whether the message was taken is
//! [`ErrorClass::Ambiguous`].

mod answer;
mod settings;

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};

use form_urlencoded::Serializer;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Request, Url};

use self::answer::judge;
use self::settings::{authorization, messages_url, sender_pair};
use super::http_client::{HttpClient, NoAnswer, is_this_machine};
use super::twilio_codes::{CREDENTIALS, SUSPENDED, words_for};
use super::{Accepted, BoxFuture, ErrorClass, Gateway, GatewayError, OutgoingMessage};
use crate::domain::Channel;

pub use self::settings::{TwilioSender, TwilioSettings, TwilioSettingsError};

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
        let url = messages_url(&account_sid, &base_url)?;
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

fn failure(class: ErrorClass, code: Option<u32>, detail: String) -> GatewayError {
    GatewayError { gateway: TwilioMessages::NAME, class, code, detail }
}

#[cfg(test)]
mod tests;
