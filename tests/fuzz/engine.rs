//! Runs a target for `cargo test`: first its corpus, then changed copies for a short time.
//!
//! * `FUZZ_INPUT=file` runs a target on that file alone.
//! * `FUZZ_SEED=number` repeats the changes of an earlier run.
//! * `FUZZ_SECONDS=number` is the duration of the changes; 1 by default.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::targets::{self, Target};

/// The largest size of a changed input, in bytes.
const LONGEST: usize = 8 * 1024;

/// Runs the target with that name on its inputs.
///
/// # Panics
/// If the target does, after printing how to repeat it.
pub fn run(name: &str) {
    let target = targets::find(name).expect("a target of the table");
    if let Some(path) = std::env::var_os("FUZZ_INPUT") {
        let path = Path::new(&path);
        return target(&fs::read(path).unwrap_or_else(|error| panic!("read {}: {error}", path.display())));
    }
    let corpus = corpus(name);
    for input in &corpus {
        let repeat = || {
            format!(
                "FUZZ_INPUT={} cargo test -p onceward-testkit --test fuzz {name}",
                keep(name, input).display()
            )
        };
        watched(target, input, repeat);
    }
    changed(name, target, &corpus);
}

/// The inputs of a target's corpus, in the order of their names.
pub fn corpus(name: &str) -> Vec<Vec<u8>> {
    let archive = root().join("tests/fuzz/corpus").join(format!("{name}.tar.gz"));
    let folder = tempfile::tempdir().expect("a directory");
    let unpacked = Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(folder.path()).status();
    assert!(unpacked.expect("tar, which unpacks the corpora").success(), "{}", archive.display());
    let files = fs::read_dir(folder.path()).expect("the corpus");
    let mut files: Vec<_> = files.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files.iter().map(|path| fs::read(path).expect("a file")).collect()
}

#[expect(clippy::print_stdout, reason = "the test runner keeps it together with the failure")]
fn changed(name: &str, target: Target, corpus: &[Vec<u8>]) {
    let seed = number("FUZZ_SEED").unwrap_or(1);
    let time = Duration::from_secs(number("FUZZ_SECONDS").unwrap_or(1));
    println!("{name}: {} inputs, then changes for {time:?} with FUZZ_SEED={seed}", corpus.len());
    #[expect(
        clippy::disallowed_methods,
        reason = "bounds how long the changes go on; nothing is asserted of it"
    )]
    let begun = Instant::now();
    let mut random = StdRng::seed_from_u64(seed);
    let mut inputs = 0_u64;
    while begun.elapsed() < time {
        let input = another(&mut random, corpus);
        watched(target, &input, || {
            let kept = keep(name, &input);
            format!(
                "FUZZ_INPUT={} cargo test -p onceward-testkit --test fuzz {name} (or FUZZ_SEED={seed})",
                kept.display()
            )
        });
        inputs += 1;
    }
    println!("{name}: {inputs} changed inputs");
}

/// If the target panics, prints how to repeat it.
#[expect(clippy::print_stdout, reason = "the test runner keeps it together with the failure")]
fn watched(target: Target, input: &[u8], repeat: impl FnOnce() -> String) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(input))) {
        println!("the input: \"{}\"\nto repeat: {}", input.escape_ascii(), repeat());
        resume_unwind(panic);
    }
}

/// Keeps a failing input below `target`, where a clean-up removes it.
fn keep(name: &str, input: &[u8]) -> PathBuf {
    let folder = root().join("target/fuzz-found").join(name);
    let path = folder.join(format!("{:08x}", crc32c::crc32c(input)));
    fs::create_dir_all(&folder).and_then(|()| fs::write(&path, input)).expect("keep the input");
    path
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} must be a whole number")))
}

/// The repository's.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A changed copy of an input, or sometimes noise.
fn another(random: &mut StdRng, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut input = match corpus.len() {
        0 => Vec::new(),
        _ if random.random_ratio(1, 50) => noise(random),
        inputs => corpus[random.random_range(0..inputs)].clone(),
    };
    for _ in 0..random.random_range(1..=5) {
        change(random, &mut input, corpus);
        input.truncate(LONGEST);
    }
    input
}

fn noise(random: &mut StdRng) -> Vec<u8> {
    let length = random.random_range(0..64);
    (0..length).map(|_| random.random()).collect()
}

/// Bytes that parsers treat specially.
const TELLING: &[u8] = b"\0\r\n\t \"'\\{}[]():;,.+-=&%#@/?*<>_09azAZ\x7f\x80\xc3\xff";

fn change(random: &mut StdRng, input: &mut Vec<u8>, corpus: &[Vec<u8>]) {
    let at = random.random_range(0..=input.len());
    let end = (at + random.random_range(1..=16)).min(input.len());
    match random.random_range(0..8) {
        0 if at < input.len() => input[at] ^= 1 << random.random_range(0..8),
        1 if at < input.len() => input[at] = TELLING[random.random_range(0..TELLING.len())],
        2 => input.insert(at, TELLING[random.random_range(0..TELLING.len())]),
        3 => drop(input.drain(at..end)),
        4 => {
            let part = input[at..end].to_vec();
            let to = random.random_range(0..=input.len());
            input.splice(to..to, part);
        }
        5 => input.truncate(at),
        6 if !corpus.is_empty() => {
            let other = &corpus[random.random_range(0..corpus.len())];
            let from = random.random_range(0..=other.len());
            let to = (from + random.random_range(1..=64)).min(other.len());
            input.splice(at..end, other[from..to].iter().copied());
        }
        _ => {
            let bytes: [u8; 8] = random.random();
            let length = random.random_range(1..=8);
            input.splice(at..end, bytes[..length].iter().copied());
        }
    }
}
