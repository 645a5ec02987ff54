//! A hand-written client of Twilio Verify's API.

use std::io;

use hyper::Method;
use serde_json::Value;

use super::{Client, HttpResponse, Setup, basic};

/// The server's own account, not the one at Twilio.
pub const OWN_ACCOUNT: &str = "ACfedcba98765432100123456789abcdef";
pub const OWN_TOKEN: &str = "0wn-t0ken-0f-this-server-4c1d2e3f";

/// A client with the account's credentials.
#[derive(Clone)]
pub struct V2 {
    client: Client,
    authorization: String,
}

impl V2 {
    /// Configures the account in the server.
    pub fn account(setup: Setup) -> Setup {
        setup.env("ONCEWARD_ACCOUNT_SID", OWN_ACCOUNT).env("ONCEWARD_AUTH_TOKEN", OWN_TOKEN)
    }

    pub fn of(client: &Client) -> Self {
        Self::with_key(client, OWN_ACCOUNT, OWN_TOKEN)
    }

    pub fn with_key(client: &Client, sid: &str, secret: &str) -> Self {
        Self { client: client.clone(), authorization: basic(sid, secret) }
    }

    /// A client with a key, as `onceward keys create --json` shows it.
    pub fn with_key_of(client: &Client, key: &Value) -> Self {
        Self::with_key(client, text(key, "sid"), text(key, "secret"))
    }

    /// Posts a form to a path below `/v2`, with one more header.
    pub async fn try_post_with(
        &self,
        path: &str,
        header: (&str, &str),
        form: &[(&str, &str)],
    ) -> Result<HttpResponse, io::Error> {
        let headers = [("authorization", self.authorization.as_str()), header];
        self.client.try_post_form(&format!("/v2{path}"), &headers, form).await
    }

    /// Posts a form; returns an error if no answer comes.
    pub async fn try_post(&self, path: &str, form: &[(&str, &str)]) -> Result<HttpResponse, io::Error> {
        self.try_post_with(path, ("accept", "application/json"), form).await
    }

    pub async fn post(&self, path: &str, form: &[(&str, &str)]) -> HttpResponse {
        self.try_post(path, form).await.expect("an answer")
    }

    pub async fn post_with(&self, path: &str, header: (&str, &str), form: &[(&str, &str)]) -> HttpResponse {
        self.try_post_with(path, header, form).await.expect("an answer")
    }

    pub async fn post_json(&self, path: &str, body: &Value) -> HttpResponse {
        self.ask(Method::POST, path, &[("content-type", "application/json")], body.to_string()).await
    }

    pub async fn get(&self, path: &str) -> HttpResponse {
        self.ask(Method::GET, path, &[], String::new()).await
    }

    pub async fn delete(&self, path: &str) -> HttpResponse {
        self.ask(Method::DELETE, path, &[], String::new()).await
    }

    async fn ask(&self, method: Method, path: &str, more: &[(&str, &str)], body: String) -> HttpResponse {
        let headers = [&[("authorization", self.authorization.as_str())], more].concat();
        self.client.request_with(method, &format!("/v2{path}"), &headers, body).await
    }

    /// Creates a resource and returns its id.
    pub async fn made(&self, path: &str, form: &[(&str, &str)]) -> String {
        let answer = self.post(path, form).await;
        assert_eq!(answer.status(), 201, "{path}: {}", answer.text());
        sid(&answer)
    }

    /// Creates a service with these rules, and returns the path of its resources.
    pub async fn service(&self, rules: &[(&str, &str)]) -> String {
        let form: Vec<_> = [("FriendlyName", "Owl Bank")].iter().chain(rules).copied().collect();
        format!("/Services/{}", self.made("/Services", &form).await)
    }

    /// Makes a webhook, and returns it with its secret.
    pub async fn webhook(&self, service: &str, events: &str, url: &str) -> Value {
        let form = [("FriendlyName", "a webhook"), ("EventTypes", events), ("WebhookUrl", url)];
        self.post(&format!("{service}/Webhooks"), &form).await.expects_status(201).json()
    }

    /// Makes a rate limit with one bucket, and returns the limit's id.
    pub async fn rate_limit(&self, service: &str, name: &str, max: &str, seconds: &str) -> String {
        let limits = format!("{service}/RateLimits");
        let limit = self.made(&limits, &[("UniqueName", name)]).await;
        self.made(&format!("{limits}/{limit}/Buckets"), &[("Max", max), ("Interval", seconds)]).await;
        limit
    }

    /// The path of the resources of the default service, which the compatible routes use.
    pub async fn default_service(&self) -> String {
        let list = self.get("/Services?PageSize=1000").await.json();
        // The newest come first.
        let oldest = list["services"].as_array().and_then(|services| services.last()).expect("a service");
        format!("/Services/{}", oldest["sid"].as_str().expect("an id"))
    }

    /// The one entry of the audit log with this action.
    pub async fn audited(&self, action: &str) -> Value {
        let listed = self.get("/Audit?PageSize=1000").await.json();
        let mut found = listed["entries"].as_array().expect("a list").clone();
        found.retain(|entry| entry["action"] == action);
        assert_eq!(found.len(), 1, "{action}: {found:?}");
        found.remove(0)
    }

    /// Begins a verification by text message.
    pub async fn begins(&self, service: &str, number: &str) -> HttpResponse {
        self.begins_with(service, number, &[]).await
    }

    /// The same with more parameters.
    pub async fn begins_with(&self, service: &str, number: &str, more: &[(&str, &str)]) -> HttpResponse {
        let form = [&[("To", number), ("Channel", "sms")], more].concat();
        self.post(&format!("{service}/Verifications"), &form).await
    }

    /// Checks a code, by the verification's id.
    pub async fn checks(&self, service: &str, sid: &str, code: &str) -> HttpResponse {
        self.post(&format!("{service}/VerificationCheck"), &[("VerificationSid", sid), ("Code", code)]).await
    }

    /// Checks a code, by the number only.
    pub async fn checks_number(&self, service: &str, number: &str, code: &str) -> HttpResponse {
        self.post(&format!("{service}/VerificationCheck"), &[("To", number), ("Code", code)]).await
    }
}

/// The `Authorization` header of a key, as `onceward keys create --json` shows it.
pub fn authorization(key: &Value) -> String {
    basic(text(key, "sid"), text(key, "secret"))
}

#[track_caller]
pub fn text<'a>(object: &'a Value, name: &str) -> &'a str {
    object[name].as_str().unwrap_or_else(|| panic!("no {name} in {object}"))
}

/// The id of the shown resource.
pub fn sid(answer: &HttpResponse) -> String {
    text(&answer.json(), "sid").to_owned()
}

/// The HTTP status, and the resource's `status` or the error's code.
pub fn status_and_code(answer: &HttpResponse) -> (u16, String) {
    let body = answer.json();
    let value = if body["code"].is_null() { &body["status"] } else { &body["code"] };
    (answer.status(), value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}
