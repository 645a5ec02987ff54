//! The store of a world: the real memory store, polled by hand, so that a commit stands still wherever the seed
//! wants it to.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use onceward::domain::PhoneNumber;
use onceward::engine::NumberState;
use onceward::numbers::command::NumberKey;
use onceward::numbers::record;
use onceward::numbers::table::{Entry, Table};
use onceward::store::{Fault, Kind, MemoryStore, Outcome, Revision, Store, StoreError, Write};

use crate::setup::StoreKind;

/// What a commit came to.
pub type Committed = Result<Vec<Outcome>, StoreError>;

/// A commit that the store has and has not answered.
pub type Hanging = Pin<Box<dyn Future<Output = Committed>>>;

/// Longer than any run: the world decides itself when a commit is given up.
const FOREVER: Duration = Duration::from_secs(1_000_000_000);

pub struct Disk {
    store: MemoryStore,
    kind: StoreKind,
}

impl Disk {
    pub fn new(kind: StoreKind) -> Self {
        let store = match kind {
            StoreKind::Blind => MemoryStore::new(),
            StoreKind::Comparing => MemoryStore::shared(),
        };
        Self { store, kind }
    }

    /// The process dies: what it has in flight never arrives.
    pub fn reopens(&mut self) {
        self.store = self.store.reopen();
    }

    fn present(&self, write: &Write) -> Option<(Revision, Bytes)> {
        let found = self.store.load(std::slice::from_ref(&write.key), FOREVER).now_or_never();
        found.expect("memory answers at once").expect("an open store").pop().expect("one answer")
    }

    /// Hands a batch to the store. The answer, or the batch hanging there.
    pub fn commit(&self, mut writes: Vec<Write>, fault: Option<Fault>) -> Result<Committed, Hanging> {
        if self.kind == StoreKind::Blind {
            for write in &mut writes {
                write.expect = self.present(write).map_or(Revision::ABSENT, |(revision, _)| revision);
            }
        }
        self.store.fail_next(fault);
        let store = self.store.clone();
        let mut commit: Hanging = Box::pin(async move { store.cas(writes, FOREVER).await });
        match poll(&mut commit) {
            Poll::Ready(committed) => Ok(committed),
            Poll::Pending => Err(commit),
        }
    }

    /// Lets a batch that hangs go on.
    pub fn releases(&self, mut hanging: Hanging) -> Committed {
        self.store.release();
        match poll(&mut hanging) {
            Poll::Ready(committed) => committed,
            Poll::Pending => panic!("a released commit goes on"),
        }
    }

    /// The state that is durable for a number.
    pub fn state(&self, key: NumberKey) -> NumberState {
        let key = record::key_of(key.service, key.number);
        let found = self.store.load(&[key], FOREVER).now_or_never().expect("memory answers at once");
        match found.expect("an open store").pop().flatten() {
            None => NumberState::Fresh,
            Some((_, bytes)) => record::decode(&bytes).expect("a record"),
        }
    }

    /// Everything, as the supervisor loads it.
    pub fn load(&self) -> Table {
        let (into, found) = std::sync::mpsc::channel();
        let visit = Box::new(move |key: onceward::store::Key, revision, bytes: &[u8]| {
            let number = PhoneNumber::from_u64(key.subject.0).expect("a number");
            let state = record::decode(bytes).expect("a record");
            let owned = NumberKey { service: key.service, number };
            into.send((owned, Entry { state, revision })).expect("a receiver");
        });
        self.store.scan(Kind::Number, visit).now_or_never().expect("memory answers at once").expect("a scan");
        let mut table = Table::default();
        for (key, entry) in found {
            table.set(key, entry);
        }
        table
    }
}

fn poll(commit: &mut Hanging) -> Poll<Committed> {
    commit.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}
