//! The front end: requests to every route, and any bytes on a connection. The server is the real one on loopback; a
//! double of the shards records its calls and answers them.

use std::cell::RefCell;
use std::sync::Arc;

use onceward::clock::ManualClock;
use onceward::domain::{Code, CodeLength, PhoneNumber};
use onceward::gateway::{BoxFuture, CallbackError, Simulator, TwilioCallbacks};
use onceward::http::{CallbackAnswer, CallbackRequest, Callbacks};
use onceward::verification::numbers::CheckOutcome;
use onceward_testkit::{Call, Client, Reply, Script, Setup, THEN, World, sent};
use secrecy::SecretString;
use serde_json::Value;

use super::support::front_end::FrontEnd;
use super::support::text;

/// Statuses that a request can get from a healthy server.
const DOCUMENTED: [u16; 10] = [200, 204, 400, 403, 404, 405, 408, 413, 414, 431];

/// The real reader of callbacks, with a token of these tests.
struct TwilioReader(TwilioCallbacks);

impl Callbacks for TwilioReader {
    fn receive(&self, request: CallbackRequest) -> BoxFuture<'_, CallbackAnswer> {
        let signature = request.signature.as_deref();
        let report = match request.kind {
            Some(kind) => self.0.read(kind, &request.path_and_query, signature, &request.body),
            None => Err(CallbackError::NotFromProvider),
        };
        Box::pin(async move {
            match report {
                Ok(_) => CallbackAnswer::NoContent,
                Err(CallbackError::NotFromTwilio | CallbackError::NotFromProvider) => {
                    CallbackAnswer::BadSignature
                }
                Err(CallbackError::Unreadable(_)) => CallbackAnswer::Unreadable,
            }
        })
    }

    fn path_prefix(&self) -> &'static str {
        "/base"
    }
}

struct Target {
    front_end: FrontEnd<World>,
    /// Records the calls.
    script: Script,
}

impl Target {
    fn start() -> Self {
        let script = Script::sends(sent()).or_checks(CheckOutcome::Approved);
        let mut setup = Setup::scripted(script.clone());
        let token = SecretString::from("fuzz-token".to_owned());
        let callbacks = TwilioCallbacks::new(token, "https://otp.example.com/base");
        setup.callbacks = Some(Arc::new(TwilioReader(callbacks)));
        setup.inbox = Some(Arc::new(Simulator::new(Arc::new(ManualClock::starting_at(THEN)))));
        Self { front_end: FrontEnd::start(World::with(setup), |world| world.address), script }
    }
}

fn with_target<T>(run: impl FnOnce(&mut Target) -> T) -> T {
    thread_local! {
        static TARGET: RefCell<Option<Target>> = const { RefCell::new(None) };
    }
    TARGET.with_borrow_mut(|target| run(target.get_or_insert_with(Target::start)))
}

type Headers<'a> = Vec<(&'a str, &'a str)>;

/// Method and path, header lines up to an empty line, and the body.
pub fn requests(input: &[u8]) {
    let at = input.windows(2).position(|two| two == b"\n\n").unwrap_or(input.len());
    let (head, body) = input.split_at(at);
    let body = body.get(2..).unwrap_or_default();
    let Some((method, path, headers)) = text(head).and_then(read_head) else { return };
    let mut request = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n");
    for (name, value) in &headers {
        request.extend([name, ": ", value, "\r\n"]);
    }
    request.extend(["content-length: ", &body.len().to_string(), "\r\n\r\n"]);
    let (reply, asked) = with_target(|it| {
        let reply = it.front_end.ask(&[request.as_bytes(), body].concat(), method == "HEAD");
        (reply, it.script.take_asked())
    });
    // hyper refuses some heads before any route.
    if is_of_hyper(&reply) {
        return assert!(asked.is_empty(), "{reply:?}");
    }
    // The services and the hosted page have a target of their own: here they never start.
    if reply.status == 503 && (path.starts_with("/v2/") || path.starts_with("/verify")) {
        return assert!(asked.is_empty(), "{reply:?}");
    }
    answered(&reply, method);
    // A fragment is not part of the requested address (RFC 9110, 7.1): it is removed.
    let endpoint = path.split(['?', '#']).next().unwrap_or_default();
    let foreign = headers
        .iter()
        .any(|(name, value)| name.eq_ignore_ascii_case("sec-fetch-site") && value.trim() == "cross-site");
    if method != "POST" || foreign || body.len() > 16 * 1024 {
        assert!(asked.is_empty() && (reply.status != 200 || !foreign || method != "POST"), "{reply:?}");
        assert!(method != "OPTIONS" || reply.status >= 400, "a preflight was answered with {}", reply.status);
        return;
    }
    posted(endpoint, body, &reply, &asked);
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

/// The front end calls the shards exactly if an independent JSON reader finds the contract's fields.
fn posted(endpoint: &str, body: &[u8], reply: &Reply, asked: &[Call]) {
    let (number, code) = match endpoint {
        "/api/send-otp" | "/send-code" => ("/phoneNumber", None),
        "/api/verify-otp" => ("/user/phoneNumber", Some("/code")),
        "/verify-code" => ("/phoneNumber", Some("/smsCode")),
        _ => return assert!(asked.is_empty(), "{endpoint} asked {asked:?}"),
    };
    let shape = if endpoint.starts_with("/api/") { r#"{"code":"# } else { r#"{"message":"# };
    assert!(reply.body.starts_with(shape), "{reply:?}");
    assert!(asked.len() <= 1);
    let json: Option<Value> = serde_json::from_slice(body).ok().filter(Value::is_object);
    let text = |pointer: &str| json.as_ref().and_then(|json| json.pointer(pointer)?.as_str());
    let Some(asked) = asked.first() else {
        assert_eq!(reply.status, 400, "{reply:?}");
        let unwanted = ["channel", "locale", "appHash"].iter().any(|name| body_has(body, name));
        let complete = text(number).is_some_and(|n| PhoneNumber::parse(n, None).is_ok())
            && code.is_none_or(|code| text(code).is_some_and(|code| !code.is_empty()));
        assert!(!complete || unwanted || has_doubles(body), "a good request was refused: {reply:?}");
        return;
    };
    let (asked_number, is_check, submitted) = match asked {
        Call::Send { number, .. } => (number, false, None),
        Call::Check { number, code } => (number, true, code.as_ref()),
    };
    // The front end also reads a field under its other spellings; then the plain one is absent.
    let json = json.as_ref().expect("what was asked about was JSON");
    if let Some(number) = text(number) {
        let read = PhoneNumber::parse(number, None).map(PhoneNumber::e164);
        assert_eq!(read.as_deref(), Ok(asked_number.as_str()), "{json}");
    } else {
        assert!(body_has(body, "phoneNumber"), "{json}");
    }
    if let (Some(code), Some(submitted)) = (code.and_then(text), submitted) {
        let read = Code::submitted(code, CodeLength::SIX, false);
        assert_eq!(read.as_ref().map(Code::expose), Some(submitted.as_str()), "{json}");
    }
    assert_eq!(is_check, code.is_some());
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
    let replies = with_target(|it| {
        let replies = it.front_end.say(input, async |client: &mut Client| {
            if has_head {
                client.rest().await;
                return None;
            }
            Some(client.replies().await)
        });
        it.script.take_asked();
        replies
    });
    let Some(replies) = replies else { return };
    assert!(!replies.is_empty() || input.iter().all(|b| matches!(b, b'\r' | b'\n')), "no answer at all");
    for reply in replies {
        assert!(reply.status < 500 && reply.status >= 100, "{reply:?}");
        if reply.status >= 400 && !is_of_hyper(&reply) {
            let body: Value =
                serde_json::from_str(&reply.body).unwrap_or_else(|error| panic!("{error}: {reply:?}"));
            assert!(body["message"].is_string() && reply.header("x-request-id").is_some(), "{reply:?}");
        }
    }
}
