//! Delivery through scripted gateways, while time stands still and passes when all tasks wait.

mod asking;
mod circuits;
mod fallback;
mod held;
mod retry;
mod workflow;
mod world;

use tokio::time::sleep;

use self::world::{KEY, Setup, World};
use crate::delivery::error::Failure;
use crate::delivery::{Circuit, SendStatus};
use crate::domain::Channel::{Call, Sms, WhatsApp};
use crate::domain::GatewayName::{self, Http, Mada, Sinch, TwilioMessages, TwilioVerify, TwilioVoice};
use crate::domain::{AttemptId, Held, ServiceId};
use crate::gateway::ErrorClass;
use crate::testing::{START, accepted, down, error, hanging, secs};

const BOTH: &str = "Mada;Http";

/// It is unknown whether it was sent.
const DOUBT: ErrorClass = ErrorClass::Ambiguous;

/// Surely not sent, and may work soon.
const RETRY: ErrorClass = ErrorClass::Retry;

/// The gateways that were asked, in their order.
fn gateways(world: &World) -> Vec<GatewayName> {
    world.asked().into_iter().map(|(name, _)| name).collect()
}
