//! What a machine says of time, beside what a clock shows.

use std::time::Duration;

use crate::domain::Timestamp;

/// Which boot of which machine: while it is the same, the time since the boot goes on, across every
/// restart of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootId([u8; 16]);

impl BootId {
    /// From its bytes; `None` for sixteen zeros, which stand for a boot that is not known.
    pub fn from_bytes(bytes: [u8; 16]) -> Option<Self> {
        (bytes != [0; 16]).then_some(Self(bytes))
    }

    /// Its bytes.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// From the text that Linux has in `/proc/sys/kernel/random/boot_id`: a UUID.
    pub fn parse(text: &str) -> Option<Self> {
        let digits: String = text.trim().chars().filter(|c| *c != '-').collect();
        Self::from_bytes(u128::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 32)?.to_be_bytes())
    }
}

/// One look at a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// Which boot it is; `None` when the system does not tell.
    pub boot: Option<BootId>,
    /// Time since then, suspension included. Never steps.
    pub up: Duration,
    /// What the wall clock shows at this moment. An operator may have set it.
    pub wall: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_is_known_by_a_uuid_and_by_nothing_else() {
        let id = BootId::parse("c0ffee00-1234-4567-89ab-0123456789ab\n").expect("a uuid");
        assert_eq!(id.to_bytes()[..4], [0xc0, 0xff, 0xee, 0]);
        for text in
            ["", "c0ffee00", "00000000-0000-0000-0000-000000000000", "x0ffee00-1234-4567-89ab-0123456789ab"]
        {
            assert_eq!(BootId::parse(text), None, "{text}");
        }
    }
}
