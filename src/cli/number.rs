//! `onceward status`, `onceward unlock` and `onceward erase`: the state of one number, the end of its lockout, and its
//! erasure.

use reqwest::Method;
use serde_json::Value;

use super::answer::{CommandOutput, cell, counted, one, table, text};
use super::client::segment;
use super::context::Context;
use super::error::CommandError;

#[derive(Debug, clap::Args)]
pub struct NumberArgs {
    /// The number, such as +14155552671.
    number: String,

    /// In this service: its id (VA...), its name in config.json, its friendly name, or "default" [default: all services].
    #[arg(long, value_name = "NAME|VA..")]
    service: Option<String>,
}

impl NumberArgs {
    /// Asks about the number, at a path below its own.
    fn ask(self, cx: &Context, method: Method, below: &str) -> Result<Value, CommandError> {
        let path = format!("/local/Numbers/{}{below}", segment(&cx.e164(&self.number, "")?));
        Ok(cx.client()?.ask(method, &path, &[("Service", self.service)])?)
    }
}

pub fn unlock(args: NumberArgs, cx: &Context) -> Result<CommandOutput, CommandError> {
    let ended = args.ask(cx, Method::DELETE, "/Lockout")?;
    let is_unlocked = |of: &Value| of["unlocked"] == true;
    let words = |of: &Value| {
        let service =
            of["service"].as_str().map_or("any service".to_owned(), |name| format!("the service {name}"));
        let done = if is_unlocked(of) {
            "is unlocked; an outstanding code is void, let the person ask for a new one"
        } else {
            "is not locked and has no wrong codes; nothing was changed"
        };
        format!("{} in {service} {done}\n", text(of, "number"))
    };
    let code = u8::from(!ended.as_array().is_some_and(|all| all.iter().any(is_unlocked)));
    Ok(CommandOutput { code, ..each(&ended, cx.json, words) })
}

/// One item for each service.
fn each(items: &Value, json: bool, words: impl Fn(&Value) -> String) -> CommandOutput {
    let items = items.as_array().map(Vec::as_slice).unwrap_or_default();
    let all: Vec<String> = items.iter().map(|item| one(item, json, &words).out).collect();
    CommandOutput::of(all.join(if json { "" } else { "\n" }))
}

pub fn status(args: NumberArgs, cx: &Context) -> Result<CommandOutput, CommandError> {
    Ok(each(&args.ask(cx, Method::GET, "")?, cx.json, described))
}

const COLUMNS: &str = "time type gateway send_status verify_status receipt_status error_code message_id said";

fn described(answer: &Value) -> String {
    let number = text(answer, "number");
    let explain = format!("onceward guard explain {number}");
    let refusals = answer["refusals"].as_str();
    // The guard knows no lockouts.
    let why = if answer["locked_until"].is_null() { format!(" Why: {explain}") } else { String::new() };
    let refusals = refusals.map(|refusals| format!("refusals      {refusals}{why}\n"));
    if answer["known"] == false {
        let refusals = refusals.unwrap_or_else(|| format!("whether the guard refuses it: {explain}\n"));
        let service = answer["service"]
            .as_str()
            .map_or("every service".to_owned(), |name| format!("the service {name}"));
        return format!(
            "{number} is unknown in {service}: it has no verification, no lockout and no messages\n{refusals}"
        );
    }
    let verification = match &answer["verification"] {
        Value::Null => "none is known".to_owned(),
        known => begun(known),
    };
    let lockout = answer["locked_until"].as_str().map_or("none".to_owned(), |until| format!("until {until}"));
    let messages = match answer["messages"].as_array() {
        Some(messages) if !messages.is_empty() => format!("\n{}", table(messages, COLUMNS)),
        _ => "messages      none are known\n".to_owned(),
    };
    format!(
        "{number} in the service {} ({})\nverification  {verification}\nlockout       {lockout}, {} in a \
         row\n{}{messages}",
        text(answer, "service_name"),
        text(answer, "service_sid"),
        counted(&answer["wrong_codes_in_a_row"], "wrong code"),
        refusals.unwrap_or_default()
    )
}

fn begun(verification: &Value) -> String {
    let shown = |field| cell(&verification[field]);
    format!(
        "{} {}, begun {}, ends {}, {}, {}",
        shown("status"),
        shown("sid"),
        shown("begun"),
        shown("ends"),
        counted(&verification["sends"], "message"),
        counted(&verification["wrong_codes"], "wrong code")
    )
}

pub fn erase(args: NumberArgs, cx: &Context) -> Result<CommandOutput, CommandError> {
    let erased = args.ask(cx, Method::DELETE, "")?;
    Ok(one(&erased, cx.json, |answer: &Value| {
        let (number, until) = (text(answer, "number"), answer["locked_until"].as_str());
        let done = match (answer["erased"] == true, until) {
            (false, Some(_)) => format!("Nothing but its lockout was known of {number}.\n"),
            (false, None) => format!("Nothing was known of {number}.\n"),
            (true, _) if answer["services"] == 0 => {
                format!("{number} is erased. No service had records of it.\n")
            }
            (true, _) => format!("{number} is erased in {}.\n", counted(&answer["services"], "service")),
        };
        let lockout = until.map_or_else(String::new, |until| {
            format!("Its lockout stays until {until}, without any history.\n")
        });
        let files = if answer["erased"] == true {
            "Earlier records of it leave the disk with the next checkpoint, in a cluster with etcd's next compaction.\n"
        } else {
            ""
        };
        format!("{done}{lockout}{files}Log files and backups are yours to erase.\n")
    }))
}
