//! `onceward tracker`: which messages were sent, and what became of them.
//!
//! A server that runs on the data directory is asked; when none does, the directory is read here, as for an export.

use super::args::TrackerArgs;
use super::backup::progress::Progress;
use super::backup::source::{Source, SourceError};
use super::{Answer, EXIT_CONFIGURATION};
use crate::attempts::{AttemptLog, Listing};
use crate::config::StorageSettings;
use crate::control::{ControlError, Request, SendLine, TrackerRequest, ask};
use crate::domain::{AttemptLogKey, PhoneNumber};
use crate::shard::{self, Record, RecordError};

/// It is configured, but could not be done (`EX_SOFTWARE` of sysexits).
const EXIT_FAILED: u8 = 70;

/// What is asked, with the number read as the settings say.
pub(super) fn request(args: &TrackerArgs, settings: &StorageSettings) -> Result<TrackerRequest, Answer> {
    let parse = |text: &String| {
        PhoneNumber::parse(text, settings.default_region).map_err(|error| Answer {
            code: EXIT_CONFIGURATION,
            err: format!("error: --number {text}: {error}\n"),
            ..Answer::default()
        })
    };
    let number = args.number.as_ref().map(parse).transpose()?.map(PhoneNumber::e164);
    Ok(TrackerRequest { number, status: args.status.map(|status| status.to_string()), limit: args.limit })
}

/// Asks and prints.
pub(super) fn run(settings: &StorageSettings, request: &TrackerRequest, json: bool) -> Answer {
    match lines(settings, request) {
        Ok(lines) if json => Answer { out: as_json(&lines), ..Answer::default() },
        Ok(lines) => Answer { out: as_table(&lines), ..Answer::default() },
        Err(error) => Answer { code: EXIT_FAILED, err: format!("error: {error}\n"), ..Answer::default() },
    }
}

/// Why there is no list. Each says what to do.
#[derive(Debug, thiserror::Error)]
enum TrackerCommandError {
    #[error(transparent)]
    Control(#[from] ControlError),
    #[error("the server's answer cannot be read: {0}; is it of another version than this program?")]
    Line(#[from] serde_json::Error),
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error("read the records of sends: {0}; ask again")]
    Read(std::io::Error),
}

fn lines(settings: &StorageSettings, request: &TrackerRequest) -> Result<Vec<SendLine>, TrackerCommandError> {
    let mut answer = Vec::new();
    let question = Request::Tracker(request.clone());
    match ask(&settings.data_dir, &question, |line| answer.push(line)) {
        Ok(()) => Ok(answer.into_iter().map(serde_json::from_value).collect::<Result<_, _>>()?),
        Err(error) if error.has_no_socket() => read_directory(settings, request),
        Err(error) => Err(error.into()),
    }
}

/// Everything that is on the disk, of a directory that no server uses. Nothing in it changes, and no clock counts.
fn read_directory(
    settings: &StorageSettings,
    request: &TrackerRequest,
) -> Result<Vec<SendLine>, TrackerCommandError> {
    let mut listing = Listing::of(request.query().map_err(ControlError::Refused)?);
    let mut source = Source::of_directory(&settings.data_dir, &mut Progress::of("reading", true))?;
    while let Some(entry) = source.records.next_entry().map_err(TrackerCommandError::Read)? {
        if entry.key.kind == AttemptLog::KIND {
            let key = AttemptLogKey::from_id(entry.key.id);
            listing.add(key, &shard::decode::<AttemptLog>(&entry.record)?);
        }
    }
    Ok(listing.into_rows().iter().map(SendLine::from).collect())
}

fn as_json(lines: &[SendLine]) -> String {
    let mut out = String::new();
    for line in lines {
        // Texts and numbers always have a form in JSON.
        out.push_str(&serde_json::to_string(line).unwrap_or_default());
        out.push('\n');
    }
    out
}

const HEADINGS: [&str; 12] = [
    "TIME",
    "TYPE",
    "TO",
    "GATEWAY",
    "PRIORITY",
    "SEND",
    "VERIFY",
    "RETRIES",
    "MAX-RETRIES",
    "RECEIPT",
    "ERROR",
    "MESSAGE-ID",
];

fn as_table(lines: &[SendLine]) -> String {
    if lines.is_empty() {
        return "no sends found\n".to_owned();
    }
    let mut table = vec![HEADINGS.map(str::to_owned)];
    table.extend(lines.iter().map(cells));
    let width = |column: usize| table.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..HEADINGS.len()).map(width).collect();
    let mut out = String::new();
    for row in &table {
        let padded = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        out.push_str(padded.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
    }
    out
}

fn cells(line: &SendLine) -> [String; HEADINGS.len()] {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    // A provider chose the id, and a terminal obeys control characters.
    let printable = |id: &String| id.chars().map(|c| if c.is_ascii_graphic() { c } else { '?' }).collect();
    [
        line.time.clone(),
        line.channel.clone(),
        line.to.clone(),
        line.gateway.clone(),
        line.priority.to_string(),
        line.send_status.clone(),
        line.verify_status.clone(),
        line.retry_count.to_string(),
        if line.max_retries_reached { "reached" } else { "-" }.to_owned(),
        or_dash(line.receipt_status.clone()),
        or_dash(line.error_code.map(|code| code.to_string())),
        or_dash(line.message_id.as_ref().map(printable)),
    ]
}

#[cfg(test)]
mod tests;
