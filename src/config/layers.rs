//! Where settings come from, and which layer wins: the command line, then the environment (`.env` below the variables of
//! the process), then config.json, then the defaults. All of it is handed in, so that a test needs nothing of the process.
//! Values stay as they were given: types read them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::dotenv::{self, PREFIX, SHARED_PREFIXES, is_readable_by_others, read_text};
use super::report::text_of;
use super::report::{Report, nearest, quoted, shown_json, suggestion};
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

/// The origins of variables of the process, and of the program's values.
const PROCESS: &str = "the environment";
const PROGRAM: &str = "the program";

/// The name that `--listen` has among the keys. No key of config.json can have it.
pub const LISTEN_FLAG: &str = "--listen";

/// The problem with a server key in the place of its file.
pub const NOT_THE_KEY: &str = "it must be the path of a file that holds the server key, not the key itself";

/// The end of a variable's name when its value is the name of a file with the value.
pub const FILE_SUFFIX: &str = "_FILE";

/// The beginning of the variables of settings of gateways: `ONCEWARD_GATEWAYS_ACME_SMS_KEY` is `gateways.acme-sms.key`.
pub const GATEWAYS_PREFIX: &str = "ONCEWARD_GATEWAYS_";

/// What the Redis version calls `TWILIO_AUTH_TOKEN`.
const AUTHTOKEN: &str = "TWILIO_AUTHTOKEN";

/// Other names of keys and variables, as the replaced systems spell them. A dot leads into an object of config.json.
pub const ALIASES: [(&str, &str); 13] = [
    ("otp-max-trials", "otp-max-attempts"),
    ("authentication.otp_length", "otp-length"),
    (AUTHTOKEN, "TWILIO_AUTH_TOKEN"),
    ("sms.twilio.sid", "TWILIO_ACCOUNT_SID"),
    ("sms.twilio.token", "TWILIO_AUTH_TOKEN"),
    ("sms.twilio.verify_sid", "TWILIO_SERVICES_ID"),
    ("sms.sinch.app_id", "SINCH_APP_ID"),
    ("sms.sinch.app_secret", "SINCH_APP_SECRET"),
    ("sms.sinch.verification_url", "SINCH_VERIFICATION_URL"),
    ("sms.mada.username", "MADA_USERNAME"),
    ("sms.mada.password", "MADA_PASSWORD"),
    ("sms.mada.url", "MADA_URL"),
    ("sms.mada.source_name", "MADA_SOURCE_NAME"),
];

/// Variables of the Redis version and the tutorial that have no meaning any more.
const REDIS: [&str; 2] = ["REDIS_URL", "REDIS_DB_PASSWORD"];

/// Keys of earlier versions that are constants now.
const CONSTANTS: &str = "body-timeout breaker-failures breaker-longest breaker-open-for commit-timeout guard.address \
     guard.country guard.network guard.prefix guard.sends-per-number guard.unproven header-timeout idle-timeout \
     max-body-bytes max-commands max-commands-per-number max-hosted-sessions max-sends max-sends-waiting scratch \
     sms.longest_wait tracker-keep-at-most voice-ring-for";

/// Further keys of earlier versions, each with the value that changes nothing where others would, and what to know about it.
const REMOVED: [(&str, &str, &str); 4] = [
    ("shards", "", "removed: the server has a shard for two processors; take it out"),
    (
        "conversion-feedback",
        "false",
        "removed: Twilio is not told which messages led to a verified number; take it out",
    ),
    (
        "gateway-silent",
        "next",
        "removed: after a failure that may have sent the message the next gateway is always asked, with the same code; take it out",
    ),
    (
        "http-gateway",
        "-",
        "removed: it is a gateway of \"gateways\" with a recipe now, still named Http. Replace it by \"gateways\": {\"Http\": {\"recipe\": \
         {\"settings\": {\"token\": {\"about\": \"the token\", \"secret\": true}}, ...}}} with the members of http-gateway in the place \
         of ...; list each of {token}, {username} and {password} that they have in settings, and set ONCEWARD_GATEWAYS_HTTP_TOKEN, \
         ONCEWARD_GATEWAYS_HTTP_USERNAME or ONCEWARD_GATEWAYS_HTTP_PASSWORD",
    ),
];

/// What to know about a key or a member of earlier versions; `true` if it must not stay.
pub fn removed(path: &str, given: &Value) -> Option<(bool, &'static str)> {
    let is_meant = |key: &str| path == key || path.ends_with(&format!(".{key}"));
    if CONSTANTS.split(' ').any(is_meant) {
        return Some((
            false,
            "removed: it is a constant now (docs/reference/configuration.md#bounds); take it out",
        ));
    }
    let (_, harmless, words) = REMOVED.iter().find(|(key, ..)| is_meant(key))?;
    let given = text_of(given).unwrap_or_default();
    Some((!harmless.is_empty() && !given.eq_ignore_ascii_case(harmless), words))
}

/// The names that settings have.
pub struct Names {
    /// Keys of config.json; `sms.retry` and its neighbours with dots.
    pub keys: Vec<&'static str>,
    /// Keys that are objects with members of fixed names.
    pub objects: Vec<(&'static str, &'static [&'static str])>,
    /// Variables of gateways, of the account and about traces.
    pub variables: Vec<&'static str>,
}

impl Names {
    fn aliases() -> impl Iterator<Item = &'static str> {
        ALIASES.into_iter().map(|(alias, _)| alias).filter(|alias| *alias != AUTHTOKEN)
    }

    /// Whether a path of config.json has a value.
    fn is_value(&self, path: &str) -> bool {
        let object = path.split_once('.').map(|(object, _)| object);
        self.keys.contains(&path)
            || Self::aliases().any(|alias| alias == path)
            || object.is_some_and(|object| self.objects.iter().any(|(known, _)| *known == object))
    }

    fn is_group(&self, path: &str) -> bool {
        let below = format!("{path}.");
        self.keys.iter().copied().chain(Self::aliases()).any(|name| name.starts_with(&below))
    }

    /// The paths that a variable can set.
    pub fn own_variables(&self) -> impl Iterator<Item = (String, String)> {
        let aliases = Self::aliases().filter(|alias| !alias.contains('.'));
        let keys =
            self.keys.iter().copied().filter(|key| *key != "$schema").chain(aliases).map(str::to_owned);
        let members = |(object, members): &(&str, &[&str])| {
            members.iter().map(|member| format!("{object}.{member}")).collect::<Vec<_>>()
        };
        let paths = keys.chain(self.objects.iter().flat_map(members));
        paths.map(|path| (path.clone(), variable(&path)))
    }

    /// The variables whose values may be in files.
    fn credentials(&self) -> impl Iterator<Item = &'static str> {
        self.variables.iter().copied().chain([AUTHTOKEN])
    }

    /// The key that an unknown one probably means: the same name at another level, else the one that looks most like it.
    fn meant(&self, path: &str) -> Option<&str> {
        let name = path.rsplit('.').next()?;
        let known = || self.keys.iter().copied().chain(Self::aliases());
        let at_another_level = known().find(|known| known.rsplit('.').next() == Some(name));
        at_another_level.or_else(|| nearest(path, known()))
    }
}

pub fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace(['-', '.'], "_").to_ascii_uppercase())
}

/// The values of all sources, and where each came from: later ones replace earlier ones.
#[derive(Default)]
pub struct Layers {
    /// By key or variable.
    pub values: Map<String, Value>,
    /// By key, member (`guard.mode`) or variable: a file and key, a variable, a flag. What is not here has its default.
    origins: BTreeMap<String, String>,
    /// The given values about Redis, by name.
    pub redis: BTreeSet<&'static str>,
}

/// Whether a text is a server key, and no path.
pub fn is_server_key(text: &str) -> bool {
    let text = text.trim();
    text.len() == 2 * ServerKey::LEN && text.bytes().all(|b| b.is_ascii_hexdigit())
}

impl Layers {
    /// Merges all sources, from the lowest to the highest. Without `credentials` errors in the environment do not count.
    pub fn merge(sources: &Sources, names: &Names, credentials: bool) -> (Self, Report) {
        let mut report = Report::new(sources.overrides.strict);
        let mut merged = Self::default();
        if !sources.overrides.program.alone {
            merged.add_file(sources, names, &mut report);
            let mut of_environment = Report::new(sources.overrides.strict);
            merged.add_environment(sources, names, &mut of_environment);
            if credentials {
                report.extend(of_environment);
            }
        }
        let members = sources.overrides.program.values.clone();
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
                merged.put(key, value.as_str().into(), &format!("the command line, {flag}"));
            }
        }
        // The server key, where its file should be named, is removed before a message shows it.
        if merged.values.get("key-file").and_then(Value::as_str).is_some_and(is_server_key) {
            merged.values.remove("key-file");
            report.wrong("key-file", None, NOT_THE_KEY, merged.origins.remove("key-file"));
        }
        (merged, report)
    }

    /// Sets a key, a variable, or a member of a key. A value as a whole replaces that of a lower source.
    fn put(&mut self, path: &str, value: Value, origin: &str) {
        let member = path.split_once('.').filter(|_| !path.starts_with("sms."));
        if let Some((object, name)) = member {
            let whole = self.values.entry(object).or_insert_with(|| Map::new().into());
            let spelled = whole.as_str().and_then(|text| serde_json::from_str(text).ok());
            *whole = spelled.unwrap_or(std::mem::take(whole));
            if let Some(members) = whole.as_object_mut() {
                members.insert(name.to_owned(), value);
            }
        } else {
            let below = format!("{path}.");
            self.origins.retain(|known, _| !known.starts_with(&below));
            self.values.insert(path.to_owned(), value);
        }
        self.origins.insert(path.to_owned(), origin.to_owned());
    }

    /// Where a key, a variable, or a member of an object came from.
    pub fn origin(&self, path: &str) -> Option<&str> {
        let outer = || path.rfind(['.', '[']).map(|end| &path[..end]);
        self.origins.get(path).map(String::as_str).or_else(|| self.origin(outer()?))
    }

    /// Where a key and its members came from.
    pub fn origins(&self, key: &str) -> Vec<&str> {
        let below = format!("{key}.");
        let of_members = self.origins.iter().filter(|(path, _)| path.starts_with(&below));
        let mut origins: Vec<&str> = Vec::new();
        for origin in self.origins.get(key).into_iter().chain(of_members.map(|(_, origin)| origin)) {
            if !origins.contains(&origin.as_str()) {
                origins.push(origin);
            }
        }
        origins
    }

    /// Reads the file that `sources` names, or `config.json` if there is one.
    fn add_file(&mut self, sources: &Sources, names: &Names, report: &mut Report) {
        let file = sources.config_file.as_deref().unwrap_or(Path::new("config.json"));
        let path = sources.working_dir.join(file);
        let shown = path.display().to_string();
        let problem = match read_text(&path).map(|text| text.map(|text| serde_json::from_str(&text))) {
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
        let is_credential = |name: &str| names.credentials().any(|known| known == name);
        if file.keys().any(|name| is_credential(name)) && is_readable_by_others(&path) {
            report.warn(readable_by_others(&path));
        }
        // A credential may also be given by a file or instead of one.
        file.retain(|name, _| {
            let plain = name.strip_suffix(FILE_SUFFIX).filter(|plain| is_credential(plain)).unwrap_or(name);
            let by_file = is_credential(plain) && process.contains_key(&format!("{plain}{FILE_SUFFIX}"));
            !by_file && !process.contains_key(plain)
        });
        for (name, mut variables) in [(".env", file), (PROCESS, process.clone())] {
            variables.retain(|_, value| !value.is_empty());
            Source::new(name, names, report, self).add_variables(&variables, &sources.working_dir);
        }
    }
}

/// One place that has values, on their way into [`Layers`].
struct Source<'a> {
    name: &'a str,
    names: &'a Names,
    report: &'a mut Report,
    merged: &'a mut Layers,
    /// What this source has given: by the usual name, the name and the value.
    given: BTreeMap<&'static str, (String, Value)>,
}

type Variables = BTreeMap<String, String>;

impl<'a> Source<'a> {
    const fn new(name: &'a str, names: &'a Names, report: &'a mut Report, merged: &'a mut Layers) -> Self {
        Self { name, names, report, merged, given: BTreeMap::new() }
    }

    /// Reads the keys of config.json, or of a program.
    fn add_object(mut self, members: Map<String, Value>) {
        for (key, value) in members {
            self.add(&key, value);
        }
        // Credentials that the file may have, though they are better kept elsewhere.
        let credentials: Vec<&str> =
            self.given.keys().copied().filter(|name| self.is_variable(name)).collect();
        if !credentials.is_empty() && self.name != PROGRAM {
            self.report.warn(format!(
                "{}, \"sms\": works, but credentials are better kept in the environment or .env, as {}",
                self.name,
                credentials.join(", ")
            ));
        }
    }

    fn is_variable(&self, name: &str) -> bool {
        self.names.credentials().any(|known| known == name)
    }

    fn add(&mut self, path: &str, value: Value) {
        let origin = format!("{}, key {path:?}", self.name);
        if self.names.is_value(path) || self.name == PROGRAM && self.is_variable(path) {
            // An empty alias of a variable counts as not given, as the variable does.
            let is_empty = value.is_null() || value.as_str().is_some_and(|text| text.trim().is_empty());
            if !(is_empty && path.starts_with("sms.") && self.is_variable(usual_name(path))) {
                self.put(path, value, &origin);
            }
        } else if self.names.is_group(path) {
            match value {
                Value::Object(members) => {
                    members.into_iter().for_each(|(name, value)| self.add(&format!("{path}.{name}"), value));
                }
                Value::Null if path.contains('.') => {}
                // The value is not repeated: it may be a secret.
                _ => {
                    let problem = "it must be an object such as {\"twilio\": {\"sid\": \"AC...\", \"token\": \"...\"}} of \
                                   \"sms\" or {\"otp_length\": 6} of \"authentication\"";
                    self.report.wrong(path, None, problem, origin);
                }
            }
        } else if let Some((must_go, words)) = removed(path, &value) {
            if must_go {
                self.report.wrong(path, None, words, origin);
            } else {
                self.report.warn(format!("{origin}: {words}"));
            }
        } else if self.is_credential(path) {
            let problem = "credentials do not belong in config.json. Move it to the environment, to .env, or to a file \
                           that a variable with _FILE at its end names, such as TWILIO_AUTH_TOKEN_FILE";
            self.report.wrong(path, None, problem, origin);
        } else if path == "listen" {
            let hint =
                "; set \"test-hostname\" and \"test-port\", or \"prod-domain\" with \"production\": true";
            self.report.unknown(origin, hint);
        } else {
            self.report.unknown(origin, &suggestion(self.names.meant(path)));
        }
    }

    /// Whether a key of config.json is a variable of a gateway, or of the account, in any spelling.
    fn is_credential(&self, key: &str) -> bool {
        let key = key.to_ascii_uppercase().replace('-', "_");
        let mut own = self.names.variables.iter().filter_map(|variable| variable.strip_prefix(PREFIX));
        own.any(|variable| variable == key.trim_start_matches(PREFIX))
            || SHARED_PREFIXES.iter().any(|prefix| key.starts_with(prefix))
    }

    /// Sets a value under its usual name. A source that gives two names of one setting must mean the same.
    fn put(&mut self, path: &str, value: Value, origin: &str) {
        let usual = usual_name(path);
        if let Some((_, usual)) = ALIASES.iter().find(|(_, name)| *name == usual) {
            match self.given.get(usual).filter(|(other, _)| other != path) {
                Some((other, first)) if text_of(first) != text_of(&value) => {
                    let shown = format!("{} and {}", shown_json(first), shown_json(&value));
                    let shown = Some(shown).filter(|_| !self.is_variable(usual));
                    let origin = format!("{} and {origin}", self.merged.origin(usual).unwrap_or_default());
                    let problem = "these are two names of one setting and differ. Remove one of them";
                    self.report.wrong(format!("{other} and {path}"), shown, problem, origin);
                    return;
                }
                _ => drop(self.given.insert(usual, (path.to_owned(), value.clone()))),
            }
        }
        self.merged.put(usual, value, origin);
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
        for variable in variables.keys().filter(|name| name.starts_with(GATEWAYS_PREFIX)) {
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
            match super::forms::host_variable(host) {
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
                    self.merged.put("test-hostname", host.into(), &origin);
                    if let Some(port) = port {
                        self.merged.put("test-port", port.into(), &origin);
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
            self.merged.put("test-port", port.as_str().into(), &self.origin("PORT"));
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
                        let origin = format!("the file {file}, named by {origin}");
                        return self.put(variable, text.into(), &origin);
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
        let by_file = |name: &'static str| [name.to_owned(), format!("{name}{FILE_SUFFIX}")];
        let own = self.names.own_variables().map(|(_, variable)| variable);
        let known: Vec<String> = own.chain(self.names.credentials().flat_map(by_file)).collect();
        let known = || known.iter().map(String::as_str);
        for name in variables.keys().filter(|name| !known().any(|known| known == *name)) {
            let origin = self.origin(name);
            let mut gone = REMOVED.iter().map(|(key, ..)| *key).chain(CONSTANTS.split(' '));
            let gone = gone.find(|key| variable(key) == *name);
            if let Some((must_go, words)) =
                gone.and_then(|key| removed(key, &variables[name].as_str().into()))
            {
                if must_go {
                    self.report.wrong(name, None, words, origin);
                } else {
                    self.report.warn(format!("{origin}: {words}"));
                }
            } else if let Some(credential) = name.strip_prefix("HTTP_GATEWAY_") {
                let words =
                    format!("removed: the gateway Http has {GATEWAYS_PREFIX}HTTP_{credential}; rename it");
                self.report.warn(format!("{origin}: {words}"));
            } else if name.starts_with(PREFIX) && !name.starts_with(GATEWAYS_PREFIX) {
                // The prefix is right and would make everything look alike.
                let plain = &name[PREFIX.len()..];
                let own = || known().filter_map(|known| known.strip_prefix(PREFIX));
                let inner = own().find(|known| known.ends_with(&format!("_{plain}")));
                let outer = || own().find(|known| plain.starts_with(&format!("{known}_")));
                let meant = inner.or_else(|| nearest(plain, own())).or_else(outer);
                let meant = meant.map(|meant| format!("{PREFIX}{meant}"));
                self.report.unknown(origin, &suggestion(meant.as_deref()));
            } else if SHARED_PREFIXES.iter().any(|prefix| name.starts_with(prefix.trim_end_matches('_'))) {
                // Other programs have variables of these gateways too: only a likely slip is worth a word.
                let is_slip = |known: &&str| (1..=2).contains(&strsim::damerau_levenshtein(name, known));
                if let Some(slip) = nearest(name, known()).filter(is_slip) {
                    self.report.unknown(origin, &suggestion(Some(slip)));
                }
            }
        }
    }

    fn origin(&self, variable: &str) -> String {
        format!("{}, {variable}", self.name)
    }
}

/// The name that an alias stands for, or the name itself.
fn usual_name(name: &str) -> &str {
    ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, usual)| usual)
}

/// The warning about a file with a secret.
fn readable_by_others(path: &Path) -> String {
    format!("every user of this machine can read the file {}; run chmod o= on it", path.display())
}

/// The members of a JSON object in their order, doubles included.
#[cfg(feature = "server")]
pub(crate) fn json_members(text: &[u8]) -> serde_json::Result<Vec<(String, Value)>> {
    use serde::Deserializer as _;
    use serde::de::{MapAccess, Visitor};

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
