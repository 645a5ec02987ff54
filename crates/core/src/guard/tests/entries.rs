//! Manual entries, and the rule of prices.

use super::*;

#[test]
fn the_narrower_manual_entry_wins_until_it_ends() {
    let mut world = World::new();
    world.send_while(|n| TJ + n);
    let (prefix, until) = (Key::new(None, Dimension::Prefix(TJ / 10_000)), world.now.plus(HOUR));
    world.set(prefix, EntryAction::Allow, HOUR);
    assert_eq!(world.send(TJ + 2), Ok(()));
    world.set(country("TJ"), EntryAction::Block, HOUR);
    assert_eq!(world.send(TJ + 50_000), Err(Rule::Entry));
    assert_eq!(world.until(&World::signals(TJ + 50_000)), until);
    assert_eq!(world.send(TJ + 3), Ok(()));
    world.now = until;
    assert_eq!(world.send(TJ + 50_000), Ok(()));
}

#[test]
fn to_allow_a_number_ends_its_refusals() {
    let mut world = World::new();
    world.send_while(|_| TJ);
    let key = Key::new(Some(ServiceId::DEFAULT), Dimension::Number(number(TJ)));
    world.set(key, EntryAction::Allow, HOUR);
    assert_eq!(world.send(TJ), Ok(()));
}

#[test]
fn a_service_takes_at_most_half_of_the_entries_and_leaves_the_next_some() {
    let mut world = World::new();
    let mut most = |service| {
        let sets = |n: &u64| {
            let key = Key::new(service, Dimension::Prefix(*n));
            let has_room = world.guard.entries.make_room(&key, world.now).is_ok();
            if has_room {
                world.set(key, EntryAction::Block, HOUR);
            }
            has_room
        };
        (0..7_000).take_while(sets).count()
    };
    assert_eq!([1, 2, 3, 4].map(|of| most(Some(ServiceId::new(of)))), [5_000, 4_800, 10, 10]);
    assert_eq!(most(None), 7_000, "those for all services have a bound of their own");
}

#[test]
fn a_safe_number_may_be_of_any_type_and_counts_as_known() {
    let mut world = World::new();
    let premium = Signals { number_type: NumberType::Special, ..World::signals(TJ) };
    assert_eq!(world.assess(&premium), Err(Rule::NumberType));
    let key = |service| Key::new(service, Dimension::Number(number(TJ)));
    world.guard.set_entry(key(None), Some(Entry::SAFE));
    world.set(key(Some(ServiceId::DEFAULT)), EntryAction::Allow, HOUR);
    world.set(Key::new(None, Dimension::Total), EntryAction::KnownOnly, HOUR);
    world.set(country("TJ"), EntryAction::Block, HOUR);
    assert_eq!(world.assess(&premium), Ok(()));
    world.set(key(Some(ServiceId::DEFAULT)), EntryAction::Block, HOUR);
    assert_eq!(world.assess(&premium), Err(Rule::Entry));
    world.pass(10 * DAY);
    assert_eq!(world.assess(&premium), Ok(()), "it has no end");
}

#[test]
fn with_known_numbers_only_others_are_refused_until_it_ends() {
    let mut world = World::new();
    world.send(TJ).expect("sent");
    world.verify(TJ);
    let all = Key::new(None, Dimension::Total);
    world.set(all, EntryAction::KnownOnly, 2 * HOUR);
    world.set(country("DE"), EntryAction::Allow, DAY);
    assert_eq!(world.send(TJ), Ok(()));
    let until = world.now.plus(2 * HOUR);
    for exemption in [Exemption::None, Exemption::Allowances] {
        for to in [TJ + 1, DE] {
            let signals = Signals { exemption, ..World::signals(to) };
            assert_eq!(world.assess(&signals), Err(Rule::KnownOnly));
            assert_eq!(world.until(&signals), until);
        }
    }
    let of_other_service = Key::new(Some(ServiceId::new(7)), Dimension::Total);
    world.guard.set_entry(all, None);
    world.set(of_other_service, EntryAction::KnownOnly, HOUR);
    assert_eq!(world.send(TJ + 1), Ok(()));
    world.set(all, EntryAction::KnownOnly, HOUR);
    world.rules.mode = Mode::Off;
    assert_eq!(world.send(TJ + 2), Err(Rule::KnownOnly), "in any mode");
    world.pass(HOUR);
    assert_eq!(world.send(TJ + 2), Ok(()));
}

#[test]
fn a_message_above_the_highest_price_or_without_a_price_is_refused() {
    let mut world = World::new();
    world.rules.max_price = Some(50_000);
    for (price, verdict) in
        [(Some(50_000), Ok(())), (Some(50_001), Err(Rule::Price)), (None, Err(Rule::Price))]
    {
        for exemption in [Exemption::None, Exemption::Allowances, Exemption::AllowancesAndTypes] {
            assert_eq!(world.assess(&Signals { exemption, price, ..World::signals(TJ) }), verdict);
        }
    }
}
