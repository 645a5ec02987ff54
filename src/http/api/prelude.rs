//! What most files of resources use.

pub use axum::Json;
pub use hyper::StatusCode;
pub use schemars::JsonSchema;
pub use serde::{Deserialize, Serialize};

pub use super::access::{Answer, Caller, Gone, InService, Keyed, Made, Segments, created};
pub use super::paging::{Listed, Listing, Turn};
pub use crate::domain::{Channel, Code, CodeLength, Region, ServiceId, Sid};
pub use crate::http::call::{Access, Group};
pub use crate::http::error::Error;
pub use crate::http::form::{Form, Params};
pub use crate::http::openapi::{Routes, gone, list_of, made, ok};
pub(in crate::http) use crate::http::values;
pub use crate::http::values::{
    AccountSid, AttemptSid, BucketSid, Date, HostedSessionSid, Id, MessagingServiceSid, RateLimitSid,
    SafeNumberSid, ServiceSid, TemplateSid, Url, VerificationSid, WebhookSid,
};
pub use crate::registry::{self, Scope, Service};
pub use crate::shard::LogRange;
pub use crate::verification::Refusal;
