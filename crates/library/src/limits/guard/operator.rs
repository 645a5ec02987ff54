//! The guard for its operator: explanations, lists and changes. The command line, the API and the dashboard show the same
//! items.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use onceward_core::guard::{BucketNow, Explained};
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
use crate::shard::{Refusal, service_of};

/// Services of an explanation that is about all of them.
const EXPLAINED_SERVICES: usize = 10;

/// The length of an entry in minutes unless the operator says another, and that of the longest one.
pub const USUAL_MINUTES: u32 = 12 * 60;
pub const MOST_MINUTES: u32 = 365 * 24 * 60;

/// What [`subject`] reads, for error messages.
pub const SUBJECTS: &str = "a number (+992900000123), a prefix (+99290000****: a number of full length without its last four \
     digits), a country (TJ) or a client's network, which is a /24 or a /48 (192.0.2.0/24, 2001:db8::/48, or any of its addresses)";

/// Buckets that are read under one lock: some 5 us.
const BUCKETS_AT_ONCE: usize = 256;

/// Reads a number, prefix, country or network. An address stands for its network.
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
    let network = text.strip_suffix("/24").or_else(|| text.strip_suffix("/48"));
    if let Ok(address) = network.unwrap_or(text).parse::<IpAddr>() {
        let read = Dimension::Network(ClientNet::from(address));
        return Some(read).filter(|read| network.is_none() || read.to_string() == text);
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
        Dimension::Known(number) => format!("{} as a known number", number.e164()),
        other => masked(other),
    }
}

/// Refusals by rules are counted for this hour and the one before.
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
    /// The number (masked in lists), prefix, country or network; `countries without users`, all together; `all`; or the key
    /// of a budget.
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

/// What the guard knows of a subject in one service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "GuardServiceExplanation")]
pub struct ServiceExplanation {
    /// The service; null for a deleted one.
    pub service_sid: Option<String>,
    /// The name of the service.
    pub service: String,
    /// `off`, `record` or `block`; off while the simulator is the only gateway.
    #[schemars(regex(pattern = "^(off|record|block)$"), example = &"block")]
    pub mode: String,
    /// Whether the number was verified in the last 30 days.
    pub known: bool,
    /// Whether a text message is refused now.
    pub refused: bool,
    /// The rule that refuses a text message now, or the key of a budget; `numbering_plan` if no plan has the number, which
    /// the compatible routes of the service `default` accept. Null if it passes.
    #[schemars(example = &"prefix")]
    pub rule: Option<String>,
    /// When the next message passes; null for now, or if none ever does.
    #[schemars(extend("format" = "date-time"))]
    pub date_until: Option<String>,
    /// The manual entry that holds, and the allowances, the narrowest first. A message takes one of each.
    pub allowances: Vec<Item>,
}

/// What the guard does with messages to or from a subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "GuardExplanation")]
pub struct Explanation {
    /// The number, prefix, country or network.
    #[schemars(example = &"+992900000123")]
    pub subject: String,
    /// The service that was asked for, or the ten that refuse it or have the least left.
    pub services: Vec<ServiceExplanation>,
    /// The number of further services, which have rules, entries or allowances and are not shown.
    #[schemars(example = 0)]
    pub services_left_out: usize,
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

impl PumpingGuard {
    /// Explains what the guard does with messages to or from a subject: of one service, or of those that refuse one or in which
    /// a bucket of the subject lacks most.
    ///
    /// # Errors
    /// [`Refusal`], while the store does not confirm which services have verified the number.
    pub async fn explain(
        &self,
        service: Option<&Service>,
        dimension: Dimension,
    ) -> Result<Explanation, Refusal> {
        let inner = &self.inner;
        let services = service.map_or_else(|| self.services(self.now()), |service| [service.id].into());
        let known = match dimension {
            Dimension::Number(number) => {
                let keys = services.iter().map(|service| self.verified_key(*service, number));
                inner.router.get_each(keys).await?
            }
            _ => Vec::new(),
        };
        let explained = services.into_iter().map(|service| {
            let ((country, number_type), scope) = (country_and_type(dimension), inner.scope(service));
            let is_known = known.iter().any(|(key, _)| service_of(&key.id) == service);
            let of = (country, number_type, inner.budgets.price(country, Channel::Sms));
            let explained = inner.guard.lock().explain(scope, dimension, of, is_known);
            let least = explained.buckets.iter().map(BucketNow::rank).min();
            let of_service = self.of_service(service, dimension, is_known, explained);
            ((!of_service.refused, least, service), of_service)
        });
        let mut explained: Vec<_> = explained.collect();
        explained.sort_by_key(|(rank, _)| *rank);
        let services_left_out = explained.len().saturating_sub(EXPLAINED_SERVICES);
        explained.truncate(EXPLAINED_SERVICES);
        let services = explained.into_iter().map(|(_, of_service)| of_service).collect();
        Ok(Explanation { subject: exact(dimension), services, services_left_out })
    }

    /// The services that have buckets, entries or rules of their own or have refused a number, and the default one.
    fn services(&self, now: Timestamp) -> BTreeSet<ServiceId> {
        let guard = self.inner.guard.lock();
        let of_entries = guard.entries.list(now).filter_map(|(key, _)| key.service);
        let all = guard.rows.services().chain(of_entries).chain(self.inner.rules.keys().copied());
        let all: BTreeSet<_> = all.chain([ServiceId::DEFAULT]).collect();
        drop(guard);
        all.into_iter().chain(self.inner.refused.lock().services()).collect()
    }

    fn of_service(
        &self,
        service: ServiceId,
        dimension: Dimension,
        known: bool,
        Explained { verdict, entry, buckets }: Explained,
    ) -> ServiceExplanation {
        let inner = &self.inner;
        // The compatible routes, which use the default service, accept such a number.
        let is_in_a_plan = match dimension {
            Dimension::Number(number) => service == ServiceId::DEFAULT || inner.registry.accepts(number),
            _ => true,
        };
        let country = country_and_type(dimension).0;
        let spent = inner.budgets.used_up(service, country, &inner.counts.lock(), self.now());
        let refused = match (is_in_a_plan, spent, verdict) {
            (false, ..) => Some(("numbering_plan".to_owned(), None)),
            (true, Some((budget, until)), _) => Some((budget, Some(until))),
            (true, None, Err(refused)) => Some((refused.rule.to_string(), refused.until)),
            (true, None, Ok(())) => None,
        };
        let (rule, until) = refused.unzip();
        let entry = entry.map(|(key, entry)| self.entry(key, entry, exact));
        let (service_sid, name) = self.named(Some(service), "default");
        ServiceExplanation {
            service_sid,
            service: name,
            mode: inner.rules(service).mode.to_string(),
            known,
            refused: rule.is_some(),
            rule,
            date_until: until.flatten().map(shown),
            allowances: entry
                .into_iter()
                .chain(buckets.into_iter().map(|bucket| self.bucket(bucket, exact)))
                .collect(),
        }
    }

    /// What refused a number messages since the start.
    pub fn refusals(&self, service: ServiceId, number: PhoneNumber) -> Option<RefusedNumber> {
        self.inner.refused.lock().of(service, number)
    }

    /// The refused numbers, the newest first.
    pub fn refused_numbers(&self) -> Vec<RefusedNumber> {
        self.inner.refused.lock().numbers()
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
    fn bucket(&self, bucket: BucketNow, named: fn(Dimension) -> String) -> Item {
        let Figures { level, most, usual } = bucket.figures();
        let left = format!("{level} of {most} messages left, usually {usual} verified a day");
        let item = self.item("allowance", Some(bucket.service), named(bucket.dimension), left);
        let (messages, most, usual) = (Some(level.into()), Some(most.into()), Some(usual));
        Item { messages, most, usual, date_until: bucket.next_pass_at().map(shown), ..item }
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
            inner.store_entry(key, entry, Some(line)).await
        });
        stored.await.unwrap_or(Err(Refusal::OutcomeUnknown))?;
        Ok(Some(changed))
    }

    /// The budgets of a service, or of all.
    pub fn budgets(&self, service: Option<ServiceId>) -> Vec<BudgetView> {
        let mut budgets = self.inner.budgets.list(service, &self.inner.counts.lock(), self.now());
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

    /// The buckets of a service, or of all, that have less than half of their messages: the `limit` with the smallest part
    /// left.
    pub fn low_allowances(
        &self,
        service: Option<ServiceId>,
        limit: usize,
        named: fn(Dimension) -> String,
    ) -> Vec<Item> {
        let (now, mut low) = (self.now(), Vec::new());
        let held = self.inner.guard.lock().rows.held();
        for start in (0..held).step_by(BUCKETS_AT_ONCE) {
            let page: Vec<_> = self.inner.guard.lock().rows.page(start, BUCKETS_AT_ONCE).collect();
            // No send waits for this: the lock is free.
            let page = page.into_iter().filter(|(of, ..)| service.is_none_or(|service| *of == service));
            low.extend(page.filter_map(|(service, dimension, stored)| {
                let rules = self.inner.rules(service);
                let bucket = BucketNow::new(service, dimension, Some(stored), rules, now);
                (rules.mode != Mode::Off && bucket.is_low()).then_some(bucket)
            }));
        }
        low.sort_by_cached_key(|bucket| (bucket.rank(), bucket.service, bucket.dimension));
        low.truncate(limit);
        low.into_iter().map(|bucket| self.bucket(bucket, named)).collect()
    }

    /// The rules that messages of a service, or of all, broke in this hour and the one before, those with most messages first.
    pub fn broken_rules(&self, service: Option<ServiceId>, named: fn(Dimension) -> String) -> Vec<Item> {
        let mut found: Vec<_> = self.inner.refused.lock().rules(self.now()).collect();
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
            "192.0.2.0/24",
            "2001:db8::/48",
            "2001:db8:1::/48",
        ] {
            assert_eq!(subject(text, None).map(exact).as_deref(), Some(text));
        }
        for (address, network) in [("192.0.2.7", "192.0.2.0/24"), ("2001:db8:0:1::7", "2001:db8::/48")] {
            assert_eq!(subject(address, None).map(exact).as_deref(), Some(network));
        }
        let no_prefixes = ["****", "+****", "99290000****", "+992a****", "+0415555****", "+999999999999****"];
        // A prefix has all digits of a number but four.
        let others = ["+1****", "+1415****", "+14155558****", "+99290****"];
        let no_networks = ["192.0.2", "192.0.2.7/24", "2001:db8::/24", "2001:db8::/64"];
        for text in ["", "XX", "12"].into_iter().chain(no_prefixes).chain(others).chain(no_networks) {
            assert_eq!(subject(text, None), None, "{text}");
        }
    }
}
