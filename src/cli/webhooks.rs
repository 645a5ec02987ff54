//! `onceward webhooks`: lists webhooks and shows their secrets.

use clap::Subcommand;
use serde_json::Value;

use super::answer::{Column, cell, list, one, text};
use super::{CommandError, CommandOutput, Context};
use crate::http::answers::Webhooks;

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

/// Rows are those of `/v2`, with the names of services.
const COLUMNS: [Column<Value>; 6] = [
    ("ID", |webhook| cell(&webhook["sid"])),
    ("SERVICE", |webhook| cell(&webhook["service_name"])),
    ("STATUS", |webhook| cell(&webhook["status"])),
    ("NAME", |webhook| cell(&webhook["friendly_name"])),
    ("EVENTS", |webhook| cell(&webhook["event_types"])),
    ("URL", |webhook| cell(&webhook["webhook_url"])),
];

pub fn run(request: WebhooksCommand, cx: &Context) -> Result<CommandOutput, CommandError> {
    let client = cx.client()?;
    let webhooks = |service| client.get("/local/Webhooks", &[("Service", service)]);
    match request {
        WebhooksCommand::List { service } => {
            let none = "no webhooks; POST /v2/Services/{Sid}/Webhooks creates one";
            let Webhooks { webhooks } = webhooks(service)?;
            Ok(list(&webhooks, cx.json, none, &COLUMNS))
        }
        WebhooksCommand::Secret { sid } => {
            let Webhooks { webhooks } = webhooks(None)?;
            let found = webhooks.iter().find(|webhook| text(webhook, "sid") == sid).ok_or_else(|| {
                CommandError::Failed(format!("there is no webhook {sid}; `onceward webhooks list` lists all"))
            })?;
            let path = format!("/v2/Services/{}/Webhooks/{sid}/Secret", text(found, "service_sid"));
            let secret: Value = client.get(&path, &[])?;
            Ok(one(&secret, cx.json, |secret| format!("{}\n", text(secret, "secret"))))
        }
    }
}
