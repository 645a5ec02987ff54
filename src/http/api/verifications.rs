//! `/v2/Services/{ServiceSid}/Verifications` and `VerificationCheck`: begins a verification, shows it, checks its code,
//! ends it.

use std::net::IpAddr;

use hyper::HeaderMap;
use tracing::{debug, info};

use super::prelude::*;
use crate::http::call::Call;
use crate::http::request::IDEMPOTENCY_KEY;
use crate::limits::guard::{ClientSignals, Exemption};
use crate::template::{AppHash, MessageStyle, SendDigits};
use crate::verification::numbers::{NumberKey, Outgoing};
use crate::verification::verify::{
    BeginRequest, CheckCode, Ending, SealedAttempt, Status, Verification, VerificationTarget,
};

parameters! {
    pub struct Begin {
        /// The channel that delivers the code; auto is the channel that the service begins with.
        "Channel" = "sms" => channel: BeginChannel,
        /// The number, in E.164 form.
        "To" = "+14155552671" => to: PhoneNumber,
        /// The language of the message, such as de or pt-BR.
        "Locale" = "de" => locale: Option<Locale>,
        /// The name of the sender in the message, with at most 4 digits.
        "CustomFriendlyName" = "Owl Bank" => friendly_name: Option<SenderName>,
        /// The code, where the service has CustomCodeEnabled.
        "CustomCode" = "123456" => code: Option<Code>,
        /// The hash of the Android app that reads the message.
        "AppHash" = "FA+9qCX9VSu" => app_hash: Option<AppHash>,
        /// The text of the message.
        "TemplateSid" = "HJ0123456789abcdef0123456789abcdef" => template: Option<TemplateSid>,
        /// Values for the template's own placeholders: a JSON object, at most 20 names.
        "TemplateCustomSubstitutions" = r#"{"order":"42"}"# => substitutions: Option<Pairs<20, 128>>,
        /// Values for rate limits, by their unique names: a JSON object, at most 10 names.
        "RateLimits" = r#"{"session":"abc"}"# => rate_limits: Option<Pairs<10, 255>>,
        /// Values that events repeat: a JSON object, at most 10 names, of 128 characters at most.
        "Tags" = r#"{"campaign":"spring"}"# => tags: Option<Pairs<10, 128>>,
        /// Keys that a call presses when it is answered. Only with Channel=call.
        "SendDigits" = "www12" => send_digits: Option<SendDigits>,
        /// The IP address of the person's device, for the pumping guard.
        "DeviceIp" = "192.0.2.7" => device_ip: Option<IpAddr>,
        /// disable exempts this request from the pumping guard's allowances. Its fixed rules, budgets and blocks still apply.
        "RiskCheck" = "enable" => risk_check: Option<RiskCheck>,
    }
}

parameters! {
    pub struct End {
        /// canceled ends the verification; approved says that the client has verified the number in another way.
        "Status" = "canceled" => ending: Ending,
    }
}

parameters! {
    pub struct Check {
        /// The submitted code.
        "Code" = "123456" => code: SubmittedCode,
        /// The number. Either this or VerificationSid must be given.
        "To" = "+14155552671" => to: Option<PhoneNumber>,
        /// The verification.
        "VerificationSid" = "VE0123456789abcdef0123456789abcdef" => sid: Option<VerificationSid>,
    }
}

view! {
    VerificationView as "Verification"(frame, service: Sid, verification: &Verification) {
        sid: VerificationSid = Id(verification.sid),
        service_sid: ServiceSid = Id(service),
        account_sid: AccountSid = Id(frame.account),
        /// The number, in E.164 form.
        to: String = verification.to.e164(),
        /// The channel of the last request.
        #[schemars(extend("enum" = Channel::ALL.map(Channel::as_str)))]
        channel: &'static str = verification.channel.as_str(),
        #[schemars(extend("enum" = Status::SHOWN.map(Status::as_str)))]
        status: &'static str = verification.status.as_str(),
        /// Whether the number is verified.
        valid: bool = verification.status == Status::Approved,
        /// Always empty: numbers are not looked up.
        lookup: Lookup = Lookup::new(frame),
        /// Transactions are not served.
        amount: Null = Null,
        /// Transactions are not served.
        payee: Null = Null,
        /// Its messages so far, the oldest first.
        send_code_attempts: Vec<SendAttemptView> =
            verification.attempts.iter().map(|attempt| SendAttemptView::new(frame, attempt)).collect(),
        date_created: Date = verification.created.into(),
        date_updated: Date = verification.updated.into(),
        /// Silent network authentication is not served.
        sna: Null = Null,
        url: Url = frame.url(format_args!("/Services/{service}/Verifications/{}", verification.sid)),
    }
}

view! {
    Lookup as "Empty"(_frame) {}
}

view! {
    /// A message of a verification.
    SendAttemptView as "SendCodeAttempt"(_frame, attempt: &SealedAttempt) {
        /// When the server asked a provider to send it.
        time: Date = attempt.listed.attempt.at.into(),
        /// In Twilio's spelling.
        channel: &'static str = in_attempts(attempt.listed.attempt.channel),
        attempt_sid: AttemptSid = Id(attempt.sid),
    }
}

view! {
    /// The response to a check of a code.
    CheckView as "VerificationCheck"(frame, service: Sid, verification: &Verification) {
        sid: VerificationSid = Id(verification.sid),
        service_sid: ServiceSid = Id(service),
        account_sid: AccountSid = Id(frame.account),
        /// The number, in E.164 form.
        to: String = verification.to.e164(),
        /// The channel of the last request.
        #[schemars(extend("enum" = Channel::ALL.map(Channel::as_str)))]
        channel: &'static str = verification.channel.as_str(),
        /// `approved` if the code was right, `pending` if it was wrong, which is no error.
        #[schemars(extend("enum" = Status::SHOWN.map(Status::as_str)))]
        status: &'static str = verification.status.as_str(),
        /// Whether the code was right.
        valid: bool = verification.status == Status::Approved,
        /// Transactions are not served.
        amount: Null = Null,
        /// Transactions are not served.
        payee: Null = Null,
        date_created: Date = verification.created.into(),
        date_updated: Date = verification.updated.into(),
        /// Silent network authentication is not served.
        sna_attempts_error_codes: Null = Null,
    }
}

/// A channel, as attempts of a verification spell it.
const fn in_attempts(channel: Channel) -> &'static str {
    match channel {
        Channel::Sms => "SMS",
        Channel::Call => "CALL",
        other => other.as_str(),
    }
}

/// `POST`: begins a verification, or sends its code again.
pub async fn create(InService(request, service, params): InService<Begin>) -> Made<VerificationView> {
    let begin = read(&request, service.id, params)?;
    let verification = request.running.verifying.begin(begin).await?;
    debug!(request_id = request.call.request_id(), number = %verification.to, outcome = "sent", "code sent");
    created(VerificationView::new(&request.frame(), service.sid, &verification))
}

pub async fn fetch(InService(request, service, ()): InService) -> Answer<VerificationView> {
    let found = request.running.verifying.fetch(service.id, target(&request)?).await?;
    Ok(Json(VerificationView::new(&request.frame(), service.sid, &found)))
}

/// `POST` of one: ends it.
pub async fn update(InService(request, service, End { ending }): InService<End>) -> Answer<VerificationView> {
    let target = target(&request)?;
    // What others do there is ordinary traffic.
    let author = request.caller.may(Scope::Admin, service.id).then(|| request.author());
    let ended = request.running.verifying.end(service.id, target, ending, author).await?;
    Ok(Json(VerificationView::new(&request.frame(), service.sid, &ended)))
}

/// `POST` of `VerificationCheck`. A wrong code is answered with 200 and `pending`.
pub async fn check(InService(request, service, params): InService<Check>) -> Answer<CheckView> {
    let Check { code, to, sid } = params;
    let code = service.settings.submitted(&code);
    let must_be = "it must be 4 to 10 characters, or a text with one such code";
    let code = Some(code.ok_or_else(|| Error::parameter("Code", must_be))?);
    let target = match (sid, to) {
        (Some(sid), _) => VerificationTarget::Sid(sid),
        (None, Some(number)) => VerificationTarget::Number(number),
        (None, None) => return Err(Error::caused(Cause::NO_TARGET, "give `To` or `VerificationSid`")),
    };
    let key = idempotency_key(&request.call.head.headers)?;
    let check = CheckCode {
        number: to,
        fingerprint: fingerprint(&request, key.as_ref(), "Code"),
        idempotency_key: key,
        request_id: Some(request.call.traced_id()),
        ..CheckCode::new(target, code)
    };
    let verification = request.running.verifying.check(service.id, check).await?;
    log_check(&request.call, &verification);
    let account = request.running.registry.account_sid();
    Ok(Json(CheckView::new(&Frame::without_addresses(account), service.sid, &verification)))
}

pub fn log_check(call: &Call, verification: &Verification) {
    let (request_id, number, outcome) = (call.request_id(), verification.to, verification.status.as_str());
    if verification.status == Status::MaxAttemptsReached {
        info!(request_id, %number, outcome, "no checks left");
    } else {
        debug!(request_id, %number, outcome, "code checked");
    }
}

/// The last segment of the path: an id or a number.
fn target(request: &Request) -> Result<VerificationTarget, Error> {
    let segment = request.param("Sid")?;
    IdOrNumber::parse(segment).ok_or(Error::NotFound)
}

fn read(request: &Request, service: ServiceId, begin: Begin) -> Result<BeginRequest, Error> {
    let channel = begin.channel;
    request.check_served("Channel", channel.as_slice())?;
    if begin.app_hash.is_some() && channel.is_some_and(|channel| channel != Channel::Sms) {
        return Err(Error::caused(Cause::APP_HASH, "leave out `AppHash`, or use `Channel=sms`"));
    }
    if begin.send_digits.is_some() && channel != Some(Channel::Call) {
        return Err(Error::parameter("SendDigits", "it is for Channel=call only"));
    }
    let key = idempotency_key(&request.call.head.headers)?;
    let exemption = if begin.risk_check == Some(false) { Exemption::Allowances } else { Exemption::None };
    let message = Outgoing {
        channel,
        style: MessageStyle {
            locale: begin.locale,
            app_hash: begin.app_hash,
            send_digits: begin.send_digits,
            sender_name: begin.friendly_name.map(Box::from),
            ..MessageStyle::default()
        },
        supplied_code: begin.code,
        tags: begin.tags.unwrap_or_default(),
        client: ClientSignals { address: begin.device_ip, exemption, ..ClientSignals::default() },
        request_id: Some(request.call.traced_id()),
        ..Outgoing::new(NumberKey::new(service, begin.to))
    };
    Ok(BeginRequest {
        template: begin.template,
        substitutions: begin.substitutions.unwrap_or_default(),
        rate_limits: begin.rate_limits.unwrap_or_default(),
        // The number is as it was sent: another spelling of it is another request.
        fingerprint: fingerprint(request, key.as_ref(), "CustomCode"),
        idempotency_key: key,
        ..BeginRequest::new(message)
    })
}

/// Zeros for a request without a key, whose fingerprint nothing compares: a hash costs a tenth of a check.
fn fingerprint(request: &Request, key: Option<&String>, code: &str) -> [u8; 32] {
    key.map_or([0; 32], |_| request.fields.fingerprint(request.path(), &[code]))
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Error> {
    let mut values = headers.get_all(&IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let key = value.to_str().ok().and_then(IdempotencyKey::parse).filter(|_| values.next().is_none());
    key.map(Some).ok_or_else(|| {
        let accepted = "1 to 255 visible ASCII characters";
        Error::invalid(format!("Invalid header `Idempotency-Key`: it must be given once, with {accepted}"))
    })
}

fn headers() -> Vec<Param> {
    const ABOUT: &str = "Visible ASCII characters that the client chooses, such as a UUID.";
    let example = "7d5f4c7e-54a6-4b0e-8f6e-2f1f8c1b7a10";
    vec![Param::of::<Option<IdempotencyKey>>("Idempotency-Key", ABOUT, example)]
}

pub const GROUP: ApiGroup = ApiGroup::twilio(
    "Verifications",
    "Send codes, check them, and read the delivery of messages. API keys need the scope verify.",
    Access::Scope(Scope::Verify),
);

#[rustfmt::skip] // A table.
pub fn routes() -> ApiRouter {
    ApiRouter::of(GROUP)
        .post("/v2/Services/{ServiceSid}/Verifications", create,
            operation(create, "CreateVerification", "Send a code")
                .about("Begins a verification, or sends its code again. With the header Idempotency-Key a \
                        repetition of the request gets the same response for 24 hours.")
                .headers(headers))
        .post("/v2/Services/{ServiceSid}/VerificationCheck", check,
            operation(check, "CreateVerificationCheck", "Check a code")
                .about("A wrong code is no error: the response has the status pending. An expired or used \
                        verification is 404. With the header Idempotency-Key a repetition of the request gets the \
                        same response for 60 seconds.")
                .headers(headers))
        .get("/v2/Services/{ServiceSid}/Verifications/{Sid}", fetch,
            operation(fetch, "FetchVerification", "Fetch a verification"))
        .post("/v2/Services/{ServiceSid}/Verifications/{Sid}", update,
            operation(update, "UpdateVerification", "End a verification"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::attempts::{ListedAttempt, MOST_ROWS, VerifyStatus};
    use crate::delivery::{Attempt, SendStatus};
    use crate::domain::{AttemptId, AttemptLogKey, GatewayName};

    /// A longer one needs a permit, and an answer to a change gets none.
    #[test]
    fn the_answer_with_the_most_messages_is_not_long() {
        let (service, at) = (ServiceId::DEFAULT, Timestamp::from_millis(1_438_286_400_000));
        let sid = |kind| Sid::new(kind, [0xaa; 16]);
        let to = PhoneNumber::parse("+573003003030", None).expect("a number");
        let attempt = Attempt::new(1, Channel::WhatsApp, GatewayName::TwilioMessages, SendStatus::Sent, at);
        let listed = ListedAttempt {
            parts: 1,
            id: AttemptId { key: AttemptLogKey { service, verification: 0 }, attempt: 1 },
            number: to,
            attempt,
            verify_status: VerifyStatus::New,
            checked_at: None,
            converted: false,
        };
        let verification = sid(SidKind::Verification);
        let message = SealedAttempt { sid: sid(SidKind::Attempt), verification, listed };
        let verification = Verification {
            sid: verification,
            service,
            to,
            channel: Channel::WhatsApp,
            status: Status::Pending,
            created: at,
            updated: at,
            attempts: vec![message; MOST_ROWS],
        };
        // The longest host that is repeated.
        let base = format!("https://{}/v2", "h".repeat(262)).into();
        let frame = Frame { base, account: sid(SidKind::Account) };
        let view = VerificationView::new(&frame, sid(SidKind::Service), &verification);
        let length = serde_json::to_vec(&view).expect("JSON").len();
        assert!((2_048..=4_096).contains(&length), "{length}");
    }
}
