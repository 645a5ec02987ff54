//! Numbers and codes as people type and paste them: with signs that cannot be seen, and with digits of any script.

use rlibphonenumber::PHONE_NUMBER_UTIL;

use super::NumberError;

/// The sign that a person means: digits of every script and full-width signs as ASCII, each white space as a space, each
/// dash as a hyphen. `None` for a sign that cannot be seen, such as the marks of direction around a pasted number.
pub fn meant(sign: char) -> Option<char> {
    if sign.is_ascii_graphic() {
        return Some(sign);
    }
    Some(match sign {
        '\u{ad}'
        | '\u{34f}'
        | '\u{61c}'
        | '\u{180e}'
        | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}'
        | '\u{e0000}'..='\u{e0fff}' => return None,
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' => '-',
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(sign) - 0xfee0).unwrap_or(sign),
        _ if sign.is_whitespace() || matches!(sign, '\u{2800}' | '\u{3164}') => ' ',
        // The library knows the digits of every script.
        _ if sign.is_numeric() => {
            let digit = PHONE_NUMBER_UTIL.normalize_digits_only(sign.encode_utf8(&mut [0; 4]));
            digit.chars().next().unwrap_or(sign)
        }
        _ => sign,
    })
}

/// A number as the numbering plans read it: ASCII digits and their separators, behind a `+` if there is one. In a form a
/// `+` means a space: with `is_form`, a space before the first digit, also one behind `tel:`, is taken for one.
///
/// # Errors
/// [`NumberError::Sign`] names a sign that no number has.
pub(super) fn number(text: &str, is_form: bool) -> Result<String, NumberError> {
    let signs: String = text.chars().filter_map(meant).collect();
    let signs = signs.trim();
    let scheme = signs.get(..4).filter(|scheme| scheme.eq_ignore_ascii_case("tel:"));
    let signs = signs[scheme.map_or(0, str::len)..].trim_start();
    let mut number = String::with_capacity(signs.len() + 1);
    let is_digit = |sign: char| meant(sign).is_some_and(|sign| sign.is_ascii_digit());
    let before = text.split(is_digit).next().and_then(|before| before.rsplit(':').next());
    if is_form && before.is_some_and(|gap| gap.contains(' ')) && signs.starts_with(is_digit) {
        number.push('+');
    }
    for sign in signs.chars() {
        match sign {
            '0'..='9' | ' ' | '-' | '(' | ')' | '.' | '/' => number.push(sign),
            '+' if number.chars().all(|before| matches!(before, ' ' | '(')) => "+".clone_into(&mut number),
            '+' => return Err(NumberError::Unreadable),
            _ => return Err(NumberError::Sign(sign)),
        }
    }
    number.truncate(number.trim_end().len());
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_is_read_as_it_is_meant() {
        for (sign, read) in [
            ('7', Some('7')),
            ('\u{667}', Some('7')),
            ('\u{96d}', Some('7')),
            ('\u{ff17}', Some('7')),
            ('\u{ff0b}', Some('+')),
            ('\u{a0}', Some(' ')),
            ('\u{2011}', Some('-')),
            ('\u{202a}', None),
            // No decimal digits.
            ('\u{b2}', Some('\u{b2}')),
            ('\u{4e00}', Some('\u{4e00}')),
            ('A', Some('A')),
        ] {
            assert_eq!(meant(sign), read, "U+{:04X}", u32::from(sign));
        }
    }

    #[test]
    fn no_sign_of_a_number_is_lost_or_made_up() {
        for (text, read) in [
            ("\u{202a}+14155552671\u{202c}", "+14155552671"),
            ("TEL:+1-415-555-2671", "+1-415-555-2671"),
            ("(+1) 415", "+1) 415"),
            (" 0171 123", "0171 123"),
        ] {
            assert_eq!(number(text, false).as_deref(), Ok(read), "{text:?}");
        }
        for (text, read) in [
            (" 1415", "+1415"),
            (" +1415", "+1415"),
            ("1415", "1415"),
            ("tel: 1415", "+1415"),
            (" tel:1415", "1415"),
            ("\u{202a} 1415\u{202c}", "+1415"),
            (" \u{202a}\u{661}415", "+1415"),
            ("\u{a0}1415", "1415"),
        ] {
            assert_eq!(number(text, true).as_deref(), Ok(read), "{text:?}");
        }
        for text in ["++1415", "+1+415", "1415+", "-+1415"] {
            assert_eq!(number(text, true), Err(NumberError::Unreadable), "{text:?}");
        }
        for (text, sign) in [("+1415x5", 'x'), ("+1\u{b2}", '\u{b2}'), ("tel:+1;ext=5", ';'), ("+1\0", '\0')]
        {
            assert_eq!(number(text, false), Err(NumberError::Sign(sign)), "{text:?}");
        }
    }
}
