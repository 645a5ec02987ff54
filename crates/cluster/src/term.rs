//! A term: the time for which a node has a lease, and with it the records or its name.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use std::{io, thread};

use onceward_core::clock::Clock;
use onceward_core::domain::Timestamp;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::etcd::{Client, EtcdTls};

/// The shortest lease that etcd grants with its default election time-out.
pub const TTL: Duration = Duration::from_secs(2);
/// Time between two keep-alives.
const EVERY: Duration = Duration::from_millis(500);
/// Memory is trusted for this long less than the lease may last: clocks of two machines differ a little in rate.
const MARGIN: Duration = Duration::from_millis(500);
const VALID_FOR: Duration = TTL.saturating_sub(MARGIN);

pub struct Term {
    pub lease: i64,
    /// Counts time since the machine booted, suspension included.
    uptime: Arc<dyn Clock>,
    /// In milliseconds of `uptime`.
    valid_until: AtomicU64,
    ended: watch::Sender<bool>,
}

impl Term {
    /// A term whose lease was requested at `sent`.
    pub fn new(lease: i64, uptime: Arc<dyn Clock>, sent: Timestamp) -> Self {
        let term = Self { lease, uptime, valid_until: AtomicU64::new(0), ended: watch::Sender::new(false) };
        term.acknowledged(sent);
        term
    }

    /// etcd has prolonged the lease, as it was asked at `sent`.
    fn acknowledged(&self, sent: Timestamp) {
        self.valid_until.fetch_max(sent.plus(VALID_FOR).as_millis(), Ordering::AcqRel);
    }

    /// Whether no other node can own the records now.
    pub fn is_valid(&self) -> bool {
        !self.has_ended() && self.uptime.now().as_millis() < self.valid_until.load(Ordering::Acquire)
    }

    /// The lease has ended, or this node gives it up.
    pub fn end(&self) {
        self.ended.send_replace(true);
    }

    pub fn has_ended(&self) -> bool {
        *self.ended.borrow()
    }

    /// Returns when the term has ended.
    pub async fn ended(&self) {
        // The sender lives as long as `self`.
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }
}

/// Keeps the lease alive on a thread of its own, until the term has ended or is dropped.
///
/// # Errors
/// If the thread or its runtime cannot be made.
pub fn keep_alive(term: &Arc<Term>, urls: Vec<String>, tls: Option<EtcdTls>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let term = Arc::downgrade(term);
    let run = move || runtime.block_on(prolong(&term, &urls, tls.as_ref()));
    thread::Builder::new().name("lease".to_owned()).spawn(run)?;
    Ok(())
}

async fn prolong(term: &Weak<Term>, urls: &[String], tls: Option<&EtcdTls>) {
    let client = match Client::new(urls, tls) {
        Ok(client) => client,
        Err(error) => {
            tracing::error!(error, "lease not kept alive");
            return;
        }
    };
    while let Some(term) = term.upgrade().filter(|term| !term.has_ended()) {
        let sent = term.uptime.now();
        match client.keep_alive(term.lease).await {
            Ok(true) => term.acknowledged(sent),
            Ok(false) => term.end(),
            // The lease may still last.
            Err(error) => tracing::debug!(%error, "lease not prolonged"),
        }
        drop(term);
        sleep(EVERY).await;
    }
}
