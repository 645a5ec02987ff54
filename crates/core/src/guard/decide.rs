//! The guard: allowances, numbers and manual entries, and the decision about a send.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::allowance::{Allowance, Limit, NO_USERS, NumberState, Refusals, Ticket, VerifiedNumber, seconds};
use super::rules::{Assessment, Effect, Figures, Finding, GuardRules, Mode, Refused, Rule};
use super::signals::{ClientNet, Dimension, Key, Signals};
use super::table::{PageStart, Row, RowPosition, Table};
use crate::budget::Period;
use crate::domain::{Channel, NumberType, PhoneNumber, Region, ServiceId, Timestamp};

/// Verified numbers a day from which a country is one with users.
const PROVEN: f64 = 10.0;

/// Messages of a prefix that are kept for addresses and networks where others have verified.
const KEPT_OF_PREFIX: f64 = 3.0;

/// The part of a country's usual messages, and of the allowance of unproven countries, that is kept for places
/// where others have verified.
const KEPT_PART: f64 = 0.25;

/// Verified numbers a day from which a prefix, address or network may use what is kept of a country.
const KNOWN_PLACE: f64 = 2.0;

/// Messages, for each of tolerance, that the verification of a new number pays back beside those that its attempt took.
const BONUS: f64 = 2.0;

/// The same for the allowance of unproven countries. Numbers of an attacker's own in many countries pay it, too.
const BONUS_OF_UNPROVEN: f64 = 0.5;

/// Rows of a service that tell whether its application passes addresses. With them, some two of five are of addresses.
const COMPARED_FOR_ADDRESSES: usize = 64;

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
    /// So many messages to a country, beyond its allowance and that of unproven countries. Each is used once; those of
    /// an entry for all services are of all together.
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
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
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

/// A message that is assessed, or an explanation of those to or from a subject, of which less is known.
#[derive(Clone, Copy)]
struct Query {
    service: ServiceId,
    number: Option<PhoneNumber>,
    prefix: Option<Dimension>,
    address: Option<ClientNet>,
    network: Option<ClientNet>,
    country: Option<Dimension>,
    /// Whether the subject is all unproven countries.
    is_unproven: bool,
    /// Whether it is about a client of whom nothing is known but that the application passes addresses.
    is_elsewhere: bool,
    number_type: NumberType,
    channel: Channel,
    is_trusted: bool,
}

impl Query {
    fn of(signals: &Signals) -> Self {
        let Signals { service, number, country, number_type, channel, address, is_trusted } = *signals;
        Self {
            service,
            number: Some(number),
            prefix: Some(Dimension::prefix_of(number)),
            address,
            network: address.map(ClientNet::network),
            country: Some(Dimension::Country(country)),
            is_unproven: false,
            is_elsewhere: false,
            number_type,
            channel,
            is_trusted,
        }
    }

    /// The subject itself first, then what contains it.
    fn dimensions(&self) -> impl Iterator<Item = Dimension> + use<> {
        [
            self.number.map(Dimension::Number),
            self.prefix,
            self.address.map(Dimension::Address),
            self.network.map(Dimension::Network),
            self.country,
        ]
        .into_iter()
        .flatten()
    }
}

impl AllowanceNow {
    /// An allowance with less than half of its messages, as a place without users meets it; else `None`.
    pub fn low(
        service: ServiceId,
        dimension: Dimension,
        allowance: Allowance,
        rules: &GuardRules,
        now: Timestamp,
    ) -> Option<Self> {
        let limit = rules.limit(dimension);
        let allowance = allowance.at(&limit, seconds(now));
        let mut place = Place { dimension, at: None, limit, allowance, kept: 0.0 };
        place.keep();
        let is_low = place.allowance.level() * 2.0 < place.allowance.most(&limit);
        (rules.mode != Mode::Off && is_low).then(|| place.shown(service))
    }

    /// Tells those with the smallest part left, then the largest.
    pub fn rank(&self) -> (u32, Reverse<u32>) {
        let Figures { level, most, .. } = self.figures;
        (level.saturating_mul(1_000) / most.max(1), Reverse(most))
    }
}

/// The allowance of a place, as it is now.
pub(super) struct Place {
    dimension: Dimension,
    at: Option<RowPosition>,
    pub(super) limit: Limit,
    pub(super) allowance: Allowance,
    /// The last part of it, which this message may not use.
    kept: f64,
}

/// Prefix, address, network, unproven countries together, and country.
type NeededAllowances = [Option<Place>; 5];

/// A decision, and what the message takes if it passes.
struct Decision {
    findings: Vec<Finding>,
    /// `None` for a message that needs nothing.
    number: Option<(Option<RowPosition>, NumberState)>,
    takes: NeededAllowances,
    /// The entry that announces the message.
    announced: Option<Key>,
}

/// What the guard knows of a subject, and what it would decide about the next text message.
#[derive(Debug, Clone)]
pub struct Explained {
    pub assessment: Assessment,
    /// The manual entries that are about the subject or contain it.
    pub entries: Vec<(Key, Entry)>,
    /// The subject itself first, then what contains it.
    pub allowances: Vec<AllowanceNow>,
    /// Of a number.
    pub refusals: Option<Refusals>,
}

/// An allowance as it is now.
#[derive(Debug, Clone, Copy)]
pub struct AllowanceNow {
    pub service: ServiceId,
    pub dimension: Dimension,
    pub figures: Figures,
    /// When the next message passes; `None` for now.
    pub passes: Option<Timestamp>,
}

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
        let Decision { findings, number, takes, announced } =
            self.decide(&Query::of(signals), rules, verified.is_some(), now);
        let mut assessment = Assessment::of(findings);
        if let Err(Refused { rule, .. }) = assessment.verdict {
            let (at, mut number) = self.number(signals.service, signals.number, rules, now);
            // A flood of refused requests pushes out no number with messages.
            if at.is_some() || !self.numbers.is_full() {
                number.refuse(rule, signals.address, now);
                self.numbers.set(signals.service, signals.number, number, false);
            }
            return assessment;
        }
        if let Some((at, mut number)) = number {
            let limit = f64::from(rules.sends_per_number);
            let places = takes.each_ref().map(Option::is_some);
            let ticket = number.send(signals, places, limit, verified.is_some());
            assessment.ticket = Ticket { announced, ..ticket };
            self.numbers.set_at(at, signals.service, signals.number, number);
        }
        for Place { dimension, at, mut allowance, .. } in takes.into_iter().flatten() {
            allowance.take();
            self.allowances.set_at(at, signals.service, dimension, allowance);
        }
        if let Some(key) = announced
            && let Some(Entry { action: EntryAction::Expect(left), .. }) = self.entries.get_mut(&key)
        {
            *left = left.saturating_sub(1);
            self.mark_entry(key);
        }
        assessment
    }

    /// A send that passed led to no message: undoes what it took.
    pub fn give_back(
        &mut self,
        service: ServiceId,
        number: PhoneNumber,
        ticket: &Ticket,
        rules: &GuardRules,
        now: Timestamp,
    ) {
        if ticket.at == 0 {
            return;
        }
        if let Some(key) = ticket.announced
            && let Some(Entry { action: EntryAction::Expect(left), .. }) = self.entries.get_mut(&key)
        {
            *left = left.saturating_add(1);
            self.mark_entry(key);
        }
        let (at, mut state) = self.number(service, number, rules, now);
        if at.is_some() {
            let is_paid = !state.give_back(ticket, f64::from(rules.sends_per_number));
            self.numbers.set_at(at, service, number, state);
            if is_paid {
                return;
            }
        }
        let Ticket { address, country, places, .. } = *ticket;
        let dimensions = [
            Some(Dimension::prefix_of(number)),
            address.map(Dimension::Address),
            address.map(|address| Dimension::Network(address.network())),
            Some(Dimension::Unproven),
            Some(Dimension::Country(country)),
        ];
        let id = self.allowances.service(service);
        for dimension in dimensions.into_iter().zip(places).filter_map(|(of, takes)| of.filter(|_| takes)) {
            // One without a row is full.
            if let Place { at: Some(at), limit, mut allowance, .. } = self.place(id, dimension, rules, now) {
                allowance.give_back(&limit);
                self.allowances.set_at(Some(at), service, dimension, allowance);
            }
        }
    }

    /// The number was verified. Pays back what its attempt took, and more for a number that was not known. Returns its
    /// record, which the caller stores; without it, the number counts as no user.
    pub fn verified(
        &mut self,
        service: ServiceId,
        number: PhoneNumber,
        rules: &GuardRules,
        earlier: Option<VerifiedNumber>,
        has_room: bool,
        now: Timestamp,
    ) -> Option<VerifiedNumber> {
        let (verified, is_counted) = VerifiedNumber::after(earlier, now);
        // Without its record it would count again each time.
        let verified = (earlier.is_some() || has_room).then_some(verified);
        if rules.mode == Mode::Off {
            return verified;
        }
        let (at_number, mut state) = self.number(service, number, rules, now);
        if at_number.is_none() {
            state.country = number.region();
        }
        let took = f64::from(state.verify(f64::from(rules.sends_per_number), earlier.is_some()));
        // A known number of the attacker's own would pay for messages to others, or to itself, for ever.
        let is_new = earlier.is_none();
        let tolerance = f64::from(rules.tolerance);
        let places = self.places_of(service, number, &state, rules, now);
        for Place { dimension, at, limit, mut allowance, .. } in places.into_iter().flatten() {
            let bonus = if dimension == Dimension::Unproven { BONUS_OF_UNPROVEN } else { BONUS };
            let bonus = if verified.is_some() { bonus * tolerance } else { 0.0 };
            let paid = if is_new { took + bonus } else { 0.0 };
            allowance.verified(&limit, paid, is_counted && verified.is_some());
            self.allowances.set_at(at, service, dimension, allowance);
        }
        if at_number.is_some() {
            self.numbers.set_at(at_number, service, number, state);
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
            self.mark_entry(key);
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
        self.mark_entry(key);
        if let (Some(service), Dimension::Number(number), Some(EntryAction::Allow)) =
            (key.service, key.dimension, action)
        {
            self.unlock(service, number);
        }
        Ok(Some(entry))
    }

    /// Puts back what an entry was before a change that was not stored.
    pub fn reset_entry(&mut self, key: Key, before: Option<Entry>) {
        match before {
            Some(entry) => drop(self.entries.insert(key, entry)),
            None => drop(self.entries.remove(&key)),
        }
        self.mark_entry(key);
    }

    /// The entry that changed last is taken first.
    fn mark_entry(&mut self, key: Key) {
        self.changed_entries.retain(|changed| *changed != key);
        self.changed_entries.push(key);
    }

    /// The manual entry of a key.
    pub fn entry(&self, key: &Key, now: Timestamp) -> Option<Entry> {
        self.entries.get(key).copied().filter(|entry| now < entry.until)
    }

    /// All manual entries.
    pub fn entries(&self, now: Timestamp) -> impl Iterator<Item = (Key, Entry)> {
        self.entries.iter().map(|(key, entry)| (*key, *entry)).filter(move |(_, entry)| now < entry.until)
    }

    /// What the guard knows of a subject, and what it would decide about the next text message to or from it: from the client
    /// address of a number's last request, and from a place without users for other subjects. The type is that of the subject's
    /// numbers, and the country theirs.
    pub fn explain(
        &self,
        service: ServiceId,
        dimension: Dimension,
        (country, number_type): (Option<Region>, NumberType),
        rules: &GuardRules,
        verified: Option<VerifiedNumber>,
        now: Timestamp,
    ) -> Explained {
        let query = self.query(service, dimension, country, number_type);
        let assessment = Assessment::of(self.decide(&query, rules, verified.is_some(), now).findings);
        let mut allowances = Vec::new();
        let mut refusals = None;
        if let Dimension::Number(number) = dimension {
            let ((_, state), most) = (self.number(service, number, rules, now), rules.sends_per_number);
            let figures = Figures { level: whole(state.level()), most, usual: 0, kept: 0 };
            allowances.push(AllowanceNow {
                service,
                dimension,
                figures,
                passes: state.passes(f64::from(most), verified.is_some()),
            });
            refusals = state.refused;
        }
        let needed = self.needed(&query, rules, now);
        allowances.extend(needed.iter().flatten().map(|place| place.shown(service)));
        let scoped = |of| [Some(service), None].map(|scope| Key::new(scope, of));
        let entries = query.dimensions().flat_map(scoped);
        let entries = entries.filter_map(|key| Some((key, self.entry(&key, now)?))).collect();
        Explained { assessment, entries, allowances, refusals }
    }

    /// The client address of the last message to a number.
    pub fn address(&self, service: ServiceId, number: PhoneNumber) -> Option<ClientNet> {
        self.numbers.get(service, &number)?.address
    }

    /// The refusals of a number on the day of the last one.
    pub fn refusals(&self, service: ServiceId, number: PhoneNumber) -> Option<Refusals> {
        self.numbers.get(service, &number)?.refused
    }

    /// At most `most` allowances of one service or of all, and where the next page begins.
    pub fn page(
        &self,
        of: Option<ServiceId>,
        start: PageStart,
        most: usize,
    ) -> (Vec<(ServiceId, Dimension, Allowance)>, Option<PageStart>) {
        self.allowances.page(of, start, most)
    }

    /// The services that have allowances, or had some until lately.
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

    /// Frees rows that say nothing any more: the next `looks` of each table are looked at.
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
        while rows.len() < most
            && let Some((service, dimension, allowance)) = self.allowances.take_changed()
        {
            let key = Key::new(Some(service), dimension);
            let row = allowance.map(|allowance| GuardRow::Allowance(key, allowance));
            rows.push((RowName(key, RowKind::Allowance), row));
        }
        while rows.len() < most
            && let Some((service, number, state)) = self.numbers.take_changed()
        {
            let key = Key::new(Some(service), Dimension::Number(number));
            rows.push((RowName(key, RowKind::Number), state.map(|state| GuardRow::Number(key, state))));
        }
        rows
    }

    /// A record that was taken could not be stored.
    pub fn mark_changed(&mut self, RowName(key, kind): RowName) {
        match (kind, key) {
            (RowKind::Allowance, Key { service: Some(service), dimension }) => {
                self.allowances.mark_changed(service, dimension);
            }
            (RowKind::Number, Key { service: Some(service), dimension: Dimension::Number(number) }) => {
                self.numbers.mark_changed(service, number);
            }
            (RowKind::Entry, key) => self.mark_entry(key),
            (RowKind::Allowance | RowKind::Number, _) => {}
        }
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

    fn query(
        &self,
        service: ServiceId,
        dimension: Dimension,
        country: Option<Region>,
        number_type: NumberType,
    ) -> Query {
        let (channel, is_trusted) = (Channel::Sms, false);
        let of_country = Some(Dimension::Country(country));
        let empty = Query {
            service,
            number: None,
            prefix: None,
            address: None,
            network: None,
            country: None,
            is_unproven: false,
            is_elsewhere: false,
            number_type,
            channel,
            is_trusted,
        };
        match dimension {
            Dimension::Number(number) => {
                let known = self.numbers.get(service, &number);
                let address = known.and_then(NumberState::last_address);
                let signals = Signals { service, number, country, number_type, channel, address, is_trusted };
                let is_elsewhere = known.is_none() && self.has_addresses(service);
                Query { is_elsewhere, ..Query::of(&signals) }
            }
            Dimension::Prefix(_) => {
                let is_elsewhere = self.has_addresses(service);
                Query { prefix: Some(dimension), country: of_country, is_elsewhere, ..empty }
            }
            Dimension::Country(_) => Query { country: Some(dimension), ..empty },
            Dimension::Address(of) => Query { address: Some(of), network: Some(of.network()), ..empty },
            Dimension::Network(of) => Query { network: Some(of), ..empty },
            Dimension::Unproven => Query { is_unproven: true, ..empty },
            Dimension::Total => empty,
        }
    }

    /// Whether the application passes addresses, as far as a few rows tell.
    fn has_addresses(&self, service: ServiceId) -> bool {
        let (rows, _) = self.allowances.page(Some(service), (0, 0), COMPARED_FOR_ADDRESSES);
        rows.iter().any(|(_, dimension, _)| matches!(dimension, Dimension::Address(_)))
    }

    /// Decides about a message, and takes nothing yet.
    fn decide(&self, query: &Query, rules: &GuardRules, is_known: bool, now: Timestamp) -> Decision {
        let entry = self.entry_for(query, now);
        let findings = match entry {
            Some((key, Entry { action: EntryAction::Block, until })) => {
                vec![Finding { until: Some(until), ..Finding::new(Rule::Entry, key, Effect::Refused) }]
            }
            _ => fixed_findings(query, rules).collect(),
        };
        let is_refused = findings.iter().any(|finding| finding.effect == Effect::Refused);
        let takes = NeededAllowances::default();
        let mut decision = Decision { findings, number: None, takes, announced: None };
        if !is_refused && !query.is_trusted && entry.is_none() && rules.mode != Mode::Off {
            self.limited(query, rules, is_known, now, &mut decision);
        }
        decision
    }

    /// The most specific manual entry that allows or blocks, of the service before that of all services.
    fn entry_for(&self, query: &Query, now: Timestamp) -> Option<(Key, Entry)> {
        if self.entries.is_empty() {
            return None;
        }
        let scopes = [Some(query.service), None];
        let mut keys = query.dimensions().flat_map(|of| scopes.map(|scope| Key::new(scope, of)));
        keys.find_map(|key| self.entry(&key, now).filter(decides).map(|entry| (key, entry)))
    }

    /// The entry that still announces messages to a country.
    fn announced(&self, service: ServiceId, country: Dimension, now: Timestamp) -> Option<Key> {
        let keys = [Some(service), None].map(|scope| Key::new(scope, country));
        keys.into_iter().find(|key| {
            let entry = self.entry(key, now);
            entry.is_some_and(|entry| matches!(entry.action, EntryAction::Expect(1..)))
        })
    }

    /// The limits of a number and of its places.
    fn limited(
        &self,
        query: &Query,
        rules: &GuardRules,
        is_known: bool,
        now: Timestamp,
        decision: &mut Decision,
    ) {
        let (service, effect) = (query.service, Effect::of(rules.mode));
        // A known number needs no allowance again from the next day on.
        let free_at = is_known.then(|| Period::Day.end(Period::Day.index(now)));
        decision.number = query.number.map(|number| self.number(service, number, rules, now));
        if let (Some(number), Some((_, state))) = (query.number, &decision.number)
            && let Some(until) = state.passes(f64::from(rules.sends_per_number), is_known)
        {
            let key = Key::new(Some(service), Dimension::Number(number));
            let most = rules.sends_per_number;
            let figures = Figures { level: whole(state.level()), most, usual: 0, kept: 0 };
            let until = free_at.map_or(until, |free_at| until.min(free_at));
            let finding = Finding::new(Rule::Number, key, effect);
            decision.findings.push(Finding { figures: Some(figures), until: Some(until), ..finding });
        }
        if is_known && decision.number.as_ref().is_some_and(|(_, state)| state.needs_no_allowance()) {
            return;
        }
        let mut needed = self.needed(query, rules, now);
        if needed[3..].iter().flatten().any(|place| place.passes().is_some()) {
            decision.announced = query.country.and_then(|country| self.announced(service, country, now));
            if decision.announced.is_some() {
                needed[3..].fill_with(|| None);
            }
        }
        for place in needed.iter().flatten() {
            if let Some(until) = place.passes() {
                let key = Key::new(Some(service), place.dimension);
                let finding = Finding::new(Rule::of(place.dimension), key, effect);
                let until = free_at.map_or(until, |free_at| until.min(free_at));
                decision.findings.push(Finding {
                    figures: Some(place.figures()),
                    until: Some(until),
                    ..finding
                });
            }
        }
        decision.takes = needed;
    }

    /// The allowances that a message needs, with what it may not use of them.
    fn needed(&self, query: &Query, rules: &GuardRules, now: Timestamp) -> NeededAllowances {
        let mut places = self.places(query, rules, now);
        let [prefix, address, network, unproven, country] = &mut places;
        let usual = |place: &Option<Place>| place.as_ref().map_or(0.0, |place| place.allowance.usual());
        let around = usual(address).max(usual(network));
        // Without an address no place can be told from others.
        if (address.is_some() || query.is_elsewhere) && around < NO_USERS {
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
    fn places(&self, query: &Query, rules: &GuardRules, now: Timestamp) -> NeededAllowances {
        let service = self.allowances.service(query.service);
        let of = |dimension| self.place(service, dimension, rules, now);
        let country = query.country.map(of);
        let is_unproven =
            country.as_ref().map_or(query.is_unproven, |country| country.allowance.usual() < PROVEN);
        [
            query.prefix.map(of),
            query.address.map(|address| of(Dimension::Address(address))),
            query.network.map(|network| of(Dimension::Network(network))),
            is_unproven.then(|| of(Dimension::Unproven)),
            country,
        ]
    }

    /// The places of the last attempt of a number.
    fn places_of(
        &self,
        service: ServiceId,
        number: PhoneNumber,
        state: &NumberState,
        rules: &GuardRules,
        now: Timestamp,
    ) -> NeededAllowances {
        let NumberState { address, country, .. } = *state;
        let (number_type, channel, is_trusted) = (NumberType::Other, Channel::Sms, false);
        let signals = Signals { service, number, country, number_type, channel, address, is_trusted };
        self.places(&Query::of(&signals), rules, now)
    }

    pub(super) fn place(
        &self,
        service: Option<usize>,
        dimension: Dimension,
        rules: &GuardRules,
        now: Timestamp,
    ) -> Place {
        let (limit, now) = (rules.limit(dimension), seconds(now));
        let (at, allowance) = match service.and_then(|service| self.allowances.find(service, &dimension)) {
            Some((at, allowance)) => (Some(at), allowance.at(&limit, now)),
            None => (None, Allowance::new(&limit, now)),
        };
        Place { dimension, at, limit, allowance, kept: 0.0 }
    }

    fn number(
        &self,
        service: ServiceId,
        number: PhoneNumber,
        rules: &GuardRules,
        now: Timestamp,
    ) -> (Option<RowPosition>, NumberState) {
        let (limit, now) = (f64::from(rules.sends_per_number), seconds(now));
        let service = self.numbers.service(service);
        match service.and_then(|service| self.numbers.find(service, &number)) {
            Some((at, state)) => (Some(at), state.at(limit, now)),
            None => (None, NumberState::new(limit, now)),
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

    /// When a message passes it; `None` for now.
    fn passes(&self) -> Option<Timestamp> {
        self.allowance.passes(&self.limit, self.kept)
    }

    fn shown(&self, service: ServiceId) -> AllowanceNow {
        AllowanceNow { service, dimension: self.dimension, figures: self.figures(), passes: self.passes() }
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

/// The lists and types that a message breaks. A trusted one may go to every type.
fn fixed_findings(query: &Query, rules: &GuardRules) -> impl Iterator<Item = Finding> {
    let Query { service, number, country, number_type, channel, is_trusted, .. } = *query;
    let region = country.and_then(|of| if let Dimension::Country(region) = of { region } else { None });
    let broken = country.is_some().then(|| rules.fixed(region, number_type, channel));
    broken.into_iter().flatten().filter_map(move |(rule, effect)| {
        let of_number = number.map(Dimension::Number).or(country);
        let dimension = match rule {
            Rule::CountryList => country,
            _ if is_trusted => None,
            _ => of_number,
        };
        Some(Finding::new(rule, Key::new(Some(service), dimension?), effect))
    })
}
