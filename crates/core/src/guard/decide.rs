//! The guard: buckets and manual entries, and the decision about a send.

use std::cmp::Reverse;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::bucket::{Bucket, BucketNow, Figures, NO_USERS, Terms, USUAL_DAYS, seconds};
use super::entries::{Entries, Entry, EntryAction};
use super::rows::Rows;
use super::rules::{GuardRules, Mode, Rule};
use super::signals::{ClientNet, Dimension, Exemption, Key, Signals};
use super::ticket::{Count, CountId, Ticket, Took, VerifiedChange};
use crate::domain::{Channel, NumberType, PhoneNumber, Region, ServiceId, Timestamp};

/// Tickets older than this are full again.
const DAY: Duration = Duration::from_secs(86_400);

/// Verified numbers a day from which a country is one with users.
const PROVEN: f64 = 10.0;

/// Rows that are compared when one is dropped. Each is a miss of the processor's cache.
const COMPARED: usize = 16;

/// Buckets in memory: about 80 bytes each.
pub const MOST_BUCKETS: usize = 700_000;

/// A record of the guard, whole: the last one written under a name wins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum GuardRow {
    Bucket(ServiceId, Dimension, Bucket),
    Entry(Key, Entry),
    Count(CountId, Count),
    /// The stored rows contain every message whose [`Ticket`] is of an earlier second since the epoch.
    Written(u32),
}

/// The state of the guard, of all services.
#[derive(Debug, Clone)]
pub struct Guard {
    pub rows: Rows<(ServiceId, Dimension), Bucket>,
    pub entries: Entries,
    most: usize,
    /// The second of the last message, or a later one if the rows were written since; it never goes back.
    latest: u32,
    /// [`GuardRow::Written`] before the start.
    written: u32,
}

/// The service that a message is of, its rules, and the time.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    pub service: ServiceId,
    pub rules: &'a GuardRules,
    pub now: Timestamp,
}

/// A rule that a send broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finding {
    pub rule: Rule,
    pub key: Key,
    /// Or only records it.
    pub is_refused: bool,
    /// `None` for lists and types.
    pub figures: Option<Figures>,
    /// When a message passes the rule; `None` for lists and types.
    pub until: Option<Timestamp>,
    /// A budget that is spent for the first time in its hour or day: its key in the settings, and its limit.
    pub newly_spent: Option<(&'static str, u64)>,
}

/// Why a send is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    pub rule: Rule,
    /// When a message can pass; `None` for a number or country that gets none.
    pub until: Option<Timestamp>,
}

impl Refused {
    /// Whether the message lacked only buckets that one with [`Exemption::Allowances`] does not need.
    pub const fn is_for_an_allowance(self) -> bool {
        matches!(self.rule, Rule::Prefix | Rule::Network | Rule::Country)
    }
}

/// What is known of a message before the decision. An explanation may be about a country only.
struct Message {
    /// The narrowest first.
    subjects: Vec<Dimension>,
    exemption: Exemption,
    is_carried: bool,
    /// The number was verified in the last 30 days.
    is_known: bool,
    /// Without a client: whether it is taken for one without users.
    is_stranger: bool,
}

impl Message {
    /// The bucket of a known number that stands for its places.
    fn known(&self) -> Option<Dimension> {
        match self.subjects.first() {
            Some(Dimension::Number(number)) if self.is_known => Some(Dimension::Known(*number)),
            _ => None,
        }
    }
}

/// What the guard knows of a subject, and what it would decide about the next text message.
#[derive(Debug, Clone)]
pub struct Explained {
    pub refused: Option<Finding>,
    /// The manual entry that holds.
    pub entry: Option<(Key, Entry)>,
    /// The narrowest first.
    pub buckets: Vec<BucketNow>,
}

fn subjects(number: PhoneNumber, client: Option<ClientNet>, country: Option<Region>) -> Vec<Dimension> {
    let mut all = vec![Dimension::Number(number), Dimension::prefix_of(number)];
    all.extend(client.map(Dimension::Network));
    all.push(Dimension::Country(country));
    all
}

impl Guard {
    /// With room for so many buckets. `seed` is random and secret: it decides which keys collide in the table.
    pub fn new(most: usize, seed: u64) -> Self {
        Self { rows: Rows::new(seed), entries: Entries::default(), most: most.max(1), latest: 0, written: 0 }
    }

    /// Decides about a send, and takes one of its buckets if it may pass; then the finding is one that is only recorded.
    /// `is_known`: the number was verified in the last 30 days. What [`Rule::Landline`] refuses can be repeated as a call.
    ///
    /// # Errors
    /// The rule that refuses it.
    pub fn assess(
        &mut self,
        signals: &Signals,
        scope: Scope<'_>,
        is_known: bool,
    ) -> Result<(Ticket, Option<Finding>), Finding> {
        let Signals { number, country, client, exemption, is_carried, .. } = *signals;
        let subjects = subjects(number, client, country);
        let message = Message { subjects, exemption, is_carried, is_known, is_stranger: false };
        let broken = scope.rules.fixed(country, signals.number_type, signals.channel, signals.price);
        let (finding, took) = self.decide(scope, &message, broken);
        if let Some(refused) = finding.filter(|finding| finding.is_refused) {
            return Err(refused);
        }
        let ticket = Ticket::new(self.second(scope.now), signals, took);
        self.take(scope, number, &ticket);
        Ok((ticket, finding))
    }

    fn take(&mut self, scope: Scope<'_>, number: PhoneNumber, ticket: &Ticket) {
        for of in ticket.taken(number) {
            self.change(scope, of, |bucket| bucket.take(1.0));
        }
    }

    /// The second of a ticket.
    pub fn second(&mut self, now: Timestamp) -> u32 {
        self.latest = self.latest.max(seconds(now));
        self.latest
    }

    /// The second of rows that are stored as they are now. Messages from now on are of this second or a later one.
    pub fn close_second(&mut self) -> u32 {
        self.latest = self.latest.saturating_add(1);
        self.latest
    }

    /// The same for further rows of one write. It stays at most a second ahead of the clock: where it does not end, a start
    /// after a crash takes its messages twice.
    pub fn close_second_by(&mut self, now: Timestamp) -> u32 {
        if self.latest <= seconds(now) { self.close_second() } else { self.latest }
    }

    /// The second from which on messages may not be in the rows that were restored.
    pub const fn unwritten_since(&self) -> u32 {
        self.written
    }

    /// A message that left shortly before a crash: takes again what it took, of each row that may not contain it.
    pub fn take_again(&mut self, scope: Scope<'_>, number: PhoneNumber, ticket: &Ticket) {
        self.latest = self.latest.max(ticket.second);
        if scope.now >= ticket.at().plus(DAY) {
            return;
        }
        for of in ticket.taken(number) {
            let written = self.rows.get(&(scope.service, of)).map_or(0, |row| row.written);
            if ticket.second >= written.max(self.written) {
                self.change(scope, of, |bucket| bucket.take(1.0));
            }
        }
    }

    /// A send that passed led to no message: undoes what it took.
    pub fn give_back(&mut self, scope: Scope<'_>, number: PhoneNumber, ticket: &Ticket) {
        for of in ticket.taken(number) {
            self.give(scope, of, |_| 1.0);
        }
    }

    /// A number was verified: gives back what the messages of its verification took, and more if it was not known.
    pub fn verified(
        &mut self,
        scope: Scope<'_>,
        number: PhoneNumber,
        tickets: &[Ticket],
        change: VerifiedChange,
    ) {
        if scope.rules.mode == Mode::Off {
            return;
        }
        // Some were only charged to counts.
        let tickets: Vec<_> = tickets.iter().filter(|ticket| ticket.took != Took::Nothing).collect();
        let assumed = [&Ticket::assumed(number, scope.now)];
        let Some((last, earlier)) = tickets.split_last().or_else(|| assumed.split_last()) else { return };
        // The owner of a number who enters one code of many would else get any number of messages.
        let earlier = earlier.iter().flat_map(|ticket| ticket.taken(number));
        let earlier = earlier.filter(|of| !matches!(of, Dimension::Number(_)));
        for of in last.taken(number).into_iter().chain(earlier) {
            self.give(scope, of, |terms| terms.gives_back);
        }
        let counts = |bucket: &mut BucketNow| bucket.bucket.usual += 1.0 / USUAL_DAYS;
        if last.is_carried {
            self.change(scope, Dimension::Total, counts);
        }
        let VerifiedChange { before, after: Some(after) } = change else { return };
        let places = last.places(number);
        // A known number of the attacker's own would pay for messages to others for ever.
        for of in [Dimension::Number(number)].iter().chain(&places).filter(|_| before.is_none()) {
            self.give(scope, *of, |terms| terms.gains);
        }
        for of in places.into_iter().filter(|_| after.counts_after(before)) {
            self.change(scope, of, counts);
        }
    }

    /// Ends the refusals of one number, and forgets its messages.
    pub fn unlock(&mut self, service: ServiceId, number: PhoneNumber) -> bool {
        self.rows.remove((service, Dimension::Known(number)));
        self.rows.remove((service, Dimension::Number(number)))
    }

    /// What the guard knows of a subject, and what it would decide about the next text message to or from it. Country, type and
    /// price are those of the subject's numbers.
    pub fn explain(
        &self,
        scope: Scope<'_>,
        dimension: Dimension,
        (country, number_type, price): (Option<Region>, NumberType, Option<u64>),
        is_known: bool,
    ) -> Explained {
        let subjects = match dimension {
            Dimension::Number(number) => subjects(number, None, country),
            Dimension::Prefix(_) => vec![dimension, Dimension::Country(country)],
            only => vec![only],
        };
        let (exemption, is_carried, is_stranger) = (Exemption::None, false, true);
        let mut message = Message { subjects, exemption, is_carried, is_known, is_stranger };
        let is_from = matches!(dimension, Dimension::Network(_));
        let broken = scope.rules.fixed(country, number_type, Channel::Sms, price).filter(|_| !is_from);
        let refused = self.decide(scope, &message, broken).0.filter(|finding| finding.is_refused);
        let entry = self.entry_about(scope, &message);
        let known = message.known();
        let (took, _) = self.needed(scope, &message);
        message.subjects.extend(known.into_iter().chain(took.shares()));
        let buckets = message.subjects.into_iter().map(|of| self.bucket(scope, of)).collect();
        Explained { refused, entry, buckets }
    }

    /// Whether a number had messages lately.
    pub fn counts(&self, service: ServiceId, number: PhoneNumber) -> bool {
        self.rows.get(&(service, Dimension::Number(number))).is_some()
    }

    /// Takes a stored record, before the first send.
    pub fn restore(&mut self, row: &GuardRow) {
        let written = match *row {
            GuardRow::Bucket(service, dimension, bucket) => {
                self.rows.restore((service, dimension), bucket);
                bucket.written
            }
            GuardRow::Entry(key, entry) => {
                self.entries.set(key, Some(entry));
                0
            }
            // The server keeps counts.
            GuardRow::Count(_, count) => count.written,
            GuardRow::Written(before) => {
                self.written = before;
                before
            }
        };
        self.latest = self.latest.max(written);
    }

    /// Decides about a message, and what it takes if it passes; takes nothing yet. The finding is the first that refuses, or
    /// is recorded. `broken` are the lists and types that it breaks.
    fn decide(
        &self,
        scope: Scope<'_>,
        message: &Message,
        broken: impl Iterator<Item = (Rule, Mode)>,
    ) -> (Option<Finding>, Took) {
        let Scope { service, rules, .. } = scope;
        let (narrowest, widest) = (message.subjects.first(), message.subjects.last());
        let is_safe = message.exemption == Exemption::AllowancesAndTypes
            || matches!(narrowest, Some(Dimension::Number(of)) if self.entries.is_safe(*of));
        let found = |rule, key, mode, until| {
            let is_refused = mode == Mode::Block;
            Finding { rule, key, is_refused, figures: None, until, newly_spent: None }
        };
        let entry = self.entry_about(scope, message);
        let block = entry.filter(|(_, entry)| entry.action == EntryAction::Block);
        let lid = self.entry(scope, Dimension::Total).filter(|_| !message.is_known && !is_safe);
        let manual = block.map(|of| (Rule::Entry, of)).or_else(|| Some((Rule::KnownOnly, lid?)));
        if let Some((rule, (key, Entry { until, .. }))) = manual {
            return (Some(found(rule, key, Mode::Block, Some(until))), Took::Nothing);
        }
        let mut findings: Vec<_> = broken
            .filter_map(|(rule, mode)| {
                let of = match rule {
                    Rule::CountryList | Rule::Price => widest,
                    _ if is_safe => None,
                    _ => narrowest,
                };
                Some(found(rule, Key::new(Some(service), *of?), mode, None))
            })
            .collect();
        findings.sort_by_key(|finding| !finding.is_refused);
        let fixed = findings.first().copied();
        let is_refused = fixed.is_some_and(|finding| finding.is_refused);
        if is_refused || is_safe || entry.is_some() || rules.mode == Mode::Off {
            return (fixed, Took::Nothing);
        }
        let (took, needed) = self.needed(scope, message);
        let free_at = message.known().and_then(|known| self.bucket(scope, known).next_pass_at());
        let lacking = needed.iter().filter_map(|bucket| {
            let free_at = free_at.filter(|_| !matches!(bucket.dimension, Dimension::Number(_)));
            let until = bucket.next_pass_at().map(|at| free_at.map_or(at, |free_at| at.min(free_at)))?;
            let key = Key::new(Some(service), bucket.dimension);
            let finding = found(bucket.terms.rule, key, rules.mode, Some(until));
            Some(Finding { figures: Some(bucket.figures()), ..finding })
        });
        let lacking = lacking.reduce(|first, other| Finding { until: first.until.max(other.until), ..first });
        (lacking.or(fixed), took)
    }

    /// The buckets that the next message takes one of, as they are now, and what it may not use of them.
    fn needed(&self, scope: Scope<'_>, message: &Message) -> (Took, Vec<BucketNow>) {
        let usual = |of| self.bucket(scope, of).bucket.usual;
        let mut needed: Vec<_> = message.subjects.iter().map(|of| self.bucket(scope, *of)).collect();
        let lacks_outcomes = message.is_carried && usual(Dimension::Total) < NO_USERS;
        let is_exempt = message.exemption != Exemption::None || lacks_outcomes;
        let has_room = |known| self.bucket(scope, known).next_pass_at().is_none();
        if is_exempt || message.known().is_some_and(has_room) {
            needed.truncate(1);
            return (if is_exempt { Took::Own } else { Took::Known }, needed);
        }
        let (mut took, mut is_stranger) = (Took::Places, message.is_stranger);
        for bucket in &needed {
            match bucket.dimension {
                Dimension::Country(Some(_)) if bucket.bucket.usual < PROVEN => took = Took::Shared,
                Dimension::Network(_) => is_stranger = bucket.bucket.usual < NO_USERS,
                _ => {}
            }
        }
        needed.extend(took.shares().map(|of| self.bucket(scope, of)));
        if is_stranger {
            needed.iter_mut().for_each(BucketNow::keep);
        }
        (took, needed)
    }

    /// The manual entry about the narrowest subject.
    fn entry_about(&self, scope: Scope<'_>, message: &Message) -> Option<(Key, Entry)> {
        message.subjects.iter().find_map(|of| self.entry(scope, *of))
    }

    /// That of the service comes before that of all services.
    fn entry(&self, Scope { service, now, .. }: Scope<'_>, of: Dimension) -> Option<(Key, Entry)> {
        let keys = [Some(service), None].map(|scope| Key::new(scope, of));
        keys.into_iter().find_map(|key| Some((key, self.entries.get(&key, now)?)))
    }

    fn bucket(&self, Scope { service, rules, now }: Scope<'_>, of: Dimension) -> BucketNow {
        BucketNow::new(service, of, self.rows.get(&(service, of)).copied(), rules, now)
    }

    fn change(&mut self, scope: Scope<'_>, of: Dimension, change: impl FnOnce(&mut BucketNow)) {
        let (name, mut bucket) = ((scope.service, of), self.bucket(scope, of));
        change(&mut bucket);
        if self.rows.held() >= self.most && self.rows.get(&name).is_none() {
            self.drop_one();
        }
        self.rows.set(name, bucket.bucket);
    }

    /// Of rows from all over a full table, drops the one of the service with most of them that is worth least.
    fn drop_one(&mut self) {
        let (len, hand) = (self.rows.held(), usize::try_from(self.rows.dropped).unwrap_or_default());
        let places = (0..COMPARED).filter_map(|step| self.rows.at((hand + step * len / COMPARED) % len));
        let compared: Vec<_> = places.map(|(name, row)| (row.worth(), *name)).collect();
        let held = |service| compared.iter().filter(|(_, of)| of.0 == service).count();
        let least = compared.iter().min_by_key(|(worth, name)| (Reverse(held(name.0)), *worth, *name));
        if let Some((_, name)) = least {
            self.rows.remove(*name);
            self.rows.dropped += 1;
        }
    }

    /// One without a row is full.
    fn give(&mut self, scope: Scope<'_>, of: Dimension, messages: impl FnOnce(&Terms) -> f64) {
        if self.rows.get(&(scope.service, of)).is_some() {
            self.change(scope, of, |bucket| bucket.take(-messages(&bucket.terms)));
        }
    }
}
