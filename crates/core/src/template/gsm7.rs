//! The size of a text in text messages, after 3GPP TS 23.038: its default alphabet of 7 bits (section 6.2.1)
//! where that has every character, else UCS-2; and TS 23.040 (section 9.2.3.24) for the header of each part of a
//! longer one.
//!
//! Alphabets of single nations are left out: gateways do not use them.

/// In the default alphabet, beside the letters and digits of ASCII.
const BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./:;<=>?¡ÄÖÑÜ§¿äöñüà";

/// In its extension table: an escape comes before each of these.
const EXTENSION: &str = "\u{c}^{}\\[~]|€";

/// Characters of a message in one part, and of each part of a longer one: in the default alphabet, and in UCS-2.
const GSM7: (usize, usize) = (160, 153);
const UCS2: (usize, usize) = (70, 67);

/// The text messages that this whole text is sent as, each of which is paid for.
pub fn parts_of(text: &str) -> usize {
    let in_gsm7 = text.chars().map(septets).sum::<Option<usize>>();
    let units = |c: char| in_gsm7.map_or(c.len_utf16(), |_| septets(c).unwrap_or(1));
    let (whole, part) = if in_gsm7.is_some() { GSM7 } else { UCS2 };
    let total: usize = text.chars().map(units).sum();
    if total <= whole { 1 } else { parts(text.chars().map(units), part) }
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
