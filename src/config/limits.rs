//! The same limits for programs that give settings as values, without a configuration.

use std::fmt::Display;
use std::time::Duration;

use super::kinds::Brand;
use super::ranges::{
    Attempts, BodyBytes, BreakerFailures, BreakerWait, CodeLife, Commands, CommandsPerNumber, Lockout,
    Numbers, Retries, RetryWait, Sends, SendsWaiting, Shards, SpanRange, StepWait, TrackerAge, TrackerSize,
    WholeRange, WorkBudget, WorkflowSends,
};
use super::settings::{Bounds, BreakerSettings, DeliverySettings, RetrySettings, TrackerSettings};
use super::urls::BaseUrl;
use super::value::{Setting as _, quoted};
use super::workflow;
use crate::engine::Policy;

/// A setting that cannot be used: which one, what was given, and what is accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{setting} = {given}: {problem}")]
pub struct SettingError {
    /// The setting, such as `lockout` or `bounds.sends`.
    pub setting: &'static str,
    /// The value, as a person would write it. Never a secret.
    pub given: String,
    /// What is accepted and why, or what is missing beside it.
    pub problem: String,
}

impl SettingError {
    /// About a setting that needs another, or excludes it.
    pub fn new(setting: &'static str, given: impl Display, problem: impl Into<String>) -> Self {
        Self { setting, given: given.to_string(), problem: problem.into() }
    }
}

/// Wrong codes, lockout and the life of a code.
pub fn policy(policy: &Policy) -> Result<(), SettingError> {
    whole::<Attempts>("attempts", policy.max_attempts)?;
    span::<Lockout>("lockout", policy.lockout)?;
    span::<CodeLife>("code life", policy.code.life)
}

/// What happens when a send fails or a message does not arrive.
pub fn delivery(delivery: &DeliverySettings) -> Result<(), SettingError> {
    if let Some(RetrySettings { max_retries, first_wait, longest_wait }) = delivery.retry {
        whole::<Retries>("retry.max_retries", max_retries)?;
        span::<RetryWait>("retry.longest_wait", longest_wait)?;
        if first_wait.is_zero() || first_wait > longest_wait {
            let problem = "it must be longer than nothing and not longer than retry.longest_wait";
            return Err(SettingError::new("retry.first_wait", shown(first_wait), problem));
        }
    }
    if delivery.workflow.len() > workflow::LONGEST {
        let problem = format!("it must be at most {}", workflow::LONGEST);
        return Err(SettingError::new("workflow steps", delivery.workflow.len(), problem));
    }
    for step in &delivery.workflow {
        span::<StepWait>("workflow timeout", step.timeout)?;
    }
    whole::<WorkflowSends>("workflow_sends", delivery.workflow_sends)?;
    let BreakerSettings { failures, open_for, longest } = delivery.breaker;
    whole::<BreakerFailures>("breaker.failures", failures)?;
    span::<BreakerWait>("breaker.open_for", open_for)?;
    span::<BreakerWait>("breaker.longest", longest)?;
    if longest < open_for {
        let problem = format!("it must not be shorter than breaker.open_for, which is {}", shown(open_for));
        return Err(SettingError::new("breaker.longest", shown(longest), problem));
    }
    Ok(())
}

/// What is remembered about sends.
pub fn tracker(tracker: &TrackerSettings) -> Result<(), SettingError> {
    span::<TrackerAge>("tracker.keep_for", tracker.keep_for)?;
    whole::<TrackerSize>("tracker.keep_at_most", tracker.keep_at_most)
}

/// The limits of an engine, without those of its HTTP front end.
pub fn engine(bounds: &Bounds, shards: usize) -> Result<(), SettingError> {
    whole::<Shards>("shards", shards)?;
    whole::<Numbers>("bounds.numbers", bounds.numbers)?;
    whole::<Commands>("bounds.commands", bounds.commands)?;
    whole::<CommandsPerNumber>("bounds.commands_per_number", bounds.commands_per_number)?;
    whole::<Sends>("bounds.sends", bounds.sends)?;
    whole::<SendsWaiting>("bounds.sends_waiting", bounds.sends_waiting)?;
    whole::<BodyBytes>("bounds.body_bytes", bounds.body_bytes)?;
    span::<WorkBudget>("bounds.send_budget", bounds.send_budget)?;
    span::<WorkBudget>("bounds.commit_timeout", bounds.commit_timeout)
}

/// The name that messages speak in, without the spaces around it.
pub fn brand(given: &str) -> Result<String, SettingError> {
    let brand = Brand::read(given).map(|brand| brand.0).filter(|brand| !brand.is_empty());
    let problem = || format!("it must not be empty, and {}", Brand::accepted());
    brand.ok_or_else(|| SettingError::new("brand", quoted(given), problem()))
}

/// The address under which providers reach this program, without a slash at the end.
pub fn public_url(given: &str) -> Result<String, SettingError> {
    // A password may be in what cannot be read.
    let given_shown = || if BaseUrl::is_secret(given) { "(not shown)".to_owned() } else { quoted(given) };
    let problem = || format!("it must be {}", BaseUrl::accepted());
    BaseUrl::read(given)
        .map(|url| url.0)
        .ok_or_else(|| SettingError::new("public_url", given_shown(), problem()))
}

fn whole<R: WholeRange>(
    setting: &'static str,
    given: impl Copy + Display + TryInto<u64>,
) -> Result<(), SettingError> {
    let fits = given.try_into().is_ok_and(|number: u64| (R::MIN..=R::MAX).contains(&number));
    let problem = || format!("it must be from {} to {} ({})", R::MIN, R::MAX, R::WHY);
    if fits { Ok(()) } else { Err(SettingError::new(setting, given, problem())) }
}

fn span<R: SpanRange>(setting: &'static str, given: Duration) -> Result<(), SettingError> {
    let problem = || format!("it must be from {} to {} ({})", shown(R::MIN), shown(R::MAX), R::WHY);
    let fits = (R::MIN..=R::MAX).contains(&given);
    if fits { Ok(()) } else { Err(SettingError::new(setting, shown(given), problem())) }
}

fn shown(span: Duration) -> impl Display {
    humantime::format_duration(span)
}
