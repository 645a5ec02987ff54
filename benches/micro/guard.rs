//! The pumping guard: one decision about a send, and the country and the type of its number.

use std::hint::black_box;

use criterion::Criterion;
use onceward::domain::{Channel, NumberType, PhoneNumber, ServiceId};
use onceward_core::guard::{ClientNet, Guard, GuardRules, MOST_ALLOWANCES, Signals};

use crate::samples::NOW;

/// Honest users: each asks once and verifies.
pub fn benches(criterion: &mut Criterion) {
    let rules = GuardRules::default();
    let mut guard = Guard::new(MOST_ALLOWANCES, 1);
    let (mut user, mut now) = (0, NOW);
    let mut group = criterion.benchmark_group("guard");
    group.bench_function("send and verify", |b| {
        b.iter(|| {
            user += 1;
            now = now.plus(std::time::Duration::from_millis(1));
            let number = number(user);
            let signals = Signals {
                service: ServiceId::DEFAULT,
                number,
                country: None,
                number_type: NumberType::Other,
                channel: Channel::Sms,
                address: Some(ClientNet::from(std::net::IpAddr::from([10, 0, 0, 7]))),
                is_trusted: false,
            };
            let assessment = guard.assess(black_box(&signals), &rules, None, now);
            guard.verified(ServiceId::DEFAULT, number, &rules, None, true, now);
            assessment
        });
    });
    let again = number(0);
    group.bench_function("country and type, of a number that was looked up before", |b| {
        b.iter(|| black_box(again).region_and_type());
    });
    group.bench_function("country and type", |b| {
        b.iter(|| {
            user += 1;
            black_box(number(user)).region_and_type()
        });
    });
    group.finish();
}

fn number(user: u64) -> PhoneNumber {
    PhoneNumber::from_u64(14_155_000_000 + user * 7_919 % 1_000_000).expect("a number")
}
