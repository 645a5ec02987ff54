//! The size of a text in text messages, after 3GPP TS 23.038: its default alphabet of 7 bits (section 6.2.1)
//! where that has every character, else UCS-2; and TS 23.040 (section 9.2.3.24) for the header of each part of a
//! longer one.
//!
//! Alphabets of single nations are left out: gateways do not use them.

use serde::Deserialize;

/// In the default alphabet, beside the letters and digits of ASCII.
const BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./:;<=>?¡ÄÖÑÜ§¿äöñüà";

/// In its extension table: an escape comes before each of these.
const EXTENSION: &str = "\u{c}^{}\\[~]|€";

/// Characters of a message in one part, and of each part of a longer one: in the default alphabet, and in UCS-2.
const GSM7: (usize, usize) = (160, 153);
const UCS2: (usize, usize) = (70, 67);

/// The alphabet in which a text is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Alphabet {
    /// The default alphabet.
    Gsm7,
    Ucs2,
}

impl Alphabet {
    /// The one that takes the fewest parts.
    pub fn of(text: &str) -> Self {
        if text.chars().all(|character| septets(character).is_some()) { Self::Gsm7 } else { Self::Ucs2 }
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gsm7 => "gsm7",
            Self::Ucs2 => "ucs2",
        }
    }

    /// The text messages that this whole text is sent as, each of which is paid for.
    pub fn parts(self, text: &str) -> usize {
        let (whole, part) = if self == Self::Gsm7 { GSM7 } else { UCS2 };
        let units = |c: char| if self == Self::Gsm7 { septets(c).unwrap_or(1) } else { c.len_utf16() };
        let total: usize = text.chars().map(units).sum();
        if total <= whole { 1 } else { parts(text.chars().map(units), part) }
    }
}

/// The same in the alphabet that takes the fewest.
pub fn parts_of(text: &str) -> usize {
    Alphabet::of(text).parts(text)
}

/// Parts of `room` units. A character of two units does not go across two parts.
fn parts(characters: impl Iterator<Item = usize>, room: usize) -> usize {
    let (mut parts, mut left) = (1, room);
    for units in characters {
        if units > left {
            (parts, left) = (parts + 1, room);
        }
        left -= units;
    }
    parts
}

/// The septets of a character; `None` when the default alphabet lacks it.
fn septets(character: char) -> Option<usize> {
    // Most characters of a text need no search of the table.
    if character.is_ascii_alphanumeric() || character == ' ' || BASIC.contains(character) {
        Some(1)
    } else if EXTENSION.contains(character) {
        Some(2)
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
