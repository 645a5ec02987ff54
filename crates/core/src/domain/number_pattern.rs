//! Patterns of numbers, such as `+1415555012x`: which they mean, and whether a person could own one of them.

use super::{PhoneNumber, plans};

/// A number in E.164 form in which `x` stands for any digit. A literal one is a number: it is not to be printed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NumberPattern(String);

/// Why a text is not a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It is spelled in another way.
    #[error("must be + and 7 to 15 digits, with x in the place of any digit, such as +1415555012x")]
    Unreadable,
    /// None of its numbers has a length that numbers of its country have.
    #[error("means no number that can be dialled: no number of that country has this length")]
    Impossible,
}

/// Ranges that countries have set aside for films and examples, which no person owns a number in: the plan of North
/// America (555-0100 to 555-0199 in every area), Ofcom for the United Kingdom, Arcep for France.
const FICTION: [&str; 13] = [
    "+1xxx55501xx",
    "+447700900xxx",
    "+441632960xxx",
    "+442079460xxx",
    "+441134960xxx",
    "+441144960xxx",
    "+441214960xxx",
    "+441314960xxx",
    "+441414960xxx",
    "+441514960xxx",
    "+441614960xxx",
    "+448081570xxx",
    "+336399800xx",
];

/// Numbers of a pattern that are looked at. A pattern has up to 10^15; where a plan has a block of them, as plans do, a
/// sample that is spread over all finds it.
const SAMPLES: u64 = 2_000;

/// The distance of sampled numbers, modulo their count. A prime that divides no power of ten: every digit occurs in
/// every place.
const STRIDE: u64 = 7_919_777_771;

impl NumberPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`PatternError`], which completes a sentence that begins with the subject.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let text = text.trim().replace('X', "x");
        let places = text.strip_prefix('+').ok_or(PatternError::Unreadable)?;
        let spelled = (7..=15).contains(&places.len())
            && places.bytes().all(|b| b.is_ascii_digit() || b == b'x')
            && !places.starts_with('0');
        if !spelled {
            return Err(PatternError::Unreadable);
        }
        // A number in an old form is never requested as such.
        let today = PhoneNumber::from_e164(&text).and_then(|number| plans::today(number).ok());
        let pattern = Self(today.map_or(text, PhoneNumber::e164));
        if pattern.numbers().next().is_none() { Err(PatternError::Impossible) } else { Ok(pattern) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns `true` if a person could own a matching number: a numbering plan has it, and it is not set aside for
    /// fiction.
    pub fn could_be_real(&self) -> bool {
        let is_fiction = |text: &str| FICTION.iter().any(|range| Self::covers(range, text));
        !is_fiction(&self.0)
            && self.numbers().any(|number| !is_fiction(&number.e164()) && number.is_in_a_plan())
    }

    /// Returns `true` if the pattern `range` matches a number in E.164 form, or every number of a narrower pattern.
    pub fn covers(range: &str, text: &str) -> bool {
        text.len() == range.len() && range.bytes().zip(text.bytes()).all(|(r, digit)| r == b'x' || r == digit)
    }

    /// Numbers that it means and that can be dialled: all of them, or a sample.
    fn numbers(&self) -> impl Iterator<Item = PhoneNumber> + '_ {
        let places = self.0.bytes().filter(|b| *b == b'x').count();
        // At most 15 places; therefore it fits.
        let count = u32::try_from(places).map_or(u64::MAX, |places| 10_u64.saturating_pow(places));
        let filled = (0..count.min(SAMPLES))
            .map(move |index| if count <= SAMPLES { index } else { index.wrapping_mul(STRIDE) % count });
        filled.filter_map(|mut digits| {
            let mut text = self.0.clone().into_bytes();
            for place in text.iter_mut().rev().filter(|b| **b == b'x') {
                *place = b'0' + u8::try_from(digits % 10).unwrap_or(0);
                digits /= 10;
            }
            let text = String::from_utf8(text).ok()?;
            // A number that is read as another one, such as one without its trunk zero, can never be requested.
            PhoneNumber::parse(&text, None).ok().filter(|number| number.e164() == text)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> NumberPattern {
        NumberPattern::parse(text).expect("a pattern")
    }

    #[test]
    fn a_pattern_means_the_numbers_that_have_its_digits() {
        let ten = |text| NumberPattern::covers(pattern("+1415555012X").as_str(), text);
        assert!(ten("+14155550120") && ten("+14155550129") && ten("+1415555012x"));
        assert!(!ten("+14155550139") && !ten("+4915112345678") && !ten("+141555501xx"));
    }

    #[test]
    fn what_is_spelled_otherwise_or_can_never_be_dialled_is_no_pattern() {
        for text in [
            "",
            "+",
            "1415555012x",
            "+1415555012y",
            "+123456",
            "+1234567890123456",
            "+0123456789",
            "+xé34567",
        ] {
            assert_eq!(NumberPattern::parse(text).err(), Some(PatternError::Unreadable), "{text}");
        }
        for text in ["+141555501", "+1415555012xx"] {
            assert_eq!(NumberPattern::parse(text).err(), Some(PatternError::Impossible), "{text}");
        }
    }

    #[test]
    fn a_pattern_of_one_number_in_an_old_form_means_the_number_of_today() {
        assert_eq!(pattern("+5215512345678").as_str(), "+525512345678");
    }

    #[test]
    fn numbers_of_fiction_have_no_owner() {
        for text in
            ["+14155550123", "+1415555012x", "+1xxx55501xx", "+447700900123", "+447700900xxx", "+33639980012"]
        {
            assert!(!pattern(text).could_be_real(), "{text}");
        }
    }

    #[test]
    fn a_pattern_with_one_number_that_can_have_an_owner_is_found() {
        for text in ["+14155552671", "+1415555xxxx", "+4915xxxxxxxxx", "+4479111234xx", "+1xxxxxxxxxx"] {
            assert!(pattern(text).could_be_real(), "{text}");
        }
    }
}
