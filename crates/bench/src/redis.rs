//! The Redis version's job: what keeping codes, counts and locks in Redis costs.
//!
//! The Redis version is a Go service. Here hyper and reqwest stand in for Go's HTTP server and client, so that beside the
//! ceiling and onceward only the state differs. Like its model it decides in several steps, each a round trip without
//! pipeline or transaction (`handlers.go`, `service.go`, `repository.go` of go-redis-twilio-phone-otp), and two requests
//! for one number at the same moment can pass each other.
//!
//! | request | commands, in order | round trips |
//! |---|---|---|
//! | send, first of a number | `GET lock`, `SET code EX`, (message), `GET trials`, `SET trials` | 4 |
//! | send, again | `GET lock`, `SET code EX`, (message), `GET trials` | 3 |
//! | send or check, locked | `GET lock`, `TTL lock` | 2 |
//! | check, right | `GET lock`, `GET code`, `DEL code`, `DEL trials` | 4 |
//! | check, wrong or late | `GET lock`, `GET code`, `GET trials`, `DECR trials` | 4 |
//! | check, the last trial | `GET lock`, `GET code`, `GET trials`, `DEL code`, `DEL trials`, `SET lock EX` | 6 |
//! | check, never asked | `GET lock`, `GET code`, `GET trials` | 3 |
//!
//! All requests share one connection, the kindest to Redis of what is common: commands of the same moment go out in one
//! write.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use rand::TryRng;
use rand::rngs::SysRng;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, FromRedisValue, InfoDict, RedisResult, cmd};

use crate::error::BenchError;
use crate::reference::{Check, MAX_TRIALS, Outcome, Provider, User, listen};

/// Defaults of the configuration that both have.
const CODE_LIVES_S: u64 = 30;
const LOCKOUT_S: u64 = 30 * 60;

/// The default of the published service's client.
const REDIS_ANSWERS_WITHIN: Duration = Duration::from_secs(3);

const STARTS_WITHIN: Duration = Duration::from_secs(20);
const POLL_EVERY: Duration = Duration::from_millis(10);
const POLL_WITHIN: Duration = Duration::from_millis(250);

/// Another process may take a free port before Redis does.
const PORTS_TRIED: u32 = 5;

/// Serves until it is dropped, with a Redis of its own whose data are in the working directory.
pub async fn serve(durable: bool, provider: Provider) -> Result<(), BenchError> {
    let home = std::env::current_dir().map_err(BenchError::io("find the directory for the data of Redis"))?;
    let redis = RedisServer::start(durable, &home, free_port).await?;
    let connection = redis.connect().await;
    let connection =
        connection.map_err(|error| BenchError::Refused(format!("Redis does not answer: {error}")))?;
    let (listener, service) = (listen().await?, Arc::new(Service { connection, provider }));
    loop {
        let (stream, _) = listener.accept().await.map_err(BenchError::io("accept a connection"))?;
        let _ = stream.set_nodelay(true);
        let service = service.clone();
        tokio::spawn(async move {
            let answer = service_fn(|request| service.answer(request));
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

struct Service {
    connection: MultiplexedConnection,
    provider: Provider,
}

impl Service {
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let (head, body) = request.into_parts();
        let outcome = match (head.method, head.uri.path(), body.collect().await) {
            (Method::POST, "/api/send-otp", Ok(body)) => self.send(&body.to_bytes()).await,
            (Method::POST, "/api/verify-otp", Ok(body)) => self.verify(&body.to_bytes()).await,
            _ => Ok(Outcome::NotFound),
        };
        Ok(outcome.unwrap_or(Outcome::Failed).into_response())
    }

    async fn send(&self, body: &[u8]) -> RedisResult<Outcome> {
        let Some(User { phone_number: number }) = serde_json::from_slice(body).ok().filter(is_e164) else {
            return Ok(Outcome::BadBody);
        };
        let [lock, code_key, trials] = keys(&number);
        if let Some(locked) = self.locked(&number, &lock).await? {
            return Ok(locked);
        }
        let Some(code) = new_code() else { return Ok(Outcome::Failed) };
        self.run::<()>(cmd("SET").arg(&code_key).arg(&code).arg("EX").arg(CODE_LIVES_S)).await?;
        if !self.provider.send(&number, &code).await {
            return Ok(Outcome::Failed);
        }
        if let Some(trials) = self.run(cmd("GET").arg(&trials)).await? {
            return Ok(Outcome::Sent { number, trials });
        }
        self.run::<()>(cmd("SET").arg(&trials).arg(MAX_TRIALS)).await?;
        Ok(Outcome::Sent { number, trials: MAX_TRIALS })
    }

    async fn verify(&self, body: &[u8]) -> RedisResult<Outcome> {
        let readable = |check: &Check| is_e164(&check.user) && !check.code.is_empty();
        let Some(Check { user: User { phone_number: number }, code }) =
            serde_json::from_slice(body).ok().filter(readable)
        else {
            return Ok(Outcome::BadBody);
        };
        let [lock, code_key, trials_key] = keys(&number);
        if let Some(locked) = self.locked(&number, &lock).await? {
            return Ok(locked);
        }
        if self.run::<Option<String>>(cmd("GET").arg(&code_key)).await?.as_ref() == Some(&code) {
            self.run::<()>(cmd("DEL").arg(&code_key)).await?;
            self.run::<()>(cmd("DEL").arg(&trials_key)).await?;
            return Ok(Outcome::Verified(number));
        }
        let trials = match self.run::<Option<i64>>(cmd("GET").arg(&trials_key)).await? {
            None => return Ok(Outcome::Wrong { number, trials: MAX_TRIALS }),
            Some(trials) => trials - 1,
        };
        if trials > 0 {
            self.run::<i64>(cmd("DECR").arg(&trials_key)).await?;
            return Ok(Outcome::Wrong { number, trials });
        }
        self.run::<()>(cmd("DEL").arg(&code_key)).await?;
        self.run::<()>(cmd("DEL").arg(&trials_key)).await?;
        self.run::<()>(cmd("SET").arg(&lock).arg(1).arg("EX").arg(LOCKOUT_S)).await?;
        Ok(Outcome::Locked { number, minutes: LOCKOUT_S / 60 })
    }

    async fn locked(&self, number: &str, lock: &str) -> RedisResult<Option<Outcome>> {
        if self.run::<Option<String>>(cmd("GET").arg(lock)).await?.is_none() {
            return Ok(None);
        }
        // Negative when the key has just ended.
        let seconds: i64 = self.run(cmd("TTL").arg(lock)).await?;
        let minutes = u64::try_from(seconds).unwrap_or(0).div_ceil(60).max(1);
        Ok(Some(Outcome::Locked { number: number.to_owned(), minutes }))
    }

    async fn run<T: FromRedisValue>(&self, command: &Cmd) -> RedisResult<T> {
        command.query_async(&mut self.connection.clone()).await
    }
}

fn is_e164(user: &User) -> bool {
    let digits = user.phone_number.strip_prefix('+').unwrap_or_default();
    (7..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn keys(number: &str) -> [String; 3] {
    ["lock", "code", "trials"].map(|what| format!("{number}:{what}"))
}

fn new_code() -> Option<String> {
    Some(format!("{:06}", SysRng.try_next_u64().ok()? % 1_000_000))
}

/// A real `redis-server`, ended when dropped.
struct RedisServer {
    process: Child,
    port: u16,
}

impl RedisServer {
    async fn start(
        durable: bool,
        home: &Path,
        mut port: impl FnMut() -> io::Result<u16>,
    ) -> Result<Self, BenchError> {
        for _ in 0..PORTS_TRIED {
            let port = port().map_err(BenchError::io("find a free port"))?;
            let mut server = Self { process: spawn(durable, port, home)?, port };
            let answers = tokio::time::timeout(STARTS_WITHIN, server.answers()).await;
            match answers {
                Ok(true) => return Ok(server),
                Ok(false) => {}
                Err(_) => {
                    let seconds = STARTS_WITHIN.as_secs();
                    return Err(BenchError::Refused(format!(
                        "redis-server does not answer PING after {seconds} s"
                    )));
                }
            }
        }
        let log = std::fs::read_to_string(home.join(LOG)).unwrap_or_default();
        Err(BenchError::Refused(format!("redis-server ended at once. It said:\n{log}")))
    }

    async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(REDIS_ANSWERS_WITHIN));
        let client = Client::open(format!("redis://{}:{}", Ipv4Addr::LOCALHOST, self.port))?;
        client.get_multiplexed_async_connection_with_config(&config).await
    }

    /// Waits until it answers; `false` when it has ended.
    async fn answers(&mut self) -> bool {
        loop {
            // Another server on this port would answer too.
            let id = tokio::time::timeout(POLL_WITHIN, self.answering_process()).await;
            if matches!(id, Ok(Ok(Some(id))) if id == self.process.id()) {
                return true;
            }
            if !matches!(self.process.try_wait(), Ok(None)) {
                return false;
            }
            tokio::time::sleep(POLL_EVERY).await;
        }
    }

    async fn answering_process(&self) -> RedisResult<Option<u32>> {
        let mut connection = self.connect().await?;
        let info: InfoDict = cmd("INFO").arg("server").query_async(&mut connection).await?;
        Ok(info.get("process_id"))
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// In its directory.
const LOG: &str = "redis.log";

fn spawn(durable: bool, port: u16, home: &Path) -> Result<Child, BenchError> {
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--daemonize", "no", "--logfile", LOG]);
    command.arg("--port").arg(port.to_string()).arg("--dir").arg(home);
    if durable {
        command.args(["--appendonly", "yes", "--appendfsync", "always"]);
    }
    command.current_dir(home).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => BenchError::Refused(MISSING.to_owned()),
        _ => BenchError::io("start redis-server")(error),
    })
}

const MISSING: &str = "redis-server is missing. As root, run: apt-get install redis-server";

fn free_port() -> io::Result<u16> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr().map(|address| address.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mock::Mock;

    const NUMBER: &str = "+14155552671";

    /// A Redis, the service on it, and a provider that takes everything.
    struct World {
        mock: Mock,
        service: Service,
        _redis: RedisServer,
        _home: tempfile::TempDir,
    }

    impl World {
        /// `None` where there is no redis-server.
        async fn start(durable: bool) -> Option<Self> {
            let home = tempfile::tempdir().unwrap();
            let redis = match RedisServer::start(durable, home.path(), free_port).await {
                Err(error) if error.to_string() == MISSING => {
                    println!("SKIPPED: {MISSING}");
                    return None;
                }
                redis => redis.unwrap(),
            };
            let mock = Mock::start("127.0.0.1:0".parse().unwrap(), Duration::ZERO).await.unwrap();
            let provider = Provider::new(&mock.base_url()).unwrap();
            let service = Service { connection: redis.connect().await.unwrap(), provider };
            Some(Self { mock, service, _redis: redis, _home: home })
        }

        async fn send(&self) -> String {
            let body = format!(r#"{{"phoneNumber":"{NUMBER}"}}"#);
            format!("{:?}", self.service.send(body.as_bytes()).await.unwrap())
        }

        async fn verify(&self, code: &str) -> String {
            let body = format!(r#"{{"user":{{"phoneNumber":"{NUMBER}"}},"code":"{code}"}}"#);
            format!("{:?}", self.service.verify(body.as_bytes()).await.unwrap())
        }

        fn code(&self) -> String {
            self.mock.take_code(14_155_552_671).unwrap()
        }

        async fn redis<T: FromRedisValue>(&self, command: &str, key: &str) -> T {
            self.service.run(cmd(command).arg(key)).await.unwrap()
        }

        async fn expire(&self, key: &str) {
            assert!(self.service.run::<bool>(cmd("EXPIRE").arg(key).arg(0)).await.unwrap());
        }

        /// Commands that Redis carries out during a request.
        async fn round_trips(&self, request: impl Future<Output = String>) -> u64 {
            let count = async || {
                let info: InfoDict = self.redis("INFO", "stats").await;
                info.get::<u64>("total_commands_processed").unwrap()
            };
            let before = count().await;
            request.await;
            // The first count is one itself.
            count().await - before - 1
        }
    }

    fn sent(trials: i64) -> String {
        format!("{:?}", Outcome::Sent { number: NUMBER.to_owned(), trials })
    }

    fn wrong(trials: i64) -> String {
        format!("{:?}", Outcome::Wrong { number: NUMBER.to_owned(), trials })
    }

    fn locked() -> String {
        format!("{:?}", Outcome::Locked { number: NUMBER.to_owned(), minutes: 30 })
    }

    #[tokio::test]
    async fn a_code_is_verified_once_and_counts_as_wrong_afterwards() {
        let Some(world) = World::start(false).await else { return };
        assert_eq!(world.verify("123456").await, wrong(5));
        assert_eq!(world.redis::<i64>("EXISTS", &keys(NUMBER)[2]).await, 0);
        assert_eq!(world.send().await, sent(5));
        let code = world.code();
        assert_eq!(world.verify(&code).await, format!("{:?}", Outcome::Verified(NUMBER.to_owned())));
        assert_eq!(world.verify(&code).await, wrong(5));
    }

    #[tokio::test]
    async fn wrong_codes_lock_both_routes_until_the_lock_expires() {
        let Some(world) = World::start(false).await else { return };
        world.send().await;
        let right = world.code();
        for left in (1..5).rev() {
            assert_eq!(world.verify("wrong").await, wrong(left));
        }
        assert_eq!(world.send().await, sent(1));
        assert_eq!(
            [world.verify("wrong").await, world.verify(&right).await, world.send().await],
            [(); 3].map(|()| locked())
        );
        world.expire(&keys(NUMBER)[0]).await;
        assert_eq!(world.send().await, sent(5));
        let right = world.code();
        world.expire(&keys(NUMBER)[1]).await;
        assert_eq!(world.verify(&right).await, wrong(4), "an expired code counts as a wrong one");
    }

    #[tokio::test]
    async fn bad_bodies_are_refused() {
        let Some(world) = World::start(false).await else { return };
        for body in ["", "{}", r#"{"phoneNumber":1}"#, r#"{"phoneNumber":"4155552671"}"#] {
            assert!(matches!(world.service.send(body.as_bytes()).await, Ok(Outcome::BadBody)), "{body}");
            assert!(matches!(world.service.verify(body.as_bytes()).await, Ok(Outcome::BadBody)), "{body}");
        }
    }

    #[tokio::test]
    async fn each_request_takes_the_round_trips_of_the_table() {
        let Some(world) = World::start(true).await else { return };
        let setting: (String, String) =
            world.service.run(cmd("CONFIG").arg("GET").arg("appendfsync")).await.unwrap();
        assert_eq!(setting.1, "always");
        assert_eq!(world.round_trips(world.verify("wrong")).await, 3);
        assert_eq!(world.round_trips(world.send()).await, 4);
        assert_eq!(world.round_trips(world.send()).await, 3);
        for _ in 0..4 {
            assert_eq!(world.round_trips(world.verify("wrong")).await, 4);
        }
        assert_eq!(world.round_trips(world.verify("wrong")).await, 6);
        assert_eq!(world.round_trips(world.verify("wrong")).await, 2);
        assert_eq!(world.round_trips(world.send()).await, 2);
        world.expire(&keys(NUMBER)[0]).await;
        assert_eq!(world.round_trips(world.send()).await, 4);
        let code = world.code();
        assert_eq!(world.round_trips(world.verify(&code)).await, 4);
    }

    #[tokio::test]
    async fn another_port_is_tried_when_one_is_taken() {
        let home = tempfile::tempdir().unwrap();
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let taken = || taken.local_addr().map(|address| address.port());
        let mut first = Some(taken().unwrap());
        match RedisServer::start(false, home.path(), || first.take().map_or_else(free_port, Ok)).await {
            Err(error) if error.to_string() == MISSING => return println!("SKIPPED: {MISSING}"),
            started => drop(started.unwrap()),
        }
        let error = RedisServer::start(false, home.path(), taken).await.err().unwrap().to_string();
        assert!(error.contains("bind"), "{error}");
    }
}
