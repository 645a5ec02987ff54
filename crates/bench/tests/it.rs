//! The program measures real servers for a second. It needs the server's binary next to its own; without it, cargo
//! builds the server once.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

const BENCH: &str = env!("CARGO_BIN_EXE_onceward-bench");

fn onceward() -> PathBuf {
    let program = Path::new(BENCH).with_file_name("onceward");
    if !program.exists() {
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml");
        let built = Command::new(env!("CARGO"))
            .args(["build", "--bin", "onceward", "--manifest-path", manifest])
            .status();
        assert!(built.expect("cargo").success() && program.exists(), "build {}", program.display());
    }
    program
}

struct World {
    home: TempDir,
    environment: Vec<(&'static str, String)>,
}

impl World {
    fn new() -> Self {
        onceward();
        Self { home: tempfile::tempdir().unwrap(), environment: Vec::new() }
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(BENCH);
        command.args(arguments).current_dir(&self.home).env_clear();
        command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Finished {
        Finished::new(self.command(arguments).output().unwrap())
    }

    fn bench(&self, more: &[&str]) -> (Value, Finished) {
        self.bench_for("1", more)
    }

    fn bench_for(&self, seconds: &str, more: &[&str]) -> (Value, Finished) {
        let short = ["--seconds", seconds, "--rounds", "1", "--connections", "4", "--json", "results.json"];
        let finished = self.run(&[&short, more].concat());
        let text = fs::read_to_string(self.home.path().join("results.json"));
        let text = text.unwrap_or_else(|error| panic!("{error}: {}", finished.output));
        (serde_json::from_str(&text).unwrap(), finished)
    }

    fn leftovers(&self) -> Vec<String> {
        let names = fs::read_dir(&self.home).unwrap().map(|entry| entry.unwrap().file_name());
        let names = names.map(|name| name.to_string_lossy().into_owned());
        names.filter(|name| name.starts_with("onceward-bench-")).collect()
    }
}

struct Finished {
    code: Option<i32>,
    output: String,
}

impl Finished {
    fn new(output: Output) -> Self {
        let text = [output.stdout, output.stderr].concat();
        Self { code: output.status.code(), output: String::from_utf8_lossy(&text).into_owned() }
    }

    #[track_caller]
    fn expect(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, Some(code), "{}", self.output);
        let words: Vec<&str> = self.output.split_whitespace().collect();
        let text = words.join(" ");
        for part in parts {
            assert!(text.contains(part), "{part}:\n{}", self.output);
        }
    }
}

/// Returns a server's only window, after asserting that every answer was as promised. Every client begins with a send. A
/// busy machine may not come to the other kinds within a second.
#[track_caller]
fn sound<'a>(results: &'a Value, server: usize, kinds: &[&str]) -> &'a Value {
    let window = &results["servers"][server]["windows"][0];
    let (all, of_window) = window["kinds"].as_array().expect("kinds").split_first().expect("all answers");
    let names: Vec<&str> = of_window.iter().map(|kind| kind["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"send") && names.iter().all(|name| kinds.contains(name)), "{names:?}");
    for kind in of_window {
        let figures = &kind["figures"];
        assert_eq!((&figures["unexpected"], &figures["refused"]), (&0.0.into(), &0.0.into()), "{kind}");
    }
    let sum: f64 = of_window.iter().map(|kind| kind["figures"]["answers"].as_f64().unwrap()).sum();
    assert!(sum > 0.0 && all["figures"]["answers"] == sum, "{window}");
    window
}

fn names(results: &Value) -> Vec<&str> {
    results["servers"].as_array().unwrap().iter().map(|server| server["name"].as_str().unwrap()).collect()
}

#[test]
fn every_workload_is_answered_as_promised_by_onceward_and_the_ceiling() {
    let cases: [(&str, &[&str]); 4] = [
        ("send-verify", &["send", "check, right code"]),
        ("send", &["send"]),
        ("wrong-codes", &["send", "check, wrong code", "check, wrong code that locks"]),
        (
            "mix",
            &["send", "send again", "check, right code", "check, wrong code", "check, wrong code that locks"],
        ),
    ];
    for (workload, kinds) in cases {
        let world = World::new();
        let (results, finished) = world.bench(&["--workload", workload, "--seed", "5"]);
        finished.expect(0, &["requests/s", "onceward ceiling", "x)"]);
        assert_eq!(names(&results), ["onceward", "ceiling"]);
        assert_eq!(
            (&results["plan"].as_str().unwrap().split(',').next(), &results["seed"]),
            (&Some(workload), &5.into())
        );
        for server in 0..2 {
            let window = sound(&results, server, kinds);
            let figures = &window["kinds"][0]["figures"];
            assert!(figures["cpu_us_per_request"].is_f64() && figures["memory_bytes"].is_f64(), "{window}");
            assert!(results["servers"][server]["summary"][0]["figures"]["ready_ms"].is_f64());
        }
        let summary = &results["servers"][1]["summary"][0];
        assert!(summary["ratios"]["requests_per_s"].is_f64() && summary["figures"]["p50_us"].is_f64());
        assert_eq!(world.leftovers(), [""; 0]);
    }
}

#[test]
fn below_v2_every_kind_is_answered_as_promised_beside_its_own_ceiling() {
    let world = World::new();
    let (results, finished) = world.bench(&["--routes", "api,v2", "--workload", "mix", "--seed", "5"]);
    finished
        .expect(0, &["ceiling onceward /v2 ceiling /v2", "CPU per request below /v2 at 2.60x that of the"]);
    assert_eq!(names(&results), ["onceward", "ceiling", "onceward /v2", "ceiling /v2"]);
    let kinds =
        ["send", "send again", "check, right code", "check, wrong code", "check, wrong code that locks"];
    for (server, routes) in ["/api", "/api", "/v2", "/v2"].into_iter().enumerate() {
        let window = sound(&results, server, &kinds);
        assert!(window["kinds"][0]["figures"]["cpu_us_per_request"].is_f64(), "{window}");
        assert_eq!(results["servers"][server]["routes"], routes);
    }
}

#[test]
fn another_build_is_a_baseline_with_the_same_live_numbers() {
    let world = World::new();
    let program = onceward();
    let baseline = ["--baseline", program.to_str().unwrap(), "--beside", "none", "--live-numbers", "2000"];
    let (results, finished) = world.bench(&baseline);
    finished.expect(0, &["onceward baseline", "2000 live numbers"]);
    assert_eq!(names(&results), ["onceward", "baseline"]);
    for server in 0..2 {
        sound(&results, server, &["send", "check, right code"]);
    }
    let logged = |warning: &&Value| warning.as_str().unwrap().contains("logged");
    let logged: Vec<_> = results["warnings"].as_array().unwrap().iter().filter(logged).collect();
    assert!(logged.is_empty(), "{logged:?}");
}

#[test]
fn an_open_loop_asks_as_often_as_it_was_told() {
    // With a client for each request, none has to wait for an answer.
    let more = ["--rate", "2", "--beside", "none", "--connections=10"];
    let short = ["--seconds", "3", "--rounds", "1", "--json", "results.json"];
    let world = World::new();
    world.run(&[&short[..], &more].concat()).expect(0, &["open loop at 2 requests/s"]);
    let text = fs::read_to_string(world.home.path().join("results.json")).unwrap();
    let results: Value = serde_json::from_str(&text).unwrap();
    let window = sound(&results, 0, &["send", "check, right code"]);
    assert_eq!(window["kinds"][0]["figures"]["answers"], 6.0);
}

#[test]
fn an_overloaded_open_loop_fails_with_a_sentence_and_a_code_of_its_own() {
    let (results, finished) = World::new().bench(&["--rate", "1000000", "--beside", "none"]);
    finished.expect(2, &["error: onceward was overloaded in 1 of 1 rounds: of 1000000 requests/s asked for"]);
    assert!(results["overloads"].to_string().contains("use a lower --rate"));
    let window = &results["servers"][0]["windows"][0];
    assert!(
        window["dropped"].as_u64() > Some(0) && window["achieved_per_s"].as_f64() < Some(1e6),
        "{window}"
    );
}

#[test]
fn limits_that_are_not_kept_fail_with_a_sentence() {
    let (_, finished) = World::new().bench_for("3", &["--max-cpu-ratio", "0.01", "--min-rate-ratio", "100"]);
    finished.expect(1, &["at most 0.01 is allowed", "at least 100 is wanted"]);
}

#[test]
fn a_slow_gateway_delays_sends_and_no_checks() {
    // On a busy machine a check can take more than half a second, too.
    let more = ["--gateway-delay", "3s", "--beside", "none"];
    let (results, finished) = World::new().bench_for("4", &more);
    finished.expect(0, &["provider answers after 3s"]);
    let kinds = &sound(&results, 0, &["send", "check, right code"])["kinds"];
    let median = |kind: usize| kinds[kind]["figures"]["p50_us"].as_f64();
    assert!(median(1).unwrap() >= 3e6 && median(2).is_none_or(|us| us < 3e6), "{kinds}");
}

#[test]
fn messages_go_to_the_mock_whatever_gateway_the_environment_names() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let address = elsewhere.local_addr().unwrap();
    let gateway = format!(
        r#"{{"Http":{{"recipe":{{"method":"POST","url":"http://{address}/","json":{{"to":"{{to}}","text":"{{text}}"}}}}}}}}"#
    );
    let world = World::new().with("ONCEWARD_OTP_SMS_PROVIDER", "Http").with("ONCEWARD_GATEWAYS", gateway);
    let (results, finished) = world.bench(&["--beside", "none"]);
    finished.expect(0, &[]);
    sound(&results, 0, &["send", "check, right code"]);
    assert!(elsewhere.accept().is_err(), "another gateway was asked to send");
}

#[test]
fn unexpected_answers_are_counted_and_quoted_without_numbers() {
    // The guard permits one message. The warm-up sends it.
    let guard = r#"{"number-types": "off", "landlines": "off"}"#;
    let bounds = r#"{"guard-unproven": 1}"#;
    let world = World::new().with("ONCEWARD_GUARD", guard).with("TEST_ONCEWARD_BOUNDS", bounds);
    let (results, finished) = world.bench(&["--workload", "send", "--beside", "none"]);
    finished.expect(1, &["answers were not as the contract promises"]);
    let kinds = &results["servers"][0]["windows"][0]["kinds"];
    let count = |name: &str| kinds[1]["figures"][name].as_f64().unwrap();
    assert!(count("unexpected") > count("answers"), "{kinds}");
    assert!(results["warnings"].to_string().contains("send: 403 Sending a code"), "{}", results["warnings"]);
    assert!(!finished.output.contains("+1"), "{}", finished.output);
}

#[test]
fn both_answer_sets_of_the_redis_version_are_as_promised() {
    let world = World::new().with("ONCEWARD_REDIS_VERSION_ANSWERS", "as-built");
    let (results, finished) = world.bench(&["--workload", "wrong-codes", "--beside", "none"]);
    finished.expect(0, &["onceward does not have its default settings: ONCEWARD_REDIS_VERSION_ANSWERS"]);
    sound(&results, 0, &["send", "check, wrong code", "check, wrong code that locks"]);
}

#[test]
fn a_server_that_answers_nothing_as_promised_is_not_measured() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut request = [0; 4096];
                while stream.read(&mut request).is_ok_and(|read| read > 0)
                    && stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").is_ok()
                {
                }
            });
        }
    });
    let world = World::new();
    let program = world.home.path().join("program");
    let line = format!(r#"{{"message":"listening","url":"http://{address}"}}"#);
    fs::write(&program, format!("#!/bin/sh\necho '{line}' >&2\nexec sleep 60\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
    let finished =
        world.run(&["--seconds", "1", "--rounds", "1", "--beside", "none", "--onceward", "program"]);
    finished.expect(70, &["the server onceward answered nothing as expected", "send: 200 {}"]);
}

#[test]
fn a_server_that_cannot_start_says_why() {
    let world = World::new().with("ONCEWARD_OTP_LENGTH", "99");
    world.run(&["--seconds", "1", "--rounds", "1"]).expect(70, &["otp-length"]);
    assert_eq!(world.leftovers(), [""; 0]);
}

#[test]
fn a_signal_ends_the_servers_and_keeps_the_finished_rounds() {
    for (signal, seconds, printed) in [
        ("INT", "1", "stopped after"),
        ("TERM", "600", "nothing was measured"),
        ("HUP", "600", "nothing was measured"),
    ] {
        let world = World::new();
        let files = ["--connections", "2", "--json", "r.json"];
        let mut command = world.command(&[&["--rounds", "100", "--seconds", seconds], &files[..]].concat());
        let mut running = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        wait_until(|| servers(&world).len() == 2);
        let mut progress = BufReader::new(running.stderr.take().unwrap());
        let mut said = String::new();
        while seconds == "1" && !said.contains("round 2 of 100") {
            assert!(progress.read_line(&mut said).unwrap() > 0, "{said}");
        }
        send_signal(&running, signal);
        progress.read_to_string(&mut said).unwrap();
        let output = running.wait_with_output().unwrap();
        let finished = Finished::new(Output { stderr: said.into_bytes(), ..output });
        finished.expect(130, &[printed]);
        assert_eq!((world.leftovers(), servers(&world)), (vec![], vec![]));
        if let Ok(json) = fs::read_to_string(world.home.path().join("r.json")) {
            assert!(seconds == "1" && finished.output.contains("requests/s"), "{}", finished.output);
            let results: Value = serde_json::from_str(&json).unwrap();
            let rounds = results["servers"][0]["windows"].as_array().unwrap().len();
            assert!((1..100).contains(&rounds));
            for server in results["servers"].as_array().unwrap() {
                assert_eq!(server["windows"].as_array().unwrap().len(), rounds);
            }
            let note = format!("stopped after {rounds} of 100 rounds");
            assert!(results["warnings"].to_string().contains(&note));
        } else {
            assert!(seconds == "600" && !finished.output.contains("requests/s"), "{}", finished.output);
        }
    }
}

fn send_signal(process: &Child, signal: &str) {
    let status = Command::new("kill").args([&format!("-{signal}"), &process.id().to_string()]).status();
    assert!(status.unwrap().success());
}

fn wait_until(done: impl Fn() -> bool) {
    for _ in 0..1_500 {
        if done() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("not within 30 s");
}

/// Working directories of the processes that the bench's servers run in.
fn servers(world: &World) -> Vec<PathBuf> {
    let home = world.home.path().canonicalize().unwrap();
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let places = processes.filter_map(|entry| fs::read_link(entry.path().join("cwd")).ok());
    places.filter(|place| place.starts_with(&home) && *place != home).collect()
}

/// A server that sends through Twilio at this address, or through the simulator.
fn started(home: &Path, twilio: Option<&str>) -> (Child, String) {
    let port = free_address();
    let mut command = Command::new(onceward());
    command.args(["--listen", &port, "--data-dir", "data"]).current_dir(home).env_clear();
    if let Some(twilio) = twilio {
        command
            .env("TWILIO_ACCOUNT_SID", "AC0123456789abcdef0123456789abcdef")
            .env("TWILIO_AUTH_TOKEN", "secret")
            .env("ONCEWARD_GUARD", r#"{"mode": "off", "number-types": "off", "landlines": "off"}"#);
        command.env("TWILIO_PHONE_NUMBER", "+15005550006").env("TWILIO_BASE_URL", format!("http://{twilio}"));
    }
    let server = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_until(|| is_ready(&port));
    (server, format!("http://{port}"))
}

fn is_ready(address: &str) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else { return false };
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let mut answer = String::new();
    let asked = stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_string(&mut answer));
    asked.is_ok() && answer.starts_with("HTTP/1.1 200")
}

fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

fn stop(mut server: Child) {
    server.kill().unwrap();
    server.wait().unwrap();
}

#[test]
fn a_running_server_is_measured_where_it_is() {
    let (world, twilio) = (World::new(), free_address());
    let (server, url) = started(world.home.path(), Some(&twilio));
    let pid = server.id().to_string();
    let more = ["--target", &url, "--gateway-listen", &twilio, "--pid", &pid, "--workload", "wrong-codes"];
    let (results, finished) = world.bench(&more);
    stop(server);
    finished.expect(0, &[]);
    assert_eq!(names(&results), [url.trim_start_matches("http://")]);
    let window = sound(&results, 0, &["send", "check, wrong code", "check, wrong code that locks"]);
    let figures = &results["servers"][0]["summary"][0]["figures"];
    assert!(figures["ready_ms"].is_null() && figures["cpu_us_per_request"].is_f64(), "{figures}");
    assert!(window["kinds"][0]["figures"]["memory_bytes"].is_f64(), "{window}");
}

#[test]
fn a_server_that_sends_elsewhere_is_asked_for_one_message_only() {
    let world = World::new();
    let (server, url) = started(world.home.path(), None);
    let finished = world.run(&["--target", &url, "--gateway-listen", &free_address()]);
    stop(server);
    finished.expect(70, &["no text arrived at the mock", "nothing more was asked of it"]);
}

#[test]
fn wrong_options_are_refused_before_anything_is_started() {
    for (arguments, code, wanted) in [
        (
            ["--target", "http://192.0.2.1:80", "--gateway-listen=127.0.0.1:1"].as_slice(),
            64,
            "an address of loopback",
        ),
        (&["--target", "http://127.0.0.1:80"], 64, "--gateway-listen"),
        (&["--beside", "redis"], 64, "redis"),
        (&["--workload", "nothing"], 64, "nothing"),
        (&["--onceward", "no/such/program"], 64, "no/such/program"),
        (&["--json", "no/such/directory/results.json"], 64, "no/such/directory/results.json"),
        (&["--disk", "no/such/directory"], 64, "--disk no/such/directory is not a directory"),
    ] {
        let world = World::new();
        world.run(arguments).expect(code, &[wanted]);
        assert_eq!(fs::read_dir(&world.home).unwrap().count(), 0, "nothing was made");
    }
}

#[test]
fn the_help_explains_workloads_loops_and_json_fields() {
    let finished = World::new().run(&["--help"]);
    let parts = ["wrong-codes", "open loop", "closed loop", "--routes", "Examples", "ceiling"];
    finished.expect(0, &[&parts[..], &["requests_per_s", "achieved_per_s"]].concat());
    assert!(!finished.output.contains("--twilio"));
}
