//! The guard for its operator: explanations, lists of blocks and entries, and the subjects in words.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
#[cfg(feature = "server")]
use utoipa::ToSchema;

use super::{
    ClientNet, DecisionQuery, Dimension, Effect, Entry, EntryAction, Figures, GuardDecision, Key, Mode,
    Named, PumpingGuard, Rule, effect_name, rule_name, scope_name,
};
use crate::domain::{Channel, PhoneNumber, Region, ServiceId, Sid, Timestamp};
use crate::shard::Refusal;
use onceward_core::guard::{Period, Signals};

/// Decisions of an explanation.
const EXPLAINED: usize = 10;

/// The longest manual entry.
pub const LONGEST: Duration = Duration::from_secs(365 * 86_400);

/// What [`subject`] reads, for error messages.
pub const SUBJECTS: &str = "a number (+992900000123), a prefix (+99290000****: a number without its last four digits), a country \
     (TJ), or a client address (192.0.2.7)";

/// Reads a number, prefix, country or client address.
pub fn subject(text: &str, region: Option<Region>) -> Option<Dimension> {
    let text = text.trim();
    if let Some(digits) = text.strip_suffix("****") {
        let digits = digits.strip_prefix('+')?;
        let is_prefix = (1..=11).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        return digits.parse().ok().filter(|_| is_prefix).map(Dimension::Prefix);
    }
    if text.len() == 2 {
        return Region::parse(text).map(|country| Dimension::Country(Some(country)));
    }
    if let Ok(address) = text.strip_suffix("/64").unwrap_or(text).parse::<IpAddr>() {
        return Some(Dimension::Address(ClientNet::from(address)));
    }
    PhoneNumber::parse(text, region).ok().map(Dimension::Number)
}

/// A subject as [`subject`] reads it, with the whole number.
pub fn exact(dimension: Dimension) -> String {
    match dimension {
        Dimension::Number(number) => number.e164(),
        other => Named(other).to_string(),
    }
}

/// Counted messages, and the limit of the unverified ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(ToSchema))]
#[cfg_attr(feature = "server", schema(as = GuardFigures))]
pub struct FiguresView {
    /// `hour` or `day`: the last 60 minutes or 24 hours.
    pub period: String,
    pub sent: u32,
    pub verified: u32,
    /// Messages whose code has expired.
    pub unverified: u32,
    /// Messages whose code may still be submitted. Each weighs a third of an unverified one.
    pub pending: u32,
    /// Unverified messages that are usual.
    pub usual: u32,
    /// The limit of unverified messages; of a number that of messages.
    pub limit: u32,
}

impl From<Figures> for FiguresView {
    fn from(Figures { period, tally, pending, usual, limit }: Figures) -> Self {
        let period = match period {
            Period::Hour => "hour",
            Period::Day => "day",
        };
        let (sent, verified, unverified) = (tally.sends, tally.verified, tally.unverified);
        Self { period: period.to_owned(), sent, verified, unverified, pending, usual, limit }
    }
}

impl fmt::Display for FiguresView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { period, sent, verified, unverified, pending, usual, limit } = self;
        write!(
            f,
            "{sent} sent in the {period}, {verified} verified, {unverified} unverified, {pending} pending; usual {usual}, limit {limit}"
        )
    }
}

/// A block that the guard began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(ToSchema))]
#[cfg_attr(feature = "server", schema(as = GuardBlock))]
pub struct BlockView {
    /// The service; null for a block of all services.
    #[cfg_attr(feature = "server", schema(required))]
    pub service_sid: Option<String>,
    /// The prefix, country or address.
    #[cfg_attr(feature = "server", schema(example = "+99290000****"))]
    pub subject: String,
    /// The end, unless attempts continue.
    #[cfg_attr(feature = "server", schema(format = DateTime))]
    pub date_until: String,
    /// The figures that began it.
    pub figures: FiguresView,
}

/// A manual entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(ToSchema))]
#[cfg_attr(feature = "server", schema(as = GuardEntry))]
pub struct EntryView {
    /// The service; null for all services.
    #[cfg_attr(feature = "server", schema(required))]
    pub service_sid: Option<String>,
    /// The number (masked in lists), prefix, country or address.
    #[cfg_attr(feature = "server", schema(example = "+99290000****"))]
    pub subject: String,
    /// `allow` or `block`.
    #[cfg_attr(feature = "server", schema(pattern = "^(allow|block)$", example = "allow"))]
    pub action: String,
    /// The end.
    #[cfg_attr(feature = "server", schema(format = DateTime))]
    pub date_until: String,
}

/// One counter of an explanation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(ToSchema))]
#[cfg_attr(feature = "server", schema(as = GuardCounter))]
pub struct CounterView {
    /// The service; null for all services.
    #[cfg_attr(feature = "server", schema(required))]
    pub service_sid: Option<String>,
    /// The number, prefix, country or address, or `all`.
    #[cfg_attr(feature = "server", schema(example = "+99290000****"))]
    pub subject: String,
    /// The manual entry.
    #[cfg_attr(feature = "server", schema(required))]
    pub entry: Option<EntryView>,
    /// The block.
    #[cfg_attr(feature = "server", schema(required))]
    pub block: Option<BlockView>,
    /// Empty if nothing was sent.
    pub figures: Vec<FiguresView>,
}

/// What the guard knows of a subject, and why it refuses messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(ToSchema))]
#[cfg_attr(feature = "server", schema(as = GuardExplanation))]
pub struct Explanation {
    /// The number, prefix, country or address.
    #[cfg_attr(feature = "server", schema(example = "+992900000123"))]
    pub subject: String,
    /// The service.
    pub service_sid: String,
    /// Whether a rule or an entry refuses messages now. Budgets are not considered.
    pub refused: bool,
    /// The reasons, one sentence each.
    pub reasons: Vec<String>,
    /// The subject itself first, then what contains it.
    pub counters: Vec<CounterView>,
    /// The newest refusals and would-be refusals.
    pub decisions: Vec<DecisionView>,
}

/// The messages of an hour that broke a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(ToSchema))]
#[cfg_attr(feature = "server", schema(as = GuardDecision))]
pub struct DecisionView {
    /// The service of the messages.
    #[cfg_attr(feature = "server", schema(required))]
    pub service_sid: Option<String>,
    /// The number (masked), prefix, country or address, or `all`.
    #[cfg_attr(feature = "server", schema(example = "+99290000****"))]
    pub subject: String,
    /// Whose counters broke the rule: `service` or `installation`.
    #[cfg_attr(feature = "server", schema(pattern = "^(service|installation)$"))]
    pub scope: String,
    #[cfg_attr(feature = "server", schema(example = "prefix"))]
    pub rule: String,
    /// `refused`; or sent: `recorded` by a rule with the mode record, `learning` without enough history,
    /// `verified_number` to a number that was verified before.
    #[cfg_attr(feature = "server", schema(example = "refused"))]
    pub effect: String,
    pub messages: u64,
    /// The first message of the hour.
    #[cfg_attr(feature = "server", schema(format = DateTime))]
    pub date_first: String,
    /// The last message of the hour.
    #[cfg_attr(feature = "server", schema(format = DateTime))]
    pub date_last: String,
    /// Those of the last message; null for lists, types and budgets.
    #[cfg_attr(feature = "server", schema(required))]
    pub figures: Option<FiguresView>,
}

impl DecisionView {
    /// Leaves out the figures of the installation for those who see one service.
    pub fn new(decision: &GuardDecision, sees_all: bool, sid: impl Fn(ServiceId) -> Option<Sid>) -> Self {
        let GuardDecision { name, sends, first, last, figures, .. } = decision;
        let is_of_service = name.key.service.is_some();
        Self {
            service_sid: sid(name.service).map(|sid| sid.to_string()),
            subject: Named(name.key.dimension).to_string(),
            scope: scope_name(name.key.service).to_owned(),
            rule: rule_name(name.rule).to_owned(),
            effect: effect_name(name.effect).to_owned(),
            messages: *sends,
            date_first: shown(*first),
            date_last: shown(*last),
            figures: figures.filter(|_| is_of_service || sees_all).map(FiguresView::from),
        }
    }
}

fn shown(at: Timestamp) -> String {
    at.rfc3339_seconds().to_string()
}

pub const fn action_name(action: EntryAction) -> &'static str {
    match action {
        EntryAction::Allow => "allow",
        EntryAction::Block => "block",
    }
}

impl BlockView {
    pub fn new(key: Key, until: Timestamp, figures: Figures, sid: impl Fn(ServiceId) -> Option<Sid>) -> Self {
        Self {
            service_sid: key.service.and_then(sid).map(|sid| sid.to_string()),
            subject: Named(key.dimension).to_string(),
            date_until: shown(until),
            figures: figures.into(),
        }
    }
}

impl EntryView {
    /// `named` writes the subject: [`exact`], or masked.
    pub fn new(key: Key, entry: Entry, subject: String, sid: impl Fn(ServiceId) -> Option<Sid>) -> Self {
        Self {
            service_sid: key.service.and_then(sid).map(|sid| sid.to_string()),
            subject,
            action: action_name(entry.action).to_owned(),
            date_until: shown(entry.until),
        }
    }
}

/// The subject and what contains it: the narrowest first, as entries are looked up.
fn containing(dimension: Dimension) -> Vec<Dimension> {
    let of_prefix =
        |digits: u64| PhoneNumber::from_u64(digits.saturating_mul(10_000)).and_then(PhoneNumber::region);
    let wider = match dimension {
        Dimension::Number(number) => {
            vec![Dimension::prefix_of(number), Dimension::Country(number.region())]
        }
        Dimension::Prefix(digits) => vec![Dimension::Country(of_prefix(digits))],
        Dimension::Country(_) | Dimension::Address(_) | Dimension::Total => Vec::new(),
    };
    [dimension].into_iter().chain(wider).collect()
}

impl PumpingGuard {
    /// Explains what the guard does with messages of a service to a subject. Includes the counters of the installation
    /// for those who may see all services.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] while a shard cannot say.
    pub async fn explain(
        &self,
        service: (ServiceId, Sid),
        dimension: Dimension,
        sees_all: bool,
    ) -> Result<Explanation, Refusal> {
        let (id, sid) = service;
        let sid_of = |_: ServiceId| Some(sid);
        let (mut reasons, mut counters) = (Vec::new(), Vec::new());
        let (mut decided, mut refused) = (None, self.fixed_reasons(id, dimension, &mut reasons));
        for dimension in containing(dimension) {
            for scope in [Some(id), None] {
                let key = Key::new(scope, dimension);
                let (subject, whose) =
                    (exact(dimension), if scope.is_some() { "this service" } else { "all services" });
                let (entry, block) = (self.entry(&key), self.block(&key));
                if let Some(entry) = entry.filter(|_| decided.is_none()) {
                    decided = Some(entry.action);
                    let verb = match entry.action {
                        EntryAction::Allow => "passes adaptive rules",
                        EntryAction::Block => "is refused",
                    };
                    let until = shown(entry.until);
                    reasons.push(format!("By a manual entry for {whose}, {subject} {verb} until {until}."));
                }
                if let Some((until, figures)) = block {
                    let (until, figures) = (shown(until), FiguresView::from(figures));
                    let figures =
                        if scope.is_some() || sees_all { format!(": {figures}") } else { String::new() };
                    reasons.push(format!("The guard blocks {subject} for {whose} until {until}{figures}."));
                }
                refused |= decided == Some(EntryAction::Block) || (decided.is_none() && block.is_some());
                if scope.is_none() && !sees_all {
                    continue;
                }
                counters.push(CounterView {
                    service_sid: scope.map(|_| sid.to_string()),
                    entry: entry.map(|entry| EntryView::new(key, entry, subject.clone(), sid_of)),
                    block: block.map(|(until, figures)| BlockView::new(key, until, figures, sid_of)),
                    figures: self.figures(key).into_iter().map(FiguresView::from).collect(),
                    subject,
                });
            }
        }
        let query = DecisionQuery {
            service: Some(id),
            keys: containing(dimension),
            limit: EXPLAINED,
            ..DecisionQuery::default()
        };
        let decisions = self.decisions(&query).await?.0;
        let decisions =
            decisions.iter().map(|decision| DecisionView::new(decision, sees_all, sid_of)).collect();
        let (subject, service_sid) = (exact(dimension), sid.to_string());
        Ok(Explanation { subject, service_sid, refused, reasons, counters, decisions })
    }

    /// Lists and types of a number or country, and the limit of a number. Returns whether one refuses text messages.
    fn fixed_reasons(&self, service: ServiceId, dimension: Dimension, reasons: &mut Vec<String>) -> bool {
        let number = match dimension {
            Dimension::Number(number) => Some(number),
            // Only its country matters.
            Dimension::Prefix(digits) => PhoneNumber::from_u64(digits.saturating_mul(10_000)),
            Dimension::Country(_) | Dimension::Address(_) | Dimension::Total => None,
        };
        let (country, number_type) = match (number, dimension) {
            (Some(number), _) => number.region_and_type(),
            (None, Dimension::Country(country)) => (country, crate::domain::NumberType::Other),
            (None, _) => return false,
        };
        // Lists and types do not look at the number.
        let Some(number) = number.or_else(|| PhoneNumber::from_u64(14_155_550_100)) else { return false };
        let (channel, address, is_trusted) = (Channel::Sms, None, false);
        let signals = Signals { service, number, country, number_type, channel, address, is_trusted };
        let rules = self.rules_of(service);
        let mut is_refused = false;
        for finding in rules.fixed_findings(&signals) {
            let is_about_type = matches!(finding.rule, Rule::NumberType | Rule::Landline);
            if is_about_type && !matches!(dimension, Dimension::Number(_)) {
                continue;
            }
            let does = if finding.effect == Effect::Refused { "refuses" } else { "only records" };
            is_refused |= finding.effect == Effect::Refused;
            reasons.push(format!("The rule {} {does} text messages to it.", rule_name(finding.rule)));
        }
        let key = Key::new(Some(service), dimension);
        if let (Dimension::Number(_), Some(figures)) = (dimension, self.figures(key).first())
            && figures.tally.sends >= figures.limit
            && rules.number != Mode::Off
        {
            is_refused |= rules.number == Mode::Block;
            let (sent, limit) = (figures.tally.sends, figures.limit);
            reasons.push(format!("It got {sent} messages in 24 hours; the limit is {limit}."));
        }
        is_refused
    }

    /// The blocks of a service, or all: those that end last first.
    pub fn blocks(&self, service: Option<ServiceId>) -> Vec<(Key, Timestamp, Figures)> {
        let mut blocks = self.inner.guard().blocks(self.inner.clock.now());
        blocks.retain(|(key, ..)| service.is_none() || key.service == service);
        blocks.sort_by_key(|(key, until, _)| (std::cmp::Reverse(*until), *key));
        blocks
    }

    /// The manual entries of a service, or all: those that end last first.
    pub fn entries(&self, service: Option<ServiceId>) -> Vec<(Key, Entry)> {
        let mut entries = self.inner.guard().entries(self.inner.clock.now());
        entries.retain(|(key, _)| service.is_none() || key.service == service);
        entries.sort_by_key(|(key, entry)| (std::cmp::Reverse(entry.until), *key));
        entries
    }

    pub fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_read_as_it_is_shown() {
        for text in ["+992900000123", "+99290000****", "TJ", "192.0.2.7", "2001:db8::/64"] {
            assert_eq!(subject(text, None).map(exact).as_deref(), Some(text));
        }
        assert_eq!(subject("2001:db8::1", None).map(exact).as_deref(), Some("2001:db8::/64"));
        for text in
            ["", "XX", "****", "+****", "99290000****", "+992a****", "+999999999999****", "12", "192.0.2"]
        {
            assert_eq!(subject(text, None), None, "{text}");
        }
    }
}
