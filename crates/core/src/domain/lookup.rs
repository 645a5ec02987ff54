//! Looks a number up in the numbering plans.

use rlibphonenumber::{
    NumberLengthType, PHONE_NUMBER_UTIL, ParseError, PhoneNumberFormat, PhoneNumberType, ValidationError,
};
use serde::Serialize;

use super::phone::Region;
use super::typed::{TEXT_MAX, number_in};
use super::{PhoneNumber, plans};

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

/// Why a text is no number of a plan, in Twilio's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum NumberProblem {
    #[error("it is not a number")]
    NotANumber,
    #[error("it has no country calling code, or an unknown one")]
    InvalidCountryCode,
    #[error("it is too short")]
    TooShort,
    #[error("it is too long")]
    TooLong,
    /// Between the shortest and the longest of its country, and no number has this length.
    #[error("no number of its country has this length")]
    InvalidLength,
    /// Numbers of its country can have this length, but the plan has no such number.
    #[error("no numbering plan has it")]
    InvalidButPossible,
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
    /// Reads a text in international form, or in the national form of `region`.
    pub fn of(text: &str, region: Option<Region>) -> Self {
        let text = text.trim();
        let typed = number_in(text, false);
        // The library reads letters, too.
        let text = typed.as_deref().unwrap_or(text);
        let unreadable = |problem| Self {
            number: text.chars().take(TEXT_MAX).collect(),
            calling_code: None,
            region: None,
            national_format: None,
            problem: Some(problem),
            line_type: None,
        };
        if text.len() > TEXT_MAX {
            return unreadable(NumberProblem::TooLong);
        }
        let region = region.filter(|_| !text.starts_with('+'));
        let number = match PHONE_NUMBER_UTIL.parse(text, region.map(|region| region.0)) {
            Ok(number) => number,
            Err(error) => return unreadable(error.into()),
        };
        let spelled = PhoneNumber::from_e164(&number.format_as(PhoneNumberFormat::E164));
        if let Some(today) =
            spelled.and_then(|spelled| plans::today(spelled).ok().filter(|it| *it != spelled))
        {
            return Self::of(&today.e164(), None);
        }
        let problem = match number.is_possible_with_reason() {
            Err(error) => Some(error.into()),
            Ok(NumberLengthType::IsPossibleLocalOnly) => Some(NumberProblem::TooShort),
            Ok(NumberLengthType::IsPossible) if !number.is_valid() => Some(NumberProblem::InvalidButPossible),
            Ok(NumberLengthType::IsPossible) => None,
        };
        let is_valid = problem.is_none();
        let national = || number.format_as(PhoneNumberFormat::National).into_owned();
        Self {
            number: number.format_as(PhoneNumberFormat::E164).into_owned(),
            calling_code: Some(number.country_code),
            region: super::phone::region_of(&number).filter(|region| region.is_country()),
            national_format: is_valid.then(national),
            problem,
            line_type: LineType::of(PHONE_NUMBER_UTIL.get_number_type(&number)).filter(|_| is_valid),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn look_up(text: &str) -> NumberLookup {
        NumberLookup::of(text, None)
    }

    #[test]
    fn a_number_has_its_country_national_form_and_type() {
        let number = look_up("+44 7400 123456");
        assert_eq!((&*number.number, number.calling_code), ("+447400123456", Some(44)));
        assert_eq!(number.region.map(|region| region.to_string()).as_deref(), Some("GB"));
        assert_eq!(number.national_format.as_deref(), Some("07400 123456"));
        assert_eq!((number.problem, number.line_type), (None, Some(LineType::Mobile)));
        assert_eq!(look_up("+493012345678").line_type, Some(LineType::Landline));
        assert_eq!(look_up("+18005550123").line_type, Some(LineType::TollFree));
        let of_no_country = look_up("+80012345678");
        assert_eq!((of_no_country.problem, of_no_country.region), (None, None));
        let american = look_up("+14155552671");
        assert_eq!(
            (american.problem, american.line_type),
            (None, None),
            "no plan tells mobile numbers apart"
        );
    }

    #[test]
    fn a_national_form_is_read_with_its_country() {
        let germany = Region::parse("de");
        assert_eq!(NumberLookup::of("0170 1234567", germany).number, "+491701234567");
        assert_eq!(NumberLookup::of("+14155552671", germany).number, "+14155552671");
        assert_eq!(NumberLookup::of("\u{202a}+5215512345678", germany).number, "+525512345678");
        assert_eq!(look_up("0170 1234567").problem, Some(NumberProblem::InvalidCountryCode));
    }

    #[test]
    fn a_text_that_is_no_number_says_why() {
        for (text, problem) in [
            ("", NumberProblem::NotANumber),
            ("+9990123456789", NumberProblem::InvalidCountryCode),
            ("+1415555", NumberProblem::TooShort),
            ("+2100001", NumberProblem::InvalidCountryCode),
            ("+141555526711234", NumberProblem::TooLong),
            ("+11234567890", NumberProblem::InvalidButPossible),
        ] {
            assert_eq!(look_up(text).problem, Some(problem), "{text:?}");
        }
        let long = "1".repeat(1_000);
        assert_eq!(
            (look_up(&long).problem, look_up(&long).number.len()),
            (Some(NumberProblem::TooLong), TEXT_MAX)
        );
    }
}
