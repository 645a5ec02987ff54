//! The guard for its operator: explanations, lists and changes. The command line, the API and the dashboard show the same
//! views.

use std::cmp::Reverse;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
#[cfg(feature = "server")]
use utoipa::ToSchema;

use super::budgets::BudgetUsage;
use super::{
    ClientNet, DecisionQuery, Dimension, Effect, Entry, EntryAction, EntryError, Figures, GuardDecision, Key,
    Mode, PumpingGuard, Rule, scope_name,
};
use crate::audit::{Action, Author, Change};
use crate::domain::{Channel, NumberType, PhoneNumber, Region, ServiceId, Sid, Timestamp};
use crate::registry::{Registry, ServiceName};
use crate::shard::{Durability, Refusal};
use onceward_core::guard::{Block, Period};

/// Decisions of an explanation.
const EXPLAINED: usize = 10;

/// The length of an entry unless the operator says another.
pub const USUAL_HOURS: u32 = 12;

/// The longest manual entry.
pub const LONGEST: Duration = Duration::from_secs(365 * 86_400);

/// The time before now whose decisions are listed unless the operator says another.
const DAY: Duration = Duration::from_secs(86_400);

/// What [`subject`] reads, for error messages.
pub const SUBJECTS: &str = "a number (+992900000123), a prefix (+99290000****: a number of full length without its last four \
     digits), a country (TJ), or a client address (192.0.2.7)";

/// Reads a number, prefix, country or client address.
pub fn subject(text: &str, region: Option<Region>) -> Option<Dimension> {
    let text = text.trim();
    if let Some(digits) = text.strip_suffix("****") {
        let digits = digits.strip_prefix('+')?;
        // No message has a prefix of another length than a number's.
        let number = PhoneNumber::from_e164(&format!("+{digits}0000"))?;
        return number.has_possible_length().then(|| Dimension::prefix_of(number));
    }
    if text.len() == 2 {
        return Region::parse(text).map(|country| Dimension::Country(Some(country)));
    }
    if let Ok(address) = text.strip_suffix("/64").unwrap_or(text).parse::<IpAddr>() {
        return Some(Dimension::Address(ClientNet::from(address)));
    }
    PhoneNumber::parse(text, region).ok().map(Dimension::Number)
}

/// A subject with a masked number.
pub fn masked(dimension: Dimension) -> String {
    dimension.to_string()
}

/// A subject as [`subject`] reads it, with the whole number.
pub fn exact(dimension: Dimension) -> String {
    match dimension {
        Dimension::Number(number) => number.e164(),
        other => masked(other),
    }
}

/// Counted messages, and the limit of the unverified ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(ToSchema), schema(as = GuardFigures))]
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
    /// The limit of unverified messages; of a number that of messages. No rule compares the counts of all services.
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

impl FiguresView {
    /// Without the limit. No rule compares the counts of all services.
    pub fn counts(&self) -> String {
        let Self { period, sent, verified, unverified, pending, .. } = self;
        format!(
            "{sent} sent in the {period}, {verified} verified, {unverified} unverified, {pending} pending"
        )
    }
}

impl fmt::Display for FiguresView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; usual {}, limit {}", self.counts(), self.usual, self.limit)
    }
}

/// A manual entry, or a block that a rule began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(ToSchema), schema(as = GuardEntry))]
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
    /// The end; of a block unless attempts continue.
    #[cfg_attr(feature = "server", schema(format = DateTime))]
    pub date_until: String,
    /// The figures that began the block; null for a manual entry.
    #[cfg_attr(feature = "server", schema(required))]
    pub figures: Option<FiguresView>,
}

/// An amount of millionths, to the cent; below one unit to a hundredth of a cent if it has such a part.
pub fn amount(micros: u64) -> String {
    if micros < 1_000_000 && micros % 10_000 >= 100 {
        return format!("0.{:04}", micros / 100);
    }
    super::replay::money(micros)
}

/// A budget in the present hour or day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetView {
    /// `None` for the budget of all services.
    pub service_sid: Option<String>,
    /// Its key in the configuration.
    pub name: String,
    /// Messages, or millionths of the currency.
    pub spent: u64,
    pub limit: u64,
    /// Whether it refuses messages.
    pub is_spent: bool,
    /// `None` for a budget of messages.
    pub currency: Option<String>,
}

impl fmt::Display for BudgetView {
    /// `12 of 500`, or `9.30 of 50.00 USD`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { spent, limit, currency, .. } = self;
        match currency {
            Some(currency) => write!(f, "{} of {} {currency}", amount(*spent), amount(*limit)),
            None => write!(f, "{spent} of {limit}"),
        }
    }
}

/// What the guard does at present, and what it decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overview {
    pub services: Vec<ServiceName>,
    pub budgets: Vec<BudgetView>,
    /// Those that rules began.
    pub blocks: Vec<EntryView>,
    /// Manual ones.
    pub entries: Vec<EntryView>,
    pub decisions: Vec<DecisionView>,
}

impl Overview {
    /// The name of a service; `none` without a sid.
    pub fn title<'a>(&'a self, sid: Option<&'a str>, none: &'a str) -> &'a str {
        let known = |sid| self.services.iter().find(|service| service.sid == sid);
        sid.map_or(none, |sid| known(sid).map_or(sid, |service| &service.name))
    }
}

/// One counter of an explanation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(ToSchema), schema(as = GuardCounter))]
pub struct CounterView {
    /// The service; null for all services.
    #[cfg_attr(feature = "server", schema(required))]
    pub service_sid: Option<String>,
    /// The number, prefix, country or address, or `all`.
    #[cfg_attr(feature = "server", schema(example = "+99290000****"))]
    pub subject: String,
    /// The manual entry or the block.
    #[cfg_attr(feature = "server", schema(required))]
    pub entry: Option<EntryView>,
    /// Empty if nothing was sent.
    pub figures: Vec<FiguresView>,
}

/// What the guard knows of a subject, and why it refuses messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(ToSchema), schema(as = GuardExplanation))]
pub struct Explanation {
    /// The number, prefix, country or address.
    #[cfg_attr(feature = "server", schema(example = "+992900000123"))]
    pub subject: String,
    /// The service.
    pub service_sid: String,
    /// Whether a rule, an entry or a spent budget refuses messages now.
    pub refused: bool,
    /// The reasons, and what lets messages pass.
    pub reasons: Vec<String>,
    /// The subject itself first, then what contains it.
    pub counters: Vec<CounterView>,
    /// The newest refusals and would-be refusals.
    pub decisions: Vec<DecisionView>,
}

/// The messages of an hour that broke a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(ToSchema), schema(as = GuardDecision))]
pub struct DecisionView {
    /// The service of the messages.
    #[cfg_attr(feature = "server", schema(required))]
    pub service_sid: Option<String>,
    /// The number (masked), prefix, country or address, or `all`.
    #[cfg_attr(feature = "server", schema(example = "+99290000****"))]
    pub subject: String,
    /// Whose entry or budget it was: `service`, also for every other rule, or `all_services`.
    #[cfg_attr(feature = "server", schema(pattern = "^(service|all_services)$"))]
    pub scope: String,
    #[cfg_attr(feature = "server", schema(example = "prefix"))]
    pub rule: String,
    /// `refused`; or not refused by the rule, though another rule or a budget may have refused it: `recorded` by a rule
    /// with the mode record, `learning` without enough history, `verified_number` to a number that was verified before.
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

const fn whose(service: Option<ServiceId>) -> &'static str {
    if service.is_some() { "this service" } else { "all services" }
}

/// What permits messages that a list or a type refuses.
const fn permitting(rule: Rule) -> &'static str {
    match rule {
        Rule::CountryList => " To permit them, change allowed-countries or blocked-countries in config.json.",
        Rule::NumberType => {
            " To permit them, add the number to the safe list, send with RiskCheck=disable, or set number-types of the key \
             guard to record or off."
        }
        Rule::Landline => " To permit them, set landlines of the key guard to record or off.",
        Rule::Entry | Rule::Number | Rule::Prefix | Rule::Country | Rule::Address | Rule::Budget => "",
    }
}

fn shown(at: Timestamp) -> String {
    at.rfc3339_seconds().to_string()
}

/// The country and the type of a subject's numbers; `None` for an address.
fn country_and_type(dimension: Dimension) -> Option<(Option<Region>, NumberType)> {
    match dimension {
        Dimension::Number(number) => Some(number.region_and_type()),
        Dimension::Prefix(digits) => {
            let number = PhoneNumber::from_u64(digits.saturating_mul(10_000));
            Some((number.and_then(PhoneNumber::region), NumberType::Other))
        }
        Dimension::Country(country) => Some((country, NumberType::Other)),
        Dimension::Address(_) | Dimension::Total => None,
    }
}

/// The subject and what contains it: the narrowest first, as entries are looked up.
fn containing(dimension: Dimension) -> Vec<Dimension> {
    let mut all = vec![dimension];
    if let Dimension::Number(number) = dimension {
        all.push(Dimension::prefix_of(number));
    }
    all.extend(country_and_type(dimension).map(|(country, _)| Dimension::Country(country)));
    all.dedup();
    all
}

impl PumpingGuard {
    /// Explains what the guard does with messages of a service to a subject. Includes the counters of all services
    /// for those who may see all services.
    pub async fn explain(
        &self,
        service: (ServiceId, Sid),
        dimension: Dimension,
        sees_all: bool,
    ) -> Result<Explanation, Refusal> {
        let (id, sid) = service;
        let mut reasons = Vec::new();
        let country = country_and_type(dimension).and_then(|(country, _)| country);
        let spent = self.inner.budgets.used_up(id, country).await?;
        if let Some((budget, until)) = &spent {
            let (whose, until) = (whose(budget.service), shown(*until));
            let budget = self.budget_view(budget.clone());
            let name = &budget.name;
            reasons.push(format!(
                "The budget {name} of {whose} has too little left for a text message until {until}: {budget} spent. A larger \
                 {name} in config.json permits more."
            ));
        }
        let mut refused = self.fixed_reasons(id, dimension, &mut reasons) || spent.is_some();
        if let Some(until) = self.learns_until(id) {
            reasons.push(format!("Adaptive rules record only until {}.", shown(until)));
        }
        let wider = containing(dimension);
        let keys =
            wider.iter().flat_map(|dimension| [Some(id), None].map(|scope| Key::new(scope, *dimension)));
        let found: Vec<_> = keys.map(|key| (key, self.entry(&key), self.figures(key))).collect();
        let is_manual = |entry: &Entry| entry.is_manual();
        // The narrowest entry is the one that counts.
        let decided = found.iter().find_map(|(key, entry, _)| Some((*key, (*entry).filter(is_manual)?)));
        refused |= decided.is_some_and(|(_, entry)| entry.action == EntryAction::Block);
        let mut counters = Vec::new();
        for (key, entry, figures) in found {
            let (subject, sees) = (exact(key.dimension), sees_all || key.service.is_some());
            let whose = whose(key.service);
            let option = key.service.map(|_| format!(" --service {sid}")).unwrap_or_default();
            match entry {
                Some(Entry { until, block: Some(Block { figures, .. }), .. }) => {
                    refused |= decided.is_none();
                    let (figures, until) = (FiguresView::from(figures), shown(until));
                    reasons.push(format!(
                        "The guard blocks {subject} for {whose} until {until}: {figures}. If these are your users, \
                         onceward guard allow '{subject}'{option} --for 12h lets them pass."
                    ));
                }
                Some(Entry { action, until, block: None }) if decided.is_some_and(|(by, _)| by == key) => {
                    let verb = match action {
                        EntryAction::Allow => "passes adaptive rules",
                        EntryAction::Block => "is refused",
                    };
                    let until = shown(until);
                    reasons.push(format!(
                        "By a manual entry for {whose}, {subject} {verb} until {until}; \
                         onceward guard remove '{subject}'{option} ends that."
                    ));
                }
                Some(_) | None => {}
            }
            if sees {
                counters.push(CounterView {
                    service_sid: key.service.map(|_| sid.to_string()),
                    entry: entry.map(|entry| self.entry_view(key, entry, exact)),
                    figures: figures.into_iter().map(FiguresView::from).collect(),
                    subject,
                });
            }
        }
        let query =
            DecisionQuery { service: Some(id), keys: wider, limit: EXPLAINED, ..DecisionQuery::default() };
        let decisions = self.decisions(&query).await?.0;
        let decisions = decisions.iter().map(|decision| self.decision_view(decision)).collect();
        let (subject, service_sid) = (exact(dimension), sid.to_string());
        Ok(Explanation { subject, service_sid, refused, reasons, counters, decisions })
    }

    /// Lists and types of a number or country, and the limit of a number. Returns whether one refuses text messages.
    fn fixed_reasons(&self, service: ServiceId, dimension: Dimension, reasons: &mut Vec<String>) -> bool {
        let (rules, mut is_refused) = (self.inner.rules(Some(service)), false);
        let known = country_and_type(dimension).into_iter();
        for (rule, effect) in known.flat_map(|(country, of)| rules.fixed(country, of, Channel::Sms)) {
            let (does, helps) = match effect {
                Effect::Refused => ("refuses", permitting(rule)),
                Effect::Recorded | Effect::Learning | Effect::VerifiedNumber => ("only records", ""),
            };
            is_refused |= effect == Effect::Refused;
            reasons.push(format!("The rule {} {does} text messages to it.{helps}", rule.as_str()));
        }
        if let (Dimension::Number(_), Some(figures)) =
            (dimension, self.figures(Key::new(Some(service), dimension)).first())
            && figures.tally.sends >= figures.limit
            && rules.number != Mode::Off
        {
            is_refused |= rules.number == Mode::Block;
            let (sent, limit) = (figures.tally.sends, figures.limit);
            reasons.push(format!(
                "It got {sent} messages in 24 hours; the limit is {limit}. A larger sends-per-number of the key guard \
                 permits more."
            ));
        }
        is_refused
    }

    /// The end of the time in which the adaptive rules of a service only record, unless they never refuse.
    fn learns_until(&self, service: ServiceId) -> Option<Timestamp> {
        let rules = self.inner.rules(Some(service));
        let may_refuse = [rules.prefix, rules.country, rules.address].contains(&Mode::Block);
        self.inner.guard().learns_until(service, rules, self.now()).filter(|_| may_refuse)
    }

    /// `named` is [`masked`] or [`exact`].
    pub fn entry_view(&self, key: Key, entry: Entry, named: fn(Dimension) -> String) -> EntryView {
        let action = match entry.action {
            EntryAction::Allow => "allow",
            EntryAction::Block => "block",
        };
        EntryView {
            service_sid: key.service.and_then(|service| self.inner.sid(service)).map(|sid| sid.to_string()),
            subject: named(key.dimension),
            action: action.to_owned(),
            date_until: shown(entry.until),
            figures: entry.block.map(|block| block.figures.into()),
        }
    }

    fn budget_view(&self, usage: BudgetUsage) -> BudgetView {
        let BudgetUsage { service, key, spent, limit, is_spent, currency } = usage;
        let service_sid = service.and_then(|service| self.inner.sid(service)).map(|sid| sid.to_string());
        BudgetView { service_sid, name: key.to_owned(), spent, limit, is_spent, currency }
    }

    pub fn decision_view(&self, decision: &GuardDecision) -> DecisionView {
        let GuardDecision { name, sends, first, last, figures, .. } = decision;
        DecisionView {
            service_sid: self.inner.sid(name.service).map(|sid| sid.to_string()),
            subject: masked(name.key.dimension),
            scope: scope_name(name.key.service).to_owned(),
            rule: name.rule.as_str().to_owned(),
            effect: name.effect.as_str().to_owned(),
            messages: *sends,
            date_first: shown(*first),
            date_last: shown(*last),
            figures: figures.map(FiguresView::from),
        }
    }

    pub fn entry(&self, key: &Key) -> Option<Entry> {
        self.inner.guard().entry(key, self.now())
    }

    /// The figures of a key and their limits, per hour and day, by the rules of its service.
    pub fn figures(&self, key: Key) -> Vec<Figures> {
        self.inner.guard().figures(key, self.inner.rules(key.service), self.now())
    }

    /// Adds or replaces a manual entry, durably; with no action removes it. Returns the entry that was added or removed.
    ///
    /// # Errors
    /// [`EntryError`].
    pub async fn set_entry(
        &self,
        key: Key,
        action: Option<EntryAction>,
        length: Duration,
        by: Author,
    ) -> Result<Option<EntryView>, EntryError> {
        let (now, sid) = (self.now(), key.service.and_then(|service| self.inner.sid(service)));
        let Some(entry) = self.inner.guard().set_entry(key, action, now.plus(length), now)? else {
            return Ok(None);
        };
        let audited = match action {
            None => Action::GuardEntryRemoved,
            Some(EntryAction::Allow) => Action::GuardAllowed,
            Some(EntryAction::Block) => Action::GuardBlocked,
        };
        let change = Change { number: Some(masked(key.dimension)), ..Change::of(audited).in_service(sid) };
        self.inner.write(Durability::Durable, Some((by, change))).await?;
        Ok(Some(self.entry_view(key, entry, exact)))
    }

    /// The budgets that refuse messages at present.
    pub async fn spent_budgets(&self) -> Result<Vec<BudgetView>, Refusal> {
        let budgets = self.inner.budgets.list(None).await?.into_iter().filter(|budget| budget.is_spent);
        Ok(budgets.map(|budget| self.budget_view(budget)).collect())
    }

    /// The manual entries, or the blocks that rules began, of a service or of all: those that end last first.
    pub fn entries(&self, service: Option<ServiceId>, is_manual: bool) -> Vec<(Key, Entry)> {
        let mut entries: Vec<_> = self.inner.guard().entries(self.now()).collect();
        entries.retain(|(key, entry)| {
            entry.is_manual() == is_manual && (service.is_none() || key.service == service)
        });
        entries.sort_by_key(|(key, entry)| (Reverse(entry.until), *key));
        entries
    }

    /// Budgets, entries, and the decisions since a moment (of the last day by default), of a service or of all; at most
    /// `limit` entries of each kind and decisions. `named` writes the subjects of entries.
    pub async fn overview(
        &self,
        (service, since, limit): (Option<ServiceId>, Option<Timestamp>, usize),
        named: fn(Dimension) -> String,
    ) -> Result<Overview, Refusal> {
        let since = since.unwrap_or_else(|| self.now().minus(DAY));
        let query = DecisionQuery { service, since, limit, ..DecisionQuery::default() };
        let (decisions, _) = self.decisions(&query).await?;
        let entries = |is_manual| {
            let entries = self.entries(service, is_manual).into_iter().take(limit);
            entries.map(|(key, entry)| self.entry_view(key, entry, named)).collect()
        };
        let budgets = self.inner.budgets.list(service).await?;
        let budgets = budgets.into_iter().map(|budget| self.budget_view(budget)).collect();
        let decisions: Vec<_> = decisions.iter().map(|decision| self.decision_view(decision)).collect();
        let [blocks, entries]: [Vec<EntryView>; 2] = [false, true].map(entries);
        let services = self.inner.registry.as_ref().map(Registry::names).unwrap_or_default();
        Ok(Overview { services, budgets, blocks, entries, decisions })
    }

    fn now(&self) -> Timestamp {
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
        for text in ["", "XX", "****", "+****", "99290000****", "+992a****", "12", "192.0.2"] {
            assert_eq!(subject(text, None), None, "{text}");
        }
    }

    #[test]
    fn a_prefix_has_all_digits_of_a_number_but_four() {
        for text in ["+1415555****", "+4917112345****", "+3906123****"] {
            assert_eq!(subject(text, None).map(exact).as_deref(), Some(text));
        }
        for text in
            ["+1****", "+1415****", "+14155558****", "+99290****", "+0415555****", "+999999999999****"]
        {
            assert_eq!(subject(text, None), None, "{text}");
        }
    }
}
