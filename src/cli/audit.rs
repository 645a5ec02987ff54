//! `onceward audit`: who changed what.

use serde_json::Value;

use super::answer::{list, text};
use super::args::{at_least_one, parse_time};
use super::{CommandError, CommandOutput, Context};
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
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = at_least_one)]
    limit: usize,
}

/// Rows are those of `/v2`.
const COLUMNS: &str = "date_created action times actor actor_sid actor_uid actor_name service_sid number resource_sid \
                       request_id";

/// The most entries of a page.
const PAGE: usize = 1_000;

pub fn run(args: AuditArgs, cx: &Context) -> Result<CommandOutput, CommandError> {
    let AuditArgs { service, since, limit } = args;
    let client = cx.client()?;
    let service = client.service_sid(service.as_deref())?;
    let mut entries = Vec::new();
    let mut path = "/v2/Audit".to_owned();
    let mut fields = vec![
        ("ServiceSid", service),
        ("DateCreatedAfter", since.map(|since| since.rfc3339_millis().to_string())),
        ("PageSize", Some(limit.min(PAGE).to_string())),
    ];
    loop {
        let mut page: Value = client.get(&path, &fields)?;
        let Value::Array(found) = page["entries"].take() else { break };
        entries.extend(found);
        // The address of the next page has all parameters.
        match text(&page["meta"], "next_page_url").split_once('?') {
            Some((_, query)) if entries.len() < limit => path = format!("/v2/Audit?{query}"),
            _ => break,
        }
        fields.clear();
    }
    entries.truncate(limit);
    Ok(list(&entries, cx.json, "no changes found", COLUMNS))
}
