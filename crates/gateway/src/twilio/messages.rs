//! Twilio Programmable Messaging: `POST /2010-04-01/Accounts/{Sid}/Messages.json`, for text and `WhatsApp` messages.
//!
//! Source: <https://www.twilio.com/docs/messaging/api/message-resource>.

use reqwest::{Request, Url};

use super::callbacks::status_of_message;
use super::{Account, CallbackKind, form};
use crate::client::GatewayResponse;
use crate::domain::{Channel, GatewayName};
use crate::provider::{Provider, Question};
use crate::{
    Accepted, GatewayError, OutgoingMessage, ReceiptStatus, TwilioSender, TwilioSettings, WhatsAppSender,
};

/// Twilio's bounds for `ValidityPeriod` are 1 and 36,000 s; below 6 s even a message that leaves at once would often
/// be dropped by Twilio's own queue.
const VALIDITY_SECONDS: (u64, u64) = (6, 36_000);

pub struct Messages {
    account: Account,
    url: Url,
    settings: TwilioSettings,
}

impl Messages {
    pub fn new(settings: &TwilioSettings, base: Url) -> Self {
        let account = Account::new(GatewayName::TwilioMessages, &settings.account, base);
        let url = account.resource("Messages.json");
        Self { account, url, settings: settings.clone() }
    }
}

impl Provider for Messages {
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
        self.account.created(response, |status| status_of_message(status) == Some(ReceiptStatus::Failed))
    }

    fn account_question(&self) -> Option<Question<'_, ()>> {
        Some(self.account.question())
    }
}
