//! Connections that are idle or slow, kept at their number, on a thread and a runtime of their own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, oneshot};

use super::slow::Slow;

/// Connections that are being opened at the same time.
const OPENING: usize = 64;

/// A slow member does something this often.
const EVERY: Duration = Duration::from_secs(2);

/// Until the server let go of one, or did not want it, and it comes again.
const PAUSE: Duration = Duration::from_millis(100);

/// How often the counts are brought up to date.
const LOOK: Duration = Duration::from_millis(50);

/// The crowd. Leaves when dropped.
pub struct Members {
    counts: Arc<Counts>,
    leave: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Counts {
    present: AtomicU32,
    came: AtomicU64,
    cpu_us: AtomicU64,
}

/// What a crowd did up to now.
#[derive(Debug, Clone, Copy)]
pub struct Done {
    /// Members that are there.
    pub present: u32,
    /// Connections that were opened.
    pub came: u64,
    /// CPU time of its thread.
    pub cpu: Duration,
}

impl Members {
    /// They come, each of its kind.
    pub fn gather(address: SocketAddr, members: u32) -> Self {
        raise_file_limit();
        let counts = Arc::<Counts>::default();
        let (leave, left) = oneshot::channel();
        let shared = Arc::clone(&counts);
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(run(address, members, shared, left));
        });
        Self { counts, leave: Some(leave), thread: Some(thread) }
    }

    /// What it did.
    pub fn done(&self) -> Done {
        Done {
            present: self.counts.present.load(Ordering::Relaxed),
            came: self.counts.came.load(Ordering::Relaxed),
            cpu: Duration::from_micros(self.counts.cpu_us.load(Ordering::Relaxed)),
        }
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        drop(self.leave.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn run(address: SocketAddr, members: u32, counts: Arc<Counts>, mut left: oneshot::Receiver<()>) {
    let opening = Arc::new(Semaphore::new(OPENING));
    // One that ends its side is gone at once, and would only measure how fast it comes again.
    let kinds = Slow::ALL.into_iter().filter(|kind| *kind != Slow::HalfClosed).cycle();
    for (_, kind) in (0..members).zip(kinds) {
        tokio::spawn(member(kind, address, Arc::clone(&opening), Arc::clone(&counts)));
    }
    while tokio::time::timeout(LOOK, &mut left).await.is_err() {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        let cpu = time.tv_sec * 1_000_000 + time.tv_nsec / 1_000;
        counts.cpu_us.store(u64::try_from(cpu).unwrap_or_default(), Ordering::Relaxed);
    }
}

async fn member(kind: Slow, address: SocketAddr, opening: Arc<Semaphore>, counts: Arc<Counts>) {
    loop {
        let place = opening.acquire().await.expect("never closed");
        let stream = kind.open(address).await;
        drop(place);
        if let Some(stream) = stream {
            counts.came.fetch_add(1, Ordering::Relaxed);
            counts.present.fetch_add(1, Ordering::Relaxed);
            stay(kind, stream).await;
            counts.present.fetch_sub(1, Ordering::Relaxed);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Until the server lets go.
async fn stay(kind: Slow, mut stream: TcpStream) {
    let mut sink = [0; 512];
    let mut goes_on = true;
    while goes_on {
        goes_on = match kind {
            Slow::Reader => {
                tokio::time::sleep(EVERY).await;
                let read = stream.try_read(&mut sink[..1]);
                let state = stream.ready(Interest::READABLE | Interest::WRITABLE).await;
                !matches!(read, Ok(0)) && state.is_ok_and(|state| !state.is_read_closed())
            }
            Slow::Head | Slow::Body => tokio::select! {
                read = stream.read(&mut sink) => matches!(read, Ok(1..)),
                () = tokio::time::sleep(EVERY) => stream.write_all(b"x").await.is_ok(),
            },
            _ => matches!(stream.read(&mut sink).await, Ok(1..)),
        };
    }
}

/// Both for this process and for servers that it starts from now on.
fn raise_file_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("a higher limit of our own");
}
