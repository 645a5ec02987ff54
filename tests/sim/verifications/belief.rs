//! A client's beliefs about one verification, derived from the promises and not from the engine.

use onceward::domain::Timestamp;
use onceward::engine::{NumberState, Verification};

use crate::facts::Checked;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Over {
    #[default]
    No,
    /// Something that may have ended it got 503 or no answer.
    Perhaps,
    Yes,
}

#[derive(Debug, Clone, Default)]
pub struct Belief {
    pub number: usize,
    pub code: String,
    pub expires: u64,
    /// Whether its caller learned that a message was sent.
    pub told: bool,
    pub messages: u8,
    pub wrong: u8,
    pub perhaps_wrong: u8,
    pub over: Over,
}

impl Belief {
    /// Whether its right code must be approved now, if the store works.
    pub fn is_good(&self, checks: u8, now: u64) -> bool {
        self.is_known(now) && self.wrong + self.perhaps_wrong < checks
    }

    /// Whether a check must find it.
    pub fn is_known(&self, now: u64) -> bool {
        self.told && self.over == Over::No && now < self.expires
    }

    pub fn approved(&mut self, checks: u8) -> Checked {
        if self.over == Over::Yes {
            return Err("approved after its end".to_owned());
        }
        if self.wrong >= checks {
            return Err(format!("approved after {} wrong codes", self.wrong));
        }
        self.over = Over::Yes;
        Ok(())
    }

    pub fn wrong(&mut self, checks: u8) -> Checked {
        if self.over == Over::Yes {
            return Err("a code was compared after its end".to_owned());
        }
        self.wrong += 1;
        if self.wrong > checks { Err(format!("{} guesses", self.wrong)) } else { Ok(()) }
    }

    pub fn doubted(&mut self) {
        if self.over == Over::No {
            self.over = Over::Perhaps;
        }
    }

    /// Asserts that the disk has everything that the client was told.
    pub fn is_on(&self, id: u64, disk: &NumberState, now: u64) -> Checked {
        let is_it = |v: &Verification| v.salt.id() == id && v.is_active(Timestamp::from_millis(now));
        let Some(kept) = disk.verification().filter(is_it) else { return Ok(()) };
        if self.over == Over::Yes {
            return Err("on the disk it is not over".to_owned());
        }
        let counted = kept.counted.map_or(0, |counted| counted.wrong);
        if counted < self.wrong {
            return Err(format!("{} wrong codes were told, {counted} are on the disk", self.wrong));
        }
        Ok(())
    }
}
