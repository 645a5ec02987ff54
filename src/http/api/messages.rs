//! `/v2/Services/{ServiceSid}/Messages` and `Outcomes`: codes that another system makes and checks.

use std::net::IpAddr;
use std::time::Duration;

use tracing::debug;

use super::prelude::*;
use crate::limits::guard::ClientSignals;
use crate::template::MessageStyle;
use crate::verification::numbers::{NumberKey, Outgoing};
use crate::verification::verify::{BeginRequest, CarriedMessage, CarryCode};

/// The lives that a code may have, in seconds.
pub const LIFE: (u32, u32) = (30, 86_400);

parameters! {
    /// Carries a code.
    pub struct New {
        /// The number, in E.164 form.
        "To" = "+14155552671" => to: PhoneNumber,
        /// The code. Either this or Text must be given.
        "Code" = "123456" => code: Option<Code>,
        /// A text with one code of 4 to 10 digits, which is taken from it. The rest is not sent.
        "Text" = "Your code is 123456." => text: Option<Text<1600>>,
        /// The channel that delivers the code; auto, the default, is the channel that the service begins with.
        "Channel" = "sms" => channel: Option<BeginChannel>,
        /// The language of the message, such as de or pt-BR.
        "Locale" = "de" => locale: Option<Locale>,
        /// The text of the message.
        "TemplateSid" = "HJ0123456789abcdef0123456789abcdef" => template: Option<TemplateSid>,
        /// Values for the template's own placeholders: a JSON object, at most 20 names.
        "TemplateCustomSubstitutions" = r#"{"order":"42"}"# => substitutions: Option<Pairs<20, 128>>,
        /// The seconds for which the code can be used; the default is the service's CodeLife.
        "Ttl" = "600" => life: Option<Whole<{ LIFE.0 }, { LIFE.1 }>>,
        /// The IP address of the person's device, for the pumping guard.
        "DeviceIp" = "192.0.2.7" => device_ip: Option<IpAddr>,
    }
}

parameters! {
    /// The outcome of a carried code.
    pub struct Outcome {
        /// The number that was verified, in E.164 form.
        "To" = "+14155552671" => to: PhoneNumber,
    }
}

view! {
    /// A message with a code that another system made.
    MessageView as "CarriedMessage"(frame, service: Sid, message: &CarriedMessage) {
        /// The attempt that the provider accepted. Null for a test number, and once the attempt is forgotten.
        sid: Option<AttemptSid> = message.sid.map(Id),
        account_sid: AccountSid = Id(frame.account),
        service_sid: ServiceSid = Id(service),
        /// The number, in E.164 form.
        to: String = message.to.e164(),
        #[schemars(extend("enum" = Channel::ALL.map(Channel::as_str)))]
        channel: &'static str = message.channel.as_str(),
        /// accepted, or repeated if an earlier request had the same code: then nothing was sent.
        #[schemars(regex(pattern = "^(accepted|repeated)$"))]
        status: &'static str = if message.is_repeated { "repeated" } else { "accepted" },
        date_created: Date = message.at.into(),
        url: Option<Url> = message.sid.map(|sid| frame.url(format_args!("/Attempts/{sid}"))),
    }
}

view! {
    /// An outcome as it was taken.
    OutcomeView as "Outcome"(frame, service: Sid, to: PhoneNumber, is_counted: bool) {
        account_sid: AccountSid = Id(frame.account),
        service_sid: ServiceSid = Id(service),
        /// The number, in E.164 form.
        to: String = to.e164(),
        /// counted, or unknown: no code was carried to the number within a day, or its outcome is known.
        #[schemars(regex(pattern = "^(counted|unknown)$"))]
        status: &'static str = if is_counted { "counted" } else { "unknown" },
    }
}

/// `POST` of `Messages`.
pub async fn create(InService(request, service, new): InService<New>) -> Made<MessageView> {
    let channel = new.channel.flatten();
    request.check_served("Channel", channel.as_slice())?;
    let code = match (new.code, new.text) {
        (Some(code), None) => code,
        (None, Some(text)) => code_in(&text).ok_or_else(|| {
            Error::parameter(
                "Text",
                "it must have exactly one code of 4 to 10 digits; other texts are not carried",
            )
        })?,
        _ => return Err(Error::invalid("Give either `Code` or `Text`")),
    };
    let message = Outgoing {
        channel,
        style: MessageStyle { locale: new.locale, ..MessageStyle::default() },
        client: ClientSignals { address: new.device_ip, ..ClientSignals::default() },
        request_id: Some(request.call.traced_id()),
        ..Outgoing::new(NumberKey::new(service.id, new.to))
    };
    let begin = BeginRequest {
        template: new.template,
        substitutions: new.substitutions.unwrap_or_default(),
        life: new.life.map(|seconds| Duration::from_secs(seconds.into())),
        ..BeginRequest::new(message)
    };
    let message = request.running.verifying.carry(CarryCode::new(code, begin)).await?;
    debug!(request_id = request.call.request_id(), number = %message.to, "code carried");
    created(MessageView::new(&request.frame(), service.sid, &message))
}

/// `POST` of `Outcomes`.
pub async fn outcome(InService(request, service, Outcome { to }): InService<Outcome>) -> Answer<OutcomeView> {
    let is_counted = request.running.verifying.outcome(service.id, to).await?;
    Ok(Json(OutcomeView::new(&request.frame(), service.sid, to, is_counted)))
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
pub fn routes() -> ApiRouter {
    ApiRouter::of(ApiGroup::twilio("Carried codes",
            "Messages with codes that another system makes and checks, and their outcomes. API keys need the \
            scope messages. Not in Twilio's API.",
            Access::Scope(Scope::Messages)))
        .post("/v2/Services/{ServiceSid}/Messages", create,
            operation(create, "CreateMessage", "Carry a code of another system")
                .about("One message, and no verification: nothing is checked here, and nothing is sent \
                        again later. While the code lives, a repetition for the same number and code sends \
                        nothing."))
        .post("/v2/Services/{ServiceSid}/Outcomes", outcome,
            operation(outcome, "CreateOutcome", "Report a verified number")
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
