//! Connections beside the measured ones, for the whole run: idle ones, and sends whose message hangs at the provider.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::connection::{Connection, Route, send_body};
use crate::numbers::hanging;

/// Before a connection that the server closed is opened again.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// For all of them to be there.
const GATHER_WITHIN: Duration = Duration::from_secs(20);

/// Ends when dropped.
pub struct Background(#[expect(dead_code, reason = "dropping it aborts the tasks")] JoinSet<()>);

impl Background {
    /// Opens the connections and waits until each was there once.
    pub async fn start(address: SocketAddr, idle: u32, hanging_sends: u32) -> Self {
        let (mut tasks, present) = (JoinSet::new(), Arc::new(AtomicU32::new(0)));
        for _ in 0..idle {
            tasks.spawn(stay_idle(address, present.clone()));
        }
        let numbers = Arc::new(AtomicU64::new(0));
        for _ in 0..hanging_sends {
            tasks.spawn(keep_sending(address, numbers.clone(), present.clone()));
        }
        let gathered = async {
            while present.load(Ordering::Relaxed) < idle + hanging_sends {
                sleep(Duration::from_millis(10)).await;
            }
        };
        let _ = timeout(GATHER_WITHIN, gathered).await;
        Self(tasks)
    }
}

async fn stay_idle(address: SocketAddr, present: Arc<AtomicU32>) {
    loop {
        if let Ok(mut stream) = TcpStream::connect(address).await {
            present.fetch_add(1, Ordering::Relaxed);
            let _ = stream.read(&mut [0; 64]).await;
        }
        sleep(RETRY_AFTER).await;
    }
}

async fn keep_sending(address: SocketAddr, numbers: Arc<AtomicU64>, present: Arc<AtomicU32>) {
    loop {
        if let Ok(mut connection) = Connection::open(address).await {
            present.fetch_add(1, Ordering::Relaxed);
            // Answered with an error when the server gives the provider up.
            let number = hanging(numbers.fetch_add(1, Ordering::Relaxed));
            let _ = connection.request(Route::Send, send_body(number)).await;
        }
        sleep(RETRY_AFTER).await;
    }
}
