//! One message: what is asked, what is permitted, what came of it, and what is planned.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Failure;
use crate::domain::{AttemptLogKey, Channel, Code, GatewayName, NumberKey, Sid, Timestamp};
use crate::engine::{Salt, SendOptions, SendPermit, SendResult};
use crate::gateway::{ErrorClass, ReceiptStatus};
use crate::limits::guard::{Charge, ClientSignals, Signals, Ticket};
use crate::limits::keys::{GivenKey, RequestKey};
use crate::observe::trace::RequestId;
use crate::template::MessageStyle;

/// One message, from the parsed request to its settlement. The stations on its way add to it.
pub struct Outgoing {
    pub key: NumberKey,
    /// How the message leaves. A call may replace a text message to a landline.
    pub channel: Channel,
    pub style: MessageStyle,
    /// Which template (`HJ`) words it; `None` for the service's.
    pub template: Option<Sid>,
    pub substitutions: BTreeMap<String, String>,
    /// Values for rate limits, by their unique names.
    pub rate_limits: BTreeMap<String, String>,
    /// What it is charged by them.
    pub limits: Vec<Charge>,
    pub once: Option<GivenKey>,
    /// Properties of a new code; `None` for the service's own.
    pub options: Option<SendOptions>,
    /// The verification has limits and an id. By the compatible routes it has neither: each of their messages replaces the
    /// code.
    pub has_limits: bool,
    /// The code of the verification, where the caller makes it.
    pub supplied_code: Option<Code>,
    /// Tags that the caller attaches to the verification, for its events.
    pub tags: BTreeMap<String, String>,
    /// The record of the request's idempotency key.
    pub keyed: Option<RequestKey>,
    /// What the request says to the pumping guard.
    pub client: ClientSignals,
    pub request_id: Option<RequestId>,
    /// What the decision asks the guard, with the parts of the message; `None` if it needs no allowance.
    pub asks: Option<(Signals, u32)>,
    /// What the guard has taken for it; `None` if the message may have left: the next step takes its own.
    pub allowance: Option<Vec<Ticket>>,
    /// `supplied_code` is another system's: nothing is planned, and the caller repeats what failed.
    pub carried: Option<Carried>,
}

/// How a message with another system's code is delivered.
#[derive(Default)]
pub struct Carried {
    /// How long the code can be used; `None` for the life of the service's codes.
    pub life: Option<Duration>,
    /// How long the caller waits, if that is shorter than the service's send budget.
    pub within: Option<Duration>,
    /// The only gateway that is asked, as an operator tries it; `None` for those of the number.
    pub only_by: Option<GatewayName>,
    /// How long a repetition sends nothing, if this is longer than the life of the code.
    pub remembered_for: Duration,
}

impl Outgoing {
    /// A message without options.
    pub fn new(key: NumberKey, channel: Channel) -> Self {
        Self {
            key,
            channel,
            style: MessageStyle::default(),
            template: None,
            substitutions: BTreeMap::new(),
            rate_limits: BTreeMap::new(),
            limits: Vec::new(),
            once: None,
            options: None,
            has_limits: false,
            supplied_code: None,
            tags: BTreeMap::new(),
            keyed: None,
            client: ClientSignals::default(),
            request_id: None,
            asks: None,
            allowance: Some(Vec::new()),
            carried: None,
        }
    }

    /// The only gateway that is asked, if it is tried.
    pub fn only_by(&self) -> Option<GatewayName> {
        self.carried.as_ref()?.only_by
    }
}

/// What the decision adds to a message: the right to send it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permitted {
    /// The verification, and the code that it replaced.
    pub permit: SendPermit,
    /// The record of the verification's attempts.
    pub log: AttemptLogKey,
    /// The number of the first attempt that repeats no earlier one; further attempts count on.
    pub first_attempt: u8,
    /// The attempts that a retried message has on its channel, by gateway, the newest first: one by the same gateway repeats
    /// it.
    pub repeated: Vec<(Channel, GatewayName, u8)>,
    /// The plan that this message carries out; `None` where a client waits for it.
    pub planned: Option<Box<PlannedMessage>>,
    /// The gateways whose message of this verification is not known to have arrived, the one that was asked last at the
    /// end: other gateways are asked before them.
    pub asked: Vec<GatewayName>,
}

impl Permitted {
    /// Whether a gateway has accepted a message of the same request before.
    pub(super) fn is_sent(&self) -> bool {
        self.planned.as_ref().is_some_and(|planned| planned.is_sent)
    }

    /// When the code expires: nothing is sent any more.
    pub const fn expires(&self) -> Timestamp {
        self.permit.verification.expires
    }
}

/// The outcome of a delivery run, and what has to be recorded of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "the attempts and the plan have to be recorded"]
pub struct Delivered {
    /// The result for the caller, once the plan is durable.
    pub result: SendResult,
    /// The gateways that were tried, in that order.
    pub attempts: Vec<Attempt>,
    /// The change of the verification's planned message.
    pub plan: PlanChange,
    /// Why no gateway accepted the message; `None` if one did or if the message is postponed.
    pub reason: Option<Failure>,
    /// [`Outgoing::allowance`] at its end.
    pub allowance: Option<Vec<Ticket>>,
    /// Parts of its last text message.
    pub parts: u8,
}

impl Delivered {
    const NOT_SENT: SendResult = SendResult::Failed { may_have_been_sent: None };

    /// The result of a message for which no gateway was asked, because its code could no longer be used.
    pub fn no_longer_usable(outgoing: &Outgoing, permitted: &Permitted) -> Self {
        let plan = match permitted.planned {
            None => PlanChange::Keep,
            Some(_) => PlanChange::End(Some(Failure::NoLongerUsable)),
        };
        let (result, reason) = (Self::NOT_SENT, Some(Failure::NoLongerUsable));
        let (attempts, allowance) = (Vec::new(), outgoing.allowance.clone());
        Self { result, attempts, plan, reason, allowance, parts: 1 }
    }

    /// Why certainly no message was sent. One that is planned again may be.
    pub fn certain_failure(&self) -> Option<Failure> {
        self.reason.filter(|_| self.result == Self::NOT_SENT)
    }

    /// What the guard gets back: no message has left, and none will.
    pub fn certainly_not_sent(&self) -> Vec<Ticket> {
        let is_planned = matches!(self.plan, PlanChange::Set(_));
        if is_planned { Vec::new() } else { self.allowance.clone().unwrap_or_default() }
    }
}

/// One gateway that was asked once, as delivery makes it and as the record of the verification keeps it. A message for
/// which no gateway could be asked has one attempt too, so that an operator finds it in the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its number among the verification's attempts: that of an earlier attempt by the same gateway if it repeats that one.
    #[serde(rename = "attempt")]
    pub number: u8,
    pub channel: Channel,
    pub gateway: GatewayName,
    /// The gateway's position in the order of gateways for this number, from 0.
    pub priority: u8,
    pub status: SendStatus,
    pub retries: u32,
    /// Whether it was given up because it was tried as often as is allowed.
    pub max_retries_reached: bool,
    /// When the gateway answered last, or when the budget ended.
    pub at: Timestamp,
    /// The provider's id of the message.
    pub message_id: Option<String>,
    /// The provider's.
    pub error_code: Option<u32>,
    /// What the provider said last of a failure, masked: at most 200 characters.
    pub said: Option<Box<str>>,
    /// The provider's latest report.
    pub receipt: Option<ReceiptStatus>,
    /// When that came; without a report, when it was certain that no try of this attempt had left.
    pub receipt_at: Option<Timestamp>,
    /// The class of the gateway's error; [`ErrorClass::Ambiguous`] if it did not answer in time. Not kept.
    #[serde(skip)]
    pub class: Option<ErrorClass>,
}

impl Attempt {
    /// Whether it is not certain that no message has left.
    pub fn may_have_left(&self) -> bool {
        self.status == SendStatus::Sent || (self.status != SendStatus::New && self.receipt_at.is_none())
    }

    /// What the gateway answered when it did not take the message, for people.
    pub fn error(&self) -> Option<String> {
        let code = self.error_code.map(|code| format!("error {code}"));
        let parts: Vec<&str> = code.as_deref().into_iter().chain(self.said.as_deref()).collect();
        let is_known =
            matches!(self.status, SendStatus::GatewayError | SendStatus::Unsendable) && !parts.is_empty();
        is_known.then(|| parts.join(": "))
    }

    /// An attempt at `at` with the first gateway of its number, without an answer so far.
    pub const fn new(
        number: u8,
        channel: Channel,
        gateway: GatewayName,
        status: SendStatus,
        at: Timestamp,
    ) -> Self {
        Self {
            number,
            channel,
            gateway,
            priority: 0,
            status,
            retries: 0,
            max_retries_reached: false,
            at,
            message_id: None,
            error_code: None,
            said: None,
            receipt: None,
            receipt_at: None,
            class: None,
        }
    }
}

/// The change of a verification's planned message by a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlanChange {
    /// The plan stays as it is: no gateway was asked. A planned message never ends so, since it begins by leaving the
    /// plan.
    Keep,
    /// This message replaces the plan. It is durable before a caller learns that its message is postponed.
    Set(Box<PlannedMessage>),
    /// Removes the plan. For a planned message that was certainly not sent: the reason.
    End(Option<Failure>),
}

crate::named! {
    /// The progress of an attempt. Records contain the position in this order.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
    pub enum SendStatus {
        /// Not tried yet.
        New = "new",
        /// The gateway refused it, failed, or did not answer.
        GatewayError = "gateway_error",
        /// The gateway took it.
        Sent = "sent",
        /// It is not tried any more.
        Unsendable = "unsendable",
    }
}

/// A message that is to be sent later, while no client waits for it, with all that it needs. Removing it removes the salt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedMessage {
    /// Of its code.
    pub salt: Salt,
    pub style: MessageStyle,
    /// When its code expires. Nothing is sent after it.
    pub expires: Timestamp,
    pub due: Timestamp,
    pub channel: Channel,
    pub reason: Reason,
    /// The step of the workflow that it belongs to, from 0.
    pub step: u8,
    /// Whether a gateway has taken a message of the same request.
    pub is_sent: bool,
    /// [`ClientSignals::is_exempt`] of its request.
    pub is_exempt: bool,
    /// [`Outgoing::allowance`].
    pub allowance: Option<Vec<Ticket>>,
}

/// Why a message is sent later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// A client asks for it: it is under way, and never a plan.
    Asked,
    /// No gateway took it yet.
    Retry {
        /// Retries made so far.
        retries: u32,
    },
    /// It is the next step's turn, unless the message before it arrives.
    NextStep,
}
