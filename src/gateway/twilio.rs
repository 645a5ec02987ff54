//! Twilio Programmable Messaging: `POST /2010-04-01/Accounts/{Sid}/Messages.json`.
//!
//! Source: <https://www.twilio.com/docs/messaging/api/message-resource>. Twilio has no parameter
//! that makes a repeated call harmless, so whatever leaves open whether the message was taken is
//! [`ErrorClass::Ambiguous`].

mod answer;
mod settings;
mod standing;

use std::fmt;
use std::sync::Arc;

use form_urlencoded::Serializer;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Request, Url};

use self::answer::judge;
use self::settings::{authorization, messages_url, sender_pair};
use self::standing::AccountStanding;
use super::http_client::{HttpClient, NoAnswer, is_this_machine};
#[cfg(test)]
use super::twilio_codes::{CREDENTIALS, SUSPENDED};
use super::{
    Accepted, BoxFuture, ErrorClass, Gateway, GatewayError, OutgoingMessage, TwilioAccount, TwilioSettings,
};
use crate::clock::Clock;
use crate::domain::{Channel, GatewayName};

pub use self::settings::TwilioSettingsError;

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
    clock: Arc<dyn Clock>,
}

impl TwilioMessages {
    /// Prepares everything that is the same for every message. Sends nothing.
    pub fn new(settings: TwilioSettings, clock: Arc<dyn Clock>) -> Result<Self, TwilioSettingsError> {
        let TwilioSettings { account, sender, .. } = settings;
        let TwilioAccount { account_sid, auth_token, base_url } = account;
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
                gateway = GatewayName::TwilioMessages.as_str(),
                host = url.host_str(),
                "the base URL is not https: codes and credentials cross the network unprotected"
            );
        }
        Ok(Self { client, url, headers, sender_pair, standing: AccountStanding::default(), clock })
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
    fn name(&self) -> GatewayName {
        GatewayName::TwilioMessages
    }

    fn channels(&self) -> &[Channel] {
        &[Channel::Sms]
    }

    fn send<'a>(&'a self, message: &'a OutgoingMessage) -> BoxFuture<'a, Result<Accepted, GatewayError>> {
        Box::pin(async move {
            let result = self.hand_over(message).await;
            self.standing.learn_from(&result, || self.clock.now());
            result
        })
    }

    fn readiness(&self) -> Result<(), String> {
        self.standing.readiness(self.clock.now())
    }
}

impl fmt::Debug for TwilioMessages {
    /// The URL names the account; the credentials are in the headers, which are left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TwilioMessages").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

fn failure(class: ErrorClass, code: Option<u32>, detail: String) -> GatewayError {
    GatewayError { gateway: GatewayName::TwilioMessages, class, code, detail, whole_gateway: false }
}

#[cfg(test)]
mod tests;
