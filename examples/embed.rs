//! Verification inside another program: no HTTP, the same exact counts.
//!
//! `cargo run --example embed` sends codes to the simulator, keeps its state in a directory of the
//! system's temporary files, and shows what each submitted code is answered.

use std::error::Error;

use onceward::otp::{Otp, Verified};

const NUMBER: &str = "+14155550123";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::temp_dir().join(format!("onceward-embed-{}", std::process::id()));
    let otp = Otp::builder(&directory).brand("Acme").message("{brand}: your code is {code}").start().await?;

    let sent = otp.send_sms(NUMBER).await?;
    tell(&format!(
        "sent to the inbox as {}; {} wrong codes are allowed",
        sent.message_id(),
        sent.attempts_left()
    ));
    let code = otp.inbox_code(NUMBER).ok_or("nothing is in the inbox")?;

    show("a wrong code", &otp.verify(NUMBER, &other_than(&code)).await);
    show("the right code", &otp.verify(NUMBER, &code).await);
    show("the same code again", &otp.verify(NUMBER, &code).await);

    otp.stop().await?;
    std::fs::remove_dir_all(directory)?;
    Ok(())
}

fn show(what: &str, verified: &Verified) {
    tell(&format!(
        "{what}: request valid {}, code valid {}, attempts left {:?}, error {:?}",
        verified.request_valid(),
        verified.code_valid(),
        verified.attempts_left(),
        verified.error()
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
