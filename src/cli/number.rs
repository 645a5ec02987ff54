//! `onceward status`, `onceward unlock` and `onceward erase`: the state of one number, the end of its lockout, and its
//! erasure.

use serde_json::Value;

use super::answer::{one, table, text};
use super::client::{Client, segment};
use super::tracker::e164;
use super::{CommandError, CommandOutput};
use crate::config::StorageSettings;

#[derive(Debug, clap::Args)]
pub struct NumberArgs {
    /// The number, such as +14155552671.
    number: String,

    /// In this service: its id (VA...), its name in config.json, its friendly name, or "default" [default: the service
    /// default; of erase: all services].
    #[arg(long, value_name = "NAME|VA..")]
    service: Option<String>,
}

pub fn unlock(
    args: NumberArgs,
    json: bool,
    settings: &StorageSettings,
) -> Result<CommandOutput, CommandError> {
    let path = format!("{}/Lockout", path(&args.number, settings)?);
    let answer = Client::of(&settings.data_dir)?.delete(&path, &[("Service", args.service)])?;
    Ok(one(&answer, json, |answer| {
        let (number, service) = (text(answer, "number"), text(answer, "service"));
        match text(answer, "was") {
            "locked" => {
                format!("{number} is unlocked in the service {service}; an outstanding code is void\n")
            }
            "not_locked" => format!(
                "{number} was not locked in the service {service}; what was counted of it is cleared, and an outstanding code is void\n"
            ),
            _ => format!(
                "{number} is unknown in the service {service}: it has no lockout, and nothing was changed\n"
            ),
        }
    }))
}

pub fn status(
    args: NumberArgs,
    json: bool,
    settings: &StorageSettings,
) -> Result<CommandOutput, CommandError> {
    let path = path(&args.number, settings)?;
    let answer = Client::of(&settings.data_dir)?.get(&path, &[("Service", args.service)])?;
    Ok(one(&answer, json, described))
}

fn path(number: &str, settings: &StorageSettings) -> Result<String, CommandError> {
    Ok(format!("/local/Numbers/{}", segment(&e164(number, "", settings)?)))
}

const COLUMNS: [(&str, &str); 8] = [
    ("TIME", "time"),
    ("TYPE", "type"),
    ("GATEWAY", "gateway"),
    ("SEND", "send_status"),
    ("VERIFY", "verify_status"),
    ("RECEIPT", "receipt_status"),
    ("ERROR", "error_code"),
    ("MESSAGE-ID", "message_id"),
];

fn described(status: &Value) -> String {
    let number = text(status, "number");
    let explain = format!("onceward guard explain {number}");
    let refusals = status["refusals"]
        .as_str()
        .map_or_else(String::new, |refusals| format!("refusals      {refusals} Why: {explain}\n"));
    if status["known"] == false {
        let (service, elsewhere) = (text(status, "service"), &status["services_with_messages"]);
        let elsewhere: Vec<_> =
            elsewhere.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let elsewhere = match elsewhere[..] {
            [] => String::new(),
            _ => format!("it has messages in {}: name the service with --service\n", elsewhere.join(", ")),
        };
        // A restart forgets refusals.
        let refusals =
            if refusals.is_empty() { format!("whether the guard refuses it: {explain}\n") } else { refusals };
        return format!(
            "{number} is unknown in the service {service}: it has no verification, no lockout and no messages\n{refusals}\
             {elsewhere}"
        );
    }
    let (name, sid) = (text(status, "service_name"), text(status, "service_sid"));
    let (verification, in_a_row) =
        (&status["verification"], counted(&status["wrong_codes_in_a_row"], "wrong code"));
    let verification = if verification.is_null() { "none is known".to_owned() } else { begun(verification) };
    let lockout = match &status["locked_until"] {
        Value::String(until) => format!("until {until}"),
        _ => "none".to_owned(),
    };
    let messages = match status["messages"].as_array() {
        Some(messages) if !messages.is_empty() => format!("\n{}", table(&COLUMNS, messages)),
        _ => "messages      none are known\n".to_owned(),
    };
    format!(
        "{number} in the service {name} ({sid})\nverification  {verification}\nlockout       {lockout}, {in_a_row} in a \
         row\n{refusals}{messages}"
    )
}

fn begun(verification: &Value) -> String {
    let mut parts = vec![
        format!("{} {}", text(verification, "status"), text(verification, "sid")),
        format!("begun {}", text(verification, "begun")),
    ];
    parts.extend(verification["ends"].as_str().map(|ends| format!("ends {ends}")));
    parts.push(counted(&verification["sends"], "message"));
    let wrong_codes = &verification["wrong_codes"];
    parts.extend((!wrong_codes.is_null()).then(|| counted(wrong_codes, "wrong code")));
    parts.join(", ")
}

/// A number of things: `1 message`, `2 messages`.
pub fn counted(count: &Value, what: &str) -> String {
    format!("{count} {what}{}", if *count == 1 { "" } else { "s" })
}

pub fn erase(
    args: NumberArgs,
    json: bool,
    settings: &StorageSettings,
    is_clustered: bool,
) -> Result<CommandOutput, CommandError> {
    let path = path(&args.number, settings)?;
    let answer = Client::of(&settings.data_dir)?.delete(&path, &[("Service", args.service)])?;
    Ok(one(&answer, json, |answer| {
        let (number, locked_until) = (text(answer, "number"), answer["locked_until"].as_str());
        let is_erased = answer["erased"] == true;
        let done = match &answer["services"] {
            _ if !is_erased && locked_until.is_some() => {
                format!("Nothing but its lockout was known of {number}.\n")
            }
            _ if !is_erased => format!("Nothing was known of {number}.\n"),
            services if *services == 0 => format!("{number} is erased. No service had records of it.\n"),
            services => format!("{number} is erased in {}.\n", counted(services, "service")),
        };
        let lockout = locked_until.map_or_else(String::new, |until| {
            format!("Its lockout stays until {until}, without any history.\n")
        });
        let files = if !is_erased {
            ""
        } else if is_clustered {
            "The members of etcd have earlier, encrypted records of it until the next compaction, and snapshots of etcd \
             until you delete them.\n"
        } else {
            "The data directory has earlier records of it until the next checkpoint: for 20 minutes at most, or until the \
             server stops.\n"
        };
        format!("{done}{lockout}{files}Log files and backups are yours to erase.\n")
    }))
}
