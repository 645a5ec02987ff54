//! What a message took, and what a verification leaves.

use serde::{Deserialize, Serialize};

use super::signals::{ClientNet, Dimension, Key};
use crate::domain::{PhoneNumber, Region, Timestamp};

/// The buckets of which a message took one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) enum Took {
    #[default]
    Nothing,
    /// The number's.
    Own,
    /// The number's, and the one of its four messages a day as a known number.
    Known,
    /// The number's, and those of its prefix, country and client.
    Places,
    /// These, and the one that all countries without users share.
    Shared,
}

impl Took {
    /// What all countries without users share, if it took that.
    pub(super) fn shares(self) -> Option<Dimension> {
        (self == Self::Shared).then_some(Dimension::Country(None))
    }
}

/// What one message took. It stays with the verification, which gives it back.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ticket {
    /// In whole seconds.
    pub at: Timestamp,
    /// Rows that were written more often contain it.
    pub(super) writes: u64,
    pub client: Option<ClientNet>,
    pub(super) country: Option<Region>,
    pub(super) took: Took,
    pub(super) is_carried: bool,
    /// What it was charged to budgets and rate limits, which a verification does not give back.
    pub counted: Vec<Charged>,
}

/// What a message was charged in one window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charged {
    pub key: Key,
    pub since: Timestamp,
    pub ends: Timestamp,
    pub amount: u64,
}

impl Ticket {
    /// What is left of it when its number is verified: it stays charged.
    pub fn verified(self) -> Option<Self> {
        (!self.counted.is_empty()).then_some(Self { took: Took::Nothing, ..self })
    }

    pub fn is_empty(&self) -> bool {
        self.took == Took::Nothing && self.counted.is_empty()
    }

    /// The buckets that it took one of.
    pub(super) fn taken(&self, number: PhoneNumber) -> Vec<Dimension> {
        let own = Dimension::Number(number);
        match self.took {
            Took::Nothing => Vec::new(),
            Took::Own => vec![own],
            Took::Known => vec![own, Dimension::Known(number)],
            Took::Places | Took::Shared => [vec![own], self.places(number)].concat(),
        }
    }

    /// Prefix, client and country, whatever it took of them; and what countries share, if it took that.
    pub(super) fn places(&self, number: PhoneNumber) -> Vec<Dimension> {
        let client = self.client.map(Dimension::Network);
        let places = [
            Some(Dimension::prefix_of(number)),
            client,
            Some(Dimension::Country(self.country)),
            self.took.shares(),
        ];
        places.into_iter().flatten().collect()
    }
}

/// A number that was verified: the day of its last verification, and of the one that counted as usual, since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifiedNumber {
    pub day: u16,
    pub counted: u16,
}

/// Days for which a number is known.
const KNOWN_DAYS: u16 = 30;

/// Days in which a number counts once as usual.
const COUNTED_DAYS: u16 = 7;

impl VerifiedNumber {
    /// The record after a verification, from the one before; and what the verification says.
    pub fn after(earlier: Option<Self>, now: Timestamp) -> (Self, Verified) {
        let day = u16::try_from(now.as_millis() / 86_400_000).unwrap_or(u16::MAX);
        let counted = earlier.map(|earlier| earlier.counted).filter(|counted| day < counted + COUNTED_DAYS);
        let verified = Verified { is_new: earlier.is_none(), is_usual: counted.is_none() };
        (Self { day, counted: counted.unwrap_or(day) }, verified)
    }

    /// When it is known no longer.
    pub fn expires(self) -> Timestamp {
        Timestamp::from_millis(u64::from(self.day.saturating_add(KNOWN_DAYS)) * 86_400_000)
    }
}

/// What the verification of a number says. Nothing if there was no room for its record, or it would say so each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Verified {
    /// The number was not known.
    pub is_new: bool,
    /// It counts as usual.
    pub is_usual: bool,
}
