//! `onceward tracker`: what became of messages.
//!
//! Asks the server that runs on the data directory. Without a server the tracker reads the directory, as an export does.

use std::sync::Arc;

use super::answer::{ask_server, list, or_dash};
use super::args::TrackerArgs;
use super::source::each_record;
use super::{CommandError, CommandOutput};
use crate::app::control::{ControlError, ControlRequest, SendLine, TotalLine, TrackerRequest};
use crate::attempts::{AttemptLog, Listing};
use crate::config::StorageSettings;
use crate::domain::{AttemptLogKey, PhoneNumber};
use crate::registry::{Service, ServiceRecord, find_service};
use crate::shard::{self, Record};

pub fn tracker(args: TrackerArgs, settings: &StorageSettings) -> Result<CommandOutput, CommandError> {
    let TrackerArgs { mut request, json } = args;
    if let Some(number) = &mut request.number {
        *number = e164(number, "--number ", settings)?;
    }
    run(settings, &request, json)
}

pub fn e164(text: &str, argument: &str, settings: &StorageSettings) -> Result<String, CommandError> {
    PhoneNumber::parse(text, settings.default_region)
        .map(PhoneNumber::e164)
        .map_err(|error| CommandError::Usage(format!("{argument}{text}: {error}")))
}

fn run(
    settings: &StorageSettings,
    request: &TrackerRequest,
    json: bool,
) -> Result<CommandOutput, CommandError> {
    let (data_dir, asked) = (&settings.data_dir, ControlRequest::Tracker(request.clone()));
    if request.totals {
        let lines = match ask_server(data_dir, &asked)? {
            Some(lines) => lines,
            None => TotalLine::list(read_directory(settings, request)?.totals()),
        };
        let cells = |line: TotalLine| [line.by, line.value, line.messages.to_string()];
        return Ok(list(lines, json, "no sends found", ["BY", "VALUE", "MESSAGES"], cells));
    }
    let lines = match ask_server(data_dir, &asked)? {
        Some(lines) => lines,
        None => read_directory(settings, request)?.into_rows().iter().map(SendLine::from).collect(),
    };
    Ok(list(lines, json, "no sends found", HEADINGS, cells))
}

/// Every send on the disk, of a directory that no server uses.
fn read_directory(settings: &StorageSettings, request: &TrackerRequest) -> Result<Listing, CommandError> {
    let services = if request.service.is_some() { services(settings)? } else { Vec::new() };
    let find = |name: &str| find_service(services.iter(), name).map(|service| service.id);
    let mut listing = Listing::of(request.query(find).map_err(ControlError::Refused)?);
    each_of(settings, |id, log: AttemptLog| listing.add(AttemptLogKey::from_id(id), log))?;
    Ok(listing)
}

pub fn services(settings: &StorageSettings) -> Result<Vec<Arc<Service>>, CommandError> {
    let mut services = Vec::new();
    each_of(settings, |_, record| {
        if let ServiceRecord::Present(service) = record {
            services.push(Arc::from(service));
        }
    })?;
    Ok(services)
}

/// Passes every record of a kind to `visit`.
pub fn each_of<R: Record>(
    settings: &StorageSettings,
    mut visit: impl FnMut(shard::Id, R),
) -> Result<(), CommandError> {
    each_record(settings, &[R::KIND], |entry| {
        visit(entry.key.id, shard::decode::<R>(&entry.record)?);
        Ok(())
    })?;
    Ok(())
}

#[rustfmt::skip]
const HEADINGS: [&str; 12] = [
    "TIME", "TYPE", "TO", "GATEWAY", "PRIORITY", "SEND", "VERIFY", "RETRIES", "MAX-RETRIES", "RECEIPT", "ERROR", "MESSAGE-ID",
];

fn cells(line: SendLine) -> [String; HEADINGS.len()] {
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
        or_dash(line.message_id.as_deref().map(printable)),
    ]
}

/// A provider chose the id, and a terminal obeys control characters.
pub fn printable(id: &str) -> String {
    id.chars().map(|c| if c.is_ascii_graphic() { c } else { '?' }).collect()
}

#[cfg(test)]
mod tests;
