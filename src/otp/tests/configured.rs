//! The server's configuration works in the library.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::world::{ANNA, Own, World, code};
use crate::config::{Overrides, Sources};
use crate::otp::{AttemptQuery, GatewayName, Otp, OtpBuilder, StartError, VerifyStatus};

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
async fn the_environment_goes_before_the_file_and_decides_what_codes_are_like() {
    let world = World::new();
    let mut sources =
        world.sources(r#"{ "otp-length": 8, "otp-message": "Acme {code}", "otp-max-attempts": 2 }"#);
    sources.environment.insert("ONCEWARD_OTP_MAX_ATTEMPTS".to_owned(), "3".to_owned());
    let otp = OtpBuilder::from_sources(sources).start().await.expect("an engine");
    assert_eq!(otp.send_sms(ANNA).await.expect("sent").attempts_left(), 3);
    assert_eq!(code(&otp).len(), 8);
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
async fn the_attempts_are_listed_with_what_became_of_them() {
    let world = World::new();
    let otp = world.start().await;
    let all = AttemptQuery::newest(10);
    assert_eq!(otp.attempts(&all).await.expect("a list"), []);
    let id = otp.send_sms(ANNA).await.expect("sent").message_id().to_owned();
    assert!(otp.verify(ANNA, &code(&otp)).await.code_valid());
    let rows = otp.attempts(&all).await.expect("a list");
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].number.e164(), rows[0].attempt.gateway), (ANNA.to_owned(), GatewayName::Simulator));
    assert_eq!(
        (rows[0].attempt.message_id.as_ref(), rows[0].verify_status),
        (Some(&id), VerifyStatus::Success)
    );
}
