//! The rules for codes, compared with NIST SP 800-63B-4, OWASP's cheat sheets and ASVS 5.0.

use std::time::Duration;

use super::Findings;
use crate::config::Settings;
use crate::domain::CodeLength;
use crate::engine::{FailureCount, LockoutRule, Policy, SendOptions};

struct Rule {
    name: &'static str,
    source: &'static str,
    /// The setting in config.json, and the key of a service.
    settings: [&'static str; 2],
    check: fn(&Policy) -> (bool, String),
    remedy: &'static str,
    /// Whether the contract of the older routes requires another value.
    set_by_contract: bool,
}

const OLDER_ROUTES: &str = "the contract of the older routes requires this; use a service of /v2 with the lockout `verification`: \
                            docs/concepts/lockouts.md";

const RULES: [Rule; 4] = [
    Rule {
        name: "code length",
        source: "NIST SP 800-63B-4, 3.1.3.2: at least 6 digits",
        settings: ["otp-length", "code-length"],
        check: |policy| (policy.code.length >= CodeLength::SIX, policy.code.length.get().to_string()),
        remedy: "set it to 6 or more",
        set_by_contract: false,
    },
    Rule {
        name: "code lifetime",
        source: "NIST SP 800-63B-4, 3.1.3.2: at most 10 minutes",
        settings: ["otp-timeout", "code-life"],
        check: |policy| (policy.code.life <= SendOptions::DEFAULT.life, shown(policy.code.life)),
        remedy: "set it to 10m or less",
        set_by_contract: false,
    },
    Rule {
        name: "wrong codes in a row",
        source: "NIST SP 800-63B-4, 3.2.2: at most 100, over all codes",
        settings: ["otp-max-attempts", "max-checks"],
        check: |policy| match policy.lockout {
            LockoutRule::Fixed(_) => {
                (false, format!("{}, then the count starts again with each lockout", policy.max_attempts))
            }
            LockoutRule::Verification => (
                true,
                format!(
                    "{} for a verification, {} in a row",
                    policy.max_attempts,
                    FailureCount::HARD_STOP_AT
                ),
            ),
        },
        remedy: "use the lockout `verification`: docs/concepts/lockouts.md",
        set_by_contract: true,
    },
    Rule {
        name: "lockout",
        source: "OWASP Authentication cheat sheet, ASVS 5.0 6.1.1: no lockout that an attacker can cause",
        settings: ["otp-lock-timeout", "lockout"],
        check: |policy| match policy.lockout {
            LockoutRule::Fixed(time) => {
                (false, format!("a caller who knows the number can lock its owner out for {}", shown(time)))
            }
            LockoutRule::Verification => {
                (true, "ends the verification only; the owner begins another".to_owned())
            }
        },
        remedy: "use the lockout `verification`: docs/concepts/lockouts.md",
        set_by_contract: true,
    },
];

/// Compares the rules of the compatible routes and of the services of config.json.
pub(super) fn compare(settings: &Settings, findings: &mut Findings) {
    for rule in &RULES {
        let [key, key_of_service] = rule.settings;
        let services = settings.registry.services.iter();
        let services = services.map(|service| {
            (format!("services.{}.{key_of_service}", service.name), service.settings.policy())
        });
        for (key, policy) in std::iter::once((key.to_owned(), settings.policy)).chain(services) {
            let (holds, value) = (rule.check)(&policy);
            let detail = format!("{key}: {value} ({})", rule.source);
            let check = format!("standards, {}", rule.name);
            if holds {
                findings.ok(check, detail);
            } else if rule.set_by_contract && key == rule.settings[0] {
                findings.note(check, detail, OLDER_ROUTES);
            } else {
                findings.warn(check, detail, rule.remedy);
            }
        }
    }
}

fn shown(time: Duration) -> String {
    humantime::format_duration(time).to_string()
}
