//! Reports of providers, through a program with its own HTTP server.

use http::{Request, Response};

use super::world::{ANNA, World};
use crate::gateway::double::twilio_signature;
use crate::otp::{AttemptQuery, Callback, GatewayName, Otp, Receipt, ReceiptStatus, Refusal};

const PUBLIC_URL: &str = "https://example.com/otp";
const TOKEN: &str = "s3cr3t";
const FORM: &str = "application/x-www-form-urlencoded";

/// A Twilio account that reports about a message of this test's gateway.
async fn sent(world: &World) -> Otp {
    let builder = world.with_own().set("otp-sms-provider", "Http;Twilio:+99");
    let builder = builder
        .set("TWILIO_ACCOUNT_SID", "AC0123456789abcdef0123456789abcdef")
        .set("TWILIO_AUTH_TOKEN", TOKEN)
        .set("TWILIO_PHONE_NUMBER", "+15005550006")
        .set("TWILIO_BASE_URL", "http://127.0.0.1:9");
    let otp = builder.set("public-url", PUBLIC_URL).start().await.expect("an engine");
    otp.send_sms(ANNA).await.expect("sent");
    otp
}

/// The address of its report.
fn callback(world: &World) -> Callback {
    let sent = world.provider.handed().pop().expect("a message");
    sent.callback.expect("an address")
}

fn path(world: &World) -> String {
    let Callback { public_url, attempt } = callback(world);
    assert_eq!(&*public_url, PUBLIC_URL);
    format!("/callbacks/twilio/message?attempt={attempt}")
}

async fn report(otp: &Otp, path: &str, form: &str) -> Response<String> {
    let signature = twilio_signature(TOKEN, &format!("{PUBLIC_URL}{path}"), form);
    let request = Request::post(path).header("Content-Type", FORM).header("X-Twilio-Signature", signature);
    otp.provider_callback(&request.body(form).expect("a request")).await
}

async fn receipt(otp: &Otp) -> Option<ReceiptStatus> {
    let rows = otp.attempts(&AttemptQuery::newest(1)).await.expect("a list");
    rows.first().and_then(|row| row.attempt.receipt)
}

#[tokio::test]
async fn a_report_is_noted_and_what_is_none_has_a_status_of_its_own() {
    let world = World::new();
    let otp = sent(&world).await;
    let path = path(&world);
    let reply = report(&otp, &path, "MessageSid=Http-1&MessageStatus=delivered").await;
    assert_eq!((reply.status().as_u16(), reply.headers().len(), &**reply.body()), (204, 0, ""));
    assert_eq!(receipt(&otp).await, Some(ReceiptStatus::Delivered));
    let large = "x".repeat(16 * 1024 + 1);
    for (path, form, status) in [
        (&*path, "MessageSid=Http-1&MessageStatus=lost", 400),
        ("/callbacks/twilio/other", "", 404),
        ("/callbacks/twilio/message/x", "", 404),
        (&path, &large, 413),
    ] {
        assert_eq!(report(&otp, path, form).await.status(), status, "{path}");
    }
    let unsigned =
        Request::post(&*path).header("Content-Type", FORM).body("MessageSid=Http-1&MessageStatus=read");
    assert_eq!(otp.provider_callback(&unsigned.expect("a request")).await.status(), 403);
    let attempt = callback(&world).attempt;
    let (gateway, message_id) = (Some(GatewayName::Http), "Http-1".to_owned());
    let read = Receipt { attempt, gateway, message_id, status: ReceiptStatus::Read, code: None, class: None };
    otp.note_receipt(&read).await.expect("noted, of a gateway of one's own");
    assert_eq!(receipt(&otp).await, Some(ReceiptStatus::Read));
    otp.stop().await.expect("stopped");
    assert_eq!(report(&otp, &path, "MessageSid=Http-1&MessageStatus=sent").await.status(), 503);
    assert_eq!(otp.note_receipt(&read).await, Err(Refusal::Stopping));
}
