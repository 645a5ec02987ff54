//! A node's session: its lease, and how long memory may be trusted under it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use std::{io, thread};

use onceward_core::clock::Clock;
use onceward_core::domain::Timestamp;
use onceward_store::Slots;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::etcd::{Client, EtcdTls};
use crate::sealed::Sealer;

/// The shortest lease that etcd grants with its default election time-out.
pub const TTL: Duration = Duration::from_secs(2);
/// Time between two keep-alives.
const EVERY: Duration = Duration::from_millis(500);
/// Memory is trusted for this long less than the lease may last: clocks of two machines differ a little in rate.
const MARGIN: Duration = Duration::from_millis(500);

/// The time during which a node has one lease.
pub struct Session {
    pub lease: i64,
    pub sealer: Sealer,
    /// Counts time since the machine booted, suspension included.
    uptime: Arc<dyn Clock>,
    valid_until: AtomicU64,
    lost: watch::Sender<bool>,
    /// Slots whose owner key this session has written.
    held: Mutex<Slots>,
}

impl Session {
    /// A session whose lease was requested at `sent`.
    pub fn new(lease: i64, sealer: Sealer, uptime: Arc<dyn Clock>, sent: Timestamp) -> Self {
        let session = Self {
            lease,
            sealer,
            uptime,
            valid_until: AtomicU64::new(0),
            lost: watch::Sender::new(false),
            held: Mutex::default(),
        };
        session.acknowledged(sent);
        session
    }

    /// etcd has prolonged the lease, as it was asked at `sent`.
    fn acknowledged(&self, sent: Timestamp) {
        self.valid_until.fetch_max(sent.plus(TTL - MARGIN).as_millis(), Ordering::AcqRel);
    }

    /// Whether no other node can own this node's slots now.
    pub fn is_valid(&self) -> bool {
        !*self.lost.borrow() && self.uptime.now().as_millis() < self.valid_until.load(Ordering::Acquire)
    }

    /// The lease has ended.
    pub fn lose(&self) {
        self.lost.send_replace(true);
    }

    pub fn is_lost(&self) -> bool {
        *self.lost.borrow()
    }

    /// Returns when the lease has ended.
    pub async fn lost(&self) {
        // The sender lives as long as `self`.
        let _ = self.lost.subscribe().wait_for(|lost| *lost).await;
    }

    pub fn held(&self) -> Slots {
        *self.locked()
    }

    pub fn hold(&self, slots: Slots) {
        self.locked().extend(slots);
    }

    pub fn give_up(&self, slots: Slots) {
        let mut held = self.locked();
        slots.iter().for_each(|slot| held.remove(slot));
    }

    fn locked(&self) -> MutexGuard<'_, Slots> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps the lease alive on a thread of its own, until the session is lost or dropped.
///
/// # Errors
/// If the thread or its runtime cannot be made.
pub fn keep_alive(session: &Arc<Session>, urls: Vec<String>, tls: Option<EtcdTls>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let session = Arc::downgrade(session);
    let run = move || runtime.block_on(prolong(&session, &urls, tls.as_ref()));
    thread::Builder::new().name("lease".to_owned()).spawn(run)?;
    Ok(())
}

async fn prolong(session: &Weak<Session>, urls: &[String], tls: Option<&EtcdTls>) {
    let client = match Client::new(urls, tls) {
        Ok(client) => client,
        Err(error) => {
            tracing::error!(error, "lease not kept alive");
            return;
        }
    };
    while let Some(session) = session.upgrade().filter(|session| !session.is_lost()) {
        let sent = session.uptime.now();
        match client.keep_alive(session.lease).await {
            Ok(true) => session.acknowledged(sent),
            Ok(false) => session.lose(),
            // The lease may still last.
            Err(error) => tracing::debug!(%error, "lease not prolonged"),
        }
        drop(session);
        sleep(EVERY).await;
    }
}
