//! The control socket of a server that runs.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::control::ControlSocket;
use crate::delivery::tracker::Tracker;
use crate::registry::Registry;
use crate::store::Store;

/// The task that answers on the socket.
pub struct Control {
    stop: oneshot::Sender<()>,
    answering: JoinHandle<()>,
}

impl Control {
    /// Answers questions from the command line; `None` where that cannot be, which is no reason not to
    /// serve.
    pub fn start(
        data_dir: &Path,
        tracker: &Tracker,
        store: &Arc<dyn Store>,
        registry: &Registry,
    ) -> Option<Self> {
        let socket = ControlSocket::bind(data_dir)
            .inspect_err(|error| {
                tracing::warn!(%error, "the command line cannot ask this server, `onceward tracker` for one");
            })
            .ok()?;
        let (stop, stopped) = oneshot::channel();
        let until = async {
            // Also when the other end is gone.
            let _ = stopped.await;
        };
        let answering =
            tokio::spawn(socket.serve(tracker.clone(), Arc::clone(store), registry.clone(), until));
        Some(Self { stop, answering })
    }

    /// Ends it; the socket is gone then.
    pub async fn stop(self) {
        let _ = self.stop.send(());
        if let Err(error) = self.answering.await {
            tracing::error!(%error, "the control socket did not end well");
        }
    }
}
