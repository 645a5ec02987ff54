//! Twilio's reports about messages and calls with their signatures.

use onceward::gateway::double::twilio_signature;
use url::form_urlencoded::Serializer;

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
        let own: &[(&str, &str)] = if sid.starts_with("CA") {
            &[("CallSid", &sid), ("CallStatus", status)]
        } else {
            &[("MessageSid", &sid), ("MessageStatus", status), ("SmsSid", &sid), ("SmsStatus", status)]
        };
        let url = received.field("StatusCallback");
        assert!(!url.is_empty(), "the message must say where reports go");
        Self::to(url, received, own)
    }

    /// The report of a pressed key in this call, which Twilio posts to `url`.
    pub fn key_pressed(call: &Received, url: &str) -> Self {
        Self::to(url, call, &[("CallSid", &sid_of(call)), ("CallStatus", "in-progress"), ("Digits", "1")])
    }

    /// A report with these fields and those of every report.
    fn to(url: &str, about: &Received, own: &[(&str, &str)]) -> Self {
        let common = [
            ("To", about.field("To")),
            ("From", about.field("From")),
            ("AccountSid", ACCOUNT_SID),
            ("ApiVersion", "2010-04-01"),
        ];
        let form = own.iter().chain(&common).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self { url: url.to_owned(), form: form.collect(), signature: None }.signed_with(AUTH_TOKEN)
    }

    /// Adds a field and signs again.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.form.push((name.to_owned(), value.to_owned()));
        self.signed_with(AUTH_TOKEN)
    }

    pub fn signed_with(mut self, token: &str) -> Self {
        let form = Serializer::new(String::new()).extend_pairs(&self.form).finish();
        self.signature = Some(twilio_signature(token, &self.url, &form));
        self
    }

    pub fn unsigned(self) -> Self {
        Self { signature: None, ..self }
    }

    pub async fn send(&self, server: &Client) -> HttpResponse {
        let path = self.url.strip_prefix(PUBLIC_URL).expect("reports go to the public address");
        let form: Vec<_> = self.form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let signature: Vec<_> =
            self.signature.iter().map(|made| ("x-twilio-signature", made.as_str())).collect();
        server.post_form(path, &signature, &form).await
    }
}
