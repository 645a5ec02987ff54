//! Libraries that stand between the program and the system, built with the C compiler that Rust links with
//! anyway.

use std::path::Path;
use std::process::Command;

use super::Setup;

/// Has the program load one of `tests/it/support/shims` before anything else.
pub fn preload(setup: Setup, shim: &str) -> Setup {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/support/shims").join(shim);
    let library = setup.home().join(shim).with_extension("so");
    let built = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).output();
    let built = built.expect("run cc, the C compiler, which Rust needs for linking");
    assert!(built.status.success(), "cc: {}", String::from_utf8_lossy(&built.stderr));
    setup.env("LD_PRELOAD", library.to_str().expect("a path in UTF-8"))
}
