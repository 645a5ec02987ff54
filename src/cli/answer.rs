//! How commands get an answer, from the server or from its directory, and print it.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::source::each_record;
use super::{CommandError, CommandOutput, json_line, refuse_root};
use crate::app::control::{ControlRequest, ask};
use crate::config::KeysSettings;
use crate::node::Offline;
use crate::registry;
use crate::store::{CopiedRecord, Write};

/// The server's answer; `None` if no server runs on the data directory.
pub fn ask_server<T: DeserializeOwned>(
    data_dir: &Path,
    request: &ControlRequest,
) -> Result<Option<Vec<T>>, CommandError> {
    match ask(data_dir, request) {
        Ok(lines) => read(lines).map(Some),
        Err(error) if error.has_no_socket() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The server's answer. Without a server, an error that says `why` it is needed.
pub fn ask_running<T: DeserializeOwned>(
    data_dir: &Path,
    request: &ControlRequest,
    why: &str,
) -> Result<Vec<T>, CommandError> {
    ask_server(data_dir, request)?.ok_or_else(|| {
        let data_dir = absolute(data_dir);
        CommandError::Failed(format!(
            "no server answers on {}; start the server first: {why}",
            data_dir.display()
        ))
    })
}

fn absolute(data_dir: &Path) -> PathBuf {
    std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_owned())
}

/// The server's answer. Without a server, `offline` carries the request out on the directory, under its lock.
pub fn ask_or_open<T: DeserializeOwned>(
    settings: KeysSettings,
    request: &ControlRequest,
    access: Access,
    offline: impl AsyncFnOnce(&Offline) -> Result<Vec<serde_json::Value>, String>,
) -> Result<Vec<T>, CommandError> {
    let data_dir = settings.storage.data_dir.clone();
    if let Some(lines) = ask_server(&data_dir, request)? {
        return Ok(lines);
    }
    if settings.is_clustered {
        return Err(CommandError::Failed(format!(
            "no server on {} owns the records of the cluster; run the command on the node that does: /readyz of the \
             others names it",
            data_dir.display()
        )));
    }
    if access != Access::Read {
        refuse_root(&data_dir)?;
    }
    let has_data = std::fs::read_dir(&data_dir).is_ok_and(|mut files| files.next().is_some());
    if !has_data && access != Access::Create {
        return Err(CommandError::Failed(format!(
            "no server answers on {}, and it is no data directory: name the server's with --data-dir or --config",
            absolute(&data_dir).display()
        )));
    }
    runtime()?.block_on(async {
        let opened = match access {
            Access::Read => read_registry(settings).await?,
            Access::Change | Access::Create => Offline::open(settings).await.map_err(|error| {
                if error.is_in_use() {
                    CommandError::NoSocket(absolute(&data_dir).display().to_string())
                } else {
                    error.into()
                }
            })?,
        };
        let answer = offline(&opened).await.map_err(CommandError::Failed);
        let closed = opened.close().await;
        let lines = answer?;
        closed?;
        read(lines)
    })
}

/// How a command uses the data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Changes nothing.
    Read,
    Change,
    /// Creates the directory if it does not exist.
    Create,
}

/// The records of the registry in a directory that no server uses.
async fn read_registry(settings: KeysSettings) -> Result<Offline, CommandError> {
    let mut records = Vec::new();
    let at = each_record(&settings.storage, &registry::KINDS, |CopiedRecord { key, expires, record }| {
        records.push(Write { key, expires, put: Some(record) });
        Ok(())
    })?;
    Ok(Offline::of_copy(records, at, settings).await?)
}

/// A runtime for one command.
pub fn runtime() -> Result<tokio::runtime::Runtime, CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| CommandError::Failed(format!("the system gave no thread: {error}")))
}

fn read<T: DeserializeOwned>(lines: Vec<serde_json::Value>) -> Result<Vec<T>, CommandError> {
    Ok(lines.into_iter().map(serde_json::from_value).collect::<Result<_, _>>()?)
}

/// The line of an answer that has one.
pub fn only<T>(lines: Vec<T>) -> Result<T, CommandError> {
    lines.into_iter().next().ok_or_else(|| {
        CommandError::Failed(
            "the server's answer is empty; compare its version with this program's (onceward doctor)"
                .to_owned(),
        )
    })
}

/// A line in words for a person, or as JSON.
pub fn one<T: Serialize>(line: &T, json: bool, words: impl FnOnce(&T) -> String) -> CommandOutput {
    CommandOutput::of(if json { json_line(line) } else { words(line) })
}

/// Lines as a table for a person, with `none` in place of an empty one, or each as JSON.
pub fn list<T: Serialize, const N: usize>(
    lines: Vec<T>,
    json: bool,
    none: &str,
    headings: [&str; N],
    cells: impl FnMut(T) -> [String; N],
) -> CommandOutput {
    CommandOutput::of(if json {
        lines.iter().map(json_line).collect()
    } else if lines.is_empty() {
        format!("{none}\n")
    } else {
        table(headings, lines.into_iter().map(cells))
    })
}

/// Adds the sid to a friendly name that several services of a list have. Takes the sid and the name of each line.
pub fn tell_services_apart(mut lines: Vec<(&str, &mut String)>) {
    let mut named = HashMap::<String, HashSet<&str>>::new();
    for (sid, name) in &lines {
        named.entry((**name).clone()).or_default().insert(sid);
    }
    for (sid, name) in &mut lines {
        if named.get(*name).is_some_and(|sids| sids.len() > 1) {
            **name = format!("{name} ({sid})");
        }
    }
}

/// A table with columns as wide as their longest cell.
pub fn table<const N: usize>(headings: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let mut table = vec![headings.map(str::to_owned)];
    table.extend(rows);
    let width = |column: usize| table.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut out = String::new();
    for row in &table {
        let padded: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        out.extend([padded.join("  ").trim_end(), "\n"]);
    }
    out
}

pub fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_owned())
}
