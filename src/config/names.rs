//! The names that keys have, and the nearest of them to a name that nobody knows.

use super::schema;

/// Keys of config.json that are no setting of their own: they cannot be given as a variable.
const FILE_ONLY: [&str; 3] = ["$schema", "sms", "authentication"];

/// Members of `sms` that are settings like any other.
const OF_SMS: [&str; 3] = ["sms.retry", "sms.max_retries", "sms.longest_wait"];

/// What the variables of ours begin with.
pub const PREFIX: &str = "ONCEWARD_";

/// What a variable's name ends with when its value is the name of a file with the value.
pub const FILE_SUFFIX: &str = "_FILE";

/// The names of all keys, as config.json spells them.
pub struct Names {
    keys: Vec<String>,
}

impl Names {
    /// Takes them from the type that reads them.
    pub fn known() -> Self {
        let mut keys = schema::keys();
        keys.extend(OF_SMS.map(str::to_owned));
        Self { keys }
    }

    /// Every key of config.json.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(String::as_str)
    }

    /// Whether config.json may have this key.
    pub fn contains(&self, key: &str) -> bool {
        self.keys().any(|known| known == key)
    }

    /// Every key that a variable can set, with the variable's name.
    pub fn variables(&self) -> impl Iterator<Item = (&str, String)> {
        self.keys().filter(|key| !FILE_ONLY.contains(key)).map(|key| (key, variable(key)))
    }
}

/// The variable of a key: `otp-length` is `ONCEWARD_OTP_LENGTH`.
pub fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace(['-', '.'], "_").to_ascii_uppercase())
}

/// The known name that looks most like this one, if any looks like it at all.
pub fn nearest<S: AsRef<str>>(name: &str, known: impl Iterator<Item = S>) -> Option<S> {
    /// Below this, most of the letters differ and a suggestion would confuse.
    const SIMILAR: f64 = 0.5;
    let plain = |name: &str| name.replace('_', "-").to_ascii_lowercase();
    let name = plain(name);
    known
        .map(|known| (strsim::normalized_damerau_levenshtein(&name, &plain(known.as_ref())), known))
        .filter(|(likeness, _)| *likeness >= SIMILAR)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, known)| known)
}

/// The end of a warning about an unknown name.
pub fn suggestion<S: AsRef<str>>(nearest: Option<S>) -> String {
    nearest.map(|name| format!("; did you mean {:?}?", name.as_ref())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_across_spellings() {
        let known = ["otp-timeout", "otp-length", "otp-lock-timeout"];
        assert_eq!(nearest("otp_timeout", known.iter()), Some(&"otp-timeout"));
        assert_eq!(nearest("OTP-LENGHT", known.iter()), Some(&"otp-length"));
        assert_eq!(nearest("colour", known.iter()), None);
    }

    #[test]
    fn every_key_has_a_variable_of_its_own() {
        let names = Names::known();
        let mut variables: Vec<String> = names.variables().map(|(_, variable)| variable).collect();
        assert!(variables.contains(&"ONCEWARD_OTP_LENGTH".to_owned()));
        assert!(variables.contains(&"ONCEWARD_SERVICE_NAME".to_owned()));
        assert!(!variables.iter().any(|variable| variable.contains("SCHEMA") || variable.ends_with("_SMS")));
        assert!(variables.contains(&"ONCEWARD_SMS_MAX_RETRIES".to_owned()));
        let count = variables.len();
        variables.sort();
        variables.dedup();
        assert_eq!(variables.len(), count);
    }
}
