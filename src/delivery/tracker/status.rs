//! The names and numbers of statuses, and how a list is narrowed to one.

use super::note::{SendStatus, VerifyStatus};
use super::track::Row;
use crate::gateway::ReceiptStatus;

impl SendStatus {
    /// Every status.
    pub const ALL: [Self; 4] = [Self::New, Self::GatewayError, Self::Sent, Self::Unsendable];

    /// The name in lists.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::GatewayError => "gateway_error",
            Self::Sent => "sent",
            Self::Unsendable => "unsendable",
        }
    }

    /// The number kept in records. Never reuse one.
    pub(super) const fn number(self) -> u8 {
        match self {
            Self::New => 0,
            Self::GatewayError => 1,
            Self::Sent => 2,
            Self::Unsendable => 3,
        }
    }

    /// From the number kept in records.
    pub(super) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.number() == number)
    }
}

impl VerifyStatus {
    /// Every status.
    pub const ALL: [Self; 5] =
        [Self::New, Self::Success, Self::InvalidCode, Self::Expired, Self::GatewayError];

    /// The name in lists.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Success => "success",
            Self::InvalidCode => "invalid_code",
            Self::Expired => "expired",
            Self::GatewayError => "gateway_error",
        }
    }

    /// The number kept in records. Never reuse one.
    pub(super) const fn number(self) -> u8 {
        match self {
            Self::New => 0,
            Self::Success => 1,
            Self::InvalidCode => 2,
            Self::Expired => 3,
            Self::GatewayError => 4,
        }
    }

    /// From the number kept in records.
    pub(super) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.number() == number)
    }
}

const RECEIPTS: [ReceiptStatus; 7] = [
    ReceiptStatus::Queued,
    ReceiptStatus::Sending,
    ReceiptStatus::Sent,
    ReceiptStatus::Answered,
    ReceiptStatus::Failed,
    ReceiptStatus::Delivered,
    ReceiptStatus::Read,
];

/// The number of a receipt's status in records. Never reuse one.
pub(super) const fn receipt_number(status: ReceiptStatus) -> u8 {
    match status {
        ReceiptStatus::Queued => 0,
        ReceiptStatus::Sending => 1,
        ReceiptStatus::Sent => 2,
        ReceiptStatus::Failed => 3,
        ReceiptStatus::Delivered => 4,
        ReceiptStatus::Read => 5,
        ReceiptStatus::Answered => 6,
    }
}

/// From the number in a record.
pub(super) fn receipt_from_number(number: u8) -> Option<ReceiptStatus> {
    RECEIPTS.into_iter().find(|status| receipt_number(*status) == number)
}

/// From the name in lists.
pub fn receipt_from_name(name: &str) -> Option<ReceiptStatus> {
    RECEIPTS.into_iter().find(|status| status.as_str() == name)
}

/// Which rows are wanted: those with a certain status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusFilter {
    column: Option<Column>,
    name: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Send,
    Verify,
    Receipt,
}

impl Column {
    const ALL: [Self; 3] = [Self::Send, Self::Verify, Self::Receipt];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Verify => "verify",
            Self::Receipt => "receipt",
        }
    }

    fn names(self) -> Vec<&'static str> {
        match self {
            Self::Send => SendStatus::ALL.map(SendStatus::as_str).to_vec(),
            Self::Verify => VerifyStatus::ALL.map(VerifyStatus::as_str).to_vec(),
            Self::Receipt => RECEIPTS.map(ReceiptStatus::as_str).to_vec(),
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

    /// What [`StatusFilter::parse`] reads, for a message to a person.
    pub fn accepted() -> String {
        let of = |column: Column| format!("{}: {}", column.as_str(), column.names().join(", "));
        Column::ALL.map(of).join("; ")
    }

    /// Whether a row has this status.
    pub(super) fn fits(self, row: &Row, verify: VerifyStatus) -> bool {
        Column::ALL.into_iter().filter(|c| self.column.is_none_or(|only| only == *c)).any(|column| {
            let name = match column {
                Column::Send => Some(row.status.as_str()),
                Column::Verify => Some(verify.as_str()),
                Column::Receipt => row.receipt.map(ReceiptStatus::as_str),
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
    fn every_status_has_a_number_of_its_own() {
        for status in SendStatus::ALL {
            assert_eq!(SendStatus::from_number(status.number()), Some(status));
        }
        for status in VerifyStatus::ALL {
            assert_eq!(VerifyStatus::from_number(status.number()), Some(status));
        }
        for status in RECEIPTS {
            assert_eq!(receipt_from_number(receipt_number(status)), Some(status));
        }
        assert_eq!(SendStatus::from_number(9), None);
        assert_eq!(VerifyStatus::from_number(9), None);
        assert_eq!(receipt_from_number(9), None);
    }

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
