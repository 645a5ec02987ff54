//! `onceward keys`: API keys, and the account's auth token. Through the server that runs on the data directory, or on
//! the directory itself when none does.

use clap::{Arg, ArgAction, Subcommand};
use serde_json::{Value, json};

use super::answer::{list, one, text};
use super::client::{Client, runtime, segment};
use super::source::each_record;
use super::{CommandError, CommandOutput, absolute, refuse_root};
use crate::config::KeysSettings;
use crate::http::Keys;
use crate::node::Offline;
use crate::registry::audit::Actor;
use crate::registry::{self, Scope};
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

impl KeysCommand {
    fn ask(&self, client: &Client) -> Result<Value, CommandError> {
        Ok(match self.clone() {
            Self::Create { service, scopes, name } => {
                let mut fields = vec![("Service", service), ("Name", name)];
                fields.extend(scopes.into_iter().map(|scope| ("Scope", Some(scope))));
                client.post("/local/Keys", &fields)?
            }
            Self::List { service } => client.get("/local/Keys", &[("Service", service)])?,
            Self::Revoke { sid } => client.delete(&format!("/local/Keys/{}", segment(&sid)), &[])?,
            Self::NewRoot => client.post("/local/AuthToken", &[])?,
        })
    }

    /// The same without a server.
    async fn carry_out(&self, opened: &Offline) -> Result<Value, String> {
        let user = Actor::user(rustix::process::geteuid().as_raw());
        let registry = opened.registry.on_behalf_of(opened.registry.author(user, None));
        let keys = Keys { registry, account: &opened.account };
        Ok(match self.clone() {
            Self::Create { service, scopes, name } => keys.create(service, scopes, name).await?,
            Self::List { service } => json!({"keys": keys.list(service.as_deref())?}),
            Self::Revoke { sid } => keys.revoke(&sid).await?,
            Self::NewRoot => keys.replace_token().await?,
        })
    }
}

const COLUMNS: [(&str, &str); 7] = [
    ("ID", "sid"),
    ("SERVICE", "service_name"),
    ("SCOPES", "scopes"),
    ("CREATED", "created"),
    ("LAST-USED", "last_used"),
    ("REVOKED", "revoked"),
    ("NAME", "name"),
];

pub fn run(request: &KeysCommand, json: bool, settings: KeysSettings) -> Result<CommandOutput, CommandError> {
    let data_dir = settings.storage.data_dir.clone();
    let is_new = !data_dir.exists();
    let mut answer = answer(request, settings)?;
    Ok(match request {
        KeysCommand::List { .. } => {
            if !json {
                answer["keys"].as_array_mut().into_iter().flatten().for_each(in_words);
            }
            list(&answer["keys"], json, "no API keys; `onceward keys create` creates one", &COLUMNS)
        }
        KeysCommand::Revoke { .. } => one(&answer, json, revoked),
        KeysCommand::NewRoot => {
            let if_lost =
                format!("; the token was replaced, and the new one is in {}", text(&answer, "file"));
            CommandOutput { if_lost, ..one(&answer, json, replaced) }
        }
        KeysCommand::Create { .. } => {
            let if_lost = format!(
                "; the key {0} was created and its secret is lost: revoke it with `onceward keys revoke {0}`",
                text(&answer, "sid")
            );
            let made = format!(
                "created the data directory {} for this key; a server with another data directory does not know the key\n",
                absolute(&data_dir).display()
            );
            let err = if is_new { made } else { String::new() };
            CommandOutput { err, if_lost, ..one(&answer, json, created) }
        }
    })
}

/// Whether the server accepts an API key, now or after its start.
pub fn has_live(settings: KeysSettings) -> Result<bool, CommandError> {
    let answer = answer(&KeysCommand::List { service: None }, settings)?;
    // A key of a removed service has no name of the service.
    let is_live = |key: &Value| {
        key["revoked"].is_null() && key["service_sid"].is_null() == key["service_name"].is_null()
    };
    Ok(answer["keys"].as_array().into_iter().flatten().any(is_live))
}

/// The answer of the server. Without one, the command is carried out on the directory, under its lock.
fn answer(request: &KeysCommand, settings: KeysSettings) -> Result<Value, CommandError> {
    let data_dir = settings.storage.data_dir.clone();
    match Client::of(&data_dir).and_then(|client| request.ask(&client)) {
        Err(CommandError::Client(error)) if error.has_no_socket() => {}
        answered => return answered,
    }
    if settings.is_clustered {
        return Err(CommandError::Failed(format!(
            "no server on {} owns the records of the cluster; run the command on the node that does: /readyz of the \
             others names it",
            data_dir.display()
        )));
    }
    let is_list = matches!(request, KeysCommand::List { .. });
    if !is_list {
        refuse_root(&data_dir)?;
    }
    let has_data = std::fs::read_dir(&data_dir).is_ok_and(|mut files| files.next().is_some());
    // Only a first key may be made before the first start.
    if !has_data && !matches!(request, KeysCommand::Create { .. }) {
        return Err(CommandError::Failed(format!(
            "no server answers on {}, and it is no data directory: name the server's with --data-dir or --config",
            absolute(&data_dir).display()
        )));
    }
    runtime()?.block_on(async {
        let opened = if is_list {
            read_registry(settings).await?
        } else {
            Offline::open(settings).await.map_err(|error| {
                if error.is_in_use() {
                    CommandError::NoSocket(absolute(&data_dir).display().to_string())
                } else {
                    error.into()
                }
            })?
        };
        let answer = request.carry_out(&opened).await.map_err(CommandError::Failed);
        let closed = opened.close().await;
        let answer = answer?;
        closed.map_err(CommandError::Close)?;
        Ok(answer)
    })
}

/// The records of the registry in a directory that no server uses.
async fn read_registry(settings: KeysSettings) -> Result<Offline, CommandError> {
    let mut records = Vec::new();
    let at = each_record(&settings.storage, &registry::KINDS, |CopiedRecord { key, expires, record }| {
        records.push(Write { key, expires, put: Some(record) });
    })?;
    Ok(Offline::of_copy(records, at, settings).await?)
}

fn revoked(key: &Value) -> String {
    let (sid, since) = (text(key, "sid"), text(key, "revoked"));
    if key["already_revoked"] == true {
        format!("{sid} was revoked before: it is refused since {since}\n")
    } else {
        format!("{sid} is refused since {since}\n")
    }
}

fn replaced(token: &Value) -> String {
    format!(
        "account sid: {}\nauth token:  {}\nBoth are in {}. The old token is refused.\n",
        text(token, "account_sid"),
        text(token, "auth_token"),
        text(token, "file")
    )
}

fn created(key: &Value) -> String {
    let whose = match (key["service_sid"].as_str(), key["service_name"].as_str()) {
        // The title of a name that several services share contains the id.
        (Some(sid), Some(name)) if name.contains(sid) => format!("service {name}"),
        (Some(sid), Some(name)) => format!("service {name} ({sid})"),
        (Some(sid), None) => sid.to_owned(),
        (None, _) => "all services".to_owned(),
    };
    let scopes: Vec<_> = key["scopes"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    format!(
        "id:     {}\nsecret: {}\nfor:    {whose}; {}\nKeep the secret now: it is not shown again.\n",
        text(key, "sid"),
        text(key, "secret"),
        scopes.join(", ")
    )
}

/// Every key has a service in the table. The last use is known to the minute.
fn in_words(key: &mut Value) {
    if key["service_name"].is_null() {
        key["service_name"] = json!(key["service_sid"].as_str().unwrap_or("(all)"));
    }
    if let Some(minute) = key["last_used"].as_str().and_then(|time| time.get(.."2026-03-01T12:14".len())) {
        key["last_used"] = json!(format!("{minute}Z"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_shows_the_minute_of_the_last_use() {
        let mut key = json!({"service_name": "shop", "last_used": "2026-03-01T12:14:00.000Z"});
        in_words(&mut key);
        assert_eq!(key["last_used"], "2026-03-01T12:14Z");
        let mut unused = json!({"service_name": "shop", "last_used": null});
        in_words(&mut unused);
        assert_eq!(unused["last_used"], Value::Null);
    }
}
