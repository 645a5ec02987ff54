//! The sends of a verification as a line.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::moment::Moment;
use super::number::{channel, gateway, number, salt};
use crate::attempts::{Plan, Row, Track, VerifyStatus, receipt_from_name};
use crate::delivery::{FollowUp, Reason, SendStatus};
use crate::domain::{Locale, ServiceId, TrackKey};
use crate::template::{AppHash, MessageStyle, SendDigits, Wording};

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SendsLine {
    service: u32,
    track: String,
    number: String,
    created: Moment,
    verify_status: String,
    verify_at: Moment,
    attempts: Vec<AttemptLine>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    planned: Option<PlannedLine>,
    pub(super) gc_after: Moment,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AttemptLine {
    /// Its number, where that is not its place among the attempts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    attempt: Option<u8>,
    at: Moment,
    channel: String,
    gateway: String,
    priority: u8,
    send_status: String,
    retries: u32,
    max_retries_reached: bool,
    message_id: Option<String>,
    error_code: Option<u32>,
    receipt_status: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PlannedLine {
    due: Moment,
    channel: String,
    retry: Option<RetryLine>,
    step: u8,
    sent: u8,
    salt: String,
    expires: Moment,
    wording: WordingLine,
    locale: Option<String>,
    app_hash: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    send_digits: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RetryLine {
    attempt: u8,
    retries: u32,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WordingLine {
    Api,
    Tutorial,
    Text(String),
}

impl SendsLine {
    pub(super) fn of(key: TrackKey, track: &Track, gc_after: Moment) -> Self {
        Self {
            service: key.service.get(),
            track: format!("{:016x}", key.track),
            number: track.number.e164(),
            created: Moment(track.created),
            verify_status: track.verify.as_str().to_owned(),
            verify_at: Moment(track.verify_at),
            attempts: track.rows.iter().zip(0..).map(AttemptLine::of).collect(),
            planned: track.plan.as_deref().map(PlannedLine::of),
            gc_after,
        }
    }

    /// # Errors
    /// What is wrong with it, as the end of a sentence.
    pub(super) fn read(self) -> Result<(TrackKey, Track), String> {
        let track = u64::from_str_radix(&self.track, 16)
            .ok()
            .filter(|track| format!("{track:016x}") == self.track)
            .ok_or("\"track\" is not 16 hex digits")?;
        let number = number(&self.number)?;
        let verify = VerifyStatus::ALL.into_iter().find(|status| status.as_str() == self.verify_status);
        let attempts = self.attempts.into_iter().zip(0..).map(AttemptLine::read);
        let rows = attempts.collect::<Result<Vec<_>, _>>()?;
        let content = Track {
            number,
            created: self.created.0,
            keep_until: self.gc_after.0,
            next_attempt: rows.iter().map(|row| row.attempt.saturating_add(1)).max().unwrap_or(0),
            verify: verify.ok_or("there is no such verify_status")?,
            verify_at: self.verify_at.0,
            rows,
            plan: self.planned.map(PlannedLine::read).transpose()?.map(Box::new),
        };
        Ok((TrackKey { service: ServiceId::new(self.service), track }, content))
    }
}

impl AttemptLine {
    fn of((row, place): (&Row, u8)) -> Self {
        Self {
            attempt: (row.attempt != place).then_some(row.attempt),
            at: Moment(row.at),
            channel: row.channel.as_str().to_owned(),
            gateway: row.gateway.as_str().to_owned(),
            priority: row.priority,
            send_status: row.status.as_str().to_owned(),
            retries: row.retries,
            max_retries_reached: row.max_retries_reached,
            message_id: row.message_id.clone(),
            error_code: row.error_code,
            receipt_status: row.receipt.map(|status| status.as_str().to_owned()),
        }
    }

    fn read((line, place): (Self, u8)) -> Result<Row, String> {
        let status = SendStatus::ALL.into_iter().find(|status| status.as_str() == line.send_status);
        let receipt = |name: String| receipt_from_name(&name).ok_or("there is no such receipt_status");
        Ok(Row {
            attempt: line.attempt.unwrap_or(place),
            channel: channel(&line.channel)?,
            gateway: gateway(&line.gateway)?,
            priority: line.priority,
            status: status.ok_or("there is no such send_status")?,
            retries: line.retries,
            max_retries_reached: line.max_retries_reached,
            at: line.at.0,
            message_id: line.message_id,
            error_code: line.error_code,
            receipt: line.receipt_status.map(receipt).transpose()?,
        })
    }
}

impl PlannedLine {
    fn of(plan: &Plan) -> Self {
        let Plan { salt, style, expires, follow_up } = plan;
        Self {
            due: Moment(follow_up.due),
            channel: follow_up.channel.as_str().to_owned(),
            retry: match follow_up.reason {
                Reason::Retry { attempt, retries } => Some(RetryLine { attempt, retries }),
                Reason::NextStep => None,
            },
            step: follow_up.step,
            sent: follow_up.sent,
            salt: base16ct::lower::encode_string(&salt.0),
            expires: Moment(*expires),
            wording: match &style.wording {
                Wording::Api => WordingLine::Api,
                Wording::Tutorial => WordingLine::Tutorial,
                Wording::Custom(text) => WordingLine::Text(text.as_ref().to_owned()),
            },
            locale: style.locale.map(|locale| locale.to_string()),
            app_hash: style.app_hash.map(|hash| hash.as_str().to_owned()),
            send_digits: style.send_digits.as_ref().map(|digits| digits.as_str().to_owned()),
        }
    }

    fn read(self) -> Result<Plan, String> {
        let style = MessageStyle {
            wording: match self.wording {
                WordingLine::Api => Wording::Api,
                WordingLine::Tutorial => Wording::Tutorial,
                WordingLine::Text(text) => Wording::Custom(Arc::from(text)),
            },
            locale: self
                .locale
                .map(|tag| Locale::parse(&tag).ok_or("the locale names no language"))
                .transpose()?,
            app_hash: self
                .app_hash
                .map(|hash| AppHash::parse(&hash).ok_or("the app_hash is none"))
                .transpose()?,
            send_digits: self
                .send_digits
                .map(|digits| SendDigits::parse(&digits).ok_or("the send_digits are none"))
                .transpose()?,
        };
        let follow_up = FollowUp {
            due: self.due.0,
            channel: channel(&self.channel)?,
            reason: match self.retry {
                Some(RetryLine { attempt, retries }) => Reason::Retry { attempt, retries },
                None => Reason::NextStep,
            },
            step: self.step,
            sent: self.sent,
        };
        Ok(Plan { salt: salt(&self.salt)?, style, expires: self.expires.0, follow_up })
    }
}
