//! The simulator's inbox, as a page and as JSON. Exists in simulator mode only.

use std::fmt;
use std::sync::LazyLock;

use base64::Engine as _;
use bytes::Bytes;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::Page;
use crate::domain::PhoneNumber;
use crate::gateway::{InboxMessage, Simulator};

const MARKUP: &str = include_str!("inbox/inbox.html");
const STYLE: &str = include_str!("inbox/inbox.css");
const SCRIPT: &str = include_str!("inbox/inbox.js");

/// Messages in one answer: as many as a person looks through, and little enough to be asked for
/// every second.
const SHOWN: usize = 100;

/// One document with style and script inside: a single route serves it, and it asks for nothing
/// but the messages.
static DOCUMENT: LazyLock<String> =
    LazyLock::new(|| MARKUP.replace("{{style}}", STYLE).replace("{{script}}", SCRIPT));

/// Lets exactly this style and this script run, and lets the page speak with nobody but us, so
/// that the text of a message could do nothing even if it became markup.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    format!(
        "default-src 'none'; style-src {}; script-src {}; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        csp_hash(STYLE),
        csp_hash(SCRIPT)
    )
});

static PAGE_HEADERS: LazyLock<[(&str, &str); 4]> = LazyLock::new(|| {
    [
        ("content-security-policy", POLICY.as_str()),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
    ]
});

const JSON_HEADERS: [(&str, &str); 2] =
    [("x-content-type-options", "nosniff"), ("cache-control", "no-store")];

/// The page for `GET /inbox`. It polls `GET /inbox/messages` with its own query string, so that
/// `/inbox?to=%2B14155552671` shows one number's messages.
pub fn inbox_page() -> Page {
    Page {
        content_type: "text/html; charset=utf-8",
        headers: &*PAGE_HEADERS,
        body: Bytes::from_static(DOCUMENT.as_bytes()),
    }
}

/// The answer of `GET /inbox/messages`: [`messages_json`] with its headers.
pub fn inbox_messages(simulator: &Simulator, to: Option<PhoneNumber>) -> Page {
    Page {
        content_type: "application/json",
        headers: &JSON_HEADERS,
        body: messages_json(simulator, to).into(),
    }
}

/// The newest messages, at most 100, or the newest to one number; the newest first:
///
/// ```json
/// {"messages": [{"id": "SM5e0c...", "to": "+14155552671", "channel": "sms",
///                "text": "OTP message is 123456", "code": "123456",
///                "receivedAtMs": 1700000000000, "expiresAtMs": 1700000030000}],
///  "nowMs": 1700000001000}
/// ```
///
/// Times are milliseconds since the Unix epoch by the server's clock, of which `nowMs` is the
/// present. `expiresAtMs` is when the code ends by itself; it may be used or replaced before.
/// Numbers are whole here: the inbox stands in for the telephone.
pub fn messages_json(simulator: &Simulator, to: Option<PhoneNumber>) -> String {
    let messages = simulator.messages(to, SHOWN);
    let answer = InboxJson {
        messages: messages.iter().map(MessageJson::from).collect(),
        now_ms: simulator.now().as_millis(),
    };
    // Neither a key that is no text nor a failing writer is possible here.
    serde_json::to_string(&answer).unwrap_or_default()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InboxJson<'a> {
    messages: Vec<MessageJson<'a>>,
    now_ms: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MessageJson<'a> {
    id: &'a str,
    to: String,
    channel: &'static str,
    text: &'a str,
    code: &'a str,
    received_at_ms: u64,
    expires_at_ms: u64,
}

impl<'a> From<&'a InboxMessage> for MessageJson<'a> {
    fn from(message: &'a InboxMessage) -> Self {
        Self {
            id: &message.id,
            to: message.to.e164(),
            channel: message.channel.as_str(),
            text: &message.text,
            code: message.code.expose(),
            received_at_ms: message.received.as_millis(),
            expires_at_ms: message.received.plus(message.valid_for).as_millis(),
        }
    }
}

/// A source expression for inline content (CSP Level 3, 2.3.1).
fn csp_hash(content: &str) -> impl fmt::Display {
    let digest = Sha256::digest(content.as_bytes());
    format!("'sha256-{}'", base64::engine::general_purpose::STANDARD.encode(digest))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::clock::ManualClock;
    use crate::domain::{Channel, Code, Timestamp};
    use crate::gateway::{Gateway as _, OutgoingMessage};

    #[test]
    fn the_page_asks_for_nothing_from_elsewhere_and_says_what_it_is() {
        let page = html();
        assert!(page.contains("<title>Inbox"));
        assert!(page.contains("nothing leaves this machine"));
        for foreign in ["src=\"", "@import", "url(http", "\"https:", "'https:", "//cdn"] {
            assert!(!page.contains(foreign), "{foreign}");
        }
        assert!(!page.contains("{{"), "a part was not put in");
    }

    #[test]
    fn no_text_of_a_message_can_become_markup() {
        for sink in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
            assert!(!SCRIPT.contains(sink), "{sink}");
        }
        for handler in [" onclick=", " onload=", " onerror=", "javascript:"] {
            assert!(!MARKUP.contains(handler), "{handler}");
        }
    }

    #[test]
    fn the_policy_lets_exactly_the_pages_own_style_and_script_run() {
        let headers = inbox_page().headers;
        let policy = headers.iter().find(|(name, _)| *name == "content-security-policy").expect("a policy").1;
        let page = html();
        for (directive, tag) in [("style-src", "style"), ("script-src", "script")] {
            let open = format!("<{tag}>");
            let start = page.find(&open).expect("an element") + open.len();
            let end = start + page[start..].find(&format!("</{tag}>")).expect("its end");
            assert!(policy.contains(&format!("{directive} {};", csp_hash(&page[start..end]))), "{policy}");
            assert_eq!(page.matches(&open).count(), 1, "{tag}");
        }
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"));
    }

    #[tokio::test]
    async fn messages_are_told_in_full_with_the_newest_first() {
        let (simulator, clock) = simulator();
        receive(&simulator, 14_155_552_671, "Code 111111", "111111").await;
        clock.advance(Duration::from_secs(2));
        receive(&simulator, 491_711_234_567, "<b>\"222222\"</b>\n&", "222222").await;
        clock.advance(Duration::from_secs(1));

        let ids: Vec<_> = simulator.messages(None, 2).into_iter().map(|m| m.id).collect();
        let expected = serde_json::json!({
            "messages": [
                {
                    "id": ids[0], "to": "+491711234567", "channel": "sms",
                    "text": "<b>\"222222\"</b>\n&", "code": "222222",
                    "receivedAtMs": 1_002_000, "expiresAtMs": 1_032_000
                },
                {
                    "id": ids[1], "to": "+14155552671", "channel": "sms",
                    "text": "Code 111111", "code": "111111",
                    "receivedAtMs": 1_000_000, "expiresAtMs": 1_030_000
                }
            ],
            "nowMs": 1_003_000
        });
        assert_eq!(json(&simulator, None), expected);
    }

    #[tokio::test]
    async fn one_number_sees_its_own_messages_only() {
        let (simulator, _clock) = simulator();
        receive(&simulator, 14_155_552_671, "Code 111111", "111111").await;
        receive(&simulator, 491_711_234_567, "Code 222222", "222222").await;
        let own = json(&simulator, PhoneNumber::from_u64(14_155_552_671));
        assert_eq!(own["messages"].as_array().map(Vec::len), Some(1));
        assert_eq!(own["messages"][0]["code"], "111111");
        let none = json(&simulator, PhoneNumber::from_u64(1));
        assert_eq!(none["messages"], serde_json::json!([]));
    }

    #[tokio::test]
    async fn an_answer_stays_small() {
        let (simulator, _clock) = simulator();
        for _ in 0..150 {
            receive(&simulator, 14_155_552_671, "Code 111111", "111111").await;
        }
        assert_eq!(json(&simulator, None)["messages"].as_array().map(Vec::len), Some(100));
    }

    fn html() -> String {
        String::from_utf8(inbox_page().body.to_vec()).expect("UTF-8")
    }

    fn json(simulator: &Simulator, to: Option<PhoneNumber>) -> serde_json::Value {
        let page = inbox_messages(simulator, to);
        assert_eq!(page.content_type, "application/json");
        assert!(page.headers.contains(&("cache-control", "no-store")));
        serde_json::from_slice(&page.body).expect("JSON")
    }

    fn simulator() -> (Simulator, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::starting_at(Timestamp::from_millis(1_000_000)));
        (Simulator::new(clock.clone()), clock)
    }

    async fn receive(simulator: &Simulator, to: u64, text: &str, code: &str) {
        let message = OutgoingMessage {
            to: PhoneNumber::from_u64(to).expect("a number"),
            channel: Channel::Sms,
            text: text.to_owned(),
            code: Code::parse(code).expect("a code"),
            valid_for: Duration::from_secs(30),
        };
        simulator.send(&message).await.expect("accepted");
    }
}
