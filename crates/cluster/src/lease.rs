//! Leases of etcd. The owner key of a term is attached to one, and ends with it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use std::{io, thread};

use onceward_core::clock::Clock;
use onceward_core::domain::Timestamp;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::etcd::{Client, EtcdTls};

/// The shortest lease that etcd grants with its default election time-out.
pub const TTL: Duration = Duration::from_secs(2);
/// Time between two keep-alives.
const EVERY: Duration = Duration::from_millis(500);
/// Memory is trusted for this long less than the lease may last: clocks of two machines differ a little in rate.
const MARGIN: Duration = Duration::from_millis(500);
const VALID_FOR: Duration = TTL.saturating_sub(MARGIN);
/// A node gives its lease up this long after it ceased to be valid. etcd may receive keep-alives although its answers do
/// not arrive; it would then prolong the lease for ever.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(1);

pub struct Lease {
    /// etcd's id.
    pub id: i64,
    /// Counts time since the machine booted, suspension included.
    uptime: Arc<dyn Clock>,
    /// In milliseconds of `uptime`.
    valid_until: AtomicU64,
    ended: watch::Sender<bool>,
}

impl Lease {
    /// A lease that was requested at `sent`.
    pub fn new(id: i64, uptime: Arc<dyn Clock>, sent: Timestamp) -> Self {
        let valid_until = AtomicU64::new(sent.plus(VALID_FOR).as_millis());
        Self { id, uptime, valid_until, ended: watch::Sender::new(false) }
    }

    /// etcd has prolonged the lease, as it was asked at `sent`.
    fn acknowledged(&self, sent: Timestamp) {
        self.valid_until.store(sent.plus(VALID_FOR).as_millis(), Ordering::Release);
    }

    /// Time until this node gives the lease up, unless etcd prolongs it: 2.5 s from the last request that etcd answered.
    fn until_given_up(&self) -> Duration {
        let valid_until = Timestamp::from_millis(self.valid_until.load(Ordering::Acquire));
        valid_until.plus(GIVEN_UP_AFTER).since(self.now())
    }

    /// Time since the machine booted, suspension included.
    pub fn now(&self) -> Timestamp {
        self.uptime.now()
    }

    /// Whether the lease lasts, as far as this node knows. Until then no other node can have the key that is attached to it.
    pub fn is_valid(&self) -> bool {
        !self.has_ended() && self.now().as_millis() < self.valid_until.load(Ordering::Acquire)
    }

    /// Records that the lease has ended, or that this node gives it up.
    pub fn end(&self) {
        self.ended.send_replace(true);
    }

    pub fn has_ended(&self) -> bool {
        *self.ended.borrow()
    }

    /// Returns when the lease has ended.
    pub async fn wait_until_ended(&self) {
        // The sender lives as long as `self`.
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }
}

/// Keeps the lease alive on a thread of its own, until the lease has ended or is dropped.
///
/// # Errors
/// If the thread or its runtime cannot be made.
pub fn keep_alive(lease: &Arc<Lease>, urls: Vec<String>, tls: Option<EtcdTls>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let lease = Arc::downgrade(lease);
    let run = move || runtime.block_on(prolong(&lease, &urls, tls.as_ref()));
    thread::Builder::new().name("lease".to_owned()).spawn(run)?;
    Ok(())
}

async fn prolong(lease: &Weak<Lease>, urls: &[String], tls: Option<&EtcdTls>) {
    // A client belongs to the runtime in which it was made: this thread has its own.
    let client = match Client::new(urls, tls) {
        Ok(client) => client,
        Err(error) => {
            tracing::error!(%error, "lease not kept alive");
            return;
        }
    };
    while let Some(lease) = lease.upgrade().filter(|lease| !lease.has_ended()) {
        let sent = lease.now();
        match timeout(lease.until_given_up(), client.keep_alive(lease.id)).await {
            Ok(Ok(true)) => lease.acknowledged(sent),
            Ok(Ok(false)) => lease.end(),
            // The lease may still last.
            Ok(Err(error)) => tracing::debug!(%error, "lease not prolonged"),
            Err(_) => {}
        }
        if lease.until_given_up().is_zero() && !lease.has_ended() {
            lease.end();
            tracing::debug!("lease not confirmed by etcd in time, given up");
            // If etcd hears this node, another one need not wait for the end.
            let _ = timeout(EVERY, client.revoke(lease.id)).await;
        }
        // The pause holds no lease: one that its owner drops ends this thread.
        drop(lease);
        sleep(EVERY).await;
    }
}
