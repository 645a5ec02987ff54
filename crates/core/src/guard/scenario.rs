//! Generated traffic: honest users and attackers, from a seed.

use std::hash::BuildHasher as _;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use foldhash::quality::FixedState;

use super::signals::{ClientNet, Signals};
use crate::domain::{Channel, NumberType, PhoneNumber, Region, ServiceId, Timestamp};

/// One thing that a user did.
#[derive(Debug, Clone, Copy)]
pub(super) struct Event {
    pub(super) at: Timestamp,
    /// Numbers the users. A user whose messages were all refused cannot verify.
    pub(super) user: u32,
    pub(super) signals: Signals,
    pub(super) action: Action,
    pub(super) is_attack: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Action {
    /// Asks for a message. The price is in millionths of a dollar.
    Send { price: u64 },
    /// Submits the right code.
    Verify,
}

/// Traffic to generate: honest users, and attacks after 14 days of history.
#[derive(Debug, Clone)]
pub struct Scenario {
    pub name: &'static str,
    /// Without history, and with a fifth of the users.
    pub(super) is_new: bool,
    scored_days: u32,
    attacks: Vec<Attack>,
}

/// Messages that are never verified, spread evenly over a time.
#[derive(Debug, Clone, Copy)]
struct Attack {
    target: Target,
    messages: u32,
    /// Client addresses that it uses in turn; 0 for requests without an address.
    addresses: u32,
    /// From the begin of the scored days.
    starts: Duration,
    lasts: Duration,
}

/// The numbers of an attack. Countries are the 20 with honest users in the order of their traffic, then those without.
#[derive(Debug, Clone, Copy)]
enum Target {
    /// Numbers of one prefix.
    Prefix(usize),
    /// Numbers of one prefix, too few for a block, then of the next one.
    PrefixesInTurn(usize),
    /// Any mobile numbers of a country.
    Country(usize),
    /// Any mobile numbers of countries `from..to`, in turn.
    Countries(usize, usize),
}

/// Letters, calling code, digits after it, share of the honest users and of those that verify (per mille), price of a
/// message (thousandths of a dollar).
type Country = (&'static str, u64, u32, u32, u32, u64);

/// Countries with honest users, then countries that attackers are paid in.
#[rustfmt::skip]
const COUNTRIES: [Country; 44] = [
    ("US", 1, 10, 300, 880, 10), ("GB", 44, 10, 110, 870, 50), ("DE", 49, 11, 90, 860, 100), ("FR", 33, 9, 70, 870, 80),
    ("IN", 91, 10, 65, 780, 80), ("BR", 55, 11, 55, 800, 50), ("CA", 1, 10, 45, 880, 10), ("ES", 34, 9, 40, 860, 80),
    ("IT", 39, 10, 38, 860, 90), ("MX", 52, 10, 32, 800, 60), ("NL", 31, 9, 27, 880, 100), ("AU", 61, 9, 24, 880, 50),
    ("PL", 48, 9, 21, 870, 45), ("TR", 90, 10, 18, 800, 40), ("JP", 81, 10, 15, 880, 80), ("SE", 46, 9, 13, 890, 60),
    ("ID", 62, 11, 11, 700, 350), ("CH", 41, 9, 10, 880, 75), ("PT", 351, 9, 9, 870, 40), ("SG", 65, 8, 7, 880, 50),
    ("AZ", 994, 9, 0, 0, 300), ("TJ", 992, 9, 0, 0, 300), ("UZ", 998, 9, 0, 0, 250), ("KG", 996, 9, 0, 0, 250),
    ("LK", 94, 9, 0, 0, 300), ("BD", 880, 10, 0, 0, 300), ("NP", 977, 10, 0, 0, 200), ("PK", 92, 10, 0, 0, 300),
    ("NG", 234, 10, 0, 0, 300), ("KE", 254, 9, 0, 0, 150), ("TZ", 255, 9, 0, 0, 200), ("UG", 256, 9, 0, 0, 200),
    ("MM", 95, 10, 0, 0, 250), ("KH", 855, 9, 0, 0, 200), ("JO", 962, 9, 0, 0, 250), ("LB", 961, 8, 0, 0, 200),
    ("IQ", 964, 10, 0, 0, 250), ("DZ", 213, 9, 0, 0, 250), ("TN", 216, 8, 0, 0, 200), ("CU", 53, 8, 0, 0, 100),
    ("ZW", 263, 9, 0, 0, 150), ("MG", 261, 9, 0, 0, 250), ("BY", 375, 9, 0, 0, 250), ("AM", 374, 8, 0, 0, 200),
];

/// Countries with honest users.
const HONEST: usize = 20;

/// The first country without honest users: Azerbaijan.
const FOREIGN: usize = HONEST;

const TURKEY: usize = 13;

/// Messages to one prefix in turn: the floor of the prefix rule.
const PREFIX_QUOTA: u32 = 10;

/// Prefixes in a country's mobile ranges.
const PREFIXES: u64 = 20_000;

/// Honest users in each hour of a day of UTC, per 10,000.
const RHYTHM: [u32; 24] = [
    180, 140, 110, 100, 110, 150, 230, 340, 440, 510, 540, 550, 560, 570, 600, 630, 650, 670, 680, 660, 610,
    510, 290, 170,
];

/// Honest users in a day: some send more than one message.
const USERS: u32 = 9_000;

/// Midnight of UTC, from which the outcome counts.
pub(super) const SCORED_FROM: Timestamp = Timestamp::from_millis(20_000 * 86_400_000);

const HOUR: Duration = Duration::from_secs(3_600);

const DAY: Duration = Duration::from_secs(86_400);

impl Scenario {
    pub fn all() -> Vec<Self> {
        use Target::{Countries, Country, Prefix, PrefixesInTurn};
        let one = |name, attack| Self { name, is_new: false, scored_days: 3, attacks: vec![attack] };
        let (messages, starts, lasts) = (3_000, 10 * HOUR, 3 * HOUR);
        let attack = |target, addresses| Attack { target, messages, addresses, starts, lasts };
        let at_once = |target| Attack { lasts: Duration::from_secs(60), ..attack(target, 0) };
        // 200 messages a day.
        let week = |target| Attack {
            messages: 1_400,
            starts: Duration::ZERO,
            lasts: 7 * DAY,
            ..attack(target, 1_400)
        };
        let slow = |name, target| Self { scored_days: 7, ..one(name, week(target)) };
        let again = |turn| Attack {
            messages: 150,
            starts: 2 * HOUR * turn,
            lasts: HOUR / 2,
            ..attack(Country(TURKEY), 0)
        };
        let none = Attack { messages: 0, ..attack(Country(FOREIGN), 0) };
        let mixed = vec![
            attack(Prefix(FOREIGN), 3_000),
            attack(Country(FOREIGN + 1), 3_000),
            attack(Country(1), 1),
            attack(Countries(FOREIGN + 2, COUNTRIES.len()), 3_000),
        ];
        let new = |name, attacks| Self { is_new: true, attacks, ..one(name, none) };
        vec![
            one("no-attack", none),
            one("prefix", attack(Prefix(FOREIGN), 3_000)),
            one("prefix-at-once", at_once(Prefix(FOREIGN))),
            one("prefixes-in-turn", attack(PrefixesInTurn(FOREIGN), 3_000)),
            one("country", attack(Country(FOREIGN), 3_000)),
            one("country-TR", attack(Country(TURKEY), 3_000)),
            one("country-GB", attack(Country(1), 3_000)),
            one("country-US", attack(Country(0), 3_000)),
            one("country-US-at-night", Attack { starts: 3 * HOUR, ..at_once(Country(0)) }),
            Self { attacks: (0..20).map(again).collect(), ..one("country-TR-again-and-again", none) },
            one("foreign-countries", attack(Countries(FOREIGN, COUNTRIES.len()), 3_000)),
            one("all-countries", attack(Countries(0, COUNTRIES.len()), 3_000)),
            one("address", attack(Countries(0, COUNTRIES.len()), 1)),
            slow("slow", Country(FOREIGN)),
            slow("slow-prefix", Prefix(FOREIGN)),
            slow("slow-TR", Country(TURKEY)),
            Self { attacks: mixed.clone(), ..one("mixed", none) },
            new("new", vec![Attack { messages: 6_000, ..attack(Country(FOREIGN), 3_000) }]),
            new("new-prefix", vec![attack(Prefix(FOREIGN), 3_000)]),
            new("new-address", vec![attack(Countries(0, COUNTRIES.len()), 1)]),
            new(
                "new-slow",
                vec![Attack {
                    lasts: 3 * DAY,
                    messages: 600,
                    starts: Duration::ZERO,
                    ..attack(Country(FOREIGN), 600)
                }],
            ),
            new("new-mixed", mixed),
        ]
    }
}

/// A user with one number.
#[derive(Debug, Clone, Copy)]
struct Person {
    country: usize,
    number: PhoneNumber,
    address: Option<ClientNet>,
    is_attack: bool,
}

/// The people so far, and what they have not done yet. A clone has the same past.
#[derive(Debug, Clone)]
pub(super) struct World {
    dice: Dice,
    events: Vec<Event>,
    users: u32,
    /// Verified people of each country.
    known: [Vec<Person>; HONEST],
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        Self { dice: Dice::new(seed, ""), events: Vec::new(), users: 0, known: Default::default() }
    }

    /// The events of 14 days before the scored ones.
    pub(super) fn history(&mut self) -> Vec<Event> {
        for day in (1..=14).rev() {
            let begin = SCORED_FROM.as_millis() - day * 86_400_000;
            (0..USERS).for_each(|_| self.honest_user(Timestamp::from_millis(begin)));
        }
        self.events.sort_by_key(|event| (event.at, event.user));
        let past = self.events.partition_point(|event| event.at < SCORED_FROM);
        let later = self.events.split_off(past);
        std::mem::replace(&mut self.events, later)
    }

    /// The events that follow.
    pub(super) fn scored(mut self, scenario: &Scenario, seed: u64) -> Vec<Event> {
        self.dice = Dice::new(seed, scenario.name);
        for day in 0..scenario.scored_days {
            let users = if scenario.is_new { USERS / 5 } else { USERS };
            (0..users).for_each(|_| self.honest_user(SCORED_FROM.plus(DAY * day)));
        }
        scenario.attacks.iter().for_each(|attack| self.attack(attack));
        self.events.sort_by_key(|event| (event.at, event.user));
        self.events
    }

    /// A person who asks for a code on this day, and resends and verifies as people do.
    fn honest_user(&mut self, day: Timestamp) {
        let hour = self.dice.weighted(RHYTHM.into_iter());
        let mut at = day.plus(HOUR * u32::try_from(hour).unwrap_or(0)).plus(self.dice.seconds(0, 3_600));
        let country = self.dice.weighted(COUNTRIES[..HONEST].iter().map(|country| country.3));
        let returning = self.known[country].len();
        // Of fewer people, each would return too often.
        let is_returning = returning > 100 && self.dice.chance(500);
        let person = if is_returning {
            let place = self.dice.below(u64::try_from(returning).unwrap_or(1));
            self.known[country][usize::try_from(place).unwrap_or(0)]
        } else {
            let (number, address) = (self.dice.number(country, None), self.dice.address(country));
            Person { country, number, address: Some(address), is_attack: false }
        };
        self.users += 1;
        let (.., verifies, _) = COUNTRIES[country];
        if !is_returning && self.dice.chance(20) {
            // The last digit was mistyped.
            let wrong = PhoneNumber::from_u64(person.number.as_u64() / 10 * 10 + self.dice.below(10));
            self.send(at, Person { number: wrong.unwrap_or(person.number), ..person });
            at = at.plus(self.dice.seconds(30, 120));
        }
        self.send(at, person);
        if self.dice.chance(u64::from(verifies)) {
            if self.dice.chance(80) {
                at = at.plus(self.dice.seconds(45, 150));
                self.send(at, person);
            }
            let (from, to) = if self.dice.chance(900) { (8, 60) } else { (60, 400) };
            at = at.plus(self.dice.seconds(from, to));
            self.push(at, person, Action::Verify);
            if !is_returning {
                self.known[country].push(person);
            }
        } else if self.dice.chance(300) {
            for _ in 0..=self.dice.below(3) {
                at = at.plus(self.dice.seconds(40, 300));
                self.send(at, person);
            }
        }
    }

    fn attack(&mut self, attack: &Attack) {
        let attacked = self.dice.below(PREFIXES);
        for message in 0..attack.messages {
            let (country, prefix) = match attack.target {
                Target::Prefix(country) => (country, Some(attacked)),
                Target::PrefixesInTurn(country) => {
                    (country, Some((attacked + u64::from(message / PREFIX_QUOTA)) % PREFIXES))
                }
                Target::Country(country) => (country, None),
                Target::Countries(from, to) => {
                    (from + usize::try_from(message).unwrap_or(0) % (to - from), None)
                }
            };
            let number = self.dice.number(country, prefix);
            let host = message.checked_rem(attack.addresses);
            let address = host.map(|host| net(0x0b00_0000 + u64::from(host)));
            let at = SCORED_FROM.plus(attack.starts).plus(attack.lasts / attack.messages * message);
            self.users += 1;
            self.send(at, Person { country, number, address, is_attack: true });
        }
    }

    fn send(&mut self, at: Timestamp, person: Person) {
        self.push(at, person, Action::Send { price: COUNTRIES[person.country].5 * 1_000 });
    }

    fn push(&mut self, at: Timestamp, person: Person, action: Action) {
        let Person { country, number, address, is_attack } = person;
        let signals = Signals {
            service: ServiceId::DEFAULT,
            number,
            country: Region::parse(COUNTRIES[country].0),
            number_type: NumberType::Other,
            channel: Channel::Sms,
            address,
            is_trusted: false,
        };
        self.events.push(Event { at, user: self.users, signals, action, is_attack });
    }
}

fn net(host: u64) -> ClientNet {
    IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(host).unwrap_or(0))).into()
}

/// Random choices: a stream for each seed and name.
#[derive(Debug, Clone)]
struct Dice {
    stream: FixedState,
    drawn: u64,
}

impl Dice {
    fn new(seed: u64, name: &str) -> Self {
        let stream = FixedState::with_seed(FixedState::with_seed(seed).hash_one(name));
        Self { stream, drawn: 0 }
    }

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

    fn number(&mut self, country: usize, prefix: Option<u64>) -> PhoneNumber {
        let (_, code, digits, ..) = COUNTRIES[country];
        let prefix = prefix.unwrap_or_else(|| self.below(PREFIXES));
        // A first digit of 6 stands for the mobile ranges.
        let (scale, mobile) = (10_u64.pow(digits), 6 * 10_u64.pow(digits - 1));
        let digits = code * scale + mobile + (prefix * 10_000 + self.below(10_000)) % 10_u64.pow(digits - 1);
        PhoneNumber::from_u64(digits)
            .unwrap_or_else(|| unreachable!("at most 14 digits, none of them leading zeros"))
    }

    /// Seven of ten users have an address to themselves; the others share those of offices, carriers and VPNs.
    fn address(&mut self, country: usize) -> ClientNet {
        let place = u32::try_from(country).unwrap_or(0) << 16;
        let host = match self.below(1_000) {
            0..10 => 0x0100_0000 + self.below(10),
            10..100 => 0x0200_0000 + u64::from(place) + self.below(5),
            100..300 => 0x0300_0000 + u64::from(place) + self.below(400),
            _ => 0x1000_0000 + self.below(0x7000_0000),
        };
        net(host)
    }
}
