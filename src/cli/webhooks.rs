//! `onceward webhooks`: lists webhooks and shows their secrets. Asks the server that runs on the data directory;
//! without a server it opens the directory itself.

use clap::Args;

use super::answer::{Access, ask_or_open, list, one, only, tell_services_apart};
use super::{CommandError, CommandOutput};
use crate::app::control::{ControlRequest, WebhookLine, WebhooksRequest};
use crate::config::KeysSettings;
use crate::node::Offline;

#[derive(Debug, Args)]
pub struct WebhooksArgs {
    #[command(subcommand)]
    request: WebhooksRequest,

    /// Print one JSON object a line.
    #[arg(long, global = true)]
    json: bool,
}

pub fn run(
    WebhooksArgs { request, json }: WebhooksArgs,
    settings: KeysSettings,
) -> Result<CommandOutput, CommandError> {
    let (own, asked) = (request.clone(), ControlRequest::Webhooks(request.clone()));
    let offline = async |opened: &Offline| own.carry_out(&opened.registry);
    let mut webhooks: Vec<WebhookLine> = ask_or_open(settings, &asked, Access::Read, offline)?;
    Ok(match request {
        WebhooksRequest::List { .. } => {
            if !json {
                let lines = webhooks.iter_mut();
                tell_services_apart(lines.map(|line| (&*line.service_sid, &mut line.service_name)).collect());
            }
            list(webhooks, json, "no webhooks; POST /v2/Services/{Sid}/Webhooks makes one", HEADINGS, cells)
        }
        WebhooksRequest::Secret { .. } => one(&only(webhooks)?, json, |webhook| {
            format!("{}\n", webhook.secret.as_deref().unwrap_or_default())
        }),
    })
}

const HEADINGS: [&str; 6] = ["ID", "SERVICE", "STATUS", "NAME", "EVENTS", "URL"];

fn cells(line: WebhookLine) -> [String; HEADINGS.len()] {
    [line.sid, line.service_name, line.status, line.name, line.event_types.join(","), line.url]
}
