//! The ways a code can reach a person.

/// How a code is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Channel {
    /// A text message.
    Sms,
    /// A voice call that reads the code out.
    Call,
    /// A `WhatsApp` message.
    WhatsApp,
}

impl Channel {
    /// The name used on the wire and in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sms => "sms",
            Self::Call => "call",
            Self::WhatsApp => "whatsapp",
        }
    }
}
