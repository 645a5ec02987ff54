//! The table: what each of Twilio's error codes means, and whom it concerns.

use std::time::Duration;

use super::Concerns::{Everyone, This};
use super::{CHECKS_USED_UP, CREDENTIALS, Concerns, NOT_FOUND, SUSPENDED, TOO_MANY_REQUESTS};
use crate::gateway::ErrorClass::{
    self, Ambiguous, BadNumber, Configuration, Fraud, NotReachableHere, OptedOut, Refused, Retry,
};

/// Surely not sent, and may work soon.
pub(super) const SOON: ErrorClass = Retry { after: None };

/// The daily cap counts a rolling 24 hours, so it is certain to have room after as long.
pub(super) const NEXT_DAY: ErrorClass = Retry { after: Some(Duration::from_secs(24 * 60 * 60)) };

/// Code, class, whom it concerns, words. In the order of the codes.
///
/// What concerns one channel only is `This` too, for a gateway may serve others. Some further
/// decisions are ours:
///
/// * 20404 concerns one message: a service that is not there meets all, but a language that
///   Verify does not speak is answered with it too, and the number's owner may choose that.
/// * 21202 is fraud: nobody's own telephone has a premium number, and calls to such are what
///   fraudsters earn with.
/// * 21212, 21606 concern one message: whether a sender is valid can depend on the country.
/// * 30022, 30023, 30027 concern one message: the limits are those of a single carrier.
/// * 60200 ("invalid parameter") is a bad number, for no other parameter can be wrong that Verify
///   does not have a code of its own for.
/// * 60203 is refused and not to be tried again: the limit ends when the verification is checked
///   or after ten minutes, which no budget of a send and hardly a code's life outlasts. Another
///   gateway or channel is not bound by it.
#[rustfmt::skip]
pub(super) const MEANINGS: &[(u32, ErrorClass, Concerns, &str)] = &[
    (10_001, Configuration, Everyone, "the account is not active; see the Twilio console"),
    (10_004, SOON, Everyone, "too many calls at the same time"),
    (10_005, Configuration, Everyone, "calls are switched off for the account; see the Twilio console"),
    (13_223, BadNumber, This, "the recipient is not a phone number"),
    (13_224, NotReachableHere, This, "the number cannot be called"),
    (13_225, Fraud, This, "calls to this number are blocked by the fraud protection"),
    (13_227, Configuration, This, "the country is not permitted; enable it under Geo Permissions"),
    (14_107, SOON, This, "too many messages between these two numbers"),
    (CREDENTIALS, Configuration, Everyone, "the credentials were not accepted; check TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN"),
    (20_005, Configuration, Everyone, "the account is not active; see the Twilio console"),
    (20_008, Configuration, Everyone, "test credentials cannot be used for this; use the account's own"),
    (NOT_FOUND, Configuration, This, "there is no such resource; check TWILIO_ACCOUNT_SID and TWILIO_SERVICES_ID"),
    (TOO_MANY_REQUESTS, SOON, Everyone, "too many requests"),
    (20_500, Ambiguous, Everyone, "an internal error"),
    (20_503, Ambiguous, Everyone, "the service is unavailable"),
    (21_202, Fraud, This, "the number is a premium number"),
    (21_203, Configuration, This, "calls to other countries are not enabled; see the Twilio console"),
    (21_205, Configuration, Everyone, "a callback's address is not valid; check public-url"),
    (21_210, Configuration, Everyone, "the number that calls is not the account's; check TWILIO_VOICE_NUMBER"),
    (21_211, BadNumber, This, "the recipient is not a phone number"),
    (21_212, Configuration, This, "the sender number is not valid; check TWILIO_PHONE_NUMBER"),
    (21_213, Configuration, Everyone, "the number that calls is missing; set TWILIO_VOICE_NUMBER"),
    (21_214, NotReachableHere, This, "the number cannot be called"),
    (21_215, Configuration, This, "the country is not permitted; enable it under Geo Permissions"),
    (21_216, Fraud, This, "calls to this number are blocked"),
    (21_217, BadNumber, This, "the recipient is not a phone number"),
    (21_219, Configuration, This, "the account is a trial and this recipient is not one of its verified numbers; upgrade it or verify the number"),
    (21_401, BadNumber, This, "the recipient is not a phone number"),
    (21_408, Configuration, This, "the country is not permitted; enable it under Messaging Geo Permissions"),
    (21_421, BadNumber, This, "the recipient is not a phone number"),
    (21_601, Configuration, Everyone, "the sender is not one of the account's numbers; check TWILIO_PHONE_NUMBER"),
    (21_603, Configuration, Everyone, "a sender is missing; set TWILIO_PHONE_NUMBER or TWILIO_MESSAGING_SERVICE_SID"),
    (21_606, Configuration, This, "the sender cannot send such messages; check TWILIO_PHONE_NUMBER"),
    (21_608, Configuration, This, "the account is a trial and this recipient is not one of its verified numbers; upgrade it or verify the number"),
    (21_609, Configuration, Everyone, "the callback's address is not valid; check public-url"),
    (21_610, OptedOut, This, "the recipient has sent STOP to this sender"),
    (21_611, SOON, Everyone, "the sender's queue is full"),
    (21_612, NotReachableHere, This, "the recipient cannot be reached from this sender"),
    (21_614, NotReachableHere, This, "the recipient is not a mobile number"),
    (21_635, NotReachableHere, This, "the recipient is a landline"),
    (21_655, Configuration, This, "the template is not valid; check whatsapp-content-sid"),
    (21_656, Configuration, This, "the template does not take the code as its first variable; check whatsapp-content-sid"),
    (21_661, Configuration, Everyone, "the sender cannot send messages; check TWILIO_PHONE_NUMBER"),
    (21_701, Configuration, Everyone, "the messaging service does not exist; check TWILIO_MESSAGING_SERVICE_SID"),
    (21_703, Configuration, Everyone, "the messaging service has no sender"),
    (21_704, Configuration, Everyone, "the messaging service has no sender"),
    (21_705, Configuration, Everyone, "the messaging service is not valid; check TWILIO_MESSAGING_SERVICE_SID"),
    (25_109, SOON, Everyone, "too many requests"),
    (30_001, SOON, Everyone, "the queue is full"),
    (SUSPENDED, Configuration, Everyone, "the account is suspended; see the Twilio console"),
    (30_003, Refused, This, "the handset is unreachable"),
    (30_004, Refused, This, "the message is blocked"),
    (30_005, BadNumber, This, "the recipient is unknown"),
    (30_006, NotReachableHere, This, "the recipient is a landline or its carrier is unreachable"),
    (30_007, Refused, This, "the message is filtered"),
    (30_008, Refused, This, "an unknown error"),
    (30_018, Configuration, This, "the destination country asks for a registered sender"),
    (30_022, SOON, This, "the sender's rate limit is reached"),
    (30_023, SOON, This, "the sender's daily cap is reached"),
    (30_024, Configuration, This, "the sender is not provisioned for this destination"),
    (30_027, SOON, This, "the carrier's daily cap is reached"),
    (30_034, Configuration, This, "the sender is not registered for A2P 10DLC"),
    (30_035, Configuration, This, "the sender's A2P 10DLC registration is not finished"),
    (30_450, Fraud, This, "the SMS pumping protection blocked it"),
    (60_200, BadNumber, This, "the number was not accepted"),
    (CHECKS_USED_UP, Refused, This, "too many wrong codes for this verification"),
    (60_203, Refused, This, "too many codes were sent to this number within ten minutes"),
    (60_204, Configuration, This, "the Verify service does not support this"),
    (60_205, NotReachableHere, This, "the recipient is a landline"),
    (60_212, SOON, This, "another code is being sent to this number"),
    (60_217, Configuration, Everyone, "the Verify service is not set up; see the Twilio console"),
    (60_220, Configuration, This, "messages to China have to be approved; see the Twilio console"),
    (60_223, Configuration, This, "the channel is switched off in the Verify service"),
    (60_238, Configuration, This, "Twilio blocks verifications for this country or account; see the Twilio console"),
    (60_410, Fraud, This, "the fraud protection blocked the number's prefix"),
    (60_412, Fraud, This, "the fraud protection blocked the number"),
    (60_436, BadNumber, This, "the recipient is not a phone number"),
    (60_605, Configuration, This, "the country is not permitted; enable it under Verify Geo Permissions"),
    (63_001, Configuration, This, "the WhatsApp sender could not be authenticated; see the Twilio console"),
    (63_003, NotReachableHere, This, "the recipient has no such WhatsApp address"),
    (63_007, Configuration, This, "there is no such WhatsApp sender; check TWILIO_WHATSAPP_NUMBER"),
    (63_013, Refused, This, "the message breaks a rule of WhatsApp's"),
    (63_015, Configuration, This, "the WhatsApp sandbox reaches only people who have joined it"),
    (63_016, Configuration, This, "outside the WhatsApp window only an approved template can be sent"),
    (63_018, SOON, This, "the WhatsApp sender's rate limit is reached"),
    (63_024, NotReachableHere, This, "the recipient has no such WhatsApp address"),
    (63_027, Configuration, This, "the template does not exist in this language; check whatsapp-content-sid"),
    (63_028, Configuration, This, "the template takes another number of variables; check whatsapp-content-sid"),
    (63_032, Refused, This, "WhatsApp does not deliver to this recipient just now"),
    (63_038, NEXT_DAY, Everyone, "the account's daily cap is reached"),
    (63_049, Refused, This, "WhatsApp chose not to deliver it"),
];
