//! The front end in tests. The integration tests of the HTTP front end and the fuzz targets share it; a change of the
//! front end's dependencies changes this crate and not the tests.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! use onceward::verification::numbers::CheckOutcome;
//! use onceward_testkit::{Script, World, verify_body};
//!
//! let world = World::scripted(Script::checks(CheckOutcome::Approved)).await;
//! assert_eq!(world.post("/api/verify-otp", &verify_body("123456")).await.status, 200);
//! # }
//! ```
//!
//! * [`World`] is a running front end on loopback, [`Memory`] one whose connections are in memory, for paused time.
//!   [`Setup`] says what is different about one.
//! * [`V2World`] has services too: a real registry and outbox on shards over a store in memory. Its requests have the
//!   account's credentials.
//! * [`Client`] sends exactly the bytes it is given, and reads a [`Reply`].
//! * [`Script`] answers sends and checks of the older routes, [`Fake`] everything below `/v2`. Both record their calls.
//!
//! The clock stands still at [`THEN`]. A helper panics where its test cannot go on.

#![expect(missing_docs, reason = "a name that says all needs no comment")]
#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]

mod client;
mod fake;
mod memory;
mod script;
mod setup;
mod v2;
mod world;

pub use client::{Client, Reply, get, is_error, json, post};
pub use fake::{Begun, Call as V2Call, Fake, THEN, attempt, number, ve, vl};
pub use memory::Memory;
pub use script::{Call, Gate, Script, sent, until};
pub use setup::Setup;
pub use v2::{V2World, account, basic, gateway, given, named, root};
pub use world::{NUMBER, World, send_body, sms_code_body, verify_body};
