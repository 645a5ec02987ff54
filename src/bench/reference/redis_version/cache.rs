//! What is kept in Redis, one command a function: each is one round trip.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, FromRedisValue, RedisResult, cmd};

/// How long an answer may take: the default of the published service's client.
const PATIENCE: Duration = Duration::from_secs(3);

/// Codes, trials and locks. Clones share the connection.
#[derive(Clone)]
pub(super) struct Cache {
    connection: MultiplexedConnection,
}

impl Cache {
    pub(super) async fn connect(url: &str) -> RedisResult<Self> {
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(PATIENCE));
        let connection = Client::open(url)?.get_multiplexed_async_connection_with_config(&config).await?;
        Ok(Self { connection })
    }

    pub(super) async fn is_locked(&self, number: &str) -> RedisResult<bool> {
        self.ask::<Option<String>>(cmd("GET").arg(lock(number))).await.map(|lock| lock.is_some())
    }

    /// How much longer a lock lasts; nothing if it has just ended.
    pub(super) async fn lock_remaining(&self, number: &str) -> RedisResult<Duration> {
        // Negative when the key is gone.
        let seconds: i64 = self.ask(cmd("TTL").arg(lock(number))).await?;
        Ok(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
    }

    pub(super) async fn lock(&self, number: &str, lasts: Duration) -> RedisResult<()> {
        self.ask(cmd("SET").arg(lock(number)).arg(1).arg("EX").arg(lasts.as_secs())).await
    }

    pub(super) async fn code(&self, number: &str) -> RedisResult<Option<String>> {
        self.ask(cmd("GET").arg(code(number))).await
    }

    pub(super) async fn keep_code(&self, number: &str, digits: &str, lives: Duration) -> RedisResult<()> {
        self.ask(cmd("SET").arg(code(number)).arg(digits).arg("EX").arg(lives.as_secs())).await
    }

    pub(super) async fn drop_code(&self, number: &str) -> RedisResult<()> {
        self.ask(cmd("DEL").arg(code(number))).await
    }

    pub(super) async fn trials(&self, number: &str) -> RedisResult<Option<i64>> {
        self.ask(cmd("GET").arg(trials(number))).await
    }

    pub(super) async fn keep_trials(&self, number: &str, left: i64) -> RedisResult<()> {
        self.ask(cmd("SET").arg(trials(number)).arg(left)).await
    }

    pub(super) async fn take_trial(&self, number: &str) -> RedisResult<i64> {
        self.ask(cmd("DECR").arg(trials(number))).await
    }

    pub(super) async fn drop_trials(&self, number: &str) -> RedisResult<()> {
        self.ask(cmd("DEL").arg(trials(number))).await
    }

    async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> RedisResult<T> {
        command.query_async(&mut self.connection.clone()).await
    }
}

pub(super) fn lock(number: &str) -> String {
    format!("{number}:lock")
}

pub(super) fn code(number: &str) -> String {
    format!("{number}:code")
}

pub(super) fn trials(number: &str) -> String {
    format!("{number}:trials")
}
