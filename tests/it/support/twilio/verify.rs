//! Twilio Verify: it makes a code for each number, holds it, and approves it once.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::super::numbers::MadeUpCodes;
use super::{ACCOUNT_SID, Received, Said, VERIFY_SID, error};

/// Wrong codes that Verify checks before it gives up on a verification.
const WRONG_CODES_ALLOWED: u32 = 5;

/// The open verifications.
pub struct Verify {
    by_number: Mutex<HashMap<String, Verification>>,
    codes: MadeUpCodes,
    digits: AtomicUsize,
}

#[derive(Clone)]
struct Verification {
    code: String,
    wrong: u32,
    /// Approved: from then on the verification is unknown.
    used: bool,
}

impl Default for Verify {
    fn default() -> Self {
        Self { by_number: Mutex::default(), codes: MadeUpCodes::default(), digits: AtomicUsize::new(6) }
    }
}

impl Verify {
    /// Later codes have this many digits, as set in the Verify service.
    pub fn make_codes_of(&self, digits: usize) {
        self.digits.store(digits, Ordering::Relaxed);
    }

    /// The last code for this number, even if it is used.
    pub fn code_of(&self, number: &str) -> Option<String> {
        self.by_number.lock().unwrap().get(number).map(|verification| verification.code.clone())
    }

    /// Makes the verification of this number expire.
    pub fn forget(&self, number: &str) {
        self.by_number.lock().unwrap().remove(number);
    }

    /// Sends the code of an open verification again, or begins a new one.
    pub(super) fn start(&self, received: &Received) -> Said {
        let number = &received.about.number;
        let mut by_number = self.by_number.lock().unwrap();
        let live = by_number.get(number).filter(|verification| !verification.used);
        if live.is_none() {
            let code = self.codes.next(self.digits.load(Ordering::Relaxed));
            by_number.insert(number.clone(), Verification { code, wrong: 0, used: false });
        }
        Said::json(201, &resource(received, "pending"))
    }

    pub(super) fn check(&self, received: &Received) -> Said {
        let mut by_number = self.by_number.lock().unwrap();
        let live = by_number.get_mut(&received.about.number).filter(|verification| !verification.used);
        let Some(verification) = live else {
            return Said::json(404, &error(404, 20_404, "The requested resource was not found"));
        };
        if verification.wrong >= WRONG_CODES_ALLOWED {
            return Said::json(429, &error(429, 60_202, "Max check attempts reached"));
        }
        if verification.code == received.field("Code") {
            verification.used = true;
            return Said::json(200, &resource(received, "approved"));
        }
        verification.wrong += 1;
        Said::json(200, &resource(received, "pending"))
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
