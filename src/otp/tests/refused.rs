//! Unusable settings.

use serde_json::{Value, json};

use super::world::World;
use crate::otp::{Otp, StartError};

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
