//! Twilio Programmable Messaging.

use crate::domain::GatewayCredential;

/// What is needed to send through Twilio Messages.
#[derive(Debug, Clone)]
pub struct TwilioSettings {
    /// `AC` and 32 hex digits.
    pub account_sid: String,
    /// The account's auth token.
    pub auth_token: GatewayCredential,
    /// Who the message comes from.
    pub sender: TwilioSender,
    /// Scheme and authority, without a trailing slash; `https://api.twilio.com` unless a test or a
    /// private gateway stands in.
    pub base_url: String,
}

/// Who a message comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TwilioSender {
    /// A number, short code or alphanumeric sender: Twilio's `From`.
    Number(String),
    /// A messaging service, `MG...`: Twilio's `MessagingServiceSid`.
    MessagingService(String),
}

/// The gateway.
#[derive(Debug)]
pub struct TwilioMessages {}
