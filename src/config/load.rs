//! From the sources to the settings.

use figment::Figment;

use super::effective::Effective;
use super::environment;
use super::file;
use super::keys::default_layer;
use super::layer::Layer;
use super::names::Names;
use super::report::{ConfigErrors, Report};
use super::resolve::{keys, resolve, storage};
use super::services::RegistrySettings;
use super::settings::{Settings, StorageSettings};
use super::sources::Sources;
use crate::engine::Policy;

/// A valid configuration.
#[derive(Debug)]
pub struct Loaded {
    /// What the program needs to know.
    pub settings: Settings,
    /// What an operator should know, one sentence each. To be logged once at the start.
    pub warnings: Vec<String>,
    /// Every value and where it came from; secrets are masked.
    pub effective: Vec<Effective>,
}

/// Reads only where the data is, for commands that look at it beside a server: they need none of its
/// credentials, which they may not be allowed to read.
pub fn load_storage(sources: &Sources) -> Result<StorageSettings, ConfigErrors> {
    let mut report = Report::default();
    let names = Names::known();
    let file = file::layer(sources, &names, &mut report);
    let environment = environment::read(sources, &names, &mut Report::default());
    let figment = stacked(sources, file, environment.layers);
    let storage = storage(&figment, &sources.working_dir, &mut report);
    report.finish(storage).map(|(storage, _)| storage)
}

/// What `onceward keys` needs to know.
#[derive(Debug, Clone)]
pub struct KeysSettings {
    /// Where the data is.
    pub storage: StorageSettings,
    /// Services by their names.
    pub registry: RegistrySettings,
    /// What the service of the compatible routes is called.
    pub brand: String,
    /// Its rules.
    pub policy: Policy,
}

/// Reads where the data is and what services there are, for a command that changes keys beside a server. What is about
/// gateways is not read: it needs none of their credentials.
pub fn load_keys(sources: &Sources) -> Result<KeysSettings, ConfigErrors> {
    let mut report = Report::default();
    let names = Names::known();
    let file = file::layer(sources, &names, &mut report);
    let environment = environment::read(sources, &names, &mut Report::default());
    let figment = stacked(sources, file, environment.layers);
    let read = keys(&figment, &sources.working_dir, &mut report);
    report.finish(read).map(|(settings, _)| settings)
}

fn stacked(sources: &Sources, file: Layer, environment: Vec<Layer>) -> Figment {
    let figment = Figment::from(default_layer(sources.parallelism)).merge(file);
    environment.into_iter().fold(figment, Figment::merge).merge(sources.overrides.layer())
}

/// Reads all sources: the command line, then the environment (`.env` below the variables of the
/// process), then config.json, then the defaults. Fails with everything that is wrong at once.
pub fn load(sources: &Sources) -> Result<Loaded, ConfigErrors> {
    let mut report = Report::default();
    let names = Names::known();
    let file = file::layer(sources, &names, &mut report);
    let environment = environment::read(sources, &names, &mut report);
    let figment = stacked(sources, file, environment.layers);
    let resolved = resolve(&figment, environment.redis, &sources.working_dir, &mut report);
    let ((settings, effective), warnings) = report.finish(resolved)?;
    Ok(Loaded { settings, warnings, effective })
}
