//! Gateways at an address that the test chooses. All send with one HTTP client: what happens to a connection is tested
//! through one of them.

use crate::support::prelude::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GatewayKind {
    TwilioMessages,
    TwilioVerify,
    Sinch,
    Http,
}

impl GatewayKind {
    /// Makes the server send through this gateway only, at this address: scheme and authority.
    pub fn at(self, base: &str, setup: Setup) -> Setup {
        match self {
            Self::TwilioMessages => through(base, setup),
            Self::TwilioVerify => through(base, setup)
                .env("TWILIO_SERVICES_ID", VERIFY_SID)
                .config("otp-sms-provider", "TwilioVerify"),
            Self::Sinch => setup
                .env("SINCH_APP_ID", SINCH_APP_ID)
                .env("SINCH_APP_SECRET", SINCH_APP_SECRET)
                .env("SINCH_VERIFICATION_URL", format!("{base}/verification/v1/verifications"))
                .config("otp-sms-provider", "Sinch"),
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
}
