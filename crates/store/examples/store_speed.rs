//! Measures the store: commits, a checkpoint, and a start.
//!
//!     cargo run --release -p onceward-store --example store_speed -- <new directory> <records>

#![expect(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods, reason = "a measurement")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use onceward_core::clock::Clock;
use onceward_core::domain::Timestamp;
use onceward_store::{EmbeddedStore, Key, OpenOptions, Owner, Pushed, Slots, Store, Write};

const RECORD: [u8; 72] = [7; 72];
const EXPIRES: Timestamp = Timestamp::from_millis(u64::MAX);

struct Wall;

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap();
        Timestamp::from_millis(u64::try_from(now.as_millis()).unwrap())
    }
}

fn key(n: u64) -> Key {
    let mut id = [0; 12];
    id[..8].copy_from_slice(&n.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes());
    Key { slot: id[0], kind: 1, id }
}

/// Streams this many generated records.
fn made(records: u64) -> Owner {
    Box::new(move |mut to| {
        let stream = move || {
            for first in (0..records).step_by(256) {
                let slice: Vec<_> =
                    (first..records.min(first + 256)).map(|n| (key(n), RECORD, EXPIRES)).collect();
                loop {
                    match to.push(&slice) {
                        Pushed::Accepted => break,
                        Pushed::Busy => std::thread::sleep(std::time::Duration::from_micros(200)),
                        Pushed::Aborted => return,
                    }
                }
            }
            to.finish(Slots::all());
        };
        drop(std::thread::spawn(stream));
    })
}

fn commit(store: &EmbeddedStore, n: u64) -> f64 {
    let (to, done) = mpsc::channel();
    let began = Instant::now();
    let put = Some(Bytes::from_static(&RECORD));
    store.commit(
        vec![Write { key: key(n), put, expires: EXPIRES }],
        Box::new(move |result| to.send(result).unwrap()),
    );
    done.recv().unwrap().unwrap();
    began.elapsed().as_secs_f64() * 1000.0
}

fn timed<T>(what: &str, action: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let result = action();
    println!("{what}: {:.2} s", began.elapsed().as_secs_f64());
    result
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().unwrap();
    let records = arguments.next().unwrap().parse::<u64>().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let options = OpenOptions::new(&directory, [7; 16], Arc::new(Wall));
    let store = Arc::new(EmbeddedStore::open(&options).unwrap());
    store.attach(vec![made(records)]);
    let mut alone: Vec<f64> = (0..500).map(|n| commit(&store, n)).collect();
    alone.sort_by(f64::total_cmp);
    println!("commits alone: p50 {:.2} ms, p99 {:.2} ms", alone[250], alone[495]);
    let (other, stop) = (store.clone(), Arc::new(AtomicU64::new(0)));
    let stopped = stop.clone();
    let beside = std::thread::spawn(move || {
        let mut times = Vec::new();
        while stopped.load(Ordering::Relaxed) == 0 {
            times.push(commit(&other, 1));
        }
        times
    });
    timed("checkpoint", || runtime.block_on(store.checkpoint()).unwrap());
    stop.store(1, Ordering::Relaxed);
    let mut beside = beside.join().unwrap();
    beside.sort_by(f64::total_cmp);
    let at = |percent: usize| beside[(beside.len() - 1) * percent / 100];
    println!("commits beside it: p50 {:.2} ms, p99 {:.2} ms, longest {:.2} ms", at(50), at(99), at(100));
    drop(store);
    std::fs::File::open(format!("{directory}/lock")).unwrap().lock().unwrap();
    let store = timed("open", || EmbeddedStore::open(&options).unwrap());
    let seen = Arc::new(AtomicU64::new(0));
    let count = seen.clone();
    let visit = Box::new(move |_, _, _: &[u8]| {
        count.fetch_add(1, Ordering::Relaxed);
        Ok(())
    });
    timed("restore", || runtime.block_on(store.restore(Slots::all(), visit)).unwrap());
    timed("attach", || store.attach(vec![made(records)]));
    println!("{} records", seen.load(Ordering::Relaxed));
}
