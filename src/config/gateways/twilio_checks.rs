//! Whether what is given for Twilio can be Twilio's, and where it answers.

use super::super::reader::{Reader, Taken};
use super::super::urls::BaseUrl;
use super::super::value::{Given, Setting};
use super::twilio_kinds::{SenderNumber, Sid, Token};

/// Where Twilio's own Verify API answers. The other APIs: [`BaseUrl::placeholder`].
const VERIFY_URL: &str = "https://verify.twilio.com";

/// Where Twilio answers. `None` after an error.
pub struct Address {
    /// For messages and calls.
    pub api: Option<String>,
    /// For Verify.
    pub verify: Option<String>,
    /// Whether it is known to be Twilio itself.
    pub is_twilio: bool,
}

impl Address {
    /// Twilio's own hosts, unless somebody stands in for it.
    pub fn read(given: Given<BaseUrl>, reader: &mut Reader<'_>) -> Self {
        if given.is_absent() {
            let base = BaseUrl::placeholder();
            reader.row("TWILIO_BASE_URL", format!("{} and {VERIFY_URL}", base.shown()), "the default");
            return Self { api: Some(base.0), verify: Some(VERIFY_URL.to_owned()), is_twilio: true };
        }
        let base = reader.take("TWILIO_BASE_URL", given).map(|taken| taken.value);
        if base.as_ref().is_some_and(BaseUrl::is_exposed) {
            reader.report.warn("TWILIO_BASE_URL begins with http: credentials and codes travel unencrypted");
        }
        let is_twilio = base.as_ref().is_some_and(BaseUrl::is_twilio);
        let url = base.map(|base| base.0);
        // Twilio's own APIs have a host each; whoever stands in for Twilio has one for all.
        let verify = url
            .as_ref()
            .map(|url| if is_twilio { url.replacen("://api.", "://verify.", 1) } else { url.clone() });
        Self { api: url, verify, is_twilio }
    }
}

/// Whether an id looks as Twilio's do; notes it when not.
pub fn sid_fits<const A: char, const B: char>(
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
pub fn token_fits(token: &Taken<Token>, reader: &mut Reader<'_>) -> bool {
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
pub fn sender_fits(sender: &Taken<SenderNumber>, reader: &mut Reader<'_>) -> bool {
    let fits = sender.value.is_twilios();
    if !fits {
        let problem = format!("it must be {}", SenderNumber::TWILIOS);
        reader.report.problem("TWILIO_PHONE_NUMBER", problem, sender.origin.clone());
    }
    fits
}
