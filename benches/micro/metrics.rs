//! Facts, as they are counted on the way of a request, and a scrape.

use std::hint::black_box;
use std::time::Duration;

use criterion::Criterion;
use onceward::domain::{Channel, GatewayName, ServiceId};
use onceward::engine::CheckOutcome;
use onceward::metrics::{
    CheckFacts, CommitFacts, GatewayEnd, GatewayFacts, GatewayOperation, Metrics, Recipient, SendEnd,
    SendFacts, TextFormat, VerificationFacts, VerificationStep,
};

use crate::samples::number;

pub fn benches(criterion: &mut Criterion) {
    let metrics = Metrics::default();
    let recipient = Recipient { service: ServiceId::DEFAULT, number: number(1), is_test: false };
    let channel = Channel::Sms;
    let mut group = criterion.benchmark_group("metrics");
    group.bench_function("send", |b| {
        b.iter(|| {
            let step = VerificationStep::Begun;
            metrics.verification(&black_box(VerificationFacts { recipient, channel, gateway: None, step }));
            let gateway = GatewayName::Http;
            metrics.gateway(&black_box(GatewayFacts {
                gateway,
                operation: GatewayOperation::Send,
                outcome: GatewayEnd::Answered,
                took: Duration::from_millis(80),
            }));
            let (gateway, outcome) = (Some(gateway), SendEnd::Accepted);
            metrics.send(&black_box(SendFacts { recipient, channel, gateway, outcome, error: None }));
        });
    });
    group.bench_function("check", |b| {
        b.iter(|| {
            let outcome = CheckOutcome::Approved;
            metrics.check(&black_box(CheckFacts { recipient, channel: Some(channel), outcome }));
            let step = VerificationStep::Approved;
            metrics.verification(&black_box(VerificationFacts { recipient, channel, gateway: None, step }));
        });
    });
    group.bench_function("commit", |b| {
        let result = Ok(());
        b.iter(|| {
            metrics.commit(&black_box(CommitFacts {
                records: 3,
                result: &result,
                took: Duration::from_micros(800),
            }));
        });
    });
    group.bench_function("scrape", |b| b.iter(|| metrics.text(TextFormat::Classic, None)));
    group.finish();
}
