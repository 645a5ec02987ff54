//! The guard: counters, blocks and manual entries, and the decision about a send.

use std::cmp::Reverse;
use std::collections::binary_heap::PeekMut;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};
use std::time::Duration;

use foldhash::fast::FixedState;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::counters::{Counter, History, Period, Table, usual};
use super::rules::{Assessment, Effect, Figures, Finding, GuardRules, Mode, Rule, allowed_unverified};
use super::signals::{Dimension, Key, Signals};
use crate::domain::{Channel, NumberType, PhoneNumber, Region, ServiceId, Timestamp};

/// Unverified messages for a thousand verified ones that are usual for a prefix or an address: few people vary more.
const NARROW_SHARE: u32 = 500;

/// The first block of a country with users lasts this part of a block, each further one within a day twice as long.
const FIRST_BLOCK_PART: u32 = 24;

/// The time after a block in which the next one is longer.
const MEMORY_OF_BLOCKS: Duration = Duration::from_secs(24 * 60 * 60);

/// Unverified and pending messages from which a number that was verified before is treated as any other.
const VERIFIED_NUMBER_OPEN: u32 = 4;

/// Expired codes that one call counts. Each send adds one; therefore the rest waits only after a long pause.
const EXPIRED_AT_ONCE: usize = 64;

/// Limits on memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Counters of numbers, prefixes and addresses, of some 150 bytes.
    pub counters: usize,
    /// Counters of countries and services, of some 500 bytes. Further countries and services have none.
    pub histories: usize,
    /// Verifications that are pending. Further ones are counted as sent only.
    pub pending: usize,
    /// Manual entries and blocks; half of them may be manual. A further block takes the place of the one that ends first.
    pub entries: usize,
    /// Manual entries of one service.
    pub entries_of_service: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            counters: 200_000,
            histories: 10_000,
            pending: 200_000,
            entries: 20_000,
            entries_of_service: 1_000,
        }
    }
}

/// What an entry does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EntryAction {
    /// No adaptive rule applies.
    Allow,
    Block,
}

/// A manual entry of the operator, or a block that a rule began. A key has at most one: no rule blocks a key that has a
/// manual entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub action: EntryAction,
    pub until: Timestamp,
    /// `None` for a manual entry.
    pub block: Option<Block>,
}

impl Entry {
    pub const fn is_manual(&self) -> bool {
        self.block.is_none()
    }

    /// The end of its effect on later blocks.
    pub(super) fn expires(&self) -> Timestamp {
        if self.is_manual() { self.until } else { self.until.plus(MEMORY_OF_BLOCKS) }
    }
}

/// There is no place for a further manual entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there are {0} manual entries of the guard already; remove some")]
pub struct TooManyEntries(pub usize);

/// What a block that a rule began has beyond a manual one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// The figures that began it.
    pub figures: Figures,
    length: Duration,
    /// Attempts since the last extension, and how many of them extend it.
    refused: u32,
    extends_at: u32,
}

/// The state of a service, or of all services, that its limits depend on.
#[derive(Debug, Clone, Copy, Default)]
struct Scope {
    /// Unverified messages for a thousand verified ones.
    share: u32,
    is_learned: bool,
}

/// Messages of a number that are neither verified nor expired. They are all counted for the address of the first.
#[derive(Debug, Clone, Copy)]
struct Pending {
    messages: u32,
    expires: Timestamp,
    first: Signals,
}

/// The state of the guard, of all services.
#[derive(Debug, Clone)]
pub struct Guard {
    pub(super) bounds: Bounds,
    pub(super) table: Table,
    pub(super) histories: IndexMap<Key, History, FixedState>,
    pending: HashMap<(ServiceId, PhoneNumber), Pending, FixedState>,
    due: BinaryHeap<Reverse<(Timestamp, ServiceId, PhoneNumber)>>,
    pub(super) entries: BTreeMap<Key, Entry>,
    /// Keys whose entries are to be stored.
    pub(super) changed_entries: Vec<Key>,
}

impl Guard {
    /// `seed` is random and secret: it decides which keys collide in the tables.
    pub fn new(bounds: Bounds, seed: u64) -> Self {
        Self {
            bounds,
            table: Table::new(bounds.counters, seed),
            histories: IndexMap::with_hasher(FixedState::with_seed(seed)),
            pending: HashMap::with_hasher(FixedState::with_seed(seed)),
            due: BinaryHeap::new(),
            entries: BTreeMap::new(),
            changed_entries: Vec::new(),
        }
    }

    /// Decides about a send, and counts it if it may pass. Its code expires at `expires`.
    pub fn assess(
        &mut self,
        signals: &Signals,
        rules: &GuardRules,
        expires: Timestamp,
        now: Timestamp,
    ) -> Assessment {
        self.expire_codes(now);
        let mut findings = Vec::new();
        let entry = self.entry_for(signals, now);
        if let Some((key, Entry { action: EntryAction::Block, until, .. })) = entry {
            let finding = Finding::new(Rule::Entry, key, Effect::Refused);
            findings.push(Finding { until: Some(until), ..finding });
        } else {
            findings.extend(fixed_findings(signals, rules));
            findings.extend(self.number_finding(signals, rules, now));
            let is_trusted = signals.is_trusted || entry.is_some();
            let is_refused = findings.iter().any(|finding| finding.effect == Effect::Refused);
            if !is_trusted && !is_refused {
                findings.extend(self.adaptive_findings(signals, rules, now));
            }
        }
        let reason = findings.iter().find(|finding| finding.effect == Effect::Refused);
        let verdict = reason.map_or(Ok(()), |finding| Err(finding.rule));
        if verdict.is_ok() {
            self.count(signals, expires, now);
        }
        Assessment { verdict, findings }
    }

    /// A send that was allowed led to no message. One that is not pending stays counted.
    pub fn withdraw(&mut self, service: ServiceId, number: PhoneNumber, now: Timestamp) {
        let key = (service, number);
        let Some(pending) = self.pending.get_mut(&key) else { return };
        let first = pending.first;
        pending.messages -= 1;
        if pending.messages == 0 {
            self.pending.remove(&key);
        }
        self.each_counter(&first, now, |counter, _| counter.withdraw(now));
    }

    /// The number was verified. Its pending messages are verified, whichever of them led to it.
    pub fn verified(&mut self, service: ServiceId, number: PhoneNumber, now: Timestamp) {
        if let Some(Pending { messages, first, .. }) = self.pending.remove(&(service, number)) {
            self.each_counter(&first, now, |counter, _| counter.verify(messages, now));
        } else {
            self.table.entry(Key::of_number(service, number), now).verify(0, now);
        }
    }

    /// Forgets a number of a service, apart from its part in wider counters; of all services, its manual entry.
    pub fn forget(&mut self, service: Option<ServiceId>, number: PhoneNumber, now: Timestamp) {
        let key = Key::new(service, Dimension::Number(number));
        if let Some(service) = service
            && let Some(Pending { messages, first, .. }) = self.pending.remove(&(service, number))
        {
            self.each_counter(&first, now, |counter, is_blocked| counter.expire(messages, is_blocked, now));
        }
        self.table.remove(&key);
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.until = now;
            self.changed_entries.push(key);
        }
    }

    /// Adds or replaces a manual entry, also in place of a block; with no action removes it. Returns the entry that was
    /// added or removed.
    ///
    /// # Errors
    /// [`TooManyEntries`].
    pub fn set_entry(
        &mut self,
        key: Key,
        action: Option<EntryAction>,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<Option<Entry>, TooManyEntries> {
        self.entries.retain(|_, old| now < old.expires());
        let known = self.entry(&key, now).filter(Entry::is_manual);
        let entry = match (action, known) {
            (Some(action), _) => Entry { action, until, block: None },
            (None, Some(known)) => Entry { until: now, ..known },
            (None, None) => return Ok(None),
        };
        let manual = || self.entries.iter().filter(|(_, entry)| entry.is_manual());
        let of_service = || manual().filter(|(other, _)| other.service == key.service);
        let (most, most_of_service) = (self.bounds.entries / 2, self.bounds.entries_of_service);
        if known.is_none() && manual().count() >= most {
            return Err(TooManyEntries(most));
        }
        if known.is_none() && key.service.is_some() && of_service().count() >= most_of_service {
            return Err(TooManyEntries(most_of_service));
        }
        self.put_entry(key, entry);
        self.changed_entries.push(key);
        Ok(Some(entry))
    }

    /// The manual entry or the block of a key.
    pub fn entry(&self, key: &Key, now: Timestamp) -> Option<Entry> {
        self.entries.get(key).copied().filter(|entry| now < entry.until)
    }

    /// All manual entries and blocks.
    pub fn entries(&self, now: Timestamp) -> impl Iterator<Item = (Key, Entry)> {
        self.entries.iter().map(|(key, entry)| (*key, *entry)).filter(move |(_, entry)| now < entry.until)
    }

    /// The figures of a key and their limits: per hour and day, of a number per day.
    pub fn figures(&self, key: Key, rules: &GuardRules, now: Timestamp) -> Vec<Figures> {
        if let Dimension::Number(_) = key.dimension {
            return self.number_figures(&key, rules, now).into_iter().collect();
        }
        let scope = self.scope(key.service, rules, now);
        self.compare(key, rules, scope, now).into_iter().flatten().collect()
    }

    /// When the adaptive rules of a service begin to refuse messages, if its first message comes by now; `None` once they do.
    pub fn learns_until(&self, service: ServiceId, rules: &GuardRules, now: Timestamp) -> Option<Timestamp> {
        let (total, today) = (Key::new(Some(service), Dimension::Total), Period::Day.index(now));
        let history = self.histories.get(&total);
        let first = history.map_or_else(
            || today.saturating_add(rules.learning_days),
            |history| history.learned_from(rules.learning_days),
        );
        (today < first).then(|| Period::Day.end(first - 1))
    }

    /// The most specific manual entry, of the service before that of all services.
    fn entry_for(&self, signals: &Signals, now: Timestamp) -> Option<(Key, Entry)> {
        if self.entries.is_empty() {
            return None;
        }
        let dimensions = [
            Some(Dimension::Number(signals.number)),
            Some(Dimension::prefix_of(signals.number)),
            signals.address.map(Dimension::Address),
            Some(Dimension::Country(signals.country)),
        ];
        let scopes = [Some(signals.service), None];
        let mut keys =
            dimensions.into_iter().flatten().flat_map(|of| scopes.map(|scope| Key::new(scope, of)));
        keys.find_map(|key| self.entry(&key, now).filter(Entry::is_manual).map(|entry| (key, entry)))
    }

    fn number_finding(&self, signals: &Signals, rules: &GuardRules, now: Timestamp) -> Option<Finding> {
        let key = Key::of_number(signals.service, signals.number);
        let figures = self.number_figures(&key, rules, now)?;
        let finding = Finding::new(Rule::Number, key, effect(rules.number));
        (rules.number != Mode::Off && figures.tally.sends >= figures.limit)
            .then_some(Finding { figures: Some(figures), ..finding })
    }

    fn number_figures(&self, key: &Key, rules: &GuardRules, now: Timestamp) -> Option<Figures> {
        let counter = self.table.get(key)?;
        let (tally, pending, limit) = (counter.tally(Period::Day, now), counter.pending, rules.per_number);
        Some(Figures { period: Period::Day, tally, pending, usual: 0, limit })
    }

    /// Compares the counts of the service with its limits. Those of all services decide nothing: one service must not
    /// block another.
    fn adaptive_findings(&mut self, signals: &Signals, rules: &GuardRules, now: Timestamp) -> Vec<Finding> {
        let mut findings = Vec::new();
        let passes = self.passes_blocks(signals, now);
        let service = Some(signals.service);
        let scope = self.scope(service, rules, now);
        let address = signals.address.map(Dimension::Address);
        for (rule, mode, dimension) in [
            (Rule::Prefix, rules.prefix, Some(Dimension::prefix_of(signals.number))),
            (Rule::Country, rules.country, Some(Dimension::Country(signals.country))),
            (Rule::Address, rules.address, address),
        ] {
            let Some(dimension) = dimension.filter(|_| mode != Mode::Off) else { continue };
            let key = Key::new(service, dimension);
            let effect = match mode {
                Mode::Block if !scope.is_learned => Effect::Learning,
                Mode::Block if passes => Effect::VerifiedNumber,
                mode => effect(mode),
            };
            if let Some(Entry { until, block: Some(Block { figures, .. }), .. }) = self.entry(&key, now) {
                let until = if effect == Effect::Refused { self.refuse_again(&key, now) } else { until };
                let (figures, until) = (Some(figures), Some(until));
                findings.push(Finding { rule, key, effect, figures, until, begins_block: false });
                continue;
            }
            let Some(figures) = self.exceeded(key, rules, scope, now) else { continue };
            let until =
                (effect == Effect::Refused).then(|| self.begin_block(key, signals, figures, rules, now));
            let begins_block = until.is_some();
            findings.push(Finding { rule, key, effect, figures: Some(figures), until, begins_block });
        }
        findings
    }

    /// Returns `true` for a number that was verified before and has few messages open.
    fn passes_blocks(&self, signals: &Signals, now: Timestamp) -> bool {
        self.table.get(&Key::of_number(signals.service, signals.number)).is_some_and(|counter| {
            let open = counter.tally(Period::Day, now).unverified.saturating_add(counter.pending);
            counter.is_verified(Period::Day.index(now)) && open < VERIFIED_NUMBER_OPEN
        })
    }

    fn scope(&self, service: Option<ServiceId>, rules: &GuardRules, now: Timestamp) -> Scope {
        self.histories.get(&Key::new(service, Dimension::Total)).map_or_else(Scope::default, |total| Scope {
            share: total.share(),
            is_learned: total.is_learned(rules.learning_days, now),
        })
    }

    /// The figures of an hour or a day that are above their limit.
    fn exceeded(&self, key: Key, rules: &GuardRules, scope: Scope, now: Timestamp) -> Option<Figures> {
        self.compare(key, rules, scope, now).into_iter().flatten().find(Figures::is_exceeded)
    }

    /// The figures of an hour and a day.
    fn compare(&self, key: Key, rules: &GuardRules, scope: Scope, now: Timestamp) -> [Option<Figures>; 2] {
        let history = self.histories.get(&key);
        let counter = history.map(|history| &history.counter).or_else(|| self.table.get(&key));
        let Some(counter) = counter else { return [None; 2] };
        // With an attack under way, a country without users has no floor.
        let total = Key { dimension: Dimension::Total, ..key };
        let has_no_users =
            matches!(key.dimension, Dimension::Country(_)) && history.is_some_and(History::has_no_users);
        let has_no_floor =
            has_no_users && rules.total == Mode::Block && self.exceeded(total, rules, scope, now).is_some();
        Period::ALL.map(|period| {
            let (tally, pending) = (counter.tally(period, now), counter.pending);
            let usual = match history {
                Some(history) => history.usual(period, scope.share, tally),
                None => usual(counter.tally(Period::Day, now).verified, scope.share.max(NARROW_SHARE)),
            };
            let limit = allowed_unverified(key.dimension, period, usual)?;
            let (usual, limit) = if has_no_floor { (0, 0) } else { (usual, limit) };
            Some(Figures { period, tally, pending, usual, limit })
        })
    }

    fn begin_block(
        &mut self,
        key: Key,
        signals: &Signals,
        figures: Figures,
        rules: &GuardRules,
        now: Timestamp,
    ) -> Timestamp {
        let earlier =
            self.entries.get(&key).filter(|entry| now < entry.expires()).and_then(|entry| entry.block);
        // The last hour or day as far as it led to the block: it would lead to others, and count as usual later.
        let forgiven = self.counter_mut(&key).map_or([0, 0], Counter::forgive);
        let first = rules.block_for / FIRST_BLOCK_PART;
        let (length, honest) = match (self.histories.get(&key), self.table.get(&key)) {
            (Some(history), _) if !history.has_no_users() => {
                let length = earlier.map_or(first, |block| (block.length * 2).min(rules.block_for));
                (length, history.best(Period::Day, history.counter.tally(Period::Day, now)))
            }
            (_, Some(counter)) => (rules.block_for, counter.tally(Period::Day, now).verified),
            _ => (rules.block_for, 0),
        };
        // Wider counters contain the same messages.
        for dimension in [Dimension::Country(signals.country), Dimension::Total] {
            let wider = Key::new(key.service, dimension);
            if wider != key
                && let Some(counter) = self.counter_mut(&wider)
            {
                counter.deduct(forgiven);
            }
        }
        let until = now.plus(length);
        // As many attempts as honest users make in that time do not extend the block.
        let days_in_64 = u32::try_from(length.as_secs() * 64 / 86_400).unwrap_or(u32::MAX);
        let extends_at =
            (figures.limit / 2).saturating_add(honest.saturating_mul(days_in_64) / 32).saturating_add(1);
        let block = Some(Block { figures, length, refused: 0, extends_at });
        self.put_entry(key, Entry { action: EntryAction::Block, until, block });
        self.changed_entries.push(key);
        until
    }

    pub(super) fn put_entry(&mut self, key: Key, entry: Entry) {
        let blocks = self.entries.iter().filter(|(_, entry)| !entry.is_manual());
        if self.entries.len() >= self.bounds.entries
            && !self.entries.contains_key(&key)
            && let Some(first) = blocks.min_by_key(|(_, entry)| entry.until).map(|(key, _)| *key)
        {
            self.entries.remove(&first);
        }
        self.entries.insert(key, entry);
    }

    /// Counts a refused attempt, and extends the block if there are many. Returns the block's end.
    fn refuse_again(&mut self, key: &Key, now: Timestamp) -> Timestamp {
        let Some(Entry { until, block: Some(block), .. }) = self.entries.get_mut(key) else { return now };
        block.refused += 1;
        if block.refused >= block.extends_at {
            block.refused = 0;
            *until = now.plus(block.length);
            self.changed_entries.push(*key);
        }
        *until
    }

    fn count(&mut self, signals: &Signals, expires: Timestamp, now: Timestamp) {
        let (mut first, key) = (*signals, (signals.service, signals.number));
        let has_room = self.due.len() < self.bounds.pending;
        if has_room {
            let pending = self.pending.entry(key).or_insert(Pending { messages: 0, expires, first });
            first = pending.first;
            pending.messages += 1;
            pending.expires = pending.expires.max(expires);
            self.due.push(Reverse((pending.expires, key.0, key.1)));
        }
        self.each_counter(&first, now, |counter, _| counter.send(has_room, now));
    }

    /// Counts the messages whose codes have expired.
    fn expire_codes(&mut self, now: Timestamp) {
        for _ in 0..EXPIRED_AT_ONCE {
            let Some(next) = self.due.peek_mut().filter(|next| next.0.0 <= now) else { return };
            let Reverse((due, service, number)) = PeekMut::pop(next);
            // Verified meanwhile, or followed by another message.
            if self.pending.get(&(service, number)).is_none_or(|pending| pending.expires > due) {
                continue;
            }
            let Some(Pending { messages, first, .. }) = self.pending.remove(&(service, number)) else {
                continue;
            };
            self.each_counter(&first, due, |counter, is_blocked| counter.expire(messages, is_blocked, due));
        }
    }

    /// Changes every counter that a send touches. `change` gets whether one of the keys is blocked.
    fn each_counter(&mut self, signals: &Signals, now: Timestamp, change: impl Fn(&mut Counter, bool)) {
        let Signals { service, number, country, address, .. } = *signals;
        let Self { table, histories, entries, bounds, .. } = self;
        let has_block =
            |key: &Key| entries.get(key).is_some_and(|entry| !entry.is_manual() && now < entry.until);
        change(table.entry(Key::of_number(service, number), now), false);
        let narrow = [Some(Dimension::prefix_of(number)), address.map(Dimension::Address)];
        let narrow = narrow.into_iter().flatten();
        let broad = [Dimension::Country(country), Dimension::Total];
        let is_blocked = !entries.is_empty()
            && narrow.clone().chain(broad).any(|dimension| has_block(&Key::new(Some(service), dimension)));
        for scope in [Some(service), None] {
            for key in broad.map(|dimension| Key::new(scope, dimension)) {
                if histories.len() >= bounds.histories && !histories.contains_key(&key) {
                    continue;
                }
                let history = histories.entry(key).or_insert_with(|| History::new(now));
                history.enter(now);
                history.is_changed = true;
                change(&mut history.counter, is_blocked);
            }
            for dimension in narrow.clone() {
                change(table.entry(Key::new(scope, dimension), now), is_blocked);
            }
        }
    }

    fn counter_mut(&mut self, key: &Key) -> Option<&mut Counter> {
        match self.table.get_mut(key) {
            Some(counter) => Some(counter),
            None => self.histories.get_mut(key).map(|history| {
                history.is_changed = true;
                &mut history.counter
            }),
        }
    }
}

/// The lists and types that a send breaks. A trusted one may go to every type.
fn fixed_findings(signals: &Signals, rules: &GuardRules) -> impl Iterator<Item = Finding> {
    let Signals { service, number, country, number_type, channel, is_trusted, .. } = *signals;
    rules.fixed(country, number_type, channel).filter_map(move |(rule, effect)| {
        let dimension = match rule {
            Rule::CountryList => Dimension::Country(country),
            _ if is_trusted => return None,
            _ => Dimension::Number(number),
        };
        Some(Finding::new(rule, Key::new(Some(service), dimension), effect))
    })
}

const fn effect(mode: Mode) -> Effect {
    match mode {
        Mode::Block => Effect::Refused,
        Mode::Record | Mode::Off => Effect::Recorded,
    }
}

impl GuardRules {
    /// The lists and types that a message breaks, which need no counters.
    pub fn fixed(
        &self,
        country: Option<Region>,
        number_type: NumberType,
        channel: Channel,
    ) -> impl Iterator<Item = (Rule, Effect)> {
        let is_in = |list: &BTreeSet<Region>| country.is_some_and(|country| list.contains(&country));
        let is_outside = is_in(&self.blocked_countries)
            || self.allowed_countries.as_ref().is_some_and(|allowed| !is_in(allowed));
        let is_text_to_landline = number_type == NumberType::Landline && channel != Channel::Call;
        let rules = [
            (Rule::CountryList, Mode::Block, is_outside),
            (Rule::NumberType, self.number_types, number_type == NumberType::Special),
            (Rule::Landline, self.landlines, is_text_to_landline),
        ];
        let broken = rules.into_iter().filter(|(_, mode, is_broken)| *is_broken && *mode != Mode::Off);
        broken.map(|(rule, mode, _)| (rule, effect(mode)))
    }
}
