//! The rules one by one. Generated attacks are in `tests/pumping`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use proptest::prelude::*;

use super::allowance::{Limit, seconds};
use super::*;
use crate::domain::{Channel, NumberType, PhoneNumber, Region, ServiceId, Timestamp};

mod entries;
mod stored;
mod time;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

const TJ: u64 = 992_900_000_000;
const DE: u64 = 4_915_100_000_000;
const US: u64 = 14_150_000_000;

#[test]
fn countries_count_0_and_prefixes_and_networks_a_fifth_without_outcomes() {
    let mut world = World::new();
    let of = |n: u64| Signals { without_outcomes: true, ..World::signals(n) };
    let most = |world: &World, signals: &dyn Fn(u64) -> Signals| {
        let mut world = world.clone();
        let refused = (0..1_000).find_map(|n| Some((n, world.assess(&signals(n)).err()?)));
        (refused, world)
    };
    assert_eq!(most(&world, &|_| of(TJ)).0, Some((20, Rule::Number)));
    assert_eq!(most(&world, &|n| of(elsewhere(n))).0, None);
    let (of_prefix, drained) = most(&world, &|n| of(TJ + n));
    assert_eq!(of_prefix, Some((50, Rule::Prefix)));
    let of_network = |n| Signals { address: Some(net(&format!("192.0.2.{n}"))), ..of(elsewhere(n % 200)) };
    assert_eq!(most(&world, &of_network).0, Some((100, Rule::Network)));
    world = drained;
    (0..50).for_each(|n| world.give_back(TJ + n));
    assert_eq!(world.level(Dimension::Prefix(TJ / 10_000)), 10, "what was not sent is given back");
}

#[test]
fn a_start_after_a_crash_takes_again_just_what_the_stored_rows_lack() {
    let mut world = World::new();
    let sends = |world: &mut World, from: u64| {
        for n in from..from + 4 {
            world.send_from(TJ + n, &fresh(n)).expect("sent");
        }
    };
    sends(&mut world, 0);
    let written = world.guard.close_second();
    let stored = world.guard.clone();
    // In the same second.
    sends(&mut world, 4);
    let levels = |world: &World| {
        let places = [Dimension::Prefix(TJ / 10_000), country("TJ").dimension, Dimension::Unproven];
        places.map(|place| world.level(place))
    };
    let before = levels(&world);
    let starts = |after: &World, stored: &Guard, written| {
        let mut restarted = after.clone();
        restarted.guard = stored.clone();
        restarted.guard.restore(GuardRow::Written(written));
        for (to, tickets) in &after.tickets {
            restarted.guard.take_again(ServiceId::DEFAULT, *to, &tickets[0], &after.rules, after.now);
        }
        assert_eq!(levels(&restarted), before);
        restarted
    };
    for _ in 0..3 {
        let mut restarted = starts(&world, &stored, written);
        assert_eq!(restarted.send_from(TJ + 20, &fresh(20)), Err(Rule::Prefix));
        // Its rows are stored before the next crash.
        let written = restarted.guard.close_second();
        starts(&restarted, &restarted.guard.clone(), written);
        world.pass(Duration::from_secs(1));
    }
}

#[test]
fn a_verified_message_to_a_known_number_counts_half() {
    let mut world = World::new();
    for n in 0..40 {
        assert_eq!(world.send_from(TJ, "192.0.2.7"), Ok(()), "sign-in {n}");
        world.verify(TJ);
    }
    let full = [network("192.0.2.7"), country("TJ").dimension].map(|place| world.figures(place));
    assert!(full.iter().all(|figures| figures.level == figures.most), "{full:?}");
    assert!((0..5).any(|_| world.send_from(TJ, "192.0.2.7").is_err()), "an own number gets 41 a day");
}

/// A bot begins for a returning user, each hour until it is refused, always from another network.
#[test]
fn a_bot_locks_no_returning_user_out_at_home() {
    let mut world = World::new();
    for _ in 0..5 {
        world.send_from(TJ, "203.0.113.7").expect("sent");
        world.verify(TJ);
        world.pass(DAY);
    }
    let mut bot = 0;
    for hour in 0..72 {
        while world.send_from(TJ, &fresh(bot)) == Ok(()) {
            bot += 1;
        }
        assert_eq!(world.explain(TJ).from_home, Some(Ok(())));
        assert_eq!(world.send_from(TJ, "203.0.113.9"), Ok(()), "hour {hour}, the same network");
        // Each third code is not entered.
        if hour % 3 != 0 {
            world.verify(TJ);
        }
        world.pass(HOUR);
    }
    assert!(bot < 80, "{bot} messages to the person in three days");
}

#[test]
fn a_prefix_gets_ten_messages_and_nine_more_in_a_day() {
    let mut world = World::new();
    assert_eq!(world.send_while(|n| TJ + n), (10, Rule::Prefix));
    world.pass(DAY);
    assert_eq!(world.send_while(|n| TJ + 100 + n), (9, Rule::Prefix));
    world.pass(30 * DAY);
    assert_eq!(world.send_while(|n| TJ + 200 + n), (10, Rule::Prefix), "no more than the floor is stored");
}

#[test]
fn a_country_without_users_gets_thirty_messages_and_all_of_them_sixty() {
    let mut world = World::new();
    assert_eq!(world.send_while(elsewhere), (30, Rule::Country));
    let in_turn = |n: u64| PLACES[usize::try_from(n % 5).expect("small")] + 10_000 * (1_000 + n);
    assert_eq!(world.send_while(in_turn), (30, Rule::Unproven));
}

#[test]
fn the_last_two_of_a_prefix_are_for_known_networks() {
    let mut world = World::new();
    world.send_from(DE, "192.0.2.7").expect("sent");
    world.verify(DE);
    let sent = (0..20).take_while(|n| world.send_from(TJ + n, &fresh(*n)) == Ok(())).count();
    assert_eq!(sent, 8);
    assert_eq!(world.send_from(TJ + 50, "192.0.2.200"), Ok(()), "of the network of a verified number");
}

#[test]
fn a_new_number_pays_its_places_more_than_it_took_and_its_prefix_less() {
    let mut world = World::new();
    assert_eq!(world.send_while(elsewhere), (30, Rule::Country));
    world.verify(elsewhere(0));
    assert_eq!(world.send_while(|n| elsewhere(100 + n)), (3, Rule::Country));
    world.verify(elsewhere(0));
    assert_eq!(world.send(elsewhere(200)), Err(Rule::Country), "a known number pays nothing");
    assert_eq!(world.send_while(|n| DE + n), (10, Rule::Prefix));
    world.verify(DE);
    assert_eq!(world.send(DE + 100), Err(Rule::Prefix));
    world.verify(DE + 1);
    assert_eq!(world.send_while(|n| DE + 200 + n), (1, Rule::Prefix), "half of each");
}

#[test]
fn a_number_without_room_among_the_verified_gets_back_what_it_took() {
    let mut world = World::new();
    world.has_room = false;
    world.send_while(elsewhere);
    for _ in 0..5 {
        world.verify(elsewhere(0));
        let figures = world.figures(country("TJ").dimension);
        assert_eq!((figures.level, figures.usual), (1, 0));
        assert_eq!(world.send(elsewhere(0)), Ok(()));
    }
    assert!(world.known.is_empty());
}

#[test]
fn a_message_that_was_not_sent_gives_back_what_it_took() {
    let mut world = World::new();
    let places = [
        Dimension::Number(number(TJ)),
        Dimension::Prefix(TJ / 10_000),
        network("192.0.2.7"),
        country("TJ").dimension,
        Dimension::Unproven,
    ];
    let gives_back = |world: &mut World, messages: u64| {
        let before = places.map(|place| world.level(place));
        for _ in 0..20 {
            let addresses = (0..messages).map(|n| format!("192.0.{}.7", 2 + n));
            addresses.for_each(|address| assert_eq!(world.send_from(TJ, &address), Ok(())));
            (0..messages).for_each(|_| world.give_back(TJ));
        }
        assert_eq!(places.map(|place| world.level(place)), before);
    };
    world.send_from(TJ, "192.0.2.7").expect("sent");
    gives_back(&mut world, 3);
    world.verify(TJ);
    // A known number's that needs no allowance, one of its address, and one that needs all.
    for earlier in [0, 1, 4] {
        (0..earlier).for_each(|_| assert_eq!(world.send_from(TJ, "192.0.2.7"), Ok(())));
        gives_back(&mut world, 1);
        world.verify(TJ);
        world.pass(DAY);
    }
}

#[test]
fn a_known_number_gets_four_unverified_messages_without_an_allowance() {
    let mut world = World::new();
    world.send(TJ + 7_000).expect("sent");
    world.verify(TJ + 7_000);
    assert_eq!(world.send_while(|n| TJ + n).1, Rule::Prefix);
    (0..4).for_each(|_| assert_eq!(world.send(TJ + 7_000), Ok(())));
    assert_eq!(world.send(TJ + 7_000), Err(Rule::Prefix));
    world.verify(TJ + 7_000);
    assert_eq!(world.send(TJ + 7_000), Ok(()));
}

#[test]
fn a_number_is_known_for_thirty_days() {
    for (days, verdict) in [(29, Ok(())), (30, Err(Rule::Prefix))] {
        let mut world = World::new();
        world.send(TJ + 7_000).expect("sent");
        world.verify(TJ + 7_000);
        world.pass(days * DAY);
        assert_eq!(world.send_while(|n| TJ + n).1, Rule::Prefix);
        assert_eq!(world.send(TJ + 7_000), verdict, "{days} days");
    }
}

#[test]
fn a_number_gets_twenty_unverified_messages_which_come_back_over_a_day() {
    let mut world = World::new();
    world.rules = roomy();
    assert_eq!(world.send_while(|_| TJ), (20, Rule::Number));
    world.pass(72 * MINUTE);
    assert_eq!(world.send_while(|_| TJ), (1, Rule::Number));
    world.verify(TJ);
    assert_eq!(world.send_while(|_| TJ), (20, Rule::Number));
    assert!(world.guard.unlock(ServiceId::DEFAULT, number(TJ)));
    assert_eq!(world.send(TJ), Ok(()));
}

#[test]
fn the_mode_record_lets_pass_and_tells_and_off_keeps_nothing() {
    for (mode, verdict, tells) in
        [(Mode::Block, Err(Rule::Prefix), true), (Mode::Record, Ok(()), true), (Mode::Off, Ok(()), false)]
    {
        let mut world = World::new();
        world.rules.mode = mode;
        let last = (0..40).map(|n| world.send(TJ + n)).last();
        assert_eq!((last, !world.findings.is_empty()), (Some(verdict), tells), "{mode:?}");
        assert!(world.findings.iter().all(|finding| finding.is_refused == (mode == Mode::Block)));
        world.verify(TJ);
        assert_eq!(world.guard.rows.held() == 0, mode == Mode::Off, "{mode:?}");
        assert_eq!(world.known.len(), 1, "a verified number is known in each mode");
    }
}

#[test]
fn an_exempt_message_needs_no_allowance_and_a_safe_one_is_of_any_type() {
    let mut world = World::new();
    world.send_while(|n| TJ + n);
    let trusted = Signals { exemption: Exemption::Allowances, ..World::signals(TJ) };
    assert_eq!(world.assess(&trusted), Ok(()));
    let premium = Signals { number_type: NumberType::Special, ..trusted };
    assert_eq!(world.assess(&premium), Err(Rule::NumberType));
    let safe = Signals { exemption: Exemption::AllowancesAndTypes, ..premium };
    assert_eq!(world.assess(&safe), Ok(()));
    let own = Signals { number: number(TJ + 1_000), ..trusted };
    (0..20).for_each(|_| assert_eq!(world.assess(&own), Ok(())));
    assert_eq!(world.assess(&own), Err(Rule::Number), "but the number's own");
    world.give_back(TJ + 1_000);
    assert_eq!(world.assess(&own), Ok(()));
    assert_eq!(world.assess(&Signals { exemption: Exemption::AllowancesAndTypes, ..own }), Ok(()));
    world.rules.blocked_countries = [region("TJ")].into();
    assert_eq!(world.assess(&safe), Err(Rule::CountryList));
}

#[test]
fn the_verification_of_an_exempt_message_pays_no_earlier_client() {
    let mut world = World::new();
    let level = |world: &World, address| world.level(network(address));
    world.send_from(TJ, "192.0.2.7").expect("sent");
    let other = Signals { exemption: Exemption::Allowances, ..World::signals_from(TJ, "203.0.113.9") };
    let same = Signals { address: Some(net("192.0.2.7")), ..other };
    let mut own = world.clone();
    world.assess(&other).expect("sent");
    world.verify(TJ);
    assert_eq!(level(&world, "192.0.2.7"), 19);
    own.assess(&same).expect("sent");
    own.verify(TJ);
    assert_eq!(level(&own, "192.0.2.7"), 20);
}

#[test]
fn types_and_country_lists_are_fixed() {
    let mut world = World::new();
    let mut verdict = |rules: GuardRules, number_type, channel| {
        world.rules = rules;
        world.assess(&Signals { number_type, channel, ..World::signals(TJ) })
    };
    let (refused, default) = (Err(Rule::NumberType), GuardRules::default());
    assert_eq!(verdict(default.clone(), NumberType::Special, Channel::Sms), refused);
    assert_eq!(verdict(default.clone(), NumberType::Landline, Channel::Sms), Err(Rule::Landline));
    assert_eq!(verdict(default.clone(), NumberType::Landline, Channel::Call), Ok(()));
    let off = GuardRules { number_types: Mode::Off, ..default.clone() };
    assert_eq!(verdict(off, NumberType::Special, Channel::Sms), Ok(()));
    let only = GuardRules { allowed_countries: Some([region("DE")].into()), ..default.clone() };
    assert_eq!(verdict(only, NumberType::Other, Channel::Sms), Err(Rule::CountryList));
    let blocked = GuardRules { mode: Mode::Off, blocked_countries: [region("TJ")].into(), ..default };
    assert_eq!(verdict(blocked, NumberType::Other, Channel::Sms), Err(Rule::CountryList));
}

#[test]
fn the_rules_are_off_if_no_mode_list_or_price_holds() {
    let (off, default) = (Mode::Off, GuardRules::default());
    let all_off = GuardRules { mode: off, number_types: off, landlines: off, ..default };
    assert!(all_off.are_off());
    let (own, of) = (Mode::Record, || all_off.clone());
    let holding = [
        GuardRules { mode: own, ..of() },
        GuardRules { number_types: own, ..of() },
        GuardRules { landlines: own, ..of() },
        GuardRules { allowed_countries: Some([region("DE")].into()), ..of() },
        GuardRules { blocked_countries: [region("DE")].into(), ..of() },
        GuardRules { max_price: Some(50_000), ..of() },
    ];
    for rules in holding {
        assert!(!rules.are_off(), "{rules:?}");
    }
}

#[test]
fn an_address_is_an_ipv4_address_or_a_64_of_ipv6() {
    assert_eq!(net("2001:db8:0:1::7"), net("2001:db8:0:1:ffff::"));
    assert_eq!(net("::ffff:192.0.2.7"), net("192.0.2.7"));
    assert_eq!(net("64:ff9b::192.0.2.7"), net("192.0.2.7"));
    assert_eq!(net("64:ff9b::1:0:0").to_string(), "64:ff9b::/64");
    assert_ne!(net("192.0.2.7"), net("192.0.2.8"));
    assert_ne!(net("192.0.2.7"), net("ffff:ffff:c000:207::1"));
    assert_eq!(net("ffff:ffff:c000:207::1").to_string(), "::/64");
    let names = [net("192.0.2.7"), net("2001:db8:0:1::7")].map(|net| net.to_string());
    assert_eq!(names, ["192.0.2.7", "2001:db8:0:1::/64"]);
    let networks =
        [net("192.0.2.7"), net("2001:db8:0:1::7")].map(|net| Dimension::Network(net.network()).to_string());
    assert_eq!(networks, ["192.0.2.0/24", "2001:db8::/48"]);
}

/// Numbers of countries, each of another one.
const PLACES: [u64; 5] =
    [94_700_000_000, 994_500_000_000, 998_900_000_000, 996_700_000_000, 8_801_700_000_000];

/// Numbers of one country, each of another prefix.
fn elsewhere(n: u64) -> u64 {
    TJ + 10_000 * (1_000 + n)
}

/// Addresses, each of another network.
fn fresh(n: u64) -> String {
    format!("2001:db8:{n:x}::1")
}

/// A guard with a clock that stands.
#[derive(Clone)]
struct World {
    guard: Guard,
    rules: GuardRules,
    now: Timestamp,
    known: BTreeMap<PhoneNumber, VerifiedNumber>,
    findings: Vec<Finding>,
    /// Of each number's messages.
    tickets: BTreeMap<PhoneNumber, Vec<Ticket>>,
    /// Whether the table of verified numbers takes another one.
    has_room: bool,
}

impl World {
    /// At midnight of UTC.
    fn new() -> Self {
        Self {
            guard: Guard::new(MOST_ALLOWANCES, 1),
            rules: GuardRules::default(),
            now: Timestamp::from_millis(20_000 * 86_400_000),
            known: BTreeMap::new(),
            findings: Vec::new(),
            tickets: BTreeMap::new(),
            has_room: true,
        }
    }

    /// With 40 new users a day for two weeks in Germany, all from one network.
    fn with_users() -> Self {
        let mut world = Self::new();
        for n in 0..14 * 40 {
            let to = DE + 10_000 * (n % 1_000) + n;
            world.send_from(to, &format!("198.51.100.{}", n % 200)).expect("sent");
            world.verify(to);
            world.pass(36 * MINUTE);
        }
        world
    }

    fn signals(to: u64) -> Signals {
        Signals {
            service: ServiceId::DEFAULT,
            number: number(to),
            country: number(to).region(),
            number_type: NumberType::Other,
            channel: Channel::Sms,
            address: None,
            exemption: Exemption::None,
            without_outcomes: false,
            price: None,
        }
    }

    fn signals_from(to: u64, address: &str) -> Signals {
        Signals { address: Some(net(address)), ..Self::signals(to) }
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now.plus(time);
    }

    fn assess(&mut self, signals: &Signals) -> Result<(), Rule> {
        let known = self.known.get(&signals.number).copied().filter(|known| self.now < known.expires());
        let assessment = self.guard.assess(signals, &self.rules, known, self.now);
        self.findings = assessment.findings;
        if assessment.verdict.is_ok() {
            self.tickets.entry(signals.number).or_default().push(assessment.ticket);
        }
        assessment.verdict.map_err(|refused| refused.rule)
    }

    fn send(&mut self, to: u64) -> Result<(), Rule> {
        self.assess(&Self::signals(to))
    }

    fn send_from(&mut self, to: u64, address: &str) -> Result<(), Rule> {
        self.assess(&Self::signals_from(to, address))
    }

    /// Sends until one is refused: the number of messages, and the rule.
    fn send_while(&mut self, to: impl Fn(u64) -> u64) -> (u32, Rule) {
        for n in 0..1_000 {
            if let Err(rule) = self.send(to(n)) {
                return (u32::try_from(n).expect("few"), rule);
            }
        }
        panic!("nothing is refused");
    }

    fn verify(&mut self, to: u64) {
        let to = number(to);
        let known = self.known.get(&to).copied().filter(|known| self.now < known.expires());
        let service = ServiceId::DEFAULT;
        let after = self.guard.verified_record(service, to, known, self.now);
        let after = (known.is_some() || self.has_room).then_some(after);
        self.guard.verified(service, to, &self.rules, VerifiedChange { before: known, after }, self.now);
        self.known.extend(after.map(|after| (to, after)));
    }

    /// The last message to a number was not sent.
    fn give_back(&mut self, to: u64) {
        if let Some(ticket) = self.tickets.get_mut(&number(to)).and_then(Vec::pop) {
            self.guard.give_back(ServiceId::DEFAULT, number(to), &ticket, &self.rules, self.now);
        }
    }

    /// Until when a message is refused.
    fn until(&mut self, signals: &Signals) -> Timestamp {
        let known = self.known.get(&signals.number).copied();
        let verdict = self.guard.assess(signals, &self.rules, known, self.now).verdict;
        verdict.expect_err("refused").until.expect("a time")
    }

    /// Whole messages.
    fn level(&self, dimension: Dimension) -> u32 {
        self.figures(dimension).level
    }

    fn allowance(&self, dimension: Dimension) -> Allowance {
        let (limit, now) = (Limit::of(dimension, &self.rules), seconds(self.now));
        let row = self.guard.rows.find(&(ServiceId::DEFAULT, dimension));
        row.map_or_else(|| Allowance::new(&limit, now), |row| row.allowance.at(&limit, now))
    }

    fn explain(&self, to: u64) -> Explained {
        let (service, of) = (ServiceId::DEFAULT, Dimension::Number(number(to)));
        let (of_number, known) =
            ((number(to).region(), NumberType::Other, None), self.known.get(&number(to)));
        self.guard.explain(service, of, of_number, &self.rules, known.copied(), self.now)
    }

    fn set(&mut self, key: Key, action: EntryAction, time: Duration) {
        self.guard.set_entry(key, Some(Entry { action, until: self.now.plus(time) }));
    }

    fn figures(&self, dimension: Dimension) -> Figures {
        let allowance = self.allowance(dimension);
        AllowanceNow::new(ServiceId::DEFAULT, dimension, Some(allowance), &self.rules, self.now).figures()
    }
}

/// Rules with much room in prefixes and countries.
fn roomy() -> GuardRules {
    let floors = Floors { prefix: 1e5, country: 1e5, ..Floors::default() };
    GuardRules { unproven: 100_000, floors, ..GuardRules::default() }
}

fn network(address: &str) -> Dimension {
    Dimension::Network(net(address).network())
}

fn net(text: &str) -> ClientNet {
    text.parse::<IpAddr>().expect("an address").into()
}

fn number(digits: u64) -> PhoneNumber {
    PhoneNumber::from_u64(digits).expect("a number")
}

fn region(letters: &str) -> Region {
    Region::parse(letters).expect("a region")
}

fn country(letters: &str) -> Key {
    Key::new(None, Dimension::Country(Some(region(letters))))
}
