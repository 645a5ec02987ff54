//! Where settings come from, and which source wins: the command line, then the environment (`.env` below the variables
//! of the process), then config.json, then the defaults. All of it is handed in, so that a test needs nothing of the
//! process.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde::Deserializer;
use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::context::{Report, members};
use super::kind::{quoted, shown_json, text_of};
use super::schema::{ALIASES, FILE_SUFFIX, Names, PREFIX, nearest, shared_prefixes, suggestion, variable};
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

/// Values by key or variable, and where each came from.
#[derive(Default)]
pub struct RawValues {
    pub values: Map<String, Value>,
    /// A file and key, a variable, a flag. Keys that are not here have their default.
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
    /// Merges all sources: each value of a higher one replaces that of a lower one. Also returns the reports about
    /// config.json and about the environment.
    pub fn merge(sources: &Sources, names: &Names) -> (Self, Report, Report) {
        let (mut of_file, mut of_environment) = (Report::of(sources), Report::of(sources));
        let mut given = Self::default();
        if !sources.overrides.program.alone {
            given = Self::of_file(sources, names, &mut of_file);
            given.add_environment(sources, names, &mut of_environment);
        }
        given.overlay(Self::of_program(sources, names, &mut of_file));
        let keys = ["redis-db-address", "REDIS_DB_PASSWORD"];
        given.redis.extend(keys.into_iter().filter(|key| given.values.contains_key(*key)));
        let Overrides { data_dir, scratch, listen, log_level, log_format, .. } = &sources.overrides;
        for (key, flag, value) in [
            ("data-dir", "--data-dir", data_dir),
            ("scratch", "--scratch", scratch),
            (LISTEN_FLAG, LISTEN_FLAG, listen),
            ("log-level", "--log-level", log_level),
            ("log-format", "--log-format", log_format),
        ] {
            if let Some(value) = value {
                given.put(key, value.as_str(), format!("the command line, {flag}"));
            }
        }
        given.refuse_server_key(&mut of_file);
        (given, of_file, of_environment)
    }

    pub fn put(&mut self, key: &str, value: impl Into<Value>, origin: impl Into<String>) {
        self.values.insert(key.to_owned(), value.into());
        self.origins.insert(key.to_owned(), origin.into());
    }

    /// Removes the server key, where its file should be named, before a message shows it.
    fn refuse_server_key(&mut self, report: &mut Report) {
        if self.values.get("key-file").and_then(Value::as_str).is_some_and(is_server_key) {
            self.values.remove("key-file");
            report.wrong("key-file", None, NOT_THE_KEY, self.origins.remove("key-file"));
        }
    }

    pub fn origin(&self, key: &str) -> Option<&str> {
        self.origins.get(key).map(String::as_str)
    }

    fn overlay(&mut self, higher: Self) {
        self.values.extend(higher.values);
        self.origins.extend(higher.origins);
        self.redis.extend(higher.redis);
    }

    /// Replaces other names by the usual ones. A source that gives both must mean the same.
    fn fold_aliases(&mut self, names: &Names, report: &mut Report) {
        for (alias, name) in ALIASES {
            let Some(value) = self.values.remove(alias) else { continue };
            let origin = self.origins.remove(alias).unwrap_or_default();
            match self.values.get(name) {
                None => self.put(name, value, origin),
                Some(first) if text_of(first) == text_of(&value) => {}
                Some(first) => report.wrong(
                    format!("{name} and {alias}"),
                    (!names.is_secret(name))
                        .then(|| format!("{} and {}", shown_json(first), shown_json(&value))),
                    "these are two names of one setting and differ. Remove one of them",
                    format!("{} and {origin}", self.origin(name).unwrap_or_default()),
                ),
            }
        }
    }

    /// Reads the file that `sources` names, or `config.json` if there is one.
    fn of_file(sources: &Sources, names: &Names, report: &mut Report) -> Self {
        let file = sources.config_file.as_deref().unwrap_or(Path::new("config.json"));
        let path = sources.working_dir.join(file);
        let shown = path.display().to_string();
        let mut given = Self::default();
        match read_text(&path) {
            Ok(Some(text)) => match file_members(&text) {
                Ok(members) => {
                    let file = File { name: &shown, names, report, credentials: Vec::new() };
                    file.read(members, &mut given);
                    for path in given_twice(&text) {
                        report.warn(format!("{shown}, key {path:?} is given twice; the last one counts"));
                    }
                }
                Err(error) if error.is_data() => {
                    report.wrong(
                        shown,
                        None,
                        format!("it must be one JSON object, {{ ... }}: {error}"),
                        None,
                    );
                }
                Err(error) => report.wrong(shown, None, format!("it is not valid JSON: {error}"), None),
            },
            Ok(None) if sources.config_file.is_none() => {}
            Ok(None) => report.wrong(shown, None, "there is no such file; --config names it", None),
            Err(reason) => report.wrong(shown, None, reason, None),
        }
        given.fold_aliases(names, report);
        given
    }

    /// Reads the values of the program. It may give a variable as if it were a key.
    fn of_program(sources: &Sources, names: &Names, report: &mut Report) -> Self {
        let mut given = Self::default();
        let (variables, keys) = sources
            .overrides
            .program
            .values
            .clone()
            .into_iter()
            .partition::<Vec<_>, _>(|(name, _)| names.credentials().any(|known| known == name));
        for (name, value) in variables {
            let origin = format!("{PROGRAM}, {name}");
            given.put(&name, value, origin);
        }
        File { name: PROGRAM, names, report, credentials: Vec::new() }.read(keys, &mut given);
        given.fold_aliases(names, report);
        given
    }

    /// Adds the variables. One of the process hides one of the same name in `.env`, even when it is empty; an empty one
    /// counts as not given.
    fn add_environment(&mut self, sources: &Sources, names: &Names, report: &mut Report) {
        let process = &sources.environment;
        let mut file = dotenv::read(&sources.working_dir, report);
        let path = sources.working_dir.join(".env");
        let has_secret = file.keys().any(|name| {
            let alias = ALIASES.iter().find(|(alias, _)| alias == name);
            names.is_secret(alias.map_or(name, |(_, usual)| usual))
        });
        if has_secret && is_readable_by_others(&path) {
            report.warn(readable_by_others(&path));
        }
        file.retain(|name, _| !hides(process, name, names));
        for (name, variables) in [(".env", &file), (PROCESS, process)] {
            let variables = variables.iter().filter(|(_, value)| !value.is_empty());
            let variables = variables.map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let mut place = Environment { name, variables, directory: &sources.working_dir, names, report };
            self.overlay(place.tutorial());
            self.overlay(place.own());
            place.warn_of_unknown();
        }
    }
}

/// config.json on its way into [`RawValues`].
struct File<'a> {
    name: &'a str,
    names: &'a Names,
    report: &'a mut Report,
    /// Credentials that the file may have, though they are better kept elsewhere.
    credentials: Vec<(String, &'static str)>,
}

impl File<'_> {
    fn read(mut self, members: Vec<(String, Value)>, given: &mut RawValues) {
        for (key, value) in members {
            self.value(&key, "", value, given);
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

    fn value(&mut self, path: &str, group: &str, value: Value, given: &mut RawValues) {
        let origin = format!("{}, key {path:?}", self.name);
        // The name of a key may have a dot in it; that of an alias leads into an object.
        let nested = !group.is_empty() || !path.contains('.');
        if self.names.keys.contains_key(path) || nested && self.names.paths().any(|known| known == path) {
            self.leaf(path, value, origin, given);
        } else if nested && !path.is_empty() && !self.names.children(path).is_empty() {
            match value {
                Value::Object(members) => {
                    for (name, value) in members {
                        self.value(&format!("{path}.{name}"), path, value, given);
                    }
                }
                Value::Null if !group.is_empty() => {}
                // The value is not repeated: it may be a secret.
                _ => {
                    let problem = "it must be an object such as {\"twilio\": {\"sid\": \"AC...\", \"token\": \"...\"}} of \
                                   \"sms\" or {\"otp_length\": 6} of \"authentication\"";
                    self.report.wrong(path, None, problem, origin);
                }
            }
        } else if group.is_empty() && is_credential(path, self.names) {
            let problem = "credentials do not belong in config.json. Move it to the environment, to .env, or to a file \
                           that a variable with _FILE at its end names, such as TWILIO_AUTH_TOKEN_FILE";
            self.report.wrong(path, None, problem, origin);
        } else {
            let prefix = if group.is_empty() { String::new() } else { format!("{group}.") };
            let name = path.strip_prefix(&prefix).unwrap_or(path);
            let known = nearest(name, self.names.children(group).into_iter());
            let hint = if path == "listen" {
                "; set \"test-hostname\" and \"test-port\", or \"prod-domain\" with \"production\": true"
                    .to_owned()
            } else {
                suggestion(known.map(|known| format!("{prefix}{known}")))
            };
            self.report.unknown(origin, &hint);
        }
    }

    fn leaf(&mut self, path: &str, value: Value, origin: String, given: &mut RawValues) {
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
        if given.origin(path).is_some() {
            self.report.warn(format!("{origin} is given twice; the last one counts"));
        }
        given.put(path, value, origin);
    }
}

/// Whether a key of config.json is a variable of a gateway, or of the account, in any spelling.
fn is_credential(key: &str, names: &Names) -> bool {
    let key = key.to_ascii_uppercase().replace('-', "_");
    let mut own = names.variables.keys().filter_map(|variable| variable.strip_prefix(PREFIX));
    own.any(|variable| variable == key.trim_start_matches(PREFIX))
        || gateways::PREFIXES.iter().any(|prefix| key.starts_with(prefix))
}

fn file_members(text: &str) -> serde_json::Result<Vec<(String, Value)>> {
    let mut file = serde_json::Deserializer::from_str(text);
    let members = members(&mut file, "an object")?;
    file.end().map(|()| members)
}

/// The paths of members inside the file's values that an object has twice. The file's own keys are not among them.
fn given_twice(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    // A text that is not JSON has its own error.
    let _ = Walk { path: "", found: &mut found }.deserialize(&mut serde_json::Deserializer::from_str(text));
    found
}

/// Goes through a value and notes members that are given twice.
struct Walk<'a> {
    path: &'a str,
    found: &'a mut Vec<String>,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<(), A::Error> {
        let mut index = 0;
        loop {
            let path = format!("{}[{index}]", self.path);
            if values.next_element_seed(Walk { path: &path, found: self.found })?.is_none() {
                return Ok(());
            }
            index += 1;
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut names = BTreeSet::new();
        while let Some(name) = members.next_key::<String>()? {
            let path = if self.path.is_empty() { name.clone() } else { format!("{}.{name}", self.path) };
            if !names.insert(name) && !self.path.is_empty() {
                self.found.push(path.clone());
            }
            members.next_value_seed(Walk { path: &path, found: self.found })?;
        }
        Ok(())
    }
}

/// Whether the process gives a variable; a credential also by a file or instead of one.
fn hides(process: &BTreeMap<String, String>, name: &str, names: &Names) -> bool {
    let is_credential = |name: &str| names.credentials().any(|known| known == name);
    let plain = name.strip_suffix(FILE_SUFFIX).filter(|plain| is_credential(plain)).unwrap_or(name);
    let by_file = is_credential(plain) && process.contains_key(&format!("{plain}{FILE_SUFFIX}"));
    by_file || process.contains_key(plain)
}

/// One of the two places that have variables.
struct Environment<'a> {
    name: &'static str,
    variables: BTreeMap<&'a str, &'a str>,
    directory: &'a Path,
    names: &'a Names,
    report: &'a mut Report,
}

impl Environment<'_> {
    /// `HOST` and `PORT`, as the tutorial's project sets them.
    fn tutorial(&mut self) -> RawValues {
        let mut given = RawValues::default();
        if let Some(host) = self.variables.get("HOST") {
            let origin = self.origin("HOST");
            if let Some((host, port)) = host_variable(host) {
                // Shells and build tools export a variable of this name too.
                if self.name == PROCESS && !is_own_host(&host) {
                    let problem = format!(
                        "{} is no address of this machine and is ignored. If you did not mean it, unset HOST; else set \
                         test-hostname",
                        quoted(&host)
                    );
                    self.report.ignored(&origin, &problem);
                    return self.port(given);
                }
                given.put("test-hostname", host, origin.clone());
                if let Some(port) = port {
                    given.put("test-port", port, origin);
                }
            } else {
                let problem = "it must be a host name or an address, perhaps with a port, or a URL such as \
                               http://localhost";
                self.report.wrong("HOST", quoted(host), problem, origin);
            }
        }
        self.port(given)
    }

    fn port(&self, mut given: RawValues) -> RawValues {
        if let Some(port) = self.variables.get("PORT") {
            given.put("test-port", *port, self.origin("PORT"));
        }
        given
    }

    /// `ONCEWARD_*` and the gateways' variables.
    fn own(&mut self) -> RawValues {
        let mut given = RawValues::default();
        for (key, variable) in self.names.own_variables() {
            if let Some(value) = self.variables.get(variable.as_str()) {
                given.put(key, *value, self.origin(&variable));
            }
        }
        for variable in self.names.credentials() {
            self.credential(variable, &mut given);
        }
        given.redis = REDIS.into_iter().filter(|name| self.variables.contains_key(*name)).collect();
        given.fold_aliases(self.names, self.report);
        given
    }

    /// A variable whose value may be in a file instead.
    fn credential(&mut self, variable: &str, given: &mut RawValues) {
        let by_file = format!("{variable}{FILE_SUFFIX}");
        let origin = self.origin(&by_file);
        match (self.variables.get(variable), self.variables.get(by_file.as_str())) {
            (None, None) => {}
            (Some(value), None) => given.put(variable, *value, self.origin(variable)),
            (Some(_), Some(_)) => {
                let problem = format!("{variable} is given as well. Remove one of them");
                self.report.wrong(by_file, None, problem, origin);
            }
            (None, Some(path)) => {
                let path = self.directory.join(path);
                let file = path.display();
                match read_text(&path).map(|text| text.map(|text| text.trim().to_owned())) {
                    Ok(Some(text)) if text.is_empty() => {
                        self.report.wrong(by_file, None, format!("the file {file} is empty"), origin);
                    }
                    Ok(Some(text)) => {
                        if is_readable_by_others(&path) {
                            self.report.warn(format!("{origin}: {}", readable_by_others(&path)));
                        }
                        given.put(variable, text, format!("the file {file}, named by {origin}"));
                    }
                    Ok(None) => self.report.wrong(by_file, None, format!("there is no file {file}"), origin),
                    Err(reason) => {
                        self.report.wrong(by_file, None, format!("the file {file}: {reason}"), origin);
                    }
                }
            }
        }
    }

    /// Misspelt names would otherwise look as if they worked.
    fn warn_of_unknown(&mut self) {
        let by_file = |name: &str| [name.to_owned(), format!("{name}{FILE_SUFFIX}")];
        let (own, gateways): (Vec<String>, Vec<String>) =
            self.names.credentials().flat_map(by_file).partition(|name| name.starts_with(PREFIX));
        for name in self.variables.keys() {
            let origin = self.origin(name);
            let is_known = || {
                own.iter().any(|known| known == name)
                    || self.names.own_variables().any(|(_, variable)| variable == *name)
            };
            if name.starts_with(PREFIX) && !is_known() {
                // The prefix is right and would make everything look alike.
                let key = nearest(&name[PREFIX.len()..], self.names.own_variables().map(|(key, _)| key));
                let hint = suggestion(key.map(variable));
                self.report.unknown(&origin, &hint);
            }
            // Other programs have variables of these gateways too: only a likely slip is worth a word.
            let slip = nearest(name, gateways.iter()).filter(|known| is_slip(name, known));
            if let Some(known) = slip {
                self.report.unknown(&origin, &suggestion(Some(known)));
            }
        }
    }

    fn origin(&self, variable: &str) -> String {
        format!("{}, {variable}", self.name)
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
