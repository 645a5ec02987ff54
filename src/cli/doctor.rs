//! `onceward doctor`: looks at the configuration, the data directory, the clock, the gateways and the certificate,
//! and says what to do about each finding. Changes nothing, sends no message, and works with and without a server.

mod data;
mod gateways;

use serde_json::Value;

use super::answer::CommandOutput;
use super::client::Client;
use super::context::Context;
use super::error::CommandError;
use super::findings::{Findings, fail, ok, warn};
use super::keys;
use crate::clock::{Clock, SystemClock};
use crate::config::{self, Loaded, Settings};
use crate::http::answers::ServerAnswer;
use crate::http::tls;
use crate::server::{self, EXIT_FAILED};

pub fn run(online: bool, cx: &Context) -> Result<CommandOutput, CommandError> {
    let (mut findings, clock) = (Findings::default(), SystemClock::start());
    let loaded = config::load(&cx.sources);
    match &loaded {
        Ok(loaded) => {
            configuration(loaded, cx, &clock, &mut findings);
            gateways::examine(&loaded.settings, &clock, online, &mut findings)?;
        }
        Err(errors) => {
            let is_denied = config::env_file_is_denied(&cx.sources.working_dir);
            let remedy = if is_denied { AS_ROOT } else { CONFIGURATION };
            for warning in errors.warnings() {
                findings.add("configuration", warn(warning, remedy));
            }
            for error in errors.iter() {
                findings.add("configuration", fail(error.to_string(), remedy));
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
        if let Ok(client) = Client::of(&storage.data_dir) {
            low_tables(&client, &mut findings);
            if let Ok(Loaded { settings, .. }) = &loaded {
                open_routes(settings, &client, &mut findings);
            }
        }
    }
    Ok(findings.output(cx, EXIT_FAILED))
}

const CONFIGURATION: &str = "correct it; `onceward --print-config` shows each value and its source, \
                             docs/reference/configuration.md each key";

const AS_ROOT: &str = "run it as root: the rest of the configuration and the gateways were not examined";

fn configuration(loaded: &Loaded, cx: &Context, clock: &dyn Clock, findings: &mut Findings) {
    for warning in &loaded.warnings {
        findings.add("configuration", warn(warning, CONFIGURATION));
    }
    match server::check(&loaded.settings) {
        Ok(_) if loaded.warnings.is_empty() => findings.add("configuration", ok("valid")),
        Ok(_) => {}
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
    match loaded.settings.tls.as_ref().map(|files| tls::check(files, clock.wall())) {
        None => {
            let detail = "none is configured: the server speaks cleartext, for loopback or a proxy";
            findings.add("certificate", ok(detail));
        }
        // The configuration has said why.
        Some(Err(_)) => {}
        Some(Ok((expires, warnings))) if warnings.is_empty() => {
            findings.add("certificate", ok(format!("valid until {expires}")));
        }
        Some(Ok((_, warnings))) => {
            for warning in warnings {
                findings.add("certificate", warn(warning, "see docs/operate/tls.md"));
            }
        }
    }
}

/// For whom the running server sends messages at the operator's cost, as the log of its start says.
fn open_routes(settings: &Settings, client: &Client, findings: &mut Findings) {
    let Ok(server) = client.get::<ServerAnswer>("/local/Server", &[]) else { return };
    if server.compatible_routes_need_key == Some(false) && !settings.gateways.only_simulator() {
        let detail =
            format!("/api/*, /send-code and /verify-code are open without a credential: {}", server::SENDS);
        findings.add("access", warn(detail, server::close_routes(&settings.registry)));
    }
    for service in server.without_budget {
        let detail = format!("a key with the scope messages is for {service}: {}", server::WITHOUT_BUDGET);
        findings.add("budget", warn(detail, server::SET_BUDGET));
    }
}

/// Tables of the running server that may soon refuse new records.
fn low_tables(client: &Client, findings: &mut Findings) {
    let ready = client.get::<Value>("/readyz", &[]).unwrap_or_default();
    for table in ready["data"]["tables"].as_array().into_iter().flatten() {
        let name = table["name"].as_str().unwrap_or_default();
        let detail = format!(
            "{name}: {} are stored, and a service may have {}; beyond it requests that need a new one are refused",
            table["held"], table["limit"]
        );
        let remedy = "docs/operate/sizing.md says what fills the table and how long a record stays";
        findings.add("tables", warn(detail, remedy));
    }
}
