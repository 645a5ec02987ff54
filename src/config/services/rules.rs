//! What the values of a service may be. Each answer says what is accepted, as the end of a sentence that begins with
//! the value's name.

use std::time::Duration;

use crate::config::value::Setting as _;
use crate::config::workflow::Workflow;
use crate::domain::{Code, CodeLength, NumberPattern};

/// The longest name of a service, in characters.
pub const NAME_LONGEST: usize = 30;

/// Twilio refuses names with more digits: they could be taken for a code.
const NAME_DIGITS: usize = 4;

/// The shortest life of a code.
pub const LIFE_MIN: Duration = Duration::from_secs(30);

/// The longest life of a code: one that lives longer is a password.
pub const LIFE_MAX: Duration = Duration::from_secs(60 * 60);

/// The shortest and the longest fixed lockout.
const LOCKOUT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30 * 24 * 60 * 60));

/// Wrong codes: NIST SP 800-63B-4 (3.2.2) allows at most 100 failures in a row.
const CHECKS_MAX: u64 = 100;

/// Messages cost money, and nobody needs a code twenty times.
const SENDS_MAX: u64 = 20;

/// How long a test number stays one at most.
pub const TEST_NUMBER_LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// A name for people: one line, not too long, with nothing in it that a text could take for a place of its own.
pub fn name(text: &str, longest: usize) -> Result<String, String> {
    let text = text.trim();
    let characters = text.chars().count();
    if characters == 0 || characters > longest {
        return Err(format!("must have 1 to {longest} characters"));
    }
    line(text).map(|()| text.to_owned())
}

/// Text that becomes a part of messages.
pub fn line(text: &str) -> Result<(), String> {
    if text.chars().any(char::is_control) || text.contains(['\u{2028}', '\u{2029}']) {
        return Err("must be one line, without control characters".to_owned());
    }
    if text.contains(['{', '}']) || text.contains("_CODE_") {
        return Err("must not contain {, } or _CODE_, which stand for places in messages".to_owned());
    }
    Ok(())
}

/// What a service's messages call it.
pub fn friendly_name(text: &str) -> Result<String, String> {
    let name = name(text, NAME_LONGEST)?;
    if name.chars().filter(|c| c.is_numeric()).count() > NAME_DIGITS {
        return Err(format!("must not have more than {NAME_DIGITS} digits, which could be taken for a code"));
    }
    Ok(name)
}

/// Digits of a code.
pub fn code_length(digits: u64) -> Result<CodeLength, String> {
    let length = u8::try_from(digits).ok().and_then(CodeLength::new);
    length.ok_or_else(|| format!("must be from {} to {}", CodeLength::MIN, CodeLength::MAX))
}

/// How long a code can be used.
pub fn code_life(life: Duration) -> Result<Duration, String> {
    within(life, LIFE_MIN, LIFE_MAX)
}

/// How long a number is locked.
pub fn lockout(span: Duration) -> Result<Duration, String> {
    within(span, LOCKOUT.0, LOCKOUT.1)
}

/// Wrong codes.
pub fn max_checks(checks: u64) -> Result<u8, String> {
    whole(checks, CHECKS_MAX)
}

/// Messages of one verification.
pub fn max_sends(sends: u64) -> Result<u8, String> {
    whole(sends, SENDS_MAX)
}

fn whole(number: u64, most: u64) -> Result<u8, String> {
    let fits = u8::try_from(number).ok().filter(|number| (1..=most).contains(&u64::from(*number)));
    fits.ok_or_else(|| format!("must be a whole number from 1 to {most}"))
}

fn within(span: Duration, least: Duration, most: Duration) -> Result<Duration, String> {
    if (least..=most).contains(&span) {
        return Ok(span);
    }
    let [least, most] = [least, most].map(humantime::format_duration);
    Err(format!("must be from {least} to {most}"))
}

/// Test numbers of a service.
pub const TEST_NUMBERS_MOST: usize = 50;

/// Text for people that becomes no part of a message.
pub fn note(text: &str, longest: usize) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > longest || text.chars().any(char::is_control) {
        return Err(format!("must have 1 to {longest} characters, without control characters"));
    }
    Ok(text.to_owned())
}

/// Channels one after another, as the setting `workflow` spells it.
pub fn workflow(text: &str) -> Result<String, String> {
    match Workflow::read(text) {
        Some(Workflow(steps)) if !steps.is_empty() => Ok(text.trim().to_owned()),
        Some(_) | None => Err(format!("must be {}", Workflow::accepted())),
    }
}

/// The pattern of test numbers. One that could mean somebody's number needs `force`.
pub fn test_pattern(text: &str, force: bool) -> Result<NumberPattern, String> {
    let pattern = NumberPattern::parse(text).map_err(|error| error.to_string())?;
    if !force && pattern.could_be_real() {
        return Err("means a number that somebody could own, who would then be sent nothing and be verified by anybody who \
                    knows the code. Use a range for fiction such as +1415555012x, or say \"force\": true if it is \
                    yours"
            .to_owned());
    }
    Ok(pattern)
}

/// The code of test numbers.
pub fn test_code(text: &str) -> Result<String, String> {
    let code = Code::parse(text).map(|_| text.to_owned());
    code.ok_or_else(|| format!("must be {} to {} digits", CodeLength::MIN, CodeLength::MAX))
}
