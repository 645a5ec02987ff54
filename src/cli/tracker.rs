//! `onceward tracker`: which messages were sent, and what became of them.
//!
//! A server that runs on the data directory is asked; when none does, the store is read here.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::args::TrackerArgs;
use super::{Answer, EXIT_CONFIGURATION};
use crate::app::{KeyError, load_or_create};
use crate::clock::{Clock, SystemClock};
use crate::config::{StorageSettings, TrackerSettings};
use crate::control::{ControlError, Request, SendLine, TrackerRequest, ask};
use crate::delivery::tracker::{Tracker, TrackerError};
use crate::domain::PhoneNumber;
use crate::engine::key_fingerprint;
use crate::store::{EmbeddedStore, OpenError, OpenOptions, Store, StoreError};

/// It is configured, but could not be done (`EX_SOFTWARE` of sysexits).
const EXIT_FAILED: u8 = 70;

/// Everything that is on the disk is listed, and nothing of it is removed: how long it is kept is
/// for the server to decide, whose settings these need not be.
const KEEP_ALL: TrackerSettings = TrackerSettings { keep_for: Duration::MAX, keep_at_most: usize::MAX };

/// Nothing is written here but the store's own closing mark.
const TIMEOUT: Duration = Duration::from_secs(5);

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
    #[error("there is no data in {0} yet; name the server's data directory with --data-dir or --config")]
    NoData(String),
    #[error(
        "the data in {0} belongs to another user; run this as that user, for what it writes has to stay theirs"
    )]
    OtherUser(String),
    #[error(
        "a server uses the data directory {0} but does not answer on its control socket: it is starting or stopping, \
         or its log says why it has none"
    )]
    NoSocket(String),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Open(OpenError),
    #[error(transparent)]
    Tracker(#[from] TrackerError),
    #[error("read the records of sends: {0}")]
    Store(#[from] StoreError),
    #[error("the system gave no threads to run on: {0}")]
    Runtime(std::io::Error),
}

fn lines(settings: &StorageSettings, request: &TrackerRequest) -> Result<Vec<SendLine>, TrackerCommandError> {
    let mut answer = Vec::new();
    let question = Request::Tracker(request.clone());
    match ask(&settings.data_dir, &question, |line| answer.push(line)) {
        Ok(()) => Ok(answer.into_iter().map(serde_json::from_value).collect::<Result<_, _>>()?),
        // Without a socket the server may still run: then the store says that it is in use.
        Err(ControlError::NobodyListens(_) | ControlError::PathTooLong(_)) => read_store(settings, request),
        Err(error) => Err(error.into()),
    }
}

fn read_store(
    settings: &StorageSettings,
    request: &TrackerRequest,
) -> Result<Vec<SendLine>, TrackerCommandError> {
    check_directory(&settings.data_dir)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(TrackerCommandError::Runtime)?;
    runtime.block_on(async {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
        let key = load_or_create(&settings.data_dir, settings.server_key_file.as_deref())?;
        let options = OpenOptions::new(&settings.data_dir, key_fingerprint(&key), Arc::clone(&clock));
        let store = EmbeddedStore::open(options).map_err(|error| match error {
            OpenError::InUse { directory } => TrackerCommandError::NoSocket(directory.display().to_string()),
            error => TrackerCommandError::Open(error),
        })?;
        let store: Arc<dyn Store> = Arc::new(store);
        let listed = list(&store, clock, request).await;
        // Whatever came of the list, the next start is to be a quick one.
        let closed = store.close().await;
        let lines = listed?;
        closed?;
        Ok(lines)
    })
}

async fn list(
    store: &Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    request: &TrackerRequest,
) -> Result<Vec<SendLine>, TrackerCommandError> {
    let query = request.query().map_err(ControlError::Refused)?;
    let tracker = Tracker::open(Arc::clone(store), clock, KEEP_ALL, TIMEOUT).await?;
    let rows = tracker.list(&query).await?;
    tracker.close().await?;
    Ok(rows.iter().map(SendLine::from).collect())
}

/// Looking must not make a data directory, nor leave files in it that its server may not open.
fn check_directory(data_dir: &Path) -> Result<(), TrackerCommandError> {
    let shown =
        || std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_owned()).display().to_string();
    let format = std::fs::metadata(data_dir.join("FORMAT"));
    let owner = match format {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(TrackerCommandError::NoData(shown()));
        }
        // The store says what is the matter.
        Err(_) => return Ok(()),
        Ok(found) => found.uid(),
    };
    if owner == rustix::process::geteuid().as_raw() {
        Ok(())
    } else {
        Err(TrackerCommandError::OtherUser(shown()))
    }
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
