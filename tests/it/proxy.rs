//! What `docs/operate/proxy.md` says of the files in `dist/proxy`, with nginx, Caddy and `haproxy` as processes of the test.

use std::net::{Ipv6Addr, SocketAddr, TcpListener};

use hyper::Method;

use crate::support::prelude::*;

#[tokio::test]
async fn the_application_verifies_a_number_and_reports_and_sign_ins_arrive() {
    let guide = between(include_str!("../../docs/operate/proxy.md"), "```json\n", "```");
    let settings: serde_json::Map<String, Value> = serde_json::from_str(guide).expect("the settings");
    let setup = settings.into_iter().fold(Setup::new(), |setup, (key, value)| setup.config(&key, value));
    let (world, _, service) = World::with_service(setup).await;
    for proxy in Front::each(&[world.address()]).await {
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
    let server = Receiver::start().await;
    let forged = [("x-client-address", "192.0.2.7"), ("x-risk-check", "disable")];
    for proxy in Front::each(&[server.address()]).await {
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
        let refused = "/ /v2/Services /api/send-otp /send-code /admin /inbox /metrics /callbacks /verifier /verify.json \
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
    let server = Receiver::start().await;
    for proxy in Front::each(&[server.address()]).await {
        for method in [Method::POST, Method::DELETE] {
            // The request whose answer is lost finds an open connection.
            server.otherwise(Reply::Accept);
            assert_eq!(proxy.inside.post("/v2/Services", "").await.status(), 200);
            server.otherwise(Reply::Reset);
            let arrived = server.received().len();
            // HAProxy closes the connection of the client too.
            let answer = proxy.inside.try_request_with(method, "/v2/Services", &[], "").await;
            assert!(answer.is_ok_and(|answer| answer.status() == 502) || proxy.name == "haproxy");
            assert_eq!(server.received().len(), arrived + 1, "{}", proxy.name);
        }
        server.otherwise(Reply::Accept);
    }
}

#[tokio::test]
async fn what_one_node_refuses_with_503_is_asked_of_the_next_one() {
    let (owner, standby) = (Receiver::start().await, Receiver::start().await);
    standby.otherwise(Reply::ServerError(503));
    for proxy in Front::each(&[standby.address(), owner.address()]).await {
        let arrived = owner.received().len();
        for sent in 1..=4 {
            assert_eq!(proxy.inside.post("/v2/Services", "To=%2B1").await.status(), 200, "{}", proxy.name);
            assert_eq!(owner.received().len(), arrived + sent, "{}", proxy.name);
            assert_eq!(*owner.received().pop().expect("a request").body, b"To=%2B1"[..]);
        }
        assert!(!standby.received().is_empty(), "{} asks both", proxy.name);
    }
}

/// A proxy in front of servers.
struct Front {
    name: &'static str,
    /// From 127.0.0.0/8, where the files expect the application.
    inside: Client,
    /// From `::1`, which is in none of the networks of the files.
    outside: Client,
    _process: Proxy,
}

impl Front {
    /// Each one that is installed, and can be in front of so many servers.
    async fn each(servers: &[SocketAddr]) -> Vec<Self> {
        let caddy = if let [server] = servers { Self::caddy(*server).await } else { None };
        let all = [Self::nginx(servers).await, Self::haproxy(servers).await, caddy];
        all.into_iter().flatten().collect()
    }

    async fn nginx(servers: &[SocketAddr]) -> Option<Self> {
        let addresses = addresses();
        let [inside, outside] = addresses;
        let servers: Vec<_> =
            servers.iter().map(|server| format!("server {server} max_fails=1 fail_timeout=1s;")).collect();
        let file = proxy_file(
            "nginx.conf",
            &[
                ("listen 443 ssl;", &format!("listen {inside} ssl; listen {outside} ssl;")),
                ("/etc/ssl/otp/chain.pem", "tls.crt"),
                ("/etc/ssl/otp/key.pem", "tls.key"),
                ("server 127.0.0.1:3000 max_fails=1 fail_timeout=1s;", &servers.concat()),
            ],
        );
        let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let paths = paths.map(|path| format!("{path}_temp_path {path};")).concat();
        let own = "daemon off; master_process off; pid nginx.pid; events {}";
        let text = format!("{own} http {{ access_log off; {paths} {file} }}");
        Self::start("nginx", &["-e", "stderr", "-p", ".", "-c", "proxy.conf"], text, addresses).await
    }

    async fn caddy(server: SocketAddr) -> Option<Self> {
        let addresses = addresses();
        let [inside, outside] = addresses.map(|address| address.ip());
        let port = addresses[0].port();
        let file = proxy_file(
            "Caddyfile",
            &[
                ("otp.example.com {", &format!(":{port} {{\nbind {inside} {outside}\ntls tls.crt tls.key")),
                ("127.0.0.1:3000", &server.to_string()),
            ],
        );
        let text = format!("{{\nadmin off\nauto_https off\nlog {{\nlevel ERROR\n}}\n}}\n{file}");
        Self::start("caddy", &["run", "--adapter=caddyfile", "--config=proxy.conf"], text, addresses).await
    }

    /// Without checks, which would keep requests from a node that refuses them.
    async fn haproxy(servers: &[SocketAddr]) -> Option<Self> {
        let addresses = addresses();
        let [inside, outside] = addresses;
        let mut filled_in = vec![
            ("bind :443 ssl", format!("bind {inside},{outside} ssl")),
            ("/etc/haproxy/otp.pem", "tls.pem".to_owned()),
            ("default-server check", "default-server no-check".to_owned()),
        ];
        let nodes = ["server a 10.0.0.21:3000", "server b 10.0.0.22:3000", "server c 10.0.0.23:3000"];
        for (number, node) in nodes.into_iter().enumerate() {
            let server = servers.get(number).map(|server| format!("server {number} {server}"));
            filled_in.push((node, server.unwrap_or_default()));
        }
        let filled_in: Vec<_> = filled_in.iter().map(|(place, value)| (*place, value.as_str())).collect();
        let text = proxy_file("haproxy.cfg", &filled_in);
        Self::start("haproxy", &["-db", "-f", "proxy.conf"], text, addresses).await
    }

    async fn start(
        name: &'static str,
        arguments: &[&str],
        text: String,
        addresses: [SocketAddr; 2],
    ) -> Option<Self> {
        let (authority, setup) = (Authority::new(), Setup::bare().file("proxy.conf", text));
        let issued = authority.issue();
        issued.write(&setup);
        let setup = setup.file("tls.pem", [&*issued.pem, &*issued.key].concat());
        let process = Proxy::start(name, arguments, setup, &addresses).await?;
        let [inside, outside] = addresses.map(|address| Client::new(address).over_tls(authority.client(&[])));
        Some(Self { name, inside, outside, _process: process })
    }

    /// Whether the proxy itself answers with this status where the internet has no access.
    fn refuses(&self, status: u16) -> bool {
        status == if self.name == "caddy" { 404 } else { 403 }
    }
}

/// An address of each network, with one port that is free at both: at [`loopback`] all are. Port 0 if the machine has no
/// IPv6: the test is skipped then.
fn addresses() -> [SocketAddr; 2] {
    let listener = TcpListener::bind((Ipv6Addr::LOCALHOST, 0));
    let port = listener.and_then(|listener| listener.local_addr()).map_or(0, |address| address.port());
    [(loopback(), port).into(), (Ipv6Addr::LOCALHOST, port).into()]
}
