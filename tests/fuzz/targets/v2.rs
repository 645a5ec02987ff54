//! Twilio Verify's API: paths, parameters in forms, JSON and queries, paging. The server and its services are real; a
//! double records its calls about verifications and answers them.

use std::cell::RefCell;

use onceward::domain::PhoneNumber;
use onceward::verify::VerificationTarget;
use serde_json::Value;

use super::support::front_end::Reply;
use super::support::text;
use super::support::verifications::{AUTHORIZATION, Call, V2FrontEnd};

/// Statuses that a request with every scope can get while the server is healthy.
const DOCUMENTED: [u16; 14] = [200, 201, 204, 400, 403, 404, 405, 408, 409, 413, 414, 415, 422, 431];

fn with_front_end<T>(run: impl FnOnce(&mut V2FrontEnd) -> T) -> T {
    thread_local! {
        static FRONT_END: RefCell<Option<V2FrontEnd>> = const { RefCell::new(None) };
    }
    FRONT_END.with_borrow_mut(|front_end| run(front_end.get_or_insert_with(V2FrontEnd::start)))
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
        let target = format!("{method} /v2{}", path.replace('$', &it.service));
        let (reply, asked) = it.ask(&target, &format!("{AUTHORIZATION}{key}{content_type}"), body);
        // hyper refuses some heads before any route.
        if reply.header("x-request-id").is_none() {
            return assert!(asked.is_empty(), "{reply:?}");
        }
        answered(&reply);
        about(&reply, &asked);
        let (refused, effects) = it.ask(&target, &content_type, body);
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
fn about(reply: &Reply, asked: &[Call]) {
    assert!(asked.len() <= 2, "{asked:?}");
    if reply.status == 400 || reply.status == 405 || reply.status >= 413 {
        assert!(asked.iter().all(|asked| matches!(asked, Call::Fetch(_))), "{reply:?} after {asked:?}");
    }
    for asked in asked {
        let number = match asked {
            Call::Begin { to, code, .. } => {
                let is_code = |code: &String| {
                    (4..=10).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_digit())
                };
                assert!(code.as_ref().is_none_or(is_code), "{asked:?}");
                Some(*to)
            }
            Call::Check(target) | Call::Fetch(target) | Call::End(target) => match target {
                VerificationTarget::Number(number) => Some(*number),
                VerificationTarget::Sid(_) => None,
            },
            Call::Attempts { limit } => {
                assert!((1..=1_001).contains(limit), "{asked:?}");
                None
            }
        };
        // A number has one spelling, because the server counts by it.
        let read = number.map(|number| PhoneNumber::parse(&number.e164(), None));
        assert_eq!(read, number.map(Ok), "{asked:?}");
    }
}
