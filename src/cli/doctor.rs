//! `onceward doctor`: looks at the configuration, the data directory, the clock, the gateways, the certificate and the
//! cluster, and says what to do about each finding. Changes nothing, sends no message, and works with and without a server.

mod cluster;
mod data;
mod gateways;
mod standards;

use std::fmt::Write as _;
use std::process::Command;

use serde::Serialize;
use serde_json::json;

use super::args::DoctorArgs;
use super::{CommandError, CommandOutput, EXIT_FAILED, has_live_key, json_line, missing_key_warning};
use crate::app;
use crate::clock::{Clock, SystemClock};
use crate::config::{self, Loaded, Sources};

/// The result of one check, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    Warn,
    Fail,
}

#[derive(Debug, Serialize)]
struct Finding {
    check: String,
    verdict: Verdict,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn ok(&mut self, check: impl Into<String>, detail: impl Into<String>) {
        self.add(Verdict::Ok, check, detail, None);
    }

    fn warn(&mut self, check: impl Into<String>, detail: impl Into<String>, remedy: &str) {
        self.add(Verdict::Warn, check, detail, Some(remedy));
    }

    fn fail(&mut self, check: impl Into<String>, detail: impl Into<String>, remedy: &str) {
        self.add(Verdict::Fail, check, detail, Some(remedy));
    }

    fn add(
        &mut self,
        verdict: Verdict,
        check: impl Into<String>,
        detail: impl Into<String>,
        remedy: Option<&str>,
    ) {
        let (check, detail, remedy) = (check.into(), detail.into(), remedy.map(str::to_owned));
        self.0.push(Finding { check, verdict, detail, remedy });
    }

    fn worst(&self) -> Verdict {
        self.0.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Ok)
    }

    fn text(&self, colors: bool) -> String {
        let mut text = String::new();
        for Finding { check, verdict, detail, remedy, .. } in &self.0 {
            let (word, color) = match verdict {
                Verdict::Ok => ("ok  ", "\x1b[32m"),
                Verdict::Warn => ("warn", "\x1b[33m"),
                Verdict::Fail => ("fail", "\x1b[31m"),
            };
            let (color, end) = if colors { (color, "\x1b[0m") } else { ("", "") };
            // Further lines begin where the remedy does.
            let detail = detail.replace('\n', "\n  ");
            // Writing to a text cannot fail.
            let _ = writeln!(text, "{color}{word}{end}  {check}: {detail}");
            if let Some(remedy) = remedy {
                let _ = writeln!(text, "      {remedy}");
            }
        }
        text
    }
}

pub fn run(args: &DoctorArgs, sources: &Sources, colors: bool) -> Result<CommandOutput, CommandError> {
    let (mut findings, clock) = (Findings::default(), SystemClock::start());
    let loaded = config::load(sources);
    match &loaded {
        Ok(loaded) => {
            configuration(loaded, sources, &clock, &mut findings);
            gateways::examine(&loaded.settings, &clock, args.online, &mut findings)?;
            standards::compare(&loaded.settings, &mut findings);
            cluster::examine(&loaded.settings, &mut findings)?;
        }
        Err(errors) => {
            let is_denied = config::env_file_is_denied(&sources.working_dir);
            let remedy = if is_denied { AS_ROOT } else { CONFIGURATION };
            for warning in errors.warnings() {
                findings.warn("configuration", warning, remedy);
            }
            for error in errors.iter() {
                findings.fail("configuration", error.to_string(), remedy);
            }
        }
    }
    synchronized(&mut findings);
    // The place of the data can be known although another setting is wrong.
    let is_clustered = match &loaded {
        Ok(loaded) => loaded.settings.cluster.is_some(),
        Err(_) => config::load_records(sources).is_ok_and(|(_, cluster)| cluster.is_some()),
    };
    if let Ok(storage) = config::load_storage(sources) {
        data::examine(&storage, is_clustered, &clock, &mut findings);
    }
    let worst = findings.worst();
    let out = if args.json {
        json_line(&json!({"verdict": worst, "checks": findings.0}))
    } else {
        findings.text(colors)
    };
    let code = if worst == Verdict::Fail { EXIT_FAILED } else { 0 };
    Ok(CommandOutput { code, ..CommandOutput::of(out) })
}

/// Whether the kernel says that a time service keeps its clock. Only `adjtimex` knows, which no safe library has;
/// `timedatectl` asks it, whichever service runs.
fn synchronized(findings: &mut Findings) {
    let asked = Command::new("timedatectl").args(["show", "--property=NTPSynchronized", "--value"]).output();
    let answer = asked.map(|asked| String::from_utf8_lossy(&asked.stdout).trim().to_owned());
    match answer.as_deref() {
        Ok("yes") => findings.ok("clock", "synchronized with a time server, says timedatectl"),
        Ok("no") => findings.warn(
            "clock",
            "not synchronized with a time server, says timedatectl",
            "run a time service (systemd-timesyncd, chrony): lockouts and codes over a restart, signatures of \
             webhooks, and certificates depend on the clock",
        ),
        _ => findings.ok("clock", "synchronization not examined: timedatectl does not answer"),
    }
}

const CONFIGURATION: &str = "correct it; `onceward --print-config` shows each value and its source, \
                             docs/reference/configuration.md each key";

const AS_ROOT: &str = "run it as root: the rest of the configuration and the gateways were not examined";

fn configuration(loaded: &Loaded, sources: &Sources, clock: &dyn Clock, findings: &mut Findings) {
    for warning in &loaded.warnings {
        findings.warn("configuration", warning, CONFIGURATION);
    }
    match app::check(&loaded.settings) {
        Ok(_) if loaded.warnings.is_empty() => findings.ok("configuration", valid(sources)),
        Ok(_) => {}
        Err(error) => findings.fail("configuration", error.to_string(), CONFIGURATION),
    }
    if loaded.settings.registry.unless_keys.is_some() && has_live_key(sources) {
        findings.ok("access", "callers need an API key, and there is one");
    } else if let Some(exposed) = &loaded.settings.registry.unless_keys {
        findings.warn(
            "access",
            missing_key_warning(&loaded.settings, exposed),
            "run `onceward keys list`, and make a key with `onceward keys create` if there is none",
        );
    }
    match app::check_certificate(&loaded.settings, clock) {
        None => findings
            .ok("certificate", "none is configured: the server speaks cleartext, for loopback or a proxy"),
        // The configuration has said why.
        Some(Err(_)) => {}
        Some(Ok((expires, warnings))) if warnings.is_empty() => {
            findings.ok("certificate", format!("valid until {expires}"));
        }
        Some(Ok((_, warnings))) => {
            for warning in warnings {
                findings.warn("certificate", warning, "see docs/operate/tls.md");
            }
        }
    }
}

/// Says which directory was searched if it has no config.json, which no option named.
fn valid(sources: &Sources) -> String {
    let file = sources.working_dir.join("config.json");
    if sources.config_file.is_some() || file.exists() {
        return "valid".to_owned();
    }
    let file = std::path::absolute(&file).unwrap_or(file);
    let directory = file.parent().unwrap_or(&file).display();
    format!(
        "valid, without config.json: {directory} has none; if the server has one, run the command in its directory, or name \
         it with --config"
    )
}
