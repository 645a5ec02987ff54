//! A double of Mada: SOAP 1.1 over HTTP, read with a real XML reader.

use std::sync::atomic::{AtomicUsize, Ordering};

use quick_xml::escape::escape;

use super::double::{Double, Provider};
use super::received::{About, Received, RequestPurpose, basic, longest_digits};
use super::reply::{Said, TOO_MANY_REQUESTS};
use super::xml::Element;

/// The account in the tests' configuration.
pub const MADA_USERNAME: &str = "mada-account";
pub const MADA_PASSWORD: &str = "m4da-pa55word-of-the-te5ts";
/// Its sender, with characters that XML must escape.
pub const MADA_SOURCE: &str = "A&B <Co>";

const SOAP: &str = "http://schemas.xmlsoap.org/soap/envelope/";
const ENCODING: &str = "http://schemas.xmlsoap.org/soap/encoding/";
const SOS: &str = "http://www.openmindnetworks.com/SoS";

/// Mada's answer when its queue is full.
const THROTTLED: u32 = 88;

/// Refusals are a `commandStatus` with an HTTP status, usually 200. A server error 500 is a SOAP fault.
pub type Mada = Double<MadaApi>;

#[derive(Default)]
pub struct MadaApi {
    answers: AtomicUsize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submitted {
    pub source: String,
    /// The recipient, in E.164 form.
    pub number: String,
    pub text: String,
}

impl Mada {
    /// The value for `MADA_URL`, without a scheme as in the Go framework.
    pub fn url(&self) -> String {
        format!("{}/sos", self.base_url().trim_start_matches("http://"))
    }

    pub fn submitted_for(&self, number: &str) -> Vec<Submitted> {
        let received = self.received_for(number);
        received.iter().map(|received| read_envelope(received).expect("it was taken")).collect()
    }
}

impl Provider for MadaApi {
    fn read(&self, received: &Received) -> Result<About, Said> {
        if received.authorization != basic(MADA_USERNAME, MADA_PASSWORD) {
            return Err(complaint(401, "the credentials are not this account's"));
        }
        if received.target != "POST /sos" || !received.content_type.starts_with("text/xml") {
            return Err(complaint(400, "text/xml is to be posted to /sos"));
        }
        let submitted = read_envelope(received).map_err(|words| complaint(500, &words))?;
        Ok(About { number: submitted.number, purpose: RequestPurpose::Send })
    }

    fn accept(&self, _received: &Received) -> Said {
        self.answer(200, 0)
    }

    fn refuse(&self, status: u16, code: u32, _received: &Received) -> Said {
        self.answer(status, if code == TOO_MANY_REQUESTS { THROTTLED } else { code })
    }

    fn server_error(&self, status: u16) -> Said {
        if status == 500 { Said::xml(500, fault("Server", "It has failed")) } else { Said::html(status) }
    }

    fn code_in(&self, received: &Received) -> Option<String> {
        longest_digits(&read_envelope(received).ok()?.text)
    }
}

impl MadaApi {
    /// Prefixes mean nothing: each answer has different ones.
    fn answer(&self, status: u16, command_status: u32) -> Said {
        let count = self.answers.fetch_add(1, Ordering::Relaxed);
        let (soap, sos) = [("soapenv", "sos"), ("SOAP-ENV", "ns1"), ("S", "submit"), ("env", "s")][count % 4];
        Said::xml(
            status,
            format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{soap}:Envelope xmlns:{soap}=\"{SOAP}\" \
                 xmlns:{sos}=\"{SOS}\"><{soap}:Header/><{soap}:Body><{sos}:SubmitSMResponse>\
                 <smResponse><!-- an answer -->\n<commandStatus> {command_status}\n</commandStatus></smResponse>\
                 </{sos}:SubmitSMResponse></{soap}:Body></{soap}:Envelope>"
            ),
        )
    }
}

fn read_envelope(received: &Received) -> Result<Submitted, String> {
    let text = std::str::from_utf8(&received.body).map_err(|_| "the body is not UTF-8")?;
    let envelope = Element::parse(text)?;
    wants(envelope.name == "Envelope" && envelope.namespace == SOAP, "it must be a SOAP 1.1 envelope")?;
    let body = envelope.only("Body")?;
    wants(body.namespace == SOAP, "Body must be SOAP's")?;
    let submit = body.only("SubmitSM")?;
    wants(submit.namespace == SOS, "SubmitSM must be in the namespace of SoS")?;
    wants(submit.attribute_in(SOAP, "encodingStyle") == Some(ENCODING), "encodingStyle must be said")?;
    let request = submit.only("smRequest")?;
    let (source, destination) = (request.only("source")?, request.only("destination")?);
    for (address, type_of_number) in [(source, 5), (destination, 1)] {
        wants(address.only("ton")?.number() == Ok(type_of_number), "ton is 5 of a name and 1 of a number")?;
        wants(address.only("npi")?.number() == Ok(1), "npi is 1")?;
    }
    wants(request.only("registeredDelivery")?.number() == Ok(1), "registeredDelivery is 1")?;
    let digits = destination.only("addr")?.text();
    wants(digits.bytes().all(|b| b.is_ascii_digit()) && digits.len() > 6, "a number is digits without a +")?;
    Ok(Submitted {
        source: source.only("addr")?.text(),
        number: format!("+{digits}"),
        text: request.only("shortMessage")?.only("stringData")?.text(),
    })
}

fn wants(fulfilled: bool, otherwise: &str) -> Result<(), String> {
    if fulfilled { Ok(()) } else { Err(otherwise.to_owned()) }
}

fn complaint(status: u16, words: &str) -> Said {
    Said::xml(status, fault("Client", words))
}

fn fault(code: &str, words: &str) -> String {
    format!(
        "<e:Envelope xmlns:e=\"{SOAP}\"><e:Body><e:Fault><faultcode>e:{code}</faultcode>\
         <faultstring>{}</faultstring></e:Fault></e:Body></e:Envelope>",
        escape(words)
    )
}
