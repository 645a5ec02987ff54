//! Callbacks of Twilio: passed on unchanged, and answered.

use std::sync::{Arc, Mutex};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use onceward::http::{CallbackAnswer, CallbackKind, CallbackRequest, Callbacks};
use onceward_testkit::{Script, Setup, World, post};

const PATHS: [(&str, CallbackKind); 3] = [
    ("/callbacks/twilio/message", CallbackKind::Message),
    ("/callbacks/twilio/call", CallbackKind::Call),
    ("/callbacks/twilio/gate", CallbackKind::Gate),
];

const FORM: &str = "MessageSid=SM0123&MessageStatus=delivered&To=%2B14155552671";

#[tokio::test]
async fn the_paths_exist_with_a_receiver_alone_are_named_and_take_post() {
    let without = World::scripted(Script::panics()).await;
    assert_eq!(without.post(PATHS[0].0, FORM).await.status, 404);
    assert!(!without.get("/").await.body.contains("/callbacks/"));
    let world = Receiver::answering(CallbackAnswer::NoContent).world().await;
    let index = world.get("/").await.body;
    for (path, _) in PATHS {
        assert!(index.contains(&format!("POST {path}")), "{index}");
        let reply = world.get(path).await;
        assert_eq!((reply.status, reply.header("allow")), (405, Some("POST")), "{path}");
    }
    assert_eq!(world.post("/callbacks/twilio/other", FORM).await.status, 404);
}

#[tokio::test]
async fn a_report_arrives_as_it_was_sent() {
    let receiver = Receiver::answering(CallbackAnswer::NoContent);
    let world = receiver.world().await;
    for (path, kind) in PATHS {
        let signed = signed(&format!("{path}?attempt=1&x=a%20b"), FORM);
        let mut client = world.client().await;
        client.send(signed).await;
        let reply = client.reply_without_body().await;
        assert_eq!((reply.status, reply.header("content-type")), (204, None));
        let taken = receiver.taken.lock().expect("not poisoned").pop().expect("a report");
        assert_eq!(taken.kind, Some(kind));
        assert_eq!(taken.path_and_query, format!("{path}?attempt=1&x=a%20b"));
        assert_eq!(taken.signature.as_deref(), Some("0/KCTR6DLpKmkAf8muzZqo1nDgQ="));
        assert_eq!(taken.body, FORM);
    }
}

#[tokio::test]
async fn a_proxy_may_keep_the_public_path_in_front_of_callbacks_only() {
    let receiver = Receiver { path_prefix: "/otp", ..Receiver::answering(CallbackAnswer::NoContent) };
    let world = receiver.world().await;
    for (path, kind) in PATHS {
        for path in [path.to_owned(), format!("/otp{path}?attempt=1")] {
            let mut client = world.client().await;
            client.send(signed(&path, FORM)).await;
            assert_eq!(client.reply_without_body().await.status, 204, "{path}");
            let taken = receiver.taken.lock().expect("not poisoned").pop().expect("a report");
            assert_eq!((taken.kind, taken.path_and_query), (Some(kind), path));
        }
    }
    for path in ["/otp/healthz", "/otp/api/send-otp", "/otp", "/other/callbacks/twilio/message"] {
        assert_eq!(world.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn headers_that_are_absent_doubled_or_unreadable_are_none() {
    let receiver = Receiver::answering(CallbackAnswer::BadSignature);
    let world = receiver.world().await;
    for headers in
        ["", "x-twilio-signature: a\r\nx-twilio-signature: b\r\n", "x-twilio-signature: \u{e9}\r\n"]
    {
        let request = format!(
            "POST /callbacks/twilio/message HTTP/1.1\r\nhost: test\r\n{headers}content-length: 0\r\n\r\n"
        );
        assert_eq!(world.ask(request).await.status, 403, "{headers:?}");
        let taken = receiver.taken.lock().expect("not poisoned").pop().expect("a report");
        assert_eq!(taken.signature, None, "{headers:?}");
    }
}

#[tokio::test]
async fn what_the_call_says_next_is_an_xml_document() {
    let document = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response><Say>ü</Say></Response>";
    let world = Receiver::answering(CallbackAnswer::Twiml(document.to_owned())).world().await;
    let reply = world.ask(signed("/callbacks/twilio/gate", FORM)).await;
    reply.is(200, document);
    assert_eq!(reply.header("content-type"), Some("text/xml; charset=utf-8"));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn what_cannot_be_taken_is_an_envelope() {
    for (answer, status, body, retry) in [
        (
            CallbackAnswer::BadSignature,
            403,
            r#"{"code":403,"message":"The signature or the key does not match. Is public-url what the provider was told?"}"#,
            None,
        ),
        (CallbackAnswer::Unreadable, 400, r#"{"code":400,"message":"Invalid request body"}"#, None),
        (
            CallbackAnswer::Unavailable,
            503,
            r#"{"code":503,"message":"The report could not be taken. Try again shortly."}"#,
            Some("1"),
        ),
    ] {
        let reply =
            Receiver::answering(answer).world().await.ask(signed("/callbacks/twilio/call", FORM)).await;
        reply.is(status, body);
        assert_eq!(reply.header("retry-after"), retry);
    }
}

/// Accepts every report with one answer; panics without one.
#[derive(Clone, Default)]
pub struct Receiver {
    answer: Option<CallbackAnswer>,
    taken: Arc<Mutex<Vec<CallbackRequest>>>,
    path_prefix: &'static str,
}

impl Receiver {
    pub fn answering(answer: CallbackAnswer) -> Self {
        Self { answer: Some(answer), taken: Arc::default(), path_prefix: "" }
    }

    async fn world(&self) -> World {
        let mut setup = Setup::scripted(Script::panics());
        setup.callbacks = Some(Arc::new(self.clone()));
        World::with(setup).await
    }
}

impl Callbacks for Receiver {
    fn receive(&self, request: CallbackRequest) -> BoxFuture<'_, CallbackAnswer> {
        async move {
            let answer = self.answer.clone().expect("an answer");
            self.taken.lock().expect("not poisoned").push(request);
            answer
        }
        .boxed()
    }

    fn path_prefix(&self) -> &str {
        self.path_prefix
    }
}

/// The request with Twilio's signature header.
fn signed(path: &str, form: &str) -> String {
    post(path, form).replace(
        "\r\n\r\n",
        "\r\ncontent-type: application/x-www-form-urlencoded\r\n\
         x-twilio-signature: 0/KCTR6DLpKmkAf8muzZqo1nDgQ=\r\n\r\n",
    )
}
