//! Values that no log and no disk may contain, and the search for them.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;

use super::{
    ACCOUNT_SID, AUTH_TOKEN, HTTP_TOKEN, MADA_PASSWORD, MADA_USERNAME, OWN_ACCOUNT, OWN_TOKEN, SENDER,
    SINCH_APP_ID, SINCH_APP_SECRET,
};

/// Users and their secrets.
const SECRETS: [(&str, &str); 5] = [
    (OWN_ACCOUNT, OWN_TOKEN),
    (ACCOUNT_SID, AUTH_TOKEN),
    (SINCH_APP_ID, SINCH_APP_SECRET),
    (MADA_USERNAME, MADA_PASSWORD),
    ("", HTTP_TOKEN),
];

#[derive(Default)]
pub struct Private {
    /// Every generated code.
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

    /// Asserts that the output has none of the values.
    pub fn is_not_in_output(&self, output: &str) {
        assert!(output.lines().count() > 20, "the scenario logs something");
        for line in output.lines() {
            if let Some(found) = self.found_in(without_time(line).as_bytes()) {
                panic!("the output contains {found}:\n{line}");
            }
        }
    }

    /// Asserts that no file has one of the values. Numbers may be on disk: the server counts by them.
    pub fn is_not_in_files_of(&self, data_dir: &Path) {
        let mut searched = 0;
        for file in files_below(data_dir) {
            if file.ends_with("server.key") {
                continue;
            }
            if file.metadata().is_ok_and(|file| file.file_type().is_socket()) {
                continue;
            }
            let content = fs::read(&file).expect("a file of the data directory");
            // Ignores reserved space, which is zeros.
            let content = &content[..content.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)];
            if let Some(found) = self.found_in_file(content) {
                panic!("{} contains {found}", file.display());
            }
            searched += content.len();
        }
        assert!(searched > 0, "there is something on disk");
    }

    /// The first value in a text.
    pub fn found_in(&self, text: &[u8]) -> Option<String> {
        // The ten digits without the country code identify a number too.
        let mut numbers = self.numbers.iter().map(String::as_str).chain([SENDER]).map(|number| &number[2..]);
        let number = numbers.find(|number| contains(text, number.as_bytes()));
        number.map(|number| format!("a whole number, {number}")).or_else(|| self.found_in_file(text))
    }

    /// The first value in a file, where numbers are allowed.
    pub fn found_in_file(&self, content: &[u8]) -> Option<String> {
        let mut wanted: Vec<(&str, Vec<u8>)> = Vec::new();
        for (user, secret) in SECRETS {
            wanted.push(("a secret", secret.into()));
            wanted.push(("a secret in base64", STANDARD.encode(secret).into()));
            wanted.push(("credentials in base64", STANDARD.encode(format!("{user}:{secret}")).into()));
        }
        for secret in &self.secrets {
            wanted.push((secret, secret.clone().into()));
            wanted.push((secret, STANDARD.encode(secret).into()));
        }
        for code in &self.codes {
            wanted.push(("a code", code.clone().into()));
            // As an integer in a record; a shorter code could occur by chance.
            let value: u64 = code.parse().expect("digits");
            if code.len() == 10 {
                wanted.push(("a code as an integer", value.to_be_bytes().into()));
                wanted.push(("a code as an integer", value.to_le_bytes().into()));
            }
        }
        if let Some(hex) = &self.server_key {
            let bytes = bytes_of(hex);
            wanted.push(("the server key", hex.clone().into()));
            wanted.push(("the server key", hex.to_uppercase().into()));
            wanted.push(("the server key in base64", STANDARD.encode(&bytes).into()));
            wanted.push(("the server key in base64", URL_SAFE_NO_PAD.encode(&bytes).into()));
            wanted.push(("the server key as bytes", bytes));
        }
        wanted.into_iter().find(|(_, bytes)| contains(content, bytes)).map(|(what, _)| what.to_owned())
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

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits: Vec<char> = hex.chars().collect();
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).expect("hex digits");
    digits.chunks(2).map(byte).collect()
}

fn contains(text: &[u8], wanted: &[u8]) -> bool {
    text.windows(wanted.len()).any(|window| window == wanted)
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("a directory");
    entries
        .flat_map(|entry| {
            let path = entry.expect("an entry").path();
            if path.is_dir() { files_below(&path) } else { vec![path] }
        })
        .collect()
}
