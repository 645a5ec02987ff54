//! Classifies Twilio's answers by its error codes, otherwise by HTTP's rules.
//!
//! `codes.txt` has the codes. The words are ours; Twilio's own message is never read, for it can contain the number.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Account, BASE_URL};
use crate::client::GatewayResponse;
use crate::provider::{CodeClass, classify_status, code_in};
use crate::recipe::as_text;
use crate::{Accepted, ErrorClass, GatewayError};

const CREDENTIALS: u32 = 20_003;

const SUSPENDED: u32 = 30_002;

/// Whether a code of an error that every message meets is about the account. Others, such as that of a sender that is
/// not there, can be one gateway's alone: they open its circuit and leave the server ready. An unknown code comes with
/// 401 or 402, or with a redirect.
pub fn refuses_account(code: u32) -> bool {
    [CREDENTIALS, SUSPENDED].contains(&code) || known_code(code).is_none()
}

/// The resource does not exist: to Verify, a verification that is used up, expired or was never started.
pub(super) const NOT_FOUND: u32 = 20_404;

pub(super) const CHECKS_USED_UP: u32 = 60_202;

/// Too many requests: Twilio says that these were never processed.
const TOO_MANY_REQUESTS: u32 = 20_429;

/// Longest id taken over from an answer. Twilio's have 34 characters; servers with the same API use others, such as
/// UUIDs.
const SID_MAX: usize = 64;

/// Whether a text can be an id: of a bounded length, and a harmless segment of a path.
pub(super) fn is_id(text: &str) -> bool {
    (1..=SID_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        && text.bytes().any(|b| b.is_ascii_alphanumeric())
}

/// What is read of a created resource. An answer has about 17 members more.
#[derive(Deserialize)]
struct Created {
    sid: String,
    #[serde(default)]
    status: Value,
    #[serde(default)]
    error_code: Value,
}

impl Account {
    /// The id of the created resource. If `has_failed` accepts its status, nothing arrives although Twilio answers with a
    /// success.
    pub(super) fn created(
        &self,
        response: &GatewayResponse,
        has_failed: impl Fn(&str) -> bool,
    ) -> Result<Accepted, GatewayError> {
        let Created { sid: message_id, status, error_code } = self.read(response, "id")?;
        if !is_id(&message_id) {
            return Err(self.unreadable(response, "id"));
        }
        if !status.as_str().is_some_and(has_failed) {
            return Ok(Accepted { message_id });
        }
        let code = as_text(&error_code).and_then(|code| code_in(&code));
        let (class, words) = code.and_then(known_code).unwrap_or((CodeClass::Refused, "unknown reason"));
        let detail =
            format!("answered HTTP {} for a message that has failed: {words}", response.status.as_u16());
        Err(class.error(self.name, code, detail).with_wait_of(response))
    }

    /// Whether the account may send, by `GET /2010-04-01/Accounts/{Sid}.json`.
    pub(super) fn account_state(&self, response: &GatewayResponse) -> Result<(), GatewayError> {
        let account: Value = self.read(response, "account")?;
        match account["status"].as_str() {
            Some("active") => Ok(()),
            Some(_) => {
                let detail = "says that the account is not active; see the Twilio console";
                Err(CodeClass::Account.error(self.name, None, detail.to_owned()))
            }
            None => Err(self.unreadable(response, "account")),
        }
    }

    /// Reads the body of a success; `what` names it in an error.
    fn read<T: DeserializeOwned>(&self, response: &GatewayResponse, what: &str) -> Result<T, GatewayError> {
        if !response.status.is_success() {
            return Err(self.refused(response));
        }
        response.json().ok_or_else(|| self.unreadable(response, what))
    }

    /// A success that does not say what it should: it is unknown what was done, and something else than Twilio may be in
    /// its place.
    pub(super) fn unreadable(&self, response: &GatewayResponse, what: &str) -> GatewayError {
        let detail = format!("answered HTTP {} without a readable {what}", response.status.as_u16());
        CodeClass::Down.error(self.name, None, detail)
    }

    /// An answer that is not a success.
    ///
    /// A status of 500 and above leaves open how far the request came, whatever the body says, except for
    /// 20429 ("too many requests"), which was never processed. Otherwise a code from the table decides, then the status.
    pub(super) fn refused(&self, response: &GatewayResponse) -> GatewayError {
        let code = error_code(response);
        let known = code.and_then(known_code);
        let may_be_processed = response.status.is_server_error() && code != Some(TOO_MANY_REQUESTS);
        let (by_status, said) = classify_status(response, BASE_URL);
        let class = known.filter(|_| !may_be_processed).map_or(by_status, |(class, _)| class);
        let detail =
            known.map_or(said, |(_, words)| format!("answered HTTP {}: {words}", response.status.as_u16()));
        class.error(self.name, code, detail).with_wait_of(response)
    }
}

/// The message in an error answer stays unread, for it can repeat the number.
pub(super) fn error_code(response: &GatewayResponse) -> Option<u32> {
    code_in(&as_text(response.json::<Value>()?.get("code")?)?)
}

/// The class of a code in a report that a message has failed. With a code of the class `unknown` it may have arrived. A
/// code that is not in the table says no more than that it failed.
pub fn class_of_report(code: u32) -> ErrorClass {
    known_code(code).map_or(ErrorClass::Refused, |(class, _)| class.class())
}

/// The class and the description of an error code.
pub fn describe_code(code: u32) -> Option<(ErrorClass, &'static str)> {
    known_code(code).map(|(class, words)| (class.class(), words))
}

/// The codes that are known, each with its classification and its words.
static CODES: LazyLock<BTreeMap<u32, (CodeClass, &'static str)>> = LazyLock::new(|| {
    let known = |line: &'static str| {
        let (code, rest) = line.split_once(' ')?;
        let (class, words) = rest.split_once(' ')?;
        Some((code.parse().ok()?, (serde_json::from_value(class.into()).ok()?, words)))
    };
    include_str!("codes.txt").lines().filter_map(known).collect()
});

/// The classification and the words of an error code.
pub fn known_code(code: u32) -> Option<(CodeClass, &'static str)> {
    CODES.get(&code).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_published_and_its_title_allows_its_class() {
        let table = include_str!("../../../../tests/facts/twilio-errors.tsv");
        let row = |line: &str| Some((line.split_once('\t')?.0.parse().ok()?, line.to_lowercase()));
        let titles: BTreeMap<u32, String> = table.lines().filter_map(row).collect();
        let lines =
            include_str!("codes.txt").lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit()));
        let unpublished = CODES.keys().find(|code| !titles.contains_key(*code));
        assert_eq!((CODES.len(), unpublished), (lines.count(), None));
        // No send or check is answered with those of resources, campaigns, links, Lookup, Verify's factors, silent
        // network authentication and RCS.
        let elsewhere =
            [21_737, 30_110, 30_436, 60_207, 60_208, 60_210, 60_326, 60_328, 60_540, 60_616, 60_624, 63_035];
        for (code, title) in titles.iter().filter(|(code, _)| !elsewhere.contains(*code)) {
            let class = known_code(*code).map(|(class, _)| class);
            for (words, allowed) in [
                ("landline|opted out|by user action", &[CodeClass::NotReachable][..]),
                ("invalid phone number", &[CodeClass::BadNumber]),
                ("unsubscribed", &[CodeClass::OptedOut]),
                ("premium|call blocked|message delivery blocked|fraudulent", &[CodeClass::Fraud]),
                ("permission to send|geo permission", &[CodeClass::Country]),
                ("the messaging service", &[CodeClass::Account, CodeClass::Busy]),
                ("too many|rate limit|congestion", &[CodeClass::Busy, CodeClass::Retry]),
                (
                    "account exceeded|messaging limits",
                    &[CodeClass::Account, CodeClass::Busy, CodeClass::NextDay],
                ),
            ] {
                let is_allowed = class.is_some_and(|class| allowed.contains(&class));
                let mut words = words.split('|');
                assert!(is_allowed || !words.any(|words| title.contains(words)), "{title}: {class:?}");
            }
            assert!(class.is_some() || !title.contains("blocked"), "{title} has no class");
        }
    }
}
