//! The program measures real servers for a second. It needs the server's binary next to its own; without it, cargo
//! builds the server once.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
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

    fn bench(&self, seconds: &str, more: &[&str]) -> (Value, Finished) {
        let short = ["--seconds", seconds, "--rounds", "1", "--connections", "4"];
        let finished = self.run(&[&short, more].concat());
        (finished.results(), finished)
    }

    fn leftovers(&self) -> Vec<String> {
        let names = fs::read_dir(&self.home).unwrap().map(|entry| entry.unwrap().file_name());
        let names = names.map(|name| name.to_string_lossy().into_owned());
        names.filter(|name| name.starts_with("onceward-bench-")).collect()
    }
}

struct Finished {
    code: Option<i32>,
    /// Both outputs, that with the results first.
    output: String,
}

impl Finished {
    fn new(output: Output) -> Self {
        let text = [output.stdout, output.stderr].concat();
        Self { code: output.status.code(), output: String::from_utf8_lossy(&text).into_owned() }
    }

    #[track_caller]
    fn results(&self) -> Value {
        let mut values = serde_json::Deserializer::from_str(&self.output).into_iter();
        values.next().and_then(Result::ok).unwrap_or_else(|| panic!("no results: {}", self.output))
    }

    #[track_caller]
    fn expect(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, Some(code), "{}", self.output);
        let text = self.output.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(parts.iter().all(|part| text.contains(part)), "{parts:?}:\n{}", self.output);
    }
}

/// Returns a server's only window, after asserting that every answer was as promised. Every client begins with a send. A
/// busy machine may not come to the other kinds within a second.
#[track_caller]
fn sound<'a>(results: &'a Value, server: usize, kinds: &[&str]) -> &'a Value {
    let window = &results["servers"][server]["windows"][0];
    let mut of_window = window["kinds"].as_object().expect("kinds").clone();
    let all = of_window.remove("all answers").expect("all answers");
    let names: Vec<&String> = of_window.keys().collect();
    assert!(of_window.contains_key("send"), "{names:?}");
    assert!(names.iter().all(|name| kinds.contains(&name.as_str())), "{names:?}");
    let mut sum = 0.0;
    for figures in of_window.values() {
        assert_eq!(figures["unexpected"], 0.0, "{window}");
        sum += figures["answers"].as_f64().unwrap();
    }
    assert!(sum > 0.0 && all["answers"] == sum, "{window}");
    window
}

#[test]
fn every_workload_is_answered_and_no_gateway_but_the_mock_is_asked() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let url = format!("http://{}/", elsewhere.local_addr().unwrap());
    let recipe = json!({ "method": "POST", "url": url, "json": { "to": "{to}", "text": "{text}" } });
    let gateways = json!({ "Http": { "recipe": recipe } }).to_string();
    let all: &[&str] = &["send", "check, right code", "check, wrong code"];
    let servers = ["onceward", "stateless", "durable", "onceward /v2", "stateless /v2", "durable /v2"];
    let cases: [(&str, &str, &[&str]); 2] =
        [("send-verify", "api", &["send", "check, right code"]), ("mix", "api,v2", all)];
    for (workload, routes, kinds) in cases {
        let world =
            World::new().with("ONCEWARD_OTP_SMS_PROVIDER", "Http").with("ONCEWARD_GATEWAYS", &*gateways);
        let (results, finished) =
            world.bench("1", &["--routes", routes, "--workload", workload, "--seed", "5"]);
        finished.expect(0, &["requests_per_s"]);
        let of_servers = results["servers"].as_array().unwrap().iter();
        let names: Vec<_> = of_servers.map(|server| server["name"].as_str().unwrap()).collect();
        assert_eq!(names, servers[..names.len()]);
        assert!(results["options"].to_string().contains(workload));
        for server in 0..names.len() {
            let window = sound(&results, server, kinds);
            let figures = &window["kinds"]["all answers"];
            assert!(figures["cpu_us_per_request"].is_f64() && figures["memory_mib"].is_f64(), "{window}");
            let summary = &results["servers"][server]["summary"]["all answers"];
            assert!(summary["figures"]["ready_ms"].is_f64() && summary["figures"]["p50_us"].is_f64());
            assert_eq!(summary["ratios"]["requests_per_s"].is_f64(), server % 3 != 0);
        }
        assert_eq!(world.leftovers(), [""; 0]);
    }
    assert!(elsewhere.accept().is_err(), "another gateway was asked to send");
}

#[test]
fn an_overloaded_open_loop_fails_with_a_sentence() {
    let (results, finished) = World::new().bench("1", &["--rate", "1000000", "--beside", "none"]);
    finished.expect(1, &["error: onceward was overloaded: ", "use a lower --rate"]);
    let window = &results["servers"][0]["windows"][0];
    assert!(window["dropped"].as_u64() > Some(0), "{window}");
}

#[test]
fn unexpected_answers_are_counted_and_quoted_without_numbers() {
    // The warm-up sends the message of the day.
    let world = World::new().with("ONCEWARD_GUARD", r#"{"mode": "off", "messages-per-day": 1}"#);
    let (results, finished) = world.bench("1", &["--beside", "none"]);
    finished.expect(1, &["answers were not as the contract promises"]);
    let kinds = &results["servers"][0]["windows"][0]["kinds"];
    let count = |name: &str| kinds["send"][name].as_f64().unwrap();
    assert!(count("unexpected") > count("answers"), "{kinds}");
    assert!(results["warnings"].to_string().contains("send: 429 "), "{}", results["warnings"]);
    assert!(!finished.output.contains("+1"), "{}", finished.output);
}

#[test]
fn a_server_that_cannot_start_says_why() {
    let world = World::new().with("ONCEWARD_OTP_LENGTH", "99");
    world.run(&["--seconds", "1", "--rounds", "1"]).expect(70, &["otp-length"]);
    assert_eq!(world.leftovers(), [""; 0]);
}

#[test]
fn a_signal_ends_the_servers() {
    for signal in ["INT", "TERM", "HUP"] {
        let world = World::new();
        let mut command = world.command(&["--connections", "2", "--seconds", "600"]);
        let running = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let have_started = (0..3_000).any(|_| {
            std::thread::sleep(Duration::from_millis(20));
            servers(&world).len() >= 3
        });
        let kill = Command::new("kill").args([&format!("-{signal}"), &running.id().to_string()]).status();
        assert!(kill.unwrap().success());
        let finished = Finished::new(running.wait_with_output().unwrap());
        assert!(have_started, "not within a minute");
        finished.expect(130, &["nothing was measured"]);
        assert_eq!((world.leftovers(), servers(&world)), (vec![], vec![]));
    }
}

/// Working directories of the processes that the bench's servers run in.
fn servers(world: &World) -> Vec<PathBuf> {
    let home = world.home.path().canonicalize().unwrap();
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let places = processes.filter_map(|entry| fs::read_link(entry.path().join("cwd")).ok());
    places.filter(|place| place.starts_with(&home) && *place != home).collect()
}
