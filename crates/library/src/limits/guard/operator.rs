//! The guard for its operator: explanations, lists and changes. The command line, the API and the dashboard show the same
//! items.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use onceward_core::guard::{AllowanceNow, Explained};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    ClientNet, Dimension, Entry, EntryAction, EntryError, Figures, Finding, Key, Mode, PumpingGuard,
    Refusals, RefusedNumber, Rule, effect,
};
use crate::domain::{Channel, NumberType, PhoneNumber, Region, ServiceId, Sid, SidKind, Timestamp};
pub use crate::observe::metrics::BudgetView;
use crate::registry::Service;
use crate::registry::audit::{self, Action, AuditEntry, Author};
use crate::shard::{Durability, LogPart, LogRange, Record as _, RecordKey, Refusal, Subject};

/// Parts of a country that an explanation names.
const PARTS: usize = 5;

/// Services of an explanation that is about all of them.
const EXPLAINED_SERVICES: usize = 10;

/// The length of an entry in minutes unless the operator says another, and that of the longest one.
pub const USUAL_MINUTES: u32 = 12 * 60;
pub const MOST_MINUTES: u32 = 365 * 24 * 60;

/// What [`subject`] reads, for error messages.
pub const SUBJECTS: &str = "a number (+992900000123), a prefix (+99290000****: a number of full length without its last four \
     digits), a country (TJ), a client address (192.0.2.7) or a network, which is a /24 or a /48 (192.0.2.0/24, 2001:db8::/48)";

/// Allowances that are read under one lock: some 5 us.
const ALLOWANCES_AT_ONCE: usize = 256;

/// Reads a number, prefix, country, client address or network.
pub fn subject(text: &str, region: Option<Region>) -> Option<Dimension> {
    // In a form a space may be the `+` of a number.
    let (given, text) = (text, text.trim());
    if let Some(digits) = given.trim_end().strip_suffix("****") {
        // No message has a prefix of another length than a number's.
        return PhoneNumber::parse(&format!("{digits}0000"), None).ok().map(Dimension::prefix_of);
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
    PhoneNumber::parse(given, region).ok().map(Dimension::Number)
}

/// Reads the subject of a manual entry: one of these, or `all`, for known numbers only.
pub fn entry_subject(text: &str, region: Option<Region>) -> Option<Dimension> {
    if text.trim() == "all" { Some(Dimension::Total) } else { subject(text, region) }
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

/// Refusals are counted for this hour and the one before.
const COUNTED_FOR: Duration = Duration::from_secs(2 * 60 * 60);

/// Something that the guard has, or did.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "GuardItem")]
pub struct Item {
    /// `budget`, `allowance`, `entry`; messages of an hour that broke a rule: `refused`, or `recorded` by one that only
    /// records.
    #[serde(rename = "type")]
    #[schemars(regex(pattern = "^(budget|allowance|entry|refused|recorded)$"), example = &"allowance")]
    pub kind: String,
    /// The service; null for all services.
    pub service_sid: Option<String>,
    /// The name of the service, or `all`.
    pub service: String,
    /// The number (masked in lists), prefix, country, address or network; `unproven`: all unproven countries; `all`; or the
    /// key of a budget.
    #[schemars(example = &"+99290000****")]
    pub subject: String,
    /// `allow` or `block`, of an entry. Else null.
    pub action: Option<String>,
    /// What it does, in words.
    pub details: String,
    /// Messages that an allowance or a budget of messages still has, or that broke the rule. Else null.
    pub messages: Option<u64>,
    /// Millionths of the currency that a budget of money still has. Else null.
    pub money: Option<u64>,
    /// The messages of a full allowance, or the whole budget, in messages or in millionths. Else null.
    pub most: Option<u64>,
    /// The currency of a budget of money. Else null.
    pub currency: Option<String>,
    /// Numbers that are usually verified in a day. Null for what has no allowance.
    pub usual: Option<u32>,
    /// When the next message from a network without verified numbers passes, or when an entry ends; null for now, and for a
    /// number on the safe list.
    #[schemars(extend("format" = "date-time"))]
    pub date_until: Option<String>,
}

/// What the guard knows of a subject in one service, and why it refuses messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "GuardServiceExplanation")]
pub struct ServiceExplanation {
    /// The service; null for a deleted one.
    pub service_sid: Option<String>,
    /// The name of the service.
    pub service: String,
    /// Whether a text message is refused now. In the service `default` a number of no numbering plan is not: the compatible
    /// routes accept it.
    pub refused: bool,
    /// The client of the number's last message, which the next one is assumed to come from. Null for one without verified
    /// numbers.
    pub client: Option<String>,
    /// Why messages are refused or pass, each in a sentence.
    pub reasons: Vec<String>,
    /// The narrowest first.
    pub allowances: Vec<Item>,
    /// Which numbers and prefixes of a country were refused messages in this hour and the one before, or have no allowance
    /// left, each in a sentence.
    pub parts: Vec<String>,
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
    /// The number of further services, which have rules, entries or allowances and are not shown.
    #[schemars(example = 0)]
    pub services_left_out: usize,
}

const fn whose(service: Option<ServiceId>) -> &'static str {
    if service.is_some() { "this service" } else { "all services" }
}

fn shown(at: Timestamp) -> String {
    at.rfc3339_seconds().to_string()
}

/// The country and the type of a subject's numbers.
fn country_and_type(dimension: Dimension) -> (Option<Region>, NumberType) {
    match dimension {
        Dimension::Number(number) => (number.region(), number.number_type()),
        Dimension::Prefix(digits) => {
            let number = PhoneNumber::from_u64(digits.saturating_mul(10_000));
            (number.and_then(PhoneNumber::region), NumberType::Other)
        }
        Dimension::Country(country) => (country, NumberType::Other),
        _ => (None, NumberType::Other),
    }
}

/// Why messages to or from a subject break a rule.
fn reason(subject: Dimension, Finding { rule, key, is_refused, until, .. }: &Finding) -> String {
    let of = exact(key.dimension);
    match (rule, until) {
        (Rule::CountryList, _) => {
            format!(
                "The rule {rule} refuses {of}: see allowed-countries and blocked-countries of the key guard."
            )
        }
        (Rule::Price, _) => format!(
            "A message to {of} costs more than max-price of the key guard, or prices has no price for it."
        ),
        (Rule::KnownOnly, Some(until)) => {
            let until = shown(*until);
            format!(
                "Only numbers that were verified in the last 30 days get messages until {until}; onceward guard known-only off ends it."
            )
        }
        (_, Some(until)) => {
            let allow = if *rule == Rule::Unproven { exact(subject) } else { of.clone() };
            let until = shown(*until);
            format!(
                "The allowance of {of} is used up until {until}; onceward guard allow '{allow}' lets messages pass."
            )
        }
        (_, None) => {
            let does = if *is_refused { "refuses" } else { "only records" };
            format!(
                "The rule {rule} {does} the type of {of}: see number-types and landlines of the key guard."
            )
        }
    }
}

impl PumpingGuard {
    /// Explains what the guard does with messages to or from a subject: of one service, or of those that refuse one or in which
    /// an allowance of the subject lacks most.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] while a shard cannot say.
    pub async fn explain(
        &self,
        service: Option<&Service>,
        dimension: Dimension,
    ) -> Result<Explanation, Refusal> {
        let (inner, now) = (&self.inner, self.now());
        let services = service.map_or_else(|| self.services(now), |service| [service.id].into());
        let explained = services.into_iter().map(|service| {
            let verified = match dimension {
                Dimension::Number(number) => inner.known(service, number, now),
                _ => None,
            };
            let ((country, number_type), rules) = (country_and_type(dimension), inner.rules(service));
            let of = (country, number_type, inner.budgets.price(country, Channel::Sms));
            let explained = inner.guard.lock().explain(service, dimension, of, rules, verified, now);
            let least = explained.allowances.iter().map(AllowanceNow::rank).min();
            ((explained.assessment.verdict.is_ok(), least, service), verified.is_some(), explained)
        });
        let mut explained: Vec<_> = explained.collect();
        let mut parts = self.refused_parts(dimension);
        explained.sort_by_key(|((passes, least, service), ..)| {
            (*passes, !parts.contains_key(service), *least, *service)
        });
        let services_left_out = explained.len().saturating_sub(EXPLAINED_SERVICES);
        explained.truncate(EXPLAINED_SERVICES);
        let mut services = Vec::new();
        for ((.., service), is_known, explained) in explained {
            let is_allowed = explained.entries.iter().any(|(_, entry)| entry.action == EntryAction::Allow);
            let mut of_service = self.of_service(service, dimension, is_known, explained);
            if !is_allowed {
                of_service.parts = parts.remove(&service).unwrap_or_default();
            }
            if let Dimension::Number(number) = dimension {
                let refused = self.refusals(service, number).await?;
                of_service.reasons.extend(refused.and_then(|refused| refused.last()).map(refusals_in_words));
            }
            services.push(of_service);
        }
        // A budget may refuse messages, too.
        services.sort_by_key(|explanation| (!explanation.refused, explanation.parts.is_empty()));
        Ok(Explanation { subject: exact(dimension), services, services_left_out })
    }

    /// Sentences about the numbers and prefixes of a country that were refused messages in this hour and the one before,
    /// or have no allowance left, which is known after a restart too.
    fn refused_parts(&self, dimension: Dimension) -> BTreeMap<ServiceId, Vec<String>> {
        let (mut parts, mut known) = (BTreeMap::<_, Vec<_>>::new(), BTreeSet::new());
        let is_part = |of: Dimension| {
            matches!(of, Dimension::Prefix(_) | Dimension::Number(_))
                && Dimension::Country(country_and_type(of).0) == dimension
        };
        if !matches!(dimension, Dimension::Country(_)) {
            return parts;
        }
        let mut add = |service, of, text: String| {
            let parts = parts.entry(service).or_default();
            if parts.len() < PARTS {
                parts.push(format!("{text}. Explain {of} to see more."));
            }
        };
        let mut broken: Vec<_> = self.inner.findings.lock().list(self.now()).collect();
        broken.retain(|(_, _, Finding { key, is_refused, .. })| *is_refused && is_part(key.dimension));
        broken.sort_by_key(|(_, messages, _)| Reverse(*messages));
        for (service, messages, Finding { rule, key, until, .. }) in broken {
            let until = until.map(|until| format!(" until {}", shown(until))).unwrap_or_default();
            let of = masked(key.dimension);
            let text = format!("Messages to {of}: {messages} refused by the rule {rule}{until}");
            add(service, of, text);
            known.insert((service, key.dimension));
        }
        let is_empty = |allowance: &AllowanceNow| {
            let of = (allowance.service, allowance.dimension);
            let blocks = self.inner.rules(allowance.service).mode == Mode::Block;
            blocks && allowance.next_pass_at().is_some() && !known.contains(&of) && is_part(of.1)
        };
        for allowance in self.allowances(None, is_empty) {
            let until = allowance.next_pass_at().map(shown).unwrap_or_default();
            let of = masked(allowance.dimension);
            let text = format!("The allowance of {of} is used up until {until}");
            add(allowance.service, of, text);
        }
        parts
    }

    /// The services that have allowances, entries or rules of their own, and the default one.
    fn services(&self, now: Timestamp) -> BTreeSet<ServiceId> {
        let guard = self.inner.guard.lock();
        let of_entries = guard.entries.list(now).filter_map(|(key, _)| key.service);
        let all = guard.rows.services().chain(of_entries).chain(self.inner.rules.keys().copied());
        all.chain([ServiceId::DEFAULT]).collect()
    }

    fn of_service(
        &self,
        service: ServiceId,
        dimension: Dimension,
        is_known: bool,
        Explained { assessment, entries, allowances, client, from_home }: Explained,
    ) -> ServiceExplanation {
        let (inner, mode) = (&self.inner, self.inner.rules(service).mode);
        let in_no_plan = matches!(dimension, Dimension::Number(number)
            if !inner.registry.accepts(number));
        let spent = inner.budgets.used_up(service, country_and_type(dimension).0);
        let mut reasons = Vec::new();
        if in_no_plan {
            reasons.push("No numbering plan has this number, therefore /v2 refuses it (60200).".to_owned());
        }
        reasons.extend(spent.as_ref().map(|(budget, until)| {
            let (name, until) = (&budget.name, shown(*until));
            let of = whose(budget.service_id);
            format!("The budget {name} of {of} has too little left for a text message until {until}: {budget} spent.")
        }));
        reasons.extend(entries.into_iter().map(|(key, entry @ Entry { action, until })| {
            let (whose, of) = (whose(key.service), exact(key.dimension));
            if entry == Entry::SAFE {
                return format!("{of} is on the safe list.");
            }
            let until = shown(until);
            let of_service = self.named(key.service, "").0.map(|sid| format!(" --service {sid}")).unwrap_or_default();
            format!(
                "A manual entry for {whose} says {action} for {of} until {until}; onceward guard remove '{of}'{of_service} \
                 ends it."
            )
        }));
        let broken = assessment.findings.iter().filter(|finding| finding.rule != Rule::Entry);
        reasons.extend(broken.map(|finding| reason(dimension, finding)));
        if inner.is_free {
            reasons.push("The simulator is the only gateway: allowances are off.".to_owned());
        } else if mode != Mode::Block {
            reasons.push(format!("The mode of the guard is {mode}: an empty allowance refuses nothing."));
        }
        if is_known {
            let from_home = match from_home {
                None => "",
                Some(Ok(())) => " From the network of its last verification the next message passes.",
                Some(Err(_)) => " From the network of its last verification it is refused, too.",
            };
            reasons.push(format!("It was verified in the last 30 days.{from_home}"));
        }
        // The compatible routes, which use the default service, accept such a number.
        let is_no_plan_refused = in_no_plan && service != ServiceId::DEFAULT;
        let (service_sid, name) = self.named(Some(service), "default");
        ServiceExplanation {
            service_sid,
            service: name,
            refused: is_no_plan_refused || spent.is_some() || assessment.verdict.is_err(),
            client: client.map(|client| client.to_string()),
            reasons,
            allowances: allowances.into_iter().map(|allowance| self.allowance(allowance, exact)).collect(),
            parts: Vec::new(),
        }
    }

    /// What refused a number messages in the last days.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] while a shard cannot say.
    pub async fn refusals(
        &self,
        service: ServiceId,
        number: PhoneNumber,
    ) -> Result<Option<RefusedNumber>, Refusal> {
        let inner = &self.inner;
        let Subject { slot, id } = inner.verified_subject(service, number);
        let known = inner.router.get(RecordKey { slot, kind: RefusedNumber::KIND, id }).await?;
        let waiting = inner.refused.lock().of(service, number).cloned();
        Ok(match (known, waiting) {
            (Some(known), Some(waiting)) => Some(RefusedNumber::and(known, waiting)),
            (known, waiting) => known.or(waiting),
        })
    }

    /// The refused numbers of a range, the newest first. Every refusal until now is in them.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] while a shard cannot say.
    pub async fn refused_numbers(
        &self,
        range: LogRange<impl Fn(&RefusedNumber) -> bool>,
    ) -> Result<LogPart<RefusedNumber>, Refusal> {
        self.inner.write_refused(usize::MAX).await;
        self.inner.refused_before.list(None, range).await
    }

    /// The time of the oldest refusal that is kept.
    pub fn oldest_refusal(&self) -> Option<Timestamp> {
        self.inner.refused_before.oldest()
    }

    /// The sid and the name of a service; `none` for no service.
    fn named(&self, service: Option<ServiceId>, none: &str) -> (Option<String>, String) {
        let Some(id) = service else { return (None, none.to_owned()) };
        let registry = &self.inner.registry;
        (registry.service_by_id(id).map(|service| service.sid.to_string()), registry.title_of(id))
    }

    fn item(&self, kind: &str, service: Option<ServiceId>, subject: String, details: String) -> Item {
        let (service_sid, service) = self.named(service, "all");
        Item { kind: kind.to_owned(), service_sid, service, subject, details, ..Item::default() }
    }

    /// `named` is [`masked`] or [`exact`], here and below.
    fn allowance(&self, allowance: AllowanceNow, named: fn(Dimension) -> String) -> Item {
        let (Figures { level, most, usual }, next_pass_at) = (allowance.figures(), allowance.next_pass_at());
        let left = format!("{level} of {most} messages left, usually {usual} verified a day");
        let (messages, most) = (Some(level.into()), Some(most.into()));
        let item = self.item("allowance", Some(allowance.service), named(allowance.dimension), left);
        Item { messages, most, usual: Some(usual), date_until: next_pass_at.map(shown), ..item }
    }

    fn entry(&self, key: Key, entry: Entry, named: fn(Dimension) -> String) -> Item {
        let Entry { action, until } = entry;
        let details = match action {
            EntryAction::Allow if entry == Entry::SAFE => "on the safe list",
            EntryAction::Allow => "messages need no allowance",
            EntryAction::Block => "messages are refused",
            EntryAction::KnownOnly => "only numbers verified in the last 30 days get messages",
        };
        let date_until = (entry != Entry::SAFE).then(|| shown(until));
        let item = self.item("entry", key.service, named(key.dimension), details.to_owned());
        Item { action: Some(action.to_string()), date_until, ..item }
    }

    /// Whether a number is on the safe list: [`Entry::SAFE`].
    pub fn is_safe(&self, number: PhoneNumber) -> bool {
        self.inner.guard.lock().entries.is_safe(number)
    }

    /// The id of a number on the safe list. The number cannot be guessed from it.
    pub fn safe_sid(&self, number: PhoneNumber) -> Sid {
        Sid::of_name(SidKind::SafeNumber, &self.inner.seed.to_string(), &number.e164())
    }

    /// Puts a number on the safe list, durably. A manual entry of the number for all services gives way.
    ///
    /// # Errors
    /// [`EntryError`].
    pub async fn add_safe_number(&self, number: PhoneNumber, by: Author) -> Result<(), EntryError> {
        if !self.inner.registry.accepts(number) {
            return Err(EntryError::InNoPlan(number));
        }
        if self.is_safe(number) {
            return Err(EntryError::IsSafe);
        }
        let key = Key::new(None, Dimension::Number(number));
        self.inner.guard.lock().entries.make_room(&key, self.now())?;
        self.change_entry(key, Some(Entry::SAFE), Action::SafeNumberAdded, by).await?;
        Ok(())
    }

    /// Removes a number from the safe list. Returns whether it was on it.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn remove_safe_number(&self, number: PhoneNumber, by: Author) -> Result<bool, Refusal> {
        let key = Key::new(None, Dimension::Number(number));
        let is_safe = self.is_safe(number);
        Ok(is_safe && self.change_entry(key, None, Action::SafeNumberRemoved, by).await?.is_some())
    }

    /// Adds or replaces a manual entry, durably; with no action removes it. Returns the entry that was added or removed.
    ///
    /// # Errors
    /// [`EntryError`].
    pub async fn set_entry(
        &self,
        key: Key,
        action: Option<EntryAction>,
        minutes: u32,
        by: Author,
    ) -> Result<Option<Item>, EntryError> {
        let (inner, now) = (&self.inner, self.now());
        if let (Some(_), Dimension::Number(number)) = (action, key.dimension)
            && !inner.registry.accepts(number)
        {
            return Err(EntryError::InNoPlan(number));
        }
        let (is_of_all, is_known_only) =
            (key.dimension == Dimension::Total, action == Some(EntryAction::KnownOnly));
        if action.is_some() && is_of_all != is_known_only {
            return Err(EntryError::OnlyAll);
        }
        let audited = match action {
            Some(EntryAction::Allow) => Action::GuardAllowed,
            Some(EntryAction::Block) => Action::GuardBlocked,
            Some(EntryAction::KnownOnly) => Action::GuardKnownOnly,
            None => Action::GuardEntryRemoved,
        };
        if action.is_some() {
            inner.guard.lock().entries.make_room(&key, now)?;
        }
        let until = now.plus(Duration::from_secs(u64::from(minutes) * 60));
        let entry = action.map(|action| Entry { action, until });
        let changed = self.change_entry(key, entry, audited, by).await?;
        Ok(changed.map(|changed| self.entry(key, changed, exact)))
    }

    /// Writes a manual entry, or removes it. Returns the entry that was added or removed.
    async fn change_entry(
        &self,
        key: Key,
        entry: Option<Entry>,
        action: Action,
        by: Author,
    ) -> Result<Option<Entry>, Refusal> {
        let (inner, now) = (&self.inner, self.now());
        // Keeps the order of the writes of an entry.
        let writing = Arc::clone(&inner.writing).lock_owned().await;
        let before = inner.guard.lock().entries.get(&key, now);
        let Some(changed) = entry.or_else(|| before.map(|before| Entry { until: now, ..before })) else {
            return Ok(None);
        };
        let service = key.service.and_then(|service| inner.registry.service_by_id(service));
        let [was, is] = [before, entry].map(|entry| {
            entry.filter(|entry| *entry != Entry::SAFE).map(|entry| shown(entry.until)).unwrap_or_default()
        });
        let values = if was == is { String::new() } else { audit::changed("until", &was, &is) };
        let line = AuditEntry::new(by, action, service.map(|of| of.sid), masked(key.dimension));
        let line = AuditEntry { changes: values, ..line };
        // In a task of its own: a client that goes away must not leave an entry that is durable and does not hold.
        let inner = Arc::clone(inner);
        let stored = tokio::spawn(async move {
            let _writing = writing;
            let stored = inner.store_entry(key, entry, Durability::Durable, Some(line)).await;
            if stored.is_err() {
                // The shard may have kept it.
                let _ = inner.store_entry(key, before, Durability::Lazy, None).await;
            }
            stored
        });
        stored.await.unwrap_or(Err(Refusal::OutcomeUnknown))?;
        Ok(Some(changed))
    }

    /// The budgets of a service, or of all.
    pub fn budgets(&self, service: Option<ServiceId>) -> Vec<BudgetView> {
        let mut budgets = self.inner.budgets.list(service);
        for budget in &mut budgets {
            (budget.service_sid, budget.service) = self.named(budget.service_id, "all");
        }
        budgets
    }

    /// The manual entries of a service or of all: those that end last first, and behind them the safe numbers.
    pub fn entries(&self, service: Option<ServiceId>, named: fn(Dimension) -> String) -> Vec<Item> {
        self.entries_that(|key, _| service.is_none() || key.service == service, usize::MAX, named)
    }

    /// The first `limit` entries that fit.
    fn entries_that(
        &self,
        fits: impl Fn(&Key, &Entry) -> bool,
        limit: usize,
        named: fn(Dimension) -> String,
    ) -> Vec<Item> {
        let mut entries: Vec<_> = self.inner.guard.lock().entries.list(self.now()).collect();
        entries.retain(|(key, entry)| fits(key, entry));
        entries.sort_by_key(|(key, entry)| (*entry == Entry::SAFE, Reverse(entry.until), *key));
        entries.into_iter().take(limit).map(|(key, entry)| self.entry(key, entry, named)).collect()
    }

    /// The entries that let only known numbers have messages.
    pub fn known_only(&self) -> Vec<Item> {
        self.entries_that(|_, entry| entry.action == EntryAction::KnownOnly, usize::MAX, exact)
    }

    /// Since when refusals are counted, if the server has started within the hours that are counted.
    pub fn counted_since(&self) -> Option<Timestamp> {
        let began = self.inner.began;
        (self.now().since(began) < COUNTED_FOR).then_some(began)
    }

    /// The allowances of a service, or of all, with this property.
    fn allowances(
        &self,
        service: Option<ServiceId>,
        fits: impl Fn(&AllowanceNow) -> bool,
    ) -> Vec<AllowanceNow> {
        let (now, mut found) = (self.now(), Vec::new());
        let held = self.inner.guard.lock().rows.held();
        for start in (0..held).step_by(ALLOWANCES_AT_ONCE) {
            let page: Vec<_> = self.inner.guard.lock().rows.page(start, ALLOWANCES_AT_ONCE).collect();
            // No send waits for this: the lock is free.
            let page = page.into_iter().filter(|(of, ..)| service.is_none_or(|service| *of == service));
            found.extend(page.filter_map(|(service, dimension, allowance)| {
                let rules = self.inner.rules(service);
                let allowance = AllowanceNow::new(service, dimension, Some(allowance), rules, now);
                (rules.mode != Mode::Off && fits(&allowance)).then_some(allowance)
            }));
        }
        found
    }

    /// The allowances of a service, or of all, that have less than half of their messages: the `limit` with the smallest part
    /// left.
    pub fn low_allowances(
        &self,
        service: Option<ServiceId>,
        limit: usize,
        named: fn(Dimension) -> String,
    ) -> Vec<Item> {
        let mut low = self.allowances(service, AllowanceNow::is_low);
        low.sort_by_cached_key(|allowance| (allowance.rank(), allowance.service, allowance.dimension));
        low.truncate(limit);
        low.into_iter().map(|allowance| self.allowance(allowance, named)).collect()
    }

    /// The rules that messages of a service, or of all, broke in this hour and the one before, those with most messages first.
    pub fn broken_rules(&self, service: Option<ServiceId>, named: fn(Dimension) -> String) -> Vec<Item> {
        let mut found: Vec<_> = self.inner.findings.lock().list(self.now()).collect();
        found.retain(|(of, ..)| service.is_none_or(|service| *of == service));
        found.sort_by_key(|(_, messages, _)| Reverse(*messages));
        let item = |(service, messages, Finding { rule, key, is_refused, figures, until })| {
            let noun = if messages == 1 { "message" } else { "messages" };
            let details = format!("{messages} {noun} by the rule {rule}");
            let item = self.item(effect(is_refused), Some(service), named(key.dimension), details);
            let (usual, date_until) = (figures.map(|figures: Figures| figures.usual), until.map(shown));
            Item { messages: Some(messages), usual, date_until, ..item }
        };
        found.into_iter().map(item).collect()
    }

    /// Budgets, low allowances, entries and broken rules of a service or of all, at most `limit` of each.
    pub fn overview(
        &self,
        service: Option<ServiceId>,
        limit: usize,
        named: fn(Dimension) -> String,
    ) -> Vec<Item> {
        let budgets = self.budgets(service).into_iter().map(|budget| {
            let details = format!("{budget} spent");
            let BudgetView { service_sid, service, name: subject, spent, limit, currency, .. } = budget;
            let (left, is_money) = (limit.saturating_sub(spent), currency.is_some());
            let (messages, money) = ((!is_money).then_some(left), is_money.then_some(left));
            let (kind, most) = ("budget".to_owned(), Some(limit));
            let of = Item { kind, service_sid, service, subject, details, ..Item::default() };
            Item { messages, money, most, currency, ..of }
        });
        let mut items: Vec<_> = budgets.take(limit).collect();
        items.extend(self.low_allowances(service, limit, named));
        let is_of = |key: &Key, _: &Entry| service.is_none() || key.service == service;
        items.extend(self.entries_that(is_of, limit, named));
        items.extend(self.broken_rules(service, named).into_iter().take(limit));
        items
    }

    fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }
}

/// The refusals of a number in a sentence.
pub fn refusals_in_words(Refusals { rule, messages, last, until }: Refusals) -> String {
    let moment = |at: Timestamp| readable(&shown(at));
    let count = if messages > 1 { format!(", the last of {messages} on that day") } else { String::new() };
    let until = until.map(|until| format!(", until {}", moment(until))).unwrap_or_default();
    format!("A message was refused at {} UTC{count}, by {}{until}.", moment(last), by(rule))
}

/// A moment in the form of RFC 3339, as people read it.
pub fn readable(moment: &str) -> String {
    moment.replace('T', " ").trim_end_matches('Z').to_owned()
}

/// What refuses a message, for a person.
pub fn by(rule: Rule) -> String {
    match rule {
        Rule::Budget => "a spent budget".to_owned(),
        Rule::RateLimit => "a rate limit of the service".to_owned(),
        Rule::Lockout => "the lockout of the number".to_owned(),
        Rule::Verification => "the limits of a verification".to_owned(),
        rule => format!("the rule {rule} of the guard"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_read_as_it_is_shown() {
        for text in [
            "+992900000123",
            "+99290000****",
            "+1415555****",
            "+3906123****",
            "TJ",
            "192.0.2.7",
            "2001:db8::/64",
            "192.0.2.0/24",
            "2001:db8:1::/48",
        ] {
            assert_eq!(subject(text, None).map(exact).as_deref(), Some(text));
        }
        assert_eq!(subject("2001:db8::1", None).map(exact).as_deref(), Some("2001:db8::/64"));
        let no_prefixes = ["****", "+****", "99290000****", "+992a****", "+0415555****", "+999999999999****"];
        // A prefix has all digits of a number but four.
        let others = ["+1****", "+1415****", "+14155558****", "+99290****"];
        let no_networks = ["192.0.2", "192.0.2.7/24", "2001:db8::/24"];
        for text in ["", "XX", "12"].into_iter().chain(no_prefixes).chain(others).chain(no_networks) {
            assert_eq!(subject(text, None), None, "{text}");
        }
    }
}
