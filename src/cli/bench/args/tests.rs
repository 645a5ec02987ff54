use clap::Parser;

use super::*;

#[derive(Parser)]
struct Program {
    #[command(flatten)]
    bench: BenchArgs,
}

fn read(arguments: &[&str]) -> Result<Options, String> {
    let all = ["bench"].iter().chain(arguments);
    let parsed = Program::try_parse_from(all).map_err(|error| error.to_string())?;
    let environment = [
        ("ONCEWARD_SHARDS", "1"),
        ("ONCEWARD_OTP_SMS_PROVIDER", "Http"),
        ("ONCEWARD_HTTP_GATEWAY", "{}"),
        ("PATH", "/bin"),
    ];
    let environment = environment.map(|(k, v)| (k.to_owned(), v.to_owned()));
    let surroundings = Surroundings {
        program: PathBuf::from("onceward"),
        disk: PathBuf::from("."),
        environment: environment.into(),
        seed: 7,
    };
    parsed.bench.read(surroundings).map(|(options, _)| options)
}

const TARGET: [&str; 4] = ["--target", "http://127.0.0.1:8080", "--gateway-listen", "127.0.0.1:4010"];

fn with_target<'a>(more: &[&'a str]) -> Vec<&'a str> {
    TARGET.iter().chain(more).copied().collect()
}

#[test]
fn without_options_it_measures_itself_beside_the_ceiling() {
    let options = read(&[]).unwrap();
    assert_eq!(options.workload, Workload::SendVerify);
    assert_eq!(options.beside, [Beside::Ceiling]);
    assert_eq!((options.connections, options.rate, options.seed), (32, None, 7));
    assert_eq!(options.environment, [("ONCEWARD_SHARDS".to_owned(), "1".to_owned())]);
}

#[test]
fn a_server_of_our_own_is_set_to_the_answers_and_one_that_is_there_is_not() {
    let as_built = ["--answers", "as-built"];
    let settings = read(&as_built).unwrap().environment;
    assert!(settings.contains(&(ANSWERS.to_owned(), "as-built".to_owned())), "{settings:?}");
    assert_eq!(read(&with_target(&as_built)).unwrap().environment, []);
}

#[test]
fn a_server_that_is_there_is_driven_alone_unless_others_are_named() {
    assert_eq!(read(&TARGET).unwrap().beside, []);
    let both = with_target(&["--beside", "onceward,ceiling"]);
    assert_eq!(read(&both).unwrap().beside, [Beside::Onceward, Beside::Ceiling]);
}

#[test]
fn what_is_not_loopback_is_refused_unless_it_is_asked_for() {
    for (target, listen, option) in [
        ("http://192.0.2.1:80", "127.0.0.1:4010", "--target"),
        ("http://127.0.0.1:80", "192.0.2.1:4010", "--gateway-listen"),
        ("http://127.0.0.1:80", "0.0.0.0:4010", "--gateway-listen"),
    ] {
        let arguments = ["--target", target, "--gateway-listen", listen];
        let error = read(&arguments).unwrap_err();
        assert!(error.contains(option) && error.contains("--anywhere"), "{error}");
        let allowed: Vec<&str> = arguments.into_iter().chain(["--anywhere"]).collect();
        assert!(read(&allowed).is_ok());
    }
    let six = ["--target", "http://[::1]:80", "--gateway-listen", "[::1]:4010"];
    assert!(read(&six).is_ok());
}

#[test]
fn what_makes_no_sense_is_refused_in_words() {
    let cases: &[(&[&str], &str)] = &[
        (&["--target", "http://127.0.0.1:1"], "--gateway-listen"),
        (&["--gateway-listen", "127.0.0.1:1"], "--target"),
        (&["--target", "http://127.0.0.1:1", "--gateway-listen", "localhost:4010"], "such as 127.0.0.1:4010"),
        (&["--pid", "1"], "--target"),
        (&["--anywhere"], "--target"),
        (&["--beside", "onceward"], "--target"),
        (&["--beside", "none,ceiling"], "none"),
        (&["--beside", "ceiling,ceiling"], "twice"),
        (&["--beside", "nginx"], "nginx"),
        (&["--workload", "everything"], "send-verify"),
        (&["--gateway-delay", "10s"], "9s"),
        (&["--rate", "1", "--connections", "32"], "codes live"),
        (&["--rate", "0"], "1..=1000000"),
        (&["--connections", "10001"], "10000"),
        (&["--seconds", "0"], "1..=600"),
        (&["--live-numbers", "20000001"], "20000000"),
        (&["--live-numbers", "1", "--seconds", "600"], "20 minutes"),
        (&["--json", "a", "--html", "a"], "same file"),
        (&["--answers", "as-built", "--beside", "ceiling"], "as-built"),
    ];
    for (arguments, wanted) in cases {
        let error = read(arguments).unwrap_err();
        assert!(error.contains(wanted), "{arguments:?}: {error}");
    }
    let cases: &[(&[&str], &str)] =
        &[(&["--live-numbers", "5"], "--live-numbers"), (&["--disk", "x"], "--disk")];
    for (more, wanted) in cases {
        let error = read(&with_target(more)).unwrap_err();
        assert!(error.contains(wanted), "{more:?}: {error}");
    }
}

#[test]
fn a_target_is_an_address_and_nothing_more() {
    for (target, wanted) in [
        ("https://127.0.0.1:1", "TLS"),
        ("http://127.0.0.1:1/api", "path"),
        ("127.0.0.1:1", "http://HOST:PORT"),
    ] {
        let error = read(&["--target", target, "--gateway-listen", "127.0.0.1:4010"]).unwrap_err();
        assert!(error.contains(wanted), "{error}");
    }
    let error = read(&["--target", "http://127.0.0.1:1", "--gateway-listen", "127.0.0.1:0"]).unwrap_err();
    assert!(error.contains("port"), "{error}");
}

#[test]
fn how_long_it_takes_is_known_before_it_begins() {
    let options = read(&["--seconds", "10", "--rounds", "3"]).unwrap();
    assert_eq!(options.length(), Duration::from_secs(2 * (1 + 30)));
    assert!(options.length_at_most() > options.length());
}
