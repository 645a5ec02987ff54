//! The rules one by one. Generated attacks are in `tests/pumping`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, Ordering::Relaxed};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::domain::{Channel, NumberType, PhoneNumber, Region, ServiceId, Timestamp};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

const TJ: u64 = 992_900_000_000;
const DE: u64 = 4_915_100_000_000;
const US: u64 = 14_150_000_000;

/// The number and the address of the n-th request.
type Asks = dyn Fn(u64) -> (u64, Option<String>);

#[test]
fn each_bucket_gives_its_floor_and_regains_it_in_a_day() {
    let one_network = |n: u64| (elsewhere(n), Some("192.0.2.7".to_owned()));
    let cases: [(&Asks, u32, Rule); 5] = [
        (&|_| (TJ, None), 20, Rule::Number),
        (&|n| (TJ + n, None), 10, Rule::Prefix),
        (&one_network, 20, Rule::Network),
        (&|n| (elsewhere(n), None), 25, Rule::Country),
        (&|n| (PLACES[usize::try_from(n % 5).expect("small")] + 10_000 * n, None), 60, Rule::Country),
    ];
    for (of, floor, rule) in cases {
        let mut world = World::new();
        if rule == Rule::Number {
            world.rules = roomy();
        }
        if rule == Rule::Network {
            world.rules.floors.country = 1e5;
        }
        assert_eq!(world.send_while(of), (floor, rule));
        let (to, address) = of(0);
        let client = address.map(|address| net(&address));
        let of_another = Signals { service: ServiceId::new(7), client, ..World::signals(to) };
        assert_eq!(world.assess(&of_another), Ok(()), "each service has {rule} buckets of its own");
        world.pass(DAY / floor);
        assert_eq!(world.send_while(of), (1, rule), "{rule}");
    }
}

#[test]
fn a_service_is_lent_messages_once_until_three_hours_after_the_first_of_them() {
    let places = |n: u64| (elsewhere(n), Some("192.0.2.7".to_owned()));
    let new = World { rules: GuardRules::default(), ..World::new() };
    let mut lent = new.clone();
    assert_eq!(lent.send_while(places), (20 + 270, Rule::Network));
    // A verified number gives back what its message was lent, and a half.
    for n in 100..104 {
        lent.verify(elsewhere(n));
    }
    assert_eq!(lent.level(Dimension::Loan), 6);
    let closed = |mut world: World| {
        world.pass(3 * HOUR);
        world.send_while(places).0 < 20
    };
    assert!(closed(lent.clone()));
    // Rows that say nothing are swept after two days; that of the loan stays.
    lent.pass(30 * DAY);
    lent.guard.rows.sweep([2_000, 0], lent.now);
    assert_eq!(lent.send_while(places), (20, Rule::Network));
    // A service with users is not new, without a loan too. A few trials of an operator are no users.
    let verified = |numbers: u64| {
        let mut world = new.clone();
        for n in 0..numbers {
            world.send_from(elsewhere(n), &fresh(n)).expect("sent");
            world.verify(elsewhere(n));
        }
        world.pass(4 * DAY);
        world.send_while(|n| (elsewhere(n + 500), Some("192.0.2.7".to_owned()))).0
    };
    assert_eq!((verified(5), verified(80)), (290, 20));
}

#[test]
fn a_verification_gives_back_what_its_messages_took_and_a_new_number_more() {
    let mut world = World::new();
    let levels = |world: &World| {
        [Dimension::Prefix(TJ / 10_000), network("192.0.2.7"), country("TJ"), Dimension::Country(None)]
            .map(|of| world.level(of))
    };
    (0..6).for_each(|n| world.send_from(TJ + n, "192.0.2.7").expect("sent"));
    assert_eq!(levels(&world), [4, 14, 19, 54]);
    // Of the prefix a half: its owner, who reads the codes, would else get any number of messages.
    world.send_from(TJ, "192.0.2.7").expect("sent");
    world.verify(TJ);
    assert_eq!(levels(&world), [4, 17, 22, 55]);
    world.verify(TJ + 1);
    assert_eq!(levels(&world), [4, 20, 25, 57]);
    // A known number would else pay for messages to others for ever.
    world.pass(7 * DAY);
    (0..5).for_each(|n| world.send_from(TJ + 10 + n, "192.0.2.7").expect("sent"));
    world.send_from(TJ, "192.0.2.7").expect("sent");
    let before = levels(&world);
    world.verify(TJ);
    assert_eq!(levels(&world), before);
}

#[test]
fn usual_verifications_refill_by_the_tolerance_and_decay() {
    let mut world = World::new();
    // 40 new users a day for two weeks, all from one network.
    for n in 0..14 * 40 {
        let to = DE + 10_000 * (n % 1_000) + n;
        world.send_from(to, "198.51.100.7").expect("sent");
        world.verify(to);
        world.pass(36 * MINUTE);
    }
    let usual = world.bucket(country("DE")).usual();
    assert!((30..=40).contains(&usual), "{usual}");
    for (tolerance, refilled) in [(0, 25), (1, 34), (2, 44)] {
        let mut world = world.clone();
        world.rules.tolerance = tolerance;
        world.send_while(|n| (DE + 10_000 * (5_000 + n), None));
        world.pass(DAY);
        assert_eq!(world.level(country("DE")), refilled, "tolerance {tolerance}");
    }
    world.pass(28 * DAY);
    assert!(world.bucket(country("DE")).usual() <= 1);
}

#[test]
fn a_known_number_gets_four_messages_a_day_without_its_prefix() {
    let mut world = World::new();
    world.send(TJ + 7_000).expect("sent");
    world.verify(TJ + 7_000);
    world.send_while(|n| (TJ + n, None));
    (0..4).for_each(|_| assert_eq!(world.send(TJ + 7_000), Ok(())));
    assert_eq!(world.send(TJ + 7_000), Err(Rule::Prefix));
    assert!(world.until(&World::signals(TJ + 7_000)) <= world.now.plus(6 * HOUR));
    world.verify(TJ + 7_000);
    assert_eq!(world.send(TJ + 7_000), Ok(()));
    for (days, verdict) in [(29, Ok(())), (30, Err(Rule::Prefix))] {
        let mut world = world.clone();
        world.pass(days * DAY);
        world.send_while(|n| (TJ + n, None));
        assert_eq!(world.send(TJ + 7_000), verdict, "{days} days");
    }
}

#[test]
fn an_exempt_message_takes_only_the_numbers() {
    let exempt = |to| Signals { is_exempt: true, ..World::signals(to) };
    let mut world = World::new();
    (0..500).for_each(|n| assert_eq!(world.assess(&exempt(TJ + n)), Ok(())));
    let passed = (0..100).take_while(|_| world.assess(&exempt(DE)).is_ok()).count();
    assert_eq!(passed, 20);
    let special = Signals { number_type: NumberType::Special, ..exempt(US) };
    assert_eq!(world.assess(&special), Err(Rule::NumberType));
    world.rules.blocked_countries = [region("US")].into();
    assert_eq!(world.assess(&exempt(US)), Err(Rule::CountryList));
}

#[test]
fn the_mode_record_lets_pass_and_tells_and_off_keeps_nothing() {
    for (mode, verdict, tells) in
        [(Mode::Block, Err(Rule::Prefix), true), (Mode::Record, Ok(()), true), (Mode::Off, Ok(()), false)]
    {
        let mut world = World::new();
        world.rules.mode = mode;
        let last = (0..40).map(|n| world.send(TJ + n)).last();
        assert_eq!((last, world.finding.is_some()), (Some(verdict), tells), "{mode:?}");
        assert!(world.finding.is_none_or(|finding| finding.is_refused == (mode == Mode::Block)));
        world.verify(TJ);
        assert_eq!(world.guard.rows.held() == 0, mode == Mode::Off, "{mode:?}");
    }
}

#[test]
fn types_country_lists_and_prices_are_fixed() {
    let default = GuardRules::default();
    let any_type = GuardRules { number_types: Mode::Off, ..default.clone() };
    let only_germany = GuardRules { allowed_countries: Some([region("DE")].into()), ..default.clone() };
    let (mode, number_types, max_price) = (Mode::Off, Mode::Record, Some(50_000));
    let cheap = GuardRules { mode, number_types, max_price, ..default.clone() };
    assert!(any_type.reads_types(), "for the rule of landlines");
    let text = World::signals(TJ);
    let special = Signals { number_type: NumberType::Special, ..text };
    let landline = Signals { number_type: NumberType::Landline, ..text };
    let call = Signals { channel: Channel::Call, ..landline };
    let priced = |price| Signals { price, ..text };
    for (rules, signals, verdict) in [
        (&default, special, Err(Rule::NumberType)),
        (&any_type, special, Ok(())),
        (&default, landline, Err(Rule::Landline)),
        (&default, call, Ok(())),
        (&only_germany, text, Err(Rule::CountryList)),
        (&cheap, priced(Some(50_000)), Ok(())),
        (&cheap, priced(Some(50_001)), Err(Rule::Price)),
        (&cheap, priced(None), Err(Rule::Price)),
        (&cheap, Signals { price: None, ..special }, Err(Rule::Price)),
    ] {
        let mut world = World { rules: rules.clone(), ..World::new() };
        assert_eq!(world.assess(&signals), verdict, "{signals:?}");
    }
}

#[test]
fn an_address_of_ipv4_is_one_client_in_each_form_and_no_other() {
    assert_eq!(net("::ffff:192.0.2.7"), net("192.0.2.7"));
    assert_ne!(net("192.0.2.7"), net("ffff:ffff:c000:200::1"), "a header may name any address");
}

#[test]
fn the_narrower_manual_entry_wins_until_it_ends() {
    let mut world = World::new();
    world.send_while(|n| (TJ + n, None));
    let until = world.now.plus(HOUR);
    world.set(Key::new(None, Dimension::Prefix(TJ / 10_000)), EntryAction::Allow, HOUR);
    assert_eq!(world.send(TJ + 2), Ok(()));
    world.set(Key::new(None, country("TJ")), EntryAction::Block, HOUR);
    assert_eq!(world.send(TJ + 50_000), Err(Rule::Entry));
    assert_eq!(world.until(&World::signals(TJ + 50_000)), until);
    assert_eq!(world.send(TJ + 3), Ok(()));
    world.now = until;
    assert_eq!(world.send(TJ + 50_000), Ok(()));
}

#[test]
fn no_service_takes_the_room_of_others_for_entries() {
    let mut world = World::new();
    let mut most = |service| {
        let sets = |n: &u64| {
            let key = Key::new(service, Dimension::Prefix(*n));
            let has_room = world.guard.entries.make_room(&key, world.now);
            if has_room {
                world.set(key, EntryAction::Block, HOUR);
            }
            has_room
        };
        (0..7_000).take_while(sets).count()
    };
    assert_eq!([1, 2].map(|of| most(Some(ServiceId::new(of)))), [5_000; 2]);
    assert_eq!(most(None), 7_000);
}

#[test]
fn a_safe_number_may_be_of_any_type_and_counts_as_known() {
    let mut world = World::new();
    let premium = Signals { number_type: NumberType::Special, ..World::signals(TJ) };
    assert_eq!(world.assess(&premium), Err(Rule::NumberType));
    let key = |service| Key::new(service, Dimension::Number(number(TJ)));
    world.guard.entries.set(key(None), Some(Entry::SAFE));
    world.set(key(Some(ServiceId::DEFAULT)), EntryAction::Allow, HOUR);
    world.set(Key::new(None, Dimension::Total), EntryAction::KnownOnly, HOUR);
    world.set(Key::new(None, country("TJ")), EntryAction::Block, HOUR);
    assert_eq!(world.assess(&premium), Ok(()));
    world.set(key(Some(ServiceId::DEFAULT)), EntryAction::Block, HOUR);
    assert_eq!(world.assess(&premium), Err(Rule::Entry));
    world.pass(10 * DAY);
    assert_eq!(world.assess(&premium), Ok(()), "it has no end");
    world.rules.blocked_countries = [region("TJ")].into();
    assert_eq!(world.assess(&premium), Err(Rule::CountryList));
}

#[test]
fn with_known_numbers_only_others_are_refused_until_it_ends() {
    let mut world = World::new();
    world.send(TJ).expect("sent");
    world.verify(TJ);
    let all = Key::new(None, Dimension::Total);
    world.set(all, EntryAction::KnownOnly, 2 * HOUR);
    world.set(Key::new(None, country("DE")), EntryAction::Allow, DAY);
    assert_eq!(world.send(TJ), Ok(()));
    let until = world.now.plus(2 * HOUR);
    for is_exempt in [false, true] {
        for to in [TJ + 1, DE] {
            let signals = Signals { is_exempt, ..World::signals(to) };
            assert_eq!(world.assess(&signals), Err(Rule::KnownOnly));
            assert_eq!(world.until(&signals), until);
        }
    }
    world.rules.mode = Mode::Off;
    assert_eq!(world.send(TJ + 2), Err(Rule::KnownOnly), "in any mode");
    world.guard.entries.set(all, None);
    world.set(Key::new(Some(ServiceId::new(7)), Dimension::Total), EntryAction::KnownOnly, HOUR);
    assert_eq!(world.send(TJ + 1), Ok(()));
}

#[test]
fn a_start_after_a_crash_takes_again_just_what_the_stored_rows_lack() {
    let mut world = World::new();
    (0..4).for_each(|n| world.send_from(TJ + n, &fresh(n)).expect("sent"));
    let rows = world.guard.rows.take_changed(usize::MAX);
    let written = (world.now, world.guard.rows.writes);
    // In the same second.
    (4..8).for_each(|n| world.send_from(TJ + n, &fresh(n)).expect("sent"));
    let levels = |world: &World| {
        [Dimension::Prefix(TJ / 10_000), country("TJ"), Dimension::Country(None)].map(|of| world.level(of))
    };
    // A crash before the last record of the write, and one before all of them.
    for (rows, is_written) in [(&rows[..], true), (&rows[..], false), (&[], false)] {
        let mut restarted = World { guard: guard(MOST_BUCKETS), ..world.clone() };
        for (key, row) in rows {
            restarted.guard.restore(&GuardRow::Row(*key, row.expect("a row")));
        }
        if is_written {
            restarted.guard.restore(&GuardRow::Written(written.0, written.1));
        }
        for (to, tickets) in &world.tickets {
            restarted.guard.take(scope(&world.rules, world.now), *to, &tickets[0]);
        }
        assert_eq!(levels(&restarted), levels(&world));
        assert_eq!(restarted.send_from(TJ + 20, &fresh(20)), Err(Rule::Prefix));
    }
}

#[test]
fn a_rate_limit_begins_with_its_first_charge_and_ends_early_if_shortened() {
    let mut world = World { now: Timestamp::from_millis(1_700_000_000_500), ..World::new() };
    let service = ServiceId::new(7);
    let counted = Arc::new(AtomicIsize::new(0));
    let held = Arc::clone(&counted);
    let count = move |of, is_added| {
        assert_eq!(of, service);
        held.fetch_add(if is_added { 1 } else { -1 }, Relaxed);
    };
    world.guard = Guard::new(MOST_BUCKETS, 1, Arc::new(count));
    let key = Key::new(Some(service), Dimension::Limit(1));
    let of = |seconds| Charge { key, amount: 1, most: 1, length: Duration::from_secs(seconds) };
    world.charge(&of(60)).expect("room");
    let end = world.now.plus(MINUTE);
    world.pass(Duration::from_millis(59_999));
    assert_eq!(world.charge(&of(60)).expect_err("full").until, Some(end));
    assert!(world.clone().charge(&of(30)).is_ok());
    world.guard.rows.sweep([0, 2], world.now);
    assert_eq!((world.guard.rows.held(), counted.load(Relaxed)), (1, 1));
    world.pass(Duration::from_millis(1));
    world.guard.rows.sweep([0, 2], world.now);
    assert_eq!((world.guard.rows.held(), counted.load(Relaxed)), (0, 0));
    let ticket = world.charge(&of(60)).expect("a new window");
    world.guard.give_back(scope(&world.rules, world.now), number(TJ), &ticket);
    assert_eq!((world.guard.rows.held(), counted.load(Relaxed)), (0, 0));
}

#[test]
fn windows_take_no_room_of_buckets_and_those_that_say_nothing_are_swept() {
    let mut world = World { guard: guard(500), rules: roomy(), ..World::new() };
    for value in 0..1_000 {
        assert_eq!(world.send(elsewhere(value)), Ok(()));
        let key = Key::new(Some(ServiceId::DEFAULT), Dimension::Limit(value));
        world.charge(&Charge { key, amount: 1, most: 1, length: MINUTE }).expect("room");
    }
    assert_eq!((world.guard.rows.held(), world.guard.rows.buckets()), (1_500, 500));
    world.pass(3 * DAY);
    world.guard.rows.sweep([1_000, 2_000], world.now);
    assert_eq!(world.guard.rows.held(), 0);
}

#[test]
fn a_full_table_drops_what_is_full_and_old_first() {
    let mut world = World { guard: guard(500), ..World::new() };
    // One prefix is used up, and has the oldest bucket.
    world.send(TJ).expect("sent");
    world.verify(TJ);
    assert_eq!(world.send_while(|n| (TJ + n + 1, None)), (9, Rule::Prefix));
    for n in 1..2_000 {
        world.pass(MINUTE);
        let to = DE + 10_000 * (n % 1_000) + n;
        world.send_from(to, &fresh(n)).expect("sent");
        world.verify(to);
        assert!(world.guard.rows.buckets() <= 500);
        if n == 250 {
            assert_eq!(world.level(Dimension::Prefix(TJ / 10_000)), 2, "the used-up bucket stays");
        }
    }
    assert!(world.guard.rows.dropped > 1_000);
    assert!(world.bucket(country("DE")).usual() > 100);
}

#[test]
fn a_full_table_drops_rows_of_the_service_with_the_most() {
    let mut world = World { guard: guard(1_000), rules: roomy(), ..World::new() };
    let of = |service, n| {
        let to = DE + 10_000 * n;
        Signals { service: ServiceId::new(service), ..World::signals_from(to, &fresh(n)) }
    };
    for service in 1..=30 {
        (0..3).for_each(|n| assert_eq!(world.assess(&of(service, n)), Ok(())));
    }
    // Each of their rows is worth less than one of the flood.
    world.pass(MINUTE);
    (0..2_000).for_each(|n| assert_eq!(world.assess(&of(99, n)), Ok(())));
    for service in 1..=30 {
        let of = Some(ServiceId::new(service));
        let rows = world.guard.rows.page(0, usize::MAX).filter(|(key, _)| key.service == of).count();
        assert_eq!(rows, 3 * 3 + 2, "service {service}");
    }
}

#[test]
fn while_nothing_is_stored_the_changes_are_bounded() {
    let mut world = World { guard: guard(500), rules: roomy(), ..World::new() };
    for n in 0..5_000 {
        // Some places come back.
        assert_eq!(world.send_from(elsewhere(n), &fresh(n % 700)), Ok(()));
    }
    let changed = world.guard.rows.take_changed(usize::MAX);
    assert!(changed.len() <= 2 * 500, "{}", changed.len());
    let kept = changed.iter().filter(|(_, row)| row.is_some()).count();
    assert_eq!(kept, world.guard.rows.held(), "each row is there");
}

#[test]
fn a_clock_that_was_set_back_changes_nothing() {
    let mut world = World::new();
    world.send_while(|n| (TJ + n, None));
    world.now = world.now.minus(DAY);
    assert_eq!(world.send(TJ + 100), Err(Rule::Prefix));
}

proptest! {
    /// A crash after each charge leaves the rows as they were written last, and the tickets of all messages.
    #[test]
    fn no_window_is_exceeded_also_across_crashes(
        most in 1_u64..60,
        steps in prop::collection::vec((1..3_u32, 0_u64..20, 0_u32..900, 0..4_u8), 1..200),
    ) {
        let (mut world, mut tickets) = (World { now: Timestamp::from_millis(7_200_000), ..World::new() }, Vec::new());
        let (mut rows, mut written) = (BTreeMap::new(), None);
        let mut spent = BTreeMap::<(u32, u64), u64>::new();
        for (which, amount, later, event) in steps {
            world.pass(Duration::from_secs(later.into()));
            let (hour, now) = (world.now.as_millis() / 3_600_000, world.now);
            let key = Key::new(Some(ServiceId::new(which)), Dimension::Budget(Budget::MessagesPerHour));
            let charge = Charge { key, amount, most, length: HOUR };
            let own = spent.entry((which, hour)).or_default();
            match world.charge(&charge) {
                Ok(ticket) if event == 0 => world.guard.give_back(scope(&world.rules, now), number(TJ), &ticket),
                Ok(ticket) => {
                    tickets.push(ticket);
                    *own += amount;
                }
                Err(full) => {
                    prop_assert!(*own + amount > most);
                    prop_assert_eq!(full.until, Some(Timestamp::from_millis((hour + 1) * 3_600_000)));
                }
            }
            prop_assert_eq!(world.guard.rows.window(&charge, now).amount, *own);
            if event == 1 {
                rows.extend(world.guard.rows.take_changed(usize::MAX));
                written = Some(GuardRow::Written(now, world.guard.rows.writes));
            }
            if event == 2 {
                world.guard = guard(MOST_BUCKETS);
                let stored = rows.iter().filter_map(|(key, row)| Some(GuardRow::Row(*key, (*row)?)));
                stored.chain(written.clone()).for_each(|row| world.guard.restore(&row));
                for ticket in &tickets {
                    world.guard.take(scope(&world.rules, now), number(TJ), ticket);
                }
                prop_assert_eq!(world.guard.rows.window(&charge, now).amount, spent[&(which, hour)]);
            }
        }
    }

    /// A refused message passes when its refusal says, and hardly earlier, if nothing else happens. The usual numbers decay
    /// in the meantime, which may let it pass earlier by a fiftieth of the wait. An explanation says the same.
    #[test]
    fn a_refusal_ends_when_it_says(
        steps in prop::collection::vec((0_u64..40, prop::option::of(0_u64..4), any::<bool>(), 0_u64..2_000), 1..120),
    ) {
        let mut world = World::new();
        for (n, client, is_verified, seconds) in steps {
            world.pass(Duration::from_secs(seconds));
            let to = TJ + n % 10 + 10_000 * (n / 10);
            let client = client.map(|client| net(&format!("192.0.{client}.1")));
            let signals = Signals { client, ..World::signals(to) };
            let (of, is_known) = (number(to), world.is_known(number(to)).is_some());
            let of_number = (of.region(), NumberType::Other, None);
            let explained =
                world.guard.explain(scope(&world.rules, world.now), Dimension::Number(of), client, of_number, is_known);
            let stranger = Signals { client: Some(net(&fresh(n))), ..signals };
            let (stranger_sent, sent) = (world.clone().assess(&stranger), world.assess(&signals));
            prop_assert_eq!(sent, explained.refused.map_or(Ok(()), |refused| Err(refused.rule)));
            if client.is_none() {
                let refused = explained.refused_to_strangers;
                prop_assert_eq!(stranger_sent, refused.map_or(Ok(()), |refused| Err(refused.rule)));
            }
            if sent == Ok(()) {
                if is_verified {
                    world.verify(to);
                }
                continue;
            }
            let until = world.until(&signals);
            let at = |millis| World { now: Timestamp::from_millis(millis), ..world.clone() };
            prop_assert_eq!(at(until.as_millis()).assess(&signals), Ok(()));
            let early = 1_000 + until.as_millis().saturating_sub(world.now.as_millis()) / 50;
            prop_assert!(at(until.as_millis() - early).assess(&signals).is_err());
        }
    }
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
    finding: Option<Finding>,
    /// Of each number's messages since its last verification.
    tickets: BTreeMap<PhoneNumber, Vec<Ticket>>,
}

impl World {
    /// At midnight of UTC.
    fn new() -> Self {
        Self {
            guard: guard(MOST_BUCKETS),
            rules: not_new(Floors::default()),
            now: Timestamp::from_millis(20_000 * 86_400_000),
            known: BTreeMap::new(),
            finding: None,
            tickets: BTreeMap::new(),
        }
    }

    fn signals(to: u64) -> Signals {
        Signals {
            service: ServiceId::DEFAULT,
            number: number(to),
            country: number(to).region(),
            number_type: NumberType::Other,
            channel: Channel::Sms,
            client: None,
            is_exempt: false,
            price: None,
        }
    }

    fn signals_from(to: u64, address: &str) -> Signals {
        Signals { client: Some(net(address)), ..Self::signals(to) }
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now.plus(time);
    }

    fn is_known(&self, number: PhoneNumber) -> Option<VerifiedNumber> {
        self.known.get(&number).copied().filter(|known| self.now < known.expires())
    }

    fn assess(&mut self, signals: &Signals) -> Result<(), Rule> {
        let is_known = self.is_known(signals.number).is_some();
        let scope = Scope { service: signals.service, ..scope(&self.rules, self.now) };
        let assessed = self.guard.assess(signals, scope, is_known, &[]);
        self.finding = assessed.as_ref().map_or_else(|refused| Some(*refused), |(_, recorded)| *recorded);
        let (ticket, _) = assessed.map_err(|refused| refused.rule)?;
        self.tickets.entry(signals.number).or_default().push(ticket);
        Ok(())
    }

    fn send(&mut self, to: u64) -> Result<(), Rule> {
        self.assess(&Self::signals(to))
    }

    fn send_from(&mut self, to: u64, address: &str) -> Result<(), Rule> {
        self.assess(&Self::signals_from(to, address))
    }

    /// Sends until one is refused: the number of messages, and the rule.
    fn send_while(&mut self, to: impl Fn(u64) -> (u64, Option<String>)) -> (u32, Rule) {
        for n in 0..1_000 {
            let (to, address) = to(u64::from(n));
            let client = address.map(|address| net(&address));
            if let Err(rule) = self.assess(&Signals { client, ..Self::signals(to) }) {
                return (n, rule);
            }
        }
        panic!("nothing is refused");
    }

    fn verify(&mut self, to: u64) {
        let to = number(to);
        let before = self.is_known(to);
        let (after, verified) = VerifiedNumber::after(before, self.now);
        let tickets = self.tickets.remove(&to).unwrap_or_default();
        self.guard.verified(scope(&self.rules, self.now), to, &tickets, verified);
        self.known.insert(to, after);
    }

    fn charge(&mut self, charge: &Charge) -> Result<Ticket, Finding> {
        let ticket = self.guard.fit(std::slice::from_ref(charge), self.now)?;
        self.guard.take(scope(&self.rules, self.now), number(TJ), &ticket);
        Ok(ticket)
    }

    /// Until when a message is refused.
    fn until(&mut self, signals: &Signals) -> Timestamp {
        let is_known = self.is_known(signals.number).is_some();
        let assessed = self.guard.assess(signals, scope(&self.rules, self.now), is_known, &[]);
        assessed.expect_err("refused").until.expect("a time")
    }

    fn set(&mut self, key: Key, action: EntryAction, time: Duration) {
        self.guard.entries.set(key, Some(Entry { action, until: self.now.plus(time) }));
    }

    /// Whole messages.
    fn level(&self, of: Dimension) -> u32 {
        self.bucket(of).left()
    }

    fn bucket(&self, of: Dimension) -> Bucket {
        let key = Key::new(Some(ServiceId::DEFAULT), of);
        Bucket::new(key, self.guard.rows.get(&key), &self.rules, self.now)
    }
}

fn guard(most: usize) -> Guard {
    Guard::new(most, 1, Arc::new(|_, _| {}))
}

const fn scope(rules: &GuardRules, now: Timestamp) -> Scope<'_> {
    Scope { service: ServiceId::DEFAULT, rules, now }
}

/// Rules with much room in prefixes and countries.
fn roomy() -> GuardRules {
    not_new(Floors { prefix: 1e5, country: 1e5, others: 1e5, ..Floors::default() })
}

/// Those of a service that has had its loan.
fn not_new(floors: Floors) -> GuardRules {
    GuardRules { floors: Floors { loan: 0.0, ..floors }, ..GuardRules::default() }
}

fn network(address: &str) -> Dimension {
    Dimension::Network(net(address))
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

fn country(letters: &str) -> Dimension {
    Dimension::Country(Some(region(letters)))
}
