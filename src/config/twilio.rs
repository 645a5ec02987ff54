//! Twilio's credentials: all that is needed, or a word about what is missing.

use serde::Deserialize;

use super::reader::{Reader, Taken};
use super::settings::GatewaySettings;
use super::twilio_kinds::{BaseUrl, SenderNumber, Sid, Token};
use super::value::{Given, Setting};
use crate::domain::GatewayCredential;
use crate::gateway::{TwilioSender, TwilioSettings};

/// The variables; each also with `_FILE` at its end.
pub const VARIABLES: [&str; 7] = [
    "TWILIO_ACCOUNT_SID",
    "TWILIO_AUTH_TOKEN",
    "TWILIO_AUTHTOKEN",
    "TWILIO_PHONE_NUMBER",
    "TWILIO_MESSAGING_SERVICE_SID",
    "TWILIO_SERVICES_ID",
    "TWILIO_BASE_URL",
];

/// What the sources say about Twilio.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct TwilioKeys {
    #[serde(rename = "TWILIO_ACCOUNT_SID")]
    account_sid: Given<Sid>,
    #[serde(rename = "TWILIO_AUTH_TOKEN")]
    auth_token: Given<Token>,
    #[serde(rename = "TWILIO_PHONE_NUMBER")]
    phone_number: Given<SenderNumber>,
    #[serde(rename = "TWILIO_MESSAGING_SERVICE_SID")]
    messaging_service_sid: Given<Sid>,
    #[serde(rename = "TWILIO_SERVICES_ID")]
    services_id: Given<Sid>,
    #[serde(rename = "TWILIO_BASE_URL")]
    base_url: Given<BaseUrl>,
}

impl TwilioKeys {
    fn any_given(&self) -> bool {
        !(self.account_sid.is_absent()
            && self.auth_token.is_absent()
            && self.services_id.is_absent()
            && self.base_url.is_absent())
            || self.has_sender()
    }

    fn has_sender(&self) -> bool {
        !(self.phone_number.is_absent() && self.messaging_service_sid.is_absent())
    }

    /// What sending still needs.
    fn missing(&self) -> Vec<&'static str> {
        [
            (self.account_sid.is_absent(), "TWILIO_ACCOUNT_SID"),
            (self.auth_token.is_absent(), "TWILIO_AUTH_TOKEN"),
            (!self.has_sender(), "TWILIO_PHONE_NUMBER (or TWILIO_MESSAGING_SERVICE_SID)"),
        ]
        .into_iter()
        .filter_map(|(missing, name)| missing.then_some(name))
        .collect()
    }
}

/// The provider, or `None` after an error. Nothing about Twilio means the simulator; anything
/// about it must be enough to send with, for a message that silently goes nowhere is the worst
/// outcome of a forgotten variable.
pub fn gateway(keys: TwilioKeys, reader: &mut Reader<'_>) -> Option<GatewaySettings> {
    if !keys.any_given() {
        return Some(GatewaySettings::Simulator);
    }
    let missing = keys.missing();
    let has_sender = keys.has_sender();
    let account = reader.take("TWILIO_ACCOUNT_SID", keys.account_sid);
    let token = reader.take("TWILIO_AUTH_TOKEN", keys.auth_token);
    let number = reader.take("TWILIO_PHONE_NUMBER", keys.phone_number);
    let service = reader.take("TWILIO_MESSAGING_SERVICE_SID", keys.messaging_service_sid);
    let verify = reader.take("TWILIO_SERVICES_ID", keys.services_id);
    let base = reader.take("TWILIO_BASE_URL", keys.base_url);
    if !missing.is_empty() {
        let problem = incomplete(&missing, verify.is_some() && !has_sender);
        let given = [
            account.map(|taken| taken.origin),
            token.map(|taken| taken.origin),
            number.map(|taken| taken.origin),
            service.map(|taken| taken.origin),
            verify.map(|taken| taken.origin),
            base.map(|taken| taken.origin),
        ];
        let origin = given.into_iter().flatten().collect::<Vec<_>>().join("; ");
        reader.report.problem("Twilio", problem, origin);
        return None;
    }
    let base = base.map_or_else(|| default_base(reader), |taken| taken.value);
    if base.is_exposed() {
        reader.report.warn("TWILIO_BASE_URL begins with http: credentials and codes travel unencrypted");
    }
    if verify.is_some() {
        reader.report.warn("TWILIO_SERVICES_ID is not used yet: this version sends through Twilio Messages");
    }
    // Only Twilio's own ids are known to look like this; a private gateway may have others.
    let fits = |prefix, variable, sid: &Taken<Sid>, reader: &mut Reader<'_>| {
        !base.is_twilio() || sid_is(prefix, variable, sid, reader)
    };
    let account = account.filter(|sid| fits("AC", "TWILIO_ACCOUNT_SID", sid, reader));
    let service = service.filter(|sid| fits("MG", "TWILIO_MESSAGING_SERVICE_SID", sid, reader));
    let sender = match (service, number) {
        (Some(service), _) => TwilioSender::MessagingService(service.value.0),
        (None, number) => TwilioSender::Number(number?.value.0),
    };
    Some(GatewaySettings::Twilio(TwilioSettings {
        account_sid: account?.value.0,
        auth_token: GatewayCredential::new(token?.value.0),
        sender,
        base_url: base.0,
    }))
}

fn default_base(reader: &mut Reader<'_>) -> BaseUrl {
    let base = BaseUrl::placeholder();
    reader.row("TWILIO_BASE_URL", base.shown(), "the default");
    base
}

fn incomplete(missing: &[&str], only_verify: bool) -> String {
    let are = if missing.len() == 1 { "is" } else { "are" };
    let mut problem = format!(
        "some of its settings are given, but {} {are} missing. Set all of them, or none of them to start with the \
         simulator",
        missing.join(" and ")
    );
    if only_verify {
        problem.push_str(
            ". TWILIO_SERVICES_ID (a Verify service) is not enough: this version sends through Twilio Messages, which \
             needs a TWILIO_PHONE_NUMBER or a TWILIO_MESSAGING_SERVICE_SID",
        );
    }
    problem
}

/// Whether an id looks as Twilio's do; notes it when not.
fn sid_is(prefix: &str, variable: &str, sid: &Taken<Sid>, reader: &mut Reader<'_>) -> bool {
    let rest = sid.value.0.strip_prefix(prefix);
    let fits = rest.is_some_and(|rest| rest.len() == 32 && rest.bytes().all(|b| b.is_ascii_hexdigit()));
    if !fits {
        let problem = format!("it must be {prefix} and 32 hexadecimal digits, as Twilio's console shows it");
        reader.report.problem(variable, problem, sid.origin.clone());
    }
    fits
}
