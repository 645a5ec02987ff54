//! `/v2/Services/{ServiceSid}/Verifications` and `VerificationCheck`: begins a verification, shows it, checks its code,
//! ends it.

use tracing::{debug, info};

use super::prelude::*;
use crate::http::call::Origin;
use crate::http::openapi::Doc;
use crate::limits::guard::{ClientNet, ClientSignals};
use crate::template::MessageStyle;
use crate::verification::Outgoing;
use crate::verification::{self as verify, CheckCode, SealedAttempt, Status, VerificationTarget};

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Begin {
    /// The channel that delivers the code; auto is the channel that the service begins with.
    pub channel: values::BeginChannel,
    /// The number.
    pub to: values::PhoneNumber,
    /// The language of the message, such as de or pt-BR.
    pub locale: Option<values::Locale>,
    /// The name of the sender in the message, with at most 4 digits.
    pub custom_friendly_name: Option<values::Unchecked<30>>,
    /// The code, where the service has CustomCodeEnabled.
    pub custom_code: Option<values::Code>,
    /// The hash of the Android app that reads the message.
    pub app_hash: Option<values::AppHash>,
    /// The text of the message.
    pub template_sid: Option<values::TemplateSid>,
    /// Values for the template's own placeholders: a JSON object, at most 20 names.
    pub template_custom_substitutions: Option<values::Pairs<20, 128>>,
    /// Values for rate limits, by their unique names: a JSON object, at most 10 names.
    pub rate_limits: Option<values::Pairs<10, 255>>,
    /// Values that events repeat: a JSON object, at most 10 names, of 128 characters at most.
    pub tags: Option<values::Pairs<10, 128>>,
    /// Keys that a call presses when it is answered. Only with Channel=call.
    pub send_digits: Option<values::SendDigits>,
    /// The IP address of the person's device, for the pumping guard.
    pub device_ip: Option<values::Address>,
    /// disable exempts this request from the pumping guard's allowances. Its fixed rules, budgets and blocks still apply.
    pub risk_check: Option<values::RiskCheck>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct End {
    /// canceled ends the verification; approved says that the client has verified the number in another way.
    pub status: values::Ending,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Check {
    /// The submitted code.
    pub code: values::SubmittedCode,
    /// The number. Either this or VerificationSid must be given.
    pub to: Option<values::PhoneNumber>,
    /// The verification.
    pub verification_sid: Option<values::VerificationSid>,
}

#[derive(Serialize, JsonSchema)]
pub struct Verification {
    pub sid: VerificationSid,
    pub service_sid: ServiceSid,
    pub account_sid: AccountSid,
    /// The number, in E.164 form.
    pub to: String,
    /// The channel of the last request.
    pub channel: Channel,
    #[schemars(extend("enum" = Status::ALL.map(Status::as_str)))]
    pub status: &'static str,
    /// Whether the number is verified.
    pub valid: bool,
    /// Always empty: numbers are not looked up.
    pub lookup: Empty,
    /// Transactions are not served.
    pub amount: (),
    /// Transactions are not served.
    pub payee: (),
    /// Its messages so far, the oldest first.
    pub send_code_attempts: Vec<SendCodeAttempt>,
    pub date_created: Date,
    pub date_updated: Date,
    /// Silent network authentication is not served.
    pub sna: (),
    pub url: Url,
}

impl Verification {
    fn new(of: &InService<impl Sized>, verification: &verify::Verification) -> Self {
        let service = of.service.sid;
        Self {
            sid: Id(verification.sid),
            service_sid: Id(service),
            account_sid: of.account(),
            to: verification.to.e164(),
            channel: verification.channel,
            status: verification.status.as_str(),
            valid: verification.status == Status::Approved,
            lookup: Empty {},
            amount: (),
            payee: (),
            send_code_attempts: verification.attempts.iter().map(SendCodeAttempt::new).collect(),
            date_created: verification.created.into(),
            date_updated: verification.updated.into(),
            sna: (),
            url: of.url(format_args!("/v2/Services/{service}/Verifications/{}", verification.sid)),
        }
    }
}

#[derive(Serialize, JsonSchema)]
pub struct Empty {}

/// A message of a verification.
#[derive(Serialize, JsonSchema)]
pub struct SendCodeAttempt {
    /// When the server asked a provider to send it.
    pub time: Date,
    /// In Twilio's spelling.
    pub channel: &'static str,
    pub attempt_sid: AttemptSid,
}

impl SendCodeAttempt {
    pub fn new(attempt: &SealedAttempt) -> Self {
        Self {
            time: attempt.listed.attempt.at.into(),
            channel: in_attempts(attempt.listed.attempt.channel),
            attempt_sid: Id(attempt.sid),
        }
    }
}

/// The response to a check of a code.
#[derive(Serialize, JsonSchema)]
pub struct VerificationCheck {
    pub sid: VerificationSid,
    pub service_sid: ServiceSid,
    pub account_sid: AccountSid,
    /// The number, in E.164 form.
    pub to: String,
    /// The channel of the last request.
    pub channel: Channel,
    /// `approved` if the code was right, `pending` if it was wrong, which is no error.
    #[schemars(extend("enum" = Status::ALL.map(Status::as_str)))]
    pub status: &'static str,
    /// Whether the code was right.
    pub valid: bool,
    /// Transactions are not served.
    pub amount: (),
    /// Transactions are not served.
    pub payee: (),
    pub date_created: Date,
    pub date_updated: Date,
    /// Silent network authentication is not served.
    pub sna_attempts_error_codes: (),
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
async fn create(of: InService, Keyed { params: begin, key: once }: Keyed<Begin>) -> Made<Verification> {
    let channel = begin.channel.0;
    of.check_served("Channel", channel.as_slice())?;
    if begin.app_hash.is_some() && channel.is_some_and(|channel| channel != Channel::Sms) {
        return Err(Error::APP_HASH.with("leave out `AppHash`, or use `Channel=sms`"));
    }
    if begin.send_digits.is_some() && channel != Some(Channel::Call) {
        return Err(Error::parameter("SendDigits", "it is for Channel=call only"));
    }
    let is_exempt = begin.risk_check.is_some_and(|check| !check.0);
    let network = begin.device_ip.map(|address| ClientNet::from(address.0));
    let message = Outgoing {
        style: MessageStyle {
            locale: begin.locale.map(|locale| locale.0),
            app_hash: begin.app_hash.map(|hash| hash.0),
            send_digits: begin.send_digits.map(|digits| digits.0),
            sender_name: begin.custom_friendly_name.map(|name| name.0.trim().into()),
            ..MessageStyle::default()
        },
        supplied_code: begin.custom_code.map(|code| code.0),
        tags: begin.tags.map(|pairs| pairs.0).unwrap_or_default(),
        client: ClientSignals { network, is_exempt },
        request_id: Some(of.origin.id.clone()),
        template: begin.template_sid.map(|sid| sid.0),
        substitutions: begin.template_custom_substitutions.map(|pairs| pairs.0).unwrap_or_default(),
        rate_limits: begin.rate_limits.map(|pairs| pairs.0).unwrap_or_default(),
        once,
        ..of.running.verifier.message(of.service.id, begin.to.0, channel)
    };
    let verification = of.done(of.running.verifier.begin(message).await)?;
    debug!(request_id = of.origin.request_id(), number = %verification.to, outcome = "sent", "code sent");
    created(Verification::new(&of, &verification))
}

async fn fetch(of: InService<values::IdOrNumber>) -> Answer<Verification> {
    let found = of.done(of.running.verifier.fetch(of.service.id, of.path.0).await)?;
    Ok(Json(Verification::new(&of, &found)))
}

/// `POST` of one: ends it.
async fn update(
    of: InService<values::IdOrNumber>,
    Params(End { status }): Params<End>,
) -> Answer<Verification> {
    // What others do there is ordinary traffic.
    let author = of.who.may(Scope::Admin, of.service.id).then(|| of.author());
    let ended = of.done(of.running.verifier.end(of.service.id, of.path.0, status.0, author).await)?;
    Ok(Json(Verification::new(&of, &ended)))
}

/// `POST` of `VerificationCheck`. A wrong code is answered with 200 and `pending`.
async fn check(of: InService, Keyed { params, key: once }: Keyed<Check>) -> Answer<VerificationCheck> {
    let code = Code::submitted(&params.code.0);
    let must_be = "it must be 4 to 10 letters or digits";
    let code = Some(code.ok_or_else(|| Error::parameter("Code", must_be))?);
    let number = params.to.map(|number| number.0);
    let target = match (params.verification_sid, number) {
        (Some(sid), _) => VerificationTarget::Sid(sid.0),
        (None, Some(number)) => VerificationTarget::Number(number),
        (None, None) => return Err(Error::NO_TARGET.with("give `To` or `VerificationSid`")),
    };
    let request_id = Some(of.origin.id.clone());
    let check = CheckCode { number, once, request_id, ..CheckCode::new(target, code) };
    let verification = of.done(of.running.verifier.check(of.service.id, check).await)?;
    log_check(&of.origin, &verification);
    Ok(Json(VerificationCheck {
        sid: Id(verification.sid),
        service_sid: Id(of.service.sid),
        account_sid: of.account(),
        to: verification.to.e164(),
        channel: verification.channel,
        status: verification.status.as_str(),
        valid: verification.status == Status::Approved,
        amount: (),
        payee: (),
        date_created: verification.created.into(),
        date_updated: verification.updated.into(),
        sna_attempts_error_codes: (),
    }))
}

pub fn log_check(origin: &Origin, verification: &verify::Verification) {
    let (request_id, number, outcome) = (origin.request_id(), verification.to, verification.status.as_str());
    if verification.status == Status::MaxAttemptsReached {
        info!(request_id, %number, outcome, "no checks left");
    } else {
        debug!(request_id, %number, outcome, "code checked");
    }
}

#[rustfmt::skip] // A table.
pub fn routes() -> Routes {
    Routes::new("Verifications", "Send codes, check them, and read the delivery of messages. API keys need the scope verify.", Group::twilio(Access::Scope(Scope::Verify)))
        .post("/v2/Services/{ServiceSid}/Verifications", create, Doc { has_key: true, ..made::<Begin, Verification>("CreateVerification", "Send a code") }
                .about("Begins a verification, or sends its code again. With the header Idempotency-Key a repetition of the request sends nothing again until ten minutes after the end of the verification, and gets the verification's present state."))
        .post("/v2/Services/{ServiceSid}/VerificationCheck", check, Doc { has_key: true, ..ok::<Check, VerificationCheck>("CreateVerificationCheck", "Check a code") }
                .about("A wrong code is no error: the response has the status pending. An expired or used verification is 404. With the header Idempotency-Key a repetition of the request gets the same response for 60 seconds."))
        .get("/v2/Services/{ServiceSid}/Verifications/{Sid}", fetch, ok::<(), Verification>("FetchVerification", "Fetch a verification"))
        .post("/v2/Services/{ServiceSid}/Verifications/{Sid}", update, ok::<End, Verification>("UpdateVerification", "End a verification"))
}
