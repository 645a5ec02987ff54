//! Facts become samples with bounded labels.

use super::*;
use crate::domain::{NumberKey, PhoneNumber};
use crate::engine::CheckOutcome;

fn recipient(service: u32) -> NumberKey {
    let number = PhoneNumber::parse("+14155552671", None).expect("a number");
    NumberKey::new(ServiceId::new(service), number)
}

/// The lines of a counter or a histogram.
fn samples(metrics: &Metrics, name: &str) -> Vec<String> {
    let text = metrics.text(None);
    let mut lines: Vec<_> = text.lines().filter(|line| line.starts_with(name)).map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn a_code_of_a_test_number_is_not_counted_but_its_checks_are() {
    let metrics = Metrics::default();
    let recipient = NumberKey { is_test: true, ..recipient(0) };
    let (channel, step) = (Channel::Call, VerificationStep::Begun);
    metrics.count(&Fact::Verification { recipient, channel, gateway: None, step, took: None });
    assert_eq!(samples(&metrics, "onceward_verifications_begun_total"), [""; 0]);
    metrics.count(&Fact::Check { recipient, channel: None, outcome: CheckOutcome::NotFound });
    let counted = "onceward_checks_total{service=\"default\",channel=\"none\",outcome=\"not_found\"} 1";
    assert_eq!(samples(&metrics, "onceward_checks_total"), [counted]);
}

#[test]
fn a_hundred_services_have_a_label_and_the_others_share_one() {
    let metrics = Metrics::default();
    metrics.service_names().set(|id| (id.get() != 7).then(|| format!("shop-{}", id.get())));
    for service in 0..150 {
        let (recipient, outcome) = (recipient(service), CheckOutcome::NotFound);
        for _ in 0..2 {
            metrics.count(&Fact::Check { recipient, channel: None, outcome });
        }
    }
    let lines = samples(&metrics, "onceward_checks_total");
    assert_eq!(lines.len(), 101);
    assert!(lines.iter().any(|line| line.contains("service=\"shop-100\"") && line.ends_with(" 2")));
    assert!(lines.iter().any(|line| line.contains("service=\"other\"") && line.ends_with(" 100")));
    assert!(!lines.iter().any(|line| line.contains("shop-7\"")), "an unknown service has no name");
}
