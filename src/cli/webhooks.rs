//! `onceward webhooks`: lists webhooks and shows their secrets. Asks the server that runs on the data directory;
//! without a server it opens the directory itself.

use clap::Args;

use super::keys::{Access, as_json, ask_or_open};
use super::{CommandError, CommandOutput, first, read, table};
use crate::app::control::{ControlRequest, WebhookLine, WebhooksRequest};
use crate::config::KeysSettings;

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
    let own = request.clone();
    let lines =
        ask_or_open(settings, &ControlRequest::Webhooks(request.clone()), Access::Read, async |opened| {
            own.carry_out(&opened.registry)
        })?;
    Ok(CommandOutput::of(match request {
        _ if json => as_json::<WebhookLine>(lines)?,
        WebhooksRequest::List { .. } => listed(read(lines)?),
        WebhooksRequest::Secret { .. } => first::<WebhookLine>(lines)?.secret.unwrap_or_default() + "\n",
    }))
}

const HEADINGS: [&str; 6] = ["ID", "SERVICE", "STATUS", "NAME", "EVENTS", "URL"];

fn listed(webhooks: Vec<WebhookLine>) -> String {
    if webhooks.is_empty() {
        return "no webhooks; POST /v2/Services/{Sid}/Webhooks makes one\n".to_owned();
    }
    let cells = |line: WebhookLine| {
        [line.sid, line.service_name, line.status, line.name, line.event_types.join(","), line.url]
    };
    table(HEADINGS, webhooks.into_iter().map(cells))
}
