//! The `onceward` program. Everything it does is in the library; this is the door.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// Memory allocated on one thread is often freed on another: requests, decisions and answers cross
/// threads. The system's allocator takes a lock for each; see `docs/internals/performance.md`.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    onceward::cli::main()
}
