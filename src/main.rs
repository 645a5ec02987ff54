//! The `onceward` program. Everything it does is in the library; this is the door.

use std::process::ExitCode;

fn main() -> ExitCode {
    onceward::cli::main()
}
