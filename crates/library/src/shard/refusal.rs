//! Why a shard refuses a command.

use strum::{IntoStaticStr, VariantNames};

/// The reason why a client gets no decision. Nothing has happened, except perhaps after [`Refusal::OutcomeUnknown`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum Refusal {
    /// Too many commands are waiting for an answer.
    #[error("too many requests are in progress")]
    Overloaded,
    /// Too many commands for this one number are waiting for an answer.
    #[error("too many requests for this number are in progress")]
    NumberBusy,
    /// The messages waiting for the gateway have filled their queue.
    #[error("too many messages are waiting for the gateway")]
    SendsOverloaded,
    /// The record is new, and the service has used up its share of the table.
    #[error("the server has too many {table} already")]
    TableFull {
        /// The full table.
        table: LimitedTable,
    },
    /// The decision was certainly not made durable.
    #[error("the store is not available")]
    StoreUnavailable,
    /// The decision may be durable: a message may have been sent and an attempt may count.
    #[error("the outcome is unknown")]
    OutcomeUnknown,
    /// The store is still being loaded.
    #[error("the server is starting")]
    Starting,
    /// The server is stopping, or a shard has ended, and the server with it.
    #[error("the server is stopping or restarting")]
    Stopping,
}

impl Refusal {
    /// Each [`Refusal::name`].
    pub const NAMES: &'static [&'static str] = Self::VARIANTS;

    /// The name in metrics.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

crate::named! {
    /// A table in which each service may have a limited number of records.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum LimitedTable {
        /// Numbers with an outstanding code, a count or a lockout.
        Numbers = "numbers",
        /// Numbers with a fixed code, to which no message goes.
        TestNumbers = "test numbers",
        /// Requests with an idempotency key.
        IdempotencyKeys = "idempotency keys",
        /// Values of rate limits.
        Counters = "rate limit counters",
        /// Numbers that were verified in the last 30 days. A full table refuses nothing.
        VerifiedNumbers = "verified numbers",
        /// Hosted sessions.
        HostedSessions = "hosted sessions",
    }
}

impl LimitedTable {
    /// What its log lines are about.
    pub(super) const fn noun(self) -> &'static str {
        if matches!(self, Self::Numbers | Self::TestNumbers) { "number" } else { "table" }
    }
}
