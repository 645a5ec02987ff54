//! The request, written.

use std::io;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

use crate::gateway::OutgoingMessage;

/// An alphanumeric sender, in the numbering of SMPP 3.4 (5.2.5).
const TON_ALPHANUMERIC: &str = "5";

/// An international number.
const TON_INTERNATIONAL: &str = "1";

/// The numbering plan of E.164.
const NPI_E164: &str = "1";

type XmlWriter = Writer<Vec<u8>>;

/// The envelope that submits a message.
pub(super) fn submit_sm(source_name: &str, message: &OutgoingMessage) -> io::Result<Vec<u8>> {
    let number = message.to.as_u64().to_string();
    let text: String = message.text.chars().map(|c| if can_be_written(c) { c } else { ' ' }).collect();
    let mut xml = Writer::new(Vec::with_capacity(1024));
    xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    xml.create_element("soapenv:Envelope")
        .with_attribute(("xmlns:soapenv", "http://schemas.xmlsoap.org/soap/envelope/"))
        .with_attribute(("xmlns:sos", "http://www.openmindnetworks.com/SoS"))
        .write_inner_content(|xml| {
            within(xml, "soapenv:Body", |xml| {
                xml.create_element("sos:SubmitSM")
                    .with_attribute(("soapenv:encodingStyle", "http://schemas.xmlsoap.org/soap/encoding/"))
                    .write_inner_content(|xml| {
                        within(xml, "smRequest", |xml| {
                            address(xml, "source", TON_ALPHANUMERIC, source_name)?;
                            address(xml, "destination", TON_INTERNATIONAL, &number)?;
                            within(xml, "shortMessage", |xml| element(xml, "stringData", &text))?;
                            element(xml, "registeredDelivery", "1")
                        })
                    })
                    .map(drop)
            })
        })?;
    Ok(xml.into_inner())
}

/// Whether XML 1.0 (2.2) has a place for a character: not for most control characters.
pub(super) const fn can_be_written(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{fffd}' | '\u{10000}'..)
}

fn address(xml: &mut XmlWriter, name: &str, ton: &str, addr: &str) -> io::Result<()> {
    within(xml, name, |xml| {
        element(xml, "ton", ton)?;
        element(xml, "npi", NPI_E164)?;
        element(xml, "addr", addr)
    })
}

fn within(
    xml: &mut XmlWriter,
    name: &str,
    content: impl FnOnce(&mut XmlWriter) -> io::Result<()>,
) -> io::Result<()> {
    xml.create_element(name).write_inner_content(content).map(drop)
}

fn element(xml: &mut XmlWriter, name: &str, text: &str) -> io::Result<()> {
    xml.create_element(name).write_text_content(BytesText::new(text)).map(drop)
}
