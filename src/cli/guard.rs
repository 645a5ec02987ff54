//! `onceward guard`: questions to the guard of the server, and its manual entries; and `replay`: what the guard's rules do
//! to recorded traffic, without a server and without data.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{list, one, table, text};
use super::args::{at_least_one, parse_time};
use super::client::{Client, segment};
use super::number::counted;
use super::{CommandError, CommandOutput};
use crate::config::{self, Pricing, Sources, StorageSettings};
use crate::delivery::SendStatus;
use crate::domain::{AttemptId, Channel, PhoneNumber, Timestamp};
use crate::guard::GuardRules;
use crate::guard::operator::{Item, LONGEST, SUBJECTS, exact, subject};
use crate::guard::replay::{Recorded, money, replay};

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
    /// Explain what the guard does with messages to a number, prefix or country, or from an address or network: allowances,
    /// manual entries and refusals.
    ///
    /// The server must run on the data directory. Shows the whole number. Without --service the ten services that refuse
    /// it or have the least left.
    Explain(SubjectArgs),

    /// Let messages to a number, prefix or country, or from an address or network, pass without allowances for a time. Of
    /// one number of a service it also ends the refusals.
    ///
    /// Budgets, country lists and number types still apply.
    Allow(EntryArgs),

    /// Refuse messages to a number, prefix or country, or from an address or network, for a time.
    Block(EntryArgs),

    /// Announce messages to a country, such as those of an advert: so many pass beyond its allowance.
    Expect(ExpectArgs),

    /// Remove a manual entry that `allow`, `block` or `expect` made.
    Remove(SubjectArgs),

    /// List budgets, allowances with less than half of their messages, manual entries, and what the guard refused or would
    /// have refused. Numbers are masked.
    List {
        /// Only those of this service: its id (VA...), its name in config.json, its friendly name, or "default".
        #[arg(long, value_name = "NAME|VA..")]
        service: Option<String>,

        /// Only refusals since this time: a while ago ("2h", "7d"), a day (2027-01-31, UTC), or a moment (RFC 3339)
        /// [default: a day ago].
        #[arg(long, value_name = "TIME", value_parser = parse_time)]
        since: Option<Timestamp>,

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
struct SubjectArgs {
    /// A number (+992900000123), a prefix ("+99290000****": a number without its last four digits), a country (TJ), a client
    /// address (192.0.2.7) or a network (192.0.2.0/24).
    #[arg(value_name = "NUMBER|PREFIX|COUNTRY|ADDRESS")]
    subject: String,

    /// Of this service: its id (VA...), its name in config.json, its friendly name, or "default" [default: all services].
    #[arg(long, value_name = "NAME|VA..")]
    service: Option<String>,
}

#[derive(Debug, Args)]
struct EntryArgs {
    #[command(flatten)]
    subject: SubjectArgs,

    /// How long, such as 30m, 12h or 7d.
    #[arg(long = "for", value_name = "TIME", value_parser = minutes, default_value = "12h")]
    minutes: u64,
}

#[derive(Debug, Args)]
struct ExpectArgs {
    /// The country (TJ).
    #[arg(value_name = "COUNTRY")]
    subject: String,

    /// The messages that are expected.
    #[arg(value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    messages: u32,

    /// To users of this service: its id (VA...), its name in config.json, its friendly name, or "default" [default: all
    /// services].
    #[arg(long, value_name = "NAME|VA..")]
    service: Option<String>,

    /// How long, such as 30m, 12h or 7d.
    #[arg(long = "for", value_name = "TIME", value_parser = minutes, default_value = "12h")]
    minutes: u64,
}

/// Rounded up.
fn minutes(text: &str) -> Result<u64, String> {
    let length = humantime::parse_duration(text).ok();
    let length = length.filter(|length| (Duration::from_secs(60)..=LONGEST).contains(length));
    length
        .map(|length| length.as_secs().div_ceil(60))
        .ok_or_else(|| "it must be a time from 1m to 365d, such as 12h".to_owned())
}

pub fn run(GuardArgs { request, json }: GuardArgs, sources: &Sources) -> Result<CommandOutput, CommandError> {
    let ask = || Ok::<_, CommandError>(Ask { json, settings: config::load_storage(sources)? });
    match request {
        GuardCommand::Explain(subject) => ask()?.explain(&subject),
        GuardCommand::Allow(EntryArgs { subject, minutes }) => ask()?.set(&subject, "allow", None, minutes),
        GuardCommand::Block(EntryArgs { subject, minutes }) => ask()?.set(&subject, "block", None, minutes),
        GuardCommand::Expect(ExpectArgs { subject, messages, service, minutes }) => {
            ask()?.set(&SubjectArgs { subject, service }, "expect", Some(messages), minutes)
        }
        GuardCommand::Remove(subject) => ask()?.remove(&subject),
        GuardCommand::List { service, since, limit } => ask()?.list(service, since, limit),
        GuardCommand::Replay { file, tolerance } => replay_file(&file, tolerance, json, sources),
    }
}

/// A question to the guard of the server.
struct Ask {
    json: bool,
    settings: StorageSettings,
}

const ALLOWANCES: [(&str, &str); 5] = [
    ("ALLOWANCE", "subject"),
    ("LEFT", "level"),
    ("FULL", "most"),
    ("USUAL", "usual"),
    ("NEXT-MESSAGE", "date_passes"),
];

const ITEMS: [(&str, &str); 6] = [
    ("TYPE", "type"),
    ("SUBJECT", "subject"),
    ("SERVICE", "service"),
    ("UNTIL", "until"),
    ("LAST", "last"),
    ("DETAILS", "details"),
];

impl Ask {
    fn explain(&self, asked: &SubjectArgs) -> Result<CommandOutput, CommandError> {
        let (client, subject, service) = self.begin(asked)?;
        let path = format!("/v2/Guard/Explanations/{}", segment(&subject));
        let answer = client.get(&path, &[("ServiceSid", service)])?;
        let services = answer["services"].as_array().map(Vec::as_slice).unwrap_or_default();
        if self.json {
            return Ok(list(&answer["services"], true, "", &[]));
        }
        let explained: Vec<_> = services.iter().map(|service| explained(&subject, service)).collect();
        Ok(CommandOutput::of(explained.join("\n")))
    }

    fn set(
        &self,
        asked: &SubjectArgs,
        action: &str,
        messages: Option<u32>,
        minutes: u64,
    ) -> Result<CommandOutput, CommandError> {
        let (client, subject, service) = self.begin(asked)?;
        let fields = [
            ("Subject", Some(subject)),
            ("Action", Some(action.to_owned())),
            ("Messages", messages.map(|messages| messages.to_string())),
            ("Minutes", Some(minutes.to_string())),
            ("ServiceSid", service),
        ];
        let entry = client.post("/v2/Guard/Entries", &fields)?;
        Ok(one(&entry, self.json, |entry| {
            let (subject, until, of) = (text(entry, "subject"), text(entry, "date_until"), asked.of());
            let replaced = entry["replaced"].as_str();
            let replaced = replaced.map(|action| format!("; this replaces its entry: {action}"));
            let replaced = replaced.unwrap_or_default();
            match action {
                "allow" => {
                    format!("messages {of} to or from {subject} need no allowance until {until}{replaced}\n")
                }
                "block" => {
                    format!("messages {of} to or from {subject} are refused until {until}{replaced}\n")
                }
                _ => {
                    let messages = &entry["messages"];
                    format!("{messages} messages {of} to {subject} are expected until {until}{replaced}\n")
                }
            }
        }))
    }

    fn remove(&self, asked: &SubjectArgs) -> Result<CommandOutput, CommandError> {
        let (client, subject, service) = self.begin(asked)?;
        let path = format!("/v2/Guard/Entries/{}", segment(&subject));
        let removed = match client.delete(&path, &[("ServiceSid", service)]) {
            Err(error) if error.is_not_found() => false,
            removed => removed.map(|_| true)?,
        };
        Ok(one(&json!({"subject": subject, "removed": removed}), self.json, |_| {
            if removed {
                format!("the manual entry {} for {subject} is removed\n", asked.of())
            } else {
                "there is no such manual entry, and nothing was changed; one of a service is named with --service\n"
                    .to_owned()
            }
        }))
    }

    fn list(
        &self,
        service: Option<String>,
        since: Option<Timestamp>,
        limit: usize,
    ) -> Result<CommandOutput, CommandError> {
        let fields = [
            ("Service", service),
            ("Since", since.map(|since| since.rfc3339_millis().to_string())),
            ("Limit", Some(limit.to_string())),
        ];
        let mut answer = Client::of(&self.settings.data_dir)?.get("/local/Guard", &fields)?;
        if !self.json {
            let items: Vec<Item> = serde_json::from_value(answer["items"].take())?;
            answer["items"] = items.iter().map(row).collect();
        }
        let none = "no budgets, no allowances below half, no manual entries and no refusals";
        Ok(list(&answer["items"], self.json, none, &ITEMS))
    }

    /// The server, the subject as it reads it, and the id of the service.
    fn begin(&self, asked: &SubjectArgs) -> Result<(Client, String, Option<String>), CommandError> {
        let SubjectArgs { subject: asked, service } = asked;
        let read = subject(asked, self.settings.default_region);
        let read =
            read.ok_or_else(|| CommandError::Usage(format!("{asked:?} is none of these: {SUBJECTS}")))?;
        let client = Client::of(&self.settings.data_dir)?;
        let service = client.service_sid(service.as_deref())?;
        Ok((client, exact(read), service))
    }
}

impl SubjectArgs {
    fn of(&self) -> String {
        let of = |service| format!("of the service {service}");
        self.service.as_ref().map_or_else(|| "of all services".to_owned(), of)
    }
}

fn explained(subject: &str, explanation: &Value) -> String {
    let all = |field: &str| explanation[field].as_array().cloned().unwrap_or_default();
    let mut lines = vec![
        format!("{subject} in the service {}", text(explanation, "service")),
        format!("messages: {}", if explanation["refused"] == true { "refused" } else { "pass" }),
    ];
    lines.extend(all("reasons").iter().filter_map(Value::as_str).map(str::to_owned));
    let mut allowances = all("allowances");
    for allowance in allowances.iter_mut().filter(|allowance| allowance["date_passes"].is_null()) {
        allowance["date_passes"] = json!("now");
    }
    let line = |decision: &Value| {
        let of = |field| text(decision, field);
        let messages = counted(&decision["messages"], "message");
        let (last, effect, subject, rule) = (of("date_last"), of("effect"), of("subject"), of("rule"));
        format!("{last}  {effect}: {messages} to or from {subject} by the rule {rule}\n")
    };
    let decided: String = all("decisions").iter().map(line).collect();
    let title = if decided.is_empty() { "" } else { "\nLast decisions, of an hour each:\n" };
    lines.join("\n") + "\n\n" + &table(&ALLOWANCES, &allowances) + title + &decided
}

fn row(item: &Item) -> Value {
    match item {
        Item::Budget(budget) => json!({
            "type": "budget", "subject": budget.name, "service": budget.service, "details": format!("{budget} spent"),
        }),
        Item::Allowance(allowance) => json!({
            "type": "allowance", "subject": allowance.subject, "service": allowance.service,
            "until": allowance.date_passes, "details": allowance.to_string(),
        }),
        Item::Entry(entry) => json!({
            "type": format!("entry: {}", entry.action), "subject": entry.subject, "service": entry.service,
            "until": entry.date_until, "details": entry.messages.map(|messages| counted(&json!(messages), "message")),
        }),
        Item::Decision(decision) => json!({
            "type": decision.effect, "subject": decision.subject, "service": decision.service,
            "last": decision.date_last,
            "details": format!("{} by the rule {}", counted(&json!(decision.messages), "message"), decision.rule),
        }),
    }
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
    time: String,
    #[serde(rename = "type")]
    channel: String,
    to: String,
    send_status: String,
    verified_at: Option<String>,
    attempt: String,
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
    let mut outcome = json!([]);
    if !messages.is_empty() {
        let replayed = replay(&messages, &rules, 1);
        let share = u64::from(replayed.honest_refused) * 100_000 / u64::from(replayed.honest_users.max(1));
        let share = format!("{} ({}.{:03} %)", replayed.honest_refused, share / 1_000, share % 1_000);
        let (cost, saved) = (money(replayed.cost), money(replayed.saved));
        let mut row = json!(replayed);
        if !json {
            (row["cost"], row["saved"], row["honest_refused"]) = (json!(cost), json!(saved), json!(share));
        }
        outcome = json!([row]);
    }
    let mut output = list(&outcome, json, "no messages", &OUTCOME);
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
        let row: SentLine = serde_json::from_str(&line).map_err(|error| wrong(error.to_string()))?;
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
