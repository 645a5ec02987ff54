//! The engine: one decision about one number, and the code that it rests on.

use std::hint::black_box;

use criterion::Criterion;
use onceward::domain::{Channel, Code, CodeLength, GatewayName, Held, ServiceId};
use onceward::engine::{
    Begin, BeginOutcome, CheckResult, CheckStep, NumberState, SendResult, Submitted, Verification, begin,
    check, derive_code, merge_pessimistic, resume, settle, settle_check,
};

use crate::samples::{NOW, SALT, key, locked, number, open, open_with, rules, verification};

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
    let key = key();
    let rules = rules(&key);
    let request = Begin {
        service: ServiceId::DEFAULT,
        number: number(1),
        options: rules.policy.code,
        channel: Channel::Sms,
        verification: None,
    };
    let mut group = criterion.benchmark_group("decision");
    let states =
        [("send, fresh number", NumberState::Fresh), ("send, again", open()), ("send, locked", locked())];
    for (name, state) in states {
        group.bench_function(name, |b| {
            b.iter(|| begin(black_box(state), &rules, request, black_box(SALT), NOW));
        });
    }
    let (sent, outcome) = begin(NumberState::Fresh, &rules, request, SALT, NOW);
    let BeginOutcome::Permitted(permit) = outcome else { panic!("a fresh number may send") };
    group.bench_function("settle, accepted", |b| {
        let accepted = SendResult::Accepted { message_id: "SM1".to_owned(), held: None };
        b.iter(|| settle(black_box(sent), &rules, &permit, &accepted, NOW));
    });
    group.finish();
}

fn checks(criterion: &mut Criterion) {
    let key = key();
    let rules = rules(&key);
    let right = derive_code(&key, &SALT, number(1), ServiceId::DEFAULT, CodeLength::SIX);
    let wrong = Code::parse(if right.expose() == "000000" { "000001" } else { "000000" }).expect("a code");
    let submitted =
        |code| Submitted { code: Some(code), number: number(1), service: ServiceId::DEFAULT, named: None };
    let mut group = criterion.benchmark_group("decision");
    let cases = [
        ("check, right", open(), &right),
        ("check, wrong", open(), &wrong),
        ("check, never asked", NumberState::Fresh, &wrong),
        ("check, locked", locked(), &wrong),
    ];
    for (name, state, code) in cases {
        group.bench_function(name, |b| {
            b.iter(|| check(black_box(state), &rules, submitted(code), NOW));
        });
    }
    let held = Some(Held { by: GatewayName::TwilioVerify, channel: Channel::Sms });
    let by_gateway = open_with(Verification { held, sent: false, ..verification() });
    let (asked, outcome) = check(by_gateway, &rules, submitted(&wrong), NOW);
    let CheckStep::AskGateway(permit) = outcome else { panic!("the gateway that holds a code is asked") };
    group.bench_function("check, ask the gateway", |b| {
        b.iter(|| check(black_box(by_gateway), &rules, submitted(&wrong), NOW));
    });
    group.bench_function("settle_check, approved", |b| {
        b.iter(|| settle_check(black_box(asked), &rules, &permit, CheckResult::Approved, NOW));
    });
    group.finish();
}

/// Operations that few requests need.
fn rare(criterion: &mut Criterion) {
    let key = key();
    let rules = rules(&key);
    let mut group = criterion.benchmark_group("decision");
    group.bench_function("resume, live code", |b| {
        b.iter(|| resume(black_box(open()), &rules, SALT, NOW));
    });
    group.bench_function("merge, after a failed commit", |b| {
        b.iter(|| merge_pessimistic(black_box(open()), black_box(locked()), NOW));
    });
    group.finish();
}
