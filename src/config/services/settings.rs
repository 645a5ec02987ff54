//! Services, templates and the account, validated.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::ConfigErrors;
use crate::domain::{ApiSecret, Channel, CodeLength, Locale, PhoneNumber, Sid, Timestamp};
use crate::engine::Policy;

/// What the registry begins with.
#[derive(Debug, Clone, Default)]
pub struct RegistrySettings {
    /// The services of config.json, in its order.
    pub services: Vec<ServiceSettings>,
    /// The templates of config.json, in its order.
    pub templates: Vec<TemplateSetting>,
    /// The account's credentials, when the environment has them.
    pub account: Option<AccountSettings>,
    /// What is wrong with listening where strangers can reach it, unless the data directory holds an API key. `None` where
    /// only this machine can, somebody has allowed it, or the account's credentials were given.
    pub unless_keys: Option<ConfigErrors>,
    /// Whether the listen address is one that only this machine can reach.
    pub loopback: bool,
    /// Whether strangers may be served without a key (`allow-unauthenticated`).
    pub allows_unauthenticated: bool,
}

/// The service behind the compatible routes, as far as the top-level keys describe it.
#[derive(Debug, Clone)]
pub struct DefaultService {
    /// `brand`.
    pub friendly_name: String,
    /// `otp-length`, `otp-timeout`, `otp-max-attempts` and `otp-lock-timeout`.
    pub policy: Policy,
}

/// One service of config.json.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a member of its own in config.json")]
pub struct ServiceSettings {
    /// Its name there, to which its id is bound.
    pub name: String,
    /// What its messages call it.
    pub friendly_name: String,
    /// Digits of a code.
    pub code_length: CodeLength,
    /// How long a code can be used.
    pub code_life: Duration,
    /// Wrong codes.
    pub max_checks: u8,
    /// Messages of one verification.
    pub max_sends: u8,
    /// How long too many wrong codes lock a number; `None` for growing waits.
    pub lockout: Option<Duration>,
    /// Whether a further send makes a new code.
    pub resend_new: bool,
    /// Whether a further send has to wait.
    pub cooling_down: bool,
    /// The language where nothing else leads to one.
    pub locale: Option<Locale>,
    /// Channels one after another, as `workflow` spells it.
    pub workflow: Option<String>,
    /// Whether a request may bring its own code.
    pub custom_code: bool,
    /// Whether text messages warn that the code is not to be shared.
    pub do_not_share_warning: bool,
    /// The name of the template where a request names none.
    pub default_template: Option<String>,
    /// Numbers that are never sent anything.
    pub test_numbers: Vec<TestNumber>,
    /// Where it was given, for errors that only the clock brings to light.
    pub origin: String,
}

/// Numbers that are never sent anything, and whose code is known.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestNumber {
    /// A number in E.164 form, in which `x` stands for any digit.
    pub pattern: String,
    /// The code.
    pub code: String,
    /// From when on it is an ordinary number again.
    pub expires: Timestamp,
}

impl TestNumber {
    /// Returns `true` if `number` matches at `now`.
    pub fn is(&self, number: PhoneNumber, now: Timestamp) -> bool {
        let text = number.e164();
        now < self.expires
            && text.len() == self.pattern.len()
            && self.pattern.bytes().zip(text.bytes()).all(|(p, digit)| p == b'x' || p == digit)
    }
}

impl fmt::Debug for TestNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TestNumber(***)")
    }
}

/// One template of config.json, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct TemplateSetting {
    /// Its name there, which its id is made of.
    pub name: String,
    /// What people call it.
    pub friendly_name: String,
    /// The channels that it is for.
    pub channels: Vec<Channel>,
    /// Its texts; at least one.
    pub translations: Vec<(Locale, String)>,
    /// The language where no other fits: one of the above.
    pub default_locale: Locale,
}

/// The account's credentials.
#[derive(Debug, Clone)]
pub struct AccountSettings {
    /// `AC`.
    pub sid: Sid,
    /// The auth token.
    pub token: ApiSecret,
}
