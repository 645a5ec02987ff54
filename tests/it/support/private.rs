//! Values that no log and no disk may contain, and the search for them.

use std::fs;
use std::path::Path;

use aho_corasick::AhoCorasick;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;

use super::{
    ACCOUNT_SID, AUTH_TOKEN, OWN_ACCOUNT, OWN_TOKEN, SENDER, VONAGE_KEY, VONAGE_SECRET, files, used,
};

const SECRETS: [(&str, &str); 3] =
    [(OWN_ACCOUNT, OWN_TOKEN), (ACCOUNT_SID, AUTH_TOKEN), (VONAGE_KEY, VONAGE_SECRET)];

#[derive(Default)]
pub struct Private {
    pub codes: Vec<String>,
    /// All other values that no output and no file may contain.
    pub secrets: Vec<String>,
    numbers: Vec<String>,
    server_key: Option<String>,
}

impl Private {
    pub fn number(&mut self, number: String) -> String {
        self.numbers.push(number.clone());
        number
    }

    /// Adds the key of this data directory.
    pub fn server_key(&mut self, data_dir: &Path) {
        let key = fs::read_to_string(data_dir.join("server.key")).expect("the server key");
        self.server_key = Some(key.trim().to_owned());
    }

    pub fn is_not_in_output(&self, output: &str) {
        assert!(output.lines().count() > 20, "the scenario logs something");
        let search = self.search(true);
        for line in output.lines().map(without_time) {
            assert_eq!(search.finds_in(line.as_bytes()), None, "in the output: {line}");
        }
    }

    /// Asserts that no file has one of the values. Numbers may be on disk: the server counts by them.
    pub fn is_not_in_files_of(&self, data_dir: &Path) {
        let (search, mut searched) = (self.search(false), 0);
        for (file, content) in files(data_dir) {
            if !file.ends_with("server.key") {
                let content = used(&content);
                assert_eq!(search.finds_in(content), None, "in {}", file.display());
                searched += content.len();
            }
        }
        assert!(searched > 0, "there is something on disk");
    }

    pub fn search(&self, with_numbers: bool) -> Search {
        let mut values = Vec::new();
        let mut add = |what: &str, value: &[u8]| values.push((what.to_owned(), value.to_vec()));
        // The ten digits without the country code identify a number too.
        let numbers = self.numbers.iter().map(String::as_str).chain([SENDER]).map(|number| &number[2..]);
        for number in numbers.filter(|_| with_numbers) {
            add(&format!("a whole number, {number}"), number.as_bytes());
        }
        for (user, secret) in SECRETS {
            add("a secret", secret.as_bytes());
            add("a secret in base64", STANDARD.encode(secret).as_bytes());
            add("credentials in base64", STANDARD.encode(format!("{user}:{secret}")).as_bytes());
        }
        for secret in &self.secrets {
            add(secret, secret.as_bytes());
            add(secret, STANDARD.encode(secret).as_bytes());
        }
        for code in &self.codes {
            // The tutorial's six digits could be part of another number by chance.
            if code.len() < 10 {
                add("a short code", format!("\"{code}\"").as_bytes());
                add("a short code", format!(": {code}").as_bytes());
                continue;
            }
            add("a code", code.as_bytes());
            let value: u64 = code.parse().expect("digits");
            add("a code as an integer", &value.to_be_bytes());
            add("a code as an integer", &value.to_le_bytes());
        }
        if let Some(hex) = &self.server_key {
            let bytes = base16ct::lower::decode_vec(hex).expect("hex digits");
            add("the server key", hex.as_bytes());
            add("the server key", hex.to_uppercase().as_bytes());
            add("the server key in base64", STANDARD.encode(&bytes).as_bytes());
            add("the server key in base64", URL_SAFE_NO_PAD.encode(&bytes).as_bytes());
            add("the server key as bytes", &bytes);
        }
        let all = AhoCorasick::new(values.iter().map(|(_, value)| value)).expect("a search");
        Search { values, all }
    }
}

/// Values, and what they are.
pub struct Search {
    values: Vec<(String, Vec<u8>)>,
    all: AhoCorasick,
}

impl Search {
    pub fn finds_in(&self, text: &[u8]) -> Option<&str> {
        self.all.find(text).map(|found| self.values[found.pattern()].0.as_str())
    }
}

/// Removes the timestamp: its fraction of a second has six digits, like the tutorial's codes.
fn without_time(line: &str) -> String {
    match serde_json::from_str::<Value>(line) {
        Ok(Value::Object(mut event)) => {
            event.remove("timestamp");
            Value::Object(event).to_string()
        }
        _ => line.to_owned(),
    }
}
