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
#[serde(default, rename_all = "SCREAMING_SNAKE_CASE")]
pub struct TwilioKeys {
    twilio_account_sid: Given<Sid>,
    twilio_auth_token: Given<Token>,
    twilio_phone_number: Given<SenderNumber>,
    twilio_messaging_service_sid: Given<Sid>,
    twilio_services_id: Given<Sid>,
    twilio_base_url: Given<BaseUrl>,
}

impl TwilioKeys {
    fn any_given(&self) -> bool {
        !(self.twilio_account_sid.is_absent()
            && self.twilio_auth_token.is_absent()
            && self.twilio_services_id.is_absent()
            && self.twilio_base_url.is_absent())
            || self.has_sender()
    }

    fn has_sender(&self) -> bool {
        !(self.twilio_phone_number.is_absent() && self.twilio_messaging_service_sid.is_absent())
    }

    /// What sending still needs.
    fn missing(&self) -> Vec<&'static str> {
        [
            (self.twilio_account_sid.is_absent(), "TWILIO_ACCOUNT_SID"),
            (self.twilio_auth_token.is_absent(), "TWILIO_AUTH_TOKEN"),
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
    let account = reader.take("TWILIO_ACCOUNT_SID", keys.twilio_account_sid);
    let token = reader.take("TWILIO_AUTH_TOKEN", keys.twilio_auth_token);
    let number = reader.take("TWILIO_PHONE_NUMBER", keys.twilio_phone_number);
    let service = reader.take("TWILIO_MESSAGING_SERVICE_SID", keys.twilio_messaging_service_sid);
    let verify = reader.take("TWILIO_SERVICES_ID", keys.twilio_services_id);
    let base_given = !keys.twilio_base_url.is_absent();
    let base = reader.take("TWILIO_BASE_URL", keys.twilio_base_url);
    if !missing.is_empty() {
        reader.report.problem("Twilio", incomplete(&missing, verify.is_some()), None);
        return None;
    }
    let base = match base {
        Some(base) => base,
        None if base_given => return None,
        None => Taken { value: BaseUrl::placeholder(), origin: "the default".to_owned() },
    };
    // Only Twilio's own ids are known to look like this; a private gateway may have others.
    let official = base.value.is_twilio();
    let account = account.filter(|sid| !official || sid_is(reader, "TWILIO_ACCOUNT_SID", "AC", sid));
    let service_given = service.is_some();
    let service =
        service.filter(|sid| !official || sid_is(reader, "TWILIO_MESSAGING_SERVICE_SID", "MG", sid));
    if verify.is_some() {
        reader.report.warn(
            "TWILIO_SERVICES_ID is not used yet in this version: codes go out through Twilio Messages"
                .to_owned(),
        );
    }
    if base.value.is_exposed() {
        reader
            .report
            .warn("TWILIO_BASE_URL begins with http: credentials and codes travel unencrypted".to_owned());
    }
    let (account, token) = (account?, token?);
    let sender = match (service, number) {
        (Some(service), _) => TwilioSender::MessagingService(service.value.0),
        (None, Some(number)) if !service_given => TwilioSender::Number(number.value.0),
        (None, _) => return None,
    };
    Some(GatewaySettings::Twilio(TwilioSettings {
        account_sid: account.value.0,
        auth_token: GatewayCredential::new(token.value.0),
        sender,
        base_url: base.value.0,
    }))
}

fn incomplete(missing: &[&str], verify: bool) -> String {
    let are = if missing.len() == 1 { "is" } else { "are" };
    let mut problem = format!(
        "some of its settings are given, but {} {are} missing. Set all of them, or none of them to start with the \
         simulator",
        missing.join(" and ")
    );
    if verify {
        problem.push_str(
            ". TWILIO_SERVICES_ID (a Verify service) is not enough: this version sends through Twilio Messages, which \
             needs a TWILIO_PHONE_NUMBER or a TWILIO_MESSAGING_SERVICE_SID",
        );
    }
    problem
}

/// Whether an id looks as Twilio's do; notes it when not.
fn sid_is(reader: &mut Reader<'_>, variable: &str, prefix: &str, sid: &Taken<Sid>) -> bool {
    let rest = sid.value.0.strip_prefix(prefix);
    let fits = rest.is_some_and(|rest| rest.len() == 32 && rest.bytes().all(|b| b.is_ascii_hexdigit()));
    if !fits {
        let problem = format!("it must be {prefix} and 32 hexadecimal digits, as Twilio's console shows it");
        reader.report.problem(variable, problem, sid.origin.clone());
    }
    fits
}
