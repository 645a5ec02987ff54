//! `onceward tracker`: what became of messages.

use serde_json::Value;

use super::answer::{CommandOutput, list};
use super::context::{Context, at_least_one, parse_time};
use super::error::CommandError;
use crate::delivery::attempts::StatusFilter;
use crate::domain::Timestamp;

#[derive(Debug, clap::Args)]
pub struct TrackerArgs {
    /// Only messages to this number.
    #[arg(long, value_name = "NUMBER")]
    number: Option<String>,

    /// Only messages of this service: its id (VA...), its name in config.json, its friendly name, or "default".
    #[arg(long, value_name = "NAME|VA..")]
    service: Option<String>,

    /// Only messages with this status of a column, such as "send:sent", "verify:success" or "receipt:delivered".
    #[arg(long, value_name = "STATUS", value_parser = status)]
    status: Option<String>,

    /// Only messages since this time: a while ago ("2h", "7d"), a day (2027-01-31, UTC), or a moment (RFC 3339).
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    since: Option<Timestamp>,

    /// Only messages before this time.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    until: Option<Timestamp>,

    /// At most this many messages.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = at_least_one)]
    limit: usize,
}

fn status(text: &str) -> Result<String, String> {
    let status = StatusFilter::parse(text).map(|_| text.to_owned());
    status.ok_or_else(|| format!("no such status; there are {}", StatusFilter::accepted()))
}

pub const COLUMNS: &str = "time type to gateway priority send_status verify_status retry_count max_retries_reached \
                       receipt_status error_code parts message_id said";

pub fn run(args: TrackerArgs, cx: &Context) -> Result<CommandOutput, CommandError> {
    let TrackerArgs { number, service, status, since, until, limit } = args;
    let number = number.map(|number| cx.e164(&number, "--number ")).transpose()?;
    let moment = |at: Option<Timestamp>| at.map(|at| at.rfc3339_millis().to_string());
    let fields = [
        ("Number", number),
        ("Service", service),
        ("Status", status),
        ("Since", moment(since)),
        ("Until", moment(until)),
        ("Limit", Some(limit.to_string())),
    ];
    let messages: Vec<Value> = cx.client()?.get("/local/Messages", &fields)?;
    Ok(list(&messages, cx.json, "no sends found", COLUMNS))
}
