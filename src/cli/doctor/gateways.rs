//! The gateways: credentials and senders, asked by requests that cost nothing.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::timeout;

use super::super::context::runtime;
use super::super::error::CommandError;
use super::super::findings::{Findings, Found, fail, ok, warn};
use crate::clock::{Clock, SystemClock};
use crate::config::Settings;
use crate::delivery::Routed;
use crate::domain::{GatewayName, Timestamp};
use crate::gateway::{AccountFinding, ErrorClass};
use crate::node::build_gateways;

/// For all requests to one gateway.
const WITHIN: Duration = Duration::from_secs(20);

/// A provider's clock that differs by more shows that this machine's is wrong.
const TOLERANCE: Duration = Duration::from_secs(30);

pub(super) fn examine(
    settings: &Settings,
    clock: &SystemClock,
    findings: &mut Findings,
) -> Result<(), CommandError> {
    let shared: Arc<dyn Clock> = Arc::new(SystemClock::start());
    // The configuration has said what is wrong with them.
    let Ok(built) = build_gateways(&settings.gateways, &shared) else { return Ok(()) };
    let asked = built.routed.iter().map(async |Routed { routed_as, gateway }| {
        // One outside the order sends nothing: a server works without it.
        let is_used = settings.gateways.routing.names(*routed_as);
        (gateway.name(), is_used, timeout(WITHIN, gateway.examine_account()).await)
    });
    for (name, is_used, found) in runtime()?.block_on(join_all(asked)) {
        match found {
            Ok(found) if found.is_empty() => findings.add(format!("gateway {name}"), silent(name)),
            Ok(found) => found.into_iter().for_each(|found| one(name, is_used, found, clock, findings)),
            Err(_) => {
                let detail = format!("did not answer within {} s", WITHIN.as_secs());
                findings.add(format!("gateway {name}"), problem(is_used, detail, REACH));
            }
        }
    }
    Ok(())
}

const REACH: &str = "let this machine reach the provider: name resolution, firewall, HTTPS_PROXY";

/// Of a gateway outside the order only a warning.
fn problem(is_used: bool, detail: String, remedy: &str) -> Found {
    if is_used {
        fail(detail, remedy)
    } else {
        warn(detail, "it is not in otp-sms-provider and sends nothing: correct its settings, or remove them")
    }
}

fn silent(name: GatewayName) -> Found {
    ok(if name == GatewayName::Simulator {
        "sends no message: it shows codes on a page of this machine"
    } else {
        "configured; checking the credentials is not possible without a message"
    })
}

fn one(
    name: GatewayName,
    is_used: bool,
    found: AccountFinding,
    clock: &SystemClock,
    findings: &mut Findings,
) {
    let AccountFinding { part, asked, state, date } = found;
    let found = match state {
        Ok(state) => ok(format!("{state} ({asked})")),
        Err(error) => {
            let remedy = match error.class {
                ErrorClass::Configuration => {
                    "correct the setting, or the account at the provider; docs/reference/gateways.md"
                }
                ErrorClass::Retry { .. } => REACH,
                _ => "check the address of the gateway; try again, or ask the provider",
            };
            problem(is_used, format!("{error} ({asked})"), remedy)
        }
    };
    findings.add(format!("gateway {name}, {}", part.as_str()), found);
    let theirs = date.and_then(Timestamp::from_system_time);
    let (ours, theirs) = (clock.wall(), theirs.unwrap_or(clock.wall()));
    let apart = ours.since(theirs).max(theirs.since(ours));
    if apart > TOLERANCE {
        let detail = format!("this machine's clock and that of {name} are {} s apart", apart.as_secs());
        findings.add("clock", warn(detail, "synchronize the clock (NTP): `timedatectl` shows its state"));
    }
}
