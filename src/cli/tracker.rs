//! `onceward tracker` and `onceward unlock`: what became of messages, and the end of a lockout.
//!
//! Both ask the server that runs on the data directory. Without a server the tracker reads the directory, as an export
//! does. A lockout cannot be ended then: only the server can change the counts of a number.

use super::args::TrackerArgs;
use super::source::{Progress, Source};
use super::{CommandError, CommandOutput, first, json_line, or_dash, read, table};
use crate::app::control::{ControlError, ControlRequest, SendLine, TrackerRequest, UnlockRequest, ask};
use crate::attempts::{AttemptLog, Listing};
use crate::config::StorageSettings;
use crate::domain::{AttemptLogKey, PhoneNumber};
use crate::shard::{self, Record};
use crate::verify::Cleared;

pub fn tracker(args: TrackerArgs, settings: &StorageSettings) -> Result<CommandOutput, CommandError> {
    let TrackerArgs { mut request, json } = args;
    if let Some(number) = &mut request.number {
        *number = e164(number, "--number ", settings)?;
    }
    list(settings, &request, json)
}

fn e164(text: &str, argument: &str, settings: &StorageSettings) -> Result<String, CommandError> {
    PhoneNumber::parse(text, settings.default_region)
        .map(PhoneNumber::e164)
        .map_err(|error| CommandError::Usage(format!("{argument}{text}: {error}")))
}

fn list(
    settings: &StorageSettings,
    request: &TrackerRequest,
    json: bool,
) -> Result<CommandOutput, CommandError> {
    let lines: Vec<SendLine> = match ask(&settings.data_dir, &ControlRequest::Tracker(request.clone())) {
        Ok(lines) => read(lines)?,
        Err(error) if error.has_no_socket() => read_directory(settings, request)?,
        Err(error) => return Err(error.into()),
    };
    Ok(CommandOutput::of(if json {
        lines.iter().map(json_line).collect()
    } else if lines.is_empty() {
        "no sends found\n".to_owned()
    } else {
        table(HEADINGS, lines.into_iter().map(cells))
    }))
}

/// Every send on the disk, of a directory that no server uses.
fn read_directory(
    settings: &StorageSettings,
    request: &TrackerRequest,
) -> Result<Vec<SendLine>, CommandError> {
    let mut listing = Listing::of(request.query().map_err(ControlError::Refused)?);
    let mut source = Source::of_directory(settings, &mut Progress::of("reading", true))?;
    let failed = |error| CommandError::Failed(format!("read the records of sends: {error}; ask again"));
    while let Some(entry) = source.records.next_entry().map_err(failed)? {
        if entry.key.kind == AttemptLog::KIND {
            let key = AttemptLogKey::from_id(entry.key.id);
            listing.add(key, &shard::decode::<AttemptLog>(&entry.record)?);
        }
    }
    Ok(listing.into_rows().iter().map(SendLine::from).collect())
}

#[rustfmt::skip]
const HEADINGS: [&str; 12] = [
    "TIME", "TYPE", "TO", "GATEWAY", "PRIORITY", "SEND", "VERIFY", "RETRIES", "MAX-RETRIES", "RECEIPT", "ERROR", "MESSAGE-ID",
];

fn cells(line: SendLine) -> [String; HEADINGS.len()] {
    // A provider chose the id, and a terminal obeys control characters.
    let printable = |id: String| id.chars().map(|c| if c.is_ascii_graphic() { c } else { '?' }).collect();
    [
        line.time,
        line.channel,
        line.to,
        line.gateway,
        line.priority.to_string(),
        line.send_status,
        line.verify_status,
        line.retry_count.to_string(),
        if line.max_retries_reached { "reached" } else { "-" }.to_owned(),
        or_dash(line.receipt_status),
        or_dash(line.error_code.map(|code| code.to_string())),
        or_dash(line.message_id.map(printable)),
    ]
}

pub fn unlock(request: UnlockRequest, settings: &StorageSettings) -> Result<CommandOutput, CommandError> {
    let number = e164(&request.number, "", settings)?;
    let service = request.service.clone();
    let request = UnlockRequest { number: number.clone(), ..request };
    let cleared = match ask(&settings.data_dir, &ControlRequest::Unlock(request)) {
        Ok(lines) => first(lines)?,
        Err(error @ ControlError::NoServer(_)) => {
            return Err(CommandError::Failed(format!(
                "{error}; start the server first: only it can change the counts of a number"
            )));
        }
        Err(error) => return Err(error.into()),
    };
    Ok(CommandOutput::of(match cleared {
        Cleared::Locked => {
            format!("{number} is unlocked in the service {service}; an outstanding code is void\n")
        }
        Cleared::NotLocked => format!(
            "{number} was not locked in the service {service}; its wrong codes are cleared, and an outstanding code is void\n"
        ),
        Cleared::Unknown => {
            format!(
                "{number} is unknown in the service {service}: it has no lockout, and nothing was changed\n"
            )
        }
    }))
}

#[cfg(test)]
mod tests;
