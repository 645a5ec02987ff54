//! Where settings come from, and which source wins: the command line, then the environment (`.env` below the variables
//! of the process), then config.json, then the defaults. All of it is handed in, so that a test needs nothing of the
//! process.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde::Deserializer as _;
use serde::de::{MapAccess, Visitor};
use serde_json::{Map, Value, json};

use super::context::Report;
use super::kind::{quoted, shown_json, text_of};
use super::schema::{ALIASES, FILE_SUFFIX, Names, PREFIX, nearest, shared_prefixes, suggestion};
use super::values::host_variable;
use super::{dotenv, gateways};
use crate::domain::{Channel, GatewayName, ServerKey};
use crate::net::is_own_host;

#[derive(Clone)]
pub struct Sources {
    /// The file that `--config` names; `None` reads `config.json`, if there is one.
    pub config_file: Option<PathBuf>,
    /// Where `config.json`, `.env` and relative paths begin. Empty means that of the process.
    pub working_dir: PathBuf,
    pub environment: BTreeMap<String, String>,
    pub overrides: Overrides,
    /// The number of threads that can run at once. The default number of shards depends on it.
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

/// The origin of variables of the process.
const PROCESS: &str = "the environment";

/// The origin of the program's values.
const PROGRAM: &str = "the program";

/// What wins over files and variables: settings from the command line, as they were typed, and those of a program that
/// embeds the library.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    pub data_dir: Option<String>,
    pub scratch: Option<String>,
    pub listen: Option<String>,
    pub log_level: Option<String>,
    pub log_format: Option<String>,
    /// An unknown key or variable is an error.
    pub strict: bool,
    pub program: Program,
}

impl fmt::Debug for Program {
    /// Shows no value: it may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program").field("gateways", &self.gateways).finish_non_exhaustive()
    }
}

/// The name that `--listen` has among the keys. No key of config.json can have it.
pub const LISTEN_FLAG: &str = "--listen";

/// The problem with a server key in the place of its file.
pub const NOT_THE_KEY: &str = "it must be the path of a file that holds the server key, not the key itself";

/// Variables of the Redis version and the tutorial that have no meaning any more.
const REDIS: [&str; 2] = ["REDIS_URL", "REDIS_DB_PASSWORD"];

/// The values of all sources, and where each came from: later ones replace earlier ones.
#[derive(Default)]
pub struct RawValues {
    /// By key or variable.
    pub values: Map<String, Value>,
    /// By key, member (`guard.mode`) or variable: a file and key, a variable, a flag. What is not here has its default.
    pub origins: BTreeMap<String, String>,
    /// The given values about Redis, by name.
    pub redis: BTreeSet<&'static str>,
}

/// Whether a text is a server key, and no path.
pub fn is_server_key(text: &str) -> bool {
    let text = text.trim();
    text.len() == 2 * ServerKey::LEN && text.bytes().all(|b| b.is_ascii_hexdigit())
}

impl RawValues {
    /// Merges all sources, from the lowest to the highest. Also returns the reports about config.json and about the
    /// environment.
    pub fn merge(sources: &Sources, names: &Names) -> (Self, Report, Report) {
        let (mut of_file, mut of_environment) = (Report::of(sources), Report::of(sources));
        let mut merged = Self::default();
        if !sources.overrides.program.alone {
            merged.add_file(sources, names, &mut of_file);
            merged.add_environment(sources, names, &mut of_environment);
        }
        let members = sources.overrides.program.values.clone().into_iter().collect();
        Source::new(PROGRAM, names, &mut of_file, &mut merged).add_object(members);
        let keys = ["redis-db-address", "REDIS_DB_PASSWORD"];
        merged.redis.extend(keys.into_iter().filter(|key| merged.values.contains_key(*key)));
        let Overrides { data_dir, scratch, listen, log_level, log_format, .. } = &sources.overrides;
        for (key, flag, value) in [
            ("data-dir", "--data-dir", data_dir),
            ("scratch", "--scratch", scratch),
            (LISTEN_FLAG, LISTEN_FLAG, listen),
            ("log-level", "--log-level", log_level),
            ("log-format", "--log-format", log_format),
        ] {
            if let Some(value) = value {
                merged.put(key, value.as_str(), format!("the command line, {flag}"));
            }
        }
        merged.refuse_server_key(&mut of_file);
        (merged, of_file, of_environment)
    }

    /// Sets a key or a variable, with all its members.
    pub fn put(&mut self, key: &str, value: impl Into<Value>, origin: impl Into<String>) {
        let below = format!("{key}.");
        self.origins.retain(|path, _| !path.starts_with(&below));
        self.values.insert(key.to_owned(), value.into());
        self.origins.insert(key.to_owned(), origin.into());
    }

    /// Sets a member of the object that a key is.
    fn put_member(&mut self, path: &str, value: Value, origin: String) {
        let (key, member) = path.split_once('.').unwrap_or((path, ""));
        let object = self.values.entry(key).or_insert_with(|| json!({}));
        // A variable spells an object as a text.
        if let Some(members) = object.as_str().and_then(|text| serde_json::from_str(text).ok()) {
            *object = Value::Object(members);
        }
        put_member(object, member, value);
        self.origins.entry(key.to_owned()).or_insert_with(|| origin.clone());
        self.origins.insert(path.to_owned(), origin);
    }

    /// Removes the server key, where its file should be named, before a message shows it.
    fn refuse_server_key(&mut self, report: &mut Report) {
        if self.values.get("key-file").and_then(Value::as_str).is_some_and(is_server_key) {
            self.values.remove("key-file");
            report.wrong("key-file", None, NOT_THE_KEY, self.origins.remove("key-file"));
        }
    }

    /// Where a key, a variable, or a member of an object came from.
    pub fn origin(&self, path: &str) -> Option<&str> {
        let outer = || path.rfind(['.', '[']).map(|end| &path[..end]);
        self.origins.get(path).map(String::as_str).or_else(|| self.origin(outer()?))
    }

    /// The given value at a path, as messages show it. `None` for lists and objects.
    pub fn given(&self, path: &str) -> Option<String> {
        let (key, members) = path.split_once('.').unwrap_or((path, ""));
        let mut members = members.split('.').filter(|name| !name.is_empty());
        let value = members.try_fold(self.values.get(key)?, |value, name| value.get(name))?;
        text_of(value).map(|_| shown_json(value))
    }

    /// Reads the file that `sources` names, or `config.json` if there is one.
    fn add_file(&mut self, sources: &Sources, names: &Names, report: &mut Report) {
        let file = sources.config_file.as_deref().unwrap_or(Path::new("config.json"));
        let path = sources.working_dir.join(file);
        let shown = path.display().to_string();
        match read_text(&path) {
            Ok(Some(text)) => match file_members(&text) {
                Ok(members) => Source::new(&shown, names, report, self).add_object(members),
                Err(error) if error.is_data() => {
                    let problem = format!("it must be one JSON object, {{ ... }}: {error}");
                    report.wrong(shown, None, problem, None);
                }
                Err(error) => report.wrong(shown, None, format!("it is not valid JSON: {error}"), None),
            },
            Ok(None) if sources.config_file.is_none() => {}
            Ok(None) => report.wrong(shown, None, "there is no such file; --config names it", None),
            Err(reason) => report.wrong(shown, None, reason, None),
        }
    }

    /// Adds the variables. One of the process hides one of the same name in `.env`, even when it is empty; an empty one
    /// counts as not given.
    fn add_environment(&mut self, sources: &Sources, names: &Names, report: &mut Report) {
        let process = &sources.environment;
        let mut file = dotenv::read(&sources.working_dir, report);
        let path = sources.working_dir.join(".env");
        if file.keys().any(|name| names.is_secret(usual_name(name))) && is_readable_by_others(&path) {
            report.warn(readable_by_others(&path));
        }
        file.retain(|name, _| !hides(process, name, names));
        for (name, variables) in [(".env", &file), (PROCESS, process)] {
            let variables = variables.iter().filter(|(_, value)| !value.is_empty());
            let variables = variables.map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let directory = &sources.working_dir;
            let mut source = Source::new(name, names, report, self);
            Environment { variables, directory, source: &mut source }.add();
        }
    }
}

/// Sets a member of an object; of a value that is none, nothing.
fn put_member(object: &mut Value, path: &str, value: Value) {
    let Value::Object(members) = object else { return };
    match path.split_once('.') {
        None => {
            members.insert(path.to_owned(), value);
        }
        Some((name, rest)) => put_member(members.entry(name).or_insert_with(|| json!({})), rest, value),
    }
}

/// The name that an alias stands for, or the name itself.
fn usual_name(name: &str) -> &str {
    ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, usual)| usual)
}

/// One place that has values, on their way into [`RawValues`].
struct Source<'a> {
    name: &'a str,
    names: &'a Names,
    report: &'a mut Report,
    merged: &'a mut RawValues,
    /// What this source has given: by the usual name, the name and the value.
    given: BTreeMap<String, (String, Value)>,
    /// Credentials that the file may have, though they are better kept elsewhere.
    credentials: Vec<(String, &'static str)>,
}

impl<'a> Source<'a> {
    const fn new(name: &'a str, names: &'a Names, report: &'a mut Report, merged: &'a mut RawValues) -> Self {
        Self { name, names, report, merged, given: BTreeMap::new(), credentials: Vec::new() }
    }

    /// Reads the keys of config.json, or of a program.
    fn add_object(mut self, members: Vec<(String, Value)>) {
        for (key, value) in members {
            self.add(&key, value);
        }
        if self.credentials.is_empty() {
            return;
        }
        let paths: Vec<String> = self.credentials.iter().map(|(path, _)| format!("{path:?}")).collect();
        let variables: Vec<&str> = self.credentials.iter().map(|(_, variable)| *variable).collect();
        self.report.warn(format!(
            "{}, {} {}: works, but credentials are better kept in the environment or .env, as {}",
            self.name,
            if paths.len() == 1 { "key" } else { "keys" },
            paths.join(", "),
            variables.join(", ")
        ));
    }

    fn add(&mut self, path: &str, value: Value) {
        let origin = format!("{}, key {path:?}", self.name);
        if self.name == PROGRAM && self.names.credentials().any(|known| known == path) {
            self.put(path, value, format!("{PROGRAM}, {path}"));
        } else if self.names.is_value(path) {
            self.add_value(path, value, origin);
        } else if !path.is_empty() && !self.names.children(path).is_empty() {
            match value {
                Value::Object(members) => {
                    for (name, value) in members {
                        self.add(&format!("{path}.{name}"), value);
                    }
                }
                Value::Null if path.contains('.') => {}
                // The value is not repeated: it may be a secret.
                _ => {
                    let problem = "it must be an object such as {\"twilio\": {\"sid\": \"AC...\", \"token\": \"...\"}} of \
                                   \"sms\" or {\"otp_length\": 6} of \"authentication\"";
                    self.report.wrong(path, None, problem, origin);
                }
            }
        } else if is_credential(path, self.names) {
            let problem = "credentials do not belong in config.json. Move it to the environment, to .env, or to a file \
                           that a variable with _FILE at its end names, such as TWILIO_AUTH_TOKEN_FILE";
            self.report.wrong(path, None, problem, origin);
        } else {
            let hint = if path == "listen" {
                "; set \"test-hostname\" and \"test-port\", or \"prod-domain\" with \"production\": true"
                    .to_owned()
            } else {
                suggestion(self.names.meant(path))
            };
            self.report.unknown(origin, &hint);
        }
    }

    fn add_value(&mut self, path: &str, value: Value, origin: String) {
        let stands_for = ALIASES.iter().find(|(alias, _)| *alias == path).map(|(_, name)| *name);
        if let Some(variable) = stands_for.filter(|name| self.names.variables.contains_key(*name)) {
            // An empty alias of a variable counts as not given, as the variable does.
            match &value {
                Value::Null => return,
                Value::String(text) if text.trim().is_empty() => return,
                Value::Array(_) | Value::Object(_) => {
                    let problem = format!("it must be a text, not {}", shown_json(&value));
                    return self.report.wrong(path, None, problem, origin);
                }
                Value::String(_) | Value::Bool(_) | Value::Number(_) => {}
            }
            if self.names.is_secret(variable) {
                self.credentials.push((path.to_owned(), variable));
            }
        }
        if self.given.get(usual_name(path)).is_some_and(|(name, _)| name == path) {
            self.report.warn(format!("{origin} is given twice; the last one counts"));
        }
        self.put(path, value, origin);
    }

    /// Sets a value under its usual name. A source that gives two names of one setting must mean the same.
    fn put(&mut self, path: &str, value: Value, origin: String) {
        let name = usual_name(path);
        match self.given.get(name) {
            Some((other, first)) if other != path && text_of(first) != text_of(&value) => {
                let is_secret = self.names.is_secret(name);
                let shown = (!is_secret).then(|| format!("{} and {}", shown_json(first), shown_json(&value)));
                let origin = format!("{} and {origin}", self.merged.origin(name).unwrap_or_default());
                let problem = "these are two names of one setting and differ. Remove one of them";
                self.report.wrong(format!("{other} and {path}"), shown, problem, origin);
            }
            Some((other, _)) if other != path => {}
            _ => {
                self.given.insert(name.to_owned(), (path.to_owned(), value.clone()));
                let below = format!("{name}.");
                match value {
                    _ if !self.names.keys.contains_key(name) && name.contains('.') => {
                        self.merged.put_member(name, value, origin);
                    }
                    // Members that the same source gave by themselves stay.
                    Value::Object(members) if self.given.keys().any(|given| given.starts_with(&below)) => {
                        for (member, value) in members {
                            self.merged.put_member(&format!("{below}{member}"), value, origin.clone());
                        }
                    }
                    value => self.merged.put(name, value, origin),
                }
            }
        }
    }
}

/// Whether a key of config.json is a variable of a gateway, or of the account, in any spelling.
fn is_credential(key: &str, names: &Names) -> bool {
    let key = key.to_ascii_uppercase().replace('-', "_");
    let mut own = names.variables.keys().filter_map(|variable| variable.strip_prefix(PREFIX));
    own.any(|variable| variable == key.trim_start_matches(PREFIX))
        || gateways::PREFIXES.iter().any(|(prefix, _)| key.starts_with(prefix.as_str()))
}

/// The members of config.json in their order, doubles included.
fn file_members(text: &str) -> serde_json::Result<Vec<(String, Value)>> {
    struct InOrder;

    impl<'de> Visitor<'de> for InOrder {
        type Value = Vec<(String, Value)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            std::iter::from_fn(|| map.next_entry().transpose()).collect()
        }
    }

    let mut file = serde_json::Deserializer::from_str(text);
    let members = file.deserialize_map(InOrder)?;
    file.end().map(|()| members)
}

/// Whether the process gives a variable; a credential also by a file or instead of one.
fn hides(process: &BTreeMap<String, String>, name: &str, names: &Names) -> bool {
    let is_credential = |name: &str| names.credentials().any(|known| known == name);
    let plain = name.strip_suffix(FILE_SUFFIX).filter(|plain| is_credential(plain)).unwrap_or(name);
    let by_file = is_credential(plain) && process.contains_key(&format!("{plain}{FILE_SUFFIX}"));
    by_file || process.contains_key(plain)
}

/// One of the two places that have variables.
struct Environment<'a, 'b> {
    variables: BTreeMap<&'a str, &'a str>,
    directory: &'a Path,
    source: &'a mut Source<'b>,
}

impl Environment<'_, '_> {
    fn add(&mut self) {
        self.tutorial();
        self.own();
        self.warn_of_unknown();
    }

    /// `HOST` and `PORT`, as the tutorial's project sets them.
    fn tutorial(&mut self) {
        if let Some(host) = self.variables.get("HOST") {
            let origin = self.origin("HOST");
            match host_variable(host) {
                // Shells and build tools export a variable of this name too.
                Some((host, _)) if self.source.name == PROCESS && !is_own_host(&host) => {
                    let problem = format!(
                        "{} is no address of this machine and is ignored. If you did not mean it, unset HOST; else set \
                         test-hostname",
                        quoted(&host)
                    );
                    self.source.report.ignored(&origin, &problem);
                }
                Some((host, port)) => {
                    self.source.merged.put("test-hostname", host, origin.clone());
                    if let Some(port) = port {
                        self.source.merged.put("test-port", port, origin);
                    }
                }
                None => {
                    let problem = "it must be a host name or an address, perhaps with a port, or a URL such as \
                                   http://localhost";
                    self.source.report.wrong("HOST", quoted(host), problem, origin);
                }
            }
        }
        if let Some(port) = self.variables.get("PORT") {
            let origin = self.origin("PORT");
            self.source.merged.put("test-port", *port, origin);
        }
    }

    /// `ONCEWARD_*` and the gateways' variables.
    fn own(&mut self) {
        let names = self.source.names;
        for (path, variable) in names.own_variables() {
            if let Some(text) = self.variables.get(variable.as_str()) {
                let is_member = !names.keys.contains_key(&path) && path.contains('.');
                // A list or an object of a member, as the file would spell it.
                let json = Some(text).filter(|text| is_member && text.trim_start().starts_with(['[', '{']));
                let json = json.and_then(|text| serde_json::from_str(text).ok());
                let origin = self.origin(&variable);
                self.source.put(&path, json.unwrap_or_else(|| Value::from(*text)), origin);
            }
        }
        for variable in names.credentials() {
            self.credential(variable);
        }
        let redis = REDIS.into_iter().filter(|name| self.variables.contains_key(*name));
        self.source.merged.redis.extend(redis);
    }

    /// A variable whose value may be in a file instead.
    fn credential(&mut self, variable: &str) {
        let by_file = format!("{variable}{FILE_SUFFIX}");
        let origin = self.origin(&by_file);
        match (self.variables.get(variable), self.variables.get(by_file.as_str())) {
            (None, None) => {}
            (Some(value), None) => {
                let origin = self.origin(variable);
                self.source.put(variable, Value::from(*value), origin);
            }
            (Some(_), Some(_)) => {
                let problem = format!("{variable} is given as well. Remove one of them");
                self.source.report.wrong(by_file, None, problem, origin);
            }
            (None, Some(path)) => {
                let path = self.directory.join(path);
                let file = path.display();
                match read_text(&path).map(|text| text.map(|text| text.trim().to_owned())) {
                    Ok(Some(text)) if text.is_empty() => {
                        self.source.report.wrong(by_file, None, format!("the file {file} is empty"), origin);
                    }
                    Ok(Some(text)) => {
                        if is_readable_by_others(&path) {
                            self.source.report.warn(format!("{origin}: {}", readable_by_others(&path)));
                        }
                        let origin = format!("the file {file}, named by {origin}");
                        self.source.put(variable, text.into(), origin);
                    }
                    Ok(None) => {
                        self.source.report.wrong(by_file, None, format!("there is no file {file}"), origin);
                    }
                    Err(reason) => {
                        self.source.report.wrong(by_file, None, format!("the file {file}: {reason}"), origin);
                    }
                }
            }
        }
    }

    /// Misspelt names would otherwise look as if they worked.
    fn warn_of_unknown(&mut self) {
        let by_file = |name: &str| [name.to_owned(), format!("{name}{FILE_SUFFIX}")];
        let (own, gateways): (Vec<String>, Vec<String>) =
            self.source.names.credentials().flat_map(by_file).partition(|name| name.starts_with(PREFIX));
        let known: Vec<String> = self.source.names.own_variables().map(|(_, variable)| variable).collect();
        for name in self.variables.keys() {
            let origin = self.origin(name);
            let is_known = known.iter().chain(&own).any(|known| known == name);
            if name.starts_with(PREFIX) && !is_known {
                // At another level, else the nearest: the prefix is right and would make everything look alike.
                let plain = &name[PREFIX.len()..];
                let below = format!("_{plain}");
                let meant = known.iter().find(|known| known.ends_with(&below)).cloned();
                let near = || nearest(plain, known.iter().map(|known| &known[PREFIX.len()..]));
                let hint = suggestion(meant.or_else(|| near().map(|near| format!("{PREFIX}{near}"))));
                self.source.report.unknown(&origin, &hint);
            }
            // Other programs have variables of these gateways too: only a likely slip is worth a word.
            let slip = nearest(name, gateways.iter()).filter(|known| is_slip(name, known));
            if let Some(known) = slip {
                self.source.report.unknown(&origin, &suggestion(Some(known)));
            }
        }
    }

    fn origin(&self, variable: &str) -> String {
        format!("{}, {variable}", self.source.name)
    }
}

fn is_slip(name: &str, known: &str) -> bool {
    // The last character may be the slip.
    let ours = shared_prefixes().any(|prefix| name.starts_with(prefix.trim_end_matches('_')));
    ours && (1..=2).contains(&strsim::damerau_levenshtein(name, known))
}

/// Whether users other than the owner and the group of a file can read it.
pub fn is_readable_by_others(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|data| data.permissions().mode() & 0o004 != 0)
}

/// The warning about such a file with a secret.
fn readable_by_others(path: &Path) -> String {
    format!("every user of this machine can read the file {}; run chmod o= on it", path.display())
}

/// The text of a file; `Ok(None)` if the file does not exist.
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
