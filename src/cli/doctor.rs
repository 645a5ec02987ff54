//! `onceward doctor`: looks at the configuration, the data directory, the clock, the keys and the gateways, and says what
//! to do about each finding. Changes nothing, sends no message, and works with and without a server.

mod data;
mod gateways;

use super::answer::CommandOutput;
use super::context::Context;
use super::error::CommandError;
use super::findings::{Findings, fail, ok, warn};
use super::keys;
use crate::clock::SystemClock;
use crate::config::{self, Loaded};
use crate::server::{self, EXIT_FAILED};

pub fn run(cx: &Context) -> Result<CommandOutput, CommandError> {
    let (mut findings, clock) = (Findings::default(), SystemClock::start());
    let loaded = config::load(&cx.sources);
    match &loaded {
        Ok(loaded) => {
            configuration(loaded, cx, &mut findings);
            gateways::examine(&loaded.settings, &clock, &mut findings)?;
        }
        Err(errors) => {
            let is_denied = config::env_file_is_denied(&cx.sources.working_dir);
            let remedy = if is_denied { AS_ROOT } else { CONFIGURATION };
            for warning in &errors.warnings {
                findings.add("configuration", warn(warning, remedy));
            }
            for error in &errors.errors {
                findings.add("configuration", fail(error, remedy));
            }
        }
    }
    // The place of the data can be known although another setting is wrong.
    let is_clustered = match &loaded {
        Ok(loaded) => loaded.settings.cluster.is_some(),
        Err(_) => cx.settings().is_ok_and(|settings| settings.cluster.is_some()),
    };
    if let Ok(storage) = cx.storage() {
        data::examine(&storage, is_clustered, &mut findings);
    }
    Ok(findings.output(cx, EXIT_FAILED))
}

const CONFIGURATION: &str = "correct it; `onceward --print-config` shows each value and its source, \
                             docs/reference/configuration.md each key";

const AS_ROOT: &str = "run it as root: the rest of the configuration and the gateways were not examined";

fn configuration(loaded: &Loaded, cx: &Context, findings: &mut Findings) {
    for warning in &loaded.warnings {
        findings.add("configuration", warn(warning, CONFIGURATION));
    }
    match server::check(&loaded.settings) {
        Ok(of_certificate) if loaded.warnings.is_empty() && of_certificate.is_empty() => {
            findings.add("configuration", ok("valid"));
        }
        Ok(of_certificate) => {
            for warning in of_certificate {
                findings.add("configuration", warn(warning, "see docs/operate/tls.md"));
            }
        }
        Err(error) => findings.add("configuration", fail(error.to_string(), CONFIGURATION)),
    }
    if let Some(exposed) = &loaded.settings.registry.unless_keys {
        let found = if keys::has_live(cx) {
            ok("callers need an API key, and there is one")
        } else {
            let remedy =
                "run `onceward keys list`, and create a key with `onceward keys create` if there is none";
            warn(keys::missing_warning(&loaded.settings, exposed), remedy)
        };
        findings.add("access", found);
    }
}
