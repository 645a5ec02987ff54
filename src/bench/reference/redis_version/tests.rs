use std::net::SocketAddr;

use redis::aio::MultiplexedConnection;
use redis::{Client, cmd};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::cache::{code, lock, trials};
use crate::bench::reference::redis_server::{Durability, RedisServer, RedisServerError};
use crate::gateway::double::{Double, Reply};

const NUMBER: &str = "+14155552671";
const WRONG: (u16, &str) = (401, "Incorrect OTP/ OTP Expired");
const LOCKED: (u16, &str) = (403, "User locked out due to exceeding maximum attempts.");

#[tokio::test]
async fn a_code_that_was_sent_is_verified_once() {
    let Some(mut world) = World::start(Durability::AsItComes).await else { return };
    world.send().await.is(200, "OTP send successfully.", &json!({"user": user(), "trials": 5}));
    let code = world.code_received().await;
    world.verify(&code).await.is(200, "OTP verified successfully.", &json!(NUMBER));
    world.verify(&code).await.is(WRONG.0, WRONG.1, &json!({"user": user(), "trials": 5}));
}

#[tokio::test]
async fn wrong_codes_count_and_the_last_one_locks_both_routes() {
    let Some(mut world) = World::start(Durability::AsItComes).await else { return };
    world.send().await;
    let right = world.code_received().await;
    for left in [4, 3] {
        world.verify("wrong").await.is(WRONG.0, WRONG.1, &json!({"user": user(), "trials": left}));
    }
    world.send().await.is(200, "OTP send successfully.", &json!({"user": user(), "trials": 3}));
    for left in [2, 1] {
        world.verify("wrong").await.is(WRONG.0, WRONG.1, &json!({"user": user(), "trials": left}));
    }
    let locked = json!({"user": user(), "ttl": 30, "lockout_duration": 30});
    world.verify("wrong").await.is(LOCKED.0, LOCKED.1, &locked);
    world.verify(&right).await.is(LOCKED.0, LOCKED.1, &locked);
    world.send().await.is(LOCKED.0, LOCKED.1, &locked);
}

#[tokio::test]
async fn when_a_lock_ends_the_count_starts_afresh() {
    let Some(mut world) = World::start(Durability::AsItComes).await else { return };
    world.send().await;
    for _ in 0..5 {
        world.verify("wrong").await;
    }
    let seconds: i64 = world.redis("TTL", &lock(NUMBER)).await;
    assert!((1..=30 * 60).contains(&seconds), "a lock ends by itself: {seconds} s");
    assert!(world.ends(&lock(NUMBER)).await);
    world.verify("wrong").await.is(WRONG.0, WRONG.1, &json!({"user": user(), "trials": 5}));
    world.send().await.is(200, "OTP send successfully.", &json!({"user": user(), "trials": 5}));
}

#[tokio::test]
async fn a_code_that_has_ended_counts_as_a_wrong_one() {
    let Some(mut world) = World::start(Durability::AsItComes).await else { return };
    world.send().await;
    let right = world.code_received().await;
    let seconds: i64 = world.redis("TTL", &code(NUMBER)).await;
    assert!((1..=30).contains(&seconds), "a code ends by itself: {seconds} s");
    assert!(world.ends(&code(NUMBER)).await);
    world.verify(&right).await.is(WRONG.0, WRONG.1, &json!({"user": user(), "trials": 4}));
}

#[tokio::test]
async fn a_number_that_never_asked_leaves_nothing_behind() {
    let Some(mut world) = World::start(Durability::AsItComes).await else { return };
    world.verify("123456").await.is(WRONG.0, WRONG.1, &json!({"user": user(), "trials": 5}));
    for key in [code(NUMBER), trials(NUMBER), lock(NUMBER)] {
        assert_eq!(world.redis::<i64>("EXISTS", &key).await, 0, "{key}");
    }
}

#[tokio::test]
async fn bad_bodies_and_refused_messages_get_the_contracts_answers() {
    let Some(world) = World::start_with(Durability::AsItComes, [Reply::json(500, "{}")]).await else {
        return;
    };
    for body in ["", "{}", r#"{"phoneNumber":1}"#, r#"{"phoneNumber":"4155552671"}"#] {
        world.post("send-otp", body.to_owned()).await.is(400, "Invalid request body", &Value::Null);
    }
    let empty = json!({"user": user(), "code": ""}).to_string();
    world.post("verify-otp", empty).await.is(400, "Invalid request body", &Value::Null);
    world.send().await.is(500, "Internal server error occurred.", &Value::Null);
}

/// The table in the module's documentation.
#[tokio::test]
async fn each_request_takes_as_many_round_trips_as_are_written_down() {
    let Some(mut world) = World::start(Durability::EveryWrite).await else { return };
    assert_eq!(world.setting("appendfsync").await, "always");
    assert_eq!(world.setting("appendonly").await, "yes");
    world.takes(3, World::verify_wrong).await;
    world.takes(4, World::send_some).await;
    world.takes(3, World::send_some).await;
    for _ in 0..4 {
        world.takes(4, World::verify_wrong).await;
    }
    world.takes(6, World::verify_wrong).await;
    world.takes(2, World::verify_wrong).await;
    world.takes(2, World::send_some).await;
    assert!(world.ends(&lock(NUMBER)).await);
    world.takes(4, World::send_some).await;
    world.takes(4, World::verify_right).await;
}

fn user() -> Value {
    json!({"phoneNumber": NUMBER})
}

/// A Redis, the server on it, and a provider that takes everything.
struct World {
    provider: Double,
    /// What the number got with the latest send.
    latest: String,
    redis: MultiplexedConnection,
    server: SocketAddr,
    http: reqwest::Client,
    _redis_server: RedisServer,
}

struct Answered {
    status: StatusCode,
    body: Value,
}

impl Answered {
    #[track_caller]
    fn is(&self, code: u16, message: &str, data: &Value) {
        assert_eq!(self.status.as_u16(), code, "{}", self.body);
        assert_eq!(self.body["code"], code);
        assert_eq!(self.body["message"], message);
        assert_eq!(&self.body["data"], data);
    }
}

impl World {
    async fn start(durability: Durability) -> Option<Self> {
        Self::start_with(durability, std::iter::repeat_n(Reply::created("SM1"), 8)).await
    }

    /// `None`, with a line that says so, on a machine without Redis.
    async fn start_with(durability: Durability, script: impl IntoIterator<Item = Reply>) -> Option<Self> {
        let redis_server = match RedisServer::start(durability, &std::env::temp_dir()).await {
            Err(missing @ RedisServerError::Missing) => {
                println!("SKIPPED: {missing}");
                return None;
            }
            started => started.expect("a server"),
        };
        let url = redis_server.url();
        let client = Client::open(url.as_str()).expect("an address");
        let redis = client.get_multiplexed_async_connection().await.expect("a connection");
        let provider = Double::playing(script).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let server = listener.local_addr().expect("an address");
        let base_url = provider.base_url();
        tokio::spawn(async move { super::serve(listener, &url, &base_url).await });
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        Some(Self { provider, latest: String::new(), redis, server, http, _redis_server: redis_server })
    }

    async fn post(&self, route: &str, body: String) -> Answered {
        let url = format!("http://{}/api/{route}", self.server);
        let response = self.http.post(url).body(body).send().await.expect("an answer");
        let status = response.status();
        let body = response.bytes().await.expect("a body");
        Answered { status, body: serde_json::from_slice(&body).expect("JSON") }
    }

    async fn send(&self) -> Answered {
        self.post("send-otp", user().to_string()).await
    }

    async fn verify(&self, code: &str) -> Answered {
        self.post("verify-otp", json!({"user": user(), "code": code}).to_string()).await
    }

    /// The code in the next message that the provider got.
    async fn code_received(&mut self) -> String {
        let form = self.provider.request().await.form();
        let text = form.into_iter().find(|(name, _)| name == "Body").expect("a text").1;
        text[text.len() - 6..].to_owned()
    }

    async fn redis<T: redis::FromRedisValue>(&mut self, command: &str, key: &str) -> T {
        cmd(command).arg(key).query_async(&mut self.redis).await.expect("an answer")
    }

    /// Redis ends a key now; whether there was one.
    async fn ends(&mut self, key: &str) -> bool {
        cmd("EXPIRE").arg(key).arg(0).query_async(&mut self.redis).await.expect("an answer")
    }

    async fn setting(&mut self, name: &str) -> String {
        let answer = cmd("CONFIG").arg("GET").arg(name).query_async(&mut self.redis).await;
        let (_, value): (String, String) = answer.expect("a setting");
        value
    }

    async fn send_some(&mut self) {
        let sent = self.send().await.status == StatusCode::OK;
        if sent {
            self.latest = self.code_received().await;
        }
    }

    async fn verify_wrong(&mut self) {
        assert_ne!(self.verify("wrong").await.status, StatusCode::OK);
    }

    async fn verify_right(&mut self) {
        assert_eq!(self.verify(&self.latest).await.status, StatusCode::OK);
    }

    /// Commands that Redis carries out during a request.
    async fn takes(&mut self, round_trips: u64, request: impl AsyncFnOnce(&mut Self)) {
        let before = self.commands().await;
        request(self).await;
        // The question before is one itself.
        assert_eq!(self.commands().await - before - 1, round_trips);
    }

    async fn commands(&mut self) -> u64 {
        let info: redis::InfoDict = self.redis("INFO", "stats").await;
        info.get("total_commands_processed").expect("a count")
    }
}
