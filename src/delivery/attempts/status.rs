//! The names of statuses, and how a list is narrowed to one.

use super::list::ListedAttempt;
use super::log::VerifyStatus;
use crate::delivery::SendStatus;
use crate::gateway::ReceiptStatus;

/// Which rows are wanted: those with a certain status, such as `sent`, or `send:sent` of one column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusFilter(String);

/// The columns, with the names of their statuses.
fn columns() -> [(&'static str, Vec<&'static str>); 3] {
    [
        ("send", SendStatus::ALL.map(SendStatus::as_str).to_vec()),
        ("verify", VerifyStatus::ALL.map(VerifyStatus::as_str).to_vec()),
        ("receipt", ReceiptStatus::ALL.map(ReceiptStatus::as_str).to_vec()),
    ]
}

impl StatusFilter {
    /// Reads `sent`, which fits a row with this name in any of the three columns, or `send:sent`,
    /// `verify:success`, `receipt:delivered`, which name the column. `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let filter = Self(text.to_owned());
        let is_one = |(column, names): &(&str, Vec<&str>)| names.iter().any(|name| filter.is(column, name));
        columns().iter().any(is_one).then_some(filter)
    }

    /// The values that [`StatusFilter::parse`] reads, for an error message.
    pub fn accepted() -> String {
        columns().map(|(column, names)| format!("{column}: {}", names.join(", "))).join("; ")
    }

    /// Whether a row has this status.
    pub fn fits(&self, row: &ListedAttempt) -> bool {
        self.is("send", row.attempt.status.as_str())
            || self.is("verify", row.verify_status.as_str())
            || row.attempt.receipt.is_some_and(|receipt| self.is("receipt", receipt.as_str()))
    }

    fn is(&self, column: &str, name: &str) -> bool {
        let of_column = self.0.strip_prefix(column).and_then(|rest| rest.strip_prefix(':'));
        of_column.unwrap_or(&self.0) == name
    }
}

impl std::fmt::Display for StatusFilter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_read_as_it_prints_and_nothing_else_is_one() {
        for text in
            ["new", "sent", "success", "delivered", "send:gateway_error", "verify:new", "receipt:failed"]
        {
            assert_eq!(StatusFilter::parse(text).map(|f| f.to_string()).as_deref(), Some(text));
        }
        for text in
            ["", "SENT", "lost", "send:success", "verify:sent", "receipt:new", "row:sent", "send:", ":"]
        {
            assert_eq!(StatusFilter::parse(text), None, "{text:?}");
        }
    }
}
