//! Rules of codes, and the limit on everything.

use std::mem::take;

use super::super::keys::Keys;
use super::super::reader::Reader;
use super::super::report::Report;
use super::super::settings::Bounds;
use crate::domain::CodeLength;
use crate::engine::{Lockout, Policy, SendOptions, SendRules};

/// The rules of the default service. `None` only after an error.
pub fn policy(keys: &mut Keys, r: &mut Reader<'_>) -> Option<Policy> {
    Some(Policy {
        max_attempts: u8::try_from(r.value("otp-max-attempts", take(&mut keys.otp_max_attempts)).get())
            .ok()?,
        lockout: r.value("otp-lock-timeout", take(&mut keys.otp_lock_timeout)).get(),
        kind: Lockout::Fixed,
        sends: SendRules::CONTRACT,
        code: SendOptions {
            life: r.value("otp-timeout", take(&mut keys.otp_timeout)).get(),
            length: CodeLength::new(
                u8::try_from(r.value("otp-length", take(&mut keys.otp_length)).get()).ok()?,
            )?,
        },
    })
}

/// The limit on everything.
pub fn bounds(keys: &mut Keys, r: &mut Reader<'_>) -> Bounds {
    Bounds {
        body_bytes: r.value("max-body-bytes", take(&mut keys.max_body_bytes)).as_usize(),
        header_timeout: r.value("header-timeout", take(&mut keys.header_timeout)).get(),
        body_timeout: r.value("body-timeout", take(&mut keys.body_timeout)).get(),
        idle_timeout: r.value("idle-timeout", take(&mut keys.idle_timeout)).get(),
        connections: r.value("max-connections", take(&mut keys.max_connections)).as_usize(),
        numbers: r.value("max-numbers", take(&mut keys.max_numbers)).as_usize(),
        commands: r.value("max-commands", take(&mut keys.max_commands)).as_usize(),
        commands_per_number: r
            .value("max-commands-per-number", take(&mut keys.max_commands_per_number))
            .as_usize(),
        sends: r.value("max-sends", take(&mut keys.max_sends)).as_usize(),
        sends_waiting: r.value("max-sends-waiting", take(&mut keys.max_sends_waiting)).as_usize(),
        send_budget: r.value("send-budget", take(&mut keys.send_budget)).get(),
        commit_timeout: r.value("commit-timeout", take(&mut keys.commit_timeout)).get(),
        graceful_stop: r.value("graceful-stop", take(&mut keys.graceful_stop)).get(),
    }
}

/// What works, but is weaker than the standards ask for or than it looks.
pub fn warn_of_weakness(policy: &Policy, bounds: &Bounds, report: &mut Report) {
    if policy.code.length < CodeLength::SIX {
        report.warn("otp-length is below the 6 digits that NIST SP 800-63B-4 (3.1.3.2) asks for");
    }
    if policy.code.life > SendOptions::DEFAULT.life {
        report.warn("otp-timeout is above the 10 minutes that NIST SP 800-63B-4 (3.1.3.2) allows");
    }
    if bounds.graceful_stop < bounds.send_budget {
        report.warn("graceful-stop is shorter than send-budget: a stop can cut off a send that is under way");
    }
}
