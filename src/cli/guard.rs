//! `onceward guard`: questions to the guard of the server, and its manual entries; and `replay`: what the guard's rules do
//! to generated or recorded traffic, without a server and without data.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::answer::{ask_running, list, only, or_dash, table};
use super::{CommandError, CommandOutput, json_line};
use crate::app::control::{ControlRequest, EntryRequest, GuardRequest, SendLine};
use crate::config::{self, Pricing, Sources, StorageSettings};
use crate::delivery::SendStatus;
use crate::domain::{AttemptId, Channel, PhoneNumber, Timestamp};
use crate::guard::GuardRules;
use crate::guard::operator::{
    CounterView, DecisionView, EntryView, Explanation, Overview, SUBJECTS, exact, subject,
};
use crate::guard::replay::{
    Comparison, Outcome, PriceOf, Recorded, ReplayRules, compare, compare_recorded, money,
};
use crate::guard::scenario::Scenario;

#[derive(Debug, Args)]
pub struct GuardArgs {
    #[command(subcommand)]
    request: GuardCommand,

    /// Print one JSON object a line.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum GuardCommand {
    #[command(flatten)]
    Ask(GuardRequest),

    /// Run traffic without a defence, with a limit of 5 messages a number and day, and with the guard's rules; list what
    /// each defence let through, and whom it refused.
    ///
    /// The traffic is generated (attacks among honest users), or that of a FILE. The rules are those of the key guard of
    /// the configuration, with its messages-per-hour, and the prices are those of the key prices, if they are set.
    Replay {
        /// Recorded messages, as `onceward tracker --json` prints them; "-" is standard input.
        #[arg(value_name = "FILE", conflicts_with = "scenario")]
        file: Option<PathBuf>,

        /// Only this scenario; several with several options [default: all].
        #[arg(long, value_name = "NAME", value_parser = names())]
        scenario: Vec<String>,

        /// Generate other users and numbers. The same seed gives the same result.
        #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "file")]
        seed: u64,

        /// Let adaptive rules refuse messages of the FILE after this many days [default: 14, as in the server].
        #[arg(long, value_name = "DAYS", requires = "file")]
        learn_days: Option<u32>,
    },
}

fn names() -> PossibleValuesParser {
    Scenario::all().iter().map(|scenario| scenario.name).collect::<Vec<_>>().into()
}

pub fn run(GuardArgs { request, json }: GuardArgs, sources: &Sources) -> Result<CommandOutput, CommandError> {
    let (file, wanted, seed, learn_days) = match request {
        GuardCommand::Ask(request) => return ask(request, json, &config::load_storage(sources)?),
        GuardCommand::Replay { file, scenario, seed, learn_days } => (file, scenario, seed, learn_days),
    };
    if let Some(file) = file {
        return replay_file(&file, seed, learn_days, json, sources);
    }
    let mut scenarios = Scenario::all();
    scenarios.retain(|scenario| wanted.is_empty() || wanted.iter().any(|name| name == scenario.name));
    let (Pricing { prices, .. }, settings) = config::load_guard(sources)?;
    let price = prices.map(|prices| move |country, channel| prices.of(country, channel));
    let rules = &settings.rules(&GuardRules::default());
    let rules = ReplayRules { rules, budget: settings.messages_per_hour };
    let results =
        compare(&scenarios, rules, price.as_ref().map(|price| price as PriceOf<'_>), seed).into_iter();
    let lines = results.flat_map(|Comparison { scenario, off, fixed_limit, guard }| {
        lines(scenario, [off, fixed_limit, guard])
    });
    Ok(list(lines.collect(), json, "no scenarios", headings("ATTACK-SENT", "ATTACK-COST"), cells))
}

fn ask(
    mut request: GuardRequest,
    json: bool,
    settings: &StorageSettings,
) -> Result<CommandOutput, CommandError> {
    if let Some(asked) = request.subject() {
        let read = subject(&asked.subject, settings.default_region);
        let text = &asked.subject;
        asked.subject =
            exact(read.ok_or_else(|| CommandError::Usage(format!("{text:?} is none of these: {SUBJECTS}")))?);
    }
    let (data_dir, control) = (&settings.data_dir, ControlRequest::Guard(request.clone()));
    let lines = ask_running::<serde_json::Value>(data_dir, &control, "the guard runs in the server")?;
    let line = only(lines)?;
    if json {
        return Ok(CommandOutput::of(json_line(&line)));
    }
    let is_removal = matches!(request, GuardRequest::Remove(_));
    Ok(CommandOutput::of(match request {
        GuardRequest::Explain(asked) => {
            explained(serde_json::from_value(line)?, asked.service.as_deref().unwrap_or("default"))
        }
        GuardRequest::List { .. } => listed(&serde_json::from_value(line)?),
        GuardRequest::Allow(EntryRequest { subject, .. })
        | GuardRequest::Block(EntryRequest { subject, .. })
        | GuardRequest::Remove(subject) => match serde_json::from_value(line)? {
            Some(entry) => changed(&entry, subject.service.as_deref(), is_removal),
            None => "there is no such manual entry, and nothing was changed; one of a service is named with --service\n".to_owned(),
        },
    }))
}

fn changed(
    EntryView { subject, action, date_until, .. }: &EntryView,
    service: Option<&str>,
    is_removed: bool,
) -> String {
    let of = service.map_or("of all services".to_owned(), |service| format!("of the service {service}"));
    if is_removed {
        return format!("the manual entry {of} for {subject} is removed\n");
    }
    let do_what = if action == "allow" { "pass the adaptive rules" } else { "are refused" };
    format!("messages {of} to or from {subject} {do_what} until {date_until}\n")
}

fn explained(explanation: Explanation, service: &str) -> String {
    let Explanation { subject, refused, reasons, counters, decisions, .. } = explanation;
    let mut lines = vec![
        format!("{subject} in the service {service}"),
        format!("messages: {}", if refused { "refused" } else { "pass" }),
    ];
    lines.extend(reasons);
    let rows = counters.iter().flat_map(|CounterView { service_sid, subject, figures, .. }| {
        let scope = service_sid.as_ref().map_or("all services", |_| "service");
        // No rule compares the counts of all services.
        let of_service = |figure: u32| or_dash(service_sid.as_ref().map(|_| figure.to_string()));
        figures.iter().map(move |figures| {
            [
                subject.clone(),
                scope.to_owned(),
                figures.period.clone(),
                figures.sent.to_string(),
                figures.verified.to_string(),
                figures.unverified.to_string(),
                figures.pending.to_string(),
                of_service(figures.usual),
                of_service(figures.limit),
            ]
        })
    });
    let rows: Vec<_> = rows.collect();
    let counters = if rows.is_empty() {
        "no messages are counted\n".to_owned()
    } else {
        format!("\n{}", table(COUNTER_HEADINGS, rows.into_iter()))
    };
    let line = |DecisionView { subject, rule, effect, messages, date_last, .. }: &DecisionView| {
        format!("{date_last}  {effect}: {} to or from {subject} by the rule {rule}\n", counted(*messages))
    };
    let title = if decisions.is_empty() { "" } else { "\nLast decisions, of an hour each:\n" };
    let decided: Vec<String> = decisions.iter().map(line).collect();
    lines.join("\n") + "\n" + &counters + title + &decided.concat()
}

const COUNTER_HEADINGS: [&str; 9] =
    ["SUBJECT", "COUNTED-FOR", "PERIOD", "SENT", "VERIFIED", "UNVERIFIED", "PENDING", "USUAL", "LIMIT"];

const LIST_HEADINGS: [&str; 6] = ["TYPE", "SUBJECT", "SERVICE", "UNTIL", "LAST", "DETAILS"];

fn counted(messages: u64) -> String {
    format!("{messages} {}", if messages == 1 { "message" } else { "messages" })
}

fn listed(overview: &Overview) -> String {
    let Overview { budgets, blocks, entries, decisions, .. } = overview;
    let title = |sid: &Option<String>, none| overview.title(sid.as_deref(), none).to_owned();
    let budgets = budgets.iter().map(|budget| {
        let (service, details) = (title(&budget.service_sid, "all"), format!("{budget} spent"));
        ["budget".to_owned(), budget.name.clone(), service, or_dash(None), or_dash(None), details]
    });
    let entries = blocks.iter().chain(entries).map(|entry| {
        let EntryView { service_sid, subject, action, date_until, figures } = entry;
        let kind = figures.as_ref().map_or(format!("entry: {action}"), |_| "blocked".to_owned());
        let details = or_dash(figures.as_ref().map(ToString::to_string));
        [kind, subject.clone(), title(service_sid, "all"), date_until.clone(), or_dash(None), details]
    });
    let decisions = decisions.iter().map(|decision| {
        let DecisionView { service_sid, subject, rule, effect, messages, date_last, figures, .. } = decision;
        let figures = figures.as_ref().map(|figures| format!(": {figures}")).unwrap_or_default();
        let details = format!("{} by the rule {rule}{figures}", counted(*messages));
        let service = title(service_sid, "a deleted service");
        [effect.clone(), subject.clone(), service, or_dash(None), date_last.clone(), details]
    });
    let mut rows = budgets.chain(entries).chain(decisions).peekable();
    if rows.peek().is_none() {
        return "no budgets, no blocks, no manual entries and no refusals\n".to_owned();
    }
    table(LIST_HEADINGS, rows)
}

fn replay_file(
    file: &Path,
    seed: u64,
    learn_days: Option<u32>,
    json: bool,
    sources: &Sources,
) -> Result<CommandOutput, CommandError> {
    let (pricing, settings) = config::load_guard(sources)?;
    let (messages, not_sent) = read_messages(file, pricing)?;
    let mut rules = settings.rules(&GuardRules::default());
    rules.learning_days = learn_days.unwrap_or(rules.learning_days);
    let results = if messages.is_empty() {
        Vec::new()
    } else {
        let replayed = ReplayRules { rules: &rules, budget: settings.messages_per_hour };
        lines("recording", compare_recorded(&messages, replayed, seed)).into()
    };
    let headings = headings("UNVERIFIED-SENT", "UNVERIFIED-COST");
    let mut output = list(results, json, "no messages", headings, cells);
    let times = messages.iter().map(|message| message.at);
    let hours =
        times.clone().max().map_or(0, |last| last.since(times.min().unwrap_or(last)).as_secs() / 3_600);
    output.err = format!(
        "messages: {} in {} days and {} hours; rows left out because nothing was sent: {not_sent}; adaptive rules refuse \
         messages after {} days (--learn-days); client addresses are not recorded\n",
        messages.len(),
        hours / 24,
        hours % 24,
        rules.learning_days
    );
    Ok(output)
}

/// The sent messages of a file, and the number of its other rows.
fn read_messages(path: &Path, pricing: Pricing) -> Result<(Vec<Recorded>, usize), CommandError> {
    let prices = pricing.prices.unwrap_or_default();
    let unreadable = |source| CommandError::File { action: "read", path: path.to_owned(), source };
    let input: Box<dyn BufRead> = if path == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(BufReader::new(File::open(path).map_err(unreadable)?))
    };
    let (mut messages, mut not_sent) = (Vec::new(), 0);
    for (place, line) in input.lines().enumerate() {
        let wrong = |why: String| {
            CommandError::Damaged(format!(
                "line {} of {} is no line of `onceward tracker --json`: {why}",
                place + 1,
                path.display()
            ))
        };
        let line = line.map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => wrong(error.to_string()),
            _ => unreadable(error),
        })?;
        let row: SendLine = serde_json::from_str(&line).map_err(|error| wrong(error.to_string()))?;
        if row.send_status != SendStatus::Sent.as_str() {
            not_sent += 1;
            continue;
        }
        let number = PhoneNumber::parse(&row.to, None).map_err(|error| wrong(error.to_string()))?;
        let field = |name: &str| wrong(format!("{name} is wrong"));
        let moment = |text: &str, name| Timestamp::parse(text).ok_or_else(|| field(name));
        let attempt = AttemptId::parse(&row.attempt).ok_or_else(|| field("attempt"))?;
        let channel = Channel::parse(&row.channel).ok_or_else(|| field("type"))?;
        messages.push(Recorded {
            at: moment(&row.time, "time")?,
            service: attempt.key.service,
            number,
            channel,
            price: prices.of(number.region(), channel),
            verified_at: row.verified_at.map(|text| moment(&text, "verified_at")).transpose()?,
        });
    }
    Ok((messages, not_sent))
}

/// A scenario with one defence.
#[derive(Debug, Serialize)]
struct ReplayLine {
    scenario: &'static str,
    defence: &'static str,
    #[serde(flatten)]
    outcome: Outcome,
}

fn lines(scenario: &'static str, [off, fixed_limit, guard]: [Outcome; 3]) -> [ReplayLine; 3] {
    [("off", off), ("fixed-limit", fixed_limit), ("guard", guard)].map(|(defence, outcome)| ReplayLine {
        scenario,
        defence,
        outcome,
    })
}

const COLUMNS: usize = 10;

const fn headings(sent: &'static str, cost: &'static str) -> [&'static str; COLUMNS] {
    ["SCENARIO", "DEFENCE", "SENT", "BLOCKED", "COST", sent, cost, "BEFORE-BLOCK", "HONEST-USERS", "REFUSED"]
}

fn cells(ReplayLine { scenario, defence, outcome }: ReplayLine) -> [String; COLUMNS] {
    [
        scenario.to_owned(),
        defence.to_owned(),
        outcome.sent.to_string(),
        outcome.refused.to_string(),
        money(outcome.cost),
        outcome.attack_sent.to_string(),
        money(outcome.attack_cost),
        outcome.attack_before_block.to_string(),
        outcome.honest_users.to_string(),
        outcome.refused(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Overrides;

    const LINE: &str = r#"{"time":"2026-03-01T10:00:00.000Z","type":"sms","to":"+491711234567","gateway":"Http","priority":0,"send_status":"sent","verify_status":"success","verified_at":"2026-03-01T10:00:20.000Z","retry_count":0,"max_retries_reached":false,"receipt_status":null,"message_id":null,"error_code":null,"attempt":"0-0000000000000001-0"}"#;

    fn replay(text: impl AsRef<[u8]>) -> Result<CommandOutput, CommandError> {
        replay_with(&[("ONCEWARD_PRICES", r#"{"DE":{"sms":2}}"#)], text)
    }

    fn replay_with(
        environment: &[(&str, &str)],
        text: impl AsRef<[u8]>,
    ) -> Result<CommandOutput, CommandError> {
        let home = tempfile::TempDir::new().expect("a directory");
        let file = home.path().join("sent.jsonl");
        std::fs::write(&file, text).expect("a file");
        replay_file(&file, 1, None, true, &sources(environment, home.path()))
    }

    fn sources(environment: &[(&str, &str)], directory: &Path) -> Sources {
        Sources {
            overrides: Overrides::default(),
            config_file: None,
            working_dir: directory.to_owned(),
            environment: environment.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
            parallelism: 1,
        }
    }

    #[test]
    fn scenarios_run_with_the_rules_and_prices_of_the_configuration() {
        for (environment, sent, cost) in [
            ([("ONCEWARD_GUARD", r#"{"blocked-countries":"AZ"}"#), ("ONCEWARD_PRICES", "{}")], 0, 0),
            ([("ONCEWARD_GUARD", "{}"), ("ONCEWARD_PRICES", r#"{"*":{"sms":2}}"#)], 600, 1_200_000_000),
            ([("ONCEWARD_GUARD", "{}"), ("ONCEWARD_LOG_LEVEL", "info")], 600, 180_000_000),
        ] {
            let home = tempfile::TempDir::new().expect("a directory");
            let (file, scenario) = (None, vec!["new-slow".to_owned()]);
            let request = GuardCommand::Replay { file, scenario, seed: 1, learn_days: None };
            let sources = sources(&environment, home.path());
            let output = run(GuardArgs { request, json: true }, &sources).expect("a table").out;
            let line: serde_json::Value =
                serde_json::from_str(output.lines().last().expect("a line")).expect("JSON");
            assert_eq!((&line["attack_sent"], &line["attack_cost"]), (&sent.into(), &cost.into()), "{line}");
        }
    }

    #[test]
    fn recorded_messages_are_counted_with_their_prices() {
        let other = LINE.replace("1234567", "1234568").replace("\"success\"", "\"new\"");
        let other = other.replace("\"2026-03-01T10:00:20.000Z\"", "null");
        let failed = LINE.replace("\"sent\"", "\"unsendable\"");
        let output = replay(format!("{LINE}\n{other}\n{failed}\n")).expect("a table");
        let first = output.out.lines().next().expect("a line");
        let line: serde_json::Value = serde_json::from_str(first).expect("JSON");
        for (field, expected) in [
            ("sent", 2),
            ("refused", 0),
            ("cost", 4_000_000),
            ("attack_sent", 1),
            ("honest_users", 1),
            ("honest_refused", 0),
        ] {
            assert_eq!(line[field], expected, "{field} in {first}");
        }
        assert!(output.err.starts_with("messages: 2 in 0 days and 0 hours; "), "{}", output.err);
    }

    #[test]
    fn a_recording_is_run_with_the_rules_of_the_configuration() {
        let text = format!("{LINE}\n").repeat(3);
        for (guard, sent) in [
            (r#"{"blocked-countries":"DE"}"#, 0),
            (r#"{"sends-per-number":2}"#, 2),
            (r#"{"messages-per-hour":1}"#, 1),
            ("{}", 3),
        ] {
            let output = replay_with(&[("ONCEWARD_GUARD", guard)], text.as_str()).expect("a table").out;
            let line: serde_json::Value =
                serde_json::from_str(output.lines().last().expect("a line")).expect("JSON");
            assert_eq!(line["sent"], sent, "{guard}: {line}");
        }
    }

    #[test]
    fn a_bad_line_is_named_with_its_number() {
        for (bad, why) in [
            ("{", "EOF"),
            (&LINE.replace("+49", "+"), "number"),
            (&LINE.replace("2026-03-01T10:00:20.000Z", "soon"), "verified_at is wrong"),
            (&LINE.replace("0-0000000000000001-0", "1"), "attempt is wrong"),
        ] {
            let error = replay(format!("{LINE}\n{bad}\n")).expect_err(bad);
            assert_eq!(error.exit_code(), super::super::EXIT_DAMAGED);
            let text = error.to_string();
            assert!(text.starts_with("line 2 of ") && text.contains(why), "{text}");
        }
        let error = replay(b"\xff\xfe").expect_err("not a text");
        assert_eq!(error.exit_code(), super::super::EXIT_DAMAGED);
        assert!(error.to_string().starts_with("line 1 of "), "{error}");
    }

    #[test]
    fn a_file_without_messages_has_no_table() {
        for text in [String::new(), LINE.replace("\"sent\"", "\"unsendable\"")] {
            let output = replay(text).expect("no messages");
            assert_eq!(output.out, "");
            assert!(output.err.starts_with("messages: 0 in "), "{}", output.err);
        }
    }
}
