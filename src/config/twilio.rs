//! Twilio's credentials: all that is needed, or a word about what is missing.

use serde::Deserialize;

use super::reader::{Reader, Taken};
use super::report::Report;
use super::settings::GatewaySettings;
use super::twilio_kinds::{BaseUrl, SenderNumber, Sid, Token};
use super::value::{Given, Setting};
use crate::domain::{GatewayCredential, GatewayName, Routing};
use crate::gateway::{TwilioAccount, TwilioSender, TwilioSettings};

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
    account_sid: Given<Sid<'A', 'C'>>,
    #[serde(rename = "TWILIO_AUTH_TOKEN")]
    auth_token: Given<Token>,
    #[serde(rename = "TWILIO_PHONE_NUMBER")]
    phone_number: Given<SenderNumber>,
    #[serde(rename = "TWILIO_MESSAGING_SERVICE_SID")]
    messaging_service_sid: Given<Sid<'M', 'G'>>,
    #[serde(rename = "TWILIO_SERVICES_ID")]
    services_id: Given<Sid<'V', 'A'>>,
    #[serde(rename = "TWILIO_BASE_URL")]
    base_url: Given<BaseUrl>,
}

impl TwilioKeys {
    /// Where everything that is given came from.
    fn origins(&self, reader: &Reader<'_>) -> Vec<String> {
        [
            reader.origin_of("TWILIO_ACCOUNT_SID", &self.account_sid),
            reader.origin_of("TWILIO_AUTH_TOKEN", &self.auth_token),
            reader.origin_of("TWILIO_PHONE_NUMBER", &self.phone_number),
            reader.origin_of("TWILIO_MESSAGING_SERVICE_SID", &self.messaging_service_sid),
            reader.origin_of("TWILIO_SERVICES_ID", &self.services_id),
            reader.origin_of("TWILIO_BASE_URL", &self.base_url),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// What sending still needs. What is there but cannot be read, such as a file that is missing,
    /// has an error of its own already.
    fn missing(&self, report: &Report) -> Vec<&'static str> {
        let absent = |is_absent: bool, names: &[&str]| is_absent && !report.is_about(names);
        let no_sender = self.phone_number.is_absent() && self.messaging_service_sid.is_absent();
        [
            (absent(self.account_sid.is_absent(), &["TWILIO_ACCOUNT_SID"]), "TWILIO_ACCOUNT_SID"),
            (
                absent(self.auth_token.is_absent(), &["TWILIO_AUTH_TOKEN", "TWILIO_AUTHTOKEN"]),
                "TWILIO_AUTH_TOKEN",
            ),
            (
                absent(no_sender, &["TWILIO_PHONE_NUMBER", "TWILIO_MESSAGING_SERVICE_SID"]),
                "TWILIO_PHONE_NUMBER (or TWILIO_MESSAGING_SERVICE_SID)",
            ),
        ]
        .into_iter()
        .filter_map(|(missing, name)| missing.then_some(name))
        .collect()
    }
}

/// The provider, or `None` after an error. Nothing about Twilio means the simulator; anything
/// about it must be enough to send with, for a message that silently goes nowhere is the worst
/// outcome of a forgotten variable.
pub fn gateways(keys: TwilioKeys, reader: &mut Reader<'_>) -> Option<GatewaySettings> {
    let origins = keys.origins(reader);
    if origins.is_empty() && !reader.report.is_about(&VARIABLES) {
        return Some(GatewaySettings::simulator());
    }
    let missing = keys.missing(reader.report);
    if !missing.is_empty() {
        let only_verify = !keys.services_id.is_absent() && missing.iter().any(|name| name.contains("PHONE"));
        let origin = (!origins.is_empty()).then(|| origins.join("; "));
        reader.report.problem("Twilio", incomplete(&missing, only_verify), origin);
    }
    let account = reader.take("TWILIO_ACCOUNT_SID", keys.account_sid);
    let token = reader.take("TWILIO_AUTH_TOKEN", keys.auth_token);
    let number = reader.take("TWILIO_PHONE_NUMBER", keys.phone_number);
    let service_given = !keys.messaging_service_sid.is_absent();
    let service = reader.take("TWILIO_MESSAGING_SERVICE_SID", keys.messaging_service_sid);
    let verify = reader.take("TWILIO_SERVICES_ID", keys.services_id);
    let base_given = !keys.base_url.is_absent();
    let base = reader.take("TWILIO_BASE_URL", keys.base_url).map(|taken| taken.value);
    let base = if base_given { base? } else { default_base(reader) };
    if base.is_exposed() {
        reader.report.warn("TWILIO_BASE_URL begins with http: credentials and codes travel unencrypted");
    }
    if verify.is_some() {
        reader.report.warn("TWILIO_SERVICES_ID is not used yet: this version sends through Twilio Messages");
    }
    // Only Twilio's own values are known to look like this; a private gateway may have others.
    let strict = base.is_twilio();
    let account = account.filter(|sid| !strict || sid_fits("TWILIO_ACCOUNT_SID", sid, reader));
    let token = token.filter(|token| !strict || token_fits(token, reader));
    let service = service.filter(|sid| !strict || sid_fits("TWILIO_MESSAGING_SERVICE_SID", sid, reader));
    let number = number.filter(|number| !strict || service_given || sender_fits(number, reader));
    let sender = match (service, number) {
        (Some(service), _) => TwilioSender::MessagingService(service.value.0),
        (None, number) => TwilioSender::Number(number?.value.0),
    };
    let account = TwilioAccount {
        account_sid: account?.value.0,
        auth_token: GatewayCredential::new(token?.value.0),
        base_url: base.0,
    };
    let twilio = TwilioSettings { account, sender, whatsapp: None, feedback: false };
    Some(GatewaySettings {
        routing: Routing::only(GatewayName::TwilioMessages),
        twilio_messages: Some(twilio),
        ..GatewaySettings::simulator()
    })
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
fn sid_fits<const A: char, const B: char>(
    variable: &str,
    sid: &Taken<Sid<A, B>>,
    reader: &mut Reader<'_>,
) -> bool {
    let fits = sid.value.is_twilios();
    if !fits {
        let problem = format!("it must be {}", Sid::<A, B>::accepted());
        reader.report.problem(variable, problem, sid.origin.clone());
    }
    fits
}

/// Whether it can be a token at all. Twilio promises no form, so one that is not of today's form
/// gets a warning only; the commonest reason is a key of another kind, or a piece that was lost.
fn token_fits(token: &Taken<Token>, reader: &mut Reader<'_>) -> bool {
    if token.value.is_blank() {
        let problem = "it has neither letters nor digits, so it is no token. Twilio's console shows the account's \
                       auth token: 32 hexadecimal digits";
        reader.report.problem("TWILIO_AUTH_TOKEN", problem, token.origin.clone());
        return false;
    }
    if !token.value.is_twilios() {
        reader.report.warn(format!(
            "TWILIO_AUTH_TOKEN is not of 32 hexadecimal digits, as Twilio's console shows auth tokens; if Twilio \
             refuses it, look there (secrets of API keys do not work here); given by {}",
            token.origin
        ));
    }
    true
}

/// Whether Twilio could send from it; notes it when not.
fn sender_fits(sender: &Taken<SenderNumber>, reader: &mut Reader<'_>) -> bool {
    let fits = sender.value.is_twilios();
    if !fits {
        let problem = format!("it must be {}", SenderNumber::TWILIOS);
        reader.report.problem("TWILIO_PHONE_NUMBER", problem, sender.origin.clone());
    }
    fits
}
