//! Mada's SOAP: the request, and what an answer says, whatever prefixes its names have.

use quick_xml::de::{Deserializer as XmlDeserializer, EntityResolver};
use quick_xml::escape::{escape, resolve_predefined_entity};
use quick_xml::events::BytesText;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

use crate::gateway::OutgoingMessage;

/// The longest value that is kept, in bytes; those that matter have some ten.
const VALUE_MAX: usize = 256;

/// The envelope that submits a message. In the numbering of SMPP 3.4 (5.2.5) type 5 is an alphanumeric sender, type 1
/// an international number, and plan 1 is E.164.
pub(super) fn submit_sm(source_name: &str, message: &OutgoingMessage) -> String {
    let text: String = message.text.chars().map(|c| if can_be_written(c) { c } else { ' ' }).collect();
    let (source_name, number, text) = (escape(source_name), message.to.as_u64(), escape(&*text));
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
         <soapenv:Envelope xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" \
         xmlns:sos=\"http://www.openmindnetworks.com/SoS\"><soapenv:Body>\
         <sos:SubmitSM soapenv:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\"><smRequest>\
         <source><ton>5</ton><npi>1</npi><addr>{source_name}</addr></source>\
         <destination><ton>1</ton><npi>1</npi><addr>{number}</addr></destination>\
         <shortMessage><stringData>{text}</stringData></shortMessage>\
         <registeredDelivery>1</registeredDelivery>\
         </smRequest></sos:SubmitSM></soapenv:Body></soapenv:Envelope>"
    )
}

/// Whether XML 1.0 (2.2) has a place for a character: not for most control characters.
pub(super) const fn can_be_written(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{fffd}' | '\u{10000}'..)
}

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

/// The name of the root counts, therefore it is an enum.
#[derive(Deserialize)]
enum Root {
    Envelope(Envelope),
}

#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "Body")]
    body: Option<Body>,
}

#[derive(Deserialize)]
struct Body {
    #[serde(rename = "SubmitSMResponse")]
    response: Option<Response>,
    #[serde(rename = "Fault")]
    fault: Option<Fault>,
}

#[derive(Deserialize)]
struct Response {
    #[serde(rename = "smResponse")]
    inner: Option<SmResponse>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SmResponse {
    #[serde(default, deserialize_with = "value")]
    command_status: Option<String>,
    #[serde(default, deserialize_with = "value")]
    message_id: Option<String>,
}

#[derive(Deserialize)]
struct Fault {
    #[serde(default, deserialize_with = "value")]
    faultcode: Option<String>,
}

/// Reads an envelope. `None` for what is not one: XML that is not well formed or ends early, another root, a document
/// type (SOAP 1.1, 3, forbids it), an entity of its own, a value given twice, a long value.
pub(super) fn read_answer(xml: &str) -> Option<SoapAnswer> {
    let xml = xml.strip_prefix('\u{feff}').unwrap_or(xml).trim_end();
    let mut reader = XmlDeserializer::from_str_with_resolver(xml, NoDocumentType);
    let Root::Envelope(envelope) = Root::deserialize(&mut reader).ok()?;
    if !reader.is_empty() {
        return None;
    }
    let mut answer = SoapAnswer::default();
    if let Some(Body { response, fault }) = envelope.body {
        if let Some(SmResponse { command_status, message_id }) = response.and_then(|response| response.inner)
        {
            (answer.command_status, answer.message_id) = (command_status, message_id);
        }
        let code = fault.and_then(|fault| fault.faultcode);
        answer.fault_code = code.map(|code| code.rsplit(':').next().unwrap_or_default().to_owned());
    }
    Some(answer)
}

/// A value without the space around it, which is not long.
fn value<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(from)?;
    let text = text.trim();
    if text.len() > VALUE_MAX { Err(D::Error::custom("too long")) } else { Ok(Some(text.to_owned())) }
}

/// Knows the entities of XML itself, and refuses a document type.
struct NoDocumentType;

impl EntityResolver for NoDocumentType {
    type Error = std::fmt::Error;

    fn capture(&mut self, _: BytesText<'_>) -> Result<(), Self::Error> {
        Err(std::fmt::Error)
    }

    fn resolve(&self, entity: &str) -> Option<&str> {
        resolve_predefined_entity(entity)
    }
}

#[cfg(test)]
mod tests;
