//! `onceward audit` and `onceward erase`: who changed what; and the erasure of a number.

use super::answer::{ask_running, ask_server, list, only, or_dash};
use super::args::{AuditArgs, EraseArgs};
use super::tracker::{e164, each_of, printable, services};
use super::{CommandError, CommandOutput, json_line};
use crate::app::control::{AuditLine, AuditRequest, ControlError, ControlRequest, EraseRequest, ErasedLine};
use crate::audit::AuditEntry;
use crate::config::StorageSettings;
use crate::registry::find_service;

pub fn audit(args: AuditArgs, settings: &StorageSettings) -> Result<CommandOutput, CommandError> {
    let AuditArgs { request, json } = args;
    let lines = match ask_server(&settings.data_dir, &ControlRequest::Audit(request.clone()))? {
        Some(lines) => lines,
        None => read_directory(settings, &request)?,
    };
    Ok(list(lines, json, "no changes found", HEADINGS, cells))
}

/// The entries of a directory that no server uses.
fn read_directory(
    settings: &StorageSettings,
    request: &AuditRequest,
) -> Result<Vec<AuditLine>, CommandError> {
    let services = if request.service.is_some() { services(settings)? } else { Vec::new() };
    let find = |name: &str| find_service(services.iter(), name).map(|service| service.sid);
    let query = request.query(find).map_err(ControlError::Refused)?;
    let mut entries = Vec::new();
    each_of(settings, |_, entry: AuditEntry| {
        if query.fits(&entry) {
            entries.push(entry);
        }
    })?;
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.at));
    Ok(entries.iter().take(query.limit).map(AuditLine::from).collect())
}

const HEADINGS: [&str; 6] = ["TIME", "ACTION", "BY", "SERVICE", "RESOURCE", "REQUEST"];

fn cells(line: AuditLine) -> [String; HEADINGS.len()] {
    let id = line.actor_sid.or_else(|| line.actor_uid.map(|uid| uid.to_string()));
    let name = line.actor_name.map(|name| format!("({name})"));
    let by = [Some(line.actor), id, name].into_iter().flatten().collect::<Vec<_>>().join(" ");
    [
        line.time,
        line.action,
        by,
        or_dash(line.service_sid),
        or_dash(line.number.or(line.resource_sid)),
        or_dash(line.request_id.as_deref().map(printable)),
    ]
}

pub fn erase(
    args: &EraseArgs,
    settings: &StorageSettings,
    is_clustered: bool,
) -> Result<CommandOutput, CommandError> {
    let number = e164(&args.request.number, "", settings)?;
    let request = ControlRequest::Erase(EraseRequest { number, service: args.request.service.clone() });
    let lines = ask_running(&settings.data_dir, &request, "only it can erase a number")?;
    let erased: ErasedLine = only(lines)?;
    if args.json {
        return Ok(CommandOutput::of(json_line(&erased)));
    }
    let ErasedLine { number, erased, services, locked_until } = &erased;
    let done = match (erased, services) {
        (false, _) if locked_until.is_some() => format!("Nothing but its lockout was known of {number}.\n"),
        (false, _) => format!("Nothing was known of {number}.\n"),
        (true, 0) => format!("{number} is erased. No service had records of it.\n"),
        (true, 1) => format!("{number} is erased in 1 service.\n"),
        (true, more) => format!("{number} is erased in {more} services.\n"),
    };
    let lockout = locked_until.map_or_else(String::new, |until| {
        format!("Its lockout stays until {}, without any history.\n", until.rfc3339_seconds())
    });
    let files = if !*erased {
        ""
    } else if is_clustered {
        "The members of etcd have earlier, encrypted records of it until the next compaction, and snapshots of etcd until \
         you delete them.\n"
    } else {
        "The data directory has earlier records of it until the next checkpoint: for 20 minutes at most, or until the \
         server stops.\n"
    };
    Ok(CommandOutput::of(format!("{done}{lockout}{files}Log files and backups are yours to erase.\n")))
}
