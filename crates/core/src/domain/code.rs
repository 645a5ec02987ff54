//! One-time codes, as sent and as submitted. The server's own have decimal digits; a caller's may have letters.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{text, typed};
use crate::values;

/// The number of characters of a code: 4 to 10.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct CodeLength(u8);

impl CodeLength {
    /// The fewest characters a code may have.
    pub const MIN: u8 = 4;
    /// The most characters a code may have.
    pub const MAX: u8 = 10;
    /// Six digits, the least that NIST SP 800-63B-4 (3.1.3.2) accepts.
    pub const SIX: Self = Self(6);
    /// The shortest length.
    pub const SHORTEST: Self = Self(Self::MIN);

    /// A length, if it is one of 4 to 10.
    pub const fn new(digits: u8) -> Option<Self> {
        if digits >= Self::MIN && digits <= Self::MAX { Some(Self(digits)) } else { None }
    }

    /// The number of characters.
    pub const fn get(self) -> u8 {
        self.0
    }
}

values! {
    CodeLength: format!("a whole number from {} to {}", Self::MIN, Self::MAX), |text| Self::new(text.parse().ok()?), {
        "type": "integer",
        "minimum": Self::MIN,
        "maximum": Self::MAX,
    };
}

impl<'de> Deserialize<'de> for CodeLength {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        if from.is_human_readable() {
            return text(from);
        }
        let digits = u8::deserialize(from)?;
        Self::new(digits).ok_or_else(|| de::Error::custom("no code has so many digits"))
    }
}

/// A one-time code: 4 to 10 decimal digits, or letters and digits if a caller supplied it. Printed as `Code(***)`,
/// compared in constant time, wiped when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Code {
    // Unused places stay zero. Therefore the whole array can be compared.
    characters: [u8; CodeLength::MAX as usize],
    len: u8,
}

/// The characters of supplied codes: digits, capitals, small letters.
const ALPHANUMERIC: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

impl Code {
    /// The number of different characters in supplied codes.
    pub const ALPHABET: u64 = ALPHANUMERIC.len() as u64;

    /// The last `length` decimal digits of `value`, with leading zeros.
    pub fn from_value(value: u64, length: CodeLength) -> Self {
        Self::in_base(10, value, length)
    }

    /// The supplied code with this [`Code::alphanumeric_value`].
    pub fn from_alphanumeric_value(value: u64, length: CodeLength) -> Self {
        Self::in_base(Self::ALPHABET, value, length)
    }

    fn in_base(base: u64, mut value: u64, length: CodeLength) -> Self {
        let mut characters = [0; CodeLength::MAX as usize];
        for place in characters[..usize::from(length.get())].iter_mut().rev() {
            // A remainder below 62 always fits.
            *place = ALPHANUMERIC[usize::try_from(value % base).unwrap_or(0)];
            value /= base;
        }
        Self { characters, len: length.get() }
    }

    /// Reads what a person gave as a code: without signs but letters and digits, and with digits of any script. `None` for
    /// a text that cannot be one, which is no guess.
    pub fn submitted(text: &str) -> Option<Self> {
        let meant = text.chars().filter_map(typed::meant).filter(|sign| sign.is_alphanumeric());
        // A code is shorter, and a letter that no code has takes no place away.
        let meant: Zeroizing<String> = Zeroizing::new(meant.take(usize::from(CodeLength::MAX) + 1).collect());
        Self::parse_alphanumeric(&meant)
    }

    /// The only run of so many digits in a text, such as a whole message that a person pastes.
    pub fn within(text: &str, digits: CodeLength) -> Option<Self> {
        let meant: Zeroizing<String> = Zeroizing::new(text.chars().filter_map(typed::meant).collect());
        let runs = meant.split(|sign: char| !sign.is_ascii_digit());
        let mut found = runs.filter(|run| run.len() == usize::from(digits.get()));
        found.next().filter(|_| found.next().is_none()).and_then(Self::parse)
    }

    /// Reads a code of decimal digits. `None` for text that cannot be one.
    pub fn parse(text: &str) -> Option<Self> {
        Self::parse_alphanumeric(text).filter(Self::is_decimal)
    }

    /// Reads a code of letters and digits. The case of letters counts.
    pub fn parse_alphanumeric(text: &str) -> Option<Self> {
        let length = CodeLength::new(u8::try_from(text.len()).ok()?)?;
        if !text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return None;
        }
        let mut characters = [0; CodeLength::MAX as usize];
        characters[..text.len()].copy_from_slice(text.as_bytes());
        Some(Self { characters, len: length.get() })
    }

    /// Whether the code has no letters, as those that the server and gateways make.
    pub fn is_decimal(&self) -> bool {
        self.used().iter().all(u8::is_ascii_digit)
    }

    /// The characters themselves. Only templates and gateways call this.
    pub fn expose(&self) -> &str {
        std::str::from_utf8(self.used()).unwrap_or_default()
    }

    /// The number of characters.
    pub const fn length(&self) -> CodeLength {
        CodeLength(self.len)
    }

    /// The characters as a number in base 62. Only the derivation of offsets calls this.
    pub fn alphanumeric_value(&self) -> u64 {
        self.used().iter().fold(0, |value, character| {
            let digit = match character {
                b'A'..=b'Z' => character - b'A' + 10,
                b'a'..=b'z' => character - b'a' + 36,
                _ => character.wrapping_sub(b'0'),
            };
            value * Self::ALPHABET + u64::from(digit)
        })
    }

    /// Compares in time that does not depend on where the codes differ.
    pub fn matches(&self, other: &Self) -> bool {
        (self.characters.ct_eq(&other.characters) & self.len.ct_eq(&other.len)).into()
    }

    fn used(&self) -> &[u8] {
        &self.characters[..usize::from(self.len)]
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
    fn only_four_to_ten_ascii_digits_or_letters_whose_case_counts_are_a_code() {
        let codes = ["1234", "1235", "01234", "0000000000", "ab3d", "AB3D"];
        let read = |text| Code::parse_alphanumeric(text).expect("a code");
        for text in codes {
            let code = read(text);
            assert_eq!(code.expose(), text);
            assert_eq!(Code::parse(text).is_some(), code.is_decimal());
            assert_eq!(codes.map(|other| code.matches(&read(other))), codes.map(|other| other == text));
        }
        for text in ["", "123", "12345678901", "１２３４", " 1234", "12 34", "-1234", "Ab3dAb3dAb3", "Äb3d"]
        {
            assert!(Code::parse_alphanumeric(text).is_none(), "{text:?}");
        }
    }

    fn submitted(text: &str) -> Option<String> {
        Code::submitted(text).map(|code| code.expose().to_owned())
    }

    #[test]
    fn a_submitted_code_is_what_the_person_means() {
        for text in [
            "123456",
            "123456\n",
            "123\u{2011}456.",
            "(123) 456",
            "\"123456\"",
            "١٢٣٤٥٦",
            "1\u{fe0f}\u{20e3}23456",
        ] {
            assert_eq!(submitted(text).as_deref(), Some("123456"), "{text:?}");
        }
        // A guess, and a wrong one.
        for (text, code) in
            [("12345", "12345"), ("Ab3-d9", "Ab3d9"), ("ＡＢ12", "AB12"), ("12345a", "12345a")]
        {
            assert_eq!(submitted(text).as_deref(), Some(code), "{text:?}");
        }
        for text in ["Your Acme Shop code is 123456.", "12345é", "12345678901", "", "123"] {
            assert!(submitted(text).is_none(), "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn separators_change_no_code_and_no_letter_is_lost(code in "[0-9A-Za-z]{4,10}", marks in "[ \\-\u{a0}\u{202a}.]{0,6}", at in 0..10_usize) {
            let (front, back) = code.split_at(at.min(code.len()));
            for text in [format!("{front}{marks}{back}"), format!("{marks}{code}{marks}")] {
                proptest::prop_assert_eq!(submitted(&text), Some(code.clone()));
            }
        }
    }

    #[test]
    fn a_code_is_never_printed() {
        assert_eq!(format!("{:?}", Code::from_value(987_654, CodeLength::SIX)), "Code(***)");
    }
}
