//! `/v2/Services/{ServiceSid}/Verifications`: begins a verification, shows it, ends it.

use std::collections::BTreeMap;

use hyper::StatusCode;
use hyper::header::HeaderName;
use tracing::debug;

use super::ask::Ask;
use super::error::Error;
use super::fields::Fields;
use super::value;
use super::view::VerificationView;
use crate::domain::{Channel, Code, PhoneNumber, Sid, SidKind};
use crate::http::answer::Answer;
use crate::registry::Service;
use crate::template::SendDigits;
use crate::verify::{Begin, Ending, Refused, Target, Verification};

static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Longest name of a sender in a message.
const FRIENDLY_NAME: usize = 30;
/// So many digits in a sender's name could be a code, or a number to call.
const DIGITS_IN_A_NAME: usize = 5;
/// Longest idempotency key.
const KEY: usize = 255;
/// Pairs in `Tags`, and characters in each of their names and values.
const TAGS: (usize, usize) = (10, 128);
/// The same of `RateLimits`.
const RATE_LIMITS: (usize, usize) = (10, 255);
/// The same of `TemplateCustomSubstitutions`.
const SUBSTITUTIONS: (usize, usize) = (20, 128);

/// What Twilio reads here and this server does not.
const NOT_SERVED: [&str; 4] = ["CustomMessage", "Amount", "Payee", "ChannelConfiguration"];
/// What Twilio's other channels are called, so that the refusal can name them.
const OTHER_CHANNELS: [&str; 6] = ["email", "sna", "push", "totp", "rcs", "passkeys"];

/// `POST`: begins a verification, or sends its code again.
pub async fn create(ask: &Ask<'_>, fields: &Fields) -> Result<Answer, Error> {
    let service = ask.service()?;
    let begin = read(ask, &service, fields)?;
    let number = begin.to;
    let outcome = ask.v2.verifications.begin(service.id, begin).await;
    if outcome.is_ok() {
        debug!(request_id = ask.request_id, %number, outcome = "sent", "a verification's code was sent");
    }
    shown(ask, &service, StatusCode::CREATED, outcome)
}

/// `GET` of one.
pub async fn fetch(ask: &Ask<'_>) -> Result<Answer, Error> {
    let service = ask.service()?;
    let outcome = ask.v2.verifications.fetch(service.id, target(ask)?).await;
    shown(ask, &service, StatusCode::OK, outcome)
}

/// `POST` of one: ends it.
pub async fn update(ask: &Ask<'_>, fields: &Fields) -> Result<Answer, Error> {
    let service = ask.service()?;
    let target = target(ask)?;
    let endings = [("canceled", Ending::Canceled), ("approved", Ending::Approved)];
    let ending = value::required("Status", value::word(fields, "Status", &endings)?)?;
    let outcome = ask.v2.verifications.end(service.id, target, ending).await;
    shown(ask, &service, StatusCode::OK, outcome)
}

fn shown(
    ask: &Ask<'_>,
    service: &Service,
    status: StatusCode,
    outcome: Result<Verification, Refused>,
) -> Result<Answer, Error> {
    let verification = outcome.map_err(|refused| ask.refused(refused))?;
    Ok(Answer::json(status, &VerificationView::new(&ask.frame(), service.sid, &verification)))
}

/// The path's last part: an id or a number.
fn target(ask: &Ask<'_>) -> Result<Target, Error> {
    let part = ask.part(3)?;
    let sid = Sid::parse(SidKind::Verification, &part).map(Target::Sid);
    let number = || PhoneNumber::parse(&part, None).ok().map(Target::Number);
    sid.or_else(number).ok_or_else(|| ask.not_found())
}

fn read(ask: &Ask<'_>, service: &Service, fields: &Fields) -> Result<Begin, Error> {
    value::none_of(fields, &NOT_SERVED)?;
    if value::boolean(fields, "EnableSnaClientToken")? == Some(true) {
        return Err(Error::parameter("EnableSnaClientToken", "it is not served here"));
    }
    let channel = channel(ask, fields)?;
    Ok(Begin {
        to: value::required("To", value::number(fields, "To")?)?,
        channel,
        locale: value::locale(fields, "Locale")?,
        friendly_name: friendly_name(fields)?,
        code: custom_code(service, fields)?,
        app_hash: value::app_hash(fields, "AppHash")?,
        template: value::sid(fields, "TemplateSid", SidKind::Template)?,
        substitutions: pairs(fields, "TemplateCustomSubstitutions", SUBSTITUTIONS)?,
        rate_limits: pairs(fields, "RateLimits", RATE_LIMITS)?,
        device_ip: value::ip(fields, "DeviceIp")?,
        tags: pairs(fields, "Tags", TAGS)?,
        send_digits: send_digits(fields, channel)?,
        skips_risk_check: value::word(fields, "RiskCheck", &[("enable", false), ("disable", true)])?
            .unwrap_or(false),
        idempotency_key: idempotency_key(ask)?,
        // The number is as it was sent: another spelling of it is another request.
        fingerprint: fields.fingerprint(ask.path, &["CustomCode"]),
    })
}

/// The way of delivery; `None` for `auto`.
fn channel(ask: &Ask<'_>, fields: &Fields) -> Result<Option<Channel>, Error> {
    let name = "Channel";
    let text = value::required(name, fields.text(name)?)?;
    if text == "auto" {
        return Ok(None);
    }
    let Some(channel) = Channel::parse(&text) else {
        let other = OTHER_CHANNELS.iter().find(|other| **other == text);
        let not_here = other.map(|other| format!("{other} is not served here; ")).unwrap_or_default();
        return Err(Error::parameter(name, format!("{not_here}it must be sms, call, whatsapp or auto")));
    };
    if !ask.channels.contains(&channel) {
        return Err(Error::parameter(name, format!("{} is not served here", channel.as_str())));
    }
    Ok(Some(channel))
}

fn friendly_name(fields: &Fields) -> Result<Option<String>, Error> {
    let name = "CustomFriendlyName";
    let text = value::text(fields, name, FRIENDLY_NAME)?;
    match text.as_deref().map(|text| text.chars().filter(|c| c.is_numeric()).count()) {
        Some(DIGITS_IN_A_NAME..) => {
            Err(Error::parameter(name, format!("it must have fewer than {DIGITS_IN_A_NAME} digits")))
        }
        _ => Ok(text),
    }
}

fn custom_code(service: &Service, fields: &Fields) -> Result<Option<Code>, Error> {
    let name = "CustomCode";
    let code = value::read(fields, name, "4 to 10 digits", Code::parse)?;
    if code.is_some() && !service.custom_code_enabled {
        return Err(Error::parameter(
            name,
            "the service does not take codes; CustomCodeEnabled switches it on",
        ));
    }
    Ok(code)
}

fn send_digits(fields: &Fields, channel: Option<Channel>) -> Result<Option<SendDigits>, Error> {
    let name = "SendDigits";
    let must_be = format_args!("at most {} of 0-9, w, W, * and #", SendDigits::MOST);
    let digits = value::read(fields, name, must_be, SendDigits::parse)?;
    if digits.is_some() && channel != Some(Channel::Call) {
        return Err(Error::parameter(name, "it is for Channel=call only"));
    }
    Ok(digits)
}

/// Names and values, so many at most, each of so many characters at most.
fn pairs(
    fields: &Fields,
    name: &'static str,
    (most, longest): (usize, usize),
) -> Result<BTreeMap<String, String>, Error> {
    let pairs = fields.object(name)?.unwrap_or_default();
    if pairs.len() > most {
        return Err(Error::parameter(name, format!("it must have at most {most} names")));
    }
    let fit = |text: &String| value::is_text(text, longest);
    if !pairs.iter().all(|(key, text)| !key.is_empty() && fit(key) && fit(text)) {
        let problem =
            format!("its names and values must have at most {longest} characters, and a name one at least");
        return Err(Error::parameter(name, problem));
    }
    Ok(pairs)
}

fn idempotency_key(ask: &Ask<'_>) -> Result<Option<String>, Error> {
    let mut values = ask.head.headers.get_all(&IDEMPOTENCY_KEY).iter();
    let Some(first) = values.next() else { return Ok(None) };
    let key = first.to_str().unwrap_or_default();
    let fits = (1..=KEY).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    if !fits || values.next().is_some() {
        return Err(Error::invalid(format!(
            "Invalid header `Idempotency-Key`: it must be given once, with 1 to {KEY} visible ASCII characters"
        )));
    }
    Ok(Some(key.to_owned()))
}
