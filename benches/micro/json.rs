//! From bytes to a request and from an answer to bytes.

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use criterion::{Criterion, Throughput};
use onceward::config::AnswerSet;
use onceward::domain::{Channel, PhoneNumber, Timestamp};
use onceward::http::measured::{api_check, api_send, read_send_otp, read_verify_otp};
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
    group.bench_function("send-otp", |b| {
        b.iter(|| read_send_otp(black_box(SEND), None, &[Channel::Sms]).expect("a body"));
    });
    group.throughput(Throughput::Bytes(CHECK.len() as u64));
    group.bench_function("verify-otp", |b| {
        b.iter(|| read_verify_otp(black_box(CHECK), None).expect("a body"));
    });
    group.finish();
}

fn write_send(reply: &Reply<SendOutcome>, number: PhoneNumber) -> Bytes {
    api_send(AnswerSet::Documented, reply, number).body
}

fn write_check(reply: &Reply<CheckOutcome>, number: PhoneNumber) -> Bytes {
    api_check(AnswerSet::Documented, reply, number, Duration::ZERO).body
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
