//! Sending through Twilio Messages: one call of reqwest for each message.

use hyper::StatusCode;
use hyper::header::CONTENT_TYPE;
use serde::Deserialize;

use crate::bench::twilio::{ACCOUNT_SID, AUTH_TOKEN, SENDER};

/// The provider did not take the message, or did not say so.
#[derive(Debug)]
pub(super) struct NotSent;

pub(super) struct Provider {
    http: reqwest::Client,
    url: String,
}

#[derive(Deserialize)]
struct Message {
    #[serde(rename = "sid")]
    _sid: String,
}

impl Provider {
    pub(super) fn new(base_url: &str) -> Result<Self, reqwest::Error> {
        // The double speaks plain HTTP, but the client will not be built without. An error says that there is one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self { http, url: format!("{base_url}/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json") })
    }

    /// Returns when the provider has taken it.
    pub(super) async fn send(&self, number: &str, code: &str) -> Result<(), NotSent> {
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("To", number)
            .append_pair("From", SENDER)
            .append_pair("Body", &format!("OTP message is {code}"))
            // As the other servers of the bench; the published service leaves it out.
            .append_pair("ValidityPeriod", "30")
            .finish();
        let request = self.http.post(&self.url).basic_auth(ACCOUNT_SID, Some(AUTH_TOKEN)).body(form);
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        let response = request.send().await.map_err(|_| NotSent)?;
        let status = response.status();
        let body = response.bytes().await.map_err(|_| NotSent)?;
        let accepted = status == StatusCode::CREATED && serde_json::from_slice::<Message>(&body).is_ok();
        if accepted { Ok(()) } else { Err(NotSent) }
    }
}
