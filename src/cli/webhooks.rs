//! `onceward webhooks`: lists webhooks and shows their secrets.

use clap::Subcommand;

use super::answer::{list, one, text};
use super::client::Client;
use super::{CommandError, CommandOutput};
use crate::config::StorageSettings;

#[derive(Debug, Subcommand)]
pub enum WebhooksCommand {
    /// List webhooks, without their secrets.
    List {
        /// Only the webhooks of this service.
        #[arg(long, value_name = "NAME|VA..")]
        service: Option<String>,
    },

    /// Show the secret that signs the events of a webhook.
    Secret {
        /// The id of the webhook.
        #[arg(value_name = "YW..")]
        sid: String,
    },
}

const COLUMNS: [(&str, &str); 6] = [
    ("ID", "sid"),
    ("SERVICE", "service_name"),
    ("STATUS", "status"),
    ("NAME", "friendly_name"),
    ("EVENTS", "event_types"),
    ("URL", "webhook_url"),
];

pub fn run(
    request: WebhooksCommand,
    json: bool,
    settings: &StorageSettings,
) -> Result<CommandOutput, CommandError> {
    let client = Client::of(&settings.data_dir)?;
    let webhooks = |service| client.get("/local/Webhooks", &[("Service", service)]);
    match request {
        WebhooksCommand::List { service } => {
            let none = "no webhooks; POST /v2/Services/{Sid}/Webhooks creates one";
            Ok(list(&webhooks(service)?["webhooks"], json, none, &COLUMNS))
        }
        WebhooksCommand::Secret { sid } => {
            let answer = webhooks(None)?;
            let mut all = answer["webhooks"].as_array().into_iter().flatten();
            let found = all.find(|webhook| text(webhook, "sid") == sid);
            let found = found.ok_or_else(|| {
                CommandError::Failed(format!("there is no webhook {sid}; `onceward webhooks list` lists all"))
            })?;
            let path = format!("/v2/Services/{}/Webhooks/{sid}/Secret", text(found, "service_sid"));
            Ok(one(&client.get(&path, &[])?, json, |secret| format!("{}\n", text(secret, "secret"))))
        }
    }
}
