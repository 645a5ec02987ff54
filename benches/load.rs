//! `cargo bench --bench load -- OPTIONS` builds `onceward-bench` and runs it with OPTIONS against the server of this
//! build.

use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let options: Vec<String> = std::env::args().skip(1).collect();
    // Test runners start every benchmark once without `--bench`, to see that it ends.
    if !options.iter().any(|option| option == "--bench") {
        return ExitCode::SUCCESS;
    }
    let mut command = Command::new(env!("CARGO"));
    command.args(["run", "--quiet", "--release", "--package", "onceward-bench", "--"]);
    let named =
        |name: &str| options.iter().any(|option| option == name || option.starts_with(&format!("{name}=")));
    if !named("--onceward") {
        command.args(["--onceward", env!("CARGO_BIN_EXE_onceward")]);
    }
    if !named("--disk") {
        command.args(["--disk", env!("CARGO_TARGET_TMPDIR")]);
    }
    let status = command.args(options.iter().filter(|option| *option != "--bench")).status();
    let code = status.ok().and_then(|status| status.code()).and_then(|code| u8::try_from(code).ok());
    ExitCode::from(code.unwrap_or(1))
}
