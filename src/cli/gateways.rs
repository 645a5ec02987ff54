//! `onceward gateways`: the gateways and recipes with what they need, and a trial of one with a real message.

use std::io::{self, BufRead as _, Write as _};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::answer::{CommandOutput, cell, list, one, text};
use super::client::segment;
use super::context::Context;
use super::error::CommandError;
use crate::clock::{Clock as _, Stopwatch, SystemClock};
use crate::config::{self, built_in_gateways};
use crate::domain::{GatewayName, PhoneNumber};
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
    /// Send one real message through a gateway, wait for the provider's receipt, and print a row for the table of
    /// docs/reference/gateways.md, or with --json the message as `onceward tracker` does.
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

    /// Try this gateway first, which must refuse the message, such as one with a wrong key: shows that the other one
    /// takes over.
    #[arg(long, value_name = "NAME")]
    after: Option<String>,

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
    let TryArgs { name, number, after, channel, yes, wait } = args;
    let client = cx.client()?;
    if !yes && !confirmed(&format!("Send a message through {name} to {number}? It may cost money. [y/N] ")) {
        return Err(CommandError::Usage("nothing was sent; answer y, or give --yes".to_owned()));
    }
    let fields = [("To", Some(number.clone())), ("After", after.clone()), ("Channel", channel.clone())];
    let tried: Value = client.post(&format!("/local/Gateways/{}/Messages", segment(name)), &fields)?;
    let query = [("Number", Some(number.clone())), ("Limit", Some("100".to_owned()))];
    let through = |gateway: &str| {
        let found: Vec<Value> = client.get("/local/Messages", &query)?;
        let is_own = |message: &Value| text(message, "attempt").starts_with(text(&tried, "attempts"));
        let is_it = |message: &Value| message["gateway"] == gateway && is_own(message);
        Ok::<_, CommandError>(found.into_iter().find(is_it))
    };
    let mut shown = through(name)?;
    let first = after.as_deref().map(through).transpose()?.flatten();
    let is_sent = shown.as_ref().is_some_and(|message| message["send_status"] == "sent");
    let stopwatch = Stopwatch::start();
    while is_sent
        && !matches!(receipt(shown.as_ref()), Some("delivered" | "read" | "failed"))
        && stopwatch.elapsed() < Duration::from_secs(*wait)
    {
        thread::sleep(Duration::from_millis(500));
        shown = through(name)?;
    }
    let code = if is_sent && receipt(shown.as_ref()) != Some("failed") { 0 } else { EXIT_FAILED };
    let words = |shown: &Option<Value>| row(args, shown.as_ref(), first.as_ref(), cx);
    let err = tried["error"].as_str().map_or_else(String::new, |error| format!("{error}\n"));
    Ok(CommandOutput { code, err, ..one(&shown, cx.json, words) })
}

/// A row for the table of tried gateways.
fn row(args: &TryArgs, message: Option<&Value>, first: Option<&Value>, cx: &Context) -> String {
    let sent = |message: &Value| match &message["error_code"] {
        Value::Null => text(message, "send_status").to_owned(),
        code => format!("{} ({code})", text(message, "send_status")),
    };
    let cells = [
        provider(&args.name, cx),
        cell(PhoneNumber::parse(&args.number, None).ok().and_then(PhoneNumber::region)),
        env!("CARGO_PKG_VERSION").to_owned(),
        SystemClock::start().wall().rfc3339_seconds().to_string().chars().take(10).collect(),
        message.map_or_else(|| "not asked".to_owned(), sent),
        receipt(message).unwrap_or("none").to_owned(),
        first.map_or_else(
            || "not tried".to_owned(),
            |first| format!("{}: {}", provider(text(first, "gateway"), cx), sent(first)),
        ),
    ];
    format!("| {} |\n", cells.join(" | "))
}

/// The recipe of a gateway, else its name.
fn provider(gateway: &str, cx: &Context) -> String {
    let rows = config::load(&cx.sources).map(|loaded| loaded.effective).unwrap_or_default();
    let recipe = rows.iter().find(|row| row.key.strip_prefix("gateways.") == Some(gateway));
    recipe.and_then(|row| row.value["recipe"].as_str()).unwrap_or(gateway).to_owned()
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
