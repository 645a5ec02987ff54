//! `onceward lookup`: what the numbering plans tell about a number. Asks no server.

use serde_json::json;

use super::answer::{CommandOutput, one};
use super::context::Context;
use super::error::CommandError;
use crate::domain::{LineType, NumberLookup};
use crate::server::EXIT_FAILED;

#[derive(Debug, clap::Args)]
pub struct LookupArgs {
    /// The number, such as +14155552671, or in the national form of the configured default-region.
    number: String,
}

/// Prints what is known; the exit code is 70 if no plan has the number.
pub fn run(args: &LookupArgs, cx: &Context) -> Result<CommandOutput, CommandError> {
    let number = NumberLookup::of(&args.number, cx.storage()?.default_region);
    let line_type = number.line_type.map(LineType::as_str);
    let region = number.region.map(|region| region.to_string());
    let answer = json!({
        "number": number.number,
        "country": region,
        "national_format": number.national_format,
        "valid": number.problem.is_none(),
        "problem": number.problem,
        "line_type": line_type,
    });
    let mut output = one(&answer, cx.json, |_| {
        let shown = |text: Option<&str>| text.unwrap_or("not known").to_owned();
        let valid = number.problem.map_or_else(|| "yes".to_owned(), |problem| format!("no: {problem}"));
        format!(
            "number   {}\ncountry  {}\nformat   {}\nvalid    {valid}\ntype     {}\n",
            number.number,
            shown(region.as_deref()),
            shown(number.national_format.as_deref()),
            shown(line_type),
        )
    });
    output.code = if number.problem.is_none() { 0 } else { EXIT_FAILED };
    Ok(output)
}
