//! `onceward keys`: API keys, and the account's auth token. Through the server that runs on the data directory, or on the
//! directory itself when none does.

use clap::{Args, Subcommand};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Answer, CommandError, json_line, or_dash, read, table};
use crate::app::control::{KeyLine, KeysRequest, Request, RootLine, ask};
use crate::config::KeysSettings;
use crate::node::Offline;

/// What `onceward keys --help` says after the commands.
pub const MORE: &str = "\
A caller shows a key by HTTP Basic authentication: the id (SK...) is the user name, the secret the password. Twilio's
client libraries take both in the place of an API key. The secret is shown once, when the key is made; only its hash is
kept. To change a key: make a second one, give it to the program, revoke the first. docs/operate/keys.md says more.

Examples:
  onceward keys create --service shop --name \"web shop\"   to send and check codes of one service
  onceward keys create --scope admin --scope verify       to change services too, of all of them
  onceward keys list
  onceward keys revoke SK0123456789abcdef0123456789abcdef
  onceward keys root --new                                a new auth token, when the old one is lost";

/// Which of them.
#[derive(Debug, Args)]
pub struct KeysArgs {
    #[command(subcommand)]
    what: KeysCommand,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// Make a key, and show its secret, once.
    Create {
        /// For this service only: its id (VA...), its name in config.json, its friendly name, or "default". Without it, for
        /// all services.
        #[arg(long, value_name = "NAME|VA..")]
        service: Option<String>,

        /// What for: verify (send and check codes), admin (change services). May be given several times.
        #[arg(long, value_name = "SCOPE", default_values_t = ["verify".to_owned()], value_delimiter = ',', value_parser = ["verify", "admin"])]
        scope: Vec<String>,

        /// What you call it, such as the program that will have it.
        #[arg(long, value_name = "TEXT")]
        name: Option<String>,

        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },

    /// List keys, the newest first, without their secrets.
    List {
        /// Only those for this service.
        #[arg(long, value_name = "NAME|VA..")]
        service: Option<String>,

        /// Print one JSON object a line.
        #[arg(long)]
        json: bool,
    },

    /// Refuse a key from now on.
    Revoke {
        /// Its id.
        #[arg(value_name = "SK..")]
        sid: String,

        /// Print the key as one JSON object.
        #[arg(long)]
        json: bool,
    },

    /// Make a new auth token for the account, and show it, once. The old one is refused from then on.
    Root {
        /// Yes, a new one.
        #[arg(long, required = true)]
        new: bool,

        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
}

pub fn run(args: KeysArgs, settings: KeysSettings) -> Result<Answer, CommandError> {
    let (request, json) = match args.what {
        KeysCommand::Create { service, scope, name, json } => {
            (KeysRequest::Create { service, scopes: scope, name }, json)
        }
        KeysCommand::List { service, json } => (KeysRequest::List { service }, json),
        KeysCommand::Revoke { sid, json } => (KeysRequest::Revoke { sid }, json),
        KeysCommand::Root { new: _, json } => (KeysRequest::NewRoot, json),
    };
    let lines = match ask(&settings.storage.data_dir, &Request::Keys(request.clone())) {
        Ok(lines) => lines,
        Err(error) if error.has_no_socket() => offline(settings, request.clone())?,
        Err(error) => return Err(error.into()),
    };
    Ok(Answer::of(match request {
        KeysRequest::NewRoot if json => as_json::<RootLine>(lines)?,
        _ if json => as_json::<KeyLine>(lines)?,
        KeysRequest::Create { .. } => created(&first(lines)?),
        KeysRequest::List { .. } => listed(read(lines)?),
        KeysRequest::Revoke { .. } => {
            let key: KeyLine = first(lines)?;
            format!("{} is refused since {}\n", key.sid, key.revoked.unwrap_or_default())
        }
        KeysRequest::NewRoot => {
            let RootLine { account_sid, auth_token } = first(lines)?;
            format!(
                "account sid: {account_sid}\nauth token:  {auth_token}\n\
                 Keep the token now: it is not shown again, and the old one is refused.\n"
            )
        }
    }))
}

/// Carries the request out on a directory that no server uses, under its lock.
fn offline(settings: KeysSettings, request: KeysRequest) -> Result<Vec<Value>, CommandError> {
    let data_dir = settings.storage.data_dir.clone();
    // Only a first key may be made before the first start.
    let has_data = std::fs::read_dir(&data_dir).is_ok_and(|mut files| files.next().is_some());
    if !has_data && !matches!(request, KeysRequest::Create { .. }) {
        return Err(CommandError::Failed(format!(
            "no server answers on {}, and it is no data directory: name the server's with --data-dir or --config",
            data_dir.display()
        )));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| CommandError::Failed(format!("the system gave no thread: {error}")))?;
    runtime.block_on(async {
        let offline = Offline::open(settings).await.map_err(|error| {
            if error.is_in_use() {
                CommandError::NoSocket(data_dir.display().to_string())
            } else {
                error.into()
            }
        })?;
        let answer = request.carry_out(&offline.registry).await.map_err(CommandError::Failed);
        offline.close().await?;
        answer
    })
}

fn first<T: DeserializeOwned>(lines: Vec<Value>) -> Result<T, CommandError> {
    Ok(serde_json::from_value(lines.into_iter().next().unwrap_or_default())?)
}

/// One object a line, with its members in the order of their meaning.
fn as_json<T: DeserializeOwned + Serialize>(lines: Vec<Value>) -> Result<String, CommandError> {
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
