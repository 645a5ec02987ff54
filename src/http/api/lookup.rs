//! Twilio's Lookup: `/v2/PhoneNumbers/{PhoneNumber}` and the older `/v1/PhoneNumbers/{PhoneNumber}`, from the numbering
//! plans that the program has. No network is asked.

use std::fmt::Display;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::prelude::*;
use crate::domain::{LineType, NumberLookup, NumberProblem};

/// Bytes of the longest text in a path that is read: a number with generous punctuation.
const LONGEST: usize = 64;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Wanted {
    /// What to tell beside the validation, with commas. Only line_type_intelligence has data here.
    #[serde(default)]
    #[schemars(with = "String")]
    pub fields: Vec<String>,
    /// The country of a number in national form, two letters of ISO 3166-1.
    pub country_code: Option<values::Region>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct OlderWanted {
    /// carrier adds the type of the line. Twilio's other type, caller-name, has no data here.
    #[serde(default)]
    #[schemars(with = "String")]
    pub r#type: Vec<String>,
    /// The country of a number in national form, two letters of ISO 3166-1.
    pub country_code: Option<values::Region>,
}

/// Whether a name is among those of a parameter, which may be repeated or have commas between.
fn has(given: &[String], name: &str) -> bool {
    given.iter().flat_map(|text| text.split(',')).any(|given| given.trim() == name)
}

/// What the numbering plans tell about a number.
#[derive(Serialize, JsonSchema)]
pub struct Lookup {
    /// Null if the number cannot be read.
    pub calling_country_code: Option<String>,
    /// Two letters of ISO 3166-1; null if the number cannot be read, or is of no country.
    pub country_code: Option<String>,
    /// In E.164 form; the text as it was sent, of at most 40 characters, if it cannot be read.
    pub phone_number: String,
    /// As people of its country write it; null if the number is not valid.
    pub national_format: Option<String>,
    /// Whether the plan of its country has the number. It need not be in use.
    pub valid: bool,
    /// Why it is not valid.
    #[schemars(with = "Vec<String>")]
    pub validation_errors: Vec<NumberProblem>,
    /// Null unless it was asked for, and where the plan does not tell mobile numbers from landlines, as in North America.
    pub line_type_intelligence: Option<LineTypeIntelligence>,
    pub url: Url,
}

/// The type of a line. The network is not known.
#[derive(Serialize, JsonSchema)]
pub struct LineTypeIntelligence {
    /// landline, mobile, nonFixedVoip, personal, tollFree, premium, sharedCost, uan, voicemail or pager.
    #[serde(rename = "type")]
    pub line: &'static str,
}

/// The same, as Lookup's first version answered.
#[derive(Serialize, JsonSchema)]
pub struct OlderLookup {
    pub country_code: Option<String>,
    /// In E.164 form.
    pub phone_number: String,
    pub national_format: Option<String>,
    /// Null unless it was asked for.
    pub carrier: Option<Carrier>,
    pub url: Url,
}

/// The type of a line. The network is not known.
#[derive(Serialize, JsonSchema)]
pub struct Carrier {
    /// landline, mobile or voip; null for other types, and where the plan does not tell.
    #[serde(rename = "type")]
    line: Option<&'static str>,
}

const fn older_type(line: LineType) -> Option<&'static str> {
    match line {
        LineType::Landline => Some("landline"),
        LineType::Mobile => Some("mobile"),
        LineType::NonFixedVoip => Some("voip"),
        _ => None,
    }
}

/// A number, or a text that is none, as a segment of an address.
fn in_path(number: &str) -> impl Display {
    const ENCODED: &AsciiSet =
        &NON_ALPHANUMERIC.remove(b'+').remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(number, ENCODED)
}

/// The number in the path.
fn number(text: &str, country: Option<&values::Region>) -> Result<NumberLookup, Error> {
    // As at Twilio, a national number without a country is North American.
    let country = country.map(|country| country.0).or_else(|| Region::parse("US"));
    if text.len() > LONGEST { Err(Error::NO_RESOURCE) } else { Ok(NumberLookup::of(text, country)) }
}

/// `GET /v2/PhoneNumbers/{PhoneNumber}`. A text that is no number is not valid, and no error.
async fn fetch(
    caller: Caller,
    Segments(text): Segments<values::Unchecked<64>>,
    Params(wanted): Params<Wanted>,
) -> Answer<Lookup> {
    let is_wanted = has(&wanted.fields, "line_type_intelligence");
    let number = number(&text.0, wanted.country_code.as_ref())?;
    let line = number.line_type.filter(|_| is_wanted);
    let line = line.map(|line| LineTypeIntelligence { line: line.as_str() });
    Ok(Json(Lookup {
        calling_country_code: number.calling_code.map(|code| code.to_string()),
        country_code: number.region.map(|region| region.to_string()),
        valid: number.problem.is_none(),
        validation_errors: number.problem.into_iter().collect(),
        line_type_intelligence: line,
        url: caller.url(format_args!("/v2/PhoneNumbers/{}", in_path(&number.number))),
        phone_number: number.number.clone(),
        national_format: number.national_format,
    }))
}

/// `GET /v1/PhoneNumbers/{PhoneNumber}`.
async fn fetch_older(
    caller: Caller,
    Segments(text): Segments<values::Unchecked<64>>,
    Params(wanted): Params<OlderWanted>,
) -> Answer<OlderLookup> {
    let is_wanted = has(&wanted.r#type, "carrier");
    let number = number(&text.0, wanted.country_code.as_ref())?;
    if number.problem.is_some() {
        return Err(Error::NO_RESOURCE);
    }
    Ok(Json(OlderLookup {
        country_code: number.region.map(|region| region.to_string()),
        phone_number: number.number.clone(),
        national_format: number.national_format.clone(),
        carrier: is_wanted.then(|| Carrier { line: number.line_type.and_then(older_type) }),
        url: caller.url(format_args!("/v1/PhoneNumbers/{}", in_path(&number.number))),
    }))
}

#[rustfmt::skip] // A table.
pub fn routes() -> Routes {
    Routes::new("Lookup", "What the numbering plans tell about a number: its country, its format, whether it is valid, and the \
            type of its line. No network is asked. API keys need the scope verify.", Group::twilio(Access::Scope(Scope::Verify)))
        .get("/v2/PhoneNumbers/{PhoneNumber}", fetch, ok::<Wanted, Lookup>("FetchPhoneNumber", "Look a number up")
                .about("A number that is not valid is no error: valid is false, and validation_errors says why."))
        .get("/v1/PhoneNumbers/{PhoneNumber}", fetch_older, ok::<OlderWanted, OlderLookup>("FetchPhoneNumberV1", "Look a number up, as Lookup's first version")
                .about("A number that is not valid is 404."))
}
