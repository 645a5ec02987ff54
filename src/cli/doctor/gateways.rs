//! The gateways: credentials and senders, asked by requests that cost nothing; and the address that providers report
//! to.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use hyper::StatusCode;
use reqwest::{Method, Request};
use tokio::time::timeout;
use url::Url;

use super::super::context::runtime;
use super::super::error::CommandError;
use super::super::findings::{Findings, Found, fail, ok, warn};
use crate::clock::{Clock, SystemClock};
use crate::config::Settings;
use crate::delivery::Routed;
use crate::domain::{GatewayName, Timestamp};
use crate::gateway::{AccountFinding, CallbackKind, ErrorClass, HttpClient, NoResponse};
use crate::http;
use crate::net::is_loopback_host;
use crate::node::build_gateways;

/// For all requests to one gateway.
const WITHIN: Duration = Duration::from_secs(20);

/// A provider's clock that differs by more shows that this machine's is wrong.
const TOLERANCE: Duration = Duration::from_secs(30);

pub(super) fn examine(
    settings: &Settings,
    clock: &SystemClock,
    online: bool,
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
    let runtime = runtime()?;
    let answers = runtime.block_on(join_all(asked));
    for (name, is_used, found) in answers {
        match found {
            Ok(found) if found.is_empty() => findings.add(format!("gateway {name}"), silent(name)),
            Ok(found) => found.into_iter().for_each(|found| one(name, is_used, found, clock, findings)),
            Err(_) => {
                let detail = format!("did not answer within {} s", WITHIN.as_secs());
                findings.add(format!("gateway {name}"), problem(is_used, detail, REACH));
            }
        }
    }
    let Some(url) = settings.delivery.public_url.as_deref() else {
        findings.add("callbacks", ok("public-url is not set: no provider reports to this server"));
        return Ok(());
    };
    let parsed = Url::parse(url).ok();
    let is_here = parsed.as_ref().and_then(Url::host_str).is_some_and(is_loopback_host);
    if is_here {
        let found = warn(
            format!("public-url leads to this machine, where no provider can report: {url}"),
            "name the address under which the internet reaches this server",
        );
        findings.add("callbacks", found);
    }
    if online {
        let has_path = parsed.is_some_and(|url| url.path() != "/");
        findings.add("callbacks", runtime.block_on(callbacks(url, has_path)));
    } else if !is_here {
        findings.add("callbacks", ok(format!("{url}; not asked: --online asks it")));
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

/// Asks the public address as a provider would, but from this machine. A proxy passes what is below /callbacks/ from
/// everywhere. The server answers 405, because Twilio posts its reports; without a gateway that reports, 404. It also
/// answers 404 if the address has a path that no proxy removes.
async fn callbacks(public_url: &str, has_path: bool) -> Found {
    const REMEDY: &str =
        "start the server; let the proxy in front pass the paths below public-url; check its name in the DNS";
    let address = format!("{}{}", public_url.trim_end_matches('/'), CallbackKind::Message.path());
    let asked = async {
        let url = Url::parse(&address).map_err(|error| error.to_string())?;
        let client = HttpClient::for_target(&url).map_err(|error| error.to_string())?;
        client.send(Request::new(Method::GET, url)).await.map_err(NoResponse::into_reason)
    };
    match timeout(WITHIN, asked).await {
        Ok(Ok(answer)) => {
            let is_unknown = answer.is_answer(StatusCode::NOT_FOUND, http::NOT_FOUND);
            let is_known =
                answer.is_answer(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed. Allowed here: POST.");
            let status = answer.status.as_u16();
            match (is_known, is_unknown, has_path) {
                (true, ..) | (_, true, false) => ok(format!("{address} answers as onceward does")),
                (_, true, true) => warn(
                    format!("{address} is no path of onceward, or it has no gateway that reports"),
                    "let the proxy in front remove the path of public-url, or remove it from public-url",
                ),
                _ => fail(format!("{address} answers HTTP {status}, and not as onceward does"), REMEDY),
            }
        }
        Ok(Err(why)) => fail(format!("{address}: {why}"), REMEDY),
        Err(_) => fail(format!("{address}: no answer within {} s", WITHIN.as_secs()), REMEDY),
    }
}
