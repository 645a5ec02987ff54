//! What the values of a service may be. Each answer says what is accepted, as the end of a sentence that begins with
//! the value's name.

use std::time::Duration;

use crate::config::kind::{Attempts, Digits, Kind as _, Lockout, Range, ServiceLife, WorkflowSends};
use crate::config::values::Workflow;
use crate::domain::{Code, CodeLength, NumberPattern};

/// The longest name of a service, in characters.
pub const NAME_LONGEST: usize = 30;

/// Twilio refuses names with more digits: they could be taken for a code.
const NAME_DIGITS: usize = 4;

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
    whole::<Digits>(digits).and_then(|digits| CodeLength::new(digits).ok_or_else(String::new))
}

/// How long a code can be used.
pub fn code_life(life: Duration) -> Result<Duration, String> {
    within::<ServiceLife>(life)
}

/// How long a number is locked.
pub fn lockout(span: Duration) -> Result<Duration, String> {
    within::<Lockout>(span)
}

/// Wrong codes.
pub fn max_checks(checks: u64) -> Result<u8, String> {
    whole::<Attempts>(checks)
}

/// Messages of one verification.
pub fn max_sends(sends: u64) -> Result<u8, String> {
    whole::<WorkflowSends>(sends)
}

fn whole<R: Range<Of = u64>>(number: u64) -> Result<u8, String> {
    let fits = u8::try_from(number).ok().filter(|_| R::has(number));
    fits.ok_or_else(|| format!("must be a whole number from {} to {} ({})", R::MIN, R::MAX, R::WHY))
}

fn within<R: Range<Of = Duration>>(span: Duration) -> Result<Duration, String> {
    if R::has(span) {
        return Ok(span);
    }
    let [least, most] = [R::MIN, R::MAX].map(humantime::format_duration);
    Err(format!("must be from {least} to {most} ({})", R::WHY))
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
        Some(steps) if !steps.is_empty() => Ok(text.trim().to_owned()),
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
