//! The answer to "why did I get no code?": what became of the last message to a number, and what support can do.

use std::borrow::Cow;

use super::page::moment;
use crate::delivery::attempts::{ListedAttempt, VerifyStatus};
use crate::delivery::{Attempt, SendStatus};
use crate::domain::{GatewayName, Timestamp};
use crate::gateway::{ErrorClass, ReceiptStatus, describe_twilio_code};
use crate::limits::guard::operator::refusal_in_words;
use crate::limits::guard::{RefusedNumber, Rule};

/// The class of a gateway's error code, and what it says.
pub type Described<'a> = dyn Fn(GatewayName, u32) -> Option<(ErrorClass, &'static str)> + 'a;

/// The state of a number in a service, from which the advice follows: it names only buttons that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeState {
    /// A code lives, and can be canceled.
    Pending,
    /// Every check is used: the code is void, and a new one is sent from then on, or after an unlock.
    UsedUp(Timestamp),
    /// The number is locked out until then, or until it is unlocked.
    Locked(Timestamp),
    /// No code lives.
    None,
}

pub struct Answer {
    /// The class of the note in the style sheet.
    pub class: &'static str,
    pub what: String,
    pub help: Cow<'static, str>,
    /// Whether the guard can explain it.
    pub was_refused: bool,
}

impl Answer {
    /// `None` if no message is known. `described` says what an error code of a gateway means.
    pub fn of(
        last: Option<&ListedAttempt>,
        refused: Option<RefusedNumber>,
        state: CodeState,
        described: &Described<'_>,
    ) -> Option<Self> {
        let refused = refused.filter(|refused| last.is_none_or(|last| last.attempt.at < refused.last));
        let answer = match (refused, last) {
            (Some(refused), _) => Self {
                class: "problem",
                what: refusal_in_words(refused),
                help: after_refusal(refused.rule, state).into(),
                was_refused: refused.rule <= Rule::Budget,
            },
            (None, last) => Self::of_message(last?, state, described),
        };
        let is_about_the_code =
            refused.is_none_or(|refused| refused.rule > Rule::Budget && refused.rule != Rule::RateLimit);
        let is_done = answer.class == "good";
        Some(match state.advice().filter(|_| is_about_the_code && !is_done) {
            Some(help) => Self { help, ..answer },
            None => answer,
        })
    }

    fn of_message(last: &ListedAttempt, state: CodeState, described: &Described<'_>) -> Self {
        let row = &last.attempt;
        let (gateway, time) = (row.gateway.as_str(), moment(row.at));
        let message = format!("the last message, {} at {time}", row.channel.as_str());
        let known = row.error_code.and_then(|code| error(row.gateway, code, described));
        let words = known.map(|(_, words)| format!(": {words}")).unwrap_or_default();
        let error = row.error_code.map(|code| format!(" (error {code}{words})")).unwrap_or_default();
        let is_verified = last.verify_status == VerifyStatus::Success;
        let checked = last.checked_at.filter(|checked| is_verified || *checked >= row.at).map(moment);
        let (class, what, help) = match (checked, row.status, row.receipt) {
            (Some(checked), ..) => of_check(last.verify_status, state, &message, &checked),
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
        Self { class, what, help: help.into(), was_refused: false }
    }
}

impl CodeState {
    /// What support says, where the state alone decides it.
    fn advice(self) -> Option<Cow<'static, str>> {
        let void = |until: Timestamp| {
            let until = moment(until);
            format!(
                "Too many wrong codes were typed, and the code is void. The person can ask for a new one at {until} UTC, or at \
                     once after you unlock the number below."
            )
        };
        match self {
            Self::UsedUp(until) | Self::Locked(until) => Some(void(until).into()),
            Self::Pending | Self::None => None,
        }
    }
}

const ASK_AGAIN: &str = "Let the person ask for a new code.";

const NEWEST: &str = "Let the person type the code of the newest message.";

const NOT_ARRIVED: &str = "Check the number with the person, and whether the phone is on and may receive such messages. Then let \
     the person ask again, if possible by another channel.";

fn error(gateway: GatewayName, code: u32, described: &Described<'_>) -> Option<(ErrorClass, &'static str)> {
    use GatewayName::{Simulator, TwilioMessages, TwilioVerify, TwilioVoice};

    // The numbers with faults have Twilio's codes.
    let is_of_twilio = matches!(gateway, Simulator | TwilioMessages | TwilioVoice | TwilioVerify);
    let known = is_of_twilio.then(|| describe_twilio_code(code)).flatten();
    known.or_else(|| described(gateway, code))
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
fn of_check(
    status: VerifyStatus,
    state: CodeState,
    message: &str,
    checked: &str,
) -> (&'static str, String, &'static str) {
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
        VerifyStatus::InvalidCode | VerifyStatus::New => {
            let help = if state == CodeState::Pending { NEWEST } else { ASK_AGAIN };
            ("", format!("A wrong code was checked at {checked}, {after}."), help)
        }
    }
}

/// What lets the next message pass.
fn after_refusal(rule: Rule, state: CodeState) -> &'static str {
    match rule {
        Rule::Lockout | Rule::Verification if state == CodeState::None => ASK_AGAIN,
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
            "Only known numbers get messages until then. End that on the guard page, or add the number to the safe list."
        }
        Rule::Budget => "Wait for the end of its hour or day, or raise the budget in config.json.",
        Rule::RateLimit => {
            "Let the person ask again after that time. The application chose what the limit counts."
        }
        Rule::Lockout => "Too many wrong codes were typed. Let the person wait, or unlock the number below.",
        Rule::Verification => {
            "Let the person type the newest code, or ask again after that time. To send a new code now, cancel the verification \
             below first."
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
    use crate::domain::{AttemptId, AttemptLogKey, Channel, PhoneNumber, ServiceId, Timestamp};

    const NOON: Timestamp = Timestamp::from_millis(1_800_014_400_000);

    fn after(seconds: u64) -> Timestamp {
        NOON.plus(Duration::from_secs(seconds))
    }

    fn number() -> PhoneNumber {
        PhoneNumber::parse("+14155550123", None).expect("a number")
    }

    /// A message of a minute past noon, whose code was checked.
    fn message(verify_status: VerifyStatus, checked_at: u64) -> ListedAttempt {
        ListedAttempt {
            id: AttemptId { key: AttemptLogKey { service: ServiceId::DEFAULT, verification: 1 }, attempt: 0 },
            number: number(),
            attempt: Attempt::new(0, Channel::Sms, GatewayName::TwilioMessages, SendStatus::Sent, after(60)),
            ends: None,
            parts: 1,
            verify_status,
            checked_at: Some(after(checked_at)),
            converted: false,
        }
    }

    #[test]
    fn the_last_of_message_check_and_refusal_is_the_answer() {
        let of = "at 2027-01-15 12:01:30, after the last message, sms at 2027-01-15 12:01:00.";
        let wrong = format!("A wrong code was checked {of}");
        let verified = format!("The number was verified {of}");
        let taken = "TwilioMessages took the last message, sms at 2027-01-15 12:01:00, and has not reported \
                     that it arrived.";
        let refused = "A message was refused at 2027-01-15 12:01:30 UTC, by the rule prefix of the guard.";
        for (status, checked, refused_at, what, class) in [
            (VerifyStatus::InvalidCode, 90, None, &*wrong, ""),
            (VerifyStatus::InvalidCode, 30, None, taken, ""),
            (VerifyStatus::Success, 90, None, &verified, "good"),
            (VerifyStatus::InvalidCode, 90, Some(30), &wrong, ""),
            (VerifyStatus::InvalidCode, 70, Some(90), refused, "problem"),
        ] {
            let refused = refused_at.map(|second| RefusedNumber {
                service: ServiceId::DEFAULT,
                number: number(),
                last: after(second),
                rule: Rule::Prefix,
                until: None,
                client: None,
                times: 1,
            });
            let message = message(status, checked);
            let answer =
                Answer::of(Some(&message), refused, CodeState::None, &|_, _| None).expect("an answer");
            assert_eq!((answer.what.as_str(), answer.class), (what, class));
            assert_eq!(answer.was_refused, class == "problem");
        }
        assert!(Answer::of(None, None, CodeState::None, &|_, _| None).is_none());
    }

    /// The buttons of each state: `Cancel the verification` of a pending code, `Unlock` where wrong codes count.
    #[test]
    fn the_advice_follows_from_the_state_and_names_only_its_buttons() {
        let until = after(600);
        let refused = |rule| RefusedNumber {
            service: ServiceId::DEFAULT,
            number: number(),
            last: after(90),
            rule,
            until: Some(until),
            client: None,
            times: 1,
        };
        let wrong = message(VerifyStatus::InvalidCode, 80);
        let void = "one at 2027-01-15 12:10:00 UTC, or at once after you unlock the number below.";
        for (state, rule, says) in [
            (CodeState::Pending, None, NEWEST),
            (CodeState::Pending, Some(Rule::Verification), "cancel the verification below"),
            (CodeState::UsedUp(until), None, void),
            (CodeState::UsedUp(until), Some(Rule::Verification), void),
            (CodeState::Locked(until), None, void),
            (CodeState::Locked(until), Some(Rule::Lockout), void),
            (CodeState::Locked(until), Some(Rule::Prefix), "allow the number on the guard page"),
            (CodeState::None, None, ASK_AGAIN),
            (CodeState::None, Some(Rule::Verification), ASK_AGAIN),
            (CodeState::None, Some(Rule::Lockout), ASK_AGAIN),
        ] {
            let help =
                Answer::of(Some(&wrong), rule.map(refused), state, &|_, _| None).expect("an answer").help;
            assert!(help.contains(says), "{state:?} {rule:?}: {help}");
            let names = |button| help.contains(button);
            assert!(state == CodeState::Pending || !names("cancel"), "{state:?}: {help}");
            assert!(
                matches!(state, CodeState::UsedUp(_) | CodeState::Locked(_)) || !names("unlock"),
                "{help}"
            );
        }
        let verified = message(VerifyStatus::Success, 80);
        let answer =
            Answer::of(Some(&verified), None, CodeState::Locked(until), &|_, _| None).expect("an answer");
        assert_eq!(answer.help, "There is nothing to do.");
    }
}
