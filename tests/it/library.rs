//! The library: its example, and the instructions of a send and its check, counted by valgrind. Other work on the machine
//! changes the count by less than 1 %.

use std::env;
use std::ops::Range;
use std::process::Command;
use std::sync::mpsc;

use onceward::otp::Otp;
use tokio::runtime::{Builder, Runtime};

#[path = "../../examples/embed.rs"]
mod embed;

#[test]
fn the_example_runs_to_its_end() {
    embed::main().expect("every step of the example");
}

/// The last recorded figure: on the thread that serves, in the programs of the tests, where most of our code is not
/// optimised. Another compiler counts otherwise.
const RECORDED: u64 = 853_000;
const COMPILER: &str = "rustc 1.95.0";

const TEST: &str = "library::a_send_and_its_check_take_about_as_many_instructions_as_recorded";

/// Set in the process under valgrind.
const COUNTED: &str = "ONCEWARD_INSTRUCTIONS_COUNTED";

const NUMBERS: u64 = 40;

#[test]
fn a_send_and_its_check_take_about_as_many_instructions_as_recorded() {
    if env::var_os(COUNTED).is_some() {
        return serve();
    }
    let said = Command::new("rustc").arg("--version").output().map(|said| said.stdout);
    let compiler = String::from_utf8(said.unwrap_or_default()).unwrap();
    if !compiler.starts_with(COMPILER) || cfg!(not(all(debug_assertions, target_arch = "x86_64"))) {
        return println!(
            "SKIPPED: recorded with {COMPILER} on x86_64 without optimisation, this is {compiler}"
        );
    }
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--collect-atstart=no"]);
    valgrind.arg("--toggle-collect=it::library::send_and_check").arg(env::current_exe().unwrap());
    let Ok(ended) = valgrind.args(["--exact", TEST]).env(COUNTED, "1").output() else {
        return println!("SKIPPED: valgrind is not installed");
    };
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(ended.status.success(), "{said}{}", String::from_utf8_lossy(&ended.stdout));
    let count = said.lines().find_map(|line| line.split_once("Collected : ")).expect(&said).1;
    let now = count.parse::<u64>().unwrap() / NUMBERS;
    println!("{now} instructions");
    let bounds = RECORDED * 90 / 100..=RECORDED * 105 / 100;
    assert!(
        bounds.contains(&now),
        "{now} instructions, recorded were {RECORDED}: record the new figure if it is right. A stripped program has 0"
    );
}

fn serve() {
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    // Time stands still as long as a task blocks: timers would add instructions, and under valgrind, on a busy machine, a
    // start can take longer than a commit may.
    let (end, ended) = mpsc::channel::<()>();
    let blocked = runtime.spawn_blocking(move || ended.recv());
    let directory = tempfile::tempdir().unwrap();
    let otp = runtime.block_on(Otp::builder(directory.path()).start()).unwrap();
    // Tables are built at the first use.
    runtime.block_on(ask(&otp, 0..1));
    send_and_check(&runtime, &otp);
    drop(end);
    runtime.block_on(async {
        assert!(blocked.await.unwrap().is_err());
        tokio::time::resume();
        otp.stop().await.unwrap();
    });
}

/// Valgrind counts what this function does.
#[inline(never)]
fn send_and_check(runtime: &Runtime, otp: &Otp) {
    runtime.block_on(ask(otp, 1..NUMBERS + 1));
}

async fn ask(otp: &Otp, numbers: Range<u64>) {
    for number in numbers {
        let number = format!("+1415555{number:04}");
        otp.send_sms(&number).await.unwrap();
        let code = otp.inbox_code(&number).unwrap();
        assert!(otp.verify(&number, &code).await.code_valid);
    }
}
