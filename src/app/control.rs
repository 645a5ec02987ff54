//! The control socket of a server that runs.

use std::path::Path;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::attempts::Attempts;
use crate::control::{ControlSocket, Operator};
use crate::domain::{PhoneNumber, ServiceId};
use crate::registry::Registry;
use crate::store::Store;
use crate::verify::Verifying;

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
        attempts: &Attempts,
        store: &Arc<dyn Store>,
        registry: &Registry,
        verifying: &Verifying,
    ) -> Option<Self> {
        let socket = ControlSocket::bind(data_dir)
            .inspect_err(|error| {
                tracing::warn!(%error, "the command line cannot ask this server, `onceward tracker` for one");
            })
            .ok()?
            .for_operators(Arc::new(OperatorCommands(verifying.clone())));
        let (stop, stopped) = oneshot::channel();
        let until = async {
            // Also when the other end is gone.
            let _ = stopped.await;
        };
        let answering =
            tokio::spawn(socket.serve(attempts.clone(), Arc::clone(store), registry.clone(), until));
        Some(Self { stop, answering })
    }

    /// Stops the task and removes the socket.
    pub async fn stop(self) {
        let _ = self.stop.send(());
        if let Err(error) = self.answering.await {
            tracing::error!(%error, "control socket failed at shutdown");
        }
    }
}

/// Carries out the commands of operators.
struct OperatorCommands(Verifying);

impl Operator for OperatorCommands {
    fn unlock(&self, service: ServiceId, number: PhoneNumber) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            self.0.clear(service, number).await.map_err(|refusal| refusal.to_string())?;
            tracing::info!(%number, service = service.get(), "number cleared by operator");
            Ok(())
        })
    }
}
