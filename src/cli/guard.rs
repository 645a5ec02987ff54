//! `onceward guard`: questions to the guard of the server, and its manual entries; and `replay`: what the guard's rules do
//! to recorded traffic, without a server and without data.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{list, one, table, text};
use super::args::at_least_one;
use super::client::{Client, segment};
use super::{CommandError, CommandOutput};
use crate::config::{self, Prices, Sources};
use crate::delivery::SendStatus;
use crate::domain::{AttemptId, Channel, PhoneNumber, Timestamp};
use crate::guard::GuardRules;
use crate::guard::operator::{MOST_MESSAGES, MOST_MINUTES, SUBJECTS, exact, subject};
use crate::guard::replay::{Recorded, money, replay};

#[derive(Debug, Subcommand)]
pub enum GuardCommand {
    /// Explain what the guard does with messages to a number, prefix or country, or from an address or network: allowances,
    /// manual entries and refusals.
    ///
    /// The server must run on the data directory. Shows the whole number. Without --service the ten services that refuse
    /// it or have the least left, and how many more there are.
    Explain(SubjectArgs),

    /// Let messages to a number, prefix or country, or from an address or network, pass without allowances for a time. Of
    /// one number it also ends the refusals.
    ///
    /// Budgets, country lists and number types still apply.
    Allow(EntryArgs),

    /// Refuse messages to a number, prefix or country, or from an address or network, for a time.
    Block(EntryArgs),

    /// Announce messages to a country, such as those of an advert: so many pass beyond its allowance.
    ///
    /// SUBJECT is a country, such as DE.
    Expect {
        #[command(flatten)]
        entry: EntryArgs,

        /// The messages that are expected.
        #[arg(value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_MESSAGES)))]
        messages: u32,
    },

    /// Remove a manual entry that `allow`, `block` or `expect` created.
    #[command(alias = "unblock")]
    Remove(SubjectArgs),

    /// List budgets, allowances with less than half of their messages, manual entries, and what the guard refused or would
    /// have refused in this hour and the one before. Numbers are masked.
    List {
        /// Only those of this service: its id (VA...), its name in config.json, its friendly name, or "default".
        #[arg(long, value_name = "NAME|VA..")]
        service: Option<String>,

        /// At most this many of each.
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = at_least_one)]
        limit: usize,
    },

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

#[derive(Debug, Args)]
pub struct SubjectArgs {
    /// A number (+992900000123), a prefix ("+99290000****": a number without its last four digits), a country (TJ), a client
    /// address (192.0.2.7) or a network (192.0.2.0/24).
    #[arg(value_name = "SUBJECT")]
    subject: String,

    /// Of this service: its id (VA...), its name in config.json, its friendly name, or "default" [default: all services].
    #[arg(long, value_name = "NAME|VA..")]
    service: Option<String>,
}

#[derive(Debug, Args)]
pub struct EntryArgs {
    #[command(flatten)]
    of: SubjectArgs,

    /// How long, such as 30m, 12h or 7d.
    #[arg(long = "for", value_name = "TIME", value_parser = minutes, default_value = "12h")]
    minutes: u64,
}

/// Rounded up.
fn minutes(text: &str) -> Result<u64, String> {
    let minutes = humantime::parse_duration(text).map_or(0, |length| length.as_secs().div_ceil(60));
    let is_accepted = (1..=u64::from(MOST_MINUTES)).contains(&minutes);
    if is_accepted { Ok(minutes) } else { Err("it must be a time from 1m to 365d, such as 12h".to_owned()) }
}

const ALLOWANCES: [(&str, &str); 5] = [
    ("ALLOWANCE", "subject"),
    ("LEFT", "messages"),
    ("FULL", "most"),
    ("USUAL", "usual"),
    ("NEXT-MESSAGE", "date_until"),
];

const ITEMS: [(&str, &str); 5] = [
    ("TYPE", "type"),
    ("SUBJECT", "subject"),
    ("SERVICE", "service"),
    ("UNTIL", "date_until"),
    ("DETAILS", "details"),
];

pub fn run(command: GuardCommand, json: bool, sources: &Sources) -> Result<CommandOutput, CommandError> {
    Ok(match command {
        GuardCommand::Allow(entry) => set(entry, "allow", None, json, sources)?,
        GuardCommand::Block(entry) => set(entry, "block", None, json, sources)?,
        GuardCommand::Expect { entry, messages } => set(entry, "expect", Some(messages), json, sources)?,
        GuardCommand::Replay { file, tolerance } => replay_file(&file, tolerance, json, sources)?,
        GuardCommand::Explain(of) => {
            let (client, subject, service) = begin(of, sources)?;
            let path = format!("/v2/Guard/Explanations/{}", segment(&subject));
            let mut answer = client.get(&path, &[("ServiceSid", service)])?;
            let services = answer["services"].take();
            let err = match answer["services_left_out"].as_u64() {
                None | Some(0) => String::new(),
                Some(1) => "1 more service is left out; name one with --service\n".to_owned(),
                Some(more) => format!("{more} more services are left out; name one with --service\n"),
            };
            if json {
                return Ok(CommandOutput { err, ..list(&services, true, "", &[]) });
            }
            let explained =
                services.as_array().into_iter().flatten().map(|service| explained(&subject, service));
            CommandOutput { err, ..CommandOutput::of(explained.collect::<Vec<_>>().join("\n")) }
        }
        GuardCommand::Remove(of) => {
            let (client, subject, service) = begin(of, sources)?;
            let path = format!("/v2/Guard/Entries/{}", segment(&subject));
            let removed = match client.delete(&path, &[("ServiceSid", service)]) {
                Err(error) if error.is_not_found() => false,
                removed => removed.map(|_| true)?,
            };
            one(&json!({"subject": subject, "removed": removed}), json, |_| {
                let done = if removed {
                    "is removed"
                } else {
                    "does not exist, and nothing was changed; one of a service is named with --service"
                };
                format!("the manual entry for {subject} {done}\n")
            })
        }
        GuardCommand::List { service, limit } => {
            let client = Client::of(&config::load_storage(sources)?.data_dir)?;
            let fields = [("Service", service), ("Limit", Some(limit.to_string()))];
            let mut items = client.get("/local/Guard", &fields)?["items"].take();
            for item in items.as_array_mut().into_iter().flatten().filter(|_| !json) {
                if let Some(action) = item["action"].as_str() {
                    item["type"] = format!("entry: {action}").into();
                }
            }
            list(
                &items,
                json,
                "no budgets, no allowances below half, no manual entries and no refusals",
                &ITEMS,
            )
        }
    })
}

/// The server, the subject as it reads it, and the id of the service.
fn begin(of: SubjectArgs, sources: &Sources) -> Result<(Client, String, Option<String>), CommandError> {
    let (settings, SubjectArgs { subject: asked, service }) = (config::load_storage(sources)?, of);
    let read = subject(&asked, settings.default_region);
    let read = read.ok_or_else(|| CommandError::Usage(format!("{asked:?} is none of these: {SUBJECTS}")))?;
    let client = Client::of(&settings.data_dir)?;
    let service = client.service_sid(service.as_deref())?;
    Ok((client, exact(read), service))
}

fn set(
    EntryArgs { of, minutes }: EntryArgs,
    action: &str,
    messages: Option<u32>,
    json: bool,
    sources: &Sources,
) -> Result<CommandOutput, CommandError> {
    let (client, subject, service) = begin(of, sources)?;
    let fields = [
        ("Subject", Some(subject)),
        ("Action", Some(action.to_owned())),
        ("Messages", messages.map(|messages| messages.to_string())),
        ("Minutes", Some(minutes.to_string())),
        ("ServiceSid", service),
    ];
    Ok(one(&client.post("/v2/Guard/Entries", &fields)?, json, |entry| {
        let [subject, service, details, until] =
            ["subject", "service", "details", "date_until"].map(|field| text(entry, field));
        format!("{subject}, service {service}: {details} until {until}\n")
    }))
}

fn explained(subject: &str, explanation: &Value) -> String {
    let all = |field: &str| explanation[field].as_array().cloned().unwrap_or_default();
    let mut lines = vec![
        format!("{subject} in the service {}", text(explanation, "service")),
        format!(
            "messages: {}",
            if explanation["refused"] == true { "refused by the guard" } else { "pass the guard" }
        ),
    ];
    if let Some(client) = explanation["client"].as_str() {
        lines.push(format!("assumed client: {client}"));
    }
    lines.extend(all("reasons").iter().filter_map(Value::as_str).map(str::to_owned));
    let mut allowances = all("allowances");
    for allowance in allowances.iter_mut().filter(|allowance| allowance["date_until"].is_null()) {
        allowance["date_until"] = json!("now");
    }
    lines.join("\n")
        + "\n\n"
        + &table(&ALLOWANCES, &allowances)
        + "NEXT-MESSAGE is for a client address that has verified nothing.\n"
}

const OUTCOME: [(&str, &str); 6] = [
    ("SENT", "sent"),
    ("REFUSED", "refused"),
    ("COST", "cost"),
    ("SAVED", "saved"),
    ("VERIFIED-NUMBERS", "honest_users"),
    ("OF-THEM-REFUSED", "honest_refused"),
];

/// What a replay reads of a line.
#[derive(Deserialize)]
struct SentLine {
    time: Timestamp,
    #[serde(rename = "type")]
    channel: Channel,
    to: PhoneNumber,
    send_status: String,
    verified_at: Option<Timestamp>,
    attempt: String,
}

fn replay_file(
    file: &Path,
    tolerance: Option<u32>,
    json: bool,
    sources: &Sources,
) -> Result<CommandOutput, CommandError> {
    let (pricing, settings) = config::load_guard(sources)?;
    let (messages, not_sent) = read_messages(file, &pricing.prices.unwrap_or_default())?;
    let mut rules = settings.rules(&GuardRules::default());
    rules.tolerance = tolerance.unwrap_or(rules.tolerance);
    let replayed = replay(&messages, &rules, 1);
    let mut row = json!(replayed);
    if !json {
        let refused = replayed.honest_refused;
        let share = u64::from(refused) * 100_000 / u64::from(replayed.honest_users.max(1));
        (row["cost"], row["saved"]) = (money(replayed.cost).into(), money(replayed.saved).into());
        row["honest_refused"] = format!("{refused} ({}.{:03} %)", share / 1_000, share % 1_000).into();
    }
    let rows = if messages.is_empty() { json!([]) } else { json!([row]) };
    let times = || messages.iter().map(|message| message.at);
    let (first, last) = (times().min().unwrap_or_default(), times().max().unwrap_or_default());
    let hours = last.since(first).as_secs() / 3_600;
    Ok(CommandOutput {
        err: format!(
            "messages: {} in {} days and {} hours; rows left out because nothing was sent: {not_sent}; tolerance: {}; \
             client addresses are not recorded\n",
            messages.len(),
            hours / 24,
            hours % 24,
            rules.tolerance
        ),
        ..list(&rows, json, "no messages", &OUTCOME)
    })
}

/// The sent messages of a file, and the number of its other rows.
fn read_messages(path: &Path, prices: &Prices) -> Result<(Vec<Recorded>, usize), CommandError> {
    let unreadable = |source| CommandError::File { action: "read", path: path.to_owned(), source };
    let input: Box<dyn BufRead> = if path == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(BufReader::new(File::open(path).map_err(unreadable)?))
    };
    let (mut messages, mut not_sent) = (Vec::new(), 0);
    for (line, place) in input.lines().zip(1..) {
        let wrong = |why: String| {
            let path = path.display();
            CommandError::Damaged(format!(
                "line {place} of {path} is no line of `onceward tracker --json`: {why}"
            ))
        };
        let line = line.map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => wrong(error.to_string()),
            _ => unreadable(error),
        })?;
        let SentLine { time: at, channel, to: number, send_status, verified_at, attempt } =
            serde_json::from_str(&line).map_err(|error| wrong(error.to_string()))?;
        if send_status != SendStatus::Sent.as_str() {
            not_sent += 1;
            continue;
        }
        let attempt = AttemptId::parse(&attempt).ok_or_else(|| wrong("attempt is wrong".to_owned()))?;
        let (service, price) = (attempt.key.service, prices.of(number.region(), channel));
        messages.push(Recorded { at, service, number, channel, price, verified_at });
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
            (&LINE.replace("+49", "49"), "number"),
            (&LINE.replace("2026-03-01T10:00:20.000Z", "soon"), "column"),
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
