//! Mada: text messages by SOAP 1.1 (`SubmitSM` of Openmind's SMS-over-SOAP), as the project's contract describes it.

use std::sync::Arc;

use quick_xml::de::{Deserializer as XmlDeserializer, EntityResolver};
use quick_xml::escape::{escape, resolve_predefined_entity};
use quick_xml::events::BytesText;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Request};
use serde::de::{Deserializer, Error as _};
use serde::Deserialize;
use url::Url;

use super::ErrorClass::{self, BadNumber, Configuration, Refused, Retry};
use super::client::GatewayResponse;
use super::provider::{
    Classification, CodeTable, HttpProvider, OwnIds, Provider, classify_status, known_code, request,
    usable_id, words_for_status,
};
use super::settings::{basic_auth, provider_url};
use super::{Accepted, GatewayError, GatewaySettingsError, MadaSettings, OutgoingMessage};
use crate::clock::Clock;
use crate::domain::{Channel, GatewayName};

pub type Mada = HttpProvider<MadaApi>;

pub struct MadaApi {
    url: Url,
    headers: HeaderMap,
    source_name: String,
    own_ids: OwnIds,
}

impl Mada {
    pub fn new(settings: &MadaSettings, clock: Arc<dyn Clock>) -> Result<Self, GatewaySettingsError> {
        let MadaSettings { username, password, url, source_name } = settings;
        let whole = if url.contains("://") { url.clone() } else { format!("http://{url}") };
        let url = provider_url(MadaApi::NAME, MadaApi::URL_SETTING, &whole)?;
        let authorization = basic_auth(MadaApi::NAME, "MADA_USERNAME and MADA_PASSWORD", username, password)?;
        let headers = HeaderMap::from_iter([
            (AUTHORIZATION, authorization),
            (CONTENT_TYPE, HeaderValue::from_static("text/xml")),
        ]);
        let own_ids = OwnIds::new(MadaApi::NAME, &*clock);
        let source_name = source_name.clone();
        Self::of(MadaApi { url: url.clone(), headers, source_name, own_ids }, &url, clock)
    }
}

impl Provider for MadaApi {
    const NAME: GatewayName = GatewayName::Mada;
    const URL_SETTING: &'static str = "sms.mada.url (MADA_URL)";

    fn channels(&self) -> &[Channel] {
        &[Channel::Sms]
    }

    fn request(&self, message: &OutgoingMessage) -> Result<Request, GatewayError> {
        let envelope = submit_sm(&self.source_name, message);
        Ok(request(Method::POST, self.url.clone(), &self.headers, envelope))
    }

    /// SOAP 1.1 sends faults with HTTP 500. Therefore a fault is looked at first: one that blames the request says that
    /// nothing was done. A command status counts only in a success of HTTP.
    fn classify(&self, response: &GatewayResponse) -> Result<Accepted, GatewayError> {
        let status = response.status.as_u16();
        let by_http = || {
            let words = words_for_status(response, Self::URL_SETTING);
            Err(classify_status(response).error(Self::NAME, None, words))
        };
        // These statuses are about the credentials, whatever the body is.
        if matches!(status, 401..=403) {
            return by_http();
        }
        let soap = response.body.as_deref().and_then(|body| read_answer(std::str::from_utf8(body).ok()?));
        let Some(SoapAnswer { command_status, message_id, fault_code }) = soap else {
            // Not SOAP: another server, or Mada in trouble.
            return if response.status.is_success() {
                let detail = words_for_status(response, Self::URL_SETTING);
                Err(Classification::of_the_gateway(ErrorClass::Ambiguous).error(Self::NAME, None, detail))
            } else {
                by_http()
            };
        };
        if let Some(fault) = fault_code {
            let (classification, words) = classify_fault(&fault);
            let detail = format!("answered HTTP {status} with a SOAP fault: {words}");
            return Err(classification.error(Self::NAME, None, detail));
        }
        let command_status = command_status.and_then(|text| text.parse::<u32>().ok());
        match command_status.filter(|_| response.status.is_success()) {
            None => by_http(),
            Some(SUCCESS) => {
                let message_id =
                    message_id.and_then(|id| usable_id(&id)).unwrap_or_else(|| self.own_ids.next());
                Ok(Accepted { message_id })
            }
            Some(failure) => {
                let unknown = (Classification::of_this_message(Refused), "a status that is not known here");
                let (classification, words) = known_code(COMMAND_STATUSES, failure).unwrap_or(unknown);
                let detail = format!("refused the message: {words}");
                Err(classification.with_wait_of(response).error(Self::NAME, Some(failure), detail))
            }
        }
    }
}

/// Fault codes of SOAP 1.1 (4.4.1), made more specific after a dot, and those of SOAP 1.2.
fn classify_fault(code: &str) -> (Classification, &'static str) {
    let (class, detail) = code.split_once('.').unwrap_or((code, ""));
    match class {
        "Client" | "Sender" if detail.starts_with("Authenti") || detail.starts_with("Authoriz") => (
            Classification::of_the_gateway(Configuration),
            "the credentials were not accepted; check MADA_USERNAME and MADA_PASSWORD",
        ),
        "Client" | "Sender" => (Classification::of_this_message(Refused), "the request was refused"),
        "VersionMismatch" | "MustUnderstand" => {
            (Classification::of_the_gateway(Configuration), "the server speaks another SOAP; check MADA_URL")
        }
        _ => (Classification::of_the_gateway(ErrorClass::Ambiguous), "the server failed"),
    }
}

const SUCCESS: u32 = 0;

const SOON: ErrorClass = Retry { after: None };

/// Classification of Mada's `commandStatus`. The numbers are SMPP's (3.4, 5.1.3), with some of Mada's own from 88 on.
///
/// A full queue and a temporary error can be those of one recipient; they do not count against the gateway.
#[rustfmt::skip]
const COMMAND_STATUSES: &CodeTable = &[
    (1, Classification::of_this_message(Configuration), "the message is too long; shorten otp-message"),
    (8, Classification::of_the_gateway(SOON), "a system error"),
    (10, Classification::of_the_gateway(Configuration), "the sender is not valid; check MADA_SOURCE_NAME"),
    (11, Classification::of_this_message(BadNumber), "the number is not valid"),
    (14, Classification::of_the_gateway(Configuration), "the credentials were not accepted; check MADA_USERNAME and MADA_PASSWORD"),
    (20, Classification::of_this_message(SOON), "the queue is full"),
    (88, Classification::of_the_gateway(SOON), "too many messages"),
    (100, Classification::of_this_message(SOON), "a temporary error"),
    (101, Classification::of_this_message(Refused), "a permanent error"),
    (1_035, Classification::of_the_gateway(Configuration), "the account has no credit"),
];

/// The longest value that is kept, in bytes; those that matter have some ten.
const VALUE_MAX: usize = 256;

/// The envelope that submits a message. In the numbering of SMPP 3.4 (5.2.5) type 5 is an alphanumeric sender, type 1
/// an international number, and plan 1 is E.164.
fn submit_sm(source_name: &str, message: &OutgoingMessage) -> String {
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
const fn can_be_written(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{fffd}' | '\u{10000}'..)
}

/// The fields of an answer that are used.
#[derive(Debug, Default, PartialEq, Eq)]
struct SoapAnswer {
    /// `SubmitSMResponse/smResponse/commandStatus`.
    command_status: Option<String>,
    /// `SubmitSMResponse/smResponse/messageId`.
    message_id: Option<String>,
    /// `Fault/faultcode`, without its prefix: `Client`, `Server.Busy`.
    fault_code: Option<String>,
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
    fault: Option<SoapFault>,
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
struct SoapFault {
    #[serde(default, deserialize_with = "value")]
    faultcode: Option<String>,
}

/// Reads an envelope. `None` for what is not one: XML that is not well formed or ends early, another root, a document
/// type (SOAP 1.1, 3, forbids it), an entity of its own, a value given twice, a long value.
fn read_answer(xml: &str) -> Option<SoapAnswer> {
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
