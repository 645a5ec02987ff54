//! The Redis version with a Redis of its own, in this process and one below it.

use std::net::Ipv4Addr;

use tokio::net::TcpListener;

use super::redis_server::{Durability, RedisServer};
use super::redis_version;
use crate::bench::BenchError;

/// Serves for ever; the Redis ends when this is dropped. Its data are in the working directory.
pub async fn serve(durability: Durability, twilio: &str) -> Result<(), BenchError> {
    let home = std::env::current_dir().map_err(BenchError::io("find the directory for the data of Redis"))?;
    let redis = RedisServer::start(durability, &home).await.map_err(|error| refused(&error))?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    let listener = listener.map_err(BenchError::io("listen on loopback"))?;
    redis_version::serve(listener, &redis.url(), twilio).await.map_err(|error| refused(&error))
}

fn refused(error: &dyn std::error::Error) -> BenchError {
    BenchError::Refused(error.to_string())
}
