//! What most files of resources use.

pub use axum::Json;
pub use hyper::StatusCode;

pub use super::context::{Answer, Given, Gone, InService, Made, Request, created, listing, operation};
pub use super::error::{Cause, Error};
pub use super::paging::Listed;
pub(in crate::http) use super::params::*;
pub use crate::domain::{
    Channel, Code, CodeLength, Locale, PhoneNumber, Region, ServiceId, Sid, SidKind, Timestamp,
};
pub use crate::http::route::{Access, ApiGroup, ApiRouter};
pub use crate::registry::{Scope, Service};
