//! The log lines of deliveries. None contains a code, a whole number or a provider's own words.

use tracing::{debug, error, warn};

use super::DeliveryError;
use super::tracker::Dropped;
use super::trip::Trip;
use crate::domain::GatewayName;
use crate::gateway::{Accepted, ErrorClass, GatewayError};

/// What a gateway said; `None` for nothing within the budget.
pub(super) fn answer(trip: &Trip, gateway: GatewayName, answer: Option<&Result<Accepted, GatewayError>>) {
    let (number, channel, gateway) = (trip.job.about.number, trip.channel.as_str(), gateway.as_str());
    match answer {
        Some(Ok(accepted)) => {
            debug!(%number, channel, gateway, message_id = accepted.message_id, "message accepted");
        }
        Some(Err(GatewayError { class, code, detail, .. })) => {
            let in_doubt = class.may_have_been_sent();
            let outcome = if in_doubt { "message may have been sent or not" } else { "message not sent" };
            if *class == ErrorClass::Configuration {
                error!(%number, channel, gateway, %class, code, detail, "{outcome}");
            } else {
                warn!(%number, channel, gateway, %class, code, detail, "{outcome}");
            }
        }
        None => warn!(%number, channel, gateway, "{}", DeliveryError::NoAnswerInTime),
    }
}

/// A message that waits for another try.
pub(super) fn postponed(trip: &Trip, error: &DeliveryError) {
    let (number, channel) = (trip.job.about.number, trip.channel.as_str());
    debug!(%number, channel, %error, "message postponed: it is tried again in the background");
}

/// The end of a message that nobody took, as far as it was not told with a gateway's answer.
pub(super) fn failed(trip: &Trip, error: &DeliveryError, dropped: Dropped) {
    let (number, channel) = (trip.job.about.number, trip.channel.as_str());
    if dropped == Dropped::MaxRetriesReached {
        warn!(%number, channel, "message is unsendable: it was tried as often as is allowed");
        return;
    }
    match error {
        DeliveryError::TimedOutWaiting | DeliveryError::NotServed(_) => warn!(%number, channel, "{error}"),
        // Not a failure: there is nothing to send any more, or it has cost enough.
        DeliveryError::NoLongerUsable | DeliveryError::TooManyMessages => {
            debug!(%number, channel, "{error}");
        }
        // Logged already: by the answer, once for all by the full queue or the circuit, or by the
        // note that failed.
        DeliveryError::Gateway(_)
        | DeliveryError::NoAnswerInTime
        | DeliveryError::Overloaded
        | DeliveryError::OutOfService
        | DeliveryError::NotRemembered => {}
    }
}
