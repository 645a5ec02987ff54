//! Twilio's Lookup: `/v2/PhoneNumbers/{PhoneNumber}` and the older `/v1/PhoneNumbers/{PhoneNumber}`, from the numbering
//! plans that the program has. No network is asked.

use std::fmt::Display;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::prelude::*;
use crate::domain::{LineType, NumberLookup, NumberProblem};

/// The values of `Fields` that Twilio has.
const PACKAGES: &str = "validation line_type_intelligence caller_name sim_swap call_forwarding line_status identity_match \
                        reassigned_number sms_pumping_risk phone_number_quality_score pre_fill";

/// Bytes of the longest text in a path that is read: a number with generous punctuation.
const LONGEST: usize = 64;

/// The values of the older `Type` that Twilio has.
const TYPES: &str = "carrier caller-name";

parameters! {
    pub struct Wanted {
        /// What to tell beside the validation, with commas. Only line_type_intelligence has data here.
        "Fields" = "line_type_intelligence" => fields: Option<Names<false>>,
        /// The country of a number in national form, two letters of ISO 3166-1.
        "CountryCode" = "US" => country: Option<Region>,
    }
}

parameters! {
    pub struct OlderWanted {
        /// carrier adds the type of the line. Twilio's other type, caller-name, has no data here.
        "Type" = "carrier" => types: Option<Names<true>>,
        /// The country of a number in national form, two letters of ISO 3166-1.
        "CountryCode" = "US" => country: Option<Region>,
    }
}

/// Names, which may be repeated or have commas between: whether the one that has data here is among them.
pub struct Names<const IS_OLDER: bool>;

impl<const IS_OLDER: bool> Names<IS_OLDER> {
    const KNOWN: &'static str = if IS_OLDER { TYPES } else { PACKAGES };
    const SERVED: &'static str = if IS_OLDER { "carrier" } else { "line_type_intelligence" };
}

impl<const IS_OLDER: bool> Parameter for Names<IS_OLDER> {
    type Value = bool;

    fn find(fields: &Fields, name: &str) -> Result<Option<bool>, Error> {
        let texts = fields.texts(name)?;
        let names = texts.iter().flat_map(|text| text.split(',')).map(|name| name.trim_matches(' '));
        let names: Vec<&str> = names.filter(|name| !name.is_empty()).collect();
        if names.iter().all(|name| Self::KNOWN.split(' ').any(|known| known == *name)) {
            Ok(Some(names.contains(&Self::SERVED)))
        } else {
            Err(Error::parameter(
                name,
                format_args!("each must be one of {}", Self::KNOWN.replace(' ', ", ")),
            ))
        }
    }

    fn schema() -> Value {
        let names = Self::KNOWN.replace(' ', "|");
        json!({ "type": "string", "pattern": format!("[ ,]*(({names})( *,[ ,]*({names}))*[ ,]*)?") })
    }
}

view! {
    /// What the numbering plans tell about a number.
    LookupView as "Lookup"(frame, number: NumberLookup, wanted: &Wanted) {
        /// Null if the number cannot be read.
        calling_country_code: Option<String> = number.calling_code.map(|code| code.to_string()),
        /// Two letters of ISO 3166-1; null if the number cannot be read, or is of no country.
        country_code: Option<String> = number.region.map(|region| region.to_string()),
        /// In E.164 form; the text as it was sent, of at most 40 characters, if it cannot be read.
        phone_number: String = number.number.clone(),
        /// As people of its country write it; null if the number is not valid.
        national_format: Option<String> = number.national_format.clone(),
        /// Whether the plan of its country has the number. It need not be in use.
        valid: bool = number.problem.is_none(),
        /// Why it is not valid.
        #[schemars(with = "Vec<String>")]
        validation_errors: Vec<NumberProblem> = number.problem.into_iter().collect(),
        caller_name: Null = Null,
        sim_swap: Null = Null,
        call_forwarding: Null = Null,
        line_status: Null = Null,
        /// Null unless it was asked for, and where the plan does not tell mobile numbers from landlines, as in North America.
        line_type_intelligence: Option<LineTypeView> = number
            .line_type
            .filter(|_| wanted.fields == Some(true))
            .map(|line| LineTypeView::new(frame, line.as_str())),
        identity_match: Null = Null,
        reassigned_number: Null = Null,
        sms_pumping_risk: Null = Null,
        phone_number_quality_score: Null = Null,
        pre_fill: Null = Null,
        url: Url = frame.url(format_args!("/PhoneNumbers/{}", in_path(&number.number))),
    }
}

view! {
    /// The type of a line. The network is not known.
    LineTypeView as "LineTypeIntelligence"(_frame, line: &'static str) {
        /// landline, mobile, nonFixedVoip, personal, tollFree, premium, sharedCost, uan, voicemail or pager.
        #[serde(rename = "type")]
        line: &'static str = line,
        carrier_name: Null = Null,
        mobile_country_code: Null = Null,
        mobile_network_code: Null = Null,
        error_code: Null = Null,
    }
}

view! {
    /// The same, as Lookup's first version answered.
    OlderLookupView as "OlderLookup"(frame, number: NumberLookup, wanted: &OlderWanted) {
        country_code: Option<String> = number.region.map(|region| region.to_string()),
        /// In E.164 form.
        phone_number: String = number.number.clone(),
        national_format: Option<String> = number.national_format.clone(),
        caller_name: Null = Null,
        /// Null unless it was asked for.
        carrier: Option<Carrier> = (wanted.types == Some(true))
            .then(|| Carrier { line: number.line_type.and_then(older_type), ..Carrier::default() }),
        add_ons: Null = Null,
        url: Url = Url(format!("{}/v1/PhoneNumbers/{}", frame.base.trim_end_matches("/v2"), in_path(&number.number))),
    }
}

/// The type of a line. The network is not known.
#[derive(Default, Serialize, JsonSchema)]
pub struct Carrier {
    /// landline, mobile or voip; null for other types, and where the plan does not tell.
    #[serde(rename = "type")]
    line: Option<&'static str>,
    name: Option<String>,
    mobile_country_code: Option<String>,
    mobile_network_code: Option<String>,
    error_code: Option<u32>,
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
fn number(request: &Request, country: Option<Region>) -> Result<NumberLookup, Error> {
    let text = request.param("PhoneNumber")?;
    // As at Twilio, a national number without a country is North American.
    let country = country.or_else(|| Region::parse("US"));
    if text.len() > LONGEST { Err(Error::NotFound) } else { Ok(NumberLookup::of(text, country)) }
}

/// `GET /v2/PhoneNumbers/{PhoneNumber}`. A text that is no number is not valid, and no error.
pub async fn fetch(Given(request, wanted): Given<Wanted>) -> Answer<LookupView> {
    let number = number(&request, wanted.country)?;
    Ok(Json(LookupView::new(&request.frame(), number, &wanted)))
}

/// `GET /v1/PhoneNumbers/{PhoneNumber}`.
pub async fn fetch_older(Given(request, wanted): Given<OlderWanted>) -> Answer<OlderLookupView> {
    let number = number(&request, wanted.country)?;
    if number.problem.is_some() {
        return Err(Error::NotFound);
    }
    Ok(Json(OlderLookupView::new(&request.frame(), number, &wanted)))
}

#[rustfmt::skip] // A table.
pub fn routes() -> ApiRouter {
    ApiRouter::of(ApiGroup::twilio("Lookup",
            "What the numbering plans tell about a number: its country, its format, whether it is valid, and the \
            type of its line. No network is asked. API keys need the scope verify.",
            Access::Scope(Scope::Verify)))
        .get("/v2/PhoneNumbers/{PhoneNumber}", fetch,
            operation(fetch, "FetchPhoneNumber", "Look a number up")
                .about("A number that is not valid is no error: valid is false, and validation_errors says \
                        why."))
        .get("/v1/PhoneNumbers/{PhoneNumber}", fetch_older,
            operation(fetch_older, "FetchPhoneNumberV1", "Look a number up, as Lookup's first version")
                .about("A number that is not valid is 404."))
}
