//! What is wrong with the setting, and where.

use std::fmt;
use std::ops::Range;

/// The setting cannot be used. Printed with the setting and a line that points at the part:
///
/// ```text
/// there is no provider "Twillio"; did you mean Twilio?
///   Mada:+35987;Twillio
///               ^^^^^^^
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoutingError {
    pub(super) setting: String,
    pub(super) range: Range<usize>,
    pub(super) words: String,
}

impl RoutingError {
    /// What is wrong and what to write instead, in one line.
    pub fn words(&self) -> &str {
        &self.words
    }

    /// The bytes of the setting that it is about. Empty where something is missing, and then perhaps
    /// behind the last byte.
    pub fn range(&self) -> Range<usize> {
        self.range.clone()
    }
}

impl std::error::Error for RoutingError {}

impl fmt::Display for RoutingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A line break or a tab in the setting would put the pointer under something else.
        let shown: String = self.setting.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let width = |range: Range<usize>| self.setting.get(range).unwrap_or_default().chars().count();
        let before = width(0..self.range.start);
        let pointer = "^".repeat(width(self.range.clone()).max(1));
        write!(f, "{}\n  {shown}\n  {:before$}{pointer}", self.words, "")
    }
}
