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

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::Sid;

/// The addresses and ids that views are made with.
pub struct Frame<'a> {
    /// What every address begins with, up to and with `/v2`.
    pub base: &'a str,
    pub account: Sid,
}

impl Frame<'_> {
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }
}

/// An object without members.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct Empty {}
