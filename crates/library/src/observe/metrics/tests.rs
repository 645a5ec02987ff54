//! Facts become samples with bounded labels.

use std::time::Duration;

use super::*;
use crate::domain::{GatewayName, NumberKey, PhoneNumber};
use crate::engine::CheckOutcome;

fn recipient(service: u32) -> NumberKey {
    let number = PhoneNumber::parse("+14155552671", None).expect("a number");
    NumberKey::new(ServiceId::new(service), number)
}

fn sent(service: u32) -> SendFacts {
    SendFacts {
        recipient: recipient(service),
        channel: Channel::Sms,
        gateway: Some(GatewayName::Simulator),
        outcome: SendEnd::Accepted,
        error: None,
        parts: 1,
    }
}

/// The lines of a counter or a histogram.
fn samples(metrics: &Metrics, name: &str) -> Vec<String> {
    let text = metrics.text(None);
    let mut lines: Vec<_> = text.lines().filter(|line| line.starts_with(name)).map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn every_fact_is_counted_under_its_labels() {
    let metrics = Metrics::default();
    let channel = Channel::Call;
    let test = NumberKey { is_test: true, ..recipient(0) };
    for (recipient, step) in [
        (recipient(0), VerificationStep::Begun),
        (test, VerificationStep::Begun),
        (recipient(0), VerificationStep::Approved),
        (recipient(0), VerificationStep::Canceled),
    ] {
        metrics.count(&Fact::Verification { recipient, channel, gateway: None, step, took: None });
    }
    metrics.count(&Fact::Send(sent(0)));
    let outcome = CheckOutcome::Wrong { attempts_left: 3, live: true };
    metrics.count(&Fact::Check { recipient: recipient(0), channel: Some(channel), outcome });
    metrics.count(&Fact::Check { recipient: recipient(0), channel: None, outcome: CheckOutcome::NotFound });
    let refused = GatewayEnd::Ambiguous;
    metrics.gateway(GatewayName::Sinch, GatewayOperation::Check, refused, Duration::from_millis(30));
    metrics.commit(3, false, Duration::from_millis(2));
    metrics.refused("overloaded");
    metrics.webhook(WebhookEnd::Dropped);
    let counts = |line: &str| assert!(samples(&metrics, line).contains(&format!("{line} 1")), "{line}");
    for step in ["begun", "approved", "canceled"] {
        counts(&format!("onceward_verifications_{step}_total{{service=\"default\",channel=\"call\"}}"));
    }
    counts("onceward_sends_total{service=\"default\",channel=\"sms\",outcome=\"accepted\"}");
    counts("onceward_checks_total{service=\"default\",channel=\"call\",outcome=\"wrong\"}");
    counts("onceward_checks_total{service=\"default\",channel=\"none\",outcome=\"not_found\"}");
    counts("onceward_gateway_requests_total{gateway=\"Sinch\",operation=\"check\",outcome=\"ambiguous\"}");
    let duration = "onceward_gateway_request_duration_seconds_bucket{le=\"0.05\",";
    counts(&format!("{duration}gateway=\"Sinch\",operation=\"check\"}}"));
    counts("onceward_commits_total{outcome=\"failed\"}");
    counts("onceward_commit_duration_seconds_bucket{le=\"0.0025\"}");
    counts("onceward_commit_records_bucket{le=\"4.0\"}");
    counts("onceward_requests_refused_total{reason=\"overloaded\"}");
    counts("onceward_webhook_deliveries_total{outcome=\"dropped\"}");
}

#[test]
fn a_hundred_services_have_a_label_and_the_others_share_one() {
    let metrics = Metrics::default();
    metrics.service_names().set(|id| (id.get() != 7).then(|| format!("shop-{}", id.get())));
    for service in 0..150 {
        metrics.count(&Fact::Send(sent(service)));
        metrics.count(&Fact::Send(sent(service)));
    }
    let lines = samples(&metrics, "onceward_sends_total");
    assert_eq!(lines.len(), 101);
    assert!(lines.iter().any(|line| line.contains("service=\"shop-100\"") && line.ends_with(" 2")));
    assert!(lines.iter().any(|line| line.contains("service=\"other\"") && line.ends_with(" 100")));
    assert!(!lines.iter().any(|line| line.contains("shop-7\"")), "an unknown service has no name");
}

#[test]
fn a_scrape_names_and_explains_each_family() {
    let metrics = Metrics::default();
    metrics.count(&Fact::Send(sent(0)));
    let text = metrics.text(None);
    assert!(text.contains("# TYPE onceward_sends counter\n") && text.ends_with("# EOF\n"), "{text}");
    for line in text.lines().filter_map(|line| line.strip_prefix("# HELP ")) {
        assert!(line.split_once(' ').is_some_and(|(_, help)| help.len() > 10), "{line}");
    }
}
