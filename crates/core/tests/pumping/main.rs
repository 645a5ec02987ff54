//! The pumping guard against generated traffic: attackers that see what is refused, and honest trouble.

mod world;

use world::*;

fn rows(seed: u64) {
    let t = std::time::Instant::now();
    let old = World::old(seed, Honest::of(9_000));
    println!("seed {seed}: history {:?} rows {:?}", t.elapsed(), old.replay.guard.len());
    // no attack
    let mut w = old.clone();
    w.pass(3 * DAY);
    println!("no attack: {} of {}", w.outcome.refused.len(), w.outcome.users.len());
    for (name, honest) in [("reads late", Honest { reads_after: MINUTE, ..Honest::of(9_000) }), ("no addresses", Honest { has_addresses: false, ..Honest::of(9_000) })] {
        let mut w = World::old(seed, honest);
        w.pass(2 * DAY);
        println!("{name}: {} of {} {:?}", w.outcome.refused.len(), w.outcome.users.len(), w.outcome.rules);
    }
    for (name, honest) in [("launch", Honest::of(20_000)), ("launch, few prefixes", Honest { prefixes: 200, ..Honest::of(20_000) }), ("launch, reads late", Honest { reads_after: MINUTE, ..Honest::of(20_000) }), ("launch no addresses", Honest { has_addresses: false, ..Honest::of(20_000) }), ("small launch", Honest::of(500)), ("tiny launch", Honest::of(50))] {
        let mut w = World::new(seed, honest);
        w.pass(DAY);
        println!("{name}: {} of {} {:?}", w.outcome.refused.len(), w.outcome.users.len(), w.outcome.rules);
    }
    let mut w = World::new(seed, Honest { week: [100, 100, 100, 100, 100, 20, 10], ..Honest::of(9_000) });
    w.pass(28 * DAY);
    println!("weekly: {} of {}", w.outcome.refused.len(), w.outcome.users.len());
    let mut w = old.clone();
    w.honest.users_a_day = 0;
    w.pass(30 * DAY);
    w.honest.users_a_day = 9_000;
    w.pass(DAY);
    println!("idle 30: {} of {}", w.outcome.refused.len(), w.outcome.users.len());
    let mut w = World::old(seed, Honest { prefixes: 100, ..Honest::of(9_000) });
    w.pass(2 * DAY);
    println!("few prefixes: {} of {}", w.outcome.refused.len(), w.outcome.users.len());
    for hours in [1_u32, 3] {
    let mut w = old.clone();
    w.pass(10 * HOUR);
    w.is_out = true;
    w.pass(hours * HOUR);
    w.is_out = false;
    w.pass(DAY);
    println!("out {hours} h: {} of {}", w.outcome.refused.len(), w.outcome.users.len());
    }
    // adverts
    for (name, country, is_new, announced) in [("unannounced DE", 2, false, 0), ("announced DE", 2, false, 12_000), ("unannounced new", 2, true, 0), ("announced new", 2, true, 12_000), ("announced TJ", FOREIGN + 1, false, 12_000)] {
        let mut w = if is_new { World::new(seed, Honest::of(0)) } else { old.clone() };
        w.pass(10 * HOUR);
        if announced > 0 { w.expect(country, announced); }
        let (users, refused) = w.advert(country, 9_000, 20);
        println!("advert {name}: {refused} of {users}");
    }
    // own number
    let own_strategies: [(&str, u32); 3] = [("unverified", 0), ("verify each", 1), ("verify every 4th", 4)];
    for (name, every) in own_strategies {
        let mut w = old.clone();
        let own = w.stranger(FOREIGN);
        let mut sent = 0;
        for _ in 0..30 * 96 {
            w.now = w.now.plus(15 * MINUTE);
            let mut day = 0;
            while w.attack(&own) && day < 1000 {
                day += 1;
                sent += 1;
                if every > 0 && sent % every == 0 { w.attacker_verifies(&own); }
            }
            if every == 0 && w.now.as_millis() % 86_400_000 == 0 { w.attacker_verifies(&own); }
        }
        println!("own number {name}: {} a day", sent / 30);
    }
    // prefix
    for addresses in [true, false] {
        let mut w = World::old(seed, Honest { has_addresses: addresses, ..Honest::of(9_000) });
        w.pass(10 * HOUR);
        let mut sent = 0;
        for n in 0..3_000 {
            w.pass(Duration::from_millis(3_600));
            let p = w.of_prefix(FOREIGN, 77, n);
            sent += u32::from(w.attack(&p));
        }
        println!("prefix, addresses {addresses}: {sent}; honest {}", w.outcome.refused.len());
    }
    // owner of a range
    for (place, greedy) in [(FOREIGN, true), (US, true), (US, false)] {
    let mut w = old.clone();
    let (mut next, mut known): (u64, Vec<Person>) = (0, Vec::new());
    for day in 0..4 {
        let (mut sent, mut new) = (0, 0);
        let mut left: std::collections::HashMap<PhoneNumber, u32> = known.iter().map(|p| (p.number, 10)).collect();
        for quarter in 0..96 {
            w.pass(15 * MINUTE);
            // Ten messages to each known number.
            for own in known.clone() {
                while left.get(&own.number).is_some_and(|n| *n > 0) && w.attack(&own) { *left.get_mut(&own.number).expect("n") -= 1; sent += 1; w.attacker_verifies(&own); }
            }
            // New ones, as long as they pay back.
            while next < 10_000 {
                let mut p = w.of_prefix(place, 77, next);
                if !w.attack(&p) {
                    if let Some(k) = known.last() { p.address = k.address; }
                    if !w.attack(&p) { break; }
                }
                next += 1; new += 1;
                sent += 1;
                w.attacker_verifies(&p);
                known.push(p);
                left.insert(p.number, 9);
                if new % 3 == 0 || !greedy { let p = w.of_prefix(place, 77, 9_000 + next); sent += u32::from(w.attack(&p)); }
            }
            if quarter == 95 { for own in known.clone() { while left.get(&own.number).is_some_and(|n| *n > 0) && w.attack(&own) { *left.get_mut(&own.number).expect("n") -= 1; sent += 1; w.attacker_verifies(&own); } } }
        }
        println!("range owner in {place} {greedy} day {day}: {sent}, {new} new");
    }
    }
    // rotation over 200 countries
    for (own, when) in [(1_usize, "before"), (5, "before"), (1, "during"), (5, "during"), (0, "none")] {
        let mut w = World::old(seed, Honest::of(200));
        let mut owned = Vec::new();
        for country in 0..ALL { for _ in 0..own { owned.push(w.stranger(country)); } }
        let mut bought = 0;
        if when == "before" {
            for p in &owned { if w.attack(p) { w.attacker_verifies(p); bought += 1; } w.pass(HOUR / 24); }
            w.pass(12 * HOUR);
        }
        let end = w.now.plus(DAY);
        let (mut sent, mut country) = (0, 0);
        while w.now < end {
            w.pass(Duration::from_secs(2));
            country = (country + 1) % ALL;
            if when == "during" && w.below(40) == 0 && !owned.is_empty() {
                let p = owned.pop().expect("some");
                if w.attack(&p) { w.attacker_verifies(&p); bought += 1; } else { owned.push(p); }
            }
            let p = w.stranger(country);
            sent += u32::from(w.attack(&p));
        }
        println!("rotation {own} own numbers {when} ({bought} verified): {sent}; honest {} per mille", w.outcome.per_mille());
    }
    // greedy: own new numbers pay for messages
    for own in [1, 5] {
        let mut w = World::old(seed, Honest::of(200));
        let mut sent = 0;
        let mut owned: Vec<Person> = (0..ALL * own).map(|n| w.stranger(n % ALL)).collect();
        let total = owned.len();
        for _ in 0..96 {
            w.pass(15 * MINUTE);
            let mut idle = 0;
            while idle < ALL {
                let place = usize::try_from(w.below(200)).expect("small");
                let p = w.stranger(place);
                if let Some(own) = owned.pop() {
                    if w.attack(&own) { w.attacker_verifies(&own); } else { owned.push(own); }
                }
                if w.attack(&p) { sent += 1; idle = 0; } else { idle += 1; }
            }
        }
        println!("greedy {own} own: {sent} with {} verified; honest {} per mille", total - owned.len(), w.outcome.per_mille());
    }
    // 20 countries every 15 minutes
    let mut w = old.clone();
    let (mut sent, first) = (0, w.outcome.clone().users.len());
    let _ = first;
    for _ in 0..96 {
        w.pass(15 * MINUTE);
        for country in 0..HONEST {
            for _ in 0..2_000 { let p = w.stranger(country); if !w.attack(&p) { break; } sent += 1; }
        }
    }
    println!("20 countries every 15 min: {sent}; honest new refused {} per mille of {}", w.outcome.new_per_mille(), w.outcome.new.len());
    w.pass(HOUR);
    w.outcome = Outcome::default();
    w.pass(3 * HOUR);
    println!("  an hour after: {} of {}", w.outcome.refused.len(), w.outcome.users.len());
    // new installation
    for users in [0, 200, 1_800] {
        for (name, countries) in [("one country", FOREIGN..FOREIGN + 1), ("all", 0..COUNTRIES_LEN)] {
            for start in [0_u32, 10] {
            let mut w = World::new(seed, Honest::of(users));
            w.pass(start * HOUR);
            let mut sent = 0;
            let end = w.now.plus(DAY);
            let mut at = countries.start;
            while w.now < end {
                w.pass(Duration::from_secs(5));
                at = if at + 1 >= countries.end { countries.start } else { at + 1 };
                let p = w.stranger(at);
                sent += u32::from(w.attack(&p));
            }
            println!("new with {users} users, {name}, from hour {start}: {sent}; honest {} per mille", w.outcome.per_mille());
            }
        }
    }
    // US, one request in 10 s
    for (name, own, bot) in [("all fresh", 1_000, true), ("half known", 500, true), ("bot in one /48", 700, false), ("as usual", 700, true)] {
        let mut w = World::old(seed, Honest { own_address: own, ..Honest::of(9_000) });
        let one = w.stranger(US);
        let mut us = (0, 0);
        for _ in 0..7 {
            for _ in 0..8_640 {
                w.pass(Duration::from_secs(10));
                let mut p = w.stranger(US);
                if !bot { p.address = one.address; }
                w.attack(&p);
            }
            let (n, r) = w.new_in(US);
            us = (us.0 + n, us.1 + r);
        }
        println!("US {name}: {} % of {} new US users refused; all {} per mille", us.1 * 100 / us.0.max(1), us.0, w.outcome.per_mille());
        w.pass(HOUR);
        w.outcome = Outcome::default();
        w.pass(6 * HOUR);
        println!("  an hour after: {} of {}", w.outcome.refused.len(), w.outcome.users.len());
    }
}

use std::time::Duration;
use onceward_core::domain::PhoneNumber;

#[test]
fn explore() {
    for seed in [1, 2, 3] { rows(seed); }
}
