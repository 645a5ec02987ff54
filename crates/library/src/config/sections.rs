//! The smaller sections of the configuration.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use url::{Position, Url};

use super::sources::Config;
use super::values::{page_url, plain_url};
use crate::domain::{ServiceId, checked, is_name};

// What `captcha` may have: the challenge service of the hosted page.

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
    /// Where its scripts, frames and styles come from, for a content security policy.
    pub sources: String,
}

/// A challenge service that is known by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
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

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct CaptchaKeys {
    /// `turnstile`, `hcaptcha` or `recaptcha`. Any other service needs `script` and `verify-url`.
    provider: Option<CaptchaProvider>,
    /// URL of the script that shows the challenge in an element with the class `g-recaptcha`.
    #[serde(default, deserialize_with = "page_url")]
    #[schemars(with = "Option<String>")]
    script: Option<Url>,
    /// URL of the service's `siteverify`.
    #[serde(default, deserialize_with = "page_url")]
    #[schemars(with = "Option<String>")]
    verify_url: Option<Url>,
    /// The public key of the page. The secret one is `CAPTCHA_SECRET`.
    site_key: String,
    /// `true` asks before each message, not only where an allowance of the guard is used up.
    #[serde(default)]
    always: bool,
}

/// The settings, if there is a service. Notes what is missing.
pub fn read_captcha(
    keys: Option<CaptchaKeys>,
    secret: Option<SecretString>,
    c: &mut Config,
) -> Option<CaptchaSettings> {
    let CaptchaKeys { provider, script, verify_url, site_key, always } = keys?;
    let none = ["", "", "g-recaptcha", ""];
    let [known_script, known_verify_url, class, sources] = provider.map_or(none, CaptchaProvider::facts);
    let script = script.or_else(|| Url::parse(known_script).ok());
    let verify_url = verify_url.or_else(|| Url::parse(known_verify_url).ok());
    let no_service = script.is_none() || verify_url.is_none();
    for (name, is_missing, what) in [
        (
            "captcha.provider",
            no_service,
            "turnstile, hcaptcha or recaptcha, or a service with script and verify-url",
        ),
        ("captcha.site-key", site_key.trim().is_empty(), "the public key of the challenge service"),
        ("CAPTCHA_SECRET", secret.is_none(), "the secret key of the challenge service"),
    ] {
        c.wrong_if(is_missing, name, format!("it is missing: {what}"));
    }
    let script = script?;
    let is_known = script.as_str() == known_script;
    let sources = if is_known { sources.to_owned() } else { script.origin().ascii_serialization() };
    let (verify_url, secret) = (verify_url?, secret?);
    Some(CaptchaSettings { script, class, site_key, verify_url, secret, always, sources })
}

// What `cluster` may have.

/// One node of several that share an etcd.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct ClusterSettings {
    /// URLs of etcd's members, all http or all https, without a path.
    #[serde(deserialize_with = "etcd_urls")]
    pub etcd: Vec<String>,
    /// This node's name: 1 to 64 letters, digits, `-` and `_`. No other node has it.
    #[serde(deserialize_with = "node_name")]
    pub node: String,
    /// PEM file of the authorities that signed the certificates of etcd's members. Needed for https.
    pub etcd_ca: Option<PathBuf>,
    /// PEM file of the certificate with which this node connects to etcd. Needs `etcd-key`.
    pub etcd_cert: Option<PathBuf>,
    /// PEM file of that certificate's private key. Needs `etcd-cert`.
    pub etcd_key: Option<PathBuf>,
}

fn etcd_urls<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    const MOST: usize = 9;
    let urls = Vec::<String>::deserialize(from)?;
    let are_all = |scheme| urls.iter().all(|url| is_member(url, scheme));
    // `HTTP://host` and `http://host:80/` are the same member.
    let different: HashSet<_> = urls.iter().map(|url| Url::parse(url).ok()).collect();
    let fits = (1..=MOST).contains(&urls.len()) && different.len() == urls.len();
    let fits = fits && (are_all("http") || are_all("https"));
    let accepted = "must be a list of one to nine different URLs, all http or all https, with a port from 1 to 65535 and without a \
                    path, a name or a password, such as [\"http://10.0.0.11:2379\"]";
    if fits { Ok(urls) } else { Err(D::Error::custom(accepted)) }
}

fn node_name<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    checked(from, "1 to 64 letters, digits, - and _", |text| is_name(text).then(|| text.to_owned()))
}

fn is_member(url: &str, scheme: &str) -> bool {
    plain_url(url).is_some_and(|url| {
        url.scheme() == scheme && url.port() != Some(0) && url[Position::BeforePath..] == *"/"
    })
}

impl ClusterSettings {
    /// With the members checked against each other, and relative paths below `directory`.
    pub(super) fn checked(self, directory: &Path, c: &mut Config) -> Self {
        let Self { etcd, etcd_ca, etcd_cert, etcd_key, .. } = &self;
        let is_secure = etcd.iter().any(|url| is_member(url, "https"));
        let ca = "URLs of etcd that begin with https need it, and others must not have it";
        c.wrong_if(is_secure != etcd_ca.is_some(), "cluster.etcd-ca", ca);
        let together = "etcd-cert and etcd-key go together";
        c.wrong_if(etcd_cert.is_some() != etcd_key.is_some(), "cluster.etcd-key", together);
        let [etcd_ca, etcd_cert, etcd_key] =
            [etcd_ca, etcd_cert, etcd_key].map(|path| path.as_ref().map(|path| directory.join(path)));
        Self { etcd_ca, etcd_cert, etcd_key, ..self }
    }
}

// The keys by which identity systems sign their hooks. Each is a variable.

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct HookSettings {
    /// Secrets of Supabase's Send SMS hook, as Supabase shows them: v1,whsec_ and Base64. Several are separated by |, and
    /// each may begin with its service and a colon. Without one the service is default.
    #[serde(rename = "SUPABASE_HOOK_SECRETS", deserialize_with = "standard_keys")]
    pub supabase: Vec<HookKey>,
    /// Signing keys of Zitadel's HTTP providers, in the same form.
    #[serde(rename = "ZITADEL_HOOK_KEYS", deserialize_with = "keys")]
    pub zitadel: Vec<HookKey>,
    /// Signing keys of Logto's web hooks, in the same form.
    #[serde(rename = "LOGTO_HOOK_KEYS", deserialize_with = "keys")]
    pub logto: Vec<HookKey>,
}

/// A key by which an identity system signs its hooks.
#[derive(Debug, Clone)]
pub struct HookKey {
    /// The name of the service that sends its codes.
    pub service: String,
    key: SecretSlice<u8>,
}

impl HookKey {
    pub fn expose(&self) -> &[u8] {
        self.key.expose_secret()
    }
}

fn keys<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<HookKey>, D::Error> {
    let accepted = "keys of at least 16 characters, separated by |, each perhaps behind the name of its service and a colon";
    checked(from, accepted, |text| hook_keys(text, |key| Some(key.as_bytes().to_vec())))
}

/// Secrets in the form of Standard Webhooks.
fn standard_keys<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<HookKey>, D::Error> {
    let accepted = "secrets such as v1,whsec_ and Base64 of at least 16 bytes, separated by |, each perhaps behind the name of its \
                    service and a colon";
    let decode = |key: &str| {
        let key = key.strip_prefix("v1,").unwrap_or(key);
        STANDARD.decode(key.strip_prefix("whsec_")?).ok()
    };
    checked(from, accepted, |text| hook_keys(text, decode))
}

/// A shorter key could be tried out.
const SHORTEST_HOOK_KEY: usize = 16;

fn hook_keys(text: &str, decode: fn(&str) -> Option<Vec<u8>>) -> Option<Vec<HookKey>> {
    let entries = text.split(|c: char| c.is_whitespace() || c == '|').filter(|entry| !entry.is_empty());
    let key = |entry: &str| {
        let (service, key) = entry.split_once(':').unwrap_or((ServiceId::DEFAULT_NAME, entry));
        let key = SecretSlice::from(decode(key)?);
        let is_long = key.expose_secret().len() >= SHORTEST_HOOK_KEY;
        is_long.then(|| HookKey { service: service.to_owned(), key })
    };
    let keys = entries.map(key).collect::<Option<Vec<_>>>()?;
    (!keys.is_empty()).then_some(keys)
}
