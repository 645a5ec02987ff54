//! The configuration as an operator uses it: files, variables and flags in, settings or errors out.

mod cases;
mod documents;
mod gateways;
mod sources;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use tempfile::TempDir;

use super::{ConfigErrors, Loaded, Settings, Sources, load};
use crate::gateway::TwilioSettings;

/// An account id in Twilio's form.
const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
/// A Verify service id in Twilio's form.
const VERIFY: &str = "VA0123456789abcdef0123456789abcdef";
/// A token that no output may contain.
const TOKEN: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";

/// Files, variables and a command line, independent of this machine.
struct World {
    directory: TempDir,
    sources: Sources,
}

impl World {
    fn empty() -> Self {
        let directory = TempDir::new().expect("a directory");
        let working_dir = directory.path().to_owned();
        let sources = Sources { working_dir, parallelism: 3, ..Sources::default() };
        Self { directory, sources }
    }

    fn with_config(text: &str) -> Self {
        Self::empty().file("config.json", text)
    }

    /// Twilio's three variables, enough to send with.
    fn with_twilio() -> Self {
        Self::empty()
            .variable("TWILIO_ACCOUNT_SID", ACCOUNT)
            .variable("TWILIO_AUTH_TOKEN", TOKEN)
            .variable("TWILIO_PHONE_NUMBER", "+14155552671")
    }

    fn and_sinch(self) -> Self {
        self.variable("SINCH_APP_ID", "app").variable("SINCH_APP_SECRET", TOKEN)
    }

    fn and_mada(self) -> Self {
        self.variable("MADA_USERNAME", "me")
            .variable("MADA_PASSWORD", TOKEN)
            .variable("MADA_URL", "127.0.0.1:1/soap")
            .variable("MADA_SOURCE_NAME", "Acme")
    }

    /// Sends every message through these providers.
    fn through(self, providers: &str) -> Self {
        self.variable("ONCEWARD_OTP_SMS_PROVIDER", providers)
    }

    fn file(self, name: &str, text: &str) -> Self {
        std::fs::write(self.path(name), text).expect("a file");
        self.mode(name, 0o600)
    }

    fn mode(self, name: &str, mode: u32) -> Self {
        std::fs::set_permissions(self.path(name), Permissions::from_mode(mode)).expect("its mode");
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.sources.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.sources.environment.remove(name);
        self
    }

    fn flag(mut self, name: &'static str, value: &str) -> Self {
        self.sources.flags.insert(name, value.to_owned());
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn load(&self) -> Result<Loaded, ConfigErrors> {
        load(&self.sources)
    }

    fn loads(&self) -> Loaded {
        self.load().unwrap_or_else(|errors| panic!("{errors}"))
    }

    fn settings(&self) -> Settings {
        self.loads().settings
    }

    fn warnings(&self) -> Vec<String> {
        self.loads().warnings
    }

    fn twilio(&self) -> TwilioSettings {
        self.settings().gateways.twilio_messages().cloned().expect("Twilio Messages")
    }

    /// The value and the origin of a key in `--print-config`.
    fn shows(&self, key: &str) -> (String, String) {
        let row = self.loads().given.into_iter().find(|row| row.key == key);
        let row = row.unwrap_or_else(|| panic!("no {key}"));
        (row.value, row.origin)
    }
}

/// Asserts that the text has every part.
#[track_caller]
fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
}
