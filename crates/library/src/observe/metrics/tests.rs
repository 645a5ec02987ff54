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
fn facts_are_counted_under_their_labels_but_not_the_codes_of_a_test_number() {
    let (metrics, person) = (Metrics::default(), recipient(0));
    let recipient = NumberKey { is_test: true, ..person };
    let (channel, step) = (Channel::Call, VerificationStep::Begun);
    metrics.count(&Fact::Verification { recipient, channel, gateway: None, step, took: None });
    assert_eq!(samples(&metrics, "onceward_verifications_begun_total"), [""; 0]);
    metrics.count(&Fact::Check { recipient, channel: None, outcome: CheckOutcome::NotFound });
    let counted = "onceward_checks_total{service=\"default\",channel=\"none\",outcome=\"not_found\"} 1";
    assert_eq!(samples(&metrics, "onceward_checks_total"), [counted]);
    let (recipient, step) = (person, VerificationStep::Approved);
    metrics.count(&Fact::Verification { recipient, channel, gateway: None, step, took: None });
    metrics.commit(3, false, Duration::from_millis(2));
    metrics.webhook(WebhookEnd::Dropped);
    for counted in [
        "onceward_verifications_approved_total{service=\"default\",channel=\"call\"}",
        "onceward_commits_total{outcome=\"failed\"}",
        "onceward_commit_records_bucket{le=\"4.0\"}",
        "onceward_webhook_deliveries_total{outcome=\"dropped\"}",
    ] {
        assert_eq!(samples(&metrics, counted), [format!("{counted} 1")]);
    }
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
