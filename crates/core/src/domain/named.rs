//! Closed sets of names: numbers in records, texts in readable formats.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A member of such a set.
pub(super) trait Named: Copy + 'static {
    /// The word for a member in errors.
    const KIND: &'static str;
    const ALL: &'static [Self];

    fn name(self) -> &'static str;
    fn number(self) -> u8;

    fn write<S: Serializer>(self, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() { self.name().serialize(to) } else { self.number().serialize(to) }
    }

    fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let found = if from.is_human_readable() {
            let name = String::deserialize(from)?;
            Self::ALL.iter().find(|known| known.name() == name)
        } else {
            let number = u8::deserialize(from)?;
            Self::ALL.iter().find(|known| known.number() == number)
        };
        found.copied().ok_or_else(|| de::Error::custom(format_args!("unknown {}", Self::KIND)))
    }
}
