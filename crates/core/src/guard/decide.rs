//! The guard: allowances, numbers and manual entries, and the decision about a send.

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use super::allowance::{
    Allowance, Limit, NO_USERS, NumberState, Refusals, Row, Ticket, VerifiedNumber, seconds, slot, whole,
};
use super::entries::{Entries, Entry, EntryAction};
use super::rules::{Assessment, Figures, Finding, GuardRules, Mode, Refused, Rule};
use super::signals::{ClientNet, Dimension, Exemption, Key, Signals};
use super::table::Table;
use crate::budget::Period;
use crate::domain::{Channel, NumberType, PhoneNumber, Region, ServiceId, Timestamp};

/// Verified numbers a day from which a country is one with users.
const PROVEN: f64 = 10.0;

/// Allowances in memory, those of numbers included: about 80 bytes each, and 130 for a number.
pub const MOST_ALLOWANCES: usize = 700_000;

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
    pub rows: Table,
    pub entries: Entries,
}

/// What a message is to and from, by [`slot`], as far as it is known: an explanation may be about a country only.
type Subjects = [Option<Dimension>; slot::ALL];

fn subjects(number: PhoneNumber, address: Option<ClientNet>, country: Option<Region>) -> Subjects {
    [
        Some(Dimension::Number(number)),
        Some(Dimension::prefix_of(number)),
        address.map(Dimension::Address),
        address.map(|address| Dimension::Network(address.network())),
        Some(Dimension::Unproven),
        Some(Dimension::Country(country)),
        None,
    ]
}

/// What is known of a message before the decision.
struct Context<'a> {
    service: ServiceId,
    subjects: Subjects,
    exemption: Exemption,
    /// [`Signals::only_number`].
    only_number: bool,
    /// Whether the number was verified in the last 30 days.
    is_known: bool,
    /// Without an address: whether the client is taken for one without users.
    is_stranger: bool,
    rules: &'a GuardRules,
    now: Timestamp,
}

impl<'a> Context<'a> {
    const fn new(service: ServiceId, subjects: Subjects, rules: &'a GuardRules, now: Timestamp) -> Self {
        let (exemption, only_number, is_known, is_stranger) = (Exemption::None, false, false, false);
        Self { service, subjects, exemption, only_number, is_known, is_stranger, rules, now }
    }
}

/// An allowance as it is now, and what a message needs of it.
struct Current {
    dimension: Dimension,
    row_index: Option<usize>,
    limit: Limit,
    allowance: Allowance,
    /// The last part of it, which the message may not use.
    reserve: f64,
}

impl Current {
    fn new(of: Dimension, row: Option<(usize, Allowance)>, rules: &GuardRules, now: Timestamp) -> Self {
        let (limit, now) = (Limit::of(of, rules), seconds(now));
        let (row_index, allowance) = match row {
            Some((index, allowance)) => (Some(index), allowance.at(&limit, now)),
            None => (None, Allowance::new(&limit, now)),
        };
        Self { dimension: of, row_index, limit, allowance, reserve: 0.0 }
    }

    fn keep_reserve(&mut self) {
        self.reserve = self.allowance.reserve(&self.limit);
    }

    /// When a message passes it; `None` for now.
    fn next_pass_at(&self) -> Option<Timestamp> {
        self.allowance.has(&self.limit, self.reserve + 1.0)
    }

    fn figures(&self) -> Figures {
        Figures {
            level: whole(self.allowance.level),
            most: whole(self.allowance.most(&self.limit)),
            usual: whole(self.allowance.usual.round()),
        }
    }
}

/// The allowances of a message, by [`slot`], and the state of its number.
#[derive(Default)]
struct Allowances {
    slots: [Option<Current>; slot::ALL],
    number: NumberState,
}

/// What the guard knows of a subject, and what it would decide about the next text message.
#[derive(Debug, Clone)]
pub struct Explained {
    pub assessment: Assessment,
    /// The manual entries that are about the subject or contain it.
    pub entries: Vec<(Key, Entry)>,
    /// The narrowest first.
    pub allowances: Vec<AllowanceNow>,
    /// The client of the number's last message, which the next one is assumed to come from.
    pub client: Option<ClientNet>,
    pub refusals: Option<Refusals>,
}

#[derive(Debug, Clone, Copy)]
pub struct AllowanceNow {
    pub service: ServiceId,
    pub dimension: Dimension,
    pub figures: Figures,
    /// When the next message from a client without users passes; `None` for now.
    pub next_pass_at: Option<Timestamp>,
}

impl AllowanceNow {
    pub fn new(
        service: ServiceId,
        dimension: Dimension,
        allowance: Allowance,
        rules: &GuardRules,
        now: Timestamp,
    ) -> Self {
        let mut current = Current::new(dimension, Some((0, allowance)), rules, now);
        current.keep_reserve();
        let (figures, next_pass_at) = (current.figures(), current.next_pass_at());
        Self { service, dimension, figures, next_pass_at }
    }

    /// Whether it has less than half of its messages.
    pub const fn is_low(&self) -> bool {
        self.figures.level.saturating_mul(2) < self.figures.most
    }

    /// Sort key: the smallest share left first, then the largest allowance.
    pub fn rank(&self) -> (u32, Reverse<u32>) {
        let Figures { level, most, .. } = self.figures;
        (level.saturating_mul(1_000) / most.max(1), Reverse(most))
    }
}

impl Guard {
    /// With room for so many allowances. `seed` is random and secret: it decides which keys collide in the table.
    pub fn new(most: usize, seed: u64) -> Self {
        Self { rows: Table::new(most, seed), entries: Entries::default() }
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
        let Signals { service, number, country, number_type, channel, address, .. } = *signals;
        let Signals { exemption, only_number, .. } = *signals;
        let (subjects, is_known) = (subjects(number, address, country), verified.is_some());
        let context =
            Context { exemption, only_number, is_known, ..Context::new(service, subjects, rules, now) };
        let mut allowances = Allowances::default();
        let broken = rules.fixed(country, number_type, channel);
        let mut assessment = Assessment::of(self.decide(&context, broken, &mut allowances));
        let Allowances { slots, number: state } = &mut allowances;
        if let Err(Refused { rule, .. }) = assessment.verdict {
            let new = NumberState { address, country, ..NumberState::default() };
            self.change_number(&context, number, Some(new), |state| state.refuse(rule, now));
            return assessment;
        }
        let takes = slots.each_ref().map(Option::is_some);
        if !takes[slot::NUMBER] {
            // The verification of an exempt message must not pay an earlier message's client.
            self.change_number(&context, number, None, |state| {
                *state = NumberState { address, country, ..*state };
            });
            return assessment;
        }
        let unverified = state.unverified.saturating_add(1);
        let state = NumberState { unverified, address, country, ..*state };
        for (at, current) in slots.iter_mut().enumerate() {
            let Some(current) = current else { continue };
            current.allowance.take(&current.limit, 1.0);
            self.write(service, current, (at == slot::NUMBER).then_some(state), true);
        }
        let at = seconds(now);
        assessment.ticket = Ticket { at, address, country, takes, is_known, announced: None };
        assessment
    }

    /// Changes what is known of a number that takes nothing. A change that may make a `new` row is not stored.
    fn change_number(
        &mut self,
        context: &Context<'_>,
        number: PhoneNumber,
        new: Option<NumberState>,
        change: impl FnOnce(&mut NumberState),
    ) {
        let (current, row) = self.current(context, Dimension::Number(number));
        let state = row.and_then(|row| row.number_at(seconds(context.now)));
        // A flood of refused requests pushes out nothing.
        if let Some(mut state) = state.or(new.filter(|_| self.rows.has_room())) {
            change(&mut state);
            self.write(context.service, &current, Some(state), new.is_none());
        }
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
        let Ticket { address, country, takes, .. } = *ticket;
        let subjects = subjects(number, address, country);
        let context = Context::new(service, subjects, rules, now);
        for (of, _) in subjects.into_iter().zip(takes).filter(|(_, takes)| *takes) {
            let Some((mut current, row)) = of.map(|of| self.current(&context, of)) else { continue };
            // One without a row is full.
            let Some(row) = row else { continue };
            let mut state = row.number_at(seconds(now));
            if let Some(state) = &mut state {
                state.give_back(ticket, seconds(now));
            }
            current.allowance.take(&current.limit, -1.0);
            self.write(service, &current, state, true);
        }
    }

    /// The number was verified, which pays its allowances back, and more if it was not known. Returns its record, which the
    /// caller stores; without it, the number counts as no user.
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
        let is_counted = is_counted && verified.is_some();
        let known = self.number(service, number).copied();
        let state =
            known.unwrap_or_else(|| NumberState { country: number.region(), ..NumberState::default() });
        let subjects = subjects(number, state.address, state.country);
        let context = Context::new(service, subjects, rules, now);
        let mut allowances = Allowances::default();
        self.read(&context, &mut allowances);
        for (at, current) in allowances.slots.iter_mut().enumerate() {
            let Some(current) = current else { continue };
            let is_number = at == slot::NUMBER;
            let paid = match verified {
                // A known number of the attacker's own would pay for messages to others, or to itself, for ever.
                _ if earlier.is_some() => 0.0,
                Some(_) => current.limit.pays_back + current.limit.pays_more,
                None => current.limit.pays_back,
            };
            if if is_number { known.is_none() } else { paid <= 0.0 && !is_counted } {
                continue;
            }
            if is_counted && !is_number {
                current.allowance.count_user();
            }
            current.allowance.take(&current.limit, -paid);
            let state = NumberState { unverified: 0, ..allowances.number };
            self.write(service, current, is_number.then_some(state), true);
        }
        verified
    }

    /// Ends the refusals of one number, and forgets its messages.
    pub fn unlock(&mut self, service: ServiceId, number: PhoneNumber) -> bool {
        self.rows.remove((service, Dimension::Number(number)))
    }

    /// Adds or replaces a manual entry, or removes it. The caller has stored it.
    pub fn set_entry(&mut self, key: Key, entry: Option<Entry>) {
        self.entries.set(key, entry);
        if let (Dimension::Number(number), Some(Entry { action: EntryAction::Allow, .. })) =
            (key.dimension, entry)
        {
            let services = key.service.map_or_else(|| self.rows.services().collect(), |only| vec![only]);
            for service in services {
                self.unlock(service, number);
            }
        }
    }

    /// What the guard knows of a subject, and what it would decide about the next text message to or from it. The type is that
    /// of the subject's numbers, and the country theirs.
    pub fn explain(
        &self,
        service: ServiceId,
        dimension: Dimension,
        (country, number_type): (Option<Region>, NumberType),
        rules: &GuardRules,
        verified: Option<VerifiedNumber>,
        now: Timestamp,
    ) -> Explained {
        let known = match dimension {
            Dimension::Number(number) => self.number(service, number),
            _ => None,
        };
        let client = known.and_then(|known| known.address);
        let (of, unproven) = (Some(dimension), Some(Dimension::Unproven));
        let subjects = match dimension {
            Dimension::Number(number) => subjects(number, client, country),
            Dimension::Prefix(_) => [None, of, None, None, unproven, Some(Dimension::Country(country)), None],
            Dimension::Address(client) => {
                [None, None, of, Some(Dimension::Network(client.network())), None, None, None]
            }
            Dimension::Network(_) => [None, None, None, of, None, None, None],
            Dimension::Country(_) => [None, None, None, None, unproven, of, None],
            _ => [None, None, None, None, of, None, None],
        };
        let (is_known, is_stranger) = (verified.is_some(), known.is_none());
        let context = Context { is_known, is_stranger, ..Context::new(service, subjects, rules, now) };
        let broken = rules.fixed(country, number_type, Channel::Sms);
        let broken = broken.filter(|_| subjects[slot::COUNTRY].is_some());
        let assessment = Assessment::of(self.decide(&context, broken, &mut Allowances::default()));
        let allowances = subjects.into_iter().enumerate().filter(|(at, _)| *at != slot::ADDRESS);
        let allowances = allowances.filter_map(|(_, of)| {
            let allowance = self.current(&context, of?).0.allowance;
            Some(AllowanceNow::new(service, of?, allowance, rules, now))
        });
        Explained {
            assessment,
            entries: self.entries_about(&context).collect(),
            allowances: allowances.collect(),
            client,
            refusals: known.and_then(|known| known.refused),
        }
    }

    /// Whether a number of a service has messages, refusals or a manual entry.
    pub fn knows(&self, service: ServiceId, number: PhoneNumber, now: Timestamp) -> bool {
        let key = Key::new(Some(service), Dimension::Number(number));
        self.number(service, number).is_some() || self.entries.get(&key, now).is_some()
    }

    /// What is known of a number with messages or refusals.
    pub fn number(&self, service: ServiceId, number: PhoneNumber) -> Option<&NumberState> {
        self.rows.find(&(service, Dimension::Number(number)))?.1.number.as_deref()
    }

    /// Takes a stored record, before the first send.
    pub fn restore(&mut self, row: GuardRow) {
        match row {
            // Of earlier versions.
            GuardRow::Allowance(_, Dimension::Address(_) | Dimension::Proof | Dimension::ProofsOf(_), _) => {}
            GuardRow::Allowance(service, dimension, row) => {
                self.rows.change(None, (service, dimension), |known| *known = row);
            }
            GuardRow::Entry(key, entry) => self.entries.set(key, Some(entry)),
        }
    }

    /// Decides about a message, and takes nothing yet. `broken` are the lists and types that it breaks. `allowances` become what
    /// it takes; none of a message that needs nothing and is not counted.
    fn decide(
        &self,
        context: &Context<'_>,
        broken: impl Iterator<Item = (Rule, Mode)>,
        allowances: &mut Allowances,
    ) -> Vec<Finding> {
        let Context { service, subjects, exemption, rules, now, .. } = *context;
        let entry = self.entries_about(context).next();
        let mut findings = Vec::new();
        if let Some((key, Entry { action: EntryAction::Block, until })) = entry {
            findings.push(Finding { until: Some(until), ..Finding::new(Rule::Entry, key, Mode::Block) });
        }
        for (rule, mode) in broken {
            let of = match rule {
                Rule::CountryList => subjects[slot::COUNTRY],
                _ if exemption == Exemption::AllowancesAndTypes => None,
                _ => subjects[slot::NUMBER].or(subjects[slot::COUNTRY]),
            };
            findings.extend(of.map(|of| Finding::new(rule, Key::new(Some(service), of), mode)));
        }
        let is_refused = findings.iter().any(|finding| finding.is_refused);
        if is_refused || exemption != Exemption::None || entry.is_some() || rules.mode == Mode::Off {
            return findings;
        }
        self.read(context, allowances);
        // A known number needs only its own allowance again from the next day on.
        let free_at = context.is_known.then(|| Period::Day.end(Period::Day.index(now)));
        findings.extend(allowances.slots.iter().flatten().filter_map(|current| {
            let of = current.dimension;
            let free_at = free_at.filter(|_| !matches!(of, Dimension::Number(_)));
            let until = current.next_pass_at().map(|at| free_at.map_or(at, |free_at| at.min(free_at)))?;
            let finding = Finding::new(current.limit.rule, Key::new(Some(service), of), rules.mode);
            Some(Finding { figures: Some(current.figures()), until: Some(until), ..finding })
        }));
        findings
    }

    /// The manual entries about the narrowest subject come first, and that of the service before that of all services.
    fn entries_about(&self, context: &Context<'_>) -> impl Iterator<Item = (Key, Entry)> {
        let (scopes, now) = ([Some(context.service), None], context.now);
        let subjects = if self.entries.is_empty() { Subjects::default() } else { context.subjects };
        let keys = subjects.into_iter().flatten().flat_map(move |of| scopes.map(|scope| Key::new(scope, of)));
        keys.filter_map(move |key| Some((key, self.entries.get(&key, now)?)))
    }

    /// The allowances that the next message takes, as they are now, and what it may not use of them.
    fn read(&self, context: &Context<'_>, Allowances { slots, number }: &mut Allowances) {
        let Context { subjects, is_known, only_number, is_stranger, .. } = *context;
        let mut users = None;
        for at in [slot::NUMBER, slot::NETWORK, slot::PREFIX, slot::COUNTRY, slot::UNPROVEN] {
            // The client says whether the message may use what is kept.
            let is_needed = !is_known || number.needs(at);
            let country = slots[slot::COUNTRY].as_ref();
            let is_replaced = match at {
                slot::NUMBER => false,
                _ if only_number => true,
                slot::UNPROVEN => country.is_some_and(|of| of.allowance.usual >= PROVEN),
                _ => false,
            };
            let of = subjects[at].filter(|_| !is_replaced && (is_needed || at == slot::NETWORK));
            let Some((current, row)) = of.map(|of| self.current(context, of)) else { continue };
            if at == slot::NUMBER {
                *number = row.and_then(|row| row.number_at(seconds(context.now))).unwrap_or_default();
            } else if at == slot::NETWORK {
                users = Some(current.allowance.usual);
            }
            slots[at] = Some(current).filter(|_| is_needed || at == slot::NUMBER);
        }
        if users.map_or(is_stranger, |users| users < NO_USERS) {
            slots.iter_mut().flatten().for_each(Current::keep_reserve);
        }
    }

    /// The allowance now, and the stored row.
    fn current(&self, context: &Context<'_>, of: Dimension) -> (Current, Option<&Row>) {
        let found = self.rows.find(&(context.service, of));
        let row = found.map(|(at, row)| (at, row.allowance));
        (Current::new(of, row, context.rules, context.now), found.map(|(_, row)| row))
    }

    /// Writes what has changed of an allowance, and of its number.
    fn write(&mut self, service: ServiceId, current: &Current, number: Option<NumberState>, stores: bool) {
        let name = (service, current.dimension);
        self.rows.change(current.row_index, name, |row| {
            row.allowance = current.allowance;
            match (&mut row.number, number) {
                (Some(known), Some(number)) => **known = number,
                (known, Some(number)) => *known = Some(Box::new(number)),
                (_, None) => {}
            }
        });
        if stores {
            self.rows.mark_changed(name);
        }
    }
}
