//! The pumping guard against generated traffic: attackers that see what is refused, and honest trouble. Each line of the
//! table in `docs/internals/guard.md` is measured with three seeds.
//!
//! `cargo test --release -p onceward-core --test pumping -- --nocapture --test-threads=1` prints the table;
//! `UPDATE_DOCS=1` writes it into the document.

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a test may fail, and prints its table")]

mod attackers;
mod countries;
mod dice;
mod world;

use std::sync::OnceLock;
use std::time::Duration;

use attackers::{EVERYWHERE, OwnNumber};
use countries::{FOREIGN, US};
use world::{DAY, HOUR, Honest, MINUTE, Person, World};

const SEEDS: [u64; 3] = [1, 2, 3];
const DE: usize = 2;
const NL: usize = 10;

#[test]
fn an_old_installation_refuses_no_user_without_an_attack() {
    let rows = [
        "no attack, 9,000 users a day",
        "codes are read a minute later",
        "the application passes no addresses",
        "a tenth of the users on a weekend",
        "30 days without users",
        "small countries with few prefixes",
        "no gateway for an hour, or no disk for ten minutes",
        "five testers at one address, eight sign-ins a day each",
    ];
    hold(rows, |seed| {
        let day = |world: World| refused_after(world, DAY);
        let with = |change: fn(&mut Honest)| {
            let mut world = old(seed);
            change(&mut world.honest);
            world
        };
        let mut idle = with(|honest| honest.users_a_day = 0);
        idle.pass(30 * DAY);
        idle.honest.users_a_day = 9_000;
        let few_prefixes = World::old(seed, Honest { prefixes: 33, ..Honest::of(3_000) });
        [
            day(old(seed)),
            day(with(|honest| honest.reads_after = MINUTE)),
            day(with(|honest| honest.has_addresses = false)),
            refused_after(with(|honest| honest.week = [100, 100, 100, 100, 100, 20, 10]), 8 * DAY),
            day(idle),
            day(few_prefixes),
            outage(old(seed), HOUR) + outage(old(seed), 10 * MINUTE),
            testers(old(seed)) + testers(World::new(seed, Honest::of(0))),
        ]
    });
}

#[test]
fn a_new_installation_refuses_no_user_on_its_first_day() {
    let rows = [
        "first day with 20,000 users",
        "first day, codes are read a minute later",
        "first day, without addresses",
        "first day with 50 or 500 users",
    ];
    hold(rows, |seed| {
        let large = Honest::of(20_000);
        let late = Honest { reads_after: MINUTE, ..large.clone() };
        let without_addresses = Honest { has_addresses: false, ..large.clone() };
        let day = |honest| refused_after(World::new(seed, honest), DAY);
        let small = day(Honest::of(50)) + day(Honest::of(500));
        [day(large), day(late), day(without_addresses), small]
    });
}

#[test]
fn an_advert_passes_if_its_country_is_allowed_and_else_for_the_most_part() {
    let rows = [
        "advert with 20 users a second, in an allowed country",
        "advert, not allowed",
        "advert, not allowed, new installation",
        "advert, in an allowed country, new installation",
    ];
    hold(rows, |seed| {
        let advert = |mut world: World, is_allowed| {
            world.pass(10 * HOUR);
            if is_allowed {
                world.allow(DE);
            }
            world.advert(DE, 9_000, 20).per_cent()
        };
        let new = || World::new(seed, Honest::of(0));
        [advert(old(seed), true), advert(old(seed), false), advert(new(), false), advert(new(), true)]
    });
}

#[test]
fn a_service_that_moves_here_keeps_its_users_from_the_first_second() {
    let rows = [
        "moved service, 5 users a second in one country, codes after 12 s: its first five minutes",
        "the same, codes after 40 s",
        "the same, 10 users a second, codes after 12 s",
        "the same, 20 users a second, codes after 12 s",
    ];
    hold(rows, |seed| {
        [(5, 12), (5, 40), (10, 12), (20, 12)].map(|(rate, enters_after)| {
            let enters_after = Some(Duration::from_secs(enters_after));
            let mut world = World::new(seed, Honest { enters_after, ..Honest::of(0) });
            world.pass(10 * HOUR);
            world.advert(DE, 5 * 60 * rate, rate).per_cent()
        })
    });
}

#[test]
fn a_number_of_the_attacker_gets_some_twenty_messages_a_day() {
    let rows = [
        "one own number for 30 days: unverified messages a day",
        "one own number: the first 24 hours, with both sides of midnight",
        "one own number, each code entered: messages a day",
        "one own number in a prefix of 20 users a day, each code entered: messages a day",
    ];
    hold(rows, |seed| {
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
        let mut dense = World::old(seed, Honest { country: Some(NL), prefixes: 10, ..Honest::of(200) });
        let own = dense.of_prefix(NL, 3, 7);
        let each = OwnNumber { verifies_each: 1, rests: 0, at_midnight: false };
        let [.., of_dense] = attackers::one_own_number(dense, own, each);
        let [a_day, all_a_day] = [most[0], most[2]].map(|sent| f64::from(sent) / 30.0);
        [a_day, f64::from(most[1]), all_a_day, f64::from(of_dense) / 30.0]
    });
}

#[test]
fn a_prefix_whose_codes_are_not_submitted_gets_few_messages() {
    let rows = [
        "3,000 requests to one prefix in three hours",
        "3,000 requests to one prefix in three hours, without addresses",
        "3,000 requests to one prefix in a day",
        "3,000 requests to one prefix in a day, without addresses",
        "3,000 requests to one prefix in a day, up to ten own numbers in it",
    ];
    hold(rows, |seed| {
        let without_addresses = Honest { has_addresses: false, ..Honest::of(200) };
        let [world, without] = [Honest::of(200), without_addresses].map(|honest| World::old(seed, honest));
        let most = |world: &World, own: &[u64], time| {
            let sent = [FOREIGN, US].into_iter().flat_map(|country| {
                own.iter().map(move |own| attackers::one_prefix(world.clone(), country, *own, time))
            });
            f64::from(sent.max().unwrap_or(0))
        };
        [
            most(&world, &[0], 3 * HOUR),
            most(&without, &[0], 3 * HOUR),
            most(&world, &[0], DAY),
            most(&without, &[0], DAY),
            most(&world, &[1, 5, 10], DAY),
        ]
    });
}

#[test]
fn the_owner_of_a_range_gets_messages_as_it_verifies_numbers() {
    let rows =
        ["owner of a range who reads the codes: first day", "owner of a range: growth from day to day"];
    hold(rows, |seed| {
        let days = [FOREIGN, US]
            .map(|country| attackers::owner_of_a_range(World::old(seed, Honest::of(2_000)), country, 4));
        let first = days.iter().map(|days| days[0]).max().unwrap_or(0);
        let growth =
            days.iter().flat_map(|days| days.windows(2)).map(|two| f64::from(two[1]) / f64::from(two[0]));
        [f64::from(first), growth.fold(0.0, f64::max)]
    });
}

#[test]
fn verified_numbers_in_200_countries_earn_an_attacker_few_messages() {
    let rows = [
        "200 countries, one own number in each, verified before",
        "200 countries, five own numbers in each, verified before",
        "200 countries, one own number in each, verified on the day",
        "200 countries, five own numbers in each, verified on the day",
    ];
    hold(rows, |seed| {
        let world = World::old(seed, Honest::of(200));
        let sent = |own, is_verified_before| attackers::rotation(world.clone(), own, is_verified_before);
        [sent(1, true), sent(5, true), sent(1, false), sent(5, false)].map(f64::from)
    });
}

#[test]
fn an_attack_drains_countries_slowly_and_they_recover_in_an_hour() {
    let rows = [
        "20 countries with users, drained every 15 minutes for a day",
        "20 countries with users: new users refused meanwhile",
        "20 countries with users: refused an hour later",
    ];
    hold(rows, |seed| {
        let mut world = old(seed);
        let sent = attackers::drained_countries(&mut world);
        let meanwhile = world.new_users().per_cent();
        [f64::from(sent), meanwhile, refused_an_hour_after(world)]
    });
}

#[test]
fn a_new_installation_gives_an_attacker_few_messages() {
    let rows = [
        "new installation without users, one request in 5 s",
        "new installation with 200 users a day",
        "new installation with 200 users a day, attacked from the first hour: users refused",
        "new installation with 1,800 users a day",
        "new installation with 1,800 users a day, attacked from the first hour: users refused",
        "new installation with 1,800 users a day, attacked from 10:00: users refused",
        "new installation with 1,800 users a day in an allowed country: users refused",
        "new installation, only one country is attacked",
    ];
    hold(rows, |seed| {
        let attacked = |users, from_hour, countries| {
            let mut world = World::new(seed, Honest::of(users));
            world.pass(from_hour * HOUR);
            let sent = attackers::one_in_5_s(&mut world, countries);
            [f64::from(sent), world.all_users().per_cent()]
        };
        let [empty, _] = attacked(0, 0, EVERYWHERE);
        let [small, small_refused] = attacked(200, 0, EVERYWHERE);
        let [later, _] = attacked(200, 10, EVERYWHERE);
        let [_, large_refused_at_once] = attacked(1_800, 0, EVERYWHERE);
        let [large, large_refused] = attacked(1_800, 10, EVERYWHERE);
        let [one, _] = attacked(200, 0, FOREIGN..FOREIGN + 1);
        let mut allowed = World::new(seed, Honest { country: Some(DE), ..Honest::of(1_800) });
        allowed.allow(DE);
        attackers::one_in_5_s(&mut allowed, EVERYWHERE);
        let allowed = allowed.all_users().per_cent();
        [empty, small.max(later), small_refused, large, large_refused_at_once, large_refused, allowed, one]
    });
}

#[test]
fn a_bot_in_one_country_refuses_only_new_users_from_new_places() {
    let rows = [
        "US, one request in 10 s for 7 days: new US users refused, all from fresh networks",
        "US: new US users refused, half of them in known networks",
        "US: new US users refused, the bot in one /48",
        "US: refused an hour later",
    ];
    hold(rows, |seed| {
        let attacked = |own_address, has_fresh_networks| {
            let mut world = old(seed);
            world.honest.own_address = own_address;
            attackers::bot_in_one_country(&mut world, has_fresh_networks);
            world
        };
        let [fresh, half, one] =
            [(1_000, true), (500, true), (700, false)].map(|(own, bot)| attacked(own, bot));
        let refused = [&fresh, &half, &one].map(|world| world.new_users_in(US).per_cent());
        [refused[0], refused[1], refused[2], refused_an_hour_after(fresh)]
    });
}

#[test]
fn a_bot_behind_a_shared_address_refuses_users_of_it_only_if_it_is_fast() {
    let rows = [
        "carrier's NAT with 2,000 users a day, one request in 5 min from it",
        "carrier's NAT with 2,000 users a day, one request in 30 s from it: new users refused",
        "office with 100 users a day, one request in 5 min from it: new users refused",
    ];
    hold(rows, |seed| {
        let attacked = |users, pause| {
            let mut world = World::old(seed, Honest { one_address: true, ..Honest::of(users) });
            attackers::bot_at_one_address(&mut world, pause);
            world
        };
        let [slow, fast, few] =
            [(2_000, 300), (2_000, 30), (100, 300)].map(|(users, pause)| attacked(users, pause));
        [f64::from(slow.all_users().refused), fast.new_users().per_cent(), few.new_users().per_cent()]
    });
}

#[test]
fn a_cheap_bot_gets_users_of_small_services_and_countries_refused() {
    let rows = [
        "old service with 200 users a day, a bot in three networks, one request in 10 min: new users refused",
        "the same with 20 users a day",
        "country with 33 prefixes and 500 users a day, half of them in known networks, a bot in these prefixes: \
             new users refused",
    ];
    hold(rows, |seed| {
        let small = |users| {
            let mut world = World::old(seed, Honest::of(users));
            attackers::bot_in_three_networks(&mut world);
            world.new_users().per_cent()
        };
        let dense = Honest { country: Some(NL), prefixes: 33, own_address: 500, ..Honest::of(500) };
        let mut dense = World::old(seed, dense);
        attackers::bot_in_prefixes_of_users(&mut dense, NL, 33);
        [small(200), small(20), dense.new_users().per_cent()]
    });
}

#[test]
fn a_slow_attack_gets_only_what_refills() {
    let line = "one request a minute for 14 days, a country without users: messages a day";
    hold([line], |seed| [f64::from(attackers::slow(&mut World::old(seed, Honest::of(200)), FOREIGN)) / 14.0]);
}

/// Measures rows for each seed and prints them. Fails if one has more than the document allows, or another figure than it
/// says; `UPDATE_DOCS=1` writes the figure.
fn hold<const N: usize>(names: [&str; N], measure: impl Fn(u64) -> [f64; N]) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/internals/guard.md");
    let measured = SEEDS.map(measure);
    for (place, name) in names.into_iter().enumerate() {
        let document = std::fs::read_to_string(path).expect("guard.md");
        let begin = format!("| {name} | ");
        let mut lines = document.lines();
        let old = lines.find(|line| line.starts_with(&begin)).unwrap_or_else(|| panic!("no row {name}"));
        let (allowed, _) = old[begin.len()..].split_once(" |").expect("a second cell");
        let (most, unit) = allowed.split_at(allowed.find(' ').unwrap_or(allowed.len()));
        let figures = measured.map(|figures| figures[place]);
        let each = figures.map(|figure| {
            let places = usize::from(figure.fract() >= 0.05);
            format!("{figure:.places$}{unit}")
        });
        let is_same = each.iter().all(|one| *one == each[0]);
        let each = if is_same { each[0].clone() } else { each.join(", ") };
        let row = format!("{begin}{allowed} | {each} |");
        println!("{row}");
        let most: f64 = most.parse().expect("a figure");
        assert!(figures.into_iter().all(|figure| figure <= most), "more than {allowed}: {row}");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, document.replace(old, &row)).expect("guard.md");
        } else {
            assert_eq!(old, row, "UPDATE_DOCS=1 writes the row again");
        }
    }
}

/// A service with 14 days of 9,000 users, made once for each seed.
fn old(seed: u64) -> World {
    static WORLDS: [OnceLock<World>; SEEDS.len()] = [const { OnceLock::new() }; SEEDS.len()];
    let place = SEEDS.iter().position(|known| *known == seed).expect("a seed of the table");
    WORLDS[place].get_or_init(|| World::old(seed, Honest::of(9_000))).clone()
}

/// Users that were refused in this time.
fn refused_after(mut world: World, time: Duration) -> f64 {
    world.forget_outcome();
    world.pass(time);
    assert!(world.all_users().asked > 0);
    f64::from(world.all_users().refused)
}

/// The same in the three hours that begin an hour later.
fn refused_an_hour_after(mut world: World) -> f64 {
    world.pass(HOUR);
    refused_after(world, 3 * HOUR)
}

/// No message leaves for a time of the morning.
fn outage(mut world: World, time: Duration) -> f64 {
    world.pass(10 * HOUR);
    world.is_out = true;
    world.pass(time);
    world.is_out = false;
    refused_after(world, 4 * HOUR)
}

/// Refused sign-ins of two weeks.
fn testers(mut world: World) -> f64 {
    let office = world.stranger(DE).address;
    let testers: Vec<Person> = (0..5).map(|_| Person { address: office, ..world.stranger(DE) }).collect();
    world.honest.users_a_day = 0;
    let (begin, mut refused) = (world.now, 0);
    for sign_in in 0..14 * 8 {
        world.now = begin.plus(DAY * (sign_in / 8) + 9 * HOUR + HOUR * (sign_in % 8));
        for tester in &testers {
            if world.asks(tester) {
                world.now = world.now.plus(MINUTE);
                world.verifies(tester);
            } else {
                refused += 1;
            }
        }
    }
    f64::from(refused)
}
