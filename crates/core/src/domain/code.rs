//! One-time codes, as sent and as submitted.

use std::fmt;

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The number of decimal digits of a code: 4 to 10.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
pub struct CodeLength(u8);

impl CodeLength {
    /// The fewest digits a code may have.
    pub const MIN: u8 = 4;
    /// The most digits a code may have.
    pub const MAX: u8 = 10;
    /// Six digits, the least that NIST SP 800-63B-4 (3.1.3.2) accepts.
    pub const SIX: Self = Self(6);

    /// A length, if it is one of 4 to 10.
    pub const fn new(digits: u8) -> Option<Self> {
        if digits >= Self::MIN && digits <= Self::MAX { Some(Self(digits)) } else { None }
    }

    /// The number of digits.
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl From<CodeLength> for u8 {
    fn from(length: CodeLength) -> Self {
        length.0
    }
}

impl TryFrom<u8> for CodeLength {
    type Error = &'static str;

    fn try_from(digits: u8) -> Result<Self, Self::Error> {
        Self::new(digits).ok_or("no code has so many digits")
    }
}

/// A one-time code: 4 to 10 decimal digits. Printed as `Code(***)`, compared in constant time,
/// wiped when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Code {
    // Unused places stay zero, so that the whole array can be compared.
    digits: [u8; CodeLength::MAX as usize],
    len: u8,
}

impl Code {
    /// The last `length` decimal digits of `value`, with leading zeros.
    pub fn from_value(mut value: u64, length: CodeLength) -> Self {
        let mut digits = [0; CodeLength::MAX as usize];
        for place in digits[..usize::from(length.get())].iter_mut().rev() {
            // A remainder below ten always fits.
            *place = b'0' + u8::try_from(value % 10).unwrap_or(0);
            value /= 10;
        }
        Self { digits, len: length.get() }
    }

    /// Reads a submitted code. `None` for text that cannot be a code: the caller counts it as a
    /// wrong one, for a guess of the wrong shape is still a guess.
    pub fn parse(text: &str) -> Option<Self> {
        let length = CodeLength::new(u8::try_from(text.len()).ok()?)?;
        if !text.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let mut digits = [0; CodeLength::MAX as usize];
        digits[..text.len()].copy_from_slice(text.as_bytes());
        Some(Self { digits, len: length.get() })
    }

    /// The digits themselves. Only templates and gateways call this.
    pub fn expose(&self) -> &str {
        std::str::from_utf8(&self.digits[..usize::from(self.len)]).unwrap_or_default()
    }

    /// The number of digits.
    pub const fn length(&self) -> CodeLength {
        CodeLength(self.len)
    }

    /// The digits as a number. Only what derives codes calls this.
    pub fn value(&self) -> u64 {
        let digits = self.digits.iter().take(usize::from(self.len));
        digits.fold(0, |value, digit| value * 10 + u64::from(digit.wrapping_sub(b'0')))
    }

    /// Compares in time that does not depend on where the codes differ.
    pub fn matches(&self, other: &Self) -> bool {
        (self.digits.ct_eq(&other.digits) & self.len.ct_eq(&other.len)).into()
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_keeps_its_leading_zeros() {
        let code = Code::from_value(42, CodeLength::SIX);
        assert_eq!(code.expose(), "000042");
    }

    #[test]
    fn only_four_to_ten_ascii_digits_are_a_code() {
        for text in ["1234", "0000000000", "123456"] {
            assert_eq!(Code::parse(text).expect("a code").expose(), text);
        }
        for text in ["", "123", "12345678901", "12345a", "１２３４", " 1234", "12 34", "-1234"] {
            assert!(Code::parse(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn codes_match_only_when_every_digit_and_the_length_do() {
        let code = Code::parse("1234").expect("a code");
        assert!(code.matches(&Code::parse("1234").expect("a code")));
        assert!(!code.matches(&Code::parse("1235").expect("a code")));
        assert!(!code.matches(&Code::parse("01234").expect("a code")));
    }

    #[test]
    fn a_code_is_never_printed() {
        assert_eq!(format!("{:?}", Code::from_value(987_654, CodeLength::SIX)), "Code(***)");
    }
}
