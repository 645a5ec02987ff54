//! The table: what each of Twilio's error codes means, and whom it concerns.

use std::time::Duration;

use super::{CHECKS_USED_UP, CREDENTIALS, NOT_FOUND, SUSPENDED, TOO_MANY_REQUESTS};
use crate::gateway::ErrorClass::{
    self, Ambiguous, BadNumber, Configuration, Fraud, NotReachableHere, OptedOut, Refused, Retry,
};
use crate::gateway::wire::Meaning;

/// Surely not sent, and may work soon.
pub(super) const SOON: ErrorClass = Retry { after: None };

/// The daily cap counts a rolling 24 hours, so it is certain to have room after as long.
pub(super) const NEXT_DAY: ErrorClass = Retry { after: Some(Duration::from_secs(24 * 60 * 60)) };

/// Code, meaning, words. In the order of the codes.
///
/// In doubt an error concerns its message only, or strangers could put a gateway out of service for
/// everybody. So does what concerns one channel, for a gateway may serve others. Some further
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
pub(super) const MEANINGS: &[(u32, Meaning, &str)] = &[
    (10_001, Meaning::of_the_gateway(Configuration), "the account is not active; see the Twilio console"),
    (10_004, Meaning::of_the_gateway(SOON), "too many calls at the same time"),
    (10_005, Meaning::of_the_gateway(Configuration), "calls are switched off for the account; see the Twilio console"),
    (13_223, Meaning::of_this_message(BadNumber), "the recipient is not a phone number"),
    (13_224, Meaning::of_this_message(NotReachableHere), "the number cannot be called"),
    (13_225, Meaning::of_this_message(Fraud), "calls to this number are blocked by the fraud protection"),
    (13_227, Meaning::of_this_message(Configuration), "the country is not permitted; enable it under Geo Permissions"),
    (14_107, Meaning::of_this_message(SOON), "too many messages between these two numbers"),
    (CREDENTIALS, Meaning::of_the_gateway(Configuration), "the credentials were not accepted; check TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN"),
    (20_005, Meaning::of_the_gateway(Configuration), "the account is not active; see the Twilio console"),
    (20_008, Meaning::of_the_gateway(Configuration), "test credentials cannot be used for this; use the account's own"),
    (NOT_FOUND, Meaning::of_this_message(Configuration), "there is no such resource; check TWILIO_ACCOUNT_SID and TWILIO_SERVICES_ID"),
    (TOO_MANY_REQUESTS, Meaning::of_the_gateway(SOON), "too many requests"),
    (20_500, Meaning::of_the_gateway(Ambiguous), "an internal error"),
    (20_503, Meaning::of_the_gateway(Ambiguous), "the service is unavailable"),
    (21_202, Meaning::of_this_message(Fraud), "the number is a premium number"),
    (21_203, Meaning::of_this_message(Configuration), "calls to other countries are not enabled; see the Twilio console"),
    (21_205, Meaning::of_the_gateway(Configuration), "a callback's address is not valid; check public-url"),
    (21_210, Meaning::of_the_gateway(Configuration), "the number that calls is not the account's; check TWILIO_VOICE_NUMBER"),
    (21_211, Meaning::of_this_message(BadNumber), "the recipient is not a phone number"),
    (21_212, Meaning::of_this_message(Configuration), "the sender number is not valid; check TWILIO_PHONE_NUMBER"),
    (21_213, Meaning::of_the_gateway(Configuration), "the number that calls is missing; set TWILIO_VOICE_NUMBER"),
    (21_214, Meaning::of_this_message(NotReachableHere), "the number cannot be called"),
    (21_215, Meaning::of_this_message(Configuration), "the country is not permitted; enable it under Geo Permissions"),
    (21_216, Meaning::of_this_message(Fraud), "calls to this number are blocked"),
    (21_217, Meaning::of_this_message(BadNumber), "the recipient is not a phone number"),
    (21_219, Meaning::of_this_message(Configuration), "the account is a trial and this recipient is not one of its verified numbers; upgrade it or verify the number"),
    (21_401, Meaning::of_this_message(BadNumber), "the recipient is not a phone number"),
    (21_408, Meaning::of_this_message(Configuration), "the country is not permitted; enable it under Messaging Geo Permissions"),
    (21_421, Meaning::of_this_message(BadNumber), "the recipient is not a phone number"),
    (21_601, Meaning::of_the_gateway(Configuration), "the sender is not one of the account's numbers; check TWILIO_PHONE_NUMBER"),
    (21_603, Meaning::of_the_gateway(Configuration), "a sender is missing; set TWILIO_PHONE_NUMBER or TWILIO_MESSAGING_SERVICE_SID"),
    (21_606, Meaning::of_this_message(Configuration), "the sender cannot send such messages; check TWILIO_PHONE_NUMBER"),
    (21_608, Meaning::of_this_message(Configuration), "the account is a trial and this recipient is not one of its verified numbers; upgrade it or verify the number"),
    (21_609, Meaning::of_the_gateway(Configuration), "the callback's address is not valid; check public-url"),
    (21_610, Meaning::of_this_message(OptedOut), "the recipient has sent STOP to this sender"),
    (21_611, Meaning::of_the_gateway(SOON), "the sender's queue is full"),
    (21_612, Meaning::of_this_message(NotReachableHere), "the recipient cannot be reached from this sender"),
    (21_614, Meaning::of_this_message(NotReachableHere), "the recipient is not a mobile number"),
    (21_635, Meaning::of_this_message(NotReachableHere), "the recipient is a landline"),
    (21_655, Meaning::of_this_message(Configuration), "the template is not valid; check whatsapp-content-sid"),
    (21_656, Meaning::of_this_message(Configuration), "the template does not take the code as its first variable; check whatsapp-content-sid"),
    (21_661, Meaning::of_the_gateway(Configuration), "the sender cannot send messages; check TWILIO_PHONE_NUMBER"),
    (21_701, Meaning::of_the_gateway(Configuration), "the messaging service does not exist; check TWILIO_MESSAGING_SERVICE_SID"),
    (21_703, Meaning::of_the_gateway(Configuration), "the messaging service has no sender"),
    (21_704, Meaning::of_the_gateway(Configuration), "the messaging service has no sender"),
    (21_705, Meaning::of_the_gateway(Configuration), "the messaging service is not valid; check TWILIO_MESSAGING_SERVICE_SID"),
    (25_109, Meaning::of_the_gateway(SOON), "too many requests"),
    (30_001, Meaning::of_the_gateway(SOON), "the queue is full"),
    (SUSPENDED, Meaning::of_the_gateway(Configuration), "the account is suspended; see the Twilio console"),
    (30_003, Meaning::of_this_message(Refused), "the handset is unreachable"),
    (30_004, Meaning::of_this_message(Refused), "the message is blocked"),
    (30_005, Meaning::of_this_message(BadNumber), "the recipient is unknown"),
    (30_006, Meaning::of_this_message(NotReachableHere), "the recipient is a landline or its carrier is unreachable"),
    (30_007, Meaning::of_this_message(Refused), "the message is filtered"),
    (30_008, Meaning::of_this_message(Refused), "an unknown error"),
    (30_018, Meaning::of_this_message(Configuration), "the destination country asks for a registered sender"),
    (30_022, Meaning::of_this_message(SOON), "the sender's rate limit is reached"),
    (30_023, Meaning::of_this_message(SOON), "the sender's daily cap is reached"),
    (30_024, Meaning::of_this_message(Configuration), "the sender is not provisioned for this destination"),
    (30_027, Meaning::of_this_message(SOON), "the carrier's daily cap is reached"),
    (30_034, Meaning::of_this_message(Configuration), "the sender is not registered for A2P 10DLC"),
    (30_035, Meaning::of_this_message(Configuration), "the sender's A2P 10DLC registration is not finished"),
    (30_450, Meaning::of_this_message(Fraud), "the SMS pumping protection blocked it"),
    (60_200, Meaning::of_this_message(BadNumber), "the number was not accepted"),
    (CHECKS_USED_UP, Meaning::of_this_message(Refused), "too many wrong codes for this verification"),
    (60_203, Meaning::of_this_message(Refused), "too many codes were sent to this number within ten minutes"),
    (60_204, Meaning::of_this_message(Configuration), "the Verify service does not support this"),
    (60_205, Meaning::of_this_message(NotReachableHere), "the recipient is a landline"),
    (60_212, Meaning::of_this_message(SOON), "another code is being sent to this number"),
    (60_217, Meaning::of_the_gateway(Configuration), "the Verify service is not set up; see the Twilio console"),
    (60_220, Meaning::of_this_message(Configuration), "messages to China have to be approved; see the Twilio console"),
    (60_223, Meaning::of_this_message(Configuration), "the channel is switched off in the Verify service"),
    (60_238, Meaning::of_this_message(Configuration), "Twilio blocks verifications for this country or account; see the Twilio console"),
    (60_410, Meaning::of_this_message(Fraud), "the fraud protection blocked the number's prefix"),
    (60_412, Meaning::of_this_message(Fraud), "the fraud protection blocked the number"),
    (60_436, Meaning::of_this_message(BadNumber), "the recipient is not a phone number"),
    (60_605, Meaning::of_this_message(Configuration), "the country is not permitted; enable it under Verify Geo Permissions"),
    (63_001, Meaning::of_this_message(Configuration), "the WhatsApp sender could not be authenticated; see the Twilio console"),
    (63_003, Meaning::of_this_message(NotReachableHere), "the recipient has no such WhatsApp address"),
    (63_007, Meaning::of_this_message(Configuration), "there is no such WhatsApp sender; check TWILIO_WHATSAPP_NUMBER"),
    (63_013, Meaning::of_this_message(Refused), "the message breaks a rule of WhatsApp's"),
    (63_015, Meaning::of_this_message(Configuration), "the WhatsApp sandbox reaches only people who have joined it"),
    (63_016, Meaning::of_this_message(Configuration), "outside the WhatsApp window only an approved template can be sent"),
    (63_018, Meaning::of_this_message(SOON), "the WhatsApp sender's rate limit is reached"),
    (63_024, Meaning::of_this_message(NotReachableHere), "the recipient has no such WhatsApp address"),
    (63_027, Meaning::of_this_message(Configuration), "the template does not exist in this language; check whatsapp-content-sid"),
    (63_028, Meaning::of_this_message(Configuration), "the template takes another number of variables; check whatsapp-content-sid"),
    (63_032, Meaning::of_this_message(Refused), "WhatsApp does not deliver to this recipient just now"),
    (63_038, Meaning::of_the_gateway(NEXT_DAY), "the account's daily cap is reached"),
    (63_049, Meaning::of_this_message(Refused), "WhatsApp chose not to deliver it"),
];
