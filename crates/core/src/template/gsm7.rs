//! The size of a text in text messages, after 3GPP TS 23.038: its default alphabet of 7 bits (section 6.2.1)
//! where that has every character, else UCS-2; and TS 23.040 (section 9.2.3.24) for the header of each part of a
//! longer one.
//!
//! Alphabets of single nations are left out: gateways do not use them.

/// In the default alphabet, beside the letters and digits of ASCII.
const BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./:;<=>?¡ÄÖÑÜ§¿äöñüà";

/// In its extension table: an escape comes before each of these.
const EXTENSION: &str = "\u{c}^{}\\[~]|€";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Alphabet {
    Gsm7,
    Ucs2,
}

impl Alphabet {
    /// Characters of a message in one part, and of each part of a longer one.
    pub(super) const fn room(self) -> (usize, usize) {
        match self {
            Self::Gsm7 => (160, 153),
            Self::Ucs2 => (70, 67),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) alphabet: Alphabet,
    pub(super) units: usize,
    /// Parts, each of which is paid for.
    pub(super) segments: usize,
}

/// The text messages that this whole text is sent as, each of which is paid for.
pub fn parts_of(text: &str) -> u8 {
    u8::try_from(size(text).segments).unwrap_or(u8::MAX)
}

pub(super) fn size(text: &str) -> Size {
    let (alphabet, total) = match text.chars().map(septets).sum::<Option<usize>>() {
        Some(total) => (Alphabet::Gsm7, total),
        None => (Alphabet::Ucs2, text.chars().map(char::len_utf16).sum()),
    };
    let units = |c: char| match alphabet {
        Alphabet::Gsm7 => septets(c).unwrap_or(1),
        Alphabet::Ucs2 => c.len_utf16(),
    };
    let (whole, part) = alphabet.room();
    let segments = if total <= whole { 1 } else { parts(text.chars().map(units), part) };
    Size { alphabet, units: total, segments }
}

/// The characters that the default alphabet lacks, each once, in the order of the text.
pub(super) fn foreign(text: &str) -> Vec<char> {
    let mut found = Vec::new();
    for character in text.chars().filter(|c| septets(*c).is_none()) {
        if !found.contains(&character) {
            found.push(character);
        }
    }
    found
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
