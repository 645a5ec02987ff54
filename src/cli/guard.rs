//! `onceward guard`: questions to the guard of the server, and its manual entries.

use std::net::IpAddr;

use clap::{Args, Subcommand};
use hyper::{Method, StatusCode};
use serde_json::json;

use super::answer::{CommandOutput, cell, list, one, table};
use super::client::{Client, segment};
use super::context::{Context, at_least_one};
use super::error::CommandError;
use crate::limits::guard::EntryAction;
use crate::limits::guard::operator::{Explanation, Item, MOST_MINUTES, SUBJECTS, exact, subject};

#[derive(Debug, Subcommand)]
pub enum GuardCommand {
    /// Show what the guard has of a number, prefix, country or client's network, which rule refuses a message, and when the
    /// next one passes.
    ///
    /// The server must run on the data directory. Shows the whole number. Without --service it is about the service that
    /// refused the number last, else "default"; without --client about the client that was refused, else about networks with
    /// verified numbers and about new ones.
    Explain {
        #[command(flatten)]
        of: SubjectArgs,

        /// For a client with this address.
        #[arg(long, value_name = "ADDRESS")]
        client: Option<IpAddr>,
    },

    /// Let messages to a number, prefix or country, or from a network, pass without allowances for a time.
    ///
    /// Allow the country of an advert for the time that it runs. Budgets, country lists and number types still apply.
    Allow(EntryArgs),

    /// Refuse messages to a number, prefix or country, or from a network, for a time.
    Block(EntryArgs),

    /// Send messages only to numbers that were verified here in the last 30 days, for a time. RiskCheck=disable does not lift
    /// it, the safe list does.
    KnownOnly(KnownOnlyArgs),

    /// Remove a manual entry that `allow` or `block` created.
    #[command(alias = "unblock")]
    Remove(SubjectArgs),

    /// List budgets, allowances with less than half of their messages, and manual entries.
    List {
        /// Only those of this service: its id (VA...), its name in config.json, its friendly name, or "default".
        #[arg(long, value_name = "NAME|VA..")]
        service: Option<String>,

        /// At most this many of each.
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = at_least_one)]
        limit: usize,
    },
}

#[derive(Debug, Args)]
pub struct SubjectArgs {
    /// A number (+992900000123), a prefix ("+99290000****": a number without its last four digits), a country (TJ) or a
    /// client's network (192.0.2.0/24, or one of its addresses).
    #[arg(value_name = "SUBJECT")]
    subject: String,

    /// Of this service: its id (VA...), its name in config.json, its friendly name, or "default" [default: all services].
    #[arg(long, value_name = "NAME|VA..")]
    service: Option<String>,
}

#[derive(Debug, Args)]
pub struct KnownOnlyArgs {
    #[arg(value_name = "on|off", value_parser = ["on", "off"])]
    state: String,

    /// Of this service: its id (VA...), its name in config.json, its friendly name, or "default" [default: all services].
    #[arg(long, value_name = "NAME|VA..")]
    service: Option<String>,

    /// How long, such as 30m, 12h or 7d.
    #[arg(long = "for", value_name = "TIME", value_parser = minutes, default_value = "2h")]
    minutes: u64,
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

const ALLOWANCES: &str = "subject action messages most usual date_until";

const ITEMS: &str = "type subject service action date_until details";

pub fn run(command: GuardCommand, cx: &Context) -> Result<CommandOutput, CommandError> {
    Ok(match command {
        GuardCommand::Allow(entry) => set(entry, EntryAction::Allow, cx)?,
        GuardCommand::Block(entry) => set(entry, EntryAction::Block, cx)?,
        GuardCommand::Explain { of, client } => explain(of, client, cx)?,
        GuardCommand::KnownOnly(KnownOnlyArgs { state, service, minutes }) => {
            let of = SubjectArgs { subject: "all".to_owned(), service };
            if state == "off" {
                remove(of, cx)?
            } else {
                set(EntryArgs { of, minutes }, EntryAction::KnownOnly, cx)?
            }
        }
        GuardCommand::Remove(of) => remove(of, cx)?,
        GuardCommand::List { service, limit } => {
            let fields = [("Service", service), ("Limit", Some(limit.to_string()))];
            let items: Vec<Item> = cx.client()?.get("/local/Guard", &fields)?;
            let none = "no budgets, no allowances below half and no manual entries";
            list(&items, cx.json, none, ITEMS)
        }
    })
}

/// The server, the subject as it reads it, and the id of the service.
fn begin(of: SubjectArgs, cx: &Context) -> Result<(Client, String, Option<String>), CommandError> {
    let SubjectArgs { subject: asked, service } = of;
    let read = subject(&asked, cx.storage()?.default_region);
    let read = read.ok_or_else(|| CommandError::Usage(format!("{asked:?} is none of these: {SUBJECTS}")))?;
    let client = cx.client()?;
    let service = client.service_sid(service.as_deref())?;
    Ok((client, exact(read), service))
}

fn set(
    EntryArgs { of, minutes }: EntryArgs,
    action: EntryAction,
    cx: &Context,
) -> Result<CommandOutput, CommandError> {
    let (client, subject, service) = begin(of, cx)?;
    let fields = [
        ("Subject", Some(subject)),
        ("Action", Some(action.to_string())),
        ("Minutes", Some(minutes.to_string())),
        ("ServiceSid", service),
    ];
    let entry: Item = client.post("/v2/Guard/Entries", &fields)?;
    Ok(one(&entry, cx.json, |Item { subject, service, details, date_until, .. }| {
        format!("{subject}, service {service}: {details} until {}\n", cell(date_until))
    }))
}

fn remove(of: SubjectArgs, cx: &Context) -> Result<CommandOutput, CommandError> {
    let (client, subject, service) = begin(of, cx)?;
    let path = format!("/v2/Guard/Entries/{}", segment(&subject));
    let removed = match client.ask::<()>(Method::DELETE, &path, &[("ServiceSid", service)]) {
        Err(error) if error.is(StatusCode::NOT_FOUND) => false,
        removed => removed.map(|()| true)?,
    };
    let done = if removed {
        "is removed"
    } else {
        "does not exist, and nothing was changed; one of a service is named with --service"
    };
    let answer = json!({"subject": subject, "removed": removed});
    Ok(one(&answer, cx.json, |_| format!("the manual entry for {subject} {done}\n")))
}

fn explain(of: SubjectArgs, of_client: Option<IpAddr>, cx: &Context) -> Result<CommandOutput, CommandError> {
    let (client, subject, service) = begin(of, cx)?;
    let path = format!("/v2/Guard/Explanations/{}", segment(&subject));
    let address = of_client.map(|address| address.to_string());
    let answer: Explanation = client.get(&path, &[("ServiceSid", service), ("DeviceIp", address)])?;
    Ok(one(&answer, cx.json, explained))
}

fn explained(explanation: &Explanation) -> String {
    let Explanation { subject, service, mode, known, client, allowances, .. } = explanation;
    let does = explanation.verdict();
    let client = client.as_ref().map(|client| format!("client:   {client}\n")).unwrap_or_default();
    let known = if *known { "\nverified in the last 30 days" } else { "" };
    let allowances = table(allowances, ALLOWANCES);
    format!(
        "{subject} in the service {service}\n{client}messages: {does}\nmode:     {mode}{known}\n\n{allowances}"
    )
}
