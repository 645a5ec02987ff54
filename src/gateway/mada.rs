//! Mada: text messages by SOAP 1.1 (`SubmitSM` of Openmind's SMS-over-SOAP), as the project's
//! contract describes it.

mod answer;
mod status;
mod xml_read;
mod xml_write;

use std::fmt;
use std::sync::Arc;

use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Method, Uri};

use self::answer::judge;
use self::xml_write::{can_be_written, submit_sm};
use super::wire::{
    HttpClient, Meaning, OwnIds, Request, Standing, as_sent, basic_auth, client_for, not_answered,
    provider_url,
};
use super::{
    Accepted, BoxFuture, ErrorClass, Gateway, GatewayError, GatewaySettingsError, MadaSettings,
    OutgoingMessage,
};
use crate::clock::Clock;
use crate::domain::{Channel, GatewayName};

const NAME: GatewayName = GatewayName::Mada;

/// The URL's setting, as errors name it.
const URL_SETTING: &str = "sms.mada.url (MADA_URL)";

/// The gateway.
pub struct Mada {
    client: HttpClient,
    address: Uri,
    headers: HeaderMap,
    source_name: String,
    own_ids: OwnIds,
    standing: Standing,
}

impl Mada {
    /// Prepares everything that is the same for every message. Sends nothing. The clock dates a
    /// refusal of the account, for readiness, and makes ids where Mada gives none.
    pub fn new(settings: &MadaSettings, clock: Arc<dyn Clock>) -> Result<Self, GatewaySettingsError> {
        let MadaSettings { username, password, url, source_name } = settings;
        let error = |setting: &str, problem: &str| GatewaySettingsError::new(NAME, setting, problem);
        let whole = if url.contains("://") { url.clone() } else { format!("http://{url}") };
        let url = provider_url(NAME, URL_SETTING, &whole)?;
        let authorization = basic_auth(username, password.expose()).ok_or_else(|| {
            error(
                "sms.mada.username and password (MADA_USERNAME, MADA_PASSWORD)",
                "must both be there, the user name without a colon",
            )
        })?;
        if source_name.trim().is_empty() || !source_name.chars().all(can_be_written) {
            let setting = "sms.mada.source_name (MADA_SOURCE_NAME)";
            return Err(error(setting, "must be the sender's name, without control characters"));
        }
        let headers = HeaderMap::from_iter([
            (AUTHORIZATION, authorization),
            (CONTENT_TYPE, HeaderValue::from_static("text/xml")),
        ]);
        let client = client_for(NAME, URL_SETTING, &url)?;
        let address = as_sent(&url).ok_or_else(|| error(URL_SETTING, "is too long for a URL"))?;
        let own_ids = OwnIds::new(NAME, &*clock);
        let source_name = source_name.clone();
        Ok(Self { client, address, headers, source_name, own_ids, standing: Standing::new(clock) })
    }

    async fn hand_over(&self, message: &OutgoingMessage) -> Result<Accepted, GatewayError> {
        let configuration =
            |detail: String| Meaning::of_this_message(ErrorClass::Configuration).error(NAME, None, detail);
        if message.channel != Channel::Sms {
            let asked = message.channel.as_str();
            return Err(configuration(format!(
                "was asked for the channel {asked}, and sends text messages only"
            )));
        }
        let envelope = submit_sm(&self.source_name, message).map_err(|_| {
            configuration("cannot be asked: the message could not be written as XML".to_owned())
        })?;
        let (address, headers) = (self.address.clone(), self.headers.clone());
        let request = Request { method: Method::POST, address, headers, body: envelope.into() };
        match self.client.send(request).await {
            Ok(answer) => judge(&answer, &self.own_ids),
            Err(no_answer) => Err(not_answered(NAME, no_answer)),
        }
    }
}

impl Gateway for Mada {
    fn name(&self) -> GatewayName {
        NAME
    }

    fn channels(&self) -> &[Channel] {
        &[Channel::Sms]
    }

    fn send<'a>(&'a self, message: &'a OutgoingMessage) -> BoxFuture<'a, Result<Accepted, GatewayError>> {
        Box::pin(async move { self.standing.learn(self.hand_over(message).await) })
    }

    fn readiness(&self) -> Result<(), String> {
        self.standing.readiness()
    }
}

impl fmt::Debug for Mada {
    /// Shows where messages go to be sent, and not in whose name. A query may contain a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mada").field("host", &self.address.host()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
