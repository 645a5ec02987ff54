//! Variables: of the process, and of `.env` below them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::dotenv;
use super::gateways::{VARIABLE_PREFIXES, variables};
use super::layer::Layer;
use super::listen::host_variable;
use super::names::{FILE_SUFFIX, Names, PREFIX, nearest, suggestion, variable};
use super::report::{ConfigError, Report};
use super::services::ACCOUNT_VARIABLES;
use super::sources::{Sources, read_text};
use super::value::quoted;

/// Variables of the Redis version and the tutorial that have no meaning any more.
const REDIS: [&str; 2] = ["REDIS_URL", "REDIS_DB_PASSWORD"];

/// What the variables say.
pub struct Environment {
    /// Lowest first.
    pub layers: Vec<Layer>,
    /// Variables about Redis, by name.
    pub redis: BTreeSet<&'static str>,
}

/// Reads both. A variable of the process hides one of the same name in `.env`, even when it is
/// empty; an empty one counts as not given.
pub fn read(sources: &Sources, names: &Names, report: &mut Report) -> Environment {
    let process = &sources.environment;
    let mut file = dotenv::read(&sources.working_dir, report);
    file.retain(|name, _| !hides(process, name));
    let mut read = Environment { layers: Vec::new(), redis: BTreeSet::new() };
    for (name, variables) in [(".env", &file), ("the environment", process)] {
        let variables: Given<'_> = variables
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect();
        let mut place = Place { name, variables, directory: &sources.working_dir, report };
        let tutorial = place.tutorial();
        let own = place.own(names);
        place.warn_of_unknown(names);
        read.layers.extend([tutorial, own]);
        read.redis.extend(REDIS.iter().filter(|name| place.variables.contains_key(**name)));
    }
    read
}

/// Whether the process gives a variable; for a gateway's also by a file or instead of one.
fn hides(process: &BTreeMap<String, String>, name: &str) -> bool {
    let is_credential = |name: &str| credentials().any(|known| known == name);
    let plain = name.strip_suffix(FILE_SUFFIX).filter(|plain| is_credential(plain)).unwrap_or(name);
    let by_file = is_credential(plain) && process.contains_key(&format!("{plain}{FILE_SUFFIX}"));
    by_file || process.contains_key(plain)
}

/// Variables whose values may be in files.
fn credentials() -> impl Iterator<Item = &'static str> {
    variables().chain(ACCOUNT_VARIABLES)
}

type Given<'a> = BTreeMap<&'a str, &'a str>;

/// One of the two places that have variables.
struct Place<'a> {
    name: &'static str,
    variables: Given<'a>,
    directory: &'a Path,
    report: &'a mut Report,
}

impl Place<'_> {
    /// `HOST` and `PORT`, as the tutorial's project sets them.
    fn tutorial(&mut self) -> Layer {
        let mut layer = Layer::new("the tutorial's variables");
        if let Some(host) = self.variables.get("HOST") {
            let origin = self.origin("HOST");
            match host_variable(host) {
                Some((host, port)) => {
                    layer.put("test-hostname", host, origin.clone());
                    if let Some(port) = port {
                        layer.put("test-port", port, origin);
                    }
                }
                None => self.report.error(ConfigError {
                    subject: "HOST".to_owned(),
                    given: Some(quoted(host)),
                    problem: "it must be a host name or an address, perhaps with a port, or a URL such as \
                              http://localhost"
                        .to_owned(),
                    origin: Some(origin),
                }),
            }
        }
        if let Some(port) = self.variables.get("PORT") {
            layer.put("test-port", (*port).to_owned(), self.origin("PORT"));
        }
        layer
    }

    /// `ONCEWARD_*` and the gateways' variables.
    fn own(&mut self, names: &Names) -> Layer {
        let mut layer = Layer::new(self.name);
        for (key, variable) in names.variables() {
            if let Some(value) = self.variables.get(variable.as_str()) {
                layer.put(key, (*value).to_owned(), self.origin(&variable));
            }
        }
        for variable in credentials() {
            self.credential(variable, &mut layer);
        }
        layer.fold_aliases(self.report);
        layer
    }

    /// A variable whose value may be in a file instead.
    fn credential(&mut self, variable: &'static str, layer: &mut Layer) {
        let by_file = format!("{variable}{FILE_SUFFIX}");
        let origin = self.origin(&by_file);
        match (self.variables.get(variable), self.variables.get(by_file.as_str())) {
            (None, None) => {}
            (Some(value), None) => layer.put(variable, (*value).to_owned(), self.origin(variable)),
            (Some(_), Some(_)) => {
                let problem = format!("{variable} is given as well. Remove one of them");
                self.report.problem(by_file, problem, origin);
            }
            (None, Some(path)) => {
                let path = self.directory.join(path);
                let file = path.display();
                match read_text(&path).map(|text| text.map(|text| text.trim().to_owned())) {
                    Ok(Some(text)) if text.is_empty() => {
                        self.report.problem(by_file, format!("the file {file} is empty"), origin);
                    }
                    Ok(Some(text)) => {
                        layer.put(variable, text, format!("the file {file}, named by {origin}"));
                    }
                    Ok(None) => self.report.problem(by_file, format!("there is no file {file}"), origin),
                    Err(reason) => self.report.problem(by_file, format!("the file {file}: {reason}"), origin),
                }
            }
        }
    }

    /// Misspelt names would otherwise look as if they worked.
    fn warn_of_unknown(&mut self, names: &Names) {
        let by_file = |name: &str| [name.to_owned(), format!("{name}{FILE_SUFFIX}")];
        let ours: Vec<String> = names
            .variables()
            .map(|(_, variable)| variable)
            .chain(ACCOUNT_VARIABLES.into_iter().flat_map(by_file))
            .collect();
        let gateways: Vec<String> = variables().flat_map(by_file).collect();
        for name in self.variables.keys() {
            let origin = self.origin(name);
            if name.starts_with(PREFIX) && !ours.iter().any(|known| known == name) {
                // The prefix is right and would make everything look alike.
                let key = nearest(&name[PREFIX.len()..], names.variables().map(|(key, _)| key));
                let hint = suggestion(key.map(variable));
                self.report.warn(format!("{origin} is unknown and ignored{hint}"));
            }
            // Other programs have variables of these gateways too: only a likely slip is worth a word.
            let slip = nearest(name, gateways.iter()).filter(|known| is_slip(name, known));
            if let Some(known) = slip {
                self.report.warn(format!("{origin} is unknown and ignored; did you mean {known:?}?"));
            }
        }
    }

    fn origin(&self, variable: &str) -> String {
        format!("{}, {variable}", self.name)
    }
}

fn is_slip(name: &str, known: &str) -> bool {
    // The last character may be the slip.
    let ours = VARIABLE_PREFIXES.iter().any(|prefix| name.starts_with(prefix.trim_end_matches('_')));
    ours && (1..=2).contains(&strsim::damerau_levenshtein(name, known))
}
