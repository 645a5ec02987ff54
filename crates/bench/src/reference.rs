//! Reference servers, each a child process of the bench: `onceward-bench --reference NAME URL`.
//!
//! A reference server prints `listening` with its `url` as onceward does, and ends with its standard input. It reads the
//! same requests as onceward, calls the mock once for each send with the same form, and gives answers of the same size.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use std::{env, io, thread};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use clap::ValueEnum;
use http_body_util::{BodyExt, Collected, Full};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use rand::TryRng;
use rand::rngs::SysRng;
use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, AsyncConnectionConfig, Client, RedisResult, SetExpiry, SetOptions, cmd};
use rustix::process::{Signal, kill_current_process_group};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::load::now;
use crate::mock::{ACCOUNT_SID, AUTH_TOKEN, SENDER, json_response, serve};
use crate::script::{is_locked, trials_before};
use crate::{runtime, say};

const MAX_TRIALS: i64 = 5;
const CODE_LIVES_S: u64 = 30;
const LOCKOUT_S: u64 = 30 * 60;

const CEILING_CODE: &str = "123456";

/// The default of the published service's client.
const REDIS_ANSWERS_WITHIN: Duration = Duration::from_secs(3);
const REDIS_STARTS_WITHIN: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Reference {
    /// nothing
    None,
    /// hyper and one reqwest call for each send; keeps, counts and writes nothing
    Ceiling,
    /// the same job with its state in a Redis as it comes: not durable
    Redis,
    /// the same job with its state in a Redis that syncs every write
    RedisDurable,
}

impl Reference {
    /// The name and the description, as in `--help`.
    pub fn describe(self) -> (String, String) {
        let value = self.to_possible_value().unwrap_or_default();
        (value.get_name().to_owned(), value.get_help().map(ToString::to_string).unwrap_or_default())
    }

    /// This program as the reference server, with its files in `home`.
    pub fn command(self, twilio: &str, home: &Path) -> Result<Command> {
        let mut command = Command::new(env::current_exe()?);
        command.current_dir(home).env_clear().args(["--reference", &self.describe().0, twilio]);
        // The path of redis-server.
        command.envs(env::var_os("PATH").map(|path| ("PATH", path)));
        Ok(command)
    }

    /// Runs it, with the data of Redis in the working directory, until standard input ends.
    async fn run(self, twilio: &str) -> Result<()> {
        let redis = match self {
            Self::None | Self::Ceiling => None,
            Self::Redis => Some(Redis::start(false, &env::current_dir()?).await?),
            Self::RedisDurable => Some(Redis::start(true, &env::current_dir()?).await?),
        };
        let service = Arc::new(Service { redis, provider: Provider::new(twilio)? });
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        say(&json!({"level": "INFO", "message": "listening", "url": url}).to_string());
        thread::spawn(|| {
            let _ = io::copy(&mut io::stdin(), &mut io::sink());
            // The bench made a group of it and its redis-server.
            kill_current_process_group(Signal::KILL)
        });
        serve(listener, move |request| service.clone().answer(request)).await;
        Ok(())
    }
}

pub fn run(name: &str, twilio: &str) -> Result<()> {
    let reference = Reference::from_str(name, false).map_err(anyhow::Error::msg)?;
    runtime()?.block_on(reference.run(twilio))
}

/// Of both routes: a send has a number, a check has a user with one, and a code.
#[derive(Debug, Deserialize)]
struct Body {
    #[serde(rename = "phoneNumber")]
    number: Option<String>,
    user: Option<Box<Body>>,
    code: Option<String>,
}

#[derive(Debug, PartialEq)]
enum Outcome {
    /// With the wrong codes that are still allowed, as in `Wrong`.
    Sent(i64),
    Verified,
    Wrong(i64),
    /// For this many seconds.
    Locked(u64),
    Failed,
}

impl Outcome {
    fn into_response(self, number: &str) -> Response<Full<Bytes>> {
        let counted = |trials: i64| json!({"user": {"phoneNumber": number}, "trials": trials});
        let (status, message, data) = match self {
            Self::Sent(trials) => (StatusCode::OK, "OTP send successfully.", counted(trials)),
            Self::Verified => (StatusCode::OK, "OTP verified successfully.", json!(number)),
            Self::Wrong(trials) => (StatusCode::UNAUTHORIZED, "Incorrect OTP/ OTP Expired", counted(trials)),
            Self::Locked(seconds) => {
                let minutes = seconds.div_ceil(60).max(1);
                let user = json!({"phoneNumber": number});
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

/// The ceiling, or the Redis version where there is a Redis.
struct Service {
    redis: Option<Redis>,
    provider: Provider,
}

impl Service {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let body = request.into_body().collect().await.map(Collected::to_bytes).unwrap_or_default();
        let (number, code) = match serde_json::from_slice(&body) {
            Ok(Body { number: Some(number), .. }) => (number, None),
            Ok(Body { user: Some(user), code: Some(code), .. }) => {
                (user.number.unwrap_or_default(), Some(code))
            }
            _ => {
                let invalid = r#"{"code":400,"message":"Invalid request body"}"#;
                return json_response(StatusCode::BAD_REQUEST, invalid);
            }
        };
        let outcome = match (&self.redis, code) {
            (None, code) => self.ceiling(&number, code.as_deref()).await,
            (Some(redis), None) => redis.send(&number, &self.provider).await.unwrap_or(Outcome::Failed),
            (Some(redis), Some(code)) => redis.verify(&number, &code).await.unwrap_or(Outcome::Failed),
        };
        outcome.into_response(&number)
    }

    /// Keeps nothing: its code is always the same, a wrong code tells how many were allowed before it, and locked numbers
    /// have areas of their own.
    async fn ceiling(&self, number: &str, code: Option<&str>) -> Outcome {
        if number.trim_start_matches('+').parse().is_ok_and(is_locked) {
            return Outcome::Locked(LOCKOUT_S);
        }
        match code.map(|code| trials_before(CEILING_CODE, code)) {
            None if self.provider.send(number, CEILING_CODE).await => Outcome::Sent(MAX_TRIALS),
            None => Outcome::Failed,
            Some(None) => Outcome::Verified,
            Some(Some(1)) => Outcome::Locked(LOCKOUT_S),
            Some(Some(trials)) => Outcome::Wrong(i64::from(trials) - 1),
        }
    }
}

/// A real `redis-server` on loopback, which ends when this is dropped, and the Redis version's job in its round trips
/// (`docs/internals/decisions/0017-reference-server-and-micro-benches.md`), without pipeline or transaction. All requests share one
/// connection: commands of the same moment go out in one write.
struct Redis {
    connection: MultiplexedConnection,
    _process: tokio::process::Child,
}

impl Redis {
    async fn start(durable: bool, home: &Path) -> Result<Self> {
        let log = home.join("redis.log");
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let mut command = tokio::process::Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--daemonize", "no", "--port", &port.to_string()]);
        if durable {
            command.args(["--appendonly", "yes", "--appendfsync", "always"]);
        }
        command.current_dir(home).stdin(Stdio::null()).stdout(File::create(&log)?).stderr(Stdio::null());
        let started = command.kill_on_drop(true).spawn();
        let mut process = started.context("cannot start redis-server (apt-get install redis-server)")?;
        let begun = now();
        loop {
            let connection = connect(port).await;
            let waits = matches!(process.try_wait(), Ok(None)) && begun.elapsed() < REDIS_STARTS_WITHIN;
            ensure!(waits, "redis-server did not start:\n{}", fs::read_to_string(&log)?);
            if let Ok(connection) = connection {
                return Ok(Self { connection, _process: process });
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn send(&self, number: &str, provider: &Provider) -> RedisResult<Outcome> {
        let ([lock, code_key, trials_key], mut redis) = (keys(number), self.connection.clone());
        if let Some(locked) = locked(&mut redis, &lock).await? {
            return Ok(locked);
        }
        let Ok(random) = SysRng.try_next_u64() else { return Ok(Outcome::Failed) };
        let code = format!("{:06}", random % 1_000_000);
        redis.set_options::<_, _, ()>(&code_key, &code, ends_after(CODE_LIVES_S)).await?;
        if !provider.send(number, &code).await {
            return Ok(Outcome::Failed);
        }
        if let Some(trials) = redis.get(&trials_key).await? {
            return Ok(Outcome::Sent(trials));
        }
        redis.set::<_, _, ()>(&trials_key, MAX_TRIALS).await?;
        Ok(Outcome::Sent(MAX_TRIALS))
    }

    async fn verify(&self, number: &str, code: &str) -> RedisResult<Outcome> {
        let ([lock, code_key, trials_key], mut redis) = (keys(number), self.connection.clone());
        if let Some(locked) = locked(&mut redis, &lock).await? {
            return Ok(locked);
        }
        let right: Option<String> = redis.get(&code_key).await?;
        if right.as_deref() == Some(code) {
            redis.del::<_, ()>(&code_key).await?;
            redis.del::<_, ()>(&trials_key).await?;
            return Ok(Outcome::Verified);
        }
        match redis.get(&trials_key).await? {
            None => return Ok(Outcome::Wrong(MAX_TRIALS)),
            Some(..=1) => {}
            Some(trials) => {
                cmd("DECR").arg(&trials_key).query_async::<()>(&mut redis).await?;
                return Ok(Outcome::Wrong(trials - 1));
            }
        }
        redis.del::<_, ()>(&code_key).await?;
        redis.del::<_, ()>(&trials_key).await?;
        redis.set_options::<_, _, ()>(&lock, 1, ends_after(LOCKOUT_S)).await?;
        Ok(Outcome::Locked(LOCKOUT_S))
    }
}

async fn connect(port: u16) -> RedisResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new().set_response_timeout(Some(REDIS_ANSWERS_WITHIN));
    let client = Client::open((Ipv4Addr::LOCALHOST.to_string(), port))?;
    client.get_multiplexed_async_connection_with_config(&config).await
}

async fn locked(redis: &mut MultiplexedConnection, lock: &str) -> RedisResult<Option<Outcome>> {
    if redis.get::<_, Option<String>>(lock).await?.is_none() {
        return Ok(None);
    }
    // Negative when the key has just ended.
    let seconds: i64 = redis.ttl(lock).await?;
    Ok(Some(Outcome::Locked(u64::try_from(seconds).unwrap_or(0))))
}

fn ends_after(seconds: u64) -> SetOptions {
    SetOptions::default().with_expiration(SetExpiry::EX(seconds))
}

fn keys(number: &str) -> [String; 3] {
    ["lock", "code", "trials"].map(|what| format!("{number}:{what}"))
}

/// Twilio Messages, by one call of reqwest for each message.
struct Provider {
    http: reqwest::Client,
    url: String,
}

impl Provider {
    fn new(base_url: &str) -> Result<Self> {
        // The mock speaks plain HTTP, but reqwest needs a provider. An error means that one is already installed.
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
    use redis::InfoDict;

    use super::*;
    use crate::mock::Mock;

    const NUMBER: &str = "+14155552671";

    /// A Redis, and a provider that takes everything.
    struct World {
        mock: Mock,
        provider: Provider,
        redis: Redis,
        _home: tempfile::TempDir,
    }

    impl World {
        /// `None` without redis-server.
        async fn start(durable: bool) -> Option<Self> {
            if Command::new("redis-server").arg("--version").output().is_err() {
                println!("SKIPPED: no redis-server");
                return None;
            }
            let home = tempfile::tempdir().unwrap();
            let redis = Redis::start(durable, home.path()).await.unwrap();
            let mock = Mock::start("127.0.0.1:0".parse().unwrap(), Duration::ZERO).await.unwrap();
            let provider = Provider::new(&mock.base_url()).unwrap();
            Some(Self { mock, provider, redis, _home: home })
        }

        async fn send(&self) -> Outcome {
            self.redis.send(NUMBER, &self.provider).await.unwrap()
        }

        async fn verify(&self, code: &str) -> Outcome {
            self.redis.verify(NUMBER, code).await.unwrap()
        }

        fn code(&self) -> String {
            self.mock.take_code(14_155_552_671).unwrap()
        }

        async fn expire(&self, key: &str) {
            assert!(self.redis.connection.clone().expire::<_, bool>(key, 0).await.unwrap());
        }

        async fn commands_carried_out(&self) -> u64 {
            let mut connection = self.redis.connection.clone();
            let info: InfoDict = cmd("INFO").arg("stats").query_async(&mut connection).await.unwrap();
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
        assert_eq!(world.verify("123456").await, Outcome::Wrong(5));
        assert_eq!(world.send().await, Outcome::Sent(5));
        let code = world.code();
        assert_eq!(world.verify(&code).await, Outcome::Verified);
        assert_eq!(world.verify(&code).await, Outcome::Wrong(5));
    }

    #[tokio::test]
    async fn wrong_codes_lock_both_routes_until_the_lock_expires() {
        let Some(world) = World::start(false).await else { return };
        world.send().await;
        let right = world.code();
        for trials in (1..5).rev() {
            assert_eq!(world.verify("wrong").await, Outcome::Wrong(trials));
        }
        assert_eq!(world.send().await, Outcome::Sent(1));
        for locked in [world.verify("wrong").await, world.verify(&right).await, world.send().await] {
            let Outcome::Locked(seconds) = locked else { panic!("{locked:?}") };
            assert!((LOCKOUT_S - 5..=LOCKOUT_S).contains(&seconds), "{seconds}");
        }
        let [lock, code, _] = keys(NUMBER);
        world.expire(&lock).await;
        assert_eq!(world.send().await, Outcome::Sent(5));
        let right = world.code();
        world.expire(&code).await;
        assert_eq!(world.verify(&right).await, Outcome::Wrong(4), "an expired code counts as a wrong one");
    }

    #[tokio::test]
    async fn each_request_takes_the_round_trips_of_the_table() {
        let Some(world) = World::start(true).await else { return };
        let mut asking = cmd("CONFIG");
        asking.arg("GET").arg("appendfsync");
        let setting: (String, String) =
            asking.query_async(&mut world.redis.connection.clone()).await.unwrap();
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
