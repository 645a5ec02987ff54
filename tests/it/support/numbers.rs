//! Numbers and codes to test with.

use std::sync::atomic::{AtomicU32, Ordering};

/// Returns distinct numbers, each of a possible length for its country.
#[derive(Debug, Default)]
pub struct Numbers(AtomicU32);

impl Numbers {
    /// A new number, in E.164 form.
    pub fn next(&self) -> String {
        format!("+1415{:07}", 5_550_000 + self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// A code of the same length that differs from `code` in its last digit.
pub fn wrong(code: &str) -> String {
    let (head, last) = code.split_at(code.len() - 1);
    let digit: u8 = last.parse().expect("a code ends with a digit");
    format!("{head}{}", (digit + 1) % 10)
}

/// A number as logs, lists and the audit log show it.
pub fn masked(number: &str) -> String {
    let (head, tail) = (&number[..5], &number[number.len() - 2..]);
    format!("{head}{}{tail}", "*".repeat(number.len() - 7))
}
