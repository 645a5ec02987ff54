//! `onceward guard replay`: what the guard's default rules do to generated traffic. Needs no server and no data.

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::CommandOutput;
use super::answer::list;
use crate::guard::replay::{Comparison, Outcome, compare};
use crate::guard::scenario::Scenario;

#[derive(Debug, Args)]
pub struct GuardArgs {
    #[command(subcommand)]
    request: GuardRequest,

    /// Print one JSON object a line.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum GuardRequest {
    /// Run generated attacks among honest users without a defence, with a limit of 5 messages a number and day, and
    /// with the guard's default rules; list what each defence let through, and whom it refused.
    Replay {
        /// Only this scenario; several with several options [default: all].
        #[arg(long, value_name = "NAME", value_parser = names())]
        scenario: Vec<String>,

        /// Generate other users and numbers. The same seed gives the same result.
        #[arg(long, value_name = "N", default_value_t = 1)]
        seed: u64,
    },
}

fn names() -> PossibleValuesParser {
    Scenario::all().iter().map(|scenario| scenario.name).collect::<Vec<_>>().into()
}

pub fn run(GuardArgs { request, json }: GuardArgs) -> CommandOutput {
    let GuardRequest::Replay { scenario: wanted, seed } = request;
    let mut scenarios = Scenario::all();
    scenarios.retain(|scenario| wanted.is_empty() || wanted.iter().any(|name| name == scenario.name));
    let lines = compare(&scenarios, seed).into_iter().flat_map(lines).collect();
    list(lines, json, "no scenarios", HEADINGS, cells)
}

/// A scenario with one defence.
#[derive(Debug, Serialize)]
struct ReplayLine {
    scenario: &'static str,
    defence: &'static str,
    #[serde(flatten)]
    outcome: Outcome,
}

fn lines(Comparison { scenario, off, fixed_limit, guard }: Comparison) -> [ReplayLine; 3] {
    [("off", off), ("fixed-limit", fixed_limit), ("guard", guard)].map(|(defence, outcome)| ReplayLine {
        scenario,
        defence,
        outcome,
    })
}

const HEADINGS: [&str; 7] =
    ["SCENARIO", "DEFENCE", "BEFORE-BLOCK", "ATTACK-SENT", "COST", "HONEST-USERS", "REFUSED"];

fn cells(ReplayLine { scenario, defence, outcome }: ReplayLine) -> [String; HEADINGS.len()] {
    [
        scenario.to_owned(),
        defence.to_owned(),
        outcome.attack_before_block.to_string(),
        outcome.attack_sent.to_string(),
        outcome.cost(),
        outcome.honest_users.to_string(),
        outcome.refused(),
    ]
}
