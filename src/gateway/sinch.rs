//! Sinch Verification: `POST {verification_url}`, and `PUT {verification_url}/number/{number}` to
//! check.
//!
//! Source: <https://developers.sinch.com/docs/verification/api-reference/verification/>. Sinch makes
//! the code, words the message and holds the code, so a message's `text` and `code` stay unused.

mod answer;
mod codes;

use std::fmt;
use std::sync::Arc;

use hyper::Method;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde_json::{Value, json};
use url::Url;

use self::answer::{judge_check, judge_send};
use super::wire::{
    Answer, HttpClient, Meaning, Request, Standing, as_sent, base_url, basic_auth, below, client_for,
    not_answered,
};
use super::{
    Accepted, BoxFuture, Checker, ErrorClass, Gateway, GatewayError, GatewaySettingsError, OutgoingMessage,
    SinchSettings, Verdict,
};
use crate::clock::Clock;
use crate::domain::{Channel, Code, GatewayName, PhoneNumber};

const NAME: GatewayName = GatewayName::Sinch;

/// The URL's setting, as errors name it.
const URL_SETTING: &str = "sms.sinch.verification_url (SINCH_VERIFICATION_URL)";

/// The gateway.
pub struct Sinch {
    client: HttpClient,
    url: Url,
    headers: HeaderMap,
    standing: Standing,
}

impl Sinch {
    /// Prepares everything that is the same for every message. Sends nothing. The clock dates a
    /// refusal of the account, for readiness.
    pub fn new(settings: &SinchSettings, clock: Arc<dyn Clock>) -> Result<Self, GatewaySettingsError> {
        let SinchSettings { app_id, app_secret, verification_url } = settings;
        let url = base_url(NAME, URL_SETTING, verification_url)?;
        let authorization = basic_auth(app_id, app_secret.expose()).ok_or_else(|| {
            let settings = "sms.sinch.app_id and app_secret (SINCH_APP_ID, SINCH_APP_SECRET)";
            GatewaySettingsError::new(
                NAME,
                settings,
                "must both be there, as the Sinch dashboard shows them, the id without a colon",
            )
        })?;
        let headers = HeaderMap::from_iter([
            (AUTHORIZATION, authorization),
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (ACCEPT, HeaderValue::from_static("application/json")),
        ]);
        let client = client_for(NAME, URL_SETTING, &url)?;
        Ok(Self { client, url, headers, standing: Standing::new(clock) })
    }

    async fn start(&self, message: &OutgoingMessage) -> Result<Accepted, GatewayError> {
        let method = method_of(message.channel)?;
        let identity = json!({ "type": "number", "endpoint": message.to.e164() });
        let body = json!({ "identity": identity, "method": method });
        judge_send(&self.ask(Method::POST, &self.url, &body).await?)
    }

    async fn report(&self, to: PhoneNumber, channel: Channel, code: &Code) -> Result<Verdict, GatewayError> {
        let method = method_of(channel)?;
        let url = below(&self.url, &format!("number/{}", to.e164())).ok_or_else(url_does_not_fit)?;
        let body = json!({ "method": method, method: { "code": code.expose() } });
        judge_check(&self.ask(Method::PUT, &url, &body).await?)
    }

    async fn ask(&self, method: Method, url: &Url, body: &Value) -> Result<Answer, GatewayError> {
        let address = as_sent(url).ok_or_else(url_does_not_fit)?;
        let request =
            Request { method, address, headers: self.headers.clone(), body: body.to_string().into() };
        self.client.send(request).await.map_err(|no_answer| not_answered(NAME, no_answer))
    }
}

impl Gateway for Sinch {
    fn name(&self) -> GatewayName {
        NAME
    }

    fn channels(&self) -> &[Channel] {
        &[Channel::Sms, Channel::Call]
    }

    fn send<'a>(&'a self, message: &'a OutgoingMessage) -> BoxFuture<'a, Result<Accepted, GatewayError>> {
        Box::pin(async move { self.standing.learn(self.start(message).await) })
    }

    fn checker(&self) -> Option<&dyn Checker> {
        Some(self)
    }

    fn readiness(&self) -> Result<(), String> {
        self.standing.readiness()
    }
}

impl Checker for Sinch {
    fn check<'a>(
        &'a self,
        to: PhoneNumber,
        channel: Channel,
        code: &'a Code,
    ) -> BoxFuture<'a, Result<Verdict, GatewayError>> {
        Box::pin(async move { self.standing.learn(self.report(to, channel, code).await) })
    }
}

impl fmt::Debug for Sinch {
    /// Shows where messages go to be sent, and not in whose name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sinch").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

fn url_does_not_fit() -> GatewayError {
    configuration(format!("cannot be asked: the number does not fit into the URL; check {URL_SETTING}"))
}

/// Sinch's name for a channel, which is also the name of the object that carries the code.
fn method_of(channel: Channel) -> Result<&'static str, GatewayError> {
    match channel {
        Channel::Sms => Ok("sms"),
        Channel::Call => Ok("callout"),
        Channel::WhatsApp => Err(configuration(
            "was asked for the channel whatsapp, and has text messages and calls only".to_owned(),
        )),
    }
}

fn configuration(detail: String) -> GatewayError {
    Meaning::of_this_message(ErrorClass::Configuration).error(NAME, None, detail)
}

#[cfg(test)]
mod tests;
