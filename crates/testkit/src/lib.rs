//! The server in tests. The integration tests of the HTTP front end and the fuzz targets share it; a change of the
//! server's dependencies changes this crate and not the tests.
//!
//! * [`World`] is a server on loopback, [`Memory`] one whose connections are in memory, for paused time. The records of both
//!   are in memory. [`Setup`] says what is different about one.
//! * [`V2World`] has a second service. Its requests have the account's credentials.
//! * [`Client`] sends exactly the bytes it is given, and reads a [`Reply`].
//! * Messages go to the simulator, or to a [`ProviderDouble`], which can hold them.
//!
//! The clock stands still at [`THEN`]. A helper panics where its test cannot go on.

#![expect(missing_docs, reason = "a name that says all needs no comment")]
#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]

mod client;
mod memory;
mod setup;
mod v2;
mod world;

pub use client::{Client, Reply, get, is_error, json, post};
pub use memory::Memory;
pub use onceward_library::testing::{ProviderDouble, accepted, given};
pub use setup::{Setup, THEN, account};
pub use v2::{V2World, basic, root, sid};
pub use world::{NUMBER, World, send_body, send_body_to, verify_body};
