//! Numbers and codes as people type and paste them, with signs that cannot be seen and with digits of any script: which
//! they mean.

use rlibphonenumber::{NumberLengthType, PHONE_NUMBER_UTIL, PhoneNumberFormat};

use super::{NumberError, NumberProblem, PhoneNumber, Region, plans};

/// Longest text read as a number: fifteen digits with generous punctuation. Longer input is
/// refused before it costs anything.
pub(super) const TEXT_MAX: usize = 40;

impl PhoneNumber {
    /// Reads a number and folds its spellings (separators, signs that cannot be seen, digits of any script, a trunk zero
    /// after the country code, the form before its country renumbered) into one. Without a `default_region` the number
    /// must begin with `+`, or with the space that a form makes of it.
    ///
    /// The result is read as itself. A second trunk zero would be folded only when that is read again,
    /// so one line would have two numbers, and twice the attempts: such a text is refused.
    pub fn parse(text: &str, default_region: Option<Region>) -> Result<Self, NumberError> {
        Self::parse_with_spelling(text, default_region).map(|(number, _)| number)
    }

    /// The same, and the number in E.164 form as the text spells it, which may be the form before a renumbering.
    pub fn parse_with_spelling(
        text: &str,
        default_region: Option<Region>,
    ) -> Result<(Self, Self), NumberError> {
        let text = text.trim_end();
        // The library returns each number of North America unchanged, and no country there has renumbered.
        if let Some(known) =
            Self::from_e164(text).filter(|number| number.area_code().is_some() || number.was_read())
        {
            return Ok((known, known));
        }
        // A sign has at most four bytes.
        if text.len() > 4 * TEXT_MAX {
            return Err(NumberError::Unreadable(NumberProblem::TooLong));
        }
        let typed = number_in(text, default_region.is_none())?;
        if typed.len() > TEXT_MAX {
            return Err(NumberError::Unreadable(NumberProblem::TooLong));
        }
        // A `+` says all: with a region, some texts would be read as if they began with that region's prefix for calls
        // to other countries.
        let region = default_region.filter(|_| !typed.starts_with('+'));
        let parsed = PHONE_NUMBER_UTIL
            .parse(&typed, region.map(|r| r.0))
            .map_err(|error| NumberError::Unreadable(error.into()))?;
        let e164 = parsed.format_as(PhoneNumberFormat::E164);
        let impossible = |problem| NumberError::Impossible(parsed.country_code, problem);
        let spelled = Self::from_e164(&e164).ok_or_else(|| impossible(NumberProblem::TooLong))?;
        let number = plans::today(spelled)?;
        if let Some(problem) = length_problem(&parsed).filter(|_| number == spelled) {
            return Err(impossible(problem));
        }
        if number == spelled && text == e164 {
            number.remember_as_read();
        } else if Self::parse(&number.e164(), None) != Ok(number) {
            return Err(impossible(NumberProblem::InvalidLength));
        }
        Ok((number, spelled))
    }

    /// The same as [`Self::parse`], also with `00` in place of the `+`, as people dial in many countries.
    ///
    /// # Errors
    /// [`NumberError`] of the text as it stands.
    pub fn parse_dialled(text: &str, default_region: Option<Region>) -> Result<Self, NumberError> {
        Self::parse(text, default_region).or_else(|error| {
            let typed = number_in(text, false).unwrap_or_default();
            let international = typed.trim_start_matches(['(', ' ']).strip_prefix("00");
            international.and_then(|rest| Self::parse(&format!("+{rest}"), None).ok()).ok_or(error)
        })
    }

    /// The whole number as people write it in this country, `(415) 555-2671`; `None` if it is not read again there.
    pub fn national(self, region: Region) -> Option<String> {
        let text = self.split_country_code()?.format_as(PhoneNumberFormat::National).into_owned();
        (Self::parse(&text, Some(region)) == Ok(self)).then_some(text)
    }
}

fn length_problem(number: &rlibphonenumber::PhoneNumber) -> Option<NumberProblem> {
    match number.is_possible_with_reason() {
        Ok(NumberLengthType::IsPossible) => None,
        // A local number, without its area code, cannot be called from elsewhere.
        Ok(NumberLengthType::IsPossibleLocalOnly) => Some(NumberProblem::TooShort),
        Err(error) => Some(error.into()),
    }
}

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
/// [`NumberProblem::NotANumber`].
pub(super) fn number_in(text: &str, is_form: bool) -> Result<String, NumberError> {
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
            _ => return Err(NumberError::Unreadable(NumberProblem::NotANumber)),
        }
    }
    number.truncate(number.trim_end().len());
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::super::phone::region_of;
    use super::*;

    const NOT_A_NUMBER: NumberError = NumberError::Unreadable(NumberProblem::NotANumber);

    fn e164(text: &str) -> Option<String> {
        PhoneNumber::parse(text, None).ok().map(PhoneNumber::e164)
    }

    #[test]
    fn numbers_of_the_world_are_read_in_each_form_and_nothing_behind_them() {
        let table = include_str!("../../../../tests/facts/numbers.tsv");
        for line in table.lines().filter(|line| !line.starts_with('#')) {
            let columns: Vec<&str> = line.split('\t').collect();
            let to = Some(*columns.get(6).unwrap_or(&columns[2])).filter(|_| columns[5] != "60200");
            for form in &columns[2..5] {
                assert_eq!(e164(form).as_deref(), to, "{line}");
                for sign in ['*', '#', 'p', 'w', ';', ','] {
                    let refused = PhoneNumber::parse(&format!("{form}{sign}5"), None);
                    assert_eq!(refused, Err(NOT_A_NUMBER), "{form}");
                }
            }
        }
    }

    #[test]
    fn no_sign_of_a_number_is_lost_or_made_up() {
        for (is_form, text, read) in [
            (false, "\u{202a}+14155552671\u{202c}", "+14155552671"),
            (false, "TEL:+1-415-555-2671", "+1-415-555-2671"),
            (false, "(+1) 415", "+1) 415"),
            (false, " 0171 123", "0171 123"),
            (false, "\u{ff0b}1\u{a0}\u{ff14}\u{967}\u{2011}\u{665}", "+1 41-5"),
            (true, " 1415", "+1415"),
            (true, " +1415", "+1415"),
            (true, "1415", "1415"),
            (true, "tel: 1415", "+1415"),
            (true, " tel:1415", "1415"),
            (true, " \u{202a}\u{661}415\u{202c}", "+1415"),
            (true, "\u{a0}1415", "1415"),
        ] {
            assert_eq!(number_in(text, is_form).as_deref(), Ok(read), "{text:?}");
        }
        for text in ["++1415", "+1+415", "1415+", "-+1415", "+1415x5", "+1\u{b2}", "tel:+1;ext=5", "+1\0"] {
            assert_eq!(number_in(text, true), Err(NOT_A_NUMBER), "{text:?}");
        }
    }

    #[test]
    fn a_dialled_number_may_begin_with_00_and_has_the_spelling_of_its_country() {
        let [us, egypt, arabia] = ["US", "EG", "SA"].map(Region::parse);
        for text in ["00201001234572", "(0020) 1001 234572", "٠٠٢٠١٠٠١٢٣٤٥٧٢", "+20 1001234572"]
        {
            let number = PhoneNumber::parse_dialled(text, us).map(PhoneNumber::e164);
            assert_eq!(number.as_deref(), Ok("+201001234572"), "{text}");
        }
        assert!(PhoneNumber::parse_dialled("00", us).is_err());
        let mistaken = PhoneNumber::parse("0501234567", egypt).expect("a number");
        let typed = mistaken.national(egypt.expect("a region")).expect("a text");
        assert_eq!(PhoneNumber::parse(&typed, arabia).map(PhoneNumber::e164).as_deref(), Ok("+966501234567"));
        assert_eq!(mistaken.national(us.expect("a region")), None);
    }

    #[test]
    fn an_old_number_is_the_one_of_today_and_keeps_its_spelling() {
        for (text, today, spelled) in [
            ("+52 55 1234 5678", "+525512345678", "+525512345678"),
            ("+241 6031234", "+24166031234", "+2416031234"),
        ] {
            let (number, as_spelled) = PhoneNumber::parse_with_spelling(text, None).expect(text);
            assert_eq!((number.e164().as_str(), as_spelled.e164().as_str()), (today, spelled));
            assert_eq!(PhoneNumber::from_e164(spelled).map(PhoneNumber::e164).as_deref(), Some(spelled));
        }
        let number = PhoneNumber::parse("(11) 8765-4321", Region::parse("BR")).map(PhoneNumber::e164);
        assert_eq!(number.as_deref(), Ok("+5511987654321"));
        for text in ["+225 07 12 34 56", "07123456"] {
            let refused = PhoneNumber::parse(text, Region::parse("CI"));
            assert!(matches!(refused, Err(NumberError::Renumbered(_))), "{text}: {refused:?}");
        }
    }

    #[test]
    fn one_trunk_zero_folds_and_digits_that_look_alike_stay() {
        for (text, number) in [
            ("+49 (0) 171 1234567", "+491711234567"),
            ("+4901711234567", "+491711234567"),
            // A landline of Argentina, and a mobile number.
            ("+54 11 2345-6789", "+541123456789"),
            ("+54 9 11 2345-6789", "+5491123456789"),
            ("+39 06 1234 5678", "+390612345678"),
        ] {
            assert_eq!(e164(text).as_deref(), Some(number));
        }
        assert_ne!(e164("+39 6 1234 5678").as_deref(), Some("+390612345678"));
        // A second zero would make another number of the line.
        for text in ["+49001711234567", "+490001711234567", "+91 00000000123"] {
            let refused = PhoneNumber::parse(text, None);
            assert!(matches!(refused, Err(NumberError::Impossible(49 | 91, _))), "{text}: {refused:?}");
        }
    }

    #[test]
    fn a_number_of_north_america_is_read_and_placed_as_the_library_does() {
        for area in 0..1_000 {
            for rest in [2_000_000, 2_345_678, 3_101_234, 5_550_123, 9_999_999, 310_000] {
                let number =
                    PhoneNumber::from_u64(10_000_000_000 + area * 10_000_000 + rest).expect("a number");
                let library = number.split_country_code().as_ref().and_then(region_of);
                assert_eq!(number.region(), library, "{}", number.e164());
                let e164 = number.e164();
                let is_read = PHONE_NUMBER_UTIL.parse(&e164, None).is_ok_and(|read| {
                    length_problem(&read).is_none() && read.format_as(PhoneNumberFormat::E164) == e164
                });
                assert_eq!(PhoneNumber::parse(&e164, None) == Ok(number), is_read, "{e164}");
            }
        }
    }
}
