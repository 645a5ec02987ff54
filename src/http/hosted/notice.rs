//! What the page says after a form: every form leads to the page again, and no address has a number.

use serde::{Deserialize, Serialize};

use super::texts::Texts;
use crate::domain::{NumberError, PhoneNumber, Region, Timestamp, seconds_up, sign_in_words};

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
                NumberError::Unreadable(_) | NumberError::Impossible(..) => texts.bad_number,
                NumberError::Sign(sign) => {
                    return Some(format!("{} ({})", texts.bad_number, sign_in_words(sign)));
                }
                NumberError::Renumbered(change) => return Some(format!("{} ({change})", texts.bad_number)),
            },
            Self::Refused => texts.cannot_send,
            Self::Later => texts.try_later,
            Self::Locked(until) => return Some(locked(texts, *until, now)),
            Self::Wait => {
                return seconds_left(next_send, now).map(|left| texts.wait.replace("{}", &left.to_string()));
            }
            Self::Wrong => texts.wrong_code,
            Self::Failed => texts.failed,
        };
        Some(text.to_owned())
    }
}

/// Whole seconds from now, rounded up; `None` afterwards.
pub fn seconds_left(until: Timestamp, now: Timestamp) -> Option<u64> {
    (now < until).then(|| seconds_up(until.since(now)))
}

/// The words where no check is left.
pub fn locked(texts: &Texts, until: Option<Timestamp>, now: Timestamp) -> String {
    match until.and_then(|until| seconds_left(until, now)) {
        Some(left) => texts.try_in.replace("{}", &left.div_ceil(60).to_string()),
        None => texts.none_left.to_owned(),
    }
}
