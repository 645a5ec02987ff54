//! Requests for the same message at the same time, with a gateway that takes 300 ms of paused time.

use std::time::Duration;

use onceward::domain::GatewayName;
use onceward_testkit::{Memory, ProviderDouble, Reply, Setup, accepted, basic, given, json, post, root, sid};
use serde_json::json;
use tokio::time::sleep;

struct Taps {
    server: Memory,
    provider: ProviderDouble,
    /// Of a service of `/v2`.
    path: String,
}

impl Taps {
    async fn new() -> Self {
        let provider = ProviderDouble::default();
        provider.answers(GatewayName::Http, (0..100).map(|n| accepted(&format!("SM{n}")).after_ms(300)));
        let server = Memory::with(Setup::through(&provider)).await;
        let registry = &server.app().running().expect("loaded").registry;
        let settings = given(json!({ "friendly-name": "Owl Bank", "custom-code": true }));
        let service = registry.create_service(settings).await.expect("a service");
        Self { server, provider, path: format!("/v2/Services/{}", service.sid) }
    }

    /// A request below the service.
    fn below(&self, path: &str, headers: &str, form: &str) -> String {
        let head = format!("POST {}{path} HTTP/1.1\r\nhost: codes.example\r\n", self.path);
        format!("{head}{}{headers}content-length: {}\r\n\r\n{form}", basic(&root()), form.len())
    }

    /// Sends the requests at once. Returns their answers, and the number of messages that left meanwhile.
    async fn tap(&self, requests: &[String]) -> (Vec<Reply>, usize) {
        let before = self.provider.handed().len();
        let asked = requests.iter().map(|request| {
            let (mut client, request) = (self.server.client(), request.clone());
            tokio::spawn(async move { client.ask(request).await })
        });
        let mut replies = Vec::new();
        for reply in asked.collect::<Vec<_>>() {
            replies.push(reply.await.expect("an answer"));
        }
        (replies, self.provider.handed().len() - before)
    }
}

#[tokio::test(start_paused = true)]
async fn four_requests_at_once_are_one_message_with_one_answer() {
    let taps = Taps::new().await;
    let of = |digit| format!(r#"{{"phoneNumber":"+1415555267{digit}"}}"#);
    let begin = taps.below("/Verifications", "", "To=%2B14155552671&Channel=sms");
    let carry = taps.below("/Messages", "", "To=%2B14155552672&Code=123456");
    for (request, status, further) in [
        (begin, 201, 1),
        (post("/api/send-otp", &of(3)), 200, 1),
        (post("/send-code", &of(4)), 200, 1),
        // The code of another system is sent once.
        (carry, 201, 0),
    ] {
        let (replies, messages) = taps.tap(&vec![request.clone(); 4]).await;
        assert_eq!(messages, 1, "{request}");
        for reply in &replies {
            assert_eq!((reply.status, &reply.body), (status, &replies[0].body), "{request}");
        }
        // After the answer a request is another one.
        let (replies, messages) = taps.tap(&[request]).await;
        assert_eq!((replies[0].status, messages), (status, further));
    }
}

#[tokio::test(start_paused = true)]
async fn requests_for_different_messages_are_not_joined() {
    let taps = Taps::new().await;
    let begin =
        |form: &str| taps.below("/Verifications", "", &format!("To=%2B14155552671&Channel=sms{form}"));
    let asked = ["", "&Locale=de", "&CustomFriendlyName=Owl", "&AppHash=FA%2B9qCX9VSu", "&RiskCheck=disable"];
    let (replies, messages) = taps.tap(&asked.map(begin)).await;
    assert!(replies.iter().all(|reply| sid(&json(reply)) == sid(&json(&replies[0]))));
    assert_eq!(messages, 5);
    let codes = ["To=%2B14155552672&Code=123456", "To=%2B14155552672&Code=123457"];
    assert_eq!(taps.tap(&codes.map(|form| taps.below("/Messages", "", form))).await.1, 2);
}

#[tokio::test(start_paused = true)]
async fn a_message_is_sent_and_told_although_its_first_client_hangs_up() {
    let taps = Taps::new().await;
    let begin = taps.below("/Verifications", "", "To=%2B14155552671&Channel=sms");
    let mut first = taps.server.client();
    first.send(&begin).await;
    sleep(Duration::from_millis(1)).await;
    drop(first);
    let (replies, messages) = taps.tap(&[begin]).await;
    assert_eq!((replies[0].status, messages), (201, 0));
}

#[tokio::test(start_paused = true)]
async fn each_idempotency_key_remembers_the_message_that_it_waited_for() {
    let taps = Taps::new().await;
    let begin = |key: &str| {
        taps.below("/Verifications", &format!("idempotency-key: {key}\r\n"), "To=%2B14155552671&Channel=sms")
    };
    let keys = ["one", "two", "three"];
    // A new key gets a new message, also beside the repetition of an earlier one.
    for (keys, expected) in [(keys, 1), (keys, 0), (["one", "four", "four"], 1)] {
        let (replies, messages) = taps.tap(&keys.map(begin)).await;
        assert_eq!(messages, expected);
        assert!(replies.iter().all(|reply| reply.status == 201));
        assert!(replies[1..].iter().all(|reply| reply.body == replies[1].body));
    }
}

#[tokio::test(start_paused = true)]
async fn at_most_64_requests_wait_for_the_message_of_their_number() {
    let taps = Taps::new().await;
    let request = post("/api/send-otp", r#"{"phoneNumber":"+14155552671"}"#);
    let (replies, messages) = taps.tap(&vec![request; 80]).await;
    assert_eq!((messages, replies.iter().filter(|reply| reply.status == 429).count()), (1, 16));
}
