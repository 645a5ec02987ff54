//! What most files of resources use.

pub use axum::Json;
pub use hyper::StatusCode;

pub use super::context::{Answer, Given, Gone, Made, Request, created, listing, operation};
pub use super::error::{Cause, Error};
pub(in crate::http) use super::params::*;
pub use crate::domain::{PhoneNumber, Sid, SidKind, Timestamp};
pub use crate::http::route::{Access, ApiGroup, ApiRouter};
pub use crate::registry::{Scope, Service};
