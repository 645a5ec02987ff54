//! The state of a number as a line.

use serde::{Deserialize, Serialize};

use super::moment::Moment;
use crate::domain::{Channel, CodeLength, GatewayName, Held, PhoneNumber, ServiceId};
use crate::engine::{Counted, NumberState, Salt, Tally, Verification};

/// One line. Which of the fields there are depends on the state.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NumberLine {
    service: u32,
    number: String,
    state: StateName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    locked_until: Option<Moment>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failures: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kept_until: Option<Moment>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tally: Option<TallyLine>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    verification: Option<VerificationLine>,
    pub(super) gc_after: Moment,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StateName {
    Open,
    Locked,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct VerificationLine {
    salt: String,
    digits: u8,
    expires: Moment,
    sending: u8,
    sending_until: Option<Moment>,
    sent: bool,
    postponed: bool,
    held_by: Option<HeldLine>,
    checking_until: Option<Moment>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    counted: Option<CountedLine>,
}

/// Where a lockout grows.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TallyLine {
    named_failures: u8,
    slow_until: Option<Moment>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CountedLine {
    begun: Moment,
    last_send: Moment,
    channel: String,
    sends: u8,
    wrong: u8,
    unnamed: u8,
    spent: bool,
    offset: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeldLine {
    gateway: String,
    channel: String,
}

impl NumberLine {
    /// `None` for a number of which nothing is known, which has no record.
    pub(super) fn of(
        service: ServiceId,
        number: PhoneNumber,
        state: &NumberState,
        gc_after: Moment,
    ) -> Option<Self> {
        let line = |state| Self {
            service: service.get(),
            number: number.e164(),
            state,
            locked_until: None,
            failures: None,
            kept_until: None,
            tally: None,
            verification: None,
            gc_after,
        };
        match state {
            NumberState::Fresh => None,
            NumberState::Locked { until } => {
                Some(Self { locked_until: Some(Moment(*until)), ..line(StateName::Locked) })
            }
            NumberState::Open { failures, keep_until, tally, verification } => Some(Self {
                failures: Some(*failures),
                kept_until: Some(Moment(*keep_until)),
                tally: (*tally != Tally::NONE).then_some(TallyLine {
                    named_failures: tally.named,
                    slow_until: Moment::unless_unset(tally.slow_until),
                }),
                verification: verification.as_ref().map(VerificationLine::of),
                ..line(StateName::Open)
            }),
        }
    }

    /// # Errors
    /// What is wrong with it, as the end of a sentence.
    pub(super) fn read(self) -> Result<(ServiceId, PhoneNumber, NumberState), String> {
        let number = number(&self.number)?;
        let tally = self.tally.map(|tally| Tally {
            named: tally.named_failures,
            slow_until: Moment::or_unset(tally.slow_until),
        });
        let state = match (self.state, self.locked_until, self.failures, self.kept_until, self.verification) {
            (StateName::Locked, Some(Moment(until)), None, None, None) if tally.is_none() => {
                NumberState::Locked { until }
            }
            (StateName::Open, None, Some(failures), Some(Moment(keep_until)), verification) => {
                let verification = verification.map(VerificationLine::read).transpose()?;
                NumberState::Open { failures, keep_until, tally: tally.unwrap_or_default(), verification }
            }
            _ => return Err("the fields do not belong to this state of a number".into()),
        };
        Ok((ServiceId::new(self.service), number, state))
    }
}

impl VerificationLine {
    fn of(v: &Verification) -> Self {
        Self {
            salt: base16ct::lower::encode_string(&v.salt.0),
            digits: v.length.get(),
            expires: Moment(v.expires),
            sending: v.sending,
            sending_until: Moment::unless_unset(v.sending_until),
            sent: v.sent,
            postponed: v.postponed,
            held_by: v.held.map(|held| HeldLine {
                gateway: held.by.as_str().to_owned(),
                channel: held.channel.as_str().to_owned(),
            }),
            checking_until: Moment::unless_unset(v.checking_until),
            counted: v.counted.as_ref().map(CountedLine::of),
        }
    }

    fn read(self) -> Result<Verification, String> {
        let held = |held: HeldLine| {
            Ok::<_, String>(Held { by: gateway(&held.gateway)?, channel: channel(&held.channel)? })
        };
        Ok(Verification {
            salt: salt(&self.salt)?,
            length: CodeLength::new(self.digits)
                .ok_or_else(|| format!("no code has {} digits", self.digits))?,
            expires: self.expires.0,
            sending: self.sending,
            sending_until: Moment::or_unset(self.sending_until),
            sent: self.sent,
            postponed: self.postponed,
            held: self.held_by.map(held).transpose()?,
            checking_until: Moment::or_unset(self.checking_until),
            counted: self.counted.map(CountedLine::read).transpose()?,
        })
    }
}

impl CountedLine {
    fn of(counted: &Counted) -> Self {
        let Counted { begun, last_send, channel, sends, wrong, unnamed, spent, offset } = *counted;
        Self {
            begun: Moment(begun),
            last_send: Moment(last_send),
            channel: channel.as_str().to_owned(),
            sends,
            wrong,
            unnamed,
            spent,
            offset,
        }
    }

    fn read(self) -> Result<Counted, String> {
        let Self { begun, last_send, channel: name, sends, wrong, unnamed, spent, offset } = self;
        Ok(Counted {
            begun: begun.0,
            last_send: last_send.0,
            channel: channel(&name)?,
            sends,
            wrong,
            unnamed,
            spent,
            offset,
        })
    }
}

/// A number as it is written: a plus sign and its digits. It is not repeated in errors.
pub(super) fn number(text: &str) -> Result<PhoneNumber, String> {
    let digits = text.strip_prefix('+').filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
    let number = digits.and_then(|digits| digits.parse().ok()).and_then(PhoneNumber::from_u64);
    // Leading zeros would make two spellings of one number.
    number.filter(|number| number.e164() == text).ok_or_else(|| "the number is not one in E.164 form".into())
}

pub(super) fn salt(hex: &str) -> Result<Salt, String> {
    let mut bytes = [0; 16];
    let whole = base16ct::lower::decode(hex, &mut bytes).is_ok_and(|decoded| decoded.len() == 16);
    if whole { Ok(Salt(bytes)) } else { Err("the salt is not 32 hex digits".into()) }
}

pub(super) fn gateway(name: &str) -> Result<GatewayName, String> {
    let found = GatewayName::ALL.into_iter().find(|known| known.as_str() == name);
    found.ok_or_else(|| "there is no gateway of this name".into())
}

pub(super) fn channel(name: &str) -> Result<Channel, String> {
    let found = Channel::ALL.into_iter().find(|known| known.as_str() == name);
    found.ok_or_else(|| "there is no channel of this name".into())
}
