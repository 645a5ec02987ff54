//! A gateway with a recipe: carries out what its description says.

mod description;
mod receipts;
mod request;
mod signing;
pub(crate) mod xml;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use reqwest::{Request, StatusCode};
use serde_json::Value;

pub use self::description::HttpGatewaySettings;
pub(crate) use self::description::Owner;
use self::description::{HttpAccount, HttpCheck};
pub use self::receipts::{NotUnderstood, RecipeCallbacks};
use self::request::{Filling, alphabet_of};
use super::client::GatewayResponse;
use super::provider::{CodeClass, Provider, Question, classify_status, code_in, usable_id};
use super::recipe::Pointer;
use super::said::clean_text;
use super::{Accepted, ErrorClass, GatewayError, OutgoingMessage, Verdict};
use crate::clock::Clock;
use crate::domain::{Channel, Code, GatewayName, PhoneNumber};

fn contains(body: &[u8], text: &str) -> bool {
    text.is_empty() || body.windows(text.len()).any(|part| part == text.as_bytes())
}

fn begins(body: &[u8], text: &str) -> bool {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii_start().starts_with(text.as_bytes())
}

/// JSON, or XML by its look. A page of a proxy is neither.
fn structured(body: &[u8]) -> Option<Value> {
    let text = clean_text(body);
    if text.trim_start().starts_with('<') {
        return xml::read(&text).filter(|read| read.get("html").or_else(|| read.get("HTML")).is_none());
    }
    serde_json::from_str(&text).ok()
}

pub struct HttpGateway {
    settings: HttpGatewaySettings,
    clock: Arc<dyn Clock>,
    carries_text: bool,
    /// Ids made for messages of providers that give none.
    own_ids: AtomicU64,
}

impl HttpGateway {
    /// Of a description that was tried.
    pub(super) fn new(settings: &HttpGatewaySettings, clock: Arc<dyn Clock>) -> Self {
        let carries_text = settings.carries_text();
        Self { settings: settings.clone(), clock, carries_text, own_ids: AtomicU64::new(1) }
    }

    fn gateway(&self) -> GatewayName {
        self.settings.owner.gateway
    }

    /// Unique within a run, and almost certainly between runs.
    fn own_id(&self) -> String {
        let serial = self.own_ids.fetch_add(1, Ordering::Relaxed);
        format!("{}-{:x}-{serial}", self.gateway(), self.clock.now().as_millis())
    }

    /// The answer, if it is JSON or XML; from a provider that gets XML, XML whose root is the one that is looked for.
    fn answer(&self, response: &GatewayResponse) -> Option<Value> {
        let HttpGatewaySettings { xml, success, .. } = &self.settings;
        let body = response.body.as_deref()?;
        if xml.0.is_empty() {
            return structured(body);
        }
        let text = String::from_utf8_lossy(body);
        let root = success.json.as_ref().and_then(|pointer| pointer.as_str().split('/').nth(1));
        xml::read(&text).filter(|answer| root.is_none_or(|root| answer.get(root).is_some()))
    }

    /// A success without what belongs to it. One that cannot be read at all does not come from the provider, or comes from a
    /// provider in trouble.
    fn not_understood(&self, response: &GatewayResponse) -> GatewayError {
        let class = if self.answer(response).is_some() { CodeClass::Unknown } else { CodeClass::Down };
        let (_, words) = classify_status(response, &self.settings.owner.setting("url"));
        class.error(self.gateway(), None, words)
    }

    /// The words for an error: what its class says, and the code if that is a listed word.
    fn words(&self, class: CodeClass, told: Option<&str>) -> String {
        let word = told.and_then(|code| self.settings.errors.word(code));
        class.words().to_owned() + &word.map(|word| format!(" ({word})")).unwrap_or_default()
    }

    /// A parameter that is not valid is as likely the code as the number, and nothing was compared.
    fn classify_check(&self, check: &HttpCheck, response: &GatewayResponse) -> Result<Verdict, GatewayError> {
        let answer = self.answer(response);
        let at = |pointer: &Pointer| pointer.text_in(answer.as_ref()?);
        if response.status == StatusCode::OK {
            let meaning = |text: &str| check.verdicts.iter().find(|(_, texts)| texts.has(text));
            let verdict = check.verdict.iter().find_map(|pointer| Some(*meaning(&at(pointer)?)?.0));
            return verdict.ok_or_else(|| self.not_understood(response));
        }
        let code = self.settings.errors.json.iter().find_map(at);
        let body = response.body.as_deref().unwrap_or_default();
        let is_not_live = code.is_some_and(|code| check.not_live_codes.contains(&code))
            || check.not_live_text.as_ref().is_some_and(|text| contains(body, text));
        if is_not_live && !response.status.is_success() {
            return Ok(Verdict::NotLive);
        }
        Err(match self.classify(response) {
            Err(error) if error.class == ErrorClass::BadNumber => {
                let detail = format!("answered HTTP {}: a value is not valid", response.status.as_u16());
                CodeClass::Refused.error(self.gateway(), error.code, detail)
            }
            Err(error) => error,
            Ok(_) => self.not_understood(response),
        })
    }

    fn classify_account(
        &self,
        account: &HttpAccount,
        response: &GatewayResponse,
    ) -> Result<(), GatewayError> {
        let answer = self.answer(response);
        let at = |pointer: &Pointer| pointer.text_in(answer.as_ref()?);
        let code = self.settings.errors.json.iter().find_map(at);
        let is_right = code.is_some_and(|code| account.right.contains(&code));
        if is_right || response.status.is_success() && account.right.is_empty() {
            return Ok(());
        }
        self.classify(response)?;
        let detail = "gave an answer about the account that is not known";
        Err(GatewayError::not_tried(self.gateway(), detail))
    }
}

impl Provider for HttpGateway {
    fn described(&self, code: u32) -> Option<(ErrorClass, &'static str)> {
        let class = self.settings.errors.class_of(&code.to_string())?;
        Some((class.class(), class.words()))
    }

    fn parts(&self, text: &str) -> usize {
        if self.carries_text { alphabet_of(&self.settings, text).parts(text) } else { 1 }
    }

    fn request(&self, message: &OutgoingMessage) -> Result<Request, GatewayError> {
        if let Some([least, most]) = self.settings.code_digits
            && !(least..=most).contains(&message.code.expose().len())
        {
            let detail = format!("cannot be asked: it takes codes of {least} to {most} digits");
            return Err(GatewayError::not_tried(self.gateway(), detail));
        }
        let request = Filling::of(&self.settings, message).message(self.clock.wall());
        request.map_err(|error| {
            GatewayError::not_tried(
                self.gateway(),
                format!("cannot be asked: {} {}", error.setting, error.problem),
            )
        })
    }

    /// The rules for values of the answer come first, whatever the status: many providers put their errors into a 200,
    /// and some into a 500.
    fn classify(&self, response: &GatewayResponse) -> Result<Accepted, GatewayError> {
        let HttpGatewaySettings { success, errors, owner, .. } = &self.settings;
        let status = response.status.as_u16();
        let answer = self.answer(response);
        let at = |pointer: &Pointer| pointer.text_in(answer.as_ref()?);
        let value = success.json.as_ref().and_then(at);
        let is_good = success.json.is_none() || value.as_ref().is_some_and(|value| success.equals.has(value));
        // A value that is present and does not mean success.
        let bad = value.as_deref().filter(|_| !is_good && response.status.is_success());
        let code = errors.json.iter().find_map(at);
        let told = code.as_deref().or(bad);
        let class = told.and_then(|code| errors.class_of(code));
        let class = class.or_else(|| errors.class_of(&format!("http-{status}")));
        let failed = |class: CodeClass, words: &str| {
            let detail = format!("answered HTTP {status}: {words}");
            Err(class.error(owner.gateway, told.and_then(code_in), detail).with_wait_of(response))
        };
        if let Some(class) = class {
            return failed(class, &self.words(class, told));
        }
        // A body that was not read whole counts as one only where nothing is looked for in it.
        let body = response.body.as_deref().unwrap_or_default();
        let has_text = success.contains.as_ref().is_none_or(|text| contains(body, text));
        let has_status =
            success.statuses.contains(&status) || success.statuses.is_empty() && response.status.is_success();
        let begins = success.begins.as_ref().is_none_or(|text| begins(body, text));
        if has_status && is_good && has_text && begins {
            let given = success.message_id.as_ref().and_then(at).and_then(|id| usable_id(&id));
            let own = || self.settings.check.is_none().then(|| self.own_id());
            let message_id = given.or_else(own).ok_or_else(|| self.not_understood(response))?;
            return Ok(Accepted { message_id });
        }
        // Words that do not begin as those of success are a refusal; no words at all are none.
        if has_status && is_good && !begins && !body.trim_ascii().is_empty() {
            return failed(CodeClass::Refused, "the answer does not begin as success.begins says");
        }
        if bad.is_some() {
            return failed(CodeClass::Refused, "the value at success.json is not one that means success");
        }
        // Text may be a proxy's; what is no XML at all does not come from a provider that speaks it.
        if !self.settings.xml.0.is_empty() && answer.is_none() && response.status.is_success() {
            return Err(self.not_understood(response));
        }
        let (class, words) = classify_status(response, &owner.setting("url"));
        // This answer does not distinguish a limit of the account from that of one number, which any caller can reach.
        let class = if class == CodeClass::Busy { CodeClass::Retry } else { class };
        Err(class.error(owner.gateway, told.and_then(code_in), words).with_wait_of(response))
    }

    fn account_question(&self) -> Option<Question<'_, ()>> {
        let account = self.settings.account.as_ref()?;
        let request = Filling::empty(&self.settings).account(account).ok()?;
        Some(Question { request, read: Box::new(move |response| self.classify_account(account, response)) })
    }

    fn check(&self, to: PhoneNumber, channel: Channel, code: &Code) -> Option<Question<'_, Verdict>> {
        let check = self.settings.check.as_ref()?;
        let json = check.json.get(channel.as_str())?;
        let mut filling = Filling::to(&self.settings, to, channel, code);
        let request = filling.check(check, json, self.clock.wall()).ok()?;
        Some(Question { request, read: Box::new(move |response| self.classify_check(check, response)) })
    }
}

#[cfg(test)]
mod tests;
