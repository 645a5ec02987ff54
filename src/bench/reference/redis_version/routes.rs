//! The steps of a send and of a check, each command awaited before the next.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::{Method, Request, Response};
use rand::TryRng as _;
use rand::rngs::SysRng;
use redis::RedisResult;

use super::Rules;
use super::cache::Cache;
use super::provider::Provider;
use super::wire::{Outcome, User, Verify};

pub(super) struct Routes {
    pub(super) cache: Cache,
    pub(super) provider: Provider,
    pub(super) rules: Rules,
}

impl Routes {
    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        let (head, body) = request.into_parts();
        let outcome = match (head.method, head.uri.path(), body.collect().await) {
            (Method::POST, "/api/send-otp", Ok(body)) => self.send(&body.to_bytes()).await,
            (Method::POST, "/api/verify-otp", Ok(body)) => self.verify(&body.to_bytes()).await,
            _ => Ok(Outcome::NotFound),
        };
        Ok(outcome.unwrap_or(Outcome::Failed).into_response())
    }

    async fn send(&self, body: &[u8]) -> RedisResult<Outcome> {
        let Some(user) = serde_json::from_slice(body).ok().filter(User::is_spelled_right) else {
            return Ok(Outcome::BadBody);
        };
        let number = user.phone_number.as_str();
        if self.cache.is_locked(number).await? {
            return self.locked(user).await;
        }
        let Some(code) = new_code() else { return Ok(Outcome::Failed) };
        self.cache.keep_code(number, &code, self.rules.life).await?;
        if self.provider.send(number, &code).await.is_err() {
            return Ok(Outcome::Failed);
        }
        if let Some(trials) = self.cache.trials(number).await? {
            return Ok(Outcome::Sent { user, trials });
        }
        let trials = self.rules.max_trials;
        self.cache.keep_trials(number, trials).await?;
        Ok(Outcome::Sent { user, trials })
    }

    async fn verify(&self, body: &[u8]) -> RedisResult<Outcome> {
        let readable = |verify: &Verify| verify.user.is_spelled_right() && !verify.code.is_empty();
        let Some(Verify { user, code }) = serde_json::from_slice(body).ok().filter(readable) else {
            return Ok(Outcome::BadBody);
        };
        let number = user.phone_number.as_str();
        if self.cache.is_locked(number).await? {
            return self.locked(user).await;
        }
        if self.cache.code(number).await?.as_ref() != Some(&code) {
            return self.wrong(user).await;
        }
        self.cache.drop_code(number).await?;
        self.cache.drop_trials(number).await?;
        Ok(Outcome::Verified(user))
    }

    /// A wrong code, or one for which there is none any more.
    async fn wrong(&self, user: User) -> RedisResult<Outcome> {
        let number = user.phone_number.as_str();
        let Some(trials) = self.cache.trials(number).await? else {
            return Ok(Outcome::Wrong { user, trials: self.rules.max_trials });
        };
        if trials <= 1 {
            self.cache.drop_code(number).await?;
            self.cache.drop_trials(number).await?;
            self.cache.lock(number, self.rules.lockout).await?;
            return Ok(Outcome::Locked { user, remaining: self.rules.lockout });
        }
        self.cache.take_trial(number).await?;
        Ok(Outcome::Wrong { user, trials: trials - 1 })
    }

    async fn locked(&self, user: User) -> RedisResult<Outcome> {
        let remaining = self.cache.lock_remaining(&user.phone_number).await?;
        Ok(Outcome::Locked { user, remaining })
    }
}

/// Six digits from the system's randomness, as there. Their slight bias is of no matter here.
fn new_code() -> Option<String> {
    let random = SysRng.try_next_u64().ok()?;
    Some(format!("{:06}", random % 1_000_000))
}
