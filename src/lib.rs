//! The server: what [`onceward_library`] does, over HTTP and on the command line.
//!
//! Dependencies point down only; `tests/tidy.rs` enforces it.
//!
//! * [`cli`]: the program's arguments, exports and imports.
//! * [`server`]: composition, start and stop, TLS, the control socket, logs.
//! * [`http`]: the hyper front end with its routes, and the pages it serves.

pub mod cli;
pub mod http;
pub mod server;

#[cfg(test)]
pub use onceward_library::testing;
pub use onceward_library::{
    clock, config, delivery, domain, engine, gateway, limits, named, net, node, observe, otp, registry,
    shard, store, template, verification, webhook,
};
