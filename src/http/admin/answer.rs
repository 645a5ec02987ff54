//! The answer to "why did I get no code?": what became of the last message to a number, and what support can do.

use super::page::moment;
use crate::delivery::attempts::{ListedAttempt, VerifyStatus};
use crate::delivery::{Attempt, SendStatus};
use crate::domain::{GatewayName, Timestamp};
use crate::gateway::{ErrorClass, ReceiptStatus, describe_twilio_code};
use crate::limits::guard::operator::refusal_in_words;
use crate::limits::guard::{RefusedNumber, Rule};
use crate::verification::{NumberStatus, Status};

/// The class of a gateway's error code, and what it says.
pub type Described<'a> = dyn Fn(GatewayName, u32) -> Option<(ErrorClass, &'static str)> + 'a;

pub struct Answer {
    /// When the last message was sent or refused.
    pub at: Timestamp,
    /// The class of the note in the style sheet.
    pub class: &'static str,
    pub what: String,
    pub help: String,
    /// Whether the guard can explain it.
    pub was_refused: bool,
}

impl Answer {
    /// `None` if nothing is known of the number. `is_over`: what refused it messages no longer does. `described` says what
    /// an error code of a gateway means.
    pub fn of(
        status: Option<&NumberStatus>,
        refused: Option<RefusedNumber>,
        is_over: bool,
        described: &Described<'_>,
    ) -> Option<Self> {
        let last = status.and_then(|status| status.messages.last());
        let lockout = status.map(|status| status.lockout).unwrap_or_default();
        let refused = refused.filter(|refused| last.is_none_or(|last| last.attempt.at < refused.last));
        let answer = match (refused, last, status) {
            (Some(refused), ..) => Self {
                at: refused.last,
                class: "problem",
                // The end of a lockout is said below.
                what: refusal_in_words(RefusedNumber {
                    until: refused.until.filter(|until| lockout.until != Some(*until)),
                    ..refused
                }),
                help: if is_over { OVER } else { after_refusal(refused.rule) }.to_owned(),
                was_refused: refused.rule <= Rule::Budget,
            },
            (None, Some(last), Some(status)) => Self::of_message(last, status, described),
            (None, None, Some(status)) => Self {
                at: status.verification.as_ref().map_or(Timestamp::EPOCH, |verification| verification.begun),
                class: "",
                what: "No message to this number is remembered. A test number gets none.".to_owned(),
                help: ASK_AGAIN.to_owned(),
                was_refused: false,
            },
            (None, _, None) => return None,
        };
        let Some(until) = lockout.until else { return Some(answer) };
        let (what, until, wrong) = (answer.what, moment(until), lockout.wrong_codes);
        let codes = if wrong == 0 { String::new() } else { format!(" after {wrong} wrong codes") };
        Some(Self {
            class: "problem",
            what: format!("{what} The number is locked until {until}{codes}: no code works before."),
            help:
                "If the person is the owner of the number, unlock it below. Then let them ask for a new code."
                    .to_owned(),
            ..answer
        })
    }

    fn of_message(last: &ListedAttempt, status: &NumberStatus, described: &Described<'_>) -> Self {
        let row = &last.attempt;
        let (gateway, time) = (row.gateway.as_str(), moment(row.at));
        let message = format!("the last message, {} at {time}", row.channel.as_str());
        let known = described_error(row).or_else(|| described(row.gateway, row.error_code?));
        let words = known.map(|(_, words)| format!(": {words}")).unwrap_or_default();
        let error = row.error_code.map(|code| format!(" (error {code}{words})")).unwrap_or_default();
        let is_verified = last.verify_status == VerifyStatus::Success;
        let checked = last.checked_at.filter(|checked| is_verified || *checked >= row.at).map(moment);
        let (class, what, help) = match (checked, row.status, row.receipt) {
            (Some(checked), ..) => of_check(last.verify_status, &message, &checked),
            (None, SendStatus::Sent, Some(ReceiptStatus::Failed)) => (
                "problem",
                format!("{gateway} took {message}, and reported that it did not arrive{error}."),
                NOT_ARRIVED,
            ),
            (
                None,
                SendStatus::Sent,
                Some(ReceiptStatus::Delivered | ReceiptStatus::Read | ReceiptStatus::Answered),
            ) => (
                "",
                format!("{gateway} reported that {message}, arrived. No code was checked since."),
                "Let the person look for the message again, also in the folder for unknown senders.",
            ),
            (None, SendStatus::Sent, _) => (
                "",
                format!("{gateway} took {message}, and has not reported that it arrived."),
                "Let the person wait a minute, then ask for another message, if possible by another channel. If none is \
                 left to the verification, cancel it below.",
            ),
            (None, SendStatus::New, _) => (
                "problem",
                format!("No gateway has taken {message} so far."),
                "See the gateways on the overview. onceward tries again while the code is valid and retries are left.",
            ),
            (None, SendStatus::GatewayError | SendStatus::Unsendable, _) => (
                "problem",
                format!("{gateway} did not take {message}{error}{}.", fate(known, row)),
                after_error(known.map(|(class, _)| class)),
            ),
        };
        let answer = Self { at: row.at, class, what, help: help.to_owned(), was_refused: false };
        answer.with_state(status)
    }

    /// Adds whether the code still works.
    fn with_state(self, status: &NumberStatus) -> Self {
        let Some(verification) = &status.verification else { return self };
        let (class, state, help) = match verification.status {
            Status::Pending => {
                let ends = format!("Its code works until {}.", moment(verification.ends));
                (self.class, ends, self.help)
            }
            Status::MaxAttemptsReached => {
                let help = "Unlock the number below, and let the person ask for a new code.".to_owned();
                ("problem", "No check of its code is left.".to_owned(), help)
            }
            Status::Approved => return self,
            Status::Canceled => {
                let state = "Its code was canceled, by an unlock too, or another system checks it.";
                (self.class, state.to_owned(), ASK_AGAIN.to_owned())
            }
        };
        Self { class, what: format!("{} {state}", self.what), help, ..self }
    }
}

const ASK_AGAIN: &str = "Let the person ask for a new code.";

const OVER: &str = "That is over. Let the person ask for a new code.";

const NOT_ARRIVED: &str = "Check the number with the person, and whether the phone is on and may receive such messages. Then let \
     the person ask again, if possible by another channel.";

/// The class and the description of the error, if they are known.
fn described_error(row: &Attempt) -> Option<(ErrorClass, &'static str)> {
    use GatewayName::{Simulator, TwilioMessages, TwilioVerify, TwilioVoice};

    // The numbers with faults have Twilio's codes.
    let is_of_twilio = matches!(row.gateway, Simulator | TwilioMessages | TwilioVoice | TwilioVerify);
    row.error_code.filter(|_| is_of_twilio).and_then(describe_twilio_code)
}

const fn fate(known: Option<(ErrorClass, &str)>, row: &Attempt) -> &'static str {
    match known {
        Some((class, _)) if !class.may_have_been_sent() => "",
        _ if row.receipt.is_none() && row.receipt_at.is_some() => ": it was not sent",
        _ => ": it was not sent, or its fate is unknown",
    }
}

/// What lets the next message arrive.
const fn after_error(class: Option<ErrorClass>) -> &'static str {
    match class {
        Some(ErrorClass::BadNumber | ErrorClass::NotReachableHere) => {
            "Another message will fail too. Check the number with the person, or let them name another one."
        }
        Some(ErrorClass::OptedOut) => {
            "Another message will fail too. Let the person send START to the sender, or name another number."
        }
        Some(ErrorClass::Configuration) => {
            "Another message will fail too, until an operator changes this. The log has the provider's answer."
        }
        Some(ErrorClass::Fraud) => {
            "The provider blocks the number. If the person is real, the provider's support can end that."
        }
        Some(ErrorClass::Retry | ErrorClass::Refused | ErrorClass::Ambiguous) | None => {
            "Check the number with the person, and the gateways on the overview. Then let the person ask again."
        }
    }
}

/// What a check said, and what follows.
fn of_check(status: VerifyStatus, message: &str, checked: &str) -> (&'static str, String, &'static str) {
    let after = format!("after {message}");
    match status {
        VerifyStatus::Success => {
            ("good", format!("The number was verified at {checked}, {after}."), "There is nothing to do.")
        }
        VerifyStatus::Expired => {
            ("problem", format!("A code came too late, at {checked}, {after}."), ASK_AGAIN)
        }
        VerifyStatus::GatewayError => (
            "problem",
            format!("A code was checked at {checked}, {after}. The gateway that holds it did not answer."),
            "Let the person type the code again. If that fails too, see the gateways on the overview.",
        ),
        VerifyStatus::InvalidCode | VerifyStatus::New => (
            "",
            format!("A wrong code was checked at {checked}, {after}."),
            "Let the person type the code of the newest message.",
        ),
    }
}

/// What lets the next message pass.
const fn after_refusal(rule: Rule) -> &'static str {
    match rule {
        Rule::Entry => "Remove the manual entry on the guard page if the person is real.",
        Rule::CountryList => {
            "Messages to this country are not wanted. To permit them, change allowed-countries or blocked-countries in \
             config.json."
        }
        Rule::NumberType => {
            "Numbers of this type earn money with messages. If the person is real, add the number to the safe list."
        }
        Rule::Landline => {
            "Let the person name a mobile number, or ask for a call if this server makes calls."
        }
        Rule::Price => {
            "A message costs more than max-price of the guard, or prices has none for this country."
        }
        Rule::KnownOnly => {
            "Only known numbers get messages now. End that on the guard page, or add the number to the safe list."
        }
        Rule::Budget => "Wait for the end of its hour or day, or raise the budget in config.json.",
        Rule::RateLimit => {
            "Let the person ask again after that time. The application chose what the limit counts."
        }
        Rule::Lockout => "Too many wrong codes were typed. Let the person wait, or unlock the number below.",
        Rule::Verification => {
            "Let the person type the newest code, or wait a minute and ask again. If the verification has had all its \
             messages or checks, cancel it below first."
        }
        Rule::Number | Rule::Prefix | Rule::Network | Rule::Country => {
            "If the person is real, allow the number on the guard page, and let the person ask again."
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::{AttemptId, AttemptLogKey, Channel, PhoneNumber, ServiceId, Sid, SidKind};
    use crate::engine::LockoutState;
    use crate::verification::VerificationStatus;

    const NOON: Timestamp = Timestamp::from_millis(1_800_014_400_000);

    fn after(seconds: u64) -> Timestamp {
        NOON.plus(Duration::from_secs(seconds))
    }

    /// One message at noon, whose code works for ten minutes, changed by `change`.
    fn status(change: impl FnOnce(&mut ListedAttempt)) -> NumberStatus {
        let mut message = ListedAttempt {
            id: AttemptId { key: AttemptLogKey { service: ServiceId::DEFAULT, verification: 1 }, attempt: 0 },
            number: PhoneNumber::parse("+14155550123", None).expect("a number"),
            attempt: Attempt::new(0, Channel::Sms, GatewayName::TwilioMessages, SendStatus::Sent, NOON),
            ends: None,
            parts: 1,
            verify_status: VerifyStatus::New,
            checked_at: None,
            converted: false,
        };
        change(&mut message);
        let [service_sid, sid] =
            [SidKind::Service, SidKind::Verification].map(|kind| Sid::new(kind, [7; 16]));
        let (begun, ends) = (NOON, after(600));
        let verification =
            VerificationStatus { sid, status: Status::Pending, begun, ends, sends: 1, wrong_codes: 0 };
        NumberStatus {
            service_sid,
            service_name: "Owl Bank".to_owned(),
            verification: Some(verification),
            lockout: LockoutState::default(),
            messages: vec![message],
        }
    }

    fn described(gateway: GatewayName, code: u32) -> Option<(ErrorClass, &'static str)> {
        let is_known = (gateway, code) == (GatewayName::Sinch, 40_300);
        is_known.then_some((ErrorClass::OptedOut, "the recipient wants no messages"))
    }

    #[track_caller]
    fn says(status: &NumberStatus, class: &str, what: &str, help: &str) {
        let answer = Answer::of(Some(status), None, false, &described).expect("an answer");
        assert_eq!((answer.class, answer.what.as_str()), (class, what));
        assert!(answer.help.contains(help), "{}", answer.help);
    }

    const CODE: &str = "Its code works until 2027-01-15 12:10:00.";

    #[test]
    fn a_check_counts_unless_a_newer_message_followed_it() {
        let checked = |verify_status, second: u64| {
            status(|listed| {
                listed.attempt.at = after(60);
                (listed.verify_status, listed.checked_at) = (verify_status, Some(after(second)));
            })
        };
        let message = "after the last message, sms at 2027-01-15 12:01:00";
        let what = format!("A wrong code was checked at 2027-01-15 12:01:30, {message}. {CODE}");
        says(&checked(VerifyStatus::InvalidCode, 90), "", &what, "newest message");
        let answer = Answer::of(Some(&checked(VerifyStatus::InvalidCode, 30)), None, false, &described)
            .expect("an answer");
        assert!(answer.what.starts_with("TwilioMessages took the last message"), "{}", answer.what);
        let mut verified = checked(VerifyStatus::Success, 90);
        verified.verification.as_mut().expect("it").status = Status::Approved;
        let what = format!("The number was verified at 2027-01-15 12:01:30, {message}.");
        says(&verified, "good", &what, "nothing to do");
    }

    #[test]
    fn a_refusal_counts_if_no_message_followed_it() {
        let refused = |second, rule| {
            let (service, number) =
                (ServiceId::DEFAULT, PhoneNumber::from_u64(14_155_552_671).expect("a number"));
            Some(RefusedNumber { service, number, last: after(second), rule, until: None })
        };
        let known = status(|listed| listed.attempt.at = after(60));
        let answer = |status, refused| Answer::of(status, refused, false, &described).expect("an answer");
        assert!(!answer(Some(&known), refused(30, Rule::Prefix)).was_refused);
        for status in [None, Some(&known)] {
            let answer = answer(status, refused(90, Rule::Prefix));
            let what = "A message was refused at 2027-01-15 12:01:30 UTC, by the rule prefix of the guard.";
            assert_eq!((answer.what.as_str(), answer.was_refused, answer.at), (what, true, after(90)));
            assert!(answer.help.contains("allow the number on the guard page"), "{}", answer.help);
        }
        assert!(answer(None, refused(1, Rule::NumberType)).help.contains("safe list"));
        let over = Answer::of(None, refused(1, Rule::Lockout), true, &described).expect("an answer");
        assert_eq!(over.help, OVER);
        assert!(Answer::of(None, None, false, &described).is_none());
    }
}
