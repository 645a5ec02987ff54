//! One service with its honest users on a manual clock, and a guard that attackers meet, too.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use onceward_core::domain::{Channel, NumberType, PhoneNumber, ServiceId, Timestamp};
use onceward_core::guard::{
    ClientNet, Dimension, Entry, EntryAction, Guard, GuardRules, Key, MOST_BUCKETS, Scope, Signals, Ticket,
    VerifiedNumber,
};

use super::countries::{COUNTRIES, HONEST, LARGE, letters, number};
use super::dice::Dice;

pub const MINUTE: Duration = Duration::from_secs(60);
pub const HOUR: Duration = Duration::from_secs(3_600);
pub const DAY: Duration = Duration::from_secs(86_400);

/// Midnight of UTC.
pub const START: Timestamp = Timestamp::from_millis(20_000 * 86_400_000);

/// Prefixes in a country's mobile ranges.
const PREFIXES: u64 = 20_000;

/// Honest users in each hour of a day of UTC, per 10,000.
const RHYTHM: [u32; 24] = [
    180, 140, 110, 100, 110, 150, 230, 340, 440, 510, 540, 550, 560, 570, 600, 630, 650, 670, 680, 660, 610,
    510, 290, 170,
];

/// How honest users behave.
#[derive(Debug, Clone)]
pub struct Honest {
    pub users_a_day: u32,
    /// Users on each day of the week, per cent.
    pub week: [u32; 7],
    /// Prefixes of each small country.
    pub prefixes: u64,
    /// Users from addresses and networks of their own, per mille.
    pub own_address: u64,
    /// Whether all share one address, as behind a carrier's NAT.
    pub one_address: bool,
    /// Users that were there before, per mille, once there are enough of them.
    pub returning: u64,
    /// Added to the time in which a code is read.
    pub reads_after: Duration,
    /// Only users of this country.
    pub country: Option<usize>,
    /// Whether the application passes addresses.
    pub has_addresses: bool,
    /// All who verify enter the code after this time.
    pub enters_after: Option<Duration>,
}

impl Honest {
    pub const fn of(users_a_day: u32) -> Self {
        Self {
            users_a_day,
            week: [100; 7],
            prefixes: PREFIXES,
            own_address: 700,
            one_address: false,
            returning: 400,
            reads_after: Duration::ZERO,
            country: None,
            has_addresses: true,
            enters_after: None,
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Person {
    pub country: usize,
    pub number: PhoneNumber,
    pub address: Option<ClientNet>,
}

/// An honest person's wish for a code, and what became of it since [`World::forget_outcome`].
#[expect(clippy::struct_excessive_bools, reason = "four independent facts")]
#[derive(Debug, Clone, Copy)]
struct User {
    person: Person,
    is_new: bool,
    has_code: bool,
    has_asked: bool,
    is_refused: bool,
}

#[derive(Debug, Clone, Copy)]
enum Action {
    Send,
    /// To a number whose last digit was mistyped.
    SendWrong(PhoneNumber),
    Verify,
}

#[derive(Debug, Clone, Copy)]
struct Event {
    at: Timestamp,
    user: usize,
    action: Action,
}

/// Honest users.
#[derive(Debug, Clone, Copy, Default)]
pub struct Count {
    pub asked: u32,
    /// Those of whom a message was refused.
    pub refused: u32,
}

impl Count {
    /// Refused users of 100.
    pub fn per_cent(self) -> f64 {
        f64::from(self.refused) * 100.0 / f64::from(self.asked.max(1))
    }
}

/// A verification lasts no longer.
const VERIFICATION: Duration = Duration::from_secs(600);

const fn scope(rules: &GuardRules, now: Timestamp) -> Scope<'_> {
    Scope { service: ServiceId::DEFAULT, rules, now }
}

/// The guard of one service with its users, and the clock.
#[derive(Clone)]
pub struct World {
    guard: Guard,
    rules: GuardRules,
    verified: HashMap<PhoneNumber, VerifiedNumber>,
    /// What the messages of running verifications took.
    taken: HashMap<PhoneNumber, Vec<Ticket>>,
    pub now: Timestamp,
    pub honest: Honest,
    /// No gateway accepts a message, or the disk none.
    pub is_out: bool,
    dice: Dice,
    /// By time.
    events: Vec<Event>,
    /// Days for which honest users were generated.
    days: u32,
    users: Vec<User>,
    /// People who were verified, of each country.
    known: Vec<Vec<Person>>,
}

impl World {
    /// A service without a past.
    pub fn new(seed: u64, honest: Honest) -> Self {
        Self {
            guard: Guard::new(MOST_BUCKETS, seed, Arc::new(|_, _| {})),
            rules: GuardRules::default(),
            verified: HashMap::new(),
            taken: HashMap::new(),
            now: START,
            honest,
            is_out: false,
            dice: Dice::new(seed),
            events: Vec::new(),
            days: 0,
            users: Vec::new(),
            known: vec![Vec::new(); HONEST],
        }
    }

    /// A service with 14 days of history.
    pub fn old(seed: u64, honest: Honest) -> Self {
        let mut world = Self::new(seed, honest);
        world.pass(14 * DAY);
        world.forget_outcome();
        world
    }

    /// Lets honest users act.
    pub fn pass(&mut self, time: Duration) {
        let until = self.now.plus(time);
        while START.plus(DAY * self.days) < until {
            self.generate_day();
        }
        let due = self.events.partition_point(|event| event.at >= until);
        for event in self.events.split_off(due).into_iter().rev() {
            self.now = event.at;
            self.act(event);
        }
        self.now = until;
    }

    /// Asks for a message, as an attacker does.
    pub fn asks(&mut self, person: &Person) -> bool {
        self.guard.rows.sweep([2, 0], self.now);
        let Person { country, number, address } = *person;
        let signals = Signals {
            service: ServiceId::DEFAULT,
            number,
            country: letters(country),
            number_type: NumberType::Other,
            channel: Channel::Sms,
            client: address.filter(|_| self.honest.has_addresses),
            is_exempt: false,
            price: None,
        };
        let is_known = self.known(number).is_some();
        let Ok((ticket, _)) = self.guard.assess(&signals, scope(&self.rules, self.now), is_known, &[]) else {
            return false;
        };
        let taken = self.taken.entry(number).or_default();
        taken.retain(|earlier| self.now < earlier.at.plus(VERIFICATION));
        taken.push(ticket);
        true
    }

    /// The person submits the right code.
    pub fn verifies(&mut self, Person { number, .. }: &Person) {
        let (after, verified) = VerifiedNumber::after(self.known(*number), self.now);
        let taken = self.taken.remove(number).unwrap_or_default();
        self.guard.verified(scope(&self.rules, self.now), *number, &taken, verified);
        self.verified.insert(*number, after);
    }

    fn known(&self, number: PhoneNumber) -> Option<VerifiedNumber> {
        self.verified.get(&number).copied().filter(|verified| self.now < verified.expires())
    }

    /// New and returning users of a country, or of all, since the outcome was forgotten.
    pub fn all_users(&self) -> Count {
        self.count(|_| true)
    }

    pub fn new_users(&self) -> Count {
        self.count(|user| user.is_new)
    }

    pub fn new_users_in(&self, country: usize) -> Count {
        self.count(|user| user.is_new && user.person.country == country)
    }

    pub fn forget_outcome(&mut self) {
        for user in &mut self.users {
            (user.has_asked, user.is_refused) = (false, false);
        }
    }

    fn count(&self, is_meant: impl Fn(&User) -> bool) -> Count {
        let mut count = Count::default();
        for user in self.users.iter().filter(|user| user.has_asked && is_meant(user)) {
            count.asked += 1;
            count.refused += u32::from(user.is_refused);
        }
        count
    }

    /// The operator allows messages to a country for a day.
    pub fn allow(&mut self, country: usize) {
        let key = Key::new(Some(ServiceId::DEFAULT), Dimension::Country(letters(country)));
        let entry = Entry { action: EntryAction::Allow, until: self.now.plus(DAY) };
        self.guard.entries.set(key, Some(entry));
    }

    /// A person with any number of a country, from a fresh network.
    pub fn stranger(&mut self, country: usize) -> Person {
        let number = self.dice.number(country, PREFIXES);
        Person { country, number, address: Some(self.dice.fresh()) }
    }

    /// The n-th number of a prefix.
    pub fn of_prefix(&mut self, country: usize, prefix: u64, n: u64) -> Person {
        let person = self.stranger(country);
        Person { number: number(country, prefix * 10_000 + n), ..person }
    }

    /// The address of all users with [`Honest::one_address`].
    pub fn shared_address() -> ClientNet {
        std::net::IpAddr::from([100, 64, 0, 1]).into()
    }

    /// A place below `bound`, at random.
    pub fn any_of(&mut self, bound: usize) -> usize {
        let place = self.dice.below(u64::try_from(bound).expect("small"));
        usize::try_from(place).expect("small")
    }

    /// New users of a country, at `rate` a second. Later days have only such.
    pub fn advert(&mut self, country: usize, users: u32, rate: u32) -> Count {
        (self.honest.country, self.honest.returning) = (Some(country), 0);
        let first = self.users.len();
        for user in 0..users {
            self.user(self.now.plus(Duration::from_secs(1) * user / rate));
        }
        self.sort();
        self.pass(3 * HOUR);
        let refused = self.users[first..].iter().filter(|user| user.is_refused).count();
        Count { asked: users, refused: u32::try_from(refused).expect("few") }
    }

    fn act(&mut self, Event { user, action, .. }: Event) {
        let person = self.users[user].person;
        let number = match action {
            Action::Verify => {
                if std::mem::take(&mut self.users[user].has_code) {
                    self.verifies(&person);
                }
                return;
            }
            Action::Send => person.number,
            Action::SendWrong(number) => number,
        };
        let passes = self.asks(&Person { number, ..person });
        if passes && self.is_out {
            let ticket = self.taken.get_mut(&number).and_then(Vec::pop).expect("the message passed");
            self.guard.give_back(scope(&self.rules, self.now), number, &ticket);
        }
        let user = &mut self.users[user];
        user.has_asked = true;
        user.is_refused |= !passes;
        user.has_code |= passes && !self.is_out && number == person.number;
    }

    fn generate_day(&mut self) {
        let begin = START.plus(DAY * self.days);
        let part = self.honest.week[usize::try_from(self.days % 7).expect("small")];
        for _ in 0..self.honest.users_a_day * part / 100 {
            let hour = u32::try_from(self.dice.weighted(RHYTHM.into_iter())).expect("small");
            let at = begin.plus(HOUR * hour).plus(self.dice.seconds(0, 3_600));
            self.user(at);
        }
        self.days += 1;
        self.sort();
    }

    fn sort(&mut self) {
        self.events.sort_unstable_by_key(|event| std::cmp::Reverse((event.at, event.user)));
    }

    /// A person asks for a code at `at`, and resends and verifies as people do.
    fn user(&mut self, mut at: Timestamp) {
        let (person, is_new) = self.person();
        let (verifier, late) = (COUNTRIES[person.country].4.max(700), self.honest.reads_after);
        let user = self.users.len();
        self.users.push(User { person, is_new, has_code: false, has_asked: false, is_refused: false });
        let dice = &mut self.dice;
        let mut push = |at, action| self.events.push(Event { at, user, action });
        if is_new && dice.chance(20) {
            let wrong = PhoneNumber::from_u64(person.number.as_u64() / 10 * 10 + dice.below(10));
            push(at, Action::SendWrong(wrong.expect("as many digits")));
            at = at.plus(dice.seconds(30, 120));
        }
        push(at, Action::Send);
        if dice.chance(u64::from(verifier)) {
            if dice.chance(80) {
                at = at.plus(dice.seconds(45, 150));
                push(at, Action::Send);
            }
            let (from, to) = if dice.chance(900) { (8, 60) } else { (60, 400) };
            let reads = self.honest.enters_after.unwrap_or_else(|| dice.seconds(from, to));
            push(at.plus(reads).plus(late), Action::Verify);
            if let Some(known) = self.known.get_mut(person.country).filter(|_| is_new) {
                known.push(person);
            }
        } else if dice.chance(300) {
            for _ in 0..=dice.below(3) {
                at = at.plus(dice.seconds(40, 300));
                push(at, Action::Send);
            }
        }
    }

    /// A new person, or one who was there before.
    fn person(&mut self) -> (Person, bool) {
        let shares = COUNTRIES[..HONEST].iter().map(|country| country.3);
        let country = self.honest.country.unwrap_or_else(|| self.dice.weighted(shares));
        let returning = self.known.get(country).map_or(0, Vec::len);
        // Of fewer people, each would return too often.
        if returning > 50 && self.dice.chance(self.honest.returning) {
            let place = self.any_of(returning);
            return (self.known[country][place], false);
        }
        let prefixes = if country < LARGE { PREFIXES } else { self.honest.prefixes };
        let number = self.dice.number(country, prefixes);
        let own = self.honest.own_address;
        let address =
            if self.honest.one_address { Self::shared_address() } else { self.dice.address(country, own) };
        let address = Some(address);
        (Person { country, number, address }, true)
    }
}
