//! The gateways: their variables, what each needs, and in which order they are tried.
//!
//! A gateway is used when it has all it needs. Half a configuration is an error that names what is
//! missing: a message that silently goes nowhere is the worst outcome of a forgotten variable.

mod assemble;
mod credentials;
mod http;
mod http_object;
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
pub const VARIABLES: [&str; 19] = [
    "TWILIO_ACCOUNT_SID",
    "TWILIO_AUTH_TOKEN",
    "TWILIO_AUTHTOKEN",
    "TWILIO_PHONE_NUMBER",
    "TWILIO_MESSAGING_SERVICE_SID",
    "TWILIO_SERVICES_ID",
    "TWILIO_VOICE_NUMBER",
    "TWILIO_WHATSAPP_NUMBER",
    "TWILIO_BASE_URL",
    "SINCH_APP_ID",
    "SINCH_APP_SECRET",
    "SINCH_VERIFICATION_URL",
    "MADA_USERNAME",
    "MADA_PASSWORD",
    "MADA_URL",
    "MADA_SOURCE_NAME",
    "HTTP_GATEWAY_USERNAME",
    "HTTP_GATEWAY_PASSWORD",
    "HTTP_GATEWAY_TOKEN",
];

/// What their names begin with.
pub const VARIABLE_PREFIXES: [&str; 4] = ["TWILIO_", "SINCH_", "MADA_", "HTTP_GATEWAY_"];
