//! Attackers. Each sees what is refused and goes on elsewhere. Figures are messages that were sent.

use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::Range;
use std::time::Duration;

use onceward_core::domain::Timestamp;
use onceward_core::guard::ClientNet;

use super::countries::{ALL, COUNTRIES, HONEST, US};
use super::world::{DAY, HOUR, MINUTE, Person, World};

const QUARTER: Duration = Duration::from_secs(15 * 60);

/// How the owner of one number uses it for ever.
#[derive(Debug, Clone, Copy)]
pub struct OwnNumber {
    /// Verifies after each of so many messages; never with 0, apart from the first.
    pub verifies_each: u32,
    /// Days between two verifications, at least.
    pub rests: u32,
    /// Waits for the day's end, and asks on both sides of midnight.
    pub at_midnight: bool,
}

/// Messages in 30 days to one number of the attacker's own whose codes it does not enter, and in the first 24 hours; and
/// all in 30 days.
pub fn one_own_number(mut world: World, own: Person, strategy: OwnNumber) -> [u32; 3] {
    let (mut sent, mut verified, mut first_day, mut last_verified) = (0, 0, 0, None::<Timestamp>);
    for quarter in 0..30 * 96 {
        world.pass(QUARTER);
        if strategy.at_midnight && (2..94).contains(&(quarter % 96)) {
            continue;
        }
        loop {
            let fresh = world.stranger(own.country).address;
            let from = if last_verified.is_none() { own.address } else { fresh };
            if !asks_somehow(&mut world, Person { address: from, ..own }, &own) {
                break;
            }
            sent += 1;
            let is_due = strategy.verifies_each > 0 && sent % strategy.verifies_each == 0;
            let has_rested = last_verified.is_none_or(|last| world.now >= last.plus(DAY * strategy.rests));
            if last_verified.is_none() || is_due && has_rested {
                world.verifies(&own);
                verified += 1;
                last_verified = Some(world.now);
            }
        }
        if quarter == 95 {
            first_day = sent - verified;
        }
    }
    [sent - verified, first_day, sent]
}

/// From the person's address, a fresh one, then from one where another number was verified.
fn asks_somehow(world: &mut World, person: Person, known: &Person) -> bool {
    world.asks(&person) || world.asks(&Person { address: known.address, ..person })
}

/// 3,000 requests in `time` to the numbers of one prefix, each for another one. The first `own` numbers are verified, and
/// their messages do not count.
pub fn one_prefix(mut world: World, country: usize, own: u64, time: Duration) -> u32 {
    let (mut sent, mut verified, mut known) = (0, 0, None::<Person>);
    for n in 0..3_000 {
        world.pass(time / 3_000);
        let person = world.of_prefix(country, 77, n);
        let passes = asks_somehow(&mut world, person, &known.unwrap_or(person));
        if passes && verified < own {
            world.verifies(&person);
            // From here on with the address of a verified number, if a fresh one does not do.
            known = known.or(Some(person));
            verified += 1;
        } else {
            sent += u32::from(passes);
        }
    }
    sent
}

/// The owner of a prefix reads the codes. Known numbers get what needs no allowance, and new ones are verified while
/// they pay for messages. Returns the messages of each day.
pub fn owner_of_a_range(mut world: World, country: usize, days: u32) -> Vec<u32> {
    let (mut next, mut known) = (0, Vec::<Person>::new());
    let mut sent_of = Vec::new();
    for _ in 0..days {
        let mut sent = 0;
        let mut left: HashMap<_, u32> = known.iter().map(|own| (own.number, 40)).collect();
        for _ in 0..96 {
            world.pass(QUARTER);
            while next < 9_000 {
                let new = world.of_prefix(country, 77, next);
                if !world.asks(&new) {
                    break;
                }
                world.verifies(&new);
                left.insert(new.number, 39);
                known.push(new);
                next += 1;
                sent += 1;
                // What a verification pays beyond its attempt goes to a number that is not verified.
                let other = world.of_prefix(country, 77, 9_000 + next % 1_000);
                sent += u32::from(next % 3 == 0 && world.asks(&other));
            }
            for own in &known {
                let left = left.entry(own.number).or_default();
                while *left > 0 && world.asks(own) {
                    world.verifies(own);
                    *left -= 1;
                    sent += 1;
                }
            }
        }
        sent_of.push(sent);
    }
    sent_of
}

/// Messages of a day to 200 countries in turn, with `own` numbers of the attacker's own in each. They are verified in the half
/// day before, or one after the other on the day itself, as soon as they pay for further messages. Those to own numbers do
/// not count: their owner pays for them.
pub fn rotation(mut world: World, own: usize, is_verified_before: bool) -> u32 {
    let mut owned: Vec<Person> = (0..ALL * own).map(|n| world.stranger(n % ALL)).collect();
    if is_verified_before {
        for own in owned.drain(..) {
            if world.asks(&own) {
                world.verifies(&own);
            }
            world.pass(12 * HOUR / 1_000);
        }
        world.pass(12 * HOUR);
    }
    let mut sent = 0;
    for _ in 0..96 {
        world.pass(QUARTER);
        let mut refused = 0;
        while refused < ALL {
            if let Some(own) = owned.pop() {
                if world.asks(&own) {
                    world.verifies(&own);
                } else {
                    owned.push(own);
                }
            }
            let country = world.any_of(ALL);
            let person = world.stranger(country);
            let passes = world.asks(&person);
            sent += u32::from(passes);
            refused = if passes { 0 } else { refused + 1 };
        }
    }
    sent
}

/// Messages of a day, of which every 15 minutes all are taken that countries with users give.
pub fn drained_countries(world: &mut World) -> u32 {
    let mut sent = 0;
    for _ in 0..96 {
        world.pass(QUARTER);
        for country in 0..HONEST {
            loop {
                let person = world.stranger(country);
                if !world.asks(&person) {
                    break;
                }
                sent += 1;
            }
        }
    }
    sent
}

/// One request after each `pause`; `bot` says who asks. Returns the messages.
fn one_after_each<T>(
    world: &mut World,
    pause: Duration,
    requests: impl Iterator<Item = T>,
    bot: impl Fn(&mut World, T) -> Person,
) -> u32 {
    let mut sent = 0;
    for request in requests {
        world.pass(pause);
        let person = bot(world, request);
        sent += u32::from(world.asks(&person));
    }
    sent
}

const TEN_SECONDS: Duration = Duration::from_secs(10);

/// All countries of the table.
pub const EVERYWHERE: Range<usize> = 0..COUNTRIES.len();

/// Messages of a day with one request in 5 s, to countries of the table in turn.
pub fn one_in_5_s(world: &mut World, countries: Range<usize>) -> u32 {
    one_after_each(world, TEN_SECONDS / 2, countries.cycle().take(17_280), World::stranger)
}

/// One request in 10 s for 7 days to the United States, from fresh networks or one.
pub fn bot_in_one_country(world: &mut World, has_fresh_networks: bool) {
    let one = world.stranger(US);
    one_after_each(world, TEN_SECONDS, 0..7 * 8_640, |world, _| {
        let bot = world.stranger(US);
        if has_fresh_networks { bot } else { Person { address: one.address, ..bot } }
    });
}

/// One request a minute for two weeks to numbers of one country.
pub fn slow(world: &mut World, country: usize) -> u32 {
    one_after_each(world, MINUTE, 0..14 * 24 * 60, |world, _| world.stranger(country))
}

/// Requests of a day to the United States from the address of all users.
pub fn bot_at_one_address(world: &mut World, pause: u32) {
    one_after_each(world, Duration::from_secs(pause.into()), 0..86_400 / pause, |world, _| Person {
        address: Some(World::shared_address()),
        ..world.stranger(US)
    });
}

/// One request in 10 minutes for two weeks, to countries with few users in turn, from nine addresses in three networks. The
/// outcome is that of the last twelve days.
pub fn bot_in_three_networks(world: &mut World) {
    let addresses: Vec<ClientNet> = (0..9).map(|n| IpAddr::from([10, 0, n % 3, n / 3]).into()).collect();
    let days = |world: &mut World, requests: Range<usize>| {
        one_after_each(world, 10 * MINUTE, requests, |world, n| Person {
            address: Some(addresses[n % 9]),
            ..world.stranger(4 + n % (HONEST - 4))
        })
    };
    days(world, 0..2 * 144);
    world.forget_outcome();
    days(world, 2 * 144..14 * 144);
}

/// One request in 10 s for two days, each from another network, to the prefixes of a country in turn.
pub fn bot_in_prefixes_of_users(world: &mut World, country: usize, prefixes: u64) {
    one_after_each(world, TEN_SECONDS, 0..2 * 8_640, |world, n| {
        world.of_prefix(country, n % prefixes, n / prefixes)
    });
}
