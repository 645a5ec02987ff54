//! The control socket: the routes of the HTTP port and more, for the administrator of the machine.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{OWN_ACCOUNT, OWN_TOKEN, Setup, World, basic, text};

#[tokio::test]
async fn the_socket_serves_every_route_and_its_own_without_a_credential() {
    let (world, _, _) = World::with_service(Setup::new()).await;
    let data = world.setup.data_dir();
    let (status, services) = ask(&data, "GET /v2/Services");
    assert_eq!((status, &services["services"][0]["friendly_name"]), (200, &json!("Owl Bank")), "{services}");
    assert_eq!(ask(&data, "GET /readyz").0, 200);
    let (_, server) = ask(&data, "GET /local/Server");
    assert_eq!(server["version"], env!("CARGO_PKG_VERSION"), "{server}");
    let (status, webhooks) = ask(&data, "GET /local/Webhooks");
    assert_eq!((status, webhooks), (200, json!({"webhooks": []})));
    let (status, unknown) = ask(&data, "GET /local/Services/unknown");
    assert!(status == 400 && text(&unknown, "message").contains("no service"), "{unknown}");

    for path in ["/local/Server", "/local/Keys", "/local/Messages", "/local/Copy"] {
        assert_eq!(world.get(path).await.status(), 404, "{path}");
    }
    // Not with the account's credentials either.
    let account = [("authorization", &*basic(OWN_ACCOUNT, OWN_TOKEN))];
    world.get_with("/local/Keys", &account).await.expects_status(404);
    let described = world.get("/openapi.json").await.text();
    assert!(!described.contains("/local/"), "no description has them");
}

/// The status and the answer to a request on the socket, such as `GET /readyz`.
pub fn ask(data_dir: &Path, request: &str) -> (u16, Value) {
    let mut stream = UnixStream::connect(data_dir.join("control.sock")).expect("a connection");
    let head =
        format!("{request} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("head and body");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.expect("a status"), serde_json::from_str(body).unwrap_or_else(|_| panic!("no JSON: {answer}")))
}
