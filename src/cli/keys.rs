//! `onceward keys`: API keys, and the account's auth token. Through the server that runs on the data directory, or on
//! the directory itself when none does.

use clap::Args;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::source::{Progress, Source};
use super::{CommandError, CommandOutput, first, json_line, or_dash, read, refuse_root, table};
use crate::app::control::{ControlRequest, KeyLine, KeysRequest, RootLine, ask};
use crate::config::KeysSettings;
use crate::node::Offline;
use crate::registry;
use crate::store::{CopiedRecord, Write};

/// The text of `onceward keys --help` after the commands, in lines of at most 80 columns.
pub const MORE: &str = "\
A caller authenticates by HTTP Basic: the id of the key (SK...) is the user
name, the secret is the password. Twilio's client libraries accept both as an
API key.
The command shows the secret once. The server keeps only its hash. To replace a
key: create a second one, give it to the program, then revoke the first.
More: docs/operate/keys.md.

Examples:
  onceward keys create --service shop --name \"web shop\"
                            send and check codes of one service
  onceward keys create --scope admin --scope verify
                            change services too, for all services
  onceward keys list
  onceward keys revoke SK0123456789abcdef0123456789abcdef
  onceward keys root --new  a new auth token, if the old one is lost or known";

#[derive(Debug, Args)]
pub struct KeysArgs {
    #[command(subcommand)]
    request: KeysRequest,

    /// Print one JSON object a line.
    #[arg(long, global = true)]
    json: bool,
}

pub fn run(
    KeysArgs { request, json }: KeysArgs,
    settings: KeysSettings,
) -> Result<CommandOutput, CommandError> {
    let access = match request {
        // Only a first key may be made before the first start.
        KeysRequest::Create { .. } => Access::Create,
        KeysRequest::List { .. } => Access::Read,
        KeysRequest::Revoke { .. } | KeysRequest::NewRoot => Access::Change,
    };
    let own = request.clone();
    let lines = ask_or_open(settings, &ControlRequest::Keys(request.clone()), access, async |opened| {
        own.carry_out(&opened.registry, &opened.account).await
    })?;
    Ok(CommandOutput::of(match request {
        KeysRequest::NewRoot if json => as_json::<RootLine>(lines)?,
        _ if json => as_json::<KeyLine>(lines)?,
        KeysRequest::Create { .. } => created(&first(lines)?),
        KeysRequest::List { .. } => listed(read(lines)?),
        KeysRequest::Revoke { .. } => {
            let key: KeyLine = first(lines)?;
            let since = key.revoked.unwrap_or_default();
            if key.already_revoked {
                format!("{} was revoked before: it is refused since {since}\n", key.sid)
            } else {
                format!("{} is refused since {since}\n", key.sid)
            }
        }
        KeysRequest::NewRoot => {
            let RootLine { account_sid, auth_token, file } = first(lines)?;
            format!(
                "account sid: {account_sid}\nauth token:  {auth_token}\nBoth are in {}. The old token is refused.\n",
                file.display()
            )
        }
    }))
}

/// Asks the server that runs on the data directory. Without a server, `offline` carries the request out on the directory,
/// under its lock.
pub fn ask_or_open(
    settings: KeysSettings,
    request: &ControlRequest,
    access: Access,
    offline: impl AsyncFnOnce(&Offline) -> Result<Vec<Value>, String>,
) -> Result<Vec<Value>, CommandError> {
    let data_dir = settings.storage.data_dir.clone();
    match ask(&data_dir, request) {
        Ok(lines) => return Ok(lines),
        Err(error) if error.has_no_socket() => {}
        Err(error) => return Err(error.into()),
    }
    if access != Access::Read {
        refuse_root(&data_dir)?;
    }
    let has_data = std::fs::read_dir(&data_dir).is_ok_and(|mut files| files.next().is_some());
    if !has_data && access != Access::Create {
        return Err(CommandError::Failed(format!(
            "no server answers on {}, and it is no data directory: name the server's with --data-dir or --config",
            data_dir.display()
        )));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| CommandError::Failed(format!("the system gave no thread: {error}")))?;
    runtime.block_on(async {
        let opened = match access {
            Access::Read => read_registry(settings).await?,
            Access::Change | Access::Create => Offline::open(settings).await.map_err(|error| {
                if error.is_in_use() {
                    CommandError::NoSocket(data_dir.display().to_string())
                } else {
                    error.into()
                }
            })?,
        };
        let answer = offline(&opened).await.map_err(CommandError::Failed);
        let closed = opened.close().await;
        let lines = answer?;
        closed?;
        Ok(lines)
    })
}

/// What a command does with the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nothing in it changes.
    Read,
    Change,
    /// One that is not there is made.
    Create,
}

/// The records of the registry in a directory that no server uses.
async fn read_registry(settings: KeysSettings) -> Result<Offline, CommandError> {
    let mut source = Source::of_directory(&settings.storage, &mut Progress::of("reading", true))?;
    let failed =
        |error| CommandError::Failed(format!("read the records of keys and services: {error}; ask again"));
    let mut records = Vec::new();
    while let Some(CopiedRecord { key, expires, record }) = source.records.next_entry().map_err(failed)? {
        if registry::KINDS.contains(&key.kind) {
            records.push(Write { key, expires, put: Some(record) });
        }
    }
    Ok(Offline::of_copy(records, source.at, settings).await?)
}

/// One object a line, with its members in the order of their meaning.
pub fn as_json<T: DeserializeOwned + Serialize>(lines: Vec<Value>) -> Result<String, CommandError> {
    Ok(read::<T>(lines)?.iter().map(json_line).collect())
}

fn created(key: &KeyLine) -> String {
    let whose = match (&key.service_sid, &key.service_name) {
        (Some(sid), Some(name)) => format!("service {name} ({sid})"),
        (Some(sid), None) => sid.clone(),
        (None, _) => "all services".to_owned(),
    };
    format!(
        "id:     {}\nsecret: {}\nfor:    {whose}; {}\nKeep the secret now: it is not shown again.\n",
        key.sid,
        key.secret.as_deref().unwrap_or_default(),
        key.scopes.join(", ")
    )
}

const HEADINGS: [&str; 7] = ["ID", "SERVICE", "SCOPES", "CREATED", "LAST-USED", "REVOKED", "NAME"];

fn listed(keys: Vec<KeyLine>) -> String {
    if keys.is_empty() {
        return "no API keys; `onceward keys create` makes one\n".to_owned();
    }
    let cells = |key: KeyLine| {
        let service = key.service_sid.map(|sid| key.service_name.unwrap_or(sid));
        [
            key.sid,
            service.unwrap_or_else(|| "(all)".to_owned()),
            key.scopes.join(","),
            key.created,
            or_dash(key.last_used),
            or_dash(key.revoked),
            or_dash(key.name),
        ]
    };
    table(HEADINGS, keys.into_iter().map(cells))
}
