//! The guard: buckets and manual entries, and the decision about a send.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::rows::{Bucket, Charge, Counted, NO_USERS, PROVEN, Row, Rows, Terms, second};
use super::rules::{ClientNet, Dimension, Entries, Entry, EntryAction, GuardRules, Key, Mode, Rule, Signals};
use crate::domain::{Channel, NumberType, PhoneNumber, Region, ServiceId, Timestamp};

/// A record of the guard, whole: the last one written under a name wins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum GuardRow {
    Row(Key, Row),
    Entry(Key, Entry),
    /// The stored rows contain each [`Ticket`] from before this moment, and from before so many writes.
    Written(Timestamp, u64),
}

/// The state of the guard, of all services.
#[derive(Clone)]
pub struct Guard {
    pub rows: Rows,
    pub entries: Entries,
    /// [`GuardRow::Written`] before the start.
    pub written: (Timestamp, u64),
}

/// The service that a message is of, its rules, and the time.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    pub service: ServiceId,
    pub rules: &'a GuardRules,
    pub now: Timestamp,
}

impl Scope<'_> {
    const fn key(&self, of: Dimension) -> Key {
        Key::new(Some(self.service), of)
    }
}

/// A rule that a send broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finding {
    pub rule: Rule,
    pub key: Key,
    /// `false`: the send passes, and the finding is recorded.
    pub is_refused: bool,
    /// When a message passes the rule; `None` for lists and types.
    pub until: Option<Timestamp>,
}

/// Why a send is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    pub rule: Rule,
    /// When a message can pass; `None` for a number or country that gets none.
    pub until: Option<Timestamp>,
}

impl Refused {
    /// Whether the message lacked only buckets that one with [`Signals::is_exempt`] does not need.
    pub const fn is_for_an_allowance(self) -> bool {
        matches!(self.rule, Rule::Prefix | Rule::Network | Rule::Country)
    }
}

/// What is known of a message before the decision. An explanation may be about a country only.
struct Message {
    /// The narrowest first.
    subjects: Vec<Dimension>,
    is_exempt: bool,
    /// The number was verified in the last 30 days.
    is_known: bool,
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
    /// The same for a client in a network without users, if no client is named.
    pub refused_to_strangers: Option<Finding>,
    /// The manual entry that holds.
    pub entry: Option<(Key, Entry)>,
    /// The narrowest first.
    pub buckets: Vec<Bucket>,
}

fn subjects(number: PhoneNumber, client: Option<ClientNet>, country: Option<Region>) -> Vec<Dimension> {
    let mut all = vec![Dimension::Number(number), Dimension::prefix_of(number)];
    all.extend(client.map(Dimension::Network));
    all.push(Dimension::Country(country));
    all
}

impl Guard {
    /// With room for so many buckets. `seed` is random and secret: it decides which keys collide in the table.
    pub fn new(most: usize, seed: u64, counted: Counted) -> Self {
        let (rows, written) = (Rows::new(most, seed, counted), (Timestamp::EPOCH, 0));
        Self { rows, entries: Entries::default(), written }
    }

    /// Decides about a send, and takes one of its buckets and its charges if it may pass; then the finding is one that is only
    /// recorded. `is_known`: the number was verified in the last 30 days. What [`Rule::Landline`] refuses can be repeated as
    /// a call.
    ///
    /// # Errors
    /// The rule that refuses it.
    pub fn assess(
        &mut self,
        signals: &Signals,
        scope: Scope<'_>,
        is_known: bool,
        charges: &[Charge],
    ) -> Result<(Ticket, Option<Finding>), Finding> {
        let Signals { number, country, client, is_exempt, .. } = *signals;
        let fitting = self.fit(charges, scope.now)?;
        let message = Message { subjects: subjects(number, client, country), is_exempt, is_known };
        let broken = scope.rules.fixed(country, signals.number_type, signals.channel, signals.price);
        let (finding, took) = self.decide(scope, &message, broken);
        if let Some(refused) = finding.filter(|finding| finding.is_refused) {
            return Err(refused);
        }
        let ticket = Ticket { client, country, took, ..fitting };
        self.take(scope, number, &ticket);
        Ok((ticket, finding))
    }

    /// The ticket of these charges, if all fit. Nothing is taken yet.
    ///
    /// # Errors
    /// The budget or rate limit that has too little left.
    pub fn fit(&self, charges: &[Charge], now: Timestamp) -> Result<Ticket, Finding> {
        if let Some((charge, ends)) = self.rows.full(charges, now) {
            let (rule, key) = (charge.rule(), charge.key);
            return Err(Finding { rule, key, is_refused: true, until: Some(ends) });
        }
        let in_window = |of: &Charge| {
            let Row { at: since, ends, .. } = self.rows.window(of, now);
            Charged { key: of.key, since, ends, amount: of.amount }
        };
        let counted = charges.iter().map(in_window).collect();
        Ok(Ticket { at: second(now), writes: self.rows.writes, counted, ..Ticket::default() })
    }

    /// Takes what a ticket says, of each row that may not contain it: of a message that leaves now, all. At a start, of those
    /// that left shortly before a crash.
    pub fn take(&mut self, scope: Scope<'_>, number: PhoneNumber, ticket: &Ticket) {
        self.rows.writes = self.rows.writes.max(ticket.writes);
        let written = self.written.1;
        let lacks =
            |rows: &Rows, key: &Key| ticket.writes >= rows.get(key).map_or(0, |row| row.written).max(written);
        // A bucket is full again after a day.
        let is_old = scope.now >= ticket.at.plus(Duration::from_secs(86_400));
        for key in ticket.taken(number).into_iter().map(|of| scope.key(of)) {
            if !is_old && lacks(&self.rows, &key) {
                self.change(scope, key, |bucket| bucket.take(1.0));
            }
        }
        for charged in &ticket.counted {
            if scope.now < charged.ends && lacks(&self.rows, &charged.key) {
                self.rows.charge(charged);
            }
        }
    }

    /// A send that passed led to no message: undoes what it took.
    pub fn give_back(&mut self, scope: Scope<'_>, number: PhoneNumber, ticket: &Ticket) {
        for of in ticket.taken(number) {
            self.give(scope, of, |_| 1.0);
        }
        ticket.counted.iter().for_each(|charged| self.rows.give_back(charged));
    }

    /// A number was verified: gives back what the messages of its verification took, and more if it was not known.
    pub fn verified(
        &mut self,
        scope: Scope<'_>,
        number: PhoneNumber,
        tickets: &[Ticket],
        Verified { is_new, is_usual }: Verified,
    ) {
        if scope.rules.mode == Mode::Off {
            return;
        }
        // Some were only charged to counts.
        let tickets: Vec<_> = tickets.iter().filter(|ticket| ticket.took != Took::Nothing).collect();
        // Of a verification without a message: that of one.
        let assumed = Ticket { country: number.region(), took: Took::Places, ..Ticket::default() };
        let assumed = [&assumed];
        let Some((last, earlier)) = tickets.split_last().or_else(|| assumed.split_last()) else { return };
        // The owner of a number who enters one code of many would else get any number of messages.
        let earlier = earlier.iter().flat_map(|ticket| ticket.taken(number));
        let earlier = earlier.filter(|of| !matches!(of, Dimension::Number(_)));
        for of in last.taken(number).into_iter().chain(earlier) {
            self.give(scope, of, |terms| terms.gives_back);
        }
        let places = last.places(number);
        // A known number of the attacker's own would pay for messages to others for ever.
        for of in [Dimension::Number(number)].iter().chain(&places).filter(|_| is_new) {
            self.give(scope, *of, |terms| terms.gains);
        }
        let loan = (last.took != Took::Lent).then_some(Dimension::Loan);
        for of in places.into_iter().chain(loan).filter(|_| is_usual) {
            self.change(scope, scope.key(of), Bucket::add_user);
        }
    }

    /// Ends the refusals of one number, and forgets its messages.
    pub fn unlock(&mut self, service: ServiceId, number: PhoneNumber) -> bool {
        self.rows.remove(Key::new(Some(service), Dimension::Known(number)));
        self.rows.remove(Key::new(Some(service), Dimension::Number(number)))
    }

    /// What the guard knows of a subject, and what it would decide about the next text message to or from it, for this client.
    /// Country, type and price are those of the subject's numbers.
    pub fn explain(
        &self,
        scope: Scope<'_>,
        dimension: Dimension,
        client: Option<ClientNet>,
        (country, number_type, price): (Option<Region>, NumberType, Option<u64>),
        is_known: bool,
    ) -> Explained {
        let is_from = matches!(dimension, Dimension::Network(_));
        let message = |client: Option<ClientNet>| {
            let subjects = match dimension {
                Dimension::Number(number) => subjects(number, client, country),
                Dimension::Prefix(_) | Dimension::Country(_) => {
                    let places =
                        [Some(dimension), client.map(Dimension::Network), Some(Dimension::Country(country))];
                    let is_prefix = matches!(dimension, Dimension::Prefix(_));
                    places.into_iter().skip(usize::from(!is_prefix)).flatten().collect()
                }
                only => vec![only],
            };
            Message { subjects, is_exempt: false, is_known }
        };
        let refused = |message: &Message| {
            let broken = scope.rules.fixed(country, number_type, Channel::Sms, price).filter(|_| !is_from);
            self.decide(scope, message, broken).0.filter(|finding| finding.is_refused)
        };
        let refused_to_strangers =
            (client.is_none() && !is_from).then(|| refused(&message(Some(ClientNet::UNUSED)))).flatten();
        let mut message = message(client);
        let refused = refused(&message);
        let entry = self.entry_about(scope, &message);
        let known = message.known();
        let (took, _) = self.needed(scope, &message);
        message.subjects.extend(known.into_iter().chain(took.shares()));
        let buckets = message.subjects.into_iter().map(|of| self.bucket(scope, scope.key(of))).collect();
        Explained { refused, refused_to_strangers, entry, buckets }
    }

    /// Takes a stored record, before the first send.
    pub fn restore(&mut self, row: &GuardRow) {
        let writes = match *row {
            GuardRow::Row(key, row) => {
                self.rows.restore(key, row);
                row.written
            }
            GuardRow::Entry(key, entry) => {
                self.entries.set(key, Some(entry));
                0
            }
            GuardRow::Written(at, writes) => {
                self.written = (at, writes);
                writes
            }
        };
        self.rows.writes = self.rows.writes.max(writes);
    }

    /// Decides about a message, and what it takes if it passes; takes nothing yet. The finding is the first that refuses, or
    /// is recorded. `broken` are the lists and types that it breaks.
    fn decide(
        &self,
        scope: Scope<'_>,
        message: &Message,
        broken: impl Iterator<Item = (Rule, Mode)>,
    ) -> (Option<Finding>, Took) {
        let (narrowest, widest) = (message.subjects.first(), message.subjects.last());
        let is_safe = matches!(narrowest, Some(Dimension::Number(of)) if self.entries.is_safe(*of));
        let found = |rule, key, mode, until| Finding { rule, key, is_refused: mode == Mode::Block, until };
        let entry = self.entry_about(scope, message);
        let block = entry.filter(|(_, entry)| entry.action == EntryAction::Block);
        let known_only = self.entry(scope, Dimension::Total).filter(|_| !message.is_known && !is_safe);
        let manual = block.map(|of| (Rule::Entry, of)).or_else(|| Some((Rule::KnownOnly, known_only?)));
        if let Some((rule, (key, Entry { until, .. }))) = manual {
            return (Some(found(rule, key, Mode::Block, Some(until))), Took::Nothing);
        }
        let broken = broken.filter_map(|(rule, mode)| {
            let of = match rule {
                Rule::CountryList | Rule::Price => widest,
                _ if is_safe => None,
                _ => narrowest,
            };
            Some(found(rule, scope.key(*of?), mode, None))
        });
        // The first that refuses, or the first.
        let fixed = broken.min_by_key(|finding| !finding.is_refused);
        let is_refused = fixed.is_some_and(|finding| finding.is_refused);
        if is_refused || is_safe || entry.is_some() || scope.rules.mode == Mode::Off {
            return (fixed, Took::Nothing);
        }
        let (took, needed) = self.needed(scope, message);
        let free_at = message.known().and_then(|of| self.bucket(scope, scope.key(of)).next_pass_at());
        let lacking = needed.iter().filter_map(|bucket| {
            let free_at = free_at.filter(|_| !matches!(bucket.key.dimension, Dimension::Number(_)));
            let until = bucket.next_pass_at().map(|at| free_at.map_or(at, |free_at| at.min(free_at)))?;
            Some(found(bucket.terms.rule, bucket.key, scope.rules.mode, Some(until)))
        });
        let lacking = lacking.reduce(|first, other| Finding { until: first.until.max(other.until), ..first });
        (lacking.or(fixed), took)
    }

    /// The buckets that the next message takes one of, as they are now, and what it may not use of them.
    fn needed(&self, scope: Scope<'_>, message: &Message) -> (Took, Vec<Bucket>) {
        let bucket = |of| self.bucket(scope, scope.key(of));
        let mut needed: Vec<_> = message.subjects.iter().copied().map(bucket).collect();
        let is_exempt = message.is_exempt;
        let has_room = |known| bucket(known).next_pass_at().is_none();
        if is_exempt || message.known().is_some_and(has_room) {
            needed.truncate(1);
            return (if is_exempt { Took::Own } else { Took::Known }, needed);
        }
        let (mut took, mut is_stranger) = (Took::Places, false);
        for bucket in &needed {
            match bucket.key.dimension {
                Dimension::Country(Some(_)) if bucket.row.usual < PROVEN => took = Took::Shared,
                Dimension::Network(_) => is_stranger = bucket.row.usual < NO_USERS,
                _ => {}
            }
        }
        needed.extend(took.shares().map(bucket));
        if is_stranger {
            needed.iter_mut().for_each(Bucket::keep);
        }
        let is_lent = |bucket: &Bucket| is_lent(&bucket.key.dimension);
        let lacks = |bucket: &Bucket| bucket.next_pass_at().is_some();
        // The first codes of a service that moves here are entered after more messages than places without users get.
        if needed.iter().any(|bucket| is_lent(bucket) && lacks(bucket)) {
            let loan = bucket(Dimension::Loan);
            if loan.lends() {
                took = Took::Lent;
                needed.retain(|bucket| !is_lent(bucket));
                needed.push(loan);
            }
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

    fn bucket(&self, Scope { rules, now, .. }: Scope<'_>, key: Key) -> Bucket {
        Bucket::new(key, self.rows.get(&key), rules, now)
    }

    fn change(&mut self, scope: Scope<'_>, key: Key, change: impl FnOnce(&mut Bucket)) {
        let mut bucket = self.bucket(scope, key);
        change(&mut bucket);
        self.rows.set(key, bucket.stored());
    }

    /// One without a row is full.
    fn give(&mut self, scope: Scope<'_>, of: Dimension, messages: impl FnOnce(&Terms) -> f64) {
        let key = scope.key(of);
        if self.rows.get(&key).is_some() {
            self.change(scope, key, |bucket| bucket.take(-messages(&bucket.terms)));
        }
    }
}

// What a message took, and what a verification leaves.

/// The places that the loan stands for.
const fn is_lent(of: &Dimension) -> bool {
    matches!(of, Dimension::Country(_) | Dimension::Network(_))
}

/// The buckets of which a message took one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) enum Took {
    #[default]
    Nothing,
    /// The number's.
    Own,
    /// The number's, and the one of its four messages a day as a known number.
    Known,
    /// The number's, and those of its prefix, country and client.
    Places,
    /// These, and the one that all countries without users share.
    Shared,
    /// The number's and its prefix's, and the loan.
    Lent,
}

impl Took {
    /// What all countries without users share, or the loan, if it took that.
    pub(super) const fn shares(self) -> Option<Dimension> {
        match self {
            Self::Shared => Some(Dimension::Country(None)),
            Self::Lent => Some(Dimension::Loan),
            _ => None,
        }
    }
}

/// What one message took. It stays with the verification, which gives it back.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ticket {
    /// In whole seconds.
    pub at: Timestamp,
    /// Rows that were written more often contain it.
    pub(super) writes: u64,
    pub client: Option<ClientNet>,
    pub(super) country: Option<Region>,
    pub(super) took: Took,
    /// What it was charged to budgets and rate limits, which a verification does not give back.
    pub counted: Vec<Charged>,
}

/// What a message was charged in one window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charged {
    pub key: Key,
    pub since: Timestamp,
    pub ends: Timestamp,
    pub amount: u64,
}

impl Ticket {
    /// What is left of it when its number is verified: it stays charged.
    pub fn verified(self) -> Option<Self> {
        (!self.counted.is_empty()).then_some(Self { took: Took::Nothing, ..self })
    }

    pub fn is_empty(&self) -> bool {
        self.took == Took::Nothing && self.counted.is_empty()
    }

    /// The buckets that it took one of.
    pub(super) fn taken(&self, number: PhoneNumber) -> Vec<Dimension> {
        let own = Dimension::Number(number);
        match self.took {
            Took::Nothing => Vec::new(),
            Took::Own => vec![own],
            Took::Known => vec![own, Dimension::Known(number)],
            Took::Places | Took::Shared => [vec![own], self.places(number)].concat(),
            Took::Lent => {
                let mut taken = [vec![own], self.places(number)].concat();
                taken.retain(|of| !is_lent(of));
                taken
            }
        }
    }

    /// Prefix, client and country, whatever it took of them; and what countries share or the loan, if it took that.
    pub(super) fn places(&self, number: PhoneNumber) -> Vec<Dimension> {
        let client = self.client.map(Dimension::Network);
        let places = [
            Some(Dimension::prefix_of(number)),
            client,
            Some(Dimension::Country(self.country)),
            self.took.shares(),
        ];
        places.into_iter().flatten().collect()
    }
}

/// A number that was verified: the day of its last verification, and of the one that counted as usual, since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifiedNumber {
    pub day: u16,
    pub counted: u16,
}

/// Days for which a number is known.
const KNOWN_DAYS: u16 = 30;

/// Days in which a number counts once as usual.
const COUNTED_DAYS: u16 = 7;

impl VerifiedNumber {
    /// The record after a verification, from the one before; and what the verification says.
    pub fn after(earlier: Option<Self>, now: Timestamp) -> (Self, Verified) {
        let day = u16::try_from(now.as_millis() / 86_400_000).unwrap_or(u16::MAX);
        let counted = earlier.map(|earlier| earlier.counted).filter(|counted| day < counted + COUNTED_DAYS);
        let verified = Verified { is_new: earlier.is_none(), is_usual: counted.is_none() };
        (Self { day, counted: counted.unwrap_or(day) }, verified)
    }

    /// When it is known no longer.
    pub fn expires(self) -> Timestamp {
        Timestamp::from_millis(u64::from(self.day.saturating_add(KNOWN_DAYS)) * 86_400_000)
    }
}

/// What the verification of a number says: nothing if there was no room for its record, because each further one would say
/// the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Verified {
    /// The number was not known.
    pub is_new: bool,
    /// It counts as usual.
    pub is_usual: bool,
}
