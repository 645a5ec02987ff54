//! Numbers and codes as people type and paste them, with signs that cannot be seen and with digits of any script: which
//! they mean.

use rlibphonenumber::{NumberLengthType, PHONE_NUMBER_UTIL, PhoneNumberFormat};

use super::{NumberError, NumberProblem, NumberType, PhoneNumber, Region, plans};

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
        match default_region.filter(|_| !typed.starts_with('+')) {
            Some(region) => Self::read_in(&typed, region),
            None => Self::read(text, &typed, None),
        }
    }

    /// A number without a `+`, as people of a region dial and write it. The numbering plans have more readings than people
    /// mean: of a carrier's prefix that other digits happen to begin with, or of a landline for a country code without `+`.
    fn read_in(typed: &str, region: Region) -> Result<(Self, Self), NumberError> {
        let digits: String = typed.chars().filter(char::is_ascii_digit).collect();
        let international = |digits: &str| {
            let e164 = format!("+{digits}");
            Self::read(&e164, &e164, None)
        };
        let is_valid = |(number, _): &(Self, Self)| number.is_in_a_plan();
        let calling_code = region.calling_code().map(|code| code.to_string()).unwrap_or_default();
        let plain = Self::read(typed, typed, Some(region));
        let is_plain_valid = plain.as_ref().is_ok_and(is_valid);
        let of_region = |of: &(Self, Self)| of.1.as_u64().to_string().starts_with(&calling_code);
        if let Some(behind) = digits.strip_prefix("00") {
            let dialled = international(behind);
            let is_at_home = is_plain_valid && plain.as_ref().is_ok_and(of_region);
            if !is_at_home && dialled.as_ref().is_ok_and(is_valid) || plain.is_err() {
                return dialled.or(plain);
            }
        }
        if digits.starts_with(&calling_code) {
            let is_landline = |(number, _): &(Self, Self)| number.number_type() == NumberType::Landline;
            let is_mobile = |of: &(Self, Self)| is_valid(of) && !is_landline(of);
            let without_plus = international(&digits);
            let is_better = !is_plain_valid || plain.as_ref().is_ok_and(is_landline);
            if is_better && without_plus.as_ref().is_ok_and(is_mobile) {
                return without_plus;
            }
        }
        if is_plain_valid {
            return plain;
        }
        let of_before = plans::without_old_prefix(&digits, region);
        let mut of_before = of_before.filter_map(|rest| Self::read(&rest, &rest, Some(region)).ok());
        of_before.find(is_valid).map_or(plain, Ok)
    }

    /// The number that the numbering plans read in `typed`, and its spelling. `text` is what was given.
    fn read(text: &str, typed: &str, region: Option<Region>) -> Result<(Self, Self), NumberError> {
        let parsed = PHONE_NUMBER_UTIL
            .parse(typed, region.map(|r| r.0))
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

    /// The same as [`Self::parse`], also without a region with `00` in place of the `+`.
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
        // Unicode's dashes (Pd), minus signs, and the long vowel marks and bullets that keyboards have in their place.
        '\u{58a}'
        | '\u{5be}'
        | '\u{1400}'
        | '\u{1806}'
        | '\u{2010}'..='\u{2015}'
        | '\u{2e17}'
        | '\u{2e1a}'
        | '\u{2e3a}'
        | '\u{2e3b}'
        | '\u{2e40}'
        | '\u{2e5d}'
        | '\u{301c}'
        | '\u{3030}'
        | '\u{30a0}'
        | '\u{fe31}'
        | '\u{fe32}'
        | '\u{fe58}'
        | '\u{fe63}'
        | '\u{10ead}'
        | '\u{2d7}'
        | '\u{2043}'
        | '\u{207b}'
        | '\u{208b}'
        | '\u{2053}'
        | '\u{2212}'
        | '\u{223c}'
        | '\u{2500}'
        | '\u{2501}'
        | '\u{2796}'
        | '\u{640}'
        | '\u{30fc}'
        | '\u{ff5e}'
        | '\u{ff70}' => '-',
        // Dots and slashes.
        '\u{b7}' | '\u{2022}' | '\u{2024}' | '\u{2027}' | '\u{22c5}' | '\u{30fb}' | '\u{3002}'
        | '\u{ff61}' | '\u{ff65}' => '.',
        '\u{2044}' | '\u{2215}' => '/',
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
            // Brackets are parentheses, and a tilde is a hyphen, as in libphonenumber.
            '[' => number.push('('),
            ']' => number.push(')'),
            '~' => number.push('-'),
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

    /// The ways in which people write a number: name, and the text of E.164, international and national form.
    fn spellings(
        e164: &str,
        international: &str,
        national: &str,
        calling_code: &str,
    ) -> Vec<(&'static str, String)> {
        let rest = &e164[1 + calling_code.len()..];
        let digits: String = national.chars().filter(char::is_ascii_digit).collect();
        let with = |sign: &str| national.replace([' ', '-'], sign);
        let shifted = |text: &str, zero: u32| -> String {
            let sign =
                |sign: char| sign.to_digit(10).and_then(|digit| char::from_u32(zero + digit)).unwrap_or(sign);
            text.chars().map(sign).collect()
        };
        vec![
            ("E.164", e164.to_owned()),
            ("international", international.to_owned()),
            ("tel:", format!("tel:{}", international.replace(' ', "-"))),
            ("full-width plus", e164.replace('+', "\u{ff0b}")),
            ("marks of direction", format!("\u{202a}{international}\u{202c}")),
            ("parentheses", format!("(+{calling_code}) {rest}")),
            ("national", national.to_owned()),
            ("digits", digits.clone()),
            ("hyphens", with("-")),
            ("dots", with(".")),
            ("slashes", with("/")),
            ("no-break spaces", with("\u{a0}")),
            ("no-break hyphens", with("\u{2011}")),
            ("minus signs", with("\u{2212}")),
            ("long vowel marks", with("\u{30fc}")),
            ("wave dashes", with("\u{301c}")),
            ("katakana middle dots", with("\u{30fb}")),
            ("full-width digits", shifted(national, 0xff10)),
            ("Arabic digits", shifted(national, 0x660)),
            ("Devanagari digits", shifted(&digits, 0x966)),
            ("00", format!("00{}", &e164[1..])),
            ("00 and spaces", format!("00 {}", &international[1..])),
            ("(00", format!("(00{calling_code}) {rest}")),
            ("no plus", e164[1..].to_owned()),
        ]
    }

    #[test]
    fn the_numbers_of_each_country_are_read_in_24_spellings_but_for_those_of_the_table() {
        let facts = include_str!("../../../../tests/facts/numbers.tsv");
        let listed = include_str!("../../../../tests/facts/spellings.tsv");
        let listed: Vec<&str> = listed.lines().filter(|line| !line.starts_with('#')).collect();
        let mut differences = Vec::new();
        for line in facts.lines().filter(|line| !line.starts_with('#')) {
            let columns: Vec<&str> = line.split('\t').collect();
            let plain = e164(columns[2]);
            let number = plain.as_deref().and_then(PhoneNumber::from_e164);
            for region in columns[0].split(' ').filter_map(Region::parse) {
                let Some(number) = number.filter(|number| number.is_in_a_plan()) else { continue };
                let code = region.calling_code().expect("a code").to_string();
                let Some(parts) = number.split_country_code().filter(|_| columns[2][1..].starts_with(&code))
                else {
                    continue;
                };
                let national = parts.format_as(PhoneNumberFormat::National);
                for (spelling, text) in spellings(columns[2], columns[3], &national, &code) {
                    let read = PhoneNumber::parse(&text, Some(region)).map(PhoneNumber::e164);
                    if read.as_deref().ok() != plain.as_deref() {
                        let read = read.unwrap_or_else(|error| format!("({error})"));
                        differences.push(format!("{region}\t{}\t{spelling}\t{text}\t{read}", columns[1]));
                    }
                }
            }
        }
        let reasons = |line: &&str| line.rsplit_once('\t').map(|(difference, _)| difference.to_owned());
        let known: Vec<String> = listed.iter().filter_map(reasons).collect();
        let new: Vec<_> = differences.iter().filter(|of| !known.contains(of)).cloned().collect();
        let gone: Vec<_> = known.iter().filter(|of| !differences.contains(of)).cloned().collect();
        assert!(new.is_empty() && gone.is_empty(), "new:\n{}\ngone:\n{}", new.join("\n"), gone.join("\n"));
    }

    #[test]
    fn numbers_are_read_as_people_of_the_chosen_country_mean_them() {
        for (region, text, meant) in [
            // `00` in place of `+`, where other digits behind it are a carrier's in Brazil.
            ("BR", "0055 51 98765 4321", "+5551987654321"),
            ("BR", "00 15 1 415 555 2671", "+14155552671"),
            ("BR", "0 21 11 98765-4321", "+5511987654321"),
            ("KR", "00 1 415 555 2671", "+14155552671"),
            ("KR", "001 1 415 555 2671", "+14155552671"),
            ("US", "011 44 7400 123456", "+447400123456"),
            ("US", "0044 7400 123456", "+447400123456"),
            ("AU", "0011 44 7400 123456", "+447400123456"),
            ("JP", "0081 90 1234 5678", "+819012345678"),
            // The country code without a plus.
            ("DE", "4915150405214", "+4915150405214"),
            ("DE", "49 151 50405214", "+4915150405214"),
            ("DE", "0151 50405214", "+4915150405214"),
            ("ES", "34612345678", "+34612345678"),
            ("BR", "5511987654321", "+5511987654321"),
            ("FR", "33612345678", "+33612345678"),
            // Signs of other keyboards.
            ("JP", "090ー1234ー5678", "+819012345678"),
            ("JP", "090‐1234‐5678", "+819012345678"),
            ("JP", "０９０－１２３４－５６７８", "+819012345678"),
            ("JP", "090・1234・5678", "+819012345678"),
            ("CN", "138~0013~8000", "+8613800138000"),
            ("DE", "[0151] 504–05214", "+4915150405214"),
            ("IL", "050־234־5678", "+972502345678"),
            // Prefixes that a country has given up.
            ("MX", "044 55 1234 5671", "+525512345671"),
            ("MX", "045 55 1234 5671", "+525512345671"),
            ("MX", "01 55 1234 5671", "+525512345671"),
            ("MX", "1 55 1234 5671", "+525512345671"),
            ("MX", "55 1234 5671", "+525512345671"),
            ("MX", "52 1 55 1234 5671", "+525512345671"),
            ("UZ", "8 91 234 56 78", "+998912345678"),
            ("TJ", "8 917 123456", "+992917123456"),
            ("CL", "09 8765 4321", "+56987654321"),
            ("UA", "8 050 123 4567", "+380501234567"),
            ("LT", "8 612 34567", "+37061234567"),
            ("RU", "8 912 345-67-89", "+79123456789"),
            ("RU", "7 912 345-67-89", "+79123456789"),
            ("AR", "011 15-2345-6789", "+5491123456789"),
            ("HU", "06 20 123 4567", "+36201234567"),
            // The French plan.
            ("FR", "0690 30 12 34", "+590690301234"),
            ("FR", "0692 12 34 56", "+262692123456"),
            ("FR", "0639 01 23 45", "+262639012345"),
            ("FR", "0696 20 12 34", "+596696201234"),
            ("FR", "0694 20 12 34", "+594694201234"),
            ("FR", "33690301234", "+590690301234"),
            ("FR", "0033 690 301 234", "+590690301234"),
            ("FR", "06 12 34 56 78", "+33612345678"),
            ("GP", "0690 30 12 34", "+590690301234"),
            ("GP", "0696 20 12 34", "+596696201234"),
            ("RE", "0690 30 12 34", "+590690301234"),
            ("MQ", "06 12 34 56 78", "+33612345678"),
        ] {
            let read = PhoneNumber::parse(text, Region::parse(region)).map(PhoneNumber::e164);
            assert_eq!(read.as_deref(), Ok(meant), "{region} {text}");
        }
        for (text, meant) in [
            ("+33690301234", "+590690301234"),
            ("+33 6 94 20 12 34", "+594694201234"),
            ("+33695123456", "+33695123456"),
            ("+33612345678", "+33612345678"),
            ("+262690301234", "+590690301234"),
        ] {
            assert_eq!(e164(text).as_deref(), Some(meant));
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
