//! `onceward audit`: who changed what.

use serde_json::Value;

use super::answer::{CommandOutput, list};
use super::context::{Context, parse_time};
use super::error::CommandError;
use crate::domain::Timestamp;

#[derive(Debug, clap::Args)]
pub struct AuditArgs {
    /// Only changes of this service: its id (VA...), its name in config.json, its friendly name, or "default". A deleted
    /// one has only its id.
    #[arg(long, value_name = "NAME|VA..")]
    service: Option<String>,

    /// Only changes since this time: a while ago ("2h", "7d"), a day (2027-01-31, UTC), or a moment (RFC 3339).
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    since: Option<Timestamp>,

    /// At most this many changes.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    limit: u64,
}

/// Rows are those of `/v2`.
const COLUMNS: &str = "date_created action actor actor_sid actor_uid actor_name service_sid number resource_sid \
                       request_id";

pub fn run(args: AuditArgs, cx: &Context) -> Result<CommandOutput, CommandError> {
    let AuditArgs { service, since, limit } = args;
    let client = cx.client()?;
    let fields = [
        ("ServiceSid", client.service_sid(service.as_deref())?),
        ("DateCreatedAfter", since.map(|since| since.rfc3339_millis().to_string())),
        ("PageSize", Some(limit.to_string())),
    ];
    let page: Value = client.get("/v2/Audit", &fields)?;
    let entries = page["entries"].as_array().map_or(&[][..], Vec::as_slice);
    Ok(list(entries, cx.json, "no changes found", COLUMNS))
}
