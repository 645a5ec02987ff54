//! The dashboard: the sign-in on this machine.

use onceward_testkit::{Reply, World};

#[tokio::test]
async fn a_browser_is_asked_for_the_secret_only_if_it_is_on_this_machine() {
    let world = World::new().await;
    for (lines, status) in [
        // As nginx asks from 1.29.7 on, where nothing but `proxy_pass` is configured.
        ("user-agent: Mozilla/5.0\r\n", 403),
        ("user-agent: Mozilla/5.0\r\nsec-fetch-site: none\r\n", 200),
        ("user-agent: Lynx/2.9\r\n", 200),
    ] {
        let page = ask(&world, "GET /admin/sign-in", lines, "").await;
        assert_eq!((page.status, page.body.contains("name=\"secret\"")), (status, status == 200), "{lines}");
    }
}

async fn ask(world: &World, target: &str, lines: &str, body: &str) -> Reply {
    let (port, length) = (world.address.port(), body.len());
    let head = format!("{target} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n{lines}");
    world.ask(format!("{head}content-length: {length}\r\n\r\n{body}")).await
}
