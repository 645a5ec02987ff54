//! What the routes of the control socket need.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::delivery::attempts::Attempts;
use crate::domain::GatewayName;
use crate::node::{AccountFile, Running};
use crate::store::Store;
use crate::verification::verify::Verifying;

/// What these routes need beside the dependencies of `/v2`.
pub struct Local {
    pub(super) attempts: Attempts,
    pub(super) store: Arc<dyn Store>,
    pub(super) account: AccountFile,
    pub(super) verifying: Verifying,
    /// Those that are configured.
    pub(super) gateways: Vec<GatewayName>,
    /// One copy at a time: each takes disk space until its client has read it.
    pub(super) copies: Arc<Semaphore>,
}

impl Local {
    /// The parts of a process that serve these routes.
    pub fn of(running: &Running) -> Self {
        Self {
            attempts: running.verifier.attempts().clone(),
            store: Arc::clone(&running.store),
            account: running.account.clone(),
            verifying: running.verifying.clone(),
            gateways: running.delivery.names().collect(),
            copies: Arc::new(Semaphore::new(1)),
        }
    }
}
