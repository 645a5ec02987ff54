//! Services: the namespaces that numbers are counted in.

use serde::{Deserialize, Serialize};

/// Identifies a service. The same number in two services has two independent lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ServiceId(u32);

impl ServiceId {
    /// The service behind `/api/*`, `/send-code` and `/verify-code`, configured by the top-level
    /// keys.
    pub const DEFAULT: Self = Self(0);

    /// From the number kept in records.
    pub const fn new(id: u32) -> Self {
        Self(id)
    }

    /// The number kept in records.
    pub const fn get(self) -> u32 {
        self.0
    }
}
