//! What an operator sees of a running server.
//!
//! * [`metrics`] counts what happens, for Prometheus.
//! * [`trace`] has the spans of requests.
//! * [`log_limit`] bounds the log lines that a client can cause.

pub mod log_limit;
pub mod metrics;
pub mod trace;
