//! The settings for failed sends and for messages that do not arrive.

use std::time::Duration;

use super::*;
use crate::config::{
    AttemptLogSettings, BreakerSettings, DeliverySettings, OnAmbiguous, RetrySettings, WorkflowStep,
};
use crate::domain::Channel;

#[test]
fn nothing_is_repeated_unless_it_is_asked_for() {
    let settings = World::with_twilio().settings();
    assert_eq!(settings.delivery, DeliverySettings::default());
    assert_eq!(settings.attempt_log, AttemptLogSettings::default());
}

#[test]
fn retries_are_read_from_the_file_in_either_spelling_and_from_variables() {
    let expected = RetrySettings { max_retries: 3, longest_wait: secs(9), ..RetrySettings::default() };
    for config in [
        r#"{"sms": {"retry": true, "max_retries": "3", "longest_wait": "9s"}}"#,
        r#"{"sms.retry": "true", "sms.max_retries": 3, "sms.longest_wait": 9}"#,
    ] {
        let world = World::with_config(config);
        assert_eq!(world.settings().delivery.retry, Some(expected));
        assert_eq!(world.warnings(), Vec::<String>::new());
    }
    let world = World::empty()
        .variable("ONCEWARD_SMS_RETRY", "true")
        .variable("ONCEWARD_SMS_MAX_RETRIES", "3")
        .variable("ONCEWARD_SMS_LONGEST_WAIT", "9");
    assert_eq!(world.settings().delivery.retry, Some(expected));
    let over = World::with_config(r#"{"sms": {"retry": true}}"#).variable("ONCEWARD_SMS_RETRY", "false");
    assert_eq!(over.settings().delivery.retry, None);
    let wrong = World::with_config(r#"{"sms": {"retry": "often", "max_retries": 0}}"#).errors().join("\n");
    says(&wrong, &["sms.retry = \"often\": it must be true or false", "key \"sms.retry\""]);
    says(&wrong, &["sms.max_retries = 0", "from 1 to 100"]);
}

#[test]
fn a_silent_gateway_is_followed_by_the_next_or_by_none() {
    assert_eq!(World::empty().settings().delivery.gateway_silent, OnAmbiguous::Next);
    let world = World::with_config(r#"{"gateway-silent": "stop"}"#);
    assert_eq!(world.settings().delivery.gateway_silent, OnAmbiguous::Stop);
    let wrong = World::with_config(r#"{"gateway-silent": "wait"}"#).errors().join("\n");
    says(&wrong, &["gateway-silent = \"wait\"", "next", "stop"]);
}

#[test]
fn retries_that_come_after_the_code_has_expired_get_a_word() {
    let retry = World::empty().variable("ONCEWARD_SMS_RETRY", "true");
    says(&retry.warnings().concat(), &["sms.max_retries is 20", "lives 30s", "about 5 retries"]);
    let long = retry.variable("ONCEWARD_OTP_TIMEOUT", "10m").variable("ONCEWARD_SMS_MAX_RETRIES", "10");
    assert_eq!(long.warnings(), Vec::<String>::new());
    let wrong =
        World::empty().variable("ONCEWARD_SMS_RETRY", "true").variable("ONCEWARD_OTP_TIMEOUT", "soon");
    assert_eq!(wrong.load().expect_err("an error").warnings(), Vec::<String>::new());
}

#[test]
fn a_workflow_is_a_list_or_a_text() {
    let steps = [step(Channel::Sms, 8), step(Channel::WhatsApp, 20)];
    for config in [
        r#"{"workflow": ["sms:8s", "whatsapp"]}"#,
        r#"{"workflow": "sms:8, whatsapp", "workflow-max-sends": 2}"#,
    ] {
        let world = World::with_config(config).variable("ONCEWARD_PUBLIC_URL", "http://localhost:3000");
        assert_eq!(world.settings().delivery.workflow, steps);
        assert_eq!(world.warnings(), Vec::<String>::new());
    }
    let text = World::empty().variable("ONCEWARD_WORKFLOW", "sms:8s,whatsapp");
    assert_eq!(text.settings().delivery.workflow, steps);
    assert_eq!(text.shows("workflow").0, "\"sms:8s,whatsapp:20s\"");
    let wrong = World::with_config(r#"{"workflow": ["sms", "mail"], "workflow-max-sends": 21}"#).errors();
    says(&wrong.join("\n"), &["workflow = [", "\"whatsapp\"", "workflow-max-sends = 21"]);
}

#[test]
fn a_workflow_needs_a_gateway_for_each_of_its_channels() {
    let twilio = |workflow: &str| World::with_twilio().variable("ONCEWARD_WORKFLOW", workflow);
    says(&twilio("sms,whatsapp").error(), &["workflow", "\"whatsapp\"", "no gateway", "ONCEWARD_WORKFLOW"]);
    says(&twilio("sms,call").error(), &["workflow", "\"call\"", "set \"voice\" to true"]);
    let calling = twilio("sms,call").variable("ONCEWARD_VOICE", "true");
    assert_eq!(calling.settings().delivery.workflow.len(), 2);
    let mute = calling.variable("TWILIO_PHONE_NUMBER", "Acme");
    says(&mute.error(), &["voice", "no gateway of otp-sms-provider can call"]);
}

#[test]
fn what_a_workflow_cannot_do_gets_a_word() {
    let warnings = World::empty()
        .variable("ONCEWARD_WORKFLOW", "sms,sms,sms,sms")
        .variable("ONCEWARD_WORKFLOW_MAX_SENDS", "3");
    let warnings = warnings.warnings().join("\n");
    says(&warnings, &["without public-url", "waits for the whole of its time"]);
    says(&warnings, &["step 3 (sms) would begin after 40s", "lives 30s"]);
    says(&warnings, &["4 steps", "allows 3 messages"]);
}

#[test]
fn a_public_address_is_an_address_and_nothing_more() {
    for (text, url) in [
        ("https://otp.example.com", "https://otp.example.com"),
        ("https://example.com/otp/", "https://example.com/otp"),
        ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
    ] {
        let world = World::empty().variable("ONCEWARD_PUBLIC_URL", text);
        assert_eq!(world.settings().delivery.public_url.as_deref(), Some(url));
        assert_eq!(world.warnings(), Vec::<String>::new());
    }
    let plain = World::empty().variable("ONCEWARD_PUBLIC_URL", "http://otp.example.com");
    says(&plain.warnings().concat(), &["public-url", "unencrypted"]);
    for wrong in ["otp.example.com", "https://otp.example.com/?a=b", "https://me@otp.example.com", "ftp://x"]
    {
        says(
            &World::empty().variable("ONCEWARD_PUBLIC_URL", wrong).error(),
            &["public-url", "http:// or https://"],
        );
    }
}

#[test]
fn breaker_and_tracker_have_keys() {
    let world = World::with_config(
        r#"{"breaker-failures": 2, "breaker-open-for": "3s", "breaker-longest": 4, "tracker-keep-for": "1h",
            "tracker-keep-at-most": 0}"#,
    );
    let breaker = BreakerSettings { failures: 2, open_for: secs(3), longest: secs(4) };
    assert_eq!(world.settings().delivery.breaker, breaker);
    assert_eq!(world.settings().attempt_log, AttemptLogSettings { keep_for: secs(3_600), keep_at_most: 0 });
    let crossed = World::with_config(r#"{"breaker-open-for": "5m"}"#);
    says(&crossed.error(), &["breaker-longest = 2m", "shorter than breaker-open-for, which is 5m"]);
}

fn step(channel: Channel, timeout: u64) -> WorkflowStep {
    WorkflowStep { channel, timeout: secs(timeout) }
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}
