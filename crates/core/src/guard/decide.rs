//! The guard: allowances, numbers and manual entries, and the decision about a send.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::allowance::{
    Allowance, KNOWN_COST, NO_USERS, NumberState, Refusals, Row, Ticket, VerifiedNumber, seconds, whole,
};
use super::rules::{Assessment, Effect, Figures, Finding, GuardRules, Limit, Mode, Refused, Rule};
use super::signals::{ClientNet, Dimension, Key, Signals};
use super::table::{Page, PageStart, Table};
use crate::budget::Period;
use crate::domain::{Channel, NumberType, PhoneNumber, Region, ServiceId, Timestamp};

/// Verified numbers a day from which a country is one with users.
const PROVEN: f64 = 10.0;

/// Verified numbers a day from which a prefix, address or network may use what is kept of a country.
const KNOWN_PLACE: f64 = 2.0;

/// Allowances of places and numbers in memory, of some 70 bytes, and numbers of 100 more.
pub const MOST_ALLOWANCES: usize = 700_000;

/// Manual entries of all services, and as many of those for all services.
const MOST_ENTRIES: usize = 10_000;

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

/// The name of a record of the guard, and whether it is a manual entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RowName(pub Key, bool);

/// A record of the guard, whole: the last one written under a name wins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum GuardRow {
    Allowance(ServiceId, Dimension, Row),
    Entry(Key, Entry),
}

impl GuardRow {
    pub fn expires(&self) -> Timestamp {
        match self {
            Self::Allowance(.., row) => row.expires(),
            Self::Entry(_, entry) => entry.until,
        }
    }
}

/// The state of the guard, of all services.
#[derive(Debug, Clone)]
pub struct Guard {
    pub(super) rows: Table,
    entries: BTreeMap<Key, Entry>,
    changed_entries: Vec<Key>,
}

/// What a message takes allowances of, as far as it is known: an explanation may be about a country only. Number, prefix,
/// address, network, unproven countries together, and country.
type Subjects = [Option<Dimension>; 6];

const fn subjects(number: PhoneNumber, address: Option<ClientNet>, country: Option<Region>) -> Subjects {
    let (client, network) = match address {
        Some(of) => (Some(Dimension::Address(of)), Some(Dimension::Network(of.network()))),
        None => (None, None),
    };
    let (number, prefix) = (Dimension::Number(number), Dimension::prefix_of(number));
    [
        Some(number),
        Some(prefix),
        client,
        network,
        Some(Dimension::Unproven),
        Some(Dimension::Country(country)),
    ]
}

/// A message, or a subject whose next message is explained.
pub(super) struct Question<'a> {
    pub(super) service: ServiceId,
    pub(super) subjects: Subjects,
    pub(super) is_trusted: bool,
    /// Whether the application passes no address, and no place can be told from others.
    pub(super) lacks_address: bool,
    /// Whether the number was verified in the last 30 days.
    pub(super) is_known: bool,
    pub(super) rules: &'a GuardRules,
    pub(super) now: Timestamp,
}

impl<'a> Question<'a> {
    pub(super) const fn new(
        service: ServiceId,
        subjects: Subjects,
        rules: &'a GuardRules,
        now: Timestamp,
    ) -> Self {
        Self { service, subjects, is_trusted: false, lacks_address: false, is_known: false, rules, now }
    }

    /// The keys of entries about a subject.
    fn keys(&self, of: Option<Dimension>) -> impl Iterator<Item = Key> + use<> {
        let scopes = [Some(self.service), None];
        of.into_iter().flat_map(move |of| scopes.map(|scope| Key::new(scope, of)))
    }
}

/// An allowance as it is now, and what a message needs of it.
pub(super) struct Place {
    dimension: Dimension,
    at: Option<usize>,
    pub(super) limit: Limit,
    pub(super) allowance: Allowance,
    /// Of a number.
    number: Option<Box<NumberState>>,
    /// The last part of it, which the message may not use.
    kept: f64,
    /// What the message takes.
    cost: f64,
}

/// Those of [`Subjects`].
type PlaceSlots = [Option<Place>; 6];

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

impl AllowanceNow {
    /// An allowance with less than half of its messages, as a place without users meets it; else `None`.
    pub fn low(
        service: ServiceId,
        dimension: Dimension,
        allowance: Allowance,
        rules: &GuardRules,
        now: Timestamp,
    ) -> Option<Self> {
        let row = Row { allowance, number: None };
        let mut place =
            Place::new(dimension, Some((0, &row)), &Question::new(service, [None; 6], rules, now));
        place.keep();
        let is_low = place.allowance.level * 2.0 < place.allowance.most(&place.limit);
        (rules.mode != Mode::Off && is_low).then(|| place.shown(service))
    }

    /// Tells those with the smallest part left, then the largest.
    pub fn rank(&self) -> (u32, Reverse<u32>) {
        let Figures { level, most, .. } = self.figures;
        (level.saturating_mul(1_000) / most.max(1), Reverse(most))
    }
}

impl Place {
    fn new(of: Dimension, found: Option<(usize, &Row)>, question: &Question<'_>) -> Self {
        let (limit, now) = (question.rules.limit(of), seconds(question.now));
        let is_number = matches!(of, Dimension::Number(_));
        let (at, allowance, number) = match found {
            Some((at, row)) => (Some(at), row.allowance.at(&limit, now), row.number_at(now)),
            None => (None, Allowance::new(&limit, now), is_number.then(Box::default)),
        };
        let cost = if is_number && question.is_known { KNOWN_COST.min(limit.floor) } else { 1.0 };
        Self { dimension: of, at, limit, allowance, number, kept: 0.0, cost }
    }

    /// Keeps the last part for places with users. A full allowance still gives a message.
    fn keep(&mut self) {
        let kept = self.limit.kept + self.limit.kept_of_usual * self.allowance.usual;
        self.kept = kept.min(self.allowance.most(&self.limit) - 1.0).max(0.0);
    }

    /// When a message passes it; `None` for now.
    fn passes(&self) -> Option<Timestamp> {
        self.allowance.has(&self.limit, if self.cost > 0.0 { self.kept + self.cost } else { 0.0 })
    }

    fn figures(&self) -> Figures {
        Figures {
            level: whole(self.allowance.level),
            most: whole(self.allowance.most(&self.limit)),
            usual: whole(self.allowance.usual.round()),
            kept: whole(self.kept.ceil()),
        }
    }

    fn shown(&self, service: ServiceId) -> AllowanceNow {
        let (dimension, figures, passes) = (self.dimension, self.figures(), self.passes());
        AllowanceNow { service, dimension, figures, passes }
    }

    fn row(&mut self) -> Row {
        Row { allowance: self.allowance, number: self.number.take() }
    }
}

impl Guard {
    /// With room for so many allowances. `seed` is random and secret: it decides which keys collide in the table.
    pub fn new(most: usize, seed: u64) -> Self {
        Self { rows: Table::new(most, seed), entries: BTreeMap::new(), changed_entries: Vec::new() }
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
        let Signals { service, number, country, number_type, channel, address, is_trusted } = *signals;
        let (is_known, lacks_address) = (verified.is_some(), address.is_none());
        let question = Question::new(service, subjects(number, address, country), rules, now);
        let question = Question { is_trusted, lacks_address, is_known, ..question };
        let broken = rules.fixed(country, number_type, channel);
        let mut places = PlaceSlots::default();
        let (findings, announced) = self.decide(&question, broken, &mut places);
        let mut assessment = Assessment::of(findings);
        if let Err(Refused { rule, .. }) = assessment.verdict {
            let mut place = self.place(&question, Dimension::Number(number));
            // A flood of refused requests pushes out nothing.
            if let Some(state) = place.number.as_mut().filter(|_| place.at.is_some() || self.rows.has_room())
            {
                state.refuse(rule, address, now);
                self.rows.set(place.at, service, place.dimension, place.row(), false);
            }
            return assessment;
        }
        let takes = places.each_ref().map(|place| place.as_ref().is_some_and(|place| place.cost > 0.0));
        let ticket = Ticket { at: seconds(now), address, country, takes, is_known, announced };
        for place in places.iter_mut().flatten() {
            if let Some(state) = &mut place.number {
                state.send(&ticket);
                assessment.ticket = ticket;
            }
            place.allowance.take(&place.limit, place.cost);
            self.rows.set(place.at, service, place.dimension, place.row(), true);
        }
        self.announce(announced, |left| left.saturating_sub(1));
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
        self.announce(ticket.announced, |left| left.saturating_add(1));
        let (subjects, is_known) = (subjects(number, ticket.address, ticket.country), ticket.is_known);
        let question = Question { is_known, ..Question::new(service, subjects, rules, now) };
        let mut is_paid = false;
        for (of, takes) in subjects.into_iter().zip(ticket.takes) {
            let Some(mut place) = of.map(|of| self.place(&question, of)) else { continue };
            if let Some(state) = &mut place.number {
                is_paid = state.give_back(ticket, seconds(now));
            }
            let gives = takes && !is_paid;
            // One without a row is full.
            if place.at.is_some() && (gives || place.number.is_some()) {
                place.allowance.take(&place.limit, if gives { -place.cost } else { 0.0 });
                self.rows.set(place.at, service, place.dimension, place.row(), true);
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
        let (is_known, has_record) = (earlier.is_some(), verified.is_some());
        let known = self.number(service, number).map(|state| (state.address, state.country));
        let (address, country) = known.unwrap_or_else(|| (None, number.region()));
        let question = Question::new(service, subjects(number, address, country), rules, now);
        let mut took = [0; 6];
        let mut places = PlaceSlots::default();
        self.places(&question, true, &mut places);
        for (slot, place) in places.iter_mut().enumerate() {
            let Some(place) = place else { continue };
            let is_number = place.number.is_some();
            if let Some(state) = &mut place.number {
                took = state.verify(seconds(now));
            }
            let is_counted = is_counted && has_record && !is_number;
            // A known number of the attacker's own would pay for messages to others, or to itself, for ever.
            let bonus = if has_record && !is_known { place.limit.bonus } else { 0.0 };
            let paid = if is_number && is_known { 0.0 } else { f64::from(took[slot]) + bonus };
            if is_counted || paid > 0.0 || is_number {
                place.allowance.pay(&place.limit, paid, is_counted);
                if place.at.is_some() || !is_number {
                    self.rows.set(place.at, service, place.dimension, place.row(), true);
                }
            }
        }
        verified
    }

    /// Changes the messages that an entry still announces.
    fn announce(&mut self, key: Option<Key>, change: fn(u32) -> u32) {
        if let Some(key) = key
            && let Some(Entry { action: EntryAction::Expect(left), .. }) = self.entries.get_mut(&key)
        {
            *left = change(*left);
            self.mark_entry(key);
        }
    }

    /// Ends the refusals of one number.
    pub fn unlock(&mut self, service: ServiceId, number: PhoneNumber) -> bool {
        self.rows.remove(service, Dimension::Number(number))
    }

    /// Forgets a number of a service, apart from its part in allowances; of all services, its manual entry.
    pub fn forget(&mut self, service: Option<ServiceId>, number: PhoneNumber, now: Timestamp) -> bool {
        let key = Key::new(service, Dimension::Number(number));
        let removed = self.set_entry(key, None, now, now).is_ok_and(|entry| entry.is_some());
        service.is_some_and(|service| self.unlock(service, number)) || removed
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
        if known.is_none() {
            // A service may have a fifth of the places that others leave.
            let of_services = |of: &&Key| of.service.is_some() == key.service.is_some();
            let (all, own) =
                self.entries.keys().filter(of_services).fold((0, 0), |(all, own), other| {
                    (all + 1, own + usize::from(other.service == key.service))
                });
            let left = MOST_ENTRIES.saturating_sub(all - own);
            let most = if key.service.is_some() { left.div_ceil(5) } else { left };
            if own >= most {
                return Err(TooManyEntries(own));
            }
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
        let known = self.rows.find(service, dimension).and_then(|(_, row)| row.number.as_deref());
        let (unproven, of_country) = (Some(Dimension::Unproven), Some(Dimension::Country(country)));
        let subjects = match dimension {
            Dimension::Number(number) => subjects(number, known.and_then(|known| known.client), country),
            Dimension::Prefix(_) => [None, Some(dimension), None, None, unproven, of_country],
            Dimension::Address(of) => {
                [None, None, Some(dimension), Some(Dimension::Network(of.network())), None, None]
            }
            Dimension::Network(_) => [None, None, None, Some(dimension), None, None],
            Dimension::Country(_) => [None, None, None, None, unproven, Some(dimension)],
            Dimension::Unproven | Dimension::Total => [None, None, None, None, unproven, None],
        };
        let (is_known, lacks_address) =
            (verified.is_some(), known.is_some_and(|known| known.client.is_none()));
        let question = Question { lacks_address, is_known, ..Question::new(service, subjects, rules, now) };
        let broken = rules.fixed(country, number_type, Channel::Sms).filter(|_| subjects[5].is_some());
        let keys = subjects.into_iter().flat_map(|of| question.keys(of));
        let (mut places, mut taken) = (PlaceSlots::default(), PlaceSlots::default());
        self.places(&question, true, &mut places);
        Explained {
            entries: keys.filter_map(|key| Some((key, self.entry(&key, now)?))).collect(),
            assessment: Assessment::of(self.decide(&question, broken, &mut taken).0),
            allowances: places.iter().flatten().map(|place| place.shown(service)).collect(),
            refusals: known.and_then(|known| known.refused),
        }
    }

    fn number(&self, service: ServiceId, number: PhoneNumber) -> Option<&NumberState> {
        self.rows.find(service, Dimension::Number(number))?.1.number.as_deref()
    }

    /// The client address of the last message to a number.
    pub fn address(&self, service: ServiceId, number: PhoneNumber) -> Option<ClientNet> {
        self.number(service, number)?.address
    }

    /// The refusals of a number on the day of the last one.
    pub fn refusals(&self, service: ServiceId, number: PhoneNumber) -> Option<Refusals> {
        self.number(service, number)?.refused
    }

    /// The allowances of places among at most `most` rows of one service or of all, and where the next page begins.
    pub fn page(&self, of: Option<ServiceId>, start: PageStart, most: usize) -> Page {
        self.rows.page(of, start, most)
    }

    /// The services that have allowances, or had some until lately.
    pub fn services(&self) -> impl Iterator<Item = ServiceId> {
        self.rows.services()
    }

    /// Allowances that were dropped because the table was full.
    pub const fn dropped(&self) -> u64 {
        self.rows.dropped
    }

    /// Allowances in memory.
    pub const fn held(&self) -> usize {
        self.rows.len()
    }

    /// Frees rows that say nothing any more: the next `looks` are looked at.
    pub fn sweep(&mut self, looks: usize, now: Timestamp) {
        self.rows.sweep(looks, now);
    }

    /// At most `most` changed records, whole; `None` removes one. The caller stores them in the order of the answers.
    pub fn take_changed(&mut self, most: usize) -> Vec<(RowName, Option<GuardRow>)> {
        let mut changed = Vec::new();
        while changed.len() < most
            && let Some(key) = self.changed_entries.pop()
        {
            let entry = self.entries.get(&key).map(|entry| GuardRow::Entry(key, *entry));
            changed.push((RowName(key, true), entry));
        }
        while changed.len() < most
            && let Some((service, dimension, row)) = self.rows.take_changed()
        {
            let name = RowName(Key::new(Some(service), dimension), false);
            changed.push((name, row.map(|row| GuardRow::Allowance(service, dimension, row))));
        }
        changed
    }

    /// A record that was taken could not be stored.
    pub fn mark_changed(&mut self, RowName(key, is_entry): RowName) {
        match key.service {
            Some(service) if !is_entry => self.rows.mark_changed(service, key.dimension),
            _ => self.mark_entry(key),
        }
    }

    /// Takes a stored record, before the first send.
    pub fn restore(&mut self, row: GuardRow) {
        match row {
            GuardRow::Allowance(service, dimension, row) => {
                self.rows.set(None, service, dimension, row, false);
            }
            GuardRow::Entry(key, entry) => drop(self.entries.insert(key, entry)),
        }
    }

    /// Decides about a message, and takes nothing yet: the findings, and the entry that announces it. `broken` are the lists and
    /// types that it breaks. `places` become what it takes; none of a message that needs nothing and is not counted.
    fn decide(
        &self,
        question: &Question<'_>,
        broken: impl Iterator<Item = (Rule, Effect)>,
        places: &mut PlaceSlots,
    ) -> (Vec<Finding>, Option<Key>) {
        let Question { service, subjects, is_trusted, is_known, rules, now, .. } = *question;
        // Of the service before that of all services, and of the narrowest subject.
        let mut keys = subjects.into_iter().flat_map(|of| question.keys(of));
        let entry = keys.find_map(|key| {
            let entry = self.entry(&key, now).filter(|entry| !matches!(entry.action, EntryAction::Expect(_)));
            entry.map(|entry| (key, entry))
        });
        let mut findings = Vec::new();
        if let Some((key, Entry { action: EntryAction::Block, until })) = entry {
            findings.push(Finding { until: Some(until), ..Finding::new(Rule::Entry, key, Effect::Refused) });
        }
        for (rule, effect) in broken {
            let of = match rule {
                Rule::CountryList => subjects[5],
                // A trusted message may go to every type.
                _ if is_trusted => None,
                _ => subjects[0].or(subjects[5]),
            };
            findings.extend(of.map(|of| Finding::new(rule, Key::new(Some(service), of), effect)));
        }
        let is_refused = findings.iter().any(|finding| finding.effect == Effect::Refused);
        if is_refused || is_trusted || entry.is_some() || rules.mode == Mode::Off {
            return (findings, None);
        }
        self.places(question, false, places);
        let lacks = places[4..].iter().flatten().any(|place| place.passes().is_some());
        let mut keys = question.keys(subjects[5].filter(|_| lacks));
        let announced = keys
            .find(|key| matches!(self.entry(key, now), Some(Entry { action: EntryAction::Expect(1..), .. })));
        if announced.is_some() {
            places[4..].fill_with(|| None);
        }
        // A known number needs no allowance again from the next day on.
        let free_at = is_known.then(|| Period::Day.end(Period::Day.index(now)));
        findings.extend(places.iter().flatten().filter_map(|place| {
            let until = place.passes().map(|until| free_at.map_or(until, |free_at| until.min(free_at)))?;
            let key = Key::new(Some(service), place.dimension);
            let finding = Finding::new(place.limit.rule, key, Effect::of(rules.mode));
            Some(Finding { figures: Some(place.figures()), until: Some(until), ..finding })
        }));
        (findings, announced)
    }

    /// The allowances of the subjects as they are now, and what the next message may not use of them: without `all`, those that
    /// it needs, and that of the number.
    fn places(&self, question: &Question<'_>, all: bool, places: &mut PlaceSlots) {
        let mut needs = 0..6;
        for (slot, of) in question.subjects.into_iter().enumerate() {
            let Some(of) = of.filter(|_| slot == 0 || needs.contains(&slot)) else { continue };
            let mut place = self.place(question, of);
            if let Some(state) = place.number.as_ref().filter(|_| question.is_known && !all) {
                needs = state.needs();
                place.cost = if needs.contains(&0) { place.cost } else { 0.0 };
            }
            places[slot] = Some(place);
        }
        let usual = places.each_ref().map(|place| place.as_ref().map_or(0.0, |place| place.allowance.usual));
        let [_, prefix, address, network, _, country] = usual;
        if country >= PROVEN {
            places[4] = None;
        }
        let around = address.max(network);
        let keeps_prefix = around < NO_USERS && !question.lacks_address;
        let keeps_country = around.max(prefix) < KNOWN_PLACE;
        let keeps = [false, keeps_prefix, false, false, country < NO_USERS, keeps_country];
        let kept = places.iter_mut().zip(keeps).filter_map(|(place, keeps)| place.as_mut().filter(|_| keeps));
        kept.for_each(Place::keep);
    }

    pub(super) fn place(&self, question: &Question<'_>, of: Dimension) -> Place {
        Place::new(of, self.rows.find(question.service, of), question)
    }
}
