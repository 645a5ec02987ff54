//! The inbox as HTML and JSON.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::ManualClock;
use crate::domain::{AttemptId, AttemptLogKey, Code, PhoneNumber, Region, ServiceId, Timestamp};
use crate::gateway::tests::double;
use crate::gateway::{Gateway as _, OutgoingMessage, Simulator};
use crate::http::pages::inbox::{InboxView, SHOWN};
use crate::http::pages::{LIVE, csp_hash};
use crate::http::response::Response;

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
fn the_page_says_how_many_messages_are_kept_and_shown() {
    let page = html();
    let (thousands, rest) = (Simulator::CAPACITY / 1000, Simulator::CAPACITY % 1000);
    assert!(page.contains(&format!("newest {thousands},{rest:03} messages are kept")));
    assert!(page.contains(&format!("this page shows the newest {SHOWN}.")));
}

#[test]
fn no_text_of_a_message_can_become_markup() {
    for sink in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
        assert!(!LIVE.contains(sink), "{sink}");
    }
    for handler in [" onclick=", " onload=", " onerror=", "javascript:"] {
        assert!(!html().contains(handler), "{handler}");
    }
}

#[tokio::test]
async fn a_message_with_markup_is_shown_as_it_is_written() {
    let (simulator, _clock) = simulator();
    receive(&simulator, 14_155_552_671, "<img src=x onerror=alert(1)> \"'&", "111111").await;
    let page = text(&shown(&simulator, Some("q=%22%3E%3Cscript%3E")));
    assert!(
        page.contains("value=\"&#34;&#62;&#60;script&#62;\"") && page.contains("No message has"),
        "{page}"
    );
    let page = text(&shown(&simulator, None));
    assert!(page.contains("&#60;img src=x onerror=alert(1)&#62; &#34;&#39;&#38;"), "{page}");
}

#[tokio::test]
async fn the_rest_of_a_codes_life_is_rounded_up_and_the_age_of_a_message_down() {
    let (simulator, clock) = simulator();
    let number = 14_155_552_671;
    let message =
        OutgoingMessage { valid_for: Duration::from_secs(600), ..message(number, "Code", "111111") };
    simulator.send(&message).await.expect("accepted");
    for (after_ms, age, life) in
        [(1_900, "1 s ago", "10 min"), (128_100, "2 min ago", "8 min"), (350_500, "8 min ago", "2 min")]
    {
        clock.advance(Duration::from_millis(after_ms));
        let page = text(&shown(&simulator, None));
        for part in [age, &format!("expires in {life}")] {
            assert!(page.contains(part), "no {part:?} in {page}");
        }
    }
}

#[tokio::test]
async fn a_search_finds_parts_of_numbers_texts_services_channels_and_statuses() {
    let (simulator, clock) = simulator();
    receive(&simulator, 14_155_552_671, "Your Acme code 111111", "111111").await;
    clock.advance(Duration::from_secs(29));
    receive(&simulator, 491_711_234_567, "Ihr Code 222222", "222222").await;
    clock.advance(Duration::from_secs(1));
    let found = |query: &str| {
        let page = text(&shown(&simulator, Some(query)));
        ["111111", "222222"].map(|code| page.contains(&format!(">{code}</span>")))
    };
    for (query, expected) in [
        ("", [true, true]),
        ("q=", [true, true]),
        ("q=4155552671", [true, false]),
        ("q=%2B1+%28415%29+555", [true, false]),
        ("to=+49171", [false, true]),
        ("q=acme", [true, false]),
        ("q=default", [true, true]),
        ("q=SMS", [true, true]),
        ("q=expired", [true, false]),
        ("q=live", [false, true]),
        ("q=222222", [false, true]),
        ("q=nothing", [false, false]),
    ] {
        assert_eq!(found(query), expected, "{query}");
    }
}

#[test]
fn the_policy_lets_exactly_the_pages_own_style_and_script_run() {
    let page = shown(&simulator().0, None);
    let policy =
        page.headers.iter().find(|(name, _)| name == "content-security-policy").expect("a policy").1.to_str();
    let policy = policy.expect("text");
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
                "receivedAtMs": 1_002_000, "expiresAtMs": 1_032_000,
                "service": "default", "status": "live"
            },
            {
                "id": ids[1], "to": "+14155552671", "channel": "sms",
                "text": "Code 111111", "code": "111111",
                "receivedAtMs": 1_000_000, "expiresAtMs": 1_030_000,
                "service": "default", "status": "live"
            }
        ],
        "nowMs": 1_003_000
    });
    assert_eq!(json(&simulator, ""), expected);
}

#[tokio::test]
async fn one_number_sees_its_own_messages_only() {
    let (simulator, _clock) = simulator();
    receive(&simulator, 14_155_552_671, "Code 111111", "111111").await;
    receive(&simulator, 491_711_234_567, "Code 222222", "222222").await;
    let own = json(&simulator, "to=+14155552671");
    assert_eq!(own["messages"].as_array().map(Vec::len), Some(1));
    assert_eq!(own["messages"][0]["code"], "111111");
    let none = json(&simulator, "to=+14155552672");
    assert_eq!(none["messages"], serde_json::json!([]));
}

#[tokio::test]
async fn an_answer_stays_small() {
    let (simulator, _clock) = simulator();
    for _ in 0..150 {
        receive(&simulator, 14_155_552_671, "Code 111111", "111111").await;
    }
    assert_eq!(json(&simulator, "")["messages"].as_array().map(Vec::len), Some(100));
}

#[tokio::test]
async fn a_query_names_a_number_in_several_spellings() {
    let (simulator, _clock) = simulator();
    receive(&simulator, 14_155_552_671, "Code 111111", "111111").await;
    receive(&simulator, 491_711_234_567, "Code 222222", "222222").await;
    let codes = |query: &str| {
        let json = json(&simulator, query);
        let codes = json["messages"].as_array().expect("messages").iter();
        codes.map(|m| m["code"].as_str().expect("a code").to_owned()).collect::<Vec<_>>()
    };
    for all in ["", "a=b"] {
        assert_eq!(codes(all), ["222222", "111111"], "{all:?}");
    }
    for american in ["to=%2B14155552671", "to=+14155552671", "x=1&to=%2B1+415+555+2671", "to=+1-415-555-2671"]
    {
        assert_eq!(codes(american), ["111111"], "{american}");
    }
    assert_eq!(codes("to=01711234567"), ["222222"]);
    assert!(codes("to=%2B442079460000").is_empty());
    for unreadable in ["to=", "to=%FF", "to=anna"] {
        let refused = with_view(&simulator, |view| view.json(Some(unreadable)));
        assert_eq!(refused.status, 400, "{unreadable}");
    }
}

#[test]
fn the_form_is_there_only_where_every_message_goes_to_the_simulator() {
    assert!(html().contains("action=\"/inbox\"") && html().contains("value=\"+14155550123\""));
    let (simulator, _clock) = simulator();
    let page = with_view(&simulator, |view| InboxView { is_only: false, ..*view }.page(None, None));
    assert!(!text(&page).contains("method=\"post\""));
}

fn html() -> String {
    text(&shown(&simulator().0, None))
}

fn text(page: &Response) -> String {
    String::from_utf8(page.body.to_vec()).expect("UTF-8")
}

fn with_view(simulator: &Simulator, show: impl FnOnce(&InboxView<'_>) -> Response) -> Response {
    show(&InboxView {
        simulator,
        default_region: Region::parse("DE"),
        is_only: true,
        service_name: &|_| "default".to_owned(),
        origin: "http://localhost:3000",
        credentials: "",
        is_part: false,
    })
}

fn shown(simulator: &Simulator, query: Option<&str>) -> Response {
    with_view(simulator, |view| view.page(query, None))
}

fn json(simulator: &Simulator, query: &str) -> serde_json::Value {
    let page = with_view(simulator, |view| view.json(Some(query)));
    assert_eq!(page.content_type, "application/json");
    assert!(page.headers.iter().any(|(name, value)| name == "cache-control" && value == "no-store"));
    serde_json::from_slice(&page.body).expect("JSON")
}

fn simulator() -> (Simulator, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::starting_at(Timestamp::from_millis(1_000_000)));
    (Simulator::new(clock.clone()), clock)
}

async fn receive(simulator: &Simulator, to: u64, text: &str, code: &str) {
    simulator.send(&message(to, text, code)).await.expect("accepted");
}

fn message(to: u64, text: &str, code: &str) -> OutgoingMessage {
    OutgoingMessage {
        attempt: AttemptId { key: AttemptLogKey::new(ServiceId::DEFAULT, to, 0), attempt: 0 },
        to: PhoneNumber::from_u64(to).expect("a number"),
        code: Code::parse(code).expect("a code"),
        valid_for: Duration::from_secs(30),
        ..double::message(text)
    }
}
