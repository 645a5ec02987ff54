//! The server's configuration works in the library, and unusable settings are named.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::world::{ANNA, Own, World};
use crate::config::{Overrides, Sources};
use crate::otp::{GatewayName, Otp, OtpBuilder, StartError};

/// The settings of the Go framework's component, for gateways that these tests do not call.
const GO_FRAMEWORK: &str = r#"{
    "otp-sms-provider": "Twilio;Mada:+35987,+35988;Sinch",
    "otp-timeout": "5m",
    "authentication": { "otp_length": 5 },
    "sms": {
        "retry": true,
        "twilio": { "sid": "AC00000000000000000000000000000000", "token": "00000000000000000000000000000000",
                    "verify_sid": "VA00000000000000000000000000000000" },
        "sinch": { "app_id": "key", "app_secret": "c2VjcmV0",
                   "verification_url": "https://verification.api.sinch.com/verification/v1/verifications" },
        "mada": { "username": "me", "password": "s3cr3t", "url": "sms.example.com:8080/soap", "source_name": "Acme" }
    }
}"#;

impl World {
    /// The sources of a server process, with its files in a directory of this world.
    fn sources(&self, config: &str) -> Sources {
        let working_dir = self.directory.path().to_owned();
        std::fs::write(working_dir.join("config.json"), config).expect("a file");
        Sources {
            config_file: None,
            working_dir,
            environment: BTreeMap::new(),
            overrides: Overrides::default(),
            parallelism: 2,
        }
    }
}

#[tokio::test]
async fn the_go_frameworks_settings_start_an_engine_with_their_gateways() {
    let world = World::new();
    let builder = OtpBuilder::from_sources(world.sources(GO_FRAMEWORK));
    let otp = builder.start().await.expect("an engine");
    let names: Vec<_> = otp.gateways().into_iter().map(|state| state.name).collect();
    assert_eq!(names, [GatewayName::TwilioVerify, GatewayName::Sinch, GatewayName::Mada]);
    assert!(world.directory.path().join("data").join("FORMAT").exists(), "data-dir is the default one");
}

#[tokio::test]
async fn a_configuration_file_that_is_not_there_is_an_error_that_names_it() {
    let world = World::new();
    let missing = world.directory.path().join("none.json");
    let error = Otp::from_config(&missing).start().await.expect_err("refused");
    assert!(matches!(error, StartError::Config(_)), "{error:?}");
    assert!(error.to_string().contains("none.json"), "{error}");
}

#[tokio::test]
async fn a_gateway_of_ones_own_joins_those_of_the_settings() {
    let world = World::new();
    let own = Arc::new(Own::new(GatewayName::Http));
    let builder = OtpBuilder::from_sources(world.sources(GO_FRAMEWORK));
    let otp = builder
        .clone()
        .gateway(own.clone())
        .set("otp-sms-provider", "Http;Twilio")
        .start()
        .await
        .expect("an engine");
    assert_eq!(otp.send_sms(ANNA).await.expect("sent").message_id(), "Http-1");
    assert_eq!(own.sent()[0].code.len(), 5);
    otp.stop().await.expect("stopped");
    // The inbox exists only without other gateways.
    let simulated = OtpBuilder::from_sources(world.sources("{}")).gateway(own.clone());
    let otp = simulated.start().await.expect("an engine");
    assert_eq!(otp.send_sms(ANNA).await.expect("sent").message_id(), "Http-2");
    assert_eq!(otp.inbox_code(ANNA), None);
}

#[tokio::test]
async fn settings_that_cannot_be_used_are_all_named_and_nothing_is_opened() {
    let world = World::new();
    let cases: [(&str, Value, &str); 6] = [
        ("otp-timeout", json!(0), "otp-timeout = 0: it must be a time from 1s to 1day"),
        ("otp-max-attempts", json!(101), "otp-max-attempts = 101: it must be a whole number from 1 to 100"),
        ("otp-lock-timeout", json!("31days"), "otp-lock-timeout = \"31days\""),
        ("otp-length", json!(3), "otp-length = 3"),
        ("workflow", json!(["fax"]), "workflow"),
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

#[tokio::test]
async fn an_empty_path_is_no_data_directory() {
    let refused = Otp::builder("").start().await.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(refused.contains("data-dir"), "{refused}");
}

#[test]
fn outside_of_a_runtime_it_is_an_error_and_no_panic() {
    let mut start = std::pin::pin!(World::new().builder().start());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let polled = start.as_mut().poll(&mut context);
    assert!(matches!(polled, std::task::Poll::Ready(Err(StartError::NoRuntime))));
}
