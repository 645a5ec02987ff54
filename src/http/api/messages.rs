//! `/v2/Services/{ServiceSid}/Messages` and `Outcomes`: codes that another system makes and checks.

use std::time::Duration;

use tracing::debug;

use super::prelude::*;
use crate::delivery::Carried;
use crate::limits::guard::{ClientNet, ClientSignals};
use crate::template::MessageStyle;
use crate::verification::Outgoing;

/// The lives that a code may have, in seconds.
pub const LIFE: (u32, u32) = (30, 86_400);

/// Carries a code.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct New {
    /// The number.
    pub to: values::PhoneNumber,
    /// The code. Either this or Text must be given.
    pub code: Option<values::Code>,
    /// A text with one code of 4 to 10 digits, which is taken from it. The rest is not sent.
    pub text: Option<values::Unchecked<1600>>,
    /// The channel that delivers the code; auto, the default, is the channel that the service begins with.
    pub channel: Option<values::BeginChannel>,
    /// The language of the message, such as de or pt-BR.
    pub locale: Option<values::Locale>,
    /// The text of the message.
    pub template_sid: Option<values::TemplateSid>,
    /// Values for the template's own placeholders: a JSON object, at most 20 names.
    pub template_custom_substitutions: Option<values::Pairs<20, 128>>,
    /// The seconds for which the code can be used; the default is the service's CodeLife.
    pub ttl: Option<values::Whole<{ LIFE.0 }, { LIFE.1 }>>,
    /// The IP address of the person's device, for the pumping guard.
    pub device_ip: Option<values::Address>,
}

/// The outcome of a carried code.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct NewOutcome {
    /// The number that was verified.
    pub to: values::PhoneNumber,
}

/// A message with a code that another system made.
#[derive(Serialize, JsonSchema)]
pub struct CarriedMessage {
    /// The attempt that the provider accepted. Null for a test number, and once the attempt is forgotten.
    pub sid: Option<AttemptSid>,
    pub account_sid: AccountSid,
    pub service_sid: ServiceSid,
    /// The number, in E.164 form.
    pub to: String,
    pub channel: Channel,
    /// accepted, or repeated if an earlier request had the same code: then nothing was sent.
    pub status: &'static str,
    pub date_created: Date,
    pub url: Option<Url>,
}

/// An outcome as it was taken.
#[derive(Serialize, JsonSchema)]
pub struct Outcome {
    pub account_sid: AccountSid,
    pub service_sid: ServiceSid,
    /// The number, in E.164 form.
    pub to: String,
    /// counted, or unknown: no code that was carried to the number lives, or its outcome is known.
    pub status: &'static str,
}

/// What programs write in the place of a code that they do not have.
const NO_CODES: [&str; 6] = ["undefined", "null", "None", "true", "false", "object"];

/// `POST` of `Messages`.
async fn create(of: InService, Params(new): Params<New>) -> Made<CarriedMessage> {
    let channel = new.channel.and_then(|asked| asked.0);
    of.check_served("Channel", channel.as_slice())?;
    let code = match (new.code, new.text) {
        (Some(code), None) if NO_CODES.iter().any(|word| word.eq_ignore_ascii_case(code.0.expose())) => {
            let problem = "it is a program's word for no value: the caller has no code for this message";
            return Err(Error::parameter("Code", problem));
        }
        (Some(code), None) => code.0,
        (None, Some(text)) => code_in(&text.0).ok_or_else(|| {
            Error::parameter(
                "Text",
                "it must have exactly one code of 4 to 10 digits; other texts are not carried",
            )
        })?,
        _ => return Err(Error::invalid("Give either `Code` or `Text`")),
    };
    let to = new.to.0;
    let life = new.ttl.map(|seconds| Duration::from_secs(seconds.0.into()));
    let network = new.device_ip.map(|address| ClientNet::from(address.0));
    let message = Outgoing {
        style: MessageStyle { locale: new.locale.map(|locale| locale.0), ..MessageStyle::default() },
        client: ClientSignals { network, ..ClientSignals::default() },
        supplied_code: Some(code),
        carried: Some(Carried { life, ..Carried::default() }),
        request_id: Some(of.origin.id.clone()),
        template: new.template_sid.map(|sid| sid.0),
        substitutions: new.template_custom_substitutions.map(|pairs| pairs.0).unwrap_or_default(),
        ..of.running.verifier.message(of.service.id, to, channel)
    };
    let message = of.done(of.running.verifier.carry(message).await)?;
    debug!(request_id = of.origin.request_id(), number = %to, "code carried");
    created(CarriedMessage {
        sid: message.sid.map(Id),
        account_sid: of.account(),
        service_sid: Id(of.service.sid),
        to: to.e164(),
        channel: message.channel,
        status: if message.is_repeated { "repeated" } else { "accepted" },
        date_created: message.at.into(),
        url: message.sid.map(|sid| of.url(format_args!("/v2/Attempts/{sid}"))),
    })
}

/// `POST` of `Outcomes`.
async fn outcome(of: InService, Params(new): Params<NewOutcome>) -> Answer<Outcome> {
    let to = new.to.0;
    let is_counted = of.done(of.running.verifier.outcome(of.service.id, to).await)?;
    Ok(Json(Outcome {
        account_sid: of.account(),
        service_sid: Id(of.service.sid),
        to: to.e164(),
        status: if is_counted { "counted" } else { "unknown" },
    }))
}

/// The code in a text: the only run of 4 to 10 digits between other characters than letters and digits. The same run
/// may occur twice, as for browsers (`WebOTP`). `None` if there is none, or if a part of another code may be there: another
/// run of 3 digits or more, or a word of 4 characters or more with letters and digits.
pub fn code_in(text: &str) -> Option<Code> {
    let words = text.split(|c: char| !c.is_alphanumeric());
    let has_digits = |word: &&str| word.len() >= 3 && word.bytes().any(|byte| byte.is_ascii_digit());
    let is_short_name = |word: &str| word.len() == 3 && word.bytes().any(|byte| !byte.is_ascii_digit());
    let mut found = words.filter(has_digits).filter(|word| !is_short_name(word));
    let first = found.next()?;
    let is_one =
        first.len() >= usize::from(CodeLength::MIN) && first.bytes().all(|byte| byte.is_ascii_digit());
    (is_one && found.all(|other| other == first)).then(|| Code::parse(first)).flatten()
}

#[rustfmt::skip] // A table.
pub fn routes() -> Routes {
    Routes::new("Carried codes", "Messages with codes that another system makes and checks, and their outcomes. API keys need the \
            scope messages. Not in Twilio's API.", Group::twilio(Access::Scope(Scope::Messages)))
        .post("/v2/Services/{ServiceSid}/Messages", create, made::<New, CarriedMessage>("CreateMessage", "Carry a code of another system")
                .about("One message, and no verification: nothing is checked here, and nothing is sent again later. While the code lives, a repetition for the same number and code sends nothing."))
        .post("/v2/Services/{ServiceSid}/Outcomes", outcome, ok::<NewOutcome, Outcome>("CreateOutcome", "Report a verified number")
                .about("The pumping guard learns which messages led to a verified number."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_text_with_one_code_has_a_code() {
        for text in [
            "123456",
            "Your code is 123456.",
            "123456 is your code, valid for 10 min",
            "Code:123456\n\n@example.com #123456",
            "Your 2FA code for 24 h: 123456",
        ] {
            assert_eq!(code_in(text).as_ref().map(Code::expose), Some("123456"), "{text}");
        }
        for text in [
            "",
            "no code",
            "123",
            "Codes 1234 and 5678",
            "12345678901",
            "a123456",
            "1234 or 12345678901",
            "Acme 2026: your code is A1B2C3",
            "Call 5551234. Code 123-456",
            "Code 123 456 (ref 9981)",
        ] {
            assert!(code_in(text).is_none(), "{text}");
        }
    }
}
