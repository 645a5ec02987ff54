//! `onceward guard`: questions to the guard of the server, and its manual entries; and `replay`: what the guard's rules do
//! to recorded traffic, without a server and without data.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::answer::{ask_running, list, only, or_dash, table};
use super::{CommandError, CommandOutput, json_line};
use crate::app::control::{
    ControlRequest, EntryRequest, ExpectRequest, GuardRequest, SendLine, SubjectRequest,
};
use crate::config::{self, Pricing, Sources, StorageSettings};
use crate::delivery::SendStatus;
use crate::domain::{AttemptId, Channel, PhoneNumber, Timestamp};
use crate::guard::GuardRules;
use crate::guard::operator::{
    AllowanceView, BudgetView, DecisionView, EntryView, Item, SUBJECTS, ServiceExplanation, exact, subject,
};
use crate::guard::replay::{Outcome, Recorded, money, replay};

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

    /// Run recorded traffic with the rules of the configuration, and count what they would have refused.
    ///
    /// The prices are those of the key prices, if they are set. Budgets, manual entries and the rules of single services do
    /// not apply, and client addresses are not recorded.
    Replay {
        /// Recorded messages, as `onceward tracker --json` prints them; "-" is standard input.
        #[arg(value_name = "FILE")]
        file: PathBuf,

        /// With this tolerance [default: that of the key guard].
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=10))]
        tolerance: Option<u32>,
    },
}

pub fn run(GuardArgs { request, json }: GuardArgs, sources: &Sources) -> Result<CommandOutput, CommandError> {
    match request {
        GuardCommand::Ask(request) => ask(request, json, &config::load_storage(sources)?),
        GuardCommand::Replay { file, tolerance } => replay_file(&file, tolerance, json, sources),
    }
}

fn ask(
    mut request: GuardRequest,
    json: bool,
    settings: &StorageSettings,
) -> Result<CommandOutput, CommandError> {
    if let Some(text) = request.subject() {
        let read = subject(text, settings.default_region);
        *text =
            exact(read.ok_or_else(|| CommandError::Usage(format!("{text:?} is none of these: {SUBJECTS}")))?);
    }
    let (data_dir, control) = (&settings.data_dir, ControlRequest::Guard(request.clone()));
    let lines = ask_running::<serde_json::Value>(data_dir, &control, "the guard runs in the server")?;
    if json {
        return Ok(CommandOutput::of(lines.iter().map(json_line).collect::<String>()));
    }
    let is_removal = matches!(request, GuardRequest::Remove(_));
    Ok(CommandOutput::of(match request {
        GuardRequest::Explain(asked) => {
            let services = lines.into_iter().map(serde_json::from_value).collect::<Result<Vec<_>, _>>()?;
            services.iter().map(|service| explained(&asked.subject, service)).collect::<Vec<_>>().join("\n")
        }
        GuardRequest::List { .. } => {
            let items = lines.into_iter().map(serde_json::from_value).collect::<Result<Vec<_>, _>>()?;
            listed(&items)
        }
        GuardRequest::Allow(EntryRequest { subject: SubjectRequest { service, .. }, .. })
        | GuardRequest::Block(EntryRequest { subject: SubjectRequest { service, .. }, .. })
        | GuardRequest::Expect(ExpectRequest { service, .. })
        | GuardRequest::Remove(SubjectRequest { service, .. }) => match serde_json::from_value(only(lines)?)? {
            Some(entry) => changed(&entry, service.as_deref(), is_removal),
            None => "there is no such manual entry, and nothing was changed; one of a service is named with --service\n".to_owned(),
        },
    }))
}

fn changed(
    EntryView { subject, action, messages, date_until, .. }: &EntryView,
    service: Option<&str>,
    is_removed: bool,
) -> String {
    let of = service.map_or("of all services".to_owned(), |service| format!("of the service {service}"));
    if is_removed {
        return format!("the manual entry {of} for {subject} is removed\n");
    }
    if let Some(messages) = messages {
        return format!("{messages} messages {of} to {subject} are expected until {date_until}\n");
    }
    let do_what = if action == "allow" { "need no allowance" } else { "are refused" };
    format!("messages {of} to or from {subject} {do_what} until {date_until}\n")
}

const ALLOWANCE_HEADINGS: [&str; 5] = ["ALLOWANCE", "LEFT", "FULL", "USUAL", "NEXT-MESSAGE"];

fn explained(subject: &str, explanation: &ServiceExplanation) -> String {
    let ServiceExplanation { service, refused, reasons, allowances, decisions, .. } = explanation;
    let mut lines = vec![
        format!("{subject} in the service {service}"),
        format!("messages: {}", if *refused { "refused" } else { "pass" }),
    ];
    lines.extend_from_slice(reasons);
    let rows = allowances.iter().map(|AllowanceView { subject, level, most, usual, date_passes, .. }| {
        let passes = date_passes.clone().unwrap_or_else(|| "now".to_owned());
        [subject.clone(), level.to_string(), most.to_string(), usual.to_string(), passes]
    });
    let line = |DecisionView { subject, rule, effect, messages, date_last, .. }: &DecisionView| {
        format!("{date_last}  {effect}: {} to or from {subject} by the rule {rule}\n", counted(*messages))
    };
    let title = if decisions.is_empty() { "" } else { "\nLast decisions, of an hour each:\n" };
    let decided: Vec<String> = decisions.iter().map(line).collect();
    lines.join("\n") + "\n\n" + &table(ALLOWANCE_HEADINGS, rows) + title + &decided.concat()
}

const LIST_HEADINGS: [&str; 6] = ["TYPE", "SUBJECT", "SERVICE", "UNTIL", "LAST", "DETAILS"];

fn counted(messages: u64) -> String {
    format!("{messages} {}", if messages == 1 { "message" } else { "messages" })
}

fn listed(items: &[Item]) -> String {
    if items.is_empty() {
        return "no budgets, no allowances below half, no manual entries and no refusals\n".to_owned();
    }
    let none = || or_dash(None);
    let rows = items.iter().map(|item| match item {
        Item::Budget(budget) => {
            let BudgetView { name, service, .. } = budget;
            let details = format!("{budget} spent");
            ["budget".to_owned(), name.clone(), service.clone(), none(), none(), details]
        }
        Item::Allowance(allowance) => {
            let AllowanceView { subject, service, date_passes, .. } = allowance;
            let until = or_dash(date_passes.clone());
            let details = allowance.to_string();
            ["allowance".to_owned(), subject.clone(), service.clone(), until, none(), details]
        }
        Item::Entry(EntryView { service, subject, action, messages, date_until, .. }) => {
            let details = or_dash(messages.map(|messages| counted(messages.into())));
            let kind = format!("entry: {action}");
            [kind, subject.clone(), service.clone(), date_until.clone(), none(), details]
        }
        Item::Decision(DecisionView { service, subject, rule, effect, messages, date_last, .. }) => {
            let details = format!("{} by the rule {rule}", counted(*messages));
            [effect.clone(), subject.clone(), service.clone(), none(), date_last.clone(), details]
        }
    });
    table(LIST_HEADINGS, rows)
}

fn replay_file(
    file: &Path,
    tolerance: Option<u32>,
    json: bool,
    sources: &Sources,
) -> Result<CommandOutput, CommandError> {
    let (pricing, settings) = config::load_guard(sources)?;
    let (messages, not_sent) = read_messages(file, pricing)?;
    let mut rules = settings.rules(&GuardRules::default());
    rules.tolerance = tolerance.unwrap_or(rules.tolerance);
    let outcome = (!messages.is_empty()).then(|| replay(&messages, &rules, 1));
    let mut output = list(outcome.into_iter().collect(), json, "no messages", HEADINGS, cells);
    let times = messages.iter().map(|message| message.at);
    let hours =
        times.clone().max().map_or(0, |last| last.since(times.min().unwrap_or(last)).as_secs() / 3_600);
    output.err = format!(
        "messages: {} in {} days and {} hours; rows left out because nothing was sent: {not_sent}; tolerance: {}; client \
         addresses are not recorded\n",
        messages.len(),
        hours / 24,
        hours % 24,
        rules.tolerance
    );
    Ok(output)
}

const HEADINGS: [&str; 6] = ["SENT", "REFUSED", "COST", "SAVED", "VERIFIED-NUMBERS", "OF-THEM-REFUSED"];

fn cells(outcome: Outcome) -> [String; 6] {
    let Outcome { sent, refused, cost, saved, honest_users, honest_refused } = outcome;
    let share = u64::from(honest_refused) * 100_000 / u64::from(honest_users.max(1));
    [
        sent.to_string(),
        refused.to_string(),
        money(cost),
        money(saved),
        honest_users.to_string(),
        format!("{honest_refused} ({}.{:03} %)", share / 1_000, share % 1_000),
    ]
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
        replay_file(&file, None, true, &sources(environment, home.path()))
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
            ("saved", 0),
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
            (r#"{"prefix":1}"#, 1),
            (r#"{"prefix":1,"mode":"record"}"#, 3),
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
