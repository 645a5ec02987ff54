//! `onceward gateways`: the gateways and recipes with what they need, and a trial of one with a real message.

use std::io::{self, BufRead as _, Write as _};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::answer::{CommandOutput, list, one, table};
use super::client::segment;
use super::context::Context;
use super::error::CommandError;
use super::tracker::COLUMNS as COLUMNS_OF_MESSAGES;
use crate::clock::Stopwatch;
use crate::config::{self, built_in_gateways};
use crate::domain::GatewayName;
use crate::gateway::{ProviderSettings, Recipe};
use crate::registry::gateway_sid;
use crate::server::EXIT_FAILED;

#[derive(Debug, clap::Args)]
pub struct GatewaysArgs {
    #[command(subcommand)]
    command: Option<GatewaysCommand>,
}

#[derive(Debug, clap::Subcommand)]
enum GatewaysCommand {
    /// Send one real message through a gateway, wait for the provider's receipt, and print what `onceward tracker` has.
    ///
    /// The code in the message verifies nothing. The server must run on the data directory.
    Try(TryArgs),

    /// Show what came of the messages of each gateway in each country in the last seven days, its share of today's, and the
    /// share that an order by results gives it, unless a rule puts it first.
    ///
    /// "saved" is what its messages cost, less what as many verified numbers would have cost by the shares of results.
    /// The server must run on the data directory.
    Results {
        /// Only those of this service: its id (VA...), its name in config.json, its friendly name, or "default".
        #[arg(long, value_name = "NAME|VA..")]
        service: Option<String>,
    },
}

#[derive(Debug, clap::Args)]
struct TryArgs {
    /// The gateway's name.
    name: String,

    /// The number that gets the message, such as +14155552671.
    number: String,

    /// The channel; without it the one that the default service begins with.
    #[arg(long)]
    channel: Option<String>,

    /// Do not ask before the message is sent.
    #[arg(long)]
    yes: bool,

    /// Seconds to wait for the receipt.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(0..=600))]
    wait: u64,
}

pub fn run(args: GatewaysArgs, cx: &Context) -> Result<CommandOutput, CommandError> {
    match args.command {
        None => Ok(list_all(cx)),
        Some(GatewaysCommand::Try(args)) => try_one(&args, cx),
        Some(GatewaysCommand::Results { service }) => {
            let mut rows: Vec<Value> = cx.client()?.get("/local/Results", &[("Service", service)])?;
            for row in rows.iter_mut().filter(|_| !cx.json) {
                row["share_percent"] = row["share_percent"][6].clone();
                for (column, micros) in [("each_verified", "micros_each_verified"), ("saved", "saved_micros")]
                {
                    let money = row[micros].as_i64().map(|micros| {
                        let sign = if micros < 0 { "-" } else { "" };
                        format!("{sign}{}", config::money_text(micros.unsigned_abs()))
                    });
                    row[column] = money.into();
                }
            }
            Ok(list(&rows, cx.json, "no messages", RESULTS))
        }
    }
}

const RESULTS: &str = "service country channel gateway messages verified_percent median_seconds each_verified \
     share_percent sender by_rule results_percent saved";

const COLUMNS: &str = "name channels needs may_have receipts messaging_service_sid about";

fn list_all(cx: &Context) -> CommandOutput {
    let configured = config::load(&cx.sources).map(|loaded| loaded.settings.gateways.providers);
    let configured = configured.iter().flatten().map(ProviderSettings::name);
    let named = configured.filter(|name| matches!(name, GatewayName::Named(_)));
    let named = named.map(|name| (name, "nothing more".to_owned()));
    let gateway = |(name, needs)| {
        let sid = gateway_sid(name);
        json!({"gateway": name, "name": name, "needs": needs, "messaging_service_sid": sid})
    };
    let gateways = built_in_gateways().into_iter().chain(named).map(gateway);
    let recipes = Recipe::all().map(|(name, recipe)| {
        let named = |needed: bool| {
            let settings =
                recipe.settings.iter().filter(move |(_, setting)| setting.default.is_none() == needed);
            settings.map(|(name, _)| name.as_str()).collect::<Vec<_>>()
        };
        let channels: Vec<_> = recipe.channels().iter().map(|channel| channel.as_str()).collect();
        json!({"recipe": name, "name": format!("recipe {name}"), "about": recipe.about, "channels": channels,
            "needs": named(true), "may_have": named(false), "receipts": recipe.gateway.receipts.is_some(),
            "account": recipe.gateway.account.is_some(), "notes": recipe.notes, "sources": recipe.sources})
    });
    list(&gateways.chain(recipes).collect::<Vec<_>>(), cx.json, "none", COLUMNS)
}

/// Sends, waits and prints. The exit code is 70 if the message was refused or did not arrive.
fn try_one(args: &TryArgs, cx: &Context) -> Result<CommandOutput, CommandError> {
    let TryArgs { name, number, channel, yes, wait } = args;
    let client = cx.client()?;
    if !yes && !confirmed(&format!("Send a message through {name} to {number}? It may cost money. [y/N] ")) {
        return Err(CommandError::Usage("nothing was sent; answer y, or give --yes".to_owned()));
    }
    let fields = [("To", Some(number.clone())), ("Channel", channel.clone())];
    let tried: Value = client.post(&format!("/local/Gateways/{}/Messages", segment(name)), &fields)?;
    let query = [("Number", Some(number.clone())), ("Limit", Some("1".to_owned()))];
    let newest = || client.get("/local/Messages", &query).map(|found: Vec<Value>| found.into_iter().next());
    let mut shown = newest()?;
    let stopwatch = Stopwatch::start();
    while tried["error"].is_null()
        && !matches!(receipt(shown.as_ref()), Some("delivered" | "read" | "failed"))
        && stopwatch.elapsed() < Duration::from_secs(*wait)
    {
        thread::sleep(Duration::from_millis(500));
        shown = newest()?;
    }
    let is_sent = tried["error"].is_null() && receipt(shown.as_ref()) != Some("failed");
    let code = if is_sent { 0 } else { EXIT_FAILED };
    let words = |shown: &Option<Value>| table(shown.as_slice(), COLUMNS_OF_MESSAGES);
    let err = tried["error"].as_str().map_or_else(String::new, |error| format!("{error}\n"));
    Ok(CommandOutput { code, err, ..one(&shown, cx.json, words) })
}

fn receipt(message: Option<&Value>) -> Option<&str> {
    message?["receipt_status"].as_str()
}

fn confirmed(question: &str) -> bool {
    let mut answer = String::new();
    let asked = io::stderr().write_all(question.as_bytes());
    let answered = asked.and_then(|()| io::stdin().lock().read_line(&mut answer));
    answered.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
}
