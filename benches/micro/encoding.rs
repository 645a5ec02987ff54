//! Encodes and decodes records, without the disk.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use onceward::engine::NumberState;
use onceward::shard::{decode, encode};
use onceward::store::append_frame;

use crate::commit::SIZES;
use crate::samples::{NOW, locked, open, writes};

pub fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("record");
    for (name, state) in [("open", open()), ("locked", locked())] {
        let record = encode(&state);
        group.throughput(Throughput::Bytes(record.len() as u64));
        group.bench_function(format!("encode, {name}"), |b| b.iter(|| encode(black_box(&state))));
        group.bench_function(format!("decode, {name}"), |b| {
            b.iter(|| decode::<NumberState>(black_box(&record)).expect("a record"));
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("journal frame, encode");
    for size in SIZES {
        let records = writes(0, size);
        let mut buffer = Vec::new();
        append_frame(&mut buffer, 1, NOW, &records);
        group.throughput(Throughput::Bytes(buffer.len() as u64));
        group.bench_function(BenchmarkId::from_parameter(size), |b| {
            b.iter(|| {
                buffer.clear();
                append_frame(&mut buffer, 1, NOW, black_box(&records));
            });
        });
    }
    group.finish();
}
