//! The input and the output of a delivery run, and messages that are planned.

use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Failure;
use crate::domain::{AttemptLogKey, Channel, Code, GatewayName, Held, PhoneNumber, Timestamp};
use crate::engine::SendResult;
use crate::gateway::{ErrorClass, ReceiptStatus};
use crate::guard::Ticket;
use crate::template::MessageStyle;
use crate::trace::RequestId;

/// One message to deliver. Has no `Debug`: it contains a code.
pub struct Job {
    /// The record of the verification's attempts.
    pub log: AttemptLogKey,
    /// The recipient.
    pub number: PhoneNumber,
    /// The message's template, language and format.
    pub style: MessageStyle,
    /// When the code expires: nothing is sent any more.
    pub expires: Timestamp,
    /// The channel of a requested message. A follow-up has its own.
    pub channel: Channel,
    /// The code in the message.
    pub code: Code,
    /// The gateway that holds this verification's code, because it made the code of an earlier message. No
    /// other gateway can repeat that code; therefore only this one is asked.
    pub held: Option<Held>,
    /// Whether only gateways that carry our code may be asked: the caller chose the code.
    pub ours_only: bool,
    /// An operator tries one gateway: only that one is asked, whatever the routing says.
    pub trial: Option<Trial>,
    /// The number of the run's first attempt, unless that repeats an earlier one; further attempts count on.
    pub first_attempt: u8,
    /// Why the message is sent.
    pub purpose: Purpose,
    /// The longest time for a message with a carried code, after which nothing is planned. `None` for one of a verification.
    pub within: Option<Duration>,
    /// The id of the client's request, for the log, and its span.
    pub request_id: Option<RequestId>,
}

/// A trial of one gateway.
#[derive(Debug, Clone)]
pub struct Trial {
    /// The gateway.
    pub gateway: GatewayName,
    /// Why it did not accept the message, in the words of the log.
    pub error: Arc<OnceLock<String>>,
}

/// Why a message is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// A client requested it and waits.
    Request {
        /// What the guard has taken for it. Of an exempt one it takes nothing for further steps either.
        allowance: TakenAllowance,
    },
    /// A planned message is due.
    FollowUp(FollowUp),
}

impl Purpose {
    /// What the guard has taken for the message.
    pub const fn allowance(&self) -> TakenAllowance {
        match self {
            Self::Request { allowance } => *allowance,
            Self::FollowUp(follow_up) => follow_up.allowance,
        }
    }

    /// Whether it follows another message of the same request on another channel.
    pub const fn is_next_step(&self) -> bool {
        matches!(self, Self::FollowUp(FollowUp { reason: Reason::NextStep, .. }))
    }
}

/// Whether a code is still live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeState {
    /// The code works.
    Live,
    /// It was used, replaced or locked since the send was decided.
    Ended,
    /// The shard does not answer, or this process may not own the number any more.
    Unknown,
}

/// Reports whether a code is still live. A run asks it before a gateway may get the message.
pub trait CodeLiveness: Sync {
    /// A run asks when time has passed: after a wait for a permit, and before every gateway but the first.
    fn code_state(&self) -> impl Future<Output = CodeState> + Send;

    /// Whether this process may still send: in a cluster, not when it may have lost the ownership of the number. A run
    /// asks right before each gateway.
    fn may_send(&self) -> bool {
        true
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
    /// What the guard has taken, and does not get back.
    pub allowance: TakenAllowance,
}

/// One gateway that was asked once, as delivery makes it and as the record of the verification keeps it. A message for
/// which no gateway could be asked has one attempt too, so that an operator finds it in the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its number among the verification's attempts: that of an earlier attempt if it repeats that one, which only the first
    /// attempt of a run can do.
    #[serde(rename = "attempt")]
    pub number: u8,
    /// The channel of this attempt.
    pub channel: Channel,
    /// The gateway of this attempt.
    pub gateway: GatewayName,
    /// The gateway's position in the order of gateways for this number, from 0.
    pub priority: u8,
    /// The status of the send.
    pub status: SendStatus,
    /// The number of retries.
    pub retries: u32,
    /// Whether it was given up because it was tried as often as is allowed.
    pub max_retries_reached: bool,
    /// When the gateway answered last, or when the budget ended.
    pub at: Timestamp,
    /// The provider's id of the message.
    pub message_id: Option<String>,
    /// The provider's error code.
    pub error_code: Option<u32>,
    /// The provider's latest report.
    pub receipt: Option<ReceiptStatus>,
    /// When that came.
    #[serde(default)]
    pub receipt_at: Option<Timestamp>,
    /// The class of the gateway's error; [`ErrorClass::Ambiguous`] if it did not answer in time. Not kept.
    #[serde(skip)]
    pub class: Option<ErrorClass>,
}

impl Attempt {
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
    Set(FollowUp),
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

/// What the pumping guard has taken for a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TakenAllowance {
    /// Nothing: the request asked for no check.
    Exempt,
    /// This, and no message may have left. It is given back if none leaves.
    #[serde(rename = "Held")]
    Refundable(Ticket),
    /// One message, and one may have left. The next step takes its own.
    #[serde(rename = "Spent")]
    Final,
}

impl TakenAllowance {
    /// What the guard gets back if no message leaves any more.
    pub const fn refundable(&self) -> Option<Ticket> {
        match self {
            Self::Refundable(ticket) => Some(*ticket),
            Self::Exempt | Self::Final => None,
        }
    }
}

/// A message that is to be sent later, while no client waits for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FollowUp {
    /// When.
    pub due: Timestamp,
    /// The channel of the next attempt.
    pub channel: Channel,
    /// Why.
    pub reason: Reason,
    /// The step of the workflow that it belongs to, from 0.
    pub step: u8,
    /// Messages that gateways have taken for this verification so far.
    pub sent: u8,
    /// What the guard has taken for it.
    pub allowance: TakenAllowance,
}

/// Why a message is sent later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// No gateway took it yet.
    Retry {
        /// The number of the attempt that is repeated.
        attempt: u8,
        /// Retries made so far.
        retries: u32,
    },
    /// It is the next step's turn, unless the message before it arrives.
    NextStep,
}
