//! Phone numbers in one canonical form.

use std::borrow::Cow;
use std::fmt;
use std::sync::{LazyLock, OnceLock};

use parking_lot::{Mutex, MutexGuard};
use rlibphonenumber::{PHONE_NUMBER_UTIL, ParseError, PhoneNumberFormat, PhoneNumberType, ValidationError};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::values;

/// The numbers that were read or looked up last. A send, its check and their statistics need the same one.
static RECENT: LazyLock<Box<[Mutex<Recent>]>> =
    LazyLock::new(|| (0..RECENT_NUMBERS).map(|_| Mutex::default()).collect());

/// What is known of one number.
#[derive(Default)]
struct Recent {
    number: Option<PhoneNumber>,
    /// Whether [`PhoneNumber::parse`] accepts it as E.164 writes it.
    is_readable: bool,
    known: Option<Known>,
}

/// What the numbering plans tell about one number.
#[derive(Clone, Copy)]
struct Known {
    /// `None` if no region has its country code.
    region: Option<Region>,
    number_type: NumberType,
    is_in_a_plan: bool,
}

/// A prime, which spreads numbers that differ in their last or first digits only; 400 KB.
const RECENT_NUMBERS: u64 = 16_381;

/// A country or region, by its two-letter ISO 3166-1 code. In records its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Region(pub(super) rlibphonenumber::Region);

impl Region {
    /// Reads a two-letter code such as `DE`, in any case. `None` for a code that the numbering
    /// metadata does not know.
    pub fn parse(text: &str) -> Option<Self> {
        let region: rlibphonenumber::Region = text.to_ascii_uppercase().as_str().try_into().ok()?;
        PHONE_NUMBER_UTIL.get_country_code_for_region(region).map(|_| Self(region))
    }

    /// The country calling code, such as 49.
    pub fn calling_code(self) -> Option<i32> {
        PHONE_NUMBER_UTIL.get_country_code_for_region(self.0)
    }

    /// Returns `false` for `001`.
    pub fn is_country(self) -> bool {
        self.to_string().bytes().all(|byte| byte.is_ascii_alphabetic())
    }
}

impl fmt::Display for Region {
    /// The two letters; `001` for numbers of no country.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

values! {
    Region: "a country with two letters of ISO 3166-1, such as \"DE\" or \"GB\" (not UK)", Self::parse, {
        "type": "string",
        "pattern": "^[A-Za-z]{2}$",
    };
}

impl Serialize for Region {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Region {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        // A record is read without the metadata of the numbering plans. Numbers of no country have `001`.
        let is_record = !from.is_human_readable();
        let text = String::deserialize(from)?;
        match text.as_str().try_into() {
            Ok(region) if is_record || text == "001" => Ok(Self(region)),
            _ => text.trim().parse().map_err(de::Error::custom),
        }
    }
}

/// The type of a number, as far as its numbering plan tells it and the guard uses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberType {
    /// Types that the guard refuses by default, which are often expensive: premium rate, shared cost, personal numbers
    /// (such as +44 70, not +1 5xx), pagers, universal access, voicemail, and the codes that no country has, such as those
    /// of satellites.
    Special,
    /// A landline. Plans that do not tell landlines from mobile numbers, as in North America, have none.
    Landline,
    /// Mobile, toll-free, voice over IP, or in no plan.
    Other,
}

/// Why a text is not a phone number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// It cannot be read as a number, or lacks the `+` and country code that E.164 asks for.
    #[error("not a phone number in E.164 form, with + and a country code, such as +14155552671")]
    Unreadable(NumberProblem),
    /// It can be read, but no number with this country calling code has its length.
    #[error("no number with the country code +{0} has this length")]
    Impossible(i32, NumberProblem),
    /// Its country has renumbered, and the old number does not tell the new one.
    #[error("{0}")]
    Renumbered(&'static str),
}

named! {
    /// Why a text is no number of a plan: in Twilio's words where it is serialized, in ours where a person reads it.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
    #[serde(rename_all = "SCREAMING_SNAKE_CASE")]
    pub enum NumberProblem {
        NotANumber = "it is not a number",
        InvalidCountryCode = "it has no country calling code, or an unknown one",
        TooShort = "it is too short",
        TooLong = "it is too long",
        /// Between the shortest and the longest of its country, and no number has this length.
        InvalidLength = "no number of its country has this length",
        /// Numbers of its country can have this length, but the plan has no such number.
        InvalidButPossible = "no numbering plan has it",
    }
}

impl From<ParseError> for NumberProblem {
    fn from(error: ParseError) -> Self {
        match error {
            ParseError::InvalidCountryCode => Self::InvalidCountryCode,
            ParseError::NotANumber(_) => Self::NotANumber,
            ParseError::TooShortAfterIdd | ParseError::TooShortNsn => Self::TooShort,
            ParseError::TooLongNsn => Self::TooLong,
        }
    }
}

impl From<ValidationError> for NumberProblem {
    fn from(error: ValidationError) -> Self {
        match error {
            ValidationError::InvalidCountryCode => Self::InvalidCountryCode,
            ValidationError::TooShort => Self::TooShort,
            ValidationError::InvalidLength => Self::InvalidLength,
            ValidationError::TooLong => Self::TooLong,
        }
    }
}

/// A phone number in E.164 form (ITU-T E.164: at most 15 digits after the `+`).
///
/// Printed masked; [`PhoneNumber::e164`] reveals it and is for gateways, records and answers. In records an integer, in
/// readable formats E.164.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PhoneNumber(u64);

/// Digits of the longest number (ITU-T E.164).
pub(super) const DIGITS_MAX: usize = 15;

/// The largest number that E.164's fifteen digits can spell.
const E164_MAX: u64 = 999_999_999_999_999;

/// The fewest digits of a text that may hold a phone number.
const FEWEST_DIGITS: usize = 7;

/// The text for a message. A text that is a phone number is masked, also behind a channel as in `whatsapp:+1..`. A text
/// with 7 or more digits that is neither a number nor an id becomes `***`.
pub fn mask_number(text: &str) -> Cow<'_, str> {
    let is_id = text.len() == 34
        && text.bytes().take(2).all(|byte| byte.is_ascii_uppercase())
        && text.bytes().skip(2).all(|byte| byte.is_ascii_hexdigit());
    if is_id || text.chars().filter(|c| c.is_numeric()).count() < FEWEST_DIGITS {
        return text.into();
    }
    let (channel, spelled) = text.split_at(text.rfind(':').map_or(0, |colon| colon + 1));
    let digits: String = spelled.chars().filter(char::is_ascii_digit).collect();
    let is_number = spelled.chars().all(|c| c.is_ascii_digit() || " +-().".contains(c));
    let is_channel = channel.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b':');
    let number = digits.parse().ok().and_then(PhoneNumber::from_u64).filter(|_| is_number && is_channel);
    number.map_or_else(|| "***".into(), |number| format!("{channel}{number}").into())
}

impl PhoneNumber {
    /// The number in examples, which is set aside for fiction.
    pub const EXAMPLE: &str = "+14155550123";

    /// Reads a number that is written as E.164 writes it: `+` and digits, the first of them no zero. Does not ask
    /// whether its country has numbers of that length, which would load the metadata of all numbering plans (10 MiB).
    pub fn from_e164(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('+').filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))?;
        // A leading zero would make two spellings of one number.
        if digits.starts_with('0') { None } else { Self::from_u64(digits.parse().ok()?) }
    }

    /// From the digits as an integer, as records keep it. `None` when E.164 cannot spell it.
    pub const fn from_u64(digits: u64) -> Option<Self> {
        if digits == 0 || digits > E164_MAX { None } else { Some(Self(digits)) }
    }

    /// The digits as an integer: no E.164 number begins with a zero; therefore none is lost.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// Returns `true` if the numbering plan of its country has the number, that is, if a person may own it.
    pub fn is_in_a_plan(self) -> bool {
        self.known().is_in_a_plan
    }

    /// The region that the number belongs to; where several share a country code and no numbering plan
    /// has the number, the main one. `None` when no region has the country code.
    pub fn region(self) -> Option<Region> {
        self.area_code().map_or_else(|| self.known().region, region_of_area)
    }

    /// The type, which the process keeps with the number as it keeps the [`region`](Self::region).
    pub fn number_type(self) -> NumberType {
        self.known().number_type
    }

    fn known(self) -> Known {
        *self.recent().known.get_or_insert_with(|| self.look_up())
    }

    /// Removes the number from those that were read or looked up last.
    pub fn forget_lookup(self) {
        let mut place = self.place();
        if place.number == Some(self) {
            *place = Recent::default();
        }
    }

    /// What is known of this number. It takes the place of another one.
    fn recent(self) -> MutexGuard<'static, Recent> {
        let mut place = self.place();
        if place.number != Some(self) {
            *place = Recent { number: Some(self), ..Recent::default() };
        }
        place
    }

    /// Whether [`PhoneNumber::parse`] has accepted the number lately, as E.164 writes it.
    pub(super) fn was_read(self) -> bool {
        let place = self.place();
        place.number == Some(self) && place.is_readable
    }

    pub(super) fn remember_as_read(self) {
        self.recent().is_readable = true;
    }

    fn place(self) -> MutexGuard<'static, Recent> {
        RECENT[(self.0 % RECENT_NUMBERS) as usize].lock()
    }

    fn look_up(self) -> Known {
        use PhoneNumberType::{
            FixedLine, Pager, PersonalNumber, PremiumRate, SharedCost, UAN, Unknown, VoiceMail,
        };
        let Some(number) = self.split_country_code() else {
            return Known { region: None, number_type: NumberType::Other, is_in_a_plan: false };
        };
        let type_of = |number: &rlibphonenumber::PhoneNumber| {
            let plan = PHONE_NUMBER_UTIL.get_number_type(number);
            let number_type = match plan {
                // The codes between them are those of countries.
                _ if matches!(number.country_code, 800 | 808 | 870 | 878 | 881..=883 | 888 | 979) => {
                    NumberType::Special
                }
                // In North America (+1 5xx) they cost as much as others, and test numbers of Twilio are among them.
                PersonalNumber if number.country_code == 1 => NumberType::Other,
                PremiumRate | SharedCost | PersonalNumber | Pager | UAN | VoiceMail => NumberType::Special,
                FixedLine => NumberType::Landline,
                _ => NumberType::Other,
            };
            (number_type, plan != Unknown)
        };
        let (mut number_type, is_in_a_plan) = type_of(&number);
        // Networks of some countries ignore the surplus digits of a call.
        let is_special = |surplus: u64| {
            let national_number = number.national_number / surplus;
            let shorter = rlibphonenumber::PhoneNumber { national_number, ..number.clone() };
            type_of(&shorter).0 == NumberType::Special
        };
        if !is_in_a_plan && [10, 100].into_iter().any(is_special) {
            number_type = NumberType::Special;
        }
        Known { region: region_of(&number), number_type, is_in_a_plan }
    }

    /// The three digits after +1, in a number as North America writes it: neither they nor the next three begin with 0
    /// or 1.
    pub(super) fn area_code(self) -> Option<u16> {
        let national = self.0.checked_sub(10_000_000_000).filter(|national| national / 1_000_000 % 10 > 1)?;
        u16::try_from(national / 10_000_000).ok().filter(|area| (200..1_000).contains(area))
    }

    /// The number with its country code apart, as the numbering plans have it. Parsing the text would double the cost of
    /// a lookup.
    pub(super) fn split_country_code(self) -> Option<rlibphonenumber::PhoneNumber> {
        let digits = |number: u64| number.checked_ilog10().map_or(0, |power| power + 1);
        (1..=3).find_map(|length| {
            let rest = digits(self.0).checked_sub(length).filter(|rest| *rest > 1)?;
            let country_code = i32::try_from(self.0 / 10_u64.pow(rest)).ok()?;
            PHONE_NUMBER_UTIL.get_region_for_country_code(country_code)?;
            let national_number = self.0 % 10_u64.pow(rest);
            let zeros = i32::try_from(rest - digits(national_number)).ok().filter(|zeros| *zeros > 0);
            Some(rlibphonenumber::PhoneNumber {
                country_code,
                national_number,
                italian_leading_zero: zeros.map(|_| true),
                number_of_leading_zeros: zeros,
                ..Default::default()
            })
        })
    }

    /// The whole number as people write it, `+1 415-555-2671`, for the person who has it.
    pub fn international(self) -> String {
        let parts = self.split_country_code();
        parts.map_or_else(
            || self.e164(),
            |parts| parts.format_as(PhoneNumberFormat::International).into_owned(),
        )
    }

    /// The whole number, `+14155552671`. Only gateways, records and answers call this.
    pub fn e164(self) -> String {
        format!("+{}", self.0)
    }
}

/// The regions of +1 by area code. The library would match up to ten regular expressions for each of 25 regions.
static REGIONS_OF_AREAS: [OnceLock<Option<Region>>; 1_000] = [const { OnceLock::new() }; 1_000];

fn region_of_area(area: u16) -> Option<Region> {
    *REGIONS_OF_AREAS.get(usize::from(area))?.get_or_init(|| {
        // A valid one in each area code.
        let national_number = u64::from(area) * 10_000_000 + 2_000_000;
        let number = rlibphonenumber::PhoneNumber { country_code: 1, national_number, ..Default::default() };
        region_of(&number)
    })
}

pub(super) fn region_of(number: &rlibphonenumber::PhoneNumber) -> Option<Region> {
    let exact = PHONE_NUMBER_UTIL.get_region_for_number(number);
    exact.or_else(|| PHONE_NUMBER_UTIL.get_region_for_country_code(number.country_code)).map(Region)
}

impl fmt::Display for PhoneNumber {
    /// Masked: `+1415*****71`. Short numbers show less.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        let shown = if digits.len() >= 10 { 4 } else { 2 };
        let hidden = digits.len().saturating_sub(shown + 2);
        let (head, tail) = (&digits[..shown.min(digits.len())], &digits[digits.len().saturating_sub(2)..]);
        write!(f, "+{head}{:*<hidden$}{tail}", "")
    }
}

impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PhoneNumber({self})")
    }
}

impl Serialize for PhoneNumber {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() { to.serialize_str(&self.e164()) } else { to.serialize_u64(self.0) }
    }
}

impl<'de> Deserialize<'de> for PhoneNumber {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let number = if from.is_human_readable() {
            Self::from_e164(&String::deserialize(from)?)
        } else {
            Self::from_u64(u64::deserialize(from)?)
        };
        // The error does not repeat the number.
        number.ok_or_else(|| de::Error::custom("the number is not one in E.164 form"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn surplus_digits_hide_no_special_number() {
        for number in [4_990_012_345_670, 49_900_123_456_700] {
            let number_type = PhoneNumber::from_u64(number).map(PhoneNumber::number_type);
            assert_eq!(number_type, Some(NumberType::Special), "{number}");
        }
    }

    #[test]
    fn of_a_text_that_may_hold_a_number_only_a_masked_number_is_left() {
        for text in ["+14155552671", "1 (415) 555-2671", "+1.415.555.2671"] {
            assert_eq!(mask_number(text), "+1415*****71", "{text}");
        }
        assert_eq!(mask_number("whatsapp:+14155552671"), "whatsapp:+1415*****71");
        for text in ["user-4155552671", "+1415555267x", "1415555\u{0662}671", "12345678901234567890"] {
            assert_eq!(mask_number(text), "***", "{text}");
        }
        for text in ["session", "123456", "VA12345678901234567890123456789012"] {
            assert_eq!(mask_number(text), text);
        }
        let number = PhoneNumber::from_e164("+14155552671").expect("a number");
        assert_eq!(format!("{number} {number:?}"), "+1415*****71 PhoneNumber(+1415*****71)");
    }
}
