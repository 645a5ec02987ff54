//! The engine: one decision about one number, and the code that it rests on.

use std::hint::black_box;

use criterion::Criterion;
use onceward::domain::{Channel, Code, CodeLength, GatewayName, Held, ServiceId};
use onceward::engine::{
    CheckOutcome, CheckResult, GatewayResult, NumberState, Reports, SendOutcome, Submitted, Verification,
    check, derive_code, resume, send, settle, settle_check, stricter,
};

use crate::samples::{BUDGET, NOW, SALT, key, locked, number, open, open_with, policy, verification};

pub fn benches(criterion: &mut Criterion) {
    sends(criterion);
    checks(criterion);
    rare(criterion);
    let key = key();
    criterion.bench_function("code/derive 6 digits", |b| {
        b.iter(|| derive_code(&key, black_box(&SALT), number(1), ServiceId::DEFAULT, CodeLength::SIX));
    });
}

fn sends(criterion: &mut Criterion) {
    let policy = policy();
    let mut group = criterion.benchmark_group("decision");
    let states =
        [("send, fresh number", NumberState::Fresh), ("send, again", open()), ("send, locked", locked())];
    for (name, state) in states {
        group.bench_function(name, |b| {
            b.iter(|| send(black_box(state), &policy, policy.code, black_box(SALT), BUDGET, NOW));
        });
    }
    let (sent, outcome) = send(NumberState::Fresh, &policy, policy.code, SALT, BUDGET, NOW);
    let SendOutcome::Permitted(permit) = outcome else { panic!("a fresh number may send") };
    group.bench_function("settle, accepted", |b| {
        let accepted = GatewayResult::Accepted;
        b.iter(|| settle(black_box(sent), &policy, &permit, accepted, Reports::NONE, NOW));
    });
    group.finish();
}

fn checks(criterion: &mut Criterion) {
    let (policy, key) = (policy(), key());
    let right = derive_code(&key, &SALT, number(1), ServiceId::DEFAULT, CodeLength::SIX);
    let wrong = Code::parse(if right.expose() == "000000" { "000001" } else { "000000" }).expect("a code");
    let submitted = |code| Submitted {
        code: Some(code),
        number: number(1),
        service: ServiceId::DEFAULT,
        key: &key,
        named: None,
    };
    let mut group = criterion.benchmark_group("decision");
    let cases = [
        ("check, right", open(), &right),
        ("check, wrong", open(), &wrong),
        ("check, never asked", NumberState::Fresh, &wrong),
        ("check, locked", locked(), &wrong),
    ];
    for (name, state, code) in cases {
        group.bench_function(name, |b| {
            b.iter(|| check(black_box(state), &policy, submitted(code), BUDGET, NOW));
        });
    }
    let held = Some(Held { by: GatewayName::TwilioVerify, channel: Channel::Sms });
    let by_gateway = open_with(Verification { held, sent: false, ..verification() });
    let (asked, outcome) = check(by_gateway, &policy, submitted(&wrong), BUDGET, NOW);
    let CheckOutcome::Ask(permit) = outcome else { panic!("the gateway that holds a code is asked") };
    group.bench_function("check, ask the gateway", |b| {
        b.iter(|| check(black_box(by_gateway), &policy, submitted(&wrong), BUDGET, NOW));
    });
    group.bench_function("settle_check, approved", |b| {
        b.iter(|| settle_check(black_box(asked), &policy, &permit, CheckResult::Approved, NOW));
    });
    group.finish();
}

/// What happens to few requests.
fn rare(criterion: &mut Criterion) {
    let policy = policy();
    let mut group = criterion.benchmark_group("decision");
    group.bench_function("resume, live code", |b| {
        b.iter(|| resume(black_box(open()), &policy, SALT, BUDGET, NOW));
    });
    group.bench_function("stricter, after a failed commit", |b| {
        b.iter(|| stricter(black_box(open()), black_box(locked()), NOW));
    });
    group.finish();
}
