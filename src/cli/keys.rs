//! `onceward keys`: API keys, and the account's auth token. Through the server that runs on the data directory, or on
//! the directory itself when none does.

use clap::Args;

use super::answer::{Access, ask_or_open, list, one, only, or_dash, tell_services_apart};
use super::{CommandError, CommandOutput};
use crate::app::control::{ControlRequest, KeyLine, KeysRequest, RootLine};
use crate::audit::Actor;
use crate::config::KeysSettings;
use crate::node::Offline;

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
    let data_dir = settings.storage.data_dir.clone();
    let is_new = !data_dir.exists();
    let (own, asked) = (request.clone(), ControlRequest::Keys(request.clone()));
    let offline = async |opened: &Offline| {
        let user = Actor::user(rustix::process::geteuid().as_raw());
        let registry = opened.registry.on_behalf_of(opened.registry.author(user, None));
        own.carry_out(&registry, &opened.account).await
    };
    if let KeysRequest::NewRoot = request {
        let root: RootLine = only(ask_or_open(settings, &asked, access, offline)?)?;
        let if_lost = format!("; the token was replaced, and the new one is in {}", root.file.display());
        return Ok(CommandOutput { if_lost, ..one(&root, json, replaced) });
    }
    let mut keys: Vec<KeyLine> = ask_or_open(settings, &asked, access, offline)?;
    Ok(match request {
        KeysRequest::List { .. } => {
            if !json {
                let lines = keys
                    .iter_mut()
                    .map(|KeyLine { service_sid, service_name, .. }| (service_sid, service_name));
                let lines = lines.filter_map(|(sid, name)| Some((sid.as_deref()?, name.as_mut()?)));
                tell_services_apart(lines.collect());
            }
            list(keys, json, "no API keys; `onceward keys create` makes one", HEADINGS, cells)
        }
        KeysRequest::Revoke { .. } => one(&only(keys)?, json, revoked),
        KeysRequest::Create { .. } | KeysRequest::NewRoot => {
            let key = only(keys)?;
            let if_lost = format!(
                "; the key {0} was made and its secret is lost: revoke it with `onceward keys revoke {0}`",
                key.sid
            );
            let err = if is_new {
                let path = std::path::absolute(&data_dir).unwrap_or(data_dir);
                format!(
                    "made the data directory {} for this key; a server with another data directory does not know the key\n",
                    path.display()
                )
            } else {
                String::new()
            };
            CommandOutput { err, if_lost, ..one(&key, json, created) }
        }
    })
}

/// Whether the server accepts an API key, now or after its start.
///
/// # Errors
/// Neither a server nor the data directory answers.
pub fn has_live(settings: KeysSettings) -> Result<bool, CommandError> {
    let request = KeysRequest::List { service: None };
    let (own, asked) = (request.clone(), ControlRequest::Keys(request));
    let offline = async |opened: &Offline| own.carry_out(&opened.registry, &opened.account).await;
    let keys: Vec<KeyLine> = ask_or_open(settings, &asked, Access::Read, offline)?;
    // The line of a key of a removed service has no name of the service.
    let is_live =
        |key: &KeyLine| key.revoked.is_none() && key.service_sid.is_some() == key.service_name.is_some();
    Ok(keys.iter().any(is_live))
}

fn revoked(key: &KeyLine) -> String {
    let since = key.revoked.as_deref().unwrap_or_default();
    if key.already_revoked {
        format!("{} was revoked before: it is refused since {since}\n", key.sid)
    } else {
        format!("{} is refused since {since}\n", key.sid)
    }
}

fn replaced(RootLine { account_sid, auth_token, file }: &RootLine) -> String {
    format!(
        "account sid: {account_sid}\nauth token:  {auth_token}\nBoth are in {}. The old token is refused.\n",
        file.display()
    )
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

fn cells(key: KeyLine) -> [String; HEADINGS.len()] {
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
