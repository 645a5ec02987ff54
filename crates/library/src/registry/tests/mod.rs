//! The registry as its callers use it.

mod audit;
mod belongings;
mod configured;
mod credentials;
mod durability;
mod services;
mod texts;

use std::time::Duration;

use serde_json::json;

use self::belongings::{test_number, webhook};
use super::world::{
    START, TWILIOS, World, configured, contract, given, locale, named, number, refused_field, template,
};
use crate::domain::{ServiceId, Sid, SidKind, Timestamp};
use crate::registry::audit::Actor;
use crate::registry::{Item, Registry, RegistryError, Service, TestNumber, template_sid};
