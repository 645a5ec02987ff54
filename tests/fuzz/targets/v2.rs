//! Twilio Verify's API: paths, parameters in forms, JSON and queries, paging. The server is the real one on loopback.

use onceward_testkit::{Reply, basic, root};
use serde_json::Value;

use super::support::with_front_end;

/// Statuses that a request with every scope can get while the server is healthy.
const DOCUMENTED: [u16; 15] = [200, 201, 204, 400, 403, 404, 405, 408, 409, 413, 414, 415, 422, 429, 431];

/// Method and path in the first line, the idempotency key in the second, the body in the rest. In the path, `$` stands
/// for the service.
pub fn v2(input: &[u8]) {
    let Ok(input) = std::str::from_utf8(input) else { return };
    let (first, rest) = input.split_once('\n').unwrap_or((input, ""));
    let (key, body) = rest.split_once('\n').unwrap_or(("", rest));
    let Some((method, path)) = first.split_once(' ') else { return };
    let plain = path.starts_with('/') && path.bytes().all(|b| b.is_ascii_graphic());
    // The simulator has faults for some numbers.
    let has_faults = [path, body].iter().any(|part| part.contains("5005550"));
    if !plain || has_faults || !["GET", "POST", "DELETE", "PUT"].contains(&method) || path.len() > 4_000 {
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
        let length = body.len();
        let rest = format!("{key}{content_type}content-length: {length}\r\n\r\n{body}");
        let mut ask = |credentials: &str| {
            let request = format!("{target} HTTP/1.1\r\nhost: localhost\r\n{credentials}{rest}");
            it.ask(request.as_bytes(), false)
        };
        let (reply, has_sent) = ask(&basic(&root()));
        // hyper refuses some heads before any route.
        if reply.header("x-request-id").is_none() {
            return assert!(!has_sent, "{reply:?}");
        }
        answered(&reply);
        assert!(!has_sent || reply.status == 201, "{reply:?} after a message");
        let (refused, has_sent) = ask("");
        assert!(refused.status >= 400 && !has_sent, "an unauthenticated request got {refused:?}");
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
