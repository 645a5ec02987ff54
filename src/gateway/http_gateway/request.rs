//! A request, described once and filled in for each message.

use hyper::Method;
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

use super::body::BodyTemplate;
use super::placeholder::{Placeholder, Secrets};
use super::template::Template;
use super::{NAME, URL_SETTING, problem};
use crate::gateway::wire::{Request, as_sent, provider_url};
use crate::gateway::{GatewaySettingsError, HttpGatewaySettings, OutgoingMessage};

/// Everything but the unreserved characters of RFC 3986 (2.3): what is put in can end neither a
/// part of a path nor a value of a query.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Headers that the HTTP library writes itself.
const NOT_OURS: [HeaderName; 4] = [HOST, CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION];

/// The description. Has no `Debug`: secrets are filled in already.
pub(super) struct RequestTemplate {
    method: Method,
    address: Url,
    url: Template,
    headers: Vec<(HeaderName, Template)>,
    body: BodyTemplate,
}

impl RequestTemplate {
    pub(super) fn new(settings: &HttpGatewaySettings) -> Result<Self, GatewaySettingsError> {
        let secrets = Secrets(settings);
        let method = method(&settings.method)?;
        let url = Template::read(&settings.url, &secrets, URL_SETTING)?;
        let address = address(&url)?;
        let headers = headers(settings, &secrets)?;
        let body = BodyTemplate::new(&settings.body, &secrets)?;
        if method == Method::GET && !matches!(body, BodyTemplate::Empty) {
            return Err(problem(
                "http-gateway.method",
                "is GET, which has no body: use POST or PUT, or leave json and form out",
            ));
        }
        let template = Self { method, address, url, headers, body };
        template.says_what_to_whom()?;
        Ok(template)
    }

    /// Scheme, host and port, and the path as far as it is the same for every message.
    pub(super) const fn address(&self) -> &Url {
        &self.address
    }

    /// The request for a message. `None` when that makes no URL or header.
    pub(super) fn filled_in(&self, message: &OutgoingMessage) -> Option<Request> {
        let url = self.url.filled_in(message, |text, value| text.extend(utf8_percent_encode(value, ENCODED)));
        let address = as_sent(&Url::parse(&url).ok()?)?;
        let mut headers = HeaderMap::with_capacity(self.headers.len() + 1);
        if let Some(content_type) = self.body.content_type() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        for (name, template) in &self.headers {
            headers.insert(name, header_value(&template.as_it_is(message))?);
        }
        let body = self.body.filled_in(message).map(Into::into).unwrap_or_default();
        Some(Request { method: self.method.clone(), address, headers, body })
    }

    /// A request that forgets the number or the code would be accepted, and paid for, to no end.
    fn says_what_to_whom(&self) -> Result<(), GatewaySettingsError> {
        let mut used: Vec<Placeholder> = self.url.placeholders().collect();
        used.extend(self.headers.iter().flat_map(|(_, template)| template.placeholders()));
        self.body.visit(&mut |template| used.extend(template.placeholders()));
        for (wanted, words) in [
            (
                [Placeholder::To, Placeholder::ToDigits],
                "has neither {to} nor {to_digits}: nobody would get the message",
            ),
            (
                [Placeholder::Text, Placeholder::Code],
                "has neither {text} nor {code}: the message would carry no code",
            ),
        ] {
            if !wanted.iter().any(|placeholder| used.contains(placeholder)) {
                return Err(problem("http-gateway", words));
            }
        }
        Ok(())
    }
}

fn method(text: &str) -> Result<Method, GatewaySettingsError> {
    match text.to_ascii_uppercase().as_str() {
        "GET" => Ok(Method::GET),
        "POST" => Ok(Method::POST),
        "PUT" => Ok(Method::PUT),
        _ => Err(problem("http-gateway.method", "must be GET, POST or PUT")),
    }
}

/// The part of the URL that says whom to connect to. It must be written out: nothing that comes
/// from a message decides which server gets the code.
fn address(url: &Template) -> Result<Url, GatewaySettingsError> {
    let beginning = url.beginning();
    let behind_scheme = beginning.find("://").map_or(0, |place| place + "://".len());
    let authority_ends = beginning[behind_scheme..].find(['/', '?', '#']);
    if !url.is_written_out() && authority_ends.is_none() {
        return Err(problem(
            URL_SETTING,
            "must have scheme and host written out, and a / or ? before the first placeholder",
        ));
    }
    if url.written_and_secret().any(|part| part.contains('#')) {
        return Err(problem(URL_SETTING, "must not contain a # part, which is never sent"));
    }
    provider_url(NAME, URL_SETTING, beginning)
}

fn headers(
    settings: &HttpGatewaySettings,
    secrets: &Secrets<'_>,
) -> Result<Vec<(HeaderName, Template)>, GatewaySettingsError> {
    let mut headers: Vec<(HeaderName, Template)> = Vec::new();
    for (written, value) in &settings.headers {
        let setting = format!("http-gateway.headers.{written}");
        let name = HeaderName::from_bytes(written.as_bytes())
            .map_err(|_| problem("http-gateway.headers", "has a name that cannot be that of a header"))?;
        if NOT_OURS.contains(&name) {
            return Err(problem(setting, "is written by the HTTP client itself: leave it out"));
        }
        if headers.iter().any(|(other, _)| *other == name) {
            return Err(problem(setting, "is given twice"));
        }
        let template = Template::read(value, secrets, &setting)?;
        if template.placeholders().any(|placeholder| placeholder == Placeholder::Text) {
            return Err(problem(
                setting,
                "uses {text}, which a header cannot carry: put it into the URL or the body",
            ));
        }
        // Every other placeholder is visible ASCII whatever the message.
        if !template.written_and_secret().all(can_be_in_a_header) {
            return Err(problem(setting, "must be visible ASCII characters and spaces, secrets included"));
        }
        headers.push((name, template));
    }
    Ok(headers)
}

/// A header's value that no `Debug` shows.
fn header_value(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn can_be_in_a_header(text: &str) -> bool {
    text.bytes().all(|b| b == b' ' || b.is_ascii_graphic())
}
