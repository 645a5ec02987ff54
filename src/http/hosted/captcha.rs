//! The challenge service (CAPTCHA) of the operator, by the protocol `siteverify`, which Turnstile, hCaptcha, reCAPTCHA and
//! services on machines of one's own share.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Request};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use tracing::{debug, warn};
use url::{Host, Url};
use zeroize::Zeroizing;

use crate::config::CaptchaSettings;
use crate::gateway::{ClientError, HttpClient, NoResponse};
use crate::net::form_field;

/// For the whole answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where the scripts put the person's response.
const FIELDS: [&str; 3] = ["cf-turnstile-response", "h-captcha-response", "g-recaptcha-response"];

const LONGEST_RESPONSE: usize = 8 * 1024;

pub struct Captcha {
    pub settings: CaptchaSettings,
    client: HttpClient,
    /// The host of `public-url`, where the page is.
    host: Option<Host>,
}

#[derive(Deserialize)]
struct Answer {
    success: bool,
    #[serde(default, rename = "error-codes")]
    error_codes: Vec<String>,
    /// Of the page on which the person passed, where the service says it.
    hostname: Option<String>,
}

impl Captcha {
    pub fn new(settings: CaptchaSettings, public_url: Option<&str>) -> Result<Self, ClientError> {
        let host = public_url.and_then(|url| Url::parse(url).ok()?.host().map(|host| host.to_owned()));
        Ok(Self { client: HttpClient::for_target(&settings.verify_url)?, settings, host })
    }

    /// The person's response in a form.
    pub fn response(form: &[u8]) -> Option<Zeroizing<String>> {
        let mut responses = FIELDS.iter().filter_map(|name| form_field(form, name)).map(Zeroizing::new);
        responses.find(|response| (1..=LONGEST_RESPONSE).contains(&response.len()))
    }

    /// Whether the service takes the response for a person's. The person's address is not sent.
    pub async fn passes(&self, response: &str) -> bool {
        if response.is_empty() {
            return false;
        }
        let answered = tokio::time::timeout(PATIENCE, self.ask(response)).await;
        let answer = answered.unwrap_or_else(|_| Err("no answer in time".to_owned()));
        match answer {
            Ok(Answer { success: true, hostname: Some(name), .. }) if !self.is_at_home(&name) => {
                // A response from another site, or a wrong public-url.
                let of_page = self.host.as_ref().map(Host::to_string);
                warn!(of_response = %name.escape_debug(), of_page, "challenge passed on another host, not accepted");
                false
            }
            Ok(Answer { success, error_codes, .. }) => {
                // The operator's mistake, not the person's.
                if error_codes.iter().any(|code| code.contains("secret")) {
                    warn!(?error_codes, "challenge service refuses CAPTCHA_SECRET");
                } else if !success {
                    debug!(?error_codes, "challenge not passed");
                }
                success
            }
            Err(reason) => {
                warn!(%reason, "challenge service unavailable");
                false
            }
        }
    }

    /// Without `public-url` every host is taken for the page's.
    fn is_at_home(&self, hostname: &str) -> bool {
        self.host.as_ref().is_none_or(|home| Host::parse(hostname).is_ok_and(|host| host == *home))
    }

    async fn ask(&self, response: &str) -> Result<Answer, String> {
        let answer = self.client.send(self.question(response)).await.map_err(NoResponse::into_reason)?;
        answer.json().ok_or_else(|| format!("its answer {} is not siteverify's", answer.status))
    }

    fn question(&self, response: &str) -> Request {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("secret", self.settings.secret.expose_secret()).append_pair("response", response);
        let mut request = Request::new(Method::POST, self.settings.verify_url.clone());
        let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
        request.headers_mut().insert(CONTENT_TYPE, form_type);
        *request.body_mut() = Some(form.finish().into());
        request
    }
}
