//! What `docs/operate/proxy.md` says of the files in `dist/proxy`, with nginx and Caddy as processes of the test.

use std::env;
use std::fs;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use hyper::Method;
use tokio::net::TcpStream;

use crate::support::prelude::*;

#[tokio::test]
async fn the_application_verifies_a_number_and_reports_and_sign_ins_arrive() {
    let guide = between(include_str!("../../docs/operate/proxy.md"), "```json\n", "```");
    let settings: serde_json::Map<String, Value> = serde_json::from_str(guide).expect("the settings");
    let setup = settings.into_iter().fold(Setup::new(), |setup, (key, value)| setup.config(&key, value));
    let (world, _, service) = World::with_service(setup).await;
    for proxy in Proxy::each(world.address()).await {
        let (v2, number) = (V2::of(&proxy.inside), world.number());
        let begun = sid(&v2.begins(&service, &number).await);
        assert_eq!(world.twilio().report(&number, "delivered").send(&proxy.outside).await.status(), 204);
        let checked = v2.checks(&service, &begun, &world.twilio().code_for(&number)).await;
        assert_eq!(checked.json()["status"], "approved", "{}", proxy.name);
        Visitor::of(&proxy.inside).await.get("/admin").await.expects_status(200);

        let other = world.number();
        let refused = V2::of(&proxy.outside).begins(&service, &other).await;
        assert!(proxy.refuses(refused.status()), "{}", refused.text());
        assert!(world.twilio().received_for(&other).is_empty());
    }
}

#[tokio::test]
async fn the_internet_reaches_few_paths_and_cannot_say_who_a_person_is() {
    let server = Collector::start().await;
    let forged = [("x-client-address", "192.0.2.7"), ("x-risk-check", "disable")];
    for proxy in Proxy::each(server.address()).await {
        let passes = async |client: &Client, path: &str, who: &str| {
            let answer = client.post_with(path, &forged, "To=%2B1&Code=1%202").await;
            assert_eq!(answer.status(), 200, "{}: {path}", proxy.name);
            let asked = server.received().pop().expect("a request");
            let target = [&*asked.target, &asked.query].join("?");
            assert_eq!(target.trim_end_matches('?'), format!("POST {path}"));
            assert_eq!(asked.header("host"), client.address().to_string());
            assert_eq!(asked.header("x-forwarded-proto"), "https");
            assert_eq!((asked.header("x-client-address"), &*asked.body), (who, &b"To=%2B1&Code=1%202"[..]));
            assert_eq!(asked.headers.get_all("x-client-address").iter().count(), 1);
            asked.header("x-risk-check").to_owned()
        };
        for path in ["/callbacks/a/b?c=%2F+d", "/verify", "/verify/send?a=b", "/verify.js", "/hooks/okta"] {
            assert_eq!(passes(&proxy.outside, path, "::1").await, "");
        }
        assert_eq!(passes(&proxy.inside, "/api/send-otp?a=%20b", "192.0.2.7").await, "disable");
        assert_eq!(passes(&proxy.inside, "/admin/sign-in", "127.0.0.1").await, "");
        let arrived = server.received().len();
        let refused = "/ /v2/Services /api/send-otp /send-code /admin /inbox /metrics /callbacks /verifying /verify.json \
            /verify/../v2/Services /hooks/%2e%2e/v2/Services //v2/Services";
        for path in refused.split(' ') {
            let answer = proxy.outside.get(path).await;
            assert!(proxy.refuses(answer.status()), "{}: {path}: {}", proxy.name, answer.status());
        }
        assert_eq!(server.received().len(), arrived);
    }
}

#[tokio::test]
async fn a_proxy_repeats_no_request_whose_answer_is_lost() {
    let server = Collector::start().await;
    for proxy in Proxy::each(server.address()).await {
        for method in [Method::POST, Method::DELETE] {
            // The request whose answer is lost finds an open connection.
            server.otherwise(Reply::Accept);
            assert_eq!(proxy.inside.post("/v2/Services", "").await.status(), 200);
            server.otherwise(Reply::Reset);
            let arrived = server.received().len();
            assert_eq!(proxy.inside.request_with(method, "/v2/Services", &[], "").await.status(), 502);
            assert_eq!(server.received().len(), arrived + 1, "{}", proxy.name);
        }
        server.otherwise(Reply::Accept);
    }
}

/// A proxy in front of a server. Dropping it kills it.
struct Proxy {
    name: &'static str,
    process: Child,
    /// From 127.0.0.0/8, where the files expect the application.
    inside: Client,
    /// From `::1`, which is in none of the networks of the files.
    outside: Client,
    _setup: Setup,
}

impl Proxy {
    /// Each one that is installed. In CI both must be.
    async fn each(server: SocketAddr) -> Vec<Self> {
        [Self::nginx(server).await, Self::caddy(server).await].into_iter().flatten().collect()
    }

    async fn nginx(server: SocketAddr) -> Option<Self> {
        let (inside, port) = (loopback(), free_port());
        let file = dist(
            "nginx.conf",
            &[
                ("listen 443 ssl;", &format!("listen {inside}:{port} ssl; listen [::1]:{port} ssl;")),
                ("/etc/ssl/otp/chain.pem", "tls.crt"),
                ("/etc/ssl/otp/key.pem", "tls.key"),
                ("127.0.0.1:3000", &server.to_string()),
            ],
        );
        let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let paths = paths.map(|path| format!("{path}_temp_path {path};")).concat();
        let own = "daemon off; master_process off; pid nginx.pid; events {}";
        let text = format!("{own} http {{ access_log off; {paths} {file} }}");
        Self::start("nginx", &["-e", "stderr", "-p", ".", "-c", "proxy.conf"], text, port).await
    }

    async fn caddy(server: SocketAddr) -> Option<Self> {
        let (inside, port) = (loopback(), free_port());
        let file = dist(
            "Caddyfile",
            &[
                ("otp.example.com {", &format!(":{port} {{\nbind {inside} ::1\ntls tls.crt tls.key")),
                ("127.0.0.1:3000", &server.to_string()),
            ],
        );
        let text = format!("{{\nadmin off\nauto_https off\nlog {{\nlevel ERROR\n}}\n}}\n{file}");
        Self::start("caddy", &["run", "--adapter=caddyfile", "--config=proxy.conf"], text, port).await
    }

    #[expect(clippy::print_stdout, reason = "a test that does not run has to say so")]
    async fn start(name: &'static str, arguments: &[&str], text: String, port: u16) -> Option<Self> {
        let (setup, authority) = (Setup::bare().file("proxy.conf", text), Authority::new());
        authority.issue().write(&setup);
        let mut command = Command::new(name);
        command
            .args(arguments)
            .current_dir(setup.home())
            .env_clear()
            .env("PATH", format!("{}:/usr/sbin", env::var("PATH").unwrap_or_default()))
            .env("HOME", setup.home())
            .stdin(Stdio::null());
        let started = TcpListener::bind((Ipv6Addr::LOCALHOST, port)).and_then(|_| command.spawn());
        let process = match started {
            Ok(process) => process,
            Err(error) => {
                assert!(env::var_os("CI").is_none(), "{name}: {error}. CI must have it.");
                println!("SKIPPED: cannot run {name} at ::1: {error}");
                return None;
            }
        };
        let client = |address: IpAddr| Client::new((address, port).into()).over_tls(authority.client(&[]));
        let (inside, outside) = (client(loopback().into()), client(Ipv6Addr::LOCALHOST.into()));
        let mut proxy = Self { name, process, inside, outside, _setup: setup };
        for address in [proxy.inside.address(), proxy.outside.address()] {
            let connects = async {
                while TcpStream::connect(address).await.is_err() {
                    let ended = proxy.process.try_wait().expect("a process");
                    assert!(ended.is_none(), "{name} refuses its file");
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            soon("the proxy listens", connects).await;
        }
        Some(proxy)
    }

    /// Whether the proxy itself answers with this status where the internet has no access.
    fn refuses(&self, status: u16) -> bool {
        status == if self.name == "nginx" { 403 } else { 404 }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // An error means that it has already ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A port that is free at `::1`; at [`loopback`] all are. 0 if the machine has no IPv6: the test is skipped then.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv6Addr::LOCALHOST, 0));
    listener.and_then(|listener| listener.local_addr()).map_or(0, |address| address.port())
}

/// A file of `dist/proxy` as an operator fills it in.
fn dist(file: &str, filled_in: &[(&str, &str)]) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("dist/proxy").join(file);
    let shipped = fs::read_to_string(path).expect("the file");
    filled_in.iter().fold(shipped, |text, (place, value)| {
        assert!(text.contains(place), "{file} has no {place:?}");
        text.replace(place, value)
    })
}
