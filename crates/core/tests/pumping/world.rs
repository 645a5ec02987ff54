//! Generated traffic: honest users and attackers that see what is refused, from a seed.

use std::collections::HashSet;
use std::hash::BuildHasher as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use foldhash::quality::FixedState;
use onceward_core::domain::{Channel, NumberType, PhoneNumber, Region, ServiceId, Timestamp};
use onceward_core::guard::replay::Replay;
use onceward_core::guard::{Bounds, ClientNet, Dimension, EntryAction, GuardRules, Key, Signals};

pub const MINUTE: Duration = Duration::from_secs(60);
pub const HOUR: Duration = Duration::from_secs(3_600);
pub const DAY: Duration = Duration::from_secs(86_400);

/// Midnight of UTC, from which the outcome counts.
pub const START: Timestamp = Timestamp::from_millis(20_000 * 86_400_000);

/// Letters, calling code, digits after it, share of the honest users and of those that verify (per mille).
type Country = (&'static str, u64, u32, u32, u32);

/// Countries with honest users, then countries that attackers are paid in.
#[rustfmt::skip]
const COUNTRIES: [Country; 44] = [
    ("US", 1, 10, 300, 880), ("GB", 44, 10, 110, 870), ("DE", 49, 11, 90, 860), ("FR", 33, 9, 70, 870),
    ("IN", 91, 10, 65, 780), ("BR", 55, 11, 55, 800), ("CA", 1, 10, 45, 880), ("ES", 34, 9, 40, 860),
    ("IT", 39, 10, 38, 860), ("MX", 52, 10, 32, 800), ("NL", 31, 9, 27, 880), ("AU", 61, 9, 24, 880),
    ("PL", 48, 9, 21, 870), ("TR", 90, 10, 18, 800), ("JP", 81, 10, 15, 880), ("SE", 46, 9, 13, 890),
    ("ID", 62, 11, 11, 700), ("CH", 41, 9, 10, 880), ("PT", 351, 9, 9, 870), ("SG", 65, 8, 7, 880),
    ("AZ", 994, 9, 0, 0), ("TJ", 992, 9, 0, 0), ("UZ", 998, 9, 0, 0), ("KG", 996, 9, 0, 0),
    ("LK", 94, 9, 0, 0), ("BD", 880, 10, 0, 0), ("NP", 977, 10, 0, 0), ("PK", 92, 10, 0, 0),
    ("NG", 234, 10, 0, 0), ("KE", 254, 9, 0, 0), ("TZ", 255, 9, 0, 0), ("UG", 256, 9, 0, 0),
    ("MM", 95, 10, 0, 0), ("KH", 855, 9, 0, 0), ("JO", 962, 9, 0, 0), ("LB", 961, 8, 0, 0),
    ("IQ", 964, 10, 0, 0), ("DZ", 213, 9, 0, 0), ("TN", 216, 8, 0, 0), ("CU", 53, 8, 0, 0),
    ("ZW", 263, 9, 0, 0), ("MG", 261, 9, 0, 0), ("BY", 375, 9, 0, 0), ("AM", 374, 8, 0, 0),
];

/// Countries with honest users.
pub const HONEST: usize = 20;

pub const US: usize = 0;

/// Countries of the table.
pub const COUNTRIES_LEN: usize = COUNTRIES.len();

/// The first country without honest users.
pub const FOREIGN: usize = HONEST;

/// Countries with many prefixes, whatever [`Honest::prefixes`] says.
const LARGE: usize = 10;

/// Countries of an attacker who has all of them. Beyond the table they have no plan, and a letter code each.
pub const ALL: usize = 200;

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
    /// Users for each day of the week, per cent.
    pub week: [u32; 7],
    /// Prefixes of each small country.
    pub prefixes: u64,
    /// Users from addresses and networks of their own, per mille.
    pub own_address: u64,
    /// Users that were there before, per mille, once there are enough of them.
    pub returning: u64,
    /// Added to the time in which a code is read.
    pub reads_after: Duration,
    /// Only users of this country.
    pub country: Option<usize>,
    /// Whether the application passes addresses.
    pub has_addresses: bool,
}

impl Honest {
    pub const fn of(users_a_day: u32) -> Self {
        Self {
            users_a_day,
            week: [100; 7],
            prefixes: PREFIXES,
            own_address: 700,
            returning: 400,
            reads_after: Duration::ZERO,
            country: None,
            has_addresses: true,
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Person {
    pub country: usize,
    pub number: PhoneNumber,
    pub address: Option<ClientNet>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Send,
    Verify,
}

#[derive(Debug, Clone, Copy)]
struct Event {
    at: Timestamp,
    user: u32,
    person: Person,
    action: Action,
    is_new: bool,
}

/// What became of the honest users since the outcome was last taken.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    pub users: HashSet<u32>,
    /// Users of whom a message was refused.
    pub refused: HashSet<u32>,
    pub new: HashSet<u32>,
    pub new_refused: HashSet<u32>,
    pub rules: std::collections::BTreeMap<onceward_core::guard::Rule, u32>,
    /// New users by country: all, and refused ones.
    pub by_country: std::collections::HashMap<usize, [HashSet<u32>; 2]>,
}

impl Outcome {
    /// Refused users of 1,000.
    pub fn per_mille(&self) -> usize {
        self.refused.len() * 1_000 / self.users.len().max(1)
    }

    /// The same of new users.
    pub fn new_per_mille(&self) -> usize {
        self.new_refused.len() * 1_000 / self.new.len().max(1)
    }
}

/// The guard of one service with its users, and the clock.
#[derive(Clone)]
pub struct World {
    pub replay: Replay,
    pub service: ServiceId,
    pub now: Timestamp,
    pub honest: Honest,
    pub outcome: Outcome,
    dice: Dice,
    events: Vec<Event>,
    /// Days for which honest users are generated.
    days: u64,
    users: u32,
    known: Vec<Vec<Person>>,
    reached: HashSet<u32>,
    /// No message leaves.
    pub is_out: bool,
}

impl World {
    /// A service without a past.
    pub fn new(seed: u64, honest: Honest) -> Self {
        Self::with_rules(seed, honest, GuardRules::default())
    }

    pub fn with_rules(seed: u64, honest: Honest, rules: GuardRules) -> Self {
        Self {
            replay: Replay::new(rules, Bounds::default(), seed),
            service: ServiceId::DEFAULT,
            now: START,
            honest,
            outcome: Outcome::default(),
            dice: Dice { stream: FixedState::with_seed(seed), drawn: 0 },
            events: Vec::new(),
            days: 0,
            users: 0,
            known: vec![Vec::new(); HONEST],
            reached: HashSet::new(),
            is_out: false,
        }
    }

    /// A service with 14 days of history.
    pub fn old(seed: u64, honest: Honest) -> Self {
        let mut world = Self::new(seed, honest);
        world.pass(14 * DAY);
        world.outcome = Outcome::default();
        world
    }

    /// Lets honest users act.
    pub fn pass(&mut self, time: Duration) {
        let until = self.now.plus(time);
        while START.plus(DAY * u32::try_from(self.days).expect("few days")) < until {
            self.generate_day();
        }
        let due = self.events.partition_point(|event| event.at < until);
        let later = self.events.split_off(due);
        for event in std::mem::replace(&mut self.events, later) {
            self.now = event.at;
            self.act(event);
        }
        self.now = until;
    }

    /// The message of an attacker.
    pub fn attack(&mut self, person: &Person) -> bool {
        self.replay.send(&self.signals(person), self.now).is_ok()
    }

    pub fn attacker_verifies(&mut self, person: &Person) {
        self.replay.verify(self.service, person.number, self.now);
    }

    /// New users of a country, and the refused ones, since the outcome was taken.
    pub fn new_in(&mut self, country: usize) -> (usize, usize) {
        let of = self.outcome.by_country.remove(&country).unwrap_or_default();
        (of[0].len(), of[1].len())
    }

    /// Announces messages to a country.
    pub fn expect(&mut self, country: usize, messages: u32) {
        let key = Key::new(Some(self.service), Dimension::Country(letters(country)));
        let (action, until) = (Some(EntryAction::Expect(messages)), self.now.plus(DAY));
        self.replay.guard.set_entry(key, action, until, self.now).expect("room");
    }

    /// A person with any number of a country, from a fresh network.
    pub fn stranger(&mut self, country: usize) -> Person {
        let number = self.dice.number(country, None, PREFIXES);
        Person { country, number, address: Some(self.dice.fresh()) }
    }

    /// The n-th number of a prefix.
    pub fn of_prefix(&mut self, country: usize, prefix: u64, n: u64) -> Person {
        let person = self.stranger(country);
        let number = number(country, prefix * 10_000 + n);
        Person { number, ..person }
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.dice.below(bound)
    }

    /// A burst of new users of a country at `rate` a second. Returns their number and how many were refused.
    pub fn advert(&mut self, country: usize, users: u32, rate: u32) -> (usize, usize) {
        let (before, honest) = (std::mem::take(&mut self.outcome), self.honest.clone());
        (self.honest.country, self.honest.returning) = (Some(country), 0);
        let first = self.users;
        for user in 0..users {
            let at = self.now.plus(Duration::from_secs(1) * user / rate);
            self.user(at);
        }
        self.honest = honest;
        self.sort();
        self.pass(3 * HOUR);
        let outcome = std::mem::replace(&mut self.outcome, before);
        println!("{:?}", outcome.rules);
        let of_advert = |found: &HashSet<u32>| found.iter().filter(|user| (first + 1..=first + users).contains(user)).count();
        (of_advert(&outcome.users), of_advert(&outcome.refused))
    }

    fn signals(&self, person: &Person) -> Signals {
        let Person { country, number, address } = *person;
        Signals {
            service: self.service,
            number,
            country: letters(country),
            number_type: NumberType::Other,
            channel: Channel::Sms,
            address: address.filter(|_| self.honest.has_addresses),
            is_trusted: false,
        }
    }

    fn act(&mut self, event: Event) {
        let Event { at, user, person, action, is_new } = event;
        if action == Action::Verify {
            if self.reached.remove(&user) {
                self.replay.verify(self.service, person.number, at);
            }
            return;
        }
        let signals = self.signals(&person);
        let sent = self.replay.send(&signals, at);
        if let Err(refused) = sent {
            *self.outcome.rules.entry(refused.rule).or_default() += 1;
        }
        let passes = sent.is_ok();
        if passes && self.is_out {
            self.replay.give_back(self.service, person.number, at);
        } else if passes {
            self.reached.insert(user);
        }
        self.outcome.users.insert(user);
        if is_new {
            self.outcome.new.insert(user);
            let of = self.outcome.by_country.entry(person.country).or_default();
            of[0].insert(user);
            if !passes {
                of[1].insert(user);
            }
        }
        if !passes {
            self.outcome.refused.insert(user);
            if is_new {
                self.outcome.new_refused.insert(user);
            }
        }
    }

    fn generate_day(&mut self) {
        let begin = START.plus(DAY * u32::try_from(self.days).expect("few days"));
        let part = self.honest.week[usize::try_from(self.days % 7).expect("small")];
        for _ in 0..self.honest.users_a_day * part / 100 {
            let hour = self.dice.weighted(RHYTHM.into_iter());
            let at = begin.plus(HOUR * u32::try_from(hour).expect("small")).plus(self.dice.seconds(0, 3_600));
            self.user(at);
        }
        self.days += 1;
        self.sort();
    }

    fn sort(&mut self) {
        self.events.sort_by_key(|event| (event.at, event.user));
    }

    /// A person who asks for a code, and resends and verifies as people do.
    fn user(&mut self, mut at: Timestamp) {
        let shares = COUNTRIES[..HONEST].iter().map(|country| country.3);
        let country = self.honest.country.unwrap_or_else(|| self.dice.weighted(shares));
        let returning = if country < HONEST { self.known[country].len() } else { 0 };
        // Of fewer people, each would return too often.
        let is_returning = returning > 50 && self.dice.chance(self.honest.returning);
        let person = if is_returning {
            let place = self.dice.below(u64::try_from(returning).expect("small"));
            self.known[country][usize::try_from(place).expect("small")]
        } else {
            let prefixes = if country < LARGE { PREFIXES } else { self.honest.prefixes };
            let number = self.dice.number(country, None, prefixes);
            let address = Some(self.dice.address(country, self.honest.own_address));
            Person { country, number, address }
        };
        self.users += 1;
        let (user, is_new, late) = (self.users, !is_returning, self.honest.reads_after);
        let push = |world: &mut Self, at, person, action| {
            world.events.push(Event { at, user, person, action, is_new });
        };
        if !is_returning && self.dice.chance(20) {
            // The last digit was mistyped.
            let wrong = PhoneNumber::from_u64(person.number.as_u64() / 10 * 10 + self.dice.below(10));
            push(self, at, Person { number: wrong.unwrap_or(person.number), ..person }, Action::Send);
            at = at.plus(self.dice.seconds(30, 120));
        }
        push(self, at, person, Action::Send);
        if self.dice.chance(u64::from(COUNTRIES.get(country).map_or(850, |country| country.4.max(700)))) {
            if self.dice.chance(80) {
                at = at.plus(self.dice.seconds(45, 150));
                push(self, at, person, Action::Send);
            }
            let (from, to) = if self.dice.chance(900) { (8, 60) } else { (60, 400) };
            at = at.plus(self.dice.seconds(from, to)).plus(late);
            push(self, at, person, Action::Verify);
            if !is_returning && country < HONEST {
                self.known[country].push(person);
            }
        } else if self.dice.chance(300) {
            for _ in 0..=self.dice.below(3) {
                at = at.plus(self.dice.seconds(40, 300));
                push(self, at, person, Action::Send);
            }
        }
    }
}

/// A country beyond the table has a code of four digits that no plan knows.
fn letters(country: usize) -> Option<Region> {
    const MORE: &[u8] = b"ADAEAFAGAIALAOARASATAWAXBABBBEBFBGBHBIBJBLBMBNBOBQBSBTBWBZCCCDCFCGCICKCLCMCNCOCRCVCWCXCYCZDJDKDMDOECEEEGEHERETFIFJFKFMFOGAGDGEGFGGGHGIGLGMGNGPGQGRGTGUGWGYHKHNHRHTHUIEILIMIOIRISJEJMKIKMKNKPKRKWKYKZLALCLILRLSLTLULVLYMAMCMDMEMFMHMKMLMNMOMPMQMRMSMTMUMVMWMYMZNANCNENFNINONRNUNZOMPAPEPFPGPHPMPRPSPWPYQARERORSRURWSASBSCSDSHSISJSKSLSMSNSO";
    match COUNTRIES.get(country) {
        Some(country) => Region::parse(country.0),
        None => {
            let at = (country - COUNTRIES.len()) * 2;
            Region::parse(std::str::from_utf8(&MORE[at..at + 2]).expect("letters"))
        }
    }
}

/// The n-th number of a country's mobile ranges.
fn number(country: usize, n: u64) -> PhoneNumber {
    let (code, digits) = match COUNTRIES.get(country) {
        Some((_, code, digits, ..)) => (*code, *digits),
        None => (7_000 + u64::try_from(country).expect("small"), 9),
    };
    // A first digit of 6 stands for the mobile ranges.
    let scale = 10_u64.pow(digits);
    let digits = code * scale + 6 * (scale / 10) + n % (scale / 10);
    PhoneNumber::from_u64(digits).expect("at most 14 digits")
}

/// Random choices.
#[derive(Debug, Clone)]
struct Dice {
    stream: FixedState,
    drawn: u64,
}

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.drawn += 1;
        self.stream.hash_one(self.drawn) % bound.max(1)
    }

    fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1_000) < per_mille
    }

    fn seconds(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from * 1_000 + self.below((to - from) * 1_000))
    }

    fn weighted(&mut self, weights: impl Iterator<Item = u32> + Clone) -> usize {
        let mut place = self.below(weights.clone().map(u64::from).sum());
        for (index, weight) in weights.enumerate() {
            match place.checked_sub(u64::from(weight)) {
                Some(rest) => place = rest,
                None => return index,
            }
        }
        0
    }

    fn number(&mut self, country: usize, prefix: Option<u64>, prefixes: u64) -> PhoneNumber {
        let prefix = prefix.unwrap_or_else(|| self.below(prefixes));
        number(country, prefix * 10_000 + self.below(10_000))
    }

    /// An address of a network that no other has.
    fn fresh(&mut self) -> ClientNet {
        let host = self.below(1 << 48);
        IpAddr::V6(Ipv6Addr::from_bits(0x2a00_u128 << 112 | u128::from(host) << 64)).into()
    }

    /// Most users have an address to themselves; the others share those of offices, carriers and VPNs.
    fn address(&mut self, country: usize, own: u64) -> ClientNet {
        let place = u32::try_from(country).expect("small") << 16;
        if self.chance(own) {
            return self.fresh();
        }
        let host = match self.below(300) {
            0..10 => 0x0100_0000 + self.below(10),
            10..100 => 0x0200_0000 + u64::from(place) + 300 * self.below(5),
            _ => 0x0300_0000 + u64::from(place) + self.below(400),
        };
        IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(host).expect("32 bits"))).into()
    }
}
