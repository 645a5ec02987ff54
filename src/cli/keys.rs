//! `onceward keys`: API keys, and the account's auth token. Through the server that runs on the data directory, or on
//! the directory itself when none does.

use std::path::Path;

use clap::{Arg, ArgAction, Subcommand};
use serde_json::{Value, json};

use super::answer::{CommandOutput, cell, list, one, text};
use super::client::{Client, ClientError};
use super::context::{Context, refuse_root, runtime};
use super::error::CommandError;
use super::export::Source;
use crate::config::{Settings, StorageSettings};
use crate::http::tls::absolute;
use crate::http::{KeyCommand, Keys};
use crate::node::Offline;
use crate::registry::audit::Actor;
use crate::registry::{Credential, Scope};
use crate::shard::{Record as _, decode};

/// The text of `onceward keys --help` after the commands, in lines of at most 80 columns.
pub const MORE: &str = include_str!("keys_help.txt");

#[derive(Debug, Clone, Subcommand)]
pub enum KeysCommand {
    /// Create a key, and show its secret once.
    Create {
        /// For this service only: its id (VA...), its name in config.json, its friendly name, or "default". Without it,
        /// for all services.
        #[arg(long, value_name = "NAME|VA..")]
        service: Option<String>,

        /// Permissions of the key: verify (send and check codes), admin (change services), metrics (read metrics), messages (send codes of another system).
        /// May be given several times.
        #[arg(long = "scope", value_name = "SCOPE", default_values_t = ["verify".to_owned()], value_delimiter = ',', value_parser = Scope::ALL.map(Scope::as_str))]
        scopes: Vec<String>,

        /// A name for the key, such as the program that will use it.
        #[arg(long, value_name = "TEXT")]
        name: Option<String>,
    },

    /// List keys, the newest first, without their secrets.
    List {
        /// Only the keys of this service.
        #[arg(long, value_name = "NAME|VA..")]
        service: Option<String>,
    },

    /// Revoke a key: from now on the server refuses it.
    Revoke {
        /// The id of the key.
        #[arg(value_name = "SK..")]
        sid: String,
    },

    /// Create a new auth token for the account, show it, and write it to account.env in the data directory. The server
    /// refuses the old one from then on.
    #[command(name = "root", arg(Arg::new("new").long("new").required(true).action(ArgAction::SetTrue).help("Confirm that you want a new one")))]
    NewRoot,
}

const COLUMNS: &str = "sid service_name service_sid scopes created last_used name";

pub fn run(request: KeysCommand, cx: &Context) -> Result<CommandOutput, CommandError> {
    let settings = cx.settings()?;
    Ok(match request {
        KeysCommand::List { service } => {
            let keys = answer(settings, KeyCommand::List { service })?;
            let keys = keys.as_array().map(Vec::as_slice).unwrap_or_default();
            list(keys, cx.json, "no API keys; `onceward keys create` creates one", COLUMNS)
        }
        KeysCommand::Create { service, scopes, name } => {
            let data_dir = settings.storage.data_dir.clone();
            let is_new = !data_dir.exists();
            let key = answer(settings, KeyCommand::Create { service, scopes, name })?;
            let made = format!(
                "created the data directory {} for this key; a server with another data directory does not know the key\n",
                absolute(&data_dir).display()
            );
            let err = if is_new { made } else { String::new() };
            CommandOutput { err, ..one(&key, cx.json, created) }
        }
        KeysCommand::Revoke { sid } => {
            let key = answer(settings, KeyCommand::Revoke { sid })?;
            let refused = |key: &Value| format!("{} is refused from now on\n", text(key, "sid"));
            one(&key, cx.json, refused)
        }
        KeysCommand::NewRoot => {
            let token = answer(settings, KeyCommand::ReplaceToken)?;
            one(&token, cx.json, replaced)
        }
    })
}

/// Whether there is an API key. `false` also if this user cannot know it.
pub fn is_there_one(storage: &StorageSettings) -> bool {
    match ask(&storage.data_dir, &KeyCommand::List { service: None }) {
        Ok(keys) => keys.as_array().is_some_and(|keys| !keys.is_empty()),
        Err(error) if error.has_no_socket() => is_one_on_disk(storage).unwrap_or_default(),
        Err(_) => false,
    }
}

fn is_one_on_disk(storage: &StorageSettings) -> Result<bool, CommandError> {
    let mut found = false;
    Source::open(storage)?.each(&mut |entry| {
        if entry.key.kind == Credential::KIND {
            found |= decode::<Credential>(&entry.record)?.into_key().is_some();
        }
        Ok(())
    })?;
    Ok(found)
}

/// The answer of the server. Without one, the command is carried out on the directory, under its lock.
fn answer(settings: Settings, command: KeyCommand) -> Result<Value, CommandError> {
    let data_dir = settings.storage.data_dir.clone();
    match ask(&data_dir, &command) {
        Err(error) if error.has_no_socket() => {}
        answered => return Ok(answered?),
    }
    let shown = absolute(&data_dir).display().to_string();
    if settings.cluster.is_some() {
        return Err(CommandError::Failed(format!(
            "no server on {} owns the records of the cluster; run the command on the node that does: /owner of each \
             node names it",
            data_dir.display()
        )));
    }
    refuse_root(&data_dir)?;
    let has_data = std::fs::read_dir(&data_dir).is_ok_and(|mut files| files.next().is_some());
    if !has_data && !matches!(command, KeyCommand::Create { .. }) {
        return Err(CommandError::Failed(format!(
            "no server answers on {shown}, and it is no data directory: name the server's with --data-dir or --config"
        )));
    }
    runtime()?.block_on(async {
        let opened = match Offline::open(settings).await {
            Err(error) if error.is_in_use() => return Err(CommandError::NoSocket(shown)),
            opened => opened?,
        };
        let user = Actor::user(rustix::process::geteuid().as_raw());
        let registry = opened.registry.on_behalf_of(opened.registry.author(user, None));
        let answer = Keys { registry, account: &opened.account }.answer(command).await;
        let closed = opened.close().await;
        let answer = answer.map_err(CommandError::Failed)?;
        closed.map_err(|error| CommandError::Failed(format!("close the store: {error}")))?;
        Ok(answer)
    })
}

fn ask(data_dir: &Path, command: &KeyCommand) -> Result<Value, ClientError> {
    Client::of(data_dir)?.post("/local/Keys", &[("Command", Some(json!(command).to_string()))])
}

fn replaced(made: &Value) -> String {
    let [sid, token, file] = ["account_sid", "auth_token", "file"].map(|field| text(made, field));
    format!("account sid: {sid}\nauth token:  {token}\nBoth are in {file}. The old token is refused.\n")
}

fn created(key: &Value) -> String {
    let whose = match (key["service_sid"].as_str(), key["service_name"].as_str()) {
        (Some(sid), Some(name)) => format!("service {name} ({sid})"),
        (Some(sid), None) => sid.to_owned(),
        (None, _) => "all services".to_owned(),
    };
    let closes = if key["closes_routes"] == true {
        "From now on /api/*, /send-code and /verify-code need a key, also when this one is revoked.\n"
    } else {
        ""
    };
    format!(
        "id:     {}\nsecret: {}\nfor:    {whose}; {}\nKeep the secret now: it is not shown again.\n{closes}",
        text(key, "sid"),
        text(key, "secret"),
        cell(&key["scopes"]).replace(',', ", ")
    )
}
