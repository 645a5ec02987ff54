//! Phone verification by one-time code: exact counts and single use, durable before they are answered, in one process
//! and without Redis.
//!
//! [`otp`] has everything that a program needs which builds verification in: the rules, gateways and durability of the
//! server, and no port.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use onceward_library::otp::Otp;
//!
//! # let directory = tempfile::tempdir()?;
//! # let data_dir = directory.path();
//! let otp = Otp::builder(data_dir).set("brand", "Acme").start().await?;
//! otp.send_sms("+14155550123").await?;
//!
//! let submitted = otp.inbox_code("+14155550123").unwrap_or_default();
//! assert!(otp.verify("+14155550123", &submitted).await.code_valid);
//! otp.stop().await?;
//! # Ok(())
//! # }
//! ```
//!
//! The other modules are the parts of the server below its front end. They are public for the server and for tests, and
//! change without notice. Dependencies point down only; `tests/tidy.rs` enforces it.
//!
//! * [`otp`]: the handle of an embedding program.
//! * [`node`]: the services of one process, as the server and the library start them, and their history.
//! * [`verification`]: codes, verifications as Twilio Verify's API knows them, sessions of the hosted page.
//! * [`webhook`]: tells others what happens to verifications, signed, in order and until they have taken it.
//! * [`delivery`]: hands a message to a gateway within a time budget, and keeps what became of it.
//! * [`limits`]: what may be sent: the guard, budgets, and the counts behind rate limits.
//! * [`registry`]: services and what belongs to them (rules, limits, webhooks, keys), and who changed what.
//! * [`shard`]: actors that own records, decide commands about them and make the changes durable.
//! * [`observe`]: metrics, spans, and bounds on the lines that a client can cause.
//! * [`config`]: settings with their origin.
//! * [`clock`]: real time.
//!
//! The other crates are below all of these:
//!
//! * [`gateway`]: providers behind one trait, and the HTTP client; with it [`net`], host names.
//! * [`store`]: durability behind one trait: journal and snapshot, or memory.
//! * [`engine`], [`template`], [`domain`]: pure decisions, the texts of messages, and the types that all of
//!   them speak; no I/O, clock or randomness.

pub mod clock;
pub mod config;
pub mod delivery;
pub mod limits;
pub mod node;
pub mod observe;
pub mod otp;
pub mod registry;
pub mod shard;
#[cfg(any(test, feature = "testing"))]
#[path = "tests/mod.rs"]
pub mod testing;
pub mod verification;
pub mod webhook;

pub use onceward_core::named;
pub use onceward_core::{domain, engine, template};
pub use onceward_gateway as gateway;
pub use onceward_gateway::net;
pub use onceward_store as store;

/// Compiles the examples of the guide.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guides/embedding.md")]
struct EmbeddingGuide;
