//! The guard: allowances, numbers and manual entries, and the decision about a send.

use std::array;
use std::cmp::Reverse;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::allowance::{
    Allowance, Limit, NO_USERS, NumberState, Row, Ticket, USUAL_DAYS, Unverified, VerifiedChange,
    VerifiedNumber, needs, seconds, slot, whole,
};
use super::entries::{Entries, Entry, EntryAction};
use super::findings::{Assessment, Figures, Finding, Refused};
use super::rules::{GuardRules, Mode, Rule};
use super::signals::{ClientNet, Dimension, Exemption, Key, Signals};
use super::table::Table;
use crate::budget::Period;
use crate::domain::{Channel, NumberType, PhoneNumber, Region, ServiceId, Timestamp};

const DAY: Duration = Duration::from_secs(86_400);

/// Verified numbers a day from which a country is one with users.
const PROVEN: f64 = 10.0;

/// Allowances in memory, those of numbers included: about 80 bytes each, and 130 for a number.
pub const MOST_ALLOWANCES: usize = 700_000;

/// A record of the guard, whole: the last one written under a name wins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum GuardRow {
    Allowance(ServiceId, Dimension, Row),
    Entry(Key, Entry),
    /// The stored allowances contain every message whose [`Ticket`] is of an earlier second since the epoch.
    Written(u32),
}

impl GuardRow {
    pub fn expires(&self) -> Timestamp {
        match self {
            Self::Allowance(.., row) => row.expires(),
            Self::Entry(_, entry) => entry.until,
            Self::Written(_) => Timestamp::MAX,
        }
    }
}

/// The state of the guard, of all services.
#[derive(Debug, Clone)]
pub struct Guard {
    pub rows: Table,
    pub entries: Entries,
    /// The second of the last message, or a later one if the rows were written since; it never goes back.
    latest: u32,
    /// [`GuardRow::Written`] before the start.
    written: u32,
    /// Of fingerprints of networks.
    key: u64,
}

/// What a message of a service without outcomes takes: nothing pays its places back, and its users need more of them.
const fn part_without_outcomes(at: usize) -> f64 {
    if at == slot::NUMBER { 1.0 } else { 0.2 }
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
#[derive(Clone, Copy)]
struct Context<'a> {
    service: ServiceId,
    subjects: Subjects,
    exemption: Exemption,
    /// [`Signals::without_outcomes`].
    without_outcomes: bool,
    /// Its number, if that was verified in the last 30 days.
    verified: Option<VerifiedNumber>,
    /// Whether it is from the network in which the number was verified.
    is_home: bool,
    /// Without an address: whether the client is taken for one without users.
    is_stranger: bool,
    rules: &'a GuardRules,
    now: Timestamp,
}

impl<'a> Context<'a> {
    const fn new(service: ServiceId, subjects: Subjects, rules: &'a GuardRules, now: Timestamp) -> Self {
        let (exemption, verified) = (Exemption::None, None);
        let (without_outcomes, is_home, is_stranger) = (false, false, false);
        Self { service, subjects, exemption, without_outcomes, verified, is_home, is_stranger, rules, now }
    }
}

/// An allowance as it is now, and what a message needs of it.
#[derive(Debug, Clone, Copy)]
pub struct AllowanceNow {
    pub service: ServiceId,
    pub dimension: Dimension,
    limit: Limit,
    allowance: Allowance,
    /// The last part of it, which a client without users may not use.
    reserve: f64,
    /// The part of a message that it takes.
    takes: f64,
}

impl AllowanceNow {
    pub fn new(
        service: ServiceId,
        dimension: Dimension,
        stored: Option<Allowance>,
        rules: &GuardRules,
        now: Timestamp,
    ) -> Self {
        let (limit, now) = (Limit::of(dimension, rules), seconds(now));
        let allowance = stored.map_or_else(|| Allowance::new(&limit, now), |stored| stored.at(&limit, now));
        let reserve = allowance.reserve(&limit);
        Self { service, dimension, limit, allowance, reserve, takes: 1.0 }
    }

    /// When the next message passes; `None` for now.
    pub fn next_pass_at(&self) -> Option<Timestamp> {
        self.allowance.has(&self.limit, self.reserve + self.takes)
    }

    pub fn figures(&self) -> Figures {
        Figures {
            level: whole(self.allowance.level),
            most: whole(self.allowance.most(&self.limit)),
            usual: whole(self.allowance.usual.round()),
        }
    }

    /// Whether it has less than half of its messages.
    pub fn is_low(&self) -> bool {
        let Figures { level, most, .. } = self.figures();
        level.saturating_mul(2) < most
    }

    /// Sort key: the smallest share left first, then the largest allowance.
    pub fn rank(&self) -> (u32, Reverse<u32>) {
        let Figures { level, most, .. } = self.figures();
        (level.saturating_mul(1_000) / most.max(1), Reverse(most))
    }

    fn take(&mut self, messages: f64) {
        self.allowance.take(&self.limit, messages);
    }
}

/// The allowances that a message takes, by [`slot`].
type Needed = [Option<AllowanceNow>; slot::ALL];

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
    /// What a message gets from the network in which the number was verified last, if that is known.
    pub from_home: Option<Result<(), Refused>>,
}

impl Guard {
    /// With room for so many allowances. `seed` is random and secret: it decides which keys collide in the table.
    pub fn new(most: usize, seed: u64) -> Self {
        let (rows, entries) = (Table::new(most, seed), Entries::default());
        Self { rows, entries, latest: 0, written: 0, key: seed }
    }

    /// Whether a client is in the network in which a number was verified last.
    fn is_home(&self, verified: Option<VerifiedNumber>, client: Option<ClientNet>) -> bool {
        let home = client.map(|client| client.fingerprint(self.key));
        home.is_some() && home == verified.map(|verified| verified.home)
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
        let Signals { exemption, without_outcomes, price, .. } = *signals;
        let is_home = self.is_home(verified, address);
        let context = Context {
            exemption,
            without_outcomes,
            verified,
            is_home,
            ..Context::new(service, subjects(number, address, country), rules, now)
        };
        let (findings, needed) = self.decide(&context, rules.fixed(country, number_type, channel, price));
        let mut assessment = Assessment::of(findings);
        let known = self.state(service, number, now);
        let mut state = NumberState { address, country, ..known.unwrap_or_default() };
        if assessment.verdict.is_err() {
            return assessment;
        }
        let Some(needed) = needed else {
            // The verification of an exempt message must not pay an earlier message's client.
            if known.is_some() {
                self.write(&self.allowance(&context, Dimension::Number(number)), state);
            }
            return assessment;
        };
        let mut takes = needed.each_ref().map(Option::is_some);
        takes[slot::WITHOUT_OUTCOMES] = without_outcomes;
        state.count(is_home);
        for mut current in needed.into_iter().flatten() {
            current.take(current.takes);
            self.write(&current, state);
        }
        self.latest = self.latest.max(seconds(now));
        assessment.ticket = Ticket { at: self.latest, address, country, takes, is_home };
        assessment
    }

    /// For [`GuardRow::Written`], if the rows are stored as they are now. Messages from now on are of this second or a later
    /// one. With at most one call in a second, it is never more than a second ahead of the clock.
    pub fn close_second(&mut self) -> u32 {
        self.latest = self.latest.saturating_add(1);
        self.latest
    }

    /// The moment from which on messages may not be in the rows that were restored.
    pub fn unwritten_since(&self) -> Timestamp {
        Timestamp::from_millis(u64::from(self.written) * 1_000)
    }

    /// A message that left shortly before a crash: takes its allowances again if the stored ones may not contain it.
    pub fn take_again(
        &mut self,
        service: ServiceId,
        number: PhoneNumber,
        ticket: &Ticket,
        rules: &GuardRules,
        now: Timestamp,
    ) {
        if ticket.at < self.written || ticket.at().plus(DAY) <= now {
            return;
        }
        self.latest = self.latest.max(ticket.at);
        let Ticket { address, country, is_home, .. } = *ticket;
        let mut state =
            NumberState { address, country, ..self.state(service, number, now).unwrap_or_default() };
        state.count(is_home);
        for (mut current, part) in self.taken(service, number, ticket, rules, now) {
            current.take(part);
            self.write(&current, state);
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
        let mut state = self.state(service, number, now).unwrap_or_default();
        state.give_back(ticket, seconds(now));
        for (mut current, part) in self.taken(service, number, ticket, rules, now) {
            // One without a row is full.
            if self.rows.find(&(service, current.dimension)).is_some() {
                current.take(-part);
                self.write(&current, state);
            }
        }
    }

    /// The allowances that a message took, and how much of each.
    fn taken(
        &self,
        service: ServiceId,
        number: PhoneNumber,
        ticket: &Ticket,
        rules: &GuardRules,
        now: Timestamp,
    ) -> Vec<(AllowanceNow, f64)> {
        let subjects = subjects(number, ticket.address, ticket.country);
        let context = Context::new(service, subjects, rules, now);
        let taken = subjects.into_iter().enumerate().filter(|(at, _)| ticket.takes[*at]);
        let taken = taken.filter_map(|(at, of)| {
            let part = if ticket.takes[slot::WITHOUT_OUTCOMES] { part_without_outcomes(at) } else { 1.0 };
            Some((self.allowance(&context, of?), part))
        });
        taken.collect()
    }

    /// The record of a number that is verified now, from its earlier one. The caller stores it.
    pub fn verified_record(
        &self,
        service: ServiceId,
        number: PhoneNumber,
        earlier: Option<VerifiedNumber>,
        now: Timestamp,
    ) -> VerifiedNumber {
        let address = self.state(service, number, now).and_then(|state| state.address);
        VerifiedNumber::after(earlier, address.map_or(0, |address| address.fingerprint(self.key)), now)
    }

    /// Pays the allowances of a verified number back, and more if it was not known. Without a stored record it counts as no
    /// user: it would count again each time.
    pub fn verified(
        &mut self,
        service: ServiceId,
        number: PhoneNumber,
        rules: &GuardRules,
        VerifiedChange { before: earlier, after: verified }: VerifiedChange,
        now: Timestamp,
    ) {
        if rules.mode == Mode::Off {
            return;
        }
        let known = self.state(service, number, now);
        let state =
            known.unwrap_or_else(|| NumberState { country: number.region(), ..NumberState::default() });
        let is_counted = verified.is_some_and(|verified| verified.counts_after(earlier));
        let is_home = self.is_home(earlier, state.address);
        let context = Context::new(service, subjects(number, state.address, state.country), rules, now);
        for (at, current) in self.needed(&context).into_iter().enumerate() {
            let Some(mut current) = current else { continue };
            let Limit { pays_back, pays_more, .. } = current.limit;
            let paid = match (verified, earlier) {
                // A known number of the attacker's own would pay for messages to others for ever.
                (_, Some(_)) => state.last_took(is_home, at).min(pays_back),
                (Some(_), _) => pays_back + pays_more,
                (None, _) => pays_back,
            };
            let is_number = at == slot::NUMBER;
            if if is_number { known.is_none() } else { paid <= 0.0 && !is_counted } {
                continue;
            }
            if is_counted && !is_number {
                current.allowance.usual += 1.0 / USUAL_DAYS;
            }
            current.take(-paid);
            self.write(&current, NumberState { unverified: Unverified::default(), ..state });
        }
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

    /// What the guard knows of a subject, and what it would decide about the next text message to or from it. Country, type and
    /// price are those of the subject's numbers.
    pub fn explain(
        &self,
        service: ServiceId,
        dimension: Dimension,
        (country, number_type, price): (Option<Region>, NumberType, Option<u64>),
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
        let (is_home, is_stranger) = (self.is_home(verified, client), known.is_none());
        let context =
            Context { verified, is_home, is_stranger, ..Context::new(service, subjects, rules, now) };
        let decide = |context| {
            let broken = rules.fixed(country, number_type, Channel::Sms, price);
            let broken = broken.filter(|_| subjects[slot::COUNTRY].is_some());
            Assessment::of(self.decide(context, broken).0)
        };
        let has_home = verified.is_some_and(|verified| verified.home != 0);
        let at_home = Context { is_home: true, ..context };
        let allowances = subjects.into_iter().flatten().filter(|of| !matches!(of, Dimension::Address(_)));
        Explained {
            assessment: decide(&context),
            entries: self.entries_about(&context).collect(),
            allowances: allowances.map(|of| self.allowance(&context, of)).collect(),
            client,
            from_home: has_home.then(|| decide(&at_home).verdict),
        }
    }

    /// Whether a number of a service has messages or a manual entry.
    pub fn knows(&self, service: ServiceId, number: PhoneNumber, now: Timestamp) -> bool {
        let key = Key::new(Some(service), Dimension::Number(number));
        self.number(service, number).is_some() || self.entries.get(&key, now).is_some()
    }

    /// What is known of a number with messages.
    pub fn number(&self, service: ServiceId, number: PhoneNumber) -> Option<&NumberState> {
        self.rows.find(&(service, Dimension::Number(number)))?.number.as_deref()
    }

    fn state(&self, service: ServiceId, number: PhoneNumber, now: Timestamp) -> Option<NumberState> {
        self.rows.find(&(service, Dimension::Number(number)))?.number_at(seconds(now))
    }

    /// Takes a stored record, before the first send.
    pub fn restore(&mut self, row: GuardRow) {
        match row {
            GuardRow::Allowance(service, dimension, row) => {
                self.rows.change((service, dimension), |known| *known = row);
            }
            GuardRow::Entry(key, entry) => self.entries.set(key, Some(entry)),
            GuardRow::Written(before) => (self.latest, self.written) = (self.latest.max(before), before),
        }
    }

    /// Decides about a message, and takes nothing yet. `broken` are the lists and types that it breaks. The allowances are
    /// those that it takes, if it needs any and is counted.
    fn decide(
        &self,
        context: &Context<'_>,
        broken: impl Iterator<Item = (Rule, Mode)>,
    ) -> (Vec<Finding>, Option<Needed>) {
        let Context { service, subjects, exemption, verified, rules, now, .. } = *context;
        let is_safe = exemption == Exemption::AllowancesAndTypes
            || matches!(subjects[slot::NUMBER], Some(Dimension::Number(of)) if self.entries.is_safe(of));
        let entry = self.entries_about(context).next();
        let mut findings = Vec::new();
        if let Some((key, Entry { action: EntryAction::Block, until })) = entry {
            findings.push(Finding { until: Some(until), ..Finding::new(Rule::Entry, key, Mode::Block) });
        }
        let lids = [Some(service), None].map(|scope| Key::new(scope, Dimension::Total));
        let lid = lids.into_iter().find_map(|key| Some((key, self.entries.get(&key, now)?)));
        if let Some((key, Entry { until, .. })) = lid.filter(|_| verified.is_none() && !is_safe) {
            findings.push(Finding { until: Some(until), ..Finding::new(Rule::KnownOnly, key, Mode::Block) });
        }
        findings.extend(broken.filter_map(|(rule, mode)| {
            let of = match rule {
                Rule::CountryList | Rule::Price => subjects[slot::COUNTRY],
                _ if is_safe => None,
                _ => subjects[slot::NUMBER].or(subjects[slot::COUNTRY]),
            };
            Some(Finding::new(rule, Key::new(Some(service), of?), mode))
        }));
        let is_refused = findings.iter().any(|finding| finding.is_refused);
        if is_refused || is_safe || entry.is_some() || rules.mode == Mode::Off {
            return (findings, None);
        }
        let needed = self.needed(context);
        // A known number needs only its own allowance again from the next day on.
        let free_at = verified.map(|_| Period::Day.end(Period::Day.index(now)));
        findings.extend(needed.iter().flatten().filter_map(|current| {
            let of = current.dimension;
            let free_at = free_at.filter(|_| !matches!(of, Dimension::Number(_)));
            let until = current.next_pass_at().map(|at| free_at.map_or(at, |free_at| at.min(free_at)))?;
            let finding = Finding::new(current.limit.rule, Key::new(Some(service), of), rules.mode);
            Some(Finding { figures: Some(current.figures()), until: Some(until), ..finding })
        }));
        (findings, Some(needed))
    }

    /// The manual entries about the narrowest subject come first, and that of the service before that of all services.
    fn entries_about(&self, context: &Context<'_>) -> impl Iterator<Item = (Key, Entry)> {
        let (scopes, now) = ([Some(context.service), None], context.now);
        let subjects = if self.entries.is_empty() { Subjects::default() } else { context.subjects };
        let keys = subjects.into_iter().flatten().flat_map(move |of| scopes.map(|scope| Key::new(scope, of)));
        keys.filter_map(move |key| Some((key, self.entries.get(&key, now)?)))
    }

    /// The allowances that the next message takes, as they are now, and what it may not use of them.
    fn needed(&self, context: &Context<'_>) -> Needed {
        let Context { service, subjects, verified, is_home, without_outcomes, is_stranger, now, .. } =
            *context;
        let is_vouched_for = context.exemption != Exemption::None;
        let all = subjects.map(|of| Some(self.allowance(context, of?)));
        let (network, country) = (all[slot::NETWORK], all[slot::COUNTRY]);
        let earlier = match subjects[slot::NUMBER] {
            Some(Dimension::Number(number)) => self.state(service, number, now),
            _ => None,
        };
        let earlier = earlier.map_or(0, |state| state.unverified.of(is_home));
        // The client says whether the message may use what is kept.
        let is_stranger = network.map_or(is_stranger, |network| network.allowance.usual < NO_USERS);
        array::from_fn(|at| {
            let is_needed = match at {
                slot::NUMBER => true,
                _ if is_vouched_for || verified.is_some() && !needs(earlier, at) => false,
                slot::PREFIX | slot::NETWORK => true,
                slot::COUNTRY => !without_outcomes,
                slot::UNPROVEN => {
                    !without_outcomes && country.is_none_or(|country| country.allowance.usual < PROVEN)
                }
                _ => false,
            };
            let mut current = all[at].filter(|_| is_needed)?;
            // What is kept of the number's own is for its home, if that is known.
            let has_home = at == slot::NUMBER && verified.is_some_and(|verified| verified.home != 0);
            let is_kept = if has_home { !is_home && network.is_some() } else { is_stranger };
            if !is_kept || is_vouched_for {
                current.reserve = 0.0;
            }
            if without_outcomes {
                current.takes = part_without_outcomes(at);
            }
            Some(current)
        })
    }

    fn allowance(&self, context: &Context<'_>, of: Dimension) -> AllowanceNow {
        let row = self.rows.find(&(context.service, of));
        AllowanceNow::new(context.service, of, row.map(|row| row.allowance), context.rules, context.now)
    }

    /// Writes what has changed of an allowance, and of its number.
    fn write(&mut self, current: &AllowanceNow, number: NumberState) {
        let (is_number, name) =
            (matches!(current.dimension, Dimension::Number(_)), (current.service, current.dimension));
        self.rows.change(name, |row| {
            row.allowance = current.allowance;
            if is_number {
                row.number = Some(Box::new(number));
            }
        });
        self.rows.mark_changed(name);
    }
}
