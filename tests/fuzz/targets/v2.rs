//! Twilio Verify's API: paths, parameters in forms, JSON and queries, paging. The server and its services are real; a
//! double records its calls about verifications and answers them.

use std::cell::RefCell;

use onceward::domain::PhoneNumber;
use onceward::verification::verify::VerificationTarget;
use onceward_testkit::{Reply, V2Call, V2World, basic, given, root};
use serde_json::{Value, json};

use super::support::front_end::FrontEnd;
use super::support::text;

/// Statuses that a request with every scope can get while the server is healthy.
const DOCUMENTED: [u16; 14] = [200, 201, 204, 400, 403, 404, 405, 408, 409, 413, 414, 415, 422, 431];

fn with_front_end<T>(run: impl FnOnce(&mut FrontEnd<V2World>) -> T) -> T {
    thread_local! {
        static FRONT_END: RefCell<Option<FrontEnd<V2World>>> = const { RefCell::new(None) };
    }
    FRONT_END.with_borrow_mut(|front_end| {
        run(front_end.get_or_insert_with(|| FrontEnd::start(world(), |world| world.world.address)))
    })
}

async fn world() -> V2World {
    let world = V2World::new().await;
    let fields = given(json!({ "custom-code": true }));
    world.registry.update_service(world.service.sid, fields).await.expect("changed");
    world
}

/// Sends a request: method and path, and header lines. Returns the answer and the calls that it caused.
fn ask(front_end: &mut FrontEnd<V2World>, target: &str, headers: &str, body: &str) -> (Reply, Vec<V2Call>) {
    let length = body.len();
    let request =
        format!("{target} HTTP/1.1\r\nhost: localhost\r\n{headers}content-length: {length}\r\n\r\n{body}");
    let reply = front_end.ask(request.as_bytes(), false);
    (reply, front_end.world.fake.take_asked())
}

/// Method and path in the first line, the idempotency key in the second, the body in the rest. In the path, `$` stands
/// for the service.
pub fn v2(input: &[u8]) {
    let Some(input) = text(input) else { return };
    let (first, rest) = input.split_once('\n').unwrap_or((input, ""));
    let (key, body) = rest.split_once('\n').unwrap_or(("", rest));
    let Some((method, path)) = first.split_once(' ') else { return };
    let plain = path.starts_with('/') && path.bytes().all(|b| b.is_ascii_graphic());
    if !plain || !["GET", "POST", "DELETE", "PUT"].contains(&method) || path.len() > 4_000 {
        return;
    }
    // Later inputs need the service.
    if method == "DELETE" && path.trim_end_matches('/').ends_with('$') {
        return;
    }
    let key = Some(key).filter(|key| !key.is_empty() && key.bytes().all(|b| b.is_ascii_graphic()));
    let is_json = body.trim_start().starts_with(['{', '[']);
    let content_type = if is_json { "application/json" } else { "application/x-www-form-urlencoded" };
    let content_type = format!("content-type: {content_type}\r\n");
    let key = key.map(|key| format!("idempotency-key: {key}\r\n")).unwrap_or_default();
    with_front_end(|it| {
        let service = it.world.service.sid.to_string();
        let target = format!("{method} /v2{}", path.replace('$', &service));
        let headers = format!("{}{key}{content_type}", basic(&root()));
        let (reply, asked) = ask(it, &target, &headers, body);
        // hyper refuses some heads before any route.
        if reply.header("x-request-id").is_none() {
            return assert!(asked.is_empty(), "{reply:?}");
        }
        answered(&reply);
        about(&reply, &asked);
        let (refused, effects) = ask(it, &target, &content_type, body);
        let is_refused = refused.status >= 400 && effects.is_empty();
        assert!(is_refused, "an unauthenticated request got {refused:?} and caused {effects:?}");
    });
}

/// The rules of every answer.
fn answered(reply: &Reply) {
    assert!(DOCUMENTED.contains(&reply.status), "{reply:?}");
    assert!(reply.header("x-request-id").is_some(), "{reply:?}");
    if reply.status == 204 {
        return assert!(reply.body.is_empty(), "{reply:?}");
    }
    let body: Value = serde_json::from_str(&reply.body).unwrap_or_else(|error| panic!("{error}: {reply:?}"));
    if reply.status >= 400 {
        assert_eq!(body["status"], reply.status, "{reply:?}");
        assert!(body["code"].is_u64(), "{reply:?}");
        assert!(body["message"].is_string() && body["more_info"].is_string(), "{reply:?}");
        assert_eq!(body.as_object().map(serde_json::Map::len), Some(4), "{reply:?}");
        return;
    }
    let Some(meta) = body.get("meta").filter(|meta| meta.is_object()) else { return };
    let (page, size) = (meta["page"].as_u64(), meta["page_size"].as_u64());
    assert!(page.is_some() && size.is_some_and(|size| (1..=1_000).contains(&size)), "{reply:?}");
    let listed = meta["key"].as_str().and_then(|key| body[key].as_array());
    assert!(listed.is_some_and(|listed| listed.len() as u64 <= size.unwrap_or(0)), "{reply:?}");
}

/// At most two calls for one request, and only fetches for one that was refused unread.
fn about(reply: &Reply, asked: &[V2Call]) {
    assert!(asked.len() <= 2, "{asked:?}");
    if reply.status == 400 || reply.status == 405 || reply.status >= 413 {
        assert!(asked.iter().all(|asked| matches!(asked, V2Call::Fetch(_))), "{reply:?} after {asked:?}");
    }
    for asked in asked {
        let number = match asked {
            V2Call::Begin(begun) => {
                assert!(begun.code.as_deref().is_none_or(is_code), "{asked:?}");
                Some(begun.to.clone())
            }
            V2Call::Carry { to, code } => {
                assert!(is_code(code), "{asked:?}");
                Some(to.clone())
            }
            V2Call::Check { target, .. } | V2Call::Fetch(target) | V2Call::End(target, _) => match target {
                VerificationTarget::Number(number) => Some(number.e164()),
                VerificationTarget::Sid(_) => None,
            },
            V2Call::Attempts(query) => {
                assert!((1..=1_001).contains(&query.limit), "{asked:?}");
                None
            }
            V2Call::Attempt(_) | V2Call::Summary(_) => None,
        };
        // A number has one spelling, because the server counts by it.
        let read = number.as_ref().map(|number| PhoneNumber::parse(number, None).map(PhoneNumber::e164));
        assert_eq!(read, number.map(Ok), "{asked:?}");
    }
}

fn is_code(text: &str) -> bool {
    (4..=10).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}
