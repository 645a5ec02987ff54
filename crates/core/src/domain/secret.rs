//! The server key: never printed, wiped when dropped.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// The 32 bytes that every code is derived with. An attacker who has them and the data directory can
/// compute live codes; one who has only one of the two cannot.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct ServerKey([u8; 32]);

impl ServerKey {
    /// Length of a key in bytes.
    pub const LEN: usize = 32;

    /// Takes over key material.
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The key material, for keyed hashing and for writing the key file.
    pub const fn expose(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl fmt::Debug for ServerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerKey(***)")
    }
}
