//! Twilio Programmable Messaging: `POST /2010-04-01/Accounts/{Sid}/Messages.json`, for text and `WhatsApp` messages.
//!
//! Source: <https://www.twilio.com/docs/messaging/api/message-resource>.

use std::sync::Arc;

use reqwest::Request;
use url::Url;

use super::callbacks::status_of_message;
use super::codes::{self, account_state, created, number_state, service_state};
use super::{Account, BASE_URL, CallbackKind, SENDER, form};
use crate::client::GatewayResponse;
use crate::clock::Clock;
use crate::domain::{Channel, GatewayName};
use crate::provider::{HttpProvider, Provider, get};
use crate::settings::below;
use crate::{
    Accepted, AccountPart, GatewayError, GatewaySettingsError, OutgoingMessage, ReceiptStatus, TwilioSender,
    TwilioSettings, WhatsAppSender,
};

const NAME: GatewayName = GatewayName::TwilioMessages;

/// Twilio's bounds for `ValidityPeriod` are 1 and 36,000 s; below 6 s even a message that leaves at once would often
/// be dropped by Twilio's own queue.
const VALIDITY_SECONDS: (u64, u64) = (6, 36_000);

pub type TwilioMessages = HttpProvider<MessagesApi>;

pub struct MessagesApi {
    account: Account,
    url: Url,
    settings: TwilioSettings,
}

impl TwilioMessages {
    pub fn new(settings: &TwilioSettings, clock: Arc<dyn Clock>) -> Result<Self, GatewaySettingsError> {
        let account = Account::new(NAME, &settings.account)?;
        let url = account.resource("Messages.json");
        let base = account.base.clone();
        Self::of(MessagesApi { account, url, settings: settings.clone() }, (BASE_URL, &base), clock)
    }
}

impl Provider for MessagesApi {
    fn name(&self) -> GatewayName {
        NAME
    }

    fn refuses_account(code: u32) -> bool {
        codes::refuses_account(code)
    }

    fn channels(&self) -> &[Channel] {
        if self.settings.whatsapp.is_some() { &[Channel::Sms, Channel::WhatsApp] } else { &[Channel::Sms] }
    }

    fn request(&self, message: &OutgoingMessage) -> Result<Request, GatewayError> {
        let TwilioSettings { sender, whatsapp, .. } = &self.settings;
        let whatsapp = whatsapp.as_ref().filter(|_| message.channel == Channel::WhatsApp);
        let template = whatsapp.and_then(|whatsapp| whatsapp.content_sid.as_ref());
        let (field, from) = match (whatsapp, sender) {
            (Some(WhatsAppSender { number, .. }), _) => ("From", format!("whatsapp:{number}")),
            (None, TwilioSender::Number(number)) => ("From", number.clone()),
            (None, TwilioSender::MessagingService(sid)) => ("MessagingServiceSid", sid.clone()),
        };
        let scheme = if whatsapp.is_some() { "whatsapp:" } else { "" };
        let (shortest, longest) = VALIDITY_SECONDS;
        let validity = message.valid_for.as_secs().clamp(shortest, longest);
        let mut form = form();
        form.append_pair(field, &from);
        if let Some(sid) = template {
            form.append_pair("ContentSid", sid);
        }
        form.append_pair("To", &format!("{scheme}{}", message.recipient().e164()))
            .append_pair("ValidityPeriod", &validity.to_string());
        if template.is_some() {
            // A code is digits, which JSON need not escape.
            form.append_pair("ContentVariables", &format!(r#"{{"1":"{}"}}"#, message.code.expose()));
        } else {
            form.append_pair("Body", &message.text);
        }
        if let Some(callback) = &message.callback {
            form.append_pair("StatusCallback", &CallbackKind::Message.address(callback));
        }
        Ok(self.account.post(&self.url, &mut form))
    }

    fn classify(&self, response: &GatewayResponse) -> Result<Accepted, GatewayError> {
        created(NAME, response, |status| status_of_message(status) == Some(ReceiptStatus::Failed))
    }

    /// The account, and the sender unless it is a short code or a name.
    fn account_requests(&self) -> Vec<(AccountPart, Request)> {
        let sender = match &self.settings.sender {
            TwilioSender::Number(number) => self.account.phone_number(number),
            TwilioSender::MessagingService(sid) => Some((AccountPart::Sender, self.messaging_service(sid))),
        };
        [self.account.itself()].into_iter().chain(sender).collect()
    }

    fn classify_account(
        &self,
        part: AccountPart,
        response: &GatewayResponse,
    ) -> Result<String, GatewayError> {
        match (part, &self.settings.sender) {
            (AccountPart::Credentials, _) => account_state(NAME, response),
            (AccountPart::Sender, TwilioSender::Number(_)) => number_state(NAME, SENDER, response),
            (AccountPart::Sender, TwilioSender::MessagingService(_)) => service_state(NAME, SENDER, response),
        }
    }
}

impl MessagesApi {
    /// Twilio has messaging services on a host of their own.
    fn messaging_service(&self, sid: &str) -> Request {
        let mut url = below(&self.account.base, &format!("v1/Services/{sid}"));
        if url.host_str() == Some("api.twilio.com") {
            // Every `https` URL takes another host.
            let _ = url.set_host(Some("messaging.twilio.com"));
        }
        get(url, &self.account.headers)
    }
}
