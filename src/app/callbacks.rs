//! What comes to the callback paths of the front end, handed on to [`Reports`].

use super::front_end::LateBoundVerifier;
use super::reports::{Report, Reported, Reports};
use crate::config::Settings;
use crate::gateway::{BoxFuture, CallbackKind as Kind};
use crate::http::{CallbackAnswer, CallbackKind, CallbackRequest, Callbacks};

/// Takes the reports of Twilio, from when there is an engine.
pub struct TwilioReports {
    reports: Reports,
    late: LateBoundVerifier,
}

impl TwilioReports {
    /// `None` without a public address or without an account of Twilio's.
    pub fn new(settings: &Settings, late: LateBoundVerifier) -> Option<Self> {
        let reports = Reports::new(&settings.gateways, settings.delivery.public_url.as_ref())?;
        Some(Self { reports, late })
    }

    async fn take(&self, request: CallbackRequest) -> CallbackAnswer {
        let report = Report {
            kind: match request.kind {
                CallbackKind::Message => Kind::Message,
                CallbackKind::Call => Kind::Call,
                CallbackKind::Gate => Kind::Gate,
            },
            path_and_query: &request.path_and_query,
            content_type: request.content_type.as_deref(),
            signature: request.signature.as_deref(),
            body: &request.body,
        };
        match self.reports.take(report, self.late.running()).await {
            Reported::Noted => CallbackAnswer::NoContent,
            Reported::Says(document) => CallbackAnswer::Twiml(document),
            Reported::BadSignature => CallbackAnswer::BadSignature,
            Reported::Unreadable => CallbackAnswer::Unreadable,
            Reported::NotRunning => CallbackAnswer::Unavailable,
        }
    }
}

impl Callbacks for TwilioReports {
    fn receive(&self, request: CallbackRequest) -> BoxFuture<'_, CallbackAnswer> {
        Box::pin(self.take(request))
    }

    fn path_prefix(&self) -> &str {
        self.reports.path_prefix()
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use hmac::{Hmac, KeyInit as _, Mac as _};

    use super::*;
    use crate::config::GatewaySettings;
    use crate::domain::GatewayCredential;
    use crate::gateway::{TwilioAccount, TwilioSender, TwilioSettings};

    const PATH: &str = "/callbacks/twilio/message?attempt=0-00000000000000ff-0";

    fn gateways() -> GatewaySettings {
        let account = TwilioAccount {
            account_sid: "AC0123456789abcdef0123456789abcdef".to_owned(),
            auth_token: GatewayCredential::new("s3cr3t".to_owned()),
            base_url: "http://127.0.0.1:9".to_owned(),
        };
        let sender = TwilioSender::Number("+15005550006".to_owned());
        let twilio = TwilioSettings { account, sender, whatsapp: None, feedback: false };
        GatewaySettings { twilio_messages: Some(twilio), ..GatewaySettings::simulator() }
    }

    fn request(signature: Option<String>) -> CallbackRequest {
        CallbackRequest {
            kind: CallbackKind::Message,
            path_and_query: PATH.to_owned(),
            content_type: Some("application/x-www-form-urlencoded".to_owned()),
            signature,
            body: "MessageSid=SM01&MessageStatus=sent".into(),
        }
    }

    #[tokio::test]
    async fn a_report_that_comes_before_the_store_is_loaded_is_asked_for_again_if_it_is_twilios() {
        let reports = Reports::new(&gateways(), Some(&"https://example.com".into())).expect("reports");
        let callbacks = TwilioReports { reports, late: LateBoundVerifier::default() };
        let mac = Hmac::<sha1::Sha1>::new_from_slice(b"s3cr3t").expect("a key");
        let mac = mac.chain_update(format!("https://example.com{PATH}MessageSidSM01MessageStatussent"));
        let signature = STANDARD.encode(mac.finalize().into_bytes());
        assert_eq!(callbacks.receive(request(Some(signature))).await, CallbackAnswer::Unavailable);
        assert_eq!(callbacks.receive(request(None)).await, CallbackAnswer::BadSignature);
    }

    #[test]
    fn without_an_account_or_an_address_nobody_reports() {
        assert!(Reports::new(&gateways(), None).is_none());
        assert!(Reports::new(&GatewaySettings::simulator(), Some(&"https://example.com".into())).is_none());
    }
}
