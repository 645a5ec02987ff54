//! The control socket: the command line sends requests to the running server.
//!
//! Only one process may have the data directory open. Therefore the command line asks a running server. The server listens on
//! a Unix domain socket in the data directory, which only its own user may open. A request is one line of JSON; the
//! answer is lines of JSON, and a last one that says that it is complete or what went wrong.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

mod audit;
mod client;
mod guard;
mod keys;
mod server;
mod webhooks;
mod wire;

use std::os::unix::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::clock::Clock;

pub(crate) use audit::{AuditLine, AuditRequest, EraseRequest, ErasedLine};
pub(crate) use client::{ask, ask_copy};
pub use guard::{EntryRequest, ExpectRequest, GuardRequest, SubjectRequest};
pub(crate) use keys::{KeyLine, KeysRequest, RootLine};
pub use server::{ControlDeps, ControlSocket};
pub use webhooks::{WebhookLine, WebhooksRequest};
pub(crate) use wire::{
    ControlError, CopyNews, NumberRequest, ServerLine, StatusLine, TotalLine, TrackerRequest,
};
pub use wire::{ControlRequest, SendLine};

/// The socket's name in the data directory.
const FILE_NAME: &str = "control.sock";

/// The socket of a data directory.
fn path_in(data_dir: &Path) -> Result<PathBuf, ControlError> {
    let path = data_dir.join(FILE_NAME);
    match SocketAddr::from_pathname(&path) {
        Ok(_) => Ok(path),
        Err(_) => Err(ControlError::PathTooLong(path)),
    }
}

/// The task that answers on the socket.
pub struct Control {
    stop: oneshot::Sender<()>,
    answering: JoinHandle<()>,
}

impl Control {
    /// Answers requests from the command line. `None` without a socket; the server can run without one.
    pub fn start(data_dir: &Path, deps: ControlDeps) -> Option<Self> {
        Self::answer(data_dir, |socket, until| socket.serve(deps, until))
    }

    /// Refuses requests from the command line, with this reason.
    pub fn refuse(
        data_dir: &Path,
        clock: Arc<dyn Clock>,
        reason: impl Fn() -> String + Send + 'static,
    ) -> Option<Self> {
        Self::answer(data_dir, |socket, until| socket.refuse(clock, reason, until))
    }

    fn answer<F: Future<Output = ()> + Send + 'static>(
        data_dir: &Path,
        with: impl FnOnce(ControlSocket, BoxFuture<'static, ()>) -> F,
    ) -> Option<Self> {
        let socket = ControlSocket::bind(data_dir)
            .inspect_err(|error| {
                tracing::warn!(%error, "control socket not open; commands such as onceward tracker cannot reach this server");
            })
            .ok()?;
        let (stop, stopped) = oneshot::channel();
        let until = Box::pin(async {
            // Also when the other end is gone.
            let _ = stopped.await;
        });
        let answering = tokio::spawn(with(socket, until));
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

#[cfg(test)]
mod tests;
