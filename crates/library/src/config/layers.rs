//! Where settings come from, and which layer wins: the command line, then the environment (`.env` below the variables of
//! the process), then config.json, then the defaults. All of it is handed in, so that a test needs nothing of the process.
//! Values stay as they were given: types read them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::dotenv::{self, PREFIX, SHARED_PREFIXES, is_readable_by_others, read_text};
use super::report::{Effective, Report, hint, quoted};
use crate::domain::{Channel, GatewayName, ServerKey};
use crate::net::is_own_host;

#[derive(Clone, Default)]
pub struct Sources {
    /// The file that `--config` names; `None` reads `config.json`, if there is one.
    pub config_file: Option<PathBuf>,
    /// Where `config.json`, `.env` and relative paths begin. Empty means that of the process.
    pub working_dir: PathBuf,
    pub environment: BTreeMap<String, String>,
    pub overrides: Overrides,
    /// The number of threads that can run at once. The number of shards depends on it.
    pub parallelism: usize,
}

/// The settings and gateways of a program that embeds the library.
#[derive(Clone, Default)]
pub struct Program {
    /// Keys of config.json and variables. They win over all other sources.
    pub values: Map<String, Value>,
    /// No file and no variable is read: neither config.json nor `.env`, and no file that a variable names.
    pub alone: bool,
    pub gateways: Vec<OwnGateway>,
}

/// A gateway that the program brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnGateway {
    pub name: GatewayName,
    pub channels: Vec<Channel>,
}

/// What wins over files and variables: settings from the command line, as they were typed, and those of a program that
/// embeds the library.
#[derive(Clone, Default)]
pub struct Overrides {
    pub data_dir: Option<String>,
    pub listen: Option<String>,
    pub log_level: Option<String>,
    pub log_format: Option<String>,
    /// An unknown key or variable is an error.
    pub strict: bool,
    pub program: Program,
}

/// The origins of variables of the process, and of the program's values.
const PROCESS: &str = "the environment";
const PROGRAM: &str = "the program";

/// The name that `--listen` has among the keys. No key of config.json can have it.
pub const LISTEN_FLAG: &str = "--listen";

/// The problem with a server key in the place of its file.
pub const NOT_THE_KEY: &str = "it must be the path of a file that holds the server key, not the key itself";

/// The end of a variable's name when its value is the name of a file with the value.
const FILE_SUFFIX: &str = "_FILE";

/// The beginning of the variables of settings of gateways: `ONCEWARD_GATEWAYS_ACME_SMS_KEY` is `gateways.acme-sms.key`.
pub const GATEWAYS_PREFIX: &str = "ONCEWARD_GATEWAYS_";

/// Other names of keys and variables, as the replaced systems spell them. A dot leads into an object of config.json.
pub const ALIASES: [(&str, &str); 7] = [
    ("otp-max-trials", "otp-max-attempts"),
    ("otp_sms_provider", "otp-sms-provider"),
    ("authentication.otp_length", "otp-length"),
    ("TWILIO_AUTHTOKEN", "TWILIO_AUTH_TOKEN"),
    ("sms.twilio.sid", "TWILIO_ACCOUNT_SID"),
    ("sms.twilio.token", "TWILIO_AUTH_TOKEN"),
    ("sms.twilio.verify_sid", "TWILIO_SERVICES_ID"),
];

pub fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace(['-', '.'], "_").to_ascii_uppercase())
}

/// The names that settings have.
#[derive(Default)]
pub struct Names {
    /// What a spelling means, in config.json or in the environment: a key, a member such as `guard.mode`, or a variable.
    pub meanings: BTreeMap<String, String>,
    /// Variables of gateways, of the account and about traces, which are no keys.
    pub credentials: BTreeSet<String>,
}

impl Names {
    /// A key or a member, or another name of a key or a variable, with the variable that it has.
    pub fn add(&mut self, spelling: &str, name: &str) {
        self.meanings.insert(spelling.to_owned(), name.to_owned());
        self.meanings.insert(variable(spelling), name.to_owned());
    }

    pub fn add_credential(&mut self, name: &str) {
        self.meanings.insert(name.to_owned(), name.to_owned());
        self.credentials.insert(name.to_owned());
    }

    /// Whether it is no other name of its setting. In one source the usual name wins.
    fn is_usual(&self, spelling: &str) -> bool {
        self.meanings.get(spelling).is_some_and(|name| name == spelling || variable(name) == spelling)
    }

    /// What a variable gives a value to.
    fn given_by(&self, variable: &str) -> Option<String> {
        let of_gateway = || variable.starts_with(GATEWAYS_PREFIX).then(|| variable.to_owned());
        self.meanings.get(variable).cloned().or_else(of_gateway)
    }
}

/// Whether a text is a server key, and no path.
pub fn is_server_key(text: &str) -> bool {
    let text = text.trim();
    text.len() == 2 * ServerKey::LEN && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// What the sections of the configuration are read from, and where they note what they find.
#[derive(Default)]
pub struct Context {
    pub names: Names,
    /// By key or variable. A later source replaces what an earlier one says.
    pub values: Map<String, Value>,
    /// By key, member (`guard.mode`) or variable: a file and key, a variable, a flag. What is not here has its default.
    pub origins: BTreeMap<String, String>,
    pub report: Report,
    pub rows: Vec<Effective>,
    /// Gateways of a program that embeds the library.
    pub own_gateways: Vec<OwnGateway>,
    /// Whether errors in the environment count: a command beside a server may not be allowed to read the server's credentials.
    pub credentials: bool,
}

impl Context {
    /// Merges all sources, from the lowest to the highest.
    pub fn of(sources: &Sources, names: Names, credentials: bool) -> Self {
        let Overrides { data_dir, listen, log_level, log_format, strict, program } = &sources.overrides;
        let (report, own_gateways) = (Report::new(*strict), program.gateways.clone());
        let mut merged = Self { names, report, own_gateways, credentials, ..Self::default() };
        if !program.alone {
            merged.add_file(sources);
            let of_file = merged.report.clone();
            merged.add_environment(sources);
            if !credentials {
                merged.report = of_file;
            }
        }
        merged.add_keys(PROGRAM, program.values.clone());
        for (key, flag, value) in [
            ("data-dir", "--data-dir", data_dir),
            (LISTEN_FLAG, LISTEN_FLAG, listen),
            ("log-level", "--log-level", log_level),
            ("log-format", "--log-format", log_format),
        ] {
            if let Some(value) = value {
                merged.put(key, value.as_str().into(), format!("the command line, {flag}"));
            }
        }
        // The server key, where its file should be named, is removed before a message shows it.
        if merged.values.get("key-file").and_then(Value::as_str).is_some_and(is_server_key) {
            merged.values.remove("key-file");
            merged.report.wrong("key-file", None, NOT_THE_KEY, merged.origins.remove("key-file"));
        }
        merged
    }

    /// Sets a key, a variable, or a member of a key. A value as a whole replaces that of a lower source.
    fn put(&mut self, path: &str, value: Value, origin: String) {
        let member = path.split_once('.').filter(|_| !path.starts_with("sms."));
        if let Some((object, name)) = member {
            let whole = self.values.entry(object).or_insert_with(|| Map::new().into());
            if let Some(spelled) = whole.as_str().and_then(|text| serde_json::from_str(text).ok()) {
                *whole = spelled;
            }
            if let Some(members) = whole.as_object_mut() {
                members.insert(name.to_owned(), value);
            }
        } else {
            let below = format!("{path}.");
            self.origins.retain(|known, _| !known.starts_with(&below));
            self.values.insert(path.to_owned(), value);
        }
        self.origins.insert(path.to_owned(), origin);
    }

    /// Reads the file that `sources` names, or `config.json` if there is one.
    fn add_file(&mut self, sources: &Sources) {
        let file = sources.config_file.as_deref().unwrap_or(Path::new("config.json"));
        let path = sources.working_dir.join(file);
        let shown = path.display().to_string();
        let problem = match read_text(&path).map(|text| text.map(|text| serde_json::from_str(&text))) {
            Ok(Some(Ok(Value::Object(members)))) => {
                self.add_keys(&shown, members);
                let given = self.values.keys().filter(|name| self.names.credentials.contains(*name));
                let given: Vec<&str> = given.map(String::as_str).collect();
                let words = "works, but credentials are better kept in the environment or .env, as";
                if !given.is_empty() {
                    self.report.warn(format!("{shown}, \"sms\": {words} {}", given.join(", ")));
                }
                return;
            }
            Ok(Some(Ok(_))) => "it must be one JSON object, { ... }".to_owned(),
            Ok(Some(Err(error))) => format!("it is not valid JSON: {error}"),
            Ok(None) if sources.config_file.is_none() => return,
            Ok(None) => "there is no such file; --config names it".to_owned(),
            Err(reason) => reason,
        };
        self.report.wrong(shown, None, problem, None);
    }

    /// Adds the keys of config.json, or of a program.
    fn add_keys(&mut self, source: &str, members: Map<String, Value>) {
        let mut members: Vec<_> = members.into_iter().collect();
        members.sort_by_key(|(key, _)| self.names.is_usual(key));
        for (key, value) in members {
            self.add_key(source, &key, value);
        }
    }

    fn add_key(&mut self, source: &str, path: &str, value: Value) {
        let origin = format!("{source}, key {path:?}");
        let is_below = |name: &String| name.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'));
        if source != PROGRAM && self.is_credential(path) {
            let problem = "credentials do not belong in config.json. Move it to the environment, to .env, or to a file \
                           that a variable with _FILE at its end names, such as TWILIO_AUTH_TOKEN_FILE";
            self.report.wrong(path, None, problem, origin);
        } else if let Some(name) = self.names.meanings.get(path).cloned() {
            // An empty credential counts as not given, as its variable does.
            let is_empty = value.is_null() || value.as_str().is_some_and(|text| text.trim().is_empty());
            if !(is_empty && self.names.credentials.contains(&name)) {
                self.put(&name, value, origin);
            }
        } else if self.names.meanings.keys().any(is_below) {
            match value {
                Value::Object(members) => {
                    for (name, value) in members {
                        self.add_key(source, &format!("{path}.{name}"), value);
                    }
                }
                Value::Null => {}
                // The value is not repeated: it may be a secret.
                _ => self.report.wrong(path, None, "it must be an object", origin),
            }
        } else {
            self.note_unknown(path, origin);
        }
    }

    /// Whether a key of config.json is a variable of a gateway, or of the account, in any spelling.
    fn is_credential(&self, key: &str) -> bool {
        let key = key.to_ascii_uppercase().replace('-', "_");
        self.names.credentials.contains(&key)
            || self.names.credentials.contains(&format!("{PREFIX}{key}"))
            || SHARED_PREFIXES.iter().any(|prefix| key.starts_with(prefix))
    }

    /// Adds the variables. One of the process hides one of the same name in `.env`, even when it is empty; an empty one
    /// counts as not given.
    fn add_environment(&mut self, sources: &Sources) {
        let mut file = dotenv::read(&sources.working_dir, &mut self.report);
        let path = sources.working_dir.join(".env");
        let meaning = |name: &String| self.names.meanings.get(name);
        if file.keys().filter_map(meaning).any(|name| self.names.credentials.contains(name)) {
            self.warn_if_readable(&path, ".env");
        }
        // A value may also be given by a file or instead of one.
        let plain = |name: &str| name.strip_suffix(FILE_SUFFIX).unwrap_or(name).to_owned();
        let hidden: BTreeSet<String> = sources.environment.keys().map(|name| plain(name)).collect();
        file.retain(|name, _| !hidden.contains(&plain(name)));
        self.add_variables(".env", file, &sources.working_dir);
        self.add_variables(PROCESS, sources.environment.clone(), &sources.working_dir);
    }

    fn add_variables(&mut self, source: &str, mut given: BTreeMap<String, String>, directory: &Path) {
        given.retain(|_, text| !text.is_empty());
        let mut given: Vec<_> = given.into_iter().collect();
        given.sort_by_key(|(name, _)| self.names.is_usual(name));
        for (name, text) in given {
            let origin = format!("{source}, {name}");
            if name == "HOST" {
                self.add_host(&text, source == PROCESS, origin);
            } else if let Some(path) =
                name.strip_suffix(FILE_SUFFIX).and_then(|plain| self.names.given_by(plain))
            {
                match self.read_value(&directory.join(text), &origin) {
                    Ok((text, origin)) => self.put(&path, text.into(), origin),
                    Err(problem) => self.report.wrong(name, None, problem, origin),
                }
            } else if let Some(path) = self.names.given_by(&name) {
                self.put(&path, text.into(), origin);
            } else {
                self.note_unknown_variable(&name, origin);
            }
        }
    }

    /// `HOST`, as the tutorial's project sets it.
    fn add_host(&mut self, text: &str, is_of_process: bool, origin: String) {
        let (host, port) = super::forms::host_variable(text);
        // Shells and build tools export a variable of this name too.
        if is_of_process && !is_own_host(&host) {
            let problem = "is no address of this machine and is ignored. If you did not mean it, unset HOST; else set test-hostname";
            self.report.ignored(origin, format!("{} {problem}", quoted(&host)));
            return;
        }
        if let Some(port) = port {
            self.put("test-port", port.into(), origin.clone());
        }
        self.put("test-hostname", host.into(), origin);
    }

    /// The text of a file that a variable names, and where it came from.
    fn read_value(&mut self, path: &Path, origin: &str) -> Result<(String, String), String> {
        let file = path.display();
        match read_text(path).map(|text| text.map(|text| text.trim().to_owned())) {
            Ok(Some(text)) if !text.is_empty() => {
                self.warn_if_readable(path, origin);
                Ok((text, format!("the file {file}, named by {origin}")))
            }
            Ok(Some(_)) => Err(format!("the file {file} is empty")),
            Ok(None) => Err(format!("there is no file {file}")),
            Err(reason) => Err(format!("the file {file}: {reason}")),
        }
    }

    /// Warns of a file with a secret.
    fn warn_if_readable(&mut self, path: &Path, origin: &str) {
        if is_readable_by_others(path) {
            let file = path.display();
            self.report.warn(format!(
                "{origin}: every user of this machine can read the file {file}; run chmod o= on it"
            ));
        }
    }

    /// Misspelt names would otherwise look as if they worked.
    fn note_unknown(&mut self, name: &str, origin: String) {
        // A variable is best spelled as its provider does.
        let is_older =
            |known: &&str| known.starts_with("TWILIO") && ALIASES.iter().any(|(of, _)| of == known);
        let known = self.names.meanings.keys().map(String::as_str).filter(|known| !is_older(known));
        self.report.ignored(origin, format!("it is unknown{}", hint(name, known)));
    }

    fn note_unknown_variable(&mut self, name: &str, origin: String) {
        // Other programs have variables of gateways too: only a likely slip is worth a word.
        let is_slip = |known: &String| strsim::damerau_levenshtein(name, known) <= 2;
        let is_shared = || SHARED_PREFIXES.iter().any(|prefix| name.starts_with(&prefix[..prefix.len() - 1]));
        if name.starts_with(PREFIX) || is_shared() && self.names.meanings.keys().any(is_slip) {
            self.note_unknown(name, origin);
        }
    }
}
