//! The front end: requests to every route, and any bytes on a connection. The server is the real one on loopback.

use onceward::domain::PhoneNumber;
use onceward_testkit::Reply;
use serde_json::Value;

use super::support::with_front_end;

/// Statuses that a request can get from a healthy server.
const DOCUMENTED: [u16; 12] = [200, 204, 303, 400, 401, 403, 404, 405, 408, 413, 414, 431];

/// What has a target of its own, or other answers.
const OTHERS: [&str; 6] = ["/v1/", "/v2/", "/v3/", "/verify", "/hooks", "/admin"];

type Headers<'a> = Vec<(&'a str, &'a str)>;

/// Method and path, header lines up to an empty line, and the body.
pub fn requests(input: &[u8]) {
    let at = input.windows(2).position(|two| two == b"\n\n").unwrap_or(input.len());
    let (head, body) = input.split_at(at);
    let body = body.get(2..).unwrap_or_default();
    let Some((method, path, headers)) = std::str::from_utf8(head).ok().and_then(read_head) else { return };
    let mut request = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n");
    for (name, value) in &headers {
        request.extend([name, ": ", value, "\r\n"]);
    }
    request.extend(["content-length: ", &body.len().to_string(), "\r\n\r\n"]);
    // The simulator has faults for some numbers.
    if body.windows(7).any(|digits| digits == b"5005550") {
        return;
    }
    let request = [request.as_bytes(), body].concat();
    let (reply, has_sent) = with_front_end(|it| it.ask(&request, method == "HEAD"));
    // hyper refuses some heads before any route.
    if is_of_hyper(&reply) || OTHERS.iter().any(|other| path.starts_with(other)) {
        return assert!(!has_sent && reply.status < 500, "{reply:?}");
    }
    answered(&reply, method);
    // A fragment is not part of the requested address (RFC 9110, 7.1): it is removed.
    let endpoint = path.split(['?', '#']).next().unwrap_or_default();
    let foreign = headers
        .iter()
        .any(|(name, value)| name.eq_ignore_ascii_case("sec-fetch-site") && value.trim() == "cross-site");
    if method != "POST" || foreign || body.len() > 16 * 1024 {
        assert!(!has_sent && (reply.status != 200 || !foreign || method != "POST"), "{reply:?}");
        assert!(method != "OPTIONS" || reply.status >= 400, "a preflight was answered with {}", reply.status);
        return;
    }
    posted(endpoint, body, &reply, has_sent);
}

fn read_head(head: &str) -> Option<(&str, &str, Headers<'_>)> {
    let (first, rest) = head.split_once('\n').unwrap_or((head, ""));
    let (method, path) = first.split_once(' ')?;
    let good = !method.is_empty() && method.bytes().all(|b| b.is_ascii_uppercase()) && method != "CONNECT";
    let plain = path.starts_with('/') && path.bytes().all(|b| b.is_ascii_graphic());
    let framing = ["content-length", "transfer-encoding", "connection", "upgrade", "expect", "host"];
    let headers = rest.lines().filter_map(|line| line.split_once(": ")).filter(|(name, value)| {
        let token = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        token
            && !value.chars().any(char::is_control)
            && !framing.contains(&name.to_ascii_lowercase().as_str())
    });
    (good && plain).then(|| (method, path, headers.collect()))
}

/// Whether hyper refused an unreadable head: without a body and without an id.
fn is_of_hyper(reply: &Reply) -> bool {
    matches!(reply.status, 400 | 431) && reply.body.is_empty() && reply.header("x-request-id").is_none()
}

/// The rules of every answer.
fn answered(reply: &Reply, method: &str) {
    assert!(DOCUMENTED.contains(&reply.status), "{reply:?}");
    assert!(reply.header("x-request-id").is_some() && reply.header("cache-control").is_some(), "{reply:?}");
    assert!(!reply.headers.iter().any(|(name, _)| name.starts_with("access-control-")), "{reply:?}");
    if reply.status == 405 {
        assert!(reply.header("allow").is_some());
    }
    if reply.header("content-type") == Some("application/json") && method != "HEAD" {
        let body: Value =
            serde_json::from_str(&reply.body).unwrap_or_else(|error| panic!("{error}: {reply:?}"));
        let is_envelope =
            body["message"].is_string() && body["code"].as_u64().is_none_or(|c| c == u64::from(reply.status));
        assert!(is_envelope || reply.status == 200, "{reply:?}");
    }
}

/// The front end sends or checks exactly if an independent JSON reader finds the contract's fields.
fn posted(endpoint: &str, body: &[u8], reply: &Reply, has_sent: bool) {
    let (number, code) = match endpoint {
        "/api/send-otp" | "/send-code" => ("/phoneNumber", None),
        "/api/verify-otp" => ("/user/phoneNumber", Some("/code")),
        "/verify-code" => ("/phoneNumber", Some("/smsCode")),
        _ => return assert!(!has_sent, "{endpoint} sent a message"),
    };
    let shape = if endpoint.starts_with("/api/") { r#"{"code":"# } else { r#"{"message":"# };
    assert!(reply.body.starts_with(shape), "{reply:?}");
    let json: Option<Value> = serde_json::from_slice(body).ok().filter(Value::is_object);
    let text = |pointer: &str| json.as_ref().and_then(|json| json.pointer(pointer)?.as_str());
    if reply.body.contains("Invalid request body") {
        assert!(reply.status == 400 && !has_sent, "{reply:?}");
        let unwanted = ["channel", "locale", "appHash"].iter().any(|name| body_has(body, name));
        let complete = text(number).is_some_and(|n| PhoneNumber::parse(n, None).is_ok())
            && code.is_none_or(|code| text(code).is_some_and(|code| !code.is_empty()));
        assert!(!complete || unwanted || has_doubles(body), "a good request was refused: {reply:?}");
        return;
    }
    let json = json.as_ref().expect("what was carried out was JSON");
    assert_eq!(has_sent, code.is_none() && reply.status == 200, "{json}: {reply:?}");
    // The front end also reads a field under its other spellings; then the plain one is absent.
    let Some(number) = text(number) else { return assert!(body_has(body, "phoneNumber"), "{json}") };
    let answer: Value = serde_json::from_str(&reply.body).expect("JSON");
    let told = answer["data"].as_str().or(answer["data"]["user"]["phoneNumber"].as_str());
    let read = |number: &str| PhoneNumber::parse(number, None).map(PhoneNumber::e164);
    assert!(read(number).is_ok() && told.is_none_or(|told| read(told) == read(number)), "{json}: {reply:?}");
}

fn body_has(body: &[u8], name: &str) -> bool {
    let body = String::from_utf8_lossy(body).to_ascii_lowercase();
    // An escape may spell any letter.
    body.contains(&name.to_ascii_lowercase()) || body.contains("\\u")
}

/// Whether a name may occur twice: such a body is ambiguous, and refused.
fn has_doubles(body: &[u8]) -> bool {
    let body = String::from_utf8_lossy(body).to_ascii_lowercase();
    body.contains("\\u")
        || ["phonenumber\"", "code\"", "user\""].iter().any(|name| body.matches(name).count() > 1)
}

/// Any bytes as a client's complete input.
pub fn connections(input: &[u8]) {
    // The length of an answer to HEAD is not that of its body.
    let has_head = input.windows(5).any(|five| five == b"HEAD ");
    let replies = with_front_end(|it| it.say(input, !has_head));
    // A head that breaks off gets no answer.
    for reply in replies.unwrap_or_default() {
        assert!(reply.status < 500 && reply.status >= 100, "{reply:?}");
        if reply.status >= 400 && !is_of_hyper(&reply) {
            let body: Value =
                serde_json::from_str(&reply.body).unwrap_or_else(|error| panic!("{error}: {reply:?}"));
            assert!(body["message"].is_string() && reply.header("x-request-id").is_some(), "{reply:?}");
        }
    }
}
