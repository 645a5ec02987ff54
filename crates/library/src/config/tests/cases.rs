//! Each folder of `cases` is a configuration, with variables in `env`, and what the program says about it:
//! `UPDATE_CASES=1 cargo test -p onceward-library --lib config::tests::cases` writes `expected.txt` again, for a review of the difference.

use std::fmt::Write as _;
use std::fs::{read_dir, read_to_string};
use std::path::Path;

use serde_json::{Value, json};

use super::*;
use crate::config::services::{RegistrySettings, ServiceSettings};

#[test]
fn the_program_says_what_is_expected_about_every_configuration() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/tests/cases");
    let mut folders: Vec<PathBuf> =
        read_dir(cases).expect("cases").map(|entry| entry.expect("a case").path()).collect();
    folders.sort();
    assert!(folders.len() > 105);
    let mut differences = String::new();
    for folder in folders {
        let (said, file) = (said_about(&folder), folder.join("expected.txt"));
        if std::env::var_os("UPDATE_CASES").is_some() {
            std::fs::write(&file, &said).expect("written");
        }
        assert!(!said.contains("hunter2") && !said.contains("998877"), "a secret is shown:\n{said}");
        let expected = read_to_string(&file).unwrap_or_default();
        if said != expected {
            let name = folder.file_name().unwrap_or_default().display();
            let _ = writeln!(differences, "--- {name} expected:\n{expected}--- said:\n{said}");
        }
    }
    assert!(differences.is_empty(), "{differences}");
}

/// The errors and warnings; where it listens, through what it sends as whom, services and templates.
fn said_about(folder: &Path) -> String {
    let env = read_to_string(folder.join("env")).unwrap_or_default();
    let (working_dir, environment) = (folder.to_owned(), pairs(&env).collect());
    let sources = Sources { working_dir, environment, parallelism: 2, ..Sources::default() };
    let mut text = String::new();
    let warnings = match load(&sources) {
        Ok(loaded) => {
            assert!(!format!("{loaded:?}").contains("hunter2"), "Debug shows a secret");
            if let Some(error) = &loaded.settings.registry.unless_keys {
                let _ = writeln!(text, "unless there is a key: {error}");
            }
            let Settings { listen, gateways, brand, .. } = &loaded.settings;
            let _ = writeln!(text, "{listen} through {} as {brand}", gateways.routing);
            let RegistrySettings { services, templates, .. } = &loaded.settings.registry;
            for service in services {
                let _ = writeln!(text, "services.{} = {}", service.name, not_default(&service.settings));
            }
            for template in templates {
                let _ = writeln!(text, "templates.{} = {}", template.name, json!(template));
            }
            loaded.warnings
        }
        Err(errors) => {
            let _ = writeln!(text, "{errors}");
            errors.warnings
        }
    };
    for warning in warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    text.replace(&format!("{}/", folder.display()), "")
}

fn not_default(settings: &ServiceSettings) -> Value {
    let (mut settings, defaults) = (json!(settings), json!(ServiceSettings::default()));
    settings.as_object_mut().expect("an object").retain(|key, value| *value != defaults[key]);
    settings
}
