//! The guard: buckets and manual entries, and the decision about a send.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::bucket::{Bucket, BucketNow, NO_USERS, Terms, USUAL_DAYS, seconds};
use super::entries::{Entries, Entry, EntryAction};
use super::findings::{Assessment, Finding, Refused};
use super::rules::{GuardRules, Mode, Rule};
use super::signals::{ClientNet, Dimension, Exemption, Key, Signals};
use super::table::Table;
use super::ticket::{Count, CountId, Ticket, Took, VerifiedChange};
use crate::domain::{Channel, NumberType, PhoneNumber, Region, ServiceId, Timestamp};

/// Tickets older than this are full again.
const DAY: Duration = Duration::from_secs(86_400);

/// Verified numbers a day from which a country is one with users.
const PROVEN: f64 = 10.0;

/// Buckets in memory: about 80 bytes each.
pub const MOST_BUCKETS: usize = 700_000;

/// A record of the guard, whole: the last one written under a name wins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum GuardRow {
    Bucket(ServiceId, Dimension, Bucket),
    Entry(Key, Entry),
    Count(CountId, Count),
    /// The stored buckets contain every message whose [`Ticket`] is of an earlier second since the epoch.
    Written(u32),
}

impl GuardRow {
    pub fn expires(&self) -> Timestamp {
        match self {
            Self::Bucket(.., bucket) => bucket.expires(),
            Self::Entry(_, entry) => entry.until,
            Self::Count(_, count) => count.ends,
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
}

/// The service that a message is of, its rules, and the time.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    pub service: ServiceId,
    pub rules: &'a GuardRules,
    pub now: Timestamp,
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
    pub verdict: Result<(), Refused>,
    /// The manual entry that holds.
    pub entry: Option<(Key, Entry)>,
    /// The narrowest first.
    pub buckets: Vec<BucketNow>,
}

fn subjects(number: PhoneNumber, client: Option<ClientNet>, country: Option<Region>) -> Vec<Dimension> {
    let client = client.map(Dimension::Network);
    let all = [Some(Dimension::Number(number)), Some(Dimension::prefix_of(number)), client];
    all.into_iter().flatten().chain([Dimension::Country(country)]).collect()
}

impl Guard {
    /// With room for so many buckets. `seed` is random and secret: it decides which keys collide in the table.
    pub fn new(most: usize, seed: u64) -> Self {
        Self { rows: Table::new(most, seed), entries: Entries::default(), latest: 0, written: 0 }
    }

    /// Decides about a send, and takes one of its buckets if it may pass. `is_known`: the number was verified in the last
    /// 30 days.
    pub fn assess(&mut self, signals: &Signals, scope: Scope<'_>, is_known: bool) -> Assessment {
        let Signals { number, country, client, exemption, is_carried, .. } = *signals;
        let subjects = subjects(number, client, country);
        let message = Message { subjects, exemption, is_carried, is_known, is_stranger: false };
        let broken = scope.rules.fixed(country, signals.number_type, signals.channel, signals.price);
        let (findings, took) = self.decide(scope, &message, broken);
        let mut assessment = Assessment::of(findings);
        if assessment.verdict.is_ok() && took != Took::Nothing {
            assessment.ticket = Ticket::new(self.second(scope.now), signals, took);
            self.take(scope, number, &assessment.ticket);
        }
        assessment
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

    /// For [`GuardRow::Written`], if the rows are stored as they are now. Messages from now on are of this second or a later
    /// one. With at most one call in a second, it is never more than a second ahead of the clock.
    pub fn close_second(&mut self) -> u32 {
        self.latest = self.latest.saturating_add(1);
        self.latest
    }

    /// The same for further rows in that second. It stays at most a second ahead of the clock: where it does not end, a start
    /// after a crash takes its messages twice.
    pub fn close_second_by(&mut self, now: Timestamp) -> u32 {
        if self.latest <= seconds(now) { self.close_second() } else { self.latest }
    }

    /// The second from which on messages may not be in the rows that were restored.
    pub const fn unwritten_since(&self) -> u32 {
        self.written
    }

    /// A message that left shortly before a crash: takes again what it took, if the stored rows may not contain it.
    pub fn take_again(&mut self, scope: Scope<'_>, number: PhoneNumber, ticket: &Ticket) {
        self.latest = self.latest.max(ticket.second);
        if ticket.second >= self.written && scope.now < ticket.at().plus(DAY) {
            self.take(scope, number, ticket);
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
        let (findings, _) = self.decide(scope, &message, broken);
        let entry = self.entries_about(scope, &message).next();
        let known = message.known();
        let (took, _) = self.needed(scope, &message);
        message.subjects.extend(known.into_iter().chain(took.shares()));
        let buckets = message.subjects.into_iter().map(|of| self.bucket(scope, of)).collect();
        Explained { verdict: Assessment::of(findings).verdict, entry, buckets }
    }

    /// Whether a number of a service has a bucket or a manual entry.
    pub fn knows(&self, service: ServiceId, number: PhoneNumber, now: Timestamp) -> bool {
        let key = Key::new(Some(service), Dimension::Number(number));
        self.counts(service, number) || self.entries.get(&key, now).is_some()
    }

    /// Whether a number had messages lately.
    pub fn counts(&self, service: ServiceId, number: PhoneNumber) -> bool {
        self.rows.find(&(service, Dimension::Number(number))).is_some()
    }

    /// Takes a stored record, before the first send.
    pub fn restore(&mut self, row: &GuardRow) {
        match *row {
            GuardRow::Bucket(service, dimension, bucket) => self.rows.set((service, dimension), bucket),
            GuardRow::Entry(key, entry) => self.entries.set(key, Some(entry)),
            // The server keeps counts.
            GuardRow::Count(..) => {}
            GuardRow::Written(before) => (self.latest, self.written) = (self.latest.max(before), before),
        }
    }

    /// Decides about a message, and what it takes if it passes; takes nothing yet. `broken` are the lists and types that it
    /// breaks.
    fn decide(
        &self,
        scope: Scope<'_>,
        message: &Message,
        broken: impl Iterator<Item = (Rule, Mode)>,
    ) -> (Vec<Finding>, Took) {
        let Scope { service, rules, now } = scope;
        let is_safe = message.exemption == Exemption::AllowancesAndTypes
            || matches!(message.subjects.first(), Some(Dimension::Number(of)) if self.entries.is_safe(*of));
        let entry = self.entries_about(scope, message).next();
        let mut findings = Vec::new();
        if let Some((key, Entry { action: EntryAction::Block, until })) = entry {
            findings.push(Finding { until: Some(until), ..Finding::new(Rule::Entry, key, Mode::Block) });
        }
        let lids = [Some(service), None].map(|scope| Key::new(scope, Dimension::Total));
        let lid = lids.into_iter().find_map(|key| Some((key, self.entries.get(&key, now)?)));
        if let Some((key, Entry { until, .. })) = lid.filter(|_| !message.is_known && !is_safe) {
            findings.push(Finding { until: Some(until), ..Finding::new(Rule::KnownOnly, key, Mode::Block) });
        }
        let (narrowest, widest) = (message.subjects.first(), message.subjects.last());
        findings.extend(broken.filter_map(|(rule, mode)| {
            let of = match rule {
                Rule::CountryList | Rule::Price => widest,
                _ if is_safe => None,
                _ => narrowest,
            };
            Some(Finding::new(rule, Key::new(Some(service), *of?), mode))
        }));
        let is_refused = findings.iter().any(|finding| finding.is_refused);
        if is_refused || is_safe || entry.is_some() || rules.mode == Mode::Off {
            return (findings, Took::Nothing);
        }
        let (took, needed) = self.needed(scope, message);
        let free_at = message.known().and_then(|known| self.bucket(scope, known).next_pass_at());
        findings.extend(needed.iter().filter_map(|bucket| {
            let of = bucket.dimension;
            let free_at = free_at.filter(|_| !matches!(of, Dimension::Number(_)));
            let until = bucket.next_pass_at().map(|at| free_at.map_or(at, |free_at| at.min(free_at)))?;
            let finding = Finding::new(bucket.terms.rule, Key::new(Some(service), of), rules.mode);
            Some(Finding { figures: Some(bucket.figures()), until: Some(until), ..finding })
        }));
        (findings, took)
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

    /// The manual entries about the narrowest subject come first, and that of the service before that of all services.
    fn entries_about(&self, scope: Scope<'_>, message: &Message) -> impl Iterator<Item = (Key, Entry)> {
        let Scope { service, now, .. } = scope;
        let of_each = move |of: &Dimension| [Some(service), None].map(|scope| Key::new(scope, *of));
        let keys = message.subjects.iter().flat_map(of_each);
        keys.filter_map(move |key| Some((key, self.entries.get(&key, now)?)))
    }

    fn bucket(&self, Scope { service, rules, now }: Scope<'_>, of: Dimension) -> BucketNow {
        BucketNow::new(service, of, self.rows.find(&(service, of)).copied(), rules, now)
    }

    fn change(&mut self, scope: Scope<'_>, of: Dimension, change: impl FnOnce(&mut BucketNow)) {
        let (name, mut bucket) = ((scope.service, of), self.bucket(scope, of));
        change(&mut bucket);
        self.rows.set(name, bucket.bucket);
        self.rows.mark_changed(name);
    }

    /// One without a row is full.
    fn give(&mut self, scope: Scope<'_>, of: Dimension, messages: impl FnOnce(&Terms) -> f64) {
        if self.rows.find(&(scope.service, of)).is_some() {
            self.change(scope, of, |bucket| bucket.take(-messages(&bucket.terms)));
        }
    }
}
