//! The configuration as an operator uses it: files, variables and flags in, settings or errors out.

mod cases;
mod documents;
mod sources;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use tempfile::TempDir;

use super::{Loaded, Settings, Sources, load};

/// An account id in Twilio's form.
const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
/// A Verify service id in Twilio's form.
const VERIFY: &str = "VA0123456789abcdef0123456789abcdef";
/// A token that no output may contain.
const TOKEN: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";

/// Files and variables, independent of this machine.
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
        Self::empty().variables(&format!(
            "TWILIO_ACCOUNT_SID={ACCOUNT}\nTWILIO_AUTH_TOKEN={TOKEN}\nTWILIO_PHONE_NUMBER=+14155552671"
        ))
    }

    fn file(self, name: &str, text: &str) -> Self {
        std::fs::write(self.path(name), text).expect("a file");
        self.mode(name, 0o600)
    }

    fn mode(self, name: &str, mode: u32) -> Self {
        std::fs::set_permissions(self.path(name), Permissions::from_mode(mode)).expect("its mode");
        self
    }

    /// Lines of the form `NAME=value`.
    fn variables(mut self, lines: &str) -> Self {
        self.sources.environment.extend(pairs(lines));
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.sources.environment.remove(name);
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn loads(&self) -> Loaded {
        load(&self.sources).unwrap_or_else(|errors| panic!("{errors}"))
    }

    fn settings(&self) -> Settings {
        self.loads().settings
    }

    fn warnings(&self) -> Vec<String> {
        self.loads().warnings
    }
}

/// The variables of lines of the form `NAME=value`.
fn pairs(lines: &str) -> impl Iterator<Item = (String, String)> {
    let pairs = lines.lines().filter_map(|line| line.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned()))
}
