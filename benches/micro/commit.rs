//! Commits through the embedded store on a real disk: the cost of one, and its growth with the batch.

use std::cell::Cell;
use std::fs::{File, OpenOptions as FileOptions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput};
use onceward::clock::SystemClock;
use onceward::engine::key_fingerprint;
use onceward::store::{
    EmbeddedStore, OpenOptions, Owner, Pushed, RecordStream, SLICE_RECORDS, Slots, Store as _, Write,
};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::now;
use crate::samples::{key, writes};

/// Records in a batch.
pub const SIZES: [u64; 6] = [1, 4, 16, 64, 256, 1024];

/// Shards that commit at the same moment, one record each.
const CALLERS: [u64; 2] = [4, 16];

/// How long an owner waits when a checkpoint has no room for more records.
const BUSY: Duration = Duration::from_millis(5);

/// Numbers that take turns, so that checkpoints have a usual load.
const NUMBERS: u64 = 100_000;

pub fn benches(criterion: &mut Criterion) {
    let home = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory on a disk");
    by_itself(criterion, home.path());
    let runtime = Runtime::new().expect("a runtime");
    let options =
        OpenOptions::new(home.path().join("data"), key_fingerprint(&key()), Arc::new(SystemClock::start()));
    let store = Arc::new(EmbeddedStore::open(&options).expect("a store"));
    store.attach(vec![Arc::new(Holder(Arc::from(writes(0, NUMBERS))))]);
    let next = Cell::new(0);
    let first = |count: u64| {
        next.set((next.get() + count) % NUMBERS);
        next.get()
    };

    let mut group = criterion.benchmark_group("commit, records in one batch");
    for size in SIZES {
        group.throughput(Throughput::Elements(size));
        group.bench_function(BenchmarkId::from_parameter(size), |b| {
            b.iter_custom(|commits| {
                let mut took = Duration::ZERO;
                for _ in 0..commits {
                    let batch = writes(first(size), size);
                    let began = now();
                    runtime.block_on(commit(&store, batch));
                    took += began.elapsed();
                }
                took
            });
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("commit, callers with one record each");
    for callers in CALLERS {
        group.throughput(Throughput::Elements(callers));
        group.bench_function(BenchmarkId::from_parameter(callers), |b| {
            b.iter_custom(|commits| {
                let from = first(callers * commits);
                runtime.block_on(commit_side_by_side(&store, callers, commits, from))
            });
        });
    }
    group.finish();
    runtime.block_on(store.close()).expect("a store that closes");
}

/// Returns when the batch is on the disk.
async fn commit(store: &EmbeddedStore, batch: Vec<Write>) {
    let (done, committed) = oneshot::channel();
    store.commit(batch, Box::new(|result| drop(done.send(result))));
    committed.await.expect("an answer").expect("a commit");
}

/// Keeps the records in memory, as shards do, and streams them to checkpoints.
struct Holder(Arc<[Write]>);

impl Owner for Holder {
    fn stream(&self, mut to: RecordStream) {
        let records = Arc::clone(&self.0);
        std::thread::spawn(move || {
            for slice in records.chunks(SLICE_RECORDS) {
                let record = |write: &Write| (write.key, write.put.clone().expect("a record"), write.expires);
                let slice: Vec<_> = slice.iter().map(record).collect();
                loop {
                    match to.push(&slice) {
                        Pushed::Accepted => break,
                        Pushed::Busy => std::thread::sleep(BUSY),
                        Pushed::Aborted => return,
                    }
                }
            }
            to.finish(Slots::all());
        });
    }
}

/// Each caller makes `commits` commits, one after the other.
async fn commit_side_by_side(store: &Arc<EmbeddedStore>, callers: u64, commits: u64, from: u64) -> Duration {
    let began = now();
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                for index in 0..commits {
                    let batch = writes(from + caller * commits + index, 1);
                    commit(&store, batch).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("an end");
    }
    began.elapsed()
}

/// The baseline: appends one small batch to a preallocated file and syncs it.
fn by_itself(criterion: &mut Criterion, directory: &Path) {
    const SPACE: u64 = 64 * 1024 * 1024;
    let mut file = new_file(&directory.join("yardstick"), SPACE);
    criterion.bench_function("disk/write 256 bytes and fdatasync", |b| {
        b.iter(|| {
            if file.stream_position().expect("a position") + 256 > SPACE {
                file.seek(SeekFrom::Start(0)).expect("the beginning");
            }
            file.write_all(&[1; 256]).and_then(|()| file.sync_data()).expect("a synced write");
        });
    });
}

fn new_file(path: &Path, bytes: u64) -> File {
    let mut file = FileOptions::new().create_new(true).write(true).open(path).expect("a file");
    let space = vec![0; usize::try_from(bytes).expect("a size")];
    file.write_all(&space).and_then(|()| file.sync_all()).expect("space");
    file.seek(SeekFrom::Start(0)).expect("the beginning");
    file
}
