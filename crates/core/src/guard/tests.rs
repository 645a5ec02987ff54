//! The rules one by one, and the goals on generated traffic.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use proptest::prelude::*;

use super::replay::{Comparison, ReplayRules};
use super::scenario::Scenario;
use super::*;
use crate::domain::{Channel, NumberType, PhoneNumber, Region, ServiceId, Timestamp};

const HOUR: Duration = Duration::from_secs(3_600);
const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn an_attacked_prefix_is_blocked_for_12_hours_and_longer_while_attempts_continue() {
    let mut world = World::learned();
    let sent = (0..100).filter(|n| world.send(TJ + n) == Ok(())).count();
    assert_eq!(sent, 31);
    let key = Key::new(Some(ServiceId::DEFAULT), Dimension::Prefix(TJ / 10_000));
    let begun = world.now;
    assert_eq!(world.guard.entry(&key, begun).map(|entry| entry.until), Some(begun.plus(12 * HOUR)));
    world.now = begun.plus(6 * HOUR);
    (0..20).for_each(|n| assert_eq!(world.send(TJ + n), Err(Rule::Prefix)));
    assert_eq!(world.guard.entry(&key, world.now).map(|entry| entry.until), Some(world.now.plus(12 * HOUR)));
    world.now = world.now.plus(12 * HOUR);
    assert_eq!(world.send(TJ), Ok(()));
}

#[test]
fn an_attack_on_one_service_blocks_no_message_of_another() {
    let other = ServiceId::new(7);
    let address = Some("192.0.2.7".parse::<IpAddr>().expect("an address").into());
    let of = |service, to| Signals { service, address, ..World::signals(to) };
    let mut world = World::learned();
    // The other service has users too, and its adaptive rules refuse.
    for day in 0..15 {
        world.assess(&Signals { service: other, ..World::signals(DE + day) }).expect("sent");
        world.guard.verified(other, number(DE + day), world.now);
        world.now = world.now.plus(24 * HOUR);
    }
    for n in 0..200 {
        let _ = world.send(TJ + n);
        let _ = world.send(DE + 10_000 * (2_000 + n));
        let _ = world.assess(&of(ServiceId::DEFAULT, GB + 10_000 * n));
    }
    assert_eq!(world.send(TJ + 500), Err(Rule::Prefix));
    assert_eq!(world.send_anywhere(DE), Err(Rule::Country));
    assert_eq!(world.assess(&of(ServiceId::DEFAULT, US)), Err(Rule::Address));
    world.findings.clear();
    for to in [TJ + 500, TJ + 500_000, DE + 10_000 * 5_000] {
        assert_eq!(world.assess(&of(other, to)), Ok(()), "{to}");
    }
    assert_eq!(world.findings, []);
}

#[test]
fn a_country_with_users_is_blocked_for_half_an_hour_and_then_for_longer() {
    let mut world = World::learned();
    for minutes in [30, 60, 120, 240, 480, 720, 720] {
        let begun = world.now;
        while world.send_anywhere(DE) == Ok(()) {}
        let until = world
            .guard
            .entry(&Key { service: Some(ServiceId::DEFAULT), ..country("DE") }, begun)
            .expect("a block")
            .until;
        assert_eq!(until, begun.plus(MINUTE * minutes));
        world.now = until;
    }
}

#[test]
fn a_number_that_was_verified_passes_a_block_with_a_few_messages() {
    let mut world = World::learned();
    world.send(TJ + 7_000).expect("sent");
    world.verify(TJ + 7_000);
    while world.send(TJ) == Ok(()) {
        world.now = world.now.plus(15 * MINUTE);
    }
    (0..4).for_each(|_| assert_eq!(world.send(TJ + 7_000), Ok(())));
    assert_eq!(world.send(TJ + 7_000), Err(Rule::Prefix));
}

#[test]
fn during_an_attack_a_country_without_users_gets_one_message() {
    let mut world = World::learned();
    assert!((0..1_000).any(|_| world.send_anywhere(DE) != Ok(()) || world.send_anywhere(US) != Ok(())));
    let sent = (0..10).filter(|_| world.send_anywhere(TJ) == Ok(())).count();
    assert_eq!(sent, 1);
}

#[test]
fn without_14_days_of_history_adaptive_rules_only_record() {
    let mut world = World::new();
    (0..200).for_each(|n| assert_eq!(world.send(TJ + n), Ok(())));
    let effects: Vec<Effect> = world.findings.iter().map(|finding| finding.effect).collect();
    assert!(!effects.is_empty() && effects.iter().all(|effect| *effect == Effect::Learning));
}

#[test]
fn each_rule_refuses_records_or_is_off_as_its_mode_says() {
    for (mode, verdict, findings) in
        [(Mode::Block, Err(Rule::Prefix), true), (Mode::Record, Ok(()), true), (Mode::Off, Ok(()), false)]
    {
        let mut world = World::learned();
        world.rules.prefix = mode;
        world.rules.number = Mode::Off;
        let last = (0..40).map(|_| world.send(TJ)).last();
        assert_eq!((last, !world.findings.is_empty()), (Some(verdict), findings), "{mode:?}");
    }
    let mut world = World::new();
    let mut verdict = |rules: GuardRules, number_type, channel| {
        world.rules = rules;
        let signals = Signals { number_type, channel, ..World::signals(TJ) };
        world.assess(&signals)
    };
    let (refused, default) = (Err(Rule::NumberType), GuardRules::default());
    assert_eq!(verdict(default.clone(), NumberType::Special, Channel::Sms), refused);
    assert_eq!(verdict(default.clone(), NumberType::Landline, Channel::Sms), Err(Rule::Landline));
    assert_eq!(verdict(default.clone(), NumberType::Landline, Channel::Call), Ok(()));
    assert_eq!(
        verdict(GuardRules { number_types: Mode::Off, ..default }, NumberType::Special, Channel::Sms),
        Ok(())
    );
    let only = GuardRules { allowed_countries: Some([region("DE")].into()), ..GuardRules::default() };
    assert_eq!(verdict(only, NumberType::Other, Channel::Sms), Err(Rule::CountryList));
    let never = GuardRules { blocked_countries: [region("TJ")].into(), ..GuardRules::default() };
    assert_eq!(verdict(never, NumberType::Other, Channel::Sms), Err(Rule::CountryList));
}

#[test]
fn a_number_gets_20_messages_a_day_even_without_history() {
    let mut world = World::new();
    let sent = (0..60).filter(|_| world.send(TJ) == Ok(())).count();
    assert_eq!((sent, world.send(TJ)), (20, Err(Rule::Number)));
}

#[test]
fn trusted_sends_and_manual_entries_come_before_adaptive_rules() {
    let mut world = World::learned();
    while world.send(TJ) == Ok(()) {
        world.now = world.now.plus(15 * MINUTE);
    }
    let signals = World::signals(TJ + 1);
    assert_eq!(world.assess(&Signals { is_trusted: true, ..signals }), Ok(()));
    let (prefix, until) = (Key::new(None, Dimension::Prefix(TJ / 10_000)), world.now.plus(HOUR));
    world.guard.set_entry(prefix, Some(EntryAction::Allow), until, world.now).expect("room");
    assert_eq!(world.send(TJ + 2), Ok(()));
    world.guard.set_entry(country("TJ"), Some(EntryAction::Block), until, world.now).expect("room");
    assert_eq!(world.send(TJ + 50_000), Err(Rule::Entry));
    assert_eq!(world.send(TJ + 3), Ok(()), "the narrower entry wins");
    world.now = until;
    assert_eq!(world.send(TJ + 50_000), Ok(()));
}

#[test]
fn manual_entries_are_bounded_and_never_give_way_to_blocks() {
    let mut world = World::learned();
    world.guard.bounds.entries = 2;
    let (until, now) = (world.now.plus(HOUR), world.now);
    let mut set = |key, action| world.guard.set_entry(key, action, until, now);
    let made = set(country("GB"), Some(EntryAction::Allow)).expect("room");
    assert_eq!(made.map(|entry| entry.is_manual()), Some(true));
    assert_eq!(set(country("FR"), Some(EntryAction::Allow)), Err(TooManyEntries(1)));
    assert!(set(country("GB"), Some(EntryAction::Block)).is_ok(), "it replaces its entry");
    for n in 0..3 {
        while world.send(TJ + 10_000 * n).is_ok() {
            world.now = world.now.plus(MINUTE);
        }
    }
    assert_eq!(world.guard.entries.len(), 2);
    assert!(world.guard.entry(&country("GB"), now).is_some());
    let removed = world.guard.set_entry(country("GB"), None, until, now).expect("an entry");
    assert_eq!(removed.map(|entry| entry.until), Some(now));
    assert_eq!(world.guard.set_entry(country("GB"), None, until, now), Ok(None));
}

#[test]
fn a_service_cannot_fill_the_manual_entries_of_all() {
    let mut world = World::new();
    world.guard.bounds.entries_of_service = 2;
    let (until, now) = (world.now.plus(HOUR), world.now);
    let mut set = |service, n| {
        let key = Key::new(service, Dimension::Prefix(n));
        world.guard.set_entry(key, Some(EntryAction::Block), until, now).map(|entry| entry.is_some())
    };
    let one = Some(ServiceId::DEFAULT);
    assert_eq!([1, 2, 3, 2].map(|n| set(one, n)), [Ok(true), Ok(true), Err(TooManyEntries(2)), Ok(true)]);
    assert_eq!([1, 2, 3].map(|n| set(None, n)), [Ok(true); 3]);
    assert_eq!(set(Some(ServiceId::new(7)), 3), Ok(true));
}

#[test]
fn a_withdrawn_send_is_not_counted() {
    let mut world = World::learned();
    for n in 0..100 {
        assert_eq!(world.send(TJ + n), Ok(()));
        world.guard.withdraw(ServiceId::DEFAULT, number(TJ + n), world.now);
    }
}

#[test]
fn a_restored_guard_decides_as_the_stored_one() {
    let mut world = World::learned();
    (0..5).for_each(|n| while world.send(TJ + n * 10_000) == Ok(()) {});
    world.guard.verified(ServiceId::DEFAULT, number(DE + 1), world.now);
    world.now = world.now.plus(HOUR);
    world.send(US).expect("sent");
    let mut restored = Guard::new(Bounds::default(), 2);
    loop {
        let rows = world.guard.take_changed(10);
        assert!(rows.len() <= 10);
        if rows.is_empty() {
            break;
        }
        for row in rows {
            let bytes = postcard::to_allocvec(&row).expect("bytes");
            restored.restore(postcard::from_bytes(&bytes).expect("a row"), world.now);
        }
    }
    assert_eq!(sizes(&restored), sizes(&world.guard));
    let mut copy = World { guard: restored, findings: Vec::new(), rules: GuardRules::default(), ..world };
    for to in [TJ, TJ + 1, TJ + 90_000, DE + 1, DE + 10_000, US, GB].into_iter().cycle().take(500) {
        assert_eq!(world.send(to), copy.send(to), "{to}");
    }
}

#[test]
fn invented_prefixes_do_not_push_out_the_counter_of_an_attacked_one() {
    let bounds = Bounds { counters: 500, ..Bounds::default() };
    let mut world = World { guard: Guard::new(bounds, 1), ..World::new() };
    (0..10).for_each(|n| assert_eq!(world.send(TJ + n), Ok(())));
    world.now = world.now.plus(HOUR);
    for n in 1..5_000 {
        let _ = world.send(TJ + n * 10_000);
        assert!(sizes(&world.guard).0 <= 504);
    }
    let key = Key::new(Some(ServiceId::DEFAULT), Dimension::Prefix(TJ / 10_000));
    let figures = world.guard.figures(key, &world.rules, world.now);
    assert_eq!(figures.first().map(|figures| figures.tally.unverified), Some(10));
}

#[test]
fn an_address_is_an_ipv4_address_or_a_64_of_ipv6() {
    let net = |text: &str| ClientNet::from(text.parse::<IpAddr>().expect("an address"));
    assert_eq!(net("2001:db8:0:1::7"), net("2001:db8:0:1:ffff::"));
    assert_eq!(net("::ffff:192.0.2.7"), net("192.0.2.7"));
    assert_ne!(net("192.0.2.7"), net("192.0.2.8"));
    assert_eq!(
        [net("192.0.2.7"), net("2001:db8:0:1::7")].map(|net| net.to_string()),
        ["192.0.2.7", "2001:db8:0:1::/64"]
    );
}

proptest! {
    /// The process crashes at random: the allowance is lost, the stored state is not.
    #[test]
    fn a_budget_is_never_overspent(
        limit in 0_u64..3_000,
        steps in prop::collection::vec((0_u64..50, 0_u64..600_000, prop::bool::weighted(0.05)), 1..400),
    ) {
        let budget = Budget { limit, period: Period::Hour };
        let (mut state, mut allowance, mut now) = (BudgetState::default(), None::<Allowance>, 7_200_000);
        let mut spent = std::collections::BTreeMap::<u32, u64>::new();
        for (amount, later, crashes) in steps {
            now += later;
            let at = Timestamp::from_millis(now);
            if crashes {
                allowance = None;
            }
            if allowance.as_mut().is_none_or(|allowance| allowance.take(amount, at).is_none()) {
                match budget.draw(state, amount, at) {
                    Ok((drawn, mut fresh)) => {
                        prop_assert!(fresh.take(amount, at).is_some());
                        (state, allowance) = (drawn, Some(fresh));
                    }
                    Err(until) => {
                        prop_assert_eq!(until, Period::Hour.end(Period::Hour.index(at)));
                        continue;
                    }
                }
            }
            *spent.entry(Period::Hour.index(at)).or_default() += amount;
        }
        prop_assert!(spent.values().all(|spent| *spent <= limit), "{:?}", spent);
    }
}

#[test]
fn recorded_traffic_is_judged_by_the_numbers_that_were_verified_in_it() {
    let day = Duration::from_secs(86_400);
    let begin = Timestamp::from_millis(20_000 * 86_400_000);
    let message = |at: Timestamp, to: u64, is_verified: bool| replay::Recorded {
        at,
        service: ServiceId::DEFAULT,
        number: number(to),
        channel: Channel::Sms,
        price: 50_000,
        verified_at: is_verified.then(|| at.plus(Duration::from_secs(30))),
    };
    let mut messages = Vec::new();
    for n in 0..3 * 100 {
        messages.push(message(begin.plus(day / 100 * n), DE + 10_001 * u64::from(n), n % 5 > 0));
    }
    let attacked = begin.plus(2 * day);
    messages.extend((0..200).map(|n| message(attacked.plus(MINUTE * n), TJ + u64::from(n), false)));
    // In any order, as the tracker lists the newest first.
    messages.reverse();
    let with = |learning_days| {
        let rules = &GuardRules { learning_days, ..GuardRules::default() };
        replay::compare_recorded(&messages, ReplayRules { rules, budget: None }, 1)
    };
    let [off, _, learning] = with(14);
    assert_eq!((off.sent, off.refused, off.cost), (500, 0, 25_000_000));
    assert_eq!((off.honest_users, off.honest_refused, off.attack_sent), (240, 0, 260));
    assert_eq!(learning, off, "without 14 days of history the rules only record");
    let [_, _, guard] = with(2);
    assert_eq!((guard.sent + guard.refused, guard.honest_users, guard.honest_refused), (500, 240, 0));
    assert!((150..190).contains(&guard.refused), "{guard:?}");
    assert_eq!(guard.cost, u64::from(guard.sent) * 50_000);
}

/// Each scenario stays within the bounds of its arm below. The goals are at most 50 messages to one prefix, 300 to one
/// country, and a message refused to one honest user in 1,000. They hold for attacks on one target that has history, but
/// for the refusals during attacks on countries that have many users. `GUARD_SEEDS=50` tries other seeds.
#[test]
fn generated_attacks_end_within_the_bounds_of_their_scenarios() {
    for seed in 1..=std::env::var("GUARD_SEEDS").map_or(1, |seeds| seeds.parse().expect("a number")) {
        let rules = ReplayRules { rules: &GuardRules::default(), budget: None };
        let results = replay::compare(&Scenario::all(), rules, None, seed);
        println!("seed {seed}\n{}", table(&results));
        for Comparison { scenario, guard, .. } in &results {
            let (most, refused_share) = match *scenario {
                "no-attack" => (0, 1_000),
                "prefix" | "prefix-at-once" | "slow-prefix" | "address" => (50, 1_000),
                "country" | "prefixes-in-turn" | "slow" => (300, 1_000),
                "country-TR" | "country-US-at-night" => (300, 500),
                "country-GB" | "country-US" | "country-TR-again-and-again" => (300, 50),
                // Slow attacks, several targets at once, or no history: bounds above the goals.
                "foreign-countries" | "mixed" => (600, 1_000),
                "all-countries" => (1_500, 50),
                "slow-TR" => (900, 100),
                name if name.starts_with("new") => (2_000, 15),
                name => panic!("{name} has no goal"),
            };
            assert!(guard.attack_sent <= most, "{scenario}: {guard:?}");
            assert!(guard.honest_refused <= guard.honest_users / refused_share, "{scenario}: {guard:?}");
        }
        if seed == 1 {
            compare_document(&table(&results));
        }
    }
}

/// `UPDATE_DOCS=1` writes the table into the document.
fn compare_document(table: &str) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/internals/testing.md");
    let document = std::fs::read_to_string(path).expect("testing.md");
    let begin = document.find("| scenario |").expect("a table");
    let end = document[begin..].find("\n\n").map_or(document.len(), |length| begin + length + 1);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, format!("{}{table}{}", &document[..begin], &document[end..]))
            .expect("testing.md");
    } else {
        assert_eq!(&document[begin..end], table, "UPDATE_DOCS=1 writes the table again");
    }
}

fn table(results: &[Comparison]) -> String {
    let mut table = String::from(
        "| scenario | off: attacker's messages | cost | 5 a day: messages | honest users refused \
         | guard: before the block | messages | cost | honest users refused |\n|---|---|---|---|---|---|---|---|---|\n",
    );
    let cost = |outcome: &replay::Outcome| format!("${}", replay::money(outcome.attack_cost));
    for Comparison { scenario, off, fixed_limit, guard } in results {
        let before = [off.attack_sent.to_string(), cost(off), fixed_limit.attack_sent.to_string()];
        let after = [guard.attack_before_block, guard.attack_sent].map(|count| count.to_string());
        let last = [cost(guard), guard.refused()];
        let cells = [&before[..], &[fixed_limit.refused()], &after, &last].concat();
        writeln!(table, "| `{scenario}` | {} |", cells.join(" | ")).expect("a line");
    }
    table
}

const TJ: u64 = 992_900_000_000;
const DE: u64 = 4_915_100_000_000;
const US: u64 = 14_150_000_000;
const GB: u64 = 447_400_000_000;

/// A guard with a clock that stands.
struct World {
    guard: Guard,
    rules: GuardRules,
    now: Timestamp,
    prefixes: u64,
    findings: Vec<Finding>,
}

impl World {
    fn new() -> Self {
        let now = Timestamp::from_millis(1_800_000_000_000);
        let guard = Guard::new(Bounds::default(), 1);
        Self { guard, rules: GuardRules::default(), now, prefixes: 0, findings: Vec::new() }
    }

    /// With 14 days of history: users in Germany and the United States, who verify 80 of 100 messages a day.
    fn learned() -> Self {
        let mut world = Self::new();
        for _ in 0..15 {
            for n in 0..100 {
                let number = if n % 2 == 0 { DE } else { US } + 10_001 * n;
                world.send(number).expect("sent");
                if n % 5 > 0 {
                    world.verify(number);
                }
                world.now = world.now.plus(14 * MINUTE);
            }
        }
        world.findings.clear();
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
            is_trusted: false,
        }
    }

    fn assess(&mut self, signals: &Signals) -> Result<(), Rule> {
        let assessment = self.guard.assess(signals, &self.rules, self.now.plus(10 * MINUTE), self.now);
        self.findings.extend(assessment.findings);
        assessment.verdict
    }

    fn send(&mut self, to: u64) -> Result<(), Rule> {
        self.assess(&Self::signals(to))
    }

    /// To a prefix that got no message before.
    fn send_anywhere(&mut self, to: u64) -> Result<(), Rule> {
        self.prefixes += 1;
        self.send(to + 10_000 * (1_000 + self.prefixes))
    }

    fn verify(&mut self, to: u64) {
        self.guard.verified(ServiceId::DEFAULT, number(to), self.now);
    }
}

/// Counters, and blocks that have not been forgotten.
fn sizes(guard: &Guard) -> (usize, usize) {
    (guard.table.counters.len() + guard.histories.len(), guard.entries.len())
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
