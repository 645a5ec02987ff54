//! More than a server can take: do those who behave notice, and are the others told soon?

mod crowd;
mod flood;
mod guests;
mod members;
mod slow_disk;
mod steady;
mod tally;

// What the tests use.
#[path = "../../tests/it/overload/frames.rs"]
#[expect(dead_code, reason = "some are for tests only")]
mod frames;
#[path = "../../tests/it/storage_trouble/shim.rs"]
#[expect(dead_code, reason = "some are for tests only")]
mod shim;
#[path = "../../tests/it/overload/slow.rs"]
mod slow;

use std::time::Duration;

use clap::Args;

use super::Arguments;

/// What to overload with.
#[derive(Debug, Args)]
pub struct Modes {
    /// Measure a client that behaves, alone and beside so many connections that are idle or slow.
    #[arg(long, help_heading = "Modes", num_args = 0..=1, default_missing_value = "10000", value_name = "N", conflicts_with_all = ["connections", "soak", "million", "provider_hangs", "json", "rate"], conflicts_with_all = crate::ONLY_FOR_BENCH, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    crowd: Option<u32>,
    /// Measure checks alone and beside so many clients that ask for messages without a pause, which the gateway is
    /// too slow for, and how soon these are refused.
    #[arg(long, help_heading = "Modes", num_args = 0..=1, default_missing_value = "2000", value_name = "N", conflicts_with_all = ["connections", "crowd", "soak", "million", "provider_hangs", "json", "rate"], conflicts_with_all = crate::ONLY_FOR_BENCH, value_parser = clap::value_parser!(u32).range(1..=9_000))]
    flood: Option<u32>,
    /// How long the gateway takes for each answer in a flood; `1h` is a gateway that hangs.
    #[arg(long, help_heading = "Modes", requires = "flood", default_value = "5s", value_parser = humantime::parse_duration)]
    gateway_takes: Duration,
    /// How long a client of a flood waits after a refusal.
    #[arg(long, help_heading = "Modes", requires = "flood", default_value = "0s", value_parser = humantime::parse_duration)]
    again_after: Duration,
    /// Measure the load with a disk on which every sync takes this much longer, such as `50ms`. Needs a C compiler.
    #[arg(long, help_heading = "Modes", value_name = "TIME", conflicts_with_all = ["crowd", "flood", "soak", "million", "provider_hangs", "json", "rate"], conflicts_with_all = crate::ONLY_FOR_BENCH, value_parser = humantime::parse_duration)]
    slow_disk: Option<Duration>,
}

/// Measures and prints what was asked for, if it was one of these.
pub async fn measure(arguments: &Arguments) -> bool {
    let Modes { crowd, flood, gateway_takes, again_after, slow_disk } = arguments.overload;
    if let Some(members) = crowd {
        crowd::measure(arguments, members).await;
    } else if let Some(guests) = flood {
        flood::measure(arguments, guests, gateway_takes, again_after).await;
    } else if let Some(delay) = slow_disk {
        slow_disk::measure(arguments, delay).await;
    } else {
        return false;
    }
    true
}

#[expect(clippy::print_stdout, reason = "a program that talks to a person")]
fn say(text: &str) {
    println!("{text}");
}
