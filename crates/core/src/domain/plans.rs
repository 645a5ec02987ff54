//! Renumbered plans: one line that people write in its old and in its new form is one number.

use std::sync::LazyLock;

use rlibphonenumber::{PHONE_NUMBER_UTIL, PhoneNumberFormat, PhoneNumberType};

use super::phone::Region;
use super::typed::TEXT_MAX;
use super::{NumberError, NumberProblem, PhoneNumber};

/// The rows of `plans.txt`.
static TABLE: LazyLock<Vec<(&str, Result<&str, &str>)>> = LazyLock::new(|| {
    let rows = include_str!("plans.txt").lines().filter(|line| !line.starts_with("# "));
    let rows = rows.filter_map(|line| line.split_once(' '));
    rows.map(|(old, today)| (old, today.strip_prefix("! ").map_or(Ok(today), Err))).collect()
});

/// The old forms in which WhatsApp still registers accounts: whapi.cloud and green-api.com, "Specifics of sending messages
/// to numbers of different countries".
const ON_WHATSAPP: [&str; 2] = ["521[23456789]#########", "55[3456789][123456789][689]#######"];

/// Numbers of Sint Maarten and Kosovo under the codes of the Netherlands Antilles, Monaco and Slovenia.
const UNDER_ANOTHER_CODE: [&str; 4] = ["5995######", "37744######", "37745######", "38649######"];

/// The codes of France and of its overseas departments, which dial each other as at home: 0690 and further digits is
/// +590 690. Source: Arcep, decision 2018-0881 (the national plan). libphonenumber has no further code whose numbers another
/// one's country dials without it, and lacks.
const FRENCH_PLAN: [u64; 5] = [33, 262, 590, 594, 596];

/// Each national number of the French plan is below it: it has nine digits.
const FRENCH_NATIONAL: u64 = 1_000_000_000;

/// A number that its code does not have is that of the only code of the French plan that has it.
fn in_the_french_plan(number: PhoneNumber) -> Option<PhoneNumber> {
    let (code, national) = (number.as_u64() / FRENCH_NATIONAL, number.as_u64() % FRENCH_NATIONAL);
    if !FRENCH_PLAN.contains(&code) || number.is_in_a_plan() {
        return None;
    }
    let codes = FRENCH_PLAN.into_iter();
    let numbers = codes.filter_map(|code| PhoneNumber::from_u64(code * FRENCH_NATIONAL + national));
    let mut found = numbers.filter(|number| number.is_in_a_plan());
    found.next().filter(|_| found.next().is_none())
}

/// What people dialled before the national number until their country gave it up: libphonenumber 8.9 to 8.13 had these as
/// national prefixes, and Ukraine's before 2010.
const OLD_PREFIXES: [(&str, &[&str]); 5] =
    [("CL", &["0"]), ("MX", &["044", "045", "01", "02"]), ("TJ", &["8"]), ("UA", &["8"]), ("UZ", &["8"])];

/// The digits of a national number without a prefix that its country has given up.
pub(super) fn without_old_prefix(digits: &str, region: Region) -> impl Iterator<Item = String> {
    let of_region = OLD_PREFIXES.into_iter().filter(move |(of, _)| Region::parse(of) == Some(region));
    let rests = of_region.flat_map(|(_, prefixes)| prefixes).filter_map(|prefix| digits.strip_prefix(prefix));
    rests.map(str::to_owned)
}

/// The number of today for one that may be in an old form, or in that of the French plan.
///
/// # Errors
/// [`NumberError::Renumbered`] where only its owner knows it.
pub(super) fn today(number: PhoneNumber) -> Result<PhoneNumber, NumberError> {
    let digits = number.as_u64().to_string();
    let changed = TABLE.iter().find_map(|(old, today)| match today {
        Ok(today) => rewritten(&digits, old, today).map(Ok),
        Err(change) => rewritten(&digits, old, old).map(|_| Err(NumberError::Renumbered(change))),
    });
    changed.unwrap_or_else(|| Ok(in_the_french_plan(number).unwrap_or(number)))
}

impl PhoneNumber {
    /// The number as WhatsApp registers it: some accounts are known by the form before a renumbering.
    #[must_use]
    pub fn on_whatsapp(self) -> Self {
        in_old_forms(self, |old| ON_WHATSAPP.contains(&old)).next().unwrap_or(self)
    }
}

/// The old forms of a number of today, but for those under the code of another country: a prefix of that one does not mean
/// the number.
pub(super) fn old_forms(number: PhoneNumber) -> impl Iterator<Item = PhoneNumber> {
    in_old_forms(number, |old| !UNDER_ANOTHER_CODE.contains(&old))
}

fn in_old_forms(number: PhoneNumber, is_meant: fn(&str) -> bool) -> impl Iterator<Item = PhoneNumber> {
    let digits = number.as_u64().to_string();
    let meant = TABLE.iter().filter(move |(old, _)| is_meant(old));
    meant.filter_map(move |(old, today)| rewritten(&digits, today.ok()?, old))
}

/// A number of the form `from` in the form `to`.
fn rewritten(digits: &str, from: &str, to: &str) -> Option<PhoneNumber> {
    let (mut digits, mut free) = (digits.bytes(), Vec::new());
    for place in places(from) {
        let digit = digits.next().filter(|digit| place == "#" || place.as_bytes().contains(digit))?;
        if is_free(place) {
            free.push(digit);
        }
    }
    let mut free = free.into_iter();
    let rewritten = places(to).try_fold(0, |number, place| {
        let digit = if is_free(place) { free.next()? } else { *place.as_bytes().first()? };
        Some(number * 10 + u64::from(digit - b'0'))
    });
    rewritten.filter(|_| digits.next().is_none()).and_then(PhoneNumber::from_u64)
}

/// The places of a form, each of one digit.
fn places(mut form: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let end = if form.starts_with('[') { form.find(']')? + 1 } else { 1 };
        let place;
        (place, form) = form.split_at_checked(end)?;
        Some(place)
    })
}

fn is_free(place: &str) -> bool {
    place == "#" || place.starts_with('[')
}

// Patterns of numbers, such as `+1415555012x`: in E.164 form, `x` stands for any digit. A literal one is a number, which
// is not to be printed.

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

/// Reads a pattern: `+` and 7 to 15 digits, with `x` in the place of any digit.
pub fn number_pattern(text: &str) -> Option<String> {
    let text = text.trim().replace('X', "x");
    let places = text.strip_prefix('+')?;
    let is_spelled = (7..=15).contains(&places.len())
        && places.bytes().all(|b| b.is_ascii_digit() || b == b'x')
        && !places.starts_with('0');
    is_spelled.then_some(text)
}

/// Whether a person can own none of a pattern's numbers: they are set aside for fiction.
pub fn is_of_fiction(pattern: &str) -> bool {
    FICTION.iter().any(|range| pattern_covers(range, pattern))
}

/// Returns `true` if the pattern `range` matches a number in E.164 form, or every number of a narrower pattern.
pub fn pattern_covers(range: &str, text: &str) -> bool {
    text.len() == range.len() && range.bytes().zip(text.bytes()).all(|(r, digit)| r == b'x' || r == digit)
}

// Looks a number up in the numbering plans.

/// A text as the numbering plans read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberLookup {
    /// In E.164 form; the text as it was given, if it cannot be read.
    pub number: String,
    /// The country calling code, such as 44.
    pub calling_code: Option<i32>,
    /// `None` for calling codes that no country has, such as 800.
    pub region: Option<Region>,
    /// As people of its country write it.
    pub national_format: Option<String>,
    /// `None` if the plan of its country has the number.
    pub problem: Option<NumberProblem>,
    /// `None` where the plan does not tell mobile numbers from landlines, as in North America.
    pub line_type: Option<LineType>,
}

crate::named! {
    /// The type of a line, in Twilio's words.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum LineType {
        Landline = "landline",
        Mobile = "mobile",
        /// Voice over IP. Plans do not separate fixed from nomadic use; most ranges are nomadic.
        NonFixedVoip = "nonFixedVoip",
        Personal = "personal",
        TollFree = "tollFree",
        Premium = "premium",
        SharedCost = "sharedCost",
        Uan = "uan",
        Voicemail = "voicemail",
        Pager = "pager",
    }
}

impl LineType {
    const fn of(plan: PhoneNumberType) -> Option<Self> {
        Some(match plan {
            PhoneNumberType::FixedLine => Self::Landline,
            PhoneNumberType::Mobile => Self::Mobile,
            PhoneNumberType::TollFree => Self::TollFree,
            PhoneNumberType::PremiumRate => Self::Premium,
            PhoneNumberType::SharedCost => Self::SharedCost,
            PhoneNumberType::VoIP => Self::NonFixedVoip,
            PhoneNumberType::PersonalNumber => Self::Personal,
            PhoneNumberType::Pager => Self::Pager,
            PhoneNumberType::UAN => Self::Uan,
            PhoneNumberType::VoiceMail => Self::Voicemail,
            PhoneNumberType::FixedLineOrMobile | PhoneNumberType::Unknown => return None,
        })
    }
}

impl NumberLookup {
    /// Reads a text as [`PhoneNumber::parse`] does: what gets no message is no number here.
    pub fn of(text: &str, region: Option<Region>) -> Self {
        let error = match PhoneNumber::parse(text, region) {
            Ok(number) => return number.into(),
            Err(error) => error,
        };
        let (calling_code, problem) = match error {
            NumberError::Unreadable(problem) => (None, problem),
            NumberError::Impossible(calling_code, problem) => (Some(calling_code), problem),
            NumberError::Renumbered(_) => (None, NumberProblem::InvalidLength),
        };
        Self {
            number: text.trim().chars().take(TEXT_MAX).collect(),
            calling_code,
            region: None,
            national_format: None,
            problem: Some(problem),
            line_type: None,
        }
    }
}

impl From<PhoneNumber> for NumberLookup {
    fn from(number: PhoneNumber) -> Self {
        let parts = number.split_country_code().unwrap_or_default();
        let plan = PHONE_NUMBER_UTIL.get_number_type(&parts);
        let is_valid = plan != PhoneNumberType::Unknown;
        Self {
            number: number.e164(),
            calling_code: Some(parts.country_code),
            region: number.region().filter(|region| region.is_country()),
            national_format: is_valid.then(|| parts.format_as(PhoneNumberFormat::National).into_owned()),
            problem: (!is_valid).then_some(NumberProblem::InvalidButPossible),
            line_type: LineType::of(plan),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(digits: &str) -> PhoneNumber {
        PhoneNumber::from_e164(&format!("+{digits}")).expect("a number")
    }

    /// A number of a form, with these digits in its free places.
    fn filled(form: &str, digits: u64) -> PhoneNumber {
        let mut rest = digits;
        let digit = |place: &str| {
            let of_place = place.trim_matches(['[', ']']);
            let choices = if place == "#" { "0123456789" } else { of_place };
            let index = usize::try_from(rest % choices.len() as u64).expect("small");
            rest /= 10;
            choices[index..=index].to_owned()
        };
        number(&places(form).map(digit).collect::<String>())
    }

    #[test]
    fn what_is_in_use_today_stays() {
        for numbers in [
            // Of Benin, which have eight digits today.
            "22981457655 22985751234",
            "14155552671 390612345678 525512345678 2290197123456 24166031234 24177031234 24111731234 2250712345678",
            // Mobile numbers with their nine, a landline, radio, and a toll-free number of Brazil.
            "5511987654321 5531991234567 551132165432 551178123456 558001234567",
            // A landline and a mobile number of Argentina.
            "541123456789 5491123456789",
            // Beside the old numbers of their countries.
            "5746123456 2304221234 23788123456 38643123456 9742112345 689441234 6707012345 20131234567 201551234567 8418001234",
        ] {
            for digits in numbers.split(' ') {
                assert_eq!(today(number(digits)), Ok(number(digits)), "{digits}");
            }
        }
    }

    #[test]
    fn whatsapp_keeps_the_form_that_it_registers() {
        for (digits, registered) in [
            ("525512345678", "5215512345678"),
            ("5531987654321", "553187654321"),
            ("5511987654321", "5511987654321"),
            // Never had eight digits.
            ("5531912345678", "5531912345678"),
            ("5491123456789", "5491123456789"),
            ("2290197123456", "2290197123456"),
        ] {
            assert_eq!(number(digits).on_whatsapp(), number(registered), "{digits}");
        }
    }

    proptest! {
        #[test]
        fn two_numbers_of_today_never_become_one(row in 0..TABLE.len(), digits: u64) {
            let (old, form) = TABLE[row];
            let before = filled(old, digits);
            // The library still has Gabon's old numbers, and in Monaco's plan those of Kosovo.
            let is_listed = old.starts_with("241") || old.starts_with("3774");
            prop_assert!(is_listed || !before.is_in_a_plan(), "{}", before.e164());
            let Ok(form) = form else {
                prop_assert!(today(before).is_err());
                return Ok(());
            };
            let now = today(before).expect("a number");
            prop_assert_eq!(PhoneNumber::parse(&before.e164(), None), Ok(now));
            prop_assert_eq!(today(now), Ok(now));
            let is_under_own_code = !UNDER_ANOTHER_CODE.contains(&old);
            prop_assert_eq!(old_forms(now).filter(|old| *old == before).count(), usize::from(is_under_own_code));
            // Each number of its form has an old one, which means it.
            let now = filled(form, digits);
            prop_assert_eq!(today(now), Ok(now));
            prop_assert!(old_forms(now).all(|before| today(before) == Ok(now)));
        }
    }

    #[test]
    fn what_is_spelled_otherwise_is_no_pattern() {
        for text in ["+", "1415555012x", "+1415555012y", "+123456", "+1234567890123456", "+0123456789"] {
            assert!(number_pattern(text).is_none(), "{text}");
        }
    }

    #[test]
    fn numbers_of_fiction_have_no_owner() {
        let is_fiction = |text| is_of_fiction(&number_pattern(text).expect("a pattern"));
        for text in ["+14155550123", "+1xxx55501xx", "+447700900123", "+447700900xxx", "+33639980012"] {
            assert!(is_fiction(text), "{text}");
        }
        for text in ["+14155552671", "+1415555xxxx", "+4915xxxxxxxxx", "+4479111234xx", "+1xxxxxxxxxx"] {
            assert!(!is_fiction(text), "{text}");
        }
    }

    #[test]
    fn a_text_that_is_no_number_says_why() {
        let look_up = |text| NumberLookup::of(text, None);
        for (text, problem) in [
            ("", NumberProblem::NotANumber),
            ("0170 1234567", NumberProblem::InvalidCountryCode),
            ("+9990123456789", NumberProblem::InvalidCountryCode),
            ("+1415555", NumberProblem::TooShort),
            ("+2100001", NumberProblem::InvalidCountryCode),
            ("+141555526711234", NumberProblem::TooLong),
            ("+11234567890", NumberProblem::InvalidButPossible),
        ] {
            assert_eq!(look_up(text).problem, Some(problem), "{text:?}");
        }
        assert_eq!(look_up("+881612345678").region, None, "of no country");
        let long = look_up(&"1".repeat(1_000));
        assert_eq!((long.problem, long.number.len()), (Some(NumberProblem::TooLong), TEXT_MAX));
    }
}
