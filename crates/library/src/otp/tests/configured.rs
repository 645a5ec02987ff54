//! The server's configuration works in the library, and unusable settings are named.

use serde_json::{Value, json};

use super::world::{ANNA, World};
use crate::config::Sources;
use crate::otp::{GatewayName, Otp, OtpBuilder, StartError};

/// Settings of the Go framework's component, for a gateway that these tests do not call.
const GO_FRAMEWORK: &str = r#"{
    "otp-timeout": "5m",
    "authentication": { "otp_length": 5 },
    "sms": { "twilio": { "sid": "AC00000000000000000000000000000000", "token": "00000000000000000000000000000000",
                         "verify_sid": "VA00000000000000000000000000000000" } }
}"#;

#[tokio::test]
async fn a_configuration_file_that_is_not_there_is_an_error_that_names_it() {
    let world = World::new();
    let missing = world.directory.path().join("none.json");
    let error = Otp::from_config(&missing).start().await.expect_err("refused");
    assert!(matches!(error, StartError::Config(_)), "{error:?}");
    assert!(error.to_string().contains("none.json"), "{error}");
}

#[tokio::test]
async fn a_gateway_of_ones_own_joins_those_of_the_go_frameworks_settings() {
    let world = World::new();
    let working_dir = world.directory.path().to_owned();
    std::fs::write(working_dir.join("config.json"), GO_FRAMEWORK).expect("a file");
    let sources = Sources { working_dir, parallelism: 2, ..Sources::default() };
    let builder = OtpBuilder::of(sources).gateway(world.provider.gateway(GatewayName::Http));
    let otp = builder.set("otp-sms-provider", "Http;Twilio").start().await.expect("an engine");
    assert_eq!(otp.send_sms(ANNA).await.expect("sent").message_id, "Http-1");
    assert_eq!(world.provider.handed()[0].code.len(), 5);
}

#[tokio::test]
async fn settings_that_cannot_be_used_are_all_named_and_nothing_is_opened() {
    let world = World::new();
    let cases: [(&str, Value, &str); 2] = [
        ("otp-timeout", json!(0), "otp-timeout = 0: it must be a time from 1s to 1day"),
        ("public-url", json!("https://me:s3cr3t@example.com"), "public-url"),
    ];
    let all = cases.iter().fold(world.builder(), |builder, (key, value, _)| builder.set(*key, value.clone()));
    let Err(StartError::Config(errors)) = all.start().await else { panic!("it was taken") };
    let told = errors.to_string();
    for (key, _, words) in &cases {
        assert!(told.contains(words), "{words} is not in {told}");
        assert!(told.contains(&format!("given by the program, key {key:?}")), "{key}: {told}");
    }
    assert!(!told.contains("s3cr3t"), "{told}");
    let left = std::fs::read_dir(world.directory.path()).expect("the directory").count();
    assert_eq!(left, 0, "nothing was opened");
}

#[test]
fn outside_of_a_runtime_it_is_an_error_and_no_panic() {
    let mut start = std::pin::pin!(World::new().builder().start());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let polled = start.as_mut().poll(&mut context);
    assert!(matches!(polled, std::task::Poll::Ready(Err(StartError::NoRuntime))));
}
