//! `onceward audit`: who changed what.

use serde_json::{Value, json};

use super::answer::{list, text};
use super::args::{at_least_one, parse_time};
use super::client::Client;
use super::{CommandError, CommandOutput};
use crate::config::StorageSettings;
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

const COLUMNS: [(&str, &str); 6] = [
    ("TIME", "date_created"),
    ("ACTION", "action"),
    ("BY", "by"),
    ("SERVICE", "service_sid"),
    ("RESOURCE", "target"),
    ("REQUEST", "request_id"),
];

/// The most entries of a page.
const PAGE: usize = 1_000;

pub fn run(args: AuditArgs, json: bool, settings: &StorageSettings) -> Result<CommandOutput, CommandError> {
    let AuditArgs { service, since, limit } = args;
    let client = Client::of(&settings.data_dir)?;
    let service = client.service_sid(service.as_deref())?;
    let mut entries = Vec::new();
    let mut path = "/v2/Audit".to_owned();
    let mut fields = vec![
        ("ServiceSid", service),
        ("DateCreatedAfter", since.map(|since| since.rfc3339_millis().to_string())),
        ("PageSize", Some(limit.min(PAGE).to_string())),
    ];
    loop {
        let mut page = client.get(&path, &fields)?;
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
    if !json {
        entries.iter_mut().for_each(add_texts);
    }
    Ok(list(&entries.into(), json, "no changes found", &COLUMNS))
}

/// Adds what the table shows of several fields together.
fn add_texts(entry: &mut Value) {
    let name = entry["actor_name"].as_str().map(|name| format!("({name})"));
    let id = entry["actor_sid"]
        .as_str()
        .map(str::to_owned)
        .or_else(|| Some(entry["actor_uid"].as_u64()?.to_string()));
    let by = [Some(text(entry, "actor").to_owned()), id, name];
    entry["by"] = json!(by.into_iter().flatten().collect::<Vec<_>>().join(" "));
    let target = if entry["number"].is_null() { &entry["resource_sid"] } else { &entry["number"] };
    entry["target"] = target.clone();
}
