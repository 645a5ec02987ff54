//! Requests about the pumping guard, and their answers.

use std::time::Duration;

use clap::Subcommand;
use serde::{Deserialize, Serialize};

use super::keys::service_of;
use super::wire::{at_least_one, parse_time};
use crate::audit::Author;
use crate::domain::{ServiceId, Sid, Timestamp};
use crate::guard::operator::{self, BlockView, DecisionView, EntryView, LONGEST, SUBJECTS, exact};
use crate::guard::{DecisionQuery, Dimension, Entry, EntryAction, Key, Named, PumpingGuard};
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
    Explain {
        #[command(flatten)]
        subject: SubjectRequest,
    },

    /// Let messages to a number, prefix or country, or from an address, pass the adaptive rules for a time, and end its
    /// block.
    ///
    /// Budgets, lists, number types and the limit per number still apply.
    Allow {
        #[command(flatten)]
        subject: SubjectRequest,

        /// How long, such as 30m, 12h or 7d.
        #[arg(long = "for", value_name = "TIME", value_parser = length, default_value = "12h")]
        seconds: u64,
    },

    /// Refuse messages to a number, prefix or country, or from an address, for a time.
    Block {
        #[command(flatten)]
        subject: SubjectRequest,

        /// How long, such as 30m, 12h or 7d.
        #[arg(long = "for", value_name = "TIME", value_parser = length, default_value = "12h")]
        seconds: u64,
    },

    /// Remove a manual entry that `allow` or `block` made.
    Remove {
        #[command(flatten)]
        subject: SubjectRequest,
    },

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

fn length(text: &str) -> Result<u64, String> {
    let length =
        humantime::parse_duration(text).ok().filter(|length| (MIN_LENGTH..=LONGEST).contains(length));
    length
        .map(|length| length.as_secs())
        .ok_or_else(|| "it must be a time from 1m to 365d, such as 12h".to_owned())
}

/// Refusals are listed for so long unless the operator asks otherwise.
const DAY: Duration = Duration::from_secs(86_400);

const MIN_LENGTH: Duration = Duration::from_secs(60);

/// A line of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum GuardLine {
    Block(BlockView),
    Entry(EntryView),
    Decision(DecisionView),
    /// Messages, or millionths of the currency, in the present hour or day.
    Budget {
        /// `None` for the budget of all services.
        service_sid: Option<String>,
        /// Its key in the configuration.
        name: String,
        spent: u64,
        limit: u64,
    },
}

impl GuardRequest {
    pub const fn subject(&mut self) -> Option<&mut SubjectRequest> {
        match self {
            Self::Explain { subject }
            | Self::Allow { subject, .. }
            | Self::Block { subject, .. }
            | Self::Remove { subject } => Some(subject),
            Self::List { .. } => None,
        }
    }

    /// Returns the lines of the answer, or the reason in words for a person.
    pub(super) async fn carry_out(
        self,
        registry: &Registry,
        verifying: &Verifying,
        by: Author,
    ) -> Result<Vec<serde_json::Value>, String> {
        let guard = verifying.guard().ok_or("this server has no guard")?;
        let sid = |id: ServiceId| registry.service_by_id(id).map(|service| service.sid);
        let lines = match self {
            Self::Explain { subject } => {
                let dimension = subject.dimension()?;
                let service = registry.find_service(subject.service.as_deref().unwrap_or("default"))?;
                let explanation = guard.explain((service.id, service.sid), dimension, true).await;
                vec![serde_json::to_value(explanation.map_err(|refusal| refusal.to_string())?)]
            }
            Self::Allow { subject, seconds } => {
                let key = subject.key(registry)?;
                let entry = entry(guard, EntryAction::Allow, Duration::from_secs(seconds));
                vec![serde_json::to_value(set(guard, key, entry, sid, by).await?)]
            }
            Self::Block { subject, seconds } => {
                let key = subject.key(registry)?;
                let entry = entry(guard, EntryAction::Block, Duration::from_secs(seconds));
                vec![serde_json::to_value(set(guard, key, entry, sid, by).await?)]
            }
            Self::Remove { subject } => {
                let key = subject.key(registry)?;
                let Some(known) = guard.entry(&key) else { return Ok(Vec::new()) };
                let entry = entry(guard, known.action, Duration::ZERO);
                vec![serde_json::to_value(set(guard, key, entry, sid, by).await?)]
            }
            Self::List { service, since, limit } => {
                let service = service_of(registry, service)?;
                let blocks = guard.blocks(service).into_iter().take(limit);
                let blocks = blocks
                    .map(|(key, until, figures)| GuardLine::Block(BlockView::new(key, until, figures, sid)));
                let entries = guard.entries(service).into_iter().take(limit);
                let entries = entries.map(|(key, entry)| {
                    let masked = Named(key.dimension).to_string();
                    GuardLine::Entry(EntryView::new(key, entry, masked, sid))
                });
                let since = since.unwrap_or_else(|| guard.now().minus(DAY));
                let query = DecisionQuery { service, since, limit, ..DecisionQuery::default() };
                let (decisions, _) = guard.decisions(&query).await.map_err(|refusal| refusal.to_string())?;
                let decisions = decisions.iter();
                let decisions =
                    decisions.map(|decision| GuardLine::Decision(DecisionView::new(decision, true, sid)));
                let budgets = guard.budgets().await.map_err(|refusal| refusal.to_string())?;
                let budgets =
                    budgets.into_iter().filter(|budget| service.is_none() || budget.service == service);
                let budgets = budgets.map(|budget| GuardLine::Budget {
                    service_sid: budget.service.and_then(sid).map(|sid| sid.to_string()),
                    name: budget.name.to_owned(),
                    spent: budget.spent,
                    limit: budget.limit,
                });
                budgets.chain(blocks).chain(entries).chain(decisions).map(serde_json::to_value).collect()
            }
        };
        lines.into_iter().collect::<Result<_, _>>().map_err(|error| error.to_string())
    }
}

fn entry(guard: &PumpingGuard, action: EntryAction, length: Duration) -> Entry {
    Entry { action, until: guard.now().plus(length) }
}

async fn set(
    guard: &PumpingGuard,
    key: Key,
    entry: Entry,
    sid: impl Fn(ServiceId) -> Option<Sid> + Copy,
    by: Author,
) -> Result<EntryView, String> {
    guard.set_entry(key, entry, key.service.and_then(sid), by).await.map_err(|error| error.to_string())?;
    Ok(EntryView::new(key, entry, exact(key.dimension), sid))
}

impl SubjectRequest {
    fn dimension(&self) -> Result<Dimension, String> {
        operator::subject(&self.subject, None)
            .ok_or_else(|| format!("{:?} is none of these: {SUBJECTS}", self.subject))
    }

    fn key(&self, registry: &Registry) -> Result<Key, String> {
        Ok(Key::new(service_of(registry, self.service.clone())?, self.dimension()?))
    }
}
