//! The front end: requests to every route, and any bytes on a connection. The server is the real one on loopback.

use std::cell::RefCell;
use std::time::Duration;

use onceward::domain::PhoneNumber;
use onceward_gateway::double::twilio_signature;
use onceward_testkit::{Client, Reply, Setup, V2World, basic, given, root};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// Longer than all time limits of the server.
const HANG: Duration = Duration::from_secs(60);

/// Twilio's, which signs reports.
const TOKEN: &str = "fuzz-token";
const PUBLIC_URL: &str = "https://otp.example.com/base";

/// Statuses that a request can get from a healthy server.
const DOCUMENTED: [u16; 12] = [200, 204, 303, 400, 401, 403, 404, 405, 408, 413, 414, 431];

/// The same below `/v2`, with every scope.
const OF_V2: [u16; 15] = [200, 201, 204, 400, 403, 404, 405, 408, 409, 413, 414, 415, 422, 429, 431];

/// What has other answers.
const OTHERS: [&str; 5] = ["/v1/", "/v3/", "/verify", "/hooks", "/admin"];

type Headers<'a> = Vec<(&'a str, &'a str)>;

/// Method and path, header lines up to an empty line, and the body. Below `/v2`, `$` stands for the service in the path. A
/// header's value `signed` is replaced by Twilio's signature.
pub fn requests(input: &[u8]) {
    let at = input.windows(2).position(|two| two == b"\n\n").unwrap_or(input.len());
    let (head, body) = input.split_at(at);
    let body = body.get(2..).unwrap_or_default();
    let Some((method, path, headers)) = std::str::from_utf8(head).ok().and_then(read_head) else { return };
    // The simulator has faults for some numbers.
    if input.windows(7).any(|digits| digits == b"5005550") {
        return;
    }
    if path.starts_with("/v2/") {
        return of_v2(method, path, &headers, body);
    }
    let signature = twilio_signature(TOKEN, &format!("{PUBLIC_URL}{path}"), &String::from_utf8_lossy(body));
    let is_signed = headers.iter().any(|(_, value)| *value == "signed");
    let headers: Headers<'_> = headers
        .into_iter()
        .map(|(name, value)| (name, if value == "signed" { &*signature } else { value }))
        .collect();
    let request = written(&format!("{method} {path}"), "", &headers, body);
    let (reply, has_sent) = with_front_end(|it| it.ask(&request, method == "HEAD"));
    let is_report = method == "POST" && path.starts_with("/callbacks/");
    assert!(!is_report || is_signed || reply.status >= 400, "a report without a signature got {reply:?}");
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

/// A request with the account's credentials, and the same without.
fn of_v2(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) {
    // Later inputs need the service.
    let ends_the_service = method == "DELETE" && path.trim_end_matches('/').ends_with('$');
    if ends_the_service || !["GET", "POST", "DELETE", "PUT"].contains(&method) {
        return;
    }
    with_front_end(|it| {
        let target = format!("{method} {}", path.replace('$', &it.world.service.sid.to_string()));
        let mut ask = |credentials: &str| it.ask(&written(&target, credentials, headers, body), false);
        let (reply, has_sent) = ask(&basic(&root()));
        if is_of_hyper(&reply) {
            return assert!(!has_sent, "{reply:?}");
        }
        assert!(OF_V2.contains(&reply.status) && reply.header("x-request-id").is_some(), "{reply:?}");
        assert!(!has_sent || reply.status == 201, "{reply:?} after a message");
        is_of_twilios_form(&reply);
        let (refused, has_sent) = ask("");
        assert!(refused.status >= 400 && !has_sent, "an unauthenticated request got {refused:?}");
    });
}

fn is_of_twilios_form(reply: &Reply) {
    if reply.status == 204 {
        return assert!(reply.body.is_empty(), "{reply:?}");
    }
    let body: Value = serde_json::from_str(&reply.body).unwrap_or_else(|error| panic!("{error}: {reply:?}"));
    if reply.status < 400 {
        return;
    }
    assert!(body["status"] == reply.status && body["code"].is_u64(), "{reply:?}");
    assert!(body["message"].is_string() && body["more_info"].is_string(), "{reply:?}");
    assert_eq!(body.as_object().map(serde_json::Map::len), Some(4), "{reply:?}");
}

fn written(target: &str, credentials: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut request = format!("{target} HTTP/1.1\r\nhost: localhost\r\n{credentials}");
    for (name, value) in headers {
        request.extend([name, ": ", value, "\r\n"]);
    }
    request.extend(["content-length: ", &body.len().to_string(), "\r\n\r\n"]);
    [request.as_bytes(), body].concat()
}

fn read_head(head: &str) -> Option<(&str, &str, Headers<'_>)> {
    let (first, rest) = head.split_once('\n').unwrap_or((head, ""));
    let (method, path) = first.split_once(' ')?;
    let good = !method.is_empty() && method.bytes().all(|b| b.is_ascii_uppercase()) && method != "CONNECT";
    let plain = path.starts_with('/') && path.bytes().all(|b| b.is_ascii_graphic());
    let ours =
        ["content-length", "transfer-encoding", "connection", "upgrade", "expect", "host", "authorization"];
    let headers = rest.lines().filter_map(|line| line.split_once(": ")).filter(|(name, value)| {
        let token = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        token && !value.chars().any(char::is_control) && !ours.contains(&name.to_ascii_lowercase().as_str())
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

/// A world whose server runs while it is asked. Twilio, whose reports it takes, sends only to St Helena.
struct FrontEnd {
    runtime: Runtime,
    world: V2World,
    kept: Option<Client>,
}

fn with_front_end<T>(run: impl FnOnce(&mut FrontEnd) -> T) -> T {
    thread_local! {
        static FRONT_END: RefCell<Option<FrontEnd>> = const { RefCell::new(None) };
    }
    FRONT_END.with_borrow_mut(|front_end| run(front_end.get_or_insert_with(FrontEnd::start)))
}

impl FrontEnd {
    fn start() -> Self {
        let mut setup = Setup::of(json!({
            "otp-sms-provider": "Twilio:+290;Simulator",
            "TWILIO_ACCOUNT_SID": "AC0123456789abcdef0123456789abcdef",
            "TWILIO_AUTH_TOKEN": TOKEN,
            "TWILIO_PHONE_NUMBER": "+15005550006",
            "TWILIO_BASE_URL": "http://127.0.0.1:9",
            "public-url": PUBLIC_URL,
            "voice": true,
        }));
        setup.has_inbox = true;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let world = runtime.block_on(async {
            let world = V2World::with(setup).await;
            let fields = given(json!({ "custom-code": true }));
            world.registry.update_service(world.service.sid, fields).await.expect("changed");
            world
        });
        Self { runtime, world, kept: None }
    }

    fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(async { tokio::time::timeout(HANG, future).await.expect("no hang") })
    }

    /// Sends one request. Returns the answer, and whether a message was sent.
    fn ask(&mut self, request: &[u8], is_head: bool) -> (Reply, bool) {
        let newest = |world: &V2World| world.world.newest().map(|message| message.id);
        let (before, kept) = (newest(&self.world), self.kept.take());
        let (reply, kept) = self.block_on(async {
            let mut client = match kept {
                Some(client) => client,
                None => self.world.world.client().await,
            };
            // The server may answer and close before it has read everything.
            client.try_send(request).await;
            let mut reply = client.reply_without_body().await;
            let length = if is_head { Some(0) } else { reply.length() };
            reply.body = client.body(length.unwrap_or(0)).await;
            let is_kept = length.is_some() && reply.header("connection") != Some("close");
            (reply, is_kept.then_some(client))
        });
        self.kept = kept;
        (reply, newest(&self.world) != before)
    }

    /// Sends all bytes on a separate connection, and returns what comes back. `None` if that cannot be read as replies.
    fn say(&self, bytes: &[u8], is_readable: bool) -> Option<Vec<Reply>> {
        self.block_on(async {
            let mut client = self.world.world.client().await;
            client.try_send(bytes).await;
            client.half_close().await;
            if is_readable {
                return Some(client.replies().await);
            }
            client.rest().await;
            None
        })
    }
}
