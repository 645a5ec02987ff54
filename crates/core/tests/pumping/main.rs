//! The pumping guard against generated traffic: attackers that see what is refused, and honest trouble. Each line of the
//! table in `docs/internals/guard.md` is measured with three seeds.
//!
//! `cargo test --release -p onceward-core --test pumping -- --nocapture --test-threads=1` prints the table;
//! `UPDATE_DOCS=1` writes it into the document.

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a test may fail, and prints its table")]

mod attackers;
mod countries;
mod dice;
mod lines;
mod world;

use std::time::Duration;

use attackers::{EVERYWHERE, OwnNumber};
use countries::{FOREIGN, US};
use lines::{growth, hold, messages, none_refused, old, refused};
use world::{DAY, HOUR, Honest, MINUTE, Person, SECOND, World};

const DE: usize = 2;
const NL: usize = 10;

#[test]
fn an_old_installation_refuses_no_user_without_an_attack() {
    hold(|seed| {
        let day = |world: World| refused_after(world, DAY);
        let mut weekly = old(seed);
        weekly.honest.week = [100, 100, 100, 100, 100, 20, 10];
        let mut idle = old(seed);
        idle.honest.users_a_day = 0;
        idle.pass(30 * DAY);
        idle.honest.users_a_day = 9_000;
        let few_prefixes = World::old(seed, Honest { prefixes: 33, ..Honest::of(3_000) });
        [
            none_refused("no attack, 9,000 users a day", day(old(seed))),
            none_refused("a tenth of the users on a weekend", refused_after(weekly, 8 * DAY)),
            none_refused("30 days without users", day(idle)),
            none_refused("small countries with few prefixes", day(few_prefixes)),
        ]
    });
}

#[test]
fn a_new_installation_refuses_no_user_on_its_first_day() {
    hold(|seed| {
        let large = Honest::of(20_000);
        let late = Honest { reads_after: MINUTE, ..large.clone() };
        let without_addresses = Honest { has_addresses: false, ..large.clone() };
        let day = |honest| refused_after(World::new(seed, honest), DAY);
        let small = day(Honest::of(50)) + day(Honest::of(500));
        [
            none_refused("first day with 20,000 users", day(large)),
            none_refused("first day, codes are read a minute later", day(late)),
            none_refused("first day, without addresses", day(without_addresses)),
            none_refused("first day with 50 or 500 users", small),
        ]
    });
}

#[test]
fn an_advert_in_a_country_that_is_not_allowed_passes_for_the_most_part() {
    hold(|seed| {
        let advert = |mut world: World| {
            world.pass(10 * HOUR);
            world.advert(DE, 9_000, 20)
        };
        [
            refused("advert with 20 users a second", 17.0, advert(old(seed))),
            refused("advert, new installation", 94.0, advert(World::new(seed, Honest::of(0)))),
        ]
    });
}

#[test]
fn a_number_of_the_attacker_gets_some_twenty_messages_a_day() {
    hold(|seed| {
        let verifies_each = [0, 1, 2, 3, 4, 5, 10, 19];
        let strategies = verifies_each.into_iter().flat_map(|verifies_each| {
            let of = move |rests, at_midnight| OwnNumber { verifies_each, rests, at_midnight };
            [of(0, false), of(0, true), of(1, false), of(7, false), of(29, false)]
        });
        let mut most = [0, 0, 0];
        for strategy in strategies {
            for country in [FOREIGN, US] {
                let mut world = World::new(seed, Honest::of(0));
                let own = world.stranger(country);
                let sent = attackers::one_own_number(world, own, strategy);
                most = std::array::from_fn(|at| most[at].max(sent[at]));
            }
        }
        let [unverified, first_day, all] = most;
        let a_day = |sent| f64::from(sent) / 30.0;
        [
            messages("one own number for 30 days: unverified messages a day", 21, a_day(unverified)),
            messages("one own number: the first 24 hours, with both sides of midnight", 40, first_day),
            messages("one own number, each code entered: messages a day", 42, a_day(all)),
        ]
    });
}

#[test]
fn a_prefix_whose_codes_are_not_submitted_gets_few_messages() {
    hold(|seed| {
        let old = World::old(seed, Honest::of(200));
        let most = |time: Duration| {
            let sent = [FOREIGN, US].map(|country| {
                attackers::asks(&mut old.clone(), 3_000, time / 3_000, |world, n| {
                    world.of_prefix(country, 77, n)
                })
            });
            sent.into_iter().max().unwrap_or(0)
        };
        [
            messages("3,000 requests to one prefix in three hours", 11, most(3 * HOUR)),
            messages("3,000 requests to one prefix in a day", 18, most(DAY)),
        ]
    });
}

#[test]
fn the_owner_of_a_range_gets_messages_as_it_verifies_numbers() {
    hold(|seed| {
        let days = [FOREIGN, US]
            .map(|country| attackers::owner_of_a_range(World::old(seed, Honest::of(2_000)), country, 4));
        let first = days.iter().map(|days| days[0]).max().unwrap_or(0);
        let daily =
            days.iter().flat_map(|days| days.windows(2)).map(|two| f64::from(two[1]) / f64::from(two[0]));
        [
            messages("owner of a range who reads the codes: first day", 1_400, first),
            growth("owner of a range: growth from day to day", 2.1, daily.fold(0.0, f64::max)),
        ]
    });
}

#[test]
fn verified_numbers_in_200_countries_earn_an_attacker_few_messages() {
    hold(|seed| {
        let world = World::old(seed, Honest::of(200));
        let sent = |own| attackers::rotation(world.clone(), own);
        [
            messages("200 countries, one own number in each, verified on the day", 900, sent(1)),
            messages("200 countries, five own numbers in each, verified on the day", 1_300, sent(5)),
        ]
    });
}

#[test]
fn an_attack_drains_countries_slowly_and_they_recover_in_an_hour() {
    hold(|seed| {
        let mut world = old(seed);
        let sent = attackers::drained_countries(&mut world);
        let meanwhile = world.new_users();
        world.pass(HOUR);
        [
            messages("20 countries with users, drained every 15 minutes for a day", 14_000, sent),
            refused("20 countries with users: refused meanwhile", 15.7, meanwhile),
            none_refused("20 countries with users: refused an hour later", refused_after(world, 3 * HOUR)),
        ]
    });
}

#[test]
fn a_new_installation_gives_an_attacker_few_messages() {
    hold(|seed| {
        let attacked = |users, from_hour, countries| {
            let mut world = World::new(seed, Honest::of(users));
            world.pass(from_hour * HOUR);
            (attackers::one_in_5_s(&mut world, countries), world.all_users())
        };
        let (empty, _) = attacked(0, 0, EVERYWHERE);
        let (small, of_small) = attacked(200, 0, EVERYWHERE);
        let (later, _) = attacked(200, 10, EVERYWHERE);
        let (large, of_large) = attacked(1_800, 10, EVERYWHERE);
        let (one, _) = attacked(200, 0, FOREIGN..FOREIGN + 1);
        [
            messages("new installation without users, one request in 5 s", 125, empty),
            messages("new installation with 200 users a day", 125, small.max(later)),
            refused("new installation with 200 users a day, attacked from the first hour", 100.0, of_small),
            messages("new installation with 1,800 users a day", 520, large),
            refused("new installation with 1,800 users a day, attacked from 10:00", 60.0, of_large),
            messages("new installation, only one country is attacked", 51, one),
        ]
    });
}

#[test]
fn a_bot_in_one_country_refuses_only_new_users_from_new_places() {
    hold(|seed| {
        let attacked = |own_address, has_fresh_networks| {
            let mut world = old(seed);
            world.honest.own_address = own_address;
            let one = world.stranger(US);
            attackers::asks(&mut world, 7 * 8_640, 10 * SECOND, |world, _| {
                let bot = world.stranger(US);
                if has_fresh_networks { bot } else { Person { address: one.address, ..bot } }
            });
            world
        };
        let [fresh, half, one] =
            [(1_000, true), (500, true), (700, false)].map(|(own, bot)| attacked(own, bot));
        [
            refused("US, one request in 10 s for 7 days, fresh networks", 92.0, fresh.new_users_in(US)),
            refused("US: half of the users in known networks", 36.0, half.new_users_in(US)),
            refused("US: the bot in one /48", 0.0, one.new_users_in(US)),
        ]
    });
}

#[test]
fn a_bot_behind_a_shared_address_refuses_users_of_it_only_if_it_is_fast() {
    hold(|seed| {
        let attacked = |users, pause: Duration| {
            let mut world = World::old(seed, Honest { one_address: true, ..Honest::of(users) });
            attackers::asks(&mut world, DAY.as_secs() / pause.as_secs(), pause, |world, _| Person {
                address: Some(World::shared_address()),
                ..world.stranger(US)
            });
            world
        };
        let slow = attacked(2_000, 5 * MINUTE);
        let fast = attacked(2_000, 30 * SECOND);
        let few = attacked(100, 5 * MINUTE);
        [
            none_refused("carrier's NAT, 2,000 users a day, one request in 5 min", slow.all_users().refused),
            refused("carrier's NAT, 2,000 users a day, one request in 30 s", 30.0, fast.new_users()),
            refused("office, 100 users a day, one request in 5 min", 30.0, few.new_users()),
        ]
    });
}

#[test]
fn a_cheap_bot_gets_users_of_small_services_and_countries_refused() {
    hold(|seed| {
        let small = |users| {
            let mut world = World::old(seed, Honest::of(users));
            attackers::bot_in_three_networks(&mut world);
            world.new_users()
        };
        let dense = Honest { country: Some(NL), prefixes: 33, own_address: 500, ..Honest::of(500) };
        let mut dense = World::old(seed, dense);
        attackers::asks(&mut dense, 2 * 8_640, 10 * SECOND, |world, n| world.of_prefix(NL, n % 33, n / 33));
        [
            refused("200 users a day, a bot in three networks, one request in 10 min", 5.0, small(200)),
            refused("the same with 20 users a day", 15.0, small(20)),
            refused("a bot in 33 prefixes, 500 users a day, half in known networks", 55.0, dense.new_users()),
        ]
    });
}

#[test]
fn a_slow_attack_gets_only_what_refills() {
    hold(|seed| {
        let mut world = World::old(seed, Honest::of(200));
        let sent = attackers::asks(&mut world, 14 * 24 * 60, MINUTE, |world, _| world.stranger(FOREIGN));
        let line = "one request a minute for 14 days, a country without users: messages a day";
        [messages(line, 25, f64::from(sent) / 14.0)]
    });
}

/// Users that were refused in this time.
fn refused_after(mut world: World, time: Duration) -> u32 {
    world.forget_outcome();
    world.pass(time);
    assert!(world.all_users().asked > 0);
    world.all_users().refused
}
