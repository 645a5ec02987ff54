//! All sources of settings: config.json, `.env` and the variables of the process.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;

use onceward::config::{Overrides, Sources, load, load_storage};
use serde_json::Value;
use tempfile::TempDir;

use super::support::text;

/// Members of config.json that hold secrets.
const SECRET_MEMBERS: [&str; 3] = ["/sms/twilio/token", "/sms/sinch/app_secret", "/sms/mada/password"];

const SECRET_VARIABLES: [&str; 5] =
    ["TWILIO_AUTH_TOKEN", "SINCH_APP_SECRET", "MADA_PASSWORD", "LOGTO_HOOK_KEYS", "ONCEWARD_AUTH_TOKEN"];

/// A complete config.json.
pub fn config_file(input: &[u8]) {
    let said = loaded(Some(input), None, BTreeMap::new());
    let Ok(json) = serde_json::from_slice::<Value>(input) else { return };
    let file = String::from_utf8_lossy(input);
    for secret in SECRET_MEMBERS.iter().filter_map(|member| json.pointer(member)?.as_str()) {
        is_not_shown(secret, &file, &said, |other| loaded(Some(other.as_bytes()), None, BTreeMap::new()));
    }
}

/// A complete `.env` file.
pub fn dotenv(input: &[u8]) {
    if leads_elsewhere(input) {
        return;
    }
    let said = loaded(None, Some(input), BTreeMap::new());
    let Some(file) = text(input) else { return };
    for line in file.lines() {
        let Some((name, value)) = line.split_once('=') else { continue };
        if SECRET_VARIABLES.contains(&name.trim()) {
            let secret = value.trim().trim_matches(['"', '\'']);
            is_not_shown(secret, file, &said, |other| loaded(None, Some(other.as_bytes()), BTreeMap::new()));
        }
    }
}

/// Variables of the process: one `NAME=value` in each line.
pub fn variables(input: &[u8]) {
    let Some(lines) = text(input).filter(|_| !leads_elsewhere(input)) else { return };
    let given = |lines: &str| -> BTreeMap<String, String> {
        let pairs = lines.lines().filter_map(|line| line.split_once('='));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    };
    let said = loaded(None, None, given(lines));
    for (name, secret) in given(lines) {
        if SECRET_VARIABLES.contains(&name.as_str()) {
            is_not_shown(&secret, lines, &said, |other| loaded(None, None, given(other)));
        }
    }
}

/// Skips inputs that name files outside the test's folder.
fn leads_elsewhere(input: &[u8]) -> bool {
    let input = input.escape_ascii().to_string();
    input.contains("_FILE") && (input.contains('/') || input.contains(".."))
}

/// Loads settings, checks what holds for every result, and returns everything that could be printed.
fn loaded(file: Option<&[u8]>, dotenv: Option<&[u8]>, environment: BTreeMap<String, String>) -> String {
    thread_local! {
        static FOLDER: RefCell<Option<TempDir>> = const { RefCell::new(None) };
    }
    let working_dir = FOLDER.with_borrow_mut(|folder| {
        folder.get_or_insert_with(|| tempfile::tempdir().expect("a folder")).path().to_owned()
    });
    for (name, bytes) in [("config.json", file), (".env", dotenv)] {
        let path = working_dir.join(name);
        match bytes {
            Some(bytes) => std::fs::write(path, bytes).expect("written"),
            None => drop(std::fs::remove_file(path)),
        }
    }
    let sources = sources(working_dir, environment);
    let storage = load_storage(&sources);
    match load(&sources) {
        Ok(loaded) => {
            // Valid settings are valid for the commands that need a part of them.
            let storage = storage.unwrap_or_else(|errors| panic!("{errors}"));
            assert_eq!(storage.data_dir, loaded.settings.storage.data_dir);
            assert!(loaded.effective.iter().all(|row| !row.key.is_empty() && !row.origin.is_empty()));
            format!("{loaded:?}")
        }
        Err(errors) => {
            assert!(errors.iter().next().is_some(), "an error without a word");
            assert!(errors.iter().all(|error| !error.to_string().is_empty()));
            format!("{errors:?} {errors}")
        }
    }
}

fn sources(working_dir: PathBuf, environment: BTreeMap<String, String>) -> Sources {
    Sources { config_file: None, working_dir, environment, overrides: Overrides::default(), parallelism: 2 }
}

/// No printed text may contain a secret that occurs once in the input. A word that is printed anyway is not a secret: a
/// second load with another secret tells.
fn is_not_shown(secret: &str, input: &str, said: &str, load: impl FnOnce(&str) -> String) {
    let plain = secret.len() >= 8 && secret.bytes().all(|b| b.is_ascii_alphanumeric());
    if plain && input.matches(secret).count() == 1 && said.contains(secret) {
        let other = load(&input.replace(secret, &"Qj".repeat(secret.len() / 2)));
        assert!(other.contains(secret), "the secret {secret:?} is shown: {said}");
    }
}
