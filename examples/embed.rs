//! Verification inside another program, without HTTP and with the same exact counts.
//!
//! `cargo run --example embed` sends codes to the simulator, which keeps messages in memory. Its state, a journal and a
//! snapshot, is in a directory of the system's temporary files. The example prints the answer to each submitted code,
//! and shows that a restart forgets neither a wrong code nor a used one.

use std::error::Error;
use std::path::Path;

use onceward_library::otp::{AttemptQuery, Otp, StartError, Verified};

const NUMBER: &str = "+14155550123";

/// Runs the example; a test of this project calls it too.
#[tokio::main]
pub async fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::temp_dir().join(format!("onceward-embed-{}", std::process::id()));
    let otp = start(&directory).await?;

    let sent = otp.send_sms(NUMBER).await?;
    tell(&format!(
        "sent to the inbox as {}; {} wrong codes are allowed",
        sent.message_id, sent.attempts_left
    ));
    let code = otp.inbox_code(NUMBER).ok_or("nothing is in the inbox")?;
    let wrong = otp.verify(NUMBER, &other_than(&code)).await;
    show("a wrong code", &wrong);
    assert_eq!(wrong.attempts_left, Some(4));

    tell("stopped, and started again on the same directory");
    otp.stop().await?;
    let otp = start(&directory).await?;

    let wrong = otp.verify(NUMBER, &other_than(&code)).await;
    show("a wrong code", &wrong);
    assert_eq!(wrong.attempts_left, Some(3), "the first one still counts");
    let right = otp.verify(NUMBER, &code).await;
    show("the right code", &right);
    assert!(right.code_valid, "it was sent before the restart, and is still good");
    let again = otp.verify(NUMBER, &code).await;
    show("the same code again", &again);
    assert!(!again.code_valid, "a code works once");

    for row in otp.attempts(&AttemptQuery::newest(10)).await? {
        let (sent, verified) = (row.attempt.status.as_str(), row.verify_status.as_str());
        tell(&format!(
            "the attempts: {} to {}, {sent}, {verified}",
            row.attempt.channel.as_str(),
            row.number
        ));
    }
    otp.stop().await?;
    std::fs::remove_dir_all(directory)?;
    Ok(())
}

async fn start(directory: &Path) -> Result<Otp, StartError> {
    Otp::builder(directory).set("brand", "Acme").start().await
}

fn show(what: &str, verified: &Verified) {
    tell(&format!(
        "{what}: request valid {}, code valid {}, attempts left {:?}, error {:?}",
        verified.request_valid, verified.code_valid, verified.attempts_left, verified.error
    ));
}

#[expect(clippy::print_stdout, reason = "the purpose of the example")]
fn tell(line: &str) {
    println!("{line}");
}

/// A code that differs in its last digit.
fn other_than(code: &str) -> String {
    let (head, last) = code.split_at(code.len() - 1);
    let digit: u32 = last.parse().unwrap_or(0);
    format!("{head}{}", (digit + 1) % 10)
}
