//! The configuration as it turned out, for `--print-config`: every value and where it came from.

/// What stands in the place of a secret.
pub const NOT_SHOWN: &str = "(set, not shown)";

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective {
    /// The key of config.json, the variable or flag where it has none, or what was made of several.
    pub key: String,
    /// The value: texts as JSON spells them, times with units, secrets masked.
    pub value: String,
    /// Where it came from: a file and key, a variable, a flag, or the default.
    pub origin: String,
}
