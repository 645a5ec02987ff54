//! The first layout of [`GuardRow`].

use serde::Deserialize;

use super::allowance::{Allowance, NumberState, Row, Unverified};
use super::decide::GuardRow;
use super::entries::{Entry, EntryAction};
use super::signals::{ClientNet, Dimension, Key};
use crate::domain::{Region, ServiceId, Timestamp};

#[derive(Deserialize)]
#[serde(rename = "GuardRow")]
pub enum FirstGuardRow {
    Allowance(ServiceId, Dimension, FirstRow),
    Entry(Key, FirstEntry),
}

#[derive(Deserialize)]
pub struct FirstRow {
    allowance: FirstAllowance,
    number: Option<FirstNumberState>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "the layout has these fields")]
struct FirstAllowance {
    level: f64,
    usual: f64,
    paid: f64,
    at: u32,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "the layout has these fields")]
struct FirstNumberState {
    messages: u8,
    unverified: u8,
    took: [u8; 7],
    began: u32,
    paid: u32,
    address: Option<ClientNet>,
    country: Option<Region>,
}

#[derive(Deserialize)]
pub struct FirstEntry {
    action: FirstAction,
    until: Timestamp,
}

#[derive(Deserialize)]
enum FirstAction {
    Allow,
    Block,
    /// Announced messages to a country.
    Expect(#[expect(dead_code, reason = "the layout has it")] u32),
}

impl From<FirstGuardRow> for GuardRow {
    fn from(row: FirstGuardRow) -> Self {
        match row {
            FirstGuardRow::Allowance(service, dimension, FirstRow { allowance, number }) => {
                let FirstAllowance { level, usual, at, .. } = allowance;
                let number =
                    number.map(|FirstNumberState { unverified: messages, address, country, .. }| {
                        let mut unverified = Unverified::default();
                        unverified.set(false, messages);
                        Box::new(NumberState { unverified, address, country })
                    });
                Self::Allowance(service, dimension, Row { allowance: Allowance { level, usual, at }, number })
            }
            FirstGuardRow::Entry(key, FirstEntry { action, until }) => {
                let is_block = matches!(action, FirstAction::Block);
                let action = if is_block { EntryAction::Block } else { EntryAction::Allow };
                Self::Entry(key, Entry { action, until })
            }
        }
    }
}
