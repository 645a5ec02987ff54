//! The names of statuses, and how a list is narrowed to one.

use super::list::ListedAttempt;
use super::log::VerifyStatus;
use crate::delivery::SendStatus;
use crate::gateway::ReceiptStatus;

/// Which rows are wanted: those with a certain status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusFilter {
    column: Option<Column>,
    name: &'static str,
}

crate::named! {
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Column {
        Send = "send",
        Verify = "verify",
        Receipt = "receipt",
    }
}

impl Column {
    fn names(self) -> Vec<&'static str> {
        match self {
            Self::Send => SendStatus::ALL.map(SendStatus::as_str).to_vec(),
            Self::Verify => VerifyStatus::ALL.map(VerifyStatus::as_str).to_vec(),
            Self::Receipt => ReceiptStatus::ALL.map(ReceiptStatus::as_str).to_vec(),
        }
    }
}

impl StatusFilter {
    /// Reads `sent`, which fits a row with this name in any of the three columns, or `send:sent`,
    /// `verify:success`, `receipt:delivered`, which name the column. `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let (column, name) = match text.split_once(':') {
            Some((column, name)) => (Some(Column::ALL.into_iter().find(|c| c.as_str() == column)?), name),
            None => (None, text),
        };
        let columns = Column::ALL.into_iter().filter(|c| column.is_none_or(|only| only == *c));
        let name = columns.flat_map(Column::names).find(|known| *known == name)?;
        Some(Self { column, name })
    }

    /// The values that [`StatusFilter::parse`] reads, for an error message.
    pub fn accepted() -> String {
        let of = |column: Column| format!("{}: {}", column.as_str(), column.names().join(", "));
        Column::ALL.map(of).join("; ")
    }

    /// Whether a row has this status.
    pub fn fits(self, row: &ListedAttempt) -> bool {
        Column::ALL.into_iter().filter(|c| self.column.is_none_or(|only| only == *c)).any(|column| {
            let name = match column {
                Column::Send => Some(row.attempt.status.as_str()),
                Column::Verify => Some(row.verify_status.as_str()),
                Column::Receipt => row.attempt.receipt.map(ReceiptStatus::as_str),
            };
            name == Some(self.name)
        })
    }
}

impl std::fmt::Display for StatusFilter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.column {
            Some(column) => write!(f, "{}:{}", column.as_str(), self.name),
            None => f.write_str(self.name),
        }
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
