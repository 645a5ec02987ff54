//! Phone verification by one-time code: exact counts and single use, durable before they are
//! answered, in one process and without Redis.
//!
//! # As a library
//!
//! [`otp`] has everything that a program needs which builds verification in: one `use` path, no HTTP server, the
//! same rules, gateways and durability as the server.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use onceward::otp::Otp;
//!
//! # let directory = tempfile::tempdir()?;
//! # let data_dir = directory.path();
//! let otp = Otp::builder(data_dir).set("brand", "Acme").start().await?;
//! otp.send_sms("+14155550123").await?;
//!
//! let submitted = otp.inbox_code("+14155550123").unwrap_or_default();
//! assert!(otp.verify("+14155550123", &submitted).await.code_valid());
//! otp.stop().await?;
//! # Ok(())
//! # }
//! ```
//!
//! The other modules are the parts of the server. They are public so that they can be read and tested, and change
//! without notice. The feature `server`, which is on by default, adds the front end and the program. Without it
//! (`default-features = false`) the library compiles without the command line, the web server and their dependencies.
//!
//! # Layout
//!
//! Dependencies point down only; `tests/tidy.rs` enforces it. [`cli`], [`app`], [`http`] and the logs need the feature `server`.
//!
//! * [`cli`], [`app`]: the program: arguments, exports and imports; composition, start and stop, the control socket.
//! * [`http`]: the hyper front end with its table of routes, and the pages it serves.
//! * [`otp`]: the library's handle: the program without its front end.
//! * [`node`]: the services of one process, as the server and the library start them.
//! * [`hosted`]: sessions of the hosted page.
//! * [`verify`]: verifications as Twilio Verify's API knows them: who may ask for what, and what is shown.
//! * [`webhook`]: tells others what happens to verifications, signed, in order and until they have taken it.
//! * [`numbers`]: may a code be sent, and is a submitted code right; [`numbers::Verifier`] is the front door.
//! * [`attempts`]: what became of each message, and what is still to be sent.
//! * [`delivery`]: hands a message to a gateway within a time budget.
//! * [`guard`]: refuses messages that cost money and lead to no verification; [`guard::PumpingGuard`] is the front door.
//! * [`budgets`]: the most messages or money of an hour or a day, if the operator sets it.
//! * [`limit`]: exact counts behind rate limits, and answers kept for idempotency keys.
//! * [`registry`]: services, and what belongs to them: rules, limits, webhooks, keys.
//! * [`audit`]: who changed what.
//! * [`history`]: sends and verifications over time, for the dashboard.
//! * [`shard`]: actors that own records, decide commands about them and make the changes durable.
//! * [`metrics`]: counts what happens, for Prometheus.
//! * [`telemetry`]: logs, and spans on their way to a collector.
//! * [`config`]: settings with their origin.
//! * [`gateway`]: one file per provider behind one trait.
//! * `setting`: kinds of values.
//! * [`trace`]: the spans of requests.
//! * [`log_limit`]: log lines that a client can cause in any number.
//! * [`net`], [`clock`]: host names, real time.
//!
//! The other crates are below all of these:
//!
//! * [`store`]: durability behind one trait: journal and snapshot, or memory.
//! * [`engine`], [`template`], [`domain`]: pure decisions, the texts of messages, and the types that all of
//!   them speak; no I/O, clock or randomness.

#[cfg(feature = "server")]
pub mod app;
pub mod attempts;
pub mod audit;
pub mod budgets;
#[cfg(feature = "server")]
pub mod cli;
pub mod clock;
pub mod config;
pub mod delivery;
pub mod gateway;
pub mod guard;
pub mod history;
pub mod hosted;
#[cfg(feature = "server")]
pub mod http;
pub mod limit;
pub mod log_limit;
pub mod metrics;
pub mod net;
pub mod node;
pub mod numbers;
pub mod otp;
pub mod registry;
mod setting;
pub mod shard;
#[cfg(feature = "server")]
pub mod telemetry;
pub mod trace;
pub mod verify;
pub mod webhook;

pub use onceward_core::named;
pub use onceward_core::{domain, engine, template};
pub use onceward_store as store;

/// Compiles the examples of the guide.
#[cfg(doctest)]
#[doc = include_str!("../docs/guides/embedding.md")]
struct EmbeddingGuide;
