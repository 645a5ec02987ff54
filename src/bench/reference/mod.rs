//! Servers to compare with.

#[cfg(feature = "bench")]
pub mod redis_server;
#[cfg(feature = "bench")]
pub mod redis_version;
