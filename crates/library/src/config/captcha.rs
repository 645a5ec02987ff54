//! What `captcha` may have: the challenge service of the hosted page.

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use url::Url;

use super::sources::Config;
use super::values::{page_url, shown};

/// A challenge service, whose answers `siteverify` gives.
#[derive(Debug, Clone)]
pub struct CaptchaSettings {
    /// Shows the challenge in the element with `class`.
    pub script: Url,
    pub class: &'static str,
    pub site_key: String,
    pub verify_url: Url,
    pub secret: SecretString,
    /// Whether each message needs a challenge, not only one that lacks an allowance of the guard.
    pub always: bool,
    /// Whether a message passes while the service does not answer.
    pub fail_open: bool,
    /// Where its scripts, frames and styles come from, for a content security policy.
    pub sources: String,
}

/// A challenge service that is known by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CaptchaProvider {
    Turnstile,
    Hcaptcha,
    Recaptcha,
}

impl CaptchaProvider {
    /// Script, `siteverify`, the class of its element, and its sources.
    const fn facts(self) -> [&'static str; 4] {
        match self {
            Self::Turnstile => [
                "https://challenges.cloudflare.com/turnstile/v0/api.js",
                "https://challenges.cloudflare.com/turnstile/v0/siteverify",
                "cf-turnstile",
                "https://challenges.cloudflare.com",
            ],
            Self::Hcaptcha => [
                "https://js.hcaptcha.com/1/api.js",
                "https://api.hcaptcha.com/siteverify",
                "h-captcha",
                "https://hcaptcha.com https://*.hcaptcha.com",
            ],
            Self::Recaptcha => [
                "https://www.google.com/recaptcha/api.js",
                "https://www.google.com/recaptcha/api/siteverify",
                "g-recaptcha",
                "https://www.google.com/recaptcha/ https://www.gstatic.com/recaptcha/ https://recaptcha.google.com/recaptcha/",
            ],
        }
    }
}

#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct CaptchaKeys {
    /// `turnstile`, `hcaptcha` or `recaptcha`. Any other service needs `script` and `verify-url`.
    provider: Option<CaptchaProvider>,
    /// URL of the script that shows the challenge in an element with the class `g-recaptcha`.
    #[serde(default, deserialize_with = "page_url", serialize_with = "shown")]
    #[schemars(with = "Option<String>")]
    script: Option<Url>,
    /// URL of the service's `siteverify`.
    #[serde(default, deserialize_with = "page_url", serialize_with = "shown")]
    #[schemars(with = "Option<String>")]
    verify_url: Option<Url>,
    /// The public key of the page. The secret one is `CAPTCHA_SECRET`.
    site_key: String,
    /// `true` asks before each message, not only where an allowance of the guard is used up.
    #[serde(default)]
    always: bool,
    /// `true` lets messages pass without a challenge while the service does not answer.
    #[serde(default)]
    fail_open: bool,
}

/// The settings, if there is a service. Notes what is missing.
pub fn read(
    keys: Option<CaptchaKeys>,
    secret: Option<SecretString>,
    c: &mut Config,
) -> Option<CaptchaSettings> {
    let CaptchaKeys { provider, script, verify_url, site_key, always, fail_open } = keys?;
    let none = ["", "", "g-recaptcha", ""];
    let [known_script, known_verify_url, class, sources] = provider.map_or(none, CaptchaProvider::facts);
    let script = script.or_else(|| Url::parse(known_script).ok());
    let verify_url = verify_url.or_else(|| Url::parse(known_verify_url).ok());
    let no_provider = "captcha has no provider: turnstile, hcaptcha or recaptcha";
    let no_site_key = "captcha needs it: the public key of the challenge service";
    let no_secret = "captcha needs it: the secret key of the challenge service";
    for (name, is_missing, why) in [
        ("captcha.script", script.is_none(), no_provider),
        ("captcha.verify-url", verify_url.is_none(), no_provider),
        ("captcha.site-key", site_key.trim().is_empty(), no_site_key),
        ("CAPTCHA_SECRET", secret.is_none(), no_secret),
    ] {
        c.wrong_if(is_missing, name, format!("it is missing, and {why}"));
    }
    let script = script?;
    let is_known = script.as_str() == known_script;
    let sources = if is_known { sources.to_owned() } else { script.origin().ascii_serialization() };
    let (verify_url, secret) = (verify_url?, secret?);
    Some(CaptchaSettings { script, class, site_key, verify_url, secret, always, fail_open, sources })
}
