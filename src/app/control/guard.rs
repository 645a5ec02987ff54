//! Requests about the pumping guard, and their answers.

use std::time::Duration;

use clap::Subcommand;
use serde::{Deserialize, Serialize};

use super::keys::service_of;
use super::wire::{at_least_one, parse_time};
use crate::audit::Author;
use crate::domain::Timestamp;
use crate::guard::operator::{self, LONGEST, SUBJECTS, masked};
use crate::guard::{Dimension, EntryAction, Key};
use crate::registry::Registry;
use crate::verify::Verifying;

/// A request of `onceward guard`, as it is written on the command line and sent over the socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Subcommand)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum GuardRequest {
    /// Explain what the guard does with messages to a number, prefix or country, or from an address: its counters,
    /// limits, blocks and manual entries.
    ///
    /// The server must run on the data directory. Shows the whole number. Answered with one `Explanation`.
    Explain(SubjectRequest),

    /// Let messages to a number, prefix or country, or from an address, pass the adaptive rules for a time, and end its
    /// block.
    ///
    /// Budgets, lists, number types and the limit per number still apply.
    Allow(EntryRequest),

    /// Refuse messages to a number, prefix or country, or from an address, for a time.
    Block(EntryRequest),

    /// Remove a manual entry that `allow` or `block` made.
    Remove(SubjectRequest),

    /// List budgets, blocks, manual entries, and what the guard refused or would have refused. Numbers are masked.
    List {
        /// Only those of this service: its id (VA...), its name in config.json, its friendly name, or "default".
        #[arg(long, value_name = "NAME|VA..")]
        service: Option<String>,

        /// Only refusals since this time: a while ago ("2h", "7d"), a day (2027-01-31, UTC), or a moment (RFC 3339)
        /// [default: a day ago].
        #[arg(long, value_name = "TIME", value_parser = parse_time)]
        since: Option<Timestamp>,

        /// At most this many of each.
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = at_least_one)]
        limit: usize,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, clap::Args)]
pub struct SubjectRequest {
    /// A number (+992900000123), a prefix ("+99290000****": a number without its last four digits), a country (TJ), or a
    /// client address (192.0.2.7).
    #[arg(value_name = "NUMBER|PREFIX|COUNTRY|ADDRESS")]
    pub subject: String,

    /// Of this service: its id (VA...), its name in config.json, its friendly name, or "default" [default: of all services;
    /// for explain the service default].
    #[arg(long, value_name = "NAME|VA..")]
    pub service: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, clap::Args)]
pub struct EntryRequest {
    #[command(flatten)]
    pub subject: SubjectRequest,

    /// How long, such as 30m, 12h or 7d.
    #[arg(long = "for", value_name = "TIME", value_parser = length, default_value = "12h")]
    pub seconds: u64,
}

fn length(text: &str) -> Result<u64, String> {
    let length =
        humantime::parse_duration(text).ok().filter(|length| (MIN_LENGTH..=LONGEST).contains(length));
    length
        .map(|length| length.as_secs())
        .ok_or_else(|| "it must be a time from 1m to 365d, such as 12h".to_owned())
}

const MIN_LENGTH: Duration = Duration::from_secs(60);

impl GuardRequest {
    pub const fn subject(&mut self) -> Option<&mut SubjectRequest> {
        match self {
            Self::Explain(subject) | Self::Remove(subject) => Some(subject),
            Self::Allow(entry) | Self::Block(entry) => Some(&mut entry.subject),
            Self::List { .. } => None,
        }
    }

    /// Returns the line of the answer, or the reason in words for a person.
    pub(super) async fn carry_out(
        self,
        registry: &Registry,
        verifying: &Verifying,
        by: Author,
    ) -> Result<Vec<serde_json::Value>, String> {
        let guard = verifying.guard().ok_or("this server has no guard")?;
        let (subject, action, seconds) = match self {
            Self::Explain(subject) => {
                let dimension = subject.dimension()?;
                let service = registry.find_service(subject.service.as_deref().unwrap_or("default"))?;
                return line(guard.explain((service.id, service.sid), dimension, true).await);
            }
            Self::List { service, since, limit } => {
                let service = service_of(registry, service)?;
                return line(guard.overview((service, since, limit), masked).await);
            }
            Self::Allow(EntryRequest { subject, seconds }) => (subject, Some(EntryAction::Allow), seconds),
            Self::Block(EntryRequest { subject, seconds }) => (subject, Some(EntryAction::Block), seconds),
            Self::Remove(subject) => (subject, None, 0),
        };
        let key = Key::new(service_of(registry, subject.service.clone())?, subject.dimension()?);
        line(guard.set_entry(key, action, Duration::from_secs(seconds), by).await)
    }
}

fn line<T: Serialize>(answer: Result<T, impl ToString>) -> Result<Vec<serde_json::Value>, String> {
    let line = serde_json::to_value(answer.map_err(|error| error.to_string())?);
    Ok(vec![line.map_err(|error| error.to_string())?])
}

impl SubjectRequest {
    fn dimension(&self) -> Result<Dimension, String> {
        operator::subject(&self.subject, None)
            .ok_or_else(|| format!("{:?} is none of these: {SUBJECTS}", self.subject))
    }
}
