//! The answers: Twilio's resources with all their fields, in its order. What is not known is null.

mod belongings;
mod service;
mod verification;

pub use belongings::{
    BucketView, MessagingConfigurationView, RateLimitView, SafeNumberView, TemplateView, TestNumberView,
    WebhookView,
};
pub use service::ServiceView;
pub use verification::{AttemptView, CheckView, SummaryView, VerificationView};

use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use crate::domain::{Sid, Timestamp};

/// The addresses and ids that views are made with.
pub struct Frame<'a> {
    /// What every address begins with, up to and with `/v2`.
    pub base: &'a str,
    /// The account.
    pub account: Sid,
}

impl Frame<'_> {
    /// An address.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }
}

/// A moment as Twilio writes it: RFC 3339 in UTC, to the second.
#[derive(Debug, Clone, Copy)]
pub struct Date(Timestamp);

impl From<Timestamp> for Date {
    fn from(at: Timestamp) -> Self {
        Self(at)
    }
}

impl Serialize for Date {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0.rfc3339_seconds())
    }
}

/// An object without members.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct Empty {}
