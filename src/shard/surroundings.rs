//! What every shard works with.

use std::sync::Arc;
use std::time::Duration;

use super::room::Room;
use super::router::Router;
use crate::clock::Clock;
use crate::delivery::Delivery;
use crate::domain::ServerKey;
use crate::store::Store;

/// What every shard works with.
pub struct Surroundings {
    /// Where decisions become durable.
    pub store: Arc<dyn Store>,
    /// Who sends.
    pub delivery: Arc<Delivery>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// What codes are derived with.
    pub server_key: ServerKey,
    /// Where the results of sends go: to whoever owns the number then.
    pub router: Arc<Router>,
    /// How many numbers may be remembered, by all shards together.
    pub room: Arc<Room>,
    /// How long a commit may take before it counts as failed.
    pub commit_timeout: Duration,
}
