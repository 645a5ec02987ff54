//! The guard for its operator: explanations, lists and changes. The command line, the API and the dashboard show the same
//! items.

use std::cmp::Reverse;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use onceward_core::guard::{Bucket, Explained};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    ClientNet, Dimension, Entry, EntryAction, EntryError, Finding, Key, Mode, RefusedNumber, Rule,
    ServerGuard,
};
use crate::domain::{Channel, NumberType, PhoneNumber, Region, ServiceId, Sid, SidKind, Timestamp};
use crate::registry::audit::{self, Action, AuditEntry, Author};
use crate::shard::Refusal;

/// The length of an entry in minutes unless the operator says another, and that of the longest one.
pub const USUAL_MINUTES: u32 = 12 * 60;
pub const MOST_MINUTES: u32 = 365 * 24 * 60;

/// What [`subject`] reads, for error messages.
pub const SUBJECTS: &str = "a number (+992900000123), a prefix (+99290000, or +99290000****: a number of full length without its last \
     four digits), a country (TJ or Tajikistan) or a client's network, which is a /24 or a /48 (192.0.2.0/24, 2001:db8::/48, or any of \
     its addresses)";

/// Buckets that are read under one lock: some 5 us.
const BUCKETS_AT_ONCE: usize = 256;

/// Reads a number, prefix, country or network, or `all`. An address stands for its network.
pub fn subject(text: &str, region: Option<Region>) -> Option<Dimension> {
    // In a form a space may be the `+` of a number.
    let (given, text) = (text, text.trim());
    // No message has a prefix of another length than a number's.
    let prefix = |digits: &str| {
        let plus = if digits.starts_with(|first: char| first.is_ascii_digit()) { "+" } else { "" };
        PhoneNumber::parse(&format!("{plus}{digits}0000"), None).ok().map(Dimension::prefix_of)
    };
    if let Some(digits) = given.trim_end().strip_suffix("****") {
        return prefix(digits);
    }
    if text == "all" {
        return Some(Dimension::Total);
    }
    if text.len() == 2 {
        return Region::parse(text).map(|country| Dimension::Country(Some(country)));
    }
    let network = text.strip_suffix("/24").or_else(|| text.strip_suffix("/48"));
    if let Ok(address) = network.unwrap_or(text).parse::<IpAddr>() {
        let read = Dimension::Network(ClientNet::from(address));
        return Some(read).filter(|read| network.is_none() || read.to_string() == text);
    }
    let number = |given: &str| PhoneNumber::parse(given, region).ok().map(Dimension::Number);
    let country = || {
        let letters: String = text.chars().filter(char::is_ascii_alphabetic).collect();
        let named: celes::Country = letters.to_lowercase().parse().ok().filter(|_| letters.len() > 3)?;
        Region::parse(named.alpha2).map(|country| Dimension::Country(Some(country)))
    };
    // As a person copies it from a list: without the plus or the stars.
    number(given).or_else(|| number(&format!("+{text}"))).or_else(|| prefix(text)).or_else(country)
}

/// A subject as [`subject`] reads it, with the whole number.
pub fn exact(dimension: Dimension) -> String {
    match dimension {
        Dimension::Number(number) => number.e164(),
        Dimension::Known(number) => format!("{} as a known number", number.e164()),
        other => other.to_string(),
    }
}

/// Something that the guard has.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "GuardItem")]
pub struct Item {
    /// `budget`, `allowance` or `entry`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The service; null for all services.
    pub service_sid: Option<String>,
    /// The name of the service, or `all`.
    pub service: String,
    /// The number, prefix, country or network; `countries without users`, all together; `all`; or the key
    /// of a budget.
    pub subject: String,
    /// `allow`, `block` or `known-only`, of an entry. Else null.
    pub action: Option<String>,
    /// What it does, in words.
    pub details: String,
    /// Messages that an allowance still has. Else null.
    pub messages: Option<u32>,
    /// The messages of a full allowance. Else null.
    pub most: Option<u32>,
    /// Numbers that are usually verified in a day. Null for what has no allowance.
    pub usual: Option<u32>,
    /// When the next message passes, or when an entry ends; null for now, and for a number on the safe list.
    #[schemars(extend("format" = "date-time"))]
    pub date_until: Option<String>,
}

/// What a service does with messages to or from a subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "GuardExplanation")]
pub struct Explanation {
    /// The number, prefix, country or network.
    pub subject: String,
    /// The service.
    pub service_sid: Option<String>,
    /// The name of the service.
    pub service: String,
    /// `off`, `record` or `block`; off while the simulator is the only gateway.
    pub mode: String,
    /// Whether the number was verified in the last 30 days.
    pub known: bool,
    /// The client's network that this is about: the one that was asked for, or that of the number's last refusal. Null for
    /// requests without an address, and from networks with verified numbers.
    pub client: Option<String>,
    /// Whether a text message is refused now.
    pub refused: bool,
    /// The rule that refuses a text message now, or the key of a budget; null if it passes.
    pub rule: Option<String>,
    /// When the next message passes; null for now, or if none ever does.
    #[schemars(extend("format" = "date-time"))]
    pub date_until: Option<String>,
    /// The rule that refuses a text message from a network without verified numbers; null if it passes, or if `client` says
    /// what this is about.
    pub rule_for_new_networks: Option<String>,
    /// When the next message from such a network passes.
    #[schemars(extend("format" = "date-time"))]
    pub date_until_for_new_networks: Option<String>,
    /// The manual entry that holds, and the allowances, the narrowest first. A message takes one of each.
    pub allowances: Vec<Item>,
}

impl Explanation {
    /// What happens to a text message, for a person: `pass for networks with verified numbers; refused for new ones by the rule
    /// country, until 2027-01-15 12:00:00`.
    pub fn verdict(&self) -> String {
        let refused = |rule: &str, until: Option<&String>| {
            let until = until.map(|until| format!(", until {}", readable(until))).unwrap_or_default();
            let by = Rule::ALL.into_iter().find(|known| known.as_str() == rule).map(by);
            format!("by {}{until}", by.unwrap_or_else(|| format!("the budget {rule}")))
        };
        let to_strangers = self.rule_for_new_networks.as_deref();
        match (self.rule.as_deref(), to_strangers) {
            (Some(rule), _) => format!("refused {}", refused(rule, self.date_until.as_ref())),
            (None, Some(rule)) => format!(
                "pass for networks with verified numbers and for requests without DeviceIp; refused for new networks {}",
                refused(rule, self.date_until_for_new_networks.as_ref())
            ),
            (None, None) => "pass".to_owned(),
        }
    }
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

impl ServerGuard {
    /// Explains what a service does with messages to or from a subject. Without a service it is the one that refused the number
    /// last, else the default one; without a client's network that of the number's last refusal.
    ///
    /// # Errors
    /// [`Refusal`], while the store does not confirm whether the service has verified the number.
    pub async fn explain(
        &self,
        service: Option<ServiceId>,
        dimension: Dimension,
        client: Option<ClientNet>,
    ) -> Result<Explanation, Refusal> {
        let refused = match dimension {
            Dimension::Number(number) => self.last_refusal(service, number),
            _ => None,
        };
        let service = service.or(refused.map(|refused| refused.service)).unwrap_or(ServiceId::DEFAULT);
        let client = client.or(refused.and_then(|refused| refused.client));
        let known = match dimension {
            Dimension::Number(number) => self.is_known(service, number).await?,
            _ => false,
        };
        let scope = self.scope(service);
        let (country, number_type) = country_and_type(dimension);
        let about = (country, number_type, self.budgets.price(country, Channel::Sms));
        let charges = self.budgets.charges(service, country, Channel::Sms, 1);
        let (spent, Explained { refused, refused_to_strangers, entry, buckets }) = {
            let guard = self.guard.lock();
            (guard.rows.full(&charges, scope.now), guard.explain(scope, dimension, client, about, known))
        };
        let by_budget = spent.map(|(budget, until)| (budget.key.dimension.to_string(), Some(until)));
        let by_guard = |refused: Finding| (refused.rule.to_string(), refused.until);
        let (rule, until) = by_budget.or_else(|| refused.map(by_guard)).unzip();
        let refused_to_strangers = refused_to_strangers.filter(|_| rule.is_none());
        let (rule_for_new_networks, until_for_new_networks) = refused_to_strangers.map(by_guard).unzip();
        let entry = entry.map(|(key, entry)| self.entry(key, entry));
        let buckets = buckets.into_iter().map(|bucket| self.bucket(bucket));
        let (service_sid, service) = self.named(Some(service));
        Ok(Explanation {
            subject: exact(dimension),
            service_sid,
            service,
            mode: scope.rules.mode.to_string(),
            known,
            client: client.map(|client| client.to_string()),
            refused: rule.is_some(),
            rule,
            date_until: until.flatten().map(shown),
            rule_for_new_networks,
            date_until_for_new_networks: until_for_new_networks.flatten().map(shown),
            allowances: entry.into_iter().chain(buckets).collect(),
        })
    }

    /// What refused a number a message, in the last day.
    pub fn refusal(&self, service: ServiceId, number: PhoneNumber) -> Option<RefusedNumber> {
        self.refused.lock().get(service, number)
    }

    /// The last refusal of a number, in a service or in any.
    pub fn last_refusal(&self, service: Option<ServiceId>, number: PhoneNumber) -> Option<RefusedNumber> {
        match service {
            Some(service) => self.refusal(service, number),
            None => self.refused_numbers().into_iter().find(|refused| refused.number == number),
        }
    }

    /// The refused numbers, the newest first.
    pub fn refused_numbers(&self) -> Vec<RefusedNumber> {
        let mut numbers = self.refused.lock().live(self.now());
        numbers.sort_by_key(|refused| Reverse(refused.last));
        numbers
    }

    /// The sid and the name of a service, or of all.
    fn named(&self, service: Option<ServiceId>) -> (Option<String>, String) {
        let Some(id) = service else { return (None, "all".to_owned()) };
        let registry = &self.registry;
        (registry.service_by_id(id).map(|service| service.sid.to_string()), registry.title_of(id))
    }

    fn item(&self, kind: &str, service: Option<ServiceId>, subject: String, details: String) -> Item {
        let (service_sid, service) = self.named(service);
        Item { kind: kind.to_owned(), service_sid, service, subject, details, ..Item::default() }
    }

    fn bucket(&self, bucket: Bucket) -> Item {
        let (left, most, usual) = (bucket.left(), bucket.capacity(), bucket.usual());
        let details = format!("{left} of {most} messages left, usually {usual} verified a day");
        let item = self.item("allowance", bucket.key.service, exact(bucket.key.dimension), details);
        let (messages, most, usual) = (Some(left), Some(most), Some(usual));
        Item { messages, most, usual, date_until: bucket.next_pass_at().map(shown), ..item }
    }

    fn entry(&self, key: Key, entry: Entry) -> Item {
        let action = entry.action.to_string();
        let date_until = (entry != Entry::SAFE).then(|| shown(entry.until));
        let item = self.item("entry", key.service, exact(key.dimension), action.clone());
        Item { action: Some(action), date_until, ..item }
    }

    /// Whether a number is on the safe list: [`Entry::SAFE`].
    pub fn is_safe(&self, number: PhoneNumber) -> bool {
        self.guard.lock().entries.is_safe(number)
    }

    /// The id of a number on the safe list. The number cannot be guessed from it.
    pub fn safe_sid(&self, number: PhoneNumber) -> Sid {
        Sid::of_name(SidKind::SafeNumber, &self.seed.to_string(), &number.e164())
    }

    /// Puts a number on the safe list, durably. A manual entry of the number for all services gives way.
    ///
    /// # Errors
    /// [`EntryError`].
    pub async fn add_safe_number(
        self: &Arc<Self>,
        number: PhoneNumber,
        by: Author,
    ) -> Result<(), EntryError> {
        let key = Key::new(None, Dimension::Number(number));
        self.make_room_for(&key)?;
        self.change_entry(key, Some(Entry::SAFE), by).await?;
        Ok(())
    }

    /// Removes a number from the safe list. Returns whether it was on it.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn remove_safe_number(
        self: &Arc<Self>,
        number: PhoneNumber,
        by: Author,
    ) -> Result<bool, Refusal> {
        let key = Key::new(None, Dimension::Number(number));
        let is_safe = self.is_safe(number);
        Ok(is_safe && self.change_entry(key, None, by).await?.is_some())
    }

    /// Adds or replaces a manual entry, durably; with no action removes it. Returns the entry that was added or removed.
    ///
    /// # Errors
    /// [`EntryError`].
    pub async fn set_entry(
        self: &Arc<Self>,
        key: Key,
        action: Option<EntryAction>,
        minutes: u32,
        by: Author,
    ) -> Result<Option<Item>, EntryError> {
        if let Some(action) = action {
            if (key.dimension == Dimension::Total) != (action == EntryAction::KnownOnly) {
                let why = "known-only is for the subject all, and all for nothing else";
                return Err(EntryError::OfNone(why.to_owned()));
            }
            self.make_room_for(&key)?;
        }
        let until = self.now().plus(Duration::from_secs(u64::from(minutes) * 60));
        let entry = action.map(|action| Entry { action, until });
        let changed = self.change_entry(key, entry, by).await?;
        Ok(changed.map(|changed| self.entry(key, changed)))
    }

    fn make_room_for(&self, key: &Key) -> Result<(), EntryError> {
        if let Dimension::Number(number) = key.dimension
            && !self.registry.accepts(number)
        {
            let why =
                format!("no numbering plan has this number; for a prefix, write '{}****'", number.e164());
            return Err(EntryError::OfNone(why));
        }
        let has_room = self.guard.lock().entries.make_room(key, self.now());
        if has_room { Ok(()) } else { Err(EntryError::TooMany) }
    }

    /// Writes a manual entry, or removes it. Returns the entry that was added or removed.
    async fn change_entry(
        self: &Arc<Self>,
        key: Key,
        entry: Option<Entry>,
        by: Author,
    ) -> Result<Option<Entry>, Refusal> {
        let this = Arc::clone(self);
        // In a task of its own: a client that goes away must not leave an entry that is durable and does not hold.
        let changed = tokio::spawn(async move {
            // Keeps the order of the writes of an entry.
            let _writing = this.writing.lock().await;
            let now = this.now();
            let before = this.guard.lock().entries.get(&key, now);
            let Some(changed) = entry.or_else(|| before.map(|before| Entry { until: now, ..before })) else {
                return Ok(None);
            };
            let service = key.service.and_then(|service| this.registry.service_by_id(service));
            let action = match entry.map(|entry| entry.action) {
                _ if entry == Some(Entry::SAFE) => Action::SafeNumberAdded,
                None if before == Some(Entry::SAFE) => Action::SafeNumberRemoved,
                None => Action::GuardEntryRemoved,
                Some(EntryAction::Allow) => Action::GuardAllowed,
                Some(EntryAction::Block) => Action::GuardBlocked,
                Some(EntryAction::KnownOnly) => Action::GuardKnownOnly,
            };
            let end = |of: Entry| (of != Entry::SAFE).then(|| shown(of.until));
            let [was, is] = [before, entry].map(|of| of.and_then(end).unwrap_or_default());
            let until = if was == is { String::new() } else { audit::changed("until", &was, &is) };
            let line = AuditEntry::new(by, action, service.map(|of| of.sid), key.dimension.to_string());
            let line = AuditEntry { changes: until, ..line };
            this.store_entry(key, entry, Some(line)).await.map(|()| Some(changed))
        });
        changed.await.unwrap_or(Err(Refusal::OutcomeUnknown))
    }

    /// At most `limit` manual entries of a service or of all: those that end last first, and behind them the safe numbers.
    pub fn entries(&self, service: Option<ServiceId>, limit: usize) -> Vec<Item> {
        let mut entries: Vec<_> = self.guard.lock().entries.list(self.now()).collect();
        entries.retain(|(key, _)| service.is_none() || key.service == service);
        entries.sort_by_key(|(key, entry)| (*entry == Entry::SAFE, Reverse(entry.until), *key));
        entries.into_iter().take(limit).map(|(key, entry)| self.entry(key, entry)).collect()
    }

    /// The buckets of a service, or of all, that have less than half of their messages: the `limit` with the fewest left.
    fn low_allowances(&self, service: Option<ServiceId>, limit: usize) -> Vec<Item> {
        let (now, mut low) = (self.now(), Vec::new());
        let held = self.guard.lock().rows.buckets();
        for start in (0..held).step_by(BUCKETS_AT_ONCE) {
            let page: Vec<_> = self.guard.lock().rows.page(start, BUCKETS_AT_ONCE).collect();
            // No send waits for this: the lock is free.
            low.extend(page.into_iter().filter_map(|(key, row)| {
                let of = key.service.filter(|of| service.is_none_or(|service| service == *of))?;
                let is_place = matches!(
                    key.dimension,
                    Dimension::Prefix(_) | Dimension::Network(_) | Dimension::Country(_)
                );
                let rules = self.rules(of);
                let bucket = Bucket::new(key, Some(row), rules, now);
                let is_low = 2 * bucket.left() < bucket.capacity();
                (is_place && rules.mode != Mode::Off && is_low).then_some(bucket)
            }));
        }
        low.sort_by_cached_key(|bucket| (bucket.left(), bucket.key));
        low.truncate(limit);
        low.into_iter().map(|bucket| self.bucket(bucket)).collect()
    }

    /// Budgets, low allowances and entries of a service or of all, at most `limit` of each.
    pub fn overview(&self, service: Option<ServiceId>, limit: usize) -> Vec<Item> {
        let budgets = self.budgets.list(service, &self.guard.lock().rows, self.now());
        let budgets = budgets.into_iter().take(limit).map(|budget| {
            self.item("budget", budget.service_id, budget.name.clone(), format!("{budget} spent"))
        });
        budgets.chain(self.low_allowances(service, limit)).chain(self.entries(service, limit)).collect()
    }
}

/// The last refusal of a number in a sentence.
pub fn refusal_in_words(RefusedNumber { rule, last, until, .. }: RefusedNumber) -> String {
    let moment = |at: Timestamp| readable(&shown(at));
    let until = until.map(|until| format!(", until {}", moment(until))).unwrap_or_default();
    format!("A message was refused at {} UTC, by {}{until}.", moment(last), by(rule))
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
        for (typed, read) in [
            ("992900000123", "+992900000123"),
            ("99290000****", "+99290000****"),
            ("+99290000", "+99290000****"),
            ("992 90 000", "+99290000****"),
            ("Tajikistan", "TJ"),
            ("germany", "DE"),
            ("United Kingdom", "GB"),
        ] {
            assert_eq!(subject(typed, None).map(exact).as_deref(), Some(read), "{typed}");
        }
        let no_prefixes = ["****", "+****", "+992a****", "+0415555****", "+999999999999****"];
        // A prefix has all digits of a number but four.
        let others = ["+1****", "+1415****", "+14155558****", "+99290****"];
        let no_networks = ["192.0.2", "192.0.2.7/24", "2001:db8::/24", "2001:db8::/64"];
        for text in ["", "XX", "12"].into_iter().chain(no_prefixes).chain(others).chain(no_networks) {
            assert_eq!(subject(text, None), None, "{text}");
        }
    }
}
