//! A double of a receiver of webhooks.

use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;

use super::double::{Double, Provider};
use super::received::Received;
use super::reply::Said;

pub type Receiver = Double<Hooks>;

#[derive(Default)]
pub struct Hooks {
    read: AtomicUsize,
}

impl Provider for Hooks {
    fn accept(&self, _: &Received) -> Said {
        Said::text(204, "")
    }
}

impl Receiver {
    pub fn url(&self) -> String {
        format!("{}/events", self.base_url())
    }

    /// Returns the next event, after verifying its signature.
    pub async fn next(&self, secret: &str) -> Value {
        let index = self.provider().read.fetch_add(1, Ordering::Relaxed);
        self.arrived(index + 1).await;
        let event = self.received().swap_remove(index);
        let key = STANDARD.decode(secret.trim_start_matches("whsec_")).expect("base64");
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("a key");
        mac.update(
            format!("{}.{}.", event.header("webhook-id"), event.header("webhook-timestamp")).as_bytes(),
        );
        mac.update(&event.body);
        let right = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        assert_eq!(event.header("webhook-signature"), right);
        serde_json::from_slice(&event.body).expect("JSON")
    }
}
