//! What is found while the settings are read: errors, which stop the start, and warnings.

/// The prefix of this server's variables.
pub const PREFIX: &str = "ONCEWARD_";

/// All errors that stop the start, and the warnings beside them.
#[derive(Debug, Clone, Default, PartialEq, Eq, thiserror::Error)]
#[error("the configuration has {} error{}\n  {}", errors.len(), if errors.len() == 1 { "" } else { "s" }, errors.join("\n  "))]
pub struct ConfigErrors {
    /// In the order in which they were found: the key or variable, its value unless that may be a secret, what is accepted, and
    /// where the value came from.
    pub errors: Vec<String>,
    /// Often they name the reason of an error, such as a misspelled key.
    pub warnings: Vec<String>,
}

impl ConfigErrors {
    /// Adds that `subject`, perhaps with its value, is wrong, and where it came from.
    pub(super) fn wrong(&mut self, subject: &str, problem: &str, origin: Option<&str>) {
        let origin = origin.map(|origin| format!("\n    given by {origin}")).unwrap_or_default();
        self.errors.push(format!("{subject}: {problem}{origin}"));
    }

    pub(super) fn warn(&mut self, warning: impl Into<String>) {
        self.warnings.push(warning.into());
    }

    /// The warnings, if there was no error; else all of it.
    pub(super) fn finish(&mut self) -> Result<Vec<String>, Self> {
        let found = std::mem::take(self);
        if found.errors.is_empty() { Ok(found.warnings) } else { Err(found) }
    }
}

/// The end of a message about an unknown name: the known one that looks most like it, if any looks like it at all.
pub fn hint<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    /// Below this, most of the letters differ and a suggestion would confuse.
    const SIMILAR: f64 = 0.5;
    // What all variables begin with makes none of them alike.
    let own = |name: &str| name.strip_prefix(PREFIX).unwrap_or(name).replace('_', "-").to_ascii_lowercase();
    let plain = |name: &str| own(name).trim_start_matches("gateways-").to_owned();
    let likeness = |known| (strsim::normalized_damerau_levenshtein(&plain(name), &plain(known)), known);
    let similar = known.into_iter().map(likeness).filter(|(likeness, _)| *likeness >= SIMILAR);
    let nearest = similar.max_by(|(a, _), (b, _)| a.total_cmp(b));
    nearest.map(|(_, known)| format!("; did you mean {known:?}?")).unwrap_or_default()
}

/// A text in quotes, on one line and not too long.
pub fn quoted(text: &str) -> String {
    const LONGEST: usize = 100;
    let mut text = format!("{text:?}");
    if let Some((end, _)) = text.char_indices().nth(LONGEST) {
        text.replace_range(end.., "...");
    }
    text
}
