//! What most pages use.

pub use askama::Template;
pub use axum::response::Response;
pub use schemars::JsonSchema;
pub use serde::Deserialize;

pub use super::figures::{exact_money, grouped, money, share, time_left};
pub(super) use super::list;
pub use super::list::List;
pub use super::page::{AdminRequest, PageResult, html, moment};
pub use super::session::{NO_ACTION, Notice};
pub use crate::domain::{GatewayName, PhoneNumber, Region, ServiceId, Sid, SidKind, Timestamp};
pub use crate::http::error::Error;
pub use crate::http::pages::{address, redirect};
pub(in crate::http) use crate::http::values;
pub use crate::registry::Service;
