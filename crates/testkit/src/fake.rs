//! Verifications with scripted answers that record their calls.

use std::sync::{Arc, Mutex, MutexGuard};

use onceward::delivery::attempts::{ListedAttempt, VerifyStatus};
use onceward::delivery::{Attempt, SendStatus};
use onceward::domain::{
    AttemptId, AttemptLogKey, Channel, GatewayName, PhoneNumber, ServiceId, Sid, SidKind, Timestamp,
};
use onceward::engine::LockoutState;
use onceward::gateway::{BoxFuture, ReceiptStatus};
use onceward::registry::audit::Author;
use onceward::verification::numbers::Outgoing;
use onceward::verification::verify::{
    AttemptQuery, BeginRequest, CarriedMessage, CarryCode, CheckCode, Ending, Erasure, Refused,
    SealedAttempt, Status, Summary, Verification, VerificationTarget, Verifications,
};

use crate::world::NUMBER;

/// A call of the fake, with readable secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    Begin(Box<Begun>),
    Carry { to: String, code: String },
    Check { target: VerificationTarget, code: Option<String> },
    Fetch(VerificationTarget),
    End(VerificationTarget, Ending),
    Attempts(AttemptQuery),
    Attempt(Sid),
    Summary(AttemptQuery),
}

/// The parts of a [`BeginRequest`] as text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Begun {
    pub to: String,
    pub channel: Option<Channel>,
    pub locale: Option<String>,
    pub friendly_name: Option<String>,
    pub code: Option<String>,
    pub app_hash: Option<String>,
    pub template: Option<Sid>,
    pub substitutions: Vec<(String, String)>,
    pub rate_limits: Vec<(String, String)>,
    pub tags: Vec<(String, String)>,
    pub send_digits: Option<String>,
    pub idempotency_key: Option<String>,
    pub fingerprint: [u8; 32],
}

type Answer<'a, T> = BoxFuture<'a, Result<T, Refused>>;

/// One answer for all calls; by default the verification that is asked for is pending until it is ended.
#[derive(Clone, Default)]
pub struct Fake {
    refusal: Arc<Mutex<Option<Refused>>>,
    status: Arc<Mutex<Option<Status>>>,
    attempts: Arc<Mutex<Vec<SealedAttempt>>>,
    messages: Arc<Mutex<Vec<SealedAttempt>>>,
    asked: Arc<Mutex<Vec<Call>>>,
}

pub fn number() -> PhoneNumber {
    PhoneNumber::parse(NUMBER, None).expect("a number")
}

pub fn ve() -> Sid {
    Sid::new(SidKind::Verification, [0xaa; 16])
}

pub fn vl(byte: u8) -> Sid {
    Sid::new(SidKind::Attempt, [byte; 16])
}

/// 2015-07-30T20:00:00Z
pub const THEN: Timestamp = Timestamp::from_millis(1_438_286_400_000);

/// To a number in Colombia.
pub fn attempt(number: u8, service: ServiceId, channel: Channel) -> SealedAttempt {
    SealedAttempt {
        sid: vl(number),
        verification: ve(),
        listed: ListedAttempt {
            parts: 1,
            id: AttemptId { key: AttemptLogKey { service, verification: 0 }, attempt: number },
            number: PhoneNumber::parse("+573003003030", None).expect("a number"),
            attempt: Attempt {
                error_code: Some(30008),
                receipt: Some(ReceiptStatus::Failed),
                ..Attempt::new(number, channel, GatewayName::TwilioMessages, SendStatus::Sent, THEN)
            },
            verify_status: VerifyStatus::New,
            checked_at: None,
            converted: false,
        },
    }
}

impl Fake {
    pub fn refuse(&self, refused: Refused) {
        *self.refusal.lock().expect("not poisoned") = Some(refused);
    }

    pub fn with_status(&self, status: Status) {
        *self.status.lock().expect("not poisoned") = Some(status);
    }

    pub fn with_attempts(&self, attempts: Vec<SealedAttempt>) {
        *self.attempts.lock().expect("not poisoned") = attempts;
    }

    /// Adds messages to the three of a verification.
    pub fn with_messages(&self, messages: Vec<SealedAttempt>) {
        *self.messages.lock().expect("not poisoned") = messages;
    }

    pub fn asked(&self) -> Vec<Call> {
        self.calls().clone()
    }

    /// The calls since the last time.
    pub fn take_asked(&self) -> Vec<Call> {
        std::mem::take(&mut self.calls())
    }

    fn calls(&self) -> MutexGuard<'_, Vec<Call>> {
        self.asked.lock().expect("not poisoned")
    }

    pub fn begun(&self) -> Begun {
        match self.asked().pop() {
            Some(Call::Begin(begun)) => *begun,
            other => panic!("no verification was begun: {other:?}"),
        }
    }

    fn answer<T: Send + 'static>(&self, answer: T) -> Answer<'_, T> {
        let refusal = self.refusal.lock().expect("not poisoned").clone();
        Box::pin(async move { refusal.map_or(Ok(answer), Err) })
    }

    fn verification(
        &self,
        service: ServiceId,
        target: VerificationTarget,
        status: Status,
    ) -> Answer<'_, Verification> {
        let messages = self.messages.lock().expect("not poisoned").clone();
        self.answer(Verification {
            sid: if let VerificationTarget::Sid(sid) = target { sid } else { ve() },
            service,
            to: if let VerificationTarget::Number(number) = target { number } else { number() },
            channel: Channel::Sms,
            status: self.status.lock().expect("not poisoned").unwrap_or(status),
            created: THEN,
            updated: THEN,
            attempts: [
                attempt(1, service, Channel::Sms),
                attempt(2, service, Channel::Call),
                attempt(3, service, Channel::WhatsApp),
            ]
            .into_iter()
            .chain(messages)
            .collect(),
        })
    }
}

impl Verifications for Fake {
    fn begin(&self, begin: BeginRequest) -> Answer<'_, Verification> {
        let Outgoing { key, channel, style, supplied_code, tags, .. } = begin.message;
        let target = VerificationTarget::Number(key.number);
        self.calls().push(Call::Begin(Box::new(Begun {
            to: key.number.e164(),
            channel,
            locale: style.locale.map(|locale| locale.to_string()),
            friendly_name: style.sender_name.map(String::from),
            code: supplied_code.map(|code| code.expose().to_owned()),
            app_hash: style.app_hash.map(|hash| hash.as_str().to_owned()),
            template: begin.template,
            substitutions: begin.substitutions.into_iter().collect(),
            rate_limits: begin.rate_limits.into_iter().collect(),
            tags: tags.into_iter().collect(),
            send_digits: style.send_digits.map(|digits| digits.as_str().to_owned()),
            idempotency_key: begin.idempotency_key,
            fingerprint: begin.fingerprint,
        })));
        self.verification(key.service, target, Status::Pending)
    }

    fn carry(&self, carry: CarryCode) -> Answer<'_, CarriedMessage> {
        let CarryCode { code, begin, .. } = carry;
        let (to, channel) = (begin.message.key.number, begin.message.channel());
        self.calls().push(Call::Carry { to: to.e164(), code: code.expose().to_owned() });
        self.answer(CarriedMessage { sid: Some(vl(1)), to, channel, at: THEN, is_repeated: false })
    }

    fn outcome(&self, _: ServiceId, _: PhoneNumber) -> Answer<'_, bool> {
        self.answer(true)
    }

    fn check(&self, service: ServiceId, check: CheckCode) -> Answer<'_, Verification> {
        if check.number.is_some_and(|given| given != number()) {
            return Box::pin(async { Err(Refused::NotFound) });
        }
        let code = check.code.map(|code| code.expose().to_owned());
        self.calls().push(Call::Check { target: check.target, code });
        self.verification(service, check.target, Status::Pending)
    }

    fn fetch(&self, service: ServiceId, target: VerificationTarget) -> Answer<'_, Verification> {
        self.calls().push(Call::Fetch(target));
        self.verification(service, target, Status::Pending)
    }

    fn end(
        &self,
        service: ServiceId,
        target: VerificationTarget,
        ending: Ending,
        _: Option<Author>,
    ) -> Answer<'_, Verification> {
        self.calls().push(Call::End(target, ending));
        let status = if ending == Ending::Approved { Status::Approved } else { Status::Canceled };
        self.verification(service, target, status)
    }

    fn lockout(&self, _: ServiceId, _: PhoneNumber) -> Answer<'_, LockoutState> {
        Box::pin(async { Ok(LockoutState { wrong_codes: 5, until: None }) })
    }

    fn unlock(&self, _: ServiceId, _: PhoneNumber, _: Author) -> Answer<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn erase(&self, _: ServiceId, _: PhoneNumber, _: Author) -> Answer<'_, Erasure> {
        Box::pin(async { Ok(Erasure::default()) })
    }

    fn attempts(&self, query: AttemptQuery) -> Answer<'_, Vec<SealedAttempt>> {
        self.calls().push(Call::Attempts(query.clone()));
        let all = self.attempts.lock().expect("not poisoned").clone();
        self.answer(all.into_iter().skip(query.skip).take(query.limit).collect())
    }

    fn attempt(&self, sid: Sid) -> Answer<'_, SealedAttempt> {
        self.calls().push(Call::Attempt(sid));
        let found = self.attempts.lock().expect("not poisoned").iter().find(|kept| kept.sid == sid).cloned();
        Box::pin(async move { found.ok_or(Refused::NotFound) })
    }

    fn summary(&self, query: AttemptQuery) -> Answer<'_, Summary> {
        self.calls().push(Call::Summary(query));
        self.answer(Summary { total: 11, converted: 9 })
    }
}
