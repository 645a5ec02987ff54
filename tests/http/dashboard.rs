//! The dashboard: the sign-in on this machine, and the page of a number.

use onceward_testkit::{NUMBER, Reply, V2World, World, root, sid};

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

#[tokio::test]
async fn the_page_of_a_number_has_its_newest_50_messages_and_says_so() {
    let v2 = V2World::new().await;
    let world = &v2.world;
    let form = format!("user={}", root().replacen(':', "&secret=", 1));
    let signed_in = ask(world, "POST /admin/sign-in", "", &form).await;
    let cookie =
        signed_in.header("set-cookie").and_then(|cookie| cookie.split(';').next()).expect("a cookie");
    let cookie = format!("cookie: {cookie}\r\n");
    let overview = ask(world, "GET /admin", &cookie, "").await.body;
    let (_, token) = overview.split_once("name=\"token\" value=\"").expect("a form");
    let search = format!("q=%2B{}&token={}", &NUMBER[1..], token.split('"').next().expect("its end"));
    let found = ask(world, "POST /admin/search", &cookie, &search).await;
    let page = format!("GET {}", found.header("location").expect("a page"));
    for (begun, shown) in [(49, 49), (11, 50)] {
        for _ in 0..begun {
            let begun = v2.begin(NUMBER).await;
            let path = v2.below(&format!("/Verifications/{}", sid(&begun)));
            assert_eq!(v2.post(&path, &[("Status", "canceled")]).await.status, 200);
        }
        let page = ask(world, &page, &cookie, "").await.body;
        let is_cut = page.contains("Only the newest 50 messages.");
        assert_eq!((page.matches("sms by Simulator").count(), is_cut), (shown, shown == 50), "{page}");
    }
}

async fn ask(world: &World, target: &str, lines: &str, body: &str) -> Reply {
    let (port, length) = (world.address.port(), body.len());
    let head = format!("{target} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n{lines}");
    world.ask(format!("{head}content-length: {length}\r\n\r\n{body}")).await
}
