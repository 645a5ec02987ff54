//! What the page says after a form: every form leads to the page again, and no address has a number.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::texts::Texts;
use crate::domain::{NumberError, PhoneNumber, Region, Timestamp, seconds_up};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Notice {
    /// This text is no number.
    Number(String),
    /// The number gets no message. A client that tries numbers out must not learn why.
    Refused,
    /// An allowance, a limit or a budget is used up: the number may get a message later.
    Later,
    /// No check is left for the number until then.
    Locked(Option<Timestamp>),
    /// The next message to the number has to wait.
    Wait,
    Wrong,
    Failed,
}

impl Notice {
    /// Characters of a number that the form shows again.
    pub const LONGEST_NUMBER: usize = 40;

    /// Whether the field has to be filled in again.
    pub const fn is_about_the_field(&self) -> bool {
        matches!(self, Self::Number(_) | Self::Refused | Self::Wrong)
    }

    /// The words; `None` if they are not true any more. `next_send` is when the next message may go out.
    pub fn words(
        &self,
        texts: &Texts,
        region: Option<Region>,
        next_send: Timestamp,
        now: Timestamp,
    ) -> Option<String> {
        let text = match self {
            Self::Number(text) => match PhoneNumber::parse_dialled(text, region).err()? {
                NumberError::Unreadable | NumberError::Impossible(_) => texts.bad_number,
                NumberError::Sign(sign) => {
                    return Some(format!("{} (U+{:04X})", texts.bad_number, u32::from(sign)));
                }
                NumberError::Renumbered(change) => return Some(format!("{} ({change})", texts.bad_number)),
            },
            Self::Refused => texts.cannot_send,
            Self::Later => texts.try_later,
            Self::Locked(until) => return Some(locked(texts, *until, now)),
            Self::Wait => {
                let seconds = seconds_up(next_send.since(now));
                return (seconds > 0).then(|| texts.wait.replace("{}", &seconds.to_string()));
            }
            Self::Wrong => texts.wrong_code,
            Self::Failed => texts.failed,
        };
        Some(text.to_owned())
    }
}

/// The words where no check is left.
pub fn locked(texts: &Texts, until: Option<Timestamp>, now: Timestamp) -> String {
    let left = until.map(|until| until.since(now)).filter(|left| *left > Duration::ZERO);
    match left {
        Some(left) => texts.try_in.replace("{}", &seconds_up(left).div_ceil(60).to_string()),
        None => texts.none_left.to_owned(),
    }
}
