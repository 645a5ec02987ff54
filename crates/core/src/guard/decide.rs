//! The guard: allowances, numbers and manual entries, and the decision about a send.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::allowance::{Allowance, Limit, NO_USERS, NumberState, Refusals, VerifiedNumber, seconds};
use super::budget::Period;
use super::rules::{Assessment, Effect, Figures, Finding, GuardRules, Mode, Refused, Rule};
use super::signals::{ClientNet, Dimension, Key, Signals};
use super::table::{Row, Table};
use crate::domain::{PhoneNumber, Region, ServiceId, Timestamp};

/// Verified numbers a day from which a country is one with users.
const PROVEN: f64 = 10.0;

/// Messages of a prefix that are kept for addresses and networks where others have verified.
const KEPT_OF_PREFIX: f64 = 3.0;

/// The part of a country's usual messages, and of the allowance of countries without users, that is kept for places
/// where others have verified.
const KEPT_PART: f64 = 0.25;

/// Verified numbers a day from which a prefix, address or network may use what is kept of a country.
const KNOWN_PLACE: f64 = 2.0;

/// Messages, for each of tolerance, that the verification of a new number pays back beside those that its attempt took.
const BONUS: f64 = 2.0;

/// The same for the allowance of countries without users. Numbers of an attacker's own in many countries pay it, too.
const BONUS_OF_UNPROVEN: f64 = 0.5;

/// Limits on memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Allowances, of some 60 bytes.
    pub allowances: usize,
    /// Numbers with messages in the last two days, of some 100 bytes.
    pub numbers: usize,
    /// Manual entries.
    pub entries: usize,
    /// Manual entries of one service.
    pub entries_of_service: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { allowances: 500_000, numbers: 200_000, entries: 10_000, entries_of_service: 1_000 }
    }
}

/// What a manual entry does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EntryAction {
    /// Messages need no allowance.
    Allow,
    Block,
    /// So many messages to a country are announced. It is one with users meanwhile.
    Expect(u32),
}

/// A manual entry of the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub action: EntryAction,
    pub until: Timestamp,
}

/// There is no place for a further manual entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there are {0} manual entries of the guard already; remove some")]
pub struct TooManyEntries(pub usize);

/// The name of a record of the guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RowName(pub Key, RowKind);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
enum RowKind {
    Allowance,
    Number,
    Entry,
}

/// A record of the guard, whole: the last one written under a name wins.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub enum GuardRow {
    Allowance(Key, Allowance),
    Number(Key, NumberState),
    Entry(Key, Entry),
}

impl GuardRow {
    pub fn expires(&self) -> Timestamp {
        match self {
            Self::Allowance(_, allowance) => allowance.expires(),
            Self::Number(_, number) => number.expires(),
            Self::Entry(_, entry) => entry.until,
        }
    }
}

impl Row for Allowance {
    fn expires(&self) -> Timestamp {
        self.expires()
    }

    fn worth(&self) -> (f64, u32) {
        self.worth()
    }
}

impl Row for NumberState {
    fn expires(&self) -> Timestamp {
        self.expires()
    }

    fn worth(&self) -> (f64, u32) {
        self.worth()
    }
}

/// The state of the guard, of all services.
#[derive(Debug, Clone)]
pub struct Guard {
    bounds: Bounds,
    pub(super) allowances: Table<Dimension, Allowance>,
    numbers: Table<PhoneNumber, NumberState>,
    entries: BTreeMap<Key, Entry>,
    changed_entries: Vec<Key>,
}

/// The allowance of a place, as it is now.
pub(super) struct Place {
    dimension: Dimension,
    rule: Rule,
    pub(super) limit: Limit,
    pub(super) allowance: Allowance,
    /// The last part of it, which this message may not use.
    kept: f64,
}

/// Prefix, address, network, countries without users together, and country.
type NeededAllowances = [Option<Place>; 5];

impl Guard {
    /// `seed` is random and secret: it decides which keys collide in the tables.
    pub fn new(bounds: Bounds, seed: u64) -> Self {
        Self {
            bounds,
            allowances: Table::new(bounds.allowances, seed),
            numbers: Table::new(bounds.numbers, seed),
            entries: BTreeMap::new(),
            changed_entries: Vec::new(),
        }
    }

    /// Decides about a send, and takes its allowances if it may pass. `verified` is the record of a number that was
    /// verified in the last 30 days.
    pub fn assess(
        &mut self,
        signals: &Signals,
        rules: &GuardRules,
        verified: Option<VerifiedNumber>,
        now: Timestamp,
    ) -> Assessment {
        let mut findings: Vec<Finding> = Vec::new();
        let entry = self.entry_for(signals, now);
        if let Some((key, Entry { action: EntryAction::Block, until })) = entry {
            let finding = Finding::new(Rule::Entry, key, Effect::Refused);
            findings.push(Finding { until: Some(until), ..finding });
        } else {
            findings.extend(fixed_findings(signals, rules));
        }
        let is_refused = findings.iter().any(|finding| finding.effect == Effect::Refused);
        let is_exempt = signals.is_trusted || entry.is_some() || rules.mode == Mode::Off;
        if !is_refused && !is_exempt {
            self.limited(signals, rules, verified.is_some(), now, &mut findings);
        }
        let refused = || findings.iter().filter(|finding| finding.effect == Effect::Refused);
        let until = refused().map(|finding| finding.until.ok_or(())).collect::<Result<Vec<_>, ()>>();
        let until = until.ok().and_then(|times| times.into_iter().max());
        let verdict = refused().next().map_or(Ok(()), |finding| Err(Refused { rule: finding.rule, until }));
        if let Err(Refused { rule, .. }) = verdict {
            let mut number = self.number(signals.service, signals.number, rules, now);
            number.refuse(rule, now);
            self.numbers.set(signals.service, signals.number, number, false);
        }
        Assessment { verdict, findings }
    }

    /// A send that passed led to no message.
    pub fn give_back(&mut self, service: ServiceId, number: PhoneNumber, rules: &GuardRules, now: Timestamp) {
        if self.numbers.get(service, &number).is_none() {
            return;
        }
        let mut state = self.number(service, number, rules, now);
        let takes = state.give_back(f64::from(rules.sends_per_number));
        self.numbers.set(service, number, state, true);
        if takes {
            let places = self.places(service, number, state.address, state.country, rules, now);
            for Place { dimension, limit, mut allowance, .. } in places.into_iter().flatten() {
                allowance.give_back(&limit);
                self.allowances.set(service, dimension, allowance, true);
            }
        }
    }

    /// The number was verified. Pays back what its attempt took, and more for a number that was not known. Returns its
    /// record, which the caller stores.
    pub fn verified(
        &mut self,
        service: ServiceId,
        number: PhoneNumber,
        rules: &GuardRules,
        earlier: Option<VerifiedNumber>,
        now: Timestamp,
    ) -> VerifiedNumber {
        let (verified, is_counted) = VerifiedNumber::after(earlier, now);
        if rules.mode == Mode::Off {
            return verified;
        }
        let known = self.numbers.get(service, &number).is_some();
        let mut state = self.number(service, number, rules, now);
        if !known {
            state.country = number.region();
        }
        let took = f64::from(state.verify(f64::from(rules.sends_per_number)));
        // A known number of the attacker's own would pay for messages to others, or to itself, for ever.
        let is_new = earlier.is_none();
        let tolerance = f64::from(rules.tolerance);
        let places = self.places(service, number, state.address, state.country, rules, now);
        for Place { dimension, limit, mut allowance, .. } in places.into_iter().flatten() {
            let bonus = if dimension == Dimension::Unproven { BONUS_OF_UNPROVEN } else { BONUS };
            let paid = if is_new { took + bonus * tolerance } else { 0.0 };
            allowance.verified(&limit, paid, is_counted);
            self.allowances.set(service, dimension, allowance, true);
        }
        if known {
            self.numbers.set(service, number, state, true);
        }
        verified
    }

    /// Ends the refusals of one number.
    pub fn unlock(&mut self, service: ServiceId, number: PhoneNumber) -> bool {
        self.numbers.remove(service, &number)
    }

    /// Forgets a number of a service, apart from its part in allowances; of all services, its manual entry.
    pub fn forget(&mut self, service: Option<ServiceId>, number: PhoneNumber, now: Timestamp) -> bool {
        let is_known = service.is_some_and(|service| self.unlock(service, number));
        let key = Key::new(service, Dimension::Number(number));
        let entry = self.entries.get_mut(&key).filter(|entry| now < entry.until);
        let is_known = is_known || entry.is_some();
        if let Some(entry) = entry {
            entry.until = now;
            self.changed_entries.push(key);
        }
        is_known
    }

    /// Adds or replaces a manual entry; with no action removes it. Returns the entry that was added or removed.
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
        self.entries.retain(|_, old| now < old.until);
        let known = self.entry(&key, now);
        let entry = match (action, known) {
            (Some(action), _) => Entry { action, until },
            (None, Some(known)) => Entry { until: now, ..known },
            (None, None) => return Ok(None),
        };
        let of_service = || self.entries.keys().filter(|other| other.service == key.service).count();
        let (most, most_of_service) = (self.bounds.entries, self.bounds.entries_of_service);
        if known.is_none() && self.entries.len() >= most {
            return Err(TooManyEntries(most));
        }
        if known.is_none() && key.service.is_some() && of_service() >= most_of_service {
            return Err(TooManyEntries(most_of_service));
        }
        self.entries.insert(key, entry);
        self.changed_entries.push(key);
        if let Some(EntryAction::Expect(messages)) = action {
            let services = key.service.map_or_else(|| self.services().collect(), |service| vec![service]);
            for service in services {
                if let Some(mut allowance) = self.allowances.get(service, &key.dimension).copied() {
                    allowance.raise(messages);
                    self.allowances.set(service, key.dimension, allowance, true);
                }
            }
        }
        if let (Some(service), Dimension::Number(number), Some(EntryAction::Allow)) =
            (key.service, key.dimension, action)
        {
            self.unlock(service, number);
        }
        Ok(Some(entry))
    }

    /// The manual entry of a key.
    pub fn entry(&self, key: &Key, now: Timestamp) -> Option<Entry> {
        self.entries.get(key).copied().filter(|entry| now < entry.until)
    }

    /// All manual entries.
    pub fn entries(&self, now: Timestamp) -> impl Iterator<Item = (Key, Entry)> {
        self.entries.iter().map(|(key, entry)| (*key, *entry)).filter(move |(_, entry)| now < entry.until)
    }

    /// The figures of an allowance, and when a message passes it from a place without users; `None` for now.
    pub fn figures(
        &self,
        service: ServiceId,
        dimension: Dimension,
        rules: &GuardRules,
        now: Timestamp,
    ) -> (Figures, Option<Timestamp>) {
        if let Dimension::Number(number) = dimension {
            let number = self.number(service, number, rules, now);
            let most = rules.sends_per_number;
            let figures = Figures { level: whole(number.level()), most, usual: 0, kept: 0 };
            return (figures, number.passes(f64::from(most)));
        }
        let mut place = self.place(service, dimension, Rule::Country, rules, now);
        place.keep();
        (place.figures(), place.allowance.passes(&place.limit, place.kept))
    }

    /// The places whose allowances a message to or from `dimension` needs, itself first. Of a number those of its last
    /// message's address, too. `country` is that of its numbers.
    pub fn containing(
        &self,
        service: ServiceId,
        dimension: Dimension,
        country: Option<Region>,
        rules: &GuardRules,
        now: Timestamp,
    ) -> Vec<Dimension> {
        let mut places = vec![dimension];
        let mut address = None;
        match dimension {
            Dimension::Number(number) => {
                places.push(Dimension::prefix_of(number));
                address = self.numbers.get(service, &number).and_then(|state| state.address);
                places.extend(address.map(Dimension::Address));
            }
            Dimension::Address(of) => address = Some(of),
            Dimension::Prefix(_)
            | Dimension::Network(_)
            | Dimension::Country(_)
            | Dimension::Unproven
            | Dimension::Total => {}
        }
        places.extend(address.map(|address| Dimension::Network(address.network())));
        if matches!(dimension, Dimension::Number(_) | Dimension::Prefix(_) | Dimension::Country(_)) {
            let of_country = Dimension::Country(country);
            places.push(of_country);
            if !self.place(service, of_country, Rule::Country, rules, now).is_proven() {
                places.push(Dimension::Unproven);
            }
        }
        places.dedup();
        places
    }

    /// The refusals of a number on the day of the last one.
    pub fn refusals(&self, service: ServiceId, number: PhoneNumber) -> Option<Refusals> {
        self.numbers.get(service, &number)?.refused
    }

    /// The places of a service whose allowance has less than half of its messages.
    pub fn low(&self, service: ServiceId, rules: &GuardRules, now: Timestamp) -> Vec<Dimension> {
        let is_low = |dimension: &Dimension| {
            let Place { limit, allowance, .. } = self.place(service, *dimension, Rule::Country, rules, now);
            allowance.level() * 2.0 < allowance.most(&limit)
        };
        self.allowances.of(service).map(|(dimension, _)| *dimension).filter(is_low).collect()
    }

    /// The services that have allowances.
    pub fn services(&self) -> impl Iterator<Item = ServiceId> {
        self.allowances.services()
    }

    /// Allowances and numbers that were dropped because a table was full.
    pub const fn dropped(&self) -> u64 {
        self.allowances.dropped + self.numbers.dropped
    }

    /// Allowances and numbers in memory.
    pub const fn len(&self) -> [usize; 2] {
        [self.allowances.len(), self.numbers.len()]
    }

    /// Frees rows that say nothing any more: `looks` of each service and table are looked at.
    pub fn sweep(&mut self, looks: usize, now: Timestamp) {
        self.allowances.sweep(looks, now);
        self.numbers.sweep(looks, now);
    }

    /// At most `most` changed records, whole; `None` removes one. The caller stores them in the order of the answers.
    pub fn take_changed(&mut self, most: usize) -> Vec<(RowName, Option<GuardRow>)> {
        let mut rows = Vec::new();
        while rows.len() < most
            && let Some(key) = self.changed_entries.pop()
        {
            let row = self.entries.get(&key).map(|entry| GuardRow::Entry(key, *entry));
            rows.push((RowName(key, RowKind::Entry), row));
        }
        for service in self.allowances.changed_services() {
            while rows.len() < most
                && let Some((dimension, allowance)) = self.allowances.take_changed(service)
            {
                let key = Key::new(Some(service), dimension);
                let row = allowance.map(|allowance| GuardRow::Allowance(key, allowance));
                rows.push((RowName(key, RowKind::Allowance), row));
            }
        }
        for service in self.numbers.changed_services() {
            while rows.len() < most
                && let Some((number, state)) = self.numbers.take_changed(service)
            {
                let key = Key::new(Some(service), Dimension::Number(number));
                rows.push((RowName(key, RowKind::Number), state.map(|state| GuardRow::Number(key, state))));
            }
        }
        rows
    }

    /// Takes a stored record, before the first send.
    pub fn restore(&mut self, row: GuardRow) {
        match row {
            GuardRow::Allowance(Key { service: Some(service), dimension }, allowance) => {
                self.allowances.set(service, dimension, allowance, false);
            }
            GuardRow::Number(Key { service: Some(service), dimension: Dimension::Number(number) }, state) => {
                self.numbers.set(service, number, state, false);
            }
            GuardRow::Entry(key, entry) => drop(self.entries.insert(key, entry)),
            // Every allowance and number has a service.
            GuardRow::Allowance(..) | GuardRow::Number(..) => {}
        }
    }

    /// The most specific manual entry that allows or blocks, of the service before that of all services.
    fn entry_for(&self, signals: &Signals, now: Timestamp) -> Option<(Key, Entry)> {
        if self.entries.is_empty() {
            return None;
        }
        let dimensions = [
            Some(Dimension::Number(signals.number)),
            Some(Dimension::prefix_of(signals.number)),
            signals.address.map(Dimension::Address),
            signals.address.map(|address| Dimension::Network(address.network())),
            Some(Dimension::Country(signals.country)),
        ];
        let scopes = [Some(signals.service), None];
        let mut keys =
            dimensions.into_iter().flatten().flat_map(|of| scopes.map(|scope| Key::new(scope, of)));
        keys.find_map(|key| self.entry(&key, now).filter(decides).map(|entry| (key, entry)))
    }

    /// Messages that are announced for a country.
    fn expected(&self, service: ServiceId, dimension: Dimension, now: Timestamp) -> u32 {
        if self.entries.is_empty() || !matches!(dimension, Dimension::Country(_)) {
            return 0;
        }
        let entry = |scope| self.entry(&Key::new(scope, dimension), now);
        let entries = [Some(service), None].into_iter().filter_map(entry);
        let expected = entries.map(|entry| match entry.action {
            EntryAction::Expect(messages) => messages,
            EntryAction::Allow | EntryAction::Block => 0,
        });
        expected.max().unwrap_or(0)
    }

    /// The limits of a number and of its places. Takes the allowances if the message passes.
    fn limited(
        &mut self,
        signals: &Signals,
        rules: &GuardRules,
        is_known: bool,
        now: Timestamp,
        findings: &mut Vec<Finding>,
    ) {
        let (service, effect) = (signals.service, Effect::of(rules.mode));
        let mut number = self.number(service, signals.number, rules, now);
        if let Some(until) = number.passes(f64::from(rules.sends_per_number)) {
            let key = Key::new(Some(service), Dimension::Number(signals.number));
            let figures = Figures { level: 0, most: rules.sends_per_number, usual: 0, kept: 0 };
            let finding = Finding::new(Rule::Number, key, effect);
            findings.push(Finding { figures: Some(figures), until: Some(until), ..finding });
        }
        let is_free = is_known && number.needs_no_allowance();
        let needed = if is_free { NeededAllowances::default() } else { self.needed(signals, rules, now) };
        // It needs none again from the next day on.
        let free_at = is_known.then(|| Period::Day.end(Period::Day.index(now)));
        for place in needed.iter().flatten() {
            if let Some(until) = place.allowance.passes(&place.limit, place.kept) {
                let finding = Finding::new(place.rule, Key::new(Some(service), place.dimension), effect);
                let until = free_at.map_or(until, |free_at| until.min(free_at));
                findings.push(Finding { figures: Some(place.figures()), until: Some(until), ..finding });
            }
        }
        if rules.mode == Mode::Block && !findings.is_empty() {
            return;
        }
        number.send(signals, !is_free);
        self.numbers.set(service, signals.number, number, true);
        for Place { dimension, mut allowance, .. } in needed.into_iter().flatten() {
            allowance.take();
            self.allowances.set(service, dimension, allowance, true);
        }
    }

    /// The allowances that a message needs, with what it may not use of them.
    fn needed(&self, signals: &Signals, rules: &GuardRules, now: Timestamp) -> NeededAllowances {
        let Signals { service, number, country, address, .. } = *signals;
        let mut places = self.places(service, number, address, country, rules, now);
        let [prefix, address, network, unproven, country] = &mut places;
        let usual = |place: &Option<Place>| place.as_ref().map_or(0.0, |place| place.allowance.usual());
        let around = usual(address).max(usual(network));
        // Without an address no place can be told from others.
        if address.is_some() && around < NO_USERS {
            prefix.iter_mut().for_each(Place::keep);
        }
        if around.max(usual(prefix)) < KNOWN_PLACE {
            country.iter_mut().for_each(Place::keep);
        }
        if usual(country) < NO_USERS {
            unproven.iter_mut().for_each(Place::keep);
        }
        places
    }

    /// The allowances of a send or an attempt.
    fn places(
        &self,
        service: ServiceId,
        number: PhoneNumber,
        address: Option<ClientNet>,
        country: Option<Region>,
        rules: &GuardRules,
        now: Timestamp,
    ) -> NeededAllowances {
        let of = |dimension, rule| self.place(service, dimension, rule, rules, now);
        let country = of(Dimension::Country(country), Rule::Country);
        let is_proven = country.is_proven();
        [
            Some(of(Dimension::prefix_of(number), Rule::Prefix)),
            address.map(|address| of(Dimension::Address(address), Rule::Address)),
            address.map(|address| of(Dimension::Network(address.network()), Rule::Network)),
            (!is_proven).then(|| of(Dimension::Unproven, Rule::Unproven)),
            Some(country),
        ]
    }

    pub(super) fn place(
        &self,
        service: ServiceId,
        dimension: Dimension,
        rule: Rule,
        rules: &GuardRules,
        now: Timestamp,
    ) -> Place {
        let limit = rules.limit(dimension, self.expected(service, dimension, now));
        let now = seconds(now);
        let allowance = match self.allowances.get(service, &dimension) {
            Some(allowance) => allowance.at(&limit, now),
            None => Allowance::new(&limit, now),
        };
        Place { dimension, rule, limit, allowance, kept: 0.0 }
    }

    fn number(
        &self,
        service: ServiceId,
        number: PhoneNumber,
        rules: &GuardRules,
        now: Timestamp,
    ) -> NumberState {
        let (limit, now) = (f64::from(rules.sends_per_number), seconds(now));
        match self.numbers.get(service, &number) {
            Some(state) => state.at(limit, now),
            None => NumberState::new(limit, now),
        }
    }
}

fn decides(entry: &Entry) -> bool {
    !matches!(entry.action, EntryAction::Expect(_))
}

impl Place {
    /// Keeps the last part for places with users. A full allowance still gives a message.
    fn keep(&mut self) {
        let most = self.allowance.most(&self.limit);
        let kept = match self.dimension {
            Dimension::Prefix(_) => KEPT_OF_PREFIX,
            Dimension::Country(_) => KEPT_PART * self.limit.tolerance * self.allowance.usual(),
            Dimension::Unproven => KEPT_PART * most,
            Dimension::Address(_) | Dimension::Network(_) | Dimension::Number(_) | Dimension::Total => 0.0,
        };
        self.kept = kept.min(most - 1.0).max(0.0);
    }

    /// Whether it is a country with users.
    fn is_proven(&self) -> bool {
        self.allowance.usual() >= PROVEN || self.limit.is_expected
    }

    fn figures(&self) -> Figures {
        Figures {
            level: whole(self.allowance.level()),
            most: whole(self.allowance.most(&self.limit)),
            usual: whole(self.allowance.usual().round()),
            kept: whole(self.kept.ceil()),
        }
    }
}

fn whole(messages: f64) -> u32 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
    {
        messages as u32
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
