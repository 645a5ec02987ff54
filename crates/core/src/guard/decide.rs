//! The guard: allowances, numbers and manual entries, and the decision about a send.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::allowance::{
    Allowance, KNOWN_COST, NO_USERS, NumberState, Refusals, Row, Ticket, VerifiedNumber, seconds, slot, whole,
};
use super::rules::{Assessment, Effect, Figures, Finding, GuardRules, Limit, Mode, Refused, Rule};
use super::signals::{ClientNet, Dimension, Exemption, Key, Signals};
use super::table::Table;
use crate::budget::Period;
use crate::domain::{Channel, NumberType, PhoneNumber, Region, ServiceId, Timestamp};

/// Verified numbers a day from which a country is one with users.
const PROVEN: f64 = 10.0;

/// Verified numbers a day from which a prefix, address or network may use the reserve of a country: half of it, if only
/// the prefix has as many and address and network have none.
const USERS_OF_RESERVE: f64 = 2.0;

/// Allowances in memory, those of numbers included: about 80 bytes each, and 180 for a number.
pub const MOST_ALLOWANCES: usize = 700_000;

/// Manual entries of all services, and as many of those for all services.
const MOST_ENTRIES: usize = 10_000;

/// What a manual entry does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EntryAction {
    /// Messages need no allowance.
    Allow,
    Block,
    /// So many messages to a country, beyond its allowance and that of unproven countries. Each counts once; all services
    /// share an entry for all services.
    Expect(u32),
}

/// A manual entry of the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub action: EntryAction,
    pub until: Timestamp,
}

/// There is no room for a further manual entry.
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
    pub rows: Table,
    entries: BTreeMap<Key, Entry>,
    changed_entries: Vec<Key>,
}

/// What a message takes allowances of, by [`slot`], as far as it is known: an explanation may be about a country only.
type Subjects = [Option<Dimension>; slot::ALL];

const fn subjects(
    number: PhoneNumber,
    address: Option<ClientNet>,
    country: Option<Region>,
    has_proof: bool,
) -> Subjects {
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
        if has_proof { Some(Dimension::Proof) } else { None },
    ]
}

/// The allowance at a position. With a proof of work, the allowance of the client's proofs replaces that of its address.
const fn allowance_at(at: usize, subjects: &Subjects) -> Option<Dimension> {
    match (subjects[at], subjects[slot::PROOF]) {
        (Some(Dimension::Address(client)), Some(_)) => Some(Dimension::ProofsOf(client)),
        (of, _) => of,
    }
}

/// What is known of a message before the decision.
pub(super) struct SendContext<'a> {
    pub(super) service: ServiceId,
    /// The index of the service in the table.
    service_index: Option<usize>,
    pub(super) subjects: Subjects,
    exemption: Exemption,
    /// [`Signals::only_number`].
    only_number: bool,
    /// Whether the application passes no address: clients cannot be told apart.
    pub(super) lacks_address: bool,
    /// Whether the number was verified in the last 30 days.
    pub(super) is_known: bool,
    pub(super) rules: &'a GuardRules,
    pub(super) now: Timestamp,
}

/// An allowance as it is now, and what a message needs of it.
pub(super) struct CurrentAllowance {
    dimension: Dimension,
    row_index: Option<usize>,
    pub(super) limit: Limit,
    pub(super) allowance: Allowance,
    /// The last part of it, which the message may not use.
    reserve: f64,
    /// What the message takes.
    cost: f64,
}

/// The allowances of [`Subjects`], and the state of the number.
#[derive(Default)]
struct Allowances {
    slots: [Option<CurrentAllowance>; slot::ALL],
    number: NumberState,
}

/// The client that the next message is assumed to come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AssumedClient {
    /// That of the number's last request.
    Last(ClientNet),
    /// The number's last request had no client address.
    WithoutAddress,
    /// One that has verified nothing.
    New,
}

/// What the guard knows of a subject, and what it would decide about the next text message.
#[derive(Debug, Clone)]
pub struct Explained {
    pub assessment: Assessment,
    /// The manual entries that are about the subject or contain it.
    pub entries: Vec<(Key, Entry)>,
    /// The subject itself first, then what contains it.
    pub allowances: Vec<AllowanceNow>,
    pub client: AssumedClient,
    pub refusals: Option<Refusals>,
}

#[derive(Debug, Clone, Copy)]
pub struct AllowanceNow {
    pub service: ServiceId,
    pub dimension: Dimension,
    pub figures: Figures,
    /// When the next message passes; `None` for now.
    pub next_pass_at: Option<Timestamp>,
}

impl AllowanceNow {
    /// As a client that has verified nothing meets it: without the reserve.
    pub fn new(
        service: ServiceId,
        dimension: Dimension,
        allowance: Allowance,
        rules: &GuardRules,
        now: Timestamp,
    ) -> Self {
        let mut current = CurrentAllowance::new(dimension, Some((0, allowance)), rules, now);
        if !matches!(dimension, Dimension::Number(_)) {
            current.reserve(1.0);
        }
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

impl CurrentAllowance {
    #[expect(clippy::inline_always, reason = "a fifth fewer instructions in all")]
    #[inline(always)]
    fn new(of: Dimension, found: Option<(usize, Allowance)>, rules: &GuardRules, now: Timestamp) -> Self {
        let (limit, now) = (rules.limit(of), seconds(now));
        let (row_index, allowance) = match found {
            Some((index, allowance)) => (Some(index), allowance.at(&limit, now)),
            None => (None, Allowance::new(&limit, now)),
        };
        Self { dimension: of, row_index, limit, allowance, reserve: 0.0, cost: 1.0 }
    }

    /// Reserves the last messages, or a part of them, for clients and prefixes with users. A full allowance still gives a message.
    fn reserve(&mut self, part: f64) {
        let reserve = part * (self.limit.reserve + self.limit.reserve_of_usual * self.allowance.usual);
        self.reserve = reserve.min(self.allowance.most(&self.limit) - 1.0).max(0.0);
    }

    /// When a message passes it; `None` for now.
    fn next_pass_at(&self) -> Option<Timestamp> {
        self.allowance.has(&self.limit, if self.cost > 0.0 { self.reserve + self.cost } else { 0.0 })
    }

    fn figures(&self) -> Figures {
        Figures {
            level: whole(self.allowance.level),
            most: whole(self.allowance.most(&self.limit)),
            usual: whole(self.allowance.usual.round()),
        }
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
        let Signals { service, number, country, number_type, channel, address, .. } = *signals;
        let Signals { exemption, only_number, has_proof, .. } = *signals;
        let context = SendContext {
            exemption,
            only_number,
            lacks_address: address.is_none(),
            is_known: verified.is_some(),
            ..self.context(service, subjects(number, address, country, has_proof), rules, now)
        };
        let broken = rules.fixed(country, number_type, channel);
        let mut allowances = Allowances::default();
        let (findings, announced) = self.decide(&context, broken, &mut allowances);
        let mut assessment = Assessment::of(findings);
        if let Err(Refused { rule, .. }) = assessment.verdict {
            let (current, row) = self.current(&context, Dimension::Number(number));
            // A flood of refused requests pushes out nothing.
            if row.is_some() || self.rows.has_room() {
                let mut state = row.and_then(|row| row.number_at(seconds(now))).unwrap_or_default();
                state.refuse(rule, address, now);
                self.write(&context, &current, Some(&state), false);
            }
            return assessment;
        }
        let Allowances { slots, number: state } = &mut allowances;
        let takes = slots.each_ref().map(|of| of.as_ref().is_some_and(|of| of.cost > 0.0));
        let is_known = context.is_known;
        let ticket = Ticket { at: seconds(now), address, country, takes, is_known, announced };
        if slots[slot::NUMBER].is_none() {
            self.credit_client(&context, number, &ticket);
        }
        state.send(&ticket);
        for (at, current) in slots.iter_mut().enumerate() {
            let Some(current) = current else { continue };
            if at == slot::NUMBER {
                assessment.ticket = ticket;
            }
            current.allowance.take(&current.limit, current.cost);
            self.write(&context, current, (at == slot::NUMBER).then_some(&*state), true);
        }
        self.announce(announced, |left| left.saturating_sub(1));
        assessment
    }

    /// For a trusted or allowed message: its verification must not pay back an earlier message's client.
    fn credit_client(&mut self, context: &SendContext<'_>, number: PhoneNumber, ticket: &Ticket) {
        let (current, row) = self.current(context, Dimension::Number(number));
        if let Some(mut state) = row.and_then(|row| row.number_at(ticket.at)) {
            state.credit_client(ticket);
            self.write(context, &current, Some(&state), true);
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
        if ticket.at == 0 {
            return;
        }
        self.announce(ticket.announced, |left| left.saturating_add(1));
        let Ticket { address, country, is_known, takes, .. } = *ticket;
        let subjects = subjects(number, address, country, takes[slot::PROOF]);
        let context = SendContext { is_known, ..self.context(service, subjects, rules, now) };
        let mut is_paid = false;
        for (at, takes) in takes.into_iter().enumerate() {
            let of = allowance_at(at, &subjects);
            let Some((mut current, row)) = of.map(|of| self.current(&context, of)) else { continue };
            // One without a row is full.
            let Some(row) = row else { continue };
            let mut state = row.number_at(seconds(now));
            if let Some(state) = &mut state {
                is_paid = state.give_back(ticket, seconds(now));
            }
            let gives = takes && !is_paid;
            if gives || state.is_some() {
                current.allowance.take(&current.limit, if gives { -current.cost } else { 0.0 });
                self.write(&context, &current, state.as_ref(), true);
            }
        }
    }

    /// The number was verified. Pays back what its series took, and more for a number that was not known. Returns its
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
        let known = self.number(service, number);
        let known = known.map(|state| (state.address, state.country, state.took[slot::PROOF] > 0));
        let (address, country, has_proof) = known.unwrap_or_else(|| (None, number.region(), false));
        let context = self.context(service, subjects(number, address, country, has_proof), rules, now);
        let mut allowances = Allowances::default();
        self.read(&context, true, &mut allowances);
        let took = allowances.number.verify(seconds(now));
        for (at, current) in allowances.slots.iter_mut().enumerate() {
            let Some(current) = current else { continue };
            let is_number = at == slot::NUMBER;
            let is_counted = is_counted && has_record && !is_number;
            // A known number of the attacker's own would pay for messages to others, or to itself, for ever. After a proof, a bot
            // that does none would get what is paid to the country.
            let pays_more = has_record && !is_known && (!has_proof || took[at] > 0);
            let bonus = if pays_more { current.limit.bonus } else { 0.0 };
            let paid = if is_number && is_known { 0.0 } else { f64::from(took[at]) + bonus };
            let is_written = if is_number { current.row_index.is_some() } else { is_counted || paid > 0.0 };
            if is_written {
                current.allowance.pay(&current.limit, paid, is_counted);
                self.write(&context, current, is_number.then_some(&allowances.number), true);
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
            // A service may have a fifth of what others leave.
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
        if let (Dimension::Number(number), Some(EntryAction::Allow)) = (key.dimension, action) {
            let services = key.service.map_or_else(|| self.rows.services().collect(), |only| vec![only]);
            for service in services {
                self.unlock(service, number);
            }
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

    pub fn entry(&self, key: &Key, now: Timestamp) -> Option<Entry> {
        self.entries.get(key).copied().filter(|entry| now < entry.until)
    }

    /// Whether there is a manual entry, perhaps one that has ended.
    pub fn has_entries(&self) -> bool {
        !self.entries.is_empty()
    }

    /// All manual entries.
    pub fn entries(&self, now: Timestamp) -> impl Iterator<Item = (Key, Entry)> {
        self.entries.iter().map(|(key, entry)| (*key, *entry)).filter(move |(_, entry)| now < entry.until)
    }

    /// What the guard knows of a subject, and what it would decide about the next text message to or from it, from the
    /// [`AssumedClient`]. The type is that of the subject's numbers, and the country theirs.
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
        let (unproven, of_country) = (Some(Dimension::Unproven), Some(Dimension::Country(country)));
        let last_client = known.and_then(|known| known.last_request_client);
        let subjects = match dimension {
            Dimension::Number(number) => subjects(number, last_client, country, false),
            Dimension::Prefix(_) => [None, Some(dimension), None, None, unproven, of_country, None],
            Dimension::Address(of) => {
                [None, None, Some(dimension), Some(Dimension::Network(of.network())), None, None, None]
            }
            Dimension::Network(_) => [None, None, None, Some(dimension), None, None, None],
            Dimension::Country(_) => [None, None, None, None, unproven, Some(dimension), None],
            Dimension::Unproven | Dimension::Total => [None, None, None, None, unproven, None, None],
            Dimension::Proof => [None, None, None, None, None, None, Some(dimension)],
            Dimension::ProofsOf(_) => [None, None, Some(dimension), None, None, None, Some(Dimension::Proof)],
        };
        let known_client = last_client.map_or(AssumedClient::WithoutAddress, AssumedClient::Last);
        let client = if known.is_some() { known_client } else { AssumedClient::New };
        let context = SendContext {
            lacks_address: client == AssumedClient::WithoutAddress,
            is_known: verified.is_some(),
            ..self.context(service, subjects, rules, now)
        };
        let has_country = subjects[slot::COUNTRY].is_some();
        let broken = rules.fixed(country, number_type, Channel::Sms).filter(|_| has_country);
        let (mut allowances, mut taken) = (Allowances::default(), Allowances::default());
        self.read(&context, true, &mut allowances);
        let allowance =
            |of: &CurrentAllowance| AllowanceNow::new(service, of.dimension, of.allowance, rules, now);
        Explained {
            entries: self.entries_about(&context, &subjects).collect(),
            assessment: Assessment::of(self.decide(&context, broken, &mut taken).0),
            allowances: allowances.slots.iter().flatten().map(allowance).collect(),
            client,
            refusals: known.and_then(|known| known.refused),
        }
    }

    fn number(&self, service: ServiceId, number: PhoneNumber) -> Option<&NumberState> {
        let (_, row) = self.rows.find(self.rows.service_index(service), Dimension::Number(number))?;
        row.number.as_deref()
    }

    /// Whether messages to a number are counted, or were refused.
    pub fn counts(&self, service: ServiceId, number: PhoneNumber) -> bool {
        self.number(service, number).is_some()
    }

    /// Whether [`forget`](Self::forget) has something to forget in a service.
    pub fn has_row_of(&self, service: ServiceId, number: PhoneNumber) -> bool {
        let key = Key::new(Some(service), Dimension::Number(number));
        self.counts(service, number) || self.entries.contains_key(&key)
    }

    pub fn last_message_client(&self, service: ServiceId, number: PhoneNumber) -> Option<ClientNet> {
        self.number(service, number)?.address
    }

    /// The refusals of a number on the day of the last one.
    pub fn refusals(&self, service: ServiceId, number: PhoneNumber) -> Option<Refusals> {
        self.number(service, number)?.refused
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
                let service_index = self.rows.service_index(service);
                self.rows.change((service_index, None), (service, dimension), false, |known| *known = row);
            }
            GuardRow::Entry(key, entry) => drop(self.entries.insert(key, entry)),
        }
    }

    /// Decides about a message, and takes nothing yet: the findings, and the entry that announces it. `broken` are the lists and
    /// types that it breaks. `allowances` become what it takes; none of a message that needs nothing and is not counted.
    fn decide(
        &self,
        context: &SendContext<'_>,
        broken: impl Iterator<Item = (Rule, Effect)>,
        allowances: &mut Allowances,
    ) -> (Vec<Finding>, Option<Key>) {
        let SendContext { service, subjects, exemption, is_known, rules, now, .. } = *context;
        let entry = self
            .entries_about(context, &subjects)
            .find(|(_, entry)| !matches!(entry.action, EntryAction::Expect(_)));
        let mut findings = Vec::new();
        if let Some((key, Entry { action: EntryAction::Block, until })) = entry {
            findings.push(Finding { until: Some(until), ..Finding::new(Rule::Entry, key, Effect::Refused) });
        }
        for (rule, effect) in broken {
            let of = match rule {
                Rule::CountryList => subjects[slot::COUNTRY],
                _ if exemption == Exemption::AllowancesAndTypes => None,
                _ => subjects[slot::NUMBER].or(subjects[slot::COUNTRY]),
            };
            findings.extend(of.map(|of| Finding::new(rule, Key::new(Some(service), of), effect)));
        }
        let is_refused = findings.iter().any(|finding| finding.effect == Effect::Refused);
        if is_refused || exemption != Exemption::None || entry.is_some() || rules.mode == Mode::Off {
            return (findings, None);
        }
        self.read(context, false, allowances);
        let slots = &mut allowances.slots;
        if context.only_number {
            slots[1..].fill_with(|| None);
        } else if slots[slot::PROOF].is_some() {
            slots[slot::NETWORK..slot::PROOF].fill_with(|| None);
        }
        let lacks = slots[slot::UNPROVEN..slot::PROOF]
            .iter()
            .flatten()
            .any(|current| current.next_pass_at().is_some());
        let countries = if lacks { &subjects[slot::COUNTRY..slot::PROOF] } else { &[] };
        let mut announcements = self.entries_about(context, countries);
        let announced = announcements
            .find(|(_, entry)| matches!(entry.action, EntryAction::Expect(1..)))
            .map(|(key, _)| key);
        if announced.is_some() {
            slots[slot::UNPROVEN..slot::PROOF].fill_with(|| None);
        }
        // A known number needs no allowance again from the next day on.
        let free_at = is_known.then(|| Period::Day.end(Period::Day.index(now)));
        findings.extend(slots.iter().flatten().filter_map(|current| {
            let until = current.next_pass_at().map(|at| free_at.map_or(at, |free_at| at.min(free_at)))?;
            let key = Key::new(Some(service), current.dimension);
            let finding = Finding::new(current.limit.rule, key, Effect::of(rules.mode));
            Some(Finding { figures: Some(current.figures()), until: Some(until), ..finding })
        }));
        (findings, announced)
    }

    /// The manual entries about the first of these subjects, the narrowest, come first; that of the service before that of
    /// all services.
    fn entries_about(
        &self,
        context: &SendContext<'_>,
        subjects: &[Option<Dimension>],
    ) -> impl Iterator<Item = (Key, Entry)> {
        let subjects = if self.entries.is_empty() { &[] } else { subjects };
        let (scopes, now) = ([Some(context.service), None], context.now);
        let keys = subjects.iter().flatten().flat_map(move |of| scopes.map(|scope| Key::new(scope, *of)));
        keys.filter_map(move |key| Some((key, self.entry(&key, now)?)))
    }

    pub(super) fn context<'a>(
        &self,
        service: ServiceId,
        subjects: Subjects,
        rules: &'a GuardRules,
        now: Timestamp,
    ) -> SendContext<'a> {
        let service_index = self.rows.service_index(service);
        SendContext {
            service,
            service_index,
            subjects,
            exemption: Exemption::None,
            only_number: false,
            lacks_address: false,
            is_known: false,
            rules,
            now,
        }
    }

    /// The allowances of the subjects as they are now, and what the next message may not use of them: without `all`, those that
    /// it needs, and that of the number.
    fn read(&self, context: &SendContext<'_>, all: bool, Allowances { slots, number }: &mut Allowances) {
        let mut needs = 0..slot::PROOF;
        // The country decides whether it is one of the unproven.
        let order = [
            slot::NUMBER,
            slot::PREFIX,
            slot::ADDRESS,
            slot::NETWORK,
            slot::COUNTRY,
            slot::UNPROVEN,
            slot::PROOF,
        ];
        for at in order {
            let is_needed = at == slot::NUMBER || at == slot::PROOF || needs.contains(&at);
            let of = allowance_at(at, &context.subjects).filter(|_| is_needed);
            let country = slots[slot::COUNTRY].as_ref();
            let is_proven = at == slot::UNPROVEN && country.is_some_and(|of| of.allowance.usual >= PROVEN);
            let Some(of) = of.filter(|_| !is_proven) else { continue };
            let (current, row) = self.current(context, of);
            let current = slots[at].insert(current);
            if at == slot::NUMBER {
                *number = row.and_then(|row| row.number_at(seconds(context.now))).unwrap_or_default();
                if context.is_known && !all {
                    needs = number.needs();
                    current.cost = if needs.contains(&slot::NUMBER) { current.cost } else { 0.0 };
                }
            }
        }
        let usual = slots.each_ref().map(|of| of.as_ref().map_or(0.0, |of| of.allowance.usual));
        let [_, prefix, address, network, _, country, _] = usual;
        let around = address.max(network);
        let is_unproven_client = around < NO_USERS && !context.lacks_address;
        let fraction = |is_reserved: bool| f64::from(u8::from(is_reserved));
        let of_prefix = fraction(is_unproven_client);
        // Prefixes are public: an attacker can choose one with users.
        let of_country = if around.max(prefix) < USERS_OF_RESERVE { 1.0 } else { 0.5 * of_prefix };
        let of_unproven = fraction(is_unproven_client || country < NO_USERS);
        let parts = [0.0, of_prefix, 0.0, 0.0, of_unproven, of_country, 0.0];
        for (current, part) in slots.iter_mut().zip(parts) {
            if let Some(current) = current {
                current.reserve(part);
            }
        }
    }

    /// The allowance now, and the stored row.
    #[expect(clippy::inline_always, reason = "a fifth fewer instructions in all")]
    #[inline(always)]
    pub(super) fn current(
        &self,
        context: &SendContext<'_>,
        of: Dimension,
    ) -> (CurrentAllowance, Option<&Row>) {
        let SendContext { service_index, rules, now, is_known, .. } = *context;
        let found = self.rows.find(service_index, of);
        let mut current = CurrentAllowance::new(of, found.map(|(at, row)| (at, row.allowance)), rules, now);
        if is_known && matches!(of, Dimension::Number(_)) {
            current.cost = KNOWN_COST.min(current.limit.floor);
        }
        (current, found.map(|(_, row)| row))
    }

    /// Writes what has changed of an allowance, and of its number.
    fn write(
        &mut self,
        context: &SendContext<'_>,
        current: &CurrentAllowance,
        number: Option<&NumberState>,
        stores: bool,
    ) {
        let name = (context.service, current.dimension);
        self.rows.change((context.service_index, current.row_index), name, stores, |row| {
            row.allowance = current.allowance;
            match (&mut row.number, number) {
                (Some(known), Some(number)) => **known = *number,
                (known, Some(number)) => *known = Some(Box::new(*number)),
                (_, None) => {}
            }
        });
    }
}
