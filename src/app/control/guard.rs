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
    /// Explain what the guard does with messages to a number, prefix or country, or from an address or network: allowances,
    /// manual entries and refusals.
    ///
    /// The server must run on the data directory. Shows the whole number. Without --service the ten services in which most
    /// is refused or lacks.
    Explain(SubjectRequest),

    /// Let messages to a number, prefix or country, or from an address or network, pass without allowances for a time. Of
    /// one number of a service it also ends the refusals.
    ///
    /// Budgets, country lists and number types still apply.
    Allow(EntryRequest),

    /// Refuse messages to a number, prefix or country, or from an address or network, for a time.
    Block(EntryRequest),

    /// Announce messages to a country, such as those of an advert: its allowance has so many messages meanwhile.
    Expect(ExpectRequest),

    /// Remove a manual entry that `allow`, `block` or `expect` made.
    Remove(SubjectRequest),

    /// List budgets, allowances with less than half of their messages, manual entries, and what the guard refused or would
    /// have refused. Numbers are masked.
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
    /// A number (+992900000123), a prefix ("+99290000****": a number without its last four digits), a country (TJ), a client
    /// address (192.0.2.7) or a network (192.0.2.0/24).
    #[arg(value_name = "NUMBER|PREFIX|COUNTRY|ADDRESS")]
    pub subject: String,

    /// Of this service: its id (VA...), its name in config.json, its friendly name, or "default" [default: all services].
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

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, clap::Args)]
pub struct ExpectRequest {
    /// The country (TJ).
    #[arg(value_name = "COUNTRY")]
    pub subject: String,

    /// The messages that are expected.
    #[arg(value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub messages: u32,

    /// To users of this service: its id (VA...), its name in config.json, its friendly name, or "default" [default: all
    /// services].
    #[arg(long, value_name = "NAME|VA..")]
    pub service: Option<String>,

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
    pub const fn subject(&mut self) -> Option<&mut String> {
        match self {
            Self::Explain(subject) | Self::Remove(subject) => Some(&mut subject.subject),
            Self::Allow(entry) | Self::Block(entry) => Some(&mut entry.subject.subject),
            Self::Expect(expect) => Some(&mut expect.subject),
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
                let service =
                    subject.service.as_deref().map(|name| registry.find_service(name)).transpose()?;
                let explanation = guard.explain(service.as_deref(), dimension).await;
                let explanation = explanation.map_err(|refusal| refusal.to_string())?;
                return lines(explanation.services);
            }
            Self::List { service, since, limit } => {
                let service = service_of(registry, service)?;
                let items = guard.overview((service, since, limit), masked).await;
                return lines(items.map_err(|refusal| refusal.to_string())?);
            }
            Self::Allow(EntryRequest { subject, seconds }) => (subject, Some(EntryAction::Allow), seconds),
            Self::Block(EntryRequest { subject, seconds }) => (subject, Some(EntryAction::Block), seconds),
            Self::Expect(ExpectRequest { subject, messages, service, seconds }) => {
                (SubjectRequest { subject, service }, Some(EntryAction::Expect(messages)), seconds)
            }
            Self::Remove(subject) => (subject, None, 0),
        };
        let key = Key::new(service_of(registry, subject.service.clone())?, subject.dimension()?);
        let entry = guard.set_entry(key, action, Duration::from_secs(seconds), by).await;
        lines(vec![entry.map_err(|error| error.to_string())?])
    }
}

fn lines<T: Serialize>(answers: Vec<T>) -> Result<Vec<serde_json::Value>, String> {
    let line = |answer| serde_json::to_value(answer).map_err(|error| error.to_string());
    answers.into_iter().map(line).collect()
}

impl SubjectRequest {
    fn dimension(&self) -> Result<Dimension, String> {
        operator::subject(&self.subject, None)
            .ok_or_else(|| format!("{:?} is none of these: {SUBJECTS}", self.subject))
    }
}
