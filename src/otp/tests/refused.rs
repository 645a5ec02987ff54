//! Unusable settings.

use std::time::Duration;

use super::world::{World, secs};
use crate::otp::{
    Bounds, BreakerSettings, Channel, CodeLength, Otp, OtpBuilder, RetrySettings, SecretString, StartError,
    TrackerSettings, TwilioAccount, TwilioVoiceSettings, WorkflowStep,
};

fn step(channel: Channel) -> WorkflowStep {
    WorkflowStep { channel, timeout: secs(20) }
}

fn calls(gate: bool) -> TwilioVoiceSettings {
    let account = TwilioAccount {
        account_sid: "AC0123456789abcdef0123456789abcdef".to_owned(),
        auth_token: SecretString::from("s3cr3t".to_owned()),
        base_url: "http://127.0.0.1:9".to_owned(),
    };
    TwilioVoiceSettings { account, from: "+15005550006".to_owned(), gate, ring_for: secs(25) }
}

#[tokio::test]
async fn a_value_beyond_its_limit_is_an_error_with_its_name_and_the_limits() {
    type Change = Box<dyn FnOnce(OtpBuilder) -> OtpBuilder>;
    let month = 30 * 24 * 60 * 60;
    let code = |life| -> Change { Box::new(move |b: OtpBuilder| b.code(CodeLength::SIX, life)) };
    let lockout = |lockout| -> Change { Box::new(move |b: OtpBuilder| b.attempts(5, lockout)) };
    let attempts = |max| -> Change { Box::new(move |b: OtpBuilder| b.attempts(max, secs(60))) };
    let retry = |retry| -> Change { Box::new(move |b: OtpBuilder| b.retry(retry)) };
    let breaker = |breaker| -> Change { Box::new(move |b: OtpBuilder| b.breaker(breaker)) };
    let bounds = |change: fn(&mut Bounds)| -> Change {
        let mut bounds = Bounds::default();
        change(&mut bounds);
        Box::new(move |b: OtpBuilder| b.bounds(bounds))
    };
    let cases: Vec<(&str, Change)> = vec![
        ("code life = 0s: it must be from 1s to 1day", code(Duration::ZERO)),
        ("code life = 999ms", code(Duration::from_millis(999))),
        ("code life = 1day 1s", code(secs(86_401))),
        ("attempts = 0: it must be from 1 to 100 (NIST", attempts(0)),
        ("attempts = 101", attempts(101)),
        ("lockout = 0s", lockout(Duration::ZERO)),
        ("lockout = 30days 1s", lockout(secs(month + 1))),
        ("lockout = 584542046090years", lockout(Duration::MAX)),
        ("retry.max_retries = 0", retry(RetrySettings { max_retries: 0, ..RetrySettings::default() })),
        (
            "retry.longest_wait = 0s",
            retry(RetrySettings { longest_wait: Duration::ZERO, ..RetrySettings::default() }),
        ),
        (
            "retry.first_wait = 0s",
            retry(RetrySettings { first_wait: Duration::ZERO, ..RetrySettings::default() }),
        ),
        (
            "retry.first_wait = 1m 1s",
            retry(RetrySettings { first_wait: secs(61), ..RetrySettings::default() }),
        ),
        ("breaker.failures = 0", breaker(BreakerSettings { failures: 0, ..BreakerSettings::default() })),
        (
            "breaker.open_for = 0s",
            breaker(BreakerSettings { open_for: Duration::ZERO, ..BreakerSettings::default() }),
        ),
        (
            "breaker.longest = 1s: it must not be shorter than breaker.open_for, which is 10s",
            breaker(BreakerSettings { longest: secs(1), ..BreakerSettings::default() }),
        ),
        (
            "tracker.keep_for = 1s",
            Box::new(|b| b.tracker(TrackerSettings { keep_for: secs(1), keep_at_most: 1 })),
        ),
        (
            "tracker.keep_at_most = 10000001",
            Box::new(|b| {
                b.tracker(TrackerSettings { keep_at_most: 10_000_001, ..TrackerSettings::default() })
            }),
        ),
        ("workflow_sends = 0", Box::new(|b| b.workflow_sends(0))),
        ("workflow steps = 11", Box::new(|b| b.workflow([step(Channel::Sms); 11]))),
        (
            "workflow timeout = 0s",
            Box::new(|b| b.workflow([WorkflowStep { timeout: Duration::ZERO, ..step(Channel::Sms) }])),
        ),
        ("workflow = call: calls are not allowed", Box::new(|b| b.workflow([step(Channel::Call)]))),
        ("shards = 0", Box::new(|b| b.shards(0))),
        ("shards = 1025", Box::new(|b| b.shards(1_025))),
        ("bounds.commands = 0", bounds(|bounds| bounds.commands = 0)),
        ("bounds.commands_per_number = 0", bounds(|bounds| bounds.commands_per_number = 0)),
        ("bounds.sends = 0", bounds(|bounds| bounds.sends = 0)),
        ("bounds.sends_waiting = 1000001", bounds(|bounds| bounds.sends_waiting = 1_000_001)),
        ("bounds.send_budget = 0s", bounds(|bounds| bounds.send_budget = Duration::ZERO)),
        ("bounds.commit_timeout = 0s", bounds(|bounds| bounds.commit_timeout = Duration::ZERO)),
        ("bounds.body_bytes = 0", bounds(|bounds| bounds.body_bytes = 0)),
        ("public_url = \"example.com\"", Box::new(|b| b.public_url("example.com"))),
        ("public_url = (not shown)", Box::new(|b| b.public_url("https://me:s3cr3t@example.com"))),
        ("voice = false: TwilioVoice", Box::new(|b| b.twilio_voice(calls(false)))),
        (
            "twilio_voice.gate = true: give a public_url",
            Box::new(|b| b.voice(true).twilio_voice(calls(true))),
        ),
    ];
    let world = World::new();
    for (words, change) in cases {
        let refused = change(world.builder()).start().await;
        let Err(StartError::Setting(error)) = refused else { panic!("{words}: {refused:?}") };
        assert!(error.to_string().starts_with(words), "{error}, and not {words}");
    }
    let left = std::fs::read_dir(world.directory.path()).expect("the directory").count();
    assert_eq!(left, 0, "nothing was opened");
}

#[tokio::test]
async fn the_ends_of_the_limits_are_within_them() {
    for (life, attempts, lockout, shards) in
        [(secs(1), 1, secs(1), 1), (secs(86_400), 100, secs(30 * 86_400), 64)]
    {
        let world = World::new();
        let builder = world.builder().code(CodeLength::SIX, life).attempts(attempts, lockout);
        builder.shards(shards).start().await.expect("an engine").stop().await.expect("stopped");
    }
}

#[tokio::test]
async fn an_empty_path_is_no_data_directory() {
    let refused = Otp::builder("").start().await.err().map(|error| error.to_string());
    assert_eq!(refused.as_deref(), Some("data directory = \"\": it must be a path"));
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_an_error_that_names_it() {
    let world = World::new();
    let file = world.directory.path().join("file");
    std::fs::write(&file, "").expect("a file");
    let refused = Otp::builder(file.join("data")).start().await.expect_err("refused");
    assert!(matches!(refused, StartError::Engine(_)), "{refused:?}");
    assert!(refused.to_string().contains("file"), "{refused}");
}

#[test]
fn outside_of_a_runtime_it_is_an_error_and_no_panic() {
    let mut start = std::pin::pin!(World::new().builder().start());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let polled = start.as_mut().poll(&mut context);
    assert!(matches!(polled, std::task::Poll::Ready(Err(StartError::NoRuntime))));
}
