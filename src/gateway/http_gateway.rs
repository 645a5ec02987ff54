//! A gateway that is described in the configuration: how a request looks, and how its success is
//! recognised.

mod answer;
mod body;
mod placeholder;
mod request;
mod success;
mod template;

use std::fmt;
use std::sync::Arc;

use self::answer::judge;
use self::request::RequestTemplate;
use self::success::SuccessRule;
use super::wire::{HttpClient, Meaning, OwnIds, Standing, client_for, not_answered};
use super::{
    Accepted, BoxFuture, ErrorClass, Gateway, GatewayError, GatewaySettingsError, HttpGatewaySettings,
    OutgoingMessage,
};
use crate::clock::Clock;
use crate::domain::{Channel, GatewayName};

const NAME: GatewayName = GatewayName::Http;

/// The URL's setting, as errors name it.
const URL_SETTING: &str = "http-gateway.url";

impl HttpGatewaySettings {
    /// What is wrong with the description, so that whoever read it can say where it comes from. Empty
    /// when [`HttpGateway::new`] takes it, as far as that depends on the description.
    pub fn problems(&self) -> Vec<GatewaySettingsError> {
        let request = RequestTemplate::new(self).map(drop);
        let success = SuccessRule::new(&self.success).map(drop);
        [request, success].into_iter().filter_map(Result::err).collect()
    }
}

/// The gateway.
pub struct HttpGateway {
    client: HttpClient,
    request: RequestTemplate,
    success: SuccessRule,
    channels: Vec<Channel>,
    own_ids: OwnIds,
    standing: Standing,
}

impl HttpGateway {
    /// Reads the description and prepares everything that is the same for every message. Sends
    /// nothing. The clock dates a refusal of the account, for readiness, and makes ids where the
    /// provider gives none.
    ///
    /// The error names the part of the description that cannot work: a placeholder that does not
    /// exist or has no value, a URL, method, header or JSON pointer that is none.
    pub fn new(settings: &HttpGatewaySettings, clock: Arc<dyn Clock>) -> Result<Self, GatewaySettingsError> {
        let request = RequestTemplate::new(settings)?;
        let success = SuccessRule::new(&settings.success)?;
        if settings.channels.is_empty() {
            return Err(problem("http-gateway.channels", "must name a channel: sms, call or whatsapp"));
        }
        let client = client_for(NAME, URL_SETTING, request.address())?;
        Ok(Self {
            client,
            request,
            success,
            channels: settings.channels.clone(),
            own_ids: OwnIds::new(NAME, &*clock),
            standing: Standing::new(clock),
        })
    }

    async fn hand_over(&self, message: &OutgoingMessage) -> Result<Accepted, GatewayError> {
        let asked = message.channel;
        if !self.channels.contains(&asked) {
            let detail = format!(
                "was asked for the channel {}, which http-gateway.channels does not name",
                asked.as_str()
            );
            return Err(Meaning::of_this_message(ErrorClass::Configuration).error(NAME, None, detail));
        }
        let request = self.request.filled_in(message).ok_or_else(|| {
            let detail = "cannot be asked: this message does not fit into the URL of http-gateway";
            Meaning::of_this_message(ErrorClass::Configuration).error(NAME, None, detail.to_owned())
        })?;
        match self.client.send(request).await {
            Ok(answer) => judge(&answer, &self.success, &self.own_ids),
            Err(no_answer) => Err(not_answered(NAME, no_answer)),
        }
    }
}

impl Gateway for HttpGateway {
    fn name(&self) -> GatewayName {
        NAME
    }

    fn channels(&self) -> &[Channel] {
        &self.channels
    }

    fn send<'a>(&'a self, message: &'a OutgoingMessage) -> BoxFuture<'a, Result<Accepted, GatewayError>> {
        Box::pin(async move { self.standing.learn(self.hand_over(message).await) })
    }

    fn readiness(&self) -> Result<(), String> {
        self.standing.readiness()
    }
}

impl fmt::Debug for HttpGateway {
    /// Shows where messages go. URL, headers and body may contain secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpGateway")
            .field("host", &self.request.address().host_str())
            .field("channels", &self.channels)
            .finish_non_exhaustive()
    }
}

fn problem(setting: impl Into<String>, problem: impl Into<String>) -> GatewaySettingsError {
    GatewaySettingsError::new(NAME, setting, problem)
}

#[cfg(test)]
mod tests;
