//! The pumping guard: one decision about a send, and the country and the type of its number.

use std::hint::black_box;

use criterion::Criterion;
use onceward::domain::{Channel, NumberType, PhoneNumber, Region, ServiceId};
use onceward_core::guard::{ClientNet, Exemption, Guard, GuardRules, MOST_ALLOWANCES, Signals};

use crate::samples::NOW;

/// Honest users, four of a prefix: each asks once and verifies. What has changed is taken as the server does.
pub fn benches(criterion: &mut Criterion) {
    let rules = GuardRules::default();
    let mut guard = Guard::new(MOST_ALLOWANCES, 1);
    let (mut user, mut now) = (0, NOW);
    let country = Region::parse("US");
    let mut group = criterion.benchmark_group("guard");
    group.bench_function("send and verify", |b| {
        b.iter(|| {
            user += 1;
            now = now.plus(std::time::Duration::from_millis(1));
            let number = number(user);
            let signals = Signals {
                service: ServiceId::DEFAULT,
                number,
                country,
                number_type: NumberType::Other,
                channel: Channel::Sms,
                address: Some(ClientNet::from(std::net::IpAddr::from([10, 0, 0, 7]))),
                exemption: Exemption::None,
                only_number: false,
                has_proof: false,
            };
            let assessment = guard.assess(black_box(&signals), &rules, None, now);
            assert!(assessment.verdict.is_ok());
            guard.verified(ServiceId::DEFAULT, number, &rules, None, true, now);
            if user % 256 == 0 {
                while !black_box(guard.take_changed(512)).is_empty() {}
            }
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
    PhoneNumber::from_u64(12_010_000_000 + user % 100_000 * 2_503).expect("a number")
}
