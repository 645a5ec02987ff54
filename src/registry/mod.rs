//! Services and what belongs to them: rules, limits, webhooks, keys.
//!
//! What is made over the API or named in the configuration is kept in the store, one JSON record for each service and
//! for each credential, and read whole at the start: there are thousands of them, not millions. Readers share a
//! snapshot that never changes; whoever changes something writes it durably first, one after the other.

mod service;

pub use service::{
    Bucket, LockoutRule, MessagingConfiguration, Origin, RateLimit, Resend, Rules, Service, TestNumber,
    Webhook, WebhookStatus,
};
