//! The gateways: their variables, what each needs, and in which order they are tried.
//!
//! A gateway is used when it has all it needs. Half a configuration is an error that names what is
//! missing: a message that silently goes nowhere is the worst outcome of a forgotten variable.

mod assemble;
mod credentials;
mod http;
mod http_secrets;
mod kinds;
mod mada;
mod offer;
mod sinch;
mod twilio;
mod twilio_checks;
pub mod twilio_kinds;

pub use assemble::{GatewayKeys, VariableKeys, Wishes, assemble};
pub use http::HttpGateway;
pub use kinds::{Identifier, Login, Password, SourceName};

/// The variables of all gateways; each also with `_FILE` at its end.
pub fn variables() -> impl Iterator<Item = &'static str> {
    let gateways: [&[&str]; 4] =
        [&twilio::VARIABLES, &sinch::VARIABLES, &mada::VARIABLES, &credentials::VARIABLES];
    gateways.into_iter().flatten().copied()
}

/// What their names begin with.
pub const VARIABLE_PREFIXES: [&str; 4] = ["TWILIO_", "SINCH_", "MADA_", "HTTP_GATEWAY_"];
