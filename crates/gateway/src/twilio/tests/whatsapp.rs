//! `WhatsApp` messages, with a template or a text.

use super::*;
use crate::WhatsAppSender;

#[tokio::test]
async fn a_template_is_sent_with_the_code_as_its_first_variable() {
    let mut double = Double::playing([Reply::created(SID)]).await;
    let message = OutgoingMessage { channel: Channel::WhatsApp, ..message("not sent") };
    gateway(&double.base_url(), Some("HX0123")).send(&message).await.expect("accepted");
    let request = double.request().await;
    assert_eq!(request.request_line, format!("POST /2010-04-01/Accounts/{ACCOUNT}/Messages.json HTTP/1.1"));
    assert_eq!(
        fields(&request.form()),
        [
            ("From", "whatsapp:+15005550009"),
            ("ContentSid", "HX0123"),
            ("To", "whatsapp:+14155552671"),
            ("ValidityPeriod", "25"),
            ("ContentVariables", r#"{"1":"012345"}"#),
        ]
    );
}

#[tokio::test]
async fn without_a_template_the_text_itself_is_sent() {
    let mut double = Double::playing([Reply::created(SID)]).await;
    let message = OutgoingMessage {
        channel: Channel::WhatsApp,
        callback: Some(callback()),
        ..message("Code: 012345 ü")
    };
    gateway(&double.base_url(), None).send(&message).await.expect("accepted");
    let address = "https://example.com/otp/callbacks/twilio/message?attempt=0-00000000000000ff-3";
    assert_eq!(
        fields(&double.request().await.form()),
        [
            ("From", "whatsapp:+15005550009"),
            ("To", "whatsapp:+14155552671"),
            ("ValidityPeriod", "25"),
            ("Body", "Code: 012345 ü"),
            ("StatusCallback", address),
        ]
    );
}

#[tokio::test]
async fn text_messages_keep_their_own_sender() {
    let mut double = Double::playing([Reply::created(SID)]).await;
    gateway(&double.base_url(), Some("HX0123")).send(&message("Code: 012345")).await.expect("accepted");
    let form = double.request().await.form();
    assert_eq!(fields(&form)[..2], [("From", "+15005550006"), ("To", "+14155552671")]);
    assert!(form.iter().all(|(name, _)| name != "ContentSid"));
}

#[tokio::test]
async fn whatsapp_is_served_only_with_a_sender() {
    let url = "http://127.0.0.1:1";
    assert_eq!(twilio(url).channels(), [Channel::Sms]);
    assert_eq!(gateway(url, None).channels(), [Channel::Sms, Channel::WhatsApp]);
}

fn gateway(base_url: &str, content_sid: Option<&str>) -> TwilioMessages {
    let content_sid = content_sid.map(str::to_owned);
    let whatsapp = Some(WhatsAppSender { number: "+15005550009".to_owned(), content_sid });
    TwilioMessages::new(&TwilioSettings { whatsapp, ..settings(base_url) }, clock()).expect("a gateway")
}
