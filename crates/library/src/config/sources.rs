//! One map of everything that is given, with where it came from. The command line wins, then the environment (`.env` below
//! the variables of the process), then config.json. All of it is handed in, so that a test needs nothing of the process.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::dotenv::{self, SHARED_PREFIXES, is_readable_by_others, read_text};
use super::load::{ConfigErrors, PREFIX, hint, quoted};
use super::read::{NO_OBJECT, Pairs, TWICE, joined, json, members, read};
use super::values::host_variable;
use crate::domain::{Channel, GatewayName, ServerKey, is_name, text_of};
use crate::gateway::older::OLDER;
use crate::net::is_own_host;

#[derive(Clone, Default)]
pub struct Sources {
    /// The file that `--config` names; `None` reads `config.json`, if there is one.
    pub config_file: Option<PathBuf>,
    /// Where `config.json`, `.env` and relative paths begin. Empty means that of the process.
    pub working_dir: PathBuf,
    pub environment: BTreeMap<String, String>,
    /// Settings from the command line as they were typed: keys of config.json, and [`LISTEN_FLAG`].
    pub flags: BTreeMap<&'static str, String>,
    /// Keys and variables of a program that embeds the library. They win over all other sources.
    pub program: Map<String, Value>,
    /// No file and no variable is read: neither config.json nor `.env`, and no file that a variable names.
    pub alone: bool,
    /// The gateways of that program.
    pub gateways: Vec<OwnGateway>,
    /// The number of threads that can run at once. The number of shards depends on it.
    pub parallelism: usize,
}

/// A gateway that the program brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnGateway {
    pub name: GatewayName,
    pub channels: Vec<Channel>,
}

/// One setting that is given, for `--print-config`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// The key of config.json, or the variable or flag where it has none.
    pub key: String,
    /// The value in JSON, unless it may be a secret.
    pub value: String,
    /// Where it came from: a file and key, a variable or a flag.
    pub origin: String,
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
const ALIASES: [(&str, &str); 8] = [
    ("otp-max-trials", "otp-max-attempts"),
    ("otp_sms_provider", "otp-sms-provider"),
    ("authentication.otp_length", "otp-length"),
    ("PORT", "test-port"),
    ("TWILIO_AUTHTOKEN", "TWILIO_AUTH_TOKEN"),
    ("sms.twilio.sid", "TWILIO_ACCOUNT_SID"),
    ("sms.twilio.token", "TWILIO_AUTH_TOKEN"),
    ("sms.twilio.verify_sid", "TWILIO_SERVICES_ID"),
];

/// Other names of settings, and the usual ones. `SINCH_APP_ID` is also `sms.sinch.app_id`.
pub fn aliases() -> impl Iterator<Item = (String, &'static str)> {
    let older = OLDER.iter().flat_map(|(_, variables)| *variables);
    let older =
        older.map(|(name, _)| (format!("sms.{}", name.to_ascii_lowercase().replacen('_', ".", 1)), *name));
    ALIASES.into_iter().map(|(alias, name)| (alias.to_owned(), name)).chain(older)
}

/// The variable of a key: `ONCEWARD_OTP_LENGTH`. What is in capitals is a variable itself.
pub fn variable(key: &str) -> String {
    if is_variable(key) || key == LISTEN_FLAG {
        key.to_owned()
    } else {
        format!("{PREFIX}{}", key.replace(['-', '.'], "_").to_ascii_uppercase())
    }
}

fn is_variable(name: &str) -> bool {
    !name.bytes().any(|letter| letter.is_ascii_lowercase())
}

/// Whether it is a variable of a gateway, of the account or about traces, which is no key.
fn is_credential(name: &str) -> bool {
    is_variable(name) && !name.starts_with("REDIS_")
}

/// A value without what tools leave at its ends: a line end of `echo`, an editor or `kubectl --from-file`, a byte order mark, a
/// NUL of C. No value needs white space around it.
pub fn within_ends(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || c.is_control() || c == '\u{feff}')
}

/// Whether a text is a server key, and no path.
pub fn is_server_key(text: &str) -> bool {
    let text = text.trim();
    text.len() == 2 * ServerKey::LEN && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// What is given, and what is found while it is read.
#[derive(Default)]
pub struct Config {
    /// Values and their origins, by the names of their settings: keys, members of keys (`guard.mode`), and variables that
    /// are no keys. A later source replaces what an earlier one says.
    given: BTreeMap<String, (Value, String)>,
    /// The names of settings by every spelling.
    pub known: BTreeMap<String, String>,
    pub found: ConfigErrors,
    /// Gateways of a program that embeds the library.
    pub own_gateways: Vec<OwnGateway>,
    /// Whether errors in the environment count: a command beside a server may not be allowed to read the server's credentials.
    pub credentials: bool,
}

impl Config {
    /// Merges all sources, from the lowest to the highest.
    pub fn of(sources: &Sources, known: BTreeMap<String, String>, credentials: bool) -> Self {
        let own_gateways = sources.gateways.clone();
        let mut c = Self { known, own_gateways, credentials, ..Self::default() };
        if !sources.alone {
            c.add_file(sources);
            let of_file = c.found.clone();
            c.add_environment(sources);
            if !credentials {
                c.found = of_file;
            }
        }
        c.add_keys(PROGRAM, sources.program.clone());
        for (key, value) in &sources.flags {
            let origin = format!("the command line, --{}", key.trim_start_matches('-'));
            c.put(key, value.as_str().into(), origin);
        }
        // The server key, where its file should be named, is removed before a message shows it.
        if c.value("key-file").and_then(Value::as_str).is_some_and(is_server_key)
            && let Some((_, origin)) = c.given.remove("key-file")
        {
            c.found.wrong("key-file", NOT_THE_KEY, Some(&origin));
        }
        c
    }

    /// Makes a setting known by its key and its variable.
    pub fn know(&mut self, name: &str) {
        self.known.extend([name.to_owned(), variable(name)].map(|spelling| (spelling, name.to_owned())));
    }

    /// Sets a value, and the member of the object that it is. An object as a whole replaces the members that a lower source
    /// gives.
    fn put(&mut self, name: &str, value: Value, origin: String) {
        if value.is_null() {
            return;
        }
        if let Some((object, member)) = name.split_once('.').filter(|of| self.known.contains_key(of.0)) {
            let of_member = || (Map::new().into(), origin.clone());
            let (whole, _) = self.given.entry(object.to_owned()).or_insert_with(of_member);
            if let Some(spelled) = whole.as_str().and_then(|text| json(text).ok()) {
                *whole = spelled;
            }
            if let Some(members) = whole.as_object_mut() {
                members.insert(member.to_owned(), value.clone());
            }
        }
        self.given.retain(|other, _| !is_member(other, name));
        self.given.insert(name.to_owned(), (value, origin));
    }

    /// The setting that a spelling in a source means.
    fn meant(&self, spelling: &str) -> Option<String> {
        let of_gateway = || spelling.starts_with(GATEWAYS_PREFIX).then(|| spelling.to_owned());
        self.known.get(spelling).cloned().or_else(of_gateway)
    }

    /// The order in which the names of one source are read: of two for one setting the usual one wins.
    fn order(&self, spelling: &str) -> (bool, String) {
        let is_usual = self.meant(spelling).is_some_and(|name| variable(&name) == variable(spelling));
        (is_usual, spelling.to_owned())
    }

    /// Reads the file that `sources` names, or `config.json` if there is one.
    fn add_file(&mut self, sources: &Sources) {
        let file = sources.config_file.as_deref().unwrap_or(Path::new("config.json"));
        let path = sources.working_dir.join(file);
        let file = path.display().to_string();
        let problem = match read_text(&path) {
            Ok(Some(text)) => match serde_json::from_str(&text) {
                Ok(Pairs(members)) => return self.add_members(&file, members),
                Err(error) if error.is_data() && !error.to_string().contains(TWICE) => {
                    "it must be one JSON object, { ... }".to_owned()
                }
                Err(error) if error.is_data() => error.to_string(),
                Err(error) => format!("it is not valid JSON: {error}"),
            },
            Ok(None) if sources.config_file.is_none() => return,
            Ok(None) => "there is no such file; --config names it".to_owned(),
            Err(reason) => reason,
        };
        self.found.wrong(&file, &problem, None);
    }

    /// Adds the members of a file, each of which it has once.
    fn add_members(&mut self, file: &str, members: Vec<(String, Value)>) {
        let mut names = BTreeSet::new();
        for (name, _) in &members {
            if !names.insert(name) {
                self.found.wrong(name, "it is given twice", Some(file));
            }
        }
        self.add_keys(file, members);
        let given: Vec<&str> =
            self.given.keys().map(String::as_str).filter(|name| is_credential(name)).collect();
        if !given.is_empty() {
            let words = "works, but credentials are better kept in the environment or .env, as";
            self.found.warn(format!("{file}, \"sms\": {words} {}", given.join(", ")));
        }
    }

    /// Adds keys of config.json, or of a program.
    fn add_keys(&mut self, source: &str, members: impl IntoIterator<Item = (String, Value)>) {
        let mut members: Vec<_> = members.into_iter().collect();
        members.sort_by_cached_key(|(key, _)| self.order(key));
        for (key, value) in members {
            self.add_key(source, &key, value);
        }
    }

    fn add_key(&mut self, source: &str, path: &str, value: Value) {
        let origin = format!("{source}, key {path:?}");
        if source != PROGRAM && self.is_credential_key(path) {
            let problem = "credentials do not belong in config.json. Move it to the environment, to .env, or to a file \
                           that a variable with _FILE at its end names, such as TWILIO_AUTH_TOKEN_FILE";
            self.found.wrong(path, problem, Some(&origin));
        } else if let Some(name) = self.meant(path) {
            // An empty credential counts as not given, as its variable does.
            let is_empty = value.as_str().is_some_and(|text| text.trim().is_empty());
            if !(is_empty && is_credential(&name)) {
                self.put(&name, value, origin);
            }
        } else if self.known.keys().any(|name| is_member(name, path)) {
            match value {
                Value::Object(members) => {
                    for (name, value) in members {
                        self.add_key(source, &format!("{path}.{name}"), value);
                    }
                }
                Value::Null => {}
                _ => self.found.wrong(path, "it must be an object", Some(&origin)),
            }
        } else {
            self.note_unknown(path, &origin);
        }
    }

    /// Whether a key of config.json is a variable of a gateway, or of the account, in any spelling.
    fn is_credential_key(&self, key: &str) -> bool {
        let key = key.to_ascii_uppercase().replace('-', "_");
        let is_known = |name: &str| self.meant(name).is_some_and(|name| is_credential(&name));
        is_known(&key)
            || is_known(&format!("{PREFIX}{key}"))
            || SHARED_PREFIXES.iter().any(|prefix| key.starts_with(prefix))
    }

    /// Adds the variables. One of the process hides one of the same name in `.env`, even when it is empty; an empty one
    /// counts as not given.
    fn add_environment(&mut self, sources: &Sources) {
        let mut file = dotenv::read(&sources.working_dir, &mut self.found);
        if file.keys().filter_map(|name| self.meant(name)).any(|name| is_credential(&name)) {
            self.warn_if_readable(&sources.working_dir.join(".env"), ".env");
        }
        // A value may also be given by a file or instead of one.
        let plain = |name: &str| name.strip_suffix(FILE_SUFFIX).unwrap_or(name).to_owned();
        let hidden: BTreeSet<String> = sources.environment.keys().map(|name| plain(name)).collect();
        file.retain(|name, _| !hidden.contains(&plain(name)));
        self.add_variables(".env", file, &sources.working_dir);
        self.add_variables(PROCESS, sources.environment.clone(), &sources.working_dir);
    }

    fn add_variables(&mut self, source: &str, given: BTreeMap<String, String>, directory: &Path) {
        let given = given.into_iter().map(|(name, text)| (name, within_ends(&text).to_owned()));
        // No host means every address; of other variables an empty one says nothing.
        let is_host = |name: &str| name == variable("test-hostname");
        let mut given: Vec<_> = given.filter(|(name, text)| !text.is_empty() || is_host(name)).collect();
        given.sort_by_cached_key(|(name, _)| self.order(name));
        for (name, text) in given {
            let origin = format!("{source}, {name}");
            if name == "HOST" {
                self.add_host(&text, source == PROCESS, origin);
            } else if let Some(meant) = name.strip_suffix(FILE_SUFFIX).and_then(|plain| self.meant(plain)) {
                match self.read_value(&directory.join(text), &origin) {
                    Ok((text, origin)) => self.put(&meant, text.into(), origin),
                    Err(problem) => self.found.wrong(&name, &problem, Some(&origin)),
                }
            } else if let Some(meant) = self.meant(&name) {
                self.put(&meant, text.into(), origin);
            } else if name.starts_with(PREFIX) || self.is_slip(&name) {
                self.note_unknown(&name, &origin);
            }
        }
    }

    /// Other programs have variables of gateways too: only a likely slip is worth a word.
    fn is_slip(&self, name: &str) -> bool {
        let is_shared = SHARED_PREFIXES.iter().any(|prefix| name.starts_with(&prefix[..prefix.len() - 1]));
        is_shared && self.known.keys().any(|known| strsim::damerau_levenshtein(name, known) <= 2)
    }

    /// `HOST`, as the tutorial's project sets it.
    fn add_host(&mut self, text: &str, is_of_process: bool, origin: String) {
        let (host, port) = host_variable(text);
        // Shells and build tools export a variable of this name too.
        if is_of_process && !is_own_host(&host) {
            let problem = "is no address of this machine and is ignored. If you did not mean it, unset HOST; else set test-hostname";
            return self.ignored(&origin, &format!("{} {problem}", quoted(&host)));
        }
        if let Some(port) = port {
            self.put("test-port", port.into(), origin.clone());
        }
        self.put("test-hostname", host.into(), origin);
    }

    /// The text of a file that a variable names, and where it came from.
    fn read_value(&mut self, path: &Path, origin: &str) -> Result<(String, String), String> {
        let file = path.display();
        match read_text(path).map(|text| text.map(|text| within_ends(&text).to_owned())) {
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
        let file = path.display();
        let words =
            format!("{origin}: every user of this machine can read the file {file}; run chmod o= on it");
        self.warn_if(is_readable_by_others(path), words);
    }

    /// Misspelt names would otherwise look as if they worked.
    fn note_unknown(&mut self, name: &str, origin: &str) {
        let known =
            self.known.keys().map(String::as_str).filter(|known| is_variable(known) == is_variable(name));
        let hint = hint(name, known);
        self.ignored(origin, &format!("it is unknown{hint}"));
    }

    /// Notes a name or a value that has no effect, and the remedy.
    pub fn ignored(&mut self, name: &str, problem: &str) {
        self.found.warn(format!("{name}: {problem}"));
    }

    pub fn warn_if(&mut self, is_so: bool, warning: impl Into<String>) {
        if is_so {
            self.found.warn(warning);
        }
    }

    pub fn wrong_if(&mut self, is_so: bool, path: &str, problem: impl AsRef<str>) {
        if is_so {
            self.wrong(path, problem);
        }
    }

    /// Fails if anything is wrong so far.
    pub fn check(&self) -> Result<(), ConfigErrors> {
        self.found.clone().finish().map(drop)
    }

    /// The given value of a setting.
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.given.get(name).map(|(value, _)| value)
    }

    /// Every setting that is given.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.given.keys().map(String::as_str)
    }

    /// Where a setting, or a member of an object, came from.
    pub fn given_by(&self, path: &str) -> Option<&str> {
        let outer = || path.rfind(['.', '[']).map(|end| &path[..end]);
        let given = self.given.get(path).map(|(_, origin)| origin.as_str());
        given.or_else(|| self.given_by(outer()?))
    }

    pub fn origin(&self, path: &str) -> String {
        self.given_by(path).unwrap_or(DEFAULT).to_owned()
    }

    pub fn is_given(&self, name: &str) -> bool {
        self.given_by(name).is_some()
    }

    /// The given value at a path.
    fn value_at(&self, path: &str) -> Option<&Value> {
        self.value(path).or_else(|| {
            let end = path.rfind(['.', '['])?;
            let (outer, name) = (self.value_at(&path[..end])?, path[end + 1..].trim_end_matches(']'));
            match outer {
                // The items of a list may be in one text.
                Value::String(_) if path[end..].starts_with('[') => Some(outer),
                Value::Array(items) => items.get(name.parse::<usize>().ok()?),
                outer => outer.get(name),
            }
        })
    }

    /// The given value at a path, unless it may be a secret: that of a variable but an address, one of a gateway, or one that may hold
    /// a password.
    fn shown(&self, path: &str) -> Option<&Value> {
        let name = path.split(['.', '[']).next().unwrap_or(path);
        let is_secret = is_variable(name) && !name.ends_with("_URL") || path.starts_with("gateways");
        self.value_at(path).filter(|_| !is_secret).filter(|value| {
            let text = value.to_string();
            !(text.contains("://") && text.contains(['@', '?']))
        })
    }

    /// Every setting that is given.
    pub fn given(&self) -> Vec<Given> {
        let value = |name: &str| self.shown(name).map_or_else(|| "(not shown)".to_owned(), Value::to_string);
        let row = |(key, (_, origin)): (&String, &(_, String))| Given {
            key: key.clone(),
            value: value(key),
            origin: origin.clone(),
        };
        self.given.iter().map(row).collect()
    }

    /// Notes that the value of a key or a member is wrong in itself, or beside others.
    pub fn wrong(&mut self, path: &str, problem: impl AsRef<str>) {
        let problem = problem.as_ref();
        // A text in the place of an object may be a secret.
        let given = match self.shown(path).filter(|_| !problem.ends_with(NO_OBJECT)) {
            Some(Value::String(text)) => Some(quoted(text)),
            given => given.and_then(text_of),
        };
        let given = given.map(|given| format!(" = {given}")).unwrap_or_default();
        let origin = self.given_by(path).map(str::to_owned);
        self.found.wrong(&format!("{path}{given}"), problem, origin.as_deref());
    }

    /// Notes that one of two keys or variables is missing beside the other.
    pub fn both(&mut self, [one, other]: [&str; 2], problem: &str) {
        for (given, missing) in [(one, other), (other, one)] {
            if let Some(origin) = self.given_by(given).filter(|_| !self.is_given(missing)) {
                let origin = format!("{given}: {origin}");
                self.found.wrong(missing, problem, Some(&origin));
            }
        }
    }

    /// The objects below a key whose names they may have; `why` others may not have those that are taken.
    pub fn named<T>(
        &mut self,
        key: &str,
        mut objects: BTreeMap<String, T>,
        why: &str,
        is_taken: impl Fn(&str) -> bool,
    ) -> BTreeMap<String, T> {
        /// Those beyond are better made over the API.
        const MOST: usize = 1_000;
        let count = objects.len();
        self.wrong_if(count > MOST, key, format!("it has {count} {key}, and may have {MOST}"));
        objects.retain(|name, _| {
            let problem = match is_taken(name) {
                true => why,
                false if is_name(name) => return true,
                false => "a name has 1 to 64 letters, digits, hyphens and underscores",
            };
            self.wrong(&format!("{key}.{name}"), problem);
            false
        });
        objects
    }

    /// Reads a section: a struct whose members are keys, or variables. Reports each that is wrong, and leaves it out.
    pub fn section<T: DeserializeOwned + Default>(&mut self) -> T {
        let mut given = Map::new();
        for key in members::<T>() {
            self.know(key);
            given.extend(self.value(key).map(|value| ((*key).to_owned(), value.clone())));
        }
        loop {
            let count = given.len();
            match self.read("", given.clone().into()) {
                Ok(section) => return section,
                Err(path) => given.retain(|key, _| path != *key && !is_member(&path, key)),
            }
            if given.len() == count {
                return T::default();
            }
        }
    }

    /// Reads the value at a path. Reports what is wrong with it, and members without a meaning.
    pub fn object<T: DeserializeOwned>(&mut self, path: &str, value: Value) -> Option<T> {
        self.read(path, value).ok()
    }

    /// Fails with the path of what is wrong.
    fn read<T: DeserializeOwned>(&mut self, path: &str, value: Value) -> Result<T, String> {
        let (read, unknown) = read(value).map_err(|wrong| {
            let path = joined(path, &wrong.path);
            self.wrong(&path, format!("it {}", wrong.problem));
            path
        })?;
        for (below, known) in unknown {
            let path = joined(path, &below);
            let name = below.rsplit('.').next().unwrap_or_default();
            let words = format!("it is unknown{}", hint(name, known.iter().copied()));
            self.ignored(&format!("{}: {path:?}", self.origin(&path)), &words);
        }
        Ok(read)
    }
}

const DEFAULT: &str = "the default";

/// Whether a path is that of something in `key`.
fn is_member(path: &str, key: &str) -> bool {
    path.strip_prefix(key).is_some_and(|rest| rest.starts_with(['.', '[']))
}
