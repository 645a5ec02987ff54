//! Each kind of gateway, at an address that the test chooses.

use serde_json::json;

use crate::support::{
    Client, HTTP_TOKEN, HttpResponse, MADA_PASSWORD, MADA_SOURCE, MADA_USERNAME, SINCH_APP_ID,
    SINCH_APP_SECRET, Setup, VERIFY_SID, through,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GatewayKind {
    TwilioMessages,
    TwilioVoice,
    TwilioVerify,
    Sinch,
    Mada,
    Http,
}

impl GatewayKind {
    pub const ALL: [Self; 6] =
        [Self::TwilioMessages, Self::TwilioVoice, Self::TwilioVerify, Self::Sinch, Self::Mada, Self::Http];

    /// Makes the server send through this gateway only, at this address: scheme and authority.
    pub fn at(self, base: &str, setup: Setup) -> Setup {
        match self {
            Self::TwilioMessages => through(base, setup),
            Self::TwilioVoice => through(base, setup).config("voice", true),
            Self::TwilioVerify => through(base, setup)
                .env("TWILIO_SERVICES_ID", VERIFY_SID)
                .config("otp-sms-provider", "TwilioVerify"),
            Self::Sinch => setup
                .env("SINCH_APP_ID", SINCH_APP_ID)
                .env("SINCH_APP_SECRET", SINCH_APP_SECRET)
                .env("SINCH_VERIFICATION_URL", format!("{base}/verification/v1/verifications"))
                .config("otp-sms-provider", "Sinch"),
            Self::Mada => setup
                .env("MADA_USERNAME", MADA_USERNAME)
                .env("MADA_PASSWORD", MADA_PASSWORD)
                .env("MADA_URL", format!("{}/sos", base.trim_start_matches("http://")))
                .env("MADA_SOURCE_NAME", MADA_SOURCE)
                .config("otp-sms-provider", "Mada"),
            Self::Http => setup
                .env("HTTP_GATEWAY_TOKEN", HTTP_TOKEN)
                .config(
                    "http-gateway",
                    json!({
                        "method": "POST",
                        "url": format!("{base}/json"),
                        "headers": {"Authorization": "Bearer {token}"},
                        "json": {"to": "{to}", "text": "{text}"},
                        "success": {"statuses": [200], "contains": "OK"},
                    }),
                )
                .config("otp-sms-provider", "Http"),
        }
    }

    /// Requests a message through it.
    pub async fn send(self, client: &Client, number: &str) -> HttpResponse {
        match self {
            Self::TwilioVoice => client.send_by(number, "call").await,
            _ => client.send(number).await,
        }
    }

    /// A raw answer by which it accepts a message. Only for gateways that accept every message with the same answer.
    pub fn accepts(self) -> &'static str {
        match self {
            Self::TwilioMessages => {
                "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 62\r\n\r\n\
                 {\"sid\":\"SM00000000000000000000000000000001\",\"status\":\"queued\"}"
            }
            _ => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK",
        }
    }

    /// Whether [`GatewayKind::accepts`] is an answer for it.
    pub fn is_easily_pleased(self) -> bool {
        matches!(self, Self::TwilioMessages | Self::Http)
    }
}
