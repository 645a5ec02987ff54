//! HTTP/1 connections: their use, misuse and end.

use std::time::Duration;

use onceward_testkit::{Client, Gate, NUMBER, Setup, World, get, post, send_body, send_body_to, verify_body};
use tokio::sync::watch;
use tokio::task::JoinSet;

#[tokio::test]
async fn an_unread_small_body_does_not_end_the_connection() {
    let world = World::new().await;
    let mut client = world.client().await;
    for path in ["/nothing", "/healthz", "/nothing"] {
        client.send(post(path, "some text that is not read")).await;
        let reply = client.reply().await;
        assert!(reply.status == 404 || reply.status == 405, "{}", reply.status);
        assert_eq!(reply.header("connection"), None);
    }
    client.send(get("/healthz")).await;
    assert_eq!(client.reply().await.status, 200);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let world = World::new().await;
    let mut client = world.client().await;
    let one = post("/api/verify-otp", &verify_body("123456"));
    let two = get("/hello-world");
    let three = post("/api/verify-otp", "{");
    client.send([one, two, three].concat().repeat(40)).await;
    for _ in 0..40 {
        for status in [401, 200, 400] {
            assert_eq!(client.reply().await.status, status);
        }
    }
}

#[tokio::test]
async fn a_body_may_come_in_chunks_and_byte_by_byte() {
    let world = World::new().await;
    let mut client = world.client().await;
    let head = "POST /api/verify-otp HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n";
    let body = verify_body("123456");
    let chunks = body.chars().map(|c| format!("1\r\n{c}\r\n")).collect::<Vec<_>>().concat();
    client.send(format!("{head}{chunks}0\r\n\r\n")).await;
    assert_eq!(client.reply().await.status, 401);
    let one_chunk = format!("{head}{:x};ext=1\r\n{body}\r\n0\r\ntrailer: x\r\n\r\n", body.len());
    for byte in one_chunk.as_bytes() {
        client.send([*byte]).await;
    }
    assert_eq!(client.reply().await.status, 401);
}

#[tokio::test]
async fn a_broken_chunk_is_a_bad_body() {
    let world = World::new().await;
    let head = "POST /api/verify-otp HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n";
    world
        .ask(format!("{head}zz\r\nxx\r\n"))
        .await
        .is(400, r#"{"code":400,"message":"Invalid request body"}"#);
}

#[tokio::test]
async fn when_a_client_expects_100_it_gets_it_before_it_sends_its_body() {
    let world = World::new().await;
    let mut client = world.client().await;
    let body = verify_body("123456");
    let length = body.len();
    client
        .send(format!(
            "POST /api/verify-otp HTTP/1.1\r\nhost: test\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\r\n"
        ))
        .await;
    assert_eq!(client.reply_without_body().await.status, 100);
    client.send(body).await;
    assert_eq!(client.reply().await.status, 401);
}

#[tokio::test]
async fn when_a_client_closes_its_side_it_still_gets_its_answer() {
    let gate = Gate::closed();
    let world = World::with(Setup::through(gate.clone())).await;
    let mut client = world.client().await;
    client.send(post("/api/send-otp", &send_body())).await;
    client.half_close().await;
    gate.arrival().await;
    gate.let_through(1);
    assert_eq!(client.reply().await.status, 200);
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn when_a_client_closes_its_side_within_a_body_it_is_a_bad_body() {
    let world = World::new().await;
    let mut client = world.client().await;
    client.send("POST /api/verify-otp HTTP/1.1\r\nhost: test\r\ncontent-length: 50\r\n\r\n{\"user\"").await;
    client.half_close().await;
    assert_eq!(client.reply().await.status, 400);
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn a_client_of_http_1_0_is_answered_and_let_go() {
    let world = World::new().await;
    let mut client = world.client().await;
    client.send("GET /healthz HTTP/1.0\r\n\r\n").await;
    assert_eq!(client.reply().await.status, 200);
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn what_is_not_http_gets_400_without_a_body_and_the_server_lives() {
    let world = World::new().await;
    for garbage in [
        b"hello\r\n\r\n".as_slice(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET /\xff\xff HTTP/1.1\r\n\r\n",
        b"POST /api/send-otp HTTP/1.1\r\ncontent-length: x\r\n\r\n",
        b"POST /api/send-otp HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
    ] {
        let mut client = world.client().await;
        client.send(garbage).await;
        let reply = client.reply().await;
        assert_eq!(
            (reply.status, reply.body.as_str()),
            (400, ""),
            "{:?}",
            garbage.escape_ascii().to_string()
        );
        assert_eq!(reply.header("connection"), Some("close"));
        client.half_close().await;
        assert_eq!(client.rest().await, "");
    }
    assert_eq!(world.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn http2_with_prior_knowledge_is_refused_in_the_envelope() {
    let world = World::new().await;
    let mut client = world.client().await;
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    let reply = client.reply().await;
    reply.is(400, r#"{"code":400,"message":"The request is not valid HTTP."}"#);
    assert!(reply.header("x-request-id").is_some_and(|id| id.starts_with("abcd0123-")));
    client.half_close().await;
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn a_request_without_host_with_two_or_a_malformed_one_is_400() {
    let world = World::new().await;
    for (version, hosts, status) in [
        ("1.1", "", 400),
        ("1.1", "Host: a\r\nHost: a\r\n", 400),
        ("1.1", "Host:\r\n", 200),
        ("1.1", "Host: codes.example:8080\r\n", 200),
        ("1.1", "Host: <script>\r\n", 400),
        ("1.0", "", 200),
        ("1.0", "Host: a\r\nHost: b\r\n", 400),
        ("1.0", "Host: a b\r\n", 400),
    ] {
        let reply = world.ask(format!("GET /hello-world HTTP/{version}\r\n{hosts}\r\n")).await;
        assert_eq!(reply.status, status, "{version} {hosts}");
    }
    let reply = world.ask(post("/api/send-otp", &send_body()).replace("host: localhost\r\n", "")).await;
    assert_eq!((reply.status, reply.header("x-onceward-reason").is_some()), (400, true));
}

#[tokio::test]
async fn garbage_after_a_good_request_ends_the_connection_after_its_answer() {
    let world = World::new().await;
    let mut client = world.client().await;
    client.send(format!("{}\u{1}\u{2}\u{3}\r\n\r\n", get("/healthz"))).await;
    assert_eq!(client.reply().await.status, 200);
    client.reply().await.is(400, "");
}

#[tokio::test]
async fn a_bare_line_feed_ends_no_line_of_a_head() {
    for request in [
        "GET /healthz HTTP/1.1\nhost: test\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nhost: test\nx: 1\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nhost: test\r\n\n",
        "\nGET /healthz HTTP/1.1\r\nhost: test\r\n\r\n",
    ] {
        let world = World::new().await;
        // As the first request, in bytes, and behind another one in the same piece and in the next.
        let mut client = world.client().await;
        client.send(request).await;
        client.reply().await.is(400, "");
        let mut client = world.client().await;
        for byte in request.bytes() {
            client.try_send([byte]).await;
        }
        client.reply().await.is(400, "");
        for before in [post("/api/send-otp", &send_body()), get("/healthz")] {
            let mut client = world.client().await;
            client.send(format!("{before}{request}")).await;
            assert_eq!(client.reply().await.status, 200);
            client.reply().await.is(400, "");
            let mut client = world.client().await;
            client.send(&before).await;
            assert_eq!(client.reply().await.status, 200);
            client.send(request).await;
            client.reply().await.is(400, "");
            client.half_close().await;
            assert_eq!(client.rest().await, "");
        }
    }
}

#[tokio::test]
async fn a_head_with_a_length_and_chunks_or_two_codings_is_refused_with_what_follows() {
    let world = World::new().await;
    let body = verify_body("123456");
    let (length, chunks) = (body.len(), format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len()));
    let (length, chunked) = (format!("content-length: {length}\r\n"), "Transfer-Encoding: chunked\r\n");
    let (twice, zipped) =
        (chunked.replace("chunked", "chunked, chunked"), chunked.replace("chunked", "gzip, chunked"));
    for lines in [[&length, chunked], [chunked, &length], [chunked, chunked], [&twice, ""], [&zipped, ""]] {
        let mut client = world.client().await;
        let head = format!("POST /api/verify-otp HTTP/1.1\r\nhost: localhost\r\n{}\r\n", lines.concat());
        client.send(format!("{head}{chunks}{}", get("/healthz"))).await;
        client.reply().await.is(400, "");
        client.half_close().await;
        assert_eq!(client.rest().await, "");
    }
}

#[tokio::test]
async fn line_feeds_in_bodies_are_bytes_like_others() {
    let world = World::new().await;
    let mut client = world.client().await;
    let body = verify_body("123456").replace(',', ",\n\n");
    let head = "POST /api/verify-otp HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunked = format!("{head}{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    client.send([post("/api/verify-otp", &body), chunked, post("/api/verify-otp", &body)].concat()).await;
    for _ in 0..3 {
        assert_eq!(client.reply().await.status, 401);
    }
}

#[tokio::test]
async fn a_request_that_is_cut_off_in_its_head_gets_400() {
    let world = World::new().await;
    for beginning in ["P", "PRI * HT", "GET /healthz HTTP/1.1\r\nhost: te"] {
        let mut client = world.client().await;
        client.send(beginning).await;
        client.half_close().await;
        assert_eq!(client.reply().await.status, 400, "{beginning:?}");
        assert_eq!(client.rest().await, "");
    }
}

#[tokio::test]
async fn a_head_that_is_too_large_is_431_also_when_it_is_the_address() {
    let world = World::new().await;
    let long = "x".repeat(20_000);
    let many = (0..200).map(|n| format!("x-{n}: 1\r\n")).collect::<Vec<_>>().concat();
    world.ask(format!("GET / HTTP/1.1\r\nx: {long}\r\n\r\n")).await.is(431, "");
    world.ask(format!("GET / HTTP/1.1\r\n{many}\r\n")).await.is(431, "");
    // The limit of the head applies before hyper's limit of 65,534 bytes for an address.
    for bytes in [16 * 1024, 20_000, 65_534, 70_000] {
        world.get(&format!("/{}", "x".repeat(bytes))).await.is(431, "");
    }
}

#[tokio::test]
async fn beyond_the_limit_the_connection_that_was_idle_for_longest_is_closed() {
    let mut setup = Setup::default();
    setup.settings.bounds.connections = 3;
    let world = World::with(setup).await;
    let [mut first, mut second, mut third] =
        [world.client().await, world.client().await, world.client().await];
    for client in [&mut first, &mut second, &mut third] {
        client.send(get("/healthz")).await;
        assert_eq!(client.reply().await.status, 200);
    }
    first.send(get("/healthz")).await;
    assert_eq!(first.reply().await.status, 200);
    // Each takes the place of one that was used before the others.
    let mut others = Vec::new();
    for gives_way in [&mut second, &mut third] {
        let mut next = world.client().await;
        next.send(get("/healthz")).await;
        assert_eq!(next.reply().await.status, 200);
        assert_eq!(gives_way.rest().await, "");
        others.push(next);
    }
    for client in others.iter_mut().chain([&mut first]) {
        client.send(get("/healthz")).await;
        assert_eq!(client.reply().await.status, 200);
    }
}

#[tokio::test]
async fn at_a_full_server_silent_connections_and_unfinished_requests_are_closed_before_idle_ones() {
    let mut setup = Setup::default();
    setup.settings.bounds.connections = 5;
    let world = World::with(setup).await;
    let mut idle = world.client().await;
    idle.send(get("/healthz")).await;
    assert_eq!(idle.reply().await.status, 200);
    let mut begun = Vec::new();
    for beginning in [
        "G",
        "",
        "GET / HTTP/1.1\r\nhost: x\r\nx-a: ",
        "POST /api/send-otp HTTP/1.1\r\nhost: x\r\ncontent-length: 90\r\n\r\n{",
    ] {
        let mut client = world.client().await;
        client.send(beginning).await;
        begun.push(client);
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut others = Vec::new();
    for silent in &mut begun {
        let mut next = world.client().await;
        next.send(get("/healthz")).await;
        assert_eq!(next.reply().await.status, 200);
        assert_eq!(silent.rest().await, "");
        others.push(next);
    }
    idle.send(get("/healthz")).await;
    assert_eq!(idle.reply().await.status, 200);
}

#[tokio::test]
async fn clients_that_fill_the_server_again_and_again_keep_no_other_one_out() {
    let body = "POST /api/verify-otp HTTP/1.1\r\nhost: x\r\ncontent-length: 90\r\n\r\n{";
    let head = "GET / HTTP/1.1\r\nhost: x\r\nx-a: ";
    for (beginning, attackers) in [("", 1), (head, 1), (body, 1), (head, 10), (body, 10)] {
        let mut setup = Setup::default();
        setup.settings.bounds.connections = 40;
        let world = World::with(setup).await;
        let address = world.address;
        let mut attack = JoinSet::new();
        let (filled, mut connections) = watch::channel(0);
        for connection in 0..60 {
            let (filled, from) = (filled.clone(), [127, 0, 1, 1 + connection % attackers]);
            attack.spawn(async move {
                loop {
                    let mut client = Client::connect_from(from.into(), address).await;
                    client.try_send(beginning).await;
                    filled.send_modify(|connections| *connections += 1);
                    client.rest().await;
                }
            });
        }
        connections.wait_for(|connections| *connections > 60).await.expect("it goes on");
        for request in 0..50 {
            let mut good = Client::connect_from([127, 0, 0, 2].into(), address).await;
            good.send(get("/healthz")).await;
            assert_eq!(
                good.reply().await.status,
                200,
                "request {request} among {beginning:?} of {attackers}"
            );
        }
    }
}

#[tokio::test]
async fn where_every_connection_is_in_use_a_further_one_gets_503() {
    let gate = Gate::closed();
    let mut setup = Setup::through(gate.clone());
    setup.settings.bounds.connections = 2;
    let world = World::with(setup).await;
    let (mut first, mut second) = (world.client().await, world.client().await);
    for (client, number) in [(&mut first, NUMBER), (&mut second, "+14155552672")] {
        client.send(post("/api/send-otp", &send_body_to(number))).await;
        gate.arrival().await;
    }
    let mut third = world.client().await;
    third.try_send(get("/healthz")).await;
    let reply = third.reply().await;
    reply.is(503, r#"{"code":503,"message":"Too many connections are open. Try again shortly."}"#);
    assert_eq!((reply.header("retry-after"), reply.header("x-onceward-retry-after")), (None, Some("1")));
    assert_eq!(reply.header("connection"), Some("close"));
    assert_eq!(third.rest().await, "");
    gate.let_through(2);
    for client in [&mut first, &mut second] {
        assert_eq!(client.reply().await.status, 200);
    }
    first.half_close().await;
    assert_eq!(first.rest().await, "");
    // The place becomes free when the server sees the end, which this client has just seen.
    let status = loop {
        let status = world.get("/healthz").await.status;
        if status != 503 {
            break status;
        }
    };
    assert_eq!(status, 200);
}
