//! The answer, read: whatever prefixes its names have, and without following anything in it.

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;

/// The deepest nesting that is read. An answer has five levels.
const DEPTH_MAX: usize = 16;

/// The longest value that is kept, in bytes; those that matter have some ten.
const VALUE_MAX: usize = 256;

/// The element whose value is a qualified name.
const FAULT_CODE: &str = "faultcode";

/// What an answer says, as far as it matters here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SoapAnswer {
    /// `SubmitSMResponse/smResponse/commandStatus`.
    pub command_status: Option<String>,
    /// `SubmitSMResponse/smResponse/messageId`.
    pub message_id: Option<String>,
    /// `Fault/faultcode`, without its prefix: `Client`, `Server.Busy`.
    pub fault_code: Option<String>,
}

/// Reads an envelope. `None` for what is not one: XML that is not well formed or ends early, another
/// root, a document type (SOAP 1.1, 3, forbids it), an entity of its own, a value given twice.
pub(super) fn read_answer(xml: &str) -> Option<SoapAnswer> {
    let mut reader = Reader::from_str(xml.strip_prefix('\u{feff}').unwrap_or(xml));
    let mut answer = SoapAnswer::default();
    let mut path: Vec<String> = Vec::new();
    let mut value = String::new();
    let mut envelopes = 0;
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) => {
                envelopes += usize::from(path.is_empty());
                path.push(start.local_name().as_ref().to_owned());
                value.clear();
                if path.len() > DEPTH_MAX || path[0] != "Envelope" {
                    return None;
                }
            }
            Event::Empty(empty) => {
                envelopes += usize::from(path.is_empty());
                path.push(empty.local_name().as_ref().to_owned());
                answer.keep(&path, "")?;
                path.pop();
            }
            Event::Text(text) => value.push_str(&text.xml10_content()),
            Event::CData(text) => value.push_str(&text.xml10_content()),
            Event::GeneralRef(reference) => match reference.resolve_char_ref().ok()? {
                Some(character) => value.push(character),
                None => value.push_str(resolve_predefined_entity(&reference.xml10_content())?),
            },
            Event::End(_) => {
                answer.keep(&path, value.trim())?;
                path.pop();
                value.clear();
            }
            Event::DocType(_) => return None,
            Event::Eof => return (path.is_empty() && envelopes == 1).then_some(answer),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
        }
        // Outside the root there is nothing but space, and inside it no long value.
        if path.is_empty() && !value.trim().is_empty() {
            return None;
        }
        if value.len() > VALUE_MAX {
            if answer.place(&path).is_some() {
                return None;
            }
            // Words for people, such as those of a fault, may be long: they are not looked at.
            value.clear();
        }
    }
}

impl SoapAnswer {
    /// Keeps the value at the end of a path, if it matters. `None` when there was one already.
    fn keep(&mut self, path: &[String], value: &str) -> Option<()> {
        let is_name = path.last().is_some_and(|name| name == FAULT_CODE);
        let Some(place) = self.place(path) else { return Some(()) };
        if place.is_some() {
            return None;
        }
        *place = Some(if is_name { local_part(value) } else { value }.to_owned());
        Some(())
    }

    /// Where the value at the end of a path is kept, if it matters.
    fn place(&mut self, path: &[String]) -> Option<&mut Option<String>> {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        match path.as_slice() {
            ["Envelope", "Body", "SubmitSMResponse", "smResponse", "commandStatus"] => {
                Some(&mut self.command_status)
            }
            ["Envelope", "Body", "SubmitSMResponse", "smResponse", "messageId"] => Some(&mut self.message_id),
            ["Envelope", "Body", "Fault", FAULT_CODE] => Some(&mut self.fault_code),
            _ => None,
        }
    }
}

/// A qualified name without its prefix.
fn local_part(name: &str) -> &str {
    name.rsplit(':').next().unwrap_or(name)
}

#[cfg(test)]
mod tests;
