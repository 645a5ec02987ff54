mod circuits;
mod fallback;
mod gateways;
mod held;
pub(crate) mod log_capture;
mod one_gateway;
mod overload;
mod retry;
mod unknown;
mod workflow;
mod world;

use crate::gateway::ErrorClass;

/// It is unknown whether it was sent.
const DOUBT: ErrorClass = ErrorClass::Ambiguous;

/// Surely not sent, and may work soon.
const RETRY: ErrorClass = ErrorClass::Retry { after: None };
