//! Signatures as Standard Webhooks has them: <https://www.standardwebhooks.com>.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::EventId;
use crate::domain::Timestamp;

/// The headers of one attempt. The moment is that of the attempt, not of the event: receivers refuse what is older than a
/// few minutes.
pub(super) fn headers(secret: &[u8], id: EventId, at: Timestamp, body: &[u8]) -> [(&'static str, String); 3] {
    let (id, seconds) = (id.to_string(), (at.as_millis() / 1000).to_string());
    let signature = sign(secret, &[id.as_bytes(), b".", seconds.as_bytes(), b".", body]);
    [("webhook-id", id), ("webhook-timestamp", seconds), ("webhook-signature", format!("v1,{signature}"))]
}

fn sign(secret: &[u8], parts: &[&[u8]]) -> String {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("a key of any length");
    for part in parts {
        mac.update(part);
    }
    STANDARD.encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with Python's `hmac`; `standardwebhooks` 1.1.0 for Python signs it the same way.
    #[test]
    fn the_signature_is_the_one_that_receivers_compute() {
        let secret: Vec<u8> = (0..32).collect();
        let id = EventId::new(std::array::from_fn(|i| u8::try_from(i).expect("small")));
        let body = concat!(
            r#"{"type":"verification.approved","timestamp":"2026-01-02T03:04:05.678Z","#,
            r#""data":{"status":"approved"}}"#
        );
        let headers = headers(&secret, id, Timestamp::from_millis(1_767_323_045_678), body.as_bytes());
        let expected = [
            ("webhook-id", "evt_000102030405060708090a0b0c0d0e0f"),
            ("webhook-timestamp", "1767323045"),
            ("webhook-signature", "v1,c03z46LlfJFoms0b1W83WTGaI8WEtvRx5vNSgctyJoY="),
        ];
        assert_eq!(headers, expected.map(|(name, value)| (name, value.to_owned())));
    }
}
