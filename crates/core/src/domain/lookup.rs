//! Looks a number up in the numbering plans.

use rlibphonenumber::{PHONE_NUMBER_UTIL, PhoneNumberFormat, PhoneNumberType};

use super::phone::Region;
use super::typed::TEXT_MAX;
use super::{NumberError, NumberProblem, PhoneNumber};

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
            NumberError::Sign(_) => (None, NumberProblem::NotANumber),
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
