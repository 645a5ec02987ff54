//! Texts of services and what belongs to them. Each error is the end of a sentence that begins with the text's name.

/// The longest name of a service, in characters.
pub(super) const NAME_LONGEST: usize = 30;

/// Twilio refuses names with more digits: they could be taken for a code.
const NAME_DIGITS: usize = 4;

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

/// The name of a service in messages.
pub fn friendly_name(text: &str) -> Result<String, String> {
    let name = name(text, NAME_LONGEST)?;
    if name.chars().filter(|c| c.is_numeric()).count() > NAME_DIGITS {
        return Err(format!("must not have more than {NAME_DIGITS} digits, which could be taken for a code"));
    }
    Ok(name)
}

/// Text for people that becomes no part of a message.
pub fn note(text: &str, longest: usize) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > longest || text.chars().any(char::is_control) {
        return Err(format!("must have 1 to {longest} characters, without control characters"));
    }
    Ok(text.to_owned())
}
