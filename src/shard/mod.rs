//! Who owns a number, in what order its commands are decided, and until when.
//!
//! A number hashes to one of N actors. A shard has one batch in flight: while it commits, commands
//! collect; then they are decided in order, one record is written per changed number, and nothing
//! is answered before the store says that it is durable. Commands about a number whose code a gateway is
//! being asked about wait for its answer; nobody else does. `core` is that logic without the actor.

mod actor;
mod ask;
pub mod command;
pub mod core;
pub mod decide;
mod dispatch;
mod fill;
mod follow_up;
mod message;
mod policies;
pub mod record;
pub mod room;
mod router;
mod supervisor;
mod surroundings;
pub mod table;
#[cfg(test)]
mod tests;
mod told;
mod verifier;

pub use crate::delivery::Trouble;
pub use crate::engine::SendOptions;
pub use policies::Policies;
pub use told::{Facts, Limit, Told};
pub use verifier::{
    BeginRequest, CheckAnswer, CheckRequest, EndRequest, NamedCheck, Parts, Refusal, SendAnswer, SendRequest,
    StartError, Verifier, known,
};
