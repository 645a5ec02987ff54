//! `onceward status` and `onceward unlock`: the state of one number, and the end of its lockout. Only the server knows the
//! one and can change the other.

use serde_json::json;

use super::answer::{ask_running, only, or_dash, table};
use super::args::NumberArgs;
use super::tracker::{e164, printable};
use super::{CommandError, CommandOutput, json_line};
use crate::app::control::{ControlRequest, NumberRequest, SendLine, StatusLine};
use crate::config::StorageSettings;
use crate::domain::Timestamp;
use crate::verify::{Cleared, VerificationStatus};

pub fn unlock(args: &NumberArgs, settings: &StorageSettings) -> Result<CommandOutput, CommandError> {
    let request = resolve(args, settings)?;
    let NumberRequest { number, service } = &request;
    let control = ControlRequest::Unlock(request.clone());
    let why = "only it can change the counts of a number";
    let cleared: Cleared = only(ask_running(&settings.data_dir, &control, why)?)?;
    if args.json {
        return Ok(CommandOutput::of(json_line(
            &json!({"number": number, "service": service, "was": cleared}),
        )));
    }
    Ok(CommandOutput::of(match cleared {
        Cleared::Locked => {
            format!("{number} is unlocked in the service {service}; an outstanding code is void\n")
        }
        Cleared::NotLocked => format!(
            "{number} was not locked in the service {service}; its wrong codes are cleared, and an outstanding code is void\n"
        ),
        Cleared::Unknown => {
            format!(
                "{number} is unknown in the service {service}: it has no lockout, and nothing was changed\n"
            )
        }
    }))
}

pub fn status(args: &NumberArgs, settings: &StorageSettings) -> Result<CommandOutput, CommandError> {
    let request = resolve(args, settings)?;
    let why = format!(
        "only it knows the verification and the lockout of a number; without it, `onceward \
         tracker --number {}` lists the messages",
        request.number
    );
    let control = ControlRequest::Status(request.clone());
    let lines = ask_running::<StatusLine>(&settings.data_dir, &control, &why)?;
    let NumberRequest { number, service } = request;
    Ok(CommandOutput::of(match lines.into_iter().next() {
        Some(status) if args.json => json_line(&status),
        Some(status) => text(status),
        None if args.json => json_line(&json!({"number": number, "service": service, "known": false})),
        None => format!(
            "{number} is unknown in the service {service}: it has no verification, no lockout and no messages\n"
        ),
    }))
}

fn resolve(args: &NumberArgs, settings: &StorageSettings) -> Result<NumberRequest, CommandError> {
    let number = e164(&args.request.number, "", settings)?;
    Ok(NumberRequest { number, service: args.request.service.clone() })
}

fn text(status: StatusLine) -> String {
    let StatusLine { number, service_sid, service_name, verification, .. } = &status;
    let mut lines = vec![format!("{number} in the service {service_name} ({service_sid})")];
    lines.push(match verification {
        None => "verification  none is known".to_owned(),
        Some(verification) => format!("verification  {}", described(verification)),
    });
    let in_a_row = counted(status.wrong_codes_in_a_row, "wrong code");
    lines.push(match status.locked_until {
        Some(until) => format!("lockout       until {}, {in_a_row} in a row", until.rfc3339_seconds()),
        None => format!("lockout       none, {in_a_row} in a row"),
    });
    let mut text = lines.join("\n") + "\n";
    if status.messages.is_empty() {
        text.push_str("messages      none are known\n");
    } else {
        text.push('\n');
        text.push_str(&table(HEADINGS, status.messages.into_iter().map(cells)));
    }
    text
}

fn described(verification: &VerificationStatus) -> String {
    let VerificationStatus { sid, status, begun, ends, sends, wrong_codes } = verification;
    let end = |ends: &Timestamp| format!(", ends {}", ends.rfc3339_seconds());
    let wrong_codes = wrong_codes.map(|codes| format!(", {}", counted(codes, "wrong code")));
    format!(
        "{} {sid}, begun {}{}, {}{}",
        status.as_str(),
        begun.rfc3339_seconds(),
        ends.as_ref().map(end).unwrap_or_default(),
        counted(*sends, "message"),
        wrong_codes.unwrap_or_default(),
    )
}

fn counted(count: u8, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

const HEADINGS: [&str; 8] = ["TIME", "TYPE", "GATEWAY", "SEND", "VERIFY", "RECEIPT", "ERROR", "MESSAGE-ID"];

fn cells(line: SendLine) -> [String; HEADINGS.len()] {
    [
        line.time,
        line.channel,
        line.gateway,
        line.send_status,
        line.verify_status,
        or_dash(line.receipt_status),
        or_dash(line.error_code.map(|code| code.to_string())),
        or_dash(line.message_id.as_deref().map(printable)),
    ]
}
