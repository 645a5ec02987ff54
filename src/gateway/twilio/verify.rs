//! Twilio Verify: `POST /v2/Services/{VA...}/Verifications` and `.../VerificationCheck`. Twilio makes
//! the code, words the message and holds the code until it is checked.
//!
//! Sources: <https://www.twilio.com/docs/verify/api/verification>,
//! <https://www.twilio.com/docs/verify/api/verification-check>.

use std::fmt;
use std::sync::Arc;

use hyper::Uri;
use serde::Deserialize;

use super::account::Account;
use super::answer::{created, error_code, refused, unreadable};
use super::codes::{CHECKS_USED_UP, NOT_FOUND};
use super::form::Form;
use super::language::of_verify;
use super::settings::{VERIFY_SERVICE, check_id};
use crate::clock::Clock;
use crate::domain::{Channel, Code, GatewayName, PhoneNumber};
use crate::gateway::wire::Answer;
use crate::gateway::{
    Accepted, BoxFuture, Checker, Gateway, GatewayError, GatewaySettingsError, OutgoingMessage,
    TwilioVerifySettings, Verdict,
};

const NAME: GatewayName = GatewayName::TwilioVerify;

/// The gateway.
pub struct TwilioVerify {
    account: Account,
    verifications: Uri,
    checks: Uri,
}

impl TwilioVerify {
    /// Prepares everything that is the same for every verification. Sends nothing.
    pub fn new(settings: &TwilioVerifySettings, clock: Arc<dyn Clock>) -> Result<Self, GatewaySettingsError> {
        let TwilioVerifySettings { account, service_sid } = settings;
        let account = Account::new(NAME, account, clock)?;
        check_id(NAME, VERIFY_SERVICE, "VA", service_sid)?;
        let verifications = account.url(&format!("v2/Services/{service_sid}/Verifications"))?;
        let checks = account.url(&format!("v2/Services/{service_sid}/VerificationCheck"))?;
        Ok(Self { account, verifications, checks })
    }

    async fn start(&self, message: &OutgoingMessage) -> Result<Accepted, GatewayError> {
        let mut form = Form::default();
        // The names of our channels are those of Verify.
        form.number("To", "", message.to).plain("Channel", message.channel.as_str());
        if let Some(language) = message.locale.and_then(of_verify) {
            form.plain("Locale", language);
        }
        self.account.post(self.verifications.clone(), form.finish(), created).await
    }

    async fn ask(&self, to: PhoneNumber, code: &Code) -> Result<Verdict, GatewayError> {
        let mut form = Form::default();
        form.number("To", "", to).plain("Code", code.expose());
        self.account.post(self.checks.clone(), form.finish(), verdict).await
    }
}

#[derive(Deserialize)]
struct Checked {
    status: String,
    valid: Option<bool>,
}

/// A wrong code and one that is not live are both answers; everything that cannot be read as one
/// of them leaves open whether Twilio looked at the code.
fn verdict(gateway: GatewayName, answer: &Answer) -> Result<Verdict, GatewayError> {
    if !answer.status.is_success() {
        return match error_code(answer) {
            Some(NOT_FOUND) if answer.status.as_u16() == 404 => Ok(Verdict::NotLive),
            Some(CHECKS_USED_UP) if answer.status.is_client_error() => Ok(Verdict::NotLive),
            _ => Err(refused(gateway, answer)),
        };
    }
    let checked = answer.json::<Checked>();
    let said = checked.as_ref().map(|checked| (checked.status.as_str(), checked.valid));
    match said {
        Some(("approved", None | Some(true))) => Ok(Verdict::Approved),
        Some(("pending", None | Some(false))) => Ok(Verdict::Wrong),
        Some((
            "canceled" | "max_attempts_reached" | "deleted" | "failed" | "expired",
            None | Some(false),
        )) => Ok(Verdict::NotLive),
        // Another status, or one that contradicts itself. That it is Twilio's at all says that the
        // gateway works.
        _ => Err(GatewayError { whole_gateway: checked.is_none(), ..unreadable(gateway, answer, "verdict") }),
    }
}

impl Gateway for TwilioVerify {
    fn name(&self) -> GatewayName {
        NAME
    }

    fn channels(&self) -> &[Channel] {
        &Channel::ALL
    }

    fn send<'a>(&'a self, message: &'a OutgoingMessage) -> BoxFuture<'a, Result<Accepted, GatewayError>> {
        Box::pin(self.start(message))
    }

    fn checker(&self) -> Option<&dyn Checker> {
        Some(self)
    }

    fn readiness(&self) -> Result<(), String> {
        self.account.readiness()
    }
}

impl Checker for TwilioVerify {
    fn check<'a>(
        &'a self,
        to: PhoneNumber,
        _channel: Channel,
        code: &'a Code,
    ) -> BoxFuture<'a, Result<Verdict, GatewayError>> {
        Box::pin(self.ask(to, code))
    }
}

impl fmt::Debug for TwilioVerify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TwilioVerify").field("account", &self.account).finish_non_exhaustive()
    }
}
