//! Runs the targets of the folder above under libFuzzer, which keeps and changes inputs that reach new code.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

#[path = "../targets/mod.rs"]
mod targets;

static TARGET: OnceLock<targets::Target> = OnceLock::new();

fuzz_target!(|input: &[u8]| {
    let target = TARGET.get_or_init(|| {
        let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
        targets::find(&name)
            .unwrap_or_else(|| panic!("FUZZ_TARGET={name:?} is no target of tests/fuzz/targets/mod.rs"))
    });
    target(input);
});
