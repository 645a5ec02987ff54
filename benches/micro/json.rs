//! From bytes to a request and from an answer to bytes.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use onceward::domain::{PhoneNumber, Timestamp};
use onceward::http::measured::{read_check, read_send, write_check, write_send};
use onceward::numbers::{CheckOutcome, Reply, SendOutcome};

use crate::samples::number;

const SEND: &[u8] = br#"{"phoneNumber":"+14155552671"}"#;
const CHECK: &[u8] = br#"{"user":{"phoneNumber":"+14155552671"},"code":"123456"}"#;

pub fn benches(criterion: &mut Criterion) {
    numbers(criterion);
    requests(criterion);
    answers(criterion);
}

fn numbers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("number");
    let cases = [("E.164", "+14155552671"), ("with spaces", "+49 171 123 45 67"), ("impossible", "+1415555")];
    for (name, text) in cases {
        group.bench_function(format!("parse, {name}"), |b| {
            b.iter(|| PhoneNumber::parse(black_box(text), None));
        });
    }
    group.bench_function("write E.164", |b| b.iter(|| black_box(number(1)).e164()));
    group.finish();
}

/// The number is parsed too.
fn requests(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("json in, number parsed");
    group.throughput(Throughput::Bytes(SEND.len() as u64));
    group.bench_function("send-otp", |b| b.iter(|| read_send(black_box(SEND)).expect("a body")));
    group.throughput(Throughput::Bytes(CHECK.len() as u64));
    group.bench_function("verify-otp", |b| b.iter(|| read_check(black_box(CHECK)).expect("a body")));
    group.finish();
}

fn answers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("json out");
    let reply = |outcome| Reply::new(outcome, Timestamp::EPOCH, None);
    let sent = SendOutcome::Sent { attempts_left: 5, message_id: "SM1".to_owned(), postponed: false };
    let sent = Reply::new(sent, Timestamp::EPOCH, None);
    group.throughput(Throughput::Bytes(write_send(&sent, number(1)).len() as u64));
    group.bench_function("send-otp, sent", |b| b.iter(|| write_send(black_box(&sent), number(1))));
    let until = Timestamp::EPOCH.plus(Duration::from_secs(1800));
    let cases = [
        ("approved", CheckOutcome::Approved),
        ("wrong", CheckOutcome::Wrong { attempts_left: 4, live: true }),
        ("locked", CheckOutcome::Locked { until }),
    ];
    for (name, outcome) in cases {
        let answer = reply(outcome);
        group.throughput(Throughput::Bytes(write_check(&answer, number(1)).len() as u64));
        group.bench_function(format!("verify-otp, {name}"), |b| {
            b.iter(|| write_check(black_box(&answer), number(1)));
        });
    }
    group.finish();
}
