//! The rows of `onceward tracker --json`. Only this file has the names of their fields.

use serde_json::Value;

use super::{Finished, Setup};

#[derive(Debug, Clone, PartialEq)]
pub struct Row(Value);

impl Row {
    /// The channel: `sms`, `call`, `whatsapp`.
    pub fn channel(&self) -> &str {
        self.text("type")
    }

    pub fn to(&self) -> &str {
        self.text("to")
    }

    pub fn gateway(&self) -> &str {
        self.text("gateway")
    }

    /// The gateway's position in the order.
    pub fn priority(&self) -> u64 {
        self.number("priority")
    }

    /// `new`, `gateway_error`, `sent`, `unsendable`.
    pub fn send_status(&self) -> &str {
        self.text("send_status")
    }

    /// `new`, `success`, `invalid_code`, `expired`, `gateway_error`.
    pub fn verify_status(&self) -> &str {
        self.text("verify_status")
    }

    pub fn retries(&self) -> u64 {
        self.number("retry_count")
    }

    /// Whether the server gave up after too many retries.
    pub fn max_retries_reached(&self) -> bool {
        self.0["max_retries_reached"].as_bool().unwrap_or_else(|| panic!("max_retries_reached in {}", self.0))
    }

    /// The status that the provider reported; empty without a report.
    pub fn receipt(&self) -> &str {
        self.text_if_any("receipt_status")
    }

    /// The provider's id; empty without one.
    pub fn message_id(&self) -> &str {
        self.text_if_any("message_id")
    }

    pub fn error_code(&self) -> Option<u64> {
        self.0["error_code"].as_u64()
    }

    pub fn has_time(&self) -> bool {
        !self.0["time"].is_null()
    }

    fn text(&self, name: &str) -> &str {
        self.0[name].as_str().unwrap_or_else(|| panic!("{name} in {}", self.0))
    }

    fn text_if_any(&self, name: &str) -> &str {
        self.0[name].as_str().unwrap_or_default()
    }

    fn number(&self, name: &str) -> u64 {
        self.0[name].as_u64().unwrap_or_else(|| panic!("{name} in {}", self.0))
    }
}

/// The tracker's rows of this server with these further arguments, and the complete output of the command.
pub async fn tracked(setup: &Setup, arguments: &[&str]) -> (Vec<Row>, Finished) {
    let arguments = ["tracker", "--json"].iter().chain(arguments).copied();
    let finished = setup.command(arguments).await.exits(0);
    let lines = finished.output.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    // Skips log lines.
    let rows = lines.filter(|line| line.get("send_status").is_some()).map(Row).collect();
    (rows, finished)
}
