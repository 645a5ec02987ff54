//! `onceward status`, `onceward unlock` and `onceward erase`: the state of one number, the end of its lockout, and its
//! erasure.

use std::collections::BTreeSet;

use super::answer::{CommandOutput, cell, counted, one, table};
use super::client::{Client, ClientError, Fields, segment};
use super::context::Context;
use super::error::CommandError;
use crate::http::answers::{Erased, KnownNumber, NumberAnswer, Unlocked};
use crate::verification::verify::{Cleared, VerificationStatus};

#[derive(Debug, clap::Args)]
pub struct NumberArgs {
    /// The number, such as +14155552671.
    number: String,

    /// In this service: its id (VA...), its name in config.json, its friendly name, or "default" [default: the service
    /// default; of erase: all services].
    #[arg(long, value_name = "NAME|VA..")]
    service: Option<String>,
}

impl NumberArgs {
    /// Asks about the number, at a path below its own.
    fn ask<T>(
        self,
        cx: &Context,
        ask: impl FnOnce(&Client, &str, &Fields<'_>) -> Result<T, ClientError>,
    ) -> Result<T, CommandError> {
        let path = format!("/local/Numbers/{}", segment(&cx.e164(&self.number, "")?));
        Ok(ask(&cx.client()?, &path, &[("Service", self.service)])?)
    }
}

pub fn unlock(args: NumberArgs, cx: &Context) -> Result<CommandOutput, CommandError> {
    let unlocked = args.ask(cx, |client, path, fields| client.delete(&format!("{path}/Lockout"), fields))?;
    Ok(one(&unlocked, cx.json, |Unlocked { number, service, was, services_with_messages }| match was {
        Cleared::Locked => {
            format!("{number} is unlocked in the service {service}; an outstanding code is void\n")
        }
        Cleared::NotLocked => format!(
            "{number} was not locked in the service {service}; what was counted of it is cleared, and an outstanding code is void\n"
        ),
        Cleared::Unknown => format!(
            "{number} is unknown in the service {service}: it has no lockout, and nothing was changed\n{}",
            elsewhere(services_with_messages)
        ),
    }))
}

pub fn status(args: NumberArgs, cx: &Context) -> Result<CommandOutput, CommandError> {
    Ok(one(&args.ask(cx, Client::get)?, cx.json, described))
}

const COLUMNS: &str = "time type gateway send_status verify_status receipt_status error_code message_id";

fn described(answer: &NumberAnswer) -> String {
    let explain = |number: &str| format!("onceward guard explain {number}");
    let refused = |refusals: &Option<String>, number: &str| {
        refusals.as_ref().map(|refusals| format!("refusals      {refusals} Why: {}\n", explain(number)))
    };
    match answer {
        NumberAnswer::Unknown { number, service, refusals, services_with_messages, .. } => {
            let elsewhere = elsewhere(services_with_messages);
            // A restart forgets refusals.
            let refusals = refused(refusals, number)
                .unwrap_or_else(|| format!("whether the guard refuses it: {}\n", explain(number)));
            format!(
                "{number} is unknown in the service {service}: it has no verification, no lockout and no messages\n\
                 {refusals}{elsewhere}"
            )
        }
        NumberAnswer::Known(known) => {
            let KnownNumber { number, service_sid, service_name, wrong_codes_in_a_row, messages, .. } =
                &**known;
            let verification = known.verification.as_ref().map_or("none is known".to_owned(), begun);
            let lockout =
                known.locked_until.map_or("none".to_owned(), |until| format!("until {}", cell(until)));
            let in_a_row = counted(*wrong_codes_in_a_row as usize, "wrong code");
            let refusals = refused(&known.refusals, number).unwrap_or_default();
            let messages = if messages.is_empty() {
                "messages      none are known\n".to_owned()
            } else {
                format!("\n{}", table(messages, COLUMNS))
            };
            format!(
                "{number} in the service {service_name} ({service_sid})\nverification  {verification}\nlockout       \
                 {lockout}, {in_a_row} in a row\n{refusals}{messages}"
            )
        }
    }
}

/// Where the number is known, if not in this service.
fn elsewhere(services_with_messages: &BTreeSet<String>) -> String {
    let names: Vec<_> = services_with_messages.iter().map(String::as_str).collect();
    if names.is_empty() {
        return String::new();
    }
    format!("it has messages in {}: name the service with --service\n", names.join(", "))
}

fn begun(verification: &VerificationStatus) -> String {
    let VerificationStatus { sid, status, begun, ends, sends, wrong_codes } = verification;
    let mut parts = vec![format!("{} {sid}", cell(status)), format!("begun {}", cell(begun))];
    parts.extend(ends.map(|ends| format!("ends {}", cell(ends))));
    parts.push(counted(usize::from(*sends), "message"));
    parts.extend(wrong_codes.map(|wrong| counted(usize::from(wrong), "wrong code")));
    parts.join(", ")
}

pub fn erase(args: NumberArgs, cx: &Context) -> Result<CommandOutput, CommandError> {
    let erased = args.ask(cx, Client::delete)?;
    Ok(one(&erased, cx.json, |Erased { number, erased, services, locked_until }| {
        let done = match services {
            _ if !erased && locked_until.is_some() => {
                format!("Nothing but its lockout was known of {number}.\n")
            }
            _ if !erased => format!("Nothing was known of {number}.\n"),
            0 => format!("{number} is erased. No service had records of it.\n"),
            services => format!("{number} is erased in {}.\n", counted(*services, "service")),
        };
        let lockout = locked_until.map_or_else(String::new, |until| {
            format!("Its lockout stays until {}, without any history.\n", cell(until))
        });
        let files = if *erased {
            "Earlier records of it leave the disk with the next checkpoint, in a cluster with etcd's next compaction.\n"
        } else {
            ""
        };
        format!("{done}{lockout}{files}Log files and backups are yours to erase.\n")
    }))
}
