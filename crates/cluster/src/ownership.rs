//! Distributes the slots over the live nodes.

use std::sync::Arc;
use std::time::Duration;

use onceward_store::{BoxFuture, Slots, StoreError};
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use crate::etcd::ClientError;
use crate::lease::Session;
use crate::members::{Members, OwnerOf, cluster_prefix};
use crate::sealed::after_prefix;
use crate::store::EtcdStore;

/// Longest time until a change that the watch did not report is noticed.
const POLL: Duration = Duration::from_millis(500);
/// Slots that are handed over at once. Their numbers wait meanwhile.
const AT_ONCE: usize = 32;

/// Holds the records of slots in memory.
pub trait SlotHolder: Send + Sync + 'static {
    /// Reads the records of these slots from the store and begins to decide about them.
    fn acquire(&self, slots: Slots) -> BoxFuture<'_, Result<(), String>>;
    /// Commits every change of these slots, drops their records, and decides nothing about them any more.
    fn release(&self, slots: Slots) -> BoxFuture<'_, ()>;
    /// Drops every record at once, without a commit. Returns when no decision can rest on them any more.
    fn drop_all(&self) -> BoxFuture<'_, ()>;
}

/// A node's part in the cluster.
pub struct Ownership {
    members: watch::Receiver<Arc<Members>>,
    retire: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Ownership {
    /// Joins the cluster.
    pub fn start(store: Arc<EtcdStore>, holder: Arc<dyn SlotHolder>) -> Self {
        let (publish, members) = watch::channel(Arc::default());
        let retire = watch::Sender::new(false);
        let changed = Arc::new(Notify::new());
        let retiring = retire.subscribe();
        let node = Node { store, holder, publish, changed, retiring };
        Self { members, retire, task: tokio::spawn(node.run()) }
    }

    /// The state of the cluster now.
    pub fn members(&self) -> Arc<Members> {
        Arc::clone(&self.members.borrow())
    }

    /// The owner of a slot, to whom requests about it go.
    pub fn owner_of(&self, slot: u8) -> OwnerOf {
        self.members.borrow().owner_of(slot)
    }

    /// Follows the state of the cluster.
    pub fn changes(&self) -> watch::Receiver<Arc<Members>> {
        self.members.clone()
    }

    /// Hands over every slot and leaves the cluster. Returns when no slot is left.
    pub async fn leave(&mut self) {
        self.retire.send_replace(true);
        if let Err(error) = (&mut self.task).await {
            tracing::error!(%error, "leaving the cluster failed");
        }
    }
}

impl Drop for Ownership {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Node {
    store: Arc<EtcdStore>,
    holder: Arc<dyn SlotHolder>,
    publish: watch::Sender<Arc<Members>>,
    changed: Arc<Notify>,
    retiring: watch::Receiver<bool>,
}

/// Why a session is over.
enum End {
    LeaseLost,
    Retired,
}

impl Node {
    async fn run(mut self) {
        // Ends with this task.
        let mut watching = JoinSet::new();
        watching.spawn(watch_changes(Arc::clone(&self.store), Arc::clone(&self.changed)));
        while !*self.retiring.borrow() {
            let Some(session) = self.join().await else { continue };
            let end = self.take_part(&session).await;
            // Before the next lease: nothing that was decided under this one may be committed under that one.
            self.store.end_session();
            self.publish.send_replace(Arc::default());
            match end {
                End::LeaseLost => {
                    tracing::error!(
                        node = self.store.options.node,
                        "lease lost; dropping the records of all slots"
                    );
                    self.holder.drop_all().await;
                }
                End::Retired => {
                    if let Err(error) = self.store.client.revoke(session.lease).await {
                        tracing::warn!(%error, "lease not revoked; the node's name is free again in two seconds");
                    }
                    break;
                }
            }
        }
    }

    /// Begins a session, or says why not and waits a moment.
    async fn join(&self) -> Option<Arc<Session>> {
        let node = &self.store.options.node;
        match self.store.begin_session().await {
            Ok(Some(session)) => {
                tracing::info!(node, lease = format!("{:x}", session.lease), "joined the cluster");
                self.store.set_trouble(None);
                return Some(session);
            }
            Ok(None) => {
                let why =
                    format!("another process is node {node} of the cluster, or was until two seconds ago");
                tracing::debug!(node, "node name in use");
                self.store.set_trouble(Some(why));
            }
            Err(error) => {
                tracing::debug!(%error, "cluster not joined");
                self.store.set_trouble(Some(error.to_string()));
            }
        }
        sleep(POLL / 2).await;
        None
    }

    /// Claims and gives up slots until the session ends.
    async fn take_part(&mut self, session: &Arc<Session>) -> End {
        let mut here = Slots::none();
        let mut is_leaving = false;
        loop {
            if *self.retiring.borrow() && !is_leaving {
                // The others then divide this node's slots among themselves.
                is_leaving = self.store.retire(session).await.is_ok();
            }
            let step = self.step(session, is_leaving, &mut here);
            let stepped = tokio::select! {
                stepped = step => stepped,
                () = session.lost() => return End::LeaseLost,
            };
            match stepped {
                Ok(()) if is_leaving && here == Slots::none() => return End::Retired,
                Ok(()) => {}
                Err(error) => {
                    tracing::debug!(error, "slots not distributed");
                }
            }
            tokio::select! {
                () = session.lost() => return End::LeaseLost,
                _ = timeout(POLL, self.changed.notified()) => {}
                _ = self.retiring.wait_for(|retiring| *retiring), if !is_leaving => {}
            }
        }
    }

    /// One step towards the node's share of the slots.
    async fn step(&self, session: &Arc<Session>, is_leaving: bool, here: &mut Slots) -> Result<(), String> {
        let known = |error: ClientError| error.to_string();
        let failed = |error: StoreError| error.to_string();
        let mut members = self.store.members().await.map_err(known)?;
        if !is_leaving && !members.nodes().any(|peer| peer.node == self.store.options.node) {
            // An operator has deleted the key.
            session.lose();
            return Err("this node's key is gone".to_owned());
        }
        let share = members.share_of(&self.store.options.node);
        let (owned, ours) = (members.owned(), members.owned_under(session.lease));
        let free: Slots = share.iter().filter(|slot| !owned.contains(*slot)).collect();
        let surplus: Vec<u8> = ours.iter().filter(|slot| !share.contains(*slot)).collect();
        self.show(&members, *here);
        for slots in surplus.chunks(AT_ONCE) {
            let slots: Slots = slots.iter().copied().collect();
            slots.iter().for_each(|slot| here.remove(slot));
            self.show(&members, *here);
            self.holder.release(slots).await;
            self.store.release(session, slots).await.map_err(failed)?;
        }
        if free != Slots::none() {
            self.store.claim(session, free).await.map_err(failed)?;
            members = self.store.members().await.map_err(known)?;
        }
        let ours = members.owned_under(session.lease);
        let missing: Slots =
            ours.iter().filter(|slot| share.contains(*slot) && !here.contains(*slot)).collect();
        if missing != Slots::none() {
            session.hold(missing);
            self.holder.acquire(missing).await?;
            here.extend(missing);
            tracing::info!(slots = missing.iter().count(), of = here.iter().count(), "slots claimed");
        }
        self.show(&members, *here);
        Ok(())
    }

    fn show(&self, members: &Members, here: Slots) {
        self.publish.send_replace(Arc::new(members.with_here(here)));
    }
}

/// Reports changes at once. Without it, they are noticed at the next poll.
async fn watch_changes(store: Arc<EtcdStore>, changed: Arc<Notify>) {
    let prefix = cluster_prefix();
    loop {
        let ended =
            store.client.watch(prefix.clone(), after_prefix(prefix.clone()), || changed.notify_one()).await;
        if let Err(error) = ended {
            tracing::debug!(%error, "watch of the cluster ended");
        }
        sleep(POLL).await;
    }
}
