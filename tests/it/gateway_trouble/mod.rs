//! A gateway that refuses, hangs, resets or answers nonsense.

mod answers;
mod out_of_reach;
mod tls;

use crate::support::prelude::*;

#[tokio::test]
async fn a_client_that_hangs_up_does_not_cancel_its_send() {
    let world = World::new().await;
    let number = world.number();
    world.twilio().plan(&number, [Reply::Hang]);
    let (client, to) = (world.server.client.clone(), number.clone());
    let impatient = tokio::spawn(async move { client.try_send(&to).await });
    world.twilio().arrived(1).await;
    impatient.abort();
    let _ = impatient.await;
    world.twilio().release();

    let code = world.twilio().code_for(&number);
    world.verify(&number, &code).await.expects(verified(&number));
}

/// Waits until the log has this reason for a failed send.
async fn logs_reason(server: &Server, why: &str) {
    let said = |event: &Value| event["detail"].as_str().is_some_and(|detail| detail.contains(why));
    soon(why, server.output().event(said)).await.expect("the program runs");
}

/// A gateway at an address that the test chooses. All send with one HTTP client: what happens to a connection is tested
/// through one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum GatewayKind {
    TwilioMessages,
    Http,
}

impl GatewayKind {
    /// Makes the server send through this gateway only, at this address: scheme and authority.
    fn at(self, base: &str, setup: Setup) -> Setup {
        match self {
            Self::TwilioMessages => through(base, setup),
            Self::Http => setup
                .env("ONCEWARD_GATEWAYS_HTTP_TOKEN", HTTP_TOKEN)
                .config(
                    "gateways",
                    json!({ "Http": { "recipe": {
                        "settings": {"token": {"about": "the token", "secret": true}},
                        "method": "POST",
                        "url": format!("{base}/json"),
                        "headers": {"Authorization": "Bearer {token}"},
                        "json": {"to": "{to}", "text": "{text}"},
                        "success": {"statuses": [200], "contains": "OK"},
                    } } }),
                )
                .config("otp-sms-provider", "Http"),
        }
    }

    /// A raw answer by which it accepts a message. Only for gateways that accept every message with the same answer.
    fn accepts(self) -> &'static str {
        match self {
            Self::TwilioMessages => {
                "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 62\r\n\r\n\
                 {\"sid\":\"SM00000000000000000000000000000001\",\"status\":\"queued\"}"
            }
            Self::Http => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK",
        }
    }
}
