//! Twilio's reports about messages and calls, signed as in security.md section 3. This file computes the signature from
//! the documentation and not with the product's code.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use hyper::header;
use sha1::Sha1;

use super::super::{Client, HttpResponse};
use super::{ACCOUNT_SID, AUTH_TOKEN, Received, Twilio, sid_of};

/// The public URL of the tests' server. A double delivers everything to the server itself.
pub const PUBLIC_URL: &str = "https://otp.example.com";

/// A request from Twilio to the server.
#[derive(Debug, Clone)]
pub struct Report {
    url: String,
    form: Vec<(String, String)>,
    signature: Option<String>,
}

impl Twilio {
    /// A report about the last message or call to this number, with Twilio's signature.
    pub fn report(&self, number: &str, status: &str) -> Report {
        let about = self.received_for(number).pop().expect("something was sent");
        Report::about(&about, status)
    }
}

impl Report {
    /// A report about this message or call, with Twilio's signature.
    pub fn about(received: &Received, status: &str) -> Self {
        let sid = sid_of(received);
        let kind = if sid.starts_with("CA") { "Call" } else { "Message" };
        let mut form = vec![
            (format!("{kind}Sid"), sid.clone()),
            (format!("{kind}Status"), status.to_owned()),
            ("To".to_owned(), received.field("To").to_owned()),
            ("From".to_owned(), received.field("From").to_owned()),
            ("AccountSid".to_owned(), ACCOUNT_SID.to_owned()),
            ("ApiVersion".to_owned(), "2010-04-01".to_owned()),
        ];
        if kind == "Message" {
            form.push(("SmsSid".to_owned(), sid));
            form.push(("SmsStatus".to_owned(), status.to_owned()));
        }
        let url = received.field("StatusCallback").to_owned();
        assert!(!url.is_empty(), "the message must say where reports go");
        Self { url, form, signature: None }.signed_with(AUTH_TOKEN)
    }

    /// The report of a pressed key in this call, which Twilio posts to `url`.
    pub fn key_pressed(call: &Received, url: &str) -> Self {
        let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let form = vec![
            field("CallSid", &sid_of(call)),
            field("CallStatus", "in-progress"),
            field("Digits", "1"),
            field("To", call.field("To")),
            field("From", call.field("From")),
            field("AccountSid", ACCOUNT_SID),
        ];
        Self { url: url.to_owned(), form, signature: None }.signed_with(AUTH_TOKEN)
    }

    /// Adds a field and signs again.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.form.push((name.to_owned(), value.to_owned()));
        self.signed_with(AUTH_TOKEN)
    }

    pub fn signed_with(mut self, token: &str) -> Self {
        self.signature = Some(signature(token, &self.url, &self.form));
        self
    }

    pub fn unsigned(self) -> Self {
        Self { signature: None, ..self }
    }

    /// Changes the path and signs again.
    pub fn redirected(mut self, path: &str) -> Self {
        self.url = format!("{PUBLIC_URL}{path}");
        self.signed_with(AUTH_TOKEN)
    }

    pub async fn send(&self, server: &Client) -> HttpResponse {
        let path = self.url.strip_prefix(PUBLIC_URL).expect("reports go to the public address");
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.form).finish();
        let mut headers = vec![(header::CONTENT_TYPE.as_str(), "application/x-www-form-urlencoded")];
        if let Some(signature) = &self.signature {
            headers.push(("x-twilio-signature", signature));
        }
        server.post_with(path, &headers, body).await
    }
}

/// The `X-Twilio-Signature` of a form that is posted to this URL.
pub fn signature(token: &str, url: &str, form: &[(String, String)]) -> String {
    let mut fields: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, value) in form {
        fields.entry(name).or_default().insert(value);
    }
    let mut message = url.to_owned();
    for (name, values) in fields {
        for value in values {
            message.push_str(name);
            message.push_str(value);
        }
    }
    let mut mac = Hmac::<Sha1>::new_from_slice(token.as_bytes()).expect("a key of any length");
    mac.update(message.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

#[test]
fn the_published_vectors_are_signed_as_published() {
    for (caller, published) in
        [("+12349013030", "0/KCTR6DLpKmkAf8muzZqo1nDgQ="), ("+14158675309", "RSOYDt4T1cUTdK1PDd93/VVr8B8=")]
    {
        let form = [
            ("To", "+18005551212"),
            ("From", caller),
            ("Digits", "1234"),
            ("Caller", caller),
            ("CallSid", "CA1234567890ABCDE"),
        ];
        let form = form.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(signature("12345", "https://mycompany.com/myapp.php?foo=1&bar=2", &form), published);
    }
}
