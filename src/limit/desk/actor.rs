//! The task around a [`Core`], and what brings it back after a panic.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::shelf::Entry;
use super::{Around, Book, Core, OpenError, PageError, Shelf};
use crate::store::{Outcome, StoreError, Write};

/// Requests that are taken in at once.
const AT_ONCE: usize = 1_024;
/// Records looked at by one step of the sweep.
const SWEEP_STEP: usize = 1_000;
/// Time between two steps: a million records are seen in under three minutes.
const SWEEP_EVERY: Duration = Duration::from_millis(150);
/// Wait before records that cannot be loaded are tried again.
const RETRY_LOAD: Duration = Duration::from_secs(1);

/// A batch on its way to the disk.
type Commit = JoinHandle<Result<Vec<Outcome>, StoreError>>;

/// Serves until the last handle is gone. After a panic it begins anew with what the store has; what was in its hands is
/// dropped, and so refused.
pub async fn run<B: Book>(
    around: Around,
    book: Box<dyn Fn() -> B + Send>,
    shelf: Shelf<B>,
    mut requests: UnboundedReceiver<B::Request>,
) {
    let mut commit = None;
    let mut core = Core::new(book(), shelf);
    loop {
        let serving = AssertUnwindSafe(serve(&around, &mut core, &mut requests, &mut commit));
        if serving.catch_unwind().await.is_ok() {
            return;
        }
        tracing::error!(
            what = B::KIND.plural(),
            "the owner of these records failed; it starts again from the store"
        );
        // Answers that were waiting are refused now. The batch may still reach the disk: it has to have done so before
        // the store is read.
        drop(core);
        if let Some(commit) = commit.take() {
            let _ = commit.await;
        }
        core = Core::new(book(), load_at_last(&around, &mut requests).await);
        tracing::info!(what = B::KIND.plural(), "the owner of these records is running again");
    }
}

async fn serve<B: Book>(
    around: &Around,
    core: &mut Core<B>,
    requests: &mut UnboundedReceiver<B::Request>,
    commit: &mut Option<Commit>,
) {
    let mut sweep = tokio::time::interval(SWEEP_EVERY);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut arrived = Vec::with_capacity(AT_ONCE);
    let mut open = true;
    while open || commit.is_some() {
        tokio::select! {
            result = ended(commit) => {
                *commit = None;
                core.committed(result, around.clock.now());
            }
            count = requests.recv_many(&mut arrived, AT_ONCE), if open => {
                open = count > 0;
                let now = around.clock.now();
                arrived.drain(..).for_each(|request| core.submit(request, now));
            }
            _ = sweep.tick() => core.sweep(SWEEP_STEP, around.clock.now()),
        }
        core.go(around.clock.now());
        if let Some(writes) = core.take_commit() {
            *commit = Some(tokio::spawn(write(writes, around.clone())));
        }
    }
}

/// A task of its own: the store asks that its answer is awaited to the end, whatever becomes of the caller.
async fn write(writes: Vec<Write>, around: Around) -> Result<Vec<Outcome>, StoreError> {
    around.store.cas(writes, around.bounds.commit_timeout).await
}

/// The end of the commit under way; never, if there is none.
async fn ended(commit: &mut Option<Commit>) -> Result<Vec<Outcome>, StoreError> {
    match commit {
        Some(commit) => {
            commit.await.unwrap_or_else(|_| Err(StoreError::Unknown("the commit panicked".into())))
        }
        None => std::future::pending().await,
    }
}

/// Refuses what arrives until the records are there.
async fn load_at_last<B: Book>(around: &Around, requests: &mut UnboundedReceiver<B::Request>) -> Shelf<B> {
    loop {
        match load(around).await {
            Ok(shelf) => return shelf,
            Err(error) => {
                tracing::error!(%error, "trying once more soon");
                tokio::time::sleep(RETRY_LOAD).await;
                while requests.try_recv().is_ok() {}
            }
        }
    }
}

/// What the store has.
pub async fn load<B: Book>(around: &Around) -> Result<Shelf<B>, OpenError> {
    let what = B::KIND.plural();
    let shelf = Shelf::<B>::with_room_for(around.bounds.records, around.bounds.answer_bytes);
    let found: Arc<Mutex<(Shelf<B>, Option<PageError>)>> = Arc::new(Mutex::new((shelf, None)));
    let (into, now) = (Arc::clone(&found), around.clock.now());
    let visit = move |key, revision, record: &[u8]| {
        let mut found = into.lock().unwrap_or_else(PoisonError::into_inner);
        match B::read(record) {
            Ok(page) if now < B::ends(&page) => {
                found.0.set(key, Some(Entry { page, revision, unsettled: false }));
            }
            Ok(_ended) => {}
            Err(error) => found.1 = Some(error),
        }
    };
    let scanned = around.store.scan(B::KIND, Box::new(visit)).await;
    scanned.map_err(|source| OpenError::Store { what, source })?;
    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(source) = found.1.take() {
        return Err(OpenError::Record { what, source });
    }
    let empty = Shelf::with_room_for(around.bounds.records, around.bounds.answer_bytes);
    Ok(std::mem::replace(&mut found.0, empty))
}
