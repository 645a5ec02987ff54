//! A double of a challenge service: its script, and `siteverify`.

use serde_json::{Value, json};

use super::double::{Double, Provider};
use super::received::Received;
use super::reply::Said;
use super::server::Setup;

const SECRET: &str = "0x4AAAchallenge-secret-of-the-te5ts";

/// The response of a person.
pub const PERSON: &str = "a-person";

/// Shows a box to tick. Refuses every other response than [`PERSON`], with or without the host of its page behind an `@`.
pub type Captcha = Double<SiteVerify>;

#[derive(Default)]
pub struct SiteVerify;

const SCRIPT: &str = r#"for (const place of document.querySelectorAll(".g-recaptcha")) {
  place.innerHTML = '<label><input type="checkbox" style="width: auto"> I am a person</label><input type="hidden" name="g-recaptcha-response">';
  place.querySelector("input").onchange = () => { place.querySelector("[type=hidden]").value = "a-person"; };
}"#;

impl Captcha {
    /// A server whose hosted page asks this service, with further members of `captcha`.
    pub fn required(&self, setup: Setup, more: &Value) -> Setup {
        let url = self.base_url();
        let mut settings = json!({
            "script": format!("{url}/api.js"), "verify-url": format!("{url}/siteverify"), "site-key": "site-key",
        });
        let more = more.as_object().expect("members").clone();
        settings.as_object_mut().expect("members").extend(more);
        setup.config("captcha", settings).env("CAPTCHA_SECRET", SECRET)
    }
}

impl Provider for SiteVerify {
    fn accept(&self, received: &Received) -> Said {
        if received.target.starts_with("GET /api.js") {
            return Said::text(200, SCRIPT);
        }
        let error = match (received.field("secret"), received.field("response")) {
            (SECRET, PERSON) => return Said::json(200, &json!({ "success": true })),
            (SECRET, response) if let Some((PERSON, host)) = response.split_once('@') => {
                return Said::json(200, &json!({ "success": true, "hostname": host }));
            }
            (SECRET, _) => "invalid-input-response",
            _ => "invalid-input-secret",
        };
        Said::json(200, &json!({ "success": false, "error-codes": [error] }))
    }
}
