//! `onceward keys`: API keys, and the account's auth token. Through the server that runs on the data directory, or on the
//! directory itself when none does.

use std::fmt::Write as _;

use clap::{Args, Subcommand};

use super::{Answer, EXIT_CONFIGURATION};
use crate::config::KeysSettings;
use crate::control::{ControlError, KeyLine, KeysRequest, Request, RootLine, ask};
use crate::node::{Offline, StartError};

/// It could not be done (`EX_SOFTWARE` of sysexits).
const EXIT_FAILED: u8 = 70;

/// What `onceward keys --help` says after the commands.
pub(super) const MORE: &str = "\
A caller shows a key by HTTP Basic authentication: the id (SK...) is the user name, the secret the password. Twilio's
client libraries take both in the place of an API key. The secret is shown once, when the key is made; only its hash is
kept. To change a key: make a second one, give it to the program, revoke the first. docs/keys.md says more.

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

impl KeysArgs {
    /// What to ask, and whether the answer is for a program.
    pub(super) fn request(self) -> (KeysRequest, bool) {
        match self.what {
            KeysCommand::Create { service, scope, name, json } => {
                (KeysRequest::Create { service, scopes: scope, name }, json)
            }
            KeysCommand::List { service, json } => (KeysRequest::List { service }, json),
            KeysCommand::Revoke { sid, json } => (KeysRequest::Revoke { sid }, json),
            KeysCommand::Root { new: _, json } => (KeysRequest::NewRoot, json),
        }
    }
}

/// Why there is no answer. Each says what to do.
#[derive(Debug, thiserror::Error)]
enum KeysError {
    #[error(transparent)]
    Control(#[from] ControlError),
    #[error(
        "a server uses the data directory but does not answer on its control socket: it is starting or stopping, or its \
         log says why it has none; try again, or stop it first"
    )]
    NoSocket,
    #[error(
        "no server answers on {}, and it is no data directory: name the server's with --data-dir or --config",
        .0.display()
    )]
    NoDirectory(std::path::PathBuf),
    #[error("{0}")]
    Directory(#[from] StartError),
    #[error("close the store: {0}")]
    Close(#[from] crate::store::StoreError),
    #[error("{0}")]
    Refused(String),
    #[error("the server's answer cannot be read: {0}; is it of another version than this program?")]
    Line(#[from] serde_json::Error),
}

/// Asks and prints.
pub(super) fn run(settings: KeysSettings, request: &KeysRequest, json: bool) -> Answer {
    let answered = lines(settings, request).and_then(|lines| match (json, request) {
        (true, KeysRequest::NewRoot) => as_json::<RootLine>(lines),
        (true, _) => as_json::<KeyLine>(lines),
        (false, KeysRequest::NewRoot) => root(lines),
        (false, KeysRequest::Create { .. }) => created(lines),
        (false, KeysRequest::Revoke { .. }) => revoked(lines),
        (false, KeysRequest::List { .. }) => listed(lines),
    });
    match answered {
        Ok(out) => Answer { out, ..Answer::default() },
        Err(error) => {
            let about_settings =
                matches!(&error, KeysError::Directory(error) if error.is_about_the_configuration());
            let code = if about_settings { EXIT_CONFIGURATION } else { EXIT_FAILED };
            Answer { code, err: format!("error: {error}\n"), ..Answer::default() }
        }
    }
}

fn lines(settings: KeysSettings, request: &KeysRequest) -> Result<Vec<serde_json::Value>, KeysError> {
    let mut answer = Vec::new();
    let question = Request::Keys(request.clone());
    match ask(&settings.storage.data_dir, &question, |line| answer.push(line)) {
        Ok(()) => Ok(answer),
        Err(error) if error.has_no_socket() => alone(settings, request.clone()),
        Err(error) => Err(error.into()),
    }
}

/// On a directory that no server uses. Takes its lock meanwhile.
fn alone(settings: KeysSettings, request: KeysRequest) -> Result<Vec<serde_json::Value>, KeysError> {
    // A first key may be made before the first start; all else would be about nothing.
    let is_there =
        std::fs::read_dir(&settings.storage.data_dir).is_ok_and(|mut files| files.next().is_some());
    if !is_there && !matches!(request, KeysRequest::Create { .. }) {
        return Err(KeysError::NoDirectory(settings.storage.data_dir));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| KeysError::Refused(format!("the system gave no thread: {error}")))?;
    runtime.block_on(async {
        let opened = Offline::open(settings).await;
        let offline =
            opened.map_err(|error| if error.is_in_use() { KeysError::NoSocket } else { error.into() })?;
        let answer = request.carry_out(&offline.registry).await.map_err(KeysError::Refused);
        offline.close().await?;
        answer
    })
}

/// One object a line, with its members in the order of their meaning.
fn as_json<T: serde::de::DeserializeOwned + serde::Serialize>(
    lines: Vec<serde_json::Value>,
) -> Result<String, KeysError> {
    let mut out = String::new();
    for line in lines {
        let line: T = serde_json::from_value(line)?;
        out.push_str(&serde_json::to_string(&line)?);
        out.push('\n');
    }
    Ok(out)
}

fn first<T: serde::de::DeserializeOwned>(lines: Vec<serde_json::Value>) -> Result<T, KeysError> {
    Ok(serde_json::from_value(lines.into_iter().next().unwrap_or_default())?)
}

fn created(lines: Vec<serde_json::Value>) -> Result<String, KeysError> {
    let key: KeyLine = first(lines)?;
    Ok(format!(
        "id:     {}\nsecret: {}\nfor:    {}; {}\nKeep the secret now: it is not shown again.\n",
        key.sid,
        key.secret.clone().unwrap_or_default(),
        whose(&key),
        key.scopes.join(", ")
    ))
}

fn revoked(lines: Vec<serde_json::Value>) -> Result<String, KeysError> {
    let key: KeyLine = first(lines)?;
    Ok(format!("{} is refused since {}\n", key.sid, key.revoked.unwrap_or_default()))
}

fn root(lines: Vec<serde_json::Value>) -> Result<String, KeysError> {
    let root: RootLine = first(lines)?;
    Ok(format!(
        "account sid: {}\nauth token:  {}\nKeep the token now: it is not shown again, and the old one is refused.\n",
        root.account_sid, root.auth_token
    ))
}

fn whose(key: &KeyLine) -> String {
    match (&key.service_sid, &key.service_name) {
        (Some(sid), Some(name)) => format!("service {name} ({sid})"),
        (Some(sid), None) => sid.clone(),
        (None, _) => "all services".to_owned(),
    }
}

const HEADINGS: [&str; 7] = ["ID", "SERVICE", "SCOPES", "CREATED", "LAST-USED", "REVOKED", "NAME"];

fn listed(lines: Vec<serde_json::Value>) -> Result<String, KeysError> {
    if lines.is_empty() {
        return Ok("no API keys; `onceward keys create` makes one\n".to_owned());
    }
    let mut table = vec![HEADINGS.map(str::to_owned)];
    for line in lines {
        table.push(cells(serde_json::from_value(line)?));
    }
    let width = |column: usize| table.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..HEADINGS.len()).map(width).collect();
    let mut out = String::new();
    for row in &table {
        let padded = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        // Writing to a text cannot fail.
        let _ = writeln!(out, "{}", padded.collect::<Vec<_>>().join("  ").trim_end());
    }
    Ok(out)
}

fn cells(key: KeyLine) -> [String; HEADINGS.len()] {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
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
}
