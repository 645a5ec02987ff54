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
use super::guard::FORMER_FLOORS;
use super::kind::{ACCEPTED, quoted, shown_json, text_of};
use super::schema::{ALIASES, FILE_SUFFIX, Names, PREFIX, member, nearest, shared_prefixes, suggestion};
use super::values::host_variable;
use super::{dotenv, gateways, named_gateways};
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
    /// Merges all sources, from the lowest to the highest. Also returns the report; without `credentials` errors in the
    /// environment do not count.
    pub fn merge(sources: &Sources, credentials: bool) -> (Self, Report) {
        let names = &Names::known();
        let mut report = Report::of(sources);
        let mut merged = Self::default();
        if !sources.overrides.program.alone {
            merged.add_file(sources, names, &mut report);
            let mut of_environment = Report::of(sources);
            merged.add_environment(sources, names, &mut of_environment);
            if credentials {
                report.extend(of_environment);
            }
        }
        let members = sources.overrides.program.values.clone().into_iter().collect();
        Source::new(PROGRAM, names, &mut report, &mut merged).add_object(members);
        let keys = ["redis-db-address", "REDIS_DB_PASSWORD"];
        merged.redis.extend(keys.into_iter().filter(|key| merged.values.contains_key(*key)));
        let Overrides { data_dir, listen, log_level, log_format, .. } = &sources.overrides;
        for (key, flag, value) in [
            ("data-dir", "--data-dir", data_dir),
            (LISTEN_FLAG, LISTEN_FLAG, listen),
            ("log-level", "--log-level", log_level),
            ("log-format", "--log-format", log_format),
        ] {
            if let Some(value) = value {
                merged.put(key, value.as_str(), format!("the command line, {flag}"));
            }
        }
        // The server key, where its file should be named, is removed before a message shows it.
        if merged.values.get("key-file").and_then(Value::as_str).is_some_and(is_server_key) {
            merged.values.remove("key-file");
            report.wrong("key-file", None, NOT_THE_KEY, merged.origins.remove("key-file"));
        }
        (merged, report)
    }

    /// Sets a key or a variable that has no members.
    pub fn put(&mut self, key: &str, value: impl Into<Value>, origin: impl Into<String>) {
        self.values.insert(key.to_owned(), value.into());
        self.origins.insert(key.to_owned(), origin.into());
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
        let problem = match read_text(&path).map(|text| text.map(|text| json_members(text.as_bytes()))) {
            Ok(Some(Ok(members))) => return Source::new(&shown, names, report, self).add_object(members),
            Ok(Some(Err(error))) if error.is_data() => {
                format!("it must be one JSON object, {{ ... }}: {error}")
            }
            Ok(Some(Err(error))) => format!("it is not valid JSON: {error}"),
            Ok(None) if sources.config_file.is_none() => return,
            Ok(None) => "there is no such file; --config names it".to_owned(),
            Err(reason) => reason,
        };
        report.wrong(shown, None, problem, None);
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
        // A credential may also be given by a file or instead of one.
        let credential = |name: &str| names.credentials().find(|known| *known == name).map(str::to_owned);
        file.retain(|name, _| {
            let plain = credential(name.strip_suffix(FILE_SUFFIX).unwrap_or(name));
            let by_file =
                plain.as_ref().is_some_and(|plain| process.contains_key(&format!("{plain}{FILE_SUFFIX}")));
            !by_file && !process.contains_key(plain.as_ref().unwrap_or(name))
        });
        for (name, mut variables) in [(".env", file), (PROCESS, process.clone())] {
            variables.retain(|_, value| !value.is_empty());
            Source::new(name, names, report, self).add_variables(&variables, &sources.working_dir);
        }
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
}

type Variables = BTreeMap<String, String>;

impl<'a> Source<'a> {
    const fn new(name: &'a str, names: &'a Names, report: &'a mut Report, merged: &'a mut RawValues) -> Self {
        Self { name, names, report, merged, given: BTreeMap::new() }
    }

    /// Reads the keys of config.json, or of a program.
    fn add_object(mut self, members: Vec<(String, Value)>) {
        for (key, value) in members {
            self.add(&key, value);
        }
        // Credentials that the file may have, though they are better kept elsewhere.
        let secrets =
            self.given.iter().filter(|(name, (path, _))| path != *name && self.names.is_secret(name));
        let (paths, variables): (Vec<String>, Vec<&str>) =
            secrets.map(|(variable, (path, _))| (format!("{path:?}"), variable.as_str())).unzip();
        if !paths.is_empty() {
            self.report.warn(format!(
                "{}, {} {}: works, but credentials are better kept in the environment or .env, as {}",
                self.name,
                if paths.len() == 1 { "key" } else { "keys" },
                paths.join(", "),
                variables.join(", ")
            ));
        }
    }

    fn add(&mut self, path: &str, value: Value) {
        let origin = format!("{}, key {path:?}", self.name);
        let names = self.names;
        if names.is_value(path) || self.name == PROGRAM && names.credentials().any(|known| known == path) {
            self.add_value(path, value, &origin);
        } else if !path.is_empty() && names.children(path).next().is_some() {
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
        } else if is_credential(path, names) {
            let problem = "credentials do not belong in config.json. Move it to the environment, to .env, or to a file \
                           that a variable with _FILE at its end names, such as TWILIO_AUTH_TOKEN_FILE";
            self.report.wrong(path, None, problem, origin);
        } else if path == "listen" {
            let hint =
                "; set \"test-hostname\" and \"test-port\", or \"prod-domain\" with \"production\": true";
            self.report.unknown(origin, hint);
        } else {
            // An object that should be the first word of a key: {"breaker": {"failures": 3}}.
            let inner = value.as_object().and_then(|members| members.keys().next());
            let spelt_out = || inner.and_then(|inner| names.meant(&format!("{path}.{inner}")));
            self.report.unknown(origin, &suggestion(names.meant(path).or_else(spelt_out)));
        }
    }

    fn add_value(&mut self, path: &str, value: Value, origin: &str) {
        let name = usual_name(path);
        if name != path && self.names.variables.contains_key(name) {
            // An empty alias of a variable counts as not given, as the variable does.
            match &value {
                Value::Null => return,
                Value::String(text) if text.trim().is_empty() => return,
                Value::Array(_) | Value::Object(_) => {
                    let problem = format!("it must be a text, not {}", shown_json(&value));
                    return self.report.wrong(path, None, problem, origin.to_owned());
                }
                Value::String(_) | Value::Bool(_) | Value::Number(_) => {}
            }
        }
        if self.given.get(name).is_some_and(|(name, _)| name == path) {
            self.report.warn(format!("{origin} is given twice; the last one counts"));
        }
        self.put(path, value, origin);
    }

    /// Sets a value under its usual name. A source that gives two names of one setting must mean the same.
    fn put(&mut self, path: &str, value: Value, origin: &str) {
        let name = usual_name(path);
        if let Some((other, first)) = self.given.get(name).filter(|(other, _)| other != path) {
            if text_of(first) != text_of(&value) {
                let shown = format!("{} and {}", shown_json(first), shown_json(&value));
                let shown = (!self.names.is_secret(name)).then_some(shown);
                let origin = format!("{} and {origin}", self.merged.origin(name).unwrap_or_default());
                let problem = "these are two names of one setting and differ. Remove one of them";
                self.report.wrong(format!("{other} and {path}"), shown, problem, origin);
            }
            return;
        }
        let (key, members) = self.names.split(name);
        let below = format!("{name}.");
        let mut whole = self.merged.values.remove(key).unwrap_or_default();
        // A value as a whole replaces that of a lower source; members that the same source gave by themselves stay.
        if !self.given.keys().any(|given| given.starts_with(&below)) {
            self.merged.origins.retain(|known, _| known != name && !known.starts_with(&below));
            let mut members = members.split('.').filter(|member| !member.is_empty());
            if let Some(replaced) = members.try_fold(&mut whole, |outer, member| outer.get_mut(member)) {
                *replaced = Value::Null;
            }
        }
        self.given.insert(name.to_owned(), (path.to_owned(), value.clone()));
        let inner = members.rsplit('.').filter(|member| !member.is_empty());
        let value = inner.fold(value, |value, member| json!({ member: value }));
        let schema = self.names.schema(key).unwrap_or(&Value::Null);
        self.merge(&mut whole, key, schema, value, origin);
        if !whole.is_null() || self.merged.origins.contains_key(key) {
            self.merged.values.insert(key.to_owned(), whole);
        }
    }

    /// Puts a value in its place; of an object the known members that are not null, each by itself. A variable spells an
    /// object or a list as a text.
    fn merge(&mut self, place: &mut Value, path: &str, schema: &Value, mut value: Value, origin: &str) {
        if let Value::String(text) = &value
            && let Ok(json @ (Value::Object(_) | Value::Array(_))) = serde_json::from_str(text)
            && accepts(schema, if json.is_object() { "object" } else { "array" })
        {
            value = json;
        }
        let accepted = schema[ACCEPTED].as_str();
        // Some check their members by themselves.
        let is_whole = schema["additionalProperties"] == false && accepted.is_some();
        match (value, accepted) {
            (Value::Null, Some(accepted)) if schema["type"] == "object" || path.contains('.') => {
                let problem = format!("it must be {accepted}");
                return self.report.wrong(path, "null".to_owned(), problem, origin.to_owned());
            }
            (Value::Array(items), _) if schema["items"].is_object() => {
                let mut merged = vec![Value::Null; items.len()];
                for (index, (place, item)) in merged.iter_mut().zip(items).enumerate() {
                    self.merge(place, &format!("{path}[{index}]"), &schema["items"], item, origin);
                }
                *place = merged.into();
            }
            (Value::Object(members), _) if schema["type"] == "object" && !is_whole => {
                if place.is_null() {
                    *place = json!({});
                }
                let Value::Object(places) = place else { return };
                let is_by_name = schema["properties"].is_null();
                for (mut name, mut value) in members {
                    if let (None, Some((outer, inner))) = (member(schema, &name), name.split_once('.'))
                        && member(schema, outer).is_some()
                    {
                        (value, name) = (json!({ inner: value }), outer.to_owned());
                    }
                    let path = format!("{path}.{name}");
                    let Some(schema) = member(schema, &name) else {
                        let hint = if path.ends_with(&format!("guard.{name}"))
                            && FORMER_FLOORS.contains(&name.as_str())
                        {
                            "; the floors of the guard became constants (docs/concepts/guard.md)".to_owned()
                        } else {
                            suggestion(self.names.meant(&path))
                        };
                        self.report.unknown(format!("{origin}: {path:?}"), &hint);
                        continue;
                    };
                    let mut inner = places.remove(&name).unwrap_or_default();
                    self.merge(&mut inner, &path, schema, value, origin);
                    if let (true, Value::Object(members)) = (is_by_name, &mut inner) {
                        // As in requests, an empty text or list is a missing value.
                        let has_default = |name: &str| schema["properties"][name].get("default").is_some();
                        let is_empty = |value: &Value| value == "" || *value == json!([]);
                        members.retain(|name, value| has_default(name) || !is_empty(value));
                    }
                    places.extend((!inner.is_null()).then_some((name, inner)));
                }
            }
            (value, _) => join(place, value),
        }
        if self.merged.origin(path) != Some(origin)
            && (!place.is_object() || self.merged.origin(path).is_none())
        {
            self.merged.origins.insert(path.to_owned(), origin.to_owned());
        }
    }

    fn add_variables(mut self, variables: &Variables, directory: &Path) {
        self.add_tutorial(variables);
        for (path, variable) in self.names.own_variables() {
            if let Some(text) = variables.get(&variable) {
                let origin = self.origin(&variable);
                self.put(&path, Value::from(text.as_str()), &origin);
            }
        }
        for variable in self.names.credentials() {
            self.add_credential(variable, variables, directory);
        }
        let of_named = |name: &&String| name.starts_with(named_gateways::PREFIX);
        for variable in variables.keys().filter(of_named) {
            let plain = variable.strip_suffix(FILE_SUFFIX).unwrap_or(variable);
            if plain == variable || !variables.contains_key(plain) {
                self.add_credential(plain, variables, directory);
            }
        }
        self.merged.redis.extend(REDIS.into_iter().filter(|name| variables.contains_key(*name)));
        self.warn_of_unknown(variables);
    }

    /// `HOST` and `PORT`, as the tutorial's project sets them.
    fn add_tutorial(&mut self, variables: &Variables) {
        if let Some(host) = variables.get("HOST") {
            let origin = self.origin("HOST");
            match host_variable(host) {
                // Shells and build tools export a variable of this name too.
                Some((host, _)) if self.name == PROCESS && !is_own_host(&host) => {
                    let problem = format!(
                        "{} is no address of this machine and is ignored. If you did not mean it, unset HOST; else set \
                         test-hostname",
                        quoted(&host)
                    );
                    self.report.ignored(&origin, &problem);
                }
                Some((host, port)) => {
                    self.merged.put("test-hostname", host, origin.clone());
                    if let Some(port) = port {
                        self.merged.put("test-port", port, origin);
                    }
                }
                None => {
                    let problem = "it must be a host name or an address, perhaps with a port, or a URL such as \
                                   http://localhost";
                    self.report.wrong("HOST", quoted(host), problem, origin);
                }
            }
        }
        if let Some(port) = variables.get("PORT") {
            self.merged.put("test-port", port.as_str(), self.origin("PORT"));
        }
    }

    /// A variable whose value may be in a file instead.
    fn add_credential(&mut self, variable: &str, variables: &Variables, directory: &Path) {
        let by_file = format!("{variable}{FILE_SUFFIX}");
        let origin = self.origin(&by_file);
        let problem = match (variables.get(variable), variables.get(&by_file)) {
            (None, None) => return,
            (Some(value), None) => {
                let origin = self.origin(variable);
                return self.put(variable, Value::from(value.as_str()), &origin);
            }
            (Some(_), Some(_)) => format!("{variable} is given as well. Remove one of them"),
            (None, Some(path)) => {
                let path = directory.join(path);
                let file = path.display();
                match read_text(&path).map(|text| text.map(|text| text.trim().to_owned())) {
                    Ok(Some(text)) if !text.is_empty() => {
                        if is_readable_by_others(&path) {
                            self.report.warn(format!("{origin}: {}", readable_by_others(&path)));
                        }
                        return self.put(
                            variable,
                            text.into(),
                            &format!("the file {file}, named by {origin}"),
                        );
                    }
                    Ok(Some(_)) => format!("the file {file} is empty"),
                    Ok(None) => format!("there is no file {file}"),
                    Err(reason) => format!("the file {file}: {reason}"),
                }
            }
        };
        self.report.wrong(by_file, None, problem, origin);
    }

    /// Misspelt names would otherwise look as if they worked.
    fn warn_of_unknown(&mut self, variables: &Variables) {
        let by_file = |name: &str| [name.to_owned(), format!("{name}{FILE_SUFFIX}")];
        let (own, gateways): (Vec<String>, Vec<String>) =
            self.names.credentials().flat_map(by_file).partition(|name| name.starts_with(PREFIX));
        let known: Vec<String> =
            self.names.own_variables().map(|(_, variable)| variable).chain(own).collect();
        for name in variables.keys() {
            let meant = if let Some(plain) = name.strip_prefix(PREFIX) {
                if known.iter().any(|known| known == name) || name.starts_with(named_gateways::PREFIX) {
                    continue;
                }
                // At another level, else the nearest: the prefix is right and would make everything look alike.
                let below = format!("_{plain}");
                let near = || nearest(plain, known.iter().map(|known| &known[PREFIX.len()..]));
                let inner = known.iter().find(|known| known.ends_with(&below)).cloned();
                // Members of an object by name have no variables of their own: ONCEWARD_SERVICES_SHOP_LOCKOUT.
                let outer = || known.iter().find(|known| name.starts_with(&format!("{known}_"))).cloned();
                inner.or_else(|| near().map(|near| format!("{PREFIX}{near}"))).or_else(outer)
            } else if may_be_of_gateway(name) {
                // Other programs have variables of these gateways too: only a likely slip is worth a word.
                let Some(slip) = nearest(name, gateways.iter()).filter(|known| is_slip(name, known)) else {
                    continue;
                };
                Some(slip.clone())
            } else {
                continue;
            };
            self.report.unknown(self.origin(name), &suggestion(meant));
        }
    }

    fn origin(&self, variable: &str) -> String {
        format!("{}, {variable}", self.name)
    }
}

/// Whether a variable may be of a gateway. The last character of its prefix may be a slip.
fn may_be_of_gateway(name: &str) -> bool {
    shared_prefixes().any(|prefix| name.starts_with(prefix.trim_end_matches('_')))
}

fn is_slip(name: &str, known: &str) -> bool {
    (1..=2).contains(&strsim::damerau_levenshtein(name, known))
}

/// Whether a key of config.json is a variable of a gateway, or of the account, in any spelling.
fn is_credential(key: &str, names: &Names) -> bool {
    let key = key.to_ascii_uppercase().replace('-', "_");
    let mut own = names.variables.keys().filter_map(|variable| variable.strip_prefix(PREFIX));
    own.any(|variable| variable == key.trim_start_matches(PREFIX))
        || gateways::PREFIXES.iter().any(|(prefix, _)| key.starts_with(prefix.as_str()))
}

/// The members of a JSON object in their order, doubles included.
pub(crate) fn json_members(text: &[u8]) -> serde_json::Result<Vec<(String, Value)>> {
    struct InOrder;

    impl<'de> Visitor<'de> for InOrder {
        type Value = Vec<(String, Value)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a JSON object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            std::iter::from_fn(|| map.next_entry().transpose()).collect()
        }
    }

    let mut json = serde_json::Deserializer::from_slice(text);
    let members = json.deserialize_map(InOrder)?;
    json.end().map(|()| members)
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

/// Puts a value in its place. Objects are joined: one source may give their members one by one.
fn join(place: &mut Value, value: Value) {
    match (place, value) {
        (Value::Object(places), Value::Object(members)) => {
            for (name, value) in members {
                join(places.entry(name).or_insert(Value::Null), value);
            }
        }
        (place, value) => *place = value,
    }
}

/// Whether the schema, or one of its alternatives, is of the type.
fn accepts(schema: &Value, of_type: &str) -> bool {
    let is = |schema: &Value| schema["type"] == of_type;
    is(schema) || schema["anyOf"].as_array().is_some_and(|alternatives| alternatives.iter().any(is))
}
