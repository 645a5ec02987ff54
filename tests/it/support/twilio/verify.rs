//! Twilio Verify, whose codes [`TwilioApi`] holds.

use serde_json::{Value, json};

use super::{ACCOUNT_SID, Received, Said, TwilioApi, VERIFY_SID, error};

/// Wrong codes that Verify checks before it gives up on a verification.
const WRONG_CODES_ALLOWED: u32 = 5;

impl TwilioApi {
    /// Sends the code of an open verification again, or begins a new one.
    pub(super) fn start_verification(&self, received: &Received) -> Said {
        let number = &received.about.number;
        if self.verify.look(number, |held| held.is_none()) {
            self.verify.make(number, "");
        }
        Said::json(201, &resource(received, "pending"))
    }

    pub(super) fn check_verification(&self, received: &Received) -> Said {
        self.verify.look(&received.about.number, |held| match held {
            None => Said::json(404, &error(404, 20_404, "The requested resource was not found")),
            Some(held) if held.wrong >= WRONG_CODES_ALLOWED => {
                Said::json(429, &error(429, 60_202, "Max check attempts reached"))
            }
            Some(held) if held.code == received.field("Code") => {
                held.used = true;
                Said::json(200, &resource(received, "approved"))
            }
            Some(held) => {
                held.wrong += 1;
                Said::json(200, &resource(received, "pending"))
            }
        })
    }
}

fn resource(received: &Received, status: &str) -> Value {
    json!({
        "sid": format!("VE{:032x}", received.id),
        "service_sid": VERIFY_SID,
        "account_sid": ACCOUNT_SID,
        "to": received.about.number,
        "channel": received.form.get("Channel").map_or("sms", String::as_str),
        "status": status,
        "valid": status == "approved",
    })
}
