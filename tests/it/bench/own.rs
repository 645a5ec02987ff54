//! Against servers of its own.

use std::time::Duration;

use rustix::process::Signal;

use super::{bench, expect_sound, leftovers};
use crate::support::{Setup, soon};

#[tokio::test]
async fn every_workload_is_answered_as_promised_by_onceward_and_by_the_ceiling() {
    let cases: [(&str, &[&str]); 6] = [
        ("send-verify", &["send", "check, right code"]),
        ("send", &["send"]),
        ("wrong-codes", &["send", "check, wrong code", "check, wrong code that locks"]),
        ("locked", &["send, locked number", "check, locked number"]),
        ("resend", &["send again"]),
        (
            "mix",
            &[
                "send",
                "send again",
                "send, locked number",
                "check, right code",
                "check, wrong code",
                "check, wrong code that locks",
                "check, locked number",
            ],
        ),
    ];
    for (workload, kinds) in cases {
        let setup = Setup::bare();
        let (results, finished) = bench(&setup, &["--workload", workload, "--seed", "5"]).await;
        assert_eq!(finished.status.code(), Some(0), "{workload}: {}", finished.output);
        let names: Vec<&str> = results.servers.iter().map(|server| server.name.as_str()).collect();
        assert_eq!(names, ["onceward", "ceiling"]);
        assert_eq!((results.plan.workload.as_str(), results.plan.seed), (workload, 5));
        for server in &results.servers {
            assert_eq!(server.windows.len(), 1);
            expect_sound(&server.windows[0], kinds);
            assert!(server.windows[0].cpu_us.is_some() && server.windows[0].memory_bytes.is_some());
            assert!(server.ready_ms.is_some());
        }
        assert_eq!(leftovers(&setup), [""; 0]);
    }
}

#[tokio::test]
async fn an_open_loop_asks_as_often_as_it_was_told() {
    let (results, finished) = bench(&Setup::bare(), &["--rate", "100", "--beside", "none"]).await;
    assert_eq!(finished.status.code(), Some(0), "{}", finished.output);
    assert_eq!(results.plan.rate, Some(100));
    let window = &results.servers[0].windows[0];
    expect_sound(window, &["send", "check, right code"]);
    assert_eq!(window.latency.count, 100);
}

#[tokio::test]
async fn a_gateway_that_takes_its_time_makes_sends_longer_and_checks_not() {
    let (results, finished) = bench(&Setup::bare(), &["--gateway-delay", "200ms", "--beside", "none"]).await;
    assert_eq!(finished.status.code(), Some(0), "{}", finished.output);
    let [send, check] = results.servers[0].windows[0].kinds.as_slice() else { panic!("two kinds") };
    let shortest = |kind: &onceward::bench::results::Kind| kind.latency.at(1.0).expect("a percentile");
    assert!(shortest(send) >= 200_000.0, "{send:?}");
    assert!(shortest(check) < shortest(send), "{check:?}");
}

#[tokio::test]
async fn live_numbers_are_there_before_the_server_starts() {
    let setup = Setup::bare();
    let (results, finished) = bench(&setup, &["--live-numbers", "20000", "--beside", "none"]).await;
    assert_eq!(finished.status.code(), Some(0), "{}", finished.output);
    assert_eq!(results.plan.live_numbers, 20_000);
    expect_sound(&results.servers[0].windows[0], &["send", "check, right code"]);
    let logged: Vec<_> = results.warnings.iter().filter(|warning| warning.contains("logged")).collect();
    assert!(logged.is_empty(), "the server takes them for its own: {logged:?}");
}

#[tokio::test]
async fn a_server_that_cannot_start_says_why() {
    let setup = Setup::bare().env("ONCEWARD_OTP_LENGTH", "99");
    let finished = setup.command(["bench", "--seconds", "1", "--rounds", "1"]).await;
    assert_eq!(finished.status.code(), Some(70), "{}", finished.output);
    assert!(finished.output.contains("otp-length"), "{}", finished.output);
    assert_eq!(leftovers(&setup), [""; 0]);
}

#[tokio::test]
async fn messages_go_to_the_double_whatever_gateway_the_environment_names() {
    let elsewhere = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = elsewhere.local_addr().expect("an address");
    let gateway = format!(
        r#"{{"method":"POST","url":"http://{address}/","json":{{"to":"{{to}}","text":"{{text}}"}}}}"#
    );
    let setup = Setup::bare().env("ONCEWARD_OTP_SMS_PROVIDER", "Http").env("ONCEWARD_HTTP_GATEWAY", gateway);
    let (results, finished) = bench(&setup, &["--beside", "none"]).await;
    assert_eq!(finished.status.code(), Some(0), "{}", finished.output);
    expect_sound(&results.servers[0].windows[0], &["send", "check, right code"]);
    let asked = tokio::time::timeout(Duration::ZERO, elsewhere.accept()).await;
    assert!(asked.is_err(), "somebody else was asked to send");
}

#[tokio::test]
async fn surprises_are_counted_and_quoted_without_numbers_and_the_exit_code_tells() {
    // What the double takes for the code is another number, so that no check is right.
    let setup = Setup::bare().env("ONCEWARD_OTP_MESSAGE", "{code}, and not 0000123");
    let (results, finished) = bench(&setup, &["--beside", "none"]).await;
    assert_eq!(finished.status.code(), Some(1), "{}", finished.output);
    let [send, check] = results.servers[0].windows[0].kinds.as_slice() else { panic!("two kinds") };
    assert!(send.answers > 0 && send.unexpected == 0, "{send:?}");
    assert!(check.answers == 0 && check.unexpected > 0, "{check:?}");
    let quoted =
        results.warnings.iter().any(|warning| warning.contains("check, right code: 401 Incorrect OTP"));
    assert!(quoted, "{:?}", results.warnings);
    assert!(!finished.output.contains("+1"), "{}", finished.output);
}

#[tokio::test]
async fn a_server_that_answers_nothing_as_promised_is_not_measured() {
    let setup = Setup::bare().env("ONCEWARD_REDIS_VERSION_ANSWERS", "as-built");
    let finished = setup.command(["bench", "--seconds", "1", "--rounds", "1", "--beside", "none"]).await;
    assert_eq!(finished.status.code(), Some(70), "{}", finished.output);
    assert!(finished.output.contains("Successfully send OTP message"), "{}", finished.output);
    assert!(!finished.output.contains("+1"), "{}", finished.output);
}

#[tokio::test]
async fn a_server_of_our_own_gives_the_answers_that_are_expected_of_it() {
    let (results, finished) = bench(&Setup::bare(), &["--answers", "as-built"]).await;
    assert_eq!(finished.status.code(), Some(0), "{}", finished.output);
    assert_eq!(results.servers.len(), 1, "the ceiling answers as documented");
    let told = results.warnings.iter().any(|warning| warning.contains("ONCEWARD_REDIS_VERSION_ANSWERS"));
    assert!(told, "{:?}", results.warnings);
}

#[tokio::test]
async fn a_signal_ends_the_run_its_servers_and_their_data() {
    // Whoever closes the terminal is gone, and nobody else ends the servers.
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        ends_everything(signal).await;
    }
}

async fn ends_everything(signal: Signal) {
    let setup = Setup::bare();
    let running = setup.launch_command(["bench", "--seconds", "600", "--rounds", "100"]);
    let started = async {
        while !ceiling_runs(&setup) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon("a reference server", started).await;
    running.signal(signal);
    let finished = running.ended().await;
    assert_eq!(finished.status.code(), Some(1), "{}", finished.output);
    assert!(finished.output.contains("stopped before it was done"), "{}", finished.output);
    assert_eq!(leftovers(&setup), [""; 0]);
    assert!(!ceiling_runs(&setup));
}

/// Whether some process works in the directory of the ceiling of this run.
fn ceiling_runs(setup: &Setup) -> bool {
    let home = setup.home().canonicalize().expect("the directory of the test");
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut places = processes.filter_map(|entry| std::fs::read_link(entry.path().join("cwd")).ok());
    places.any(|place| place.starts_with(&home) && place.ends_with("ceiling"))
}
