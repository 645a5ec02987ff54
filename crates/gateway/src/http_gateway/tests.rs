use std::time::Duration;

use serde_json::json;

use secrecy::SecretString;

use super::*;
use crate::Gateway as _;
use crate::HttpSuccess;
use crate::clock::ManualClock;
use crate::domain::Timestamp;
use crate::double::{Double, Received, Reply, message, refusing_url};

mod answers;
mod documented;
mod requests;
mod settings_errors;

#[tokio::test]
async fn only_the_channels_that_are_named_are_served() {
    let mut double = Double::playing([Reply::json(200, "")]).await;
    let settings = HttpGatewaySettings { channels: vec![Channel::Call], ..settings(&double.base_url()) };
    let gateway = gateway(&settings);
    assert_eq!(gateway.channels(), [Channel::Call]);
    assert!(gateway.checker().is_none());
    let error = gateway.send(&message("1")).await.expect_err("refused");
    assert_eq!((error.class, error.whole_gateway), (ErrorClass::Configuration, false));
    assert!(double.further_requests().is_empty());
    let call = OutgoingMessage { channel: Channel::Call, ..message("1. 2.") };
    gateway.send(&call).await.expect("accepted");
}

#[tokio::test]
async fn without_a_connection_nothing_was_sent() {
    let gateway = gateway(&settings(&refusing_url().await));
    let error = gateway.send(&message("1")).await.expect_err("refused");
    assert_eq!((error.class, error.whole_gateway), (ErrorClass::Retry { after: None }, true));
}

#[tokio::test]
async fn a_refused_account_speaks_against_readiness() {
    let double = Double::playing([Reply::json(401, ""), Reply::json(200, "")]).await;
    let gateway = gateway(&settings(&double.base_url()));
    let _ = gateway.send(&message("1")).await;
    assert!(gateway.readiness().expect_err("not ready").contains("credentials"));
    let _ = gateway.send(&message("2")).await;
    assert!(gateway.readiness().is_ok());
}

#[tokio::test]
async fn nothing_secret_or_personal_is_in_an_error_or_in_debug() {
    let double = Double::playing([Reply::json(401, "no: +14155552671, s3cr3t")]).await;
    let settings = HttpGatewaySettings {
        url: format!("{}/send?key={{token}}&fixed=wr1tten", double.base_url()),
        headers: vec![("X-Key".to_owned(), "wr1tten {password}".to_owned())],
        ..settings("")
    };
    let gateway = gateway(&settings);
    let error = gateway.send(&message("Your code is 012345")).await.expect_err("refused");
    for text in [format!("{error} {error:?}"), format!("{gateway:?}"), format!("{settings:?}")] {
        for secret in ["s3cr3t", "t0ken", "wr1tten", "4155552671", "012345"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

#[tokio::test]
async fn a_text_of_the_account_is_shown_without_control_characters_and_short() {
    let body = json!({ "balance": format!("\u{1b}[31m5\n{}", "0".repeat(1_000)) }).to_string();
    let double = Double::playing([Reply::json(200, &body)]).await;
    let url = format!("{}/balance", double.base_url());
    let account = Some(HttpAccount { url, show: Some("/balance".to_owned()), right: Vec::new() });
    let gateway = gateway(&HttpGatewaySettings { account, ..settings(&double.base_url()) });
    let found = gateway.examine_account().await;
    let state = found[0].state.as_ref().expect("right");
    assert!(!state.contains(char::is_control) && state.contains("[31m5"), "{state}");
    assert!(state.chars().count() < 120, "{state}");
}

fn gateway(settings: &HttpGatewaySettings) -> HttpGateway {
    let clock = Arc::new(ManualClock::starting_at(Timestamp::from_millis(1_700_000_000_000)));
    HttpGateway::new(settings, clock).expect("a gateway")
}

/// The smallest valid description.
fn settings(base_url: &str) -> HttpGatewaySettings {
    let values = [("username", "user"), ("password", "s3cr3t"), ("token", "t0ken")];
    let values = values.map(|(name, value)| (name.to_owned(), SecretString::from(value.to_owned())));
    HttpGatewaySettings {
        method: "POST".to_owned(),
        url: format!("{base_url}/send"),
        headers: Vec::new(),
        json: Some(json!({ "to": "{to}", "text": "{text}" })),
        success: HttpSuccess::default(),
        channels: vec![Channel::Sms],
        values: values.into(),
        ..HttpGatewaySettings::default()
    }
}

/// The request that a description makes from a message.
async fn request_of(
    describe: impl FnOnce(&str) -> HttpGatewaySettings,
    message: &OutgoingMessage,
) -> Received {
    let mut double = Double::playing([Reply::json(200, "")]).await;
    gateway(&describe(&double.base_url())).send(message).await.expect("accepted");
    double.request().await
}
