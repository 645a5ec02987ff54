//! What the routes of the control socket need.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::node::Running;

/// What these routes need beside the dependencies of `/v2`.
pub struct Local {
    pub(super) running: Arc<Running>,
    /// One copy at a time: each takes disk space until its client has read it.
    pub(super) copies: Arc<Semaphore>,
}

impl Local {
    pub fn of(running: &Arc<Running>) -> Self {
        Self { running: Arc::clone(running), copies: Arc::new(Semaphore::new(1)) }
    }
}
