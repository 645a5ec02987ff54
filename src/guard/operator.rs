//! The guard for its operator: explanations, lists and changes. The command line, the API and the dashboard show the same
//! views.

use std::cmp::Reverse;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    ClientNet, DecisionQuery, Dimension, Effect, Entry, EntryAction, EntryError, Figures, GuardDecision, Key,
    Mode, PumpingGuard, Rule, scope_name,
};
use crate::audit::{Action, Author, Change};
pub use crate::budgets::amount;
use crate::domain::{NumberType, PhoneNumber, Region, ServiceId, Timestamp};
pub use crate::metrics::BudgetView;
use crate::registry::Service;
use crate::shard::{Durability, Refusal};
use onceward_core::guard::{AllowanceNow, Explained, Refusals};

/// Services of an explanation that is about all of them.
const EXPLAINED_SERVICES: usize = 10;

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
     digits), a country (TJ), a client address (192.0.2.7) or a network (192.0.2.0/24, 2001:db8::/48)";

/// Allowances that are read under one lock: some 5 us.
const ALLOWANCES_AT_ONCE: usize = 256;

/// Reads a number, prefix, country, client address or network.
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
    if let Some(network) = text.strip_suffix("/24").or_else(|| text.strip_suffix("/48")) {
        let network = network.parse::<IpAddr>().ok().map(|address| ClientNet::from(address).network());
        return network.map(Dimension::Network).filter(|network| network.to_string() == text);
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

/// An allowance of unverified messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "GuardAllowance")]
pub struct AllowanceView {
    /// The service.
    pub service_sid: Option<String>,
    /// The name of the service.
    pub service: String,
    /// The number (masked in lists), prefix, country, address or network, or `unproven`: all unproven countries.
    #[schemars(example = &"+99290000****")]
    pub subject: String,
    /// Messages that it still has, and those of a full one.
    pub level: u32,
    pub most: u32,
    /// The last messages, which are kept for places where others have verified.
    pub kept: u32,
    /// Numbers that are usually verified in a day.
    pub usual: u32,
    /// When the next message from a place without users passes; null for now.
    #[schemars(extend("format" = "date-time"))]
    pub date_passes: Option<String>,
}

impl fmt::Display for AllowanceView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { level, most, usual, kept, .. } = *self;
        f.write_str(&left(&Figures { level, most, usual, kept }))
    }
}

fn left(Figures { level, most, usual, .. }: &Figures) -> String {
    format!("{level} of {most} messages left, usually {usual} verified a day")
}

fn refusals_in_words(Refusals { messages, last, rule, .. }: Refusals) -> String {
    let (last, rule) = (shown(last), rule.as_str());
    let were = if messages == 1 { "message was" } else { "messages were" };
    format!("{messages} {were} refused that day, the last one at {last} by the rule {rule} of the guard.")
}

/// A manual entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "GuardEntry")]
pub struct EntryView {
    /// The service; null for all services.
    pub service_sid: Option<String>,
    /// The name of the service, or `all`.
    pub service: String,
    /// The number (masked in lists), prefix, country, address or network.
    #[schemars(example = &"+99290000****")]
    pub subject: String,
    /// `allow`, `block` or `expect`.
    #[schemars(regex(pattern = "^(allow|block|expect)$"), example = &"allow")]
    pub action: String,
    /// The announced messages that are left, of `expect`; else null.
    pub messages: Option<u32>,
    /// The end.
    #[schemars(extend("format" = "date-time"))]
    pub date_until: String,
    /// In the answer to a new entry: the action of the one that it replaces. Else null.
    pub replaced: Option<String>,
}

/// Something that the guard does at present, or decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Item {
    Budget(BudgetView),
    /// One with less than half of its messages.
    Allowance(AllowanceView),
    Entry(EntryView),
    Decision(DecisionView),
}

/// What the guard knows of a subject in one service, and why it refuses messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "GuardServiceExplanation")]
pub struct ServiceExplanation {
    /// The service.
    pub service_sid: String,
    /// The name of the service.
    pub service: String,
    /// Whether a text message from a place without users is refused now.
    pub refused: bool,
    /// The reasons, and what lets messages pass.
    pub reasons: Vec<String>,
    /// The subject itself first, then what contains it.
    pub allowances: Vec<AllowanceView>,
    /// The newest refusals and would-be refusals.
    pub decisions: Vec<DecisionView>,
}

/// What the guard does with messages to or from a subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "GuardExplanation")]
pub struct Explanation {
    /// The number, prefix, country, address or network.
    #[schemars(example = &"+992900000123")]
    pub subject: String,
    /// The service that was asked for, or the ten that refuse it or have the least left.
    pub services: Vec<ServiceExplanation>,
}

/// The messages of an hour that broke a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "GuardDecision")]
pub struct DecisionView {
    /// The service of the messages.
    pub service_sid: Option<String>,
    /// The name of the service.
    pub service: String,
    /// The number (masked), prefix, country, address or network, `unproven`, or `all`.
    #[schemars(example = &"+99290000****")]
    pub subject: String,
    /// Whose entry or budget it was: `service`, also for every other rule, or `all_services`.
    #[schemars(regex(pattern = "^(service|all_services)$"))]
    pub scope: String,
    #[schemars(example = &"prefix")]
    pub rule: String,
    /// `refused`, or `recorded` by a rule that only records.
    #[schemars(regex(pattern = "^(refused|recorded)$"), example = &"refused")]
    pub effect: String,
    pub messages: u64,
    /// The first message of the hour.
    #[schemars(extend("format" = "date-time"))]
    pub date_first: String,
    /// The last message of the hour.
    #[schemars(extend("format" = "date-time"))]
    pub date_last: String,
    /// Numbers that the place usually verifies in a day; null for lists, types, numbers and budgets.
    pub usual: Option<u32>,
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
        Rule::Entry
        | Rule::Number
        | Rule::Prefix
        | Rule::Address
        | Rule::Network
        | Rule::Country
        | Rule::Unproven
        | Rule::Budget => "",
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
        Dimension::Address(_) | Dimension::Network(_) | Dimension::Unproven | Dimension::Total => None,
    }
}

impl PumpingGuard {
    /// Explains what the guard does with messages to or from a subject: of one service, or of those in which most lacks.
    pub async fn explain(
        &self,
        service: Option<&Service>,
        dimension: Dimension,
    ) -> Result<Explanation, Refusal> {
        let services = match service {
            Some(service) => vec![service.id],
            None => self.worst(dimension),
        };
        let mut explained = Vec::new();
        for service in services {
            explained.push(self.explain_in(service, dimension).await?);
        }
        // The order of the sort before stays among equals.
        explained.sort_by_key(|explanation| !explanation.refused);
        Ok(Explanation { subject: exact(dimension), services: explained })
    }

    /// The services in which a message is refused, or an allowance of the subject lacks most.
    fn worst(&self, dimension: Dimension) -> Vec<ServiceId> {
        let now = self.now();
        let mut services: Vec<_> = self.inner.guard().services().collect();
        services.extend(self.inner.rules.keys().copied().chain([ServiceId::DEFAULT]));
        services.extend(self.inner.guard().entries(now).filter_map(|(key, _)| key.service));
        services.sort_unstable();
        services.dedup();
        services.sort_by_cached_key(|service| {
            let explained = self.explained(*service, dimension, now);
            let least = explained.allowances.iter().map(AllowanceNow::rank).min();
            (explained.assessment.verdict.is_ok(), least, *service)
        });
        services.truncate(EXPLAINED_SERVICES);
        services
    }

    fn explained(&self, service: ServiceId, dimension: Dimension, now: Timestamp) -> Explained {
        let of = country_and_type(dimension).unwrap_or((None, NumberType::Other));
        let verified = match dimension {
            Dimension::Number(number) => self.inner.known(service, number, now),
            _ => None,
        };
        self.inner.guard().explain(service, dimension, of, self.inner.rules(service), verified, now)
    }

    async fn explain_in(
        &self,
        service: ServiceId,
        dimension: Dimension,
    ) -> Result<ServiceExplanation, Refusal> {
        let (rules, now) = (self.inner.rules(service), self.now());
        let country = country_and_type(dimension).and_then(|(country, _)| country);
        let mut reasons = Vec::new();
        let spent = self.inner.budgets.used_up(service, country);
        if let Some((budget, until)) = &spent {
            let (whose, until) = (whose(budget.service_id), shown(*until));
            let budget = self.budget_view(budget.clone());
            let name = &budget.name;
            reasons.push(format!(
                "The budget {name} of {whose} has too little left for a text message until {until}: {budget} spent. A larger \
                 {name} in config.json permits more."
            ));
        }
        let Explained { assessment, entries, allowances, refusals } = self.explained(service, dimension, now);
        let option =
            self.named(Some(service), "").0.map(|sid| format!(" --service {sid}")).unwrap_or_default();
        reasons.extend(assessment.findings.iter().filter_map(|finding| {
            Some(match (finding.rule, finding.figures, finding.until) {
                (Rule::Entry, ..) => return None,
                (_, Some(figures), Some(until)) => {
                    let of = finding.key.dimension;
                    let allow = exact(if of == Dimension::Unproven { dimension } else { of });
                    let (of, left, until) = (exact(of), left(&figures), shown(until));
                    format!(
                        "The allowance of {of} lacks messages: {left}. The next message passes at {until}. If these are your \
                         users, onceward guard allow '{allow}'{option} --for 12h lets them pass."
                    )
                }
                (rule, ..) => {
                    let (does, helps) = match finding.effect {
                        Effect::Refused => ("refuses", permitting(rule)),
                        Effect::Recorded => ("only records", ""),
                    };
                    format!("The rule {} {does} text messages to it.{helps}", rule.as_str())
                }
            })
        }));
        reasons.extend(entries.iter().map(|(key, entry)| self.entry_reason(key, entry)));
        if rules.mode != Mode::Block {
            let mode = if rules.mode == Mode::Off { "off" } else { "record" };
            reasons.push(format!(
                "The mode of the guard is {mode}: no message is refused for want of an allowance."
            ));
        }
        if let Dimension::Number(number) = dimension
            && self.inner.known(service, number, now).is_some()
        {
            let known = "It was verified in the last 30 days: its next message of a day passes, and up to ten, four of them \
                 unverified, need only allowances of its client.";
            reasons.push(known.to_owned());
        }
        reasons.extend(refusals.map(refusals_in_words));
        let query = DecisionQuery {
            service: Some(service),
            keys: allowances.iter().map(|allowance| allowance.dimension).collect(),
            limit: EXPLAINED,
            ..DecisionQuery::default()
        };
        let decisions = self.decisions(&query).await?.0;
        let decisions = decisions.iter().map(|decision| self.decision_view(decision)).collect();
        let refused = spent.is_some() || assessment.verdict.is_err();
        let allowances =
            allowances.into_iter().map(|allowance| self.allowance_view(allowance, exact)).collect();
        let (service_sid, service) = self.named(Some(service), "default");
        let service_sid = service_sid.unwrap_or_default();
        Ok(ServiceExplanation { service_sid, service, refused, reasons, allowances, decisions })
    }

    /// The refusals of a number in a service on the day of the last one, in a sentence.
    pub fn refusals(&self, service: ServiceId, number: PhoneNumber) -> Option<String> {
        self.inner.guard().refusals(service, number).map(refusals_in_words)
    }

    fn entry_reason(&self, key: &Key, entry: &Entry) -> String {
        let view = self.entry_view(*key, *entry, exact);
        let EntryView { service_sid, subject, date_until, messages, .. } = &view;
        let option = service_sid.as_ref().map(|sid| format!(" --service {sid}")).unwrap_or_default();
        let does = match entry.action {
            EntryAction::Allow => "needs no allowance".to_owned(),
            EntryAction::Block => "is refused".to_owned(),
            EntryAction::Expect(_) => {
                format!("gets {} announced messages beyond its allowance", messages.unwrap_or_default())
            }
        };
        format!(
            "By a manual entry for {}, {subject} {does} until {date_until}; onceward guard remove '{subject}'{option} ends that.",
            whose(key.service)
        )
    }

    /// The sid and the name of a service; `none` for no service.
    fn named(&self, service: Option<ServiceId>, none: &str) -> (Option<String>, String) {
        let Some(id) = service else { return (None, none.to_owned()) };
        let registry = self.inner.registry.as_ref();
        match registry.and_then(|registry| Some((registry, registry.service_by_id(id)?))) {
            Some((registry, service)) => (Some(service.sid.to_string()), registry.title(&service)),
            None if registry.is_some() => (None, "a deleted service".to_owned()),
            None => (None, none.to_owned()),
        }
    }

    /// `named` is [`masked`] or [`exact`].
    fn allowance_view(&self, allowance: AllowanceNow, named: fn(Dimension) -> String) -> AllowanceView {
        let AllowanceNow { service, dimension, figures, passes } = allowance;
        let Figures { level, most, usual, kept } = figures;
        let (service_sid, service) = self.named(Some(service), "default");
        let (subject, date_passes) = (named(dimension), passes.map(shown));
        AllowanceView { service_sid, service, subject, level, most, kept, usual, date_passes }
    }

    /// `named` is [`masked`] or [`exact`].
    pub fn entry_view(&self, key: Key, entry: Entry, named: fn(Dimension) -> String) -> EntryView {
        let (action, messages) = match entry.action {
            EntryAction::Allow => ("allow", None),
            EntryAction::Block => ("block", None),
            EntryAction::Expect(messages) => ("expect", Some(messages)),
        };
        let (service_sid, service) = self.named(key.service, "all");
        let (subject, date_until) = (named(key.dimension), shown(entry.until));
        let (action, replaced) = (action.to_owned(), None);
        EntryView { service_sid, service, subject, action, messages, date_until, replaced }
    }

    fn budget_view(&self, budget: BudgetView) -> BudgetView {
        let (service_sid, service) = self.named(budget.service_id, "all");
        BudgetView { service_sid, service, ..budget }
    }

    pub fn decision_view(&self, decision: &GuardDecision) -> DecisionView {
        let GuardDecision { name, sends, first, last, figures, .. } = decision;
        let (service_sid, service) = self.named(Some(name.service), "default");
        DecisionView {
            service_sid,
            service,
            subject: masked(name.key.dimension),
            scope: scope_name(name.key.service).to_owned(),
            rule: name.rule.as_str().to_owned(),
            effect: name.effect.as_str().to_owned(),
            messages: *sends,
            date_first: shown(*first),
            date_last: shown(*last),
            usual: figures.map(|figures| figures.usual),
        }
    }

    pub fn entry(&self, key: &Key) -> Option<Entry> {
        self.inner.guard().entry(key, self.now())
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
        if let (Some(EntryAction::Expect(_)), false) =
            (action, matches!(key.dimension, Dimension::Country(_)))
        {
            return Err(EntryError::NotACountry);
        }
        // A write in between would take the entry without its line of the audit log, and not durably.
        let _writing = self.inner.writing.lock().await;
        let (now, sid) = (self.now(), key.service.and_then(|service| self.inner.sid(service)));
        let before = self.entry(&key);
        let Some(entry) = self.inner.guard().set_entry(key, action, now.plus(length), now)? else {
            return Ok(None);
        };
        let audited = match action {
            None => Action::GuardEntryRemoved,
            Some(EntryAction::Allow) => Action::GuardAllowed,
            Some(EntryAction::Block) => Action::GuardBlocked,
            Some(EntryAction::Expect(_)) => Action::GuardExpected,
        };
        let change = Change { number: Some(masked(key.dimension)), ..Change::of(audited).in_service(sid) };
        if let Err(refusal) = self.inner.write_locked(Durability::Durable, Some((by, change))).await {
            self.inner.guard().reset_entry(key, before);
            return Err(refusal.into());
        }
        let replaced = before.filter(|_| action.is_some());
        let replaced = replaced.map(|before| self.entry_view(key, before, exact).action);
        Ok(Some(EntryView { replaced, ..self.entry_view(key, entry, exact) }))
    }

    /// The budgets of a service, or of all.
    pub fn budgets(&self, service: Option<ServiceId>) -> Vec<BudgetView> {
        self.inner.budgets.list(service).into_iter().map(|budget| self.budget_view(budget)).collect()
    }

    /// The manual entries of a service or of all: those that end last first.
    pub fn entries(&self, service: Option<ServiceId>) -> Vec<(Key, Entry)> {
        let mut entries: Vec<_> = self.inner.guard().entries(self.now()).collect();
        entries.retain(|(key, _)| service.is_none() || key.service == service);
        entries.sort_by_key(|(key, entry)| (Reverse(entry.until), *key));
        entries
    }

    /// The allowances of a service, or of all, that have less than half of their messages: the `limit` with the smallest part
    /// left. `named` writes the subjects.
    pub fn low_allowances(
        &self,
        service: Option<ServiceId>,
        limit: usize,
        named: fn(Dimension) -> String,
    ) -> Vec<AllowanceView> {
        let (now, mut low, mut next) = (self.now(), Vec::new(), Some((0, 0)));
        let lowest = |low: &mut Vec<AllowanceNow>| {
            low.sort_by_key(|allowance| (allowance.rank(), allowance.service, allowance.dimension));
            low.truncate(limit);
        };
        while let Some(start) = next {
            let page;
            (page, next) = self.inner.guard().page(service, start, ALLOWANCES_AT_ONCE);
            // No send waits for this: the lock is free.
            low.extend(page.into_iter().filter_map(|(service, dimension, allowance)| {
                AllowanceNow::low(service, dimension, allowance, self.inner.rules(service), now)
            }));
            if low.len() >= limit.saturating_add(2 * ALLOWANCES_AT_ONCE) {
                lowest(&mut low);
            }
        }
        lowest(&mut low);
        low.into_iter().map(|allowance| self.allowance_view(allowance, named)).collect()
    }

    /// Budgets, low allowances, entries, and the decisions since a moment (of the last day by default), of a service or of
    /// all; at most `limit` of each. `named` writes the subjects of allowances and entries.
    pub async fn overview(
        &self,
        (service, since, limit): (Option<ServiceId>, Option<Timestamp>, usize),
        named: fn(Dimension) -> String,
    ) -> Result<Vec<Item>, Refusal> {
        let since = since.unwrap_or_else(|| self.now().minus(DAY));
        let query = DecisionQuery { service, since, limit, ..DecisionQuery::default() };
        let (decisions, _) = self.decisions(&query).await?;
        let mut items: Vec<_> = self.budgets(service).into_iter().take(limit).map(Item::Budget).collect();
        items.extend(self.low_allowances(service, limit, named).into_iter().map(Item::Allowance));
        let entries = self.entries(service).into_iter().take(limit);
        items.extend(entries.map(|(key, entry)| Item::Entry(self.entry_view(key, entry, named))));
        items.extend(decisions.iter().map(|decision| Item::Decision(self.decision_view(decision))));
        Ok(items)
    }

    fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::{Clock, ManualClock};
    use crate::config::GuardSettings;
    use crate::domain::{Channel, ServerKey};
    use crate::guard::{ClientSignals, GuardDeps, Signals, VerifiedNumbers};
    use crate::registry::tests::world::start;
    use crate::store::MemoryStore;

    #[tokio::test]
    async fn ten_thousand_services_are_listed() {
        let clock: Arc<dyn Clock> =
            Arc::new(ManualClock::starting_at(Timestamp::from_millis(1_700_000_000_000)));
        let shards = start(&MemoryStore::new(), &clock, 1).await.expect("shards");
        let budget = GuardSettings { messages_per_day: Some(1_000), ..GuardSettings::default() };
        let services = (0..10_000).map(|n| (ServiceId::new(n), budget.clone())).collect();
        let key = ServerKey::from_bytes([7; 32]);
        let deps = GuardDeps::new(&shards, &key, VerifiedNumbers::new(10));
        let guard = PumpingGuard::start(GuardDeps { services, ..deps }).await.expect("a guard");
        let number = PhoneNumber::parse("+992900000123", None).expect("a number");
        let signals = ClientSignals::default().about(ServiceId::DEFAULT, number, Channel::Sms);
        for service in (0..10_000).map(ServiceId::new) {
            for _ in 0..6 {
                guard.assess(&Signals { service, ..signals }, None).expect("sent");
            }
        }
        let items = guard.overview((None, None, 20_000), masked).await.expect("a list");
        let budgets = items.iter().filter(|item| matches!(item, Item::Budget(_))).count();
        let allowances = items.iter().filter(|item| matches!(item, Item::Allowance(_))).count();
        assert_eq!((budgets, allowances), (10_000, 10_000));
        let lowest = guard.low_allowances(None, 5, masked);
        assert_eq!((lowest.len(), lowest[0].subject.as_str()), (5, "+99290000****"));
        let explained = guard.explain(None, Dimension::Number(number)).await.expect("reasons");
        assert_eq!(explained.services.len(), 10);
    }

    #[test]
    fn a_subject_is_read_as_it_is_shown() {
        for text in [
            "+992900000123",
            "+99290000****",
            "TJ",
            "192.0.2.7",
            "2001:db8::/64",
            "192.0.2.0/24",
            "2001:db8:1::/48",
        ] {
            assert_eq!(subject(text, None).map(exact).as_deref(), Some(text));
        }
        assert_eq!(subject("2001:db8::1", None).map(exact).as_deref(), Some("2001:db8::/64"));
        for text in [
            "",
            "XX",
            "****",
            "+****",
            "99290000****",
            "+992a****",
            "12",
            "192.0.2",
            "192.0.2.7/24",
            "2001:db8::/24",
        ] {
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
