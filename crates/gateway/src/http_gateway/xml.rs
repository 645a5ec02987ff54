//! XML answers, as JSON pointers see them.

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;
use serde_json::{Map, Value};

/// How deep elements may be nested. Values are dropped by recursion.
const DEEPEST: usize = 32;

#[derive(Default)]
struct Element {
    name: String,
    text: String,
    members: Map<String, Value>,
}

impl Element {
    /// Several of one name are a list.
    fn add(&mut self, inner: Self) {
        let Self { name, text, members } = inner;
        let value = if members.is_empty() { text.trim().into() } else { Value::Object(members) };
        match self.members.get_mut(&name) {
            None => drop(self.members.insert(name, value)),
            Some(Value::Array(items)) => items.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
}

/// A document as one value: an element is a member of the one around it, under its name without a prefix. It is an
/// object of its members, or without any its text.
///
/// `None` for what is not a whole document, and for one with a document type (SOAP 1.1, 3, forbids it) or with entities
/// of its own.
pub(crate) fn read(xml: &str) -> Option<Value> {
    let mut reader = Reader::from_str(xml.strip_prefix('\u{feff}').unwrap_or(xml));
    reader.config_mut().expand_empty_elements = true;
    let mut open = vec![Element::default()];
    loop {
        let (depth, innermost) = (open.len(), open.last_mut()?);
        match reader.read_event().ok()? {
            Event::Start(tag) if depth <= DEEPEST => {
                let name = tag.name().local_name().into_inner().to_owned();
                open.push(Element { name, ..Element::default() });
            }
            Event::End(_) => {
                let ended = open.pop()?;
                open.last_mut()?.add(ended);
            }
            Event::Text(text) => innermost.text.push_str(&text),
            Event::CData(text) => innermost.text.push_str(&text),
            Event::GeneralRef(name) => match name.resolve_char_ref().ok()? {
                Some(character) => innermost.text.push(character),
                None => innermost.text.push_str(resolve_predefined_entity(&name)?),
            },
            Event::Decl(_) | Event::Comment(_) | Event::PI(_) => {}
            Event::Eof => break,
            Event::Start(_) | Event::Empty(_) | Event::DocType(_) => return None,
        }
    }
    let document = open.pop()?;
    let is_one = document.members.len() == 1 && !document.members.values().any(Value::is_array);
    (open.is_empty() && is_one && document.text.trim().is_empty()).then_some(Value::Object(document.members))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn elements_of_one_name_are_a_list_and_an_empty_one_is_an_empty_text() {
        let read = read("<a><b>1</b><c/><b>2 &lt; 3</b></a>");
        assert_eq!(read, Some(json!({ "a": { "b": ["1", "2 < 3"], "c": "" } })));
    }

    #[test]
    fn what_is_no_whole_document_is_not_read() {
        let whole = "<Envelope><Body><status>0</status></Body></Envelope>";
        assert!(read(whole).is_some());
        for end in 0..whole.len() {
            assert_eq!(read(&whole[..end]), None, "cut at {end}");
        }
        for xml in [
            &format!("{whole}{whole}"),
            &format!("{whole}x"),
            &format!("x{whole}"),
            &whole.replace("</status>", "</state>"),
            &whole.replace('0', "&zero;"),
            &whole.replace('0', "&#xFFFFFFF;"),
            &format!("<!DOCTYPE Envelope [<!ENTITY a \"0\">]>{whole}"),
            "{\"status\":0}",
            "",
            "\u{0}",
            &format!("{}{}", "<a>".repeat(9_000), "</a>".repeat(9_000)),
            &"<Envelope>".repeat(6_000),
        ] {
            assert_eq!(read(xml), None, "{xml}");
        }
    }
}
