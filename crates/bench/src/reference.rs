//! Reference servers, each a child process of the bench: `onceward-bench reference NAME --twilio URL`.
//!
//! A reference server prints `listening` with its `url` as onceward does, and ends with its standard input. It reads the
//! same requests as onceward, calls the mock once for each send with the same form, and gives answers of the same size.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use std::{io, thread};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use clap::ValueEnum;
use http_body_util::{BodyExt, Collected, Full};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use rand::TryRng;
use rand::rngs::SysRng;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, FromRedisValue, InfoDict, RedisResult, cmd};
use rustix::process::{Signal, kill_current_process_group};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::load::now;
use crate::mock::{ACCOUNT_SID, AUTH_TOKEN, SENDER, json_response, serve};
use crate::script::{is_locked, trials_before};

/// The hidden command that runs a reference server.
pub const COMMAND: &str = "reference";

/// Defaults of onceward's configuration.
const MAX_TRIALS: i64 = 5;
const CODE_LIVES_S: u64 = 30;
const LOCKOUT_S: u64 = 30 * 60;

/// The only code of the ceiling.
const CEILING_CODE: &str = "123456";

/// The default of the published service's client.
const REDIS_ANSWERS_WITHIN: Duration = Duration::from_secs(3);
const REDIS_STARTS_WITHIN: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Reference {
    None,
    Ceiling,
    Redis,
    RedisDurable,
}

impl Reference {
    /// Its name, and what it is in one line.
    pub fn describe(self) -> (&'static str, &'static str) {
        match self {
            Self::None => ("none", "nothing"),
            Self::Ceiling => {
                ("ceiling", "hyper and one reqwest call for each send; keeps, counts and writes nothing")
            }
            Self::Redis => ("redis", "the same job with its state in a Redis as it comes: not durable"),
            Self::RedisDurable => {
                ("redis-durable", "the same job with its state in a Redis that syncs every write")
            }
        }
    }

    /// This program as the reference server, with its files in `home`.
    pub fn command(self, twilio: &str, home: &Path) -> Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command.current_dir(home).env_clear().args([COMMAND, self.describe().0, "--twilio", twilio]);
        // Where redis-server is found.
        command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        Ok(command)
    }

    /// Runs it, with the data of Redis in the working directory, until standard input ends.
    pub async fn run(self, twilio: &str) -> Result<()> {
        let provider = Provider::new(twilio)?;
        let durable = self == Self::RedisDurable;
        let redis = if self == Self::Ceiling {
            None
        } else {
            Some(RedisServer::start(durable, &std::env::current_dir()?).await?)
        };
        let connection = match &redis {
            Some(redis) => Some(redis.connect().await.context("Redis does not answer")?),
            None => None,
        };
        let service = Arc::new(Service { connection, provider });
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        announce(listener.local_addr()?);
        thread::spawn(|| {
            let _ = io::copy(&mut io::stdin(), &mut io::sink());
            // The bench made a group of it and its redis-server.
            kill_current_process_group(Signal::KILL)
        });
        serve(listener, move |request| service.clone().answer(request)).await;
        Ok(())
    }
}

#[expect(clippy::print_stderr, reason = "the parent process reads it there")]
fn announce(address: SocketAddr) {
    eprintln!("{}", json!({"level": "INFO", "message": "listening", "url": format!("http://{address}")}));
}

/// `POST /api/send-otp`
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct User {
    phone_number: String,
}

/// `POST /api/verify-otp`
#[derive(Debug, Deserialize)]
struct Check {
    user: User,
    code: String,
}

/// The result of a request about a number.
#[derive(Debug, PartialEq)]
enum Outcome {
    Sent { trials: i64 },
    Verified,
    Wrong { trials: i64 },
    Locked { minutes: u64 },
    Failed,
}

impl Outcome {
    fn into_response(self, number: &str) -> Response<Full<Bytes>> {
        let user = json!({"phoneNumber": number});
        let (status, message, data) = match self {
            Self::Sent { trials } => {
                (StatusCode::OK, "OTP send successfully.", json!({"user": user, "trials": trials}))
            }
            Self::Verified => (StatusCode::OK, "OTP verified successfully.", json!(number)),
            Self::Wrong { trials } => {
                let data = json!({"user": user, "trials": trials});
                (StatusCode::UNAUTHORIZED, "Incorrect OTP/ OTP Expired", data)
            }
            Self::Locked { minutes } => {
                let data = json!({"user": user, "ttl": minutes, "lockout_duration": minutes});
                (StatusCode::FORBIDDEN, "User locked out due to exceeding maximum attempts.", data)
            }
            Self::Failed => {
                (StatusCode::INTERNAL_SERVER_ERROR, "Internal server error occurred.", Value::Null)
            }
        };
        let body = json!({"code": status.as_u16(), "message": message, "data": data});
        json_response(status, body.to_string())
    }
}

/// The ceiling, or the Redis version where there is a connection to Redis.
struct Service {
    connection: Option<MultiplexedConnection>,
    provider: Provider,
}

impl Service {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let is_send = request.uri().path() == "/api/send-otp";
        let body = request.into_body().collect().await.map(Collected::to_bytes).unwrap_or_default();
        let parsed = if is_send {
            serde_json::from_slice(&body).map(|user| (user, None))
        } else {
            serde_json::from_slice(&body).map(|Check { user, code }| (user, Some(code)))
        };
        let Ok((User { phone_number: number }, code)) = parsed else {
            return json_response(
                StatusCode::BAD_REQUEST,
                r#"{"code":400,"message":"Invalid request body"}"#,
            );
        };
        let outcome = match (&self.connection, code) {
            (None, None) => self.ceiling_send(&number).await,
            (None, Some(code)) => ceiling_verify(&number, &code),
            (Some(redis), None) => self.send(redis, &number).await.unwrap_or(Outcome::Failed),
            (Some(redis), Some(code)) => verify(redis, &number, &code).await.unwrap_or(Outcome::Failed),
        };
        outcome.into_response(&number)
    }

    async fn ceiling_send(&self, number: &str) -> Outcome {
        if is_locked_number(number) {
            Outcome::Locked { minutes: LOCKOUT_S / 60 }
        } else if self.provider.send(number, CEILING_CODE).await {
            Outcome::Sent { trials: MAX_TRIALS }
        } else {
            Outcome::Failed
        }
    }

    async fn send(&self, redis: &MultiplexedConnection, number: &str) -> RedisResult<Outcome> {
        let [lock, code_key, trials] = keys(number);
        if let Some(locked) = locked(redis, &lock).await? {
            return Ok(locked);
        }
        let Ok(random) = SysRng.try_next_u64() else { return Ok(Outcome::Failed) };
        let code = format!("{:06}", random % 1_000_000);
        run::<()>(redis, cmd("SET").arg(&code_key).arg(&code).arg("EX").arg(CODE_LIVES_S)).await?;
        if !self.provider.send(number, &code).await {
            return Ok(Outcome::Failed);
        }
        if let Some(trials) = run(redis, cmd("GET").arg(&trials)).await? {
            return Ok(Outcome::Sent { trials });
        }
        run::<()>(redis, cmd("SET").arg(&trials).arg(MAX_TRIALS)).await?;
        Ok(Outcome::Sent { trials: MAX_TRIALS })
    }
}

fn is_locked_number(number: &str) -> bool {
    number.trim_start_matches('+').parse().is_ok_and(is_locked)
}

/// The ceiling keeps nothing: its code is always the same, a wrong code tells how many were allowed before it, and locked
/// numbers have areas of their own.
fn ceiling_verify(number: &str, code: &str) -> Outcome {
    match trials_before(CEILING_CODE, code) {
        _ if is_locked_number(number) => Outcome::Locked { minutes: LOCKOUT_S / 60 },
        None => Outcome::Verified,
        Some(1) => Outcome::Locked { minutes: LOCKOUT_S / 60 },
        Some(trials) => Outcome::Wrong { trials: i64::from(trials) - 1 },
    }
}

/// The Redis version's job in its round trips (`docs/decisions/0017-reference-server-and-micro-benches.md`), without
/// pipeline or transaction. All requests share one connection: commands of the same moment go out in one write.
async fn verify(redis: &MultiplexedConnection, number: &str, code: &str) -> RedisResult<Outcome> {
    let [lock, code_key, trials_key] = keys(number);
    if let Some(locked) = locked(redis, &lock).await? {
        return Ok(locked);
    }
    if run::<Option<String>>(redis, cmd("GET").arg(&code_key)).await?.as_deref() == Some(code) {
        run::<()>(redis, cmd("DEL").arg(&code_key)).await?;
        run::<()>(redis, cmd("DEL").arg(&trials_key)).await?;
        return Ok(Outcome::Verified);
    }
    let trials = match run::<Option<i64>>(redis, cmd("GET").arg(&trials_key)).await? {
        None => return Ok(Outcome::Wrong { trials: MAX_TRIALS }),
        Some(trials) => trials - 1,
    };
    if trials > 0 {
        run::<i64>(redis, cmd("DECR").arg(&trials_key)).await?;
        return Ok(Outcome::Wrong { trials });
    }
    run::<()>(redis, cmd("DEL").arg(&code_key)).await?;
    run::<()>(redis, cmd("DEL").arg(&trials_key)).await?;
    run::<()>(redis, cmd("SET").arg(&lock).arg(1).arg("EX").arg(LOCKOUT_S)).await?;
    Ok(Outcome::Locked { minutes: LOCKOUT_S / 60 })
}

async fn locked(redis: &MultiplexedConnection, lock: &str) -> RedisResult<Option<Outcome>> {
    if run::<Option<String>>(redis, cmd("GET").arg(lock)).await?.is_none() {
        return Ok(None);
    }
    // Negative when the key has just ended.
    let seconds: i64 = run(redis, cmd("TTL").arg(lock)).await?;
    let minutes = u64::try_from(seconds).unwrap_or(0).div_ceil(60).max(1);
    Ok(Some(Outcome::Locked { minutes }))
}

async fn run<T: FromRedisValue>(redis: &MultiplexedConnection, command: &Cmd) -> RedisResult<T> {
    command.query_async(&mut redis.clone()).await
}

fn keys(number: &str) -> [String; 3] {
    ["lock", "code", "trials"].map(|what| format!("{number}:{what}"))
}

/// A real `redis-server` on loopback, ended when dropped.
struct RedisServer {
    process: Child,
    port: u16,
}

impl RedisServer {
    /// Its data and its log are in `home`.
    async fn start(durable: bool, home: &Path) -> Result<Self> {
        let log = home.join("redis.log");
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--daemonize", "no", "--port", &port.to_string()]);
        if durable {
            command.args(["--appendonly", "yes", "--appendfsync", "always"]);
        }
        command.current_dir(home).stdin(Stdio::null()).stdout(File::create(&log)?).stderr(Stdio::null());
        let process = command.spawn().context("cannot start redis-server (apt-get install redis-server)")?;
        let mut server = Self { process, port };
        let begun = now();
        // Another server on the same port would answer too.
        while server.answering_process().await.ok().flatten() != Some(server.process.id()) {
            let waits =
                matches!(server.process.try_wait(), Ok(None)) && begun.elapsed() < REDIS_STARTS_WITHIN;
            ensure!(waits, "redis-server did not start:\n{}", std::fs::read_to_string(&log)?);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(server)
    }

    async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(REDIS_ANSWERS_WITHIN));
        let client = Client::open(format!("redis://{}:{}", Ipv4Addr::LOCALHOST, self.port))?;
        client.get_multiplexed_async_connection_with_config(&config).await
    }

    async fn answering_process(&self) -> RedisResult<Option<u32>> {
        let info: InfoDict = run(&self.connect().await?, cmd("INFO").arg("server")).await?;
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

/// Twilio Messages, by one call of reqwest for each message.
struct Provider {
    http: reqwest::Client,
    url: String,
}

impl Provider {
    fn new(base_url: &str) -> Result<Self> {
        // The mock speaks plain HTTP, but reqwest needs a provider. An error means that there is one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self { http, url: format!("{base_url}/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json") })
    }

    /// Returns `true` if the provider took the message.
    async fn send(&self, number: &str, code: &str) -> bool {
        let text = format!("OTP message is {code}");
        let form = [("To", number), ("From", SENDER), ("Body", &text), ("ValidityPeriod", "30")];
        let request = self.http.post(&self.url).basic_auth(ACCOUNT_SID, Some(AUTH_TOKEN)).form(&form);
        let Ok(response) = request.send().await else { return false };
        let accepted = response.status() == StatusCode::CREATED;
        let body = response.bytes().await.unwrap_or_default();
        let message: Value = serde_json::from_slice(&body).unwrap_or_default();
        accepted && message["sid"].is_string()
    }
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
        connection: MultiplexedConnection,
        _redis: RedisServer,
        _home: tempfile::TempDir,
    }

    impl World {
        /// `None` where there is no redis-server.
        async fn start(durable: bool) -> Option<Self> {
            if Command::new("redis-server").arg("--version").output().is_err() {
                println!("SKIPPED: no redis-server");
                return None;
            }
            let home = tempfile::tempdir().unwrap();
            let redis = RedisServer::start(durable, home.path()).await.unwrap();
            let mock = Mock::start("127.0.0.1:0".parse().unwrap(), Duration::ZERO).await.unwrap();
            let provider = Provider::new(&mock.base_url()).unwrap();
            let connection = redis.connect().await.unwrap();
            let service = Service { connection: Some(connection.clone()), provider };
            Some(Self { mock, service, connection, _redis: redis, _home: home })
        }

        async fn send(&self) -> Outcome {
            self.service.send(&self.connection, NUMBER).await.unwrap()
        }

        async fn verify(&self, code: &str) -> Outcome {
            verify(&self.connection, NUMBER, code).await.unwrap()
        }

        fn code(&self) -> String {
            self.mock.take_code(14_155_552_671).unwrap()
        }

        async fn expire(&self, key: &str) {
            assert!(run::<bool>(&self.connection, cmd("EXPIRE").arg(key).arg(0)).await.unwrap());
        }

        async fn commands_carried_out(&self) -> u64 {
            let info: InfoDict = run(&self.connection, cmd("INFO").arg("stats")).await.unwrap();
            info.get("total_commands_processed").unwrap()
        }

        /// Commands that Redis carries out during a request.
        async fn round_trips(&self, request: impl Future<Output = Outcome>) -> u64 {
            let before = self.commands_carried_out().await;
            request.await;
            // The first count is one itself.
            self.commands_carried_out().await - before - 1
        }
    }

    #[tokio::test]
    async fn a_code_is_verified_once_and_counts_as_wrong_afterwards() {
        let Some(world) = World::start(false).await else { return };
        assert_eq!(world.verify("123456").await, Outcome::Wrong { trials: 5 });
        assert_eq!(world.send().await, Outcome::Sent { trials: 5 });
        let code = world.code();
        assert_eq!(world.verify(&code).await, Outcome::Verified);
        assert_eq!(world.verify(&code).await, Outcome::Wrong { trials: 5 });
    }

    #[tokio::test]
    async fn wrong_codes_lock_both_routes_until_the_lock_expires() {
        let Some(world) = World::start(false).await else { return };
        world.send().await;
        let right = world.code();
        for trials in (1..5).rev() {
            assert_eq!(world.verify("wrong").await, Outcome::Wrong { trials });
        }
        assert_eq!(world.send().await, Outcome::Sent { trials: 1 });
        for locked in [world.verify("wrong").await, world.verify(&right).await, world.send().await] {
            assert_eq!(locked, Outcome::Locked { minutes: 30 });
        }
        let [lock, code, _] = keys(NUMBER);
        world.expire(&lock).await;
        assert_eq!(world.send().await, Outcome::Sent { trials: 5 });
        let right = world.code();
        world.expire(&code).await;
        assert_eq!(
            world.verify(&right).await,
            Outcome::Wrong { trials: 4 },
            "an expired code counts as a wrong one"
        );
    }

    #[tokio::test]
    async fn each_request_takes_the_round_trips_of_the_table() {
        let Some(world) = World::start(true).await else { return };
        let setting: (String, String) =
            run(&world.connection, cmd("CONFIG").arg("GET").arg("appendfsync")).await.unwrap();
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
}
