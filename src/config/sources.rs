//! Where settings come from. All of it is handed in, so that a test needs nothing of the process.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::layer::{LISTEN_FLAG, Layer};

/// Everything that settings are read from.
#[derive(Clone)]
pub struct Sources {
    /// The file that `--config` names; `None` reads `config.json`, if there is one.
    pub config_file: Option<PathBuf>,
    /// Where `config.json`, `.env` and relative paths begin. Empty means that of the process.
    pub working_dir: PathBuf,
    /// The environment variables of the process.
    pub environment: BTreeMap<String, String>,
    /// What the command line says.
    pub overrides: Overrides,
    /// How many threads can run at once: the default number of shards is made of it.
    pub parallelism: usize,
}

/// Settings from the command line, as they were typed.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--data-dir`.
    pub data_dir: Option<String>,
    /// `--listen`.
    pub listen: Option<String>,
    /// `--log-level`.
    pub log_level: Option<String>,
    /// `--log-format`.
    pub log_format: Option<String>,
}

impl Overrides {
    /// The highest layer.
    pub(super) fn layer(&self) -> Layer {
        let mut layer = Layer::new("command line");
        for (key, flag, value) in [
            ("data-dir", "--data-dir", &self.data_dir),
            (LISTEN_FLAG, LISTEN_FLAG, &self.listen),
            ("log-level", "--log-level", &self.log_level),
            ("log-format", "--log-format", &self.log_format),
        ] {
            if let Some(value) = value {
                layer.put(key, value.clone(), format!("the command line, {flag}"));
            }
        }
        layer
    }
}

/// The text of a file. `Ok(None)` when there is no such file; else the error says why not.
pub(super) fn read_text(path: &Path) -> Result<Option<String>, String> {
    /// Far more than any of these files needs; a device or a wrong path must not fill the memory.
    const LARGEST: u64 = 1024 * 1024;
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("it cannot be read: {error}")),
    };
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|error| format!("it cannot be read: {error}"))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > LARGEST) {
        return Err(format!(
            "it is larger than {LARGEST} bytes, so it is probably not the file that is meant"
        ));
    }
    let text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())?;
    // Some editors put a byte order mark in front, which neither JSON nor .env allows.
    Ok(Some(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text)))
}
