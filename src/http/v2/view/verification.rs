//! A verification, and what a check of a code is answered.

use serde::Serialize;
use utoipa::ToSchema;

use super::{Empty, Frame};
use crate::domain::{Channel, Sid};
use crate::http::v2::date;
use crate::verify::{SendAttempt, Status, Verification};

/// A verification.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Verification)]
pub struct VerificationView {
    /// Its id.
    #[schema(pattern = "^VE[0-9a-f]{32}$")]
    sid: String,
    /// The service it belongs to.
    #[schema(pattern = "^VA[0-9a-f]{32}$")]
    service_sid: String,
    /// The account.
    #[schema(pattern = "^AC[0-9a-f]{32}$")]
    account_sid: String,
    /// The number, in E.164 form.
    to: String,
    /// How it was asked for last.
    channel: ChannelName,
    /// How far it is.
    status: StatusName,
    /// Whether it is approved.
    valid: bool,
    /// What is known of the number without asking anybody: nothing that Twilio would tell here.
    lookup: Empty,
    /// Always null: transactions are not served.
    #[schema(required)]
    amount: Option<String>,
    /// Always null: transactions are not served.
    #[schema(required)]
    payee: Option<String>,
    /// Its messages so far, the oldest first.
    send_code_attempts: Vec<SendAttemptView>,
    /// When it began.
    #[schema(format = DateTime)]
    date_created: String,
    /// When something happened to it last.
    #[schema(format = DateTime)]
    date_updated: String,
    /// Always null: silent network authentication is not served.
    #[schema(required)]
    sna: Option<Empty>,
    /// Its address.
    #[schema(format = "uri")]
    url: String,
}

/// One of a verification's messages.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SendCodeAttempt)]
struct SendAttemptView {
    /// When a provider was asked to take it.
    #[schema(format = DateTime)]
    time: String,
    /// How it was to be delivered, in Twilio's spelling.
    channel: AttemptChannelName,
    /// Its id.
    #[schema(pattern = "^VL[0-9a-f]{32}$")]
    attempt_sid: String,
}

/// A channel.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = Channel)]
pub enum ChannelName {
    /// A text message.
    Sms,
    /// A call.
    Call,
    /// A message over `WhatsApp`.
    Whatsapp,
}

/// A channel, as attempts of a verification spell it.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[schema(as = AttemptChannel)]
enum AttemptChannelName {
    #[serde(rename = "SMS")]
    Sms,
    #[serde(rename = "CALL")]
    Call,
    #[serde(rename = "whatsapp")]
    Whatsapp,
}

/// How far a verification is.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = VerificationStatus)]
enum StatusName {
    Pending,
    Approved,
    Canceled,
    MaxAttemptsReached,
}

impl From<Channel> for ChannelName {
    fn from(channel: Channel) -> Self {
        match channel {
            Channel::Sms => Self::Sms,
            Channel::Call => Self::Call,
            Channel::WhatsApp => Self::Whatsapp,
        }
    }
}

impl From<Channel> for AttemptChannelName {
    fn from(channel: Channel) -> Self {
        match channel {
            Channel::Sms => Self::Sms,
            Channel::Call => Self::Call,
            Channel::WhatsApp => Self::Whatsapp,
        }
    }
}

impl From<Status> for StatusName {
    fn from(status: Status) -> Self {
        match status {
            Status::Pending => Self::Pending,
            Status::Approved => Self::Approved,
            Status::Canceled => Self::Canceled,
            Status::MaxAttemptsReached => Self::MaxAttemptsReached,
        }
    }
}

impl VerificationView {
    /// A verification of the service `VA`.
    pub fn new(frame: &Frame<'_>, service: Sid, verification: &Verification) -> Self {
        let sid = verification.sid;
        let attempts =
            verification.attempts.iter().map(|SendAttempt { sid, time, channel }| SendAttemptView {
                time: date::written(*time),
                channel: (*channel).into(),
                attempt_sid: sid.to_string(),
            });
        Self {
            sid: sid.to_string(),
            service_sid: service.to_string(),
            account_sid: frame.account.to_string(),
            to: verification.to.e164(),
            channel: verification.channel.into(),
            status: verification.status.into(),
            valid: verification.status == Status::Approved,
            lookup: Empty {},
            amount: None,
            payee: None,
            send_code_attempts: attempts.collect(),
            date_created: date::written(verification.created),
            date_updated: date::written(verification.updated),
            sna: None,
            url: frame.url(&format!("/Services/{service}/Verifications/{sid}")),
        }
    }
}

/// What a check of a code is answered.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = VerificationCheck)]
pub struct CheckView {
    /// The verification's id.
    #[schema(pattern = "^VE[0-9a-f]{32}$")]
    sid: String,
    /// The service it belongs to.
    #[schema(pattern = "^VA[0-9a-f]{32}$")]
    service_sid: String,
    /// The account.
    #[schema(pattern = "^AC[0-9a-f]{32}$")]
    account_sid: String,
    /// The number, in E.164 form.
    to: String,
    /// How the code was asked for last.
    channel: ChannelName,
    /// `approved` when the code was right, else `pending`: a wrong code is no error.
    status: StatusName,
    /// Whether the code was right.
    valid: bool,
    /// Always null: transactions are not served.
    #[schema(required)]
    amount: Option<String>,
    /// Always null: transactions are not served.
    #[schema(required)]
    payee: Option<String>,
    /// When the verification began.
    #[schema(format = DateTime)]
    date_created: String,
    /// When something happened to it last.
    #[schema(format = DateTime)]
    date_updated: String,
    /// Always empty: silent network authentication is not served.
    sna_attempts_error_codes: Vec<Empty>,
}

impl CheckView {
    /// After a check in the service `VA`.
    pub fn new(frame: &Frame<'_>, service: Sid, verification: &Verification) -> Self {
        Self {
            sid: verification.sid.to_string(),
            service_sid: service.to_string(),
            account_sid: frame.account.to_string(),
            to: verification.to.e164(),
            channel: verification.channel.into(),
            status: verification.status.into(),
            valid: verification.status == Status::Approved,
            amount: None,
            payee: None,
            date_created: date::written(verification.created),
            date_updated: date::written(verification.updated),
            sna_attempts_error_codes: Vec::new(),
        }
    }
}
