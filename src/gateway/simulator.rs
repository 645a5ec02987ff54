//! The simulator: nothing leaves the machine.

/// One message in the inbox.
pub struct InboxMessage {}

/// The gateway and its inbox.
pub struct Simulator {}
