//! What became of a send, from the gateway to the HTTP answer.

use crate::domain::Held;

/// How a send ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendResult {
    /// A gateway that carries our code, or one that makes and holds its own (`held`), accepted the message.
    Accepted {
        /// The provider's id of the message.
        message_id: String,
        /// The gateway that holds the code, if the code is not ours.
        held: Option<Held>,
    },
    /// No gateway accepted the message yet; a later attempt is planned, and the request counts as accepted.
    Postponed {
        /// The id that the client is given for the message.
        message_id: String,
    },
    /// The number does not exist or cannot take messages; nothing was sent.
    NumberRefused,
    /// Every gateway refused for another reason, or did not answer in time.
    Failed {
        /// Whether a message with the code may arrive all the same.
        may_have_been_sent: bool,
        /// The gateway that holds the code in that case, if the code is not ours.
        held: Option<Held>,
    },
    /// The code became useless before its message could leave.
    NoLongerUsable,
    /// Too many messages were waiting; nothing was sent.
    Overloaded,
}
